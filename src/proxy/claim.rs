//! Which endpoint each process serves where it listens, for another that would listen there too.
//!
//! The kernel lets processes of one user share a port, and spreads connections over them: two that serve different endpoints
//! would split the clients between two databases. So each answers on a local socket of its own, named after the address
//! and the process, and found in the kernel's list of those (an abstract name, unix(7), gone with the process).

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tracing::warn;

use super::Proxy;

/// The kernel's list of local sockets (proc(5)); abstract names begin with `@` there.
const LIST: &str = "/proc/net/unix";
/// How long another process may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest endpoint, and more.
const ANSWER_MAX: u64 = 512;

fn prefix(listen: SocketAddr) -> String {
    format!("rds-tether/proxy/{listen}/")
}

/// Answers for a proxy that listens there, for as long as it lives.
pub(super) async fn answer(listen: SocketAddr, settings: watch::Receiver<Arc<Proxy>>) {
    let name = prefix(listen) + &std::process::id().to_string();
    let bound = net::SocketAddr::from_abstract_name(name)
        .and_then(|name| net::UnixListener::bind_addr(&name))
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .and_then(UnixListener::from_std);
    let listener = match bound {
        Ok(listener) => listener,
        Err(error) => return warn!("{listen} cannot be taken over with --replace later on: {error}"),
    };
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            return;
        };
        let endpoint = settings.borrow().endpoint.to_string();
        // Whoever asked has gone, or has room for a line.
        let _ = stream.write_all(endpoint.as_bytes()).await;
    }
}

/// The endpoints that processes serve at an address, by the number of the process.
///
/// # Errors
/// If the kernel's list cannot be read, or one of them does not answer.
pub(super) fn found(listen: SocketAddr) -> io::Result<BTreeMap<u32, String>> {
    let list = std::fs::read_to_string(LIST)?;
    let prefix = prefix(listen);
    let names = list
        .lines()
        .filter_map(|line| line.split_once(" @"))
        .map(|(_, name)| name);
    let processes = names.filter_map(|name| name.strip_prefix(&prefix)?.parse().ok());
    processes
        .map(|process| Ok((process, ask(&format!("{prefix}{process}"))?)))
        .collect()
}

fn ask(name: &str) -> io::Result<String> {
    let stream = net::UnixStream::connect_addr(&net::SocketAddr::from_abstract_name(name)?)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

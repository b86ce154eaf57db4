//! Which endpoint each process serves where it listens, for another that would listen there too.
//!
//! The kernel lets processes of one user share a port, and spreads connections over them: two that serve different endpoints
//! would split the clients between two databases. So each answers on a local socket of its own, named after the address
//! and the process, and found in the kernel's list of those (an abstract name, unix(7), gone with the process).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::Proxy;

/// The kernel's list of local sockets (proc(5)); abstract names begin with `@` there.
const LIST: &str = "/proc/net/unix";
/// How long all other processes together may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long answering rests after a failure.
const REST: Duration = Duration::from_millis(100);
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
            // For want of descriptors.
            sleep(REST).await;
            continue;
        };
        let endpoint = settings.borrow().endpoint.to_string();
        // Whoever asked has gone, or has room for a line.
        let _ = stream.write_all(endpoint.as_bytes()).await;
    }
}

/// The endpoints that processes of this user serve at an address, by the number of the process. Others cannot share the port.
///
/// # Errors
/// If the kernel's list cannot be read, or not all of them answer in time.
pub(super) async fn found(listen: SocketAddr) -> io::Result<BTreeMap<u32, String>> {
    let list = std::fs::read_to_string(LIST)?;
    let prefix = prefix(listen);
    let names = list
        .lines()
        .filter_map(|line| line.split_once(" @"))
        .map(|(_, name)| name);
    let processes = names.filter_map(|name| name.strip_prefix(&prefix)?.parse().ok());
    let answers = async {
        let mut found = BTreeMap::new();
        for process in processes {
            if let Some(endpoint) = ask(&format!("\0{prefix}{process}")).await? {
                found.insert(process, endpoint);
            }
        }
        Ok(found)
    };
    timeout(ANSWER_TIMEOUT, answers).await?
}

/// What one of them serves; nothing if it is another user's, or takes no connection at once: ours do as long as they live, and who keeps
/// its queue full is not to keep them from being replaced.
async fn ask(name: &str) -> io::Result<Option<String>> {
    let Ok(stream) = UnixStream::connect(name).await else {
        return Ok(None);
    };
    if stream.peer_cred()?.uid() != geteuid().as_raw() {
        return Ok(None);
    }
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
    Ok(Some(answer))
}

//! Connects to the address that the endpoint has now: to another one if the first fails, and anew if it changes meanwhile.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::route::Route;
use super::shared::{Counts, Shared};
use super::socket;
use super::tick::Tick;

/// How long an address may take as long as there are others to try.
const SHARE: Duration = Duration::from_secs(3);
/// How long a client whose every address failed waits for DNS to name another one.
const SECOND_THOUGHT: Duration = Duration::from_secs(1);

/// Why a client could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its name has not been resolved since the start.
    #[error("its name has not been resolved yet")]
    NoAddress,
    /// This host lacks something that a connection needs.
    #[error("{0}")]
    Lacking(io::Error),
    /// Each address refused, or did not answer in time.
    #[error("{0}: {1}")]
    Failed(SocketAddr, String),
}

/// Dials until connected or out of time. If it is dropped, the attempt that is under way is closed.
pub(super) async fn dial(
    shared: &Shared,
    tick: &Tick,
    port: u16,
    limit: Duration,
) -> Result<(TcpStream, IpAddr), Error> {
    let end = Instant::now() + limit;
    let mut route = shared.route.clone();
    // Just started: the first answer is a matter of milliseconds.
    let _ = timeout_at(end, route.wait_for(|route| route.asked)).await;
    let mut failed = BTreeSet::new();
    let mut error = Error::NoAddress;
    loop {
        let current = Arc::clone(&route.borrow_and_update());
        failed.retain(|ip| current.names(*ip));
        let left: Vec<IpAddr> = (current.addresses.iter().copied())
            .filter(|ip| !failed.contains(ip))
            .collect();
        let Some(ip) = pick(&left) else {
            if !second_thought(&mut route, &current, end).await {
                return Err(error);
            }
            continue;
        };
        let share = if left.len() > 1 {
            end.min(Instant::now() + SHARE)
        } else {
            end
        };
        match attempt(SocketAddr::new(ip, port), tick.past(share), &mut route).await {
            Attempt::Connected(stream) => {
                if !route.borrow().names(ip) {
                    Counts::add(&shared.counts.redialled);
                    continue;
                }
                shared.accepted(ip);
                return Ok((stream, ip));
            }
            Attempt::Lacking(error) => return Err(Error::Lacking(error)),
            Attempt::Overtaken => Counts::add(&shared.counts.redialled),
            Attempt::Failed(why) => {
                shared.refused(ip, &why);
                failed.insert(ip);
                error = Error::Failed(SocketAddr::new(ip, port), why);
            }
        }
    }
}

fn pick(addresses: &[IpAddr]) -> Option<IpAddr> {
    (!addresses.is_empty()).then(|| addresses[fastrand::usize(..addresses.len())])
}

/// Waits a moment for other addresses than those that failed.
async fn second_thought(route: &mut watch::Receiver<Arc<Route>>, failed: &Route, end: Instant) -> bool {
    if failed.addresses.is_empty() {
        return false;
    }
    let end = end.min(Instant::now() + SECOND_THOUGHT);
    let is_other = |route: &Arc<Route>| route.addresses.iter().any(|ip| !failed.names(*ip));
    matches!(timeout_at(end, route.wait_for(is_other)).await, Ok(Ok(_)))
}

enum Attempt {
    Connected(TcpStream),
    Failed(String),
    /// This host lacks something that a connection needs.
    Lacking(io::Error),
    /// The address is no longer the endpoint's.
    Overtaken,
}

async fn attempt(
    address: SocketAddr,
    end: impl Future<Output = ()>,
    route: &mut watch::Receiver<Arc<Route>>,
) -> Attempt {
    let connect = TcpStream::connect(address);
    tokio::pin!(connect);
    let is_gone = |route: &Arc<Route>| !route.names(address.ip());
    tokio::select! {
        biased;
        connected = &mut connect => match connected {
            Ok(stream) => match socket::set_up(&stream) {
                Ok(()) => Attempt::Connected(stream),
                Err(error) => Attempt::Failed(error.to_string()),
            },
            Err(error) if socket::is_lack(&error) => Attempt::Lacking(error),
            Err(error) => Attempt::Failed(error.to_string()),
        },
        Ok(_) = route.wait_for(is_gone) => Attempt::Overtaken,
        () = end => Attempt::Failed("no answer in time".into()),
    }
}

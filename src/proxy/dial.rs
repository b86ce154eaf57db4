//! Connects to the address that the endpoint has now: to another one if the first fails, anew if it changes meanwhile, and not
//! before one takes sessions. A client that waits costs a seat; one that is turned away comes back after a pause of its own
//! that is far longer than most failovers have left.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::route::Route;
use super::shared::{Counts, Shared};
use super::socket;
use super::tick::Tick;
use crate::probe::Trouble;
use crate::text::join;

/// How long an address may take. The kernel repeats what was lost after a second; a new attempt does as well, and is the sooner
/// there when the address comes to life.
const ATTEMPT: Duration = Duration::from_secs(1);

/// Why a client could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its name has not been resolved since the start.
    #[error("its name has not been resolved yet")]
    NoAddress,
    /// This host lacks something that a connection needs.
    #[error("{0}")]
    Lacking(io::Error),
    /// No address took a session in time.
    #[error("{0}")]
    Failed(String),
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
    let mut held = None;
    loop {
        let current = Arc::clone(&route.borrow_and_update());
        let changed = shared.health.changed.notified();
        tokio::pin!(changed);
        // From here on no change is missed.
        changed.as_mut().enable();
        let Some(ip) = shared.pick(&current) else {
            held.get_or_insert_with(|| Held::new(shared));
            tokio::select! {
                biased;
                () = changed => continue,
                Ok(()) = route.changed() => continue,
                () = tick.past(end) => return Err(why_not(shared, &current)),
            }
        };
        let share = end.min(Instant::now() + ATTEMPT);
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
            Attempt::Failed(why) => shared.refused(ip, why),
        }
    }
}

fn why_not(shared: &Shared, route: &Route) -> Error {
    if route.addresses.is_empty() {
        return Error::NoAddress;
    }
    shared.health.with(|known| {
        let whys = route
            .addresses
            .iter()
            .map(|ip| format!("{ip}: {}", known.why(*ip).unwrap_or("no answer yet")));
        Error::Failed(join(whys))
    })
}

/// A client that waits, counted until dropped.
struct Held<'a>(&'a Shared);

impl<'a> Held<'a> {
    fn new(shared: &'a Shared) -> Self {
        Counts::add(&shared.counts.waited);
        shared.counts.held.fetch_add(1, Ordering::Relaxed);
        shared.health.wanted.notify_one();
        Self(shared)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.counts.held.fetch_sub(1, Ordering::Relaxed);
    }
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
            Err(error) => Attempt::Failed(Trouble::of_connect(&error).to_string()),
        },
        Ok(_) = route.wait_for(is_gone) => Attempt::Overtaken,
        () = end => Attempt::Failed("no answer in time".into()),
    }
}

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
use super::standing::Choice;
use super::tick::Tick;
use crate::probe::Trouble;
use crate::text::join;

/// How long an address may take. The kernel repeats what was lost after a second; a new attempt does as well, and is the sooner
/// there when the address comes to life.
const ATTEMPT: Duration = Duration::from_secs(1);
/// How long a client waits for an answer from an address that nothing speaks against. Only what an address says keeps clients
/// away from it, never that it is slow to say something.
const UNSURE: Duration = Duration::from_secs(1);

/// Why a client could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This host lacks something that a connection needs.
    #[error("{0}")]
    Lacking(io::Error),
    /// No address took a session in time.
    #[error("{0}")]
    Failed(String),
}

/// Dials until connected or out of time. If it is dropped, the attempt that is under way is closed.
pub(super) async fn dial(shared: &Shared, tick: &Tick, limit: Duration) -> Result<(TcpStream, IpAddr), Error> {
    let end = Instant::now() + limit;
    let mut doubted = Doubted::new(limit);
    let mut route = shared.route.clone();
    let mut waiting = None;
    loop {
        let current = Arc::clone(&route.borrow_and_update());
        let changed = shared.health.changed.notified();
        tokio::pin!(changed);
        // From here on no change is missed.
        changed.as_mut().enable();
        let choice = shared.choose(&current);
        let unsure_end = doubted.end(&choice).min(end);
        let addresses = match choice {
            Choice::Open(ref open, _) => open,
            Choice::Unsure(ref unsure) if Instant::now() >= unsure_end => unsure,
            Choice::Unsure(_) | Choice::Closed => {
                let is_held = choice == Choice::Closed;
                waiting.get_or_insert_with(|| Waiting::new(shared)).hold(is_held);
                tokio::select! {
                    biased;
                    () = changed => {}
                    Ok(()) = route.changed() => {}
                    () = tick.past(if is_held { end } else { unsure_end }) => {
                        if is_held {
                            return Err(why_not(shared, &current));
                        }
                    }
                }
                continue;
            }
        };
        let ip = addresses[fastrand::usize(..addresses.len())];
        let address = SocketAddr::new(ip, current.port);
        let share = end.max(unsure_end + ATTEMPT).min(Instant::now() + ATTEMPT);
        match attempt(address, tick.past(share), &mut route).await {
            Attempt::Connected(stream) => {
                if !route.borrow().leads_to(address) {
                    Counts::add(&shared.counts.redialled);
                    continue;
                }
                shared.accepted(ip);
                return Ok((stream, ip));
            }
            Attempt::Lacking(error) => return Err(Error::Lacking(error)),
            Attempt::Overtaken => Counts::add(&shared.counts.redialled),
            Attempt::Failed(why) if route.borrow().leads_to(address) => shared.refused(ip, why),
            Attempt::Failed(_) => {}
        }
    }
}

/// Addresses of which nothing is known yet. Each set of them gets its time to answer, however long a client has waited for others.
struct Doubted {
    limit: Duration,
    addresses: Vec<IpAddr>,
    end: Instant,
}

impl Doubted {
    fn new(limit: Duration) -> Self {
        Self {
            limit: UNSURE.min(limit / 2),
            addresses: Vec::new(),
            end: Instant::now(),
        }
    }

    /// Until when an answer is waited for; if there is nothing to wait for, in the past.
    fn end(&mut self, choice: &Choice) -> Instant {
        let unsure = match choice {
            Choice::Unsure(unsure) => unsure.as_slice(),
            Choice::Open(..) | Choice::Closed => &[],
        };
        if self.addresses != unsure {
            self.addresses = unsure.to_vec();
            self.end = Instant::now() + self.limit;
        }
        self.end
    }
}

fn why_not(shared: &Shared, route: &Route) -> Error {
    if route.addresses.is_empty() || route.waits() {
        return Error::Failed(route.nowhere());
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
struct Waiting<'a> {
    shared: &'a Shared,
    is_held: bool,
}

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.health.waiting.fetch_add(1, Ordering::Relaxed);
        shared.health.wanted.notify_one();
        Self { shared, is_held: false }
    }

    /// Whether it is because no address takes sessions. Waiting for a first answer is no more than a slow connection.
    fn hold(&mut self, is_held: bool) {
        if is_held && !self.is_held {
            Counts::add(&self.shared.counts.waited);
            self.shared.counts.held.fetch_add(1, Ordering::Relaxed);
            self.is_held = true;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.health.waiting.fetch_sub(1, Ordering::Relaxed);
        if self.is_held {
            self.shared.counts.held.fetch_sub(1, Ordering::Relaxed);
        }
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
    let connect = socket::connect(address);
    tokio::pin!(connect);
    let is_gone = |route: &Arc<Route>| !route.leads_to(address);
    tokio::select! {
        biased;
        connected = &mut connect => match connected {
            Ok(stream) => Attempt::Connected(stream),
            Err(error) if socket::is_lack(&error) => Attempt::Lacking(error),
            Err(error) => Attempt::Failed(Trouble::of_connect(&error).to_string()),
        },
        Ok(_) = route.wait_for(is_gone) => Attempt::Overtaken,
        () = end => Attempt::Failed("no answer in time".into()),
    }
}

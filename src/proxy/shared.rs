//! The state that the threads of a proxy share: its settings, its route, how far it is on its way to its end, its counts.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use super::Proxy;
use super::moment::Moment;
use super::relay::Carried;
use super::route::Route;
use crate::clock::Clock;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::time::Timestamp;
use crate::text::Told;

/// How far a proxy is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It accepts connections.
    Open,
    /// It accepts no more; the sessions go on.
    Draining,
    /// Sessions that are left are cut.
    Closed,
}

/// The state that the threads of a proxy share.
pub struct Shared {
    pub settings: watch::Receiver<Arc<Proxy>>,
    pub route: watch::Receiver<Arc<Route>>,
    pub phase: watch::Receiver<Phase>,
    pub silent: watch::Receiver<Silent>,
    /// Rings when the current address failed: DNS may know better.
    pub address_failed: Notify,
    pub moments: mpsc::Sender<Moment>,
    pub clock: Clock,
    pub health: Health,
    pub counts: Counts,
    pub seats: Arc<Seats>,
    pub troubles: Troubles,
    /// Threads that still accept connections.
    pub accepting: AtomicUsize,
    /// Rings when the last connection has ended, and when a thread accepts no more.
    pub idle: Notify,
}

impl Shared {
    pub fn endpoint(&self) -> Endpoint {
        self.settings.borrow().endpoint.clone()
    }

    /// Takes note that an address accepted a connection.
    pub fn accepted(&self, ip: IpAddr) {
        let health = &self.health;
        *health.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some((ip, self.clock.now()));
        if health.is_failing.load(Ordering::Relaxed) && health.with_failing(|failing| failing.remove(&ip)) {
            info!(endpoint = %self.endpoint(), "{ip} accepts connections");
        }
    }

    /// Takes note that an address did not: the first of a row of failures is logged, and DNS is looked at.
    pub fn refused(&self, ip: IpAddr, why: &str) {
        if self.health.with_failing(|failing| failing.insert(ip)) {
            let meanwhile = match self.route.borrow().addresses.len() {
                0 | 1 => "clients are refused until it does, or DNS names another address",
                _ => "clients are connected to the others",
            };
            warn!(endpoint = %self.endpoint(), "{ip} does not accept connections ({why}); {meanwhile}");
        }
        self.address_failed.notify_one();
    }

    /// Warns that this host lacks something, such as descriptors, for want of which connections have this fate.
    pub fn lacks(&self, error: &io::Error, fate: &str) {
        if self.troubles.lack.is_due(self.clock.now()) {
            warn!(
                endpoint = %self.endpoint(),
                "cannot accept connections ({error}); they {fate}. If descriptors have run out, raise the limit \
                 (LimitNOFILE=) or lower the number of sessions (--max-sessions)"
            );
        }
    }
}

/// The connections that the process has descriptors for. Some descriptors are kept for what else it does: one that cannot look
/// at DNS for want of them would not follow.
pub struct Seats {
    /// Those of all proxies that are open.
    pub taken: AtomicUsize,
    /// How many there may be.
    pub most: usize,
}

/// Troubles that are told when they begin, not for each connection.
#[derive(Default)]
pub struct Troubles {
    pub lack: Told,
    pub peer: Told,
    pub limit: Told,
    pub header: Told,
    pub dial: Told,
}

/// The fates of connections so far, counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that are open now, those that still wait for the database included.
    pub open: AtomicUsize,
    /// Sessions that reached the database.
    pub sessions: AtomicU64,
    /// Connections that were refused, because of their peer, the limit, or the database.
    pub refused: AtomicU64,
    /// Sessions that were cut because they outlived their address.
    pub cut: AtomicU64,
    /// Sessions that were cut because a peer no longer acknowledged anything.
    pub silent: AtomicU64,
    /// Dials that were begun anew because the address changed.
    pub redialled: AtomicU64,
    /// Bytes that were carried, each way.
    pub carried: Carried,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Connections that are open.
    pub open: u64,
    /// Sessions that reached the database.
    pub sessions: u64,
    /// Connections that were refused.
    pub refused: u64,
    /// Sessions that outlived their address.
    pub cut: u64,
    /// Sessions whose peer acknowledged nothing any more.
    pub silent: u64,
    /// Dials begun anew.
    pub redialled: u64,
    /// Bytes to the database.
    pub up: u64,
    /// Bytes from the database.
    pub down: u64,
}

impl Counts {
    pub fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            open: self.open.load(Ordering::Relaxed) as u64,
            sessions: read(&self.sessions),
            refused: read(&self.refused),
            cut: read(&self.cut),
            silent: read(&self.silent),
            redialled: read(&self.redialled),
            up: read(&self.carried.up),
            down: read(&self.carried.down),
        }
    }

    pub fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}
/// The sockets, by inode, whose peers no longer acknowledge what they are sent.
pub type Silent = Arc<BTreeSet<u64>>;

/// Which addresses accept connections, as far as sessions and probes have shown.
#[derive(Debug, Default)]
pub struct Health {
    /// The latest acceptance.
    accepted: Mutex<Option<(IpAddr, Timestamp)>>,
    /// Addresses that did not accept the latest connection to them.
    failing: Mutex<BTreeSet<IpAddr>>,
    /// Whether there are some, without the lock.
    is_failing: AtomicBool,
}

impl Health {
    /// Makes each address's next failure news again, because the endpoint has moved.
    pub fn forget_failures(&self) {
        self.with_failing(BTreeSet::clear);
    }

    fn with_failing<T>(&self, f: impl FnOnce(&mut BTreeSet<IpAddr>) -> T) -> T {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut failing);
        self.is_failing.store(!failing.is_empty(), Ordering::Relaxed);
        result
    }

    /// When an address of the route last accepted a connection. Each answer for a reader is another member, so what one of
    /// them accepted speaks for all.
    pub fn last(&self, route: &Route) -> Option<Timestamp> {
        let accepted = *self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        let (ip, at) = accepted?;
        (route.role == Role::Reader || route.names(ip)).then_some(at)
    }
}

//! The state that the threads of a proxy share: its settings, its route, how far it is on its way to its end, its counts.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use super::Proxy;
use super::moment::Moment;
use super::own::Listens;
use super::peers::Peers;
use super::relay::Carried;
use super::route::Route;
use super::standing::{Choice, Readiness, Showed, Standings};
use crate::clock::Clock;
use crate::planner::endpoint::Endpoint;
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
    pub peers: watch::Receiver<Arc<Peers>>,
    /// Where this process listens itself.
    pub own: watch::Receiver<Listens>,
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
    /// The state of a proxy that nothing reaches from outside, and that nobody is told of.
    pub fn alone(proxy: &Arc<Proxy>, clock: Clock) -> Self {
        let start = proxy.rules.start(proxy.endpoint.host(), proxy.endpoint.port());
        Self {
            settings: watch::channel(Arc::clone(proxy)).1,
            route: watch::channel(Arc::new(start)).1,
            phase: watch::channel(Phase::Open).1,
            peers: watch::channel(Arc::default()).1,
            own: watch::channel(Listens::default()).1,
            address_failed: Notify::new(),
            moments: mpsc::channel(1).0,
            clock,
            health: Health::new(proxy.readiness),
            counts: Counts::default(),
            seats: Arc::default(),
            troubles: Troubles::default(),
            accepting: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    pub fn endpoint(&self) -> Endpoint {
        self.settings.borrow().endpoint.clone()
    }

    /// Takes note of what an address showed when it was asked: the first of a row of failures is logged.
    pub fn showed(&self, ip: IpAddr, showed: Showed) {
        let (is_news, why) = self.health.with(|known| {
            let is_news = known.showed(ip, showed, self.clock.now());
            (is_news, known.why(ip).map(str::to_owned))
        });
        match why {
            Some(why) => self.fails(ip, &why, is_news),
            None if is_news => self.is_back(ip),
            None => {}
        }
        self.health.changed.notify_waiters();
        self.health.answered.notify_one();
    }

    /// Takes note that an address took a client's connection.
    pub fn accepted(&self, ip: IpAddr) {
        let now = self.clock.now();
        if self.health.with(|known| known.accepted(ip, now)) {
            self.is_back(ip);
            self.health.changed.notify_waiters();
        }
        if self.route.borrow().awaits_proof(now) {
            self.health.answered.notify_one();
        }
    }

    /// Takes note that a session to an address was acknowledged.
    pub fn heard(&self, ip: IpAddr) {
        if self.health.with(|known| known.heard(ip, self.clock.now())) {
            self.health.changed.notify_waiters();
        }
    }

    fn is_back(&self, ip: IpAddr) {
        if self.troubles.is_failing_told.swap(false, Ordering::Relaxed) {
            info!(endpoint = %self.endpoint(), "{ip} accepts connections");
        }
    }

    /// Takes note that an address took no connection of a client.
    pub fn refused(&self, ip: IpAddr, why: String) {
        let is_news = self.health.with(|known| known.failed(ip, why.clone()));
        self.fails(ip, &why, is_news);
    }

    fn fails(&self, ip: IpAddr, why: &str, is_news: bool) {
        // One that comes and goes is told of once a minute.
        if is_news && self.troubles.failing.is_due(self.clock.now()) {
            self.troubles.is_failing_told.store(true, Ordering::Relaxed);
            let meanwhile = match self.route.borrow().addresses.len() {
                0 | 1 => "clients wait until it does, or DNS names another address",
                _ => "clients are connected to the others",
            };
            warn!(endpoint = %self.endpoint(), "{ip} does not accept connections ({why}); {meanwhile}");
        }
        self.address_failed.notify_one();
        self.health.wanted.notify_one();
    }

    /// Takes note that an address ended a session, which may have been a short one, or no longer answers on one.
    pub fn doubted(&self, ip: IpAddr, was_short: bool) {
        self.health.with(|known| known.doubted(ip, was_short, self.clock.now()));
    }

    /// Where a new client goes.
    pub fn choose(&self, route: &Route) -> Choice {
        let choice = self.health.with(|known| known.choose(route, self.clock.now()));
        if let Choice::Open(_, true) = choice {
            self.health.is_passed_by.store(true, Ordering::Relaxed);
            self.health.wanted.notify_one();
        }
        choice
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
#[derive(Default)]
pub struct Seats {
    /// Those of all proxies that are open.
    pub taken: AtomicUsize,
    /// How many there may be, by the share that sessions have of the descriptors.
    pub most: AtomicUsize,
}

/// Troubles that are told when they begin, not for each connection.
#[derive(Default)]
pub struct Troubles {
    pub lack: Told,
    pub peer: Told,
    pub limit: Told,
    pub header: Told,
    pub dial: Told,
    pub talk: Told,
    /// An address that does not accept connections, and whether its end is to be told.
    pub failing: Told,
    pub is_failing_told: AtomicBool,
}

/// The fates of connections so far, counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that are open now, those that still wait for the database included.
    pub open: AtomicUsize,
    /// Those of them that wait for an address that takes sessions.
    pub held: AtomicUsize,
    /// Clients that had to wait so.
    pub waited: AtomicU64,
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
    /// Clients that wait for an address that takes sessions.
    pub held: u64,
    /// Clients that had to wait so.
    pub waited: u64,
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
            held: self.held.load(Ordering::Relaxed) as u64,
            waited: read(&self.waited),
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
/// What sessions, clients and questions have shown of the addresses.
#[derive(Debug)]
pub struct Health {
    standings: Mutex<Standings>,
    /// Rings when an address has shown something.
    pub changed: Notify,
    /// The same, for who steers.
    pub answered: Notify,
    /// Rings when somebody wants to know more.
    pub wanted: Notify,
    /// Clients that wait for an answer.
    pub waiting: AtomicUsize,
    /// Whether a client has passed an address by of which nothing is known.
    pub is_passed_by: AtomicBool,
}

impl Health {
    pub fn new(readiness: Readiness) -> Self {
        Self {
            standings: Mutex::new(Standings::new(readiness)),
            changed: Notify::new(),
            answered: Notify::new(),
            wanted: Notify::new(),
            waiting: AtomicUsize::new(0),
            is_passed_by: AtomicBool::new(false),
        }
    }

    /// Looks at what is known, or adds to it.
    pub fn with<T>(&self, f: impl FnOnce(&mut Standings) -> T) -> T {
        f(&mut self.standings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

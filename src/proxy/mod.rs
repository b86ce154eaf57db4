//! The IP-following TCP proxy: it listens on a stable address, carries bytes to the address that the endpoint has now, and
//! closes the sessions that outlive their address, so that their clients connect anew.
//!
//! No byte of a stream is read for its meaning, kept longer than its passing on takes, or logged.
//!
//! - [`route`]: from answers to addresses (pure). `steer` feeds it with what DNS says.
//! - `listener`: sockets to accept from, `worker`: a thread each, with sessions of its own.
//! - `session`: admitted, dialled ([`dial`]), carried ([`relay`], [`pipe`]), and cut.
//! - [`header`]: the PROXY protocol of a load balancer in front.
//! - `tick`: the clock that sessions share. `silence`: peers that vanished while data was on its way to them.
//! - [`health`]: whether to send clients here.

pub mod dial;
pub mod header;
pub mod health;
mod listener;
pub mod pipe;
pub mod relay;
pub mod route;
mod session;
mod set;
mod silence;
mod socket;
mod steer;
mod tick;
mod worker;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};
use tracing::warn;

pub use self::set::{Error, Proxies};
use crate::clock::Clock;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::guard;
use crate::planner::target::Family;
use crate::planner::time::Timestamp;
use crate::text::{Told, join};
use health::Health;
use route::{Route, Rules};
use silence::Silent;

/// What one proxy is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where clients connect to.
    pub listen: SocketAddr,
    /// What they mean by it.
    pub endpoint: Endpoint,
    /// Which of the endpoint's addresses are connected to.
    pub family: Family,
    /// How answers become addresses.
    pub rules: Rules,
    /// How long a client waits for its connection to the database, all attempts together.
    pub dial_timeout: Duration,
    /// Sessions at once.
    pub max_sessions: usize,
    /// Who may connect; empty: everybody.
    pub allow_peers: Vec<IpNet>,
    /// Whether each connection begins with a PROXY protocol v2 header.
    pub accept_proxy_protocol: bool,
    /// How long sessions go on when the process is told to stop.
    pub drain: Duration,
}

impl Proxy {
    /// The defaults for an address to listen on and an endpoint.
    pub fn new(listen: SocketAddr, endpoint: Endpoint) -> Self {
        Self {
            listen,
            endpoint,
            family: Family::Ipv4,
            rules: Rules::default(),
            dial_timeout: Duration::from_secs(10),
            max_sessions: 10_000,
            allow_peers: Vec::new(),
            accept_proxy_protocol: false,
            drain: Duration::from_secs(5),
        }
    }

    fn may_connect(&self, peer: IpAddr) -> bool {
        guard::allows(&self.allow_peers, peer)
    }
}

/// Something that befell a proxy's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// Where the proxy listens, by its settings.
    pub listen: SocketAddr,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its role.
    pub role: Role,
    /// What.
    pub what: What,
}

/// What befell a proxy's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It has other addresses.
    Moved {
        /// Those before, none before the first answer.
        from: Vec<IpAddr>,
        /// Those now.
        to: Vec<IpAddr>,
    },
    /// It cannot be resolved any more.
    Unresolved(String),
    /// It is resolved again.
    Resolved,
    /// No address of the answer may be connected to.
    Refused(Vec<IpAddr>),
}

/// What people call the proxy that listens there.
pub fn name(listen: SocketAddr) -> String {
    format!("proxy {listen}")
}

impl What {
    /// What people should know of it later. Where it is at the start is no change, and neither are the moves of a reader
    /// endpoint, of which each answer is one random member.
    pub fn text(&self, role: Role) -> Option<String> {
        match self {
            Self::Moved { from, .. } if from.is_empty() || role == Role::Reader => None,
            Self::Moved { from, to } => Some(format!("moved from {} to {}", join(from), join(to))),
            Self::Unresolved(why) => Some(format!("cannot be resolved: {why}")),
            Self::Resolved => Some("resolved again".into()),
            Self::Refused(ips) => Some(format!("may not be connected to at {}", join(ips))),
        }
    }
}

/// How far a proxy is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It accepts connections.
    Open,
    /// It accepts no more; the sessions go on.
    Draining,
    /// Sessions that are left are cut.
    Closed,
}

/// What the threads of a proxy share.
struct Shared {
    settings: watch::Receiver<Arc<Proxy>>,
    route: watch::Receiver<Arc<Route>>,
    phase: watch::Receiver<Phase>,
    silent: watch::Receiver<Silent>,
    /// Rings when the current address failed: DNS may know better.
    doubt: Notify,
    moments: mpsc::Sender<Moment>,
    clock: Clock,
    health: Health,
    counts: Counts,
    house: Arc<House>,
    troubles: Troubles,
    /// Threads that still accept connections.
    accepting: AtomicUsize,
    /// Rings when the last connection has ended, and when a thread accepts no more.
    idle: Notify,
}

impl Shared {
    fn endpoint(&self) -> Endpoint {
        self.settings.borrow().endpoint.clone()
    }

    /// Something that this host lacks, not the database, is in the way of connections.
    fn lacks(&self, error: &io::Error, fate: &str) {
        if self.troubles.lack.is_due(self.clock.now()) {
            warn!(
                endpoint = %self.endpoint(),
                "cannot accept connections ({error}); they {fate}. If descriptors have run out, raise the limit \
                 (LimitNOFILE=) or lower the number of sessions (--max-sessions)"
            );
        }
    }
}

/// Connections of all proxies of the process, and how many it has descriptors for. Some are kept for what else it does: one
/// that cannot look at DNS for want of descriptors would not follow.
struct House {
    open: AtomicUsize,
    most: usize,
}

/// What is said once when it begins, not for each connection.
#[derive(Default)]
struct Troubles {
    lack: Told,
    peer: Told,
    limit: Told,
    header: Told,
    dial: Told,
}

/// What has become of connections so far.
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
    /// Bytes.
    pub carried: relay::Carried,
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
    fn tally(&self) -> Tally {
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

    fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

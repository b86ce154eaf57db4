//! The IP-following TCP proxy: it listens on a stable address, carries bytes to the address that the endpoint has now, and
//! closes the sessions that outlive their address, so that their clients connect anew.
//!
//! No byte of a stream is read for its meaning, kept longer than its passing on takes, or logged.
//!
//! - [`route`]: from answers to addresses (pure). `steer` feeds it with what DNS says; `moment` is what is told of it.
//! - `listener`: sockets to accept from, `worker`: a thread each, with sessions of its own; `shared`: what threads share.
//! - `standing`: which addresses take sessions (pure), as clients (`dial`), questions (`asker`) and the kernel (`silence`) show.
//! - `session`: admitted, dialled (`dial`), carried (`relay`, `pipe`), and cut. `socket`: what each connection is set to.
//! - [`header`]: the PROXY protocol of a load balancer in front.
//! - `tick`: the clock that sessions share. `silence`: reads which peers still answer, and which vanished (`peers`).
//! - [`health`]: whether to send clients here.
//! - `claim`: which process serves which endpoint at an address. [`own`]: where this one listens, and so never connects to.
//! - [`descriptors`]: what they are for, and how many each use may have.
//! - `set`: all proxies of a process, started, changed and ended together.

mod asker;
mod claim;
pub mod descriptors;
mod dial;
pub mod header;
pub mod health;
mod listener;
mod moment;
pub mod own;
mod peers;
mod pipe;
mod relay;
pub mod route;
mod session;
mod set;
mod shared;
mod silence;
mod socket;
mod standing;
mod steer;
mod tick;
mod worker;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

pub use self::moment::{AHEAD, Happening, Moment, name};
pub use self::session::UNANSWERED_MAX_BYTES;
pub use self::set::{Error, Proxies};
pub use self::shared::Tally;
pub use self::standing::{Probes, Readiness, Showed};
pub use self::steer::Steered;
use crate::lead::Lead;
use crate::lead::crew::Quest;
use crate::planner::endpoint::Endpoint;
use crate::planner::guard::{self, Refusal};
use crate::planner::target::Family;
use own::Listens;
use route::Rules;

/// The settings of one proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where clients connect to.
    pub listen: SocketAddr,
    /// The database that they want to reach.
    pub endpoint: Endpoint,
    /// Which of the endpoint's addresses are connected to.
    pub family: Family,
    /// How answers become addresses.
    pub rules: Rules,
    /// How the members of its database are asked who the writer is, if they are.
    pub lead: Option<Lead>,
    /// How long a client waits for its connection to the database, all attempts together.
    pub dial_timeout: Duration,
    /// How to find out whether the database takes sessions.
    pub readiness: Readiness,
    /// How often the database is connected to where nothing else shows that it takes connections.
    pub probes: Probes,
    /// Sessions at once.
    pub max_sessions: usize,
    /// The networks from which clients may connect; empty: all.
    pub allow_peers: Vec<IpNet>,
    /// Whether each connection begins with a PROXY protocol v2 header.
    pub accept_proxy_protocol: bool,
    /// How long sessions go on when the process is told to stop.
    pub drain: Duration,
}

impl Proxy {
    /// The defaults for an address to listen on and an endpoint.
    pub fn new(listen: SocketAddr, endpoint: Endpoint) -> Self {
        let readiness = Readiness::of_port(endpoint.port());
        Self {
            listen,
            endpoint,
            family: Family::Ipv4,
            rules: Rules::default(),
            lead: None,
            dial_timeout: Duration::from_secs(60),
            readiness,
            probes: Probes::ByReadiness,
            max_sessions: 10_000,
            allow_peers: Vec::new(),
            accept_proxy_protocol: false,
            drain: Duration::from_secs(5),
        }
    }

    /// Whose members are to be asked who the writer is, if any.
    pub fn quest(&self) -> Option<Quest> {
        Some(Quest {
            endpoint: self.endpoint.clone(),
            family: self.family,
            lead: self.lead.clone()?,
            allow_cidrs: self.rules.allow_cidrs.clone(),
        })
    }

    fn may_connect(&self, peer: IpAddr) -> bool {
        guard::allows(&self.allow_peers, peer)
    }

    /// Whether an address of its endpoint may be connected to: by the rules, and because the process that listens at `own` does not
    /// listen there.
    pub fn may_reach(&self, ip: IpAddr, own: &Listens) -> Result<(), Refusal> {
        self.rules.check(ip, self.family)?;
        match own.at(SocketAddr::new(ip, self.endpoint.port())) {
            true => Err(Refusal::Ourselves),
            false => Ok(()),
        }
    }
}

//! What befalls the endpoint of a proxy, for those who tell of it.

use std::net::{IpAddr, SocketAddr};

use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::time::Timestamp;

/// A moment at which something befell a proxy's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of the look at DNS that showed it.
    pub at: Timestamp,
    /// Where the proxy listens, by its settings.
    pub listen: SocketAddr,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The role that the endpoint has by the settings or by its names.
    pub role: Role,
    /// What befell it.
    pub what: Happening,
}

/// What can befall a proxy's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
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

impl Happening {
    /// What people should know of it later. Where it is at the start is no change, and neither are the moves of a reader
    /// endpoint, of which each answer is one random member.
    pub fn text(&self, role: Role) -> Option<String> {
        let list = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Moved { from, .. } if from.is_empty() || role == Role::Reader => None,
            Self::Moved { from, to } => Some(format!("moved from {} to {}", list(from), list(to))),
            Self::Unresolved(why) => Some(format!("cannot be resolved: {why}")),
            Self::Resolved => Some("resolved again".into()),
            Self::Refused(ips) => Some(format!("may not be connected to at {}", list(ips))),
        }
    }
}

/// What people call the proxy that listens there.
pub fn name(listen: SocketAddr) -> String {
    format!("proxy {listen}")
}

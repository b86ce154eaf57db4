//! The turns of fate of a proxy's endpoint, for those who tell of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::guard::Refusal;
use crate::planner::time::Timestamp;
use crate::text::join;

/// Why something has moved where DNS does not lead yet.
pub const AHEAD: &str = ", the writer by its own word, ahead of DNS";

/// A moment at which something befell a proxy's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of the look at DNS that showed it.
    pub at: Timestamp,
    /// Where the proxy listens, by its settings.
    pub listen: SocketAddr,
    /// The endpoint that it follows.
    pub endpoint: Endpoint,
    /// The role that the endpoint has by the settings or by its names.
    pub role: Role,
    /// The event itself.
    pub what: Happening,
}

/// Events that can befall a proxy's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It has other addresses.
    Moved {
        /// Those before, none before the first answer.
        from: Vec<IpAddr>,
        /// Those that it has now.
        to: Vec<IpAddr>,
        /// Whether it is where a member shows that it is the writer, and DNS does not name that yet.
        is_ahead: bool,
    },
    /// It cannot be resolved any more.
    Unresolved(String),
    /// It is resolved again.
    Resolved,
    /// No address of the answer may be connected to.
    Refused(BTreeMap<IpAddr, Refusal>),
    /// The name servers differ about it, and have for longer than a change takes: what each said last.
    Disputed(String),
    /// They say the same again.
    Agreed,
    /// It gives several addresses in turn.
    Rotates(BTreeSet<IpAddr>),
}

impl Happening {
    /// The line that people should find later, if it is worth one. The first address is no change, and neither are the moves
    /// of a reader endpoint, of which each answer is one random member.
    pub fn text(&self, role: Role) -> Option<String> {
        match self {
            Self::Moved { from, .. } if from.is_empty() || role == Role::Reader => None,
            Self::Moved { from, to, is_ahead } => {
                let why = if *is_ahead { AHEAD } else { "" };
                Some(format!("moved from {} to {}{why}", join(from), join(to)))
            }
            Self::Unresolved(why) => Some(format!("cannot be resolved: {why}")),
            Self::Resolved => Some("resolved again".into()),
            Self::Disputed(words) => Some(format!("not the same to all name servers: {words}")),
            Self::Agreed => Some("the same to all name servers again".into()),
            Self::Rotates(members) => Some(format!("gives {} in turn", join(members))),
            Self::Refused(refusals) => Some(format!("may not be connected to at {}", join(refusals.keys()))),
        }
    }
}

/// The name by which people are told of the proxy that listens there.
pub fn name(listen: SocketAddr) -> String {
    format!("proxy {listen}")
}

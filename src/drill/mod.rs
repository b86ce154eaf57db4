//! Measures a failover that somebody else triggers: what was seen when, what of it matters, and how far each lagged behind the
//! connection that was lost. It only looks.
//!
//! - [`watch`]: looks at name servers, the group, addresses, members and load balancers, each by itself. The only part that waits.
//! - [`record`]: what was seen, as changes (pure). [`event`] reads what RDS tells of it; [`progress`] says it as it comes.
//! - [`judge`]: the moments that matter in a record, and what is still missing (pure).
//! - [`report`]: all that as one document (pure). [`table`], [`picture`] and [`redact`] draw it and take names out of it.
//! - [`trigger`]: the command with which the failover is triggered, by somebody else.

pub mod event;
pub mod judge;
pub mod picture;
pub mod progress;
pub mod record;
pub mod redact;
pub mod report;
pub mod table;
pub mod trigger;
pub mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::aws::elb;
use crate::planner::endpoint::Endpoint;
use crate::planner::lead::Says;
use crate::planner::target::{State, Target};
use crate::planner::time::Timestamp;
use crate::planner::wrong::Wrong;
use event::Event;

/// A look, and what came of it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What was seen.
    pub seen: Seen,
}

/// What a look showed.
#[derive(Clone, Debug)]
pub enum Seen {
    /// What one name server said: addresses, or why there are none.
    Dns(SocketAddr, record::Answer),
    /// The targets of the group, or why they could not be listed.
    Group(Result<BTreeMap<Target, State>, elb::Error>),
    /// How an address answers.
    Address(SocketAddr, Reach),
    /// What a member says of itself, and since when it has said so; it was heard when the look began.
    Member(IpAddr, Says, Timestamp),
    /// How a load balancer's or a proxy's address answers.
    Through(Way, Reach),
    /// What RDS told.
    Event(Event),
    /// What is not watched, or not as it was meant, and why.
    Gone(Watched, Why),
}

/// How far somebody gets who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A database takes sessions there; whether it takes writes was not asked.
    Sessions,
    /// A database that says that it is the writer.
    Writer,
    /// A database that says that it is a reader.
    Reader,
    /// No database that takes sessions.
    Lost(String),
    /// It is not asked: that would do harm.
    NotAsked(&'static str),
}

/// Why something is not watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// In words of ours.
    pub why: &'static str,
    /// In words of others, which may have names in them.
    pub detail: Option<String>,
}

impl Why {
    /// In words of ours alone.
    pub fn plain(why: &'static str) -> Self {
        Self { why, detail: None }
    }
}

impl Reach {
    /// Whether this is as good as it gets.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Sessions | Self::Writer)
    }

    /// A name that never changes, for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Lost(_) => "lost",
            Self::NotAsked(_) => "not_asked",
        }
    }

    /// What kept it from being better.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Lost(why) => Some(why),
            Self::NotAsked(why) => Some(why),
            Self::Sessions | Self::Writer | Self::Reader => None,
        }
    }
}

/// One address of what clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// What was given.
    pub through: Through,
    /// The address.
    pub address: SocketAddr,
}

/// What clients connect to: a load balancer, an endpoint of PrivateLink or a proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Through {
    /// By its address.
    Address(SocketAddr),
    /// By its name.
    Name(Endpoint),
}

impl FromStr for Through {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() > 0 => Ok(Self::Address(address)),
            Ok(_) => Err(Wrong::new(format!("{text:?} has no port"), "write HOST:PORT")),
            Err(_) => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(endpoint) => endpoint.fmt(f),
        }
    }
}

/// The kinds of what is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// The target group.
    Group,
    /// The addresses that DNS names.
    Addresses,
    /// The members.
    Members,
    /// What clients connect to, any of it.
    Throughs,
    /// One of these.
    Through(Through),
    /// Who is reached by one of these.
    WriterThrough(Through),
    /// Events of RDS.
    Events,
}

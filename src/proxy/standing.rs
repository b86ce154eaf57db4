//! What is known of the addresses that clients are connected to: which take sessions, which are to be asked, and when. Pure:
//! time is an argument.
//!
//! | known of an address | a new client | asked |
//! |---|---|---|
//! | answered as ready, or a session to it was acknowledged, within [`FRESH`] | goes there | when health is due |
//! | nothing newer, PostgreSQL behind it | waits for the answer, a matter of a round trip | at once |
//! | nothing newer, something else behind it | goes there: what accepts the connection is ready | when health is due |
//! | failed: no connection, "starting up" (57P03), the end of a session that it brought about | waits | every [`HURRY`] while a client waits |
//!
//! With several addresses a client waits only if it can go to none of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::route::Route;
use crate::planner::endpoint::Role;
use crate::planner::time::Timestamp;
use crate::planner::wrong::{Wrong, one_of};

/// What was seen of an address counts for so long.
pub const FRESH: Duration = Duration::from_secs(15);
/// A session speaks for its address until the kernel has been asked twice whether it is acknowledged.
const SPEAKS: Duration = Duration::from_secs(11);
/// An address for which clients wait is asked this often.
pub const HURRY: Duration = Duration::from_millis(250);
/// An address that failed is asked this often while clients go to others, or are sent to other proxies: it may be back.
const AGAIN: Duration = Duration::from_secs(5);
/// An address that answered so lately is not doubted because a session ended.
const JUST_NOW: Duration = Duration::from_secs(1);

/// How to find out whether a database takes sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is PostgreSQL, unless it says otherwise, and is asked.
    Postgres,
    /// It does once it accepts connections.
    Tcp,
}

impl Readiness {
    /// The ports of RDS's other engines: MySQL and MariaDB, Oracle, SQL Server, Db2. MySQL counts connections that say
    /// nothing to its purpose, and blocks the host that makes too many of them (max_connect_errors).
    const OTHERS: [u16; 4] = [3306, 1521, 1433, 50000];

    /// How often a database is connected to, by default, where nothing else shows that it takes connections.
    pub fn probe_interval(self) -> Option<Duration> {
        match self {
            Self::Postgres => Some(Duration::from_secs(10)),
            Self::Tcp => None,
        }
    }

    /// What is to be expected behind a port.
    pub fn of_port(port: u16) -> Self {
        match Self::OTHERS.contains(&port) {
            true => Self::Tcp,
            false => Self::Postgres,
        }
    }
}

impl FromStr for Readiness {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        one_of(text, "readiness", &[("postgres", Self::Postgres), ("tcp", Self::Tcp)])
    }
}

/// How much to ask an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it accepts a connection.
    Connection,
    /// That, and whether PostgreSQL answers.
    Language,
    /// That, and whether it takes sessions.
    Session,
}

/// The outcome of asking an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Showed {
    /// It takes sessions.
    Ready,
    /// It answered, and was not asked about sessions.
    Accepted,
    /// It does not, and why.
    Failed(String),
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Clients wait.
    pub clients: bool,
    /// Sessions to a former address wait for their end.
    pub sessions: bool,
    /// A load balancer does.
    pub health: bool,
    /// And may be told what was seen so long ago; none: whatever was seen last.
    pub interval: Option<Duration>,
}

/// What is known of each address.
#[derive(Debug)]
pub struct Standings {
    readiness: Readiness,
    /// PostgreSQL has answered.
    pub is_postgres: bool,
    known: BTreeMap<IpAddr, Standing>,
}

#[derive(Clone, Debug, Default)]
struct Standing {
    /// When it last showed that it takes sessions.
    ready: Option<Timestamp>,
    /// When it last answered a question, or accepted a connection.
    accepted: Option<Timestamp>,
    /// When a session to it last showed that it is there: it began, or was acknowledged.
    carried: Option<Timestamp>,
    /// Why it takes none.
    failed: Option<String>,
    /// When it was last asked, and whether the answer is still out.
    asked: Option<Timestamp>,
    is_asked: bool,
}

impl Standings {
    /// Nothing is known yet.
    pub fn new(readiness: Readiness) -> Self {
        Self {
            readiness,
            is_postgres: false,
            known: BTreeMap::new(),
        }
    }

    /// What is there speaks another language than PostgreSQL's.
    pub fn is_not_postgres(&mut self) {
        self.readiness = Readiness::Tcp;
    }

    /// Whether a new client may go to an address.
    pub fn passes(&self, ip: IpAddr, now: Timestamp) -> bool {
        let standing = self.known.get(&ip);
        if standing.is_some_and(|standing| standing.failed.is_some()) {
            return false;
        }
        match self.readiness {
            Readiness::Tcp => true,
            Readiness::Postgres => standing
                .and_then(|standing| standing.ready)
                .is_some_and(|ready| now.since(ready) <= FRESH),
        }
    }

    /// A client was connected.
    pub fn accepted(&mut self, ip: IpAddr, now: Timestamp) {
        let standing = self.known.entry(ip).or_default();
        (standing.accepted, standing.carried) = (Some(now), Some(now));
        if self.readiness == Readiness::Tcp {
            (standing.ready, standing.failed) = (Some(now), None);
        }
    }

    /// It accepted a connection that was not a client's.
    pub fn connected(&mut self, ip: IpAddr, now: Timestamp) {
        self.known.entry(ip).or_default().accepted = Some(now);
    }

    /// A session to it was acknowledged: what it showed before still holds.
    pub fn heard(&mut self, ip: IpAddr, now: Timestamp) {
        let Some(standing) = self.known.get_mut(&ip) else {
            return;
        };
        if standing.failed.is_none() {
            (standing.accepted, standing.carried) = (Some(now), Some(now));
            standing.ready = standing.ready.map(|_| now);
        }
    }

    /// A client could not be connected to it. Whether that is news.
    pub fn failed(&mut self, ip: IpAddr, why: String) -> bool {
        let standing = self.known.entry(ip).or_default();
        standing.ready = None;
        standing.failed.replace(why).is_none()
    }

    /// It ended a session, or no longer answers on one: what it showed before may hold no more.
    pub fn doubted(&mut self, ip: IpAddr, now: Timestamp) {
        let Some(standing) = self.known.get_mut(&ip) else {
            return;
        };
        let has_just_answered = standing.asked.is_some_and(|asked| now.since(asked) < JUST_NOW);
        if self.readiness == Readiness::Postgres && !has_just_answered && standing.failed.is_none() {
            standing.ready = None;
        }
    }

    /// The addresses of a route that are to be asked now, and how; they are taken as asked.
    pub fn ask(&mut self, route: &Route, wants: Wants, now: Timestamp) -> Vec<(IpAddr, Question)> {
        let is_due = |ip: &IpAddr| self.due(*ip, route, wants, now).is_some_and(|due| due <= now);
        let due: Vec<IpAddr> = route.addresses.iter().copied().filter(is_due).collect();
        let mut ask = |ip: IpAddr| {
            let standing = self.known.entry(ip).or_default();
            (standing.asked, standing.is_asked) = (Some(now), true);
            let matters = wants.clients || wants.sessions || standing.failed.is_some();
            let question = match self.readiness {
                Readiness::Tcp => Question::Connection,
                Readiness::Postgres if matters => Question::Session,
                Readiness::Postgres => Question::Language,
            };
            (ip, question)
        };
        due.into_iter().map(&mut ask).collect()
    }

    /// When an address of a route is to be asked next.
    pub fn next(&self, route: &Route, wants: Wants, now: Timestamp) -> Option<Timestamp> {
        let due = |ip: &IpAddr| self.due(*ip, route, wants, now);
        route.addresses.iter().filter_map(due).min()
    }

    fn due(&self, ip: IpAddr, route: &Route, wants: Wants, now: Timestamp) -> Option<Timestamp> {
        let standing = self.known.get(&ip).cloned().unwrap_or_default();
        if standing.is_asked {
            return None;
        }
        let after = |apart| standing.asked.map_or(now, |asked| asked + apart);
        let passes = self.passes(ip, now);
        let is_wanted = wants.clients && !passes || wants.sessions && !self.is_ready(ip, now);
        let in_a_hurry = is_wanted.then(|| after(HURRY));
        // No client would find out that it is back.
        let is_avoided = standing.failed.is_some() && (route.addresses.len() > 1 || wants.health);
        let again = is_avoided.then(|| after(AGAIN));
        let health = wants.interval.filter(|_| wants.health).map(|apart| {
            let seen = self.last(route).map_or(now, |last| last + apart);
            let spoken_for = self
                .latest(route, |standing| standing.carried)
                .map_or(now, |carried| carried + SPEAKS);
            seen.max(spoken_for).max(after(apart))
        });
        [in_a_hurry, again, health].into_iter().flatten().min()
    }

    /// It could not be asked, for want of something here.
    pub fn not_asked(&mut self, ip: IpAddr) {
        if let Some(standing) = self.known.get_mut(&ip) {
            standing.is_asked = false;
        }
    }

    /// Takes the outcome. Whether it is news, and good or bad.
    pub fn showed(&mut self, ip: IpAddr, showed: Showed, now: Timestamp) -> bool {
        let standing = self.known.entry(ip).or_default();
        standing.is_asked = false;
        match showed {
            Showed::Failed(why) => self.failed(ip, why),
            Showed::Accepted => false,
            Showed::Ready => {
                (standing.accepted, standing.ready) = (Some(now), Some(now));
                standing.failed.take().is_some()
            }
        }
    }

    /// Whether an address has shown that it takes sessions, lately.
    pub fn is_ready(&self, ip: IpAddr, now: Timestamp) -> bool {
        let ready = self.known.get(&ip).and_then(|standing| standing.ready);
        ready.is_some_and(|ready| now.since(ready) <= FRESH)
    }

    /// Whether it has shown so since a moment.
    pub fn is_ready_since(&self, ip: IpAddr, since: Timestamp) -> bool {
        let ready = self.known.get(&ip).and_then(|standing| standing.ready);
        ready.is_some_and(|ready| ready >= since)
    }

    /// Why clients cannot go to an address.
    pub fn why(&self, ip: IpAddr) -> Option<&str> {
        self.known.get(&ip)?.failed.as_deref()
    }

    /// When an address of the route last accepted a connection. Each answer for a reader is another member, so what one of
    /// them accepted speaks for all.
    pub fn last(&self, route: &Route) -> Option<Timestamp> {
        self.latest(route, |standing| standing.accepted)
    }

    fn latest(&self, route: &Route, of: impl Fn(&Standing) -> Option<Timestamp>) -> Option<Timestamp> {
        let speaks = |ip: &IpAddr| route.role == Role::Reader || route.names(*ip);
        let known = self.known.iter().filter(|(ip, _)| speaks(ip));
        known.filter_map(|(_, standing)| of(standing)).max()
    }

    /// The endpoint has moved: each address's next failure is news again, and what is not the endpoint's any more is
    /// forgotten, unless the answers of its name are samples.
    pub fn moved(&mut self, route: &Route) {
        if route.role == Role::Writer {
            self.known.retain(|ip, _| route.names(*ip));
        }
        let oldest = self.known.len().saturating_sub(KNOWN_MAX);
        if oldest > 0 {
            let named: Vec<IpAddr> = self.known.keys().filter(|ip| !route.names(**ip)).copied().collect();
            named.iter().take(oldest).for_each(|ip| {
                self.known.remove(ip);
            });
        }
    }
}

/// Addresses of which something is known.
const KNOWN_MAX: usize = 64;

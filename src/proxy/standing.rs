//! What is known of the addresses that clients are connected to: which take sessions, which are to be asked, and when. Pure:
//! time is an argument.
//!
//! | known of an address | a new client | asked |
//! |---|---|---|
//! | answered as ready, or a session to it was acknowledged, within [`FRESH`] | goes there | when health is due |
//! | nothing newer, PostgreSQL behind it | waits for the answer, a few round trips, and goes there after a second without one | at once |
//! | nothing newer, something else behind it | goes there: what accepts the connection is ready | when health is due |
//! | failed: no connection, "starting up" (57P03), the end of a session that it brought about | waits | every [`HURRY`] while a client waits |
//!
//! With several addresses a client waits only if it can go to none of them, and those that it passes by are asked beside.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::route::Route;
use crate::planner::endpoint::Role;
use crate::planner::engine::Engine;
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
/// After so many ends in a row instead of an answer it is taken that the end is meant for us alone.
const ENDS_MAX: u32 = 8;
/// After so many silences instead of a first answer it is taken for something that waits for another language.
const SILENCES_MAX: u32 = 3;
/// An address that answered so lately is not doubted because a session ended.
const JUST_NOW: Duration = Duration::from_secs(1);

/// Addresses of which something is known.
const KNOWN_MAX: usize = 64;

/// How to find out whether a database takes sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is PostgreSQL, unless it says otherwise, and is asked.
    Postgres,
    /// It does once it accepts connections.
    Tcp,
}

impl Readiness {
    /// What is to be expected behind a port. MySQL counts connections that say nothing to its purpose, and blocks the host that
    /// makes too many of them (max_connect_errors).
    pub fn of_port(port: u16) -> Self {
        match Engine::of(port) {
            Some(_) => Self::Tcp,
            None => Self::Postgres,
        }
    }
}

/// How often a database is connected to where nothing else shows that it takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probes {
    /// PostgreSQL every ten seconds, and never what may count that against us.
    ByReadiness,
    /// This often.
    Every(Duration),
    /// Only while a client waits, or has found that it fails.
    Never,
}

impl Probes {
    /// How often, where this is how readiness is found out.
    pub fn interval(self, readiness: Readiness) -> Option<Duration> {
        match (self, readiness) {
            (Self::Every(interval), _) => Some(interval),
            (Self::ByReadiness, Readiness::Postgres) => Some(Duration::from_secs(10)),
            (Self::ByReadiness, Readiness::Tcp) | (Self::Never, _) => None,
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
    /// It accepted a connection and ended it without an answer, in these words.
    Ended(String),
    /// It accepted a connection and said nothing in time.
    Silent,
}

/// Where a new client goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// To one of these. Whether others are to be asked beside.
    Open(Vec<IpAddr>, bool),
    /// Nobody knows yet: to one of these, if no answer comes soon.
    Unsure(Vec<IpAddr>),
    /// Nowhere.
    Closed,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Clients wait.
    pub clients: bool,
    /// Clients have passed an address by because nothing is known of it.
    pub spread: bool,
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
    /// How often something that has never answered has said nothing.
    silences: u32,
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
    /// How often in a row it ended the connection instead of an answer.
    ends: u32,
}

impl Standings {
    /// Nothing is known yet.
    pub fn new(readiness: Readiness) -> Self {
        Self {
            readiness,
            is_postgres: false,
            silences: 0,
            known: BTreeMap::new(),
        }
    }

    /// What is there speaks another language than PostgreSQL's.
    pub fn is_not_postgres(&mut self) {
        self.readiness = Readiness::Tcp;
    }

    /// How readiness is found out, as far as is known.
    pub fn readiness(&self) -> Readiness {
        self.readiness
    }

    /// Where a new client goes.
    pub fn choose(&self, route: &Route, now: Timestamp) -> Choice {
        if route.waits() {
            return Choice::Closed;
        }
        let (open, others): (Vec<IpAddr>, Vec<IpAddr>) =
            route.addresses.iter().copied().partition(|ip| self.passes(*ip, now));
        let unsure: Vec<IpAddr> = others.into_iter().filter(|ip| self.why(*ip).is_none()).collect();
        match (open.is_empty(), unsure.is_empty()) {
            (false, _) => Choice::Open(open, !unsure.is_empty()),
            (true, false) => Choice::Unsure(unsure),
            (true, true) => Choice::Closed,
        }
    }

    /// Whether a new client may go to an address.
    pub fn passes(&self, ip: IpAddr, now: Timestamp) -> bool {
        let standing = self.known.get(&ip);
        if standing.is_some_and(|standing| standing.failed.is_some()) {
            return false;
        }
        match self.readiness {
            Readiness::Tcp => true,
            Readiness::Postgres => self.is_ready(ip, now),
        }
    }

    /// A client was connected. Whether others may go there now who could not before.
    pub fn accepted(&mut self, ip: IpAddr, now: Timestamp) -> bool {
        let standing = self.known.entry(ip).or_default();
        (standing.accepted, standing.carried) = (Some(now), Some(now));
        if self.readiness == Readiness::Postgres {
            return false;
        }
        standing.ready = Some(now);
        standing.failed.take().is_some()
    }

    /// It accepted a connection that was not a client's.
    pub fn connected(&mut self, ip: IpAddr, now: Timestamp) {
        self.known.entry(ip).or_default().accepted = Some(now);
    }

    /// A session to it was acknowledged: what it showed before still holds. Whether clients may go there now who could not before.
    pub fn heard(&mut self, ip: IpAddr, now: Timestamp) -> bool {
        let passed = self.passes(ip, now);
        let Some(standing) = self.known.get_mut(&ip) else {
            return false;
        };
        if standing.failed.is_none() {
            (standing.accepted, standing.carried) = (Some(now), Some(now));
            standing.ready = standing.ready.map(|_| now);
        }
        !passed && self.passes(ip, now)
    }

    /// A client could not be connected to it. Whether that is news.
    pub fn failed(&mut self, ip: IpAddr, why: String) -> bool {
        let standing = self.known.entry(ip).or_default();
        standing.ready = None;
        standing.failed.replace(why).is_none()
    }

    /// It ended a session, or no longer answers on one: what it showed before may hold no more. Short sessions, which clients of
    /// something else than PostgreSQL may leave to it to end, are no sign.
    pub fn doubted(&mut self, ip: IpAddr, was_short: bool, now: Timestamp) {
        if was_short && !self.is_postgres {
            return;
        }
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
            let matters = wants.clients || wants.spread || wants.sessions || standing.failed.is_some();
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
        let unknown = Standing::default();
        let standing = self.known.get(&ip).unwrap_or(&unknown);
        if standing.is_asked {
            return None;
        }
        let after = |apart| standing.asked.map_or(now, |asked| asked + apart);
        let passes = self.passes(ip, now);
        let is_passed_by = wants.spread && standing.failed.is_none();
        let is_wanted = (wants.clients || is_passed_by) && !passes || wants.sessions && !self.is_ready(ip, now);
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
        standing.ends = match showed {
            Showed::Ended(_) => standing.ends + 1,
            _ => 0,
        };
        match showed {
            Showed::Failed(why) => self.failed(ip, why),
            Showed::Ended(why) if standing.ends < ENDS_MAX => self.failed(ip, why),
            Showed::Accepted => false,
            Showed::Ready | Showed::Ended(_) => {
                (standing.accepted, standing.ready) = (Some(now), Some(now));
                standing.failed.take().is_some()
            }
            Showed::Silent => {
                standing.accepted = Some(now);
                let is_news = standing.failed.take().is_some();
                self.silences += 1;
                if !self.is_postgres && self.silences >= SILENCES_MAX {
                    self.is_not_postgres();
                }
                is_news
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

#[cfg(test)]
mod tests {
    use super::super::route::Rules;
    use super::*;

    const WRITER: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    fn route(addresses: &[u8]) -> Route {
        let mut route = Rules::default().start(WRITER, 5432);
        route.addresses = addresses.iter().copied().map(ip).collect();
        route
    }

    /// Something that happens to the first address.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Ready,
        Accepted,
        Fails,
        Client,
        Refused,
        Heard,
        Doubt,
        NotPostgres,
    }
    use Event::*;

    fn happen(known: &mut Standings, event: Event, now: Timestamp) {
        match event {
            Ready => drop(known.showed(ip(1), Showed::Ready, now)),
            Accepted => drop(known.showed(ip(1), Showed::Accepted, now)),
            Fails => drop(known.showed(ip(1), Showed::Failed("57P03".into()), now)),
            Client => drop(known.accepted(ip(1), now)),
            Refused => drop(known.failed(ip(1), "refused".into())),
            Heard => drop(known.heard(ip(1), now)),
            Doubt => known.doubted(ip(1), false, now),
            NotPostgres => known.is_not_postgres(),
        }
    }

    /// Events at seconds, a later second, and whether a client then goes to the address: where PostgreSQL is asked, and where
    /// connections are enough.
    #[test]
    fn a_client_goes_where_sessions_are_taken() {
        for (events, now, postgres, tcp) in [
            (&[][..], 0, false, true),
            (&[(0, Ready)], 15, true, true),
            (&[(0, Ready)], 16, false, true),
            (&[(0, Accepted)], 1, false, true),
            (&[(0, Client)], 1, false, true),
            (&[(0, Fails)], 1, false, false),
            (&[(0, Fails)], 100, false, false),
            (&[(0, Fails), (1, Ready)], 2, true, true),
            (&[(0, Ready), (1, Refused)], 2, false, false),
            // A session keeps up what was shown, and mends nothing.
            (&[(0, Ready), (14, Heard)], 29, true, true),
            (&[(0, Ready), (1, Refused), (2, Heard)], 3, false, false),
            (&[(0, Client), (1, Heard)], 2, false, true),
            // One that the database ended.
            (&[(0, Ready), (5, Doubt)], 5, false, true),
            (&[(0, Ready), (5, Doubt), (6, Heard)], 6, false, true),
            (&[(0, Ready), (5, Doubt), (6, Ready)], 6, true, true),
            // It speaks another language after all.
            (&[(0, NotPostgres)], 1, true, true),
            (&[(0, NotPostgres), (1, Refused)], 2, false, false),
            (&[(0, NotPostgres), (1, Refused), (2, Client)], 3, true, true),
        ] {
            for (readiness, expect) in [(Readiness::Postgres, postgres), (Readiness::Tcp, tcp)] {
                let mut known = Standings::new(readiness);
                for (secs, event) in events {
                    happen(&mut known, *event, at(secs * 1000));
                }
                assert_eq!(
                    known.passes(ip(1), at(now * 1000)),
                    expect,
                    "{readiness:?} {events:?} at {now}"
                );
            }
        }
    }

    /// A session that ends a moment after the address has answered is no news: log-ins fail, and clients come and go.
    #[test]
    fn an_address_that_has_just_answered_is_not_doubted() {
        for (millis, passes) in [(500, true), (999, true), (1000, false), (5000, false)] {
            let mut known = Standings::new(Readiness::Postgres);
            let wants = Wants {
                clients: true,
                ..Wants::default()
            };
            assert_eq!(known.ask(&route(&[1]), wants, at(0)), [(ip(1), Question::Session)]);
            happen(&mut known, Ready, at(10));
            known.doubted(ip(1), false, at(millis));
            assert_eq!(known.passes(ip(1), at(millis)), passes, "{millis} ms");
        }
    }

    /// What two addresses showed, and where a client goes: to which, and whether the other is asked beside.
    #[test]
    fn a_client_is_kept_away_only_by_what_an_address_says() {
        let ready = || Some(Showed::Ready);
        let fails = || Some(Showed::Failed("57P03".into()));
        for (showed, expect) in [
            ([ready(), ready()], Choice::Open(vec![ip(1), ip(2)], false)),
            ([ready(), fails()], Choice::Open(vec![ip(1)], false)),
            ([ready(), None], Choice::Open(vec![ip(1)], true)),
            ([None, fails()], Choice::Unsure(vec![ip(1)])),
            ([None, None], Choice::Unsure(vec![ip(1), ip(2)])),
            ([fails(), fails()], Choice::Closed),
            ([Some(Showed::Silent), fails()], Choice::Unsure(vec![ip(1)])),
        ] {
            let mut known = Standings::new(Readiness::Postgres);
            for (last, showed) in showed.into_iter().enumerate() {
                if let Some(showed) = showed {
                    known.showed(ip(u8::try_from(last + 1).expect("two")), showed, at(0));
                }
            }
            let found = known.choose(&route(&[1, 2]), at(0));
            assert_eq!(found, expect);
            let wants = Wants {
                spread: true,
                ..Wants::default()
            };
            let asked = known.ask(&route(&[1, 2]), wants, at(1000));
            let is_asked = asked.iter().any(|(_, question)| *question == Question::Session);
            // One that failed is asked besides.
            let has_failed = [1, 2].iter().any(|last| known.why(ip(*last)).is_some());
            let is_wanted = has_failed || matches!(found, Choice::Open(_, true) | Choice::Unsure(_));
            assert_eq!(is_asked, is_wanted, "{found:?}");
        }
    }

    /// Whether what a client, or the kernel, showed lets others in who wait.
    #[test]
    fn who_waits_hears_of_what_others_found() {
        let mut known = Standings::new(Readiness::Tcp);
        known.failed(ip(1), "refused".into());
        assert_eq!([1, 2].map(|secs| known.accepted(ip(1), at(secs))), [true, false]);
        let mut known = Standings::new(Readiness::Postgres);
        known.showed(ip(1), Showed::Ready, at(0));
        assert_eq!(
            [10_000, 30_000, 31_000].map(|millis| known.heard(ip(1), at(millis))),
            [false, true, false]
        );
    }

    #[test]
    fn a_short_session_that_ends_is_a_sign_only_where_postgresql_answers() {
        for (is_postgres, was_short, passes) in [(true, true, false), (true, false, false), (false, true, true)] {
            let mut known = Standings::new(Readiness::Postgres);
            known.is_postgres = is_postgres;
            known.showed(ip(1), Showed::Ready, at(0));
            known.doubted(ip(1), was_short, at(5000));
            assert_eq!(known.passes(ip(1), at(5000)), passes, "{is_postgres} {was_short}");
        }
    }

    /// So many ends instead of an answer, and so many silences of what has never answered.
    #[test]
    fn what_is_meant_for_us_alone_keeps_nobody_away_for_long() {
        let mut known = Standings::new(Readiness::Postgres);
        known.is_postgres = true;
        let mut end = || {
            known.showed(ip(1), Showed::Ended("reset".into()), at(0));
            known.passes(ip(1), at(0))
        };
        let passed: Vec<bool> = (0..ENDS_MAX).map(|_| end()).collect();
        assert_eq!(passed.iter().filter(|passed| **passed).count(), 1, "{passed:?}");
        assert_eq!(passed.last(), Some(&true));
        let mut known = Standings::new(Readiness::Postgres);
        for _ in 0..SILENCES_MAX {
            assert!(!known.passes(ip(1), at(0)));
            known.showed(ip(1), Showed::Silent, at(0));
        }
        assert_eq!(known.readiness(), Readiness::Tcp);
    }

    const NOBODY: Wants = Wants {
        clients: false,
        spread: false,
        sessions: false,
        health: false,
        interval: Some(Duration::from_secs(10)),
    };
    const CLIENTS: Wants = Wants {
        clients: true,
        ..NOBODY
    };
    const SESSIONS: Wants = Wants {
        sessions: true,
        ..NOBODY
    };
    const HEALTH: Wants = Wants { health: true, ..NOBODY };
    const NEVER: Wants = Wants {
        interval: None,
        ..HEALTH
    };

    /// Events at seconds of an address that was asked at 0, who wants to know, and in how many milliseconds it is asked.
    #[test]
    fn an_address_is_asked_when_somebody_wants_to_know() {
        for (addresses, events, wants, next) in [
            (&[1][..], &[][..], NOBODY, None),
            (&[1], &[(0, Ready)], NOBODY, None),
            (&[1], &[(0, Fails)], NOBODY, None),
            (&[1], &[], CLIENTS, Some(250)),
            (&[1], &[(0, Fails)], CLIENTS, Some(250)),
            (&[1], &[(0, Ready)], CLIENTS, None),
            (&[1], &[(0, Ready)], SESSIONS, None),
            (&[1], &[(0, Accepted)], SESSIONS, Some(250)),
            (&[1], &[(0, Fails)], SESSIONS, Some(250)),
            (&[1], &[(0, Ready)], HEALTH, Some(10_000)),
            (&[1], &[(0, Fails)], HEALTH, Some(5_000)),
            (&[1], &[(0, Fails)], NEVER, Some(5_000)),
            (&[1], &[(0, Ready)], NEVER, None),
            // A session speaks for it.
            (&[1], &[(0, Ready), (9, Heard)], HEALTH, Some(20_000)),
            (&[1], &[(0, Ready), (9, Client)], HEALTH, Some(20_000)),
            // Clients go to the other one.
            (&[1, 2], &[(0, Fails)], NOBODY, Some(5_000)),
        ] {
            let mut known = Standings::new(Readiness::Postgres);
            let route = route(addresses);
            let both = Wants {
                clients: true,
                ..NOBODY
            };
            assert_eq!(known.ask(&route, both, at(0)).len(), addresses.len());
            assert_eq!(known.next(&route, both, at(0)), None, "it is asked already");
            addresses.iter().for_each(|last| known.not_asked(ip(*last)));
            if addresses.len() > 1 {
                known.showed(ip(2), Showed::Ready, at(0));
            }
            for (secs, event) in events {
                happen(&mut known, *event, at(secs * 1000));
            }
            let expect = next.map(at);
            assert_eq!(
                known.next(&route, wants, at(0)),
                expect,
                "{addresses:?} {events:?} {wants:?}"
            );
        }
    }

    #[test]
    fn health_asks_for_no_more_than_it_needs() {
        for (readiness, wants, fails, question) in [
            (Readiness::Postgres, HEALTH, false, Question::Language),
            (Readiness::Postgres, HEALTH, true, Question::Session),
            (Readiness::Postgres, CLIENTS, false, Question::Session),
            (Readiness::Postgres, SESSIONS, false, Question::Session),
            (Readiness::Tcp, HEALTH, false, Question::Connection),
            (Readiness::Tcp, HEALTH, true, Question::Connection),
        ] {
            let mut known = Standings::new(readiness);
            if fails {
                known.failed(ip(1), "refused".into());
            }
            assert_eq!(
                known.ask(&route(&[1]), wants, at(0)),
                [(ip(1), question)],
                "{readiness:?} {wants:?} {fails}"
            );
        }
    }

    #[test]
    fn the_first_of_a_row_of_failures_is_news_and_so_is_their_end() {
        let mut known = Standings::new(Readiness::Postgres);
        let fails = || Showed::Failed("57P03".into());
        let showed = [fails(), fails(), Showed::Ready, Showed::Ready, fails()];
        let news: Vec<bool> = showed
            .into_iter()
            .map(|showed| known.showed(ip(1), showed, at(0)))
            .collect();
        assert_eq!(news, [true, false, true, false, true]);
        // A writer that has moved has left what it knew of others behind.
        known.moved(&route(&[2]));
        assert_eq!(known.why(ip(1)), None);
    }

    #[test]
    fn the_ports_of_other_engines_are_not_asked_about_postgresql() {
        for (port, probes, interval) in [
            (5432, Probes::ByReadiness, Some(10)),
            (6543, Probes::ByReadiness, Some(10)),
            (5432, Probes::Never, None),
            (3306, Probes::ByReadiness, None),
            (1433, Probes::ByReadiness, None),
            (3306, Probes::Every(Duration::from_secs(30)), Some(30)),
        ] {
            let found = probes.interval(Readiness::of_port(port));
            assert_eq!(found, interval.map(Duration::from_secs), "{port} {probes:?}");
        }
    }
}

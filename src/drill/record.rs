//! What was seen during a drill, as changes: a look that shows the same as the one before says only that it was still so. Pure: time
//! is an argument. What is remembered is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::event::Event;
use super::{Observation, Reach, Seen, Watched, Way, Why};
use crate::aws::elb;
use crate::planner::answer::Failure;
use crate::planner::lead::Says;
use crate::planner::target::{State, Target};
use crate::planner::time::Timestamp;

/// Changes that are remembered of one thing: a failover has a few, and a flutter of four a second fills them in a quarter of an hour.
/// Beyond, the last one is overwritten.
pub const CHANGES_MAX: usize = 4096;
/// Events that are remembered: a failover has about ten.
const EVENTS_MAX: usize = 256;
/// Clocks differ: an event that is older than the drill by no more than this belongs to it.
const EVENT_SLACK: Duration = Duration::from_secs(5);

/// Since when something has been so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<T> {
    /// What is so.
    pub value: T,
    /// When it was first seen.
    pub at: Timestamp,
    /// When it was last seen to be otherwise; none where nobody had looked before.
    pub after: Option<Timestamp>,
}

/// What one thing was, and when.
#[derive(Clone, Debug)]
pub struct Series<T> {
    changes: Vec<Change<T>>,
    last: Option<Timestamp>,
}

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            last: None,
        }
    }
}

/// For how long something was so without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// When it was first seen.
    pub at: Timestamp,
    /// When it was last seen to be otherwise before.
    pub after: Option<Timestamp>,
    /// When it was first seen to be otherwise again; none if it is still so.
    pub until: Option<Timestamp>,
}

impl<T: PartialEq> Series<T> {
    /// Takes what a look showed; whether that is something else than before.
    pub fn note(&mut self, value: T, at: Timestamp) -> bool {
        let is_news = self.changes.last().is_none_or(|change| change.value != value);
        if is_news {
            if self.changes.len() == CHANGES_MAX {
                self.changes.pop();
            }
            let after = self.last;
            self.changes.push(Change { value, at, after });
        }
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        is_news
    }
}

impl<T> Series<T> {
    /// The changes, in order.
    pub fn changes(&self) -> &[Change<T>] {
        &self.changes
    }

    /// What it was when it was first looked at.
    pub fn first(&self) -> Option<&T> {
        self.changes.first().map(|change| &change.value)
    }

    /// What it is now.
    pub fn now(&self) -> Option<&T> {
        self.changes.last().map(|change| &change.value)
    }

    /// When it was so, in order.
    pub fn runs(&self, is_so: impl Fn(&T) -> bool) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut is_open = false;
        for change in &self.changes {
            match (is_so(&change.value), is_open) {
                (true, false) => runs.push(Run {
                    at: change.at,
                    after: change.after,
                    until: None,
                }),
                (false, true) => {
                    if let Some(run) = runs.last_mut() {
                        run.until = Some(change.at);
                    }
                }
                (true, true) | (false, false) => {}
            }
            is_open = is_so(&change.value);
        }
        runs
    }
}

/// What one name server said.
pub type Answer = Result<BTreeSet<IpAddr>, Failure>;

/// What is to be looked at once before a failover is triggered.
#[derive(Clone, Copy, Debug)]
pub struct First {
    /// So many name servers.
    pub servers: usize,
    /// So many addresses of what clients connect to.
    pub ways: usize,
    /// The group.
    pub has_group: bool,
    /// A member.
    pub has_members: bool,
}

/// All that was seen.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it began.
    pub started: Timestamp,
    /// When the failover was triggered, if somebody said so.
    pub triggered: Option<Timestamp>,
    /// What DNS named when all had been looked at once; empty until then.
    first_named: BTreeSet<IpAddr>,
    /// What each name server said.
    pub dns: BTreeMap<SocketAddr, Series<Answer>>,
    /// The targets of the group, whenever they could be listed.
    pub group: Series<BTreeMap<Target, State>>,
    /// Why they could not.
    pub unlisted: Series<Option<elb::Error>>,
    /// How addresses answered.
    pub addresses: BTreeMap<SocketAddr, Series<Reach>>,
    /// What members said.
    pub members: BTreeMap<IpAddr, Series<Says>>,
    /// How load balancers and proxies answered.
    pub ways: BTreeMap<Way, Series<Reach>>,
    /// What RDS told, in the order in which it came.
    pub events: Vec<Event>,
    /// What is not watched, and why.
    pub gone: BTreeMap<Watched, Why>,
}

impl Record {
    /// Nothing yet.
    pub fn new(started: Timestamp) -> Self {
        Self {
            started,
            triggered: None,
            first_named: BTreeSet::new(),
            dns: BTreeMap::new(),
            group: Series::default(),
            unlisted: Series::default(),
            addresses: BTreeMap::new(),
            members: BTreeMap::new(),
            ways: BTreeMap::new(),
            events: Vec::new(),
            gone: BTreeMap::new(),
        }
    }

    /// Takes a look; whether it shows anything new.
    pub fn note(&mut self, look: &Observation) -> bool {
        let Observation { began, ended, seen } = look;
        // What fails had failed when it was begun; what succeeds has done so at the end.
        let when = |reach: &Reach| if reach.is_good() { *ended } else { *began };
        match seen.clone() {
            Seen::Dns(server, said) => {
                let series = self.dns.entry(server).or_default();
                // Who gave no address has not named the former one again.
                let named = if said.is_ok() { Some(*ended) } else { series.last };
                let is_news = series.note(said, *ended);
                series.last = named;
                is_news
            }
            Seen::Group(Ok(targets)) => {
                let was_unlisted = self.unlisted.note(None, *ended);
                self.group.note(targets, *ended) || (was_unlisted && self.unlisted.changes().len() > 1)
            }
            Seen::Group(Err(error)) => self.unlisted.note(Some(error), *began),
            Seen::Address(address, reach) => {
                let at = when(&reach);
                self.addresses.entry(address).or_default().note(reach, at)
            }
            Seen::Member(ip, says, since) => {
                let member = self.members.entry(ip).or_default();
                let is_news = member.note(says, since);
                // It may have been heard before another was.
                member.last = Some(*began);
                is_news
            }
            Seen::Through(way, reach) => {
                let at = when(&reach);
                self.ways.entry(way).or_default().note(reach, at)
            }
            Seen::Event(event) => self.hear(event),
            Seen::Gone(watched, why) => self.gone.insert(watched, why.clone()) != Some(why),
        }
    }

    /// Takes an event, unless it is known or of another time.
    fn hear(&mut self, event: Event) -> bool {
        let is_of_before = event.dated.is_some_and(|dated| dated + EVENT_SLACK < self.started);
        let is_known = self.events.iter().any(|known| known.is_same(&event));
        let is_news = !is_of_before && !is_known && self.events.len() < EVENTS_MAX;
        if is_news {
            self.events.push(event);
        }
        is_news
    }

    /// What has not been looked at once.
    pub fn not_looked_at(&self, first: &First) -> Vec<&'static str> {
        let is_listed = self.group.now().is_some() || self.unlisted.now().is_some();
        let all = [
            (self.dns.len() < first.servers, "name servers"),
            (self.addresses.is_empty() && !self.old().is_empty(), "addresses"),
            (self.ways.len() < first.ways, "through"),
            (first.has_group && !is_listed, "target group"),
            (first.has_members && self.members.is_empty(), "members"),
        ];
        let missing = all.into_iter().filter(|(is_missing, _)| *is_missing);
        missing.map(|(_, what)| what).collect()
    }

    /// From now on a failover may be triggered: what name servers that have been silent name first is not of before.
    pub fn begin(&mut self) {
        self.first_named = self.old();
    }

    /// Why the targets cannot be listed now, if so.
    pub fn unlisted_now(&self) -> Option<&elb::Error> {
        self.unlisted.now().and_then(Option::as_ref)
    }

    /// The addresses that DNS named first.
    pub fn old(&self) -> BTreeSet<IpAddr> {
        if !self.first_named.is_empty() {
            return self.first_named.clone();
        }
        let first = |series: &Series<Answer>| {
            let mut answers = series.changes().iter().filter_map(|change| change.value.as_ref().ok());
            answers.next().cloned().unwrap_or_default()
        };
        self.dns.values().flat_map(first).collect()
    }

    /// The addresses that DNS names now.
    pub fn named(&self) -> BTreeSet<IpAddr> {
        let latest = |series: &Series<Answer>| {
            let mut answers = series
                .changes()
                .iter()
                .rev()
                .filter_map(|change| change.value.as_ref().ok());
            answers.next().cloned().unwrap_or_default()
        };
        self.dns.values().flat_map(latest).collect()
    }

    /// The writer by its own word now, if exactly one says so.
    pub fn writer(&self) -> Option<IpAddr> {
        let mut writers = self
            .members
            .iter()
            .filter(|(_, says)| says.now() == Some(&Says::Writer));
        match (writers.next(), writers.next()) {
            (Some((ip, _)), None) => Some(*ip),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000 + millis)
    }

    #[test]
    fn a_series_keeps_changes_and_what_is_known_of_the_moment() {
        let mut series = Series::default();
        for (value, millis) in [(1, 0), (1, 500), (2, 1_000), (2, 1_500), (1, 2_000)] {
            series.note(value, at(millis));
        }
        let change = |value, millis, after| Change {
            value,
            at: at(millis),
            after,
        };
        assert_eq!(
            series.changes(),
            [
                change(1, 0, None),
                change(2, 1_000, Some(at(500))),
                change(1, 2_000, Some(at(1_500)))
            ]
        );
        let run = |millis, after, until| Run {
            at: at(millis),
            after,
            until,
        };
        assert_eq!(
            series.runs(|value| *value == 2),
            [run(1_000, Some(at(500)), Some(at(2_000)))]
        );
        assert_eq!(
            series.runs(|value| *value == 1),
            [run(0, None, Some(at(1_000))), run(2_000, Some(at(1_500)), None)]
        );
    }

    #[test]
    fn a_flutter_takes_no_more_room_than_it_may() {
        let mut series = Series::default();
        for n in 0..2 * CHANGES_MAX as u64 + 1 {
            series.note(n % 2, at(n));
        }
        assert_eq!(series.changes().len(), CHANGES_MAX);
        assert_eq!(series.now(), Some(&0), "what is so now is known");
    }

    #[test]
    fn events_count_once_and_those_of_before_do_not() {
        let mut record = Record::new(at(100_000));
        let event = |dated: u64, text: &str| Event {
            came: at(200_000),
            dated: Some(at(dated)),
            phase: super::super::event::Phase::Other,
            id: None,
            text: text.to_owned(),
        };
        let looks = [
            event(80_000, "old"),
            event(99_000, "a"),
            event(99_000, "a"),
            event(99_000, "b"),
        ];
        let news = looks.map(|event| {
            record.note(&Observation {
                began: at(200_000),
                ended: at(200_000),
                seen: Seen::Event(event),
            })
        });
        assert_eq!(news, [false, true, false, true]);
    }
}

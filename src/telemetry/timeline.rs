//! What became of a target group or a proxy over the last hour, as spans of time: which target was named, proven, registered, healthy
//! and draining, and when nobody could see that. Pure: time is an argument. What is remembered is bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::follow::milestone::Milestone;
use crate::follow::report::Report;
use crate::planner::candidate::Probe;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::lead::Says;
use crate::planner::plan::{Held, Reason};
use crate::planner::target::{State, Target};
use crate::planner::time::Timestamp;
use crate::proxy::{Happening, Moment};

/// How far back it is told.
pub const KEPT: Duration = Duration::from_secs(3600);
/// Spans that are remembered of one target group or proxy, the one that ended first of which goes first: 6 KiB.
pub const SPANS_MAX: usize = 128;
/// Counts of sessions that are remembered of one proxy: an hour of one each ten seconds, and what is counted after a move; 6 KiB.
pub const SAMPLES_MAX: usize = 400;
/// How far apart sessions are counted while nothing happens.
const SAMPLED_APART: Duration = Duration::from_secs(10);
/// For how long after a move they are counted each time.
const WATCHED: Duration = Duration::from_secs(20);
/// Counts that are further apart have a gap between them.
const UNCOUNTED: Duration = Duration::from_secs(60);
/// A group that was not listed for so long was not looked at: with a thousand of them each has its turn within nine minutes.
const UNLISTED: Duration = Duration::from_secs(15 * 60);
/// A member of a reader endpoint that is missing from answers for less than this is there all the time.
const MISSING: Duration = Duration::from_secs(5 * 60);
/// What comes so soon after a change still belongs to it: the new target becomes healthy, the old one has drained.
const AFTERMATH: Duration = Duration::from_secs(120);
/// What is kept from before a change, to be drawn beside it.
const BEFORE: Duration = Duration::from_secs(60);

/// What a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// DNS names the target.
    Named,
    /// The target has shown what it has to: that it is the writer (`lead`), or that the database is there (`probe`).
    Proven,
    /// It is registered.
    Registered,
    /// It is healthy.
    Healthy,
    /// It is draining.
    Draining,
    /// The proxy connects clients to it.
    Used,
    /// The proxy wants clients.
    Ready,
    /// DNS cannot be asked.
    Unresolved,
    /// The targets of the group cannot be listed, or were not.
    Unlisted,
    /// Nobody looked.
    Unseen,
}

/// From when until when something was so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// What was so.
    pub lane: Lane,
    /// Of which target; none if it is about the whole.
    pub target: Option<Target>,
    /// Since when.
    pub from: Timestamp,
    /// Until when; none if it still is.
    pub until: Option<Timestamp>,
}

/// A change, from its first sign to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// When it was seen first.
    pub began: Timestamp,
    /// When the group equalled DNS again, and what came of it soon after.
    pub ended: Option<Timestamp>,
}

/// How many sessions a proxy had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// How many.
    pub open: u32,
}

/// What one look at a target group showed.
#[derive(Clone, Debug)]
pub struct Look {
    /// When it was decided on.
    pub at: Timestamp,
    /// When all that followed was done.
    pub ended: Timestamp,
    /// Whether answers name some of several members.
    pub is_of_readers: bool,
    /// The targets that DNS names, as far as it can be asked.
    pub named: BTreeSet<Target>,
    /// Whether an endpoint could not be resolved.
    pub is_blind: bool,
    /// Since when DNS has been seen without a gap.
    pub seeing_since: Option<Timestamp>,
    /// The targets that have shown what they have to.
    pub proven: BTreeSet<Target>,
    /// When the targets were listed, and their states; none if they could not be.
    pub listed: Option<(Timestamp, BTreeMap<Target, State>)>,
    /// Targets that were registered then.
    pub registered: BTreeSet<Target>,
    /// Targets that were deregistered then.
    pub deregistered: BTreeSet<Target>,
    /// Whether a change begins with it.
    pub begins: bool,
    /// Whether a change ends with it.
    pub ends: bool,
    /// Whether anything was reached.
    pub is_progress: bool,
}

/// What one glance at a proxy showed.
#[derive(Clone, Debug, Default)]
pub struct Glance {
    /// Where clients are connected to.
    pub targets: BTreeSet<Target>,
    /// Whether it wants clients.
    pub is_ready: bool,
    /// Its sessions.
    pub open: u64,
}

/// What became of one target group or proxy.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    spans: Vec<Span>,
    samples: VecDeque<Sample>,
    since: Option<Timestamp>,
    seen: Option<Timestamp>,
    listed: Option<Timestamp>,
    passage: Option<Passage>,
}

impl Look {
    /// What a report says.
    pub fn of(report: &Report) -> Self {
        let target = |endpoint: &Endpoint, ip| Target {
            ip,
            port: endpoint.port(),
        };
        let mut named = BTreeSet::new();
        let mut seeing_since = Vec::new();
        for (endpoint, sight) in &report.sights {
            if let Ok(answer) = &sight.seen {
                named.extend(answer.resolution.addresses().iter().map(|ip| target(endpoint, *ip)));
                seeing_since.push(answer.history.seeing_since);
            }
        }
        let mut proven = BTreeSet::new();
        for (endpoint, shown) in &report.members {
            let is_writer = |ip| shown.fresh(ip, report.at) == Some(&Says::Writer);
            let writers = shown.members.keys().filter(|ip| is_writer(**ip));
            proven.extend(writers.map(|ip| target(endpoint, *ip)));
        }
        if report.binding.policy.probe != Probe::None {
            let in_doubt = |named: &&Target| {
                let mut holds = report.plan.holds.iter();
                holds.any(|hold| matches!(hold.reason, Reason::Unproven(_)) && hold.what == Held::Target(**named))
            };
            proven.extend(named.iter().filter(|named| !in_doubt(named)).copied());
        }
        let reached = |is: fn(&Milestone) -> bool| report.reached.iter().any(is);
        let listed = report.targets.as_ref().ok().zip(report.listed);
        Self {
            at: report.at,
            ended: report.ended,
            is_of_readers: report.plan.role == Role::Reader,
            named,
            // Where the group is not known, nobody has looked at its names either.
            is_blind: report.sights.is_empty() || report.sights.values().any(|sight| sight.seen.is_err()),
            seeing_since: seeing_since.into_iter().max(),
            proven,
            listed: listed.map(|(targets, at)| {
                let states = targets.iter().map(|(target, listed)| (*target, listed.state.clone()));
                (at, states.collect())
            }),
            registered: report.registered.done.iter().copied().collect(),
            deregistered: report.deregistered.done.iter().copied().collect(),
            begins: reached(|milestone| {
                matches!(
                    milestone,
                    Milestone::Named(_) | Milestone::Ahead(_) | Milestone::Unnamed(_) | Milestone::RemovedByOthers(_)
                )
            }),
            ends: reached(|milestone| matches!(milestone, Milestone::Converged(_))),
            is_progress: !report.reached.is_empty(),
        }
    }
}

impl Timeline {
    /// Takes a look at a target group.
    pub fn note(&mut self, look: &Look) {
        let (at, ended) = (look.at, look.ended);
        self.note_gaps(look, at);
        if look.is_blind {
            // Nobody knows that a name is gone while the name servers are silent.
            look.named
                .iter()
                .for_each(|target| self.open(Lane::Named, Some(*target), at, Duration::ZERO));
        } else {
            let merged = if look.is_of_readers { MISSING } else { Duration::ZERO };
            self.hold(Lane::Named, &look.named, at, merged);
        }
        self.hold(Lane::Proven, &look.proven, at, Duration::ZERO);
        if let Some((listed, states)) = &look.listed {
            let listed = *listed;
            // A look at DNS alone takes the group as it was.
            if self.listed.is_none_or(|before| listed > before) {
                self.listed = Some(listed);
                let of = |is: fn(&State) -> bool| {
                    states
                        .iter()
                        .filter(move |(_, state)| is(state))
                        .map(|(target, _)| *target)
                };
                self.hold(
                    Lane::Registered,
                    &of(State::is_registered).collect(),
                    listed,
                    Duration::ZERO,
                );
                self.hold(
                    Lane::Healthy,
                    &of(|state| *state == State::Healthy).collect(),
                    listed,
                    Duration::ZERO,
                );
                self.hold(
                    Lane::Draining,
                    &of(|state| *state == State::Draining).collect(),
                    listed,
                    Duration::ZERO,
                );
            }
        }
        for target in &look.registered {
            self.close(Lane::Draining, Some(*target), ended);
            self.open(Lane::Registered, Some(*target), ended, Duration::ZERO);
        }
        for target in &look.deregistered {
            self.close(Lane::Registered, Some(*target), ended);
            self.close(Lane::Healthy, Some(*target), ended);
            self.open(Lane::Draining, Some(*target), ended, Duration::ZERO);
        }
        self.note_passage(look, at, ended);
        self.since.get_or_insert(at);
        self.seen = Some(at);
        self.forget(at);
    }

    fn note_gaps(&mut self, look: &Look, at: Timestamp) {
        if let Some((seen, seeing)) = self.seen.zip(look.seeing_since).filter(|(seen, seeing)| seeing > seen)
            && !self.is_open(Lane::Unresolved)
        {
            self.push(Lane::Unseen, None, seen, Some(seeing));
        }
        match look.is_blind {
            true => self.open(Lane::Unresolved, None, at, Duration::ZERO),
            false => self.close(Lane::Unresolved, None, at),
        }
        match &look.listed {
            None => self.open(Lane::Unlisted, None, at, Duration::ZERO),
            Some((listed, _)) => {
                let listed = *listed;
                if let Some(before) = self.listed.filter(|before| listed.since(*before) > UNLISTED)
                    && !self.is_open(Lane::Unlisted)
                {
                    self.push(Lane::Unlisted, None, before, Some(listed));
                }
                self.close(Lane::Unlisted, None, listed);
            }
        }
    }

    fn note_passage(&mut self, look: &Look, at: Timestamp, ended: Timestamp) {
        let is_over = self.passage.is_none_or(|passage| passage.ended.is_some());
        if look.begins && is_over {
            self.passage = Some(Passage { began: at, ended: None });
        }
        let Some(passage) = &mut self.passage else { return };
        let is_after = passage.ended.is_some_and(|end| ended.since(end) <= AFTERMATH);
        if (look.ends && passage.ended.is_none()) || (look.is_progress && is_after) {
            passage.ended = Some(ended);
        }
    }

    /// Takes a glance at a proxy.
    pub fn sample(&mut self, glance: &Glance, at: Timestamp) {
        if let Some(seen) = self.seen.filter(|seen| at.since(*seen) > UNCOUNTED) {
            self.push(Lane::Unseen, None, seen, Some(at));
        }
        self.hold(Lane::Used, &glance.targets, at, Duration::ZERO);
        match glance.is_ready {
            true => self.open(Lane::Ready, None, at, Duration::ZERO),
            false => self.close(Lane::Ready, None, at),
        }
        let is_watched = self.passage.is_some_and(|passage| at.since(passage.began) <= WATCHED);
        let last = self.samples.back().map(|sample| sample.at);
        if is_watched || last.is_none_or(|last| at.since(last) >= SAMPLED_APART) {
            if self.samples.len() == SAMPLES_MAX {
                self.samples.pop_front();
            }
            let open = u32::try_from(glance.open).unwrap_or(u32::MAX);
            self.samples.push_back(Sample { at, open });
        }
        self.since.get_or_insert(at);
        self.seen = Some(at);
        self.forget(at);
    }

    /// Takes what befell a proxy's endpoint.
    pub fn befell(&mut self, moment: &Moment) {
        let at = moment.at;
        match &moment.what {
            Happening::Moved { from, to, .. } => {
                let port = moment.endpoint.port();
                let targets = to.iter().map(|ip| Target { ip: *ip, port }).collect();
                self.hold(Lane::Used, &targets, at, Duration::ZERO);
                // Each answer of a reader endpoint is another of its members.
                if !from.is_empty() && moment.role == Role::Writer {
                    let ended = Some(at);
                    self.passage = Some(Passage { began: at, ended });
                }
            }
            Happening::Unresolved(_) => self.open(Lane::Unresolved, None, at, Duration::ZERO),
            Happening::Resolved => self.close(Lane::Unresolved, None, at),
            Happening::Refused(_) | Happening::Disputed(_) | Happening::Agreed | Happening::Rotates(_) => {}
        }
    }

    /// What was so, in order of its beginning.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The counts of sessions, in order.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// When the first look was.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// The last change.
    pub fn passage(&self) -> Option<Passage> {
        self.passage
    }

    /// Whether anything has changed within the last hour.
    pub fn has_changed(&self, now: Timestamp) -> bool {
        self.passage
            .is_some_and(|passage| passage.ended.is_none_or(|ended| now.since(ended) <= KEPT))
    }

    /// From now on exactly these are so.
    fn hold(&mut self, lane: Lane, targets: &BTreeSet<Target>, at: Timestamp, merged: Duration) {
        for span in &mut self.spans {
            let goes = span.lane == lane && span.until.is_none();
            if goes && span.target.is_some_and(|target| !targets.contains(&target)) {
                span.until = Some(at.max(span.from));
            }
        }
        for target in targets {
            self.open(lane, Some(*target), at, merged);
        }
    }

    /// From now on this is so; as if it had never ceased to if that was within `merged`.
    fn open(&mut self, lane: Lane, target: Option<Target>, at: Timestamp, merged: Duration) {
        let mut of_it = self
            .spans
            .iter_mut()
            .rev()
            .filter(|span| (span.lane, span.target) == (lane, target));
        match of_it.next() {
            Some(span) if span.until.is_none() => {}
            Some(span) if !merged.is_zero() && span.until.is_some_and(|until| at.since(until) <= merged) => {
                span.until = None;
            }
            _ => self.push(lane, target, at, None),
        }
    }

    fn close(&mut self, lane: Lane, target: Option<Target>, at: Timestamp) {
        let is_it = |span: &&mut Span| (span.lane, span.target) == (lane, target) && span.until.is_none();
        self.spans
            .iter_mut()
            .filter(is_it)
            .for_each(|span| span.until = Some(at.max(span.from)));
    }

    fn is_open(&self, lane: Lane) -> bool {
        self.spans.iter().any(|span| span.lane == lane && span.until.is_none())
    }

    /// Where there is no room, what ended first goes; if nothing has ended, this is left out.
    fn push(&mut self, lane: Lane, target: Option<Target>, from: Timestamp, until: Option<Timestamp>) {
        if self.spans.len() >= SPANS_MAX {
            let ended = self
                .spans
                .iter()
                .enumerate()
                .filter_map(|(index, span)| Some((span.until?, index)));
            let Some((_, first)) = ended.min() else { return };
            self.spans.remove(first);
        }
        self.spans.push(Span {
            lane,
            target,
            from,
            until,
        });
    }

    /// Drops what is older than an hour and no part of the last change.
    fn forget(&mut self, now: Timestamp) {
        let passage = self.passage;
        let is_of_it = |at: Timestamp, until: Timestamp| {
            passage.is_some_and(|Passage { began, ended }| {
                at <= ended.map_or(now, |ended| ended + BEFORE) && until + BEFORE >= began
            })
        };
        let stays = |from: Timestamp, until: Timestamp| now.since(until) <= KEPT || is_of_it(from, until);
        self.spans
            .retain(|span| span.until.is_none_or(|until| stays(span.from, until)));
        // One from before stays, to begin the line with.
        while self.samples.get(1).is_some_and(|sample| !stays(sample.at, sample.at)) {
            self.samples.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::aws::arn::Arn;
    use crate::aws::elb;
    use crate::aws::failure::{Failure, Kind};
    use crate::follow::binding::Binding;
    use crate::follow::reconcile::group_unknown;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + secs * 1000)
    }

    fn target(last: u8) -> Target {
        Target {
            ip: [10, 0, 0, last].into(),
            port: 5432,
        }
    }

    /// A look in which all is seen: what DNS names, and what is registered, a healthy one by its number, a draining one by its negative.
    fn look(secs: u64, named: &[u8], states: &[i16]) -> Look {
        let state = |state: &i16| match u8::try_from(*state) {
            Ok(last) => (target(last), State::Healthy),
            Err(_) => (target(state.unsigned_abs() as u8), State::Draining),
        };
        Look {
            at: at(secs),
            ended: at(secs),
            is_of_readers: false,
            named: named.iter().map(|last| target(*last)).collect(),
            is_blind: false,
            seeing_since: None,
            proven: BTreeSet::new(),
            listed: Some((at(secs), states.iter().map(state).collect())),
            registered: BTreeSet::new(),
            deregistered: BTreeSet::new(),
            begins: false,
            ends: false,
            is_progress: false,
        }
    }

    fn told(timeline: &Timeline) -> Vec<String> {
        let secs = |at: Timestamp| (at.as_millis() - 1_000_000_000) / 1000;
        let told = timeline.spans().iter().map(|span| {
            let target = span.target.map_or_else(String::new, |target| format!(" {}", target.ip));
            let until = span.until.map_or_else(String::new, |until| secs(until).to_string());
            format!("{:?}{target} {}-{until}", span.lane, secs(span.from))
        });
        told.collect()
    }

    #[test]
    fn a_failover_is_told_from_the_first_sign_to_the_end() {
        let mut timeline = Timeline::default();
        timeline.note(&look(0, &[1], &[1]));
        timeline.note(&Look {
            ended: at(11),
            registered: BTreeSet::from([target(2)]),
            begins: true,
            is_progress: true,
            ..look(10, &[2], &[1])
        });
        // What was listed before the write says nothing about what was written.
        timeline.note(&Look {
            listed: look(10, &[], &[1]).listed,
            ..look(12, &[2], &[])
        });
        timeline.note(&look(15, &[2], &[1, 2]));
        timeline.note(&Look {
            deregistered: BTreeSet::from([target(1)]),
            ends: true,
            is_progress: true,
            ..look(71, &[2], &[1, 2])
        });
        timeline.note(&look(75, &[2], &[-1, 2]));
        timeline.note(&look(371, &[2], &[2]));
        assert_eq!(
            told(&timeline),
            [
                "Named 10.0.0.1 0-10",
                "Registered 10.0.0.1 0-71",
                "Healthy 10.0.0.1 0-71",
                "Named 10.0.0.2 10-",
                "Registered 10.0.0.2 11-",
                "Healthy 10.0.0.2 15-",
                "Draining 10.0.0.1 71-371",
            ]
        );
        let passage = Passage {
            began: at(10),
            ended: Some(at(71)),
        };
        assert_eq!(timeline.passage(), Some(passage));
        assert!(timeline.has_changed(at(3600)) && !timeline.has_changed(at(3700)));
    }

    #[test]
    fn what_nobody_could_see_is_a_gap_and_ends_nothing() {
        let blind = |secs| Look {
            is_blind: true,
            ..look(secs, &[], &[1])
        };
        let unlisted = |secs| Look {
            listed: None,
            ..look(secs, &[1], &[])
        };
        let mut timeline = Timeline::default();
        for look in [
            look(0, &[1], &[1]),
            blind(5),
            blind(9),
            look(20, &[1], &[1]),
            unlisted(30),
            look(40, &[1], &[1]),
        ] {
            timeline.note(&look);
        }
        // The process was stopped: DNS was seen anew from 700 on.
        timeline.note(&Look {
            seeing_since: Some(at(700)),
            ..look(701, &[1], &[1])
        });
        timeline.note(&look(2000, &[1], &[1]));
        assert_eq!(
            told(&timeline),
            [
                "Named 10.0.0.1 0-",
                "Registered 10.0.0.1 0-",
                "Healthy 10.0.0.1 0-",
                "Unresolved 5-20",
                "Unlisted 30-40",
                "Unseen 40-700",
                "Unlisted 701-2000",
            ]
        );
    }

    #[test]
    fn a_group_that_could_not_be_described_tells_nothing_of_its_names() {
        let arn: Arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef"
            .parse()
            .expect("an ARN");
        let binding = Binding {
            arn: arn.clone(),
            endpoints: BTreeSet::new(),
            policy: Default::default(),
            observe: false,
            assume_role: None,
            trust: None,
            lead: None,
        };
        let failure = Failure {
            action: "DescribeTargetGroups",
            kind: Kind::Denied,
            code: "AccessDenied".into(),
            message: "no".into(),
        };
        let error = elb::Error { group: arn, failure };
        let report = group_unknown(&Arc::new(binding), error, at(10), at(10));
        let mut timeline = Timeline::default();
        timeline.note(&look(0, &[1], &[1]));
        timeline.note(&Look::of(&report));
        let seen = ["Named 10.0.0.1 0-", "Registered 10.0.0.1 0-", "Healthy 10.0.0.1 0-"];
        let unseen = ["Unresolved 10-", "Unlisted 10-"];
        assert_eq!(told(&timeline), [seen.as_slice(), &unseen].concat());
    }

    #[test]
    fn a_reader_that_misses_some_answers_is_there_all_the_time() {
        let mut timeline = Timeline::default();
        let reader = |secs, named: &[u8]| Look {
            is_of_readers: true,
            ..look(secs, named, &[1, 2])
        };
        for (secs, named) in [(0, 1), (5, 2), (10, 1), (400, 2)] {
            timeline.note(&reader(secs, &[named]));
        }
        let named: Vec<String> = told(&timeline)
            .into_iter()
            .filter(|line| line.starts_with("Named"))
            .collect();
        assert_eq!(
            named,
            ["Named 10.0.0.1 0-400", "Named 10.0.0.2 5-10", "Named 10.0.0.2 400-"]
        );
    }

    #[test]
    fn what_is_remembered_is_bounded_and_an_hour_old_at_most_but_for_the_last_change() {
        let mut timeline = Timeline::default();
        for secs in 0..1000 {
            timeline.note(&look(secs, &[(secs % 250) as u8], &[1]));
        }
        assert_eq!(timeline.spans().len(), SPANS_MAX);
        assert!(
            std::mem::size_of::<Span>() * SPANS_MAX <= 6 << 10,
            "{}",
            std::mem::size_of::<Span>()
        );
        assert!(std::mem::size_of::<Sample>() * SAMPLES_MAX <= 7 << 10);
        timeline.note(&Look {
            begins: true,
            ..look(1000, &[7], &[1])
        });
        timeline.note(&Look {
            ends: true,
            ..look(1001, &[8], &[1])
        });
        timeline.note(&look(9000, &[8], &[1]));
        let ended = timeline.spans().iter().filter_map(|span| span.until);
        assert!(
            ended.clone().count() > 2 && ended.clone().all(|ended| ended >= at(940)),
            "{:?}",
            told(&timeline)
        );
    }

    #[test]
    fn sessions_are_counted_sparsely_and_closely_after_a_move() {
        let mut timeline = Timeline::default();
        let glance = Glance {
            targets: BTreeSet::from([target(1)]),
            is_ready: true,
            open: 3,
        };
        let sample = |timeline: &mut Timeline, from, to| (from..to).for_each(|secs| timeline.sample(&glance, at(secs)));
        sample(&mut timeline, 0, 30);
        assert_eq!(timeline.samples().count(), 3);
        let moved = |secs, from: &[u8], to: u8| Moment {
            at: at(secs),
            listen: ([127, 0, 0, 1], 5432).into(),
            endpoint: "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"
                .parse()
                .expect("an endpoint"),
            role: Role::Writer,
            what: Happening::Moved {
                from: from.iter().map(|last| target(*last).ip).collect(),
                to: vec![target(to).ip],
                is_ahead: false,
            },
        };
        timeline.befell(&moved(30, &[1], 2));
        assert_eq!(timeline.passage().map(|passage| passage.began), Some(at(30)));
        let glance = Glance {
            targets: BTreeSet::from([target(2)]),
            ..glance
        };
        (30..40).for_each(|secs| timeline.sample(&glance, at(secs)));
        assert_eq!(timeline.samples().count(), 13);
        assert_eq!(told(&timeline), ["Used 10.0.0.1 0-30", "Ready 0-", "Used 10.0.0.2 30-"]);
        (40..9000).for_each(|secs| timeline.sample(&glance, at(secs)));
        assert!(timeline.samples().count() <= SAMPLES_MAX);
    }
}

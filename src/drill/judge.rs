//! The moments that matter in a record, and what a failover that is under way still lacks. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::event::{Event, Phase};
use super::record::{Answer, Change, Record, Run, Series};
use super::{Reach, Through, Watched, Way};
use crate::exit::Exit;
use crate::planner::answer::Failure;
use crate::planner::lead::Says;
use crate::planner::target::{State, Target};
use crate::planner::time::Timestamp;

/// A loss after which all was well for this long was another one.
const WELL_AGAIN: Duration = Duration::from_secs(30);

/// A moment that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When it was first seen.
    pub at: Timestamp,
    /// When it was last seen not to be so; it may have come at any time since.
    pub after: Option<Timestamp>,
    /// Since when it has been so without a break, if that is later.
    pub steady: Option<Timestamp>,
    /// Who showed it.
    pub by: By,
}

/// Who showed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A name server.
    Server(SocketAddr),
    /// All name servers that answer, so many.
    Servers(usize),
    /// An address that was connected to.
    Address(SocketAddr),
    /// A member, by its own word.
    Member(IpAddr),
    /// ELB, of a target.
    Target(Target),
    /// An address of what clients connect to.
    Way(Way),
}

/// What became of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was seen.
    Seen(Moment),
    /// It was so before anything changed.
    Before,
    /// It never failed.
    Unbroken,
    /// It has not been seen.
    Missing,
    /// Nobody watched, or could.
    NotWatched,
}

/// All moments of a failover.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The addresses that DNS named first.
    pub old: BTreeSet<IpAddr>,
    /// The addresses that it names now, or the writer's by its own word where it names no other yet.
    pub new: BTreeSet<IpAddr>,
    /// The first sign of a change.
    pub sign: Option<Timestamp>,
    /// The connection to the old address was lost.
    pub lost: Outcome,
    /// RDS told that it begins.
    pub event_start: Option<Event>,
    /// RDS told that it is over.
    pub event_end: Option<Event>,
    /// A database at the new address is the writer (`lead`), or takes sessions.
    pub writer: Outcome,
    /// The first name server names the new address.
    pub dns_first: Outcome,
    /// All name servers that answer do.
    pub dns_all: Outcome,
    /// The new address is registered.
    pub registered: Outcome,
    /// It is healthy.
    pub healthy: Outcome,
    /// Connections through a load balancer or a proxy arrive.
    pub through: BTreeMap<Through, Outcome>,
    /// What has not come to its end, in the words of [`report`](super::report); empty once all is over.
    pub waiting: Vec<&'static str>,
}

/// Judges what was seen until now. DNS has to name the new address for as long as `steady` without a break.
pub fn judge(record: &Record, has_lead: bool, steady: Duration, now: Timestamp) -> Judged {
    let old = record.old();
    let mut new: BTreeSet<IpAddr> = record.named().difference(&old).copied().collect();
    let writer_now = record.writer().filter(|ip| !old.contains(ip));
    if new.is_empty() {
        new.extend(writer_now);
    }
    let (dns_first, dns_all) = dns(record, &new);
    let writer = writer(record, has_lead, &old, &new);
    let decisive = [&dns_first, &writer].into_iter().filter_map(moment).map(|seen| seen.at);
    let decisive = decisive.chain(other_answer(record)).min();
    let lost = lost(record, &old, decisive);
    let sign = moment(&lost).map(|seen| seen.at).into_iter().chain(decisive).min();
    // What breaks and is mended between two looks at the old address broke all the same.
    let earliest = moment(&lost).and_then(|seen| seen.after);
    let base = record.triggered.into_iter().chain(sign).chain(earliest).min();
    let target = |state: fn(&State) -> bool| target(record, &new, sign, state);
    let of_phase = |phase| {
        let mut events = record.events.iter();
        events.find(|event| event.phase == phase).cloned()
    };
    let mut judged = Judged {
        registered: target(State::is_registered),
        healthy: target(|state| *state == State::Healthy),
        through: through(record, base),
        event_start: of_phase(Phase::Start),
        event_end: of_phase(Phase::End),
        old,
        new,
        sign,
        lost,
        writer,
        dns_first,
        dns_all,
        waiting: Vec::new(),
    };
    judged.waiting = judged.waits(record, steady, now);
    judged
}

impl Judged {
    /// Whether a failover was seen from its first sign to its end.
    pub fn is_over(&self) -> bool {
        self.sign.is_some() && self.waiting.is_empty()
    }

    /// What all others are compared with: the loss of the connection, or else the trigger, or else the first sign.
    pub fn base(&self, triggered: Option<Timestamp>) -> Option<(Timestamp, &'static str)> {
        let lost = moment(&self.lost).map(|seen| (seen.at, "connection_lost"));
        let triggered = triggered.map(|at| (at, "triggered"));
        let sign = self.sign.map(|at| (at, "first_sign"));
        lost.or(triggered).or(sign)
    }

    fn waits(&self, record: &Record, steady: Duration, now: Timestamp) -> Vec<&'static str> {
        let mut waiting = Vec::new();
        let is_late = |outcome: &Outcome| *outcome == Outcome::Missing;
        let is_named = self.old.is_disjoint(&record.named()) && !self.new.is_empty();
        let is_steady = moment(&self.dns_all).is_some_and(|seen| now.since(seen.steady.unwrap_or(seen.at)) >= steady);
        let mut answering = record.dns.values().filter(answers);
        let is_answered = answering.all(|series| series.now().is_some_and(Result::is_ok));
        if is_late(&self.dns_first) {
            waiting.push("dns_first");
        }
        if !is_named || !is_steady || !is_answered {
            waiting.push("dns_all");
        }
        if is_late(&self.writer) {
            waiting.push("writer");
        }
        let unlisted = record.unlisted_now();
        // Another failure may pass.
        let is_denied = unlisted.is_some_and(|error| error.failure.kind.exit() == Exit::Denied);
        let is_watched = record.group.now().is_some() && !is_denied;
        let states = || {
            // What was listed before may be so no more.
            let targets = record.group.now().filter(|_| unlisted.is_none());
            let of_new = targets
                .into_iter()
                .flatten()
                .filter(|(target, _)| self.new.contains(&target.ip));
            of_new.map(|(_, state)| state)
        };
        if is_late(&self.registered) || (is_watched && !states().any(State::is_registered)) {
            waiting.push("registered");
        }
        if is_late(&self.healthy) || (is_watched && !states().any(|state| *state == State::Healthy)) {
            waiting.push("healthy");
        }
        let is_cut = |series: &Series<Reach>| matches!(series.now(), Some(Reach::Lost(_) | Reach::Reader));
        if self.through.values().any(is_late) || record.ways.values().any(is_cut) {
            waiting.push("through");
        }
        waiting
    }
}

/// The moment, if it was seen.
pub fn moment(outcome: &Outcome) -> Option<&Moment> {
    match outcome {
        Outcome::Seen(moment) => Some(moment),
        Outcome::Before | Outcome::Unbroken | Outcome::Missing | Outcome::NotWatched => None,
    }
}

/// When a name server first named another address than at first, whatever became of it.
fn other_answer(record: &Record) -> Option<Timestamp> {
    let other = |series: &Series<Answer>| {
        let first = series.changes().iter().find_map(|change| change.value.as_ref().ok())?;
        let differs = |change: &&Change<Answer>| change.value.as_ref().is_ok_and(|named| named != first);
        series.changes().iter().find(differs).map(|change| change.at)
    };
    record.dns.values().filter_map(other).min()
}

/// When name servers named what is named in the end: the first, and all that answer.
fn dns(record: &Record, new: &BTreeSet<IpAddr>) -> (Outcome, Outcome) {
    let answering = record.dns.values().filter(answers).count();
    if answering == 0 {
        return (Outcome::NotWatched, Outcome::NotWatched);
    }
    let names = |answer: &Answer| answer.as_ref().is_ok_and(|named| !named.is_disjoint(new));
    let named = record.dns.iter().filter_map(|(server, series)| {
        let run = *series.runs(names).first()?;
        Some((run, steady(series, new), By::Server(*server)))
    });
    let mut named: Vec<(Run, Option<Timestamp>, By)> = named.collect();
    named.sort_by_key(|(run, ..)| run.at);
    let seen = |run: &Run, steady: Option<Timestamp>, by: &By| {
        Outcome::Seen(Moment {
            at: run.at,
            after: run.after,
            steady: steady.filter(|since| *since > run.at),
            by: by.clone(),
        })
    };
    let first = named.first().map(|(run, steady, by)| seen(run, *steady, by));
    let all: Option<Vec<Timestamp>> = named.iter().map(|(_, steady, _)| *steady).collect();
    let all = all.filter(|all| all.len() == answering);
    let all = named
        .last()
        .zip(all)
        .map(|((run, ..), all)| seen(run, all.into_iter().max(), &By::Servers(answering)));
    (first.unwrap_or(Outcome::Missing), all.unwrap_or(Outcome::Missing))
}

/// Whether a name server has ever named an address.
fn answers(series: &&Series<Answer>) -> bool {
    series.changes().iter().any(|change| change.value.is_ok())
}

/// Since when a name server has named nothing else; an answer that is missing says nothing.
fn steady(series: &Series<Answer>, new: &BTreeSet<IpAddr>) -> Option<Timestamp> {
    let mut since = None;
    for change in series.changes() {
        match &change.value {
            Ok(named) if named.is_subset(new) => _ = since.get_or_insert(change.at),
            Ok(_) | Err(Failure::NxDomain | Failure::NoData | Failure::ServFail) => since = None,
            Err(_) => {}
        }
    }
    since
}

/// When the connection to the old address was lost: the first of the losses that belong to the change at `decisive`.
fn lost(record: &Record, old: &BTreeSet<IpAddr>, decisive: Option<Timestamp>) -> Outcome {
    let is_lost = |reach: &Reach| !reach.is_good();
    let of_old = record.addresses.iter().filter(|(it, _)| old.contains(&it.ip()));
    let of_old = of_old.map(|(address, series)| (By::Address(*address), after_well(series, Reach::is_good, is_lost)));
    let mut watched: Vec<(By, Option<Vec<Run>>)> = of_old.filter(|(_, runs)| runs.is_some()).collect();
    if watched.is_empty() {
        // What else is lost may have its own reasons.
        let ways = record.ways.iter();
        watched.extend(ways.map(|(way, series)| (By::Way(way.clone()), after_well(series, Reach::is_good, is_lost))));
        let of_old = record.members.iter().filter(|(ip, _)| old.contains(ip));
        // A writer that lets nobody in is still there.
        let is_lost = |says: &Says| !matches!(says, Says::Writer | Says::Denied(_));
        let is_writer = |says: &Says| *says == Says::Writer;
        watched.extend(of_old.map(|(ip, series)| (By::Member(*ip), after_well(series, is_writer, is_lost))));
    }
    let is_watched = watched.iter().any(|(_, runs)| runs.is_some());
    let losses = watched.into_iter().flat_map(|(by, runs)| {
        let runs = runs.into_iter().flatten();
        runs.map(move |run| (run, by.clone()))
    });
    let mut losses: Vec<(Run, By)> = losses.collect();
    losses.sort_by_key(|(run, _)| run.at);
    match of_the_change(&losses, decisive) {
        Some((run, by)) => Outcome::Seen(Moment {
            at: run.at,
            after: run.after,
            steady: None,
            by: by.clone(),
        }),
        None if is_watched => Outcome::Missing,
        None => Outcome::NotWatched,
    }
}

/// When it was lost, after it had been well; none if it never was.
fn after_well<T>(series: &Series<T>, is_well: impl Fn(&T) -> bool, is_lost: impl Fn(&T) -> bool) -> Option<Vec<Run>> {
    let since = series.runs(is_well).first()?.at;
    let mut runs = series.runs(is_lost);
    runs.retain(|run| run.at >= since);
    Some(runs)
}

/// The first loss of those that follow each other without [`WELL_AGAIN`] between them: of those about the decisive moment, or of the
/// last ones where there is none.
fn of_the_change(losses: &[(Run, By)], decisive: Option<Timestamp>) -> Option<&(Run, By)> {
    let mut together: Vec<(&(Run, By), Option<Timestamp>)> = Vec::new();
    for loss in losses {
        let (run, _) = loss;
        match together.last_mut() {
            Some((_, until)) if until.is_none_or(|until| run.at.since(until) < WELL_AGAIN) => {
                *until = until.zip(run.until).map(|(one, other)| one.max(other));
            }
            _ => together.push((loss, run.until)),
        }
    }
    let Some(decisive) = decisive else {
        return together.last().map(|(first, _)| *first);
    };
    let is_of_it = |first: &(Run, By), until: Option<Timestamp>| {
        let is_before = first.0.at.since(decisive) < WELL_AGAIN;
        is_before && until.is_none_or(|until| decisive.since(until) < WELL_AGAIN)
    };
    let found = together.iter().find(|(first, until)| is_of_it(first, *until));
    found.map(|(first, _)| *first)
}

/// When the new writer could be used.
fn writer(record: &Record, has_lead: bool, old: &BTreeSet<IpAddr>, new: &BTreeSet<IpAddr>) -> Outcome {
    let earliest = |runs: Vec<(Run, By)>| {
        let first = runs.into_iter().min_by_key(|(run, _)| run.at);
        first.map(|(run, by)| Moment {
            at: run.at,
            after: run.after,
            steady: None,
            by,
        })
    };
    let mut claims = Vec::new();
    for (ip, series) in record.members.iter().filter(|(ip, _)| !old.contains(ip)) {
        let runs = series.runs(|says| *says == Says::Writer);
        claims.extend(runs.first().map(|run| (*run, By::Member(*ip))));
    }
    if has_lead && record.members.values().any(is_heard) {
        return earliest(claims).map_or(Outcome::Missing, Outcome::Seen);
    }
    let of_new = record
        .addresses
        .iter()
        .filter(|(address, _)| new.contains(&address.ip()));
    let sessions = of_new.filter_map(|(address, series)| {
        let run = *series.runs(Reach::is_good).first()?;
        Some((run, By::Address(*address)))
    });
    let is_asked = |series: &Series<Reach>| !matches!(series.now(), Some(Reach::NotAsked(_)));
    match earliest(sessions.collect()) {
        Some(moment) => Outcome::Seen(moment),
        None if record.gone.contains_key(&Watched::Addresses) => Outcome::NotWatched,
        None if record.addresses.values().all(is_asked) => Outcome::Missing,
        None => Outcome::NotWatched,
    }
}

/// Whether a member has ever said what it is.
pub fn is_heard(member: &Series<Says>) -> bool {
    let mut said = member.changes().iter();
    said.any(|change| matches!(change.value, Says::Writer | Says::Reader))
}

/// When the new address was first listed in such a state.
fn target(record: &Record, new: &BTreeSet<IpAddr>, sign: Option<Timestamp>, is_so: fn(&State) -> bool) -> Outcome {
    if record.group.now().is_none() {
        return Outcome::NotWatched;
    }
    let found = |targets: &BTreeMap<Target, State>| {
        let mut of_new = targets.iter().filter(|(target, _)| new.contains(&target.ip));
        of_new.find(|(_, state)| is_so(state)).map(|(target, _)| *target)
    };
    let missing = match record.unlisted_now() {
        Some(_) => Outcome::NotWatched,
        None => Outcome::Missing,
    };
    let runs = record.group.runs(|targets| found(targets).is_some());
    // What was so before the change counts only if it has been so ever since.
    let is_of_it = |run: &&Run| run.until.is_none() || sign.is_none_or(|sign| run.at >= sign);
    let (Some(first), Some(last)) = (runs.iter().find(is_of_it), runs.last()) else {
        return missing;
    };
    if first.after.is_none() && sign.is_some_and(|sign| first.at < sign) {
        return Outcome::Before;
    }
    let mut changes = record.group.changes().iter().filter(|change| change.at >= first.at);
    let Some(by) = changes.find_map(|change| found(&change.value)).map(By::Target) else {
        return missing;
    };
    Outcome::Seen(Moment {
        at: first.at,
        after: first.after,
        steady: Some(last.at).filter(|at| *at > first.at && last.until.is_none()),
        by,
    })
}

/// When connections arrived again.
fn through(record: &Record, base: Option<Timestamp>) -> BTreeMap<Through, Outcome> {
    let mut all: BTreeMap<Through, Outcome> = BTreeMap::new();
    for (way, series) in &record.ways {
        let outcome = of_way(way, series, base);
        let joined = match all.remove(&way.through) {
            Some(before) => join(before, outcome),
            None => outcome,
        };
        all.insert(way.through.clone(), joined);
    }
    all
}

fn of_way(way: &Way, series: &Series<Reach>, base: Option<Timestamp>) -> Outcome {
    if matches!(series.now(), Some(Reach::NotAsked(_))) {
        return Outcome::NotWatched;
    }
    let Some(base) = base else { return Outcome::Missing };
    let runs = series.runs(Reach::is_good);
    let broke = runs.iter().any(|run| run.until.is_some_and(|until| until >= base));
    // What succeeds in the same millisecond did so before.
    let mut after = runs.iter().filter(|run| run.at > base && run.after.is_some());
    let (first, last) = (after.next(), runs.last());
    match (first, last) {
        (Some(first), last) => Outcome::Seen(Moment {
            at: first.at,
            after: first.after,
            steady: last
                .filter(|last| last.at > first.at && last.until.is_none())
                .map(|last| last.at),
            by: By::Way(way.clone()),
        }),
        (None, Some(last)) if !broke && last.until.is_none() => Outcome::Unbroken,
        _ => Outcome::Missing,
    }
}

/// Of two addresses of one name: the first that serves counts, and since when both do is kept.
fn join(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (Outcome::Seen(one), Outcome::Seen(other)) => {
            let lasting = |moment: &Moment| moment.steady.unwrap_or(moment.at);
            let steady = lasting(&one).max(lasting(&other));
            let mut first = if other.at < one.at { other } else { one };
            first.steady = Some(steady).filter(|at| *at > first.at);
            Outcome::Seen(first)
        }
        (Outcome::Seen(seen), _) | (_, Outcome::Seen(seen)) => Outcome::Seen(seen),
        (Outcome::Missing, _) | (_, Outcome::Missing) => Outcome::Missing,
        (one, _) => one,
    }
}

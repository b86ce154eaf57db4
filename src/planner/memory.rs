//! What has to be known of earlier steps. Losing it only restarts the waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::history::{Answer, GAP};
use super::policy::CONTESTED_FORGET_MAX;
use super::taken::Takers;
use super::target::Target;
use super::time::Timestamp;

/// The absence clocks of one binding's surplus targets, and which targets it removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    absences: BTreeMap<Target, Absence>,
    removals: BTreeMap<Target, Removal>,
    unproven: BTreeMap<Target, Unproven>,
    pub(super) takers: Takers,
    last_seeing: Option<Timestamp>,
}

/// Since when a registered target has not been named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Absence {
    since: Timestamp,
    /// Answers without the target, by the latest count.
    answers: u64,
    remembered_answers: u64,
    /// Each endpoint's counters before the first answer that counts.
    before: BTreeMap<Endpoint, Counters>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    answers: u64,
    looks: u64,
}

/// Since when a candidate has not shown what it has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unproven {
    since: Timestamp,
    /// When it was last named.
    named: Timestamp,
    /// The latest step that saw what DNS names.
    seen: Timestamp,
}

/// A target that a plan removed, to be recognised if it comes back without DNS naming it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Removal {
    gone: bool,
    returns: u32,
    touched: Timestamp,
}

/// How long a removal is remembered after the last one of the same target.
const REMOVAL_REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// An absence as it stands now.
#[derive(Clone, Debug)]
pub(super) struct Absent<'a> {
    pub since: Timestamp,
    /// What each endpoint has said since.
    pub without: Vec<Without<'a>>,
}

/// The answers of one endpoint without the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Without<'a> {
    pub answer: &'a Answer,
    /// Distinct answers, those of an earlier process included.
    pub answers: u64,
    /// Looks of this process.
    pub looks: u64,
}

/// An absence as a memory that outlives the process keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Since when the target has not been named.
    pub since: Timestamp,
    /// Distinct answers that did not name it.
    pub answers: u64,
}

impl Memory {
    /// The memory of an earlier process, whose last look was at `last_seeing`. It can shorten the waiting, but it never
    /// replaces two looks of this process.
    pub fn recall(last_seeing: Timestamp, clocks: impl IntoIterator<Item = (Target, Remembered)>) -> Self {
        let absences = clocks.into_iter().map(|(target, Remembered { since, answers })| {
            let before = BTreeMap::new();
            (
                target,
                Absence {
                    since,
                    answers,
                    remembered_answers: answers,
                    before,
                },
            )
        });
        Self {
            absences: absences.collect(),
            removals: BTreeMap::new(),
            unproven: BTreeMap::new(),
            takers: Takers::default(),
            last_seeing: Some(last_seeing),
        }
    }

    /// What an earlier process has to leave for [`Memory::recall`]: its last look, and the absence clocks.
    pub fn clocks(&self) -> Option<(Timestamp, BTreeMap<Target, Remembered>)> {
        let remembered = |absence: &Absence| Remembered {
            since: absence.since,
            answers: absence.answers,
        };
        let clocks = self
            .absences
            .iter()
            .map(|(target, absence)| (*target, remembered(absence)));
        Some((self.last_seeing?, clocks.collect()))
    }

    /// Takes over which candidates an earlier follower of this process waited for, and what it knew to be registered.
    pub fn recall_rest(&mut self, earlier: &Self) {
        self.unproven.clone_from(&earlier.unproven);
        self.takers.clone_from(&earlier.takers);
    }

    /// Takes note that ELB accepted a registration: if the target is not there later, somebody took it away.
    pub fn registered(&mut self, target: Target, now: Timestamp) {
        self.takers.registered(target, now);
    }

    /// Takes note that ELB accepted a removal: if the target is registered at the next look, somebody put it back.
    pub fn removed(&mut self, target: Target) {
        self.takers.removed(target);
        self.left(target);
    }

    /// Takes note that a target is not registered any more, whoever removed it.
    fn left(&mut self, target: Target) {
        if let Some(removal) = self.removals.get_mut(&target) {
            removal.gone = true;
        }
    }

    /// Begins a step that sees every endpoint: restarts every clock after a gap in seeing or a jump of the wall clock.
    pub(super) fn begin(&mut self, answers: &BTreeMap<&Endpoint, &Answer>, now: Timestamp) {
        let gap = self
            .last_seeing
            .is_some_and(|last| last > now || answers.values().any(|a| a.history.seeing_since.since(last) > GAP));
        if gap || self.absences.values().any(|absence| absence.since > now) {
            self.absences.clear();
            self.takers.gap();
        }
        self.last_seeing = answers.values().map(|answer| answer.history.last_look).min();
        self.removals
            .retain(|_, removal| now.since(removal.touched) <= REMOVAL_REMEMBERED);
    }

    /// Restarts the waiting for what has been named since it began, whatever else is known: whoever is asked next may have no history.
    pub fn heard(&mut self, answers: &BTreeMap<&Endpoint, &Answer>) {
        self.absences
            .retain(|target, absence| last_named(*target, answers).is_none_or(|named| named < absence.since));
    }

    /// Takes note of a target that is named: it is neither absent nor contested.
    pub(super) fn named(&mut self, target: Target) {
        self.absences.remove(&target);
        self.removals.remove(&target);
    }

    /// Takes note of a target that is not a member of the group.
    pub(super) fn gone(&mut self, target: Target) {
        self.absences.remove(&target);
        self.left(target);
    }

    /// Targets that this memory is about.
    pub(super) fn targets(&self) -> Vec<Target> {
        self.absences.keys().chain(self.removals.keys()).copied().collect()
    }

    /// Takes note of a registered target that no answer names, and tells for how long that has been so.
    pub(super) fn absent<'a>(
        &mut self,
        target: Target,
        answers: &BTreeMap<&Endpoint, &'a Answer>,
        now: Timestamp,
    ) -> Absent<'a> {
        if let Some(removal) = self.removals.get_mut(&target)
            && removal.gone
        {
            removal.gone = false;
            removal.returns = removal.returns.saturating_add(1);
            self.absences.remove(&target);
        }
        let absence = self.absences.entry(target).or_insert_with(|| Absence {
            since: now,
            answers: 0,
            remembered_answers: 0,
            before: BTreeMap::new(),
        });
        let without = answers.iter().map(|(endpoint, answer)| {
            let counted = count(&mut absence.before, endpoint, answer);
            Without {
                answer,
                answers: absence.remembered_answers + counted.answers,
                looks: counted.looks,
            }
        });
        let without: Vec<_> = without.collect();
        let least = without.iter().map(|without| without.answers).min();
        absence.answers = least.unwrap_or(absence.remembered_answers);
        Absent {
            since: absence.since,
            without,
        }
    }

    /// Takes note of a named candidate that has not shown what it has to, and tells since when.
    pub(super) fn unproven(&mut self, target: Target, now: Timestamp) -> Timestamp {
        let unproven = self.unproven.entry(target).or_insert(Unproven {
            since: now,
            named: now,
            seen: now,
        });
        unproven.named = now;
        unproven.since
    }

    /// The candidates that are waited for, named now or not, and since when.
    pub(super) fn candidates(&self) -> Vec<(Target, Timestamp)> {
        let candidates = self.unproven.iter();
        candidates.map(|(target, unproven)| (*target, unproven.since)).collect()
    }

    /// Takes note of a target that is registered, or may be.
    pub(super) fn proven(&mut self, target: Target) {
        self.unproven.remove(&target);
    }

    /// Begins a step that sees what DNS names: after a gap in seeing, or a jump of the wall clock, the waiting starts anew.
    pub(super) fn begin_candidates(&mut self, now: Timestamp) {
        self.unproven
            .retain(|_, unproven| unproven.seen <= now && now.since(unproven.seen) <= GAP);
        self.unproven.values_mut().for_each(|unproven| unproven.seen = now);
    }

    /// Ends it: forgets the candidates that DNS has not named for so long.
    pub(super) fn end_candidates(&mut self, forget: Duration, now: Timestamp) {
        self.unproven
            .retain(|_, unproven| now.since(unproven.named) < forget || unproven.named == now);
    }

    /// Takes note that a plan removes the target.
    pub(super) fn removing(&mut self, target: Target, now: Timestamp) {
        let removal = self.removals.entry(target).or_insert(Removal {
            gone: false,
            returns: 0,
            touched: now,
        });
        removal.touched = now;
    }

    /// The forget of a target: doubled for each time that it came back unnamed after it had been removed, so that a
    /// fight with another actor decays instead of going on for ever.
    pub(super) fn forget(&self, target: Target, forget: Duration) -> Duration {
        let returns = self.removals.get(&target).map_or(0, |removal| removal.returns);
        let doubled = forget.saturating_mul(1 << returns.min(16));
        doubled.min(CONTESTED_FORGET_MAX.max(forget))
    }
}

/// The latest moment at which any endpoint's answer named the target.
pub(super) fn last_named(target: Target, answers: &BTreeMap<&Endpoint, &Answer>) -> Option<Timestamp> {
    answers
        .iter()
        .filter(|(endpoint, _)| endpoint.port() == target.port)
        .filter_map(|(_, answer)| answer.history.last_named(target.ip))
        .max()
}

/// An endpoint's answers and looks since the absence began, the current ones included.
fn count(before: &mut BTreeMap<Endpoint, Counters>, endpoint: &Endpoint, answer: &Answer) -> Counters {
    let history = &answer.history;
    let start = Counters {
        answers: history.answers.saturating_sub(1),
        looks: history.looks.saturating_sub(1),
    };
    let known = before.get(endpoint).copied();
    let began = match known {
        Some(began) if began.answers <= history.answers && began.looks <= history.looks => began,
        // Another watcher has begun to count, and all that it counts came later.
        Some(_) => Counters::default(),
        None => start,
    };
    if known != Some(began) {
        before.insert(endpoint.clone(), began);
    }
    Counters {
        answers: history.answers.saturating_sub(began.answers),
        looks: history.looks.saturating_sub(began.looks),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{IpAddr, SocketAddr};

    use super::*;
    use crate::planner::answer::{Quorum, Said};
    use crate::planner::history::Inquiry;

    const ENDPOINT: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + secs * 1000)
    }

    fn target(last: u8) -> Target {
        Target {
            ip: IpAddr::from([10, 0, 0, last]),
            port: 5432,
        }
    }

    /// What a watcher knows that has heard one address, every five seconds, in the seconds from one to the other.
    fn watched(last: u8, from: u64, to: u64) -> Answer {
        let (endpoint, mut inquiry): (Endpoint, _) = (ENDPOINT.parse().expect("an endpoint"), Inquiry::default());
        let server = SocketAddr::from(([10, 9, 0, 2], 53));
        let looks = (from..=to).step_by(5).map(|secs| {
            let said = Said::new(BTreeSet::from([target(last).ip]), Duration::from_secs(5));
            let said = inquiry.weigh(endpoint.host(), vec![(server, Ok(said))], at(secs), at(secs));
            inquiry.hear(endpoint.host(), &said, Quorum::Any, at(secs))
        });
        looks.last().expect("a look").expect("an answer")
    }

    /// A watcher begins to count anew when settings are read again (the simulation, seed 100231: nothing was removed for as long as the
    /// process had lived).
    #[test]
    fn what_another_watcher_counts_is_counted_from_its_beginning() {
        let endpoint: Endpoint = ENDPOINT.parse().expect("an endpoint");
        let mut memory = Memory::default();
        let mut answers_without = |answer: &Answer, secs| {
            let absent = memory.absent(target(1), &BTreeMap::from([(&endpoint, answer)]), at(secs));
            (absent.without[0].answers, absent.without[0].looks)
        };
        assert_eq!(answers_without(&watched(2, 0, 1000), 1000), (1, 1));
        assert_eq!(answers_without(&watched(2, 0, 1005), 1005), (2, 2));
        assert_eq!(answers_without(&watched(2, 1010, 1010), 1010), (1, 1));
        assert_eq!(answers_without(&watched(2, 1010, 1020), 1020), (3, 3));
    }

    /// One of two endpoints named it while the other could not be resolved (the simulation, seed 100045).
    #[test]
    fn what_is_named_is_not_absent_whatever_else_is_known() {
        let endpoint: Endpoint = ENDPOINT.parse().expect("an endpoint");
        for (last, is_absent) in [(1, false), (2, true)] {
            let mut memory = Memory::recall(
                at(0),
                [(
                    target(1),
                    Remembered {
                        since: at(0),
                        answers: 9,
                    },
                )],
            );
            memory.heard(&BTreeMap::from([(&endpoint, &watched(last, 5, 10))]));
            let (_, clocks) = memory.clocks().expect("it has seen");
            assert_eq!(clocks.contains_key(&target(1)), is_absent, "{last}");
        }
    }
}

//! The one decision: what was seen and the time in, a plan out.
//!
//! ```text
//! DNS names it           in the group            do
//! yes                    absent or draining      register, at first sight
//! no, but the writer [3] absent or draining      register, at first sight; it counts as named from then on
//! yes, but a reader [3]  absent or draining      hold: Reader
//! yes, but unproven [1]  absent or draining      hold, with the reason, for `probe_patience`; then register
//! yes                    registered              nothing; its absence clock is reset
//! no                     registered              deregister when the five conditions hold; else hold, with the reason
//! no                     absent or draining      nothing
//! by stale answers only  any                     as if it could not be resolved
//! to some servers only   any                     as if to all; if the endpoint has one writer, hold the rest: Disputed [2]
//! could not be resolved  any                     hold: Blind
//! any                    could not be described  hold: GroupUnseen
//! ```
//!
//! The last row that applies wins. What settings, guards and ELB refuse is held on top of this, each with its reason.
//!
//! 1. The address has not shown that the database is there (`probe`).
//! 2. With `quorum = "majority"`, what too few name servers give is held instead (`NoQuorum`), and nothing is disputed.
//! 3. By what members show, where they are asked: one of them is the writer ([`lead`](super::lead)). Nothing is removed by that.
//!
//! What is stale, and what a fresh answer, is [`evidence`](super::evidence)'s to say. A name that gives several addresses in turn
//! is followed as a reader endpoint even if it is said to be a writer's, and noted.
//!
//! A registered target that DNS does not name goes when
//!
//! 1. it has not been named for `forget`,
//! 2. in enough fresh answers: two of a writer endpoint; of a reader endpoint, which names one member at random, 14 for each
//!    registered target that is not kept, so that a live one is missed by chance once in a million,
//! 3. every endpoint of the binding has at least one address of its current answer *seen registered* in this observation,
//! 4. one of all those is healthy, or it has not been named for `forget` + `patience`, and
//! 5. the name servers that named it last of all have since given an answer without it; there is no time limit to that.
//!
//! What somebody else has taken away although DNS names it is noted; [`taken`](super::taken) says what that is.
//!
//! The third condition makes "register, verify, deregister" follow from what is seen, not from the order of calls.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cadence::APART;
use super::candidate::{Doubt, Probe, ProbePatience};
use super::endpoint::{Endpoint, Kind, Role};
use super::memory::{Absent, Memory, Without, last_named};
use super::plan::{Held, Hold, Note, Plan, Reason};
use super::policy::Policy;
pub use super::seen::Seen;
use super::seen::{Named, is_registered};
use super::serving::Serving;
use super::taken::Taken;
use super::target::{Listed, State, Target, Unused, ZONE_ALL};
use super::time::Timestamp;

/// A plan, and what to remember for the next decision.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What to do.
    pub plan: Plan,
    /// To be handed to the next call.
    pub memory: Memory,
}

/// Fresh answers without a target that prove its absence from a writer endpoint.
const WRITER_ANSWERS: u64 = 2;
/// The same for each member of a reader endpoint: a random pick misses a live member of n in 14 n answers with a
/// probability of at most e^-14 < 1e-6.
const READER_ANSWERS_PER_MEMBER: u64 = 14;
/// A look lasts 2 s unless a longer time is set, and comes again within a second while a target is to be removed: what is older than this
/// was mostly seen by somebody who has not been awake since. Where looks take longer, removals wait for the next of them.
const LOOKED_WITHIN: Duration = Duration::from_secs(10);
/// Looks of this process that no memory of an earlier one can replace.
const OWN_LOOKS: u64 = 2;

/// Decides what to change; `memory` is what the latest decision left.
pub fn decide(policy: &Policy, mut memory: Memory, seen: &Seen, now: Timestamp) -> Decision {
    let mut notes = notes(seen);
    let mut role = role(policy, seen);
    let rotations = rotations(seen);
    if role == Role::Writer && !rotations.is_empty() {
        role = Role::Reader;
        notes.extend(rotations);
    }
    let nobody = BTreeMap::new();
    let led = if role == Role::Writer { &seen.led } else { &nobody };
    let named = Named::new(policy, seen, led, now);
    notes.extend(leads(&named));
    let mut plan = Plan {
        role,
        register: BTreeMap::new(),
        deregister: BTreeMap::new(),
        holds: named.holds(policy, now),
        notes,
        settled: false,
        taken: None,
        serving: Serving::Unknown,
    };
    memory.heard(&named.answers);
    // A writer by its own word is named, whatever is known of its name, and for `forget` after its last word.
    for target in named.ahead_of_dns() {
        memory.named(target);
    }
    memory.takers.begin();
    match &seen.group {
        Err(why) => plan.holds.insert(
            0,
            Hold {
                what: Held::Group,
                reason: Reason::GroupUnseen(why.clone()),
                until: None,
            },
        ),
        Ok(group) => {
            // One answer of a reader endpoint names one member, and serving is for all of them.
            let is_whole = plan.role == Role::Writer && named.blind.is_empty();
            let current: BTreeSet<Target> = named.targets().copied().collect();
            plan.serving = Serving::of(group, is_whole.then_some(&current));
            let candidates = Candidates {
                policy,
                named: &named,
                group,
                probed: seen.probed,
                now,
            };
            candidates.sort_out(&mut memory, &mut plan);
            if named.blind.is_empty() {
                let surplus = Surplus {
                    policy,
                    role: plan.role,
                    named: &named,
                    group,
                    now,
                };
                let all_may_stay = surplus.sort_out(&mut memory, &mut plan);
                let is_complete = named.all_registered(group) && plan.candidates().is_empty();
                plan.settled = all_may_stay && is_complete && !plan.is_disputed();
                note_taken(policy, plan.role, &named, group, seen.listed, now, &mut memory);
            }
        }
    }
    plan.taken = memory.takers.taken().cloned();
    plan.notes.extend(plan.taken.as_ref().and_then(removed_by_others));
    Decision { plan, memory }
}

/// Takes note of right targets that somebody else has taken away. What is kept is no business of ours.
fn note_taken(
    policy: &Policy,
    role: Role,
    named: &Named,
    group: &BTreeMap<Target, Listed>,
    listed: Timestamp,
    now: Timestamp,
    memory: &mut Memory,
) {
    let is_ours = |target: &Target| !policy.keeps(*target);
    // An rds-tether beside this one, which sees the same answers, would not remove it.
    let may_be_missed = |target: Target| match role {
        _ if !is_ours(&target) => false,
        Role::Writer => named.targets().any(|named| *named == target),
        Role::Reader => {
            last_named(target, &named.answers).is_some_and(|at| now.since(at) < policy.forget(Role::Reader))
        }
    };
    let targets: BTreeSet<Target> = named.targets().copied().filter(is_ours).collect();
    let targets = targets.into_iter().map(|target| (target, is_registered(group, target)));
    memory.takers.see(may_be_missed, targets, listed, now);
}

/// What to say of it, once somebody should look.
fn removed_by_others(taken: &Taken) -> Option<Note> {
    let (target, times) = taken.most().filter(|_| taken.is_trouble())?;
    let lasts = taken.last.since(taken.since);
    Some(Note::RemovedByOthers { target, times, lasts })
}

/// The role given, or the one that the names and their aliases tell.
fn role(policy: &Policy, seen: &Seen) -> Role {
    let hosts = seen.endpoints.keys().map(|endpoint| endpoint.host());
    let answers = seen.endpoints.values().flatten();
    let aliases = answers.flat_map(|answer| &answer.resolution.names);
    let told = || Role::told_by(hosts.chain(aliases.map(String::as_str)));
    policy.role.unwrap_or_else(told)
}

/// The endpoints whose names give several addresses in turn, and those addresses.
fn rotations(seen: &Seen) -> Vec<Note> {
    let rotating = seen.endpoints.iter().filter_map(|(endpoint, seen)| {
        Some(Note::Rotates {
            endpoint: Endpoint::clone(endpoint),
            members: seen.ok()?.history.rotation()?,
        })
    });
    rotating.collect()
}

/// The writers that DNS does not name yet.
fn leads<'a>(named: &'a Named) -> impl Iterator<Item = Note> + 'a {
    named.ahead.iter().map(|(endpoint, writer)| Note::Leads {
        endpoint: Endpoint::clone(endpoint),
        writer: *writer,
        over: (named.answers.get(endpoint))
            .map(|answer| answer.resolution.addresses().clone())
            .unwrap_or_default(),
    })
}

fn notes(seen: &Seen) -> Vec<Note> {
    let instances = seen
        .endpoints
        .keys()
        .filter(|endpoint| endpoint.kind() == Kind::Instance);
    instances
        .map(|endpoint| Note::FollowsInstance((*endpoint).clone()))
        .chain(seen.group.iter().flat_map(|group| of_targets(group)))
        .collect()
}

/// What keeps traffic from registered targets.
fn of_targets(group: &BTreeMap<Target, Listed>) -> impl Iterator<Item = Note> {
    let is_unused = |listed: &Listed| listed.state == State::Unused;
    let mut registered = group.values().filter(|listed| listed.state.is_registered());
    let is_attached = registered.any(|listed| !is_unused(listed));
    group.iter().filter_map(move |(target, listed)| match listed.state {
        State::Unused => Some(Note::Unused {
            target: *target,
            reason: listed.reason.clone().unwrap_or_default(),
            because: Unused::of(listed, is_attached),
            zone: listed.zone.clone(),
        }),
        State::Unhealthy if listed.zone.as_deref() == Some(ZONE_ALL) => Some(Note::OutsideVpc(*target)),
        _ => None,
    })
}

/// The named targets that are not registered.
struct Candidates<'a> {
    policy: &'a Policy,
    named: &'a Named<'a>,
    group: &'a BTreeMap<Target, Listed>,
    probed: &'a BTreeMap<Target, Result<(), Doubt>>,
    now: Timestamp,
}

impl Candidates<'_> {
    /// Plans the registration or the hold of each.
    fn sort_out(&self, memory: &mut Memory, plan: &mut Plan) {
        let sees = !self.named.legal.is_empty();
        if sees {
            memory.begin_candidates(self.now);
        }
        for target in self.named.targets().copied().collect::<BTreeSet<_>>() {
            if is_registered(self.group, target) {
                memory.proven(target);
            } else if self.policy.keeps(target) {
                plan.holds.push(hold_target(target, Reason::KeptOut, None));
            } else if let Some(writer) = self.named.readers.get(&target) {
                plan.holds
                    .push(hold_target(target, Reason::Reader { writer: *writer }, None));
            } else if let Some((doubt, until)) = self.judge(target, memory, plan) {
                plan.holds.push(hold_target(target, Reason::Unproven(doubt), until));
            } else {
                let zone = self.group.get(&target).and_then(|listed| listed.zone.clone());
                plan.register.insert(target, zone);
            }
        }
        if sees {
            memory.end_candidates(self.policy.forget(plan.role), self.now);
        }
        if plan.role == Role::Reader {
            self.hold_unnamed(memory, plan);
        }
    }

    /// Why a candidate is not registered yet and until when at least, or `None` if it is.
    fn judge(&self, target: Target, memory: &mut Memory, plan: &mut Plan) -> Option<(Doubt, Option<Timestamp>)> {
        if self.policy.probe == Probe::None {
            return None;
        }
        let Some(doubt) = self.doubt(target) else {
            memory.proven(target);
            return None;
        };
        let since = memory.unproven(target, self.now);
        let until = self.patience_ends(since);
        if until.is_some() || doubt == Doubt::NotYet {
            return Some((doubt, until));
        }
        match self.policy.probe_patience() {
            ProbePatience::Forever => Some((doubt, None)),
            ProbePatience::For(patience) => {
                plan.notes.push(Note::Unproven {
                    target,
                    doubt,
                    patience,
                });
                None
            }
        }
    }

    /// When the patience with a candidate ends, if that is still to come.
    fn patience_ends(&self, since: Timestamp) -> Option<Timestamp> {
        match self.policy.probe_patience() {
            ProbePatience::For(patience) => Some(since + patience).filter(|end| *end > self.now),
            ProbePatience::Forever => None,
        }
    }

    /// Why a candidate is not believed, if it is not.
    fn doubt(&self, target: Target) -> Option<Doubt> {
        match self.probed.get(&target) {
            Some(shown) => shown.clone().err(),
            None => Some(Doubt::NotYet),
        }
    }

    /// A member of a reader endpoint that is waited for stays in sight while answers name others.
    fn hold_unnamed(&self, memory: &mut Memory, plan: &mut Plan) {
        for (target, since) in memory.candidates() {
            if self.named.names(target) {
                continue;
            }
            match self.doubt(target) {
                Some(doubt) if !is_registered(self.group, target) => {
                    let until = self.patience_ends(since);
                    plan.holds.push(hold_target(target, Reason::Unproven(doubt), until));
                }
                _ => memory.proven(target),
            }
        }
    }
}

fn hold_target(target: Target, reason: Reason, until: Option<Timestamp>) -> Hold {
    Hold {
        what: Held::Target(target),
        reason,
        until,
    }
}

/// The registered targets that no answer names.
struct Surplus<'a> {
    policy: &'a Policy,
    role: Role,
    named: &'a Named<'a>,
    group: &'a BTreeMap<Target, Listed>,
    now: Timestamp,
}

impl Surplus<'_> {
    /// Plans the removal or the hold of each; tells whether all of them may stay.
    fn sort_out(&self, memory: &mut Memory, plan: &mut Plan) -> bool {
        memory.begin(&self.named.answers, self.now);
        for target in memory.targets() {
            if self.named.names(target) || self.named.doubtful.contains(&target) {
                memory.named(target);
            } else if !is_registered(self.group, target) {
                memory.gone(target);
            }
        }
        let mut all_may_stay = true;
        for (target, listed) in self.group {
            if !listed.state.is_registered() || self.named.names(*target) {
                continue;
            }
            all_may_stay &= self.may_stay(*target);
            if self.named.doubtful.contains(target) {
                continue;
            }
            match self.judge(*target, listed, memory) {
                None => {
                    memory.removing(*target, self.now);
                    plan.deregister.insert(*target, listed.zone.clone());
                }
                Some((reason, until)) => plan.holds.push(hold_target(*target, reason, until)),
            }
        }
        all_may_stay
    }

    fn may_stay(&self, target: Target) -> bool {
        let sampled = || {
            let forget = self.policy.forget(self.role);
            self.role == Role::Reader
                && last_named(target, &self.named.answers).is_some_and(|at| self.now.since(at) < forget)
        };
        self.policy.keeps(target) || self.policy.upsert_only || sampled()
    }

    /// Why the target stays and until when at least, or `None` if the five conditions of a removal hold.
    fn judge(&self, target: Target, listed: &Listed, memory: &mut Memory) -> Option<(Reason, Option<Timestamp>)> {
        if self.policy.keeps(target) {
            return Some((Reason::Kept, None));
        }
        let absent = memory.absent(target, &self.named.answers, self.now);
        if self.policy.upsert_only {
            return Some((Reason::UpsertOnly, None));
        }
        if let Some(endpoint) = self.endpoint_without_replacement(listed) {
            return Some((Reason::AwaitsReplacement(endpoint.clone()), None));
        }
        let forget = memory.forget(target, self.policy.forget(self.role));
        let clocks_end = self.clocks_end(&absent, forget);
        let elapsed = self.unnamed_until(&absent).since(absent.since);
        if elapsed < forget {
            let reason = Reason::Forgetting {
                absent: elapsed,
                forget,
            };
            // What nobody has looked at for a while is known again when somebody does, not by the passing of time.
            return Some((reason, Some(clocks_end).filter(|end| self.now < *end)));
        }
        let missing = self.answers_missing(&absent);
        if missing > 0 {
            let needed = self.answers_needed();
            let seen = needed.saturating_sub(missing);
            let reason = Reason::FewAnswers { seen, needed };
            // An answer that is only due because the last one is old comes when somebody looks.
            return Some((reason, Some(clocks_end).filter(|end| self.now < *end)));
        }
        let vouched_by = self.named.vouched_by(target);
        if !vouched_by.is_empty() {
            return Some((Reason::Vouched(vouched_by), None));
        }
        let patience = self.policy.patience(self.role);
        if elapsed < forget.saturating_add(patience) && !self.replacement_is_healthy() {
            let end = absent.since + forget + patience;
            return Some((Reason::AwaitsHealthy, Some(end).filter(|end| self.now < *end)));
        }
        None
    }

    /// Until when the target is known not to have been named. Who stood still for a minute has missed what was said meanwhile.
    fn unnamed_until(&self, absent: &Absent) -> Timestamp {
        let looks = absent.without.iter().map(|without| without.answer.history.last_look);
        let oldest = looks.min().unwrap_or(self.now);
        if self.now.since(oldest) > LOOKED_WITHIN {
            oldest
        } else {
            self.now
        }
    }

    /// An endpoint none of whose current addresses is seen registered. A target that gets no traffic replaces only another
    /// such.
    fn endpoint_without_replacement(&self, surplus: &Listed) -> Option<&Endpoint> {
        let replaces = |target: &Target| {
            self.group.get(target).is_some_and(|listed| {
                listed.state.is_registered() && (listed.state != State::Unused || surplus.state == State::Unused)
            })
        };
        let mut endpoints = self.named.legal.iter();
        endpoints
            .find(|(_, legal)| !legal.iter().any(replaces))
            .map(|(endpoint, _)| *endpoint)
    }

    fn replacement_is_healthy(&self) -> bool {
        self.named.targets().any(|target| {
            self.group
                .get(target)
                .is_some_and(|listed| listed.state == State::Healthy)
        })
    }

    fn answers_needed(&self) -> u64 {
        match self.role {
            Role::Writer => WRITER_ANSWERS,
            Role::Reader => {
                let members = self
                    .group
                    .iter()
                    .filter(|(target, listed)| listed.state.is_registered() && !self.policy.keeps(**target));
                READER_ANSWERS_PER_MEMBER * members.count() as u64
            }
        }
    }

    fn answers_missing(&self, absent: &Absent) -> u64 {
        let missing = absent.without.iter().map(|without| self.missing_of(without));
        missing.max().unwrap_or_else(|| self.answers_needed())
    }

    /// How many more answers of one endpoint it takes: one at least, if the last look was too long ago to be decided on.
    fn missing_of(&self, without: &Without) -> u64 {
        let by_answers = self.answers_needed().saturating_sub(without.answers);
        let is_old = self.now.since(without.answer.history.last_look) > LOOKED_WITHIN;
        let by_looks = OWN_LOOKS.saturating_sub(without.looks).max(u64::from(is_old));
        by_answers.max(by_looks)
    }

    /// The earliest moment at which both forget has passed and enough answers can have come.
    fn clocks_end(&self, absent: &Absent, forget: Duration) -> Timestamp {
        let answered = absent.without.iter().filter_map(|without| {
            let history = &without.answer.history;
            let answers = self.answers_needed().saturating_sub(without.answers);
            let by_answers = (answers > 0).then(|| history.earliest(answers));
            // A look of this process may repeat an answer that counts already.
            let by_looks = (without.looks < OWN_LOOKS).then_some(self.now);
            Some(by_answers.max(by_looks)?.max(self.now + APART))
        });
        answered.fold(absent.since + forget, Timestamp::max)
    }
}

//! What has been told of one target group, and what may have to be. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::message::{Kind, Message, Of, Timings, millis};
use super::serving::Out;
use super::subject::{Said, Subject, since};
use crate::follow::milestone::Milestone;
use crate::follow::report::Report;
use crate::follow::tracker::UNSEEN_MAX;
use crate::planner::answer::Blind;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::plan::{Class, Held, Note, Reason};
use crate::planner::taken::Taken;
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::proxy::AHEAD;
use crate::text::{self, join, span};

/// A refusal is told again if there has been none for this long.
const REFUSED_AGAIN: Duration = Duration::from_secs(60 * 60);
/// That somebody else removes targets is told again this often while it goes on.
const REMOVED_AGAIN: Duration = Duration::from_secs(60 * 60);
/// Refusals that are remembered: more than the answers of an hour should have.
const REFUSED_MAX: usize = 1024;

/// What is known of one target group.
pub(super) struct Group {
    subject: Subject,
    /// When the latest report was.
    seen: Timestamp,
    /// What DNS named last, by endpoint.
    named: BTreeMap<Endpoint, BTreeSet<Target>>,
    /// The change that has been told and has not converged.
    change: Option<Change>,
    /// Refusals that have been told, with the latest report of each.
    refused: BTreeMap<(String, &'static str), Timestamp>,
    /// Endpoints that cannot be resolved, since when, and why.
    blind: BTreeMap<Endpoint, (Timestamp, String)>,
    unsettled: Option<Unsettled>,
    /// Whether a name is known to give several addresses in turn.
    rotates: bool,
    /// What somebody else removes, as far as that was told, and when it was.
    removed: Option<(Timestamp, Taken)>,
    out: Out,
    told: Told,
}

#[derive(Clone)]
struct Change {
    old: BTreeSet<Target>,
    new: BTreeSet<Target>,
    timings: Timings,
    began: Timestamp,
    /// Whether it is where a member shows that it is the writer, and DNS does not lead yet.
    is_ahead: bool,
}

struct Unsettled {
    since: Timestamp,
    /// Since when each report has had an error or a hold that is one.
    troubled: Option<Timestamp>,
    /// How long a change may take that goes well.
    expected: Duration,
    /// What is to go, and what is to come.
    old: BTreeSet<Target>,
    new: BTreeSet<Target>,
    reasons: Vec<String>,
}

/// Trouble that was told of and is not over.
#[derive(Default)]
struct Told {
    unsettled: bool,
    unresolved: BTreeSet<Endpoint>,
    since: Option<Timestamp>,
}

impl Group {
    pub(super) fn new(report: &Report) -> Self {
        let binding = &report.binding;
        Self {
            subject: Subject::new(
                Of::Group(binding.arn.clone()),
                binding.endpoints.clone(),
                report.plan.role,
            ),
            seen: report.ended,
            named: BTreeMap::new(),
            change: None,
            refused: BTreeMap::new(),
            rotates: false,
            removed: None,
            out: Out::default(),
            blind: BTreeMap::new(),
            unsettled: None,
            told: Told::default(),
        }
    }

    pub(super) fn note(&mut self, report: &Report, trigger: &str, after: Duration) -> Vec<Message> {
        let at = report.ended;
        if at.since(self.seen) > UNSEEN_MAX {
            self.start_anew();
        }
        self.seen = at;
        self.subject.role = report.plan.role;
        trigger.clone_into(&mut self.subject.trigger);
        let mut told = self.subject.summaries(at);
        let change = self.change_in(report);
        self.time(&report.reached);
        if change {
            told.extend(self.tell_change(at));
        }
        told.extend(self.tell_refusals(report));
        told.extend(self.tell_unproven(report));
        told.extend(self.tell_rotation(report));
        told.extend(self.tell_removed(report));
        if let Some((text, said)) = self.out.note(&report.plan.serving, at) {
            let text = format!("{} {text}", self.subject.name());
            told.extend(self.subject.tell(Kind::Recovered, at, text, said));
        }
        if report.is_settled()
            && let Some(change) = self.change.take()
        {
            told.extend(self.tell_convergence(change, at));
        }
        self.note_trouble(report);
        told.extend(self.due(at, after));
        told
    }

    fn start_anew(&mut self) {
        self.named.clear();
        self.change = None;
        self.blind.clear();
        self.unsettled = None;
        self.out.start_anew();
    }

    /// Takes a change of addresses, if there is one in the report.
    fn change_in(&mut self, report: &Report) -> bool {
        let (old, new) = match report.plan.role {
            Role::Reader => (report.deregistered.done.clone(), new_members(report)),
            Role::Writer => self.moved(report),
        };
        if old.is_empty() && new.is_empty() {
            return false;
        }
        // A change that goes on has the time of its beginning.
        let began = self.change.as_ref().map_or(report.at, |change| change.began);
        self.change = Some(Change {
            is_ahead: new.iter().any(|target| report.plan.is_ahead(*target)),
            old,
            new,
            timings: Timings::default(),
            began,
        });
        true
    }

    /// What DNS names no more and what it names now, of what may be a target; or the writer by its own word instead.
    fn moved(&mut self, report: &Report) -> (BTreeSet<Target>, BTreeSet<Target>) {
        let refused = refused_targets(report);
        let candidates = report.plan.candidates();
        let (mut old, mut new) = (BTreeSet::new(), BTreeSet::new());
        for (endpoint, sight) in &report.sights {
            let Ok(answer) = &sight.seen else { continue };
            let port = endpoint.port();
            // The writer by its own word is where it is, whatever DNS flaps to.
            let led = report
                .plan
                .ahead_of_dns(endpoint)
                .map(|writer| BTreeSet::from([writer]));
            let addresses = led.as_ref().unwrap_or_else(|| answer.resolution.addresses());
            let targets = addresses.iter().map(|ip| Target { ip: *ip, port });
            let now: BTreeSet<Target> = targets.filter(|target| !refused.contains(target)).collect();
            if now.is_empty() {
                continue;
            }
            match self.named.insert(endpoint.clone(), now.clone()) {
                Some(before) => {
                    old.extend(&before - &now);
                    new.extend(&now - &before);
                }
                // Nobody knows what DNS said before, but what the group lacks is new, and what it has besides is old.
                None => new.extend(now.into_iter().filter(|target| candidates.contains(target))),
            }
        }
        let named: BTreeSet<Target> = self.named.values().flatten().copied().collect();
        if old.is_empty() && !new.is_empty() {
            let keep = &report.binding.policy.keep;
            let is_surplus =
                |target: &Target| !named.contains(target) && !keep.iter().any(|net| net.contains(&target.ip));
            let registered = report.targets.iter().flatten();
            let registered = registered.filter(|(_, listed)| listed.state.is_registered());
            old.extend(registered.map(|(target, _)| *target).filter(is_surplus));
        }
        // An address that moves from one endpoint of the group to another stays.
        old.retain(|target| !named.contains(target));
        (old, new)
    }

    /// Takes the durations of what was reached.
    fn time(&mut self, reached: &[Milestone]) {
        let Some(change) = &mut self.change else { return };
        for milestone in reached {
            let (timing, after) = match milestone {
                Milestone::Registered(_, after) => (&mut change.timings.registered_ms, *after),
                Milestone::Healthy(_, after) => (&mut change.timings.healthy_ms, *after),
                Milestone::Deregistered(_, Some(after)) => (&mut change.timings.deregistered_ms, *after),
                _ => continue,
            };
            *timing = Some(millis(after));
        }
    }

    fn tell_change(&mut self, at: Timestamp) -> Option<Message> {
        let change = self.change.clone()?;
        let (name, old, new) = (self.subject.name(), join(&change.old), join(&change.new));
        let text = match (self.subject.role, old.is_empty(), new.is_empty()) {
            (Role::Writer, false, false) => {
                let why = if change.is_ahead { AHEAD } else { "" };
                format!("{name} moved from {old} to {new}{why}")
            }
            (Role::Writer, true, _) => format!("{name}: DNS names {new}, which is new"),
            (Role::Writer, false, true) => format!("{name}: DNS no longer names {old}"),
            (Role::Reader, true, _) => format!("{name}: member {new} was registered"),
            (Role::Reader, false, true) => format!("{name}: member {old} was forgotten"),
            (Role::Reader, false, false) => format!("{name}: member {new} was registered, {old} forgotten"),
        };
        self.subject.tell(Kind::AddressChanged, at, text, change.said(at))
    }

    fn tell_convergence(&mut self, change: Change, at: Timestamp) -> Option<Message> {
        let name = self.subject.name();
        let text = format!("{name} equals DNS again after {}", text::took(at.since(change.began)));
        self.subject.tell(Kind::Converged, at, text, change.said(at))
    }

    fn tell_refusals(&mut self, report: &Report) -> Option<Message> {
        let at = report.ended;
        self.refused.retain(|_, seen| at.since(*seen) < REFUSED_AGAIN);
        let (mut new, mut reasons) = (BTreeSet::new(), Vec::new());
        for hold in report.holds() {
            let targets = refused(&hold.what, &hold.reason);
            let is_new = |target: &Target| {
                let key = (target.to_string(), hold.reason.name());
                self.refused.insert(key, at).is_none()
            };
            let fresh: BTreeSet<Target> = targets.into_iter().filter(is_new).collect();
            if !fresh.is_empty() {
                reasons.push(format!("{} {}", hold.what, hold.reason));
                new.extend(fresh);
            }
        }
        while self.refused.len() > REFUSED_MAX {
            self.refused.pop_first();
        }
        self.tell_addresses(Kind::Refused, at, new, reasons)
    }

    /// Tells of what is registered although it has not shown what it has to.
    fn tell_unproven(&mut self, report: &Report) -> Option<Message> {
        let at = report.ended;
        let (mut new, mut reasons) = (BTreeSet::new(), Vec::new());
        for note in &report.plan.notes {
            if let Note::Unproven { target, .. } = note
                && report.registered.done.contains(target)
            {
                new.insert(*target);
                reasons.push(note.to_string());
            }
        }
        self.tell_addresses(Kind::Unproven, at, new, reasons)
    }

    /// Tells, once, of a name that gives several addresses in turn.
    fn tell_rotation(&mut self, report: &Report) -> Option<Message> {
        let rotates = |note: &&Note| matches!(note, Note::Rotates { .. });
        let notes: Vec<&Note> = report.plan.notes.iter().filter(rotates).collect();
        let is_blind = report.sights.values().any(|sight| sight.seen.is_err());
        if is_blind || std::mem::replace(&mut self.rotates, !notes.is_empty()) {
            return None;
        }
        let new = notes.iter().flat_map(|note| match note {
            Note::Rotates { endpoint, members } => {
                let port = endpoint.port();
                members.iter().map(|ip| Target { ip: *ip, port }).collect()
            }
            _ => Vec::new(),
        });
        let reasons = notes.iter().map(ToString::to_string).collect();
        self.tell_addresses(Kind::Rotates, report.at, new.collect(), reasons)
    }

    /// Tells that somebody else removes what DNS names: when it is no single occasion any more, every hour, and when it is over.
    fn tell_removed(&mut self, report: &Report) -> Option<Message> {
        let at = report.ended;
        let Some(taken) = report.plan.taken.clone() else {
            // Who does not see the group does not know.
            report.targets.as_ref().ok()?;
            let (_, taken) = self.removed.take()?;
            let text = format!(
                "{} has recovered: nobody has removed its targets for {}",
                self.subject.name(),
                span(at.since(taken.last))
            );
            return self
                .subject
                .tell(Kind::Recovered, at, text, removed(&taken, at, Vec::new()));
        };
        let is_reason = |note: &&Note| matches!(note, Note::RemovedByOthers { .. });
        let reasons: Vec<String> = report
            .plan
            .notes
            .iter()
            .filter(is_reason)
            .map(ToString::to_string)
            .collect();
        let told_at = self.removed.as_ref().map(|(told_at, _)| *told_at);
        let is_due = taken.is_trouble() && told_at.is_none_or(|told_at| at.since(told_at) >= REMOVED_AGAIN);
        if told_at.is_some() || is_due {
            let told_at = told_at.filter(|_| !is_due).unwrap_or(at);
            self.removed = Some((told_at, taken.clone()));
        }
        let (target, times) = taken.most().filter(|_| is_due)?;
        let lasts = span(taken.last.since(taken.since));
        let text = format!(
            "{}: {target} was removed by somebody else, {times} times in {lasts}",
            self.subject.name()
        );
        self.subject
            .tell(Kind::RemovedByOthers, at, text, removed(&taken, at, reasons))
    }

    /// Tells what stands against addresses, if there is anything.
    fn tell_addresses(
        &mut self,
        kind: Kind,
        at: Timestamp,
        new: BTreeSet<Target>,
        reasons: Vec<String>,
    ) -> Option<Message> {
        let text = format!("{}: {}", self.subject.name(), reasons.first()?);
        let said = Said {
            new,
            reasons,
            ..Said::default()
        };
        self.subject.tell(kind, at, text, said)
    }

    fn note_trouble(&mut self, report: &Report) {
        let at = report.at;
        for (endpoint, sight) in &report.sights {
            match &sight.seen {
                Ok(_) => {
                    if self.blind.remove(endpoint).is_some() {
                        // The change that follows has not been under way for as long as nobody could see it.
                        self.unsettled = None;
                    }
                    self.told.unresolved.remove(endpoint);
                }
                Err(Blind::NotYet) => {}
                Err(blind) => {
                    let began = sight.blind_since.unwrap_or(at);
                    let entry = self.blind.entry(endpoint.clone()).or_insert((began, String::new()));
                    entry.1 = blind.to_string();
                }
            }
        }
        if report.is_settled() {
            self.unsettled = None;
            return;
        }
        let before = self.unsettled.take();
        let troubled = before.as_ref().and_then(|before| before.troubled);
        let (policy, role) = (&report.binding.policy, report.plan.role);
        self.unsettled = Some(Unsettled {
            since: before.map_or(at, |before| before.since),
            troubled: report.trouble().map(|_| troubled.unwrap_or(at)),
            expected: policy.forget(role) + policy.patience(role),
            old: report.plan.surplus(),
            new: report.plan.register.keys().copied().collect(),
            reasons: report.causes(),
        });
    }

    /// What has become due by the passing of time.
    pub(super) fn due(&mut self, now: Timestamp, after: Duration) -> Vec<Message> {
        let mut told = self.subject.summaries(now);
        told.extend(self.due_blind(now, after));
        told.extend(self.due_unsettled(now, after));
        told.extend(self.out.due(&mut self.subject, now, after));
        if let (None, Some(began)) = (&self.unsettled, self.told.since)
            && self.blind.is_empty()
        {
            self.told = Told::default();
            let name = self.subject.name();
            let text = format!("{name} has recovered after {}: it equals DNS", span(now.since(began)));
            let said = Said {
                timings: since(began, now),
                ..Said::default()
            };
            told.extend(self.subject.tell(Kind::Recovered, now, text, said));
        }
        told
    }

    fn due_blind(&mut self, now: Timestamp, after: Duration) -> Option<Message> {
        let is_due = |endpoint: &Endpoint, began: Timestamp| {
            now.since(began) >= after && !self.told.unresolved.contains(endpoint)
        };
        let due = self
            .blind
            .iter()
            .filter(|(endpoint, (began, _))| is_due(endpoint, *began));
        let due: Vec<(Endpoint, Timestamp, String)> = due
            .map(|(endpoint, (began, why))| (endpoint.clone(), *began, why.clone()))
            .collect();
        let (first, began, _) = due.first()?;
        let text = format!(
            "{}: {first} cannot be resolved for {}; nothing is removed",
            self.subject.name(),
            span(now.since(*began))
        );
        let endpoints: BTreeSet<Endpoint> = due.iter().map(|(endpoint, ..)| endpoint.clone()).collect();
        self.told.since.get_or_insert(*began);
        self.told.unresolved.extend(endpoints.clone());
        let said = Said {
            endpoints: Some(endpoints),
            timings: since(*began, now),
            reasons: due
                .iter()
                .map(|(endpoint, _, why)| format!("{endpoint}: {why}"))
                .collect(),
            ..Said::default()
        };
        self.subject.tell(Kind::Unresolved, now, text, said)
    }

    fn due_unsettled(&mut self, now: Timestamp, after: Duration) -> Option<Message> {
        let unsettled = self.unsettled.as_ref()?;
        // What cannot be resolved is told as that.
        if self.told.unsettled || !self.blind.is_empty() {
            return None;
        }
        let is_troubled = unsettled.troubled.is_some_and(|since| now.since(since) >= after);
        let lasted = now.since(unsettled.since);
        if !is_troubled && lasted < after + unsettled.expected {
            return None;
        }
        let why = unsettled
            .reasons
            .first()
            .map(|why| format!(": {why}"))
            .unwrap_or_default();
        let text = format!("{} has not equalled DNS for {}{why}", self.subject.name(), span(lasted));
        let said = Said {
            old: unsettled.old.clone(),
            new: unsettled.new.clone(),
            timings: since(unsettled.since, now),
            reasons: unsettled.reasons.clone(),
            ..Said::default()
        };
        self.told.unsettled = true;
        self.told.since.get_or_insert(unsettled.since);
        self.subject.tell(Kind::Unsettled, now, text, said)
    }
}

impl Change {
    fn said(&self, at: Timestamp) -> Said {
        Said {
            old: self.old.clone(),
            new: self.new.clone(),
            timings: Timings {
                since: Some(self.began),
                lasted_ms: Some(millis(at.since(self.began))),
                ..self.timings
            },
            ..Said::default()
        }
    }
}

/// The members that were registered and are not merely put back.
fn new_members(report: &Report) -> BTreeSet<Target> {
    let is_back = |target: &Target| {
        let taken = report.plan.taken.as_ref();
        taken.is_some_and(|taken| taken.times.contains_key(target))
    };
    let mut new = report.registered.done.clone();
    new.retain(|target| !is_back(target));
    new
}

/// What a message says of targets that somebody else removes.
fn removed(taken: &Taken, at: Timestamp, reasons: Vec<String>) -> Said {
    Said {
        old: taken.times.keys().copied().collect(),
        timings: since(taken.since, at),
        reasons,
        ..Said::default()
    }
}

/// The addresses that a hold refuses.
fn refused(what: &Held, reason: &Reason) -> Vec<Target> {
    match (what, reason) {
        (Held::Endpoint(endpoint), Reason::Blind(Blind::AllRefused(refusals))) => {
            let port = endpoint.port();
            refusals.keys().map(|ip| Target { ip: *ip, port }).collect()
        }
        (Held::Target(target), reason) if reason.class() == Class::Refused => vec![*target],
        _ => Vec::new(),
    }
}

/// The addresses that are no addresses to move to: refused by a guard, or not known yet to be any better.
fn refused_targets(report: &Report) -> BTreeSet<Target> {
    let holds = report.plan.holds.iter();
    let unprobed = holds.clone().filter_map(|hold| match hold.what {
        Held::Target(target) if hold.reason.class() == Class::Unprobed => Some(target),
        _ => None,
    });
    let refused = holds.flat_map(|hold| refused(&hold.what, &hold.reason));
    unprobed.chain(refused).collect()
}

//! Follows a change from the first sight of a new address to convergence, over the reports of one binding.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::follow::report::Report;
use crate::planner::endpoint::Role;
use crate::planner::target::{State, Target};
use crate::planner::time::Timestamp;
use crate::text::took;

/// A point that a change has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// DNS names an address that is not registered.
    Named(Target),
    /// DNS no longer names a registered target.
    Unnamed(Target),
    /// ELB accepted the registration, that long after the address was first seen named.
    Registered(Target, Duration),
    /// The target is healthy, that long after the address was first seen named.
    Healthy(Target, Duration),
    /// ELB accepted the deregistration, that long after the target was first seen unnamed, where that was seen.
    Deregistered(Target, Option<Duration>),
    /// The group equals DNS again, that long after the change began.
    Converged(Duration),
}

impl fmt::Display for Milestone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(target) => write!(f, "DNS names {target}, which is not registered"),
            Self::Unnamed(target) => write!(f, "DNS no longer names {target}"),
            Self::Registered(target, after) => write!(f, "registered {target} after {}", took(*after)),
            Self::Healthy(target, after) => write!(f, "{target} is healthy after {}", took(*after)),
            Self::Deregistered(target, Some(after)) => write!(f, "deregistered {target} after {}", took(*after)),
            Self::Deregistered(target, None) => write!(f, "deregistered {target}"),
            Self::Converged(after) => write!(f, "converged after {}", took(*after)),
        }
    }
}

/// After this long without a report, what was known says nothing about now: another process may have looked meanwhile.
pub const UNSEEN_MAX: Duration = Duration::from_secs(5 * 60);

/// The changes that are under way in one binding.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    /// When the latest report was.
    seen: Option<Timestamp>,
    named: BTreeMap<Target, Timestamp>,
    unnamed: BTreeMap<Target, Timestamp>,
    began: Option<Timestamp>,
}

impl Tracker {
    /// Takes a report and tells which points were reached with it.
    pub fn note(&mut self, report: &Report) -> Vec<Milestone> {
        if self.seen.is_some_and(|seen| report.ended.since(seen) > UNSEEN_MAX) {
            *self = Self::default();
        }
        self.seen = Some(report.ended);
        let mut reached = Vec::new();
        self.note_named(report, &mut reached);
        self.note_unnamed(report, &mut reached);
        if report.is_settled()
            && let Some(began) = self.began.take()
        {
            reached.push(Milestone::Converged(report.at.since(began)));
        }
        reached
    }

    fn note_named(&mut self, report: &Report, reached: &mut Vec<Milestone>) {
        let at = report.at;
        let missing = report.plan.candidates();
        for target in &missing {
            self.named.entry(*target).or_insert_with(|| {
                reached.push(Milestone::Named(*target));
                self.began.get_or_insert(at);
                at
            });
        }
        for target in &report.registered.done {
            let since = self.named.get(target).copied().unwrap_or(at);
            reached.push(Milestone::Registered(*target, report.ended.since(since)));
        }
        let Ok(targets) = &report.targets else { return };
        self.named
            .retain(|target, since| match targets.get(target).map(|listed| &listed.state) {
                Some(State::Healthy) => {
                    reached.push(Milestone::Healthy(*target, at.since(*since)));
                    false
                }
                Some(state) if state.is_registered() => true,
                // Neither registered nor wanted any more.
                _ => missing.contains(target),
            });
    }

    fn note_unnamed(&mut self, report: &Report, reached: &mut Vec<Milestone>) {
        let at = report.at;
        let surplus = report.plan.surplus();
        if report.targets.is_ok() && report.trouble().is_none() {
            self.unnamed.retain(|target, _| surplus.contains(target));
        }
        for target in surplus {
            self.unnamed.entry(target).or_insert_with(|| {
                reached.push(Milestone::Unnamed(target));
                self.began.get_or_insert(at);
                at
            });
        }
        for target in &report.deregistered.done {
            let since = self.unnamed.remove(target).filter(|_| report.plan.role == Role::Writer);
            reached.push(Milestone::Deregistered(
                *target,
                since.map(|since| report.ended.since(since)),
            ));
        }
    }
}

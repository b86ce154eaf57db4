//! Follows a change from the first sight of a new address to convergence, over the reports of one binding.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::follow::milestone::Milestone;
use crate::follow::report::Report;
use crate::planner::endpoint::Role;
use crate::planner::target::{State, Target};
use crate::planner::time::Timestamp;

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
    /// The same for a process that was not there all the time: what was under way too long ago says nothing about now.
    #[must_use]
    pub fn recalled(self, now: Timestamp) -> Self {
        let is_old = self.seen.is_some_and(|seen| now.since(seen) > UNSEEN_MAX);
        if is_old { Self::default() } else { self }
    }

    /// Takes a report and tells which points were reached with it.
    pub fn note(&mut self, report: &Report) -> Vec<Milestone> {
        self.seen = Some(report.ended);
        let found = report.plan.taken.iter().flat_map(|taken| &taken.found);
        let mut reached: Vec<Milestone> = found.map(|target| Milestone::RemovedByOthers(*target)).collect();
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
                reached.push(match report.plan.is_ahead(*target) {
                    true => Milestone::Ahead(*target),
                    false => Milestone::Named(*target),
                });
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

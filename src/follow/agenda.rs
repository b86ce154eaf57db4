//! When a follower's next step comes, and how urgently. Pure: what ended, the time and the luck of jitter are arguments.
//!
//! ```text
//! what is known                                   the next step                          for
//! nothing yet                                     a look, at once or when it is held off Settle
//! as after the latest step, and well              a look when something can have changed Settle, Look if settled
//! the same, while somebody else takes targets away  a look after a few seconds             Settle
//! as after the latest step, which failed          a look after a back-off                Settle, Register if one is pending
//! the same, often or for long                     a look after a back-off                Look
//! an address to register that was not planned     a look, 1 s after the last such look   Register
//! a target to remove that was not planned         a look, 1 s after the last look        Settle
//! something else, with nothing to write           none: the plan alone is taken note of
//! something else, with what is pending unchanged  as if nothing were new
//! ```

use std::time::Duration;

use crate::aws::bucket::Urgency;
use crate::aws::failure::Kind;
use crate::follow::report::Report;
use crate::planner::cadence::{self, GroupLook};
use crate::planner::plan::{Held, Plan};
use crate::planner::target::Target;
use crate::planner::time::Timestamp;

/// How often a group is looked at for drift, before jitter.
const VERIFY: Duration = Duration::from_secs(60);
/// How far jitter moves that, so that many bindings do not look together.
const VERIFY_JITTER: f64 = 0.25;
/// How often a group is looked at while somebody else takes its targets away: such controllers act every 15 to 20 s, and a group
/// is to be without a target for less than 10 s, the calls included.
const MISSING: Duration = Duration::from_secs(5);
/// How often what has failed is tried again ahead of looks for drift; what fails for longer must not hold up the others.
const RETRIES_AHEAD: u32 = 5;
/// The longest wait after errors.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// What comes next, as far as is known at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A look at the group at this time.
    Look {
        /// When; it may be past.
        at: Timestamp,
        /// Which queue to wait in for the call.
        urgency: Urgency,
    },
    /// What DNS or a candidate says is new, but nothing is to be written: the group is taken as it was last seen.
    WithoutLook,
}

/// What a step was, as far as the next one depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// What was decided.
    pub plan: &'a Plan,
    /// Whether a call failed, and how.
    pub failed: Option<Failed>,
    /// Whether the group has been changed, or is to be: it is looked at again soon.
    pub is_writing: bool,
    /// Whether the step was taken for a new address.
    pub is_for_change: bool,
    /// Whether somebody else takes targets away that are put back.
    pub is_robbed: bool,
}

/// How a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It may succeed at the next attempt.
    MayPass,
    /// Somebody has to change something first.
    ForLong,
}

/// How far apart looks have to be at least for every group to have its share of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shares {
    /// Looks for drift.
    pub drift: Duration,
    /// Looks while somebody else takes targets away.
    pub missing: Duration,
}

/// Draws from the unit interval, so that many followers do not act together.
#[derive(Clone, Copy, Debug)]
pub struct Luck {
    /// The part of a back-off that is waited.
    pub backoff: f64,
    /// Where in its range the look for drift falls.
    pub verify: f64,
}

impl Luck {
    /// Draws anew.
    pub fn draw() -> Self {
        Self {
            backoff: fastrand::f64(),
            verify: fastrand::f64(),
        }
    }
}

/// What the latest steps left for the choice of the next.
#[derive(Debug, Default)]
pub struct Agenda {
    last: Option<Last>,
    failures: u32,
    is_for_long: bool,
    not_before: Option<Timestamp>,
}

#[derive(Debug)]
struct Last {
    look: GroupLook,
    /// The latest look that a new address asked for.
    look_for_change: Option<Timestamp>,
    shape: Shape,
}

/// As much of a plan as makes a difference worth a step.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    register: Vec<Target>,
    deregister: Vec<Target>,
    holds: Vec<(Held, &'static str)>,
    settled: bool,
}

impl Shape {
    fn of(plan: &Plan) -> Self {
        Self {
            register: plan.register.keys().copied().collect(),
            deregister: plan.deregister.keys().copied().collect(),
            holds: plan
                .differences()
                .map(|hold| (hold.what.clone(), hold.reason.name()))
                .collect(),
            settled: plan.settled,
        }
    }
}

impl Agenda {
    /// Puts off the first step.
    pub fn hold_off(&mut self, until: Timestamp) {
        self.not_before = Some(until);
    }

    /// Before this nothing is tried, because something failed or is put off.
    pub fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// Whether no look has been made yet.
    pub fn is_new(&self) -> bool {
        self.last.is_none()
    }

    /// Which queue the first call about the group waits in.
    pub fn first_urgency(&self) -> Urgency {
        if self.fails_for_long() {
            Urgency::Look
        } else {
            Urgency::Settle
        }
    }

    fn fails_for_long(&self) -> bool {
        self.failures > RETRIES_AHEAD || self.is_for_long
    }

    /// The next step; `foreseen` is what would be planned if the group is as it was last seen, where there is news.
    pub fn next(&self, foreseen: Option<&Plan>) -> Next {
        let Some(last) = &self.last else {
            return Next::Look {
                at: self.not_before.unwrap_or(Timestamp::from_millis(0)),
                urgency: Urgency::Settle,
            };
        };
        let due = self.due(last);
        let Some(shape) = foreseen.map(Shape::of).filter(|shape| *shape != last.shape) else {
            return due;
        };
        if !shape.register.is_empty() && shape.register != last.shape.register {
            // Other looks do not hold up the one for a new address; those for new addresses stay apart.
            let at = last
                .look_for_change
                .map_or(Timestamp::from_millis(0), |at| at + cadence::APART);
            let urgency = Urgency::Register;
            Next::Look { at, urgency }
        } else if !shape.deregister.is_empty() && shape.deregister != last.shape.deregister {
            let at = last.look.last + cadence::APART;
            let urgency = Urgency::Settle;
            Next::Look { at, urgency }
        } else if shape.register.is_empty() && shape.deregister.is_empty() {
            Next::WithoutLook
        } else {
            due
        }
    }

    /// The next look if nothing is new.
    fn due(&self, last: &Last) -> Next {
        let (at, urgency) = match self.not_before {
            Some(at) => {
                let urgency = if self.fails_for_long() {
                    Urgency::Look
                } else if last.shape.register.is_empty() {
                    Urgency::Settle
                } else {
                    Urgency::Register
                };
                (at.max(last.look.last + cadence::APART), urgency)
            }
            // Whatever is still to be seen of what is settled, such as its health, is no hurry.
            None if !last.look.is_for_missing() && (last.look.is_for_drift() || last.shape.settled) => {
                (last.look.next(), Urgency::Look)
            }
            None => (last.look.next(), Urgency::Settle),
        };
        Next::Look { at, urgency }
    }

    /// Takes note of a step that looked at the group, or tried to.
    pub fn looked(&mut self, ended: Ended, now: Timestamp, shares: Shares, luck: Luck) {
        match ended.failed {
            Some(failed) => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = Some(now + cadence::backoff(self.failures, BACKOFF_MAX).mul_f64(luck.backoff));
                self.is_for_long = failed == Failed::ForLong;
            }
            None => {
                self.failures = 0;
                self.not_before = None;
                self.is_for_long = false;
            }
        }
        let before = self.last.as_ref();
        let jitter = 1.0 + VERIFY_JITTER * (2.0 * luck.verify - 1.0);
        let last_write = before.and_then(|last| last.look.last_write);
        let look_for_change = before.and_then(|last| last.look_for_change);
        self.last = Some(Last {
            look: GroupLook {
                last: now,
                last_write: if ended.is_writing { Some(now) } else { last_write },
                hold_end: ended.plan.next_end(now),
                missing: ended.is_robbed.then(|| now + MISSING.max(shares.missing)),
                verify: now + VERIFY.max(shares.drift).mul_f64(jitter),
            },
            look_for_change: if ended.is_for_change {
                Some(now)
            } else {
                look_for_change
            },
            shape: Shape::of(ended.plan),
        });
    }

    /// Takes note of a group that could not be described: the first look is still to come.
    pub fn undescribed(&mut self, ended: Ended, now: Timestamp, luck: Luck) {
        self.looked(ended, now, Shares::default(), luck);
        self.last = None;
    }

    /// Takes note of a plan that no look at the group was made for.
    pub fn planned(&mut self, plan: &Plan, now: Timestamp) {
        if let Some(last) = &mut self.last {
            last.look.hold_end = plan.next_end(now);
            last.shape = Shape::of(plan);
        }
    }
}

impl<'a> Ended<'a> {
    /// What a report says of its step.
    pub fn of(report: &'a Report, is_for_change: bool) -> Self {
        let mut errors = report.errors().peekable();
        let may_pass = |kind| matches!(kind, Kind::Throttled | Kind::Unavailable | Kind::Other);
        let failed = errors.peek().is_some().then(|| {
            if errors.any(|error| may_pass(error.failure.kind)) {
                Failed::MayPass
            } else {
                Failed::ForLong
            }
        });
        // Removals that were put off are to be looked at as soon as those that were made.
        let put_off = report.applied && !report.plan.deregister.is_empty();
        Self {
            plan: &report.plan,
            failed,
            is_writing: report.has_written() || put_off,
            is_for_change,
            is_robbed: report.applied && report.plan.taken.is_some(),
        }
    }
}

//! When a follower's next step comes, and how urgently. Pure: what ended, the time and the luck of jitter are arguments.
//!
//! ```text
//! what is known                                   the next step                          for
//! nothing yet                                     a look, at once                        Settle
//! as after the latest step, and well              a look when something can have changed Settle, Look if settled
//! as after the latest step, which failed          a look after a back-off                Settle, Look after five failures
//! an address to register that was not planned     a look, 1 s after the last such look   Register
//! a target to remove that was not planned         a look, 1 s after the last look        Settle
//! something else, with nothing to write           none: the plan alone is taken note of
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
}

/// How a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It may succeed at the next attempt.
    MayPass,
    /// Somebody has to change something first.
    ForLong,
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
            None if last.look.is_for_drift() || last.shape.settled => (last.look.next(), Urgency::Look),
            None => (last.look.next(), Urgency::Settle),
        };
        Next::Look { at, urgency }
    }

    /// Takes note of a step that looked at the group, or tried to; `fair` is how far apart looks for drift have to be at
    /// least.
    pub fn looked(&mut self, ended: Ended, now: Timestamp, fair: Duration, luck: Luck) {
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
                verify: now + VERIFY.max(fair).mul_f64(jitter),
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
        self.looked(ended, now, Duration::ZERO, luck);
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
        let wrote = !report.registered.done.is_empty() || !report.deregistered.done.is_empty();
        // Removals that were put off are to be looked at as soon as those that were made.
        let put_off = report.applied && !report.plan.deregister.is_empty();
        Self {
            plan: &report.plan,
            failed,
            is_writing: wrote || put_off,
            is_for_change,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::planner::endpoint::Role;
    use crate::planner::plan::{Hold, Reason};

    /// The middle of every range, and half of every back-off.
    const LUCK: Luck = Luck {
        backoff: 0.5,
        verify: 0.5,
    };

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn target(ip: &str) -> Target {
        let ip = ip.parse().expect("an address");
        Target { ip, port: 5432 }
    }

    /// A plan in a few words: `+IP` registers, `-IP` deregisters, `IP@MILLIS` holds until then, `settled`.
    fn plan(text: &str) -> Plan {
        let mut plan = Plan {
            role: Role::Writer,
            register: BTreeMap::new(),
            deregister: BTreeMap::new(),
            holds: Vec::new(),
            notes: Vec::new(),
            settled: false,
        };
        for word in text.split_whitespace() {
            match (word.strip_prefix('+'), word.strip_prefix('-'), word.split_once('@')) {
                (Some(ip), ..) => {
                    plan.register.insert(target(ip), None);
                }
                (_, Some(ip), _) => {
                    plan.deregister.insert(target(ip), None);
                }
                (.., Some((ip, until))) => plan.holds.push(Hold {
                    what: Held::Target(target(ip)),
                    reason: Reason::AwaitsHealthy,
                    until: Some(at(until.parse().expect("milliseconds"))),
                }),
                _ => plan.settled = word == "settled",
            }
        }
        plan
    }

    /// An agenda after looks at these times, each with a plan and how it ended.
    fn after(looks: &[(u64, &str, &str)]) -> Agenda {
        let mut agenda = Agenda::default();
        for (millis, text, how) in looks {
            let plan = plan(text);
            let ended = Ended {
                plan: &plan,
                failed: match *how {
                    "throttled" => Some(Failed::MayPass),
                    "denied" => Some(Failed::ForLong),
                    _ => None,
                },
                is_writing: *how == "wrote",
                is_for_change: *how == "for a change",
            };
            agenda.looked(ended, at(*millis), Duration::ZERO, LUCK);
        }
        agenda
    }

    /// The time in milliseconds and the queue; none where no look is made.
    fn told(next: Next) -> Option<(u64, Urgency)> {
        match next {
            Next::Look { at, urgency } => Some((at.as_millis(), urgency)),
            Next::WithoutLook => None,
        }
    }

    #[test]
    fn the_next_step_follows_from_the_latest_and_what_is_foreseen() {
        use Urgency::*;
        let settled = &[(100_000, "settled", "well")][..];
        let waiting = &[(100_000, "10.0.1.5@130000", "well")][..];
        let wrote = &[(100_000, "+10.0.2.7", "wrote")][..];
        let failing = &[(100_000, "+10.0.2.7", "throttled")][..];
        for (looks, foreseen, expect) in [
            (&[][..], None, Some((0, Settle))),
            // Nothing new: drift, the end of a hold, 1, 2, 4 and 8 s after a write.
            (settled, None, Some((160_000, Look))),
            (settled, Some("settled"), Some((160_000, Look))),
            (waiting, None, Some((130_000, Settle))),
            (wrote, None, Some((101_000, Settle))),
            (&[(100_000, "settled", "wrote")], None, Some((101_000, Look))),
            // Something new to write.
            (settled, Some("+10.0.2.7"), Some((0, Register))),
            (
                &[(100_000, "settled", "for a change")],
                Some("+10.0.2.7"),
                Some((101_000, Register)),
            ),
            (wrote, Some("+10.0.2.7"), Some((101_000, Settle))),
            (wrote, Some("+10.0.2.7 +10.0.3.9"), Some((0, Register))),
            (waiting, Some("-10.0.1.5"), Some((101_000, Settle))),
            (settled, Some("-10.0.1.5"), Some((101_000, Settle))),
            // Something new and nothing to write.
            (settled, Some("10.0.1.5@130000"), None),
            (waiting, Some("settled"), None),
            // The time of a hold alone is no news.
            (waiting, Some("10.0.1.5@140000"), Some((130_000, Settle))),
            // After failures: half of 0.5, 1, 2, 4, 8 and 10 s, a second apart, and no hurry in the end.
            (failing, None, Some((101_000, Register))),
            (&[(100_000, "settled", "throttled")], None, Some((101_000, Settle))),
            (&[(100_000, "settled", "denied")], None, Some((101_000, Look))),
            (&[(100_000, "settled", "throttled"); 4], None, Some((102_000, Settle))),
            (&[(100_000, "settled", "throttled"); 5], None, Some((104_000, Settle))),
            (&[(100_000, "settled", "throttled"); 6], None, Some((105_000, Look))),
            (&[(100_000, "+10.0.2.7", "throttled"); 6], None, Some((105_000, Look))),
            (&[(100_000, "settled", "throttled"); 60], None, Some((105_000, Look))),
            // A new address does not wait for a back-off that an old one earned.
            (failing, Some("+10.0.3.9"), Some((0, Register))),
            (
                &[(100_000, "", "denied"), (130_000, "settled", "well")],
                None,
                Some((190_000, Look)),
            ),
        ] {
            let plan = foreseen.map(plan);
            assert_eq!(told(after(looks).next(plan.as_ref())), expect, "{looks:?} {foreseen:?}");
        }
    }

    #[test]
    fn looks_for_drift_are_apart_by_chance_and_by_the_share_of_the_calls() {
        let plan = plan("settled");
        for (fair_secs, verify, expect) in [
            (0, 0.0, 45_000),
            (0, 0.5, 60_000),
            (0, 1.0, 75_000),
            (520, 0.0, 390_000),
            (520, 1.0, 650_000),
        ] {
            let mut agenda = Agenda::default();
            let ended = Ended {
                plan: &plan,
                failed: None,
                is_writing: false,
                is_for_change: false,
            };
            let luck = Luck { verify, ..LUCK };
            agenda.looked(ended, at(0), Duration::from_secs(fair_secs), luck);
            assert_eq!(
                told(agenda.next(None)),
                Some((expect, Urgency::Look)),
                "{fair_secs} {verify}"
            );
        }
    }

    #[test]
    fn a_plan_without_a_look_is_the_one_to_compare_with_from_then_on() {
        let mut agenda = after(&[(100_000, "settled", "well")]);
        let held = plan("10.0.1.5@130000");
        assert_eq!(agenda.next(Some(&held)), Next::WithoutLook);
        agenda.planned(&held, at(110_000));
        assert_eq!(told(agenda.next(Some(&held))), Some((130_000, Urgency::Settle)));
    }

    #[test]
    fn a_group_that_cannot_be_described_is_tried_again() {
        let mut agenda = Agenda::default();
        let plan = plan("");
        for (failures, not_before, urgency) in [
            (1, 100_250, Urgency::Settle),
            (2, 100_500, Urgency::Settle),
            (5, 104_000, Urgency::Settle),
            (6, 105_000, Urgency::Look),
        ] {
            while agenda.failures < failures {
                let ended = Ended {
                    plan: &plan,
                    failed: Some(Failed::MayPass),
                    is_writing: false,
                    is_for_change: false,
                };
                agenda.undescribed(ended, at(100_000), LUCK);
            }
            assert_eq!(agenda.not_before(), Some(at(not_before)), "after {failures}");
            assert_eq!(agenda.first_urgency(), urgency, "after {failures}");
        }
    }
}

//! How long one invocation looks at one binding.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rds_tether::clock::Clock;
use rds_tether::exit::Exit;
use rds_tether::follow::Follower;
use rds_tether::follow::milestone::Milestone;
use rds_tether::follow::report::Report;
use rds_tether::function::event::{Command, Doorbell, Phase};
use rds_tether::notify::Notifier;
use rds_tether::planner::candidate::Doubt;
use rds_tether::planner::plan::{Hold, Reason};
use rds_tether::planner::time::Timestamp;
use rds_tether::telemetry::journal::Journal;
use tokio::time::timeout_at;

use crate::emf::Measured;

/// How old the start of a failover may be for DNS still to be about to change.
const START_AGE: Duration = Duration::from_secs(120);
/// How long to look after the end of a failover: a resolver may still repeat the answer from before.
const COMPLETE_LOOKS: Duration = Duration::from_secs(20);

/// The longest time-out that Lambda allows: a deadline that passed longer ago than this was never told.
const TIMEOUT_MAX: Duration = Duration::from_secs(900);
/// The time-out then: emulators, cargo-lambda's for one, hand over a constant.
const TIMEOUT_UNTOLD: Duration = Duration::from_secs(60);

/// What a step takes at the slowest that is not a failure: a write that the deadline cuts short may have been made or not.
const STEP_ROOM: Duration = Duration::from_millis(500);

/// What sets the time, for messages.
const TIME_LEFT: &str = "the function's time-out";

/// When to stop looking.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// Before this, being settled is no reason to stop: a change is expected.
    expected: Timestamp,
    /// Whether a change that this invocation made itself ends the expectation.
    ends_with_change: bool,
    /// Whether to go on until everything is settled, because a person asked for that.
    insists: bool,
    /// After this no further step begins: it is left to the next invocation.
    last_start: Timestamp,
    /// After this there is no time left.
    deadline: Timestamp,
}

impl Until {
    /// What an event makes of an invocation that Lambda ends at `deadline_millis`.
    pub fn new(doorbell: &Doorbell, deadline_millis: u64, reserve: Duration, now: Timestamp) -> Self {
        let told = Timestamp::from_written(deadline_millis);
        let end = if now.since(told) > TIMEOUT_MAX {
            now + TIMEOUT_UNTOLD
        } else {
            told
        };
        let deadline = now + end.since(now + reserve);
        let last_start = now + end.since(now + reserve + STEP_ROOM);
        let expected = match doorbell.phase {
            // A clock that is ahead must not prolong the expectation.
            Phase::Start => doorbell.at.map_or(now, |at| at.min(now)) + START_AGE,
            Phase::Complete | Phase::DnsChanged => now + COMPLETE_LOOKS,
            Phase::Other => now,
        };
        Self {
            expected: expected.min(last_start),
            ends_with_change: doorbell.phase == Phase::Start,
            insists: doorbell.command == Some(Command::Sync),
            last_start,
            deadline,
        }
    }

    /// When there is no time left.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn expects_change(&self, now: Timestamp, has_written: bool, is_settled: bool) -> bool {
        now < self.expected && !(self.ends_with_change && has_written && is_settled)
    }
}

/// Who tells the topic of what the looks show, and what woke the function.
#[derive(Clone)]
pub struct Telling {
    /// Lives as long as the process.
    pub notifier: Arc<Mutex<Notifier>>,
    /// What woke the function.
    pub trigger: Arc<str>,
}

/// The looks of one invocation at one binding.
pub struct Looking {
    until: Until,
    clock: Clock,
    telling: Option<Telling>,
    journal: Journal,
    has_written: bool,
    address_changes: usize,
    errors: usize,
    convergence: Option<Duration>,
}

impl Looking {
    /// No look yet.
    pub fn new(until: Until, clock: Clock, telling: Option<Telling>) -> Self {
        Self {
            until,
            clock,
            telling,
            journal: Journal::default(),
            has_written: false,
            address_changes: 0,
            errors: 0,
            convergence: None,
        }
    }

    /// One look that changes nothing.
    pub async fn look_once(&mut self, follower: &mut Follower) -> Report {
        match timeout_at(self.clock.instant(self.until.deadline), follower.look()).await {
            Ok(report) => {
                self.note(&report);
                report
            }
            Err(_) => follower.out_of_time(None, TIME_LEFT),
        }
    }

    /// Takes steps as long as it is worth it, and returns the last report.
    pub async fn look(&mut self, follower: &mut Follower) -> Report {
        if self.until.expects_change(self.clock.now(), false, true) {
            follower.expect_change();
        }
        let mut last: Option<Report> = None;
        loop {
            let end = last
                .as_ref()
                .map_or(Some(self.until.deadline), |report| self.next_end(report));
            let Some(end) = end else { break };
            // A step that has begun when the wait ends is finished, unless there is no time left at all.
            let step = follower.next_before(self.clock.instant(end));
            let Ok(Some(report)) = timeout_at(self.clock.instant(self.until.deadline), step).await else {
                break;
            };
            self.note(&report);
            last = Some(report);
        }
        let is_unseen = last.is_none();
        let report = follower.out_of_time(last, TIME_LEFT);
        if is_unseen {
            self.tell(&report);
        }
        report
    }

    fn tell(&self, report: &Report) {
        if let Some(Telling { notifier, trigger }) = &self.telling {
            let mut notifier = notifier.lock().unwrap_or_else(PoisonError::into_inner);
            notifier.note(report, trigger);
        }
    }

    /// How long to wait for the next step after this report, if at all.
    fn next_end(&self, report: &Report) -> Option<Timestamp> {
        let now = self.clock.now();
        if now >= self.until.last_start {
            return None;
        }
        if self.is_worth_going_on(report, now) {
            return Some(self.until.last_start);
        }
        let expects = self.until.expects_change(now, self.has_written, report.is_settled());
        expects.then_some(self.until.expected)
    }

    /// Whether something that is not settled can be so in this invocation.
    fn is_worth_going_on(&self, report: &Report, now: Timestamp) -> bool {
        if report.is_settled() {
            return false;
        }
        let holds = || report.plan.holds.iter();
        let ends_in_time = |hold: &Hold| hold.until.is_some_and(|end| now < end && end < self.until.last_start);
        let hopeless = match report.trouble() {
            Some(Exit::Denied | Exit::Settings) => true,
            // What has to show something is waited for no longer than that can help in this invocation.
            Some(Exit::Refused) => {
                !holds().any(|hold| matches!(hold.reason, Reason::Unproven(_)) && ends_in_time(hold))
            }
            _ => false,
        };
        if hopeless {
            return false;
        }
        let awaits = |hold: &Hold| match hold.reason {
            Reason::Unproven(Doubt::NotYet) => true,
            Reason::AwaitsReplacement(_) => self.has_written,
            _ => ends_in_time(hold),
        };
        let wrote = !report.registered.done.is_empty() || !report.deregistered.done.is_empty();
        self.until.insists || report.trouble().is_some() || wrote || holds().any(awaits)
    }

    fn note(&mut self, report: &Report) {
        self.has_written |= !report.registered.done.is_empty() || !report.deregistered.done.is_empty();
        self.address_changes += report.registered.done.len();
        self.errors += usize::from(report.trouble().is_some());
        self.tell(report);
        self.journal.note(report);
        for milestone in &report.reached {
            if let Milestone::Converged(after) = milestone {
                self.convergence = Some(*after);
            }
        }
    }

    /// What the metrics say of the looks that ended with this report.
    pub fn measured<'a>(&self, report: &'a Report) -> Measured<'a> {
        Measured {
            report,
            address_changes: self.address_changes,
            errors: self.errors,
            convergence_secs: self.convergence.map(|after| after.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_was_never_told_leaves_time() {
        let now = Timestamp::from_millis(1_795_000_000_000);
        let reserve = Duration::from_secs(2);
        let doorbell = Doorbell::read("{}");
        let left = |deadline_millis| {
            Until::new(&doorbell, deadline_millis, reserve, now)
                .deadline()
                .since(now)
        };
        for (deadline_millis, secs) in [
            (now.as_millis() + 180_000, 178),
            (now.as_millis() + 1_000, 0),
            (now.as_millis() - 900_000, 0),
            (now.as_millis() - 900_001, 58),
            // As cargo-lambda's emulator says it.
            (600_000, 58),
            (0, 58),
        ] {
            assert_eq!(left(deadline_millis).as_secs(), secs, "{deadline_millis}");
        }
    }

    #[test]
    fn no_step_begins_that_the_deadline_would_cut_short() {
        let now = Timestamp::from_millis(1_795_000_000_000);
        let event = r#"{"source": "aws.rds", "detail-type": "RDS DB Cluster Event",
            "detail": {"EventID": "RDS-EVENT-0071", "SourceIdentifier": "orders", "SourceType": "CLUSTER"}}"#;
        let complete = Doorbell::read(event);
        assert_eq!(complete.phase, Phase::Complete);
        for (left_millis, to_start) in [(60_000, 57_500), (4_500, 2_000), (2_400, 0), (0, 0)] {
            let deadline_millis = now.as_millis() + left_millis;
            let until = Until::new(&complete, deadline_millis, Duration::from_secs(2), now);
            assert_eq!(until.last_start.since(now).as_millis(), to_start, "{left_millis}");
            assert!(until.expected <= until.last_start, "{until:?}");
        }
    }
}

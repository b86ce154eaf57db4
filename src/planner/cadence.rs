//! When to look next.

use std::time::Duration;

use super::answer::{Failure, Stale};
use super::time::Timestamp;

/// Looks of one kind at one thing are at least this far apart.
pub const APART: Duration = Duration::from_secs(1);
/// Who gives what has expired asks for the new at the same time. That is there after this long, and may last no longer than a
/// second, as the answers of reader endpoints do.
const RENEWED_WITHIN: Duration = Duration::from_millis(300);
/// The first wait after a failure.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// When the target group is looked at after a write of ours.
const AFTER_WRITE: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// What is missing as soon as this again is looked at while calls are plenty.
const MISSING_SOON: Duration = Duration::from_secs(8);

/// The least time between two looks at a name whose address is in doubt.
const APART_IN_DOUBT: Duration = Duration::from_millis(100);
/// How long the doubt about an address lasts.
pub const DOUBT: Duration = Duration::from_secs(30);

/// How urgent the next look at DNS is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Nothing is to be expected.
    Calm,
    /// A follower is not settled.
    Unsettled,
    /// The current address fails connections: DNS may name another one any moment.
    InDoubt,
}

/// How long to wait after a DNS answer: to the end of its TTL, because a resolver repeats it until then, but no longer
/// than `interval`; a second while something is unsettled.
pub fn after_answer(ttl: Duration, urgency: Urgency, interval: Duration) -> Duration {
    match urgency {
        Urgency::Calm => ttl.min(interval).max(APART),
        Urgency::Unsettled => APART,
        Urgency::InDoubt => ttl.min(interval).max(APART_IN_DOUBT),
    }
}

/// How long to wait for another look, if these failures leave open what is so now: until the new answer is there, or until a TTL
/// has had to count down.
pub fn until_proven<'a>(failures: impl Iterator<Item = &'a Failure>) -> Option<Duration> {
    let mut open = failures.filter(|failure| failure.may_pass_soon()).peekable();
    open.peek()?;
    let says_so = |failure| matches!(failure, &Failure::Stale(_, Stale::ByItsWord(_)));
    Some(if open.all(says_so) { RENEWED_WITHIN } else { APART })
}

/// The longest wait after that many failed looks at DNS in a row.
pub fn after_failure(failures: u32, urgency: Urgency, interval: Duration) -> Duration {
    match urgency {
        Urgency::Calm | Urgency::Unsettled => backoff(failures, interval),
        Urgency::InDoubt => BACKOFF_FIRST,
    }
}

/// The longest wait after that many failures in a row; the caller draws from zero up to it, so that many who failed
/// together do not come back together.
pub fn backoff(failures: u32, most: Duration) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(most)
}

/// When to look at a target group again, if DNS does not change before.
#[derive(Clone, Copy, Debug)]
pub struct GroupLook {
    /// The latest look.
    pub last: Timestamp,
    /// The latest write of ours, if any.
    pub last_write: Option<Timestamp>,
    /// The earliest moment at which a hold can end.
    pub hold_end: Option<Timestamp>,
    /// When what somebody else takes away may be missing again, while that goes on.
    pub missing: Option<Timestamp>,
    /// When drift is to be looked for.
    pub verify: Timestamp,
}

impl GroupLook {
    /// The next look.
    pub fn next(&self) -> Timestamp {
        let wanted = self.settles_at().map_or(self.verify, |at| at.min(self.verify));
        wanted.max(self.last + APART)
    }

    /// Whether the next look is for drift alone.
    pub fn is_for_drift(&self) -> bool {
        self.settles_at().is_none_or(|at| at > self.verify)
    }

    /// Whether it is because of what somebody else takes away that the next look for drift is not waited for.
    pub fn is_for_missing(&self) -> bool {
        self.missing.is_some_and(|at| at <= self.verify)
    }

    /// When something that is not settled, or does not stay so, can be seen to be so.
    fn settles_at(&self) -> Option<Timestamp> {
        let looks = match self.missing {
            None => AFTER_WRITE.len(),
            // Who looks often anyway has only to see that a write has arrived, and not even that where calls are scarce.
            Some(at) => usize::from(at.since(self.last) < MISSING_SOON),
        };
        let mut after_write = AFTER_WRITE[..looks]
            .iter()
            .filter_map(|after| Some(self.last_write? + *after));
        let after_write = after_write.find(|at| *at > self.last);
        [after_write, self.hold_end, self.missing].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn dns_is_asked_at_the_end_of_the_ttl_within_bounds() {
        let interval = Duration::from_secs(5);
        for (ttl, urgency, millis) in [
            (5, Urgency::Calm, 5000),
            (3, Urgency::Calm, 3000),
            (0, Urgency::Calm, 1000),
            (300, Urgency::Calm, 5000),
            (5, Urgency::Unsettled, 1000),
            (0, Urgency::Unsettled, 1000),
            (0, Urgency::InDoubt, 100),
            (2, Urgency::InDoubt, 2000),
            (300, Urgency::InDoubt, 5000),
        ] {
            let expect = Duration::from_millis(millis);
            assert_eq!(
                after_answer(Duration::from_secs(ttl), urgency, interval),
                expect,
                "{ttl} {urgency:?}"
            );
        }
    }

    #[test]
    fn the_new_answer_is_there_soon_and_a_ttl_counts_down_in_a_second() {
        let says_so = || Failure::Stale(BTreeSet::new(), Stale::ByItsWord(3));
        let stands = || Failure::Stale(BTreeSet::new(), Stale::TtlStandsStill(Duration::from_secs(30)));
        let unproven = || Failure::Unproven(BTreeSet::new(), Duration::from_secs(30));
        for (failures, expect) in [
            (vec![], None),
            (vec![Failure::ServFail], None),
            (vec![says_so()], Some(RENEWED_WITHIN)),
            (vec![says_so(), Failure::ServFail], Some(RENEWED_WITHIN)),
            (vec![stands()], Some(APART)),
            (vec![says_so(), unproven()], Some(APART)),
        ] {
            assert_eq!(until_proven(failures.iter()), expect, "{failures:?}");
        }
    }

    #[test]
    fn a_failure_puts_off_the_next_look_but_not_while_the_writer_is_in_doubt() {
        let interval = Duration::from_secs(5);
        for (failures, urgency, millis) in [
            (1, Urgency::Calm, 500),
            (3, Urgency::Calm, 2000),
            (3, Urgency::Unsettled, 2000),
            (9, Urgency::Calm, 5000),
            (9, Urgency::InDoubt, 500),
        ] {
            let expect = Duration::from_millis(millis);
            assert_eq!(
                after_failure(failures, urgency, interval),
                expect,
                "{failures} {urgency:?}"
            );
        }
    }

    #[test]
    fn failures_double_the_wait_up_to_the_most() {
        let most = Duration::from_secs(10);
        let waits: Vec<u128> = (0..8).map(|n| backoff(n, most).as_millis()).collect();
        assert_eq!(waits, [500, 500, 1000, 2000, 4000, 8000, 10000, 10000]);
        assert_eq!(backoff(u32::MAX, most), most);
    }

    #[test]
    fn the_group_is_looked_at_when_something_can_have_changed() {
        for (last, last_write, hold_end, next) in [
            (100, None, None, 160),
            (100, Some(100), None, 101),
            (101, Some(100), None, 102),
            (102, Some(100), None, 104),
            (104, Some(100), None, 108),
            (108, Some(100), None, 160),
            (100, None, Some(130), 130),
            (100, Some(100), Some(130), 101),
            // Never sooner than a second after the last look.
            (100, None, Some(100), 101),
        ] {
            let look = GroupLook {
                last: at(last),
                last_write: last_write.map(at),
                hold_end: hold_end.map(at),
                missing: None,
                verify: at(160),
            };
            assert_eq!(look.next(), at(next), "{look:?}");
            assert_eq!(look.is_for_drift(), next == 160, "{look:?}");
        }
    }
}

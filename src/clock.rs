//! The only source of the time that decisions are made with.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::planner::time::Timestamp;

/// What two clocks differ by without anybody having set one, or suspended the machine.
const SLACK: Duration = Duration::from_secs(1);

/// For how long the machine was suspended since this process first looked, in milliseconds. Shared by all clocks, so that it only
/// grows.
static SUSPENDED: AtomicU64 = AtomicU64::new(0);

/// The wall clock at its start plus the time since, so that setting the system's clock changes no decision. Time for which the machine
/// is suspended counts, so that nobody takes what was seen before it for the answer of a moment ago. What is written for people is by
/// the wall clock of now, as the clock that was started last sees it: a process has one at a time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    start: Instant,
    /// [`SUSPENDED`] at its start.
    suspended: u64,
    /// The wall clock and the time since boot, suspended or not, at its start.
    real: (Duration, Duration),
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let real = at_once(wall, since_boot);
        Timestamp::write_ahead(0);
        Self {
            wall: Timestamp::from_millis(0) + real.0,
            start: Instant::now(),
            suspended: suspended(),
            real,
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.heed_wall();
        self.now_after(suspended())
    }

    fn now_after(&self, suspended: u64) -> Timestamp {
        self.wall + self.start.elapsed() + self.left_out(suspended)
    }

    /// Writes by the wall clock of now if somebody has set it.
    fn heed_wall(&self) {
        let (was_wall, was_boot) = self.real;
        let before = Timestamp::written_ahead();
        let (wall, boot) = at_once(wall, since_boot);
        let ahead = millis(wall) - millis(was_wall) - (millis(boot) - millis(was_boot));
        if ahead.abs_diff(before) >= u64::try_from(SLACK.as_millis()).unwrap_or(u64::MAX) {
            Timestamp::write_ahead(ahead);
            let (by, way) = (
                (ahead.abs_diff(before) + 500) / 1000,
                if ahead > before { "forward" } else { "back" },
            );
            warn!("the system's clock was set {way} by {by} s: times are written by it, and nothing else changes");
        }
    }

    /// Sleeps until a moment of this clock; for ever if there is none.
    pub async fn until(&self, at: Option<Timestamp>) {
        match at {
            Some(at) => sleep_until(self.instant(at)).await,
            None => std::future::pending().await,
        }
    }

    /// The instant to sleep until for a moment of this clock.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.instant_after(at, suspended())
    }

    fn instant_after(&self, at: Timestamp, suspended: u64) -> Instant {
        self.start + at.since(self.wall).saturating_sub(self.left_out(suspended))
    }

    /// What [`Instant`]s leave out of the time since the start.
    fn left_out(&self, suspended: u64) -> Duration {
        Duration::from_millis(suspended.saturating_sub(self.suspended))
    }
}

/// The wall clock of now, since 1970: for what others wrote down by theirs.
#[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

fn since_boot() -> Duration {
    read(ClockId::Boottime)
}

fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or(Duration::ZERO)
}

/// The readings of a clock and of the time since boot, of one moment: again if this process paused in between, as one does that is
/// stopped for a while, because that would count as a step of the clock, or as a suspension, for good.
fn at_once(mut clock: impl FnMut() -> Duration, mut boot: impl FnMut() -> Duration) -> (Duration, Duration) {
    loop {
        let (before, read, after) = (boot(), clock(), boot());
        if after.saturating_sub(before) < SLACK {
            return (read, before);
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// For how long the machine was suspended, in milliseconds: what the time since boot is ahead of the time for which it ran.
fn suspended() -> u64 {
    static AT_FIRST: OnceLock<Duration> = OnceLock::new();
    let (ran, boot) = at_once(|| read(ClockId::Monotonic), since_boot);
    let ahead = boot.saturating_sub(ran);
    let measured = ahead.saturating_sub(*AT_FIRST.get_or_init(|| ahead));
    let before = SUSPENDED.load(Ordering::Relaxed);
    let grown = grown(before, measured);
    if grown > before && SUSPENDED.fetch_max(grown, Ordering::Relaxed) < grown {
        warn!(
            "the machine was suspended for {} s: what was waited for is waited for anew",
            (grown - before) / 1000
        );
    }
    grown
}

/// The time that was counted so far, in milliseconds, or the one that was measured if that is more than what the two readings of a
/// measurement differ by.
fn grown(counted: u64, measured: Duration) -> u64 {
    let is_more = measured >= Duration::from_millis(counted) + SLACK;
    if is_more {
        u64::try_from(measured.as_millis()).unwrap_or(u64::MAX)
    } else {
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_suspension_counts_as_one() {
        for (counted, measured, grown_to) in [
            (0, 0, 0),
            (0, 999, 0),
            (0, 1_000, 1_000),
            (5_000, 5_900, 5_000),
            (5_000, 9_000, 9_000),
        ] {
            assert_eq!(
                grown(counted, Duration::from_millis(measured)),
                grown_to,
                "{counted} {measured}"
            );
        }
    }

    /// Fails if a process that is stopped between two readings takes what they differ by for a suspension, or for a step.
    #[test]
    fn readings_are_of_one_moment() {
        let seconds = |all: &[u64]| all.iter().copied().map(Duration::from_secs).collect::<Vec<_>>();
        let (mut boots, mut clocks) = (
            seconds(&[1, 9, 9, 12, 12, 12]).into_iter(),
            seconds(&[1, 12, 12]).into_iter(),
        );
        let read = at_once(
            || clocks.next().unwrap_or_default(),
            || boots.next().unwrap_or_default(),
        );
        assert_eq!(read, (Duration::from_secs(12), Duration::from_secs(12)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspension_is_time_that_passes_and_is_not_slept_again() {
        let clock = Clock::start();
        let before = clock.now_after(clock.suspended);
        let woken = clock.suspended + 3_600_000;
        let now = clock.now_after(woken);
        assert_eq!(now, before + Duration::from_secs(3600));
        let wait = Duration::from_secs(5);
        assert_eq!(clock.instant_after(now + wait, woken), Instant::now() + wait);
    }
}

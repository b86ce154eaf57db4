//! Words for people, the same everywhere: durations, lists, holds, and how often a trouble is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::planner::plan::Hold;
use crate::planner::time::Timestamp;

/// A trouble that goes on is told again after this long.
const TOLD_APART: Duration = Duration::from_secs(60);

/// How long something lasts: milliseconds below a second, seconds below two minutes, else minutes, rounded down.
pub fn span(lasts: Duration) -> String {
    match lasts.as_secs() {
        0 => format!("{} ms", lasts.as_millis()),
        secs @ 1..120 => format!("{secs} s"),
        secs => format!("{} min", secs / 60),
    }
}

/// How long something took, as it was measured: milliseconds below a second, else seconds to a tenth.
pub fn took(measured: Duration) -> String {
    match measured.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", measured.as_secs_f64()),
    }
}

/// Things one after the other.
pub fn join(items: impl IntoIterator<Item: ToString>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

/// A hold in words: the target or endpoint, the reason, and how much longer it lasts at least.
pub fn hold(hold: &Hold, now: Timestamp) -> String {
    let left = hold.until.map(|until| until.since(now)).filter(|left| !left.is_zero());
    let left = left.map_or_else(String::new, |left| format!(" (at least {} more)", span(left)));
    format!("{} {}{left}", hold.what, hold.reason)
}

/// Remembers when a trouble was last told, so that one that goes on is told once a minute. Threads may share it.
#[derive(Debug, Default)]
pub struct Told(AtomicU64);

impl Told {
    /// Whether it is to be told now. It is then taken as told: of two threads that ask at once, one tells.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let is_due = last == 0 || now.since(Timestamp::from_millis(last)) >= TOLD_APART;
        let taken = |last| (self.0).compare_exchange(last, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed);
        is_due && taken(last).is_ok()
    }

    /// It is over: the next trouble is told at once.
    pub fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_say_as_much_as_matters() {
        for (millis, lasts, measured) in [
            (0, "0 ms", "0 ms"),
            (999, "999 ms", "999 ms"),
            (1_000, "1 s", "1.0 s"),
            (1_960, "1 s", "2.0 s"),
            (65_000, "65 s", "65.0 s"),
            (119_999, "119 s", "120.0 s"),
            (312_400, "5 min", "312.4 s"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(
                (span(duration), took(duration)),
                (lasts.to_owned(), measured.to_owned()),
                "{millis} ms"
            );
        }
    }

    #[test]
    fn a_trouble_that_goes_on_is_told_once_a_minute() {
        let told = Told::default();
        let is_due = |secs| told.is_due(Timestamp::from_millis(1_795_000_000_000) + Duration::from_secs(secs));
        assert_eq!(
            [0, 1, 59, 60, 61, 119, 120].map(is_due),
            [true, false, false, true, false, false, true]
        );
        told.forget();
        assert_eq!([121, 122].map(is_due), [true, false]);
    }
}

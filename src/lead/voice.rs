//! What the log is told of something that changes: all of it, unless it goes back and forth.

use std::mem;
use std::time::Duration;

use crate::planner::time::Timestamp;

/// Changes that are told at once, however close they are: a failover has fewer.
const AT_ONCE: u64 = 8;
/// The same for those that somebody should hear of, whatever else flutters.
const URGENT_AT_ONCE: u64 = 2 * AT_ONCE;
/// One more is told each time.
const APART: Duration = Duration::from_secs(60);

/// What was told of one thing. After many changes in a short time the log is a minute late, and never wrong for longer.
#[derive(Debug)]
pub struct Voice<W> {
    now: Option<W>,
    told: Option<W>,
    untold: u64,
    spent: u64,
    at: Timestamp,
}

impl<W> Default for Voice<W> {
    fn default() -> Self {
        Self {
            now: None,
            told: None,
            untold: 0,
            spent: 0,
            at: Timestamp::from_millis(0),
        }
    }
}

impl<W: PartialEq + Copy> Voice<W> {
    /// Whether this is to be told now, and after how many changes that were not.
    pub fn tell(&mut self, word: W, is_urgent: bool, now: Timestamp) -> Option<u64> {
        if self.now.replace(word) != Some(word) {
            self.untold += 1;
        }
        let regained = now.since(self.at).as_secs() / APART.as_secs();
        if regained > 0 {
            self.spent = self.spent.saturating_sub(regained);
            self.at = now;
        }
        let at_once = if is_urgent { URGENT_AT_ONCE } else { AT_ONCE };
        if self.told == self.now || self.spent >= at_once {
            return None;
        }
        self.spent += 1;
        self.told = self.now;
        Some(mem::take(&mut self.untold).saturating_sub(1))
    }
}

/// The end of a line that comes after so many changes that were not told.
pub fn after(untold: u64) -> String {
    match untold {
        0 => String::new(),
        1 => " (after 1 change that is not in the log)".to_owned(),
        many => format!(" (after {many} changes that are not in the log)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_is_told_as_it_comes_and_a_flutter_once_a_minute_until_it_rests() {
        let mut voice = Voice::default();
        let at = |seconds: u64| Timestamp::from_millis(1_700_000_000_000 + seconds * 1000);
        for (word, second) in [("writer", 0), ("silent", 9), ("reader", 10)] {
            assert_eq!(voice.tell(word, false, at(second)), Some(0), "{word}");
            assert_eq!(voice.tell(word, false, at(second)), None, "{word}");
        }
        let flutter = |second: u64| if second.is_multiple_of(2) { "reader" } else { "silent" };
        let told: Vec<u64> = (11..611)
            .filter(|s| voice.tell(flutter(*s), false, at(*s)).is_some())
            .collect();
        assert_eq!(told.len(), 5 + 10, "{told:?}");
        assert!(
            voice.tell("contested", true, at(610)).is_some(),
            "trouble is told even so"
        );
        // Told or not, the last word comes when it rests.
        let due: Vec<_> = (611..740).filter_map(|s| voice.tell("reader", false, at(s))).collect();
        assert_eq!(due.len(), 1);
        assert!(due[0] <= 60, "{due:?}");
    }

    #[test]
    fn what_was_left_out_is_counted() {
        assert_eq!(
            [0, 1, 2].map(after).join(""),
            " (after 1 change that is not in the log) (after 2 changes that are not in the log)"
        );
    }
}

//! The absence clocks as the value of a tag on the target group, for processes that do not live long enough to wait.
//!
//! `1763880060 10.0.1.5/5432=1763879940+2`: the last look, then for each target since when it has not been named and how
//! many answers have not named it; seconds since the epoch. A tag takes 256 characters of letters, digits, spaces and
//! `. _ : / = + - @` (ELB, tag restrictions). Whatever cannot be read is as good as no tag: the waiting starts anew.

use std::collections::BTreeMap;

use crate::planner::memory::Remembered;
use crate::planner::target::Target;
use crate::planner::time::Timestamp;

/// The tag's key.
pub const KEY: &str = "rds-tether:absent";
/// The longest value of a tag.
pub const VALUE_MAX_CHARS: usize = 256;

/// The content of a tag: the time of the last look, and an absence clock for each target that DNS did not name.
pub type Clocks = (Timestamp, BTreeMap<Target, Remembered>);

/// The value to write: empty if there is nothing worth keeping. Where room is short, the youngest absences are dropped.
pub fn write((last_look, clocks): &Clocks) -> String {
    let mut by_age: Vec<_> = clocks.iter().collect();
    by_age.sort_by_key(|(target, remembered)| (remembered.since, **target));
    if by_age.is_empty() {
        return String::new();
    }
    let mut value = (last_look.as_millis() / 1000).to_string();
    for (Target { ip, port }, Remembered { since, answers }) in by_age {
        // Rounded up, so that no target seems absent for longer than it is.
        let since_secs = since.as_millis().div_ceil(1000);
        let entry = format!(" {ip}/{port}={since_secs}+{answers}");
        if value.len() + entry.len() > VALUE_MAX_CHARS {
            break;
        }
        value.push_str(&entry);
    }
    value
}

/// Reads a value, all of it or nothing.
pub fn read(value: &str) -> Option<Clocks> {
    let secs = |text: &str| Some(Timestamp::from_millis(text.parse::<u64>().ok()?.checked_mul(1000)?));
    let mut words = value.split_ascii_whitespace();
    let last_look = secs(words.next()?)?;
    let clock = |word: &str| {
        let (target, clock) = word.split_once('=')?;
        let (ip, port) = target.rsplit_once('/')?;
        let (since, answers) = clock.split_once('+')?;
        let target = Target {
            ip: ip.parse().ok()?,
            port: port.parse().ok()?,
        };
        let remembered = Remembered {
            since: secs(since)?,
            answers: answers.parse().ok()?,
        };
        Some((target, remembered))
    };
    Some((last_look, words.map(clock).collect::<Option<_>>()?))
}

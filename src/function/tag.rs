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
const VALUE_MAX_CHARS: usize = 256;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(last_secs: u64, entries: &[(&str, u64, u64)]) -> Clocks {
        let entries = entries.iter().map(|(ip, since_millis, answers)| {
            let target = Target {
                ip: ip.parse().expect("an address"),
                port: 5432,
            };
            let since = Timestamp::from_millis(*since_millis);
            (
                target,
                Remembered {
                    since,
                    answers: *answers,
                },
            )
        });
        (Timestamp::from_millis(last_secs * 1000), entries.collect())
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (clocks, value) in [
            (clocks(200, &[("10.0.1.5", 100_000, 2)]), "200 10.0.1.5/5432=100+2"),
            (
                clocks(200, &[("10.0.1.5", 130_000, 2), ("fd00::1", 100_000, 99)]),
                "200 fd00::1/5432=100+99 10.0.1.5/5432=130+2",
            ),
        ] {
            assert_eq!(write(&clocks), value);
            assert_eq!(read(value), Some(clocks));
        }
    }

    #[test]
    fn no_absence_seems_longer_than_it_is() {
        assert_eq!(write(&clocks(200, &[])), "");
        assert_eq!(
            write(&clocks(200, &[("10.0.1.5", 100_001, 2)])),
            "200 10.0.1.5/5432=101+2"
        );
    }

    #[test]
    fn the_youngest_do_not_fit() {
        let many: Vec<(String, u64, u64)> = (0..40)
            .map(|n| (format!("10.0.1.{n}"), 100_000 + n * 1000, 5))
            .collect();
        let many: Vec<(&str, u64, u64)> = many
            .iter()
            .map(|(ip, since, answers)| (ip.as_str(), *since, *answers))
            .collect();
        let value = write(&clocks(1000, &many));
        assert!(value.len() <= VALUE_MAX_CHARS);
        assert!(
            value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b" ._:/=+-@".contains(&byte)),
            "{value}"
        );
        let (_, read) = read(&value).expect("readable");
        assert!(read.len() > 5);
        assert!((0..read.len()).all(|n| read.keys().any(|target| target.ip.to_string() == format!("10.0.1.{n}"))));
    }

    #[test]
    fn what_cannot_be_read_is_no_tag() {
        for value in [
            "",
            "x",
            "200 10.0.1.5",
            "200 10.0.1.5/5432",
            "200 10.0.1.5/5432=100",
            "200 10.0.1.5/x=100+1",
            "200 nowhere/5432=100+1",
            "200 10.0.1.5/5432=-100+1",
            "99999999999999999999 10.0.1.5/5432=100+1",
            "18446744073709551615",
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }
}

//! Words for people, the same everywhere: durations, lists, holds, how often a trouble is told, and how texts of others are shown.

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::planner::plan::Hold;
use crate::planner::time::Timestamp;

/// A trouble that goes on is told again after this long.
const TOLD_APART: Duration = Duration::from_secs(60);

/// Characters of a text that are worth repeating; some contain whole requests.
const REPEATED_MAX_CHARS: usize = 600;

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

/// The first of them one after the other, and how many more there are.
pub fn some(items: &[impl ToString], most: usize) -> String {
    let shown = join(items.iter().take(most).map(ToString::to_string));
    match items.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A hold in words: the target or endpoint, the reason, and how much longer it lasts at least.
pub fn hold(hold: &Hold, now: Timestamp) -> String {
    let left = hold.until.map(|until| until.since(now)).filter(|left| !left.is_zero());
    let left = left.map_or_else(String::new, |left| format!(" (at least {} more)", span(left)));
    format!("{} {}{left}", hold.what, hold.reason)
}

/// A text that may come from others, for one line of a terminal, a log or a message: what would move a cursor, begin a line or turn
/// the order of letters is written as JSON writes it, such as `\u001b`.
pub fn shown(text: impl Display) -> String {
    escaped(&text.to_string(), |_| false)
}

/// The same for a finished text, whose ends of lines and tabs are ours. JSON stays the same JSON.
pub fn shown_lines(text: &str) -> String {
    escaped(text, |char| matches!(char, '\n' | '\t'))
}

fn escaped(text: &str, is_ours: fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unseen(char) && !is_ours(char) {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\u{:04x}", u32::from(char));
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Whether a character is no letter to be seen but does something: C0, DEL and C1, ends of lines and paragraphs, marks, embeddings,
/// overrides and isolates of the writing's direction (Unicode Standard Annex 9), and what joins, parts or hyphenates and has no width.
pub fn is_unseen(char: char) -> bool {
    let is_unseen = matches!(
        char,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    char.is_control() || is_unseen
}

/// The beginning of a text of others, which may be of any length, as far as it is worth repeating.
pub fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(REPEATED_MAX_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
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
    fn what_would_do_something_on_a_terminal_is_shown() {
        for (text, in_line, in_lines) in [
            (
                "plain, Zürich, 東京 🦀",
                "plain, Zürich, 東京 🦀",
                "plain, Zürich, 東京 🦀",
            ),
            ("a\nb\tc\r", "a\\u000ab\\u0009c\\u000d", "a\nb\tc\\u000d"),
            (
                "\0\x1b[2J\x7f\u{9b}m",
                "\\u0000\\u001b[2J\\u007f\\u009bm",
                "\\u0000\\u001b[2J\\u007f\\u009bm",
            ),
            (
                "\u{202e}\u{2066}\u{2028}",
                "\\u202e\\u2066\\u2028",
                "\\u202e\\u2066\\u2028",
            ),
            (
                "\u{ad}\u{200b}\u{2060}\u{feff}",
                "\\u00ad\\u200b\\u2060\\ufeff",
                "\\u00ad\\u200b\\u2060\\ufeff",
            ),
        ] {
            assert_eq!(
                (shown(text), shown_lines(text)),
                (in_line.to_owned(), in_lines.to_owned())
            );
            assert_eq!(shown(shown(text)), in_line, "what is shown already stays as it is");
        }
        // `{:?}` and serde_json leave the second half of them as they are.
        let json = serde_json::json!({"name": "\u{1b}\u{9b}\u{7f}\u{202e}\u{2028}"});
        let shown = shown_lines(&serde_json::to_string_pretty(&json).expect("JSON"));
        assert!(shown.is_ascii() && !shown.contains('\x7f'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), json);
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

//! The absence clocks as the value of a tag on the target group, for processes that do not live long enough to wait.
//!
//! `1763880060 10.0.1.5/5432=1763879940+2 8e0c5d1f6ab94b0f8a2b3c4d5e6f7081`: the last look, then for each target since when it has
//! not been named and how many answers have not named it; seconds since the epoch. The last word is the first half of the
//! HMAC-SHA256 of the group's ARN and of what stands before it, in hexadecimal digits: whoever may tag the group can otherwise
//! make any target seem absent for long. A tag takes 256 characters of letters, digits, spaces and `. _ : / = + - @` (ELB, tag
//! restrictions). Whatever cannot be read is as good as no tag: the waiting starts anew.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::aws::arn::Arn;
use crate::planner::memory::Remembered;
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::planner::wrong::Wrong;

/// What the keys of all tags begin with that rds-tether reads or writes.
pub const PREFIX: &str = "rds-tether:";
/// The tag's key.
pub const KEY: &str = "rds-tether:absent";
/// The longest value of a tag.
pub const VALUE_MAX_CHARS: usize = 256;
/// A shorter secret can be found by trying.
pub const SECRET_LEAST_CHARS: usize = 16;

/// The hexadecimal digits of 128 bits.
const CODE_CHARS: usize = 32;
const TEXT_MAX_CHARS: usize = VALUE_MAX_CHARS - CODE_CHARS - " ".len();

/// The content of a tag: the time of the last look, and an absence clock for each target that DNS did not name.
pub type Clocks = (Timestamp, BTreeMap<Target, Remembered>);

/// Tells the values that a function has written from those of everybody else, by a secret that it has.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

impl Seal {
    /// The value to write: empty if there is nothing worth keeping. Where room is short, the youngest absences are dropped.
    pub fn write(&self, group: &Arn, clocks: &Clocks) -> String {
        let text = write(clocks);
        if text.is_empty() {
            return text;
        }
        self.sealed(group, &text)
    }

    /// Reads a value that was written for this group under this seal, all of it or nothing.
    pub fn read(&self, group: &Arn, value: &str) -> Option<Clocks> {
        let (text, code) = value.rsplit_once(' ')?;
        // Reading a number takes a sign as well.
        let is_plain = code.len() == CODE_CHARS && code.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = is_plain.then(|| u128::from_str_radix(code, 16).ok())??;
        // In a time that does not depend on how much of it is right.
        let mac = self.of(group, text);
        mac.verify_truncated_left(&code.to_be_bytes()).ok()?;
        read(text)
    }

    /// A text and its code.
    pub fn sealed(&self, group: &Arn, text: &str) -> String {
        let code = self.of(group, text).finalize().into_bytes();
        let code: String = code[..CODE_CHARS / 2]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{text} {code}")
    }

    fn of(&self, group: &Arn, text: &str) -> Hmac<Sha256> {
        self.0.clone().chain_update(format!("{group} {text}"))
    }
}

impl FromStr for Seal {
    type Err = Wrong;

    fn from_str(secret: &str) -> Result<Self, Wrong> {
        let is_long = secret.chars().count() >= SECRET_LEAST_CHARS;
        let seal = Hmac::new_from_slice(secret.as_bytes()).ok().filter(|_| is_long);
        // Without the secret, which logs and consoles would show.
        let what = format!("fewer than {SECRET_LEAST_CHARS} characters can be found by trying");
        seal.map(Self)
            .ok_or_else(|| Wrong::new(what, "give a random text, such as `openssl rand -hex 16` prints"))
    }
}

/// Without the secret.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

fn write((last_look, clocks): &Clocks) -> String {
    let mut by_age: Vec<_> = clocks.iter().collect();
    by_age.sort_by_key(|(target, remembered)| (remembered.since, **target));
    if by_age.is_empty() {
        return String::new();
    }
    let mut text = (last_look.written() / 1000).to_string();
    for (Target { ip, port }, Remembered { since, answers }) in by_age {
        // Rounded up, so that no target seems absent for longer than it is.
        let since_secs = since.written().div_ceil(1000);
        let entry = format!(" {ip}/{port}={since_secs}+{answers}");
        if text.len() + entry.len() > TEXT_MAX_CHARS {
            break;
        }
        text.push_str(&entry);
    }
    text
}

fn read(text: &str) -> Option<Clocks> {
    let secs = |text: &str| Some(Timestamp::from_written(text.parse::<u64>().ok()?.checked_mul(1000)?));
    let mut words = text.split_ascii_whitespace();
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

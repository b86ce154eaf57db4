//! A moment, as a value that is handed in.

use std::fmt;
use std::ops::Add;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How far the wall clock of now is ahead of moments, in milliseconds. What is written depends on it, and no decision.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// A moment in milliseconds since the Unix epoch: the wall clock at the start of the process plus the time since, so that setting the
/// system's clock does not move it. It is written, and read from what was written, by the wall clock of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment that many milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment that the wall clock of now would show so.
    pub fn from_written(millis: u64) -> Self {
        Self(millis.saturating_add_signed(Self::written_ahead().saturating_neg()))
    }

    /// What the wall clock of now would show, in milliseconds since the epoch.
    pub fn written(self) -> u64 {
        self.0.saturating_add_signed(Self::written_ahead())
    }

    /// From now on the wall clock is that many milliseconds ahead of moments.
    pub fn write_ahead(millis: i64) {
        AHEAD.store(millis, Ordering::Relaxed);
    }

    /// How far the wall clock is ahead of moments, in milliseconds.
    pub fn written_ahead() -> i64 {
        AHEAD.load(Ordering::Relaxed)
    }

    /// How long after `earlier` this moment is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        let millis = u64::try_from(later.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// As RFC 3339 in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.written()).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        moment.fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From RFC 3339. What was before the epoch becomes the epoch.
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        Ok(Self::from_written(u64::try_from(moment.as_millisecond()).unwrap_or(0)))
    }
}

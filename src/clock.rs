//! The only source of the time that decisions are made with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep_until};

use crate::planner::time::Timestamp;

/// The wall clock at its creation plus the monotonic time since, so that setting the system's clock changes nothing. Time for
/// which the machine is suspended does not count.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self {
            wall: Timestamp::from_millis(0) + wall,
            start: Instant::now(),
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.wall + self.start.elapsed()
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
        self.start + at.since(self.wall)
    }
}

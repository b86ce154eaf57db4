//! The only source of the time that decisions are made with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

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

    /// The instant to sleep until for a moment of this clock.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.start + at.since(self.wall)
    }
}

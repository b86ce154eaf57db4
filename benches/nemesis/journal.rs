//! What has happened, in order, for who has to understand a failure.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub struct Journal {
    start: Instant,
    entries: Mutex<Vec<(Duration, String)>>,
}

impl Journal {
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            entries: Mutex::default(),
        }
    }

    pub fn note(&self, what: String) {
        self.note_at(Instant::now(), what);
    }

    /// The same of a moment that is over.
    pub fn note_at(&self, moment: Instant, what: String) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push((moment.saturating_duration_since(self.start), what));
    }

    /// A moment as it stands in the journal.
    pub fn at(&self, moment: Instant) -> String {
        format!("{:.3}", moment.saturating_duration_since(self.start).as_secs_f64())
    }

    /// Prints all of it.
    pub fn print(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.sort_by_key(|(at, _)| *at);
        for (at, what) in entries.iter() {
            println!("  {:>8.3}  {what}", at.as_secs_f64());
        }
    }
}

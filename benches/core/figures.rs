//! Durations put in order, and how figures are printed.

use std::fmt::Display;
use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

/// Durations of one kind, in order; at least one.
pub struct Sorted(Vec<Duration>);

impl Sorted {
    pub fn new(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut durations: Vec<Duration> = durations.into_iter().collect();
        assert!(!durations.is_empty(), "something was measured");
        durations.sort_unstable();
        Self(durations)
    }

    pub fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// The smallest that no less than that share of all are at or below (nearest rank).
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0[rank - 1]
    }

    pub fn max(&self) -> Duration {
        self.percentile(100)
    }
}

pub fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

pub fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

pub fn title(text: &str) {
    println!("\n{text}\n  (load average {})", load());
}

pub fn row(what: &str, figure: impl Display, goal: &str) {
    println!("  {what:<46} {figure:>14}   {goal}");
}

/// The machine's load over 1, 5 and 15 minutes: what else there was to compete with.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

pub fn machine() -> String {
    let cores = available_parallelism().map_or(0, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |model| model.trim_start_matches(['\t', ':', ' ']));
    format!("{cores} cores of {model}")
}

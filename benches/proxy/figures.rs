//! Figures of several rounds, how they compare, and how they are printed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use crate::route::Route;

/// USER_HZ, which is 100 on every Linux whatever its timer does.
pub const TICKS_PER_SECOND: f64 = 100.0;

/// A figure that is taken of every route.
pub struct Metric {
    pub name: &'static str,
    /// Decimal places that mean something.
    pub digits: usize,
    pub goals: &'static [Goal],
}

/// What our figure is to reach.
#[derive(Clone, Copy)]
pub enum Goal {
    /// At least so many times that of another route in the same round.
    AtLeast(f64, Route),
    /// At most so many times that of another route in the same round.
    AtMost(f64, Route),
    /// At most this, whatever others reach.
    Within(f64),
}

/// The figures of one metric, one of each round.
#[derive(Default)]
pub struct Series(BTreeMap<Route, Vec<f64>>);

impl Series {
    pub fn add(&mut self, route: Route, figure: f64) {
        self.0.entry(route).or_default().push(figure);
    }

    pub fn print(&self, metric: &Metric, routes: &[Route]) {
        let digits = metric.digits;
        let figure = |route: &Route| {
            let figures = self.0.get(route)?;
            Some(format!("{:.digits$}", median(figures)))
        };
        let cells = routes.iter().map(|route| figure(route).unwrap_or("-".to_owned()));
        row(metric.name, cells);
        for goal in metric.goals {
            self.print_goal(*goal, digits);
        }
    }

    fn print_goal(&self, goal: Goal, digits: usize) {
        let Some(ours) = self.0.get(&Route::Ours) else {
            return;
        };
        let (figure, reached, text) = match goal {
            Goal::Within(bound) => {
                let figure = median(ours);
                let text = format!("goal: at most {bound:.digits$}");
                (format!("{figure:.digits$}"), figure <= bound, text)
            }
            Goal::AtLeast(bound, route) | Goal::AtMost(bound, route) => {
                let Some(theirs) = self.0.get(&route) else { return };
                let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
                let (ratio, more) = (median(&ratios), matches!(goal, Goal::AtLeast(..)));
                let reached = if more { ratio >= bound } else { ratio <= bound };
                let least = if more { "least" } else { "most" };
                let (low, high) = (
                    ratios.iter().copied().fold(f64::MAX, f64::min),
                    ratios.iter().copied().fold(0.0, f64::max),
                );
                let text = format!(
                    "({low:.2} to {high:.2}) of {}; goal: at {least} {bound:.2}",
                    route.name()
                );
                (format!("{ratio:.2}"), reached, text)
            }
        };
        println!("      ours {figure} {text}: {}", verdict(reached));
    }
}

pub fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "NOT REACHED" }
}

/// The one in the middle, or between the two in the middle; of at least one figure.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}

/// The smallest that no less than this share, in percent, of all are at or below (nearest rank).
pub fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

pub fn row(what: &str, cells: impl IntoIterator<Item = impl Display>) {
    let cells: Vec<String> = cells.into_iter().map(|cell| format!("{cell:>19}")).collect();
    println!("  {what:<42}{}", cells.concat());
}

/// The machine's load over 1, 5 and 15 minutes: what else there was to compete with.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The processor time of the whole machine, and that of this PID namespace, at one moment.
///
/// The namespace's first process must be this one, and all others its children or theirs.
pub struct Busy {
    at: Instant,
    machine: Duration,
    here: Duration,
}

impl Busy {
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let total = stat.lines().next().unwrap_or_default();
        // user, nice, system, and interrupts, which count as time of whatever process they come upon; neither idle nor iowait.
        let fields: Vec<&str> = total.split_whitespace().collect();
        let machine = ticks(
            [1, 2, 3, 6, 7]
                .into_iter()
                .filter_map(|index| fields.get(index).copied()),
        );
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        // Not /proc/self, which is one of the others once more.
        let numbers = entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
        let stats = numbers.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        let here = stats.filter_map(|stat| {
            let (_, fields) = stat.rsplit_once(')')?;
            // user, system, and both of the children that have ended.
            Some(ticks(fields.split_whitespace().skip(11).take(4)))
        });
        Self {
            at: Instant::now(),
            machine,
            here: here.sum(),
        }
    }

    /// How many processors others have kept busy since.
    pub fn others(&self) -> f64 {
        let now = Self::now();
        let here = now.here.saturating_sub(self.here);
        let others = now.machine.saturating_sub(self.machine).saturating_sub(here);
        others.as_secs_f64() / now.at.duration_since(self.at).as_secs_f64()
    }
}

fn ticks<'a>(fields: impl Iterator<Item = &'a str>) -> Duration {
    let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}

pub fn machine() -> String {
    let cores = available_parallelism().map_or(0, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |model| model.trim_start_matches(['\t', ':', ' ']));
    format!("{cores} cores of {model}")
}

//! `run` with a thousand endpoints and a thousand target groups.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::figures::{Sorted, mib, ms, row, title};
use crate::fleet::{Change, Fleet};
use crate::process::{Build, Running};

const TTL_SECONDS: u32 = 5;
const SECOND: Duration = Duration::from_secs(1);
/// A thousand first looks at 3.8 a second take four and a half minutes.
const FIRST_LOOKS_MAX: Duration = Duration::from_secs(400);
/// From the last first look to the measurement.
const CALM: Duration = Duration::from_secs(5);
/// How long a change may take that is made when the figures have been taken.
const CHANGE_MAX: Duration = Duration::from_secs(20);
/// Such changes.
const CHANGES: usize = 20;

/// How a daemon knows its groups.
#[derive(Clone, Copy)]
pub enum Known {
    /// Its settings name them.
    Configured,
    /// It finds them by their tags.
    Tagged,
}

/// A daemon on its way to rest.
pub struct Run {
    known: Known,
    fleet: Fleet,
    daemon: Running,
    started: Instant,
    window: Duration,
}

impl Run {
    /// Starts it.
    pub fn start(quick: bool, build: &Build, known: Known) -> Self {
        let (count, window) = if quick { (150, 10) } else { (1000, 60) };
        let fleet = Fleet::new(build, count, |_| TTL_SECONDS);
        let started = Instant::now();
        let daemon = match known {
            Known::Configured => fleet.follow(&fleet.bound, "bench-run-1000.toml"),
            Known::Tagged => fleet.follow_tagged("bench-run-1000-tagged.toml"),
        };
        Self {
            known,
            daemon,
            fleet,
            started,
            window: Duration::from_secs(window),
        }
    }

    /// Waits until it is at rest, and measures.
    pub fn measure(self) {
        self.fleet.wait_until_looked_at(FIRST_LOOKS_MAX);
        let first_looks = self.started.elapsed();
        sleep(CALM);
        title(&format!(
            "run-1000 of {}: {} endpoints and groups{}, TTL {TTL_SECONDS} s, nothing changes, for {} s",
            self.fleet.build.name,
            self.fleet.bound.len(),
            match self.known {
                Known::Configured => "",
                Known::Tagged => ", found by tags",
            },
            self.window.as_secs()
        ));
        let (start, cpu) = (Instant::now(), self.daemon.cpu());
        sleep(self.window);
        let (end, cpu) = (Instant::now(), self.daemon.cpu() - cpu);
        let percent = 100.0 * cpu.as_secs_f64() / (end - start).as_secs_f64();
        row("CPU, of one core", format!("{percent:.2} %"), "goal: under 5 %");
        row(
            "memory, resident",
            mib(self.daemon.memory_kib("VmRSS")),
            "goal: under 64 MiB",
        );
        row("memory, most ever", mib(self.daemon.memory_kib("VmHWM")), "");
        self.print_looks(start, end);
        row(
            "first looks at all groups took",
            format!("{:.0} s", first_looks.as_secs_f64()),
            "",
        );
        self.print_changes();
    }

    fn print_looks(&self, start: Instant, end: Instant) {
        let secs = (end - start).as_secs_f64();
        let queries = self.fleet.dns.queries();
        let looks: Vec<Instant> = (queries.iter().map(|query| query.at))
            .filter(|at| (start..end).contains(at))
            .collect();
        let (mean, busiest) = (looks.len() as f64 / secs, busiest_second(&looks));
        row("DNS looks, mean", format!("{mean:.1} /s"), "");
        row("DNS looks, busiest second", busiest, "any second, not only whole ones");
        row(
            "  busiest to mean",
            format!("{:.2}", busiest as f64 / mean),
            "goal: at most 2",
        );
        let calls = self.fleet.elb.calls();
        let calls = calls.iter().filter(|call| (start..end).contains(&call.at)).count();
        row("ELB calls", format!("{:.2} /s", calls as f64 / secs), "goal: under 4");
    }

    /// How long a change takes among so many.
    fn print_changes(&self) {
        let step = self.fleet.bound.len() / CHANGES;
        let changes: Vec<Change> = (0..CHANGES).map(|turn| self.fleet.change(turn * step)).collect();
        self.fleet.wait_until_registered(&changes, CHANGE_MAX);
        let reactions = self.fleet.reactions(&changes);
        let done: Vec<Duration> = reactions.iter().flatten().map(|reaction| reaction.whole()).collect();
        row(
            &format!(
                "{CHANGES} changes at once: registered within {} s",
                CHANGE_MAX.as_secs()
            ),
            done.len(),
            "goal: all",
        );
        if !done.is_empty() {
            let done = Sorted::new(done);
            row(
                "  beyond the TTL: median",
                ms(done.median()),
                "20 changes are 40 calls, of which 20 may be saved up",
            );
            row("  beyond the TTL: longest", ms(done.max()), "");
        }
    }
}

/// The most that came within one second.
fn busiest_second(looks: &[Instant]) -> usize {
    let mut oldest = 0;
    let mut most = 0;
    for (newest, at) in looks.iter().enumerate() {
        while *at - looks[oldest] >= SECOND {
            oldest += 1;
        }
        most = most.max(newest - oldest + 1);
    }
    most
}

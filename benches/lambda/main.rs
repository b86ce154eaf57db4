//! The function's cold start beside the same job in Python: `cargo bench -p rds-tether-lambda --bench lambda`.
//!
//! Everything is on loopback: the Runtime API and the servers are the testkit's, in this process; both functions are started
//! as Lambda starts them, in turn. The invocation waits when the process starts, as it does in a cold start. Calls are plain
//! HTTP, so what TLS costs is missing on both sides. Python does less: it makes one call to AWS where rds-tether makes three
//! (the tag that it remembers by, the group, its targets). Nothing here passes or fails by a time or a size: goals are printed
//! beside what was measured. `--quick` makes it small, to see that it works; its figures mean nothing.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(
    clippy::disallowed_methods,
    reason = "it measures real processes in real time, over windows of time"
)]

// Three files of the other benchmark: benchmarks print, and measure in real time, which testkit is not for.
#[path = "../core/figures.rs"]
#[allow(dead_code, reason = "the other benchmark prints more")]
mod figures;
#[path = "../core/memory.rs"]
mod memory;
#[path = "../core/python.rs"]
mod python;
mod sides;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use crate::figures::{Sorted, load, mib, ms, title};
use crate::sides::{Cold, Side, World};

/// Rounds before those that count: file caches, and Python's compiled modules.
const WARM_UP: usize = 3;

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    if !given.iter().any(|arg| arg == "--bench") {
        println!("this takes a minute; it is run with: cargo bench -p rds-tether-lambda --bench lambda");
        return ExitCode::SUCCESS;
    }
    let rounds = if given.iter().any(|arg| arg == "--quick") {
        3
    } else {
        40
    };
    println!("rds-tether {}, {}", env!("CARGO_PKG_VERSION"), figures::machine());
    let world = World::new();
    let interpreter = python::interpreter();
    let mut sides = vec![Side::ours(&world)];
    match &interpreter {
        Ok(interpreter) => sides.push(Side::theirs(&world, interpreter)),
        Err(why) => println!("SKIPPED: Python with boto3, so there is nothing to compare with: {why}"),
    }

    title(&format!(
        "cold start: one endpoint, one target group, nothing to write; {rounds} starts each, in turn"
    ));
    print_settled(&measure(&sides, rounds, |side| side.look(&world)));
    title(&format!(
        "cold start after a failover: a new address is to be registered; {rounds} starts each, in turn"
    ));
    print_failover(&measure(&sides, rounds, |side| side.register(&world)));
    if let Ok(interpreter) = &interpreter {
        let versions = python::versions(interpreter, &["awslambdaric", "boto3"]);
        println!("\n  {versions}: benches/lambda/function.py; peak memory: VmHWM when it asks for more work");
    }
    println!("\nload average at the end: {}", load());
    ExitCode::SUCCESS
}

/// Each side's measurements, taken in turn.
fn measure<T>(sides: &[Side], rounds: usize, measure: impl Fn(&Side) -> T) -> Vec<Vec<T>> {
    let mut measured: Vec<Vec<T>> = sides.iter().map(|_| Vec::new()).collect();
    for round in 0..WARM_UP + rounds {
        for (side, measured) in sides.iter().zip(&mut measured) {
            let one = measure(side);
            if round >= WARM_UP {
                measured.push(one);
            }
        }
    }
    measured
}

fn print_settled(measured: &[Vec<Cold>]) {
    println!(
        "  {:<30} {:>12} {:>12} {:>9}   goal",
        "", "rds-tether", "Python", "ratio"
    );
    let times = |time: fn(&Cold) -> Duration| -> Vec<Sorted> {
        let side = |side: &Vec<Cold>| Sorted::new(side.iter().map(time));
        measured.iter().map(side).collect()
    };
    let whole = times(|cold| cold.until_asked + cold.until_answered);
    print_times("spawn to first answer, median", &whole, 50, "at least 20 x");
    print_times("  p95", &whole, 95, "");
    print_times("  spawn to GET /next, median", &times(|cold| cold.until_asked), 50, "");
    print_times(
        "  invocation to answer, median",
        &times(|cold| cold.until_answered),
        50,
        "",
    );
    let peaks = measured.iter().map(|side| {
        let mut peaks: Vec<u64> = side.iter().map(|cold| cold.peak_kib).collect();
        peaks.sort_unstable();
        peaks[peaks.len() / 2]
    });
    let peaks = peaks.map(|kib| (mib(kib), kib as f64)).collect();
    print_line("peak memory, median", peaks, "at least 5 x");
}

fn print_failover(measured: &[Vec<Duration>]) {
    let times: Vec<Sorted> = measured.iter().map(|side| Sorted::new(side.iter().copied())).collect();
    print_times("spawn to RegisterTargets, median", &times, 50, "");
    print_times("  p95", &times, 95, "");
}

fn print_times(what: &str, sides: &[Sorted], percent: usize, goal: &str) {
    let figure = |side: &Sorted| {
        let time = side.percentile(percent);
        (ms(time), time.as_secs_f64())
    };
    print_line(what, sides.iter().map(figure).collect(), goal);
}

/// Our figure, theirs if there is one, and how many times ours theirs is.
fn print_line(what: &str, figures: Vec<(String, f64)>, goal: &str) {
    let theirs = figures.get(1);
    let ratio = theirs.map_or("-".into(), |(_, theirs)| format!("{:.1} x", theirs / figures[0].1));
    let theirs = theirs.map_or("-", |(text, _)| text);
    println!("  {what:<32} {:>10} {theirs:>12} {ratio:>9}   {goal}", figures[0].0);
}

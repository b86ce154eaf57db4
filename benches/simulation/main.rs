//! Failovers by the million: `cargo bench --bench simulation -- --failovers 10000000 --seed 1`.
//!
//! It plays worlds (tests/simulation) from the seed on, one after the other on each core, and fails at the first rule that is broken, with
//! the seed of its world and what happened there. `--threads N` takes so many cores. With `members` beside it, the worlds are those where
//! members are asked who the writer is, a failover of which takes far longer.
//!
//! `cargo bench --bench simulation -- small --faults 3` plays one failover with every ordered schedule of up to so many faults at every step
//! of it, with `--part 2/8` the second eighth of them; and `-- still` a day of each kind on which nothing works.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(clippy::disallowed_methods, reason = "it measures how fast virtual time passes")]

#[path = "../../tests/simulation/mod.rs"]
mod simulation;

use std::env;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Instant;

use simulation::small::Part;
use simulation::still::Dead;
use simulation::{Realm, play, small, still};

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    if !given.iter().any(|arg| arg == "--bench") {
        println!("this takes minutes; it is run with: cargo bench --bench simulation");
        return ExitCode::SUCCESS;
    }
    let number = |flag: &str, default: u64| {
        let at = given.iter().position(|arg| arg == flag);
        at.map_or(Ok(default), |at| given.get(at + 1).map_or("", String::as_str).parse())
    };
    let cores = available_parallelism().map_or(1, |cores| cores.get() as u64);
    let (Ok(failovers), Ok(seed), Ok(threads)) = (
        number("--failovers", 100_000),
        number("--seed", 0),
        number("--threads", cores),
    ) else {
        println!("--failovers, --seed and --threads take a number");
        return ExitCode::FAILURE;
    };
    if given.iter().any(|arg| arg == "small") {
        let at = given.iter().position(|arg| arg == "--part");
        let Some(part) = at.map_or(Some(Part(1, 1)), |at| part(given.get(at + 1)?)) else {
            println!("--part takes one of so many: 2/8");
            return ExitCode::FAILURE;
        };
        return every(number("--faults", 2).unwrap_or(2) as u32, part, threads.max(1) as usize);
    }
    if given.iter().any(|arg| arg == "still") {
        return days();
    }
    let (realm, again) = match given.iter().any(|arg| arg == "members") {
        true => (Realm::Members, "members "),
        false => (Realm::Groups, ""),
    };
    let worlds = failovers.div_ceil(u64::from(realm.failovers()));
    let began = Instant::now();
    match play(realm, seed..seed + worlds, threads.max(1) as usize) {
        Ok(counts) => {
            let took = began.elapsed().as_secs_f64();
            println!("{counts}");
            println!("seeds {seed} to {}: no rule was broken", seed + worlds - 1);
            let rate = counts.failovers as f64 / took / threads.max(1) as f64;
            println!("{took:.1} s, {rate:.0} failovers a second and core");
            ExitCode::SUCCESS
        }
        Err(failed) => {
            println!("seed {}: {}", failed.seed, failed.broken);
            println!(
                "again: cargo bench --bench simulation -- {again}--failovers 1 --seed {}",
                failed.seed
            );
            ExitCode::FAILURE
        }
    }
}

/// One of so many parts, as `2/8` says it.
fn part(text: &str) -> Option<Part> {
    let (which, all) = text.split_once('/')?;
    let (which, all) = (which.parse().ok()?, all.parse().ok()?);
    (1..=all).contains(&which).then_some(Part(which, all))
}

/// Every schedule of up to so many faults, or a part of them.
fn every(faults: u32, part: Part, threads: usize) -> ExitCode {
    let began = Instant::now();
    match small::play_all(faults, part, threads) {
        Ok((steps, schedules, counts)) => {
            println!("{counts}");
            println!(
                "{steps} steps, {} faults, {schedules} schedules of up to {faults} of them in order (part {}/{}): no rule was broken; {:.1} s",
                small::WRONGS.len(),
                part.0,
                part.1,
                began.elapsed().as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Err(failed) => {
            println!("{failed}");
            ExitCode::FAILURE
        }
    }
}

/// Every day on which nothing works.
fn days() -> ExitCode {
    for dead in Dead::all() {
        match still::play(dead) {
            Ok(counts) => println!("{dead:?}, a day: unchanged, and well again; {counts}"),
            Err(broken) => {
                println!("{dead:?}: {broken}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

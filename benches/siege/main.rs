//! The siege: what somebody hostile can do from outside, all of it at once, against one process with two target groups and two proxies,
//! while its well-behaved users must notice nothing.
//!
//! `cargo bench --bench siege -- --seconds 3600 --seed 1`. Everything is on loopback. It fails if a living session ends, a health check
//! is not answered within a second, a failover is missed, memory grows by 16 MiB or descriptors do not return to their start; then it
//! prints the seed, which plays the same attacks again, each thread's in the same order.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(clippy::disallowed_methods, reason = "a real process is attacked in real time")]

mod attacks;
mod site;
mod users;

use std::env;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::site::Site;
use crate::users::Complaints;

/// Memory may grow by so much.
const GROWTH_KIB_MAX: u64 = 16 << 10;
/// Connections to AWS that calls at one time have left open for the next ones: one for each of the two groups.
const KEPT_FOR_AWS: usize = 2;
/// How long descriptors and memory may take to come back.
const SETTLES_WITHIN: Duration = Duration::from_secs(90);

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    if !given.iter().any(|arg| arg == "--bench") {
        println!("this takes minutes; it is run with: cargo bench --bench siege");
        return ExitCode::SUCCESS;
    }
    let number = |flag: &str, default: u64| {
        let at = given.iter().position(|arg| arg == flag);
        at.map_or(Ok(default), |at| given.get(at + 1).map_or("", String::as_str).parse())
    };
    let (Ok(seconds), Ok(seed)) = (number("--seconds", 60), number("--seed", 1)) else {
        println!("--seconds and --seed take a number");
        return ExitCode::FAILURE;
    };
    let (site, complaints) = (Site::start(), Complaints::default());
    let users = users::Users::start(&site, &complaints);
    let before = site.footprint();
    println!("siege: {seconds} s, seed {seed}; before: {before}");

    let is_over = AtomicBool::new(false);
    let end = Instant::now() + Duration::from_secs(seconds);
    let tally = thread::scope(|scope| {
        let attacks: Vec<_> = attacks::ALL
            .iter()
            .enumerate()
            .map(|(n, (name, attack))| {
                let (site, is_over) = (&site, &is_over);
                let mut chance = fastrand::Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(n as u64));
                (*name, scope.spawn(move || attack(site, &mut chance, is_over)))
            })
            .collect();
        let mut highest = before.clone();
        while Instant::now() < end && !complaints.are_many() {
            users.live(&site, &complaints);
            highest = highest.max(&site.footprint());
        }
        is_over.store(true, Ordering::Relaxed);
        println!("at most: {highest}");
        let ended = attacks
            .into_iter()
            .map(|(name, attack)| (name, attack.join().unwrap_or_default()));
        ended.collect::<Vec<(&str, u64)>>()
    });
    site.make_peace();
    users.live(&site, &complaints);
    let settled = Instant::now();
    let mut after = site.footprint();
    while settled.elapsed() < SETTLES_WITHIN
        && (after.descriptors > before.descriptors + KEPT_FOR_AWS || after.kib > before.kib + GROWTH_KIB_MAX)
    {
        users.live(&site, &complaints);
        after = site.footprint();
    }
    println!("after:   {after}");
    for (name, count) in &tally {
        println!("  {name:<34} {count:>9}");
        if *count == 0 {
            complaints.add(format!("{name}: nothing was done"));
        }
    }
    if after.descriptors > before.descriptors + KEPT_FOR_AWS {
        complaints.add(format!(
            "{} descriptors stay open",
            after.descriptors - before.descriptors
        ));
    }
    if after.kib > before.kib + GROWTH_KIB_MAX {
        complaints.add(format!("memory has grown by {} KiB", after.kib - before.kib));
    }
    println!("{}", users.summary());
    complaints.verdict(&site, seed)
}

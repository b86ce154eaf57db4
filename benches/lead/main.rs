//! Failovers, and who is first at the new writer: a proxy with `lead`, one that follows DNS alone, and HAProxy, side by side over real
//! PostgreSQL servers, while DNS lags and flaps.
//!
//! `cargo bench --bench lead -- [--rounds N] [--beside N]`, with PostgreSQL's programs in the folder that RDS_TETHER_TEST_POSTGRES names.
//! Everything is on loopback. In each round another member is promoted; in the first ones (`--beside`) DNS names it 20 s later, flaps
//! back at 22 s and is right from 26 s on, in the others at once when the lead has been measured. `lost` ends the former writer's
//! sessions, as a failover does; `frozen` leaves them, as a host does that nobody hears any more, and begins when all has been calm for a
//! while, which takes half a minute a round.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(clippy::disallowed_methods, reason = "real processes fail over in real time")]

mod calm;
mod cluster;
mod lane;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Failing};
use crate::lane::Lane;

/// When DNS names the new writer, the former one again, and the new one for good, after the promotion.
const LAG: Duration = Duration::from_secs(20);
const BACK: Duration = Duration::from_secs(22);
const RIGHT: Duration = Duration::from_secs(26);
/// So many of the lanes go by the lead.
const LED: usize = 2;
/// A TTL, and a second.
const SETTLED: Duration = Duration::from_secs(6);
/// How long members are asked often after a change.
const CALM: Duration = Duration::from_secs(32);
/// How long a lane is waited for at the new writer; a figure of as much means that it was not there.
const LANE_MAX: Duration = Duration::from_secs(90);

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    if !given.iter().any(|arg| arg == "--bench") {
        println!("this takes minutes; it is run with: cargo bench --bench lead");
        return ExitCode::SUCCESS;
    }
    let number = |flag: &str, default: usize| {
        let at = given.iter().position(|arg| arg == flag);
        at.map_or(Ok(default), |at| given.get(at + 1).map_or("", String::as_str).parse())
    };
    let (Ok(rounds), Ok(beside)) = (number("--rounds", 30), number("--beside", 3)) else {
        println!("--rounds and --beside take a number");
        return ExitCode::FAILURE;
    };
    let is_wanted = |name: &str| !given.iter().any(|arg| arg == "--only") || given.iter().any(|arg| arg == name);
    if is_wanted("calm") {
        calm::measure();
    }
    for failing in [Failing::Lost, Failing::Frozen] {
        if is_wanted(failing.name()) {
            measure(failing, rounds, beside);
        }
    }
    ExitCode::SUCCESS
}

/// What a lane came to.
#[derive(Default)]
struct Tally {
    /// From the promotion to the first write, in rounds where DNS lagged and in all others.
    lagging: Vec<Duration>,
    prompt: Vec<Duration>,
    /// Connections that a reader answered.
    wrong: usize,
}

fn measure(failing: Failing, rounds: usize, beside: usize) {
    let mut cluster = Cluster::start();
    let lanes = cluster.lanes();
    let mut tallies: Vec<Tally> = lanes.iter().map(|_| Tally::default()).collect();
    for round in 0..rounds {
        let (from, to) = cluster.next();
        let lags = round < beside;
        // Where DNS does not lag, who follows it is not measured.
        let measured = if lags { lanes.len() } else { LED };
        for lane in &lanes[..measured] {
            lane.wait_at(from, Instant::now() + LANE_MAX);
        }
        // Everybody has been heard, and DNS, since the round before. Of a host that stands still nobody tells, so nothing is in doubt any more
        // either, and members are asked once a second, wherever in it the failover falls.
        let calm = if matches!(failing, Failing::Frozen) {
            CALM
        } else {
            SETTLED
        };
        let tenth = Duration::from_millis(100).saturating_mul(u32::try_from(round % 10).expect("a digit"));
        std::thread::sleep(calm + tenth);
        lanes.iter().for_each(Lane::forget);
        let promoted = cluster.fail_over(failing);
        if lags {
            for (at, name) in [(LAG, to), (BACK, from), (RIGHT, to)] {
                let moment = promoted + at;
                std::thread::sleep(moment.saturating_duration_since(Instant::now()));
                cluster.name(name);
            }
        } else {
            for lane in &lanes[..LED] {
                lane.wait_at(to, promoted + LANE_MAX);
            }
            cluster.name(to);
        }
        for (lane, tally) in lanes.iter().zip(&mut tallies).take(measured) {
            let first = lane.wait_at(to, promoted + LANE_MAX);
            let after = first.map_or(LANE_MAX, |first| first.saturating_duration_since(promoted));
            if lane.name.starts_with("lead") && after > Duration::from_secs(3) {
                println!("round {round}, {from} -> {to}: {after:?}; {}", cluster.log());
            }
            match lags {
                true => tally.lagging.push(after),
                false => tally.prompt.push(after),
            }
            tally.wrong += lane.wrong();
        }
        cluster.rejoin(failing);
    }
    println!(
        "\n{}: {rounds} promotions, {beside} of them with DNS late",
        failing.name()
    );
    println!(
        "{:<10}{:>22}{:>12}{:>12}{:>12}{:>18}",
        "", "DNS late: median", "p99", "all: median", "p99", "sent to readers"
    );
    for (n, (lane, mut tally)) in lanes.iter().zip(tallies).enumerate() {
        let mut all: Vec<Duration> = tally.lagging.iter().chain(&tally.prompt).copied().collect();
        let late = [quantile(&mut tally.lagging, 0.5), quantile(&mut tally.lagging, 0.99)];
        let all = [quantile(&mut all, 0.5), quantile(&mut all, 0.99)];
        let all = if n < LED { all } else { ["-".to_owned(), "-".to_owned()] };
        println!(
            "{:<10}{:>22}{:>12}{:>12}{:>12}{:>18}",
            lane.name, late[0], late[1], all[0], all[1], tally.wrong
        );
    }
}

/// The nearest rank.
fn quantile(figures: &mut [Duration], share: f64) -> String {
    figures.sort();
    let rank = (figures.len() as f64 * share).ceil() as usize;
    let figure = figures.get(rank.saturating_sub(1));
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{:.3} s", figure.as_secs_f64()))
}

//! What clients cost that wait while the database is not there, and how soon they are served when it is.

use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::figures::{load, median, row};
use crate::route::Route;
use crate::site::{self, Site};
use crate::wire::Ask;

/// So many wait at once.
const CLIENTS: [usize; 2] = [200, 5_000];
/// From the last of them to the database's return.
const HELD: Duration = Duration::from_secs(50);
const HELD_QUICK: Duration = Duration::from_secs(5);
const ROUNDS_MAX: usize = 3;

/// How one wait went.
struct Outcome {
    kib_each: f64,
    /// From the moment in which the database takes connections.
    last_ms: f64,
    served: usize,
}

/// Prints memory for each client that waits, and when the last was served.
pub fn run(ours: &Path, rounds: usize, quick: bool) {
    let rounds = rounds.min(ROUNDS_MAX);
    println!("\nclients that wait for a database that is down, {rounds} rounds, medians");
    println!("  (load average {})", load());
    row("clients", ["KiB each", "last served after ms", "served"]);
    for clients in CLIENTS {
        let outcomes: Vec<Outcome> = (0..rounds).map(|_| play(ours, clients, quick)).collect();
        let figure = |of: fn(&Outcome) -> f64| median(&outcomes.iter().map(of).collect::<Vec<_>>());
        let served = outcomes.iter().map(|outcome| outcome.served).min().unwrap_or_default();
        let cells = [
            format!("{:.2}", figure(|outcome| outcome.kib_each)),
            format!("{:.0}", figure(|outcome| outcome.last_ms)),
            format!("{served} of {clients}"),
        ];
        row(&clients.to_string(), cells);
    }
}

fn play(ours: &Path, clients: usize, quick: bool) -> Outcome {
    let mut site = Site::start(&[Route::Ours], ours);
    let resident = |site: &Site| {
        site.proxies
            .values()
            .map(crate::process::Running::resident_kib)
            .sum::<u64>()
    };
    let before = resident(&site);
    site.kill_old();
    let dialled = (0..clients).map(|_| site::ask(Route::Ours.target(), Ask::Echo));
    let mut waiting: Vec<TcpStream> = dialled.collect::<Result<_, _>>().expect("the proxy listens");
    sleep(if quick { HELD_QUICK } else { HELD });
    let kib = resident(&site).saturating_sub(before);
    site.revive_old();
    let start = Instant::now();
    let served = waiting
        .iter_mut()
        .filter_map(|stream| site::comes_back(stream).ok())
        .count();
    Outcome {
        kib_each: kib as f64 / clients as f64,
        last_ms: start.elapsed().as_secs_f64() * 1000.0,
        served,
    }
}

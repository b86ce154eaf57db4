//! What becomes of new connections, and of an old session, while the name server fails and the database is well.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use testkit::dns::Behaviour;

use crate::figures::{load, row};
use crate::route::{Looks, OLD, Route};
use crate::site::{self, Site};

/// The time to live of an endpoint of RDS.
const TTL_SECONDS: u32 = 5;
/// From the first connections to the failure: each proxy has looked more than once. With a random part as long as an answer lasts.
const PEACE: Duration = Duration::from_secs(12);
/// How long DNS fails.
const FAILS: Duration = Duration::from_secs(50);
const FAILS_QUICK: Duration = Duration::from_secs(12);
/// How long is watched whether connections work again.
const RECOVERS: Duration = Duration::from_secs(40);
/// From one new connection of a route to its next.
const DIAL_EVERY: Duration = Duration::from_millis(250);
const TICK: Duration = Duration::from_millis(50);

const FAILURES: &[(&str, Behaviour)] = &[
    ("NXDOMAIN", Behaviour::NxDomain),
    ("no data", Behaviour::NoData),
    ("SERVFAIL", Behaviour::ServFail),
    ("REFUSED", Behaviour::Refused),
    ("silence", Behaviour::Silent),
];

/// What was seen of one proxy, in seconds.
struct Outcome {
    /// From the failure to the first connection that failed.
    failed: Option<f64>,
    /// From the end of the failure to the first connection that worked and after which none failed.
    well: Option<f64>,
    /// Whether the session that was there before still carries.
    kept: bool,
}

/// Prints for each failure and proxy when new connections fail, and when they work again.
pub fn run(routes: &[Route], ours: &Path, quick: bool) {
    let fails = if quick { FAILS_QUICK } else { FAILS };
    println!(
        "\nDNS fails for {} s, the database is well; defaults, TTL {TTL_SECONDS} s: seconds until new connections fail / seconds \
         until they work again after DNS does; * the old session ended",
        fails.as_secs()
    );
    println!("  (load average {})", load());
    row("DNS says", routes.iter().map(|route| route.name()));
    for (name, failure) in FAILURES {
        let site = Site::looking(routes, ours, Looks::ByDefault);
        let outcomes = play(&site, routes, failure, fails);
        row(name, outcomes.iter().map(cell));
    }
}

fn cell(outcome: &Outcome) -> String {
    let seconds = |figure: Option<f64>| figure.map_or("never".to_owned(), |seconds| format!("{seconds:.0}"));
    let ended = if outcome.kept { "" } else { " *" };
    match outcome.failed {
        None => format!("never{ended}"),
        failed => format!("{} / {}{ended}", seconds(failed), seconds(outcome.well)),
    }
}

fn play(site: &Site, routes: &[Route], failure: &Behaviour, fails: Duration) -> Vec<Outcome> {
    let says = |behaviour: &Behaviour| {
        for route in routes {
            site.dns.set(&route.endpoint(), behaviour.clone());
        }
        Instant::now()
    };
    says(&well(OLD));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watchers: Vec<_> = (routes.iter())
            .map(|route| scope.spawn(|| watch(*route, &over)))
            .collect();
        sleep(PEACE + Duration::from_secs_f64(fastrand::f64() * f64::from(TTL_SECONDS)));
        let begun = says(failure);
        sleep(fails);
        let ended = says(&well(OLD));
        sleep(RECOVERS);
        over.store(true, Ordering::Relaxed);
        let watched = watchers.into_iter().map(|watcher| watcher.join().expect("a watcher"));
        watched
            .map(|(dials, kept)| {
                let after = |since: Instant, at: Instant| at.saturating_duration_since(since).as_secs_f64();
                let bad = |dial: &&(Instant, bool)| !dial.1 && dial.0 >= begun;
                let last_bad = dials.iter().rev().find(bad).map(|dial| dial.0);
                let good = dials
                    .iter()
                    .find(|dial| dial.1 && dial.0 >= ended && last_bad.is_none_or(|bad| dial.0 > bad));
                Outcome {
                    failed: dials.iter().find(bad).map(|dial| after(begun, dial.0)),
                    well: good.map(|dial| after(ended, dial.0)),
                    kept,
                }
            })
            .collect()
    })
}

fn well(host: Ipv4Addr) -> Behaviour {
    Behaviour::a(&host.to_string(), TTL_SECONDS)
}

/// Dials again and again: when each connection was begun, and whether it carried; and whether a session has outlived all that.
fn watch(route: Route, over: &AtomicBool) -> (Vec<(Instant, bool)>, bool) {
    let mut old = site::open(route.target()).expect("a session");
    let mut dials = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        dials.push((begun, site::open(route.target()).is_ok()));
        while begun.elapsed() < DIAL_EVERY && !over.load(Ordering::Relaxed) {
            sleep(TICK);
        }
    }
    (dials, site::echoes(&mut old).is_ok())
}

//! What becomes of sessions, old and new, when DNS flips to another host.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::attempt::{Attempt, Progress, SOURCES, source};
use crate::figures::{load, median, row, verdict};
use crate::route::Route;
use crate::site::{self, Site};
use crate::wire::{Ask, MESSAGE_BYTES, Poll, Ready};

/// Old sessions through each proxy.
const SESSIONS: usize = 100;
/// What has not closed by then is taken to stay.
const WATCHED: Duration = Duration::from_secs(14);
const WATCHED_QUICK: Duration = Duration::from_secs(5);
/// From the last session to the flip: the proxies look at DNS in peace; a random part makes the flip hit no fixed phase.
const PEACE: Duration = Duration::from_millis(1500);
const PHASE_MS: u64 = 1000;
/// How often a client that writes does so.
const WRITE_EVERY: Duration = Duration::from_millis(100);
/// How often the flips are done at most: they take long and vary little.
const ROUNDS_MAX: usize = 3;
/// Our last session is to be closed this long after the new answer.
const CLOSED_MS_MAX: f64 = 10.0;
/// From one new connection to the next.
const DIAL_EVERY: Duration = Duration::from_millis(20);
/// How long there are new connections before the flip, and after it.
const DIAL_BEFORE: Duration = Duration::from_secs(1);
const DIAL_AFTER: Duration = Duration::from_secs(4);
/// A client that has waited this long for its answer has lost its connection.
const ANSWER_MAX: Duration = Duration::from_secs(14);
const TICK: Duration = Duration::from_millis(5);

struct Scenario {
    name: &'static str,
    fault: fn(&mut Site),
    writing: bool,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "keeps serving",
        fault: |_| {},
        writing: false,
    },
    Scenario {
        name: "is killed",
        fault: Site::kill_old,
        writing: false,
    },
    Scenario {
        name: "is blackholed, sessions idle",
        fault: Site::lose_old,
        writing: false,
    },
    Scenario {
        name: "is blackholed, clients writing",
        fault: Site::lose_old,
        writing: true,
    },
    Scenario {
        name: "is stopped",
        fault: |site| site.stop_old(),
        writing: false,
    },
];

/// How one flip went for the sessions of one proxy.
struct Outcome {
    closed: usize,
    /// The last that closed: milliseconds after the change in DNS, and after the query that was told of it.
    after_change_ms: Option<f64>,
    after_told_ms: Option<f64>,
}

/// Counts the old sessions that close, and says when the last of them does.
pub fn old_sessions(routes: &[Route], ours: &Path, rounds: usize, quick: bool) {
    let rounds = rounds.min(ROUNDS_MAX);
    let watched = if quick { WATCHED_QUICK } else { WATCHED };
    println!(
        "\n{SESSIONS} old sessions when DNS flips: how many closed within {} s; the last of them, ms after the change in DNS",
        watched.as_secs()
    );
    println!("  ({rounds} rounds: fewest, and median; load average {})", load());
    row("the old host then", routes.iter().map(|route| route.name()));
    for scenario in SCENARIOS {
        let mut outcomes: BTreeMap<Route, Vec<Outcome>> = BTreeMap::new();
        for round in 0..rounds {
            for (route, outcome) in flip(scenario, routes, ours, watched, round as u64) {
                outcomes.entry(route).or_default().push(outcome);
            }
        }
        let cell = |route| outcomes.get(route).map_or("-".to_owned(), |outcomes| cell(outcomes));
        row(scenario.name, routes.iter().map(cell));
        if let Some(outcomes) = outcomes.get(&Route::Ours) {
            print_ours(outcomes);
        }
    }
}

fn cell(outcomes: &[Outcome]) -> String {
    let fewest = outcomes.iter().map(|outcome| outcome.closed).min().unwrap_or(0);
    let times: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.after_change_ms).collect();
    if times.is_empty() {
        return fewest.to_string();
    }
    format!("{fewest} in {:.0}", median(&times))
}

fn print_ours(outcomes: &[Outcome]) {
    let fewest = outcomes.iter().map(|outcome| outcome.closed).min().unwrap_or(0);
    let times: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.after_told_ms).collect();
    let worst = times.iter().copied().fold(0.0, f64::max);
    let told = if times.is_empty() {
        "never told".to_owned()
    } else {
        format!("{:.1} ms, at worst {worst:.1} ms", median(&times))
    };
    let reached = fewest == SESSIONS && !times.is_empty() && worst <= CLOSED_MS_MAX;
    println!(
        "      ours: {fewest} closed, the last {told} after the new answer; goal: {SESSIONS} in at most {CLOSED_MS_MAX} ms: {}",
        verdict(reached)
    );
}

fn flip(scenario: &Scenario, routes: &[Route], ours: &Path, watched: Duration, seed: u64) -> Vec<(Route, Outcome)> {
    let mut site = Site::start(routes, ours);
    let sessions = routes.iter().flat_map(|route| [*route; SESSIONS]);
    let sessions: Vec<Session> = sessions.map(Session::open).collect();
    sleep(PEACE + Duration::from_millis(fastrand::Rng::with_seed(seed).u64(..PHASE_MS)));
    let over = AtomicBool::new(false);
    let (changed, closed) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(sessions, scenario.writing, &over));
        (scenario.fault)(&mut site);
        let changed = site.flip();
        while changed.elapsed() < watched && !watcher.is_finished() {
            sleep(TICK);
        }
        over.store(true, Ordering::Relaxed);
        (changed, watcher.join().expect("the watcher does not panic"))
    });
    let outcome = |route: &Route| {
        let closed: Vec<Instant> = (closed.iter())
            .filter_map(|(of, at)| (of == route).then_some(*at))
            .collect();
        let last = closed.iter().max();
        let after = |since: Instant| last.map(|last| last.saturating_duration_since(since).as_secs_f64() * 1e3);
        let outcome = Outcome {
            closed: closed.len(),
            after_change_ms: after(changed),
            after_told_ms: match site.told(*route) {
                Some(told) => after(told),
                // What ended before there was an answer has not waited for it.
                None => last.map(|_| 0.0),
            },
        };
        (*route, outcome)
    };
    routes.iter().map(outcome).collect()
}

struct Session {
    route: Route,
    stream: TcpStream,
}

impl Session {
    fn open(route: Route) -> Self {
        let stream = site::open(route.target()).expect("a session");
        stream.set_nonblocking(true).expect("non-blocking");
        Self { route, stream }
    }

    /// Whether it still is one, after it became readable.
    fn lives(&mut self) -> bool {
        let mut buffer = [0; 64 * MESSAGE_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(length) => length > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Says something; a session whose proxy takes no more is none of those that closed.
    fn write(&mut self) -> bool {
        match self.stream.write_all(&Ask::Echo.request()) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// When each of the sessions closed that did, until it is over or none is left.
fn watch(sessions: Vec<Session>, writing: bool, over: &AtomicBool) -> Vec<(Route, Instant)> {
    let mut poll = Poll::new().expect("an epoll");
    for (number, session) in sessions.iter().enumerate() {
        poll.add(&session.stream, number, Ready::IN)
            .expect("an epoll takes sockets");
    }
    let mut sessions: Vec<Option<Session>> = sessions.into_iter().map(Some).collect();
    let (mut closed, mut ready, mut written) = (Vec::new(), Vec::new(), Instant::now());
    while !over.load(Ordering::Relaxed) && closed.len() < sessions.len() {
        poll.wait(TICK, &mut ready).expect("an epoll waits");
        if writing && written.elapsed() >= WRITE_EVERY {
            written = Instant::now();
            for slot in &mut sessions {
                if let Some(ended) = slot.take_if(|session| !session.write()) {
                    closed.push((ended.route, Instant::now()));
                }
            }
        }
        for &number in &ready {
            if let Some(ended) = sessions[number].take_if(|session| !session.lives()) {
                closed.push((ended.route, Instant::now()));
            }
        }
    }
    closed
}

/// Counts the new connections that a flip away from a black hole costs.
pub fn new_connections(routes: &[Route], ours: &Path, rounds: usize, quick: bool) {
    let rounds = rounds.min(ROUNDS_MAX);
    println!(
        "\nnew connections, one every {} ms, when the old host is blackholed and DNS flips: lost, the slowest of the others",
        DIAL_EVERY.as_millis()
    );
    println!("  ({rounds} rounds: most, and longest; load average {})", load());
    let mut outcomes: BTreeMap<Route, Dialled> = BTreeMap::new();
    for round in 0..rounds {
        let mut site = Site::start(routes, ours);
        sleep(PEACE + Duration::from_millis(fastrand::Rng::with_seed(round as u64).u64(..PHASE_MS)));
        let answer_max = if quick { WATCHED_QUICK } else { ANSWER_MAX };
        let dialled = thread::scope(|scope| {
            let dialler = scope.spawn(|| dial(routes, answer_max));
            sleep(DIAL_BEFORE);
            site.lose_old();
            site.flip();
            dialler.join().expect("the dialler does not panic")
        });
        for (route, dialled) in dialled {
            let worst = outcomes.entry(route).or_default();
            worst.lost = worst.lost.max(dialled.lost);
            worst.count = dialled.count;
            worst.slowest = worst.slowest.max(dialled.slowest);
            worst.why = worst.why.take().or(dialled.why);
        }
    }
    row("", routes.iter().map(|route| route.name()));
    let cell = |route: &Route| {
        let Some(Dialled {
            count, lost, slowest, ..
        }) = outcomes.get(route)
        else {
            return "-".to_owned();
        };
        format!("{lost}/{count} {:.2} s", slowest.as_secs_f64())
    };
    row("lost of all, slowest other", routes.iter().map(cell));
    if let Some(ours) = outcomes.get(&Route::Ours) {
        let why = ours.why.as_deref().map_or(String::new(), |why| format!(" ({why})"));
        println!(
            "      ours: {} lost{why}; goal: 0: {}",
            ours.lost,
            verdict(ours.lost == 0)
        );
    }
}

/// What became of the new connections through one proxy.
#[derive(Default)]
struct Dialled {
    count: usize,
    lost: usize,
    slowest: Duration,
    /// Why the first of those lost was.
    why: Option<String>,
}

impl Dialled {
    fn lose(&mut self, why: String) {
        self.lost += 1;
        self.why.get_or_insert(why);
    }
}

/// Dials all routes at a steady pace, and waits until every connection has its answer or is lost.
fn dial(routes: &[Route], answer_max: Duration) -> BTreeMap<Route, Dialled> {
    let mut poll = Poll::new().expect("an epoll");
    let mut dialled: BTreeMap<Route, Dialled> = routes.iter().map(|route| (*route, Dialled::default())).collect();
    let mut attempts: Vec<Option<(Route, Attempt)>> = Vec::new();
    let (start, mut ready) = (Instant::now(), Vec::new());
    let turns = ((DIAL_BEFORE + DIAL_AFTER).as_millis() / DIAL_EVERY.as_millis()) as u32;
    let mut turn = 0;
    while turn < turns || attempts.iter().any(Option::is_some) {
        while turn < turns && start.elapsed() >= DIAL_EVERY * turn {
            turn += 1;
            for &route in routes {
                let number = attempts.len();
                let attempt = Attempt::dial(route.target(), source(number % SOURCES)).expect("a socket");
                attempt.watch(&poll, number).expect("an epoll takes sockets");
                attempts.push(Some((route, attempt)));
                dialled.entry(route).or_default().count += 1;
            }
        }
        poll.wait(TICK, &mut ready).expect("an epoll waits");
        for &number in &ready {
            let Some((route, attempt)) = &mut attempts[number] else {
                continue;
            };
            let outcome = dialled.entry(*route).or_default();
            match attempt.go_on() {
                Progress::Pending => continue,
                Progress::Done => outcome.slowest = outcome.slowest.max(attempt.since.elapsed()),
                Progress::Failed(why) => outcome.lose(why),
            }
            attempts[number] = None;
        }
        for slot in &mut attempts {
            if let Some((route, _)) = slot.take_if(|(_, attempt)| attempt.since.elapsed() > answer_max) {
                dialled.entry(route).or_default().lose("no answer".to_owned());
            }
        }
    }
    dialled
}

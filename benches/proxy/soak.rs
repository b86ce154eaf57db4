//! The soak: thousands of idle connections held, hundreds of others coming and going each second, not one error allowed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::attempt::{Attempt, Progress, SOURCES, source};
use crate::figures::{load, median};
use crate::process::Running;
use crate::route::Route;
use crate::site::{self, Site, TRIP_MAX};
use crate::wire::{Ask, MESSAGE_BYTES, Poll, Ready};

const IDLE_SESSIONS: u64 = 9000;
/// From one new connection to the next: 500 a second.
const DIAL_EVERY: Duration = Duration::from_millis(2);
/// Descriptors of the proxy for everything but idle sessions.
const OTHER_DESCRIPTORS: u64 = 1000;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Lines of the table of samples.
const LINES: usize = 20;
/// Connections under way at once: a machine that stood still for seconds is no reason for a burst beyond the proxy's limit
/// of sessions. One that gets no answer for [`TRIP_MAX`] is an error all the same.
const UNDER_WAY_MAX: usize = 500;
/// How long an allocator may take to settle.
const UNSETTLED: Duration = Duration::from_secs(120);
/// Late memory may be this much above early memory: more than an allocator's whims, and, in ten minutes, less than six bytes
/// of each connection between the two.
const GROWTH_KIB_MAX: f64 = 1024.0;
/// The same for a soak that is too short to settle: it can only find what leaks whole connections, of which four thousand come
/// between the two. A burst of a busy machine costs 8 MiB.
const UNSETTLED_GROWTH_KIB_MAX: f64 = 16_384.0;
/// How long descriptors may take to be closed after their connections.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// Errors that are told; all are counted.
const ERRORS_TOLD: usize = 10;

struct Sample {
    at: Duration,
    resident_kib: u64,
    descriptors: usize,
}

impl Sample {
    fn take(proxy: &Running, start: Instant) -> Self {
        Self {
            at: start.elapsed(),
            resident_kib: proxy.resident_kib(),
            descriptors: proxy.descriptors(),
        }
    }
}

#[derive(Default)]
struct Errors(usize);

impl Errors {
    fn add(&mut self, what: &str) {
        self.0 += 1;
        if self.0 <= ERRORS_TOLD {
            println!("  ERROR: {what}");
        }
    }
}

/// Soaks our proxy; fails on any error, on descriptors that stay open, and on memory that keeps growing.
pub fn run(ours: &Path, duration: Duration, descriptors: u64) -> ExitCode {
    let idle = IDLE_SESSIONS.min(descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2);
    if idle < IDLE_SESSIONS {
        println!("only {idle} idle sessions: the limit is {descriptors} descriptors (ulimit -Hn)");
    }
    println!(
        "\nsoak: {idle} idle sessions, {} connections a second, for {} s (load average {})",
        Duration::from_secs(1).as_millis() / DIAL_EVERY.as_millis(),
        duration.as_secs(),
        load()
    );
    let site = Site::start(&[Route::Ours], ours);
    let proxy = &site.proxies[&Route::Ours];
    sleep(SAMPLE_EVERY);
    let start = Instant::now();
    let before = Sample::take(proxy, start);
    let open = |_| site::open(Route::Ours.target()).expect("a session");
    let mut sessions: Vec<TcpStream> = (0..idle).map(open).collect();
    println!("  opened in {:.1} s", start.elapsed().as_secs_f64());

    let mut errors = Errors::default();
    let samples = pour(proxy, &mut sessions, duration, &mut errors);
    for session in &mut sessions {
        if let Err(error) = trip(session) {
            errors.add(&format!("an idle session did not live to the end: {error}"));
        }
    }
    drop(sessions);
    let after = closed(proxy, &before);
    print(&before, &samples, &after);
    verdict(&before, &samples, &after, &errors)
}

/// Dials at a steady pace while the idle sessions are watched.
fn pour(proxy: &Running, idle: &mut [TcpStream], duration: Duration, errors: &mut Errors) -> Vec<Sample> {
    let mut poll = Poll::new().expect("an epoll");
    for (number, session) in idle.iter().enumerate() {
        poll.add(session, number, Ready::IN | Ready::ET)
            .expect("an epoll takes sockets");
    }
    let mut attempts: Vec<Option<Attempt>> = Vec::new();
    let (mut free, mut ready, mut samples): (Vec<usize>, Vec<usize>, Vec<Sample>) = Default::default();
    let (start, mut dialled, mut done, mut postponed) = (Instant::now(), 0u32, 0u32, 0u32);
    while start.elapsed() < duration || free.len() < attempts.len() {
        while start.elapsed() < duration && start.elapsed() >= DIAL_EVERY * (dialled + postponed) {
            if attempts.len() - free.len() == UNDER_WAY_MAX {
                postponed += 1;
                continue;
            }
            let slot = free.pop().unwrap_or_else(|| {
                attempts.push(None);
                attempts.len() - 1
            });
            let from = source(dialled as usize % SOURCES);
            let attempt = Attempt::dial(Route::Ours.target(), from).expect("a socket");
            attempt.watch(&poll, idle.len() + slot).expect("an epoll takes sockets");
            attempts[slot] = Some(attempt);
            dialled += 1;
        }
        poll.wait(DIAL_EVERY / 2, &mut ready).expect("an epoll waits");
        for &number in &ready {
            let Some(slot) = number.checked_sub(idle.len()) else {
                errors.add("an idle session was closed, or said something");
                continue;
            };
            let Some(attempt) = &mut attempts[slot] else { continue };
            match attempt.go_on() {
                Progress::Pending => continue,
                Progress::Done => done += 1,
                Progress::Failed(why) => errors.add(&format!("a connection failed: {why}")),
            }
            attempts[slot] = None;
            free.push(slot);
        }
        if start.elapsed() >= SAMPLE_EVERY * samples.len() as u32 {
            samples.push(Sample::take(proxy, start));
            for (slot, attempt) in attempts.iter_mut().enumerate() {
                if attempt.take_if(|attempt| attempt.since.elapsed() > TRIP_MAX).is_some() {
                    errors.add("a connection got no answer");
                    free.push(slot);
                }
            }
        }
    }
    println!(
        "  {done} of {dialled} connections had their round trip; at most {} at once",
        attempts.len()
    );
    if postponed > 0 {
        println!("  {postponed} were left out: {UNDER_WAY_MAX} were under way, so the machine had too much else to do");
    }
    samples
}

fn trip(session: &mut TcpStream) -> std::io::Result<()> {
    session.write_all(&Ask::Echo.request())?;
    session.read_exact(&mut [0; MESSAGE_BYTES])
}

/// Waits until the descriptors are as few as before.
fn closed(proxy: &Running, before: &Sample) -> Sample {
    let start = Instant::now();
    loop {
        let now = Sample::take(proxy, start);
        if now.descriptors <= before.descriptors || now.at > CLOSE_MAX {
            return now;
        }
        sleep(Duration::from_millis(10));
    }
}

fn print(before: &Sample, samples: &[Sample], after: &Sample) {
    println!("  {:>8}  {:>14}  {:>12}", "seconds", "resident, KiB", "descriptors");
    let line = |when: &str, sample: &Sample| {
        println!("  {when:>8}  {:>14}  {:>12}", sample.resident_kib, sample.descriptors);
    };
    line("before", before);
    for sample in samples.iter().step_by(samples.len().div_ceil(LINES).max(1)) {
        line(&sample.at.as_secs().to_string(), sample);
    }
    line("after", after);
}

fn verdict(before: &Sample, samples: &[Sample], after: &Sample, errors: &Errors) -> ExitCode {
    let plateau = |from: usize, to: usize| {
        let part = &samples[samples.len() * from / 100..samples.len() * to / 100];
        let resident: Vec<f64> = part.iter().map(|sample| sample.resident_kib as f64).collect();
        (!resident.is_empty()).then(|| median(&resident))
    };
    let grown = plateau(80, 100).zip(plateau(40, 60)).map(|(late, early)| late - early);
    let grown = grown.unwrap_or(f64::INFINITY);
    let last = samples.last().map_or(Duration::ZERO, |sample| sample.at);
    let growth_max = if last < UNSETTLED {
        UNSETTLED_GROWTH_KIB_MAX
    } else {
        GROWTH_KIB_MAX
    };
    let checks = [
        (format!("{} errors", errors.0), errors.0 == 0),
        (
            format!("{} descriptors before, {} after", before.descriptors, after.descriptors),
            after.descriptors <= before.descriptors,
        ),
        (
            format!("late memory is {grown:.0} KiB above early memory; at most {growth_max:.0}"),
            grown <= growth_max,
        ),
    ];
    for (what, good) in &checks {
        println!("  {what}: {}", if *good { "good" } else { "FAILED" });
    }
    if checks.iter().all(|(_, good)| *good) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

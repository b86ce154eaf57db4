//! What one route carries: bulk, messages, sessions. Each function takes its figures in the order of its part's metrics.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};

use crate::attempt::{Attempt, Progress, SOURCES, source};
use crate::figures::percentile;
use crate::process::Running;
use crate::site::{self, TRIP_MAX};
use crate::wire::{Ask, MESSAGE_BYTES, Poll, Ready, nanos};

/// Connections of the bulk test.
pub const BULK_CONNECTIONS: usize = 8;
/// Connections of the ping-pong with many.
pub const PING_CONNECTIONS: usize = 64;
/// Sessions of the memory test.
pub const IDLE_SESSIONS: usize = 2000;
/// Connections that the test of the connection rate has under way.
const RATE_CONNECTIONS: usize = 64;
/// What one read of the bulk test takes at most.
const BULK_READ_BYTES: usize = 1024 * 1024;
/// From the start of a load to the first thing that is counted.
const WARM_UP: Duration = Duration::from_millis(500);
/// From the last of many sessions to the look at the memory: what a session sets up only after seconds counts as well.
const SETTLE: Duration = Duration::from_secs(6);
const GIB: f64 = (1u64 << 30) as f64;
const MICROSECOND_NS: f64 = 1e3;

/// The place that is measured.
pub struct Place<'a> {
    pub target: SocketAddr,
    /// What is between the clients and the back end.
    pub proxy: Option<&'a Running>,
    /// Figures need not mean anything.
    pub quick: bool,
}

impl Place<'_> {
    fn window(&self, full: Duration) -> Duration {
        if self.quick { full / 4 } else { full }
    }
}

/// MB/s, and seconds of the proxy's processor time for each GiB.
pub fn bulk(place: &Place) -> Vec<Option<f64>> {
    let (received, over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..BULK_CONNECTIONS {
            scope.spawn(|| {
                let stream = site::ask(place.target, Ask::Flood).expect("a connection");
                let mut buffer = vec![0; BULK_READ_BYTES];
                while !over.load(Ordering::Relaxed) {
                    received.fetch_add(swallow(&stream, &mut buffer), Ordering::Relaxed);
                }
            });
        }
        sleep(WARM_UP);
        let cpu = || place.proxy.map(Running::cpu);
        let (start, bytes, cpu_before) = (Instant::now(), received.load(Ordering::Relaxed), cpu());
        sleep(place.window(Duration::from_secs(3)));
        let bytes = (received.load(Ordering::Relaxed) - bytes) as f64;
        let (secs, cpu_after) = (start.elapsed().as_secs_f64(), cpu());
        over.store(true, Ordering::Relaxed);
        let cpu = cpu_after.zip(cpu_before).map(|(after, before)| after - before);
        vec![
            Some(bytes / secs / 1e6),
            cpu.map(|cpu| cpu.as_secs_f64() / (bytes / GIB)),
        ]
    })
}

/// Reads without copying: what the clients' own memory costs says nothing about a proxy.
fn swallow(stream: &TcpStream, buffer: &mut [u8]) -> u64 {
    let (_, length) = recv(stream, buffer, RecvFlags::TRUNC).expect("bytes");
    assert!(length > 0, "the flood ended");
    length as u64
}

/// Thousands of round trips a second over many connections.
pub fn ping_many(place: &Place) -> Vec<Option<f64>> {
    let open = |_| site::open(place.target).expect("a session");
    let mut sessions: Vec<TcpStream> = (0..PING_CONNECTIONS).map(open).collect();
    let mut poll = Poll::new().expect("an epoll");
    for (number, session) in sessions.iter_mut().enumerate() {
        session.set_nonblocking(true).expect("non-blocking");
        poll.add(&*session, number, Ready::IN).expect("an epoll takes sockets");
        session.write_all(&Ask::Echo.request()).expect("room for a message");
    }
    let start = Instant::now();
    let window = place.window(Duration::from_secs(2));
    let (mut trips, mut ready, mut buffer) = (0u64, Vec::new(), [0; MESSAGE_BYTES]);
    let mut counted_from = None;
    loop {
        poll.wait(TRIP_MAX, &mut ready).expect("an epoll waits");
        assert!(!ready.is_empty(), "nothing comes back");
        for &number in &ready {
            let session = &mut sessions[number];
            let length = session.read(&mut buffer).expect("an echo");
            assert!(length > 0, "a session was closed");
            session.write_all(&buffer[..length]).expect("room for a message");
            trips += 1;
        }
        let elapsed = start.elapsed();
        match counted_from {
            None if elapsed >= WARM_UP => (trips, counted_from) = (0, Some(Instant::now())),
            Some(from) if elapsed >= WARM_UP + window => {
                let secs = from.elapsed().as_secs_f64();
                return vec![Some(trips as f64 / secs / 1e3)];
            }
            _ => {}
        }
    }
}

/// The median round trip of a single connection, in microseconds.
pub fn ping_one(place: &Place) -> Vec<Option<f64>> {
    let mut session = site::open(place.target).expect("a session");
    let (message, mut answer) = (Ask::Echo.request(), [0; MESSAGE_BYTES]);
    let start = Instant::now();
    let window = place.window(Duration::from_secs(2));
    let mut trips = Vec::new();
    while start.elapsed() < WARM_UP + window {
        let sent = Instant::now();
        session.write_all(&message).expect("room for a message");
        session.read_exact(&mut answer).expect("an echo");
        let trip = sent.elapsed();
        if start.elapsed() > WARM_UP {
            trips.push(trip.as_nanos() as u64);
        }
    }
    vec![Some(micros(&mut trips, 50))]
}

/// How long messages are under way, in microseconds, of which the back end sends one after the other at a steady pace:
/// median, p99.
pub fn stream(place: &Place) -> Vec<Option<f64>> {
    let mut session = site::ask(place.target, Ask::Paced).expect("a connection");
    session.set_read_timeout(Some(TRIP_MAX)).expect("a time-out");
    let start = Instant::now();
    let window = place.window(Duration::from_secs(4));
    let (mut buffer, mut held) = (vec![0; 64 * MESSAGE_BYTES], 0);
    let mut under_way = Vec::new();
    while start.elapsed() < WARM_UP + window {
        let length = session.read(&mut buffer[held..]).expect("messages");
        assert!(length > 0, "the stream ended");
        let (now, count) = (nanos(), start.elapsed() > WARM_UP);
        held += length;
        let whole = held - held % MESSAGE_BYTES;
        for message in buffer[..whole].chunks_exact(MESSAGE_BYTES).filter(|_| count) {
            let sent = u64::from_le_bytes(message[..8].try_into().expect("eight bytes"));
            under_way.push(now - sent);
        }
        buffer.copy_within(whole..held, 0);
        held -= whole;
    }
    vec![Some(micros(&mut under_way, 50)), Some(micros(&mut under_way, 99))]
}

/// Thousands of connections a second, each with one round trip, after which the back end closes.
pub fn connect(place: &Place) -> Vec<Option<f64>> {
    let mut poll = Poll::new().expect("an epoll");
    let dial = |poll: &Poll, slot: usize, from: Ipv4Addr| {
        let attempt = Attempt::dial(place.target, from).expect("a socket");
        attempt.watch(poll, slot).expect("an epoll takes sockets");
        attempt
    };
    let mut turn = 0..;
    let mut next = || source(turn.next().unwrap_or(0) % SOURCES);
    let mut attempts: Vec<Attempt> = (0..RATE_CONNECTIONS).map(|slot| dial(&poll, slot, next())).collect();
    let start = Instant::now();
    let window = place.window(Duration::from_secs(2));
    let (mut done, mut ready) = (0u64, Vec::new());
    let mut counted_from = None;
    loop {
        poll.wait(TRIP_MAX, &mut ready).expect("an epoll waits");
        assert!(!ready.is_empty(), "nothing comes back");
        for &slot in &ready {
            match attempts[slot].go_on() {
                Progress::Pending => {}
                Progress::Failed(why) => panic!("a connection failed: {why}"),
                Progress::Done => {
                    done += 1;
                    attempts[slot] = dial(&poll, slot, next());
                }
            }
        }
        let elapsed = start.elapsed();
        match counted_from {
            None if elapsed >= WARM_UP => (done, counted_from) = (0, Some(Instant::now())),
            Some(from) if elapsed >= WARM_UP + window => {
                let secs = from.elapsed().as_secs_f64();
                return vec![Some(done as f64 / secs / 1e3)];
            }
            _ => {}
        }
    }
}

/// KiB for each idle session, and MiB with next to none.
pub fn memory(place: &Place) -> Vec<Option<f64>> {
    let Some(proxy) = place.proxy else {
        return vec![None, None];
    };
    let before = proxy.resident_kib();
    let open = |_| site::open(place.target).expect("a session");
    let sessions: Vec<TcpStream> = (0..IDLE_SESSIONS).map(open).collect();
    sleep(place.window(SETTLE));
    let grown = proxy.resident_kib().saturating_sub(before);
    vec![Some(grown as f64 / sessions.len() as f64), Some(before as f64 / 1024.0)]
}

fn micros(nanos: &mut [u64], percent: usize) -> f64 {
    assert!(!nanos.is_empty(), "something was measured");
    nanos.sort_unstable();
    percentile(nanos, percent) as f64 / MICROSECOND_NS
}

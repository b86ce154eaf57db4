//! Many bytes at once, readers that do not read, and changes between small messages and bulk, within bounded memory.

use std::env;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::pattern::Pattern;
use super::world::{Listener, OLD, PATIENCE, Proxy, World};

const MIB: u64 = 1024 * 1024;
/// What the process may hold in memory while it carries bulk, in KiB: itself, and not what it carries.
const RESIDENT_MAX_KIB: u64 = 48 * 1024;
/// A writer that cannot write for so long is held up.
const HELD_UP: Duration = Duration::from_millis(500);
/// Replays one random conversation.
const SEED: &str = "RDS_TETHER_SEED";
const CONVERSATIONS: u64 = 12;

#[test]
fn bulk_both_ways_at_once_arrives_within_bounded_memory() {
    const EACH: u64 = 64 * MIB;
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let (client, upstream) = proxy.session(&listener);
    let (up, down) = (Pattern::new(1), Pattern::new(2));
    let mut rng = Rng::with_seed(3);
    let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| rng.fork());
    thread::scope(|threads| {
        threads.spawn(|| {
            up.write(&client, 0, EACH, &mut a).expect("a reader");
            client.shutdown(Shutdown::Write).expect("an open connection");
        });
        threads.spawn(|| {
            down.write(&upstream, 0, EACH, &mut b).expect("a reader");
            upstream.shutdown(Shutdown::Write).expect("an open connection");
        });
        let received = threads.spawn(|| up.read_to_end(&upstream, &mut c));
        // While all four are busy.
        assert_eq!(down.read(&client, 0, EACH / 2, &mut d).expect("bytes"), EACH / 2);
        assert!(proxy.resident_kib() < RESIDENT_MAX_KIB, "{} KiB", proxy.resident_kib());
        assert_eq!(down.read(&client, EACH / 2, u64::MAX, &mut d).expect("bytes"), EACH);
        assert_eq!(received.join().expect("no panic"), EACH);
    });
    assert!(proxy.resident_kib() < RESIDENT_MAX_KIB, "{} KiB", proxy.resident_kib());
}

#[test]
fn a_reader_that_does_not_read_holds_up_its_writer_and_loses_nothing() {
    const ALL: u64 = 128 * MIB;
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let pattern = Pattern::new(4);
    for is_client_writing in [true, false] {
        let (client, upstream) = proxy.session(&listener);
        let (writer, reader) = if is_client_writing {
            (client, upstream)
        } else {
            (upstream, client)
        };
        writer.set_write_timeout(Some(HELD_UP)).expect("a limit");
        let written = write_until_held_up(&writer, &pattern, ALL);
        assert!(written < ALL, "somebody keeps all {written} bytes");
        assert!(proxy.resident_kib() < RESIDENT_MAX_KIB, "{} KiB", proxy.resident_kib());
        writer.set_write_timeout(Some(PATIENCE)).expect("a limit");
        let mut rng = Rng::with_seed(5);
        let mut writer_rng = rng.fork();
        thread::scope(|threads| {
            threads.spawn(|| {
                pattern.write(&writer, written, ALL, &mut writer_rng).expect("a reader");
                writer.shutdown(Shutdown::Write).expect("an open connection");
            });
            assert_eq!(pattern.read_to_end(&reader, &mut rng), ALL);
        });
    }
}

/// Writes the beginning of the pattern; gives how much of it.
fn write_until_held_up(mut to: &TcpStream, pattern: &Pattern, end: u64) -> u64 {
    let mut written = 0;
    while written < end {
        match to.write(pattern.at(written, 256 * 1024)) {
            Ok(count) => written += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("after {written} bytes: {error}"),
        }
    }
    written
}

/// Messages of which each fits into one read, on its own, until one is taken by its receiver in part only.
#[test]
fn small_messages_to_a_reader_that_does_not_read_wait_for_it() {
    const MESSAGE: usize = 15_000;
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let pattern = Pattern::new(8);
    let (mut client, mut upstream) = proxy.session(&listener);
    upstream.set_write_timeout(Some(HELD_UP)).expect("a limit");
    let mut written = 0;
    loop {
        match upstream.write(pattern.at(written, MESSAGE)) {
            Ok(count) => written += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("after {written} bytes: {error}"),
        }
        // Something the other way gives the proxy its turn, in which it reads the message.
        client.write_all(b"?").expect("room");
        upstream.read_exact(&mut [0]).expect("a byte");
    }
    assert!(proxy.resident_kib() < RESIDENT_MAX_KIB, "{} KiB", proxy.resident_kib());
    let mut rng = Rng::with_seed(9);
    assert_eq!(pattern.read(&client, 0, written, &mut rng).expect("bytes"), written);
}

#[test]
fn many_sessions_with_bulk_find_their_pipes_and_go_on_without() {
    // More directions than a thread has pipes.
    const SESSIONS: usize = 80;
    const EACH: u64 = 2 * MIB;
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let pattern = Pattern::new(6);
    let sessions: Vec<_> = (0..SESSIONS).map(|_| proxy.session(&listener)).collect();
    // All databases write before any client reads, so that each direction is in the middle of it.
    for (_, upstream) in &sessions {
        upstream.set_write_timeout(Some(PATIENCE)).expect("a limit");
    }
    thread::scope(|threads| {
        for (index, (_, upstream)) in sessions.iter().enumerate() {
            let pattern = &pattern;
            threads.spawn(move || {
                let mut rng = Rng::with_seed(index as u64);
                pattern.write(upstream, 0, EACH, &mut rng).expect("a reader");
                upstream.shutdown(Shutdown::Write).expect("an open connection");
            });
        }
        for (client, _) in &sessions {
            assert_eq!(pattern.read_to_end(client, &mut Rng::with_seed(7)), EACH);
        }
    });
    assert!(proxy.resident_kib() < RESIDENT_MAX_KIB, "{} KiB", proxy.resident_kib());
}

/// A stretch of a conversation: one side says so many messages of so many bytes, the other hears all of them.
#[derive(Debug)]
struct Turn {
    is_client_speaking: bool,
    messages: u64,
    bytes: u64,
}

/// Small questions and answers, and bulk, by turns: each change of mode comes several times.
fn conversation(rng: &mut Rng) -> Vec<Turn> {
    let mut turns = Vec::new();
    for _ in 0..rng.usize(6..12) {
        for _ in 0..rng.usize(0..30) {
            turns.push(Turn {
                is_client_speaking: rng.bool(),
                messages: rng.u64(1..4),
                bytes: rng.u64(1..2000),
            });
        }
        // About the sizes at which the mode changes, too: a buffer, and a move that counts as small.
        turns.push(Turn {
            is_client_speaking: rng.bool(),
            messages: rng.u64(1..100),
            bytes: rng
                .choice([8 * 1024, 16 * 1024, 32 * 1024, 64 * 1024, 200_000])
                .expect("a choice")
                - rng.u64(0..2),
        });
    }
    turns
}

#[test]
fn small_messages_and_bulk_by_turns_arrive_in_order() {
    let given = env::var(SEED)
        .ok()
        .map(|seed| seed.parse().expect("RDS_TETHER_SEED is a number"));
    let seeds = given.map_or(0..CONVERSATIONS, |seed: u64| seed..seed + 1);
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    for seed in seeds {
        let conversed = catch_unwind(AssertUnwindSafe(|| converse(&proxy, &listener, seed)));
        assert!(
            conversed.is_ok(),
            "the conversation above failed; replay it with\n    {SEED}={seed} cargo test --test program small_messages_and_bulk"
        );
    }
}

fn converse(proxy: &Proxy, listener: &Listener, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let turns = conversation(&mut rng);
    let patterns = [Pattern::new(seed), Pattern::new(!seed)];
    let (client, upstream) = proxy.session(listener);
    let database_ends_first = rng.bool();
    let mut theirs = rng.fork();
    thread::scope(|threads| {
        let database =
            threads.spawn(|| take_part(&upstream, &turns, false, &patterns, database_ends_first, &mut theirs));
        take_part(&client, &turns, true, &patterns, !database_ends_first, &mut rng);
        if let Err(panic) = database.join() {
            resume_unwind(panic);
        }
    });
}

fn take_part(
    mut stream: &TcpStream,
    turns: &[Turn],
    is_client: bool,
    patterns: &[Pattern; 2],
    ends_first: bool,
    rng: &mut Rng,
) {
    // How far each side's stream has come, the client's first.
    let mut places = [0, 0];
    for (number, turn) in turns.iter().enumerate() {
        let speaker = usize::from(!turn.is_client_speaking);
        let (place, pattern) = (&mut places[speaker], &patterns[speaker]);
        let end = *place + turn.messages * turn.bytes;
        if turn.is_client_speaking == is_client {
            while *place < end {
                let most = turn.bytes.min(end - *place);
                let message = pattern.at(*place, usize::try_from(most).expect("small"));
                stream
                    .write_all(message)
                    .unwrap_or_else(|error| panic!("turn {number}, {turn:?}: {error}"));
                *place += message.len() as u64;
            }
        } else {
            let heard = pattern.read(stream, *place, end, rng);
            *place = heard.unwrap_or_else(|error| panic!("turn {number}, {turn:?}: {error}"));
            assert_eq!(*place, end, "turn {number}, {turn:?} was cut short");
        }
    }
    if ends_first {
        stream.shutdown(Shutdown::Write).expect("an open connection");
    }
    let theirs = usize::from(is_client);
    let end = patterns[theirs].read(stream, places[theirs], u64::MAX, rng);
    assert_eq!(end.expect("an end in order"), places[theirs], "more than was sent");
    if !ends_first {
        stream.shutdown(Shutdown::Write).expect("an open connection");
    }
}

//! What arrives on the other side: all of it, in order, with the end that it had.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::net::sockopt;

use super::kernel;
use super::pattern::Pattern;
use super::world::{End, OLD, World, connect, read_to_end, wait_until};

const MIB: u64 = 1024 * 1024;

/// One side asks and ends its stream, the other hears the end and only then answers, with more than any buffer holds.
#[test]
fn half_closing_loses_nothing_either_way() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let pattern = Pattern::new(1);
    for asked in [0, 1, 5, 100_000, 16 * MIB] {
        for answered in [0, 1, MIB, 32 * MIB] {
            for is_client_asking in [true, false] {
                let (client, upstream) = proxy.session(&listener);
                let (asker, answerer) = if is_client_asking {
                    (client, upstream)
                } else {
                    (upstream, client)
                };
                let mut rng = Rng::with_seed(asked ^ answered);
                let mut asker_rng = rng.fork();
                thread::scope(|threads| {
                    threads.spawn(|| {
                        assert_eq!(pattern.read_to_end(&answerer, &mut rng), asked);
                        pattern.write(&answerer, 0, answered, &mut rng).expect("a reader");
                        answerer.shutdown(Shutdown::Write).expect("an open connection");
                    });
                    pattern.write(&asker, 0, asked, &mut asker_rng).expect("a reader");
                    asker.shutdown(Shutdown::Write).expect("an open connection");
                    assert_eq!(pattern.read_to_end(&asker, &mut asker_rng), answered);
                });
            }
        }
    }
}

#[test]
fn both_sides_may_end_at_once() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    for _ in 0..50 {
        let (mut client, mut upstream) = proxy.session(&listener);
        client.write_all(b"goodbye").expect("room");
        upstream.write_all(b"farewell").expect("room");
        for stream in [&client, &upstream] {
            stream.shutdown(Shutdown::Write).expect("an open connection");
        }
        assert_eq!(read_to_end(&client), (b"farewell".to_vec(), End::InOrder));
        assert_eq!(read_to_end(&upstream), (b"goodbye".to_vec(), End::InOrder));
    }
}

#[test]
fn a_client_that_resets_resets_its_database() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let (client, upstream) = proxy.session(&listener);
    reset(client);
    assert_eq!(read_to_end(&upstream), (Vec::new(), End::Reset));
}

/// Closes with a reset. On loopback, what was written and fits into the peer's window has arrived before.
fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("an open connection");
}

/// As a server does that is told to stop while its client is talking: the reason, and then no more.
#[test]
fn the_last_words_of_a_database_that_resets_reach_its_client() {
    const WORDS: &[u8] = b"FATAL: terminating connection due to administrator command";
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    for sent in [0, 1, 1000, 100_000] {
        for _ in 0..20 {
            let (mut client, mut upstream) = proxy.session(&listener);
            upstream.write_all(b"welcome").expect("room");
            client.read_exact(&mut [0; 7]).expect("the session has begun");
            client.write_all(&vec![0; sent]).expect("room");
            let mut heard = vec![0; sent / 2];
            upstream.read_exact(&mut heard).expect("bytes");
            upstream.write_all(WORDS).expect("room");
            reset(upstream);
            assert_eq!(read_to_end(&client).0, WORDS, "after {sent} bytes");
        }
    }
}

/// The words have come as far as the proxy, but not to the client, who does not read yet, when the database resets.
#[test]
fn the_last_words_wait_for_a_client_that_reads_late() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let pattern = Pattern::new(2);
    for most in [1000, 100_000, u64::MAX] {
        for is_client_talking in [false, true] {
            let (mut client, upstream) = proxy.session(&listener);
            let said = write_what_leaves(&upstream, &pattern, most);
            reset(upstream);
            if is_client_talking {
                // It does not know yet that nobody hears it.
                client.write_all(&[0; 1000]).expect("room");
                wait_until("the proxy has taken it", || kernel::is_heard(&client));
            }
            let heard = pattern.read(&client, 0, said, &mut Rng::with_seed(3));
            assert_eq!(
                heard.ok(),
                Some(said),
                "of up to {most} bytes, the client talking: {is_client_talking}"
            );
        }
    }
}

/// Writes the beginning of the pattern, up to so many bytes, as long as there is room on the way; gives how many have left
/// for good.
fn write_what_leaves(mut to: &TcpStream, pattern: &Pattern, most: u64) -> u64 {
    /// On loopback, what has not left by then waits for the peer's window.
    const LEAVES_WITHIN: Duration = Duration::from_millis(200);
    to.set_write_timeout(Some(LEAVES_WITHIN)).expect("a limit");
    let mut said = 0;
    while said < most {
        let piece = usize::try_from(most - said).unwrap_or(usize::MAX).min(64 * 1024);
        match to.write(pattern.at(said, piece)) {
            Ok(count) => said += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("after {said} bytes: {error}"),
        }
    }
    let start = Instant::now();
    loop {
        let left = kernel::ours(to).unacknowledged;
        if left == 0 || start.elapsed() > LEAVES_WITHIN {
            return said - left;
        }
    }
}

#[test]
fn small_messages_go_to_and_fro() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let (mut client, mut upstream) = proxy.session(&listener);
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut message = [0; 64];
            for _ in 0..5000 {
                upstream.read_exact(&mut message).expect("a message");
                upstream.write_all(&message).expect("room");
            }
        });
        let mut heard = [0; 64];
        for number in 0..5000_u32 {
            let message = [number.to_be_bytes(); 16].concat();
            client.write_all(&message).expect("room");
            client.read_exact(&mut heard).expect("a message");
            assert_eq!(heard[..], message);
        }
    });
}

/// Two small writes in a row: without TCP_NODELAY the second would wait for the delayed acknowledgement of the first.
#[test]
fn a_small_write_waits_for_no_acknowledgement() {
    const DELAYED_ACK: Duration = Duration::from_millis(40);
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let (client, upstream) = proxy.session(&listener);
    for (what, from, to) in [("up", &client, &upstream), ("down", &upstream, &client)] {
        let least = (0..20).map(|_| time_of_two_writes(from, to)).min().expect("rounds");
        assert!(least < DELAYED_ACK / 2, "{what}: {least:?}");
    }
}

fn time_of_two_writes(mut from: &TcpStream, mut to: &TcpStream) -> Duration {
    let mut byte = [0];
    // A round trip first, so that acknowledgements are expected to travel with data.
    to.write_all(b"0").expect("room");
    from.read_exact(&mut byte).expect("a byte");
    sockopt::set_tcp_quickack(to, false).expect("a TCP socket");
    let start = Instant::now();
    from.write_all(b"1").expect("room");
    to.read_exact(&mut byte).expect("a byte");
    sockopt::set_tcp_quickack(to, false).expect("a TCP socket");
    from.write_all(b"2").expect("room");
    to.read_exact(&mut byte).expect("a byte");
    start.elapsed()
}

#[test]
fn idle_connections_are_kept_alive_on_both_sides() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let (client, upstream) = proxy.session(&listener);
    for stream in [&client, &upstream] {
        // The database's as soon as the session has lasted for a moment.
        wait_until("it is kept alive", || {
            kernel::theirs(stream).timer.0 == kernel::KEEPALIVE
        });
        let (_, hundredths) = kernel::theirs(stream).timer;
        assert!(hundredths <= 1000, "in {hundredths} hundredths of a second");
    }
}

#[test]
fn a_session_costs_two_descriptors_and_gives_them_back() {
    const SESSIONS: usize = 50;
    let world = World::new();
    let database = world.database(OLD);
    let proxy = world.proxy("");
    proxy.client().assert_served();
    wait_until("the first session has gone", || proxy.client().at == OLD);
    let clients: Vec<_> = (0..SESSIONS).map(|_| proxy.client()).collect();
    let busy = proxy.descriptors();
    drop(clients);
    wait_until("descriptors are given back", || {
        proxy.descriptors() + 2 * SESSIONS <= busy
    });
    assert_eq!(database.accepted(), SESSIONS + 2);
    assert!(connect(proxy.address).is_ok());
}

//! Peers that are well but read nothing for longer than any time-out of the proxy: none of their sessions may end.
//!
//! Their receive windows are closed all the while, which is what TCP_USER_TIMEOUT takes for a dead peer.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::site::{OLD, Site};
use super::stage;

/// How long nothing moves. Keepalive gives up after 19 s, and any time-out that somebody may set would be like it.
const STALL: Duration = Duration::from_secs(40);
/// How long filling all buffers may take, and emptying them.
const SOON: Duration = Duration::from_secs(60);
/// More than fits into the buffers on the way, which the kernel lets grow to some 10 MB each.
const ROWS: usize = 120_000;
const ROW_BYTES: usize = 500;
/// What /proc/net/tcp says of a socket that waits for its peer to open its window (proc(5)).
const ASKS_FOR_ROOM: &str = "04:";

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn peers_that_do_not_read_for_a_while_are_not_cut() {
    stage::play(|stage| {
        let site = Site::new(stage);
        let via = site.via();
        let filling = format!("SELECT n, repeat('x', {ROW_BYTES}) AS filling FROM generate_series(1, {ROWS}) n");
        site.server
            .query("CREATE TABLE loaded (n int PRIMARY KEY, filling text)");
        site.server.query("CREATE TABLE streamed (n int, filling text)");
        site.server
            .query("SELECT pg_create_logical_replication_slot('changes', 'test_decoding')");
        site.server.query(&format!("INSERT INTO streamed {filling}"));

        // The server waits for a lock while rows are sent to it,
        let mut holder = start(via.program("psql").args(["-X", "-A", "-t", "-q"]));
        let mut commands = holder.stdin.take().expect("piped");
        writeln!(commands, "BEGIN; INSERT INTO loaded VALUES (1); SELECT 'held';").expect("psql reads");
        assert_eq!(lines(&mut holder).next().expect("a line").expect("text"), "held");
        let mut load = start(&mut via.psql("COPY loaded FROM STDIN"));
        let mut rows = load.stdin.take().expect("piped");
        let feeder = thread::spawn(move || {
            let filling = "x".repeat(ROW_BYTES);
            (1..=ROWS).try_for_each(|n| writeln!(rows, "{n}\t{filling}"))
        });
        // and two clients do not read what it sends.
        let mut dump = start(&mut via.psql(&format!("COPY ({filling}) TO STDOUT")));
        let mut stream = start(&mut via.recvlogical("changes"));

        stage::wait_until("all windows are closed", SOON, || nothing_moves(&site));
        let begun = Instant::now();
        let mut still = begun;
        while still.elapsed() < STALL {
            let sessions = [
                ("COPY FROM", &mut load),
                ("COPY TO", &mut dump),
                ("replication", &mut stream),
            ];
            for (name, session) in sessions {
                let status = session.try_wait().expect("its status");
                assert!(
                    status.is_none(),
                    "{name}: {status:?} after {:?}:\n{}",
                    still.elapsed(),
                    site.proxy.log()
                );
            }
            // On a busy machine a peer may take its last bytes late: then the stall begins anew.
            if !nothing_moves(&site) {
                still = Instant::now();
                assert!(begun.elapsed() < SOON, "it goes on moving:\n{}", site.proxy.log());
            }
            thread::park_timeout(Duration::from_millis(500));
        }

        writeln!(commands, "ROLLBACK;").expect("psql reads");
        let received = [dump, stream].map(|session| thread::spawn(move || received(session)));
        let loaded = within(SOON, move || load.wait().expect("its end"));
        assert!(loaded.success(), "{loaded}:\n{}", site.proxy.log());
        feeder.join().expect("no panic").expect("psql has read all rows");
        assert_eq!(site.server.query("SELECT count(*) FROM loaded"), ROWS.to_string());
        for received in received {
            let received = within(SOON, || received.join().expect("no panic"));
            assert_eq!(received, ROWS, "{}", site.proxy.log());
        }
        let took = still.elapsed().as_secs_f64();
        stage.tell(&format!(
            "COPY FROM, COPY TO and replication stood still for {STALL:?}, and were complete after {took:.1} s"
        ));
        drop(commands);
        within(SOON, move || holder.wait().expect("its end"));
        site.stop_proxy();
    });
}

fn start(command: &mut Command) -> Child {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    piped.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn lines(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().expect("piped")).lines()
}

/// Reads until all rows have come, or the client has ended; then ends it.
fn received(mut client: Child) -> usize {
    let filling = "x".repeat(ROW_BYTES);
    let rows = lines(&mut client).map_while(Result::ok);
    let count = rows.filter(|line| line.contains(&filling)).take(ROWS).count();
    let _ = client.kill();
    let _ = client.wait();
    count
}

fn within<T: Send + 'static>(limit: Duration, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(f()));
    receiver
        .recv_timeout(limit)
        .unwrap_or_else(|_| panic!("not within {limit:?}"))
}

/// The proxy has something for the server and for both clients, and none of them has room for it.
fn nothing_moves(site: &Site) -> bool {
    let server = listed(OLD.parse().expect("an address"), site.server.port());
    let listen = format!(":{:04X}", site.listen.port());
    let list = fs::read_to_string("/proc/self/net/tcp").expect("the kernel's list");
    let waiting = list
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let waiting: Vec<_> = waiting
        .filter(|fields| fields.get(5).is_some_and(|timer| timer.starts_with(ASKS_FOR_ROOM)))
        .collect();
    let to_clients = waiting.iter().filter(|fields| fields[1].ends_with(&listen)).count();
    let to_server = waiting.iter().filter(|fields| fields[2] == server).count();
    (to_server, to_clients) == (1, 2)
}

/// An address as the kernel lists it: each word as the machine has it in memory.
fn listed(ip: Ipv4Addr, port: u16) -> String {
    format!("{:08X}:{port:04X}", u32::from_ne_bytes(ip.octets()))
}

//! Crowds before the pages: whoever asks for health is answered at once, whatever the others do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use testkit::http::ask;

use super::held::pages;
use super::world::{OLD, Proxy, World, connect_from};

/// As many as there may be at once, and more than there may be of one address.
const CROWD: usize = 64;
/// Less than the 5 s after which the first of a crowd is shown out anyway; on a machine with nothing else to do it takes milliseconds.
const AT_ONCE: Duration = Duration::from_secs(4);

/// A proxy with pages, and what listens for its connections.
fn with_pages(world: &World) -> (Proxy, SocketAddr) {
    let proxy = world.proxy("--http 127.0.0.1:0");
    let site = pages(&proxy);
    proxy.client().assert_served();
    (proxy, site)
}

/// Connections from so many addresses in turn.
fn crowd(site: SocketAddr, addresses: usize) -> Vec<TcpStream> {
    let from = |n: usize| connect_from(&format!("127.0.1.{}", n % addresses + 1), site).expect("it listens");
    (0..CROWD).map(from).collect()
}

#[track_caller]
fn assert_health_at_once(site: SocketAddr, while_what: &str) {
    for path in ["/readyz", "/healthz", "/readyz"] {
        let began = Instant::now();
        let answer = ask(site, "GET", path);
        assert!(began.elapsed() < AT_ONCE, "{path}, {while_what}: {:?}", began.elapsed());
        assert_eq!(answer.status, 200, "{path}, {while_what}: {}", answer.body);
    }
}

#[test]
fn connections_that_say_nothing_keep_no_health_check_waiting() {
    let world = World::new();
    let _database = world.database(OLD);
    let (_proxy, site) = with_pages(&world);
    for addresses in [1, 3, CROWD] {
        let silent = crowd(site, addresses);
        assert_health_at_once(site, &format!("{CROWD} of {addresses} addresses say nothing"));
        drop(silent);
    }
}

#[test]
fn connections_that_read_nothing_keep_no_health_check_waiting() {
    /// Answers that no buffer holds.
    const ASKED: usize = 1000;
    let world = World::new();
    let _database = world.database(OLD);
    let (_proxy, site) = with_pages(&world);
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {site}\r\n\r\n").repeat(ASKED);
    let deaf = crowd(site, CROWD);
    for mut stream in &deaf {
        // It may have been shown out already.
        let _ = stream.write_all(request.as_bytes());
    }
    assert_health_at_once(site, "nobody reads");
}

/// The first of one address goes for its ninth: a crowd is in its own way before it is in anybody else's.
#[test]
fn a_crowd_of_one_address_pushes_out_nobody_else() {
    let world = World::new();
    let _database = world.database(OLD);
    let (_proxy, site) = with_pages(&world);
    let mut slow = connect_from("127.0.2.1", site).expect("it listens");
    let mut crowd: Vec<TcpStream> = (0..3).flat_map(|_| crowd(site, 1)).collect();
    assert_health_at_once(site, "one address crowds");
    let gone = crowd[0].read(&mut [0]);
    assert!(
        matches!(gone, Ok(0) | Err(_)),
        "the first of the crowd is still there: {gone:?}"
    );
    let mut answer = String::new();
    write!(slow, "GET /healthz HTTP/1.1\r\nhost: {site}\r\n\r\n").expect("an open connection");
    slow.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("alive\n"), "{answer}");
}

/// Connections of one address and of many: as many as there may be stay, and for one more the first goes, or the first that has asked
/// nothing since.
#[test]
fn so_many_connections_and_one_more() {
    let world = World::new();
    let _database = world.database(OLD);
    let (_proxy, site) = with_pages(&world);
    for (most, addresses) in [(8, 1), (64, 64)] {
        let from = |n: usize| connect_from(&format!("127.0.3.{}", n % addresses + 1), site).expect("it listens");
        let mut open: Vec<TcpStream> = (0..most).map(from).collect();
        // The one that came first is the last that asks.
        for stream in open.iter_mut().rev() {
            alive(stream, site);
        }
        let mut one_more = from(most);
        alive(&mut one_more, site);
        let last = open.len() - 1;
        assert_eq!(end(&mut open[last]), 0, "of {addresses} addresses");
        open.pop();
        for stream in &mut open {
            alive(stream, site);
        }
    }
}

/// Asks once more on a connection that is kept.
#[track_caller]
fn alive(stream: &mut TcpStream, site: SocketAddr) {
    write!(stream, "GET /healthz HTTP/1.1\r\nhost: {site}\r\n\r\n").expect("an open connection");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nalive\n") {
        let mut some = [0; 512];
        let count = stream.read(&mut some).expect("an answer");
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend(&some[..count]);
    }
}

/// The bytes that come before the end.
fn end(stream: &mut TcpStream) -> usize {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    rest.len()
}

#[test]
fn a_request_has_a_limit() {
    const MOST: usize = 16 * 1024;
    let world = World::new();
    let _database = world.database(OLD);
    let (_proxy, site) = with_pages(&world);
    for (bytes, status) in [(MOST, "200"), (MOST + 1, "431"), (64 * MOST, "431")] {
        let (begin, end) = (format!("GET /healthz HTTP/1.1\r\nhost: {site}\r\nx: "), "\r\n\r\n");
        let request = format!("{begin}{}{end}", "x".repeat(bytes - begin.len() - end.len()));
        let mut stream = connect_from("127.0.0.1", site).expect("it listens");
        // It may have been refused before its end.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer[9..], status.as_bytes(), "{bytes} bytes");
    }
}

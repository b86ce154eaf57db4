//! A scrape of the metrics of many bindings, over HTTP, from a daemon that goes on following them meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::figures::{Sorted, ms, row, title};
use crate::fleet::Fleet;
use crate::process::Build;

const TTL_SECONDS: u32 = 5;
/// A thousand first looks at 3.8 a second take four and a half minutes.
const FIRST_LOOKS_MAX: Duration = Duration::from_secs(400);
/// How long the daemon may take to listen.
const LISTEN_MAX: Duration = Duration::from_secs(10);
/// Between two scrapes, so that none waits for the one before.
const APART: Duration = Duration::from_millis(50);

pub fn run(quick: bool, build: &Build) {
    let (count, scrapes) = if quick { (50, 5) } else { (1000, 100) };
    let fleet = Fleet::new(build, count, |_| TTL_SECONDS);
    let http = free_address();
    let _daemon = fleet.follow_and_serve(&fleet.bound, "bench-scrape.toml", Some(http));
    fleet.wait_until_looked_at(FIRST_LOOKS_MAX);
    title(&format!(
        "scrape of {}: {count} bindings, {scrapes} requests for each page",
        build.name
    ));
    for path in ["/metrics", "/status", "/"] {
        let mut took = Vec::new();
        let mut size = 0;
        for _ in 0..scrapes {
            let start = Instant::now();
            size = get(http, path).len();
            took.push(start.elapsed());
            sleep(APART);
        }
        let took = Sorted::new(took);
        let goal = if path == "/metrics" { "goal: under 50 ms" } else { "" };
        row(&format!("{path}, {} KiB: median", size / 1024), ms(took.median()), goal);
        row("  p99", ms(took.percentile(99)), "");
    }
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    let end = Instant::now() + LISTEN_MAX;
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < end, "{address}: {error}"),
        }
        sleep(APART);
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{path}");
    answer
}

//! What somebody hostile does. Each attack goes on until it is over, and counts.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use testkit::dns::Behaviour;
use testkit::dns::raw::{addresses, chain};
use testkit::elb::Failure;

use crate::site::{ASTRAY, DATABASE_IP, HOSTILE, PROXY_IP, Site};
use crate::users::from;

/// An attack: it plays by chance, until it is over, and gives how often it struck.
type Attack = fn(&Site, &mut Rng, &AtomicBool) -> u64;

pub const ALL: &[(&str, Attack)] = &[
    ("answers of DNS", answers),
    ("replies of AWS", replies),
    ("idle connections of HTTP", idlers),
    ("requests of HTTP", requests),
    ("clients that leave", leavers),
    ("clients that say nothing", sitters),
];

/// Connections that one attacker keeps at once.
const KEPT: usize = 100;

fn goes_on(is_over: &AtomicBool, pause: u64) -> bool {
    sleep(Duration::from_millis(pause));
    !is_over.load(Ordering::Relaxed)
}

/// An address of an attacker's.
fn attacker(chance: &mut Rng) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 8, chance.u8(1..5))
}

/// Names lead to the proxy itself, to nowhere, to thousands of addresses or in circles, or are answered with anything.
fn answers(site: &Site, chance: &mut Rng, is_over: &AtomicBool) -> u64 {
    let mut struck = 0;
    while goes_on(is_over, 200) {
        let name = *chance.choice(&[HOSTILE, ASTRAY]).expect("two");
        let behaviour = match chance.u8(0..9) {
            0 => chain(name, chance.usize(1..1500), chance.bool()),
            1 => addresses(name, chance.u16(1..4000)),
            2 => Behaviour::a(&PROXY_IP.to_string(), 0),
            3 => Behaviour::a("127.0.7.250", 0),
            4 => Behaviour::Raw((0..chance.usize(0..1000)).map(|_| chance.u8(..)).collect()),
            5 => Behaviour::cname(name, 1),
            6 => Behaviour::Silent,
            // Nobody dials the addresses of targets.
            7 if name == HOSTILE => Behaviour::a(&format!("8.{}.{}.1", chance.u8(..), chance.u8(..)), 0),
            _ => Behaviour::a(&DATABASE_IP.to_string(), 0),
        };
        site.world.dns.set(name, behaviour);
        struck += 1;
    }
    struck
}

/// Replies about the other group are endless, cut short, late, wrong or full of what a terminal obeys.
fn replies(site: &Site, chance: &mut Rng, is_over: &AtomicBool) -> u64 {
    let mut struck = 0;
    while goes_on(is_over, 300) {
        let failure = match chance.u8(0..6) {
            0 => Failure::Sized(chance.usize(1 << 20..32 << 20)),
            1 => Failure::Cut(chance.usize(0..600)),
            2 => Failure::Garbage,
            3 => Failure::code(400, "Odd\u{1b}[2J", "a\nforged line \u{202e}"),
            4 => Failure::Delay(Duration::from_secs(3)),
            _ => Failure::Reset,
        };
        site.world.elb.heal();
        site.world
            .elb
            .fail_for(&site.other, "DescribeTargetHealth", failure, Some(1));
        struck += 1;
    }
    struck
}

/// More connections than there are seats, which say nothing, half of something, or ask and do not read.
fn idlers(site: &Site, chance: &mut Rng, is_over: &AtomicBool) -> u64 {
    let mut kept: Vec<TcpStream> = Vec::new();
    let mut struck = 0;
    while goes_on(is_over, 20) {
        if let Ok(mut stream) = from(attacker(chance), site.http) {
            let said: &[u8] = match chance.u8(0..4) {
                0 => b"",
                1 => b"GET /readyz HTTP/1.1\r\nHost: x\r\nX: ",
                2 => b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                _ => b"\x16\x03\x01\x02\x00\x01",
            };
            let _ = stream.write_all(said);
            kept.push(stream);
            struck += 1;
        }
        if kept.len() > KEPT {
            kept.swap_remove(chance.usize(..kept.len()));
        }
    }
    struck
}

/// Requests with other hosts' names, without end, or a byte at a time.
fn requests(site: &Site, chance: &mut Rng, is_over: &AtomicBool) -> u64 {
    let mut struck = 0;
    while goes_on(is_over, 20) {
        let Ok(mut stream) = from(attacker(chance), site.http) else {
            continue;
        };
        let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let path = *chance
            .choice(&["/status", "/", "/metrics", "/\u{1b}[2J", "/readyz"])
            .expect("some");
        let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: rebound.example\r\n");
        match chance.u8(0..3) {
            0 => {
                let until = Instant::now() + Duration::from_secs(1);
                while Instant::now() < until && stream.write_all(&[b'a'; 4096]).is_ok() {}
            }
            1 => {
                for _ in 0..20 {
                    sleep(Duration::from_millis(20));
                    let _ = stream.write_all(b"a");
                }
            }
            _ => {
                let _ = stream.write_all(b"\r\n");
                let _ = stream.read(&mut [0; 512]);
            }
        }
        struck += 1;
    }
    struck
}

/// Clients that leave before, while or after they are connected, one way or the other.
fn leavers(site: &Site, chance: &mut Rng, is_over: &AtomicBool) -> u64 {
    let mut struck = 0;
    while goes_on(is_over, 5) {
        let proxy = *chance.choice(&site.proxies).expect("two");
        let Ok(mut stream) = from(attacker(chance), proxy) else {
            continue;
        };
        if chance.bool() {
            let _ = stream.write_all(b"hello");
        }
        if chance.bool() {
            sleep(Duration::from_millis(chance.u64(0..20)));
        }
        // What was said and not read makes it a reset.
        drop(stream);
        struck += 1;
    }
    struck
}

/// Clients that are there and do nothing, where nobody is to be reached.
fn sitters(site: &Site, chance: &mut Rng, is_over: &AtomicBool) -> u64 {
    let mut kept: Vec<TcpStream> = Vec::new();
    let mut struck = 0;
    while goes_on(is_over, 30) {
        if let Ok(stream) = from(attacker(chance), site.proxies[1]) {
            kept.push(stream);
            struck += 1;
        }
        if kept.len() > KEPT {
            kept.swap_remove(chance.usize(..kept.len()));
        }
    }
    struck
}

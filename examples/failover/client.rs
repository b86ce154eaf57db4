//! A client that connects anew all the time, and tells when what it reaches changes.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::site::Site;

/// Who is not greeted within this time does not reach the database.
pub const WAITS: Duration = Duration::from_millis(400);
const EVERY: Duration = Duration::from_millis(100);
/// The longest greeting is an address.
const GREETING_MAX: u64 = 16;

/// How a client gets to the database.
pub enum Way<'a> {
    /// As a load balancer carries it: to a healthy target of this group.
    Group(&'a str),
    /// Through the proxy.
    Proxy(SocketAddr),
}

/// Tells of each change, with the time since when it is so: the address of the database, or none.
pub fn connect_until(is_over: &AtomicBool, site: &Site, way: &Way<'_>, mut tell: impl FnMut(Instant, Option<String>)) {
    let mut reached = None;
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let now = attempt(site, way);
        if now != reached {
            // Missed from the attempt on that found nobody, there again when one has been greeted.
            let since = if now.is_none() { began } else { Instant::now() };
            tell(since, now.clone());
            reached = now;
        }
        thread::sleep(EVERY.saturating_sub(began.elapsed()));
    }
}

fn attempt(site: &Site, way: &Way<'_>) -> Option<String> {
    let to = match way {
        Way::Group(arn) => site.behind(&site.healthy(arn)?),
        Way::Proxy(address) => *address,
    };
    greeting(to).ok()
}

fn greeting(to: SocketAddr) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&to, WAITS)?;
    stream.set_read_timeout(Some(WAITS))?;
    let mut said = String::new();
    stream.take(GREETING_MAX).read_to_string(&mut said)?;
    if said.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(said)
}

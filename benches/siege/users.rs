//! Those who must notice nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use testkit::dns::Behaviour;
use testkit::world::{NEW, OLD, WRITER};

use crate::site::Site;

const SESSIONS: usize = 200;
/// How long a health check may take, and a round trip of a session.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
const TRIP_MAX: Duration = Duration::from_secs(5);
/// From one failover to the next; a new address must be registered, and the old one gone, by then.
const FAILOVER_EVERY: Duration = Duration::from_secs(15);
/// One health check of a load balancer after the other comes from here.
const CHECKER_IP: Ipv4Addr = Ipv4Addr::new(127, 0, 7, 9);
const COMPLAINTS_MAX: usize = 10;

/// What somebody has to complain of.
#[derive(Default)]
pub struct Complaints(Mutex<Vec<String>>);

impl Complaints {
    pub fn add(&self, what: String) {
        println!("  COMPLAINT: {what}");
        self.0.lock().expect("nobody panics with it").push(what);
    }

    /// Whether there is no use in going on.
    pub fn are_many(&self) -> bool {
        self.0.lock().expect("nobody panics with it").len() >= COMPLAINTS_MAX
    }

    pub fn verdict(&self, site: &Site, seed: u64) -> ExitCode {
        let complaints = self.0.lock().expect("nobody panics with it");
        if complaints.is_empty() {
            println!("siege: nobody noticed anything");
            return ExitCode::SUCCESS;
        }
        let log = site.daemon.log();
        let last: Vec<&str> = log.lines().rev().take(40).collect();
        for line in last.iter().rev() {
            println!("  {line}");
        }
        println!("siege: {} complaints; again with --seed {seed}", complaints.len());
        ExitCode::FAILURE
    }
}

pub struct Users {
    state: Mutex<State>,
}

struct State {
    sessions: Vec<TcpStream>,
    trips: usize,
    checks: usize,
    slowest: Duration,
    failovers: usize,
    /// When the latest failover was, and what the writer is since.
    failed_over: Instant,
    writer: &'static str,
}

impl Users {
    /// Opens the sessions, and waits until everything is as it should be.
    pub fn start(site: &Site, complaints: &Complaints) -> Self {
        let sessions = (0..SESSIONS).filter_map(|_| {
            let session =
                TcpStream::connect(site.proxies[0]).and_then(|mut session| trip(&mut session).map(|()| session));
            session
                .map_err(|error| complaints.add(format!("no session: {error}")))
                .ok()
        });
        let state = State {
            sessions: sessions.collect(),
            trips: 0,
            checks: 0,
            slowest: Duration::ZERO,
            failovers: 0,
            failed_over: Instant::now(),
            writer: OLD,
        };
        site.world.wait("the groups are looked at", |calls| calls.len() >= 4);
        Self {
            state: Mutex::new(state),
        }
    }

    /// A while of their life: each asks a little.
    pub fn live(&self, site: &Site, complaints: &Complaints) {
        let mut state = self.state.lock().expect("nobody panics with it");
        let state = &mut *state;
        for _ in 0..20 {
            state.trips += 1;
            let number = state.trips % state.sessions.len().max(1);
            let Some(session) = state.sessions.get_mut(number) else {
                break;
            };
            if let Err(error) = trip(session) {
                complaints.add(format!("a session has ended: {error}"));
                state.sessions.swap_remove(number);
            }
        }
        let (began, path) = (Instant::now(), ["/readyz", "/healthz"][state.checks % 2]);
        state.checks += 1;
        if let Err(error) = check(site.http, path) {
            complaints.add(format!("{path} after {:?}: {error}", began.elapsed()));
        }
        state.slowest = state.slowest.max(began.elapsed());
        if state.failed_over.elapsed() >= FAILOVER_EVERY {
            let registered = site.world.registered();
            let wanted = [format!("{}:5432", state.writer)];
            if registered != wanted {
                complaints.add(format!("a failover to {wanted:?} was missed: {registered:?}"));
            }
            state.failovers += 1;
            state.writer = if state.writer == OLD { NEW } else { OLD };
            state.failed_over = Instant::now();
            site.world.dns.set(WRITER, Behaviour::a(state.writer, 1));
        }
        std::thread::sleep(Duration::from_millis(50));
    }

    pub fn summary(&self) -> String {
        let state = self.state.lock().expect("nobody panics with it");
        format!(
            "{} sessions, {} round trips, {} health checks (slowest {} ms), {} failovers",
            state.sessions.len(),
            state.trips,
            state.checks,
            state.slowest.as_millis(),
            state.failovers
        )
    }
}

fn trip(session: &mut TcpStream) -> std::io::Result<()> {
    session.set_read_timeout(Some(TRIP_MAX))?;
    session.write_all(b"well?")?;
    session.read_exact(&mut [0; 5])
}

/// One health check as a load balancer makes it: from its own address, a connection of its own.
fn check(http: SocketAddr, path: &str) -> std::io::Result<()> {
    let mut stream = from(CHECKER_IP, http)?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    let is_http = answer.starts_with(b"HTTP/1.1 ");
    if is_http {
        Ok(())
    } else {
        Err(std::io::Error::other("no HTTP"))
    }
}

/// A connection from an address of one's own.
pub fn from(ip: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::from((ip, 0)))?;
    connect(&socket, &to)?;
    Ok(socket.into())
}

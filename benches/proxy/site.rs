//! The name server, the two hosts of the back end, and all proxies at once.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::dns::{self, Answered, Behaviour};

use crate::process::Running;
use crate::route::{Looks, NAME_SERVER, NEW, OLD, PORT, Route};
use crate::stage::BlackHole;
use crate::wire::{Ask, MESSAGE_BYTES};

/// What `main` is given when it is called to be a back end.
pub const BACK_END: &str = "back-end";
/// How long a proxy may take to its first round trip.
const START_MAX: Duration = Duration::from_secs(15);
/// How long a single round trip may take.
pub const TRIP_MAX: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);
/// The shortest that a client may be told to remember an answer.
const TTL_SECONDS: u32 = 1;

pub struct Site {
    pub dns: dns::Server,
    pub proxies: BTreeMap<Route, Running>,
    old: Option<Running>,
    _new: Running,
    hole: Option<BlackHole>,
}

impl Site {
    /// Starts everything, and waits until every proxy carries a round trip.
    ///
    /// # Panics
    /// If a program is missing or does not come up.
    pub fn start(routes: &[Route], ours: &Path) -> Self {
        Self::looking(routes, ours, Looks::EverySecond)
    }

    /// The same, with proxies that look at DNS as often as that.
    ///
    /// # Panics
    /// If a program is missing or does not come up.
    pub fn looking(routes: &[Route], ours: &Path, looks: Looks) -> Self {
        let folder = folder();
        let dns = dns::Server::start_at(NAME_SERVER).expect("the name server's port is free on this stage");
        let (old, new) = (back_end(OLD, &folder), back_end(NEW, &folder));
        let mut site = Self {
            dns,
            proxies: BTreeMap::new(),
            old: Some(old),
            _new: new,
            hole: None,
        };
        for route in routes {
            site.name(*route, OLD);
            if *route == Route::Direct {
                continue;
            }
            let mut command = (route.command(ours, &folder, looks)).expect("missing programs were left out");
            let log = folder.join(format!("{}.log", route.name()));
            let running = Running::start(&mut command, &log).expect("the program starts");
            site.proxies.insert(*route, running);
        }
        for route in routes {
            site.wait_for(*route, &folder);
        }
        site
    }

    fn name(&self, route: Route, host: Ipv4Addr) {
        self.dns
            .set(&route.endpoint(), Behaviour::a(&host.to_string(), TTL_SECONDS));
    }

    fn wait_for(&mut self, route: Route, folder: &Path) {
        let start = Instant::now();
        while let Err(error) = open(route.target()) {
            let lives = self.proxies.get_mut(&route).is_none_or(Running::lives);
            if !lives || start.elapsed() > START_MAX {
                let log = fs::read_to_string(folder.join(format!("{}.log", route.name())));
                panic!("{} does not work: {error}\n{}", route.name(), log.unwrap_or_default());
            }
            sleep(RETRY);
        }
    }

    /// Makes all names lead to the new host; returns when.
    pub fn flip(&self) -> Instant {
        let at = Instant::now();
        for route in self.proxies.keys() {
            self.name(*route, NEW);
        }
        at
    }

    /// When a proxy's query came that was the first to be answered with the new host.
    pub fn told(&self, route: Route) -> Option<Instant> {
        let (name, wanted) = (route.endpoint(), IpAddr::V4(NEW));
        let told = |query: &dns::Query| {
            let addresses = match &query.answered {
                Answered::Message { addresses, .. } => addresses.as_slice(),
                _ => &[],
            };
            query.name == name && addresses.contains(&wanted)
        };
        let query = self.dns.queries().into_iter().find(told)?;
        Some(query.at)
    }

    /// The old host dies; its kernel says so to all.
    pub fn kill_old(&mut self) {
        self.old = None;
    }

    /// The old host comes back.
    ///
    /// # Panics
    /// If it does not.
    pub fn revive_old(&mut self) {
        self.old = Some(back_end(OLD, &folder()));
    }

    /// The old host's program stops, but its kernel goes on: it accepts, acknowledges, and nobody reads.
    pub fn stop_old(&self) {
        if let Some(old) = &self.old {
            old.signal(Signal::STOP);
        }
    }

    /// Nothing reaches the old host any more, and nothing comes from it.
    pub fn lose_old(&mut self) {
        self.hole = Some(BlackHole::open(OLD));
    }
}

fn back_end(host: Ipv4Addr, folder: &Path) -> Running {
    let program = env::current_exe().expect("the program has a path");
    let addr = SocketAddr::new(host.into(), PORT);
    let log = folder.join(format!("back-end-{host}.log"));
    let mut command = Command::new(program);
    let mut running = Running::start(command.args([BACK_END, &addr.to_string()]), &log).expect("a back end");
    let start = Instant::now();
    while open(addr).is_err() {
        assert!(
            running.lives() && start.elapsed() < START_MAX,
            "a back end on {addr}: see {}",
            log.display()
        );
        sleep(RETRY);
    }
    running
}

/// Opens a session: connects, and says one message that comes back.
///
/// # Errors
/// Any failure, and anything else that comes back.
pub fn open(target: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = ask(target, Ask::Echo)?;
    comes_back(&mut stream)?;
    Ok(stream)
}

/// Says another message on a session, that comes back.
///
/// # Errors
/// Any failure, and anything else that comes back.
pub fn echoes(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&Ask::Echo.request())?;
    comes_back(stream)
}

/// Waits for what was said.
///
/// # Errors
/// Any failure, and anything else that comes back.
pub fn comes_back(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(TRIP_MAX))?;
    let mut answer = [0; MESSAGE_BYTES];
    stream.read_exact(&mut answer)?;
    if answer != Ask::Echo.request() {
        return Err(io::Error::other("something else came back"));
    }
    Ok(())
}

/// Connects, and says what is wanted.
///
/// # Errors
/// Any failure.
pub fn ask(target: SocketAddr, ask: Ask) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&target, TRIP_MAX)?;
    stream.set_nodelay(true)?;
    stream.write_all(&ask.request())?;
    Ok(stream)
}

/// Where the proxies' settings and logs go.
pub fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-proxy");
    fs::create_dir_all(&folder).expect("the target folder can be written to");
    folder
}

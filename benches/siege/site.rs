//! The process under siege, and what it stands between.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use testkit::dns::Behaviour;
use testkit::elb::Group;
use testkit::program::Daemon;
use testkit::scratch::Scratch;
use testkit::settings::{dns, http, proxy, target_group};
use testkit::world::{OLD, WRITER, World, bare_command};

/// The name whose answers are an attacker's.
pub const HOSTILE: &str = "billing.cluster-abc123.eu-west-1.rds.amazonaws.com";
/// The name of the proxy that is well used.
const SERVED: &str = "reports.cluster-abc123.eu-west-1.rds.amazonaws.com";
/// The name of the proxy whose answers are an attacker's.
pub const ASTRAY: &str = "audit.cluster-abc123.eu-west-1.rds.amazonaws.com";
/// Where the proxies listen.
pub const PROXY_IP: Ipv4Addr = Ipv4Addr::new(127, 0, 7, 1);
/// A database's address, and one where nothing listens.
pub const DATABASE_IP: Ipv4Addr = Ipv4Addr::new(127, 0, 7, 2);

/// What a process has.
#[derive(Clone, Debug)]
pub struct Footprint {
    pub kib: u64,
    pub descriptors: usize,
}

impl Footprint {
    pub fn max(self, other: &Self) -> Self {
        Self {
            kib: self.kib.max(other.kib),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} MiB, {} descriptors",
            self.kib as f64 / 1024.0,
            self.descriptors
        )
    }
}

pub struct Site {
    pub world: World,
    /// The group whose replies and whose name are an attacker's.
    pub other: String,
    pub daemon: Daemon,
    pub http: SocketAddr,
    /// The well used proxy, and the other.
    pub proxies: [SocketAddr; 2],
    _scratch: Scratch,
}

impl Site {
    pub fn start() -> Self {
        let world = World::settled();
        let other = world.elb.add_group(Group::named("billing"));
        let port = echo().port();
        for name in [SERVED, ASTRAY] {
            world.dns.set(name, Behaviour::a(&DATABASE_IP.to_string(), 1));
        }
        world.dns.set(HOSTILE, Behaviour::a("10.0.9.1", 1));
        let scratch = Scratch::new();
        // Ports are taken first, so that an answer can name the proxy itself.
        let listen = |ip: Ipv4Addr| {
            let taken = TcpListener::bind((ip, 0)).expect("a port");
            taken.local_addr().expect("bound")
        };
        let proxies = [listen(PROXY_IP), SocketAddr::from((PROXY_IP, port))];
        let served = |listen: SocketAddr, name: &str| {
            proxy(listen, &format!("{name}:{port}"))
                .set("readiness", "tcp")
                .set("dial_timeout", "2s")
        };
        let text = target_group(&world.arn, &format!("{WRITER}:5432"))
            .set("forget", "2s")
            .and(target_group(&other, &format!("{HOSTILE}:5432")).set("forget", "2s"))
            .and(served(proxies[0], SERVED))
            .and(served(proxies[1], ASTRAY))
            .and(dns(world.dns.addr()))
            .and(http("127.0.0.1:0"));
        let path = scratch.write("config.toml", &text);
        let daemon = Daemon::start(bare_command(&world.elb.url()).args(["run", "--config"]).arg(path));
        let http = daemon.told_after("serving http://").parse().expect("an address");
        Self {
            world,
            other,
            daemon,
            http,
            proxies,
            _scratch: scratch,
        }
    }

    /// What the process has now.
    pub fn footprint(&self) -> Footprint {
        let id = self.daemon.child.id();
        let sums = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
        let line = sums
            .lines()
            .find_map(|line| line.strip_prefix("Rss:"))
            .unwrap_or_default();
        Footprint {
            kib: line.trim().trim_end_matches(" kB").parse().unwrap_or_default(),
            descriptors: fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count),
        }
    }

    /// Ends what outlives an attacker.
    pub fn make_peace(&self) {
        self.world.dns.set(ASTRAY, Behaviour::a(&DATABASE_IP.to_string(), 1));
        self.world.dns.set(HOSTILE, Behaviour::a(OLD, 1));
        self.world.elb.heal();
    }
}

/// A database of sorts: says what it hears.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((IpAddr::V4(DATABASE_IP), 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || say(stream));
        }
    });
    address
}

fn say(mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(24 * 60 * 60)));
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

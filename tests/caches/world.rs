//! A writer endpoint as RDS answers it, a cache in front of it, and the target group of the built binary that asks the cache.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use testkit::dns::{self, Behaviour, ask};
use testkit::elb::TargetDescription;
use testkit::http;
use testkit::program::{comes_true, on_a_free_port};
use testkit::world::{self, WRITER, is};

pub use testkit::program::assert_ended;
pub use testkit::world::{Daemon, NEW, OLD, assert_says, bare_command, finish, said};

use super::cache::{Cache, Kind};

/// As RDS gives them.
const TTL: u32 = 5;
/// When an entry has expired in every cache: the TTL, a second of rounding, and one more.
const EXPIRED: Duration = Duration::from_secs(7);
/// How long a cache may take to answer a question of the test's own; Knot Resolver tries for 4 s before it gives what has expired.
const ASKED_FOR: Duration = Duration::from_secs(6);
/// How long a test waits here for what must happen: PowerDNS and dnsdist keep a failure for a minute.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct World {
    pub rds: world::World,
    pub cache: Cache,
    shape: Shape,
}

/// What an endpoint's name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An alias of the instance that is the writer, as a cluster's endpoint is.
    Alias,
    /// An address, as an instance's endpoint is.
    Address,
}

impl World {
    /// The endpoint names the old address, which is registered.
    pub fn settled(kind: Kind) -> Self {
        // This one never renews an alias.
        let is_renewed = kind != Kind::BindStaleAtOnce;
        Self::settled_as(if is_renewed { Shape::Alias } else { Shape::Address }, kind)
    }

    /// As [`World::settled`], with a name of this shape.
    pub fn settled_as(shape: Shape, kind: Kind) -> Self {
        let rds = world::World::settled();
        name(&rds.dns, shape, OLD);
        let cache = Cache::start(kind, &rds.dns);
        Self { rds, cache, shape }
    }

    /// The database has failed over while nobody asked, and the group has followed: the new address is registered, and the old one
    /// drains. What the cache remembers has expired.
    pub fn failed_over_unseen(kind: Kind) -> Self {
        let world = Self::settled(kind);
        let told = ask(world.cache.address, WRITER, ASKED_FOR).expect("an answer");
        assert_eq!(told, [OLD.parse::<IpAddr>().expect("an address")]);
        let (elb, arn) = (&world.rds.elb, &world.rds.arn);
        elb.put_target(arn, NEW, 5432);
        elb.model(|model, now| {
            let old = TargetDescription::new(OLD, 5432);
            model.deregister(arn, &[old], now).expect("not refused");
        });
        world.move_to(NEW);
        pass(EXPIRED);
        world
    }

    pub fn bound(&self, verb: &str) -> Command {
        self.rds.bound_by(verb, &[self.cache.address])
    }

    /// Starts `run` and waits until all is settled.
    #[track_caller]
    pub fn run(&self, arguments: &str) -> Daemon {
        let daemon = Daemon::start(self.bound("run").args(arguments.split_whitespace()));
        daemon.wait_for_log(&["settled"]);
        daemon
    }

    /// The endpoint names this address from now on.
    pub fn move_to(&self, ip: &str) {
        name(&self.rds.dns, self.shape, ip);
    }

    /// Waits for a successful write about an address.
    #[track_caller]
    pub fn wait_for(&self, action: &str, ip: &str, daemon: &Daemon) {
        let done = self.rds.elb.wait_for(PATIENCE, |calls| {
            calls.iter().any(|call| is(call, action, ip) && call.outcome.is_ok())
        });
        let log = daemon.log();
        assert!(done, "no {action} of {ip}:\n{log}\n{}", self.cache.log());
    }

    /// Nothing has been written to the group.
    #[track_caller]
    pub fn assert_untouched(&self, log: &str) {
        assert!(self.rds.writes().is_empty(), "{:?}\n{log}", self.rds.writes());
    }
}

/// The endpoint names this address, with RDS's TTL.
pub fn name(dns: &dns::Server, shape: Shape, ip: &str) {
    let address = Behaviour::a(ip, TTL);
    match shape {
        Shape::Address => dns.set(WRITER, address),
        Shape::Alias => {
            let number = ip.replace('.', "-");
            let instance = format!("orders-{number}.abc123.eu-west-1.rds.amazonaws.com");
            dns.set(&instance, address);
            dns.set(WRITER, Behaviour::cname(&instance, TTL));
        }
    }
}

/// Lets time pass: an entry of a cache expires by time alone, and whoever looks whether it has renews it.
fn pass(time: Duration) {
    let end = Instant::now() + time;
    while let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        thread::park_timeout(left);
    }
}

/// Waits until a page of a daemon has all of the parts.
#[track_caller]
pub fn wait_for_page(daemon: &Daemon, path: &str, parts: &[&str]) {
    let address = daemon.told_after("serving http://");
    let page = || http::ask(&address, "GET", path).body;
    let has_all = comes_true(PATIENCE, || parts.iter().all(|part| page().contains(part)));
    assert!(has_all, "no {parts:?} in {path}:\n{}\n{}", page(), daemon.log());
}

/// Waits for words in one line of the log, which come later than a test waits elsewhere.
#[track_caller]
pub fn wait_for_words(daemon: &Daemon, parts: &[&str]) {
    let is_said = || {
        let log = daemon.log();
        log.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    assert!(
        comes_true(PATIENCE, is_said),
        "no line with {parts:?} in:\n{}",
        daemon.log()
    );
}

/// Looks at a name server so far, by their outcomes.
fn looks(daemon: &Daemon, nameserver: SocketAddr) -> BTreeMap<String, u64> {
    let address = daemon.told_after("serving http://");
    let page = http::ask(&address, "GET", "/metrics").body;
    let start = format!("rds_tether_dns_looks_total{{resolver=\"{nameserver}\",outcome=\"");
    let samples = page
        .lines()
        .filter_map(|line| line.strip_prefix(&start)?.split_once("\"} "));
    let samples = samples.map(|(outcome, count)| (outcome.to_owned(), count.parse().expect("a count")));
    samples.collect()
}

/// Waits until a look at a name server has been counted as none.
#[track_caller]
pub fn wait_for_no_answer(daemon: &Daemon, nameserver: SocketAddr) {
    let is_counted = || looks(daemon, nameserver).keys().any(|outcome| outcome != "answer");
    let log = || daemon.log();
    assert!(
        comes_true(PATIENCE, is_counted),
        "{nameserver} gives answers:\n{}",
        log()
    );
}

/// Waits for so many further looks at a name server.
#[track_caller]
pub fn wait_for_looks(daemon: &Daemon, nameserver: SocketAddr, more: u64) {
    let count = || looks(daemon, nameserver).values().sum::<u64>();
    let wanted = count() + more;
    assert!(
        comes_true(PATIENCE, || count() >= wanted),
        "{nameserver}:\n{}",
        daemon.log()
    );
}

/// A database that has two addresses of loopback in its life, and one port.
pub struct Databases {
    /// Holds the port on an address that is neither.
    port: TcpListener,
    both: [TcpListener; 2],
}

/// Both ends of a connection through a proxy.
pub struct Session {
    client: TcpStream,
    database: TcpStream,
}

impl Databases {
    pub const OLD: &str = "127.0.0.2";
    pub const NEW: &str = "127.0.0.3";

    pub fn start() -> Self {
        // Another process may have the port on one of the addresses.
        let start = |port| {
            let listen = |ip| TcpListener::bind((ip, port)).ok();
            let (port, both) = (listen("127.0.0.1")?, [listen(Self::OLD)?, listen(Self::NEW)?]);
            Some(Self { port, both })
        };
        on_a_free_port(start)
    }

    /// `proxy` for the writer endpoint, asking these name servers.
    pub fn proxy(&self, nameservers: &[SocketAddr]) -> Command {
        let port = self.port.local_addr().expect("bound").port();
        let mut command = bare_command("http://127.0.0.1:9");
        command.args([
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--endpoint",
            &format!("{WRITER}:{port}"),
        ]);
        // Each connection to a database is a client's.
        command.args(["--readiness", "tcp", "--probe-interval", "never"]);
        for nameserver in nameservers {
            command.args(["--nameserver", &nameserver.to_string()]);
        }
        command
    }

    /// A connection through a proxy.
    #[track_caller]
    pub fn session(&self, proxy: &str) -> Session {
        let mut client = TcpStream::connect(proxy).expect("the proxy listens");
        client.write_all(b"ping").expect("it reads");
        let mut database = None;
        let is_accepted = || {
            database = self.both.iter().find_map(accept);
            database.is_some()
        };
        assert!(comes_true(PATIENCE, is_accepted), "no connection came");
        let database = database.expect("just waited for");
        client.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Session { client, database }
    }
}

/// A connection whose client has spoken; the proxy's own, by which it sees whether anybody listens, say nothing.
fn accept(listener: &TcpListener) -> Option<TcpStream> {
    listener.set_nonblocking(true).expect("a listener");
    let (mut stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(false).expect("a stream");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream.read_exact(&mut [0; 4]).ok()?;
    Some(stream)
}

impl Session {
    /// It leads to this address, and bytes go both ways.
    #[track_caller]
    pub fn assert_open_at(&mut self, ip: &str, log: &str) {
        let at = self.database.local_addr().expect("an address").ip();
        assert_eq!(at.to_string(), ip, "{log}");
        let mut heard = [0; 4];
        let streams = [(&self.client, &self.database), (&self.database, &self.client)];
        for (mut from, mut to) in streams {
            let carried = from.write_all(b"ping").and_then(|()| to.read_exact(&mut heard));
            assert!(carried.is_ok(), "{carried:?}\n{log}");
        }
    }
}

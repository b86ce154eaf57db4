//! What is simulated: DNS, two target groups, the cron, and a database that moves.
//!
//! The database of 10.0.2.7 listens on 127.0.2.7 of this machine. So DNS has two names for it: the target group's endpoint has
//! addresses of a VPC, and the proxy's those that can be connected to here.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, Shutdown, SocketFlags, SocketType};
use testkit::dns::{self, Behaviour};
use testkit::elb::{self, Group, TargetDescription};
use testkit::program::on_a_free_port;

use super::{CRON_EVERY, DRAINS, HEALTHY_AFTER};

/// The endpoint that the target group follows.
pub const ENDPOINT: &str = "orders.cluster-demo.eu-west-1.rds.amazonaws.com";
/// The endpoint that the proxy follows.
pub const HERE: &str = "orders.cluster-here.eu-west-1.rds.amazonaws.com";
/// The shortest that DNS knows, so that nobody waits for a cache.
const TTL_SECONDS: u32 = 1;
/// The cron runs at once, and again after this time, so that targets are healthy before half of the next turn is over.
const RUNS_AGAIN_AFTER: Duration = Duration::from_secs(2);
const HALF_WAY_LASTS: Duration = Duration::from_secs(1);
/// Clients that may wait to be greeted.
const BACKLOG: i32 = 16;
const DNS_MAX: Duration = Duration::from_secs(1);

pub struct Site {
    pub dns: dns::Server,
    pub elb: elb::Server,
    pub cron: Cron,
    /// The target group of rds-tether.
    pub balancer: String,
    /// The target group of the cron.
    pub without: String,
    port: u16,
    answer: Mutex<String>,
    /// At each address that it may have.
    databases: Vec<Database>,
}

impl Site {
    /// With a database that may have these addresses, and has the first, which DNS names.
    pub fn new(addresses: &[&str]) -> Self {
        let (dns, elb) = (dns::Server::start(), elb::Server::start());
        let group = |name| {
            let group = Group::named(name).registration_delay(HEALTHY_AFTER);
            elb.add_group(group.deregistration_delay(DRAINS))
        };
        let (balancer, without) = (group("orders"), group("orders-without"));
        let reserve =
            |port| -> Option<Vec<Database>> { addresses.iter().map(|name| Database::reserve(name, port)).collect() };
        let (port, databases) = on_a_free_port(|port| reserve(port).map(|databases| (port, databases)));
        let site = Self {
            dns,
            cron: Cron::new(),
            balancer,
            without,
            port,
            answer: Mutex::default(),
            databases,
            elb,
        };
        site.start_database(addresses[0]);
        site.name(addresses[0]);
        site
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the database of an address listens.
    pub fn behind(&self, address: &str) -> SocketAddr {
        behind(address, self.port)
    }

    /// DNS answers with this address from now on.
    pub fn name(&self, address: &str) {
        self.dns.set(ENDPOINT, Behaviour::a(address, TTL_SECONDS));
        self.dns.set(HERE, Behaviour::a(&here(address), TTL_SECONDS));
        address.clone_into(&mut self.answer.lock().expect("no panic"));
    }

    /// What DNS answers.
    pub fn answer(&self) -> String {
        self.answer.lock().expect("no panic").clone()
    }

    pub fn start_database(&self, address: &str) {
        self.elb.mark_alive(address);
        self.database(address).start();
    }

    /// Nobody is there any more, and health checks fail at once.
    pub fn end_database(&self, address: &str) {
        self.database(address).end();
        self.elb.mark_dead(address);
    }

    fn database(&self, address: &str) -> &Database {
        let mut databases = self.databases.iter();
        databases
            .find(|database| database.name == address)
            .expect("one of its addresses")
    }

    /// The targets of a group, each with its state.
    pub fn targets(&self, arn: &str) -> Vec<String> {
        let targets = self.elb.targets(arn);
        targets
            .iter()
            .map(|target| format!("{} {}", target.ip, target.state))
            .collect()
    }

    /// Those that are not draining.
    pub fn registered(&self, arn: &str) -> Vec<String> {
        let targets = self.elb.targets(arn).into_iter();
        let registered = targets.filter(|target| target.state != "draining");
        registered.map(|target| target.ip).collect()
    }

    /// One that a load balancer carries connections to.
    pub fn healthy(&self, arn: &str) -> Option<String> {
        let mut targets = self.elb.targets(arn).into_iter();
        targets.find(|target| target.state == "healthy").map(|target| target.ip)
    }
}

/// The address of this machine that stands for one of the VPC.
fn here(address: &str) -> String {
    address.replacen("10.", "127.", 1)
}

fn behind(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(here(address).parse().expect("an address"), port)
}

/// Makes a target group what DNS says, every few minutes and without a look at anything else.
pub struct Cron {
    start: Instant,
    runs: Mutex<u32>,
}

impl Cron {
    fn new() -> Self {
        Self {
            start: Instant::now() - (CRON_EVERY - RUNS_AGAIN_AFTER),
            runs: Mutex::new(0),
        }
    }

    /// Whether it is now as long since its last run as it will be until the next.
    pub fn is_half_way(&self) -> bool {
        let runs = *self.runs.lock().expect("no panic");
        let since = self.start.elapsed().checked_sub(CRON_EVERY * runs.saturating_sub(1));
        since.is_some_and(|since| since >= CRON_EVERY / 2 && since < CRON_EVERY / 2 + HALF_WAY_LASTS)
    }

    pub fn run_if_due(&self, site: &Site) {
        let mut runs = self.runs.lock().expect("no panic");
        if self.start.elapsed() < CRON_EVERY * *runs {
            return;
        }
        *runs += 1;
        let answer = dns::ask(site.dns.addr(), ENDPOINT, DNS_MAX).unwrap_or_default();
        let named: Vec<String> = answer.iter().map(IpAddr::to_string).collect();
        let registered = site.registered(&site.without);
        let descriptions = |from: &[String], other: &[String]| -> Vec<TargetDescription> {
            let addresses = from.iter().filter(|address| !other.contains(address));
            addresses
                .map(|address| TargetDescription::new(address, DATABASE_PORT))
                .collect()
        };
        let (new, old) = (descriptions(&named, &registered), descriptions(&registered, &named));
        site.elb.model(|model, now| {
            // As the AWS command line would: each call for itself, and none without targets.
            let _ = model.register(&site.without, &new, now);
            if !named.is_empty() {
                let _ = model.deregister(&site.without, &old, now);
            }
        });
    }
}

/// The port of the targets, as the groups have it.
pub const DATABASE_PORT: u16 = 5432;

/// Greets each client with its address, and ends the connection. It has its port from the beginning, so that nobody else takes it
/// while the database is elsewhere.
struct Database {
    name: String,
    listener: TcpListener,
}

impl Database {
    fn reserve(name: &str, port: u16) -> Option<Self> {
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let socket = socket.expect("descriptors enough");
        // Connections that have ended keep the port for a while.
        net::sockopt::set_socket_reuseaddr(&socket, true).ok()?;
        net::bind(&socket, &behind(name, port)).ok()?;
        Some(Self {
            name: name.to_owned(),
            listener: socket.into(),
        })
    }

    fn start(&self) {
        net::listen(&self.listener, BACKLOG).expect("the port is ours");
        let listener = self.listener.try_clone().expect("descriptors enough");
        let name = self.name.clone();
        // Ends with the listening.
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                let _ = client.write_all(name.as_bytes());
            }
        });
    }

    /// Refuses whoever comes, but keeps the port.
    fn end(&self) {
        net::shutdown(&self.listener, Shutdown::Both).expect("it listens");
    }
}

//! The database: one storage that moves from host to host, as that of a Multi-AZ instance does, so that committed rows and replication
//! slots are there after a failover; and its name.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;

use testkit::knot::Knot;
use testkit::postgres;
use testkit::program::{succeed, wait_until};
use testkit::scratch::Scratch;

use crate::journal::Journal;
use crate::schedule::{Failover, Going};
use crate::stage::BlackHole;

pub const ZONE: &str = "eu-west-1.rds.amazonaws.com";
/// The endpoint of a Multi-AZ instance.
pub const NAME: &str = "orders.abc123.eu-west-1.rds.amazonaws.com";
/// Where its hosts are.
pub const ADDRESSES: [Ipv4Addr; 8] = [
    Ipv4Addr::new(10, 0, 1, 5),
    Ipv4Addr::new(10, 0, 2, 7),
    Ipv4Addr::new(10, 0, 3, 9),
    Ipv4Addr::new(10, 0, 1, 6),
    Ipv4Addr::new(10, 0, 2, 8),
    Ipv4Addr::new(10, 0, 3, 10),
    Ipv4Addr::new(10, 0, 1, 11),
    Ipv4Addr::new(10, 0, 2, 12),
];
const SETTINGS: &[&str] = &[
    "wal_level=logical",
    // As consumers ask for it; so it is not the server that ends a session whose client has gone.
    "wal_sender_timeout=0",
    "max_connections=60",
];

/// The name, and the server that says it.
pub struct Names {
    knot: Knot,
    /// Whether it takes updates now.
    is_well: bool,
    wanted: Ipv4Addr,
    told: Ipv4Addr,
    journal: Arc<Journal>,
}

impl Names {
    /// A server that names the first address.
    pub fn start(at: SocketAddr, journal: Arc<Journal>) -> Self {
        let first = ADDRESSES[0];
        Self {
            knot: Knot::start_at(at, ZONE, &[format!("{NAME}. 1 A {first}")]),
            is_well: true,
            wanted: first,
            told: first,
            journal,
        }
    }

    /// What it names, or will when it is well again.
    pub fn wanted(&self) -> Ipv4Addr {
        self.wanted
    }

    fn point_to(&mut self, ip: Ipv4Addr) {
        self.wanted = ip;
        self.tell();
    }

    fn tell(&mut self) {
        if self.is_well && self.told != self.wanted {
            let ip = self.wanted;
            self.knot
                .update(&[format!("delete {NAME}. A"), format!("add {NAME}. 1 A {ip}")]);
            self.told = ip;
            self.journal.note(format!("DNS names {ip}"));
        }
    }

    /// It stands still; whether it did not before.
    pub fn silence(&mut self) -> bool {
        if self.is_well {
            self.knot.signal("STOP");
        }
        std::mem::replace(&mut self.is_well, false)
    }

    pub fn go_on(&mut self) {
        self.knot.signal("CONT");
        self.is_well = true;
        self.tell();
    }

    /// It is killed; whether it was well before.
    pub fn kill(&mut self) -> bool {
        if self.is_well {
            self.knot.kill();
        }
        std::mem::replace(&mut self.is_well, false)
    }

    pub fn start_again(&mut self) {
        self.knot.start_again();
        self.is_well = true;
        self.tell();
    }
}

/// Names that a nemesis and a failover both have in hand.
pub type Shared = Arc<Mutex<Names>>;

pub fn locked(names: &Shared) -> MutexGuard<'_, Names> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Host {
    server: postgres::Server,
    at: usize,
    names: Shared,
    /// Hosts that are not heard any more.
    vanished: BTreeMap<Ipv4Addr, BlackHole>,
    /// Where the server is.
    truth: Arc<Mutex<Ipv4Addr>>,
}

impl Host {
    /// The database at the first address, with a table and a slot for each consumer.
    pub fn start(scratch: &Scratch, names: Shared, slots: &[&str]) -> Self {
        for ip in ADDRESSES {
            succeed(Command::new("ip").args(["address", "add", &format!("{ip}/32"), "dev", "lo"]));
        }
        let mut server = postgres::Server::new(scratch.folder(), "trust");
        let trusted = "host all,replication all 0.0.0.0/0 trust\n";
        fs::write(server.storage().join("pg_hba.conf"), trusted).expect("the storage is there");
        // No connection may take the port of the server that is about to start.
        let reserved = "/proc/sys/net/ipv4/ip_local_reserved_ports";
        let before = fs::read_to_string(reserved).expect("the kernel tells");
        fs::write(reserved, format!("{},{}", before.trim(), server.port())).expect("root may");
        server.start_on(ADDRESSES[0], SETTINGS);
        let host = Self {
            server,
            at: 0,
            names,
            vanished: BTreeMap::new(),
            truth: Arc::new(Mutex::new(ADDRESSES[0])),
        };
        host.query("CREATE TABLE rows (writer text, n bigint, PRIMARY KEY (writer, n))");
        for slot in slots {
            host.query(&format!(
                "SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')"
            ));
        }
        host
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Where the server is, as somebody knows who needs no DNS.
    pub fn truth(&self) -> Arc<Mutex<Ipv4Addr>> {
        Arc::clone(&self.truth)
    }

    /// What a query returns, asked of the server itself.
    pub fn query(&self, sql: &str) -> String {
        let mut psql = postgres::program("psql");
        psql.args(["-h", &ADDRESSES[self.at].to_string(), "-p", &self.port().to_string()]);
        psql.args([
            "-U",
            "postgres",
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ]);
        succeed(&mut psql).trim().to_owned()
    }

    /// The host goes, and another starts a server on the same storage.
    pub fn fail_over(&mut self, failover: &Failover, journal: &Journal) {
        let from = ADDRESSES[self.at];
        self.at = (self.at + failover.further) % ADDRESSES.len();
        let to = ADDRESSES[self.at];
        journal.note(format!(
            "failover: {from} {:?}, {to} next, named {}",
            failover.going,
            failover
                .named_after
                .map_or_else(|| "before".to_owned(), |after| format!("{after:?} after"))
        ));
        if failover.going == Going::Vanished {
            self.vanished.insert(from, BlackHole::open(from));
        }
        self.server.stop();
        self.vanished.remove(&to);
        if failover.named_after.is_none() {
            locked(&self.names).point_to(to);
        }
        self.server.start_on(to, SETTINGS);
        *self.truth.lock().unwrap_or_else(PoisonError::into_inner) = to;
        journal.note(format!("{to} takes sessions"));
        if let Some(after) = failover.named_after {
            sleep(after);
            locked(&self.names).point_to(to);
        }
    }

    /// All hosts are heard again.
    pub fn fill_holes(&mut self) {
        self.vanished.clear();
    }

    /// Ends the server, and waits until nothing of it is left.
    pub fn end(mut self) {
        self.server.stop();
        wait_until("the end of the server", || self.server.processes().is_empty());
    }
}

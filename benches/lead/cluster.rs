//! Two members that take turns as the writer, a third that is never one, DNS, and the proxies in front of them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::certificate::{Authority, NOW};
use testkit::dns::{self, Behaviour};
use testkit::postgres::{PASSWORD, Server};
use testkit::program::{Daemon, foreign, free_port, wait_until};
use testkit::scratch::Scratch;
use testkit::world::{WRITER, bare_command};

use crate::lane::Lane;

/// Where the members are, and their names.
pub const MEMBERS: [(Ipv4Addr, &str); 3] = [
    (
        Ipv4Addr::new(127, 0, 1, 2),
        "orders-1.abc123.eu-west-1.rds.amazonaws.com",
    ),
    (
        Ipv4Addr::new(127, 0, 1, 3),
        "orders-2.abc123.eu-west-1.rds.amazonaws.com",
    ),
    (
        Ipv4Addr::new(127, 0, 1, 4),
        "orders-3.abc123.eu-west-1.rds.amazonaws.com",
    ),
];
/// As RDS has it.
const TTL: u32 = 5;
/// A standby that has just lost its primary may look for another way on for `wal_retrieve_retry_interval` before it hears that it is promoted.
const SETTINGS: [&str; 3] = ["ssl=on", "max_connections=60", "wal_retrieve_retry_interval=50ms"];

/// How the former writer fails.
#[derive(Clone, Copy)]
pub enum Failing {
    /// It ends, and with it its sessions.
    Lost,
    /// It stands still, and its sessions with it.
    Frozen,
}

impl Failing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Frozen => "frozen",
        }
    }
}

pub struct Cluster {
    scratch: Scratch,
    dns: dns::Server,
    members: [Option<Server>; 3],
    writer: usize,
    folders: usize,
    port: u16,
    authority: PathBuf,
    password: PathBuf,
    proxies: Vec<Daemon>,
}

impl Cluster {
    /// The first is the writer.
    pub fn start() -> Self {
        let scratch = Scratch::new();
        let certifier = Authority::new();
        let (authority, password) = (scratch.path("authority.pem"), scratch.path("password"));
        fs::write(&authority, &certifier.pem).expect("the folder is there");
        fs::write(&password, PASSWORD).expect("the folder is there");
        let dns = dns::Server::start();
        let mut cluster = Self {
            port: 0,
            members: [None, None, None],
            writer: 0,
            folders: 0,
            dns,
            authority,
            password,
            proxies: Vec::new(),
            scratch,
        };
        let folder = cluster.folder();
        let mut first = Server::new(&folder, "trust");
        first.certify(&certifier.certify(&[WRITER], NOW));
        let rules = [
            "host all,replication postgres 127.0.0.0/8 trust",
            "hostssl all lead 127.0.0.0/8 scram-sha-256",
        ];
        fs::write(first.storage().join("pg_hba.conf"), rules.join("\n")).expect("the storage is there");
        first.start_on(MEMBERS[0].0, &SETTINGS);
        cluster.port = first.port();
        cluster.members[0] = Some(first);
        cluster.ask(0, &format!("CREATE ROLE lead LOGIN PASSWORD '{PASSWORD}'"));
        cluster.ask(0, "CREATE TABLE rows (at timestamptz)");
        for (ip, name) in MEMBERS {
            cluster.dns.set(name, Behaviour::a(&ip.to_string(), 1));
        }
        cluster.name(0);
        cluster.join(1, 0);
        cluster.join(2, 0);
        cluster
    }

    /// A proxy with lead, one without, and HAProxy, if that is installed; a client writes through each, and another one, that connects
    /// for each write, through the first.
    pub fn lanes(&mut self) -> Vec<Lane> {
        let mut lanes = Vec::new();
        let lead = format!(
            "ca_bundle = \"{}\"\nlead = {{ user = \"lead\", password_file = \"{}\", members = [\"{}\", \"{}\", \"{}\"] }}\n",
            self.authority.display(),
            self.password.display(),
            MEMBERS[0].1,
            MEMBERS[1].1,
            MEMBERS[2].1,
        );
        for (name, lead) in [("lead", lead.as_str()), ("DNS only", "")] {
            let text = format!(
                "[dns]\nnameservers = [\"{}\"]\n[[proxy]]\nlisten = \"127.0.0.1:0\"\nendpoint = \"{WRITER}:{}\"\n{lead}",
                self.dns.addr(),
                self.port,
            );
            let settings = self.scratch.write(&format!("{}.toml", name.replace(' ', "-")), &text);
            let proxy = Daemon::start(bare_command("").args(["run", "--config"]).arg(settings));
            let listen: SocketAddr = proxy.told_after("listening on ").parse().expect("an address");
            self.proxies.push(proxy);
            lanes.push(Lane::start(name, listen));
            if !lead.is_empty() {
                lanes.push(Lane::start_anew("lead, new", listen));
            }
        }
        match Command::new("haproxy").arg("-v").output() {
            Ok(_) => {
                let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
                let text = format!(
                    "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1h\n  timeout server 1h\nresolvers ours\n  \
                     nameserver one {}\n  hold valid 1s\n  hold obsolete 0s\nlisten database\n  bind {listen}\n  default-server check \
                     inter 1s fall 1 rise 1 on-marked-down shutdown-sessions\n  server writer {WRITER}:{} resolvers ours init-addr none\n",
                    self.dns.addr(),
                    self.port,
                );
                let settings = self.scratch.write("haproxy.cfg", &text);
                self.proxies
                    .push(Daemon::spawn(foreign("haproxy").arg("-db").arg("-f").arg(settings)));
                lanes.push(Lane::start("HAProxy", listen));
            }
            Err(_) => println!("HAProxy is not measured: it is not installed"),
        }
        lanes
    }

    /// The end of the log of the proxy with lead.
    pub fn log(&self) -> String {
        let log = self.proxies[0].log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(24)..].join("\n")
    }

    /// Who is the writer, and who will be next.
    pub fn next(&self) -> (usize, usize) {
        (self.writer, 1 - self.writer)
    }

    /// DNS names this member from now on.
    pub fn name(&self, member: usize) {
        self.dns.set(WRITER, Behaviour::cname(MEMBERS[member].1, TTL));
    }

    /// The writer fails, and the other is promoted; the moment at which it was told so. Who has ended is back as a reader soon.
    pub fn fail_over(&mut self, failing: Failing) -> Instant {
        let (from, to) = self.next();
        match failing {
            Failing::Lost => self.signal(from, Signal::KILL),
            Failing::Frozen => self.signal(from, Signal::STOP),
        }
        let promoted = Instant::now();
        self.ask(to, "SELECT pg_promote(true)");
        self.writer = to;
        if matches!(failing, Failing::Lost) {
            self.join(from, to);
        }
        promoted
    }

    /// The former writer, if it stands still, becomes a reader of the new one, and so does the third.
    pub fn rejoin(&mut self, failing: Failing) {
        if matches!(failing, Failing::Frozen) {
            self.join(1 - self.writer, self.writer);
        }
        self.join(2, self.writer);
    }

    fn join(&mut self, member: usize, primary: usize) {
        self.signal(member, Signal::KILL);
        if let Some(mut gone) = self.members[member].take() {
            wait_until("its end", || gone.processes().is_empty());
            gone.forget();
        }
        let folder = self.folder();
        let from = self.members[primary].as_ref().expect("a primary");
        let mut standby = Server::standby_of(from, MEMBERS[primary].0, &folder);
        standby.start_on(MEMBERS[member].0, &SETTINGS);
        self.members[member] = Some(standby);
    }

    fn signal(&self, member: usize, signal: Signal) {
        let processes = self.members[member].iter().flat_map(Server::processes);
        for process in processes.filter_map(Pid::from_raw) {
            let _ = kill_process(process, signal);
        }
    }

    fn ask(&self, member: usize, sql: &str) {
        let address = SocketAddr::from((MEMBERS[member].0, self.port));
        let end = Instant::now() + Duration::from_secs(30);
        while let Err(error) = crate::lane::ask(address, sql) {
            assert!(Instant::now() < end, "{sql}: {error}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn folder(&mut self) -> PathBuf {
        self.folders += 1;
        let folder = self.scratch.path(&format!("member-{}", self.folders));
        fs::create_dir(&folder).expect("the folder is there");
        folder
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in 0..3 {
            self.signal(member, Signal::KILL);
            if let Some(gone) = &mut self.members[member] {
                gone.forget();
            }
        }
    }
}

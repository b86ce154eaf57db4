//! Knot DNS, a name server that somebody else wrote, whose zone is changed by dynamic updates while it is asked.
//!
//! It is authoritative: it offers no recursion and caches nothing, so TTLs do not run down as a VPC resolver's do.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};

use crate::program::{Daemon, on_a_free_port, provided, said};
use crate::scratch::Scratch;

/// A name server with one zone, and its storage, which outlives the process that serves it.
#[derive(Debug)]
pub struct Knot {
    program: Option<Daemon>,
    address: SocketAddr,
    zone: String,
    folder: Scratch,
}

impl Knot {
    /// Serves the zone with these records besides its own, on a free port of loopback.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(zone: &str, records: &[String]) -> Self {
        let folder = stored(zone, records);
        let (program, port) = on_a_free_port(|port| {
            // It is free for TCP.
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            Some((serve(&folder, zone, (Ipv4Addr::LOCALHOST, port).into())?, port))
        });
        Self {
            program: Some(program),
            address: (Ipv4Addr::LOCALHOST, port).into(),
            zone: zone.to_owned(),
            folder,
        }
    }

    /// The same at an address that nobody else takes: the test has a network of its own.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_at(address: SocketAddr, zone: &str, records: &[String]) -> Self {
        let mut knot = Self {
            program: None,
            address,
            zone: zone.to_owned(),
            folder: stored(zone, records),
        };
        knot.start_again();
        knot
    }

    /// Where it is asked.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Changes the zone as one update, such as `delete NAME A` or `add NAME 1 A 10.0.0.1`; returns when it is in force.
    ///
    /// # Panics
    /// If the server does not take it.
    #[track_caller]
    pub fn update(&self, changes: &[String]) {
        let mut command = Command::new(provided("RDS_TETHER_TEST_KNSUPDATE"));
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.env_clear().spawn().expect("knsupdate starts");
        let changes: String = changes.iter().map(|change| format!("update {change}\n")).collect();
        let (ip, port, zone) = (self.address.ip(), self.address.port(), &self.zone);
        let script = format!("server {ip} {port}\nzone {zone}.\n{changes}send\nanswer\n");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(script.as_bytes()).expect("knsupdate reads");
        drop(input);
        let output = child.wait_with_output().expect("knsupdate ends");
        let done = output.status.success() && said(&output).contains("NOERROR");
        assert!(done, "{script}\n{}", said(&output));
    }

    /// Sends a signal to the server, by its name without SIG.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, name: &str) {
        self.program.as_ref().expect("a running server").signal(name);
    }

    /// Kills the server; what it has taken for the zone stays.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// Starts the server anew after [`Knot::kill`], with the zone as it was.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        let started = serve(&self.folder, &self.zone, self.address);
        self.program = Some(started.unwrap_or_else(|| panic!("{} is taken", self.address)));
    }
}

/// A folder with the zone.
fn stored(zone: &str, records: &[String]) -> Scratch {
    let folder = Scratch::new();
    let own = ["@ 1 SOA ns admin 1 3600 600 86400 1", "@ 1 NS ns", "ns 1 A 127.0.0.1"].map(str::to_owned);
    let lines: Vec<String> = own.iter().chain(records).cloned().collect();
    folder.write("zone", &format!("$ORIGIN {zone}.\n{}\n", lines.join("\n")));
    folder
}

/// None if the port is taken.
fn serve(folder: &Scratch, zone: &str, address: SocketAddr) -> Option<Daemon> {
    let config = folder.write("knot.conf", &config(folder, zone, address));
    let mut command = Command::new(provided("RDS_TETHER_TEST_KNOTD"));
    let command = command.env_clear().arg("--config").arg(config);
    let ready = ["server started", "cannot bind"];
    let (program, line) = Daemon::serve(command, &ready).unwrap_or_else(|said| panic!("knotd ended:\n{said}"));
    line.contains("server started").then_some(program)
}

fn config(folder: &Scratch, zone: &str, address: SocketAddr) -> String {
    let folder = folder.folder().display();
    let (ip, port) = (address.ip(), address.port());
    format!(
        "server:
  rundir: \"{folder}\"
  listen: {ip}@{port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
  - target: stderr
    any: info
database:
  storage: \"{folder}\"
acl:
  - id: tests
    address: 127.0.0.1
    action: update
zone:
  - domain: {zone}
    storage: \"{folder}\"
    file: zone
    acl: tests
    zonefile-sync: -1
"
    )
}

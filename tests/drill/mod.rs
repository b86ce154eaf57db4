//! A failover that is played on loopback, and what the built binary measured of it: name servers that differ, a target group, two
//! databases and a load balancer before them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod bad_input;
mod chosen;
mod limits;
mod measured;
mod redacted;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use testkit::dns::{self, Behaviour};
use testkit::elb::{self, Group};
use testkit::program::free_port;
use testkit::world::{Daemon, Scratch, WRITER, bare_command, wait_until};

use crate::proxy::standin::{Mood, Postgres};

const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const NEW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
/// What it says when all has been looked at once.
const READY: &str = "trigger the failover now";

/// The writer endpoint names the old address, which is registered and where a database is.
struct Stage {
    dns: [dns::Server; 2],
    elb: elb::Server,
    arn: String,
    port: u16,
    old: Option<Postgres>,
    new: Option<Postgres>,
    balancer: Postgres,
    scratch: Scratch,
}

/// A drill that goes on.
struct Drill {
    daemon: Daemon,
    output: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let port = free_port();
        let dns = [(); 2].map(|()| dns::Server::start());
        for server in &dns {
            server.set(WRITER, Behaviour::a(&OLD.to_string(), 1));
        }
        let elb = elb::Server::start();
        let arn = elb.add_group(Group::named("orders").port(port));
        elb.put_target(&arn, &OLD.to_string(), port);
        let database = |ip| Postgres::start(SocketAddr::from((ip, port)), Mood::Ready);
        Self {
            dns,
            elb,
            arn,
            port,
            old: Some(database(OLD)),
            new: None,
            balancer: database(BALANCER),
            scratch: Scratch::new(),
        }
    }

    fn endpoint(&self) -> String {
        format!("{WRITER}:{}", self.port)
    }

    /// The verb with both name servers, and nothing to follow yet.
    fn bare(&self) -> Command {
        let mut command = bare_command(&self.elb.url());
        command.arg("drill");
        for server in &self.dns {
            command.args(["--nameserver", &server.addr().to_string()]);
        }
        command
    }

    /// The same for the endpoint and its target group.
    fn command(&self) -> Command {
        let mut command = self.bare();
        command.args([
            "--steady",
            "1s",
            "--endpoint",
            &self.endpoint(),
            "--target-group",
            &self.arn,
        ]);
        command
    }

    /// The same, through the load balancer, too.
    fn through(&self) -> Command {
        let mut command = self.command();
        command.args(["--through", &format!("{BALANCER}:{}", self.port)]);
        command
    }

    /// Starts it.
    fn begin(&self, command: &mut Command) -> Drill {
        let output = self.scratch.path("output");
        let daemon = Daemon::spawn_into(command, File::create(&output).unwrap());
        Drill { daemon, output }
    }

    /// The same, and waits until it watches all.
    #[track_caller]
    fn start(&self, command: &mut Command) -> Drill {
        let drill = self.begin(command);
        drill.daemon.wait_for_log(&[READY]);
        drill
    }

    fn address(&self, ip: Ipv4Addr) -> String {
        format!("{ip}:{}", self.port)
    }

    /// The old database is gone, and nobody is there for the load balancer.
    fn lose(&mut self, drill: &Drill) {
        self.balancer.set(Mood::StartingUp);
        self.old = None;
        drill.waits_for(&[&self.address(OLD), "lost"], 1);
        drill.waits_for(&["through", "lost"], 1);
    }

    /// The new database takes sessions.
    fn promote(&mut self) {
        self.new = Some(Postgres::start(SocketAddr::from((NEW, self.port)), Mood::Ready));
    }

    /// A name server names an address from now on; it has done so as often before.
    fn name(&self, drill: &Drill, server: usize, ip: Ipv4Addr, before: usize) {
        let server = &self.dns[server];
        server.set(WRITER, Behaviour::a(&ip.to_string(), 1));
        let line = format!("DNS {} names {ip}", server.addr());
        drill.waits_for(&[&line], before + 1);
    }

    /// The new address is registered, and later healthy.
    fn register(&self, drill: &Drill) {
        let (new, target) = (NEW.to_string(), format!("target {}", self.address(NEW)));
        self.elb.put_target(&self.arn, &new, self.port);
        self.elb.set_health(&self.arn, &new, self.port, "initial", None);
        drill.waits_for(&[&target, "is initial"], 1);
        self.elb.clear_health(&self.arn, &new, self.port);
        drill.waits_for(&[&target, "is healthy"], 1);
    }

    /// All of a failover, in the order in which it usually comes.
    fn fail_over(&mut self, drill: &Drill) {
        self.lose(drill);
        self.promote();
        self.name(drill, 0, NEW, 0);
        self.register(drill);
        self.name(drill, 1, NEW, 0);
        self.balancer.set(Mood::Ready);
    }
}

impl Drill {
    /// Waits for so many lines that have these parts.
    #[track_caller]
    fn waits_for(&self, parts: &[&str], lines: usize) {
        wait_until(&format!("{parts:?} in:\n{}", self.daemon.log()), || {
            let log = self.daemon.log();
            let told = log.lines().filter(|line| parts.iter().all(|part| line.contains(part)));
            told.count() >= lines
        });
    }

    /// What it printed in the end, with its exit code.
    #[track_caller]
    fn ends(self, code: i32) -> String {
        let (status, log) = self.daemon.ended();
        let said = fs::read_to_string(&self.output).unwrap();
        assert_eq!(status.code(), Some(code), "{log}\n{said}");
        said
    }

    /// The same as JSON.
    #[track_caller]
    fn ends_with(self, code: i32) -> Value {
        let said = self.ends(code);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

/// A mark of a report.
#[track_caller]
fn mark<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut marks = report["marks"].as_array().unwrap().iter();
    marks
        .find(|mark| mark["mark"] == name)
        .unwrap_or_else(|| panic!("no {name}: {report}"))
}

/// How long after the loss of the connection a mark was seen.
#[track_caller]
fn lag(report: &Value, name: &str) -> i64 {
    let mark = mark(report, name);
    assert_eq!(mark["state"], "seen", "{mark}");
    mark["lag_ms"].as_i64().unwrap()
}

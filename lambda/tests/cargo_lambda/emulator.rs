//! The function below cargo-lambda's emulator of Lambda, with the commands of the README: a Runtime API that somebody else
//! wrote.
//!
//! The emulator is not believed on deadlines: it hands over one that passed in 1970. Nor does it freeze, or retry, anything.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use testkit::function::{NEW, OLD, WRITER, World, texts};
use testkit::program::{comes_true, listens, on_a_free_port};

use super::program::{self, Tree};

const WATCH: &str = "cargo lambda watch --ignore-changes --package rds-tether-lambda";
const PLAN: &str = "cargo lambda invoke bootstrap --data-ascii '{\"command\":\"plan\"}'";
const EVENT: &str = "cargo lambda invoke bootstrap --data-file tests/events/bridge-cluster-started.json";

/// How long the emulator may take to listen on a busy machine, where it first waits for other runs of cargo.
const START_MAX: Duration = Duration::from_secs(10 * 60);
/// How long an answer may take before another is asked for.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long an invocation may take, the first of which builds the function.
const INVOKE_MAX: Duration = Duration::from_secs(10 * 60);

/// Whether somebody speaks HTTP there. The emulator first tries whether the port is free: it listens for a moment, stops, and
/// listens again, so that a listening socket is no sign yet. Only POST invokes a function.
fn answers(port: u16) -> bool {
    let path = "/2015-03-31/functions/bootstrap/invocations";
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )?;
        let mut start = [0; 9];
        stream.read_exact(&mut start)?;
        Ok(String::from_utf8_lossy(&start).into_owned())
    };
    ask().is_ok_and(|start| start == "HTTP/1.1 ")
}

/// A running emulator; ended when dropped, with the function.
struct Emulator<'a> {
    _tree: Tree,
    port: String,
    world: &'a World,
}

impl<'a> Emulator<'a> {
    /// Starts it for the function, bound to the writer endpoint.
    fn start(world: &'a World) -> Self {
        on_a_free_port(|port| Self::start_at(world, port))
    }

    /// None if it ended at once, which is what it does if the port is taken.
    fn start_at(world: &'a World, port: u16) -> Option<Self> {
        let folder = world.package.folder();
        let address = [
            format!("--invoke-address={}", Ipv4Addr::LOCALHOST),
            format!("--invoke-port={port}"),
        ];
        let mut command = program::command(program::documented(WATCH), folder);
        let command = command
            .args(address)
            .env("AWS_ENDPOINT_URL", world.elb.url())
            .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("RDS_TETHER_NAMESERVER", world.dns.addr().to_string())
            .env("RDS_TETHER_ENDPOINT", format!("{WRITER}:5432"))
            .env("RDS_TETHER_TARGET_GROUP", &world.arn)
            .env("RDS_TETHER_FORGET", "1s");
        let mut tree = Tree(command.spawn().unwrap());
        let mut has_ended = false;
        let came = comes_true(START_MAX, || {
            has_ended = tree.wait(Duration::ZERO).is_some();
            has_ended || (listens(tree.0.id(), port) && answers(port))
        });
        assert!(
            came,
            "it does not listen within {START_MAX:?}:\n{}",
            program::said(folder)
        );
        if has_ended {
            return None;
        }
        Some(Self {
            _tree: tree,
            port: port.to_string(),
            world,
        })
    }

    /// Invokes the function with a command of the README, and returns the report that it answers with.
    #[track_caller]
    fn invoke(&self, line: &str) -> Value {
        let folder = self.world.package.path("invoke");
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = program::command(program::documented(line), &folder);
        let address = format!("--invoke-address={}", Ipv4Addr::LOCALHOST);
        command.args([address, format!("--invoke-port={}", self.port)]);
        let response = program::finish(&mut command, &folder, INVOKE_MAX);
        let response =
            response.and_then(|text| serde_json::from_str(&text).map_err(|error| format!("{error}: {text}")));
        response.unwrap_or_else(|said| panic!("{said}\n{}", program::said(self.world.package.folder())))
    }
}

/// Fails if an event does not get through the emulator, or its report not back.
#[test]
#[ignore = "needs cargo-lambda: tests/run provides it"]
fn an_event_is_followed_and_reported() {
    let world = World::failed_over();
    let emulator = Emulator::start(&world);
    let report = emulator.invoke(EVENT);
    assert_eq!(report["schema"], "rds-tether/1", "{report}");
    assert_eq!((&report["verb"], &report["settled"]), (&"lambda".into(), &true.into()));
    assert_eq!(texts(&report["target_groups"], "name"), ["orders"]);
    assert_eq!(world.addresses(), [NEW]);
    assert_eq!(
        world.changes(),
        [format!("Register {NEW}:5432"), format!("Deregister {OLD}:5432")]
    );
}

/// Fails if a plan does not say what would be changed, or changes it.
#[test]
#[ignore = "needs cargo-lambda: tests/run provides it"]
fn a_plan_is_answered_and_changes_nothing() {
    let world = World::failed_over();
    let emulator = Emulator::start(&world);
    let report = emulator.invoke(PLAN);
    assert_eq!((&report["verb"], &report["settled"]), (&"lambda".into(), &false.into()));
    assert_eq!(
        texts(&report["target_groups"][0]["register"], ""),
        [format!("{NEW}:5432")]
    );
    assert_eq!(world.elb.writes().len(), 0, "{}", world.story());
}

/// Fails if a failing test leaves processes behind, which have groups of their own.
#[test]
#[ignore = "needs cargo-lambda: tests/run provides it"]
fn nothing_outlives_its_emulator() {
    let world = World::failed_over();
    let emulator = Emulator::start(&world);
    emulator.invoke(PLAN);
    let bound = [format!("RDS_TETHER_NAMESERVER={}", world.dns.addr())];
    let running = || program::processes_with(&bound[0]);
    assert!(running() >= 2, "the emulator and the function");
    drop(emulator);
    let is_over = comes_true(START_MAX, || running() == 0);
    assert!(is_over, "{} still run", running());
}

//! A new address has to show that the database is there before it becomes a target.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use testkit::certificate::{Authority, Certified, NOW, Years};
use testkit::dns::Behaviour;
use testkit::program::succeed;
use testkit::world::{Daemon, NEW, OLD, PATIENCE, READER, WRITER, World, assert_exit, assert_says, is, looks};

use super::server::Server;
use super::stage::{self, BlackHole, Stage};

/// Where something accepts connections and never says a word, where nothing listens, and where packets vanish.
const MUTE: &str = "10.0.2.8";
const CLOSED: &str = "10.0.2.9";
const HOLE: &str = "10.0.2.10";

const PAST: Years = (2020, 2021);
const FUTURE: Years = (2089, 2090);

/// A PostgreSQL server with TLS at the new address, another one that is mute, and a group with the old address in it.
struct Scene {
    world: World,
    server: Server,
    bundle: PathBuf,
    authority: Authority,
    _mute: TcpListener,
    _hole: BlackHole,
}

impl Scene {
    fn new(stage: &Stage) -> Self {
        for ip in [OLD, NEW, MUTE, CLOSED, HOLE] {
            succeed(Command::new("ip").args(["address", "add", &format!("{ip}/32"), "dev", "lo"]));
        }
        let hole = BlackHole::open(HOLE.parse().expect("an address"));
        let authority = Authority::new();
        let bundle = stage.path("authority.pem");
        fs::write(&bundle, &authority.pem).expect("the folder is there");
        let mut server = Server::new(stage);
        server.set("ssl=on");
        let world = World::new();
        world.elb.put_target(&world.arn, OLD, server.port());
        let scene = Self {
            _mute: TcpListener::bind((MUTE, server.port())).expect("an address of this host"),
            _hole: hole,
            world,
            server,
            bundle,
            authority,
        };
        scene.certify(Some(&scene.authority), WRITER, NOW);
        scene.name(NEW);
        scene
    }

    /// The server's next certificate, signed by an authority or by itself.
    fn certify(&self, authority: Option<&Authority>, name: &str, years: Years) {
        self.server.certify(&match authority {
            Some(authority) => authority.certify(&[name], years),
            None => Certified::by_itself(&[name], years),
        });
    }

    fn name(&self, ip: &str) {
        self.world.dns.set(WRITER, Behaviour::a(ip, 1));
    }

    fn command(&self, verb: &str, probe: &str) -> Command {
        let mut command = self.world.command(verb);
        let endpoint = format!("{WRITER}:{}", self.server.port());
        command.args(["--endpoint", &endpoint, "--target-group", &self.world.arn]);
        command.args(["--probe", probe]);
        if probe == "tls" {
            command.arg("--ca-bundle").arg(&self.bundle);
        }
        command
    }

    /// What `plan` says of an address that it holds, or not.
    #[track_caller]
    fn holds(&self, probe: &str, ip: &str, why: &str) {
        self.name(ip);
        let said = assert_exit(&mut self.command("plan", probe), 3);
        let port = self.server.port();
        assert_says(
            &said,
            &[&format!(
                "{ip}:{port} is named but not registered: its probe fails: {why}"
            )],
        );
        assert!(!said.contains("register    "), "{said}");
        assert!(self.world.writes().is_empty(), "{}", self.world.story());
    }

    #[track_caller]
    fn registers(&self, probe: &str, ip: &str) {
        self.name(ip);
        let said = assert_exit(&mut self.command("plan", probe), 2);
        assert_says(&said, &[&format!("register    {ip}:{}", self.server.port())]);
    }
}

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn only_the_endpoints_own_database_becomes_a_target() {
    stage::play(|stage| {
        let mut scene = Scene::new(stage);
        let stranger = Authority::new();
        scene.server.start_on(NEW);
        scene.registers("tls", NEW);
        scene.registers("tcp", NEW);
        scene.holds("tls", CLOSED, "connection refused");
        scene.holds("tcp", CLOSED, "connection refused");
        scene.holds("tls", MUTE, "no answer in time to PostgreSQL's SSLRequest");
        scene.holds("tcp", HOLE, "no answer in time to the connection");
        // A connection is all that was asked for.
        scene.registers("tcp", MUTE);
        for (authority, name, years, why) in [
            (
                Some(&scene.authority),
                "other.example",
                NOW,
                "the certificate is for other.example",
            ),
            (
                Some(&stranger),
                WRITER,
                NOW,
                "no CA of the bundle has signed the certificate",
            ),
            (None, WRITER, NOW, "no CA of the bundle has signed the certificate"),
            (Some(&scene.authority), WRITER, PAST, "the certificate has expired"),
            (
                Some(&scene.authority),
                WRITER,
                FUTURE,
                "the certificate is not valid yet",
            ),
        ] {
            scene.certify(authority, name, years);
            scene.server.restart_on(NEW);
            scene.holds("tls", NEW, why);
        }
        scene.server.set("ssl=off");
        scene.server.restart_on(NEW);
        scene.holds("tls", NEW, "PostgreSQL answers, but speaks no TLS");
    });
}

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn an_address_is_registered_as_soon_as_the_database_is_there() {
    stage::play(|stage| {
        let mut scene = Scene::new(stage);
        scene.certify(Some(&scene.authority), "other.example", NOW);
        scene.server.start_on(NEW);
        let mut command = scene.command("run", "tls");
        command.args(["--probe-patience", "forever"]);
        let daemon = Daemon::start(&mut command);
        let port = scene.server.port();
        let held = format!("{NEW}:{port} is named but not registered: its probe fails");
        daemon.wait_for_log(&["WARN", &held, "other.example"]);

        // Nobody but the probe notices that the server has another certificate now.
        scene.server.kill();
        scene.certify(Some(&scene.authority), WRITER, NOW);
        scene.server.start_on(NEW);
        scene.world.wait("the registration", |calls| {
            calls.iter().any(|call| is(call, "RegisterTargets", NEW))
        });
        daemon.wait_for_log(&[&format!("{NEW}:{port} is healthy after")]);
        let (status, log) = daemon.stop();
        assert!(status.success(), "{status}:\n{log}");
        let targets = [OLD, NEW].map(|ip| format!("{ip}:{port}"));
        assert_eq!(scene.world.registered(), targets, "{}", scene.world.story());
    });
}

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn patience_ends_and_says_so() {
    stage::play(|stage| {
        let scene = Scene::new(stage);
        let port = scene.server.port();
        let mut command = scene.command("run", "tcp");
        command.args(["--probe-patience", "3s"]);
        let daemon = Daemon::start(&mut command);
        daemon.wait_for_log(&["WARN", "its probe fails: connection refused"]);
        let note = format!("{NEW}:{port} is to be registered although its probe fails");
        daemon.wait_for_log(&["WARN", &note]);
        scene.world.wait("the registration", |calls| {
            calls.iter().any(|call| is(call, "RegisterTargets", NEW))
        });
        let (status, log) = daemon.stop();
        assert!(status.success(), "{status}:\n{log}");
    });
}

/// A reader endpoint names its members by chance, one in each answer.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn a_member_that_does_not_answer_is_held_in_sight_while_answers_name_others() {
    stage::play(|stage| {
        let mut scene = Scene::new(stage);
        let port = scene.server.port();
        scene.world.dns.set(READER, Behaviour::random(&[OLD, NEW], 0, 7));
        let mut command = scene.world.command("run");
        command.args([
            "--endpoint",
            &format!("{READER}:{port}"),
            "--target-group",
            &scene.world.arn,
        ]);
        command.args(["--probe", "tcp", "--probe-patience", "forever", "-v"]);
        let daemon = Daemon::start(&mut command);
        let held = format!("{NEW}:{port} is named but not registered: its probe fails: connection refused");
        daemon.wait_for_log(&["WARN", &held]);
        // Both members have been named again and again by then.
        let asked = scene.world.dns.queries().len();
        stage::wait_until("eight more looks", PATIENCE, || {
            scene.world.dns.queries().len() >= asked + 8
        });
        let log = daemon.log();
        assert_eq!(log.matches(&held).count(), 1, "it is told once:\n{log}");
        assert!(!log.contains("recovered"), "nothing has recovered:\n{log}");
        let listed = looks(&scene.world.elb.calls());
        assert!(
            listed <= 4,
            "{listed} looks at a group in which nothing changes:\n{log}"
        );

        scene.server.start_on(NEW);
        scene.world.wait("the registration", |calls| {
            calls.iter().any(|call| is(call, "RegisterTargets", NEW))
        });
        let (status, log) = daemon.stop();
        assert!(status.success(), "{status}:\n{log}");
    });
}

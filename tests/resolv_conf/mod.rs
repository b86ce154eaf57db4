//! The name servers of /etc/resolv.conf: what glibc itself makes of each form, and whom the built binary asks. Each test has a
//! network and an /etc of its own (see `stage`), which is why they want root.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod forms;

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::Command;

use rds_tether::dns::resolv_conf::THIS_HOST;
use testkit::dns::{Behaviour, Server};
use testkit::elb::{self, Group};
use testkit::program::{assert_exit, assert_says, succeed};
use testkit::world::{Daemon, OLD, PATIENCE, WRITER, bare_command, bind, is};

use super::stage::{self, Stage};
use forms::FORMS;

const FILE: &str = "/etc/resolv.conf";

/// From now on, /etc is a copy of it, and has no such file.
fn own_etc(stage: &Stage) {
    let etc = stage.path("etc");
    succeed(Command::new("cp").args(["-a", "/etc"]).arg(&etc));
    let _ = fs::remove_file(etc.join("resolv.conf"));
    succeed(Command::new("mount").arg("--bind").arg(etc).arg("/etc"));
    assert!(Path::new("/etc").exists() && !Path::new(FILE).exists());
}

/// A name server on port 53 that knows the writer.
fn serve_on(ip: &str) -> Server {
    let server = Server::start_at((ip.parse::<IpAddr>().unwrap(), 53).into()).unwrap();
    server.set(WRITER, Behaviour::a(OLD, 1));
    server
}

/// The simulated API with an empty target group.
struct World {
    elb: elb::Server,
    arn: String,
}

impl World {
    fn new() -> Self {
        let elb = elb::Server::start();
        let arn = elb.add_group(Group::named("orders"));
        Self { elb, arn }
    }

    fn bound(&self, verb: &str) -> Command {
        let mut command = bare_command(&self.elb.url());
        bind(command.arg(verb), &format!("{WRITER}:5432"), &self.arn);
        command
    }
}

/// A program that prints whom glibc asks.
fn compiled(stage: &Stage) -> Command {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resolv_conf/asked.c");
    let program = stage.path("asked");
    succeed(Command::new("cc").arg(source).arg("-o").arg(&program));
    Command::new(program)
}

/// Whom it prints, each once.
fn asked_by(program: &mut Command) -> Vec<IpAddr> {
    let mut asked = Vec::new();
    for line in succeed(program).lines() {
        // Where a datagram to nobody in particular arrives, is for the kernel to say: see the next test.
        let ip = match line {
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            ip => ip,
        };
        let ip = ip.parse().unwrap();
        if !asked.contains(&ip) {
            asked.push(ip);
        }
    }
    asked
}

#[test]
#[ignore = "needs root, cc and glibc: tests/run provides them"]
fn glibc_asks_the_same_for_every_form() {
    stage::play(|stage| {
        let mut program = compiled(stage);
        own_etc(stage);
        assert_eq!(asked_by(&mut program), [THIS_HOST.ip()], "a missing file");
        for (text, expected) in FORMS {
            fs::write(FILE, text).unwrap();
            let expected: Vec<IpAddr> = expected.iter().map(|ip| ip.parse().unwrap()).collect();
            assert_eq!(
                asked_by(&mut program),
                expected,
                "{:?}",
                text.escape_ascii().to_string()
            );
        }
    });
}

/// Fails if `plan` ends with 69 because of a line that glibc reads or passes over, or waits for an answer that comes from another
/// address.
#[test]
#[ignore = "needs root: tests/run provides it"]
fn plan_and_sync_ask_whom_the_file_names() {
    stage::play(|stage| {
        own_etc(stage);
        let world = World::new();
        let server = serve_on("127.0.0.1");
        assert_exit(&mut world.bound("plan"), 2);
        let assert_asked = |server: &Server, text: &[u8]| {
            let before = server.count(WRITER);
            fs::write(FILE, text).unwrap();
            assert_says(&assert_exit(&mut world.bound("plan"), 2), &[OLD]);
            assert!(server.count(WRITER) > before, "{:?}", text.escape_ascii().to_string());
        };
        assert_asked(&server, b"");
        assert_asked(&server, b"nameserver 127.1\n");
        assert_asked(&server, b"nameserver 0.0.0.0\n");
        assert_asked(&server, b"search .corp.example\nnameserver 127.0.0.1\n");
        assert_asked(&server, b"# \xfcber allem\nnameserver\nnameserver 127.0.0.1\n");
        // A machine without IPv6 has no such addresses.
        if UdpSocket::bind("[::1]:0").is_ok() {
            assert_asked(&server, b"nameserver ::ffff:127.0.0.1\n");
            assert_asked(&serve_on("::1"), b"nameserver ::\n");
        }

        fs::write(FILE, "search .corp.example\nnameserver 127.0.0.1\n").unwrap();
        assert_exit(&mut world.bound("sync"), 0);
        assert_eq!(world.elb.targets(&world.arn)[0].ip, OLD);
    });
}

/// Fails if a daemon that is started before the host has a name server ends, or never asks the one that it gets.
#[test]
#[ignore = "needs root: tests/run provides it"]
fn run_asks_a_name_server_that_the_file_gets_late() {
    stage::play(|stage| {
        own_etc(stage);
        let world = World::new();
        let _server = serve_on("127.0.0.2");
        let daemon = Daemon::start(&mut world.bound("run"));
        daemon.wait_for_log(&[&THIS_HOST.to_string()]);
        fs::write(FILE, "# not yet\n").unwrap();
        fs::write(FILE, "nameserver 127.0.0.2\n").unwrap();
        daemon.wait_for_log(&["/etc/resolv.conf names 127.0.0.2:53 now"]);
        let done = world.elb.wait_for(PATIENCE, |calls| {
            calls
                .iter()
                .any(|call| is(call, "Register", OLD) && call.outcome.is_ok())
        });
        assert!(done, "{}", daemon.log());
    });
}

#[test]
#[ignore = "needs root: tests/run provides it"]
fn a_file_that_cannot_be_read_is_told() {
    stage::play(|stage| {
        own_etc(stage);
        fs::create_dir(FILE).unwrap();
        let said = assert_exit(&mut World::new().bound("run"), 69);
        assert_says(
            &said,
            &[
                "cannot read the name servers from /etc/resolv.conf",
                "--nameserver ADDR",
            ],
        );
    });
}

//! The proxy asks a server whether it takes sessions, and a server that does has nothing to say about that in its log.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use testkit::certificate::{Authority, NOW as TODAY};
use testkit::dns::{self, Behaviour};
use testkit::http::ask;
use testkit::postgres::PASSWORD;
use testkit::world::{Daemon, WRITER, bare_command};

use super::client::Via;
use super::server::Server;
use super::site::OLD;
use super::stage::{self, Stage};

const SOON: Duration = Duration::from_secs(20);

/// A proxy whose health is asked for, with further arguments.
struct Scene {
    proxy: Daemon,
    listen: SocketAddr,
    pages: SocketAddr,
    _dns: dns::Server,
}

impl Scene {
    fn new(server: &Server, arguments: &[&str]) -> Self {
        let dns = dns::Server::start();
        dns.set(WRITER, Behaviour::a(OLD, 1));
        let mut command: Command = bare_command("");
        command.args(["proxy", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--endpoint", &format!("{WRITER}:{}", server.port())]);
        command.args(["--nameserver", &dns.addr().to_string()]).args(arguments);
        let proxy = Daemon::start(&mut command);
        let address = |text: String| {
            let end = text.find(['/', ' ']).unwrap_or(text.len());
            text[..end].parse().unwrap_or_else(|error| panic!("{error}: {text}"))
        };
        Self {
            listen: address(proxy.told_after("listening on ")),
            pages: address(proxy.told_after("serving http://")),
            proxy,
            _dns: dns,
        }
    }

    fn is_ready(&self) -> bool {
        ask(self.pages, "GET", "/readyz").status == 200
    }
}

/// A server that logs each connection, with rules of its own.
fn server(stage: &Stage, has_tls: bool, rule: &str) -> Server {
    let mut server = Server::new(stage);
    server.set("log_connections=on");
    if has_tls {
        server.certify(&Authority::new().certify(&[WRITER], TODAY));
        server.set("ssl=on");
    }
    fs::write(server.storage().join("pg_hba.conf"), format!("{rule}\n")).expect("the storage is there");
    server.start_on(OLD);
    server
}

/// Lines that tell of anything but a connection that came, and how many came.
fn lines(server: &Server) -> (Vec<String>, usize) {
    let log = server.log();
    let after = log
        .split_once("ready to accept connections")
        .map_or("", |(_, after)| after);
    let (came, others): (Vec<&str>, Vec<&str>) = after
        .lines()
        .filter(|line| !line.trim().is_empty())
        .partition(|line| line.contains("connection received"));
    (others.into_iter().map(str::to_owned).collect(), came.len())
}

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn a_probe_leaves_no_line_in_the_log() {
    stage::play(|stage| {
        for (has_tls, rule) in [
            (false, "host all all 127.0.0.0/8 trust"),
            (false, "host all all 127.0.0.0/8 scram-sha-256"),
            (true, "host all all 127.0.0.0/8 trust"),
            // As on RDS with rds.force_ssl.
            (true, "hostssl all all 127.0.0.0/8 scram-sha-256"),
        ] {
            let server = server(stage, has_tls, rule);
            let scene = Scene::new(&server, &["--probe-interval", "1s"]);
            stage::wait_until("three probes", SOON, || lines(&server).1 >= 3);
            assert!(scene.is_ready());
            assert_eq!(lines(&server).0, [""; 0], "{has_tls} {rule}");
            drop(scene);
            drop(server);
            fs::remove_dir_all(stage.folder().join("storage")).expect("the storage is there");
        }
    });
}

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn the_question_whether_it_takes_sessions_leaves_none_where_passwords_are_asked_for() {
    stage::play(|stage| {
        for (has_tls, rule) in [
            (false, "host all all 127.0.0.0/8 scram-sha-256"),
            (true, "hostssl all all 127.0.0.0/8 scram-sha-256"),
        ] {
            let server = server(stage, has_tls, rule);
            let scene = Scene::new(&server, &["--probe-interval", "never"]);
            let via = Via::at(scene.listen).with("PGPASSWORD", PASSWORD);
            assert_eq!(via.query("SELECT 1").trim(), "1");
            let (others, came) = lines(&server);
            // Ours, and the client's.
            assert_eq!(came, 2, "{rule}: {}", server.log());
            let are_the_clients = others
                .iter()
                .all(|line| line.contains("authenticated") || line.contains("authorized"));
            assert!(are_the_clients, "{rule}: {others:?}");
            drop(scene);
            drop(server);
            fs::remove_dir_all(stage.folder().join("storage")).expect("the storage is there");
        }
    });
}

/// PostgreSQL's own "starting up", waited for by a client that nobody wrote for this.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn a_client_waits_while_the_server_starts_up() {
    stage::play(|stage| {
        let mut server = server(stage, true, "hostssl all all 127.0.0.0/8 scram-sha-256");
        server.kill();
        let scene = Scene::new(&server, &[]);
        let via = Via::at(scene.listen).with("PGPASSWORD", PASSWORD);
        let mut client = via
            .psql("SELECT 41 + 1")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("psql");
        scene
            .proxy
            .wait_for_log(&["does not accept connections (connection refused"]);
        server.start_up_on(OLD);
        stage::wait_until("it is asked", SOON, || server.log().matches("FATAL").count() >= 2);
        assert!(!scene.is_ready());
        assert!(client.try_wait().expect("ours").is_none(), "it did not wait");
        server.promote();
        let output = client.wait_with_output().expect("ours");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "42");
        stage::wait_until("it is ready", SOON, || scene.is_ready());
    });
}

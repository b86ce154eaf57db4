//! What doctor says of the database's own port, for proxies (which may lead to loopback), and the probe by itself.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rds_tether::probe::{Depth, Stage, Trouble, Trust, probe};
use testkit::certificate::{Authority, Certified, NOW};
use testkit::dns::{Behaviour, Server};
use testkit::settings::proxy;

use super::fake::{Manner, Postgres, with};
use super::world::*;
use super::{Diagnosis, Told, examine};

const GOOD_YEARS: (i32, i32) = (2020, 2199);
/// A probe that hangs ends after this long.
const LIMIT: Duration = Duration::from_millis(500);

/// Examines a proxy whose endpoint leads to `address`, with these CAs.
fn proxied(address: SocketAddr, bundle: Option<&Authority>, more: &[&str]) -> Diagnosis {
    let scratch = Scratch::new();
    let bundle = bundle.map(|authority| scratch.write("ca.pem", &authority.pem));
    let bundle = bundle.map(|path| format!("--ca-bundle={}", path.display()));
    let more: Vec<&str> = bundle.as_deref().into_iter().chain(more.iter().copied()).collect();
    proxied_with(address, "", &more)
}

/// The same with more lines in its settings.
pub fn proxied_with(address: SocketAddr, lines: &str, more: &[&str]) -> Diagnosis {
    let dns = Server::start();
    dns.set(WRITER, Behaviour::a(&address.ip().to_string(), 1));
    let scratch = Scratch::new();
    let settings = proxy("127.0.0.1:0", &format!("{WRITER}:{}", address.port())).line(lines);
    let mut command = bare_command("http://127.0.0.1:9");
    command
        .args(["doctor", "--nameserver", &dns.addr().to_string(), "--config"])
        .arg(scratch.write("config.toml", &settings));
    examine(command.args(more))
}

#[test]
fn a_proxy_needs_no_aws_and_a_right_certificate_is_told() {
    let authority = Authority::new();
    let server = Postgres::start(with(authority.certify(&[WRITER], GOOD_YEARS)));
    let told = proxied(server.address, Some(&authority), &[]);
    assert_eq!(told.exit, 0, "{}", told.said);
    told.assert("reach.tcp", "ok", &["accepts connections"]);
    told.assert("reach.postgres", "ok", &["offers TLS"]);
    told.assert("reach.certificate", "ok", &["TLSv1_3", WRITER]);
    told.assert("proxy.listen", "ok", &["127.0.0.1:0 is free"]);
    told.assert("dns.private", "ok", &["127.0.0.1"]);
    assert!(
        !told.checks.iter().any(|check| check.name.starts_with("aws.")),
        "{}",
        told.said
    );
}

#[test]
fn without_a_bundle_the_certificate_is_left_open() {
    let server = Postgres::start(with(Certified::by_itself(&["another.example"], NOW)));
    let told = proxied(server.address, None, &[]);
    assert_eq!(told.exit, 0, "{}", told.said);
    told.assert(
        "reach.certificate",
        "skipped",
        &["--ca-bundle", "truststore.pki.rds.amazonaws.com"],
    );
}

#[test]
fn a_certificate_that_the_settings_have_verified_is_told_as_verified() {
    let authority = Authority::new();
    let server = Postgres::start(with(authority.certify(&[WRITER], GOOD_YEARS)));
    let scratch = Scratch::new();
    let bundle = scratch.write("ca.pem", &authority.pem);
    let group = format!(
        "[[target_group]]\narn = \"arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1\"\nendpoints = \
         [\"{WRITER}:{}\"]\nca_bundle = {bundle:?}",
        server.address.port(),
    );
    let told = proxied_with(server.address, &group, &["--only", "reach"]);
    let of_proxy = |check: &&Told| check.section.starts_with("proxy") && check.name == "reach.certificate";
    let check = told.checks.iter().find(of_proxy).expect("the proxy's certificate");
    assert_eq!(check.status, "ok", "{}", told.said);
    assert!(check.finding.contains("by a CA of the bundle"), "{}", told.said);
}

#[test]
fn each_thing_that_is_wrong_with_a_certificate_is_told_apart() {
    let authority = Authority::new();
    let years = GOOD_YEARS;
    for (manner, parts) in [
        (
            with(authority.certify(&["a.example", "b.example"], years)),
            ["is for a.example, b.example", "another database"],
        ),
        (
            with(Certified::by_itself(&[WRITER], NOW)),
            ["no CA of the bundle", "truststore"],
        ),
        (
            with(Authority::new().certify(&[WRITER], years)),
            ["no CA of the bundle", "truststore"],
        ),
        (
            with(authority.certify(&[WRITER], (2010, 2015))),
            ["has expired", "--ca-certificate-identifier"],
        ),
        (
            with(authority.certify(&[WRITER], (2150, 2199))),
            ["not valid yet", "clock"],
        ),
    ] {
        let server = Postgres::start(manner);
        let told = proxied(server.address, Some(&authority), &[]);
        assert_eq!(told.exit, 1, "{}", told.said);
        told.assert("reach.certificate", "failure", &parts);
        told.assert("reach.postgres", "ok", &[]);
    }
}

#[test]
fn each_way_of_not_answering_is_told_apart() {
    for (manner, name, exit, parts) in [
        (Manner::Plain, "reach.postgres", 0, ["speaks no TLS", "ssl = on"]),
        (
            Manner::Says(b"\x4a\x00\x00\x00\x0a8.0.36"),
            "reach.postgres",
            1,
            ["not PostgreSQL", "0x4a"],
        ),
        (
            Manner::Closes,
            "reach.postgres",
            69,
            ["instead of an answer", "SSLRequest"],
        ),
        (Manner::Silent, "reach.postgres", 69, ["no answer in time", "stuck"]),
        (
            Manner::Stalls,
            "reach.certificate",
            69,
            ["no answer in time", "TLS handshake"],
        ),
        (
            Manner::Babbles,
            "reach.certificate",
            1,
            ["TLS could not be agreed upon", "server's log"],
        ),
    ] {
        let server = Postgres::start(manner);
        let told = proxied(server.address, None, &["--timeout", "2s"]);
        assert_eq!(told.exit, exit, "{}", told.said);
        let status = if exit == 0 { "warning" } else { "failure" };
        told.assert(name, status, &parts);
        told.assert("reach.tcp", "ok", &[]);
    }
}

/// A MySQL says its version before anybody asks, in a packet whose length may look like PostgreSQL's yes or no.
#[test]
fn a_mysql_is_told_by_its_greeting_whatever_that_begins_with() {
    for greeting in [
        b"S\0\0\0\x0a5.5.5-10.11.6-MariaDB-0+deb12u1\0" as &[u8],
        b"N\0\0\0\x0a8.0.32-rds\0",
        b"\x4a\0\0\0\x0a8.0.36\0",
    ] {
        let server = Postgres::start(Manner::Says(greeting));
        let told = proxied(server.address, None, &["--timeout", "2s"]);
        assert_eq!(told.exit, 1, "{}", told.said);
        told.assert(
            "reach.postgres",
            "failure",
            &["MySQL or MariaDB", "--skip reach.postgres"],
        );
        let parts = ["ERROR 1129", "max_connect_errors", "probe_interval = \"never\""];
        told.assert("reach.connects", "warning", &parts);
    }
    // The control: a PostgreSQL blocks nobody.
    let server = Postgres::start(Manner::Plain);
    let told = proxied(server.address, None, &["--timeout", "2s"]);
    told.assert("reach.connects", "skipped", &["nobody is blocked", "awake"]);
}

/// Nobody has this address, so its ports are closed: the port and the settings alone tell.
#[test]
fn whether_a_proxy_s_probes_do_harm_depends_on_the_engine_and_on_whether_it_probes() {
    let told = |port: u16, lines: &str| {
        let address = SocketAddr::new("127.83.6.1".parse().unwrap(), port);
        proxied_with(address, lines, &["--only", "reach"])
    };
    let never = "probe_interval = \"never\"";
    for (port, lines, status, parts) in [
        // What the proxy does by itself for such a port.
        (3306, "", "ok", ["for its clients alone", "never"]),
        (3306, "probe_interval = \"30s\"", "warning", ["ERROR 1129", never]),
        (5432, "", "skipped", ["capacity 0", never]),
        (5432, never, "ok", ["for its clients alone", "never"]),
    ] {
        told(port, lines).assert("reach.connects", status, &parts);
    }
}

#[test]
fn a_closed_port_is_told_and_what_depends_on_it_is_left_out() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = proxied(closed, None, &[]);
    assert_eq!(told.exit, 69, "{}", told.said);
    told.assert("reach.tcp", "failure", &["connection refused", "Endpoint.Port"]);
    told.assert("reach.postgres", "skipped", &["reach.tcp"]);
    told.assert("reach.certificate", "skipped", &["reach.tcp"]);
}

#[test]
fn a_port_that_cannot_be_listened_on_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let scratch = Scratch::new();
    for (listen, status, parts) in [
        (
            taken.local_addr().unwrap().to_string(),
            "warning",
            ["listens on", "ss -ltnp"],
        ),
        (
            "192.0.2.1:5432".to_owned(),
            "failure",
            ["no address 192.0.2.1", "0.0.0.0"],
        ),
    ] {
        let settings = proxy(listen, &format!("{WRITER}:5432"));
        let settings = scratch.write("config.toml", &settings);
        let mut command = bare_command("http://127.0.0.1:9");
        command.args(["doctor", "--only", "proxy", "--config"]).arg(settings);
        examine(&mut command).assert("proxy.listen", status, &parts);
    }
}

#[tokio::test]
async fn the_probe_says_how_far_it_came() {
    let authority = Authority::new();
    let server = Postgres::start(with(authority.certify(&[WRITER], GOOD_YEARS)));
    let anybody = Trust::anybody();
    let reached = probe(server.address, Depth::Tcp, LIMIT).await.expect("it listens");
    assert_eq!(reached.tls, None);
    let reached = probe(server.address, Depth::Tls(WRITER, &anybody), LIMIT)
        .await
        .expect("TLS");
    assert_eq!(reached.tls.as_deref(), Some("TLSv1_3"));

    let silent = Postgres::start(Manner::Silent);
    let trouble = probe(silent.address, Depth::Tls(WRITER, &anybody), LIMIT)
        .await
        .expect_err("silent");
    assert_eq!(trouble, Trouble::TimedOut(Stage::Postgres));
    assert!(
        probe(silent.address, Depth::Tcp, LIMIT).await.is_ok(),
        "TCP alone is well"
    );
    let stalling = Postgres::start(Manner::Stalls);
    let trouble = probe(stalling.address, Depth::Tls(WRITER, &anybody), LIMIT)
        .await
        .expect_err("stalls");
    assert_eq!(trouble, Trouble::TimedOut(Stage::Tls));
    let plain = Postgres::start(Manner::Plain);
    let trouble = probe(plain.address, Depth::Tls(WRITER, &anybody), LIMIT)
        .await
        .expect_err("plain");
    assert_eq!((trouble.stage(), trouble), (Stage::Postgres, Trouble::TlsRefused));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(probe(closed, Depth::Tcp, LIMIT).await, Err(Trouble::Refused));
}

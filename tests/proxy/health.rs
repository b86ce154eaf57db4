//! The pages that say whether clients are to be sent here.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use testkit::dns::Behaviour;
use testkit::settings::{self, http, proxy};

use super::world::{
    Client, Daemon, NEW, OLD, PATIENCE, Proxy, READER, Scratch, WRITER, World, address_after, assert_says,
    bare_command, connect, wait_until,
};

/// How long an acceptance counts.
const FRESH: Duration = Duration::from_secs(15);

/// A page as it came: status, headers and text.
#[derive(Debug)]
struct Page {
    status: u16,
    head: String,
    text: String,
}

#[track_caller]
fn ask(method: &str, site: SocketAddr, path: &str) -> Page {
    ask_with(method, site, path, &format!("host: {site}\r\n"))
}

/// The same with other headers.
#[track_caller]
fn ask_with(method: &str, site: SocketAddr, path: &str, headers: &str) -> Page {
    let mut stream = connect(site).expect("the pages are served");
    let request = format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("room");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, text) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Page {
        status: status.expect("a status"),
        head: head.to_lowercase(),
        text: text.to_owned(),
    }
}

#[track_caller]
fn ready(site: SocketAddr) -> Page {
    ask("GET", site, "/readyz")
}

#[track_caller]
fn assert_ready(site: SocketAddr) -> String {
    let page = ready(site);
    assert_eq!(page.status, 200, "{page:?}");
    page.text
}

#[track_caller]
fn assert_unready(site: SocketAddr, why: &str) -> String {
    let page = ready(site);
    assert_eq!(page.status, 503, "{page:?}");
    assert_says(&page.text, &["not ready: ", why]);
    page.text
}

/// A proxy for the writer endpoint with its pages.
fn with_pages(world: &World, arguments: &str) -> (Proxy, SocketAddr) {
    let proxy = world.proxy(&format!("--http 127.0.0.1:0 {arguments}"));
    let site = pages_of(&proxy.daemon);
    (proxy, site)
}

#[track_caller]
fn pages_of(daemon: &Daemon) -> SocketAddr {
    let line = daemon.wait_for_log(&["serving http://"]);
    assert!(line.contains("health"), "{line}");
    address_after(&line, "serving http://")
}

#[test]
fn each_path_and_method_has_its_answer() {
    let world = World::new();
    let _database = world.database(OLD);
    let (proxy, site) = with_pages(&world, "");
    proxy.client().assert_served();
    let here = format!("/readyz/{}", proxy.address.port());
    let elsewhere = format!("/readyz/{}", site.port());
    for (method, path, status, part) in [
        ("GET", "/healthz", 200, "alive"),
        ("GET", "/readyz", 200, "127.0.0.2 accepted a connection"),
        ("GET", "/readyz?from=nlb", 200, "ready: "),
        ("GET", &here, 200, "127.0.0.2 accepted a connection"),
        ("GET", &elsewhere, 404, "no proxy listens on port"),
        ("GET", "/readyz/postgres", 404, "/readyz/PORT"),
        ("GET", "/readyz/99999", 404, "/readyz/PORT"),
        ("GET", "/nowhere", 404, "/healthz, /readyz and /readyz/PORT"),
        ("GET", "/metricsz", 404, "there is no such page"),
        ("HEAD", "/readyz", 200, ""),
        ("POST", "/readyz", 405, "only GET and HEAD"),
        ("DELETE", "/healthz", 405, "only GET and HEAD"),
    ] {
        let page = ask(method, site, path);
        assert_eq!(page.status, status, "{method} {path}: {page:?}");
        assert!(page.text.contains(part), "{method} {path}: {page:?}");
        assert_says(&page.head, &["content-type: text/plain", "cache-control: no-store"]);
        assert_eq!(page.text.is_empty(), method == "HEAD", "{method} {path}: {page:?}");
        assert_eq!(
            page.head.contains("allow: get, head"),
            status == 405,
            "{method} {path}: {page:?}"
        );
    }
    let line = assert_ready(site);
    assert_says(
        &line,
        &[&proxy.address.to_string(), &format!("{WRITER}:{}", world.port())],
    );
}

/// A page of anybody's can have a name of its own lead here, in the browser of who may reach this port.
#[test]
fn who_asks_by_a_name_of_somebody_else_s_learns_no_more_than_health() {
    let world = World::new();
    let _database = world.database(OLD);
    let (proxy, site) = with_pages(&world, "");
    proxy.client().assert_served();
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let machine = machine.trim();
    let ours = [
        "",
        "host: localhost\r\n",
        "host: LocalHost.:9477\r\n",
        "host: tether.localhost\r\n",
        "host: 10.0.1.5\r\n",
        "host: [fd00::5]:9477\r\n",
        &format!("host: {machine}\r\n"),
        &format!("host: {}:9477\r\n", machine.to_uppercase()),
    ];
    let others = [
        "host: attacker.example\r\n",
        "host: localhost.attacker.example:9477\r\n",
        "host: 127.0.0.1.attacker.example\r\n",
        "host: localhost\r\nhost: attacker.example\r\n",
        "host: \r\n",
        "host: \u{fc}\r\n",
    ];
    let own = format!("/proxy/{}", proxy.address);
    let paths = [
        "/",
        "/status",
        "/readyz",
        "/readyz/1",
        "/healthz",
        "/metrics",
        &own,
        "/group/1",
    ];
    let rows = ours
        .iter()
        .map(|host| (*host, [200, 200, 200, 404, 200, 200, 200, 404], true));
    let rows = rows.chain(
        others
            .iter()
            .map(|host| (*host, [421, 421, 200, 404, 200, 200, 421, 421], false)),
    );
    for (host, statuses, is_ours) in rows {
        for (path, status) in paths.iter().zip(statuses) {
            let page = ask_with("GET", site, path, host);
            assert_eq!(page.status, status, "{host:?} {path}: {page:?}");
            let tells = page.text.contains(WRITER) || page.text.contains(OLD);
            let may_tell = status == 200 && (is_ours && *path != "/healthz" || *path == "/metrics");
            assert!(may_tell || !tells, "{host:?} {path}: {page:?}");
            assert!(
                tells || !is_ours || !["/", "/status", "/readyz"].contains(path),
                "{host:?} {path}: {page:?}"
            );
        }
    }
    let refused = ask_with("GET", site, "/", "host: attacker.example\r\n");
    assert_says(&refused.text, &["ask by an address", "localhost", machine]);
    // The whole address in the first line counts as well.
    let path = "http://attacker.example/status";
    assert_eq!(ask("GET", site, path).status, 421);
}

#[test]
fn it_is_ready_while_its_database_accepts_connections() {
    let world = World::new();
    let (proxy, site) = with_pages(&world, "");
    proxy.daemon.wait_for_log(&["127.0.0.2 does not accept connections"]);
    assert_unready(site, "127.0.0.2 has not accepted a connection yet");
    assert_eq!(ask("GET", site, "/healthz").status, 200);
    let database = world.database(OLD);
    // A session is as good a proof as a probe.
    proxy.client().assert_served();
    assert_ready(site);
    drop(database);
    // What was accepted counts for a while, and then no more.
    wait_until("it is not ready", || ready(site).status == 503);
    let why = assert_unready(site, "127.0.0.2 has accepted no connection for ");
    let seconds = why
        .split("no connection for ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    assert!(seconds.is_some_and(|seconds: u64| seconds >= FRESH.as_secs()), "{why}");
    assert_eq!(ask("GET", site, "/healthz").status, 200);
}

#[test]
fn without_clients_it_finds_out_by_itself() {
    let world = World::new();
    let (proxy, site) = with_pages(&world, "");
    proxy.daemon.wait_for_log(&["127.0.0.2 does not accept connections"]);
    assert_unready(site, "has not accepted a connection yet");
    let _database = world.database(OLD);
    wait_until("it is ready", || ready(site).status == 200);
    proxy.daemon.wait_for_log(&["127.0.0.2 accepts connections"]);
}

#[test]
fn a_failure_of_dns_alone_leaves_it_ready() {
    let world = World::new();
    let database = world.database(OLD);
    let (proxy, site) = with_pages(&world, "");
    database.wait_for_connections(1);
    wait_until("it is ready", || ready(site).status == 200);
    world.dns.set(WRITER, Behaviour::ServFail);
    proxy.daemon.wait_for_log(&["cannot be resolved"]);
    assert_ready(site);
    // And so it stays: the last good address goes on being tried.
    let probes = database.accepted();
    database.wait_for_connections(probes + 1);
    assert_ready(site);
}

#[test]
fn an_unresolved_name_is_not_ready() {
    let world = World::new();
    world.dns.set(WRITER, Behaviour::NxDomain);
    let (_proxy, site) = with_pages(&world, "");
    assert_unready(site, "the name has not been resolved yet");
}

#[test]
fn what_the_former_address_accepted_says_nothing_about_its_successor() {
    let world = World::new();
    let _database = world.database(OLD);
    let (proxy, site) = with_pages(&world, "");
    proxy.client().assert_served();
    assert_ready(site);
    world.move_to(&[NEW]);
    proxy.daemon.wait_for_log(&["127.0.0.3 does not accept connections"]);
    assert_unready(site, "127.0.0.3 has not accepted a connection yet");
    let _database = world.database(NEW);
    wait_until("it is ready again", || ready(site).status == 200);
}

#[test]
fn a_proxy_that_stops_is_not_ready_any_more() {
    let world = World::new();
    let _database = world.database(OLD);
    let (proxy, site) = with_pages(&world, "--drain 1h");
    let client = proxy.client();
    assert_ready(site);
    proxy.daemon.signal("TERM");
    proxy.daemon.wait_for_log(&["1 session of", "go on for up to"]);
    assert_unready(site, "stopping");
    assert_eq!(ask("GET", site, "/healthz").status, 200);
    drop(client);
    assert!(proxy.daemon.ended().0.success());
}

#[test]
fn a_taken_port_is_told_of_and_tried_again() {
    let world = World::new();
    let _database = world.database(OLD);
    let taken = TcpListener::bind("127.0.0.1:0").expect("an address");
    let site = taken.local_addr().expect("bound");
    let proxy = world.proxy(&format!("--http {site}"));
    let told = proxy.daemon.wait_for_log(&["cannot serve"]);
    assert_says(&told, &[&site.to_string(), "trying again"]);
    proxy.client().assert_served();
    drop(taken);
    assert_eq!(pages_of(&proxy.daemon), site);
    assert_ready(site);
}

#[test]
fn one_of_two_proxies_speaks_for_itself_and_both_for_the_process() {
    let world = World::new();
    let _database = world.database(OLD);
    world.dns.set(READER, Behaviour::a(NEW, 1));
    let port = world.port();
    let folder = Scratch::new();
    let text = proxy("127.0.1.1:0", &format!("{WRITER}:{port}"))
        .and(proxy("127.0.1.2:0", &format!("{READER}:{port}")))
        .and(http("127.0.0.1:0"))
        .and(settings::dns(world.dns.addr()));
    let path = folder.write("config.toml", &text);
    let daemon = Daemon::start(bare_command("http://127.0.0.1:9").args(["run", "--config"]).arg(path));
    let site = pages_of(&daemon);
    let [good, bad] = ["127.0.1.1", "127.0.1.2"].map(|ip| {
        let words = format!("listening on {ip}:");
        address_after(&daemon.wait_for_log(&[&words]), "listening on ")
    });
    Client::connect(good).expect("a database").assert_served();
    daemon.wait_for_log(&["127.0.0.3 does not accept connections"]);
    for (port, status) in [(good.port(), 200), (bad.port(), 503)] {
        let page = ask("GET", site, &format!("/readyz/{port}"));
        assert_eq!(page.status, status, "{page:?}");
        assert_eq!(page.text.lines().count(), 1, "{page:?}");
    }
    let lines = assert_unready(site, "127.0.0.3 has not accepted a connection yet");
    assert_says(&lines, &[&format!("\nnot ready: {bad}"), &format!("ready: {good}")]);
}

#[test]
fn a_client_that_says_nothing_holds_up_nobody() {
    let world = World::new();
    let _database = world.database(OLD);
    let (proxy, site) = with_pages(&world, "");
    proxy.client().assert_served();
    let silent: Vec<_> = (0..16).map(|_| connect(site).expect("it listens")).collect();
    assert_ready(site);
    for mut stream in silent {
        // It is hung up on before long.
        assert!(stream.read(&mut [0; 64]).is_ok(), "still open after {PATIENCE:?}");
    }
}

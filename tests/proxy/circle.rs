//! A name that leads back to the proxy: it never connects to itself, and says why.

use testkit::dns::Behaviour;
use testkit::http::ask;
use testkit::program::on_a_free_port;
use testkit::settings::{self, http};

use super::held::{metric, pages};
use super::standin::knock;
use super::world::{
    Client, Daemon, NEW, OLD, Proxy, READER, Scratch, WRITER, World, address_after, assert_says, bare_command,
    times_logged, wait_until,
};

/// Where proxies of these tests listen, at the port of the databases of their world.
const HERE: &str = "127.0.0.77";
const THERE: &str = "127.0.0.78";
const OURS: &str = "is where rds-tether itself listens";

/// A client of a proxy that names itself stays its only one, and every page says why it waits.
#[track_caller]
fn assert_waits_and_says_why(proxy: &Proxy, own: &str) {
    let why = format!("{own} {OURS}");
    let told = proxy
        .daemon
        .wait_for_log(&["no address of the answer may be connected to", &why]);
    assert_says(
        &told,
        &[
            "clients wait until DNS names another",
            "Name the database's own endpoint",
        ],
    );
    let pages = pages(proxy);
    let client = knock(proxy.address).expect("it listens");
    wait_until("the client waits", || metric(pages, "rds_tether_proxy_held") == Some(1));
    assert_eq!(metric(pages, "rds_tether_proxy_sessions"), Some(1));
    let ready = ask(pages, "GET", "/readyz");
    assert_eq!(ready.status, 503, "{}", ready.body);
    for text in [
        ready.body,
        ask(pages, "GET", "/status").body,
        ask(pages, "GET", "/").body,
    ] {
        assert_says(&text, &["no address that DNS names may be connected to", &why]);
    }
    assert_eq!(metric(pages, "rds_tether_proxy_connections_total"), Some(0));
    drop(client);
}

#[test]
fn a_name_that_leads_back_to_the_proxy_is_not_followed() {
    let world = World::new();
    world.move_to(&[HERE]);
    let proxy = world.proxy(&format!("--listen {} --http 127.0.0.1:0", world.at(HERE)));
    assert_waits_and_says_why(&proxy, HERE);
    assert_eq!(times_logged(&proxy.daemon, &[OURS]), 1);
    // The same port at another address of this machine is somebody else.
    let _database = world.database(OLD);
    world.move_to(&[OLD]);
    proxy.daemon.wait_for_log(&["is at 127.0.0.2"]);
    proxy.client().assert_served();
    // Sessions go on, and new ones to the last good address, when it leads back again.
    let mut session = proxy.client();
    world.move_to(&[HERE]);
    proxy.daemon.wait_for_log(&[OURS, "connections go on to 127.0.0.2"]);
    session.assert_served();
    assert_eq!(proxy.leads_to(), OLD);
    let ready = ask(pages(&proxy), "GET", "/readyz");
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert_says(&ready.body, &["127.0.0.2 accepted a connection", HERE, OURS]);
    // Of several it takes the others.
    let _other = world.database(NEW);
    world.move_to(&[HERE, NEW]);
    proxy.daemon.wait_for_log(&["moved from 127.0.0.2 to 127.0.0.3"]);
    assert_eq!(proxy.leads_to(), NEW);
}

#[test]
fn a_proxy_that_listens_everywhere_is_at_every_address_of_its_machine() {
    for own in ["127.0.0.1", "127.9.8.7"] {
        let world = World::new();
        world.move_to(&[own]);
        let proxy = on_a_free_port(|port| {
            let mut command = bare_command("http://127.0.0.1:9");
            command
                .args(["proxy", "--readiness", "tcp", "--http", "127.0.0.1:0"])
                .args(["--nameserver", &world.dns.addr().to_string()])
                .args(["--listen", &format!("0.0.0.0:{port}")])
                .args(["--endpoint", &format!("{WRITER}:{port}")]);
            let daemon = Daemon::start(&mut command);
            wait_until("it listens, or another does", || daemon.log().contains("listen"));
            let address = ([127, 0, 0, 1], port).into();
            daemon
                .log()
                .contains("listening on")
                .then_some(Proxy { daemon, address })
        });
        assert_waits_and_says_why(&proxy, own);
    }
}

#[test]
fn neither_are_the_pages_of_the_process() {
    let world = World::new();
    world.move_to(&[THERE]);
    let proxy = world.proxy(&format!("--http {}", world.at(THERE)));
    assert_waits_and_says_why(&proxy, THERE);
}

/// Two proxies of one process that name each other, one of which comes later.
#[test]
fn proxies_of_one_process_do_not_connect_to_each_other() {
    let world = World::new();
    world.dns.set(WRITER, Behaviour::a(THERE, 1));
    world.dns.set(READER, Behaviour::a(HERE, 1));
    let text = |proxies: &[(&str, &str)]| {
        let proxies = proxies.iter().map(|(ip, name)| {
            let proxy = settings::proxy(world.at(ip), &format!("{name}:{}", world.port()));
            proxy.set("readiness", "tcp")
        });
        let proxies: String = proxies.collect();
        http("127.0.0.1:0").and(settings::dns(world.dns.addr())).and(proxies)
    };
    let folder = Scratch::new();
    let path = folder.write("config.toml", &text(&[(HERE, WRITER)]));
    let daemon = Daemon::start(bare_command("http://127.0.0.1:9").args(["run", "--config"]).arg(path));
    let pages = address_after(&daemon.wait_for_log(&["serving http://"]), "serving http://");
    daemon.wait_for_log(&[&format!("is at {THERE}")]);
    folder.write("config.toml", &text(&[(HERE, WRITER), (THERE, READER)]));
    daemon.signal("HUP");
    for own in [HERE, THERE] {
        daemon.wait_for_log(&[&format!("({own} {OURS}")]);
    }
    let clients = [HERE, THERE].map(|ip| knock(world.at(ip)).expect("it listens"));
    let is_one = |line: &&str| line.starts_with("rds_tether_proxy_held{") && line.ends_with(" 1.0");
    wait_until("both clients wait", || {
        ask(pages, "GET", "/metrics").body.lines().filter(is_one).count() == 2
    });
    let ready = ask(pages, "GET", "/readyz");
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert_says(&ready.body, &[&format!("{HERE} {OURS}"), &format!("{THERE} {OURS}")]);
    // A database for the second is one for its clients alone.
    let _database = world.database(OLD);
    world.dns.set(READER, Behaviour::a(OLD, 1));
    let [first, second] = clients;
    assert_eq!(Client::greeted(second).expect("a session").at, OLD);
    drop(first);
}

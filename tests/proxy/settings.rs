//! Proxies in the settings of `run`: beside target groups, and changed while they run.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;

use testkit::dns::Behaviour;
use testkit::http::ask;

use super::restart::{dribble, squatter};
use super::world::{
    Client, End, NEW, OLD, READER, WRITER, World, address_after, assert_refused, connect, read_to_end, times_logged,
    wait_until,
};
use testkit::settings::{dns, proxy, target_group};
use testkit::world::{self, Daemon, Scratch, assert_exit, assert_says, bare_command};

const SETTINGS: i32 = 78;
/// What may pass by itself, so that a service manager tries again.
const UNAVAILABLE: i32 = 69;

/// A `run` whose settings file a test rewrites.
struct Run {
    daemon: Daemon,
    folder: Scratch,
    reloads: usize,
}

impl Run {
    #[track_caller]
    fn start(text: &str) -> Self {
        let folder = Scratch::new();
        let path = folder.write("config.toml", text);
        let daemon = Daemon::start(command(&path, "http://127.0.0.1:9").args(["--interval", "1s"]));
        daemon.wait_for_log(&["started rds-tether"]);
        let reloads = 0;
        Self {
            daemon,
            folder,
            reloads,
        }
    }

    /// Where the proxy that was told to listen on this address of loopback does so.
    #[track_caller]
    fn address(&self, ip: &str) -> SocketAddr {
        let line = self.daemon.wait_for_log(&[&format!("listening on {ip}:")]);
        address_after(&line, "listening on ")
    }

    #[track_caller]
    fn client(&self, ip: &str) -> Client {
        Client::connect(self.address(ip)).unwrap_or_else(|error| panic!("{error}:\n{}", self.daemon.log()))
    }

    /// Has the process read other settings; waits until it has taken them.
    #[track_caller]
    fn reload(&mut self, text: &str) {
        self.folder.write("config.toml", text);
        self.daemon.signal("HUP");
        self.reloads += 1;
        wait_until("the new settings are taken", || {
            times_logged(&self.daemon, &["settings reloaded"]) == self.reloads
        });
    }

    /// The same for settings that are not to be taken; gives why not.
    #[track_caller]
    fn reload_in_vain(&self, text: &str) -> String {
        self.folder.write("config.toml", text);
        self.daemon.signal("HUP");
        self.daemon
            .wait_for_log(&["the new settings are not taken, the old ones stay in force"])
    }
}

fn command(path: &PathBuf, url: &str) -> std::process::Command {
    let mut command = bare_command(url);
    command.args(["run", "--config"]).arg(path);
    command
}

/// Settings with a name server and proxies on ports that the kernel picks: address of loopback, endpoint, other lines.
fn settings(world: &World, proxies: &[(&str, &str, &str)]) -> String {
    let proxies = proxies.iter().map(|(ip, host, lines)| {
        let endpoint = format!("{host}:{}", world.port());
        proxy(format!("{ip}:0"), &endpoint).line(lines)
    });
    [dns(world.dns.addr())].into_iter().chain(proxies).collect()
}

#[test]
fn proxies_and_target_groups_that_follow_one_name_share_its_looks() {
    // RDS gives no such TTL.
    const OWN: &str = "orders.db.internal";
    let world = world::World::settled();
    world.dns.set(OWN, Behaviour::a(world::OLD, 60));
    let endpoint = format!("{OWN}:5432");
    let mut text = dns(world.dns.addr())
        .set("interval", "60s")
        .and(target_group(&world.arn, &endpoint));
    for number in 1..=3 {
        text = text.and(proxy(format!("127.0.1.{number}:0"), &endpoint));
    }
    let folder = Scratch::new();
    let daemon = Daemon::start(&mut command(&folder.write("config.toml", &text), &world.elb.url()));
    daemon.wait_for_log(&["started rds-tether", "target_groups=1", "proxies=3"]);
    wait_until("all proxies have their address", || {
        times_logged(&daemon, &["is at 10.0.1.5"]) == 3
    });
    world.wait("the target group is looked at", |calls| world::looks(calls) >= 1);
    assert_eq!(world.dns.count(OWN), 1, "{}", daemon.log());
}

#[test]
fn a_target_group_and_a_proxy_each_follow_their_endpoint() {
    let group = world::World::settled();
    let proxied = World::new();
    let _databases = [OLD, NEW].map(|ip| proxied.database(ip));
    group.dns.set(READER, Behaviour::a(OLD, 1));
    let text = target_group(&group.arn, &format!("{WRITER}:5432"))
        .and(proxy("127.0.0.1:0", &format!("{READER}:{}", proxied.port())))
        .and(dns(group.dns.addr()).set("interval", "1s"));
    let folder = Scratch::new();
    let daemon = Daemon::start(&mut command(&folder.write("config.toml", &text), &group.elb.url()));
    let address = address_after(&daemon.wait_for_log(&["listening on "]), "listening on ");
    assert_eq!(Client::connect(address).expect("a database").at, OLD);
    group.dns.set(WRITER, Behaviour::a(world::NEW, 1));
    group.dns.set(READER, Behaviour::a(NEW, 1));
    group.wait("the new writer is registered", |calls| {
        world::count(calls, "Register", world::NEW) == 1
    });
    wait_until("new connections go to the other member", || {
        Client::connect(address).expect("a database").at == NEW
    });
}

#[test]
fn a_proxy_keeps_its_sessions_when_its_other_settings_change() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let mut run = Run::start(&settings(&world, &[("127.0.0.1", WRITER, "linger = \"never\"")]));
    let mut session = run.client("127.0.0.1");
    let changed = "linger = \"0s\"\nmax_sessions = 1\ndrain = \"1h\"\nallow_peers = [\"127.0.0.0/8\"]";
    run.reload(&settings(&world, &[("127.0.0.1", WRITER, changed)]));
    session.assert_served();
    assert_eq!(times_logged(&run.daemon, &["listening on"]), 1);
    // They are in force for what comes, and for what was there.
    assert_refused(Client::connect(run.address("127.0.0.1")).err(), &run.daemon.log());
    world.move_to(&[NEW]);
    session.assert_cut();
    wait_until("there is room", || Client::connect(run.address("127.0.0.1")).is_ok());
    // Who may connect changes as well.
    let changed = "allow_peers = [\"127.0.0.9\"]";
    run.reload(&settings(&world, &[("127.0.0.1", WRITER, changed)]));
    assert_refused(Client::connect(run.address("127.0.0.1")).err(), &run.daemon.log());
}

#[test]
fn another_way_to_look_at_dns_keeps_the_sessions_and_what_is_known() {
    let world = World::new();
    let _database = world.database(OLD);
    let mut run = Run::start(&settings(&world, &[("127.0.0.1", WRITER, "linger = \"0s\"")]));
    let mut session = run.client("127.0.0.1");
    let other = World::new();
    other.dns.set(WRITER, Behaviour::ServFail);
    let text = settings(&world, &[("127.0.0.1", WRITER, "linger = \"0s\"")]);
    run.reload(&text.replace(&world.dns.addr().to_string(), &other.dns.addr().to_string()));
    run.daemon
        .wait_for_log(&["cannot be resolved", "connections go on to 127.0.0.2"]);
    assert!(other.dns.count(WRITER) > 0);
    session.assert_served();
    run.client("127.0.0.1").assert_served();
}

#[test]
fn another_endpoint_takes_new_connections_at_once_and_old_ones_after_the_linger() {
    for (linger, stays) in [("0s", false), ("never", true)] {
        let world = World::new();
        let _databases = [OLD, NEW].map(|ip| world.database(ip));
        world.dns.set(READER, Behaviour::a(NEW, 1));
        let lines = format!("linger = \"{linger}\"");
        let mut run = Run::start(&settings(&world, &[("127.0.0.1", WRITER, &lines)]));
        let mut session = run.client("127.0.0.1");
        assert_eq!(session.at, OLD);
        run.reload(&settings(&world, &[("127.0.0.1", READER, &lines)]));
        run.daemon.wait_for_log(&["is at 127.0.0.3"]);
        assert_eq!(run.client("127.0.0.1").at, NEW);
        if stays {
            session.assert_served();
        } else {
            session.assert_cut();
        }
    }
}

#[test]
fn a_removed_proxy_is_drained_and_the_others_go_on() {
    let world = World::new();
    let _database = world.database(OLD);
    let stays = ("127.0.0.1", WRITER, "");
    let goes = ("127.0.1.1", WRITER, "drain = \"0s\"");
    let lasts = ("127.0.1.2", WRITER, "drain = \"1h\"");
    let mut run = Run::start(&settings(&world, &[stays, goes, lasts]));
    let [mut staying, going, mut lasting] = ["127.0.0.1", "127.0.1.1", "127.0.1.2"].map(|ip| run.client(ip));
    run.reload(&settings(&world, &[stays]));
    for ip in ["127.0.1.1", "127.0.1.2"] {
        run.daemon.wait_for_log(&[&format!("no longer listening on {ip}:")]);
        wait_until("nothing listens", || connect(run.address(ip)).is_err());
    }
    going.assert_cut();
    lasting.assert_served();
    staying.assert_served();
    run.client("127.0.0.1").assert_served();
    // What is left of a removed proxy does not hold up the end.
    drop((staying, lasting));
    assert!(run.daemon.stop().0.success());
}

#[test]
fn an_added_proxy_serves_and_the_pages_move() {
    let world = World::new();
    let _database = world.database(OLD);
    let one = ("127.0.0.1", WRITER, "");
    let mut run = Run::start(&settings(&world, &[one]));
    let mut session = run.client("127.0.0.1");
    let both = settings(&world, &[one, ("127.0.1.1", WRITER, "")]);
    run.reload(&format!("{both}[http]\nlisten = \"127.0.0.1:0\"\n"));
    run.client("127.0.1.1").assert_served();
    let line = run.daemon.wait_for_log(&["serving http://127.0.0.1:"]);
    let first = address_after(&line, "serving http://");
    assert!(connect(first).is_ok());
    run.reload(&format!("{both}[http]\nlisten = \"127.0.1.9:0\"\n"));
    run.daemon.wait_for_log(&["serving http://127.0.1.9:"]);
    wait_until("the former pages are gone", || connect(first).is_err());
    session.assert_served();
}

/// Fails if a process does nothing else while it asks another what that serves, which never finishes its answer.
#[test]
fn a_reload_that_waits_for_another_process_holds_nothing_up() {
    let world = World::new();
    let _database = world.database(OLD);
    let holder = TcpListener::bind("127.0.1.1:0").expect("an address");
    let taken = holder.local_addr().expect("bound");
    let pages = "[http]\nlisten = \"127.0.0.1:0\"\n";
    let good = settings(&world, &[("127.0.0.1", WRITER, "")]) + pages;
    let run = Run::start(&good);
    let line = run.daemon.wait_for_log(&["serving http://127.0.0.1:"]);
    let pages = address_after(&line, "serving http://");
    let squatter = squatter(taken, 1);
    let dribbling = thread::spawn(move || dribble(&squatter));
    let added = proxy(taken, &format!("{WRITER}:{}", world.port())).to_string();
    run.folder.write("config.toml", &(good + &added));
    run.daemon.signal("HUP");
    wait_until("the new settings are refused", || {
        assert_eq!(ask(pages, "GET", "/healthz").status, 200);
        times_logged(
            &run.daemon,
            &["stay in force", &format!("cannot listen on {taken}"), "in use"],
        ) == 1
    });
    dribbling.join().expect("it was asked, and not for ever");
}

#[test]
fn settings_that_cannot_be_taken_change_nothing_at_all() {
    let world = World::new();
    let _database = world.database(OLD);
    let holder = TcpListener::bind("127.0.1.1:0").expect("an address");
    let taken = holder.local_addr().expect("bound");
    let good = settings(&world, &[("127.0.0.1", WRITER, "")]);
    let line = format!("{WRITER}:{}", world.port());
    for (what, text, why) in [
        ("a mistake", good.replace("endpoint", "endpiont"), "endpiont".to_owned()),
        (
            "an address that another process has",
            // Without the proxy that is there, and with one that could start.
            settings(&world, &[("127.0.1.2", WRITER, "")]) + &proxy(taken, &line).to_string(),
            format!("cannot listen on {taken}"),
        ),
    ] {
        let run = Run::start(&good);
        let mut session = run.client("127.0.0.1");
        let told = run.reload_in_vain(&text);
        assert!(told.contains("the old ones stay in force"), "{what}: {told}");
        // Each mistake has a line.
        run.daemon.wait_for_log(&["stay in force", &why]);
        session.assert_served();
        run.client("127.0.0.1").assert_served();
        assert_eq!(
            times_logged(&run.daemon, &["listening on"]),
            1,
            "{what}: {}",
            run.daemon.log()
        );
    }
    drop(holder);
}

#[test]
fn sighup_is_no_end_for_a_process_without_a_file() {
    let world = World::new();
    let _database = world.database(OLD);
    let proxy = world.proxy("");
    let mut session = proxy.client();
    proxy.daemon.signal("HUP");
    proxy.daemon.wait_for_log(&["settings reloaded"]);
    session.assert_served();
    proxy.client().assert_served();
}

#[test]
fn each_mistake_in_the_file_is_answered_with_its_line() {
    const GOOD: &str = "[[proxy]]\nlisten = \"127.0.0.1:5432\"\nendpoint = \"orders.example:5432\"\n";
    let with = |line: &str| format!("{GOOD}{line}\n");
    let twice = format!("{GOOD}{GOOD}");
    let cases: &[(&str, &[&str])] = &[
        ("[proxy]\nlisten = \"127.0.0.1:5432\"\n", &[":1:", "[[proxy]]"]),
        ("[[proxy]]\nlisten = \"127.0.0.1:5432\"\n", &[":1:", "endpoint"]),
        ("[[proxy]]\nendpoint = \"orders.example:5432\"\n", &[":1:", "listen"]),
        (
            "[[proxy]]\nlisten = \"5432\"\nendpoint = \"orders.example:5432\"\n",
            &[":2:", "listen", "0.0.0.0:5432"],
        ),
        (
            "[[proxy]]\nlisten = 5432\nendpoint = \"orders.example:5432\"\n",
            &[":2:", "listen", "in quotes"],
        ),
        (
            "[[proxy]]\nlisten = \"127.0.0.1:5432\"\nendpoint = \"orders.example\"\n",
            &[":3:", "endpoint", "no port"],
        ),
        (
            &twice,
            &[":5:", "two proxies listen on 127.0.0.1:5432", "its own address or port"],
        ),
        (
            &format!("{GOOD}{}", GOOD.replace("127.0.0.1", "0.0.0.0")),
            &[":5:", "a proxy listens on 0.0.0.0:5432, and another on 127.0.0.1:5432"],
        ),
        (
            &format!("{GOOD}[http]\nlisten = \"127.0.0.1:5432\"\n"),
            &[":2:", "a proxy listens on 127.0.0.1:5432, and [http] on 127.0.0.1:5432"],
        ),
        (
            &with("linger = \"soon\""),
            &[":4:", "linger", "with a unit", "or write never"],
        ),
        (&with("linger = 5"), &[":4:", "linger", "\"30s\""]),
        (&with("lingre = \"5s\""), &[":4:", "lingre", "linger"]),
        (&with("forget = \"5s\""), &[":4:", "forget"]),
        (&with("drain = \"never\""), &[":4:", "drain", "with a unit"]),
        (&with("dial_timeout = \"1h\""), &[":4:", "dial_timeout", "out of range"]),
        (&with("max_sessions = 0"), &[":4:", "max_sessions"]),
        (
            &with("allow_peers = [\"10.0.0.1/8\"]"),
            &[":4:", "allow_peers", "write 10.0.0.0/8"],
        ),
        (
            &with("allow_cidrs = \"10.0.0.0/8\""),
            &[":4:", "allow_cidrs", "write a list"],
        ),
        (
            &with("accept_proxy_protocol = \"yes\""),
            &[":4:", "accept_proxy_protocol"],
        ),
        (&with("ip_family = \"ipv5\""), &[":4:", "ip_family", "ipv6"]),
        (&with("role = \"primary\""), &[":4:", "role", "writer"]),
        (&with("[http]\nlisten = \"9477\""), &[":5:", "listen", "0.0.0.0:9477"]),
        (&with("[http]\nport = 9477"), &[":5:", "port"]),
    ];
    let folder = Scratch::new();
    for (text, parts) in cases {
        let path = folder.write("config.toml", text);
        let said = assert_exit(&mut command(&path, "http://127.0.0.1:9"), SETTINGS);
        for part in *parts {
            assert!(said.contains(part), "{part:?} is missing from: {said}\nfor\n{text}");
        }
        assert!(!said.contains("panicked") && said.len() < 2000, "{said}");
    }
}

#[test]
fn an_address_that_cannot_be_listened_on_ends_it_before_it_starts() {
    let world = World::new();
    // As another program has it, which shares it with nobody.
    let holder = TcpListener::bind("127.0.0.1:0").expect("an address");
    let taken = holder.local_addr().expect("bound").to_string();
    let folder = Scratch::new();
    for (address, why) in [(taken.as_str(), "in use"), ("192.0.2.1:5432", "assign")] {
        let endpoint = format!("{WRITER}:5432");
        let text = proxy(address, &endpoint);
        let path = folder.write("config.toml", &text);
        let mut typed = bare_command("http://127.0.0.1:9");
        typed.args(["proxy", "--listen", address, "--endpoint", &endpoint]);
        for mut command in [typed, command(&path, "http://127.0.0.1:9")] {
            let said = assert_exit(
                command.args(["--nameserver", &world.dns.addr().to_string()]),
                UNAVAILABLE,
            );
            assert_says(
                &said,
                &[&format!("cannot listen on {address}"), why, "choose another address"],
            );
        }
    }
    drop(holder);
    assert!(
        world.dns.queries().is_empty(),
        "it looked at DNS before it could listen"
    );
}

#[test]
fn verbs_that_look_at_target_groups_say_what_proxies_are_for() {
    let world = World::new();
    let folder = Scratch::new();
    let path = folder.write("config.toml", &settings(&world, &[("127.0.0.1", WRITER, "")]));
    for verb in ["plan", "sync"] {
        let mut command = bare_command("http://127.0.0.1:9");
        let said = assert_exit(command.args([verb, "--config"]).arg(&path), SETTINGS);
        assert_says(&said, &["no [[target_group]]", "run serves proxies"]);
    }
}

#[test]
fn a_session_of_a_removed_proxy_that_is_still_being_made_ends_with_it() {
    let world = World::new();
    let hole = super::hole::BlackHole::dig(world.at(OLD));
    let _database = world.database(NEW);
    let (stays, goes) = (("127.0.0.1", READER, ""), ("127.0.1.1", WRITER, "drain = \"0s\""));
    let mut run = Run::start(&settings(&world, &[stays, goes]));
    let stream = connect(run.address("127.0.1.1")).expect("it listens");
    wait_until("it is being connected", || hole.waiting() == 1);
    run.reload(&settings(&world, &[stays]));
    world.move_to(&[NEW]);
    assert_eq!(read_to_end(&stream), (Vec::new(), End::Reset), "{}", run.daemon.log());
}

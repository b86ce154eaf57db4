//! Sessions whose address DNS no longer names: when they end, and how both sides learn of it.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::dns::Behaviour;
use testkit::settings::{dns, proxy};

use super::standin::{Mood, Postgres, knock};
use super::world::{
    Client, Daemon, End, NEW, OLD, Proxy, READER, Scratch, THIRD, WRITER, World, address_after, bare_command,
    read_to_end, wait_until,
};

/// Times are remembered in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(5);

/// Writes until that fails, which it must in time; gives why.
fn write_on(mut stream: &TcpStream) -> ErrorKind {
    loop {
        if let Err(error) = stream.write_all(&[0; 64 * 1024]) {
            return error.kind();
        }
    }
}

/// With a reset, because consumers notice one at once (Debezium 3.6 in 0.2 to 0.7 s), and an end in order only when they write
/// their next status (Debezium after 10 s, or 52 s where status.update.interval.ms is a minute).
#[test]
fn a_session_that_outlives_its_address_is_reset_on_both_sides() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("--linger 0s");
    let (idle_client, idle_upstream) = proxy.session(&listener);
    let (mut asking_client, waiting_upstream) = proxy.session(&listener);
    let (writing_client, deaf_upstream) = proxy.session(&listener);
    let (deaf_client, writing_upstream) = proxy.session(&listener);
    asking_client.write_all(b"ask").expect("room");
    std::thread::scope(|threads| {
        // Both are in the middle of it, their peers' windows closed, when the address changes.
        let up = threads.spawn(|| write_on(&writing_client));
        let down = threads.spawn(|| write_on(&writing_upstream));
        world.move_to(&[NEW]);
        for (what, stream) in [
            ("an idle client", &idle_client),
            ("an idle database", &idle_upstream),
            ("a client that waits for its answer", &asking_client),
        ] {
            assert_eq!(read_to_end(stream), (Vec::new(), End::Reset), "{what}");
        }
        for (what, written) in [("client", up), ("database", down)] {
            assert_eq!(
                written.join().expect("no panic"),
                ErrorKind::ConnectionReset,
                "a writing {what}"
            );
        }
    });
    assert_eq!(read_to_end(&waiting_upstream), (b"ask".to_vec(), End::Reset));
    for deaf in [&deaf_client, &deaf_upstream] {
        assert_eq!(read_to_end(deaf).1, End::Reset);
    }
    proxy
        .daemon
        .wait_for_log(&["closed ", " to 127.0.0.2, which DNS no longer names"]);
}

#[test]
fn sessions_end_a_linger_after_their_address_was_seen_to_be_gone() {
    for linger in [Duration::from_secs(2), Duration::ZERO] {
        let world = World::new();
        let _database = world.database(OLD);
        let proxy = world.proxy(&format!("--linger {}s", linger.as_secs()));
        let client = proxy.client();
        let moved = Instant::now();
        world.move_to(&[NEW]);
        client.assert_cut();
        assert!(moved.elapsed() + ROUNDING >= linger, "after {:?}", moved.elapsed());
    }
}

#[test]
fn sessions_whose_address_is_still_in_the_answer_stay() {
    let world = World::new();
    let _databases = [OLD, NEW, THIRD].map(|ip| world.database(ip));
    world.move_to(&[OLD, NEW]);
    let proxy = world.proxy("--linger 0s");
    let reach = |ip: &str| {
        let clients = std::iter::repeat_with(|| proxy.client()).take(64);
        let found = clients.into_iter().find(|client| client.at == ip);
        found.unwrap_or_else(|| panic!("64 connections, and none to {ip}"))
    };
    let (gone, mut stays) = (reach(OLD), reach(NEW));
    world.move_to(&[NEW, THIRD]);
    gone.assert_cut();
    stays.assert_served();
}

/// One process, one failover: each proxy's sessions end by what its own settings and the names in its answer say.
#[test]
fn the_linger_is_a_setting_or_follows_from_the_role() {
    const CUSTOM: &str = "orders.internal.example";
    const ALIAS: &str = "reports.internal.example";
    let cases: &[(&str, &str, bool)] = &[
        // Waited for last, so that all others have had their chance by then.
        (WRITER, "", true),
        (WRITER, "linger = \"0s\"", true),
        (WRITER, "linger = \"never\"", false),
        (WRITER, "linger = \"1h\"", false),
        (WRITER, "role = \"reader\"", false),
        (READER, "", false),
        (READER, "linger = \"1s\"", true),
        (READER, "role = \"writer\"", true),
        (CUSTOM, "", true),
        // An alias of a reader endpoint.
        (ALIAS, "", false),
    ];
    let world = World::new();
    // Nothing serves at the new address, so that no session ends early.
    let _database = world.database(OLD);
    let point_to = |ip: &str| {
        for name in [WRITER, READER, CUSTOM] {
            world.dns.set(name, Behaviour::a(ip, 1));
        }
    };
    point_to(OLD);
    world.dns.set(ALIAS, Behaviour::cname(READER, 1));
    let mut text = dns(world.dns.addr()).set("interval", "1s");
    for (index, (host, line, _)) in cases.iter().enumerate() {
        // Each has an address of its own, by which its line of the log is known.
        let endpoint = format!("{host}:{}", world.port());
        text = text.and(proxy(format!("127.0.1.{index}:0"), &endpoint).line(line));
    }
    let folder = Scratch::new();
    let path = folder.write("config.toml", &text);
    let daemon = Daemon::start(bare_command("http://127.0.0.1:9").args(["run", "--config"]).arg(path));
    daemon.wait_for_log(&["started rds-tether"]);
    let mut clients = Vec::new();
    for (index, (host, line, ends)) in cases.iter().enumerate() {
        let words = format!("listening on 127.0.1.{index}:");
        let address = address_after(&daemon.wait_for_log(&[&words]), "listening on ");
        let client = Client::connect(address).expect("a database");
        clients.push((client, format!("{host} {line}"), *ends));
    }
    let moved = Instant::now();
    point_to(NEW);
    let (ending, mut staying): (Vec<_>, Vec<_>) = clients.into_iter().partition(|(_, _, ends)| *ends);
    for (client, what, _) in ending.iter().rev() {
        assert_eq!(read_to_end(&client.stream), (Vec::new(), End::Reset), "{what}");
    }
    let writers = moved.elapsed() + ROUNDING;
    assert!(
        writers >= Duration::from_secs(5),
        "a writer's session ended after {writers:?}"
    );
    for (client, what, _) in &mut staying {
        assert!(client.round_trip().is_ok(), "{what}");
    }
}

/// Waits for the end of a session that its address left behind, and gives how long that took from the proxy's own line on the
/// move.
#[track_caller]
fn lasted(proxy: &Proxy, client: &Client, to: &str) -> Duration {
    proxy.daemon.wait_for_log(&["moved from ", &format!(" to {to} ")]);
    let moved = Instant::now();
    client.assert_cut();
    moved.elapsed()
}

/// By default the linger is for an address that is not there yet.
#[test]
fn sessions_end_as_soon_as_the_new_address_takes_sessions() {
    for readiness in ["tcp", "postgres"] {
        let world = World::new();
        let _former = world.database(OLD);
        let proxy = world.proxy(&format!("--readiness {readiness}"));
        let client = proxy.client();
        let new = Postgres::start(world.at(NEW), Mood::Ready);
        world.move_to(&[NEW]);
        let lasted = lasted(&proxy, &client, NEW);
        assert!(lasted < Duration::from_secs(3), "{readiness}: {lasted:?}");
        drop(new);
    }
}

/// One that is there, but starting up, has to be waited for: whoever is cut now could only wait.
#[test]
fn sessions_stay_while_the_new_address_starts_up() {
    let world = World::new();
    let former = Postgres::start(world.at(OLD), Mood::Ready);
    let proxy = world.proxy("--readiness postgres");
    let client = Client::greeted(knock(proxy.address).expect("it listens")).expect("a session");
    let new = Postgres::start(world.at(NEW), Mood::StartingUp);
    world.move_to(&[NEW]);
    wait_until("the new one is asked", || new.questions() >= 3);
    proxy
        .daemon
        .wait_for_log(&["127.0.0.3 does not accept connections (the database system is starting up)"]);
    let mut client = client;
    client.assert_served();
    new.set(Mood::Ready);
    client.assert_cut();
    proxy.daemon.wait_for_log(&["closed 1 session to 127.0.0.2"]);
    drop(former);
}

/// A wrong answer that a second look does not confirm ends nothing, whoever takes sessions there.
#[test]
fn an_answer_of_a_moment_costs_nobody_a_session() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let proxy = world.proxy("");
    let mut client = proxy.client();
    world.move_to(&[NEW]);
    proxy.daemon.wait_for_log(&["moved from 127.0.0.2 to 127.0.0.3"]);
    world.move_to(&[OLD]);
    proxy.daemon.wait_for_log(&["moved from 127.0.0.3 to 127.0.0.2"]);
    let back = Instant::now();
    wait_until("the linger would be over", || back.elapsed() > Duration::from_secs(6));
    client.assert_served();
}

/// Names flap after a failover: old, new, old, new. The way back may be wrong, so the sessions that it leaves behind keep their
/// linger, whatever answers.
#[test]
fn a_name_that_comes_back_to_an_address_gives_sessions_their_whole_linger() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let proxy = world.proxy("");
    let first = proxy.client();
    world.move_to(&[NEW]);
    first.assert_cut();
    let mut second = proxy.client();
    assert_eq!(second.at, NEW);
    world.move_to(&[OLD]);
    proxy.daemon.wait_for_log(&["moved from 127.0.0.3 to 127.0.0.2"]);
    let moved = Instant::now();
    wait_until("the linger is half over", || {
        moved.elapsed() > Duration::from_millis(2500)
    });
    second.assert_served();
    // And back in time: it stays.
    world.move_to(&[NEW]);
    wait_until("it is there again", || proxy.leads_to() == NEW);
    wait_until("the linger would be over", || moved.elapsed() > Duration::from_secs(6));
    second.assert_served();
}

/// Whoever says how long has their reasons.
#[test]
fn a_linger_that_was_asked_for_does_not_end_early() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let proxy = world.proxy("--linger 3s");
    let client = proxy.client();
    world.move_to(&[NEW]);
    let lasted = lasted(&proxy, &client, NEW);
    assert!(
        lasted + Duration::from_millis(500) >= Duration::from_secs(3),
        "{lasted:?}"
    );
}

#[test]
fn what_was_closed_is_logged() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let proxy = world.proxy("--linger 0s");
    let clients = [proxy.client(), proxy.client()];
    world.move_to(&[NEW]);
    clients.iter().for_each(Client::assert_cut);
    // Each thread of the process logs those that it served.
    let told = proxy
        .daemon
        .wait_for_log(&["closed ", " to 127.0.0.2, which DNS no longer names"]);
    assert!(told.contains("sessions="), "{told}");
}

//! Where new connections go, as DNS changes, flaps and fails.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use testkit::dns::Behaviour;

use super::hole::BlackHole;
use super::world::{Client, NEW, OLD, PATIENCE, THIRD, WRITER, World, assert_says, times_logged};

#[test]
fn new_connections_go_to_the_address_that_dns_names_now() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let proxy = world.proxy("");
    assert_eq!(proxy.leads_to(), OLD);
    world.move_to(&[NEW]);
    proxy.daemon.wait_for_log(&["moved from 127.0.0.2 to 127.0.0.3"]);
    assert_eq!(proxy.leads_to(), NEW);
}

#[test]
fn several_addresses_share_the_connections() {
    let world = World::new();
    let _databases = [OLD, NEW, THIRD].map(|ip| world.database(ip));
    world.move_to(&[OLD, NEW, THIRD]);
    let proxy = world.proxy("");
    let mut shares: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..96 {
        *shares.entry(proxy.leads_to()).or_default() += 1;
    }
    assert_eq!(shares.len(), 3, "{shares:?}");
    assert!(shares.values().all(|share| *share >= 8), "{shares:?}");
}

#[test]
fn an_address_that_refuses_is_followed_by_the_next_and_told_once() {
    let world = World::new();
    let _database = world.database(NEW);
    world.move_to(&[OLD, NEW, THIRD]);
    let proxy = world.proxy("");
    for _ in 0..32 {
        assert_eq!(proxy.leads_to(), NEW);
    }
    for ip in [OLD, THIRD] {
        let told = times_logged(&proxy.daemon, &[&format!("{ip} does not accept connections")]);
        assert!(told <= 1, "told {told} times:\n{}", proxy.daemon.log());
    }
}

#[test]
fn an_address_that_does_not_answer_is_followed_by_the_next() {
    let world = World::new();
    let _hole = BlackHole::dig(world.at(OLD));
    let _database = world.database(NEW);
    world.move_to(&[OLD, NEW]);
    let proxy = world.proxy("");
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let address = proxy.address;
            thread::spawn(move || Client::connect(address).map(|client| client.at))
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().expect("no panic").expect("a database"), NEW);
    }
}

#[test]
fn the_last_good_address_outlives_every_failure_of_dns() {
    for (failure, named) in [
        (Behaviour::NxDomain, "NXDOMAIN"),
        (Behaviour::NoData, "NODATA"),
        (Behaviour::ServFail, "SERVFAIL"),
        (Behaviour::Refused, "REFUSED"),
        (Behaviour::Silent, "silence"),
    ] {
        let world = World::new();
        let _databases = [OLD, NEW].map(|ip| world.database(ip));
        let proxy = world.proxy("--linger 0s");
        let mut session = proxy.client();
        world.dns.set(WRITER, failure);
        let told = proxy.daemon.wait_for_log(&["cannot be resolved"]);
        assert_says(&told, &["connections go on to 127.0.0.2"]);
        assert_eq!(proxy.leads_to(), OLD, "{named}");
        session.assert_served();
        let looks = world.dns.count(WRITER);
        assert!(world.dns.wait_for_queries(WRITER, looks + 2, PATIENCE), "{named}");
        assert_eq!(proxy.leads_to(), OLD, "{named}");
        session.assert_served();
        world.move_to(&[NEW]);
        proxy.daemon.wait_for_log(&["resolved again: 127.0.0.3"]);
        assert_eq!(proxy.leads_to(), NEW, "{named}");
        session.assert_cut();
    }
}

#[test]
fn it_starts_while_dns_is_down_and_serves_from_the_first_answer_on() {
    for failure in [Behaviour::NxDomain, Behaviour::ServFail, Behaviour::Silent] {
        let world = World::new();
        let _database = world.database(OLD);
        world.dns.set(WRITER, failure);
        let proxy = world.proxy("--dial-timeout 1s");
        proxy.assert_refuses();
        let told = proxy.daemon.wait_for_log(&["cannot be resolved"]);
        assert_says(&told, &["clients wait until it can"]);
        let told = proxy
            .daemon
            .wait_for_log(&["a connection from 127.0.0.1:", "is refused"]);
        assert_says(&told, &["the name has not been resolved yet"]);
        world.move_to(&[OLD]);
        proxy.daemon.wait_for_log(&["is at 127.0.0.2"]);
        assert_eq!(proxy.leads_to(), OLD);
    }
}

#[test]
fn a_connection_that_comes_before_the_first_answer_waits_for_it() {
    let world = World::new();
    let _database = world.database(OLD);
    world
        .dns
        .set(WRITER, Behaviour::a(OLD, 1).delayed(Duration::from_millis(500)));
    let proxy = world.proxy("");
    assert_eq!(proxy.leads_to(), OLD);
}

#[test]
fn a_flap_takes_new_connections_along_and_leaves_old_sessions_to_the_linger() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let proxy = world.proxy("--linger 5s");
    let mut before = proxy.client();
    world.move_to(&[NEW]);
    proxy.daemon.wait_for_log(&["moved from 127.0.0.2 to 127.0.0.3"]);
    let during = proxy.client();
    assert_eq!(during.at, NEW);
    world.move_to(&[OLD]);
    proxy.daemon.wait_for_log(&["moved from 127.0.0.3 to 127.0.0.2"]);
    let mut after = proxy.client();
    assert_eq!(after.at, OLD);
    // Now the linger is over for the address that was left last; the other one had been named again in time.
    during.assert_cut();
    before.assert_served();
    after.assert_served();
}

#[test]
fn addresses_outside_the_guard_are_not_connected_to() {
    let world = World::new();
    let forbidden = world.database(OLD);
    let _allowed = world.database(NEW);
    world.move_to(&[OLD, NEW]);
    let proxy = world.proxy("--allow-cidr 127.0.0.3 --allow-cidr 127.9.0.0/16");
    for _ in 0..16 {
        assert_eq!(proxy.leads_to(), NEW);
    }
    // Nothing that is left of these answers may be connected to: what was good before stays.
    for answer in [&[OLD][..], &["0.0.0.0"], &["224.0.0.1", "255.255.255.255"]] {
        world.move_to(answer);
        // The second look from now on begins when the first has been taken in.
        let looks = world.dns.count(WRITER);
        assert!(world.dns.wait_for_queries(WRITER, looks + 2, PATIENCE), "{answer:?}");
        assert_eq!(proxy.leads_to(), NEW, "{answer:?}");
    }
    let told = proxy.daemon.wait_for_log(&["may be connected to"]);
    assert_says(&told, &["127.0.0.2", "go on to 127.0.0.3", "--allow-cidr"]);
    assert_eq!(times_logged(&proxy.daemon, &["may be connected to"]), 1);
    assert_eq!(forbidden.accepted(), 0);
}

#[test]
fn an_address_that_no_host_has_is_never_connected_to() {
    for answer in ["0.0.0.0", "224.0.0.1"] {
        let world = World::new();
        world.move_to(&[answer]);
        let proxy = world.proxy("--dial-timeout 1s");
        proxy.assert_refuses();
        proxy.daemon.wait_for_log(&["no address of the answer", answer]);
    }
}

#[test]
fn the_family_says_which_addresses_are_connected_to() {
    if TcpListener::bind("[::1]:0").is_err() {
        // A machine without IPv6 has no such addresses.
        return;
    }
    let world = World::new();
    let _databases = [OLD, "::1"].map(|ip| world.database(ip));
    world.move_to(&[OLD, "::1"]);
    for (arguments, expect) in [
        ("", OLD),
        ("--ip-family ipv4", OLD),
        ("--ip-family ipv6", "::1"),
        ("--ip-family ipv6 --listen [::1]:0", "::1"),
    ] {
        assert_eq!(world.proxy(arguments).leads_to(), expect, "{arguments}");
    }
}

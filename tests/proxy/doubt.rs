//! What a failing address does to the looks at DNS, and to the clients that are being connected to it.

use std::thread;
use std::time::{Duration, Instant};

use testkit::dns::Behaviour;

use super::hole::BlackHole;
use super::world::{
    Client, End, NEW, OLD, PATIENCE, Proxy, WRITER, World, assert_refused, connect, read_to_end, wait_until,
};

/// Neither the end of its answer nor its pace would make the process look again during a test.
const RARELY: &str = "--interval 60s";
const LONG_TTL: u32 = 60;
/// RDS gives no such TTL.
const OWN: &str = "orders.db.internal";

fn rarely_looking(world: &World, arguments: &str) -> Proxy {
    world.dns.set(OWN, Behaviour::a(OLD, LONG_TTL));
    Proxy::start(&mut world.command_for(OWN, &format!("{RARELY} {arguments}")))
}

#[test]
fn a_client_whose_database_refuses_is_connected_to_the_one_that_dns_names_by_now() {
    let world = World::new();
    let old = world.database(OLD);
    let _new = world.database(NEW);
    let proxy = rarely_looking(&world, "");
    assert_eq!(proxy.leads_to(), OLD);
    world.dns.set(OWN, Behaviour::a(NEW, LONG_TTL));
    drop(old);
    assert_eq!(proxy.leads_to(), NEW);
    assert_eq!(world.dns.count(OWN), 2);
}

#[test]
fn a_reset_by_the_current_database_makes_it_look_at_once() {
    let world = World::new();
    let old = world.database(OLD);
    let _new = world.database(NEW);
    let proxy = rarely_looking(&world, "");
    let client = proxy.client();
    world.dns.set(OWN, Behaviour::a(NEW, LONG_TTL));
    old.reset_sessions();
    proxy.daemon.wait_for_log(&["moved from 127.0.0.2 to 127.0.0.3"]);
    assert_eq!(proxy.leads_to(), NEW);
    assert_eq!(world.dns.count(OWN), 2);
    drop(client);
}

#[test]
fn a_database_that_does_not_answer_makes_it_look_at_once() {
    let world = World::new();
    let _hole = BlackHole::dig(world.at(OLD));
    let _new = world.database(NEW);
    let proxy = rarely_looking(&world, "--dial-timeout 500ms");
    proxy.daemon.wait_for_log(&["is at 127.0.0.2"]);
    world.dns.set(OWN, Behaviour::a(NEW, LONG_TTL));
    proxy.assert_refuses();
    let told = proxy.daemon.wait_for_log(&["127.0.0.2 does not accept connections"]);
    assert!(told.contains("no answer in time"), "{told}");
    proxy.daemon.wait_for_log(&["moved from 127.0.0.2 to 127.0.0.3"]);
    assert_eq!(proxy.leads_to(), NEW);
}

#[test]
fn a_session_that_ends_in_order_raises_no_doubt() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = rarely_looking(&world, "");
    for _ in 0..8 {
        let (client, upstream) = proxy.session(&listener);
        drop(upstream);
        assert_eq!(read_to_end(&client), (Vec::new(), End::InOrder));
        drop(client);
        let (client, upstream) = proxy.session(&listener);
        drop(client);
        assert_eq!(read_to_end(&upstream), (Vec::new(), End::InOrder));
    }
    assert_eq!(world.dns.count(OWN), 1);
}

#[test]
fn in_doubt_it_looks_whenever_the_answer_expires_and_at_most_ten_times_a_second() {
    const LOOKS: usize = 8;
    let world = World::new();
    let old = world.database(OLD);
    world.dns.set(WRITER, Behaviour::a(OLD, 0));
    let proxy = world.proxy("");
    let client = proxy.client();
    old.reset_sessions();
    let before = world.dns.count(WRITER);
    let reset = Instant::now();
    assert!(world.dns.wait_for_queries(WRITER, before + LOOKS, PATIENCE));
    let took = reset.elapsed();
    // At the usual pace, one a second, it would be twice as long; at ten a second, less than one.
    assert!(took < Duration::from_secs(4), "{LOOKS} looks took {took:?}");
    let queries = world.dns.queries();
    let apart = queries
        .windows(2)
        .skip(before)
        .map(|pair| pair[1].at.saturating_duration_since(pair[0].at));
    let least = apart.min().expect("queries");
    assert!(least >= Duration::from_millis(98), "two looks were {least:?} apart");
    drop(client);
}

#[test]
fn a_ttl_is_kept_even_in_doubt() {
    let world = World::new();
    let old = world.database(OLD);
    world.dns.caching(true);
    world.dns.set(OWN, Behaviour::a(OLD, 2));
    let proxy = Proxy::start(&mut world.command_for(OWN, RARELY));
    let client = proxy.client();
    old.reset_sessions();
    assert!(world.dns.wait_for_queries(OWN, 5, PATIENCE));
    let queries = world.dns.queries();
    // The look that the doubt made at once is told what is left of the TTL.
    let span = queries[4].at.saturating_duration_since(queries[0].at);
    assert!(span > Duration::from_secs(4), "five looks within {span:?}");
    drop(client);
}

#[test]
fn in_doubt_a_failing_name_server_is_asked_again_and_again() {
    let world = World::new();
    let old = world.database(OLD);
    let proxy = rarely_looking(&world, "");
    let client = proxy.client();
    world.dns.set(OWN, Behaviour::ServFail);
    old.reset_sessions();
    // At the usual pace, the waits would double from one to the next.
    assert!(world.dns.wait_for_queries(OWN, 20, PATIENCE), "{}", proxy.daemon.log());
    drop(client);
}

#[test]
fn a_doubt_ends_after_half_a_minute() {
    const LASTS: Duration = Duration::from_secs(30);
    let world = World::new();
    let old = world.database(OLD);
    world.dns.set(WRITER, Behaviour::a(OLD, 0));
    let proxy = world.proxy("");
    let client = proxy.client();
    let reset = Instant::now();
    old.reset_sessions();
    let is_hasty = |looks: usize| {
        assert!(world.dns.wait_for_queries(WRITER, looks, PATIENCE));
        let queries = world.dns.queries();
        let [.., before, last] = queries.as_slice() else {
            return true;
        };
        last.at.saturating_duration_since(before.at) < Duration::from_millis(900)
    };
    // The first looks are calm until the reset is noticed.
    assert!(world.dns.wait_for_queries(WRITER, 20, PATIENCE));
    while is_hasty(world.dns.count(WRITER) + 1) && reset.elapsed() < LASTS + PATIENCE {}
    let calm = reset.elapsed();
    assert!(calm > LASTS && calm < LASTS + PATIENCE, "calm after {calm:?}");
    drop(client);
}

#[test]
fn a_connection_that_is_still_being_made_when_the_address_changes_is_made_anew() {
    const CLIENTS: usize = 8;
    let world = World::new();
    let hole = BlackHole::dig(world.at(OLD));
    let new = world.database(NEW);
    let proxy = world.proxy("");
    proxy.daemon.wait_for_log(&["is at 127.0.0.2"]);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| connect(proxy.address).expect("it listens"))
        .collect();
    wait_until("all are being connected", || hole.waiting() == CLIENTS);
    assert_eq!(new.accepted(), 0);
    world.move_to(&[NEW]);
    for stream in clients {
        let mut client = Client::greeted(stream).expect("latency, but no error");
        assert_eq!(client.at, NEW);
        client.assert_served();
    }
    // Those that were in time; one more asked for the others.
    assert!((CLIENTS..=CLIENTS + 1).contains(&new.accepted()), "{}", new.accepted());
}

#[test]
fn a_client_of_a_database_that_never_answers_is_refused_in_time() {
    let world = World::new();
    let _hole = BlackHole::dig(world.at(OLD));
    let proxy = world.proxy("--dial-timeout 300ms");
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let address = proxy.address;
            thread::spawn(move || Client::connect(address).err())
        })
        .collect();
    for client in clients {
        assert_refused(client.join().expect("no panic"), &proxy.daemon.log());
    }
}

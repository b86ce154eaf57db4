//! What a load balancer's health check costs the database: nothing while a session speaks for it, and nothing at all if so
//! wished.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use testkit::http::ask;

use super::standin::{Mood, Postgres, knock};
use super::world::{Client, OLD, Proxy, World, address_after, assert_refused, assert_says, wait_until};

fn pages(proxy: &Proxy) -> SocketAddr {
    address_after(&proxy.daemon.wait_for_log(&["serving http://"]), "serving http://")
}

#[track_caller]
fn wait_for(what: &str, lasts: Duration) {
    let began = Instant::now();
    wait_until(what, || began.elapsed() >= lasts);
}

/// Such as Debezium's between two transactions: the peer acknowledges that it is there, and that is proof.
#[test]
fn beside_a_session_that_says_nothing_nobody_connects() {
    for readiness in ["postgres", "tcp"] {
        let world = World::new();
        let database = Postgres::start(world.at(OLD), Mood::Ready);
        let proxy = world.proxy(&format!(
            "--readiness {readiness} --probe-interval 1s --http 127.0.0.1:0"
        ));
        let pages = pages(&proxy);
        let mut client = Client::greeted(knock(proxy.address).expect("it listens")).expect("a session");
        wait_for("what came before has been counted", Duration::from_secs(1));
        let before = database.probes();
        for _ in 0..2 {
            wait_for("probes would have come", Duration::from_secs(9));
            let page = ask(pages, "GET", "/readyz");
            assert_eq!(page.status, 200, "{page:?}");
        }
        assert_eq!(database.probes(), before, "{readiness}");
        client.assert_served();
        // The control: without it they come.
        drop(client);
        wait_for("it speaks for its address no more", Duration::from_secs(5));
        wait_until("it is probed", || database.probes() > before);
    }
}

#[test]
fn never_is_never_and_ready_unless_a_client_found_otherwise() {
    let world = World::new();
    let database = Postgres::start(world.at(OLD), Mood::Ready);
    let proxy = world.proxy("--readiness postgres --probe-interval never --http 127.0.0.1:0 --dial-timeout 1s");
    let pages = pages(&proxy);
    proxy.daemon.wait_for_log(&["is at 127.0.0.2"]);
    let ready = || ask(pages, "GET", "/readyz");
    assert_eq!(ready().status, 200);
    assert_says(
        &ready().body,
        &["127.0.0.2 has not failed a connection", "probe_interval is never"],
    );
    wait_for("a probe would have come", Duration::from_secs(2));
    assert_eq!(database.probes(), 0);
    drop(database);
    let client = knock(proxy.address).expect("it listens");
    assert_refused(Client::greeted(client).err(), &proxy.daemon.log());
    wait_until("it is not ready", || ready().status == 503);
    assert_says(&ready().body, &["connection refused"]);
    // It finds out by itself that it is back: no client would be sent here.
    let database = Postgres::start(world.at(OLD), Mood::Ready);
    wait_until("it is ready again", || ready().status == 200);
    assert!(database.probes() > 0);
}

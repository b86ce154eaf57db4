//! What stale answers, silent name servers and names that rotate do to sessions.

use testkit::dns::{self, Behaviour};

use super::world::{Client, NEW, OLD, PATIENCE, Proxy, WRITER, World};

/// A name of one's own, which leads to no RDS name.
const OWN: &str = "orders.db.internal";

/// Fails if a stale answer moves new connections, or cuts a session.
#[test]
fn a_stale_answer_moves_nothing() {
    for stale in [Behaviour::a(OLD, 5).stale(), Behaviour::a(OLD, 30)] {
        let world = World::new();
        let _databases = [OLD, NEW].map(|ip| world.database(ip));
        world.move_to(&[NEW]);
        let proxy = world.proxy("--linger 0s");
        let mut session = proxy.client();
        world.dns.set(WRITER, stale);
        proxy
            .daemon
            .wait_for_log(&["cannot be resolved", "a stale answer (127.0.0.2"]);
        assert_eq!(proxy.leads_to(), NEW);
        session.assert_served();
        world.dns.set(WRITER, Behaviour::a(OLD, 1));
        session.assert_cut();
    }
}

/// Fails if the sessions that a name server has led to are cut because it is silent, or outlive its next word.
#[test]
fn sessions_stay_while_a_silent_name_server_vouches_for_them() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let second = dns::Server::start();
    second.set(WRITER, Behaviour::a(NEW, 1));
    let proxy = world.proxy(&format!("--linger 0s --nameserver {}", second.addr()));
    proxy.daemon.wait_for_log(&["is at 127.0.0.2, 127.0.0.3"]);
    let mut session = loop {
        let client = proxy.client();
        if client.at == NEW {
            break client;
        }
    };
    second.set(WRITER, Behaviour::Silent);
    proxy
        .daemon
        .wait_for_log(&["moved from 127.0.0.2, 127.0.0.3 to 127.0.0.2"]);
    assert!(
        world
            .dns
            .wait_for_queries(WRITER, world.dns.count(WRITER) + 3, PATIENCE)
    );
    session.assert_served();
    second.set(WRITER, Behaviour::a(OLD, 1));
    session.assert_cut();
}

/// Fails if a name that gives two addresses in turn cuts a session each time, or nobody is told.
#[test]
fn a_name_that_rotates_cuts_no_sessions() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let turns = [OLD, NEW, OLD, NEW, NEW, NEW, NEW].map(|ip| Behaviour::a(ip, 1));
    world.dns.set(OWN, Behaviour::Sequence(turns.to_vec()));
    let proxy = Proxy::start(&mut world.command_for(OWN, "--interval 1s"));
    let told = proxy.daemon.wait_for_log(&["gives 127.0.0.2, 127.0.0.3 in turn"]);
    assert!(told.contains("WARN"), "{told}");
    let mut sessions = [proxy.client(), proxy.client()];
    // One change more, and then longer than a writer's sessions outlive theirs.
    assert!(world.dns.wait_for_queries(OWN, 11, PATIENCE));
    sessions.iter_mut().for_each(Client::assert_served);
}

//! The built binary behind the caches that people have in front of RDS's name servers: a failover is seen through each, and what has
//! expired is never taken for what is so now.
#![allow(clippy::disallowed_methods, reason = "real caches live in real time")]

mod cache;
mod world;

use std::time::{Duration, Instant};

use testkit::dns::{self, Behaviour};
use testkit::world::WRITER;

use cache::{Cache, Kind};
use world::*;

/// How much longer all may take on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_secs(5);

/// In so many looks that were believed, a target or a session that they do not name would go.
const LOOKS: u64 = 5;

/// One test of a case for each of these caches.
macro_rules! behind {
    ($($(#[$about:meta])* $case:ident: $($cache:ident = $kind:ident),+;)+) => {
        $(
            $(#[$about])*
            mod $case {
                use super::cache::Kind;

                $(
                    #[test]
                    #[ignore = "needs the caches: tests/run provides them"]
                    fn $cache() {
                        super::$case(Kind::$kind);
                    }
                )+
            }
        )+
    };
}

behind! {
    a_failover_is_followed:
        dnsmasq = Dnsmasq, unbound = Unbound, kresd = Kresd, kresd_alone = KresdAlone, pdns = Pdns, bind = Bind, dnsdist = Dnsdist,
        dnsmasq_stale = DnsmasqStale, unbound_stale = UnboundStale, kresd_stale = KresdStale, pdns_stale = PdnsStale,
        bind_stale = BindStale, bind_stale_at_once = BindStaleAtOnce, dnsdist_stale = DnsdistStale;
    a_start_does_not_believe_what_has_expired:
        dnsmasq_stale = DnsmasqStale, unbound_stale = UnboundStale, kresd_stale = KresdStale, pdns_stale = PdnsStale,
        bind_stale = BindStale, bind_stale_at_once = BindStaleAtOnce, dnsdist_stale = DnsdistStale;
    a_start_during_an_outage_changes_nothing:
        dnsmasq_stale = DnsmasqStale, unbound_stale = UnboundStale, kresd_stale = KresdStale,
        bind_stale = BindStale, bind_stale_at_once = BindStaleAtOnce, dnsdist_stale = DnsdistStale;
    an_outage_is_told_and_outlived:
        dnsmasq_stale = DnsmasqStale, unbound_stale = UnboundStale, kresd_stale = KresdStale, pdns_stale = PdnsStale,
        bind_stale = BindStale, bind_stale_at_once = BindStaleAtOnce, dnsdist_stale = DnsdistStale;
    a_failure_removes_nothing:
        dnsmasq = Dnsmasq, unbound = Unbound, kresd = Kresd, pdns = Pdns, bind = Bind, dnsdist = Dnsdist,
        dnsmasq_stale = DnsmasqStale, unbound_stale = UnboundStale, kresd_stale = KresdStale, pdns_stale = PdnsStale,
        bind_stale = BindStale, bind_stale_at_once = BindStaleAtOnce, dnsdist_stale = DnsdistStale;
    a_name_that_is_gone_for_a_moment_removes_nothing:
        dnsmasq = Dnsmasq, unbound = Unbound, kresd = Kresd, pdns = Pdns, bind = Bind, dnsdist = Dnsdist,
        dnsmasq_stale = DnsmasqStale, unbound_stale = UnboundStale, kresd_stale = KresdStale, pdns_stale = PdnsStale,
        bind_stale = BindStale, bind_stale_at_once = BindStaleAtOnce, dnsdist_stale = DnsdistStale;
    the_word_of_a_stale_server_does_not_count_beside_a_good_one:
        dnsmasq_stale = DnsmasqStale, unbound_stale = UnboundStale, kresd_stale = KresdStale,
        bind_stale = BindStale, bind_stale_at_once = BindStaleAtOnce, dnsdist_stale = DnsdistStale;
    sessions_outlive_a_good_server_beside_a_stale_one:
        dnsmasq_stale = DnsmasqStale, unbound_stale = UnboundStale, kresd_stale = KresdStale,
        bind_stale = BindStale, bind_stale_at_once = BindStaleAtOnce, dnsdist_stale = DnsdistStale;
}

/// Fails if a cache hides a failover for longer than it keeps an answer, or a healthy one raises an alarm.
fn a_failover_is_followed(kind: Kind) {
    let world = World::settled(kind);
    let daemon = world.run("--forget 2s");
    world.move_to(NEW);
    let moved = Instant::now();
    world.wait_for("Register", NEW, &daemon);
    let (took, limit) = (moved.elapsed(), kind.shows_a_change_within() + SLACK);
    assert!(took < limit, "registered after {took:?}\n{}", daemon.log());
    world.wait_for("Deregister", OLD, &daemon);
    let (status, log) = daemon.stop();
    assert!(status.success(), "{status}:\n{log}");
    let is_trouble = |line: &str| line.contains("WARN") && !line.contains("did not register") || line.contains("ERROR");
    assert!(!log.lines().any(is_trouble), "{log}");
    assert_eq!(world.rds.registered(), ["10.0.2.7:5432"]);

    let synced = finish(&mut world.bound("sync"));
    assert_ended(&synced, 0);
    assert_says(&said(&synced), &["settled"]);
}

/// Fails if nobody is told that a failover cannot be seen: before it asks, BIND answers with the alias that has expired, then asks
/// for what that leads to, and never for the alias.
#[test]
#[ignore = "needs the caches: tests/run provides them"]
fn an_alias_that_is_never_renewed_is_told() {
    let world = World::settled_as(Shape::Alias, Kind::BindStaleAtOnce);
    let daemon = world.run("--forget 1s --http 127.0.0.1:0");
    world.move_to(NEW);
    wait_for_words(&daemon, &["WARN", "cannot be resolved, so nothing is removed", "stale"]);
    wait_for_page(&daemon, "/metrics", &["outcome=\"stale\""]);
    let synced = finish(world.bound("sync").args(["--timeout", "5s"]));
    assert_ended(&synced, 69);
    world.assert_untouched(&said(&synced));
}

/// Fails if the expired answer is taken for the state of now: registered, or called settled.
fn a_start_does_not_believe_what_has_expired(kind: Kind) {
    let world = World::failed_over_unseen(kind);
    let synced = finish(world.bound("sync").args(["--forget", "1s"]));
    assert_ended(&synced, 0);
    world.assert_untouched(&said(&synced));
    assert_says(&said(&synced), &["settled", NEW]);
}

/// Fails if the expired answer, which is all there is, moves a target.
fn a_start_during_an_outage_changes_nothing(kind: Kind) {
    let world = World::failed_over_unseen(kind);
    world.rds.dns.silent(true);
    let synced = finish(world.bound("sync").args(["--forget", "1s", "--timeout", "12s"]));
    assert_ended(&synced, 69);
    world.assert_untouched(&said(&synced));
    assert_says(&said(&synced), &["cannot be resolved"]);
}

/// Fails if an outage of the name servers is hidden by a cache, does harm, or needs anybody to end.
fn an_outage_is_told_and_outlived(kind: Kind) {
    let world = World::settled(kind);
    let daemon = world.run("--forget 1s --http 127.0.0.1:0");
    world.rds.dns.silent(true);
    let silent = Instant::now();
    let (words, outcome) = kind.tells_an_outage_as();
    wait_for_words(&daemon, &["WARN", "cannot be resolved, so nothing is removed", words]);
    let (took, limit) = (silent.elapsed(), kind.shows_an_outage_within() + SLACK);
    assert!(took < limit, "told after {took:?}\n{}", daemon.log());
    wait_for_page(&daemon, "/status", &["cannot be resolved", words]);
    wait_for_page(&daemon, "/metrics", &[&format!("outcome=\"{outcome}\"")]);
    world.assert_untouched(&daemon.log());

    world.move_to(NEW);
    world.rds.dns.silent(false);
    world.wait_for("Register", NEW, &daemon);
    world.wait_for("Deregister", OLD, &daemon);
    assert_eq!(world.rds.registered(), ["10.0.2.7:5432"]);
}

/// Fails if a failure of the name servers removes a target.
fn a_failure_removes_nothing(kind: Kind) {
    let world = World::settled(kind);
    let daemon = world.run("--forget 1s");
    world.rds.dns.set(WRITER, Behaviour::ServFail);
    wait_for_words(&daemon, &["WARN", "cannot be resolved, so nothing is removed"]);
    world.assert_untouched(&daemon.log());
}

/// Fails if one wrong answer, which a cache keeps, removes a target, or is not forgotten.
fn a_name_that_is_gone_for_a_moment_removes_nothing(kind: Kind) {
    let world = World::settled(kind);
    let daemon = world.run("--forget 1s");
    world.rds.dns.set(WRITER, Behaviour::NxDomain);
    wait_for_words(&daemon, &["WARN", "cannot be resolved, so nothing is removed"]);
    world.assert_untouched(&daemon.log());
    world.move_to(NEW);
    world.wait_for("Register", NEW, &daemon);
    world.wait_for("Deregister", OLD, &daemon);
}

/// Fails if a server that has only what expired takes the live target away, even when nobody else answers any more.
fn the_word_of_a_stale_server_does_not_count_beside_a_good_one(kind: Kind) {
    let world = World::settled(kind);
    let good = dns::Server::start();
    name(&good, Shape::Alias, OLD);
    let mut command = world.rds.bound_by("run", &[world.cache.address, good.addr()]);
    let daemon = Daemon::start(command.args(["--forget", "1s", "--http", "127.0.0.1:0"]));
    daemon.wait_for_log(&["settled"]);
    world.rds.dns.silent(true);
    wait_for_no_answer(&daemon, world.cache.address);

    name(&good, Shape::Alias, NEW);
    world.wait_for("Register", NEW, &daemon);
    good.silent(true);
    wait_for_words(&daemon, &["WARN", "cannot be resolved, so nothing is removed"]);
    wait_for_looks(&daemon, world.cache.address, LOOKS);
    assert_eq!(world.rds.writes(), ["Register 10.0.2.7:5432"], "{}", daemon.log());
}

/// Fails if new connections go where only a stale server leads, or sessions with the live database are cut when the good server
/// falls silent.
fn sessions_outlive_a_good_server_beside_a_stale_one(kind: Kind) {
    let databases = Databases::start();
    let (stale, good) = (dns::Server::start(), dns::Server::start());
    for dns in [&stale, &good] {
        name(dns, Shape::Alias, Databases::OLD);
    }
    let cache = Cache::start(kind, &stale);
    let mut command = databases.proxy(&[cache.address, good.addr()]);
    let daemon = Daemon::start(command.args(["--linger", "1s", "--http", "127.0.0.1:0"]));
    let proxy = daemon.told_after("listening on ");
    daemon.wait_for_log(&["is at 127.0.0.2"]);
    stale.silent(true);
    wait_for_no_answer(&daemon, cache.address);

    name(&good, Shape::Alias, Databases::NEW);
    daemon.wait_for_log(&["moved from 127.0.0.2 to 127.0.0.3"]);
    let sessions: Vec<Session> = (0..4).map(|_| databases.session(&proxy)).collect();
    good.silent(true);
    wait_for_words(&daemon, &["WARN", "cannot be resolved"]);
    wait_for_looks(&daemon, cache.address, LOOKS);
    for mut session in sessions {
        session.assert_open_at(Databases::NEW, &daemon.log());
    }
    databases.session(&proxy).assert_open_at(Databases::NEW, &daemon.log());
}

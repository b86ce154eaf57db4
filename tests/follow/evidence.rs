//! What answers prove: nothing is removed for what a cache has kept too long, for one sample told twice, for one name server's
//! silence, or because a name gives several addresses in turn; and no outage passes without a word.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::dns::watch::Watchers;
use rds_tether::planner::answer::Failure;
use rds_tether::planner::plan::{Note, Reason};
use rds_tether::planner::policy::Policy;
use rds_tether::planner::target::Family;
use rds_tether::proxy::route::Rules;
use tokio::task::JoinHandle;

use super::region::{Following, NEW, OLD, Region};
use super::resolvers::{AS_INSTALLED, Cache, KRESD, PLAIN, Resolvers, SERVING_STALE};

const WRITER: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
const READER: &str = "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com";
/// Gives one of its addresses in each answer.
const ROTATING: &str = "rotating.db.internal";
const INTERVAL: Duration = Duration::from_secs(5);
/// Has a name by heart: no failover ever reaches it.
const BY_HEART: Cache = Cache {
    keeps_least: Duration::from_secs(86_400),
    ..PLAIN
};
const HALF_AN_HOUR: u64 = 30 * 60;

async fn follow(region: &Region, resolvers: &Resolvers, arn: &Arn, host: &str) -> Following {
    region
        .follow_through(resolvers.clone(), &[(arn, host)], &Policy::default(), INTERVAL)
        .await
}

fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

fn both_kinds() -> impl Iterator<Item = Cache> {
    AS_INSTALLED.into_iter().chain(SERVING_STALE)
}

/// Follows a name as a proxy does, for as long as this lives, and keeps the addresses whose sessions it would have closed.
fn closed_sessions(
    region: &Region,
    resolvers: &Resolvers,
    host: &'static str,
) -> (Arc<Mutex<BTreeSet<IpAddr>>>, JoinHandle<()>) {
    let closed = Arc::new(Mutex::new(BTreeSet::new()));
    let (seen, rules) = (Arc::clone(&closed), Rules::default());
    let watch = Watchers::new(resolvers.clone(), region.clock(), INTERVAL).follow(host, Family::Ipv4);
    let follows = tokio::spawn(async move {
        let (mut sights, mut route) = (watch.sights(), rules.start(host, 5432));
        let mut led_to = BTreeSet::new();
        while sights.changed().await.is_ok() {
            let sight = Arc::clone(&sights.borrow_and_update());
            if let Ok(answer) = &sight.seen {
                rules.answered(&mut route, host, |ip| rules.check(ip, Family::Ipv4), answer, sight.at);
            }
            led_to.extend(route.addresses.iter().copied());
            let ends = |ip: &&IpAddr| route.ends(**ip).is_some();
            seen.lock().expect("unpoisoned").extend(led_to.iter().filter(ends));
        }
    });
    (closed, follows)
}

/// Fails if an outage behind a cache costs a live target or a good session, or passes without a word: for half an hour nobody is reached, or the
/// authority fails, or it denies the name once, which some caches keep for a minute.
#[tokio::test(start_paused = true)]
async fn an_outage_behind_a_cache_removes_nothing_and_is_told() {
    for cache in both_kinds() {
        for (host, targets) in [
            (WRITER, &[OLD, NEW][..]),
            (READER, &["10.0.1.1", "10.0.1.2", "10.0.1.3"]),
        ] {
            for failure in [Failure::TimedOut, Failure::ServFail, Failure::NxDomain] {
                let told = format!("{} {host} {failure}", cache.name);
                let region = Region::new();
                let arn = region.add_group("orders");
                targets.iter().for_each(|ip| region.put_target(&arn, ip));
                region.name_all(host, targets, if host == READER { 1 } else { 5 });
                let resolvers = Resolvers::new(&region, &[cache]);
                let _following = follow(&region, &resolvers, &arn, host).await;
                let (closed, proxy) = closed_sessions(&region, &resolvers, host);
                region.pass(60).await;
                region.fail_name(host, failure.clone());
                let is_short = failure == Failure::NxDomain;
                // PowerDNS extends what it has by 15 s, in which nobody can know.
                region.pass(if is_short { 2 } else { 40 }).await;
                if !is_short {
                    let report = region.report(&arn).expect("a report");
                    assert!(report.trouble().is_some(), "{told}: not a word after 40 s");
                    region.pass(HALF_AN_HOUR).await;
                }
                region.name_all(host, targets, if host == READER { 1 } else { 5 });
                region.pass(120).await;
                assert_eq!(region.removals(&arn), [], "{told}");
                assert_eq!(*closed.lock().expect("unpoisoned"), BTreeSet::new(), "{told}");
                proxy.abort();
                assert_eq!(
                    region.report(&arn).expect("a report").trouble(),
                    None,
                    "{told}: it is over"
                );
            }
        }
    }
}

/// Fails if what the story above counts sees nothing: after a failover, the sessions to the former writer are closed.
#[tokio::test(start_paused = true)]
async fn a_failover_closes_the_sessions_to_the_former_writer_alone() {
    for cache in both_kinds() {
        let region = Region::new();
        region.name(WRITER, OLD, 5);
        let resolvers = Resolvers::new(&region, &[cache]);
        let (closed, _proxy) = closed_sessions(&region, &resolvers, WRITER);
        region.pass(60).await;
        region.name(WRITER, NEW, 5);
        region.pass(60).await;
        assert_eq!(*closed.lock().expect("unpoisoned"), ips(&[OLD]), "{}", cache.name);
    }
}

/// Fails if two daemons fight because the name server of one has stayed behind: the old writer is registered anew and the live one
/// removed, over and over.
#[tokio::test(start_paused = true)]
async fn a_daemon_behind_a_stale_cache_does_not_fight_with_another() {
    for cache in SERVING_STALE {
        let region = Region::new();
        let arn = region.add_group("orders");
        region.put_target(&arn, OLD);
        region.name(WRITER, OLD, 5);
        let (stale, plain) = (Resolvers::new(&region, &[cache]), Resolvers::new(&region, &[PLAIN]));
        let _behind = follow(&region, &stale, &arn, WRITER).await;
        let _good = follow(&region, &plain, &arn, WRITER).await;
        region.pass(60).await;
        stale.cut_off(0, true);
        // What the cache has left of its last answer is over.
        region.pass(30).await;
        region.name(WRITER, NEW, 5);
        region.pass(HALF_AN_HOUR).await;
        let removed: Vec<_> = region.removals(&arn).into_iter().map(|(_, ips)| ips).collect();
        assert_eq!(removed, [ips(&[OLD])], "{}", cache.name);
        assert_eq!(region.registered(&arn), ips(&[NEW]), "{}", cache.name);
    }
}

/// Fails if a name server that was lost before a failover keeps the former writer in the group, or if the live one goes when the
/// better of the two falls silent as well.
#[tokio::test(start_paused = true)]
async fn a_name_server_that_was_lost_before_a_change_says_nothing_of_it() {
    for cache in SERVING_STALE {
        let told = cache.name;
        let region = Region::new();
        let arn = region.add_group("orders");
        region.put_target(&arn, OLD);
        region.name(WRITER, OLD, 5);
        let resolvers = Resolvers::new(&region, &[cache, PLAIN]);
        let _following = follow(&region, &resolvers, &arn, WRITER).await;
        region.pass(60).await;
        resolvers.cut_off(0, true);
        region.pass(30).await;
        region.name(WRITER, NEW, 5);
        region.pass(300).await;
        assert_eq!(region.registered(&arn), ips(&[NEW]), "{told}");
        assert!(region.report(&arn).expect("a report").is_settled(), "{told}");
        resolvers.silence(1, true);
        region.pass(HALF_AN_HOUR).await;
        assert_eq!(region.registered(&arn), ips(&[NEW]), "{told}: the good one is silent");
        resolvers.silence(1, false);
        resolvers.cut_off(0, false);
        region.pass(240).await;
        assert_eq!(region.registered(&arn), ips(&[NEW]), "{told}: both are back");
        assert!(region.report(&arn).expect("a report").is_settled(), "{told}");
    }
}

/// Fails if what the better of two name servers alone has named is removed when it falls silent, or stays when it is back and says
/// otherwise.
#[tokio::test(start_paused = true)]
async fn a_name_server_that_was_the_last_to_name_a_target_keeps_it() {
    let region = Region::new();
    let arn = region.add_group("orders");
    region.put_target(&arn, OLD);
    region.name(WRITER, OLD, 5);
    let resolvers = Resolvers::new(&region, &[BY_HEART, PLAIN]);
    let _following = follow(&region, &resolvers, &arn, WRITER).await;
    region.pass(60).await;
    region.name(WRITER, NEW, 5);
    region.pass(20).await;
    assert_eq!(region.registered(&arn), ips(&[OLD, NEW]));
    resolvers.silence(1, true);
    region.pass(HALF_AN_HOUR).await;
    assert_eq!(region.removals(&arn), []);
    let report = region.report(&arn).expect("a report");
    let is_vouched = |reason: &Reason| matches!(reason, Reason::Vouched(_));
    assert!(
        report.plan.holds.iter().any(|hold| is_vouched(&hold.reason)),
        "{report:?}"
    );
    assert!(!report.is_settled());
    region.name(WRITER, OLD, 5);
    resolvers.silence(1, false);
    region.pass(240).await;
    assert_eq!(region.registered(&arn), ips(&[OLD]));
    assert!(region.report(&arn).expect("a report").is_settled());
}

/// Fails if two name servers that go on to differ about a writer are taken for one truth.
#[tokio::test(start_paused = true)]
async fn name_servers_that_go_on_to_differ_are_told_of() {
    let region = Region::new();
    let arn = region.add_group("orders");
    region.put_target(&arn, OLD);
    region.name(WRITER, OLD, 5);
    let resolvers = Resolvers::new(&region, &[PLAIN, BY_HEART]);
    let _following = follow(&region, &resolvers, &arn, WRITER).await;
    region.pass(60).await;
    assert!(region.report(&arn).expect("a report").is_settled());
    region.name(WRITER, NEW, 5);
    region.pass(30).await;
    assert!(!region.report(&arn).expect("a report").is_settled());
    region.pass(60).await;
    let report = region.report(&arn).expect("a report");
    let words = report.plan.holds.iter().find_map(|hold| match &hold.reason {
        Reason::Disputed { words, lasts: true } => Some(words.clone()),
        _ => None,
    });
    let words: Vec<_> = words.expect("a hold").into_values().collect();
    assert_eq!(words, [ips(&[NEW]), ips(&[OLD])]);
    assert_eq!(region.registered(&arn), ips(&[OLD, NEW]));
}

/// Fails if one sample of a reader endpoint is counted for each time that a cache repeats it: 15 live readers, of which a few
/// answers name one each.
#[tokio::test(start_paused = true)]
async fn one_sample_told_many_times_is_one() {
    for is_shared in [false, true] {
        let region = Region::new();
        let arn = region.add_group("orders");
        let members: Vec<String> = (1..=15).map(|n| format!("10.0.1.{n}")).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        members.iter().for_each(|ip| region.put_target(&arn, ip));
        region.name_all(READER, &members, 1);
        let resolvers = Resolvers::new(&region, &[Cache { is_shared, ..KRESD }]);
        let _following = follow(&region, &resolvers, &arn, READER).await;
        region.pass(2400).await;
        assert_eq!(region.removals(&arn), [], "shared: {is_shared}");
        // One that has gone is still removed in the end.
        region.name_all(READER, &members[1..], 1);
        region.pass(3600).await;
        let removed: Vec<_> = region.removals(&arn).into_iter().map(|(_, ips)| ips).collect();
        assert_eq!(removed, [ips(&["10.0.1.1"])], "shared: {is_shared}");
    }
}

/// Fails if a start behind a cache that has an expired answer registers the former writer anew.
#[tokio::test(start_paused = true)]
async fn a_start_behind_a_stale_cache_registers_nothing_old() {
    for cache in SERVING_STALE {
        let region = Region::new();
        let arn = region.add_group("orders");
        region.put_target(&arn, OLD);
        region.put_target(&arn, NEW);
        region.name(WRITER, OLD, 5);
        let resolvers = Resolvers::new(&region, &[cache]);
        let earlier = follow(&region, &resolvers, &arn, WRITER).await;
        region.pass(10).await;
        drop(earlier);
        region.name(WRITER, NEW, 5);
        region.drain_target(&arn, OLD);
        region.pass(60).await;
        let _following = follow(&region, &resolvers, &arn, WRITER).await;
        region.pass(120).await;
        assert_eq!(region.registered(&arn), ips(&[NEW]), "{}", cache.name);
        assert_eq!(region.registered_at(&arn, OLD), None, "{}", cache.name);
        assert!(region.report(&arn).expect("a report").is_settled(), "{}", cache.name);
    }
}

/// Fails if a name is not seen in every look behind a cache that gives what has expired first, although that asks for the new at the
/// same time: an answer of a reader endpoint lasts for a second.
#[tokio::test(start_paused = true)]
async fn a_healthy_name_is_never_lost_behind_a_stale_cache() {
    for cache in SERVING_STALE {
        for (host, ttl_secs) in [(WRITER, 5), (READER, 1)] {
            let region = Region::new();
            region.name(host, OLD, ttl_secs);
            let resolvers = Resolvers::new(&region, &[cache]);
            let watch = region.watchers(resolvers, INTERVAL).follow(host, Family::Ipv4);
            let mut sights = watch.sights();
            for look in 0..60 {
                sights.changed().await.expect("the watcher goes on");
                let seen = &sights.borrow().seen;
                assert!(seen.is_ok(), "{} {host}, look {look}: {seen:?}", cache.name);
            }
        }
    }
}

/// Fails if a name that gives two addresses in turn costs more than the removals before it is known for that (of what it had not
/// named yet, and of what it had named first), if it is not noted, or if anything is removed after that.
#[tokio::test(start_paused = true)]
async fn a_rotation_is_not_taken_for_failovers() {
    let mut removals = 0;
    for seed in 0..20 {
        let region = Region::new();
        fastrand::seed(seed);
        let arn = region.add_group("orders");
        let members = [OLD, NEW];
        members.iter().for_each(|ip| region.put_target(&arn, ip));
        region.name_all(ROTATING, &members, 60);
        let resolvers = Resolvers::new(&region, &[PLAIN]);
        let _following = follow(&region, &resolvers, &arn, ROTATING).await;
        region.pass(14 * 60).await;
        let early = region.removals(&arn).len();
        assert!(early <= 2, "seed {seed}: {:?}", region.removals(&arn));
        removals += early;
        region.pass(2 * 3600).await;
        assert_eq!(region.removals(&arn).len(), early, "seed {seed}: after it was known");
        assert_eq!(region.registered(&arn), ips(&members), "seed {seed}");
        let report = region.report(&arn).expect("a report");
        let is_noted = report
            .plan
            .notes
            .iter()
            .any(|note| matches!(note, Note::Rotates { .. }));
        assert!(is_noted, "seed {seed}");
    }
    assert!(removals > 0, "no seed shows what cannot be known at first");
}

/// Fails if a failover, the flap after it, or a failback costs more time than DNS takes, behind any cache as it is installed.
#[tokio::test(start_paused = true)]
async fn failovers_keep_their_seconds_behind_every_cache() {
    for cache in AS_INSTALLED {
        let told = cache.name;
        let region = Region::new();
        let arn = region.add_group("orders");
        region.put_target(&arn, OLD);
        region.name(WRITER, OLD, 5);
        let resolvers = Resolvers::new(&region, &[cache]);
        let _following = follow(&region, &resolvers, &arn, WRITER).await;
        region.pass(100).await;
        for (from, to) in [(OLD, NEW), (NEW, OLD)] {
            let changed = region.elapsed();
            for (ip, secs) in [(to, 8), (from, 6), (to, 120)] {
                region.name(WRITER, ip, 5);
                region.pass(secs).await;
            }
            let within = |at: Option<Duration>, secs: u64| {
                let took = at.expect("done") - changed;
                assert!(took <= Duration::from_secs(secs), "{told}: {took:?} to {to}");
            };
            if to == NEW {
                within(region.registered_at(&arn, NEW), 7);
                within(region.deregistered_at(&arn, OLD), 14 + 60 + 15);
            }
            assert_eq!(region.registered(&arn), ips(&[to]), "{told}");
            assert!(region.report(&arn).expect("a report").is_settled(), "{told}");
        }
    }
}

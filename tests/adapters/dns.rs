//! One look at DNS: typed failures, the union of answers, the deadline.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rds_tether::dns::{Look, Names, Resolver};
use rds_tether::planner::answer::{Blind, Failure, Quorum, Resolution, combine};
use rds_tether::planner::target::Family;
use testkit::dns::{Behaviour, Server};

const NAME: &str = "db.example";
const DEADLINE: Duration = Duration::from_millis(800);
/// What a look may take beyond its deadline on a busy machine, well below a second deadline or a library's default.
const SLACK: Duration = Duration::from_secs(3);

async fn look(servers: &[&Server], family: Family, quorum: Quorum) -> (Look, Duration) {
    let addrs: Vec<SocketAddr> = servers.iter().map(|server| server.addr()).collect();
    let resolver = Resolver::new(&addrs, DEADLINE, quorum).unwrap();
    let start = Instant::now();
    let look = resolver.look(NAME, family).await;
    (look, start.elapsed())
}

fn answering(behaviour: Behaviour) -> Server {
    let server = Server::start();
    server.set(NAME, behaviour);
    server
}

fn answer(look: &Look) -> Resolution {
    combine(look, Quorum::Any).expect("an answer")
}

fn addresses(look: &Look) -> Vec<String> {
    answer(look).addresses().iter().map(IpAddr::to_string).collect()
}

#[tokio::test]
async fn every_failure_has_its_type() {
    let malformed = |failure: &Failure| matches!(failure, Failure::Malformed(_));
    type Check = Box<dyn Fn(&Failure) -> bool>;
    let is = |expect: Failure| -> Check { Box::new(move |failure| *failure == expect) };
    let table: Vec<(Behaviour, Check)> = vec![
        (Behaviour::NxDomain, is(Failure::NxDomain)),
        (Behaviour::NoData, is(Failure::NoData)),
        (Behaviour::NoDataBare, is(Failure::NoData)),
        (
            Behaviour::a("10.0.0.1", 5).truncated().delayed(Duration::from_secs(9)),
            is(Failure::TimedOut),
        ),
        (Behaviour::all(&["fd00::1"], 5), is(Failure::NoData)),
        (Behaviour::ServFail, is(Failure::ServFail)),
        (Behaviour::Refused, is(Failure::Refused)),
        (Behaviour::Silent, is(Failure::TimedOut)),
        (Behaviour::a("10.0.0.1", 5).wrong_id(), is(Failure::TimedOut)),
        (Behaviour::a("10.0.0.1", 5).wrong_name(), is(Failure::TimedOut)),
        (Behaviour::Malformed, Box::new(malformed)),
        (Behaviour::cname("nowhere.example", 5), is(Failure::NxDomain)),
        (Behaviour::cname(NAME, 5), is(Failure::NoData)),
    ];
    for (behaviour, check) in table {
        let server = answering(behaviour.clone());
        let (look, took) = look(&[&server], Family::Ipv4, Quorum::Any).await;
        let [(addr, Err(failure))] = look.as_slice() else {
            panic!("{behaviour:?}: {look:?}")
        };
        assert_eq!(*addr, server.addr());
        assert!(check(failure), "{behaviour:?}: {failure:?}");
        let Err(Blind::NoAddress(failures)) = combine(&look, Quorum::Any) else {
            panic!("{behaviour:?}: {look:?}")
        };
        assert_eq!(failures.get(addr), Some(failure));
        assert!(took < DEADLINE + SLACK, "{behaviour:?} took {took:?}");
    }
}

#[tokio::test]
async fn an_answer_keeps_its_addresses_aliases_and_smallest_ttl() {
    let server = answering(Behaviour::cname("writer.example", 3));
    server.set("writer.example", Behaviour::cname("inst-1.example", 60));
    server.set(
        "inst-1.example",
        Behaviour::all(&["10.0.0.1", "10.0.0.2", "fd00::1"], 5),
    );
    for (family, expect) in [
        (Family::Ipv4, vec!["10.0.0.1", "10.0.0.2"]),
        (Family::Ipv6, vec!["fd00::1"]),
    ] {
        let (look, _) = look(&[&server], family, Quorum::Any).await;
        let resolution = answer(&look);
        assert_eq!(addresses(&look), expect);
        assert_eq!(resolution.ttl, Duration::from_secs(3));
        assert_eq!(resolution.names, ["writer.example", "inst-1.example"]);
    }
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_by_tcp() {
    let many: Vec<String> = (1..=64).map(|n| format!("10.0.0.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let server = answering(Behaviour::all(&many, 5).truncated());
    let (look, _) = look(&[&server], Family::Ipv4, Quorum::Any).await;
    assert_eq!(addresses(&look).len(), 64);
    assert!(server.queries().iter().any(|query| query.tcp));
}

#[tokio::test]
async fn every_look_asks_again() {
    let server = answering(Behaviour::a("10.0.0.1", 3600));
    let resolver = Resolver::new(&[server.addr()], DEADLINE, Quorum::Any).unwrap();
    for (n, address) in ["10.0.0.1", "10.0.0.2", "10.0.0.3"].into_iter().enumerate() {
        server.set(NAME, Behaviour::a(address, 3600));
        assert_eq!(addresses(&resolver.look(NAME, Family::Ipv4).await), [address]);
        assert!(server.count(NAME) > n);
    }
}

#[tokio::test]
async fn a_failure_beside_an_answer_does_not_blind() {
    for failing in [
        Behaviour::NxDomain,
        Behaviour::ServFail,
        Behaviour::Refused,
        Behaviour::Silent,
        Behaviour::Malformed,
    ] {
        let (good, bad) = (answering(Behaviour::a("10.0.0.1", 5)), answering(failing.clone()));
        for servers in [[&good, &bad], [&bad, &good]] {
            let (look, took) = look(&servers, Family::Ipv4, Quorum::Any).await;
            assert_eq!(addresses(&look), ["10.0.0.1"], "{failing:?}");
            let failures = look.iter().filter(|(_, said)| said.is_err()).count();
            assert_eq!(failures, 1, "{failing:?}");
            assert!(took < DEADLINE + SLACK);
        }
    }
}

#[tokio::test]
async fn a_slow_name_server_is_not_waited_for_once_another_has_answered() {
    let good = answering(Behaviour::a("10.0.0.1", 5));
    let silent = answering(Behaviour::Silent);
    let resolver = Resolver::new(&[silent.addr(), good.addr()], Duration::from_secs(10), Quorum::Any).unwrap();
    let start = Instant::now();
    let look = resolver.look(NAME, Family::Ipv4).await;
    assert_eq!(addresses(&look), ["10.0.0.1"]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(look[0], (silent.addr(), Err(Failure::TimedOut)));
}

#[tokio::test]
async fn name_servers_that_disagree_are_united_or_put_to_the_vote() {
    let [one, two, three] = ["10.0.0.1", "10.0.0.2", "10.0.0.2"].map(|ip| answering(Behaviour::a(ip, 5)));
    let (look_any, _) = look(&[&one, &two, &three], Family::Ipv4, Quorum::Any).await;
    assert_eq!(addresses(&look_any), ["10.0.0.1", "10.0.0.2"]);
    let (look_majority, _) = look(&[&one, &two, &three], Family::Ipv4, Quorum::Majority).await;
    let voted = combine(&look_majority, Quorum::Majority).unwrap();
    let all = |ips: &BTreeSet<IpAddr>| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>();
    assert_eq!(all(voted.addresses()), ["10.0.0.2"]);
    assert_eq!(all(&voted.doubtful), ["10.0.0.1"]);
    let (split, _) = look(&[&one, &two], Family::Ipv4, Quorum::Majority).await;
    assert_eq!(combine(&split, Quorum::Majority), Err(Blind::NoQuorum));
}

/// Fails if a look ends before its quorum can be met: three that agree within half a second would be no answer.
#[tokio::test]
async fn a_look_does_not_end_before_its_quorum() {
    let delayed = |millis| answering(Behaviour::a("10.0.0.1", 5).delayed(Duration::from_millis(millis)));
    let [fast, slow, slower] = [0, 400, 500].map(delayed);
    let addrs = [fast.addr(), slow.addr(), slower.addr()];
    let resolver = Resolver::new(&addrs, Duration::from_secs(10), Quorum::Majority).unwrap();
    let look = resolver.look(NAME, Family::Ipv4).await;
    assert_eq!(
        combine(&look, Quorum::Majority).map(|answer| answer.doubtful),
        Ok(BTreeSet::new()),
        "{look:?}"
    );
}

/// Fails if a name server that answers at once with what may be stale keeps one from being heard that takes a while and is well.
#[tokio::test]
async fn what_may_be_stale_is_no_reason_not_to_wait_for_another() {
    const RDS: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
    for hasty in [Behaviour::a("10.0.0.1", 30), Behaviour::a("10.0.0.1", 5).stale()] {
        let servers = [Server::start(), Server::start()];
        servers[0].set(RDS, hasty);
        servers[1].set(RDS, Behaviour::a("10.0.0.2", 5).delayed(Duration::from_millis(500)));
        let addrs = servers.each_ref().map(Server::addr);
        let resolver = Resolver::new(&addrs, Duration::from_secs(10), Quorum::Any).unwrap();
        let look = resolver.look(RDS, Family::Ipv4).await;
        assert!(look[1].1.is_ok(), "{look:?}");
    }
}

//! What real caches have told, as it was recorded (caches.toml), played again to the follower.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rds_tether::dns::{Look, Names};
use rds_tether::planner::answer::{Failure, Quorum, Said};
use rds_tether::planner::policy::Policy;
use rds_tether::planner::target::Family;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::region::{NEW, OLD, Region};

const WRITER: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
const READER: &str = "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com";
const INTERVAL: Duration = Duration::from_secs(5);
const HALF_AN_HOUR: u64 = 30 * 60;
/// How long a look waits.
const LOOK_MAX: Duration = Duration::from_secs(2);
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 53);
/// As many as a cluster can have.
const MEMBERS: u8 = 15;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recordings {
    outage: Vec<Outage>,
    shared: Vec<Shared>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outage {
    cache: String,
    version: String,
    settings: String,
    repeats_from: u64,
    told: Vec<Row>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    secs: [u64; 2],
    ttl: Option<u64>,
    #[serde(default)]
    counts_down: bool,
    ede: Option<u16>,
    #[serde(default)]
    late: bool,
    says: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    cache: String,
    version: String,
    settings: String,
    ttls: Vec<u64>,
}

fn recordings() -> Recordings {
    let recordings: Recordings = toml::from_str(include_str!("caches.toml")).expect("recordings");
    assert!(!recordings.outage.is_empty() && !recordings.shared.is_empty());
    recordings
}

impl Outage {
    fn name(&self) -> String {
        format!("{} {}, {}", self.cache, self.version, self.settings)
    }

    /// What is told in a second, and how far its row has come by then.
    fn told(&self, second: u64) -> (&Row, u64) {
        let end = self.told.last().map_or(0, |row| row.secs[1] + 1);
        let second = match second.checked_sub(end) {
            Some(beyond) => self.repeats_from + beyond % (end - self.repeats_from),
            None => second,
        };
        let row = self.told.iter().find(|row| row.secs[1] >= second);
        let row = row.expect("a row for each second");
        (row, second - row.secs[0])
    }
}

/// A cache whose upstream gave the old address when it started, and has been silent since.
struct Replay {
    outage: Outage,
    start: Instant,
    is_heard: AtomicBool,
}

impl Replay {
    /// What a look hears that begins now, and when.
    fn said(&self) -> (Duration, Result<Said, Failure>) {
        let (row, age) = self.outage.told(self.start.elapsed().as_secs());
        let failure = match row.says.as_deref() {
            Some("SERVFAIL") => return (Duration::ZERO, Err(Failure::ServFail)),
            Some(_) => true,
            // As long as a look waits: every second one is heard.
            None => row.late && self.is_heard.fetch_not(Ordering::Relaxed),
        };
        if failure {
            return (LOOK_MAX, Err(Failure::TimedOut));
        }
        let ttl = row.ttl.expect("an answer has a TTL") - if row.counts_down { age } else { 0 };
        let mut said = Said::new(BTreeSet::from([ip(OLD)]), Duration::from_secs(ttl));
        said.stale = row.ede;
        (if row.late { LOOK_MAX } else { Duration::ZERO }, Ok(said))
    }
}

impl Names for Replay {
    fn servers(&self) -> Vec<SocketAddr> {
        vec![SERVER]
    }

    fn quorum(&self) -> Quorum {
        Quorum::Any
    }

    fn look<'a>(&'a self, _host: &'a str, _family: Family) -> Pin<Box<dyn Future<Output = Look> + Send + 'a>> {
        Box::pin(async move {
            let (after, said) = self.said();
            sleep(after).await;
            vec![(SERVER, said)]
        })
    }
}

/// A cache of a reader endpoint that others ask, too.
struct Sampled {
    shared: Shared,
    start: Instant,
}

impl Names for Sampled {
    fn servers(&self) -> Vec<SocketAddr> {
        vec![SERVER]
    }

    fn quorum(&self) -> Quorum {
        Quorum::Any
    }

    fn look<'a>(&'a self, _host: &'a str, _family: Family) -> Pin<Box<dyn Future<Output = Look> + Send + 'a>> {
        let (second, length) = (self.start.elapsed().as_secs(), self.shared.ttls.len() as u64);
        // Upstream picks at random, and the cache repeats it as often as it was recorded.
        let member = fastrand::Rng::with_seed(second / length).u8(..MEMBERS);
        let ttl = Duration::from_secs(self.shared.ttls[(second % length) as usize]);
        let said = Said::new(BTreeSet::from([self::member(member)]), ttl);
        Box::pin(async move { vec![(SERVER, Ok(said))] })
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn member(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 1, number])
}

/// Fails if a recording has a gap.
#[test]
fn every_second_is_recorded() {
    for outage in recordings().outage {
        let name = outage.name();
        let begins: Vec<u64> = outage.told.iter().map(|row| row.secs[0]).collect();
        let ends = outage.told.iter().map(|row| row.secs[1] + 1);
        let expected: Vec<u64> = std::iter::once(0).chain(ends).collect();
        assert_eq!(begins, expected[..begins.len()], "{name}");
        assert!(outage.repeats_from < expected[begins.len()], "{name}");
        let is_one = |row: &Row| row.ttl.is_some() != row.says.is_some();
        assert!(outage.told.iter().all(is_one), "{name}");
    }
}

/// Fails if the page tells of other versions than those that were recorded.
#[test]
fn the_page_of_caches_names_the_recorded_versions() {
    let page = include_str!("../../docs/caches.md").replace('\n', " ");
    for outage in recordings().outage {
        // The epoch is Debian's own.
        let version = outage
            .version
            .split_once(':')
            .map_or(&*outage.version, |(_, rest)| rest);
        assert!(page.contains(&format!(" {version}")), "{}", outage.name());
    }
}

/// Fails if what a cache goes on to tell while it reaches nobody removes a target, or hides that it does not.
#[tokio::test(start_paused = true)]
async fn an_outage_as_recorded_removes_nothing_and_is_told() {
    for outage in recordings().outage {
        let name = outage.name();
        let region = Region::new();
        let arn = region.add_group("orders");
        // Another process has seen the failover; its name server is well.
        for ip in [OLD, NEW] {
            region.put_target(&arn, ip);
        }
        let names = Replay {
            outage,
            start: Instant::now(),
            is_heard: AtomicBool::new(true),
        };
        let (bindings, policy) = ([(&arn, WRITER)], Policy::default());
        let _following = region.follow_through(names, &bindings, &policy, INTERVAL).await;
        region.pass(40).await;
        let report = region.report(&arn).expect("a report");
        assert!(report.trouble().is_some(), "{name}: not a word after 40 s");
        region.pass(HALF_AN_HOUR).await;
        assert_eq!(region.removals(&arn), [], "{name}");
    }
}

/// Fails if an answer that a cache repeats, because others ask it, counts as many.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_repeated_as_recorded_removes_no_reader() {
    for shared in recordings().shared {
        let name = format!("{} {}, {}", shared.cache, shared.version, shared.settings);
        let region = Region::new();
        let arn = region.add_group("readers");
        for number in 0..MEMBERS {
            region.put_target(&arn, &member(number).to_string());
        }
        let start = Instant::now();
        let names = Sampled { shared, start };
        let (bindings, policy) = ([(&arn, READER)], Policy::default());
        let _following = region.follow_through(names, &bindings, &policy, INTERVAL).await;
        region.pass(2 * HALF_AN_HOUR).await;
        assert_eq!(region.removals(&arn), [], "{name}");
    }
}

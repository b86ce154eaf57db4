//! Somebody else takes right targets away again and again.

use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::planner::policy::Policy;
use rds_tether::planner::taken::QUIET;
use tokio::task::{JoinHandle, JoinSet};

use super::region::{Following, NEW, NEWER, OLD, Region};

const HOST: &str = "orders.example.com";
/// How long a group may be without its target while that goes on.
const WITHOUT_MAX: Duration = Duration::from_secs(10);
/// What comes back within this time has not been noticed by a look for drift.
const DRIFT_MAX: Duration = Duration::from_secs(76);

/// Somebody who takes a target away every 15 to 20 s, whether it is there or not, as long as this lives.
struct Taker(JoinHandle<()>);

impl Taker {
    fn start(region: &Region, arn: &Arn, ip: &'static str) -> Self {
        let (region, arn) = (region.clone(), arn.clone());
        Self(tokio::spawn(async move {
            let mut apart = [15, 20, 17, 16, 19, 18].into_iter().cycle();
            loop {
                region.pass(apart.next().expect("a cycle")).await;
                region.drain_target(&arn, ip);
            }
        }))
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The times that the group was without the target during so many seconds, each with how long it was.
async fn without(region: &Region, arn: &Arn, ip: &str, secs: u64) -> Vec<Duration> {
    let ip = ip.parse().expect("an address");
    let (end, mut times, mut since) = (region.elapsed() + Duration::from_secs(secs), Vec::new(), None);
    while region.elapsed() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = region.elapsed();
        if region.registered(arn).contains(&ip) {
            times.extend(since.take().map(|since| now - since));
        } else {
            since.get_or_insert(now);
        }
    }
    times.extend(since.map(|since| region.elapsed() - since));
    times
}

fn times(region: &Region, arn: &Arn) -> Option<(u32, bool)> {
    let report = region.report(arn).expect("a report");
    let taken = report.plan.taken?;
    Some((taken.most().expect("a target").1, taken.is_trouble()))
}

async fn one(host: &str, ip: &str) -> (Region, Arn, Following) {
    let region = Region::new();
    let arn = region.add_group("orders");
    region.put_target(&arn, ip);
    region.name(host, ip, 5);
    let following = region.follow(&[(&arn, host)]).await;
    region.pass(100).await;
    (region, arn, following)
}

/// Fails if the group is without its target for longer than it takes to notice, if nobody is told, or if the looks that this
/// takes go on when it is over.
#[tokio::test(start_paused = true)]
async fn a_group_is_hardly_without_what_is_taken_away_every_quarter_of_a_minute() {
    let (region, arn, _following) = one(HOST, OLD).await;
    let taker = Taker::start(&region, &arn, OLD);
    let [first, rest @ ..] = &without(&region, &arn, OLD, 600).await[..] else {
        panic!("never taken away");
    };
    // Nobody knows of the first time before the look for drift.
    assert!(*first <= DRIFT_MAX, "{first:?}");
    assert!(rest.len() >= 25, "{} times in ten minutes", rest.len());
    assert!(rest.iter().all(|without| *without < WITHOUT_MAX), "{rest:?}");
    let (times_told, is_trouble) = times(&region, &arn).expect("it is noticed");
    assert!(
        is_trouble && times_told as usize >= rest.len(),
        "{times_told} of {rest:?}"
    );
    drop(taker);
    region.pass(QUIET.as_secs() + 30).await;
    assert_eq!(times(&region, &arn), None, "it is over");
    let before = region.count_calls();
    region.pass(600).await;
    let calls = region.count_calls() - before;
    assert!(calls <= 14, "{calls} calls in ten calm minutes");
}

/// Fails if several groups that are robbed at once take more than their share, or are without a target for longer.
#[tokio::test(start_paused = true)]
async fn nine_groups_at_once_are_hardly_without() {
    let region = Region::new();
    let arns: Vec<Arn> = (0..9)
        .map(|index| region.add_group(&format!("group-{index}")))
        .collect();
    arns.iter().for_each(|arn| region.put_target(arn, OLD));
    region.name(HOST, OLD, 5);
    let bindings: Vec<_> = arns.iter().map(|arn| (arn, HOST)).collect();
    let _following = region.follow(&bindings).await;
    region.pass(100).await;
    let _takers: Vec<Taker> = arns.iter().map(|arn| Taker::start(&region, arn, OLD)).collect();
    region.pass(120).await;
    let before = region.count_calls();
    let mut all = JoinSet::new();
    for arn in arns {
        let region = region.clone();
        all.spawn(async move { without(&region, &arn, OLD, 600).await });
    }
    for without in all.join_all().await {
        assert!(without.len() >= 25, "{without:?}");
        // A first one may have begun before.
        assert!(without.iter().all(|without| *without < WITHOUT_MAX), "{without:?}");
    }
    let a_second = (region.count_calls() - before) as f64 / 600.0;
    assert!(a_second < 3.0, "{a_second} calls a second");
}

/// Fails if groups that are all robbed, more than there are calls for, take the calls of those that are not: of a failover, and of looks for drift.
#[tokio::test(start_paused = true)]
async fn groups_that_are_robbed_starve_nobody() {
    const ROBBED: usize = 300;
    const QUIET_HOST: &str = "quiet.example.com";
    let region = Region::new();
    let arns: Vec<Arn> = (0..ROBBED)
        .map(|index| region.add_group(&format!("group-{index}")))
        .collect();
    let quiet: Vec<Arn> = (0..20)
        .map(|index| region.add_group(&format!("quiet-{index}")))
        .collect();
    arns.iter().chain(&quiet).for_each(|arn| region.put_target(arn, OLD));
    let hosts: Vec<String> = (0..ROBBED).map(|index| format!("db-{index}.example.com")).collect();
    hosts.iter().for_each(|host| region.name(host, OLD, 60));
    region.name(QUIET_HOST, OLD, 5);
    let robbed = arns.iter().zip(hosts.iter().map(String::as_str));
    let bindings: Vec<_> = robbed.chain(quiet.iter().map(|arn| (arn, QUIET_HOST))).collect();
    let interval = Duration::from_secs(60);
    let _following = region.follow_as(&bindings, &Policy::default(), interval).await;
    region.pass(150).await;
    let _takers: Vec<Taker> = arns.iter().map(|arn| Taker::start(&region, arn, OLD)).collect();
    let (began, calls) = (region.elapsed(), region.count_calls());
    region.pass(600).await;
    let a_second = (region.count_calls() - calls) as f64 / 600.0;
    assert!(a_second < 4.0, "{a_second} calls a second");
    let told = arns.iter().filter(|arn| times(&region, arn).is_some()).count();
    assert!(told > ROBBED / 5, "only {told} groups are known to be robbed");
    for arn in &quiet {
        let looks = region.times(arn, "DescribeTargetHealth");
        assert!(looks.iter().any(|at| *at > began), "no look for drift at {arn}");
    }
    // A failover of twenty others, in the middle of it.
    let changed = region.elapsed();
    region.name(QUIET_HOST, NEW, 5);
    region.pass(150).await;
    for arn in &quiet {
        let registered = region.registered_at(arn, NEW).expect("registered") - changed;
        assert!(registered < Duration::from_secs(30), "{registered:?}");
        let removed = region.deregistered_at(arn, OLD).expect("removed") - changed;
        assert!(removed < Duration::from_secs(120), "{removed:?}");
    }
}

/// Fails if what looks like it is told as it: each row is what somebody else does, and how often that counts.
#[tokio::test(start_paused = true)]
async fn what_is_nobody_elses_doing_is_not_counted() {
    // A person takes the target away once.
    let (region, arn, _following) = one(HOST, OLD).await;
    region.drain_target(&arn, OLD);
    region.pass(80).await;
    assert_eq!(times(&region, &arn), Some((1, false)));
    region.pass(QUIET.as_secs()).await;
    assert_eq!(times(&region, &arn), None);

    // An rds-tether beside this one removes the old target of a failover first, and DNS comes back to it.
    let (region, arn, _following) = one(HOST, OLD).await;
    region.name(HOST, NEW, 5);
    region.pass(20).await;
    region.drain_target(&arn, OLD);
    region.pass(20).await;
    region.name(HOST, OLD, 5);
    region.pass(80).await;
    assert!(region.registered_at(&arn, OLD).is_some(), "it is back");
    assert_eq!(times(&region, &arn), None);

    // This one removed it, and DNS comes back to it.
    let (region, arn, _following) = one(HOST, OLD).await;
    region.name(HOST, NEW, 5);
    region.pass(100).await;
    assert!(region.deregistered_at(&arn, OLD).is_some(), "it is gone");
    region.name(HOST, OLD, 5);
    region.pass(20).await;
    assert_eq!(times(&region, &arn), None);

    // It was gone before the first look.
    let region = Region::new();
    let arn = region.add_group("orders");
    region.put_target(&arn, OLD);
    region.drain_target(&arn, OLD);
    region.name(HOST, OLD, 5);
    let _following = region.follow(&[(&arn, HOST)]).await;
    region.pass(60).await;
    assert_eq!(times(&region, &arn), None);
}

/// Fails if a reader endpoint, each of whose answers misses most members, looks like somebody who takes them away, or if who does
/// is not noticed.
#[tokio::test(start_paused = true)]
async fn members_that_take_turns_are_told_from_members_that_are_taken_away() {
    const READER: &str = "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com";
    let region = Region::new();
    let arn = region.add_group("orders");
    region.name(READER, OLD, 1);
    let _following = region.follow(&[(&arn, READER)]).await;
    let turns = region.clone();
    let turning = tokio::spawn(async move {
        for ip in [OLD, NEW, NEWER].into_iter().cycle() {
            turns.name(READER, ip, 1);
            turns.pass(2).await;
        }
    });
    region.pass(1200).await;
    assert_eq!(times(&region, &arn), None, "all is well");
    let taker = Taker::start(&region, &arn, NEW);
    region.pass(300).await;
    let (told, is_trouble) = times(&region, &arn).expect("it is noticed");
    assert!(told >= 8 && is_trouble, "{told}");
    drop(taker);
    turning.abort();
}

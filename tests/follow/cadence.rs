//! When is looked at what: no more often than something can have changed, and no later.

use std::time::Duration;

use rds_tether::aws::failure::Kind;
use rds_tether::planner::answer::Failure;
use rds_tether::planner::policy::Policy;
use tokio::time::sleep;

use super::region::{Fault, NEW, OLD, Region};

const HOST: &str = "orders.example.com";

fn apart(times: &[Duration]) -> Vec<f64> {
    times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
}

/// Fails if a settled group costs more calls than the looks for drift, or fewer.
#[tokio::test(start_paused = true)]
async fn a_settled_group_is_looked_at_for_drift_alone() {
    let region = Region::new();
    let arn = region.add_group("orders");
    region.put_target(&arn, OLD);
    region.name(HOST, OLD, 5);
    let _following = region.follow(&[(&arn, HOST)]).await;
    region.pass(3600).await;
    let apart = apart(&region.times(&arn, "DescribeTargetHealth"));
    assert!((48..=80).contains(&apart.len()), "{} looks in an hour", apart.len());
    assert!(apart.iter().all(|secs| (45.0..=75.3).contains(secs)), "{apart:?}");
    let (least, most) = (
        apart.iter().copied().fold(f64::MAX, f64::min),
        apart.iter().copied().fold(0.0, f64::max),
    );
    assert!(most - least > 10.0, "many would look together: {least} to {most}");
}

/// Fails if the looks for drift of a large fleet take more than half of the calls, or some group is left out.
#[tokio::test(start_paused = true)]
async fn a_hundred_and_fifty_settled_groups_share_half_of_the_calls() {
    let region = Region::new();
    let arns: Vec<_> = (0..150)
        .map(|index| region.add_group(&format!("group-{index}")))
        .collect();
    for arn in &arns {
        region.put_target(arn, OLD);
    }
    region.name(HOST, OLD, 60);
    let bindings: Vec<_> = arns.iter().map(|arn| (arn, HOST)).collect();
    let interval = Duration::from_secs(60);
    let _following = region.follow_as(&bindings, &Policy::default(), interval).await;
    region.pass(300).await;
    let before = region.count_calls();
    region.pass(600).await;
    let a_second = (region.count_calls() - before) as f64 / 600.0;
    assert!((1.4..=2.2).contains(&a_second), "{a_second} calls a second");
    for arn in &arns {
        let looks = region.times(arn, "DescribeTargetHealth").len();
        assert!(looks >= 6, "{looks} looks at {arn}");
    }
}

/// Fails if DNS is asked again before the answer can have changed, or not as soon as it can.
#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_when_its_answer_expires() {
    for (ttl_secs, interval_secs, apart_secs) in [(5, 5, 5.0), (1, 5, 1.0), (60, 5, 5.0), (3, 5, 3.0), (60, 30, 30.0)] {
        let region = Region::new();
        let arn = region.add_group("orders");
        region.put_target(&arn, OLD);
        region.name(HOST, OLD, ttl_secs);
        let interval = Duration::from_secs(interval_secs);
        let _following = region.follow_as(&[(&arn, HOST)], &Policy::default(), interval).await;
        // A new process is not settled before its first look.
        region.pass(30).await;
        let begun = region.looks_at_name(HOST).len();
        region.pass(300).await;
        let apart = apart(&region.looks_at_name(HOST)[begun..]);
        let close = |secs: &f64| (secs - apart_secs).abs() < 0.1;
        assert!(
            apart.iter().all(close),
            "TTL {ttl_secs}, interval {interval_secs}: {apart:?}"
        );
    }
}

/// Fails if a failover is not followed within the TTL, or its end is not reached as soon as forget allows.
#[tokio::test(start_paused = true)]
async fn a_failover_takes_the_ttl_and_forget() {
    let region = Region::new();
    let arn = region.add_group("orders");
    region.put_target(&arn, OLD);
    region.name(HOST, OLD, 5);
    let _following = region.follow(&[(&arn, HOST)]).await;
    region.pass(100).await;
    let changed = region.elapsed();
    region.name(HOST, NEW, 5);
    region.pass(120).await;
    let registered = region.registered_at(&arn, NEW).expect("registered") - changed;
    assert!(
        registered <= Duration::from_millis(5_500),
        "registered after {registered:?}"
    );
    let removed = region.deregistered_at(&arn, OLD).expect("removed") - changed;
    let forget = Duration::from_secs(60);
    assert!(
        (forget..forget + Duration::from_secs(7)).contains(&removed),
        "removed after {removed:?}"
    );
    // Looks at 1, 2, 4 and 8 s after each write, at the end of forget, and for drift.
    let looks = region.times(&arn, "DescribeTargetHealth");
    let since = looks.iter().filter(|at| **at > changed).count();
    assert!((10..=16).contains(&since), "{since} looks in two minutes of a failover");
    let apart = apart(&looks);
    assert!(apart.iter().all(|secs| *secs >= 0.9), "{apart:?}");
}

/// Fails if an unsettled group asks DNS less than every second, or goes on so when all is well.
#[tokio::test(start_paused = true)]
async fn dns_is_asked_every_second_while_something_is_unsettled() {
    let region = Region::new();
    let arn = region.add_group("orders");
    region.put_target(&arn, OLD);
    region.name(HOST, OLD, 30);
    let interval = Duration::from_secs(30);
    let _following = region.follow_as(&[(&arn, HOST)], &Policy::default(), interval).await;
    region.pass(120).await;
    region.name(HOST, NEW, 30);
    // The change is seen by then, and forget is not over.
    region.pass(32).await;
    let begun = region.looks_at_name(HOST).len();
    region.pass(25).await;
    let unsettled = apart(&region.looks_at_name(HOST)[begun..]);
    assert!(unsettled.iter().all(|secs| (0.9..1.2).contains(secs)), "{unsettled:?}");
    region.pass(120).await;
    let begun = region.looks_at_name(HOST).len();
    region.pass(120).await;
    let settled = apart(&region.looks_at_name(HOST)[begun..]);
    assert!(settled.iter().all(|secs| (29.9..30.1).contains(secs)), "{settled:?}");
}

/// Fails if a failing name is asked too often, or its recovery is seen late.
#[tokio::test(start_paused = true)]
async fn a_failing_name_is_asked_at_most_every_half_second_and_at_least_every_interval() {
    for failure in [Failure::NxDomain, Failure::ServFail, Failure::Refused, Failure::NoData] {
        let region = Region::new();
        let arn = region.add_group("orders");
        region.put_target(&arn, OLD);
        region.name(HOST, OLD, 5);
        let _following = region.follow(&[(&arn, HOST)]).await;
        region.pass(60).await;
        region.fail_name(HOST, failure.clone());
        region.pass(10).await;
        let begun = region.looks_at_name(HOST).len();
        region.pass(600).await;
        let looks = region.looks_at_name(HOST).len() - begun;
        assert!((120..=600).contains(&looks), "{failure}: {looks} looks in ten minutes");
        let healed = region.elapsed();
        region.name(HOST, NEW, 5);
        region.pass(10).await;
        let registered = region.registered_at(&arn, NEW).expect("registered") - healed;
        assert!(registered <= Duration::from_millis(6_500), "{failure}: {registered:?}");
        assert_eq!(region.deregistered_at(&arn, OLD), None, "{failure}");
    }
}

/// Fails if what is decided on was said before the group had answered.
#[tokio::test(start_paused = true)]
async fn what_is_registered_after_a_slow_look_is_what_dns_says_then() {
    let region = Region::new();
    let arn = region.add_group("orders");
    region.put_target(&arn, OLD);
    region.name(HOST, OLD, 1);
    let _following = region.follow(&[(&arn, HOST)]).await;
    region.pass(30).await;
    region.fault(None, "DescribeTargetHealth", Fault::Slow(Duration::from_secs(4)));
    region.name(HOST, NEW, 1);
    region.pass(2).await;
    region.name(HOST, "10.0.3.9", 1);
    region.pass(20).await;
    assert!(region.registered_at(&arn, "10.0.3.9").is_some());
    assert_eq!(
        region.registered_at(&arn, NEW),
        None,
        "DNS had changed its mind by then"
    );
}

/// Fails if DNS is asked every second because AWS cannot be reached, which no answer of DNS helps against, or if AWS is
/// called every second because DNS has changed meanwhile.
#[tokio::test(start_paused = true)]
async fn dns_is_asked_no_faster_while_aws_is_down() {
    for is_seen_before in [true, false] {
        let region = Region::new();
        let arn = region.add_group("orders");
        region.put_target(&arn, OLD);
        region.name(HOST, OLD, 5);
        let down = || {
            for action in ["DescribeTargetHealth", "RegisterTargets"] {
                region.fault(None, action, Fault::Fails(Kind::Unavailable));
            }
        };
        if !is_seen_before {
            down();
        }
        let _following = region.follow(&[(&arn, HOST)]).await;
        region.pass(30).await;
        down();
        region.name(HOST, NEW, 5);
        region.pass(10).await;
        let (called, looked) = (region.count_calls(), region.looks_at_name(HOST).len());
        region.pass(60).await;
        let apart = apart(&region.looks_at_name(HOST)[looked..]);
        assert!(
            apart.iter().all(|secs| *secs > 4.9),
            "seen before: {is_seen_before}: {apart:?}"
        );
        let called = region.count_calls() - called;
        assert!(
            (5..=20).contains(&called),
            "seen before: {is_seen_before}: {called} calls in a minute"
        );
        region.heal();
        region.pass(12).await;
        assert!(
            region.registered_at(&arn, NEW).is_some(),
            "seen before: {is_seen_before}"
        );
    }
}

/// Fails if AWS is called because DNS fails, or because it does not fail any more, at the start or later.
#[tokio::test(start_paused = true)]
async fn aws_is_called_no_more_while_dns_comes_and_goes() {
    for is_seen_before in [true, false] {
        let region = Region::new();
        let arn = region.add_group("orders");
        region.put_target(&arn, OLD);
        region.name(HOST, OLD, 1);
        if !is_seen_before {
            region.fail_name(HOST, Failure::ServFail);
        }
        let _following = region.follow(&[(&arn, HOST)]).await;
        for _ in 0..10 {
            region.fail_name(HOST, Failure::ServFail);
            region.pass(2).await;
            region.name(HOST, OLD, 1);
            region.pass(2).await;
        }
        // The description and the first look; the first look for drift comes after 45 s at the earliest.
        assert_eq!(region.count_calls(), 2, "seen before: {is_seen_before}");
    }
}

/// Fails if a group is called settled by a listing from before the process's own write: DNS is back at the old address at once, and
/// the new one has just been registered.
#[tokio::test(start_paused = true)]
async fn a_group_is_settled_by_what_is_listed_after_a_write() {
    for (name, fault) in [("answered", None), ("reply lost", Some(Fault::LostReply))] {
        for later in [40, 100, 400, 900, 1500] {
            let region = Region::new();
            let arn = region.add_group("orders");
            region.put_target(&arn, OLD);
            region.name(HOST, OLD, 1);
            let _following = region.follow(&[(&arn, HOST)]).await;
            region.pass(10).await;
            assert!(region.report(&arn).expect("a report").is_settled());
            if let Some(fault) = fault {
                region.fault(None, "RegisterTargets", fault);
            }
            region.name(HOST, NEW, 0);
            while region.times(&arn, "RegisterTargets").is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
            sleep(Duration::from_millis(later)).await;
            region.name(HOST, OLD, 1);
            let back = region.elapsed();
            while region.elapsed() < back + Duration::from_secs(5) {
                sleep(Duration::from_millis(5)).await;
                let report = region.report(&arn).expect("a report");
                let targets = report.targets.as_ref().expect("they are listed");
                let has_new = targets.keys().any(|target| target.ip.to_string() == NEW);
                assert!(
                    has_new || !report.is_settled(),
                    "{name}, back after {later} ms: settled by a listing without {NEW}, which is registered"
                );
            }
        }
    }
}

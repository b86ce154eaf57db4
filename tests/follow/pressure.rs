//! More to do than calls to do it with: what waits for its turn, or fails for long, does not delay what DNS says now.

use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::aws::failure::Kind;
use rds_tether::planner::answer::Failure;

use super::region::{Fault, Following, NEW, NEWER, OLD, Region};

/// From a change in DNS to its registration: the second until the answer expires, a look, and the calls before it in the
/// queue.
const SOON: Duration = Duration::from_secs(3);

/// Many target groups, each with a name of its own that names the old address.
struct Fleet {
    region: Region,
    arns: Vec<Arn>,
    hosts: Vec<String>,
}

impl Fleet {
    fn new(groups: usize, is_settled: bool) -> Self {
        let region = Region::new();
        let hosts: Vec<String> = (0..groups).map(|index| format!("db-{index:03}.example.com")).collect();
        let arns: Vec<Arn> = (0..groups)
            .map(|index| region.add_group(&format!("group-{index:03}")))
            .collect();
        for (arn, host) in arns.iter().zip(&hosts) {
            region.name(host, OLD, 1);
            if is_settled {
                region.put_target(arn, OLD);
            }
        }
        Self { region, arns, hosts }
    }

    async fn follow(&self) -> Following {
        let bindings: Vec<_> = self.arns.iter().zip(self.hosts.iter().map(String::as_str)).collect();
        self.region.follow(&bindings).await
    }

    fn looks_at(&self, index: usize) -> usize {
        self.region.times(&self.arns[index], "DescribeTargetHealth").len()
    }

    fn unseen(&self) -> usize {
        (0..self.arns.len()).filter(|index| self.looks_at(*index) == 0).count()
    }

    /// A failover of one group now: it is followed soon.
    async fn assert_followed_soon(&self, index: usize, ip: &str) {
        let changed = self.region.elapsed();
        self.region.name(&self.hosts[index], ip, 1);
        tokio::time::sleep(SOON).await;
        let registered = self.region.registered_at(&self.arns[index], ip);
        assert!(
            registered.is_some(),
            "{ip} is not registered {SOON:?} after {changed:?}; {} groups were not looked at by then",
            self.unseen()
        );
    }
}

/// Fails if a first look is as urgent as a change that DNS is known to have made, if registrations wait in turn with looks,
/// or if whoever waits for the turn of a look does not hear DNS meanwhile: each waits for all the other groups.
#[tokio::test(start_paused = true)]
async fn a_failover_is_followed_while_most_groups_wait_for_their_first_look() {
    let fleet = Fleet::new(160, true);
    let _following = fleet.follow().await;
    fleet.region.pass(2).await;
    let index = (0..160).find(|index| fleet.looks_at(*index) > 0).expect("a first look");
    fleet.assert_followed_soon(index, NEW).await;
    assert!(fleet.unseen() >= 70, "only {} groups still waited", fleet.unseen());
    fleet.assert_followed_soon(index, NEWER).await;
    assert!(fleet.unseen() >= 55, "only {} groups still waited", fleet.unseen());
}

/// Fails if a name that cannot be resolved, or can be again, is a reason to look at its group: the calls for that would be
/// taken from whoever has something to register.
#[tokio::test(start_paused = true)]
async fn a_flood_of_blind_endpoints_takes_no_calls() {
    let fleet = Fleet::new(20, true);
    let _following = fleet.follow().await;
    fleet.region.pass(15).await;
    assert_eq!(fleet.unseen(), 0);
    let before: Vec<usize> = (0..20).map(|index| fleet.looks_at(index)).collect();
    for host in &fleet.hosts[1..] {
        fleet.region.fail_name(host, Failure::ServFail);
    }
    fleet.assert_followed_soon(0, NEW).await;
    fleet.region.pass(12).await;
    for (arn, host) in fleet.arns.iter().zip(&fleet.hosts).skip(1) {
        assert!(
            fleet.region.report(arn).expect("a report").trouble().is_some(),
            "{host} is blind"
        );
        fleet.region.name(host, OLD, 1);
    }
    fleet.assert_followed_soon(0, NEWER).await;
    fleet.region.pass(10).await;
    for (index, arn) in fleet.arns.iter().enumerate().skip(1) {
        assert!(
            fleet.region.report(arn).expect("a report").is_settled(),
            "{index} has recovered"
        );
        assert_eq!(
            fleet.looks_at(index),
            before[index],
            "a look at {index} because DNS failed"
        );
    }
}

/// Fails if what fails over and over is tried again as urgently as something new: then all that a process may call goes to
/// groups for which nothing can be done.
#[tokio::test(start_paused = true)]
async fn a_flood_of_failures_does_not_delay_another_group() {
    for action in ["DescribeTargetGroups", "DescribeTargetHealth", "RegisterTargets"] {
        for kind in [Kind::Denied, Kind::Unavailable] {
            let fleet = Fleet::new(40, false);
            fleet.region.put_target(&fleet.arns[0], OLD);
            for arn in &fleet.arns[1..] {
                fleet.region.fault(Some(arn), action, Fault::Fails(kind));
            }
            let _following = fleet.follow().await;
            fleet.region.pass(40).await;
            let tries: usize = fleet.arns[1..]
                .iter()
                .map(|arn| fleet.region.times(arn, action).len())
                .sum();
            assert!(tries >= 80, "{action} {kind:?}: only {tries} tries make no flood");
            fleet.assert_followed_soon(0, NEW).await;
        }
    }
}

/// Fails if an address that ELB never takes is tried at the speed of what is new, is given up for good, or has a share in
/// the pace of another binding.
#[tokio::test(start_paused = true)]
async fn an_address_that_is_never_taken_is_tried_more_and_more_rarely_beside_a_healthy_binding() {
    let fleet = Fleet::new(2, true);
    fleet
        .region
        .fault(Some(&fleet.arns[1]), "RegisterTargets", Fault::Fails(Kind::Address));
    let _following = fleet.follow().await;
    fleet.region.pass(5).await;
    fleet.region.name(&fleet.hosts[1], NEW, 1);
    fleet.region.pass(40).await;
    let tries = fleet.region.times(&fleet.arns[1], "RegisterTargets").len();
    assert!((5..=20).contains(&tries), "{tries} tries in 40 s");
    fleet.assert_followed_soon(0, NEWER).await;
    fleet.region.heal();
    fleet.region.pass(12).await;
    assert!(
        fleet.region.registered_at(&fleet.arns[1], NEW).is_some(),
        "taken in the end"
    );
    assert_eq!(
        fleet.region.deregistered_at(&fleet.arns[1], OLD),
        None,
        "forget is not over"
    );
}

/// Fails if a call that hangs for one group holds up another.
#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_delays_no_other_group() {
    let fleet = Fleet::new(3, true);
    let _following = fleet.follow().await;
    fleet.region.pass(5).await;
    for action in ["DescribeTargetHealth", "RegisterTargets"] {
        fleet.region.fault(Some(&fleet.arns[1]), action, Fault::Hangs);
    }
    fleet.region.name(&fleet.hosts[1], NEW, 1);
    fleet.region.pass(3).await;
    fleet.assert_followed_soon(0, NEW).await;
}

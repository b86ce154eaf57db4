//! The absence clocks from one invocation to the next: in this process and, for the next one, in a tag on the target group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::aws::elb::{self, Client};
use rds_tether::aws::failure::Kind;
use rds_tether::follow::Follower;
use rds_tether::follow::tracker::Tracker;
use rds_tether::function::tag::{self, Clocks, Seal};
use rds_tether::planner::memory::Memory;
use rds_tether::planner::time::Timestamp;
use rds_tether::settings::TAG_KEY;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

/// The part of an invocation's reserve that the tag may take.
pub const TAG_WRITE_MAX: Duration = Duration::from_secs(1);
/// How long the first look waits for the tag, which may only shorten the waiting.
pub const TAG_READ_MAX: Duration = Duration::from_secs(2);

/// What lives as long as the process.
#[derive(Default)]
pub struct Remembered {
    followers: Mutex<BTreeMap<Arn, (Memory, Tracker)>>,
    /// Without it no tag is read or written: anybody's could make a target seem absent for long.
    seal: Option<Seal>,
    /// What is told once: an action that was denied and what for, or a tag that is not ours.
    told: Mutex<BTreeSet<(&'static str, Option<Arn>)>>,
}

impl Remembered {
    /// Nothing yet. A seal makes the tag outlive the process.
    pub fn sealing(seal: Option<Seal>) -> Self {
        Self {
            seal,
            ..Self::default()
        }
    }

    /// The values of the groups' tags, empty where there is no tag; missing where that is not known by then, or not to be
    /// believed.
    pub async fn read_tags(&self, client: &Client, arns: Vec<Arn>, end: Instant) -> BTreeMap<Arn, String> {
        const NOT_READ: &str = "absence clocks are not read from the tag";
        let mut tags = BTreeMap::new();
        if self.seal.is_none() {
            return tags;
        }
        let mut unread = vec![arns];
        while let Some(mut arns) = unread.pop() {
            let Ok(read) = timeout_at(end, client.tags(&arns, tag::KEY)).await else {
                let groups: Vec<&str> = arns.iter().chain(unread.iter().flatten()).map(Arn::name).collect();
                let group = groups.join(" ");
                warn!(group, "{NOT_READ}: DescribeTags was not answered in time");
                break;
            };
            match read {
                Ok(read) => tags.extend(read),
                // A group that does not exist must not hide the tags of the others.
                Err(error) if error.failure.kind == Kind::NotFound && arns.len() > 1 => {
                    unread.push(arns.split_off(arns.len() / 2));
                    unread.push(arns);
                }
                // Describe* is allowed for all groups or for none.
                Err(error) => self.warn(NOT_READ, &error, None),
            }
        }
        tags
    }

    /// What an earlier invocation left: the absence clocks, in this process or in the tag, whichever are younger, and in this
    /// process the waiting for candidates to show something, what was registered, and the changes under way. Without any, the waiting starts anew.
    pub fn recall(&self, arn: &Arn, tag: Option<&str>, now: Timestamp) -> (Memory, Tracker) {
        let (here, under_way) = locked(&self.followers).get(arn).cloned().unwrap_or_default();
        let of_tag = tag.filter(|tag| !tag.is_empty()).and_then(|tag| self.read(arn, tag));
        let clocks = [of_tag, here.clocks()].into_iter().flatten();
        // What claims to come from the future must not outdo what this process knows.
        let youngest = clocks
            .filter(|(last_look, _)| *last_look <= now)
            .max_by_key(|(last_look, _)| *last_look);
        let mut memory = Memory::default();
        if let Some((last_look, clocks)) = youngest {
            debug!(group = arn.name(), targets = clocks.len(), "recalled absence clocks");
            memory = Memory::recall(last_look, clocks);
        }
        memory.recall_rest(&here);
        (memory, under_way.recalled(now))
    }

    /// The clocks of a tag that is ours.
    fn read(&self, arn: &Arn, tag: &str) -> Option<Clocks> {
        let clocks = self.seal.as_ref()?.read(arn, tag);
        if clocks.is_none() && self.is_new(tag::KEY, Some(arn)) {
            let (group, key) = (arn.name(), tag::KEY);
            info!(
                group,
                "the tag {key} is not believed: it was written by somebody else, or under another {TAG_KEY}"
            );
        }
        clocks
    }

    /// Leaves the absence clocks for the next invocation. A tag that could not be read is replaced, because what it says may
    /// no longer be so.
    pub async fn keep(&self, follower: &mut Follower, client: &Client, tag: Option<String>, end: Instant) {
        const NOT_KEPT: &str = "absence clocks are not kept in the tag";
        let binding = Arc::clone(follower.binding());
        let (memory, under_way) = follower.memory();
        locked(&self.followers).insert(binding.arn.clone(), (memory.clone(), under_way.clone()));
        let (Some(seal), Some(clocks)) = (&self.seal, memory.clocks()) else {
            return;
        };
        let value = seal.write(&binding.arn, &clocks);
        if binding.observe || tag.is_some_and(|tag| tag == value) {
            return;
        }
        match timeout_at(end, client.set_tag(&binding.arn, tag::KEY, &value)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.warn(NOT_KEPT, &error, Some(&binding.arn)),
            Err(_) => {
                let group = binding.arn.name();
                warn!(group, "{NOT_KEPT}: AddTags was not answered in time");
            }
        }
    }

    /// A denial is warned of once in the life of the process: it is as it was meant, or will be read.
    fn warn(&self, what: &str, error: &elb::Error, denied_for: Option<&Arn>) {
        let group = error.group.name();
        if error.failure.kind != Kind::Denied || self.is_new(error.failure.action, denied_for) {
            warn!(group, "{what}: {error}");
        } else {
            debug!(group, "{what}: {error}");
        }
    }

    fn is_new(&self, what: &'static str, group: Option<&Arn>) -> bool {
        locked(&self.told).insert((what, group.cloned()))
    }
}

/// A poisoned lock only says that another invocation failed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use rds_tether::planner::answer::{Quorum, Said};
    use rds_tether::planner::candidate::{Doubt, Probe};
    use rds_tether::planner::decide::{Seen, decide};
    use rds_tether::planner::history::Inquiry;
    use rds_tether::planner::plan::Plan;
    use rds_tether::planner::policy::Policy;
    use rds_tether::planner::target::{Family, Target};

    use super::*;

    const HOST: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";
    const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067";

    /// A step of a new invocation whose candidate does not answer.
    fn step(remembered: &Remembered, now: Timestamp) -> Plan {
        let arn: Arn = ARN.parse().expect("an ARN");
        let said = Said::new(["10.0.2.7".parse().expect("ip")].into(), Duration::from_secs(5));
        let (mut inquiry, server) = (Inquiry::default(), "10.0.0.2:53".parse().expect("an address"));
        let said = inquiry.weigh(HOST, vec![(server, Ok(said))], now, now);
        let answer = inquiry.hear(HOST, &said, Quorum::Any, now).expect("an answer");
        let target = Target {
            ip: "10.0.2.7".parse().expect("ip"),
            port: 5432,
        };
        let endpoint = HOST.parse().expect("an endpoint");
        let seen = Seen {
            family: Family::Ipv4,
            endpoints: BTreeMap::from([(&endpoint, Ok(&answer))]),
            led: BTreeMap::new(),
            probed: &BTreeMap::from([(target, Err(Doubt::Silent("no answer in time".into())))]),
            group: Ok(&BTreeMap::new()),
            listed: now,
        };
        let policy = Policy {
            probe: Probe::Tls,
            ..Policy::default()
        };
        let (memory, under_way) = remembered.recall(&arn, None, now);
        let decision = decide(&policy, memory, &seen, now);
        locked(&remembered.followers).insert(arn, (decision.memory, under_way));
        decision.plan
    }

    #[test]
    fn patience_with_a_candidate_goes_on_from_invocation_to_invocation() {
        let at = |secs: u64| Timestamp::from_millis(1_795_000_000_000 + secs * 1000);
        for (apart_secs, registered_after_secs) in [(60, Some(300)), (100, None)] {
            let remembered = Remembered::default();
            let ticks = (0..10).map(|tick| tick * apart_secs);
            let mut registered = ticks.filter(|secs| !step(&remembered, at(*secs)).register.is_empty());
            assert_eq!(registered.next(), registered_after_secs, "a tick every {apart_secs} s");
        }
    }
}

//! The ELB API as processes meet it: calls that take their time, fail in every way, are done without a word or are late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::aws::bucket::{Bucket, Turn};
use rds_tether::aws::elb::{Error, Group as Described, TargetGroups, Write, Written};
use rds_tether::aws::failure::{Failure, Kind};
use rds_tether::planner::target::{Family, Listed, Target, Zone};
use tokio::time::sleep;

use super::process::resumed;
use super::region::{Group, Millis, Region};

/// How long the SDK waits for an answer.
const TIMED_OUT: Duration = Duration::from_secs(5);
/// How long a call takes at most to come to where it is done, in milliseconds.
const LANDS_WITHIN: Millis = 3_000;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many calls.
    Throttled,
    /// It may not be made.
    Denied,
    /// AWS fails.
    Unavailable,
    /// Nobody answers, and nothing is done.
    Hangs,
    /// It is done, and nobody learns so.
    LostReply,
    /// It takes long.
    Slow,
    /// Of a write, a part is done and the rest is refused.
    Partial,
    /// A listing is as of before the last change.
    Behind,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Throttled,
        Self::Denied,
        Self::Unavailable,
        Self::Hangs,
        Self::LostReply,
        Self::Slow,
        Self::Partial,
        Self::Behind,
    ];
}

/// The API as one process calls it. Cheap to clone.
#[derive(Clone)]
pub struct Hands {
    /// Where it lives.
    pub region: Region,
    /// Which process.
    pub process: usize,
    /// Its budget.
    pub bucket: Arc<Bucket>,
}

impl Hands {
    /// Lets a call take its time on its way; what happens to it, or how it fails before it is done.
    async fn send(&self, action: &'static str, arn: &Arn) -> Result<Option<Fault>, Error> {
        resumed(&self.region, self.process).await;
        let (fault, latency) = {
            let now = self.region.now();
            let mut truth = self.region.truth();
            truth.step(now);
            let fault = truth.fault(now);
            let most = if fault == Some(Fault::Slow) { 3_000 } else { 30 };
            (fault, Duration::from_millis(truth.luck.u64(1..most)))
        };
        sleep(latency).await;
        let kind = match fault {
            Some(Fault::Throttled) => Kind::Throttled,
            Some(Fault::Denied) => Kind::Denied,
            Some(Fault::Unavailable) => Kind::Unavailable,
            Some(Fault::Hangs) => {
                sleep(TIMED_OUT).await;
                Kind::Unavailable
            }
            _ => return Ok(fault),
        };
        resumed(&self.region, self.process).await;
        if kind == Kind::Throttled {
            self.bucket.throttled();
        }
        Err(failed(action, arn, kind))
    }

    /// Lets the answer take its time on its way back, or loses it.
    async fn answer(&self, action: &'static str, arn: &Arn, fault: Option<Fault>) -> Result<(), Error> {
        let is_lost = fault == Some(Fault::LostReply);
        let latency = if is_lost {
            TIMED_OUT
        } else {
            Duration::from_millis(self.region.truth().luck.u64(1..20))
        };
        sleep(latency).await;
        self.region.truth().step(self.region.now());
        resumed(&self.region, self.process).await;
        if is_lost {
            Err(failed(action, arn, Kind::Unavailable))
        } else {
            Ok(())
        }
    }
}

fn failed(action: &'static str, arn: &Arn, kind: Kind) -> Error {
    Error {
        group: arn.clone(),
        failure: Failure::here(action, kind, kind.word(), "as the seed has it"),
    }
}

impl TargetGroups for Hands {
    fn bucket(&self) -> &Arc<Bucket> {
        &self.bucket
    }

    async fn groups(&self, arns: &[Arn], _turn: Turn) -> Result<BTreeMap<Arn, Result<Described, Error>>, Error> {
        let Some(first) = arns.first() else {
            return Ok(BTreeMap::new());
        };
        let action = "DescribeTargetGroups";
        let fault = self.send(action, first).await?;
        self.answer(action, first, fault).await?;
        let described = |arn: &Arn| Described {
            arn: arn.clone(),
            family: Family::Ipv4,
            protocol: "TCP".into(),
            port: super::region::PORT,
            check_port: "traffic-port".into(),
            vpc: "vpc-1".into(),
        };
        Ok(arns.iter().map(|arn| (arn.clone(), Ok(described(arn)))).collect())
    }

    async fn targets(&self, group: &Described, _turn: Turn) -> Result<BTreeMap<Target, Listed>, Error> {
        let (action, arn) = ("DescribeTargetHealth", &group.arn);
        let fault = self.send(action, arn).await?;
        let (at, listed) = {
            let now = self.region.now();
            let mut truth = self.region.truth();
            let Some(group) = truth.group(arn) else {
                return Err(failed(action, arn, Kind::NotFound));
            };
            let members = if fault == Some(Fault::Behind) {
                &group.before
            } else {
                &group.members
            };
            (now, Group::list(members, now))
        };
        self.answer(action, arn, fault).await?;
        self.region.truth().listed(self.process, arn, &listed, at);
        Ok(listed)
    }

    async fn write(&self, write: Write, arn: &Arn, targets: &BTreeMap<Target, Zone>, _turn: Turn) -> Written {
        let action = write.action();
        let all: BTreeSet<Target> = targets.keys().copied().collect();
        let whole = |error| Written {
            done: BTreeSet::new(),
            failed: vec![(all.clone(), error)],
        };
        let called = self.region.now();
        self.region
            .truth()
            .check_write(self.process, write, arn, targets, called);
        let fault = match self.send(action, arn).await {
            Ok(fault) => fault,
            Err(error) => return whole(error),
        };
        let mut done = all.clone();
        if fault == Some(Fault::Partial) {
            done.pop_first();
        }
        {
            let now = self.region.now();
            let mut truth = self.region.truth();
            // What a process that stands still meanwhile has begun to send cannot be taken back.
            if write == Write::Deregister && now - called <= LANDS_WITHIN {
                truth.judge_landing(self.process, arn, &done, now);
            }
            truth.write(self.process, write, arn, targets, &done, now);
        }
        if let Err(error) = self.answer(action, arn, fault).await {
            return whole(error);
        }
        let refused: BTreeSet<Target> = all.difference(&done).copied().collect();
        let failed = match refused.is_empty() {
            true => Vec::new(),
            false => vec![(refused, failed(action, arn, Kind::Address))],
        };
        Written { done, failed }
    }
}

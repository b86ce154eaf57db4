//! Target groups through the ELBv2 API: describe, register, deregister. The only module that uses its SDK.

mod clients;
mod error;
mod inspect;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2 as sdk;
use sdk::types::{
    TargetDescription, TargetGroup, TargetGroupIpAddressTypeEnum, TargetHealthDescription, TargetTypeEnum,
};
use tokio::time::Instant;

pub use clients::{ClientKey, Clients};
pub use error::{Error, Failure, Kind};
pub use inspect::{Attributes, Balancer, Detail, HealthCheck, Listener};

use crate::aws::arn::Arn;
use crate::aws::bucket::{Bucket, Member, Turn, Urgency};
use crate::planner::target::{Family, Listed, State, Target, Zone};
use crate::telemetry::metrics::Calls;

/// Targets of one write; larger batches are rejected at times.
const BATCH_MAX: usize = 100;
/// Target groups that one call describes, or the tags of which (ELB, DescribeTags).
pub const DESCRIBED_MAX: usize = 20;
/// The zone of a target outside the VPC of its group.
const ZONE_ALL: &str = "all";

/// What never changes about a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its ARN.
    pub arn: Arn,
    /// Its address family.
    pub family: Family,
    /// The protocol of its targets.
    pub protocol: String,
    /// The port for targets that are registered without one.
    pub port: u16,
    /// Its VPC.
    pub vpc: String,
}

/// The ELBv2 API of one region with one identity.
#[derive(Clone)]
pub struct Client {
    sdk: sdk::Client,
    bucket: Arc<Bucket>,
    calls: Calls,
    role: Option<String>,
}

/// What became of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Targets for which ELB accepted it.
    pub done: BTreeSet<Target>,
    /// Failures, each with the targets it was about.
    pub failed: Vec<(BTreeSet<Target>, Error)>,
}

#[derive(Clone, Copy)]
enum Write {
    Register,
    Deregister,
}

impl Write {
    fn urgency(self) -> Urgency {
        match self {
            Self::Register => Urgency::Register,
            Self::Deregister => Urgency::Remove,
        }
    }
}

impl Client {
    /// A client whose calls are drawn from `bucket` and counted in `calls`; `role` is the one that its configuration
    /// assumes, for messages.
    pub fn new(config: &SdkConfig, bucket: Arc<Bucket>, calls: Calls, role: Option<String>) -> Self {
        Self {
            sdk: sdk::Client::new(config),
            bucket,
            calls,
            role,
        }
    }

    /// Makes a call: counts it, times it, and reads its failure.
    async fn call<T, E>(
        &self,
        action: &'static str,
        arn: &Arn,
        sent: impl Future<Output = Result<T, sdk::error::SdkError<E>>>,
    ) -> Result<T, Error>
    where
        E: sdk::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let started = Instant::now();
        let ended = sent.await.map_err(|error| self.failed(action, arn, error));
        let outcome = ended.as_ref().map_or_else(|error| error.kind.word(), |_| "ok");
        self.calls.note(action, started.elapsed(), outcome);
        ended
    }

    /// The role that its configuration assumes.
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// Waits for the turn to make a call.
    pub async fn turn(&self, urgency: Urgency) -> Turn {
        self.bucket.take(urgency).await
    }

    /// Joins those who share the calls of this client.
    pub fn join(&self) -> Member {
        self.bucket.join()
    }

    /// Describes target groups with one call, which fails as a whole if one of them does not exist.
    pub async fn groups(&self, arns: &[Arn], _turn: Turn) -> Result<BTreeMap<Arn, Result<Group, Error>>, Error> {
        const ACTION: &str = "DescribeTargetGroups";
        let Some(first) = arns.first() else {
            return Ok(BTreeMap::new());
        };
        let names = arns.iter().map(Arn::to_string).collect();
        let request = self.sdk.describe_target_groups().set_target_group_arns(Some(names));
        let output = self.call(ACTION, first, request.send()).await?;
        let described = |arn: &Arn| {
            let group = output
                .target_groups()
                .iter()
                .find(|group| group.target_group_arn() == Some(arn.as_str()));
            let missing = || {
                local(
                    ACTION,
                    arn,
                    Kind::NotFound,
                    "NotListed",
                    "ELB did not list the target group".into(),
                )
            };
            (
                arn.clone(),
                group.ok_or_else(missing).and_then(|group| read_group(arn, group)),
            )
        };
        Ok(arns.iter().map(described).collect())
    }

    /// Describes one target group.
    pub async fn group(&self, arn: &Arn, turn: Turn) -> Result<Group, Error> {
        let mut described = self.groups(std::slice::from_ref(arn), turn).await?;
        described.remove(arn).unwrap_or_else(|| {
            let message = "ELB did not list the target group".into();
            Err(local("DescribeTargetGroups", arn, Kind::NotFound, "NotListed", message))
        })
    }

    /// Lists the targets of a group, draining ones included.
    pub async fn targets(&self, group: &Group, _turn: Turn) -> Result<BTreeMap<Target, Listed>, Error> {
        const ACTION: &str = "DescribeTargetHealth";
        let request = self.sdk.describe_target_health().target_group_arn(group.arn.as_str());
        let output = self.call(ACTION, &group.arn, request.send()).await?;
        let read = |description| {
            read_target(group, description).ok_or_else(|| {
                local(
                    ACTION,
                    &group.arn,
                    Kind::Other,
                    "UnreadableTarget",
                    format!("{description:?}"),
                )
            })
        };
        output.target_health_descriptions().iter().map(read).collect()
    }

    /// The values of a tag of the groups, of which there are at most [`DESCRIBED_MAX`]; empty where there is no such tag.
    /// One call, which fails as a whole if one of the groups does not exist.
    pub async fn tags(&self, arns: &[Arn], key: &str) -> Result<BTreeMap<Arn, String>, Error> {
        let Some(first) = arns.first() else {
            return Ok(BTreeMap::new());
        };
        let _turn = self.turn(Urgency::Look).await;
        let names = arns.iter().map(Arn::to_string).collect();
        let request = self.sdk.describe_tags().set_resource_arns(Some(names));
        let output = self.call("DescribeTags", first, request.send()).await?;
        let value = |arn: &Arn| {
            let mut described = output.tag_descriptions().iter();
            let tags = described.find(|description| description.resource_arn() == Some(arn.as_str()))?;
            let tag = tags.tags().iter().find(|tag| tag.key() == Some(key))?;
            tag.value().map(str::to_owned)
        };
        Ok(arns
            .iter()
            .map(|arn| (arn.clone(), value(arn).unwrap_or_default()))
            .collect())
    }

    /// Sets a tag of the group.
    pub async fn set_tag(&self, arn: &Arn, key: &str, value: &str) -> Result<(), Error> {
        let _turn = self.turn(Urgency::Look).await;
        let tag = sdk::types::Tag::builder().key(key).value(value).build();
        let request = self.sdk.add_tags().resource_arns(arn.as_str()).tags(tag);
        self.call("AddTags", arn, request.send()).await.map(|_| ())
    }

    /// Registers targets.
    pub async fn register(&self, arn: &Arn, targets: &BTreeMap<Target, Zone>) -> Written {
        let turn = self.turn(Urgency::Register).await;
        self.write(Write::Register, arn, targets, turn).await
    }

    /// Deregisters targets. The caller waits for the turn, because it has to make sure afterwards that its reasons still hold.
    pub async fn deregister(&self, arn: &Arn, targets: &BTreeMap<Target, Zone>, turn: Turn) -> Written {
        self.write(Write::Deregister, arn, targets, turn).await
    }

    async fn write(&self, write: Write, arn: &Arn, targets: &BTreeMap<Target, Zone>, turn: Turn) -> Written {
        let mut written = Written::default();
        let mut turn = Some(turn);
        let targets: Vec<_> = targets.iter().map(|(target, zone)| (*target, zone.clone())).collect();
        for batch in targets.chunks(BATCH_MAX) {
            let turn = match turn.take() {
                Some(turn) => turn,
                None => self.turn(write.urgency()).await,
            };
            match self.send(write, arn, batch, turn).await {
                Ok(()) => written.done.extend(batch.iter().map(|(target, _)| *target)),
                Err(error) if error.kind == Kind::Address => {
                    self.write_singly(write, arn, batch, error, &mut written).await;
                }
                Err(error) => written
                    .failed
                    .push((batch.iter().map(|(target, _)| *target).collect(), error)),
            }
        }
        written
    }

    /// A refused batch says nothing about its other targets; and a target outside the VPC is refused for want of a zone.
    async fn write_singly(
        &self,
        write: Write,
        arn: &Arn,
        batch: &[(Target, Zone)],
        refused: Error,
        written: &mut Written,
    ) {
        for (target, zone) in batch {
            let mut result = Err(refused.clone());
            if batch.len() > 1 {
                let turn = self.turn(write.urgency()).await;
                result = self.send(write, arn, &[(*target, zone.clone())], turn).await;
            }
            if zone.is_none() && result.as_ref().is_err_and(|error| error.kind == Kind::Address) {
                let everywhere = [(*target, Some(ZONE_ALL.to_owned()))];
                // Where that is refused too, the first refusal is the one about the target as it was meant.
                let turn = self.turn(write.urgency()).await;
                if self.send(write, arn, &everywhere, turn).await.is_ok() {
                    result = Ok(());
                }
            }
            match result {
                Ok(()) => {
                    written.done.insert(*target);
                }
                Err(error) => written.failed.push((BTreeSet::from([*target]), error)),
            }
        }
    }

    async fn send(&self, write: Write, arn: &Arn, targets: &[(Target, Zone)], _turn: Turn) -> Result<(), Error> {
        let describe = |(target, zone): &(Target, Zone)| {
            TargetDescription::builder()
                .id(target.ip.to_string())
                .port(target.port.into())
                .set_availability_zone(zone.clone())
                .build()
        };
        let targets = targets.iter().map(describe).collect();
        match write {
            Write::Register => {
                let request = self
                    .sdk
                    .register_targets()
                    .target_group_arn(arn.as_str())
                    .set_targets(Some(targets));
                self.call("RegisterTargets", arn, request.send()).await.map(|_| ())
            }
            Write::Deregister => {
                let request = self
                    .sdk
                    .deregister_targets()
                    .target_group_arn(arn.as_str())
                    .set_targets(Some(targets));
                self.call("DeregisterTargets", arn, request.send()).await.map(|_| ())
            }
        }
    }

    fn failed<E>(&self, action: &'static str, arn: &Arn, error: sdk::error::SdkError<E>) -> Error
    where
        E: sdk::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let error = Error::new(action, arn, self.role.as_deref(), &error);
        if error.kind == Kind::Throttled {
            self.bucket.throttled();
        }
        error
    }
}

/// A failure that was found on this side.
fn local(action: &'static str, group: &Arn, kind: Kind, code: &str, message: String) -> Error {
    Error {
        action,
        group: group.clone(),
        kind,
        code: code.into(),
        message,
    }
}

fn read_group(arn: &Arn, group: &TargetGroup) -> Result<Group, Error> {
    let target_type = group.target_type();
    if target_type != Some(&TargetTypeEnum::Ip) {
        let found = target_type.map_or("unknown", TargetTypeEnum::as_str);
        let message = format!("its targets are of type {found}");
        return Err(local(
            "DescribeTargetGroups",
            arn,
            Kind::NotIp,
            "TargetTypeNotIp",
            message,
        ));
    }
    Ok(plain_group(arn, group))
}

fn plain_group(arn: &Arn, group: &TargetGroup) -> Group {
    Group {
        arn: arn.clone(),
        family: match group.ip_address_type() {
            Some(TargetGroupIpAddressTypeEnum::Ipv6) => Family::Ipv6,
            _ => Family::Ipv4,
        },
        protocol: group
            .protocol()
            .map_or("unknown", |protocol| protocol.as_str())
            .to_owned(),
        port: group
            .port()
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or_default(),
        vpc: group.vpc_id().unwrap_or("unknown").to_owned(),
    }
}

fn read_target(group: &Group, description: &TargetHealthDescription) -> Option<(Target, Listed)> {
    let target = description.target()?;
    let ip: IpAddr = target.id()?.parse().ok()?;
    let port = match target.port() {
        Some(port) => u16::try_from(port).ok()?,
        None => group.port,
    };
    let health = description.target_health();
    let reason = health
        .and_then(|health| health.reason())
        .map(|reason| reason.as_str().to_owned());
    let state = health
        .and_then(|health| health.state())
        .map_or("unavailable", |state| state.as_str());
    let listed = Listed {
        zone: target.availability_zone().map(str::to_owned),
        state: State::parse(state, reason.as_deref()),
        reason,
    };
    Some((Target { ip, port }, listed))
}

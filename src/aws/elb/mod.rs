//! Target groups through the ELBv2 API: describe, register, deregister. The only module that uses its SDK.

mod clients;
mod error;
mod inspect;
mod list;
mod place;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2 as sdk;
use sdk::types::{
    TargetDescription, TargetGroup, TargetGroupIpAddressTypeEnum, TargetHealthDescription, TargetTypeEnum,
};
use tokio::time::Instant;

pub use clients::{ClientKey, Clients};
pub use error::{Error, not_asked, remedy_of};
pub use inspect::{Attributes, Balancer, Detail, Forward, HealthCheck, Listener, Rule, Takes};
pub use list::PAGES_MAX;
pub use place::place_of;

use crate::aws::arn::Arn;
use crate::aws::bucket::{Bucket, Turn, Urgency};
use crate::aws::failure::{Failure, Kind, NOT_IP, NOT_LISTED, UNREADABLE};
use crate::counts::Calls;
use crate::planner::protocol::TRAFFIC_PORT;
use crate::planner::target::{Family, Listed, State, Target, ZONE_ALL, Zone};

/// Targets of one write; larger batches are rejected at times.
const BATCH_MAX: usize = 100;
/// Target groups that one call describes, or the tags of which (ELB, DescribeTags).
pub const DESCRIBED_MAX: usize = 20;

/// The properties of a target group that never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The ARN, by which every call names it.
    pub arn: Arn,
    /// Its address family.
    pub family: Family,
    /// The protocol of its targets.
    pub protocol: String,
    /// The port for targets that are registered without one.
    pub port: u16,
    /// Where its health checks go: a port, or `traffic-port`. This alone may change.
    pub check_port: String,
    /// The VPC that its targets lie in, unless their zone is `all`.
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

/// The result of a write, which may succeed for some targets and fail for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Targets for which ELB accepted it.
    pub done: BTreeSet<Target>,
    /// Failures, each with the targets it was about.
    pub failed: Vec<(BTreeSet<Target>, Error)>,
}

/// What is written of targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// They become targets.
    Register,
    /// They stop being targets.
    Deregister,
}

impl Write {
    /// The API's name of it.
    pub fn action(self) -> &'static str {
        match self {
            Self::Register => "RegisterTargets",
            Self::Deregister => "DeregisterTargets",
        }
    }

    /// How soon it is to be done.
    pub fn urgency(self) -> Urgency {
        match self {
            Self::Register => Urgency::Register,
            Self::Deregister => Urgency::Remove,
        }
    }
}

/// The target groups of one region, as one identity reaches them: the seam between a follower and AWS, so that its stories can be
/// told in virtual time.
pub trait TargetGroups: Clone + Send + Sync + 'static {
    /// The budget that the calls are drawn from.
    fn bucket(&self) -> &Arc<Bucket>;

    /// Describes target groups with one call, which fails as a whole if one of them does not exist.
    fn groups(
        &self,
        arns: &[Arn],
        turn: Turn,
    ) -> impl Future<Output = Result<BTreeMap<Arn, Result<Group, Error>>, Error>> + Send;

    /// Lists the targets of a group, draining ones included.
    fn targets(
        &self,
        group: &Group,
        turn: Turn,
    ) -> impl Future<Output = Result<BTreeMap<Target, Listed>, Error>> + Send;

    /// Registers or deregisters targets, each with the zone to echo. The caller waits for the turn, to make sure afterwards that
    /// the reasons still hold. If it is dropped, some of it may be done all the same: the next look tells.
    fn write(
        &self,
        write: Write,
        arn: &Arn,
        targets: &BTreeMap<Target, Zone>,
        turn: Turn,
    ) -> impl Future<Output = Written> + Send;
}

/// Targets of one call of a write.
struct Batch {
    targets: Vec<(Target, Zone)>,
    /// The refusal of the same target as it was meant, where it is tried in another way now.
    refused: Option<Error>,
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

    /// Makes a call about a group, see [`Client::call_for_any`].
    async fn call<T, E>(
        &self,
        action: &'static str,
        group: &Arn,
        turn: Turn,
        sent: impl Future<Output = Result<T, sdk::error::SdkError<E>>>,
    ) -> Result<T, Error>
    where
        E: sdk::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let ended = self.call_for_any(action, turn, sent).await;
        ended.map_err(|failure| Error {
            group: group.clone(),
            failure,
        })
    }

    /// Makes a call, which the turn is for: counts it, times it, and reads its failure, which throttles the calls that follow
    /// if AWS says so. If it is dropped, nobody knows what became of the call, and it is not counted.
    async fn call_for_any<T, E>(
        &self,
        action: &'static str,
        _turn: Turn,
        sent: impl Future<Output = Result<T, sdk::error::SdkError<E>>>,
    ) -> Result<T, Failure>
    where
        E: sdk::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let started = Instant::now();
        let ended = sent.await.map_err(|error| Failure::of(action, self.role(), &error));
        let outcome = ended.as_ref().map_or_else(|failure| failure.kind.word(), |_| "ok");
        self.calls.note(action, started.elapsed(), outcome);
        if ended.as_ref().is_err_and(|failure| failure.kind == Kind::Throttled) {
            self.bucket.throttled();
        }
        ended
    }

    /// All tags of groups, of which there are at most [`DESCRIBED_MAX`]; missing where ELB does not tell them, which is not to have none.
    /// One call, which fails as a whole if one of the groups does not exist.
    pub async fn list_tags(&self, arns: &[Arn]) -> Result<BTreeMap<Arn, BTreeMap<String, String>>, Error> {
        let Some(first) = arns.first() else {
            return Ok(BTreeMap::new());
        };
        let turn = self.turn(Urgency::Look).await;
        let names = arns.iter().map(Arn::to_string).collect();
        let request = self.sdk.describe_tags().set_resource_arns(Some(names));
        let output = self.call("DescribeTags", first, turn, request.send()).await?;
        let told = |arn: &Arn| {
            let mut described = output.tag_descriptions().iter();
            let described = described.find(|description| description.resource_arn() == Some(arn.as_str()))?;
            let tags = described.tags.as_ref()?.iter();
            let tags = tags.map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())));
            Some((arn.clone(), tags.collect::<Option<_>>()?))
        };
        Ok(arns.iter().filter_map(told).collect())
    }

    /// The role that its configuration assumes.
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// Waits for the turn to make a call. Giving up waiting costs nothing.
    pub async fn turn(&self, urgency: Urgency) -> Turn {
        self.bucket.take(urgency).await
    }

    /// The values of a tag of the groups, as [`Client::list_tags`] has them; empty where there is no such tag.
    pub async fn tags(&self, arns: &[Arn], key: &str) -> Result<BTreeMap<Arn, String>, Error> {
        let all = self.list_tags(arns).await?.into_iter();
        Ok(all
            .map(|(arn, mut tags)| (arn, tags.remove(key).unwrap_or_default()))
            .collect())
    }

    /// Sets a tag of the group.
    pub async fn set_tag(&self, arn: &Arn, key: &str, value: &str) -> Result<(), Error> {
        let turn = self.turn(Urgency::Look).await;
        let tag = sdk::types::Tag::builder().key(key).value(value).build();
        let request = self.sdk.add_tags().resource_arns(arn.as_str()).tags(tag);
        self.call("AddTags", arn, turn, request.send()).await.map(|_| ())
    }
}

impl TargetGroups for Client {
    fn bucket(&self) -> &Arc<Bucket> {
        &self.bucket
    }

    async fn groups(&self, arns: &[Arn], turn: Turn) -> Result<BTreeMap<Arn, Result<Group, Error>>, Error> {
        const ACTION: &str = "DescribeTargetGroups";
        let Some(first) = arns.first() else {
            return Ok(BTreeMap::new());
        };
        let names = arns.iter().map(Arn::to_string).collect();
        let request = self.sdk.describe_target_groups().set_target_group_arns(Some(names));
        let output = self.call(ACTION, first, turn, request.send()).await?;
        let described = |arn: &Arn| {
            let mut groups = output.target_groups().iter();
            let group = groups.find(|group| group.target_group_arn() == Some(arn.as_str()));
            let group = group.ok_or_else(|| not_listed(arn));
            (arn.clone(), group.and_then(|group| read_group(arn, group)))
        };
        Ok(arns.iter().map(described).collect())
    }

    async fn targets(&self, group: &Group, turn: Turn) -> Result<BTreeMap<Target, Listed>, Error> {
        const ACTION: &str = "DescribeTargetHealth";
        let request = self.sdk.describe_target_health().target_group_arn(group.arn.as_str());
        let output = self.call(ACTION, &group.arn, turn, request.send()).await?;
        let read = |description| {
            let unreadable = || here(ACTION, &group.arn, Kind::Other, UNREADABLE, unreadable(description));
            read_target(group, description).ok_or_else(unreadable)
        };
        output.target_health_descriptions().iter().map(read).collect()
    }

    async fn write(&self, write: Write, arn: &Arn, targets: &BTreeMap<Target, Zone>, turn: Turn) -> Written {
        let mut written = Written::default();
        let mut turn = Some(turn);
        let all: Vec<_> = targets.iter().map(|(target, zone)| (*target, zone.clone())).collect();
        let batch = |targets: &[(Target, Zone)]| Batch {
            targets: targets.to_vec(),
            refused: None,
        };
        let mut batches: VecDeque<Batch> = all.chunks(BATCH_MAX).map(batch).collect();
        while let Some(Batch { targets, refused }) = batches.pop_front() {
            let turn = match turn.take() {
                Some(turn) => turn,
                None => self.turn(write.urgency()).await,
            };
            let described = Some(targets.iter().map(describe).collect());
            let sent = match write {
                Write::Register => {
                    let request = self.sdk.register_targets().target_group_arn(arn.as_str());
                    let sent = request.set_targets(described).send();
                    self.call(write.action(), arn, turn, sent).await.map(|_| ())
                }
                Write::Deregister => {
                    let request = self.sdk.deregister_targets().target_group_arn(arn.as_str());
                    let sent = request.set_targets(described).send();
                    self.call(write.action(), arn, turn, sent).await.map(|_| ())
                }
            };
            let ips = || targets.iter().map(|(target, _)| *target);
            match (sent, targets.as_slice()) {
                (Ok(()), _) => written.done.extend(ips()),
                // A refused batch says nothing about its other targets.
                (Err(error), [_, _, ..]) if error.failure.kind == Kind::Address => {
                    batches.extend(targets.chunks(1).map(batch));
                }
                // A target outside the VPC is refused for want of a zone.
                (Err(error), [(target, None)]) if error.failure.kind == Kind::Address => batches.push_front(Batch {
                    targets: vec![(*target, Some(ZONE_ALL.to_owned()))],
                    refused: Some(error),
                }),
                // Where that is refused too, the first refusal is the one about the target as it was meant.
                (Err(error), _) => written.failed.push((ips().collect(), refused.unwrap_or(error))),
            }
        }
        written
    }
}

fn describe((target, zone): &(Target, Zone)) -> TargetDescription {
    TargetDescription::builder()
        .id(target.ip.to_string())
        .port(target.port.into())
        .set_availability_zone(zone.clone())
        .build()
}

/// A failure that was found on this side.
fn here(action: &'static str, group: &Arn, kind: Kind, code: &str, message: String) -> Error {
    Error {
        group: group.clone(),
        failure: Failure::here(action, kind, code, message),
    }
}

/// The target group that a description of others does not name.
pub fn not_listed(group: &Arn) -> Error {
    let message = "ELB did not list the target group".into();
    here("DescribeTargetGroups", group, Kind::NotFound, NOT_LISTED, message)
}

fn read_group(arn: &Arn, group: &TargetGroup) -> Result<Group, Error> {
    let target_type = group.target_type();
    if target_type != Some(&TargetTypeEnum::Ip) {
        let found = target_type.map_or("unknown", TargetTypeEnum::as_str);
        let message = format!("its targets are of type {found}");
        let action = "DescribeTargetGroups";
        return Err(here(action, arn, Kind::NotIp, NOT_IP, message));
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
        check_port: group.health_check_port().unwrap_or(TRAFFIC_PORT).to_owned(),
        vpc: group.vpc_id().unwrap_or("unknown").to_owned(),
    }
}

/// Why the description of a target is of no use.
fn unreadable(description: &TargetHealthDescription) -> String {
    let target = description.target();
    let id = target.and_then(|target| target.id()).unwrap_or_default();
    let port = target.and_then(|target| target.port());
    let port = port.map(|port| format!(" and port {port}")).unwrap_or_default();
    format!("a target that ELB lists is no address and port: it has the ID {id:?}{port}")
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
        description: health.and_then(|health| health.description()).map(str::to_owned),
    };
    Some((Target { ip, port }, listed))
}

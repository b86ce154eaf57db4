//! The surroundings of a target group: its health checks and attributes, its load balancer and listeners. For people who look
//! for a fault; nothing here is needed to follow an endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_sdk_elasticloadbalancingv2 as sdk;
use sdk::types::{LoadBalancer, TargetDescription, TargetGroup, TargetTypeEnum};

use super::{Client, Error, Group, not_listed, plain_group};
use crate::aws::arn::Arn;
use crate::aws::bucket::Urgency;
use crate::planner::target::{Family, Target, Zone};

/// Addresses that are nobody's (RFC 5737 and 3849), and so never a target.
const NOBODY: (IpAddr, IpAddr) = (
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
);

/// Attributes by their keys, as ELB names them.
pub type Attributes = BTreeMap<String, String>;

/// A target group of any type, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Its properties that never change.
    pub group: Group,
    /// The type of its targets, for example `ip`.
    pub target_type: String,
    /// The ARNs of the load balancers that use it.
    pub balancers: Vec<String>,
    /// How its targets are checked.
    pub health_check: HealthCheck,
}

/// How targets are checked. Times in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The protocol, for example `TCP`.
    pub protocol: String,
    /// The port, or `traffic-port`.
    pub port: String,
    /// From one check to the next.
    pub interval: u32,
    /// How long an answer may take.
    pub timeout: u32,
    /// Successes in a row that make a target healthy.
    pub healthy: u32,
    /// Failures in a row that make it unhealthy.
    pub unhealthy: u32,
}

/// A load balancer, as DescribeLoadBalancers shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancer {
    /// The ARN, by which it is asked for more.
    pub arn: String,
    /// The name that people know it by.
    pub name: String,
    /// Its type, for example `network`.
    pub kind: String,
    /// Its state, for example `active`.
    pub state: String,
    /// The VPC that its nodes are in.
    pub vpc: String,
    /// The families of the clients that it takes.
    pub families: Vec<Family>,
    /// The Availability Zones in which it has nodes.
    pub zones: BTreeSet<String>,
    /// Its subnets, one in each zone.
    pub subnets: Vec<String>,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// Whether their inbound rules hold for traffic through PrivateLink too: `on` or `off`.
    pub private_link_rules: Option<String>,
}

/// A listener of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The ARN, by which it is asked for more.
    pub arn: String,
    /// The port that clients connect to.
    pub port: u16,
    /// Its protocol, for example `TCP`.
    pub protocol: String,
    /// The target groups of its default action, for clients whom no rule takes.
    pub forwards: Vec<Forward>,
}

/// A target group in an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The ARN of the group.
    pub group: String,
    /// Its part of the new connections, beside the others' (N17); 0: none.
    pub weight: u32,
}

/// A rule of a listener: the clients that meet its conditions get its action (N17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its priority; the rule with the lowest is looked at first.
    pub priority: u32,
    /// Who meets its conditions.
    pub takes: Takes,
    /// The target groups of its action.
    pub forwards: Vec<Forward>,
}

/// The clients that a rule takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takes {
    /// All.
    All,
    /// Those with addresses of a family.
    Family(Family),
    /// Those who meet conditions that this program does not know, by the names of their fields.
    Some(String),
}

impl Client {
    /// Makes a call that somebody waits for, in its turn.
    async fn ask<T, E>(
        &self,
        action: &'static str,
        group: &Arn,
        sent: impl Future<Output = Result<T, sdk::error::SdkError<E>>>,
    ) -> Result<T, Error>
    where
        E: sdk::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let turn = self.turn(Urgency::Settle).await;
        self.call(action, group, turn, sent).await
    }

    /// Describes a target group of whatever type.
    pub async fn detail(&self, arn: &Arn) -> Result<Detail, Error> {
        let request = self.sdk.describe_target_groups().target_group_arns(arn.as_str());
        let output = self.ask("DescribeTargetGroups", arn, request.send()).await?;
        let mut groups = output.target_groups().iter();
        let group = groups.find(|group| group.target_group_arn() == Some(arn.as_str()));
        group.map_or_else(|| Err(not_listed(arn)), |group| Ok(read_detail(arn, group)))
    }

    /// The attributes of a target group.
    pub async fn attributes(&self, arn: &Arn) -> Result<Attributes, Error> {
        let request = self
            .sdk
            .describe_target_group_attributes()
            .target_group_arn(arn.as_str());
        let output = self.ask("DescribeTargetGroupAttributes", arn, request.send()).await?;
        let pairs = output.attributes().iter().map(|pair| (pair.key(), pair.value()));
        Ok(attributes(pairs))
    }

    /// Describes the load balancers that use a group.
    pub async fn balancers(&self, group: &Arn, arns: &[String]) -> Result<Vec<Balancer>, Error> {
        let request = self.sdk.describe_load_balancers();
        let request = request.set_load_balancer_arns(Some(arns.to_vec()));
        let output = self.ask("DescribeLoadBalancers", group, request.send()).await?;
        Ok(output.load_balancers().iter().map(read_balancer).collect())
    }

    /// The attributes of a load balancer that uses a group.
    pub async fn balancer_attributes(&self, group: &Arn, balancer: &str) -> Result<Attributes, Error> {
        let request = self.sdk.describe_load_balancer_attributes().load_balancer_arn(balancer);
        let output = self
            .ask("DescribeLoadBalancerAttributes", group, request.send())
            .await?;
        let pairs = output.attributes().iter().map(|pair| (pair.key(), pair.value()));
        Ok(attributes(pairs))
    }

    /// The listeners of a load balancer that uses a group. One page holds more than a load balancer can have.
    pub async fn listeners(&self, group: &Arn, balancer: &str) -> Result<Vec<Listener>, Error> {
        let request = self.sdk.describe_listeners().load_balancer_arn(balancer);
        let output = self.ask("DescribeListeners", group, request.send()).await?;
        Ok(output.listeners().iter().map(read_listener).collect())
    }

    /// The rules of a listener, in the order in which they are looked at. One page holds more than a listener can have.
    pub async fn rules(&self, group: &Arn, listener: &str) -> Result<Vec<Rule>, Error> {
        let request = self.sdk.describe_rules().listener_arn(listener);
        let output = self.ask("DescribeRules", group, request.send()).await?;
        let mut rules: Vec<Rule> = output.rules().iter().filter_map(read_rule).collect();
        rules.sort_by_key(|rule| rule.priority);
        Ok(rules)
    }

    /// The attributes of a listener that forwards to a group.
    pub async fn listener_attributes(&self, group: &Arn, listener: &str) -> Result<Attributes, Error> {
        let request = self.sdk.describe_listener_attributes().listener_arn(listener);
        let output = self.ask("DescribeListenerAttributes", group, request.send()).await?;
        let pairs = output.attributes().iter().map(|pair| (pair.key(), pair.value()));
        Ok(attributes(pairs))
    }

    /// Asks for the removal of an address that nobody has, which changes nothing: permission alone decides the answer.
    pub async fn try_deregistering(&self, group: &Group) -> Result<(), Error> {
        let (ipv4, ipv6) = NOBODY;
        let nobody = match group.family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        };
        let target = TargetDescription::builder()
            .id(nobody.to_string())
            .port(group.port.max(1).into());
        let request = self.sdk.deregister_targets().target_group_arn(group.arn.as_str());
        let request = request.targets(target.build());
        self.ask("DeregisterTargets", &group.arn, request.send()).await?;
        Ok(())
    }

    /// Asks for the registration of a target that is registered, with the zone it is listed with, which changes nothing.
    pub async fn try_registering(&self, arn: &Arn, registered: Target, zone: Zone) -> Result<(), Error> {
        let target = TargetDescription::builder()
            .id(registered.ip.to_string())
            .port(registered.port.into())
            .set_availability_zone(zone);
        let request = self.sdk.register_targets().target_group_arn(arn.as_str());
        let request = request.targets(target.build());
        self.ask("RegisterTargets", arn, request.send()).await?;
        Ok(())
    }
}

fn attributes<'a>(pairs: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> Attributes {
    pairs
        .filter_map(|(key, value)| Some((key?.to_owned(), value.unwrap_or_default().to_owned())))
        .collect()
}

pub(super) fn read_detail(arn: &Arn, group: &TargetGroup) -> Detail {
    let number = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
    Detail {
        group: plain_group(arn, group),
        target_type: group.target_type().map_or("unknown", TargetTypeEnum::as_str).to_owned(),
        balancers: group.load_balancer_arns().to_vec(),
        health_check: HealthCheck {
            protocol: group
                .health_check_protocol()
                .map_or("unknown", |protocol| protocol.as_str())
                .to_owned(),
            port: group.health_check_port().unwrap_or("traffic-port").to_owned(),
            interval: number(group.health_check_interval_seconds()),
            timeout: number(group.health_check_timeout_seconds()),
            healthy: number(group.healthy_threshold_count()),
            unhealthy: number(group.unhealthy_threshold_count()),
        },
    }
}

fn read_balancer(balancer: &LoadBalancer) -> Balancer {
    let zones = balancer.availability_zones().iter();
    let owned = |text: Option<&str>| text.unwrap_or("unknown").to_owned();
    Balancer {
        arn: owned(balancer.load_balancer_arn()),
        name: owned(balancer.load_balancer_name()),
        kind: owned(balancer.r#type().map(|kind| kind.as_str())),
        state: owned(
            balancer
                .state()
                .and_then(|state| state.code())
                .map(|code| code.as_str()),
        ),
        vpc: owned(balancer.vpc_id()),
        families: match balancer.ip_address_type().map(|families| families.as_str()) {
            Some(families) if families.starts_with("dualstack") => vec![Family::Ipv4, Family::Ipv6],
            _ => vec![Family::Ipv4],
        },
        subnets: zones
            .clone()
            .filter_map(|zone| zone.subnet_id().map(str::to_owned))
            .collect(),
        zones: zones.filter_map(|zone| zone.zone_name().map(str::to_owned)).collect(),
        security_groups: balancer.security_groups().to_vec(),
        private_link_rules: balancer
            .enforce_security_group_inbound_rules_on_private_link_traffic()
            .map(str::to_owned),
    }
}

fn read_listener(listener: &sdk::types::Listener) -> Listener {
    Listener {
        arn: listener.listener_arn().unwrap_or("unknown").to_owned(),
        port: listener
            .port()
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or_default(),
        protocol: listener
            .protocol()
            .map_or("unknown", |protocol| protocol.as_str())
            .to_owned(),
        forwards: read_actions(listener.default_actions()),
    }
}

/// A group that stands alone is named twice, by itself and without a weight, or with one.
fn read_actions(actions: &[sdk::types::Action]) -> Vec<Forward> {
    const WEIGHT_DEFAULT: u32 = 1;
    let mut forwards: BTreeMap<String, u32> = BTreeMap::new();
    for action in actions {
        if let Some(group) = action.target_group_arn() {
            forwards.insert(group.to_owned(), WEIGHT_DEFAULT);
        }
        let weighted = action.forward_config().map(|forward| forward.target_groups());
        for tuple in weighted.unwrap_or_default() {
            let weight = tuple.weight().and_then(|weight| u32::try_from(weight).ok());
            if let Some(group) = tuple.target_group_arn() {
                forwards.insert(group.to_owned(), weight.unwrap_or(WEIGHT_DEFAULT));
            }
        }
    }
    let forwards = forwards.into_iter();
    forwards.map(|(group, weight)| Forward { group, weight }).collect()
}

/// Nothing for the default action, which is listed as a rule without a number.
fn read_rule(rule: &sdk::types::Rule) -> Option<Rule> {
    Some(Rule {
        priority: rule.priority()?.parse().ok()?,
        takes: read_conditions(rule.conditions()),
        forwards: read_actions(rule.actions()),
    })
}

fn read_conditions(conditions: &[sdk::types::RuleCondition]) -> Takes {
    let family = |condition: &sdk::types::RuleCondition| {
        let source = condition.source_ip_config()?;
        match source.ip_address_type()?.as_str() {
            "ipv4" if source.values().is_empty() => Some(Family::Ipv4),
            "ipv6" if source.values().is_empty() => Some(Family::Ipv6),
            _ => None,
        }
    };
    match conditions {
        [] => Takes::All,
        [only] if family(only).is_some() => family(only).map_or(Takes::All, Takes::Family),
        several => {
            let fields = several.iter().map(|condition| condition.field().unwrap_or("unknown"));
            Takes::Some(fields.collect::<Vec<_>>().join(", "))
        }
    }
}

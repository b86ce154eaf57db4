use std::collections::{BTreeMap, BTreeSet};

use super::group::Group;
use super::listener::Listener;
use super::refusal::Refusal;
use super::service::Service;
use super::wire::{element, text};

/// How the targets of a group are checked; as AWS sets a TCP group up.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// The protocol.
    pub protocol: String,
    /// The port, or `traffic-port`.
    pub port: String,
    /// Seconds from one check to the next.
    pub interval: u32,
    /// Seconds that an answer may take.
    pub timeout: u32,
    /// Successes in a row that make a target healthy.
    pub healthy: u32,
    /// Failures in a row that make it unhealthy.
    pub unhealthy: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            protocol: "TCP".into(),
            port: "traffic-port".into(),
            interval: 30,
            timeout: 10,
            healthy: 5,
            unhealthy: 2,
        }
    }
}

/// The load balancer that uses a group, and its listeners; as AWS sets a Network Load Balancer up, with one listener.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// `network`, `application` or `gateway`.
    pub kind: String,
    /// `active`, `provisioning`, `active_impaired` or `failed`.
    pub state: String,
    /// `ipv4` or `dualstack`: whose connections it takes.
    pub ip_address_type: String,
    /// The VPC, if it is not the group's.
    pub vpc_id: Option<String>,
    /// The security groups.
    pub security_groups: Vec<String>,
    /// EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: `on` or `off`.
    pub private_link_rules: Option<String>,
    /// Whether the security groups let the addresses of PrivateLink consumers in.
    pub admits_consumers: bool,
    /// Attributes that are not as AWS sets them.
    pub attributes: BTreeMap<String, String>,
    /// The listeners. None is ever removed.
    pub listeners: Vec<Listener>,
    /// The endpoint service that publishes it.
    pub service: Option<Service>,
}

impl Default for Balancer {
    fn default() -> Self {
        Self {
            kind: "network".into(),
            state: "active".into(),
            ip_address_type: "ipv4".into(),
            vpc_id: None,
            security_groups: Vec::new(),
            private_link_rules: None,
            admits_consumers: true,
            attributes: BTreeMap::new(),
            listeners: vec![Listener::default()],
            service: None,
        }
    }
}

/// What AWS sets for a TCP group of type `ip` (TargetGroupAttribute in the API reference).
const OF_GROUP: [(&str, &str); 8] = [
    ("deregistration_delay.connection_termination.enabled", "false"),
    ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
    ("preserve_client_ip.enabled", "false"),
    ("proxy_protocol_v2.enabled", "false"),
    ("stickiness.enabled", "false"),
    ("stickiness.type", "source_ip"),
    ("target_health_state.unhealthy.connection_termination.enabled", "true"),
    ("target_health_state.unhealthy.draining_interval_seconds", "0"),
];
/// What AWS sets for a Network Load Balancer (LoadBalancerAttribute in the API reference).
const OF_BALANCER: [(&str, &str); 4] = [
    ("access_logs.s3.enabled", "false"),
    ("deletion_protection.enabled", "false"),
    ("dns_record.client_routing_policy", "any_availability_zone"),
    ("load_balancing.cross_zone.enabled", "false"),
];
/// What AWS sets for a TCP listener (ListenerAttribute in the API reference).
const OF_LISTENER: [(&str, &str); 1] = [("tcp.idle_timeout.seconds", "350")];

fn with(defaults: &[(&str, &str)], own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let defaults = defaults
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    defaults.chain(own.clone()).collect()
}

/// The result of any of the calls that describe attributes.
fn attributes(pairs: &BTreeMap<String, String>) -> String {
    let member = |(key, value): (&String, &String)| element("member", &(text("Key", key) + &text("Value", value)));
    element("Attributes", &pairs.iter().map(member).collect::<String>())
}

/// The groups of an account, seen from their load balancers.
pub(super) struct Surroundings<'a>(pub(super) Vec<(&'a str, &'a Group)>);

impl<'a> Surroundings<'a> {
    /// The result of DescribeTargetGroupAttributes.
    pub(super) fn of_group(&self, arn: &str) -> Result<String, Refusal> {
        let group = self.0.iter().find(|(known, _)| *known == arn).map(|(_, group)| group);
        let group = group.ok_or_else(|| Refusal::group_not_found(arn))?;
        let mut own = group.attributes.clone();
        own.entry("deregistration_delay.timeout_seconds".into())
            .or_insert(group.deregistration_delay.as_secs().to_string());
        Ok(attributes(&with(&OF_GROUP, &own)))
    }

    /// The group whose own a load balancer is.
    fn owner(&self, balancer: &str) -> Result<(&'a str, &'a Group), Refusal> {
        let found = self.0.iter().find(|(_, group)| group.owns(balancer)).copied();
        found.ok_or_else(|| {
            let message = format!("Load balancers '[{balancer}]' not found");
            Refusal::new(400, "LoadBalancerNotFound", message)
        })
    }

    /// A listener, and the ARN of the group whose load balancer it belongs to.
    fn listener(&self, arn: &str) -> Result<(&'a str, &'a Listener), Refusal> {
        let mut groups = self.0.iter();
        let found = groups.find_map(|(owner, group)| Some((*owner, group.listener(arn)?)));
        found.ok_or_else(|| {
            let message = format!("Listener '{arn}' not found");
            Refusal::new(400, "ListenerNotFound", message)
        })
    }

    /// The result of DescribeLoadBalancers, by ARNs.
    pub(super) fn balancers(&self, arns: &[String]) -> Result<String, Refusal> {
        let mut members = String::new();
        for arn in arns {
            let (_, group) = self.owner(arn)?;
            members.push_str(&element("member", &balancer(arn, group)));
        }
        Ok(element("LoadBalancers", &members))
    }

    /// The result of DescribeLoadBalancerAttributes.
    pub(super) fn of_balancer(&self, arn: &str) -> Result<String, Refusal> {
        let (_, group) = self.owner(arn)?;
        Ok(attributes(&with(&OF_BALANCER, &group.balancer.attributes)))
    }

    /// The result of DescribeListeners.
    pub(super) fn listeners(&self, balancer: &str) -> Result<String, Refusal> {
        let (owner, group) = self.owner(balancer)?;
        let listeners = group.balancer.listeners.iter().enumerate();
        let member = |(index, listener): (usize, &Listener)| {
            let arn = Listener::arn(balancer, index);
            let member = text("ListenerArn", &arn) + &text("LoadBalancerArn", balancer) + &listener.described(owner);
            element("member", &member)
        };
        Ok(element("Listeners", &listeners.map(member).collect::<String>()))
    }

    /// The result of DescribeListenerAttributes.
    pub(super) fn of_listener(&self, arn: &str) -> Result<String, Refusal> {
        let (_, listener) = self.listener(arn)?;
        Ok(attributes(&with(&OF_LISTENER, &listener.attributes)))
    }

    /// The result of DescribeRules, by listener.
    pub(super) fn rules(&self, arn: &str) -> Result<String, Refusal> {
        let (owner, listener) = self.listener(arn)?;
        Ok(listener.described_rules(arn, owner))
    }
}

fn balancer(arn: &str, group: &Group) -> String {
    let Balancer {
        kind,
        state,
        ip_address_type,
        vpc_id,
        security_groups,
        private_link_rules,
        ..
    } = &group.balancer;
    let zones: BTreeSet<&String> = group.enabled_zones.iter().collect();
    let place = |zone: &&String| element("member", &(text("ZoneName", zone) + &text("SubnetId", &subnet(zone))));
    let zones = zones.iter().map(place);
    let groups = security_groups.iter().map(|group| text("member", group));
    let rules = private_link_rules.as_deref();
    let rules = rules.map(|rules| text("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", rules));
    text("LoadBalancerArn", arn)
        + &text("LoadBalancerName", &group.name)
        + &text("Type", kind)
        + &text("Scheme", "internal")
        + &element("State", &text("Code", state))
        + &text("IpAddressType", ip_address_type)
        + &text("VpcId", vpc_id.as_ref().unwrap_or(&group.vpc_id))
        + &element("AvailabilityZones", &zones.collect::<String>())
        + &element("SecurityGroups", &groups.collect::<String>())
        + &rules.unwrap_or_default()
}

/// The load balancer's subnet in a zone.
fn subnet(zone: &str) -> String {
    format!("subnet-{zone}")
}

/// The zone that a subnet of [`subnet`] lies in.
pub(super) fn zone_of_subnet(subnet: &str) -> Option<&str> {
    subnet.strip_prefix("subnet-")
}

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::balancer::Balancer;
use super::group::{Family, Group};
use super::listener::Listener;
use super::model::{Members, Model};
use super::target::TargetView;

/// From where to where a client connects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The ARN of the load balancer.
    pub balancer: String,
    /// The port of its listener.
    pub port: u16,
    /// The family of the client's address.
    pub family: Family,
    /// The zone of the node that is connected to.
    pub zone: String,
    /// Whether through PrivateLink.
    pub private_link: bool,
}

/// Where new connections go: for each way in, the group, its target and how what arrives there looks.
pub type Ways = BTreeMap<Entry, BTreeSet<(String, String)>>;

/// The data plane, as far as it can be told from the rules.
impl Model {
    /// Where new connections of every kind of client would go.
    pub fn ways(&self, now: Duration) -> Ways {
        let mut ways = Ways::new();
        for (owner, members) in &self.groups {
            let group = &members.group;
            let Some(balancer) = group.load_balancer_arn().filter(|balancer| group.owns(balancer)) else {
                continue;
            };
            for listener in &group.balancer.listeners {
                for family in families(&group.balancer) {
                    for zone in &group.enabled_zones {
                        for private_link in [false, true] {
                            let entry = Entry {
                                balancer: balancer.clone(),
                                port: listener.port,
                                family,
                                zone: zone.clone(),
                                private_link,
                            };
                            let reached = self.reached(owner, listener, &entry, now);
                            ways.insert(entry, reached);
                        }
                    }
                }
            }
        }
        ways
    }

    /// The targets of a group that a node in a zone gives new connections to: where the group's own load balancer leads.
    pub fn takers(&self, arn: &str, zone: &str, now: Duration) -> Vec<TargetView> {
        let members = self.groups.get(arn);
        members.map_or_else(Vec::new, |members| {
            self.served(arn, members, &members.group.balancer, zone, now)
        })
    }

    fn reached(&self, owner: &str, listener: &Listener, entry: &Entry, now: Duration) -> BTreeSet<(String, String)> {
        let Some(of) = self.group(owner) else {
            return BTreeSet::new();
        };
        let balancer = &of.balancer;
        let is_kept_out = !balancer.security_groups.is_empty()
            && balancer.private_link_rules.as_deref() != Some("off")
            && !balancer.admits_consumers;
        if entry.private_link && is_kept_out {
            return BTreeSet::new();
        }
        let action = listener.action_for(entry.family, owner);
        let given = action.iter().filter(|forward| forward.is_given());
        let groups = given.filter_map(|forward| Some((&forward.group, self.groups.get(&forward.group)?)));
        let mut reached = BTreeSet::new();
        for (arn, members) in groups {
            for target in self.served(arn, members, balancer, &entry.zone, now) {
                let seen = format!("{}:{} by {}", target.ip, target.port, listener.protocol);
                reached.insert((arn.clone(), seen));
            }
        }
        reached
    }

    /// The targets that a node gives connections to: the healthy ones within its reach, or all if there is none (fail open).
    fn served(&self, arn: &str, members: &Members, balancer: &Balancer, zone: &str, now: Duration) -> Vec<TargetView> {
        let group = &members.group;
        let admitted = if is_on(group, "preserve_client_ip.enabled") {
            group.admits_clients
        } else {
            group.admits_balancer
        };
        if !admitted {
            return Vec::new();
        }
        let crosses = match group.attributes.get(CROSS_ZONE).map(String::as_str) {
            Some("true") => true,
            Some("false") => false,
            _ => balancer.attributes.get(CROSS_ZONE).is_some_and(|value| value == "true"),
        };
        let is_near = |target: &TargetView| {
            let place = target.zone.as_deref();
            crosses || place == Some("all") || place == Some(zone)
        };
        let has_header = is_on(group, "proxy_protocol_v2.enabled");
        let is_served = |target: &TargetView| {
            let is_understood = has_header == group.behind_header.contains(&target.ip);
            is_understood && !matches!(target.state.as_str(), "unused" | "draining")
        };
        let targets = self.targets(arn, now);
        let near: Vec<TargetView> = targets
            .into_iter()
            .filter(|target| is_near(target) && is_served(target))
            .collect();
        let is_healthy = |target: &&TargetView| target.state == "healthy";
        let healthy: Vec<TargetView> = near.iter().filter(is_healthy).cloned().collect();
        if healthy.is_empty() { near } else { healthy }
    }
}

const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";

fn families(balancer: &Balancer) -> Vec<Family> {
    match balancer.ip_address_type.as_str() {
        "dualstack" => vec![Family::Ipv4, Family::Ipv6],
        _ => vec![Family::Ipv4],
    }
}

fn is_on(group: &Group, key: &str) -> bool {
    group.attributes.get(key).is_some_and(|value| value == "true")
}

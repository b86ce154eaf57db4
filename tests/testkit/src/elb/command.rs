use std::collections::{BTreeMap, BTreeSet};

use super::balancer::zone_of_subnet;
use super::group::Group;
use super::listener::{Forward, Listener};
use super::model::Model;
use super::refusal::Refusal;

/// Flags of a command with their values.
type Flags<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// What people type.
impl Model {
    /// Does what a command of AWS's command line does, `aws elbv2 ...` or `aws ec2 ...`, in the short form of its values.
    ///
    /// # Panics
    /// If it is no command, or one that is not modelled: a command that nobody knows the effects of proves nothing.
    pub fn obey(&mut self, command: &str) -> Result<(), Refusal> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let ["aws", "elbv2" | "ec2", verb, rest @ ..] = words.as_slice() else {
            panic!("this is no command of ELBv2 or EC2: {command}");
        };
        let flags = flags(rest);
        let one = |flag: &str| match flags.get(flag).map(Vec::as_slice) {
            Some([value]) => *value,
            other => panic!("{flag} has {other:?} in: {command}"),
        };
        match *verb {
            "create-listener" => {
                let listener = Listener {
                    port: one("--port").parse().expect("a port"),
                    protocol: one("--protocol").into(),
                    forward: forward(one("--default-actions")),
                    ..Listener::default()
                };
                self.create_listener(one("--load-balancer-arn"), listener)
            }
            "modify-listener" => {
                let listener = self.listener_mut(one("--listener-arn"))?;
                if flags.contains_key("--protocol") {
                    listener.protocol = one("--protocol").into();
                }
                if flags.contains_key("--default-actions") {
                    listener.forward = forward(one("--default-actions"));
                }
                Ok(())
            }
            "modify-listener-attributes" => {
                let attributes = pairs(&flags["--attributes"]);
                self.listener_mut(one("--listener-arn"))?.attributes.extend(attributes);
                Ok(())
            }
            "modify-load-balancer-attributes" => {
                let attributes = pairs(&flags["--attributes"]);
                let owner = self.owner_mut(one("--load-balancer-arn"))?;
                owner.balancer.attributes.extend(attributes);
                Ok(())
            }
            "modify-target-group-attributes" => {
                let attributes = pairs(&flags["--attributes"]);
                let group = &mut self.members_mut(one("--target-group-arn"))?.group;
                group.attributes.extend(attributes);
                Ok(())
            }
            "modify-target-group" => {
                let group = &mut self.members_mut(one("--target-group-arn"))?.group;
                check_differently(group, &flags)
            }
            "set-subnets" => self.set_subnets(one("--load-balancer-arn"), &flags["--subnets"]),
            "set-security-groups" => {
                let groups = flags["--security-groups"].iter().map(|group| (*group).to_owned());
                let balancer = &mut self.owner_mut(one("--load-balancer-arn"))?.balancer;
                balancer.security_groups = groups.collect();
                let rules = "--enforce-security-group-inbound-rules-on-private-link-traffic";
                if flags.contains_key(rules) {
                    balancer.private_link_rules = Some(one(rules).into());
                }
                Ok(())
            }
            "accept-vpc-endpoint-connections" => self.accept(one("--service-id"), &flags["--vpc-endpoint-ids"]),
            "modify-vpc-endpoint-service-permissions" => {
                self.admit(one("--service-id"), &flags["--add-allowed-principals"])
            }
            "modify-vpc-endpoint-service-configuration" => {
                if flags.contains_key("--acceptance-required") {
                    return self.require_acceptance(one("--service-id"));
                }
                self.publish_again(one("--service-id"), one("--add-network-load-balancer-arns"))
            }
            "create-vpc-endpoint-service-configuration" => self.publish(one("--network-load-balancer-arns")),
            "start-vpc-endpoint-service-private-dns-verification" => self.verify_private_name(one("--service-id")),
            _ => panic!("nobody knows what this does: {command}"),
        }
    }

    pub(super) fn owner_mut(&mut self, balancer: &str) -> Result<&mut Group, Refusal> {
        let mut groups = self.groups.values_mut().map(|members| &mut members.group);
        groups.find(|group| group.owns(balancer)).ok_or_else(|| {
            let message = format!("Load balancers '[{balancer}]' not found");
            Refusal::new(400, "LoadBalancerNotFound", message)
        })
    }

    fn listener_mut(&mut self, arn: &str) -> Result<&mut Listener, Refusal> {
        let groups = self.groups.values_mut().map(|members| &mut members.group);
        for group in groups {
            if let Some(index) = group.listener_index(arn) {
                return Ok(&mut group.balancer.listeners[index]);
            }
        }
        let message = format!("Listener '{arn}' not found");
        Err(Refusal::new(400, "ListenerNotFound", message))
    }

    fn create_listener(&mut self, balancer: &str, listener: Listener) -> Result<(), Refusal> {
        for Forward { group, .. } in &listener.forward {
            self.members(group)?;
        }
        let listeners = &mut self.owner_mut(balancer)?.balancer.listeners;
        if listeners.iter().any(|other| other.port == listener.port) {
            let message = "A listener already exists on this port for this load balancer";
            return Err(Refusal::new(400, "DuplicateListener", message));
        }
        listeners.push(listener);
        Ok(())
    }

    /// Enables the zones of the subnets, and no other.
    fn set_subnets(&mut self, balancer: &str, subnets: &[&str]) -> Result<(), Refusal> {
        let mut zones = BTreeSet::new();
        for subnet in subnets {
            let zone = zone_of_subnet(subnet).ok_or_else(|| {
                let message = format!("The subnet ID '{subnet}' is not valid");
                Refusal::new(400, "SubnetNotFound", message)
            })?;
            zones.insert(zone.to_owned());
        }
        self.owner_mut(balancer)?;
        let users = self.groups.values_mut().map(|members| &mut members.group);
        for group in users.filter(|group| group.load_balancer_arn().as_deref() == Some(balancer)) {
            group.enabled_zones.clone_from(&zones);
        }
        Ok(())
    }
}

fn flags<'a>(words: &[&'a str]) -> Flags<'a> {
    let mut flags = Flags::new();
    let mut flag = None;
    for word in words {
        if word.starts_with("--") {
            flag = Some(*word);
            flags.insert(word, Vec::new());
            continue;
        }
        let flag = flag.unwrap_or_else(|| panic!("{word} belongs to no flag"));
        flags.entry(flag).or_default().push(word);
    }
    flags
}

/// `Type=forward,TargetGroupArn=ARN`.
fn forward(action: &str) -> Vec<Forward> {
    let group = action.strip_prefix("Type=forward,TargetGroupArn=");
    let group = group.unwrap_or_else(|| panic!("this action is not modelled: {action}"));
    vec![Forward::to(group)]
}

/// `Key=KEY,Value=VALUE`.
fn pairs(words: &[&str]) -> Vec<(String, String)> {
    let pair = |word: &&str| {
        let (key, value) = word.strip_prefix("Key=")?.split_once(",Value=")?;
        Some((key.to_owned(), value.to_owned()))
    };
    let read = |word| pair(word).unwrap_or_else(|| panic!("{word} is no attribute"));
    words.iter().map(read).collect()
}

fn check_differently(group: &mut Group, flags: &Flags<'_>) -> Result<(), Refusal> {
    let check = &mut group.health_check;
    for (flag, values) in flags {
        let value = values.first().copied().unwrap_or_default();
        let number = || value.parse().unwrap_or_else(|_| panic!("{flag} is {value}"));
        match *flag {
            "--region" | "--target-group-arn" => {}
            "--health-check-protocol" => value.clone_into(&mut check.protocol),
            "--health-check-port" => value.clone_into(&mut check.port),
            "--health-check-interval-seconds" => check.interval = number(),
            "--health-check-timeout-seconds" => check.timeout = number(),
            "--healthy-threshold-count" => check.healthy = number(),
            "--unhealthy-threshold-count" => check.unhealthy = number(),
            _ => panic!("{flag} is not modelled"),
        }
    }
    if check.timeout > check.interval {
        let message = "Health check timeout must not be longer than the interval";
        return Err(Refusal::validation(message));
    }
    Ok(())
}

use std::collections::BTreeMap;

use super::group::Family;
use super::wire::{element, text};

/// A listener of a Network Load Balancer, with its rules.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The port that clients connect to.
    pub port: u16,
    /// The protocol.
    pub protocol: String,
    /// Attributes that are not as AWS sets them.
    pub attributes: BTreeMap<String, String>,
    /// The default action; empty: to the group whose load balancer it is.
    pub forward: Vec<Forward>,
    /// The rules that are looked at before the default action.
    pub rules: Vec<Rule>,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            port: 5432,
            protocol: "TCP".into(),
            attributes: BTreeMap::new(),
            forward: Vec::new(),
            rules: Vec::new(),
        }
    }
}

/// A target group in a forward action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The ARN of the group.
    pub group: String,
    /// Its part of the new connections: 0 to 999, and 1 if nobody has said.
    pub weight: Option<u16>,
}

impl Forward {
    /// To this group, without a weight.
    pub fn to(group: &str) -> Self {
        let group = group.to_owned();
        Self { group, weight: None }
    }

    /// To this group, with a weight.
    pub fn weighted(group: &str, weight: u16) -> Self {
        let weight = Some(weight);
        Self {
            weight,
            ..Self::to(group)
        }
    }

    /// Whether new connections are given to it.
    pub fn is_given(&self) -> bool {
        self.weight != Some(0)
    }
}

/// A rule: clients that meet its condition get its action.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The rule with the lowest is looked at first.
    pub priority: u32,
    /// The field of its one condition, and its value: of `source-ip` `ipv4` or `ipv6`; another field is one that AWS has yet
    /// to invent, and nobody meets it.
    pub condition: (String, String),
    /// The action.
    pub forward: Vec<Forward>,
}

impl Rule {
    /// For clients of a family.
    pub fn for_clients(priority: u32, family: Family, forward: Vec<Forward>) -> Self {
        Self {
            priority,
            condition: ("source-ip".into(), family.as_str().into()),
            forward,
        }
    }

    fn is_met_by(&self, family: Family) -> bool {
        self.condition.0 == "source-ip" && self.condition.1 == family.as_str()
    }
}

impl Listener {
    /// The ARN of the listener that a load balancer got as its `index`th.
    pub(super) fn arn(balancer: &str, index: usize) -> String {
        let number = 0xf2f7_dc8e_fc52_2ab2_u64.wrapping_add(index as u64);
        format!("{}/{number:016x}", balancer.replace(":loadbalancer/", ":listener/"))
    }

    /// The default action; `owner` is the group whose load balancer it is.
    fn default_action(&self, owner: &str) -> Vec<Forward> {
        if self.forward.is_empty() {
            return vec![Forward::to(owner)];
        }
        self.forward.clone()
    }

    /// The action that a client of a family gets: that of the first rule it meets, or the default one.
    pub(super) fn action_for(&self, family: Family, owner: &str) -> Vec<Forward> {
        let met = self.rules.iter().filter(|rule| rule.is_met_by(family));
        let first = met.min_by_key(|rule| rule.priority);
        first.map_or_else(|| self.default_action(owner), |rule| rule.forward.clone())
    }

    pub(super) fn described(&self, owner: &str) -> String {
        text("Port", &self.port.to_string())
            + &text("Protocol", &self.protocol)
            + &element("DefaultActions", &action(&self.default_action(owner)))
    }

    /// The result of DescribeRules: the default action is a rule, too.
    pub(super) fn described_rules(&self, arn: &str, owner: &str) -> String {
        let base = arn.replace(":listener/", ":listener-rule/");
        let of_rule = |rule: &Rule| {
            let (field, value) = &rule.condition;
            let config = match field.as_str() {
                "source-ip" => element("SourceIpConfig", &text("IpAddressType", value)),
                _ => element("Values", &text("member", value)),
            };
            let condition = element("member", &(text("Field", field) + &config));
            text("RuleArn", &format!("{base}/{:016x}", rule.priority))
                + &text("Priority", &rule.priority.to_string())
                + &element("Conditions", &condition)
                + &element("Actions", &action(&rule.forward))
                + &text("IsDefault", "false")
        };
        let default = text("RuleArn", &format!("{base}/default"))
            + &text("Priority", "default")
            + &element("Conditions", "")
            + &element("Actions", &action(&self.default_action(owner)))
            + &text("IsDefault", "true");
        let rules = self.rules.iter().map(of_rule).chain([default]);
        let members = rules.map(|rule| element("member", &rule)).collect::<String>();
        element("Rules", &members)
    }
}

/// Actions with one forward action; a single group is named twice, as ELB does.
fn action(forward: &[Forward]) -> String {
    let alone = match forward {
        [only] => text("TargetGroupArn", &only.group),
        _ => String::new(),
    };
    let tuple = |forward: &Forward| {
        let weight = forward.weight.map(|weight| text("Weight", &weight.to_string()));
        let tuple = text("TargetGroupArn", &forward.group) + &weight.unwrap_or_default();
        element("member", &tuple)
    };
    let groups = element("TargetGroups", &forward.iter().map(tuple).collect::<String>());
    let action = text("Type", "forward") + &alone + &element("ForwardConfig", &groups);
    element("member", &action)
}

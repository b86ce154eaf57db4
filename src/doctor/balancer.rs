//! The load balancer in front of a target group, judged.

use std::collections::BTreeSet;

use super::check::{Check, Outcome};
use super::command::elbv2;
use super::group::{Around, BalancerSeen, Seen, Wanted, outside, without_current};
use super::listener;
use crate::aws::elb::{Attributes, Balancer, Detail};
use crate::exit::Exit;
use crate::planner::target::{Listed, State, Target, ZONE_ALL};
use crate::text::join;

const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";
const ALL: [&str; 7] = [
    "balancer.attached",
    "balancer.listener",
    "balancer.idle-timeout",
    "balancer.zones",
    "balancer.cross-zone",
    "balancer.private-link",
    "balancer.access",
];

/// The current targets that are registered.
type Current<'a> = &'a [(&'a Target, &'a Listed)];

/// The checks of every load balancer that uses the group; `blocked_by` says what keeps the group from being described.
pub fn judge(seen: &Seen, wanted: &Wanted<'_>, region: &str, blocked_by: &'static str) -> Vec<Check> {
    let mut checks = judge_all(seen, wanted, blocked_by);
    checks.push(Check::new("balancer.alternative", alternative(region)));
    checks
}

fn judge_all(seen: &Seen, wanted: &Wanted<'_>, blocked_by: &'static str) -> Vec<Check> {
    let blocked = |names: &[&'static str], by: &'static str| -> Vec<Check> {
        names
            .iter()
            .map(|name| Check::new(name, Outcome::blocked(by)))
            .collect()
    };
    let (Ok(detail), Some(around)) = (&seen.detail, &seen.around) else {
        let is_group = matches!(&seen.detail, Err(error) if error.failure.kind.exit() == Exit::Settings);
        return blocked(&ALL, if is_group { "group.type" } else { blocked_by });
    };
    let mut checks = match &around.balancers {
        Err(_) => blocked(&ALL[..6], "permission.inspect"),
        Ok(balancers) if balancers.is_empty() => {
            let mut checks = vec![Check::new("balancer.attached", unattached(detail))];
            checks.extend(blocked(&ALL[1..6], "balancer.attached"));
            checks
        }
        Ok(balancers) => {
            let of_one = |seen: &BalancerSeen| judge_one(seen, detail, around, wanted);
            balancers.iter().flat_map(of_one).collect()
        }
    };
    checks.push(Check::new("balancer.access", access(detail, around, wanted)));
    checks
}

fn judge_one(seen: &BalancerSeen, detail: &Detail, around: &Around, wanted: &Wanted<'_>) -> Vec<Check> {
    let balancer = &seen.balancer;
    let current = around.targets.as_ref().map(|targets| wanted.current(targets));
    let with_current = |judge: &dyn Fn(Current<'_>) -> Outcome| match &current {
        Err(_) => Outcome::blocked("permission.describe-health"),
        Ok(current) if current.is_empty() => without_current(),
        Ok(current) => judge(current),
    };
    let (listener, idle) = match &seen.listeners {
        Err(_) => (
            Outcome::blocked("permission.inspect"),
            Outcome::blocked("permission.inspect"),
        ),
        Ok(listeners) => (
            listener::listening(detail, balancer, listeners),
            listener::idle_timeout(detail, listeners),
        ),
    };
    let cross_zone = match (&seen.attributes, &around.attributes) {
        (Ok(own), Ok(group)) => with_current(&|current| cross_zone(detail, balancer, own, group, current)),
        _ => Outcome::blocked("permission.inspect"),
    };
    vec![
        Check::new("balancer.attached", attached(balancer)),
        Check::new("balancer.listener", listener),
        Check::new("balancer.idle-timeout", idle),
        Check::new(
            "balancer.zones",
            with_current(&|current| zones(detail, balancer, current)),
        ),
        Check::new("balancer.cross-zone", cross_zone),
        Check::new("balancer.private-link", private_link(detail, balancer)),
    ]
}

fn unattached(detail: &Detail) -> Outcome {
    Outcome::failure(
        Exit::Unexpected,
        "no load balancer uses the group: its targets get no traffic",
        format!(
            "{} --load-balancer-arn ARN --protocol TCP --port {} --default-actions Type=forward,TargetGroupArn={}",
            elbv2(detail, "create-listener"),
            detail.group.port,
            detail.group.arn
        ),
    )
}

fn attached(balancer: &Balancer) -> Outcome {
    let Balancer { name, kind, state, .. } = balancer;
    if kind != "network" {
        return Outcome::failure(
            Exit::Settings,
            format!("{name} is of type {kind}"),
            "use a Network Load Balancer: no other passes PostgreSQL through, and PrivateLink takes no other",
        );
    }
    match state.as_str() {
        "active" => Outcome::ok(format!("{name}, active, in {}", join(&balancer.zones))),
        "failed" => Outcome::failure(
            Exit::Unavailable,
            format!("{name} could not be set up by AWS (failed)"),
            "delete it and create it anew; the reason stands in the console",
        ),
        other => Outcome::warning(
            format!("{name} is {other}"),
            "wait until it is active: a new load balancer takes some minutes",
        ),
    }
}

fn zones(detail: &Detail, balancer: &Balancer, current: Current<'_>) -> Outcome {
    match outside(balancer, current) {
        None => Outcome::ok("the current targets lie in zones that are enabled"),
        Some((target, zone)) => Outcome::failure(
            Exit::Unexpected,
            format!(
                "{target} lies in {zone}, which is not enabled on {}: it gets no traffic",
                balancer.name
            ),
            // What is not named is switched off: those of now stand there in full.
            format!(
                "either enable the zone, with one of its subnets in the place of SUBNET: {} --load-balancer-arn {} --subnets \
                 {} SUBNET; or keep the database out of it: its DB subnet group may have subnets in {} only (aws rds \
                 describe-db-subnet-groups shows them)",
                elbv2(detail, "set-subnets"),
                balancer.arn,
                balancer.subnets.join(" "),
                join(&balancer.zones)
            ),
        ),
    }
}

/// Whether nodes send to the targets of all zones: the group's setting, unless it leaves that to the load balancer.
pub fn is_cross_zone(own: &Attributes, group: &Attributes) -> bool {
    let of_group = group
        .get(CROSS_ZONE)
        .filter(|value| *value != "use_load_balancer_configuration");
    of_group.or(own.get(CROSS_ZONE)).is_some_and(|value| value == "true")
}

fn cross_zone(
    detail: &Detail,
    balancer: &Balancer,
    own: &Attributes,
    group: &Attributes,
    current: Current<'_>,
) -> Outcome {
    if is_cross_zone(own, group) {
        return Outcome::ok("on: every zone reaches the target, wherever it lies");
    }
    let covers = |zone: &&String| {
        let mut places = current.iter().filter_map(|(_, listed)| listed.zone.as_deref());
        places.any(|place| place == ZONE_ALL || place == zone.as_str())
    };
    let without: BTreeSet<&String> = balancer.zones.iter().filter(|zone| !covers(zone)).collect();
    if balancer.zones.len() < 2 {
        return Outcome::ok("off, and the load balancer has one zone; a failover into another finds no node there");
    }
    if without.is_empty() {
        return Outcome::ok("off, but every zone has a current target");
    }
    // The load balancer's own attribute would spread the clients of its other groups, too.
    let fix = format!(
        "{} --target-group-arn {} --attributes Key={CROSS_ZONE},Value=true",
        elbv2(detail, "modify-target-group-attributes"),
        detail.group.arn
    );
    Outcome::warning(
        format!(
            "off: the load balancer's nodes in {} have no target, so who connects through them reaches nothing",
            join(without)
        ),
        fix,
    )
}

fn private_link(detail: &Detail, balancer: &Balancer) -> Outcome {
    if balancer.security_groups.is_empty() {
        return Outcome::ok("the load balancer has no security group, so nothing is kept out");
    }
    let groups = balancer.security_groups.join(" ");
    if balancer.private_link_rules.as_deref() == Some("off") {
        return Outcome::ok(format!("the rules of {groups} do not hold for PrivateLink"));
    }
    Outcome::warning(
        format!(
            "the inbound rules of {groups} hold for PrivateLink consumers too, whose addresses are of their own VPCs"
        ),
        format!(
            "allow their addresses in, or lift the rules for whoever the endpoint service has accepted, on every listener: {} \
             --load-balancer-arn {} --security-groups {groups} \
             --enforce-security-group-inbound-rules-on-private-link-traffic off",
            elbv2(detail, "set-security-groups"),
            balancer.arn
        ),
    )
}

/// ELB knows of the database's security groups only whether its checks get through.
fn access(detail: &Detail, around: &Around, wanted: &Wanted<'_>) -> Outcome {
    let current = around
        .targets
        .as_ref()
        .map(|targets| wanted.current(targets))
        .unwrap_or_default();
    if current.iter().any(|(_, listed)| listed.state == State::Healthy) {
        return Outcome::ok("health checks from the load balancer get through");
    }
    let groups: Vec<&str> = around
        .balancers
        .iter()
        .flatten()
        .flat_map(|seen| &seen.balancer.security_groups)
        .map(String::as_str)
        .collect();
    let from = match groups.as_slice() {
        [] => "from the subnets of the load balancer".to_owned(),
        groups => format!("from {}", groups.join(", ")),
    };
    let ports = join(
        wanted
            .endpoints
            .iter()
            .map(|(endpoint, ..)| endpoint.port())
            .collect::<BTreeSet<_>>(),
    );
    Outcome::untold(
        "ELB does not tell the security groups of the database",
        format!(
            "they must let in TCP {ports} {from}: aws rds describe-db-instances --region {} --query \
             \"DBInstances[].[DBInstanceIdentifier,VpcSecurityGroups[].VpcSecurityGroupId]\"; aws ec2 \
             describe-security-groups --group-ids sg-...",
            detail.group.arn.region()
        ),
    )
}

fn alternative(region: &str) -> Outcome {
    Outcome::untold(
        "a PrivateLink resource endpoint follows an RDS ARN or a name that anybody can resolve, over TCP, without load balancer \
         and rds-tether, if the consumer takes one, in the database's region and not in the VPC of its resource gateway",
        format!(
            "ask the consumer; what there is already: aws vpc-lattice list-resource-configurations --region {region}"
        ),
    )
}

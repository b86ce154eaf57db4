//! A target group, its attributes and its targets, judged.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Check, Outcome};
use super::command::elbv2;
use super::listener::ListenerSeen;
use crate::aws::elb::{self, Attributes, Balancer, Detail, HealthCheck};
use crate::aws::failure::Kind;
use crate::exit::Exit;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::engine::Engine;
use crate::planner::policy::Policy;
use crate::planner::protocol::carries;
use crate::planner::target::{Listed, State, Target, ZONE_ALL};
use crate::text::join;

/// Checks that take longer than this to notice a change keep clients waiting.
const NOTICE_MAX_SECONDS: u32 = 60;
/// The default of deregistration_delay.timeout_seconds.
const DELAY_DEFAULT: &str = "300";

/// A target group as the calls about it showed it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The group itself.
    pub detail: Result<Detail, elb::Error>,
    /// Its surroundings, if there is such a group.
    pub around: Option<Around>,
}

/// The surroundings of a target group.
#[derive(Clone, Debug)]
pub struct Around {
    /// The targets that it lists.
    pub targets: Result<BTreeMap<Target, Listed>, elb::Error>,
    /// The attributes of the group.
    pub attributes: Result<Attributes, elb::Error>,
    /// The load balancers that use it.
    pub balancers: Result<Vec<BalancerSeen>, elb::Error>,
}

/// A load balancer and its listeners.
#[derive(Clone, Debug)]
pub struct BalancerSeen {
    /// The load balancer.
    pub balancer: Balancer,
    /// The attributes of the load balancer.
    pub attributes: Result<Attributes, elb::Error>,
    /// All its listeners.
    pub listeners: Result<Vec<ListenerSeen>, elb::Error>,
}

/// The targets that a group is to have by DNS and the settings.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The endpoints, each with whether it has addresses of the group's family, and of the other one.
    pub endpoints: Vec<(&'a Endpoint, bool, bool)>,
    /// The targets that DNS names now; none at all are known if an endpoint has no address.
    pub named: Option<BTreeSet<Target>>,
    /// The role, by the settings or by the names of the endpoints.
    pub role: Role,
    /// The rules of the binding.
    pub policy: &'a Policy,
}

impl Wanted<'_> {
    /// The targets that are registered, named or kept apart.
    pub fn registered<'t>(
        &self,
        targets: &'t BTreeMap<Target, Listed>,
    ) -> impl Iterator<Item = (&'t Target, &'t Listed)> {
        targets.iter().filter(|(_, listed)| listed.state.is_registered())
    }

    /// The targets that DNS names and the group has.
    pub fn current<'t>(&self, targets: &'t BTreeMap<Target, Listed>) -> Vec<(&'t Target, &'t Listed)> {
        let is_named = |target: &Target| self.named.as_ref().is_some_and(|named| named.contains(target));
        self.registered(targets)
            .filter(|(target, _)| is_named(target))
            .collect()
    }
}

impl Seen {
    /// The failures of the calls that only doctor makes.
    pub fn inspection_errors(&self) -> Vec<&elb::Error> {
        let Some(around) = &self.around else {
            return Vec::new();
        };
        let mut errors: Vec<&elb::Error> = around.attributes.as_ref().err().into_iter().collect();
        errors.extend(around.balancers.as_ref().err());
        for seen in around.balancers.iter().flatten() {
            errors.extend(seen.attributes.as_ref().err());
            errors.extend(seen.listeners.as_ref().err());
            for listener in seen.listeners.iter().flatten() {
                errors.extend(listener.rules.as_ref().err());
                errors.extend(
                    listener
                        .attributes
                        .as_ref()
                        .and_then(|attributes| attributes.as_ref().err()),
                );
            }
        }
        // One listener's refusal says what another's would.
        let mut told = BTreeSet::new();
        errors.retain(|error| told.insert(error.failure.action));
        errors
    }
}

/// The checks of the group; `blocked_by` says which check keeps it from being described, if one does.
pub fn judge(seen: &Seen, wanted: &Wanted<'_>, blocked_by: &'static str) -> Vec<Check> {
    const ALL: [&str; 10] = [
        "group.protocol",
        "group.port",
        "group.vpc",
        "group.family",
        "group.targets",
        "group.health",
        "group.termination",
        "group.client-ip",
        "group.proxy-protocol",
        "group.health-check",
    ];
    let blocked = |by: &'static str| ALL.map(|name| Check::new(name, Outcome::blocked(by))).to_vec();
    let (detail, around) = match (&seen.detail, &seen.around) {
        (Ok(detail), Some(around)) => (detail, around),
        (Err(error), _) if matches!(error.failure.kind, Kind::NotFound | Kind::NotIp) => {
            let mut checks = vec![Check::new("group.type", Outcome::of_error(error))];
            checks.extend(blocked("group.type"));
            return checks;
        }
        _ => {
            let mut checks = vec![Check::new("group.type", Outcome::blocked(blocked_by))];
            checks.extend(blocked(blocked_by));
            return checks;
        }
    };
    let mut checks = vec![
        Check::new("group.type", target_type(detail)),
        Check::new("group.protocol", protocol(detail)),
        Check::new("group.port", port(detail, wanted)),
        Check::new("group.vpc", vpc(detail, around, wanted)),
        Check::new("group.family", family(detail, wanted)),
    ];
    checks.extend(match &around.targets {
        Ok(targets) => [
            Check::new("group.targets", held(targets, wanted)),
            Check::new("group.health", health(around, targets, wanted)),
        ],
        Err(_) => ["group.targets", "group.health"]
            .map(|name| Check::new(name, Outcome::blocked("permission.describe-health"))),
    });
    let judges: [(&'static str, Judge); 3] = [
        ("group.termination", termination),
        ("group.client-ip", client_ip),
        ("group.proxy-protocol", proxy_protocol),
    ];
    for (name, judge) in judges {
        let outcome = match &around.attributes {
            Ok(attributes) => judge(detail, around, wanted, attributes),
            Err(_) => Outcome::blocked("permission.inspect"),
        };
        checks.push(Check::new(name, outcome));
    }
    checks.push(Check::new("group.health-check", health_check(detail, wanted)));
    checks
}

type Judge = fn(&Detail, &Around, &Wanted<'_>, &Attributes) -> Outcome;

fn target_type(detail: &Detail) -> Outcome {
    if detail.target_type == "ip" {
        return Outcome::ok("type ip");
    }
    Outcome::failure(
        Exit::Settings,
        format!(
            "its targets are of type {}: an address cannot be put into it",
            detail.target_type
        ),
        "create a target group of type ip, and give its ARN: the type of a group never changes",
    )
}

fn protocol(detail: &Detail) -> Outcome {
    let protocol = detail.group.protocol.as_str();
    match carries(protocol) {
        Ok(()) if protocol.starts_with("TCP") => Outcome::ok(protocol),
        _ => Outcome::failure(
            Exit::Settings,
            format!("{protocol}: PostgreSQL begins TLS inside its own protocol, which only TCP passes through"),
            "create a target group with protocol TCP, and give its ARN: the protocol of a group never changes",
        ),
    }
}

fn port(detail: &Detail, wanted: &Wanted<'_>) -> Outcome {
    let port = detail.group.port;
    let other = wanted.endpoints.iter().find(|(endpoint, ..)| endpoint.port() != port);
    match other {
        None => Outcome::ok(format!("port {port}")),
        Some((endpoint, ..)) => Outcome::warning(
            format!("port {port}, where the endpoint's is {}", endpoint.port()),
            "rds-tether registers the endpoint's port, and that works; but what others register without a port, and what \
             people read in the console, is the group's: create it with the database's port",
        ),
    }
}

fn vpc(detail: &Detail, around: &Around, wanted: &Wanted<'_>) -> Outcome {
    let vpc = &detail.group.vpc;
    let balancers = around.balancers.iter().flatten();
    if let Some(other) = balancers
        .map(|seen| &seen.balancer)
        .find(|balancer| balancer.vpc != *vpc)
    {
        return Outcome::failure(
            Exit::Settings,
            format!(
                "the group is in {vpc}, its load balancer {} in {}",
                other.name, other.vpc
            ),
            "create the target group in the load balancer's VPC",
        );
    }
    let targets = around.targets.as_ref().map(|targets| wanted.current(targets));
    let targets = targets.unwrap_or_default();
    if targets.is_empty() {
        let region = detail.group.arn.region();
        return Outcome::untold(
            format!("{vpc}; ELB does not tell whether the database lies in it"),
            format!(
                "aws rds describe-db-instances --region {region} --query \
                 \"DBInstances[].[Endpoint.Address,DBSubnetGroup.VpcId]\" --output text"
            ),
        );
    }
    let place = |(target, listed): &(&Target, &Listed)| match listed.zone.as_deref() {
        Some(ZONE_ALL) => format!("{target} lies outside it, so a route must lead there"),
        Some(zone) => format!("{target} lies in {zone}"),
        None => format!("{target}"),
    };
    Outcome::ok(format!("{vpc}; {}", join(targets.iter().map(place))))
}

fn family(detail: &Detail, wanted: &Wanted<'_>) -> Outcome {
    let family = detail.group.family;
    let without = wanted.endpoints.iter().find(|(_, has_own, _)| !has_own);
    match without {
        None => Outcome::ok(format!("{family}, and so is the endpoint")),
        Some((_, _, false)) => Outcome::blocked("dns.answer"),
        Some((endpoint, ..)) => Outcome::failure(
            Exit::Settings,
            format!("the group takes {family} addresses, and {} has none", endpoint.host()),
            "create a target group of the other IP address type (a group's never changes), or make the database \
             dual-stack",
        ),
    }
}

fn held(targets: &BTreeMap<Target, Listed>, wanted: &Wanted<'_>) -> Outcome {
    let Some(named) = &wanted.named else {
        return Outcome::blocked("dns.answer");
    };
    let registered: BTreeSet<Target> = wanted.registered(targets).map(|(target, _)| *target).collect();
    let missing: Vec<&Target> = named.difference(&registered).collect();
    if !missing.is_empty() {
        let found = format!("{}, which DNS names, is not registered", join(&missing));
        let is_kept = missing.iter().all(|target| wanted.policy.keeps(**target));
        let fix = if is_kept {
            "leave it out of keep, or register it yourself: rds-tether does not touch what keep covers"
        } else {
            "rds-tether sync registers it, and so does rds-tether run"
        };
        if missing.len() < named.len() {
            return Outcome::warning(found, fix);
        }
        let instead = match registered.is_empty() {
            true => "nothing is registered".to_owned(),
            false => format!("only {} is registered", join(&registered)),
        };
        return Outcome::failure(Exit::Unexpected, format!("{instead}: {found}"), fix);
    }
    let foreign: Vec<&Target> = registered
        .difference(named)
        .filter(|target| !wanted.policy.keeps(**target))
        .collect();
    if foreign.is_empty() {
        return Outcome::ok(format!("{} and nothing else", join(named)));
    }
    let is_port = |target: &&Target| named.iter().any(|named| named.ip == target.ip);
    if let Some(wrong) = foreign.iter().copied().find(is_port) {
        return Outcome::warning(
            format!("{wrong} has the current address and another port"),
            format!(
                "rds-tether removes it after forget, unless it is kept: --keep {}",
                wrong.ip
            ),
        );
    }
    if wanted.role == Role::Reader {
        return Outcome::ok(format!("{} too, which this answer did not name", join(foreign)));
    }
    Outcome::warning(
        format!("{}, which DNS does not name, is registered", join(foreign)),
        "a former address is removed by rds-tether after forget; if somebody else registered it, keep it with --keep CIDR \
         or remove nothing with --upsert-only",
    )
}

/// What is about current targets, where there are none.
pub fn without_current() -> Outcome {
    Outcome::Blocked(
        "group.targets",
        "no current target is registered: see group.targets".into(),
    )
}

fn health(around: &Around, targets: &BTreeMap<Target, Listed>, wanted: &Wanted<'_>) -> Outcome {
    if wanted.named.is_none() {
        return Outcome::blocked("dns.answer");
    }
    let current = wanted.current(targets);
    if current.is_empty() {
        return without_current();
    }
    let told = |(target, listed): &(&Target, &Listed)| {
        let reason = listed.reason.as_deref().map(|reason| format!(" ({reason})"));
        format!("{target} is {}{}", listed.state.as_str(), reason.unwrap_or_default())
    };
    let found = join(current.iter().map(told));
    let has = |state: fn(&State) -> bool| current.iter().any(|(_, listed)| state(&listed.state));
    if has(|state| matches!(state, State::Unused)) {
        return unused(around, &current, &found);
    }
    if has(|state| matches!(state, State::Unhealthy | State::UnhealthyDraining)) {
        return Outcome::failure(
            Exit::Unexpected,
            found,
            "let the load balancer reach the database: its security group must take the load balancer's addresses in on \
             the database's port (see balancer.access), and reach.tcp tells whether it listens at all",
        );
    }
    if has(|state| matches!(state, State::Initial)) {
        return Outcome::warning(found, "wait: ELB takes minutes to put a target into service");
    }
    Outcome::ok(found)
}

/// The first target that lies in a zone in which a load balancer has no node, and that zone.
pub fn outside<'a>(balancer: &Balancer, current: &[(&'a Target, &'a Listed)]) -> Option<(&'a Target, &'a str)> {
    current.iter().find_map(|(target, listed)| {
        let zone = listed.zone.as_deref().filter(|zone| *zone != ZONE_ALL)?;
        (!balancer.zones.contains(zone)).then_some((*target, zone))
    })
}

/// A target that gets no traffic, by the cause: its zone, or that nobody uses the group.
fn unused(around: &Around, current: &[(&Target, &Listed)], found: &str) -> Outcome {
    let mut seen = around.balancers.iter().flatten();
    let outside = seen.find_map(|seen| Some((&seen.balancer, outside(&seen.balancer, current)?)));
    match (outside, &around.balancers) {
        (Some((balancer, (_, zone))), _) => Outcome::failure(
            Exit::Unexpected,
            format!(
                "{found}: it gets no traffic, because its zone {zone} is not enabled on {}",
                balancer.name
            ),
            format!(
                "either enable {zone} on the load balancer, or keep the database out of it by its DB subnet group: see \
                 balancer.zones"
            ),
        ),
        (None, Ok(balancers)) if balancers.is_empty() => Outcome::failure(
            Exit::Unexpected,
            format!("{found}: it gets no traffic, because no load balancer uses the group"),
            "let a listener forward to it: see balancer.attached",
        ),
        _ => Outcome::failure(
            Exit::Unexpected,
            format!("{found}: it gets no traffic"),
            "let a load balancer use the group, and enable the target's zone on it: see balancer.attached and \
             balancer.zones",
        ),
    }
}

fn is_on(attributes: &Attributes, key: &str) -> bool {
    attributes.get(key).is_some_and(|value| value == "true")
}

/// The command that sets an attribute of the group.
fn set_attribute(detail: &Detail, key: &str, value: &str) -> String {
    let arn = &detail.group.arn;
    format!(
        "aws elbv2 modify-target-group-attributes --region {} --target-group-arn {arn} --attributes Key={key},Value={value}",
        arn.region()
    )
}

fn termination(detail: &Detail, _: &Around, wanted: &Wanted<'_>, attributes: &Attributes) -> Outcome {
    const KEY: &str = "deregistration_delay.connection_termination.enabled";
    let delay = attributes.get("deregistration_delay.timeout_seconds");
    let delay = delay.map_or(DELAY_DEFAULT, String::as_str);
    if is_on(attributes, KEY) {
        return Outcome::ok(format!("connections to a removed target end after {delay} s"));
    }
    let left = match wanted.role {
        Role::Writer => "the former writer",
        Role::Reader => "a member that has left",
    };
    Outcome::warning(
        format!(
            "connections to a removed target live on, even after its deregistration delay of {delay} s: clients stay on {left}"
        ),
        set_attribute(detail, KEY, "true"),
    )
}

fn client_ip(detail: &Detail, around: &Around, wanted: &Wanted<'_>, attributes: &Attributes) -> Outcome {
    const KEY: &str = "preserve_client_ip.enabled";
    if !is_on(attributes, KEY) {
        return Outcome::ok("not preserved: the database sees the load balancer");
    }
    let set = set_attribute(detail, KEY, "false");
    let current = around.targets.as_ref().map(|targets| wanted.current(targets));
    // Health checks come from the load balancer's own addresses, whatever this attribute says.
    let is_healthy = |(_, listed): &(&Target, &Listed)| listed.state == State::Healthy;
    let lets_in = current.is_ok_and(|current| !current.is_empty() && current.iter().all(is_healthy));
    Outcome::warning(
        "client addresses are preserved: targets outside the VPC and clients on the target's own host time out, and the \
         database's security group must let in every client",
        if lets_in {
            format!("the database lets the load balancer's addresses in, as the health checks show: {set}")
        } else {
            format!(
                "first let the load balancer's addresses into the database's security group, or every client is shut out; when \
                 group.health is well, set {KEY} to false, which doctor then gives the command for"
            )
        },
    )
}

fn proxy_protocol(detail: &Detail, around: &Around, wanted: &Wanted<'_>, attributes: &Attributes) -> Outcome {
    const KEY: &str = "proxy_protocol_v2.enabled";
    if !is_on(attributes, KEY) {
        return Outcome::ok("no header is sent");
    }
    let targets = around.targets.as_ref();
    let all = targets.map_or(0, |targets| wanted.registered(targets).count());
    let are_all_ours = targets.is_ok_and(|targets| wanted.current(targets).len() == all);
    Outcome::failure(
        Exit::Unexpected,
        "each connection begins with a PROXY protocol header, which no database understands",
        if are_all_ours {
            set_attribute(detail, KEY, "false")
        } else {
            "if the group's other targets are proxies that take the header, give the database a target group of its own; \
             otherwise set the attribute to false"
                .to_owned()
        },
    )
}

fn health_check(detail: &Detail, wanted: &Wanted<'_>) -> Outcome {
    let check = &detail.health_check;
    let arn = &detail.group.arn;
    let modify = format!("{} --target-group-arn {arn}", elbv2(detail, "modify-target-group"));
    let is_databases = |port: &str| {
        wanted
            .endpoints
            .iter()
            .any(|(endpoint, ..)| port == endpoint.port().to_string())
    };
    let own_port = check.port == "traffic-port" || is_databases(&check.port);
    if check.protocol != "TCP" && own_port {
        return Outcome::failure(
            Exit::Unexpected,
            format!("{} on the database's port: no database answers that", check.protocol),
            format!("{modify} --health-check-protocol TCP --health-check-port traffic-port"),
        );
    }
    if !own_port {
        return Outcome::warning(
            format!(
                "{} on port {}: that is not the database's, so its health is not what is seen",
                check.protocol, check.port
            ),
            format!(
                "nothing, if what answers there knows whether the database is well; otherwise: {modify} \
                 --health-check-protocol TCP --health-check-port traffic-port"
            ),
        );
    }
    let is_mysql = |(endpoint, ..): &(&Endpoint, bool, bool)| Engine::of(endpoint.port()) == Some(Engine::Mysql);
    if wanted.endpoints.iter().any(is_mysql) {
        return Outcome::ok(format!(
            "every {} s: MySQL counts each check as an error (see reach.connects), so no faster ones are advised",
            check.interval
        ));
    }
    let (up, down) = worst(check);
    let found = format!(
        "a new target is healthy {up} s after its first check at the latest, a dead one unhealthy after {down} s"
    );
    if up.max(down) > NOTICE_MAX_SECONDS {
        return Outcome::warning(
            found,
            format!(
                "{modify} --health-check-interval-seconds 10 --health-check-timeout-seconds {} --healthy-threshold-count 2 \
                 --unhealthy-threshold-count 2",
                check.timeout.clamp(2, 10)
            ),
        );
    }
    Outcome::ok(found)
}

/// The longest that it takes to notice that a target is well, and that it is dead, in seconds.
fn worst(check: &HealthCheck) -> (u32, u32) {
    let every = |threshold: u32| check.interval.saturating_mul(threshold);
    (
        every(check.healthy),
        every(check.unhealthy).saturating_add(check.timeout),
    )
}

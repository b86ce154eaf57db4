//! The endpoint service (PrivateLink) that a load balancer is published as, judged.
//!
//! None is needed inside one VPC, and nobody follows an endpoint through it: what cannot be asked is a note, never a failure. What
//! is well here is documented or reported (L9).

use super::balancer::is_cross_zone;
use super::check::{Check, Outcome};
use super::command::ec2;
use super::group::{self, BalancerSeen, Wanted};
use crate::aws::ec2::{Connection, PrivateName, Service};
use crate::aws::elb::Detail;
use crate::aws::failure::{Failure, Kind};
use crate::exit::Exit;
use crate::planner::target::{Family, ZONE_ALL};
use crate::text::{join, some};

const PUBLISHED: &str = "service.published";
const REST: [&str; 5] = [
    "service.connections",
    "service.principals",
    "service.zones",
    "service.private-dns",
    "service.regions",
];
/// Endpoints and principals that one line names.
const NAMED_MAX: usize = 10;
/// Everybody, as a principal.
const EVERYBODY: &str = "*";

/// The endpoint services of the load balancers, or why nobody knows.
pub type Services = Result<Vec<ServiceSeen>, Failure>;

/// An endpoint service, and who uses it.
#[derive(Clone, Debug)]
pub struct ServiceSeen {
    /// The service.
    pub service: Service,
    /// The endpoints of its consumers.
    pub connections: Result<Vec<Connection>, Failure>,
    /// Who may make one.
    pub principals: Result<Vec<String>, Failure>,
}

/// The checks of the endpoint service of every load balancer that uses the group; `blocked_by` says what keeps the group from
/// being described.
pub fn judge(services: &Services, seen: &group::Seen, wanted: &Wanted<'_>, blocked_by: &'static str) -> Vec<Check> {
    let all = |first: Outcome, rest: Outcome| {
        let mut checks = vec![Check::new(PUBLISHED, first)];
        checks.extend(REST.map(|name| Check::new(name, rest.clone())));
        checks
    };
    let blocked = |by| all(Outcome::blocked(by), Outcome::blocked(by));
    let detail = match &seen.detail {
        Ok(detail) => detail,
        Err(error) if error.failure.kind.exit() == Exit::Settings => return blocked("group.type"),
        Err(_) => return blocked(blocked_by),
    };
    if detail.balancers.is_empty() {
        return blocked("balancer.attached");
    }
    let services = match services {
        Ok(services) => services,
        Err(failure) => return all(unknown(failure), Outcome::skipped("not known: see service.published")),
    };
    let of_one = |balancer: &String| {
        let uses = |seen: &&ServiceSeen| seen.service.balancers.contains(balancer);
        match services.iter().find(uses) {
            None => all(
                unpublished(detail, balancer),
                Outcome::skipped("there is none: see service.published"),
            ),
            Some(service) => judge_one(service, balancer, detail, seen, wanted),
        }
    };
    detail.balancers.iter().flat_map(of_one).collect()
}

fn judge_one(
    seen: &ServiceSeen,
    balancer: &str,
    detail: &Detail,
    group: &group::Seen,
    wanted: &Wanted<'_>,
) -> Vec<Check> {
    let service = &seen.service;
    let around = group.around.as_ref();
    let balancers = around.and_then(|around| around.balancers.as_ref().ok());
    let described = balancers.and_then(|all| all.iter().find(|one| one.balancer.arn == balancer));
    let with_balancer = |judge: &dyn Fn(&BalancerSeen) -> Outcome| match described {
        Some(described) => judge(described),
        None => Outcome::blocked("permission.inspect"),
    };
    let of = |asked: Result<Outcome, &Failure>| asked.unwrap_or_else(unknown);
    let outcomes = [
        published(detail, service, balancer),
        of(seen.connections.as_ref().map(|all| connections(detail, service, all))),
        of(seen.principals.as_ref().map(|all| principals(detail, service, all))),
        with_balancer(&|described| zones(detail, service, described, group, wanted)),
        private_name(detail, service),
        with_balancer(&|described| regions(service, described)),
    ];
    let names = [PUBLISHED].into_iter().chain(REST);
    names
        .zip(outcomes)
        .map(|(name, outcome)| Check::new(name, outcome))
        .collect()
}

/// What could not be asked. Only doctor asks, so that nothing else misses it.
fn unknown(failure: &Failure) -> Outcome {
    let found = match failure.kind {
        Kind::Denied => format!("{} is denied; only doctor needs that", failure.action),
        _ => format!("{failure}; only doctor asks EC2"),
    };
    Outcome::untold(found, failure.remedy_at("ec2", "EC2", "*"))
}

/// The name in the ARN of a load balancer.
fn name(balancer: &str) -> &str {
    balancer.split('/').nth(2).unwrap_or(balancer)
}

/// A command about the service, without its other flags.
fn of_service(detail: &Detail, service: &Service, command: &str) -> String {
    format!("{} --service-id {}", ec2(detail, command), service.id)
}

fn unpublished(detail: &Detail, balancer: &str) -> Outcome {
    Outcome::untold(
        format!(
            "no endpoint service publishes {}, and consumers inside its VPC need none",
            name(balancer)
        ),
        format!(
            "ask where the consumers are; those outside, ClickPipes for one, need: {} --network-load-balancer-arns {balancer}",
            ec2(detail, "create-vpc-endpoint-service-configuration")
        ),
    )
}

fn published(detail: &Detail, service: &Service, balancer: &str) -> Outcome {
    let found = format!(
        "{} is published as {} ({})",
        name(balancer),
        service.name,
        service.state
    );
    let others = service.balancers.iter().filter(|other| *other != balancer);
    let others: Vec<&str> = others.map(|other| name(other)).collect();
    match service.state.to_ascii_lowercase().as_str() {
        "available" if others.is_empty() => Outcome::ok(found),
        "available" => Outcome::warning(
            format!(
                "{found}, and so is {}: each endpoint keeps to one of them, which its first connection draws by lot",
                join(others)
            ),
            "let all of them lead to the same database, or publish the other by a service of its own",
        ),
        "pending" => Outcome::warning(found, "wait: a new service takes some minutes"),
        _ => Outcome::failure(
            Exit::Unexpected,
            format!("{found}: no consumer gets through it"),
            format!(
                "make another, for which each consumer makes a new endpoint: {} --network-load-balancer-arns {balancer}",
                ec2(detail, "create-vpc-endpoint-service-configuration")
            ),
        ),
    }
}

/// An endpoint with whose it is, and since when.
fn endpoint(connection: &Connection) -> String {
    let Connection {
        endpoint,
        owner,
        created,
        region,
        ..
    } = connection;
    let place = if region.is_empty() {
        String::new()
    } else {
        format!(" in {region}")
    };
    format!("{endpoint} of account {owner}{place} (since {created})")
}

fn connections(detail: &Detail, service: &Service, all: &[Connection]) -> Outcome {
    let is_in = |connection: &Connection, state: &str| connection.state.eq_ignore_ascii_case(state);
    let waiting: Vec<&Connection> = all.iter().filter(|one| is_in(one, "pendingAcceptance")).collect();
    if !waiting.is_empty() {
        let told: Vec<String> = waiting.iter().map(|one| endpoint(one)).collect();
        let ids: Vec<&str> = waiting.iter().map(|one| one.endpoint.as_str()).collect();
        return Outcome::warning(
            format!(
                "not accepted yet, and so without a connection: {}",
                some(&told, NAMED_MAX)
            ),
            format!(
                "if you know the account: {} --vpc-endpoint-ids {}",
                of_service(detail, service, "accept-vpc-endpoint-connections"),
                ids.join(" ")
            ),
        );
    }
    let lost = |one: &&Connection| ["rejected", "failed", "expired"].iter().any(|state| is_in(one, state));
    if let Some(lost) = all.iter().find(lost)
        && !all.iter().any(|one| is_in(one, "available"))
    {
        return Outcome::warning(
            format!("no endpoint is connected; {}: {}", lost.state, endpoint(lost)),
            "let the consumer make a new endpoint, which has another ID, and accept it in time: who waits for days expires",
        );
    }
    let how = if service.needs_acceptance {
        "each has to be accepted"
    } else {
        "all are accepted unasked"
    };
    let told = all
        .iter()
        .map(|one| format!("{} of account {} is {}", one.endpoint, one.owner, one.state));
    let told: Vec<String> = told.collect();
    Outcome::ok(match told.as_slice() {
        [] => format!("no endpoint yet; {how}"),
        told => format!("{}; {how}", some(told, NAMED_MAX)),
    })
}

fn principals(detail: &Detail, service: &Service, all: &[String]) -> Outcome {
    let is_everybody = all.iter().any(|principal| principal == EVERYBODY);
    if is_everybody && service.needs_acceptance {
        return Outcome::ok("everybody (*) may ask for a connection, and each has to be accepted");
    }
    if is_everybody {
        return Outcome::warning(
            "everybody (*) may connect unasked: to all of AWS the load balancer is public",
            format!(
                "let new endpoints be accepted first, which leaves those of now: {} --acceptance-required",
                of_service(detail, service, "modify-vpc-endpoint-service-configuration")
            ),
        );
    }
    if all.is_empty() {
        return Outcome::warning(
            "no principal is allowed: nobody of another account can ask for a connection",
            format!(
                "nothing, if all consumers are of this account; otherwise, with theirs in the place of ACCOUNT: {} \
                 --add-allowed-principals arn:{}:iam::ACCOUNT:root",
                of_service(detail, service, "modify-vpc-endpoint-service-permissions"),
                detail.group.arn.partition()
            ),
        );
    }
    Outcome::ok(some(all, NAMED_MAX))
}

/// A consumer's endpoint lies in zones that the service is offered in, by the IDs that mean the same in every account.
fn zones(
    detail: &Detail,
    service: &Service,
    described: &BalancerSeen,
    group: &group::Seen,
    wanted: &Wanted<'_>,
) -> Outcome {
    let balancer = &described.balancer;
    let missing: Vec<&String> = balancer
        .zones
        .iter()
        .filter(|zone| !service.zones.contains(zone))
        .collect();
    let ids = match service.zone_ids.as_slice() {
        [] => String::new(),
        ids => format!(" ({})", join(ids)),
    };
    let offered = format!(
        "{}{ids}: a consumer needs a subnet in one of these",
        join(&service.zones)
    );
    if missing.is_empty() {
        return Outcome::ok(offered);
    }
    let around = group.around.as_ref();
    let targets = around.and_then(|around| around.targets.as_ref().ok());
    let current = targets.map(|targets| wanted.current(targets)).unwrap_or_default();
    let attributes = around.and_then(|around| around.attributes.as_ref().ok());
    let is_zonal = attributes
        .zip(described.attributes.as_ref().ok())
        .is_some_and(|(group, own)| !is_cross_zone(own, group));
    let is_out_of_reach = |place: &str| place != ZONE_ALL && !service.zones.iter().any(|zone| zone == place);
    let mut places = current.iter().map(|(_, listed)| listed.zone.as_deref());
    let is_cut_off = is_zonal && !current.is_empty() && places.all(|place| place.is_some_and(is_out_of_reach));
    let fix = format!(
        "publish the load balancer once more, which takes its new zones in (reported), and nobody away: {} \
         --add-network-load-balancer-arns {}",
        of_service(detail, service, "modify-vpc-endpoint-service-configuration"),
        balancer.arn
    );
    let found = format!("not in {}, which is enabled on the load balancer", join(&missing));
    if is_cut_off {
        return Outcome::failure(
            Exit::Unexpected,
            format!(
                "{found}: the current targets lie there alone, and cross-zone is off, so no consumer reaches them; in {offered}"
            ),
            fix,
        );
    }
    Outcome::warning(format!("{found}; in {offered}"), fix)
}

fn private_name(detail: &Detail, service: &Service) -> Outcome {
    let Some(private) = &service.private_name else {
        return Outcome::ok("none: consumers use the names of their endpoints");
    };
    let PrivateName {
        name,
        state,
        record_type,
        record,
        value,
    } = private;
    if state.eq_ignore_ascii_case("verified") {
        return Outcome::ok(format!("{name}, verified"));
    }
    Outcome::warning(
        format!("{name} is not verified ({state}): no endpoint can use it"),
        format!(
            "publish the {record_type} record {record} in {name}'s public zone, or in one above, with the value {value}, and then: {}",
            of_service(detail, service, "start-vpc-endpoint-service-private-dns-verification")
        ),
    )
}

fn regions(service: &Service, described: &BalancerSeen) -> Outcome {
    let balancer = &described.balancer;
    let families = join(&service.families);
    let unready: Vec<String> = service
        .regions
        .iter()
        .filter(|(_, state)| !state.eq_ignore_ascii_case("available"))
        .map(|(region, state)| format!("{region} ({state})"))
        .collect();
    if !unready.is_empty() {
        return Outcome::warning(
            format!("offered, but not to be used yet, in {}", join(unready)),
            "wait: a region that was added takes some minutes; if it stays so, see the service in the console",
        );
    }
    let takes_ipv6 = balancer.families.contains(&Family::Ipv6);
    if service.families.iter().any(|family| family == "ipv6") && !takes_ipv6 {
        return Outcome::warning(
            format!("offered over {families}, but {} takes IPv4 alone", balancer.name),
            "let the consumers' endpoints be of IPv4, or make the load balancer dual-stack",
        );
    }
    let regions = match service.regions.as_slice() {
        [] => "its own region".to_owned(),
        regions => join(regions.iter().map(|(region, _)| region)),
    };
    Outcome::ok(match families.as_str() {
        "" => format!("offered in {regions}"),
        families => format!("offered in {regions}, over {families}"),
    })
}

//! `doctor`: named checks of everything that has to be right, each with its fix.
//!
//! Looking is apart from judging here too: [`look`] asks all there is to ask, at once and with a limit; what was seen is judged
//! by pure functions in [`dns`] and [`heard`], [`aws`], [`group`], [`balancer`], [`listener`], [`service`], [`reach`], [`lead`],
//! [`database`] and `local`; [`draw`] prints it.

pub mod aws;
pub mod balancer;
pub mod check;
mod command;
pub mod database;
pub mod dns;
pub mod draw;
pub mod flags;
pub mod group;
pub mod heard;
pub mod lead;
pub mod listener;
mod local;
pub mod look;
pub mod reach;
pub mod service;
mod tagged;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::aws::arn::Arn;
use crate::aws::ca;
use crate::aws::elb::{Client, ClientKey, Clients};
use crate::aws::failure::Kind;
use crate::aws::sts::Reply;
use crate::clock::Clock;
use crate::exit::Exit;
use crate::follow::binding::Binding;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::target::{Family, State, Target};
use crate::planner::wrong::Wrong;
use crate::probe::Trust;
use crate::proxy::Proxy;
use crate::proxy::own::Listens;
use crate::settings::{self, Settings};
use check::{Check, Outcome, Section, Selection};
use dns::{Followed, Looks, Use};
use group::{Seen, Wanted};
use look::NameServers;
use reach::Checker;
use service::Services;

/// The scope of an examination, besides the settings.
pub struct Order {
    /// Which checks are asked for.
    pub selection: Selection,
    /// How long all of it may take.
    pub limit: Duration,
    /// The CAs to verify certificates with.
    pub bundle: Option<Trust>,
    /// Whether to make the two calls that show the right to write.
    pub write_check: bool,
    /// The database to stream changes from.
    pub source: Option<crate::database::Source>,
    /// The publication to stream; otherwise all are looked at.
    pub publication: Option<String>,
}

/// An endpoint as DNS and its own port showed it.
struct Sighting {
    looks: Looks,
    answers: reach::Answers,
    /// Whether certificates were verified.
    verified: bool,
    /// What its members showed to whom.
    led: Vec<(lead::Sought, lead::Seen)>,
}

/// The answers of AWS: of STS and EC2 for each client, of ELB for each target group.
#[derive(Default)]
struct Cloud {
    callers: BTreeMap<ClientKey, Reply>,
    groups: BTreeMap<Arn, Seen>,
    services: BTreeMap<ClientKey, Services>,
    clients: BTreeMap<Arn, Client>,
    tried: BTreeMap<Arn, aws::Tried>,
}

/// Looks at everything that is asked for and judges it.
pub async fn examine(read: Result<Settings, settings::Error>, order: &Order) -> Vec<Section> {
    let end = Instant::now() + order.limit;
    let (settings, first, tagged) = match read {
        Ok(settings) => {
            let check = Check::new(check::SETTINGS, local::settings(&settings));
            let (settings, tagged) = tagged::look(settings, &order.selection, order.limit / 2).await;
            (Some(settings), check, tagged)
        }
        Err(error) => (None, Check::new(check::SETTINGS, local::bad_settings(&error)), None),
    };
    let mut sections = vec![Section {
        title: "settings".into(),
        checks: vec![first],
    }];
    sections.extend(tagged);
    let (followed, database) = tokio::join!(
        async {
            match &settings {
                Some(settings) => examine_followed(settings, order, end).await,
                None => Vec::new(),
            }
        },
        examine_database(order, end),
    );
    sections.extend(followed);
    sections.extend(database);
    check::selected(sections, &order.selection)
}

async fn examine_database(order: &Order, end: Instant) -> Option<Section> {
    let source = order.source.as_ref()?;
    if !order.selection.has_any(&["database"]) {
        return None;
    }
    let publication = order.publication.as_deref();
    let seen = database::look(source, publication, end).await;
    Some(Section {
        title: format!("database {}", source.title()),
        checks: database::judge(&seen, source.security, &source.host(), publication),
    })
}

async fn examine_followed(settings: &Settings, order: &Order, end: Instant) -> Vec<Section> {
    let servers = NameServers::new(&settings.dns, order.limit);
    let (mut cloud, endpoints) = tokio::join!(look_at_cloud(settings, order, end), async {
        match &servers {
            Ok(servers) => look_at_endpoints(servers, settings, order, end).await,
            Err(_) => BTreeMap::new(),
        }
    });
    if order.write_check {
        cloud.tried = try_writing(settings, &cloud, &endpoints, end).await;
    }
    let server_check = match &servers {
        Ok(servers) => dns::servers(&servers.addresses()),
        Err(error) => {
            let Wrong { what, fix } = error.wrong();
            Check::new("dns.servers", Outcome::failure(Exit::Settings, what, fix))
        }
    };
    let mut sections = Vec::new();
    if !settings.bindings.is_empty() || !settings.proxies.is_empty() {
        sections.push(Section {
            title: "name servers".into(),
            checks: vec![server_check],
        });
    }
    sections.extend(draw_callers(settings, &cloud));
    for binding in &settings.bindings {
        sections.extend(judge_binding(binding, &cloud, &endpoints, order));
    }
    for proxy in &settings.proxies {
        sections.push(judge_proxy(proxy, &settings.listens(), &endpoints));
    }
    for endpoint in all_endpoints(settings) {
        let led = endpoints.get(endpoint).map(|sighting| sighting.led.as_slice());
        sections.extend(lead::sections(settings, endpoint, led));
    }
    sections
}

async fn look_at_cloud(settings: &Settings, order: &Order, end: Instant) -> Cloud {
    let mut cloud = Cloud::default();
    let groups = ["aws", "permission", "group", "balancer", "service", "reach"];
    if settings.bindings.is_empty() || !order.selection.has_any(&groups) {
        return cloud;
    }
    let clock = Clock::start();
    let mut clients = Clients::start();
    let mut callers = BTreeMap::new();
    for binding in &settings.bindings {
        let key = binding.client_key();
        let (client, config) = clients.with_config(&key).await;
        cloud.clients.insert(binding.arn.clone(), client.clone());
        callers.insert(key, (client, config));
    }
    let asked = callers.clone().into_iter().map(|(key, (client, config))| {
        let ask = async move { look::caller(&client, &config, clock, end).await };
        (key, ask)
    });
    let groups = cloud.clients.clone().into_iter().map(|(arn, client)| {
        let named = arn.clone();
        (arn, async move { look::group(&client, &named, end).await })
    });
    (cloud.callers, cloud.groups) = tokio::join!(look::all(asked), look::all(groups));
    if order.selection.has_any(&["service"]) {
        let described = cloud.groups.values().filter_map(|seen| seen.detail.as_ref().ok());
        let balancers: BTreeSet<String> = described.flat_map(|detail| detail.balancers.clone()).collect();
        let looks = callers.into_iter().map(|(key, (client, config))| {
            let balancers = balancers.clone();
            (
                key,
                async move { look::services(&client, &config, &balancers, end).await },
            )
        });
        cloud.services = look::all(looks).await;
    }
    cloud
}

/// Every follower of an endpoint; of a target group both families, because its own is not known yet.
fn followers<'a>(settings: &'a Settings, own: &'a Listens, endpoint: &'a Endpoint) -> Vec<Followed<'a>> {
    let mut followers = Vec::new();
    for binding in settings
        .bindings
        .iter()
        .filter(|binding| binding.endpoints.contains(endpoint))
    {
        followers.extend([Family::Ipv4, Family::Ipv6].map(|family| of_binding(binding, endpoint, family)));
    }
    let proxies = settings.proxies.iter().filter(|proxy| proxy.endpoint == *endpoint);
    followers.extend(proxies.map(|proxy| of_proxy(proxy, own)));
    followers
}

/// The CAs that the settings of an endpoint's target group name for its databases.
fn bundle_of(settings: &Settings, endpoint: &Endpoint) -> Option<Trust> {
    let mut bindings = settings.bindings.iter();
    bindings.find_map(|binding| binding.trust.clone().filter(|_| binding.endpoints.contains(endpoint)))
}

fn of_binding<'a>(binding: &'a Binding, endpoint: &'a Endpoint, family: Family) -> Followed<'a> {
    Followed {
        endpoint,
        used_as: Use::Targets(&binding.policy),
        family,
    }
}

fn of_proxy<'a>(proxy: &'a Proxy, own: &'a Listens) -> Followed<'a> {
    Followed {
        endpoint: &proxy.endpoint,
        used_as: Use::Proxy(proxy, own),
        family: proxy.family,
    }
}

fn all_endpoints(settings: &Settings) -> BTreeSet<&Endpoint> {
    let bound = settings.bindings.iter().flat_map(|binding| &binding.endpoints);
    let proxied = settings.proxies.iter().map(|proxy| &proxy.endpoint);
    bound.chain(proxied).collect()
}

async fn look_at_endpoints(
    servers: &NameServers,
    settings: &Settings,
    order: &Order,
    end: Instant,
) -> BTreeMap<Endpoint, Sighting> {
    let groups = ["dns", "group", "balancer", "service", "reach", "permission", "lead"];
    if !order.selection.has_any(&groups) {
        return BTreeMap::new();
    }
    let endpoints = all_endpoints(settings);
    let servers = Arc::new(servers.clone());
    let settings = Arc::new(settings.clone());
    let is_reached = order.selection.has_any(&["reach"]);
    let is_led = order.selection.has_any(&["lead"]);
    let looks = endpoints.into_iter().cloned().map(|endpoint| {
        let (servers, settings) = (Arc::clone(&servers), Arc::clone(&settings));
        let trust = order.bundle.clone().or_else(|| bundle_of(&settings, &endpoint));
        let trust = trust.unwrap_or_else(Trust::anybody);
        let named = endpoint.clone();
        let look = async move {
            let own = settings.listens();
            let looks = servers.look(named.host(), end).await;
            let followers = if is_reached {
                followers(&settings, &own, &named)
            } else {
                Vec::new()
            };
            let (answers, led) = tokio::join!(look::reach(&named, &looks, &followers, &trust, end), async {
                match is_led {
                    true => lead::look_for_all(&servers, &settings, &named, &looks, end).await,
                    false => Vec::new(),
                }
            });
            Sighting {
                looks,
                answers,
                verified: trust.verifies,
                led,
            }
        };
        (endpoint, look)
    });
    look::all(looks).await
}

async fn try_writing(
    settings: &Settings,
    cloud: &Cloud,
    endpoints: &BTreeMap<Endpoint, Sighting>,
    end: Instant,
) -> BTreeMap<Arn, aws::Tried> {
    let tries = settings.bindings.iter().filter_map(|binding| {
        let seen = cloud.groups.get(&binding.arn)?;
        let group = seen.detail.as_ref().ok()?.group.clone();
        let client = cloud.clients.get(&binding.arn)?.clone();
        let targets = seen.around.as_ref()?.targets.as_ref();
        let wanted = wanted(binding, group.family, endpoints);
        let current = targets.map(|targets| wanted.current(targets)).unwrap_or_default();
        let kept = |target: &Target| binding.policy.keeps(*target);
        let current = current.into_iter().find(|(target, _)| !kept(target));
        let current = current.map(|(target, listed)| (*target, listed.zone.clone()));
        let attempt = async move { look::try_writing(&client, &group, current, end).await };
        Some((binding.arn.clone(), attempt))
    });
    look::all(tries).await
}

fn wanted<'a>(binding: &'a Binding, family: Family, endpoints: &BTreeMap<Endpoint, Sighting>) -> Wanted<'a> {
    let mut wanted = Wanted {
        endpoints: Vec::new(),
        named: Some(BTreeSet::new()),
        role: Role::Writer,
        policy: &binding.policy,
    };
    let mut names = Vec::new();
    for endpoint in &binding.endpoints {
        let followed = of_binding(binding, endpoint, family);
        let looks = endpoints.get(endpoint).map(|sighting| &sighting.looks);
        let (own, other) = match family {
            Family::Ipv4 => (Family::Ipv4, Family::Ipv6),
            Family::Ipv6 => (Family::Ipv6, Family::Ipv4),
        };
        let has = |family| looks.is_some_and(|looks: &Looks| looks.of(family).seen.is_ok());
        wanted.endpoints.push((endpoint, has(own), has(other)));
        let addresses = looks.map(|looks| followed.addresses(looks)).unwrap_or_default();
        names.extend(looks.into_iter().flat_map(|looks| followed.names(looks)));
        let port = endpoint.port();
        wanted.named = match wanted.named.take() {
            Some(mut named) if !addresses.is_empty() => {
                named.extend(addresses.into_iter().map(|ip| Target { ip, port }));
                Some(named)
            }
            _ => None,
        };
    }
    wanted.role = binding.policy.role.unwrap_or_else(|| Role::told_by(names));
    wanted
}

fn draw_callers(settings: &Settings, cloud: &Cloud) -> Vec<Section> {
    let section = |(key, reply): (&ClientKey, &Reply)| {
        let ClientKey { account, region, role } = key;
        let of_key = |arn: &Arn| {
            settings
                .bindings
                .iter()
                .any(|binding| binding.arn == *arn && binding.client_key() == *key)
        };
        let is_answered = cloud.groups.iter().any(|(arn, seen)| {
            let failed = seen.detail.as_ref().err();
            of_key(arn) && failed.is_none_or(|error| error.failure.kind != Kind::Unavailable)
        });
        let role = role
            .as_ref()
            .map(|role| format!(" as {}", role.arn))
            .unwrap_or_default();
        Section {
            title: format!("AWS {region}{role}"),
            checks: aws::judge(reply, account, is_answered),
        }
    };
    cloud.callers.iter().map(section).collect()
}

fn judge_binding(
    binding: &Binding,
    cloud: &Cloud,
    endpoints: &BTreeMap<Endpoint, Sighting>,
    order: &Order,
) -> Vec<Section> {
    let seen = cloud.groups.get(&binding.arn);
    let detail = seen.and_then(|seen| seen.detail.as_ref().ok());
    let family = detail.map_or(Family::Ipv4, |detail| detail.group.family);
    let healthy: BTreeSet<IpAddr> = seen
        .and_then(|seen| seen.around.as_ref()?.targets.as_ref().ok())
        .into_iter()
        .flatten()
        .filter(|(_, listed)| listed.state == State::Healthy)
        .map(|(target, _)| target.ip)
        .collect();
    let name = binding.arn.name();
    let mut sections: Vec<Section> = binding
        .endpoints
        .iter()
        .map(|endpoint| Section {
            title: format!("endpoint {endpoint} of target group {name}"),
            checks: judge_endpoint(
                &of_binding(binding, endpoint, family),
                endpoints,
                &healthy,
                Checker::Balancer,
            ),
        })
        .collect();
    let Some(seen) = seen else {
        return sections;
    };
    let caller = cloud.callers.get(&binding.client_key());
    let is_hopeless = caller.is_some_and(aws::is_hopeless);
    let blocked_by = if is_hopeless {
        "aws.identity"
    } else {
        "permission.describe-groups"
    };
    let wanted = wanted(binding, family, endpoints);
    let mut checks = permissions(binding, seen, cloud.tried.get(&binding.arn), is_hopeless, order);
    checks.extend(group::judge(seen, &wanted, blocked_by));
    checks.extend(balancer::judge(seen, &wanted, binding.arn.region(), blocked_by));
    if let Some(services) = cloud.services.get(&binding.client_key()) {
        checks.extend(service::judge(services, seen, &wanted, blocked_by));
    }
    aws::miss_inspection(&mut checks);
    sections.push(Section {
        title: format!("target group {name} ({})", binding.arn),
        checks,
    });
    sections
}

fn permissions(
    binding: &Binding,
    seen: &Seen,
    tried: Option<&aws::Tried>,
    is_hopeless: bool,
    order: &Order,
) -> Vec<Check> {
    let mut checks = vec![aws::permission(
        "permission.describe-groups",
        "DescribeTargetGroups",
        &seen.detail,
        is_hopeless,
    )];
    let by = if is_hopeless {
        "aws.identity"
    } else if seen
        .detail
        .as_ref()
        .is_err_and(|error| error.failure.kind.exit() == Exit::Settings)
    {
        "group.type"
    } else {
        "permission.describe-groups"
    };
    let blocked = |name| Check::new(name, Outcome::blocked(by));
    match &seen.around {
        Some(around) => {
            let name = "permission.describe-health";
            checks.push(aws::permission(name, "DescribeTargetHealth", &around.targets, false));
            checks.push(aws::inspection(&seen.inspection_errors()));
        }
        None => checks.extend([blocked("permission.describe-health"), blocked("permission.inspect")]),
    }
    if order.write_check && tried.is_none() {
        checks.extend([blocked("permission.register"), blocked("permission.deregister")]);
        return checks;
    }
    let writes = aws::Writes {
        observe: binding.observe,
        upsert_only: binding.policy.upsert_only,
    };
    let mut written = aws::writing(writes, tried);
    let is_listed = seen.around.as_ref().is_some_and(|around| around.targets.is_ok());
    if order.write_check && !is_listed {
        written[0] = Check::new("permission.register", Outcome::blocked("permission.describe-health"));
    }
    checks.extend(written);
    checks
}

fn judge_endpoint(
    followed: &Followed<'_>,
    endpoints: &BTreeMap<Endpoint, Sighting>,
    healthy: &BTreeSet<IpAddr>,
    checked_by: Checker,
) -> Vec<Check> {
    let Some(Sighting {
        looks,
        answers,
        verified,
        ..
    }) = endpoints.get(followed.endpoint)
    else {
        let names = check::NAMES.iter().map(|(name, _)| *name);
        let of_endpoint =
            names.filter(|name| (name.starts_with("dns.") && *name != "dns.servers") || name.starts_with("reach."));
        return of_endpoint
            .map(|name| Check::new(name, Outcome::blocked("dns.servers")))
            .collect();
    };
    let addresses = followed.addresses(looks);
    let context = reach::Context {
        endpoint: followed.endpoint,
        without_address: if looks.of(followed.family).seen.is_ok() {
            "dns.private"
        } else {
            "dns.answer"
        },
        verified: *verified,
        bundle: ca::of_rds(followed.names(looks)),
        is_healthy: !addresses.is_empty() && addresses.is_subset(healthy),
        checked_by,
    };
    let mut checks = dns::judge(followed, looks);
    checks.extend(reach::judge(context, &addresses, answers));
    checks
}

fn judge_proxy(proxy: &Proxy, own: &Listens, endpoints: &BTreeMap<Endpoint, Sighting>) -> Section {
    let mut checks = vec![Check::new("proxy.listen", local::listen(proxy.listen))];
    let checked_by = proxy
        .probes
        .interval(proxy.readiness)
        .map_or(Checker::Nobody, |_| Checker::Proxy);
    checks.extend(judge_endpoint(
        &of_proxy(proxy, own),
        endpoints,
        &BTreeSet::new(),
        checked_by,
    ));
    Section {
        title: format!("proxy {} for {}", proxy.listen, proxy.endpoint),
        checks,
    }
}

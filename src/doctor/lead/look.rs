//! Asks the members of a database, all of them at once, until nobody tells of another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Member, Seen, Sought};
use crate::clock::Clock;
use crate::doctor::dns::Looks;
use crate::doctor::heard::Looked;
use crate::doctor::look::{NameServers, all};
use crate::lead::ANSWER_MAX;
use crate::lead::crew::Quest;
use crate::lead::members::Members;
use crate::lead::visit::{Door, Unheard, Visit};
use crate::planner::endpoint::{Endpoint, Kind};
use crate::planner::guard::{self, Refusal};
use crate::planner::target::Family;
use crate::proxy::own::Listens;
use crate::settings::Settings;

/// How long a log-in, and each answer, may take: longer than whoever asks again and again waits, so that it is told how late one is.
const VISIT_MAX: Duration = Duration::from_secs(3);
/// The first asks whom DNS and the settings name, the next whom those tell of.
const ROUNDS_MAX: usize = 3;

/// Who is to be asked about an endpoint, each with who wants to know; by target groups in the family that DNS gives.
pub fn sought(settings: &Settings, endpoint: &Endpoint, looks: Option<&Looks>) -> Vec<Sought> {
    let has = |family| looks.is_some_and(|looks| looks.of(family).seen.is_ok());
    let family = if has(Family::Ipv6) && !has(Family::Ipv4) {
        Family::Ipv6
    } else {
        Family::Ipv4
    };
    let bindings = settings.bindings.iter();
    let bindings = bindings.filter(|binding| binding.endpoints.contains(endpoint));
    let bindings = bindings.filter_map(|binding| {
        let name = format!("target group {}", binding.arn.name());
        Some((binding.quest(endpoint, family)?, name))
    });
    let proxies = settings.proxies.iter().filter(|proxy| proxy.endpoint == *endpoint);
    let proxies = proxies.filter_map(|proxy| Some((proxy.quest()?, format!("proxy {}", proxy.listen))));
    let mut sought: Vec<Sought> = Vec::new();
    for (quest, name) in bindings.chain(proxies) {
        match sought.iter_mut().find(|known| known.quest == quest) {
            Some(known) => known.by.push(name),
            None => sought.push(Sought { quest, by: vec![name] }),
        }
    }
    sought
}

/// Asks for everybody who wants to know, at once.
pub async fn look_for_all(
    servers: &NameServers,
    settings: &Settings,
    endpoint: &Endpoint,
    looks: &Looks,
    end: Instant,
) -> Vec<(Sought, Seen)> {
    let sought = sought(settings, endpoint, Some(looks)).into_iter().enumerate();
    let asked = sought.map(|(index, sought)| {
        let (servers, looks, own) = (servers.clone(), looks.clone(), settings.listens());
        let look = async move {
            let seen = look(&servers, &sought.quest, &looks, &own, end).await;
            (sought, seen)
        };
        (index, look)
    });
    all(asked).await.into_values().collect()
}

async fn look(servers: &NameServers, quest: &Quest, looks: &Looks, own: &Listens, end: Instant) -> Seen {
    let clock = Clock::start();
    let refusal = |ip: &IpAddr| match own.at(SocketAddr::new(*ip, quest.endpoint.port())) {
        true => Some(Refusal::Ourselves),
        false => (!guard::allows(&quest.allow_cidrs, *ip)).then_some(Refusal::NotAllowed),
    };
    let mut members = Members::new(&quest.lead.members);
    let looked = looks.of(quest.family);
    let mut seen = Seen {
        named: found(looked).into_iter().collect(),
        ..Seen::default()
    };
    if let Ok(resolution) = &looked.seen {
        let names = resolution.names.iter().map(String::as_str);
        let names: Vec<&str> = names.chain([quest.endpoint.host()]).collect();
        seen.is_of_cluster = names.iter().any(|name| Kind::of(name) == Kind::Cluster);
        members.named(seen.named.iter().copied(), names, clock.now());
    }
    for _ in 0..ROUNDS_MAX {
        let new: Vec<String> = members.names().cloned().collect();
        let new = new.into_iter().filter(|name| !seen.names.contains_key(name));
        let asked = new.map(|name| {
            let (servers, family) = (servers.clone(), quest.family);
            (name.clone(), async move { servers.look_for(&name, family, end).await })
        });
        for (name, looked) in all(asked).await {
            members.found_at(&name, found(&looked), clock.now());
            let lost = looked.seen.err().map(|blind| blind.to_string());
            seen.names.insert(name, lost);
        }
        let addresses = members.addresses().map(|(ip, name)| (ip, name.map(str::to_owned)));
        let allowed: BTreeMap<_, _> = addresses.filter(|(ip, _)| refusal(ip).is_none()).collect();
        let refused = members.addresses().filter_map(|(ip, _)| Some((ip, refusal(&ip)?)));
        seen.refused = refused.collect();
        if allowed.keys().all(|ip| seen.members.contains_key(ip)) {
            break;
        }
        if !seen.members.is_empty() && time_until(end) < ANSWER_MAX {
            let late = |name| Member {
                name,
                heard: Err(Unheard::NotAsked),
            };
            for (ip, name) in allowed {
                seen.members.entry(ip).or_insert_with(|| late(name));
            }
            break;
        }
        // All of them anew: what they say counts together, and so has to be of one moment.
        seen.members = ask(quest, allowed, clock, end).await;
        seen.has_suffix = members.suffix().is_some();
        let Some(suffix) = members.suffix().map(str::to_owned) else {
            continue;
        };
        let told: BTreeSet<String> = (seen.visits())
            .filter_map(|visit| Some((visit.flavour.as_ref().ok()?, visit.answer.as_ref()?)))
            .flat_map(|(flavour, answer)| answer.names(*flavour, &suffix))
            .collect();
        members.learn(told, clock.now());
    }
    seen.named.retain(|ip| refusal(ip).is_none());
    seen
}

fn found(looked: &Looked) -> Vec<IpAddr> {
    let seen = looked.seen.iter();
    seen.flat_map(|resolution| resolution.addresses().iter().copied())
        .collect()
}

async fn ask(
    quest: &Quest,
    addresses: BTreeMap<IpAddr, Option<String>>,
    clock: Clock,
    end: Instant,
) -> BTreeMap<IpAddr, Member> {
    let visits = addresses.into_iter().map(|(ip, name)| {
        let quest = quest.clone();
        let visit = async move {
            let address = SocketAddr::new(ip, quest.endpoint.port());
            let heard = visit(&quest, address, name.as_deref(), clock, end).await;
            Member { name, heard }
        };
        (ip, visit)
    });
    all(visits).await
}

async fn visit(
    quest: &Quest,
    address: SocketAddr,
    name: Option<&str>,
    clock: Clock,
    end: Instant,
) -> Result<Visit, Unheard> {
    if time_until(end) < ANSWER_MAX {
        return Err(Unheard::NotAsked);
    }
    let door = Door {
        address,
        endpoint: &quest.endpoint,
        name,
        lead: &quest.lead,
        clock,
    };
    let visited = timeout_at(end, door.visit(VISIT_MAX)).await;
    visited.unwrap_or_else(|_| Err(Unheard::Unanswered(None, "no answer in time".to_owned())))
}

fn time_until(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

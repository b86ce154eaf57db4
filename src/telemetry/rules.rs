//! By which rules something is followed, key by key as the settings have them: those that hold by default are left out. A process
//! tells its own, and `status` compares them with those that it was given.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use crate::follow::binding::Binding;
use crate::lead::Lead;
use crate::planner::candidate::{Probe, ProbePatience};
use crate::planner::policy::Policy;
use crate::proxy::route::{Linger, Rules as Routing};
use crate::proxy::{Probes, Proxy};
use crate::telemetry::shown::Text;
use crate::text::join;
use crate::{aws, dns};

/// The text of each key.
pub type Rules = BTreeMap<Text, Text>;

/// Those of a target group, besides its endpoints.
pub fn of_binding(binding: &Binding) -> Rules {
    let Binding {
        arn: _,
        endpoints: _,
        policy,
        observe,
        assume_role,
        trust,
        lead,
    } = binding;
    let Policy {
        role,
        forget,
        patience,
        allow_cidrs,
        keep,
        upsert_only,
        probe,
        probe_patience,
    } = policy;
    let probe_patience = probe_patience.map(|patience| match patience {
        ProbePatience::For(patience) => shown(patience),
        ProbePatience::Forever => "forever".to_owned(),
    });
    // An external id is no secret, and nobody else's business.
    let role_of = |role: &aws::AssumeRole| match role.external_id {
        Some(_) => format!("{} with an external id", role.arn),
        None => role.arn.to_string(),
    };
    said([
        ("role", role.map(|role| role.to_string())),
        ("forget", forget.map(shown)),
        ("patience", patience.map(shown)),
        ("allow_cidrs", list(allow_cidrs)),
        ("keep", list(keep)),
        ("upsert_only", upsert_only.then(|| "true".to_owned())),
        ("probe", (*probe != Probe::None).then(|| shown(probe))),
        ("probe_patience", probe_patience),
        ("observe", observe.then(|| "true".to_owned())),
        ("assume_role", assume_role.as_ref().map(role_of)),
        ("ca_bundle", trust.as_ref().map(|trust| trust.mark())),
        ("lead", lead.as_ref().map(asked)),
    ])
}

/// Those of a proxy, besides where it listens and for what.
pub fn of_proxy(proxy: &Proxy) -> Rules {
    let Proxy {
        listen: _,
        endpoint,
        family,
        rules,
        lead,
        dial_timeout,
        readiness,
        probes,
        max_sessions,
        allow_peers,
        accept_proxy_protocol,
        drain,
    } = proxy;
    let Routing {
        linger,
        role,
        allow_cidrs,
    } = rules;
    let usual = Proxy::new(proxy.listen, endpoint.clone());
    let linger = match linger {
        Linger::ByRole => None,
        Linger::For(linger) => Some(shown(linger)),
        Linger::Never => Some("never".to_owned()),
    };
    let probes = match probes {
        Probes::ByReadiness => None,
        Probes::Every(interval) => Some(shown(interval)),
        Probes::Never => Some("never".to_owned()),
    };
    said([
        ("ip_family", unlike(family, &usual.family)),
        ("linger", linger),
        ("role", role.map(|role| role.to_string())),
        ("allow_cidrs", list(allow_cidrs)),
        ("lead", lead.as_ref().map(asked)),
        ("dial_timeout", unlike(dial_timeout, &usual.dial_timeout)),
        ("readiness", unlike(readiness, &usual.readiness)),
        ("probe_interval", probes),
        ("max_sessions", unlike(max_sessions, &usual.max_sessions)),
        ("allow_peers", list(allow_peers)),
        (
            "accept_proxy_protocol",
            accept_proxy_protocol.then(|| "true".to_owned()),
        ),
        ("drain", unlike(drain, &usual.drain)),
    ])
}

/// Those of looks at DNS, besides how often: `status` does not ask for that.
pub fn of_dns(dns: &dns::Settings) -> Rules {
    let dns::Settings {
        name_servers,
        deadline,
        interval: _,
        quorum,
    } = dns;
    let usual = dns::Settings::default();
    said([
        ("nameservers", list(name_servers)),
        ("timeout", unlike(deadline, &usual.deadline)),
        ("quorum", unlike(quorum, &usual.quorum)),
    ])
}

/// In what two differ, for people; nothing if they do not.
pub fn difference(theirs: &Rules, ours: &Rules) -> Option<String> {
    let keys: BTreeSet<&Text> = theirs.keys().chain(ours.keys()).collect();
    let value = |rules: &Rules, key| rules.get(key).map_or_else(|| "not set".to_owned(), Text::to_string);
    let differing = keys.into_iter().filter(|key| theirs.get(key) != ours.get(key));
    let differing = differing.map(|key| format!("{key} is {}, and {} here", value(theirs, key), value(ours, key)));
    let differing: Vec<String> = differing.collect();
    (!differing.is_empty()).then(|| join(differing))
}

/// How the members of a database are asked.
fn asked(lead: &Lead) -> String {
    let Lead {
        user,
        secret,
        database,
        members,
        patience,
        trust,
    } = lead;
    let members = list(members).unwrap_or_else(|| "no others".to_owned());
    format!(
        "as {user} ({secret:?}) in {database}, with {members}, {patience:?}, {}",
        trust.mark()
    )
}

fn said<const N: usize>(keys: [(&str, Option<String>); N]) -> Rules {
    let said = keys.into_iter().filter_map(|(key, value)| Some((key, value?)));
    said.map(|(key, value)| (Text::of(key), Text::of(value))).collect()
}

/// Words and durations as the settings have them.
fn shown(value: impl Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn unlike<T: Debug + PartialEq>(value: &T, usual: &T) -> Option<String> {
    (value != usual).then(|| shown(value))
}

fn list(items: &[impl ToString]) -> Option<String> {
    (!items.is_empty()).then(|| join(items.iter().map(ToString::to_string)))
}

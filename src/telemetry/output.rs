//! Draws reports, for people and for machines.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::dns::watch::Sight;
use crate::exit::Exit;
use crate::follow::report::Report;
use crate::planner::endpoint::{Endpoint, Kind, Role};
use crate::planner::plan::Hold;
use crate::planner::target::Target;
use crate::planner::time::Timestamp;

/// Draws one binding: what was seen, what would change, what is held and why.
pub fn draw(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut text, report);
    text
}

fn write_report(out: &mut String, report: &Report) -> std::fmt::Result {
    let binding = &report.binding;
    write!(out, "target group {}", binding.arn.name())?;
    if let Some(group) = &report.group {
        write!(
            out,
            "  ({}, {} port {}, {}, follows as {})",
            group.family, group.protocol, group.port, group.vpc, report.plan.role
        )?;
    }
    writeln!(out, "\n  {}", binding.arn)?;
    for (endpoint, sight) in &report.sights {
        write_endpoint(out, endpoint, sight, report.at)?;
    }
    write_targets(out, report)?;
    write_changes(out, report)?;
    let holds = report.telling_holds();
    if !holds.is_empty() {
        writeln!(out, "  held")?;
        for hold in &holds {
            writeln!(out, "    {}", hold_line(hold, report.at))?;
        }
    }
    for note in &report.plan.notes {
        writeln!(out, "  note: {note}")?;
    }
    for error in report.errors() {
        writeln!(out, "  error: {error}")?;
    }
    writeln!(out, "  => {}", verdict(report))
}

fn write_endpoint(out: &mut String, endpoint: &Endpoint, sight: &Sight, now: Timestamp) -> std::fmt::Result {
    writeln!(out, "  endpoint {endpoint}")?;
    let width = sight
        .said
        .iter()
        .map(|(server, _)| server.to_string().len())
        .max()
        .unwrap_or_default();
    for (server, said) in &sight.said {
        write!(out, "    {:width$}  ", server.to_string())?;
        match said {
            Ok(said) => {
                let via = if said.names.is_empty() {
                    String::new()
                } else {
                    format!("  via {}", said.names.join(" -> "))
                };
                writeln!(out, "{}  ttl {} s{via}", join(&said.addresses), said.ttl.as_secs())?;
            }
            Err(failure) => writeln!(out, "{failure}")?,
        }
    }
    if let Some(since) = sight.blind_since {
        writeln!(out, "    not resolved for {}", span(now.since(since)))?;
    }
    Ok(())
}

fn write_targets(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "  targets")?;
    let Ok(targets) = &report.targets else {
        return writeln!(out, "    could not be listed");
    };
    if targets.is_empty() {
        writeln!(out, "    none")?;
    }
    let named = named(report);
    let width = targets
        .keys()
        .map(|target| target.to_string().len())
        .max()
        .unwrap_or_default();
    for (target, listed) in targets {
        let zone = listed.zone.as_deref().unwrap_or("-");
        let reason = listed
            .reason
            .as_deref()
            .map(|reason| format!(" ({reason})"))
            .unwrap_or_default();
        let named = if named.contains(target) {
            "named by DNS"
        } else {
            "not named by DNS"
        };
        let state = format!("{}{reason}", listed.state.as_str());
        writeln!(
            out,
            "    {:width$}  {zone:<12}  {named:<16}  {state}",
            target.to_string()
        )?;
    }
    Ok(())
}

fn write_changes(out: &mut String, report: &Report) -> std::fmt::Result {
    let plan = &report.plan;
    let (title, register, deregister): (_, Vec<_>, Vec<_>) = if report.applied {
        (
            "changed",
            report.registered.done.iter().collect(),
            report.deregistered.done.iter().collect(),
        )
    } else {
        (
            "would change",
            plan.register.keys().collect(),
            plan.deregister.keys().collect(),
        )
    };
    if register.is_empty() && deregister.is_empty() {
        return Ok(());
    }
    writeln!(out, "  {title}")?;
    for target in register {
        writeln!(out, "    register    {target}")?;
    }
    for target in deregister {
        writeln!(out, "    deregister  {target}")?;
    }
    Ok(())
}

/// A hold and how long it lasts at least.
pub fn hold_line(hold: &Hold, now: Timestamp) -> String {
    let left = hold.until.map(|until| until.since(now)).filter(|left| !left.is_zero());
    let left = left
        .map(|left| format!(" (at least {} more)", span(left)))
        .unwrap_or_default();
    format!("{} {}{left}", hold.what, hold.reason)
}

/// One phrase on where a binding stands.
pub fn verdict(report: &Report) -> String {
    let trouble = match report.trouble() {
        Some(Exit::Refused) => "refused: see above",
        Some(Exit::Denied) => "denied by AWS: see above",
        Some(Exit::Settings) => "not a usable target group: see above",
        Some(Exit::Unavailable) => "DNS or AWS is not available: see above",
        Some(_) => "failed: see above",
        None if report.is_settled() => return "settled: the group equals DNS".into(),
        None if report.plan.is_pending() => return "changes are pending".into(),
        None if report.plan.role == Role::Reader => {
            return "nothing to change now: members missing from one answer may still be there".into();
        }
        None => return "not settled: see what is held".into(),
    };
    let changed = !report.registered.done.is_empty() || !report.deregistered.done.is_empty();
    format!("{trouble}{}", if changed { "" } else { "; nothing was changed" })
}

/// The verdict of a document where it stands above what it is about.
pub fn heading(verdict: &str) -> String {
    verdict.replace(": see above", "")
}

/// A duration for people: seconds below two minutes, else minutes.
pub fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        secs @ 1..120 => format!("{secs} s"),
        secs => format!("{} min", secs / 60),
    }
}

/// The time in a document.
pub fn time(value: &Value) -> Timestamp {
    let parsed: Option<jiff::Timestamp> = value.as_str().and_then(|text| text.parse().ok());
    let millis = parsed.map_or(0, |at| at.as_millisecond());
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// The items of a list in a document; none if it is no list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What a value of a document says, as it is; nothing if it is null.
pub fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How long ago a time in a document was, for people.
pub fn ago(now: Timestamp, then: &Value) -> String {
    span(now.since(time(then)))
}

fn join<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn named(report: &Report) -> BTreeSet<Target> {
    let targets = report.sights.iter().flat_map(|(endpoint, sight)| {
        let addresses = sight
            .seen
            .iter()
            .flat_map(|answer| answer.resolution.addresses().iter());
        addresses.map(|ip| Target {
            ip: *ip,
            port: endpoint.port(),
        })
    });
    targets.collect()
}

/// Reports as JSON. The schema only grows.
pub fn json(verb: &'static str, reports: &[Report], exit: Exit) -> String {
    // Strings, numbers and lists always serialise.
    serde_json::to_string_pretty(&Document::of(verb, reports, exit)).unwrap_or_default()
}

/// The same as a value.
pub fn json_value<'a>(verb: &'static str, reports: impl IntoIterator<Item = &'a Report>, exit: Exit) -> Value {
    serde_json::to_value(Document::of(verb, reports, exit)).unwrap_or_default()
}

/// What the documents are; the number would change if something went away.
pub const SCHEMA: &str = "rds-tether/1";

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    verb: &'static str,
    exit_code: u8,
    settled: bool,
    target_groups: Vec<GroupView>,
}

impl Document {
    fn of<'a>(verb: &'static str, reports: impl IntoIterator<Item = &'a Report>, exit: Exit) -> Self {
        let target_groups: Vec<GroupView> = reports.into_iter().map(GroupView::of).collect();
        Self {
            schema: SCHEMA,
            verb,
            exit_code: exit as u8,
            settled: target_groups.iter().all(|group| group.settled),
            target_groups,
        }
    }
}

#[derive(Serialize)]
struct GroupView {
    arn: String,
    name: String,
    at: Timestamp,
    listed: Option<Timestamp>,
    role: String,
    family: Option<String>,
    settled: bool,
    pending: bool,
    applied: bool,
    verdict: String,
    endpoints: Vec<EndpointView>,
    targets: Option<Vec<TargetView>>,
    register: Vec<Target>,
    deregister: Vec<Target>,
    registered: Vec<Target>,
    deregistered: Vec<Target>,
    holds: Vec<HoldView>,
    notes: Vec<String>,
    errors: Vec<ErrorView>,
}

#[derive(Serialize)]
struct EndpointView {
    endpoint: Endpoint,
    follows_instance: bool,
    at: Timestamp,
    addresses: Vec<String>,
    ttl_seconds: Option<u64>,
    blind: Option<String>,
    blind_since: Option<Timestamp>,
    name_servers: Vec<ServerView>,
}

#[derive(Serialize)]
struct ServerView {
    address: String,
    addresses: Vec<String>,
    names: Vec<String>,
    ttl_seconds: Option<u64>,
    failure: Option<String>,
}

#[derive(Serialize)]
struct TargetView {
    target: Target,
    zone: Option<String>,
    state: String,
    reason: Option<String>,
    named: bool,
}

#[derive(Serialize)]
struct HoldView {
    what: String,
    reason: &'static str,
    text: String,
    until: Option<Timestamp>,
}

#[derive(Serialize)]
struct ErrorView {
    action: &'static str,
    code: String,
    text: String,
}

impl GroupView {
    fn of(report: &Report) -> Self {
        let plan = &report.plan;
        let named = named(report);
        let targets = report.targets.as_ref().ok().map(|targets| {
            let view = |(target, listed): (&Target, &crate::planner::target::Listed)| TargetView {
                target: *target,
                zone: listed.zone.clone(),
                state: listed.state.as_str().to_owned(),
                reason: listed.reason.clone(),
                named: named.contains(target),
            };
            targets.iter().map(view).collect()
        });
        let hold = |hold: &Hold| HoldView {
            what: hold.what.to_string(),
            reason: hold.reason.name(),
            text: hold_line(hold, report.at),
            until: hold.until,
        };
        let error = |error: &crate::aws::elb::Error| ErrorView {
            action: error.action,
            code: error.code.clone(),
            text: error.to_string(),
        };
        Self {
            arn: report.binding.arn.to_string(),
            name: report.binding.arn.name().to_owned(),
            at: report.at,
            listed: report.listed,
            role: plan.role.to_string(),
            family: report.group.as_ref().map(|group| group.family.to_string()),
            settled: plan.settled,
            pending: plan.is_pending(),
            applied: report.applied,
            verdict: verdict(report),
            endpoints: report
                .sights
                .iter()
                .map(|(endpoint, sight)| EndpointView::of(endpoint, sight))
                .collect(),
            targets,
            register: plan.register.keys().copied().collect(),
            deregister: plan.deregister.keys().copied().collect(),
            registered: report.registered.done.iter().copied().collect(),
            deregistered: report.deregistered.done.iter().copied().collect(),
            holds: report.holds().iter().map(hold).collect(),
            notes: plan.notes.iter().map(ToString::to_string).collect(),
            errors: report.errors().map(error).collect(),
        }
    }
}

impl EndpointView {
    fn of(endpoint: &Endpoint, sight: &Sight) -> Self {
        let answer = sight.seen.as_ref().ok();
        let strings = |ips: &BTreeSet<std::net::IpAddr>| ips.iter().map(ToString::to_string).collect::<Vec<_>>();
        let servers = sight.said.iter().map(|(server, said)| {
            let ok = said.as_ref().ok();
            ServerView {
                address: server.to_string(),
                addresses: ok.map(|said| strings(&said.addresses)).unwrap_or_default(),
                names: ok.map(|said| said.names.clone()).unwrap_or_default(),
                ttl_seconds: ok.map(|said| said.ttl.as_secs()),
                failure: said.as_ref().err().map(ToString::to_string),
            }
        });
        Self {
            endpoint: endpoint.clone(),
            follows_instance: endpoint.kind() == Kind::Instance,
            at: sight.at,
            addresses: answer
                .map(|answer| strings(answer.resolution.addresses()))
                .unwrap_or_default(),
            ttl_seconds: answer.map(|answer| answer.resolution.ttl.as_secs()),
            blind: sight.seen.as_ref().err().map(ToString::to_string),
            blind_since: sight.blind_since,
            name_servers: servers.collect(),
        }
    }
}

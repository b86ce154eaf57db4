//! One target group or proxy on the page for people: in full, or in a line.

use std::fmt::{Result, Write as _};

use crate::telemetry::chart::{self, Window};
use crate::telemetry::document::{Change, Document, Group, Lead, NothingServes, Proxy, Sighted};
use crate::telemetry::markup::{ago, class, html, maybe, sentence};
use crate::telemetry::scene::{Entry, Part, Subject};
use crate::telemetry::state::State;
use crate::text::{join, some};

/// Changes that are told with what they are of.
const CHANGES_MAX: usize = 5;
/// Targets that are named in a line.
const TARGETS_MAX: usize = 4;

/// Draws all of it.
pub(super) fn write(out: &mut String, entry: &Entry<'_>, document: &Document, part: Part<'_>, up: &str) -> Result {
    let (id, words) = (html(&entry.id), html(entry.words()));
    writeln!(
        out,
        "<section class=\"card {}\" id=\"{id}\" data-find=\"{words}\">",
        class(entry.state)
    )?;
    let (name, path) = entry.name();
    let (name, link) = (html(name), html(format!("{up}{path}")));
    let (class, endpoints) = (class(entry.state), entry.endpoints());
    match entry.subject {
        Subject::Group(group) => {
            let since = group
                .in_sync_since
                .map(|at| format!(" <span class=dim>for {}</span>", ago(document, Some(at))));
            writeln!(
                out,
                "<h2><a href=\"{link}\">Target group {name}</a>: <span class={class}>{}</span>{}</h2>",
                html(group.heading()),
                since.unwrap_or_default()
            )?;
            write_trouble(out, group, document)?;
        }
        Subject::Proxy(proxy) => write_proxy(out, proxy, &link, class)?,
    }
    let leads: Vec<&Lead> = document
        .leads
        .iter()
        .filter(|lead| endpoints.contains(&&lead.endpoint))
        .collect();
    for lead in leads.iter().filter(|lead| lead.is_trouble) {
        write_lead(out, lead, document)?;
    }
    if let Some((timeline, now)) = entry.timeline.zip(document.at) {
        if let Some(window) = Window::close_up(timeline, now) {
            chart::write(
                out,
                &format!(
                    "The last change, {} ago",
                    document.ago(timeline.passage().map(|passage| passage.began))
                ),
                timeline,
                window,
                now,
            )?;
        }
        let window = Window::hour(timeline, now);
        chart::write(out, &window.title(), timeline, window, now)?;
    }
    if let Subject::Group(group) = entry.subject {
        write_group(out, group)?;
    }
    for lead in leads.iter().filter(|lead| !lead.is_trouble) {
        write_lead(out, lead, document)?;
    }
    let subject = entry.subject();
    let most = if part == Part::All { CHANGES_MAX } else { usize::MAX };
    if document
        .changes
        .iter()
        .flatten()
        .any(|change| change.subject == *subject.as_str())
    {
        write_changes(out, document, Some((&subject, most)))?;
    }
    writeln!(out, "</section>")
}

/// Draws it in a line.
pub(super) fn write_row(out: &mut String, entry: &Entry<'_>, document: &Document, up: &str) -> Result {
    let (name, path) = entry.name();
    let (id, words, class, state) = (html(&entry.id), html(entry.words()), class(entry.state), entry.state);
    let (name, link, endpoints) = (
        html(name),
        html(format!("{up}{path}")),
        html(some(&entry.endpoints(), 2)),
    );
    let (targets, lasts) = match entry.subject {
        Subject::Group(group) => {
            let targets = group
                .targets
                .iter()
                .flatten()
                .map(|target| format!("{} {}", target.target, target.state));
            let targets: Vec<String> = targets.collect();
            (some(&targets, TARGETS_MAX), group.in_sync_since)
        }
        Subject::Proxy(proxy) => (some(&proxy.addresses, TARGETS_MAX), None),
    };
    let lasts = lasts.map_or_else(String::new, |at| ago(document, Some(at)));
    let state = match entry.subject {
        Subject::Group(group) if state != State::Well => html(group.heading()),
        _ => state.to_string(),
    };
    writeln!(
        out,
        "<tr id=\"{id}\" data-find=\"{words}\"><td><a href=\"{link}\">{name}</a><td class={class}>{state}<td>{endpoints}<td>{}<td>{lasts}",
        html(targets)
    )
}

/// What is wrong with it, and what is held.
fn write_trouble(out: &mut String, group: &Group, document: &Document) -> Result {
    if let Some(nothing) = &group.nothing_serves {
        let since = nothing
            .since
            .map_or_else(String::new, |since| format!(" (for {})", ago(document, Some(since))));
        writeln!(out, "<p class=no>{}{since}", sentence(&nothing.text))?;
    }
    for error in &group.errors {
        writeln!(out, "<p><span class=no>Error:</span> {}", sentence(&error.text))?;
    }
    if let Some(removed) = group.removed_text(document) {
        writeln!(
            out,
            "<p><span class=no>Removed by somebody else:</span> {}",
            sentence(removed)
        )?;
    }
    for hold in group.telling_holds() {
        let class = if hold.is_trouble { "no" } else { "wait" };
        writeln!(out, "<p><span class={class}>Held:</span> {}", sentence(&hold.text))?;
    }
    for note in &group.notes {
        writeln!(out, "<p><span class=dim>Note:</span> {}", sentence(note))?;
    }
    Ok(())
}

fn write_group(out: &mut String, group: &Group) -> Result {
    let (arn, role) = (html(&group.arn), html(&group.role));
    if !group.endpoints.is_empty() {
        writeln!(out, "<table>\n<tr><th>Endpoint<th>Name server<th>Says<th>TTL")?;
        group
            .endpoints
            .iter()
            .try_for_each(|endpoint| write_endpoint(out, endpoint))?;
        writeln!(out, "</table>")?;
    }
    writeln!(out, "<table>\n<tr><th>Target<th>State<th>Zone<th>DNS")?;
    match &group.targets {
        None => writeln!(out, "<tr><td class=dim>could not be listed")?,
        Some(targets) if targets.is_empty() => writeln!(out, "<tr><td class=dim>none")?,
        Some(_) => {}
    }
    for target in group.targets.iter().flatten() {
        let is_out = |nothing: &NothingServes| nothing.targets.contains(&target.target);
        let class = match target.state == *"healthy" {
            true => "ok",
            false if group.nothing_serves.as_ref().is_some_and(is_out) => "no",
            false if target.state == *"initial" => "wait",
            false => "dim",
        };
        let (what, state, zone) = (html(&target.target), html(&target.state), maybe(&target.zone));
        let (reason, named) = (html(target.reason_in_brackets()), target.named_by_dns());
        writeln!(
            out,
            "<tr><td>{what}<td><span class={class}>{state}</span>{reason}<td>{zone}<td>{named}"
        )?;
    }
    writeln!(out, "</table>\n<p class=dim><code>{arn}</code>, follows as {role}")
}

fn write_endpoint(out: &mut String, endpoint: &Sighted) -> Result {
    let name = html(&endpoint.endpoint);
    if endpoint.name_servers.is_empty() {
        writeln!(out, "<tr><td>{name}<td><td class=no>{}", maybe(&endpoint.blind))?;
    }
    for server in &endpoint.name_servers {
        let said = match &server.failure {
            None => html(join(&server.addresses)),
            Some(failure) => format!("<span class=no>{}</span>", html(failure)),
        };
        let (address, ttl) = (html(&server.address), server.ttl());
        writeln!(out, "<tr><td>{name}<td>{address}<td>{said}<td class=nb>{ttl}")?;
    }
    Ok(())
}

fn write_proxy(out: &mut String, proxy: &Proxy, link: &str, class: &str) -> Result {
    let word = match proxy.ready {
        Some(true) => "ready",
        Some(false) => "not ready",
        None => "readiness unknown",
    };
    let counts = proxy.counts.unwrap_or_default();
    let held = if counts.held > 0 { "wait" } else { "dim" };
    writeln!(
        out,
        "<h2><a href=\"{link}\">Proxy {}</a>: <span class={class}>{word}</span></h2>\n<p class=dim>to <code>{}</code>\n<p>{}\n<p \
         class=dim>{} open now, <span class={held}>{} of them waiting for the database</span>; sessions so far: {}; {} refused, {} \
         cut because their address was gone from DNS",
        html(&proxy.listen),
        html(&proxy.endpoint),
        sentence(&proxy.why),
        counts.open,
        counts.held,
        counts.sessions,
        counts.refused,
        counts.cut,
    )
}

/// Draws what the members of an endpoint's database say.
pub(super) fn write_lead(out: &mut String, lead: &Lead, document: &Document) -> Result {
    let class = match (lead.is_trouble, &lead.writer) {
        (true, _) => "no",
        (false, Some(_)) => "ok",
        (false, None) => "dim",
    };
    let since = (lead.since).map_or_else(String::new, |at| format!(", for {}", ago(document, Some(at))));
    let (endpoint, text) = (html(&lead.endpoint), html(&lead.text));
    writeln!(
        out,
        "<h3>Members of {endpoint}</h3>\n<p><span class={class}>{text}</span>{since}"
    )?;
    writeln!(out, "<table>\n<tr><th>Member<th>Says<th>For<th>Why")?;
    for member in &lead.members {
        let (address, says, why) = (html(&member.address), html(&member.says), maybe(&member.why));
        let (class, ago) = (
            if member.says == *"writer" { "ok" } else { "dim" },
            ago(document, member.since),
        );
        writeln!(
            out,
            "<tr><td>{address}<td><span class={class}>{says}</span><td>{ago}<td>{why}"
        )?;
    }
    writeln!(out, "</table>")
}

/// Draws the last changes, the latest first: so many of one subject, or all of all.
pub(super) fn write_changes(out: &mut String, document: &Document, of: Option<(&str, usize)>) -> Result {
    let (is_own, most) = (of.is_some(), of.map_or(usize::MAX, |(_, most)| most));
    let title = if is_own { "Its last changes" } else { "Last changes" };
    let is_wanted = |change: &Change| of.is_none_or(|(subject, _)| change.subject == *subject);
    let changes = document.changes.as_deref().unwrap_or_default();
    let mut changes = changes
        .iter()
        .rev()
        .filter(|change| is_wanted(change))
        .take(most)
        .peekable();
    writeln!(out, "<h3>{title}</h3>\n<table>")?;
    if changes.peek().is_none() {
        writeln!(out, "<tr><td class=dim>none since the start")?;
    }
    for change in changes {
        let (at, what) = (maybe(&change.at), sentence(&change.text));
        let ago = document.ago(change.at);
        // What stands with its subject does not repeat it.
        let subject = if is_own {
            String::new()
        } else {
            format!("<td>{}", html(&change.subject))
        };
        writeln!(
            out,
            "<tr><td class=\"dim nb\" title=\"{at}\">{ago} ago{subject}<td>{what}"
        )?;
    }
    writeln!(out, "</table>")
}

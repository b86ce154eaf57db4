//! The page for people: everything that `/status` says, in one look. No script, nothing from elsewhere.

use std::fmt::{Display, Result, Write as _};

use crate::telemetry::document::{Document, Group, Lead, NothingServes, Proxy};
use crate::text::join;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5">
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 62em; padding: 0 1em; color: #1c2733; background: #fff }
h1 { font-size: 1.3em } h2 { font-size: 1.05em; margin: 1.6em 0 .3em }
table { border-collapse: collapse; width: 100%; margin: .3em 0 } td, th { text-align: left; padding: .2em .8em .2em 0; vertical-align: top }
th { font-weight: 600; color: #5a6b7b; border-bottom: 1px solid #d5dde5 }
a { color: inherit } h1 small { font-weight: normal } .ok { color: #17703a } .no { color: #a8260f } .dim { color: #5a6b7b } code { font-size: .95em }
@media (prefers-color-scheme: dark) { body { color: #dce4ec; background: #14191f } .ok { color: #67c98b } .no { color: #ff8a70 }
th, .dim { color: #93a4b4 } th { border-color: #33404d } }
</style>
"#;

/// Draws the page from the document of `/status`.
pub fn draw(document: &Document) -> String {
    let mut out = String::from(HEAD);
    // Writing to a String cannot fail.
    let _ = write_page(&mut out, document);
    out
}

fn write_page(out: &mut String, document: &Document) -> Result {
    writeln!(
        out,
        "<title>{} · rds-tether</title>\n<h1>rds-tether <small class=dim>{}</small></h1>\n<p class=dim>Up for {}; as of {}. \
         Also <a href=\"status\">status</a> (JSON), <a href=\"metrics\">metrics</a>, <a href=\"readyz\">readyz</a>",
        title(document),
        maybe(&document.version),
        document.ago(document.started),
        maybe(&document.at),
    )?;
    if let Some(refused) = &document.settings_refused {
        let text = refused.text(&document.ago(refused.since));
        writeln!(out, "<p><span class=no>Older settings:</span> {}", html(text))?;
    }
    let unseen = document.not_looked_at_yet.as_deref().unwrap_or_default();
    if !unseen.is_empty() {
        let unseen = html(join(unseen));
        writeln!(out, "<p><span class=no>Not looked at yet:</span> {unseen}")?;
    }
    for group in &document.target_groups {
        write_group(out, group, document)?;
    }
    for proxy in document.proxies.iter().flatten() {
        write_proxy(out, proxy)?;
    }
    for lead in &document.leads {
        write_lead(out, lead, document)?;
    }
    writeln!(out, "<h2>Last changes</h2><table>")?;
    let changes = document.changes.as_deref().unwrap_or_default();
    if changes.is_empty() {
        writeln!(out, "<tr><td class=dim>none since the start")?;
    }
    for change in changes.iter().rev() {
        let (at, subject, what) = (maybe(&change.at), html(&change.subject), html(&change.text));
        let ago = document.ago(change.at);
        writeln!(out, "<tr><td class=dim title=\"{at}\">{ago} ago<td>{subject}<td>{what}")?;
    }
    writeln!(out, "</table>")
}

fn write_lead(out: &mut String, lead: &Lead, document: &Document) -> Result {
    let class = match (lead.is_trouble, &lead.writer) {
        (true, _) => "no",
        (false, Some(_)) => "ok",
        (false, None) => "dim",
    };
    let since = (lead.since).map_or_else(String::new, |at| format!(", for {}", document.ago(Some(at))));
    let (endpoint, text) = (html(&lead.endpoint), html(&lead.text));
    writeln!(
        out,
        "<h2>Members of {endpoint}</h2>\n<p><span class={class}>{text}</span>{since}"
    )?;
    writeln!(out, "<table><tr><th>Member<th>Says<th>For<th>Why")?;
    for member in &lead.members {
        let (address, says, why) = (html(&member.address), html(&member.says), maybe(&member.why));
        let (class, ago) = (
            if member.says == *"writer" { "ok" } else { "dim" },
            document.ago(member.since),
        );
        writeln!(
            out,
            "<tr><td>{address}<td><span class={class}>{says}</span><td>{ago}<td>{why}"
        )?;
    }
    writeln!(out, "</table>")
}

/// All of it in two words.
fn title(document: &Document) -> &'static str {
    let mut groups = document.target_groups.iter();
    match (document.settled, groups.any(|group| group.nothing_serves.is_some())) {
        (true, _) => "settled",
        (false, true) => "nothing serves",
        (false, false) => "not settled",
    }
}

fn write_group(out: &mut String, group: &Group, document: &Document) -> Result {
    let class = if group.is_well() { "ok" } else { "no" };
    let since = (group.in_sync_since).map_or_else(String::new, |at| format!(" for {}", document.ago(Some(at))));
    let (name, verdict) = (html(&group.name), html(group.heading()));
    writeln!(
        out,
        "<h2>Target group {name}: <span class={class}>{verdict}</span>{since}</h2>"
    )?;
    let (arn, role) = (html(&group.arn), html(&group.role));
    writeln!(out, "<p class=dim><code>{arn}</code>, follows as {role}")?;
    if !group.endpoints.is_empty() {
        writeln!(out, "<table><tr><th>Endpoint<th>Name server<th>Says<th>TTL")?;
    }
    for endpoint in &group.endpoints {
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
            writeln!(out, "<tr><td>{name}<td>{address}<td>{said}<td>{ttl}")?;
        }
    }
    writeln!(out, "</table>\n<table><tr><th>Target<th>State<th>Zone<th>DNS")?;
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
            false => "dim",
        };
        let (what, state, zone) = (html(&target.target), html(&target.state), maybe(&target.zone));
        let (reason, named) = (html(target.reason_in_brackets()), target.named_by_dns());
        writeln!(
            out,
            "<tr><td>{what}<td><span class={class}>{state}</span>{reason}<td>{zone}<td>{named}"
        )?;
    }
    writeln!(out, "</table>")?;
    if let Some(nothing) = &group.nothing_serves {
        let since = nothing
            .since
            .map_or_else(String::new, |since| format!(" (for {})", document.ago(Some(since))));
        writeln!(out, "<p class=no>{}{since}", html(&nothing.text))?;
    }
    if let Some(removed) = group.removed_text(document) {
        writeln!(
            out,
            "<p><span class=no>Removed by somebody else:</span> {}",
            html(removed)
        )?;
    }
    for note in &group.notes {
        writeln!(out, "<p><span class=dim>Note:</span> {}", html(note))?;
    }
    let holds = group.telling_holds().map(|hold| ("Held", "dim", &hold.text));
    let errors = group.errors.iter().map(|error| ("Error", "no", &error.text));
    for (title, class, text) in holds.chain(errors) {
        writeln!(out, "<p><span class={class}>{title}:</span> {}", html(text))?;
    }
    Ok(())
}

fn write_proxy(out: &mut String, proxy: &Proxy) -> Result {
    let (class, word) = if proxy.ready == Some(true) {
        ("ok", "ready")
    } else {
        ("no", "not ready")
    };
    let counts = proxy.counts.unwrap_or_default();
    writeln!(
        out,
        "<h2>Proxy {}: <span class={class}>{word}</span></h2>\n<p class=dim>to <code>{}</code>\n<p>{}\n<p class=dim>{} open \
         now, {} of them waiting for the database; sessions so far: {}; {} refused, {} cut because their address was gone from DNS",
        html(&proxy.listen),
        html(&proxy.endpoint),
        html(&proxy.why),
        counts.open,
        counts.held,
        counts.sessions,
        counts.refused,
        counts.cut,
    )
}

/// A text with nothing in it that HTML would take for its own.
fn html(text: impl Display) -> String {
    let escaped = text.to_string().replace('&', "&amp;").replace('<', "&lt;");
    escaped.replace('>', "&gt;").replace('"', "&quot;")
}

/// The same of what may not be there.
fn maybe(text: &Option<impl Display>) -> String {
    text.as_ref().map(html).unwrap_or_default()
}

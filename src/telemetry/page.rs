//! The page for people: everything that `/status` says, in one look. No script, nothing from elsewhere.

use std::fmt::Write as _;

use serde_json::Value;

use crate::planner::time::Timestamp;
use crate::telemetry::output::{ago, heading, list, time, words};

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
pub fn draw(status: &Value) -> String {
    let mut out = String::from(HEAD);
    // Writing to a String cannot fail.
    let _ = write_page(&mut out, status);
    out
}

fn write_page(out: &mut String, status: &Value) -> std::fmt::Result {
    let now = time(&status["at"]);
    writeln!(
        out,
        "<title>{} · rds-tether</title>\n<h1>rds-tether <small class=dim>{}</small></h1>\n<p class=dim>Up for {}; as of {}. \
         Also <a href=\"status\">status</a> (JSON), <a href=\"metrics\">metrics</a>, <a href=\"readyz\">readyz</a>",
        if status["settled"] == true {
            "settled"
        } else {
            "not settled"
        },
        text(&status["version"]),
        ago(now, &status["started"]),
        text(&status["at"]),
    )?;
    let unseen = list(&status["not_looked_at_yet"]);
    if !unseen.is_empty() {
        writeln!(
            out,
            "<p><span class=no>Not looked at yet:</span> {}",
            join(&status["not_looked_at_yet"])
        )?;
    }
    for group in list(&status["target_groups"]) {
        write_group(out, group, now)?;
    }
    for proxy in list(&status["proxies"]) {
        write_proxy(out, proxy)?;
    }
    writeln!(out, "<h2>Last changes</h2><table>")?;
    if list(&status["changes"]).is_empty() {
        writeln!(out, "<tr><td class=dim>none since the start")?;
    }
    for change in list(&status["changes"]).iter().rev() {
        let (at, subject, what) = (text(&change["at"]), text(&change["subject"]), text(&change["text"]));
        let ago = ago(now, &change["at"]);
        writeln!(out, "<tr><td class=dim title=\"{at}\">{ago} ago<td>{subject}<td>{what}")?;
    }
    writeln!(out, "</table>")
}

fn write_group(out: &mut String, group: &Value, now: Timestamp) -> std::fmt::Result {
    let class = if group["settled"] == true { "ok" } else { "no" };
    let since = match &group["in_sync_since"] {
        Value::Null => String::new(),
        since => format!(" for {}", ago(now, since)),
    };
    let (name, verdict) = (text(&group["name"]), heading(&text(&group["verdict"])));
    writeln!(
        out,
        "<h2>Target group {name}: <span class={class}>{verdict}</span>{since}</h2>"
    )?;
    writeln!(
        out,
        "<p class=dim><code>{}</code>, follows as {}",
        text(&group["arn"]),
        text(&group["role"])
    )?;
    if !list(&group["endpoints"]).is_empty() {
        writeln!(out, "<table><tr><th>Endpoint<th>Name server<th>Says<th>TTL")?;
    }
    for endpoint in list(&group["endpoints"]) {
        let name = text(&endpoint["endpoint"]);
        let servers = list(&endpoint["name_servers"]);
        if servers.is_empty() {
            writeln!(out, "<tr><td>{name}<td><td class=no>{}", text(&endpoint["blind"]))?;
        }
        for server in servers {
            let said = match &server["failure"] {
                Value::Null => join(&server["addresses"]),
                failure => format!("<span class=no>{}</span>", text(failure)),
            };
            let ttl = server["ttl_seconds"]
                .as_u64()
                .map(|secs| format!("{secs} s"))
                .unwrap_or_default();
            writeln!(out, "<tr><td>{name}<td>{}<td>{said}<td>{ttl}", text(&server["address"]))?;
        }
    }
    writeln!(out, "</table>\n<table><tr><th>Target<th>State<th>Zone<th>DNS")?;
    let targets = group["targets"].as_array();
    if targets.is_none_or(Vec::is_empty) {
        let why = targets.map_or("could not be listed", |_| "none");
        writeln!(out, "<tr><td class=dim>{why}")?;
    }
    for target in list(&group["targets"]) {
        let named = if target["named"] == true {
            "names it"
        } else {
            "does not name it"
        };
        let state = text(&target["state"]);
        let class = if state == "healthy" { "ok" } else { "dim" };
        let reason = match &target["reason"] {
            Value::Null => String::new(),
            reason => format!(" ({})", text(reason)),
        };
        let (what, zone) = (text(&target["target"]), text(&target["zone"]));
        writeln!(
            out,
            "<tr><td>{what}<td><span class={class}>{state}</span>{reason}<td>{zone}<td>{named}"
        )?;
    }
    writeln!(out, "</table>")?;
    for (title, class, items) in [("Held", "dim", &group["holds"]), ("Error", "no", &group["errors"])] {
        let is_told_by_an_error = |item: &&Value| item["reason"] == "group_unseen";
        for item in list(items).iter().filter(|item| !is_told_by_an_error(item)) {
            writeln!(out, "<p><span class={class}>{title}:</span> {}", text(&item["text"]))?;
        }
    }
    Ok(())
}

fn write_proxy(out: &mut String, proxy: &Value) -> std::fmt::Result {
    let (class, word) = if proxy["ready"] == true {
        ("ok", "ready")
    } else {
        ("no", "not ready")
    };
    let counts = &proxy["counts"];
    writeln!(
        out,
        "<h2>Proxy {}: <span class={class}>{word}</span></h2>\n<p class=dim>to <code>{}</code>\n<p>{}\n<p class=dim>{} open \
         now; so far {} sessions, {} refused, {} cut because their address was gone from DNS",
        text(&proxy["listen"]),
        text(&proxy["endpoint"]),
        text(&proxy["why"]),
        counts["open"],
        counts["sessions"],
        counts["refused"],
        counts["cut"],
    )
}

fn join(value: &Value) -> String {
    list(value).iter().map(text).collect::<Vec<_>>().join(", ")
}

/// What a value says, with nothing in it that HTML would take for its own.
fn text(value: &Value) -> String {
    words(value)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

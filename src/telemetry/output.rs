//! Draws the document as text: for `plan` and `sync` group by group as the decision was made, for `status` as tables.

use std::fmt::{Result, Write as _};

use crate::telemetry::document::{Document, Group, Process, Proxy, Sighted, Target, Text};
use crate::telemetry::state::{State, Totals};
use crate::text::{join, span};

/// With more target groups and proxies than this, those groups that are well take a line each.
const IN_FULL_ALL: usize = 20;

/// Draws what `plan` and `sync` saw, would change or have changed, what is held, and why.
pub fn plan(document: &Document) -> String {
    let mut out = String::new();
    for (index, group) in document.target_groups.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { "\n" });
        // Writing to a String cannot fail.
        let _ = write_plan(&mut out, group);
    }
    // Nor can this.
    let _ = write_leads(&mut out, document);
    out
}

/// What members say of themselves.
fn write_leads(out: &mut String, document: &Document) -> Result {
    for lead in &document.leads {
        let since = lead
            .since
            .map_or_else(String::new, |since| format!(" (for {})", document.ago(Some(since))));
        writeln!(out, "\nmembers of {}\n  {}{since}", lead.endpoint, lead.text)?;
        let rows = lead.members.iter().map(|member| {
            let why = member.why.clone().unwrap_or_default();
            [member.address.to_string(), member.says.to_string(), why.to_string()]
        });
        write_table(out, ["MEMBER", "SAYS", "WHY"], rows)?;
    }
    Ok(())
}

fn write_plan(out: &mut String, group: &Group) -> Result {
    write!(out, "target group {}", group.name)?;
    if let (Some(family), Some(protocol), Some(port), Some(vpc)) =
        (&group.family, &group.protocol, group.port, &group.vpc)
    {
        let role = &group.role;
        write!(out, "  ({family}, {protocol} port {port}, {vpc}, follows as {role})")?;
    }
    writeln!(out, "\n  {}", group.arn)?;
    for endpoint in &group.endpoints {
        write_endpoint(out, endpoint, group)?;
    }
    write_targets(out, group)?;
    write_changes(out, group)?;
    for (index, hold) in group.telling_holds().enumerate() {
        let title = if index == 0 { "  held\n" } else { "" };
        writeln!(out, "{title}    {}", hold.text)?;
    }
    write_remarks(out, group)?;
    writeln!(out, "  => {}", group.verdict)
}

fn write_endpoint(out: &mut String, sighted: &Sighted, group: &Group) -> Result {
    writeln!(out, "  endpoint {}", sighted.endpoint)?;
    let servers = &sighted.name_servers;
    let width = width(servers.iter().map(|server| &server.address));
    for server in servers {
        write!(out, "    {:width$}  ", server.address)?;
        match &server.failure {
            None => {
                let names: Vec<String> = server.names.iter().map(ToString::to_string).collect();
                let via = match names.as_slice() {
                    [] => String::new(),
                    names => format!("  via {}", names.join(" -> ")),
                };
                writeln!(out, "{}  ttl {}{via}", join(&server.addresses), server.ttl())?;
            }
            Some(failure) => writeln!(out, "{failure}")?,
        }
    }
    if let Some((at, since)) = group.at.zip(sighted.blind_since) {
        writeln!(out, "    not resolved for {}", span(at.since(since)))?;
    }
    if let Some((at, since)) = group.at.zip(sighted.differ_since) {
        writeln!(out, "    the name servers have differed for {}", span(at.since(since)))?;
    }
    Ok(())
}

fn write_targets(out: &mut String, group: &Group) -> Result {
    writeln!(out, "  targets")?;
    let Some(targets) = &group.targets else {
        return writeln!(out, "    could not be listed");
    };
    if targets.is_empty() {
        writeln!(out, "    none")?;
    }
    let width = width(targets.iter().map(|target| &target.target));
    for target in targets {
        let named = match target.named_by_dns() {
            "names it" => "named by DNS".to_owned(),
            "does not name it" => "not named by DNS".to_owned(),
            unknown => format!("DNS {unknown}"),
        };
        let (zone, reason) = (zone(target), target.reason_in_brackets());
        let (name, state) = (&target.target, &target.state);
        writeln!(out, "    {name:width$}  {zone:<12}  {named:<16}  {state}{reason}")?;
    }
    Ok(())
}

fn write_changes(out: &mut String, group: &Group) -> Result {
    let (title, register, deregister) = if group.applied {
        ("changed", &group.registered, &group.deregistered)
    } else {
        ("would change", &group.register, &group.deregister)
    };
    if !register.is_empty() || !deregister.is_empty() {
        writeln!(out, "  {title}")?;
    }
    for target in register {
        writeln!(out, "    register    {target}")?;
    }
    for target in deregister {
        writeln!(out, "    deregister  {target}")?;
    }
    Ok(())
}

fn write_remarks(out: &mut String, group: &Group) -> Result {
    for note in &group.notes {
        writeln!(out, "  note: {note}")?;
    }
    for error in &group.errors {
        writeln!(out, "  error: {}", error.text)?;
    }
    Ok(())
}

/// Draws where everything stands.
pub fn status(document: &Document) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_status(&mut out, document);
    out
}

fn write_status(out: &mut String, document: &Document) -> Result {
    let source = document.source.clone().unwrap_or_default();
    let (why, version) = (
        source.why.unwrap_or_default(),
        document.version.clone().unwrap_or_default(),
    );
    match source.url {
        None => writeln!(out, "{}seen by a look of its own: {why}", not_well(source.process))?,
        Some(url) => {
            let up = document.ago(document.started);
            if source.process.is_some() {
                writeln!(out, "{}{why}", not_well(source.process))?;
            }
            writeln!(out, "asked {url}: rds-tether {version}, up for {up}")?;
        }
    }
    if let Some(refused) = &document.settings_refused {
        writeln!(out, "older settings: {}", refused.text(&document.ago(refused.since)))?;
    }
    let (groups, proxies) = (Totals::of_groups(document), Totals::of_proxies(document));
    for (what, totals) in [("target groups", groups), ("proxies", proxies)] {
        if totals.all() > 1 {
            writeln!(out, "{} {what}: {}", totals.all(), totals.text())?;
        }
    }
    for state in State::ALL {
        for place in document.discover.iter().filter(|place| State::of_place(place) == state) {
            writeln!(out, "{}: {}", place.title(), place.text(|at| document.ago(at)))?;
            for trouble in &place.troubles {
                writeln!(out, "  {}", trouble.told())?;
            }
        }
    }
    let is_many = groups.all() + proxies.all() > IN_FULL_ALL;
    for state in State::ALL {
        let of_it = || {
            document
                .target_groups
                .iter()
                .filter(|group| State::of(document, group) == state)
        };
        match is_many && state == State::Well {
            true => write_well(out, of_it(), document)?,
            false => of_it().try_for_each(|group| write_group(out, group, document))?,
        }
        if state == State::Waiting {
            for arn in document.not_looked_at_yet.iter().flatten() {
                writeln!(out, "\ntarget group {arn}\n  not looked at yet")?;
            }
        }
        let proxies = document.proxies.iter().flatten();
        for proxy in proxies.filter(|proxy| State::of_proxy(proxy) == state) {
            write_proxy(out, proxy)?;
        }
    }
    write_leads(out, document)
}

/// A line for each of many that are well.
fn write_well<'a>(out: &mut String, groups: impl Iterator<Item = &'a Group>, document: &Document) -> Result {
    let rows = groups.map(|group| {
        let endpoints = join(group.endpoints.iter().map(|sighted| &sighted.endpoint));
        let targets = group.targets.iter().flatten();
        let targets = join(targets.map(|target| format!("{} {}", target.target, target.state)));
        let since = group.in_sync_since.map(|since| document.ago(Some(since)));
        [group.name.to_string(), endpoints, targets, since.unwrap_or_default()]
    });
    let mut rows = rows.peekable();
    if rows.peek().is_some() {
        writeln!(out)?;
    }
    write_table(out, ["TARGET GROUP", "ENDPOINTS", "TARGETS", "IN SYNC FOR"], rows)
}

/// What is to be said first of a process that is of no use.
fn not_well(process: Option<Process>) -> &'static str {
    match process {
        Some(Process::NoAnswer) => {
            "no rds-tether answers where the settings say, so nobody follows this, as far as can be told; "
        }
        Some(Process::NotAsked) => {
            "no rds-tether can be asked, and only its own process knows whether a proxy serves (give --http, or [http] listen); "
        }
        Some(Process::Elsewhere) => "the process does something else than these settings say; ",
        None => "",
    }
}

fn write_group(out: &mut String, group: &Group, document: &Document) -> Result {
    writeln!(out, "\ntarget group {}\n  {}", group.name, group.arn)?;
    let since = group.in_sync_since.map_or_else(String::new, |since| {
        format!(", in sync since {since} ({})", document.ago(Some(since)))
    });
    writeln!(out, "  {}{since}", group.heading())?;
    let rows = group.endpoints.iter().flat_map(|endpoint| server_rows(endpoint, group));
    write_table(out, ["ENDPOINT", "ROLE", "RESOLVER", "SAYS", "TTL"], rows)?;
    let targets = group.targets.as_deref().unwrap_or_default();
    match &group.targets {
        None => writeln!(out, "  the targets could not be listed")?,
        Some(targets) if targets.is_empty() => writeln!(out, "  no targets")?,
        Some(targets) => {
            let rows = targets.iter().map(|target| target_row(target, group));
            write_table(out, ["TARGET", "HEALTH", "ZONE", "DNS", "HELD"], rows)?;
        }
    }
    if let Some(nothing) = &group.nothing_serves {
        let since = nothing
            .since
            .map_or_else(String::new, |since| format!(", for {}", document.ago(Some(since))));
        writeln!(out, "  {}{since}", nothing.text)?;
    }
    if let Some(removed) = group.removed_text(document) {
        writeln!(out, "  removed by somebody else: {removed}")?;
    }
    for hold in group.telling_holds() {
        if !targets.iter().any(|target| target.target == hold.what) {
            writeln!(out, "  held: {}", hold.text)?;
        }
    }
    write_remarks(out, group)
}

fn server_rows(endpoint: &Sighted, group: &Group) -> Vec<[String; 5]> {
    let row = |server, says, ttl| [endpoint.endpoint.to_string(), group.role.to_string(), server, says, ttl];
    if endpoint.name_servers.is_empty() {
        let blind = endpoint.blind.clone().unwrap_or_default();
        return vec![row("-".into(), blind.to_string(), String::new())];
    }
    let servers = endpoint.name_servers.iter().map(|server| {
        let failure = server.failure.as_ref().map(Text::to_string);
        let says = failure.unwrap_or_else(|| join(&server.addresses));
        row(server.address.to_string(), says, server.ttl())
    });
    servers.collect()
}

fn target_row(target: &Target, group: &Group) -> [String; 5] {
    let what = target.target.to_string();
    let holds = group.holds.iter().filter(|hold| hold.what == target.target);
    let held: Vec<String> = holds
        .map(|hold| hold.text.to_string().trim_start_matches(&what).trim_start().to_owned())
        .collect();
    [
        what,
        format!("{}{}", target.state, target.reason_in_brackets()),
        zone(target),
        target.named_by_dns().into(),
        held.join("; "),
    ]
}

fn write_proxy(out: &mut String, proxy: &Proxy) -> Result {
    let word = match proxy.ready {
        Some(true) => "ready",
        Some(false) => "not ready",
        None => "readiness unknown",
    };
    writeln!(out, "\nproxy {}\n  {word}: {}", proxy.listen, proxy.why)?;
    let counts = proxy
        .counts
        .map(|tally| [tally.open, tally.sessions, tally.refused, tally.cut]);
    let [open, sessions, refused, cut] = counts.map_or_else(
        || ["-"; 4].map(str::to_owned),
        |counts| counts.map(|count| count.to_string()),
    );
    let endpoint = proxy.endpoint.to_string();
    let row = [endpoint, join(&proxy.addresses), open, sessions, refused, cut];
    let titles = ["ENDPOINT", "ADDRESSES", "OPEN", "SESSIONS", "REFUSED", "CUT"];
    write_table(out, titles, [row])
}

/// Rows below their titles, with the columns aligned. Without rows there is no table.
///
/// # Errors
/// Those of what is written to.
pub fn write_table<const N: usize>(
    out: &mut String,
    titles: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result {
    let rows: Vec<[String; N]> = [titles.map(str::to_owned)].into_iter().chain(rows).collect();
    if rows.len() < 2 {
        return Ok(());
    }
    let widths: [usize; N] = std::array::from_fn(|column| width(rows.iter().map(|row| &row[column])));
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "  {}", line.trim_end())?;
    }
    Ok(())
}

/// The width of a column, in characters.
fn width(cells: impl IntoIterator<Item: ToString>) -> usize {
    let widths = cells.into_iter().map(|cell| cell.to_string().chars().count());
    widths.max().unwrap_or_default()
}

fn zone(target: &Target) -> String {
    target.zone.as_ref().map_or_else(|| "-".into(), Text::to_string)
}

//! The page for people: everything that `/status` says, what is wrong first, in one look. Nothing comes from elsewhere, and without its
//! script, which only keeps it fresh and filters it, it says the same.

use std::collections::BTreeSet;
use std::fmt::{Result, Write as _};
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use crate::planner::time::Timestamp;
use crate::telemetry::card;
use crate::telemetry::document::{Document, Group, Lead, Place, Text};
use crate::telemetry::markup::{ago, class, html, maybe};
use crate::telemetry::scene::Entry;
pub use crate::telemetry::scene::{Part, Scene, Timelines};
use crate::telemetry::state::{State, Totals};
use crate::text::some;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// With more target groups and proxies than this, those that are well and have not changed take one line each.
pub const CARDS_ALL: usize = 20;
/// So many are told in full then; the others in trouble have one line each, too.
pub const CARDS_MAX: usize = 40;
/// Names of those that have not been looked at yet, of those whose tags are wrong, and places that are well, as far as they are told.
const UNSEEN_MAX: usize = 10;

/// The page's colours, light and dark, for other drawings.
pub fn colours() -> &'static str {
    STYLE.split_once("\n* {").map_or("", |(colours, _)| colours)
}

/// What the browser may do with the page: run and draw by what it brings, and ask for it again.
pub static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// Draws the page, or a part; none if there is no such part.
pub fn draw(scene: &Scene, part: Part<'_>) -> Option<String> {
    let entries = scene.entries(part);
    if part != Part::All && entries.is_empty() {
        return None;
    }
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_page(&mut out, scene, part, &entries);
    Some(out)
}

fn write_page(out: &mut String, scene: &Scene, part: Part<'_>, entries: &[Entry<'_>]) -> Result {
    let document = &scene.document;
    // Where the whole page is, from this one.
    let up = if part == Part::All { "" } else { "../" };
    let regions: BTreeSet<&str> = document.target_groups.iter().filter_map(Group::region).collect();
    let host = scene.host.as_ref().map(|host| format!(" on {}", html(host)));
    let regions: Vec<&str> = regions.into_iter().collect();
    let regions = match regions.is_empty() {
        true => String::new(),
        false => format!(" · {}", html(some(&regions, 4))),
    };
    let host = host.unwrap_or_default();
    write!(
        out,
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport content=\"width=device-width, \
         initial-scale=1\">\n<noscript><meta http-equiv=refresh content=5></noscript>\n<title>{}{host} · rds-tether</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>rds-tether <small class=dim>{}{host}{regions}</small></h1>\n",
        title(document),
        maybe(&document.version),
    )?;
    write!(
        out,
        "<p id=stale class=no role=status hidden></p>\n<div id=tools role=search hidden><input id=find type=search autocomplete=off \
         placeholder=\"Filter: name, endpoint, state\" aria-label=\"Filter by name, endpoint or state\"> <span id=found class=dim \
         role=status></span></div>\n<main>\n"
    )?;
    match part {
        Part::All => write_top(out, document)?,
        Part::Group(_) | Part::Proxy(_) => writeln!(out, "<p><a href=\"../\">all target groups and proxies</a>")?,
    }
    write_entries(out, scene, part, entries, up)?;
    writeln!(
        out,
        "<p class=dim>Up for {}; as of {}. Times are UTC; a dashed line is time for which nobody knows. Also <a \
         href=\"{up}status\">status</a> (JSON), <a href=\"{up}metrics\">metrics</a>, <a href=\"{up}readyz\">readyz</a>\n</main>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>",
        ago(document, document.started),
        maybe(&document.at),
    )
}

/// All of it in a few words.
fn title(document: &Document) -> String {
    let places = Totals::of(document.discover.iter().map(State::of_place));
    let totals = [Totals::of_groups(document), Totals::of_proxies(document), places];
    let troubled: usize = totals.iter().map(|totals| totals.count(State::Trouble)).sum();
    let mut groups = document.target_groups.iter();
    match (document.settled, groups.any(|group| group.nothing_serves.is_some())) {
        (_, true) => "nothing serves".to_owned(),
        (true, _) if troubled == 0 => "settled".to_owned(),
        _ if troubled == 0 => "not settled".to_owned(),
        _ => format!("{troubled} in trouble"),
    }
}

fn write_top(out: &mut String, document: &Document) -> Result {
    write!(out, "<p class=totals>")?;
    let (groups, proxies) = (Totals::of_groups(document), Totals::of_proxies(document));
    for (what, of_one, totals) in [("target groups", "target group", groups), ("proxies", "proxy", proxies)] {
        let counts = State::ALL
            .into_iter()
            .filter(|state| totals.count(*state) > 0)
            .map(|state| {
                let (class, count) = (class(state), totals.count(state));
                format!("<b class={class}>{count} {state}</b>")
            });
        let counts: Vec<String> = counts.collect();
        match totals.all() {
            0 => {}
            1 => write!(out, "<span class=nb>1 {of_one}: {}.</span> ", counts.join(", "))?,
            all => write!(out, "<span>{all} {what}: {}.</span> ", counts.join(", "))?,
        }
    }
    writeln!(out)?;
    if let Some(refused) = &document.settings_refused {
        let text = refused.text(&document.ago(refused.since));
        writeln!(out, "<p><span class=no>Older settings:</span> {}", html(text))?;
    }
    let mut places: Vec<&Place> = document.discover.iter().collect();
    places.sort_by_key(|place| State::of_place(place));
    let (well, others): (Vec<&Place>, Vec<_>) = places.into_iter().partition(|place| place.is_well());
    for place in others.iter().chain(well.iter().take(UNSEEN_MAX)) {
        write_place(out, place, document)?;
    }
    if well.len() > UNSEEN_MAX {
        writeln!(
            out,
            "<p class=dim>Tagged target groups of {} more places are followed.",
            well.len() - UNSEEN_MAX
        )?;
    }
    let unseen = document.not_looked_at_yet.as_deref().unwrap_or_default();
    if !unseen.is_empty() {
        let unseen = html(some(unseen, UNSEEN_MAX));
        writeln!(out, "<p><span class=wait>Not looked at yet:</span> {unseen}")?;
    }
    Ok(())
}

fn write_place(out: &mut String, place: &Place, document: &Document) -> Result {
    let (class, title) = (class(State::of_place(place)), html(place.title()));
    let text = html(place.text(|at| document.ago(at)));
    writeln!(out, "<p><span class={class}>{title}:</span> {text}")?;
    for trouble in place.troubles.iter().take(UNSEEN_MAX) {
        writeln!(out, "<br>{}", html(trouble.told()))?;
    }
    match place.troubles.len().saturating_sub(UNSEEN_MAX) {
        0 => Ok(()),
        more => writeln!(out, "<br>and {more} more"),
    }
}

/// Those that matter now in full, the others in a line each.
fn write_entries(out: &mut String, scene: &Scene, part: Part<'_>, entries: &[Entry<'_>], up: &str) -> Result {
    let document = &scene.document;
    let now = document.at.unwrap_or(Timestamp::from_millis(0));
    let is_all = part != Part::All || entries.len() <= CARDS_ALL;
    let has_changed = |entry: &Entry<'_>| entry.timeline.is_some_and(|timeline| timeline.has_changed(now));
    let is_full = |entry: &&Entry<'_>| is_all || entry.state != State::Well || has_changed(entry);
    let most = if is_all { usize::MAX } else { CARDS_MAX };
    let (full, mut rest): (Vec<_>, Vec<_>) = entries.iter().partition(is_full);
    let shown = full.len().min(most);
    for entry in &full[..shown] {
        card::write(out, entry, document, part, up)?;
    }
    rest.extend(&full[shown..]);
    rest.sort_by_key(|entry| entry.state);
    let followed: BTreeSet<&Text> = entries.iter().flat_map(Entry::endpoints).collect();
    let is_alone = |lead: &&Lead| part == Part::All && !followed.contains(&lead.endpoint);
    for lead in document.leads.iter().filter(is_alone) {
        card::write_lead(out, lead, document)?;
    }
    if part == Part::All {
        card::write_changes(out, document, None)?;
    }
    if rest.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h3>The others</h3>\n<table>\n<tr><th>Name<th>State<th>Endpoint<th>Targets<th>For"
    )?;
    for entry in rest {
        card::write_row(out, entry, document, up)?;
    }
    writeln!(out, "</table>")
}

/// By what a policy knows a text (Content Security Policy Level 3, 2.3.1).
fn hash(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut hash = String::from("sha256-");
    for three in Sha256::digest(text).chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, index| {
            bits << 8 | u32::from(three.get(index).copied().unwrap_or_default())
        });
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index) & 63) as usize];
            hash.push(if index <= three.len() { char::from(letter) } else { '=' });
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colours_are_there_for_light_and_dark() {
        for part in [":root {", "--healthy:", "prefers-color-scheme: dark"] {
            assert!(colours().contains(part), "{}", colours());
        }
        assert_eq!(colours().matches('{').count(), colours().matches('}').count());
    }

    #[test]
    fn a_text_is_known_by_its_hash() {
        // The example of the standard.
        assert_eq!(
            hash("alert('Hello, world.');"),
            "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
        );
    }
}

//! A drill's report as text. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::report::{Ended, Mark, NotWatched, Report, Verdict};
use crate::planner::time::Timestamp;
use crate::telemetry::chart::time_of_day;
use crate::telemetry::output::write_table;
use crate::text::{join, shown, took};

/// Draws it.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "drill of {}", report.endpoint)?;
    writeln!(out, "  {}", headline(report))?;
    if !report.new_addresses.is_empty() {
        let (old, new) = (join(&report.old_addresses), join(&report.new_addresses));
        writeln!(out, "  DNS named {old} before; the new address is {new}")?;
    }
    if let Some(from) = report.lags_from.filter(|from| *from != "connection_lost") {
        let from = if from == "triggered" {
            "the trigger"
        } else {
            "the first sign of a change"
        };
        writeln!(out, "  no lost connection was seen: lags are counted from {from}")?;
    }
    writeln!(out)?;
    let rows = report.marks.iter().map(|mark| row(report, mark));
    write_table(out, ["WHAT", "UTC", "LAG", "WITHIN", "STEADY", "SHOWN BY"], rows)?;
    for (index, name) in throughs(report).iter().enumerate() {
        writeln!(out, "  through {} is {name}", index + 1)?;
    }
    if !report.not_watched.is_empty() {
        writeln!(out, "\nnot watched")?;
    }
    for not_watched in &report.not_watched {
        writeln!(out, "  {}", shown(unwatched(not_watched)))?;
    }
    Ok(())
}

/// What came of it, in a line.
pub fn headline(report: &Report) -> String {
    let lasted = took(report.ended.since(report.started));
    let by = match report.ended_by {
        Ended::Over => "",
        Ended::Timeout => " when --timeout ended",
        Ended::Signal => " when it was told to stop",
    };
    match report.result {
        Verdict::Measured => "a failover was measured to its end".to_owned(),
        Verdict::Nothing => format!("nothing changed in {lasted}{by}"),
        Verdict::Unfinished => {
            let waiting = report.waiting_for.iter().map(|mark| title(mark));
            format!("a change began and had not come to its end{by}: {}", join(waiting))
        }
    }
}

/// What a mark is called, by who showed it.
pub fn name(mark: &Mark) -> &'static str {
    match (mark.mark, mark.by) {
        ("writer", Some("address")) => "takes sessions",
        (mark, _) => title(mark),
    }
}

/// What a mark is called.
pub fn title(mark: &str) -> &'static str {
    match mark {
        "triggered" => "triggered",
        "connection_lost" => "connection lost",
        "event_start" => "event: begins",
        "writer" => "writer usable",
        "dns_first" => "DNS, first",
        "dns_all" => "DNS, all",
        "registered" => "registered",
        "healthy" => "healthy",
        "through" => "through",
        "event_end" => "event: over",
        _ => "?",
    }
}

fn row(report: &Report, mark: &Mark) -> [String; 6] {
    let name = match &mark.of {
        Some(of) => {
            let position = throughs(report).iter().position(|name| *name == of);
            format!("through {}", position.unwrap_or_default() + 1)
        }
        None => name(mark).to_owned(),
    };
    let dash = || "-".to_owned();
    let Some(at) = mark.at else {
        return [name, dash(), dash(), dash(), dash(), state(mark).to_owned()];
    };
    let within = mark.not_before.map_or_else(dash, |before| took(at.since(before)));
    let lag = mark.lag_ms.map_or_else(dash, signed);
    let steady = mark.steady_lag_ms.map_or_else(dash, signed);
    [name, time(at), lag, within, steady, shown_by(mark)]
}

/// How it is said that a mark has no moment.
pub fn state(mark: &Mark) -> &'static str {
    match mark.state {
        "before" => "was so before",
        "unbroken" => "never failed",
        "missing" => "not seen",
        _ => "not watched",
    }
}

fn shown_by(mark: &Mark) -> String {
    let which = mark.by_which.clone().unwrap_or_default();
    match (mark.mark, mark.by, mark.dated_lag_ms) {
        ("triggered", ..) => "--triggered".to_owned(),
        (_, Some("event"), Some(dated)) => format!("dated {}", signed(dated)),
        (_, Some("name_servers"), _) => format!("all {which}"),
        (_, Some("member"), _) => format!("member {which}"),
        ("connection_lost", Some("through"), _) => format!("through {which}"),
        _ => which,
    }
}

/// The names of what clients connect to, in order.
fn throughs(report: &Report) -> Vec<&str> {
    report.marks.iter().filter_map(|mark| mark.of.as_deref()).collect()
}

/// What was not watched, in a line.
pub fn unwatched(not_watched: &NotWatched) -> String {
    let NotWatched { what, of, why, detail } = not_watched;
    let what = match *what {
        "dns" => "name server",
        "target_group" => "target group",
        "events" => "RDS events",
        "writer_through" => "who is reached through",
        what => what,
    };
    let of = of.as_ref().map(|of| format!(" {of}")).unwrap_or_default();
    let detail = detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{what}{of}: {why}{detail}")
}

/// A lag with its sign.
pub fn signed(millis: i64) -> String {
    let lasts = took(Duration::from_millis(millis.unsigned_abs()));
    match millis {
        0 => "0 s".to_owned(),
        1.. => format!("+{lasts}"),
        _ => format!("-{lasts}"),
    }
}

/// The time of day, in UTC, to a tenth of a second.
pub fn time(at: Timestamp) -> String {
    let millis = at.written();
    format!("{}.{}", time_of_day(millis / 1000, true), millis % 1000 / 100)
}

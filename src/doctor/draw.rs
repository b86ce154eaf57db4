//! Draws a diagnosis, for people and for machines.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::check::{Check, Outcome, Section};
use crate::exit::Exit;
use crate::text::{join, shown};

/// Where the second line of a check begins: under its name.
const INDENT: &str = "           ";
/// So many checks in a row of which nothing is known, for the same reason, are drawn as one: they must not hide it.
const CROWD: usize = 4;
/// The names of a crowd fill lines of about this many characters.
const LINE_CHARS: usize = 120;

/// The exit code of a diagnosis: that of its most severe failure; of one that checked nothing, that of a wrong question. What
/// could not be checked because of a failure that is left out is not well either.
pub fn exit(sections: &[Section]) -> Exit {
    let of_failures = Exit::worst(outcomes(sections).map(Outcome::exit));
    match (has_checked(sections), of_failures) {
        (false, _) => Exit::Usage,
        (true, Exit::Settled) if !left_out(sections).is_empty() => Exit::Unexpected,
        (true, of_failures) => of_failures,
    }
}

/// The checks that others wait for, and that are left out.
fn left_out(sections: &[Section]) -> BTreeSet<&'static str> {
    let checks = || sections.iter().flat_map(|section| &section.checks);
    let is_shown = |name: &str| checks().any(|check| check.name == name);
    let blockers = checks().filter_map(|check| match &check.outcome {
        Outcome::Blocked(by, _) => Some(*by),
        _ => None,
    });
    blockers.filter(|name| !is_shown(name)).collect()
}

/// Whether anything was found out, well or not.
fn has_checked(sections: &[Section]) -> bool {
    outcomes(sections).any(|outcome| outcome.status() != "skipped")
}

fn outcomes(sections: &[Section]) -> impl Iterator<Item = &Outcome> {
    sections
        .iter()
        .flat_map(|section| &section.checks)
        .map(|check| &check.outcome)
}

fn count(sections: &[Section], status: &str) -> usize {
    outcomes(sections).filter(|outcome| outcome.status() == status).count()
}

/// One line for each check, with its fix below, and a line that sums up.
pub fn text(sections: &[Section]) -> String {
    format!("{}; exit code {}", findings(sections), exit(sections) as u8)
}

/// The same without the exit code, for who ends with another.
pub fn findings(sections: &[Section]) -> String {
    let mut text = String::new();
    let names = sections.iter().flat_map(|section| &section.checks);
    let width = names.map(|check| check.name.len()).max().unwrap_or_default();
    for section in sections {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", shown(&section.title));
        fn reason(check: &Check) -> Option<&str> {
            match &check.outcome {
                Outcome::Blocked(_, why) | Outcome::Skipped(why, None) => Some(why),
                _ => None,
            }
        }
        for group in section
            .checks
            .chunk_by(|one, next| reason(one).is_some() && reason(one) == reason(next))
        {
            if group.len() >= CROWD {
                write_crowd(&mut text, group, width);
            } else {
                group.iter().for_each(|check| write_check(&mut text, check, width));
            }
        }
        text.push('\n');
    }
    text.push_str("=> ");
    text.push_str(&verdict(sections));
    text
}

fn write_check(text: &mut String, check: &Check, width: usize) {
    let outcome = &check.outcome;
    let _ = writeln!(
        text,
        "  {:<7}  {:<width$}  {}",
        outcome.status(),
        check.name,
        shown(outcome.finding())
    );
    if let Some(fix) = outcome.fix() {
        let _ = writeln!(text, "{INDENT}{}: {}", word_for_fix(outcome), shown(fix));
    }
}

fn write_crowd(text: &mut String, group: &[Check], width: usize) {
    let outcome = &group[0].outcome;
    let many = format!("{} checks", group.len());
    let _ = writeln!(text, "  {:<7}  {many:<width$}  {}", outcome.status(), outcome.finding());
    let mut line = String::new();
    for check in group {
        if line.len() + check.name.len() > LINE_CHARS {
            let _ = writeln!(text, "{INDENT}{}", line.trim_end());
            line.clear();
        }
        line.push_str(check.name);
        line.push(' ');
    }
    let _ = writeln!(text, "{INDENT}{}", line.trim_end());
}

/// The word before the last text of a check: there is nothing to be fixed yet in one that was skipped.
fn word_for_fix(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Skipped(..) => "to find out",
        _ => "fix",
    }
}

/// All of it in one phrase.
fn verdict(sections: &[Section]) -> String {
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let failures = count(sections, "failure");
    let verdict = match (failures, count(sections, "warning")) {
        (0, 0) => "nothing wrong was found".into(),
        (0, warnings) => plural(warnings, "warning"),
        (failures, 0) => plural(failures, "failure"),
        (failures, warnings) => format!("{}, {}", plural(failures, "failure"), plural(warnings, "warning")),
    };
    let (ok, skipped) = (count(sections, "ok"), count(sections, "skipped"));
    let left_out = left_out(sections);
    match (has_checked(sections), skipped) {
        (true, _) if failures == 0 && !left_out.is_empty() => format!(
            "not everything could be checked ({ok} ok, {skipped} skipped): {}, which is left out, is not well",
            join(left_out)
        ),
        (true, _) => format!("{verdict} ({ok} ok, {skipped} skipped)"),
        (false, 0) => {
            "nothing was checked: none of the checks that --only and --skip leave is about anything that the settings \
                       name (the list is in rds-tether doctor --help)"
                .into()
        }
        (false, skipped) => format!("nothing was checked ({skipped} skipped): each says why"),
    }
}

/// The same for machines; the schema only grows.
pub fn json(sections: &[Section]) -> String {
    let views = sections.iter().map(|section| {
        let checks = section.checks.iter().map(|check| {
            json!({
                "name": check.name,
                "status": check.outcome.status(),
                "finding": check.outcome.finding(),
                "fix": check.outcome.fix(),
            })
        });
        json!({ "title": section.title, "checks": checks.collect::<Vec<Value>>() })
    });
    let document = json!({
        "schema": "rds-tether/1",
        "verb": "doctor",
        "exit_code": exit(sections) as u8,
        "verdict": verdict(sections),
        "ok": count(sections, "ok"),
        "warnings": count(sections, "warning"),
        "failures": count(sections, "failure"),
        "skipped": count(sections, "skipped"),
        "sections": views.collect::<Vec<Value>>(),
    });
    // Strings and numbers always serialise.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

//! What the tables of the pages say is what the program has. Each failure prints the rows to write.

use std::collections::BTreeSet;
use std::fs;

use rds_tether::settings::keys::tables;
use testkit::pages::{Page, code, root, rows};

use super::commands::Place;
use super::world::*;

fn help(arguments: &[&str]) -> String {
    assert_exit(bare_command("").args(arguments).arg("--help"), 0)
}

#[track_caller]
fn assert_rows(page: &str, found: &str, wanted: &[String]) {
    let found: Vec<&str> = found.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(wanted.len() > 1, "{page}: this test looks at nothing");
    assert!(
        found == wanted,
        "{page} should have\n{}\nand has\n{}",
        wanted.join("\n"),
        found.join("\n")
    );
}

#[test]
fn the_settings_page_has_every_key() {
    let page = Page::read("docs/settings.md");
    let mut headers = Vec::new();
    for table in tables() {
        let heading = format!("### `{}`", table.header);
        let keys = table.keys.iter().map(|key| {
            let default = key.default.as_deref().unwrap_or("must be given");
            let cells = [&key.value, default, &key.about];
            let [value, default, about] = cells.map(|cell| cell.replace('|', "\\|"));
            format!("| `{}` | `{value}` | {default} | {about} |", key.name)
        });
        let section = page.section(&heading);
        assert!(section.contains(&table.about), "{heading}: {}", table.about);
        let mut wanted: Vec<String> = keys.collect();
        // A table of one key is compared as one of several.
        wanted.insert(0, "| key | value | default | |".to_owned());
        assert_rows(&heading, &format!("| \n{section}"), &wanted);
        headers.push(heading);
    }
    let found: Vec<&str> = page.text.lines().filter(|line| line.starts_with("### `[")).collect();
    assert_eq!(found, headers);
}

#[test]
fn the_page_of_doctor_has_every_check() {
    let help = help(&["doctor"]);
    let (_, checks) = help.split_once("\nChecks:\n").unwrap();
    let wanted = checks.lines().filter_map(|line| line.trim().split_once("  "));
    let wanted: Vec<String> = wanted
        .map(|(name, about)| format!("| `{name}` | {} |", about.trim()))
        .collect();
    assert!(wanted.len() > 40, "{help}");
    let page = Page::read("docs/doctor.md");
    assert_rows(&page.path, page.section("## The checks"), &wanted);
}

/// Every line of a sample begins as the program's do, and names a check that there is.
pub fn is_what_doctor_prints(place: &Place<'_>, text: &str) {
    let help = help(&["doctor"]);
    let mut checks = 0;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["target", "group", ..] | ["fix:", ..] => {}
            ["ok" | "warning" | "failure" | "skipped", check, ..] => {
                assert!(help.contains(&format!("\n  {check} ")), "{place}: there is no {check}");
                checks += 1;
            }
            _ => panic!("{place}: doctor does not print {line:?}"),
        }
    }
    assert!(checks > 0, "{place}: {text}");
}

#[test]
fn the_page_of_exit_codes_has_every_code() {
    let help = help(&[]);
    let (_, codes) = help.split_once("Exit codes: ").unwrap();
    let numbers = |text: &str| -> BTreeSet<u8> {
        let words = text.split(|char: char| !char.is_ascii_digit());
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let page = Page::read("docs/exit-codes.md");
    let table = rows(&page.text);
    let listed = table.iter().map(|row| row[0].parse().unwrap());
    assert_eq!(listed.collect::<BTreeSet<u8>>(), numbers(codes), "{help}");
    let (_, order) = page.text.split_once("the most severe speaks: ").unwrap();
    let order = numbers(order.split('.').next().unwrap());
    let mut without_usage = numbers(codes);
    without_usage.remove(&64);
    assert_eq!(order, without_usage, "which speaks for several");
}

/// The names that never change of all reasons for a hold.
fn reasons() -> BTreeSet<String> {
    let folder = root().join("src/planner");
    let sources = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let source = sources.collect::<String>();
    let (_, reason) = source
        .split_once("\nimpl Reason {")
        .expect("the reasons are the planner's");
    let (_, names) = reason.split_once("pub fn name(&self) -> &'static str {").unwrap();
    let names = names.split("\n    }").next().unwrap().split('"').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn the_page_of_decisions_has_every_reason() {
    let page = Page::read("docs/deciding.md");
    let table = rows(page.section("## Reasons for a hold"));
    let listed: BTreeSet<String> = table.iter().map(|row| code(&row[0]).to_owned()).collect();
    assert!(listed.len() > 12, "{listed:?}");
    assert_eq!(listed, reasons());
}

/// Fails if a comment cites a fact that the page of facts does not have, or the page has one twice.
#[test]
fn the_facts_that_the_code_cites_are_on_their_page() {
    let page = Page::read("docs/facts.md");
    let marks: Vec<&str> = page
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .collect();
    let is_mark = |word: &str| {
        let (letter, number) = word.split_at_checked(1).unwrap_or_default();
        "DNERL".contains(letter)
            && !letter.is_empty()
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let marks: Vec<&str> = marks.into_iter().filter(|word| is_mark(word)).collect();
    let known: BTreeSet<&str> = marks.iter().copied().collect();
    assert!(known.len() > 30 && known.len() == marks.len(), "{marks:?}");
    let mut folders = vec![root().join("src"), root().join("lambda/src")];
    let mut cited = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                let Some((_, comment)) = line.split_once("// ").or(line.split_once("/// ")) else {
                    continue;
                };
                let marks = comment.split('(').skip(1).filter_map(|rest| rest.split(')').next());
                for mark in marks.flat_map(|marks| marks.split(", ")).filter(|word| is_mark(word)) {
                    assert!(
                        known.contains(mark),
                        "{}:{}: there is no fact {mark}",
                        path.display(),
                        number + 1
                    );
                    cited += 1;
                }
            }
        }
    }
    assert!(cited > 0, "the code cites no fact: then the page needs no marks");
}

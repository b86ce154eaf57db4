//! Completions and man pages, as the built binary prints them, agree with what it takes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use rds_tether::settings::keys::TABLES;
use testkit::world::*;

fn printed(arguments: &[&str]) -> String {
    let output = finish(bare_command("").args(arguments));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The verbs and long flags that `--help` names.
fn words_of_help(arguments: &[&str]) -> BTreeSet<String> {
    let help = printed(arguments);
    let words = help.split(|c: char| c.is_whitespace() || "[],.".contains(c));
    let flags: BTreeSet<String> = words.filter(|word| word.starts_with("--")).map(str::to_owned).collect();
    assert!(flags.len() >= 3, "{help}");
    flags
}

fn verbs() -> Vec<String> {
    let help = printed(&["--help"]);
    let lines = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let verbs: Vec<String> = lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|verb| verb != "help")
        .collect();
    assert!(verbs.len() >= 6, "{help}");
    verbs
}

/// Whether a program takes what is printed; true if there is no such program.
fn is_taken(program: &str, arguments: &[&str], text: &str) -> bool {
    use std::io::Write as _;
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else { return true };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", said(&output));
    output.stderr.is_empty()
}

/// Fails if a shell cannot read its completions, or if they lack a verb or a flag.
#[test]
fn completions_are_read_by_their_shells_and_know_every_flag() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        assert!(is_taken(shell, &["-n"], &script), "{shell}");
        for verb in verbs() {
            assert!(script.contains(&verb), "{shell}: {verb}");
            for flag in words_of_help(&[&verb, "--help"]) {
                let flag = if shell == "fish" {
                    format!("-l {}", flag.trim_start_matches('-'))
                } else {
                    flag
                };
                assert!(script.contains(&flag), "{shell}: {flag} of {verb}");
            }
        }
    }
    assert_exit(bare_command("").args(["completions", "tcsh"]), 64);
}

/// Fails if a page is missing, is no good roff, or lacks a flag of its verb, its variable or its default.
#[test]
fn there_is_a_page_for_each_verb_that_has_all_of_its_flags() {
    let scratch = Scratch::new();
    let directory = scratch.path("man");
    let to = directory.to_str().unwrap();
    let said = assert_exit(bare_command("").args(["man", "--dir", to]), 1);
    assert_says(&said, &["cannot write", to, "No such file or directory"]);
    std::fs::create_dir(&directory).unwrap();
    printed(&["man", "--dir", to]);
    let mut files: BTreeSet<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in &files {
        let page = std::fs::read_to_string(directory.join(name)).unwrap();
        let (title, section) = name.rsplit_once('.').unwrap();
        assert!(page.contains(&format!(".TH {title} {section} ")), "{name}: {page}");
        assert!(is_taken("groff", &["-ww", "-man", "-Tutf8"], &page), "{name}");
    }
    let flat = |name: &str| {
        std::fs::read_to_string(directory.join(name))
            .unwrap()
            .replace("\\-", "-")
    };
    for verb in verbs() {
        let name = format!("rds-tether-{verb}.1");
        assert!(files.remove(&name), "no {name}");
        for flag in words_of_help(&[&verb, "--help"]) {
            assert!(flat(&name).contains(&flag), "{flag} in {name}");
        }
    }
    assert!(flat("rds-tether-run.1").contains("RDS_TETHER_NAMESERVER"));
    assert!(flat("rds-tether-run.1").contains("[default: 60s, reader endpoints 5m]"));
    assert_eq!(files, ["rds-tether.1", "rds-tether.5"].map(str::to_owned).into());
    let all = printed(&["man"]);
    assert_eq!(
        all.matches(".TH ").count(),
        verbs().len() + 2,
        "all pages, one after another"
    );
}

/// Fails if the settings page lacks a key that the file may have, or has one that it may not.
#[test]
fn the_settings_page_has_every_key_and_no_other() {
    let scratch = Scratch::new();
    let expected = |text: &str| -> BTreeSet<String> {
        let path = scratch.write("keys.toml", text);
        let said = assert_exit(bare_command("").args(["plan", "--config"]).arg(path), 78);
        let (_, names) = said.split_once("expected ").unwrap_or_else(|| panic!("{said}"));
        names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let headers = TABLES
        .iter()
        .map(|table| table.header.trim_matches(['[', ']']).to_owned());
    assert_eq!(headers.collect::<BTreeSet<_>>(), expected("zzz = 1\n"));
    let page = printed(&["man"]).replace("\\-", "-");
    for table in TABLES {
        let keys: BTreeSet<String> = table.keys.iter().map(|key| key.name.to_owned()).collect();
        assert_eq!(
            keys,
            expected(&format!("{}\nzzz = 1\n", table.header)),
            "{}",
            table.header
        );
        for key in table.keys {
            assert!(page.contains(&format!("\\fB{}\\fR = ", key.name)), "{}", key.name);
        }
    }
}

//! Completions and man pages, as the built binary prints them, and the tables of docs/settings.md agree with what it takes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use clap::Arg;
use rds_tether::settings::keys::{Table, tables};
use rds_tether::settings::{Flags, command_line, read_command_line};
use rds_tether::verbs::Cli;
use testkit::world::*;

const SETTINGS: &str = include_str!("../docs/settings.md");

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
    let all = tables();
    let headers = all.iter().map(|table| table.header.trim_matches(['[', ']']).to_owned());
    assert_eq!(headers.collect::<BTreeSet<_>>(), expected("zzz = 1\n"));
    let page = printed(&["man"]).replace("\\-", "-");
    for table in all {
        let keys: BTreeSet<String> = table.keys.iter().map(|key| key.name.clone()).collect();
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

/// Fails if the default that a key is said to have is another than the one that holds.
#[test]
fn a_default_that_is_told_is_the_one_that_holds() {
    #[derive(clap::Parser)]
    struct Given {
        #[command(flatten)]
        flags: Flags,
    }
    let scratch = Scratch::new();
    let settings = |text: &str| {
        let path = scratch.write("config.toml", text).into_os_string();
        let given = read_command_line::<Given>(vec!["".into(), "--config".into(), path]).unwrap();
        given.flags.settings().unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    let endpoint = "orders.example:5432";
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef";
    let group = format!("[[target_group]]\narn = \"{arn}\"\nendpoints = [\"{endpoint}\"]\n");
    let proxy = format!("[[proxy]]\nlisten = \"127.0.0.1:1\"\nendpoint = \"{endpoint}\"\n");
    let tables = tables();
    let text = |said: &str| {
        let sections = tables.iter().map(|table| match table.header {
            "[[target_group]]" => group.clone(),
            "[[proxy]]" => proxy.clone(),
            "[[discover]]" => {
                "[[discover]]\nregion = \"eu-west-1\"\nallow_endpoints = [\"*.example.com\"]\n".to_owned()
            }
            "[notify]" => "[notify]\nsns_topic_arn = \"arn:aws:sns:eu-west-1:111122223333:database\"\n".to_owned(),
            header => format!("{header}\n"),
        });
        let add = |(section, table): (String, &Table)| match said.split_once(' ') {
            Some((header, line)) if header == table.header => format!("{section}{line}\n"),
            _ => section,
        };
        sections.zip(&tables).map(add).collect::<String>()
    };
    let mut compared = 0;
    for table in &tables {
        for key in &table.keys {
            let default = key.default.as_deref().unwrap_or_default();
            // What depends on the role is told in words, and so is what there is none of.
            let is_word = key
                .value
                .split('|')
                .any(|word| word.trim().trim_matches('"') == default);
            if !is_word && (default.contains(' ') || !default.starts_with(|c: char| c.is_ascii_digit())) {
                continue;
            }
            let quote = if key.value.starts_with('"') { "\"" } else { "" };
            let said = format!("{} {} = {quote}{default}{quote}", table.header, key.name);
            assert_eq!(settings(&text(&said)), settings(&text("")), "{said}");
            compared += 1;
        }
    }
    assert!(compared >= 12, "{compared} defaults compared");
}

/// What the binary prints on a terminal, with the programs of one folder alone.
fn on_terminal(arguments: &str, programs: &str, variables: &[(&str, &str)]) -> String {
    let binary = testkit::program::built("rds-tether");
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command"]);
    command.arg(format!("PATH='{programs}' exec {} {arguments}", binary.display()));
    command.arg("/dev/null").env_clear().envs(testkit::program::counts());
    command.envs([("TERM", "xterm"), ("SHELL", "/bin/sh")]);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    let output = finish(&mut command);
    said(&output).replace("\r\n", "\n")
}

/// Fails if a page scrolls by where there is a man to show it, or is lost where there is none.
#[test]
fn a_page_is_shown_on_a_terminal() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    let programs = scratch.path("programs");
    std::fs::create_dir(&programs).unwrap();
    let programs = programs.to_str().unwrap();
    let printed_there = on_terminal("man", programs, &[]);
    assert!(printed_there.contains(".TH rds-tether 1 "), "{printed_there}");
    assert_eq!(printed_there.matches(".TH ").count(), 1, "{printed_there}");
    let man = scratch.write(
        "programs/man",
        "#!/bin/sh\nread -r first; read -r second; read -r third; echo \"shown: $* $third\"; while read -r line; do :; done\n",
    );
    std::fs::set_permissions(&man, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (arguments, title) in [
        ("man", "rds-tether 1"),
        ("man run", "rds-tether-run 1"),
        ("man settings", "rds-tether 5"),
    ] {
        let shown = on_terminal(arguments, programs, &[]);
        assert!(shown.contains("shown: -l - "), "{arguments}: {shown}");
        assert!(!shown.contains(".SH "), "{arguments}: {shown}");
        let page = printed(&arguments.split(' ').collect::<Vec<_>>());
        assert!(page.contains(&format!(".TH {title} ")), "{arguments}: {page}");
    }
    assert_says(
        &assert_exit(bare_command("").args(["man", "moon"]), 64),
        &["there is no page \"moon\"", "give a verb"],
    );
}

#[test]
fn completions_say_where_they_belong_to_who_sees_them() {
    for (shell, place) in [
        ("bash", "~/.local/share/bash-completion/completions/rds-tether"),
        ("zsh", "$fpath"),
        ("fish", "~/.config/fish/completions/rds-tether.fish"),
    ] {
        let shown = on_terminal(&format!("completions {shell}"), "", &[]);
        assert!(
            shown.trim_end().lines().last().unwrap().contains(place),
            "{shell}: {shown}"
        );
        let output = finish(bare_command("").args(["completions", shell]));
        assert!(output.stderr.is_empty(), "{shell}: {}", said(&output));
    }
}

/// Fails if a log file is full of escapes, or somebody who wants no colours gets them.
#[test]
fn colours_are_for_terminals_whose_owner_wants_them() {
    for (arguments, coloured) in [
        ("plan --forget 30", "\x1b[1;31mrds-tether:\x1b[0m --forget"),
        ("doctor --config /nowhere.toml", "\x1b[1;31mfailure\x1b[0m"),
        ("plan --help", "\x1b["),
    ] {
        let shown = on_terminal(arguments, "", &[]);
        assert!(shown.contains(coloured), "{arguments}: {shown:?}");
        let shown = on_terminal(arguments, "", &[("NO_COLOR", "1")]);
        assert!(!shown.contains('\x1b'), "{arguments}: {shown:?}");
        let output = finish(bare_command("").args(arguments.split(' ')));
        assert!(!said(&output).contains('\x1b'), "{arguments}: {}", said(&output));
    }
}

/// Fails if a verb is explained without an example, or with one that it does not take.
#[test]
fn every_help_has_examples_and_groups() {
    for verb in verbs() {
        let help = printed(&[&verb, "--help"]);
        let (_, examples) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{help}"));
        let examples: Vec<&str> = examples.lines().take_while(|line| !line.is_empty()).collect();
        assert!(!examples.is_empty(), "{help}");
        let flags = words_of_help(&[&verb, "--help"]);
        for example in examples {
            let words: Vec<&str> = example.split_whitespace().collect();
            assert_eq!(words[..2], ["rds-tether", verb.as_str()], "{help}");
            let typed = words.iter().filter(|word| word.starts_with("--"));
            assert!(typed.clone().all(|word| flags.contains(*word)), "{example}");
        }
        if flags.contains("--nameserver") {
            for heading in ["What to follow", "DNS", "Output"] {
                assert!(help.contains(&format!("\n{heading}:\n")), "{heading}: {help}");
            }
        }
    }
    assert!(printed(&["--help"]).contains("Examples:\n  rds-tether plan "));
}

/// Fails if a bug report cannot say what was built, or a build needs git.
#[test]
fn the_version_names_the_commit_that_was_built() {
    assert!(printed(&["--version"]).starts_with(concat!("rds-tether ", env!("CARGO_PKG_VERSION"))));
    let scratch = Scratch::new();
    let script = scratch.path("build");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs");
    let mut rustc = Command::new("rustc");
    assert_exit(rustc.args(["--edition", "2024", source, "-o"]).arg(&script), 0);
    let version = |folder: &str, variables: &[(&str, &str)]| {
        let mut command = Command::new(&script);
        command.current_dir(scratch.path(folder)).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command
            .envs([("CARGO_PKG_VERSION", "1.2.3")])
            .envs(variables.iter().copied());
        let said = assert_exit(&mut command, 0);
        let (_, version) = said.split_once("cargo:rustc-env=TETHER_VERSION=").unwrap();
        version.lines().next().unwrap().to_owned()
    };
    for folder in ["tarball", "repository"] {
        std::fs::create_dir(scratch.path(folder)).unwrap();
    }
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .current_dir(scratch.path("repository"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.com"]);
        assert_exit(command.args(arguments), 0)
    };
    git(&["init", "--quiet"]);
    git(&["commit", "--quiet", "--allow-empty", "--message", "one"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let release = ("PROFILE", "release");
    assert_eq!(version("tarball", &[release]), "1.2.3");
    assert_eq!(version("repository", &[("PROFILE", "debug")]), "1.2.3");
    assert_eq!(
        version("repository", &[release]),
        format!("1.2.3 (commit {})", &commit[..12])
    );
    let given = ("TETHER_COMMIT", "0123456789abcdef0123456789abcdef01234567");
    for folder in ["tarball", "repository"] {
        assert_eq!(version(folder, &[release, given]), "1.2.3 (commit 0123456789ab)");
    }
}

fn definition() -> clap::Command {
    let mut command = command_line::<Cli>().disable_help_subcommand(true);
    command.build();
    command
}

/// A flag as the tables of docs/settings.md have it.
fn row(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let (about, told) = match help.split_once(" [default: ") {
        Some((about, default)) => (about.to_owned(), default.trim_end_matches(']').to_owned()),
        None => (help, String::new()),
    };
    let defaults = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned());
    let default = if arg.get_action().takes_values() {
        defaults.collect()
    } else {
        String::new()
    };
    let value = arg.get_value_names().filter(|_| arg.get_action().takes_values());
    // A bar would end the cell.
    let value = value
        .map(|names| format!(" {}", names[0].replace('|', "\\|")))
        .unwrap_or_default();
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let long = arg.get_long().expect("a flag");
    let env = arg.get_env().expect("every flag has a variable").to_string_lossy();
    let default = if default.is_empty() { told } else { default };
    let cells = [format!("{short}`--{long}{value}`"), format!("`{env}`"), default, about];
    let cells = cells.map(|cell| {
        if cell.is_empty() {
            String::new()
        } else {
            format!(" {cell}")
        }
    });
    format!("|{} |", cells.join(" |"))
}

fn flags(verb: &clap::Command) -> Vec<&Arg> {
    let flags = verb
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !arg.is_hide_set());
    flags
        .filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
        .collect()
}

/// The tables of flags of docs/settings.md: the verbs that each is for, and its rows.
fn tables_of_flags() -> Vec<(BTreeSet<&'static str>, Vec<&'static str>)> {
    let mut tables = Vec::new();
    let mut lines = SETTINGS.lines();
    while let Some(line) = lines.find(|line| line.starts_with("Flags of ")) {
        let verbs = line.split('`').skip(1).step_by(2).collect();
        let rows = lines.by_ref().skip_while(|line| !line.starts_with("|---"));
        let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
        tables.push((verbs, rows.collect()));
    }
    tables
}

#[test]
fn the_readme_lists_every_flag_of_every_verb_and_no_other() {
    let command = definition();
    let tables = tables_of_flags();
    assert!(
        tables.len() >= 4,
        "the tables are not where this test looks: {tables:#?}"
    );
    for verb in command.get_subcommands() {
        // A table that names no verb is for all of them.
        let of_verb = tables
            .iter()
            .filter(|(verbs, _)| verbs.is_empty() || verbs.contains(verb.get_name()));
        let listed: BTreeSet<String> = of_verb
            .flat_map(|(_, rows)| rows.iter().map(ToString::to_string))
            .collect();
        let has: BTreeSet<String> = flags(verb).into_iter().map(row).collect();
        let missing: Vec<&String> = has.difference(&listed).collect();
        let surplus: Vec<&String> = listed.difference(&has).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "{}\nmissing:\n{missing:#?}\nto be removed:\n{surplus:#?}",
            verb.get_name()
        );
    }
}

#[test]
fn the_readmes_tables_name_verbs_that_exist() {
    let command = definition();
    let verbs: BTreeSet<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    for (named, _) in tables_of_flags() {
        assert!(named.is_subset(&verbs), "{named:?} of {verbs:?}");
    }
}

#[test]
fn the_command_line_is_consistent() {
    definition().debug_assert();
}

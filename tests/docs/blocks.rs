//! Nothing that a page shows goes unchecked: every block, and every command of a block, is somebody's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;

use testkit::pages::{self, Page, root};

use super::commands::{self, Place};

/// Whose a block or command is.
#[derive(Clone, Copy)]
enum Owner {
    /// A check of this suite, which is made here.
    Check(fn(&Place<'_>, &str)),
    /// The file of another suite, which reads the page.
    Suite(&'static str),
}

use Owner::{Check, Suite};

/// What a block or command is known by, and whose it is; the first that fits counts.
struct Rule {
    /// The pages that it is for: all that begin so.
    pages: &'static str,
    language: &'static str,
    /// How the command begins; empty for the whole block.
    start: &'static str,
    owner: Owner,
}

const fn rule(pages: &'static str, language: &'static str, start: &'static str, owner: Owner) -> Rule {
    Rule {
        pages,
        language,
        start,
        owner,
    }
}

const RULES: &[Rule] = &[
    // The package's own commands, on a host that has it.
    rule(
        "deploy/systemd/README.md",
        "sh",
        "sudo ",
        Suite("tests/packages/users.rs"),
    ),
    rule(
        "deploy/systemd/README.md",
        "sh",
        "sudoedit ",
        Suite("tests/packages/users.rs"),
    ),
    rule(
        "deploy/systemd/README.md",
        "sh",
        "systemctl ",
        Suite("tests/packages/users.rs"),
    ),
    rule(
        "deploy/systemd/README.md",
        "sh",
        "journalctl ",
        Suite("tests/packages/users.rs"),
    ),
    rule("deploy/systemd/README.md", "ini", "", Suite("tests/packages/users.rs")),
    // With the settings of the page, which assume that role.
    rule(
        "deploy/iam/README.md",
        "sh",
        "rds-tether iam --assumed-role ",
        Suite("tests/iam/documents.rs"),
    ),
    // What a release has.
    rule("docs/install.md", "sh", "gh ", Suite("tests/packages/release.rs")),
    rule(
        "docs/install.md",
        "sh",
        "sha256sum ",
        Suite("tests/packages/release.rs"),
    ),
    rule("docs/install.md", "sh", "sudo ", Suite("tests/packages/release.rs")),
    rule("docs/install.md", "sh", "docker ", Suite("tests/packages/release.rs")),
    // Ours.
    rule("", "sh", "rds-tether ", Check(commands::is_taken)),
    rule("", "sh", "export ", Check(commands::is_a_variable)),
    rule("", "toml", "", Check(commands::are_settings)),
    rule("", "sh", "deploy/package ", Check(commands::packages)),
    rule("", "sh", "tests/run", Check(commands::is_a_program)),
    rule("", "sh", "fuzz/run", Check(commands::is_a_program)),
    rule(
        "docs/consumers.md",
        "sh",
        "benches/consumers/run ",
        Suite("tests/docs/consumers.rs"),
    ),
    // Those of the AWS command line are given to it by another test of this suite, which needs it.
    rule("", "sh", "aws ", Check(super::aws::is_written_for_a_service)),
    // Building.
    rule(
        "lambda/README.md",
        "sh",
        "cargo lambda ",
        Check(commands::is_tried_with_cargo_lambda),
    ),
    rule("", "sh", "cargo ", Check(commands::cargo_has_it)),
    rule(
        "lambda/README.md",
        "sh",
        "python3 -m venv ",
        Check(commands::makes_an_environment),
    ),
    rule("lambda/README.md", "sh", ". ", Check(commands::enters_the_environment)),
    rule(
        "lambda/README.md",
        "sh",
        "pip install ",
        Check(commands::is_pinned_for_the_tests),
    ),
    rule(
        "lambda/README.md",
        "sh",
        "rustup target add ",
        Check(commands::is_a_target_that_is_built_for),
    ),
    // Deploying.
    rule(
        "docs/clickpipe.md",
        "sh",
        "terraform ",
        Suite("tests/terraform/pages.rs"),
    ),
    rule(
        "deploy/terraform/README.md",
        "sh",
        "terraform ",
        Suite("tests/terraform/pages.rs"),
    ),
    rule("docs/clickpipe.md", "hcl", "", Suite("tests/terraform/pages.rs")),
    rule("lambda/README.md", "hcl", "", Suite("tests/terraform/pages.rs")),
    rule("deploy/terraform/", "hcl", "", Suite("tests/terraform/mod.rs")),
    rule(
        "deploy/cloudformation/README.md",
        "sh",
        "sha256sum ",
        Check(commands::is_what_is_packaged),
    ),
    rule("deploy/cloudformation/README.md", "ts", "", Suite("tests/cdk/mod.rs")),
    // The database.
    rule("docs/clickpipe.md", "sh", "psql ", Suite("tests/doctor/walk.rs")),
    rule("docs/clickpipe.md", "sql", "", Suite("tests/doctor/walk.rs")),
    rule(
        "docs/clickpipe.md",
        "sh",
        "curl ",
        Check(commands::is_where_the_program_says),
    ),
    // Documents.
    rule(
        "docs/discover.md",
        "json",
        "{\n  \"Version\"",
        Suite("tests/cloudformation/tagged.rs"),
    ),
    rule("docs/discover.md", "json", "", Suite("tests/discover/mod.rs")),
    rule("docs/notifications.md", "json", "", Suite("tests/notify/page.rs")),
    rule("lambda/README.md", "json", "", Suite("tests/iam/documents.rs")),
    rule("deploy/iam/README.md", "json", "", Suite("tests/iam/documents.rs")),
    // Pictures and samples of what is printed.
    rule("README.md", "text", "", Check(commands::is_a_picture)),
    rule("docs/drill.md", "text", "", Suite("tests/judged/drawn.rs")),
    rule(
        "docs/doctor.md",
        "text",
        "",
        Check(super::tables::is_what_doctor_prints),
    ),
];

/// The rule for a block or command, by its place in the list.
fn rule_for(page: &Page, language: &str, text: &str) -> Option<usize> {
    let fits = |rule: &Rule| {
        let is_for_page = if rule.pages.ends_with(".md") {
            page.path == rule.pages
        } else {
            page.path.starts_with(rule.pages)
        };
        is_for_page && rule.language == language && text.starts_with(rule.start)
    };
    RULES.iter().position(fits)
}

/// Fails if a page has a block or a command that nobody checks, or one that is wrong.
#[test]
fn every_block_and_every_command_is_checked() {
    let pages = pages::all();
    assert!(pages.len() > 15, "{} pages: this test looks at nothing", pages.len());
    let (mut used, mut nobodys, mut checks) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
    for page in &pages {
        for (language, line, text) in parts(page) {
            let Some(rule) = rule_for(page, &language, &text) else {
                let first = text.lines().next().unwrap_or_default();
                nobodys.push(format!("{}:{line}: {language}: {first}", page.path));
                continue;
            };
            used.insert(rule);
            match RULES[rule].owner {
                Check(check) => {
                    let of_page: &mut Vec<_> = checks.entry(&page.path).or_default();
                    of_page.push((check, Place { page, line }, text));
                }
                Suite(file) => assert_reads(file, &page.path),
            }
        }
    }
    assert!(
        nobodys.is_empty(),
        "nobody checks these; give each a rule in tests/docs/blocks.rs, with a check or the suite that runs it:\n{}",
        nobodys.join("\n")
    );
    let dead = RULES.iter().enumerate().filter(|(number, _)| !used.contains(number));
    let dead: Vec<String> = dead
        .map(|(_, rule)| format!("{} {} {:?}", rule.pages, rule.language, rule.start))
        .collect();
    assert!(dead.is_empty(), "rules for what no page has: {dead:?}");
    // Most commands wait for a DNS server that is not there.
    thread::scope(|scope| {
        for of_page in checks.values() {
            scope.spawn(move || of_page.iter().for_each(|(check, place, text)| check(place, text)));
        }
    });
}

/// The blocks of a page, and of those for a shell the commands, each with its language and line.
fn parts(page: &Page) -> Vec<(String, usize, String)> {
    let blocks = page.blocks().into_iter().filter(|block| block.language != "sh");
    let blocks = blocks.map(|block| (block.language, block.line, block.text));
    let commands = page.commands().into_iter();
    blocks
        .chain(commands.map(|command| ("sh".to_owned(), command.line, command.text)))
        .collect()
}

/// The suite's file is there and names the page, or the page's folder where it reads all of them.
#[track_caller]
fn assert_reads(file: &str, page: &str) {
    let source = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let folder = page.strip_suffix("/README.md").unwrap_or(page);
    let is_below_modules = folder.starts_with("deploy/terraform") && source.contains("modules()");
    assert!(source.contains(page) || is_below_modules, "{file} does not read {page}");
}

//! What pages say to write and to run, written and run: made, looked at and unmade against moto.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use testkit::pages::Page;

use super::code::{Copy, run, succeed};
use super::stage::Stage;
use testkit::program::provided;
use testkit::program::said;

/// The pages that lead somebody from a file to what it makes. To make it takes minutes, and they have the same commands: the first is
/// followed to the end, the others up to the plan.
const LEADING: &[&str] = &["docs/clickpipe.md", "deploy/terraform/README.md"];
/// The pages with code that belongs to nothing else.
const SINGLE: &[&str] = &["lambda/README.md"];
/// Where the pages have the code, and where it is here.
const CODE: [&str; 2] = ["./rds-tether/deploy/terraform", "./.."];

/// The first block of a page, which uses the code, for a world of its own: with what is there instead of the page's examples.
fn configuration(page: &Page) -> String {
    let block = page.blocks_of("hcl").remove(0);
    let package = block.lines().find(|line| line.trim_start().starts_with("package "));
    let package = package.unwrap_or_else(|| panic!("{}: no package", page.path));
    let examples = [
        (package, "  package = { file = var.zip }"),
        ("\"vpc-0123456789abcdef0\"", "var.vpc_id"),
        (
            "[\"subnet-0123456789abcdef0\", \"subnet-0fedcba9876543210\"]",
            "var.subnet_ids",
        ),
        ("[\"sg-0123456789abcdef0\"]", "[var.database_security_group_id]"),
        (CODE[0], CODE[1]),
    ];
    let block = examples.iter().fold(block.clone(), |block, (example, here)| {
        assert!(block.contains(example), "{}: no {example} in {block}", page.path);
        block.replace(example, here)
    });
    let variables = ["zip", "vpc_id", "database_security_group_id"].map(|name| format!("variable \"{name}\" {{}}\n"));
    format!(
        "variable \"subnet_ids\" {{\n  type = list(string)\n}}\n{}{block}",
        variables.concat()
    )
}

/// Runs a command of a page where the page says to, and says yes.
#[track_caller]
fn step(stage: &Stage, page: &Page, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let mut command: Command = stage.terraform(&words[1..]);
    // One page's commands are given in the folder of the code, the other's in that of the file.
    if words.contains(&"-chdir=..") {
        let folder = stage.copy.path("on-page").join("rds-tether");
        fs::create_dir_all(&folder).unwrap();
        command.current_dir(folder);
    }
    let mirror = provided("TF_PLUGIN_MIRROR");
    command
        .env("TF_CLI_ARGS", "-no-color")
        .env("TF_CLI_ARGS_init", format!("-plugin-dir={}", mirror.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who asks nothing does not read the answer.
    let _ = child.stdin.take().unwrap().write_all(b"yes\n");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {line}: {}", page.path, said(&output));
}

/// Fails if somebody who does what a page says, line by line, does not end with what it promises, or cannot undo it.
#[test]
#[ignore = "needs terraform, the AWS provider and moto: tests/run provides them"]
fn who_follows_the_pages_makes_the_path_and_unmakes_it() {
    thread::scope(|scope| {
        for path in LEADING {
            scope.spawn(move || {
                let page = Page::read(path);
                let copy = Copy::new();
                fs::create_dir(copy.path("on-page")).unwrap();
                fs::write(copy.path("on-page").join("main.tf"), configuration(&page)).unwrap();
                let stage = Stage::with(copy, "on-page", |_| json!({}));
                let commands = page.commands().into_iter().map(|command| command.text);
                let commands: Vec<String> = commands.filter(|command| command.starts_with("terraform ")).collect();
                let verbs: Vec<&str> = commands
                    .iter()
                    .filter_map(|command| command.split(' ').next_back())
                    .collect();
                assert_eq!(verbs, ["init", "plan", "apply", "destroy"], "{path}");
                // Before the first apply there is no state to ask for.
                let made = || match stage.copy.path("on-page/terraform.tfstate").exists() {
                    true => succeed(&mut stage.terraform(&["state", "list"])).lines().count(),
                    false => 0,
                };
                let last = if *path == LEADING[0] { verbs.len() } else { 2 };
                for (command, verb) in commands.iter().zip(verbs).take(last) {
                    step(&stage, &page, command);
                    match verb {
                        "plan" => assert_eq!(made(), 0, "{path}"),
                        "apply" => {
                            assert!(made() > 15, "{path}");
                            let outputs = super::code::json(&mut stage.terraform(&["output", "-json"]));
                            assert!(outputs.to_string().contains("vpce-svc-"), "{path}: {outputs}");
                        }
                        _ => {}
                    }
                }
                assert_eq!(made(), 0, "{path}: something is left");
            });
        }
    });
}

/// Fails if the code of a page is not formatted, or not valid.
#[test]
#[ignore = "needs terraform and the AWS provider: tests/run provides them"]
fn what_the_other_pages_say_to_write_is_valid() {
    let copy = Copy::new();
    let mut checked = 0;
    for path in LEADING.iter().chain(SINGLE).filter(|path| !path.starts_with("deploy/")) {
        let blocks = Page::read(path).blocks_of("hcl");
        assert!(!blocks.is_empty(), "{path}");
        let folder = format!("page-{checked}");
        fs::create_dir(copy.path(&folder)).unwrap();
        let text = blocks.join("\n").replace(CODE[0], CODE[1]);
        fs::write(copy.path(&folder).join("main.tf"), text).unwrap();
        let formatted = run(copy.terraform(&folder).args(["fmt", "-check", "-diff"]));
        assert!(formatted.status.success(), "{path}: {}", said(&formatted));
        copy.init(&folder);
        let valid = run(copy.terraform(&folder).args(["validate", "-json"]));
        let told: Value = serde_json::from_slice(&valid.stdout).unwrap();
        assert_eq!(told["valid"], true, "{path}: {told}");
        checked += 1;
    }
    assert_eq!(checked, 2, "this test looks at nothing");
}

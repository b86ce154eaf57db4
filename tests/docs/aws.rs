//! The commands for the AWS command line, given to it: that it takes them is shown by its trying to reach AWS, which nobody is
//! here.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;

use testkit::pages::{self, Command as Line, root};

use super::commands::Place;
use testkit::program::{FOREIGN_MAX, finish_within, provided};
use testkit::world::{Scratch, said};

/// The services that pages have commands for.
const SERVICES: &[&str] = &[
    "autoscaling",
    "cloudformation",
    "ec2",
    "elbv2",
    "iam",
    "lambda",
    "rds",
    "s3",
    "sqs",
];

/// Only version 2 has these, and PyPI has version 1.
const OF_VERSION_2: [&str; 2] = ["aws configure export-credentials ", "aws sso login"];

/// What is known without the command line itself: the service, an operation, and how options are written.
pub fn is_written_for_a_service(place: &Place<'_>, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let is_name = |word: &str| {
        word.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit())
    };
    assert!(SERVICES.contains(&words[1]) && is_name(words[2]), "{place}: {line}");
    let options = words.iter().filter(|word| word.starts_with('-'));
    assert!(
        options
            .into_iter()
            .all(|option| option.starts_with("--") && is_name(option)),
        "{place}: {line}"
    );
}

/// Where the commands are given: the project's folder as far as they need it, with what is built before, empty.
fn folder() -> Scratch {
    let folder = Scratch::new();
    std::os::unix::fs::symlink(root().join("deploy"), folder.path("deploy")).unwrap();
    for path in ["target/packages", "target/lambda/bootstrap"] {
        fs::create_dir_all(folder.path(path)).unwrap();
    }
    folder
}

/// The command as a shell reads it in that folder.
fn given(line: &str, folder: &Scratch) -> Command {
    // Version 1 takes a payload as it is.
    let line = line.replace(" --cli-binary-format raw-in-base64-out", "");
    let line = line
        .replace("$(rds-tether iam)", "{}")
        .replace("/dev/stdout", "response.json");
    let words = line.split(' ').filter(|word| word.starts_with("target/"));
    for path in words {
        fs::write(folder.path(path), "").unwrap();
    }
    if line.contains("file://") {
        folder.write("daemon.json", "{}");
    }
    let aws = provided("RDS_TETHER_TEST_AWS");
    let path = std::env::join_paths([aws.parent().unwrap(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    let mut command = Command::new("sh");
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder.path(""))
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .current_dir(folder.path(""))
        .args(["-c", &line]);
    command
}

/// Fails if the command line does not know a command of a page, an option of it, or how a value is written; or if a file that it
/// names is not there.
#[test]
#[ignore = "needs the AWS command line: tests/run provides it"]
fn the_aws_command_line_takes_the_commands() {
    let pages = pages::all();
    let mut lines: Vec<(String, Line)> = Vec::new();
    for page in &pages {
        let commands = page
            .commands()
            .into_iter()
            .filter(|command| command.text.starts_with("aws "));
        lines.extend(commands.map(|command| (page.path.clone(), command)));
    }
    lines.sort_by(|(_, one), (_, other)| one.text.cmp(&other.text));
    lines.dedup_by(|(_, one), (_, other)| one.text == other.text);
    assert!(lines.len() > 20, "{} commands: this test looks at nothing", lines.len());
    // Each takes a second to start.
    let half = lines.len().div_ceil(2);
    thread::scope(|scope| {
        for lines in lines.chunks(half) {
            scope.spawn(move || {
                for (page, line) in lines {
                    let output = finish_within(FOREIGN_MAX, &mut given(&line.text, &folder()));
                    let said = said(&output);
                    let is_taken = said.contains("Could not connect to the endpoint URL");
                    assert!(is_taken, "{page}:{}: {}\n{said}", line.line, line.text);
                }
            });
        }
    });
}

/// Fails if the command line does not know a command that a page's prose names, or an option of it; values may be left out there.
#[test]
#[ignore = "needs the AWS command line: tests/run provides it"]
fn the_aws_command_line_knows_what_the_prose_names() {
    let mut named = BTreeSet::new();
    for page in pages::all() {
        let prose: Vec<&str> = page.prose().into_iter().map(|(_, line)| line).collect();
        let prose = prose.join(" ");
        let spans = prose
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|span| span.starts_with("aws "));
        named.extend(spans.map(str::to_owned));
    }
    named.retain(|line| !OF_VERSION_2.iter().any(|newer| line.starts_with(newer)));
    assert!(named.len() >= 5, "{named:?}");
    for line in named {
        let said = said(&finish_within(FOREIGN_MAX, &mut given(&line, &folder())));
        let is_known = [
            "Could not connect",
            "the following arguments are required",
            "expected one argument",
        ];
        assert!(is_known.iter().any(|sign| said.contains(sign)), "{line}\n{said}");
    }
}

/// Fails if what is wrong is taken: then the test above shows nothing.
#[test]
#[ignore = "needs the AWS command line: tests/run provides it"]
fn the_aws_command_line_takes_nothing_else() {
    for line in [
        "aws rds reboot-db-instance --db-instance-identifier orders --force-fail-over",
        "aws rds fail-over-db-cluster --db-cluster-identifier orders",
        "aws rds reboot-cluster",
        "aws rds failover-db-cluster",
        "aws ec2 describe-vpc-endpoint-connections --filters Name=vpc-endpoint-state,Value=pendingAcceptance",
        "aws cloudformation deploy --stack-name orders --template-file privatelink.yaml",
    ] {
        let said = said(&finish_within(FOREIGN_MAX, &mut given(line, &folder())));
        assert!(!said.contains("Could not connect"), "{line}: {said}");
    }
}

//! The script that a new host runs, with what a host has and this machine has not played by a shell script.

use std::fs;
use std::process::{Command, Output};

use super::code::run;
use testkit::program::{provided, said};
use testkit::scratch::Scratch;

/// What curl, aws, rpm, rds-tether and systemctl do on a host: each writes down how it was called. The package is "package", the
/// host is ready at the third question. One call can be made to fail.
const PLAYED: &str = r#"#!/bin/bash
program=${0##*/}
if [[ -n $FAILS && "$program $*" == *"$FAILS"* ]]; then
    echo "$program fails" >&2
    exit 1
fi
case "$program $*" in
*api/token) echo token ;;
*"X-aws-ec2-metadata-token: token"*instance-id) echo i-0123456789abcdef0 ;;
*"X-aws-ec2-metadata-token: token"*placement/region) echo eu-west-1 ;;
*/readyz)
    echo x >>"$PLAY/asked"
    [[ $(wc -l <"$PLAY/asked") -ge 3 ]] || { echo 'orders: no connection'; exit 22; }
    ;;
"aws s3api"*) printf package >"${*: -1}" ;;
esac
[[ $program == curl || $program == sleep ]] || echo "$program $* ${AWS_DEFAULT_REGION:-}" >>"$PLAY/calls"
"#;

/// Runs a script whose settings and temporary files are below a folder, after it has gone on for these seconds, with calls
/// that have this in them failing; prints the settings. Says what was called, with the folder as `TMP`.
fn play(script: &str, seconds: u32, fails: &str) -> (Output, String) {
    let folder = Scratch::new();
    let settings = folder.path("settings");
    folder.write(
        "user-data",
        &script.replace("/etc/rds-tether", &settings.display().to_string()),
    );
    for program in ["curl", "aws", "rpm", "rds-tether", "systemctl", "sleep"] {
        let path = folder.write(program, PLAYED);
        let made = Command::new("chmod").arg("+x").arg(path).status();
        assert!(made.is_ok_and(|status| status.success()));
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command
        .args(["-c", "bash \"$PLAY/user-data\" && cat \"$PLAY/settings/config.toml\""])
        .env_clear()
        .env("PATH", format!("{}:{path}", folder.folder().display()))
        .env("PLAY", folder.folder())
        .env("TMPDIR", folder.folder())
        .env("FAILS", fails)
        .env("SECONDS", seconds.to_string());
    let output = run(&mut command);
    let calls = fs::read_to_string(folder.path("calls")).unwrap_or_default();
    let calls = calls.replace(&folder.folder().display().to_string(), "TMP");
    (output, calls)
}

/// The sum of the package that is played.
pub const PACKAGE_SHA256: &str = "bc4a71180870f7945155fbb02f4b0a2e3faa2a62d6d31b7039013055ed19869a";

/// What the script calls, in order.
const CALLS: &[&str] = &[
    "aws s3api get-object --bucket packages --key rds-tether-0.1.0-1.x86_64.rpm TMP/",
    "rpm --upgrade --replacepkgs TMP/",
    "rds-tether doctor --only settings",
    "systemctl enable rds-tether.service",
    "systemctl restart rds-tether.service",
    "aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --instance-id i-0123456789abcdef0 \
     --lifecycle-hook-name installed --auto-scaling-group-name orders",
];

/// What keeps a host from being used: the seconds before, the call that fails, what the host says at last, and how many calls
/// succeed before it gives itself up.
const FAULTS: &[(u32, &str, &str, usize)] = &[
    (0, "get-object", "get s3://packages/rds-tether-0.1.0-1.x86_64.rpm", 0),
    (
        0,
        "rpm --upgrade",
        "install s3://packages/rds-tether-0.1.0-1.x86_64.rpm",
        1,
    ),
    (0, "doctor", "read the settings: rds-tether fails", 2),
    (0, "restart", "start rds-tether", 4),
    (600, "", "become ready in 540 s: orders: no connection", 5),
    (0, "CONTINUE", "say that it is ready", 5),
];

/// A host's script installs the package it was told to, with its settings, and speaks up when it is ready and only then.
pub fn check(script: &str) {
    let folder = Scratch::new();
    let path = folder.write("user-data", script);
    let linted = run(Command::new(provided("RDS_TETHER_TEST_SHELLCHECK")).arg(path));
    assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stdout));

    let (output, calls) = play(script, 0, "");
    assert!(output.status.success(), "{}", said(&output));
    let lines: Vec<&str> = calls.lines().collect();
    assert_eq!(lines.len(), CALLS.len(), "{calls}");
    for (line, call) in lines.iter().zip(CALLS) {
        assert!(
            line.starts_with(call) && line.ends_with(" eu-west-1"),
            "{line}: not {call}"
        );
    }
    assert!(
        said(&output).contains("listen = "),
        "no settings in /etc: {}",
        said(&output)
    );

    let with_other_sum = script.replace(PACKAGE_SHA256, &"0".repeat(64));
    assert_given_up(&with_other_sum, (0, "", "whose SHA-256 is not 0000000000", 1));
    for fault in FAULTS {
        assert_given_up(script, *fault);
    }

    let (output, calls) = play(script, 0, "169.254.169.254");
    let said = said(&output);
    assert!(
        !output.status.success() && said.contains("could not ask for its identity"),
        "{said}"
    );
    assert_eq!(calls, "", "a host that does not know who it is can tell nobody");
}

/// The host says why, and to the Auto Scaling group that it is not to be used.
fn assert_given_up(script: &str, (seconds, fails, why, good): (u32, &str, &str, usize)) {
    let (output, calls) = play(script, seconds, fails);
    let said = said(&output);
    assert!(!output.status.success(), "{why}: {said}");
    let last = said
        .lines()
        .rev()
        .find(|line| line.starts_with("rds-tether: this host could not "));
    assert!(
        last.is_some_and(|line| line.contains(why) && line.ends_with("; it is not used")),
        "{why}: {said}"
    );
    let lines: Vec<&str> = calls.lines().collect();
    assert_eq!(lines.len(), good + 1, "{why}: {calls}");
    for (line, call) in lines.iter().zip(&CALLS[..good]) {
        assert!(line.starts_with(call), "{why}: {line}: not {call}");
    }
    let ready = CALLS[CALLS.len() - 1];
    let given_up = ready.replace("CONTINUE", "ABANDON");
    assert!(
        ready != given_up && lines[good].starts_with(&given_up),
        "{why}: {}",
        lines[good]
    );
}

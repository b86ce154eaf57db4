//! Whatever wakes it, it looks, and answers with the report.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::dns::Behaviour;

use super::events::*;
use testkit::function::*;

/// A failover of this cluster that began long ago, so that one look is enough.
fn long_ago(id: u16) -> [Value; 2] {
    long_ago_of(id, "orders")
}

fn long_ago_of(id: u16, cluster: &str) -> [Value; 2] {
    let ago = Duration::from_secs(3600);
    [eventbridge(id, cluster, ago), subscription(id, cluster, ago)]
}

/// Bindings of two clusters, as the text of a settings file.
fn two_groups(world: &World, other: &(String, String)) -> String {
    world.binding().and(binding(other)).to_string()
}

/// Fails if an envelope is not opened, if its event wakes the wrong bindings, or if the response is not the report.
#[test]
fn every_envelope_wakes_the_bindings_that_it_is_about() {
    let world = World::settled();
    let settings = two_groups(&world, &world.add_settled("billing"));
    let _function = world.start(&[("RDS_TETHER_CONFIG", &settings)]);
    let [direct, subscribed] = long_ago(START);
    let mut prefixed = direct.clone();
    prefixed["detail"]["SourceIdentifier"] = "rds:orders".into();
    let about_orders = [
        direct.clone(),
        prefixed,
        sns(&direct),
        sns(&subscribed),
        sqs(std::slice::from_ref(&direct)),
        sqs(std::slice::from_ref(&subscribed)),
        sns_in_sqs(std::slice::from_ref(&direct)),
        sns_in_sqs(&[subscribed, direct]),
    ];
    for event in about_orders {
        assert_woken(&world, &event, &["orders"]);
    }
    let [billing, orders] = ["billing", "orders"].map(|name| eventbridge(START, name, Duration::from_secs(3600)));
    assert_woken(&world, &sqs(&[billing, orders]), &["orders", "billing"]);
    let elsewhere = eventbridge(START, "elsewhere", Duration::from_secs(3600));
    assert_woken(&world, &elsewhere, &["orders", "billing"]);
    assert_woken(&world, &blue_green(), &["orders", "billing"]);
    assert_eq!(world.changes(), [""; 0], "nothing was to be changed");
}

/// Fails if an event of something unknown is only taken for one of names that may be anything's.
#[test]
fn an_event_of_something_unknown_looks_at_everything() {
    let world = World::settled();
    let (arn, _) = world.add_settled("alias");
    let alias = (arn, "db.corp.internal".to_owned());
    world.dns.set(&alias.1, Behaviour::a(OLD, 1));
    let settings = two_groups(&world, &world.add_settled("billing")) + &binding(&alias).to_string();
    let _function = world.start(&[("RDS_TETHER_CONFIG", &settings)]);
    let all: &[&str] = &["orders", "billing", "alias"];
    for (name, groups) in [("orders", &["orders", "alias"][..]), ("elsewhere", all), ("db", all)] {
        for event in long_ago_of(START, name) {
            assert_woken(&world, &event, groups);
        }
    }
}

/// Fails if an unknown payload is an error, looks at nothing, or at some of the bindings only.
#[test]
fn an_unknown_payload_looks_at_everything_once() {
    let world = World::settled();
    let settings = two_groups(&world, &world.add_settled("billing"));
    let _function = world.start(&[("RDS_TETHER_CONFIG", &settings)]);
    let deep = "[".repeat(200) + &"]".repeat(200);
    let notice = json!({ "Event Source": null, "Event Message": "Notifications have been enabled" });
    for payload in [
        TICK.to_owned(),
        "null".to_owned(),
        "\"every minute\"".to_owned(),
        r#"{"Records":[]}"#.to_owned(),
        r#"{"command":"dance"}"#.to_owned(),
        sns(&notice).to_string(),
        // What JSON allows and no reader of it takes.
        format!("{{\"detail\":{deep}}}"),
        deep,
        "-1e999".to_owned(),
        r#"{"text":"\ud800"}"#.to_owned(),
    ] {
        let looks = world.looks();
        let names = woken(&world, &payload);
        assert_eq!(names, ["orders", "billing"], "{payload}");
        assert_eq!(world.looks(), looks + 2, "{payload}");
    }
}

/// Fails if one of the envelopes that the library reads does not arrive, or is an error.
#[test]
fn every_fixture_is_answered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/events");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let fixtures: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|name| name == "json"))
        .collect();
    assert!(!fixtures.is_empty(), "no fixtures: this test looks at nothing");
    // Some make it look until the deadline.
    at_once(fixtures.chunks(fixtures.len().div_ceil(8)), |fixtures| {
        let world = World::settled();
        let _function = world.bound(WRITER, "10m");
        for path in fixtures {
            let looks = world.looks();
            let report = world.ask(&fs::read_to_string(path).unwrap(), SOME);
            assert_eq!(report["settled"], true, "{}: {report}", path.display());
            assert_eq!(world.looks(), looks + 1, "{}", path.display());
        }
    });
}

#[track_caller]
fn assert_woken(world: &World, event: &Value, names: &[&str]) {
    assert_eq!(woken(world, &event.to_string()), names, "{event}");
}

/// The names of the groups in the response, which must be the report of a settled world.
#[track_caller]
fn woken(world: &World, payload: &str) -> Vec<String> {
    let report = world.ask(payload, LONG);
    assert_eq!(report["schema"], "rds-tether/1", "{payload}: {report}");
    assert_eq!(report["verb"], "lambda");
    assert_eq!(report["exit_code"], 0, "{payload}: {report}");
    assert_eq!(report["settled"], true);
    let groups = report["target_groups"].as_array().unwrap();
    for group in groups {
        assert_eq!(group["applied"], true);
        assert_eq!(texts(&group["targets"], "target"), [format!("{OLD}:5432")]);
        assert_eq!(texts(&group["endpoints"][0]["addresses"], ""), [OLD]);
    }
    texts(&report["target_groups"], "name")
}

/// Fails if a person who only asks changes something, or is not told what would be changed.
#[test]
fn plan_and_status_write_nothing() {
    let world = World::failed_over();
    world.set_tag("left by somebody");
    let function = world.bound(WRITER, "0s");
    for command in ["plan", "status"] {
        let report = world.ask(&json!({ "command": command }).to_string(), LONG);
        assert_eq!(report["settled"], false);
        let group = &report["target_groups"][0];
        assert_eq!(texts(&group["register"], ""), [format!("{NEW}:5432")]);
        assert_eq!((&group["applied"], &group["pending"]), (&false.into(), &true.into()));
    }
    assert_eq!(world.elb.writes().len(), 0, "{}", world.story());
    assert_eq!(
        function.stdout(),
        [""; 0],
        "a look that may change nothing measures nothing"
    );
}

/// Fails if `sync` ends before everything is settled, although there is time.
#[test]
fn sync_converges() {
    let world = World::failed_over();
    let _function = world.bound(WRITER, "3s");
    let report = world.ask(r#"{"command":"sync"}"#, LONG);
    assert_eq!(
        (&report["settled"], &report["exit_code"]),
        (&true.into(), &0.into()),
        "{report}"
    );
    assert_eq!(world.addresses(), [NEW]);
    assert_eq!(world.changes(), ["Register 10.0.2.7:5432", "Deregister 10.0.1.5:5432"]);
}

/// Six megabytes, the most that Lambda hands over, in the smallest records that there are, and what they are of where each is text in
/// text: a function of 128 MB has to live with it.
#[test]
fn the_largest_event_fits_into_the_smallest_function() {
    const EVENT_BYTES: usize = 6 << 20;
    const MEMORY_KIB: u64 = 100 << 10;
    let world = World::settled();
    let function = world.bound(WRITER, "5m");
    let list = |record: &str| format!("[{}]", vec![record; (EVENT_BYTES - 2) / (record.len() + 1)].join(","));
    for payload in [
        list("{}"),
        list("[]"),
        list("{\"Sns\":{\"Message\":\"{}\"}}"),
        list("{\"body\":\"[[1]]\"}"),
        serde_json::to_string(&list("{}")).unwrap(),
    ] {
        world.ask(&payload, LONG);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", function.id())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most: u64 = most.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(most < MEMORY_KIB, "{most} KiB");
}

//! Metrics and logs.

use std::time::Duration;

use serde_json::Value;
use testkit::dns::Behaviour;
use testkit::elb::Failure;
use testkit::lambda::Function;

use testkit::function::*;

/// The last of that many lines of standard output, each of which must be one of CloudWatch's embedded metric format.
#[track_caller]
fn last_metrics(function: &Function, count: usize) -> Value {
    let mut lines = metrics(function, count);
    assert_eq!(lines.len(), count, "a line for each invocation");
    for line in &lines {
        let about = &line["_aws"];
        let millis = about["Timestamp"].as_u64().unwrap();
        assert!(secs_ago(Duration::from_secs(60)) < millis / 1000 && millis / 1000 <= secs_ago(Duration::ZERO));
        let [directive] = &about["CloudWatchMetrics"].as_array().unwrap()[..] else {
            panic!("{line}");
        };
        assert_eq!(directive["Namespace"], "RdsTether");
        assert_eq!(directive["Dimensions"], serde_json::json!([["TargetGroup"]]));
        assert!(line["TargetGroup"].is_string(), "{line}");
        let names = texts(&directive["Metrics"], "Name");
        assert!(names.iter().all(|name| line[name].is_number()), "{line}");
        let units = texts(&directive["Metrics"], "Unit");
        assert!(units.iter().all(|unit| unit == "Count" || unit == "Seconds"), "{line}");
        assert_eq!(names[..4], ["InSync", "AddressChanges", "Holds", "ReconcileErrors"]);
    }
    lines.remove(count - 1)
}

fn counts(line: &Value) -> [u64; 4] {
    ["InSync", "AddressChanges", "Holds", "ReconcileErrors"].map(|name| line[name].as_u64().unwrap())
}

/// What there are alarms on besides.
fn alarmed(line: &Value) -> [u64; 4] {
    ["Refused", "Denied", "Unresolved", "HealthyTargets"].map(|name| line[name].as_u64().unwrap())
}

/// Fails if CloudWatch could not read the lines, or would read wrong values.
#[test]
fn metrics_are_embedded_in_standard_output() {
    let world = World::settled();
    let function = world.bound(WRITER, "2s");
    let invocation = world.runtime.invoke(TICK, LONG);
    world.answer(&invocation);
    let settled = last_metrics(&function, 1);
    assert_eq!(settled["RequestId"], invocation.id());
    assert_eq!(settled["TargetGroup"], "orders");
    assert_eq!(counts(&settled), [1, 0, 0, 0]);
    assert_eq!(settled["ConvergenceSeconds"], Value::Null);
    assert_eq!(alarmed(&settled), [0, 0, 0, 1]);

    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.ask(TICK, LONG);
    let converged = last_metrics(&function, 2);
    assert_eq!(counts(&converged), [1, 1, 0, 0]);
    let seconds = converged["ConvergenceSeconds"].as_f64().unwrap();
    assert!((2.0..20.0).contains(&seconds), "{seconds}");

    world.dns.set(WRITER, Behaviour::NxDomain);
    world.ask_in_vain(TICK, SOME);
    let [in_sync, changes, holds, errors] = counts(&last_metrics(&function, 3));
    assert_eq!((in_sync, changes, holds), (0, 0, 1));
    assert!(errors >= 1);
    let unresolved = last_metrics(&function, 3);
    assert_eq!(alarmed(&unresolved)[..3], [0, 0, 1]);

    world.dns.set(WRITER, Behaviour::a("8.8.8.8", 1));
    world.ask_in_vain(TICK, SOME);
    let refused = alarmed(&last_metrics(&function, 4));
    assert_eq!(refused[..3], [1, 0, 0], "a public address is refused, and was resolved");

    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let denied = Failure::denied("DescribeTargetHealth");
    world.elb.fail("DescribeTargetHealth", denied, None);
    world.ask_in_vain(TICK, SOME);
    let denied = last_metrics(&function, 5);
    assert_eq!(denied["Denied"], 1);
    assert_eq!(denied["HealthyTargets"], Value::Null, "nobody knows");
}

/// Fails if a log line cannot be found by its request, or if an invocation ends without a word.
#[test]
fn logs_are_json_lines_with_the_request_id() {
    let world = World::failed_over();
    let function = world.bound(WRITER, "1s");
    for (payload, last) in [
        (TICK, "done: 1 of 1 target groups settled"),
        (r#"{"command":"plan"}"#, "done: 1 of 1 target groups settled"),
        ("null", "failed: orders: DescribeTargetHealth failed"),
    ] {
        if last.starts_with("failed") {
            let denied = Failure::denied("DescribeTargetHealth");
            world.elb.fail("DescribeTargetHealth", denied, None);
        }
        let invocation = world.runtime.invoke(payload, LONG);
        invocation.wait(LONG);
        let lines = log(&function, invocation.id());
        assert!(
            lines
                .iter()
                .all(|line| line["timestamp"].is_string() && line["level"].is_string())
        );
        let messages = texts(&lines.into(), "message");
        assert!(messages[0].starts_with("woken by "), "{messages:?}");
        assert!(messages.last().unwrap().starts_with(last), "{messages:?}");
    }
    // The answer to one more comes after all that was said about the others.
    world.elb.heal();
    world.ask(r#"{"command":"status"}"#, LONG);
    for line in function.stderr() {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line["span"]["request_id"].is_string(), "{line}");
    }
}

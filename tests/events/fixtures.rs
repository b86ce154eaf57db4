//! Each fixture and what it is read as.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rds_tether::function::event::{Command, Phase, Scope, Source};
use serde_json::Value;

use super::invariants;

/// The name of a fixture's file, without its extension, and its content.
pub struct Fixture {
    pub name: String,
    pub text: String,
    pub payload: Value,
}

/// All fixtures, of which there must be some.
pub fn all() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let files = fs::read_dir(folder)
        .expect("the fixtures")
        .map(|entry| entry.expect("a file").path());
    let mut fixtures: Vec<Fixture> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let payload = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .expect("UTF-8")
                .to_owned();
            Fixture { name, text, payload }
        })
        .collect();
    fixtures.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(!fixtures.is_empty(), "no fixtures: this test looks at nothing");
    fixtures
}

/// What the fixture of this name is read as.
struct Read {
    name: &'static str,
    phase: Phase,
    /// `all`, or `instance NAME`, `cluster NAME`, `proxy NAME`, separated by commas.
    scope: &'static str,
    /// In RFC 3339, empty for none.
    at: &'static str,
    command: Option<Command>,
    /// A part of the reason.
    reason: &'static str,
}

const fn read(name: &'static str, phase: Phase, scope: &'static str, at: &'static str, reason: &'static str) -> Read {
    Read {
        name,
        phase,
        scope,
        at,
        command: None,
        reason,
    }
}

const fn asks(name: &'static str, command: Command, reason: &'static str) -> Read {
    Read {
        name,
        phase: Phase::Other,
        scope: "all",
        at: "",
        command: Some(command),
        reason,
    }
}

const fn unknown(name: &'static str, reason: &'static str) -> Read {
    read(name, Phase::Other, "all", "", reason)
}

use Phase::{Complete, DnsChanged, Other, Start};

/// When the events of the fixtures happened, as they say with and without milliseconds.
const AT: &str = "2026-11-23T06:40:01.217Z";
const AT_SECOND: &str = "2026-11-23T06:40:01Z";

#[rustfmt::skip]
const READ: &[Read] = &[
    // EventBridge to Lambda.
    read("bridge-instance-started", Start, "instance orders-1", AT, "RDS-EVENT-0013 RDS DB Instance Event of orders-1: The failover"),
    read("bridge-instance-completed", Complete, "instance orders-1", "2026-11-23T06:40:39.217Z", "RDS-EVENT-0049"),
    read("bridge-instance-restarted", Other, "instance orders-1", AT, "RDS-EVENT-0006"),
    read("bridge-cluster-started", Start, "cluster orders", AT, "RDS-EVENT-0073"),
    read("bridge-cluster-completed", Complete, "cluster orders", "2026-11-23T06:40:21.217Z", "RDS-EVENT-0071"),
    read("bridge-cluster-topology", DnsChanged, "cluster orders", AT, "RDS-EVENT-0385"),
    read("bridge-global-writer", DnsChanged, "cluster orders", AT, "RDS-EVENT-0397"),
    read("bridge-proxy", Other, "proxy orders-pool", AT, "RDS DB Proxy Event of orders-pool"),
    read("bridge-blue-green-started", Start, "all", AT, "RDS-EVENT-0247 RDS Blue Green Deployment Event"),
    read("bridge-blue-green-completed", Complete, "all", AT, "RDS-EVENT-0248"),
    read("bridge-blue-green-of-instance", Start, "all", AT, "RDS-EVENT-0250"),
    read("bridge-shard-group", Other, "all", AT, "RDS DB Shard Group Event"),
    read("bridge-neptune-cluster", Start, "cluster graph", AT, "of graph"),
    read("bridge-documentdb-instance", Other, "instance documents-1", AT, "of documents-1"),
    read("bridge-snapshot", Other, "all", AT, "RDS DB Snapshot Event"),
    read("bridge-rds-prefix", Complete, "cluster orders", AT, "of rds:Orders"),
    read("bridge-without-event-id", Other, "instance orders-1", AT, "RDS DB Instance Event of orders-1"),
    read("bridge-without-arn", Start, "instance orders-1", AT, "RDS-EVENT-0013"),
    read("bridge-without-identifier", Start, "instance orders-1", AT, "RDS-EVENT-0013 RDS DB Instance Event: The"),
    read("bridge-without-source", Start, "all", AT, "RDS-EVENT-0013"),
    read("bridge-without-tags", Start, "instance orders-1", AT, "RDS-EVENT-0013"),
    read("bridge-without-date", Start, "instance orders-1", AT_SECOND, "RDS-EVENT-0013"),
    read("bridge-without-time", Start, "instance orders-1", "", "RDS-EVENT-0013"),
    read("bridge-without-message", Start, "instance orders-1", AT, "of orders-1"),
    read("bridge-empty-detail", Other, "all", AT_SECOND, "RDS DB Instance Event"),
    read("bridge-drill", Other, "all", AT_SECOND, "RDS DB Instance Event of drill.rds"),
    read("bridge-control-characters", Start, "instance orders-1", AT, "first line  {\"level\":\"ERROR\"} [2K  reversed"),
    // Schedules.
    read(
        "bridge-tag-change",
        Other,
        "all",
        "2026-11-23T06:41:00Z",
        "Tag Change on Resource of aws.tag",
    ),
    read("tick-rule", Other, "all", "2026-11-23T06:41:00Z", "Scheduled Event of aws.events"),
    read("tick-scheduler", Other, "all", "2026-11-23T06:41:00Z", "Scheduled Event of aws.scheduler"),
    unknown("input-scheduler", "unknown form"),
    // SNS to Lambda.
    read("sns-bridge", Start, "cluster orders", AT, "RDS-EVENT-0073 RDS DB Cluster Event of orders"),
    read("sns-subscription-instance", Start, "instance orders-1", AT, "RDS-EVENT-0013 db-instance of orders-1: The failover"),
    read("sns-subscription-cluster", Complete, "cluster orders", AT, "RDS-EVENT-0071 db-cluster of orders"),
    read("sns-subscription-proxy", Other, "proxy orders-pool", AT, "db-proxy of orders-pool"),
    read("sns-subscription-blue-green", Complete, "all", AT, "RDS-EVENT-0248 blue-green-deployment"),
    read("sns-subscription-without-arn", Start, "instance orders-1", AT, "RDS-EVENT-0013"),
    read("sns-subscription-without-event-id", Other, "instance orders-1", AT, "db-instance of orders-1"),
    read("sns-subscription-without-event-source", Start, "all", AT, "RDS-EVENT-0013 RDS event of orders-1"),
    unknown("sns-subscription-bare", "db-instance"),
    unknown("sns-test-message", "a message that is no event"),
    unknown("sns-notice", "a message that is no event"),
    // SQS to Lambda.
    read("sqs-bridge", Start, "cluster orders", AT, "RDS-EVENT-0073"),
    read("sqs-subscription", Start, "instance orders-1", AT, "RDS-EVENT-0013"),
    read("sqs-sns-bridge", Start, "cluster orders", AT, "RDS-EVENT-0073"),
    read("sqs-sns-subscription", Complete, "cluster orders", AT, "RDS-EVENT-0071"),
    unknown("sqs-sns-test-message", "a message that is no event"),
    unknown("sqs-subscription-confirmation", "a notice about a subscription"),
    unknown("sqs-unsubscribe-confirmation", "a notice about a subscription"),
    unknown("sqs-text", "a message that is no event"),
    asks("sqs-command", Command::Sync, "the command sync"),
    unknown("sqs-empty", "unknown form"),
    read("sqs-duplicates", Complete, "instance orders-1", "2026-11-23T06:40:39.217Z", "RDS-EVENT-0049"),
    read("sqs-mixed", Start, "cluster orders, instance billing-1", AT, "of orders: The failover is over.; RDS-EVENT-0073"),
    read("sqs-mixed-with-text", Start, "all", AT, "; a message that is no event"),
    read("sqs-plan-beside-event", Start, "all", AT, "the command plan; RDS-EVENT-0073"),
    read("sqs-start-without-time-beside-old-event", Start, "cluster orders, instance orders-1", "", "RDS-EVENT-0013"),
    // A person.
    asks("command-plan", Command::Plan, "the command plan"),
    asks("command-sync", Command::Sync, "the command sync"),
    asks("command-status", Command::Status, "the command status"),
    asks("command-in-capitals", Command::Plan, "the command plan"),
    asks("command-as-text", Command::Status, "the command status"),
    unknown("command-unknown", "the unknown command plam"),
    // What pipes, input paths and input transformers make of it.
    read("input-pipe", Start, "cluster orders, instance orders-1", AT, "RDS-EVENT-0073"),
    read("input-detail", Complete, "instance orders-1", "2026-11-23T06:40:39.217Z", "RDS-EVENT-0049 RDS event of orders-1"),
    read("input-json-as-text", Complete, "instance orders-1", "2026-11-23T06:40:39.217Z", "RDS-EVENT-0049"),
    read("input-list-of-events", Start, "cluster orders, instance billing-1", AT, "; RDS-EVENT-0006"),
    unknown("input-list", "a message that is no event"),
    unknown("input-object", "unknown form"),
    unknown("input-text", "unknown form"),
    unknown("input-empty-text", "unknown form"),
    unknown("input-null", "unknown form"),
    unknown("input-number", "unknown form"),
    unknown("input-true", "unknown form"),
    unknown("input-empty-object", "unknown form"),
    unknown("input-empty-list", "unknown form"),
    // What nobody sends.
    read("odd-without-detail", Other, "all", AT_SECOND, "RDS DB Instance Event"),
    unknown("odd-wrong-types", "RDS DB Instance Event"),
    unknown("odd-envelope-of-wrong-types", "unknown form"),
    read("odd-notification", Start, "instance orders-1", AT, "RDS-EVENT-0013"),
    unknown("odd-text-in-text", "unknown form"),
    unknown("odd-deep", "unknown form"),
    asks("odd-duplicate-keys", Command::Sync, "the command sync"),
    unknown("odd-huge-numbers", "a message that is no event; db-instance"),
];

#[test]
fn every_fixture_is_read_as_what_it_is() {
    let mut wrong = Vec::new();
    for fixture in all() {
        let Some(expect) = READ.iter().find(|read| read.name == fixture.name) else {
            wrong.push(format!("{}.json: say in READ what it is read as", fixture.name));
            continue;
        };
        let doorbell = invariants::check(&fixture.payload);
        let at = (!expect.at.is_empty()).then(|| expect.at.parse::<jiff::Timestamp>().expect(expect.at));
        let millis = at.map(|at| u64::try_from(at.as_millisecond()).expect("after 1970"));
        let is_right = (doorbell.phase, doorbell.command) == (expect.phase, expect.command)
            && doorbell.scope == scope(expect.scope)
            && doorbell.at.map(|at| at.as_millis()) == millis
            && doorbell.reason.contains(expect.reason);
        if !is_right {
            wrong.push(format!("{}.json is read as {doorbell:?}", fixture.name));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_row_has_its_fixture() {
    let there: BTreeSet<String> = all().into_iter().map(|fixture| fixture.name).collect();
    let rows: BTreeSet<String> = READ.iter().map(|read| read.name.to_owned()).collect();
    assert_eq!(rows.len(), READ.len(), "a fixture has two rows");
    assert_eq!(rows, there);
}

fn scope(text: &str) -> Scope {
    let source = |text: &str| match text.split_once(' ') {
        Some(("instance", name)) => Source::Instance(name.to_owned()),
        Some(("cluster", name)) => Source::Cluster(name.to_owned()),
        Some(("proxy", name)) => Source::Proxy(name.to_owned()),
        _ => panic!("{text:?} is no source"),
    };
    match text {
        "all" => Scope::All,
        _ => Scope::Sources(text.split(", ").map(source).collect()),
    }
}

//! The dashboards and alarms of deploy/ speak of what there is, under the names that it has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::metrics::eventful;
use super::scrape::Scrape;
use super::site::Site;

const DASHBOARD: &str = include_str!("../../deploy/grafana/rds-tether.json");
const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yml");
const ALERTS_TEST: &str = include_str!("../../deploy/prometheus/alerts_test.yml");
const ALARMS: &str = include_str!("../../deploy/cloudwatch/alarms.json");
const EMF: &str = include_str!("../../lambda/src/emf.rs");

/// A metric as an expression asks for it: its name, and each label with the values it is compared with.
struct Asked {
    name: String,
    labels: Vec<(String, String)>,
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The metrics that a text of PromQL asks for.
fn asked(text: &str) -> Vec<Asked> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("rds_tether_") {
        let rest = &text[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let matchers = after
            .strip_prefix('{')
            .and_then(|rest| rest.split('}').next())
            .unwrap_or_default();
        let labels = matchers.split(',').filter_map(|matcher| {
            let (label, value) = matcher.split_once('=')?;
            Some((
                label.trim().trim_end_matches('!').to_owned(),
                value.trim_matches(['~', '"', '\'', ' ']).to_owned(),
            ))
        });
        found.push(Asked {
            name: name.to_owned(),
            labels: labels.collect(),
        });
    }
    found
}

/// The labels that are kept or compared by: `by (a, b)`, and `{{a}}` and `{{ $labels.a }}` of texts.
fn labels_named(text: &str) -> BTreeSet<String> {
    let lists = text.split(" by (").skip(1).filter_map(|rest| rest.split(')').next());
    let mut labels: BTreeSet<String> = lists
        .flat_map(|list| list.split(','))
        .map(|label| label.trim().to_owned())
        .collect();
    for rest in text.split("{{").skip(1) {
        let label = rest
            .split("}}")
            .next()
            .unwrap_or_default()
            .trim()
            .trim_start_matches("$labels.");
        labels.insert(label.to_owned());
    }
    labels
}

/// Every text of a JSON document under this key.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let (true, Some(text)) = (name == key, value.as_str()) {
                    found.push(text);
                }
                texts(value, key, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, key, found)),
        _ => {}
    }
}

/// Everything that the dashboard asks for, line by line.
fn dashboard() -> String {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
    let mut found = Vec::new();
    for key in ["expr", "legendFormat", "definition"] {
        texts(&dashboard, key, &mut found);
    }
    assert!(found.len() > 40, "{found:?}");
    found.join("\n")
}

/// The rules alone: comments and tests speak of nothing else.
fn rules() -> String {
    let lines = ALERTS.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// Fails if a dashboard, an alert or its test asks for a metric, a label or a value that there is not, or if there is a metric
/// that none of them uses.
#[test]
fn dashboards_and_alerts_ask_for_what_there_is() {
    let (settled, eventful) = (Site::settled(), eventful());
    settled.wait_for_status("/settled", true);
    let scrapes = [Scrape::of(&settled), Scrape::of(&eventful)];
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for sample in scrapes.iter().flat_map(|scrape| &scrape.samples) {
        labels
            .entry(&sample.name)
            .or_default()
            .extend(sample.labels.keys().map(String::as_str));
    }
    let sources = [
        include_str!("../../src/telemetry/metrics.rs"),
        include_str!("../../src/counts.rs"),
        include_str!("../../src/planner/plan.rs"),
        include_str!("../../src/planner/target.rs"),
    ];
    let mut used = BTreeSet::new();
    for (file, text) in [
        ("dashboard", dashboard()),
        ("alerts", rules()),
        ("their tests", ALERTS_TEST.to_owned()),
    ] {
        let all = asked(&text);
        assert!(all.len() >= 9, "{file}: this test looks at nothing");
        for Asked { name, labels: matchers } in all {
            let known = labels
                .get(name.as_str())
                .unwrap_or_else(|| panic!("{file}: there is no {name}"));
            for (label, value) in matchers {
                let is_scraped = ["instance", "job"].contains(&label.as_str());
                assert!(
                    known.contains(label.as_str()) || is_scraped,
                    "{file}: {name} has no label {label}"
                );
                let of_closed_set = ["state", "reason", "outcome"].contains(&label.as_str());
                for value in value.split('|').filter(|_| of_closed_set) {
                    let quoted = format!("\"{value}\"");
                    assert!(
                        sources.iter().any(|source| source.contains(&quoted)),
                        "{file}: no {label} is {value}"
                    );
                }
            }
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|ending| name.strip_suffix(ending));
            used.insert(family.unwrap_or(&name).to_owned());
        }
        let all_labels: BTreeSet<&str> = labels.values().flatten().copied().chain(["instance"]).collect();
        for label in labels_named(&text) {
            assert!(
                all_labels.contains(label.as_str()),
                "{file}: nothing has the label {label}"
            );
        }
    }
    let families = scrapes.iter().flat_map(|scrape| scrape.families.keys());
    let unused: Vec<&String> = families.filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "no dashboard and no alert uses {unused:?}");
}

/// Fails if an alert does not say what to do in one line, or has no test.
#[test]
fn each_alert_says_what_to_do_and_is_tested() {
    let alerts: Vec<&str> = ALERTS.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 6, "this test looks at nothing");
    for alert in alerts {
        let name = alert.lines().next().expect("a name");
        for key in ["summary: ", "action: "] {
            assert_eq!(alert.matches(key).count(), 1, "{name}: {key}");
        }
        let tested = |exp: &str| {
            let cases = ALERTS_TEST.split("alertname: ").skip(1);
            cases
                .filter(|case| case.starts_with(&format!("{name}\n")) && case.contains(exp))
                .count()
        };
        assert!(
            tested("exp_alerts: []") > 0,
            "{name}: no test shows that it stays quiet"
        );
        assert!(tested("exp_labels") > 0, "{name}: no test shows that it fires");
    }
}

/// Fails if an alarm waits for a metric that the function does not write, or under another dimension.
#[test]
fn alarms_are_on_what_the_function_writes() {
    let template: Value = serde_json::from_str(ALARMS).expect("the template is JSON");
    let alarms = template["Resources"].as_object().expect("resources");
    let wanted = ["Denied", "Drift", "NoServingTarget", "NotResolving", "Refused", "Stale"];
    assert_eq!(alarms.keys().map(String::as_str).collect::<Vec<_>>(), wanted);
    for (name, alarm) in alarms {
        let properties = &alarm["Properties"];
        let text = |key: &str| properties[key].as_str().unwrap_or_else(|| panic!("{name}: no {key}"));
        assert_eq!(alarm["Type"], "AWS::CloudWatch::Alarm", "{name}");
        assert!(
            EMF.contains(&format!("const NAMESPACE: &str = \"{}\"", text("Namespace"))),
            "{name}"
        );
        assert!(EMF.contains(&format!("(\"{}\", \"", text("MetricName"))), "{name}");
        let dimensions = properties["Dimensions"].as_array().expect("dimensions");
        let names: Vec<&str> = dimensions
            .iter()
            .filter_map(|dimension| dimension["Name"].as_str())
            .collect();
        assert!(
            EMF.contains(&format!("\"Dimensions\": [{names:?}]")),
            "{name}: {names:?}"
        );
        assert!(
            EMF.contains("\"TargetGroup\": report.binding.arn.name()"),
            "the dimension is the group's name"
        );
        assert_eq!(dimensions[0]["Value"]["Ref"], "TargetGroup", "{name}");
        assert!(
            text("AlarmDescription").contains(". "),
            "{name}: what is wrong, and what to do"
        );
        assert_eq!(text("TreatMissingData") == "breaching", name == "Stale", "{name}");
    }
}

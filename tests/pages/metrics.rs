//! `/metrics`: names and labels by Prometheus' rules, and the values that operators alarm on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use testkit::dns::Behaviour;
use testkit::elb::Failure;
use testkit::pages::{Page, code};

use super::scrape::Scrape;
use super::site::{PROXIED, Site};
use super::world::*;

/// A site on which everything that is measured has happened.
pub fn eventful() -> Site {
    let site = Site::led();
    site.wait_for_status("/settled", true);
    site.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    site.wait_for("the failover is over", |site| {
        let scrape = Scrape::of(site);
        scrape.value("rds_tether_convergence_seconds_count", &[("phase", "converge")])
    });
    site.world.dns.set(WRITER, Behaviour::ServFail);
    site.world.elb.put_target(&site.world.arn, "10.0.3.9", 5432);
    site.wait_for("blindness is seen", |site| {
        Scrape::of(site).value("rds_tether_holds", &[("reason", "blind")])
    });
    site.wait_for_status("/proxies/0/ready", true);
    site.wait_for_status("/discover/0/tagged", 0);
    site
}

/// The values that a label can have, or that it is one of a few that the settings name.
fn is_allowed(label: &str, value: &str) -> bool {
    let one_of = |words: &[&str]| words.contains(&value);
    match label {
        "target_group" => value.starts_with("targetgroup/orders/"),
        "endpoint" => value == format!("{WRITER}:5432") || value.starts_with(PROXIED),
        "says" => one_of(&rds_tether::planner::lead::Says::WORDS),
        "listen" | "resolver" => value.starts_with("127."),
        "version" => value == env!("CARGO_PKG_VERSION"),
        "region" => value == "eu-west-1",
        "role" => value == "arn:aws:iam::111122223333:role/tether",
        "direction" => one_of(&["up", "down"]),
        "change" => one_of(&["register", "deregister"]),
        "phase" => one_of(&["register", "healthy", "deregister", "converge"]),
        "state" => one_of(&rds_tether::planner::target::State::WORDS),
        "reason" => one_of(&[
            "blind",
            "forgetting",
            "awaits_replacement",
            "few_answers",
            "unhealthy",
            "unused",
        ]),
        "operation" => one_of(&[
            "DescribeTargetGroups",
            "DescribeTargetHealth",
            "DescribeTags",
            "RegisterTargets",
            "DeregisterTargets",
        ]),
        "outcome" => one_of(&[
            "settled",
            "unsettled",
            "unavailable",
            "ok",
            "answer",
            "servfail",
            "taken",
            "sent",
            "failed",
            "dropped",
            "refused",
        ]),
        "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
        _ => false,
    }
}

/// Fails if a name or a label breaks the rules that dashboards and Prometheus' own tools go by, or if a target's address,
/// of which there is no end, becomes a label.
#[test]
fn names_and_labels_follow_the_rules() {
    let site = eventful();
    let scrape = Scrape::of(&site);
    assert!(scrape.families.len() >= 20, "{}", scrape.text);
    let mut seen = BTreeSet::new();
    for (name, (kind, help)) in &scrape.families {
        assert!(name.starts_with("rds_tether_"), "{name}");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        let units = [
            "_ms",
            "milli",
            "minute",
            "hour",
            "_kb",
            "kilo",
            "mib",
            "percent",
            "_age",
            "_ago",
            "_since_seconds",
        ];
        assert!(
            !units.iter().any(|unit| name.contains(unit)),
            "{name}: base units, absolute times"
        );
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        assert!(
            help.len() > 10 && help.starts_with(char::is_uppercase) && !help.ends_with(".."),
            "{name}: {help}"
        );
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    for sample in &scrape.samples {
        let (family, kind) = scrape.family(sample);
        seen.insert(family.to_owned());
        for (label, value) in &sample.labels {
            assert!(is_allowed(label, value), "{label}={value:?} of {}", sample.name);
            assert!(!value.contains(OLD) && !value.contains(NEW), "{sample:?}");
        }
        assert!(sample.value >= 0.0 || kind == "gauge", "{sample:?}");
        if family.ends_with("_timestamp_seconds") {
            assert!((now - 600.0..=now + 1.0).contains(&sample.value), "{sample:?} at {now}");
        }
    }
    assert_eq!(seen.len(), scrape.families.len(), "described, but without a value");
    let mut series: Vec<String> = scrape
        .samples
        .iter()
        .map(|s| format!("{} {:?}", s.name, s.labels))
        .collect();
    let all = series.len();
    series.sort();
    series.dedup();
    assert_eq!(series.len(), all, "the same series twice");
}

/// Fails if the figures of a failover are not what happened.
#[test]
fn a_failover_is_counted_and_timed() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    let before = Scrape::of(&site);
    // An increase from nothing is none to Prometheus, so what is alarmed on is there from the start.
    for change in ["register", "deregister"] {
        let value = before.value("rds_tether_address_changes_total", &[("change", change)]);
        assert_eq!(value, Some(0.0), "{change}: {}", before.text);
    }
    for outcome in ["taken", "refused"] {
        let value = before.value("rds_tether_settings_reloads_total", &[("outcome", outcome)]);
        assert_eq!(value, Some(0.0), "{outcome}");
    }
    assert_eq!(before.value("rds_tether_in_sync", &[]), Some(1.0));
    assert_eq!(before.value("rds_tether_targets", &[("state", "healthy")]), Some(1.0));
    assert_eq!(before.value("rds_tether_targets", &[("state", "draining")]), Some(0.0));
    assert_eq!(before.value("rds_tether_holds", &[]), None, "nothing is held");

    site.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let after = site.wait_for("the failover is over", |site| {
        let scrape = Scrape::of(site);
        scrape
            .value("rds_tether_convergence_seconds_count", &[("phase", "converge")])
            .map(|_| scrape)
    });
    for change in ["register", "deregister"] {
        let value = after.value("rds_tether_address_changes_total", &[("change", change)]);
        assert_eq!(value, Some(1.0), "{change}");
        let count = after.value("rds_tether_convergence_seconds_count", &[("phase", change)]);
        assert_eq!(count, Some(1.0), "{change}");
    }
    let took = after
        .value("rds_tether_convergence_seconds_sum", &[("phase", "converge")])
        .unwrap();
    assert!(
        (1.0..PATIENCE.as_secs_f64()).contains(&took),
        "forget is 1 s, and it took {took}"
    );
    let since = |scrape: &Scrape| scrape.value("rds_tether_in_sync_since_timestamp_seconds", &[]).unwrap();
    assert!(since(&after) > since(&before));
    let calls = |action| {
        after.value(
            "rds_tether_aws_calls_total",
            &[("operation", action), ("outcome", "ok")],
        )
    };
    assert_eq!(calls("RegisterTargets"), Some(1.0));
    assert_eq!(calls("DeregisterTargets"), Some(1.0));
    let timed = after.value(
        "rds_tether_aws_call_duration_seconds_count",
        &[("operation", "RegisterTargets")],
    );
    assert_eq!(timed, Some(1.0));
}

/// Fails if the times that staleness is alarmed on vanish, or go on, in the very moment in which something fails.
#[test]
fn what_fails_leaves_the_time_at_which_it_last_worked() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    let denied = Failure::denied("DescribeTargetHealth");
    site.world.elb.fail("DescribeTargetHealth", denied, None);
    site.world.dns.set(
        WRITER,
        Behaviour::Sequence(vec![Behaviour::a(NEW, 1), Behaviour::NxDomain]),
    );
    let denials = |scrape: &Scrape| {
        scrape
            .value("rds_tether_steps_total", &[("outcome", "denied")])
            .unwrap_or(0.0)
    };
    let scrape = site.wait_for("denied and blind", |site| {
        let is_blind = !site.status()["target_groups"][0]["endpoints"][0]["blind"].is_null();
        let scrape = Scrape::of(site);
        (is_blind && denials(&scrape) > 0.0).then_some(scrape)
    });
    assert_eq!(scrape.value("rds_tether_in_sync", &[]), Some(0.0));
    assert_eq!(scrape.value("rds_tether_in_sync_since_timestamp_seconds", &[]), None);
    assert!(
        scrape
            .value("rds_tether_holds", &[("reason", "group_unseen")])
            .is_some()
    );
    let times = [
        "rds_tether_last_description_timestamp_seconds",
        "rds_tether_last_answer_timestamp_seconds",
    ];
    let before = times.map(|name| scrape.value(name, &[]).unwrap_or_else(|| panic!("no {name}")));
    let again = site.wait_for("it is denied again", |site| {
        let again = Scrape::of(site);
        (denials(&again) > denials(&scrape)).then_some(again)
    });
    assert_eq!(times.map(|name| again.value(name, &[]).unwrap()), before);
}

/// Fails if whoever is denied the group is told that the endpoint cannot be resolved.
#[test]
fn a_group_that_is_denied_from_the_start_is_no_blindness() {
    let world = World::new();
    let denied = Failure::denied("DescribeTargetGroups");
    world.elb.fail("DescribeTargetGroups", denied, None);
    let site = Site::of(world, "");
    let scrape = site.wait_for("it is denied", |site| {
        let scrape = Scrape::of(site);
        let denials = scrape.value("rds_tether_steps_total", &[("outcome", "denied")]);
        denials.is_some_and(|denials| denials > 0.0).then_some(scrape)
    });
    let holds = |reason| scrape.value("rds_tether_holds", &[("reason", reason)]);
    assert_eq!(holds("blind").unwrap_or_default(), 0.0);
    assert_eq!(holds("group_unseen"), Some(1.0));
    assert_eq!(holds("not_looked_at"), Some(1.0));
    let status = site.status();
    let holds = status["target_groups"][0]["holds"].to_string();
    assert!(holds.contains("not_looked_at") && !holds.contains("blind"), "{status}");
}

/// Fails if settings that are refused go unseen.
#[test]
fn reloads_are_counted_by_how_they_end() {
    let site = Site::settled();
    let loaded = Scrape::of(&site).value("rds_tether_settings_loaded_timestamp_seconds", &[]);
    site.daemon.signal("HUP");
    let taken = |site: &Site| {
        let scrape = Scrape::of(site);
        let count = scrape.value("rds_tether_settings_reloads_total", &[("outcome", "taken")]);
        (count == Some(1.0)).then_some(scrape)
    };
    let scrape = site.wait_for("the settings are read again", taken);
    assert_eq!(
        scrape.value("rds_tether_settings_reloads_total", &[("outcome", "refused")]),
        Some(0.0)
    );
    assert!(scrape.value("rds_tether_settings_loaded_timestamp_seconds", &[]) > loaded);
}

/// Fails if the page of metrics lacks one, has one more, or says another type, label or meaning; prints the rows to write.
#[test]
fn the_page_has_every_metric() {
    let (settled, eventful) = (Site::settled(), eventful());
    settled.wait_for_status("/settled", true);
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut families = BTreeMap::new();
    for scrape in [Scrape::of(&settled), Scrape::of(&eventful)] {
        for sample in &scrape.samples {
            let named = sample.labels.keys().filter(|label| *label != "le").cloned();
            labels
                .entry(scrape.family(sample).0.to_owned())
                .or_default()
                .extend(named);
        }
        families.extend(scrape.families);
    }
    let wanted = families.iter().map(|(name, (kind, help))| {
        let labels: Vec<String> = labels[name].iter().map(|label| format!("`{label}`")).collect();
        // The library ends a help with a stop, the page has none.
        let row = format!(
            "| `{name}` | {kind} | {} | {} |",
            labels.join(", "),
            help.trim_end_matches('.')
        );
        row.replace("|  |", "| |")
    });
    let wanted: Vec<String> = wanted.collect();
    let page = Page::read("docs/metrics.md");
    let section = page.section("## For Prometheus");
    let found: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(
        wanted.len() >= 20 && found[..wanted.len().min(found.len())] == wanted,
        "docs/metrics.md should have\n{}",
        wanted.join("\n")
    );
    // The table of labels follows.
    let explained = found[wanted.len()..].iter().map(|row| code(row));
    let explained: BTreeSet<&str> = explained.collect();
    assert_eq!(explained, labels.values().flatten().map(String::as_str).collect());
}

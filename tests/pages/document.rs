//! `/status`: the one document that the page, the verb and people's own tools read.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::dns::Behaviour;
use testkit::elb::Failure;

use super::site::{PROXIED, Site};
use super::world::*;

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

/// Fails if something that others read goes away. What is new is added to these lists.
#[test]
fn the_schema_only_grows() {
    let site = Site::settled();
    site.world.elb.put_target(&site.world.arn, NEW, 5432);
    let status = site.wait_for("something is held", |site| {
        let status = site.status();
        let is_held = status["target_groups"][0]["holds"]
            .as_array()
            .is_some_and(|holds| !holds.is_empty());
        is_held.then_some(status)
    });
    let has = |pointer: &str, names: &[&str]| {
        let value = status
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} in {status:#}"));
        assert_eq!(keys(value), names.iter().copied().collect(), "{pointer}");
    };
    has(
        "",
        &[
            "schema",
            "verb",
            "exit_code",
            "settled",
            "target_groups",
            "not_looked_at_yet",
            "version",
            "started",
            "at",
            "proxies",
            "changes",
            "dns",
        ],
    );
    has(
        "/target_groups/0",
        &[
            "arn",
            "name",
            "at",
            "listed",
            "role",
            "family",
            "protocol",
            "port",
            "vpc",
            "settled",
            "pending",
            "applied",
            "observe",
            "rules",
            "verdict",
            "endpoints",
            "targets",
            "register",
            "deregister",
            "registered",
            "deregistered",
            "holds",
            "notes",
            "errors",
            "in_sync_since",
            "removed_by_others",
            "nothing_serves",
            "is_trouble",
        ],
    );
    has(
        "/target_groups/0/endpoints/0",
        &[
            "endpoint",
            "follows_instance",
            "at",
            "addresses",
            "ttl_seconds",
            "blind",
            "blind_since",
            "last_addresses",
            "differ_since",
            "rotation",
            "name_servers",
        ],
    );
    has(
        "/target_groups/0/endpoints/0/name_servers/0",
        &["address", "addresses", "names", "ttl_seconds", "repeats", "failure"],
    );
    has(
        "/target_groups/0/targets/0",
        &["target", "zone", "state", "reason", "named", "dns", "last_named"],
    );
    has(
        "/target_groups/0/holds/0",
        &["what", "reason", "text", "until", "told_elsewhere", "is_trouble"],
    );
    has(
        "/proxies/0",
        &["listen", "endpoint", "addresses", "ready", "why", "rules", "counts"],
    );
    has(
        "/proxies/0/counts",
        &[
            "open",
            "held",
            "waited",
            "sessions",
            "refused",
            "cut",
            "silent",
            "redialled",
            "up",
            "down",
        ],
    );
    has("/changes/0", &["at", "subject", "text"]);
    assert_eq!(status["schema"], "rds-tether/1");
    assert_eq!(status["verb"], "status");
}

/// Fails if the document does not say what is, or does not follow a failover.
#[test]
fn the_document_follows_a_failover() {
    let site = Site::settled();
    let status = site.wait_for_status("/settled", true);
    let group = &status["target_groups"][0];
    assert_eq!(group["arn"], site.world.arn);
    assert_eq!(group["endpoints"][0]["name_servers"][0]["addresses"], json!([OLD]));
    assert_eq!(group["endpoints"][0]["name_servers"][0]["ttl_seconds"], 1);
    assert_eq!(group["targets"][0]["target"], format!("{OLD}:5432"));
    assert_eq!(group["targets"][0]["named"], true);
    assert_eq!(status["exit_code"], 0);
    assert_eq!(status["changes"], json!([]));
    assert_eq!(status["not_looked_at_yet"], json!([]));
    let since = group["in_sync_since"].as_str().expect("in sync since when").to_owned();

    site.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let status = site.wait_for("the failover is over", |site| {
        let status = site.status();
        let is_over = status["settled"] == true && !status["changes"].as_array().unwrap().is_empty();
        is_over.then_some(status)
    });
    let changes = status["changes"].to_string();
    assert_says(
        &changes,
        &[
            &format!("DNS names {NEW}:5432"),
            &format!("registered {NEW}:5432 after"),
            &format!("deregistered {OLD}:5432 after"),
            "converged after",
        ],
    );
    let group = &status["target_groups"][0];
    assert!(group["in_sync_since"].as_str().unwrap() > since.as_str(), "{group:#}");
    assert_eq!(group["endpoints"][0]["addresses"], json!([NEW]));
}

/// Fails if a proxy is not shown, or not as what it is.
#[test]
fn the_document_shows_the_proxies() {
    let site = Site::settled();
    let status = site.wait_for_status("/proxies/0/ready", true);
    let proxy = &status["proxies"][0];
    let port = site.database.local_addr().unwrap().port();
    assert_eq!(proxy["endpoint"], format!("{PROXIED}:{port}"));
    assert_eq!(proxy["addresses"], json!(["127.0.0.1"]));
    assert_says(proxy["why"].as_str().unwrap(), &["127.0.0.1 accepted a connection"]);
}

/// Fails if the document calls settled what the verb `status` does not: a proxy that no client can be sent to.
#[test]
fn a_proxy_of_no_use_is_not_settled() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    // There nobody accepts connections.
    site.world.dns.set(PROXIED, Behaviour::a("127.0.0.9", 1));
    let status = site.wait_for_status("/proxies/0/ready", false);
    assert_eq!((&status["settled"], &status["exit_code"]), (&json!(false), &json!(2)));
    assert_eq!(status["target_groups"][0]["settled"], true);
    assert_says(&site.get("/").body, &["<title>1 in trouble", "not ready"]);
}

/// Fails if what befell a proxy is not among the last changes.
#[test]
fn the_changes_tell_of_the_proxies() {
    let site = Site::settled();
    let port = site.database.local_addr().unwrap().port();
    let wait_for = |text: String| {
        site.wait_for(&text, |site| {
            let status = site.status();
            let changes = status["changes"].as_array()?.clone();
            let is_told = |change: &Value| {
                change["text"] == text.as_str()
                    && change["subject"]
                        .as_str()
                        .is_some_and(|subject| subject.starts_with("proxy 127.0.0.1:"))
            };
            changes.iter().any(is_told).then_some(())
        });
    };
    site.wait_for_status("/proxies/0/ready", true);
    site.world.dns.set(PROXIED, Behaviour::a("127.0.0.9", 1));
    wait_for(format!("{PROXIED}:{port} moved from 127.0.0.1 to 127.0.0.9"));
}

/// Fails if a daemon that has not looked yet calls itself settled.
#[test]
fn what_has_not_been_looked_at_is_not_settled() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::Silent);
    let site = Site::with(world, "", "timeout = \"10s\"");
    let status = site.status();
    assert_eq!(status["settled"], false);
    assert_eq!(status["exit_code"], 2);
    assert_eq!(status["not_looked_at_yet"], json!([site.world.arn]));
    assert_says(&site.get("/").body, &["Not looked at yet:", &site.world.arn]);
    let in_sync = super::scrape::Scrape::of(&site).value("rds_tether_in_sync", &[]);
    assert_eq!(in_sync, Some(0.0));
    site.world.dns.set(WRITER, Behaviour::a(OLD, 1));
}

/// Fails if the document hides why nothing happens.
#[test]
fn the_document_names_what_fails() {
    let world = World::settled();
    world
        .elb
        .fail("DescribeTargetHealth", Failure::denied("DescribeTargetHealth"), None);
    let site = Site::of(world, "");
    let status = site.wait_for_status("/target_groups/0/errors/0/code", "AccessDenied");
    assert_eq!(status["settled"], false);
    assert_eq!(status["target_groups"][0]["targets"], Value::Null);
    assert_says(
        status["target_groups"][0]["verdict"].as_str().unwrap(),
        &["denied by AWS"],
    );
    let page = site.get("/").body;
    assert!(!page.contains("see above"), "{page}");
    assert_says(&page, &["could not be listed", "denied by AWS", "AccessDenied"]);
}

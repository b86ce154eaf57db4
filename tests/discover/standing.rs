//! What is told of places where target groups are looked for by their tags: `/status`, the page, metrics and `status`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rds_tether::planner::time::Timestamp;
use serde_json::{Value, json};
use testkit::elb::{Failure, Group};
use testkit::http::ask;
use testkit::world::{Daemon, NEW, WRITER, assert_exit, assert_says, wait_until};

use super::{ENDPOINT, Tagged};
use crate::pages::site::served;

const HTTP: &str = "[http]\nlisten = \"127.0.0.1:0\"";

/// A daemon that follows what is tagged, and where it serves its pages.
struct Served {
    tagged: Tagged,
    daemon: Daemon,
    http: SocketAddr,
}

impl Served {
    fn of(tagged: Tagged) -> Self {
        let daemon = Daemon::start(&mut tagged.command("run", HTTP));
        let http = served(&daemon);
        Self { tagged, daemon, http }
    }

    fn get(&self, path: &str) -> String {
        ask(self.http, "GET", path).body
    }

    /// Waits until the document is so.
    fn wait(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut status = Value::Null;
        wait_until(what, || {
            status = serde_json::from_str(&self.get("/status")).expect("JSON");
            is_so(&status)
        });
        status
    }

    /// What `status` prints of it, with its exit code.
    fn status(&self, exit: i32) -> String {
        let mut command = self.tagged.command("status", HTTP);
        assert_exit(command.arg("--http").arg(self.http.to_string()), exit)
    }

    fn metric(&self, name: &str) -> String {
        let page = self.get("/metrics");
        let begin = format!("rds_tether_discover_{name}{{region=\"eu-west-1\"}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&begin));
        value.unwrap_or_else(|| panic!("no {begin}in {page}")).to_owned()
    }
}

#[test]
fn a_place_that_cannot_be_looked_at_is_told_and_what_is_followed_goes_on() {
    let served = Served::of(Tagged::new());
    let status = served.wait("all is well", |status| {
        status["exit_code"] == 0 && status["discover"][0]["tagged"] == 1
    });
    let place = &status["discover"][0];
    let keys: BTreeSet<&str> = place.as_object().expect("a place").keys().map(String::as_str).collect();
    let wanted = [
        "region", "role", "account", "looked", "tagged", "followed", "failure", "troubles",
    ];
    assert_eq!(keys, BTreeSet::from(wanted), "the schema only grows");
    assert_eq!(
        (&place["region"], &place["account"]),
        (&json!("eu-west-1"), &json!("111122223333"))
    );
    assert_eq!((&place["followed"], &place["failure"]), (&json!(1), &Value::Null));
    assert_says(
        &served.status(0),
        &["tagged target groups in eu-west-1 of 111122223333: 1, looked for"],
    );
    assert_eq!(
        (served.metric("failing"), served.metric("tagged")),
        ("0.0".to_owned(), "1.0".to_owned())
    );

    served
        .tagged
        .world
        .elb
        .fail("DescribeTags", Failure::denied("DescribeTags"), None);
    let failing = |status: &Value| !status["discover"][0]["failure"].is_null();
    let denied = served.wait("it is denied", failing);
    let place = &denied["discover"][0];
    assert_eq!((&denied["settled"], &denied["exit_code"]), (&json!(true), &json!(2)));
    assert_says(
        &place["failure"]["text"].to_string(),
        &["allow elasticloadbalancing:DescribeTags"],
    );
    assert_eq!(served.metric("failing"), "1.0");
    let parts = [
        "tagged target groups in eu-west-1",
        "elasticloadbalancing:DescribeTags",
        "what is followed stays followed",
    ];
    assert_says(&served.status(2), &parts);
    let page = served.get("/");
    assert_says(&page, &parts[1..]);
    assert_says(&page, &["<span class=wait>tagged target groups"]);
    served.tagged.fail_over();
    served.tagged.wait_registered(&served.tagged.world.arn);

    served.daemon.signal("HUP");
    served.daemon.wait_for_log(&["settings reloaded"]);
    let after = served.wait("it is denied", failing);
    for key in ["/discover/0/failure/since", "/discover/0/looked", "/discover/0/tagged"] {
        assert_eq!(
            after.pointer(key),
            denied.pointer(key),
            "{key}: known before the settings were read again"
        );
    }
    served.tagged.world.elb.heal();
    served.wait("it can be looked at again", |status| !failing(status));
}

#[test]
fn a_group_that_is_not_as_its_tags_say_is_told() {
    let served = Served::of(Tagged::new());
    served.wait("all is well", |status| {
        status["exit_code"] == 0 && status["discover"][0]["tagged"] == 1
    });
    let elb = &served.tagged.world.elb;
    elb.set_tag(&served.tagged.world.arn, "rds-tether:role", "boss");
    let troubles =
        |count: usize| move |status: &Value| status["discover"][0]["troubles"].as_array().map(Vec::len) == Some(count);
    let held = served.wait("it is held", troubles(1));
    let trouble = &held["discover"][0]["troubles"][0];
    assert_eq!(
        (&trouble["name"], &trouble["is_followed"]),
        (&json!("orders"), &json!(true))
    );
    assert_says(
        &trouble["text"].to_string(),
        &["the tag rds-tether:role", "write `writer` or `reader`"],
    );
    assert_says(
        &served.status(2),
        &["target group orders it is followed as before: the tag rds-tether:role"],
    );
    assert_says(
        &served.get("/"),
        &["<span class=wait>tagged target groups", "the tag rds-tether:role"],
    );
    assert_eq!(served.metric("held"), "1.0");

    let other = elb.add_group(Group::named("billing"));
    elb.set_tag(&other, ENDPOINT, "orders.evil.example:5432");
    let left_out = served.wait("another is left out", troubles(2));
    assert_eq!(
        (&left_out["discover"][0]["tagged"], &left_out["discover"][0]["followed"]),
        (&json!(2), &json!(1))
    );
    assert_says(
        &served.get("/"),
        &[
            "<title>1 in trouble",
            "<span class=no>tagged target groups",
            "2, of which 1 are followed",
        ],
    );
    assert_says(&served.status(2), &["target group billing it is not followed"]);
}

/// Fails if a process that knows of nothing to follow, because it is denied, calls that well.
#[test]
fn what_was_never_looked_at_is_trouble() {
    let tagged = Tagged::new();
    tagged
        .world
        .elb
        .fail("DescribeTargetGroups", Failure::denied("DescribeTargetGroups"), None);
    let served = Served::of(tagged);
    let status = served.wait("it is denied", |status| !status["discover"][0]["failure"].is_null());
    assert_eq!((&status["settled"], &status["exit_code"]), (&json!(false), &json!(2)));
    assert_eq!(
        (&status["discover"][0]["tagged"], &status["discover"][0]["looked"]),
        (&Value::Null, &Value::Null)
    );
    assert_says(
        &served.get("/"),
        &[
            "<title>1 in trouble",
            "<span class=no>tagged target groups in eu-west-1:",
            "not looked for yet",
        ],
    );
    assert_says(
        &served.status(2),
        &["not looked for yet", "elasticloadbalancing:DescribeTargetGroups"],
    );
}

#[test]
fn status_looks_for_itself_where_nobody_can_be_asked() {
    let tagged = Tagged::new();
    assert_says(
        &assert_exit(&mut tagged.command("status", ""), 0),
        &["seen by a look of its own", "orders"],
    );
    tagged
        .world
        .elb
        .fail("DescribeTags", Failure::denied("DescribeTags"), None);
    assert_says(
        &assert_exit(&mut tagged.command("status", ""), 77),
        &["elasticloadbalancing:DescribeTags"],
    );
}

/// Fails if another rule, but the same endpoints, lets a target's absence begin anew.
#[test]
fn clocks_go_on_when_another_tag_changes() {
    let tagged = Tagged::new();
    tagged.world.elb.set_tag(&tagged.world.arn, "rds-tether:forget", "1h");
    tagged.world.elb.put_target(&tagged.world.arn, NEW, 5432);
    let served = Served::of(tagged);
    let until = |status: &Value| -> Option<Timestamp> {
        let holds = status["target_groups"][0]["holds"].as_array()?;
        let hold = holds.iter().find(|hold| hold["reason"] == "forgetting")?;
        serde_json::from_value(hold["until"].clone()).ok()
    };
    let before = until(&served.wait("it is held", |status| until(status).is_some())).expect("a hold");
    served.tagged.wait_looked(&served.daemon);
    served
        .tagged
        .world
        .elb
        .set_tag(&served.tagged.world.arn, "rds-tether:forget", "2h");
    let after = served.wait("it is held for longer", |status| {
        until(status).is_some_and(|until| until != before)
    });
    let longer = until(&after).expect("a hold").since(before).as_secs_f64();
    // Begun anew it would be longer by the time since, in which there were two looks at tags a second apart.
    assert!((3599.5..3600.5).contains(&longer), "{longer}");
    assert_eq!(
        after["target_groups"][0]["endpoints"][0]["endpoint"],
        format!("{WRITER}:5432")
    );
}

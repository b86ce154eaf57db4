//! Target groups that say by their tags what they follow, through the built binary.

mod standing;

use std::process::Command;

use serde_json::{Value, json};

use rds_tether::function::tag::{KEY, PREFIX};
use rds_tether::settings::discover::OTHERS;
use testkit::dns::Behaviour;
use testkit::elb::{Failure, Group};
use testkit::world::{
    Daemon, NEW, OLD, READER, Scratch, WRITER, World, assert_exit, assert_says, bare_command, finish, said, wait_until,
};

const ENDPOINT: &str = "rds-tether:endpoint";
const ALLOWED: &str = "*.cluster-abc123.eu-west-1.rds.amazonaws.com";

/// A world whose group is tagged, and a settings file that names no group.
struct Tagged {
    world: World,
    scratch: Scratch,
}

impl Tagged {
    fn new() -> Self {
        let world = World::settled();
        world.elb.set_tag(&world.arn, ENDPOINT, &format!("{WRITER}:5432"));
        let scratch = Scratch::new();
        Self { world, scratch }
    }

    fn command(&self, verb: &str, more: &str) -> Command {
        let text = format!(
            "{more}\n[dns]\nnameservers = [\"{}\"]\n[[discover]]\nregion = \"eu-west-1\"\nallow_endpoints = [\"{ALLOWED}\"]\nevery = \"1s\"\n",
            self.world.dns.addr()
        );
        let settings = self.scratch.write("config.toml", &text);
        let mut command = bare_command(&self.world.elb.url());
        command.arg(verb).arg("--config").arg(settings);
        command
    }

    fn run(&self) -> Daemon {
        self.run_with("")
    }

    fn run_with(&self, more: &str) -> Daemon {
        let daemon = Daemon::start(&mut self.command("run", more));
        daemon.wait_for_log(&["tagged target group"]);
        daemon
    }

    fn registered(&self, arn: &str) -> Vec<String> {
        let targets = self.world.elb.targets(arn).into_iter();
        let targets = targets.filter(|target| target.state != "draining");
        targets.map(|target| target.ip).collect()
    }

    fn fail_over(&self) {
        self.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    }

    fn wait_registered(&self, arn: &str) {
        wait_until("the new address is registered", || {
            self.registered(arn).iter().any(|ip| ip == NEW)
        });
    }

    /// Waits until the tags have been looked at once more, and what came of it has been taken.
    fn wait_looked(&self, daemon: &Daemon) {
        let looks = || {
            let calls = self.world.elb.calls();
            calls
                .iter()
                .filter(|call| call.action == "DescribeTags" || call.action == "DescribeTargetGroups")
                .count()
        };
        let before = looks();
        wait_until("two looks at tags", || looks() >= before + 4);
        assert!(daemon.log().contains("started rds-tether"), "it lives");
    }
}

#[test]
fn a_group_is_followed_while_it_is_tagged_and_left_as_it_is_when_it_is_not() {
    let tagged = Tagged::new();
    let daemon = tagged.run();
    daemon.wait_for_log(&["1 tagged target group in eu-west-1"]);
    tagged.fail_over();
    tagged.wait_registered(&tagged.world.arn);
    tagged.world.elb.model(|model, _| {
        model
            .remove_tags(std::slice::from_ref(&tagged.world.arn), &[ENDPOINT.to_owned()])
            .expect("tags")
    });
    daemon.wait_for_log(&["is not followed any more, and left as it is"]);
    let before = tagged.world.writes();
    tagged.world.dns.set(WRITER, Behaviour::a("10.0.3.9", 1));
    tagged.wait_looked(&daemon);
    assert_eq!(tagged.world.writes(), before, "{}", tagged.world.story());
    tagged
        .world
        .elb
        .set_tag(&tagged.world.arn, ENDPOINT, &format!("{WRITER}:5432"));
    wait_until("it is followed again", || {
        tagged.registered(&tagged.world.arn).iter().any(|ip| ip == "10.0.3.9")
    });
}

#[test]
fn one_look_finds_them_too() {
    let tagged = Tagged::new();
    tagged.fail_over();
    assert_says(&assert_exit(&mut tagged.command("plan", ""), 2), &["orders", NEW]);
    assert_says(
        &assert_exit(tagged.command("sync", "").args(["--forget", "0s"]), 0),
        &[NEW],
    );
    let checked = assert_exit(&mut tagged.command("check", ""), 0);
    assert_says(&checked, &["1 place to look for tagged target groups"]);
    tagged
        .world
        .elb
        .fail("DescribeTags", Failure::denied("DescribeTags"), None);
    let denied = assert_exit(&mut tagged.command("plan", ""), 77);
    assert_says(
        &denied,
        &[
            "cannot look for tagged target groups in eu-west-1",
            "elasticloadbalancing:DescribeTags",
        ],
    );
}

/// Fails if flags, or their variables, do not stand for a table of a file, or the region is not that of other tools.
#[test]
fn flags_are_enough() {
    let tagged = Tagged::new();
    tagged.fail_over();
    let typed = |verb: &str, flags: &[&str]| {
        let mut command = tagged.world.command(verb);
        command.args(flags);
        command
    };
    let flags = ["--discover", "eu-west-1", "--allow-endpoint", ALLOWED];
    assert_says(&assert_exit(&mut typed("plan", &flags), 2), &["orders", NEW]);
    let of_name = ["--discover", "--allow-endpoint", ALLOWED];
    assert_says(&assert_exit(&mut typed("plan", &of_name), 2), &["orders", NEW]);
    let elsewhere =
        finish(typed("doctor", &[&of_name[..], &["--only", "discover"]].concat()).env("AWS_REGION", "eu-west-3"));
    assert_says(&said(&elsewhere), &["no target group has the tag rds-tether:endpoint"]);
    let mut command = bare_command(&tagged.world.elb.url());
    let policy = assert_exit(command.arg("iam").args(flags), 0);
    assert_says(&policy, &["aws:ResourceTag/rds-tether:endpoint"]);
    let mut by_variables = typed("run", &[]);
    by_variables.env("RDS_TETHER_DISCOVER", "eu-west-2,eu-west-1");
    let daemon = Daemon::start(by_variables.env("RDS_TETHER_ALLOW_ENDPOINT", ALLOWED));
    daemon.wait_for_log(&["0 tagged target groups in eu-west-2"]);
    daemon.wait_for_log(&["1 tagged target group in eu-west-1"]);
    tagged.wait_registered(&tagged.world.arn);
}

/// Tags that somebody has written badly, or to send clients elsewhere, hold their own group and no other.
#[test]
fn bad_tags_are_told_and_hold_their_group_alone() {
    for (key, value, parts) in [
        (
            ENDPOINT,
            "orders.evil.example:5432",
            &["names orders.evil.example:5432", "allow_endpoints"][..],
        ),
        (ENDPOINT, "orders", &["has no port"]),
        (ENDPOINT, "", &["is empty"]),
        ("rds-tether:forget", "soon", &["rds-tether:forget", "no duration"]),
        ("rds-tether:forgot", "1m", &["did you mean rds-tether:forget?"]),
    ] {
        let tagged = Tagged::new();
        let other = tagged.world.elb.add_group(Group::named("billing"));
        tagged.world.elb.set_tag(&other, ENDPOINT, &format!("{WRITER}:5432"));
        tagged.world.elb.set_tag(&tagged.world.arn, key, value);
        let daemon = tagged.run();
        let told: Vec<&str> = ["target group orders", "it is not followed until then"]
            .iter()
            .chain(parts)
            .copied()
            .collect();
        daemon.wait_for_log(&told);
        tagged.fail_over();
        tagged.wait_registered(&other);
        assert_eq!(tagged.registered(&tagged.world.arn), [OLD], "{key}={value}");
    }
}

#[test]
fn tags_that_become_bad_leave_what_was_followed_in_force() {
    let tagged = Tagged::new();
    let daemon = tagged.run();
    tagged.world.elb.set_tag(&tagged.world.arn, "rds-tether:role", "boss");
    daemon.wait_for_log(&["the tag rds-tether:role", "it is followed as before until then"]);
    tagged.fail_over();
    tagged.wait_registered(&tagged.world.arn);
    let told = daemon.log().matches("it is followed as before").count();
    assert_eq!(told, 1, "told once: {}", daemon.log());
}

/// A list that leaves something out is no word of it.
#[test]
fn a_group_that_an_answer_leaves_out_is_followed_as_before() {
    let arn = |arn: &str| format!("Arn>{arn}</");
    for (action, from, to, is_told) in [
        ("DescribeTags", arn("ORDERS"), arn("BILLING"), true),
        ("DescribeTags", "Tags>".to_owned(), "Labels>".to_owned(), true),
        (
            "DescribeTargetGroups",
            "<TargetType>ip<".to_owned(),
            "<TargetType>?<".to_owned(),
            false,
        ),
        (
            "DescribeTargetGroups",
            "TargetGroups>".to_owned(),
            "Groups>".to_owned(),
            false,
        ),
    ] {
        let tagged = Tagged::new();
        let new = tagged.world.elb.add_group(Group::named("billing"));
        let daemon = tagged.run();
        wait_until("it has been looked at", || {
            let calls = tagged.world.elb.calls();
            calls.iter().any(|call| call.action == "DescribeTargetHealth")
        });
        let named = |text: &str| text.replace("ORDERS", &tagged.world.arn).replace("BILLING", &new);
        let failure = Failure::Altered(named(&from), named(&to));
        tagged.world.elb.fail(action, failure, None);
        if is_told {
            daemon.wait_for_log(&[
                "target group orders: DescribeTags was answered without its tags",
                "it is followed as before until then",
            ]);
        }
        tagged.wait_looked(&daemon);
        tagged.fail_over();
        tagged.wait_registered(&tagged.world.arn);
        let log = daemon.log();
        assert!(!log.contains("not followed any more"), "{from}: {log}");
        let told = log.matches("group orders: DescribeTags was answered").count();
        assert_eq!(told, usize::from(is_told), "told once: {log}");
    }
}

#[test]
fn while_nobody_can_look_everything_is_followed_as_before() {
    for (action, failure) in [
        ("DescribeTags", Failure::denied("DescribeTags")),
        ("DescribeTags", Failure::throttled()),
        ("DescribeTargetGroups", Failure::unavailable()),
    ] {
        let tagged = Tagged::new();
        let daemon = tagged.run();
        wait_until("it has been looked at", || {
            tagged
                .world
                .elb
                .calls()
                .iter()
                .any(|call| call.action == "DescribeTargetHealth")
        });
        tagged.world.elb.fail(action, failure, None);
        daemon.wait_for_log(&[
            "cannot look for tagged target groups in eu-west-1",
            "what is followed stays followed",
        ]);
        tagged.fail_over();
        tagged.wait_registered(&tagged.world.arn);
    }
}

#[test]
fn the_file_goes_before_a_tag() {
    let tagged = Tagged::new();
    tagged.world.dns.set(READER, Behaviour::a("10.0.4.4", 1));
    let file = format!(
        "[[target_group]]\narn = \"{}\"\nendpoints = [\"{WRITER}:5432\"]\n",
        tagged.world.arn
    );
    tagged
        .world
        .elb
        .set_tag(&tagged.world.arn, ENDPOINT, &format!("{READER}:5432"));
    let daemon = tagged.run_with(&file);
    daemon.wait_for_log(&["has a [[target_group]] as well as tags, and goes by the former"]);
    tagged.fail_over();
    tagged.wait_registered(&tagged.world.arn);
    assert!(!tagged.registered(&tagged.world.arn).contains(&"10.0.4.4".to_owned()));
}

#[test]
fn a_tag_that_moves_and_a_group_that_is_gone_end_the_following() {
    let tagged = Tagged::new();
    let other = tagged.world.elb.add_group(Group::named("billing"));
    let daemon = tagged.run();
    tagged.world.elb.model(|model, _| {
        model
            .remove_tags(std::slice::from_ref(&tagged.world.arn), &[ENDPOINT.to_owned()])
            .expect("tags");
        model.set_tag(&other, ENDPOINT, &format!("{WRITER}:5432"));
    });
    daemon.wait_for_log(&["is not followed any more", "orders"]);
    tagged.fail_over();
    tagged.wait_registered(&other);
    assert_eq!(tagged.registered(&tagged.world.arn), [OLD]);
    tagged.world.elb.model(|model, _| model.remove_group(&other));
    daemon.wait_for_log(&["is not followed any more", "billing"]);
}

#[test]
fn fifty_tags_and_forty_groups_are_read_whole() {
    let tagged = Tagged::new();
    for n in 0..49 {
        tagged
            .world
            .elb
            .set_tag(&tagged.world.arn, &format!("team-{n}"), "nobody's business");
    }
    let others: Vec<String> = (0..40)
        .map(|n| tagged.world.elb.add_group(Group::named(&format!("other-{n}"))))
        .collect();
    tagged
        .world
        .elb
        .set_tag(&others[39], ENDPOINT, &format!("{WRITER}:5432"));
    let daemon = tagged.run();
    daemon.wait_for_log(&["2 tagged target groups in eu-west-1"]);
    tagged.fail_over();
    tagged.wait_registered(&tagged.world.arn);
    tagged.wait_registered(&others[39]);
    let calls = tagged.world.elb.calls();
    assert!(calls.iter().filter(|call| call.action == "DescribeTags").count() >= 3);
}

/// Fails if the rule of EventBridge that the page gives would not let an event of a changed tag through, or lets the function wake itself.
#[test]
fn the_rule_of_the_page_lets_a_changed_tag_through() {
    /// One value of an array is enough (EventBridge, "Creating event patterns").
    fn takes(rule: &Value, event: &Value) -> bool {
        event.as_array().map_or(rule == event, |all| all.contains(rule))
    }
    fn matches(pattern: &Value, event: &Value) -> bool {
        match pattern {
            Value::Object(keys) => keys.iter().all(|(key, pattern)| matches(pattern, &event[key])),
            Value::Array(rules) => rules.iter().any(|rule| takes(rule, event)),
            _ => false,
        }
    }
    let page = include_str!("../../docs/discover.md");
    let block = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
    let pattern: Value = serde_json::from_str(block.expect("a block")).expect("JSON");
    let event: Value = serde_json::from_str(include_str!("../events/bridge-tag-change.json")).expect("JSON");
    assert!(matches(&pattern, &event));
    let mut read: Vec<String> = OTHERS.iter().map(|name| format!("{PREFIX}{name}")).collect();
    read.insert(0, ENDPOINT.to_owned());
    assert_eq!(pattern["detail"]["changed-tag-keys"], json!(read));
    let mut ours = event;
    ours["detail"]["changed-tag-keys"] = json!([KEY]);
    assert!(!matches(&pattern, &ours));
    ours["detail"]["changed-tag-keys"] = json!([KEY, "rds-tether:role"]);
    assert!(matches(&pattern, &ours));
    let other: Value = serde_json::from_str(include_str!("../events/tick-rule.json")).expect("JSON");
    assert!(!matches(&pattern, &other));
}

//! Target groups that the function follows because of their tags.

use testkit::dns::Behaviour;
use testkit::elb::{Failure, Group};

use testkit::function::*;

const ENDPOINT: &str = "rds-tether:endpoint";

/// A function without a list of groups.
fn settings() -> String {
    "[[discover]]\nregion = \"eu-west-1\"\nallow_endpoints = [\"*.cluster-abc123.eu-west-1.rds.amazonaws.com\"]\n\
     every = \"24h\"\ndefaults = { forget = \"0s\" }\n"
        .to_owned()
}

fn tag(world: &World, arn: &str, endpoint: &str) {
    world.elb.set_tag(arn, ENDPOINT, endpoint);
}

fn looks_at_tags(world: &World) -> usize {
    // The tags that keep the clocks are asked for in other calls, where there is a secret for them.
    world
        .elb
        .calls()
        .iter()
        .filter(|call| call.action == "DescribeTargetGroups" && call.arn.is_none())
        .count()
}

/// Fails if tags are not looked for at the first invocation, or are at each, or not when one has changed.
#[test]
fn what_is_tagged_is_followed_and_looked_for_when_a_tag_changes() {
    let world = World::failed_over();
    tag(&world, &world.arn, &format!("{WRITER}:5432"));
    let _function = world.start(&[("RDS_TETHER_CONFIG", &settings())]);
    let report = world.ask(TICK, LONG);
    assert_eq!(report["settled"], true, "{report}");
    assert_eq!(world.addresses(), [NEW]);
    let looked = looks_at_tags(&world);
    let other = world.elb.add_group(Group::named("billing"));
    tag(&world, &other, &format!("{WRITER}:5432"));
    let report = world.ask(TICK, LONG);
    assert_eq!(report["target_groups"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(looks_at_tags(&world), looked, "not again within a day");
    let changed = include_str!("../../../tests/events/bridge-tag-change.json");
    // What it writes itself, which a rule may let through.
    let ours = changed.replace("rds-tether:endpoint", "rds-tether:absent");
    world.ask(&ours, LONG);
    assert_eq!(looks_at_tags(&world), looked, "not for its own tag");
    let report = world.ask(changed, LONG);
    assert_eq!(report["target_groups"].as_array().map(Vec::len), Some(2), "{report}");
    assert_eq!(world.registered_in(&other), [NEW]);
}

/// Fails if the two variables do not stand for a settings file, or an answer that leaves the tags out ends the following.
#[test]
fn variables_are_enough_and_what_an_answer_leaves_out_is_followed() {
    let world = World::settled();
    tag(&world, &world.arn, &format!("{WRITER}:5432"));
    let _function = world.start(&[
        ("RDS_TETHER_DISCOVER", "eu-west-1"),
        (
            "RDS_TETHER_ALLOW_ENDPOINT",
            "*.cluster-abc123.eu-west-1.rds.amazonaws.com",
        ),
        ("RDS_TETHER_FORGET", "0s"),
    ]);
    assert_eq!(world.ask(TICK, LONG)["settled"], true);
    let altered = Failure::Altered("Tags>".to_owned(), "Labels>".to_owned());
    world.elb.fail("DescribeTags", altered, None);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let changed = include_str!("../../../tests/events/bridge-tag-change.json");
    let report = world.ask(changed, LONG);
    assert_eq!(report["settled"], true, "{report}");
    assert_eq!(world.addresses(), [NEW]);
}

/// Fails if a look that is denied or throttled stops the following of what was found, or if nothing is told where nothing was.
#[test]
fn what_was_found_is_followed_while_nobody_can_look() {
    for failure in [Failure::denied("DescribeTags"), Failure::throttled()] {
        let world = World::settled();
        tag(&world, &world.arn, &format!("{WRITER}:5432"));
        let _function = world.start(&[("RDS_TETHER_CONFIG", &settings())]);
        world.elb.fail("DescribeTags", failure.clone(), None);
        let error = world.ask_in_vain(TICK, LONG);
        assert!(
            error
                .message
                .contains("cannot look for tagged target groups in eu-west-1"),
            "{}",
            error.message
        );
        world.elb.heal();
        assert_eq!(world.ask(TICK, LONG)["settled"], true);
        world.elb.fail("DescribeTags", failure, None);
        world.dns.set(WRITER, Behaviour::a(NEW, 1));
        let report = world.ask(r#"{"command":"sync"}"#, LONG);
        assert_eq!(report["settled"], true, "{report}");
        assert_eq!(world.addresses(), [NEW]);
    }
}

/// Fails if a tag sends clients where no pattern allows it, or keeps the others from being followed.
#[test]
fn a_tag_that_names_what_is_not_allowed_holds_its_group_alone() {
    let world = World::failed_over();
    let other = world.elb.add_group(Group::named("billing"));
    tag(&world, &world.arn, "orders.evil.example:5432");
    tag(&world, &other, &format!("{WRITER}:5432"));
    world.dns.set("orders.evil.example", Behaviour::a("10.66.66.66", 1));
    let _function = world.start(&[("RDS_TETHER_CONFIG", &settings())]);
    let report = world.ask(TICK, LONG);
    assert_eq!(report["settled"], true, "{report}");
    assert_eq!(world.registered_in(&other), [NEW]);
    assert_eq!(world.addresses(), [OLD]);
}

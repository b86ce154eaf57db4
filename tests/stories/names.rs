//! Target groups by their names: looked up once, in the region that tools of AWS would take, and told in plain words where that
//! fails.

use std::process::Command;

use serde_json::Value;
use testkit::elb::{Failure, Group};

use super::world::*;

const USAGE: i32 = 64;
const UNAVAILABLE: i32 = 69;
const DENIED: i32 = 77;
const SETTINGS: i32 = 78;

/// A verb that is bound to the writer endpoint and to a group of this name.
fn named(world: &World, verb: &str, name: &str) -> Command {
    let mut command = world.command(verb);
    bind(&mut command, &format!("{WRITER}:5432"), name);
    command
}

/// The actions called so far.
fn actions(world: &World) -> Vec<String> {
    world.elb.calls().into_iter().map(|call| call.action).collect()
}

#[test]
fn a_name_is_as_good_as_an_arn() {
    for verb in ["plan", "sync", "status", "doctor"] {
        let (by_name, by_arn) = (World::settled(), World::settled());
        let mut command = named(&by_name, verb, "orders");
        let mut other = by_arn.bound(verb);
        if verb == "doctor" {
            command.args(["--only", "group.type"]);
            other.args(["--only", "group.type"]);
        }
        assert_exit(&mut command, 0);
        assert_exit(&mut other, 0);
        let (named, given) = (actions(&by_name), actions(&by_arn));
        let look_up = "DescribeTargetGroups".to_owned();
        assert_eq!(named.first(), Some(&look_up), "{verb}");
        assert_eq!(named.len(), given.len() + 1, "{verb}: {named:?}, by ARN {given:?}");
    }
    let world = World::settled();
    let mut command = world.command("run");
    command.env("RDS_TETHER_ENDPOINT", format!("{WRITER}:5432"));
    let daemon = Daemon::start(command.env("RDS_TETHER_TARGET_GROUP", "orders"));
    daemon.wait_for_log(&["orders", "settled"]);
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
}

/// The environment beats the profile, and that the endpoint's name.
#[test]
fn the_region_is_that_of_other_tools() {
    let scratch = Scratch::new();
    let profiles = scratch.write(
        "config",
        "[default]\nregion = eu-west-2\n[profile x]\nregion = eu-west-3\n",
    );
    let config = ("AWS_CONFIG_FILE", profiles.to_str().unwrap());
    let world = World::new();
    for region in ["us-east-1", "us-east-2", "eu-west-2", "eu-west-3"] {
        world.elb.add_group(Group::named("orders").region(region));
    }
    for (variables, region) in [
        (vec![], "eu-west-1"),
        (vec![config], "eu-west-2"),
        (vec![config, ("AWS_PROFILE", "x")], "eu-west-3"),
        (vec![config, ("AWS_DEFAULT_REGION", "us-east-2")], "us-east-2"),
        (
            vec![config, ("AWS_DEFAULT_REGION", "us-east-2"), ("AWS_REGION", "us-east-1")],
            "us-east-1",
        ),
        (vec![("AWS_REGION", "")], "eu-west-1"),
    ] {
        let mut command = named(&world, "plan", "orders");
        let output = finish(command.envs(variables.clone()).args(["--output", "json"]));
        let json: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
        let arn = json["target_groups"][0]["arn"].as_str().unwrap();
        assert!(arn.contains(&format!(":{region}:")), "{variables:?}: {arn}");
    }
    for (region, told) in [
        (
            "eu-central-1",
            "no target group of this account has the name \"orders\" in eu-central-1 (of AWS_REGION)",
        ),
        ("moon", "AWS_REGION says that the region is \"moon\""),
    ] {
        let mut command = named(&world, "plan", "orders");
        let output = finish(command.env("AWS_REGION", region));
        assert_says(&said(&output), &[told]);
    }
    let mut command = world.command("plan");
    bind(&mut command, "db.internal:5432", "orders");
    assert_says(
        &assert_exit(&mut command, USAGE),
        &["no region is given", "AWS_REGION", "ARN"],
    );
}

#[test]
fn a_name_without_an_arn_is_told_with_its_remedy() {
    let action = "DescribeTargetGroups";
    for (failure, exit, parts) in [
        (
            None,
            SETTINGS,
            &["\"billing\"", "eu-west-1 (of the endpoint's name)", "AWS_REGION", "ARN"][..],
        ),
        (
            Some(Failure::denied(action)),
            DENIED,
            &[
                "billing",
                "AccessDenied",
                "allow elasticloadbalancing:DescribeTargetGroups on *",
            ],
        ),
        (
            Some(Failure::unavailable()),
            UNAVAILABLE,
            &["billing", "ServiceUnavailable", "network path"],
        ),
        (
            Some(Failure::throttled()),
            UNAVAILABLE,
            &["billing", "Throttling", "API limits"],
        ),
        (Some(Failure::Hang), UNAVAILABLE, &["billing", "no answer within 1 s"]),
    ] {
        for verb in ["plan", "sync", "status", "doctor"] {
            let world = World::settled();
            if let Some(failure) = &failure {
                world.elb.fail(action, failure.clone(), None);
            }
            // Only what hangs takes its time.
            let timeout = if failure == Some(Failure::Hang) { "1s" } else { "20s" };
            let output = finish(named(&world, verb, "billing").args(["--timeout", timeout]));
            assert_eq!(output.status.code(), Some(exit), "{verb}: {}", said(&output));
            assert_says(&said(&output), parts);
            assert_eq!(actions(&world), [action], "{verb}: nothing else is done");
        }
        let world = World::settled();
        if let Some(failure) = failure.filter(|failure| *failure != Failure::Hang) {
            world.elb.fail(action, failure, None);
            assert_says(&assert_exit(&mut named(&world, "run", "billing"), exit), &parts[..2]);
        }
    }
    // Two accounts in one list are none of ELB's ways; it would be a guess which is meant.
    let world = World::settled();
    world.elb.add_group(Group::named("orders").account("222233334444"));
    assert_says(
        &assert_exit(&mut named(&world, "plan", "orders"), SETTINGS),
        &[
            "several target groups",
            ":111122223333:",
            ":222233334444:",
            "give the ARN of one",
        ],
    );
    let mut command = named(&world, "plan", "orders");
    let twice = command.args(["--target-group", "orders"]);
    assert_says(
        &assert_exit(twice, USAGE),
        &["--target-group names the same group twice"],
    );
    let mut command = named(&World::settled(), "sync", "orders");
    let world = World::settled();
    let same = bind(&mut command, &format!("{WRITER}:5432"), &world.arn);
    assert_says(
        &assert_exit(same.env("AWS_ENDPOINT_URL", world.elb.url()), USAGE),
        &["the same group twice"],
    );
}

/// A group that was made anew has another ARN under its name.
#[test]
fn a_name_is_looked_up_again_when_the_settings_are_read_again() {
    let world = World::settled();
    let daemon = Daemon::start(&mut named(&world, "run", "orders"));
    daemon.wait_for_log(&["orders", "settled"]);
    world.elb.model(|model, _| model.remove_group(&world.arn));
    daemon.signal("HUP");
    daemon.wait_for_log(&[
        "the new settings are not taken, the old ones stay in force",
        "no target group of this account has the name \"orders\"",
    ]);
    let anew = world.elb.add_group(Group::named("orders").account("222233334444"));
    assert_ne!(anew, world.arn);
    daemon.signal("HUP");
    daemon.wait_for_log(&["settings reloaded"]);
    wait_until("the group is filled that has the name now", || {
        world.elb.targets(&anew).iter().any(|target| target.ip == OLD)
    });
}

/// Fails if what calls nothing calls something for a name, or if mistakes are looked up.
#[test]
fn what_calls_nothing_takes_a_name_as_such() {
    let world = World::settled();
    let said = assert_exit(&mut named(&world, "check", "orders"), 0);
    assert_says(&said, &["the settings are good: 1 target group"]);
    let mut command = named(&world, "plan", "orders");
    let wrong = command.args(["--probe-patience", "3s"]);
    assert_says(&assert_exit(wrong, USAGE), &["says nothing without probe"]);
    for (region, pattern) in [
        ("", "arn:aws:elasticloadbalancing:eu-west-1:*:targetgroup/orders/*"),
        (
            "cn-north-1",
            "arn:aws-cn:elasticloadbalancing:cn-north-1:*:targetgroup/orders/*",
        ),
    ] {
        let mut command = bare_command(&world.elb.url());
        bind(command.arg("iam"), &format!("{WRITER}:5432"), "orders");
        let output = finish(command.env("AWS_REGION", region));
        let policy: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(policy["Statement"][1]["Resource"], pattern);
        assert_says(&String::from_utf8_lossy(&output.stderr), &["* stands", "give its ARN"]);
    }
    assert_eq!(world.story(), "", "an API was called");
}

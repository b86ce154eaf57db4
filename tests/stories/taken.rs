//! Somebody else who takes away what is registered, and addresses that have to be named: through the built binary.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use testkit::dns::Behaviour;
use testkit::elb::{Call, Failure, Group};
use testkit::http::ask;
use testkit::sns;

use super::world::*;

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:database";
/// How long a group may be without its target while somebody takes it away again and again.
const WITHOUT_MAX: Duration = Duration::from_secs(10);

/// Fails if a group is without its target for long while a controller takes it away every quarter of a minute, if only those who
/// read every line of the log learn of it, or if they do not learn who it may be.
#[test]
fn a_controller_that_takes_the_target_away_is_told_of_and_hardly_succeeds() {
    let world = World::new();
    let topic = sns::Server::start();
    // After the first list; at the end of the looks that follow a registration, 16 s later; and once more.
    world.elb.take_away(&world.arn, &[1, 4, 1]);
    let daemon = Daemon::start(
        world
            .bound("run")
            .args(["--http", "127.0.0.1:0", "--notify-topic", TOPIC])
            .env("AWS_ENDPOINT_URL_SNS", topic.url()),
    );
    let http: SocketAddr = daemon.told_after("serving http://").parse().expect("an address");
    let put_back = |times: usize| {
        let (arn, is_back) = (world.arn.clone(), move |calls: &[Call]| {
            count(calls, "Register", OLD) > times
        });
        assert!(
            world.elb.wait_for(PATIENCE * 2, is_back),
            "not put back the {times}. time at {arn}\n{}",
            world.story()
        );
    };
    (1..=3).for_each(put_back);
    let calls = world.elb.calls();
    let registered: Vec<_> = calls
        .iter()
        .filter(|call| is(call, "Register", OLD))
        .map(|call| call.at)
        .collect();
    for (taken, back) in world.elb.taken_away().iter().zip(&registered[1..]) {
        let without = back.duration_since(*taken);
        assert!(
            without < WITHOUT_MAX,
            "without its target for {without:?}\n{}",
            world.story()
        );
    }
    daemon.wait_for_log(&[
        "WARN",
        "orders",
        "10.0.1.5:5432 was removed by somebody else, 3 times",
        "AWS Load Balancer Controller",
        "ACK",
        "Terraform",
        "another rds-tether",
    ]);
    let told = topic.wait_for(PATIENCE, |calls| {
        calls.iter().any(|call| call.attributes["kind"] == "removed_by_others")
    });
    assert!(told, "{}", daemon.log());
    let status: Value = serde_json::from_str(&ask(http, "GET", "/status").body).expect("JSON");
    let removed = &status["target_groups"][0]["removed_by_others"];
    assert_eq!(
        (&removed["times"], &removed["targets"][0]),
        (&3.into(), &"10.0.1.5:5432".into())
    );
    assert_says(
        &ask(http, "GET", "/").body,
        &["Removed by somebody else:", "10.0.1.5:5432, 3 times"],
    );
    assert_says(
        &ask(http, "GET", "/metrics").body,
        &[
            "rds_tether_removed_by_others_total{target_group=\"targetgroup/orders/",
            "} 3\n",
        ],
    );
}

/// Fails if one removal, which a person may have made, is an alarm, or goes unsaid.
#[test]
fn a_target_that_is_taken_away_once_is_only_noted() {
    let world = World::new();
    let topic = sns::Server::start();
    world.elb.take_away(&world.arn, &[1]);
    let mut command = world.bound("run");
    command
        .args(["--notify-topic", TOPIC])
        .env("AWS_ENDPOINT_URL_SNS", topic.url());
    let daemon = Daemon::start(&mut command);
    daemon.wait_for_log(&[
        "INFO",
        "10.0.1.5:5432 was removed by somebody else, although DNS names it",
    ]);
    world.wait("it is put back", |calls| count(calls, "Register", OLD) == 2);
    let (_, log) = daemon.stop();
    assert!(!log.contains("WARN"), "{log}");
    assert!(
        topic
            .calls()
            .iter()
            .all(|call| call.attributes["kind"] != "removed_by_others")
    );
}

/// Fails if who removes what DNS does not name any more, as an rds-tether beside this one does, is told of.
#[test]
fn a_removal_that_is_right_is_nobody_elses() {
    let world = World::settled();
    let daemon = Daemon::start(&mut world.bound("run"));
    daemon.wait_for_log(&["settled"]);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.wait("the new target", |calls| count(calls, "Register", NEW) == 1);
    world.elb.remove_target(&world.arn, OLD, 5432);
    let beside = daemon.wait_for_log(&["converged"]);
    world.dns.set(WRITER, Behaviour::a(OLD, 1));
    world.wait("the old target again", |calls| count(calls, "Register", OLD) == 1);
    let (_, log) = daemon.stop();
    assert!(!log.contains("somebody else"), "{beside}\n{log}");
}

/// Fails if a VPC outside the private ranges cannot be served, or is without being named.
#[test]
fn a_vpc_outside_rfc_1918_is_served_when_it_is_named() {
    let world = || {
        let world = World::new();
        world.elb.model(|model, _| model.remove_group(&world.arn));
        let arn = world
            .elb
            .add_group(Group::named("orders").subnet("11.0.0.0/24", "eu-west-1a"));
        world.dns.set(WRITER, Behaviour::a("11.0.0.5", 1));
        World { arn, ..world }
    };
    let named = world();
    let text = assert_exit(named.bound("sync").args(["--allow-cidr", "11.0.0.0/16"]), 0);
    assert_says(&text, &["11.0.0.5:5432", "settled"]);
    assert_eq!(named.writes(), ["Register 11.0.0.5:5432"]);
    let text = said(&finish(named.bound("doctor").args([
        "--allow-cidr",
        "11.0.0.0/16",
        "--only",
        "dns.private",
    ])));
    assert_says(&text, &["11.0.0.5 may be a target"]);
    for further in [
        &[][..],
        &["--allow-cidr", "0.0.0.0/0"],
        &["--allow-cidr", "11.1.0.0/16"],
    ] {
        let world = world();
        let text = assert_exit(world.bound("plan").args(further), 3);
        assert_says(
            &text,
            &[
                "11.0.0.5 is publicly routable",
                "name its network in allow_cidrs",
                "left its VPC",
            ],
        );
    }
}

/// What DNS or ELB says, and the true cause that is told with its remedy.
#[test]
fn what_keeps_an_address_out_is_named() {
    let mesh = World::settled();
    mesh.dns.set(WRITER, Behaviour::a("240.240.0.7", 1));
    let text = assert_exit(&mut mesh.bound("plan"), 3);
    assert_says(
        &text,
        &[
            "240.240.0.7 is a virtual address that a service mesh made up",
            "out of the mesh",
        ],
    );

    let left = World::settled();
    left.dns.set(WRITER, Behaviour::a("54.77.1.2", 1));
    let text = assert_exit(&mut left.bound("plan"), 3);
    assert_says(&text, &["Aurora cluster that has left its VPC", "cannot be a target"]);

    let moved = World::settled();
    moved.dns.set(WRITER, Behaviour::a(NEW, 1));
    let refusal = Failure::code(400, "InvalidTarget", "as the story has it");
    moved.elb.fail("RegisterTargets", refusal, None);
    let text = assert_exit(moved.bound("sync").args(["--timeout", "4s"]), 3);
    assert_says(
        &text,
        &[
            "moved to another VPC",
            "make a target group and a load balancer in that one",
        ],
    );

    let peered = World::settled();
    peered.dns.set(WRITER, Behaviour::a("10.99.0.1", 1));
    peered.elb.mark_dead("10.99.0.1");
    let text = assert_exit(peered.bound("sync").args(["--forget", "1s", "--timeout", "20s"]), 0);
    assert_says(&text, &["10.99.0.1:5432", "settled"]);
    let unhealthy = || said(&finish(&mut peered.bound("plan")));
    wait_until("the health checks have failed", || {
        unhealthy().contains("unhealthy and outside the VPC")
    });

    // One target alone: only ELB's words tell a zone from a listener.
    let zone = World::settled_with(Group::named("orders").zones(&["eu-west-1b"]));
    let text = assert_exit(&mut zone.bound("plan"), 0);
    assert_says(
        &text,
        &[
            "its zone eu-west-1a is not enabled on the load balancer",
            "adding a subnet of it",
        ],
    );
    let listener = World::settled_with(Group::named("orders").unattached());
    let text = assert_exit(&mut listener.bound("plan"), 0);
    assert_says(&text, &["no listener leads to the group: attach it to one"]);
    assert!(!text.contains("its zone"), "{text}");
}

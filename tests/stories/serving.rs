//! Registered is not serving: a group that equals DNS while nobody gets through.

use testkit::elb::Failure;

use super::world::{Daemon, NEW, OLD, READER, World, assert_exit, assert_says, bind};

/// The states of the targets that DNS names, and what the last line says of them; nothing if it must not.
#[test]
fn the_last_line_says_that_nothing_serves() {
    for (state, reason, said) in [
        ("healthy", None, None),
        (
            "unhealthy",
            Some("Target.FailedHealthChecks"),
            Some("is unhealthy (Target.FailedHealthChecks)"),
        ),
        (
            "unhealthy",
            Some("Target.Timeout"),
            Some("is unhealthy (Target.Timeout)"),
        ),
        ("unhealthy.draining", None, Some("is unhealthy.draining")),
        ("unused", Some("Target.NotInUse"), Some("is unused (Target.NotInUse)")),
        ("initial", Some("Elb.RegistrationInProgress"), None),
        ("initial", Some("Elb.InitialHealthChecking"), None),
        ("unavailable", Some("Target.HealthCheckDisabled"), None),
        ("unavailable", Some("Elb.InternalError"), None),
        ("brand-new", None, None),
    ] {
        let world = World::settled();
        world.elb.set_health(&world.arn, OLD, 5432, state, reason);
        // The exit code of plan is about DNS, as ever.
        let text = assert_exit(&mut world.bound("plan"), 0);
        let last = text.trim_end().lines().last().expect("a last line");
        assert!(last.contains("=> settled: the group equals DNS"), "{state}: {text}");
        match said {
            Some(said) => {
                assert_says(last, &[&format!(", but nothing serves: {OLD}:5432 {said}")]);
                let text = assert_exit(&mut world.bound("status"), 2);
                assert_says(&text, &["nothing serves", said]);
            }
            None => {
                assert!(!text.contains("nothing serves"), "{state} {reason:?}: {text}");
                assert_exit(&mut world.bound("status"), 0);
            }
        }
        let text = assert_exit(&mut world.bound("sync"), 0);
        assert_eq!(text.contains("nothing serves"), said.is_some(), "{state}: {text}");
    }
}

/// Fails if one that serves is overlooked, one that does not count is believed, or a failed call is taken for a verdict.
#[test]
fn all_that_count_have_to_be_out() {
    // Whoever is old does not count for a writer, although clients may get there.
    let world = World::settled();
    world.elb.put_target(&world.arn, NEW, 5432);
    world.elb.set_health(&world.arn, OLD, 5432, "unhealthy", None);
    let text = assert_exit(&mut world.bound("plan"), 2);
    assert_says(
        &text,
        &["=> changes are pending; nothing serves: 10.0.1.5:5432 is unhealthy"],
    );
    // Any member serves for a reader.
    world.dns.set(READER, testkit::dns::Behaviour::a(OLD, 1));
    let mut command = world.command("plan");
    let text = assert_exit(bind(&mut command, &format!("{READER}:5432"), &world.arn), 0);
    assert!(!text.contains("nothing serves"), "{text}");
    world.elb.set_health(&world.arn, NEW, 5432, "unused", "Target.NotInUse");
    let mut command = world.command("plan");
    let text = assert_exit(bind(&mut command, &format!("{READER}:5432"), &world.arn), 0);
    assert_says(
        &text,
        &[
            "nothing serves",
            "10.0.1.5:5432 is unhealthy, 10.0.2.7:5432 is unused (Target.NotInUse)",
        ],
    );
    // Nobody knows while DNS or ELB does not tell; that all are out is known without DNS.
    world.dns.set(super::world::WRITER, testkit::dns::Behaviour::ServFail);
    let text = assert_exit(&mut world.bound("plan"), 69);
    assert_says(&text, &["nothing serves"]);
    world.elb.clear_health(&world.arn, NEW, 5432);
    let text = assert_exit(&mut world.bound("plan"), 69);
    assert!(!text.contains("nothing serves"), "{text}");
    let world = World::settled();
    world.elb.set_health(&world.arn, OLD, 5432, "unhealthy", None);
    world
        .elb
        .fail("DescribeTargetHealth", Failure::health_unavailable(), None);
    let text = assert_exit(&mut world.bound("plan"), 69);
    assert!(!text.contains("nothing serves"), "{text}");
}

/// Fails if the log does not say when it begins and when it ends, or says either more than once, or a failed look ends it.
#[test]
fn the_log_says_once_that_it_begins_and_once_that_it_ends() {
    let world = World::settled();
    let daemon = Daemon::start(world.bound("run").args(["--forget", "1s", "--interval", "1s"]));
    daemon.wait_for_log(&["settled: the group equals DNS"]);
    assert!(!daemon.log().contains("nothing serves"), "{}", daemon.log());
    let change = |state: Option<&str>| {
        match state {
            Some(state) => world
                .elb
                .set_health(&world.arn, OLD, 5432, state, "Target.FailedHealthChecks"),
            None => world.elb.clear_health(&world.arn, OLD, 5432),
        }
        // What DNS says of another address makes the daemon look.
        world
            .dns
            .set(super::world::WRITER, testkit::dns::Behaviour::all(&[OLD, NEW], 1));
        world.wait("it is registered", |calls| {
            super::world::count(calls, "Register", NEW) > 0
        });
    };
    change(Some("unhealthy"));
    world
        .elb
        .set_health(&world.arn, NEW, 5432, "unhealthy", "Target.FailedHealthChecks");
    daemon.wait_for_log(&[
        "WARN",
        "nothing serves",
        "is unhealthy (Target.FailedHealthChecks)",
        "security group",
    ]);
    world
        .elb
        .fail("DescribeTargetHealth", Failure::health_unavailable(), Some(1));
    world.elb.set_health(&world.arn, NEW, 5432, "healthy", None);
    world.dns.set(super::world::WRITER, testkit::dns::Behaviour::a(NEW, 1));
    daemon.wait_for_log(&["recovered: a target that DNS names serves again"]);
    let (_, log) = daemon.stop();
    assert_eq!(log.matches("nothing serves").count(), 1, "{log}");
    assert_eq!(log.matches("serves again").count(), 1, "{log}");
}

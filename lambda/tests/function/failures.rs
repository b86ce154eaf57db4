//! What cannot be done is an error of the invocation, and of nothing else.

use std::time::Duration;

use testkit::dns::Behaviour;
use testkit::elb::Failure;

use testkit::function::*;

/// What is due must be answered this long before the deadline.
const SPARE: Duration = Duration::from_millis(500);

/// Fails if a failure is taken for success, is told without its cause, or outlives it.
#[test]
fn failures_are_errors_that_name_group_code_and_cause() {
    let denied = |action| Failure::denied(action);
    let cases = [
        ("DescribeTargetGroups", denied("DescribeTargetGroups"), "AccessDenied"),
        ("DescribeTargetHealth", denied("DescribeTargetHealth"), "AccessDenied"),
        ("RegisterTargets", denied("RegisterTargets"), "AccessDenied"),
        ("DeregisterTargets", denied("DeregisterTargets"), "AccessDenied"),
        ("DescribeTargetHealth", Failure::throttled(), "Throttling"),
        ("RegisterTargets", Failure::unavailable(), "ServiceUnavailable"),
        (
            "RegisterTargets",
            Failure::too_many_registrations(),
            "TooManyRegistrationsForTargetId",
        ),
        ("DescribeTargetGroups", Failure::expired_token(), "ExpiredToken"),
        ("DescribeTargetHealth", Failure::Garbage, "BadResponse"),
        ("DescribeTargetHealth", Failure::Reset, "Unreachable"),
    ];
    at_once(cases, |(action, failure, code)| {
        let world = World::failed_over();
        let function = world.bound(WRITER, "0s");
        world.elb.fail(action, failure, None);
        let error = world.ask_in_vain(TICK, SOME);
        assert_eq!(error.error_type, "Unsettled");
        for part in ["orders: ", action, code] {
            assert!(error.message.contains(part), "{action} {code}: {}", error.message);
        }
        assert!(world.elb.lowest_registered(&world.arn) >= 1);
        let measured = metrics(&function, 1).remove(0);
        assert_eq!(measured["InSync"], 0, "{action} {code}");
        assert!(measured["ReconcileErrors"].as_u64() >= Some(1), "{action} {code}");

        world.elb.heal();
        let report = world.ask(TICK, LONG);
        assert_eq!(report["settled"], true, "{action} {code}: {report}");
        assert_eq!(world.addresses(), [NEW]);
    });
}

/// Fails if a target group that does not exist is not told of as such.
#[test]
fn a_missing_group_is_an_error() {
    let world = World::settled();
    let arn = world.arn.replace("orders", "nowhere");
    let _function = world.bound_with(WRITER, "0s", &[("RDS_TETHER_TARGET_GROUP", &arn)]);
    let error = world.ask_in_vain(TICK, LONG);
    assert_eq!(error.error_type, "Unsettled");
    for part in ["nowhere", "TargetGroupNotFound", "check the ARN"] {
        assert!(error.message.contains(part), "{}", error.message);
    }
}

/// Fails if a name that cannot be resolved is taken for one without addresses, or for success.
#[test]
fn blindness_is_an_error_and_removes_nothing() {
    let cases = [
        (Behaviour::NxDomain, "NXDOMAIN"),
        (Behaviour::NoData, "no data"),
        (Behaviour::ServFail, "SERVFAIL"),
        (Behaviour::Silent, "no answer in time"),
        (Behaviour::a("52.17.1.2", 1), "52.17.1.2"),
    ];
    at_once(cases, |(behaviour, cause)| {
        let world = World::settled();
        let function = world.bound(WRITER, "0s");
        world.dns.set(WRITER, behaviour);
        let error = world.ask_in_vain(TICK, SOME);
        assert_eq!(error.error_type, "Unsettled");
        for part in ["orders: ", WRITER, cause] {
            assert!(error.message.contains(part), "{cause}: {}", error.message);
        }
        assert_eq!(world.elb.writes().len(), 0, "{cause}: {}", world.story());
        assert_eq!(metrics(&function, 1)[0]["InSync"], 0);

        world.dns.set(WRITER, Behaviour::a(OLD, 1));
        assert_eq!(world.ask(TICK, LONG)["settled"], true, "{cause}");
    });
}

/// Fails if a failure that passes while there is time is an error of the invocation.
#[test]
fn what_passes_before_the_deadline_is_no_error() {
    let world = World::failed_over();
    world.elb.fail("DescribeTargetGroups", Failure::throttled(), Some(1));
    world.elb.fail("DescribeTargetHealth", Failure::Reset, Some(1));
    world.elb.fail("RegisterTargets", Failure::LostReply, Some(1));
    let function = world.bound(WRITER, "2s");
    assert_eq!(world.ask(TICK, LONG)["settled"], true);
    assert_eq!(world.addresses(), [NEW]);
    let measured = metrics(&function, 1).remove(0);
    assert_eq!(
        (&measured["InSync"], &measured["ReconcileErrors"]),
        (&1.into(), &3.into())
    );
}

/// Fails if one bad binding keeps another from converging, or is not the one that the error names.
#[test]
fn one_bad_binding_does_not_stop_the_other() {
    let world = World::failed_over();
    let (bad, host) = world.add_settled("billing");
    let groups = [binding(&(bad.clone(), host.clone())), world.binding()];
    let settings: String = groups.map(|group| group.set("forget", "1s")).into_iter().collect();
    let function = world.start(&[("RDS_TETHER_CONFIG", &settings)]);
    world.dns.set(&host, Behaviour::a(NEW, 1));
    world.elb.fail_for(&bad, "DescribeTargetHealth", Failure::Hang, None);
    let error = world.ask_in_vain(TICK, SOME);
    assert!(error.message.starts_with("billing: "), "{}", error.message);
    assert!(!error.message.contains("orders"), "{}", error.message);
    assert_eq!(world.addresses(), [NEW]);
    assert_eq!(world.registered_in(&bad), [OLD]);
    let by_group: Vec<_> = metrics(&function, 2)
        .iter()
        .map(|line| (line["TargetGroup"].as_str().unwrap().to_owned(), line["InSync"] == 1))
        .collect();
    assert_eq!(by_group, [("orders".to_owned(), true), ("billing".to_owned(), false)]);
    world.elb.heal();
    assert_eq!(world.ask(TICK, LONG)["settled"], true);
    assert_eq!(world.registered_in(&bad), [NEW]);
}

/// Fails if an invocation is cut off by Lambda, which leaves neither a line nor an error.
#[test]
fn it_answers_before_the_deadline_whatever_hangs() {
    let cases = [
        ("DNS", true, &[][..]),
        ("AWS", false, &["*"][..]),
        ("DNS and AWS", true, &["*"][..]),
        (
            "the look and the tag",
            false,
            &["DescribeTags", "DescribeTargetHealth"][..],
        ),
        ("writes", false, &["RegisterTargets", "AddTags"][..]),
    ];
    at_once(cases, |(what, dns_is_silent, hanging)| {
        let world = World::failed_over();
        if dns_is_silent {
            world.dns.set(WRITER, Behaviour::Silent);
        }
        for action in hanging {
            world.elb.fail(action, Failure::Hang, None);
        }
        let function = world.bound(WRITER, "0s");
        assert!(world.runtime.wait_for_next(PATIENCE));
        let invocation = world.runtime.invoke(TICK, Duration::from_secs(6));
        let outcome = invocation.wait(LONG);
        assert!(invocation.time_left() > Some(SPARE), "{what}: {outcome:?}");
        let last = log(&function, invocation.id()).pop().unwrap();
        let message = last["message"].as_str().unwrap();
        assert!(message.starts_with("failed: orders: "), "{what}: {message}");
        assert_eq!(last["span"]["request_id"], invocation.id());
        let measured = metrics(&function, 1).remove(0);
        assert_eq!(
            (&measured["InSync"], &measured["RequestId"]),
            (&0.into(), &invocation.id().into())
        );
    });
}

/// Fails if a time-out that is too short for anything passes in silence.
#[test]
fn a_deadline_that_leaves_no_time_is_told_of() {
    let world = World::settled();
    let function = world.bound(WRITER, "0s");
    assert!(world.runtime.wait_for_next(PATIENCE));
    let invocation = world.runtime.invoke(TICK, Duration::from_secs(1));
    let error = world.failure(&invocation);
    assert!(error.message.contains("the function's time-out"), "{}", error.message);
    let last = log(&function, invocation.id()).pop().unwrap();
    assert!(
        last["message"].as_str().unwrap().starts_with("failed: orders: "),
        "{last}"
    );
}

//! Events that come early, late, twice, in any order or never.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::dns::Behaviour;
use testkit::elb::Failure;

use super::events::*;
use testkit::function::*;

/// After this long, the start of a failover is no reason any more to expect a change.
const START_AGE: Duration = Duration::from_secs(120);

/// A failover that DNS shows only after that many looks, a second apart, of the one invocation that its start caused.
#[track_caller]
fn assert_converges(looks_before: usize) {
    let world = World::settled();
    let function = world.bound(WRITER, "2s");
    let event = eventbridge(START, "orders", Duration::ZERO);
    let invocation = world.runtime.invoke(&event.to_string(), LONG);
    world.wait_for_queries(WRITER, looks_before);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let report = world.answer(&invocation);
    assert_eq!(report["settled"], true, "{report}");
    assert_eq!(world.changes(), ["Register 10.0.2.7:5432", "Deregister 10.0.1.5:5432"]);
    assert_eq!(world.addresses(), [NEW]);
    assert!(world.elb.lowest_registered(&world.arn) >= 1);
    let [measured] = &metrics(&function, 1)[..] else {
        panic!("one group, one line")
    };
    assert_eq!(
        (&measured["InSync"], &measured["AddressChanges"]),
        (&1.into(), &1.into())
    );
    let took = measured["ConvergenceSeconds"].as_f64().unwrap();
    assert!(
        (2.0..20.0).contains(&took),
        "a change begins when DNS shows it: {took} s"
    );
}

/// Fails if an invocation that its event brought too early ends before DNS changes.
#[test]
fn an_event_before_dns_converges_in_its_own_invocation() {
    assert_converges(4);
}

/// Fails if the wait for DNS is shorter than it can take.
#[test]
fn an_event_twenty_seconds_before_dns_converges_in_its_own_invocation() {
    let start = Instant::now();
    assert_converges(21);
    assert!(start.elapsed() >= Duration::from_secs(20));
}

/// Fails if the event of a finished failover is answered with one look, although a resolver may still repeat the old answer.
#[test]
fn after_the_end_of_a_failover_it_goes_on_looking() {
    at_once([(COMPLETE, "billing"), (DNS_CHANGED, "orders")], |(id, host)| {
        let world = World::settled();
        let _function = world.bound(WRITER, "0s");
        let event = eventbridge(id, host, Duration::ZERO);
        let invocation = world.runtime.invoke(&event.to_string(), LONG);
        world.wait_for_queries(WRITER, 3);
        assert_eq!(world.looks(), 1, "only DNS is asked every second");
        world.dns.set(WRITER, Behaviour::a(NEW, 1));
        world.wait("both changes", |calls| count(calls, "DeregisterTargets", OLD) == 1);
        assert_eq!(world.addresses(), [NEW]);
        assert!(world.elb.lowest_registered(&world.arn) >= 1);
        drop(invocation);
    });
}

/// Fails if such an invocation ends sooner than a resolver's staleness, or goes on for ever.
#[test]
fn twenty_seconds_after_the_end_of_a_failover_it_stops_looking() {
    let world = World::settled();
    let _function = world.bound(WRITER, "2s");
    assert!(world.runtime.wait_for_next(PATIENCE));
    let start = Instant::now();
    world.ask(&eventbridge(COMPLETE, "orders", Duration::ZERO).to_string(), LONG);
    let took = start.elapsed();
    // Left to its deadline it would look for 58 s.
    assert!(
        (Duration::from_secs(20)..Duration::from_secs(50)).contains(&took),
        "{took:?}"
    );
    assert_eq!(world.looks(), 1);
    assert!(
        world.dns.count(WRITER) >= 10,
        "{} looks at DNS",
        world.dns.count(WRITER)
    );
}

/// Fails if a tick does more than it must.
#[test]
fn a_tick_looks_once_when_all_is_settled() {
    let world = World::settled();
    let _function = world.bound(WRITER, "60s");
    assert!(world.runtime.wait_for_next(PATIENCE));
    let old_news = eventbridge(START, "orders", START_AGE + Duration::from_secs(1)).to_string();
    let other_news = eventbridge(OTHER, "orders", Duration::ZERO).to_string();
    for (nth, payload) in [TICK, &old_news, &other_news].into_iter().enumerate() {
        let report = world.ask(payload, LONG);
        assert_eq!(report["settled"], true);
        let calls = world.elb.calls();
        let actions: Vec<&str> = calls[3 * nth..].iter().map(|call| call.action.as_str()).collect();
        assert_eq!(
            actions,
            ["DescribeTags", "DescribeTargetGroups", "DescribeTargetHealth"]
        );
        assert_eq!(world.dns.count(WRITER), nth + 1);
    }
}

/// Fails if a step is given up because the time to expect a change ends in the middle of it.
#[test]
fn a_step_under_way_is_finished_when_the_expectation_ends() {
    let world = World::settled();
    let _function = world.bound(WRITER, "0s");
    assert!(world.runtime.wait_for_next(PATIENCE));
    let event = eventbridge(START, "orders", START_AGE - Duration::from_secs(3));
    let invocation = world.runtime.invoke(&event.to_string(), LONG);
    world.wait_for_queries(WRITER, 2);
    world
        .elb
        .fail("DescribeTargetHealth", Failure::Delay(Duration::from_secs(2)), Some(1));
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let report = world.answer(&invocation);
    assert_eq!(report["settled"], true, "{report}");
    assert_eq!(world.addresses(), [NEW]);
}

/// Fails if an event's order or number makes a difference to what is written.
#[test]
fn duplicates_and_disorder_change_nothing_twice() {
    let world = World::settled();
    let _function = world.bound(WRITER, "1s");
    let event = |id| eventbridge(id, "orders", Duration::ZERO).to_string();
    // The end before the beginning, and both before DNS.
    world.ask(&event(COMPLETE), SOME);
    let invocation = world.runtime.invoke(&event(START), LONG);
    world.wait_for_queries(WRITER, 2);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.answer(&invocation);
    let both = [COMPLETE, START].map(|id| subscription(id, "orders", Duration::ZERO));
    for payload in [&event(START), &sns_in_sqs(&both).to_string(), TICK] {
        let report = world.ask(payload, SOME);
        assert_eq!(report["settled"], true, "{report}");
    }
    assert_eq!(world.changes(), ["Register 10.0.2.7:5432", "Deregister 10.0.1.5:5432"]);
    assert!(world.elb.lowest_registered(&world.arn) >= 1);
    assert_eq!(world.elb.writes().len(), 2, "{}", world.story());
}

/// Fails if a failover whose events are all lost needs more than a tick.
#[test]
fn a_tick_makes_good_for_lost_events() {
    let world = World::failed_over();
    let _function = world.bound(WRITER, "3s");
    let report = world.ask(TICK, LONG);
    assert_eq!(report["settled"], true, "{report}");
    assert_eq!(world.addresses(), [NEW]);
    assert!(world.elb.lowest_registered(&world.arn) >= 1);
    let writes = world.elb.writes().len();
    world.ask(TICK, LONG);
    assert_eq!(world.elb.writes().len(), writes);
}

/// Fails if an invocation lasts as long as a removal that it cannot live to see.
#[test]
fn what_ends_after_the_deadline_is_left_to_the_next_tick() {
    let world = World::failed_over();
    let function = world.bound(WRITER, "10m");
    let start = Instant::now();
    let report = world.ask(TICK, LONG);
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    assert_eq!((&report["settled"], &report["exit_code"]), (&false.into(), &4.into()));
    assert_eq!(texts(&report["target_groups"][0]["holds"], "reason"), ["forgetting"]);
    assert_eq!(world.changes(), ["Register 10.0.2.7:5432"]);
    let [measured] = &metrics(&function, 1)[..] else {
        panic!("one group, one line")
    };
    assert_eq!((&measured["InSync"], &measured["Holds"]), (&0.into(), &1.into()));
    assert_eq!(measured["ConvergenceSeconds"], Value::Null);
}

/// Fails if two executions at once undo each other, or leave the group empty for a moment.
#[test]
fn overlapping_invocations_do_no_harm() {
    let world = World::settled();
    let _functions = [world.bound(WRITER, "2s"), world.bound(WRITER, "2s")];
    assert!(world.runtime.wait_for_nexts(2, PATIENCE));
    let event = eventbridge(START, "orders", Duration::ZERO).to_string();
    // Whoever comes second to every change goes on waiting for one of its own.
    let timeout = Duration::from_secs(15);
    let invocations = [(); 2].map(|()| world.runtime.invoke(&event, timeout));
    world.wait_for_queries(WRITER, 4);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    for invocation in &invocations {
        assert_eq!(world.answer(invocation)["settled"], true);
    }
    assert_eq!(world.addresses(), [NEW]);
    assert!(world.elb.lowest_registered(&world.arn) >= 1);
    let calls = world.elb.calls();
    for (action, id) in [("RegisterTargets", OLD), ("DeregisterTargets", NEW)] {
        assert_eq!(count(&calls, action, id), 0, "{}", world.story());
    }
    let of_new = count(&calls, "RegisterTargets", NEW);
    let of_old = count(&calls, "DeregisterTargets", OLD);
    assert!(
        (1..=2).contains(&of_new) && (1..=2).contains(&of_old),
        "{}",
        world.story()
    );
}

/// Fails if what a process remembers, or its connections, do not survive that it stands still between invocations.
#[test]
fn it_works_on_after_it_was_frozen() {
    let world = World::settled();
    let function = world.bound(WRITER, OUTLASTS);
    world.ask(TICK, SHORT);
    assert!(world.runtime.wait_for_nexts(2, PATIENCE));
    function.freeze();
    world.elb.stop_listening();
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.elb.listen_again().unwrap();
    let mut ticks = 2;
    let end = Instant::now() + PATIENCE;
    while world.addresses() != [NEW] {
        assert!(Instant::now() < end, "{}", world.story());
        let invocation = world.runtime.invoke(TICK, SHORT);
        function.thaw();
        // A deadline that cuts a step short makes an error, and the next invocation does it.
        world.outcome(&invocation);
        ticks += 1;
        assert!(world.runtime.wait_for_nexts(ticks, PATIENCE));
        function.freeze();
    }
    assert!(world.elb.lowest_registered(&world.arn) >= 1);
}

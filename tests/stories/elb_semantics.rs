//! What Elastic Load Balancing means by its answers, and what happens to a group that a tool gets wrong about it.

use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use testkit::dns::{self, Behaviour};
use testkit::elb::{Call, Failure, Group, TargetType, TargetView};
use testkit::settings::target_group;

use super::world::{Daemon, NEW, OLD, PATIENCE, Scratch, WRITER, World, bind, count, finish, is, looks, said};

/// An address in the third zone, of somebody else.
const FOREIGN: &str = "10.0.3.9";
/// A private address outside the VPC, for which ELB asks for the zone `all`.
const OUTSIDE: &str = "10.9.9.9";
const ROLE: &str = "arn:aws:iam::444455556666:role/tether";

/// A verb bound to the writer endpoint, with clocks short enough for a test.
fn fast(world: &World, verb: &str) -> Command {
    let mut command = world.bound(verb);
    command.args(["--forget", "1s"]);
    if verb != "plan" {
        command.args(["--interval", "1s"]);
    }
    command
}

fn failover(world: &World) {
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
}

/// Tells one story in as many worlds as there are cases, all at once because most of it is waiting.
fn each<T: Sync>(cases: &[T], story: impl Fn(&T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| story(case));
        }
    });
}

fn is_done(call: &Call, action: &str, id: &str) -> bool {
    is(call, action, id) && call.outcome.is_ok()
}

fn removals(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.action == "DeregisterTargets").count()
}

#[track_caller]
fn wait_for_removal(world: &World, id: &str) {
    world.wait(&format!("{id} is removed"), |calls| {
        calls.iter().any(|call| is_done(call, "Deregister", id))
    });
}

/// When the first call was made that did this to that target.
#[track_caller]
fn when(world: &World, action: &str, id: &str) -> Instant {
    let calls = world.elb.calls();
    let call = calls.iter().find(|call| is_done(call, action, id));
    call.unwrap_or_else(|| panic!("no {action} {id} in\n{}", world.story()))
        .at
}

#[track_caller]
fn assert_ends(world: &World, registered: &[&str]) {
    let registered: Vec<String> = registered.iter().map(|ip| format!("{ip}:5432")).collect();
    assert_eq!(world.registered(), registered, "\n{}", world.story());
    let lowest = world.elb.lowest_registered(&world.arn);
    assert!(lowest >= 1, "the group was empty for a while\n{}", world.story());
}

/// Between a registration and the first removal the group was listed: an accepted call is no proof.
#[track_caller]
fn assert_seen_before_removal(world: &World) {
    let calls = world.elb.calls();
    let registered = calls.iter().position(|call| is_done(call, "Register", NEW));
    let removed = calls.iter().position(|call| call.action == "DeregisterTargets");
    let (Some(registered), Some(removed)) = (registered, removed) else {
        panic!("one of the two did not happen\n{}", world.story());
    };
    assert!(registered < removed, "removed first\n{}", world.story());
    let listed = |call: &Call| call.action == "DescribeTargetHealth" && call.outcome.is_ok();
    let seen = calls[registered..removed].iter().any(listed);
    assert!(seen, "removed without a look in between\n{}", world.story());
}

/// Waits until the group has been looked at that often since the last write: whoever writes at every look never gets there.
#[track_caller]
fn wait_for_silence(world: &World, wanted: usize) {
    world.wait("silence", |calls| {
        let last = calls.iter().rposition(Call::is_write);
        last.is_some_and(|at| looks(&calls[at..]) >= wanted)
    });
}

#[track_caller]
fn assert_exit(world: &World, output: &Output, exit: i32, parts: &[&str]) {
    let all = said(output);
    assert_eq!(output.status.code(), Some(exit), "{all}\n{}", world.story());
    for part in parts {
        assert!(all.contains(part), "{part:?} is missing from: {all}");
    }
    assert!(!all.contains("panicked"), "{all}");
}

/// Fails if targets are matched by address alone (the stale port stays for ever), or removed with the endpoint's or the
/// group's port instead of their own (ELB answers 200 and does nothing).
#[test]
fn a_right_address_with_a_wrong_port_is_removed_with_its_own_port() {
    let world = World::settled_with(Group::named("orders").port(3306));
    for port in [3306, 5433] {
        world.elb.put_target(&world.arn, OLD, port);
    }
    let output = finish(&mut fast(&world, "sync"));
    assert_exit(&world, &output, 0, &[]);
    let expect = ["Deregister 10.0.1.5:3306@eu-west-1a 10.0.1.5:5433@eu-west-1a"];
    assert_eq!(world.writes(), expect);
    assert_ends(&world, &[OLD]);
}

/// Fails if a target under another port counts as the wanted one: the database's port would never be served.
#[test]
fn a_right_address_under_only_a_wrong_port_is_replaced() {
    let world = World::new();
    world.elb.put_target(&world.arn, OLD, 3306);
    world.elb.reset_lowest(&world.arn);
    let output = finish(&mut fast(&world, "sync"));
    assert_exit(&world, &output, 0, &[]);
    let expect = ["Register 10.0.1.5:5432", "Deregister 10.0.1.5:3306@eu-west-1a"];
    assert_eq!(world.writes(), expect);
    assert_ends(&world, &[OLD]);
}

/// Fails if the old target is removed before, or without looking whether, the new one is in: the group would be empty.
#[test]
fn a_registration_that_fails_never_costs_the_old_target() {
    let code = |code| Failure::code(400, code, "no");
    let cases = [
        ("throttled", Failure::throttled(), 3),
        ("denied", Failure::denied("RegisterTargets"), 3),
        ("no room", code("TooManyTargets"), 3),
        // Each try is repeated with the zone `all`.
        ("refused", code("InvalidTarget"), 5),
        ("out of order", Failure::unavailable(), 3),
        ("expired", Failure::expired_token(), 3),
        ("reset", Failure::Reset, 3),
        ("garbage", Failure::Garbage, 3),
        ("hang", Failure::Hang, 2),
    ];
    each(&cases, |(name, failure, tries)| {
        let world = World::settled();
        world.elb.fail("RegisterTargets", failure.clone(), None);
        failover(&world);
        let _daemon = Daemon::start(&mut fast(&world, "run"));
        world.wait(&format!("{name}: it is tried again"), |calls| {
            count(calls, "Register", NEW) >= *tries
        });
        assert_eq!(removals(&world.elb.calls()), 0, "{name}\n{}", world.story());
        world.elb.heal();
        wait_for_removal(&world, OLD);
        assert_ends(&world, &[NEW]);
        assert_seen_before_removal(&world);
    });
}

/// Fails if a lost reply is taken for a failure for good (never converges) or for a success unseen.
#[test]
fn a_registration_whose_reply_is_lost_is_found_by_looking() {
    let world = World::settled();
    world.elb.fail("RegisterTargets", Failure::LostReply, None);
    failover(&world);
    let output = finish(&mut fast(&world, "sync"));
    assert_exit(&world, &output, 0, &[]);
    assert_ends(&world, &[NEW]);
    assert_seen_before_removal(&world);
}

/// Fails if a deregistration that went wrong is forgotten: the former writer would stay for ever.
#[test]
fn a_deregistration_that_fails_is_tried_again() {
    let cases = [
        Failure::throttled(),
        Failure::denied("DeregisterTargets"),
        Failure::unavailable(),
        Failure::Reset,
        Failure::Garbage,
        Failure::LostReply,
    ];
    each(&cases, |failure| {
        let world = World::settled();
        world.elb.fail("DeregisterTargets", failure.clone(), Some(2));
        failover(&world);
        let _daemon = Daemon::start(&mut fast(&world, "run"));
        // A reply that is no reply may have been obeyed or not; then the waiting begins again, and doubled.
        let swapped = world.elb.wait_until(PATIENCE, |model, now| {
            let targets = model.targets(&world.arn, now);
            let draining = |target: &TargetView| target.state == "draining";
            targets.len() == 2 && targets.iter().all(|target| draining(target) == (target.ip == OLD))
        });
        assert!(swapped, "{failure:?}\n{}", world.story());
        assert_ends(&world, &[NEW]);
        let removals = removals(&world.elb.calls());
        assert!((1..=3).contains(&removals), "{failure:?}\n{}", world.story());
    });
}

/// Fails if the removal follows the registration at once (the crash comes too late), if a new process takes the group it
/// finds for settled, or if it removes the old target without waiting out its own clock.
#[test]
fn a_crash_between_registration_and_removal_only_restarts_the_waiting() {
    let world = World::settled();
    failover(&world);
    let command = || {
        let mut command = world.bound("run");
        command.args(["--forget", "3s", "--interval", "1s"]);
        command
    };
    let killed = Daemon::start(&mut command());
    world.wait("the new target is registered and seen", |calls| {
        let registered = calls.iter().position(|call| is_done(call, "Register", NEW));
        registered.is_some_and(|at| looks(&calls[at..]) >= 1)
    });
    killed.signal("KILL");
    drop(killed);
    assert_eq!(removals(&world.elb.calls()), 0, "{}", world.story());
    let restarted = Instant::now();
    let _daemon = Daemon::start(&mut command());
    wait_for_removal(&world, OLD);
    let waited = when(&world, "Deregister", OLD).duration_since(restarted);
    assert!(waited >= Duration::from_secs(3), "{waited:?}\n{}", world.story());
    assert_eq!(count(&world.elb.calls(), "Register", NEW), 1, "{}", world.story());
    assert_ends(&world, &[NEW]);
}

/// Fails if only the first listed target, or the first wanted address, is looked at.
#[test]
fn several_surplus_targets_go_and_several_wanted_ones_come() {
    let world = World::settled();
    for surplus in ["10.0.1.6", "10.0.2.6", FOREIGN] {
        world.elb.put_target(&world.arn, surplus, 5432);
    }
    let wanted = ["10.0.1.8", NEW, "10.0.3.8"];
    world.dns.set(WRITER, Behaviour::all(&wanted, 1));
    let output = finish(&mut fast(&world, "sync"));
    assert_exit(&world, &output, 0, &[]);
    let expect = [
        "Register 10.0.1.8:5432 10.0.2.7:5432 10.0.3.8:5432",
        "Deregister 10.0.1.5:5432@eu-west-1a 10.0.1.6:5432@eu-west-1a 10.0.2.6:5432@eu-west-1b 10.0.3.9:5432@eu-west-1c",
    ];
    assert_eq!(world.writes(), expect);
    assert_ends(&world, &wanted);
}

fn failed_looks() -> [(Failure, usize); 7] {
    [
        (Failure::throttled(), 3),
        (Failure::denied("DescribeTargetHealth"), 3),
        (Failure::unavailable(), 3),
        (Failure::expired_token(), 3),
        (Failure::Garbage, 3),
        (Failure::Reset, 3),
        (Failure::Hang, 2),
    ]
}

/// Fails if a listing that failed counts as an empty one: everything wanted would be registered blindly.
#[test]
fn a_group_that_cannot_be_listed_is_not_an_empty_group() {
    each(&failed_looks(), |(failure, tries)| {
        let world = World::settled();
        world.elb.fail("DescribeTargetHealth", failure.clone(), None);
        failover(&world);
        let _daemon = Daemon::start(&mut fast(&world, "run"));
        world.wait("several failed looks", |calls| looks(calls) >= *tries);
        assert_eq!(world.writes(), [""; 0], "{failure:?}");
        world.elb.heal();
        wait_for_removal(&world, OLD);
        assert_ends(&world, &[NEW]);
    });
}

/// Fails if a removal that was waiting goes through on an earlier sight of the group: it needs one of its own step.
#[test]
fn nothing_is_removed_on_yesterdays_sight_of_the_group() {
    each(&failed_looks(), |(failure, tries)| {
        let world = World::settled();
        failover(&world);
        let mut command = world.bound("run");
        command.args(["--forget", "2s", "--interval", "1s"]);
        let _daemon = Daemon::start(&mut command);
        world.wait("the new target is seen registered", |calls| {
            let registered = calls.iter().position(|call| is_done(call, "Register", NEW));
            registered.is_some_and(|at| looks(&calls[at..]) >= 1)
        });
        world.elb.fail("DescribeTargetHealth", failure.clone(), None);
        let before = looks(&world.elb.calls());
        world.wait("several failed looks", |calls| looks(calls) >= before + tries);
        assert_eq!(world.writes(), ["Register 10.0.2.7:5432"], "{failure:?}");
        world.elb.heal();
        wait_for_removal(&world, OLD);
        assert_ends(&world, &[NEW]);
    });
}

/// Fails if `all` is never tried, is tried for in-VPC addresses first, or if the zone is lost when a target is removed or
/// brought back: ELB refuses each of these.
#[test]
fn zones_are_asked_for_and_echoed() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a(OUTSIDE, 1));
    let _daemon = Daemon::start(&mut fast(&world, "run"));
    wait_for_removal(&world, OLD);
    world.dns.set(WRITER, Behaviour::a(OLD, 1));
    wait_for_removal(&world, OUTSIDE);
    world.dns.set(WRITER, Behaviour::a(OUTSIDE, 1));
    world.wait("it is removed a second time", |calls| {
        count(calls, "Deregister", OLD) == 2
    });
    let expect = [
        "Register 10.9.9.9:5432 -> ValidationError",
        "Register 10.9.9.9:5432@all",
        "Deregister 10.0.1.5:5432@eu-west-1a",
        "Register 10.0.1.5:5432@eu-west-1a",
        "Deregister 10.9.9.9:5432@all",
        "Register 10.9.9.9:5432@all",
        "Deregister 10.0.1.5:5432@eu-west-1a",
    ];
    assert_eq!(world.writes(), expect);
    assert_ends(&world, &[OUTSIDE]);
}

/// What goes wrong, how `plan` and `sync` end, and what is said of it.
struct Wrong {
    action: &'static str,
    failure: Failure,
    plan: i32,
    sync: i32,
    parts: &'static [&'static str],
}

fn wrongs() -> Vec<Wrong> {
    let wrong = |action, failure, plan, sync, parts| Wrong {
        action,
        failure,
        plan,
        sync,
        parts,
    };
    let code = |code| Failure::code(400, code, "the reason in AWS's words");
    let groups = "DescribeTargetGroups";
    let health = "DescribeTargetHealth";
    let register = "RegisterTargets";
    let remove = "DeregisterTargets";
    vec![
        wrong(
            groups,
            Failure::denied(groups),
            77,
            77,
            &["AccessDenied", "allow elasticloadbalancing:DescribeTargetGroups on *"],
        ),
        wrong(groups, Failure::throttled(), 69, 69, &["Throttling", "shared"]),
        wrong(
            groups,
            code("TargetGroupNotFound"),
            78,
            78,
            &["TargetGroupNotFound", "check the ARN"],
        ),
        wrong(
            groups,
            code("InvalidAction"),
            1,
            1,
            &["InvalidAction", "the reason in AWS's words"],
        ),
        wrong(
            health,
            Failure::denied(health),
            77,
            77,
            &["AccessDenied", "allow elasticloadbalancing:DescribeTargetHealth on *"],
        ),
        wrong(health, Failure::throttled(), 69, 69, &["Throttling", "shared"]),
        wrong(
            health,
            Failure::unavailable(),
            69,
            69,
            &["ServiceUnavailable", "network path"],
        ),
        wrong(
            health,
            code("TargetGroupNotFound"),
            78,
            78,
            &["TargetGroupNotFound", "check the ARN"],
        ),
        wrong(health, Failure::Reset, 69, 69, &["Unreachable", "network"]),
        wrong(
            register,
            Failure::denied(register),
            2,
            77,
            &["AccessDenied", "allow elasticloadbalancing:RegisterTargets on arn:aws:"],
        ),
        wrong(register, Failure::throttled(), 2, 69, &["Throttling"]),
        wrong(
            register,
            code("InvalidTarget"),
            2,
            3,
            &["InvalidTarget", "10.0.2.7:5432 is refused by ELB"],
        ),
        wrong(
            register,
            code("TooManyTargets"),
            2,
            3,
            &["TooManyTargets", "10.0.2.7:5432 has no room", "quota"],
        ),
        wrong(
            register,
            Failure::too_many_registrations(),
            2,
            3,
            &["TooManyRegistrationsForTargetId", "quota"],
        ),
        wrong(
            remove,
            Failure::denied(remove),
            2,
            77,
            &[
                "AccessDenied",
                "allow elasticloadbalancing:DeregisterTargets on arn:aws:",
            ],
        ),
        wrong(remove, Failure::throttled(), 2, 69, &["Throttling"]),
    ]
}

/// Fails if an error is caught and success returned, or told without the group, AWS's code and what to do.
#[test]
fn errors_are_told_with_group_code_remedy_and_exit_code() {
    each(&wrongs(), |wrong| {
        let world = World::settled();
        failover(&world);
        world.elb.fail(wrong.action, wrong.failure.clone(), None);
        let plan = finish(&mut fast(&world, "plan"));
        let plan_says = if wrong.plan == 2 { &[] } else { wrong.parts };
        assert_exit(&world, &plan, wrong.plan, plan_says);
        let sync = finish(fast(&world, "sync").args(["--timeout", "5s"]));
        assert_exit(&world, &sync, wrong.sync, wrong.parts);
        assert!(said(&sync).contains(&world.arn), "{}", said(&sync));
        assert!(said(&sync).contains(wrong.action), "{}", said(&sync));
    });
}

/// Fails if the last line says that nothing was changed although the new target was registered just before.
#[test]
fn what_was_changed_before_a_refusal_is_not_denied() {
    let world = World::settled();
    failover(&world);
    world
        .elb
        .fail("DeregisterTargets", Failure::denied("DeregisterTargets"), None);
    let output = finish(&mut fast(&world, "sync"));
    assert_exit(&world, &output, 77, &["registered 10.0.2.7:5432"]);
    assert!(!said(&output).contains("nothing was changed"), "{}", said(&output));
}

/// Fails if the remedy for credentials that are too old or unknown is to write an IAM policy.
#[test]
fn bad_credentials_are_not_a_missing_permission() {
    let codes = ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch"];
    each(&codes, |code| {
        let world = World::settled();
        world.elb.fail("*", Failure::code(403, code, "the reason"), None);
        let output = finish(&mut fast(&world, "plan"));
        assert_exit(&world, &output, 77, &[code, "credentials"]);
        let text = said(&output);
        assert!(!text.contains("allow elasticloadbalancing:"), "{text}");
    });
}

/// Fails if an answer that is not ELB's, such as a proxy's page, is told as an error code of AWS to look up.
#[test]
fn an_answer_that_is_not_elbs_is_told_as_such() {
    let actions = ["DescribeTargetGroups", "DescribeTargetHealth"];
    each(&actions, |action| {
        let world = World::settled();
        world.elb.fail(action, Failure::Garbage, None);
        let output = finish(&mut fast(&world, "plan"));
        assert_exit(&world, &output, 69, &["BadResponse", action]);
    });
}

/// Fails if the end of the time is told as a failed listing although another call was the one that hung.
#[test]
fn a_call_that_hangs_is_bounded_by_the_timeout_and_named() {
    let actions = ["DescribeTargetGroups", "DescribeTargetHealth", "RegisterTargets"];
    each(&actions, |action| {
        let world = World::settled();
        failover(&world);
        world.elb.fail(action, Failure::Hang, None);
        let output = finish(fast(&world, "sync").args(["--timeout", "1s"]));
        // One attempt alone would be given five seconds.
        let took = world.since_first(action);
        assert!(took < Duration::from_millis(4500), "{took:?}");
        assert_exit(&world, &output, 69, &["--timeout", action]);
    });
}

/// Fails if a write of which no answer came in time, or none of ELB's, is told as one that was not made.
#[test]
fn a_write_that_may_have_been_made_is_told_as_such() {
    let cases = [
        ("RegisterTargets", Failure::Hang, true),
        ("RegisterTargets", Failure::Reset, true),
        ("RegisterTargets", Failure::unavailable(), true),
        ("RegisterTargets", Failure::throttled(), false),
        ("RegisterTargets", Failure::denied("RegisterTargets"), false),
        ("DescribeTargetHealth", Failure::Hang, false),
        ("DescribeTargetGroups", Failure::unavailable(), false),
    ];
    each(&cases, |(action, failure, may_be_made)| {
        let world = World::settled();
        failover(&world);
        world.elb.fail(action, failure.clone(), None);
        let said = said(&finish(fast(&world, "sync").args(["--timeout", "3s"])));
        let (told, other) = match may_be_made {
            true => ("a change may have been made: run plan to see", "nothing was changed"),
            false => ("nothing was changed", "may have been made"),
        };
        assert!(
            said.contains(told) && !said.contains(other),
            "{action} {failure:?}:\n{said}"
        );
    });
}

/// Fails if whole minutes of hanging calls are waited for, whatever they are called.
#[test]
fn sync_ends_within_its_timeout_although_every_call_hangs() {
    let world = World::settled();
    failover(&world);
    world.elb.fail("*", Failure::Hang, None);
    let output = finish(fast(&world, "sync").args(["--timeout", "1s"]));
    let took = world.since_first("*");
    assert!(took < Duration::from_millis(4500), "{took:?}");
    assert_exit(&world, &output, 69, &["orders", "Timeout"]);
}

/// Fails if draining counts as registered (then the removal is sent again at every look).
#[test]
fn a_deregistration_is_sent_once_however_long_the_target_drains() {
    let world = World::settled();
    failover(&world);
    let _daemon = Daemon::start(&mut fast(&world, "run"));
    wait_for_removal(&world, OLD);
    wait_for_silence(&world, 3);
    let output = finish(&mut fast(&world, "sync"));
    assert_exit(&world, &output, 0, &["draining"]);
    assert_eq!(removals(&world.elb.calls()), 1, "{}", world.story());
}

/// Target groups with the old address, each bound to a name of its own that has failed over.
fn failed_over(world: &World, groups: usize) -> String {
    let mut text = String::new();
    for n in 0..groups {
        let arn = world.elb.add_group(Group::named(&format!("group-{n}")));
        world.elb.put_target(&arn, OLD, 5432);
        let name = format!("db{n}.cluster-abc123.eu-west-1.rds.amazonaws.com");
        world.dns.set(&name, Behaviour::a(NEW, 1));
        text.push_str(&target_group(&arn, &format!("{name}:5432")).to_string());
    }
    text
}

fn throttled(calls: &[Call]) -> usize {
    let was = |call: &&Call| call.outcome.as_ref().is_err_and(|code| code == "Throttling");
    calls.iter().filter(was).count()
}

/// Fails if every binding makes its calls as fast as it can: the account's limits would be gone, for everybody.
#[test]
fn thirty_groups_converge_within_the_accounts_limits() {
    const GROUPS: usize = 30;
    let world = World::new();
    let scratch = Scratch::new();
    let path = scratch.write("config.toml", &failed_over(&world, GROUPS));
    world.elb.limits(true);
    let mut command = world.command("run");
    let _daemon = Daemon::start(
        command
            .args(["--forget", "1s", "--interval", "1s", "--config"])
            .arg(path),
    );
    let all_removed = |calls: &[Call]| {
        let removed = calls.iter().filter(|call| is_done(call, "Deregister", OLD));
        removed.count() == GROUPS
    };
    assert!(world.elb.wait_for(PATIENCE * 4, all_removed), "{}", world.story());
    let calls = world.elb.calls();
    let throttled = throttled(&calls);
    assert!(
        throttled * 10 <= calls.len(),
        "{throttled} of {} calls throttled",
        calls.len()
    );
    assert_rate(&calls);
}

/// Fails if a dry run spends more calls at once than ELB lets an idle account make: it does not try again, and would fail.
#[test]
fn a_dry_run_of_thirty_groups_is_not_throttled_by_itself() {
    let world = World::new();
    let scratch = Scratch::new();
    let path = scratch.write("config.toml", &failed_over(&world, 30));
    world.elb.limits(true);
    let output = finish(world.command("plan").arg("--config").arg(path));
    let calls = world.elb.calls();
    assert_eq!(throttled(&calls), 0, "of {} calls", calls.len());
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

/// The process's own budget: 30 calls saved up for the start, and one more every 260 ms.
#[track_caller]
fn assert_rate(calls: &[Call]) {
    let Some(first) = calls.first() else { return };
    for (made, call) in calls.iter().enumerate() {
        let passed = call.at.duration_since(first.at);
        let allowed = 30.0 + passed.as_secs_f64() / 0.26 + 2.0;
        assert!((made as f64) < allowed, "{made} calls in {passed:?}");
    }
}

/// Fails if a call is repeated at once, or several times by the SDK below: that is what a storm is made of.
#[test]
fn failed_calls_are_repeated_slowly_and_in_the_end_succeed() {
    const FAILED: usize = 5;
    each(&[Failure::throttled(), Failure::unavailable()], |failure| {
        let world = World::settled();
        failover(&world);
        world.elb.fail("*", failure.clone(), Some(FAILED));
        let _daemon = Daemon::start(&mut fast(&world, "run"));
        wait_for_removal(&world, OLD);
        assert_ends(&world, &[NEW]);
        let calls = world.elb.calls();
        // Four waits, each drawn from zero up to 0.5, 1, 2 and 4 s: all but never shorter than this together.
        let took = calls[FAILED - 1].at.duration_since(calls[0].at);
        assert!(took >= Duration::from_millis(200), "{FAILED} calls in {took:?}");
        assert!(calls.len() <= FAILED + 12, "{}", world.story());
    });
}

/// Fails if another's target is kept for ever by default, goes without a word, or goes before it was given its time.
#[test]
fn a_foreign_target_is_removed_after_its_time_with_a_warning() {
    let world = World::settled();
    world.elb.put_target(&world.arn, FOREIGN, 5432);
    let started = Instant::now();
    let daemon = Daemon::start(&mut fast(&world, "run"));
    wait_for_removal(&world, FOREIGN);
    assert!(when(&world, "Deregister", FOREIGN).duration_since(started) >= Duration::from_secs(1));
    let line = daemon.wait_for_log(&["WARN", "did not register", FOREIGN]);
    assert!(line.contains("--keep") && line.contains("--upsert-only"), "{line}");
    assert_eq!(world.writes(), ["Deregister 10.0.3.9:5432@eu-west-1c"]);
    assert_ends(&world, &[OLD]);
}

/// Fails if `keep` or `upsert-only` still remove, count as unsettled, or hold up a failover.
#[test]
fn a_foreign_target_stays_if_asked_for() {
    let cases: [(&[&str], &str, &[&str]); 2] = [
        (
            &["--keep", "10.0.3.0/24"],
            "covered by keep",
            &["Register 10.0.2.7:5432", "Deregister 10.0.1.5:5432@eu-west-1a"],
        ),
        (&["--upsert-only"], "upsert_only", &["Register 10.0.2.7:5432"]),
    ];
    each(&cases, |(flags, part, writes)| {
        let world = World::settled();
        world.elb.put_target(&world.arn, FOREIGN, 5432);
        for verb in ["plan", "sync"] {
            let output = finish(fast(&world, verb).args(*flags));
            assert_exit(&world, &output, 0, &[part, FOREIGN]);
        }
        assert_eq!(world.writes(), [""; 0]);
        failover(&world);
        let output = finish(fast(&world, "sync").args(*flags));
        assert_exit(&world, &output, 0, &[]);
        assert_eq!(world.writes(), *writes);
    });
}

/// Fails if somebody who puts a target back is fought at the same speed for ever: each return doubles the waiting.
#[test]
fn a_target_that_is_put_back_is_removed_more_and_more_slowly() {
    let world = World::settled();
    world.elb.put_target(&world.arn, FOREIGN, 5432);
    let _daemon = Daemon::start(&mut fast(&world, "run"));
    for (removal, least) in [(1, 1), (2, 2), (3, 4)] {
        let put_back = Instant::now();
        world.elb.put_target(&world.arn, FOREIGN, 5432);
        world.wait("the removal, and a look that shows it", |calls| {
            let last = calls.iter().rposition(|call| is_done(call, "Deregister", FOREIGN));
            count(calls, "Deregister", FOREIGN) == removal && last.is_some_and(|at| looks(&calls[at..]) >= 1)
        });
        let calls = world.elb.calls();
        let removed = calls.iter().rfind(|call| is_done(call, "Deregister", FOREIGN)).unwrap();
        let waited = removed.at.duration_since(put_back);
        assert!(
            waited >= Duration::from_secs(least),
            "{waited:?} before removal {removal}"
        );
    }
}

/// Fails if a return is noticed only when a look happened to fall in between: whoever puts the target back within a second
/// would be fought every second.
#[test]
fn a_target_that_is_put_back_at_once_is_removed_more_slowly_too() {
    let world = World::settled();
    world.elb.put_target(&world.arn, FOREIGN, 5432);
    let _daemon = Daemon::start(&mut fast(&world, "run"));
    let removed = |times| {
        world.wait("a removal", |calls| count(calls, "Deregister", FOREIGN) >= times);
        world.elb.put_target(&world.arn, FOREIGN, 5432);
        Instant::now()
    };
    removed(1);
    let put_back = removed(2);
    removed(3);
    let waited = put_back.elapsed();
    assert!(waited >= Duration::from_secs(3), "{waited:?}\n{}", world.story());
}

/// Fails if the old target goes as soon as the new one is in, which needs minutes; or stays because it is healthy, which a
/// former writer is; or because the new one is not healthy yet.
#[test]
fn a_former_writer_stays_for_forget_and_goes_although_it_alone_is_healthy() {
    let world = World::settled();
    world.elb.mark_dead(NEW);
    failover(&world);
    let mut command = world.bound("run");
    let _daemon = Daemon::start(command.args(["--forget", "4s", "--interval", "1s"]));
    wait_for_removal(&world, OLD);
    let waited = when(&world, "Deregister", OLD).duration_since(when(&world, "Register", NEW));
    // Its clock began with the look before the registration.
    assert!(waited >= Duration::from_millis(3500), "{waited:?}\n{}", world.story());
    let all = world.elb.targets(&world.arn);
    assert!(
        all.iter().any(|target| target.ip == NEW && target.state == "unhealthy"),
        "{all:?}"
    );
    assert_ends(&world, &[NEW]);
}

/// Fails if a reader's unnamed member goes while no named one is healthy, or stays although one is.
#[test]
fn a_reader_waits_for_a_healthy_replacement_or_for_patience_to_end() {
    each(&[("17s", false, 18), ("1h", true, 1)], |(patience, healthy, least)| {
        let world = World::settled();
        world.elb.put_target(&world.arn, NEW, 5432);
        if !healthy {
            world.elb.mark_dead(NEW);
        }
        failover(&world);
        let started = Instant::now();
        let mut command = fast(&world, "run");
        // A kept target asks for no answers of its own, so that 14 are enough for the other.
        command.args(["--role", "reader", "--patience", patience, "--keep", "10.0.2.0/24"]);
        let _daemon = Daemon::start(&mut command);
        let gone = |calls: &[Call]| calls.iter().any(|call| is_done(call, "Deregister", OLD));
        assert!(world.elb.wait_for(PATIENCE * 2, gone), "{}", world.story());
        let waited = when(&world, "Deregister", OLD).duration_since(started);
        assert!(waited >= Duration::from_secs(*least), "{waited:?}\n{}", world.story());
        assert_ends(&world, &[NEW]);
    });
}

/// Fails if registered is enough to replace: a target in a zone that the load balancer does not use gets no traffic.
#[test]
fn an_unused_target_replaces_none_that_serves() {
    let zones = ["eu-west-1a", "eu-west-1c"];
    let world = World::settled_with(Group::named("orders").zones(&zones));
    failover(&world);
    let output = finish(fast(&world, "sync").args(["--timeout", "4s"]));
    assert_exit(
        &world,
        &output,
        4,
        &["10.0.2.7:5432 is registered but unused", "enable its zone"],
    );
    assert_eq!(world.writes(), ["Register 10.0.2.7:5432"]);
    let output = finish(&mut fast(&world, "plan"));
    assert_exit(
        &world,
        &output,
        2,
        &["10.0.2.7:5432 is registered but unused", "enable its zone"],
    );
    world
        .elb
        .model(|model, _| model.group_mut(&world.arn).enabled_zones.insert("eu-west-1b".into()));
    let output = finish(&mut fast(&world, "sync"));
    assert_exit(&world, &output, 0, &[]);
    assert_ends(&world, &[NEW]);
}

/// Fails if a state that is not `healthy` is taken for absence: the same target would be registered at every look.
#[test]
fn every_state_but_two_is_registered() {
    let states = [
        ("healthy", None),
        ("initial", Some("Elb.RegistrationInProgress")),
        ("unhealthy", Some("Target.FailedHealthChecks")),
        ("unhealthy.draining", Some("Target.FailedHealthChecks")),
        ("unavailable", Some("Target.HealthCheckDisabled")),
        ("unused", Some("Target.NotInUse")),
        ("hibernating", Some("Target.Hibernates")),
    ];
    each(&states, |(state, reason)| {
        let world = World::settled();
        world.elb.set_health(&world.arn, OLD, 5432, state, *reason);
        for verb in ["plan", "sync"] {
            assert_exit(&world, &finish(&mut fast(&world, verb)), 0, &[state]);
        }
        assert_eq!(world.writes(), [""; 0], "{state}");
    });
}

/// Fails if `unused` is judged without its reason: this one says that the target is not in the group at all.
#[test]
fn a_target_that_is_told_not_to_be_registered_is_registered() {
    let world = World::settled();
    let not_registered = "Target.NotRegistered";
    world.elb.set_health(&world.arn, OLD, 5432, "unused", not_registered);
    let _daemon = Daemon::start(&mut fast(&world, "run"));
    world.wait("it is registered", |calls| count(calls, "Register", OLD) >= 1);
}

/// Fails if one actor undoes what another does, or any of them goes on writing when the group equals DNS.
#[test]
fn two_daemons_and_a_sync_reach_the_same_end_and_fall_silent() {
    let world = World::settled();
    let _one = Daemon::start(&mut fast(&world, "run"));
    let _two = Daemon::start(&mut fast(&world, "run"));
    world.wait("both look", |calls| looks(calls) >= 2);
    failover(&world);
    wait_for_removal(&world, OLD);
    wait_for_silence(&world, 3);
    let writes = world.writes();
    for _ in 0..2 {
        assert_exit(&world, &finish(&mut fast(&world, "sync")), 0, &[]);
    }
    assert_eq!(world.writes(), writes, "\n{}", world.story());
    assert_swapped_once(&world);
}

/// Each of two actors has sent each write at most once, and none against the other.
#[track_caller]
fn assert_swapped_once(world: &World) {
    let calls = world.elb.calls();
    for (action, id, most) in [
        ("Register", NEW, 2),
        ("Deregister", OLD, 2),
        ("Register", OLD, 0),
        ("Deregister", NEW, 0),
    ] {
        assert!(count(&calls, action, id) <= most, "{action} {id}\n{}", world.story());
    }
    assert_ends(world, &[NEW]);
}

/// Fails if three actors that start in the middle of a swap disturb each other.
#[test]
fn a_sync_beside_two_daemons_waits_and_agrees() {
    let world = World::settled();
    failover(&world);
    let _one = Daemon::start(&mut fast(&world, "run"));
    let _two = Daemon::start(&mut fast(&world, "run"));
    assert_exit(&world, &finish(&mut fast(&world, "sync")), 0, &[]);
    assert_ends(&world, &[NEW]);
    assert_eq!(count(&world.elb.calls(), "Deregister", NEW), 0, "{}", world.story());
}

/// Fails if whoever asks a stale name server removes what the other has just registered: both would swap for ever.
#[test]
fn two_daemons_whose_name_servers_disagree_for_less_than_forget_do_no_harm() {
    let world = World::settled();
    let stale = dns::Server::start();
    stale.set(WRITER, Behaviour::a(OLD, 1));
    let command = |server: &dns::Server| {
        let mut command = super::world::bare_command(&world.elb.url());
        command.args(["run", "--forget", "5s", "--interval", "1s"]);
        command.args(["--nameserver", &server.addr().to_string()]);
        bind(&mut command, &format!("{WRITER}:5432"), &world.arn);
        command
    };
    let _informed = Daemon::start(&mut command(&world.dns));
    let _stale = Daemon::start(&mut command(&stale));
    assert!(stale.wait_for_queries(WRITER, 2, PATIENCE));
    failover(&world);
    world.wait("the informed one registers", |calls| {
        calls.iter().any(|call| is_done(call, "Register", NEW))
    });
    let seen = stale.count(WRITER);
    assert!(stale.wait_for_queries(WRITER, seen + 2, PATIENCE));
    stale.set(WRITER, Behaviour::a(NEW, 1));
    wait_for_removal(&world, OLD);
    wait_for_silence(&world, 3);
    assert_swapped_once(&world);
}

/// Fails if one bad target group holds up, or ends, the service of the others, or is left out of the exit code.
#[test]
fn a_bad_group_does_not_hold_up_the_others_and_the_worst_speaks() {
    let cases: [(&[&str], i32, &[&str]); 5] = [
        (&["gone"], 78, &["TargetGroupNotFound"]),
        (&["instances"], 78, &["its targets are of type instance", "type ip"]),
        (&["denied"], 77, &["AccessDenied"]),
        (&["broken"], 69, &["ServiceUnavailable"]),
        (
            &["broken", "denied", "gone", "instances"],
            78,
            &[
                "ServiceUnavailable",
                "AccessDenied",
                "TargetGroupNotFound",
                "its targets are of type instance",
            ],
        ),
    ];
    each(&cases, |(bad, exit, parts)| {
        let world = World::settled();
        let scratch = Scratch::new();
        let path = scratch.write("config.toml", &troubled(&world, bad));
        failover(&world);
        let mut command = world.command("sync");
        command
            .args(["--forget", "1s", "--timeout", "6s", "--config"])
            .arg(&path);
        assert_exit(&world, &finish(&mut command), *exit, parts);
        assert_ends(&world, &[NEW]);
    });
}

/// The same for the daemon, which introduces its groups to itself with one call that fails as a whole.
#[test]
fn a_daemon_with_bad_groups_serves_the_good_one_and_names_the_others() {
    let world = World::settled();
    let scratch = Scratch::new();
    let bad = ["gone", "instances", "denied", "broken"];
    let path = scratch.write("config.toml", &troubled(&world, &bad));
    failover(&world);
    let mut command = world.command("run");
    let daemon = Daemon::start(
        command
            .args(["--forget", "1s", "--interval", "1s", "--config"])
            .arg(&path),
    );
    wait_for_removal(&world, OLD);
    assert_ends(&world, &[NEW]);
    for (name, code) in [
        ("gone", "TargetGroupNotFound"),
        ("instances", "its targets are of type instance"),
        ("denied", "AccessDenied"),
        ("broken", "ServiceUnavailable"),
    ] {
        daemon.wait_for_log(&["WARN", name, code]);
    }
}

/// A settings file that binds bad groups before and after the good one, all to the writer endpoint.
fn troubled(world: &World, bad: &[&str]) -> String {
    let endpoint = format!("{WRITER}:5432");
    let mut text = String::new();
    for (n, name) in bad.iter().enumerate() {
        let group = Group::named(name);
        let arn = match *name {
            "gone" => group.arn(),
            "instances" => world.elb.add_group(group.target_type(TargetType::Instance)),
            _ => world.elb.add_group(group),
        };
        let health = "DescribeTargetHealth";
        match *name {
            "denied" => world.elb.fail_for(&arn, health, Failure::denied(health), None),
            "broken" => world.elb.fail_for(&arn, health, Failure::unavailable(), None),
            _ => {}
        }
        text.push_str(&target_group(&arn, &endpoint).to_string());
        if n == 0 {
            text.push_str(&target_group(&world.arn, &endpoint).to_string());
        }
    }
    text
}

/// Fails if all targets go into one call, which ELB rejects, or if only the first batch is sent.
#[test]
fn many_targets_are_written_a_hundred_at_a_time() {
    let world = World::new();
    for n in 1..=250 {
        world.elb.put_target(&world.arn, &format!("10.0.1.{n}"), 5432);
    }
    failover(&world);
    assert_exit(&world, &finish(&mut fast(&world, "sync")), 0, &[]);
    assert_ends(&world, &[NEW]);
    let sizes: Vec<usize> = world.elb.writes().iter().map(|call| call.targets.len()).collect();
    assert_eq!(sizes, [1, 100, 100, 50], "{}", world.story());
}

/// Fails if one refused address keeps the others of its batch out, is not told, or is taken for success.
#[test]
fn one_refused_address_does_not_keep_the_others_out() {
    let world = World::settled_with(Group::named("orders").ipv6());
    let (one, other, refused) = ("2600:1f18:0:1::5", "2600:1f18:0:2::7", "2600:9999::1");
    world.elb.remove_target(&world.arn, OLD, 5432);
    world.dns.set(WRITER, Behaviour::all(&[one, other, refused], 1));
    let output = finish(fast(&world, "sync").args(["--timeout", "3s"]));
    assert_exit(
        &world,
        &output,
        3,
        &["[2600:9999::1]:5432 is refused by ELB", "InvalidTarget"],
    );
    let targets = world.elb.targets(&world.arn);
    let registered: Vec<&str> = targets.iter().map(|target| target.ip.as_str()).collect();
    assert_eq!(registered, [one, other], "{}", world.story());
    let json = finish(fast(&world, "sync").args(["--timeout", "2s", "--output", "json"]));
    assert_exit(&world, &json, 3, &["\"reason\": \"rejected\""]);
}

/// Fails if the old target is removed to make room for the new one, or if a full group passes for success.
#[test]
fn nothing_is_removed_to_make_room() {
    let world = World::settled_with(Group::named("orders").max_targets(1));
    failover(&world);
    let output = finish(fast(&world, "sync").args(["--timeout", "4s"]));
    assert_exit(
        &world,
        &output,
        3,
        &["TooManyTargets", "10.0.2.7:5432 has no room", "raise the quota"],
    );
    assert_eq!(removals(&world.elb.calls()), 0, "{}", world.story());
    let json = finish(fast(&world, "sync").args(["--timeout", "2s", "--output", "json"]));
    assert_exit(&world, &json, 3, &["\"reason\": \"no_room\""]);
    assert_ends(&world, &[OLD]);
}

/// The settings of a binding whose group belongs to another account.
fn with_role(world: &World, external_id: &str) -> String {
    let table = target_group(&world.arn, &format!("{WRITER}:5432")).to_string();
    format!("{table}assume_role = {{ arn = \"{ROLE}\", external_id = \"{external_id}\" }}\n")
}

/// Fails if any call is signed by the process's own key, or the external id does not reach AWS.
#[test]
fn calls_are_signed_by_the_assumed_role() {
    let world = World::settled();
    world.elb.require_external_id(ROLE, "orders-7f3a");
    failover(&world);
    let scratch = Scratch::new();
    let path = scratch.write("config.toml", &with_role(&world, "orders-7f3a"));
    let output = finish(world.command("sync").args(["--forget", "1s", "--config"]).arg(path));
    assert_exit(&world, &output, 0, &[]);
    assert_ends(&world, &[NEW]);
    let calls = world.elb.calls();
    let (assumed, others): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.action == "AssumeRole");
    assert_eq!(assumed.len(), 1, "{}", world.story());
    assert_eq!(assumed[0].access_key.as_deref(), Some("AKIAEXAMPLE"));
    for call in others {
        let role = call
            .role
            .as_ref()
            .map(|role| (role.arn.as_str(), role.external_id.as_deref()));
        assert_eq!(role, Some((ROLE, Some("orders-7f3a"))), "{call:?}");
    }
}

/// Fails if a role that cannot be assumed reads as if the process had no credentials, or goes on without the role.
#[test]
fn a_role_that_cannot_be_assumed_is_told_as_such() {
    let world = World::settled();
    world.elb.require_external_id(ROLE, "orders-7f3a");
    let scratch = Scratch::new();
    let path = scratch.write("config.toml", &with_role(&world, "wrong"));
    for verb in ["plan", "sync"] {
        let output = finish(world.command(verb).arg("--config").arg(&path));
        assert_exit(&world, &output, 77, &[]);
        let all = said(&output);
        for part in ["AccessDenied", "sts:AssumeRole", ROLE] {
            assert!(all.contains(part), "{part:?} is missing from: {all}");
        }
        assert!(!all.contains("AWS_SECRET_ACCESS_KEY"), "it has credentials: {all}");
    }
    let calls = world.elb.calls();
    assert!(
        calls.iter().all(|call| call.action == "AssumeRole"),
        "{}",
        world.story()
    );
}

/// Fails if the lack of credentials is retried for minutes, told as a network problem, or told without a remedy.
#[test]
fn no_credentials_end_at_once_with_what_to_give() {
    let world = World::settled();
    for verb in ["plan", "sync"] {
        let mut command = fast(&world, verb);
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY");
        let parts = [
            "orders",
            "NoCredentials",
            "instance or task role",
            "AWS_PROFILE",
            "AWS_ACCESS_KEY_ID",
        ];
        assert_exit(&world, &finish(&mut command), 77, &parts);
    }
    assert_eq!(world.story(), "");
}

/// Fails if the SDK's own settings in the environment reach its retries, where zero attempts are a panic.
#[test]
fn odd_sdk_settings_in_the_environment_do_no_harm() {
    let world = World::settled();
    for (name, value) in [
        ("AWS_MAX_ATTEMPTS", "0"),
        ("AWS_MAX_ATTEMPTS", "many"),
        ("AWS_RETRY_MODE", "bananas"),
        ("AWS_PROFILE", "nobody"),
        ("AWS_CONFIG_FILE", "/does/not/exist"),
    ] {
        let output = finish(fast(&world, "sync").env(name, value));
        assert_exit(&world, &output, 0, &[]);
    }
}

/// Fails if calls go where AWS_REGION says instead of where the group is.
#[test]
fn the_region_is_that_of_the_arn() {
    let group = Group::named("orders").region("us-east-2");
    let world = World::settled_with(group);
    failover(&world);
    let mut command = fast(&world, "sync");
    command
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_DEFAULT_REGION", "eu-central-1");
    assert_exit(&world, &finish(&mut command), 0, &[]);
    assert_ends(&world, &[NEW]);
    for call in world.elb.calls() {
        assert_eq!(call.region.as_deref(), Some("us-east-2"), "{call:?}");
    }
}

//! How long a target has been absent, remembered by a function that does not live long enough to wait.

use std::time::{Duration, Instant};

use rds_tether::function::tag::Seal;
use testkit::dns::Behaviour;
use testkit::elb::Failure;
use testkit::lambda::Function;

use testkit::function::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A value that this secret seals for this group.
fn sealed(secret: &str, arn: &str, text: &str) -> String {
    let seal: Seal = secret.parse().unwrap();
    seal.sealed(&arn.parse().unwrap(), text)
}

/// Leaves the tag that an earlier invocation would have left; gives its value.
fn leave(world: &World, text: &str) -> String {
    let value = sealed(TAG_SECRET, &world.arn, text);
    world.set_tag(&value);
    value
}

/// The first tick of a process.
#[track_caller]
fn cold_tick(world: &World, function: &mut Function) {
    function.restart();
    world.ask(TICK, SHORT);
}

/// The first tick of a process, with time for all that it may do.
#[track_caller]
fn long_cold_tick(world: &World, function: &mut Function) {
    function.restart();
    world.ask(TICK, LONG);
}

/// Ticks at which the function is cold, until the old target is gone or too much time has passed.
#[track_caller]
fn assert_forgets_though_cold(world: &World, function: &mut Function) {
    let end = Instant::now() + PATIENCE;
    while world.addresses() != [NEW] {
        assert!(Instant::now() < end, "the old target stays for ever\n{}", world.story());
        function.restart();
        world.outcome(&world.runtime.invoke(TICK, SHORT));
    }
    assert!(world.elb.lowest_registered(&world.arn) >= 1);
}

/// Fails if a member that has left a reader endpoint stays for ever because no process lives long enough.
#[test]
fn a_reader_is_forgotten_by_a_function_that_is_cold_at_every_tick() {
    let world = World::reader_left();
    world.dns.set(READER, Behaviour::a(NEW, 5));
    world.dns.caching(true);
    let mut function = world.bound(READER, OUTLASTS);
    assert_forgets_though_cold(&world, &mut function);
}

/// Fails if a former writer whose events are lost stays for ever because no process lives long enough.
#[test]
fn a_writer_is_forgotten_by_a_function_that_is_cold_at_every_tick() {
    let world = World::failed_over();
    let mut function = world.bound(WRITER, OUTLASTS);
    assert_forgets_though_cold(&world, &mut function);
}

/// Fails if the clocks in the tag do not count on from one cold process to the next, each with one answer of its own.
#[test]
fn each_cold_process_adds_its_answers_to_the_tag() {
    let world = World::reader_left();
    // An answer holds for longer than an invocation lasts.
    world.dns.set(READER, Behaviour::a(NEW, 60));
    world.dns.caching(true);
    let since = secs_ago(10 * MINUTE);
    leave(&world, &tag_of_old(MINUTE, 10 * MINUTE, 20));
    let mut function = world.bound(READER, "5m");
    let answers = |world: &World| {
        let tag = world.tag();
        let entry = tag.split(' ').nth(1).unwrap_or_default();
        let count = entry.strip_prefix(format!("{OLD}/5432={since}+").as_str());
        count
            .unwrap_or_else(|| panic!("since when has changed: {tag}"))
            .parse::<u32>()
            .unwrap()
    };
    // It takes 14 answers for each of two members. An invocation that had no time to look adds none.
    let end = Instant::now() + 4 * PATIENCE;
    let mut counted = 20;
    while world.changes().is_empty() {
        assert!(Instant::now() < end, "{counted} answers: {}", world.story());
        cold_tick(&world, &mut function);
        if world.changes().is_empty() {
            let now = answers(&world);
            assert!(now == counted || now == counted + 1, "{now} after {counted}");
            counted = now;
        }
    }
    assert!(counted >= 27, "{counted} answers of 28, and one in the last invocation");
    assert_eq!(world.changes(), ["Deregister 10.0.1.5:5432"]);
    // Nobody is absent any more, as soon as a look has shown that: in the same invocation, if there is time for it.
    let end = Instant::now() + PATIENCE;
    while !world.tag().is_empty() {
        assert!(Instant::now() < end, "the tag stays: {}", world.tag());
        cold_tick(&world, &mut function);
    }
    assert_eq!(world.changes(), ["Deregister 10.0.1.5:5432"]);
    let writes = world.elb.writes().len();
    cold_tick(&world, &mut function);
    assert_eq!(world.elb.writes().len(), writes);
}

/// Fails if a clock that another process left is enough to remove a target.
#[test]
fn remembered_clocks_do_not_replace_two_looks() {
    let world = World::reader_left();
    leave(&world, &tag_of_old(MINUTE, 60 * MINUTE, 1000));
    let _function = world.bound(READER, "5m");
    let report = world.ask(TICK, LONG);
    assert_eq!(report["settled"], true, "the removal is seen to have worked: {report}");
    assert_eq!(world.changes(), ["Deregister 10.0.1.5:5432"]);
    let calls = world.elb.calls();
    let removal = calls
        .iter()
        .position(|call| call.action == "DeregisterTargets")
        .unwrap();
    let looks = times(&calls[..removal], "DescribeTargetHealth");
    assert!(looks >= 2, "{}", world.story());
    let queries = world.dns.queries();
    assert!(queries.iter().filter(|query| query.at < calls[removal].at).count() >= 2);
}

/// Fails if the tag is written without need.
#[test]
fn what_nobody_is_absent_from_has_no_tag() {
    let world = World::settled();
    let _function = world.bound(WRITER, "10m");
    world.ask(TICK, LONG);
    assert_eq!(world.tags_written(), [""; 0]);
    // An answer names the target that an earlier process had missed.
    leave(&world, &tag_of_old(MINUTE, 10 * MINUTE, 1));
    world.ask(TICK, LONG);
    world.ask(TICK, LONG);
    assert_eq!(world.tags_written(), [""], "cleared once");
}

/// Fails if a bad tag is an error, or makes a target seem absent for longer than it is.
#[test]
fn a_tag_that_cannot_be_believed_only_delays() {
    let world = World::reader_left();
    let mut function = world.bound(READER, "5m");
    let (now, since) = (secs_ago(Duration::ZERO), secs_ago(10 * MINUTE));
    let entry = format!("{OLD}/5432={since}+1000");
    let tags = [
        "garbage".to_owned(),
        "kept by somebody else = yes".to_owned(),
        entry.clone(),
        format!("{now}"),
        format!("{now} {entry} {OLD}"),
        format!("{now} {OLD}={since}+1000"),
        format!("{now} 10.0.1.9/5432={since}+1000"),
        // From the future, as a whole or in part.
        format!("{} {entry}", now + 3600),
        format!("{now} {OLD}/5432={}+1000", now + 3600),
        // Nobody has looked for longer than absence is believed.
        tag_of_old(2 * MINUTE, 10 * MINUTE, 1000),
    ];
    for tag in &tags {
        leave(&world, tag);
        cold_tick(&world, &mut function);
        assert_eq!(world.changes(), [""; 0], "{tag}");
    }
    let lines = metrics(&function, tags.len());
    assert!(lines.iter().all(|line| line["ReconcileErrors"] == 0), "{lines:?}");
    leave(&world, &tag_of_old(MINUTE, 10 * MINUTE, 1000));
    long_cold_tick(&world, &mut function);
    assert_eq!(world.addresses(), [NEW], "one that can be believed does count");
}

/// Fails if somebody who may write the tag, but has not the function's secret, can make a target seem absent for long.
#[test]
fn a_tag_that_another_hand_wrote_shortens_nothing() {
    let world = World::reader_left();
    let (other, _) = world.add_settled("billing");
    let mut function = world.bound(READER, "5m");
    let long = |last| tag_of_old(last, 10 * MINUTE, 1000);
    let ours = |text: &str| sealed(TAG_SECRET, &world.arn, text);
    let forged = [
        long(MINUTE),
        format!("{} {}", long(MINUTE), "0".repeat(32)),
        sealed("the secret of another", &world.arn, &long(MINUTE)),
        sealed(TAG_SECRET, &other, &long(MINUTE)),
        // A value of its own that says more, and one that is cut off.
        ours(&long(MINUTE)).replace("+1000", "+1001"),
        ours(&long(MINUTE)).rsplit_once(' ').unwrap().0.to_owned(),
    ];
    let told = |function: &Function| {
        let lines = function.stderr();
        let of_group = |line: &&String| line.contains("is not believed") && line.contains("\"orders\"");
        lines.iter().filter(of_group).count()
    };
    for (nth, tag) in forged.iter().enumerate() {
        world.set_tag(tag);
        long_cold_tick(&world, &mut function);
        assert_eq!(world.changes(), [""; 0], "{tag}");
        assert_eq!(told(&function), nth + 1, "{tag}: {:?}", function.stderr());
        // As long as the process lives, it is told once.
        world.set_tag(tag);
        world.ask(TICK, LONG);
        assert_eq!((world.changes(), told(&function)), (Vec::new(), nth + 1), "{tag}");
    }
    // Written again after its time, its own is of no use: nobody has looked for longer than absence is believed.
    world.set_tag(&ours(&long(2 * MINUTE)));
    long_cold_tick(&world, &mut function);
    assert_eq!(world.changes(), [""; 0]);
    leave(&world, &long(MINUTE));
    long_cold_tick(&world, &mut function);
    assert_eq!(world.addresses(), [NEW], "its own does count");
    assert!(function.stderr().iter().all(|line| !line.contains(TAG_SECRET)));
}

/// Fails if a forged tag makes a writer's old target go before its time.
#[test]
fn a_forged_tag_leaves_the_old_target_its_time() {
    let world = World::failed_over();
    world.elb.put_target(&world.arn, NEW, 5432);
    world.set_tag(&tag_of_old(MINUTE, 10 * MINUTE, 1000));
    let _function = world.bound(WRITER, "3s");
    assert_eq!(world.ask(TICK, LONG)["settled"], true);
    assert_eq!(world.changes(), ["Deregister 10.0.1.5:5432"]);
    let calls = world.elb.calls();
    let first = |action: &str| calls.iter().find(|call| call.action == action).unwrap().at;
    let waited = first("DeregisterTargets") - first("DescribeTags");
    assert!(waited >= Duration::from_secs(3), "{waited:?}");
}

/// Fails if a function without a secret believes a tag, or leaves one that nobody could believe.
#[test]
fn without_a_secret_the_tag_is_neither_read_nor_written() {
    let world = World::reader_left();
    let tag = leave(&world, &tag_of_old(MINUTE, 10 * MINUTE, 1000));
    let function = world.bound_with(READER, "5m", &[("RDS_TETHER_TAG_KEY", "")]);
    world.ask(TICK, LONG);
    assert_eq!((world.changes(), world.tag()), (Vec::new(), tag));
    assert_eq!(times(&world.elb.calls(), "DescribeTags"), 0, "{}", world.story());
    let says_so = |lines: &[String]| lines.iter().any(|line| line.contains("RDS_TETHER_TAG_KEY is not set"));
    assert!(function.wait_for_stderr(PATIENCE, says_so), "{:?}", function.stderr());
}

/// Fails if a tag that may not be read or written is more than a delay.
#[test]
fn a_tag_that_is_denied_only_delays() {
    at_once(["DescribeTags", "AddTags"], |action| {
        let world = World::reader_left();
        let mut function = world.bound(READER, "5m");
        world.elb.fail(action, Failure::denied(action), None);
        let tag = leave(&world, &tag_of_old(MINUTE, 4 * MINUTE, 1000));
        cold_tick(&world, &mut function);
        assert_eq!(world.changes(), [""; 0], "{action}");
        let stays = action == "AddTags";
        assert_eq!(world.tag() == tag, stays, "what could not be read is replaced");
        let denied = format!("elasticloadbalancing:{action}");
        let says_so = |lines: &[String]| lines.iter().any(|line| line.contains(&denied));
        assert!(function.wait_for_stderr(PATIENCE, says_so), "{action}");

        world.elb.heal();
        leave(&world, &tag_of_old(MINUTE, 10 * MINUTE, 1000));
        long_cold_tick(&world, &mut function);
        assert_eq!(world.addresses(), [NEW], "{action}");
    });
}

/// Fails if each group's tag costs a call of its own, or does not reach its group.
#[test]
fn one_call_reads_the_tags_of_twenty_groups() {
    let world = World::failed_over();
    let mut groups = vec![(world.arn.clone(), WRITER.to_owned())];
    groups.extend((1..21).map(|number| world.add_settled(&format!("orders-{number}"))));
    // Among those described together, and alone.
    let left = [&groups[0], &groups[7], &groups[20]];
    for (arn, host) in left {
        world.dns.set(host, Behaviour::a(NEW, 1));
        world.elb.put_target(arn, NEW, 5432);
        let tag = sealed(TAG_SECRET, arn, &tag_of_old(MINUTE, 10 * MINUTE, 1000));
        world.elb.set_tag(arn, TAG, &tag);
    }
    let settings: String = groups.iter().map(binding).collect();
    let _function = world.start(&[("RDS_TETHER_CONFIG", &settings)]);
    assert_eq!(world.ask(TICK, LONG)["settled"], true, "{}", world.story());
    let calls = world.elb.calls();
    for action in ["DescribeTags", "DescribeTargetGroups"] {
        assert_eq!(times(&calls, action), 2, "{action}: {}", world.story());
    }
    for (arn, _) in left {
        assert_eq!(world.registered_in(arn), [NEW], "{arn}");
    }
    assert_eq!(world.changes().len(), left.len(), "{}", world.story());
}

/// Fails if a group that does not exist keeps another from what is remembered of it.
#[test]
fn a_missing_group_hides_no_tags() {
    let world = World::failed_over();
    world.elb.put_target(&world.arn, NEW, 5432);
    leave(&world, &tag_of_old(MINUTE, 10 * MINUTE, 1000));
    let missing = (world.arn.replace("orders", "nowhere"), WRITER.to_owned());
    let others = ["billing", "reports"].map(|name| world.add_settled(name));
    let tables = [binding(&missing), world.binding()].into_iter();
    let settings: String = tables.chain(others.iter().map(binding)).collect();
    let _function = world.start(&[("RDS_TETHER_CONFIG", &settings)]);
    let error = world.ask_in_vain(TICK, LONG);
    assert!(error.message.starts_with("nowhere: "), "{}", error.message);
    assert_eq!(world.addresses(), [NEW], "{}", world.story());
    assert_eq!(world.changes(), ["Deregister 10.0.1.5:5432"]);
}

/// Fails if a denial that stands is told of by every invocation, or only once to every process.
#[test]
fn a_denial_is_warned_of_once_in_a_process() {
    at_once(["DescribeTags", "AddTags"], |action| {
        let world = World::reader_left();
        world.elb.fail(action, Failure::denied(action), None);
        let mut function = world.bound(READER, "5m");
        for (round, warnings) in [1, 1, 1, 2, 2].into_iter().enumerate() {
            if round == 3 {
                function.restart();
            }
            let invocation = world.runtime.invoke(TICK, SHORT);
            world.answer(&invocation);
            log(&function, invocation.id());
            let calls = times(&world.elb.calls(), action);
            assert_eq!(calls, round + 1, "tried each time: {}", world.story());
            let lines = function.stderr();
            let denied = format!("elasticloadbalancing:{action}");
            let warned = lines.iter().filter(|line| line.contains(&denied));
            assert_eq!(warned.count(), warnings, "{action} {round}: {lines:?}");
        }
    });
}

/// Fails if a process that goes on living needs the tag.
#[test]
fn without_any_tag_a_warm_process_forgets_by_itself() {
    let world = World::failed_over();
    for action in ["DescribeTags", "AddTags"] {
        world.elb.fail(action, Failure::denied(action), None);
    }
    let _function = world.bound(WRITER, OUTLASTS);
    let end = Instant::now() + PATIENCE;
    while world.addresses() != [NEW] {
        assert!(Instant::now() < end, "{}", world.story());
        world.outcome(&world.runtime.invoke(TICK, SHORT));
    }
    assert!(world.elb.lowest_registered(&world.arn) >= 1);
}

/// Fails if a call about the tag that is never answered holds up a registration, or the response beyond the deadline.
#[test]
fn a_tag_that_hangs_holds_up_nothing_for_long() {
    at_once(["DescribeTags", "AddTags"], |action| {
        let world = World::failed_over();
        leave(&world, &tag_of_old(MINUTE, 2 * MINUTE, 2));
        let _function = world.bound(WRITER, "1h");
        world.elb.fail(action, Failure::Hang, None);
        let start = Instant::now();
        let invocation = world.runtime.invoke(TICK, SHORT);
        world.wait("the new address is registered", |calls| {
            count(calls, "RegisterTargets", NEW) == 1
        });
        // Whoever waited for the tag would have come to the reserve of two seconds.
        let took = start.elapsed();
        assert!(took < SHORT - Duration::from_secs(2), "{action}: {took:?}");
        world.answer(&invocation);
        let left = invocation.time_left();
        assert!(left > Some(Duration::from_millis(300)), "{action}: {left:?}");
    });
}

/// Fails if a function that is only to observe writes anything.
#[test]
fn observing_writes_neither_targets_nor_tags() {
    let world = World::failed_over();
    let tag = leave(&world, &tag_of_old(MINUTE, 10 * MINUTE, 1000));
    let _function = world.bound_with(WRITER, "0s", &[("RDS_TETHER_OBSERVE", "true")]);
    for payload in [TICK, r#"{"command":"plan"}"#] {
        let report = world.ask(payload, LONG);
        let group = &report["target_groups"][0];
        assert_eq!(texts(&group["register"], ""), [format!("{NEW}:5432")]);
        assert_eq!((&group["applied"], &group["settled"]), (&false.into(), &false.into()));
    }
    assert_eq!((world.elb.writes().len(), world.tag()), (0, tag), "{}", world.story());
}

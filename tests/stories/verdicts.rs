//! What is said last names what is wrong: which of DNS and AWS, the likely cause, and a group that cannot serve a database.

use std::net::UdpSocket;
use std::time::Duration;

use testkit::dns::Behaviour;
use testkit::elb::{Failure, Group, TargetType};

use super::world::{Daemon, NEW, OLD, WRITER, World, assert_exit, assert_says, finish, said};

fn last(text: &str) -> &str {
    text.trim_end().lines().last().expect("a last line")
}

/// What a name server answers, and what the last line of a plan says of it.
#[test]
fn the_last_line_names_the_likely_cause_in_dns() {
    for (behaviour, parts) in [
        (Behaviour::NxDomain, ["does not exist (NXDOMAIN)", "spelling"]),
        (
            Behaviour::NoData,
            ["no address of the target group's family", "spelling"],
        ),
        (
            Behaviour::Refused,
            ["refused by the name server (REFUSED)", "--nameserver"],
        ),
        (Behaviour::ServFail, ["SERVFAIL", "servers of the zone"]),
        (Behaviour::Silent, ["no name server answers in time", "UDP and TCP"]),
    ] {
        let world = World::settled();
        world.dns.set(WRITER, behaviour);
        let text = assert_exit(&mut world.bound("plan"), 69);
        assert_says(
            last(&text),
            &[&format!("=> DNS: {WRITER} "), parts[0], parts[1], "nothing was changed"],
        );
        assert!(!last(&text).contains("AWS"), "{text}");
    }
}

/// Fails if a name server that is not there is one that is slow, or if it takes the whole time to find that out.
#[test]
fn a_dead_name_server_is_not_a_slow_one() {
    let world = World::settled();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let text = assert_exit(&mut world.bound_by("plan", &[address]), 69);
    assert_says(&text, &["no name server there: the connection is refused"]);
    assert!(!text.contains("no answer in time"), "{text}");
    assert_says(last(&text), &["no name server can be reached", "--nameserver"]);
    // Beside one that answers it is noted, and no more; what that one says decides.
    let text = assert_exit(&mut world.bound_by("plan", &[address, world.dns.addr()]), 0);
    assert_says(&text, &["no name server there: the connection is refused"]);
    world.dns.set(WRITER, Behaviour::NxDomain);
    let text = assert_exit(&mut world.bound_by("plan", &[address, world.dns.addr()]), 69);
    assert_says(last(&text), &["does not exist (NXDOMAIN)"]);
}

/// Fails if AWS's failure is called one of DNS, or the other way round.
#[test]
fn the_last_line_names_aws_where_it_is_aws() {
    let world = World::settled();
    world.elb.fail("DescribeTargetHealth", Failure::unavailable(), None);
    let text = assert_exit(&mut world.bound("plan"), 69);
    assert_says(
        last(&text),
        &["=> AWS is not available: see above; nothing was changed"],
    );
    world.dns.set(WRITER, Behaviour::NxDomain);
    let text = assert_exit(&mut world.bound("plan"), 69);
    assert_says(
        last(&text),
        &["=> DNS: ", "does not exist (NXDOMAIN)", "and AWS is not available"],
    );
}

/// Fails if an answer that does not suit is called a call that failed.
#[test]
fn a_group_of_another_type_is_no_failed_call() {
    let world = World::settled_with(Group::named("orders").target_type(TargetType::Alb));
    for verb in ["plan", "sync", "doctor"] {
        let text = assert_exit(&mut world.bound(verb), 78);
        assert_says(&text, &["alb", "type ip"]);
        assert!(!text.contains("DescribeTargetGroups failed"), "{verb}: {text}");
    }
    assert_says(
        &assert_exit(&mut world.bound("plan"), 78),
        &["cannot be followed: its targets are of type alb"],
    );
}

/// Fails if what a sync ends with is told twice, or that its time was over not at all.
#[test]
fn a_sync_says_everything_once_and_that_its_time_was_over() {
    const OVER: &str = "; the time of --timeout was over";
    type Change = fn(&World);
    let cases: [(Change, i32, &[&str], bool); 5] = [
        (
            |world| {
                world
                    .elb
                    .fail("DescribeTargetHealth", Failure::denied("DescribeTargetHealth"), None)
            },
            77,
            &["DescribeTargetHealth failed"],
            false,
        ),
        (
            |world| world.elb.fail("DescribeTargetGroups", Failure::Hang, None),
            69,
            &["no answer within --timeout", "AWS is not available"],
            true,
        ),
        (
            |world| world.dns.set(WRITER, Behaviour::NxDomain),
            69,
            &["NXDOMAIN"],
            true,
        ),
        (
            |world| {
                world
                    .dns
                    .set(WRITER, Behaviour::a(OLD, 1).delayed(Duration::from_secs(60)))
            },
            69,
            &[],
            true,
        ),
        (
            |world| world.elb.put_target(&world.arn, NEW, 5432),
            4,
            &["changes are pending"],
            true,
        ),
    ];
    for (change, exit, parts, is_late) in cases {
        let world = World::settled();
        change(&world);
        let output = finish(world.bound("sync").args(["--timeout", "2s"]));
        let text = said(&output);
        assert_eq!(output.status.code(), Some(exit), "{text}");
        assert_says(&text, parts);
        let errors = String::from_utf8_lossy(&output.stderr);
        let results = String::from_utf8_lossy(&output.stdout);
        assert_eq!(last(&results).ends_with(OVER), is_late, "{text}");
        if !is_late {
            assert!(
                errors.is_empty() && text.matches(parts[0]).count() == 1,
                "{errors}\n{results}"
            );
        }
    }
}

/// Fails if what ELB lists and nobody can read is told as the SDK has it, or more than once.
#[test]
fn a_target_that_cannot_be_read_is_told_in_plain_words() {
    let world = World::settled();
    world.elb.put_target(&world.arn, "i-0abc", 5432);
    for verb in ["plan", "sync"] {
        let text = assert_exit(world.bound(verb).args(["--timeout", "2s"]), 1);
        assert_says(
            &text,
            &[
                "cannot be followed: a target that ELB lists is no address and port: it has the ID \"i-0abc\" and port 5432",
            ],
        );
        for word in ["Unreadable", "TargetHealthDescription", "Some("] {
            assert!(!text.contains(word), "{verb}: {text}");
        }
    }
}

/// The kind of a group, and what is said of it; nothing where it can serve a database.
#[test]
fn a_group_that_cannot_serve_a_database_is_told() {
    type Change = fn(&mut Group);
    // What `plan` and `sync` end with, and what `status` does.
    let (well, unusable) = ((0, 0), (78, 2));
    let cases: [(Change, Option<&str>, (i32, i32)); 10] = [
        (|_| {}, None, well),
        (|group| group.protocol = "TCP_UDP".into(), None, well),
        // Its port is for targets that are registered without one.
        (|group| group.port = 6432, None, well),
        (|group| group.protocol = "HTTP".into(), Some("HTTP"), unusable),
        (|group| group.protocol = "HTTPS".into(), Some("HTTPS"), unusable),
        (|group| group.protocol = "UDP".into(), Some("UDP"), unusable),
        (|group| group.protocol = "TLS".into(), Some("TLS"), unusable),
        (|group| group.protocol = "GENEVE".into(), Some("GENEVE"), unusable),
        (|group| group.health_check.port = "8080".into(), Some("port 8080"), well),
        (|group| group.health_check.port = "5432".into(), None, well),
    ];
    for (change, said, (exit, of_status)) in cases {
        let mut group = Group::named("orders");
        change(&mut group);
        let world = World::settled_with(group);
        assert_exit(&mut world.bound("sync"), exit);
        assert_exit(&mut world.bound("status"), of_status);
        let text = assert_exit(&mut world.bound("plan"), exit);
        assert_eq!(text.contains("=> not a usable target group"), exit != 0, "{text}");
        let notes: Vec<&str> = text.lines().filter(|line| line.contains("note: ")).collect();
        match said {
            None => assert!(notes.is_empty(), "{text}"),
            Some(said) => {
                assert!(notes.len() == 1 && notes[0].contains(said), "{said}: {text}");
                let daemon = Daemon::start(&mut world.bound("run"));
                daemon.wait_for_log(&["WARN", said]);
                let text = super::world::finish(&mut world.bound("doctor"));
                let text = super::world::said(&text);
                assert!(
                    text.lines().any(|line| line.contains(said) && !line.contains("  ok ")),
                    "{said}: {text}"
                );
            }
        }
    }
}

/// Fails if it is said that DNS does not name a target while nobody knows, or that it does.
#[test]
fn what_dns_says_is_not_known_while_it_fails() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::ServFail);
    let text = assert_exit(&mut world.bound("plan"), 69);
    assert_says(&text, &["DNS not known now"]);
    assert!(!text.contains("named by DNS"), "{text}");
    let text = assert_exit(&mut world.bound("status"), 2);
    assert_says(&text, &["not known now"]);
    assert!(
        !text.contains("names it") && !text.contains("does not name it"),
        "{text}"
    );
    // What it refuses is known all the same.
    world.dns.set(WRITER, Behaviour::a("203.0.113.9", 1));
    let text = assert_exit(&mut world.bound("plan"), 3);
    assert_says(&text, &["not named by DNS"]);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.elb.put_target(&world.arn, NEW, 5432);
    let text = assert_exit(&mut world.bound("plan"), 2);
    let of = |ip: &str| text.lines().find(|line| line.contains(ip) && line.contains("healthy"));
    assert_says(of(OLD).expect("a line"), &["not named by DNS"]);
    assert_says(of(NEW).expect("a line"), &["  named by DNS"]);
}

//! What is said last names what is wrong: which of DNS and AWS, the likely cause, and a group that cannot serve a database.

use std::net::UdpSocket;

use testkit::dns::Behaviour;
use testkit::elb::{Failure, Group, TargetType};

use super::world::{Daemon, NEW, OLD, WRITER, World, assert_exit, assert_says};

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
    assert_says(&text, &["connection refused: no name server listens there"]);
    assert!(!text.contains("no answer in time"), "{text}");
    assert_says(last(&text), &["no name server can be reached", "--nameserver"]);
    // Beside one that answers it is noted, and no more; what that one says decides.
    let text = assert_exit(&mut world.bound_by("plan", &[address, world.dns.addr()]), 0);
    assert_says(&text, &["connection refused: no name server listens there"]);
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
        &["cannot be followed: TargetTypeNotIp"],
    );
}

/// The kind of a group, and what is said of it; nothing where it can serve a database.
#[test]
fn a_group_that_cannot_serve_a_database_is_told() {
    type Change = fn(&mut Group);
    let cases: [(Change, Option<&str>); 8] = [
        (|_| {}, None),
        (|group| group.protocol = "TCP_UDP".into(), None),
        // Its port is for targets that are registered without one.
        (|group| group.port = 6432, None),
        (|group| group.protocol = "HTTP".into(), Some("HTTP")),
        (|group| group.protocol = "UDP".into(), Some("UDP")),
        (|group| group.protocol = "TLS".into(), Some("TLS")),
        (|group| group.health_check.port = "8080".into(), Some("port 8080")),
        (|group| group.health_check.port = "5432".into(), None),
    ];
    for (change, said) in cases {
        let mut group = Group::named("orders");
        change(&mut group);
        let world = World::settled_with(group);
        let text = assert_exit(&mut world.bound("plan"), 0);
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

//! Stale answers, repeats, name servers that differ, and names that rotate, through the built binary.

use std::process::Command;

use testkit::dns::{self, Behaviour};

use super::world::*;

/// A name of one's own, which leads to no RDS name.
const OWN: &str = "orders.db.internal";

fn by_its_word() -> Behaviour {
    Behaviour::a(OLD, 5).stale()
}

/// As Unbound and dnsdist serve what has expired, without a word.
fn standing_still() -> Behaviour {
    Behaviour::a(OLD, 30)
}

fn own(world: &World, verb: &str) -> Command {
    let mut command = world.command(verb);
    bind(&mut command, &format!("{OWN}:5432"), &world.arn);
    command
}

/// Fails if a stale answer is taken for the truth: something is changed for it, or it is called settled.
#[test]
fn a_stale_answer_is_no_answer() {
    for (stale, why) in [
        (by_its_word(), "a stale answer (10.0.1.5: by its own word, EDE 3)"),
        (
            standing_still(),
            "a stale answer (10.0.1.5: its TTL of 30 s stands still, and RDS gives 5 s at most)",
        ),
    ] {
        for (verb, further) in [("plan", &[][..]), ("sync", &["--timeout", "3s"])] {
            for world in [World::new(), World::settled()] {
                world.dns.set(WRITER, stale.clone());
                let text = assert_exit(world.bound(verb).args(further), 69);
                assert_says(&text, &["cannot be resolved, so nothing is removed", why]);
                assert_eq!(world.writes(), [""; 0], "{verb}");
            }
        }
    }
}

/// Fails if the first answer of a cache that gives what has expired, and fetches the new meanwhile, is believed; or if more is
/// waited for than the second.
#[test]
fn a_second_look_gets_the_truth() {
    for stale in [by_its_word(), standing_still()] {
        let world = World::new();
        world.elb.put_target(&world.arn, NEW, 5432);
        world
            .dns
            .set(WRITER, Behaviour::Sequence(vec![stale, Behaviour::a(NEW, 4)]));
        let text = assert_exit(world.bound("sync").args(["--timeout", "10s"]), 0);
        assert_says(&text, &["settled: the group equals DNS"]);
        assert_eq!(world.writes(), [""; 0]);
        assert_eq!(world.dns.count(WRITER), 2);
    }
}

/// Fails if a daemon does not say that its name server has nothing but stale answers, acts on one, or does not see the end.
#[test]
fn a_daemon_tells_of_stale_answers_and_sees_their_end() {
    for stale in [by_its_word(), standing_still()] {
        let world = World::settled();
        let daemon = Daemon::start(&mut world.bound("run"));
        daemon.wait_for_log(&["settled: the group equals DNS"]);
        world.dns.set(WRITER, stale);
        daemon.wait_for_log(&["cannot be resolved", "a stale answer (10.0.1.5"]);
        world.dns.set(WRITER, Behaviour::a(NEW, 1));
        world.wait("the new address is registered", |calls| {
            count(calls, "Register", NEW) > 0
        });
        assert_eq!(world.writes().len(), 1, "{}", world.story());
    }
}

/// Fails if what is known by one name server alone goes when that falls silent.
#[test]
fn the_word_of_a_silent_name_server_stands() {
    let world = World::settled();
    let second = dns::Server::start();
    second.set(WRITER, Behaviour::a(NEW, 1));
    let mut command = world.bound("run");
    command.args(["--nameserver", &second.addr().to_string(), "--forget", "1s"]);
    let daemon = Daemon::start(&mut command);
    world.wait("both are registered", |calls| count(calls, "Register", NEW) > 0);
    daemon.wait_for_log(&[
        "is not the same to all name servers",
        &format!("{} last said {NEW}", second.addr()),
    ]);
    second.set(WRITER, Behaviour::Silent);
    daemon.wait_for_log(&[NEW, "stays because it is what", &second.addr().to_string()]);
    assert_eq!(world.writes().len(), 1, "{}", world.story());
    second.set(WRITER, Behaviour::a(OLD, 1));
    world.wait("it is known to be gone", |calls| count(calls, "Deregister", NEW) > 0);
    daemon.wait_for_log(&["converged after"]);
}

/// Fails if a name that gives its addresses in turn loses them in turn, or nobody is told.
#[test]
fn a_name_that_rotates_is_followed_as_a_reader() {
    let world = World::settled();
    let turns = [OLD, OLD, NEW, OLD, OLD, OLD, OLD, OLD].map(|ip| Behaviour::a(ip, 1));
    world.dns.set(OWN, Behaviour::Sequence(turns.to_vec()));
    let daemon = Daemon::start(own(&world, "run").args(["--forget", "2s"]));
    let told = daemon.wait_for_log(&["gives 10.0.1.5 and 10.0.2.7 in turn"]);
    assert_says(&told, &["WARN", "orders.db.internal:5432", "role = \"reader\""]);
    // A writer's would be gone after two answers.
    assert!(world.dns.wait_for_queries(OWN, 12, PATIENCE));
    assert_eq!(
        world.registered(),
        ["10.0.1.5:5432", "10.0.2.7:5432"],
        "{}",
        world.story()
    );
}

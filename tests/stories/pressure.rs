//! More to do than calls to do it with: what waits for its turn, fails for long or hangs meanwhile must neither delay nor
//! falsify what DNS says now.

use std::thread;
use std::time::Duration;

use testkit::dns::{self, Behaviour};
use testkit::elb::{Call, Failure, Group};
use testkit::settings::target_group;

use super::world::*;

const NEWER: &str = "10.0.3.9";
const OTHER: &str = "users.example.com";
/// For what takes a number of looks, each some seconds after the last one.
const LONG: Duration = Duration::from_secs(90);

/// Many target groups, each with a name of its own that names the old address.
struct Fleet {
    world: World,
    arns: Vec<String>,
    scratch: Scratch,
}

impl Fleet {
    /// The groups are empty.
    fn empty(groups: usize) -> Self {
        let world = World::new();
        let arns = (0..groups).map(|index| {
            world.dns.set(&host(index), Behaviour::a(OLD, 1));
            world.elb.add_group(Group::named(&name(index)))
        });
        Self {
            arns: arns.collect(),
            scratch: Scratch::new(),
            world,
        }
    }

    /// The old address is registered in every group.
    fn settled(groups: usize) -> Self {
        let fleet = Self::empty(groups);
        for arn in &fleet.arns {
            fleet.world.elb.put_target(arn, OLD, 5432);
        }
        fleet
    }

    fn run(&self) -> Daemon {
        let table = |(index, arn): (usize, &String)| target_group(arn, &format!("{}:5432", host(index)));
        let text: String = self.arns.iter().enumerate().map(table).collect();
        let mut command = self.world.command("run");
        command.arg("--config").arg(self.scratch.write("config.toml", &text));
        Daemon::start(&mut command)
    }

    fn set(&self, index: usize, behaviour: Behaviour) {
        self.world.dns.set(&host(index), behaviour);
    }

    /// Groups that have not been looked at by then.
    fn unseen(&self, calls: &[Call]) -> usize {
        self.arns.iter().filter(|arn| looks_at(calls, arn) == 0).count()
    }

    /// A failover of one group now is followed. Gives the calls up to its registration.
    #[track_caller]
    fn assert_followed(&self, index: usize, address: &str) -> Vec<Call> {
        self.set(index, Behaviour::a(address, 1));
        let arn = &self.arns[index];
        let registers = |call: &Call| is_done(call, "Register", address) && call.arn.as_ref() == Some(arn);
        let registered = self.world.elb.wait_for(LONG, |calls| calls.iter().any(registers));
        let mut calls = self.world.elb.calls();
        assert!(
            registered,
            "{address} was not registered in {}; {} groups were not looked at by then",
            name(index),
            self.unseen(&calls),
        );
        let at = calls.iter().position(registers);
        calls.truncate(at.map_or(calls.len(), |at| at + 1));
        calls
    }
}

fn name(index: usize) -> String {
    format!("group-{index:03}")
}

fn host(index: usize) -> String {
    format!("db-{index:03}.example.com")
}

fn looks_at(calls: &[Call], arn: &str) -> usize {
    let look = |call: &&Call| call.action == "DescribeTargetHealth" && call.arn.as_deref() == Some(arn);
    calls.iter().filter(look).count()
}

fn is_done(call: &Call, action: &str, id: &str) -> bool {
    is(call, action, id) && call.outcome.is_ok()
}

fn is_good_look(call: &Call) -> bool {
    call.action == "DescribeTargetHealth" && call.outcome.is_ok()
}

#[track_caller]
fn wait_for_more_calls(world: &World, more: usize) {
    let wanted = world.elb.calls().len() + more;
    world.wait("more calls", |calls| calls.len() >= wanted);
}

#[track_caller]
fn wait_for_more_queries(dns: &dns::Server, host: &str, more: usize) {
    let wanted = dns.count(host) + more;
    assert!(
        dns.wait_for_queries(host, wanted, LONG),
        "no {wanted} queries for {host}"
    );
}

/// Tells one story in as many worlds as there are cases, all at once because most of it is waiting.
fn each<T: Sync>(cases: &[T], story: impl Fn(&T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| story(case));
        }
    });
}

// Many groups and few calls

/// Fails if a first look is as urgent as a change that DNS is known to have made, if registrations wait in turn with looks,
/// or if whoever waits for the turn of a look does not hear DNS meanwhile: each waits for all the other groups.
#[test]
fn a_failover_is_followed_while_most_groups_wait_for_their_first_look() {
    /// Whoever waits in turn comes after all of them.
    const STILL_WAITING: usize = 10;
    let fleet = Fleet::settled(120);
    let _daemon = fleet.run();
    fleet.world.wait("a first look", |calls| looks(calls) > 0);
    let calls = fleet.world.elb.calls();
    let index = (fleet.arns.iter())
        .position(|arn| looks_at(&calls, arn) > 0)
        .expect("just waited for");

    let waiting = fleet.unseen(&fleet.assert_followed(index, NEW));
    assert!(waiting >= STILL_WAITING, "only {waiting} groups still waited");
    // By now the look that follows the registration waits for its turn too.
    wait_for_more_calls(&fleet.world, 8);
    let waiting = fleet.unseen(&fleet.assert_followed(index, NEWER));
    assert!(waiting >= STILL_WAITING, "only {waiting} groups still waited");
}

// A step that takes long

/// Two endpoints of one binding, the first of which has changed: its old target is due to go as soon as the group can be
/// looked at again, in the same step that has an address of the second to register, which goes as slowly as it is told.
fn removal_due_beside_a_registration(slow: Failure) -> (World, Daemon) {
    let world = World::settled();
    world.elb.put_target(&world.arn, NEW, 5432);
    world.elb.put_target(&world.arn, "10.0.3.8", 5432);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.dns.set(OTHER, Behaviour::a("10.0.3.8", 1));
    let mut command = world.bound("run");
    command.args(["--endpoint", &format!("{OTHER}:5432")]);
    command.args(["--forget", "6s", "--interval", "1s"]);
    let daemon = Daemon::start(&mut command);
    daemon.wait_for_log(&["10.0.1.5:5432", "has not been named"]);
    world.elb.fail("DescribeTargetHealth", Failure::unavailable(), None);
    world.dns.set(OTHER, Behaviour::all(&["10.0.3.8", NEWER], 1));
    wait_for_more_queries(&world.dns, WRITER, 9);
    assert_eq!(world.writes(), [""; 0], "the group was hidden too late");
    let good_looks = |calls: &[Call]| calls.iter().filter(|call| is_good_look(call)).count();
    let seen = good_looks(&world.elb.calls());
    world.elb.heal();
    world.elb.fail("RegisterTargets", slow, Some(1));
    world.wait("the group is seen again", |calls| good_looks(calls) > seen);
    (world, daemon)
}

/// Fails if removals are sent as they were planned although DNS has changed its mind since.
#[test]
fn a_target_that_dns_names_again_while_a_registration_takes_long_is_not_removed() {
    let (world, _daemon) = removal_due_beside_a_registration(Failure::Delay(Duration::from_millis(3500)));
    world.dns.set(WRITER, Behaviour::all(&[OLD, NEW], 1));
    world.wait("the registration", |calls| {
        calls.iter().any(|call| is_done(call, "Register", NEWER))
    });
    world.wait("looks after it", |calls| {
        let at = calls.iter().rposition(Call::is_write);
        at.is_some_and(|at| looks(&calls[at..]) >= 3)
    });
    wait_for_more_queries(&world.dns, WRITER, 3);
    assert_eq!(world.writes(), [format!("Register {NEWER}:5432")], "{}", world.story());
}

/// Fails if removals are sent on a sight of the group from before a call that took long: somebody else may have changed
/// the group since.
#[test]
fn nothing_is_removed_on_a_sight_from_before_a_call_that_hung() {
    let (world, _daemon) = removal_due_beside_a_registration(Failure::Hang);
    world.elb.remove_target(&world.arn, NEW, 5432);
    world.wait("the removal in the end", |calls| {
        calls.iter().any(|call| is_done(call, "Deregister", OLD))
    });
    let calls = world.elb.calls();
    let position = |action, id| calls.iter().position(|call| is_done(call, action, id));
    let (registered, removed) = (position("Register", NEW), position("Deregister", OLD));
    assert!(
        registered.is_some_and(|registered| removed > Some(registered)),
        "removed without its replacement\n{}",
        world.story()
    );
    assert_eq!(count(&calls, "Deregister", OLD), 1, "{}", world.story());
}

// Readers

/// Fails if members that one answer does not name are news, to AWS or to the log, where a target is there to stay.
#[test]
fn a_settled_reader_beside_a_target_that_stays_is_silent() {
    let foreign_stays: [&[&str]; 2] = [&["--upsert-only"], &["--keep", "10.0.3.200"]];
    each(&foreign_stays, |flags| {
        let members = ["10.0.1.11", "10.0.2.12", "10.0.3.13"];
        let world = World::new();
        for target in members.iter().chain(&["10.0.3.200"]) {
            world.elb.put_target(&world.arn, target, 5432);
        }
        world.dns.set(READER, Behaviour::random(&members, 1, 7));
        let mut command = world.command("run");
        let daemon = Daemon::start(bind(&mut command, &format!("{READER}:5432"), &world.arn).args(*flags));
        // Each member has been named by then, so that nothing is left to wait for.
        wait_for_more_queries(&world.dns, READER, 10);
        let named: Vec<_> = (world.dns.queries().into_iter())
            .filter_map(|query| match query.answered {
                dns::Answered::Message { addresses, .. } => addresses.first().copied(),
                _ => None,
            })
            .collect();
        for member in members {
            assert!(named.contains(&member.parse().expect("an address")), "{named:?}");
        }
        let before = daemon.log();
        wait_for_more_queries(&world.dns, READER, 16);
        assert_eq!(
            daemon.log(),
            before,
            "{flags:?}: something is logged though nothing happened"
        );
        let looked = looks(&world.elb.calls());
        // The first, and one for drift on a slow machine.
        assert!(looked <= 2, "{flags:?}: {looked} looks at the group\n{}", world.story());
        assert_eq!(world.writes(), [""; 0], "{flags:?}");
        let (_, log) = daemon.stop();
        assert!(
            log.contains("stopping: 1 of 1 target groups settled"),
            "{flags:?}: {log}"
        );
    });
}

// One side down

/// Fails if a change that comes during a back-off waits for more than that, if what is registered after it is what DNS said
/// before it, or if the old target goes before the new one is seen.
#[test]
fn a_change_during_a_back_off_is_followed_by_the_first_look_that_succeeds() {
    let world = World::settled();
    let _daemon = Daemon::start(world.bound("run").args(["--forget", "1s", "--interval", "1s"]));
    world.wait("the first look", |calls| looks(calls) > 0);
    world.elb.fail("DescribeTargetHealth", Failure::throttled(), Some(5));
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.wait("throttled looks", |calls| looks(calls) >= 3);
    world.dns.set(WRITER, Behaviour::a(NEWER, 1));
    wait_for_more_queries(&world.dns, WRITER, 2);
    let removed = |calls: &[Call]| calls.iter().any(|call| is_done(call, "Deregister", OLD));
    assert!(world.elb.wait_for(LONG, removed), "{}", world.story());

    let calls = world.elb.calls();
    let throttled = calls
        .iter()
        .rposition(|call| call.outcome.is_err())
        .expect("it was ordered");
    let [first, second, ..] = &calls[throttled + 1..] else {
        panic!("nothing after the throttling\n{}", world.story());
    };
    assert!(
        is_good_look(first) && is(second, "Register", NEWER),
        "{}",
        world.story()
    );
    let took = second.at - calls[throttled].at;
    assert!(took < Duration::from_secs(15), "{took:?}");
    let removed = calls
        .iter()
        .position(|call| is(call, "Deregister", OLD))
        .expect("just waited for");
    let seen = calls[throttled + 3..removed].iter().any(is_good_look);
    assert!(seen, "removed before its replacement was seen\n{}", world.story());
    assert_eq!(
        count(&calls, "Register", NEW),
        0,
        "DNS does not name it any more\n{}",
        world.story()
    );
    assert!(world.elb.lowest_registered(&world.arn) > 0);
}

// Time that is given

/// Fails if a time too long to count with ends in a panic, or is taken for another.
#[test]
fn a_timeout_out_of_range_is_refused_with_the_range() {
    for verb in ["plan", "sync"] {
        for timeout in ["9223372036854775807s", "0s", "73h"] {
            let world = World::settled();
            let output = finish(world.bound(verb).args(["--timeout", timeout]));
            let all = said(&output);
            assert_eq!(output.status.code(), Some(64), "{verb} {timeout}: {all}");
            assert!(all.contains("from 1s to 72h"), "{verb} {timeout}: {all}");
            assert!(!all.contains("panicked"), "{verb} {timeout}: {all}");
            assert_eq!(world.elb.calls().len(), 0);
        }
    }
}

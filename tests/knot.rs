//! The built binary against Knot DNS, a name server that somebody else wrote, whose zone is changed by dynamic updates while
//! it is asked: the second opinion on what is read from DNS messages, and on truncation, aliases and names that are gone.
//!
//! Knot is authoritative: it offers no recursion and caches nothing, so TTLs do not run down as a VPC resolver's do. That,
//! and every fault, is for the simulated name server of tests/testkit.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use testkit::elb::{self, Group};
use testkit::knot::Knot;
use testkit::program::assert_ended;
use testkit::world::{Daemon, NEW, OLD, WRITER, bare_command, bind, finish, is, said};

const ZONE: &str = "eu-west-1.rds.amazonaws.com";
const OLD_INSTANCE: &str = "orders-1.abc123.eu-west-1.rds.amazonaws.com";
const NEW_INSTANCE: &str = "orders-2.abc123.eu-west-1.rds.amazonaws.com";
/// How soon a change must show at a TTL of 1 s, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(10);

/// Serves the writer endpoint with one address.
fn of_writer(ip: &str) -> Knot {
    Knot::start(ZONE, &[format!("{WRITER}. 1 A {ip}")])
}

/// The writer's address changes.
fn move_writer(knot: &Knot, ip: &str) {
    knot.update(&[format!("delete {WRITER}. A"), format!("add {WRITER}. 1 A {ip}")]);
}

struct World {
    knot: Knot,
    elb: elb::Server,
    arn: String,
}

impl World {
    fn new(knot: Knot, group: Group) -> Self {
        let elb = elb::Server::start();
        let arn = elb.add_group(group);
        Self { knot, elb, arn }
    }

    /// The writer endpoint names the old address, which is registered.
    fn settled() -> Self {
        let world = Self::new(of_writer(OLD), Group::named("orders"));
        world.elb.put_target(&world.arn, OLD, 5432);
        world
    }

    fn bound(&self, verb: &str) -> Command {
        let mut command = bare_command(&self.elb.url());
        command.arg(verb).args(["--nameserver", &self.knot.addr().to_string()]);
        bind(&mut command, &format!("{WRITER}:5432"), &self.arn);
        command
    }

    /// Waits for a successful write about an address.
    #[track_caller]
    fn wait_for(&self, action: &str, ip: &str, daemon: &Daemon) {
        let done = self.elb.wait_for(SOON, |calls| {
            calls.iter().any(|call| is(call, action, ip) && call.outcome.is_ok())
        });
        assert!(done, "no {action} of {ip}:\n{}", daemon.log());
    }

    fn registered(&self) -> BTreeSet<String> {
        let targets = self.elb.targets(&self.arn).into_iter();
        targets
            .filter(|target| target.state != "draining")
            .map(|target| target.ip)
            .collect()
    }
}

fn set(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().copied().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs knot: tests/run provides it"]
fn run_follows_a_dynamic_update() {
    let world = World::settled();
    let daemon = Daemon::start(world.bound("run").args(["--forget", "2s"]));
    daemon.wait_for_log(&["settled"]);

    move_writer(&world.knot, NEW);
    world.wait_for("Register", NEW, &daemon);
    world.wait_for("Deregister", OLD, &daemon);
    assert_eq!(world.registered(), set(&[NEW]));

    let (status, log) = daemon.stop();
    assert!(status.success(), "{status}:\n{log}");
}

#[test]
#[ignore = "needs knot: tests/run provides it"]
fn a_deleted_name_removes_nothing() {
    let world = World::settled();
    world.knot.update(&[format!("delete {WRITER}. A")]);

    let output = finish(world.bound("sync").args(["--forget", "1s", "--timeout", "4s"]));
    assert_ended(&output, 69);
    assert!(said(&output).contains("NXDOMAIN"), "{}", said(&output));
    assert!(world.elb.writes().is_empty(), "{:?}", world.elb.writes());
}

#[test]
#[ignore = "needs knot: tests/run provides it"]
fn run_holds_while_the_name_is_gone_and_follows_when_it_is_back() {
    let world = World::settled();
    let daemon = Daemon::start(world.bound("run").args(["--forget", "1s"]));
    daemon.wait_for_log(&["settled"]);

    world.knot.update(&[format!("delete {WRITER}. A")]);
    daemon.wait_for_log(&["NXDOMAIN"]);
    assert!(world.elb.writes().is_empty(), "{:?}", world.elb.writes());

    world.knot.update(&[format!("add {WRITER}. 1 A {NEW}")]);
    world.wait_for("Register", NEW, &daemon);
    world.wait_for("Deregister", OLD, &daemon);
    let first = &world.elb.writes()[0];
    assert!(is(first, "Register", NEW), "{first:?}");
}

#[test]
#[ignore = "needs knot: tests/run provides it"]
fn a_cluster_endpoint_is_followed_from_instance_to_instance() {
    let knot = Knot::start(
        ZONE,
        &[
            format!("{WRITER}. 1 CNAME {OLD_INSTANCE}."),
            format!("{OLD_INSTANCE}. 1 A {OLD}"),
            format!("{NEW_INSTANCE}. 1 A {NEW}"),
        ],
    );
    let world = World::new(knot, Group::named("orders"));

    let planned = finish(&mut world.bound("plan"));
    assert_ended(&planned, 2);
    assert!(said(&planned).contains(OLD_INSTANCE), "{}", said(&planned));

    let daemon = Daemon::start(world.bound("run").args(["--forget", "2s"]));
    world.wait_for("Register", OLD, &daemon);
    world.knot.update(&[
        format!("delete {WRITER}. CNAME"),
        format!("add {WRITER}. 1 CNAME {NEW_INSTANCE}."),
    ]);
    world.wait_for("Register", NEW, &daemon);
    world.wait_for("Deregister", OLD, &daemon);
    assert_eq!(world.registered(), set(&[NEW]));
}

#[test]
#[ignore = "needs knot: tests/run provides it"]
fn an_answer_too_large_for_a_datagram_is_read_whole() {
    // At 28 octets for each, the 1232 octets that Knot puts into a datagram at most do not hold them.
    let addresses: Vec<String> = (1..=64).map(|host| format!("2600:1f18:0:1::{host}")).collect();
    let records: Vec<String> = (addresses.iter()).map(|ip| format!("{WRITER}. 1 AAAA {ip}")).collect();
    let world = World::new(Knot::start(ZONE, &records), Group::named("orders").ipv6());

    assert_ended(&finish(&mut world.bound("sync")), 0);
    assert_eq!(world.registered(), addresses.into_iter().collect());
}

#[test]
#[ignore = "needs knot: tests/run provides it"]
fn an_ipv6_group_gets_the_ipv6_address() {
    const IPV6: &str = "2600:1f18:0:1::5";
    let knot = Knot::start(
        ZONE,
        &[format!("{WRITER}. 1 A {OLD}"), format!("{WRITER}. 1 AAAA {IPV6}")],
    );
    let world = World::new(knot, Group::named("orders").ipv6());

    assert_ended(&finish(&mut world.bound("sync")), 0);
    assert_eq!(world.registered(), set(&[IPV6]));

    world.knot.update(&[format!("delete {WRITER}. AAAA")]);
    let blind = finish(&mut world.bound("plan"));
    assert_ended(&blind, 69);
    assert!(said(&blind).contains("no data"), "{}", said(&blind));
}

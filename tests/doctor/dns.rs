//! What doctor says of DNS, through the built binary.

use std::net::SocketAddr;
use std::time::Duration;

use testkit::dns::{Behaviour, Server};

use super::reach::proxied_with;
use super::world::*;
use super::{Diagnosis, doctor, examine};

const INSTANCE: &str = "orders-1.abc123.eu-west-1.rds.amazonaws.com";

/// An examination of a name alone.
fn of(world: &World, host: &str, more: &[&str]) -> Diagnosis {
    let mut command = world.command("doctor");
    bind(&mut command, &format!("{host}:5432"), &world.arn);
    examine(command.args(["--only", "dns"]).args(more))
}

#[test]
fn a_good_name_is_told_with_its_address_and_alias() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::cname(INSTANCE, 5));
    world.dns.set(INSTANCE, Behaviour::a(OLD, 5));
    let told = of(&world, WRITER, &[]);
    assert_eq!(told.exit, 0, "{}", told.said);
    told.assert("dns.answer", "ok", &[OLD, "via", INSTANCE]);
    told.assert("dns.endpoint", "ok", &["a cluster endpoint"]);
    told.assert("dns.servers", "warning", &["on this host", "169.254.169.253"]);
    assert_eq!(told.with("warning"), ["dns.servers"]);
}

#[test]
fn a_public_answer_is_told_before_it_can_be_registered() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a("54.12.3.4", 5));
    let told = of(&world, WRITER, &[]);
    assert_eq!(told.exit, 3, "{}", told.said);
    told.assert(
        "dns.private",
        "failure",
        &["54.12.3.4", "public", "169.254.169.253", "--no-publicly-accessible"],
    );
}

#[test]
fn an_address_outside_allow_cidrs_is_told() {
    let world = World::settled();
    let told = of(&world, WRITER, &["--allow-cidr", "10.9.0.0/16"]);
    assert_eq!(told.exit, 3, "{}", told.said);
    told.assert("dns.private", "failure", &[OLD, "outside allow_cidrs"]);
}

#[test]
fn a_proxy_s_addresses_are_judged_by_the_rule_that_it_connects_by() {
    let vpc = "allow_cidrs = [\"10.9.0.0/16\"]";
    let mapped = "ip_family = \"ipv6\"\nallow_cidrs = [\"10.0.0.0/8\"]";
    let (private, failure) = ("dns.private", "failure");
    for (answer, lines, name, status, exit, parts) in [
        ("0.0.0.0", "", private, failure, 3, ["0.0.0.0", "unspecified"]),
        ("224.0.0.1", "", private, failure, 3, ["224.0.0.1", "multicast"]),
        (
            "10.0.1.5",
            vpc,
            private,
            failure,
            3,
            ["10.0.1.5", "outside allow_cidrs"],
        ),
        ("fd00::5", "", "dns.answer", failure, 69, ["no ipv4", "other family"]),
        (
            "::ffff:0.0.0.0",
            mapped,
            private,
            failure,
            3,
            ["::ffff:0.0.0.0", "unspecified"],
        ),
        (
            "::ffff:10.0.1.5",
            mapped,
            private,
            "ok",
            0,
            ["10.0.1.5", "may be connected to"],
        ),
        ("10.9.1.5", vpc, private, "ok", 0, ["10.9.1.5", "may be connected to"]),
    ] {
        let address = SocketAddr::new(answer.parse().unwrap(), 5432);
        let told = proxied_with(address, lines, &["--only", "dns"]);
        assert_eq!(told.exit, exit, "{answer}: {}", told.said);
        told.assert(name, status, &parts);
    }
}

#[test]
fn an_instance_that_may_belong_to_a_cluster_is_told_with_the_way_to_find_out() {
    let world = World::settled();
    world.dns.set(INSTANCE, Behaviour::a(OLD, 5));
    let told = of(&world, INSTANCE, &[]);
    assert_eq!(told.exit, 0, "{}", told.said);
    let parts = [
        "aws rds describe-db-instances --region eu-west-1",
        INSTANCE,
        "DBClusterIdentifier",
        "become a reader",
    ];
    told.assert("dns.endpoint", "warning", &parts);

    // Behind a name of one's own it is the same.
    world.dns.set("db.corp.internal", Behaviour::cname(INSTANCE, 60));
    let told = of(&world, "db.corp.internal", &[]);
    told.assert("dns.endpoint", "warning", &[INSTANCE]);
}

#[test]
fn an_rds_proxy_is_told_to_refuse_replication() {
    let world = World::settled();
    let proxy = "orders.proxy-abc123.eu-west-1.rds.amazonaws.com";
    world.dns.set(proxy, Behaviour::a(OLD, 5));
    of(&world, proxy, &[]).assert("dns.endpoint", "warning", &["refuses replication"]);
}

#[test]
fn each_way_of_being_blind_is_told_apart() {
    for (behaviour, parts) in [
        (Behaviour::NxDomain, ["NXDOMAIN", "spelling"]),
        (Behaviour::NoData, ["no data", "spelling"]),
        (Behaviour::ServFail, ["SERVFAIL", "another name server"]),
        (Behaviour::Refused, ["REFUSED", "does not serve this host"]),
        (Behaviour::Silent, ["no answer in time", "UDP and TCP"]),
    ] {
        let world = World::settled();
        world.dns.set(WRITER, behaviour.clone());
        let told = of(&world, WRITER, &[]);
        assert_eq!(told.exit, 69, "{behaviour:?}: {}", told.said);
        told.assert("dns.answer", "failure", &parts);
        told.assert("dns.private", "skipped", &["dns.answer"]);
    }
}

#[test]
fn an_ipv6_name_and_an_ipv4_group_are_told_apart_from_a_missing_name() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a("2600:1f18:0:1::5", 5));
    let told = examine(&mut doctor(&world));
    assert_eq!(told.exit, 78, "{}", told.said);
    told.assert("dns.answer", "failure", &["no ipv4 address, only the other family's"]);
    told.assert("group.family", "failure", &["takes ipv4 addresses", "dual-stack"]);
    told.assert("group.targets", "skipped", &["dns.answer"]);
}

#[test]
fn name_servers_that_disagree_or_fail_are_told_one_by_one() {
    let world = World::settled();
    let other = Server::start();
    other.set(WRITER, Behaviour::a(NEW, 1));
    let server = other.addr().to_string();
    let told = of(&world, WRITER, &["--nameserver", &server]);
    let first = world.dns.addr().to_string();
    told.assert("dns.agreement", "warning", &[&server, &first, OLD, NEW, "stale"]);

    other.set(WRITER, Behaviour::ServFail);
    let told = of(&world, WRITER, &["--nameserver", &server]);
    told.assert("dns.answer", "warning", &[OLD, &server, "SERVFAIL"]);

    // A server that is slow is waited for: it is not said to be silent.
    other.set(WRITER, Behaviour::a(OLD, 1).delayed(Duration::from_millis(600)));
    let told = of(&world, WRITER, &["--nameserver", &server]);
    told.assert("dns.agreement", "ok", &["2 name servers say the same"]);
}

#[test]
fn a_stretched_ttl_is_told() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a(OLD, 60));
    of(&world, WRITER, &[]).assert("dns.ttl", "warning", &["60 s", "RDS gives 5 s", "169.254.169.253"]);
}

#[test]
fn several_addresses_are_a_warning_for_a_writer_and_nothing_for_a_reader() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::all(&[OLD, NEW], 1));
    of(&world, WRITER, &[]).assert("dns.single", "warning", &["2 addresses", OLD, NEW, "reader"]);
    world.dns.set(READER, Behaviour::all(&[OLD, NEW], 1));
    of(&world, READER, &[]).assert("dns.single", "ok", &["2 members"]);
}

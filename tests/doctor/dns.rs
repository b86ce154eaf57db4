//! What doctor says of DNS, through the built binary.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use testkit::dns::{Behaviour, NEGATIVE_TTL_SECONDS, RecordType, Server};
use testkit::settings::http;

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
fn an_aurora_that_has_left_its_vpc_is_told_apart_from_a_public_instance() {
    let told = |host: &str| {
        let world = World::settled();
        world.dns.set(host, Behaviour::a("54.12.3.4", 5));
        of(&world, host, &[]).check("dns.private").fix.clone()
    };
    let left = "the cluster has left its VPC";
    assert!(told(WRITER).contains(left));
    let instance = told(INSTANCE);
    assert!(
        instance.contains("169.254.169.253") && !instance.contains(left),
        "{instance}"
    );
}

#[test]
fn an_address_that_a_service_mesh_invents_is_told_as_that() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a("240.240.0.7", 5));
    let told = of(&world, WRITER, &[]);
    assert_eq!(told.exit, 3, "{}", told.said);
    let check = told.check("dns.private");
    assert!(
        !format!("{} {}", check.finding, check.fix).contains("public"),
        "{}",
        told.said
    );
    told.assert(
        "dns.private",
        "failure",
        &["240.0.0.0/4", "service meshes", "sidecar", "ISTIO_META"],
    );
    // A proxy may connect to what it likes, and is told as much.
    let told = proxied_with("240.240.0.7:5432".parse().unwrap(), "", &["--only", "dns"]);
    let parts = ["240.0.0.0/4", "service meshes", "sidecar"];
    told.assert("dns.private", told.check("dns.private").status.as_str(), &parts);
}

#[test]
fn names_and_arns_of_every_partition_are_known() {
    for (host, arn, kind) in [
        (
            "orders.cluster-abc123.eusc-de-east-1.rds.amazonaws.eu",
            "arn:aws-eusc:elasticloadbalancing:eusc-de-east-1:111122223333:targetgroup/orders/73e2d6bc24d8a067",
            "a cluster endpoint",
        ),
        (
            "orders-1.abc123.eusc-de-east-1.rds.amazonaws.eu",
            "arn:aws-eusc:elasticloadbalancing:eusc-de-east-1:111122223333:targetgroup/orders/73e2d6bc24d8a067",
            "--region eusc-de-east-1",
        ),
        (
            "orders.cluster-abc123.us-gov-west-1.rds.amazonaws.com",
            "arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067",
            "a cluster endpoint",
        ),
        (
            "orders-1.abc123.rds.cn-north-1.amazonaws.com.cn",
            "arn:aws-cn:elasticloadbalancing:cn-north-1:111122223333:targetgroup/orders/73e2d6bc24d8a067",
            "--region cn-north-1",
        ),
    ] {
        let world = World::settled();
        world.dns.set(host, Behaviour::a(OLD, 5));
        let mut command = world.command("doctor");
        bind(&mut command, &format!("{host}:5432"), arn);
        let told = examine(command.args(["--only", "dns", "--only", "settings"]));
        told.assert("dns.answer", "ok", &[OLD]);
        told.assert("dns.endpoint", told.check("dns.endpoint").status.as_str(), &[kind]);
    }
}

/// Protection against DNS rebinding takes the whole domain of the partition.
#[test]
fn a_name_server_that_takes_private_addresses_out_is_told_the_domain_of_the_partition() {
    let world = World::settled();
    let host = "orders.cluster-abc123.eusc-de-east-1.rds.amazonaws.eu";
    world.dns.set(host, Behaviour::NoData);
    let told = of(&world, host, &[]);
    told.assert("dns.answer", "failure", &["rebind-domain-ok=/amazonaws.eu/"]);
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
    let pages = |listen: &str| http(listen).to_string();
    let ours = "is where rds-tether itself listens";
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
        (
            "127.0.0.9",
            &pages("127.0.0.9:5432"),
            private,
            failure,
            3,
            ["127.0.0.9", ours],
        ),
        (
            "127.0.0.9",
            &pages("0.0.0.0:5432"),
            private,
            failure,
            3,
            ["127.0.0.9", ours],
        ),
        (
            "127.0.0.9",
            &pages("127.0.0.9:9477"),
            private,
            "ok",
            0,
            ["127.0.0.9", "may be connected to"],
        ),
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
        (Behaviour::NoData, ["no data", "rebind"]),
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
fn a_stretched_ttl_is_told_with_what_it_costs() {
    let told = |behaviour, is_cache| {
        let world = World::settled();
        world.dns.caching(is_cache);
        world.dns.set(WRITER, behaviour);
        let told = of(&world, WRITER, &[]);
        assert_eq!(told.exit, 0, "{}", told.said);
        told.assert("dns.fresh", "ok", &[]);
        told
    };
    let parts = ["60 s", "RDS gives 5 s", "55 s later", "169.254.169.253"];
    told(Behaviour::a(OLD, 60), true).assert("dns.ttl", "warning", &parts);
    // One with a minimum TTL says first what it has been told.
    let kept = [5, 60, 59, 58].map(|ttl| Behaviour::a(OLD, ttl)).to_vec();
    told(Behaviour::Sequence(kept), false).assert("dns.ttl", "warning", &parts);
    told(Behaviour::a(OLD, 5), true).assert("dns.ttl", "ok", &["5 s"]);
    told(Behaviour::a(OLD, 5), false).assert("dns.ttl", "ok", &["5 s"]);
}

#[test]
fn a_name_server_that_gives_what_has_expired_is_told_with_how_it_is_known() {
    let (expired, new) = (Behaviour::a(OLD, 30), Behaviour::a(NEW, 4));
    for (answers, exit, known) in [
        (vec![Behaviour::a(OLD, 0).stale(), new.clone()], 0, "EDE 3"),
        (
            vec![Behaviour::a(OLD, 5), Behaviour::a(OLD, 30).stale(), new.clone()],
            0,
            "EDE 3",
        ),
        (vec![expired.clone(), new], 0, "for 30 s, and then one for 4 s"),
        (vec![expired], 69, "TTL of 30 s stands still"),
        (vec![Behaviour::a(OLD, 1).stale()], 69, "EDE 3"),
    ] {
        let world = World::settled();
        world.dns.set(WRITER, Behaviour::Sequence(answers.clone()));
        let told = of(&world, WRITER, &[]);
        assert_eq!(told.exit, exit, "{answers:?}: {}", told.said);
        let server = world.dns.addr().to_string();
        let parts = [
            server.as_str(),
            known,
            "up to 1 s later",
            "serve-expired",
            "169.254.169.253",
        ];
        told.assert("dns.fresh", "warning", &parts);
        if exit == 0 {
            told.assert("dns.answer", "ok", &[NEW]);
            told.assert("dns.ttl", "skipped", &["dns.fresh"]);
        } else {
            told.assert("dns.answer", "failure", &["stale", known, "serve-expired"]);
        }
    }
}

#[test]
fn a_failure_that_a_cache_keeps_is_told_with_how_much_longer() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::NxDomain);
    let told = of(&world, WRITER, &[]);
    assert!(!told.check("dns.answer").finding.contains("kept"), "{}", told.said);
    world.dns.caching(true);
    let told = of(&world, WRITER, &[]);
    assert_eq!(told.exit, 69, "{}", told.said);
    let kept = |secs| told.said.contains(&format!("kept for up to {secs} s more"));
    assert!((1..NEGATIVE_TTL_SECONDS).any(kept), "{}", told.said);
    let parts = ["NXDOMAIN", "spelling", "does not ask for it before", "clear its cache"];
    told.assert("dns.answer", "failure", &parts);
}

#[test]
fn a_failure_before_the_answer_is_told() {
    for (failure, name) in [
        (Behaviour::ServFail, "SERVFAIL"),
        (Behaviour::NxDomain, "NXDOMAIN"),
        (Behaviour::NoData, "no data"),
    ] {
        let world = World::settled();
        world
            .dns
            .set(WRITER, Behaviour::Sequence(vec![failure, Behaviour::a(OLD, 1)]));
        let told = of(&world, WRITER, &[]);
        assert_eq!(told.exit, 0, "{}", told.said);
        told.assert(
            "dns.answer",
            "warning",
            &[OLD, name, "a look before failed", "by 1 to 5 s"],
        );
    }
}

#[test]
fn protection_against_rebinding_is_told_with_the_options() {
    let world = World::settled();
    for (host, parts) in [
        (WRITER, ["rebind-domain-ok=/amazonaws.com/", "private-domain"]),
        (
            "orders.cluster-abc123.rds.cn-north-1.amazonaws.com.cn",
            ["=/amazonaws.com.cn/", "private-address"],
        ),
        ("db.corp.internal", ["no data", "spelling"]),
    ] {
        world.dns.set(host, Behaviour::NoDataBare);
        let told = of(&world, host, &[]);
        assert_eq!(told.exit, 69, "{}", told.said);
        told.assert("dns.answer", "failure", &parts);
    }
}

#[test]
fn addresses_that_change_while_it_looks_are_a_failover_or_a_rotation() {
    let answers = |addresses: &[&str]| {
        let answers = addresses.iter().map(|ip| Behaviour::a(ip, 1));
        Behaviour::Sequence(answers.collect())
    };
    let world = World::settled();
    world.dns.set(WRITER, answers(&[OLD, NEW]));
    let told = of(&world, WRITER, &[]);
    told.assert(
        "dns.single",
        "warning",
        &[&format!("{OLD} and then {NEW}"), "run it again"],
    );

    let own = "db.corp.internal";
    world.dns.set(own, answers(&[OLD, OLD, NEW, NEW, OLD]));
    let told = of(&world, own, &[]);
    told.assert(
        "dns.single",
        "warning",
        &[OLD, NEW, "in turn", "for minutes", "role = \"reader\""],
    );
    world.dns.set(own, answers(&[OLD, NEW, OLD]));
    of(&world, own, &["--role", "reader"]).assert("dns.single", "ok", &["as a reader endpoint gives"]);
    world.dns.set(READER, answers(&[OLD, NEW, OLD]));
    of(&world, READER, &[]).assert("dns.single", "ok", &["as a reader endpoint gives"]);
}

#[test]
fn the_looks_end_with_the_time_that_there_is() {
    let world = World::settled();
    let own = "db.corp.internal";
    world.dns.set(own, Behaviour::a(OLD, 1));
    let looks = |limit: &str| {
        world.dns.clear_queries();
        of(&world, own, &["--timeout", limit]).assert("dns.answer", "ok", &[OLD]);
        let asked = world.dns.queries().into_iter();
        let asked = asked.filter(|query| query.kind == RecordType::A);
        // A datagram that is sent again has the same.
        asked.map(|query| query.id).collect::<BTreeSet<u16>>().len()
    };
    assert_eq!((looks("1s"), looks("30s")), (1, 7));
    assert!((2..7).contains(&looks("6s")));
}

#[test]
fn several_addresses_are_a_warning_for_a_writer_and_nothing_for_a_reader() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::all(&[OLD, NEW], 1));
    of(&world, WRITER, &[]).assert("dns.single", "warning", &["2 addresses", OLD, NEW, "reader"]);
    world.dns.set(READER, Behaviour::all(&[OLD, NEW], 1));
    of(&world, READER, &[]).assert("dns.single", "ok", &["2 members"]);
}

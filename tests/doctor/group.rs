//! What doctor says of the target group and its load balancer, through the built binary.

use testkit::elb::{Failure, Family, Forward, Group, Listener, Rule, TargetType};

use super::world::*;
use super::{Diagnosis, doctor, examine};

fn of(group: Group) -> Diagnosis {
    examine(&mut doctor(&World::settled_with(group)))
}

fn named() -> Group {
    Group::named("orders")
}

/// A group with everything as it should be.
fn tuned() -> Group {
    let mut group = named()
        .attribute("deregistration_delay.connection_termination.enabled", "true")
        .balanced(|balancer| {
            let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            balancer
                .attributes
                .extend([set("load_balancing.cross_zone.enabled", "true")]);
            balancer.listeners[0]
                .attributes
                .extend([set("tcp.idle_timeout.seconds", "6000")]);
        });
    group.health_check.interval = 10;
    group.health_check.healthy = 2;
    group
}

#[test]
fn a_tuned_group_has_nothing_wrong() {
    let told = examine(doctor(&World::settled_with(tuned())).args(["--skip", "dns.servers"]));
    assert_eq!(told.exit, 0, "{}", told.said);
    assert_eq!(told.with("warning"), Vec::<&str>::new(), "{}", told.said);
    assert_eq!(told.with("failure"), Vec::<&str>::new(), "{}", told.said);
}

#[test]
fn what_aws_sets_up_by_default_is_told_to_keep_old_connections_and_starve_zones() {
    let told = of(named());
    assert_eq!(told.exit, 0, "{}", told.said);
    let key = "Key=deregistration_delay.connection_termination.enabled,Value=true";
    told.assert(
        "group.termination",
        "warning",
        &["300 s", "former writer", key, "--region eu-west-1"],
    );
    let key = "Key=load_balancing.cross_zone.enabled,Value=true";
    told.assert(
        "balancer.cross-zone",
        "warning",
        &[
            "eu-west-1b, eu-west-1c",
            key,
            "modify-target-group-attributes",
            "targetgroup/orders",
        ],
    );
    told.assert(
        "balancer.idle-timeout",
        "warning",
        &["350 s", "tcp.idle_timeout.seconds", "listener/net/orders"],
    );
    told.assert(
        "group.health-check",
        "warning",
        &["150 s", "70 s", "--health-check-interval-seconds 10"],
    );
}

#[test]
fn cross_zone_is_the_groups_if_that_says_so() {
    let key = "load_balancing.cross_zone.enabled";
    of(named().attribute(key, "true")).assert("balancer.cross-zone", "ok", &["on"]);
    let on = |balancer: &mut testkit::elb::Balancer| {
        balancer.attributes.insert(key.into(), "true".into());
    };
    of(named().balanced(on)).assert("balancer.cross-zone", "ok", &["on"]);
    let told = of(named().balanced(on).attribute(key, "false"));
    told.assert("balancer.cross-zone", "warning", &["modify-target-group-attributes"]);
    of(named().zones(&["eu-west-1a"])).assert("balancer.cross-zone", "ok", &["one zone"]);
}

#[test]
fn a_target_in_a_zone_that_is_not_enabled_gets_no_traffic() {
    let told = of(named().zones(&["eu-west-1b", "eu-west-1c"]));
    assert_eq!(told.exit, 1, "{}", told.said);
    let now = "--subnets subnet-eu-west-1b subnet-eu-west-1c SUBNET";
    let parts = [
        OLD,
        "eu-west-1a",
        "set-subnets",
        now,
        "DB subnet group may have subnets in eu-west-1b, eu-west-1c only",
    ];
    told.assert("balancer.zones", "failure", &parts);
    let parts = [
        "unused",
        "Target.NotInUse",
        "no traffic",
        "its zone eu-west-1a is not enabled on orders",
        "DB subnet group",
    ];
    told.assert("group.health", "failure", &parts);
}

#[test]
fn a_target_outside_the_vpc_covers_every_zone() {
    let world = World::settled();
    world.dns.set(WRITER, testkit::dns::Behaviour::a("172.16.9.9", 1));
    world.elb.put_target(&world.arn, "172.16.9.9", 5432);
    let told = examine(&mut doctor(&world));
    told.assert("group.vpc", "ok", &["172.16.9.9:5432 lies outside"]);
    told.assert("balancer.cross-zone", "ok", &["every zone has"]);
}

#[test]
fn a_group_that_cannot_be_used_is_told_and_nothing_else_of_it() {
    let told = of(named().target_type(TargetType::Instance));
    assert_eq!(told.exit, 78, "{}", told.said);
    told.assert("group.type", "failure", &["of type instance", "never changes"]);

    let world = World::settled();
    let mut command = world.command("doctor");
    bind(
        &mut command,
        &format!("{WRITER}:5432"),
        &world.arn.replace("/orders/", "/billing/"),
    );
    let told = examine(command.args(["--skip", "reach"]));
    assert_eq!(told.exit, 78, "{}", told.said);
    told.assert("group.type", "failure", &["TargetGroupNotFound", "check the ARN"]);
    told.assert("permission.describe-groups", "ok", &[]);
    told.assert("balancer.attached", "skipped", &["group.type"]);
    assert_eq!(told.with("failure"), ["group.type"]);
}

#[test]
fn a_group_without_load_balancer_gets_no_traffic() {
    let told = of(named().unattached());
    assert_eq!(told.exit, 1, "{}", told.said);
    told.assert("balancer.attached", "failure", &["no load balancer", "create-listener"]);
    told.assert("balancer.zones", "skipped", &["balancer.attached"]);
    let parts = ["unused", "no traffic", "no load balancer uses the group"];
    told.assert("group.health", "failure", &parts);
}

/// A dual-stack load balancer of the group `legacy`, with one listener, and the group behind it.
fn shared(listener: Listener) -> World {
    let mut theirs = Group::named("legacy").balanced(|balancer| balancer.listeners = vec![listener]);
    theirs.balancer.ip_address_type = "dualstack".into();
    let world = World::settled_with(named().behind(&theirs.load_balancer_arn().unwrap()));
    world.elb.add_group(theirs);
    world
}

fn forwards(rules: Vec<Rule>, weights: &[(&str, u16)]) -> Listener {
    let forward = |(name, weight): &(&str, u16)| Forward::weighted(&Group::named(name).arn(), *weight);
    Listener {
        forward: weights.iter().map(forward).collect(),
        rules,
        ..Listener::default()
    }
}

fn rule(priority: u32, family: Family, name: &str) -> Rule {
    Rule::for_clients(priority, family, vec![Forward::to(&Group::named(name).arn())])
}

/// What the listener's check says of a listener that others use, too.
fn listener_of(listener: Listener) -> (Diagnosis, String) {
    let told = examine(doctor(&shared(listener)).args(["--only", "balancer", "--only", "permission"]));
    let check = told.check("balancer.listener");
    let line = format!("{} {}", check.status, check.finding);
    (told, line)
}

#[test]
fn a_group_that_is_reached_by_a_rule_alone_is_reached() {
    let (told, line) = listener_of(forwards(vec![rule(10, Family::Ipv6, "orders")], &[]));
    assert_eq!(line, "ok TCP port 5432, for ipv6 clients, by rule 10");
    told.assert("balancer.idle-timeout", "warning", &["350 s", "listener/net/legacy"]);
    let (_, line) = listener_of(forwards(
        vec![rule(10, Family::Ipv6, "orders"), rule(5, Family::Ipv4, "orders")],
        &[],
    ));
    assert_eq!(line, "ok TCP port 5432, by rule 5, 10");
    // The control: the same listener without the rule.
    let (told, line) = listener_of(forwards(vec![], &[]));
    assert_eq!(
        line,
        "failure no listener of legacy forwards to the group (1 forward elsewhere)"
    );
    told.assert("balancer.listener", "failure", &["create-listener", "--port 5433"]);
}

#[test]
fn a_weight_of_0_is_no_way_to_the_group() {
    let (told, line) = listener_of(forwards(vec![], &[("orders", 0), ("legacy", 10)]));
    assert!(
        line.starts_with("failure the group has weight 0 in what port 5432 forwards to"),
        "{line}"
    );
    let parts = ["on purpose", "create-listener", "--port 5433"];
    told.assert("balancer.listener", "failure", &parts);
    assert!(!told.said.contains("modify-listener "), "{}", told.said);
    // The control: a share, however small, is a way.
    let (_, line) = listener_of(forwards(vec![], &[("orders", 1), ("legacy", 999)]));
    assert_eq!(line, "ok TCP port 5432, 1 of 1000 new connections");
}

#[test]
fn rules_that_take_every_client_leave_nothing_to_the_default_action() {
    let both = vec![rule(10, Family::Ipv4, "legacy"), rule(20, Family::Ipv6, "legacy")];
    let (_, line) = listener_of(forwards(both, &[("orders", 1)]));
    assert_eq!(
        line,
        "failure the group stands in an action of port 5432, but rules before that take every client"
    );
    let one = vec![rule(10, Family::Ipv4, "legacy")];
    let (_, line) = listener_of(forwards(one, &[("orders", 1)]));
    assert_eq!(line, "ok TCP port 5432, for ipv6 clients");
}

#[test]
fn a_condition_that_nobody_knows_takes_some_clients_and_not_all() {
    let mut unknown = rule(10, Family::Ipv4, "orders");
    unknown.condition = ("client-mood".into(), "good".into());
    let (_, line) = listener_of(forwards(vec![unknown.clone()], &[]));
    assert_eq!(line, "ok TCP port 5432, by rule 10 with conditions (client-mood)");
    unknown.forward = vec![Forward::to(&Group::named("legacy").arn())];
    let (_, line) = listener_of(forwards(vec![unknown], &[("orders", 1)]));
    assert_eq!(line, "ok TCP port 5432");
}

#[test]
fn rules_that_may_not_be_read_make_no_verdict() {
    for (listener, exit, inspects, status, finding) in [
        (
            forwards(vec![rule(10, Family::Ipv6, "orders")], &[]),
            77,
            "failure",
            "skipped",
            "cannot be told before permission.inspect is well",
        ),
        (
            forwards(vec![], &[("orders", 1)]),
            0,
            "warning",
            "ok",
            "TCP port 5432; rules that may come before that are not known",
        ),
    ] {
        let world = shared(listener);
        world.elb.fail("DescribeRules", Failure::denied("DescribeRules"), None);
        let told = examine(&mut doctor(&world));
        assert_eq!(told.exit, exit, "{}", told.said);
        told.assert("permission.inspect", inspects, &["elasticloadbalancing:DescribeRules"]);
        told.assert("balancer.listener", status, &[finding]);
    }
}

#[test]
fn what_breaks_the_protocol_is_a_failure() {
    let mut tls = named();
    tls.protocol = "TLS".into();
    of(tls).assert("group.protocol", "failure", &["TLS", "only TCP"]);
    let told = of(named().balanced(|balancer| balancer.listeners[0].protocol = "TLS".into()));
    told.assert(
        "balancer.listener",
        "failure",
        &["speaks TLS", "create-listener", "--port 5433"],
    );
    let told = of(named().attribute("proxy_protocol_v2.enabled", "true"));
    told.assert("group.proxy-protocol", "failure", &["PROXY protocol", "Value=false"]);
    let told = of(named().attribute("preserve_client_ip.enabled", "true"));
    told.assert("group.client-ip", "warning", &["time out", "Value=false"]);
    let mut http = named();
    http.health_check.protocol = "HTTP".into();
    of(http).assert(
        "group.health-check",
        "failure",
        &["HTTP", "--health-check-protocol TCP"],
    );
    let mut elsewhere = named();
    elsewhere.health_check.port = "9477".into();
    of(elsewhere).assert("group.health-check", "warning", &["9477", "not the database's"]);
    of(named().port(5433)).assert("group.port", "warning", &["5433", "5432"]);
}

#[test]
fn no_faster_health_checks_are_advised_for_a_mysql() {
    let told = |port: u16| {
        let world = World::settled_with(named().port(port));
        world.elb.put_target(&world.arn, OLD, port);
        let mut command = world.command("doctor");
        bind(&mut command, &format!("{WRITER}:{port}"), &world.arn);
        examine(command.args(["--skip", "reach"]))
            .check("group.health-check")
            .clone()
    };
    let mysql = told(3306);
    assert_eq!(mysql.status, "ok", "{mysql:?}");
    assert!(mysql.finding.contains("MySQL counts each check"), "{mysql:?}");
    assert!(told(5432).fix.contains("--health-check-interval-seconds 10"));
}

#[test]
fn a_load_balancer_that_is_not_ready_or_not_ours_is_told() {
    let told = of(named().balanced(|balancer| balancer.kind = "application".into()));
    told.assert(
        "balancer.attached",
        "failure",
        &["application", "Network Load Balancer"],
    );
    let told = of(named().balanced(|balancer| balancer.state = "provisioning".into()));
    told.assert("balancer.attached", "warning", &["provisioning"]);
    let told = of(named().balanced(|balancer| balancer.vpc_id = Some("vpc-other".into())));
    told.assert("group.vpc", "failure", &["vpc-other"]);
    let told = of(named().balanced(|balancer| balancer.listeners[0].forward = vec![Forward::to("arn:another")]));
    told.assert("balancer.listener", "failure", &["no listener", "1 forward elsewhere"]);
    told.assert("balancer.idle-timeout", "skipped", &["balancer.listener"]);
}

#[test]
fn security_groups_that_keep_private_link_consumers_out_are_told() {
    let guarded = |rules: &str| {
        let rules = rules.to_owned();
        named().balanced(|balancer| {
            balancer.security_groups = vec!["sg-0a1b".into()];
            balancer.private_link_rules = Some(rules);
        })
    };
    let flag = "--enforce-security-group-inbound-rules-on-private-link-traffic off";
    of(guarded("on")).assert("balancer.private-link", "warning", &["sg-0a1b", flag]);
    of(guarded("off")).assert("balancer.private-link", "ok", &["sg-0a1b"]);
}

#[test]
fn targets_that_are_missing_foreign_or_ill_are_told() {
    for (holds, flags, parts) in [
        (
            None,
            &[][..],
            &["nothing is registered: 10.0.1.5:5432", "rds-tether sync"],
        ),
        (
            Some(NEW),
            &[],
            &["only 10.0.2.7:5432 is registered: 10.0.1.5:5432", "rds-tether sync"],
        ),
        (None, &["--keep", OLD], &["nothing is registered", "out of keep"]),
        (
            Some("10.0.3.9"),
            &["--keep", "10.0.3.9"],
            &["only 10.0.3.9:5432", "rds-tether sync"],
        ),
    ] {
        let world = World::new();
        if let Some(ip) = holds {
            world.elb.put_target(&world.arn, ip, 5432);
        }
        for only in [None, Some("group.type,group.health"), Some("group.type,balancer.zones")] {
            let only = only.map(|only| ["--only", only]);
            let told = examine(doctor(&world).args(flags).args(only.iter().flatten()));
            assert_eq!(told.exit, 1, "{}", told.said);
            told.assert("group.targets", "failure", parts);
        }
    }
    // One of two serves.
    let world = World::settled();
    world.dns.set(READER, testkit::dns::Behaviour::all(&[OLD, NEW], 1));
    let mut command = world.command("doctor");
    bind(&mut command, &format!("{READER}:5432"), &world.arn);
    let told = examine(command.args(["--skip", "reach"]));
    assert_eq!(told.exit, 0, "{}", told.said);
    told.assert(
        "group.targets",
        "warning",
        &["10.0.2.7:5432, which DNS names, is not registered"],
    );

    let world = World::settled();
    world.elb.put_target(&world.arn, "10.0.3.9", 5432);
    examine(&mut doctor(&world)).assert("group.targets", "warning", &["10.0.3.9", "does not name", "--keep"]);
    let told = examine(doctor(&world).args(["--keep", "10.0.3.9"]));
    told.assert("group.targets", "ok", &[OLD]);

    let world = World::settled();
    world.elb.put_target(&world.arn, OLD, 5433);
    examine(&mut doctor(&world)).assert("group.targets", "warning", &["10.0.1.5:5433", "another port"]);

    let world = World::settled();
    world.elb.mark_dead(OLD);
    let told = examine(&mut doctor(&world));
    assert_eq!(told.exit, 1, "{}", told.said);
    told.assert(
        "group.health",
        "failure",
        &["unhealthy", "Target.FailedHealthChecks", "security group"],
    );
    told.assert(
        "balancer.access",
        "skipped",
        &["aws rds describe-db-instances", "TCP 5432"],
    );
}

#[test]
fn several_groups_are_told_apart() {
    let world = World::settled();
    let other = world.elb.add_group(Group::named("reports").unattached());
    let told = examine(doctor(&world).args(["--target-group", &other]));
    let of = |name: &str| -> Vec<(String, String)> {
        let checks = told.checks.iter().filter(|check| check.name == name);
        checks
            .map(|check| (check.section.clone(), check.status.clone()))
            .collect()
    };
    let attached = of("balancer.attached");
    assert_eq!(attached.len(), 2, "{}", told.said);
    assert!(
        attached[0].0.contains("orders") && attached[0].1 == "ok",
        "{attached:?}"
    );
    assert!(
        attached[1].0.contains("reports") && attached[1].1 == "failure",
        "{attached:?}"
    );
    assert_eq!(of("aws.identity").len(), 1, "one identity for both: {}", told.said);
}

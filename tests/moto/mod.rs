//! The built binary against moto, an ELBv2 API that somebody else wrote: the second opinion on the wire format of calls,
//! replies and errors, on signatures, on the permissions needed and on assumed roles.
#![allow(clippy::disallowed_methods)]

mod permissions;
mod token;

use std::process::Command;

use testkit::dns::{self, Behaviour};
use testkit::moto::{ACCOUNT, ANYBODY, EC2, ELB, Moto, OTHER_ACCOUNT, SNS, SQS, STS, element};
use testkit::program::{assert_ended, comes_true};
use testkit::scratch::Scratch;
use testkit::settings::target_group;
use testkit::world::{Daemon, NEW, OLD, PATIENCE, WRITER, bare_command, bind, finish, said};

struct World {
    moto: Moto,
    dns: dns::Server,
    arn: String,
}

impl World {
    /// The writer endpoint names the old address; the group is empty.
    fn new() -> Self {
        let moto = Moto::start();
        let dns = dns::Server::start();
        dns.set(WRITER, Behaviour::a(OLD, 1));
        let arn = moto.group(ANYBODY, "orders", "ip");
        Self { moto, dns, arn }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = bare_command(&self.moto.url());
        command.arg(verb).args(["--nameserver", &self.dns.addr().to_string()]);
        command
    }

    fn bound(&self, verb: &str, arn: &str) -> Command {
        let mut command = self.command(verb);
        bind(&mut command, &format!("{WRITER}:5432"), arn);
        command
    }

    /// Puts the group behind a network load balancer with a listener, which an endpoint service publishes; gives the VPC and the
    /// service's ID.
    fn put_behind_balancer(&self) -> (String, String) {
        let described = self.moto.call(
            ANYBODY,
            ELB,
            "DescribeTargetGroups",
            &format!("TargetGroupArns.member.1={}", self.arn),
        );
        let vpc = element(&described, "VpcId");
        let subnet = format!("VpcId={vpc}&CidrBlock=10.0.1.0/24&AvailabilityZone=eu-west-1a");
        let subnet = element(&self.moto.call(ANYBODY, EC2, "CreateSubnet", &subnet), "subnetId");
        let balancer = format!("Name=orders&Type=network&Scheme=internal&Subnets.member.1={subnet}");
        let balancer = element(
            &self.moto.call(ANYBODY, ELB, "CreateLoadBalancer", &balancer),
            "LoadBalancerArn",
        );
        let action = format!(
            "DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn={}",
            self.arn
        );
        let listener = format!("LoadBalancerArn={balancer}&Protocol=TCP&Port=5432&{action}");
        self.moto.call(ANYBODY, ELB, "CreateListener", &listener);
        let publish =
            format!("NetworkLoadBalancerArn.1={balancer}&AcceptanceRequired=true&SupportedRegion.1=eu-west-1");
        let published = (self.moto).call(ANYBODY, EC2, "CreateVpcEndpointServiceConfiguration", &publish);
        (vpc, element(&published, "serviceId"))
    }

    fn targets(&self) -> Vec<String> {
        self.moto.targets(ANYBODY, &self.arn)
    }

    /// Waits until the group has exactly these targets.
    #[track_caller]
    fn wait_for_targets(&self, wanted: &[String], daemon: &Daemon) {
        // Moto tells nobody of a change.
        let came = comes_true(PATIENCE, || self.targets() == wanted);
        assert!(came, "{:?}, not {wanted:?}:\n{}", self.targets(), daemon.log());
    }
}

/// The message in an envelope.
fn message(envelope: &serde_json::Value) -> serde_json::Value {
    serde_json::from_str(envelope["Message"].as_str().expect("a text")).expect("JSON")
}

fn target(ip: &str) -> String {
    format!("{ip}:5432")
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn an_empty_group_is_planned_filled_and_then_left_alone() {
    let world = World::new();

    let planned = finish(&mut world.bound("plan", &world.arn));
    assert_ended(&planned, 2);
    assert!(said(&planned).contains(&target(OLD)), "{}", said(&planned));
    assert_eq!(world.targets(), Vec::<String>::new(), "a plan never writes");

    assert_ended(&finish(&mut world.bound("sync", &world.arn)), 0);
    assert_eq!(world.targets(), [target(OLD)]);

    let again = finish(world.bound("sync", &world.arn).args(["--output", "json"]));
    assert_ended(&again, 0);
    let json: serde_json::Value = serde_json::from_slice(&again.stdout).expect("JSON");
    for change in ["registered", "deregistered"] {
        assert_eq!(json["target_groups"][0][change], serde_json::json!([]), "{json}");
    }
    assert_ended(&finish(&mut world.bound("plan", &world.arn)), 0);
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_group_is_found_by_its_name_and_for_its_endpoint() {
    let world = World::new();
    world.moto.group(ANYBODY, "web", "instance");
    let planned = finish(world.bound("plan", "orders").args(["--output", "json"]));
    assert_ended(&planned, 2);
    let json: serde_json::Value = serde_json::from_slice(&planned.stdout).expect("JSON");
    assert_eq!(json["target_groups"][0]["arn"], world.arn);
    assert_ended(&finish(&mut world.bound("plan", "billing")), 78);

    let scratch = Scratch::new();
    let path = scratch.path("config.toml");
    let mut command = world.command("init");
    command
        .args([&format!("{WRITER}:5432"), "--yes", "--skip", "reach", "--settings-file"])
        .arg(&path);
    let begun = finish(&mut command);
    assert_ended(&begun, 0);
    assert!(
        said(&begun).contains("has 2 target groups: 1 may be meant"),
        "{}",
        said(&begun)
    );
    let mut command = bare_command(&world.moto.url());
    let planned = finish(command.args(["plan", "--config"]).arg(&path));
    assert_ended(&planned, 2);
    assert_eq!(world.targets(), Vec::<String>::new(), "nothing is written to AWS");
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_sync_swaps_the_target_when_dns_has_changed() {
    let world = World::new();
    assert_ended(&finish(&mut world.bound("sync", &world.arn)), 0);

    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    assert_ended(&finish(&mut world.bound("plan", &world.arn)), 2);
    assert_ended(&finish(world.bound("sync", &world.arn).args(["--forget", "2s"])), 0);
    assert_eq!(world.targets(), [target(NEW)]);
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn run_follows_a_change() {
    let world = World::new();
    let daemon = Daemon::start(world.bound("run", &world.arn).args(["--forget", "2s"]));
    world.wait_for_targets(&[target(OLD)], &daemon);

    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.wait_for_targets(&[target(NEW)], &daemon);

    let (status, log) = daemon.stop();
    assert!(status.success(), "{status}:\n{log}");
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_target_group_that_cannot_be_used_is_a_settings_error() {
    let world = World::new();
    let missing = world.arn.replace("/orders/", "/billing/");
    let of_instances = world.moto.group(ANYBODY, "instances", "instance");
    for (arn, code) in [
        (missing, "TargetGroupNotFound"),
        (of_instances, "its targets are of type instance"),
    ] {
        for verb in ["plan", "sync"] {
            let output = finish(&mut world.bound(verb, &arn));
            assert_ended(&output, 78);
            assert!(said(&output).contains(code), "{}", said(&output));
        }
    }
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_group_of_another_account_is_reached_by_an_assumed_role() {
    let world = World::new();
    let role = format!("arn:aws:iam::{OTHER_ACCOUNT}:role/tether");
    let parameters = format!("RoleArn={role}&RoleSessionName=arranging");
    let there = element(&world.moto.call(ANYBODY, STS, "AssumeRole", &parameters), "AccessKeyId");
    let arn = world.moto.group(&there, "orders", "ip");
    assert!(
        arn.contains(OTHER_ACCOUNT) && world.arn.contains(ACCOUNT),
        "moto no longer keeps accounts apart: {arn}"
    );
    let folder = Scratch::new();
    let settings = target_group(&arn, &format!("{WRITER}:5432")).line(&format!(
        "assume_role = {{ arn = \"{role}\", external_id = \"orders\" }}"
    ));
    let config = folder.write("config.toml", &settings);

    assert_ended(&finish(&mut world.bound("plan", &arn)), 78);
    assert_ended(&finish(world.command("sync").arg("--config").arg(&config)), 0);
    assert_eq!(world.moto.targets(&there, &arn), [target(OLD)]);
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_group_behind_a_load_balancer_is_examined() {
    let world = World::new();
    let (vpc, service) = world.put_behind_balancer();
    let consumer = format!("arn:aws:iam::{OTHER_ACCOUNT}:root");
    let allow = format!("ServiceId={service}&AddAllowedPrincipals.1={consumer}");
    world
        .moto
        .call(ANYBODY, EC2, "ModifyVpcEndpointServicePermissions", &allow);
    assert_ended(&finish(&mut world.bound("sync", &world.arn)), 0);

    let mut command = world.bound("doctor", &world.arn);
    let output = finish(command.args(["--skip", "reach", "--write-check", "--output", "json"]));
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let checks = json["sections"].as_array().expect("sections").iter();
    let checks: Vec<_> = checks
        .flat_map(|section| section["checks"].as_array().expect("checks"))
        .collect();
    for (name, status, part) in [
        ("aws.identity", "ok", ACCOUNT),
        ("aws.clock", "ok", "AWS"),
        ("permission.inspect", "ok", "described"),
        ("permission.register", "ok", "RegisterTargets is allowed"),
        // Moto refuses what ELB passes over in silence; either answer shows the permission.
        ("permission.deregister", "ok", "DeregisterTargets is allowed"),
        ("group.type", "ok", "ip"),
        ("group.termination", "warning", "live on"),
        ("group.vpc", "ok", &vpc),
        ("balancer.attached", "ok", "orders"),
        ("balancer.listener", "ok", "TCP port 5432"),
        ("service.published", "ok", &service),
        ("service.principals", "ok", &consumer),
        ("service.zones", "ok", "eu-west-1a"),
        ("service.regions", "ok", "offered in eu-west-1"),
        // Moto knows no connections.
        ("service.connections", "skipped", "DescribeVpcEndpointConnections"),
    ] {
        let check = checks.iter().find(|check| check["name"] == name).expect(name);
        assert_eq!(check["status"], status, "{check}");
        assert!(
            check["finding"].as_str().is_some_and(|finding| finding.contains(part)),
            "{check}"
        );
    }
    assert_eq!(world.targets(), [target(OLD)]);
}

/// A topic and a queue that is subscribed to it, as it is or with a filter policy.
struct Topic<'a> {
    world: &'a World,
    arn: String,
    queues: Vec<String>,
}

impl<'a> Topic<'a> {
    fn new(world: &'a World, filter_policies: &[Option<&str>]) -> Self {
        let call = |service, action, parameters: &str| world.moto.call(ANYBODY, service, action, parameters);
        let arn = element(&call(SNS, "CreateTopic", "Name=database"), "TopicArn");
        let mut queues = Vec::new();
        for (number, filter_policy) in filter_policies.iter().enumerate() {
            let queue = element(
                &call(SQS, "CreateQueue", &format!("QueueName=queue{number}")),
                "QueueUrl",
            );
            let endpoint = format!("arn:aws:sqs:eu-west-1:{ACCOUNT}:queue{number}");
            let filter = filter_policy
                .map(|policy| format!("&Attributes.entry.1.key=FilterPolicy&Attributes.entry.1.value={policy}"))
                .unwrap_or_default();
            let parameters = format!("TopicArn={arn}&Protocol=sqs&Endpoint={endpoint}{filter}");
            call(SNS, "Subscribe", &parameters);
            queues.push(queue);
        }
        Self { world, arn, queues }
    }

    /// The envelopes in a queue, which are taken out of it.
    fn received(&self, number: usize) -> Vec<serde_json::Value> {
        let parameters = format!("QueueUrl={}&MaxNumberOfMessages=10", self.queues[number]);
        let reply = self.world.moto.call(ANYBODY, SQS, "ReceiveMessage", &parameters);
        let bodies = reply.split("<Body>").skip(1).map(|rest| {
            let (body, _) = rest.split_once("</Body>").expect("an end");
            let body = body.replace("&quot;", "\"").replace("&#34;", "\"");
            body.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        });
        bodies.map(|body| serde_json::from_str(&body).expect("JSON")).collect()
    }

    /// Waits until a message of this kind has come into a queue, and gives all that have.
    #[track_caller]
    fn wait_for(&self, number: usize, kind: &str, daemon: &Daemon) -> Vec<serde_json::Value> {
        let is_there = |all: &[serde_json::Value]| all.iter().any(|envelope| message(envelope)["kind"] == kind);
        let mut received = Vec::new();
        // Moto tells nobody of a message.
        let came = comes_true(PATIENCE, || {
            received.extend(self.received(number));
            is_there(&received)
        });
        assert!(came, "{received:?}:\n{}", daemon.log());
        received
    }
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_queue_that_is_subscribed_to_the_topic_gets_what_is_told() {
    let world = World::new();
    assert_ended(&finish(&mut world.bound("sync", &world.arn)), 0);
    let topic = Topic::new(&world, &[None, Some(r#"{"severity":["warning"]}"#)]);
    let daemon = Daemon::start(world.bound("run", &world.arn).args([
        "--forget",
        "2s",
        "--notify-after",
        "2s",
        "--notify-topic",
        &topic.arn,
    ]));
    daemon.wait_for_log(&["settled"]);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let envelopes = topic.wait_for(0, "converged", &daemon);
    let by_kind = |kind: &str| {
        let envelope = envelopes.iter().find(|envelope| message(envelope)["kind"] == kind);
        envelope.unwrap_or_else(|| panic!("no {kind} in {envelopes:?}"))
    };
    let changed = by_kind("address_changed");
    assert_eq!(
        changed["Subject"],
        "rds-tether: orders moved from 10.0.1.5:5432 to 10.0.2.7:5432"
    );
    assert_eq!(changed["MessageAttributes"]["kind"]["Value"], "address_changed");
    assert_eq!(message(changed)["new"], serde_json::json!([target(NEW)]));
    assert!(message(by_kind("converged"))["timings"]["lasted_ms"].is_u64());

    world.dns.set(WRITER, Behaviour::NxDomain);
    let warnings = topic.wait_for(1, "unresolved", &daemon);
    let are_warnings = warnings
        .iter()
        .all(|envelope| message(envelope)["severity"] == "warning");
    assert!(
        are_warnings,
        "the filter policy lets only warnings through: {warnings:?}"
    );
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_topic_that_is_missing_is_told_of_and_delays_nothing() {
    let world = World::new();
    let topic = format!("arn:aws:sns:eu-west-1:{ACCOUNT}:nowhere");
    let daemon = Daemon::start(
        world
            .bound("run", &world.arn)
            .args(["--forget", "2s", "--notify-topic", &topic]),
    );
    world.wait_for_targets(&[target(OLD)], &daemon);
    daemon.wait_for_log(&["cannot tell the topic", "NotFound (404)", "check the ARN"]);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.wait_for_targets(&[target(NEW)], &daemon);
}

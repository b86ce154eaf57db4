//! What doctor says of the endpoint service of a load balancer, through the built binary.

use std::thread;

use testkit::elb::{ENDPOINTS_MADE, Failure, Group, Service};

use super::world::*;
use super::{Diagnosis, doctor, examine};

/// Situations that are played at a time: each looks at DNS for seconds, and the machine is small.
const TOGETHER: usize = 4;
const SERVICE: &str = "--region eu-west-1 --service-id vpce-svc-0123456789abcdef0";
const CHECKS: [&str; 6] = [
    "service.published",
    "service.connections",
    "service.principals",
    "service.zones",
    "service.private-dns",
    "service.regions",
];
const LIST: &str = "DescribeVpcEndpointServiceConfigurations";

/// A change of a service with which all is well, the check that is about it, its status, and what it says.
type Situation = (fn(&mut Service), &'static str, &'static str, Vec<String>);

fn endpoint(service: &mut Service, id: &str, state: &str) {
    let endpoint = (id.to_owned(), "072088201116".to_owned(), state.to_owned());
    service.endpoints.push(endpoint);
}

fn says(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

fn situations() -> Vec<Situation> {
    let command = |verb: &str, rest: &str| format!("aws ec2 {verb} {SERVICE} {rest}");
    vec![
        (
            |_| (),
            "service.published",
            "ok",
            says(&["orders is published as com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0 (Available)"]),
        ),
        (
            |service| service.state = "Pending".into(),
            "service.published",
            "warning",
            says(&["(Pending)", "wait"]),
        ),
        (
            |service| service.state = "Failed".into(),
            "service.published",
            "failure",
            says(&["(Failed): no consumer gets through it", "aws ec2 create-vpc-endpoint-service-configuration --region eu-west-1 --network-load-balancer-arns arn:"]),
        ),
        (
            |service| service.beside = vec!["arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/legacy/0a".into()],
            "service.published",
            "warning",
            says(&["and so is legacy", "the same database"]),
        ),
        (
            |_| (),
            "service.connections",
            "ok",
            says(&["no endpoint yet; each has to be accepted"]),
        ),
        (
            |service| {
                service.needs_acceptance = false;
                endpoint(service, "vpce-0a", "available");
                endpoint(service, "vpce-0b", "rejected");
            },
            "service.connections",
            "ok",
            says(&[
                "vpce-0a of account 072088201116 is available, vpce-0b of account 072088201116 is rejected",
                "accepted unasked",
            ]),
        ),
        (
            |service| {
                endpoint(service, "vpce-0a", "available");
                endpoint(service, "vpce-0b", "pendingAcceptance");
                endpoint(service, "vpce-0c", "PendingAcceptance");
            },
            "service.connections",
            "warning",
            vec![
                format!("vpce-0b of account 072088201116 (since {ENDPOINTS_MADE}), vpce-0c of account 072088201116"),
                command("accept-vpc-endpoint-connections", "--vpc-endpoint-ids vpce-0b vpce-0c"),
            ],
        ),
        (
            |service| endpoint(service, "vpce-0b", "expired"),
            "service.connections",
            "warning",
            says(&["no endpoint is connected; expired: vpce-0b of account 072088201116", "new endpoint"]),
        ),
        (
            |_| (),
            "service.principals",
            "ok",
            says(&["arn:aws:iam::072088201116:root"]),
        ),
        (
            |service| service.principals.clear(),
            "service.principals",
            "warning",
            vec![
                "nobody of another account can ask".into(),
                command("modify-vpc-endpoint-service-permissions", "--add-allowed-principals arn:aws:iam::ACCOUNT:root"),
            ],
        ),
        (
            |service| service.principals.push("*".into()),
            "service.principals",
            "ok",
            says(&["everybody (*) may ask", "has to be accepted"]),
        ),
        (
            |service| {
                service.principals = vec!["*".into()];
                service.needs_acceptance = false;
            },
            "service.principals",
            "warning",
            vec![
                "the load balancer is public".into(),
                command("modify-vpc-endpoint-service-configuration", "--acceptance-required"),
            ],
        ),
        (
            |_| (),
            "service.zones",
            "ok",
            says(&["eu-west-1a, eu-west-1b, eu-west-1c (zone-az1, zone-az2, zone-az3)", "a subnet in one of these"]),
        ),
        (
            |service| assert!(service.zones.remove("eu-west-1c")),
            "service.zones",
            "warning",
            vec![
                "not in eu-west-1c, which is enabled on the load balancer; in eu-west-1a, eu-west-1b (zone-az1, zone-az2)".into(),
                command("modify-vpc-endpoint-service-configuration", "--add-network-load-balancer-arns arn:"),
            ],
        ),
        // The target lies in eu-west-1a, and each node sends to its own zone alone.
        (
            |service| assert!(service.zones.remove("eu-west-1a")),
            "service.zones",
            "failure",
            says(&["not in eu-west-1a", "lie there alone, and cross-zone is off, so no consumer reaches them"]),
        ),
        (|_| (), "service.private-dns", "ok", says(&["none", "names of their endpoints"])),
        (
            |service| service.private_name = Some(("db.example.com".into(), "verified".into())),
            "service.private-dns",
            "ok",
            says(&["db.example.com, verified"]),
        ),
        (
            |service| service.private_name = Some(("db.example.com".into(), "pendingVerification".into())),
            "service.private-dns",
            "warning",
            vec![
                "db.example.com is not verified (pendingVerification)".into(),
                "the TXT record _6e86v84tqgqubxbwii1m".into(),
                "the value vpce:l6p0ERxlTt45jevFwOCp".into(),
                command("start-vpc-endpoint-service-private-dns-verification", "").trim_end().into(),
            ],
        ),
        (
            |service| service.private_name = Some(("db.example.com".into(), "failed".into())),
            "service.private-dns",
            "warning",
            says(&["not verified (failed)"]),
        ),
        (
            |service| service.regions.push(("us-east-1".into(), "Available".into())),
            "service.regions",
            "ok",
            says(&["offered in eu-west-1, us-east-1, over ipv4"]),
        ),
        (
            |service| service.regions.push(("us-east-1".into(), "Pending".into())),
            "service.regions",
            "warning",
            says(&["not to be used yet, in us-east-1 (Pending)"]),
        ),
        (
            |service| service.families.push("ipv6".into()),
            "service.regions",
            "warning",
            says(&["offered over ipv4, ipv6, but orders takes IPv4 alone"]),
        ),
    ]
}

fn of_service(world: &World) -> Diagnosis {
    examine(doctor(world).args(["--only", "service"]))
}

#[test]
fn each_thing_about_a_service_is_told_by_its_check_with_its_fix() {
    let mut situations = situations().into_iter().peekable();
    while situations.peek().is_some() {
        let play = |(change, name, status, parts): Situation| {
            thread::spawn(move || {
                let world = World::settled_with(Group::named("orders").published(change));
                let told = of_service(&world);
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                told.assert(name, status, &parts);
                // All else is well.
                let others = told.checks.iter().filter(|check| check.name != name);
                let unwell: Vec<&str> = others
                    .filter(|check| check.status != "ok")
                    .map(|check| check.name.as_str())
                    .collect();
                assert_eq!(unwell, Vec::<&str>::new(), "{}", told.said);
                assert_eq!(told.exit, i32::from(status == "failure"), "{}", told.said);
            })
        };
        let running: Vec<_> = situations.by_ref().take(TOGETHER).map(play).collect();
        running
            .into_iter()
            .for_each(|running| running.join().expect("no situation fails"));
    }
}

#[test]
fn without_a_service_there_is_a_note_and_no_more() {
    let world = World::settled();
    let told = of_service(&world);
    assert_eq!(told.with("skipped"), CHECKS, "{}", told.said);
    told.assert(
        "service.published",
        "skipped",
        &[
            "no endpoint service publishes orders",
            "inside its VPC need none",
            "aws ec2 create-vpc-endpoint-service-configuration --region eu-west-1 --network-load-balancer-arns arn:",
        ],
    );
    // The others are one line for people.
    let said = said(&finish(&mut doctor(&world)));
    assert!(
        said.contains("5 checks") && said.contains("there is none: see service.published"),
        "{said}"
    );
}

#[test]
fn what_keeps_the_load_balancer_from_being_known_keeps_its_service_too() {
    let world = World::settled_with(Group::named("orders").unattached());
    let told = examine(doctor(&world).args(["--only", "service"]));
    told.assert("balancer.attached", "failure", &["no load balancer"]);
    for name in CHECKS {
        told.assert(name, "skipped", &["balancer.attached"]);
    }
    assert!(
        world.elb.calls().iter().all(|call| call.action != LIST),
        "{}",
        world.story()
    );
}

/// Fails if an action that is denied is more than a note, or is not named.
#[test]
fn a_denied_action_is_a_note_that_names_the_permission() {
    for (action, named, others) in [
        (LIST, "service.published", "skipped"),
        ("DescribeVpcEndpointConnections", "service.connections", "ok"),
        ("DescribeVpcEndpointServicePermissions", "service.principals", "ok"),
    ] {
        let world = World::settled_with(Group::named("orders").published(|_| ()));
        world.elb.fail(action, Failure::unauthorized(action), None);
        let told = of_service(&world);
        told.assert(
            named,
            "skipped",
            &[
                &format!("{action} is denied; only doctor needs that"),
                &format!("allow ec2:{action} on * to this identity"),
            ],
        );
        for check in told.checks.iter().filter(|check| check.name != named) {
            assert_eq!(check.status, others, "{action}: {check:?}");
        }
        assert_eq!(told.exit, if others == "ok" { 0 } else { 64 }, "{}", told.said);
        let whole = examine(&mut doctor(&world));
        assert_eq!(whole.exit, 0, "{}", whole.said);
        assert_eq!(whole.with("failure"), Vec::<&str>::new());
        whole.assert("permission.inspect", "ok", &[]);
    }
}

/// Fails if EC2 being out of reach or out of order is taken for an account without services, or fails anything else.
#[test]
fn an_api_that_does_not_answer_as_it_should_is_a_note_too() {
    for (failure, parts) in [
        (Failure::Garbage, &["BadResponse", "not one of AWS's"][..]),
        // Within the first of its elements, and one page of it.
        (Failure::Cut(400), &["BadResponse", "ends in the middle"]),
        (
            Failure::unavailable(),
            &["ServiceUnavailable", "check the network path to EC2"],
        ),
        (
            Failure::code(503, "RequestLimitExceeded", "slow down"),
            &["RequestLimitExceeded", "wait"],
        ),
        (Failure::Reset, &["DescribeVpcEndpointServiceConfigurations failed"]),
        (Failure::Hang, &["no answer", "--timeout"]),
    ] {
        let world = World::settled_with(Group::named("orders").published(|_| ()));
        world.elb.fail(LIST, failure.clone(), None);
        let told = examine(doctor(&world).args(["--only", "service,group.health", "--timeout", "4s"]));
        told.assert("service.published", "skipped", parts);
        told.assert("group.health", "ok", &[OLD]);
        assert_eq!(told.exit, 0, "{failure:?}: {}", told.said);
    }
}

#[test]
fn services_are_listed_page_by_page_and_signed_for_ec2() {
    let world =
        World::settled_with(Group::named("orders").published(|service| endpoint(service, "vpce-0a", "available")));
    for number in 0..4 {
        let other =
            Group::named(&format!("other-{number}")).published(|service| service.id = format!("vpce-svc-{number}"));
        world.elb.add_group(other);
    }
    world.elb.model(|model, _| model.ec2_page = Some(1));
    let told = of_service(&world);
    told.assert("service.published", "ok", &["vpce-svc-0123456789abcdef0"]);
    told.assert("service.connections", "ok", &["vpce-0a"]);
    let calls = world.elb.calls();
    let listed = calls.iter().filter(|call| call.action == LIST);
    assert_eq!(listed.count(), 5, "{}", world.story());
    // Nobody else's service is asked about.
    let asked = calls
        .iter()
        .filter(|call| call.action.starts_with("DescribeVpcEndpointC"));
    assert_eq!(asked.count(), 1, "{}", world.story());
    assert!(calls.iter().all(|call| call.outcome.is_ok()), "{}", world.story());
}

/// Fails if a list that does not end is read for ever, or one that ends is not read.
#[test]
fn a_list_has_a_limit() {
    const PAGES: usize = rds_tether::aws::ec2::PAGES_MAX;
    for (services, status, part) in [
        (PAGES, "ok", "vpce-svc-0123"),
        (PAGES + 1, "skipped", "more than 50 pages"),
    ] {
        let world = World::settled_with(Group::named("orders").published(|_| ()));
        for number in 1..services {
            world
                .elb
                .add_group(Group::named(&format!("other-{number}")).published(|_| ()));
        }
        world.elb.model(|model, _| model.ec2_page = Some(1));
        of_service(&world).assert("service.published", status, &[part]);
    }
}

/// As in a VPC, where each API has an interface endpoint of its own.
#[test]
fn ec2_has_an_address_of_its_own_where_the_environment_says_so() {
    let world = World::settled_with(Group::named("orders").published(|_| ()));
    let there = World::settled_with(Group::named("orders").published(|service| service.id = "vpce-svc-there".into()));
    let told = examine(
        doctor(&world)
            .args(["--only", "service.published"])
            .env("AWS_ENDPOINT_URL_EC2", there.elb.url()),
    );
    told.assert("service.published", "ok", &["vpce-svc-there"]);
}

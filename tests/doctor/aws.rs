//! What doctor says of credentials, the clock and permissions, through the built binary.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use testkit::certificate::{Authority, NOW};
use testkit::elb::{Balancer, Failure, Forward, Group};

use super::fake::terminate_tls;
use super::world::*;
use super::{doctor, examine};

#[test]
fn who_we_are_and_what_time_it_is() {
    let world = World::settled();
    let told = examine(doctor(&world).args(["--only", "aws"]));
    assert_eq!(told.exit, 0, "{}", told.said);
    told.assert("aws.identity", "ok", &["arn:aws:iam::111122223333:user/tether"]);
    told.assert("aws.clock", "ok", &["that of AWS"]);
}

#[test]
fn a_group_of_another_account_is_told() {
    let world = World::settled_with(Group::named("orders").account("222233334444"));
    let told = examine(doctor(&world).args(["--only", "aws.identity"]));
    told.assert(
        "aws.identity",
        "warning",
        &["111122223333", "222233334444", "assume_role"],
    );
}

#[test]
fn without_credentials_one_check_fails_and_the_others_point_to_it() {
    let world = World::settled();
    let mut command = doctor(&world);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let told = examine(&mut command);
    assert_eq!(told.exit, 77, "{}", told.said);
    assert_eq!(told.with("failure"), ["aws.identity"], "{}", told.said);
    told.assert("aws.identity", "failure", &["NoCredentials", "AWS_PROFILE"]);
    told.assert("group.type", "skipped", &["aws.identity"]);
    told.assert("dns.answer", "ok", &[OLD]);
}

#[test]
fn a_session_that_ended_is_told() {
    let world = World::settled();
    world.elb.fail("*", Failure::expired_token(), None);
    let told = examine(&mut doctor(&world));
    assert_eq!(told.exit, 77, "{}", told.said);
    told.assert("aws.identity", "failure", &["ExpiredToken", "renew"]);
    assert_eq!(told.with("failure"), ["aws.identity"]);
}

#[test]
fn a_clock_that_is_wrong_is_told_even_by_the_refusal_itself() {
    for (ahead_seconds, status, parts) in [
        (3_600, "failure", ["60 min behind AWS", "chronyc"]),
        (-3_600, "failure", ["60 min ahead of AWS", "chronyc"]),
        (150, "warning", ["2 min behind AWS", "chronyc"]),
    ] {
        let world = World::settled();
        world.elb.set_clock_ahead(ahead_seconds);
        let told = examine(doctor(&world).args(["--only", "aws"]));
        // Half a minute may pass between the two clocks.
        let found = told.check("aws.clock").finding.replace("59 min", "60 min");
        assert_eq!(told.check("aws.clock").status, status, "{}", told.said);
        assert!(found.contains(parts[0]), "{found}");
        assert!(told.check("aws.clock").fix.contains(parts[1]));
        let refused = if status == "failure" { "failure" } else { "ok" };
        assert_eq!(told.check("aws.identity").status, refused, "{}", told.said);
    }
}

/// What a hotel or a company's proxy answers instead of AWS, with a time of its own.
fn portal() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 8192]);
            let page = "<html>Please sign in</html>";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
        }
    });
    url
}

#[test]
fn what_is_not_aws_tells_neither_who_we_are_nor_the_time() {
    let world = World::settled();
    let told = examine(doctor(&world).env("AWS_ENDPOINT_URL", portal()).args(["--only", "aws"]));
    assert_eq!(told.exit, 69, "{}", told.said);
    told.assert("aws.identity", "failure", &["BadResponse", "HTTPS_PROXY"]);
    told.assert("aws.clock", "skipped", &["nothing that AWS answered"]);
}

#[test]
fn an_api_that_does_not_answer_is_not_well_whatever_is_asked_for() {
    let world = World::settled();
    world.elb.fail("*", Failure::Hang, None);
    for only in [
        "aws",
        "aws.clock",
        "aws.identity",
        "permission.inspect",
        "group",
        "balancer",
    ] {
        let told = examine(doctor(&world).args(["--timeout", "1s", "--only", only]));
        assert_eq!(told.exit, 69, "{only}: {}", told.said);
    }
    // What asks STS alone can be done without.
    let world = World::settled();
    world.elb.fail("GetCallerIdentity", Failure::Hang, None);
    let told = examine(doctor(&world).args(["--timeout", "1s", "--only", "aws"]));
    assert_eq!(told.exit, 0, "{}", told.said);
    told.assert("aws.identity", "warning", &["only doctor", "network path"]);
    let world = World::settled();
    world
        .elb
        .fail("GetCallerIdentity", Failure::denied("GetCallerIdentity"), None);
    let told = examine(doctor(&world).args(["--only", "aws"]));
    told.assert(
        "aws.identity",
        "warning",
        &["AccessDenied", "allow sts:GetCallerIdentity"],
    );
    assert!(!told.said.contains("network path"), "{}", told.said);
}

#[test]
fn each_denied_action_is_named_by_the_check_that_is_about_it() {
    for (action, name, exit) in [
        ("DescribeTargetGroups", "permission.describe-groups", 77),
        ("DescribeTargetHealth", "permission.describe-health", 77),
        ("RegisterTargets", "permission.register", 77),
        ("DeregisterTargets", "permission.deregister", 77),
        ("DescribeTargetGroupAttributes", "permission.inspect", 77),
        ("DescribeLoadBalancers", "permission.inspect", 77),
        ("DescribeLoadBalancerAttributes", "permission.inspect", 77),
        ("DescribeListeners", "permission.inspect", 77),
        ("DescribeListenerAttributes", "permission.inspect", 77),
        // It keeps nothing from being told here.
        ("DescribeRules", "permission.inspect", 0),
    ] {
        let world = World::settled();
        world.elb.fail(action, Failure::denied(action), None);
        let told = examine(doctor(&world).arg("--write-check"));
        assert_eq!(told.exit, exit, "{action}: {}", told.said);
        let iam = format!("elasticloadbalancing:{action}");
        let status = if exit == 0 { "warning" } else { "failure" };
        told.assert(name, status, &[&iam]);
        let failures = if exit == 0 { vec![] } else { vec![name] };
        assert_eq!(told.with("failure"), failures, "{action}");
    }
}

/// Fails if a permission that is missing hides what is wrong.
#[test]
fn no_denial_makes_an_examination_greener() {
    let elsewhere = |balancer: &mut Balancer| balancer.listeners[0].forward = vec![Forward::to("arn:another")];
    let world = World::settled_with(Group::named("orders").balanced(elsewhere));
    let action = "DescribeListeners";
    for only in [
        "balancer",
        "balancer,permission.inspect",
        "permission.inspect",
        "group,balancer",
    ] {
        let told = examine(doctor(&world).args(["--only", only]));
        assert_eq!(
            told.exit,
            i32::from(only != "permission.inspect"),
            "{only}: {}",
            told.said
        );
    }
    world.elb.fail(action, Failure::denied(action), None);
    for only in [
        "balancer",
        "balancer,permission.inspect",
        "permission.inspect",
        "group,balancer",
    ] {
        let told = examine(doctor(&world).args(["--only", only]));
        assert_eq!(told.exit, 77, "{only}: {}", told.said);
        told.assert(
            "permission.inspect",
            "failure",
            &["allow elasticloadbalancing:DescribeListeners"],
        );
        assert!(!told.said.contains("network path"), "{only}: {}", told.said);
    }
}

#[test]
fn a_dependent_check_that_was_asked_for_alone_brings_the_failure_with_it() {
    let world = World::settled();
    world
        .elb
        .fail("DescribeTargetGroups", Failure::denied("DescribeTargetGroups"), None);
    let told = examine(doctor(&world).args(["--only", "group.termination"]));
    assert_eq!(told.exit, 77, "{}", told.said);
    told.assert("group.termination", "skipped", &["permission.describe-groups"]);
    told.assert("permission.describe-groups", "failure", &["AccessDenied"]);
    assert_eq!(told.checks.len(), 2, "{}", told.said);
}

#[test]
fn nothing_is_written_unless_asked_for() {
    let world = World::settled();
    let told = examine(&mut doctor(&world));
    told.assert("permission.register", "skipped", &["--write-check"]);
    told.assert("permission.deregister", "skipped", &["--write-check"]);
    assert_eq!(world.writes(), Vec::<String>::new());
}

#[test]
fn the_write_check_changes_nothing() {
    let world = World::settled();
    let before = world.elb.targets(&world.arn);
    let told = examine(doctor(&world).arg("--write-check"));
    told.assert("permission.register", "ok", &[OLD, "changed nothing"]);
    told.assert("permission.deregister", "ok", &["changed nothing"]);
    // The zone is echoed as it was listed.
    assert_eq!(
        world.writes(),
        ["Deregister 192.0.2.1:5432", "Register 10.0.1.5:5432@eu-west-1a"]
    );
    assert_eq!(world.elb.targets(&world.arn), before);
    assert_eq!(world.elb.lowest_registered(&world.arn), 1);
}

#[test]
fn the_write_check_registers_only_what_is_registered_and_named() {
    // An empty group; a group that only holds what DNS does not name; one whose target is kept.
    let world = World::new();
    let told = examine(doctor(&world).arg("--write-check"));
    told.assert("permission.register", "skipped", &["sync"]);
    world.elb.put_target(&world.arn, NEW, 5432);
    let told = examine(doctor(&world).arg("--write-check"));
    told.assert("permission.register", "skipped", &["sync"]);
    world.elb.put_target(&world.arn, OLD, 5432);
    examine(doctor(&world).args(["--write-check", "--keep", OLD])).assert("permission.register", "skipped", &["sync"]);
    assert!(
        world.writes().iter().all(|write| write == "Deregister 192.0.2.1:5432"),
        "{:?}",
        world.writes()
    );
}

#[test]
fn what_the_settings_rule_out_needs_no_permission() {
    let world = World::settled();
    let told = examine(doctor(&world).arg("--observe"));
    told.assert("permission.register", "skipped", &["not needed"]);
    let told = examine(doctor(&world).arg("--upsert-only"));
    told.assert("permission.register", "skipped", &["--write-check"]);
    told.assert("permission.deregister", "skipped", &["not needed"]);
}

#[test]
fn one_api_that_hangs_does_not_keep_the_rest_from_being_told() {
    let world = World::settled();
    world.elb.fail("DescribeTargetGroupAttributes", Failure::Hang, None);
    let told = examine(doctor(&world).args(["--timeout", "2s"]));
    assert_eq!(told.exit, 69, "{}", told.said);
    told.assert(
        "permission.inspect",
        "failure",
        &["DescribeTargetGroupAttributes", "--timeout"],
    );
    told.assert("group.termination", "skipped", &["permission.inspect"]);
    told.assert("group.health", "ok", &[OLD]);
    told.assert("balancer.listener", "ok", &["5432"]);
    told.assert("dns.answer", "ok", &[OLD]);

    world.elb.fail("*", Failure::Hang, None);
    let told = examine(doctor(&world).args(["--timeout", "2s"]));
    assert_eq!(told.exit, 69, "{}", told.said);
    told.assert("aws.identity", "failure", &["--timeout"]);
    told.assert("permission.describe-groups", "failure", &["--timeout"]);
    told.assert("dns.answer", "ok", &[OLD]);
}

/// An API whose certificate a company's own CA has signed, as behind an inspecting proxy.
#[test]
fn the_cas_of_aws_ca_bundle_are_those_that_aws_is_trusted_by() {
    let world = World::settled();
    let authority = Authority::new();
    let front = terminate_tls(authority.certify(&["localhost"], NOW), world.elb.address());
    let scratch = Scratch::new();
    let bundle = |name: &str, pem: &str| scratch.write(name, pem).to_str().unwrap().to_owned();
    let good = bundle("good.pem", &authority.pem);
    // Several in one file, as such files are, and one that cannot be used.
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let several = bundle("several.pem", &(Authority::new().pem + broken + &authority.pem));
    let other = bundle("other.pem", &Authority::new().pem);
    let examined = |bundle: Option<&str>| {
        let mut command = doctor(&world);
        command.env(
            "AWS_ENDPOINT_URL",
            format!("https://localhost:{}", front.address.port()),
        );
        if let Some(bundle) = bundle {
            command.env("AWS_CA_BUNDLE", bundle);
        }
        examine(command.args(["--only", "aws", "--only", "group.health", "--only", "settings"]))
    };
    for bundle in [&good, &several] {
        let told = examined(Some(bundle));
        assert_eq!(told.exit, 0, "{}", told.said);
        told.assert("aws.identity", "ok", &["user/tether"]);
        told.assert("group.health", "ok", &[OLD]);
    }
    for bundle in [Some(other.as_str()), None] {
        let told = examined(bundle);
        assert_eq!(told.exit, 69, "{}", told.said);
        told.assert("aws.identity", "failure", &["certificate"]);
    }
    for (bundle, part) in [
        (bundle("empty.pem", ""), "has no certificate in it that can be used"),
        (
            bundle(
                "broken.pem",
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            ),
            "has no certificate in it that can be used",
        ),
        ("/nowhere/ca.pem".to_owned(), "cannot be read"),
    ] {
        let told = examined(Some(&bundle));
        told.assert("settings", "failure", &["AWS_CA_BUNDLE", part, "unset it"]);
    }
    let told = examined(Some(""));
    assert_eq!(told.exit, 69, "an empty one is none: {}", told.said);
}

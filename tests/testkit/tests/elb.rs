//! The simulated ELBv2 API against what AWS documents of the real one, asked through the real SDK.
//!
//! Prefixes group the tests: n1 which addresses ELB takes, n2 what identifies a target, n3 deregistering, n4 states,
//! n8 zones, n12 rate limits, n13 error codes, n14 tags.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2 as sdk;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use sdk::config::retry::RetryConfig;
use sdk::config::timeout::TimeoutConfig;
use sdk::config::{BehaviorVersion, Credentials, Region};
use sdk::error::{ProvideErrorMetadata, SdkError};
use sdk::types::TargetDescription as SdkTarget;
use testkit::elb::{Call, Failure, Family, Forward, Group, Rule, Server, TargetDescription, TargetType};
use testkit::program::PATIENCE;

const SECOND: Duration = Duration::from_secs(1);
/// A delay that no test lives to see the end of.
const FOR_EVER: Duration = Duration::from_secs(3600);

struct Aws(sdk::Client);

type Answer = Result<(), (u16, String)>;

/// HTTP status and error code of a refusal; status 0 when no reply came that could be read.
fn refused<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> Result<T, (u16, String)> {
    result.map_err(|error| {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        (status, error.code().unwrap_or_default().to_owned())
    })
}

fn code<T>(status: u16, code: &str) -> Result<T, (u16, String)> {
    Err((status, code.to_owned()))
}

impl Aws {
    fn of(server: &Server) -> Self {
        Self::hasty(server, PATIENCE)
    }

    /// A client that gives a call up after `patience`.
    fn hasty(server: &Server, patience: Duration) -> Self {
        let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
        let config = sdk::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("AKIDTEST", "secret", None, None, "test"))
            .endpoint_url(server.url())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(patience).build())
            .http_client(http.build_https());
        Self(sdk::Client::from_conf(config.build()))
    }

    async fn register(&self, arn: &str, targets: &[SdkTarget]) -> Answer {
        let call = self
            .0
            .register_targets()
            .target_group_arn(arn)
            .set_targets(Some(targets.to_vec()));
        refused(call.send().await).map(drop)
    }

    async fn deregister(&self, arn: &str, targets: &[SdkTarget]) -> Answer {
        let call = self
            .0
            .deregister_targets()
            .target_group_arn(arn)
            .set_targets(Some(targets.to_vec()));
        refused(call.send().await).map(drop)
    }

    /// One line per target: `ID:PORT@ZONE STATE REASON`.
    async fn health(&self, arn: &str, named: &[SdkTarget]) -> Result<Vec<String>, (u16, String)> {
        let named = (!named.is_empty()).then(|| named.to_vec());
        let call = self.0.describe_target_health().target_group_arn(arn).set_targets(named);
        let output = refused(call.send().await)?;
        let lines = output.target_health_descriptions().iter().map(|description| {
            let target = description.target().unwrap();
            let health = description.target_health().unwrap();
            let zone = target
                .availability_zone()
                .map(|zone| format!("@{zone}"))
                .unwrap_or_default();
            let state = health.state().unwrap().as_str();
            let reason = health
                .reason()
                .map(|reason| format!(" {}", reason.as_str()))
                .unwrap_or_default();
            format!(
                "{}:{}{zone} {state}{reason}",
                target.id().unwrap(),
                target.port().unwrap()
            )
        });
        Ok(lines.collect())
    }
}

fn target(id: &str, port: i32) -> SdkTarget {
    SdkTarget::builder().id(id).port(port).build()
}

fn in_zone(id: &str, port: i32, zone: &str) -> SdkTarget {
    SdkTarget::builder().id(id).port(port).availability_zone(zone).build()
}

fn set_up() -> (Server, String, Aws) {
    set_up_with(Group::named("orders"))
}

fn set_up_with(group: Group) -> (Server, String, Aws) {
    let server = Server::start();
    let arn = server.add_group(group);
    let aws = Aws::of(&server);
    (server, arn, aws)
}

fn until_healthy(server: &Server, arn: &str, ip: &str) -> bool {
    server.wait_until(PATIENCE, |model, now| {
        model
            .targets(arn, now)
            .iter()
            .any(|target| target.ip == ip && target.state == "healthy")
    })
}

#[tokio::test]
async fn n1_addresses_elb_would_not_take_are_refused_and_the_whole_batch_with_them() {
    let (_server, arn, aws) = set_up();
    let bad = [
        ("54.72.1.9", "InvalidTarget"),
        ("127.0.0.1", "InvalidTarget"),
        ("169.254.169.253", "InvalidTarget"),
        ("100.128.0.1", "InvalidTarget"),
        ("172.32.0.1", "InvalidTarget"),
        ("2600:1f18:0:1::5", "ValidationError"),
        ("orders.example.com", "ValidationError"),
    ];
    for (bad, why) in bad {
        let batch = [target("10.0.1.5", 5432), in_zone(bad, 5432, "all")];
        assert_eq!(aws.register(&arn, &batch).await, code(400, why), "{bad}");
        assert_eq!(aws.health(&arn, &[]).await.unwrap(), [""; 0], "{bad}");
    }
}

#[tokio::test]
async fn n1_ipv6_targets_must_lie_in_the_vpc() {
    let (server, arn, aws) = set_up_with(Group::named("orders").ipv6());
    for (bad, why) in [
        ("2600:1f18:9:1::5", "InvalidTarget"),
        ("fd00::5", "InvalidTarget"),
        ("10.0.1.5", "ValidationError"),
    ] {
        assert_eq!(
            aws.register(&arn, &[in_zone(bad, 5432, "all")]).await,
            code(400, why),
            "{bad}"
        );
    }
    assert_eq!(aws.register(&arn, &[target("2600:1f18:0:2::5", 5432)]).await, Ok(()));
    assert_eq!(
        aws.register(&arn, &[target("2600:1f18:0:2:0:0:0:5", 5432)]).await,
        Ok(())
    );
    assert!(until_healthy(&server, &arn, "2600:1f18:0:2::5"));
    assert_eq!(
        aws.health(&arn, &[]).await.unwrap(),
        ["2600:1f18:0:2::5:5432@eu-west-1b healthy"]
    );
}

#[tokio::test]
async fn n2_a_target_is_its_id_and_port_and_the_zone_is_filled_in_from_the_subnet() {
    let (server, arn, aws) = set_up_with(Group::named("orders").registration_delay(FOR_EVER));
    server.put_target(&arn, "10.0.2.6", 5432);
    let without_port = SdkTarget::builder().id("10.0.3.7").build();
    let batch = [
        target("10.0.2.6", 5433),
        in_zone("10.0.2.6", 5432, "eu-west-1b"),
        without_port,
    ];
    assert_eq!(aws.register(&arn, &batch).await, Ok(()));
    let expected = [
        "10.0.2.6:5432@eu-west-1b healthy",
        "10.0.2.6:5433@eu-west-1b initial Elb.RegistrationInProgress",
        "10.0.3.7:5432@eu-west-1c initial Elb.RegistrationInProgress",
    ];
    assert_eq!(aws.health(&arn, &[]).await.unwrap(), expected);
}

#[tokio::test]
async fn n2_zone_all_is_required_outside_the_vpc_and_refused_inside() {
    let (server, arn, aws) = set_up();
    for outside in ["10.9.0.5", "172.16.0.5", "192.168.7.5", "100.64.0.5", "10.0.99.5"] {
        assert_eq!(
            aws.register(&arn, &[target(outside, 5432)]).await,
            code(400, "ValidationError"),
            "{outside}"
        );
        assert_eq!(
            aws.register(&arn, &[in_zone(outside, 5432, "all")]).await,
            Ok(()),
            "{outside}"
        );
        server.remove_target(&arn, outside, 5432);
    }
    for zone in ["all", "eu-west-1b"] {
        assert_eq!(
            aws.register(&arn, &[in_zone("10.0.1.5", 5432, zone)]).await,
            code(400, "ValidationError"),
            "{zone}"
        );
    }
    assert_eq!(
        aws.register(&arn, &[in_zone("10.9.0.5", 5432, "mars-1a")]).await,
        code(400, "ValidationError")
    );
    server.put_target(&arn, "10.9.0.5", 5432);
    assert_eq!(aws.health(&arn, &[]).await.unwrap(), ["10.9.0.5:5432@all healthy"]);
}

#[tokio::test]
async fn n3_deregister_with_the_wrong_port_answers_200_and_does_nothing() {
    let (server, arn, aws) = set_up();
    server.put_target(&arn, "10.0.1.5", 5433);
    assert_eq!(aws.deregister(&arn, &[target("10.0.1.5", 5432)]).await, Ok(()));
    assert_eq!(
        aws.health(&arn, &[]).await.unwrap(),
        ["10.0.1.5:5433@eu-west-1a healthy"]
    );
}

#[tokio::test]
async fn n3_deregister_without_the_port_or_of_an_unknown_target_answers_200_and_does_nothing() {
    let (server, arn, aws) = set_up();
    server.put_target(&arn, "10.0.1.5", 5433);
    let batch = [SdkTarget::builder().id("10.0.1.5").build(), target("10.0.2.99", 5433)];
    assert_eq!(aws.deregister(&arn, &batch).await, Ok(()));
    assert_eq!(
        aws.health(&arn, &[]).await.unwrap(),
        ["10.0.1.5:5433@eu-west-1a healthy"]
    );
}

#[tokio::test]
async fn n4_a_new_target_is_initial() {
    let (_server, arn, aws) = set_up_with(Group::named("orders").registration_delay(FOR_EVER));
    assert_eq!(aws.register(&arn, &[target("10.0.1.5", 5432)]).await, Ok(()));
    let expected = ["10.0.1.5:5432@eu-west-1a initial Elb.RegistrationInProgress"];
    assert_eq!(aws.health(&arn, &[]).await.unwrap(), expected);
}

#[tokio::test]
async fn n4_after_its_first_health_checks_a_target_is_healthy_or_unhealthy() {
    let (server, arn, aws) = set_up();
    server.mark_dead("10.0.2.6");
    let batch = [target("10.0.1.5", 5432), target("10.0.2.6", 5432)];
    assert_eq!(aws.register(&arn, &batch).await, Ok(()));
    assert!(until_healthy(&server, &arn, "10.0.1.5"));
    let expected = [
        "10.0.1.5:5432@eu-west-1a healthy",
        "10.0.2.6:5432@eu-west-1b unhealthy Target.FailedHealthChecks",
    ];
    assert_eq!(aws.health(&arn, &[]).await.unwrap(), expected);
    server.mark_alive("10.0.2.6");
    assert!(until_healthy(&server, &arn, "10.0.2.6"));
}

#[tokio::test]
async fn n4_a_deregistered_target_stays_listed_as_draining_and_registering_it_brings_it_back() {
    let (server, arn, aws) = set_up();
    server.put_target(&arn, "10.0.1.5", 5432);
    let batch = [target("10.0.1.5", 5432)];
    assert_eq!(aws.deregister(&arn, &batch).await, Ok(()));
    let draining = ["10.0.1.5:5432@eu-west-1a draining Target.DeregistrationInProgress"];
    assert_eq!(aws.health(&arn, &[]).await.unwrap(), draining);
    assert_eq!(server.calls()[0].registered_after, 0);

    assert_eq!(aws.register(&arn, &batch).await, Ok(()));
    assert_eq!(server.model(|model, _| model.registered(&arn)), 1);
    assert!(until_healthy(&server, &arn, "10.0.1.5"));
}

#[tokio::test]
async fn n4_a_drained_target_is_gone() {
    let (server, arn, aws) = set_up_with(Group::named("orders").deregistration_delay(SECOND / 10));
    server.put_target(&arn, "10.0.1.5", 5432);
    assert_eq!(aws.deregister(&arn, &[target("10.0.1.5", 5432)]).await, Ok(()));
    assert!(server.wait_until(PATIENCE, |model, now| model.targets(&arn, now).is_empty()));
    assert_eq!(aws.health(&arn, &[]).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn n4_a_target_asked_for_by_name_that_is_not_there_is_unused_not_registered() {
    let (server, arn, aws) = set_up();
    server.put_target(&arn, "10.0.1.5", 5432);
    let named = [target("10.0.1.5", 5432), target("10.0.1.5", 5433)];
    let expected = [
        "10.0.1.5:5432@eu-west-1a healthy",
        "10.0.1.5:5433 unused Target.NotRegistered",
    ];
    assert_eq!(aws.health(&arn, &named).await.unwrap(), expected);
}

#[tokio::test]
async fn n4_states_ordered_by_a_test_pass_through_even_unknown_ones() {
    let (server, arn, aws) = set_up();
    server.put_target(&arn, "10.0.1.5", 5432);
    for (state, reason, shown) in [
        (
            "unhealthy.draining",
            "Target.FailedHealthChecks",
            "unhealthy.draining Target.FailedHealthChecks",
        ),
        ("unavailable", "Elb.InternalError", "unavailable Elb.InternalError"),
        ("half.asleep", "Target.<&>", "half.asleep Target.<&>"),
    ] {
        server.set_health(&arn, "10.0.1.5", 5432, state, reason);
        assert_eq!(
            aws.health(&arn, &[]).await.unwrap(),
            [format!("10.0.1.5:5432@eu-west-1a {shown}")]
        );
        assert_eq!(
            server.model(|model, _| model.registered(&arn)),
            1,
            "{state} is registered"
        );
    }
    server.clear_health(&arn, "10.0.1.5", 5432);
    assert!(until_healthy(&server, &arn, "10.0.1.5"));
}

#[tokio::test]
async fn n8_a_target_in_a_zone_that_is_not_enabled_is_unused() {
    let (server, arn, aws) = set_up_with(Group::named("orders").zones(&["eu-west-1a"]));
    for ip in ["10.0.1.5", "10.0.2.6", "10.9.0.5"] {
        server.put_target(&arn, ip, 5432);
    }
    let expected = [
        "10.0.1.5:5432@eu-west-1a healthy",
        "10.0.2.6:5432@eu-west-1b unused Target.NotInUse",
        "10.9.0.5:5432@all healthy",
    ];
    assert_eq!(aws.health(&arn, &[]).await.unwrap(), expected);
}

#[tokio::test]
async fn n8_without_a_load_balancer_every_target_is_unused() {
    let (server, arn, aws) = set_up_with(Group::named("orders").unattached());
    assert_eq!(aws.register(&arn, &[target("10.0.1.5", 5432)]).await, Ok(()));
    assert_eq!(
        aws.health(&arn, &[]).await.unwrap(),
        ["10.0.1.5:5432@eu-west-1a unused Target.NotInUse"]
    );
    server.model(|model, _| model.group_mut(&arn).in_use = true);
    assert!(until_healthy(&server, &arn, "10.0.1.5"));
}

#[tokio::test]
async fn n12_the_rate_limit_answers_throttling_and_does_nothing() {
    let (server, arn, aws) = set_up();
    server.limits(true);
    let mut answers = Vec::new();
    // Twice the bucket: more than could refill unless this took five seconds.
    for port in 1..=40 {
        answers.push(aws.register(&arn, &[target("10.0.1.5", port)]).await);
    }
    assert!(answers[..20].iter().all(Answer::is_ok));
    assert!(answers.contains(&code(400, "Throttling")));
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(server.targets(&arn).len(), done);
    server.limits(false);
    assert_eq!(aws.register(&arn, &[target("10.0.1.5", 99)]).await, Ok(()));
}

#[tokio::test]
async fn n13_a_group_that_does_not_exist_is_target_group_not_found() {
    let (server, arn, aws) = set_up();
    server.model(|model, _| model.remove_group(&arn));
    let batch = [target("10.0.1.5", 5432)];
    assert_eq!(aws.register(&arn, &batch).await, code(400, "TargetGroupNotFound"));
    assert_eq!(aws.deregister(&arn, &batch).await, code(400, "TargetGroupNotFound"));
    assert_eq!(aws.health(&arn, &[]).await, code(400, "TargetGroupNotFound"));
    let describe = aws.0.describe_target_groups().target_group_arns(&arn).send().await;
    assert_eq!(refused(describe).map(drop), code(400, "TargetGroupNotFound"));
    assert_eq!(aws.health("orders", &[]).await, code(400, "ValidationError"));
}

#[tokio::test]
async fn n13_limits_on_targets_and_on_the_length_of_a_batch() {
    let (server, arn, aws) = set_up_with(Group::named("orders").max_targets(2).max_batch(3));
    let batch: Vec<SdkTarget> = (1..=4).map(|port| target("10.0.1.5", port)).collect();
    assert_eq!(aws.register(&arn, &batch).await, code(400, "ValidationError"));
    assert_eq!(aws.deregister(&arn, &batch).await, code(400, "ValidationError"));
    assert_eq!(aws.register(&arn, &[]).await, code(400, "ValidationError"));
    assert_eq!(aws.register(&arn, &batch[..3]).await, code(400, "TooManyTargets"));
    assert_eq!(aws.register(&arn, &batch[..2]).await, Ok(()));
    assert_eq!(
        aws.register(&arn, &batch[..2]).await,
        Ok(()),
        "the same again needs no room"
    );
    assert_eq!(aws.deregister(&arn, &batch[..1]).await, Ok(()));
    assert_eq!(
        aws.register(&arn, &batch[2..3]).await,
        Ok(()),
        "what drains takes no room"
    );
    assert_eq!(server.model(|model, _| model.registered(&arn)), 2);
}

#[tokio::test]
async fn n13_ordered_errors_arrive_with_their_status_and_code() {
    let (server, arn, aws) = set_up();
    for (failure, status, error) in [
        (Failure::throttled(), 400, "Throttling"),
        (Failure::denied("DescribeTargetHealth"), 403, "AccessDenied"),
        (Failure::expired_token(), 403, "ExpiredToken"),
        (Failure::health_unavailable(), 500, "HealthUnavailable"),
        (Failure::internal(), 500, "InternalFailure"),
        (Failure::unavailable(), 503, "ServiceUnavailable"),
    ] {
        server.fail("DescribeTargetHealth", failure, Some(1));
        assert_eq!(aws.health(&arn, &[]).await, code(status, error));
        assert_eq!(server.calls().pop().unwrap().outcome, Err(error.to_owned()));
    }
    server.fail("RegisterTargets", Failure::too_many_registrations(), None);
    let batch = [target("10.0.1.5", 5432)];
    for _ in 0..3 {
        assert_eq!(
            aws.register(&arn, &batch).await,
            code(400, "TooManyRegistrationsForTargetId")
        );
    }
    server.heal();
    assert_eq!(aws.register(&arn, &batch).await, Ok(()));
}

#[tokio::test]
async fn a_failure_can_be_limited_to_one_group_and_to_a_number_of_calls() {
    let (server, orders, aws) = set_up();
    let users = server.add_group(Group::named("users"));
    server.fail_for(&orders, "*", Failure::throttled(), Some(2));
    assert_eq!(aws.health(&users, &[]).await, Ok(vec![]));
    assert_eq!(aws.health(&orders, &[]).await, code(400, "Throttling"));
    let both = aws
        .0
        .describe_target_groups()
        .target_group_arns(&users)
        .target_group_arns(&orders);
    assert_eq!(refused(both.send().await).map(drop), code(400, "Throttling"));
    assert_eq!(aws.health(&orders, &[]).await, Ok(vec![]));
}

#[tokio::test]
async fn a_lost_reply_leaves_the_work_done_and_a_reset_does_not() {
    let (server, arn, aws) = set_up();
    server.fail("RegisterTargets", Failure::Reset, Some(1));
    server.fail("RegisterTargets", Failure::LostReply, Some(1));
    let batch = [target("10.0.1.5", 5432)];
    assert_eq!(aws.register(&arn, &batch).await, code(0, ""));
    assert_eq!(server.targets(&arn), []);
    assert_eq!(aws.register(&arn, &batch).await, code(0, ""));
    assert_eq!(server.model(|model, _| model.registered(&arn)), 1);
    let outcomes: Vec<_> = server
        .writes()
        .into_iter()
        .map(|call| (call.outcome, call.registered_after))
        .collect();
    assert_eq!(outcomes, [(Err("Reset".to_owned()), 0), (Ok(()), 1)]);
}

#[tokio::test]
async fn a_hang_ends_only_with_the_time_out_of_the_client() {
    let (server, arn, aws) = set_up();
    let hasty = Aws::hasty(&server, SECOND / 10);
    server.fail("RegisterTargets", Failure::Hang, None);
    let call = hasty
        .0
        .register_targets()
        .target_group_arn(&arn)
        .targets(target("10.0.1.5", 5432));
    assert!(matches!(call.send().await, Err(SdkError::TimeoutError(_))));
    assert_eq!(
        aws.health(&arn, &[]).await,
        Ok(vec![]),
        "nothing was done, and other actions are answered"
    );
}

#[tokio::test]
async fn a_delayed_call_is_carried_out_although_the_client_has_given_up() {
    let (server, arn, _) = set_up();
    // Wide apart, so that on a busy machine the request still arrives in time and the reply still does not.
    let hasty = Aws::hasty(&server, SECOND / 2);
    server.fail("RegisterTargets", Failure::Delay(SECOND * 2), None);
    assert_eq!(hasty.register(&arn, &[target("10.0.1.5", 5432)]).await, code(0, ""));
    assert!(server.wait_for(PATIENCE, |calls| calls.iter().any(Call::is_write)));
    assert_eq!(server.model(|model, _| model.registered(&arn)), 1);
}

#[tokio::test]
async fn garbage_fails_a_describe_but_passes_for_a_register_whose_reply_the_sdk_does_not_read() {
    let (server, arn, aws) = set_up();
    server.fail("*", Failure::Garbage, None);
    assert_eq!(aws.health(&arn, &[]).await, code(200, ""));
    assert_eq!(aws.register(&arn, &[target("10.0.1.5", 5432)]).await, Ok(()));
    assert_eq!(server.targets(&arn), []);
}

#[tokio::test]
async fn groups_are_described_by_arn_and_page_by_page() {
    let server = Server::start();
    let names = ["alpha", "beta", "gamma", "delta", "epsilon"];
    let arns: Vec<String> = names.iter().map(|name| server.add_group(Group::named(name))).collect();
    server.model(|model, _| model.group_mut(&arns[0]).target_type = TargetType::Instance);
    let aws = Aws::of(&server);

    let one = aws
        .0
        .describe_target_groups()
        .target_group_arns(&arns[0])
        .send()
        .await
        .unwrap();
    let [alpha] = one.target_groups() else {
        panic!("{one:?}")
    };
    assert_eq!(alpha.target_group_name(), Some("alpha"));
    assert_eq!(alpha.target_group_arn(), Some(arns[0].as_str()));
    assert_eq!(alpha.port(), Some(5432));
    assert_eq!(alpha.target_type().unwrap().as_str(), "instance");
    assert_eq!(alpha.ip_address_type().unwrap().as_str(), "ipv4");
    assert_eq!(alpha.protocol().unwrap().as_str(), "TCP");
    assert_eq!(alpha.load_balancer_arns().len(), 1);

    let mut pages = aws.0.describe_target_groups().page_size(2).into_paginator().send();
    let mut sizes = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        sizes.push(page.target_groups().len());
        seen.extend(
            page.target_groups()
                .iter()
                .filter_map(|group| group.target_group_arn().map(str::to_owned)),
        );
    }
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(seen, arns.iter().cloned().collect());

    // By name, in the region of the signature alone; and pages may be smaller than is asked for.
    let there = server.add_group(Group::named("alpha").region("us-east-1"));
    let named = |name: &str| aws.0.describe_target_groups().names(name).send();
    let one = named("alpha").await.unwrap();
    let arns_of = one.target_groups().iter().filter_map(|group| group.target_group_arn());
    assert_eq!(arns_of.collect::<Vec<_>>(), [arns[0].as_str()], "and not {there}");
    let unknown = refused(named("omega").await).unwrap_err();
    assert_eq!(unknown, (400, "TargetGroupNotFound".to_owned()));
    let both = aws
        .0
        .describe_target_groups()
        .names("alpha")
        .target_group_arns(&arns[0]);
    assert_eq!(
        refused(both.send().await).unwrap_err(),
        (400, "ValidationError".to_owned())
    );
    server.model(|model, _| model.page_max = Some(3));
    let page = aws.0.describe_target_groups().page_size(400).send().await.unwrap();
    assert_eq!((page.target_groups().len(), page.next_marker()), (3, Some("3")));
}

#[test]
fn an_arn_looks_like_one_and_is_always_the_same() {
    let arn = Group::named("orders").arn();
    let (prefix, suffix) = arn.rsplit_once('/').unwrap();
    assert_eq!(
        prefix,
        "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders"
    );
    assert!(
        suffix.len() == 16 && suffix.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{suffix}"
    );
    assert_eq!(arn, Group::named("orders").arn());
    assert_ne!(arn, Group::named("orders").region("us-east-1").arn());
}

#[tokio::test]
async fn a_call_is_recorded_with_who_asked_for_what_where_and_what_came_of_it() {
    let (server, arn, aws) = set_up();
    aws.health(&arn, &[]).await.unwrap();
    aws.register(&arn, &[in_zone("10.9.0.5", 5432, "all"), target("10.0.1.5", 5433)])
        .await
        .unwrap();
    assert_eq!(server.calls().len(), 2);
    let [call] = &server.writes()[..] else {
        panic!("one write was sent")
    };
    assert_eq!(call.action, "RegisterTargets");
    assert_eq!(call.arn.as_ref(), Some(&arn));
    let targets = [
        TargetDescription::new("10.9.0.5", 5432).zone("all"),
        TargetDescription::new("10.0.1.5", 5433),
    ];
    assert_eq!(call.targets, targets);
    assert_eq!(call.outcome, Ok(()));
    assert_eq!(call.access_key.as_deref(), Some("AKIDTEST"));
    assert_eq!(call.region.as_deref(), Some("eu-west-1"));
    assert_eq!(call.registered_after, 2);
    assert!(
        call.user_agent
            .as_ref()
            .is_some_and(|agent| agent.contains("aws-sdk-rust"))
    );
}

#[tokio::test]
async fn the_lowest_number_of_registered_targets_remembers_a_moment_without_any() {
    let (server, arn, aws) = set_up();
    let (old, new) = ([target("10.0.1.5", 5432)], [target("10.0.2.6", 5432)]);
    assert_eq!(server.lowest_registered(&arn), 0);
    server.put_target(&arn, "10.0.1.5", 5432);
    aws.register(&arn, &new).await.unwrap();
    aws.deregister(&arn, &old).await.unwrap();
    assert_eq!(server.lowest_registered(&arn), 1, "add before remove");
    aws.deregister(&arn, &new).await.unwrap();
    aws.register(&arn, &old).await.unwrap();
    assert_eq!(server.lowest_registered(&arn), 0, "remove before add");
    server.reset_lowest(&arn);
    assert_eq!(server.lowest_registered(&arn), 1);
}

#[tokio::test]
async fn the_server_can_be_unreachable_and_come_back_with_its_targets() {
    let (server, arn, aws) = set_up();
    server.put_target(&arn, "10.0.1.5", 5432);
    assert_eq!(aws.health(&arn, &[]).await.unwrap().len(), 1);
    server.stop_listening();
    assert_eq!(aws.health(&arn, &[]).await, code(0, ""));
    server.listen_again().unwrap();
    assert_eq!(aws.health(&arn, &[]).await.unwrap().len(), 1);

    let address = server.address();
    drop(server);
    assert_eq!(aws.health(&arn, &[]).await, code(0, ""));
    let _fresh = Server::start_at(address).unwrap();
    assert_eq!(aws.health(&arn, &[]).await, code(400, "TargetGroupNotFound"));
}

#[test]
fn waiting_ends_with_a_refusal_when_nothing_happens() {
    let server = Server::start();
    assert!(!server.wait_for(SECOND / 20, |calls| !calls.is_empty()));
    assert!(!server.wait_until(SECOND / 20, |model, _| model.arns().next().is_some()));
}

/// A signed POST without an SDK; the reply as text.
fn post(server: &Server, access_key: &str, body: &str) -> String {
    post_to(server, "sts", access_key, body)
}

fn post_to(server: &Server, service: &str, access_key: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let credential = format!("{access_key}/20260101/eu-west-1/{service}/aws4_request");
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: sts\r\nauthorization: AWS4-HMAC-SHA256 Credential={credential}, Signature=0\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    text.split_once(start)
        .and_then(|(_, rest)| rest.split_once(end))
        .unwrap()
        .0
}

#[test]
fn a_role_is_assumed_with_its_external_id_and_its_credentials_are_recognised() {
    let server = Server::start();
    let arn = server.add_group(Group::named("orders"));
    let role = "arn:aws:iam::444455556666:role/tether";
    server.require_external_id(role, "blue");
    let assume = format!(
        "Action=AssumeRole&RoleArn={}&RoleSessionName=night",
        role.replace(':', "%3A")
    );
    let denied = post(&server, "AKIDTEST", &assume);
    assert!(
        denied.starts_with("HTTP/1.1 403") && denied.contains("<Code>AccessDenied</Code>"),
        "{denied}"
    );

    let reply = post(&server, "AKIDTEST", &format!("{assume}&ExternalId=blue"));
    let key = between(&reply, "<AccessKeyId>", "</AccessKeyId>");
    post(
        &server,
        key,
        &format!("Action=DescribeTargetHealth&TargetGroupArn={arn}"),
    );
    let identity = post(&server, key, "Action=GetCallerIdentity");
    let session = "arn:aws:sts::444455556666:assumed-role/tether/night";
    assert_eq!(between(&identity, "<Arn>", "</Arn>"), session);

    let calls = server.calls();
    let outcomes: Vec<_> = calls.iter().map(|call| call.outcome.clone()).collect();
    assert_eq!(outcomes, [Err("AccessDenied".to_owned()), Ok(()), Ok(()), Ok(())]);
    assert_eq!(calls[0].role.as_ref().unwrap().external_id, None);
    for Call { role: signed_by, .. } in &calls[1..] {
        let signed_by = signed_by.as_ref().unwrap();
        assert_eq!(
            (signed_by.arn.as_str(), signed_by.session_name.as_str()),
            (role, "night")
        );
        assert_eq!(signed_by.external_id.as_deref(), Some("blue"));
    }
    assert!(server.writes().is_empty());
}

#[test]
fn endpoint_services_are_told_as_ec2_tells_of_them() {
    let server = Server::start();
    for name in ["orders", "legacy"] {
        server.add_group(Group::named(name).published(|service| {
            service.id = format!("vpce-svc-{name}");
            service.endpoints = vec![("vpce-0a".into(), "072088201116".into(), "pendingAcceptance".into())];
        }));
    }
    server.model(|model, _| model.ec2_page = Some(1));
    let ec2 = |form: &str| post_to(&server, "ec2", "AKIDTEST", &format!("Version=2016-11-15&{form}"));
    let list = "Action=DescribeVpcEndpointServiceConfigurations";
    let mut told = Vec::new();
    let mut page = ec2(list);
    loop {
        told.push(between(&page, "<serviceId>", "</serviceId>").to_owned());
        let Some((_, rest)) = page.split_once("<nextToken>") else {
            break;
        };
        let token = rest.split('<').next().unwrap();
        let token = token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        page = ec2(&format!("{list}&NextToken={token}"));
    }
    told.sort();
    assert_eq!(told, ["vpce-svc-legacy", "vpce-svc-orders"]);
    let endpoints =
        ec2("Action=DescribeVpcEndpointConnections&Filter.1.Name=service-id&Filter.1.Value.1=vpce-svc-orders");
    assert_eq!(
        between(&endpoints, "<vpcEndpointState>", "</vpcEndpointState>"),
        "pendingAcceptance"
    );
    let principals = ec2("Action=DescribeVpcEndpointServicePermissions&ServiceId=vpce-svc-orders");
    assert_eq!(
        between(&principals, "<principal>", "</principal>"),
        "arn:aws:iam::072088201116:root"
    );
    // Errors stand in elements of EC2's own, and so does what another service's signature gets.
    for (reply, code) in [
        (
            ec2("Action=DescribeVpcEndpointServicePermissions&ServiceId=vpce-svc-0"),
            "InvalidVpcEndpointServiceId.NotFound",
        ),
        (ec2(&format!("{list}&NextToken=other")), "InvalidNextToken"),
        (ec2("Action=DescribeVpcs"), "InvalidAction"),
        (
            post(&server, "AKIDTEST", &format!("Version=2016-11-15&{list}")),
            "AuthFailure",
        ),
    ] {
        let error = between(&reply, "<Response><Errors><Error>", "</Error></Errors>");
        assert!(error.contains(&format!("<Code>{code}</Code>")), "{code}: {reply}");
    }
}

#[test]
fn an_action_that_is_not_modelled_is_refused() {
    let server = Server::start();
    assert!(post(&server, "AKIDTEST", "Action=DeleteEverything").contains("<Code>InvalidAction</Code>"));
    assert!(post(&server, "AKIDTEST", "").contains("<Code>InvalidAction</Code>"));
    let by_balancer = "Action=DescribeTargetGroups&LoadBalancerArn=balancer";
    assert!(post(&server, "AKIDTEST", by_balancer).contains("<Code>NotModelled</Code>"));
}

/// The tags that DescribeTags tells of each group, as `KEY=VALUE`.
async fn described_tags(aws: &Aws, arns: &[&str]) -> Result<Vec<(String, Vec<String>)>, (u16, String)> {
    let arns = arns.iter().map(|arn| (*arn).to_owned()).collect();
    let call = aws.0.describe_tags().set_resource_arns(Some(arns));
    let output = refused(call.send().await)?;
    let resources = output.tag_descriptions().iter().map(|resource| {
        let tags = resource.tags().iter();
        let tags = tags.map(|tag| format!("{}={}", tag.key().unwrap(), tag.value().unwrap()));
        (resource.resource_arn().unwrap().to_owned(), tags.collect())
    });
    Ok(resources.collect())
}

async fn add_tags(aws: &Aws, arns: &[&str], tags: &[(&str, &str)]) -> Answer {
    let mut call = aws.0.add_tags();
    for arn in arns {
        call = call.resource_arns(*arn);
    }
    for (key, value) in tags {
        call = call.tags(sdk::types::Tag::builder().key(*key).value(*value).build());
    }
    refused(call.send().await).map(drop)
}

async fn remove_tags(aws: &Aws, arn: &str, keys: &[&str]) -> Answer {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let call = aws.0.remove_tags().resource_arns(arn).set_tag_keys(Some(keys));
    refused(call.send().await).map(drop)
}

#[tokio::test]
async fn n14_tags_are_added_replaced_described_and_removed() {
    let (server, orders, aws) = set_up();
    let users = server.add_group(Group::named("users"));
    server.set_tag(&orders, "aws:cloudformation:stack-name", "db");
    assert_eq!(
        add_tags(&aws, &[&orders, &users], &[("owner", "tether"), ("note", "")]).await,
        Ok(())
    );
    assert_eq!(
        add_tags(&aws, &[&orders], &[("owner", "Zoë: a.b_c/d=e+f-g@h 7")]).await,
        Ok(())
    );
    assert_eq!(remove_tags(&aws, &users, &["note", "never there"]).await, Ok(()));
    let expected = [
        (users.clone(), vec!["owner=tether".to_owned()]),
        (
            orders.clone(),
            vec![
                "aws:cloudformation:stack-name=db".to_owned(),
                "note=".to_owned(),
                "owner=Zoë: a.b_c/d=e+f-g@h 7".to_owned(),
            ],
        ),
    ];
    assert_eq!(described_tags(&aws, &[&users, &orders]).await.unwrap(), expected);
    assert_eq!(server.tags(&orders)["owner"], "Zoë: a.b_c/d=e+f-g@h 7");
    assert_eq!(server.tags(&users).len(), 1);
}

#[tokio::test]
async fn n14_tags_beyond_the_limits_are_refused_and_all_others_of_the_call_with_them() {
    let (server, arn, aws) = set_up();
    let (key, value) = ("ü".repeat(128), "ü".repeat(256));
    assert_eq!(add_tags(&aws, &[&arn], &[(&key, &value)]).await, Ok(()));
    let (long_key, long_value) = ("k".repeat(129), "v".repeat(257));
    for (bad_key, bad_value) in [
        (long_key.as_str(), ""),
        ("key", long_value.as_str()),
        ("", "no key"),
        ("a,b", ""),
        ("key", "{\"json\":1}"),
        ("key", "line\nline"),
        ("aws:owner", ""),
        ("AWS:owner", ""),
        ("key", "aws:owner"),
    ] {
        assert_eq!(
            add_tags(&aws, &[&arn], &[("good", ""), (bad_key, bad_value)]).await,
            code(400, "ValidationError"),
            "{bad_key}={bad_value}"
        );
    }
    assert_eq!(
        add_tags(&aws, &[&arn], &[("same", "1"), ("same", "2")]).await,
        code(400, "DuplicateTagKeys")
    );
    assert_eq!(
        remove_tags(&aws, &arn, &["aws:owner"]).await,
        code(400, "ValidationError")
    );
    assert_eq!(add_tags(&aws, &[&arn], &[]).await, code(400, "ValidationError"));
    assert_eq!(remove_tags(&aws, &arn, &[]).await, code(400, "ValidationError"));
    assert_eq!(server.tags(&arn).into_iter().collect::<Vec<_>>(), [(key, value)]);
}

#[tokio::test]
async fn n14_a_group_has_at_most_50_tags_not_counting_those_of_aws() {
    let (server, full, aws) = set_up();
    let empty = server.add_group(Group::named("users"));
    server.set_tag(&full, "aws:cloudformation:stack-name", "db");
    for number in 1..=50 {
        server.set_tag(&full, &format!("key {number}"), "");
    }
    assert_eq!(
        add_tags(&aws, &[&empty, &full], &[("one more", "")]).await,
        code(400, "TooManyTags")
    );
    assert_eq!(server.tags(&empty).len(), 0, "all groups or none");
    assert_eq!(
        add_tags(&aws, &[&full], &[("key 1", "new")]).await,
        Ok(()),
        "replacing needs no room"
    );
    assert_eq!(remove_tags(&aws, &full, &["key 2"]).await, Ok(()));
    assert_eq!(add_tags(&aws, &[&full], &[("one more", "")]).await, Ok(()));
}

#[tokio::test]
async fn n14_tags_of_at_most_20_groups_that_exist_are_described() {
    let (server, arn, aws) = set_up();
    assert_eq!(described_tags(&aws, &[&*arn; 20]).await.unwrap().len(), 20);
    assert_eq!(described_tags(&aws, &[&*arn; 21]).await, code(400, "ValidationError"));
    assert_eq!(described_tags(&aws, &[]).await, code(400, "ValidationError"));
    let unknown = Group::named("unknown").arn();
    for arns in [vec![&*unknown], vec![&*arn, &*unknown]] {
        assert_eq!(described_tags(&aws, &arns).await, code(400, "TargetGroupNotFound"));
        assert_eq!(
            add_tags(&aws, &arns, &[("key", "")]).await,
            code(400, "TargetGroupNotFound")
        );
    }
    assert_eq!(
        remove_tags(&aws, &unknown, &["key"]).await,
        code(400, "TargetGroupNotFound")
    );
    assert_eq!(server.tags(&arn).len(), 0);
    assert_eq!(server.tags(&unknown).len(), 0);
}

#[tokio::test]
async fn n14_calls_about_tags_are_recorded_and_fail_when_ordered_to() {
    let (server, arn, aws) = set_up();
    server.fail_for(&arn, "AddTags", Failure::denied("AddTags"), Some(1));
    assert_eq!(add_tags(&aws, &[&arn], &[("a", "1")]).await, code(403, "AccessDenied"));
    server.fail("AddTags", Failure::LostReply, Some(1));
    assert_eq!(add_tags(&aws, &[&arn], &[("a", "1"), ("b", "2")]).await, code(0, ""));
    assert_eq!(remove_tags(&aws, &arn, &["b"]).await, Ok(()));
    assert_eq!(described_tags(&aws, &[&arn]).await.unwrap().len(), 1);
    assert_eq!(server.tags(&arn).len(), 1);
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let recorded = |call: Call| (call.action, call.tags, call.outcome);
    let expected = [
        (
            "AddTags".to_owned(),
            vec![tag("a", "1")],
            Err("AccessDenied".to_owned()),
        ),
        ("AddTags".to_owned(), vec![tag("a", "1"), tag("b", "2")], Ok(())),
        ("RemoveTags".to_owned(), vec![tag("b", "")], Ok(())),
    ];
    assert_eq!(server.writes().into_iter().map(recorded).collect::<Vec<_>>(), expected);
    let last = server.calls().pop().unwrap();
    assert_eq!((last.action.as_str(), last.arn.as_ref()), ("DescribeTags", Some(&arn)));
}

/// Attributes by their keys.
macro_rules! attributes {
    ($output:expr) => {
        $output
            .attributes()
            .iter()
            .map(|attribute| {
                (
                    attribute.key().unwrap().to_owned(),
                    attribute.value().unwrap().to_owned(),
                )
            })
            .collect::<std::collections::BTreeMap<String, String>>()
    };
}

#[tokio::test]
async fn n7_n8_n9_a_group_and_its_load_balancer_have_the_attributes_that_aws_sets() {
    let server = Server::start();
    let arn = server.add_group(Group::named("orders").attribute("preserve_client_ip.enabled", "true"));
    let aws = Aws::of(&server).0;
    let of_group = aws
        .describe_target_group_attributes()
        .target_group_arn(&arn)
        .send()
        .await;
    let of_group = attributes!(of_group.unwrap());
    for (key, value) in [
        ("deregistration_delay.timeout_seconds", "300"),
        ("deregistration_delay.connection_termination.enabled", "false"),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
        ("proxy_protocol_v2.enabled", "false"),
        ("preserve_client_ip.enabled", "true"),
    ] {
        assert_eq!(of_group.get(key).map(String::as_str), Some(value), "{key}");
    }

    let described = aws
        .describe_target_groups()
        .target_group_arns(&arn)
        .send()
        .await
        .unwrap();
    let group = &described.target_groups()[0];
    let check = (
        group.health_check_interval_seconds(),
        group.healthy_threshold_count(),
        group.unhealthy_threshold_count(),
    );
    assert_eq!(check, (Some(30), Some(5), Some(2)));
    let balancer = &group.load_balancer_arns()[0];
    let balancers = aws
        .describe_load_balancers()
        .load_balancer_arns(balancer)
        .send()
        .await
        .unwrap();
    let zones = balancers.load_balancers()[0].availability_zones().iter();
    let zones: Vec<_> = zones.filter_map(|zone| zone.zone_name()).collect();
    assert_eq!(zones, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]);
    let of_balancer = aws
        .describe_load_balancer_attributes()
        .load_balancer_arn(balancer)
        .send()
        .await;
    let of_balancer = attributes!(of_balancer.unwrap());
    assert_eq!(of_balancer["load_balancing.cross_zone.enabled"], "false");
}

#[tokio::test]
async fn n10_a_listener_forwards_to_the_group_and_has_an_idle_timeout() {
    let server = Server::start();
    let arn = server.add_group(Group::named("orders"));
    let aws = Aws::of(&server).0;
    let described = aws
        .describe_target_groups()
        .target_group_arns(&arn)
        .send()
        .await
        .unwrap();
    let balancer = &described.target_groups()[0].load_balancer_arns()[0];
    let listeners = aws
        .describe_listeners()
        .load_balancer_arn(balancer)
        .send()
        .await
        .unwrap();
    let listener = &listeners.listeners()[0];
    assert_eq!(listener.default_actions()[0].target_group_arn(), Some(arn.as_str()));
    let listener = listener.listener_arn().unwrap();
    let of_listener = aws.describe_listener_attributes().listener_arn(listener).send().await;
    assert_eq!(attributes!(of_listener.unwrap())["tcp.idle_timeout.seconds"], "350");
}

#[tokio::test]
async fn n17_rules_come_with_the_default_action_and_weights_where_somebody_has_set_them() {
    let server = Server::start();
    let (ours, theirs) = (Group::named("orders").arn(), Group::named("legacy").arn());
    let shared = vec![Forward::weighted(&ours, 0), Forward::weighted(&theirs, 10)];
    let rules = vec![Rule::for_clients(7, Family::Ipv6, shared)];
    server.add_group(Group::named("orders").balanced(|balancer| balancer.listeners[0].rules = rules));
    let aws = Aws::of(&server).0;
    let balancer = Group::named("orders").load_balancer_arn().unwrap();
    let listeners = aws
        .describe_listeners()
        .load_balancer_arn(&balancer)
        .send()
        .await
        .unwrap();
    let listener = listeners.listeners()[0].listener_arn().unwrap();
    let described = aws.describe_rules().listener_arn(listener).send().await.unwrap();
    let [rule, default] = described.rules() else {
        panic!("{described:?}");
    };
    assert_eq!((rule.priority(), rule.is_default()), (Some("7"), Some(false)));
    let source = rule.conditions()[0].source_ip_config().unwrap();
    assert_eq!(source.ip_address_type().unwrap().as_str(), "ipv6");
    let action = &rule.actions()[0];
    assert_eq!(action.target_group_arn(), None, "there are two");
    let tuples = action.forward_config().unwrap().target_groups().iter();
    let weights: Vec<_> = tuples.map(|tuple| (tuple.target_group_arn(), tuple.weight())).collect();
    assert_eq!(weights, [(Some(&*ours), Some(0)), (Some(&*theirs), Some(10))]);
    assert_eq!(
        (default.priority(), default.is_default()),
        (Some("default"), Some(true))
    );
    assert_eq!(default.actions()[0].target_group_arn(), Some(&*ours));

    let missing = aws.describe_rules().listener_arn("arn:none").send().await;
    assert_eq!(refused(missing).map(drop), code(400, "ListenerNotFound"));
    assert!(post(&server, "AKIDTEST", "Action=DescribeRules&Version=2015-12-01").contains("<Code>NotModelled</Code>"));
}

#[tokio::test]
async fn n13_load_balancers_and_listeners_that_do_not_exist_are_not_found() {
    let server = Server::start();
    server.add_group(Group::named("orders").unattached());
    let aws = Aws::of(&server).0;
    let balancer = Group::named("orders").load_balancer_arn().unwrap();
    let missing = aws.describe_load_balancers().load_balancer_arns(&balancer).send().await;
    assert_eq!(refused(missing).map(drop), code(400, "LoadBalancerNotFound"));
    let missing = aws.describe_listener_attributes().listener_arn("arn:none").send().await;
    assert_eq!(refused(missing).map(drop), code(400, "ListenerNotFound"));
}

#[tokio::test]
async fn a_signature_that_is_five_minutes_off_is_refused() {
    let server = Server::start();
    let arn = server.add_group(Group::named("orders"));
    let aws = Aws::of(&server).0;
    for (ahead_seconds, is_refused) in [(290, false), (-310, true), (310, true), (0, false)] {
        server.set_clock_ahead(ahead_seconds);
        let called = refused(aws.describe_target_health().target_group_arn(&arn).send().await).map(drop);
        let expected = if is_refused {
            code(403, "SignatureDoesNotMatch")
        } else {
            Ok(())
        };
        assert_eq!(called, expected, "{ahead_seconds} s ahead");
    }
}

//! Target groups through the real SDK: what is read, what is sent, and what a failure is taken for.

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_elasticloadbalancingv2::config::Credentials;
use rds_tether::aws::arn::Arn;
use rds_tether::aws::bucket::{Bucket, Turn, Urgency};
use rds_tether::aws::elb::{Client, Error, Group, TargetGroups, Write, Written};
use rds_tether::aws::failure::Kind;
use rds_tether::aws::reply::{Bounded, REPLY_MAX};
use rds_tether::counts::Calls;
use rds_tether::planner::target::{Family, Listed, State, Target, Zone};
use testkit::elb::{Failure, Group as GroupSpec, Server, TargetType};

async fn client(server: &Server) -> Client {
    let config = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(server.url())
        .credentials_provider(aws_sdk_elasticloadbalancingv2::config::SharedCredentialsProvider::new(
            Credentials::new("AKIAEXAMPLE", "secret", None, None, "test"),
        ))
        .http_client(Bounded(aws_smithy_http_client::Builder::new().build_http()))
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .build();
    Client::new(&config, Bucket::start(), Calls::default(), None)
}

async fn turn(client: &Client) -> Turn {
    client.turn(Urgency::Look).await
}

async fn register(client: &Client, arn: &Arn, all: &BTreeMap<Target, Zone>) -> Written {
    let turn = client.turn(Urgency::Register).await;
    client.write(Write::Register, arn, all, turn).await
}

fn target(text: &str) -> Target {
    let addr: std::net::SocketAddr = text.parse().unwrap();
    Target {
        ip: addr.ip(),
        port: addr.port(),
    }
}

fn targets(texts: &[&str]) -> BTreeMap<Target, Zone> {
    texts.iter().map(|text| (target(text), None)).collect()
}

async fn described(client: &Client, arn: &str) -> Result<Group, Error> {
    let arn: Arn = arn.parse().unwrap();
    let mut described = client.groups(std::slice::from_ref(&arn), turn(client).await).await?;
    described.remove(&arn).unwrap()
}

async fn group_of(client: &Client, arn: &str) -> Group {
    described(client, arn).await.unwrap()
}

#[tokio::test]
async fn a_group_and_its_targets_are_read_as_they_are() {
    let server = Server::start();
    let arn = server.add_group(GroupSpec::named("orders").port(6543));
    server.put_target(&arn, "10.0.1.5", 5432);
    server.put_target(&arn, "10.0.2.5", 5433);
    server.set_health(&arn, "10.0.2.5", 5433, "brand-new", "Elb.Unheard");
    let client = client(&server).await;
    let group = group_of(&client, &arn).await;
    assert_eq!(
        (group.family, group.port, group.protocol.as_str()),
        (Family::Ipv4, 6543, "TCP")
    );
    let listed = client.targets(&group, turn(&client).await).await.unwrap();
    let expect = [
        ("10.0.1.5:5432", "eu-west-1a", State::Healthy, None),
        (
            "10.0.2.5:5433",
            "eu-west-1b",
            State::Other("brand-new".into()),
            Some("Elb.Unheard"),
        ),
    ]
    .map(|(text, zone, state, reason)| {
        let listed = Listed {
            zone: Some(zone.into()),
            state,
            reason: reason.map(Into::into),
            description: None,
        };
        (target(text), listed)
    });
    assert_eq!(listed, BTreeMap::from(expect));
}

#[tokio::test]
async fn an_ipv6_group_is_one() {
    let server = Server::start();
    let arn = server.add_group(GroupSpec::named("orders").ipv6());
    assert_eq!(group_of(&client(&server).await, &arn).await.family, Family::Ipv6);
}

#[tokio::test]
async fn a_group_that_takes_no_addresses_is_refused() {
    let server = Server::start();
    let arn = server.add_group(GroupSpec::named("orders").target_type(TargetType::Instance));
    let client = client(&server).await;
    let error = described(&client, &arn).await.unwrap_err();
    assert_eq!(error.failure.kind, Kind::NotIp);
    assert!(error.to_string().contains("of type instance"), "{error}");
}

#[tokio::test]
async fn many_groups_are_described_with_one_call_unless_one_is_missing() {
    let server = Server::start();
    let arns: Vec<Arn> = (0..20)
        .map(|n| {
            server
                .add_group(GroupSpec::named(format!("g{n}").as_str()))
                .parse()
                .unwrap()
        })
        .collect();
    let client = client(&server).await;
    let described = client.groups(&arns, turn(&client).await).await.unwrap();
    assert_eq!(described.values().filter(|group| group.is_ok()).count(), 20);
    assert_eq!(server.calls().len(), 1);
    let missing: Arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/gone/0123456789abcdef"
        .parse()
        .unwrap();
    let error = client
        .groups(&[arns[0].clone(), missing], turn(&client).await)
        .await
        .unwrap_err();
    assert_eq!(error.failure.kind, Kind::NotFound);
}

#[tokio::test]
async fn writes_are_sent_in_batches_of_a_hundred() {
    let server = Server::start();
    let arn = server.add_group(GroupSpec::named("orders"));
    let all: Vec<String> = (1..=250).map(|n| format!("10.0.1.{n}:5432")).collect();
    let all = targets(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let client = client(&server).await;
    let written = register(&client, &arn.parse().unwrap(), &all).await;
    assert_eq!((written.done.len(), written.failed.len()), (250, 0));
    let sizes: Vec<usize> = server.writes().iter().map(|call| call.targets.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
}

#[tokio::test]
async fn a_refused_batch_is_retried_target_by_target_and_without_a_zone_once_more_with_all() {
    let server = Server::start();
    let arn: Arn = server.add_group(GroupSpec::named("orders")).parse().unwrap();
    let client = client(&server).await;
    // In the VPC, outside it but private, and public.
    let written = register(
        &client,
        &arn,
        &targets(&["10.0.1.5:5432", "192.168.7.7:5432", "54.1.2.3:5432"]),
    )
    .await;
    assert_eq!(
        written.done,
        [target("10.0.1.5:5432"), target("192.168.7.7:5432")].into()
    );
    let [(refused, error)] = written.failed.as_slice() else {
        panic!("{written:?}")
    };
    assert_eq!(
        (refused, error.failure.kind),
        (&[target("54.1.2.3:5432")].into(), Kind::Address)
    );
    let sent: Vec<Vec<(String, Option<String>)>> = (server.writes().into_iter())
        .map(|call| {
            call.targets
                .into_iter()
                .map(|target| (target.id, target.zone))
                .collect()
        })
        .collect();
    let one = |id: &str, zone: Option<&str>| vec![(id.to_owned(), zone.map(str::to_owned))];
    assert_eq!(sent[0].len(), 3);
    assert_eq!(
        sent[1..],
        [
            one("10.0.1.5", None),
            one("54.1.2.3", None),
            one("54.1.2.3", Some("all")),
            one("192.168.7.7", None),
            one("192.168.7.7", Some("all")),
        ]
    );
}

#[tokio::test]
async fn other_failures_are_not_retried_by_the_adapter() {
    let server = Server::start();
    let arn: Arn = server.add_group(GroupSpec::named("orders")).parse().unwrap();
    let client = client(&server).await;
    for (failure, kind, code) in [
        (Failure::denied("RegisterTargets"), Kind::Denied, "AccessDenied"),
        (Failure::throttled(), Kind::Throttled, "Throttling"),
        (Failure::unavailable(), Kind::Unavailable, "ServiceUnavailable"),
        (Failure::health_unavailable(), Kind::Unavailable, "HealthUnavailable"),
        (Failure::expired_token(), Kind::Credentials, "ExpiredToken"),
        (
            Failure::too_many_registrations(),
            Kind::Limit,
            "TooManyRegistrationsForTargetId",
        ),
        (
            Failure::code(400, "TooManyTargets", "full"),
            Kind::Limit,
            "TooManyTargets",
        ),
        (
            Failure::code(400, "TargetGroupNotFound", "gone"),
            Kind::NotFound,
            "TargetGroupNotFound",
        ),
        (Failure::code(400, "SomethingNew", "?"), Kind::Other, "SomethingNew"),
        (Failure::Reset, Kind::Unavailable, "Unreachable"),
    ] {
        let before = server.calls().len();
        server.fail("RegisterTargets", failure.clone(), None);
        let written = register(&client, &arn, &targets(&["10.0.1.5:5432", "10.0.1.6:5432"])).await;
        server.heal();
        let [(refused, error)] = written.failed.as_slice() else {
            panic!("{failure:?}: {written:?}")
        };
        assert_eq!(
            (refused.len(), error.failure.kind, error.failure.code.as_str()),
            (2, kind, code),
            "{failure:?}: {error}"
        );
        assert!(error.to_string().contains(arn.as_str()), "{error}");
        assert_eq!(server.calls().len(), before + 1, "{failure:?}");
    }
}

#[tokio::test]
async fn a_listing_that_cannot_be_read_is_no_empty_group() {
    let server = Server::start();
    let arn = server.add_group(GroupSpec::named("orders"));
    let client = client(&server).await;
    let group = group_of(&client, &arn).await;
    for failure in [
        Failure::Garbage,
        Failure::Reset,
        Failure::LostReply,
        Failure::throttled(),
        Failure::internal(),
    ] {
        server.fail("DescribeTargetHealth", failure.clone(), Some(1));
        assert!(
            client.targets(&group, turn(&client).await).await.is_err(),
            "{failure:?}"
        );
    }
}

/// Wherever a reply ends that is not whole, it is none: targets that were cut off are not targets that are gone.
#[tokio::test]
async fn a_listing_that_was_cut_short_is_none() {
    const STEP: usize = 67;
    let server = Server::start();
    let arn = server.add_group(GroupSpec::named("orders"));
    server.add_group(GroupSpec::named("billing"));
    for last in 1..=3 {
        server.put_target(&arn, &format!("10.0.0.{last}"), 5432);
    }
    // One for all calls at once, which nothing holds back.
    let client = client(&server).await;
    let group = group_of(&client, &arn).await;
    let mut cuts = 0;
    for length in (1..).step_by(STEP) {
        server.fail("DescribeTargetHealth", Failure::Cut(length), Some(1));
        match client.targets(&group, turn(&client).await).await {
            Ok(targets) => {
                assert_eq!(targets.len(), 3, "after {length} bytes");
                break;
            }
            Err(error) => assert_eq!(error.failure.kind, Kind::Unavailable, "{error}"),
        }
        cuts += 1;
    }
    assert!(cuts > 10, "{cuts} cuts");
    for length in (1..).step_by(STEP) {
        server.fail("DescribeTargetGroups", Failure::Cut(length), Some(1));
        if let Ok((groups, _)) = client.all_groups(Urgency::Look).await {
            assert_eq!(groups.len(), 2, "after {length} bytes");
            break;
        }
    }
}

#[tokio::test]
async fn a_reply_has_a_limit() {
    let server = Server::start();
    let arn = server.add_group(GroupSpec::named("orders"));
    let client = client(&server).await;
    let group = group_of(&client, &arn).await;
    for (size, is_read) in [(REPLY_MAX, true), (REPLY_MAX + 1, false), (20 * REPLY_MAX, false)] {
        server.fail("DescribeTargetHealth", Failure::Sized(size), Some(1));
        let read = client.targets(&group, turn(&client).await).await;
        assert_eq!(read.is_ok(), is_read, "{size}: {read:?}");
        if let Err(error) = read {
            assert!(error.to_string().contains("more than the 2048 KiB"), "{error}");
        }
    }
}

//! ARNs as they are read and refused.

use rds_tether::aws::arn::*;

#[test]
fn an_arn_tells_region_and_name() {
    for (text, region, name) in [
        (
            "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067",
            "eu-west-1",
            "orders",
        ),
        (
            "arn:aws-cn:elasticloadbalancing:cn-north-1:111122223333:targetgroup/a-b/0",
            "cn-north-1",
            "a-b",
        ),
    ] {
        let arn: Arn = text.parse().expect(text);
        assert_eq!((arn.region(), arn.name(), arn.as_str()), (region, name, text));
    }
}

#[test]
fn what_is_no_arn_is_told_why() {
    for (text, why) in [
        ("", "six parts"),
        ("orders", "six parts"),
        (
            "arn:aws:rds:eu-west-1:111122223333:targetgroup/orders/1",
            "another service",
        ),
        (
            "arn:aws:elasticloadbalancing::111122223333:targetgroup/orders/1",
            "region",
        ),
        (
            "arn:aws:elasticloadbalancing:eu-west-1:1111:targetgroup/orders/1",
            "twelve digits",
        ),
        (
            "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/orders/1",
            "names a load balancer",
        ),
        (
            "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders",
            "targetgroup/NAME/ID",
        ),
        (
            "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup//1",
            "targetgroup/NAME/ID",
        ),
    ] {
        let error = text.parse::<Arn>().expect_err(text).to_string();
        assert!(error.contains(why), "{text:?}: {error}");
    }
}

#[test]
fn a_topic_tells_its_region() {
    for (text, region) in [
        ("arn:aws:sns:eu-west-1:111122223333:database", "eu-west-1"),
        (" arn:aws-cn:sns:cn-north-1:111122223333:a_b-c ", "cn-north-1"),
    ] {
        let topic: TopicArn = text.parse().expect(text);
        assert_eq!((topic.region(), topic.as_str()), (region, text.trim()));
    }
}

#[test]
fn what_is_no_topic_is_told_why() {
    for (text, why) in [
        ("", "six parts"),
        ("database", "six parts"),
        ("arn:aws:sqs:eu-west-1:111122223333:database", "another service"),
        ("arn:aws:sns::111122223333:database", "region"),
        ("arn:aws:sns:eu-west-1:1111:database", "twelve digits"),
        ("arn:aws:sns:eu-west-1:111122223333:database.fifo", "FIFO"),
        ("arn:aws:sns:eu-west-1:111122223333:", "name is empty"),
        ("arn:aws:sns:eu-west-1:111122223333:a b", "odd characters"),
        (
            "arn:aws:sns:eu-west-1:111122223333:database:0f3c",
            "names a subscription",
        ),
    ] {
        let error = text.parse::<TopicArn>().expect_err(text).to_string();
        assert!(
            error.contains(why) && error.contains(":sns:eu-west-1"),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn a_role_has_no_region() {
    for text in [
        "arn:aws:iam::111122223333:role/a",
        " arn:aws-cn:iam::111122223333:role/path/b+c ",
    ] {
        let role: RoleArn = text.parse().expect(text);
        assert_eq!(role.as_str(), text.trim());
    }
    for (text, why) in [
        ("", "six parts"),
        ("arn:aws:sts::111122223333:role/a", "another service"),
        ("arn:aws:iam:eu-west-1:111122223333:role/a", "has a region"),
        ("arn:aws:iam::1111:role/a", "twelve digits"),
        ("arn:aws:iam::111122223333:user/a", "role/NAME"),
        ("arn:aws:iam::111122223333:role/", "role/NAME"),
    ] {
        let error = text.parse::<RoleArn>().expect_err(text).to_string();
        assert!(
            error.contains(why) && error.contains("no role ARN"),
            "{text:?}: {error}"
        );
    }
}

//! privatelink.yaml, deployed to moto.

use serde_json::json;

use super::bridge;
use super::site::Site;

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_load_balancer_takes_no_tcp_listener_in_moto() {
    let mut site = Site::new();
    let (vpc, subnets) = (site.vpc.clone(), site.subnets.join(","));
    let principal = "arn:aws:iam::111122223333:root";
    let parameters = [
        ("VpcId", vpc.as_str()),
        ("SubnetIds", &subnets),
        ("AllowedPrincipals", principal),
    ];
    let template = bridge::template("privatelink.yaml");
    let refused = site.create("privatelink.yaml", &template, &parameters);
    let refused = refused.expect_err("moto knows network load balancers now: leave the listener in what is deployed");
    assert!(refused.contains("Listener protocol 'TCP'"), "{refused}");
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn the_way_to_a_database_leads_through_every_zone() {
    let mut site = Site::new();
    let database = site.group("database");
    let (vpc, subnets) = (site.vpc.clone(), site.subnets.join(","));
    let principal = "arn:aws:iam::072088201116:root";
    let parameters = [
        ("VpcId", vpc.as_str()),
        ("SubnetIds", &subnets),
        ("DatabaseSecurityGroupId", &database),
        ("AllowedPrincipals", principal),
    ];
    let stack = site.deploy("privatelink.yaml", &parameters, &[]);
    let balancer = stack.id("LoadBalancer");
    let found = site.bridge.call(
        "elbv2",
        "describe_load_balancers",
        json!({"LoadBalancerArns": [balancer]}),
    );
    let found = &found["LoadBalancers"][0];
    assert_eq!(found["Scheme"], "internal");
    assert_eq!(found["AvailabilityZones"].as_array().unwrap().len(), 3);
    assert_eq!(found["SecurityGroups"], json!([stack.id("LoadBalancerSecurityGroup")]));
    let group = stack.id("TargetGroup");
    let found = site
        .bridge
        .call("elbv2", "describe_target_groups", json!({"TargetGroupArns": [group]}));
    for (key, value) in [
        ("TargetType", json!("ip")),
        ("Protocol", json!("TCP")),
        ("Port", json!(5432)),
        ("VpcId", json!(vpc)),
        ("HealthCheckProtocol", json!("TCP")),
        ("HealthCheckPort", json!("traffic-port")),
        ("HealthCheckIntervalSeconds", json!(10)),
        ("HealthyThresholdCount", json!(2)),
        ("UnhealthyThresholdCount", json!(2)),
    ] {
        assert_eq!(found["TargetGroups"][0][key], value, "{key}");
    }
    let targets = site
        .bridge
        .call("elbv2", "describe_target_health", json!({"TargetGroupArn": group}));
    assert_eq!(targets["TargetHealthDescriptions"], json!([]));

    // Nobody reaches it but through PrivateLink.
    let own = stack.id("LoadBalancerSecurityGroup").to_owned();
    assert_eq!(site.rules(&own), Vec::<String>::new());
    assert_eq!(site.rules(&database), [format!("5432-5432 {own}")]);
    assert_eq!(stack.outputs["TargetGroupArn"], group);
    assert_eq!(stack.outputs["LoadBalancerSecurityGroupId"], own);
    assert_eq!(stack.outputs["Port"], "5432");
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn every_choice_of_the_way_can_be_made_otherwise() {
    let mut site = Site::new();
    let (vpc, subnets) = (site.vpc.clone(), site.subnets.join(","));
    let parameters = [
        ("VpcId", vpc.as_str()),
        ("SubnetIds", &subnets),
        ("Port", "6432"),
        ("Targets", "hosts"),
        ("DeletionProtection", "true"),
        (
            "AllowedPrincipals",
            "arn:aws:iam::111122223333:root,arn:aws:iam::222233334444:root",
        ),
        ("AcceptanceRequired", "false"),
        ("SupportedRegions", "us-east-1,eu-central-1"),
        ("ConsumerCidr", "10.0.0.0/16"),
    ];
    let stack = site.deploy("privatelink.yaml", &parameters, &["DatabaseIngress"]);
    let group = stack.id("TargetGroup");
    let found = site
        .bridge
        .call("elbv2", "describe_target_groups", json!({"TargetGroupArns": [group]}));
    for (key, value) in [
        ("TargetType", json!("instance")),
        ("Port", json!(6432)),
        ("HealthCheckProtocol", json!("HTTP")),
        ("HealthCheckPort", json!("9477")),
        ("HealthCheckPath", json!("/readyz/6432")),
        ("Matcher", json!({"HttpCode": "200"})),
    ] {
        assert_eq!(found["TargetGroups"][0][key], value, "{key}");
    }
    let own = stack.id("LoadBalancerSecurityGroup").to_owned();
    assert_eq!(site.rules(&own), ["6432-6432 10.0.0.0/16"]);
}

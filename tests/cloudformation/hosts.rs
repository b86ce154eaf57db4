//! ec2.yaml, deployed to moto.

use serde_json::{Value, json};

use super::bridge;
use super::site::{ENDPOINT, GROUP, Site, Stack, TOPIC, allowed};

/// The stack of hosts, and what its launch template says.
pub fn hosts(site: &mut Site, more: &[(&str, &str)], without: &[&str]) -> (Stack, Value) {
    let (vpc, subnets) = (site.vpc.clone(), site.subnets[..2].join(","));
    let sha256 = "0a".repeat(32);
    let mut parameters = vec![
        ("VpcId", vpc.as_str()),
        ("SubnetIds", &subnets),
        ("PackageBucket", "orders-packages"),
        ("PackageKey", "rds-tether-0.1.0-1.x86_64.rpm"),
    ];
    if more.iter().all(|(key, _)| *key != "PackageSha256") {
        parameters.push(("PackageSha256", &sha256));
    }
    parameters.extend(more);
    let stack = site.deploy("ec2.yaml", &parameters, without);
    let asked = json!({"LaunchTemplateId": stack.id("LaunchTemplate"), "Versions": ["$Latest"]});
    let versions = site.bridge.call("ec2", "describe_launch_template_versions", asked);
    let template = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"].clone();
    (stack, template)
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn hosts_with_the_proxy_are_the_targets() {
    let mut site = Site::new();
    let (balancer, database) = (site.group("balancer"), site.group("database"));
    let group = site.target_group();
    let parameters = [
        ("Endpoint", ENDPOINT),
        ("TargetGroupArn", &group),
        ("LoadBalancerSecurityGroupId", &balancer),
        ("DatabaseSecurityGroupId", &database),
    ];
    let (stack, template) = hosts(&mut site, &parameters, &[]);
    assert_eq!(template["InstanceType"], "t3.micro");
    let image = template["ImageId"].as_str().unwrap();
    assert!(image.ends_with("/al2023-ami-kernel-default-x86_64"), "{image}");
    assert_eq!(template["MetadataOptions"]["HttpTokens"], "required");
    assert_eq!(template["BlockDeviceMappings"][0]["Ebs"]["Encrypted"], true);
    assert_eq!(template.get("KeyName"), None, "no ssh");
    let asked = json!({"AutoScalingGroupNames": [stack.id("Hosts")]});
    let found = site.bridge.call("autoscaling", "describe_auto_scaling_groups", asked);
    let found = &found["AutoScalingGroups"][0];
    for (key, value) in [
        ("AutoScalingGroupName", json!("ec2-1")),
        ("MinSize", json!(2)),
        ("DesiredCapacity", json!(2)),
        ("MaxSize", json!(3)),
        ("HealthCheckType", json!("EC2")),
        ("TargetGroupARNs", json!([group])),
        ("VPCZoneIdentifier", json!(site.subnets[..2].join(","))),
    ] {
        assert_eq!(found[key], value, "{key}");
    }
    let own = stack.id("HostSecurityGroup").to_owned();
    let ins = [format!("5432-5432 {balancer}"), format!("9477-9477 {balancer}")];
    assert_eq!(site.rules(&own), ins);
    assert_eq!(site.rules(&database), [format!("5432-5432 {own}")]);
    let statements = site.statements(stack.id("Role"), "rds-tether");
    assert_eq!(
        statements.keys().collect::<Vec<_>>(),
        ["Install", "SayThatItIsReady", "SeeItselfInService"]
    );
    let sees = json!("elasticloadbalancing:DescribeTargetHealth");
    assert_eq!(allowed(&statements["SeeItselfInService"]), (sees, json!("*")));
    let package = json!("arn:aws:s3:::orders-packages/rds-tether-0.1.0-1.x86_64.rpm");
    assert_eq!(allowed(&statements["Install"]), (json!("s3:GetObject"), package));
    let (action, resource) = allowed(&statements["SayThatItIsReady"]);
    assert_eq!(action, "autoscaling:CompleteLifecycleAction");
    assert!(
        resource.as_str().unwrap().ends_with(":autoScalingGroupName/ec2-1"),
        "{resource}"
    );
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn hosts_that_keep_a_group_let_nobody_in() {
    let mut site = Site::new();
    let parameters = [
        ("Mode", "run"),
        ("Endpoint", ENDPOINT),
        ("TargetGroupArn", GROUP),
        ("NotifyTopicArn", TOPIC),
        ("Architecture", "arm64"),
        ("SessionManager", "true"),
    ];
    let (stack, template) = hosts(&mut site, &parameters, &["DatabaseIngress"]);
    assert_eq!(template["InstanceType"], "t4g.micro");
    let own = stack.id("HostSecurityGroup").to_owned();
    assert_eq!(site.rules(&own), Vec::<String>::new());
    let statements = site.statements(stack.id("Role"), "rds-tether");
    let names = ["Change", "Install", "Look", "OptionalNotify", "SayThatItIsReady"];
    assert_eq!(statements.keys().collect::<Vec<_>>(), names);
    let looks = [
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
    ];
    assert_eq!(allowed(&statements["Look"]), (json!(looks), json!("*")));
    let changes = [
        "elasticloadbalancing:RegisterTargets",
        "elasticloadbalancing:DeregisterTargets",
    ];
    assert_eq!(allowed(&statements["Change"]), (json!(changes), json!(GROUP)));
    assert_eq!(
        allowed(&statements["OptionalNotify"]),
        (json!("sns:Publish"), json!(TOPIC))
    );
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn hosts_that_keep_a_group_may_probe_lead_and_assume_roles() {
    let mut site = Site::new();
    let database = site.group("database");
    let role = "arn:aws:iam::222233334444:role/tether";
    let user = "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/rds_tether";
    let parameters = [
        ("Mode", "run"),
        ("Endpoint", ENDPOINT),
        ("TargetGroupArn", GROUP),
        ("AssumeRoleArns", role),
        ("DatabaseUserArns", user),
        ("PackageObjectVersion", "3sL4kqtJlcpXroDT"),
        ("DatabaseSecurityGroupId", &database),
    ];
    let (stack, _) = hosts(&mut site, &parameters, &[]);
    let own = stack.id("HostSecurityGroup").to_owned();
    assert_eq!(site.rules(&own), Vec::<String>::new());
    assert_eq!(site.rules(&database), [format!("5432-5432 {own}")]);
    let statements = site.statements(stack.id("Role"), "rds-tether");
    let names = [
        "AssumeRoles",
        "Change",
        "Install",
        "Look",
        "OptionalLead",
        "SayThatItIsReady",
    ];
    assert_eq!(statements.keys().collect::<Vec<_>>(), names);
    let assumes = (json!("sts:AssumeRole"), json!([role]));
    assert_eq!(allowed(&statements["AssumeRoles"]), assumes);
    let logs_in = (json!("rds-db:connect"), json!([user]));
    assert_eq!(allowed(&statements["OptionalLead"]), logs_in);
    let (gets, _) = allowed(&statements["Install"]);
    assert_eq!(gets, "s3:GetObjectVersion");
}

/// What moto leaves out of an Auto Scaling group: a host takes part when it says so, and has the time that its script takes.
#[test]
#[ignore = "needs cfn-lint: tests/run provides it"]
fn a_host_has_the_time_that_it_takes() {
    let template = bridge::template("ec2.yaml");
    let group = &template["Resources"]["Hosts"];
    let hooks = group["Properties"]["LifecycleHookSpecificationList"]
        .as_array()
        .unwrap();
    let [hook] = &hooks[..] else { panic!("{hooks:?}") };
    assert_eq!(hook["LifecycleTransition"], "autoscaling:EC2_INSTANCE_LAUNCHING");
    assert_eq!(hook["DefaultResult"], "ABANDON");
    let template_data = &template["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"];
    let script = template_data["UserData"]["Fn::Base64"]["Fn::Sub"][0].as_str().unwrap();
    let name = hook["LifecycleHookName"].as_str().unwrap();
    assert!(script.contains(&format!("--lifecycle-hook-name {name} ")));
    assert!(script.contains("--auto-scaling-group-name '${AWS::StackName}'") && script.contains("--resource Hosts "));
    let (_, patience) = script.split_once("SECONDS > ").unwrap();
    let patience: u64 = patience.split(')').next().unwrap().parse().unwrap();
    let heartbeat = hook["HeartbeatTimeout"].as_u64().unwrap();
    assert!(patience + 60 < heartbeat, "it is thrown away before it can say why");
    // "aws elbv2 wait" looks forty times, every 15 s.
    let minutes = (patience + 40 * 15) / 60;
    let rolling = &group["UpdatePolicy"]["AutoScalingRollingUpdate"];
    for pause in [
        &rolling["PauseTime"],
        &group["CreationPolicy"]["ResourceSignal"]["Timeout"],
    ] {
        let pause = pause.as_str().unwrap().trim_start_matches("PT").trim_end_matches('M');
        assert!(
            pause.parse::<u64>().unwrap() > minutes,
            "the stack stops waiting before the host has said why"
        );
    }
    assert_eq!(group["CreationPolicy"]["ResourceSignal"]["Count"], 2);
    assert_eq!(rolling["WaitOnResourceSignals"], true);
    assert_eq!(rolling["MinInstancesInService"], 2, "a new host first");
}

//! The templates deployed to moto, as far as it goes: what it has made of them is read from each service's own API.
//!
//! Moto is not believed on what it leaves out. Resources of the types below it skips without a word, what a security group
//! lets out, the attributes of a load balancer and the architecture of a function; it makes an application load balancer of every
//! load balancer, which takes no TCP listener; parameters' patterns and rules it does not check. All that is tested as text, in texts.rs.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};

use crate::TEMPLATES;
use crate::bridge::{self, Bridge, REGION};
use crate::first_sync::{AT_ONCE, Reply, Stage, event};
use crate::program::{self, Program};

/// The types that moto skips.
const SKIPPED: &[&str] = &[
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::VPCEndpointService",
    "AWS::EC2::VPCEndpointServicePermissions",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::RDS::EventSubscription",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
];

pub const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067";
pub const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:database";
pub const ENDPOINT: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";

/// A region without anything in it but a VPC with three subnets and a bucket.
pub struct Site {
    _moto: Program,
    url: String,
    bridge: Bridge,
    vpc: String,
    subnets: Vec<String>,
    stacks: usize,
}

/// What a template became: the physical ID of each resource, and the stack's own.
pub struct Stack {
    id: String,
    ids: BTreeMap<String, String>,
    outputs: BTreeMap<String, String>,
}

impl Stack {
    #[track_caller]
    fn id(&self, resource: &str) -> &str {
        self.ids
            .get(resource)
            .unwrap_or_else(|| panic!("no {resource} in {:?}", self.ids))
    }
}

impl Site {
    pub fn new() -> Self {
        let mut command = Command::new(program::path("RDS_TETHER_TEST_MOTO"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let command = command.args(["--host", "127.0.0.1", "--port", "0"]);
        let started = Program::start(command, &["Running on http://"]);
        let (moto, line) = started.unwrap_or_else(|said| panic!("moto ended at once:\n{said}"));
        let (_, address) = line.split_once("http://").expect("the line it waited for");
        let url = format!("http://{}", address.trim());
        let mut bridge = Bridge::to(&url);
        let vpc = bridge.call("ec2", "create_vpc", json!({"CidrBlock": "10.0.0.0/16"}));
        let vpc = vpc["Vpc"]["VpcId"].as_str().unwrap().to_owned();
        let subnets = ["a", "b", "c"].iter().enumerate().map(|(number, zone)| {
            let zone = format!("{REGION}{zone}");
            let subnet = json!({"VpcId": vpc, "CidrBlock": format!("10.0.{number}.0/24"), "AvailabilityZone": zone});
            let subnet = bridge.call("ec2", "create_subnet", subnet);
            subnet["Subnet"]["SubnetId"].as_str().unwrap().to_owned()
        });
        let subnets = subnets.collect();
        bridge.call("s3", "create_bucket", json!({"Bucket": "orders-packages"}));
        let zip = json!({"Bucket": "orders-packages", "Key": "bootstrap.zip", "Body": "a zip"});
        bridge.call("s3", "put_object", zip);
        Self {
            _moto: moto,
            url,
            bridge,
            vpc,
            subnets,
            stacks: 0,
        }
    }

    pub fn group(&mut self, description: &str) -> String {
        let group = json!({"GroupName": description, "Description": description, "VpcId": self.vpc});
        let group = self.bridge.call("ec2", "create_security_group", group);
        group["GroupId"].as_str().unwrap().to_owned()
    }

    /// A target group for hosts.
    pub fn target_group(&mut self) -> String {
        let group =
            json!({"Name": "orders", "Protocol": "TCP", "Port": 5432, "VpcId": self.vpc, "TargetType": "instance"});
        let group = self.bridge.call("elbv2", "create_target_group", group);
        group["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_owned()
    }

    fn create(&mut self, name: &str, template: &Value, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let parameters = parameters.iter();
        let parameters = parameters.map(|(key, value)| json!({"ParameterKey": key, "ParameterValue": value}));
        self.stacks += 1;
        let request = json!({
            "StackName": format!("{}-{}", name.replace(".yaml", ""), self.stacks),
            "TemplateBody": template.to_string(),
            "Parameters": parameters.collect::<Vec<_>>(),
            "Capabilities": ["CAPABILITY_IAM"],
        });
        self.bridge
            .ask("call", &json!(["cloudformation", "create_stack", request]))
    }

    /// Makes a stack of a template. `without` are the resources that its conditions leave out.
    #[track_caller]
    pub fn deploy(&mut self, name: &str, parameters: &[(&str, &str)], without: &[&str]) -> Stack {
        let mut template = bridge::template(name);
        if name == "privatelink.yaml" {
            template["Resources"]
                .as_object_mut()
                .unwrap()
                .remove("Listener")
                .expect("a listener");
        }
        let created = self.create(name, &template, parameters);
        let created = created.unwrap_or_else(|error| panic!("{name}: {error}"));
        let id = created["StackId"].as_str().unwrap().to_owned();
        let found = self
            .bridge
            .call("cloudformation", "list_stack_resources", json!({"StackName": id}));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found = found["StackResourceSummaries"].as_array().unwrap().iter();
        let found = found.map(|found| (text(&found["LogicalResourceId"]), text(&found["PhysicalResourceId"])));
        // What it skips it lists without a name.
        let ids: BTreeMap<String, String> = found.filter(|(name, _)| !name.is_empty()).collect();
        let resources = template["Resources"].as_object().unwrap();
        let is_known = |resource: &&String| !SKIPPED.contains(&resources[*resource]["Type"].as_str().unwrap());
        let wanted: BTreeSet<&str> = resources
            .keys()
            .filter(is_known)
            .map(String::as_str)
            .filter(|resource| !without.contains(resource))
            .collect();
        let made: BTreeSet<&str> = ids.keys().map(String::as_str).collect();
        assert_eq!(
            made, wanted,
            "{name}: if moto knows a type now, take it out of SKIPPED and look at what it makes"
        );
        let stacks = self
            .bridge
            .call("cloudformation", "describe_stacks", json!({"StackName": id}));
        let outputs = stacks["Stacks"][0]["Outputs"].as_array().cloned().unwrap_or_default();
        let outputs = outputs.iter();
        let outputs = outputs.map(|output| (text(&output["OutputKey"]), text(&output["OutputValue"])));
        Stack {
            outputs: outputs.collect(),
            id,
            ids,
        }
    }

    fn status(&mut self, stack: &Stack) -> String {
        let stacks = self
            .bridge
            .call("cloudformation", "describe_stacks", json!({"StackName": stack.id}));
        stacks["Stacks"][0]["StackStatus"].as_str().unwrap().to_owned()
    }

    /// The statements of a role's one policy, by their Sid. What a condition leaves out is null in moto.
    #[track_caller]
    fn statements(&mut self, role: &str, policy: &str) -> BTreeMap<String, Value> {
        let names = self.bridge.call("iam", "list_role_policies", json!({"RoleName": role}));
        assert_eq!(names["PolicyNames"], json!([policy]));
        let asked = json!({"RoleName": role, "PolicyName": policy});
        let found = self.bridge.call("iam", "get_role_policy", asked);
        // Moto writes the document of a role's own policy as Python does.
        let document = self.bridge.ask("literal", &found["PolicyDocument"]).expect("a policy");
        let statements = document["Statement"].as_array().unwrap();
        let statements = statements.iter().filter(|statement| !statement.is_null());
        statements
            .map(|statement| (statement["Sid"].as_str().unwrap().to_owned(), statement.clone()))
            .collect()
    }
}

/// What a statement allows, and on what.
fn allowed(statement: &Value) -> (Value, Value) {
    assert_eq!(statement["Effect"], "Allow");
    (statement["Action"].clone(), statement["Resource"].clone())
}

#[test]
fn what_is_skipped_is_used() {
    for skipped in SKIPPED {
        let is_used = |(_, template): &(&str, &str)| template.contains(&format!("    Type: {skipped}\n"));
        assert!(TEMPLATES.iter().any(is_used), "{skipped} is in no template");
    }
}

const FUNCTION: [(&str, &str); 4] = [
    ("Endpoint", ENDPOINT),
    ("TargetGroupArns", GROUP),
    ("CodeBucket", "orders-packages"),
    ("CodeKey", "bootstrap.zip"),
];
const BY_SNS: [&str; 2] = ["EventTopic", "EventTopicPermission"];

/// One server for all that is asked of the stack that the defaults make.
#[test]
#[ignore = "needs moto: tests/run provides it"]
fn the_function_is_as_the_defaults_have_it() {
    let mut site = Site::new();
    let stack = site.deploy("lambda.yaml", &FUNCTION, &BY_SNS);
    the_function_follows_one_endpoint_for_its_groups(&mut site, &stack);
    the_function_may_do_what_it_must_and_no_more(&mut site, &stack);
    the_function_is_woken_every_minute_and_by_events(&mut site, &stack);
    the_stack_is_complete_when_the_first_sync_has_answered(&mut site, &stack);
}

fn the_function_follows_one_endpoint_for_its_groups(site: &mut Site, stack: &Stack) {
    let asked = json!({"FunctionName": stack.id("Function")});
    let function = site.bridge.call("lambda", "get_function_configuration", asked.clone());
    for (key, value) in [
        ("FunctionName", json!("rds-tether")),
        ("Runtime", json!("provided.al2023")),
        ("Handler", json!("bootstrap")),
        ("Timeout", json!(180)),
        ("MemorySize", json!(128)),
    ] {
        assert_eq!(function[key], value, "{key}");
    }
    let variables = json!({"RDS_TETHER_ENDPOINT": ENDPOINT, "RDS_TETHER_TARGET_GROUP": GROUP});
    assert_eq!(function["Environment"]["Variables"], variables);
    let reserved = site.bridge.call("lambda", "get_function_concurrency", asked);
    assert_eq!(reserved["ReservedConcurrentExecutions"], 2);
    let log = site.bridge.call(
        "logs",
        "describe_log_groups",
        json!({"logGroupNamePrefix": "/aws/lambda/rds-tether"}),
    );
    let retention = log["logGroups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| &group["retentionInDays"]);
    assert_eq!(
        retention.collect::<Vec<_>>(),
        [30, 30],
        "the function's and that of the first sync"
    );
    assert_eq!(stack.outputs["FunctionName"], "rds-tether");
    assert_eq!(stack.outputs["LogGroupName"], "/aws/lambda/rds-tether");
    assert_eq!(stack.outputs["FailedEventsQueueUrl"], stack.id("FailedEvents"));
}

fn the_function_may_do_what_it_must_and_no_more(site: &mut Site, stack: &Stack) {
    let statements = site.statements(stack.id("Role"), "rds-tether");
    let documented = include_str!("../../lambda/README.md");
    let (_, documented) = documented.split_once("```json\n").unwrap();
    let (documented, _) = documented.split_once("```").unwrap();
    let documented: Value = serde_json::from_str(documented).unwrap();
    let documented = documented["Statement"].as_array().unwrap();
    assert_eq!(documented.len(), 4, "this test looks at nothing");
    for wanted in documented {
        let name = wanted["Sid"].as_str().unwrap();
        let mut wanted = wanted.clone();
        if wanted["Resource"] != "*" {
            wanted["Resource"] = json!([GROUP]);
        }
        assert_eq!(statements[name], wanted, "{name}, as lambda/README.md has it");
    }
    let names: Vec<&str> = statements.keys().map(String::as_str).collect();
    let wanted = [
        "Change",
        "KeepFailedEvents",
        "KeepTheAbsenceClocks",
        "Log",
        "Look",
        "ReadTheAbsenceClocks",
    ];
    assert_eq!(names, wanted);
    let log = json!("arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/rds-tether");
    let writes = json!(["logs:CreateLogStream", "logs:PutLogEvents"]);
    // Moto leaves out what AWS puts behind a log group's ARN, ":*".
    let (actions, resource) = allowed(&statements["Log"]);
    assert_eq!(
        (actions, resource.as_str().unwrap().trim_end_matches(":*")),
        (writes, log.as_str().unwrap())
    );
    let queue = json!({"QueueUrl": stack.id("FailedEvents"), "AttributeNames": ["All"]});
    let queue = site.bridge.call("sqs", "get_queue_attributes", queue);
    assert_eq!(queue["Attributes"]["MessageRetentionPeriod"], "1209600");
    assert_eq!(queue["Attributes"]["SqsManagedSseEnabled"], "true");
    let sends = (json!("sqs:SendMessage"), queue["Attributes"]["QueueArn"].clone());
    assert_eq!(allowed(&statements["KeepFailedEvents"]), sends);

    let statements = site.statements(stack.id("FirstSyncRole"), "first-sync");
    assert_eq!(
        statements.keys().collect::<Vec<_>>(),
        ["Log", "SeeWhetherTheStackGoesBack", "Sync"]
    );
    let function = json!("arn:aws:lambda:us-east-1:123456789012:function:rds-tether");
    assert_eq!(allowed(&statements["Sync"]), (json!("lambda:InvokeFunction"), function));
    let sees = (json!("cloudformation:DescribeStacks"), json!(stack.id));
    assert_eq!(allowed(&statements["SeeWhetherTheStackGoesBack"]), sees);
}

fn the_function_is_woken_every_minute_and_by_events(site: &mut Site, stack: &Stack) {
    let function = "arn:aws:lambda:us-east-1:123456789012:function:rds-tether";
    let pattern = json!({
        "source": ["aws.rds"],
        "detail-type": ["RDS DB Instance Event", "RDS DB Cluster Event", "RDS Blue Green Deployment Event"],
    });
    let documented = include_str!("../../lambda/README.md");
    let is_documented = documented.split("```json\n").skip(1).any(|rest| {
        let (block, _) = rest.split_once("```").unwrap();
        serde_json::from_str::<Value>(block).unwrap() == pattern
    });
    assert!(is_documented, "lambda/README.md has another pattern");
    let policy = site
        .bridge
        .call("lambda", "get_policy", json!({"FunctionName": function}));
    let policy: Value = serde_json::from_str(policy["Policy"].as_str().unwrap()).unwrap();
    for rule in ["Schedule", "EventRule"] {
        let name = stack.id(rule).rsplit('/').next().unwrap().to_owned();
        let described = site.bridge.call("events", "describe_rule", json!({"Name": name}));
        assert_eq!(described["State"], "ENABLED");
        if rule == "Schedule" {
            assert_eq!(described["ScheduleExpression"], "rate(1 minute)");
        } else {
            let found: Value = serde_json::from_str(described["EventPattern"].as_str().unwrap()).unwrap();
            assert_eq!(found, pattern);
        }
        let targets = site
            .bridge
            .call("events", "list_targets_by_rule", json!({"Rule": name}));
        assert_eq!(targets["Targets"].as_array().unwrap().len(), 1, "{targets}");
        assert_eq!(targets["Targets"][0]["Arn"], function);
        let lets_in = |statement: &&Value| statement["Condition"]["ArnLike"]["AWS:SourceArn"] == described["Arn"];
        let statements: Vec<&Value> = policy["Statement"].as_array().unwrap().iter().filter(lets_in).collect();
        let [statement] = statements[..] else {
            panic!("{rule}: {policy}")
        };
        assert_eq!(statement["Principal"], json!({"Service": "events.amazonaws.com"}));
        assert_eq!(statement["Action"], "lambda:InvokeFunction");
    }
    assert_eq!(
        policy["Statement"].as_array().unwrap().len(),
        2,
        "nobody else may: {policy}"
    );
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn every_choice_of_the_function_can_be_made_otherwise() {
    let mut site = Site::new();
    let settings = "[[target_group]]\narn = \"...\"\n";
    let (subnets, group) = (site.subnets.join(","), site.group("function"));
    let two = format!("{GROUP},{}", GROUP.replace("/orders/", "/reports/"));
    let role = "arn:aws:iam::222233334444:role/tether";
    let stack = site.deploy(
        "lambda.yaml",
        &[
            ("TargetGroupArns", &two),
            ("Settings", settings),
            ("AssumeRoleArns", role),
            ("CodeBucket", "orders-packages"),
            ("CodeKey", "bootstrap.zip"),
            ("Architecture", "arm64"),
            ("Events", "sns"),
            ("FirstSync", "none"),
            ("NotifyTopicArn", TOPIC),
            ("AlarmTopicArn", TOPIC),
            ("FunctionName", "orders"),
            ("ReservedConcurrency", "-1"),
            ("LogRetentionDays", "7"),
            ("SubnetIds", &subnets),
            ("SecurityGroupIds", &group),
        ],
        &[
            "EventRule",
            "EventRulePermission",
            "FirstSyncFunction",
            "FirstSyncLogGroup",
            "FirstSyncRole",
            "Sync",
        ],
    );
    assert_eq!(site.status(&stack), "CREATE_COMPLETE");
    let asked = json!({"FunctionName": "orders"});
    let function = site.bridge.call("lambda", "get_function_configuration", asked.clone());
    let variables = json!({"RDS_TETHER_CONFIG": settings, "RDS_TETHER_NOTIFY_TOPIC": TOPIC});
    assert_eq!(function["Environment"]["Variables"], variables);
    assert_eq!(function["VpcConfig"]["SubnetIds"], json!(site.subnets));
    assert_eq!(function["VpcConfig"]["SecurityGroupIds"], json!([group]));
    let reserved = site.bridge.call("lambda", "get_function_concurrency", asked.clone());
    assert_eq!(reserved["ReservedConcurrentExecutions"], Value::Null);
    let statements = site.statements(stack.id("Role"), "rds-tether");
    assert_eq!(statements["Change"]["Resource"].as_array().unwrap().len(), 2);
    assert_eq!(allowed(&statements["Notify"]), (json!("sns:Publish"), json!(TOPIC)));
    assert_eq!(
        allowed(&statements["ActForOtherAccounts"]),
        (json!("sts:AssumeRole"), json!([role]))
    );
    let policy = site.bridge.call("lambda", "get_policy", asked);
    let topic = stack.id("EventTopic");
    assert!(policy["Policy"].as_str().unwrap().contains(topic), "{policy}");
    assert_eq!(stack.outputs["EventTopicArn"], topic);
}

/// The Python of the first sync, the answer of which moto understands.
fn the_stack_is_complete_when_the_first_sync_has_answered(site: &mut Site, stack: &Stack) {
    assert_eq!(site.status(stack), "CREATE_IN_PROGRESS");
    let stage = Stage::new(&[("invoke", &[Reply::synced()])]);
    let mut event = event("Create");
    event["StackId"] = json!(stack.id);
    let url = format!("{}/cloudformation_{REGION}/cfnresponse?stack={}", site.url, stack.id);
    stage.handle_for(&event, AT_ONCE, &url);
    assert_eq!(stage.asked("invoke").len(), 1);
    assert_eq!(site.status(stack), "CREATE_COMPLETE");
}

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

impl Site {
    /// Whom a security group lets in: ports, and a network or group.
    fn rules(&mut self, group: &str) -> Vec<String> {
        let found = self
            .bridge
            .call("ec2", "describe_security_groups", json!({"GroupIds": [group]}));
        let mut rules = Vec::new();
        for rule in found["SecurityGroups"][0]["IpPermissions"].as_array().unwrap() {
            let ports = format!("{}-{}", rule["FromPort"], rule["ToPort"]);
            for (list, key) in [("IpRanges", "CidrIp"), ("UserIdGroupPairs", "GroupId")] {
                for place in rule[list].as_array().unwrap() {
                    rules.push(format!("{ports} {}", place[key].as_str().unwrap()));
                }
            }
        }
        rules.sort();
        rules
    }
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
        ("HealthCheckPath", json!("/readyz")),
        ("Matcher", json!({"HttpCode": "200"})),
    ] {
        assert_eq!(found["TargetGroups"][0][key], value, "{key}");
    }
    let own = stack.id("LoadBalancerSecurityGroup").to_owned();
    assert_eq!(site.rules(&own), ["6432-6432 10.0.0.0/16"]);
}

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
    let names = ["Change", "Install", "Look", "Notify", "SayThatItIsReady"];
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
    assert_eq!(allowed(&statements["Notify"]), (json!("sns:Publish"), json!(TOPIC)));
}

//! lambda.yaml, deployed to moto.

use std::collections::{BTreeMap, BTreeSet};

use rds_tether::function::tag::{SECRET_LEAST_CHARS, Seal};
use serde_json::{Value, json};

use super::bridge::{self, REGION};
use super::first_sync::{AT_ONCE, Reply, Stage, event};
use super::site::{ENDPOINT, GROUP, Site, Stack, TOPIC, allowed};

const FUNCTION: [(&str, &str); 4] = [
    ("Endpoint", ENDPOINT),
    ("TargetGroupArns", GROUP),
    ("CodeBucket", "orders-packages"),
    ("CodeKey", "bootstrap.zip"),
];
/// What the defaults leave out.
const BY_SNS_OR_TAGS: [&str; 4] = ["EventTopic", "EventTopicPermission", "TagRule", "TagRulePermission"];

/// One server for all that is asked of the stack that the defaults make.
#[test]
#[ignore = "needs moto: tests/run provides it"]
fn the_function_is_as_the_defaults_have_it() {
    let mut site = Site::new();
    let stack = site.deploy("lambda.yaml", &FUNCTION, &BY_SNS_OR_TAGS);
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
    let variables = json!({
        "RDS_TETHER_ENDPOINT": ENDPOINT,
        "RDS_TETHER_TARGET_GROUP": GROUP,
        "RDS_TETHER_TAG_KEY": tag_key(site, stack),
    });
    assert_eq!(function["Environment"]["Variables"], variables);
    let reserved = site.bridge.call("lambda", "get_function_concurrency", asked);
    assert_eq!(
        reserved["ReservedConcurrentExecutions"],
        Value::Null,
        "a new account has 10, none of which it lets be set aside"
    );
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

/// The secret of the function's tag, which it takes.
fn tag_key(site: &mut Site, stack: &Stack) -> String {
    let role = site
        .bridge
        .call("iam", "get_role", json!({"RoleName": stack.id("Role")}));
    let id = role["Role"]["RoleId"].as_str().expect("an ID");
    let key = format!("{id} {}", stack.id);
    assert!(id.len() >= SECRET_LEAST_CHARS && key.parse::<Seal>().is_ok(), "{key}");
    key
}

/// For each action whether it is allowed on everything, and the condition.
fn by_action<'a>(statements: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, (bool, Value)> {
    let mut actions = BTreeMap::new();
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow");
        let list = statement["Action"].as_array().cloned();
        for action in list.unwrap_or_else(|| vec![statement["Action"].clone()]) {
            let on = (statement["Resource"] == "*", statement["Condition"].clone());
            actions.insert(action.as_str().unwrap().to_owned(), on);
        }
    }
    actions
}

fn the_function_may_do_what_it_must_and_no_more(site: &mut Site, stack: &Stack) {
    let statements = site.statements(stack.id("Role"), "rds-tether");
    let documented = include_str!("../../lambda/README.md");
    let (_, documented) = documented.split_once("```json\n").unwrap();
    let (documented, _) = documented.split_once("```").unwrap();
    let documented: Value = serde_json::from_str(documented).unwrap();
    let documented = by_action(documented["Statement"].as_array().unwrap());
    assert_eq!(documented.len(), 6, "this test looks at nothing");
    let mut found = by_action(statements.values());
    let own = ["logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"].map(|action| found.remove(action));
    assert!(own.iter().all(Option::is_some), "{own:?}");
    assert_eq!(found, documented, "lambda/README.md has another policy");
    assert_eq!(statements["Change"]["Resource"], json!([GROUP]));
    assert_eq!(statements["OptionalKeepClocks"]["Resource"], json!([GROUP]));
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
    let user = "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/rds_tether";
    let other = user.replace("cluster-", "db-");
    let users = format!("{user},{other}");
    let stack = site.deploy(
        "lambda.yaml",
        &[
            ("TargetGroupArns", &two),
            ("Settings", settings),
            ("AssumeRoleArns", role),
            ("DatabaseUserArns", &users),
            ("CodeBucket", "orders-packages"),
            ("CodeKey", "bootstrap.zip"),
            ("Architecture", "arm64"),
            ("Events", "sns"),
            ("FirstSync", "none"),
            ("NotifyTopicArn", TOPIC),
            ("AlarmTopicArn", TOPIC),
            ("FunctionName", "orders"),
            ("ReservedConcurrency", "3"),
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
            "TagRule",
            "TagRulePermission",
        ],
    );
    assert_eq!(site.status(&stack), "CREATE_COMPLETE");
    let asked = json!({"FunctionName": "orders"});
    let function = site.bridge.call("lambda", "get_function_configuration", asked.clone());
    let variables = json!({
        "RDS_TETHER_CONFIG": settings,
        "RDS_TETHER_NOTIFY_TOPIC": TOPIC,
        "RDS_TETHER_TAG_KEY": tag_key(&mut site, &stack),
    });
    assert_eq!(function["Environment"]["Variables"], variables);
    assert_eq!(function["VpcConfig"]["SubnetIds"], json!(site.subnets));
    assert_eq!(function["VpcConfig"]["SecurityGroupIds"], json!([group]));
    let reserved = site.bridge.call("lambda", "get_function_concurrency", asked.clone());
    assert_eq!(reserved["ReservedConcurrentExecutions"], 3);
    let statements = site.statements(stack.id("Role"), "rds-tether");
    assert_eq!(statements["Change"]["Resource"].as_array().unwrap().len(), 2);
    assert_eq!(
        allowed(&statements["OptionalNotify"]),
        (json!("sns:Publish"), json!(TOPIC))
    );
    assert_eq!(
        allowed(&statements["AssumeRoles"]),
        (json!("sts:AssumeRole"), json!([role]))
    );
    assert_eq!(
        allowed(&statements["OptionalLead"]),
        (json!("rds-db:connect"), json!([user, other]))
    );
    let interfaces = [
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    ];
    assert_eq!(allowed(&statements["BeInTheVpc"]), (json!(interfaces), json!("*")));
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

/// The parameters that a value of a template is made of.
fn parameters(value: &Value, template: &Value) -> BTreeSet<String> {
    let is_parameter = |name: &&str| template["Parameters"].get(name).is_some();
    let inside =
        |values: &mut dyn Iterator<Item = &Value>| values.flat_map(|value| parameters(value, template)).collect();
    match value {
        Value::Object(keys) => inside(&mut keys.values()),
        Value::Array(items) => inside(&mut items.iter()),
        Value::String(text) => {
            let names = text.split(|char: char| !char.is_ascii_alphanumeric());
            names.filter(is_parameter).map(str::to_owned).collect()
        }
        _ => BTreeSet::new(),
    }
}

#[test]
#[ignore = "needs cfn-lint: tests/run provides it"]
fn what_changes_the_function_makes_it_sync_again() {
    let template = bridge::template("lambda.yaml");
    let properties = |name: &str| &template["Resources"][name]["Properties"];
    let keys = ["Code", "Environment", "Architectures", "VpcConfig"];
    let parts = keys.map(|key| parameters(&properties("Function")[key], &template));
    assert!(parts.iter().all(|names| !names.is_empty()), "{parts:?}");
    let all: BTreeSet<String> = parts.into_iter().flatten().collect();
    let watched = parameters(properties("Sync"), &template);
    let missed: Vec<&String> = all.difference(&watched).collect();
    assert!(
        missed.is_empty(),
        "{missed:?} could break the function at an update, and nobody would say so"
    );
    for name in ["AssumeRoleArns", "DatabaseUserArns"] {
        assert!(watched.contains(name), "what the role may do is part of it: {name}");
    }
}

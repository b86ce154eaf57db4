//! What follows tagged target groups, as the templates make it: the function, hosts, and what a hub needs in other accounts; and what
//! docs/discover.md says to deploy where.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::pages::Page;
use testkit::scratch::Scratch;
use testkit::world::{bare_command, finish, said};

use super::bridge::{self, REGION};
use super::hosts::hosts;
use super::site::{GROUP, Site, Stack, TOPIC};
use super::template::read;
use super::user_data::settings_in;

const PAGE: &str = "docs/discover.md";
const PATTERNS: &str = "*.cluster-abc123.us-east-1.rds.amazonaws.com,orders.example.com:5432";
const NETWORKS: &str = "10.0.0.0/8,11.0.0.0/16";
/// What becomes of them.
const TABLE: &str = "[[discover]]\nregion = \"us-east-1\"\n\
     allow_endpoints = [\"*.cluster-abc123.us-east-1.rds.amazonaws.com\", \"orders.example.com:5432\"]\n\
     allow_cidrs = [\"10.0.0.0/8\", \"11.0.0.0/16\"]\n";
const HUB: &str = "arn:aws:iam::111122223333:role/fleet-tether-20261129101500000000000001";
const BUS: &str = "arn:aws:events:eu-west-1:111122223333:event-bus/fleet-tether";

/// The statements that the program prints for settings, by their Sid.
#[track_caller]
fn printed(settings: &str, arguments: &[&str]) -> BTreeMap<String, Value> {
    let folder = Scratch::new();
    let mut command = bare_command("");
    command.arg("iam").args(arguments).arg("--config");
    let output = finish(command.arg(folder.write("config.toml", settings)));
    assert_eq!(output.status.code(), Some(0), "{settings}: {}", said(&output));
    let policy: Value = serde_json::from_slice(&output.stdout).expect("a policy");
    by_sid(policy["Statement"].as_array().expect("statements"))
}

fn by_sid<'a>(statements: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, Value> {
    let statements = statements.into_iter();
    statements
        .map(|statement| {
            let mut statement = statement.clone();
            // One text or a list of one is the same.
            if let [one] = statement["Resource"].as_array().map_or(&[][..], Vec::as_slice) {
                statement["Resource"] = one.clone();
            }
            (statement["Sid"].as_str().expect("a name").to_owned(), statement)
        })
        .collect()
}

/// What a role may do of what is called of AWS.
fn called(site: &mut Site, stack: &Stack) -> BTreeMap<String, Value> {
    let mut statements = site.statements(stack.id("Role"), "rds-tether");
    statements.retain(|_, statement| {
        let text = statement["Action"].to_string();
        ["elasticloadbalancing:", "sns:", "sts:"]
            .iter()
            .any(|service| text.contains(service))
    });
    by_sid(statements.values())
}

/// The pattern of the page for events of tags.
fn pattern_of_tags() -> Value {
    let blocks = Page::read(PAGE).blocks_of("json").into_iter();
    let blocks = blocks.map(|block| serde_json::from_str::<Value>(&block).expect("JSON"));
    blocks
        .into_iter()
        .find(|block| block["source"] == json!(["aws.tag"]))
        .expect("a pattern")
}

/// A rule's pattern, and where it leads.
fn rule(site: &mut Site, id: &str) -> (Value, Value) {
    let name = id.rsplit('/').next().unwrap().to_owned();
    let described = site.bridge.call("events", "describe_rule", json!({"Name": name}));
    let pattern = serde_json::from_str(described["EventPattern"].as_str().unwrap()).unwrap();
    let targets = site
        .bridge
        .call("events", "list_targets_by_rule", json!({"Rule": name}));
    assert_eq!(targets["Targets"].as_array().unwrap().len(), 1, "{targets}");
    (pattern, targets["Targets"][0].clone())
}

/// The function of a stack with these parameters, and its variables.
fn function(site: &mut Site, more: &[(&str, &str)]) -> (Stack, Value) {
    let mut parameters = vec![
        ("CodeBucket", "orders-packages"),
        ("CodeKey", "bootstrap.zip"),
        ("FirstSync", "none"),
    ];
    parameters.extend(more);
    let without = [
        "EventTopic",
        "EventTopicPermission",
        "FirstSyncFunction",
        "FirstSyncLogGroup",
        "FirstSyncRole",
        "Sync",
    ];
    let stack = site.deploy("lambda.yaml", &parameters, &without);
    let asked = json!({"FunctionName": stack.id("Function")});
    let function = site.bridge.call("lambda", "get_function_configuration", asked);
    let mut variables = function["Environment"]["Variables"].clone();
    variables
        .as_object_mut()
        .unwrap()
        .remove("RDS_TETHER_TAG_KEY")
        .expect("a secret");
    (stack, variables)
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_function_follows_what_is_tagged() {
    let mut site = Site::new();
    let given = [("DiscoverAllowEndpoints", PATTERNS), ("DiscoverAllowCidrs", NETWORKS)];
    let (stack, variables) = function(&mut site, &given);
    let settings = variables["RDS_TETHER_CONFIG"].as_str().expect("settings").to_owned();
    assert_eq!(settings.trim_start(), TABLE);
    assert_eq!(variables, json!({ "RDS_TETHER_CONFIG": settings }), "nothing else");
    assert_eq!(called(&mut site, &stack), printed(TABLE, &["--for", "lambda"]));
    let (pattern, target) = rule(&mut site, stack.id("TagRule"));
    assert_eq!(pattern, pattern_of_tags());
    let function = json!({"FunctionName": stack.id("Function")});
    let known = site.bridge.call("lambda", "get_function", function.clone());
    assert_eq!(target["Arn"], known["Configuration"]["FunctionArn"]);
    let policy = site.bridge.call("lambda", "get_policy", function);
    assert!(
        policy["Policy"]
            .as_str()
            .unwrap()
            .contains(stack.id("TagRule").rsplit('/').next().unwrap()),
        "{policy}"
    );
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_function_follows_a_list_and_other_accounts_beside() {
    let mut site = Site::new();
    let role = "arn:aws:iam::222233334444:role/rds-tether-us-east-1";
    let own = format!(
        "[[target_group]]\narn = \"{GROUP}\"\nendpoints = [\"orders.example.com:5432\"]\n[[discover]]\nregion = \"us-east-1\"\n\
         assume_role = {{ arn = \"{role}\" }}\nallow_endpoints = [\"*.example.com\"]\n"
    );
    let (stack, variables) = function(
        &mut site,
        &[
            ("DiscoverAllowEndpoints", PATTERNS),
            ("TargetGroupArns", GROUP),
            ("Settings", &own),
            ("AssumeRoleArns", role),
            ("NotifyTopicArn", TOPIC),
        ],
    );
    let settings = variables["RDS_TETHER_CONFIG"].as_str().expect("settings");
    let (table, _) = TABLE.split_once("allow_cidrs").unwrap();
    assert_eq!(settings, format!("{own}\n{table}"));
    let notify = ["--for", "lambda", "--notify-topic", TOPIC];
    assert_eq!(called(&mut site, &stack), printed(settings, &notify));
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn hosts_follow_what_is_tagged() {
    let mut site = Site::new();
    let given = [
        ("Mode", "run"),
        ("DiscoverAllowEndpoints", PATTERNS),
        ("DiscoverAllowCidrs", NETWORKS),
    ];
    let (stack, template) = hosts(
        &mut site,
        &given,
        &["DatabaseIngress", "ConnectionsToHosts", "HealthChecksOfHosts"],
    );
    let settings = settings_in(&template);
    assert_eq!(
        settings.trim_start(),
        format!("{TABLE}\n[http]\nlisten = \"127.0.0.1:9477\"\n\n")
    );
    assert_eq!(called(&mut site, &stack), printed(&settings, &[]));
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_member_lets_the_hub_in_and_tells_it() {
    let mut site = Site::new();
    let stack = site.deploy("member.yaml", &[("HubRoleArn", HUB), ("HubBusArn", BUS)], &[]);
    let role = site
        .bridge
        .call("iam", "get_role", json!({"RoleName": stack.id("Role")}));
    assert_eq!(role["Role"]["RoleName"], format!("rds-tether-{REGION}"));
    let trust = &role["Role"]["AssumeRolePolicyDocument"]["Statement"];
    assert_eq!(trust.as_array().unwrap().len(), 1, "{trust}");
    assert_eq!(
        (&trust[0]["Principal"], &trust[0]["Action"]),
        (&json!({"AWS": HUB}), &json!("sts:AssumeRole"))
    );
    let arn = stack.outputs["RoleArn"].clone();
    let settings = format!(
        "[[discover]]\nregion = \"{REGION}\"\nassume_role = {{ arn = \"{arn}\" }}\nallow_endpoints = [\"*.rds.amazonaws.com\"]\n"
    );
    assert_eq!(
        called(&mut site, &stack),
        printed(&settings, &["--for", "lambda", "--assumed-role", &arn])
    );
    let sends = site.statements(stack.id("EventRole"), "send");
    assert_eq!(
        (&sends["Send"]["Action"], &sends["Send"]["Resource"]),
        (&json!("events:PutEvents"), &json!(BUS))
    );
    let sender = site
        .bridge
        .call("iam", "get_role", json!({"RoleName": stack.id("EventRole")}));
    let (of_tags, target) = rule(&mut site, stack.id("TagRule"));
    assert_eq!(of_tags, pattern_of_tags());
    assert_eq!(
        (&target["Arn"], &target["RoleArn"]),
        (&json!(BUS), &sender["Role"]["Arn"])
    );
    let (of_databases, target) = rule(&mut site, stack.id("EventRule"));
    assert_eq!(
        (&target["Arn"], &target["RoleArn"]),
        (&json!(BUS), &sender["Role"]["Arn"])
    );
    let lambda = bridge::template("lambda.yaml");
    assert_eq!(
        of_databases,
        lambda["Resources"]["EventRule"]["Properties"]["EventPattern"]
    );
}

/// The properties of the alarms on a function that follows what is tagged, by what Terraform calls them.
#[test]
fn the_alarms_of_a_function_are_those_of_terraform() {
    let template = read(include_str!("../../deploy/cloudformation/lambda.yaml"));
    let alarms = template["Resources"].as_object().unwrap().values();
    let alarms = alarms.filter(|resource| resource["Condition"] == "WatchesFunction");
    let ours: BTreeMap<String, Value> = alarms
        .map(|alarm| {
            let alarm = &alarm["Properties"];
            let name = alarm["AlarmName"]["Fn::Sub"].as_str().unwrap();
            assert_eq!(
                (
                    &alarm["Namespace"],
                    &alarm["Statistic"],
                    &alarm["Period"],
                    &alarm["EvaluationPeriods"]
                ),
                (&json!("AWS/Lambda"), &json!("Sum"), &json!(60), &json!(10)),
                "{name}"
            );
            assert_eq!(
                alarm["Dimensions"],
                json!([{"Name": "FunctionName", "Value": {"Ref": "Function"}}]),
                "{name}"
            );
            let values = json!({
                "metric": alarm["MetricName"],
                "points": alarm["DatapointsToAlarm"],
                "comparison": alarm["ComparisonOperator"],
                "threshold": alarm["Threshold"],
                "missing": alarm["TreatMissingData"],
                "text": alarm["AlarmDescription"],
            });
            (name.replace("rds-tether ${FunctionName} ", ""), values)
        })
        .collect();
    let terraform = hcl::parse(include_str!("../../deploy/terraform/modules/function/alarms.tf")).expect("HCL");
    let locals = terraform.blocks().filter(|block| block.identifier() == "locals");
    let attributes = locals.flat_map(|block| block.body().attributes());
    let theirs = attributes
        .into_iter()
        .find(|attribute| attribute.key() == "alarms_of_function");
    let hcl::Expression::Conditional(theirs) = theirs.expect("alarms").expr() else {
        panic!("only with discover")
    };
    let theirs: BTreeMap<String, Value> = hcl::from_str(&format!("all = {}", theirs.true_expr))
        .map(|mut all: BTreeMap<String, BTreeMap<String, Value>>| all.remove("all").expect("what was written"))
        .expect("values");
    assert_eq!(ours.len(), 2, "this test looks at nothing");
    assert_eq!(theirs, ours);
}

/// Fails if the hub that Terraform makes assumes other roles than members have, or does not wake at what they send.
#[test]
fn the_hub_knows_its_members() {
    let hub = include_str!("../../deploy/terraform/examples/fleet/main.tf");
    let member = read(include_str!("../../deploy/cloudformation/member.yaml"));
    let name = member["Parameters"]["RoleName"]["Default"].as_str().unwrap();
    let role = member["Resources"]["Role"]["Properties"]["RoleName"]["Fn::Sub"]
        .as_str()
        .unwrap();
    let role = role
        .replace("${RoleName}", name)
        .replace("${AWS::Region}", "${member.region}");
    assert!(hub.contains(&format!(":role/{role}\"")), "{role}");
    for rule in ["EventRule", "TagRule"] {
        let source = &member["Resources"][rule]["Properties"]["EventPattern"]["source"][0];
        let (_, pattern) = hub.split_once("jsonencode({ source = ").expect("a pattern");
        assert!(
            pattern.lines().next().unwrap().contains(&source.to_string()),
            "{source}"
        );
    }
    for output in ["hub_role_arn", "hub_bus_arn"] {
        assert!(
            hub.contains(&format!("output \"{output}\"")) && Page::read(PAGE).text.contains(output),
            "{output}"
        );
    }
}

/// The commands of the page belong together: instances of the sets it makes, a zip that the organization may read, and roles as members
/// have them.
#[test]
fn the_page_deploys_what_it_names() {
    let page = Page::read(PAGE);
    let commands: Vec<String> = page
        .commands()
        .into_iter()
        .map(|command| command.text.replace('\'', ""))
        .collect();
    let after = |command: &str, start: &str| {
        let (_, rest) = command
            .split_once(start)
            .unwrap_or_else(|| panic!("no {start} in {command}"));
        rest.split(' ').next().unwrap().to_owned()
    };
    let of = |verb: &str| -> Vec<&String> {
        let start = format!("aws cloudformation {verb} ");
        commands.iter().filter(|command| command.starts_with(&start)).collect()
    };
    let (sets, instances) = (of("create-stack-set"), of("create-stack-instances"));
    let names = |commands: &[&String]| -> Vec<String> {
        commands
            .iter()
            .map(|command| after(command, "--stack-set-name "))
            .collect()
    };
    assert_eq!(names(&sets), ["rds-tether-eu-west-1", "rds-tether-member"]);
    assert_eq!(names(&instances), names(&sets));
    for set in &sets {
        assert_eq!(after(set, "--permission-model "), "SERVICE_MANAGED");
        assert!(after(set, "--auto-deployment ").starts_with("Enabled=true,"), "{set}");
    }
    let (bucket, key) = (
        after(sets[0], "CodeBucket,ParameterValue="),
        after(sets[0], "CodeKey,ParameterValue="),
    );
    let blocks = page.blocks_of("json");
    let policy = blocks
        .iter()
        .find(|block| block.contains("aws:PrincipalOrgID"))
        .expect("a policy");
    let policy: Value = serde_json::from_str(policy).expect("JSON");
    let statement = &policy["Statement"][0];
    assert_eq!(statement["Resource"], format!("arn:aws:s3:::{bucket}/{key}"));
    assert_eq!(statement["Action"], "s3:GetObject");
    assert!(
        statement["Condition"]["StringEquals"]["aws:PrincipalOrgID"].is_string(),
        "{statement}"
    );
    assert!(
        bucket.ends_with("-eu-west-1") && sets[0].contains("--stack-set-name rds-tether-eu-west-1 "),
        "a bucket of its region"
    );
    assert_eq!(after(sets[1], "HubRoleArn,ParameterValue="), HUB);
    assert_eq!(after(sets[1], "HubBusArn,ParameterValue="), BUS);
    let places = page
        .blocks_of("toml")
        .into_iter()
        .filter(|block| block.contains("assume_role"));
    let places: Vec<String> = places.collect();
    let [place] = &places[..] else { panic!("{places:?}") };
    let region = place
        .split("region = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a region");
    assert!(
        place.contains(&format!(":role/rds-tether-{region}\"")) && instances[1].contains(region),
        "{place}"
    );
}

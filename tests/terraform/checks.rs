//! What an example has made is what the rest of the project says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use testkit::scratch::Scratch;
use testkit::world::{bare_command, finish, said};

const ALARMS: &str = include_str!("../../deploy/cloudwatch/alarms.json");

/// A resource with its address and values.
pub type Made = (String, Value);

/// The values of the resources of a type.
fn of_type<'a>(made: &'a [Made], kind: &str) -> Vec<&'a Value> {
    let is_one = |address: &str| {
        address
            .rsplit("module.")
            .next()
            .unwrap_or_default()
            .contains(&format!("{kind}."))
    };
    made.iter()
        .filter(|(address, _)| is_one(address))
        .map(|(_, values)| values)
        .collect()
}

/// The alarms on target groups are those of deploy/cloudwatch; how many.
pub fn alarms(example: &str, made: &[Made]) -> usize {
    let mut groups: BTreeSet<String> = BTreeSet::new();
    let mut ours = BTreeSet::new();
    let mut alarms = of_type(made, "aws_cloudwatch_metric_alarm");
    alarms.retain(|alarm| alarm["namespace"] == "RdsTether");
    for alarm in &alarms {
        let group = alarm["dimensions"]["TargetGroup"].as_str().expect("a group");
        groups.insert(group.to_owned());
        assert_eq!(alarm["alarm_actions"], alarm["ok_actions"], "{example}: {alarm}");
        let name = alarm["alarm_name"].as_str().expect("a name");
        ours.insert(
            json!([
                name.replace(group, "${TargetGroup}"),
                alarm["alarm_description"],
                alarm["namespace"],
                alarm["metric_name"],
                alarm["dimensions"]
                    .as_object()
                    .map(|all| all.keys().cloned().collect::<Vec<_>>()),
                alarm["statistic"],
                alarm["period"].as_f64(),
                alarm["evaluation_periods"].as_f64(),
                alarm["datapoints_to_alarm"].as_f64(),
                alarm["comparison_operator"],
                alarm["threshold"].as_f64(),
                alarm["treat_missing_data"],
            ])
            .to_string(),
        );
    }
    if !alarms.is_empty() {
        assert_eq!(
            ours,
            alarms_of_cloudwatch(),
            "{example}: as deploy/cloudwatch/alarms.json has them"
        );
        assert_eq!(
            alarms.len(),
            ours.len() * groups.len(),
            "{example}: each group has each alarm"
        );
    }
    alarms.len()
}

fn alarms_of_cloudwatch() -> BTreeSet<String> {
    let template: Value = serde_json::from_str(ALARMS).expect("the template is JSON");
    let alarms = template["Resources"].as_object().expect("resources").values();
    let line = |alarm: &Value| {
        let alarm = &alarm["Properties"];
        let dimensions = alarm["Dimensions"].as_array().expect("dimensions");
        json!([
            alarm["AlarmName"]["Fn::Sub"],
            alarm["AlarmDescription"],
            alarm["Namespace"],
            alarm["MetricName"],
            dimensions
                .iter()
                .map(|dimension| &dimension["Name"])
                .collect::<Vec<_>>(),
            alarm["Statistic"],
            alarm["Period"].as_f64(),
            alarm["EvaluationPeriods"].as_f64(),
            alarm["DatapointsToAlarm"].as_f64(),
            alarm["ComparisonOperator"],
            alarm["Threshold"].as_f64(),
            alarm["TreatMissingData"],
        ])
        .to_string()
    };
    alarms.map(line).collect()
}

/// The settings of functions and hosts.
fn settings_of(made: &[Made]) -> Vec<String> {
    let functions = of_type(made, "aws_lambda_function");
    let functions = functions.iter().map(|function| {
        let text = &function["environment"][0]["variables"]["RDS_TETHER_CONFIG"];
        text.as_str().expect("settings").to_owned()
    });
    let hosts = user_data(made).into_iter().map(|script| {
        let coded = script
            .split("<<'SETTINGS'\n")
            .nth(1)
            .and_then(|rest| rest.split("\nSETTINGS\n").next());
        decoded(coded.expect("settings in the script"))
    });
    functions.chain(hosts).collect()
}

/// The settings of functions and hosts are such as the program takes; how many.
pub fn settings(example: &str, made: &[Made]) -> usize {
    let all = settings_of(made);
    for text in &all {
        let folder = Scratch::new();
        let path = folder.write("config.toml", text);
        let output = finish(bare_command("").args(["check", "--config"]).arg(path));
        assert_eq!(output.status.code(), Some(0), "{example}: {text}\n{}", said(&output));
    }
    all.len()
}

/// What `rds-tether iam` prints for the settings of functions and hosts is what their roles are allowed; how many roles.
pub fn permissions(example: &str, made: &[Made]) -> usize {
    let policies = of_type(made, "aws_iam_role_policy");
    let texts = settings_of(made);
    assert_eq!(policies.len(), texts.len(), "{example}: each role has settings");
    for (policy, text) in policies.iter().zip(&texts) {
        let is_function = !of_type(made, "aws_lambda_function").is_empty();
        let policy: Value = serde_json::from_str(policy["policy"].as_str().expect("a policy")).expect("JSON");
        let folder = Scratch::new();
        let mut command = bare_command("http://127.0.0.1:9");
        command.args(["iam", "--for", if is_function { "lambda" } else { "run" }, "--config"]);
        let output = finish(command.arg(folder.write("config.toml", text)));
        assert_eq!(output.status.code(), Some(0), "{example}: {}", said(&output));
        let printed: Value = serde_json::from_slice(&output.stdout).expect("a policy");
        let (ours, theirs) = (statements(&printed), statements(&policy));
        let is_called = |(_, statement): &(&String, &String)| {
            ["\"elasticloadbalancing:", "\"sns:", "\"sts:"]
                .iter()
                .any(|service| statement.contains(service))
        };
        let called: BTreeMap<_, _> = theirs.iter().filter(is_called).collect();
        assert_eq!(called, ours.iter().collect(), "{example}");
    }
    policies.len()
}

/// The statements of a policy by their names, each list in order.
fn statements(policy: &Value) -> BTreeMap<String, String> {
    let in_order = |value: &Value| {
        let all = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let mut all: Vec<String> = all.iter().map(ToString::to_string).collect();
        all.sort();
        all.join(", ")
    };
    let all = policy["Statement"].as_array().expect("statements").iter();
    let line = |statement: &Value| {
        let tests = statement["Condition"].as_object().into_iter().flatten();
        let keys = tests.flat_map(|(test, keys)| keys.as_object().into_iter().flatten().map(move |key| (test, key)));
        let conditions: Vec<String> = keys
            .map(|(test, (name, values))| format!("{test} {name} {}", in_order(values)))
            .collect();
        let text = format!(
            "{} on {} {conditions:?}",
            in_order(&statement["Action"]),
            in_order(&statement["Resource"])
        );
        (statement["Sid"].as_str().expect("a name").to_owned(), text)
    };
    all.map(line).collect()
}

/// The scripts of the hosts.
pub fn user_data(made: &[Made]) -> Vec<String> {
    let templates = of_type(made, "aws_launch_template");
    let coded = templates
        .iter()
        .map(|template| template["user_data"].as_str().expect("a script"));
    coded.map(decoded).collect()
}

/// The text that is coded in base64.
fn decoded(coded: &str) -> String {
    let mut child = Command::new("base64")
        .arg("--decode")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("base64 starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(coded.as_bytes()).expect("base64 reads");
    drop(input);
    let output = child.wait_with_output().expect("base64 ends");
    assert!(output.status.success(), "{coded}");
    String::from_utf8(output.stdout).expect("text")
}

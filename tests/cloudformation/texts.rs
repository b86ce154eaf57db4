//! What the templates say, read from their text.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::bridge;
use super::template::{read, section};
use super::{TEMPLATES, path};
use testkit::program::provided;
use testkit::scratch::Scratch;

#[test]
fn every_template_is_tested() {
    let folder = std::fs::read_dir(path("")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names.filter(|name| !name.ends_with(".md")).collect();
    let known: BTreeSet<String> = TEMPLATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, known, "list it in TEMPLATES");
}

#[test]
fn every_parameter_is_described_shown_and_used() {
    for (name, template) in TEMPLATES {
        let template = read(template);
        let parameters = section(&template, "Parameters");
        assert!(parameters.len() > 3, "{name}: {parameters:?}");
        let shown = &template["Metadata"]["AWS::CloudFormation::Interface"];
        let groups = shown["ParameterGroups"].as_array().unwrap().iter();
        let listed: Vec<&str> = groups
            .flat_map(|group| group["Parameters"].as_array().unwrap())
            .filter_map(Value::as_str)
            .collect();
        let all: BTreeSet<&str> = parameters.keys().map(String::as_str).collect();
        assert_eq!(
            listed.iter().copied().collect::<BTreeSet<_>>(),
            all,
            "{name}: ParameterGroups"
        );
        assert_eq!(listed.len(), all.len(), "{name}: a parameter is in two groups");
        // What parameters are used in.
        let mut body = template.clone();
        for section in ["Parameters", "Metadata", "Rules"] {
            body.as_object_mut().unwrap().remove(section);
        }
        let body = body.to_string();
        for (parameter, described) in parameters {
            let what = format!("{name}: {parameter}");
            assert!(
                shown["ParameterLabels"][parameter]["default"].is_string(),
                "{what} has no label"
            );
            let description = described["Description"].as_str();
            let description = description.unwrap_or_else(|| panic!("{what} has no Description"));
            assert!(description.ends_with('.'), "{what}: {description}");
            let restricted = ["AllowedPattern", "MinValue", "MaxValue"];
            let is_restricted = restricted.iter().any(|key| described.get(key).is_some());
            let has_advice = described.get("ConstraintDescription").is_some();
            assert_eq!(is_restricted, has_advice, "{what}: say what to type instead");
            let uses = [json!({ "Ref": parameter }).to_string(), format!("${{{parameter}}}")];
            assert!(uses.iter().any(|used| body.contains(used)), "{what} is not used");
        }
    }
}

#[test]
fn targets_are_nobodys_but_the_programs() {
    let mut groups = 0;
    for (name, template) in TEMPLATES {
        let template = read(template);
        for (resource, described) in section(&template, "Resources") {
            let is_group = described["Type"] == "AWS::ElasticLoadBalancingV2::TargetGroup";
            groups += usize::from(is_group);
            assert!(
                !is_group || described["Properties"].get("Targets").is_none(),
                "{name}: {resource} would put an old address back at the next update"
            );
        }
    }
    assert!(groups > 0, "this test looks at nothing");
}

#[test]
#[ignore = "needs cfn-lint: tests/run provides it"]
fn cfn_lint_finds_nothing() {
    let mut command = Command::new(provided("RDS_TETHER_TEST_CFN_LINT"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // Informational rules too; several regions, because the types of resources differ.
    let command = command.args(["--include-checks", "I", "--regions", "eu-west-1", "us-east-1", "--"]);
    let output = command
        .args(TEMPLATES.iter().map(|(name, _)| path(name)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

/// The properties of an alarm, with the same text for what is written in several ways.
fn alarm(properties: &Value) -> Value {
    let mut properties = properties.clone();
    let name = &properties["AlarmName"]["Fn::Sub"];
    let name = name.as_str().or_else(|| name[0].as_str()).unwrap().to_owned();
    properties["AlarmName"] = json!(name);
    let dimension = &mut properties["Dimensions"][0];
    assert_eq!(dimension["Name"], "TargetGroup");
    dimension["Value"] = json!("the target group's name");
    for actions in ["AlarmActions", "OKActions"] {
        let mut text = properties[actions].to_string();
        for (long, short) in [("AlarmTopicArn", "Topic"), ("HasAlarmTopic", "HasTopic")] {
            text = text.replace(long, short);
        }
        properties[actions] = json!(text);
    }
    properties
}

#[test]
#[ignore = "needs cfn-lint: tests/run provides it"]
fn the_alarms_are_those_of_the_template_of_alarms() {
    let wanted: Value = serde_json::from_str(include_str!("../../deploy/cloudwatch/alarms.json")).unwrap();
    let template = bridge::template("lambda.yaml");
    let alarms = |template: &Value| -> Vec<(String, Value)> {
        let resources = template["Resources"].as_object().unwrap().iter();
        let mut alarms: Vec<_> = resources
            .filter(|(_, resource)| resource["Properties"]["Namespace"] == "RdsTether")
            .map(|(name, resource)| (name.clone(), alarm(&resource["Properties"])))
            .collect();
        alarms.sort_by(|a, b| a.0.cmp(&b.0));
        alarms
    };
    let wanted = alarms(&wanted);
    assert_eq!(wanted.len(), 6, "this test looks at nothing");
    assert_eq!(alarms(&template), wanted);
    let first = json!({"Fn::Select": [1, {"Fn::Split": ["/", {"Ref": "TargetGroupArns"}]}]});
    for (name, _) in wanted {
        let properties = &template["Resources"][&name]["Properties"];
        assert_eq!(properties["Dimensions"][0]["Value"], first, "{name}");
        assert_eq!(properties["AlarmName"]["Fn::Sub"][1]["TargetGroup"], first, "{name}");
    }
}

/// What moto skips, so that nothing but the text can show it.
#[test]
#[ignore = "needs cfn-lint: tests/run provides it"]
fn what_moto_does_not_know_says_what_it_should() {
    let template = bridge::template("lambda.yaml");
    let lambda = |name: &str| template["Resources"][name]["Properties"].clone();
    assert_eq!(lambda("Function")["Architectures"], json!([{"Ref": "Architecture"}]));
    let managed = |condition: &str, policy: &str| {
        let arn = format!("arn:${{AWS::Partition}}:iam::aws:policy/{policy}");
        json!({"Fn::If": [condition, [{"Fn::Sub": arn}], {"Ref": "AWS::NoValue"}]})
    };
    let boundary =
        json!({"Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"}]});
    for role in ["Role", "FirstSyncRole"] {
        assert_eq!(lambda(role)["PermissionsBoundary"], boundary, "{role}");
    }
    for role in ["Role", "FirstSyncRole"] {
        // Those of AWS for functions allow log groups to be made, which a late line would do when the stack is gone.
        assert_eq!(lambda(role).get("ManagedPolicyArns"), None, "{role}");
    }
    let sessions = managed("HasSessionManager", "AmazonSSMManagedInstanceCore");
    let role = &bridge::template("ec2.yaml")["Resources"]["Role"]["Properties"];
    assert_eq!(role["ManagedPolicyArns"], sessions);
    assert_eq!(role["PermissionsBoundary"], boundary);
    let invocations = lambda("Invocations");
    assert_eq!(invocations["MaximumRetryAttempts"], 0);
    assert_eq!(invocations["MaximumEventAgeInSeconds"], 120);
    let queue = json!({"Fn::GetAtt": ["FailedEvents", "Arn"]});
    assert_eq!(invocations["DestinationConfig"]["OnFailure"]["Destination"], queue);
    for (name, source_type) in [
        ("InstanceEvents", "db-instance"),
        ("ClusterEvents", "db-cluster"),
        ("BlueGreenEvents", "blue-green-deployment"),
    ] {
        let wanted = json!({"SnsTopicArn": {"Ref": "EventTopic"}, "SourceType": source_type, "Enabled": true});
        assert_eq!(lambda(name), wanted, "{name}");
        // RDS publishes a trial to a topic before it accepts the subscription.
        assert_eq!(template["Resources"][name]["DependsOn"], "EventTopicPolicy", "{name}");
    }
    let statements = &lambda("EventTopicPolicy")["PolicyDocument"]["Statement"];
    assert_eq!(statements.as_array().unwrap().len(), 1);
    let statement = &statements[0];
    assert_eq!(statement["Principal"], json!({"Service": "events.rds.amazonaws.com"}));
    assert_eq!(statement["Action"], "sns:Publish");
    let condition = json!({
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {"aws:SourceArn": {"Fn::Sub": "arn:${AWS::Partition}:rds:${AWS::Region}:${AWS::AccountId}:*"}},
    });
    assert_eq!(statement["Condition"], condition);
    let subscription = lambda("EventTopicSubscription");
    assert_eq!(subscription["Protocol"], "lambda");
    assert_eq!(subscription["Endpoint"], json!({"Fn::GetAtt": ["Function", "Arn"]}));

    let template = bridge::template("privatelink.yaml");
    let privatelink = |name: &str| template["Resources"][name]["Properties"].clone();
    assert_eq!(privatelink("LoadBalancer")["Type"], "network");
    let rules = &privatelink("LoadBalancer")["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"];
    assert_eq!(rules, "off", "a consumer's addresses are in no rule");
    let attributes = json!([
        {"Key": "load_balancing.cross_zone.enabled", "Value": "true"},
        {"Key": "deletion_protection.enabled", "Value": {"Ref": "DeletionProtection"}},
    ]);
    assert_eq!(privatelink("LoadBalancer")["LoadBalancerAttributes"], attributes);
    let attributes = json!([
        {"Key": "deregistration_delay.connection_termination.enabled", "Value": "true"},
        {"Key": "deregistration_delay.timeout_seconds", "Value": "30"},
        {"Key": "preserve_client_ip.enabled", "Value": "false"},
        {"Key": "proxy_protocol_v2.enabled", "Value": "false"},
    ]);
    assert_eq!(privatelink("TargetGroup")["TargetGroupAttributes"], attributes);
    let service = privatelink("EndpointService");
    assert_eq!(service["NetworkLoadBalancerArns"], json!([{"Ref": "LoadBalancer"}]));
    assert_eq!(service["AcceptanceRequired"], json!({"Ref": "AcceptanceRequired"}));
    let listener = privatelink("Listener");
    assert_eq!(
        (&listener["Protocol"], &listener["Port"]),
        (&json!("TCP"), &json!({"Ref": "Port"}))
    );
    let forward = json!([{"Type": "forward", "TargetGroupArn": {"Ref": "TargetGroup"}}]);
    assert_eq!(listener["DefaultActions"], forward);
    let silent = json!([{"Key": "tcp.idle_timeout.seconds", "Value": "6000"}]);
    assert_eq!(listener["ListenerAttributes"], silent);
    // AWS's domain backwards.
    let label = |place: u8| json!({"Fn::Select": [place, {"Fn::Split": [".", {"Ref": "AWS::URLSuffix"}]}]});
    let domain = json!({"Fn::If": ["IsChina", "cn.com.amazonaws", {"Fn::Join": [".", [label(1), label(0)]]}]});
    let name = json!({"Fn::Sub": ["${Domain}.vpce.${AWS::Region}.${EndpointService}", {"Domain": domain}]});
    assert_eq!(template["Outputs"]["EndpointServiceName"]["Value"], name);
    let principals = &privatelink("EndpointServicePermissions")["AllowedPrincipals"];
    assert_eq!(*principals, json!({"Ref": "AllowedPrincipals"}));
}

/// A rule of a security group, as its ports and where it leads.
fn way(rule: &Value) -> String {
    assert_eq!(rule["IpProtocol"], "tcp", "{rule}");
    let port = |value: &Value| value["Ref"].as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (from, to) = (port(&rule["FromPort"]), port(&rule["ToPort"]));
    assert_eq!(from, to, "{rule}");
    let group = rule["DestinationSecurityGroupId"]["Ref"].as_str();
    let place = rule["CidrIp"].as_str().or(rule["CidrIp"]["Ref"].as_str()).or(group);
    format!("{from} {}", place.unwrap_or_else(|| panic!("{rule}")))
}

/// What the security groups let out, by condition.
#[test]
#[ignore = "needs cfn-lint: tests/run provides it"]
fn nothing_goes_out_that_need_not() {
    let template = bridge::template("privatelink.yaml");
    // The condition of each rule, and its way.
    let conditional = |rules: &[Value]| -> Vec<String> {
        let ways = rules.iter().map(|rule| {
            let (condition, rule) = (&rule["Fn::If"][0], &rule["Fn::If"][1]);
            format!("{}: {}", condition.as_str().unwrap(), way(rule))
        });
        ways.collect()
    };
    let own = &template["Resources"]["LoadBalancerSecurityGroup"]["Properties"]["SecurityGroupEgress"];
    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];
    let searches = private.map(|network| format!("SearchesDatabase: Port {network}"));
    let mut wanted = vec![
        "ToHosts: Port 127.0.0.1/32".to_owned(),
        "OpensDatabase: Port DatabaseSecurityGroupId".to_owned(),
    ];
    wanted.extend(searches.clone());
    wanted.push("HasDatabaseCidr: Port DatabaseCidr".to_owned());
    assert_eq!(conditional(own.as_array().unwrap()), wanted);
    // One of the first three, always: without any rule AWS lets everything out.
    let is_given = json!({"Fn::Not": [{"Fn::Equals": [{"Ref": "DatabaseSecurityGroupId"}, ""]}]});
    let is_empty = json!({"Fn::Equals": [{"Ref": "DatabaseSecurityGroupId"}, ""]});
    let to_database = json!({"Fn::Not": [{"Condition": "ToHosts"}]});
    let both = |one: &Value, other: &Value| json!({"Fn::And": [one, other]});
    assert_eq!(template["Conditions"]["OpensDatabase"], both(&to_database, &is_given));
    assert_eq!(
        template["Conditions"]["SearchesDatabase"],
        both(&to_database, &is_empty)
    );

    let template = bridge::template("ec2.yaml");
    let properties = |name: &str| &template["Resources"][name]["Properties"];
    let own = properties("HostSecurityGroup")["SecurityGroupEgress"]
        .as_array()
        .unwrap();
    assert_eq!(way(&own[0]), "443 0.0.0.0/0");
    assert_eq!(conditional(&own[1..]), wanted[1..]);
    // In both modes: run connects to the database when it probes.
    assert_eq!(template["Conditions"]["OpensDatabase"], is_given);
    for (name, wanted) in [
        ("ConnectionsToHosts", "Port HostSecurityGroup"),
        ("HealthChecksOfHosts", "9477 HostSecurityGroup"),
    ] {
        assert_eq!(way(properties(name)), wanted);
        assert_eq!(
            properties(name)["GroupId"],
            json!({"Ref": "LoadBalancerSecurityGroupId"}),
            "{name}"
        );
        assert_eq!(template["Resources"][name]["Condition"], "HasLoadBalancer", "{name}");
    }
}

/// The Python of the first sync.
pub fn inline_python() -> String {
    let template = bridge::template("lambda.yaml");
    let code = &template["Resources"]["FirstSyncFunction"]["Properties"]["Code"]["ZipFile"];
    code.as_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs cfn-lint: tests/run provides it"]
fn the_first_sync_has_the_time_that_it_takes() {
    let template = bridge::template("lambda.yaml");
    let code = inline_python();
    let folder = Scratch::new();
    folder.write("index.py", &code);
    let script = "import index, json; print(json.dumps([index.PATIENCE_SECONDS, index.SYNC.read_timeout, \
                  2 * (index.QUICK.connect_timeout + index.QUICK.read_timeout)]))";
    let output = bridge::python()
        .current_dir(folder.folder())
        .args(["-c", script])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let seconds: Vec<u64> = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let [patience, read_timeout, asks] = seconds[..] else {
        panic!("{said}")
    };
    let properties = |name: &str| &template["Resources"][name]["Properties"];
    let number = |value: &Value| value.as_u64().unwrap();
    let sync = number(&properties("Function")["Timeout"]);
    let whole = number(&properties("FirstSyncFunction")["Timeout"]);
    assert!(read_timeout > sync + 10, "it hangs up while the function still works");
    // Its last try begins within its patience; then it asks for the stack, twice at most, and tries to answer three times.
    assert!(
        whole > patience + read_timeout + asks + 3 * 6,
        "it ends before it has answered"
    );
    assert!(
        number(&properties("Sync")["ServiceTimeout"]) > whole,
        "the stack stops waiting before it ends"
    );
    assert!(code.len() < 4096, "{} bytes", code.len());
}

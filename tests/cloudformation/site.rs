//! The templates deployed to moto, as far as it goes: what it has made of them is read from each service's own API.
//!
//! Moto is not believed on what it leaves out. Without a word it skips resources of the types below, what a security group lets
//! out, the attributes of load balancers and target groups, a role's managed policies and boundary, lifecycle hooks, and the
//! architecture of a function. It makes an application load balancer of every load balancer, which takes no TCP listener.
//! Parameters' patterns and rules it does not check. All that is tested as text, in texts.rs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::moto::Moto;

use super::TEMPLATES;
use super::bridge::{self, Bridge, REGION};
use super::template::{read, section};

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
    _moto: Moto,
    /// Where moto is.
    pub url: String,
    /// Calls to it.
    pub bridge: Bridge,
    /// The VPC.
    pub vpc: String,
    /// Its subnets, each in a zone.
    pub subnets: Vec<String>,
    stacks: usize,
}

/// What a template became: the physical ID of each resource, and the stack's own.
pub struct Stack {
    /// The stack's own ID.
    pub id: String,
    ids: BTreeMap<String, String>,
    /// What it puts out.
    pub outputs: BTreeMap<String, String>,
}

impl Stack {
    #[track_caller]
    pub fn id(&self, resource: &str) -> &str {
        self.ids
            .get(resource)
            .unwrap_or_else(|| panic!("no {resource} in {:?}", self.ids))
    }
}

impl Site {
    pub fn new() -> Self {
        let moto = Moto::start();
        let url = moto.url();
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

    pub fn create(&mut self, name: &str, template: &Value, parameters: &[(&str, &str)]) -> Result<Value, String> {
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

    pub fn status(&mut self, stack: &Stack) -> String {
        let stacks = self
            .bridge
            .call("cloudformation", "describe_stacks", json!({"StackName": stack.id}));
        stacks["Stacks"][0]["StackStatus"].as_str().unwrap().to_owned()
    }

    /// Whom a security group lets in: ports, and a network or group.
    pub fn rules(&mut self, group: &str) -> Vec<String> {
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

    /// The statements of a role's one policy, by their Sid. What a condition leaves out is null in moto.
    #[track_caller]
    pub fn statements(&mut self, role: &str, policy: &str) -> BTreeMap<String, Value> {
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
pub fn allowed(statement: &Value) -> (Value, Value) {
    assert_eq!(statement["Effect"], "Allow");
    (statement["Action"].clone(), statement["Resource"].clone())
}

#[test]
fn what_is_skipped_is_used() {
    for skipped in SKIPPED {
        let is_used = |(_, template): &(&str, &str)| {
            let template = read(template);
            section(&template, "Resources")
                .values()
                .any(|resource| resource["Type"] == *skipped)
        };
        assert!(TEMPLATES.iter().any(is_used), "{skipped} is in no template");
    }
}

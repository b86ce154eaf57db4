//! Each example made, looked at again and unmade.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};
use testkit::dns::{self, Behaviour};

use super::checks::{self, Made};
use super::code::{Copy, REGION, against, changes, folders, json as json_of, resources, succeed};
use super::moto::{ACCOUNT, ANYBODY, EC2, ELB, Moto, element};
use super::script;
use super::world::{NEW, OLD, WRITER, bare_command, finish, said};

/// What moto tells otherwise than it was told, so that a second plan would change it again: the address within its module, and
/// the attribute.
const MOTO_DIFFERS: &[&str] = &[
    // It says nothing of whether rules hold for PrivateLink.
    "aws_lb.this enforce_security_group_inbound_rules_on_private_link_traffic",
    // It forgets the description of a rule about another security group.
    "aws_vpc_security_group_egress_rule.database_groups[0] description",
    "aws_vpc_security_group_egress_rule.load_balancer[\"health\"] description",
    "aws_vpc_security_group_egress_rule.load_balancer[\"proxy orders\"] description",
    "aws_vpc_security_group_ingress_rule.database[0] description",
    "aws_vpc_security_group_ingress_rule.load_balancer[\"health\"] description",
    "aws_vpc_security_group_ingress_rule.load_balancer[\"proxy orders\"] description",
    // It hands the tags of a launch template to what is launched, and so makes another version of it due.
    "aws_launch_template.this tag_specifications",
    "aws_launch_template.this default_version",
    "aws_launch_template.this latest_version",
    "aws_autoscaling_group.this launch_template",
    "aws_autoscaling_group.this capacity_reservation_specification",
];

/// An example against an AWS of its own.
struct Stage {
    moto: Moto,
    copy: Copy,
    example: String,
}

impl Stage {
    /// What the example assumes is there, and its variables say so.
    fn new(example: &str) -> Self {
        let copy = Copy::new();
        // Session Manager's policy is one of AWS's own.
        let moto = Moto::start_with(&[("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")]);
        // Without docker it answers a call of a function by itself, and runs nothing.
        let without_docker = r#"{"lambda":{"use_docker":false}}"#;
        moto.post("/moto-api/config", "Content-Type: application/json", without_docker);
        let vpc = element(&moto.call(ANYBODY, EC2, "CreateVpc", "CidrBlock=10.0.0.0/16"), "vpcId");
        let subnets: Vec<String> = (["a", "b", "c"].iter().enumerate())
            .map(|(number, zone)| {
                let subnet = format!("VpcId={vpc}&CidrBlock=10.0.{number}.0/24&AvailabilityZone={REGION}{zone}");
                element(&moto.call(ANYBODY, EC2, "CreateSubnet", &subnet), "subnetId")
            })
            .collect();
        let database = format!("GroupName=database&GroupDescription=database&VpcId={vpc}");
        let database = element(&moto.call(ANYBODY, EC2, "CreateSecurityGroup", &database), "groupId");
        let group = format!("Name=orders-of-old&Protocol=TCP&Port=5432&TargetType=ip&VpcId={vpc}");
        let group = element(&moto.call(ANYBODY, ELB, "CreateTargetGroup", &group), "TargetGroupArn");
        // A zip of nothing: moto does not run it.
        let zip = copy.write("bootstrap.zip", &format!("PK\u{5}\u{6}{}", "\0".repeat(18)));
        let all = json!({
            "region": REGION,
            "endpoint": format!("{WRITER}:5432"),
            "vpc_id": vpc,
            "subnet_ids": subnets,
            "database_security_group_id": database,
            "target_group_arn": group,
            "zip": zip,
            "alarm_topic_arn": format!("arn:aws:sns:{REGION}:{ACCOUNT}:database"),
            "package": { "s3_bucket": "packages", "s3_key": "rds-tether-0.1.0-1.x86_64.rpm", "sha256": script::PACKAGE_SHA256 },
        });
        let text = std::fs::read_to_string(copy.path(example).join("main.tf")).expect("main.tf");
        let is_declared = |name: &str| text.contains(&format!("variable \"{name}\" {{"));
        let mut variables = all.as_object().expect("an object").clone();
        variables.retain(|name, _| is_declared(name));
        let path = copy.path(example).join("here.auto.tfvars.json");
        std::fs::write(path, Value::Object(variables).to_string()).expect("the variables are written");
        copy.init(example);
        Self {
            moto,
            copy,
            example: example.to_owned(),
        }
    }

    fn terraform(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = against(&self.copy, &self.example, &self.moto);
        command.args(arguments);
        command
    }

    fn apply(&self) -> Value {
        succeed(&mut self.terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]));
        json_of(&mut self.terraform(&["show", "-json"]))
    }

    /// What a plan would change now.
    fn plan(&self) -> BTreeSet<String> {
        succeed(&mut self.terraform(&["plan", "-input=false", "-no-color", "-out=plan"]));
        let plan = json_of(&mut self.terraform(&["show", "-json", "plan"]));
        changes(&plan).iter().map(|change| within_module(change)).collect()
    }

    fn destroy(&self) {
        succeed(&mut self.terraform(&["destroy", "-auto-approve", "-input=false", "-no-color"]));
        let left = succeed(&mut self.terraform(&["state", "list"]));
        assert_eq!(left, "", "{}: something is left", self.example);
    }

    /// rds-tether as `sync` makes this group follow the name.
    fn sync(&self, dns: &dns::Server, group: &str) {
        let mut command = bare_command(&format!("http://{}", self.moto.address));
        command
            .args(["sync", "--forget", "1s", "--nameserver", &dns.addr().to_string()])
            .args(["--endpoint", &format!("{WRITER}:5432"), "--target-group", group]);
        let output = finish(&mut command);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }

    /// A failover as rds-tether leaves it behind: another target, and the function's tag.
    fn fail_over(&self, group: &str) {
        let dns = dns::Server::start();
        dns.set(WRITER, Behaviour::a(OLD, 1));
        self.sync(&dns, group);
        dns.set(WRITER, Behaviour::a(NEW, 1));
        self.sync(&dns, group);
        let listed = self
            .moto
            .call(ANYBODY, ELB, "DescribeTargetHealth", &format!("TargetGroupArn={group}"));
        assert!(listed.contains(NEW) && !listed.contains(OLD), "{listed}");
        let tag =
            format!("ResourceArns.member.1={group}&Tags.member.1.Key=rds-tether:absent&Tags.member.1.Value=1763880060");
        self.moto.call(ANYBODY, ELB, "AddTags", &tag);
        let tags = self
            .moto
            .call(ANYBODY, ELB, "DescribeTags", &format!("ResourceArns.member.1={group}"));
        assert!(tags.contains("rds-tether:absent"), "{tags}");
    }
}

/// An address without the modules that it is in.
fn within_module(address: &str) -> String {
    let start = address.find("aws_").unwrap_or_default();
    address[start..].to_owned()
}

/// Fails if an example cannot be applied or destroyed, if a second plan shows something else than what is moto's own doing, or
/// if a failover makes a difference to it.
#[test]
#[ignore = "needs terraform, the AWS provider and moto: tests/run provides them"]
fn each_example_is_made_looked_at_again_and_unmade() {
    let seen = Mutex::new(Seen::default());
    thread::scope(|scope| {
        for example in folders("examples") {
            let seen = &seen;
            scope.spawn(move || {
                let stage = Stage::new(&example);
                let made = resources(&stage.apply());
                assert!(made.len() > 5, "{example}: {made:?}");
                let second = stage.plan();
                let groups = groups_of_addresses(&made);
                for group in &groups {
                    stage.fail_over(group);
                    assert_eq!(stage.plan(), second, "{example}: a failover changes the plan");
                }
                let (alarms, settings) = (checks::alarms(&example, &made), checks::settings(&example, &made));
                let scripts = checks::user_data(&made);
                stage.destroy();
                let mut seen = seen.lock().expect("no other example has failed meanwhile");
                seen.differences.extend(second);
                seen.failed_over += groups.len();
                seen.alarms += alarms;
                seen.settings += settings;
                seen.scripts.extend(scripts);
            });
        }
    });
    let seen = seen.into_inner().expect("what was seen");
    let wanted: BTreeSet<String> = MOTO_DIFFERS.iter().map(ToString::to_string).collect();
    assert_eq!(
        seen.differences, wanted,
        "a second plan differs by what moto differs by"
    );
    assert!(seen.failed_over > 0, "no example has a group to fail over");
    assert!(seen.alarms >= 6, "no example has alarms");
    assert_eq!(
        seen.settings,
        folders("examples").len(),
        "each example has one function, or one kind of hosts"
    );
    assert!(!seen.scripts.is_empty(), "no example has hosts");
    for script in &seen.scripts {
        script::check(script);
    }
}

/// What all examples together have shown.
#[derive(Default)]
struct Seen {
    differences: BTreeSet<String>,
    failed_over: usize,
    alarms: usize,
    settings: usize,
    scripts: Vec<String>,
}

/// The target groups that rds-tether follows and the example owns.
fn groups_of_addresses(made: &[Made]) -> Vec<String> {
    let ours = made
        .iter()
        .filter(|(address, values)| address.contains("aws_lb_target_group.") && values["target_type"] == "ip");
    ours.map(|(_, values)| values["arn"].as_str().expect("an ARN").to_owned())
        .collect()
}

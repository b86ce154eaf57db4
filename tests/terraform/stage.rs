//! A configuration against an AWS of its own.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testkit::dns::{self, Behaviour};

use super::calls::Lambda;
use super::code::{Copy, REGION, against, blocks, body, changes, json as json_of, label, succeed};
use super::script;
use testkit::moto::{ACCOUNT, ANYBODY, EC2, ELB, Moto, element};
use testkit::program::foreign;
use testkit::world::{Daemon, NEW, OLD, WRITER, bare_command, finish, said};

/// A configuration against an AWS of its own.
pub struct Stage {
    pub moto: Moto,
    pub copy: Copy,
    pub lambda: Lambda,
    configuration: String,
    /// The provider, which runs as long as this, and what Terraform has to know to use it. To start it, to read all of its 700 MB
    /// for their sum, and to end it for each command takes a third of this suite's time.
    provider: Option<(Daemon, String)>,
}

impl Stage {
    /// What the configuration assumes is there, and its variables say so.
    pub fn new(configuration: &str) -> Self {
        Self::with(Copy::new(), configuration, |_| json!({}))
    }

    /// With further variables, which are told what is there.
    pub fn with(copy: Copy, configuration: &str, further: impl FnOnce(&Value) -> Value) -> Self {
        // Session Manager's policy is one of AWS's own.
        let moto = Moto::start_with(&[("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")]);
        let lambda = Lambda::start(&moto.address);
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
            "organization_id": "o-exampleorgid",
            "allow_endpoints": ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"],
            "members": { "billing": {
                "account": "222233334444",
                "region": "eu-central-1",
                "allow_endpoints": ["*.eu-central-1.rds.amazonaws.com"],
            } },
            "alarm_topic_arn": format!("arn:aws:sns:{REGION}:{ACCOUNT}:database"),
            "package": { "s3_bucket": "packages", "s3_key": "rds-tether-0.1.0-1.x86_64.rpm", "sha256": script::PACKAGE_SHA256 },
        });
        let bodies = ["main.tf", "variables.tf"].map(|name| body(&copy.path(configuration).join(name)));
        let declared: BTreeSet<&str> = bodies
            .iter()
            .flat_map(|body| blocks(body, "variable"))
            .map(label)
            .collect();
        let is_declared = |name: &str| declared.contains(name);
        let mut variables = all.as_object().expect("an object").clone();
        variables.retain(|name, _| is_declared(name));
        for (name, value) in further(&all).as_object().expect("an object") {
            assert!(is_declared(name), "{configuration} has no {name}");
            variables.insert(name.clone(), value.clone());
        }
        let path = copy.path(configuration).join("here.auto.tfvars.json");
        fs::write(path, Value::Object(variables).to_string()).expect("the variables are written");
        copy.init(configuration);
        let mut stage = Self {
            moto,
            copy,
            lambda,
            configuration: configuration.to_owned(),
            provider: None,
        };
        stage.provider = Some(stage.start_provider());
        stage
    }

    /// The provider as its makers debug it: by itself, with Terraform as a guest.
    fn start_provider(&self) -> (Daemon, String) {
        let installed = self.copy.path(&self.configuration).join(".terraform/providers");
        let like = self.terraform(&[]);
        // It says on standard output where it is.
        let mut command = foreign("sh");
        command
            .args([
                "-c",
                "exec \"$(find -L \"$1\" -name 'terraform-provider-aws_*')\" -debug >&2",
                "sh",
            ])
            .arg(installed)
            .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let sign = "TF_REATTACH_PROVIDERS='";
        let started = Daemon::serve(&mut command, &[sign]);
        let (daemon, line) = started.unwrap_or_else(|said| panic!("the provider ended at once:\n{said}"));
        let (_, attach) = line.split_once(sign).expect("the line it waited for");
        (daemon, attach.trim_end_matches('\'').to_owned())
    }

    pub fn terraform(&self, arguments: &[&str]) -> Command {
        let mut command = against(&self.copy, &self.configuration, &self.moto);
        let lambda = format!("http://{}", self.lambda.address);
        command.env("AWS_ENDPOINT_URL_LAMBDA", lambda).args(arguments);
        // What installs providers has nothing to do with one that runs.
        if let Some((_, attach)) = self.provider.as_ref().filter(|_| !arguments.contains(&"init")) {
            command.env("TF_REATTACH_PROVIDERS", attach);
        }
        command
    }

    pub fn apply(&self) -> Value {
        succeed(&mut self.terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]));
        json_of(&mut self.terraform(&["show", "-json"]))
    }

    /// A plan, as Terraform shows it.
    pub fn planned(&self) -> Value {
        succeed(&mut self.terraform(&["plan", "-input=false", "-no-color", "-out=plan"]));
        json_of(&mut self.terraform(&["show", "-json", "plan"]))
    }

    /// What a plan would change now.
    pub fn plan(&self) -> BTreeSet<String> {
        changes(&self.planned())
            .iter()
            .map(|change| within_module(change))
            .collect()
    }

    pub fn destroy(&self) {
        succeed(&mut self.terraform(&["destroy", "-auto-approve", "-input=false", "-no-color"]));
        let left = succeed(&mut self.terraform(&["state", "list"]));
        assert_eq!(left, "", "{}: something is left", self.configuration);
    }

    /// rds-tether as `sync` makes this group follow the name.
    pub fn sync(&self, dns: &dns::Server, group: &str) {
        let mut command = bare_command(&format!("http://{}", self.moto.address));
        command
            .args(["sync", "--forget", "1s", "--nameserver", &dns.addr().to_string()])
            .args(["--endpoint", &format!("{WRITER}:5432"), "--target-group", group]);
        let output = finish(&mut command);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }

    /// A failover as rds-tether leaves it behind: another target, and the function's tag.
    pub fn fail_over(&self, group: &str) {
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

//! A moto server of a test's own, started and ended by it.
//!
//! Moto is not believed on what it simplifies. It keeps one target per address, whatever the port. A
//! deregistered target is gone at once, so nothing ever drains, and a registered one is healthy at once. It lists no zones,
//! accepts any address in any zone, and knows neither quotas nor throttling. Deregistering what is not there fails with
//! InvalidTarget, where ELB says nothing. Policies are matched by their actions alone: statements for anything but `*` allow
//! nothing, and conditions are not looked at. A refusal for want of permission has one element more round it than ELB's. Any role
//! that moto does not have may be assumed, whatever the external id. All that is for the simulated ELB of tests/testkit. Of SNS it
//! is believed that a message reaches the queue that is subscribed, attributes and filter policies included.

use serde_json::{Value, json};

use crate::http;
use crate::program::{Daemon, foreign, provided};

/// The account that everybody is in who has not assumed a role.
pub const ACCOUNT: &str = "123456789012";
/// Another account.
pub const OTHER_ACCOUNT: &str = "222233334444";
/// EC2, and the version of its API.
pub const EC2: (&str, &str) = ("ec2", "2016-11-15");
/// Elastic Load Balancing, and the version of its API.
pub const ELB: (&str, &str) = ("elasticloadbalancing", "2015-12-01");
/// IAM, and the version of its API.
pub const IAM: (&str, &str) = ("iam", "2010-05-08");
/// SNS, and the version of its API.
pub const SNS: (&str, &str) = ("sns", "2010-03-31");
/// SQS, and the version of its API.
pub const SQS: (&str, &str) = ("sqs", "2012-11-05");
/// STS, and the version of its API.
pub const STS: (&str, &str) = ("sts", "2011-06-15");

/// Moto does not look at the secret unless a test asks for it, only at whose key it is.
pub const ANYBODY: &str = "AKIAEXAMPLE";

/// A running moto; killed when dropped.
#[derive(Debug)]
pub struct Moto {
    _program: Daemon,
    /// Where it listens.
    pub address: String,
}

impl Moto {
    /// With nothing in it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With settings of moto's own in its environment.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_with(variables: &[(&str, &str)]) -> Self {
        // What the server's own command does, and a little before.
        let mut command = foreign(provided("RDS_TETHER_TEST_MOTO").with_file_name("python"));
        let command = command.envs(variables.iter().copied());
        let command = command.args([
            "-c",
            include_str!("moto_serve.py"),
            "--host",
            "127.0.0.1",
            "--port",
            "0",
        ]);
        let started = Daemon::serve(command, &["Running on http://"]);
        let (program, line) = started.unwrap_or_else(|said| panic!("moto ended at once:\n{said}"));
        let (_, address) = line.split_once("http://").expect("the line it waited for");
        Self {
            _program: program,
            address: address.trim().to_owned(),
        }
    }

    /// The address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a body and gives the reply's, which must not be an error.
    ///
    /// # Panics
    /// If it is one.
    #[track_caller]
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let answer = http::post(&self.address, path, headers, body);
        assert!((200..300).contains(&answer.status), "{body}: {answer:?}");
        answer.body
    }

    /// Calls an action as the owner of an access key. Values must need no escaping in a form.
    ///
    /// # Panics
    /// If moto refuses it.
    #[track_caller]
    pub fn call(&self, key: &str, (service, version): (&str, &str), action: &str, parameters: &str) -> String {
        let scope = format!("{key}/20260101/eu-west-1/{service}/aws4_request");
        let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=not-looked-at");
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Authorization", &signed),
        ];
        let body = format!("Action={action}&Version={version}&{parameters}");
        self.post("/", &headers, &body)
    }

    /// Creates a target group in a VPC of its own and returns its ARN.
    ///
    /// # Panics
    /// If moto refuses it.
    pub fn group(&self, key: &str, name: &str, target_type: &str) -> String {
        let vpc = element(&self.call(key, EC2, "CreateVpc", "CidrBlock=10.0.0.0/16"), "vpcId");
        let parameters = format!("Name={name}&Protocol=TCP&Port=5432&TargetType={target_type}&VpcId={vpc}");
        element(&self.call(key, ELB, "CreateTargetGroup", &parameters), "TargetGroupArn")
    }

    /// The registered targets.
    ///
    /// # Panics
    /// If moto refuses it.
    #[must_use]
    pub fn targets(&self, key: &str, arn: &str) -> Vec<String> {
        let reply = self.call(key, ELB, "DescribeTargetHealth", &format!("TargetGroupArn={arn}"));
        let targets = reply.split("<Target>").skip(1);
        targets
            .map(|target| format!("{}:{}", element(target, "Id"), element(target, "Port")))
            .collect()
    }

    /// From now on calls must be signed by somebody known and allowed; or no longer.
    ///
    /// # Panics
    /// If moto refuses it.
    pub fn guard(&self, on: bool) {
        let calls_before = if on { "0" } else { "inf" };
        self.post("/moto-api/reset-auth", &[("Content-Type", "text/plain")], calls_before);
    }

    /// Makes a user who is allowed nothing yet; gives the access key and its secret.
    ///
    /// # Panics
    /// If moto refuses it.
    #[must_use]
    pub fn user(&self) -> (String, String) {
        self.call(ANYBODY, IAM, "CreateUser", "UserName=tether");
        let reply = self.call(ANYBODY, IAM, "CreateAccessKey", "UserName=tether");
        (element(&reply, "AccessKeyId"), element(&reply, "SecretAccessKey"))
    }

    /// From now on the user is allowed this, as far as moto can tell, and nothing else.
    ///
    /// # Panics
    /// If moto refuses it.
    pub fn allow(&self, policy: &Value) {
        let policy = widened(policy);
        let parameters = format!("UserName=tether&PolicyName=tether&PolicyDocument={policy}");
        self.call(ANYBODY, IAM, "PutUserPolicy", &parameters);
    }
}

/// The same policy for everything, because moto knows no other resource.
///
/// # Panics
/// If it is no policy.
#[must_use]
pub fn widened(policy: &Value) -> Value {
    let mut policy = policy.clone();
    for statement in policy["Statement"].as_array_mut().expect("statements") {
        statement["Resource"] = json!("*");
    }
    policy
}

/// The same policy without one of its actions.
///
/// # Panics
/// If it is no policy, or does not have the action.
#[must_use]
pub fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().expect("statements");
    let is_it = |found: &Value| found.as_str() == Some(action);
    let before = statements.len();
    for statement in &mut *statements {
        let list = match statement["Action"].take() {
            Value::Array(list) => list,
            one => vec![one],
        };
        statement["Action"] = list.into_iter().filter(|found| !is_it(found)).collect();
    }
    statements.retain(|statement| statement["Action"].as_array().is_some_and(|list| !list.is_empty()));
    assert!(
        before > 0 && !policy.to_string().contains(&format!("\"{action}\"")),
        "{action}"
    );
    policy
}

/// The text of the first element of this name.
///
/// # Panics
/// If there is none.
#[track_caller]
#[must_use]
pub fn element(xml: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let text = xml
        .split_once(&open)
        .and_then(|(_, rest)| rest.split_once(&close))
        .map(|(text, _)| text);
    text.unwrap_or_else(|| panic!("no {name} in {xml}")).to_owned()
}

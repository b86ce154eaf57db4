//! The built function against moto with IAM's enforcement on: the function's policy is enough, a required action is missed with an
//! error that names it, an optional one with a warning.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::time::Duration;

use rds_tether::follow::binding::Binding;
use rds_tether::planner::policy::Policy;
use rds_tether::settings::Settings;
use rds_tether::verbs::iam::{self, Use};
use serde_json::Value;
use testkit::dns::{self, Behaviour};
use testkit::function::{LONG, NEW, OLD, OUTLASTS, PATIENCE, SHORT, TAG_SECRET, TICK, WRITER, at_once};
use testkit::lambda::{Function, Outcome, Runtime};
use testkit::moto::{ANYBODY, ELB, Moto, SNS, element, without};
use testkit::program::built;
use testkit::scratch::Scratch;

struct Guarded {
    moto: Moto,
    dns: dns::Server,
    runtime: Runtime,
    package: Scratch,
    arn: String,
    topic: String,
    key: String,
    secret: String,
}

impl Guarded {
    /// The group has the old address; the endpoint names the new one.
    fn failed_over() -> Self {
        let moto = Moto::start();
        let dns = dns::Server::start();
        dns.set(WRITER, Behaviour::a(NEW, 1));
        let arn = moto.group(ANYBODY, "orders", "ip");
        let topic = element(&moto.call(ANYBODY, SNS, "CreateTopic", "Name=database"), "TopicArn");
        let (key, secret) = moto.user();
        let guarded = Self {
            runtime: Runtime::start(),
            package: Scratch::new(),
            moto,
            dns,
            arn,
            topic,
            key,
            secret,
        };
        let old = format!(
            "TargetGroupArn={}&Targets.member.1.Id={OLD}&Targets.member.1.Port=5432",
            guarded.arn
        );
        guarded.moto.call(ANYBODY, ELB, "RegisterTargets", &old);
        guarded
    }

    fn registered(&self) -> Vec<String> {
        let targets = self.moto.targets(ANYBODY, &self.arn).into_iter();
        targets
            .map(|target| target.trim_end_matches(":5432").to_owned())
            .collect()
    }

    fn policy(&self) -> Value {
        let mut settings = Settings {
            bindings: vec![Binding {
                arn: self.arn.parse().unwrap(),
                endpoints: [format!("{WRITER}:5432").parse().unwrap()].into(),
                policy: Policy::default(),
                observe: false,
                assume_role: None,
                trust: None,
                lead: None,
            }],
            ..Settings::default()
        };
        settings.notify.topic = Some(self.topic.parse().unwrap());
        serde_json::to_value(iam::policy(&settings, Use::Lambda, None)).unwrap()
    }

    /// A cold function.
    fn start(&self) -> Function {
        let (url, server) = (self.moto.url(), self.dns.addr().to_string());
        let endpoint = format!("{WRITER}:5432");
        let variables = [
            ("AWS_ENDPOINT_URL", url.as_str()),
            ("AWS_ACCESS_KEY_ID", &self.key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("RDS_TETHER_NAMESERVER", &server),
            ("RDS_TETHER_ENDPOINT", &endpoint),
            ("RDS_TETHER_TARGET_GROUP", &self.arn),
            ("RDS_TETHER_FORGET", OUTLASTS),
            ("RDS_TETHER_NOTIFY_TOPIC", &self.topic),
            ("RDS_TETHER_TAG_KEY", TAG_SECRET),
        ];
        Function::start(&self.runtime, &built("bootstrap"), self.package.folder(), &variables)
    }

    /// Invokes a function while the user is allowed this and no more.
    fn tick(&self, policy: &Value, timeout: Duration) -> Outcome {
        self.moto.allow(policy);
        self.moto.guard(true);
        let outcome = self.runtime.invoke(TICK, timeout).wait(LONG);
        self.moto.guard(false);
        outcome
    }

    fn tag(&self) -> String {
        let reply = self.moto.call(
            ANYBODY,
            ELB,
            "DescribeTags",
            &format!("ResourceArns.member.1={}", self.arn),
        );
        let tags = reply.split("<Key>rds-tether:absent</Key>").nth(1);
        tags.map(|rest| element(rest, "Value")).unwrap_or_default()
    }
}

#[track_caller]
fn assert_warned(function: &Function, parts: &[&str]) {
    let has = |line: &String| line.contains("WARN") && parts.iter().all(|part| line.contains(part));
    let warned = function.wait_for_stderr(PATIENCE, |lines| lines.iter().any(has));
    assert!(warned, "no warning with {parts:?}: {:?}", function.stderr());
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn the_functions_policy_is_enough_for_a_swap_and_its_clocks() {
    let guarded = Guarded::failed_over();
    let mut function = guarded.start();
    let policy = guarded.policy();
    let outcome = guarded.tick(&policy, SHORT);
    assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
    assert_eq!(guarded.registered(), [OLD, NEW]);
    assert!(
        guarded.tag().contains(OLD),
        "the clock is kept: {:?}",
        function.stderr()
    );
    function.restart();
    let outcome = guarded.tick(&policy, LONG);
    assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
    assert_eq!(guarded.registered(), [NEW]);
    let lines = function.stderr();
    assert!(!lines.iter().any(|line| line.contains("AccessDenied")), "{lines:?}");
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_required_action_is_missed_with_an_error_that_names_it() {
    let guarded = Guarded::failed_over();
    let policy = guarded.policy();
    let required = Use::Lambda
        .actions()
        .filter(|action| action.required && action.name != "sts:AssumeRole");
    let required: Vec<&str> = required.map(|action| action.name).collect();
    assert_eq!(required.len(), 4, "{required:?}");
    let _function = guarded.start();
    for action in required {
        match guarded.tick(&without(&policy, action), LONG) {
            Outcome::Error(error) => {
                let told = format!("{error:?}");
                assert!(
                    told.contains(action) && told.contains("AccessDenied"),
                    "{action}: {told}"
                );
            }
            other => panic!("{action}: {other:?}"),
        }
    }
    assert_eq!(
        guarded.registered(),
        [OLD, NEW],
        "only the removal was left to be denied"
    );
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn an_optional_action_is_missed_with_a_warning() {
    // A database asks whether somebody may log in, no API.
    let is_of_an_api = |name: &&str| *name != "rds-db:connect";
    let optional = Use::Lambda.actions().filter(|action| !action.required);
    let optional: Vec<&str> = optional.map(|action| action.name).filter(is_of_an_api).collect();
    assert_eq!(optional.len(), 3, "{optional:?}");
    at_once(optional, |action| {
        let guarded = Guarded::failed_over();
        let function = guarded.start();
        let outcome = guarded.tick(&without(&guarded.policy(), action), SHORT);
        assert!(matches!(outcome, Outcome::Success(_)), "{action}: {outcome:?}");
        assert_eq!(guarded.registered(), [OLD, NEW], "{action}");
        assert_warned(&function, &["AccessDenied", action]);
    });
}

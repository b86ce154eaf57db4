//! With IAM's enforcement on: the policy that `iam` prints is enough for each verb, and each required action of it is missed with
//! an error that names it.

use std::path::PathBuf;
use std::process::Command;

use rds_tether::verbs::iam::ACTIONS;
use serde_json::{Value, json};
use testkit::dns::Behaviour;
use testkit::moto::{ACCOUNT, ANYBODY, IAM, OTHER_ACCOUNT, element, widened, without};
use testkit::program::assert_ended;
use testkit::scratch::Scratch;
use testkit::settings::target_group;
use testkit::world::{Daemon, NEW, OLD, PATIENCE, WRITER, bare_command, finish, said};

use super::{Topic, World, target};

/// A world whose calls must be signed by a user who is allowed to make them.
struct Guarded {
    world: World,
    key: String,
    secret: String,
}

impl Guarded {
    /// The group has what the endpoint names; nothing is guarded yet.
    fn settled() -> Self {
        let world = World::new();
        assert_ended(&finish(&mut world.bound("sync", &world.arn)), 0);
        let (key, secret) = world.moto.user();
        Self { world, key, secret }
    }

    /// What `iam` prints for the binding and these flags.
    #[track_caller]
    fn policy(&self, flags: &[&str]) -> Value {
        let mut command = bare_command("");
        command.args([
            "iam",
            "--endpoint",
            &format!("{WRITER}:5432"),
            "--target-group",
            &self.world.arn,
        ]);
        let output = finish(command.args(flags));
        assert_ended(&output, 0);
        serde_json::from_slice(&output.stdout).expect("a policy")
    }

    fn as_user<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("AWS_ACCESS_KEY_ID", &self.key)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret)
    }

    /// Does something while the user is allowed this and no more.
    fn allowed<T>(&self, policy: &Value, act: impl FnOnce() -> T) -> T {
        self.world.moto.allow(policy);
        self.world.moto.guard(true);
        let done = act();
        self.world.moto.guard(false);
        done
    }

    /// Runs a verb to its end while the user is allowed this and no more; gives its exit code and what it said.
    fn run(&self, policy: &Value, verb: &str, flags: &[&str]) -> (i32, String) {
        let mut command = self.world.bound(verb, &self.world.arn);
        let output = self.allowed(policy, || finish(self.as_user(command.args(flags))));
        (output.status.code().expect("an exit code"), said(&output))
    }

    /// The verb misses each required action of its policy, and says which.
    #[track_caller]
    fn assert_each_is_missed(&self, policy: &Value, verb: &str, flags: &[&str], code: i32) {
        let mut missed = 0;
        for action in names(policy, true) {
            let (exit, told) = self.run(&without(policy, action), verb, flags);
            assert_eq!(exit, code, "{verb} without {action}: {told}");
            assert!(
                told.contains(action) && told.contains("AccessDenied"),
                "{verb} without {action}: {told}"
            );
            missed += 1;
        }
        assert!(missed >= 2, "{verb}: {policy}");
    }
}

/// The actions of a policy that are required, or those that are not.
fn names(policy: &Value, required: bool) -> Vec<&'static str> {
    let text = policy.to_string();
    let named = ACTIONS.iter().filter(|action| action.required == required);
    named
        .map(|action| action.name)
        .filter(|name| text.contains(&format!("\"{name}\"")))
        .collect()
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn signatures_are_looked_at() {
    let guarded = Guarded::settled();
    let world = &guarded.world;
    let mut command = world.bound("plan", &world.arn);
    command
        .env("AWS_ACCESS_KEY_ID", &guarded.key)
        .env("AWS_SECRET_ACCESS_KEY", "a-wrong-secret");
    let forged = guarded.allowed(&guarded.policy(&[]), || finish(&mut command));
    assert_ended(&forged, 77);
    assert!(said(&forged).contains("SignatureDoesNotMatch"), "{}", said(&forged));
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn looking_needs_what_the_policy_of_an_observer_allows() {
    let guarded = Guarded::settled();
    let policy = guarded.policy(&["--observe"]);
    assert_eq!(names(&policy, true).len(), 2, "{policy}");
    for (verb, denied) in [("plan", 77), ("status", 2)] {
        let (exit, told) = guarded.run(&policy, verb, &[]);
        assert_eq!(exit, 0, "{verb}: {told}");
        guarded.assert_each_is_missed(&policy, verb, &[], denied);
    }
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_sync_needs_what_its_policy_allows() {
    let guarded = Guarded::settled();
    let world = &guarded.world;
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let (policy, flags) = (guarded.policy(&[]), ["--forget", "1s"]);
    assert_eq!(names(&policy, true).len(), 4, "{policy}");
    // The last to be missed is the one for the removal: until then nothing is swapped.
    guarded.assert_each_is_missed(&policy, "sync", &flags, 77);
    assert_eq!(world.targets(), [target(OLD), target(NEW)]);
    let (exit, told) = guarded.run(&policy, "sync", &flags);
    assert_eq!(exit, 0, "{told}");
    assert_eq!(world.targets(), [target(NEW)]);
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn following_needs_what_its_policy_allows_and_tells_what_it_misses() {
    let guarded = Guarded::settled();
    let world = &guarded.world;
    let topic = Topic::new(world, &[None]);
    let policy = guarded.policy(&["--notify-topic", &topic.arn]);
    assert_eq!(names(&policy, false), ["sns:Publish"], "{policy}");
    let start = || {
        let mut command = world.bound("run", &world.arn);
        let flags = ["--forget", "1s", "--notify-topic", &topic.arn];
        Daemon::start(guarded.as_user(command.args(flags)))
    };
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    for action in names(&policy, true) {
        let log = guarded.allowed(&without(&policy, action), || {
            let daemon = start();
            daemon.wait_for_log(&["AccessDenied", action]);
            daemon.stop().1
        });
        assert!(!log.contains("cannot tell the topic"), "{log}");
    }
    guarded.allowed(&policy, || {
        let daemon = start();
        daemon.wait_for_log(&["converged"]);
        daemon.stop();
    });
    assert_eq!(world.targets(), [target(NEW)]);
    assert!(!topic.received(0).is_empty(), "the topic was told");

    world.dns.set(WRITER, Behaviour::a(OLD, 1));
    guarded.allowed(&without(&policy, "sns:Publish"), || {
        let daemon = start();
        daemon.wait_for_log(&["cannot tell the topic", "AccessDenied", "allow sns:Publish on"]);
        daemon.wait_for_log(&["converged"]);
        daemon.stop();
    });
    assert_eq!(
        world.targets(),
        [target(OLD)],
        "a topic that may not be told delays nothing"
    );
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_proxy_needs_its_topic_and_goes_on_without() {
    let guarded = Guarded::settled();
    let world = &guarded.world;
    let topic = Topic::new(world, &[None]);
    let policy = guarded.policy(&["--for", "proxy", "--notify-topic", &topic.arn]);
    assert_eq!(names(&policy, false), ["sns:Publish"], "{policy}");
    let follow = |ip: &str, said: &[&str]| {
        let mut command = world.command("proxy");
        let endpoint = format!("{WRITER}:5432");
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--endpoint",
            &endpoint,
            "--notify-topic",
            &topic.arn,
            "-v",
        ]);
        let asked = world.dns.count(WRITER);
        let daemon = Daemon::start(guarded.as_user(&mut command));
        assert!(
            world.dns.wait_for_queries(WRITER, asked + 1, PATIENCE),
            "{}",
            daemon.log()
        );
        world.dns.set(WRITER, Behaviour::a(ip, 1));
        daemon.wait_for_log(said);
        daemon.stop();
    };
    guarded.allowed(&policy, || follow(NEW, &["told", &topic.arn]));
    assert!(!topic.received(0).is_empty(), "the topic was told");
    let nothing = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Action": "sns:Publish", "Resource": "*"
    }]});
    guarded.allowed(&nothing, || {
        follow(OLD, &["cannot tell the topic", "AccessDenied", "allow sns:Publish on"])
    });
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn an_examination_needs_what_its_policy_allows() {
    let guarded = Guarded::settled();
    guarded.world.put_behind_balancer();
    for (caller, flags) in [
        ("doctor", &["--only", "aws,permission,service"][..]),
        ("write-check", &["--only", "aws,permission,service", "--write-check"]),
    ] {
        let policy = guarded.policy(&["--for", caller]);
        let (exit, told) = guarded.run(&policy, "doctor", flags);
        assert!(exit == 0 && !told.contains("denied"), "{caller}: {told}");
        guarded.assert_each_is_missed(&policy, "doctor", flags, 77);
        let optional = names(&policy, false);
        assert_eq!(optional.len(), 9, "{policy}");
        for action in optional {
            let (exit, told) = guarded.run(&without(&policy, action), "doctor", flags);
            let (service, name) = action.split_once(':').expect("a service");
            // What is known without it, in part or by nobody but EC2, is no failure; what nobody can tell for want of it is.
            let (code, status, found) = match service {
                "ec2" => (0, "skipped", format!("{name} is denied")),
                _ if name == "DescribeRules" => (0, "warning", format!("denied: {name}")),
                _ => (77, "failure", format!("denied: {name}")),
            };
            assert_eq!(exit, code, "{caller} without {action}: {told}");
            assert!(told.contains(status) && told.contains(&found), "{told}");
            assert!(told.contains(action), "{told}");
        }
    }
}

/// A settings file with the group, reached by a role.
fn by_role(folder: &Scratch, arn: &str, role: &str) -> PathBuf {
    let settings = target_group(arn, &format!("{WRITER}:5432")).line(&format!("assume_role = {{ arn = \"{role}\" }}"));
    folder.write("config.toml", &settings)
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn an_assumed_role_needs_what_its_own_policy_allows() {
    let guarded = Guarded::settled();
    let world = &guarded.world;
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let (folder, role) = (Scratch::new(), format!("arn:aws:iam::{ACCOUNT}:role/tether"));
    let config = by_role(&folder, &world.arn, &role);
    let print = |flags: &[&str]| {
        let output = finish(bare_command("").args(["iam", "--config"]).arg(&config).args(flags));
        assert_ended(&output, 0);
        serde_json::from_slice::<Value>(&output.stdout).expect("a policy")
    };
    let (own, of_role) = (print(&[]), print(&["--assumed-role", &role]));
    assert_eq!(names(&own, true), ["sts:AssumeRole"]);
    assert_eq!(names(&of_role, true).len(), 4);

    let user = format!("arn:aws:iam::{ACCOUNT}:user/tether");
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "AWS": user }, "Action": "sts:AssumeRole"
    }]});
    let parameters = format!("RoleName=tether&AssumeRolePolicyDocument={trust}");
    let created = world.moto.call(ANYBODY, IAM, "CreateRole", &parameters);
    assert_eq!(element(&created, "Arn"), role);
    let sync = |policy: &Value| {
        let parameters = format!("RoleName=tether&PolicyName=tether&PolicyDocument={}", widened(policy));
        world.moto.call(ANYBODY, IAM, "PutRolePolicy", &parameters);
        let mut command = world.command("sync");
        command.args(["--forget", "1s", "--config"]).arg(&config);
        guarded.allowed(&own, || finish(guarded.as_user(&mut command)))
    };
    for action in names(&of_role, true) {
        let output = sync(&without(&of_role, action));
        assert_ended(&output, 77);
        assert!(said(&output).contains(action), "without {action}: {}", said(&output));
    }
    assert_ended(&sync(&of_role), 0);
    assert_eq!(world.targets(), [target(NEW)]);
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_role_that_may_not_be_assumed_is_named() {
    let guarded = Guarded::settled();
    let world = &guarded.world;
    // Of a role that moto has it would ask the trust policy alone.
    let (folder, role) = (Scratch::new(), format!("arn:aws:iam::{OTHER_ACCOUNT}:role/tether"));
    let config = by_role(&folder, &world.arn, &role);
    let mut command = world.command("plan");
    command.arg("--config").arg(&config);
    let output = guarded.allowed(&guarded.policy(&[]), || finish(guarded.as_user(&mut command)));
    assert_ended(&output, 77);
    let told = said(&output);
    assert!(told.contains(&role) && told.contains("sts:AssumeRole"), "{told}");
}

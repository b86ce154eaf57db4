//! What each verb calls, as the simulated servers are asked for it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use rds_tether::verbs::iam::Use;
use testkit::dns::Behaviour;
use testkit::elb::Group;
use testkit::settings::{table, target_group};
use testkit::sns;

use super::listed;
use super::world::*;

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:database";
const ROLE: &str = "arn:aws:iam::222233334444:role/tether";

/// Two target groups, one of them in another account, and a topic.
struct Site {
    world: World,
    sns: sns::Server,
    there: String,
    settings: PathBuf,
    _scratch: Scratch,
}

impl Site {
    /// Both groups have what the endpoint names.
    fn settled() -> Self {
        let ours = Group::named("orders").published(|_| ());
        let (world, scratch) = (World::settled_with(ours), Scratch::new());
        let there = world.elb.add_group(Group::named("billing").account("222233334444"));
        world.elb.put_target(&there, OLD, 5432);
        let group = |arn: &str| target_group(arn, &format!("{WRITER}:5432"));
        let settings = group(&world.arn)
            .and(group(&there))
            .line(&format!("assume_role = {{ arn = \"{ROLE}\" }}"))
            .and(table("[notify]").set("sns_topic_arn", TOPIC));
        Self {
            settings: scratch.write("config.toml", &settings),
            sns: sns::Server::start(),
            there,
            world,
            _scratch: scratch,
        }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = self.world.command(verb);
        command.env("AWS_ENDPOINT_URL_SNS", self.sns.url());
        command
    }

    fn configured(&self, verb: &str) -> Command {
        let mut command = self.command(verb);
        command.arg("--config").arg(&self.settings);
        command
    }

    /// What was asked for so far, as policies name it.
    fn asked(&self) -> BTreeSet<String> {
        let calls = self.world.elb.calls().into_iter();
        let mut asked: BTreeSet<String> = calls
            .map(|call| {
                let service = match call.action.as_str() {
                    "AssumeRole" | "GetCallerIdentity" => "sts",
                    action if action.starts_with("DescribeVpcEndpoint") => "ec2",
                    _ => "elasticloadbalancing",
                };
                format!("{service}:{}", call.action)
            })
            .collect();
        if !self.sns.calls().is_empty() {
            asked.insert("sns:Publish".to_owned());
        }
        asked
    }
}

/// What a database is asked for and not AWS.
const OF_DATABASES: &str = "rds-db:connect";

/// What is listed for a caller without these.
fn without(caller: Use, actions: &[&str]) -> BTreeSet<String> {
    let mut listed = listed(caller);
    for action in actions {
        assert!(listed.remove(*action), "{action} is not listed for {caller:?}");
    }
    listed
}

#[test]
fn looking_takes_no_permission_to_write() {
    for verb in ["plan", "status"] {
        let site = Site::settled();
        assert_exit(&mut site.configured(verb), 0);
        let writes = [
            "elasticloadbalancing:RegisterTargets",
            "elasticloadbalancing:DeregisterTargets",
            "sns:Publish",
            OF_DATABASES,
        ];
        assert_eq!(site.asked(), without(Use::Run, &writes), "{verb}");
    }
}

#[test]
fn a_sync_tells_no_topic() {
    let site = Site::settled();
    site.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    assert_exit(site.configured("sync").args(["--forget", "1s"]), 0);
    assert_eq!(site.asked(), without(Use::Run, &["sns:Publish", OF_DATABASES]));
}

#[test]
fn following_takes_all_that_is_listed() {
    let site = Site::settled();
    let daemon = Daemon::start(site.configured("run").args(["--forget", "1s"]));
    daemon.wait_for_log(&["settled"]);
    site.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    site.world
        .wait("both swaps", |calls| count(calls, "Deregister", OLD) >= 2);
    assert!(
        site.sns.wait_for(PATIENCE, |calls| !calls.is_empty()),
        "{}",
        daemon.log()
    );
    assert_eq!(site.world.elb.targets(&site.there).len(), 2, "the old one drains");
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert_eq!(site.asked(), without(Use::Run, &[OF_DATABASES]));
}

#[test]
fn an_examination_takes_all_that_is_listed() {
    for (flags, caller) in [
        (&["--skip", "reach"][..], Use::Doctor),
        (&["--skip", "reach", "--write-check"], Use::WriteCheck),
    ] {
        let site = Site::settled();
        finish(site.configured("doctor").args(flags));
        assert_eq!(site.asked(), listed(caller), "{flags:?}");
    }
}

#[test]
fn a_proxy_calls_sns_alone() {
    let site = Site::settled();
    let endpoint = format!("{WRITER}:5432");
    let mut command = site.command("proxy");
    let daemon = Daemon::start(command.args([
        "--listen",
        "127.0.0.1:0",
        "--endpoint",
        &endpoint,
        "--notify-topic",
        TOPIC,
    ]));
    daemon.wait_for_log(&["started"]);
    assert!(site.world.dns.wait_for_queries(WRITER, 1, PATIENCE));
    site.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    assert!(
        site.sns.wait_for(PATIENCE, |calls| !calls.is_empty()),
        "{}",
        daemon.log()
    );
    assert_eq!(site.asked(), without(Use::Proxy, &[OF_DATABASES]));
}

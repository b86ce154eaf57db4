//! A simulated DNS server and ELBv2 API, and the built binary run against them as a user would type it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::dns::{self, Behaviour};
use crate::elb::{self, Call, Group};
use crate::program::{built, counts};

pub use crate::program::{Daemon, PATIENCE, assert_exit, assert_says, finish, said, wait_until};
pub use crate::scratch::Scratch;

/// The writer endpoint of a cluster.
pub const WRITER: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
/// The reader endpoint of the same cluster.
pub const READER: &str = "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com";
/// The address before a failover.
pub const OLD: &str = "10.0.1.5";
/// The address after it.
pub const NEW: &str = "10.0.2.7";

/// A world with one target group.
#[derive(Debug)]
pub struct World {
    /// The name server.
    pub dns: dns::Server,
    /// The API.
    pub elb: elb::Server,
    /// The target group's ARN.
    pub arn: String,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// The writer endpoint names the old address; the group is empty.
    #[must_use]
    pub fn new() -> Self {
        let dns = dns::Server::start();
        let elb = elb::Server::start();
        let arn = elb.add_group(Group::named("orders"));
        dns.set(WRITER, Behaviour::a(OLD, 1));
        Self { dns, elb, arn }
    }

    /// As [`World::new`], with the old address registered and healthy.
    #[must_use]
    pub fn settled() -> Self {
        let world = Self::new();
        world.elb.put_target(&world.arn, OLD, 5432);
        world.elb.reset_lowest(&world.arn);
        world
    }

    /// As [`World::settled`], with a group of another kind.
    #[must_use]
    pub fn settled_with(group: Group) -> Self {
        let mut world = Self::new();
        world.elb.model(|model, _| model.remove_group(&world.arn));
        world.arn = world.elb.add_group(group);
        world.elb.put_target(&world.arn, OLD, 5432);
        world.elb.reset_lowest(&world.arn);
        world
    }

    /// The binary with a verb, its name server, and nothing else of this machine's environment.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = bare_command(&self.elb.url());
        command.arg(verb).args(["--nameserver", &self.dns.addr().to_string()]);
        command
    }

    /// The binary with a verb, bound by flags to the writer endpoint.
    pub fn bound(&self, verb: &str) -> Command {
        self.bound_by(verb, &[self.dns.addr()])
    }

    /// As [`World::bound`], asking these name servers instead.
    pub fn bound_by(&self, verb: &str, nameservers: &[SocketAddr]) -> Command {
        let mut command = bare_command(&self.elb.url());
        command.arg(verb);
        for nameserver in nameservers {
            command.args(["--nameserver", &nameserver.to_string()]);
        }
        bind(&mut command, &format!("{WRITER}:5432"), &self.arn);
        command
    }

    /// Waits until the calls are as wanted.
    ///
    /// # Panics
    /// If they are not in time.
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&[Call]) -> bool) {
        assert!(
            self.elb.wait_for(PATIENCE, wanted),
            "never happened: {what}\n{}",
            self.story()
        );
    }

    /// The writes so far, in order, as `Register 10.0.1.5:5432` with the outcome where it is an error.
    #[must_use]
    pub fn writes(&self) -> Vec<String> {
        self.elb.writes().iter().map(short).collect()
    }

    /// The registered targets now.
    #[must_use]
    pub fn registered(&self) -> Vec<String> {
        let targets = self.elb.targets(&self.arn).into_iter();
        targets
            .filter(|target| target.state != "draining")
            .map(|target| format!("{}:{}", target.ip, target.port))
            .collect()
    }

    /// How long ago this action was called first, any for `*`: a busy machine takes seconds to start whoever calls.
    ///
    /// # Panics
    /// If nobody has called it.
    #[must_use]
    #[track_caller]
    pub fn since_first(&self, action: &str) -> Duration {
        let calls = self.elb.calls();
        let mut of_action = calls.iter().filter(|call| action == "*" || call.action == action);
        of_action.next().expect("it was called").at.elapsed()
    }

    /// Everything that was called, for a failing test.
    #[must_use]
    pub fn story(&self) -> String {
        self.elb
            .calls()
            .iter()
            .map(|call| format!("  {}\n", short(call)))
            .collect()
    }
}

/// The binary without arguments, its AWS calls going to `url`, or nowhere if it is empty.
#[must_use]
pub fn bare_command(url: &str) -> Command {
    let url = if url.is_empty() { "http://127.0.0.1:1" } else { url };
    let mut command = Command::new(built("rds-tether"));
    command
        .env_clear()
        .envs(counts())
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    command
}

/// A call as one line of a story.
#[must_use]
pub fn short(call: &Call) -> String {
    let action = call.action.trim_end_matches("Targets");
    let targets: Vec<String> = (call.targets.iter())
        .map(|target| {
            let port = target.port.map(|port| format!(":{port}")).unwrap_or_default();
            let zone = target
                .zone
                .as_deref()
                .map(|zone| format!("@{zone}"))
                .unwrap_or_default();
            format!("{}{port}{zone}", target.id)
        })
        .collect();
    let failed = call
        .outcome
        .as_ref()
        .err()
        .map(|code| format!(" -> {code}"))
        .unwrap_or_default();
    format!("{action} {}{failed}", targets.join(" "))
}

/// Whether a call is a write of this action about this target.
#[must_use]
pub fn is(call: &Call, action: &str, id: &str) -> bool {
    call.action.starts_with(action) && call.targets.iter().any(|target| target.id == id)
}

/// How often an action was called about a target.
#[must_use]
pub fn count(calls: &[Call], action: &str, id: &str) -> usize {
    calls.iter().filter(|call| is(call, action, id)).count()
}

/// How often the group was listed.
#[must_use]
pub fn looks(calls: &[Call]) -> usize {
    calls
        .iter()
        .filter(|call| call.action == "DescribeTargetHealth")
        .count()
}

/// The command with an endpoint and a target group to follow it.
pub fn bind<'a>(command: &'a mut Command, endpoint: &str, arn: &str) -> &'a mut Command {
    command.args(["--endpoint", endpoint, "--target-group", arn])
}

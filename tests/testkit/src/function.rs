//! A simulated Lambda, DNS server and ELBv2 API, and the built `bootstrap` between them.
#![allow(
    clippy::disallowed_methods,
    reason = "the absence clocks of a function are those of the machine"
)]

use std::ops::Deref;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::dns::Behaviour;
use crate::elb::{Call, Group};
use crate::lambda::{Function, FunctionError, Invocation, Outcome, Runtime};
use crate::program::built;
use crate::scratch::Scratch;
use crate::settings::{Table, target_group};
use crate::world::{looks, short};

pub use crate::program::PATIENCE;
pub use crate::world::{NEW, OLD, READER, WRITER, count};

/// A function's time-out that leaves enough time for all that a test waits for.
pub const LONG: Duration = Duration::from_secs(60);
/// One that leaves some seconds for tries, on a busy machine, too.
pub const SOME: Duration = Duration::from_secs(8);
/// One that leaves a busy machine the time for a look, and no invocation the time to see the end of an absence of [`OUTLASTS`].
pub const SHORT: Duration = Duration::from_secs(12);
/// How long a target is absent that no invocation of [`SHORT`] forgets.
pub const OUTLASTS: &str = "11s";
/// The tag that keeps the absence clocks.
pub const TAG: &str = "rds-tether:absent";
/// The secret of that tag.
pub const TAG_SECRET: &str = "sixteen or more characters";
/// What the scheduler sends.
pub const TICK: &str = r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#;

/// A world with one target group.
#[derive(Debug)]
pub struct World {
    /// The servers that the function uses.
    outside: crate::world::World,
    /// Lambda.
    pub runtime: Runtime,
    /// The folder of the function's package.
    pub package: Scratch,
}

impl Deref for World {
    type Target = crate::world::World;

    fn deref(&self) -> &Self::Target {
        &self.outside
    }
}

impl World {
    /// The writer endpoint names the old address, which is registered and healthy.
    pub fn settled() -> Self {
        Self {
            outside: crate::world::World::settled(),
            runtime: Runtime::start(),
            package: Scratch::new(),
        }
    }

    /// As [`World::settled`], but a moment after a failover: the endpoint names the new address.
    pub fn failed_over() -> Self {
        let world = Self::settled();
        world.dns.set(WRITER, Behaviour::a(NEW, 1));
        world
    }

    /// A reader endpoint that names the new address; the old one is registered too, and gone for good.
    pub fn reader_left() -> Self {
        let world = Self::settled();
        // Every look is then an answer of its own.
        world.dns.set(READER, Behaviour::a(NEW, 0));
        world.elb.put_target(&world.arn, NEW, 5432);
        world.elb.reset_lowest(&world.arn);
        world
    }

    /// Starts the function with these variables besides those for the servers and the tag.
    pub fn start(&self, variables: &[(&str, &str)]) -> Function {
        let (url, server) = (self.elb.url(), self.dns.addr().to_string());
        let mut all = vec![
            ("AWS_ENDPOINT_URL", url.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("RDS_TETHER_NAMESERVER", server.as_str()),
            ("RDS_TETHER_TAG_KEY", TAG_SECRET),
        ];
        all.extend_from_slice(variables);
        self.start_program(&built("bootstrap"), &all)
    }

    /// Starts another executable of the function, unless it is the built one, with these variables and nothing else.
    #[must_use]
    pub fn start_program(&self, program: &Path, variables: &[(&str, &str)]) -> Function {
        Function::start(&self.runtime, program, self.package.folder(), variables)
    }

    /// Starts the function, bound to the endpoint, and forgetting after that long.
    pub fn bound(&self, host: &str, forget: &str) -> Function {
        self.bound_with(host, forget, &[])
    }

    /// The same with more variables.
    pub fn bound_with(&self, host: &str, forget: &str, variables: &[(&str, &str)]) -> Function {
        let endpoint = format!("{host}:5432");
        let mut all = vec![
            ("RDS_TETHER_ENDPOINT", endpoint.as_str()),
            ("RDS_TETHER_TARGET_GROUP", self.arn.as_str()),
            ("RDS_TETHER_FORGET", forget),
        ];
        all.extend_from_slice(variables);
        self.start(&all)
    }

    /// Adds another group with the old address, and a writer endpoint of this identifier that names it; gives the group's
    /// ARN and the endpoint's host.
    pub fn add_settled(&self, identifier: &str) -> (String, String) {
        let arn = self.elb.add_group(Group::named(identifier));
        let host = format!("{identifier}.cluster-abc123.eu-west-1.rds.amazonaws.com");
        self.dns.set(&host, Behaviour::a(OLD, 1));
        self.elb.put_target(&arn, OLD, 5432);
        (arn, host)
    }

    /// The binding of the writer endpoint, as a table of a settings file.
    pub fn binding(&self) -> Table {
        target_group(&self.arn, &format!("{WRITER}:5432"))
    }

    /// Invokes the function and waits for the report it answers with.
    #[track_caller]
    pub fn ask(&self, payload: &str, timeout: Duration) -> Value {
        let invocation = self.runtime.invoke(payload, timeout);
        self.answer(&invocation)
    }

    /// The report that an invocation is answered with.
    #[track_caller]
    pub fn answer(&self, invocation: &Invocation) -> Value {
        match invocation.wait(LONG) {
            Outcome::Success(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("no report but {other:?}\n{}", self.story()),
        }
    }

    /// What an invocation ends with, a report or an error of the function's own; nothing else does it end with.
    #[track_caller]
    pub fn outcome(&self, invocation: &Invocation) -> Outcome {
        let outcome = invocation.wait(LONG);
        let is_its_own = match &outcome {
            Outcome::Success(_) => true,
            Outcome::Error(error) => error.error_type == "Unsettled",
            _ => false,
        };
        assert!(is_its_own, "{outcome:?}\n{}", self.story());
        outcome
    }

    /// Invokes the function and waits for the error that it must end with.
    #[track_caller]
    pub fn ask_in_vain(&self, payload: &str, timeout: Duration) -> FunctionError {
        self.failure(&self.runtime.invoke(payload, timeout))
    }

    /// The error that an invocation ends with.
    #[track_caller]
    pub fn failure(&self, invocation: &Invocation) -> FunctionError {
        match invocation.wait(LONG) {
            Outcome::Error(error) => error,
            other => panic!("no error but {other:?}\n{}", self.story()),
        }
    }

    /// Waits until DNS has been asked that many times more.
    #[track_caller]
    pub fn wait_for_queries(&self, host: &str, more: usize) {
        let wanted = self.dns.count(host) + more;
        assert!(
            self.dns.wait_for_queries(host, wanted, PATIENCE + LONG),
            "no {wanted} queries for {host}\n{}",
            self.story()
        );
    }

    /// The changes of targets so far, in order, as `Register 10.0.1.5:5432`.
    pub fn changes(&self) -> Vec<String> {
        let calls = self.elb.writes().into_iter().filter(|call| call.tags.is_empty());
        // Zones are left out: how they come about is the command's own story.
        calls
            .map(|mut call| {
                call.targets.iter_mut().for_each(|target| target.zone = None);
                short(&call)
            })
            .collect()
    }

    /// The values that were written to the tag, whether or not that succeeded.
    pub fn tags_written(&self) -> Vec<String> {
        let tags = self.elb.writes().into_iter().flat_map(|call| call.tags);
        tags.inspect(|(key, _)| assert_eq!(key, TAG))
            .map(|(_, value)| value)
            .collect()
    }

    /// The tag's value now; empty if it is not there.
    pub fn tag(&self) -> String {
        self.elb.tags(&self.arn).remove(TAG).unwrap_or_default()
    }

    /// Lets the tag be this, whoever has written it.
    pub fn set_tag(&self, value: &str) {
        self.elb.set_tag(&self.arn, TAG, value);
    }

    /// The addresses registered now.
    pub fn addresses(&self) -> Vec<String> {
        self.registered_in(&self.arn)
    }

    /// The addresses registered now in another group.
    pub fn registered_in(&self, arn: &str) -> Vec<String> {
        let targets = self.elb.targets(arn).into_iter();
        targets
            .filter(|target| target.state != "draining")
            .map(|target| target.ip)
            .collect()
    }

    /// How often the targets were listed.
    pub fn looks(&self) -> usize {
        looks(&self.elb.calls())
    }
}

/// The binding of a group's ARN and an endpoint's host, as a table of a settings file.
pub fn binding((arn, host): &(String, String)) -> Table {
    target_group(arn, &format!("{host}:5432"))
}

/// What a tag says, without its seal, whose last look was `last` ago, since when the old address has been absent for `absent`.
pub fn tag_of_old(last: Duration, absent: Duration, answers: u64) -> String {
    let (last, since) = (secs_ago(last), secs_ago(absent));
    format!("{last} {OLD}/5432={since}+{answers}")
}

/// The second since the epoch that is that long ago.
pub fn secs_ago(ago: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    (now - ago).as_secs()
}

/// How often an action was called.
pub fn times(calls: &[Call], action: &str) -> usize {
    calls.iter().filter(|call| call.action == action).count()
}

/// The names of a list of JSON objects, or the list itself where it is one of strings.
pub fn texts(list: &Value, key: &str) -> Vec<String> {
    let text = |value: &Value| value.get(key).unwrap_or(value).as_str().expect("a text").to_owned();
    list.as_array().expect("a list").iter().map(text).collect()
}

/// The lines of metrics on standard output, oldest first, as soon as there are that many.
#[track_caller]
pub fn metrics(function: &Function, lines: usize) -> Vec<Value> {
    let enough = function.wait_for_stdout(PATIENCE, |said| said.len() >= lines);
    assert!(enough, "not {lines} lines: {:?}", function.stdout());
    function
        .stdout()
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// The log of an invocation that has ended, which must say so.
#[track_caller]
pub fn log(function: &Function, request_id: &str) -> Vec<Value> {
    let is_last =
        |line: &String| line.contains(request_id) && (line.contains("\"done: ") || line.contains("\"failed: "));
    let ended = function.wait_for_stderr(PATIENCE, |said| said.iter().any(is_last));
    assert!(ended, "no last line of {request_id}: {:?}", function.stderr());
    let read = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    let lines = function.stderr().iter().map(read).collect::<Vec<Value>>();
    lines
        .into_iter()
        .filter(|line| line["span"]["request_id"] == request_id)
        .collect()
}

/// Tries all cases at the same time: most of what they do is to wait.
pub fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            let test = &test;
            scope.spawn(move || test(case));
        }
    });
}

//! The two functions, and the world that both look at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testkit::dns::{self, Behaviour};
use testkit::elb::{self, Call, Group};
use testkit::lambda::{Function, Outcome, Runtime};

use crate::memory;

const NAME: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
const OLD: &str = "10.0.1.5";
const NEW: &str = "10.0.2.7";
const PORT: u16 = 5432;
/// What a schedule sends.
const TICK: &str = r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#;
/// A function's time-out, and how long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A DNS server, an ELBv2 server, and a target group with the old address.
pub struct World {
    dns: dns::Server,
    elb: elb::Server,
    arn: String,
}

/// A function and the environment it is started with.
pub struct Side {
    program: PathBuf,
    package: PathBuf,
    environment: Vec<(&'static str, String)>,
}

/// A cold start.
pub struct Cold {
    /// From spawning the process to its request for work.
    pub until_asked: Duration,
    /// From there to its answer.
    pub until_answered: Duration,
    /// The most memory it had resident until it asked for more work, in KiB.
    pub peak_kib: u64,
}

impl World {
    pub fn new() -> Self {
        let (dns, elb) = (dns::Server::start(), elb::Server::start());
        let arn = elb.add_group(Group::named("orders"));
        elb.put_target(&arn, OLD, PORT);
        Self { dns, elb, arn }
    }
}

impl Side {
    /// The function that was built.
    pub fn ours(world: &World) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_bootstrap"));
        let environment = vec![
            ("RDS_TETHER_NAMESERVER", world.dns.addr().to_string()),
            ("RDS_TETHER_ENDPOINT", format!("{NAME}:{PORT}")),
            ("RDS_TETHER_TARGET_GROUP", world.arn.clone()),
        ];
        Self::new(world, program, package("ours"), environment)
    }

    /// The function in Python, started as Lambda's runtime starts it: by a script that awslambdaric does the rest for.
    pub fn theirs(world: &World, interpreter: &Path) -> Self {
        let package = package("theirs");
        let bootstrap = format!(
            "#!{}\nfrom awslambdaric.__main__ import main\nmain([\"awslambdaric\", \"function.handler\"])\n",
            interpreter.display()
        );
        let program = package.join("bootstrap");
        fs::write(&program, bootstrap).expect("the target folder can be written to");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a script can be made executable");
        fs::write(package.join("function.py"), include_str!("function.py"))
            .expect("the target folder can be written to");
        let environment = vec![
            ("NAMESERVER", world.dns.addr().to_string()),
            ("ENDPOINT", format!("{NAME}:{PORT}")),
            ("TARGET_GROUP", world.arn.clone()),
        ];
        Self::new(world, program, package, environment)
    }

    fn new(world: &World, program: PathBuf, package: PathBuf, own: Vec<(&'static str, String)>) -> Self {
        let mut environment = vec![
            ("AWS_ENDPOINT_URL", world.elb.url()),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        environment.extend(own);
        Self {
            program,
            package,
            environment,
        }
    }

    fn start(&self, runtime: &Runtime) -> Function {
        let environment: Vec<(&str, &str)> = (self.environment.iter())
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Function::start(runtime, &self.program, &self.package, &environment)
    }

    /// A cold start that finds everything as it should be.
    pub fn look(&self, world: &World) -> Cold {
        world.dns.set(NAME, Behaviour::a(OLD, 5));
        let (calls, queries) = (world.elb.calls().len(), world.dns.count(NAME));
        let runtime = Runtime::start();
        let invocation = runtime.invoke(TICK, PATIENCE);
        let start = Instant::now();
        let function = self.start(&runtime);
        assert!(runtime.wait_for_nexts(1, PATIENCE), "{:?}", function.stderr());
        let asked = Instant::now();
        let outcome = invocation.wait(PATIENCE);
        let answered = Instant::now();
        assert!(runtime.wait_for_nexts(2, PATIENCE), "{:?}", function.stderr());
        let peak_kib = memory::kib(function.id(), "VmHWM");
        // What is compared must do the same.
        let Outcome::Success(said) = outcome else {
            panic!("{}: {outcome:?}: {:?}", self.program.display(), function.stderr())
        };
        let calls = &world.elb.calls()[calls..];
        assert!(said.contains(OLD), "{said}");
        assert!(calls.iter().any(|call| call.action == "DescribeTargetHealth"));
        assert!(!calls.iter().any(Call::is_write));
        assert!(world.dns.count(NAME) > queries);
        Cold {
            until_asked: asked - start,
            until_answered: answered - asked,
            peak_kib,
        }
    }

    /// How long a cold start takes to register a new address.
    pub fn register(&self, world: &World) -> Duration {
        world.dns.set(NAME, Behaviour::a(NEW, 5));
        let before = world.elb.calls().len();
        let registered = |calls: &[Call]| {
            let mut new = calls.iter().skip(before);
            new.find(|call| call.action == "RegisterTargets").map(|call| call.at)
        };
        let runtime = Runtime::start();
        let _invocation = runtime.invoke(TICK, PATIENCE);
        let start = Instant::now();
        let function = self.start(&runtime);
        let is_registered = world.elb.wait_for(PATIENCE, |calls| registered(calls).is_some());
        assert!(is_registered, "{:?}", function.stderr());
        drop(function);
        let targets = world.elb.targets(&world.arn);
        assert!(targets.iter().any(|target| target.ip == NEW));
        world.elb.remove_target(&world.arn, NEW, PORT);
        registered(&world.elb.calls()).expect("seen above") - start
    }
}

/// The folder of a function's package, below the target folder.
fn package(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-lambda").join(name);
    fs::create_dir_all(&folder).expect("the target folder can be written to");
    folder
}

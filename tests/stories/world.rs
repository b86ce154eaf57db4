//! A simulated DNS server and ELBv2 API, and the built binary run against them as a user would type it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use testkit::dns::{self, Behaviour};
use testkit::elb::{self, Call, Group};

/// How long a test waits for what must happen; only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const WRITER: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
pub const READER: &str = "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com";
pub const OLD: &str = "10.0.1.5";
pub const NEW: &str = "10.0.2.7";

/// A world with one target group.
pub struct World {
    pub dns: dns::Server,
    pub elb: elb::Server,
    pub arn: String,
}

impl World {
    /// The writer endpoint names the old address; the group is empty.
    pub fn new() -> Self {
        let dns = dns::Server::start();
        let elb = elb::Server::start();
        let arn = elb.add_group(Group::named("orders"));
        dns.set(WRITER, Behaviour::a(OLD, 1));
        Self { dns, elb, arn }
    }

    /// The same with the old address registered and healthy.
    pub fn settled() -> Self {
        let world = Self::new();
        world.elb.put_target(&world.arn, OLD, 5432);
        world.elb.reset_lowest(&world.arn);
        world
    }

    /// As [`World::settled`], with a group of another kind.
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
        let mut command = self.command(verb);
        command.args(["--endpoint", &format!("{WRITER}:5432"), "--target-group", &self.arn]);
        command
    }

    /// Waits until the calls are as wanted.
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&[Call]) -> bool) {
        assert!(
            self.elb.wait_for(PATIENCE, wanted),
            "never happened: {what}\n{}",
            self.story()
        );
    }

    /// The writes so far, in order, as `Register 10.0.1.5:5432` with the outcome where it is an error.
    pub fn writes(&self) -> Vec<String> {
        self.elb.writes().iter().map(short).collect()
    }

    /// The registered targets now.
    pub fn registered(&self) -> Vec<String> {
        let targets = self.elb.targets(&self.arn).into_iter();
        targets
            .filter(|target| target.state != "draining")
            .map(|target| format!("{}:{}", target.ip, target.port))
            .collect()
    }

    /// Everything that was called, for a failing test.
    pub fn story(&self) -> String {
        self.elb
            .calls()
            .iter()
            .map(|call| format!("  {}\n", short(call)))
            .collect()
    }
}

/// The binary without arguments, its AWS calls going to `url`.
pub fn bare_command(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rds-tether"));
    command
        .env_clear()
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    command
}

fn short(call: &Call) -> String {
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
pub fn is(call: &Call, action: &str, id: &str) -> bool {
    call.action.starts_with(action) && call.targets.iter().any(|target| target.id == id)
}

/// How often an action was called about a target.
pub fn count(calls: &[Call], action: &str, id: &str) -> usize {
    calls.iter().filter(|call| is(call, action, id)).count()
}

/// How often the group was listed.
pub fn looks(calls: &[Call]) -> usize {
    calls
        .iter()
        .filter(|call| call.action == "DescribeTargetHealth")
        .count()
}

/// Runs to the end, which must come in time.
#[track_caller]
pub fn finish(command: &mut Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let (sender, receiver) = std::sync::mpsc::channel();
    let id = child.id();
    thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("its output is read"),
        Err(_) => {
            signal(id, "KILL");
            panic!("it did not end within {PATIENCE:?}");
        }
    }
}

/// The exit code is as given; says what the process said.
#[track_caller]
pub fn assert_exit(command: &mut Command, code: i32) -> String {
    let output = finish(command);
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    said(&output)
}

/// The text has all of the parts.
#[track_caller]
pub fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "nothing of {part:?} in:\n{text}");
    }
}

/// What an ended process said, for assertions and messages.
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn signal(id: u32, name: &str) {
    // The standard library sends no signals but KILL, and this crate has no unsafe code.
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {id}");
}

/// The command with an endpoint and a target group to follow it.
pub fn bind<'a>(command: &'a mut Command, endpoint: &str, arn: &str) -> &'a mut Command {
    command.args(["--endpoint", endpoint, "--target-group", arn])
}

/// A directory of one test, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty directory whose path is short enough for a socket in it.
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tether-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, replacing it if it exists, and gives its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the file is written");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running daemon whose log is read along; killed when dropped.
pub struct Daemon {
    pub child: Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

impl Daemon {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self::spawn(command.args(["--log-format", "text"]))
    }

    /// As [`Daemon::start`], with the log format that the command asks for.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let lines = BufReader::new(child.stderr.take().expect("piped"));
        let shared = Arc::clone(&log);
        let reader = Some(thread::spawn(move || read_log(lines, &shared)));
        Self { child, log, reader }
    }

    /// Waits for a line of the log that contains all of `parts`, and returns it.
    #[track_caller]
    pub fn wait_for_log(&self, parts: &[&str]) -> String {
        let has = |line: &&String| parts.iter().all(|part| line.contains(part));
        let (lines, more) = &*self.log;
        let lines = lines.lock().expect("the log");
        let (lines, timeout) =
            (more.wait_timeout_while(lines, PATIENCE, |lines| !lines.iter().any(|line| has(&line)))).expect("the log");
        assert!(!timeout.timed_out(), "no line with {parts:?} in:\n{}", lines.join("\n"));
        lines.iter().find(has).cloned().expect("found just above")
    }

    pub fn log(&self) -> String {
        self.log.0.lock().expect("the log").join("\n")
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Sends SIGTERM and waits for the end; gives the whole log.
    #[track_caller]
    pub fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for the end that a signal has been sent for; gives the whole log.
    #[track_caller]
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.wait();
        // The last lines may still be in the pipe.
        let read = self.reader.take().map(JoinHandle::join);
        assert!(read.is_none_or(|read| read.is_ok()), "the log is read to its end");
        (status, self.log())
    }

    /// Waits for the end, which must come in time.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status;
            }
            // Only the end of a process has no event that the standard library could wait for with a limit.
            thread::park_timeout(Duration::from_millis(5));
        }
        panic!("it did not end within {PATIENCE:?}:\n{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_log(lines: BufReader<impl Read>, log: &(Mutex<Vec<String>>, Condvar)) {
    for line in lines.lines().map_while(Result::ok) {
        log.0.lock().expect("the log").push(line);
        log.1.notify_all();
    }
}

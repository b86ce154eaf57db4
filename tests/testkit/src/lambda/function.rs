use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::time::Instant;

use super::runtime::Entrance;
use super::serve::Door;
use super::{FUNCTION_NAME, REGION, Runtime};
use crate::program::counts;

/// How many lines of each output are kept, the newest; far more than a test reads.
pub const LINES_KEPT: usize = 100_000;

/// Far longer than a busy machine takes to stop a process.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// What Lambda tells every process of a custom runtime besides the API's address and the task's folder ("Defined
/// runtime environment variables" in the Lambda Developer Guide); credentials are for the test to give.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("AWS_DEFAULT_REGION", REGION),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
    ("AWS_LAMBDA_FUNCTION_NAME", FUNCTION_NAME),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
    ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/tether"),
    (
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "2026/01/01/[$LATEST]00000000000000000000000000000000",
    ),
    ("AWS_REGION", REGION),
    ("LANG", "en_US.UTF-8"),
    ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
    ("TZ", ":UTC"),
    ("_HANDLER", "bootstrap"),
];

/// An executable that runs as Lambda would run it; killed when this is dropped.
#[derive(Debug)]
pub struct Function {
    program: PathBuf,
    task_root: PathBuf,
    environment: Vec<(String, String)>,
    entrance: Entrance,
    process: Option<Process>,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    door: Door,
    readers: [JoinHandle<()>; 2],
}

/// Starting, stopping, freezing.
impl Function {
    /// Starts `program` in the folder `task_root`, with an environment of what Lambda sets and of `extra`, which
    /// wins, and nothing else.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(runtime: &Runtime, program: &Path, task_root: &Path, extra: &[(&str, &str)]) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).expect("the current folder exists");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut function = Self {
            program: absolute(program),
            task_root: absolute(task_root),
            environment: extra.iter().map(owned).collect(),
            entrance: runtime.entrance(),
            process: None,
            stdout: Arc::default(),
            stderr: Arc::default(),
        };
        function.restart();
        function
    }

    /// Kills the process, if there is one, and starts another: the next invocation is a cold one.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn restart(&mut self) {
        self.stop();
        let door = self.entrance.open().expect("loopback has a free port");
        let mut child = self
            .command(&door)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.program.display()));
        let readers = [
            self.stdout.read(child.stdout.take().expect("stdout is a pipe")),
            self.stderr.read(child.stderr.take().expect("stderr is a pipe")),
        ];
        self.process = Some(Process { child, door, readers });
    }

    /// Kills the process, frozen or not, and waits for its end and for the last of its output. What it was at work on
    /// times out.
    pub fn stop(&mut self) {
        let Some(Process {
            mut child,
            door,
            readers,
        }) = self.process.take()
        else {
            return;
        };
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        self.entrance.close(&door);
        for reader in readers {
            let _ = reader.join();
        }
    }

    /// Stops the process as Lambda does between invocations; what is sent to it waits.
    ///
    /// # Panics
    /// If there is no process.
    pub fn freeze(&self) {
        let id = self.signal("STOP");
        let deadline = Instant::now() + STOPPED_WITHIN;
        // The signal has been sent, but each thread runs on until it is next looked at; /proc cannot be waited for.
        while !is_stopped(id) {
            assert!(Instant::now() < deadline, "process {id} does not stop");
            thread::yield_now();
        }
    }

    /// Lets the process go on after [`Function::freeze`].
    ///
    /// # Panics
    /// If there is no process.
    pub fn thaw(&self) {
        let _ = self.signal("CONT");
    }

    /// The process's id.
    ///
    /// # Panics
    /// If there is no process.
    pub fn id(&self) -> u32 {
        let process = self.process.as_ref().expect("the function has not been stopped");
        process.child.id()
    }

    /// Waits for the process to end by itself; none if it did not in time, or was stopped.
    pub fn wait_for_exit(&mut self, within: Duration) -> Option<ExitStatus> {
        let process = self.process.as_mut()?;
        // Its outputs close when it ends, and that can be waited for with a time-out.
        let ended = self.stdout.wait_for_end(within) && self.stderr.wait_for_end(within);
        if !ended {
            return None;
        }
        let status = process.child.wait().ok();
        self.entrance.close(&process.door);
        status
    }

    fn command(&self, door: &Door) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.task_root)
            .env_clear()
            .envs(counts())
            .envs(ENVIRONMENT.iter().copied())
            .env("AWS_LAMBDA_RUNTIME_API", door.address.to_string())
            .env("LAMBDA_TASK_ROOT", &self.task_root)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn signal(&self, name: &str) -> u32 {
        let id = self.id();
        let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "SIG{name} could not be sent to {id}"
        );
        id
    }
}

/// Whether none of the process's threads runs; where there is no /proc, that is assumed.
fn is_stopped(id: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses and may hold some.
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    })
}

/// What the function says: the lines of all its processes so far, at most [`LINES_KEPT`] of each kind.
impl Function {
    /// The lines of standard output.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lines()
    }

    /// The lines of standard error.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lines()
    }

    /// Waits until the lines of standard output satisfy `enough`, and says whether they did in time.
    pub fn wait_for_stdout(&self, within: Duration, enough: impl FnMut(&[String]) -> bool) -> bool {
        self.stdout.wait_for(within, enough)
    }

    /// Waits until the lines of standard error satisfy `enough`, and says whether they did in time.
    pub fn wait_for_stderr(&self, within: Duration, enough: impl FnMut(&[String]) -> bool) -> bool {
        self.stderr.wait_for(within, enough)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One of a function's outputs, through all its processes.
#[derive(Debug, Default)]
struct Output {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: VecDeque<String>,
    open: bool,
}

impl Output {
    fn read(self: &Arc<Self>, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        self.said().open = true;
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                output.say(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
                line.clear();
            }
            output.said().open = false;
            output.changed.notify_all();
        })
    }

    fn say(&self, line: String) {
        let mut said = self.said();
        if said.lines.len() == LINES_KEPT {
            said.lines.pop_front();
        }
        said.lines.push_back(line);
        self.changed.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        self.said().lines.iter().cloned().collect()
    }

    fn wait_for(&self, within: Duration, mut enough: impl FnMut(&[String]) -> bool) -> bool {
        self.wait_while(within, |said| !enough(said.lines.make_contiguous()))
    }

    fn wait_for_end(&self, within: Duration) -> bool {
        self.wait_while(within, |said| said.open)
    }

    fn wait_while(&self, within: Duration, condition: impl FnMut(&mut Said) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.said(), within, condition);
        let (_said, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }

    /// A test that fails inside a closure poisons the lock; dropping the function must not panic again.
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Programs that a test starts: the built ones, and the servers that tests/run provides. Each ends with its test.
#![allow(
    clippy::disallowed_methods,
    reason = "real processes run in real time, and the environment says where they are"
)]

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a test waits for what must happen; only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a program of somebody else's may take to start, or to do its work, on a busy machine.
pub const FOREIGN_MAX: Duration = Duration::from_secs(600);
/// How long what has no event of its own is left alone between two looks: ever longer, because most of it comes soon, and
/// because looking takes time from those who are to do it.
const POLLED_FIRST_AFTER: Duration = Duration::from_millis(5);
const POLLED_AFTER_MAX: Duration = Duration::from_millis(80);
/// How often a free port is picked before giving up: another process may take it first.
const PORTS_TRIED: usize = 8;

/// Where tests/run put a program or a folder.
///
/// # Panics
/// If it did not.
#[must_use]
pub fn provided(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    PathBuf::from(path.unwrap_or_else(|| panic!("{variable} is not set; start these tests with tests/run")))
}

/// An executable of the package whose tests these are, as cargo has built it.
///
/// # Panics
/// If there is none of this name.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let variable = format!("CARGO_BIN_EXE_{name}");
    let path = std::env::var_os(&variable);
    PathBuf::from(path.unwrap_or_else(|| panic!("{variable} is not set; start these tests with cargo")))
}

/// Where an executable that counts which lines run leaves its counts: set by tests/coverage, else nowhere.
#[must_use]
pub fn counts() -> Option<(&'static str, OsString)> {
    let variable = "LLVM_PROFILE_FILE";
    std::env::var_os(variable).map(|file| (variable, file))
}

/// A program with nothing of this machine's environment but the path to other programs.
pub fn foreign(program: impl Into<OsString>) -> Command {
    let mut command = Command::new(program.into());
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null());
    command
}

/// A port of loopback that nobody has at the moment.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its number").port()
}

/// Starts something that cannot pick a port by itself. None from `start` means that another process was faster.
///
/// # Panics
/// If another process is faster every time.
#[track_caller]
pub fn on_a_free_port<T>(start: impl FnMut(u16) -> Option<T>) -> T {
    let started = std::iter::repeat_with(free_port).take(PORTS_TRIED).find_map(start);
    started.unwrap_or_else(|| panic!("no port in {PORTS_TRIED} tries"))
}

/// Whether a process listens on a port of loopback itself. That a connection is accepted there says less: another process may
/// have been faster to take the port, and a client that asks a free port often enough is answered by itself.
#[must_use]
pub fn listens(process: u32, port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    // Fields as in proc(5): the local address in hexadecimal, the state (0A listens), and the socket's inode.
    let local = format!("0100007F:{port:04X}");
    let listening = sockets.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1) == Some(&local.as_str()) && fields.get(3) == Some(&"0A");
        is_it.then(|| format!("socket:[{}]", fields.get(9).unwrap_or(&"")))
    });
    let listening: Vec<String> = listening.collect();
    let open = fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    open.filter_map(|file| fs::read_link(file.path()).ok())
        .any(|file| listening.iter().any(|socket| file.as_os_str() == socket.as_str()))
}

/// Waits until something is so that has no event of its own.
///
/// # Panics
/// If it is not within [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(comes_true(PATIENCE, is_so), "never happened: {what}");
}

/// Waits until something is so that has no event of its own; whether it was within the time.
pub fn comes_true(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    let mut pause = POLLED_FIRST_AFTER;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::park_timeout(pause);
        pause = POLLED_AFTER_MAX.min(pause * 2);
    }
}

/// Runs to the end, which must come within [`PATIENCE`].
///
/// # Panics
/// If it does not, or the program does not start.
#[track_caller]
pub fn finish(command: &mut Command) -> Output {
    finish_within(PATIENCE, command)
}

/// Runs to the end, which must come within this time.
///
/// # Panics
/// If it does not, or the program does not start.
#[track_caller]
pub fn finish_within(limit: Duration, command: &mut Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (sender, receiver) = channel();
    let id = child.id();
    thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(limit) {
        Ok(output) => output.expect("its output is read"),
        Err(_) => {
            signal(id, "KILL");
            panic!("{command:?} did not end within {limit:?}");
        }
    }
}

/// Runs a program of somebody else's to the end, which must be a good one, and says what was said.
///
/// # Panics
/// If it is none.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = finish_within(FOREIGN_MAX, command);
    let said = said(&output);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

/// Runs to the end, which must have this exit code, and says what was said.
///
/// # Panics
/// If it has another.
#[track_caller]
pub fn assert_exit(command: &mut Command, code: i32) -> String {
    let output = finish(command);
    assert_ended(&output, code);
    said(&output)
}

/// What has ended has this exit code.
///
/// # Panics
/// If it has another.
#[track_caller]
pub fn assert_ended(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
}

/// The text has all of the parts.
///
/// # Panics
/// If it lacks one.
#[track_caller]
pub fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "nothing of {part:?} in:\n{text}");
    }
}

/// What an ended process said, for assertions and messages.
#[must_use]
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Nothing that was said does anything on a terminal but end a line.
///
/// # Panics
/// If something does.
#[track_caller]
pub fn assert_tame(said: &[u8]) {
    let said = String::from_utf8_lossy(said);
    let is_wild = |char: &char| {
        (char.is_control() && *char != '\n')
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let wild: Vec<char> = said.chars().filter(is_wild).collect();
    assert!(wild.is_empty(), "{wild:?} in {said:?}");
}

/// Sends a signal to a process, by the signal's name without SIG.
///
/// # Panics
/// If it cannot be sent.
pub fn signal(id: u32, name: &str) {
    // The standard library sends no signals but KILL, and this crate has no unsafe code.
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {id}");
}

/// A running program whose log, on standard error, is read along; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    /// The process.
    pub child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Log {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    is_over: bool,
}

impl Log {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first line that is as wanted; none if it did not come in time, or can come no more.
    fn wait_for(&self, limit: Duration, is_wanted: impl Fn(&str) -> bool) -> Option<String> {
        let found = |said: &Said| said.lines.iter().find(|line| is_wanted(line)).cloned();
        let waiting = |said: &mut Said| found(said).is_none() && !said.is_over;
        let waited = self.more.wait_timeout_while(self.said(), limit, waiting);
        let (said, _) = waited.unwrap_or_else(PoisonError::into_inner);
        found(&said)
    }

    fn read(&self, lines: BufReader<impl Read>) {
        // It is read to its end, so that the program never waits for a reader.
        for line in lines.lines().map_while(Result::ok) {
            self.said().lines.push(line);
            self.more.notify_all();
        }
        self.said().is_over = true;
        self.more.notify_all();
    }
}

impl Daemon {
    /// Starts the built program with a log of text.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self::spawn(command.args(["--log-format", "text"]))
    }

    /// Starts any program as its command says.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_into(command, Stdio::null())
    }

    /// The same with its standard output put there.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn spawn_into(command: &mut Command, output: impl Into<Stdio>) -> Self {
        let mut child = command
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Log::default());
        let lines = BufReader::new(child.stderr.take().expect("piped"));
        let shared = Arc::clone(&log);
        let reader = Some(thread::spawn(move || shared.read(lines)));
        Self { child, log, reader }
    }

    /// Starts a server and waits for the line of its log that has one of `ready` in it, which is given.
    ///
    /// # Errors
    /// What it said, if it ended before.
    ///
    /// # Panics
    /// If it does neither in time.
    #[track_caller]
    pub fn serve(command: &mut Command, ready: &[&str]) -> Result<(Self, String), String> {
        let daemon = Self::spawn(command.stdin(Stdio::null()));
        let line = daemon
            .log
            .wait_for(FOREIGN_MAX, |line| ready.iter().any(|part| line.contains(part)));
        match line {
            Some(line) => Ok((daemon, line)),
            None if daemon.log.said().is_over => Err(daemon.log()),
            None => panic!("not ready within {FOREIGN_MAX:?}:\n{}", daemon.log()),
        }
    }

    /// Waits for a line of the log that contains all of `parts`, and gives it.
    ///
    /// # Panics
    /// If it does not come in time.
    #[track_caller]
    pub fn wait_for_log(&self, parts: &[&str]) -> String {
        let line = self
            .log
            .wait_for(PATIENCE, |line| parts.iter().all(|part| line.contains(part)));
        line.unwrap_or_else(|| panic!("no line with {parts:?} in:\n{}", self.log()))
    }

    /// What stands after these words in the line of the log that first has them, up to a blank or a slash: an address.
    ///
    /// # Panics
    /// If it does not come in time.
    #[track_caller]
    pub fn told_after(&self, words: &str) -> String {
        let line = self.wait_for_log(&[words]);
        let (_, rest) = line.split_once(words).expect("the line it waited for");
        rest.split([' ', '/']).next().unwrap_or_default().to_owned()
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.said().lines.join("\n")
    }

    /// Sends a signal, by its name without SIG.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Sends SIGTERM and waits for the end; gives the whole log.
    ///
    /// # Panics
    /// If it does not end in time.
    #[track_caller]
    pub fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for the end that a signal has been sent for; gives the whole log.
    ///
    /// # Panics
    /// If it does not end in time.
    #[track_caller]
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.wait();
        // The last lines may still be in the pipe.
        let read = self.reader.take().map(JoinHandle::join);
        assert!(read.is_none_or(|read| read.is_ok()), "the log is read to its end");
        (status, self.log())
    }

    /// Waits for the end, which must come in time.
    ///
    /// # Panics
    /// If it does not.
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

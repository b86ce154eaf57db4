//! Server programs that tests/run provides, started by a test and ended with it, and folders for their files.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take to start on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// Where tests/run put a program.
pub fn path(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    PathBuf::from(path.unwrap_or_else(|| panic!("{variable} is not set; start these tests with tests/run")))
}

/// A running server program; killed when dropped.
pub struct Program {
    child: Child,
}

impl Program {
    /// Starts a program and waits for the line of its standard error that has one of `ready` in it.
    ///
    /// # Errors
    /// What it said, if it ended before.
    pub fn start(command: &mut Command, ready: &[&str]) -> Result<(Self, String), String> {
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = started.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = BufReader::new(child.stderr.take().expect("piped"));
        let program = Self { child };
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                // It is read to its end, so that the program never waits for a reader.
                let _ = sender.send(line);
            }
        });
        let line = wait_for(&receiver, ready)?;
        Ok((program, line))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(lines: &Receiver<String>, ready: &[&str]) -> Result<String, String> {
    let end = Instant::now() + START_MAX;
    let mut said = String::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if ready.iter().any(|part| line.contains(part)) => return Ok(line),
            Ok(line) => said.extend([line.as_str(), "\n"]),
            Err(RecvTimeoutError::Disconnected) => return Err(said),
            Err(RecvTimeoutError::Timeout) => panic!("not ready within {START_MAX:?}:\n{said}"),
        }
    }
}

/// A folder for one test's files; removed when dropped.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
}

impl Folder {
    /// An empty folder. Not below the target folder: the path of a socket in it must stay short.
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "rds-tether-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path }
    }

    /// Writes a file into it and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a folder of temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

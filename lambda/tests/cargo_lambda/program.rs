//! cargo-lambda, which tests/run provides, run with the commands of the README.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use testkit::program::{comes_true, foreign, provided};

const CARGO_LAMBDA: &str = "RDS_TETHER_TEST_CARGO_LAMBDA";
const README: &str = include_str!("../../README.md");

/// What cargo tells a test about itself and would take for its own settings, or build dependencies anew for (ring's build
/// script reads CARGO_PKG_NAME and others); and what would reach the function from this machine.
const NOT_PASSED_ON: &[&str] = &[
    "AWS_",
    "CARGO_BIN_EXE_",
    "CARGO_CRATE_",
    "CARGO_LAMBDA_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_",
    "CARGO_TARGET_TMPDIR",
    "LD_LIBRARY_PATH",
    "RDS_TETHER_",
];

/// The workspace's folder.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("a member lies below its workspace").to_owned()
}

/// The arguments of a command for cargo, which must be a line of the README.
#[track_caller]
pub fn documented(line: &str) -> Vec<String> {
    let found = README.lines().any(|documented| documented == line);
    assert!(found, "lambda/README.md has no line {line:?}");
    // No argument there has a blank in it.
    let words = line.split_whitespace().skip(1);
    words.map(|word| word.trim_matches('\'').to_owned()).collect()
}

/// The Python that cargo-lambda was installed with.
pub fn python() -> Command {
    foreign(provided(CARGO_LAMBDA).with_file_name("python"))
}

/// cargo-lambda in the workspace's folder, its standard output and error going to two files of the folder.
pub fn command<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>, folder: &Path) -> Command {
    let program = provided(CARGO_LAMBDA);
    // Zig stands beside it.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = program.parent().map(Path::to_owned);
    let path = std::env::join_paths(beside.into_iter().chain(std::env::split_paths(&path))).expect("a PATH");
    let create = |name| File::create(folder.join(name)).expect("a file for its output");
    let mut command = Command::new(&program);
    for (name, _) in std::env::vars_os() {
        let is_ours = |start: &str| name.to_string_lossy().starts_with(start);
        if NOT_PASSED_ON.iter().any(|start| is_ours(start)) {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .current_dir(root())
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(create("stdout"))
        .stderr(create("stderr"));
    command
}

/// What a command has said so far; standard error comes first.
pub fn said(folder: &Path) -> String {
    let read = |name| fs::read(folder.join(name)).unwrap_or_default();
    let said = [read("stderr"), read("stdout")].concat();
    String::from_utf8_lossy(&said).into_owned()
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// What it said, if it failed or did not end in time.
pub fn finish(command: &mut Command, folder: &Path, within: Duration) -> Result<String, String> {
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    match Tree(child).wait(within) {
        Some(status) if status.success() => Ok(fs::read_to_string(folder.join("stdout")).expect("its output")),
        Some(status) => Err(format!("{command:?}: {status}\n{}", said(folder))),
        None => Err(format!("{command:?} did not end within {within:?}\n{}", said(folder))),
    }
}

/// A process with all that it starts; ended when dropped.
pub struct Tree(pub Child);

/// How long cargo-lambda may take to end what it has started.
const END_MAX: Duration = Duration::from_secs(10);

impl Tree {
    /// Waits for the end; none if it does not come in time.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let mut status = None;
        // Only the end of a process has no event that the standard library could wait for with a limit.
        comes_true(within, || {
            status = self.0.try_wait().expect("its status");
            status.is_some()
        });
        status
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What it starts has process groups of its own, so that they must be found before their parent has gone.
        let below = below(self.0.id());
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            signal("TERM", self.0.id());
            self.wait(END_MAX);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
        for (id, started) in below {
            if stat(id).is_some_and(|now| now.started == started) {
                signal("KILL", id);
            }
        }
    }
}

fn signal(name: &str, id: u32) {
    // It may have ended by itself.
    let _ = Command::new("kill")
        .args([format!("-{name}"), id.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// What tells one process from a later one of the same number.
struct Stat {
    parent: u32,
    started: u64,
}

fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before it is in parentheses and may hold some.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// How many processes have this text in their environment.
pub fn processes_with(text: &str) -> usize {
    let has = |environment: &Vec<u8>| {
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == text.as_bytes())
    };
    let environments = ids()
        .into_iter()
        .filter_map(|id| fs::read(format!("/proc/{id}/environ")).ok());
    environments.filter(has).count()
}

fn ids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The children of a process, their children and so on, with the time of their start.
fn below(root: u32) -> Vec<(u32, u64)> {
    let all: Vec<(u32, Stat)> = ids().into_iter().filter_map(|id| Some((id, stat(id)?))).collect();
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (id, stat) in all.iter().filter(|(_, stat)| stat.parent == parent) {
            found.push((*id, stat.started));
            parents.push(*id);
        }
    }
    found
}

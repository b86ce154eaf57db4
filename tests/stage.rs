//! Namespaces of its own for each test, which leave nothing behind, however the test ends.
#![allow(clippy::disallowed_methods, reason = "what takes too long is ended")]

use std::any::type_name;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::thread;
use std::time::Duration;

use testkit::namespace;
pub use testkit::namespace::BlackHole;
use testkit::program::{comes_true, said};
use testkit::scratch::Scratch;

/// Set in the process that plays: the folder for its files.
const INSIDE: &str = "RDS_TETHER_TEST_STAGE";
/// What the test wants to be printed.
const TOLD: &str = "told";
/// There when the test has come to its end.
const PLAYED: &str = "played";
/// No test takes longer, on any machine.
const PLAY_MAX: Duration = Duration::from_secs(300);

/// Where a test plays.
pub struct Stage {
    folder: PathBuf,
}

/// Plays a test, whose function calls this and nothing else, in a process that is the first of its PID namespace.
///
/// So its end ends everything that it has started; and it ends when this one does, which holds its standard input open.
#[allow(clippy::print_stdout, reason = "what it was told, cargo shows with --show-output")]
pub fn play<F: FnOnce(&Stage)>(test: F) {
    if let Some(folder) = env::var_os(INSIDE) {
        let folder = PathBuf::from(folder);
        set();
        let stage = Stage { folder };
        test(&stage);
        fs::write(stage.path(PLAYED), "").expect("the folder is there");
        return;
    }
    let name = type_name::<F>();
    let name = name.strip_suffix("::{{closure}}").unwrap_or(name);
    let (_, name) = name.split_once("::").expect("a path within this program");
    let folder = Scratch::new();
    let program = env::current_exe().expect("this program has a path");
    let mut inside = namespace::command(&program)
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(INSIDE, folder.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare (Debian package util-linux) starts");
    let held = inside.stdin.take();
    let output = inside.wait_with_output().expect("what it says is read");
    drop(held);
    let told = fs::read_to_string(folder.path(TOLD)).unwrap_or_default();
    print!("{told}");
    let has_played = output.status.success() && folder.path(PLAYED).exists();
    // Indented, so that nobody takes the inner result for this one's.
    let said = said(&output).replace('\n', "\n    ");
    assert!(
        has_played,
        "{name} within its namespaces: {}\n    {said}",
        output.status
    );
}

impl Stage {
    /// The path of a file of this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its folder, which other users may enter.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Says something that readers of the tests' output want to know.
    pub fn tell(&self, text: &str) {
        let file = OpenOptions::new().append(true).create(true).open(self.path(TOLD));
        writeln!(file.expect("the folder is there"), "{text}").expect("room");
    }

    /// An address of the stage's own, which exists nowhere else.
    pub fn address(&self, ip: &str) {
        namespace::run(Command::new("ip").args(["address", "add", ip, "dev", "lo"]), "");
    }
}

fn set() {
    thread::spawn(|| {
        thread::sleep(PLAY_MAX);
        let _ = writeln!(std::io::stderr(), "it takes longer than {PLAY_MAX:?}");
        exit(1);
    });
    namespace::set();
}

/// Polls: for what has no event that could be waited for.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, is_so: impl FnMut() -> bool) {
    assert!(comes_true(limit, is_so), "not within {limit:?}: {what}");
}

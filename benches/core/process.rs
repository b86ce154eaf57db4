//! The processes under measurement, and what the kernel says of them.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::memory;

/// USER_HZ, which is 100 on every Linux whatever its timer does.
const TICKS_PER_SECOND: f64 = 100.0;
/// A process that waits this long without having grown is taken to wait for its reader; no server here takes as long.
const BLOCKED_AFTER: Duration = Duration::from_millis(200);
/// How long a process may take to come to its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program with nothing of this machine's environment, its AWS calls going to `url`.
pub fn command(program: impl Into<PathBuf>, url: &str) -> Command {
    let mut command = Command::new(program.into());
    command
        .env_clear()
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A build of the program.
#[derive(Clone)]
pub struct Build {
    /// What it is called where figures are printed.
    pub name: String,
    program: PathBuf,
}

impl Build {
    /// The one of these sources.
    pub fn this() -> Self {
        Self {
            name: "rds-tether".into(),
            program: env!("CARGO_BIN_EXE_rds-tether").into(),
        }
    }

    /// Another one, to be measured in turn with this.
    pub fn beside(program: &str) -> Self {
        Self {
            name: "beside".into(),
            program: program.into(),
        }
    }

    /// A command of it, its AWS calls going to `url`.
    pub fn command(&self, url: &str) -> Command {
        command(&self.program, url)
    }
}

/// A running process; killed when dropped.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program starts"))
    }

    /// A memory figure, in KiB.
    pub fn memory_kib(&self, figure: &str) -> u64 {
        memory::kib(self.0.id(), figure)
    }

    /// The processor time it has had, in user and kernel mode.
    pub fn cpu(&self) -> Duration {
        let stat = self.stat();
        let ticks: f64 = [11, 12]
            .iter()
            .filter_map(|index| stat[*index].parse::<f64>().ok())
            .sum();
        Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
    }

    fn sleeps(&self) -> bool {
        self.stat()[0] == "S"
    }

    /// The fields of /proc/PID/stat from the state on; what is before them may contain anything.
    fn stat(&self) -> Vec<String> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("the process lives");
        let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
        fields.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The most memory that a command had resident up to the moment at which it prints its result.
///
/// The kernel forgets VmHWM when a process ends, and ru_maxrss of wait4 would count what this process had when it forked.
/// So the command's output is a socket that is already full: it waits there with its work done, and can be looked at.
pub fn peak_kib(command: &mut Command) -> u64 {
    let (_reader, full) = full_socket();
    let process = Running::start(command.stdout(full));
    let start = Instant::now();
    let (mut peak, mut since) = (0, start);
    while since.elapsed() < BLOCKED_AFTER {
        assert!(start.elapsed() < PATIENCE, "{command:?} does not come to its end");
        let now = process.memory_kib("VmHWM");
        if now != peak || !process.sleeps() {
            (peak, since) = (now, Instant::now());
        }
        sleep(Duration::from_millis(1));
    }
    peak
}

fn full_socket() -> (UnixStream, OwnedFd) {
    let (reader, mut writer) = UnixStream::pair().expect("a pair of sockets");
    writer.set_nonblocking(true).expect("a socket can be made non-blocking");
    for chunk in [4096, 1] {
        while writer.write(&vec![0; chunk]).is_ok() {}
    }
    writer.set_nonblocking(false).expect("a socket can be made blocking");
    (reader, writer.into())
}

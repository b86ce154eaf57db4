//! The processes under measurement, and what the kernel says of them.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, kill_process, setrlimit, waitpid};

use crate::figures::TICKS_PER_SECOND;

/// Descriptors of each process: two for each of the sessions of the soak, and some.
const DESCRIPTORS: u64 = 40_000;

/// Allows this process, and those it starts, many descriptors; returns how many it got.
pub fn raise_descriptor_limit() -> u64 {
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(DESCRIPTORS);
    // Root may raise the hard limit too, in most places.
    for limit in [DESCRIPTORS.max(hard), hard] {
        let wanted = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// A running process and its children; killed when dropped.
pub struct Running(Child);

impl Running {
    /// Starts a program with nothing of this machine's environment; what it says goes into a file.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn start(command: &mut Command, log: &Path) -> std::io::Result<Self> {
        let log = File::create(log)?;
        let command = command.env_clear().stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).spawn().map(Self)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.0.id()), signal).expect("the process lives");
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// The processor time that it and its children have had, in user and kernel mode.
    pub fn cpu(&self) -> Duration {
        self.all().into_iter().map(cpu).sum()
    }

    /// Resident memory of it and its children, in KiB.
    ///
    /// Not that of /proc/PID/status, which the kernel keeps for each processor and sums up only now and then.
    pub fn resident_kib(&self) -> u64 {
        self.all().into_iter().map(resident_kib).sum()
    }

    /// Open descriptors, without those of its children.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.id())).map_or(0, Iterator::count)
    }

    fn all(&self) -> Vec<u32> {
        let id = self.0.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        [id].into_iter().chain(children).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let all = self.all();
        for id in &all {
            let _ = kill_process(pid(*id), Signal::KILL);
        }
        let _ = self.0.wait();
        // This process is the first of its PID namespace: orphans become its children.
        for orphan in &all[1..] {
            let _ = waitpid(Some(pid(*orphan)), WaitOptions::empty());
        }
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed()).expect("no process has number 0")
}

fn cpu(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("the process lives");
    // What is before the last parenthesis may contain anything.
    let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}

fn resident_kib(id: u32) -> u64 {
    let sums = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).expect("the process lives");
    let line = sums.lines().find_map(|line| line.strip_prefix("Rss:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).expect("a figure in KiB")
}

//! The processes that the nemesis plays with, and what became of each life of theirs.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use testkit::program::{Daemon, provided};
use testkit::scratch::Scratch;
use testkit::settings::{Table, dns, target_group};
use testkit::world::bare_command;

use crate::host::NAME;

/// Whom it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The daemons that keep the target group.
    One,
    Two,
    Proxy,
}

impl Who {
    pub const ALL: [Self; 3] = [Self::One, Self::Two, Self::Proxy];

    /// Where it asks for names.
    pub fn nameserver(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 1, 1 + self as u8], 53))
    }

    /// With which its calls of AWS are signed.
    pub fn key(self) -> String {
        format!("AKIA{}", self.to_string().to_uppercase().replace(' ', ""))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "daemon one",
            Self::Two => "daemon two",
            Self::Proxy => "proxy",
        })
    }
}

/// What a process has.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    pub at: Instant,
    pub kib: u64,
    /// Sockets, files and all else but pipes.
    pub descriptors: usize,
    /// Ends of pipes, of which a proxy keeps some.
    pub pipes: usize,
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.kib as f64 / 1024.0;
        let (others, pipes) = (self.descriptors, self.pipes);
        write!(f, "{mib:.1} MiB, {others} descriptors, {pipes} ends of pipes")
    }
}

/// A process from its start to its end.
pub struct Life {
    pub began: Instant,
    pub ended: Option<Instant>,
    /// When it stood still.
    pub stops: Vec<(Instant, Option<Instant>)>,
    pub footprints: Vec<Footprint>,
    /// What it said, if it has ended.
    log: String,
}

impl Life {
    /// For how long of the time before a moment it stood still.
    pub fn stood_still(&self, from: Instant, to: Instant) -> Duration {
        let within = self.stops.iter().map(|(began, ended)| {
            let (began, ended) = ((*began).max(from), ended.unwrap_or(to).min(to));
            ended.saturating_duration_since(began)
        });
        within.sum()
    }

    /// Whether it stood still at some moment of a time.
    pub fn stood_still_within(&self, from: Instant, to: Instant) -> bool {
        let mut stops = self.stops.iter();
        stops.any(|(began, ended)| *began <= to && ended.is_none_or(|ended| from <= ended))
    }
}

pub struct Actor {
    pub who: Who,
    pub lives: Vec<Life>,
    process: Option<Daemon>,
    arguments: Vec<String>,
    url: String,
    clock: PathBuf,
}

impl Actor {
    /// A daemon that keeps this group equal to the endpoint.
    pub fn daemon(who: Who, scratch: &Scratch, url: &str, arn: &str, port: u16, forget: Duration) -> Self {
        let text: Table = target_group(arn, &format!("{NAME}:{port}"))
            .set("forget", format!("{}s", forget.as_secs()))
            .and(dns(who.nameserver()).set("timeout", format!("{}ms", LOOK_TIMEOUT.as_millis())));
        let config = scratch.write(&format!("{}.toml", who.key()), &text);
        let arguments = ["run", "--config", config.to_str().expect("UTF-8")];
        Self::started(who, scratch, url, &arguments)
    }

    /// A proxy that listens at an address.
    pub fn proxy(scratch: &Scratch, listen: SocketAddr, port: u16) -> Self {
        let (who, endpoint) = (Who::Proxy, format!("{NAME}:{port}"));
        let (listen, nameserver) = (listen.to_string(), who.nameserver().to_string());
        let arguments = [
            "proxy",
            "--listen",
            &listen,
            "--endpoint",
            &endpoint,
            "--nameserver",
            &nameserver,
        ];
        Self::started(who, scratch, "", &arguments)
    }

    fn started(who: Who, scratch: &Scratch, url: &str, arguments: &[&str]) -> Self {
        let mut actor = Self {
            who,
            lives: Vec::new(),
            process: None,
            arguments: arguments.iter().map(|one| (*one).to_owned()).collect(),
            url: url.to_owned(),
            clock: scratch.write(&format!("{}.clock", who.key()), "+0"),
        };
        actor.start();
        actor
    }

    /// Starts it, if it does not run.
    pub fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        let mut command = bare_command(&self.url);
        command
            .args(&self.arguments)
            .env("AWS_ACCESS_KEY_ID", self.who.key())
            .env("LD_PRELOAD", provided("RDS_TETHER_TEST_FAKETIME"))
            .env("FAKETIME_TIMESTAMP_FILE", &self.clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DISABLE_SHM", "1");
        // Before the process can be told anything.
        let began = Instant::now();
        self.process = Some(Daemon::start(&mut command));
        self.lives.push(Life {
            began,
            ended: None,
            stops: Vec::new(),
            footprints: Vec::new(),
            log: String::new(),
        });
    }

    /// Kills it, if it runs.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal("KILL");
            let (_, log) = process.ended();
            self.over(log);
        }
    }

    /// Ends it in order; why that was no good end, if it was none.
    pub fn end(&mut self) -> Option<String> {
        let process = self.process.take()?;
        let (status, log) = process.stop();
        self.over(log);
        (!status.success()).then(|| format!("{} ended with {status}", self.who))
    }

    /// What ended by itself; how, if it has.
    pub fn has_ended(&mut self) -> Option<String> {
        let ended = self.process.as_mut()?.child.try_wait();
        let status = ended.expect("its status")?;
        let (_, log) = self.process.take().expect("it was there").ended();
        self.over(log);
        Some(format!("{} ended by itself: {status}", self.who))
    }

    fn over(&mut self, log: String) {
        if let Some(life) = self.lives.last_mut() {
            life.ended = Some(Instant::now());
            life.log = log;
        }
    }

    /// Lets it stand still; whether it did not before.
    pub fn stop(&mut self) -> bool {
        let (Some(process), Some(life)) = (&self.process, self.lives.last_mut()) else {
            return false;
        };
        if matches!(life.stops.last(), Some((_, None))) {
            return false;
        }
        life.stops.push((Instant::now(), None));
        process.signal("STOP");
        true
    }

    /// Lets that life go on, unless it is over.
    pub fn go_on(&mut self, life: usize) {
        if life + 1 != self.lives.len() {
            return;
        }
        let Some(process) = &self.process else { return };
        process.signal("CONT");
        if let Some((_, ended @ None)) = self.lives[life].stops.last_mut() {
            *ended = Some(Instant::now());
        }
    }

    /// Sets its clock, which it looks at every time.
    pub fn set_clock(&self, seconds: i64) {
        // At once, so that nobody reads half of it.
        let new = self.clock.with_extension("new");
        fs::write(&new, format!("{seconds:+}")).expect("the folder is there");
        fs::rename(&new, &self.clock).expect("the folder is there");
    }

    /// What it has now, if it runs.
    pub fn footprint(&mut self) -> Option<Footprint> {
        let id = self.process.as_ref()?.child.id();
        let sums = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
        let line = sums.lines().find_map(|line| line.strip_prefix("Rss:"))?;
        let open = fs::read_dir(format!("/proc/{id}/fd")).ok()?.flatten();
        let open: Vec<PathBuf> = open.filter_map(|file| fs::read_link(file.path()).ok()).collect();
        let pipes = open
            .iter()
            .filter(|file| file.to_string_lossy().starts_with("pipe:"))
            .count();
        let footprint = Footprint {
            at: Instant::now(),
            kib: line.trim().trim_end_matches(" kB").parse().ok()?,
            descriptors: open.len() - pipes,
            pipes,
        };
        self.lives.last_mut()?.footprints.push(footprint);
        Some(footprint)
    }

    /// What all its lives have said.
    pub fn log(&self) -> String {
        let ended = self.lives.iter().map(|life| life.log.as_str());
        let running = self.process.as_ref().map(Daemon::log);
        let all: Vec<&str> = ended.chain(running.as_deref()).filter(|log| !log.is_empty()).collect();
        all.join("\n")
    }
}

/// How long a daemon's look at DNS may take.
pub const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

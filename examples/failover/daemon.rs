//! This program once more, as the daemon: it follows the target group, and runs the proxy.

use std::collections::VecDeque;
use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{self, Child, ChildStderr, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rds_tether::logging::{LogFormat, Logging};
use rds_tether::settings::Flags;
use testkit::scratch::Scratch;
use tokio::runtime::Runtime;

use super::FORGET;
use super::site::{DATABASE_PORT, ENDPOINT, HERE, Site};

/// Set for the copy of this program that is the daemon.
const AS_DAEMON: &str = "FAILOVER_EXAMPLE_AS_DAEMON";
const START_MAX: Duration = Duration::from_secs(60);
/// Lines of its log that are shown if it ends.
const LOG_KEPT: usize = 5;

#[derive(Parser)]
struct Given {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    logging: Logging,
}

pub fn is_this() -> bool {
    env::var_os(AS_DAEMON).is_some()
}

pub fn run() -> ExitCode {
    let given = Given::parse();
    // It ends with the demonstration, however that ends: then its standard input does.
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(1);
    });
    rds_tether::logging::start(&given.logging, LogFormat::Text);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let run = |runtime: Runtime| runtime.block_on(rds_tether::verbs::run::run(async || given.flags.settings(), false));
    match runtime.map(run) {
        Ok(Ok(_)) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    /// Where its proxy listens.
    pub proxy: SocketAddr,
    /// Ends with the daemon.
    ended: Receiver<()>,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Daemon {
    pub fn start(site: &Site) -> Result<Self, String> {
        let folder = Scratch::new();
        let settings = format!(
            "[[target_group]]\narn = \"{}\"\nendpoints = [\"{ENDPOINT}:{DATABASE_PORT}\"]\nforget = \"{}s\"\n\
             [[proxy]]\nlisten = \"127.0.0.1:0\"\nendpoint = \"{HERE}:{}\"\nreadiness = \"tcp\"\n\
             [dns]\nnameservers = [\"{}\"]\n",
            site.balancer,
            FORGET.as_secs(),
            site.port(),
            site.dns.addr(),
        );
        let path = folder.write("config.toml", &settings);
        let mut child = Command::new(env::current_exe().map_err(|error| error.to_string())?)
            .arg("--config")
            .arg(path)
            .env_clear()
            .env(AS_DAEMON, "1")
            .env("AWS_ENDPOINT_URL", site.elb.url())
            .env("AWS_ACCESS_KEY_ID", "simulated")
            .env("AWS_SECRET_ACCESS_KEY", "simulated")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("this program does not start once more: {error}"))?;
        let log = Arc::<Mutex<VecDeque<String>>>::default();
        let (listening, told) = channel();
        let (ends, ended) = channel();
        let read = child.stderr.take().expect("piped");
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            read_log(read, &kept, |address| {
                let _ = listening.send(address);
            });
            drop(ends);
        });
        let proxy = told.recv_timeout(START_MAX);
        // It has read them; so nothing is left if this program is ended.
        drop(folder);
        let mut daemon = Self {
            child,
            proxy: SocketAddr::from(([127, 0, 0, 1], 0)),
            ended,
            log,
        };
        daemon.proxy = proxy.map_err(|_| daemon.said("its proxy does not listen"))?;
        Ok(daemon)
    }

    /// Waits for a while, in which it must not end.
    pub fn lives_for(&self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        match self.ended.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(self.said("the daemon ended")),
        }
    }

    fn said(&self, what: &str) -> String {
        let log: Vec<String> = self.log.lock().expect("no panic").iter().cloned().collect();
        format!("{what}; it said:\n{}", log.join("\n"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_log(log: ChildStderr, kept: &Mutex<VecDeque<String>>, listens: impl Fn(SocketAddr)) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        let address = line.split("listening on ").nth(1);
        let address = address.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        address.into_iter().for_each(&listens);
        let mut kept = kept.lock().expect("no panic");
        if kept.len() == LOG_KEPT {
            kept.pop_front();
        }
        kept.push_back(line);
    }
}

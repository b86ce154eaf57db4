//! Watch rds-tether follow a few failovers, in one command and without an account: `cargo run --release --example failover`
//!
//! The DNS server and the ELBv2 API are simulated, on loopback. The daemon is the real one, with its DNS client and the AWS
//! SDK: this program starts itself once more as that daemon, scripts the failovers, and draws what both sides show.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rds_tether::logging::{LogFormat, Logging};
use rds_tether::settings::Flags;
use testkit::dns::{self, Behaviour};
use testkit::elb::{self, Group};
use tokio::runtime::Runtime;

const ENDPOINT: &str = "orders.cluster-demo.eu-west-1.rds.amazonaws.com";
const FORGET: Duration = Duration::from_secs(6);
const HEALTHY_AFTER: Duration = Duration::from_secs(2);
/// Set for the copy of this program that is the daemon.
const AS_DAEMON: &str = "FAILOVER_EXAMPLE_AS_DAEMON";
/// The whole demonstration; a scene that is not over by then has failed.
const LIMIT: Duration = Duration::from_secs(110);

const SCENES: &[Scene] = &[
    Scene {
        title: "Deployed: the target group is still empty",
        dns: &[("10.0.1.5", 0)],
        settles_on: "10.0.1.5",
    },
    Scene {
        title: "A clean failover: the new address at once, the old one after forget",
        dns: &[("10.0.2.7", 0)],
        settles_on: "10.0.2.7",
    },
    Scene {
        title: "A flapping failover: DNS answers new, old, new",
        dns: &[("10.0.3.9", 2500), ("10.0.2.7", 2500), ("10.0.3.9", 0)],
        settles_on: "10.0.3.9",
    },
    Scene {
        title: "Failing back while the target still drains: it is registered again",
        dns: &[("10.0.2.7", 0)],
        settles_on: "10.0.2.7",
    },
];

struct Scene {
    title: &'static str,
    /// What DNS answers, each for that many milliseconds before the next.
    dns: &'static [(&'static str, u64)],
    settles_on: &'static str,
}

fn main() -> ExitCode {
    if std::env::var_os(AS_DAEMON).is_some() {
        return be_the_daemon();
    }
    println!("rds-tether follows {ENDPOINT} through four failovers.");
    println!(
        "The DNS server and the ELBv2 API are simulated, on loopback. The daemon, its DNS client and the AWS SDK are real."
    );
    println!(
        "Shortened for the show: forget {} s instead of 60 s; targets are healthy after {} s instead of minutes.\n",
        FORGET.as_secs(),
        HEALTHY_AFTER.as_secs()
    );
    let (dns, elb) = (dns::Server::start(), elb::Server::start());
    let arn = elb.add_group(Group::named("orders").registration_delay(HEALTHY_AFTER));
    dns.set(ENDPOINT, Behaviour::a(SCENES[0].dns[0].0, 1));
    let mut daemon = start_daemon(&dns, &elb, &arn);
    let outcome = Show::new(&dns, &elb, &arn).play(&mut daemon);
    let _ = daemon.kill();
    let _ = daemon.wait();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nThe demonstration failed: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Parser)]
struct Daemon {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    logging: Logging,
}

fn be_the_daemon() -> ExitCode {
    let given = Daemon::parse();
    rds_tether::logging::start(&given.logging, LogFormat::Json);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let run = |runtime: Runtime| runtime.block_on(rds_tether::verbs::run::run(|| given.flags.settings(), false));
    match runtime.map(run) {
        Ok(Ok(_)) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn start_daemon(dns: &dns::Server, elb: &elb::Server, arn: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command
        .args(["--endpoint", &format!("{ENDPOINT}:5432"), "--target-group", arn])
        .args([
            "--nameserver",
            &dns.addr().to_string(),
            "--forget",
            &format!("{}s", FORGET.as_secs()),
        ])
        .env_clear()
        .env(AS_DAEMON, "1")
        .env("AWS_ENDPOINT_URL", elb.url())
        .env("AWS_ACCESS_KEY_ID", "simulated")
        .env("AWS_SECRET_ACCESS_KEY", "simulated")
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().expect("this program starts once more")
}

/// Draws a row whenever DNS, the group or the daemon's log has something new.
struct Show<'a> {
    dns: &'a dns::Server,
    elb: &'a elb::Server,
    arn: &'a str,
    start: Instant,
    answer: Mutex<&'static str>,
}

impl<'a> Show<'a> {
    fn new(dns: &'a dns::Server, elb: &'a elb::Server, arn: &'a str) -> Self {
        Self {
            dns,
            elb,
            arn,
            start: Instant::now(),
            answer: Mutex::new(SCENES[0].dns[0].0),
        }
    }

    fn play(&self, daemon: &mut Child) -> Result<(), String> {
        let log = BufReader::new(daemon.stderr.take().expect("piped"));
        let (rows, drawn) = channel();
        thread::scope(|scope| {
            let log_rows = rows.clone();
            // Ends with the daemon, which is killed when the scenes are over.
            scope.spawn(move || read_log(log, &log_rows));
            let outcome = self.play_scenes(&rows, &drawn);
            let _ = daemon.kill();
            outcome
        })?;
        let writes = self.elb.writes().len();
        println!(
            "\n{writes} writes to the target group; at no moment had it fewer than {} registered.",
            self.lowest()
        );
        println!("It ends as DNS says: {}.", self.group());
        if self.lowest() < 1 {
            Err("the target group was empty for a moment".into())
        } else {
            Ok(())
        }
    }

    fn play_scenes(&self, rows: &Sender<String>, drawn: &Receiver<String>) -> Result<(), String> {
        for (number, scene) in SCENES.iter().enumerate() {
            println!("\n{}. {}", number + 1, scene.title);
            println!("   {:>7}  {:<10}  {:<64}  event", "time", "DNS", "target group");
            for (address, millis) in scene.dns {
                *self.answer.lock().expect("not poisoned") = address;
                self.dns.set(ENDPOINT, Behaviour::a(address, 1));
                let _ = rows.send(format!("DNS now answers {address}"));
                self.draw(drawn, Duration::from_millis(*millis), |_| false)?;
            }
            let wanted = format!("{} healthy", scene.settles_on);
            self.draw(drawn, LIMIT, |converged| converged && self.group().contains(&wanted))?;
        }
        Ok(())
    }

    /// Draws rows for that long, or until it `ends`, which is told whether the daemon has said that it converged.
    fn draw(&self, drawn: &Receiver<String>, within: Duration, ends: impl Fn(bool) -> bool) -> Result<(), String> {
        let end = Instant::now() + within;
        let mut group = self.group();
        let mut converged = false;
        while !ends(converged) && Instant::now() < end {
            if self.start.elapsed() > LIMIT {
                return Err(format!("not over after {} s", LIMIT.as_secs()));
            }
            // Short turns, because the group changes by time too: targets turn healthy.
            match drawn.recv_timeout(Duration::from_millis(50)) {
                Ok(event) => {
                    converged |= event.starts_with("converged");
                    self.row(&event);
                }
                Err(RecvTimeoutError::Timeout) if self.group() != group => self.row(""),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("the daemon ended".into()),
            }
            group = self.group();
        }
        Ok(())
    }

    fn row(&self, event: &str) {
        let answer = *self.answer.lock().expect("not poisoned");
        println!(
            "   {:5.1} s  {answer:<10}  {:<64}  {event}",
            self.start.elapsed().as_secs_f64(),
            self.group()
        );
    }

    fn group(&self) -> String {
        let targets = self.elb.targets(self.arn);
        let shown: Vec<String> = targets
            .iter()
            .map(|target| format!("{} {}", target.ip, target.state))
            .collect();
        if shown.is_empty() {
            "empty".into()
        } else {
            shown.join(", ")
        }
    }

    fn lowest(&self) -> usize {
        self.elb.lowest_registered(self.arn)
    }
}

fn read_log(log: impl BufRead, rows: &Sender<String>) {
    for line in log.lines().map_while(Result::ok) {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(message) = event["message"].as_str() {
            let _ = rows.send(message.replace(ENDPOINT, "the endpoint"));
        }
    }
}

//! `rds-tether plan` as a whole process, beside the same job in Python with boto3.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::dns::{self, Behaviour};
use testkit::elb::{self, Group};

use crate::figures::{Sorted, mib, ms, title};
use crate::process::{Build, command, peak_kib};
use crate::python;

const NAME: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
const OLD: &str = "10.0.1.5";
const NEW: &str = "10.0.2.7";
/// Both exit so when a change is pending.
const PENDING: i32 = 2;
/// Runs before those that count: file caches, and Python's compiled modules.
const WARM_UP: usize = 3;

/// DNS names one address, the group has another: one change is pending.
struct World {
    dns: dns::Server,
    elb: elb::Server,
    arn: String,
}

impl World {
    fn new() -> Self {
        let (dns, elb) = (dns::Server::start(), elb::Server::start());
        let arn = elb.add_group(Group::named("orders"));
        elb.put_target(&arn, OLD, 5432);
        dns.set(NAME, Behaviour::a(NEW, 5));
        Self { dns, elb, arn }
    }

    fn ours(&self, build: &Build) -> Command {
        let mut command = build.command(&self.elb.url());
        command
            .args([
                "plan",
                "--endpoint",
                &format!("{NAME}:5432"),
                "--target-group",
                &self.arn,
            ])
            .args(["--nameserver", &self.dns.addr().to_string()]);
        command
    }

    fn theirs(&self, interpreter: &Path) -> Command {
        let mut command = command(interpreter, &self.elb.url());
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/plan.py"))
            .args([&self.dns.addr().to_string(), &format!("{NAME}:5432"), &self.arn]);
        command
    }
}

/// What was measured of one side.
struct Side {
    wall: Sorted,
    peak_kib: u64,
}

pub fn run(quick: bool, builds: &[Build]) {
    let (runs, peaks) = if quick { (5, 1) } else { (60, 5) };
    let interpreter = python::interpreter();
    let world = World::new();
    let mut commands: Vec<Command> = builds.iter().map(|build| world.ours(build)).collect();
    commands.extend(interpreter.as_deref().ok().map(|interpreter| world.theirs(interpreter)));
    commands.iter_mut().for_each(check);

    title(&format!(
        "plan: one look as a whole process, spawn to exit; one endpoint, one group; {runs} runs each, in turn"
    ));
    let sides = measure(&mut commands, runs, peaks);
    let their_name = match &interpreter {
        Ok(interpreter) => python::versions(interpreter, &["boto3", "dnspython"]),
        Err(why) => {
            println!("  SKIPPED: Python with boto3, so there is nothing to compare with: {why}");
            String::new()
        }
    };
    let names = builds.iter().map(|build| build.name.as_str()).chain(["Python"]);
    print(&names.zip(&sides).collect::<Vec<_>>());
    if !their_name.is_empty() {
        println!("  {their_name}: benches/plan.py; peak memory: VmHWM");
    }
}

/// What is compared must do the same: see the address to be registered.
fn check(command: &mut Command) {
    let output = command.stdout(Stdio::piped()).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(PENDING), "{command:?}: {said}");
    assert!(said.contains(NEW), "{command:?}: {said}");
}

fn measure(commands: &mut [Command], runs: usize, peaks: usize) -> Vec<Side> {
    let mut walls = vec![Vec::new(); commands.len()];
    for round in 0..WARM_UP + runs {
        for (command, walls) in commands.iter_mut().zip(&mut walls) {
            let wall = wall(command);
            if round >= WARM_UP {
                walls.push(wall);
            }
        }
    }
    let peak_kib = |command: &mut Command| (0..peaks).map(|_| peak_kib(command)).max().unwrap_or_default();
    (commands.iter_mut().zip(walls))
        .map(|(command, walls)| Side {
            wall: Sorted::new(walls),
            peak_kib: peak_kib(command),
        })
        .collect()
}

fn wall(command: &mut Command) -> Duration {
    command.stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("the program starts");
    let wall = start.elapsed();
    assert_eq!(status.code(), Some(PENDING), "{command:?}");
    wall
}

/// A column for each side: its figure and, but for the first, how many times that of the first it is.
fn print(sides: &[(&str, &Side)]) {
    let names: String = sides.iter().map(|(name, _)| format!("{name:>24}")).collect();
    println!("  {:<16}{names}   goal", "");
    let line = |what: &str, figure: &dyn Fn(&Side) -> (String, f64), goal: &str| {
        let (_, first) = figure(sides[0].1);
        let cell = |(index, (_, side)): (usize, &(&str, &Side))| {
            let (text, value) = figure(side);
            let ratio = if index == 0 {
                String::new()
            } else {
                format!(" {:.2} x", value / first)
            };
            format!("{:>24}", text + &ratio)
        };
        let cells: String = sides.iter().enumerate().map(cell).collect();
        println!("  {what:<16}{cells}   {goal}");
    };
    let wall = |duration: Duration| (ms(duration), duration.as_secs_f64());
    line(
        "wall, median",
        &|side| wall(side.wall.median()),
        "under 25 ms, Python at least 15 x",
    );
    line("wall, p95", &|side| wall(side.wall.percentile(95)), "");
    line(
        "peak memory",
        &|side| (mib(side.peak_kib), side.peak_kib as f64),
        "under 14 MiB",
    );
}

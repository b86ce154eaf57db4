//! The nemesis: two daemons and a proxy beside real PostgreSQL, a real name server and a load balancer's node, while everything fails.
//!
//! `cargo bench --bench nemesis -- --seconds 600 --failovers 200 --seed 7`, as root, with PostgreSQL, Knot DNS, libfaketime, iproute2 and
//! nftables installed. Everything is in a network namespace of its own.
//!
//! A failover is that of a Multi-AZ instance: the server ends at one address and starts at another, on the same storage, so that slots and
//! committed rows are there. The former host resets its sessions, or is not heard any more. Writers commit numbered rows directly, through
//! the load balancer and through the proxy; two consumers of logical replication, one through each, must receive every one of them. A
//! server that lives for seconds hardly ever keeps on storage how far they have come, so most of their sessions begin far back. What
//! the daemons do to the target group is held against what the name server told them (`rules`). Processes are killed and stopped, clocks
//! set, the name server killed and silenced, and the API fails in six ways. In the end the group must be what DNS says, and nobody writes.
//!
//! The seed decides what happens when; threads and processes meet it as they come. It fails with the seed and the journal of all events,
//! which `--journal` prints in any case.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(
    clippy::disallowed_methods,
    reason = "real processes meet their nemesis in real time"
)]

mod actor;
mod host;
mod journal;
mod play;
mod rows;
mod rules;
mod schedule;
mod site;
// The namespace, and the addresses in it that are not heard.
#[path = "../proxy/stage.rs"]
mod stage;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::play::Play;

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    if !given.iter().any(|arg| arg == "--bench") {
        println!("this takes minutes; it is run with: cargo bench --bench nemesis");
        return ExitCode::SUCCESS;
    }
    let number = |flag: &str, default: u64| {
        let at = given.iter().position(|arg| arg == flag);
        at.map_or(Ok(default), |at| given.get(at + 1).map_or("", String::as_str).parse())
    };
    let (Ok(seconds), Ok(failovers), Ok(seed)) = (
        number("--seconds", 600),
        number("--failovers", 200),
        number("--seed", 1),
    ) else {
        println!("--seconds, --failovers and --seed take a number");
        return ExitCode::FAILURE;
    };
    if given.first().is_none_or(|first| first != stage::INSIDE) {
        return match programs() {
            Ok(programs) => stage::enter(&given, &programs),
            Err(missing) => {
                println!("{missing}");
                ExitCode::FAILURE
            }
        };
    }
    stage::set();
    let is_told = given.iter().any(|arg| arg == "--journal");
    Play::new(seed, Duration::from_secs(seconds), failovers as usize, is_told).run()
}

/// The programs of others, where the environment says or Debian has them.
fn programs() -> Result<Vec<(&'static str, PathBuf)>, String> {
    let wanted = [
        ("RDS_TETHER_TEST_KNOTD", "/usr/sbin", "", "knotd"),
        ("RDS_TETHER_TEST_KNSUPDATE", "/usr/bin", "", "knsupdate"),
        ("RDS_TETHER_TEST_POSTGRES", "/usr/lib/postgresql", "bin", ""),
        (
            "RDS_TETHER_TEST_FAKETIME",
            "/usr/lib",
            "faketime/libfaketimeMT.so.1",
            "",
        ),
    ];
    let found = wanted.into_iter().map(|(variable, folder, below, name)| {
        if let Some(path) = env::var_os(variable) {
            return Ok((variable, path.into()));
        }
        let path = if below.is_empty() {
            Some(Path::new(folder).join(name))
        } else {
            let folders = fs::read_dir(folder).into_iter().flatten().flatten();
            folders
                .map(|folder| folder.path().join(below))
                .filter(|path| path.exists())
                .max()
        };
        match path.filter(|path| path.exists()) {
            Some(path) => Ok((variable, path)),
            None => Err(format!("{folder} has no {below}{name}: say in {variable} where it is")),
        }
    });
    found.collect()
}

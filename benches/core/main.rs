//! The figures of docs/figures.md: `cargo bench --bench core`, or with `-- plan`, `-- answers`, `-- reaction`, `-- run-1000`, `-- scrape`,
//! `-- accounts` only those parts.
//!
//! Everything is on loopback: the servers are the testkit's, in this process; the program is the built binary in processes
//! of its own, so that nothing of the servers counts as its. `cargo bench` builds that binary with the profile `bench`,
//! which is `release` under another name. Nothing here passes or fails by a time: goals are printed beside what was measured.
//! `--beside FILE` measures another build of the program, such as the latest release's, beside this one in the same run.
//! `--quick` makes every part small, to see that it works; its figures mean nothing.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(
    clippy::disallowed_methods,
    reason = "it measures real processes in real time, over windows of time"
)]

mod accounts;
mod answers;
mod figures;
mod fleet;
mod memory;
mod plan;
mod process;
mod python;
mod reaction;
mod run_1000;
mod scrape;

use std::env;
use std::process::ExitCode;

use crate::figures::load;
use crate::process::Build;
use crate::run_1000::Known;

const PARTS: [&str; 6] = ["plan", "answers", "reaction", "run-1000", "scrape", "accounts"];

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    if !given.iter().any(|arg| arg == "--bench") {
        println!("this takes minutes; it is run with: cargo bench --bench core");
        return ExitCode::SUCCESS;
    }
    let quick = given.iter().any(|arg| arg == "--quick");
    let mut builds = vec![Build::this()];
    let mut asked = Vec::new();
    let mut rest = given.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        match arg {
            "--bench" | "--quick" => {}
            "--beside" => builds.extend(rest.next().map(Build::beside)),
            part => asked.push(part),
        }
    }
    if let Some(unknown) = asked.iter().find(|part| !PARTS.contains(part)) {
        println!("there is no part {unknown:?}; the parts are {}", PARTS.join(", "));
        return ExitCode::FAILURE;
    }
    let wanted = |part| asked.is_empty() || asked.contains(&part);

    println!("rds-tether {}, {}", env!("CARGO_PKG_VERSION"), figures::machine());
    if wanted("plan") {
        plan::run(quick, &builds);
    }
    if wanted("answers") {
        answers::run(quick, &builds);
    }
    // Its first looks take minutes, because calls are rationed; the reaction is measured meanwhile, which can only slow it.
    let mut many = Vec::new();
    if wanted("run-1000") {
        let configured = |build| run_1000::Run::start(quick, build, Known::Configured);
        many.extend(builds.iter().map(configured));
        many.push(run_1000::Run::start(quick, &builds[0], Known::Tagged));
    }
    for build in builds.iter().filter(|_| wanted("reaction")) {
        reaction::run(quick, build);
    }
    for run in many {
        run.measure();
    }
    for build in builds.iter().filter(|_| wanted("scrape")) {
        scrape::run(quick, build);
    }
    if wanted("accounts") {
        accounts::run(quick, &builds);
    }
    println!("\nload average at the end: {}", load());
    ExitCode::SUCCESS
}

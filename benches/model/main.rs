//! All that can happen to two processes: `cargo bench --bench model`.
//!
//! It goes through the worlds of tests/model within a few bounds, prints how large each is, and fails at the first rule that is broken,
//! with a way to it, on one thread the shortest. `--forget N` makes it one world of one's own, within further bounds by `--lag N` (or
//! `none`), `--failovers N`, `--slow` and `--illegal`; `--replay SCRIPT` plays in it what a failure prints. `--threads N` takes so many
//! cores.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(clippy::disallowed_methods, reason = "it measures how long it takes")]

#[path = "../../tests/model/mod.rs"]
mod model;

use std::env;
use std::process::ExitCode;
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::Instant;

use model::{Bounds, check, replay};

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    if !given.iter().any(|arg| arg == "--bench") {
        println!("this takes a minute; it is run with: cargo bench --bench model");
        return ExitCode::SUCCESS;
    }
    match run(&Given(given)) {
        Ok(code) => code,
        Err(wrong) => {
            println!("{wrong}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line says.
struct Given(Vec<String>);

impl Given {
    fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|arg| arg == flag)
    }

    fn value<T: FromStr>(&self, flag: &str) -> Result<Option<T>, String> {
        let Some(at) = self.0.iter().position(|arg| arg == flag) else {
            return Ok(None);
        };
        let value = self.0.get(at + 1).and_then(|value| value.parse().ok());
        value.map(Some).ok_or_else(|| format!("{flag} takes a value"))
    }
}

/// Worlds that no rule is broken in, each with all there is to one thing.
const WORLDS: [Bounds; 5] = [
    Bounds {
        forget: 3,
        lag: Some(0),
        failovers: 2,
        is_slow: false,
        is_illegal: false,
    },
    Bounds {
        forget: 2,
        lag: Some(1),
        failovers: 1,
        is_slow: false,
        is_illegal: false,
    },
    Bounds {
        forget: 2,
        lag: Some(0),
        failovers: 1,
        is_slow: true,
        is_illegal: false,
    },
    Bounds {
        forget: 2,
        lag: Some(0),
        failovers: 0,
        is_slow: false,
        is_illegal: true,
    },
    // The name servers say what they like: what one process sees by itself still holds, and the group becomes right afterwards.
    Bounds {
        forget: 2,
        lag: None,
        failovers: 1,
        is_slow: false,
        is_illegal: false,
    },
];

fn run(given: &Given) -> Result<ExitCode, String> {
    let one = Bounds {
        forget: given.value("--forget")?.unwrap_or(2),
        lag: match given.value::<String>("--lag")?.as_deref() {
            None => Some(0),
            Some("none") => None,
            Some(lag) => Some(lag.parse().map_err(|_| "--lag takes a number, or none")?),
        },
        failovers: given.value("--failovers")?.unwrap_or(0),
        is_slow: given.has("--slow"),
        is_illegal: given.has("--illegal"),
    };
    if let Some(script) = given.value::<String>("--replay")? {
        print!("{}", replay(one, &script)?);
        return Ok(ExitCode::SUCCESS);
    }
    let threads = match given.value("--threads")? {
        Some(threads) => threads,
        None => available_parallelism().map_or(1, |cores| cores.get()),
    };
    let worlds = if given.has("--forget") {
        vec![one]
    } else {
        WORLDS.to_vec()
    };
    for bounds in worlds {
        let began = Instant::now();
        match check(bounds, threads) {
            Ok(size) => println!("{bounds:?}:\n    {size}, {:.1} s", began.elapsed().as_secs_f64()),
            Err(broken) => {
                println!("{bounds:?}: {broken}");
                println!(
                    "again: cargo bench --workspace --bench model -- {} --replay {}",
                    flags(bounds),
                    broken.script()
                );
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What makes these bounds on the command line.
fn flags(bounds: Bounds) -> String {
    let lag = bounds.lag.map_or("none".to_owned(), |lag| lag.to_string());
    let slow = if bounds.is_slow { " --slow" } else { "" };
    let illegal = if bounds.is_illegal { " --illegal" } else { "" };
    format!(
        "--forget {} --lag {lag} --failovers {}{slow}{illegal}",
        bounds.forget, bounds.failovers
    )
}

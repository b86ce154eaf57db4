//! The proxy against HAProxy, nginx, Envoy and no proxy at all: `cargo bench --bench proxy [-- PART... --quick --rounds N]`.
//!
//! `benches/proxy/run` does the same, and installs before what it needs (HAProxy, nginx, Envoy, nftables, iproute2). It wants root,
//! because everything happens in a network namespace of its own; what is missing is said and left out.
//!
//! Client, proxy and back end are on one machine, so a figure is the cost of the whole path, and only ratios within one run
//! say something. All proxies are started at once; within a part it goes proxy by proxy, in the opposite order each round.
//! Nothing here passes or fails by a figure, but the soak fails by an error.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(
    clippy::disallowed_methods,
    reason = "it measures real processes in real time, over windows of time"
)]

mod attempt;
mod back_end;
mod failures;
mod figures;
mod flip;
mod held;
mod load;
mod process;
mod rounds;
mod route;
mod site;
mod soak;
mod stage;
mod wire;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::rounds::{PARTS, Part};
use crate::route::{Looks, Route};

const FLIP: &str = "flip";
const LOST: &str = "lost";
const DNS: &str = "dns";
const HELD: &str = "held";
const SOAK: &str = "soak";
const ROUNDS: usize = 5;
const SOAK_DURATION: Duration = Duration::from_secs(600);
const USAGE: &str = "\
cargo bench --bench proxy -- [PART...] [OPTION...]

Parts: memory bulk ping-64 ping-1 stream connect, in rounds; flip (old sessions after a change of DNS); lost (new ones
during it). All of these unless some are named. And, only if named: dns (what becomes of connections when DNS fails), held
(clients that wait for a database that is down), soak.

  --rounds N         how often each part is measured [default: 5]
  --quick            one round and short windows: to see that it works
  --only ROUTE,...   of direct, ours, haproxy, haproxy-splice, nginx, envoy, haproxy-keepalive (this one: flip and lost),
                     envoy-logical (this one: dns)
  --ours PROGRAM     take this rds-tether instead of the one just built
  --minutes N, --seconds N   how long the soak takes [default: 10 minutes]";

/// What the command line asks for.
struct Asked {
    parts: Vec<String>,
    routes: Vec<Route>,
    ours: PathBuf,
    rounds: usize,
    quick: bool,
    soak: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (first, rest) = arguments
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    if first == site::BACK_END {
        return back_end(rest);
    }
    let inside = first == stage::INSIDE;
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("this takes minutes; it is run with: cargo bench --bench proxy");
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let asked = match Asked::read(if inside { rest } else { &arguments }) {
        Ok(asked) => asked,
        Err(message) => {
            println!("{message}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    if !inside {
        return stage::enter(&arguments, &[]);
    }
    stage::set();
    let descriptors = process::raise_descriptor_limit();
    println!("rds-tether {}, {}", env!("CARGO_PKG_VERSION"), figures::machine());
    asked.run(descriptors)
}

fn back_end(arguments: &[String]) -> ExitCode {
    let addr = arguments.first().and_then(|addr| addr.parse().ok());
    let served = addr.map(back_end::serve);
    println!("back end on {addr:?}: {served:?}");
    ExitCode::FAILURE
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut asked = Self {
            parts: Vec::new(),
            routes: Route::ALL.to_vec(),
            ours: Path::new(env!("CARGO_BIN_EXE_rds-tether")).to_owned(),
            rounds: ROUNDS,
            quick: false,
            soak: SOAK_DURATION,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
            match argument.as_str() {
                "--bench" => {}
                "--quick" => asked.quick = true,
                "--rounds" => asked.rounds = number(value()?)?,
                "--minutes" => asked.soak = Duration::from_secs(60 * number(value()?)? as u64),
                "--seconds" => asked.soak = Duration::from_secs(number(value()?)? as u64),
                "--ours" => asked.ours = PathBuf::from(value()?),
                "--only" => asked.routes = routes(value()?)?,
                part if known(part) => asked.parts.push(part.to_owned()),
                other => return Err(format!("{other:?} is no part and no option")),
            }
        }
        if asked.quick {
            asked.rounds = 1;
        }
        Ok(asked)
    }

    fn run(self, descriptors: u64) -> ExitCode {
        let folder = site::folder();
        let mut there = Vec::new();
        for &route in &self.routes {
            match route.command(&self.ours, &folder, Looks::EverySecond) {
                Err(missing) if route != Route::Direct => println!("without {}: {missing}", route.name()),
                _ => there.push(route),
            }
        }
        let parts: Vec<&Part> = PARTS.iter().filter(|part| self.wants(part.name)).collect();
        if !parts.is_empty() {
            let routes = without(&there, &[Route::HaproxyKeepalive, Route::EnvoyLogical]);
            rounds::run(&parts, &routes, &self.ours, self.rounds, self.quick);
        }
        if self.parts.iter().any(|part| part == DNS) {
            let routes = without(&there, &[Route::Direct, Route::HaproxySplice, Route::HaproxyKeepalive]);
            failures::run(&routes, &self.ours, self.quick);
        }
        if self.parts.iter().any(|part| part == HELD) {
            held::run(&self.ours, self.rounds, self.quick);
        }
        there.retain(|route| ![Route::Direct, Route::EnvoyLogical].contains(route));
        if self.wants(FLIP) {
            flip::old_sessions(&there, &self.ours, self.rounds, self.quick);
        }
        if self.wants(LOST) {
            flip::new_connections(&there, &self.ours, self.rounds, self.quick);
        }
        if !self.parts.iter().any(|part| part == SOAK) {
            println!("\nload average at the end: {}", figures::load());
            return ExitCode::SUCCESS;
        }
        if !there.contains(&Route::Ours) {
            println!("there is nothing to soak");
            return ExitCode::FAILURE;
        }
        soak::run(&self.ours, self.soak, descriptors)
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|asked| asked == part)
    }
}

fn without(routes: &[Route], left_out: &[Route]) -> Vec<Route> {
    let taken = routes.iter().filter(|route| !left_out.contains(route));
    taken.copied().collect()
}

fn known(part: &str) -> bool {
    [FLIP, LOST, DNS, HELD, SOAK].contains(&part) || PARTS.iter().any(|known| known.name == part)
}

fn number(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is not a number from 1 on"))
}

fn routes(text: &str) -> Result<Vec<Route>, String> {
    let route = |name: &str| {
        let known = Route::ALL.into_iter().find(|route| route.name() == name);
        known.ok_or_else(|| format!("there is no route {name:?}"))
    };
    text.split(',').map(route).collect()
}

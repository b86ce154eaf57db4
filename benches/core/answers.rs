//! What reading an answer of DNS costs, whatever is in it: how much longer `rds-tether plan` takes than with a plain answer.

use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::dns::raw::{ADDRESS, ALIAS, Answer, PRIVATE, TO_NAME, addresses, chain, name};
use testkit::dns::{self, Behaviour};
use testkit::elb::{self, Group};

use crate::figures::{Sorted, ms, title};
use crate::process::Build;

const NAME: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
const LARGEST: usize = 65_500;
/// Pointers reach so far into a message.
const POINTER_MAX: usize = 0x3fff;
/// A process that takes longer has been measured well enough.
const TAKES_MAX: Duration = Duration::from_secs(60);

/// Aliases whose long names cost one pointer each.
fn long_names() -> Behaviour {
    let mut answer = Answer::to(NAME);
    let long = name(&["a"; 120].join("."));
    let at = answer.len() + 12;
    answer.add(&TO_NAME, PRIVATE, &long);
    let pointer = (0xc000 | at as u16).to_be_bytes();
    while answer.len() + 14 < LARGEST {
        answer.add(&pointer, ALIAS, &pointer);
    }
    answer.served()
}

/// Addresses of names behind as many pointers as fit.
fn pointers() -> Behaviour {
    let mut answer = Answer::to(NAME);
    let start = answer.len() + 12;
    let mut data = Vec::new();
    let mut before = 12;
    while start + data.len() < POINTER_MAX {
        let here = start + data.len();
        data.extend((0xc000 | before as u16).to_be_bytes());
        before = here;
    }
    answer.add(&TO_NAME, PRIVATE, &data);
    let pointer = (0xc000 | before as u16).to_be_bytes();
    while answer.len() + 16 < LARGEST {
        answer.add(&pointer, ADDRESS, &[10, 0, 0, 1]);
    }
    answer.served()
}

pub fn run(quick: bool, builds: &[Build]) {
    let runs = if quick { 1 } else { 15 };
    let (dns, elb) = (dns::Server::start(), elb::Server::start());
    let arn = elb.add_group(Group::named("orders"));
    title(&format!(
        "answers: how much longer `plan` takes than with a plain answer; medians of {runs} runs; goal: under 5 ms"
    ));
    let shapes = [
        ("a plain answer", Behaviour::a("10.0.0.1", 5)),
        ("1,000 aliases", chain(NAME, 1000, false)),
        ("4,000 aliases of long names", long_names()),
        ("4,000 addresses", addresses(NAME, 4000)),
        ("3,000 addresses behind pointers", pointers()),
    ];
    for build in builds {
        let mut plain = Duration::ZERO;
        for (what, behaviour) in &shapes {
            dns.set(NAME, behaviour.clone());
            let mut times = Vec::new();
            while times.len() < runs && times.iter().sum::<Duration>() < TAKES_MAX {
                let mut command = build.command(&elb.url());
                command
                    .args(["plan", "--endpoint", &format!("{NAME}:5432"), "--target-group", &arn])
                    .args(["--nameserver", &dns.addr().to_string()])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                let start = Instant::now();
                command.status().expect("the program starts");
                times.push(start.elapsed());
            }
            let median = Sorted::new(times).median();
            if plain.is_zero() {
                plain = median;
            }
            println!("  {:<12}{what:<36}{:>12}", build.name, ms(median.saturating_sub(plain)));
        }
    }
}

//! From a change in DNS to the RegisterTargets call.
//!
//! A change can be seen by nobody before the answer given last has expired in the resolver's cache. That moment is worked out
//! from the queries recorded; what is measured is the time from there to the arrival of the call. Every endpoint changes
//! once, so that a change meets the daemon as it is in everyday life: at rest, with its looks at the group for drift going on.
//! There are several daemons because each makes fewer than four calls a second: the wait for a turn is not to be measured.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::figures::{Sorted, ms, row, title};
use crate::fleet::{Change, Fleet, Reaction};
use crate::process::{Build, Running};

const DAEMONS: usize = 20;
/// From one change to the next.
const APART: Duration = Duration::from_millis(400);
/// How long the groups' first looks may take, and the last changes.
const PATIENCE: Duration = Duration::from_secs(20);
/// The changes come at these moments again with the next run.
const SEED: u64 = 1;

pub fn run(quick: bool, build: &Build) {
    let each = if quick { 2 } else { 10 };
    let fleet = Fleet::new(build, DAEMONS * each, |index| 1 + (index % 5) as u32);
    let daemons: Vec<Running> = (fleet.bound.chunks(each).enumerate())
        .map(|(number, bound)| fleet.follow(bound, &format!("bench-reaction-{number}.toml")))
        .collect();
    fleet.wait_until_looked_at(PATIENCE);
    title(&format!(
        "reaction of {}: {} changes in DNS, TTL 1 to 5 s, a caching name server; {DAEMONS} daemons with {each} endpoints each",
        build.name,
        fleet.bound.len()
    ));
    let calls_before = fleet.elb.calls().len();
    let start = Instant::now();
    let changes = change_all(&fleet);
    fleet.wait_until_registered(&changes, PATIENCE);
    let calls = fleet.elb.calls().len() - calls_before;
    let calls_per_s = calls as f64 / start.elapsed().as_secs_f64() / DAEMONS as f64;
    drop(daemons);
    print(fleet.reactions(&changes), calls_per_s);
}

/// Changes every endpoint once, in random order and at random moments.
fn change_all(fleet: &Fleet) -> Vec<Change> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut order: Vec<usize> = (0..fleet.bound.len()).collect();
    random.shuffle(&mut order);
    let start = Instant::now();
    let change = |(turn, index)| {
        let at = start + APART.mul_f64(turn as f64 + random.f64());
        sleep(at.saturating_duration_since(Instant::now()));
        fleet.change(index)
    };
    order.into_iter().enumerate().map(change).collect()
}

fn print(reactions: Vec<Option<Reaction>>, calls_per_s: f64) {
    let missing = reactions.iter().filter(|reaction| reaction.is_none()).count();
    let reactions: Vec<Reaction> = reactions.into_iter().flatten().collect();
    let whole = Sorted::new(reactions.iter().map(Reaction::whole));
    println!("  from the end of the cached answer's TTL to the arrival of RegisterTargets:");
    row("median", ms(whole.median()), "");
    row("p99", ms(whole.percentile(99)), "goal: under 100 ms");
    row("longest", ms(whole.max()), "");
    let spaced = reactions.iter().filter(|reaction| reaction.spaced).count();
    row(
        "a look at the group came just before",
        spaced,
        "changes; looks are 1 s apart",
    );
    if missing > 0 {
        row("never registered", missing, "goal: 0");
    }
    let undisturbed: Vec<&Reaction> = reactions.iter().filter(|reaction| !reaction.spaced).collect();
    println!("  the others, step by step (median, p99, longest):");
    for (what, part) in [
        (
            "to the DNS query that sees it",
            (|reaction| reaction.looked) as fn(&Reaction) -> Duration,
        ),
        ("then to the look at the group", |reaction| reaction.listed),
        ("then to RegisterTargets", |reaction| reaction.registered),
        ("together", Reaction::whole),
    ] {
        let part = Sorted::new(undisturbed.iter().map(|reaction| part(reaction)));
        let [median, p99, longest] = [50, 99, 100].map(|percent| ms(part.percentile(percent)));
        row(&format!("  {what}"), median, &format!("{p99:>10} {longest:>10}"));
    }
    row(
        "ELB calls",
        format!("{calls_per_s:.1} /s"),
        "for each daemon; each may make 3.8",
    );
}

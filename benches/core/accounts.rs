//! All databases of many accounts move at once: how long until the last target group has its new address.
//!
//! The ELBv2 server limits the calls of each account as AWS does. Builds are measured side by side, at the same time.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::elb::Call;

use crate::figures::{Sorted, row, title};
use crate::fleet::{Change, Fleet};
use crate::process::{Build, Running};

const TTL_SECONDS: u32 = 5;
/// A thousand first looks at 3.8 a second take four and a half minutes.
const FIRST_LOOKS_MAX: Duration = Duration::from_secs(400);
/// In which budgets of calls fill up again, and each group is as it is in everyday life.
const CALM: Duration = Duration::from_secs(15);
/// A thousand looks and as many registrations at 3.8 a second take nine minutes.
const CHANGES_MAX: Duration = Duration::from_secs(900);

pub fn run(quick: bool, builds: &[Build]) {
    let (accounts, each) = if quick { (4, 5) } else { (40, 25) };
    title(&format!(
        "accounts: {accounts} with {each} endpoints and groups each, all of which change at once, TTL {TTL_SECONDS} s"
    ));
    let sides: Vec<(Fleet, Running)> = (builds.iter())
        .map(|build| {
            let fleet = Fleet::in_accounts(build, accounts * each, accounts, |_| TTL_SECONDS);
            fleet.elb.limits(true);
            let daemon = fleet.follow(&fleet.bound, "bench-accounts.toml");
            (fleet, daemon)
        })
        .collect();
    for (fleet, _) in &sides {
        fleet.wait_until_looked_at(FIRST_LOOKS_MAX);
    }
    sleep(CALM);
    let begun: Vec<(Instant, usize)> = (sides.iter())
        .map(|(fleet, _)| {
            let (start, calls) = (Instant::now(), fleet.elb.calls().len());
            let _: Vec<Change> = (0..fleet.bound.len()).map(|index| fleet.change(index)).collect();
            (start, calls)
        })
        .collect();
    let mut last = Vec::new();
    for ((fleet, _), (start, before)) in sides.iter().zip(begun) {
        let all = fleet.bound.len();
        fleet.elb.wait_for(CHANGES_MAX, |calls| {
            registered(&calls[before.min(calls.len())..]).len() == all
        });
        let calls = fleet.elb.calls();
        let registered = registered(&calls[before..]);
        let after = Sorted::new(registered.values().map(|at| at.saturating_duration_since(start)));
        let throttled = calls[before..]
            .iter()
            .filter(|call| call.outcome.as_ref().is_err_and(|code| code == "Throttling"));
        println!("  {}:", fleet.build.name);
        row("groups with their new address", registered.len(), &format!("of {all}"));
        row("the median group", seconds(after.median()), "");
        row("the last group", seconds(after.max()), "");
        row("calls that were throttled", throttled.count(), "");
        last.push(after.max());
    }
    if let [this, other] = last[..] {
        let share = this.as_secs_f64() / other.as_secs_f64();
        row(
            "the last group, this build to the other",
            format!("1/{:.0}", 1.0 / share),
            "goal: at most 1/20",
        );
    }
}

/// When each group was first registered with.
fn registered(calls: &[Call]) -> BTreeMap<&str, Instant> {
    let mut first = BTreeMap::new();
    for call in calls
        .iter()
        .filter(|call| call.action == "RegisterTargets" && call.outcome.is_ok())
    {
        first.entry(call.arn.as_deref().unwrap_or_default()).or_insert(call.at);
    }
    first
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

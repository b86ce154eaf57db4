//! Worlds that every test run plays. Millions of failovers are the benchmark's: `cargo bench --bench simulation`.

use super::simulation::still::Dead;
use super::simulation::{Counts, Realm, play, small, still, world};

/// Worlds of one run.
const WORLDS: u64 = 12;
/// Those of them where members are asked, which takes longer.
const WORLDS_OF_MEMBERS: u64 = 3;

/// Worlds that broke a rule once. As the code changes, the same seed becomes another world: what was to blame has tests of its own.
const FOUND: [u64; 4] = [1_025_898, 1_027_204, 1_031_959, 1_056_567];

fn played(realm: Realm, worlds: u64) -> Counts {
    match play(realm, 0..worlds, 2) {
        Ok(counts) => counts,
        Err(failed) => panic!("{realm:?}, seed {}: {}", failed.seed, failed.broken),
    }
}

#[test]
fn no_world_of_members_breaks_a_rule() {
    let counts = played(Realm::Members, WORLDS_OF_MEMBERS);
    let rare = [
        counts.log_ins,
        counts.questions,
        counts.routes,
        counts.ahead,
        counts.right,
    ];
    assert!(rare.into_iter().all(|count| count > 0), "{counts}");
}

#[test]
fn no_world_breaks_a_rule() {
    let counts = played(Realm::Groups, WORLDS);
    // What never happens shows nothing.
    let rare = [counts.removals, counts.crashes, counts.suspensions, counts.reloads];
    let faults = [counts.settled, counts.dns_faults, counts.aws_faults, counts.meddlings];
    assert!(rare.into_iter().chain(faults).all(|count| count > 0), "{counts}");
    assert_eq!(
        counts.failovers,
        u64::from(Realm::Groups.failovers()) * WORLDS,
        "{counts}"
    );
}

#[test]
fn worlds_that_broke_a_rule_do_not_again() {
    for seed in FOUND {
        let (_, ended) = world(Realm::Groups, seed, true);
        ended.unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
}

#[test]
fn a_seed_is_the_same_world_each_time() {
    for seed in [3, 17] {
        let (digest, _) = world(Realm::Groups, seed, false);
        assert_eq!(world(Realm::Groups, seed, true).0, digest, "seed {seed}");
    }
}

#[test]
fn a_failover_survives_every_single_fault() {
    let (steps, schedules, counts) =
        small::play_all(1, small::Part(1, 1), 2).unwrap_or_else(|broken| panic!("{broken}"));
    assert_eq!(schedules, 1 + steps as usize * small::WRONGS.len());
    assert!(
        steps >= 12 && counts.removals as usize >= schedules,
        "{steps} steps, {counts}"
    );
}

#[test]
fn a_day_without_dns_aws_or_the_process_changes_nothing() {
    for dead in Dead::all().take(3) {
        if let Err(broken) = still::play(dead) {
            panic!("{broken}");
        }
    }
}

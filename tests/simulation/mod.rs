//! The real follower in worlds that are made up: databases that fail over, name servers that lag, lie and fail, an API that fails,
//! processes that end anywhere. Time is virtual, chance is seeded, and whatever anybody does is held against the rules (`rules.rs`).
//!
//! A seed is a world: `cargo bench --bench simulation -- --seed N --failovers 1` shows one. Where groups alone follow, it plays the same
//! way each time. Where members are asked, several wait for one value, and tokio wakes them in an order of its own: such a world is
//! written down as it is played. What is real
//! is all of `follow`, `planner` and `dns::watch`, the budget of calls, and where members are asked, all of `lead` but its sessions, and the
//! routes of proxies; what stands in for the rest is below.

mod hands;
mod led;
mod names;
mod process;
mod region;
mod rules;
pub mod small;
pub mod still;
mod tongues;
mod world;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

pub use region::Broken;
pub use rules::Counts;
pub use world::Realm;

/// One world in so many is played once more, and must go the same way (S7).
const AGAIN_EVERY: u64 = 50;

/// A world in which a rule was broken.
#[derive(Debug)]
pub struct Failed {
    /// Its seed.
    pub seed: u64,
    /// The rule, and what happened before.
    pub broken: Broken,
}

/// Plays the worlds of these seeds on so many threads, and counts what there was in them.
pub fn play(realm: Realm, seeds: std::ops::Range<u64>, threads: usize) -> Result<Counts, Failed> {
    let next = AtomicU64::new(seeds.start);
    let is_over = AtomicBool::new(false);
    let work = || {
        let mut all = Counts::default();
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let is_traced = realm == Realm::Members;
            match world(realm, seed, is_traced) {
                (digest, Ok(counts)) => {
                    all += counts;
                    let is_again = realm == Realm::Groups && seed.is_multiple_of(AGAIN_EVERY);
                    if is_again && world(realm, seed, false).0 != digest {
                        is_over.store(true, Ordering::Relaxed);
                        let broken = Broken("S7: it went another way the second time".to_owned());
                        return Err(Failed { seed, broken });
                    }
                }
                (_, Err(broken)) => {
                    is_over.store(true, Ordering::Relaxed);
                    // Once more, with what happened.
                    let again = (!is_traced).then(|| world(realm, seed, true).1.err()).flatten();
                    let broken = again.unwrap_or(broken);
                    return Err(Failed { seed, broken });
                }
            }
        }
        Ok(all)
    };
    thread::scope(|scope| {
        let working: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = working.into_iter().map(|one| one.join().expect("no world panics"));
        let mut all = Counts::default();
        for counts in ended {
            all += counts?;
        }
        Ok(all)
    })
}

/// Plays one world: the digest of all that happened in it, and how it ended.
pub fn world(realm: Realm, seed: u64, is_traced: bool) -> (u64, Result<Counts, Broken>) {
    runtime().block_on(world::play(realm, seed, is_traced))
}

/// What virtual time passes in.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

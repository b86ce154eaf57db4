//! Random walks through a small world: whatever happens, the invariants hold, and once it stops happening the group
//! comes to rest where DNS is.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rds_tether::planner::candidate::{Probe, ProbePatience};
use rds_tether::planner::endpoint::Role;
use rds_tether::planner::policy::Policy;
use rds_tether::planner::target::Target;

use super::process::{Intent, Process};
use super::world::{ADDRESSES, Group, Resolver, Truth, chance};

/// Walks of one run; each takes a few milliseconds.
const WALKS: u64 = 1000;
/// The environment variable that replays one walk.
const SEED: &str = "RDS_TETHER_SEED";
/// How far a process's last answer lags behind its resolver at most, while the world is not at a standstill.
const UNLOOKED_SECS: u64 = 40;
/// How far apart looks are once the faults have stopped: less than a gap, and few enough of them in an hour.
const CALM_STEP_SECS: u64 = 15;
/// How many silent steps are taken for silence.
const QUIET_STEPS: u32 = 12;
/// The longest forget that a contested target can earn.
const CONTESTED_FORGET_MAX: Duration = Duration::from_secs(3600);

#[test]
fn walks_with_one_process_keep_the_invariants() {
    walk_all(1);
}

#[test]
fn walks_with_two_processes_keep_the_invariants() {
    walk_all(2);
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is no setting of the program"
)]
fn seed_given() -> Option<u64> {
    std::env::var(SEED)
        .ok()
        .map(|seed| seed.parse().expect("RDS_TETHER_SEED is a number"))
}

fn walk_all(processes: usize) {
    let seeds = seed_given().map_or(0..WALKS, |seed| seed..seed + 1);
    for seed in seeds {
        let walk = AssertUnwindSafe(|| Walk::new(seed, processes).run());
        assert!(
            catch_unwind(walk).is_ok(),
            "the walk above failed; replay it with\n    {SEED}={seed} cargo test --test inside walks_with_{}_process",
            if processes == 1 { "one" } else { "two" }
        );
    }
}

struct Walk {
    rng: fastrand::Rng,
    now: u64,
    policy: Policy,
    truths: Vec<Truth>,
    group: Group,
    processes: Vec<Process>,
    lag_max_secs: u64,
    lags_less_than_forget: bool,
}

impl Walk {
    fn new(seed: u64, processes: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let is_reader = chance(&mut rng, 3);
        let mut truths = vec![truth(
            if is_reader {
                "orders.cluster-ro-x.eu-west-1.rds.amazonaws.com"
            } else {
                "orders.cluster-x.eu-west-1.rds.amazonaws.com"
            },
            5432,
            &mut rng,
        )];
        if chance(&mut rng, 3) {
            let port = if chance(&mut rng, 2) { 5432 } else { 3306 };
            truths.push(truth(
                if chance(&mut rng, 4) {
                    "bills.cluster-ro-x.eu-west-1.rds.amazonaws.com"
                } else {
                    "bills.cluster-x.eu-west-1.rds.amazonaws.com"
                },
                port,
                &mut rng,
            ));
        }
        let policy = policy(&mut rng);
        let role = if truths.iter().any(|truth| truth.is_reader) {
            Role::Reader
        } else {
            Role::Writer
        };
        let forget_secs = policy.forget(role).as_secs();
        let lag_max_secs = forget_secs.saturating_sub(UNLOOKED_SECS);
        let ttl_secs = [1, 5, 5][rng.usize(..3)];
        let mut resolver = || {
            Resolver::new(
                if chance(&mut rng, 2) {
                    0
                } else {
                    rng.u64(..=lag_max_secs)
                },
                ttl_secs,
            )
        };
        let processes = (0..processes)
            .map(|_| Process::new(truths.iter().map(|_| resolver()).collect()))
            .collect();
        let group = Group::new(&mut rng);
        Self {
            rng,
            now: 0,
            policy,
            truths,
            group,
            processes,
            lag_max_secs,
            lags_less_than_forget: forget_secs >= UNLOOKED_SECS,
        }
    }

    fn run(mut self) {
        for _ in 0..self.rng.u32(15..50) {
            self.storm();
        }
        self.calm();
    }

    /// A few seconds in which anything may happen.
    fn storm(&mut self) {
        let rng = &mut self.rng;
        self.now += if chance(rng, 60) {
            rng.u64(91..300)
        } else {
            rng.u64(1..8)
        };
        self.group.pass(self.now, false, rng);
        for truth in &mut self.truths {
            if chance(rng, 12) {
                truth.change(self.now, rng);
            }
        }
        if chance(rng, 12) {
            self.group.meddle(self.now, rng);
        }
        for process in &mut self.processes {
            if chance(rng, 50) {
                process.restart(self.now, &self.group.registered(), rng);
            }
        }
        let mut intents = self.intents(false);
        self.rng.shuffle(&mut intents);
        for intent in intents {
            self.apply(&intent, false);
        }
    }

    /// What every process plans after one look, all of them from the same listing.
    fn intents(&mut self, is_calm: bool) -> Vec<Intent> {
        let mut intents = Vec::new();
        for process in &mut self.processes {
            let rng = &mut self.rng;
            process.look(&self.truths, self.now, is_calm, rng);
            if is_calm || !chance(rng, 3) {
                let is_seen = is_calm || !chance(rng, 12);
                let group = if is_seen {
                    Ok(self.group.listing())
                } else {
                    Err("Throttling".to_owned())
                };
                let probed = process.probe(is_calm, rng);
                intents.push(process.step(&self.policy, &self.truths, group, probed, self.now));
            }
        }
        intents
    }

    /// Carries a plan out, or loses a part of it.
    fn apply(&mut self, intent: &Intent, is_calm: bool) {
        for target in intent.plan.register.keys() {
            if is_calm || !chance(&mut self.rng, 8) {
                self.group.register(*target, self.now, &mut self.rng);
            }
        }
        let mut removed = false;
        for target in intent.plan.deregister.keys() {
            if is_calm || !chance(&mut self.rng, 8) {
                self.group.deregister(*target, self.now);
                removed = true;
            }
        }
        // Two processes, each of which sees what the other cannot, must not empty the group between them; a memory made
        // up for a test proves no absence to the other one.
        let memories_are_true = self.processes.iter().all(|process| !process.recalls);
        if removed && self.lags_less_than_forget && memories_are_true {
            let registered = self.group.registered();
            let is_served = |wanted: &BTreeSet<Target>| !wanted.is_disjoint(&registered);
            assert!(intent.wanted.iter().all(is_served), "a removal has left {registered:?}");
        }
    }

    /// Faults stop: within forget, patience and a few looks the group is what DNS says, and then nothing is written.
    fn calm(&mut self) {
        for truth in &mut self.truths {
            truth.freeze(self.now);
        }
        let role = if self.truths.iter().any(|truth| truth.is_reader) {
            Role::Reader
        } else {
            Role::Writer
        };
        let (forget, patience) = (self.policy.forget(role), self.policy.patience(role));
        // Every address on both ports.
        let members = 2 * u64::from(ADDRESSES);
        let answers_secs = if role == Role::Reader {
            14 * members * CALM_STEP_SECS
        } else {
            2 * CALM_STEP_SECS
        };
        let deadline = self.now
            + self.lag_max_secs
            + self.forget_most(forget).as_secs().max(answers_secs)
            + patience.as_secs()
            + 4 * CALM_STEP_SECS;
        // The group may be what DNS says before every resolver has heard of it.
        let caught_up = self.now + self.lag_max_secs + 2 * CALM_STEP_SECS;
        while self.now < caught_up || !self.is_at_rest() {
            assert!(
                self.now < deadline,
                "the group is not what DNS says: {:?}",
                self.group.registered()
            );
            self.pass_calmly();
        }
        for _ in 0..QUIET_STEPS {
            assert_eq!(
                self.pass_calmly(),
                0,
                "a write after the group has become what DNS says"
            );
        }
    }

    /// Forget, doubled as often as the most contested target has been removed.
    fn forget_most(&self, forget: Duration) -> Duration {
        let removals = self
            .processes
            .iter()
            .flat_map(|process| process.removals.values())
            .max()
            .copied();
        let doubled = forget.saturating_mul(1 << removals.unwrap_or_default().min(12));
        doubled.min(CONTESTED_FORGET_MAX.max(forget))
    }

    fn pass_calmly(&mut self) -> usize {
        self.now += CALM_STEP_SECS;
        self.group.pass(self.now, true, &mut self.rng);
        let intents = self.intents(true);
        for intent in &intents {
            self.apply(intent, true);
        }
        let writes = |intent: &Intent| intent.plan.register.len() + intent.plan.deregister.len();
        intents.iter().map(writes).sum()
    }

    fn is_at_rest(&self) -> bool {
        let registered = self.group.registered();
        let wanted: BTreeSet<Target> = self.truths.iter().flat_map(|truth| truth.targets(self.now)).collect();
        let may = |target: &Target| {
            let allow = &self.policy.allow_cidrs;
            allow.is_empty() || allow.iter().any(|net| net.contains(&target.ip))
        };
        let is_there = |target: &Target| registered.contains(target);
        let reachable = wanted
            .iter()
            .all(|target| is_there(target) || self.policy.keeps(*target) || !may(target));
        // An endpoint that names nothing but refused or kept addresses is without a replacement for ever.
        let blocks = |truth: &Truth| {
            truth
                .targets(self.now)
                .all(|target| !may(&target) || !is_there(&target))
        };
        let is_blocked = self.truths.iter().any(blocks);
        let stays = |target: &Target| {
            wanted.contains(target) || self.policy.keeps(*target) || self.policy.upsert_only || is_blocked
        };
        reachable && registered.iter().all(stays)
    }
}

fn truth(name: &str, port: u16, rng: &mut fastrand::Rng) -> Truth {
    let endpoint = format!("{name}.eu-west-1.rds.amazonaws.com:{port}")
        .parse()
        .expect("an endpoint");
    Truth::new(endpoint, name.contains("-ro-"), rng)
}

fn policy(rng: &mut fastrand::Rng) -> Policy {
    Policy {
        role: None,
        forget: (!chance(rng, 3)).then(|| Duration::from_secs(rng.u64(10..80))),
        patience: chance(rng, 3).then(|| Duration::from_secs(rng.u64(..60))),
        allow_cidrs: if chance(rng, 6) {
            vec!["10.0.0.0/30".parse().expect("a net")]
        } else {
            Vec::new()
        },
        keep: if chance(rng, 6) {
            vec!["10.0.0.5/32".parse().expect("a net")]
        } else {
            Vec::new()
        },
        upsert_only: chance(rng, 20),
        probe: [Probe::None, Probe::None, Probe::Tcp, Probe::Tls][rng.usize(..4)],
        probe_patience: match rng.u8(..4) {
            0 => None,
            1 => Some(ProbePatience::Forever),
            _ => Some(ProbePatience::For(Duration::from_secs(rng.u64(..60)))),
        },
    }
}

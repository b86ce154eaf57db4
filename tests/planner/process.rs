//! One process that follows the world, and an account of its own, kept apart from the planner's, of what it may do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use rds_tether::planner::answer::Blind;
use rds_tether::planner::candidate::{Doubt, Probe, ProbePatience};
use rds_tether::planner::decide::{Decision, Seen, decide};
use rds_tether::planner::endpoint::{Endpoint, Role};
use rds_tether::planner::guard;
use rds_tether::planner::history::{Answer, Inquiry};
use rds_tether::planner::lead::Led;
use rds_tether::planner::memory::{Memory, Remembered};
use rds_tether::planner::plan::{Plan, Reason};
use rds_tether::planner::policy::Policy;
use rds_tether::planner::target::{Family, Listed, State, Target};

use super::world::{ADDRESSES, Resolver, Truth, at, chance, database, hear};

/// After so long without an answer nobody can tell what DNS said meanwhile.
const GAP_SECS: u64 = 90;
/// Some of the decisions are made twice; all of them would take too long.
const SAME_PLAN_EVERY_SECS: u64 = 8;

pub struct Process {
    watchers: Vec<Watcher>,
    memory: Memory,
    /// Whether it was handed a memory, which may be as wrong as it likes.
    pub recalls: bool,
    /// How often it planned to remove a target: at most so often has its forget doubled.
    pub removals: BTreeMap<Target, u32>,
    /// Since when a candidate had not shown what it has to, and when it was last named.
    unproven: BTreeMap<Target, (u64, u64)>,
    /// The latest step that saw what DNS names.
    unproven_seen: u64,
}

/// A plan, and the legal addresses that each endpoint named when it was made.
pub struct Intent {
    pub plan: Plan,
    pub wanted: Vec<BTreeSet<Target>>,
}

struct Watcher {
    resolver: Resolver,
    sight: Result<Answer, Blind>,
    inquiry: Inquiry,
    account: Account,
}

/// What the answers of one endpoint said, by the test's own count.
#[derive(Default)]
struct Account {
    looks: u64,
    /// Looks whose answer was not the repetition of one before.
    answers: u64,
    expires: u64,
    last_look: Option<u64>,
    seeing_since: u64,
    /// When an address was last named, and how many looks and answers there had been by then.
    named: BTreeMap<IpAddr, (u64, u64, u64)>,
}

impl Process {
    pub fn new(resolvers: Vec<Resolver>) -> Self {
        let watchers = resolvers.into_iter().map(|resolver| Watcher {
            resolver,
            sight: Err(Blind::NotYet),
            inquiry: Inquiry::default(),
            account: Account::default(),
        });
        Self {
            watchers: watchers.collect(),
            memory: Memory::default(),
            recalls: false,
            removals: BTreeMap::new(),
            unproven: BTreeMap::new(),
            unproven_seen: 0,
        }
    }

    /// Loses everything; sometimes somebody hands it a memory, which may be as wrong as it likes.
    pub fn restart(&mut self, now: u64, group: &BTreeSet<Target>, rng: &mut fastrand::Rng) {
        for watcher in &mut self.watchers {
            watcher.sight = Err(Blind::NotYet);
            watcher.inquiry = Inquiry::default();
            watcher.account = Account::default();
        }
        self.unproven.clear();
        self.recalls = chance(rng, 2);
        self.memory = Memory::default();
        if self.recalls {
            let since = at(now.saturating_sub(rng.u64(..3600)));
            let clock = |target: &Target| (*target, Remembered { since, answers: 1000 });
            self.memory = Memory::recall(at(now.saturating_sub(rng.u64(..120))), group.iter().map(clock));
        }
    }

    pub fn look(&mut self, truths: &[Truth], now: u64, is_calm: bool, rng: &mut fastrand::Rng) {
        for (watcher, truth) in self.watchers.iter_mut().zip(truths) {
            if is_calm || !chance(rng, 8) {
                watcher.look(truth, now, is_calm, rng);
            }
        }
    }

    /// What the addresses show when they are probed: all of them the database, in a calm world.
    pub fn probe(&self, is_calm: bool, rng: &mut fastrand::Rng) -> BTreeMap<Target, Result<(), Doubt>> {
        let mut probed = BTreeMap::new();
        for target in (1..=ADDRESSES).flat_map(|n| [5432, 3306].map(|port| Target { ip: database(n), port })) {
            let shown = match if is_calm { 0 } else { rng.u8(..4) } {
                0 => Ok(()),
                1 => Err(Doubt::Silent("no answer in time".into())),
                2 => Err(Doubt::Impostor("the certificate is for another".into())),
                _ => continue,
            };
            probed.insert(target, shown);
        }
        probed
    }

    /// One step: sees, decides, and is held against everything that no plan may do.
    pub fn step(
        &mut self,
        policy: &Policy,
        truths: &[Truth],
        group: Result<BTreeMap<Target, Listed>, String>,
        probed: BTreeMap<Target, Result<(), Doubt>>,
        now: u64,
    ) -> Intent {
        let sights = truths
            .iter()
            .zip(&self.watchers)
            .map(|(truth, watcher)| (truth.endpoint.clone(), watcher.sight.clone()));
        let sights: BTreeMap<_, _> = sights.collect();
        let seen = Seen {
            family: Family::Ipv4,
            endpoints: (sights.iter())
                .map(|(endpoint, sight)| (endpoint, sight.as_ref()))
                .collect(),
            led: BTreeMap::new(),
            probed: &probed,
            group: group.as_ref().map_err(Clone::clone),
            listed: at(now),
        };
        let Decision { plan, memory } = decide(policy, self.memory.clone(), &seen, at(now));
        if now.is_multiple_of(SAME_PLAN_EVERY_SECS) {
            // The same facts, put together in the opposite order.
            let group: Result<BTreeMap<_, _>, _> = group.clone().map(|group| group.into_iter().rev().collect());
            let backwards = Seen {
                family: seen.family,
                endpoints: seen.endpoints.clone().into_iter().rev().collect(),
                led: BTreeMap::new(),
                probed: &probed.clone().into_iter().rev().collect(),
                group: group.as_ref().map_err(Clone::clone),
                listed: at(now),
            };
            let again = decide(&policy.clone(), self.memory.clone(), &backwards, at(now));
            assert_eq!(
                (&plan, &memory),
                (&again.plan, &again.memory),
                "the same facts give the same plan"
            );
        }
        let led = Led {
            writer: database((now % u64::from(ADDRESSES)) as u8 + 1),
            readers: (1..=ADDRESSES).filter(|n| (now >> n) % 2 == 1).map(database).collect(),
        };
        check_led(policy, &self.memory, &seen, &plan, &led, now);
        let check = Check {
            policy,
            seen: &seen,
            plan: &plan,
            named: named(policy, &seen, now),
            held: self.unproven(policy, plan.role, &seen, now),
        };
        check.all();
        let wanted = check.named.into_values().collect();
        self.check_removals(policy, truths, &seen, &plan, now);
        self.memory = memory;
        for target in plan.deregister.keys() {
            *self.removals.entry(*target).or_default() += 1;
        }
        Intent { plan, wanted }
    }

    /// The candidates that must be held until they show something, by the test's own count.
    fn unproven(&mut self, policy: &Policy, role: Role, seen: &Seen, now: u64) -> BTreeSet<Target> {
        let mut held = BTreeSet::new();
        let named: BTreeSet<Target> = named(policy, seen, now).into_values().flatten().collect();
        let Ok(group) = &seen.group else { return held };
        if !named.is_empty() {
            let forget_secs = policy.forget(role).as_secs();
            let gap = now - self.unproven_seen > GAP_SECS;
            let stays = |target: &Target, last: u64| now - last < forget_secs || named.contains(target);
            self.unproven.retain(|target, (_, last)| !gap && stays(target, *last));
            self.unproven_seen = now;
        }
        // A member that is not named now may have shown it, too.
        if role == Role::Reader {
            let is_registered = |target: &Target| group.get(target).is_some_and(|listed| listed.state.is_registered());
            let shown = |target: &Target| seen.probed.get(target) == Some(&Ok(()));
            self.unproven
                .retain(|target, _| !is_registered(target) && !shown(target));
        }
        for target in named {
            let is_registered = group.get(&target).is_some_and(|listed| listed.state.is_registered());
            let shown = seen.probed.get(&target);
            if is_registered || policy.keeps(target) || policy.probe == Probe::None || shown == Some(&Ok(())) {
                self.unproven.remove(&target);
                continue;
            }
            let (since, named) = self.unproven.entry(target).or_insert((now, now));
            *named = now;
            let is_over = match policy.probe_patience() {
                ProbePatience::For(patience) => now - *since >= patience.as_secs(),
                ProbePatience::Forever => false,
            };
            if !is_over || shown.is_none() {
                held.insert(target);
            }
        }
        held
    }

    fn check_removals(&self, policy: &Policy, truths: &[Truth], seen: &Seen, plan: &Plan, now: u64) {
        let forget_secs = policy.forget(plan.role).as_secs();
        let members = seen
            .group
            .iter()
            .flat_map(|group| group.iter())
            .filter(|(target, listed)| listed.state.is_registered() && !policy.keeps(**target));
        let answers_needed = if plan.role == Role::Reader {
            14 * members.count() as u64
        } else {
            2
        };
        for target in plan.deregister.keys() {
            for (watcher, truth) in self.watchers.iter().zip(truths) {
                let account = &watcher.account;
                let (named, looks, answers) = account.since_named(*target, truth.endpoint.port());
                assert!(
                    named.is_none_or(|named| now - named >= forget_secs),
                    "{target} was named at {named:?}"
                );
                assert!(looks >= 2, "{target} goes after {looks} looks of this process");
                assert!(
                    self.recalls || answers >= answers_needed,
                    "{target} goes after {answers} of {answers_needed} answers"
                );
                let seeing = now - account.seeing_since;
                assert!(
                    self.recalls || seeing >= forget_secs,
                    "{target} goes {seeing} s after a gap"
                );
            }
        }
    }
}

/// The same facts, where members show besides who the writer is: what they may change, and what not.
fn check_led(policy: &Policy, memory: &Memory, seen: &Seen, plan: &Plan, led: &Led, now: u64) {
    let led_seen = Seen {
        led: seen.endpoints.keys().map(|endpoint| (*endpoint, led.clone())).collect(),
        ..seen.clone()
    };
    let Decision { plan: with, memory } = decide(policy, memory.clone(), &led_seen, at(now));
    if plan.role == Role::Reader {
        assert_eq!(*plan, with, "a reader endpoint has no writer");
        return;
    }
    if !guard::allows(&policy.allow_cidrs, led.writer) {
        assert_eq!(plan.register, with.register, "nobody leads to where no target may be");
        return;
    }
    let is_writer = |target: &Target| target.ip == led.writer;
    let is_blind = |plan: &Plan| plan.holds.iter().any(|hold| matches!(hold.reason, Reason::Blind(_)));
    assert_eq!(is_blind(plan), is_blind(&with), "what SQL says makes nobody see");
    for target in with.register.keys() {
        assert!(
            is_writer(target) || plan.register.contains_key(target),
            "{target} is new by SQL"
        );
        assert!(
            is_writer(target) || !led.readers.contains(&target.ip),
            "{target} is a reader"
        );
    }
    for target in with.deregister.keys() {
        let is_of_writer = is_writer(target) && seen.endpoints.keys().any(|endpoint| endpoint.port() == target.port);
        assert!(!is_of_writer && !is_blind(&with), "{target} goes by SQL");
        assert!(
            !plan.register.contains_key(target),
            "{target} goes although DNS names it"
        );
    }
    // Where nothing leads any more, all is as if nothing had.
    let named = named(policy, seen, now)
        .into_values()
        .flatten()
        .collect::<BTreeSet<Target>>();
    let after = decide(policy, memory, seen, at(now)).plan;
    assert!(
        after.deregister.keys().all(|target| !named.contains(target)),
        "{after:?}"
    );
}

impl Watcher {
    fn look(&mut self, truth: &Truth, now: u64, is_calm: bool, rng: &mut fastrand::Rng) {
        self.sight = self.resolver.ask(truth, now, is_calm, rng).and_then(|resolution| {
            let answer = hear(&mut self.inquiry, truth.endpoint.host(), &resolution, at(now))?;
            self.account.saw(
                resolution.addresses().union(&resolution.doubtful).copied(),
                resolution.ttl,
                now,
            );
            Ok(answer)
        });
    }
}

impl Account {
    fn saw(&mut self, addresses: impl Iterator<Item = IpAddr>, ttl: Duration, now: u64) {
        if self.last_look.is_none_or(|last| now - last > GAP_SECS) {
            self.seeing_since = now;
        }
        self.last_look = Some(now);
        self.looks += 1;
        if now >= self.expires {
            self.answers += 1;
            self.expires = now + ttl.as_secs();
        }
        for ip in addresses {
            self.named.insert(ip, (now, self.looks, self.answers));
        }
    }

    /// When the target was last named, and how many looks and answers there have been since.
    fn since_named(&self, target: Target, port: u16) -> (Option<u64>, u64, u64) {
        match self.named.get(&target.ip).filter(|_| port == target.port) {
            // Within one TTL the answer may change; the planner counts the first one without the target.
            Some((at, looks, answers)) => (Some(*at), self.looks - looks, self.answers - answers + 1),
            None => (None, self.looks, self.answers),
        }
    }
}

/// What each endpoint that can be seen names and may name, by the test's own rules.
fn named(policy: &Policy, seen: &Seen, now: u64) -> BTreeMap<Endpoint, BTreeSet<Target>> {
    let may = |ip: &IpAddr| {
        matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10)
            && (policy.allow_cidrs.is_empty() || policy.allow_cidrs.iter().any(|net| net.contains(ip)))
    };
    let current = seen
        .endpoints
        .iter()
        .filter_map(|(endpoint, sight)| Some((*endpoint, sight.as_ref().ok()?)));
    let current = current.filter(|(_, answer)| at(now).since(answer.history.last_look).as_secs() <= GAP_SECS);
    let targets = current.map(|(endpoint, answer)| {
        let legal = answer.resolution.addresses().iter().filter(|ip| may(ip));
        (
            endpoint.clone(),
            legal
                .map(|ip| Target {
                    ip: *ip,
                    port: endpoint.port(),
                })
                .collect::<BTreeSet<_>>(),
        )
    });
    targets.filter(|(_, targets)| !targets.is_empty()).collect()
}

/// A plan and what it came from.
struct Check<'a> {
    policy: &'a Policy,
    seen: &'a Seen<'a>,
    plan: &'a Plan,
    named: BTreeMap<Endpoint, BTreeSet<Target>>,
    /// Candidates that have not shown what they have to.
    held: BTreeSet<Target>,
}

impl Check<'_> {
    fn all(&self) {
        let Self { policy, seen, plan, .. } = self;
        let is_blind = self.named.len() < seen.endpoints.len();
        let Ok(group) = &seen.group else {
            assert!(
                plan.register.is_empty() && plan.deregister.is_empty(),
                "a write to an unseen group"
            );
            assert!(!plan.settled, "an unseen group is not settled");
            return;
        };
        let is_registered = |target: &Target| group.get(target).is_some_and(|listed| listed.state.is_registered());
        let wanted: BTreeSet<Target> = self.named.values().flatten().copied().collect();
        let missing = wanted
            .iter()
            .filter(|target| !is_registered(target) && !policy.keeps(**target) && !self.held.contains(*target));
        let registers: BTreeSet<&Target> = plan.register.keys().collect();
        assert_eq!(
            registers,
            missing.collect(),
            "what is registered: all that is legal, named, proven and not registered"
        );
        for (target, zone) in plan.register.iter().chain(&plan.deregister) {
            assert_eq!(
                zone,
                &group.get(target).and_then(|listed| listed.zone.clone()),
                "the zone of {target} is echoed"
            );
            assert!(!policy.keeps(*target), "{target} is kept");
        }
        assert!(plan.deregister.is_empty() || !is_blind, "a removal while blind");
        assert!(
            plan.deregister.is_empty() || !policy.upsert_only,
            "a removal in spite of upsert_only"
        );
        for target in plan.deregister.keys() {
            assert!(is_registered(target), "{target} is removed without being registered");
            self.check_replacement(*target, group);
        }
        let refused_missing = || self.answers().any(|target| !is_registered(&target));
        assert!(
            !plan.settled || !(is_blind || refused_missing()),
            "settled without seeing every named address registered"
        );
        assert!(
            !plan.settled || plan.deregister.is_empty() && plan.register.is_empty(),
            "settled with changes"
        );
    }

    fn answers(&self) -> impl Iterator<Item = Target> {
        let answers = self
            .seen
            .endpoints
            .iter()
            .filter_map(|(endpoint, sight)| Some((endpoint.port(), sight.as_ref().ok()?)));
        answers.flat_map(|(port, answer)| {
            answer
                .resolution
                .addresses()
                .iter()
                .map(move |ip| Target { ip: *ip, port })
        })
    }

    fn check_replacement(&self, surplus: Target, group: &BTreeMap<Target, Listed>) {
        assert!(
            self.answers().all(|named| named != surplus),
            "{surplus} is removed although it is named"
        );
        let is_unused = |target: &Target| group.get(target).is_some_and(|listed| listed.state == State::Unused);
        for (endpoint, targets) in &self.named {
            let replaced = targets.iter().any(|target| {
                group.get(target).is_some_and(|listed| listed.state.is_registered())
                    && (is_unused(&surplus) || !is_unused(target))
            });
            assert!(
                replaced,
                "{surplus} goes, and {endpoint} has no address of its own that is seen registered"
            );
        }
    }
}

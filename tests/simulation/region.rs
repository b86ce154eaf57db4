//! What is true in a world: databases that fail over, target groups, and what everybody did to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::clock::Clock;
use rds_tether::lead::Lead;
use rds_tether::planner::endpoint::Endpoint;
use rds_tether::planner::policy::Policy;
use rds_tether::planner::target::{Listed, State, Target, Zone};
use tokio::time::Instant;

use super::hands::Fault;
use super::process::Process;
use super::rules::Counts;
use super::small::Score;
use super::tongues::Cast;

/// Milliseconds since the beginning of a world.
pub type Millis = u64;

/// The port of every database.
pub const PORT: u16 = 5432;
/// Addresses of the subnet of a database.
pub const ADDRESSES: u32 = 6;
/// The latest lines of a world that are shown when a rule is broken.
const TRACE_MAX: usize = 60;

/// The kinds of databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Multi-AZ instance: a standby that nobody sees takes over.
    Instance,
    /// An Aurora cluster's writer endpoint: the former writer stays as a reader, and the name flaps after a failover.
    Aurora,
    /// A Multi-AZ cluster: one of three takes over.
    Cluster,
    /// A blue/green deployment: all addresses are new, and the former ones live on.
    BlueGreen,
    /// An Aurora cluster's reader endpoint: each answer is one random member.
    Readers,
}

/// A database, and where its name leads.
pub struct Database {
    /// Its name and port.
    pub endpoint: Endpoint,
    /// What it is.
    pub kind: Kind,
    /// The TTL of its record.
    pub ttl: Duration,
    /// From when on which addresses are, or will be, behind its name.
    changes: BTreeMap<Millis, BTreeSet<IpAddr>>,
    /// Addresses that it has had.
    used: u32,
    /// Its members, where they are asked who the writer is: then the name is behind them.
    pub cast: Option<Cast>,
}

/// A target, as the load balancer keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The zone that it was registered with.
    pub zone: Zone,
    /// When its first health checks are over.
    pub ready: Millis,
    /// Until when it drains, once it is deregistered.
    pub drains: Option<Millis>,
}

/// A target group.
pub struct Group {
    /// How every call names it.
    pub arn: Arn,
    /// The databases whose endpoints are followed with it.
    pub follows: Vec<usize>,
    /// Its targets.
    pub members: BTreeMap<Target, Member>,
    /// What it looked like a moment ago, for listings that are behind.
    pub before: BTreeMap<Target, Member>,
}

/// Everything that is true.
pub struct Truth {
    /// The databases.
    pub databases: Vec<Database>,
    /// The target groups.
    pub groups: Vec<Group>,
    /// Who follows.
    pub processes: Vec<Process>,
    /// What happens to all calls until when, and how many of a hundred others fare badly.
    pub weather: (Option<(Fault, Millis)>, u8),
    /// Whether what processes hear is never older than what they have to wait for, and nobody else meddles: only then can many keep a
    /// group filled between them.
    pub is_sound: bool,
    /// What was counted.
    pub counts: Counts,
    /// When somebody last wrote.
    pub last_write: Millis,
    /// Chance.
    pub luck: fastrand::Rng,
    /// What every process obeys.
    pub policy: Policy,
    /// How members are asked, in worlds where they are.
    pub lead: Option<Lead>,
    /// What goes wrong at which step, in worlds where nothing is left to chance.
    pub score: Option<Score>,
    trace: Vec<String>,
    is_traced: bool,
    digest: u64,
    broken: Option<String>,
}

/// A world. Cheap to clone.
#[derive(Clone)]
pub struct Region {
    start: Instant,
    clock: Clock,
    truth: Arc<Mutex<Truth>>,
}

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Region {
    /// A world without anything, that begins now.
    pub fn new(luck: fastrand::Rng, policy: Policy, is_traced: bool) -> Self {
        let truth = Truth {
            databases: Vec::new(),
            groups: Vec::new(),
            processes: Vec::new(),
            weather: (None, 0),
            is_sound: true,
            counts: Counts::default(),
            last_write: 0,
            luck,
            policy,
            lead: None,
            score: None,
            trace: Vec::new(),
            is_traced,
            digest: 0xcbf2_9ce4_8422_2325,
            broken: None,
        };
        Self {
            start: Instant::now(),
            clock: Clock::start(),
            truth: Arc::new(Mutex::new(truth)),
        }
    }

    /// What tells everybody the time: the wall clock stands still, whatever passes here.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Since the beginning.
    pub fn now(&self) -> Millis {
        millis(self.start.elapsed())
    }

    /// What is true now.
    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Truth {
    /// Writes down what happened, for whoever has to understand it, and for comparing two runs.
    pub fn note(&mut self, now: Millis, what: fmt::Arguments<'_>) {
        let mut digest = Digest(self.digest);
        let _ = write!(digest, "{now} {what}");
        self.digest = digest.0;
        self.remark(now, what);
    }

    /// Writes down what is of use to whoever has to understand a run, and may be too much to compare two by.
    pub fn remark(&mut self, now: Millis, what: fmt::Arguments<'_>) {
        if self.is_traced {
            self.trace.push(format!("{:>9.3} s  {what}", now as f64 / 1000.0));
        }
    }

    /// Whether what happens is written down.
    pub fn is_traced(&self) -> bool {
        self.is_traced
    }

    /// The same for every run with the same seed.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// A rule is broken. The first one counts.
    pub fn break_rule(&mut self, now: Millis, what: fmt::Arguments<'_>) {
        if self.broken.is_some() {
            return;
        }
        self.note(now, format_args!("BROKEN: {what}"));
        for (number, process) in self.processes.iter().enumerate() {
            let holds = process
                .holds
                .iter()
                .map(|(arn, holds)| format!("  {number} {} leaves alone: {holds}", arn.name()));
            self.trace.extend(holds);
        }
        let skipped = self.trace.len().saturating_sub(TRACE_MAX);
        self.broken = Some(format!("{what}\n{}", self.trace[skipped..].join("\n")));
    }

    /// The rule that was broken, if one was.
    pub fn broken(&mut self) -> Result<(), Broken> {
        self.broken.take().map_or(Ok(()), |what| Err(Broken(what)))
    }

    /// The database whose name, or whose member's name, this is: its number, and the member's address.
    pub fn database_of(&self, host: &str) -> Option<(usize, Option<IpAddr>)> {
        let numbered = || self.databases.iter().enumerate();
        if let Some((number, _)) = numbered().find(|(_, database)| database.endpoint.host() == host) {
            return Some((number, None));
        }
        let mut led = numbered().filter(|(_, database)| database.cast.is_some());
        led.find_map(|(number, _)| {
            let mut all = (1..=ADDRESSES as u8).map(|n| IpAddr::from([10, 0, number as u8, n]));
            let ip = all.find(|ip| Cast::name(number, *ip) == host)?;
            Some((number, Some(ip)))
        })
    }

    /// The group of an ARN.
    pub fn group(&mut self, arn: &Arn) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.arn == *arn)
    }
}

impl Database {
    /// A database with its first addresses.
    pub fn new(number: usize, kind: Kind, ttl: Duration) -> Self {
        let infix = if kind == Kind::Readers {
            "cluster-ro-"
        } else {
            "cluster-"
        };
        let host = match kind {
            Kind::Instance => format!("db{number}.abc123.eu-west-1.rds.amazonaws.com"),
            _ => format!("db{number}.{infix}abc123.eu-west-1.rds.amazonaws.com"),
        };
        let mut database = Self {
            endpoint: format!("{host}:{PORT}").parse().expect("an endpoint"),
            kind,
            ttl,
            changes: BTreeMap::new(),
            used: 0,
            cast: None,
        };
        let first = (0..if kind == Kind::Readers { 3 } else { 1 })
            .map(|_| database.another(number))
            .collect();
        database.changes.insert(0, first);
        database
    }

    /// An address that it has not had for long: those of a subnet come round again.
    fn another(&mut self, number: usize) -> IpAddr {
        self.used += 1;
        IpAddr::from([10, 0, number as u8, 1 + (self.used % ADDRESSES) as u8])
    }

    /// The addresses behind the name.
    pub fn at(&self, now: Millis) -> &BTreeSet<IpAddr> {
        let (_, addresses) = self.changes.range(..=now).next_back().expect("since the beginning");
        addresses
    }

    /// When the name led elsewhere the last time.
    pub fn changed(&self, now: Millis) -> Millis {
        self.changes.range(..=now).next_back().map_or(0, |(at, _)| *at)
    }

    /// A failover, begun now. Whether the name flaps is chance's.
    pub fn fail_over(&mut self, number: usize, now: Millis, luck: &mut fastrand::Rng) {
        let old = self.at(now).clone();
        self.changes.retain(|at, _| *at <= now);
        // What is long past is of interest to nobody.
        while self.changes.len() > 64 {
            self.changes.pop_first();
        }
        let mut new = old.clone();
        // Of members, the one that wrote last is the one that is replaced, whatever the name says.
        let latest = self.cast.as_ref().and_then(|cast| cast.latest(now));
        let replaced = latest.map_or_else(|| old.clone(), |writer| BTreeSet::from([writer]));
        match self.kind {
            Kind::Instance | Kind::BlueGreen => new = BTreeSet::from([self.another(number)]),
            // One of three members, and often the one before.
            Kind::Aurora | Kind::Cluster => {
                let next = 1 + luck.u8(..3);
                new = BTreeSet::from([IpAddr::from([10, 0, number as u8, next])]);
                if new == replaced {
                    new = BTreeSet::from([IpAddr::from([10, 0, number as u8, 1 + next % 3])]);
                }
            }
            Kind::Readers => {
                let gone = luck.usize(..old.len());
                new.remove(&old.iter().copied().nth(gone).expect("one of them"));
                while new.len() < old.len() {
                    new.insert(self.another(number));
                }
            }
        }
        let led = self.cast.as_mut().zip(new.first().copied());
        let named = led.map_or(now, |(cast, to)| {
            let promoted = now + luck.u64(200..8_000);
            cast.fail_over(to, now, promoted, luck);
            // RDS's name follows 15 to 30 s later, and sometimes at once.
            promoted + [0, luck.u64(..30_000)][luck.usize(..2)]
        });
        self.changes.insert(named, new.clone());
        if self.kind == Kind::Aurora && luck.u8(..2) == 0 {
            self.changes.insert(named + luck.u64(3_000..15_000), old);
            self.changes.insert(named + luck.u64(15_000..30_000), new);
        }
    }

    /// Nothing changes any more.
    pub fn rest(&mut self, now: Millis) {
        if let Some(cast) = &mut self.cast {
            cast.rest(now);
        }
        let last = self.changes.values().next_back().cloned().expect("since the beginning");
        self.changes.retain(|at, _| *at <= now);
        if *self.at(now) != last {
            self.changes.insert(now, last);
        }
    }
}

impl Group {
    /// A group of its own, without targets.
    pub fn new(number: usize, follows: Vec<usize>) -> Self {
        let arn =
            format!("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/group{number}/73e2d6bc24d8a067");
        Self {
            arn: arn.parse().expect("an ARN"),
            follows,
            members: BTreeMap::new(),
            before: BTreeMap::new(),
        }
    }

    /// Forgets who has drained.
    fn pass(&mut self, now: Millis) {
        self.members
            .retain(|_, member| member.drains.is_none_or(|end| now < end));
    }

    /// What is registered.
    pub fn registered(&self) -> impl Iterator<Item = Target> {
        let all = self.members.iter().filter(|(_, member)| member.drains.is_none());
        all.map(|(target, _)| *target)
    }

    /// Whether the target is registered.
    pub fn has(&self, target: &Target) -> bool {
        self.members.get(target).is_some_and(|member| member.drains.is_none())
    }

    /// Registers a target, which is healthy after a while if it is a database at all.
    pub fn register(&mut self, target: Target, zone: Zone, now: Millis, ready: Millis) {
        self.pass(now);
        self.before.clone_from(&self.members);
        let is_there = self.has(&target);
        if !is_there {
            let member = Member {
                zone,
                ready,
                drains: None,
            };
            self.members.insert(target, member);
        }
    }

    /// Deregisters a target, which drains for a while.
    pub fn deregister(&mut self, target: Target, now: Millis, delay: Millis) {
        self.pass(now);
        self.before.clone_from(&self.members);
        if let Some(member) = self.members.get_mut(&target) {
            member.drains.get_or_insert(now + delay);
        }
        self.pass(now);
    }

    /// What DescribeTargetHealth lists of these members.
    pub fn list(members: &BTreeMap<Target, Member>, now: Millis) -> BTreeMap<Target, Listed> {
        let listed = |(target, member): (&Target, &Member)| {
            let state = match member.drains {
                Some(_) => State::Draining,
                None if now < member.ready => State::Initial,
                None => State::Healthy,
            };
            let listed = Listed {
                zone: member.zone.clone(),
                state,
                reason: None,
                description: None,
            };
            (*target, listed)
        };
        let is_there = |(_, member): &(&Target, &Member)| member.drains.is_none_or(|end| now < end);
        members.iter().filter(is_there).map(listed).collect()
    }
}

/// The target of an address.
pub fn target(ip: IpAddr) -> Target {
    Target { ip, port: PORT }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> Millis {
    duration.as_millis() as Millis
}

/// FNV-1a, the same in every run.
struct Digest(u64);

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

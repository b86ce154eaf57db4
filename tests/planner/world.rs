//! A small world to decide in: DNS that changes and flaps, resolvers that lag and fail, a target group that takes its
//! time, and other people. Seconds are numbers, chance is seeded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rds_tether::planner::answer::{Blind, Failure, Quorum, Resolution, Said};
use rds_tether::planner::endpoint::Endpoint;
use rds_tether::planner::history::{Answer, Inquiry};
use rds_tether::planner::target::{Listed, State, Target, Zone};
use rds_tether::planner::time::Timestamp;

/// The beginning of the world: not the epoch, so that earlier moments exist.
const EPOCH_SECS: u64 = 1_000_000;
/// Addresses that databases have here.
pub const ADDRESSES: u8 = 7;
/// Addresses that no target group takes.
const ILLEGAL: [&str; 4] = ["54.12.3.4", "127.0.0.1", "169.254.1.1", "fd00::1"];

pub fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis((EPOCH_SECS + secs) * 1000)
}

pub fn chance(rng: &mut fastrand::Rng, one_in: u32) -> bool {
    rng.u32(..one_in) == 0
}

pub fn database(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// Lets three name servers say what amounts to this answer: what is doubtful is said by one of them.
pub fn hear(inquiry: &mut Inquiry, host: &str, answer: &Resolution, now: Timestamp) -> Result<Answer, Blind> {
    let say = |n: u8, addresses: BTreeSet<IpAddr>| {
        let mut said = Said::new(addresses, answer.ttl);
        said.names.clone_from(&answer.names);
        (SocketAddr::from(([10, 0, 0, n], 53)), Ok(said))
    };
    let sure = || answer.addresses().clone();
    let all = answer.addresses().union(&answer.doubtful).copied().collect();
    let said = vec![say(2, all), say(3, sure()), say(4, sure())];
    let said = inquiry.weigh(host, said, now, now);
    inquiry.hear(host, &said, Quorum::Majority, now)
}

/// What is true of an endpoint.
pub struct Truth {
    pub endpoint: Endpoint,
    pub is_reader: bool,
    /// From when on which members were, or will be, behind the name.
    changes: BTreeMap<u64, BTreeSet<IpAddr>>,
}

impl Truth {
    pub fn new(endpoint: Endpoint, is_reader: bool, rng: &mut fastrand::Rng) -> Self {
        let mut truth = Self {
            endpoint,
            is_reader,
            changes: BTreeMap::new(),
        };
        let members = truth.members(rng);
        truth.changes.insert(0, members);
        truth
    }

    fn members(&self, rng: &mut fastrand::Rng) -> BTreeSet<IpAddr> {
        let count = if self.is_reader { rng.usize(1..=3) } else { 1 };
        (0..count).map(|_| database(rng.u8(1..=ADDRESSES))).collect()
    }

    /// A failover, which may flap for half a minute.
    pub fn change(&mut self, now: u64, rng: &mut fastrand::Rng) {
        let old = self.at(now).clone();
        let new = self.members(rng);
        self.changes.retain(|from, _| *from <= now);
        self.changes.insert(now, new.clone());
        if chance(rng, 2) {
            self.changes.insert(now + rng.u64(3..15), old);
            self.changes.insert(now + rng.u64(15..30), new);
        }
    }

    /// Nothing changes any more.
    pub fn freeze(&mut self, now: u64) {
        self.changes.retain(|from, _| *from <= now);
    }

    pub fn at(&self, moment: u64) -> &BTreeSet<IpAddr> {
        let mut until = self.changes.range(..=moment);
        until
            .next_back()
            .or_else(|| self.changes.first_key_value())
            .map(|(_, members)| members)
            .expect("a beginning")
    }

    pub fn targets(&self, now: u64) -> impl Iterator<Item = Target> {
        let port = self.endpoint.port();
        self.at(now).iter().map(move |ip| Target { ip: *ip, port })
    }
}

/// What one process asks about one endpoint.
pub struct Resolver {
    /// How far it lags behind the truth.
    pub lag_secs: u64,
    pub ttl_secs: u64,
    cached: Option<(u64, Resolution)>,
}

impl Resolver {
    pub fn new(lag_secs: u64, ttl_secs: u64) -> Self {
        Self {
            lag_secs,
            ttl_secs,
            cached: None,
        }
    }

    pub fn ask(
        &mut self,
        truth: &Truth,
        now: u64,
        is_calm: bool,
        rng: &mut fastrand::Rng,
    ) -> Result<Resolution, Blind> {
        if !is_calm && chance(rng, 12) {
            let failures = [Failure::NxDomain, Failure::NoData, Failure::ServFail, Failure::TimedOut];
            let failure = failures[rng.usize(..failures.len())].clone();
            return Err(Blind::NoAddress(BTreeMap::from([(
                SocketAddr::from(([10, 0, 0, 2], 53)),
                failure,
            )])));
        }
        if let Some((expires, answer)) = self.cached.as_ref().filter(|(expires, _)| now < *expires) {
            let mut repeated = answer.clone();
            repeated.ttl = Duration::from_secs(expires - now);
            return Ok(repeated);
        }
        let answer = self.answer(
            truth.at(now.saturating_sub(self.lag_secs)),
            truth.is_reader,
            is_calm,
            rng,
        );
        self.cached = Some((now + self.ttl_secs, answer.clone()));
        Ok(answer)
    }

    fn answer(
        &self,
        members: &BTreeSet<IpAddr>,
        is_reader: bool,
        is_calm: bool,
        rng: &mut fastrand::Rng,
    ) -> Resolution {
        let members: Vec<IpAddr> = members.iter().copied().collect();
        let mut addresses: BTreeSet<IpAddr> = if is_reader {
            BTreeSet::from([members[rng.usize(..members.len())]])
        } else {
            members.into_iter().collect()
        };
        let mut doubtful = BTreeSet::new();
        if !is_calm {
            if chance(rng, 20) {
                addresses.clear();
            }
            if addresses.is_empty() || chance(rng, 20) {
                addresses.insert(ILLEGAL[rng.usize(..ILLEGAL.len())].parse().expect("an address"));
            }
            if chance(rng, 20) {
                doubtful.insert(database(rng.u8(1..=ADDRESSES)));
            }
        }
        let mut answer = Resolution::new(addresses, Duration::from_secs(self.ttl_secs)).expect("an address");
        answer.doubtful = doubtful.difference(answer.addresses()).copied().collect();
        answer
    }
}

struct Member {
    state: State,
    zone: Zone,
    /// When `initial` ends, or `draining`.
    until: u64,
}

/// A target group as ELB keeps it.
pub struct Group {
    members: BTreeMap<Target, Member>,
    drain_secs: u64,
}

impl Group {
    pub fn new(rng: &mut fastrand::Rng) -> Self {
        let mut group = Self {
            members: BTreeMap::new(),
            drain_secs: [0, 30, 300][rng.usize(..3)],
        };
        for _ in 0..rng.u8(..3) {
            group.register(
                Target {
                    ip: database(rng.u8(1..=ADDRESSES)),
                    port: 5432,
                },
                0,
                rng,
            );
        }
        group
    }

    pub fn listing(&self) -> BTreeMap<Target, Listed> {
        let listed = |member: &Member| Listed {
            zone: member.zone.clone(),
            state: member.state.clone(),
            reason: None,
            description: None,
        };
        self.members
            .iter()
            .map(|(target, member)| (*target, listed(member)))
            .collect()
    }

    pub fn registered(&self) -> BTreeSet<Target> {
        let registered = self.members.iter().filter(|(_, member)| member.state.is_registered());
        registered.map(|(target, _)| *target).collect()
    }

    /// A new target is `initial`, a draining one comes back, a registered one stays as it is.
    pub fn register(&mut self, target: Target, now: u64, rng: &mut fastrand::Rng) {
        if !self
            .members
            .get(&target)
            .is_some_and(|member| member.state.is_registered())
        {
            let zone = Some(format!(
                "eu-west-1{}",
                ['a', 'b', 'c'][usize::from(matches!(target.ip, IpAddr::V4(ip) if ip.octets()[3] % 2 == 0))]
            ));
            self.members.insert(
                target,
                Member {
                    state: State::Initial,
                    zone,
                    until: now + rng.u64(1..60),
                },
            );
        }
    }

    /// A registered target drains; of any other nothing is heard.
    pub fn deregister(&mut self, target: Target, now: u64) {
        if let Some(member) = self
            .members
            .get_mut(&target)
            .filter(|member| member.state.is_registered())
        {
            member.state = State::Draining;
            member.until = now + self.drain_secs;
        }
    }

    /// What time does to it. In a calm world every target gets healthy.
    pub fn pass(&mut self, now: u64, is_calm: bool, rng: &mut fastrand::Rng) {
        self.members
            .retain(|_, member| member.state != State::Draining || now < member.until);
        for member in self
            .members
            .values_mut()
            .filter(|member| member.state != State::Draining && member.until <= now)
        {
            if is_calm {
                member.state = State::Healthy;
            } else if member.state == State::Initial || chance(rng, 20) {
                let states = [
                    State::Healthy,
                    State::Healthy,
                    State::Unhealthy,
                    State::UnhealthyDraining,
                    State::Unused,
                    State::Unavailable,
                ];
                member.state = states[rng.usize(..states.len())].clone();
            }
        }
    }

    /// What somebody else does to it.
    pub fn meddle(&mut self, now: u64, rng: &mut fastrand::Rng) {
        let target = Target {
            ip: database(rng.u8(1..=ADDRESSES)),
            port: if chance(rng, 4) { 3306 } else { 5432 },
        };
        if chance(rng, 2) {
            self.register(target, now, rng);
        } else {
            self.deregister(target, now);
        }
    }
}

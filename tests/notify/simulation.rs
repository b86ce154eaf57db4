//! A target group that does at once what the planner says, and the reports of it; time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rds_tether::aws::elb::{self, Written};
use rds_tether::aws::failure;
use rds_tether::dns::watch::Sight;
use rds_tether::follow::binding::Binding;
use rds_tether::follow::report::Report;
use rds_tether::follow::tracker::Tracker;
use rds_tether::notify::News;
use rds_tether::notify::message::{Kind, Message};
use rds_tether::planner::answer::{Failure, Quorum, Said};
use rds_tether::planner::candidate::{Doubt, Probe, ProbePatience};
use rds_tether::planner::decide::{Decision, Seen, decide};
use rds_tether::planner::endpoint::Endpoint;
use rds_tether::planner::history::Inquiry;
use rds_tether::planner::memory::Memory;
use rds_tether::planner::policy::Policy;
use rds_tether::planner::target::{Family, Listed, State, Target};
use rds_tether::planner::time::Timestamp;

use super::world::{READER, WRITER};

/// What DNS says.
#[derive(Clone, Copy)]
pub enum Dns<'a> {
    Names(&'a [&'a str]),
    /// Two name servers, one address each.
    Differs([&'a str; 2]),
    Fails,
}

/// A target group, a process that follows it, and the news of it.
pub struct Simulation {
    pub binding: Arc<Binding>,
    pub news: News,
    pub now: Timestamp,
    pub told: Vec<Message>,
    /// What calls of ELB that list the group answer instead.
    pub denied: bool,
    pub targets: BTreeMap<Target, Listed>,
    /// What candidates show when they are probed.
    pub probed: BTreeMap<Target, Result<(), Doubt>>,
    tracker: Tracker,
    memory: Memory,
    /// The candidates of the step before, which have been probed meanwhile.
    asked: BTreeSet<Target>,
    inquiry: Inquiry,
    blind_since: Option<Timestamp>,
}

pub fn at(secs: u64) -> Timestamp {
    // The beginning of a minute.
    Timestamp::from_millis(1_795_000_020_000 + secs * 1000)
}

pub fn target(ip: &str) -> Target {
    Target {
        ip: ip.parse().unwrap(),
        port: 5432,
    }
}

impl Simulation {
    /// A group that a writer or reader endpoint fills, with these targets in it.
    pub fn new(host: &str, registered: &[&str]) -> Self {
        let endpoint: Endpoint = format!("{host}:5432").parse().unwrap();
        let binding = Binding {
            arn: "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
                .parse()
                .unwrap(),
            endpoints: BTreeSet::from([endpoint]),
            policy: Policy::default(),
            observe: false,
            assume_role: None,
            trust: None,
            lead: None,
        };
        Self {
            binding: Arc::new(binding),
            news: News::new(Duration::from_secs(180)),
            now: at(0),
            told: Vec::new(),
            denied: false,
            targets: registered.iter().map(|ip| (target(ip), healthy())).collect(),
            memory: Memory::default(),
            asked: BTreeSet::new(),
            inquiry: Inquiry::default(),
            blind_since: None,
            probed: BTreeMap::new(),
            tracker: Tracker::default(),
        }
    }

    pub fn writer(registered: &[&str]) -> Self {
        Self::new(WRITER, registered)
    }

    pub fn reader(registered: &[&str]) -> Self {
        Self::new(READER, registered)
    }

    /// From now on, candidates have to show something.
    pub fn probe(&mut self, probe: Probe, patience: ProbePatience) {
        let policy = &mut Arc::make_mut(&mut self.binding).policy;
        (policy.probe, policy.probe_patience) = (probe, Some(patience));
    }

    /// Somebody else takes a target away.
    pub fn take(&mut self, ip: &str) {
        self.targets.remove(&target(ip));
    }

    /// A step every five seconds until a second, with what DNS says then; the clock ticks in between.
    pub fn run(&mut self, until_secs: u64, dns: impl Fn(u64) -> Dns<'static>) {
        while self.now < at(until_secs) {
            let secs = self.now.since(at(0)).as_secs();
            self.step(dns(secs), "run");
            self.now = self.now + Duration::from_secs(5);
            let due = self.news.tick(self.now);
            self.told.extend(due);
        }
    }

    /// One look, decision and change.
    pub fn step(&mut self, dns: Dns<'_>, trigger: &str) {
        let report = self.report(dns);
        let told = self.news.note(&report, trigger);
        self.told.extend(told);
    }

    fn sight(&mut self, dns: Dns<'_>) -> Sight {
        let say = |n: u8, ips: &[&str]| {
            let addresses = ips.iter().map(|ip| ip.parse().unwrap()).collect();
            let server = SocketAddr::from(([10, 0, 0, n], 53));
            (server, Ok(Said::new(addresses, Duration::from_secs(5))))
        };
        let said = match dns {
            Dns::Names(ips) => vec![say(2, ips)],
            Dns::Differs([one, two]) => vec![say(2, &[one]), say(3, &[two])],
            Dns::Fails => vec![(SocketAddr::from(([10, 0, 0, 2], 53)), Err(Failure::NxDomain))],
        };
        let host = self.binding.endpoints.first().unwrap().host();
        let said = self.inquiry.weigh(host, said, self.now, self.now);
        let seen = self.inquiry.hear(host, &said, Quorum::Any, self.now);
        self.blind_since = seen.as_ref().err().map(|_| self.blind_since.unwrap_or(self.now));
        Sight {
            at: self.now,
            seen,
            said: Vec::new(),
            blind_since: self.blind_since,
            last: None,
        }
    }

    fn report(&mut self, dns: Dns<'_>) -> Report {
        let sight = self.sight(dns);
        let endpoint = self.binding.endpoints.first().unwrap().clone();
        let error = elb::Error {
            group: self.binding.arn.clone(),
            failure: failure::Failure::here(
                "DescribeTargetHealth",
                failure::Kind::Denied,
                "AccessDenied",
                "not allowed",
            ),
        };
        let targets = if self.denied {
            Err(error)
        } else {
            Ok(self.targets.clone())
        };
        let asked = self.probed.iter().filter(|(target, _)| self.asked.contains(target));
        let seen = Seen {
            family: Family::Ipv4,
            endpoints: BTreeMap::from([(&endpoint, sight.seen.as_ref())]),
            led: BTreeMap::new(),
            probed: &asked.map(|(target, shown)| (*target, shown.clone())).collect(),
            group: targets.as_ref().map_err(ToString::to_string),
            listed: self.now,
        };
        let memory = std::mem::take(&mut self.memory);
        let Decision { plan, memory } = decide(&self.binding.policy, memory, &seen, self.now);
        self.memory = memory;
        self.asked = plan.candidates();
        let written = |targets: Vec<Target>| Written {
            done: targets.into_iter().collect(),
            failed: Vec::new(),
        };
        let registered = written(plan.register.keys().copied().collect());
        let deregistered = written(plan.deregister.keys().copied().collect());
        for target in &registered.done {
            self.targets.insert(*target, healthy());
            // Who observes registers nothing.
            if !self.binding.observe {
                self.memory.registered(*target, self.now);
            }
        }
        for target in &deregistered.done {
            self.targets.remove(target);
            self.memory.removed(*target);
        }
        let mut report = Report {
            binding: Arc::clone(&self.binding),
            group: None,
            started: self.now,
            at: self.now,
            ended: self.now + Duration::from_millis(40),
            sights: BTreeMap::from([(endpoint, Arc::new(sight))]),
            members: BTreeMap::new(),
            listed: targets.is_ok().then_some(self.now),
            targets,
            plan,
            applied: true,
            registered,
            deregistered,
            reached: Vec::new(),
            late: None,
        };
        report.reached = self.tracker.note(&report);
        report
    }

    /// What has been told, without the times.
    pub fn texts(&self) -> Vec<&str> {
        self.told.iter().map(|message| message.text.as_str()).collect()
    }

    /// The kinds of what has been told.
    pub fn kinds(&self) -> Vec<Kind> {
        self.told.iter().map(|message| message.kind).collect()
    }
}

fn healthy() -> Listed {
    Listed {
        zone: None,
        state: State::Healthy,
        reason: None,
        description: None,
    }
}

//! One step: look at both sides, decide, and do what the plan says. Nothing else changes a target group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use crate::aws::bucket::{Turn, Urgency};
use crate::aws::elb::{self, Client, Group, Written};
use crate::clock::Clock;
use crate::dns::watch::Sight;
use crate::follow::binding::Binding;
use crate::follow::prober::Shown;
use crate::follow::report::Report;
use crate::planner::answer::Blind;
use crate::planner::decide::{Decision, Seen, decide};
use crate::planner::endpoint::Endpoint;
use crate::planner::memory::Memory;
use crate::planner::plan::Plan;
use crate::planner::target::{Family, Listed, Target, Zone};
use crate::planner::time::Timestamp;

/// A removal is not carried out on an older decision than this.
const DECISION_AGE_MAX: Duration = Duration::from_secs(5);

/// The endpoints of a binding and what is known of each.
pub type Sights = BTreeMap<Endpoint, watch::Receiver<Arc<Sight>>>;

/// What a step knows of the group and left for the next step.
pub struct Reconciler {
    binding: Arc<Binding>,
    client: Client,
    group: Group,
    clock: Clock,
    memory: Memory,
    shown: watch::Receiver<Shown>,
    ours: BTreeSet<Target>,
    has_removed: bool,
    last_group: Option<(Timestamp, BTreeMap<Target, Listed>)>,
    calling: Option<(&'static str, Timestamp)>,
}

impl Reconciler {
    /// Begins with what an earlier process remembered, if anything.
    pub fn new(
        binding: Arc<Binding>,
        client: Client,
        group: Group,
        clock: Clock,
        memory: Memory,
        shown: watch::Receiver<Shown>,
    ) -> Self {
        Self {
            binding,
            client,
            group,
            clock,
            memory,
            shown,
            ours: BTreeSet::new(),
            has_removed: false,
            last_group: None,
            calling: None,
        }
    }

    /// The API action that a step was waiting for when it was given up, and since when.
    pub fn calling(&self) -> Option<(&'static str, Timestamp)> {
        self.calling
    }

    /// What is remembered.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Looks and decides, and changes nothing.
    pub async fn look(&mut self, sights: &Sights, turn: Turn) -> Report {
        let started = self.clock.now();
        self.calling = Some(("DescribeTargetHealth", started));
        let targets = self.client.targets(&self.group, turn).await;
        self.calling = None;
        let listed = targets.as_ref().ok().map(|_| self.clock.now());
        self.last_group = listed.zip(targets.as_ref().ok().cloned());
        // DNS is read after the group has answered: what a step decides on is the newest of both.
        self.report(started, targets, listed, sights)
    }

    /// Decides on what DNS says now and the group as it was last seen, and changes nothing; `None` if it has not been seen.
    pub fn look_at_dns(&mut self, sights: &Sights) -> Option<Report> {
        let (listed, group) = self.last_group.clone()?;
        Some(self.report(self.clock.now(), Ok(group), Some(listed), sights))
    }

    /// Looks, decides and applies.
    pub async fn step(&mut self, sights: &Sights, turn: Turn) -> Report {
        let mut report = self.look(sights, turn).await;
        if !self.binding.observe {
            self.apply(sights, &mut report).await;
            report.ended = self.clock.now();
        }
        report
    }

    /// What the next plan would be if the group is as it was last seen; `None` if it has not been seen.
    pub fn foresee(&self, sights: &Sights) -> Option<Plan> {
        let (_, group) = self.last_group.clone()?;
        Some(self.decide(&newest(sights), Ok(group), self.clock.now()).plan)
    }

    fn report(
        &mut self,
        started: Timestamp,
        targets: Result<BTreeMap<Target, Listed>, elb::Error>,
        listed: Option<Timestamp>,
        sights: &Sights,
    ) -> Report {
        let now = self.clock.now();
        let sights = newest(sights);
        let group = targets.clone().map_err(|error| error.to_string());
        let Decision { plan, memory } = self.decide(&sights, group, now);
        self.memory = memory;
        Report {
            binding: Arc::clone(&self.binding),
            group: Some(self.group.clone()),
            started,
            at: now,
            ended: now,
            sights,
            targets,
            listed,
            plan,
            applied: false,
            registered: Written::default(),
            deregistered: Written::default(),
        }
    }

    fn decide(
        &self,
        sights: &BTreeMap<Endpoint, Arc<Sight>>,
        group: Result<BTreeMap<Target, Listed>, String>,
        now: Timestamp,
    ) -> Decision {
        let seen = Seen {
            family: self.group.family,
            endpoints: sights
                .iter()
                .map(|(endpoint, sight)| (endpoint.clone(), sight.seen.clone()))
                .collect(),
            probed: BTreeMap::clone(&self.shown.borrow()),
            group,
        };
        decide(&self.binding.policy, &self.memory, &seen, now)
    }

    async fn apply(&mut self, sights: &Sights, report: &mut Report) {
        report.applied = true;
        let arn = self.binding.arn.clone();
        if !report.plan.register.is_empty() {
            self.calling = Some(("RegisterTargets", self.clock.now()));
            report.registered = self.client.register(&arn, &report.plan.register).await;
            self.calling = None;
            self.ours.extend(&report.registered.done);
        }
        if report.plan.deregister.is_empty() {
            return;
        }
        let turn = self.client.turn(Urgency::Remove).await;
        let removals = self.still_due(sights, report);
        if removals.is_empty() {
            return;
        }
        self.announce_first_removal(removals.keys());
        self.calling = Some(("DeregisterTargets", self.clock.now()));
        report.deregistered = self.client.deregister(&arn, &removals, turn).await;
        self.calling = None;
        for target in &report.deregistered.done {
            self.memory.removed(*target);
        }
        if !report.deregistered.done.is_empty() {
            // What was removed must not be taken for something that came back.
            self.last_group = None;
        }
    }

    /// The planned removals for which DNS has not given a new reason to stay while registrations and other bindings went
    /// first; none if the group may have changed meanwhile. The next step plans again what is left out here.
    fn still_due(&self, sights: &Sights, report: &Report) -> BTreeMap<Target, Zone> {
        if self.clock.now().since(report.at) > DECISION_AGE_MAX {
            return BTreeMap::new();
        }
        let mut removals = report.plan.deregister.clone();
        let foreseen = self.foresee(sights).map(|plan| plan.deregister).unwrap_or_default();
        removals.retain(|target, _| foreseen.contains_key(target));
        removals
    }

    /// A group is owned by default; whoever shares it should learn so from the first removal.
    fn announce_first_removal<'a>(&mut self, targets: impl Iterator<Item = &'a Target>) {
        if std::mem::replace(&mut self.has_removed, true) {
            return;
        }
        for target in targets.filter(|target| !self.ours.contains(target)) {
            warn!(
                group = self.binding.arn.name(),
                %target,
                "removing a target that this process did not register: no endpoint of the group names it; to keep such \
                 targets, use --keep CIDR or --upsert-only",
            );
        }
    }
}

fn newest(sights: &Sights) -> BTreeMap<Endpoint, Arc<Sight>> {
    sights
        .iter()
        .map(|(endpoint, sight)| (endpoint.clone(), sight.borrow().clone()))
        .collect()
}

/// The report of a step that could not even learn what kind of group it is about.
pub fn group_unknown(binding: &Arc<Binding>, error: elb::Error, started: Timestamp, now: Timestamp) -> Report {
    let seen = Seen {
        family: Family::Ipv4,
        endpoints: binding
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.clone(), Err(Blind::NotYet)))
            .collect(),
        probed: BTreeMap::new(),
        group: Err(error.to_string()),
    };
    Report {
        binding: Arc::clone(binding),
        group: None,
        started,
        at: now,
        ended: now,
        sights: BTreeMap::new(),
        targets: Err(error),
        listed: None,
        plan: decide(&binding.policy, &Memory::default(), &seen, now).plan,
        applied: false,
        registered: Written::default(),
        deregistered: Written::default(),
    }
}

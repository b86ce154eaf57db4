//! One step: look at both sides, decide, and do what the plan says. Nothing else changes a target group.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use crate::aws::bucket::Turn;
use crate::aws::elb::{self, Group, TargetGroups, Write, Written};
use crate::clock::Clock;
use crate::dns::watch::{Sight, any_changed};
use crate::follow::binding::Binding;
use crate::follow::prober::Shown;
use crate::follow::report::Report;
use crate::lead::crew::all_heard;
use crate::planner::answer::{Blind, Failure};
use crate::planner::decide::{Decision, Seen, decide};
use crate::planner::endpoint::Endpoint;
use crate::planner::lead::{self, Led};
use crate::planner::memory::Memory;
use crate::planner::plan::{Note, Plan};
use crate::planner::protocol;
use crate::planner::target::{Family, Listed, Target, Zone};
use crate::planner::time::Timestamp;

/// A removal is not carried out on a decision that is older than this, counted from when the group was asked for: an answer that was
/// long on its way, or waited for a process that stood still, may be as old as the question.
const DECISION_AGE_MAX: Duration = Duration::from_secs(5);

/// Where what is known of a binding's endpoints and candidates comes in: always the newest, however many were missed.
pub struct Eyes {
    sights: BTreeMap<Endpoint, watch::Receiver<Arc<Sight>>>,
    members: BTreeMap<Endpoint, Members>,
    shown: watch::Receiver<Shown>,
    clock: Clock,
    /// Whether there is something that was waited for and not viewed yet.
    has_heard: bool,
}

/// What members of a database show. They say the same again and again, and only who leads is news.
struct Members {
    shown: watch::Receiver<Arc<lead::Shown>>,
    viewed: Option<Led>,
    /// Who leads by the latest news, if that has not been viewed: without a listing nothing is decided, and so nothing viewed.
    noticed: Option<Option<Led>>,
    /// Whether all have been heard once. A member that comes later holds nothing up.
    are_open: bool,
}

impl Members {
    fn led(&self, clock: Clock) -> Option<Led> {
        self.shown.borrow().led(clock.now())
    }

    /// Waits until somebody else leads than was viewed and than was noticed last.
    async fn changed(&mut self, clock: Clock) {
        loop {
            let led = self.led(clock);
            let is_known = led == self.viewed || self.noticed.as_ref() == Some(&led);
            self.noticed = Some(led);
            if !is_known {
                return;
            }
            changed(&mut self.shown).await;
        }
    }
}

/// The newest of everything at one moment.
struct View {
    sights: BTreeMap<Endpoint, Arc<Sight>>,
    members: BTreeMap<Endpoint, Arc<lead::Shown>>,
    shown: Shown,
}

impl Eyes {
    /// Eyes that have not seen anything.
    pub fn new(
        sights: BTreeMap<Endpoint, watch::Receiver<Arc<Sight>>>,
        members: BTreeMap<Endpoint, watch::Receiver<Arc<lead::Shown>>>,
        shown: watch::Receiver<Shown>,
        clock: Clock,
    ) -> Self {
        let members = members.into_iter().map(|(endpoint, shown)| {
            let members = Members {
                shown,
                viewed: None,
                noticed: None,
                are_open: false,
            };
            (endpoint, members)
        });
        Self {
            sights,
            members: members.collect(),
            shown,
            clock,
            has_heard: false,
        }
    }

    /// Waits until every endpoint has been looked at once, and each member that is asked has had the time to answer.
    pub async fn opened(&mut self) {
        for sight in self.sights.values_mut() {
            // What is there already is left to be news.
            if !sight.borrow().is_looked_at() {
                // An error means that the watcher has ended; the step then finds nothing seen.
                let _ = sight.wait_for(|sight| sight.is_looked_at()).await;
            }
        }
        for members in self.members.values_mut() {
            if !members.are_open {
                all_heard(&mut members.shown).await;
                members.are_open = true;
            }
        }
    }

    /// Whether every endpoint has been looked at once.
    fn are_open(&self) -> bool {
        self.sights.values().all(|sight| sight.borrow().is_looked_at())
    }

    /// Waits until there is something newer than what was viewed and what was waited for last. Giving up waiting loses nothing.
    pub async fn news(&mut self) {
        let clock = self.clock;
        let members = self
            .members
            .values_mut()
            .map(|members| Box::pin(members.changed(clock)));
        let mut members: Vec<_> = members.collect();
        let any_member = poll_fn(|context| {
            let is_any = members
                .iter_mut()
                .any(|member| member.as_mut().poll(context).is_ready());
            if is_any { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::select! {
            biased;
            () = any_changed(self.sights.values_mut()) => {}
            () = any_member => {}
            () = changed(&mut self.shown) => {}
        }
        self.has_heard = true;
    }

    /// Lets a memory know what has been named, whatever the latest look came to.
    fn heard(&self, memory: &mut Memory) {
        let newest: Vec<(&Endpoint, Arc<Sight>)> = (self.sights.iter())
            .map(|(endpoint, sight)| (endpoint, Arc::clone(&sight.borrow())))
            .collect();
        let answers = newest
            .iter()
            .filter_map(|(endpoint, sight)| Some((*endpoint, sight.latest()?)));
        memory.heard(&answers.collect());
    }

    /// The newest of everything, which is no news from now on.
    fn view(&mut self) -> View {
        self.has_heard = false;
        let newest = |(endpoint, sight): (&Endpoint, &mut watch::Receiver<Arc<Sight>>)| {
            (endpoint.clone(), Arc::clone(&sight.borrow_and_update()))
        };
        let now = self.clock.now();
        let shown = |(endpoint, members): (&Endpoint, &mut Members)| {
            let shown = Arc::clone(&members.shown.borrow_and_update());
            members.viewed = shown.led(now);
            members.noticed = None;
            (endpoint.clone(), shown)
        };
        View {
            sights: self.sights.iter_mut().map(newest).collect(),
            members: self.members.iter_mut().map(shown).collect(),
            shown: Arc::clone(&self.shown.borrow_and_update()),
        }
    }

    fn has_news(&self) -> bool {
        let is_new = |sight: &watch::Receiver<Arc<Sight>>| sight.has_changed().unwrap_or(false);
        self.has_heard
            || self.sights.values().any(is_new)
            || self
                .members
                .values()
                .any(|members| members.led(self.clock) != members.viewed)
            || self.shown.has_changed().unwrap_or(false)
    }
}

async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        // The other side has ended; nothing will come.
        pending::<()>().await;
    }
}

/// What a step knows of the group and left for the next step.
pub struct Reconciler<G> {
    binding: Arc<Binding>,
    groups: G,
    group: Group,
    clock: Clock,
    memory: Memory,
    eyes: Eyes,
    ours: BTreeSet<Target>,
    has_removed: bool,
    last_group: Option<(Timestamp, BTreeMap<Target, Listed>)>,
    /// Whether the group has, or may have, been changed since it was listed.
    has_written: bool,
    foreseen: Option<Foreseen>,
    calling: Option<(&'static str, Timestamp)>,
}

/// What would be decided on the newest view if the group is as it was last seen.
struct Foreseen {
    at: Timestamp,
    view: View,
    decision: Decision,
}

impl<G: TargetGroups> Reconciler<G> {
    /// Begins with what an earlier process remembered, if anything.
    pub fn new(binding: Arc<Binding>, groups: G, group: Group, clock: Clock, memory: Memory, eyes: Eyes) -> Self {
        Self {
            binding,
            groups,
            group,
            clock,
            memory,
            eyes,
            ours: BTreeSet::new(),
            has_removed: false,
            last_group: None,
            has_written: false,
            foreseen: None,
            calling: None,
        }
    }

    /// The API action that a step was waiting for when it was given up, and since when.
    pub fn calling(&self) -> Option<(&'static str, Timestamp)> {
        self.calling
    }

    /// What is remembered, with what was heard since the latest step.
    pub fn memory(&mut self) -> &Memory {
        self.eyes.heard(&mut self.memory);
        &self.memory
    }

    /// Where news comes in.
    pub fn eyes(&mut self) -> &mut Eyes {
        &mut self.eyes
    }

    /// Lets go of what was foreseen: something is due by the passing of time alone.
    pub fn time_has_come(&mut self) {
        self.eyes.has_heard = true;
    }

    /// What would be planned if the group is as it was last seen, where there is news since the latest plan. After a write that
    /// says no more than what to register: the next listing tells what it came to.
    pub fn foreseen(&mut self) -> Option<&Plan> {
        let has_written = self.has_written;
        self.foresee().filter(|plan| !has_written || !plan.register.is_empty())
    }

    fn foresee(&mut self) -> Option<&Plan> {
        if self.eyes.has_news() {
            self.foreseen = None;
            if let Some((listed, group)) = self.last_group.take() {
                let at = self.clock.now();
                let (view, decision) = self.decide(self.memory.clone(), Ok(&group), listed, at);
                self.foreseen = Some(Foreseen { at, view, decision });
                self.last_group = Some((listed, group));
            }
        }
        self.foreseen.as_ref().map(|foreseen| &foreseen.decision.plan)
    }

    /// Looks and decides, and changes nothing.
    pub async fn look(&mut self, turn: Turn) -> Report {
        let started = self.clock.now();
        self.calling = Some(("DescribeTargetHealth", started));
        let targets = Box::pin(self.groups.targets(&self.group, turn)).await;
        self.calling = None;
        let at = self.clock.now();
        let listed = targets.as_ref().ok().map(|_| at);
        self.last_group = listed.zip(targets.as_ref().ok().cloned());
        self.foreseen = None;
        self.has_written &= listed.is_none();
        // DNS is read after the group has answered: what a step decides on is the newest of both.
        let group = targets.as_ref().map_err(ToString::to_string);
        let memory = std::mem::take(&mut self.memory);
        let (view, Decision { plan, memory }) = self.decide(memory, group, at, at);
        self.memory = memory;
        self.report(started, at, view, targets, listed, plan)
    }

    /// The report of a binding for which time was over before `servers` had said anything of one of its names, if that is so;
    /// `limit` names what set the time. The target group is not looked at before.
    pub fn unresolved(&mut self, servers: &[SocketAddr], limit: &str) -> Option<Report> {
        if self.eyes.are_open() {
            return None;
        }
        let now = self.clock.now();
        let mut view = self.eyes.view();
        let silent = servers.iter().map(|server| (*server, Failure::TimedOut));
        let silent = Blind::NoAddress(silent.collect());
        for sight in view.sights.values_mut() {
            if !sight.is_looked_at() {
                *sight = Arc::new(Sight {
                    at: now,
                    seen: Err(silent.clone()),
                    ..Sight::clone(sight)
                });
            }
        }
        let error = elb::not_asked(&self.binding.arn, limit);
        let Decision { plan, .. } = self.decide_on(&view, Memory::default(), Err(error.to_string()), now, now);
        Some(self.report(now, now, view, Err(error), None, plan))
    }

    /// Takes what follows from the newest view and the group as it was last seen for a step that changes nothing; `None` if
    /// the group has not been seen.
    pub fn plan_without_look(&mut self) -> Option<Report> {
        if self.foreseen.is_none() {
            self.time_has_come();
        }
        self.foreseen()?;
        let Foreseen { at, view, decision } = self.foreseen.take()?;
        let (listed, group) = self.last_group.clone()?;
        self.memory = decision.memory;
        Some(self.report(at, at, view, Ok(group), Some(listed), decision.plan))
    }

    /// Decides on the newest view.
    fn decide(
        &mut self,
        memory: Memory,
        group: Result<&BTreeMap<Target, Listed>, String>,
        listed: Timestamp,
        now: Timestamp,
    ) -> (View, Decision) {
        let view = self.eyes.view();
        let decision = self.decide_on(&view, memory, group, listed, now);
        (view, decision)
    }

    fn decide_on(
        &self,
        view: &View,
        memory: Memory,
        group: Result<&BTreeMap<Target, Listed>, String>,
        listed: Timestamp,
        now: Timestamp,
    ) -> Decision {
        let seen = Seen {
            family: self.group.family,
            endpoints: (view.sights.iter())
                .map(|(endpoint, sight)| (endpoint, sight.seen.as_ref()))
                .collect(),
            led: (view.members.iter())
                .filter_map(|(endpoint, shown)| Some((endpoint, shown.led(now)?)))
                .collect(),
            probed: &view.shown,
            group,
            listed,
        };
        let mut decision = decide(&self.binding.policy, memory, &seen, now);
        let unfit = protocol::unfit(&self.group.protocol, &self.group.check_port, view.sights.keys());
        decision.plan.notes.extend(unfit.into_iter().map(Note::Unfit));
        decision
    }

    fn report(
        &self,
        started: Timestamp,
        at: Timestamp,
        view: View,
        targets: Result<BTreeMap<Target, Listed>, elb::Error>,
        listed: Option<Timestamp>,
        plan: Plan,
    ) -> Report {
        Report {
            binding: Arc::clone(&self.binding),
            group: Some(self.group.clone()),
            started,
            at,
            ended: at,
            sights: view.sights,
            members: view.members,
            targets,
            listed,
            plan,
            applied: false,
            registered: Written::default(),
            deregistered: Written::default(),
            reached: Vec::new(),
            late: None,
        }
    }

    /// Carries out what a look has planned, unless the group is only observed.
    pub async fn apply(&mut self, report: &mut Report) {
        if self.binding.observe {
            return;
        }
        report.applied = true;
        let arn = &self.binding.arn;
        if !report.plan.register.is_empty() {
            self.calling = Some((Write::Register.action(), self.clock.now()));
            let turn = self.groups.bucket().take(Write::Register.urgency()).await;
            // A call takes more room than all that a follower remembers, and most followers make none most of the time.
            report.registered = Box::pin(self.groups.write(Write::Register, arn, &report.plan.register, turn)).await;
            self.calling = None;
            self.ours.extend(&report.registered.done);
            let now = self.clock.now();
            for target in &report.registered.done {
                self.memory.registered(*target, now);
            }
        }
        if !report.plan.deregister.is_empty() {
            let turn = self.groups.bucket().take(Write::Deregister.urgency()).await;
            let removals = self.still_due(report);
            if !removals.is_empty() {
                self.announce_first_removal(removals.keys());
                self.calling = Some((Write::Deregister.action(), self.clock.now()));
                let writing = self.groups.write(Write::Deregister, &self.binding.arn, &removals, turn);
                report.deregistered = Box::pin(writing).await;
                self.calling = None;
            }
        }
        for target in &report.deregistered.done {
            self.memory.removed(*target);
        }
        if !report.deregistered.done.is_empty() {
            // What was removed must not be taken for something that came back.
            self.last_group = None;
            self.foreseen = None;
        }
        self.has_written |= report.has_written() || report.may_have_written();
        report.ended = self.clock.now();
    }

    /// The planned removals for which DNS has not given a new reason to stay while registrations and other bindings went
    /// first; none if the group may have changed meanwhile. The next step plans again what is left out here.
    fn still_due(&mut self, report: &Report) -> BTreeMap<Target, Zone> {
        let is_old = self.clock.now().since(report.started) > DECISION_AGE_MAX;
        if is_old || self.last_group.is_none() {
            return BTreeMap::new();
        }
        let mut removals = report.plan.deregister.clone();
        if let Some(foreseen) = self.foresee() {
            removals.retain(|target, _| foreseen.deregister.contains_key(target));
        }
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

/// The report of a step that could not even learn what kind of group it is about.
pub fn group_unknown(binding: &Arc<Binding>, error: elb::Error, started: Timestamp, now: Timestamp) -> Report {
    let endpoints = binding.endpoints.iter().map(|endpoint| (endpoint, Err(&Blind::NotYet)));
    let seen = Seen {
        family: Family::Ipv4,
        endpoints: endpoints.collect(),
        led: BTreeMap::new(),
        probed: &BTreeMap::new(),
        group: Err(error.to_string()),
        listed: now,
    };
    let Decision { plan, .. } = decide(&binding.policy, Memory::default(), &seen, now);
    Report {
        binding: Arc::clone(binding),
        group: None,
        started,
        at: now,
        ended: now,
        sights: BTreeMap::new(),
        members: BTreeMap::new(),
        targets: Err(error),
        listed: None,
        plan,
        applied: false,
        registered: Written::default(),
        deregistered: Written::default(),
        reached: Vec::new(),
        late: None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::planner::answer::{Quorum, Said};
    use crate::planner::history::Inquiry;
    use crate::planner::memory::Remembered;

    /// What was named between the latest step and a look that failed is handed on (the simulation, seed 1025898: when settings were
    /// read again just then, a target went earlier than it was to).
    #[tokio::test]
    async fn a_name_that_fails_now_has_named_what_it_named() {
        let (at, server) = (Timestamp::from_millis, SocketAddr::from(([10, 9, 0, 2], 53)));
        let endpoint: Endpoint = "orders.abc123.eu-west-1.rds.amazonaws.com:5432"
            .parse()
            .expect("an endpoint");
        let ip = IpAddr::from([10, 0, 0, 1]);
        let mut inquiry = Inquiry::default();
        let mut hear = |said, now| inquiry.hear(endpoint.host(), &[(server, said)], Quorum::Any, now);
        hear(Ok(Said::new(BTreeSet::from([ip]), Duration::from_secs(5))), at(9_000)).expect("an answer");
        let seen = hear(Err(Failure::Refused), at(10_000));
        let (_sights, sight) = watch::channel(Arc::new(Sight {
            at: at(10_000),
            seen,
            said: Vec::new(),
            blind_since: Some(at(10_000)),
            last: inquiry.latest().cloned(),
        }));
        let (_shown, shown) = watch::channel(Shown::default());
        let eyes = Eyes::new(
            BTreeMap::from([(endpoint, sight)]),
            BTreeMap::new(),
            shown,
            Clock::start(),
        );
        let remembered = Remembered {
            since: at(0),
            answers: 2,
        };
        let mut memory = Memory::recall(at(0), [(Target { ip, port: 5432 }, remembered)]);
        eyes.heard(&mut memory);
        let (_, clocks) = memory.clocks().expect("it has looked");
        assert_eq!(clocks, BTreeMap::new());
    }
}

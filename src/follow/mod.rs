//! One follower per binding: knows when to take the next step.

pub mod agenda;
pub mod binding;
pub mod milestone;
pub mod prober;
pub mod reconcile;
pub mod report;
pub mod tracker;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::aws::arn::Arn;
use crate::aws::bucket::{Member, Turn, Urgency};
use crate::aws::elb::{self, Client, Group, TargetGroups, Write};
use crate::aws::failure::{FIRST_LOOK, Failure};
use crate::clock::Clock;
use crate::dns::watch::{Hurry, Watch};
use crate::follow::agenda::{Agenda, Ended, Luck, Next, Shares};
use crate::follow::binding::Binding;
use crate::follow::prober::Prober;
use crate::follow::reconcile::{Eyes, Reconciler, group_unknown};
use crate::follow::report::Report;
use crate::follow::tracker::Tracker;
use crate::lead::crew::{Crew, Crews};
use crate::planner::endpoint::Endpoint;
use crate::planner::memory::Memory;
use crate::planner::time::Timestamp;

/// How long the followers of one client wait to be introduced; a group that hangs must not hold up the others.
const INTRODUCTION_MAX: Duration = Duration::from_secs(1);
/// A call that has been under way for this long at the end of the time is the reason for it.
const HUNG: Duration = Duration::from_millis(500);
/// How much longer than its time a step may take that has begun.
const STEP_GRACE: Duration = Duration::from_secs(2);

/// Follows the endpoints of one binding with its target group.
pub struct Follower<G = Client> {
    binding: Arc<Binding>,
    groups: G,
    crews: Arc<Crews>,
    clock: Clock,
    known: Option<Known<G>>,
    agenda: Agenda,
    tracker: Tracker,
    recalled: Memory,
    is_impatient: bool,
    describing_since: Option<Timestamp>,
    member: Member,
}

/// What there is once the target group is known.
struct Known<G> {
    reconciler: Reconciler<G>,
    watches: Vec<Arc<Watch>>,
    /// Who asks members, for as long as this lives.
    _crews: Vec<Arc<Crew>>,
    prober: Prober,
    hurry: Vec<Hurry>,
}

/// What a wait ended with.
enum Wake {
    /// There is nothing to look at yet: the target group could not be described.
    Unknown(Box<Report>),
    /// It is time to look at the group, and the turn for that has come.
    Look { turn: Turn, is_for_change: bool },
    /// Something is new for which nothing is to be written, so the group is taken as it was last seen.
    WithoutLook(Box<Report>),
}

/// A place in the queue for a call.
type Place = (Urgency, Pin<Box<dyn Future<Output = Turn> + Send>>);

impl<G: TargetGroups> Follower<G> {
    /// A follower that has not looked yet.
    pub fn new(binding: Arc<Binding>, groups: G, crews: Arc<Crews>, clock: Clock) -> Self {
        Self {
            member: groups.bucket().join(),
            binding,
            groups,
            crews,
            clock,
            known: None,
            agenda: Agenda::default(),
            tracker: Tracker::default(),
            recalled: Memory::default(),
            is_impatient: false,
            describing_since: None,
        }
    }

    /// Begins with what an earlier follower of the same group remembered, and with the changes that were under way.
    pub fn recall(&mut self, memory: Memory, under_way: Tracker) {
        self.recalled = memory;
        self.tracker = under_way;
    }

    /// What is to be left for the next follower.
    pub fn memory(&mut self) -> (&Memory, &Tracker) {
        let known = self.known.as_mut().map(|known| known.reconciler.memory());
        (known.unwrap_or(&self.recalled), &self.tracker)
    }

    /// Looks at DNS every second even while everything is settled, because a change is expected.
    pub fn expect_change(&mut self) {
        self.is_impatient = true;
    }

    /// Waits before the first step.
    pub fn hold_off(&mut self, pause: Duration) {
        self.agenda.hold_off(self.clock.now() + pause);
    }

    /// The binding that is followed.
    pub fn binding(&self) -> &Arc<Binding> {
        &self.binding
    }

    /// Waits for the time of the next step and takes it.
    pub async fn next(&mut self) -> Report {
        let wake = self.wait().await;
        self.act(wake).await
    }

    /// The same, unless that time comes after `end`. A step that has begun by then is given a little longer.
    pub async fn next_before(&mut self, end: Instant) -> Option<Report> {
        let wake = timeout_at(end, self.wait()).await.ok()?;
        timeout_at(end + STEP_GRACE, self.act(wake)).await.ok()
    }

    /// One look, without a change.
    pub async fn look(&mut self) -> Report {
        let started = self.clock.now();
        let groups = self.groups.clone();
        let mut report = match self.known().await {
            Ok(known) => known.look(&groups).await,
            Err(error) => group_unknown(&self.binding, error, started, self.clock.now()),
        };
        report.reached = self.tracker.note(&report);
        report
    }

    async fn wait(&mut self) -> Wake {
        if let (None, Some(at)) = (&self.known, self.agenda.not_before()) {
            sleep_until(self.clock.instant(at)).await;
        }
        let started = self.clock.now();
        if let Err(error) = self.known().await {
            return Wake::Unknown(Box::new(group_unknown(&self.binding, error, started, self.clock.now())));
        }
        match &mut self.known {
            Some(known) => known.wait(&self.agenda, &self.groups, self.clock).await,
            None => Wake::Unknown(Box::new(self.out_of_time(None, "the wait"))),
        }
    }

    async fn act(&mut self, wake: Wake) -> Report {
        let mut report = match (wake, &mut self.known) {
            (Wake::Look { turn, is_for_change }, Some(known)) => {
                let mut report = known.reconciler.look(turn).await;
                known.reconciler.apply(&mut report).await;
                let now = self.clock.now();
                let ended = Ended::of(&report, is_for_change);
                self.member.press(ended.is_robbed);
                let shares = Shares {
                    drift: self.member.fair_period(),
                    missing: self.member.pressed_period(),
                };
                self.agenda.looked(ended, now, shares, Luck::draw());
                known.prober.ask(&report);
                // While AWS cannot be seen, nothing is gained by asking DNS more often.
                known.hurry_if(self.is_impatient || (report.targets.is_ok() && !report.is_settled()));
                report
            }
            (Wake::WithoutLook(report), Some(known)) => {
                self.agenda.planned(&report.plan, self.clock.now());
                known.prober.ask(&report);
                known.hurry_if(self.is_impatient || !report.is_settled());
                *report
            }
            (Wake::Unknown(report), _) => {
                self.agenda
                    .undescribed(Ended::of(&report, false), self.clock.now(), Luck::draw());
                *report
            }
            // No wait ends with a look while the group is not known.
            (Wake::Look { .. } | Wake::WithoutLook(_), None) => self.out_of_time(None, "the wait"),
        };
        report.reached = self.tracker.note(&report);
        report
    }

    /// The report of a binding whose time was over: the last one, unless a call hung, or none had come. `limit` names what
    /// set the time.
    pub fn out_of_time(&mut self, last: Option<Report>, limit: &'static str) -> Report {
        let calling = match &self.known {
            Some(known) => known.reconciler.calling(),
            None => self.describing_since.map(|since| ("DescribeTargetGroups", since)),
        };
        // Of a write that was cut short nobody knows whether it was made.
        let writes = [Write::Register, Write::Deregister].map(Write::action);
        let hung = calling.filter(|(action, since)| writes.contains(action) || self.clock.now().since(*since) >= HUNG);
        let servers = self.crews.watchers().servers();
        let unresolved = (self.known.as_mut()).and_then(|known| known.reconciler.unresolved(&servers, limit));
        let (action, last) = match (hung, last) {
            (None, Some(mut last)) => {
                last.late = Some(limit);
                return last;
            }
            (None, None) if let Some(mut report) = unresolved => {
                report.late = Some(limit);
                return report;
            }
            (Some((action, _)), last) => (action, last),
            (None, None) => (FIRST_LOOK, None),
        };
        let error = elb::Error {
            group: self.binding.arn.clone(),
            failure: Failure::late(action, limit),
        };
        let now = self.clock.now();
        let mut report = group_unknown(&self.binding, error, now, now);
        report.late = Some(limit);
        if let Some(last) = last {
            report.registered.done = last.registered.done;
            report.deregistered.done = last.deregistered.done;
        }
        report
    }

    async fn known(&mut self) -> Result<&mut Known<G>, elb::Error> {
        let known = match self.known.take() {
            Some(known) => known,
            None => {
                let turn = self.groups.bucket().take(self.agenda.first_urgency()).await;
                self.describing_since = Some(self.clock.now());
                let arns = std::slice::from_ref(&self.binding.arn);
                let described = Box::pin(self.groups.groups(arns, turn)).await;
                self.describing_since = None;
                let group = described?.remove(&self.binding.arn);
                self.begin(group.unwrap_or_else(|| Err(elb::not_listed(&self.binding.arn)))?)
            }
        };
        Ok(self.known.insert(known))
    }

    fn begin(&self, group: Group) -> Known<G> {
        let watches: BTreeMap<&Endpoint, Arc<Watch>> = (self.binding.endpoints.iter())
            .map(|endpoint| (endpoint, self.crews.watchers().follow(endpoint.host(), group.family)))
            .collect();
        let quests = (self.binding.endpoints.iter()).filter_map(|endpoint| self.binding.quest(endpoint, group.family));
        let crews: Vec<(Endpoint, Arc<Crew>)> = quests
            .map(|quest| (quest.endpoint.clone(), self.crews.follow(quest)))
            .collect();
        let members = crews.iter().map(|(endpoint, crew)| (endpoint.clone(), crew.shown()));
        let sights = watches
            .iter()
            .map(|(endpoint, watch)| (Endpoint::clone(endpoint), watch.sights()));
        let prober = Prober::new(&self.binding);
        let eyes = Eyes::new(sights.collect(), members.collect(), prober.shown(), self.clock);
        let mut known = Known {
            hurry: Vec::new(),
            watches: watches.into_values().collect(),
            _crews: crews.into_iter().map(|(_, crew)| crew).collect(),
            reconciler: Reconciler::new(
                Arc::clone(&self.binding),
                self.groups.clone(),
                group,
                self.clock,
                self.recalled.clone(),
                eyes,
            ),
            prober,
        };
        known.hurry_if(self.is_impatient);
        known
    }
}

impl<G: TargetGroups> Known<G> {
    /// Looks without a change, and asks the candidates that there are once.
    async fn look(&mut self, groups: &G) -> Report {
        self.reconciler.eyes().opened().await;
        let report = self.reconciler.look(groups.bucket().take(Urgency::Look).await).await;
        self.prober.ask(&report);
        if self.prober.is_idle() {
            return report;
        }
        self.prober.all_asked().await;
        self.reconciler.plan_without_look().unwrap_or(report)
    }

    /// Waits for the next step. The turn for its call is waited for here, where news is noticed.
    async fn wait(&mut self, agenda: &Agenda, groups: &G, clock: Clock) -> Wake {
        self.reconciler.eyes().opened().await;
        let mut queued: Option<Place> = None;
        loop {
            let (at, urgency) = match agenda.next(self.reconciler.foreseen()) {
                Next::Look { at, urgency } => (at, urgency),
                Next::WithoutLook => match self.reconciler.plan_without_look() {
                    Some(report) => return Wake::WithoutLook(Box::new(report)),
                    None => {
                        self.reconciler.eyes().news().await;
                        continue;
                    }
                },
            };
            if clock.now() < at {
                tokio::select! {
                    biased;
                    () = sleep_until(clock.instant(at)) => self.reconciler.time_has_come(),
                    () = self.reconciler.eyes().news() => {}
                }
                continue;
            }
            // A place in the queue is kept for as long as the urgency is the same.
            let queue = || {
                let bucket = Arc::clone(groups.bucket());
                (urgency, Box::pin(async move { bucket.take(urgency).await }) as _)
            };
            let (_, turn) = match &mut queued {
                Some(place) if place.0 == urgency => place,
                place => place.insert(queue()),
            };
            tokio::select! {
                biased;
                turn = turn => {
                    let is_for_change = urgency == Urgency::Register || agenda.is_new();
                    return Wake::Look { turn, is_for_change };
                }
                () = self.reconciler.eyes().news() => {}
            }
        }
    }

    fn hurry_if(&mut self, wanted: bool) {
        if !wanted {
            self.hurry.clear();
        } else if self.hurry.is_empty() {
            self.hurry = self.watches.iter().map(Watch::hurry).collect();
        }
    }
}

/// Describes the groups of followers that share a client, at most [`elb::DESCRIBED_MAX`], with one call. Those it does not tell about ask for themselves.
pub async fn introduce<G: TargetGroups>(followers: &mut [Follower<G>]) {
    let [first, _, ..] = followers else { return };
    let groups = first.groups.clone();
    let arns: Vec<Arn> = followers.iter().map(|follower| follower.binding.arn.clone()).collect();
    let turn = groups.bucket().take(Urgency::Register).await;
    let Ok(Ok(mut described)) = timeout(INTRODUCTION_MAX, groups.groups(&arns, turn)).await else {
        return;
    };
    for follower in followers {
        if let Some(Ok(group)) = described.remove(&follower.binding.arn) {
            follower.known = Some(follower.begin(group));
        }
    }
}

//! One follower per binding: knows when to take the next step.

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use crate::bucket::Urgency;
use crate::clock::Clock;
use crate::elb::{self, Arn, Client, Group};
use crate::planner::answer::Blind;
use crate::planner::cadence::{self, GroupLook};
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::memory::Memory;
use crate::planner::plan::{Held, Plan};
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::reconcile::{Binding, Reconciler, Sights, group_unknown};
use crate::report::Report;
use crate::watch::{Hurry, Sight, Watch, Watchers};

/// How often a group is looked at for drift, before jitter.
const VERIFY: Duration = Duration::from_secs(60);
/// How long the followers of one client wait to be introduced; a group that hangs must not hold up the others.
const INTRODUCTION_MAX: Duration = Duration::from_secs(1);
/// How far jitter moves that, so that many bindings do not look together.
const VERIFY_JITTER: f64 = 0.25;
/// A call that has been under way for this long at the end of the time is the reason for it.
const HUNG: Duration = Duration::from_millis(500);
/// The longest wait after errors.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Follows the endpoints of one binding with its target group.
pub struct Follower {
    binding: Arc<Binding>,
    client: Client,
    watchers: Arc<Watchers>,
    clock: Clock,
    known: Option<Known>,
    failures: u32,
    not_before: Option<Timestamp>,
    recalled: Memory,
    is_impatient: bool,
    describing_since: Option<Timestamp>,
}

/// What there is once the target group is known.
struct Known {
    reconciler: Reconciler,
    watches: Vec<Arc<Watch>>,
    sights: Sights,
    hurry: Vec<Hurry>,
    last: Option<Last>,
}

/// What the latest step left for the choice of the next.
struct Last {
    look: GroupLook,
    shape: Shape,
}

/// As much of a plan as makes a difference worth another look at the group. For a reader the members missing from one
/// answer make none, or there would be a look at the group with every look at DNS.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    register: Vec<Target>,
    deregister: Vec<Target>,
    holds: Vec<(Held, &'static str)>,
    settled: bool,
}

impl Shape {
    fn of(plan: &Plan) -> Self {
        let counts = |waiting: bool| plan.role == Role::Writer || !waiting;
        Self {
            register: plan.register.keys().copied().collect(),
            deregister: plan.deregister.keys().copied().collect(),
            holds: (plan.holds.iter())
                .filter(|hold| counts(hold.reason.is_waiting()))
                .map(|hold| (hold.what.clone(), hold.reason.name()))
                .collect(),
            settled: plan.settled,
        }
    }
}

impl Follower {
    /// A follower that has not looked yet.
    pub fn new(binding: Arc<Binding>, client: Client, watchers: Arc<Watchers>, clock: Clock) -> Self {
        Self {
            binding,
            client,
            watchers,
            clock,
            known: None,
            failures: 0,
            not_before: None,
            recalled: Memory::default(),
            is_impatient: false,
            describing_since: None,
        }
    }

    /// Begins with what an earlier process remembered.
    pub fn recall(&mut self, memory: Memory) {
        self.recalled = memory;
    }

    /// What is to be left for the next process.
    pub fn memory(&self) -> &Memory {
        self.known
            .as_ref()
            .map_or(&self.recalled, |known| known.reconciler.memory())
    }

    /// Looks at DNS every second even while everything is settled, because a change is expected.
    pub fn expect_change(&mut self) {
        self.is_impatient = true;
    }

    /// The binding that is followed.
    pub fn binding(&self) -> &Arc<Binding> {
        &self.binding
    }

    /// Waits for the time of the next step and takes it.
    pub async fn next(&mut self) -> Report {
        if let (None, Some(at)) = (&self.known, self.not_before) {
            sleep_until(self.clock.instant(at)).await;
        }
        let started = self.clock.now();
        let (clock, backing_off) = (self.clock, self.not_before);
        let report = match self.known().await {
            Ok(known) => {
                let urgency = known.wait(clock, backing_off).await;
                known.reconciler.step(&known.sights, urgency).await
            }
            Err(error) => group_unknown(&self.binding, error, started, self.clock.now()),
        };
        self.note(&report);
        report
    }

    /// One look, without a change.
    pub async fn look(&mut self) -> Report {
        let started = self.clock.now();
        match self.known().await {
            Ok(known) => {
                known.first_sights().await;
                known.reconciler.look(&known.sights, Urgency::Look).await
            }
            Err(error) => group_unknown(&self.binding, error, started, self.clock.now()),
        }
    }

    /// The report of a binding whose time was over: the last one, unless a call hung, or none had come. `limit` names what
    /// set the time.
    pub fn out_of_time(&self, last: Option<Report>, limit: &str) -> Report {
        let calling = match &self.known {
            Some(known) => known.reconciler.calling(),
            None => self.describing_since.map(|since| ("DescribeTargetGroups", since)),
        };
        let hung = calling.filter(|(_, since)| self.clock.now().since(*since) >= HUNG);
        let (action, last) = match (hung, last) {
            (None, Some(last)) => return last,
            (Some((action, _)), last) => (action, last),
            (None, None) => ("The first look", None),
        };
        let error = elb::Error {
            action,
            group: self.binding.arn.clone(),
            kind: elb::Kind::Unavailable,
            code: "Timeout".into(),
            message: format!("no answer within {limit}"),
        };
        let now = self.clock.now();
        let mut report = group_unknown(&self.binding, error, now, now);
        if let Some(last) = last {
            report.registered.done = last.registered.done;
            report.deregistered.done = last.deregistered.done;
        }
        report
    }

    async fn known(&mut self) -> Result<&mut Known, elb::Error> {
        let known = match self.known.take() {
            Some(known) => known,
            None => {
                self.describing_since = Some(self.clock.now());
                let group = self.client.group(&self.binding.arn).await;
                self.describing_since = None;
                self.begin(group?)
            }
        };
        Ok(self.known.insert(known))
    }

    fn begin(&self, group: Group) -> Known {
        let watches: BTreeMap<&Endpoint, Arc<Watch>> = (self.binding.endpoints.iter())
            .map(|endpoint| (endpoint, self.watchers.follow(endpoint.host(), group.family)))
            .collect();
        let mut known = Known {
            hurry: Vec::new(),
            sights: watches
                .iter()
                .map(|(endpoint, watch)| ((*endpoint).clone(), watch.sights()))
                .collect(),
            watches: watches.into_values().collect(),
            last: None,
            reconciler: Reconciler::new(
                Arc::clone(&self.binding),
                self.client.clone(),
                group,
                self.clock,
                self.recalled.clone(),
            ),
        };
        known.hurry_if(self.is_impatient);
        known
    }

    fn note(&mut self, report: &Report) {
        let now = self.clock.now();
        if report.errors().next().is_some() {
            self.failures = self.failures.saturating_add(1);
            let wait = cadence::backoff(self.failures, BACKOFF_MAX).mul_f64(fastrand::f64());
            self.not_before = Some(now + wait);
        } else {
            self.failures = 0;
            self.not_before = None;
        }
        if let Some(known) = &mut self.known {
            known.note(report, now);
            known.hurry_if(self.is_impatient || !report.is_settled());
        }
    }
}

impl Known {
    /// Waits until every watcher has looked once, which takes it no longer than its deadline.
    async fn first_sights(&mut self) {
        for sight in self.sights.values_mut() {
            let looked = sight.wait_for(|sight| !matches!(sight.seen, Err(Blind::NotYet)));
            // An error means that the watcher has ended; the step then finds nothing seen.
            let _ = looked.await;
        }
    }

    /// Waits for the next step and tells how urgent its look is.
    async fn wait(&mut self, clock: Clock, backing_off: Option<Timestamp>) -> Urgency {
        let Some(last) = &self.last else {
            self.first_sights().await;
            return Urgency::Register;
        };
        let earliest = last.look.last + cadence::APART;
        let due = match backing_off {
            Some(at) => at.max(earliest),
            None => last.look.next(),
        };
        loop {
            let now = clock.now();
            let foreseen = self.reconciler.foresee(&self.sights).map(|plan| Shape::of(&plan));
            let changed = foreseen.is_some_and(|shape| shape != last.shape);
            let at = if changed { due.min(earliest) } else { due };
            if now >= at {
                return if changed { Urgency::Register } else { Urgency::Look };
            }
            tokio::select! {
                () = sleep_until(clock.instant(at)) => {}
                () = any_changed(&mut self.sights) => {}
            }
        }
    }

    fn note(&mut self, report: &Report, now: Timestamp) {
        let wrote = !report.registered.done.is_empty() || !report.deregistered.done.is_empty();
        let before = self.last.as_ref().and_then(|last| last.look.last_write);
        let jitter = 1.0 + VERIFY_JITTER * (2.0 * fastrand::f64() - 1.0);
        self.last = Some(Last {
            look: GroupLook {
                last: now,
                last_write: if wrote { Some(now) } else { before },
                hold_end: report.plan.next_end(now),
                verify: now + VERIFY.mul_f64(jitter),
            },
            shape: Shape::of(&report.plan),
        });
    }

    fn hurry_if(&mut self, wanted: bool) {
        if !wanted {
            self.hurry.clear();
        } else if self.hurry.is_empty() {
            self.hurry = self.watches.iter().map(Watch::hurry).collect();
        }
    }
}

/// Waits until one of the sights is a new one.
async fn any_changed(sights: &mut Sights) {
    let change = async |sight: &mut watch::Receiver<Arc<Sight>>| {
        if sight.changed().await.is_err() {
            // The watcher has ended; nothing will come.
            pending::<()>().await;
        }
    };
    let mut changes: Vec<_> = sights.values_mut().map(|sight| Box::pin(change(sight))).collect();
    poll_fn(|context| {
        let any = changes
            .iter_mut()
            .any(|change| change.as_mut().poll(context).is_ready());
        if any { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Describes the groups of followers that share a client with one call. Those it does not tell about ask for themselves.
pub async fn introduce(followers: &mut [Follower]) {
    let [first, _, ..] = followers else { return };
    let client = first.client.clone();
    let arns: Vec<Arn> = followers.iter().map(|follower| follower.binding.arn.clone()).collect();
    let Ok(Ok(mut described)) = timeout(INTRODUCTION_MAX, client.groups(&arns)).await else {
        return;
    };
    for follower in followers {
        if let Some(Ok(group)) = described.remove(&follower.binding.arn) {
            follower.known = Some(follower.begin(group));
        }
    }
}

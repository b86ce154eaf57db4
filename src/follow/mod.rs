//! One follower per binding: knows when to take the next step.

pub mod binding;
pub mod milestone;
pub mod prober;
pub mod reconcile;
pub mod report;

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::aws::arn::Arn;
use crate::aws::bucket::{Member, Turn, Urgency};
use crate::aws::elb::{self, Client, Group};
use crate::clock::Clock;
use crate::dns::watch::{Hurry, Watch, Watchers};
use crate::follow::binding::Binding;
use crate::follow::prober::{Prober, Shown};
use crate::follow::reconcile::{Reconciler, Sights, group_unknown};
use crate::follow::report::Report;
use crate::planner::answer::Blind;
use crate::planner::cadence::{self, GroupLook};
use crate::planner::endpoint::Endpoint;
use crate::planner::memory::Memory;
use crate::planner::plan::{Held, Plan};
use crate::planner::target::Target;
use crate::planner::time::Timestamp;

/// How often a group is looked at for drift, before jitter.
const VERIFY: Duration = Duration::from_secs(60);
/// How long the followers of one client wait to be introduced; a group that hangs must not hold up the others.
const INTRODUCTION_MAX: Duration = Duration::from_secs(1);
/// How far jitter moves that, so that many bindings do not look together.
const VERIFY_JITTER: f64 = 0.25;
/// A call that has been under way for this long at the end of the time is the reason for it.
const HUNG: Duration = Duration::from_millis(500);
/// How often what has failed is tried again ahead of looks for drift; what fails for longer must not hold up the others.
const RETRIES_AHEAD: u32 = 5;
/// How much longer than its time a step may take that has begun.
const STEP_GRACE: Duration = Duration::from_secs(2);
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
    is_hopeless: bool,
    describing_since: Option<Timestamp>,
    member: Member,
}

/// What there is once the target group is known.
struct Known {
    reconciler: Reconciler,
    watches: Vec<Arc<Watch>>,
    sights: Sights,
    prober: Prober,
    shown: watch::Receiver<Shown>,
    hurry: Vec<Hurry>,
    last: Option<Last>,
}

/// What the latest step left for the choice of the next.
struct Last {
    look: GroupLook,
    /// The latest look that a new address asked for.
    look_for_change: Option<Timestamp>,
    shape: Shape,
}

/// As much of a plan as makes a difference worth a step.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    register: Vec<Target>,
    deregister: Vec<Target>,
    holds: Vec<(Held, &'static str)>,
    settled: bool,
}

impl Shape {
    fn of(plan: &Plan) -> Self {
        Self {
            register: plan.register.keys().copied().collect(),
            deregister: plan.deregister.keys().copied().collect(),
            holds: plan
                .differences()
                .map(|hold| (hold.what.clone(), hold.reason.name()))
                .collect(),
            settled: plan.settled,
        }
    }
}

/// What a wait ended with.
enum Wake {
    /// There is nothing to look at yet: the target group could not be described.
    Unknown(Box<Report>),
    /// It is time to look at the group, and the turn for that has come.
    Look { turn: Turn, is_for_change: bool },
    /// DNS says, or a candidate shows, something new for which nothing is to be written, so the group is taken as it was last
    /// seen.
    DnsAlone(Box<Report>),
}

/// A place in the queue for a call.
type Place = (Urgency, Pin<Box<dyn Future<Output = Turn> + Send>>);

/// What comes next, as far as is known at one moment.
#[derive(Clone, Copy)]
enum Next {
    Look { at: Timestamp, urgency: Urgency },
    DnsAlone,
}

/// How a failed step is tried again.
#[derive(Clone, Copy)]
struct Retry {
    at: Timestamp,
    is_persistent: bool,
}

impl Follower {
    /// A follower that has not looked yet.
    pub fn new(binding: Arc<Binding>, client: Client, watchers: Arc<Watchers>, clock: Clock) -> Self {
        Self {
            member: client.join(),
            binding,
            client,
            watchers,
            clock,
            known: None,
            failures: 0,
            not_before: None,
            recalled: Memory::default(),
            is_impatient: false,
            is_hopeless: false,
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

    /// Waits before the first step.
    pub fn hold_off(&mut self, pause: Duration) {
        self.not_before = Some(self.clock.now() + pause);
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
        let client = self.client.clone();
        match self.known().await {
            Ok(known) => {
                known.first_sights().await;
                known.look(client.turn(Urgency::Look).await).await
            }
            Err(error) => group_unknown(&self.binding, error, started, self.clock.now()),
        }
    }

    fn is_persistent(&self) -> bool {
        self.failures > RETRIES_AHEAD || self.is_hopeless
    }

    async fn wait(&mut self) -> Wake {
        let retry = self.not_before.map(|at| Retry {
            at,
            is_persistent: self.is_persistent(),
        });
        if let (None, Some(retry)) = (&self.known, retry) {
            sleep_until(self.clock.instant(retry.at)).await;
        }
        let started = self.clock.now();
        let (client, clock) = (self.client.clone(), self.clock);
        match self.known().await {
            Ok(known) => known.wait(&client, clock, retry).await,
            Err(error) => Wake::Unknown(Box::new(group_unknown(&self.binding, error, started, self.clock.now()))),
        }
    }

    async fn act(&mut self, wake: Wake) -> Report {
        match (wake, &mut self.known) {
            (Wake::Look { turn, is_for_change }, Some(known)) => {
                let report = known.reconciler.step(&known.sights, turn).await;
                self.note(&report, is_for_change);
                report
            }
            (Wake::DnsAlone(report), known) => {
                let now = self.clock.now();
                if let Some(known) = known {
                    known.note_dns(&report, now);
                    known.hurry_if(self.is_impatient || !report.is_settled());
                }
                *report
            }
            (Wake::Unknown(report), _) => {
                self.note(&report, false);
                *report
            }
            // No wait ends with a look while the group is not known.
            (Wake::Look { .. }, None) => self.out_of_time(None, "the wait"),
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
                let persistent = self.is_persistent();
                let turn = self
                    .client
                    .turn(if persistent { Urgency::Look } else { Urgency::Settle })
                    .await;
                self.describing_since = Some(self.clock.now());
                let group = self.client.group(&self.binding.arn, turn).await;
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
        let prober = Prober::new(&self.binding);
        let shown = prober.shown();
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
                shown.clone(),
            ),
            prober,
            shown,
        };
        known.hurry_if(self.is_impatient);
        known
    }

    fn note(&mut self, report: &Report, is_for_change: bool) {
        let now = self.clock.now();
        self.is_hopeless = report.errors().next().is_some()
            && !report.errors().any(|error| {
                matches!(
                    error.kind,
                    elb::Kind::Throttled | elb::Kind::Unavailable | elb::Kind::Other
                )
            });
        if report.errors().next().is_some() {
            self.failures = self.failures.saturating_add(1);
            let wait = cadence::backoff(self.failures, BACKOFF_MAX).mul_f64(fastrand::f64());
            self.not_before = Some(now + wait);
        } else {
            self.failures = 0;
            self.not_before = None;
        }
        if let Some(known) = &mut self.known {
            known.note(report, now, VERIFY.max(self.member.fair_period()), is_for_change);
            // While AWS cannot be seen, nothing is gained by asking DNS more often.
            known.hurry_if(self.is_impatient || (report.targets.is_ok() && !report.is_settled()));
        }
    }
}

impl Known {
    /// Waits until every watcher has looked once.
    async fn first_sights(&mut self) {
        for sight in self.sights.values_mut() {
            let looked = sight.wait_for(|sight| !matches!(sight.seen, Err(Blind::NotYet)));
            // An error means that the watcher has ended; the step then finds nothing seen.
            let _ = looked.await;
        }
    }

    /// Looks without a change, and asks the candidates that there are once.
    async fn look(&mut self, turn: Turn) -> Report {
        let report = self.reconciler.look(&self.sights, turn).await;
        self.prober.ask(&report);
        if self.prober.is_idle() {
            return report;
        }
        self.prober.all_asked().await;
        self.reconciler.look_at_dns(&self.sights).unwrap_or(report)
    }

    /// Waits for the next step. The turn for its call is waited for here, where a change in DNS is noticed.
    async fn wait(&mut self, client: &Client, clock: Clock, retry: Option<Retry>) -> Wake {
        if self.last.is_none() {
            self.first_sights().await;
            let turn = client.turn(Urgency::Settle).await;
            return Wake::Look {
                turn,
                is_for_change: true,
            };
        }
        let mut queued: Option<Place> = None;
        loop {
            let (at, urgency) = match self.next(retry) {
                Next::Look { at, urgency } => (at, urgency),
                Next::DnsAlone => match self.reconciler.look_at_dns(&self.sights) {
                    Some(report) => return Wake::DnsAlone(Box::new(report)),
                    None => {
                        any_changed(&mut self.sights, &mut self.shown).await;
                        continue;
                    }
                },
            };
            if clock.now() < at {
                tokio::select! {
                    () = sleep_until(clock.instant(at)) => {}
                    () = any_changed(&mut self.sights, &mut self.shown) => {}
                }
                continue;
            }
            // A place in the queue is kept for as long as the urgency is the same.
            let queue = || {
                let client = client.clone();
                (urgency, Box::pin(async move { client.turn(urgency).await }) as _)
            };
            let (_, turn) = match &mut queued {
                Some(place) if place.0 == urgency => place,
                place => place.insert(queue()),
            };
            tokio::select! {
                turn = turn => return Wake::Look { turn, is_for_change: urgency == Urgency::Register },
                () = any_changed(&mut self.sights, &mut self.shown) => {}
            }
        }
    }

    fn next(&self, retry: Option<Retry>) -> Next {
        let Some(last) = &self.last else { return Next::DnsAlone };
        let due = Next::Look {
            at: retry.map_or_else(
                || last.look.next(),
                |retry| retry.at.max(last.look.last + cadence::APART),
            ),
            urgency: match retry {
                Some(retry) if retry.is_persistent => Urgency::Look,
                Some(_) if !last.shape.register.is_empty() => Urgency::Register,
                Some(_) => Urgency::Settle,
                // Whatever is still to be seen of what is settled, such as its health, is no hurry.
                None if last.look.is_for_drift() || last.shape.settled => Urgency::Look,
                None => Urgency::Settle,
            },
        };
        let Some(foreseen) = self.reconciler.foresee(&self.sights) else {
            return due;
        };
        let shape = Shape::of(&foreseen);
        if shape == last.shape {
            due
        } else if !shape.register.is_empty() && shape.register != last.shape.register {
            // Other looks do not hold up the one for a new address; those for new addresses stay apart.
            let at = last
                .look_for_change
                .map_or(Timestamp::from_millis(0), |at| at + cadence::APART);
            let urgency = Urgency::Register;
            Next::Look { at, urgency }
        } else if !shape.deregister.is_empty() && shape.deregister != last.shape.deregister {
            let at = last.look.last + cadence::APART;
            let urgency = Urgency::Settle;
            Next::Look { at, urgency }
        } else if shape.register.is_empty() && shape.deregister.is_empty() {
            Next::DnsAlone
        } else {
            due
        }
    }

    fn note(&mut self, report: &Report, now: Timestamp, verify: Duration, is_for_change: bool) {
        self.prober.ask(report);
        let wrote = !report.registered.done.is_empty() || !report.deregistered.done.is_empty();
        // Removals that were put off are to be looked at as soon as those that were made.
        let put_off = report.applied && !report.plan.deregister.is_empty();
        let before = self.last.as_ref();
        let jitter = 1.0 + VERIFY_JITTER * (2.0 * fastrand::f64() - 1.0);
        self.last = Some(Last {
            look: GroupLook {
                last: now,
                last_write: if wrote || put_off {
                    Some(now)
                } else {
                    before.and_then(|last| last.look.last_write)
                },
                hold_end: report.plan.next_end(now),
                verify: now + verify.mul_f64(jitter),
            },
            look_for_change: if is_for_change {
                Some(now)
            } else {
                before.and_then(|last| last.look_for_change)
            },
            shape: Shape::of(&report.plan),
        });
    }

    /// Takes note of a report that no look at the group was made for.
    fn note_dns(&mut self, report: &Report, now: Timestamp) {
        self.prober.ask(report);
        if let Some(last) = &mut self.last {
            last.look.hold_end = report.plan.next_end(now);
            last.shape = Shape::of(&report.plan);
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

/// Waits until one of the sights is a new one, or a candidate has shown something new.
async fn any_changed(sights: &mut Sights, shown: &mut watch::Receiver<Shown>) {
    let mut changes: Vec<_> = sights.values_mut().map(|sight| Box::pin(changed(sight))).collect();
    let any_sight = poll_fn(|context| {
        let any = changes
            .iter_mut()
            .any(|change| change.as_mut().poll(context).is_ready());
        if any { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::select! {
        () = any_sight => {}
        () = changed(shown) => {}
    }
}

async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        // The other side has ended; nothing will come.
        pending::<()>().await;
    }
}

/// Describes the groups of followers that share a client, at most [`elb::DESCRIBED_MAX`], with one call. Those it does not tell about ask for themselves.
pub async fn introduce(followers: &mut [Follower]) {
    let [first, _, ..] = followers else { return };
    let client = first.client.clone();
    let arns: Vec<Arn> = followers.iter().map(|follower| follower.binding.arn.clone()).collect();
    let turn = client.turn(Urgency::Register).await;
    let Ok(Ok(mut described)) = timeout(INTRODUCTION_MAX, client.groups(&arns, turn)).await else {
        return;
    };
    for follower in followers {
        if let Some(Ok(group)) = described.remove(&follower.binding.arn) {
            follower.known = Some(follower.begin(group));
        }
    }
}

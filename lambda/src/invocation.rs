//! One invocation: look until it is settled, as long as the event makes a change likely.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lambda_runtime::{Diagnostic, LambdaEvent};
use rds_tether::clock::Clock;
use rds_tether::elb::{Arn, Client, Clients};
use rds_tether::event::{Command, Doorbell};
use rds_tether::follow::Follower;
use rds_tether::oneshot::watchers;
use rds_tether::output;
use rds_tether::planner::memory::Memory;
use rds_tether::reconcile::Binding;
use rds_tether::report::{Exit, Report};
use rds_tether::settings::Settings;
use rds_tether::tag::{self, Clocks};
use rds_tether::watch::Watchers;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};
use tracing::{Instrument, debug, info, info_span, warn};

use crate::emf;
use crate::looking::{Looking, Until};

/// Kept free at the end of an invocation for its last lines and the response.
const RESERVE: Duration = Duration::from_secs(2);
/// The part of it that the tag may take.
const TAG_WRITE_MAX: Duration = Duration::from_secs(1);
/// How long the first look waits for the tag, which may only shorten the waiting.
const TAG_READ_MAX: Duration = Duration::from_secs(2);
/// The type of the error of an invocation that could not do its work.
const UNSETTLED: &str = "Unsettled";

/// What lives as long as the process.
pub struct Function {
    settings: Settings,
    clients: tokio::sync::Mutex<Clients>,
    remembered: Arc<Mutex<BTreeMap<Arn, Clocks>>>,
}

/// What the bindings of one invocation share.
#[derive(Clone)]
struct Invocation {
    clock: Clock,
    until: Until,
    doorbell: Arc<Doorbell>,
    watchers: Arc<Watchers>,
    request_id: String,
    remembered: Arc<Mutex<BTreeMap<Arn, Clocks>>>,
}

impl Function {
    /// A function that has not been invoked yet. Needs a tokio runtime.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            clients: tokio::sync::Mutex::new(Clients::start()),
            remembered: Arc::default(),
        }
    }

    /// Answers one event with the reports of the bindings that it is about.
    pub async fn invoke(&self, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
        let request_id = event.context.request_id.clone();
        let span = info_span!("invocation", request_id);
        self.answer(event).instrument(span).await
    }

    async fn answer(&self, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
        let clock = Clock::start();
        let doorbell = Doorbell::read(&event.payload);
        info!(phase = ?doorbell.phase, scope = ?doorbell.scope, "woken by {doorbell}");
        let watchers = watchers(&self.settings.dns, clock).map_err(|error| unsettled(error.to_string()))?;
        let invocation = Invocation {
            clock,
            until: Until::new(&doorbell, event.context.deadline, RESERVE, clock.now()),
            doorbell: Arc::new(doorbell),
            watchers,
            request_id: event.context.request_id,
            remembered: Arc::clone(&self.remembered),
        };
        let mut bindings = JoinSet::new();
        for (index, binding) in self.concerned(&invocation.doorbell).into_iter().enumerate() {
            let client = self.clients.lock().await.of(&binding).await;
            let invocation = invocation.clone();
            let answer = async move { (index, invocation.answer(binding, client).await) };
            bindings.spawn(answer.in_current_span());
        }
        let reports: BTreeMap<usize, Report> = bindings.join_all().await.into_iter().collect();
        conclude(&reports.into_values().collect::<Vec<_>>())
    }

    /// The bindings that the event is about; all of them if it names none.
    fn concerned(&self, doorbell: &Doorbell) -> Vec<Arc<Binding>> {
        let all = || self.settings.bindings.iter().cloned().map(Arc::new);
        let named: Vec<_> = all()
            .filter(|binding| binding.endpoints.iter().any(|endpoint| doorbell.scope.covers(endpoint)))
            .collect();
        if named.is_empty() { all().collect() } else { named }
    }
}

impl Invocation {
    async fn answer(self, binding: Arc<Binding>, client: Client) -> Report {
        let observes = matches!(self.doorbell.command, Some(Command::Plan | Command::Status));
        let mut follower = Follower::new(
            Arc::clone(&binding),
            client.clone(),
            Arc::clone(&self.watchers),
            self.clock,
        );
        let mut looking = Looking::new(self.until, self.clock);
        if observes {
            return looking.look_once(&mut follower).await;
        }
        let tag = self.recall(&binding, &client, &mut follower).await;
        let report = looking.look(&mut follower).await;
        emf::write(&looking.measured(&report), self.clock.now(), &self.request_id);
        self.remember(&binding, &client, follower.memory(), tag).await;
        report
    }

    /// Takes up the absence clocks that an earlier invocation left, in this process or on the target group, whichever is
    /// younger. Without any, the waiting starts anew. Returns the tag's value, unless that is not known.
    async fn recall(&self, binding: &Binding, client: &Client, follower: &mut Follower) -> Option<String> {
        let tag = self.read_tag(binding, client).await;
        let tagged = tag.as_deref().and_then(tag::read);
        let here = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&binding.arn)
            .cloned();
        let now = self.clock.now();
        let clocks = [tagged, here]
            .into_iter()
            .flatten()
            // What claims to come from the future must not outdo what this process knows.
            .filter(|(last_look, _)| *last_look <= now)
            .max_by_key(|(last_look, _)| *last_look);
        if let Some((last_look, clocks)) = clocks {
            debug!(
                group = binding.arn.name(),
                targets = clocks.len(),
                "recalled absence clocks"
            );
            follower.recall(Memory::recall(last_look, clocks));
        }
        tag
    }

    /// The tag's value, empty if there is no tag.
    async fn read_tag(&self, binding: &Binding, client: &Client) -> Option<String> {
        let time_left = self.until.deadline().since(self.clock.now());
        let limit = TAG_READ_MAX.min(time_left / 2);
        let why = match timeout(limit, client.tag(&binding.arn, tag::KEY)).await {
            Ok(Ok(tag)) => return Some(tag.unwrap_or_default()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "DescribeTags was not answered in time".to_owned(),
        };
        warn!(
            group = binding.arn.name(),
            "absence clocks are not read from the tag: {why}"
        );
        None
    }

    /// Leaves the absence clocks for the next invocation. A tag that could not be read is replaced, because what it says may
    /// no longer be so.
    async fn remember(&self, binding: &Binding, client: &Client, memory: &Memory, tag: Option<String>) {
        let Some(clocks) = memory.clocks() else { return };
        let value = tag::write(&clocks);
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(binding.arn.clone(), clocks);
        if binding.observe || tag.is_some_and(|tag| tag == value) {
            return;
        }
        let end = self.clock.instant(self.until.deadline()) + TAG_WRITE_MAX;
        let why = match timeout_at(end, client.set_tag(&binding.arn, tag::KEY, &value)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "AddTags was not answered in time".to_owned(),
        };
        warn!(
            group = binding.arn.name(),
            "absence clocks are not kept in the tag: {why}"
        );
    }
}

/// The response, or an error if a binding ended unsettled because of a failure.
fn conclude(reports: &[Report]) -> Result<Value, Diagnostic> {
    let failed = |report: &&Report| !report.is_settled() && report.trouble().is_some();
    let failures: Vec<String> = reports.iter().filter(failed).map(failure).collect();
    if !failures.is_empty() {
        return Err(unsettled(failures.join("; ")));
    }
    let exit = Exit::worst(reports.iter().map(Report::sync_exit));
    info!(
        "done: {} of {} target groups settled",
        reports.iter().filter(|report| report.is_settled()).count(),
        reports.len()
    );
    Ok(output::json_value("lambda", reports, exit))
}

fn unsettled(error_message: String) -> Diagnostic {
    warn!("failed: {error_message}");
    Diagnostic {
        error_type: UNSETTLED.into(),
        error_message,
    }
}

fn failure(report: &Report) -> String {
    let errors = report.errors().map(ToString::to_string);
    let holds = report.telling_holds();
    let holds = holds.iter().map(|hold| output::hold_line(hold, report.at));
    let causes: Vec<String> = errors.chain(holds).collect();
    format!("{}: {}", report.binding.arn.name(), causes.join(", "))
}

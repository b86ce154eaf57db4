//! One invocation: look until it is settled, as long as the event makes a change likely.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lambda_runtime::{Diagnostic, LambdaEvent};
use rds_tether::aws::elb::{self, Client, ClientKey, Clients};
use rds_tether::clock::Clock;
use rds_tether::counts::Notifications;
use rds_tether::discover::Unseen;
use rds_tether::dns::watch::Watchers;
use rds_tether::exit::Exit;
use rds_tether::follow::binding::Binding;
use rds_tether::follow::report::Report;
use rds_tether::follow::{self, Follower};
use rds_tether::function::event::{Command, Doorbell, Phase, Scope};
use rds_tether::function::tag::Seal;
use rds_tether::lead::crew::Crews;
use rds_tether::notify::Notifier;
use rds_tether::settings::{Settings, TAG_KEY};
use rds_tether::telemetry::document::Document;
use rds_tether::text;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tracing::{Instrument, info, info_span, warn};

use crate::clocks::{Remembered, TAG_READ_MAX, TAG_WRITE_MAX};
use crate::emf;
use crate::looking::{Looking, Telling, Until};
use crate::tagged::Tagged;

/// Kept free at the end of an invocation for its last lines and the response.
const RESERVE: Duration = Duration::from_secs(2);
/// How long an invocation that is done waits for its messages to be sent.
const NOTIFY_MAX: Duration = Duration::from_secs(3);
/// The part of the reserve that this may take, the tag's part included.
const NOTIFY_RESERVE: Duration = Duration::from_millis(1200);
const _: () = assert!(TAG_WRITE_MAX.as_millis() < NOTIFY_RESERVE.as_millis());

/// The type of the error of an invocation that could not do its work.
const UNSETTLED: &str = "Unsettled";

/// What lives as long as the process.
pub struct Function {
    settings: Settings,
    clients: tokio::sync::Mutex<Clients>,
    tagged: tokio::sync::Mutex<Tagged>,
    remembered: Arc<Remembered>,
    notifier: Arc<Mutex<Notifier>>,
}

/// Bindings of one client, each with its place among all.
struct Batch {
    client: Client,
    bindings: Vec<(usize, Arc<Binding>)>,
}

/// What the bindings of one invocation share.
#[derive(Clone)]
struct Invocation {
    clock: Clock,
    until: Until,
    doorbell: Arc<Doorbell>,
    crews: Arc<Crews>,
    request_id: String,
    remembered: Arc<Remembered>,
    telling: Telling,
}

impl Function {
    /// A function that has not been invoked yet. Its clients are made now because Lambda gives a start, though not the
    /// invocations of a small function, a whole processor.
    pub async fn new(settings: Settings, seal: Option<Seal>) -> Self {
        if seal.is_none() {
            info!("absence clocks live as long as this process: {TAG_KEY} is not set");
        }
        let mut clients = Clients::start();
        for binding in &settings.bindings {
            clients.of(&binding.client_key()).await;
        }
        let notifier = Notifier::new(&settings.notify, &Notifications::default());
        Self {
            settings,
            notifier: Arc::new(Mutex::new(notifier)),
            clients: tokio::sync::Mutex::new(clients),
            tagged: tokio::sync::Mutex::default(),
            remembered: Arc::new(Remembered::sealing(seal)),
        }
    }

    /// Answers one event with the reports of the bindings that it is about.
    pub async fn invoke(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Diagnostic> {
        let request_id = event.context.request_id.clone();
        let span = info_span!("invocation", request_id);
        self.answer(event).instrument(span).await
    }

    async fn answer(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Diagnostic> {
        let clock = Clock::start();
        let mut doorbell = Doorbell::read(event.payload.get());
        let until = Until::new(&doorbell, event.context.deadline, RESERVE, clock.now());
        let left = until.deadline().since(clock.now());
        let (followed, unknown) = self.followed(&doorbell, clock, left / 2).await;
        let configured = followed.iter().flat_map(|binding| &binding.endpoints);
        doorbell.scope = doorbell.scope.among(configured);
        info!(phase = ?doorbell.phase, scope = ?doorbell.scope, "woken by {doorbell}");
        let watchers = Watchers::of(&self.settings.dns, clock).map_err(|error| unsettled(error.to_string()))?;
        let crews = Arc::new(Crews::new(Arc::new(watchers), clock));
        let telling = Telling {
            notifier: Arc::clone(&self.notifier),
            trigger: doorbell.to_string().into(),
        };
        let invocation = Invocation {
            clock,
            until,
            telling,
            doorbell: Arc::new(doorbell),
            crews,
            request_id: event.context.request_id,
            remembered: Arc::clone(&self.remembered),
        };
        let mut batches = JoinSet::new();
        for batch in self.batches(&followed, &invocation.doorbell.scope).await {
            batches.spawn(invocation.clone().answer_all(batch).in_current_span());
        }
        let reports: BTreeMap<usize, Report> = batches.join_all().await.into_iter().flatten().collect();
        self.send_messages(clock, until).await;
        let unknown: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        if !unknown.is_empty() {
            return Err(unsettled(unknown.join("; ")));
        }
        conclude(&reports.into_values().collect::<Vec<_>>())
    }

    /// What is to be followed, and the places that might have more of it and could not be looked at.
    async fn followed(&self, doorbell: &Doorbell, clock: Clock, limit: Duration) -> (Vec<Arc<Binding>>, Vec<Unseen>) {
        let mut tagged = self.tagged.lock().await;
        let mut clients = self.clients.lock().await;
        let are_new = doorbell.is_of_tags || doorbell.command.is_some();
        let has_leisure = doorbell.phase == Phase::Other;
        tagged
            .followed(&self.settings, &mut clients, (are_new, has_leisure), clock.now(), limit)
            .await
    }

    /// Lets the messages of this invocation be sent before Lambda freezes the process. What does not go now may go with the
    /// next invocation of the same process.
    async fn send_messages(&self, clock: Clock, until: Until) {
        let now = clock.now();
        let left = (until.deadline() + NOTIFY_RESERVE).since(now);
        let sent = self
            .notifier
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .flushed(left.min(NOTIFY_MAX));
        let left = sent.await;
        if left > 0 {
            warn!(
                "{left} notifications are not sent yet: SNS does not take them in time; they go with the next invocation"
            );
        }
    }

    /// The bindings that the event is about, with those that share a client together.
    async fn batches(&self, followed: &[Arc<Binding>], scope: &Scope) -> Vec<Batch> {
        let concerned = |binding: &&Arc<Binding>| binding.endpoints.iter().any(|endpoint| scope.covers(endpoint));
        let mut by_client: BTreeMap<ClientKey, Vec<(usize, Arc<Binding>)>> = BTreeMap::new();
        for (index, binding) in followed.iter().filter(concerned).enumerate() {
            let bindings = by_client.entry(binding.client_key()).or_default();
            bindings.push((index, Arc::clone(binding)));
        }
        let mut clients = self.clients.lock().await;
        let mut batches = Vec::new();
        for (key, bindings) in &by_client {
            let client = clients.of(key).await;
            batches.extend(bindings.chunks(elb::DESCRIBED_MAX).map(|bindings| Batch {
                client: client.clone(),
                bindings: bindings.to_vec(),
            }));
        }
        batches
    }
}

impl Invocation {
    /// Answers for each binding by itself, after the calls that they share.
    async fn answer_all(self, Batch { client, bindings }: Batch) -> Vec<(usize, Report)> {
        let mut tags = BTreeMap::new();
        if !self.only_looks() {
            let arns = bindings.iter().map(|(_, binding)| binding.arn.clone()).collect();
            let now = self.clock.now();
            let end = now + TAG_READ_MAX.min(self.until.deadline().since(now) / 2);
            let read = self.remembered.read_tags(&client, arns, self.clock.instant(end));
            tags = read.await;
        }
        let follower = |(_, binding): &(usize, Arc<Binding>)| {
            let tag = tags.get(&binding.arn).map(String::as_str);
            self.follower(binding, client.clone(), tag)
        };
        let mut followers: Vec<Follower> = bindings.iter().map(follower).collect();
        let deadline = self.clock.instant(self.until.deadline());
        // Whom it does not reach in time describes its group itself.
        let _ = timeout_at(deadline, follow::introduce(&mut followers)).await;
        let mut answers = JoinSet::new();
        for ((index, binding), follower) in bindings.into_iter().zip(followers) {
            let (invocation, client) = (self.clone(), client.clone());
            let tag = tags.remove(&binding.arn);
            let answer = async move { (index, invocation.answer(&client, follower, tag).await) };
            answers.spawn(answer.in_current_span());
        }
        answers.join_all().await
    }

    fn follower(&self, binding: &Arc<Binding>, client: Client, tag: Option<&str>) -> Follower {
        let crews = Arc::clone(&self.crews);
        let mut follower = Follower::new(Arc::clone(binding), client, crews, self.clock);
        let now = self.clock.now();
        if !self.only_looks() {
            let (memory, under_way) = self.remembered.recall(&binding.arn, tag, now);
            follower.recall(memory, under_way);
        }
        follower
    }

    async fn answer(self, client: &Client, mut follower: Follower, tag: Option<String>) -> Report {
        let telling = (!self.only_looks()).then(|| self.telling.clone());
        let mut looking = Looking::new(self.until, self.clock, telling);
        if self.only_looks() {
            return looking.look_once(&mut follower).await;
        }
        let report = looking.look(&mut follower).await;
        emf::write(&looking.measured(&report), self.clock.now(), &self.request_id);
        let end = self.clock.instant(self.until.deadline()) + TAG_WRITE_MAX;
        self.remembered.keep(&mut follower, client, tag, end).await;
        report
    }

    fn only_looks(&self) -> bool {
        matches!(self.doorbell.command, Some(Command::Plan | Command::Status))
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
    let document = Document::of("lambda", reports, exit);
    // Strings, numbers and lists always serialise.
    Ok(serde_json::to_value(document).unwrap_or_default())
}

fn unsettled(error_message: String) -> Diagnostic {
    warn!("failed: {error_message}");
    Diagnostic {
        error_type: UNSETTLED.into(),
        error_message,
    }
}

fn failure(report: &Report) -> String {
    format!("{}: {}", report.binding.arn.name(), text::join(report.causes()))
}

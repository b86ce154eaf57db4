//! The only user of SNS: a bounded queue, and one task that publishes what is in it.

use std::fmt::Write as _;
use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::error::{DisplayErrorContext, SdkError};
use aws_sdk_sns::operation::publish::PublishError;
use aws_sdk_sns::types::MessageAttributeValue;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::TopicArn;
use super::message::Message;
use crate::aws;
use crate::aws::elb;
use crate::settings::value::shorten;
use crate::telemetry::metrics::Notifications;

/// Messages that may wait: those of one failover of some hundred target groups.
const WAITING_MAX: usize = 1024;
/// How long one attempt may take; SNS takes milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pauses before further attempts, before jitter: a lost packet, or a moment of throttling.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// Failures that go on are logged again after this long.
const TOLD_APART: Duration = Duration::from_secs(60);

/// Where messages are left to be sent.
pub(super) struct Outbox {
    queue: mpsc::Sender<Message>,
    waiting: watch::Sender<usize>,
    counts: Notifications,
    dropping: Told,
}

impl Outbox {
    /// Starts the task that sends. It ends when there is nobody to post and nothing to send any more.
    pub(super) fn start(topic: TopicArn, counts: Notifications) -> Self {
        let (queue, messages) = mpsc::channel(WAITING_MAX);
        let waiting = watch::Sender::new(0);
        tokio::spawn(send_all(topic, messages, waiting.clone(), counts.clone()));
        Self {
            queue,
            waiting,
            counts,
            dropping: Told::default(),
        }
    }

    /// Leaves messages to be sent. Never waits: what there is no room for is dropped and counted.
    pub(super) fn post(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.waiting.send_modify(|waiting| *waiting += 1);
            if self.queue.try_send(message).is_err() {
                self.waiting.send_modify(|waiting| *waiting -= 1);
                self.counts.dropped(1);
                self.dropping
                    .warn("a notification is dropped: SNS takes them too slowly");
            }
        }
    }

    /// How many messages are neither sent nor given up.
    pub(super) fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }
}

/// Waits until nothing waits, but not for longer than this; returns what is left.
pub(super) async fn emptied(mut waiting: watch::Receiver<usize>, limit: Duration) -> usize {
    let _ = timeout(limit, waiting.wait_for(|waiting| *waiting == 0)).await;
    *waiting.borrow()
}

async fn send_all(
    topic: TopicArn,
    mut messages: mpsc::Receiver<Message>,
    waiting: watch::Sender<usize>,
    counts: Notifications,
) {
    let client = Client::new(&aws::config(topic.region()).await);
    let mut failing = Told::default();
    while let Some(message) = messages.recv().await {
        match send(&client, &topic, &message).await {
            Ok(()) => {
                counts.sent();
                failing = Told::default();
                debug!(id = message.id(), "told {topic}: {}", message.text);
            }
            Err(why) => {
                counts.failed();
                failing.warn(&format!("cannot tell the topic {topic} that {}: {why}", message.text));
            }
        }
        waiting.send_modify(|waiting| *waiting -= 1);
    }
}

async fn send(client: &Client, topic: &TopicArn, message: &Message) -> Result<(), String> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let failure = match timeout(ATTEMPT_TIMEOUT, publish(client, topic, message)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Failure::new(&error, topic),
            Err(_) => Failure::timed_out(),
        };
        let pause = pauses.next().filter(|_| failure.may_pass);
        let Some(pause) = pause else { return Err(failure.text) };
        debug!("{}; trying again", failure.text);
        // Half of it is jitter: many processes that failed together must not come back together.
        sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }
}

async fn publish(client: &Client, topic: &TopicArn, message: &Message) -> Result<(), SdkError<PublishError>> {
    let mut call = client
        .publish()
        .topic_arn(topic.as_str())
        .subject(message.subject())
        .message(message.json());
    for (name, text) in message.attributes() {
        let value = MessageAttributeValue::builder().data_type("String").string_value(text);
        // Only a value without a type does not build.
        let Ok(value) = value.build() else { continue };
        call = call.message_attributes(name, value);
    }
    call.send().await.map(|_| ())
}

/// Why an attempt failed.
struct Failure {
    text: String,
    may_pass: bool,
}

impl Failure {
    fn timed_out() -> Self {
        Self {
            text: "no answer in time; check the network path to SNS (in a VPC: an interface endpoint for sns)".into(),
            may_pass: true,
        }
    }

    fn new(error: &SdkError<PublishError>, topic: &TopicArn) -> Self {
        let SdkError::ServiceError(service) = error else {
            return match error {
                SdkError::TimeoutError(_) => Self::timed_out(),
                _ => Self {
                    text: shorten(&DisplayErrorContext(error).to_string()),
                    may_pass: true,
                },
            };
        };
        let status = service.raw().status().as_u16();
        let elb::Failure { code, message, .. } = elb::Failure::of("Publish", None, error);
        let mut text = format!("{code} ({status}): {}", shorten(&message));
        let remedy = match code.as_str() {
            "NotFound" => "; check the ARN, its account and its region".to_owned(),
            "AuthorizationError" | "AccessDenied" | "AccessDeniedException" => {
                format!("; allow sns:Publish on {topic} to this identity")
            }
            _ => String::new(),
        };
        // Writing to a String cannot fail.
        let _ = text.write_str(&remedy);
        Self {
            text,
            may_pass: status >= 500 || status == 429 || code.contains("Throttl"),
        }
    }
}

/// Remembers when something was last logged as a warning.
#[derive(Default)]
struct Told(Option<Instant>);

impl Told {
    fn warn(&mut self, text: &str) {
        if self.0.is_some_and(|last| last.elapsed() < TOLD_APART) {
            debug!("{text}");
            return;
        }
        self.0 = Some(Instant::now());
        warn!("{text}");
    }
}

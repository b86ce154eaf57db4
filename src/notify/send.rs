//! The only user of SNS: a bounded queue, and one task that publishes what is in it.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::error::SdkError;
use aws_sdk_sns::operation::publish::PublishError;
use aws_sdk_sns::types::MessageAttributeValue;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::message::Message;
use crate::aws;
use crate::aws::arn::TopicArn;
use crate::aws::failure::{Failure, Kind};
use crate::counts::Notifications;
use crate::planner::time::Timestamp;
use crate::text::Told;

/// Messages that may wait: those of one failover of some hundred target groups.
const WAITING_MAX: usize = 1024;
/// The only action that is called.
const PUBLISH: &str = "Publish";
/// How long one attempt may take; SNS takes milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pauses before further attempts, before jitter: a lost packet, or a moment of throttling.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

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
            let at = message.at;
            if self.queue.try_send(message).is_err() {
                self.waiting.send_modify(|waiting| *waiting -= 1);
                self.counts.dropped(1);
                let text = "a notification is dropped: SNS takes them too slowly";
                log(&self.dropping, at, text);
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
    let failing = Told::default();
    while let Some(message) = messages.recv().await {
        match send(&client, &topic, &message).await {
            Ok(()) => {
                counts.sent();
                failing.forget();
                debug!(id = message.id(), "told {topic}: {}", message.text);
            }
            Err(why) => {
                counts.failed();
                let text = format!("cannot tell the topic {topic} that {}: {why}", message.text);
                log(&failing, message.at, &text);
            }
        }
        waiting.send_modify(|waiting| *waiting -= 1);
    }
}

async fn send(client: &Client, topic: &TopicArn, message: &Message) -> Result<(), String> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let sent = timeout(ATTEMPT_TIMEOUT, publish(client, topic, message)).await;
        let (failure, status) = match sent {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => {
                let status = error.raw_response().map(|response| response.status().as_u16());
                (Failure::of(PUBLISH, None, &error), status)
            }
            Err(_) => (Failure::late(PUBLISH, format_args!("{ATTEMPT_TIMEOUT:?}")), None),
        };
        // What did not come from SNS itself, such as credentials that cannot be fetched for a moment, may pass too.
        let may_pass = failure.kind == Kind::Throttled || status.is_none_or(|status| status >= 500 || status == 429);
        let told = told(&failure, status, topic);
        let Some(pause) = pauses.next().filter(|_| may_pass) else {
            return Err(told);
        };
        debug!("{told}; trying again");
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

/// Why an attempt failed, and what to do about it.
fn told(failure: &Failure, status: Option<u16>, topic: &TopicArn) -> String {
    let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
    let remedy = failure.remedy_at("sns", "SNS", topic);
    format!("{}{status}: {}; {remedy}", failure.code, failure.message)
}

/// Logs a failure: as a warning if none has been for a minute.
fn log(told: &Told, now: Timestamp, text: &str) {
    if told.is_due(now) {
        warn!("{text}");
    } else {
        debug!("{text}");
    }
}

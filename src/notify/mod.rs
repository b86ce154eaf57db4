//! Messages to an SNS topic about changes and trouble.
//!
//! - `news`, with `group` for target groups and `proxy` for proxies: what is worth a message (pure).
//! - `subject`: whom or what it is about, with `gate` against storms (pure).
//! - [`message`]: its JSON, id, subject and attributes (pure).
//! - `send`: the queue and the one task that publishes. Nothing waits for it but the end of the process, for a moment.

mod gate;
mod group;
pub mod message;
mod news;
mod proxy;
mod send;
mod serving;
mod subject;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

pub use news::News;

use crate::aws::arn::{Arn, TopicArn};
use crate::counts::Notifications;
use crate::follow::report::Report;
use crate::planner::time::Timestamp;
use crate::proxy::Moment;
use send::Outbox;

/// Whom to tell of changes and trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The topic to send messages to.
    pub topic: Option<TopicArn>,
    /// How long trouble lasts before it is told.
    pub after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            topic: None,
            after: Duration::from_secs(3 * 60),
        }
    }
}

/// Tells the topic what is worth it. Without a topic it does nothing.
pub struct Notifier {
    settings: Settings,
    counts: Notifications,
    telling: Option<Telling>,
}

struct Telling {
    news: News,
    outbox: Outbox,
}

impl Notifier {
    /// Needs a tokio runtime. What becomes of messages is counted.
    pub fn new(settings: &Settings, counts: &Notifications) -> Self {
        let mut notifier = Self {
            settings: Settings::default(),
            counts: counts.clone(),
            telling: None,
        };
        notifier.set(settings);
        notifier
    }

    /// Takes new settings. What waits for another topic is still sent there.
    pub fn set(&mut self, settings: &Settings) {
        let is_same_topic = settings.topic == self.settings.topic;
        self.settings = settings.clone();
        let Some(topic) = &settings.topic else {
            self.telling = None;
            return;
        };
        match &mut self.telling {
            Some(telling) if is_same_topic => telling.news.set_after(settings.after),
            telling => {
                self.counts.show();
                *telling = Some(Telling {
                    news: News::new(settings.after),
                    outbox: Outbox::start(topic.clone(), self.counts.clone()),
                });
            }
        }
    }

    /// Takes a report, and what made the process look.
    pub fn note(&mut self, report: &Report, trigger: &str) {
        if let Some(Telling { news, outbox }) = &mut self.telling {
            outbox.post(news.note(report, trigger));
        }
    }

    /// Takes what befell a proxy.
    pub fn note_proxy(&mut self, moment: &Moment, trigger: &str) {
        if let Some(Telling { news, outbox }) = &mut self.telling {
            outbox.post(news.note_proxy(moment, trigger));
        }
    }

    /// Tells what has become due by the passing of time alone.
    pub fn tick(&mut self, now: Timestamp) {
        if let Some(Telling { news, outbox }) = &mut self.telling {
            outbox.post(news.tick(now));
        }
    }

    /// Forgets a target group that is no longer followed.
    pub fn forget(&mut self, arn: &Arn) {
        if let Some(telling) = &mut self.telling {
            telling.news.forget(arn);
        }
    }

    /// Forgets all proxies but those that listen there.
    pub fn keep_proxies(&mut self, listening: &BTreeSet<SocketAddr>) {
        if let Some(telling) = &mut self.telling {
            telling.news.keep_proxies(listening);
        }
    }

    /// Waits until everything is sent, or given up, but not for longer than this; returns how many messages are left.
    /// Nothing is locked meanwhile.
    pub fn flushed(&self, limit: Duration) -> impl Future<Output = usize> + Send + use<> {
        let waiting = self.telling.as_ref().map(|telling| telling.outbox.waiting());
        async move {
            match waiting {
                Some(waiting) => send::emptied(waiting, limit).await,
                None => 0,
            }
        }
    }

    /// Sends what is left for a moment, at the end of the process, and counts what there was no time for.
    pub async fn finish(&self, limit: Duration) {
        let left = self.flushed(limit).await;
        if left > 0 {
            self.counts.dropped(left);
            tracing::warn!("{left} notifications were not sent: SNS did not take them in time");
        }
    }
}

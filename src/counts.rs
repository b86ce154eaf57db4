//! What the adapters count: looks at DNS, calls of AWS, notifications. `telemetry::metrics` shows it.

use std::net::SocketAddr;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::planner::answer::{Failure, Said};

/// The labels of one sample: names and values.
pub type Labels = Vec<(&'static str, String)>;
/// Counters of one metric, by their labels.
pub type Counters = Family<Labels, Counter>;
/// Histograms of one metric, in seconds, by their labels.
pub type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Answers and failures of name servers, counted by `resolver` and `outcome`.
#[derive(Clone, Debug, Default)]
pub struct Looks(pub(crate) Counters);

impl Looks {
    /// Counts what each name server said in one look.
    pub fn note(&self, said: &[(SocketAddr, Result<Said, Failure>)]) {
        for (server, said) in said {
            let outcome = said.as_ref().map_or_else(failure_label, |_| "answer");
            let labels = vec![("resolver", server.to_string()), ("outcome", outcome.to_owned())];
            self.0.get_or_create(&labels).inc();
        }
    }
}

/// Messages for the SNS topic, counted by `outcome`.
#[derive(Clone, Debug, Default)]
pub struct Notifications(pub(crate) Counters);

impl Notifications {
    /// Shows counts of zero, so that the first message can be seen as an increase.
    pub fn show(&self) {
        for outcome in ["sent", "failed", "dropped"] {
            self.add(outcome, 0);
        }
    }

    /// SNS took a message.
    pub fn sent(&self) {
        self.add("sent", 1);
    }

    /// SNS did not take a message.
    pub fn failed(&self) {
        self.add("failed", 1);
    }

    /// There was no room or no time for messages.
    pub fn dropped(&self, count: usize) {
        self.add("dropped", count as u64);
    }

    fn add(&self, outcome: &str, count: u64) {
        let labels = vec![("outcome", outcome.to_owned())];
        self.0.get_or_create(&labels).inc_by(count);
    }
}

/// Calls of AWS, counted by `operation` and `outcome`, and timed by `operation`.
#[derive(Clone, Debug)]
pub struct Calls {
    pub(crate) ended: Counters,
    pub(crate) took: Histograms,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            ended: Counters::default(),
            took: Histograms::new_with_constructor(call_histogram),
        }
    }
}

impl Calls {
    /// Counts a call.
    pub fn note(&self, operation: &'static str, took: Duration, outcome: &'static str) {
        let operation = ("operation", operation.to_owned());
        let labels = vec![operation.clone(), ("outcome", outcome.to_owned())];
        self.ended.get_or_create(&labels).inc();
        self.took.get_or_create(&vec![operation]).observe(took.as_secs_f64());
    }
}

fn failure_label(failure: &Failure) -> &'static str {
    match failure {
        Failure::NxDomain => "nxdomain",
        Failure::NoData => "nodata",
        Failure::ServFail => "servfail",
        Failure::Refused => "refused",
        Failure::TimedOut => "timeout",
        Failure::Malformed(_) => "malformed",
        Failure::TooMany(_) => "too_many",
        Failure::Code(_) => "other",
        Failure::Network(_) => "network",
        Failure::Stale(..) => "stale",
        Failure::Unproven(..) => "unproven",
    }
}

/// From 5 ms to 10 s, beyond every time-out of a call.
fn call_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 12))
}

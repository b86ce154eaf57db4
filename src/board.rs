//! The latest report of every binding, and what has changed lately: what the pages, the metrics and `status` are made of.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::change::Milestone;
use crate::clock::Clock;
use crate::elb::Arn;
use crate::output;
use crate::planner::time::Timestamp;
use crate::report::{Exit, Report};

/// Changes that are remembered, the oldest of which goes first.
const CHANGES_MAX: usize = 100;

/// Where everything stands.
pub struct Board {
    clock: Clock,
    started: Timestamp,
    lines: Mutex<BTreeMap<Arn, Line>>,
    changes: Mutex<VecDeque<Change>>,
}

/// Where one binding stands.
#[derive(Clone)]
pub struct Line {
    /// The latest report.
    pub report: Arc<Report>,
    /// Since when each report has been settled.
    pub in_sync_since: Option<Timestamp>,
}

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Of what: the name of a target group, or the address that a proxy listens on.
    pub subject: String,
    /// What.
    pub text: String,
}

impl Board {
    /// An empty board.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            started: clock.now(),
            lines: Mutex::default(),
            changes: Mutex::default(),
        }
    }

    /// Takes a report, and the points that were reached with it.
    pub fn note(&self, report: &Report, reached: &[Milestone]) {
        let mut lines = lock(&self.lines);
        let before = lines.get(&report.binding.arn).and_then(|line| line.in_sync_since);
        let in_sync_since = report.is_settled().then(|| before.unwrap_or(report.at));
        let line = Line {
            report: Arc::new(report.clone()),
            in_sync_since,
        };
        lines.insert(report.binding.arn.clone(), line);
        drop(lines);
        for milestone in reached {
            self.tell(report.ended, report.binding.arn.name(), milestone.to_string());
        }
    }

    /// Remembers a change.
    pub fn tell(&self, at: Timestamp, subject: &str, text: String) {
        let mut changes = lock(&self.changes);
        if changes.len() == CHANGES_MAX {
            changes.pop_front();
        }
        let subject = subject.to_owned();
        changes.push_back(Change { at, subject, text });
    }

    /// Forgets a binding that is no longer followed.
    pub fn forget(&self, arn: &Arn) {
        lock(&self.lines).remove(arn);
    }

    /// Where each binding stands.
    pub fn lines(&self) -> Vec<Line> {
        lock(&self.lines).values().cloned().collect()
    }

    /// What has changed lately, oldest first.
    pub fn changes(&self) -> Vec<Change> {
        lock(&self.changes).iter().cloned().collect()
    }

    /// Now, by the clock of the reports.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When the process started.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Everything as JSON. The schema only grows.
    pub fn json(&self, proxies: Value) -> Value {
        let lines = self.lines();
        let reports: Vec<Report> = lines.iter().map(|line| Report::clone(&line.report)).collect();
        let is_settled = reports.iter().all(Report::is_settled);
        let exit = if is_settled { Exit::Settled } else { Exit::Pending };
        let mut document = output::json_value("status", &reports, exit);
        for (line, group) in lines
            .iter()
            .zip(document["target_groups"].as_array_mut().into_iter().flatten())
        {
            group["in_sync_since"] = json!(line.in_sync_since);
        }
        document["version"] = json!(env!("CARGO_PKG_VERSION"));
        document["started"] = json!(self.started());
        document["at"] = json!(self.now());
        document["proxies"] = proxies;
        document["changes"] = json!(self.changes());
        document
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

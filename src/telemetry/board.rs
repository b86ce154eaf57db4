//! The latest report of every binding, and what has changed lately: what the pages, the metrics and `status` are made of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::aws::arn::Arn;
use crate::clock::Clock;
use crate::exit::Exit;
use crate::follow::milestone::Milestone;
use crate::follow::report::Report;
use crate::planner::endpoint::Endpoint;
use crate::planner::time::Timestamp;
use crate::proxy::{self, Moment};
use crate::telemetry::output;

/// Changes that are remembered, the oldest of which goes first.
const CHANGES_MAX: usize = 100;

/// Where everything stands.
pub struct Board {
    clock: Clock,
    started: Timestamp,
    followed: Mutex<BTreeSet<Arn>>,
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
    /// When the target group was last listed, however many attempts have failed since.
    pub listed: Option<Timestamp>,
    /// When each endpoint was last resolved, however many looks have failed since.
    pub answered: BTreeMap<Endpoint, Timestamp>,
}

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// The name of the target group, or of the proxy.
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
            followed: Mutex::default(),
            lines: Mutex::default(),
            changes: Mutex::default(),
        }
    }

    /// These target groups are followed from now on, and no others.
    pub fn follow(&self, arns: impl IntoIterator<Item = Arn>) {
        let followed: BTreeSet<Arn> = arns.into_iter().collect();
        lock(&self.lines).retain(|arn, _| followed.contains(arn));
        *lock(&self.followed) = followed;
    }

    /// Takes a report, and the points that were reached with it.
    pub fn note(&self, report: &Report, reached: &[Milestone]) {
        let mut lines = lock(&self.lines);
        let before = lines.remove(&report.binding.arn);
        lines.insert(report.binding.arn.clone(), Line::new(before, report));
        drop(lines);
        for milestone in reached {
            self.tell(report.ended, report.binding.arn.name(), milestone.to_string());
        }
    }

    /// Takes note of what befell a proxy's endpoint.
    pub fn note_proxy(&self, moment: &Moment) {
        if let Some(text) = moment.what.text(moment.role) {
            let subject = proxy::name(moment.listen);
            self.tell(moment.at, &subject, format!("{} {text}", moment.endpoint));
        }
    }

    fn tell(&self, at: Timestamp, subject: &str, text: String) {
        let mut changes = lock(&self.changes);
        if changes.len() == CHANGES_MAX {
            changes.pop_front();
        }
        let subject = subject.to_owned();
        changes.push_back(Change { at, subject, text });
    }

    /// Forgets what was seen of a binding.
    pub fn forget(&self, arn: &Arn) {
        lock(&self.lines).remove(arn);
    }

    /// Where each binding stands that has been looked at.
    pub fn lines(&self) -> Vec<Line> {
        lock(&self.lines).values().cloned().collect()
    }

    /// The target groups that are followed, but have not been looked at yet.
    pub fn unseen(&self) -> Vec<Arn> {
        let lines = lock(&self.lines);
        let followed = lock(&self.followed);
        followed
            .iter()
            .filter(|arn| !lines.contains_key(arn))
            .cloned()
            .collect()
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
        let unseen = self.unseen();
        let is_settled = unseen.is_empty() && lines.iter().all(|line| line.report.is_settled());
        let exit = if is_settled { Exit::Settled } else { Exit::Pending };
        let mut document = output::json_value("status", lines.iter().map(|line| &*line.report), exit);
        let groups = document["target_groups"].as_array_mut();
        for (line, group) in lines.iter().zip(groups.into_iter().flatten()) {
            group["in_sync_since"] = json!(line.in_sync_since);
            group["listed"] = json!(line.listed);
        }
        document["settled"] = json!(is_settled);
        document["not_looked_at_yet"] = unseen.iter().map(Arn::as_str).collect();
        document["version"] = json!(env!("CARGO_PKG_VERSION"));
        document["started"] = json!(self.started());
        document["at"] = json!(self.now());
        document["proxies"] = proxies;
        document["changes"] = json!(self.changes());
        document
    }
}

impl Line {
    fn new(before: Option<Self>, report: &Report) -> Self {
        let (in_sync_since, listed, mut answered) = before.map_or((None, None, BTreeMap::new()), |line| {
            (line.in_sync_since, line.listed, line.answered)
        });
        for (endpoint, sight) in &report.sights {
            if let Ok(answer) = &sight.seen {
                answered.insert(endpoint.clone(), answer.history.last_look);
            }
        }
        Self {
            report: Arc::new(report.clone()),
            in_sync_since: report.is_settled().then(|| in_sync_since.unwrap_or(report.at)),
            listed: report.listed.or(listed),
            answered,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

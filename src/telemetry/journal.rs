//! What the daemon logs: every point that a change reaches, trouble when it begins, goes on and ends, and a summary.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::aws::arn::Arn;
use crate::exit::Exit;
use crate::follow::milestone::Milestone;
use crate::follow::report::Report;
use crate::planner::plan::{Class, Hold, Note, Reason};
use crate::planner::serving::{Because, Serving};
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::telemetry::verdict;
use crate::text::{self, Told, join};

/// The key of what somebody else removes.
const REMOVED: &str = "removed by others";

/// The most lines a minute that one target group gets, whatever its names do: a failover takes less than ten. What is no trouble and
/// no change of the group gets half of them, so that names alone take no room from what somebody has to know.
pub const LINES_MAX: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// Logs reports; remembers of each binding what it has logged.
#[derive(Default)]
pub struct Journal {
    entries: BTreeMap<Arn, Entry>,
}

#[derive(Default)]
struct Entry {
    settled: Option<bool>,
    trouble: Option<Exit>,
    concerns: Vec<Concern>,
    /// The keys of concerns that go on, as far as is known: while a name or the group cannot be seen, nothing is known to have ended.
    known: BTreeSet<String>,
    logged: Told,
    lines: Lines,
    /// Why nothing serves, if nothing does.
    nothing_serves: Option<Because>,
}

/// How many lines the current minute has had.
#[derive(Default)]
struct Lines {
    /// When it began.
    since: Option<Timestamp>,
    told: u32,
    left_out: u32,
}

/// Something that keeps a binding from being settled, or that an operator should know.
#[derive(Clone)]
struct Concern {
    /// Concerns of two steps are the same if their keys are.
    key: String,
    text: String,
    is_trouble: bool,
}

impl Journal {
    /// Logs what is new in a report: once what is no trouble; all trouble when one begins, and each minute while it lasts.
    pub fn note(&mut self, report: &Report) {
        let group = report.binding.arn.name();
        let entry = self.entries.entry(report.binding.arn.clone()).or_default();
        entry.lines.begin(group, report.at);
        for milestone in &report.reached {
            let is_of_names = matches!(
                milestone,
                Milestone::Named(_) | Milestone::Ahead(_) | Milestone::Unnamed(_) | Milestone::Healthy(..)
            );
            if entry.lines.has_room(!is_of_names) {
                info!(group, "{milestone}");
            }
        }
        let concerns = concerns(report);
        let known = std::mem::take(&mut entry.known);
        let is_new = |concern: &Concern| !known.contains(&concern.key);
        if concerns.iter().any(|concern| concern.is_trouble && is_new(concern)) {
            entry.logged.forget();
        }
        let is_trouble_due = concerns.iter().any(|concern| concern.is_trouble) && entry.logged.is_due(report.at);
        for concern in &concerns {
            let is_due = if concern.is_trouble {
                is_trouble_due
            } else {
                is_new(concern)
            };
            if !is_due || !entry.lines.has_room(concern.is_trouble) {
                continue;
            }
            if concern.is_trouble {
                warn!(group, "{}", concern.text);
            } else {
                info!(group, "{}", concern.text);
            }
        }
        let converged = report
            .reached
            .iter()
            .any(|point| matches!(point, Milestone::Converged(_)));
        if entry.trouble.is_some() && report.trouble().is_none() {
            info!(group, "recovered: {}", verdict::of(report));
        } else if entry.settled != Some(true) && report.is_settled() && !converged {
            info!(group, endpoints = %join(&report.binding.endpoints), "settled: the group equals DNS");
        }
        let has_takers = |concerns: &[Concern]| concerns.iter().any(|concern| concern.key == REMOVED);
        if has_takers(&entry.concerns) && !has_takers(&concerns) {
            info!(group, "recovered: nobody removes its targets any more");
        }
        entry.note_serving(group, &report.plan.serving);
        let keys = concerns.iter().map(|concern| concern.key.clone());
        entry.known = keys.chain(known.into_iter().filter(|_| !sees_all(report))).collect();
        entry.concerns = concerns;
        entry.settled = Some(report.is_settled());
        entry.trouble = report.trouble();
        debug!(
            group,
            settled = report.is_settled(),
            took_ms = report.ended.since(report.started).as_millis(),
            "step"
        );
    }

    /// Forgets a binding that is no longer followed.
    pub fn forget(&mut self, arn: &Arn) {
        self.entries.remove(arn);
    }

    /// One line on where everything stands, of `bindings` in all.
    pub fn summary(&self, bindings: usize) -> String {
        let settled = self
            .entries
            .values()
            .filter(|entry| entry.settled == Some(true))
            .count();
        let mut text = format!("{settled} of {bindings} target groups settled");
        let out = self
            .entries
            .values()
            .filter(|entry| entry.nothing_serves.is_some())
            .count();
        if out > 0 {
            text.push_str(&format!(", nothing serves in {out}"));
        }
        let unseen = bindings.saturating_sub(self.entries.len());
        if unseen > 0 {
            text.push_str(&format!(", {unseen} not looked at yet"));
        }
        let troubled = self.entries.iter().filter(|(_, entry)| entry.settled == Some(false));
        let concern = troubled
            .filter_map(|(arn, entry)| Some((arn, entry.concerns.first()?)))
            .next();
        if let Some((arn, concern)) = concern {
            text.push_str(&format!("; {}: {}", arn.name(), concern.text));
        }
        text
    }
}

impl Lines {
    /// Begins a minute if the latest is over, and tells what that had no room for.
    fn begin(&mut self, group: &str, now: Timestamp) {
        if self.since.is_some_and(|since| now.since(since) < MINUTE) {
            return;
        }
        if self.left_out > 0 {
            warn!(
                group,
                "{} more lines are left out of the log; /status has how things stand", self.left_out
            );
        }
        *self = Self {
            since: Some(now),
            ..Self::default()
        };
    }

    /// Whether one more is to be told, which then counts; `weighs` is whether somebody has to know it.
    fn has_room(&mut self, weighs: bool) -> bool {
        let most = if weighs { LINES_MAX } else { LINES_MAX / 2 };
        let has_room = self.told < most;
        if has_room {
            self.told += 1;
        } else {
            self.left_out += 1;
        }
        has_room
    }
}

impl Entry {
    /// Logs once that nothing takes connections, and once that it is over. What does not tell ends nothing.
    fn note_serving(&mut self, group: &str, serving: &Serving) {
        match serving {
            Serving::Nothing(nothing) => {
                if self.nothing_serves != Some(nothing.because) {
                    warn!(group, "{nothing}: {}", nothing.because.remedy());
                }
                self.nothing_serves = Some(nothing.because);
            }
            Serving::Some => {
                if self.nothing_serves.take().is_some() {
                    info!(group, "recovered: a target that DNS names serves again");
                }
            }
            Serving::Unknown => {}
        }
    }
}

/// Whether the step saw the group and all of its names.
fn sees_all(report: &Report) -> bool {
    let is_blind = |hold: &Hold| matches!(hold.reason, Reason::Blind(_));
    report.targets.is_ok() && !report.plan.holds.iter().any(is_blind)
}

fn concerns(report: &Report) -> Vec<Concern> {
    let of_errors = report.errors().map(|error| Concern {
        key: format!("{} {}", error.failure.action, error.failure.code),
        text: error.to_string(),
        is_trouble: true,
    });
    let differences = report
        .plan
        .differences()
        .filter(|hold| hold.reason.class() != Class::ToldElsewhere);
    let of_holds = differences.map(|hold| Concern {
        key: format!("{} {}", hold.what, hold.reason.name()),
        text: text::hold(hold, report.at),
        is_trouble: hold.reason.class().is_trouble(),
    });
    let of_notes = report.plan.notes.iter().map(|note| Concern {
        key: match note {
            // Each time more is no news by itself.
            Note::RemovedByOthers { .. } => REMOVED.into(),
            note => note.to_string(),
        },
        text: note.to_string(),
        is_trouble: note.is_trouble(),
    });
    let would = |verb: &str, target: &Target| Concern {
        key: format!("{verb} {target}"),
        text: format!("would {verb} {target}, but only observes"),
        is_trouble: false,
    };
    let observed = report.binding.observe.then_some(&report.plan);
    let of_plan = observed.into_iter().flat_map(|plan| {
        let register = plan.register.keys().map(|target| would("register", target));
        register.chain(plan.deregister.keys().map(|target| would("deregister", target)))
    });
    of_errors.chain(of_plan).chain(of_holds).chain(of_notes).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::sync::Arc;

    use testkit::scratch::Scratch;

    use super::*;
    use crate::aws::elb;
    use crate::aws::failure::{Failure, Kind};
    use crate::follow::binding::Binding;
    use crate::follow::reconcile::group_unknown;

    #[test]
    fn names_take_no_room_from_trouble() {
        let arn: Arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef"
            .parse()
            .expect("an ARN");
        let binding = Binding {
            arn: arn.clone(),
            endpoints: BTreeSet::new(),
            policy: Default::default(),
            observe: false,
            assume_role: None,
            trust: None,
            lead: None,
        };
        let failure = Failure {
            action: "DescribeTargetHealth",
            kind: Kind::Denied,
            code: "AccessDenied".into(),
            message: "no".into(),
        };
        let error = elb::Error { group: arn, failure };
        let now = Timestamp::from_millis(1_000_000);
        let mut report = group_unknown(&Arc::new(binding), error, now, now);
        let target = |n: u8| Target {
            ip: [10, 0, 0, n].into(),
            port: 5432,
        };
        report.reached = (0..60).map(|n| Milestone::Named(target(n))).collect();
        report
            .reached
            .push(Milestone::Registered(target(1), Duration::from_secs(1)));
        let scratch = Scratch::new();
        let file = File::create(scratch.path("log")).expect("a file");
        let log = tracing_subscriber::fmt()
            .with_writer(Arc::new(file))
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(log, || Journal::default().note(&report));
        let log = fs::read_to_string(scratch.path("log")).expect("the log");
        assert!(
            log.contains("AccessDenied") && log.contains("registered 10.0.0.1:5432"),
            "{log}"
        );
        assert_eq!(log.matches("DNS names").count(), 30, "{log}");
    }
}

//! What the daemon logs: every point that a change reaches, trouble when it begins, goes on and ends, and a summary.

use std::collections::BTreeMap;

use tracing::{debug, info, warn};

use crate::aws::arn::Arn;
use crate::exit::Exit;
use crate::follow::milestone::Milestone;
use crate::follow::report::Report;
use crate::planner::plan::{Class, Note};
use crate::planner::serving::{Because, Serving};
use crate::planner::target::Target;
use crate::telemetry::verdict;
use crate::text::{self, Told, join};

/// The key of what somebody else removes.
const REMOVED: &str = "removed by others";

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
    logged: Told,
    /// Why nothing serves, if nothing does.
    nothing_serves: Option<Because>,
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
    /// Logs what is new in a report.
    pub fn note(&mut self, report: &Report) {
        let group = report.binding.arn.name();
        let entry = self.entries.entry(report.binding.arn.clone()).or_default();
        for milestone in &report.reached {
            info!(group, "{milestone}");
        }
        let concerns = concerns(report);
        let keys = |concerns: &[Concern]| concerns.iter().map(|concern| concern.key.clone()).collect::<Vec<_>>();
        let is_news = keys(&concerns) != keys(&entry.concerns);
        if is_news {
            entry.logged.forget();
        }
        if (is_news || concerns.iter().any(|concern| concern.is_trouble)) && entry.logged.is_due(report.at) {
            for concern in &concerns {
                if concern.is_trouble {
                    warn!(group, "{}", concern.text);
                } else {
                    info!(group, "{}", concern.text);
                }
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

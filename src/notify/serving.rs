//! What has been told of a group that serves nobody. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use super::message::{Kind, Message};
use super::subject::{Said, Subject, since};
use crate::planner::serving::{Nothing, Serving};
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::text::span;

/// That nothing serves, since when, and whether that was told.
#[derive(Default)]
pub(super) struct Out(Option<State>);

struct State {
    since: Timestamp,
    nothing: Nothing,
    is_told: bool,
}

impl Out {
    /// What was going on says nothing about now, except that it was told.
    pub(super) fn start_anew(&mut self) {
        self.0 = self.0.take().filter(|state| state.is_told);
    }

    /// Takes what a report says; gives what is to be told of its end. What does not tell changes nothing.
    pub(super) fn note(&mut self, serving: &Serving, at: Timestamp) -> Option<(String, Said)> {
        match serving {
            Serving::Unknown => None,
            Serving::Nothing(nothing) => {
                let before = self.0.take();
                self.0 = Some(State {
                    since: before.as_ref().map_or(at, |before| before.since),
                    is_told: before.is_some_and(|before| before.is_told),
                    nothing: nothing.clone(),
                });
                None
            }
            Serving::Some => {
                let state = self.0.take().filter(|state| state.is_told)?;
                let text = format!(
                    "has recovered after {}: a target serves again",
                    span(at.since(state.since))
                );
                Some((text, state.said(at, Vec::new())))
            }
        }
    }

    /// Tells of it when it has lasted for so long.
    pub(super) fn due(&mut self, subject: &mut Subject, now: Timestamp, after: Duration) -> Option<Message> {
        let state = self.0.as_mut().filter(|state| !state.is_told)?;
        let lasts = now.since(state.since);
        if lasts < after {
            return None;
        }
        state.is_told = true;
        let text = format!("{}: {}, for {}", subject.name(), state.nothing, span(lasts));
        let reasons = vec![state.nothing.because.remedy().to_owned()];
        subject.tell(Kind::NothingServes, now, text, state.said(now, reasons))
    }
}

impl State {
    fn said(&self, at: Timestamp, reasons: Vec<String>) -> Said {
        let targets: BTreeSet<Target> = self.nothing.targets.keys().copied().collect();
        Said {
            old: targets,
            timings: since(self.since, at),
            reasons,
            ..Said::default()
        }
    }
}

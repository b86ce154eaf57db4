//! The subject of messages, which makes them and holds back those that would be too many. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::gate::{Gate, HeldBack};
use super::message::{Kind, Message, Of, Timings, millis};
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::text::span;

/// A target group or proxy: what all messages about it have in common, and how many of them there may be.
pub(super) struct Subject {
    of: Of,
    pub(super) endpoints: BTreeSet<Endpoint>,
    pub(super) role: Role,
    pub(super) trigger: String,
    /// Changes must not use up what there is for trouble.
    changes: Gate,
    troubles: Gate,
}

/// The part of a message that differs from one to the next.
#[derive(Default)]
pub(super) struct Said {
    pub(super) endpoints: Option<BTreeSet<Endpoint>>,
    pub(super) old: BTreeSet<Target>,
    pub(super) new: BTreeSet<Target>,
    pub(super) timings: Timings,
    pub(super) reasons: Vec<String>,
}

impl Subject {
    pub(super) fn new(of: Of, endpoints: BTreeSet<Endpoint>, role: Role) -> Self {
        Self {
            of,
            endpoints,
            role,
            trigger: String::new(),
            changes: Gate::default(),
            troubles: Gate::default(),
        }
    }

    pub(super) fn name(&self) -> String {
        self.of.name()
    }

    /// The message, unless there have been too many.
    pub(super) fn tell(&mut self, kind: Kind, at: Timestamp, text: String, said: Said) -> Option<Message> {
        let gate = match kind {
            Kind::Unsettled
            | Kind::Unresolved
            | Kind::Rotates
            | Kind::RemovedByOthers
            | Kind::NothingServes
            | Kind::Recovered => &mut self.troubles,
            Kind::AddressChanged | Kind::Converged | Kind::Refused | Kind::Unproven | Kind::Summary => {
                &mut self.changes
            }
        };
        gate.admits(kind, at).then(|| self.message(kind, at, text, said))
    }

    /// The summaries that are due.
    pub(super) fn summaries(&mut self, now: Timestamp) -> Vec<Message> {
        let held_back = [self.changes.due(now), self.troubles.due(now)];
        let summary = |held: HeldBack| {
            let lasted = now.since(held.since);
            let count: u64 = held.counts.values().sum();
            let text = format!(
                "{} is flapping: {count} more messages in {} are summed up here",
                self.name(),
                span(lasted)
            );
            let said = Said {
                timings: since(held.since, now),
                ..Said::default()
            };
            Message {
                counts: held.counts,
                ..self.message(Kind::Summary, now, text, said)
            }
        };
        held_back.into_iter().flatten().map(summary).collect()
    }

    fn message(&self, kind: Kind, at: Timestamp, text: String, said: Said) -> Message {
        Message {
            kind,
            of: self.of.clone(),
            endpoints: said.endpoints.unwrap_or_else(|| self.endpoints.clone()),
            role: self.role,
            at,
            text,
            old: said.old,
            new: said.new,
            timings: said.timings,
            reasons: said.reasons,
            trigger: self.trigger.clone(),
            counts: BTreeMap::new(),
        }
    }
}

/// The timings of what began then.
pub(super) fn since(began: Timestamp, now: Timestamp) -> Timings {
    Timings {
        since: Some(began),
        lasted_ms: Some(millis(now.since(began))),
        ..Timings::default()
    }
}

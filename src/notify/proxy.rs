//! What has been told of one proxy, and what may have to be. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::message::{Kind, Message, Of};
use super::subject::{Said, Subject, since};
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::proxy::{AHEAD, Happening, Moment};
use crate::text::{join, span};

/// The trouble of one proxy's endpoint.
pub(super) struct Proxy {
    subject: Subject,
    endpoint: Endpoint,
    blind: Option<(Timestamp, String)>,
    /// Since when it has not been resolved, if that was told.
    told: Option<Timestamp>,
    /// Since when its name servers are known to differ.
    disputed: Option<Timestamp>,
}

impl Proxy {
    pub(super) fn new(moment: &Moment) -> Self {
        let endpoints = BTreeSet::from([moment.endpoint.clone()]);
        Self {
            subject: Subject::new(Of::Proxy(moment.listen), endpoints, moment.role),
            endpoint: moment.endpoint.clone(),
            blind: None,
            told: None,
            disputed: None,
        }
    }

    pub(super) fn note(&mut self, moment: &Moment, trigger: &str) -> Vec<Message> {
        let at = moment.at;
        let mut told = self.subject.summaries(at);
        self.endpoint = moment.endpoint.clone();
        self.subject.endpoints = BTreeSet::from([moment.endpoint.clone()]);
        self.subject.role = moment.role;
        trigger.clone_into(&mut self.subject.trigger);
        let name = self.subject.name();
        let port = moment.endpoint.port();
        let target = |ip: &IpAddr| Target { ip: *ip, port };
        match &moment.what {
            // The answers of a reader endpoint are samples, and a proxy has no members to compare them with.
            Happening::Moved { .. } if moment.role == Role::Reader => {}
            // Where it is at the start is no change.
            Happening::Moved { from, .. } if from.is_empty() => {}
            Happening::Moved { from, to, is_ahead } => {
                let from: BTreeSet<Target> = from.iter().map(target).collect();
                let to: BTreeSet<Target> = to.iter().map(target).collect();
                let why = if *is_ahead { AHEAD } else { "" };
                let text = format!("{name} moved from {} to {}{why}", join(&from), join(&to));
                let said = Said {
                    old: &from - &to,
                    new: &to - &from,
                    timings: since(at, at),
                    ..Said::default()
                };
                told.extend(self.subject.tell(Kind::AddressChanged, at, text, said));
            }
            Happening::Unresolved(why) => {
                self.blind.get_or_insert_with(|| (at, why.clone()));
            }
            Happening::Disputed(words) => {
                self.disputed.get_or_insert(at);
                let text = format!("{name}: {} is not the same to all name servers", self.endpoint);
                let said = Said {
                    timings: since(at, at),
                    reasons: vec![words.clone()],
                    ..Said::default()
                };
                told.extend(self.subject.tell(Kind::Unsettled, at, text, said));
            }
            Happening::Rotates(members) => {
                let new: BTreeSet<Target> = members.iter().map(target).collect();
                let text = format!("{name}: {} gives {} in turn", self.endpoint, join(&new));
                let said = Said { new, ..Said::default() };
                told.extend(self.subject.tell(Kind::Rotates, at, text, said));
            }
            Happening::Resolved | Happening::Agreed => {
                let over = if moment.what == Happening::Agreed {
                    self.disputed.take()
                } else {
                    self.blind = None;
                    self.told.take()
                };
                if let Some(began) = over {
                    let text = format!("{name} has recovered after {}", span(at.since(began)));
                    let said = Said {
                        timings: since(began, at),
                        ..Said::default()
                    };
                    told.extend(self.subject.tell(Kind::Recovered, at, text, said));
                }
            }
            Happening::Refused(refusals) => {
                let new: BTreeSet<Target> = refusals.keys().map(target).collect();
                let text = format!("{name}: {} may not be connected to", join(&new));
                let said = Said {
                    new,
                    reasons: refusals.iter().map(|(ip, why)| format!("{ip} {why}")).collect(),
                    ..Said::default()
                };
                told.extend(self.subject.tell(Kind::Refused, at, text, said));
            }
        }
        told
    }

    pub(super) fn due(&mut self, now: Timestamp, after: Duration) -> Vec<Message> {
        let mut told = self.subject.summaries(now);
        let lasts = |blind: &&(Timestamp, String)| now.since(blind.0) >= after;
        if let (None, Some((began, why))) = (self.told, self.blind.as_ref().filter(lasts)) {
            let name = self.subject.name();
            let text = format!(
                "{name}: {} cannot be resolved for {}",
                self.endpoint,
                span(now.since(*began))
            );
            let said = Said {
                timings: since(*began, now),
                reasons: vec![why.clone()],
                ..Said::default()
            };
            self.told = Some(*began);
            told.extend(self.subject.tell(Kind::Unresolved, now, text, said));
        }
        told
    }
}

//! What is worth a message. Pure: reports and what befell proxies go in, with the time; messages come out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::gate::Gate;
use super::group::Group;
use super::message::{Kind, Message, Of, Timings, millis};
use crate::aws::arn::Arn;
use crate::follow::report::Report;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::proxy::{Happening, Moment};
use crate::text::{join, span};

/// What has been told of every target group and proxy, and what may have to be.
pub struct News {
    after: Duration,
    groups: BTreeMap<Arn, Group>,
    proxies: BTreeMap<SocketAddr, Proxy>,
}

impl News {
    /// Nothing yet. Trouble is told of after it has lasted that long.
    pub fn new(after: Duration) -> Self {
        Self {
            after,
            groups: BTreeMap::new(),
            proxies: BTreeMap::new(),
        }
    }

    /// Trouble is told of after it has lasted that long.
    pub fn set_after(&mut self, after: Duration) {
        self.after = after;
    }

    /// Takes a report and what made the process look.
    pub fn note(&mut self, report: &Report, trigger: &str) -> Vec<Message> {
        let group = self.groups.entry(report.binding.arn.clone());
        group
            .or_insert_with(|| Group::new(report))
            .note(report, trigger, self.after)
    }

    /// Takes what befell a proxy.
    pub fn note_proxy(&mut self, moment: &Moment, trigger: &str) -> Vec<Message> {
        let proxy = self.proxies.entry(moment.listen);
        proxy.or_insert_with(|| Proxy::new(moment)).note(moment, trigger)
    }

    /// What has become due by the passing of time alone.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Message> {
        let after = self.after;
        let of_groups = self.groups.values_mut().flat_map(|group| group.due(now, after));
        let of_proxies = self.proxies.values_mut().flat_map(|proxy| proxy.due(now, after));
        of_groups.chain(of_proxies).collect()
    }

    /// Forgets a target group that is no longer followed.
    pub fn forget(&mut self, arn: &Arn) {
        self.groups.remove(arn);
    }

    /// Forgets all proxies but those that listen there.
    pub fn keep_proxies(&mut self, listening: &BTreeSet<SocketAddr>) {
        self.proxies.retain(|listen, _| listening.contains(listen));
    }
}

/// What all messages about one subject have in common, and how many of them there may be.
pub(super) struct Subject {
    of: Of,
    endpoints: BTreeSet<Endpoint>,
    pub(super) role: Role,
    pub(super) trigger: String,
    /// Changes must not use up what there is for trouble.
    changes: Gate,
    troubles: Gate,
}

/// What a message says besides.
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
            Kind::Unsettled | Kind::Unresolved | Kind::Recovered => &mut self.troubles,
            Kind::AddressChanged | Kind::Converged | Kind::Refused | Kind::Unproven | Kind::Summary => {
                &mut self.changes
            }
        };
        gate.admits(kind, at).then(|| self.message(kind, at, text, said))
    }

    /// The summaries that are due.
    pub(super) fn summaries(&mut self, now: Timestamp) -> Vec<Message> {
        let held_back = [self.changes.due(now), self.troubles.due(now)];
        let summary = |held: super::gate::HeldBack| {
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

/// What is known of one proxy.
struct Proxy {
    subject: Subject,
    endpoint: Endpoint,
    blind: Option<(Timestamp, String)>,
    /// Since when there has been the trouble that was told.
    told: Option<Timestamp>,
}

impl Proxy {
    fn new(moment: &Moment) -> Self {
        let endpoints = BTreeSet::from([moment.endpoint.clone()]);
        Self {
            subject: Subject::new(Of::Proxy(moment.listen), endpoints, moment.role),
            endpoint: moment.endpoint.clone(),
            blind: None,
            told: None,
        }
    }

    fn note(&mut self, moment: &Moment, trigger: &str) -> Vec<Message> {
        let at = moment.at;
        let mut told = self.subject.summaries(at);
        self.endpoint = moment.endpoint.clone();
        self.subject.endpoints = BTreeSet::from([moment.endpoint.clone()]);
        self.subject.role = moment.role;
        trigger.clone_into(&mut self.subject.trigger);
        let name = self.subject.name();
        let port = moment.endpoint.port();
        let targets = |ips: &[std::net::IpAddr]| ips.iter().map(|ip| Target { ip: *ip, port }).collect::<BTreeSet<_>>();
        match &moment.what {
            // The answers of a reader endpoint are samples, and a proxy has no members to compare them with.
            Happening::Moved { .. } if moment.role == Role::Reader => {}
            // Where it is at the start is no change.
            Happening::Moved { from, .. } if from.is_empty() => {}
            Happening::Moved { from, to } => {
                let (from, to) = (targets(from), targets(to));
                let text = format!("{name} moved from {} to {}", join(&from), join(&to));
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
            Happening::Resolved => {
                self.blind = None;
                if let Some(began) = self.told.take() {
                    let text = format!("{name} has recovered after {}", span(at.since(began)));
                    let said = Said {
                        timings: since(began, at),
                        ..Said::default()
                    };
                    told.extend(self.subject.tell(Kind::Recovered, at, text, said));
                }
            }
            Happening::Refused(addresses) => {
                let new = targets(addresses);
                let text = format!("{name}: {} may not be connected to", join(&new));
                let said = Said {
                    new,
                    reasons: vec!["no address of the answer is in allow_cidrs".into()],
                    ..Said::default()
                };
                told.extend(self.subject.tell(Kind::Refused, at, text, said));
            }
        }
        told
    }

    fn due(&mut self, now: Timestamp, after: Duration) -> Vec<Message> {
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

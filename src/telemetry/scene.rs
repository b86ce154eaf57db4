//! What the page for people shows: where everything stands, and what became of it, target group by target group and proxy by proxy.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::telemetry::document::{Document, Group, Proxy, Text};
use crate::telemetry::state::State;
use crate::telemetry::timeline::Timeline;
use crate::text::join;

/// What became of each.
#[derive(Clone, Debug, Default)]
pub struct Timelines {
    /// Target groups, by their ARNs.
    pub groups: BTreeMap<String, Arc<Timeline>>,
    /// Proxies, by where they listen.
    pub proxies: BTreeMap<String, Arc<Timeline>>,
}

/// What is drawn.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Where everything stands.
    pub document: Document,
    /// What became of it.
    pub timelines: Timelines,
    /// The name of this machine.
    pub host: Option<String>,
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// All.
    All,
    /// The target groups of this name.
    Group(&'a str),
    /// The proxy that listens there.
    Proxy(&'a str),
}

/// A target group or a proxy.
pub(super) enum Subject<'a> {
    Group(&'a Group),
    Proxy(&'a Proxy),
}

/// One of them, as it is shown.
pub(super) struct Entry<'a> {
    pub subject: Subject<'a>,
    pub state: State,
    /// Its anchor.
    pub id: String,
    pub timeline: Option<&'a Timeline>,
}

impl Scene {
    /// The entries of a part, the worst first.
    pub(super) fn entries(&self, part: Part<'_>) -> Vec<Entry<'_>> {
        let document = &self.document;
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for group in &document.target_groups {
            *names.entry(group.name.to_string()).or_default() += 1;
        }
        let group_id = |group: &Group| {
            let name = group.name.to_string();
            match (names.get(&name), group.arn.0.rsplit('/').next()) {
                (Some(2..), Some(end)) => format!("group-{name}-{end}"),
                _ => format!("group-{name}"),
            }
        };
        let is_wanted = |group: &&Group| match part {
            Part::All => true,
            Part::Group(name) => group.name == *name,
            Part::Proxy(_) => false,
        };
        let groups = document.target_groups.iter().filter(is_wanted).map(|group| Entry {
            subject: Subject::Group(group),
            state: State::of(document, group),
            id: group_id(group),
            timeline: self.timelines.groups.get(&group.arn.0).map(|timeline| &**timeline),
        });
        let is_wanted = |proxy: &&Proxy| match part {
            Part::All => true,
            Part::Proxy(listen) => proxy.listen == *listen,
            Part::Group(_) => false,
        };
        let proxies = document.proxies.iter().flatten().filter(is_wanted);
        let proxies = proxies.map(|proxy| Entry {
            subject: Subject::Proxy(proxy),
            state: State::of_proxy(proxy),
            id: format!("proxy-{}", proxy.listen),
            timeline: self.timelines.proxies.get(&proxy.listen.0).map(|timeline| &**timeline),
        });
        let mut entries: Vec<Entry<'_>> = groups.chain(proxies).collect();
        entries.sort_by_key(|entry| entry.state);
        entries
    }
}

impl Entry<'_> {
    /// What people call it, and where it has a page of its own.
    pub(super) fn name(&self) -> (String, String) {
        match self.subject {
            Subject::Group(group) => (group.name.to_string(), format!("group/{}", group.name)),
            Subject::Proxy(proxy) => (proxy.listen.to_string(), format!("proxy/{}", proxy.listen)),
        }
    }

    /// What it is called where its changes are told.
    pub(super) fn subject(&self) -> String {
        match self.subject {
            Subject::Group(group) => group.name.to_string(),
            Subject::Proxy(proxy) => format!("proxy {}", proxy.listen),
        }
    }

    /// The endpoints that it follows.
    pub(super) fn endpoints(&self) -> Vec<&Text> {
        match self.subject {
            Subject::Group(group) => group.endpoints.iter().map(|sighted| &sighted.endpoint).collect(),
            Subject::Proxy(proxy) => vec![&proxy.endpoint],
        }
    }

    /// By what it is found.
    pub(super) fn words(&self) -> String {
        let (name, _) = self.name();
        let (kind, more) = match self.subject {
            Subject::Group(group) => (
                "target group",
                join(
                    group
                        .region()
                        .into_iter()
                        .map(str::to_owned)
                        .chain(group.targets.iter().flatten().map(|target| target.target.to_string())),
                ),
            ),
            Subject::Proxy(proxy) => ("proxy", join(&proxy.addresses)),
        };
        format!("{name} {} {} {kind} {more}", self.state.name(), join(self.endpoints())).to_lowercase()
    }
}

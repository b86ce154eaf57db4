//! What is worth a message. Pure: reports and what befell proxies go in, with the time; messages come out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::group::Group;
use super::message::Message;
use super::proxy::Proxy;
use crate::aws::arn::Arn;
use crate::follow::report::Report;
use crate::planner::time::Timestamp;
use crate::proxy::Moment;

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

//! Many endpoints, each with a target group of its own, and what became of changes to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use rds_tether::planner::cadence::APART;
use rds_tether::settings::discover::ENDPOINT;
use testkit::dns::{self, Answered, Behaviour, Query};
use testkit::elb::{self, Call, Group};

use crate::process::{Build, Running};

const OLD: &str = "10.0.1.5";
const NEW: &str = "10.0.2.7";

/// An endpoint and its target group.
pub struct Bound {
    name: String,
    arn: String,
    ttl: Duration,
}

/// A DNS server that caches like the resolver of a VPC, an ELBv2 server, what is bound, and the build that follows it.
pub struct Fleet {
    pub build: Build,
    pub dns: dns::Server,
    pub elb: elb::Server,
    pub bound: Vec<Bound>,
}

/// An address that was changed in DNS.
pub struct Change {
    index: usize,
    at: Instant,
}

/// How a change went, in the order in which it happened.
pub struct Reaction {
    /// From the moment at which the name server's cache would show the change to anyone, to the query that saw it.
    pub looked: Duration,
    /// From there to the look at the target group.
    pub listed: Duration,
    /// From there to the RegisterTargets call.
    pub registered: Duration,
    /// Whether the group had been looked at less than the least distance of looks before, so that this look had to wait.
    pub spaced: bool,
}

impl Reaction {
    /// From visible to registered.
    pub fn whole(&self) -> Duration {
        self.looked + self.listed + self.registered
    }
}

impl Fleet {
    /// Groups that are as DNS says, with a TTL in seconds by index.
    pub fn new(build: &Build, count: usize, ttl: impl Fn(usize) -> u32) -> Self {
        Self::in_accounts(build, count, 1, ttl)
    }

    /// The same in so many accounts, one group after the other.
    pub fn in_accounts(build: &Build, count: usize, accounts: usize, ttl: impl Fn(usize) -> u32) -> Self {
        let (dns, elb) = (dns::Server::start(), elb::Server::start());
        dns.caching(true);
        let bind = |index| {
            let name = format!("orders-{index}.cluster-abc123.eu-west-1.rds.amazonaws.com");
            let account = format!("{:012}", 111_122_223_333 + (index % accounts) as u64);
            let arn = elb.add_group(Group::named(&format!("orders-{index}")).account(&account));
            elb.put_target(&arn, OLD, 5432);
            dns.set(&name, Behaviour::a(OLD, ttl(index)));
            let ttl = Duration::from_secs(ttl(index).into());
            Bound { name, arn, ttl }
        };
        let bound = (0..count).map(bind).collect();
        let build = build.clone();
        Self { build, dns, elb, bound }
    }

    /// Starts a daemon for some of it. Nothing is ever removed, so that no removal disturbs a later change.
    pub fn follow(&self, bound: &[Bound], settings_file: &str) -> Running {
        self.follow_and_serve(bound, settings_file, None)
    }

    /// Starts a daemon that finds all of it by tags.
    pub fn follow_tagged(&self, settings_file: &str) -> Running {
        for Bound { name, arn, .. } in &self.bound {
            self.elb.set_tag(arn, ENDPOINT, &format!("{name}:5432"));
        }
        let dns = self.dns.addr();
        let settings = format!(
            "dns = {{ nameservers = [\"{dns}\"] }}\n[[discover]]\nregion = \"eu-west-1\"\n\
             allow_endpoints = [\"*.cluster-abc123.eu-west-1.rds.amazonaws.com\"]\ndefaults = {{ upsert_only = true }}\n"
        );
        self.start(&settings, settings_file)
    }

    fn start(&self, settings: &str, settings_file: &str) -> Running {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{settings_file}", self.build.name));
        fs::write(&path, settings).expect("the target folder can be written to");
        Running::start(self.build.command(&self.elb.url()).arg("run").arg("--config").arg(path))
    }

    /// The same as [`Self::follow`], with its pages served at an address.
    pub fn follow_and_serve(&self, bound: &[Bound], settings_file: &str, http: Option<SocketAddr>) -> Running {
        let mut settings = format!("dns = {{ nameservers = [\"{}\"] }}\n", self.dns.addr());
        settings.extend(http.map(|http| format!("http = {{ listen = \"{http}\" }}\n")));
        for Bound { name, arn, .. } in bound {
            let written = write!(
                settings,
                "[[target_group]]\narn = \"{arn}\"\nendpoints = [\"{name}:5432\"]\nupsert_only = true\n"
            );
            written.expect("a string grows");
        }
        self.start(&settings, settings_file)
    }

    /// Waits until every group has been looked at.
    pub fn wait_until_looked_at(&self, within: Duration) {
        let all = |calls: &[Call]| {
            let looks = calls.iter().filter(|call| call.action == "DescribeTargetHealth");
            looks
                .filter_map(|call| call.arn.as_deref())
                .collect::<BTreeSet<_>>()
                .len()
                == self.bound.len()
        };
        assert!(
            self.elb.wait_for(within, all),
            "not all groups were looked at within {within:?}"
        );
    }

    /// Changes the address of an endpoint.
    pub fn change(&self, index: usize) -> Change {
        let Bound { name, ttl, .. } = &self.bound[index];
        let ttl = u32::try_from(ttl.as_secs()).expect("a TTL");
        let at = Instant::now();
        self.dns.set(name, Behaviour::a(NEW, ttl));
        Change { index, at }
    }

    /// Waits until the changes have arrived at their groups, but no longer than `within`.
    pub fn wait_until_registered(&self, changes: &[Change], within: Duration) {
        let wanted: BTreeSet<&str> = changes
            .iter()
            .map(|change| self.bound[change.index].arn.as_str())
            .collect();
        self.elb.wait_for(within, |calls| {
            let registered = calls.iter().filter(|call| call.action == "RegisterTargets");
            let registered: BTreeSet<&str> = registered.filter_map(|call| call.arn.as_deref()).collect();
            wanted.is_subset(&registered)
        });
    }

    /// How changes to endpoints went that were never changed before; `None` for those not registered yet.
    pub fn reactions(&self, changes: &[Change]) -> Vec<Option<Reaction>> {
        let mut queries: BTreeMap<String, Vec<Query>> = BTreeMap::new();
        for query in self.dns.queries() {
            queries.entry(query.name.clone()).or_default().push(query);
        }
        let mut calls: BTreeMap<String, Vec<Call>> = BTreeMap::new();
        for call in self.elb.calls() {
            calls
                .entry(call.arn.clone().unwrap_or_default())
                .or_default()
                .push(call);
        }
        let reaction = |change: &Change| {
            let bound = &self.bound[change.index];
            let (queries, calls) = (queries.get(&bound.name)?, calls.get(&bound.arn)?);
            let saw = queries.iter().find(|query| named(query, NEW))?.at;
            after(visible(queries, bound.ttl).max(change.at), saw, calls)
        };
        changes.iter().map(reaction).collect()
    }
}

fn named(query: &Query, address: &str) -> bool {
    let wanted: IpAddr = address.parse().expect("an address");
    matches!(&query.answered, Answered::Message { addresses, .. } if addresses.contains(&wanted))
}

/// When the last answer with the old address expired in the name server's cache.
///
/// The queries tell, by the rule the server goes by: the first of them fills the cache for the TTL, and so does each that
/// comes when it has expired.
fn visible(queries: &[Query], ttl: Duration) -> Instant {
    let mut expires = queries[0].at + ttl;
    for query in queries.iter().take_while(|query| named(query, OLD)) {
        if query.at >= expires {
            expires = query.at + ttl;
        }
    }
    expires
}

fn after(visible: Instant, saw: Instant, calls: &[Call]) -> Option<Reaction> {
    let register = calls.iter().position(|call| call.action == "RegisterTargets")?;
    let looks: Vec<Instant> = calls[..register].iter().map(|call| call.at).collect();
    let [.., before, look] = looks[..] else { return None };
    Some(Reaction {
        looked: saw.saturating_duration_since(visible),
        listed: look.saturating_duration_since(saw),
        registered: calls[register].at.saturating_duration_since(look),
        spaced: saw.saturating_duration_since(before) < APART,
    })
}

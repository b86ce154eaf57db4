//! Asks candidates, addresses that are to become targets, to show that the database is there, until they do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::follow::binding::Binding;
use crate::follow::report::Report;
use crate::planner::cadence;
use crate::planner::candidate::{Doubt, Probe};
use crate::planner::history::GAP;
use crate::planner::target::Target;
use crate::probe::{Depth, Trouble, Trust, probe};

/// How long a candidate has for its answer: more than a handshake takes of which a packet is lost.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// The longest wait before a candidate that failed is asked again.
const AGAIN_MAX: Duration = Duration::from_secs(10);
/// How long what was shown is believed. A reader endpoint names each member now and then only, so one that is not named is
/// asked on for as long.
const BELIEVED: Duration = GAP;

/// What candidates have shown.
pub type Shown = Arc<BTreeMap<Target, Result<(), Doubt>>>;

/// Asks the candidates of one binding, as long as it lives.
pub struct Prober {
    binding: Arc<Binding>,
    shown: watch::Sender<Shown>,
    asked: BTreeMap<Target, Asked>,
}

/// A candidate that is asked until this is dropped.
struct Asked {
    task: JoinHandle<()>,
    hosts: BTreeSet<String>,
    /// The latest report that it was a candidate of.
    wanted: Instant,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Prober {
    /// One that has not asked anybody yet.
    pub fn new(binding: &Arc<Binding>) -> Self {
        Self {
            binding: Arc::clone(binding),
            shown: watch::Sender::default(),
            asked: BTreeMap::new(),
        }
    }

    /// What the candidates have shown, from now on.
    pub fn shown(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }

    /// Asks the candidates of a report from now on, and nobody any more who has not been one for a while.
    pub fn ask(&mut self, report: &Report) {
        let trust = match (self.binding.policy.probe, &self.binding.trust) {
            (Probe::Tcp, _) => None,
            (Probe::Tls, Some(trust)) => Some(trust),
            // Without a probe, or without CAs to check against, no candidate is asked.
            (Probe::None, _) | (Probe::Tls, None) => return,
        };
        let now = Instant::now();
        for (target, hosts) in candidates(report) {
            match self.asked.get_mut(&target) {
                Some(asked) if asked.hosts == hosts => asked.wanted = now,
                _ => {
                    let shown = self.shown.clone();
                    let task = tokio::spawn(ask(target, hosts.clone(), trust.cloned(), shown));
                    let wanted = now;
                    self.asked.insert(target, Asked { task, hosts, wanted });
                }
            }
        }
        self.asked
            .retain(|_, asked| now.duration_since(asked.wanted) < BELIEVED);
        self.shown.send_if_modified(|shown| {
            let is_over = |target: &Target| !self.asked.contains_key(target);
            let is_news = shown.keys().any(is_over);
            if is_news {
                Arc::make_mut(shown).retain(|target, _| !is_over(target));
            }
            is_news
        });
    }

    /// Whether there is nobody to ask.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// Waits until each of them has been asked once.
    pub async fn all_asked(&self) {
        let all = |shown: &Shown| self.asked.keys().all(|target| shown.contains_key(target));
        // The sender is our own, so there is an end.
        let _ = self.shown.subscribe().wait_for(all).await;
    }
}

/// The named targets that are not registered, each with the endpoints that name it. A name that a CNAME led to would not
/// do: who makes up an address can make up that, too.
fn candidates(report: &Report) -> BTreeMap<Target, BTreeSet<String>> {
    let hosts_of = |target: Target| {
        let names = report.sights.iter().filter(|(endpoint, sight)| {
            let addresses = sight.seen.as_ref().map(|answer| answer.resolution.addresses());
            endpoint.port() == target.port && addresses.is_ok_and(|addresses| addresses.contains(&target.ip))
        });
        let hosts: BTreeSet<String> = names.map(|(endpoint, _)| endpoint.host().to_owned()).collect();
        (!hosts.is_empty()).then_some((target, hosts))
    };
    report.plan.candidates().into_iter().filter_map(hosts_of).collect()
}

/// Asks again and again what a candidate shows now.
async fn ask(target: Target, hosts: BTreeSet<String>, trust: Option<Trust>, shown: watch::Sender<Shown>) {
    let mut failures = 0;
    loop {
        let answer = ask_once(target, &hosts, trust.as_ref()).await;
        failures = if answer.is_ok() { 0 } else { failures + 1 };
        shown.send_if_modified(|shown| {
            let is_news = shown.get(&target) != Some(&answer);
            if is_news {
                Arc::make_mut(shown).insert(target, answer);
            }
            is_news
        });
        sleep(match failures {
            0 => BELIEVED,
            failures => cadence::backoff(failures, AGAIN_MAX).max(cadence::APART),
        })
        .await;
    }
}

/// One of the endpoints that name it has to be the one that it is.
async fn ask_once(target: Target, hosts: &BTreeSet<String>, trust: Option<&Trust>) -> Result<(), Doubt> {
    let mut doubt = Doubt::NotYet;
    for host in hosts {
        let depth = trust.map_or(Depth::Tcp, |trust| Depth::Tls(host, trust));
        match probe(SocketAddr::new(target.ip, target.port), depth, ANSWER_MAX).await {
            Ok(_) => return Ok(()),
            Err(trouble) => doubt = doubt_in(&trouble),
        }
    }
    Err(doubt)
}

fn doubt_in(trouble: &Trouble) -> Doubt {
    let why = trouble.to_string();
    match trouble.is_of_another() {
        true => Doubt::Impostor(why),
        false => Doubt::Silent(why),
    }
}

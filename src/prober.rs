//! Asks candidates, addresses that are to become targets, to show that the database is there, until they do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::planner::candidate::{Doubt, Probe};
use crate::planner::plan::{Held, Reason};
use crate::planner::target::Target;
use crate::probe::{Depth, Trouble, Trust, probe};
use crate::reconcile::Binding;
use crate::report::Report;

/// How long a candidate has for its answer: more than a handshake takes of which a packet is lost.
pub const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long after a failure it is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// What candidates have shown.
pub type Shown = Arc<BTreeMap<Target, Result<(), Doubt>>>;

/// Asks the candidates of one binding, as long as it lives.
pub struct Prober {
    binding: Arc<Binding>,
    shown: watch::Sender<Shown>,
    asked: BTreeMap<Target, Asked>,
}

/// A candidate that is asked until this is dropped.
struct Asked(JoinHandle<()>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.abort();
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

    /// Asks the candidates of a report, and no others any more.
    pub fn follow(&mut self, report: &Report) {
        let trust = match (self.binding.policy.probe, &self.binding.trust) {
            (Probe::Tcp, _) => None,
            (Probe::Tls, Some(trust)) => Some(trust),
            // Whom nobody can be asked about shows nothing.
            (Probe::None, _) | (Probe::Tls, None) => return,
        };
        let candidates = candidates(report);
        self.asked.retain(|target, _| candidates.contains_key(target));
        self.shown.send_if_modified(|shown| {
            let is_over = |target: &Target| !candidates.contains_key(target);
            let is_news = shown.keys().any(is_over);
            if is_news {
                Arc::make_mut(shown).retain(|target, _| !is_over(target));
            }
            is_news
        });
        for (target, host) in candidates {
            let ask = || Asked(tokio::spawn(ask(target, host, trust.cloned(), self.shown.clone())));
            self.asked.entry(target).or_insert_with(ask);
        }
    }

    /// Waits until each of them has been asked once.
    pub async fn all_asked(&self) {
        let all = |shown: &Shown| self.asked.keys().all(|target| shown.contains_key(target));
        // The sender is our own, so there is an end.
        let _ = self.shown.subscribe().wait_for(all).await;
    }
}

/// The named targets that are not registered, each with the name of an endpoint that names it. A name that a CNAME led to
/// would not do: who makes up an address can make up that, too.
fn candidates(report: &Report) -> BTreeMap<Target, String> {
    let held = report
        .plan
        .holds
        .iter()
        .filter_map(|hold| match (&hold.what, &hold.reason) {
            (Held::Target(target), Reason::Unproven(_)) => Some(*target),
            _ => None,
        });
    let host_of = |target: Target| {
        let mut sights = report.sights.iter();
        let (endpoint, _) = sights.find(|(endpoint, sight)| {
            let addresses = sight.seen.as_ref().map(|answer| answer.resolution.addresses());
            endpoint.port() == target.port && addresses.is_ok_and(|addresses| addresses.contains(&target.ip))
        })?;
        Some((target, endpoint.host().to_owned()))
    };
    held.chain(report.plan.register.keys().copied())
        .filter_map(host_of)
        .collect()
}

/// Asks until the candidate has shown what it has to.
async fn ask(target: Target, host: String, trust: Option<Trust>, shown: watch::Sender<Shown>) {
    let depth = trust.as_ref().map_or(Depth::Tcp, |trust| Depth::Tls(&host, trust));
    loop {
        let answer = probe(SocketAddr::new(target.ip, target.port), depth, ANSWER_MAX).await;
        let is_proven = answer.is_ok();
        let answer = answer.map(|_| ()).map_err(|trouble| doubt(&trouble));
        shown.send_if_modified(|shown| {
            let is_news = shown.get(&target) != Some(&answer);
            if is_news {
                Arc::make_mut(shown).insert(target, answer);
            }
            is_news
        });
        if is_proven {
            return;
        }
        sleep(AGAIN).await;
    }
}

fn doubt(trouble: &Trouble) -> Doubt {
    let why = trouble.to_string();
    match trouble {
        Trouble::NotPostgres(_)
        | Trouble::TlsRefused
        | Trouble::WrongName(_)
        | Trouble::UnknownCa
        | Trouble::Expired
        | Trouble::NotYetValid
        | Trouble::BadCertificate(_) => Doubt::Impostor(why),
        Trouble::Refused
        | Trouble::Unreachable(_)
        | Trouble::TimedOut(_)
        | Trouble::Closed(..)
        | Trouble::Handshake(_) => Doubt::Silent(why),
    }
}

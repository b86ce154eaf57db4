//! Feeds a proxy's route with what DNS says about its endpoint, for as long as the proxy lives.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use super::Proxy;
use super::moment::{Happening, Moment};
use super::route::{Effect, Route};
use super::shared::Shared;
use super::standing::Standings;
use crate::dns::watch::{Sight, Watch, Watchers};
use crate::planner::answer::Blind;
use crate::planner::endpoint::Role;
use crate::planner::guard::Refusal;
use crate::planner::history::Answer;
use crate::planner::plan::said;
use crate::planner::time::Timestamp;
use crate::text::{join, span};

/// The settings of a proxy and the watchers of DNS: new settings may bring other name servers.
pub(super) type Orders = watch::Receiver<(Arc<Proxy>, Arc<Watchers>)>;

/// Steers until the sender of the orders is dropped.
pub(super) async fn steer(mut orders: Orders, shared: Arc<Shared>, route: watch::Sender<Arc<Route>>) {
    let (proxy, _) = orders.borrow().clone();
    let mut steering = Steering::new(&proxy);
    // Held until the next is there: a watcher ends with its last follower, and would begin anew for the same name.
    let mut watched = None;
    while orders.has_changed().is_ok() {
        let (proxy, watchers) = orders.borrow_and_update().clone();
        steering.obey(proxy, &shared, &route);
        let watch = watched.insert(watchers.follow(steering.proxy.endpoint.host(), steering.proxy.family));
        steering.follow(watch, &shared, &route, &mut orders).await;
    }
}

struct Steering {
    proxy: Arc<Proxy>,
    route: Route,
    blind_since: Option<Timestamp>,
    is_refusing: bool,
}

impl Steering {
    fn new(proxy: &Arc<Proxy>) -> Self {
        Self {
            proxy: Arc::clone(proxy),
            route: proxy.rules.start(proxy.endpoint.host(), proxy.endpoint.port()),
            blind_since: None,
            is_refusing: false,
        }
    }

    /// Takes new settings. What another name gave is no address of this one.
    fn obey(&mut self, proxy: Arc<Proxy>, shared: &Shared, route: &watch::Sender<Arc<Route>>) {
        let is_same = self.proxy.endpoint == proxy.endpoint && self.proxy.family == proxy.family;
        let mut next = proxy.rules.start(proxy.endpoint.host(), proxy.endpoint.port());
        if is_same {
            // What the new rules forbid is left behind, too.
            let is_allowed = |ip: &mut IpAddr| proxy.rules.check(*ip, proxy.family).is_ok();
            next.addresses = self.route.addresses.extract_if(.., is_allowed).collect();
            next.asked = self.route.asked;
            next.vouched.clone_from(&self.route.vouched);
            (next.is_disputed, next.is_rotating) = (self.route.is_disputed, self.route.is_rotating);
            (next.role, next.linger) = proxy.rules.obeyed(self.route.role);
        } else {
            self.blind_since = None;
        }
        if !is_same || self.proxy.readiness != proxy.readiness {
            let readiness = proxy.readiness;
            shared.health.with(|known| *known = Standings::new(readiness));
        }
        next.leave_behind(&self.route, shared.clock.now());
        self.route = next;
        route.send_replace(Arc::new(self.route.clone()));
        self.proxy = proxy;
    }

    /// Follows until the settings change.
    async fn follow(
        &mut self,
        watch: &Arc<Watch>,
        shared: &Shared,
        route: &watch::Sender<Arc<Route>>,
        orders: &mut Orders,
    ) {
        let mut sights = watch.sights();
        let mut hurry = None;
        loop {
            let sight = Arc::clone(&sights.borrow_and_update());
            self.saw(&sight, shared, route);
            // A name server that has not seen a change yet is soon heard to have.
            let differ = sight.seen.iter().any(|answer| answer.history.differing().is_some());
            let is_hasty = differ && self.route.role == Role::Writer && !self.route.is_disputed
                || self.route.awaits_proof(shared.clock.now());
            hurry = is_hasty.then(|| hurry.take().unwrap_or_else(|| watch.hurry()));
            loop {
                tokio::select! {
                    Ok(()) = sights.changed() => break,
                    () = shared.health.answered.notified() => self.heed(shared, route),
                    () = shared.address_failed.notified() => watch.doubt(),
                    _ = orders.changed() => return,
                }
            }
        }
    }

    /// A new address that takes sessions ends those to the former one.
    fn heed(&mut self, shared: &Shared, route: &watch::Sender<Arc<Route>>) {
        let before = self.route.clone();
        let addresses = &self.route.addresses;
        if let Some(moved) = &mut self.route.moved {
            let is_ready = |ip: &IpAddr| shared.health.with(|known| known.is_ready_since(*ip, moved.at));
            moved.is_proven = moved.is_proven || addresses.iter().any(is_ready);
        }
        self.publish(&before, route);
    }

    fn saw(&mut self, sight: &Sight, shared: &Shared, route: &watch::Sender<Arc<Route>>) {
        let endpoint = &self.proxy.endpoint;
        let before = self.route.clone();
        match &sight.seen {
            Ok(answer) => {
                let (host, family) = (endpoint.host(), self.proxy.family);
                let rules = &self.proxy.rules;
                let effect = rules.answered(&mut self.route, host, family, answer, sight.at);
                let has_moved = effect == Effect::Addresses && self.route.role == Role::Writer;
                if effect == Effect::Addresses {
                    shared.health.with(|known| known.moved(&self.route));
                    shared.troubles.failing.forget();
                }
                // What the log says is so from then on.
                self.publish(&before, route);
                if self.blind_since.take().is_some() {
                    self.tell(shared, sight, Happening::Resolved);
                    info!(%endpoint, "resolved again: {}", join(&self.route.addresses));
                }
                let is_refusing = effect == Effect::AllRefused;
                if is_refusing && !self.is_refusing {
                    let given = answer.resolution.addresses().iter();
                    let refusals: BTreeMap<IpAddr, Refusal> = given
                        .filter_map(|ip| Some((*ip, rules.check(*ip, family).err()?)))
                        .collect();
                    let told = join(refusals.iter().map(|(ip, refusal)| format!("{ip} {refusal}")));
                    self.tell(shared, sight, Happening::Refused(refusals));
                    warn!(
                        %endpoint,
                        "no address of the answer may be connected to ({told}); {}. Widen --allow-cidr if one is right",
                        self.keeps(),
                    );
                }
                self.is_refusing = is_refusing;
                if effect == Effect::Addresses {
                    let (from, to) = (before.addresses.clone(), self.route.addresses.clone());
                    self.tell(shared, sight, Happening::Moved { from, to });
                }
                if before.addresses.is_empty() && effect == Effect::Addresses {
                    info!(%endpoint, "is at {}", join(&self.route.addresses));
                } else if has_moved {
                    info!(%endpoint, "moved from {} to {}", join(&before.addresses), join(&self.route.addresses));
                }
                self.note_history(&before, shared, sight, answer);
            }
            Err(Blind::NotYet) => {}
            Err(blind) => {
                self.route.asked = true;
                self.publish(&before, route);
                if self.blind_since.is_none() {
                    self.tell(shared, sight, Happening::Unresolved(blind.to_string()));
                    warn!(%endpoint, "cannot be resolved: {blind}; {}", self.keeps());
                    self.blind_since = Some(sight.at);
                }
            }
        }
    }

    /// Tells of what the answers show together: name servers that go on to differ, and a name that gives several addresses.
    fn note_history(&self, before: &Route, shared: &Shared, sight: &Sight, answer: &Answer) {
        let endpoint = &self.proxy.endpoint;
        if let Some(members) = answer.history.rotation()
            && self.route.is_rotating
            && !before.is_rotating
        {
            warn!(
                %endpoint,
                "gives {} in turn, so no session is closed for missing from an answer; say so with role = \"reader\", or \
                 point the name at one database",
                join(&members),
            );
            self.tell(shared, sight, Happening::Rotates(members));
        }
        if let Some((words, since)) = answer.history.differing()
            && self.route.is_disputed
            && !before.is_disputed
        {
            let words = said(&words);
            let lasts = span(sight.at.since(since));
            warn!(
                %endpoint,
                "is not the same to all name servers for {lasts}: {words}. One of them is stale or serves another view: \
                 leave it out of nameservers, or set quorum = \"majority\"",
            );
            self.tell(shared, sight, Happening::Disputed(words));
        } else if before.is_disputed && !self.route.is_disputed {
            info!(%endpoint, "is the same to all name servers again");
            self.tell(shared, sight, Happening::Agreed);
        }
    }

    fn publish(&self, before: &Route, route: &watch::Sender<Arc<Route>>) {
        if self.route != *before {
            route.send_replace(Arc::new(self.route.clone()));
        }
    }

    fn tell(&self, shared: &Shared, sight: &Sight, what: Happening) {
        let names = sight.seen.iter().flat_map(|answer| &answer.resolution.names);
        let moment = Moment {
            at: sight.at,
            listen: self.proxy.listen,
            endpoint: self.proxy.endpoint.clone(),
            role: self.proxy.rules.role_of(self.proxy.endpoint.host(), names),
            what,
        };
        // Whoever wants to know must not hold up the proxy.
        let _ = shared.moments.try_send(moment);
    }

    fn keeps(&self) -> String {
        if self.route.addresses.is_empty() {
            "clients wait until it can".into()
        } else {
            format!("connections go on to {}", join(&self.route.addresses))
        }
    }
}

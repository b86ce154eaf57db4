//! Feeds a proxy's route with what DNS says about its endpoint, for as long as the proxy lives.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::Proxy;
use super::moment::{Happening, Moment};
use super::own::Listens;
use super::route::{Effect, Route};
use super::shared::Shared;
use super::standing::{Showed, Standings};
use crate::clock::Clock;
use crate::dns::watch::{Sight, Watch};
use crate::lead::crew::{Crew, Crews, all_heard};
use crate::planner::answer::Blind;
use crate::planner::endpoint::Role;
use crate::planner::guard::Refusal;
use crate::planner::history::Answer;
use crate::planner::lead::{Shown, Steersman};
use crate::planner::plan::said;
use crate::planner::time::Timestamp;
use crate::text::{join, span};

/// The settings of a proxy and who looks for it: new settings may bring other name servers.
pub(super) type Orders = watch::Receiver<(Arc<Proxy>, Arc<Crews>)>;

/// Steers until the sender of the orders is dropped.
pub(super) async fn steer(mut orders: Orders, shared: Arc<Shared>, route: watch::Sender<Arc<Route>>) {
    let (proxy, _) = orders.borrow().clone();
    let mut steering = Steering::new(&proxy, &shared.own);
    // Held until the next is there: a watcher ends with its last follower, and would begin anew for the same name.
    let (mut watched, mut asked) = (None, None);
    while orders.has_changed().is_ok() {
        let (proxy, crews) = orders.borrow_and_update().clone();
        steering.obey(proxy, &shared, &route);
        let proxy = Arc::clone(&steering.proxy);
        let watch = watched.insert(crews.watchers().follow(proxy.endpoint.host(), proxy.family));
        let crew = proxy.quest().map(|quest| crews.follow(quest));
        if let Some(crew) = &crew {
            // Not to be sent to where DNS is late for want of a word. Those who were asked before are, until then.
            all_heard(&mut crew.shown()).await;
        }
        let crew = asked.insert(crew);
        steering
            .follow(watch, crew.as_ref(), &shared, &route, &mut orders)
            .await;
    }
}

/// A route that is steered, and nobody who goes by it: what a proxy does but for its sessions, for tests.
pub struct Steered {
    /// It steers for as long as there may be others.
    orders: watch::Sender<(Arc<Proxy>, Arc<Crews>)>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Steered {
    /// Steers for as long as this lives.
    pub fn start(proxy: Proxy, crews: Arc<Crews>, clock: Clock) -> Self {
        let proxy = Arc::new(proxy);
        let alone = Shared::alone(&proxy, clock);
        let (route, routed) = watch::channel(Arc::clone(&alone.route.borrow()));
        let shared = Arc::new(Shared { route: routed, ..alone });
        let (orders, obeyed) = watch::channel((proxy, crews));
        let task = tokio::spawn(steer(obeyed, Arc::clone(&shared), route));
        Self { orders, shared, task }
    }

    /// Lets others look for it, as where settings are read again.
    pub fn obey(&self, crews: Arc<Crews>) {
        self.orders.send_modify(|(_, former)| *former = crews);
    }

    /// The route, from now on.
    pub fn route(&self) -> watch::Receiver<Arc<Route>> {
        self.shared.route.clone()
    }

    /// Takes what a client met at an address.
    pub fn showed(&self, ip: IpAddr, showed: Showed) {
        self.shared.showed(ip, showed);
    }
}

impl Drop for Steered {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What members have shown since; never, where none are asked.
async fn news(shown: &mut Option<watch::Receiver<Arc<Shown>>>) -> Arc<Shown> {
    if let Some(shown) = shown
        && shown.changed().await.is_ok()
    {
        return Arc::clone(&shown.borrow_and_update());
    }
    std::future::pending().await
}

struct Steering {
    proxy: Arc<Proxy>,
    route: Route,
    blind_since: Option<Timestamp>,
    own: watch::Receiver<Listens>,
    steersman: Steersman,
}

impl Steering {
    fn new(proxy: &Arc<Proxy>, own: &watch::Receiver<Listens>) -> Self {
        Self {
            proxy: Arc::clone(proxy),
            route: proxy.rules.start(proxy.endpoint.host(), proxy.endpoint.port()),
            blind_since: None,
            own: own.clone(),
            steersman: Steersman::default(),
        }
    }

    /// Takes new settings. What another name gave is no address of this one.
    fn obey(&mut self, proxy: Arc<Proxy>, shared: &Shared, route: &watch::Sender<Arc<Route>>) {
        let is_same = self.proxy.endpoint == proxy.endpoint && self.proxy.family == proxy.family;
        let mut next = proxy.rules.start(proxy.endpoint.host(), proxy.endpoint.port());
        if is_same {
            // What the new rules forbid is left behind, too.
            let is_allowed = |ip: &mut IpAddr| proxy.may_reach(*ip, &self.own.borrow()).is_ok();
            next.addresses = self.route.addresses.extract_if(.., is_allowed).collect();
            next.refused.clone_from(&self.route.refused);
            next.asked = self.route.asked;
            next.vouched.clone_from(&self.route.vouched);
            (next.is_disputed, next.is_rotating) = (self.route.is_disputed, self.route.is_rotating);
            // Until those who are asked from now on have been heard.
            next.verdict = self.route.verdict.clone().filter(|_| proxy.lead.is_some());
            (next.role, next.linger) = proxy.rules.obeyed(self.route.role);
        } else {
            self.blind_since = None;
            self.steersman = Steersman::default();
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
        crew: Option<&Arc<Crew>>,
        shared: &Shared,
        route: &watch::Sender<Arc<Route>>,
        orders: &mut Orders,
    ) {
        let mut sights = watch.sights();
        let mut shown = crew.map(|crew| crew.shown());
        let mut hurry = None;
        loop {
            let sight = Arc::clone(&sights.borrow_and_update());
            let newest = shown.as_mut().map(|shown| Arc::clone(&shown.borrow_and_update()));
            // What is published is compared with what was before any of it.
            let before = self.route.clone();
            self.judge(&sight, newest.as_deref(), shared);
            self.saw(&before, &sight, shared, route);
            // A name server that has not seen a change yet is soon heard to have.
            let differ = sight.seen.iter().any(|answer| answer.history.differing().is_some());
            let is_hasty = differ && self.route.role == Role::Writer && !self.route.is_disputed
                || self.route.awaits_proof(shared.clock.now());
            hurry = is_hasty.then(|| hurry.take().unwrap_or_else(|| watch.hurry()));
            loop {
                tokio::select! {
                    // Always in this order, for simulations.
                    biased;
                    _ = orders.changed() => return,
                    Ok(()) = sights.changed() => break,
                    Ok(()) = self.own.changed() => break,
                    shown = news(&mut shown) => self.heard(&sight, &shown, shared, route),
                    () = shared.health.answered.notified() => self.heed(shared, route),
                    () = shared.address_failed.notified() => {
                        watch.doubt();
                        if let Some(crew) = crew {
                            crew.doubt();
                        }
                    }
                }
            }
        }
    }

    /// Takes what members showed for the verdict of now.
    fn judge(&mut self, sight: &Sight, shown: Option<&Shown>, shared: &Shared) {
        let verdict = shown
            .filter(|_| self.route.role == Role::Writer)
            .zip(self.proxy.lead.as_ref());
        let verdict = verdict.map(|(shown, lead)| {
            let own = self.own.borrow();
            let may_reach = |ip: &IpAddr| self.proxy.may_reach(*ip, &own).is_ok();
            let named = sight.seen.iter().flat_map(|answer| answer.resolution.addresses());
            let named = named.copied().filter(may_reach).collect();
            self.steersman.steer(&named, shown, lead.patience, shared.clock.now())
        });
        self.route.verdict = verdict;
    }

    /// A member has shown something.
    fn heard(&mut self, sight: &Sight, shown: &Shown, shared: &Shared, route: &watch::Sender<Arc<Route>>) {
        let before = self.route.clone();
        self.judge(sight, Some(shown), shared);
        let (now, host) = (shared.clock.now(), self.proxy.endpoint.host());
        let own = self.own.borrow().clone();
        let check = |ip| self.proxy.may_reach(ip, &own);
        let rules = &self.proxy.rules;
        let was_steered = before.waits() || before.writer().is_some();
        let effect = match (self.route.writer(), &sight.seen) {
            (Some(writer), _) => rules.led(&mut self.route, writer, check, |ip| shown.is_out(ip, writer, now), now),
            // What DNS said holds again.
            (None, Ok(answer)) if was_steered => rules.answered(&mut self.route, host, check, answer, now),
            (None, _) => Effect::None,
        };
        self.moved(&before, &effect, sight, shared, route);
        if let Some(writer) = self.route.writer()
            && !shared.health.with(|known| known.passes(writer, now))
        {
            // It has a session of ours, and takes others.
            shared.showed(writer, Showed::Ready);
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

    fn saw(&mut self, before: &Route, sight: &Sight, shared: &Shared, route: &watch::Sender<Arc<Route>>) {
        let endpoint = &self.proxy.endpoint;
        match &sight.seen {
            Ok(answer) => {
                let own = self.own.borrow_and_update().clone();
                let check = |ip| self.proxy.may_reach(ip, &own);
                let rules = &self.proxy.rules;
                // A proof is of now, however old the answer is.
                let at = self.route.writer().map_or(sight.at, |_| shared.clock.now());
                let effect = rules.answered(&mut self.route, endpoint.host(), check, answer, at);
                self.moved(before, &effect, sight, shared, route);
                if self.blind_since.take().is_some() {
                    self.tell(shared, sight, Happening::Resolved);
                    info!(%endpoint, "resolved again: {}", join(&self.route.addresses));
                }
                if let Some(told) = self.route.refusals().filter(|_| before.refused.is_empty()) {
                    let refusals = self.route.refused.clone();
                    let remedy = match refusals.values().all(|refusal| *refusal == Refusal::Ourselves) {
                        true => "Name the database's own endpoint",
                        false => "Widen --allow-cidr if one is right",
                    };
                    self.tell(shared, sight, Happening::Refused(refusals));
                    warn!(
                        %endpoint,
                        "no address of the answer may be connected to ({told}); {}. {remedy}",
                        self.keeps("DNS names another"),
                    );
                }
                self.note_history(before, shared, sight, answer);
            }
            Err(Blind::NotYet) => self.publish(before, route),
            Err(blind) => {
                self.route.asked = true;
                self.publish(before, route);
                if self.blind_since.is_none() {
                    self.tell(shared, sight, Happening::Unresolved(blind.to_string()));
                    warn!(%endpoint, "cannot be resolved: {blind}; {}", self.keeps("it can"));
                    self.blind_since = Some(sight.at);
                }
            }
        }
    }

    /// Publishes the route and tells of its addresses, if they are others than before.
    fn moved(
        &self,
        before: &Route,
        effect: &Effect,
        sight: &Sight,
        shared: &Shared,
        route: &watch::Sender<Arc<Route>>,
    ) {
        if *effect == Effect::Addresses {
            shared.health.with(|known| known.moved(&self.route));
            shared.troubles.failing.forget();
        }
        // What the log says is so from then on.
        self.publish(before, route);
        if *effect != Effect::Addresses {
            return;
        }
        let (from, to) = (before.addresses.clone(), self.route.addresses.clone());
        let endpoint = &self.proxy.endpoint;
        if from.is_empty() {
            info!(%endpoint, "is at {}", join(&to));
        } else if self.route.role == Role::Writer {
            info!(%endpoint, "moved from {} to {}", join(&from), join(&to));
        }
        let is_ahead = self.route.writer().is_some_and(|writer| {
            let mut named = sight.seen.iter().flat_map(|answer| answer.resolution.addresses());
            named.all(|ip| *ip != writer)
        });
        self.tell(shared, sight, Happening::Moved { from, to, is_ahead });
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

    /// Where connections go on to; if nowhere, what clients wait for.
    fn keeps(&self, awaited: &str) -> String {
        if self.route.addresses.is_empty() {
            format!("clients wait until {awaited}")
        } else {
            format!("connections go on to {}", join(&self.route.addresses))
        }
    }
}

//! The proxies of a process: started together, changed by new settings, and ended together.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::health::View;
use super::listener::{Inherited, Listeners, taken};
use super::moment::Moment;
use super::own::Listens;
use super::shared::{Phase, Shared};
use super::steer::steer;
use super::worker::{Accepting, Job, Workers};
use super::{Proxy, asker, claim, descriptors, silence};
use crate::clock::Clock;
use crate::lead::crew::Crews;

/// How long threads may take to accept no more.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long sessions may take to be cut.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address cannot be listened on.
    #[error("cannot listen on {0}: {1}; free it, or choose another address with listen")]
    Listen(SocketAddr, io::Error),
    /// Another process listens there, and it was not said that it is to be replaced.
    #[error("cannot listen on {0}: {1} does already; stop it, or take over from it with --replace")]
    Taken(SocketAddr, String),
    /// It was, but serves another endpoint, or nobody knows which.
    #[error("cannot take over {0}: {1}; stop it, or choose another address with listen")]
    NotOurs(SocketAddr, String),
    /// The threads that are to serve it cannot be started.
    #[error("cannot start the threads of the proxy: {0}")]
    Threads(io::Error),
}

impl Error {
    /// Whether a later start may succeed by itself: another process may end, and a host that starts gets its address late.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Listen(_, error) => matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable),
            Self::Taken(..) | Self::Threads(_) => true,
            Self::NotOurs(..) => false,
        }
    }
}

/// All proxies of a process, by the address they were told to listen on.
pub struct Proxies {
    clock: Clock,
    workers: Option<Workers>,
    inherited: Inherited,
    /// Whether others that serve the same endpoint on the same address are to be replaced.
    replaces: bool,
    running: BTreeMap<SocketAddr, Listening>,
    /// Where this process listens, with the pages' address.
    own: watch::Sender<Listens>,
    probes: watch::Sender<bool>,
    moments: mpsc::Sender<Moment>,
    /// Those that are no longer wanted, while their sessions go on.
    leaving: JoinSet<()>,
}

/// A proxy that listens, with what changes and ends it.
struct Listening {
    address: SocketAddr,
    settings: watch::Sender<Arc<Proxy>>,
    source: watch::Sender<(Arc<Proxy>, Arc<Crews>)>,
    phase: watch::Sender<Phase>,
    shared: Arc<Shared>,
    /// Its tasks end with it.
    _tasks: JoinSet<()>,
}

impl Proxies {
    /// None yet. What befalls their endpoints is sent to `moments`, as long as there is room. If it `replaces`, they may listen
    /// beside other processes that serve the same endpoints.
    pub fn new(clock: Clock, moments: mpsc::Sender<Moment>, replaces: bool) -> Self {
        Self {
            clock,
            workers: None,
            inherited: Inherited::take(),
            replaces,
            running: BTreeMap::new(),
            own: watch::channel(Listens::default()).0,
            probes: watch::channel(false).0,
            moments,
            leaving: JoinSet::new(),
        }
    }

    /// Where this process listens, from now on.
    pub fn own(&self) -> watch::Receiver<Listens> {
        self.own.subscribe()
    }

    /// Whether health is to be known without sessions: if so, the databases are connected to now and then.
    pub fn probe(&self, probes: bool) {
        self.probes.send_replace(probes);
    }

    /// Makes the running proxies those of the settings. If one cannot start, none is changed.
    ///
    /// A proxy that goes on listening keeps its sessions, whatever else changes; if its endpoint does, they outlive their
    /// addresses as they do at a failover. One that is no longer wanted accepts no more and is drained.
    ///
    /// What this process listens on, `pages` included, no proxy connects to.
    pub async fn set(&mut self, wanted: &[Proxy], pages: Option<SocketAddr>, crews: &Arc<Crews>) -> Result<(), Error> {
        let mut opened = Vec::new();
        for proxy in wanted {
            if self.running.contains_key(&proxy.listen) {
                continue;
            }
            self.check_free(proxy).await?;
            let threads = self.threads()?;
            let listeners = Listeners::open(proxy.listen, threads, &mut self.inherited)
                .map_err(|error| Error::Listen(proxy.listen, error))?;
            opened.push((Arc::new(proxy.clone()), listeners));
        }
        let is_wanted = |listen: &SocketAddr| wanted.iter().any(|proxy| proxy.listen == *listen);
        let unwanted: Vec<SocketAddr> = self
            .running
            .keys()
            .filter(|listen| !is_wanted(listen))
            .copied()
            .collect();
        for running in unwanted.iter().filter_map(|listen| self.running.remove(listen)) {
            info!("no longer listening on {}", running.address);
            self.leaving.spawn(async move { running.drain(Instant::now()).await });
        }
        let going_on = self.running.values().map(|running| running.address);
        let new = opened.iter().map(|(_, listeners)| listeners.address);
        self.own.send_replace(going_on.chain(new).chain(pages).collect());
        self.share_out(wanted);
        for proxy in wanted {
            if let Some(running) = self.running.get(&proxy.listen) {
                running.change(proxy, crews);
            }
        }
        for (proxy, listeners) in opened {
            let Some(workers) = &self.workers else { continue };
            let running = self.start(workers, Arc::clone(&proxy), listeners, crews);
            self.running.insert(proxy.listen, running);
        }
        for left in self.inherited.left() {
            warn!("the service manager passed a socket on {left}, which no proxy listens on");
        }
        Ok(())
    }

    /// Nobody else may listen where a proxy is to, but who serves the same endpoint and is to be replaced.
    async fn check_free(&self, proxy: &Proxy) -> Result<(), Error> {
        let listen = proxy.listen;
        if listen.port() == 0 || self.inherited.has(listen) {
            return Ok(());
        }
        let Some(error) = taken(listen) else { return Ok(()) };
        let found = claim::found(listen).await.unwrap_or_default();
        if let Some((process, other)) = found.iter().find(|(_, other)| **other != proxy.endpoint.to_string()) {
            let why = format!("process {process} serves {other} there, not {}", proxy.endpoint);
            return Err(Error::NotOurs(listen, why));
        }
        match (self.replaces, found.keys().next()) {
            (true, Some(_)) => Ok(()),
            (true, None) => Err(Error::NotOurs(
                listen,
                "the process that listens there is no rds-tether that says which endpoint it serves".into(),
            )),
            (false, Some(process)) => Err(Error::Taken(
                listen,
                format!("process {process}, for the same endpoint,"),
            )),
            (false, None) => Err(Error::Listen(listen, error)),
        }
    }

    /// Gives the sessions of so many proxies their share of the descriptors.
    fn share_out(&self, wanted: &[Proxy]) {
        let Some(workers) = &self.workers else { return };
        let limit = descriptors::limit();
        let most = descriptors::sessions(limit, workers.len(), wanted.len());
        workers.seats().most.store(most, Ordering::Relaxed);
        let most_of = wanted.iter().map(|proxy| proxy.max_sessions);
        let sessions = most_of.fold(0, usize::saturating_add);
        if sessions > most {
            warn!(
                "{limit} descriptors are enough for {most} sessions, not for {sessions}, beside what else needs them: raise \
                 the limit (LimitNOFILE=), or lower --max-sessions"
            );
        }
    }

    fn threads(&mut self) -> Result<usize, Error> {
        if self.workers.is_none() {
            self.workers = Some(Workers::start().map_err(Error::Threads)?);
        }
        Ok(self.workers.as_ref().map_or(1, Workers::len))
    }

    fn start(&self, workers: &Workers, proxy: Arc<Proxy>, listeners: Listeners, crews: &Arc<Crews>) -> Listening {
        let (settings, settings_seen) = watch::channel(Arc::clone(&proxy));
        let (source, source_seen) = watch::channel((Arc::clone(&proxy), Arc::clone(crews)));
        let (route, route_seen) = watch::channel(Arc::new(
            proxy.rules.start(proxy.endpoint.host(), proxy.endpoint.port()),
        ));
        let (phase, phase_seen) = watch::channel(Phase::Open);
        let (peers, peers_seen) = watch::channel(Arc::default());
        let shared = Arc::new(Shared {
            settings: settings_seen,
            route: route_seen,
            phase: phase_seen,
            peers: peers_seen,
            own: self.own.subscribe(),
            moments: self.moments.clone(),
            seats: Arc::clone(workers.seats()),
            ..Shared::alone(&proxy, self.clock)
        });
        info!(endpoint = %proxy.endpoint, "listening on {}", listeners.address);
        let mut tasks = JoinSet::new();
        tasks.spawn(steer(source_seen, Arc::clone(&shared), route));
        tasks.spawn(silence::watch(peers, Arc::clone(&shared)));
        let (probed, probes) = (Arc::clone(&shared), self.probes.subscribe());
        tasks.spawn(asker::watch(probed, probes));
        tasks.spawn(claim::answer(listeners.address, shared.settings.clone()));
        let is_inherited = listeners.are_inherited;
        let jobs = listeners.each.into_iter().map(|listener| Job {
            shared: Arc::clone(&shared),
            listener,
            is_inherited,
            accepting: Accepting::new(&shared),
        });
        workers.serve(jobs);
        Listening {
            address: listeners.address,
            settings,
            source,
            phase,
            shared,
            _tasks: tasks,
        }
    }

    /// Accepts no more, lets the sessions go on for as long as each proxy's settings say, and cuts what is left.
    pub async fn drain(&mut self) {
        for running in self.running.values() {
            running.phase.send_replace(Phase::Draining);
        }
        let mut running: Vec<&Listening> = self.running.values().collect();
        running.sort_by_key(|running| running.settings.borrow().drain);
        let start = Instant::now();
        for running in running {
            running.drain(start).await;
        }
        while self.leaving.join_next().await.is_some() {}
    }

    /// One line on all of them.
    pub fn summary(&self) -> String {
        let open = self.running.values().map(Listening::open).sum();
        let unready = self
            .views()
            .into_iter()
            .find_map(|view| Some((view.address(), view.ready().err()?)));
        let unready = unready.filter(|_| *self.probes.borrow());
        let unready = unready
            .map(|(address, why)| format!("; {address}: {why}"))
            .unwrap_or_default();
        let count = self.len();
        let proxies = if count == 1 { "proxy" } else { "proxies" };
        format!("{} through {count} {proxies}{unready}", sessions(open))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Each proxy as a load balancer sees it.
    pub fn views(&self) -> Vec<View> {
        let view = |running: &Listening| View::new(running.address, &running.shared);
        self.running.values().map(view).collect()
    }
}

impl Listening {
    fn change(&self, proxy: &Proxy, crews: &Arc<Crews>) {
        let proxy = Arc::new(proxy.clone());
        let is_other = |known: &Arc<Proxy>| **known != *proxy;
        let is_same_source = |(known, asked): &(Arc<Proxy>, Arc<Crews>)| !is_other(known) && Arc::ptr_eq(asked, crews);
        if is_other(&self.settings.borrow()) {
            info!(endpoint = %proxy.endpoint, "new settings for {}", self.address);
        }
        self.settings.send_if_modified(|known| {
            let changes = is_other(known);
            *known = Arc::clone(&proxy);
            changes
        });
        self.source.send_if_modified(|known| {
            let changes = !is_same_source(known);
            *known = (Arc::clone(&proxy), Arc::clone(crews));
            changes
        });
    }

    fn open(&self) -> usize {
        self.shared.counts.open.load(Ordering::Relaxed)
    }

    async fn drain(&self, start: Instant) {
        self.phase
            .send_if_modified(|phase| std::mem::replace(phase, (*phase).max(Phase::Draining)) < Phase::Draining);
        // Connections that wait to be accepted will be sessions, too.
        let is_accepting = || self.shared.accepting.load(Ordering::Acquire) > 0;
        self.wait_while(is_accepting, Instant::now() + STOP_TIMEOUT).await;
        let limit = self.settings.borrow().drain;
        if self.open() > 0 {
            info!(
                "{} of {} may go on for up to {limit:?}",
                sessions(self.open()),
                self.address
            );
        }
        if self.wait_while(|| self.open() > 0, start + limit).await {
            return;
        }
        info!("cutting {} of {}", sessions(self.open()), self.address);
        self.phase.send_replace(Phase::Closed);
        self.wait_while(|| self.open() > 0, Instant::now() + CUT_TIMEOUT).await;
    }

    /// Waits until something about its connections is over; false if time was up before.
    async fn wait_while(&self, goes_on: impl Fn() -> bool, end: Instant) -> bool {
        while goes_on() {
            if timeout_at(end, self.shared.idle.notified()).await.is_err() {
                return false;
            }
        }
        true
    }
}

fn sessions(count: usize) -> String {
    format!("{count} {}", if count == 1 { "session" } else { "sessions" })
}

//! `run` and `proxy`: follow every binding and serve every proxy until told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{debug, error, info, warn};

use crate::aws::arn::Arn;
use crate::aws::elb::{self, Clients};
use crate::clock::Clock;
use crate::discover::Found;
use crate::dns;
use crate::dns::resolv_conf::THIS_HOST;
use crate::dns::watch::Watchers;
use crate::exit::Exit;
use crate::follow::binding::Binding;
use crate::follow::report::Report;
use crate::follow::tracker::Tracker;
use crate::follow::{Follower, introduce};
use crate::lead::crew::Crews;
use crate::notify::Notifier;
use crate::planner::memory::Memory;
use crate::proxy::{Moment, Proxies, descriptors};
use crate::settings::{self, Settings};
use crate::telemetry::board::Board;
use crate::telemetry::http::{self, Site};
use crate::telemetry::journal::Journal;
use crate::telemetry::metrics::Metrics;
use crate::text::{join, shown};
use crate::verbs::finders::Finders;

/// How often a settled daemon says that it lives.
const SUMMARY: Duration = Duration::from_secs(5 * 60);
/// How often the status line of the service manager is brought up to date, if it changed.
const STATUS: Duration = Duration::from_secs(1);
/// A follower that ended unexpectedly may do so again at once.
const RESTART_PAUSE: Duration = Duration::from_secs(10);
/// Reports that may wait to be logged.
const REPORTS_WAITING: usize = 256;

/// What befell proxies, and may wait to be told.
const MOMENTS_WAITING: usize = 256;
/// How long the end waits for messages to be sent.
const NOTIFY_END: Duration = Duration::from_secs(2);
/// What makes the daemon look, for messages: it does so all the time.
const TRIGGER: &str = "run";

/// Follows the bindings of the settings that `read` gives until SIGTERM or SIGINT; on SIGHUP takes what it gives then, or
/// nothing of it; what is followed goes on while it reads. `replaces` says whether proxies may listen beside another process's that serve the same endpoints.
pub async fn run(read: impl AsyncFn() -> Result<Settings, settings::Error>, replaces: bool) -> anyhow::Result<Exit> {
    let settings = read().await?;
    if replaces && settings.proxies.is_empty() {
        let what = "--replace is about proxies, and the settings have none";
        return Err(settings::Error::usage(what, "leave it out (or its variable)".to_owned()).into());
    }
    descriptors::raise_limit();
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, mut reports) = mpsc::channel(REPORTS_WAITING);
    let (moments, mut befallen) = mpsc::channel(MOMENTS_WAITING);
    let mut daemon = Daemon::new(settings, sender, moments, replaces)?;
    daemon
        .proxies
        .set(&daemon.settings.proxies, daemon.settings.http, &daemon.crews)
        .await?;
    daemon.look_for_groups().await;
    daemon.follow_all(true).await;
    info!(
        target_groups = daemon.bindings.len(),
        proxies = daemon.proxies.len(),
        "started rds-tether {}",
        env!("CARGO_PKG_VERSION")
    );
    notify(&[NotifyState::Ready]);

    let mut summary = every(SUMMARY);
    summary.tick().await;
    let mut status = every(STATUS);
    let mut watchdog = every(watchdog_interval());
    let mut reading = None;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reading = Some(Box::pin(read())),
            loaded = ended(&mut reading) => {
                reading = None;
                daemon.reload(loaded).await;
                daemon.look_for_groups().await;
            }
            found = daemon.finders.next() => daemon.found(found).await,
            Some(report) = reports.recv() => daemon.note(&report),
            Some(moment) = befallen.recv() => {
                daemon.board.note_proxy(&moment);
                daemon.notifier.note_proxy(&moment, TRIGGER);
            }
            Some(ended) = daemon.tasks.join_next_with_id() => daemon.restart(ended).await,
            _ = summary.tick() => info!("{}", daemon.summary()),
            _ = status.tick() => {
                daemon.show_status();
                daemon.board.sample();
                daemon.notifier.tick(daemon.clock.now());
                daemon.find_name_servers().await;
            }
            // Fed by this loop's turn alone: DNS or AWS being down is no reason to be restarted.
            _ = watchdog.tick() => notify(&[NotifyState::Watchdog]),
        }
    }
    notify(&[NotifyState::Stopping]);
    info!("stopping: {}", daemon.summary());
    daemon.stop_all();
    let last = async { tokio::join!(daemon.proxies.drain(), daemon.notifier.finish(NOTIFY_END)) };
    tokio::select! {
        _ = last => {}
        _ = terminate.recv() => info!("told again to stop: not waiting any longer"),
        _ = interrupt.recv() => info!("told again to stop: not waiting any longer"),
    }
    Ok(Exit::Settled)
}

struct Daemon {
    settings: Settings,
    /// What is followed: what the settings name, and what was found by its tags.
    bindings: Vec<Arc<Binding>>,
    finders: Finders,
    clock: Clock,
    clients: Clients,
    crews: Arc<Crews>,
    sender: mpsc::Sender<Report>,
    tasks: JoinSet<()>,
    running: BTreeMap<Arn, Running>,
    journal: Journal,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    notifier: Notifier,
    proxies: Proxies,
    site: Arc<Site>,
    http: Option<(SocketAddr, JoinHandle<()>)>,
    shown: String,
}

struct Running {
    task: AbortHandle,
    binding: Arc<Binding>,
    left: Left,
}

/// What a follower would leave for the next one.
type Left = Arc<Mutex<Option<(Memory, Tracker)>>>;

impl Daemon {
    fn new(
        settings: Settings,
        sender: mpsc::Sender<Report>,
        moments: mpsc::Sender<Moment>,
        replaces: bool,
    ) -> Result<Self, dns::Error> {
        let clock = Clock::start();
        let board = Arc::new(Board::new(clock));
        let metrics = Arc::new(Metrics::new(&board));
        let site = Arc::new(Site::new(&board, &metrics));
        metrics.settings_in_force(clock.now());
        let proxies = Proxies::new(clock, moments, replaces);
        let finders = Finders::default();
        Ok(Self {
            clock,
            clients: Clients::counted(&metrics.calls),
            crews: crews(&settings.dns, clock, &metrics, &proxies)?,
            notifier: Notifier::new(&settings.notify, &metrics.notifications),
            board,
            metrics,
            sender,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            journal: Journal::default(),
            proxies,
            site,
            http: None,
            shown: String::new(),
            bindings: Vec::new(),
            finders,
            settings,
        })
    }

    /// Follows what a look has found. After one that failed everything is as before.
    async fn found(&mut self, found: Found) {
        if self.finders.take(found, &mut self.clients, self.clock.now()).await {
            self.follow_all(true).await;
        }
        self.show_places();
    }

    /// Shows how it is wherever tagged target groups are looked for.
    fn show_places(&self) {
        let places = self.finders.places(|arn| self.running.contains_key(arn));
        self.board.discover(places);
    }

    /// Looks for tagged target groups anew, wherever the settings say.
    async fn look_for_groups(&mut self) {
        self.finders.set(&self.settings.discover);
        self.finders.send_out(&mut self.clients).await;
        self.show_places();
    }

    /// Stops what is not to be followed any more, and starts what is not followed yet; `goes_on` says whether what has not changed goes
    /// on. How many went on, were started and were stopped.
    async fn follow_all(&mut self, goes_on: bool) -> [usize; 3] {
        let in_force = self.running.iter().map(|(arn, running)| (arn, &*running.binding));
        let bindings = self.finders.followed(&self.settings, &in_force.collect());
        let wanted: BTreeMap<&Arn, &Binding> = bindings.iter().map(|binding| (&binding.arn, binding)).collect();
        let is_same = |running: &Running| goes_on && wanted.get(&running.binding.arn) == Some(&&*running.binding);
        let stopped: Vec<Arn> = (self.running.iter())
            .filter(|(_, running)| !is_same(running))
            .map(|(arn, _)| arn.clone())
            .collect();
        let mut left = BTreeMap::new();
        for arn in &stopped {
            let next = wanted.get(arn);
            let Some(running) = self.stop(arn) else { continue };
            match next {
                // Whose names are the same has the clocks that it had.
                Some(next) if goes_on && next.endpoints == running.binding.endpoints => {
                    let memory = running.left.lock().unwrap_or_else(PoisonError::into_inner).take();
                    left.extend(memory.map(|memory| (arn.clone(), memory)));
                }
                Some(_) => {}
                None if self.settings.discover.is_empty() => {}
                None => info!(group = arn.name(), "is not followed any more, and left as it is"),
            }
        }
        let kept = self.running.len();
        self.bindings = bindings.into_iter().map(Arc::new).collect();
        self.start_all(None, left).await;
        self.show().await;
        [kept, self.running.len() - kept, stopped.len()]
    }

    /// Starts the bindings that do not run yet, some with what others have left. Those that share a client are introduced together, so that
    /// a start with many of them does not spend its calls on descriptions.
    async fn start_all(&mut self, pause: Option<Duration>, mut left: BTreeMap<Arn, (Memory, Tracker)>) {
        let mut by_client: BTreeMap<_, Vec<Follower>> = BTreeMap::new();
        for binding in &self.bindings {
            if self.running.contains_key(&binding.arn) {
                continue;
            }
            let key = binding.client_key();
            let client = self.clients.of(&key).await;
            let mut follower = Follower::new(Arc::clone(binding), client, Arc::clone(&self.crews), self.clock);
            if let Some((memory, tracker)) = left.remove(&binding.arn) {
                follower.recall(memory, tracker);
            }
            pause.into_iter().for_each(|pause| follower.hold_off(pause));
            by_client.entry(key).or_default().push(follower);
        }
        for mut followers in by_client.into_values() {
            while !followers.is_empty() {
                let rest = followers.split_off(followers.len().min(elb::DESCRIBED_MAX));
                self.start_together(std::mem::replace(&mut followers, rest));
            }
        }
    }

    fn start_together(&mut self, followers: Vec<Follower>) {
        // Each follower gets a task of its own, where none can hold up another, and waits there for the introduction.
        let mut waiting = Vec::new();
        for follower in &followers {
            let (hand_over, handed_over) = tokio::sync::oneshot::channel();
            let sender = self.sender.clone();
            let left = Left::default();
            let leaves = Arc::clone(&left);
            let task = self.tasks.spawn(async move {
                if let Ok(follower) = handed_over.await {
                    follow(follower, leaves, sender).await;
                }
            });
            let binding = Arc::clone(follower.binding());
            self.running
                .insert(binding.arn.clone(), Running { task, binding, left });
            waiting.push(hand_over);
        }
        tokio::spawn(async move {
            let mut followers = followers;
            introduce(&mut followers).await;
            for (follower, hand_over) in followers.into_iter().zip(waiting) {
                // Who was stopped meanwhile does not want its follower any more.
                let _ = hand_over.send(follower);
            }
        });
    }

    /// A report of a follower that was stopped meanwhile is no news.
    fn note(&mut self, report: &Report) {
        let running = self.running.get(&report.binding.arn);
        if running.is_some_and(|running| Arc::ptr_eq(&running.binding, &report.binding)) {
            self.journal.note(report);
            self.board.note(report);
            self.metrics.note(report);
            self.notifier.note(report, TRIGGER);
        }
    }

    fn stop(&mut self, arn: &Arn) -> Option<Running> {
        let running = self.running.remove(arn);
        if let Some(running) = &running {
            running.task.abort();
        }
        self.journal.forget(arn);
        self.board.forget(arn);
        self.notifier.forget(arn);
        running
    }

    /// Takes new settings as a whole. Bindings that did not change go on with their clocks; a change of how to look at DNS
    /// concerns all of them.
    async fn reload(&mut self, loaded: Result<Settings, settings::Error>) {
        let taken = self.take(loaded).await;
        self.metrics.reloaded(self.clock.now(), taken.is_ok());
        let mistakes = taken.err().map(|error| match error.downcast_ref::<settings::Error>() {
            Some(wrong) => wrong.lines().collect(),
            None => vec![shown(&error)],
        });
        for mistake in mistakes.iter().flatten() {
            warn!("the new settings are not taken, the old ones stay in force: {mistake}");
        }
        self.board.reloaded(mistakes.as_deref());
    }

    async fn take(&mut self, loaded: Result<Settings, settings::Error>) -> anyhow::Result<()> {
        let settings = loaded?;
        let crews = crews(&settings.dns, self.clock, &self.metrics, &self.proxies)?;
        let servers = |crews: &Crews| crews.watchers().servers();
        let same_dns = settings.dns == self.settings.dns && servers(&crews) == servers(&self.crews);
        let crews = if same_dns { Arc::clone(&self.crews) } else { crews };
        self.proxies.set(&settings.proxies, settings.http, &crews).await?;
        self.crews = crews;
        let listening: BTreeSet<SocketAddr> = settings.proxies.iter().map(|proxy| proxy.listen).collect();
        self.notifier.set(&settings.notify);
        self.notifier.keep_proxies(&listening);
        self.settings = settings;
        self.finders.set(&self.settings.discover);
        let [kept, started, stopped] = self.follow_all(same_dns).await;
        info!(
            kept,
            started,
            stopped,
            proxies = self.proxies.len(),
            "settings reloaded"
        );
        Ok(())
    }

    /// A host that starts gets its name servers late: as long as it is asked itself, because /etc/resolv.conf names nobody else,
    /// that is read again.
    async fn find_name_servers(&mut self) {
        let asked = self.crews.watchers().servers();
        if !self.settings.dns.name_servers.is_empty() || asked != [THIS_HOST] {
            return;
        }
        let Some(found) = self.settings.dns.servers().ok().filter(|found| *found != asked) else {
            return;
        };
        info!("/etc/resolv.conf names {} now", join(&found));
        if let Err(error) = self.take(Ok(self.settings.clone())).await {
            warn!("these name servers are not asked: {error}");
        }
    }

    /// Serves the pages where the settings say.
    async fn show(&mut self) {
        let followed = self.bindings.iter().map(|binding| binding.arn.clone());
        self.board.follow(followed);
        self.board.ask(&self.crews);
        self.board.look(&self.settings.dns);
        self.board.serve(self.proxies.views());
        self.proxies.probe(self.settings.http.is_some());
        if self.http.as_ref().map(|(listen, _)| *listen) == self.settings.http {
            return;
        }
        if let Some((_, server)) = self.http.take() {
            server.abort();
            // It gives up its port, which may be the new one's too, when it has ended.
            let _ = server.await;
        }
        let serve = |listen| http::serve(listen, Arc::clone(&self.site), descriptors::pages(descriptors::limit()));
        self.http = (self.settings.http).map(|listen| (listen, tokio::spawn(serve(listen))));
    }

    /// Followers stop at once: a step that was under way is repeated by the next process.
    fn stop_all(&mut self) {
        let all: Vec<Arn> = self.running.keys().cloned().collect();
        for arn in &all {
            self.stop(arn);
        }
    }

    /// Followers end by being stopped alone; one that ends otherwise is started anew.
    async fn restart(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let arn = self
            .running
            .values()
            .find(|running| running.task.id() == id)
            .map(|running| running.binding.arn.clone());
        let Some(arn) = arn else { return };
        error!(
            group = arn.name(),
            "its follower ended unexpectedly and is started anew: {:?}",
            ended.err()
        );
        self.stop(&arn);
        self.start_all(Some(RESTART_PAUSE), BTreeMap::new()).await;
    }

    fn summary(&self) -> String {
        let mut parts = Vec::new();
        if !self.bindings.is_empty() || !self.settings.discover.is_empty() {
            parts.push(self.journal.summary(self.bindings.len()));
        }
        parts.extend(self.finders.troubles());
        let observed = self.bindings.iter().filter(|binding| binding.observe).count();
        if observed > 0 {
            parts.push(format!("{observed} only observed"));
        }
        if !self.proxies.is_empty() {
            parts.push(self.proxies.summary());
        }
        parts.extend(self.site.trouble().filter(|_| self.http.is_some()));
        parts.join("; ")
    }

    fn show_status(&mut self) {
        let summary = self.summary();
        if summary != self.shown {
            // The end of a line would begin another word to the service manager.
            notify(&[NotifyState::Status(&shown(&summary))]);
            self.shown = summary;
        }
    }
}

/// Who looks at DNS and, where it is asked for, at members of databases.
fn crews(
    settings: &dns::Settings,
    clock: Clock,
    metrics: &Metrics,
    proxies: &Proxies,
) -> Result<Arc<Crews>, dns::Error> {
    let watchers = Watchers::of(settings, clock)?.counted(&metrics.looks);
    let own = proxies.own();
    let is_ours = move |address| own.borrow().at(address);
    Ok(Arc::new(Crews::new(Arc::new(watchers), clock).avoiding(is_ours)))
}

async fn follow(mut follower: Follower, left: Left, sender: mpsc::Sender<Report>) {
    loop {
        let report = follower.next().await;
        let (memory, tracker) = follower.memory();
        *left.lock().unwrap_or_else(PoisonError::into_inner) = Some((memory.clone(), tracker.clone()));
        if sender.send(report).await.is_err() {
            return;
        }
    }
}

/// What comes of a future, if there is one.
async fn ended<F: Future>(future: &mut Option<Pin<Box<F>>>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

fn every(period: Duration) -> Interval {
    let mut every = interval(period);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}

/// Half of what the service manager allows, or a time that only keeps the loop turning.
fn watchdog_interval() -> Duration {
    sd_notify::watchdog_enabled().map_or(SUMMARY, |allowed| (allowed / 2).max(Duration::from_millis(1)))
}

fn notify(states: &[NotifyState]) {
    let told: io::Result<()> = sd_notify::notify(states);
    if let Err(error) = told {
        debug!("cannot tell the service manager: {error}");
    }
}

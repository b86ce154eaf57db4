//! `plan` and `sync`: one look, or steps until everything is settled.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write as _, stderr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::warn;

use crate::aws::arn::Arn;
use crate::aws::elb::Clients;
use crate::clock::Clock;
use crate::discover::{self, Unseen};
use crate::dns;
use crate::dns::watch::Watchers;
use crate::exit::Exit;
use crate::follow::Follower;
use crate::follow::binding::Binding;
use crate::follow::report::Report;
use crate::lead::crew::Crews;
use crate::planner::candidate::{Probe, ProbePatience};
use crate::planner::endpoint::{Endpoint, Role};
use crate::settings::{self, OneShot, Output, Settings};
use crate::telemetry::document::Document;
use crate::telemetry::output;
use crate::text;
use crate::verbs::named;
use crate::verbs::out::say;

/// How long a dry run may take by default, besides the time that many bindings take.
const PLAN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the look for tagged target groups may take by default.
const FIND_TIMEOUT: Duration = Duration::from_secs(30);
/// How much longer than the clocks of a removal a sync may take by default.
const SYNC_MARGIN: Duration = Duration::from_secs(60);
/// The time that each further binding may take: two calls of a process that keeps within the account's limits.
const PER_BINDING: Duration = Duration::from_millis(600);

/// What sets the time, for messages.
const TIMEOUT: &str = "--timeout";
/// A live line that wrapped could not be drawn over; terminals are at least this wide.
const LIVE_LINE_MAX: usize = 79;

impl OneShot {
    /// Looks once and prints what would change.
    pub async fn plan(&self) -> anyhow::Result<Exit> {
        let reports = plan(&self.with_groups().await?, self.timeout.map(Duration::from)).await?;
        self.print("plan", &reports, Report::plan_exit)
    }

    /// Converges and prints what was done.
    pub async fn sync(&self) -> anyhow::Result<Exit> {
        let reports = sync(&self.with_groups().await?, self.timeout.map(Duration::from)).await?;
        // What is only observed is not waited for.
        let exit = |report: &Report| {
            if report.binding.observe {
                report.plan_exit()
            } else {
                report.sync_exit()
            }
        };
        self.print("sync", &reports, exit)
    }

    /// What looks at target groups needs some.
    async fn with_groups(&self) -> anyhow::Result<Settings> {
        let flags = named::resolved(&self.flags, self.timeout.map(Duration::from)).await?;
        let settings = flags.settings()?;
        if settings.bindings.is_empty() && settings.discover.is_empty() {
            let what = "the settings have no [[target_group]]";
            let fix = "plan and sync look at target groups only, run serves proxies";
            return Err(settings::Error::file(what, fix.to_owned()).into());
        }
        Ok(found(settings, self.timeout.map(Duration::from)).await?)
    }

    fn print(&self, verb: &'static str, reports: &[Report], exit_of: fn(&Report) -> Exit) -> anyhow::Result<Exit> {
        let exit = Exit::worst(reports.iter().map(exit_of));
        let document = Document::of(verb, reports, exit);
        let text = match self.output {
            Output::Text => output::plan(&document),
            Output::Json => document.json(),
        };
        say(text.trim_end())?;
        Ok(exit)
    }
}

/// The settings with the target groups that are tagged now; what is wrong with tags is told.
///
/// # Errors
/// A place that could not be looked at.
pub async fn found(settings: Settings, limit: Option<Duration>) -> Result<Settings, Unseen> {
    if settings.discover.is_empty() {
        return Ok(settings);
    }
    let limit = limit.unwrap_or(FIND_TIMEOUT);
    let (settings, troubles) = discover::find_all(settings, &mut Clients::start(), limit).await?;
    for trouble in troubles {
        warn!("{trouble}");
    }
    Ok(settings)
}

async fn followers(settings: &Settings, clock: Clock) -> Result<Vec<Follower>, dns::Error> {
    let crews = Arc::new(Crews::new(Arc::new(Watchers::of(&settings.dns, clock)?), clock).quiet());
    let mut clients = Clients::start();
    let mut followers = Vec::new();
    for binding in &settings.bindings {
        let client = clients.of(&binding.client_key()).await;
        followers.push(Follower::new(
            Arc::new(binding.clone()),
            client,
            Arc::clone(&crews),
            clock,
        ));
    }
    Ok(followers)
}

/// Looks once at every binding, in the order of the settings, and changes nothing.
pub async fn plan(settings: &Settings, limit: Option<Duration>) -> anyhow::Result<Vec<Report>> {
    let clock = Clock::start();
    let limit = limit.unwrap_or(PLAN_TIMEOUT + for_many(settings));
    let mut looks = JoinSet::new();
    for (index, mut follower) in followers(settings, clock).await?.into_iter().enumerate() {
        looks.spawn(async move {
            let looked = timeout(limit, follower.look()).await;
            (index, looked.unwrap_or_else(|_| follower.out_of_time(None, TIMEOUT)))
        });
    }
    in_order(looks).await
}

/// The reports in the order of the settings.
async fn in_order(mut tasks: JoinSet<(usize, Report)>) -> anyhow::Result<Vec<Report>> {
    let mut reports = BTreeMap::new();
    while let Some(ended) = tasks.join_next().await {
        let (index, report) = ended.context("the look at a binding ended unexpectedly")?;
        reports.insert(index, report);
    }
    Ok(reports.into_values().collect())
}

/// Takes steps until every binding is settled, hopeless or out of time. Each report is the last of its binding, with all
/// that was changed since the start.
pub async fn sync(settings: &Settings, limit: Option<Duration>) -> anyhow::Result<Vec<Report>> {
    let clock = Clock::start();
    let margin = SYNC_MARGIN + for_many(settings);
    let (sender, mut reports) = mpsc::channel(64);
    let mut syncs = JoinSet::new();
    for (index, follower) in followers(settings, clock).await?.into_iter().enumerate() {
        let sender = sender.clone();
        syncs.spawn(async move { (index, sync_one(follower, limit, margin, sender).await) });
    }
    drop(sender);
    let mut progress = Progress::new(clock);
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            report = reports.recv() => match report {
                Some((report, is_last)) => progress.note(&report, is_last),
                None => break,
            },
            _ = tick.tick() => progress.redraw(),
        }
    }
    progress.clear();
    in_order(syncs).await
}

async fn sync_one(
    mut follower: Follower,
    limit: Option<Duration>,
    margin: Duration,
    sender: mpsc::Sender<(Report, bool)>,
) -> Report {
    let start = Instant::now();
    let binding = Arc::clone(follower.binding());
    if binding.observe {
        let look = timeout(limit.unwrap_or(PLAN_TIMEOUT + margin), follower.look()).await;
        return look.unwrap_or_else(|_| follower.out_of_time(None, TIMEOUT));
    }
    let mut last: Option<Report> = None;
    loop {
        let end = start + limit.unwrap_or_else(|| clocks(&binding, last.as_ref()) + margin);
        let Some(mut report) = follower.next_before(end).await else {
            return follower.out_of_time(last, TIMEOUT);
        };
        let hopeless = matches!(report.trouble(), Some(Exit::Settings | Exit::Denied));
        let is_last = report.is_settled() || hopeless;
        // Nobody listens any more only when the process ends.
        let _ = sender.send((report.clone(), is_last)).await;
        if let Some(last) = &last {
            report.registered.done.extend(&last.registered.done);
            report.deregistered.done.extend(&last.deregistered.done);
        }
        if is_last {
            return report;
        }
        last = Some(report);
    }
}

fn for_many(settings: &Settings) -> Duration {
    PER_BINDING * u32::try_from(settings.bindings.len()).unwrap_or(u32::MAX)
}

/// The clocks of a change: of what a new address has to show, and of the removal. The role may only show in the first answer.
fn clocks(binding: &Binding, last: Option<&Report>) -> Duration {
    let policy = &binding.policy;
    let told = || Role::told_by(binding.endpoints.iter().map(Endpoint::host));
    let role = last.map_or_else(|| policy.role.unwrap_or_else(told), |report| report.plan.role);
    let probing = match (policy.probe, policy.probe_patience()) {
        (Probe::None, _) | (_, ProbePatience::Forever) => Duration::ZERO,
        (_, ProbePatience::For(patience)) => patience,
    };
    probing + policy.forget(role) + policy.patience(role)
}

/// Shows on standard error how a sync gets on: one live line on a terminal, a line per change elsewhere.
struct Progress {
    clock: Clock,
    is_terminal: bool,
    bindings: BTreeMap<Arn, Report>,
    said: BTreeMap<Arn, String>,
    width: usize,
}

impl Progress {
    fn new(clock: Clock) -> Self {
        Self {
            clock,
            is_terminal: stderr().is_terminal(),
            bindings: BTreeMap::new(),
            said: BTreeMap::new(),
            width: 0,
        }
    }

    /// Shows what is new. What the last report of a binding says besides is in the output.
    fn note(&mut self, report: &Report, is_last: bool) {
        let arn = &report.binding.arn;
        for milestone in &report.reached {
            self.line(&format!("{}: {milestone}", arn.name()));
        }
        // What is waited for is said once; the seconds that tick away are for the live line.
        let waits = waits(report);
        if !is_last && self.said.get(arn) != Some(&waits) {
            self.said.insert(arn.clone(), waits);
            for wait in report.causes() {
                self.line(&format!("{}: {wait}", arn.name()));
            }
        }
        self.bindings.insert(arn.clone(), report.clone());
        self.redraw();
    }

    fn line(&mut self, line: &str) {
        self.clear();
        // Progress that cannot be shown must not stop the sync.
        let _ = writeln!(stderr(), "{}", text::shown(line));
    }

    fn redraw(&mut self) {
        if !self.is_terminal {
            return;
        }
        let now = self.clock.now();
        let unsettled = self.bindings.values().filter(|report| !report.is_settled());
        let mut parts = unsettled.filter_map(|report| {
            let hold = report
                .plan
                .holds
                .iter()
                .find(|hold| hold.until.is_some_and(|until| until > now))?;
            Some(format!("{}: {}", report.binding.arn.name(), text::hold(hold, now)))
        });
        let Some(text) = parts.next() else { return self.clear() };
        let more = parts.count();
        let text = if more > 0 {
            format!("{text} (and {more} more)")
        } else {
            text
        };
        let text: String = text::shown(text).chars().take(LIVE_LINE_MAX).collect();
        let _ = write!(stderr(), "\r{text:<width$}", width = self.width);
        let _ = stderr().flush();
        self.width = text.chars().count();
    }

    fn clear(&mut self) {
        if self.width > 0 {
            let _ = write!(stderr(), "\r{:width$}\r", "", width = self.width);
            self.width = 0;
        }
    }
}

/// What a binding waits for, without the seconds that tick away.
fn waits(report: &Report) -> String {
    let holds = report.telling_holds();
    let holds = holds.iter().map(|hold| format!("{} {}", hold.what, hold.reason.name()));
    let errors = report.errors().map(|error| error.failure.code.clone());
    holds.chain(errors).collect::<Vec<_>>().join("\n")
}

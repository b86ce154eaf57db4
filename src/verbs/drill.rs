//! `drill`: measures a failover that somebody triggers meanwhile. It only looks.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::aws::arn::{Arn, GroupName};
use crate::aws::bucket::Urgency;
use crate::aws::elb::{Client, Clients, Group};
use crate::aws::failure::Kind;
use crate::clock::Clock;
use crate::dns::{self, Names as _};
use crate::drill::judge::judge;
use crate::drill::progress::{Tone, news};
use crate::drill::record::{First, Record};
use crate::drill::report::{Ended, Report, Subject, Verdict, not_watched};
use crate::drill::watch::{Orders, Watch, describe, ways};
use crate::drill::{Observation, Through, Watched, Why, picture, redact, table, trigger};
use crate::exit::Exit;
use crate::follow::binding::Binding;
use crate::lead::crew::Quest;
use crate::logging;
use crate::planner::answer::{Resolution, combine};
use crate::planner::endpoint::{Endpoint, Role, region_of};
use crate::planner::target::Family;
use crate::planner::time::Timestamp;
use crate::planner::wrong::Wrong;
use crate::proxy::Proxy;
use crate::settings::value::Lasting;
use crate::settings::{Error, OneShot, Output, Settings};
use crate::text::{join, shown};
use crate::verbs::named;
use crate::verbs::out::say;

/// How long it watches by default: somebody has to trigger the failover, and a load balancer may take minutes to admit a target.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// For how long DNS has to name the new address by default: longer than it goes back and forth (D4).
const STEADY: Duration = Duration::from_secs(30);
/// How long the group's description may take.
const DESCRIBED: Duration = Duration::from_secs(10);
/// How long the first looks may take before it is said that all is ready.
const FIRST_LOOKS: Duration = Duration::from_secs(5);
/// How often it is judged whether all is over.
const JUDGED_APART: Duration = Duration::from_millis(250);
/// Lines on a terminal are no longer.
const LINE_MAX: usize = 80;

/// What to watch, and how to show what was seen.
#[derive(Args)]
pub struct Drill {
    #[command(flatten)]
    look: OneShot,
    /// Connect through this again and again, too: a load balancer, an endpoint of PrivateLink or a proxy; repeatable
    #[arg(long, value_name = "HOST:PORT")]
    through: Vec<Through>,
    /// Read events of RDS as JSON from a file, also one that grows or a pipe, or from standard input (-)
    #[arg(long, value_name = "FILE|-")]
    events: Option<PathBuf>,
    /// When the failover was or will be triggered (RFC 3339), if it is to be told
    #[arg(long, value_name = "TIME")]
    triggered: Option<Moment>,
    /// How long DNS has to name the new address without a break before all is over [default: 30s]
    #[arg(long, value_name = "DURATION")]
    steady: Option<Lasting>,
    /// Write a picture of it, too (SVG)
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Take names, addresses and the account out of what is printed and drawn in the end
    #[arg(long)]
    redact: bool,
}

/// A time as somebody writes it.
#[derive(Clone, Copy, Debug)]
struct Moment(Timestamp);

impl FromStr for Moment {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let moment = text.trim().parse::<jiff::Timestamp>().ok();
        let millis = moment.and_then(|moment| u64::try_from(moment.as_millisecond()).ok());
        let millis = millis.ok_or_else(|| {
            Wrong::new(
                format!("{text:?} is no time with a zone"),
                "write one as 2026-11-29T20:15:00Z",
            )
        })?;
        Ok(Self(Timestamp::from_written(millis)))
    }
}

/// What is drilled, as the settings have it.
#[derive(Clone, Debug)]
struct Chosen {
    endpoint: Endpoint,
    binding: Option<Binding>,
    family: Family,
    quest: Option<Quest>,
    role: Role,
}

impl Drill {
    /// Watches, and prints what was seen.
    pub async fn watch(&self) -> anyhow::Result<Exit> {
        let (flags, groups, endpoints) = self.look.flags.choosing();
        let flags = named::resolved(&flags, None).await?;
        let settings = flags.settings()?;
        let chosen = choose(&settings, &groups, &endpoints)?;
        if let Some(path) = &self.svg {
            // Before somebody triggers a failover that nobody could draw.
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.with_context(|| unwritable(path))?;
        }
        let events = self.events.as_ref().filter(|path| path.as_os_str() != "-");
        if let Some(path) = events.filter(|path| !path.exists()) {
            let what = format!("--events: there is no {}", path.display());
            let fix = "make it, empty, and have events written to it meanwhile";
            return Err(Error::usage(what, fix.to_owned()).into());
        }
        let clock = Clock::start();
        let mut record = Record::new(clock.now());
        record.triggered = self.triggered.map(|Moment(at)| at);
        let (orders, subject) = self.orders(chosen, &settings, &mut record, clock).await?;
        let first = First {
            servers: orders.dns.servers()?.len(),
            ways: orders.ways.len(),
            has_group: orders.group.is_some(),
            has_members: orders.quest.is_some(),
        };
        let (watch, seen) = Watch::start(orders, clock)?;
        let mut session = Session {
            record,
            subject,
            watch,
            clock,
            is_ready: false,
            is_coloured: logging::is_coloured(&stderr()),
            width: if stderr().is_terminal() { LINE_MAX } else { usize::MAX },
        };
        let limit = self.look.timeout.map_or(TIMEOUT, Duration::from);
        let ended = session.go_on(seen, first, limit).await?;
        self.conclude(&session, ended)
    }

    /// What is to be watched, as far as it is there.
    async fn orders(
        &self,
        chosen: Chosen,
        settings: &Settings,
        record: &mut Record,
        clock: Clock,
    ) -> anyhow::Result<(Orders, Subject)> {
        let group = match &chosen.binding {
            Some(binding) => Some(describe_group(binding).await?),
            None => None,
        };
        let described = group.as_ref().and_then(|(.., group)| group.as_ref());
        let family = described.map_or(chosen.family, |group| group.family);
        let resolution = resolve(&settings.dns, &chosen.endpoint, family).await?;
        let arn = chosen.binding.as_ref().map(|binding| &binding.arn);
        let region = region_of(chosen.endpoint.host())
            .or(arn.map(Arn::region))
            .map(str::to_owned);
        let (ways, lost) = ways(&self.through, &settings.dns).await?;
        let lost = lost.into_iter().map(|(through, why)| (Watched::Through(through), why));
        record.gone = self.unwatched(&chosen).into_iter().chain(lost).collect();
        record.started = clock.now();
        let subject = Subject {
            endpoint: chosen.endpoint.clone(),
            group: arn.map(|arn| (arn.to_string(), arn.name().to_owned())),
            command: trigger::command(&chosen.endpoint, &resolution.names, region.as_deref()),
            region,
            has_lead: chosen.quest.is_some(),
            steady: self.steady.map_or(STEADY, Duration::from),
        };
        let orders = Orders {
            allow_cidrs: chosen.allow_cidrs(),
            endpoint: chosen.endpoint,
            family,
            dns: settings.dns.clone(),
            group,
            quest: chosen.quest.map(|quest| Quest { family, ..quest }),
            ways,
            events: self.events.clone(),
        };
        Ok((orders, subject))
    }

    /// What nobody has asked to be watched.
    fn unwatched(&self, chosen: &Chosen) -> Vec<(Watched, Why)> {
        let no_group = "the settings bind none to the endpoint";
        let no_lead = "the settings have no lead, so nobody is asked who the writer is";
        let no_through = "no --through says what clients connect to";
        let all = [
            (chosen.binding.is_none(), Watched::Group, no_group),
            (chosen.quest.is_none(), Watched::Members, no_lead),
            (self.through.is_empty(), Watched::Throughs, no_through),
            (
                self.events.is_none(),
                Watched::Events,
                "no --events says where they come from",
            ),
        ];
        let all = all.into_iter().filter(|(is_so, ..)| *is_so);
        all.map(|(_, watched, why)| (watched, Why::plain(why))).collect()
    }

    /// Prints what was seen, and says what became of it.
    fn conclude(&self, session: &Session, ended: Ended) -> anyhow::Result<Exit> {
        let mut report = Report::of(&session.record, &session.subject, ended, session.clock.now());
        if self.redact {
            redact::redact(&mut report);
        }
        let printed = match self.look.output {
            Output::Text => table::text(&report).trim_end().to_owned(),
            Output::Json => serde_json::to_string_pretty(&report)?,
        };
        // Nobody can have this failover again: each is written, whatever becomes of the other.
        let said = say(&printed);
        if let Some(path) = &self.svg {
            std::fs::write(path, picture::svg(&report)).with_context(|| unwritable(path))?;
        }
        said?;
        let unlisted = session.record.unlisted_now().map(|error| error.failure.kind.exit());
        Ok(match (report.result, unlisted) {
            (Verdict::Measured, None) => Exit::Settled,
            (_, Some(exit)) => exit,
            (Verdict::Unfinished | Verdict::Nothing, None) => Exit::Waiting,
        })
    }
}

/// A drill that goes on.
struct Session {
    record: Record,
    subject: Subject,
    watch: Watch,
    clock: Clock,
    is_ready: bool,
    is_coloured: bool,
    width: usize,
}

impl Session {
    /// Takes looks until all is over, the time is, or somebody ends it.
    async fn go_on(
        &mut self,
        mut seen: mpsc::Receiver<Observation>,
        first: First,
        limit: Duration,
    ) -> anyhow::Result<Ended> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let begun = Instant::now();
        let end = begun + limit;
        let mut next = begun;
        loop {
            tokio::select! {
                biased;
                _ = terminate.recv() => return Ok(Ended::Signal),
                _ = interrupt.recv() => return Ok(Ended::Signal),
                () = sleep_until(end) => return Ok(Ended::Timeout),
                () = sleep_until(next) => {
                    next = Instant::now() + JUDGED_APART;
                    let now = self.clock.now();
                    let judged = judge(&self.record, self.subject.has_lead, self.subject.steady, now);
                    if judged.is_over() {
                        return Ok(Ended::Over);
                    }
                    let missing = self.record.not_looked_at(&first);
                    if !self.is_ready && (missing.is_empty() || begun.elapsed() >= FIRST_LOOKS) {
                        self.is_ready = true;
                        self.record.begin();
                        self.announce(&missing);
                    }
                }
                Some(look) = seen.recv() => self.take(&look),
            }
        }
    }

    fn take(&mut self, look: &Observation) {
        let news = news(&self.record, look);
        if self.record.note(look) {
            if let Err(why) = self.watch.ask(self.record.named()) {
                self.record.gone.insert(Watched::Addresses, why);
            }
            if self.is_ready {
                self.watch.hurry();
            }
            for (tone, line) in news {
                self.line(tone, &format!("{}  {line}", table::time(look.ended)));
            }
        }
    }

    /// Says that all but so much is watched, and what to do now.
    fn announce(&self, missing: &[&str]) {
        for what in missing {
            self.line(Tone::Plain, &format!("not looked at yet: {what}"));
        }
        for entry in not_watched(&self.record) {
            self.line(Tone::Plain, &format!("not watched: {}", table::unwatched(&entry)));
        }
        let ready = "all else is watched: trigger the failover now, for example with";
        self.line(Tone::Plain, ready);
        match &self.subject.command {
            Some(command) => self.whole(&format!("  {command}")),
            None => {
                self.whole("  aws rds failover-db-cluster --db-cluster-identifier IDENTIFIER");
                self.whole("  aws rds reboot-db-instance --db-instance-identifier IDENTIFIER --force-failover");
            }
        }
    }

    /// A line for who looks on; what does not fit is left out.
    fn line(&self, tone: Tone, line: &str) {
        let line = shown(line);
        let cut: String = match line.chars().count() > self.width {
            true => line.chars().take(self.width - 1).chain(['…']).collect(),
            false => line,
        };
        let colour = match tone {
            _ if !self.is_coloured => None,
            Tone::Good => Some("32"),
            Tone::Bad => Some("31"),
            Tone::Plain => None,
        };
        // Nobody could be told that it fails.
        let _ = match colour {
            Some(colour) => writeln!(stderr(), "\x1b[{colour}m{cut}\x1b[0m"),
            None => writeln!(stderr(), "{cut}"),
        };
    }

    /// A line that somebody may want to copy.
    fn whole(&self, line: &str) {
        let _ = writeln!(stderr(), "{}", shown(line));
    }
}

impl Chosen {
    fn of_binding(binding: &Binding, endpoint: &Endpoint) -> Self {
        Self {
            endpoint: endpoint.clone(),
            family: Family::Ipv4,
            quest: binding.quest(endpoint, Family::Ipv4),
            role: binding.policy.role.unwrap_or_else(|| endpoint.kind().role()),
            binding: Some(binding.clone()),
        }
    }

    fn of_proxy(proxy: &Proxy) -> Self {
        Self {
            endpoint: proxy.endpoint.clone(),
            binding: None,
            family: proxy.family,
            quest: proxy.quest(),
            role: proxy.endpoint.kind().role(),
        }
    }

    fn allow_cidrs(&self) -> Vec<ipnet::IpNet> {
        let of_group = self.binding.as_ref().map(|binding| binding.policy.allow_cidrs.clone());
        let of_quest = self.quest.as_ref().map(|quest| quest.allow_cidrs.clone());
        of_group.or(of_quest).unwrap_or_default()
    }

    fn name(&self) -> String {
        match &self.binding {
            Some(binding) => format!("{} in {}", self.endpoint, binding.arn.name()),
            None => format!("{} of a proxy", self.endpoint),
        }
    }
}

/// The client for a group, and the group, unless what keeps it from being described may pass.
///
/// # Errors
/// There is no such group, or none that could follow.
async fn describe_group(binding: &Binding) -> Result<(Client, Arn, Option<Group>), Error> {
    let client = Clients::start().of(&binding.client_key()).await;
    let arn = binding.arn.clone();
    let described = timeout(DESCRIBED, async {
        let turn = client.turn(Urgency::Look).await;
        describe(&client, &arn, turn).await
    });
    match described.await {
        Ok(Ok(group)) => Ok((client, arn, Some(group))),
        Ok(Err(error)) if matches!(error.failure.kind, Kind::NotFound | Kind::NotIp) => {
            Err(ended(error.failure.kind.exit(), error.to_string()))
        }
        // The watch tells of it.
        Ok(Err(_)) | Err(_) => Ok((client, arn, None)),
    }
}

/// The one endpoint that is meant: of the target groups, and of proxies whose endpoints have none.
fn choose(settings: &Settings, groups: &[GroupName], endpoints: &[Endpoint]) -> Result<Chosen, Error> {
    let mut all: Vec<Chosen> = Vec::new();
    for binding in &settings.bindings {
        all.extend(
            binding
                .endpoints
                .iter()
                .map(|endpoint| Chosen::of_binding(binding, endpoint)),
        );
    }
    for proxy in &settings.proxies {
        if !all.iter().any(|known| known.endpoint == proxy.endpoint) {
            all.push(Chosen::of_proxy(proxy));
        }
    }
    let is_of_group = |chosen: &Chosen| match &chosen.binding {
        _ if groups.is_empty() => true,
        None => false,
        Some(binding) => groups.iter().any(|group| match group {
            GroupName::Arn(arn) => *arn == binding.arn,
            GroupName::Name(name) => *name == binding.arn.name(),
        }),
    };
    let is_meant =
        |chosen: &&Chosen| is_of_group(chosen) && (endpoints.is_empty() || endpoints.contains(&chosen.endpoint));
    let meant: Vec<&Chosen> = all.iter().filter(is_meant).collect();
    let names = |of: &[&Chosen]| join(of.iter().map(|chosen| chosen.name()));
    match meant.as_slice() {
        [only] if only.role == Role::Reader => Err(Error::usage(
            format!(
                "{} gives one of several members in turn, and no failover shows there",
                only.endpoint
            ),
            "give the endpoint of the cluster's writer, or of an instance".to_owned(),
        )),
        [only] => Ok((*only).clone()),
        [] if all.is_empty() => Err(Error::file(
            "the settings have no target group and no proxy of their own; tagged groups are not looked for here",
            "give --endpoint HOST:PORT and --target-group NAME|ARN".to_owned(),
        )),
        [] => Err(Error::usage(
            format!(
                "the settings have nothing like that: they have {}",
                names(&all.iter().collect::<Vec<_>>())
            ),
            "name one of them with --target-group or --endpoint, or give both without --config".to_owned(),
        )),
        several => Err(Error::usage(
            format!(
                "one failover is measured at a time, and several are meant: {}",
                names(several)
            ),
            "name one with --target-group NAME|ARN, or with --endpoint HOST:PORT".to_owned(),
        )),
    }
}

/// What DNS says before anything happens.
async fn resolve(settings: &dns::Settings, endpoint: &Endpoint, family: Family) -> anyhow::Result<Resolution> {
    let resolver = dns::Resolver::new(&settings.servers()?, settings.deadline, settings.quorum)?;
    let host = endpoint.host();
    combine(&resolver.look(host, family).await, settings.quorum).map_err(|blind| {
        let likely = blind.likely().map(|likely| format!("{host} {likely}"));
        let fix = likely.unwrap_or_else(|| "check the name, and that this host's name servers know it".to_owned());
        let what = format!("{host} cannot be resolved: {blind}; {fix}");
        ended(Exit::Unavailable, what).into()
    })
}

/// Why nothing is watched.
fn ended(exit: Exit, what: String) -> Error {
    Error {
        exit,
        ..Error::usage(what, None)
    }
}

fn unwritable(path: &Path) -> String {
    format!("cannot write {}: name another file with --svg", path.display())
}

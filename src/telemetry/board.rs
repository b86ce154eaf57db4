//! The latest report of every binding, and what has changed lately: the pages and the metrics are made from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::aws::arn::Arn;
use crate::clock::Clock;
use crate::dns;
use crate::exit::Exit;
use crate::follow::report::Report;
use crate::lead::crew::Crews;
use crate::lead::standing::Standing;
use crate::planner::endpoint::Endpoint;
use crate::planner::serving::Serving;
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::proxy::health::View;
use crate::proxy::{self, Moment};
use crate::telemetry::document::{self, Change, Document, Place, Refused, Text};
use crate::telemetry::rules::{self, Rules};
use crate::telemetry::scene::Timelines;
use crate::telemetry::shown::texts;
use crate::telemetry::timeline::{Glance, Look, Timeline};

/// Changes that are remembered, the oldest of which goes first.
const CHANGES_MAX: usize = 100;
/// Trouble that is the same again within this time takes the place of what was told: what flutters would be all that is remembered.
const TOLD_APART: Duration = Duration::from_secs(60);
/// Troubles of one target group that are told.
const TROUBLES_MAX: usize = 8;
/// Characters of one that are told.
const TROUBLE_MAX_CHARS: usize = 200;

/// Where everything stands.
pub struct Board {
    clock: Clock,
    started: Timestamp,
    followed: Mutex<BTreeSet<Arn>>,
    lines: Mutex<BTreeMap<Arn, Line>>,
    /// What became of target groups that are followed anew: by other rules, or because their follower ended.
    resting: Mutex<BTreeMap<Arn, Arc<Timeline>>>,
    changes: Mutex<VecDeque<Change>>,
    proxies: Mutex<Vec<View>>,
    /// What became of the proxies, by where they listen according to the settings.
    watched: Mutex<BTreeMap<SocketAddr, Arc<Timeline>>>,
    crews: Mutex<Option<Arc<Crews>>>,
    discover: Mutex<Vec<Place>>,
    dns: Mutex<Rules>,
    refused: Mutex<Option<Refused>>,
}

/// Where one binding stands.
#[derive(Clone)]
pub struct Line {
    /// The latest report.
    pub report: Arc<Report>,
    /// Since when each report has been settled.
    pub in_sync_since: Option<Timestamp>,
    /// Since when nothing has been seen to serve.
    pub nothing_serves_since: Option<Timestamp>,
    /// When the target group was last listed, however many attempts have failed since.
    pub listed: Option<Timestamp>,
    /// When each endpoint was last resolved, however many looks have failed since.
    pub answered: BTreeMap<Endpoint, Timestamp>,
    /// What became of it lately.
    pub timeline: Arc<Timeline>,
    /// What is wrong with it, as it was told first, by what never varies of it.
    pub troubles: BTreeMap<String, String>,
}

impl Board {
    /// An empty board.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            started: clock.now(),
            followed: Mutex::default(),
            lines: Mutex::default(),
            resting: Mutex::default(),
            changes: Mutex::default(),
            proxies: Mutex::default(),
            watched: Mutex::default(),
            crews: Mutex::default(),
            discover: Mutex::default(),
            dns: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// These target groups are followed from now on, and no others.
    pub fn follow(&self, arns: impl IntoIterator<Item = Arn>) {
        let followed: BTreeSet<Arn> = arns.into_iter().collect();
        lock(&self.lines).retain(|arn, _| followed.contains(arn));
        lock(&self.resting).retain(|arn, _| followed.contains(arn));
        *lock(&self.followed) = followed;
    }

    /// Takes a report.
    pub fn note(&self, report: &Report) {
        let mut lines = lock(&self.lines);
        let before = lines.remove(&report.binding.arn);
        let was_out = before.as_ref().is_some_and(|line| line.nothing_serves_since.is_some());
        let known = before.as_ref().map(|line| line.troubles.clone()).unwrap_or_default();
        let timeline = match &before {
            Some(line) => Arc::clone(&line.timeline),
            None => lock(&self.resting).remove(&report.binding.arn).unwrap_or_default(),
        };
        let line = Line::new(before, timeline, report);
        let is_out = line.nothing_serves_since.is_some();
        let troubles = line.troubles.clone();
        lines.insert(report.binding.arn.clone(), line);
        drop(lines);
        for (_, trouble) in troubles.iter().filter(|(key, _)| !known.contains_key(*key)) {
            self.tell_trouble(report.ended, report.binding.arn.name(), trouble.clone());
        }
        for (_, trouble) in known.iter().filter(|(key, _)| !troubles.contains_key(*key)) {
            self.tell_trouble(report.ended, report.binding.arn.name(), format!("no longer: {trouble}"));
        }
        match report.plan.serving.nothing() {
            Some(nothing) if !was_out => self.tell(report.ended, report.binding.arn.name(), nothing.to_string()),
            None if was_out && !is_out => {
                self.tell(report.ended, report.binding.arn.name(), "a target serves again".into());
            }
            _ => {}
        }
        for milestone in &report.reached {
            self.tell(report.ended, report.binding.arn.name(), milestone.to_string());
        }
    }

    /// Takes note of what befell a proxy's endpoint.
    pub fn note_proxy(&self, moment: &Moment) {
        let mut watched = lock(&self.watched);
        Arc::make_mut(watched.entry(moment.listen).or_default()).befell(moment);
        drop(watched);
        if let Some(text) = moment.what.text(moment.role) {
            let subject = proxy::name(moment.listen);
            self.tell(moment.at, &subject, format!("{} {text}", moment.endpoint));
        }
    }

    /// Tells of trouble, or of its end, in the place of the same that was told just now.
    fn tell_trouble(&self, at: Timestamp, subject: &str, text: String) {
        lock(&self.changes).retain(|change| {
            let is_same = change.subject == *subject && change.text == *text.as_str();
            !is_same || change.at.is_none_or(|told| at.since(told) >= TOLD_APART)
        });
        self.tell(at, subject, text);
    }

    fn tell(&self, at: Timestamp, subject: &str, text: String) {
        let mut changes = lock(&self.changes);
        if changes.len() == CHANGES_MAX {
            changes.pop_front();
        }
        changes.push_back(Change {
            at: Some(at),
            subject: Text::of(subject),
            text: Text::of(text),
        });
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// These ask members from now on, and no others.
    pub fn ask(&self, crews: &Arc<Crews>) {
        *lock(&self.crews) = Some(Arc::clone(crews));
    }

    /// So it is now where target groups are looked for by their tags.
    pub fn discover(&self, places: Vec<Place>) {
        *lock(&self.discover) = places;
    }

    /// Where target groups are looked for by their tags.
    pub fn places(&self) -> Vec<Place> {
        lock(&self.discover).clone()
    }

    /// What the members say that are asked.
    pub fn standings(&self) -> Vec<Standing> {
        lock(&self.crews).iter().flat_map(|crews| crews.standings()).collect()
    }

    /// Forgets how a binding is, but not what became of its target group for as long as that is followed.
    pub fn forget(&self, arn: &Arn) {
        if let Some(line) = lock(&self.lines).remove(arn) {
            lock(&self.resting).insert(arn.clone(), line.timeline);
        }
    }

    /// Where each binding stands that has been looked at.
    pub fn lines(&self) -> Vec<Line> {
        lock(&self.lines).values().cloned().collect()
    }

    /// The target groups that are followed, but have not been looked at yet.
    pub fn unseen(&self) -> Vec<Arn> {
        let lines = lock(&self.lines);
        let followed = lock(&self.followed);
        let unseen = followed.iter().filter(|arn| !lines.contains_key(arn));
        unseen.cloned().collect()
    }

    /// These proxies are served from now on, and no others.
    pub fn serve(&self, proxies: Vec<View>) {
        let listening: BTreeSet<SocketAddr> = proxies.iter().map(|view| view.settings().listen).collect();
        lock(&self.watched).retain(|listen, _| listening.contains(listen));
        *lock(&self.proxies) = proxies;
    }

    /// Looks how the proxies are, to be told later.
    pub fn sample(&self) {
        let now = self.clock.now();
        for view in self.proxies() {
            let port = view.endpoint().port();
            let glance = Glance {
                targets: view.addresses().into_iter().map(|ip| Target { ip, port }).collect(),
                is_ready: view.ready().is_ok(),
                open: view.tally().open,
            };
            let mut watched = lock(&self.watched);
            Arc::make_mut(watched.entry(view.settings().listen).or_default()).sample(&glance, now);
        }
    }

    /// What became of each, by the names that the document has for them.
    pub fn timelines(&self) -> Timelines {
        let groups = lock(&self.lines);
        let groups = groups
            .iter()
            .map(|(arn, line)| (arn.to_string(), Arc::clone(&line.timeline)));
        let groups = groups.collect();
        let watched = lock(&self.watched).clone();
        let proxies = self.proxies().into_iter().filter_map(|view| {
            let timeline = watched.get(&view.settings().listen)?;
            Some((view.address().to_string(), Arc::clone(timeline)))
        });
        Timelines {
            groups,
            proxies: proxies.collect(),
        }
    }

    /// DNS is looked at by these settings from now on.
    pub fn look(&self, dns: &dns::Settings) {
        *lock(&self.dns) = rules::of_dns(dns);
    }

    /// New settings were taken, or were not for these mistakes.
    pub fn reloaded(&self, mistakes: Option<&[String]>) {
        let mut refused = lock(&self.refused);
        let now = self.clock.now();
        *refused = mistakes.map(|mistakes| Refused {
            since: refused.as_ref().map_or(Some(now), |refused| refused.since),
            at: Some(now),
            why: texts(mistakes),
        });
    }

    /// The proxies that are served.
    pub fn proxies(&self) -> Vec<View> {
        lock(&self.proxies).clone()
    }

    /// When the process started.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Everything as a document.
    pub fn document(&self) -> Document {
        let lines = self.lines();
        let mut document = Document::of("status", lines.iter().map(|line| &*line.report), Exit::Settled);
        for (line, group) in lines.iter().zip(&mut document.target_groups) {
            group.in_sync_since = line.in_sync_since;
            group.listed = line.listed;
            if let Some(nothing) = &mut group.nothing_serves {
                nothing.since = line.nothing_serves_since;
            }
        }
        document.not_looked_at_yet = Some(self.unseen().iter().map(Text::of).collect());
        document.version = Some(Text::of(env!("CARGO_PKG_VERSION")));
        document.started = Some(self.started());
        document.at = Some(self.clock.now());
        document.discover = self.places();
        document.leads = self.standings().iter().map(document::Lead::of).collect();
        document.proxies = Some(self.proxies().iter().map(document::Proxy::of).collect());
        document.changes = Some(lock(&self.changes).iter().cloned().collect());
        document.dns = Some(lock(&self.dns).clone());
        document.settings_refused = lock(&self.refused).clone();
        document.judge();
        document
    }
}

impl Line {
    fn new(before: Option<Self>, mut timeline: Arc<Timeline>, report: &Report) -> Self {
        let nothing_serves_since = before.as_ref().and_then(|line| line.nothing_serves_since);
        Arc::make_mut(&mut timeline).note(&Look::of(report));
        let told = before.as_ref().map(|line| line.troubles.clone()).unwrap_or_default();
        let troubles = troubles(report).into_iter().map(|(key, text)| {
            let text = told.get(&key).cloned().unwrap_or(text);
            (key, text)
        });
        let troubles = troubles.collect();
        let (in_sync_since, listed, mut answered) = before.map_or((None, None, BTreeMap::new()), |line| {
            (line.in_sync_since, line.listed, line.answered)
        });
        for (endpoint, sight) in &report.sights {
            if let Ok(answer) = &sight.seen {
                answered.insert(endpoint.clone(), answer.history.last_look);
            }
        }
        Self {
            report: Arc::new(report.clone()),
            in_sync_since: report.is_settled().then(|| in_sync_since.unwrap_or(report.at)),
            nothing_serves_since: match report.plan.serving {
                Serving::Nothing(_) => nothing_serves_since.or(Some(report.at)),
                Serving::Unknown => nothing_serves_since,
                Serving::Some => None,
            },
            listed: report.listed.or(listed),
            answered,
            timeline,
            troubles,
        }
    }
}

/// What is wrong with a target group, by what never varies of it.
fn troubles(report: &Report) -> BTreeMap<String, String> {
    let errors = report.errors().map(|error| {
        let text = format!("{} fails: {}", error.failure.action, error.failure.code);
        (text.clone(), text)
    });
    let holds = report
        .holds()
        .into_iter()
        .filter(|hold| hold.reason.class().is_trouble());
    let holds = holds.map(|hold| {
        let text = format!("{} {}", hold.what, hold.reason);
        (format!("{} {}", hold.what, hold.reason.name()), text)
    });
    let short = |(key, text): (String, String)| (key, text.chars().take(TROUBLE_MAX_CHARS).collect());
    errors.chain(holds).map(short).take(TROUBLES_MAX).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::elb;
    use crate::aws::failure::{Failure, Kind};
    use crate::follow::binding::Binding;
    use crate::follow::reconcile::group_unknown;

    fn arn() -> Arn {
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef";
        arn.parse().expect("an ARN")
    }

    /// A report of a look that AWS did not allow.
    fn failed(secs: u64, code: &str) -> Report {
        let binding = Arc::new(Binding {
            arn: arn(),
            endpoints: BTreeSet::new(),
            policy: Default::default(),
            observe: false,
            assume_role: None,
            trust: None,
            lead: None,
        });
        let failure = Failure {
            action: "DescribeTargetHealth",
            kind: Kind::Denied,
            code: code.into(),
            message: String::new(),
        };
        let error = elb::Error { group: arn(), failure };
        let at = Timestamp::from_millis(1_000_000 + secs * 1000);
        group_unknown(&binding, error, at, at)
    }

    #[tokio::test(start_paused = true)]
    async fn what_became_of_a_group_is_known_for_as_long_as_it_is_followed() {
        let board = Board::new(Clock::start());
        board.follow([arn()]);
        board.note(&failed(0, "AccessDenied"));
        board.forget(&arn());
        board.note(&failed(9, "AccessDenied"));
        let since = || {
            let timelines = board.timelines().groups;
            timelines.get(arn().as_str()).and_then(|timeline| timeline.since())
        };
        assert_eq!(since(), Some(Timestamp::from_millis(1_000_000)));
        board.forget(&arn());
        board.follow([]);
        board.note(&failed(10, "AccessDenied"));
        assert_eq!(since(), Some(Timestamp::from_millis(1_010_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_flutters_is_told_as_it_is_now() {
        let board = Board::new(Clock::start());
        let fails = |secs, code: &str| board.note(&failed(secs, code));
        let told = || {
            let changes = board.document().changes.unwrap_or_default();
            changes.iter().map(|change| change.text.to_string()).collect::<Vec<_>>()
        };
        for secs in 0..60_u64 {
            fails(
                secs,
                if secs < 59 && secs.is_multiple_of(2) {
                    "Throttling"
                } else {
                    "AccessDenied"
                },
            );
        }
        let now = [
            "DescribeTargetHealth fails: Throttling",
            "no longer: DescribeTargetHealth fails: AccessDenied",
            "DescribeTargetHealth fails: AccessDenied",
            "no longer: DescribeTargetHealth fails: Throttling",
        ];
        assert_eq!(told(), now);
        fails(200, "Throttling");
        assert_eq!(told()[4..], now[..2], "what was long ago stays");
    }
}

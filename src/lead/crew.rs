//! Who is asked about one endpoint: an asker for each address, shared by all proxies and target groups of the process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::Lead;
use super::asker::{Asker, Word, is_doubt};
use super::members::Members;
use super::standing::{LATE, Standing};
use super::visit::{Entrance, Sessions};
use super::voice::{Voice, after};
use crate::clock::Clock;
use crate::dns::watch::{Sight, Watch, Watchers, any_changed};
use crate::planner::cadence::DOUBT;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::guard;
use crate::planner::lead::{Says, Showing, Shown, Steersman};
use crate::planner::target::Family;
use crate::planner::time::Timestamp;
use crate::text::span;

/// How long who begins waits for the members of a database to be heard.
const OPENING_MAX: Duration = Duration::from_secs(2);
/// How long a member that has never been heard may be on its way.
const MISSED: Duration = Duration::from_secs(5);
/// In a doubt something is heard ten times a second; who hears nothing for as long was suspended.
const ASLEEP: Duration = Duration::from_millis(500);
/// While nothing changes, all members are asked at once, and what they say is taken together: who follows them wakes once.
const GATHERED_FOR: Duration = Duration::from_millis(50);
/// Words that wait to be heard: each asker has one at a time.
const WORDS_MAX: usize = 64;

/// Whose members are asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quest {
    /// The endpoint, whose name every member's certificate has to show.
    pub endpoint: Endpoint,
    /// Which of its addresses.
    pub family: Family,
    /// How they are asked.
    pub lead: Lead,
    /// The networks that they have to be in; none: everywhere.
    pub allow_cidrs: Vec<IpNet>,
}

impl Quest {
    /// Whether the same members are asked in the same way. For how long somebody waits for an answer is his own business.
    fn asks_like(&self, other: &Self) -> bool {
        let lead = Lead {
            patience: self.lead.patience,
            ..other.lead.clone()
        };
        let other = Self { lead, ..other.clone() };
        *self == other
    }
}

/// Tells where the process listens itself, behind which a member would speak for another address than its own.
type Ours = Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>;

/// All crews of a process: who follows the same endpoint in the same way shares one, and so its sessions.
pub struct Crews {
    watchers: Arc<Watchers>,
    clock: Clock,
    entrance: Arc<dyn Entrance>,
    ours: Ours,
    is_quiet: bool,
    running: Mutex<Vec<(Quest, Weak<Crew>)>>,
}

/// Who is asked about one endpoint. Its sessions end with the last follower.
pub struct Crew {
    shown: watch::Receiver<Arc<Shown>>,
    standing: watch::Receiver<Option<Standing>>,
    doubt: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

impl Crew {
    /// What the members show, from now on.
    pub fn shown(&self) -> watch::Receiver<Arc<Shown>> {
        self.shown.clone()
    }

    /// Asks often for a while: connections to an address fail, or sessions have ended.
    pub fn doubt(&self) {
        begin_doubt(&self.doubt);
    }
}

/// Waits until everybody who is asked has been heard once, and no longer than they may take for it.
pub async fn all_heard(shown: &mut watch::Receiver<Arc<Shown>>) {
    // An error means that nobody asks any more.
    let _ = timeout(OPENING_MAX, shown.wait_for(|shown| shown.is_whole)).await;
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn begin_doubt(doubt: &watch::Sender<Option<Instant>>) {
    doubt.send_replace(Some(Instant::now() + DOUBT));
}

impl Crews {
    /// None yet. Names are looked at by `watchers`.
    pub fn new(watchers: Arc<Watchers>, clock: Clock) -> Self {
        Self {
            watchers,
            clock,
            entrance: Arc::new(Sessions),
            ours: Arc::new(|_| false),
            is_quiet: false,
            running: Mutex::default(),
        }
    }

    /// The same, with members that are asked in another way than in sessions of PostgreSQL: in tests.
    #[must_use]
    pub fn asking(mut self, entrance: impl Entrance) -> Self {
        self.entrance = Arc::new(entrance);
        self
    }

    /// The same, where nobody is asked of whom this is said.
    #[must_use]
    pub fn avoiding(mut self, is_ours: impl Fn(SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        self.ours = Arc::new(is_ours);
        self
    }

    /// The same, where nothing is logged: whoever asks says what was said.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.is_quiet = true;
        self
    }

    /// The watchers of DNS.
    pub fn watchers(&self) -> &Arc<Watchers> {
        &self.watchers
    }

    /// Where the members of each endpoint stand whose members are asked now, in the order of the endpoints.
    pub fn standings(&self) -> Vec<Standing> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let crews = running.iter().filter_map(|(_, crew)| crew.upgrade());
        let mut standings: Vec<Standing> = crews.filter_map(|crew| crew.standing.borrow().clone()).collect();
        standings.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
        // Who may go to other networks is asked by another crew.
        standings.dedup_by(|one, other| one.endpoint == other.endpoint);
        standings
    }

    /// Follows what members show, sending askers out if nobody has yet.
    pub fn follow(&self, quest: Quest) -> Arc<Crew> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|(_, crew)| crew.strong_count() > 0);
        let same = running.iter().find(|(known, _)| known.asks_like(&quest));
        if let Some(crew) = same.and_then(|(_, crew)| crew.upgrade()) {
            return crew;
        }
        let crew = Arc::new(self.send_out(quest.clone()));
        running.push((quest, Arc::downgrade(&crew)));
        crew
    }

    fn send_out(&self, quest: Quest) -> Crew {
        let (publish, shown) = watch::channel(Arc::default());
        let (publish_standing, standing) = watch::channel(None);
        let (doubt, _) = watch::channel(None);
        let (words, heard) = mpsc::channel(WORDS_MAX);
        let captain = Captain {
            members: Members::new(&quest.lead.members),
            lead: Arc::new(quest.lead.clone()),
            quest,
            entrance: Arc::clone(&self.entrance),
            ours: Arc::clone(&self.ours),
            is_quiet: self.is_quiet,
            watchers: Arc::clone(&self.watchers),
            clock: self.clock,
            publish,
            publish_standing,
            steersman: Steersman::default(),
            is_late: false,
            doubt: doubt.clone(),
            beat: Instant::now(),
            words,
            watches: BTreeMap::new(),
            askers: BTreeMap::new(),
            showings: BTreeMap::new(),
            heard: BTreeSet::new(),
            doubted: None,
            awake: self.clock.now(),
            voices: BTreeMap::new(),
            voice: Voice::default(),
        };
        let task = tokio::spawn(captain.run(heard));
        Crew {
            shown,
            standing,
            doubt,
            task,
        }
    }
}

struct Captain {
    quest: Quest,
    entrance: Arc<dyn Entrance>,
    ours: Ours,
    is_quiet: bool,
    lead: Arc<Lead>,
    members: Members,
    watchers: Arc<Watchers>,
    clock: Clock,
    publish: watch::Sender<Arc<Shown>>,
    publish_standing: watch::Sender<Option<Standing>>,
    steersman: Steersman,
    /// Whether it was told that DNS goes on to name another than the writer.
    is_late: bool,
    doubt: watch::Sender<Option<Instant>>,
    /// A moment at which all members are asked.
    beat: Instant,
    words: mpsc::Sender<Word>,
    /// Those of members' own names.
    watches: BTreeMap<String, Watched>,
    askers: BTreeMap<IpAddr, Asked>,
    showings: BTreeMap<IpAddr, Showing>,
    /// Who has been heard once.
    heard: BTreeSet<IpAddr>,
    /// Since when something has been changing.
    doubted: Option<Timestamp>,
    /// When something was last heard.
    awake: Timestamp,
    /// What the log was told of each, and of what follows from it.
    voices: BTreeMap<IpAddr, Voice<&'static str>>,
    voice: Voice<(&'static str, Option<IpAddr>)>,
}

/// An address that is asked until this is dropped.
struct Asked {
    task: JoinHandle<()>,
    name: watch::Sender<Option<String>>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A member's own name.
struct Watched {
    sights: watch::Receiver<Arc<Sight>>,
    /// For as long as this lives.
    _watch: Arc<Watch>,
}

impl Captain {
    async fn run(mut self, mut heard: mpsc::Receiver<Word>) {
        let watch = self.watchers.follow(self.quest.endpoint.host(), self.quest.family);
        let mut sights = watch.sights();
        let mut has_names = true;
        loop {
            has_names |= sights.has_changed().unwrap_or(false);
            let sight = Arc::clone(&sights.borrow_and_update());
            if std::mem::take(&mut has_names) {
                self.look_around(&sight);
            }
            self.publish(&sight);
            let members = self.watches.values_mut().map(|member| &mut member.sights);
            tokio::select! {
                biased;
                () = any_changed(members.chain([&mut sights])) => has_names = true,
                Some(word) = heard.recv() => {
                    let is_news;
                    (has_names, is_news) = self.gather(word, &mut heard).await;
                    if is_news {
                        watch.doubt();
                    }
                }
            }
        }
    }

    /// Takes a word, and those after it that come at the same time; what is new is not held up. Whether there are new names, and whether
    /// a member says something else than before.
    async fn gather(&mut self, word: Word, heard: &mut mpsc::Receiver<Word>) -> (bool, bool) {
        let patience = if self.is_in_doubt() {
            Duration::ZERO
        } else {
            GATHERED_FOR
        };
        let end = Instant::now() + patience;
        let mut next = Some(word);
        while let Some(word) = next {
            let (has_names, is_news) = (self.learn(&word), self.hear(word));
            if has_names || is_news {
                return (has_names, is_news);
            }
            next = timeout_at(end, heard.recv()).await.ok().flatten();
        }
        (false, false)
    }

    fn is_in_doubt(&self) -> bool {
        is_doubt(&self.doubt.borrow())
    }

    /// Asks whoever DNS gives now, and nobody any more whom it has not given for a while.
    fn look_around(&mut self, sight: &Sight) {
        let now = self.clock.now();
        if let Ok(answer) = &sight.seen {
            let resolution = &answer.resolution;
            let names = resolution
                .names
                .iter()
                .map(String::as_str)
                .chain([self.quest.endpoint.host()]);
            self.members
                .named(resolution.addresses().iter().copied(), names, sight.at);
        }
        self.watches
            .retain(|name, _| self.members.names().any(|known| known == name));
        for name in self.members.names() {
            if !self.watches.contains_key(name) {
                let watch = self.watchers.follow(name, self.quest.family);
                let sights = watch.sights();
                self.watches.insert(name.clone(), Watched { sights, _watch: watch });
            }
        }
        for (name, member) in &mut self.watches {
            let sight = member.sights.borrow_and_update();
            if let Ok(answer) = &sight.seen {
                let addresses = answer.resolution.addresses().iter().copied();
                self.members.found_at(name, addresses, sight.at);
            }
        }
        self.members.forget(now);
        let port = self.quest.endpoint.port();
        let is_ours = |ip: IpAddr| (self.ours)(SocketAddr::new(ip, port));
        let is_allowed = |ip: IpAddr| guard::allows(&self.quest.allow_cidrs, ip) && !is_ours(ip);
        let wanted: BTreeMap<IpAddr, Option<&str>> =
            self.members.addresses().filter(|(ip, _)| is_allowed(*ip)).collect();
        self.askers.retain(|ip, _| wanted.contains_key(ip));
        self.showings.retain(|ip, _| wanted.contains_key(ip));
        self.heard.retain(|ip| wanted.contains_key(ip));
        self.voices.retain(|ip, _| wanted.contains_key(ip));
        let mut is_new = false;
        for (ip, name) in wanted {
            match self.askers.get(&ip) {
                Some(asked) => {
                    asked.name.send_if_modified(|known| {
                        let is_other = known.as_deref() != name;
                        *known = name.map(str::to_owned);
                        is_other
                    });
                }
                None => {
                    is_new = true;
                    let asked = self.ask(ip, name);
                    self.askers.insert(ip, asked);
                }
            }
        }
        if is_new {
            begin_doubt(&self.doubt);
        }
    }

    fn ask(&self, ip: IpAddr, name: Option<&str>) -> Asked {
        let (name, known) = watch::channel(name.map(str::to_owned));
        let asker = Asker {
            address: SocketAddr::new(ip, self.quest.endpoint.port()),
            endpoint: self.quest.endpoint.clone(),
            name: known,
            lead: Arc::clone(&self.lead),
            entrance: Arc::clone(&self.entrance),
            clock: self.clock,
            words: self.words.clone(),
            doubt: self.doubt.subscribe(),
            beat: self.beat,
        };
        let task = tokio::spawn(asker.run());
        Asked { task, name }
    }

    /// Takes the names that a member told of; whether one is new.
    fn learn(&mut self, word: &Word) -> bool {
        let (Some((flavour, answer)), Some(suffix)) = (&word.told, self.members.suffix()) else {
            return false;
        };
        let names = answer.names(*flavour, suffix);
        let is_new = names.iter().any(|name| !self.watches.contains_key(name));
        self.members.learn(names, word.at);
        is_new
    }

    /// Takes what came of a question; whether it is something else than before.
    fn hear(&mut self, word: Word) -> bool {
        let ip = word.address.ip();
        if !self.askers.contains_key(&ip) {
            return false;
        }
        let before = self.showings.get(&ip);
        let is_same = before.is_some_and(|before| before.says.name() == word.says.name());
        let since = before.filter(|_| is_same).map_or(word.at, |before| before.since);
        if !matches!(word.says, Says::Silent(_)) {
            self.heard.insert(ip);
        }
        // One that nobody has heard yet has its time.
        let is_ripe = self.heard.contains(&ip) || word.at.since(since) >= MISSED;
        if is_ripe && !self.is_quiet {
            self.note(ip, &word);
        }
        if !is_same {
            begin_doubt(&self.doubt);
        }
        let Word { at, says, .. } = word;
        self.showings.insert(ip, Showing { at, since, says });
        !is_same
    }

    /// Tells everybody what is known.
    fn publish(&mut self, sight: &Sight) {
        let mut members = self.watches.values();
        let all_looked = sight.is_looked_at() && members.all(|member| member.sights.borrow().is_looked_at());
        let now = self.clock.now();
        // Who was not awake for a while has heard nobody meanwhile, and members get their time anew.
        let was_awake = now.since(self.awake) <= ASLEEP;
        self.awake = now;
        let doubted = self.doubted.filter(|_| was_awake);
        self.doubted = self.is_in_doubt().then(|| doubted.unwrap_or(now));
        let shown = Shown {
            doubted: self.doubted,
            members: self.showings.clone(),
            is_whole: all_looked && self.askers.keys().all(|ip| self.showings.contains_key(ip)),
        };
        if **self.publish.borrow() != shown {
            self.publish.send_replace(Arc::new(shown));
        }
        self.judge(sight);
    }

    /// Says what follows from it.
    fn judge(&mut self, sight: &Sight) {
        let now = self.clock.now();
        let host = self.quest.endpoint.host();
        let is_of_readers = sight.seen.as_ref().is_ok_and(|answer| {
            let names = answer.resolution.names.iter().map(String::as_str);
            Role::told_by(names.chain([host])) == Role::Reader || answer.history.rotation().is_some()
        });
        if is_of_readers {
            // It has no writer to be ahead of, and everybody goes by DNS.
            self.publish_standing.send_replace(None);
            return;
        }
        let shown = Arc::clone(&self.publish.borrow());
        let named = sight.seen.iter().flat_map(|answer| answer.resolution.addresses());
        let is_allowed = |ip: &&IpAddr| guard::allows(&self.quest.allow_cidrs, **ip);
        let named = named.filter(is_allowed).copied().collect();
        let verdict = self.steersman.steer(&named, &shown, self.lead.patience, now);
        if !shown.is_whole && verdict.writer().is_none() {
            // Who has not been heard yet may be the writer.
            return;
        }
        let before = self.publish_standing.borrow().clone();
        let before = before.filter(|before| before.is_still(&verdict));
        let standing = Standing {
            endpoint: self.quest.endpoint.clone(),
            shown,
            verdict,
            since: Some(before.as_ref().and_then(|before| before.since).unwrap_or(now)),
        };
        if !self.is_quiet {
            self.note_standing(&standing, now);
        }
        self.publish_standing.send_replace(Some(standing));
    }

    fn note_standing(&mut self, standing: &Standing, now: Timestamp) {
        let (endpoint, text) = (&standing.endpoint, standing.text());
        let verdict = &standing.verdict;
        let is_trouble = standing.is_trouble();
        let word = (verdict.name(), verdict.writer());
        if let Some(untold) = self.voice.tell(word, is_trouble, now) {
            let after = after(untold);
            match is_trouble {
                true => warn!(%endpoint, "{text}{after}"),
                false => info!(%endpoint, "{text}{after}"),
            }
        }
        let is_late = standing.ahead_for(now).is_some_and(|lasts| lasts >= LATE);
        if is_late && !self.is_late {
            warn!(
                %endpoint,
                "{text}, for {}: see what the name leads to; whoever follows DNS alone does not reach the writer",
                span(LATE)
            );
        }
        self.is_late = is_late;
    }

    fn note(&mut self, ip: IpAddr, word: &Word) {
        let voice = self.voices.entry(ip).or_default();
        let is_for_people = matches!(word.says, Says::Denied(_) | Says::Impostor(_));
        let Some(untold) = voice.tell(word.says.name(), is_for_people, word.at) else {
            return;
        };
        let (endpoint, after) = (&self.quest.endpoint, after(untold));
        match &word.says {
            Says::Denied(why) | Says::Impostor(why) => warn!(
                %endpoint,
                "the member at {ip} does not tell who the writer is: {why}; until it does, DNS alone decides about it{after}"
            ),
            says @ (Says::Writer | Says::Reader | Says::Neither(_) | Says::Silent(_)) => {
                info!(%endpoint, "the member at {ip} is: {says}{after}");
            }
        }
    }
}

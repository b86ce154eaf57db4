//! What a process knows: the planner's own memory and history, taken further by the planner itself.
//!
//! Whether the same was seen now or an hour ago makes no difference, nor does by how much something is over that is over anyway. So
//! what a process knows is written down with ages for moments and with counters from now backwards, each up to the most that anything
//! is compared with, and what reads the same is the same. That is checked, too: [`Minds::check`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rds_tether::planner::answer::{Blind, Failure, Quorum, Said};
use rds_tether::planner::decide::{Decision, Seen, decide};
use rds_tether::planner::endpoint::{Endpoint, Role};
use rds_tether::planner::history::{Answer, Inquiry};
use rds_tether::planner::memory::Memory;
use rds_tether::planner::plan::Plan;
use rds_tether::planner::policy::Policy;
use rds_tether::planner::target::{Family, Listed, State, Target};
use rds_tether::planner::time::Timestamp;

use super::rules::Rule;

/// The port of the endpoint.
const PORT: u16 = 5432;
/// What the name's answers hold for.
const TTL: Duration = Duration::from_secs(5);
/// Whom the process asks.
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 2)), 53);
/// More answers and looks than this are as good as this many.
const ENOUGH: u64 = 2;
/// When processes begin: later than the epoch, so that earlier moments exist.
const BEGINNING: Timestamp = Timestamp::from_millis(1_000_000_000);

/// Where the database may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    A,
    B,
}

impl Site {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    fn ip(self) -> IpAddr {
        IpAddr::from([10, 0, 0, 1 + self as u8])
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// Some of the sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sites(u8);

impl Sites {
    /// Whether it has the site.
    pub fn has(self, site: Site) -> bool {
        self.0 & 1 << site as u8 != 0
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that it has.
    pub fn each(self) -> impl Iterator<Item = Site> {
        Site::ALL.into_iter().filter(move |site| self.has(*site))
    }
}

impl FromIterator<Site> for Sites {
    fn from_iter<I: IntoIterator<Item = Site>>(sites: I) -> Self {
        Self(sites.into_iter().fold(0, |bits, site| bits | 1 << site as u8))
    }
}

/// An address that `keep` covers, and that is always registered.
const KEPT: [u8; 4] = [10, 0, 0, 9];
/// An address that no target can have.
const ILLEGAL: [u8; 4] = [169, 254, 1, 1];

/// Where an address stands in the target group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Absent,
    Registered,
    Draining,
}

/// The target group: where each site stands.
pub type Group = [Place; 2];

/// What a look at DNS brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// No name server answers.
    Nothing,
    /// One address.
    Site(Site),
    /// One address, and one that no target can have.
    WithIllegal(Site),
    /// Only such a one.
    Illegal,
}

/// What changes a target group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Write {
    Register,
    Deregister,
}

/// What befalls a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// It looks at DNS.
    Look(Word),
    /// It decides by a listing of the group, or by the failure to get one.
    Decide(Option<Group>),
    /// It hears that a write has been done.
    Done(Write, Sites),
    /// Time passes.
    Tick,
}

/// What is to be written, and whether deciding so breaks a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    pub register: Sites,
    pub deregister: Sites,
    pub broken: Option<Rule>,
}

/// A number for all that reads the same.
pub type Number = u32;

/// The mind of a process that has just begun.
pub const NEW: Number = 0;

#[derive(Clone)]
struct Mind {
    now: Timestamp,
    inquiry: Inquiry,
    /// The latest look, if there was one.
    sight: Option<Result<Answer, Blind>>,
    /// Fresh answers and looks with an answer, so far.
    counted: (u64, u64),
    memory: Memory,
    /// When an answer named each site; kept for the rules, and no business of the planner.
    named: [Option<Timestamp>; 2],
}

/// All that processes may know, as far as it has come up.
pub struct Minds {
    /// How long a tick is.
    unit: Duration,
    /// Forget, in ticks.
    forget: u32,
    endpoint: Endpoint,
    policy: Policy,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    minds: Vec<Mind>,
    /// For each mind another one that reads the same, where there was one.
    alike: Vec<Option<Mind>>,
    /// What has come of it.
    turns: Vec<BTreeMap<Event, (Number, Planned)>>,
    numbers: BTreeMap<String, Number>,
}

impl Minds {
    /// No mind but that of a process that has just begun. A tick is that part of the `forget` of writers.
    pub fn new(forget: u32) -> Self {
        let policy = Policy {
            keep: vec![IpAddr::from(KEPT).into()],
            ..Policy::default()
        };
        let minds = Self {
            unit: policy.forget(Role::Writer) / forget,
            forget,
            endpoint: format!("orders.cluster-abc123.eu-west-1.rds.amazonaws.com:{PORT}")
                .parse()
                .expect("an endpoint"),
            policy,
            known: Mutex::default(),
        };
        let new = Mind {
            now: BEGINNING,
            inquiry: Inquiry::default(),
            sight: None,
            counted: (0, 0),
            memory: Memory::default(),
            named: [None; 2],
        };
        let number = minds.number(&mut minds.known(), new);
        assert_eq!(number, NEW);
        minds
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.known().minds.len()
    }

    /// Whether the latest look has failed.
    pub fn is_blind(&self, number: Number) -> bool {
        matches!(self.known().minds[number as usize].sight, Some(Err(_)))
    }

    /// What an event makes of a mind.
    pub fn turn(&self, number: Number, event: Event) -> (Number, Planned) {
        let mut known = self.known();
        if let Some(turn) = known.turns[number as usize].get(&event) {
            return *turn;
        }
        let mut mind = known.minds[number as usize].clone();
        let planned = self.befall(&mut mind, event);
        let turn = (self.number(&mut known, mind), planned);
        known.turns[number as usize].insert(event, turn);
        turn
    }

    fn number(&self, known: &mut Known, mind: Mind) -> Number {
        let text = self.written(&mind);
        if let Some(number) = known.numbers.get(&text) {
            let there = *number as usize;
            if known.minds[there].now != mind.now {
                known.alike[there].get_or_insert(mind);
            }
            return *number;
        }
        let number = Number::try_from(known.minds.len()).expect("few minds");
        known.minds.push(mind);
        known.alike.push(None);
        known.turns.push(BTreeMap::new());
        known.numbers.insert(text, number);
        number
    }

    /// Checks that minds that read the same become the same, and decide the same, by whatever befell the first of them; tells how
    /// many turns were compared.
    pub fn check(&self) -> Result<usize, String> {
        let known = self.known();
        let mut compared = 0;
        let turns = known.turns.iter().zip(&known.alike);
        let turns = turns.filter_map(|(turns, alike)| Some((turns, alike.as_ref()?)));
        for ((event, (next, planned)), alike) in
            turns.flat_map(|(turns, alike)| turns.iter().map(move |turn| (turn, alike)))
        {
            let mut mind = alike.clone();
            let before = self.written(&mind);
            let other = self.befall(&mut mind, *event);
            let text = self.written(&mind);
            if other != *planned || known.numbers.get(&text) != Some(next) {
                let expected = self.written(&known.minds[*next as usize]);
                return Err(format!(
                    "{before}\nby {event:?}: {other:?}\n{text}\nand before {planned:?}\n{expected}"
                ));
            }
            compared += 1;
        }
        Ok(compared)
    }

    fn befall(&self, mind: &mut Mind, event: Event) -> Planned {
        match event {
            Event::Look(word) => self.look(mind, word),
            Event::Decide(group) => return self.decide(mind, group),
            Event::Done(Write::Register, sites) => {
                sites
                    .each()
                    .for_each(|site| mind.memory.registered(target(site), mind.now));
            }
            Event::Done(Write::Deregister, sites) => sites.each().for_each(|site| mind.memory.removed(target(site))),
            Event::Tick => mind.now = mind.now + self.unit,
        }
        Planned::default()
    }

    fn look(&self, mind: &mut Mind, word: Word) {
        let (site, is_illegal) = match word {
            Word::Nothing => (None, false),
            Word::Site(site) => (Some(site), false),
            Word::WithIllegal(site) => (Some(site), true),
            Word::Illegal => (None, true),
        };
        let illegal = is_illegal.then_some(IpAddr::from(ILLEGAL));
        let addresses: BTreeSet<IpAddr> = site.map(Site::ip).into_iter().chain(illegal).collect();
        let said = if addresses.is_empty() {
            Err(Failure::TimedOut)
        } else {
            // A look comes later than the TTL of the one before ends.
            let mut said = Said::new(addresses, TTL);
            said.is_fresh = true;
            Ok(said)
        };
        let heard = mind
            .inquiry
            .hear(self.endpoint.host(), &[(SERVER, said)], Quorum::Any, mind.now);
        if let Ok(answer) = &heard {
            mind.counted = (answer.history.answers, answer.history.looks);
        }
        if let Some(site) = site {
            mind.named[site as usize] = Some(mind.now);
        }
        mind.sight = Some(heard);
    }

    fn decide(&self, mind: &mut Mind, group: Option<Group>) -> Planned {
        let listing = group.map(listing);
        let seen = Seen {
            family: Family::Ipv4,
            endpoints: BTreeMap::from([(
                &self.endpoint,
                mind.sight.as_ref().map_or(Err(&Blind::NotYet), Result::as_ref),
            )]),
            led: BTreeMap::new(),
            probed: &BTreeMap::new(),
            group: listing.as_ref().ok_or_else(|| "Throttling".to_owned()),
            listed: mind.now,
        };
        let Decision { plan, memory } = decide(&self.policy, std::mem::take(&mut mind.memory), &seen, mind.now);
        mind.memory = memory;
        let sites = |targets: &BTreeMap<Target, _>| {
            Site::ALL
                .into_iter()
                .filter(|site| targets.contains_key(&target(*site)))
                .collect::<Sites>()
        };
        Planned {
            register: sites(&plan.register),
            deregister: sites(&plan.deregister),
            broken: self.judge(mind, group, &plan),
        }
    }

    /// The rule that a plan breaks, by what the process has seen and nothing else.
    fn judge(&self, mind: &Mind, group: Option<Group>, plan: &Plan) -> Option<Rule> {
        let answer = mind.sight.as_ref().and_then(|sight| sight.as_ref().ok());
        let named: Sites = Site::ALL
            .into_iter()
            .filter(|site| answer.is_some_and(|answer| answer.resolution.addresses().contains(&site.ip())))
            .collect();
        let writes = || plan.register.keys().chain(plan.deregister.keys());
        let Some(group) = group else {
            return (writes().count() > 0).then_some(Rule::S3);
        };
        if writes().any(|target| self.policy.keeps(*target)) {
            return Some(Rule::S4);
        }
        if plan
            .register
            .keys()
            .any(|known| !named.each().any(|site| target(site) == *known))
        {
            return Some(Rule::S2);
        }
        if !plan.deregister.is_empty() && named.is_empty() {
            return Some(Rule::S3);
        }
        let is_seen = |site: &Site| group[*site as usize] == Place::Registered;
        let stays = |site: &Site| is_seen(site) && !plan.deregister.contains_key(&target(*site));
        if !plan.deregister.is_empty() && !named.each().any(|site| stays(&site)) {
            return Some(Rule::S5);
        }
        let forget = self.unit * self.forget;
        let is_fresh = |site: Site| mind.named[site as usize].is_some_and(|at| mind.now.since(at) < forget);
        let removed = |site: &Site| plan.deregister.contains_key(&target(*site));
        if Site::ALL.into_iter().filter(removed).any(is_fresh) {
            return Some(Rule::S6);
        }
        let is_settled = !named.is_empty() && Site::ALL.iter().all(|site| named.has(*site) == is_seen(site));
        (plan.settled && !is_settled).then_some(Rule::S8)
    }

    fn written(&self, mind: &Mind) -> String {
        let memory = format!("{:?}", mind.memory);
        // What somebody else takes away is told, and decides nothing.
        let (before, takers) = memory.split_once("takers: ").expect("a field of the memory");
        let (_, after) = takers.split_once(", last_seeing: ").expect("the next field");
        let sight = mind
            .sight
            .as_ref()
            .map(|sight| sight.as_ref().map(|answer| &answer.resolution));
        let mut writing = Writing {
            mind,
            text: String::new(),
            moments: Vec::new(),
        };
        writing.take(&format!("{before}last_seeing: {after}"));
        writing.take(&format!("{:?}{sight:?}{:?}", mind.inquiry, mind.named));
        writing.ages(self.unit, u64::from(self.forget))
    }
}

/// What `Debug` says of a mind, without the time of now.
struct Writing<'a> {
    mind: &'a Mind,
    text: String,
    moments: Vec<u64>,
}

impl Writing<'_> {
    fn take(&mut self, mut rest: &str) {
        let (answers, looks) = self.mind.counted;
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, from) = rest.split_at(at);
            let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
            let (digits, after) = from.split_at(end);
            let number: u64 = digits.parse().expect("a number");
            self.text.push_str(before);
            let since = |total: u64| (total - number).min(ENOUGH).to_string();
            if before.ends_with("touched: Timestamp(") || before.ends_with("seeing_since: Timestamp(") {
                // Of use after a day, and after a gap: nothing here lasts that long.
            } else if before.ends_with("Timestamp(") {
                self.moments.push(number);
            } else if before.ends_with("looks: ") {
                self.text.push_str(&since(looks));
            } else if before.ends_with("Counters { answers: ") {
                self.text.push_str(&since(answers));
            } else if before.ends_with("answers: ") {
                // Of use to a later process, or to a name that gives several addresses in turn.
            } else {
                self.text.push_str(digits);
            }
            rest = after;
        }
        self.text.push_str(rest);
    }

    /// Adds how long ago each moment was. Of those that are longer ago than anything is compared with, only the order counts.
    fn ages(mut self, unit: Duration, ticks_max: u64) -> String {
        let mut older = 0;
        let distinct: BTreeSet<u64> = self.moments.iter().copied().collect();
        let ages = distinct.into_iter().rev().map(|moment| {
            let age = (self.mind.now.as_millis() - moment) / unit.as_millis() as u64;
            older += u64::from(age > ticks_max);
            (moment, age.min(ticks_max + older))
        });
        let ages: BTreeMap<u64, u64> = ages.collect();
        for moment in &self.moments {
            self.text.push_str(&format!(" {}", ages[moment]));
        }
        self.text
    }
}

fn target(site: Site) -> Target {
    Target {
        ip: site.ip(),
        port: PORT,
    }
}

fn listing(group: Group) -> BTreeMap<Target, Listed> {
    let listed = |state| Listed {
        zone: None,
        state,
        reason: None,
        description: None,
    };
    let kept = Target {
        ip: IpAddr::from(KEPT),
        port: PORT,
    };
    let sites = Site::ALL.into_iter().filter_map(|site| {
        let state = match group[site as usize] {
            Place::Absent => return None,
            Place::Registered => State::Healthy,
            Place::Draining => State::Draining,
        };
        Some((target(site), listed(state)))
    });
    sites.chain([(kept, listed(State::Healthy))]).collect()
}

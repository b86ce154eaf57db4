//! The world around two processes: a database that fails over, name servers that are behind, and an API that loses calls.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use stateright::{Model, Property};

use super::mind::{Event, Group, Minds, NEW, Number, Place, Site, Sites, Word, Write};
use super::rules::{Rule, properties};

/// How far the model goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// `forget` in ticks.
    pub forget: u32,
    /// For how many ticks a name server may go on giving what is not true any more; without a limit, what rests on it is not
    /// claimed.
    pub lag: Option<u8>,
    /// How often the database fails over.
    pub failovers: u8,
    /// Whether a call may last into the next tick.
    pub is_slow: bool,
    /// Whether answers may have an illegal address.
    pub is_illegal: bool,
}

/// The most failovers.
const FAILOVERS_MAX: usize = 2;

/// A call of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// Whose targets it is about; none: there is no such call.
    sites: Sites,
    /// Whether it was made before the latest tick.
    is_old: bool,
}

impl Call {
    fn new(sites: Sites) -> Self {
        Self {
            sites,
            ..Self::default()
        }
    }

    fn is_there(self) -> bool {
        !self.sites.is_empty()
    }
}

/// The calls of both kinds.
type Calls = [Call; 2];

/// A process, its name server, and its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    mind: Number,
    /// How many of the failovers its name server has heard of.
    heard: u8,
    has_looked: bool,
    /// Whether it has listed the group since.
    has_listed: bool,
    calls: Calls,
    /// Calls that nobody waits for any more, and that may still come to AWS.
    strays: Calls,
}

impl Process {
    fn give_up(&mut self) {
        let calls = std::mem::take(&mut self.calls);
        for (stray, call) in self.strays.iter_mut().zip(calls) {
            if call.is_there() {
                *stray = call;
            }
        }
    }
}

/// All there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// How often the database has failed over.
    pub failovers: u8,
    /// For how many ticks the failovers are over.
    ages: [u8; FAILOVERS_MAX],
    group: Group,
    processes: [Process; 2],
    /// The rule that was broken, if one was.
    pub broken: Option<Rule>,
}

/// Which of the two is which makes no difference.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let [one, other] = &self.processes;
        let ordered = if one <= other { [one, other] } else { [other, one] };
        (self.failovers, self.ages, self.group, ordered, self.broken).hash(hasher);
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    FailOver,
    /// The name server of a process gives what was true after so many failovers, and perhaps more.
    Look(usize, u8, Word),
    /// The group is listed, and the process decides on that and calls for what it has planned: nothing else can come between that
    /// it could see.
    Step(usize),
    StepBlindly(usize),
    /// AWS does what was called for, and the process hears of it.
    Lands(usize, Write),
    /// The same, but the reply is lost.
    LandsUnheard(usize, Write),
    /// The call never comes to AWS.
    Lost(usize, Write),
    /// The process waits no longer for what may still come to AWS.
    GivesUp(usize),
    StrayLands(usize, Write),
    StrayLost(usize, Write),
    Crash(usize),
    Drained(Site),
    Tick,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = |write: &Write| match write {
            Write::Register => "register",
            Write::Deregister => "deregister",
        };
        match self {
            Self::FailOver => f.write_str("failover"),
            Self::Look(number, heard, word) => match word {
                Word::Nothing => write!(f, "{number}.look:nothing"),
                Word::Site(site) => write!(f, "{number}.look:{site}{heard}"),
                Word::WithIllegal(site) => write!(f, "{number}.look:{site}{heard}+illegal"),
                Word::Illegal => write!(f, "{number}.look:illegal"),
            },
            Self::Step(number) => write!(f, "{number}.step"),
            Self::StepBlindly(number) => write!(f, "{number}.step-unlisted"),
            Self::Lands(number, write) => write!(f, "{number}.{}-lands", kind(write)),
            Self::LandsUnheard(number, write) => write!(f, "{number}.{}-lands-unheard", kind(write)),
            Self::Lost(number, write) => write!(f, "{number}.{}-lost", kind(write)),
            Self::GivesUp(number) => write!(f, "{number}.gives-up"),
            Self::StrayLands(number, write) => write!(f, "{number}.stray-{}-lands", kind(write)),
            Self::StrayLost(number, write) => write!(f, "{number}.stray-{}-lost", kind(write)),
            Self::Crash(number) => write!(f, "{number}.crash"),
            Self::Drained(site) => write!(f, "drained:{site}"),
            Self::Tick => f.write_str("tick"),
        }
    }
}

/// For people: where everything stands.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database at {}, group", truth(self.failovers))?;
        for site in Site::ALL {
            write!(
                f,
                " {site} {}",
                match self.group[site as usize] {
                    Place::Absent => "absent",
                    Place::Registered => "registered",
                    Place::Draining => "draining",
                }
            )?;
        }
        for (number, process) in self.processes.iter().enumerate() {
            for (calls, what) in [(process.calls, "calls"), (process.strays, "had called")] {
                for (call, write) in calls.iter().zip(WRITES) {
                    for site in call.sites.each() {
                        write!(f, ", {number} {what} {write:?} {site}")?;
                    }
                }
            }
        }
        match self.broken {
            Some(rule) => write!(f, ": {rule:?} is broken"),
            None => Ok(()),
        }
    }
}

const WRITES: [Write; 2] = [Write::Register, Write::Deregister];

/// Where the database is after so many failovers.
fn truth(failovers: u8) -> Site {
    Site::ALL[usize::from(failovers % 2)]
}

/// How two processes take turns once nothing fails any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turns {
    FirstFirst,
    SecondFirst,
    /// Both have seen the group before either writes.
    Together,
}

impl Turns {
    const ALL: [Self; 3] = [Self::FirstFirst, Self::SecondFirst, Self::Together];
}

/// The model.
pub struct World {
    /// How far it goes.
    pub bounds: Bounds,
    /// What processes know.
    pub minds: Minds,
    /// What is known to come to rest.
    rests: Mutex<BTreeSet<(Site, Group, [Number; 2])>>,
}

impl World {
    /// The world within these bounds.
    pub fn new(bounds: Bounds) -> Self {
        assert!(usize::from(bounds.failovers) <= FAILOVERS_MAX);
        Self {
            bounds,
            minds: Minds::new(bounds.forget),
            rests: Mutex::default(),
        }
    }

    /// Failovers longer ago than this are all the same.
    fn age_max(&self) -> u8 {
        self.bounds.lag.map_or(0, |lag| (lag + 1).max(self.bounds.forget as u8))
    }

    /// AWS does what a call is for.
    fn write(&self, state: &mut State, write: Write, sites: Sites) {
        for site in sites.each() {
            let place = &mut state.group[site as usize];
            match (write, *place) {
                (Write::Register, _) => *place = Place::Registered,
                (Write::Deregister, Place::Registered) => {
                    *place = Place::Draining;
                    let changed = state.failovers.checked_sub(1).map(|last| state.ages[usize::from(last)]);
                    let is_true = site == truth(state.failovers);
                    let is_known = changed.is_none_or(|age| u32::from(age) >= self.bounds.forget);
                    let is_left = state.group[site.other() as usize] == Place::Registered;
                    if self.bounds.lag.is_some() && (!is_left || is_true && is_known) {
                        state.broken = Some(Rule::S1);
                    }
                }
                (Write::Deregister, Place::Absent | Place::Draining) => {}
            }
        }
    }

    fn decide(&self, state: &mut State, number: usize, group: Option<Group>) {
        let process = &mut state.processes[number];
        let (mind, planned) = self.minds.turn(process.mind, Event::Decide(group));
        process.mind = mind;
        process.calls = [Call::new(planned.register), Call::new(planned.deregister)];
        state.broken = state.broken.or(planned.broken);
    }

    fn may_tick(&self, state: &State) -> bool {
        state.processes.iter().all(|process| {
            let mut calls = process.calls.iter().chain(&process.strays);
            let are_young = calls.all(|call| !call.is_there() || self.bounds.is_slow && !call.is_old);
            process.has_looked && are_young
        })
    }

    fn tick(&self, state: &mut State) {
        let (age_max, lag) = (self.age_max(), self.bounds.lag.unwrap_or(u8::MAX));
        let happened = &mut state.ages[..usize::from(state.failovers)];
        happened.iter_mut().for_each(|age| *age = (*age + 1).min(age_max));
        // They come to know what is older, whether they are asked or not.
        let known = happened.iter().filter(|age| **age > lag).count() as u8;
        for process in &mut state.processes {
            process.heard = process.heard.max(known);
            (process.has_looked, process.has_listed) = (false, false);
            (process.mind, _) = self.minds.turn(process.mind, Event::Tick);
            for call in process.calls.iter_mut().chain(&mut process.strays) {
                call.is_old = call.is_there();
            }
        }
    }

    /// Whether the group becomes what DNS names, and nothing is written any more, if from now on nothing goes wrong: each call is done,
    /// and all see the truth each tick. It is looked into when time has passed, because that is where everything comes by.
    pub fn comes_to_rest(&self, state: &State) -> bool {
        let has_begun = |process: &Process| process.has_looked || process.has_listed;
        if state.broken.is_some() || state.processes.iter().any(has_begun) {
            return true;
        }
        let mut state = *state;
        for number in 0..2 {
            let process = &mut state.processes[number];
            let strays = std::mem::take(&mut process.strays);
            self.carry_out(&mut state, number);
            for (write, call) in WRITES.into_iter().zip(strays) {
                self.write(&mut state, write, call.sites);
            }
        }
        if state.broken.is_some() {
            return true;
        }
        let is_known = |state: &State, insert| {
            let key = (
                truth(state.failovers),
                state.group,
                state.processes.map(|process| process.mind),
            );
            let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
            if insert {
                !rests.insert(key)
            } else {
                rests.contains(&key)
            }
        };
        let from = state;
        if is_known(&from, false) {
            return true;
        }
        let is_restless = |turns: &Turns| !self.rests_by(*turns, from);
        if Turns::ALL.iter().any(is_restless) {
            return false;
        }
        is_known(&from, true);
        true
    }

    fn rests_by(&self, turns: Turns, mut state: State) -> bool {
        // Two looks that see, and one by which the registration is seen.
        let deadline = self.bounds.forget + 3;
        for tick in 0..2 * deadline {
            let is_over = tick >= deadline;
            let wrote = self.pass_calmly(&mut state, turns);
            let site = truth(state.failovers);
            let is_it = Site::ALL
                .iter()
                .all(|one| (state.group[*one as usize] == Place::Registered) == (*one == site));
            if state.broken.is_some() {
                return true;
            }
            if is_over && (wrote || !is_it) {
                return false;
            }
        }
        true
    }

    /// Lets everything be done that a process has called for.
    fn carry_out(&self, state: &mut State, number: usize) -> bool {
        let calls = std::mem::take(&mut state.processes[number].calls);
        for (write, call) in WRITES.into_iter().zip(calls).filter(|(_, call)| call.is_there()) {
            self.write(state, write, call.sites);
            let process = &mut state.processes[number];
            (process.mind, _) = self.minds.turn(process.mind, Event::Done(write, call.sites));
        }
        calls.iter().any(|call| call.is_there())
    }

    fn pass_calmly(&self, state: &mut State, turns: Turns) -> bool {
        let mut wrote = false;
        for number in 0..2 {
            let process = &mut state.processes[number];
            let said = Event::Look(Word::Site(truth(state.failovers)));
            (process.mind, _) = self.minds.turn(process.mind, said);
        }
        let order = if turns == Turns::SecondFirst { [1, 0] } else { [0, 1] };
        let before = state.group;
        for number in order {
            if turns == Turns::Together {
                self.decide(state, number, Some(before));
            } else {
                self.decide(state, number, Some(state.group));
                wrote |= self.carry_out(state, number);
            }
        }
        for number in order {
            wrote |= self.carry_out(state, number);
        }
        for process in &mut state.processes {
            (process.mind, _) = self.minds.turn(process.mind, Event::Tick);
        }
        wrote
    }

    fn process_actions(&self, state: &State, number: usize, actions: &mut Vec<Action>) {
        let process = &state.processes[number];
        if !process.has_looked {
            for heard in process.heard..=state.failovers {
                let site = truth(heard);
                actions.push(Action::Look(number, heard, Word::Site(site)));
                if self.bounds.is_illegal {
                    actions.push(Action::Look(number, heard, Word::WithIllegal(site)));
                }
            }
            if !self.minds.is_blind(process.mind) {
                actions.push(Action::Look(number, process.heard, Word::Nothing));
            }
            if self.bounds.is_illegal {
                actions.push(Action::Look(number, process.heard, Word::Illegal));
            }
        }
        let waits = process.calls.iter().any(|call| call.is_there());
        if process.has_looked && !process.has_listed && !waits {
            actions.extend([Action::Step(number), Action::StepBlindly(number)]);
        }
        let calls = WRITES.into_iter().zip(process.calls);
        for (write, _) in calls.filter(|(_, call)| call.is_there()) {
            actions.extend([
                Action::Lands(number, write),
                Action::LandsUnheard(number, write),
                Action::Lost(number, write),
            ]);
        }
        let strays = WRITES.into_iter().zip(process.strays);
        for (write, _) in strays.filter(|(_, call)| call.is_there()) {
            actions.extend([Action::StrayLands(number, write), Action::StrayLost(number, write)]);
        }
        let is_new = process.mind == NEW && !waits;
        let has_strays = process.strays.iter().any(|call| call.is_there());
        if !(is_new || has_strays && waits) {
            actions.push(Action::Crash(number));
        }
        if self.bounds.is_slow && waits && !has_strays {
            actions.push(Action::GivesUp(number));
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let places = [Place::Absent, Place::Registered, Place::Draining];
        let process = Process {
            mind: NEW,
            heard: 0,
            has_looked: false,
            has_listed: false,
            calls: Calls::default(),
            strays: Calls::default(),
        };
        let state = |group| State {
            failovers: 0,
            ages: [0; FAILOVERS_MAX],
            group,
            processes: [process; 2],
            broken: None,
        };
        let groups = places.into_iter().flat_map(|a| places.map(|b| [a, b]));
        groups.map(state).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        if state.failovers < self.bounds.failovers {
            actions.push(Action::FailOver);
        }
        for number in 0..2 {
            self.process_actions(state, number, actions);
        }
        let drains = |site: &Site| state.group[*site as usize] == Place::Draining;
        actions.extend(Site::ALL.into_iter().filter(drains).map(Action::Drained));
        if self.may_tick(state) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut state = *state;
        match action {
            Action::FailOver => {
                state.ages[usize::from(state.failovers)] = 0;
                state.failovers += 1;
            }
            Action::Look(number, heard, word) => {
                let process = &mut state.processes[number];
                (process.mind, _) = self.minds.turn(process.mind, Event::Look(word));
                (process.heard, process.has_looked) = (heard, true);
            }
            Action::Step(number) | Action::StepBlindly(number) => {
                let group = matches!(action, Action::Step(_)).then_some(state.group);
                state.processes[number].has_listed = true;
                self.decide(&mut state, number, group);
            }
            Action::Lands(number, write) | Action::LandsUnheard(number, write) => {
                let process = &mut state.processes[number];
                let call = std::mem::take(&mut process.calls[write as usize]);
                if matches!(action, Action::Lands(..)) {
                    (process.mind, _) = self.minds.turn(process.mind, Event::Done(write, call.sites));
                }
                self.write(&mut state, write, call.sites);
            }
            Action::Lost(number, write) => state.processes[number].calls[write as usize] = Call::default(),
            Action::StrayLands(number, write) => {
                let call = std::mem::take(&mut state.processes[number].strays[write as usize]);
                self.write(&mut state, write, call.sites);
            }
            Action::StrayLost(number, write) => state.processes[number].strays[write as usize] = Call::default(),
            Action::Crash(number) => {
                let process = &mut state.processes[number];
                process.give_up();
                (process.mind, process.has_looked) = (NEW, false);
            }
            Action::GivesUp(number) => state.processes[number].give_up(),
            Action::Drained(site) => state.group[site as usize] = Place::Absent,
            Action::Tick => self.tick(&mut state),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties()
    }
}

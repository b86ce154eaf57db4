//! How a target group or a proxy is, in one word of three, and how many are how.

use std::fmt;

use crate::planner::protocol::carries;
use crate::telemetry::document::{Document, Group, Lead, Place, Proxy};

/// How something is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Somebody should look: something failed, is denied or refused, or serves nobody.
    Trouble,
    /// A change is under way, or time has to pass.
    Waiting,
    /// As it should be.
    Well,
}

impl State {
    /// All of them, the worst first.
    pub const ALL: [Self; 3] = [Self::Trouble, Self::Waiting, Self::Well];

    /// How a target group of a document is, by what the members of its databases say, too.
    pub fn of(document: &Document, group: &Group) -> Self {
        let follows = |lead: &Lead| group.endpoints.iter().any(|sighted| sighted.endpoint == lead.endpoint);
        match document.leads.iter().any(|lead| lead.is_trouble && follows(lead)) {
            true => Self::Trouble,
            false => Self::of_group(group),
        }
    }

    /// How a target group is by itself. A process of an older version says nothing of trouble but what failed.
    fn of_group(group: &Group) -> Self {
        let is_unfit = group
            .protocol
            .as_ref()
            .is_some_and(|protocol| carries(&protocol.0).is_err());
        let is_trouble = group.is_trouble || group.nothing_serves.is_some() || !group.errors.is_empty() || is_unfit;
        match (is_trouble, group.settled) {
            (true, _) => Self::Trouble,
            (false, true) => Self::Well,
            (false, false) => Self::Waiting,
        }
    }

    /// How a proxy is. Of one whose own process alone knows, nothing bad is known.
    pub fn of_proxy(proxy: &Proxy) -> Self {
        match (proxy.ready, proxy.counts.map_or(0, |counts| counts.held)) {
            (Some(false), _) => Self::Trouble,
            (None, _) | (Some(true), 1..) => Self::Waiting,
            (Some(true), 0) => Self::Well,
        }
    }

    /// How a place is where target groups are looked for: what is followed stays followed, so that only what is not is trouble.
    pub fn of_place(place: &Place) -> Self {
        let is_left_out = place.troubles.iter().any(|trouble| !trouble.is_followed);
        let is_unseen = place.tagged.is_none() && place.failure.is_some();
        match (is_left_out || is_unseen, place.is_well()) {
            (true, _) => Self::Trouble,
            (false, true) => Self::Well,
            (false, false) => Self::Waiting,
        }
    }

    /// The name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trouble => "trouble",
            Self::Waiting => "waiting",
            Self::Well => "well",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trouble => "in trouble",
            Self::Waiting => "waiting",
            Self::Well => "well",
        })
    }
}

/// How many are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals([usize; 3]);

impl Totals {
    /// Of so many.
    pub fn of(states: impl IntoIterator<Item = State>) -> Self {
        let mut totals = Self::default();
        for state in states {
            totals.0[state as usize] += 1;
        }
        totals
    }

    /// The target groups of a document; those that have not been looked at yet wait.
    pub fn of_groups(document: &Document) -> Self {
        let mut totals = Self::of(document.target_groups.iter().map(|group| State::of(document, group)));
        totals.0[State::Waiting as usize] += document.not_looked_at_yet.iter().flatten().count();
        totals
    }

    /// Its proxies.
    pub fn of_proxies(document: &Document) -> Self {
        Self::of(document.proxies.iter().flatten().map(State::of_proxy))
    }

    /// How many are so.
    pub fn count(&self, state: State) -> usize {
        self.0[state as usize]
    }

    /// How many there are.
    pub fn all(&self) -> usize {
        self.0.iter().sum()
    }

    /// How many are how, for people, without what none is.
    pub fn text(&self) -> String {
        let counts = State::ALL.into_iter().map(|state| (self.count(state), state));
        let counts = counts
            .filter(|(count, _)| *count > 0)
            .map(|(count, state)| format!("{count} {state}"));
        counts.collect::<Vec<_>>().join(", ")
    }
}

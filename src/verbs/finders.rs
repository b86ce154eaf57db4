//! Those who look for tagged target groups while `run` goes on, and what they have found.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::aws::arn::Arn;
use crate::aws::elb::Clients;
use crate::discover::{self, Fleet, Followed, Found, Trouble, Unseen};
use crate::follow::binding::Binding;
use crate::planner::time::Timestamp;
use crate::settings::{Discover, Settings};
use crate::telemetry::document::{self, Mistagged, Place, Text};

/// Looks that may wait to be taken.
const WAITING: usize = 16;

/// One for each place that is looked at, and what they have found.
pub struct Finders {
    fleet: Fleet,
    /// What is not as its tags say.
    troubles: Vec<Trouble>,
    all: Vec<Finder>,
    sender: mpsc::Sender<Found>,
    found: mpsc::Receiver<Found>,
}

/// Who looks at a place.
struct Finder {
    place: Discover,
    task: JoinHandle<()>,
    /// Whether it is known whose account that is, and so which budget its calls are drawn from.
    has_account: bool,
    is_failing: bool,
    last: Last,
}

/// What became of the last looks at a place.
#[derive(Clone, Default)]
struct Last {
    /// When one was good.
    looked: Option<Timestamp>,
    /// What failed, and since when no other was good.
    failure: Option<(Timestamp, Unseen)>,
}

impl Drop for Finder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Default for Finders {
    fn default() -> Self {
        let (sender, found) = mpsc::channel(WAITING);
        Self {
            fleet: Fleet::default(),
            troubles: Vec::new(),
            all: Vec::new(),
            sender,
            found,
        }
    }
}

impl Finders {
    /// Takes new settings: what was found at a place stays found.
    pub fn set(&mut self, places: &[Discover]) {
        self.fleet.set(places);
    }

    /// Sends one out to each place, in the place of those who were there.
    pub async fn send_out(&mut self, clients: &mut Clients) {
        let before = std::mem::take(&mut self.all);
        for place in self.fleet.places() {
            let known = before.iter().find(|finder| finder.place.looks_like(&place));
            let last = known.map(|finder| finder.last.clone()).unwrap_or_default();
            let finder = self.finder(place, last, Duration::ZERO, clients).await;
            self.all.push(finder);
        }
    }

    async fn finder(&self, place: Discover, last: Last, pause: Duration, clients: &mut Clients) -> Finder {
        let key = place.client_key(self.fleet.account(&place));
        let client = clients.of(&key).await;
        let known = self.fleet.known(&place);
        let look_for = discover::look_for(place.clone(), client, known, pause, self.sender.clone());
        Finder {
            place,
            task: tokio::spawn(look_for),
            has_account: !key.account.is_empty(),
            is_failing: false,
            last,
        }
    }

    /// The next look.
    pub async fn next(&mut self) -> Found {
        match self.found.recv().await {
            Some(found) => found,
            // There is always one who may send.
            None => std::future::pending().await,
        }
    }

    /// Takes a look that ended now; whether something can follow from it.
    pub async fn take(&mut self, (place, swept): Found, clients: &mut Clients, now: Timestamp) -> bool {
        let Some(at) = self.all.iter().position(|finder| finder.place == place) else {
            // The settings have changed meanwhile.
            return false;
        };
        let was_failing = std::mem::replace(&mut self.all[at].is_failing, swept.is_err());
        let swept = match swept {
            Ok(swept) => swept,
            Err(failure) => {
                let unseen = Unseen::at(&place, failure);
                match was_failing {
                    false => warn!("{unseen}; what is followed stays followed"),
                    true => debug!("{unseen}"),
                }
                let last = &mut self.all[at].last;
                let since = last.failure.as_ref().map_or(now, |(since, _)| *since);
                last.failure = Some((since, unseen));
                return false;
            }
        };
        self.all[at].last = Last {
            looked: Some(now),
            failure: None,
        };
        let is_first = self.fleet.tagged(&place).is_none();
        self.fleet.note(&place, swept);
        if is_first || was_failing {
            let count = self.fleet.tagged(&place).unwrap_or_default();
            let groups = if count == 1 { "target group" } else { "target groups" };
            info!("{count} tagged {groups} in {}", place.name());
        }
        if !self.all[at].has_account && self.fleet.account(&place).is_some() {
            let last = self.all[at].last.clone();
            self.all[at] = self.finder(place.clone(), last, place.every, clients).await;
        }
        true
    }

    /// What is to be followed, where `in_force` is what is followed now. What is not as its tags say is told once.
    pub fn followed(&mut self, settings: &Settings, in_force: &BTreeMap<&Arn, &Binding>) -> Vec<Binding> {
        let Followed { bindings, troubles } = self.fleet.followed(settings, in_force);
        for trouble in troubles.iter().filter(|trouble| !self.troubles.contains(trouble)) {
            warn!("{trouble}");
        }
        self.troubles = troubles;
        bindings
    }

    /// How it is at each place, where `is_followed` says what is followed now.
    pub fn places(&self, is_followed: impl Fn(&Arn) -> bool) -> Vec<Place> {
        let place = |finder: &Finder| {
            let (place, last) = (&finder.place, &finder.last);
            let known = self.fleet.known(place);
            let troubles = self.troubles.iter().filter(|trouble| known.contains(&trouble.arn));
            Place {
                region: Text::of(&place.region),
                role: place.assume_role.as_ref().map(|role| Text::of(&role.arn)),
                account: Some(place.client_key(self.fleet.account(place)).account)
                    .filter(|account| !account.is_empty())
                    .map(Text::of),
                looked: last.looked,
                tagged: self.fleet.tagged(place).map(|_| known.len()),
                followed: known.iter().filter(|arn| is_followed(arn)).count(),
                failure: last.failure.as_ref().map(|(since, unseen)| document::Unseen {
                    since: Some(*since),
                    text: Text::of(unseen),
                }),
                troubles: troubles.map(mistagged).collect(),
            }
        };
        self.all.iter().map(place).collect()
    }

    /// What is not well, for a summary.
    pub fn troubles(&self) -> Vec<String> {
        let bad = match self.troubles.len() {
            0 => None,
            1 => Some("1 target group is not as its tags say".to_owned()),
            many => Some(format!("{many} target groups are not as their tags say")),
        };
        let failing = self.all.iter().filter(|finder| finder.is_failing);
        let failing =
            failing.map(|finder| format!("tagged target groups of {} cannot be looked for", finder.place.name()));
        bad.into_iter().chain(failing).collect()
    }
}

fn mistagged(trouble: &Trouble) -> Mistagged {
    Mistagged {
        arn: Text::of(&trouble.arn),
        name: Text::of(trouble.arn.name()),
        text: Text::of(trouble.told()),
        is_followed: trouble.is_followed,
    }
}

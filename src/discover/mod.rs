//! Target groups that are found by their tags: looking for them, and what is followed because of what was found.
//!
//! A look for them is good as a whole or not at all: while AWS denies one, throttles it or does not answer, everything is followed as
//! before. A tag that is gone ends the following, and changes nothing in its group. Tags that cannot be read hold their group alone.

pub mod fleet;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

pub use fleet::{Fleet, Followed, Trouble};
pub use sweep::{Swept, sweep};

use crate::aws::arn::Arn;
use crate::aws::elb::{Client, Clients, remedy_of};
use crate::aws::failure::Failure;
use crate::exit::Exit;
use crate::settings::{Discover, Settings};

/// How long a place is not looked at after a look that failed; twice as long after each more, up to as long as after a good one.
const AGAIN: Duration = Duration::from_secs(15);

/// A look for target groups that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; {}", self.what(), self.remedy())]
pub struct Unseen {
    /// The region, and the role if there is one.
    pub place: String,
    /// Why.
    pub failure: Failure,
}

impl Unseen {
    /// What it was at a place.
    pub fn at(place: &Discover, failure: Failure) -> Self {
        let place = place.name();
        Self { place, failure }
    }

    /// The exit code that it stands for.
    pub fn exit(&self) -> Exit {
        self.failure.kind.exit()
    }

    /// What failed.
    pub fn what(&self) -> String {
        format!(
            "cannot look for tagged target groups in {}: {}",
            self.place, self.failure
        )
    }

    /// How to mend it.
    pub fn remedy(&self) -> String {
        remedy_of(&self.failure)
    }
}

/// What a look at a place came to.
pub type Found = (Discover, Result<Swept, Failure>);

/// Looks at a place again and again, for as long as somebody listens; `known` is what was found there before.
pub async fn look_for(
    place: Discover,
    client: Client,
    mut known: BTreeSet<Arn>,
    pause: Duration,
    listener: mpsc::Sender<Found>,
) {
    sleep(pause).await;
    let mut again = AGAIN;
    loop {
        let swept = sweep(&client, known.clone()).await;
        if let Ok(swept) = &swept {
            known = fleet::known(swept);
        }
        let pause = match &swept {
            Ok(_) => place.every,
            Err(_) => again.min(place.every),
        };
        again = if swept.is_ok() { AGAIN } else { pause * 2 };
        if listener.send((place.clone(), swept)).await.is_err() {
            return;
        }
        sleep(pause).await;
    }
}

/// One look at each of these places, all at the same time and until `end` at most; `limit` names what sets that.
pub async fn look_at(
    places: &[Discover],
    fleet: &Fleet,
    clients: &mut Clients,
    (end, limit): (Instant, &'static str),
) -> Vec<Found> {
    let mut looks = JoinSet::new();
    for (index, place) in places.iter().cloned().enumerate() {
        let client = clients.of(&place.client_key(fleet.account(&place))).await;
        let known = fleet.known(&place);
        looks.spawn(async move {
            let late = |_| Failure::late("DescribeTags", limit);
            let swept = timeout_at(end, sweep(&client, known)).await.map_err(late).flatten();
            (index, (place, swept))
        });
    }
    let mut found = looks.join_all().await;
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, found)| found).collect()
}

/// The settings with what is found by its tags now, and what of it is not as its tags say.
///
/// # Errors
/// The first place that could not be looked at within `limit`.
pub async fn find_all(
    settings: Settings,
    clients: &mut Clients,
    limit: Duration,
) -> Result<(Settings, Vec<Trouble>), Unseen> {
    let mut fleet = Fleet::default();
    fleet.set(&settings.discover);
    let end = (Instant::now() + limit, "--timeout");
    for (place, swept) in look_at(&settings.discover, &fleet, clients, end).await {
        fleet.note(&place, swept.map_err(|failure| Unseen::at(&place, failure))?);
    }
    let Followed { bindings, troubles } = fleet.followed(&settings, &BTreeMap::new());
    Ok((Settings { bindings, ..settings }, troubles))
}

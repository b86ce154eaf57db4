//! Target groups that the function follows because of their tags: found at the first invocation, and again when that is long ago or a
//! tag has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::aws::elb::Clients;
use rds_tether::discover::{Fleet, Unseen, look_at};
use rds_tether::follow::binding::Binding;
use rds_tether::planner::time::Timestamp;
use rds_tether::settings::{Discover, Settings};
use tokio::time::Instant;
use tracing::warn;

/// What was found, and when it was last looked for. It lives as long as the process.
#[derive(Default)]
pub struct Tagged {
    fleet: Fleet,
    looked: Vec<(Discover, Timestamp)>,
    followed: Vec<Arc<Binding>>,
}

impl Tagged {
    /// What is to be followed now. Places that were looked at long ago are looked at anew only if there is leisure: what was found before
    /// has to be followed first. All are if `are_new` says that tags have changed. Where a look fails, what was found before goes on, and the
    /// next look comes when one is due; with it come the places of which nothing is known.
    pub async fn followed(
        &mut self,
        settings: &Settings,
        clients: &mut Clients,
        (are_new, has_leisure): (bool, bool),
        now: Timestamp,
        limit: Duration,
    ) -> (Vec<Arc<Binding>>, Vec<Unseen>) {
        if settings.discover.is_empty() {
            return (settings.bindings.iter().cloned().map(Arc::new).collect(), Vec::new());
        }
        self.fleet.set(&settings.discover);
        let last = |place: &Discover| {
            self.looked
                .iter()
                .find(|(looked, _)| looked == place)
                .map(|(_, at)| *at)
        };
        let is_due = |place: &&Discover| match last(place) {
            None => true,
            Some(at) => are_new || has_leisure && now.since(at) >= place.every,
        };
        let due: Vec<Discover> = settings.discover.iter().filter(is_due).cloned().collect();
        let end = (Instant::now() + limit, "the time of this invocation");
        let mut unknown = Vec::new();
        for (place, swept) in look_at(&due, &self.fleet, clients, end).await {
            let was_looked_at = self.looked.iter().any(|(looked, _)| *looked == place);
            match swept {
                Ok(swept) => self.fleet.note(&place, swept),
                Err(failure) => {
                    let unseen = Unseen::at(&place, failure);
                    warn!("{unseen}; what was followed stays followed");
                    if !was_looked_at {
                        // It is looked at again at once.
                        unknown.push(unseen);
                        continue;
                    }
                }
            }
            self.looked.retain(|(looked, _)| *looked != place);
            self.looked.push((place, now));
        }
        let in_force: BTreeMap<&Arn, &Binding> =
            self.followed.iter().map(|binding| (&binding.arn, &**binding)).collect();
        let followed = self.fleet.followed(settings, &in_force);
        for trouble in followed.troubles {
            warn!("{trouble}");
        }
        self.followed = followed.bindings.into_iter().map(Arc::new).collect();
        (self.followed.clone(), unknown)
    }
}

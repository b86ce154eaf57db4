//! Target groups that the function follows because of their tags: found at the first invocation, and again when that is long ago or a
//! tag has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::aws::elb::Clients;
use rds_tether::aws::failure::Failure;
use rds_tether::discover::{Fleet, Unseen, sweep};
use rds_tether::follow::binding::Binding;
use rds_tether::planner::time::Timestamp;
use rds_tether::settings::{Discover, Settings};
use tokio::time::timeout;
use tracing::warn;

/// What was found, and when. It lives as long as the process.
#[derive(Default)]
pub struct Tagged {
    fleet: Fleet,
    looked: Vec<(Discover, Timestamp)>,
    followed: Vec<Arc<Binding>>,
}

impl Tagged {
    /// What is to be followed now. Places that were looked at long ago are looked at anew only if there is leisure: what was found before
    /// has to be followed first. All are if `are_new` says that tags have changed. Where a look fails, what was found before goes on; with
    /// it come the places of which nothing is known.
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
        let mut unknown = Vec::new();
        for place in &settings.discover {
            let last = self
                .looked
                .iter()
                .find(|(looked, _)| looked == place)
                .map(|(_, at)| *at);
            if !are_new && last.is_some_and(|at| !has_leisure || now.since(at) < place.every) {
                continue;
            }
            let client = clients.of(&place.client_key(self.fleet.account(place))).await;
            let late = |_| Failure::late("DescribeTags", "the time of this invocation");
            match timeout(limit, sweep(&client)).await.map_err(late).flatten() {
                Ok(swept) => {
                    self.fleet.note(place, swept);
                    self.looked.retain(|(looked, _)| looked != place);
                    self.looked.push((place.clone(), now));
                }
                Err(failure) => {
                    let unseen = Unseen::at(place, failure);
                    warn!("{unseen}; what was followed stays followed");
                    unknown.extend(last.is_none().then_some(unseen));
                }
            }
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

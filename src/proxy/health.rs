//! Whether the proxy is a place to send clients to: it is as long as its database accepts connections.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::Proxy;
use super::shared::{Phase, Shared, Tally};
use super::standing::FRESH;
use crate::planner::endpoint::Endpoint;
use crate::text::join;

/// A probe that is on its way when health is asked for is waited for this long.
const SLACK: Duration = Duration::from_secs(5);

/// A proxy as a load balancer sees it.
#[derive(Clone)]
pub struct View {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl View {
    pub(super) fn new(address: SocketAddr, shared: &Arc<Shared>) -> Self {
        let shared = Arc::clone(shared);
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint that it follows.
    pub fn endpoint(&self) -> Endpoint {
        self.shared.endpoint()
    }

    /// The settings that it goes by.
    pub fn settings(&self) -> Arc<Proxy> {
        Arc::clone(&self.shared.settings.borrow())
    }

    /// Connections and bytes so far.
    pub fn tally(&self) -> Tally {
        self.shared.counts.tally()
    }

    /// The addresses that clients are connected to; none before the first answer.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.shared.route.borrow().addresses.to_vec()
    }

    /// Whether clients are to be sent to it, and why.
    pub fn ready(&self) -> Result<String, String> {
        ready(&self.shared)
    }

    /// Whether the name servers have differed for too long, and whether the name gives several addresses in turn.
    pub fn doubts(&self) -> (bool, bool) {
        let route = self.shared.route.borrow();
        (route.is_disputed, route.is_rotating)
    }
}

/// Whether clients are to be sent here; else why not. A failure of DNS alone is no reason: the sessions are good.
fn ready(shared: &Shared) -> Result<String, String> {
    if *shared.phase.borrow() != Phase::Open {
        return Err("stopping".into());
    }
    let route = shared.route.borrow();
    if route.addresses.is_empty() {
        return Err(route.nowhere());
    }
    let addresses = join(&route.addresses);
    let now = shared.clock.now();
    let probes = shared.settings.borrow().probes;
    let (interval, last, why) = (shared.health).with(|known| {
        let why = route.addresses.iter().find_map(|ip| known.why(*ip));
        (
            probes.interval(known.readiness()),
            known.last(&route),
            why.map(str::to_owned),
        )
    });
    let since = last.map(|last| now.since(last));
    // What has failed since is not waited for.
    let fresh = interval
        .filter(|_| why.is_none())
        .map_or(FRESH, |interval| FRESH.max(interval + SLACK));
    let doubt = match (route.refusals(), route.is_disputed, route.is_rotating) {
        (Some(refusals), ..) => format!("; no address that DNS names now may be connected to ({refusals})"),
        (_, true, _) => "; the name servers have differed for too long".into(),
        (_, false, true) => "; the name gives several addresses in turn".into(),
        (_, false, false) => String::new(),
    };
    match (since, why) {
        (Some(since), _) if since <= fresh => Ok(format!(
            "{addresses} accepted a connection {} s ago{doubt}",
            since.as_secs()
        )),
        // Nobody asks, so nothing but a failure says that it is not.
        (_, None) if interval.is_none() => Ok(format!(
            "{addresses} has not failed a connection; probe_interval is never{doubt}"
        )),
        (since, why) => {
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            Err(match since {
                Some(since) => format!("{addresses} has accepted no connection for {} s{why}", since.as_secs()),
                None => format!("{addresses} has not accepted a connection yet{why}"),
            })
        }
    }
}

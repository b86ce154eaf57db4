//! Whether the proxy is a place to send clients to: it is as long as its database accepts connections.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::route::Route;
use super::shared::{Phase, Shared, Tally};
use super::socket;
use crate::planner::endpoint::Endpoint;
use crate::text::join;

/// An acceptance counts for so long.
const FRESH: Duration = Duration::from_secs(15);
/// Without sessions, the database is connected to this often, and no more often if it fails.
const PROBE_APART: Duration = Duration::from_secs(10);
/// How long a probe may take; it ends before the last acceptance counts no more.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
const _: () = assert!(PROBE_APART.as_secs() + PROBE_TIMEOUT.as_secs() < FRESH.as_secs());

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
        return Err("the name has not been resolved yet".into());
    }
    let addresses = join(&route.addresses);
    let since = shared.health.last(&route).map(|last| shared.clock.now().since(last));
    match since {
        Some(since) if since <= FRESH => {
            let doubt = match (route.is_disputed, route.is_rotating) {
                (true, _) => "; the name servers have differed for too long",
                (false, true) => "; the name gives several addresses in turn",
                (false, false) => "",
            };
            Ok(format!(
                "{addresses} accepted a connection {} s ago{doubt}",
                since.as_secs()
            ))
        }
        Some(since) => Err(format!(
            "{addresses} has accepted no connection for {} s",
            since.as_secs()
        )),
        None => Err(format!("{addresses} has not accepted a connection yet")),
    }
}

/// Connects to the database whenever no session has done so for long, so that health is known without sessions.
pub(super) async fn probe(shared: &Shared, mut is_wanted: watch::Receiver<bool>) {
    let mut route = shared.route.clone();
    while is_wanted.wait_for(|is_wanted| *is_wanted).await.is_ok() {
        let probed = route.borrow_and_update().addresses.clone();
        let at = shared.clock.now();
        for ip in &probed {
            if probe_one(shared, *ip).await {
                break;
            }
        }
        let is_unknown = |route: &Arc<Route>| route.addresses != probed && shared.health.last(route).is_none();
        loop {
            // Each session that reaches the database puts the next probe off.
            let last = shared.health.last(&shared.route.borrow());
            let next = last.map_or(at, |last| last.max(at)) + PROBE_APART;
            if next <= shared.clock.now() {
                break;
            }
            tokio::select! {
                () = sleep_until(shared.clock.instant(next)) => {}
                changed = route.wait_for(is_unknown) => match changed {
                    Ok(_) => break,
                    Err(_) => return,
                },
            }
        }
    }
}

async fn probe_one(shared: &Shared, ip: IpAddr) -> bool {
    let address = SocketAddr::new(ip, shared.endpoint().port());
    let failure = match timeout(PROBE_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) if socket::is_lack(&error) => {
            shared.lacks(&error, "are refused");
            return false;
        }
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("no answer in time".into()),
    };
    // Of an address that is no longer the endpoint's nothing is to be said.
    if shared.route.borrow().names(ip) {
        match &failure {
            None => shared.accepted(ip),
            Some(why) => shared.refused(ip, why),
        }
    }
    failure.is_none()
}

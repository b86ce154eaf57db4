//! Whether the proxy is a place to send clients to: it is as long as its database accepts connections.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tracing::{info, warn};

use super::route::Route;
use super::{Phase, Shared, Tally, dial};
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::time::Timestamp;
use crate::text::join;

/// An acceptance counts for so long.
const FRESH: Duration = Duration::from_secs(15);
/// Without sessions, the database is connected to this often, and no more often if it fails.
const PROBE_APART: Duration = Duration::from_secs(10);
/// How long a probe may take; it ends before the last acceptance counts no more.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
const _: () = assert!(PROBE_APART.as_secs() + PROBE_TIMEOUT.as_secs() < FRESH.as_secs());

/// When the current address accepted a connection.
#[derive(Debug, Default)]
pub struct Health {
    /// The latest.
    accepted: Mutex<Option<(IpAddr, Timestamp)>>,
    /// Addresses that did not accept the latest connection to them.
    failing: Mutex<BTreeSet<IpAddr>>,
    /// There are some.
    is_failing: AtomicBool,
}

impl Health {
    /// Another address: its failures are news.
    pub fn forget_failures(&self) {
        self.with_failing(BTreeSet::clear);
    }

    fn with_failing<T>(&self, f: impl FnOnce(&mut BTreeSet<IpAddr>) -> T) -> T {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut failing);
        self.is_failing.store(!failing.is_empty(), Ordering::Relaxed);
        result
    }

    /// When an address of the route last accepted a connection. Each answer for a reader is another member, so what one of
    /// them accepted speaks for all.
    fn last(&self, route: &Route) -> Option<Timestamp> {
        let accepted = *self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        let (ip, at) = accepted?;
        (route.role == Role::Reader || route.names(ip)).then_some(at)
    }
}

/// The current address accepted a connection.
pub(super) fn accepted(shared: &Shared, ip: IpAddr) {
    let health = &shared.health;
    *health.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some((ip, shared.clock.now()));
    if health.is_failing.load(Ordering::Relaxed) && health.with_failing(|failing| failing.remove(&ip)) {
        info!(endpoint = %shared.endpoint(), "{ip} accepts connections");
    }
}

/// An address did not accept a connection. The first of a row of failures is logged, and DNS is looked at.
pub(super) fn refused(shared: &Shared, ip: IpAddr, why: &str) {
    if shared.health.with_failing(|failing| failing.insert(ip)) {
        let meanwhile = match shared.route.borrow().addresses.len() {
            0 | 1 => "clients are refused until it does, or DNS names another address",
            _ => "clients are connected to the others",
        };
        warn!(endpoint = %shared.endpoint(), "{ip} does not accept connections ({why}); {meanwhile}");
    }
    shared.doubt.notify_one();
}

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

    /// What it follows.
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
        Some(since) if since <= FRESH => Ok(format!("{addresses} accepted a connection {} s ago", since.as_secs())),
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
        Ok(Err(error)) if dial::is_lack(&error) => {
            shared.lacks(&error, "are refused");
            return false;
        }
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("no answer in time".into()),
    };
    // Of an address that is no longer the endpoint's nothing is to be said.
    if shared.route.borrow().names(ip) {
        match &failure {
            None => accepted(shared, ip),
            Some(why) => refused(shared, ip, why),
        }
    }
    failure.is_none()
}

//! A node of a Network Load Balancer: it carries connections to the targets of a group of the simulated ELB, and checks their health.
//!
//! What it does is what the Network Load Balancers guide says of TCP listeners and target groups of type ip ("Target group attributes",
//! "Target group health", "Health checks"):
//!
//! - A connection belongs to one target for its life, chosen by a hash of its addresses and ports. Targets that are healthy are chosen
//!   from; if none is, all that are registered (fail open), whatever becomes of it; if nothing is registered, it is reset.
//! - A target that is deregistered gets no new connection. Those it has go on until it is gone from the list, and after that, unless
//!   `deregistration_delay.connection_termination.enabled` is true: then they are reset.
//! - Connections to a target are reset when it becomes unhealthy, unless `target_health_state.unhealthy.connection_termination.enabled`
//!   is false. Those that are made while it is unhealthy stay.
//! - A registered target is checked by connections to its port. So many failures in a row make it unhealthy, so many successes healthy,
//!   which is what DescribeTargetHealth then says of it.
//!
//! How long a registration takes is the group's own ([`Group`](crate::elb::Group)). Not modelled: the idle time-out, preserved
//! addresses, zonal shift, and that a real balancer refuses a connection only when its target does: here it is taken first, and reset then.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::background::Background;
use crate::elb::{self, TargetView};

/// What is carried at once.
const BUFFER_BYTES: usize = 16 << 10;

/// How targets are checked.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// From one check to the next.
    pub every: Duration,
    /// How long an answer may take; no longer than `every`.
    pub timeout: Duration,
    /// Successes in a row that make a target healthy.
    pub healthy: u32,
    /// Failures in a row that make it unhealthy.
    pub unhealthy: u32,
}

/// What a node has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that were given to a target.
    pub given: u64,
    /// Those of them that were given while no target was healthy.
    pub given_open: u64,
    /// Connections for which there was no target.
    pub refused: u64,
    /// Connections that were reset because their target had become unhealthy, or was gone.
    pub terminated: u64,
    /// Health checks.
    pub checks: u64,
    /// Bytes, both ways.
    pub bytes: u64,
}

/// A running node; it ends, and resets its connections, when this is dropped.
#[derive(Debug)]
pub struct Node {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: Background,
}

#[derive(Debug)]
struct Shared {
    elb: Arc<elb::Server>,
    arn: String,
    zone: String,
    listens: SocketAddr,
    checks: Checks,
    state: Mutex<State>,
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    next: u64,
    flows: BTreeMap<u64, Flow>,
    /// Of each target that is registered: whether the latest checks succeeded, and how many in a row.
    verdicts: BTreeMap<SocketAddr, (bool, u32)>,
    unhealthy: BTreeSet<SocketAddr>,
}

#[derive(Debug)]
struct Flow {
    target: SocketAddr,
    end: Arc<Notify>,
}

impl Node {
    /// A node in a zone that listens at an address, before the targets of a group.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn start(elb: Arc<elb::Server>, arn: &str, zone: &str, listen: SocketAddr, checks: Checks) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            elb,
            arn: arn.to_owned(),
            zone: zone.to_owned(),
            listens: address,
            checks,
            state: Mutex::default(),
            bytes: AtomicU64::new(0),
        });
        let serving = {
            let shared = Arc::clone(&shared);
            move || async move {
                let listener = TcpListener::from_std(listener).expect("a bound socket is taken");
                tokio::select! {
                    () = accept(listener, &shared) => {}
                    () = watch(&shared) => {}
                }
            }
        };
        Ok(Self {
            address,
            shared,
            _serving: Background::serve("nlb", serving)?,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done so far.
    pub fn tally(&self) -> Tally {
        let tally = self.shared.state().tally;
        let bytes = self.shared.bytes.load(Ordering::Relaxed);
        Tally { bytes, ..tally }
    }

    /// How many connections each target has now.
    pub fn flows(&self) -> BTreeMap<SocketAddr, usize> {
        let mut counted = BTreeMap::new();
        for flow in self.shared.state().flows.values() {
            *counted.entry(flow.target).or_default() += 1;
        }
        counted
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The target of a new connection, if there is one.
    fn choose(&self, from: SocketAddr) -> Option<(u64, SocketAddr, Arc<Notify>)> {
        let takers = self.elb.model(|model, now| model.takers(&self.arn, &self.zone, now));
        let mut state = self.state();
        let sum = hash(&format!("{from} {}", self.listens));
        let index = sum
            .checked_rem(takers.len() as u64)
            .and_then(|index| usize::try_from(index).ok());
        let Some(target) = index.and_then(|index| address(&takers[index])) else {
            state.tally.refused += 1;
            return None;
        };
        state.tally.given += 1;
        state.tally.given_open += u64::from(takers.iter().all(|taker| taker.state != "healthy"));
        let (id, end) = (state.next, Arc::new(Notify::new()));
        state.next += 1;
        let flow = Flow {
            target,
            end: Arc::clone(&end),
        };
        state.flows.insert(id, flow);
        Some((id, target, end))
    }

    /// Takes note of a check of a target that is registered, and lets ELB know when it has decided something.
    fn checked(&self, target: SocketAddr, is_well: bool) {
        let mut state = self.state();
        state.tally.checks += 1;
        let Some((was_well, in_a_row)) = state.verdicts.get_mut(&target) else {
            return;
        };
        *in_a_row = if *was_well == is_well { *in_a_row + 1 } else { 1 };
        *was_well = is_well;
        let in_a_row = *in_a_row;
        drop(state);
        let ip = target.ip().to_string();
        if is_well && in_a_row == self.checks.healthy {
            self.elb.mark_alive(&ip);
        } else if !is_well && in_a_row == self.checks.unhealthy {
            self.elb.mark_dead(&ip);
        }
    }

    /// Looks at the list of targets: those that are to be checked.
    fn look(&self) -> Vec<SocketAddr> {
        let (targets, on_deregistration, on_unhealthy) = self.elb.model(|model, now| {
            let is = |key: &str| {
                let value = model.group(&self.arn).and_then(|group| group.attributes.get(key));
                value.map(|value| value == "true")
            };
            (
                model.targets(&self.arn, now),
                is("deregistration_delay.connection_termination.enabled").unwrap_or(false),
                is("target_health_state.unhealthy.connection_termination.enabled").unwrap_or(true),
            )
        });
        let of = |is_wanted: &dyn Fn(&str) -> bool| -> BTreeSet<SocketAddr> {
            let wanted = targets.iter().filter(|target| is_wanted(&target.state));
            wanted.filter_map(address).collect()
        };
        let (listed, registered) = (of(&|_| true), of(&|state| state != "draining"));
        let unhealthy = of(&|state| state == "unhealthy");
        let mut state = self.state();
        let state = &mut *state;
        state.verdicts.retain(|target, _| registered.contains(target));
        for target in &registered {
            state.verdicts.entry(*target).or_default();
        }
        for flow in state.flows.values() {
            let is_gone = on_deregistration && !listed.contains(&flow.target);
            let has_failed =
                on_unhealthy && unhealthy.contains(&flow.target) && !state.unhealthy.contains(&flow.target);
            if is_gone || has_failed {
                flow.end.notify_one();
            }
        }
        state.unhealthy = unhealthy;
        registered.into_iter().collect()
    }
}

fn address(target: &TargetView) -> Option<SocketAddr> {
    Some((target.ip.parse::<std::net::IpAddr>().ok()?, target.port).into())
}

/// FNV-1a, and the finish of MurmurHash3: ports that follow one another must not lead to targets that do.
fn hash(text: &str) -> u64 {
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let sum = (sum ^ (sum >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    sum ^ (sum >> 33)
}

async fn accept(listener: TcpListener, shared: &Arc<Shared>) {
    loop {
        // What fails here is one connection that was given up before it was accepted.
        let Ok((client, from)) = listener.accept().await else {
            continue;
        };
        let _ = client.set_nodelay(true);
        let Some((id, target, end)) = shared.choose(from) else {
            let _ = client.set_zero_linger();
            continue;
        };
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            if carry(client, target, &shared.bytes, &end).await {
                shared.state().tally.terminated += 1;
            }
            shared.state().flows.remove(&id);
        });
    }
}

/// Carries a connection until both sides have ended it, one of them has reset it, or it is terminated, which is told: then both are
/// reset.
async fn carry(mut client: TcpStream, target: SocketAddr, bytes: &AtomicU64, end: &Notify) -> bool {
    let connected = tokio::select! {
        biased;
        () = end.notified() => None,
        connected = unless_gone(&client, TcpStream::connect(target)) => Some(connected),
    };
    let Some(Some(Ok(mut server))) = connected else {
        let _ = client.set_zero_linger();
        return connected.is_none();
    };
    let _ = server.set_nodelay(true);
    let carried = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            tokio::try_join!(
                one_way(from_client, to_server, bytes),
                one_way(from_server, to_client, bytes)
            )
        };
        tokio::select! {
            biased;
            () = end.notified() => None,
            carried = both => Some(carried),
        }
    };
    if !matches!(carried, Some(Ok(_))) {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
    carried.is_none()
}

/// What connecting comes to; none if the client leaves before.
async fn unless_gone<T>(client: &TcpStream, connecting: impl Future<Output = T>) -> Option<T> {
    let leaves = async {
        // What has been said stays to be carried, and hides an end after it.
        if let Ok(1..) = client.peek(&mut [0]).await {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        connected = connecting => Some(connected),
        () = leaves => None,
    }
}

async fn one_way(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, bytes: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Checks the targets, and ends the connections that are to end.
async fn watch(shared: &Arc<Shared>) {
    let mut due = tokio::time::interval(shared.checks.every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        for target in shared.look() {
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                let connected = timeout(shared.checks.timeout, TcpStream::connect(target)).await;
                shared.checked(target, matches!(connected, Ok(Ok(_))));
            });
        }
    }
}

//! Processes that follow: daemons and functions, which end at any await, stand still, and read their settings again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::aws::bucket::Bucket;
use rds_tether::dns::watch::Watchers;
use rds_tether::follow::binding::Binding;
use rds_tether::follow::tracker::Tracker;
use rds_tether::follow::{Follower, introduce};
use rds_tether::lead::crew::Crews;
use rds_tether::planner::answer::Quorum;
use rds_tether::planner::memory::Memory;
use rds_tether::proxy::{Proxy, Readiness, Showed, Steered};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep};

use super::hands::Hands;
use super::names::{Resolvers, Server};
use super::region::{Millis, PORT, Region};
use super::rules::Seen;
use super::tongues::Tongues;

/// How often DNS is looked at at least.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often a function is woken without an event.
const SCHEDULE: Duration = Duration::from_secs(60);
/// How long an invocation of a function may take.
const INVOCATION: Duration = Duration::from_secs(50);

/// So many turns in one moment are of somebody who waits for nothing.
const TURNS_MAX: u32 = 10_000;

/// How a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It runs all the time.
    Daemon,
    /// It is woken by a schedule and by events.
    Function,
}

/// A process.
pub struct Process {
    /// How it lives.
    pub way: Way,
    /// The name servers that it asks.
    pub servers: Vec<Server>,
    /// How many of them must agree.
    pub quorum: Quorum,
    /// What it has seen in this life.
    pub seen: Seen,
    /// It stands still until then.
    pub suspended: Millis,
    /// After how many more turns it ends, if it is to.
    pub fuse: Option<u32>,
    /// Whether it is to read its settings again.
    pub reloads: bool,
    /// An event wakes a function.
    pub is_rung: bool,
    /// What its latest steps left undone, and why.
    pub holds: BTreeMap<Arn, String>,
    /// What followers of it have left for the next ones.
    left: BTreeMap<Arn, (Memory, Tracker)>,
}

impl Process {
    /// A process that has not begun.
    pub fn new(way: Way, servers: Vec<Server>, quorum: Quorum) -> Self {
        Self {
            way,
            servers,
            quorum,
            seen: Seen::default(),
            suspended: 0,
            fuse: None,
            reloads: false,
            is_rung: false,
            holds: BTreeMap::new(),
            left: BTreeMap::new(),
        }
    }
}

/// Waits until the process does not stand still any more.
pub async fn resumed(region: &Region, process: usize) {
    loop {
        let (until, now) = (region.truth().processes[process].suspended, region.now());
        if until <= now {
            return;
        }
        sleep(Duration::from_millis(until - now)).await;
    }
}

/// A process that lives, for as long as this does.
pub struct Living(JoinHandle<()>);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets a process live: when it ends, it begins anew a while later, without a memory.
pub fn live(region: &Region, process: usize) -> Living {
    let region = region.clone();
    Living(tokio::spawn(async move {
        loop {
            let life = Life {
                region: region.clone(),
                process,
                asleep: None,
                turns: (0, 0),
                inner: Box::pin(run(region.clone(), process)),
            };
            life.await;
            let pause = {
                let now = region.now();
                let mut truth = region.truth();
                truth.note(now, format_args!("{process} ends"));
                truth.counts.crashes += 1;
                let number = process;
                let process = &mut truth.processes[number];
                (process.fuse, process.suspended) = (None, 0);
                process.seen = Seen::default();
                process.left.clear();
                let pause = truth.luck.u64(0..20_000);
                truth.processes[number].seen.words.since = now + pause;
                Duration::from_millis(pause)
            };
            sleep(pause).await;
        }
    }))
}

/// A process until it ends.
struct Life {
    region: Region,
    process: usize,
    asleep: Option<Pin<Box<Sleep>>>,
    /// When it had its latest turn, and how many it has had in the same moment.
    turns: (Millis, u32),
    inner: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for Life {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (until, now) = {
            let number = self.process;
            let mut truth = self.region.truth();
            let process = &mut truth.processes[number];
            if let Some(left) = &mut process.fuse {
                if *left == 0 {
                    return Poll::Ready(());
                }
                *left -= 1;
            }
            (process.suspended, self.region.now())
        };
        self.turns = if self.turns.0 == now {
            (now, self.turns.1 + 1)
        } else {
            (now, 1)
        };
        if self.turns.1 > TURNS_MAX {
            let what = format_args!("process {} has no rest", self.process);
            self.region.truth().break_rule(now, what);
            return Poll::Pending;
        }
        if now < until {
            let end = Instant::now() + Duration::from_millis(until - now);
            let asleep = self.asleep.get_or_insert_with(|| Box::pin(sleep(Duration::ZERO)));
            asleep.as_mut().reset(end);
            if asleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        self.inner.as_mut().poll(context)
    }
}

async fn run(region: Region, process: usize) {
    let way = region.truth().processes[process].way;
    match way {
        Way::Daemon => {
            // They outlive the settings that they have.
            let mut proxies = Vec::new();
            region.truth().processes[process].seen.words.reloaded = None;
            loop {
                follow(&region, process, None, &mut proxies).await;
                let now = region.now();
                let mut truth = region.truth();
                truth.processes[process].reloads = false;
                truth.processes[process].seen.words.reloaded = Some(now);
                truth.counts.reloads += 1;
            }
        }
        Way::Function => loop {
            let next = Instant::now() + SCHEDULE;
            let is_event = std::mem::take(&mut region.truth().processes[process].is_rung);
            follow(&region, process, Some(is_event), &mut Vec::new()).await;
            rung(&region, process, next).await;
            // Another environment of the function may be woken, which knows nothing.
            let mut truth = region.truth();
            if truth.luck.u8(..8) == 0 {
                truth.processes[process].left.clear();
            }
        },
    }
}

/// Waits for the schedule, or an event before.
async fn rung(region: &Region, process: usize, next: Instant) {
    while Instant::now() < next && !region.truth().processes[process].is_rung {
        sleep(Duration::from_secs(5)).await;
    }
}

/// Follows until the settings are to be read again; in a function, as long as it is worth it.
async fn follow(region: &Region, process: usize, woken: Option<bool>, proxies: &mut Vec<Proxied>) {
    let clock = region.clock();
    let (servers, quorum) = {
        let truth = region.truth();
        (truth.processes[process].servers.len(), truth.processes[process].quorum)
    };
    let resolvers = Resolvers {
        region: region.clone(),
        process,
        servers,
        quorum,
    };
    let hands = Hands {
        region: region.clone(),
        process,
        bucket: Bucket::start(),
    };
    let tongues = Tongues {
        region: region.clone(),
        process,
    };
    let watchers = Arc::new(Watchers::new(resolvers, clock, INTERVAL));
    let crews = Arc::new(Crews::new(watchers, clock).asking(tongues));
    let mut followers = Vec::new();
    {
        let truth = region.truth();
        for group in &truth.groups {
            let endpoints = group
                .follows
                .iter()
                .map(|number| truth.databases[*number].endpoint.clone());
            let binding = Binding {
                arn: group.arn.clone(),
                endpoints: endpoints.collect::<BTreeSet<_>>(),
                policy: truth.policy.clone(),
                observe: false,
                assume_role: None,
                trust: None,
                lead: truth.lead.clone(),
            };
            let mut follower = Follower::new(Arc::new(binding), hands.clone(), Arc::clone(&crews), clock);
            if let Some((here, tracker)) = truth.processes[process].left.get(&group.arn).cloned() {
                let memory = match woken {
                    None => here,
                    Some(_) => from_before(&here),
                };
                follower.recall(memory, tracker.recalled(clock.now()));
            }
            followers.push(follower);
        }
    }
    introduce(&mut followers).await;
    region.truth().processes[process].seen.words.begin(region.now());
    if woken.is_none() {
        order(region, process, &crews, proxies);
    }
    let end = Instant::now() + INVOCATION;
    let steps = followers
        .into_iter()
        .map(|follower| Box::pin(steps(region.clone(), process, follower, woken, end)));
    let mut steps: Vec<_> = steps.collect();
    std::future::poll_fn(|context| {
        for proxy in proxies.iter_mut() {
            let _ = proxy.clients.as_mut().poll(context);
        }
        steps.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if steps.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// A proxy, and a client that comes now and then, for as long as it is polled.
struct Proxied {
    steered: Arc<Steered>,
    clients: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Starts the proxies of a process, or gives those that there are new orders.
fn order(region: &Region, process: usize, crews: &Arc<Crews>, proxies: &mut Vec<Proxied>) {
    for proxy in proxies.iter() {
        proxy.steered.obey(Arc::clone(crews));
    }
    let truth = region.truth();
    let Some(lead) = truth.lead.as_ref().filter(|_| proxies.is_empty()) else {
        return;
    };
    proxies.extend(truth.databases.iter().enumerate().map(|(number, database)| {
        let listen = SocketAddr::from(([127, 0, 0, 1], PORT));
        let mut proxy = Proxy::new(listen, database.endpoint.clone());
        proxy.lead = Some(lead.clone());
        proxy.readiness = Readiness::Tcp;
        proxy.rules.allow_cidrs.clone_from(&truth.policy.allow_cidrs);
        let steered = Arc::new(Steered::start(proxy, Arc::clone(crews), region.clock()));
        let clients = Box::pin(clients(region.clone(), process, number, Arc::clone(&steered)));
        Proxied { steered, clients }
    }));
}

/// Looks at a route whenever it changes, and twice a second as a client that finds an address dead or well.
async fn clients(region: Region, process: usize, number: usize, steered: Arc<Steered>) {
    let mut route = steered.route();
    loop {
        let now = region.now();
        let current = Arc::clone(&route.borrow_and_update());
        let met = {
            let mut truth = region.truth();
            truth.routed(process, number, &current, now);
            let cast = truth.databases[number].cast.as_ref();
            let first = current.addresses.first().filter(|_| !current.waits());
            first.zip(cast).map(|(ip, cast)| (*ip, cast.is_up(*ip, now)))
        };
        tokio::select! {
            biased;
            changed = route.changed() => if changed.is_err() { return },
            () = sleep(Duration::from_millis(500)) => match met {
                Some((ip, true)) => steered.showed(ip, Showed::Ready),
                Some((ip, false)) => steered.showed(ip, Showed::Failed("connection refused".into())),
                None => {}
            }
        }
    }
}

/// What one invocation of a function has of another.
fn from_before(here: &Memory) -> Memory {
    let clocks = here.clocks();
    let mut memory = clocks.map_or_else(Memory::default, |(last_look, clocks)| Memory::recall(last_look, clocks));
    memory.recall_rest(here);
    memory
}

async fn steps(region: Region, process: usize, mut follower: Follower<Hands>, woken: Option<bool>, end: Instant) {
    if woken == Some(true) {
        follower.expect_change();
    }
    loop {
        let report = match woken {
            None => Some(follower.next().await),
            Some(_) => follower.next_before(end).await,
        };
        let arn = follower.binding().arn.clone();
        let (memory, tracker) = follower.memory();
        let left = (memory.clone(), tracker.clone());
        let now = region.now();
        let mut truth = region.truth();
        truth.processes[process].left.insert(arn, left);
        let Some(report) = report else { return };
        truth.reported(process, &report, now);
        let known = &truth.processes[process];
        let is_over = match woken {
            None => known.reloads,
            Some(true) => false,
            Some(false) => report.is_settled(),
        };
        if is_over {
            return;
        }
    }
}

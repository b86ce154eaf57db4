//! Looks at everything at once, each thing by itself and as often as it may be asked, and hands over what it sees. Changes nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::event::Reader;
use super::{Observation, Reach, Seen, Through, Watched, Way, Why};
use crate::aws::arn::Arn;
use crate::aws::bucket::{Turn, Urgency};
use crate::aws::elb::{self, Client, Group, TargetGroups as _, not_listed};
use crate::clock::Clock;
use crate::dns::watch::Watchers;
use crate::dns::{self, Names as _};
use crate::lead::crew::{Crews, Quest};
use crate::lead::visit::Door;
use crate::planner::answer::combine;
use crate::planner::endpoint::Endpoint;
use crate::planner::guard;
use crate::planner::lead::Says;
use crate::planner::target::{Family, Listed, Target};
use crate::planner::time::Timestamp;
use crate::probe::Trouble;
use crate::probe::ready::{Answer, ask};

/// How often each name server is asked.
const DNS_APART: Duration = Duration::from_secs(1);
/// How often the targets are listed while something changes, and while nothing does.
const GROUP_APART: Duration = Duration::from_secs(1);
const GROUP_APART_CALM: Duration = Duration::from_secs(5);
/// How often an address is connected to.
const REACH_APART: Duration = Duration::from_millis(250);
/// How often somebody logs in through a load balancer or proxy.
const LOGIN_APART: Duration = Duration::from_millis(500);
/// How long a connection, and an answer over it, may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Addresses that are connected to: a failover has two.
const ADDRESSES_MAX: usize = 8;
/// Addresses of one name that clients connect to: a load balancer has one in each zone.
const WAYS_MAX: usize = 8;
/// Looks that may wait to be taken.
const WAITING: usize = 256;
/// How often a file is looked at for more of it.
const FILE_APART: Duration = Duration::from_millis(500);
/// What is read of events at once.
const READ_MAX: usize = 16 << 10;
/// As the server lists the session.
const APPLICATION: &str = "rds-tether drill";
/// Why who does not speak PostgreSQL is not asked again and again.
const NOT_POSTGRES: &str =
    "what answers there is not PostgreSQL, and MySQL blocks hosts that connect often without a log-in";

/// What is to be watched.
pub struct Orders {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Which of its addresses.
    pub family: Family,
    /// How to look at DNS.
    pub dns: dns::Settings,
    /// The target group and who is asked about it.
    pub group: Option<(Client, Arn, Option<Group>)>,
    /// Whose members are asked.
    pub quest: Option<Quest>,
    /// The networks that addresses have to be in; none: everywhere.
    pub allow_cidrs: Vec<IpNet>,
    /// What clients connect to.
    pub ways: Vec<Way>,
    /// Where events come from: a file, or - for standard input.
    pub events: Option<PathBuf>,
}

/// Who watches. All ends with it.
pub struct Watch {
    tell: Tell,
    port: u16,
    allow_cidrs: Vec<IpNet>,
    asked: BTreeSet<IpAddr>,
    under_way: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// The name servers are not known.
    pub fn start(orders: Orders, clock: Clock) -> Result<(Self, mpsc::Receiver<Observation>), dns::Error> {
        let (sender, seen) = mpsc::channel(WAITING);
        let tell = Tell { sender, clock };
        let (under_way, calm) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (host, family) = (orders.endpoint.host().to_owned(), orders.family);
        for server in orders.dns.servers()? {
            let client = dns::Client::new(server, orders.dns.deadline)?;
            tasks.spawn(ask_dns(client, host.clone(), family, tell.clone()));
        }
        if let Some((client, arn, group)) = orders.group {
            tasks.spawn(list_targets(client, arn, group, calm, tell.clone()));
        }
        if let Some(quest) = &orders.quest {
            let watchers = Arc::new(Watchers::of(&orders.dns, clock)?);
            tasks.spawn(hear_members(
                Crews::new(watchers, clock).quiet(),
                quest.clone(),
                tell.clone(),
            ));
        }
        for way in orders.ways {
            let passage = Passage {
                way,
                quest: orders.quest.clone(),
            };
            tasks.spawn(passage.take_again_and_again(tell.clone()));
        }
        if let Some(path) = orders.events {
            let (tell, endpoint) = (tell.clone(), orders.endpoint.clone());
            // What is read may never come: it holds up nobody there, and ends with the process.
            thread::spawn(move || hear_events(&path, &endpoint, &tell));
        }
        let watch = Self {
            tell,
            port: orders.endpoint.port(),
            allow_cidrs: orders.allow_cidrs,
            asked: BTreeSet::new(),
            under_way,
            tasks,
        };
        Ok((watch, seen))
    }

    /// Connects to these addresses from now on, again and again; or why not to all of them.
    pub fn ask(&mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), Why> {
        let mut left_out = Ok(());
        for ip in addresses {
            if !guard::allows(&self.allow_cidrs, ip) {
                left_out = Err(Why::plain("one that DNS names is outside allow_cidrs"));
            } else if self.asked.len() == ADDRESSES_MAX && !self.asked.contains(&ip) {
                left_out = Err(Why::plain("DNS has named more of them than are connected to"));
            } else if self.asked.insert(ip) {
                let address = SocketAddr::new(ip, self.port);
                self.tasks.spawn(ask_address(address, self.tell.clone()));
            }
        }
        left_out
    }

    /// Something changes: from now on the targets are listed often.
    pub fn hurry(&self) {
        self.under_way
            .send_if_modified(|is_under_way| !std::mem::replace(is_under_way, true));
    }
}

/// The addresses of what clients connect to, each once, and those that have none, with the reason.
///
/// # Errors
/// The name servers are not known.
pub async fn ways(throughs: &[Through], dns: &dns::Settings) -> Result<(Vec<Way>, Vec<(Through, Why)>), dns::Error> {
    let resolver = dns::Resolver::new(&dns.servers()?, dns.deadline, dns.quorum)?;
    let (mut ways, mut lost) = (Vec::new(), Vec::new());
    for through in throughs.iter().collect::<BTreeSet<_>>() {
        let (addresses, port) = match through {
            Through::Address(address) => (Ok(BTreeSet::from([address.ip()])), address.port()),
            Through::Name(endpoint) => {
                let mut seen = combine(&resolver.look(endpoint.host(), Family::Ipv4).await, dns.quorum);
                if seen.is_err() {
                    // Where neither is there, the usual one says why.
                    let other = combine(&resolver.look(endpoint.host(), Family::Ipv6).await, dns.quorum);
                    seen = other.or(seen);
                }
                (seen.map(|resolution| resolution.addresses().clone()), endpoint.port())
            }
        };
        match addresses {
            Ok(addresses) => ways.extend(addresses.into_iter().take(WAYS_MAX).map(|ip| Way {
                through: through.clone(),
                address: SocketAddr::new(ip, port),
            })),
            Err(blind) => lost.push((
                through.clone(),
                Why {
                    why: "its name cannot be resolved",
                    detail: Some(blind.to_string()),
                },
            )),
        }
    }
    Ok((ways, lost))
}

/// Hands over what was seen.
#[derive(Clone)]
struct Tell {
    sender: mpsc::Sender<Observation>,
    clock: Clock,
}

impl Tell {
    /// Whether anybody still listens.
    async fn saw(&self, began: Timestamp, seen: Seen) -> bool {
        let ended = self.clock.now();
        self.sender.send(Observation { began, ended, seen }).await.is_ok()
    }
}

fn every(apart: Duration) -> Interval {
    let mut beat = interval(apart);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

async fn ask_dns(client: dns::Client, host: String, family: Family, tell: Tell) {
    let mut beat = every(DNS_APART);
    loop {
        beat.tick().await;
        let began = tell.clock.now();
        let said = client.ask(&host, family).await.said;
        let said = said.map(|said| said.addresses);
        if !tell.saw(began, Seen::Dns(client.server, said)).await {
            return;
        }
    }
}

async fn list_targets(
    client: Client,
    arn: Arn,
    known: Option<Group>,
    mut under_way: watch::Receiver<bool>,
    tell: Tell,
) {
    let mut group = known;
    loop {
        let turn = client.turn(Urgency::Look).await;
        let began = tell.clock.now();
        let seen = match &group {
            Some(group) => {
                let listed = client.targets(group, turn).await;
                let state = |(target, listed): (Target, Listed)| (target, listed.state);
                listed.map(|all| all.into_iter().map(state).collect())
            }
            None => match describe(&client, &arn, turn).await {
                Ok(described) => {
                    group = Some(described);
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        if !tell.saw(began, Seen::Group(seen)).await {
            return;
        }
        let is_under_way = *under_way.borrow_and_update();
        let apart = if is_under_way { GROUP_APART } else { GROUP_APART_CALM };
        // A change that begins ends the wait.
        let _ = timeout(apart, async {
            if is_under_way || under_way.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
        .await;
    }
}

/// Describes a target group.
///
/// # Errors
/// Those of the call.
pub async fn describe(client: &Client, arn: &Arn, turn: Turn) -> Result<Group, elb::Error> {
    let mut described = client.groups(std::slice::from_ref(arn), turn).await?;
    described.remove(arn).unwrap_or_else(|| Err(not_listed(arn)))
}

async fn hear_members(crews: Crews, quest: Quest, tell: Tell) {
    let crew = crews.follow(quest);
    let mut shown = crew.shown();
    while shown.changed().await.is_ok() {
        let members = shown.borrow_and_update().members.clone();
        for (ip, showing) in members {
            let seen = Seen::Member(ip, showing.says, showing.since);
            if !tell.saw(showing.at, seen).await {
                return;
            }
        }
    }
}

async fn ask_address(address: SocketAddr, tell: Tell) {
    let (mut is_known, mut beat) = (false, every(REACH_APART));
    loop {
        beat.tick().await;
        let began = tell.clock.now();
        let reach = knock(address, is_known).await;
        is_known |= reach == Reach::Sessions;
        let is_over = matches!(reach, Reach::NotAsked(_));
        if !tell.saw(began, Seen::Address(address, reach)).await || is_over {
            return;
        }
    }
}

/// Asks an address whether a database takes sessions there. `is_known` says that PostgreSQL has answered there before.
async fn knock(address: SocketAddr, is_known: bool) -> Reach {
    let late = || Reach::Lost("no answer in time".to_owned());
    let stream = match timeout(ANSWER_MAX, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Reach::Lost(Trouble::of_connect(&error).to_string()),
        Err(_) => return late(),
    };
    match timeout(ANSWER_MAX, ask(stream, is_known, true)).await {
        Ok(Answer::Ready) => Reach::Sessions,
        Ok(Answer::NotNow(why) | Answer::Ended(why)) => Reach::Lost(why),
        Ok(Answer::NotPostgres) if is_known => Reach::Lost("what answers is not PostgreSQL".to_owned()),
        Ok(Answer::NotPostgres) => Reach::NotAsked(NOT_POSTGRES),
        Err(_) => late(),
    }
}

/// One address that clients connect to.
struct Passage {
    way: Way,
    quest: Option<Quest>,
}

impl Passage {
    async fn take_again_and_again(mut self, tell: Tell) {
        let mut is_known = false;
        let mut beat = every(if self.quest.is_some() { LOGIN_APART } else { REACH_APART });
        loop {
            beat.tick().await;
            let began = tell.clock.now();
            let reach = match &self.quest {
                Some(quest) => match self.log_in(quest, tell.clock).await {
                    Says::Writer => Reach::Writer,
                    Says::Reader => Reach::Reader,
                    Says::Neither(why) | Says::Silent(why) => Reach::Lost(why),
                    Says::Denied(why) | Says::Impostor(why) if !is_known => {
                        // Without a log-in it can still be asked for sessions.
                        self.quest = None;
                        beat = every(REACH_APART);
                        let why = Why {
                            why: "nobody is let in there who could ask",
                            detail: Some(why),
                        };
                        let watched = Watched::WriterThrough(self.way.through.clone());
                        if !tell.saw(began, Seen::Gone(watched, why)).await {
                            return;
                        }
                        continue;
                    }
                    Says::Denied(why) | Says::Impostor(why) => Reach::Lost(why),
                },
                None => knock(self.way.address, is_known).await,
            };
            is_known |= matches!(reach, Reach::Sessions | Reach::Writer | Reach::Reader);
            let is_over = matches!(reach, Reach::NotAsked(_));
            if !tell.saw(began, Seen::Through(self.way.clone(), reach)).await || is_over {
                return;
            }
        }
    }

    async fn log_in(&self, quest: &Quest, clock: Clock) -> Says {
        let door = Door {
            address: self.way.address,
            endpoint: &quest.endpoint,
            name: None,
            lead: &quest.lead,
            clock,
        };
        door.says(APPLICATION, ANSWER_MAX).await
    }
}

/// Reads events until there are no more; of a file, what is written to it later, too.
fn hear_events(path: &Path, endpoint: &Endpoint, tell: &Tell) {
    let Err(why) = read_events(path, endpoint, tell) else {
        return;
    };
    let now = tell.clock.now();
    let gone = Seen::Gone(Watched::Events, why);
    let _ = tell.sender.blocking_send(Observation {
        began: now,
        ended: now,
        seen: gone,
    });
}

fn read_events(path: &Path, endpoint: &Endpoint, tell: &Tell) -> Result<(), Why> {
    let wrong = |why, detail: String| Why {
        why,
        detail: Some(detail),
    };
    let unread = |error: io::Error| wrong("they cannot be read", error.to_string());
    let is_input = path.as_os_str() == "-";
    let mut source: Box<dyn Read> = match is_input {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(unread)?),
    };
    let grows = !is_input && path.is_file();
    let (mut reader, mut bytes) = (Reader::default(), vec![0; READ_MAX]);
    loop {
        let length = source.read(&mut bytes).map_err(unread)?;
        let now = tell.clock.now();
        let events = reader.take(&bytes[..length], endpoint, now);
        for event in events.map_err(|error| wrong("they cannot be read", error))? {
            let seen = Seen::Event(event);
            let (began, ended) = (now, now);
            if tell.sender.blocking_send(Observation { began, ended, seen }).is_err() {
                return Ok(());
            }
        }
        match (length, grows) {
            (0, true) => thread::park_timeout(FILE_APART),
            (0, false) => return Err(Why::plain("their source has ended")),
            _ => {}
        }
    }
}

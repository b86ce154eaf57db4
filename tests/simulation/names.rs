//! Name servers as processes meet them: caches that keep, raise, hold and serve stale what they have, and that fail in every way
//! they can. What each kind does is from `docs/caches.md`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use rds_tether::dns::{Look, Names};
use rds_tether::planner::answer::{Failure, Quorum, RDS_TTL_MAX, Said};
use rds_tether::planner::target::Family;
use tokio::time::sleep;

use super::process::resumed;
use super::region::{ADDRESSES, Database, Kind, Millis, Region, millis};
use super::tongues::Cast;

/// How long a look waits for a name server.
const DEADLINE: Duration = Duration::from_secs(2);
/// As RFC 8914 has it: Stale Answer.
const STALE_ANSWER: u16 = 3;
/// What a cache says of the TTL of what has expired, where it does not say that it has (Unbound, dnsdist).
const STALE_TTL_SECS: u64 = 30;

/// The names of a database: its own, and one for each member that it may have.
const NAMES: usize = 1 + ADDRESSES as usize;

/// What a name server does with what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Keeps it for its TTL.
    Keeps,
    /// Asks each time.
    Asks,
    /// Keeps it for so many seconds at least.
    Raises(u64),
    /// Keeps its failures for so long.
    HoldsFailures(Millis),
    /// Serves what has expired while it hears nothing, and says so.
    ServesStaleMarked,
    /// The same, with a TTL of 30 s that stands still.
    ServesStaleStanding,
}

/// What is wrong with a name server, or on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It says nothing.
    Silent,
    /// It cannot be reached.
    Unreachable,
    /// It fails.
    ServFail,
    /// It does not want to.
    Refused,
    /// It knows no such name.
    NxDomain,
    /// It knows no address of the name.
    NoData,
    /// It sends what nobody can read.
    Malformed,
    /// It is well, and hears nothing from where it asks.
    Cut,
    /// It says an address that no target group takes.
    Illegal,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Silent,
        Self::Unreachable,
        Self::ServFail,
        Self::Refused,
        Self::NxDomain,
        Self::NoData,
        Self::Malformed,
        Self::Cut,
        Self::Illegal,
    ];
}

/// What a cache has of a name.
#[derive(Clone, Debug)]
struct Entry {
    addresses: BTreeSet<IpAddr>,
    expires: Millis,
}

/// A name server, as one process meets it.
#[derive(Debug)]
pub struct Server {
    habit: Habit,
    /// How far what it asks is behind the truth.
    pub lag: Millis,
    /// What is wrong with it.
    pub trouble: Option<Trouble>,
    entries: Vec<Option<Entry>>,
    failing_until: Millis,
}

/// What a name server gives, and whether it is of now, or at least has not expired.
pub struct Given {
    /// How it is heard.
    pub said: Result<Said, Failure>,
    /// Whether it has not expired.
    pub is_true: bool,
}

impl Given {
    /// Whether it tells what is so now by itself: a TTL above RDS's might stand still, and only a second look tells.
    pub fn is_proven(&self) -> bool {
        self.is_true && self.said.as_ref().is_ok_and(|said| said.ttl <= RDS_TTL_MAX)
    }
}

impl Server {
    /// A name server that has nothing yet.
    pub fn new(habit: Habit, lag: Millis, databases: usize) -> Self {
        Self {
            habit,
            lag,
            trouble: None,
            entries: vec![None; databases * NAMES],
            failing_until: 0,
        }
    }

    /// How old what it gives may be at most, as long as it says nothing else of it.
    pub fn staleness(&self, ttl: Duration) -> Millis {
        let kept = match self.habit {
            Habit::Raises(secs) => millis(ttl).max(secs * 1000),
            Habit::Asks => 0,
            _ => millis(ttl),
        };
        self.lag + kept
    }

    /// What it says of a database's name, or of one of its members' names.
    pub fn ask(
        &mut self,
        (number, member): (usize, Option<IpAddr>),
        database: &Database,
        now: Millis,
        luck: &mut fastrand::Rng,
    ) -> Given {
        let entry = number * NAMES + member.map_or(0, |ip| usize::from(last_byte(ip)));
        let said = |addresses: &BTreeSet<IpAddr>, ttl: Duration| {
            let mut said = Said::new(addresses.clone(), ttl);
            let is_led = database.cast.is_some() && member.is_none();
            let instance = addresses.first().filter(|_| is_led);
            said.names = instance.map(|ip| Cast::name(number, *ip)).into_iter().collect();
            said
        };
        let failed = |failure| Given {
            said: Err(failure),
            is_true: true,
        };
        match self.trouble {
            Some(Trouble::Silent) => return failed(Failure::TimedOut),
            Some(Trouble::Unreachable) => return failed(Failure::Network("connection refused".into())),
            Some(Trouble::ServFail) => return failed(Failure::ServFail),
            Some(Trouble::Refused) => return failed(Failure::Refused),
            Some(Trouble::NxDomain) => return failed(Failure::NxDomain),
            Some(Trouble::NoData) => return failed(Failure::NoData),
            Some(Trouble::Malformed) => return failed(Failure::Malformed("cut off".into())),
            Some(Trouble::Illegal) => {
                let addresses =
                    BTreeSet::from([[IpAddr::from([54, 12, 3, 4]), IpAddr::from([127, 0, 0, 1])][luck.usize(..2)]]);
                return Given {
                    said: Ok(Said::new(addresses, database.ttl)),
                    is_true: true,
                };
            }
            Some(Trouble::Cut) | None => {}
        }
        if let Some(entry) = &self.entries[entry]
            && now < entry.expires
        {
            let left = Duration::from_millis(entry.expires - now).as_secs_f64().ceil();
            return Given {
                said: Ok(said(&entry.addresses, Duration::from_secs(left as u64))),
                is_true: true,
            };
        }
        if self.trouble == Some(Trouble::Cut) || now < self.failing_until {
            if self.trouble == Some(Trouble::Cut)
                && let Habit::HoldsFailures(lasts) = self.habit
            {
                self.failing_until = now + lasts;
            }
            return self.stale(entry, said).unwrap_or_else(|| failed(Failure::ServFail));
        }
        let asked = now.saturating_sub(self.lag);
        let mut addresses = member.map_or_else(|| database.at(asked).clone(), |ip| BTreeSet::from([ip]));
        if database.kind == Kind::Readers {
            // Each answer is one member.
            let chosen = luck.usize(..addresses.len());
            addresses = addresses.into_iter().skip(chosen).take(1).collect();
        }
        let ttl = match self.habit {
            Habit::Raises(secs) => database.ttl.max(Duration::from_secs(secs)),
            _ => database.ttl,
        };
        let kept = if self.habit == Habit::Asks { Duration::ZERO } else { ttl };
        self.entries[entry] = Some(Entry {
            addresses: addresses.clone(),
            expires: now + millis(kept),
        });
        Given {
            said: Ok(said(&addresses, ttl)),
            is_true: true,
        }
    }

    /// What it has although it has expired, if it gives that.
    fn stale(&self, entry: usize, said: impl Fn(&BTreeSet<IpAddr>, Duration) -> Said) -> Option<Given> {
        let entry = self.entries[entry].as_ref()?;
        let (ttl, stale) = match self.habit {
            Habit::ServesStaleMarked => (0, Some(STALE_ANSWER)),
            Habit::ServesStaleStanding => (STALE_TTL_SECS, None),
            _ => return None,
        };
        let mut said = said(&entry.addresses, Duration::from_secs(ttl));
        said.stale = stale;
        Some(Given {
            said: Ok(said),
            is_true: false,
        })
    }
}

/// The name servers as one process asks them.
pub struct Resolvers {
    /// Where it lives.
    pub region: Region,
    /// Which process.
    pub process: usize,
    /// How many name servers it asks.
    pub servers: usize,
    /// How many of them must agree.
    pub quorum: Quorum,
}

impl Names for Resolvers {
    fn servers(&self) -> Vec<SocketAddr> {
        let address = |n: usize| SocketAddr::new(Ipv4Addr::new(10, 255, 0, 2 + n as u8).into(), 53);
        (0..self.servers).map(address).collect()
    }

    fn quorum(&self) -> Quorum {
        self.quorum
    }

    fn look<'a>(&'a self, host: &'a str, _family: Family) -> Pin<Box<dyn Future<Output = Look> + Send + 'a>> {
        Box::pin(async move {
            resumed(&self.region, self.process).await;
            let wait = {
                let mut truth = self.region.truth();
                let is_silent = truth.processes[self.process]
                    .servers
                    .iter()
                    .all(|server| server.trouble == Some(Trouble::Silent));
                // Most answers are there at once.
                let luck = &mut truth.luck;
                match (is_silent, luck.u8(..8)) {
                    (true, _) => DEADLINE,
                    (false, 0) => Duration::from_millis(luck.u64(1..400)),
                    (false, _) => Duration::ZERO,
                }
            };
            if !wait.is_zero() {
                sleep(wait).await;
                resumed(&self.region, self.process).await;
            }
            self.heard(host)
        })
    }
}

impl Resolvers {
    fn heard(&self, host: &str) -> Look {
        let now = self.region.now();
        let mut truth = self.region.truth();
        let truth = &mut *truth;
        truth.mend(now);
        let Some((number, member)) = truth.database_of(host) else {
            truth.break_rule(now, format_args!("M2: {host} is looked at"));
            return Vec::new();
        };
        let database = &truth.databases[number];
        let process = &mut truth.processes[self.process];
        let servers = process.servers.iter_mut();
        let given: Vec<Given> = servers
            .map(|server| server.ask((number, member), database, now, &mut truth.luck))
            .collect();
        let said = given.iter().find_map(|given| given.said.as_ref().ok());
        truth.step_of_dns(said.map(|said| said.addresses.clone()), now);
        match member {
            None => truth.looked(self.process, number, &given, now),
            Some(_) => truth.met(self.process, number, &given, now),
        }
        self.servers()
            .into_iter()
            .zip(given.into_iter().map(|given| given.said))
            .collect()
    }
}

/// What tells the addresses of a subnet apart.
pub fn last_byte(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => ip.octets()[15],
    }
}

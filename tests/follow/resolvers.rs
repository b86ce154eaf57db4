//! Caches between a follower and the truth, as they were measured: dnsmasq 2.90, Unbound 1.17.1, PowerDNS Recursor 4.8.8, Knot
//! Resolver 5.6.0, BIND 9.18 and dnsdist 1.7.3, each forwarding to one authority.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rds_tether::dns::{Look, Names};
use rds_tether::planner::answer::{Failure, Quorum, Said};
use rds_tether::planner::endpoint::Role;
use rds_tether::planner::target::Family;
use tokio::time::{Instant, sleep};

use super::region::Region;

/// What a cache does when its entry has expired and nobody can be reached, or before it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Nothing: it fails as its upstream does.
    Never,
    /// The expired answer at once with this TTL and EDE, a new one being fetched meanwhile; for ever. Unbound `serve-expired`: 30,
    /// none; dnsmasq `use-stale-cache`: 0, 3; BIND with `stale-answer-client-timeout 0`: 30, 3.
    First(u64, Option<u16>),
    /// The expired answer when the upstream has failed, for so long. Knot Resolver `serve_stale` (TTL 1, EDE 3, heard every other
    /// time), dnsdist `staleTTL` (30, none), PowerDNS `serve-stale-extensions=3` (5, none, for 15 s).
    AfterFailure {
        ttl_secs: u64,
        ede: Option<u16>,
        lasts: Duration,
    },
}

/// A cache.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    pub name: &'static str,
    /// For how much longer than its TTL an entry is told, with a TTL of 0.
    pub zero_tail: Duration,
    /// The least time that an entry lives, told with a TTL of 0 beyond its own.
    pub keeps_least: Duration,
    /// How long a failure is kept.
    pub keeps_failure: Duration,
    /// Whether others ask as well, every half second.
    pub is_shared: bool,
    pub stale: Stale,
}

pub const PLAIN: Cache = Cache {
    name: "dnsmasq",
    zero_tail: Duration::ZERO,
    keeps_least: Duration::ZERO,
    keeps_failure: Duration::ZERO,
    is_shared: false,
    stale: Stale::Never,
};
const UNBOUND: Cache = Cache {
    name: "unbound",
    zero_tail: Duration::from_secs(1),
    keeps_failure: Duration::from_secs(5),
    ..PLAIN
};
const BIND: Cache = Cache {
    name: "bind",
    keeps_failure: Duration::from_secs(1),
    ..PLAIN
};
const PDNS: Cache = Cache {
    name: "pdns",
    keeps_failure: Duration::from_secs(60),
    ..PLAIN
};
const DNSDIST: Cache = Cache {
    name: "dnsdist",
    keeps_failure: Duration::from_secs(60),
    ..PLAIN
};
/// With `policy.STUB`.
pub const KRESD: Cache = Cache {
    name: "kresd",
    zero_tail: Duration::from_secs(1),
    keeps_least: Duration::from_secs(5),
    ..PLAIN
};

/// All of them as they are installed.
pub const AS_INSTALLED: [Cache; 6] = [PLAIN, UNBOUND, BIND, PDNS, DNSDIST, KRESD];

/// All of them as they serve stale answers.
pub const SERVING_STALE: [Cache; 6] = [
    Cache {
        name: "dnsmasq use-stale-cache",
        stale: Stale::First(0, Some(3)),
        ..PLAIN
    },
    Cache {
        name: "unbound serve-expired",
        stale: Stale::First(30, None),
        ..UNBOUND
    },
    Cache {
        name: "bind stale-answer-client-timeout 0",
        stale: Stale::First(30, Some(3)),
        ..BIND
    },
    Cache {
        name: "pdns serve-stale-extensions",
        stale: Stale::AfterFailure {
            ttl_secs: 5,
            ede: None,
            lasts: Duration::from_secs(15),
        },
        ..PDNS
    },
    Cache {
        name: "dnsdist staleTTL",
        stale: Stale::AfterFailure {
            ttl_secs: 30,
            ede: None,
            lasts: Duration::MAX,
        },
        ..DNSDIST
    },
    Cache {
        name: "kresd serve_stale",
        stale: Stale::AfterFailure {
            ttl_secs: 1,
            ede: Some(3),
            lasts: Duration::MAX,
        },
        ..KRESD
    },
];

struct Entry {
    addresses: BTreeSet<IpAddr>,
    fetched: Instant,
    ttl: Duration,
}

#[derive(Default)]
struct Kept {
    entry: Option<Entry>,
    failure: Option<(Instant, Failure)>,
}

/// Name servers, each a cache of its own in front of what is true in a region.
#[derive(Clone)]
pub struct Resolvers(Arc<Inner>);

struct Inner {
    region: Region,
    caches: Vec<Cache>,
    kept: Mutex<BTreeMap<(usize, String), Kept>>,
    /// Name servers that answer nothing themselves.
    silent: Mutex<BTreeSet<usize>>,
    /// Those that reach nobody.
    cut_off: Mutex<BTreeSet<usize>>,
}

impl Resolvers {
    pub fn new(region: &Region, caches: &[Cache]) -> Self {
        Self(Arc::new(Inner {
            region: region.clone(),
            caches: caches.to_vec(),
            kept: Mutex::default(),
            silent: Mutex::default(),
            cut_off: Mutex::default(),
        }))
    }

    /// From now on a name server answers nothing, or does again.
    pub fn silence(&self, server: usize, is_silent: bool) {
        put(&self.0.silent, server, is_silent);
    }

    /// From now on a name server reaches nobody, or does again.
    pub fn cut_off(&self, server: usize, is_cut_off: bool) {
        put(&self.0.cut_off, server, is_cut_off);
    }

    fn ask(&self, server: usize, host: &str, now: Instant) -> Result<Said, Failure> {
        let Inner { region, caches, .. } = &*self.0;
        if self.0.silent.lock().expect("unpoisoned").contains(&server) {
            return Err(Failure::TimedOut);
        }
        let cache = caches[server];
        let is_cut_off = self.0.cut_off.lock().expect("unpoisoned").contains(&server);
        let truth = if is_cut_off {
            Err(Failure::TimedOut)
        } else {
            region.truth(host)
        };
        let mut kept = self.0.kept.lock().expect("unpoisoned");
        let kept = kept.entry((server, host.to_owned())).or_default();
        let fetched = truth.map(|(members, ttl)| {
            let members: Vec<IpAddr> = members.into_iter().collect();
            let is_sampled = Role::told_by([host]) == Role::Reader || host.starts_with("rotating");
            let addresses = if is_sampled {
                BTreeSet::from([members[fastrand::usize(..members.len())]])
            } else {
                members.into_iter().collect()
            };
            Entry {
                addresses,
                fetched: now,
                ttl,
            }
        });
        cache.answer(kept, fetched, now)
    }
}

fn put(set: &Mutex<BTreeSet<usize>>, server: usize, is_in: bool) {
    let mut set = set.lock().expect("unpoisoned");
    if is_in {
        set.insert(server);
    } else {
        set.remove(&server);
    }
}

impl Cache {
    /// What it says, having asked its upstream if it must.
    fn answer(&self, kept: &mut Kept, fetched: Result<Entry, Failure>, now: Instant) -> Result<Said, Failure> {
        if let Some(entry) = &kept.entry {
            let age = now - entry.fetched;
            let lives = (entry.ttl + self.zero_tail).max(self.keeps_least + self.zero_tail);
            if age < lives {
                let left = entry.ttl.saturating_sub(age).as_secs_f64();
                // Those that never say 0 round up, the others down.
                let rounds_up = self.zero_tail.is_zero() || self.is_shared;
                let left = if rounds_up { left.ceil() } else { left.floor() };
                return Ok(Said::new(entry.addresses.clone(), Duration::from_secs(left as u64)));
            }
        }
        let failure = kept
            .failure
            .clone()
            .filter(|(since, _)| now - *since < self.keeps_failure);
        let fetched = match failure {
            Some((_, failure)) => Err(failure),
            None => fetched,
        };
        let expired = |entry: &Entry, ttl_secs, ede| {
            let mut said = Said::new(entry.addresses.clone(), Duration::from_secs(ttl_secs));
            said.stale = ede;
            said
        };
        let first = match (&kept.entry, self.stale) {
            (Some(entry), Stale::First(ttl_secs, ede)) => Some(expired(entry, ttl_secs, ede)),
            _ => None,
        };
        match fetched {
            Ok(mut entry) => {
                if self.is_shared && kept.entry.is_some() {
                    // Somebody else was the first to ask.
                    entry.fetched -= Duration::from_millis(fastrand::u64(..500));
                }
                let said = Said::new(entry.addresses.clone(), entry.ttl);
                kept.entry = Some(entry);
                kept.failure = None;
                Ok(first.unwrap_or(said))
            }
            Err(failure) => {
                if kept
                    .failure
                    .as_ref()
                    .is_none_or(|(since, _)| now - *since >= self.keeps_failure)
                {
                    kept.failure = Some((now, failure.clone()));
                }
                if let Some(said) = first {
                    return Ok(said);
                }
                match (&kept.entry, self.stale) {
                    (Some(entry), Stale::AfterFailure { ttl_secs, ede, lasts })
                        if now - entry.fetched < lasts.saturating_add(entry.ttl) =>
                    {
                        Ok(expired(entry, ttl_secs, ede))
                    }
                    _ => Err(failure),
                }
            }
        }
    }
}

impl Names for Resolvers {
    fn servers(&self) -> Vec<SocketAddr> {
        let servers = (2..).take(self.0.caches.len());
        servers.map(|n| SocketAddr::from(([10, 0, 0, n], 53))).collect()
    }

    fn quorum(&self) -> Quorum {
        Quorum::Any
    }

    fn look<'a>(&'a self, host: &'a str, _family: Family) -> Pin<Box<dyn Future<Output = Look> + Send + 'a>> {
        Box::pin(async move {
            sleep(Duration::from_millis(5)).await;
            let now = Instant::now();
            let servers = self.servers().into_iter().enumerate();
            servers
                .map(|(index, server)| (server, self.ask(index, host, now)))
                .collect()
        })
    }
}

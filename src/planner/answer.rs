//! What DNS said about an endpoint: an answer, or a failure to get one. No path leads from the second to the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use super::guard::Refusal;
use super::wrong::{Wrong, one_of};

/// Addresses that one look found, never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    addresses: BTreeSet<IpAddr>,
    /// Addresses that too few name servers gave: neither to be registered nor to be counted absent.
    pub doubtful: BTreeSet<IpAddr>,
    /// How long the answer holds: the smallest TTL of its records, remaining as the name server counts it.
    pub ttl: Duration,
    /// The names that CNAMEs led through, in order; the first CNAME of a cluster endpoint names an instance.
    pub names: Vec<String>,
}

impl Resolution {
    /// An answer, unless there is no address in it.
    pub fn new(addresses: BTreeSet<IpAddr>, ttl: Duration) -> Option<Self> {
        (!addresses.is_empty()).then_some(Self {
            addresses,
            doubtful: BTreeSet::new(),
            ttl,
            names: Vec::new(),
        })
    }

    /// The addresses of the answer.
    pub fn addresses(&self) -> &BTreeSet<IpAddr> {
        &self.addresses
    }
}

/// The most addresses that an answer may have. An Aurora cluster has 15 readers at most; whatever names more is no database, and its
/// answer counts as none.
pub const ADDRESSES_MAX: usize = 64;
/// The longest TTL of RDS's own records. A cache that is told to keep them longer counts down from more; one that serves what has
/// expired says the same each time (Unbound's `serve-expired-reply-ttl` and dnsdist's `staleTTL`, both 30 s).
pub const RDS_TTL_MAX: Duration = Duration::from_secs(5);
/// Why an answer is taken for stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The name server says so, by an Extended DNS Error of this code (RFC 8914: 3 Stale Answer, 19 Stale NXDOMAIN Answer).
    ByItsWord(u16),
    /// Its TTL stands still above what RDS gives.
    TtlStandsStill(Duration),
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByItsWord(code) => write!(f, "by its own word, EDE {code}"),
            Self::TtlStandsStill(ttl) => write!(
                f,
                "its TTL of {} s stands still, and RDS gives {} s at most",
                ttl.as_secs(),
                RDS_TTL_MAX.as_secs()
            ),
        }
    }
}

/// Why one name server gave no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name does not exist.
    NxDomain,
    /// The name exists, but has no address of this family.
    NoData,
    /// The server failed.
    ServFail,
    /// The server does not want to answer us.
    Refused,
    /// No answer before the look ended.
    TimedOut,
    /// The answer cannot be read.
    Malformed(String),
    /// The answer has so many addresses, more than [`ADDRESSES_MAX`].
    TooMany(usize),
    /// Another response code.
    Code(String),
    /// The server could not be reached.
    Network(String),
    /// It gave these addresses, but its answer had expired.
    Stale(BTreeSet<IpAddr>, Stale),
    /// It gave these addresses for so long, and only a second look could tell whether they had expired.
    Unproven(BTreeSet<IpAddr>, Duration),
}

impl Failure {
    /// The likely cause and what to do about it, as the rest of a sentence about the name.
    fn likely(&self) -> Option<&'static str> {
        Some(match self {
            Self::NxDomain => "does not exist (NXDOMAIN): check its spelling, or ask a name server that knows its zone",
            Self::NoData => {
                "has no address of the target group's family (no data): check its spelling, and the IP address type of the group"
            }
            Self::Refused => {
                "is refused by the name server (REFUSED): it does not answer this host, or not about this zone; allow it there, or \
                 ask another with --nameserver"
            }
            Self::ServFail => {
                "cannot be found out by the name server (SERVFAIL): see whether it reaches the servers of the zone"
            }
            Self::TimedOut => {
                "cannot be asked for, because no name server answers in time: see whether it runs, and whether UDP and TCP port \
                 53 get through to it"
            }
            Self::Network(_) => {
                "cannot be asked for, because no name server can be reached: see whether one runs there, or name another with \
                 --nameserver"
            }
            Self::TooMany(_) => {
                "has more addresses than any database: check the name, and where the name server has them from"
            }
            Self::Malformed(_) | Self::Code(_) | Self::Stale(..) | Self::Unproven(..) => return None,
        })
    }

    /// Whether another look, a second later, can get an answer of what is no answer now.
    pub fn may_pass_soon(&self) -> bool {
        matches!(self, Self::Stale(..) | Self::Unproven(..))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NxDomain => f.write_str("NXDOMAIN (no such name)"),
            Self::NoData => f.write_str("no data (the name has no address of this family)"),
            Self::ServFail => f.write_str("SERVFAIL"),
            Self::Refused => f.write_str("REFUSED"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Malformed(what) => write!(f, "malformed answer ({what})"),
            Self::TooMany(count) => write!(
                f,
                "{count} addresses, more than the {ADDRESSES_MAX} that an answer may have"
            ),
            Self::Code(code) => f.write_str(code),
            Self::Network(what) => write!(f, "network error ({what})"),
            Self::Stale(addresses, why) => write!(f, "a stale answer ({}: {why})", list(addresses)),
            Self::Unproven(addresses, ttl) => {
                let (addresses, ttl) = (list(addresses), ttl.as_secs());
                write!(f, "an answer that may be stale ({addresses} with a TTL of {ttl} s)")
            }
        }
    }
}

fn list(addresses: &BTreeSet<IpAddr>) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

/// What one name server gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The addresses, never none.
    pub addresses: BTreeSet<IpAddr>,
    /// The smallest TTL of the records.
    pub ttl: Duration,
    /// The names that CNAMEs led through, in order.
    pub names: Vec<String>,
    /// The Extended DNS Error by which the server says that it is stale.
    pub stale: Option<u16>,
    /// Whether it cannot have been given before; known once it is weighed.
    pub is_fresh: bool,
}

impl Said {
    /// An answer that has not been weighed.
    pub fn new(addresses: BTreeSet<IpAddr>, ttl: Duration) -> Self {
        Self {
            addresses,
            ttl,
            names: Vec::new(),
            stale: None,
            is_fresh: false,
        }
    }
}

/// How many name servers must give an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quorum {
    /// One.
    #[default]
    Any,
    /// More than half of those asked.
    Majority,
}

impl Quorum {
    /// How many of so many name servers that is.
    pub fn of(self, servers: usize) -> usize {
        match self {
            Self::Any => 1,
            Self::Majority => servers / 2 + 1,
        }
    }
}

impl FromStr for Quorum {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        one_of(text, "quorum", &[("any", Self::Any), ("majority", Self::Majority)])
    }
}

/// Makes one answer of what the name servers said: the union of their addresses, less those short of the quorum. A failure
/// beside an answer does not blind.
pub fn combine(said: &[(SocketAddr, Result<Said, Failure>)], quorum: Quorum) -> Result<Resolution, Blind> {
    let needed = quorum.of(said.len());
    let mut votes: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let given = || said.iter().filter_map(|(_, said)| said.as_ref().ok());
    for ip in given().flat_map(|said| &said.addresses) {
        *votes.entry(*ip).or_default() += 1;
    }
    let Some(ttl) = given().map(|said| said.ttl).min() else {
        let failures = said
            .iter()
            .filter_map(|(server, said)| Some((*server, said.as_ref().err()?.clone())));
        return Err(Blind::NoAddress(failures.collect()));
    };
    let (enough, short): (Vec<_>, Vec<_>) = votes.into_iter().partition(|(_, votes)| *votes >= needed);
    let mut resolution = Resolution::new(enough.into_iter().map(|(ip, _)| ip).collect(), ttl).ok_or(Blind::NoQuorum)?;
    resolution.doubtful = short.into_iter().map(|(ip, _)| ip).collect();
    for name in given().flat_map(|said| &said.names) {
        if !resolution.names.contains(name) {
            resolution.names.push(name.clone());
        }
    }
    Ok(resolution)
}

/// Why an endpoint could not be resolved. Nothing is ever removed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blind {
    /// Nobody has looked yet.
    NotYet,
    /// No name server gave an address.
    NoAddress(BTreeMap<SocketAddr, Failure>),
    /// Name servers gave addresses, but none was given by a majority.
    NoQuorum,
    /// Every address of the answer was refused by a guard.
    AllRefused(BTreeMap<IpAddr, Refusal>),
    /// The last answer is too old to decide on.
    Outdated(Duration),
}

impl Blind {
    /// The likely cause and what to do about it, as the rest of a sentence about the name, where the name servers that answer agree.
    pub fn likely(&self) -> Option<&'static str> {
        let Self::NoAddress(failures) = self else { return None };
        let is_silent = |failure: &&Failure| matches!(failure, Failure::TimedOut | Failure::Network(_));
        let mut told: Vec<&Failure> = failures.values().filter(|failure| !is_silent(failure)).collect();
        if told.is_empty() {
            told = failures.values().collect();
        }
        let mut likely = told.into_iter().map(Failure::likely);
        let first = likely.next()??;
        likely.all(|other| other == Some(first)).then_some(first)
    }
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet => f.write_str("not looked at yet"),
            Self::NoAddress(failures) => {
                f.write_str("no name server gave an address")?;
                for (i, (server, failure)) in failures.iter().enumerate() {
                    let separator = if i == 0 { ": " } else { ", " };
                    write!(f, "{separator}{server} {failure}")?;
                }
                Ok(())
            }
            Self::NoQuorum => f.write_str("no address was given by a majority of the name servers"),
            Self::AllRefused(refusals) => {
                f.write_str("every address of the answer is refused")?;
                for (i, (ip, refusal)) in refusals.iter().enumerate() {
                    let separator = if i == 0 { ": " } else { ", " };
                    write!(f, "{separator}{ip} {refusal}")?;
                }
                Ok(())
            }
            Self::Outdated(age) => write!(f, "the last answer is {} s old", age.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_does_not_exist() {
        assert_eq!(Resolution::new(BTreeSet::new(), Duration::ZERO), None);
    }

    #[test]
    fn the_union_is_taken_unless_a_majority_is_asked_for() {
        let said = |ips: &[&str], ttl| {
            Ok(Said {
                addresses: ips.iter().map(|ip| ip.parse().expect("ip")).collect(),
                ttl: Duration::from_secs(ttl),
                names: vec!["writer.example".into()],
                stale: None,
                is_fresh: true,
            })
        };
        let silent = || Err(Failure::TimedOut);
        for (answers, quorum, expect) in [
            (vec![said(&["10.0.0.1"], 5)], Quorum::Any, Ok(("10.0.0.1", "", 5))),
            (
                vec![said(&["10.0.0.1"], 5), said(&["10.0.0.2"], 3)],
                Quorum::Any,
                Ok(("10.0.0.1 10.0.0.2", "", 3)),
            ),
            (
                vec![silent(), said(&["10.0.0.2"], 3)],
                Quorum::Any,
                Ok(("10.0.0.2", "", 3)),
            ),
            (
                vec![silent(), silent()],
                Quorum::Any,
                Err("no name server gave an address: 10.9.0.1:53 no answer in time, 10.9.0.2:53 no answer in time"),
            ),
            (
                vec![said(&["10.0.0.1"], 5), said(&["10.0.0.1", "10.0.0.2"], 5), silent()],
                Quorum::Majority,
                Ok(("10.0.0.1", "10.0.0.2", 5)),
            ),
            (
                vec![said(&["10.0.0.1"], 5), silent(), silent()],
                Quorum::Majority,
                Err("no address was given by a majority of the name servers"),
            ),
            (
                vec![said(&["10.0.0.1"], 5), said(&["10.0.0.2"], 5)],
                Quorum::Majority,
                Err("no address was given by a majority of the name servers"),
            ),
        ] {
            let servers = (1..).map(|n| SocketAddr::from(([10, 9, 0, n], 53)));
            let said: Vec<_> = servers.zip(answers).collect();
            let join = |ips: &BTreeSet<IpAddr>| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let got = combine(&said, quorum);
            let got = got
                .as_ref()
                .map(|r| (join(r.addresses()), join(&r.doubtful), r.ttl.as_secs()))
                .map_err(ToString::to_string);
            let expect = expect
                .map(|(a, d, ttl)| (a.to_owned(), d.to_owned(), ttl))
                .map_err(str::to_owned);
            assert_eq!(got, expect, "{said:?}");
        }
    }
}

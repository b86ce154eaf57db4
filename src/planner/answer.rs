//! What DNS said about an endpoint: an answer, or a failure to get one. No path leads from the second to the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use super::guard::Refusal;
use super::time::Timestamp;
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
    /// Another response code.
    Code(String),
    /// The server could not be reached.
    Network(String),
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
            Self::Code(code) => f.write_str(code),
            Self::Network(what) => write!(f, "network error ({what})"),
        }
    }
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

impl FromStr for Quorum {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        one_of(text, "quorum", &[("any", Self::Any), ("majority", Self::Majority)])
    }
}

/// Makes one answer of what the name servers said: the union of their addresses, less those short of the quorum. A failure
/// beside an answer does not blind.
pub fn combine(said: &[(SocketAddr, Result<Said, Failure>)], quorum: Quorum) -> Result<Resolution, Blind> {
    let needed = match quorum {
        Quorum::Any => 1,
        Quorum::Majority => said.len() / 2 + 1,
    };
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
    Stale(Duration),
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
            Self::Stale(age) => write!(f, "the last answer is {} s old", age.as_secs()),
        }
    }
}

/// After this long without an answer, absence has to be proved anew: nobody can tell what DNS said meanwhile.
pub const GAP: Duration = Duration::from_secs(90);

/// Addresses that a history remembers; reader endpoints have at most 15 members.
const NAMED_MAX: usize = 1024;

/// What the answers of one endpoint have said so far, as this process saw them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Since when looks have been answered without a gap.
    pub seeing_since: Timestamp,
    /// When the latest answered look was.
    pub last_look: Timestamp,
    /// Answered looks.
    pub looks: u64,
    /// Distinct answers: one per TTL, because a resolver repeats the same one until it expires.
    pub answers: u64,
    expires: Timestamp,
    named: BTreeMap<IpAddr, Timestamp>,
}

impl History {
    /// The history after a first answer.
    pub fn new(resolution: &Resolution, now: Timestamp) -> Self {
        let mut history = Self {
            seeing_since: now,
            last_look: now,
            looks: 0,
            answers: 0,
            expires: now,
            named: BTreeMap::new(),
        };
        history.saw(resolution, now);
        history
    }

    /// Adds an answer.
    pub fn saw(&mut self, resolution: &Resolution, now: Timestamp) {
        if now.since(self.last_look) > GAP {
            self.seeing_since = now;
        }
        self.last_look = now;
        self.looks += 1;
        if now >= self.expires {
            self.answers += 1;
            self.expires = now + resolution.ttl;
        }
        for ip in resolution.addresses.iter().chain(&resolution.doubtful) {
            self.named.insert(*ip, now);
        }
        while self.named.len() > NAMED_MAX {
            let oldest = self.named.iter().min_by_key(|(_, at)| **at).map(|(ip, _)| *ip);
            oldest.and_then(|ip| self.named.remove(&ip));
        }
    }

    /// The earliest moment by which that many more answers can have come, if their TTL is that of the current one.
    pub(super) fn earliest(&self, answers: u64, ttl: Duration) -> Timestamp {
        let rest = u32::try_from(answers.saturating_sub(1)).unwrap_or(u32::MAX);
        self.expires + ttl.saturating_mul(rest)
    }

    /// When an answer last named the address.
    pub fn last_named(&self, ip: IpAddr) -> Option<Timestamp> {
        self.named.get(&ip).copied()
    }
}

/// The current answer of an endpoint and those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The current answer.
    pub resolution: Resolution,
    /// All answers up to and including it.
    pub history: History,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ip: &str, ttl_secs: u64) -> Resolution {
        let addresses = BTreeSet::from([ip.parse().expect("an address")]);
        Resolution::new(addresses, Duration::from_secs(ttl_secs)).expect("not empty")
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

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

    #[test]
    fn one_answer_counts_per_ttl() {
        let mut history = History::new(&answer("10.0.0.1", 5), at(0));
        for (secs, answers) in [(1, 1), (4, 1), (5, 2), (6, 2), (9, 2), (10, 3), (30, 4)] {
            history.saw(&answer("10.0.0.2", 5), at(secs));
            assert_eq!(history.answers, answers, "after {secs} s");
        }
        assert_eq!(history.looks, 8);
        assert_eq!(history.last_named("10.0.0.1".parse().expect("ip")), Some(at(0)));
        assert_eq!(history.last_named("10.0.0.2".parse().expect("ip")), Some(at(30)));
    }

    #[test]
    fn a_gap_starts_a_new_run_of_seeing() {
        let mut history = History::new(&answer("10.0.0.1", 5), at(0));
        history.saw(&answer("10.0.0.1", 5), at(90));
        assert_eq!(history.seeing_since, at(0));
        history.saw(&answer("10.0.0.1", 5), at(181));
        assert_eq!(history.seeing_since, at(181));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let mut history = History::new(&answer("10.9.9.9", 0), at(0));
        for n in 0..NAMED_MAX as u32 {
            let ip = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            history.saw(&answer(&ip.to_string(), 0), at(1 + u64::from(n)));
        }
        assert_eq!(history.named.len(), NAMED_MAX);
        assert_eq!(history.last_named("10.9.9.9".parse().expect("ip")), None);
    }
}

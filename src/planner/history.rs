//! What the answers for one name have said so far, as this process heard them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::answer::{Blind, Failure, Quorum, Resolution, Said, combine};
use super::endpoint::Kind;
use super::evidence::Witness;
use super::time::Timestamp;

/// After this long without an answer, absence has to be proved anew: nobody can tell what DNS said meanwhile.
pub const GAP: Duration = Duration::from_secs(90);

/// Addresses that a history remembers; reader endpoints have at most 15 members.
const NAMED_MAX: usize = 1024;
/// An address that comes back after so few fresh answers without it is one of several that a name gives in turn: a name that picks
/// one of two at random stays away from one for longer with a probability of 2^-8. A database that fails over and back, at a TTL
/// of 5 s, is away for longer than those 40 s.
const RETURNS_WITHIN: u64 = 8;
/// A name that has given the same for so many fresh answers gives nothing in turn any more.
const ROTATES_FOR: u64 = 64;

/// One name, its witnesses, and what they have said.
#[derive(Clone, Debug, Default)]
pub struct Inquiry {
    witnesses: BTreeMap<SocketAddr, Witness>,
    history: Option<History>,
}

impl Inquiry {
    /// Weighs what each name server said of `host` in a look that began and ended at these times.
    pub fn weigh(
        &mut self,
        host: &str,
        said: Vec<(SocketAddr, Result<Said, Failure>)>,
        began: Timestamp,
        ended: Timestamp,
    ) -> Vec<(SocketAddr, Result<Said, Failure>)> {
        let weigh = |(server, said)| {
            let witness = self.witnesses.entry(server).or_default();
            (server, witness.weigh(host, said, began, ended))
        };
        said.into_iter().map(weigh).collect()
    }

    /// Takes what was weighed for the answer of now.
    pub fn hear(
        &mut self,
        host: &str,
        said: &[(SocketAddr, Result<Said, Failure>)],
        quorum: Quorum,
        now: Timestamp,
    ) -> Result<Answer, Blind> {
        let resolution = combine(said, quorum)?;
        let history = self.history.get_or_insert_with(|| History::new(now));
        history.saw(host, said, &resolution, now);
        if quorum != Quorum::Any {
            // Who is outvoted does not matter.
            history.differ_since = None;
        }
        Ok(Answer {
            resolution,
            history: history.clone(),
        })
    }
}

/// The current answer of a name and those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The current answer.
    pub resolution: Resolution,
    /// All answers up to and including it.
    pub history: History,
}

/// What the answers for a name have said so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Since when looks have been answered without a gap.
    pub seeing_since: Timestamp,
    /// When the latest answered look was.
    pub last_look: Timestamp,
    /// Answered looks.
    pub looks: u64,
    /// Looks with a fresh answer.
    pub answers: u64,
    /// When the latest fresh answer came, and its TTL.
    fresh: (Timestamp, Duration),
    named: BTreeMap<IpAddr, Named>,
    /// The latest answer of each name server.
    words: BTreeMap<SocketAddr, BTreeSet<IpAddr>>,
    differ_since: Option<Timestamp>,
    /// The number of fresh answers at the latest return of an address, if the name gives several in turn.
    rotates: Option<u64>,
}

/// When an address was named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    last: Timestamp,
    /// The number of fresh answers by then.
    answers: u64,
    /// The names that led to it by which RDS follows a writer.
    writers: BTreeSet<String>,
}

impl History {
    fn new(now: Timestamp) -> Self {
        Self {
            seeing_since: now,
            last_look: now,
            looks: 0,
            answers: 0,
            fresh: (now, Duration::ZERO),
            named: BTreeMap::new(),
            words: BTreeMap::new(),
            differ_since: None,
            rotates: None,
        }
    }

    /// Adds a look with an answer.
    fn saw(
        &mut self,
        host: &str,
        said: &[(SocketAddr, Result<Said, Failure>)],
        resolution: &Resolution,
        now: Timestamp,
    ) {
        if now.since(self.last_look) > GAP {
            self.seeing_since = now;
        }
        self.last_look = now;
        self.looks += 1;
        let given = || {
            said.iter()
                .filter_map(|(server, said)| Some((server, said.as_ref().ok()?)))
        };
        if given().any(|(_, said)| said.is_fresh) {
            self.answers += 1;
            self.fresh = (now, resolution.ttl);
        }
        if self.rotates.is_some_and(|since| self.answers - since > ROTATES_FOR) {
            self.rotates = None;
        }
        let mut named: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        for (_, said) in given() {
            let names = said.names.iter().map(String::as_str).chain([host]);
            let writers: Vec<&str> = names.filter(|name| is_of_a_writer(name)).collect();
            for ip in &said.addresses {
                let known = named.entry(*ip).or_default();
                known.extend(writers.iter().map(|name| (*name).to_owned()));
            }
        }
        for (ip, writers) in named {
            if self.returns(ip, &writers) {
                self.rotates = Some(self.answers);
            }
            let known = Named {
                last: now,
                answers: self.answers,
                writers,
            };
            self.named.insert(ip, known);
        }
        for (server, said) in given() {
            self.words.insert(*server, said.addresses.clone());
        }
        let mut words = self.words.values();
        let first = words.next();
        let differ = words.any(|word| Some(word) != first);
        self.differ_since = self.differ_since.or(Some(now)).filter(|_| differ);
        while self.named.len() > NAMED_MAX {
            let oldest = self.named.iter().min_by_key(|(_, named)| named.last).map(|(ip, _)| *ip);
            oldest.and_then(|ip| self.named.remove(&ip));
        }
    }

    /// Whether the address, named now, was away for a few fresh answers although RDS has not moved it: what was named meanwhile
    /// came by no name of a writer that leads here.
    fn returns(&self, ip: IpAddr, writers: &BTreeSet<String>) -> bool {
        let Some(before) = self.named.get(&ip) else {
            return false;
        };
        let away = self.answers.saturating_sub(before.answers + 1);
        let mut meanwhile = self.named.values().filter(|named| named.answers > before.answers);
        (1..=RETURNS_WITHIN).contains(&away)
            && self.vouched_by(ip).is_empty()
            && meanwhile.all(|named| named.writers.is_disjoint(writers))
    }

    /// The earliest moment by which that many more answers can have come, if their TTL is that of the latest fresh one.
    pub(super) fn earliest(&self, answers: u64) -> Timestamp {
        let (given, ttl) = self.fresh;
        given + ttl.saturating_mul(u32::try_from(answers).unwrap_or(u32::MAX))
    }

    /// When an answer last named the address.
    pub fn last_named(&self, ip: IpAddr) -> Option<Timestamp> {
        self.named.get(&ip).map(|named| named.last)
    }

    /// The name servers whose latest answer named the address: they have not been heard since without it.
    pub fn vouched_by(&self, ip: IpAddr) -> BTreeSet<SocketAddr> {
        let words = self.words.iter();
        words
            .filter(|(_, word)| word.contains(&ip))
            .map(|(server, _)| *server)
            .collect()
    }

    /// The latest answer of each name server, and since when they have differed; none while all say the same.
    pub fn differing(&self) -> Option<(&BTreeMap<SocketAddr, BTreeSet<IpAddr>>, Timestamp)> {
        Some((&self.words, self.differ_since?))
    }

    /// The addresses that the name gives in turn, if it does.
    pub fn rotation(&self) -> Option<BTreeSet<IpAddr>> {
        let since = self.rotates?.saturating_sub(ROTATES_FOR);
        let members = self.named.iter().filter(|(_, named)| named.answers >= since);
        Some(members.map(|(ip, _)| *ip).collect())
    }
}

/// Whether RDS itself moves a name to wherever the one writer is, so that what it names in turn is no rotation.
fn is_of_a_writer(name: &str) -> bool {
    matches!(Kind::of(name), Kind::Cluster | Kind::Global | Kind::Instance)
}

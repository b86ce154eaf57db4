//! What the answers for one name have said so far, as this process heard them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::answer::{Blind, Failure, Quorum, Resolution, Said, combine};
use super::endpoint::{Kind, is_of_rds};
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
    latest: Option<Answer>,
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
        let resolution = match combine(said, quorum) {
            Ok(resolution) => resolution,
            Err(blind) => {
                self.overhear(host, said, quorum, now);
                return Err(blind);
            }
        };
        let before = self.latest.take().map(|latest| latest.history);
        let mut history = before.unwrap_or_else(|| History::new(now));
        history.saw(said, &resolution, now);
        history.heard(host, said, quorum, now);
        Ok(self.latest.insert(Answer { resolution, history }).clone())
    }

    /// Takes what was weighed and is no answer: what too few have named nobody may call unnamed.
    pub fn overhear(
        &mut self,
        host: &str,
        said: &[(SocketAddr, Result<Said, Failure>)],
        quorum: Quorum,
        now: Timestamp,
    ) {
        if let Some(latest) = &mut self.latest {
            latest.history.heard(host, said, quorum, now);
        }
    }

    /// The latest answer that there was, with all that has been named since.
    pub fn latest(&self) -> Option<&Answer> {
        self.latest.as_ref()
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
    /// The latest answer of each name server, and when it was given.
    words: BTreeMap<SocketAddr, (BTreeSet<IpAddr>, Timestamp)>,
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

    /// Counts a look with an answer.
    fn saw(&mut self, said: &[(SocketAddr, Result<Said, Failure>)], resolution: &Resolution, now: Timestamp) {
        if now.since(self.last_look) > GAP {
            self.seeing_since = now;
        }
        self.last_look = now;
        self.looks += 1;
        if said.iter().flat_map(|(_, said)| said).any(|said| said.is_fresh) {
            self.answers += 1;
            self.fresh = (now, resolution.ttl);
        }
        if self.rotates.is_some_and(|since| self.answers - since > ROTATES_FOR) {
            self.rotates = None;
        }
    }

    /// Takes what each name server named.
    fn heard(&mut self, host: &str, said: &[(SocketAddr, Result<Said, Failure>)], quorum: Quorum, now: Timestamp) {
        let given = || {
            said.iter()
                .filter_map(|(server, said)| Some((server, said.as_ref().ok()?)))
        };
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
            if self.returns(ip, &writers, now) {
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
            self.words.insert(*server, (said.addresses.clone(), now));
        }
        let words = self.standing_words();
        let differ = words.values().any(|word| Some(word) != words.values().next());
        // Where a majority decides, who is outvoted does not matter.
        let matters = differ && quorum == Quorum::Any;
        self.differ_since = self.differ_since.or(Some(now)).filter(|_| matters);
        while self.named.len() > NAMED_MAX {
            let oldest = self.named.iter().min_by_key(|(_, named)| named.last).map(|(ip, _)| *ip);
            oldest.and_then(|ip| self.named.remove(&ip));
        }
    }

    /// Whether the address, named now, was away for a few fresh answers although RDS has not moved it: what was named meanwhile
    /// came by no name of a writer that leads here.
    fn returns(&self, ip: IpAddr, writers: &BTreeSet<String>, now: Timestamp) -> bool {
        let Some(before) = self.named.get(&ip) else {
            return false;
        };
        let away = self.answers.saturating_sub(before.answers + 1);
        let mut meanwhile = self.named.values().filter(|named| named.answers > before.answers);
        // An authority gives a fresh answer whenever it is asked; what it gives in turn may stay for its TTL all the same.
        let (_, ttl) = self.fresh;
        let is_soon = away <= RETURNS_WITHIN || now.since(before.last) <= ttl.saturating_mul(RETURNS_WITHIN as u32);
        away > 0
            && is_soon
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

    /// Whether nothing later speaks against a word of that time about the address: if another name server has named it after that,
    /// what that one says since is newer evidence.
    fn stands(&self, ip: IpAddr, at: Timestamp) -> bool {
        self.last_named(ip) <= Some(at)
    }

    /// What stands of the latest answers.
    fn standing_words(&self) -> BTreeMap<SocketAddr, BTreeSet<IpAddr>> {
        let words = self.words.iter().map(|(server, (word, at))| {
            let standing = word.iter().filter(|ip| self.stands(**ip, *at));
            (*server, standing.copied().collect::<BTreeSet<IpAddr>>())
        });
        words.filter(|(_, word)| !word.is_empty()).collect()
    }

    /// The name servers that named the address last of all, and have not been heard since without it.
    pub fn vouched_by(&self, ip: IpAddr) -> BTreeSet<SocketAddr> {
        let words = self.words.iter();
        let vouching = words.filter(|(_, (word, at))| word.contains(&ip) && self.stands(ip, *at));
        vouching.map(|(server, _)| *server).collect()
    }

    /// What the name servers say, and since when they have differed; none while all say the same.
    pub fn differing(&self) -> Option<(BTreeMap<SocketAddr, BTreeSet<IpAddr>>, Timestamp)> {
        Some((self.standing_words(), self.differ_since?))
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
    is_of_rds(name) && matches!(Kind::of(name), Kind::Cluster | Kind::Global | Kind::Instance)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CLUSTER: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
    const ONE: &str = "orders-1.abc123.eu-west-1.rds.amazonaws.com";
    const TWO: &str = "orders-2.abc123.eu-west-1.rds.amazonaws.com";
    const OWN: &str = "orders.db.internal";

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + secs * 1000)
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// Hears servers, each of which says one address with a TTL of 5 s, or nothing.
    fn hear(
        inquiry: &mut Inquiry,
        host: &str,
        names: &[&str],
        said: &[Option<u8>],
        secs: u64,
    ) -> Result<Answer, Blind> {
        let said = said.iter().zip(2..).map(|(last, n)| {
            let said = last.map(|last| Said::new(BTreeSet::from([ip(last)]), Duration::from_secs(5)));
            let mut said = said.ok_or(Failure::TimedOut);
            if let Ok(said) = &mut said {
                said.names = names.iter().map(|name| (*name).to_owned()).collect();
            }
            (SocketAddr::from(([10, 9, 0, n], 53)), said)
        });
        let said = inquiry.weigh(host, said.collect(), at(secs), at(secs));
        inquiry.hear(host, &said, Quorum::Any, at(secs))
    }

    #[test]
    fn a_gap_starts_a_new_run_of_seeing() {
        let mut inquiry = Inquiry::default();
        for (secs, since) in [(0, 0), (90, 0), (181, 181)] {
            let answer = hear(&mut inquiry, OWN, &[], &[Some(1)], secs).expect("an answer");
            assert_eq!(answer.history.seeing_since, at(since));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let mut history = History::new(at(0));
        let server = SocketAddr::from(([10, 9, 0, 2], 53));
        for n in 0..=NAMED_MAX as u32 {
            let ip = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            let said = [(server, Ok(Said::new(BTreeSet::from([ip]), Duration::ZERO)))];
            let resolution = combine(&said, Quorum::Any).expect("an address");
            history.saw(&said, &resolution, at(u64::from(n)));
            history.heard(OWN, &said, Quorum::Any, at(u64::from(n)));
        }
        assert_eq!(history.named.len(), NAMED_MAX);
        assert_eq!(history.last_named(IpAddr::from([10, 0, 0, 0])), None);
    }

    /// Where no majority names anything, what each server named was named all the same (the simulation, seed 100008).
    #[test]
    fn what_too_few_have_named_is_not_unnamed() {
        let mut inquiry = Inquiry::default();
        let mut hear = |named: [Option<u8>; 3], secs: u64| {
            let said = named.iter().zip(2..).map(|(last, n)| {
                let said = last.map(|last| Said::new(BTreeSet::from([ip(last)]), Duration::from_secs(5)));
                (SocketAddr::from(([10, 9, 0, n], 53)), said.ok_or(Failure::NxDomain))
            });
            let said = inquiry.weigh(OWN, said.collect(), at(secs), at(secs));
            inquiry.hear(OWN, &said, Quorum::Majority, at(secs))
        };
        assert!(hear([Some(1), Some(1), Some(1)], 0).is_ok());
        assert_eq!(hear([Some(1), Some(4), None], 5), Err(Blind::NoQuorum));
        let answer = hear([Some(1), Some(1), None], 10).expect("a majority");
        assert_eq!(answer.history.last_named(ip(4)), Some(at(5)));
        assert_eq!((answer.history.looks, answer.history.answers), (2, 2));
    }

    /// A name whose answers name these addresses, one after the other, five seconds apart, by way of these names.
    #[test]
    fn what_returns_soon_is_a_member_of_a_rotation_unless_rds_has_moved_it() {
        let long_away = [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1];
        for (what, host, names, addresses, rotates) in [
            ("a change", OWN, [&[][..], &[]], &[1, 2, 2, 2][..], false),
            ("two at random", OWN, [&[], &[]], &[1, 2, 2, 1], true),
            ("three in turn", OWN, [&[], &[]], &[1, 2, 3, 1], true),
            (
                "a failover and a failback much later",
                OWN,
                [&[], &[]],
                &long_away,
                false,
            ),
            (
                "the flap of a failover",
                CLUSTER,
                [&[ONE], &[TWO]],
                &[1, 2, 1, 2],
                false,
            ),
            (
                "the same behind an alias",
                OWN,
                [&[CLUSTER, ONE], &[CLUSTER, TWO]],
                &[1, 2, 1, 2],
                false,
            ),
            (
                "an instance that is replaced and comes back",
                ONE,
                [&[], &[]],
                &[1, 2, 1, 2],
                false,
            ),
            (
                "a name that only looks like RDS's",
                "orders.cluster-a.db.internal",
                [&[], &[]],
                &[1, 2, 1],
                true,
            ),
            (
                "an alias of two instances by weight",
                OWN,
                [&[ONE], &[TWO]],
                &[1, 2, 1, 2],
                true,
            ),
        ] {
            let mut inquiry = Inquiry::default();
            let mut found = None;
            for (n, last) in addresses.iter().enumerate() {
                let by = names[usize::from(*last != 1)];
                let answer = hear(&mut inquiry, host, by, &[Some(*last)], 5 * n as u64).expect("an answer");
                found = answer.history.rotation();
            }
            let members = rotates.then(|| addresses.iter().map(|last| ip(*last)).collect());
            assert_eq!(found, members, "{what}");
        }
    }

    #[test]
    fn a_rotation_is_over_when_nothing_has_changed_for_long() {
        let mut inquiry = Inquiry::default();
        let mut rotates = Vec::new();
        for n in 0..70 {
            let last = if n == 1 { 2 } else { 1 };
            let answer = hear(&mut inquiry, OWN, &[], &[Some(last)], 5 * n).expect("an answer");
            rotates.push(answer.history.rotation().is_some());
        }
        let found = (rotates.iter().position(|is| *is), rotates.iter().rposition(|is| *is));
        assert_eq!(found, (Some(2), Some(2 + ROTATES_FOR as usize)));
    }

    /// What two servers say, and then who vouches for the first address, and since when they have differed.
    #[test]
    fn a_name_server_vouches_for_what_it_said_last() {
        let mut inquiry = Inquiry::default();
        for (secs, said, first_vouched_by, differ_since) in [
            (0, [Some(1), Some(1)], &[2, 3][..], None),
            (5, [Some(2), Some(1)], &[3], Some(5)),
            // It falls silent: its word stands.
            (10, [Some(2), None], &[3], Some(5)),
            (200, [Some(2), None], &[3], Some(5)),
            (205, [Some(2), Some(2)], &[], None),
            (210, [Some(1), Some(2)], &[2], Some(210)),
            (215, [None, Some(2)], &[2], Some(210)),
        ] {
            let answer = hear(&mut inquiry, CLUSTER, &[], &said, secs).expect("an answer");
            let servers: Vec<u8> = (answer.history.vouched_by(ip(1)).iter())
                .map(|server| match server.ip() {
                    IpAddr::V4(ip) => ip.octets()[3],
                    IpAddr::V6(_) => 0,
                })
                .collect();
            assert_eq!(servers, first_vouched_by, "after {secs} s");
            let differ = answer.history.differing().map(|(_, since)| since);
            assert_eq!(differ, differ_since.map(at), "after {secs} s");
        }
        // One that died long before the other saw a change says nothing of that.
        let mut inquiry = Inquiry::default();
        for (secs, said, first_vouched_by, differ_since) in [
            (0, [Some(1), Some(1)], 2, None),
            (5, [Some(1), None], 1, None),
            (3600, [Some(2), None], 0, None),
        ] {
            let answer = hear(&mut inquiry, CLUSTER, &[], &said, secs).expect("an answer");
            assert_eq!(
                answer.history.vouched_by(ip(1)).len(),
                first_vouched_by,
                "after {secs} s"
            );
            assert_eq!(
                answer.history.differing().map(|(_, since)| since),
                differ_since,
                "after {secs} s"
            );
        }
        let blind = hear(&mut inquiry, CLUSTER, &[], &[None, None], 3605);
        assert!(matches!(blind, Err(Blind::NoAddress(_))), "{blind:?}");
    }
}

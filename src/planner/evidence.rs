//! What an answer proves. A name server may repeat an answer that it keeps, and many give one that has expired while they cannot
//! reach anybody; neither tells what is so now.
//!
//! ```text
//! the answer of one name server                                      it is
//! says of itself that it is stale (RFC 8914, codes 3 and 19)         stale
//! of an RDS name, with a TTL above RDS's 5 s that stands still       stale
//! the same with a TTL that is not known to count down                unproven: only a second look tells
//! the first one, with a TTL of 0                                     unproven: only a second look tells
//! the same addresses with a TTL of 0 again, within 7 s               a repeat
//! the same addresses with no more TTL than was left of one of the
//! latest four answers that named them                                a repeat
//! any other                                                          fresh
//! ```
//!
//! A *fresh* answer cannot have been given before: it counts as a sample of a reader endpoint, towards a removal and towards the end
//! of a `sync`. A *repeat* names addresses, but is no second answer. A *stale* answer names nothing: it is taken for a failure, and
//! so is an unproven one that a second look does not prove.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::answer::{Failure, RDS_TTL_MAX, Said, Stale};
use super::endpoint::is_of_rds;
use super::time::Timestamp;

/// As long as a cache may go on telling a TTL of 0 out of one entry (Knot Resolver with `policy.STUB`: for `cache.min_ttl`, 5 s, and
/// a second of rounding), and a second more.
const ZERO_TTL_LASTS: Duration = Duration::from_secs(7);

/// Answers that a witness remembers: there may be several caches behind one address.
const RECENT_MAX: usize = 4;

/// What is remembered of one name server's answers for one name, to weigh the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// The latest first.
    recent: Vec<Given>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    addresses: BTreeSet<IpAddr>,
    ttl: Duration,
    received: Timestamp,
    /// When it was fresh; it may have been told again since. None: it was never proven.
    fresh: Option<Timestamp>,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fresh,
    /// Of the answer at this place.
    Repeat(usize),
    Unproven,
    Stale(Stale),
}

impl Witness {
    /// Weighs what the name server said of `host`, in a look that began and ended at these times: an answer is marked as fresh or
    /// not, or becomes a failure.
    pub fn weigh(
        &mut self,
        host: &str,
        said: Result<Said, Failure>,
        began: Timestamp,
        ended: Timestamp,
    ) -> Result<Said, Failure> {
        let mut said = said?;
        let verdict = self.judge(host, &said, began);
        let mut given = Given {
            addresses: said.addresses.clone(),
            ttl: said.ttl,
            received: ended,
            fresh: (verdict == Verdict::Fresh).then_some(ended),
        };
        if let Verdict::Repeat(place) = verdict {
            let before = self.recent.remove(place);
            given.fresh = before.fresh;
            if before.ttl == said.ttl {
                // The same TTL again is still the same second of it: what counts is when that was heard first.
                given.received = before.received;
            }
        }
        if !matches!(verdict, Verdict::Stale(Stale::ByItsWord(_))) {
            self.recent.insert(0, given);
            self.recent.truncate(RECENT_MAX);
        }
        said.is_fresh = verdict == Verdict::Fresh;
        match verdict {
            Verdict::Fresh | Verdict::Repeat(_) => Ok(said),
            Verdict::Unproven => Err(Failure::Unproven(said.addresses, said.ttl)),
            Verdict::Stale(stale) => Err(Failure::Stale(said.addresses, stale)),
        }
    }

    fn judge(&self, host: &str, said: &Said, began: Timestamp) -> Verdict {
        if let Some(code) = said.stale {
            return Verdict::Stale(Stale::ByItsWord(code));
        }
        let is_above_rds = is_above_rds(host, said);
        let Some(last) = self.recent.first() else {
            let tells_nothing = said.ttl.is_zero() || is_above_rds;
            return if tells_nothing {
                Verdict::Unproven
            } else {
                Verdict::Fresh
            };
        };
        if is_above_rds && !said.counts_down_from(last, began) {
            // One that was fetched anew before its end would have to come with another TTL than the rest that was left of it.
            let stands_still = said.ttl == last.ttl && began.since(last.received) < last.ttl;
            return if stands_still {
                Verdict::Stale(Stale::TtlStandsStill(said.ttl))
            } else {
                Verdict::Unproven
            };
        }
        if is_above_rds && last.fresh.is_none() && began.since(last.received).as_secs() == 0 {
            return Verdict::Unproven;
        }
        let is_again = |given: &Given| {
            let is_zero_again = |fresh| said.ttl.is_zero() && began.since(fresh) < ZERO_TTL_LASTS;
            let is_it = |fresh| said.counts_down_from(given, began) || is_zero_again(fresh);
            said.addresses == given.addresses && given.fresh.is_some_and(is_it)
        };
        match self.recent.iter().position(is_again) {
            Some(place) => Verdict::Repeat(place),
            None => Verdict::Fresh,
        }
    }
}

impl Said {
    /// Whether its TTL is no more than what was left of an earlier answer. Name servers count whole seconds, and that answer was
    /// given before it was received.
    fn counts_down_from(&self, given: &Given, began: Timestamp) -> bool {
        self.ttl + Duration::from_secs(began.since(given.received).as_secs()) <= given.ttl
    }
}

/// Whether RDS names lead to the answer and its TTL is none that RDS gives: only a second look tells what it is.
pub fn is_above_rds(host: &str, said: &Said) -> bool {
    let mut names = said.names.iter().map(String::as_str).chain([host]);
    said.ttl > RDS_TTL_MAX && names.any(is_of_rds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RDS: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
    const OWN: &str = "orders.db.internal";

    /// What one look heard: when (in tenths of a second), the address (its last digit), the TTL, and what it is.
    type Look = (u64, u8, u64, &'static str);

    fn word(heard: &Result<Said, Failure>) -> &'static str {
        match heard {
            Ok(said) if said.is_fresh => "fresh",
            Ok(_) => "repeat",
            Err(Failure::Stale(..)) => "stale",
            Err(Failure::Unproven(..)) => "unproven",
            Err(_) => "failure",
        }
    }

    /// What caches were measured to say, and what that is; by whom, is said of each.
    #[test]
    fn answers_are_what_caches_make_of_them() {
        let table: [(&str, &str, &[Look]); 19] = [
            (
                "dnsmasq, PowerDNS, BIND, systemd-resolved; TTL 5",
                RDS,
                &[
                    (0, 1, 5, "fresh"),
                    (20, 1, 3, "repeat"),
                    (45, 1, 1, "repeat"),
                    (52, 1, 5, "fresh"),
                ],
            ),
            (
                "asked at the end of each answer",
                RDS,
                &[(0, 1, 5, "fresh"), (50, 1, 5, "fresh"), (101, 1, 5, "fresh")],
            ),
            (
                "asked within the same second",
                RDS,
                &[
                    (0, 1, 5, "fresh"),
                    (3, 1, 5, "repeat"),
                    (9, 1, 5, "repeat"),
                    (10, 1, 5, "fresh"),
                ],
            ),
            (
                "Unbound: the entry lives a second longer, with 0",
                RDS,
                &[
                    (0, 1, 5, "fresh"),
                    (50, 1, 0, "repeat"),
                    (60, 1, 5, "fresh"),
                    (110, 1, 0, "repeat"),
                ],
            ),
            (
                "a reader endpoint, TTL 1, asked every second",
                RDS,
                &[(0, 1, 1, "fresh"), (10, 1, 1, "fresh"), (20, 2, 1, "fresh")],
            ),
            (
                "the same through Unbound",
                RDS,
                &[(0, 1, 1, "fresh"), (10, 1, 0, "repeat"), (20, 1, 1, "fresh")],
            ),
            (
                "Knot Resolver with policy.STUB, shared",
                RDS,
                &[
                    (0, 1, 1, "fresh"),
                    (10, 1, 0, "repeat"),
                    (20, 1, 0, "repeat"),
                    (30, 1, 0, "repeat"),
                    (40, 1, 0, "repeat"),
                    (50, 1, 0, "repeat"),
                    (60, 1, 1, "fresh"),
                    (70, 2, 0, "fresh"),
                ],
            ),
            (
                "a name with a TTL of 0, uncached",
                RDS,
                &[
                    (0, 1, 0, "unproven"),
                    (10, 1, 0, "fresh"),
                    (20, 1, 0, "repeat"),
                    (70, 1, 0, "repeat"),
                    (81, 1, 0, "fresh"),
                    (91, 2, 0, "fresh"),
                ],
            ),
            (
                "an authority, or a cache that asks at every hit",
                RDS,
                &[(0, 1, 5, "fresh"), (10, 1, 5, "fresh"), (20, 1, 5, "fresh")],
            ),
            (
                "Unbound with serve-expired, nobody reached",
                RDS,
                &[
                    (0, 1, 5, "fresh"),
                    (60, 1, 30, "unproven"),
                    (70, 1, 30, "stale"),
                    (120, 1, 30, "stale"),
                    (400, 1, 30, "stale"),
                ],
            ),
            (
                "the same, reached: the expired one first, then the truth",
                RDS,
                &[(0, 1, 30, "unproven"), (10, 2, 4, "fresh")],
            ),
            (
                "dnsdist with staleTTL, the same at a start",
                RDS,
                &[(0, 1, 30, "unproven"), (10, 1, 30, "stale"), (60, 1, 30, "stale")],
            ),
            (
                "the same after an hour without a look",
                RDS,
                &[
                    (0, 1, 30, "unproven"),
                    (10, 1, 30, "stale"),
                    (36000, 1, 30, "unproven"),
                    (36010, 1, 30, "stale"),
                ],
            ),
            (
                "a cache that keeps for 60 s what RDS gives for 5",
                RDS,
                &[
                    (0, 1, 60, "unproven"),
                    (10, 1, 59, "fresh"),
                    (60, 1, 54, "repeat"),
                    (590, 1, 1, "repeat"),
                    (600, 1, 60, "unproven"),
                    (610, 1, 59, "fresh"),
                ],
            ),
            (
                "the same, whose look came too soon to tell",
                RDS,
                &[(0, 1, 60, "unproven"), (5, 1, 60, "unproven"), (15, 1, 59, "fresh")],
            ),
            (
                "two caches behind one address",
                RDS,
                &[
                    (0, 1, 5, "fresh"),
                    (10, 2, 5, "fresh"),
                    (20, 1, 3, "repeat"),
                    (30, 2, 3, "repeat"),
                    (40, 1, 1, "repeat"),
                    (60, 1, 5, "fresh"),
                ],
            ),
            (
                "a name that only looks like RDS's",
                "orders.cluster-a.db.internal",
                &[(0, 1, 60, "fresh"), (10, 1, 60, "fresh")],
            ),
            (
                "a name of one's own with a TTL of 60 from its authority",
                OWN,
                &[(0, 1, 60, "fresh"), (10, 1, 60, "fresh"), (50, 1, 60, "fresh")],
            ),
            (
                "the same through a cache",
                OWN,
                &[
                    (0, 1, 60, "fresh"),
                    (10, 1, 59, "repeat"),
                    (590, 1, 1, "repeat"),
                    (600, 1, 60, "fresh"),
                ],
            ),
        ];
        for (what, host, looks) in table {
            let mut witness = Witness::default();
            for (tenths, last, ttl, expect) in looks {
                let at = Timestamp::from_millis(1_000_000 + tenths * 100);
                let said = Said::new(
                    BTreeSet::from([IpAddr::from([10, 0, 0, *last])]),
                    Duration::from_secs(*ttl),
                );
                let heard = witness.weigh(host, Ok(said), at, at);
                assert_eq!(word(&heard), *expect, "{what}: after {tenths} tenths of a second");
            }
        }
    }

    #[test]
    fn what_is_stale_by_its_own_word_leaves_no_trace() {
        let mut witness = Witness::default();
        for (secs, ttl, stale, expect) in [
            (0, 5, None, "fresh"),
            (5, 30, Some(3), "stale"),
            (6, 5, None, "fresh"),
            (11, 30, Some(3), "stale"),
            (12, 0, Some(3), "stale"),
            (13, 0, None, "fresh"),
            (14, 0, Some(19), "stale"),
        ] {
            let at = Timestamp::from_millis(secs * 1000);
            let mut said = Said::new(BTreeSet::from([IpAddr::from([10, 0, 0, 1])]), Duration::from_secs(ttl));
            said.stale = stale;
            assert_eq!(word(&witness.weigh(RDS, Ok(said), at, at)), expect, "after {secs} s");
        }
        let failed = witness.weigh(
            RDS,
            Err(Failure::ServFail),
            Timestamp::from_millis(0),
            Timestamp::from_millis(0),
        );
        assert_eq!(failed, Err(Failure::ServFail));
    }
}

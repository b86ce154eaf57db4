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
//! the same addresses with no more TTL than was left of them          a repeat
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
use super::endpoint::Kind;
use super::time::Timestamp;

/// As long as a cache may go on telling a TTL of 0 out of one entry (Knot Resolver with `policy.STUB`: for `cache.min_ttl`, 5 s, and
/// a second of rounding), and a second more.
const ZERO_TTL_LASTS: Duration = Duration::from_secs(7);

/// What is remembered of one name server's answers for one name, to weigh the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    last: Option<Last>,
}

/// The latest answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Last {
    addresses: BTreeSet<IpAddr>,
    ttl: Duration,
    received: Timestamp,
    /// When an answer was last fresh, if those since were repeats.
    fresh: Option<Timestamp>,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fresh,
    Repeat,
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
        if !matches!(verdict, Verdict::Stale(Stale::ByItsWord(_))) {
            let fresh = match verdict {
                Verdict::Fresh => Some(ended),
                Verdict::Repeat => self.last.as_ref().and_then(|last| last.fresh),
                Verdict::Unproven | Verdict::Stale(_) => None,
            };
            self.last = Some(Last {
                addresses: said.addresses.clone(),
                ttl: said.ttl,
                received: ended,
                fresh,
            });
        }
        said.is_fresh = verdict == Verdict::Fresh;
        match verdict {
            Verdict::Fresh | Verdict::Repeat => Ok(said),
            Verdict::Unproven => Err(Failure::Unproven(said.addresses, said.ttl)),
            Verdict::Stale(stale) => Err(Failure::Stale(said.addresses, stale)),
        }
    }

    fn judge(&self, host: &str, said: &Said, began: Timestamp) -> Verdict {
        if let Some(code) = said.stale {
            return Verdict::Stale(Stale::ByItsWord(code));
        }
        let is_above_rds = is_above_rds(host, said);
        let Some(last) = &self.last else {
            let tells_nothing = said.ttl.is_zero() || is_above_rds;
            return if tells_nothing {
                Verdict::Unproven
            } else {
                Verdict::Fresh
            };
        };
        // Name servers count whole seconds, and the last answer was given before it was received.
        let since = began.since(last.received);
        let whole_secs = Duration::from_secs(since.as_secs());
        let counts_down = said.ttl + whole_secs <= last.ttl;
        if is_above_rds && !counts_down {
            // One that was fetched anew before its end would have to come with another TTL than the rest that was left of it.
            let stands_still = said.ttl == last.ttl && since < last.ttl;
            return if stands_still {
                Verdict::Stale(Stale::TtlStandsStill(said.ttl))
            } else {
                Verdict::Unproven
            };
        }
        if is_above_rds && last.fresh.is_none() && whole_secs.is_zero() {
            return Verdict::Unproven;
        }
        let is_zero_again = said.ttl.is_zero() && last.fresh.is_some_and(|fresh| began.since(fresh) < ZERO_TTL_LASTS);
        let is_repeat = (counts_down && last.fresh.is_some()) || is_zero_again;
        if is_repeat && said.addresses == last.addresses {
            Verdict::Repeat
        } else {
            Verdict::Fresh
        }
    }
}

/// Whether RDS names lead to the answer and its TTL is none that RDS gives.
fn is_above_rds(host: &str, said: &Said) -> bool {
    let mut names = said.names.iter().map(String::as_str).chain([host]);
    said.ttl > RDS_TTL_MAX && names.any(|name| Kind::of(name) != Kind::Other)
}

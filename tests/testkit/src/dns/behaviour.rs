//! What a name does when it is asked, and what that means for one query.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};

use super::parse_name;
use super::wire::GARBAGE;
use super::zone::{Content, Distortion, NEGATIVE_TTL_SECONDS, Step};

/// What a name does when it is asked.
///
/// Behaviours nest: a fault wraps what would have been answered without it, and a sequence holds anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// All the addresses of the family asked for, in this order; NODATA if there are none of it.
    Addresses {
        /// IPv4 and IPv6 addresses, in any order.
        addresses: Vec<IpAddr>,
        /// TTL in seconds.
        ttl: u32,
    },
    /// One random address of the family asked for in each answer, as a reader endpoint gives.
    RandomMember {
        /// IPv4 and IPv6 addresses, in any order.
        addresses: Vec<IpAddr>,
        /// TTL in seconds.
        ttl: u32,
        /// The same seed gives the same choices in the same order.
        seed: u64,
    },
    /// An alias, followed inside the same answer; a loop of aliases is answered with the records of the loop only.
    Cname {
        /// What the alias points to.
        target: Name,
        /// TTL of the alias itself in seconds.
        ttl: u32,
    },
    /// The name does not exist, with a SOA that allows that to be cached for [`NEGATIVE_TTL_SECONDS`].
    NxDomain,
    /// The name exists, but not with the type asked for, with the same SOA.
    NoData,
    /// An empty answer without a SOA.
    NoDataBare,
    /// SERVFAIL: the server could not find out.
    ServFail,
    /// REFUSED: the server does not want to say.
    Refused,
    /// No reply, ever; over TCP the connection is kept open.
    Silent,
    /// Over UDP only the request to ask over TCP, where the answer is given in full.
    ///
    /// What was withheld has not been given: it does not count for a sequence, a random choice or the cache.
    Truncated(Box<Behaviour>),
    /// The answer under another message id, as from a blind spoofer.
    WrongId(Box<Behaviour>),
    /// The answer to the question for another name, as from a confused or malicious server.
    WrongName(Box<Behaviour>),
    /// The answer with the Extended DNS Error Stale Answer (RFC 8914), as a cache marks what had expired, if it is asked with EDNS.
    Stale(Box<Behaviour>),
    /// Bytes with the right message id that are not a DNS message.
    Malformed,
    /// The right message id and then these bytes, whatever they are; over UDP, if that is more than was asked for, the request to ask
    /// over TCP.
    Raw(Vec<u8>),
    /// The answer as it is now, sent later; other queries do not wait for it.
    Delayed(Duration, Box<Behaviour>),
    /// One behaviour for each query of the same record type, the last one for all that follow; silent if empty.
    Sequence(Vec<Behaviour>),
}

impl Behaviour {
    /// One address.
    ///
    /// # Panics
    /// If it is not an IP address.
    pub fn a(address: &str, ttl: u32) -> Self {
        Self::all(&[address], ttl)
    }

    /// All of these addresses in each answer.
    ///
    /// # Panics
    /// If one is not an IP address.
    pub fn all(addresses: &[&str], ttl: u32) -> Self {
        Self::Addresses {
            addresses: parse_addresses(addresses),
            ttl,
        }
    }

    /// One random address of these in each answer.
    ///
    /// # Panics
    /// If one is not an IP address.
    pub fn random(addresses: &[&str], ttl: u32, seed: u64) -> Self {
        Self::RandomMember {
            addresses: parse_addresses(addresses),
            ttl,
            seed,
        }
    }

    /// An alias for another name, whose final dot is optional.
    ///
    /// # Panics
    /// If the target is not a domain name.
    pub fn cname(target: &str, ttl: u32) -> Self {
        Self::Cname {
            target: parse_name(target),
            ttl,
        }
    }

    /// This, but over TCP only.
    pub fn truncated(self) -> Self {
        Self::Truncated(Box::new(self))
    }

    /// This, but later.
    pub fn delayed(self, by: Duration) -> Self {
        Self::Delayed(by, Box::new(self))
    }

    /// This, but marked as expired.
    pub fn stale(self) -> Self {
        Self::Stale(Box::new(self))
    }

    /// This, but under another message id.
    pub fn wrong_id(self) -> Self {
        Self::WrongId(Box::new(self))
    }

    /// This, but for another name than the one asked for.
    pub fn wrong_name(self) -> Self {
        Self::WrongName(Box::new(self))
    }

    /// What it means for a query of this type, after `given` answers of this type before.
    ///
    /// Counting from outside keeps behaviours plain values: a sequence has no position and a choice no generator.
    pub(super) fn step(&self, kind: RecordType, given: u64) -> Step {
        match self {
            Self::Addresses { addresses, ttl } => addresses_step(of_family(addresses, kind), *ttl),
            Self::RandomMember { addresses, ttl, seed } => {
                let members = of_family(addresses, kind);
                let member = choose(&members, *seed, given);
                addresses_step(member.into_iter().collect(), *ttl)
            }
            Self::Cname { target, ttl } => Content::Alias {
                target: target.clone(),
                ttl: *ttl,
            }
            .into(),
            Self::NxDomain => negative(ResponseCode::NXDomain),
            Self::NoData => negative(ResponseCode::NoError),
            Self::NoDataBare => Content::Nothing {
                code: ResponseCode::NoError,
                ttl: None,
            }
            .into(),
            Self::ServFail => Content::Nothing {
                code: ResponseCode::ServFail,
                ttl: None,
            }
            .into(),
            Self::Refused => Content::Nothing {
                code: ResponseCode::Refused,
                ttl: None,
            }
            .into(),
            Self::Silent => Content::Silence.into(),
            Self::Malformed => Content::Raw(GARBAGE.to_vec()).into(),
            Self::Raw(bytes) => Content::Raw(bytes.clone()).into(),
            Self::Truncated(inner) => inner.distorted(kind, given, |by| by.truncated = true),
            Self::Stale(inner) => inner.distorted(kind, given, |by| by.stale = true),
            Self::WrongId(inner) => inner.distorted(kind, given, |by| by.wrong_id = true),
            Self::WrongName(inner) => inner.distorted(kind, given, |by| by.wrong_name = true),
            Self::Delayed(delay, inner) => inner.distorted(kind, given, |by| by.delay += *delay),
            Self::Sequence(behaviours) => sequence_step(behaviours, kind, given),
        }
    }

    fn distorted(&self, kind: RecordType, given: u64, distort: impl FnOnce(&mut Distortion)) -> Step {
        let mut step = self.step(kind, given);
        distort(&mut step.distortion);
        step
    }
}

fn parse_addresses(addresses: &[&str]) -> Vec<IpAddr> {
    let parse = |text: &&str| text.parse().unwrap_or_else(|_| panic!("{text:?} is not an IP address"));
    addresses.iter().map(parse).collect()
}

fn of_family(addresses: &[IpAddr], kind: RecordType) -> Vec<IpAddr> {
    let wanted = |address: &&IpAddr| match kind {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        _ => false,
    };
    addresses.iter().filter(wanted).copied().collect()
}

fn addresses_step(addresses: Vec<IpAddr>, ttl: u32) -> Step {
    if addresses.is_empty() {
        return negative(ResponseCode::NoError);
    }
    Content::Addresses { addresses, ttl }.into()
}

fn negative(code: ResponseCode) -> Step {
    Content::Nothing {
        code,
        ttl: Some(NEGATIVE_TTL_SECONDS),
    }
    .into()
}

fn sequence_step(behaviours: &[Behaviour], kind: RecordType, given: u64) -> Step {
    let Some(last) = behaviours.len().checked_sub(1) else {
        return Content::Silence.into();
    };
    let index = usize::try_from(given).map_or(last, |given| given.min(last));
    // What repeats at the end may count on from there: a sequence or a random choice of its own.
    behaviours[index].step(kind, given - index as u64)
}

fn choose(members: &[IpAddr], seed: u64, given: u64) -> Option<IpAddr> {
    let count = members.len() as u64;
    let index = scramble(seed, given).checked_rem(count)?;
    members.get(index as usize).copied()
}

/// The number at a place in the random sequence of a seed (SplitMix64, which can be entered anywhere).
fn scramble(seed: u64, place: u64) -> u64 {
    let mut z = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

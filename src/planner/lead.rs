//! Who the writer is, where the members of a database say it themselves and DNS, which is the last to know, says something else.
//!
//! ```text
//! what members show, freshly         DNS names          verdict
//! one is the writer                  it                 Agrees: it, and nothing else that DNS names
//! one is the writer                  others, or nobody  Leads: it, for as long as it goes on to show so
//! two or more are                    any                Contested: as DNS says
//! nobody is                          readers only       Waits: nobody, for `patience`; then as DNS says (Impatient)
//! nobody is, and somebody that DNS   any                Follows: as DNS says
//!   names shows anything else,
//!   nothing, or nothing fresh
//! ```
//!
//! An address leads by its own word alone, given to us over TLS that names the endpoint, and no longer than that is fresh; what rows
//! say about others are names to ask, never addresses. Not to be told is not to be told otherwise: who cannot be asked, does not let us
//! in or is unsure has not said that it is a reader, and then everything is as if nobody had been asked.
//!
//! This is sound where the storage or a quorum lets one member write at a time, as on RDS and Aurora: a second claim is an old one.
//! Where two can write, both claims are fresh, and nobody is led to either. Of two claims, one that was not said again within a second
//! although its member was asked again is over: a host that is gone contradicts nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::time::Timestamp;

/// How old what a member showed may be. While nothing changes it is asked a second after its last answer, and has a second to answer:
/// who does not says so by its silence. What is older than both was asked by nobody who is still there.
pub const FRESH: Duration = Duration::from_millis(2_200);

/// A claim that is no older than this belongs to the failover that has silenced the former writer.
const NEW_CLAIM: Duration = Duration::from_secs(4);

/// How old a claim to be the writer may be while another member makes a newer one: everybody is asked ten times a second then, and has a
/// second to answer.
pub const FRESH_BESIDE_ANOTHER: Duration = Duration::from_millis(1_100);

/// How long after the beginning of a doubt members that are well have been heard again. One that is slower than that and makes a claim of
/// its own is passed over until its answer comes: for new connections, since old ones are left in peace until it is silent.
pub const HEARD_AGAIN: Duration = Duration::from_millis(100);

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// It is not in recovery, not read-only, and where the database knows its topology, the writer by that, too.
    Writer,
    /// It is in recovery.
    Reader,
    /// It takes sessions and is not in recovery, but something else speaks against its being the writer.
    Neither(String),
    /// It did not answer.
    Silent(String),
    /// It does not let us in, or not ask.
    Denied(String),
    /// It has not shown that it is the endpoint's.
    Impostor(String),
}

impl Says {
    /// The names of all that it can be.
    pub const WORDS: [&str; 6] = ["writer", "reader", "neither", "silent", "denied", "impostor"];

    /// A name that never changes, for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Neither(_) => "neither",
            Self::Silent(_) => "silent",
            Self::Denied(_) => "denied",
            Self::Impostor(_) => "impostor",
        }
    }

    /// What kept it from saying more.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Writer | Self::Reader => None,
            Self::Neither(why) | Self::Silent(why) | Self::Denied(why) | Self::Impostor(why) => Some(why),
        }
    }
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.why() {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

/// What one address showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Showing {
    /// When it was heard; a second after it was asked at the latest.
    pub at: Timestamp,
    /// Since when it has said the same.
    pub since: Timestamp,
    /// What it said, or why it did not.
    pub says: Says,
}

/// What all addresses of a database showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The latest of each.
    pub members: BTreeMap<IpAddr, Showing>,
    /// Whether everybody who is to be asked has said something, or why not, once.
    pub is_whole: bool,
    /// Since when something has been changing, so that everybody is asked often.
    pub doubted: Option<Timestamp>,
}

impl Shown {
    /// What the address says, if that is fresh.
    pub fn fresh(&self, ip: IpAddr, now: Timestamp) -> Option<&Says> {
        let showing = self.members.get(&ip)?;
        (now.since(showing.at) <= FRESH).then_some(&showing.says)
    }

    /// The addresses that say, freshly, that they are the writer.
    pub fn writers(&self, now: Timestamp) -> BTreeSet<IpAddr> {
        let all = self.members.keys().copied();
        let claims: BTreeSet<IpAddr> = all.filter(|ip| self.fresh(*ip, now) == Some(&Says::Writer)).collect();
        let (over, standing): (BTreeSet<_>, BTreeSet<_>) = claims.into_iter().partition(|ip| self.has_lapsed(*ip, now));
        if standing.is_empty() { over } else { standing }
    }

    /// Whether the address has been asked again since it was last heard, and has had its time to answer.
    fn has_lapsed(&self, ip: IpAddr, now: Timestamp) -> bool {
        let was_asked_again = self.doubted.is_some_and(|since| now.since(since) >= HEARD_AGAIN);
        let at = self.members.get(&ip).map(|showing| showing.at);
        was_asked_again && at.is_some_and(|at| now.since(at) > FRESH_BESIDE_ANOTHER)
    }

    /// Whether the address says that it is a reader, or has fallen silent while the writer became it. Of one that the writer has contradicted
    /// for longer, a missing answer says nothing.
    pub fn is_out(&self, ip: IpAddr, writer: IpAddr, now: Timestamp) -> bool {
        let claimed = self.members.get(&writer).map(|showing| showing.since);
        match self.members.get(&ip).map(|showing| &showing.says) {
            Some(Says::Reader) => self.fresh(ip, now).is_some(),
            Some(Says::Silent(_)) => claimed.is_some_and(|since| now.since(since) <= NEW_CLAIM),
            Some(Says::Writer | Says::Neither(_) | Says::Denied(_) | Says::Impostor(_)) | None => false,
        }
    }

    /// The writer, if there is exactly one, and the readers beside it.
    pub fn led(&self, now: Timestamp) -> Option<Led> {
        let mut writers = self.writers(now).into_iter();
        let (Some(writer), None) = (writers.next(), writers.next()) else {
            return None;
        };
        let all = self.members.keys().copied();
        let readers = all.filter(|ip| self.fresh(*ip, now) == Some(&Says::Reader)).collect();
        Some(Led { writer, readers })
    }
}

/// The one member that has shown that it is the writer, and who has shown that it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// The writer.
    pub writer: IpAddr,
    /// The readers.
    pub readers: BTreeSet<IpAddr>,
}

/// Whom connections go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// DNS names the writer.
    Agrees(IpAddr),
    /// The writer, which DNS does not name yet.
    Leads {
        /// It.
        to: IpAddr,
        /// What DNS names instead; nothing while it cannot be asked.
        over: BTreeSet<IpAddr>,
    },
    /// All that DNS names are readers, and nobody is the writer: connections wait for one.
    Waits {
        /// Them.
        readers: BTreeSet<IpAddr>,
        /// Until then at the latest.
        until: Timestamp,
    },
    /// So many say that they are the writer, and only DNS is left to decide.
    Contested(BTreeSet<IpAddr>),
    /// What DNS says is all that there is.
    Follows(Why),
}

/// Why nobody leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// DNS could not be asked, and nobody is the writer.
    Blind,
    /// An address that DNS names has not shown anything fresh.
    NotShown(IpAddr),
    /// An address that DNS names has shown what decides nothing.
    Unsure(IpAddr, Says),
    /// No writer has been found for as long as connections may wait.
    Impatient(BTreeSet<IpAddr>),
}

impl Verdict {
    /// The writer that has shown that it is.
    pub fn writer(&self) -> Option<IpAddr> {
        match self {
            Self::Agrees(ip) | Self::Leads { to: ip, .. } => Some(*ip),
            Self::Waits { .. } | Self::Contested(_) | Self::Follows(_) => None,
        }
    }

    /// A name that never changes, for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Agrees(_) => "agrees",
            Self::Leads { .. } => "leads",
            Self::Waits { .. } => "waits",
            Self::Contested(_) => "contested",
            Self::Follows(Why::Impatient(_)) => "impatient",
            Self::Follows(_) => "follows",
        }
    }
}

/// What is remembered between two decisions about one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steersman {
    leaderless: Option<Leaderless>,
}

/// For how long DNS has named readers only and nobody has been the writer. A break that is shorter than patience does not begin it anew:
/// whoever has waited for as long is not to wait again for each lost session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaderless {
    since: Timestamp,
    last: Timestamp,
}

impl Steersman {
    /// Decides by what DNS names, nothing while it cannot be asked, and what members showed.
    pub fn steer(&mut self, named: &BTreeSet<IpAddr>, shown: &Shown, patience: Duration, now: Timestamp) -> Verdict {
        let writers = shown.writers(now);
        let says = |ip: &IpAddr| shown.fresh(*ip, now);
        let unsure = named.iter().find(|ip| says(ip) != Some(&Says::Reader));
        let mut only = writers.iter();
        let known = self.leaderless;
        self.leaderless = known.filter(|_| writers.is_empty());
        match (only.next(), only.next(), unsure) {
            (Some(_), Some(_), _) => Verdict::Contested(writers),
            (Some(writer), None, _) if named.contains(writer) => Verdict::Agrees(*writer),
            (Some(writer), None, _) => Verdict::Leads {
                to: *writer,
                over: named.clone(),
            },
            (None, _, Some(ip)) => Verdict::Follows(match says(ip) {
                Some(says) => Why::Unsure(*ip, says.clone()),
                None => Why::NotShown(*ip),
            }),
            (None, _, None) if named.is_empty() => Verdict::Follows(Why::Blind),
            (None, _, None) => {
                let goes_on = |known: &Leaderless| known.since <= now && now.since(known.last) <= patience;
                let since = known.filter(goes_on).map_or(now, |known| known.since);
                self.leaderless = Some(Leaderless { since, last: now });
                let (readers, until) = (named.clone(), since + patience);
                match now < until {
                    true => Verdict::Waits { readers, until },
                    false => Verdict::Follows(Why::Impatient(readers)),
                }
            }
        }
    }
}

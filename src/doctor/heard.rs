//! What several looks at one name tell of it and of the name servers. Pure: the times are arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::dns::{Heard, Look};
use crate::planner::answer::{Blind, Failure, Quorum, RDS_TTL_MAX, Resolution, Said};
use crate::planner::cadence::{self, APART};
use crate::planner::endpoint::{Kind, Role};
use crate::planner::history::Inquiry;
use crate::planner::time::Timestamp;

/// Looks at one name, most of them a second apart: for longer than one answer of RDS lasts.
const LOOKS_MAX: usize = 7;

/// The answers of all name servers for a name, for one family, in all looks so far.
#[derive(Clone, Debug)]
pub struct Looked {
    /// What each name server said last.
    pub said: Look,
    /// The addresses by that, or why there are none.
    pub seen: Result<Resolution, Blind>,
    /// The addresses that the name gives in turn, if it is known to.
    pub rotation: Option<BTreeSet<IpAddr>>,
    inquiry: Inquiry,
    words: BTreeMap<SocketAddr, Vec<Word>>,
}

/// What a name server said in one look, weighed.
#[derive(Clone, Debug)]
struct Word {
    said: Result<Said, Failure>,
    kept: Option<Duration>,
}

impl Default for Looked {
    fn default() -> Self {
        Self {
            said: Look::new(),
            seen: Err(Blind::NotYet),
            rotation: None,
            inquiry: Inquiry::default(),
            words: BTreeMap::new(),
        }
    }
}

impl Looked {
    /// Adds a look that began and ended at these times.
    pub fn hear(
        &mut self,
        host: &str,
        heard: Vec<(SocketAddr, Heard)>,
        quorum: Quorum,
        began: Timestamp,
        ended: Timestamp,
    ) {
        let (said, kept): (Look, Vec<Option<Duration>>) = heard
            .into_iter()
            .map(|(server, heard)| ((server, heard.said), heard.kept))
            .unzip();
        self.said = self.inquiry.weigh(host, said, began, ended);
        for ((server, said), kept) in self.said.iter().zip(kept) {
            let said = said.clone();
            self.words.entry(*server).or_default().push(Word { said, kept });
        }
        let answer = self.inquiry.hear(host, &self.said, quorum, ended);
        self.rotation = answer.as_ref().ok().and_then(|answer| answer.history.rotation());
        self.seen = answer.map(|answer| answer.resolution);
    }

    /// How long to wait for a look that would tell more: the second always, later ones where an answer proves nothing yet, where
    /// addresses change, and of a name that may give several in turn, because RDS has not made it.
    pub fn next(&self, host: &str) -> Option<Duration> {
        let looks = self.words.values().map(Vec::len).max().unwrap_or_default();
        let failures = || self.said.iter().filter_map(|(_, said)| said.as_ref().err());
        let may_rotate = || {
            let Ok(resolution) = &self.seen else { return false };
            let names = resolution.names.iter().map(String::as_str).chain([host]);
            let is_of_one = Role::told_by(names) == Role::Writer && self.rotation.is_none();
            let may_change = Kind::of(host) == Kind::Other || self.changed().is_some();
            is_of_one && may_change && resolution.ttl <= RDS_TTL_MAX
        };
        let unproven = cadence::until_proven(failures());
        match looks {
            0 | 1 => unproven.or(Some(APART)),
            2..LOOKS_MAX => unproven.or_else(|| may_rotate().then_some(APART)),
            _ => None,
        }
    }

    fn words(&self, server: SocketAddr) -> &[Word] {
        self.words.get(&server).map(Vec::as_slice).unwrap_or_default()
    }

    /// How a name server is known to give answers that have expired, if it does.
    pub fn expired(&self, server: SocketAddr) -> Option<String> {
        let words = self.words(server);
        let stale = words.iter().find_map(|word| match &word.said {
            Err(Failure::Stale(_, why)) => Some(why.to_string()),
            _ => None,
        });
        // No TTL that counts down gets there so soon.
        let dropped = || {
            words.windows(2).find_map(|pair| match (&pair[0].said, &pair[1].said) {
                (Err(Failure::Unproven(_, first)), Ok(next)) if *first > RDS_TTL_MAX && next.ttl <= RDS_TTL_MAX => {
                    let (first, next) = (first.as_secs(), next.ttl.as_secs());
                    Some(format!("it gave an answer for {first} s, and then one for {next} s"))
                }
                _ => None,
            })
        };
        stale.or_else(dropped)
    }

    /// The longest time for which a name server gave an answer, if none had expired.
    pub fn longest(&self, server: SocketAddr) -> Option<Duration> {
        let ttl = |word: &Word| match &word.said {
            Ok(said) => Some(said.ttl),
            Err(Failure::Unproven(_, ttl)) => Some(*ttl),
            Err(_) => None,
        };
        let is_known = self.expired(server).is_none();
        self.words(server).iter().filter_map(ttl).max().filter(|_| is_known)
    }

    /// For how much longer a name server may say what it says now, because it keeps that: it counts down.
    pub fn kept(&self, server: SocketAddr) -> Option<Duration> {
        match self.words(server) {
            [.., Word { kept: Some(before), .. }, Word { kept: Some(kept), .. }] => {
                (*kept + APART <= *before).then_some(*kept)
            }
            _ => None,
        }
    }

    /// What a name server said before its answer of now that was none.
    pub fn failed_before(&self, server: SocketAddr) -> Option<&Failure> {
        let [before @ .., Word { said: Ok(_), .. }] = self.words(server) else {
            return None;
        };
        let mut failures = before.iter().filter_map(|word| word.said.as_ref().err());
        failures.find(|failure| !failure.may_pass_soon())
    }

    /// The addresses of a name server's earlier and of its latest answer, where they are others.
    pub fn changed(&self) -> Option<(&BTreeSet<IpAddr>, &BTreeSet<IpAddr>)> {
        self.words.values().find_map(|words| {
            let mut given = words
                .iter()
                .filter_map(|word| Some(&word.said.as_ref().ok()?.addresses));
            let first = given.next()?;
            given.rfind(|later| *later != first).map(|later| (first, later))
        })
    }
}

//! What was seen of both sides, and what DNS names by it, after the guards.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::answer::Blind;
use super::candidate::Doubt;
use super::endpoint::{Endpoint, Role};
use super::guard::{self, Refusal};
use super::history::{Answer, GAP};
use super::lead::Led;
use super::plan::{Held, Hold, Reason};
use super::policy::Policy;
use super::target::{Family, Listed, Target};
use super::time::Timestamp;

/// What one look at both sides showed.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The address family of the target group.
    pub family: Family,
    /// The endpoints of the binding.
    pub endpoints: BTreeMap<&'a Endpoint, Result<&'a Answer, &'a Blind>>,
    /// The writers that have shown that they are, where members are asked; what DNS names goes for all others.
    pub led: BTreeMap<&'a Endpoint, Led>,
    /// What addresses that may have to show something have shown; one that is not in it has not been asked yet.
    pub probed: &'a BTreeMap<Target, Result<(), Doubt>>,
    /// The targets of the group, draining ones included, or why they could not be listed.
    pub group: Result<&'a BTreeMap<Target, Listed>, String>,
    /// When they were listed, or could not be.
    pub listed: Timestamp,
}

/// What DNS names now, after the guards.
pub(super) struct Named<'a> {
    pub answers: BTreeMap<&'a Endpoint, &'a Answer>,
    pub blind: BTreeMap<&'a Endpoint, Blind>,
    pub legal: BTreeMap<&'a Endpoint, BTreeSet<Target>>,
    pub refused: BTreeMap<Target, Refusal>,
    pub doubtful: BTreeSet<Target>,
    /// Those that are readers, each with the writer.
    pub readers: BTreeMap<Target, IpAddr>,
    /// The writers that DNS does not name, by their endpoints.
    pub ahead: BTreeMap<&'a Endpoint, IpAddr>,
}

impl<'a> Named<'a> {
    /// `led` are the writers that count: none for readers.
    pub(super) fn new(policy: &Policy, seen: &Seen<'a>, led: &BTreeMap<&'a Endpoint, Led>, now: Timestamp) -> Self {
        let mut named = Self::of_dns(policy, seen, now);
        for (endpoint, Led { writer, readers }) in led {
            if guard::check(*writer, seen.family, &policy.allow_cidrs).is_err() {
                continue;
            }
            let target = |ip: &IpAddr| Target {
                ip: *ip,
                port: endpoint.port(),
            };
            // Whom another endpoint names, whose members do not say the same of it, is to be there, reader or not.
            let is_reader_of =
                |other: &Endpoint, ip: &IpAddr| led.get(other).is_some_and(|led| led.readers.contains(ip));
            let by_others = |target: &Target| {
                let mut naming = named.legal.iter().filter(|(_, legal)| legal.contains(target));
                naming.any(|(other, _)| !is_reader_of(other, &target.ip))
            };
            let held: Vec<Target> = readers.iter().map(target).filter(|target| !by_others(target)).collect();
            named.readers.extend(held.into_iter().map(|target| (target, *writer)));
            // It counts as named, whatever is known of the name.
            if named.legal.entry(endpoint).or_default().insert(target(writer)) {
                named.ahead.insert(endpoint, *writer);
            }
        }
        named
    }

    fn of_dns(policy: &Policy, seen: &Seen<'a>, now: Timestamp) -> Self {
        let mut named = Self {
            answers: BTreeMap::new(),
            blind: BTreeMap::new(),
            legal: BTreeMap::new(),
            refused: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            readers: BTreeMap::new(),
            ahead: BTreeMap::new(),
        };
        for (endpoint, sight) in &seen.endpoints {
            let answer = match sight {
                Err(blind) => Err(Blind::clone(blind)),
                Ok(answer) => match now.since(answer.history.last_look) {
                    age if age > GAP => Err(Blind::Outdated(age)),
                    _ => Ok(answer),
                },
            };
            let answer = match answer {
                Ok(answer) => answer,
                Err(blind) => {
                    named.blind.insert(endpoint, blind);
                    continue;
                }
            };
            let target = |ip: &IpAddr| Target {
                ip: *ip,
                port: endpoint.port(),
            };
            let mut legal = BTreeSet::new();
            let mut refusals = BTreeMap::new();
            for ip in answer.resolution.addresses() {
                match guard::check(*ip, seen.family, &policy.allow_cidrs) {
                    Ok(()) => {
                        legal.insert(target(ip));
                    }
                    Err(refusal) => {
                        refusals.insert(*ip, refusal);
                        named.refused.insert(target(ip), refusal);
                    }
                }
            }
            if legal.is_empty() {
                named.blind.insert(endpoint, Blind::AllRefused(refusals));
                continue;
            }
            named.doubtful.extend(answer.resolution.doubtful.iter().map(target));
            named.legal.insert(endpoint, legal);
            named.answers.insert(endpoint, answer);
        }
        named
    }

    /// The writers that DNS does not name.
    pub(super) fn ahead_of_dns(&self) -> impl Iterator<Item = Target> {
        self.ahead.iter().map(|(endpoint, writer)| Target {
            ip: *writer,
            port: endpoint.port(),
        })
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.legal.values().flatten()
    }

    pub(super) fn names(&self, target: Target) -> bool {
        self.targets().any(|named| *named == target) || self.refused.contains_key(&target)
    }

    pub(super) fn all_registered(&self, group: &BTreeMap<Target, Listed>) -> bool {
        self.targets()
            .chain(self.refused.keys())
            .all(|target| is_registered(group, *target))
    }

    /// The name servers whose latest answer named the target.
    pub(super) fn vouched_by(&self, target: Target) -> BTreeSet<SocketAddr> {
        let same_port = self
            .answers
            .iter()
            .filter(|(endpoint, _)| endpoint.port() == target.port);
        same_port
            .flat_map(|(_, answer)| answer.history.vouched_by(target.ip))
            .collect()
    }

    /// The endpoints of a writer about which the name servers differ.
    fn disputed(&self, policy: &Policy, now: Timestamp) -> impl Iterator<Item = Hold> {
        let forget = policy.forget(Role::Writer);
        self.answers.iter().filter_map(move |(endpoint, answer)| {
            let names = answer.resolution.names.iter().map(String::as_str);
            let role = policy
                .role
                .unwrap_or_else(|| Role::told_by(names.chain([endpoint.host()])));
            if role == Role::Reader || answer.history.rotation().is_some() {
                return None;
            }
            let (words, since) = answer.history.differing()?;
            let lasts = now.since(since) >= forget;
            Some(Hold {
                what: Held::Endpoint(Endpoint::clone(endpoint)),
                reason: Reason::Disputed { words, lasts },
                until: (!lasts).then_some(since + forget),
            })
        })
    }

    pub(super) fn holds(&self, policy: &Policy, now: Timestamp) -> Vec<Hold> {
        let hold = |what, reason| Hold {
            what,
            reason,
            until: None,
        };
        let blind = self
            .blind
            .iter()
            .map(|(endpoint, blind)| hold(Held::Endpoint((*endpoint).clone()), Reason::Blind(blind.clone())));
        let refused = self
            .refused
            .iter()
            .map(|(target, refusal)| hold(Held::Target(*target), Reason::Refused(*refusal)));
        let doubtful = self
            .doubtful
            .iter()
            .filter(|target| !self.names(**target))
            .map(|target| hold(Held::Target(*target), Reason::NoQuorum));
        let disputed = self.disputed(policy, now);
        blind.chain(disputed).chain(refused).chain(doubtful).collect()
    }
}

pub(super) fn is_registered(group: &BTreeMap<Target, Listed>, target: Target) -> bool {
    group.get(&target).is_some_and(|listed| listed.state.is_registered())
}

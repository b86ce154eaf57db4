//! The names and addresses of a database's members. An address is one only because DNS gave it, for the endpoint or for a member's
//! name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::planner::endpoint::{Kind, is_of_rds};
use crate::planner::history::GAP;
use crate::planner::time::Timestamp;

/// The most members that are asked: an Aurora cluster has 16.
pub const MEMBERS_MAX: usize = 16;
/// The most addresses that are asked, those that members have left lately included.
pub const ADDRESSES_MAX: usize = 2 * MEMBERS_MAX;

/// For how long a name is known that was told: members come and go.
const TOLD: Duration = Duration::from_secs(10 * 60);

/// What is known of where members are.
#[derive(Debug, Default)]
pub struct Members {
    suffix: Option<String>,
    configured: BTreeSet<String>,
    /// Names that were told, and when last.
    learned: BTreeMap<String, Timestamp>,
    addresses: BTreeMap<IpAddr, Known>,
}

/// An address that DNS gave.
#[derive(Debug)]
struct Known {
    /// When it did last.
    at: Timestamp,
    /// The member's own name, if it was given for one.
    name: Option<String>,
}

impl Members {
    /// Those that the settings name.
    pub fn new(configured: &[String]) -> Self {
        Self {
            configured: configured.iter().take(MEMBERS_MAX).cloned().collect(),
            ..Self::default()
        }
    }

    /// The names whose addresses are to be known.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.configured.iter().chain(self.learned.keys())
    }

    /// What follows the first label in the names of members, once an answer has told it.
    pub fn suffix(&self) -> Option<&str> {
        self.suffix.as_deref()
    }

    /// Takes what DNS says of the endpoint: its addresses, and the names that its CNAMEs led through, of which one may be a member's.
    pub fn named<'a>(
        &mut self,
        addresses: impl IntoIterator<Item = IpAddr>,
        names: impl IntoIterator<Item = &'a str>,
        now: Timestamp,
    ) {
        let is_instance = |name: &&str| is_of_rds(name) && Kind::of(name) == Kind::Instance;
        let instance = names.into_iter().find(is_instance).map(str::to_owned);
        if let Some((_, suffix)) = instance.as_deref().and_then(|name| name.split_once('.')) {
            self.suffix = Some(suffix.to_owned());
        }
        self.learn(instance.iter().cloned(), now);
        for ip in addresses {
            self.found(ip, instance.clone(), now);
        }
    }

    /// Takes what DNS says of a member's name.
    pub fn found_at(&mut self, name: &str, addresses: impl IntoIterator<Item = IpAddr>, now: Timestamp) {
        for ip in addresses {
            self.found(ip, Some(name.to_owned()), now);
        }
    }

    /// Takes names that a member told. Where there are too many, those that were told last stay.
    pub fn learn(&mut self, names: impl IntoIterator<Item = String>, now: Timestamp) {
        let new = names.into_iter().filter(|name| !self.configured.contains(name));
        self.learned.extend(new.map(|name| (name, now)));
        while self.configured.len() + self.learned.len() > MEMBERS_MAX {
            let oldest = self.learned.iter().min_by_key(|(_, at)| **at);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            self.learned.remove(&oldest);
        }
    }

    /// Forgets the addresses that DNS has not given for longer than anybody may be blind, and the names that nobody has told for a while.
    pub fn forget(&mut self, now: Timestamp) {
        self.learned.retain(|_, at| now.since(*at) <= TOLD);
        self.addresses.retain(|_, known| now.since(known.at) <= GAP);
        while self.addresses.len() > ADDRESSES_MAX {
            let oldest = self
                .addresses
                .iter()
                .min_by_key(|(_, known)| known.at)
                .map(|(ip, _)| *ip);
            oldest.and_then(|ip| self.addresses.remove(&ip));
        }
    }

    /// The addresses to ask, each with the member's own name if that is known.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, Option<&str>)> {
        self.addresses.iter().map(|(ip, known)| (*ip, known.name.as_deref()))
    }

    fn found(&mut self, ip: IpAddr, name: Option<String>, now: Timestamp) {
        let known = self.addresses.entry(ip).or_insert(Known { at: now, name: None });
        known.at = now;
        known.name = name.or(known.name.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUFFIX: &str = "abc123.eu-west-1.rds.amazonaws.com";

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + secs * 1000)
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn the_suffix_and_a_name_come_from_the_instance_that_an_endpoint_leads_to() {
        let cluster = format!("orders.cluster-{SUFFIX}");
        let instance = format!("orders-1.{SUFFIX}");
        for (names, suffix) in [
            (
                vec![cluster.as_str(), instance.as_str(), "ec2-1-2-3-4.compute.amazonaws.com"],
                Some(SUFFIX),
            ),
            (vec![instance.as_str()], Some(SUFFIX)),
            (vec![cluster.as_str()], None),
            (vec!["orders.abc.db.internal"], None),
            (vec![], None),
        ] {
            let mut members = Members::new(&[]);
            members.named([ip(1)], names.iter().copied(), at(0));
            assert_eq!(members.suffix(), suffix, "{names:?}");
            let name = suffix.map(|_| instance.as_str());
            assert_eq!(members.addresses().collect::<Vec<_>>(), [(ip(1), name)], "{names:?}");
            assert_eq!(members.names().count(), usize::from(suffix.is_some()), "{names:?}");
        }
    }

    #[test]
    fn addresses_that_dns_does_not_give_any_more_are_asked_for_a_while_and_never_too_many() {
        let mut members = Members::new(&["db-1.internal".to_owned()]);
        members.named([ip(1)], [], at(0));
        members.found_at("db-1.internal", [ip(1)], at(1));
        members.named([ip(2)], [], at(2));
        members.forget(at(91));
        let asked = |members: &Members| members.addresses().map(|(ip, _)| ip).collect::<Vec<_>>();
        assert_eq!(asked(&members), [ip(1), ip(2)]);
        members.forget(at(92));
        assert_eq!(asked(&members), [ip(2)]);
        for n in 0..=u8::try_from(ADDRESSES_MAX).expect("few") {
            members.named([ip(100 + n)], [], at(92 + u64::from(n)));
        }
        members.forget(at(130));
        assert_eq!(members.addresses().count(), ADDRESSES_MAX);
        assert!(!asked(&members).contains(&ip(2)));
    }

    #[test]
    fn no_more_members_are_known_than_a_database_has_and_those_told_last_stay() {
        let mut members = Members::new(&["db-1.internal".to_owned()]);
        for n in 0..20 {
            members.learn([format!("orders-{n}.{SUFFIX}")], at(n));
        }
        let names: Vec<&str> = members.names().map(String::as_str).collect();
        assert_eq!(names.len(), MEMBERS_MAX);
        assert!(names.contains(&"db-1.internal") && names.iter().any(|name| name.starts_with("orders-19.")));
        assert!(!names.iter().any(|name| name.starts_with("orders-0.")));
    }
}

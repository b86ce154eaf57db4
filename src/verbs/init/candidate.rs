//! Which target groups may be meant for an endpoint, and why. Pure: what was seen goes in, a list comes out, the likeliest first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::aws::arn::Arn;
use crate::aws::elb::Detail;
use crate::planner::endpoint::Endpoint;
use crate::planner::protocol;
use crate::planner::target::{Family, Listed, State, Target, ZONE_ALL};
use crate::text::join;

/// The key of the tag by which somebody says which endpoint a target group is for: HOST:PORT.
pub use crate::settings::discover::ENDPOINT as TAG;
/// Parts of names that are shorter are in too many of them to mean anything.
const WORD_LEAST_CHARS: usize = 3;
/// Addresses that are worth repeating in one line.
const ADDRESSES_MAX: usize = 3;

/// What a target group is looked for.
#[derive(Clone, Debug)]
pub struct Sought<'a> {
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// The addresses that DNS names for it.
    pub addresses: BTreeSet<IpAddr>,
}

/// What ELB tells of a target group.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its description.
    pub detail: Detail,
    /// The value of [`TAG`]; empty if it has no such tag, or nobody may tell.
    pub tag: String,
    /// Its targets, as far as they were asked for and told.
    pub targets: Option<BTreeMap<Target, Listed>>,
}

/// A target group that may be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its ARN.
    pub arn: Arn,
    /// What speaks for it, and then what speaks against it.
    pub why: Vec<String>,
    /// Whether something says that it is meant, and not only that it may be.
    pub is_evident: bool,
    /// Whether something says that it is another's: its targets, which would be removed, or its VPC.
    pub is_doubtful: bool,
    likeness: i32,
}

/// All target groups, sorted out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// Those that may be meant, the likeliest first.
    pub candidates: Vec<Candidate>,
    /// Why others are not, each with their number.
    pub others: BTreeMap<String, usize>,
}

impl Sought<'_> {
    /// Whether an address of this family can be had.
    fn has(&self, family: Family) -> bool {
        self.addresses.iter().any(|ip| Family::of(*ip) == family)
    }

    /// Whether DNS names the target.
    fn names(&self, target: Target) -> bool {
        target.port == self.endpoint.port() && self.addresses.contains(&target.ip)
    }

    /// Why a group can never follow it, by what never changes of a group. Groups of the same kind give the same words.
    pub fn unfit(&self, detail: &Detail) -> Option<String> {
        let group = &detail.group;
        if detail.target_type != "ip" {
            return Some(format!("of type {}, not ip", detail.target_type));
        }
        if protocol::carries(&group.protocol).is_err() {
            return Some(format!("with protocol {}, which carries no database", group.protocol));
        }
        let family = match group.family {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        };
        (!self.has(group.family)).then(|| format!("for {family} addresses, of which DNS names none"))
    }

    /// How much there is to be learnt from a group's targets, more than from those of groups that promise less.
    pub fn promise(&self, seen: &Seen) -> (bool, bool, bool) {
        let is_tagged = seen.tag == self.endpoint.to_string();
        let group = &seen.detail.group;
        let is_like = is_like(group.arn.name(), self.endpoint.host());
        (is_tagged, group.port == self.endpoint.port(), is_like)
    }

    /// Sorts out which groups may be meant.
    pub fn sort(&self, seen: &[Seen]) -> Sorted {
        let own = self.vpcs(seen);
        let mut sorted = Sorted::default();
        for seen in seen {
            match self.candidate(seen, &own) {
                Ok(candidate) => sorted.candidates.push(candidate),
                Err(why) => *sorted.others.entry(why).or_default() += 1,
            }
        }
        let order = |one: &Candidate| (Reverse((one.is_evident, one.likeness)), one.arn.clone());
        sorted.candidates.sort_by_key(order);
        sorted
    }

    /// The VPCs that the database is in: those of groups in which one of its addresses lies in a zone.
    fn vpcs<'s>(&self, seen: &'s [Seen]) -> BTreeSet<&'s str> {
        let is_at_home = |(target, listed): (&Target, &Listed)| {
            self.addresses.contains(&target.ip) && listed.zone.as_deref().is_some_and(|zone| zone != ZONE_ALL)
        };
        let homes = seen.iter().filter(|seen| seen.targets.iter().flatten().any(is_at_home));
        homes.map(|seen| seen.detail.group.vpc.as_str()).collect()
    }

    fn candidate(&self, seen: &Seen, vpcs: &BTreeSet<&str>) -> Result<Candidate, String> {
        let Seen { detail, tag, targets } = seen;
        if let Some(why) = self.unfit(detail) {
            return Err(why);
        }
        let is_tagged = tag.parse::<Endpoint>().is_ok_and(|tagged| tagged == *self.endpoint);
        if !is_tagged && !tag.is_empty() {
            return Err(format!("with a tag {TAG} that names another endpoint"));
        }
        let (mut why, mut against, mut likeness) = (Vec::new(), Vec::new(), 0);
        let mut note = |worth: i32, text: String| {
            likeness += worth;
            let side = if worth < 0 { &mut against } else { &mut why };
            side.push(text);
        };
        if is_tagged {
            note(100, format!("its tag {TAG} names the endpoint"));
        }
        let of = |is_meant: &dyn Fn(&State) -> bool| -> Vec<Target> {
            let listed = targets.iter().flatten().filter(|(_, listed)| is_meant(&listed.state));
            listed.map(|(target, _)| *target).collect()
        };
        let is_gone = |state: &State| matches!(state, State::Draining | State::NotRegistered);
        let (there, gone) = (of(&|state| !is_gone(state)), of(&is_gone));
        let named = |targets: &[Target]| targets.iter().any(|target| self.names(*target));
        let is_held = named(&there);
        if is_held {
            note(50, "it has a target that DNS names".to_owned());
        } else if named(&gone) {
            note(15, "it had a target that DNS names".to_owned());
        } else if !there.is_empty() {
            let shown = join(there.iter().take(ADDRESSES_MAX));
            let more = if there.len() > ADDRESSES_MAX { ", ..." } else { "" };
            note(-10, format!("it has targets that DNS does not name ({shown}{more})"));
        } else if targets.is_some() {
            note(0, "it is empty".to_owned());
        }
        let port = detail.group.port;
        if port == self.endpoint.port() {
            note(20, format!("its port is {port}"));
        } else if is_tagged || is_held {
            // Targets are registered with the endpoint's port, whatever the group's is.
            note(0, format!("its own port is {port}, which does not matter"));
        } else {
            return Err("with another port".to_owned());
        }
        if is_like(detail.group.arn.name(), self.endpoint.host()) {
            note(10, "its name is like the endpoint's".to_owned());
        }
        let is_elsewhere = !vpcs.is_empty() && !vpcs.contains(detail.group.vpc.as_str());
        match vpcs.contains(detail.group.vpc.as_str()) {
            true => note(8, "it is in the database's VPC".to_owned()),
            false if !is_elsewhere => {}
            false => note(
                -20,
                format!("it is in {}, the database in another VPC", detail.group.vpc),
            ),
        }
        match detail.balancers.is_empty() {
            true => note(-4, "no load balancer uses it yet".to_owned()),
            false => note(4, "a load balancer uses it".to_owned()),
        }
        why.append(&mut against);
        Ok(Candidate {
            arn: detail.group.arn.clone(),
            why,
            is_evident: is_tagged || is_held,
            is_doubtful: is_elsewhere || !(there.is_empty() || is_held),
            likeness,
        })
    }
}

/// Whether a group's name has a word of the database's identifier in it, which is the endpoint's first label.
fn is_like(group: &str, host: &str) -> bool {
    let group = group.to_ascii_lowercase();
    let identifier = host.split('.').next().unwrap_or_default();
    let words = identifier.split(['-', '_']);
    words
        .filter(|word| word.len() >= WORD_LEAST_CHARS)
        .any(|word| group.split('-').any(|part| part == word))
}

impl Sorted {
    /// The group that is proposed: the only one of which something says that it is meant, or else the only one at all, unless
    /// that looks like another's.
    pub fn proposed(&self) -> Option<&Candidate> {
        let mut evident = self.candidates.iter().filter(|one| one.is_evident);
        match (evident.next(), evident.next(), self.candidates.as_slice()) {
            (Some(only), None, _) => Some(only),
            (None, None, [only]) if !only.is_doubtful => Some(only),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::elb::{Group, HealthCheck};

    const ENDPOINT: &str = "orders-eu.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";

    /// A group by its name; in it, what is listed as `ADDRESS STATE`, in a zone of its VPC.
    fn seen(name: &str, listed: &[&str]) -> Seen {
        let arn = format!("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/{name}/73e2d6bc24d8a067");
        let target = |listed: &&str| {
            let (ip, state) = listed.split_once(' ').expect("an address and a state");
            let ip = ip.parse().expect("an address");
            let listed = Listed {
                zone: Some("eu-west-1a".into()),
                state: State::parse(state, None),
                reason: None,
                description: None,
            };
            (Target { ip, port: 5432 }, listed)
        };
        Seen {
            detail: Detail {
                group: Group {
                    arn: arn.parse().expect("an ARN"),
                    family: Family::Ipv4,
                    protocol: "TCP".into(),
                    port: 5432,
                    check_port: "traffic-port".into(),
                    vpc: "vpc-1".into(),
                },
                target_type: "ip".into(),
                balancers: vec!["balancer".into()],
                health_check: HealthCheck {
                    protocol: "TCP".into(),
                    port: "traffic-port".into(),
                    interval: 10,
                    timeout: 10,
                    healthy: 3,
                    unhealthy: 3,
                },
            },
            tag: String::new(),
            targets: Some(listed.iter().map(target).collect()),
        }
    }

    fn sort(seen: &[Seen]) -> Sorted {
        let endpoint = ENDPOINT.parse().expect("an endpoint");
        let addresses = ["10.0.1.5".parse().expect("an address")].into();
        let endpoint = &endpoint;
        Sought { endpoint, addresses }.sort(seen)
    }

    fn names(sorted: &Sorted) -> Vec<&str> {
        sorted.candidates.iter().map(|one| one.arn.name()).collect()
    }

    #[test]
    fn what_says_that_it_is_meant_comes_first() {
        let mut tagged = seen("tagged", &[]);
        tagged.tag = ENDPOINT.to_owned();
        tagged.detail.group.port = 80;
        let mut bare = seen("bare", &[]);
        bare.detail.balancers.clear();
        let all = [
            seen("alien", &["10.0.9.9 healthy"]),
            bare,
            seen("empty", &[]),
            seen("orders", &[]),
            seen("drained", &["10.0.1.5 draining"]),
            seen("holds", &["10.0.1.5 unhealthy", "10.0.9.9 healthy"]),
            tagged,
        ];
        let sorted = sort(&all);
        assert_eq!(
            names(&sorted),
            ["tagged", "holds", "drained", "orders", "empty", "bare", "alien"]
        );
        assert_eq!(sorted.proposed(), None, "two say that they are meant");
        assert_eq!(sort(&all[..6]).proposed().map(|one| one.arn.name()), Some("holds"));
        assert_eq!(sort(&all[..5]).proposed(), None, "nothing says which");
        assert_eq!(sort(&all[1..2]).proposed().map(|one| one.arn.name()), Some("bare"));
        assert_eq!(sort(&all[..1]).proposed(), None, "what is in it would be removed");
        assert_eq!(sort(&[]), Sorted::default());
    }

    #[test]
    fn what_cannot_be_meant_is_counted_with_its_reason() {
        type Change = fn(&mut Seen);
        let of = |change: Change| {
            let mut one = seen("other", &[]);
            change(&mut one);
            let sorted = sort(&[one]);
            assert_eq!(names(&sorted), [""; 0]);
            sorted.others.into_iter().next().expect("a reason")
        };
        let cases: [(Change, &str); 6] = [
            (|one| one.detail.target_type = "instance".into(), "of type instance"),
            (|one| one.detail.group.protocol = "HTTP".into(), "protocol HTTP"),
            (|one| one.detail.group.family = Family::Ipv6, "IPv6"),
            (|one| one.detail.group.port = 3306, "another port"),
            (|one| one.tag = "other.example:5432".into(), "another endpoint"),
            (|one| one.tag = "no endpoint".into(), "another endpoint"),
        ];
        for (change, words) in cases {
            let (why, count) = of(change);
            assert!(why.contains(words) && count == 1, "{why}: {count}");
        }
    }

    #[test]
    fn a_vpc_is_known_by_a_target_in_one_of_its_zones() {
        let mut elsewhere = seen("elsewhere", &[]);
        elsewhere.detail.group.vpc = "vpc-2".into();
        let all = [elsewhere, seen("here", &[]), seen("holds", &["10.0.1.5 healthy"])];
        let sorted = sort(&all);
        assert_eq!(names(&sorted), ["holds", "here", "elsewhere"]);
        assert!(
            sorted.candidates[2]
                .why
                .contains(&"it is in vpc-2, the database in another VPC".to_owned())
        );
        // Nothing tells of a VPC in which no address of the database lies.
        assert_eq!(names(&sort(&all[..2])), ["elsewhere", "here"]);
    }

    #[test]
    fn names_are_alike_by_their_words() {
        for (group, alike) in [
            ("orders", true),
            ("nlb-ORDERS-5432", true),
            ("eu", false),
            ("reorders", false),
            ("billing", false),
        ] {
            assert_eq!(is_like(group, "orders-eu.cluster-abc.example"), alike, "{group}");
        }
    }
}

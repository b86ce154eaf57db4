//! Where new connections go, and since when DNS no longer names the addresses of old ones. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::planner::endpoint::Role;
use crate::planner::guard::{self, Refusal};
use crate::planner::history::Answer;
use crate::planner::lead::Verdict;
use crate::planner::policy::Policy;
use crate::planner::target::Family;
use crate::planner::time::Timestamp;
use crate::text::join;

/// Addresses that are remembered after DNS stopped naming them; older ones count as gone for ever.
const GONE_MAX: usize = 1024;

/// A name that comes back to an address so soon flaps: Aurora's does for 20 to 30 s after a failover.
const FLAPS: Duration = Duration::from_secs(60);

/// The route that the sessions of a proxy obey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The last good addresses, in order; none before the first answer.
    pub addresses: Vec<IpAddr>,
    /// What the latest answer gave, where nothing of it may be connected to.
    pub refused: BTreeMap<IpAddr, Refusal>,
    /// The port that they are connected to at.
    pub port: u16,
    /// Since when DNS has not named an address that it named before.
    pub gone: BTreeMap<IpAddr, Timestamp>,
    /// Those of them that a name server named last and has not been heard since: their sessions stay.
    pub vouched: BTreeSet<IpAddr>,
    /// Whether an answer is the whole truth or a sample.
    pub role: Role,
    /// How long a session outlives its address; none: for ever.
    pub linger: Option<Duration>,
    /// The latest move to other addresses.
    pub moved: Option<Move>,
    /// Whether DNS has been asked at all.
    pub asked: bool,
    /// Whether the name servers have differed about a writer for longer than a change takes.
    pub is_disputed: bool,
    /// Whether a name that stands for one writer gives several addresses in turn.
    pub is_rotating: bool,
    /// What the members make of it, where they are asked.
    pub verdict: Option<Verdict>,
    /// The writer by whose own word the addresses are what they are.
    pub led_by: Option<IpAddr>,
}

/// A move to other addresses, and what is known of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// When DNS named them first, or their own word began to stand for them.
    pub at: Timestamp,
    /// Whether the sessions that are left behind end as soon as a new address takes sessions and DNS has named it again: by default a writer's do, unless
    /// the name comes back to an address that it left lately. Names flap after a failover, and one of two such moves is wrong.
    pub ends_early: bool,
    /// DNS, or the writer itself, has said so again, a second after it had first; or all that are left say that they are readers, or nothing
    /// any more.
    pub is_confirmed: bool,
    /// A new address has shown that it takes sessions.
    pub is_proven: bool,
}

impl Move {
    /// Whether all is known that ends sessions early.
    fn is_certain(self) -> bool {
        self.is_proven && self.is_confirmed
    }
}

/// A name that says something else for a moment does no harm.
const CONFIRMED_AFTER: Duration = Duration::from_secs(1);

impl Route {
    /// Whether sessions to a former address end as soon as more is known of the new one.
    pub fn awaits_proof(&self, now: Timestamp) -> bool {
        let is_open =
            |moved: Move| moved.ends_early && !moved.is_certain() && now.since(moved.at) < Linger::OF_A_WRITER;
        self.moved.is_some_and(is_open) && !self.gone.is_empty() && !self.is_unsettled()
    }

    /// Takes over from another route: the sessions to its addresses outlive them.
    pub fn leave_behind(&mut self, former: &Self, now: Timestamp) {
        self.gone.extend(&former.gone);
        let stayed = former.addresses.iter().chain(&former.vouched);
        self.gone.extend(stayed.map(|ip| (*ip, now)));
        if former.is_rotating {
            self.gone.values_mut().for_each(|since| *since = now);
        }
    }

    /// Whether new connections go there.
    pub fn leads_to(&self, address: SocketAddr) -> bool {
        self.port == address.port() && self.names(address.ip())
    }

    /// Whether new connections go to the address.
    pub fn names(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip)
    }

    /// Whether new connections wait for a writer, wherever the former ones go.
    pub fn waits(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Waits { .. }))
    }

    /// The member that has shown that it is the writer, if one has.
    pub fn writer(&self) -> Option<IpAddr> {
        self.verdict.as_ref().and_then(Verdict::writer)
    }

    /// Whether name servers differ, and nobody but them knows.
    fn is_unsettled(&self) -> bool {
        self.is_disputed && self.writer().is_none()
    }

    /// Why there is no address.
    pub fn nowhere(&self) -> String {
        if let Some(Verdict::Waits { readers, .. }) = &self.verdict {
            return format!(
                "no member is the writer, and DNS names readers only ({})",
                join(readers)
            );
        }
        match self.refusals() {
            Some(refusals) => format!("no address that DNS names may be connected to ({refusals})"),
            None => "the name has not been resolved yet".into(),
        }
    }

    /// Why nothing of the latest answer may be connected to, if so.
    pub fn refusals(&self) -> Option<String> {
        let told = join(self.refused.iter().map(|(ip, refusal)| format!("{ip} {refusal}")));
        (!told.is_empty()).then_some(told)
    }

    /// When sessions to the address are to be closed; none: never, as things are.
    pub fn ends(&self, ip: IpAddr) -> Option<Timestamp> {
        if self.names(ip) || self.vouched.contains(&ip) {
            return None;
        }
        let mut linger = self.linger?;
        if self.moved.is_some_and(|moved| moved.ends_early && moved.is_certain()) && !self.is_unsettled() {
            linger = Duration::ZERO;
        }
        // What is no longer remembered has been gone for long.
        let gone = self.gone.get(&ip).copied().unwrap_or(Timestamp::from_millis(0));
        Some(gone + linger)
    }
}

/// How long sessions outlive their address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linger {
    #[default]
    /// By the role: a writer's until a new address takes sessions, for [`Linger::OF_A_WRITER`] at most; a reader's for ever.
    ByRole,
    /// For this long.
    For(Duration),
    /// They end of themselves only.
    Never,
}

impl Linger {
    /// Longer than a name server that is a second behind, shorter than any client's patience.
    pub const OF_A_WRITER: Duration = Duration::from_secs(5);

    fn of(self, role: Role) -> Option<Duration> {
        match (self, role) {
            (Self::For(linger), _) => Some(linger),
            (Self::ByRole, Role::Writer) => Some(Self::OF_A_WRITER),
            // The answers for a reader are samples (Aurora: one random member each).
            (Self::ByRole, Role::Reader) | (Self::Never, _) => None,
        }
    }
}

/// Whose word addresses are taken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// DNS's, whose names flap.
    Dns,
    /// The writer's own; all addresses that are left for it may have shown that they are out.
    Proof { of_all_left: bool },
}

/// How an answer changed a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The same addresses as before.
    None,
    /// Other addresses than before, or the first ones.
    Addresses,
    /// No address of the answer may be connected to; those before stay, if they still may.
    AllRefused,
}

/// The rules that turn answers into routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// How long sessions outlive their address.
    pub linger: Linger,
    /// The role, if it is not to be read off the names.
    pub role: Option<Role>,
    /// Addresses to connect to; empty: all.
    pub allow_cidrs: Vec<IpNet>,
}

impl Rules {
    /// Whether an address of an answer may be connected to. Unlike a target, it may be public or on this host.
    pub fn check(&self, ip: IpAddr, family: Family) -> Result<(), Refusal> {
        match ip.to_canonical() {
            ip if ip.is_unspecified() => Err(Refusal::Unspecified),
            ip if ip.is_multicast() => Err(Refusal::Multicast),
            _ if !guard::allows(&self.allow_cidrs, ip) => Err(Refusal::NotAllowed),
            _ if Family::of(ip) != family => Err(Refusal::WrongFamily),
            _ => Ok(()),
        }
    }

    /// The route before any answer for a name.
    pub fn start(&self, host: &str, port: u16) -> Route {
        let role = self.role_of(host, &[]);
        Route {
            addresses: Vec::new(),
            refused: BTreeMap::new(),
            port,
            gone: BTreeMap::new(),
            vouched: BTreeSet::new(),
            role,
            linger: self.linger.of(role),
            moved: None,
            asked: false,
            is_disputed: false,
            is_rotating: false,
            verdict: None,
            led_by: None,
        }
    }

    /// Takes an answer for a name. `check` says which addresses may be connected to.
    pub fn answered(
        &self,
        route: &mut Route,
        host: &str,
        check: impl Fn(IpAddr) -> Result<(), Refusal>,
        answer: &Answer,
        now: Timestamp,
    ) -> Effect {
        let Answer { resolution, history } = answer;
        route.asked = true;
        let told = self.role_of(host, &resolution.names);
        let was_rotating = route.is_rotating;
        route.is_rotating = told == Role::Writer && history.rotation().is_some();
        // No answer of a name that gives several addresses in turn is the whole truth.
        route.role = if route.is_rotating { Role::Reader } else { told };
        let lasts = |(_, since)| now.since(since) >= Policy::default().forget(Role::Writer);
        route.is_disputed = route.role == Role::Writer && history.differing().is_some_and(lasts);
        route.linger = self.linger.of(route.role);
        if route.waits() {
            return Effect::None;
        }
        let effect = match route.writer() {
            Some(writer) => self.take(route, [writer], check, By::Proof { of_all_left: false }, now),
            None => self.take(route, resolution.addresses().iter().copied(), check, By::Dns, now),
        };
        if effect == Effect::AllRefused {
            return effect;
        }
        // Of what DNS says, nothing counts beside a proof.
        let is_proven = route.writer().is_some();
        let is_vouched = |ip: &&IpAddr| !is_proven && !history.vouched_by(**ip).is_empty();
        let vouched = route.gone.keys().filter(is_vouched).copied().collect();
        let before = std::mem::replace(&mut route.vouched, vouched);
        // What kept the sessions has ended just now.
        for (ip, since) in &mut route.gone {
            let has_ended = was_rotating && !route.is_rotating || before.contains(ip) && !route.vouched.contains(ip);
            if has_ended {
                *since = now;
            }
        }
        while route.gone.len() > GONE_MAX {
            let oldest = route.gone.iter().min_by_key(|(_, since)| **since).map(|(ip, _)| *ip);
            oldest.and_then(|ip| route.gone.remove(&ip));
        }
        effect
    }

    /// Takes a writer that has shown itself. `is_out` says of an address whether it has shown that it is none.
    pub fn led(
        &self,
        route: &mut Route,
        writer: IpAddr,
        check: impl Fn(IpAddr) -> Result<(), Refusal>,
        is_out: impl Fn(IpAddr) -> bool,
        now: Timestamp,
    ) -> Effect {
        for ip in std::mem::take(&mut route.vouched) {
            route.gone.insert(ip, now);
        }
        let just_left = route.gone.iter().filter(|(_, since)| now.since(**since) < FLAPS);
        let left = route.addresses.iter().chain(just_left.map(|(ip, _)| ip));
        let mut left = left.filter(|ip| **ip != writer);
        let of_all_left = left.all(|ip| is_out(*ip));
        self.take(route, [writer], check, By::Proof { of_all_left }, now)
    }

    /// Takes addresses for new connections, of which `check` says whether they may go there.
    fn take(
        &self,
        route: &mut Route,
        named: impl IntoIterator<Item = IpAddr>,
        check: impl Fn(IpAddr) -> Result<(), Refusal>,
        by: By,
        now: Timestamp,
    ) -> Effect {
        let (mut addresses, mut refused) = (Vec::new(), BTreeMap::new());
        for ip in named {
            match check(ip) {
                Ok(()) => addresses.push(ip),
                Err(refusal) => drop(refused.insert(ip, refusal)),
            }
        }
        if addresses.is_empty() {
            route.refused = refused;
            // An address can come to this machine.
            let lost = route.addresses.extract_if(.., |ip| check(*ip).is_err());
            route.gone.extend(lost.map(|ip| (ip, now)));
            return Effect::AllRefused;
        }
        route.refused.clear();
        let before = std::mem::replace(&mut route.addresses, addresses);
        let has_changed = before != route.addresses;
        let led_by = route.addresses.first().copied().filter(|_| by != By::Dns);
        let has_proof = led_by.is_some() && led_by != std::mem::replace(&mut route.led_by, led_by);
        if has_changed || has_proof {
            let left = |ip: &IpAddr| route.gone.get(ip).is_some_and(|since| now.since(*since) < FLAPS);
            let is_proven = by != By::Dns;
            let is_return = !is_proven && route.addresses.iter().any(left);
            route.moved = Some(Move {
                at: now,
                ends_early: self.linger == Linger::ByRole && route.role == Role::Writer && !is_return,
                is_confirmed: by == By::Proof { of_all_left: true },
                is_proven,
            });
        } else if let Some(moved) = &mut route.moved {
            moved.is_confirmed |= now.since(moved.at) >= CONFIRMED_AFTER || by == By::Proof { of_all_left: true };
        }
        for ip in before {
            if !route.names(ip) {
                route.gone.insert(ip, now);
            }
        }
        for ip in &route.addresses {
            route.gone.remove(ip);
        }
        match has_changed {
            true => Effect::Addresses,
            false => Effect::None,
        }
    }

    /// The role and the linger where an answer has told the role already.
    pub fn obeyed(&self, told: Role) -> (Role, Option<Duration>) {
        let role = self.role.unwrap_or(told);
        (role, self.linger.of(role))
    }

    /// The role of a name whose CNAMEs lead through these names.
    pub fn role_of<'a>(&self, host: &'a str, names: impl IntoIterator<Item = &'a String>) -> Role {
        let told = || Role::told_by(names.into_iter().map(String::as_str).chain([host]));
        self.role.unwrap_or_else(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::answer::{Failure, Quorum, Said};
    use crate::planner::history::Inquiry;

    const HOST: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";

    fn rules() -> Rules {
        Rules {
            linger: Linger::ByRole,
            role: None,
            allow_cidrs: Vec::new(),
        }
    }

    fn legal(rules: &Rules) -> impl Fn(IpAddr) -> Result<(), Refusal> {
        |ip| rules.check(ip, Family::Ipv4)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    /// What one name server says of a name, as the answer to all that it has said.
    fn answer(inquiry: &mut Inquiry, names: &[&str], addresses: &[&str], secs: u64) -> Answer {
        let mut said = Said::new(addresses.iter().map(|text| ip(text)).collect(), Duration::from_secs(5));
        said.names = names.iter().map(|name| (*name).to_owned()).collect();
        let server = "10.0.0.2:53".parse().expect("an address");
        let said = inquiry.weigh(HOST, vec![(server, Ok(said))], at(secs), at(secs));
        inquiry.hear(HOST, &said, Quorum::Any, at(secs)).expect("an address")
    }

    /// Answers at seconds, and the addresses whose sessions have ended by a later second.
    #[test]
    fn sessions_end_when_their_address_has_been_gone_for_the_linger() {
        for (answers, now, ended) in [
            (&[(0, "10.0.0.1")][..], 100, &[][..]),
            (&[(0, "10.0.0.1"), (10, "10.0.0.2")], 14, &[]),
            (&[(0, "10.0.0.1"), (10, "10.0.0.2")], 15, &["10.0.0.1"]),
            // A flap: whoever is named again within the linger stays.
            (&[(0, "10.0.0.1"), (10, "10.0.0.2"), (14, "10.0.0.1")], 15, &[]),
            (
                &[(0, "10.0.0.1"), (10, "10.0.0.2"), (14, "10.0.0.1")],
                19,
                &["10.0.0.2"],
            ),
            (
                &[(0, "10.0.0.1"), (10, "10.0.0.2"), (14, "10.0.0.1"), (15, "10.0.0.2")],
                19,
                &[],
            ),
            (
                &[(0, "10.0.0.1"), (10, "10.0.0.2"), (14, "10.0.0.1"), (15, "10.0.0.2")],
                20,
                &["10.0.0.1"],
            ),
        ] {
            let (mut route, mut inquiry) = (rules().start(HOST, 5432), Inquiry::default());
            for (secs, address) in answers {
                let answer = answer(&mut inquiry, &[], &[address], *secs);
                rules().answered(&mut route, HOST, legal(&rules()), &answer, at(*secs));
            }
            let all: BTreeSet<&str> = answers.iter().map(|(_, address)| *address).collect();
            let has_ended = |text: &&&str| route.ends(ip(text)).is_some_and(|end| end <= at(now));
            let found: Vec<&str> = all.iter().filter(has_ended).copied().collect();
            assert_eq!(found, ended, "{answers:?} at {now}");
        }
    }

    #[test]
    fn the_role_sets_the_linger() {
        let five = Some(Duration::from_secs(5));
        let reader = "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com";
        for (linger, role, host, names, expect) in [
            (Linger::ByRole, None, HOST, &[][..], five),
            (Linger::ByRole, None, reader, &[], None),
            (Linger::ByRole, None, "db.internal", &[reader], None),
            (Linger::ByRole, Some(Role::Writer), reader, &[], five),
            (Linger::ByRole, Some(Role::Reader), HOST, &[], None),
            (Linger::Never, None, HOST, &[], None),
            (Linger::For(Duration::ZERO), None, HOST, &[], Some(Duration::ZERO)),
            (
                Linger::For(Duration::from_secs(60)),
                None,
                reader,
                &[],
                Some(Duration::from_secs(60)),
            ),
        ] {
            let rules = Rules {
                linger,
                role,
                ..rules()
            };
            let mut route = rules.start(host, 5432);
            let answer = answer(&mut Inquiry::default(), names, &["10.0.0.1"], 0);
            rules.answered(&mut route, host, legal(&rules), &answer, at(0));
            assert_eq!(route.linger, expect, "{linger:?} {role:?} {host} {names:?}");
        }
    }

    #[test]
    fn addresses_of_another_name_are_gone_from_then_on() {
        let (mut route, mut inquiry) = (rules().start("former.internal", 5432), Inquiry::default());
        for (secs, address) in [(0, "10.0.0.1"), (10, "10.0.0.2")] {
            let answer = answer(&mut inquiry, &[], &[address], secs);
            rules().answered(&mut route, "former.internal", legal(&rules()), &answer, at(secs));
        }
        let former = route;
        let mut route = rules().start(HOST, 5432);
        route.leave_behind(&former, at(12));
        assert_eq!((route.addresses.as_slice(), route.asked), (&[][..], false));
        assert_eq!(route.ends(ip("10.0.0.1")), Some(at(15)));
        assert_eq!(route.ends(ip("10.0.0.2")), Some(at(17)));
    }

    #[test]
    fn what_may_not_be_connected_to_changes_nothing() {
        let narrow = Rules {
            allow_cidrs: vec!["10.0.0.0/8".parse().expect("a network")],
            ..rules()
        };
        for (rules, addresses, change, expect) in [
            (
                &narrow,
                &["10.0.0.2", "192.0.2.1"][..],
                Effect::Addresses,
                &["10.0.0.2"][..],
            ),
            (&narrow, &["192.0.2.1"], Effect::AllRefused, &["10.0.0.1"]),
            (&rules(), &["0.0.0.0"], Effect::AllRefused, &["10.0.0.1"]),
            (&rules(), &["224.0.0.1", "::"], Effect::AllRefused, &["10.0.0.1"]),
            (&rules(), &["fd00::1"], Effect::AllRefused, &["10.0.0.1"]),
            (&rules(), &["10.0.0.1"], Effect::None, &["10.0.0.1"]),
            (
                &rules(),
                &["127.0.0.1", "192.0.2.1"],
                Effect::Addresses,
                &["127.0.0.1", "192.0.2.1"],
            ),
        ] {
            let (mut route, mut inquiry) = (rules.start(HOST, 5432), Inquiry::default());
            let first = answer(&mut inquiry, &[], &["10.0.0.1"], 0);
            rules.answered(&mut route, HOST, legal(rules), &first, at(0));
            let second = answer(&mut inquiry, &[], addresses, 1);
            let effect = rules.answered(&mut route, HOST, legal(rules), &second, at(1));
            assert_eq!(effect, change, "{addresses:?}");
            let expect: Vec<IpAddr> = expect.iter().map(|text| ip(text)).collect();
            assert_eq!(route.addresses, expect, "{addresses:?}");
        }
    }

    #[test]
    fn only_so_many_addresses_are_remembered_and_the_others_are_long_gone() {
        let (mut route, mut inquiry) = (rules().start(HOST, 5432), Inquiry::default());
        for n in 0..=u32::try_from(GONE_MAX).expect("a small number") + 1 {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
            let answer = answer(&mut inquiry, &[], &[&address], n.into());
            rules().answered(&mut route, HOST, legal(&rules()), &answer, at(n.into()));
        }
        assert_eq!(route.gone.len(), GONE_MAX);
        assert_eq!(route.ends(ip("10.0.0.0")), Some(at(5)));
        assert!(route.ends(ip("10.0.0.1")).is_some());
    }

    /// Fails if a second name server that falls silent takes the sessions to what it named with it, or if they stay once it says
    /// otherwise.
    #[test]
    fn sessions_stay_where_a_name_server_that_is_silent_now_has_sent_them() {
        let (mut route, mut inquiry) = (rules().start(HOST, 5432), Inquiry::default());
        let servers = ["10.0.0.2:53", "10.0.0.3:53"].map(|server| server.parse().expect("an address"));
        let mut hear = |secs: u64, says: [Option<&str>; 2]| {
            let said = |text: &str| Said::new(BTreeSet::from([ip(text)]), Duration::from_secs(5));
            let said = says.map(|text| text.map(said).ok_or(Failure::TimedOut));
            let said = inquiry.weigh(HOST, servers.into_iter().zip(said).collect(), at(secs), at(secs));
            let answer = inquiry.hear(HOST, &said, Quorum::Any, at(secs)).expect("an answer");
            rules().answered(&mut route, HOST, legal(&rules()), &answer, at(secs));
            (route.names(ip("10.0.0.1")), route.ends(ip("10.0.0.1")))
        };
        assert_eq!(hear(0, [Some("10.0.0.1"), Some("10.0.0.2")]), (true, None));
        assert_eq!(hear(10, [None, Some("10.0.0.2")]), (false, None));
        assert_eq!(hear(60, [None, Some("10.0.0.2")]), (false, None));
        assert_eq!(hear(70, [Some("10.0.0.2"), Some("10.0.0.2")]), (false, Some(at(75))));
    }

    /// Fails if the sessions of a name that gives several addresses in turn are cut whenever it gives another.
    #[test]
    fn sessions_stay_when_a_name_of_ones_own_goes_back_and_forth() {
        for (host, names, expect) in [
            ("orders.internal", &[][..], Role::Reader),
            ("orders.internal", &[HOST], Role::Writer),
            (HOST, &[], Role::Writer),
        ] {
            let (mut route, mut inquiry) = (rules().start(host, 5432), Inquiry::default());
            for (secs, address) in [(0, "10.0.0.1"), (10, "10.0.0.2"), (20, "10.0.0.1")] {
                let mut said = Said::new(BTreeSet::from([ip(address)]), Duration::from_secs(5));
                said.names = names.iter().map(|name| (*name).to_owned()).collect();
                let server = "10.0.0.2:53".parse().expect("an address");
                let said = inquiry.weigh(host, vec![(server, Ok(said))], at(secs), at(secs));
                let answer = inquiry.hear(host, &said, Quorum::Any, at(secs)).expect("an answer");
                rules().answered(&mut route, host, legal(&rules()), &answer, at(secs));
            }
            assert_eq!(route.role, expect, "{host} {names:?}");
            let end = route.ends(ip("10.0.0.2"));
            assert_eq!(end, (expect == Role::Writer).then(|| at(25)), "{host} {names:?}");
        }
    }

    /// When the sessions to the former writer's address end, by what it shows while another proves itself at second 10, and DNS goes on to
    /// name it.
    #[test]
    fn a_proof_ends_the_sessions_that_are_left_behind_whatever_dns_says() {
        let from_proof = |seconds: u64| Some(at(10 + seconds));
        for (linger, is_out, after_one_second, after_all) in [
            (Linger::ByRole, true, from_proof(0), from_proof(0)),
            (Linger::ByRole, false, from_proof(5), from_proof(0)),
            (
                Linger::For(Duration::from_secs(60)),
                true,
                from_proof(60),
                from_proof(60),
            ),
            (Linger::Never, true, None, None),
        ] {
            let rules = Rules { linger, ..rules() };
            let (mut route, mut inquiry) = (rules.start(HOST, 5432), Inquiry::default());
            let mut ask = |route: &mut Route, secs| {
                let answer = answer(&mut inquiry, &[], &["10.0.0.1"], secs);
                rules.answered(route, HOST, legal(&rules), &answer, at(secs));
            };
            ask(&mut route, 0);
            let prove = |route: &mut Route, secs| {
                route.verdict = Some(Verdict::Leads {
                    to: ip("10.0.0.2"),
                    over: BTreeSet::from([ip("10.0.0.1")]),
                });
                rules.led(route, ip("10.0.0.2"), legal(&rules), |_| is_out, at(secs));
            };
            prove(&mut route, 10);
            assert_eq!(route.ends(ip("10.0.0.1")), after_one_second, "{linger:?} {is_out}");
            ask(&mut route, 10);
            assert_eq!(route.ends(ip("10.0.0.1")), after_one_second, "{linger:?} {is_out}");
            prove(&mut route, 11);
            ask(&mut route, 12);
            assert_eq!(route.ends(ip("10.0.0.1")), after_all, "{linger:?} {is_out}");
            assert_eq!(route.addresses, [ip("10.0.0.2")]);
        }
    }

    /// Fails if what DNS moved to and fro before a proof decides how soon the sessions that it leaves behind end.
    #[test]
    fn a_proof_counts_from_its_own_beginning() {
        let prove = |route: &mut Route, secs, is_out: bool| {
            route.verdict = Some(Verdict::Agrees(ip("10.0.0.1")));
            rules().led(route, ip("10.0.0.1"), legal(&rules()), |_| is_out, at(secs));
        };
        for (is_out, ends) in [(true, [20, 20, 20]), (false, [25, 20, 20])] {
            let (mut route, mut inquiry) = (rules().start(HOST, 5432), Inquiry::default());
            // The name comes back, so that the sessions to what it named meanwhile have the whole 5 s.
            for (secs, address) in [(0, "10.0.0.1"), (10, "10.0.0.2"), (20, "10.0.0.1")] {
                let answer = answer(&mut inquiry, &[], &[address], secs);
                rules().answered(&mut route, HOST, legal(&rules()), &answer, at(secs));
            }
            assert_eq!(route.ends(ip("10.0.0.2")), Some(at(25)));
            let found = [21, 22, 23].map(|secs| {
                prove(&mut route, secs, is_out);
                route.ends(ip("10.0.0.2"))
            });
            assert_eq!(found, ends.map(|secs| Some(at(secs))), "is out: {is_out}");
        }
    }

    /// Fails if new settings close sessions at once that stayed until then, for a vouching name server or a rotation.
    #[test]
    fn what_stayed_has_its_linger_from_the_new_settings_on() {
        let mut former = rules().start(HOST, 5432);
        former.addresses = vec![ip("10.0.0.1")];
        former.gone = BTreeMap::from([(ip("10.0.0.2"), at(10)), (ip("10.0.0.3"), at(20))]);
        former.vouched = BTreeSet::from([ip("10.0.0.2")]);
        for (is_rotating, ends) in [(false, [105, 105, 25]), (true, [105, 105, 105])] {
            former.is_rotating = is_rotating;
            let mut route = rules().start("orders.internal", 5432);
            route.leave_behind(&former, at(100));
            for (n, end) in (1..).zip(ends) {
                assert_eq!(
                    route.ends(IpAddr::from([10, 0, 0, n])),
                    Some(at(end)),
                    "{n}, rotating: {is_rotating}"
                );
            }
        }
    }
}

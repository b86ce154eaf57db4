//! The listeners of a load balancer, with their rules and weights, judged: whose new connections the group gets.
//!
//! A fix never changes an action that clients are served by: whoever is served now stays where he is (N17).

use std::collections::BTreeSet;

use super::check::Outcome;
use super::command::elbv2;
use crate::aws::elb::{self, Attributes, Balancer, Detail, Forward, Listener, Rule, Takes};
use crate::exit::Exit;
use crate::planner::target::Family;
use crate::text::join;

/// The idle timeout of a listener unless somebody sets it.
const IDLE_DEFAULT_SECONDS: u32 = 350;
/// The most that can be set.
const IDLE_MAX: &str = "6000";

/// A listener, its rules, and its attributes if it names the group.
#[derive(Clone, Debug)]
pub struct ListenerSeen {
    /// The listener with its default action.
    pub listener: Listener,
    /// The rules that come before that, in order.
    pub rules: Result<Vec<Rule>, elb::Error>,
    /// Its attributes; they are asked for only if it names the group.
    pub attributes: Option<Result<Attributes, elb::Error>>,
}

/// A way by which clients of a family may get to a group.
#[derive(Clone, Copy, Debug)]
struct Way<'a> {
    family: Family,
    /// The rule that takes them; without one it is the default action.
    rule: Option<&'a Rule>,
    forwards: &'a [Forward],
}

impl ListenerSeen {
    /// Whether any action names the group, with whatever weight.
    pub fn names(&self, group: &str) -> bool {
        let rules = self.rules.iter().flatten().flat_map(|rule| &rule.forwards);
        let mut all = self.listener.forwards.iter().chain(rules);
        all.any(|forward| forward.group == group)
    }

    fn is_tcp(&self) -> bool {
        matches!(self.listener.protocol.as_str(), "TCP" | "TCP_UDP")
    }

    /// The actions that clients of a family may get: that of the first rule that takes them, or the default one.
    fn ways(&self, family: Family) -> Vec<Way<'_>> {
        let mut ways = Vec::new();
        for rule in self.rules.iter().flatten() {
            let is_last = match &rule.takes {
                Takes::All => true,
                Takes::Family(taken) if *taken == family => true,
                Takes::Family(_) => continue,
                Takes::Some(_) => false,
            };
            ways.push(Way {
                family,
                rule: Some(rule),
                forwards: &rule.forwards,
            });
            if is_last {
                return ways;
            }
        }
        ways.push(Way {
            family,
            rule: None,
            forwards: &self.listener.forwards,
        });
        ways
    }

    /// The ways on which the group gets new connections.
    fn open(&self, balancer: &Balancer, group: &str) -> Vec<Way<'_>> {
        let all = balancer.families.iter().flat_map(|family| self.ways(*family));
        all.filter(|way| way.share(group).is_some()).collect()
    }

    /// The way there, for people: for whom, by what, and with which part of the connections.
    fn told(&self, balancer: &Balancer, group: &str) -> Option<String> {
        let open = self.open(balancer, group);
        let first = open.first()?;
        let Listener { protocol, port, .. } = &self.listener;
        let mut told = format!("{protocol} port {port}");
        let served: BTreeSet<Family> = open.iter().map(|way| way.family).collect();
        if balancer.families.iter().any(|family| !served.contains(family)) {
            told = format!("{told}, for {} clients", join(&served));
        }
        let rules: BTreeSet<u32> = open.iter().filter_map(|way| Some(way.rule?.priority)).collect();
        if !rules.is_empty() {
            told = format!("{told}, by rule {}", join(&rules));
        }
        let fields = open.iter().filter_map(|way| match &way.rule?.takes {
            Takes::Some(fields) => Some(fields.as_str()),
            _ => None,
        });
        let fields: BTreeSet<&str> = fields.collect();
        if !fields.is_empty() {
            told = format!("{told} with conditions ({})", join(&fields));
        }
        match first.share(group) {
            Some((own, all)) if own < all => told = format!("{told}, {own} of {all} new connections"),
            _ => {}
        }
        if self.rules.is_err() {
            told.push_str("; rules that may come before that are not known");
        }
        Some(told)
    }
}

impl Way<'_> {
    /// The group's weight, and that of all groups; nothing if it gets no new connection.
    fn share(&self, group: &str) -> Option<(u32, u32)> {
        let mut own = self.forwards.iter().filter(|forward| forward.group == group);
        let own = own.next().map(|forward| forward.weight).filter(|weight| *weight > 0)?;
        Some((own, self.forwards.iter().map(|forward| forward.weight).sum()))
    }
}

/// Whether clients reach the group.
pub fn listening(detail: &Detail, balancer: &Balancer, listeners: &[ListenerSeen]) -> Outcome {
    let group = detail.group.arn.as_str();
    let open: Vec<&ListenerSeen> = listeners
        .iter()
        .filter(|one| !one.open(balancer, group).is_empty())
        .collect();
    let (good, wrong): (Vec<&ListenerSeen>, Vec<&ListenerSeen>) = open.iter().partition(|one| one.is_tcp());
    let told = good.iter().filter_map(|one| one.told(balancer, group));
    match (good.is_empty(), wrong.first()) {
        (false, None) => Outcome::ok(join(told)),
        (false, Some(other)) => Outcome::warning(
            format!(
                "{}; but the listener on port {} speaks {}, which does not pass PostgreSQL's own TLS through",
                join(told),
                other.listener.port,
                other.listener.protocol
            ),
            "nothing, if its clients speak TLS from the first byte (sslnegotiation=direct); let the others use the TCP port",
        ),
        (true, Some(other)) => Outcome::failure(
            Exit::Unexpected,
            format!(
                "the listener on port {} speaks {}: PostgreSQL begins TLS inside its own protocol, which only TCP passes \
                 through",
                other.listener.port, other.listener.protocol
            ),
            format!(
                "let clients use a TCP listener, which takes nothing from those of now: {}",
                further(detail, balancer, listeners)
            ),
        ),
        (true, None) => unreached(detail, balancer, listeners),
    }
}

fn unreached(detail: &Detail, balancer: &Balancer, listeners: &[ListenerSeen]) -> Outcome {
    let group = detail.group.arn.as_str();
    if listeners.iter().any(|one| one.rules.is_err()) {
        return Outcome::blocked("permission.inspect");
    }
    let further = further(detail, balancer, listeners);
    let named: Vec<&ListenerSeen> = listeners.iter().filter(|one| one.names(group)).collect();
    let Some(first) = named.first() else {
        return Outcome::failure(
            Exit::Unexpected,
            format!(
                "no listener of {} forwards to the group ({} forward elsewhere)",
                balancer.name,
                listeners.len()
            ),
            format!("a listener of its own takes nothing from the others: {further}"),
        );
    };
    let port = first.listener.port;
    let is_idle = |way: &Way<'_>| way.forwards.iter().any(|forward| forward.group == group);
    let mut ways = balancer.families.iter().flat_map(|family| first.ways(*family));
    if ways.any(|way| is_idle(&way)) {
        return Outcome::failure(
            Exit::Unexpected,
            format!(
                "the group has weight 0 in what port {port} forwards to: it gets no new connection, though older ones may live \
                 on for up to an hour"
            ),
            format!(
                "nothing, if somebody has taken it out on purpose; a weight there would give it a part of the other groups' \
                 clients, so do that only if all lead to the same database; a listener of its own takes nothing from them: \
                 {further}"
            ),
        );
    }
    Outcome::failure(
        Exit::Unexpected,
        format!("the group stands in an action of port {port}, but rules before that take every client"),
        format!(
            "change those rules only if their clients are to come here; a listener of its own takes nothing from them: {further}"
        ),
    )
}

/// The command for one more listener, on the group's own port or the next that is free: it changes nothing that there is.
fn further(detail: &Detail, balancer: &Balancer, listeners: &[ListenerSeen]) -> String {
    let taken: BTreeSet<u16> = listeners.iter().map(|one| one.listener.port).collect();
    let first = detail.group.port.max(1);
    let port = (first..=u16::MAX).find(|port| !taken.contains(port)).unwrap_or(first);
    format!(
        "{} --load-balancer-arn {} --protocol TCP --port {port} --default-actions Type=forward,TargetGroupArn={}",
        elbv2(detail, "create-listener"),
        balancer.arn,
        detail.group.arn
    )
}

/// How long connections may be silent.
pub fn idle_timeout(detail: &Detail, listeners: &[ListenerSeen]) -> Outcome {
    const KEY: &str = "tcp.idle_timeout.seconds";
    let mut shortest: Option<(u32, &str)> = None;
    for one in listeners {
        let attributes = match &one.attributes {
            None => continue,
            Some(Err(_)) => return Outcome::blocked("permission.inspect"),
            Some(Ok(attributes)) => attributes,
        };
        let seconds = attributes.get(KEY).and_then(|seconds| seconds.parse().ok());
        let seconds: u32 = seconds.unwrap_or(IDLE_DEFAULT_SECONDS);
        if shortest.is_none_or(|(shortest, _)| seconds < shortest) {
            shortest = Some((seconds, &one.listener.arn));
        }
    }
    match shortest {
        None => Outcome::blocked("balancer.listener"),
        Some((seconds, _)) if seconds > IDLE_DEFAULT_SECONDS => {
            Outcome::ok(format!("a connection may be silent for {seconds} s"))
        }
        Some((seconds, listener)) => Outcome::warning(
            format!("a connection that is silent for {seconds} s is dropped without a word to either side"),
            format!(
                "{} --listener-arn {listener} --attributes Key={KEY},Value={IDLE_MAX}; or let clients send TCP keepalives \
                 more often than that",
                elbv2(detail, "modify-listener-attributes")
            ),
        ),
    }
}

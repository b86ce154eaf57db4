//! Everything that is there before the nemesis comes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::dns::{Given, Tap};
use testkit::elb::{self, Failure, Group};
use testkit::nlb::{Checks, Node};
use testkit::program::comes_true;
use testkit::scratch::Scratch;

use crate::actor::{Actor, Who};
use crate::host::{ADDRESSES, Host, Names, Shared, locked};
use crate::journal::Journal;
use crate::rows::{Consumer, Via, Writer};
use crate::schedule::Api;

/// Ports that no connection takes, in a network that nobody else has.
const fn at(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}
const API: SocketAddr = at(9001);
const BALANCER: SocketAddr = at(9002);
const PROXY: SocketAddr = at(9003);
const NAMES: SocketAddr = at(9053);

/// More than any process takes to learn of a move, so that nobody removes what another relies on (S1 of several actors).
pub const FORGET: Duration = Duration::from_secs(3);
/// Minutes, with AWS. Here a failover comes every three seconds.
const REGISTRATION: Duration = Duration::from_millis(400);
const DEREGISTRATION: Duration = Duration::from_secs(2);
const CHECKS: Checks = Checks {
    every: Duration::from_millis(250),
    timeout: Duration::from_millis(200),
    healthy: 1,
    unhealthy: 2,
};
/// How long all may take to be at work.
const AT_WORK_MAX: Duration = Duration::from_secs(60);
/// Rows of each writer by then.
const AT_WORK: i64 = 20;

pub struct Site {
    // Ended in this order.
    pub consumers: [Consumer; 2],
    pub writers: [Writer; 3],
    pub actors: Vec<Actor>,
    pub node: Node,
    pub elb: Arc<elb::Server>,
    pub arn: String,
    pub taps: Vec<(Who, Tap)>,
    pub names: Shared,
    pub port: u16,
    _scratch: Scratch,
}

impl Site {
    /// All at work; the database is the second.
    pub fn start(journal: &Arc<Journal>) -> (Self, Host) {
        let scratch = Scratch::new();
        let names = Arc::new(Mutex::new(Names::start(NAMES, Arc::clone(journal))));
        let host = Host::start(&scratch, Arc::clone(&names), &["balancer", "proxy"]);
        let port = host.port();
        let tap = |who: Who| (who, Tap::start_at(who.nameserver(), NAMES).expect("its own address"));
        let taps = Who::ALL.map(tap).into();
        let elb = Arc::new(elb::Server::start_at(API).expect("its own port"));
        let group = Group::named("orders")
            .port(port)
            .registration_delay(REGISTRATION)
            .deregistration_delay(DEREGISTRATION)
            .attribute("deregistration_delay.connection_termination.enabled", "true")
            .attribute("load_balancing.cross_zone.enabled", "true");
        let arn = elb.add_group(group);
        elb.put_target(&arn, &ADDRESSES[0].to_string(), port);
        elb.limits(true);
        let node = Node::start(Arc::clone(&elb), &arn, "eu-west-1a", BALANCER, CHECKS).expect("its own port");
        let daemon = |who| Actor::daemon(who, &scratch, &elb.url(), &arn, port, FORGET);
        let actors = vec![daemon(Who::One), daemon(Who::Two), Actor::proxy(&scratch, PROXY, port)];
        let site = Self {
            consumers: [Consumer::start("balancer", BALANCER), Consumer::start("proxy", PROXY)],
            writers: [
                Writer::start("direct", Via::Direct(host.truth(), port)),
                Writer::start("balancer", Via::At(BALANCER)),
                Writer::start("proxy", Via::At(PROXY)),
            ],
            actors,
            node,
            elb,
            arn,
            taps,
            names,
            port,
            _scratch: scratch,
        };
        let are_at_work = comes_true(AT_WORK_MAX, || site.all_have(AT_WORK));
        assert!(are_at_work, "not at work: {}", site.state());
        (site, host)
    }

    /// Whether each consumer has so many rows of each writer.
    fn all_have(&self, rows: i64) -> bool {
        let has = |consumer: &Consumer, writer: &Writer| {
            let received = consumer.received().last;
            received.get(writer.name).is_some_and(|last| *last >= rows)
        };
        let mut consumers = self.consumers.iter();
        consumers.all(|consumer| self.writers.iter().all(|writer| has(consumer, writer)))
    }

    /// Where everybody is, for who has to understand it.
    pub fn state(&self) -> String {
        let mut told = vec![format!("{:?}", self.elb.targets(&self.arn))];
        told.extend(
            self.writers
                .iter()
                .map(|writer| format!("{}: {:?}", writer.name, writer.written())),
        );
        told.extend(
            self.consumers
                .iter()
                .map(|consumer| format!("{}: {:?}", consumer.name, consumer.received())),
        );
        told.push(format!("{:?}, {:?}", self.node.tally(), self.node.flows()));
        told.extend(
            self.actors
                .iter()
                .map(|actor| format!("{}:\n{}", actor.who, tail(&actor.log()))),
        );
        told.join("\n")
    }

    pub fn actor(&mut self, who: Who) -> &mut Actor {
        let found = self.actors.iter_mut().find(|actor| actor.who == who);
        found.expect("all are there")
    }

    pub fn tap(&self, who: Who) -> &Tap {
        let found = self.taps.iter().find(|(of, _)| *of == who);
        &found.expect("all are there").1
    }

    /// What DNS has told everybody.
    pub fn given(&self) -> Vec<(Who, Vec<Given>)> {
        self.taps.iter().map(|(who, tap)| (*who, tap.given())).collect()
    }

    /// From now on the API does this.
    pub fn break_api(&self, api: Api) {
        let failure = match api {
            Api::Refuses => return self.elb.stop_listening(),
            Api::Hangs => Failure::Hang,
            Api::Throttles => Failure::throttled(),
            Api::LosesReplies => Failure::LostReply,
            Api::IsLate => Failure::Delay(Duration::from_millis(500)),
            Api::IsUnavailable => Failure::unavailable(),
            Api::RegistersNothing => return self.elb.fail("RegisterTargets", Failure::unavailable(), None),
        };
        self.elb.fail("*", failure, None);
    }

    pub fn mend_api(&self) {
        self.elb.heal();
        self.elb.listen_again().expect("its own port");
    }

    /// Whether the group is what DNS says, and nothing else.
    pub fn is_settled(&self) -> bool {
        let wanted = locked(&self.names).wanted().to_string();
        let targets = self.elb.targets(&self.arn).into_iter();
        let mut registered = targets.filter(|target| target.state != "draining");
        registered.next().is_some_and(|target| target.ip == wanted) && registered.next().is_none()
    }
}

/// The end of a log.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

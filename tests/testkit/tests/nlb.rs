//! The load balancer's node: whom it gives connections to, and when it ends them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use testkit::elb::{Group, Server, TargetDescription};
use testkit::nlb::{Checks, Node};
use testkit::program::{PATIENCE, wait_until};

const ON_DEREGISTRATION: &str = "deregistration_delay.connection_termination.enabled";
const ON_UNHEALTHY: &str = "target_health_state.unhealthy.connection_termination.enabled";
const CHECKS: Checks = Checks {
    every: Duration::from_millis(20),
    timeout: Duration::from_millis(20),
    healthy: 2,
    unhealthy: 2,
};
/// Nobody waits for the end of it.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// Enough connections that a hash leaves nobody out of two: 2^-64.
const MANY: usize = 64;

struct Site {
    elb: Arc<Server>,
    arn: String,
    node: Node,
}

impl Site {
    /// A node before a group with these targets, registered long ago.
    fn new(group: Group, targets: &[SocketAddr]) -> Self {
        let elb = Arc::new(Server::start());
        let arn = elb.add_group(group);
        for target in targets {
            elb.put_target(&arn, &target.ip().to_string(), target.port());
        }
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let node = Node::start(Arc::clone(&elb), &arn, "eu-west-1a", listen, CHECKS).unwrap();
        Self { elb, arn, node }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.node.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn deregister(&self, target: SocketAddr) {
        let named = [TargetDescription::new(&target.ip().to_string(), target.port())];
        let done = self.elb.model(|model, now| model.deregister(&self.arn, &named, now));
        done.unwrap();
    }

    fn wait_for_state(&self, target: SocketAddr, state: &str) {
        let ip = target.ip().to_string();
        let is_so = self.elb.wait_until(PATIENCE, |model, now| {
            let mut targets = model.targets(&self.arn, now).into_iter();
            targets.any(|target| target.ip == ip && target.state == state)
        });
        assert!(is_so, "{ip} never {state}: {:?}", self.elb.targets(&self.arn));
    }

    /// Who answers new connections.
    fn answering(&self) -> BTreeSet<SocketAddr> {
        let answers = (0..MANY).filter_map(|_| said_by(&mut self.connect()));
        answers.collect()
    }
}

/// A server that says its address to whoever says anything, for as long as this process lives.
fn server(last: u8) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 3, last), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, address));
        }
    });
    address
}

fn answer(mut stream: TcpStream, address: SocketAddr) {
    let mut buffer = [0; 16];
    while let Ok(1..) = stream.read(&mut buffer) {
        if writeln!(stream, "{address}").is_err() {
            return;
        }
    }
}

/// Who answers on a connection; none if it has ended.
fn said_by(stream: &mut TcpStream) -> Option<SocketAddr> {
    stream.write_all(b"?").ok()?;
    let mut said = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).ok()? == 1 && byte != *b"\n" {
        said.push(byte[0]);
    }
    String::from_utf8(said).unwrap().parse().ok()
}

/// It ends with a reset, without having been asked to.
#[track_caller]
fn assert_reset(stream: &mut TcpStream) {
    let ended = stream.read(&mut [0; 16]);
    assert_eq!(
        ended.as_ref().map_err(std::io::Error::kind),
        Err(ErrorKind::ConnectionReset),
        "{ended:?}"
    );
}

fn group() -> Group {
    Group::named("orders")
}

#[test]
fn a_connection_has_one_target_for_its_life_and_all_of_them_all_that_are_healthy() {
    let both = [server(1), server(2)];
    let site = Site::new(group(), &both);
    let mut one = site.connect();
    let first = said_by(&mut one).unwrap();
    assert_eq!(site.answering(), BTreeSet::from(both));
    assert_eq!(said_by(&mut one), Some(first));
    wait_until("the others have left", || site.node.flows() == [(first, 1)].into());
    assert_eq!(site.node.tally().given_open, 0);
    assert!(site.node.tally().bytes > 0);
}

#[test]
fn without_a_target_connections_are_reset() {
    let site = Site::new(group(), &[]);
    assert_reset(&mut site.connect());
    let gone = server(1);
    site.elb.put_target(&site.arn, &gone.ip().to_string(), gone.port());
    site.deregister(gone);
    assert_reset(&mut site.connect());
    assert_eq!((site.node.tally().refused, site.node.tally().given), (2, 0));
}

#[test]
fn a_target_that_does_not_answer_checks_gets_nothing_while_another_does_and_all_get_some_if_none_does() {
    let (well, sick) = (server(1), server(2));
    // Nobody listens there.
    let dead = SocketAddr::from((Ipv4Addr::new(127, 0, 3, 9), 1));
    let site = Site::new(group(), &[well, dead]);
    site.wait_for_state(dead, "unhealthy");
    assert_eq!(site.answering(), BTreeSet::from([well]));

    let site = Site::new(group(), &[sick, dead]);
    site.wait_for_state(dead, "unhealthy");
    // It fails in the eyes of ELB, and is reached by connections all the same.
    site.elb
        .set_health(&site.arn, &sick.ip().to_string(), sick.port(), "unhealthy", None);
    let mut answered = 0;
    for _ in 0..MANY {
        // Of the others the target's own host says no.
        if let Some(by) = said_by(&mut site.connect()) {
            assert_eq!(by, sick);
            answered += 1;
        }
    }
    let tally = site.node.tally();
    assert!((1..MANY).contains(&answered), "{answered}: {tally:?}");
    assert_eq!((tally.given_open, tally.refused), (MANY as u64, 0));
}

#[test]
fn what_becomes_unhealthy_or_is_deregistered_ends_its_connections_as_the_group_says() {
    let short = Duration::from_millis(100);
    for (attribute, value, ends_unhealthy, ends_deregistered) in [
        (ON_DEREGISTRATION, "false", true, false),
        (ON_DEREGISTRATION, "true", true, true),
        (ON_UNHEALTHY, "false", false, false),
    ] {
        let what = format!("{attribute} = {value}");
        let sick = server(1);
        let site = Site::new(group().attribute(attribute, value), &[sick]);
        let mut stream = site.connect();
        said_by(&mut stream).unwrap();
        site.elb
            .set_health(&site.arn, &sick.ip().to_string(), sick.port(), "unhealthy", None);
        if ends_unhealthy {
            assert_reset(&mut stream);
            wait_until("it is counted", || site.node.tally().terminated == 1);
        } else {
            let checks = site.node.tally().checks;
            wait_until("it is looked at", || site.node.tally().checks > checks + 2);
            assert_eq!(said_by(&mut stream), Some(sick), "{what}");
        }

        let (gone, stays) = (server(2), server(3));
        let delayed = group().attribute(attribute, value).deregistration_delay(short);
        let site = Site::new(delayed, &[gone]);
        let mut stream = site.connect();
        said_by(&mut stream).unwrap();
        site.elb.put_target(&site.arn, &stays.ip().to_string(), stays.port());
        site.deregister(gone);
        if ends_deregistered {
            assert_reset(&mut stream);
            let listed = site.elb.targets(&site.arn);
            assert!(
                listed.iter().all(|target| target.state != "draining"),
                "{what}: {listed:?}"
            );
        } else {
            wait_until("it is gone", || site.elb.targets(&site.arn).len() == 1);
            let checks = site.node.tally().checks;
            wait_until("it is looked at", || site.node.tally().checks > checks + 2);
            assert_eq!(said_by(&mut stream), Some(gone), "{what}");
        }
        assert_eq!(site.answering(), BTreeSet::from([stays]), "{what}");
    }
}

#[test]
fn who_drains_keeps_its_connections_meanwhile() {
    let (gone, stays) = (server(1), server(2));
    let draining = group()
        .attribute(ON_DEREGISTRATION, "true")
        .deregistration_delay(FOR_EVER);
    let site = Site::new(draining, &[gone]);
    let mut stream = site.connect();
    said_by(&mut stream).unwrap();
    site.elb.put_target(&site.arn, &stays.ip().to_string(), stays.port());
    site.deregister(gone);
    let checks = site.node.tally().checks;
    wait_until("it is looked at", || site.node.tally().checks > checks + 2);
    assert_eq!(said_by(&mut stream), Some(gone));
    assert_eq!(site.answering(), BTreeSet::from([stays]));
}

#[test]
fn a_new_target_gets_nothing_before_it_is_in_service_and_a_server_that_comes_back_is_well_again() {
    let old = server(1);
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 3, 8), old.port()));
    let site = Site::new(group(), &[old, address]);
    site.wait_for_state(address, "unhealthy");
    let listener = TcpListener::bind(address).unwrap();
    site.wait_for_state(address, "healthy");
    drop(listener);
    site.wait_for_state(address, "unhealthy");

    let new = server(2);
    // As ELB itself would not take a loopback address, its state is said for it.
    site.elb
        .set_health(&site.arn, &new.ip().to_string(), new.port(), "initial", None);
    site.elb.put_target(&site.arn, &new.ip().to_string(), new.port());
    assert_eq!(site.answering(), BTreeSet::from([old]));
    site.elb.clear_health(&site.arn, &new.ip().to_string(), new.port());
    assert_eq!(site.answering(), BTreeSet::from([old, new]));
}

#[test]
fn both_sides_end_as_the_other_does() {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 3, 1), 0)).unwrap();
    let site = Site::new(group(), &[listener.local_addr().unwrap()]);
    // Of checks there are more: they say nothing.
    let accepted = || {
        let heard = listener.incoming().flatten().find_map(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut said = [0; 5];
            (stream.read(&mut said).ok()? == 5).then_some(stream)
        });
        heard.unwrap()
    };
    let mut client = site.connect();
    client.write_all(b"hello").unwrap();
    let mut server = accepted();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0; 5]).unwrap(), 0);
    server.write_all(b"bye").unwrap();
    drop(server);
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert_eq!(said, "bye");

    let mut client = site.connect();
    client.write_all(b"hello").unwrap();
    let mut server = accepted();
    server.write_all(b"unread").unwrap();
    client.peek(&mut [0]).unwrap();
    // With something unread, it is a reset.
    drop(client);
    let ended = server.read(&mut [0; 5]).map_err(|error| error.kind());
    assert_eq!(ended, Err(ErrorKind::ConnectionReset));
}

//! What an invocation tells a topic, and that it fails or waits for none of it.

use std::time::{Duration, Instant};

use testkit::dns::Behaviour;
use testkit::lambda::Function;
use testkit::sns::{self, Published};

use testkit::function::*;

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:database";

/// The function with a topic, which is told of trouble after two seconds.
fn start(world: &World, sns: &sns::Server) -> Function {
    let url = sns.url();
    let variables = [
        ("AWS_ENDPOINT_URL_SNS", url.as_str()),
        ("RDS_TETHER_NOTIFY_TOPIC", TOPIC),
        ("RDS_TETHER_NOTIFY_AFTER", "2s"),
    ];
    world.bound_with(WRITER, "1s", &variables)
}

fn kinds(sns: &sns::Server) -> Vec<String> {
    let kind = |call: &Published| call.attributes["kind"].clone();
    sns.calls().iter().map(kind).collect()
}

/// Fails if messages wait for the next invocation, or do not say what woke the function.
#[test]
fn an_invocation_ends_when_its_messages_are_sent() {
    let (world, sns) = (World::failed_over(), sns::Server::start());
    let _function = start(&world, &sns);
    assert_eq!(world.ask(TICK, LONG)["settled"], true);
    assert_eq!(kinds(&sns), ["address_changed", "converged"]);
    let message: serde_json::Value = serde_json::from_str(&sns.calls()[0].message).unwrap();
    assert_eq!(message["text"], "orders moved from 10.0.1.5:5432 to 10.0.2.7:5432");
    assert!(
        !message["trigger"].as_str().unwrap().is_empty() && message["trigger"] != "run",
        "{message}"
    );
    world.ask(TICK, LONG);
    assert_eq!(kinds(&sns).len(), 2, "nothing is told twice");
}

/// Fails if a look of a person tells anything.
#[test]
fn a_plan_tells_nothing() {
    let (world, sns) = (World::failed_over(), sns::Server::start());
    let _function = start(&world, &sns);
    world.ask(r#"{"command":"plan"}"#, LONG);
    assert_eq!(kinds(&sns), [""; 0]);
}

/// Fails if trouble that outlasts an invocation is forgotten with it, or told by each.
#[test]
fn what_lasts_over_invocations_is_told_once_and_so_is_its_end() {
    let (world, sns) = (World::settled(), sns::Server::start());
    let _function = start(&world, &sns);
    world.ask(TICK, LONG);
    world.dns.set(WRITER, Behaviour::NxDomain);
    for _ in 0..3 {
        world.ask_in_vain(TICK, SOME);
    }
    assert_eq!(kinds(&sns), ["unresolved"]);
    world.dns.set(WRITER, Behaviour::a(OLD, 1));
    world.ask(TICK, LONG);
    assert_eq!(kinds(&sns), ["unresolved", "recovered"]);
}

/// Fails if a topic that takes nothing makes an invocation fail, or takes all its time.
#[test]
fn a_topic_that_does_not_take_messages_fails_no_invocation() {
    let cases = [
        (sns::Behaviour::Hang, "not sent yet"),
        (sns::Behaviour::Deny, "AuthorizationError"),
        (sns::Behaviour::Missing, "NotFound"),
    ];
    at_once(cases, |(behaviour, said)| {
        let (world, sns) = (World::failed_over(), sns::Server::start());
        sns.behave(behaviour);
        let function = start(&world, &sns);
        assert!(world.runtime.wait_for_next(PATIENCE));
        let asked = Instant::now();
        assert_eq!(world.ask(TICK, LONG)["settled"], true, "{behaviour:?}");
        assert!(asked.elapsed() < Duration::from_secs(40), "{behaviour:?}");
        assert_eq!(world.addresses(), [NEW]);
        let warned = function.wait_for_stderr(PATIENCE, |lines| {
            lines
                .iter()
                .any(|line| line.contains("\"WARN\"") && line.contains(said))
        });
        assert!(warned, "{behaviour:?}: {:?}", function.stderr());
    });
}

/// Fails if an invocation whose time is over waits for its messages.
#[test]
fn messages_do_not_outlast_the_reserve() {
    let (world, sns) = (World::failed_over(), sns::Server::start());
    sns.behave(sns::Behaviour::Hang);
    let _function = start(&world, &sns);
    world.dns.set(WRITER, Behaviour::Silent);
    assert!(world.runtime.wait_for_next(PATIENCE));
    let invocation = world.runtime.invoke(TICK, Duration::from_secs(6));
    let outcome = invocation.wait(LONG);
    assert!(invocation.time_left() > Some(Duration::from_millis(500)), "{outcome:?}");
}

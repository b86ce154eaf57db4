//! What the function calls, as the simulated servers are asked for it.

use std::collections::BTreeSet;
use std::time::Instant;

use rds_tether::verbs::iam::Use;
use testkit::sns;

use testkit::function::*;
use testkit::settings::table;

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:database";
const ROLE: &str = "arn:aws:iam::222233334444:role/tether";

/// Fails if the function calls anything that its policy does not allow, or no longer calls something that it does.
#[test]
fn it_calls_what_is_listed_and_nothing_else() {
    let (world, sns) = (World::failed_over(), sns::Server::start());
    let there = world.add_settled("billing");
    let settings = world
        .binding()
        .and(binding(&there))
        .line(&format!("assume_role = {{ arn = \"{ROLE}\" }}"))
        .and(table("[notify]").set("sns_topic_arn", TOPIC))
        .to_string();
    let url = sns.url();
    let _function = world.start(&[
        ("RDS_TETHER_CONFIG", &settings),
        ("RDS_TETHER_FORGET", OUTLASTS),
        ("AWS_ENDPOINT_URL_SNS", &url),
    ]);
    let end = Instant::now() + PATIENCE;
    while world.addresses() != [NEW] {
        assert!(Instant::now() < end, "{}", world.story());
        world.outcome(&world.runtime.invoke(TICK, SHORT));
    }
    let mut asked: BTreeSet<String> = world
        .elb
        .calls()
        .iter()
        .map(|call| match call.action.as_str() {
            "AssumeRole" => "sts:AssumeRole".to_owned(),
            action => format!("elasticloadbalancing:{action}"),
        })
        .collect();
    if !sns.calls().is_empty() {
        asked.insert("sns:Publish".to_owned());
    }
    let mut listed: BTreeSet<String> = Use::Lambda.actions().map(|action| action.name.to_owned()).collect();
    // What a database is asked for and not AWS.
    assert!(listed.remove("rds-db:connect"));
    assert_eq!(asked, listed, "{}", world.story());
}

//! What the following of tagged target groups is allowed: to look for them everywhere, and to change those alone that are tagged.

use std::collections::BTreeMap;

use super::{Condition, OneOrMore, Statement, Use, partition_of};
use crate::function::tag;
use crate::settings::discover::ENDPOINT;
use crate::settings::{Discover, Settings};

/// The condition key of a target group's tag; a target group that has no such tag is not changed.
const TAGGED: &str = "aws:ResourceTag/rds-tether:endpoint";
const _: () = assert!(TAGGED.len() == "aws:ResourceTag/".len() + ENDPOINT.len());

/// The places that an identity looks at.
pub(super) fn places<'a>(
    settings: &'a Settings,
    caller: Use,
    role: Option<&'a str>,
) -> impl Iterator<Item = &'a Discover> {
    let is_own = move |place: &&Discover| role_of(place) == role;
    settings
        .discover
        .iter()
        .filter(move |_| caller != Use::Proxy)
        .filter(is_own)
}

/// The role that is assumed for a place.
pub(super) fn role_of(place: &Discover) -> Option<&str> {
    place.assume_role.as_ref().map(|role| role.arn.as_str())
}

/// The statements that these places take beside those of all target groups.
pub(super) fn statements(settings: &Settings, caller: Use, role: Option<&str>) -> Vec<Statement> {
    let mut groups: Vec<String> = places(settings, caller, role).map(groups_of).collect();
    groups.dedup();
    if groups.is_empty() {
        return Vec::new();
    }
    let statement = |sid, actions: &[&str], resources: &[String], condition| Statement {
        sid,
        effect: "Allow",
        action: OneOrMore::new(actions.iter().copied()),
        resource: OneOrMore::new(resources.to_vec()),
        condition,
    };
    let everywhere = ["*".to_owned()];
    let mut statements = vec![statement(
        "LookForTagged",
        &["elasticloadbalancing:DescribeTags"],
        &everywhere,
        Condition::new(),
    )];
    let is_tagged = || ("Null", BTreeMap::from([(TAGGED, vec!["false"])]));
    if caller.changes() {
        statements.push(statement(
            "ChangeTagged",
            &[
                "elasticloadbalancing:RegisterTargets",
                "elasticloadbalancing:DeregisterTargets",
            ],
            &groups,
            Condition::from([is_tagged()]),
        ));
    }
    if caller == Use::Lambda {
        let keys = (
            "ForAllValues:StringEquals",
            BTreeMap::from([("aws:TagKeys", vec![tag::KEY])]),
        );
        let sid = "OptionalKeepClocksOfTagged";
        let conditions = Condition::from([is_tagged(), keys]);
        statements.push(statement(sid, &["elasticloadbalancing:AddTags"], &groups, conditions));
    }
    statements
}

/// The users of databases that are logged in as with a token of IAM because of what holds for all groups of a place.
pub(super) fn database_users(settings: &Settings, caller: Use) -> impl Iterator<Item = String> {
    let places = settings.discover.iter().filter(move |_| caller != Use::Proxy);
    places.filter_map(|place| Some(in_place(place, "rds-db", &format!("dbuser:*/{}", place.iam_user()?))))
}

/// All target groups of a place.
fn groups_of(place: &Discover) -> String {
    in_place(place, "elasticloadbalancing", "targetgroup/*/*")
}

/// The ARN of what is in a place.
fn in_place(place: &Discover, service: &str, what: &str) -> String {
    let (region, account) = (&place.region, place.account().unwrap_or("*"));
    format!("arn:{}:{service}:{region}:{account}:{what}", partition_of(Some(region)))
}

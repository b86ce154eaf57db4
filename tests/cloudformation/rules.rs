//! The templates' rules, which CloudFormation weighs before it makes anything, and moto does not: weighed here.

use serde_json::Value;

use super::TEMPLATES;
use super::site::{ENDPOINT, GROUP};
use super::template::{read, section};

/// Whether what a rule asks for is so.
fn holds(asked: &Value, template: &Value, given: &[(&str, &str)]) -> bool {
    let (function, arguments) = asked
        .as_object()
        .and_then(|asked| asked.iter().next())
        .expect("a function");
    let arguments = arguments.as_array().expect("arguments");
    let text = |value: &Value| {
        let Some(name) = value["Ref"].as_str() else {
            return value.as_str().expect("a text").to_owned();
        };
        let value = given.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
        let default = template["Parameters"][name]["Default"].as_str();
        value
            .or(default)
            .unwrap_or_else(|| panic!("{name} is not given"))
            .to_owned()
    };
    let mut all = arguments.iter().map(|asked| holds(asked, template, given));
    match function.as_str() {
        "Fn::Equals" => text(&arguments[0]) == text(&arguments[1]),
        "Fn::Not" => !holds(&arguments[0], template, given),
        "Fn::And" => all.all(|holds| holds),
        "Fn::Or" => all.any(|holds| holds),
        other => panic!("{other} is not weighed here"),
    }
}

/// What CloudFormation would say to these parameters.
fn refusals(name: &str, given: &[(&str, &str)]) -> Vec<String> {
    let (_, text) = TEMPLATES.iter().find(|(known, _)| *known == name).expect(name);
    let template = read(text);
    for (parameter, _) in given {
        assert!(
            section(&template, "Parameters").contains_key(*parameter),
            "{name} has no {parameter}"
        );
    }
    let rules = section(&template, "Rules").values();
    let weighed = rules.filter(|rule| {
        rule.get("RuleCondition")
            .is_none_or(|asked| holds(asked, &template, given))
    });
    let asserted = weighed.flat_map(|rule| rule["Assertions"].as_array().expect("assertions"));
    let broken = asserted.filter(|asserted| !holds(&asserted["Assert"], &template, given));
    broken
        .map(|asserted| asserted["AssertDescription"].as_str().expect("a text").to_owned())
        .collect()
}

/// A template, what it is given, and parts of what it says to that.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn what_cannot_work_is_refused_before_anything_is_made() {
    let tags = ("DiscoverAllowEndpoints", "*.eu-west-1.rds.amazonaws.com");
    let networks = ("DiscoverAllowCidrs", "10.0.0.0/8");
    let (endpoint, settings) = (("Endpoint", ENDPOINT), ("Settings", "[dns]\ntimeout = \"2s\"\n"));
    let (groups, group) = (("TargetGroupArns", GROUP), ("TargetGroupArn", GROUP));
    let (run, balancer) = (("Mode", "run"), ("LoadBalancerSecurityGroupId", "sg-1a"));
    let (nothing, networks_alone) = (
        "There is nothing to follow",
        "says nothing without DiscoverAllowEndpoints",
    );
    let table: &[Case<'_>] = &[
        ("lambda.yaml", &[groups, endpoint], &[]),
        ("lambda.yaml", &[groups, settings], &[]),
        ("lambda.yaml", &[groups], &[]),
        ("lambda.yaml", &[tags], &[]),
        ("lambda.yaml", &[tags, networks], &[]),
        ("lambda.yaml", &[tags, groups, settings], &[]),
        ("lambda.yaml", &[], &[nothing]),
        ("lambda.yaml", &[endpoint], &[nothing]),
        (
            "lambda.yaml",
            &[groups, endpoint, settings],
            &["either Endpoint or Settings"],
        ),
        (
            "lambda.yaml",
            &[groups, endpoint, tags],
            &["either Endpoint or DiscoverAllowEndpoints"],
        ),
        ("lambda.yaml", &[groups, networks], &[networks_alone]),
        ("lambda.yaml", &[groups, ("SubnetIds", "subnet-1a")], &["go together"]),
        ("ec2.yaml", &[group, endpoint, balancer], &[]),
        ("ec2.yaml", &[group, settings, balancer], &[]),
        ("ec2.yaml", &[run, group, endpoint], &[]),
        ("ec2.yaml", &[run, tags], &[]),
        ("ec2.yaml", &[run, tags, networks, settings], &[]),
        ("ec2.yaml", &[run, group, tags, settings], &[]),
        ("ec2.yaml", &[run], &["either Endpoint or Settings", nothing]),
        ("ec2.yaml", &[run, group], &["either Endpoint or Settings"]),
        ("ec2.yaml", &[run, endpoint], &[nothing]),
        (
            "ec2.yaml",
            &[run, group, endpoint, settings],
            &["either Endpoint or Settings"],
        ),
        (
            "ec2.yaml",
            &[run, group, endpoint, tags],
            &["either Endpoint or Settings"],
        ),
        ("ec2.yaml", &[run, group, endpoint, networks], &[networks_alone]),
        (
            "ec2.yaml",
            &[group, settings, balancer, tags],
            &["follow no tagged groups"],
        ),
        ("ec2.yaml", &[group, endpoint], &["needs LoadBalancerSecurityGroupId"]),
    ];
    for (name, given, wanted) in table {
        let mut told = refusals(name, given);
        told.sort();
        let is_told =
            wanted.len() == told.len() && wanted.iter().all(|part| told.iter().any(|text| text.contains(part)));
        assert!(is_told, "{name} {given:?}: {told:#?}, not {wanted:?}");
    }
}

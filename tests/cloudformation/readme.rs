//! The commands of the templates' README, and of the walk that takes them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use testkit::pages::Page;

use super::TEMPLATES;
use super::bridge;
use super::template::{read, section};

const README: &str = include_str!("../../deploy/cloudformation/README.md");
/// CloudFormation takes a template from a file up to this size; a larger one must lie in S3.
const TEMPLATE_MAX_BYTES: usize = 51_200;

/// The folder of the templates, as commands name it that are given in the project's.
const FOLDER: &str = "deploy/cloudformation/";
/// The pages that deploy a template.
const PAGES: &[&str] = &[
    "deploy/cloudformation/README.md",
    "docs/clickpipe.md",
    "docs/discover.md",
];

/// A deployment: the page, the template, the parameters it is given, and whether it may make roles.
struct Deployment {
    page: &'static str,
    name: String,
    template: &'static str,
    parameters: BTreeMap<String, String>,
    /// What it lets the stack make: roles, or roles with names of its own.
    capability: Option<String>,
}

fn deployments() -> Vec<Deployment> {
    let commands = PAGES.iter().flat_map(|page| {
        let commands = Page::read(page).commands().into_iter();
        commands.map(move |command| (*page, command.text))
    });
    let makes = ["aws cloudformation deploy ", "aws cloudformation create-stack-set "];
    let commands = commands.filter(|(_, command)| makes.iter().any(|start| command.starts_with(start)));
    let deployments = commands.map(|(page, command)| {
        let command = command.replace('\'', "");
        let words: Vec<&str> = command.split_whitespace().collect();
        let after = |flags: [&str; 2]| {
            words
                .iter()
                .position(|word| flags.contains(word))
                .map(|place| place + 1)
        };
        let path = words[after(["--template-file", "--template-body"]).expect("a template")];
        let name = path.trim_start_matches("file://").strip_prefix(FOLDER);
        let name = name
            .unwrap_or_else(|| panic!("{page}: {path} is not below {FOLDER}, where commands are given"))
            .to_owned();
        let found = TEMPLATES.iter().find(|(known, _)| *known == name);
        let (_, template) = found.unwrap_or_else(|| panic!("there is no {name}"));
        let parameters = &words[after(["--parameter-overrides", "--parameters"]).expect("parameters")..];
        let parameters = parameters.iter().map(|word| {
            let word = word.strip_prefix("ParameterKey=").unwrap_or(word);
            let parts = word.split_once(",ParameterValue=").or_else(|| word.split_once('='));
            parts.unwrap_or_else(|| panic!("{word}"))
        });
        Deployment {
            page,
            name,
            template,
            parameters: parameters
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            capability: after(["--capabilities"; 2]).map(|place| words[place].to_owned()),
        }
    });
    deployments.collect()
}

#[test]
fn the_commands_give_what_the_templates_ask_for() {
    let deployments = deployments();
    let names: BTreeSet<&str> = deployments.iter().map(|deployment| deployment.name.as_str()).collect();
    assert_eq!(
        names,
        TEMPLATES.iter().map(|(name, _)| *name).collect(),
        "a command for each"
    );
    let of_walk = deployments
        .iter()
        .filter(|deployment| deployment.page == PAGES[1])
        .count();
    assert_eq!(of_walk, 2, "the walk makes the path and the function");
    for Deployment {
        page: _,
        name,
        template,
        parameters,
        capability,
    } in deployments
    {
        let read = read(template);
        let known = section(&read, "Parameters");
        for given in parameters.keys() {
            assert!(known.contains_key(given), "{name} has no {given}");
        }
        for (parameter, described) in known {
            let is_given = parameters.contains_key(parameter) || described.get("Default").is_some();
            assert!(is_given, "{name}: {parameter} has no default");
        }
        let roles = section(&read, "Resources")
            .values()
            .filter(|resource| resource["Type"] == "AWS::IAM::Role");
        let roles: Vec<&Value> = roles.collect();
        let needed = match roles.iter().any(|role| role["Properties"].get("RoleName").is_some()) {
            true => Some("CAPABILITY_NAMED_IAM"),
            false => Some("CAPABILITY_IAM").filter(|_| !roles.is_empty()),
        };
        assert_eq!(capability.as_deref(), needed, "{name}: --capabilities");
        assert!(
            template.len() < TEMPLATE_MAX_BYTES,
            "{name} must be uploaded first: {} bytes",
            template.len()
        );
    }
}

#[test]
fn what_it_names_exists() {
    let named = README
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|word| word.split_once('='));
    let templates: Vec<Value> = TEMPLATES.iter().map(|(_, template)| read(template)).collect();
    let of = |name: &str| &templates[TEMPLATES.iter().position(|(known, _)| *known == name).unwrap()];
    let mut checked = 0;
    for (parameter, value) in named.filter(|(parameter, _)| parameter.chars().all(char::is_alphanumeric)) {
        let found = templates
            .iter()
            .filter_map(|template| section(template, "Parameters").get(parameter));
        let mut found = found.peekable();
        assert!(found.peek().is_some(), "no template has {parameter}");
        let takes = |described: &Value| match described["AllowedValues"].as_array() {
            Some(values) => values.iter().any(|known| known.to_string().trim_matches('"') == value),
            None => true,
        };
        assert!(found.any(takes), "{parameter} cannot be {value}");
        checked += 1;
    }
    assert!(checked > 5, "this test looks at nothing");
    for (link, file) in README
        .match_indices("](")
        .map(|(place, _)| (place, &README[place + 2..]))
    {
        let file = file.split([')', '#']).next().unwrap();
        let path = super::path(file);
        assert!(std::path::Path::new(&path).exists(), "{file}, at byte {link}");
    }
    let outputs = [
        "EndpointServiceName",
        "Port",
        "TargetGroupArn",
        "LoadBalancerSecurityGroupId",
    ];
    let known = section(of("privatelink.yaml"), "Outputs");
    for output in outputs {
        assert!(
            README.contains(&format!("`{output}`")) && known.contains_key(output),
            "{output}"
        );
    }
    assert!(
        section(of("lambda.yaml"), "Resources").contains_key("Sync"),
        "the event's LogicalResourceId"
    );
}

#[test]
#[ignore = "needs cfn-lint: tests/run provides it"]
fn what_the_commands_give_is_what_the_patterns_take() {
    let mut checked = 0;
    for Deployment { name, parameters, .. } in deployments() {
        let template = bridge::template(&name);
        for (parameter, value) in parameters {
            let described = &template["Parameters"][&parameter];
            let Some(pattern) = described["AllowedPattern"].as_str() else {
                continue;
            };
            let is_list = described["Type"] == "CommaDelimitedList";
            for value in if is_list {
                value.split(',').collect()
            } else {
                vec![value.as_str()]
            } {
                assert!(bridge::fits(pattern, value), "{name}: {parameter}={value}");
                checked += 1;
            }
        }
    }
    assert!(checked > 8, "this test looks at nothing");
}

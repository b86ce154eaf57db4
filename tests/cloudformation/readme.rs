//! The commands of the templates' README.

use std::collections::{BTreeMap, BTreeSet};

use super::TEMPLATES;
use super::bridge;
use super::texts::{entries, value};

const README: &str = include_str!("../../deploy/cloudformation/README.md");
/// CloudFormation takes a template from a file up to this size; a larger one must lie in S3.
const TEMPLATE_MAX_BYTES: usize = 51_200;

/// The commands, each in one line.
fn commands() -> Vec<String> {
    let blocks = README.split("```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split_once("```").expect("an end").0.replace("\\\n", " "));
    blocks
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// A deployment: the template, the parameters it is given, and whether it may make roles.
struct Deployment {
    name: String,
    template: &'static str,
    parameters: BTreeMap<String, String>,
    makes_roles: bool,
}

fn deployments() -> Vec<Deployment> {
    let commands = commands().into_iter();
    let commands = commands.filter(|command| command.starts_with("aws cloudformation deploy "));
    let deployments = commands.map(|command| {
        let words: Vec<&str> = command.split_whitespace().collect();
        let after = |flag: &str| words.iter().position(|word| *word == flag).map(|place| place + 1);
        let name = words[after("--template-file").expect("a template")].to_owned();
        let found = TEMPLATES.iter().find(|(known, _)| *known == name);
        let (_, template) = found.unwrap_or_else(|| panic!("there is no {name}"));
        let parameters = &words[after("--parameter-overrides").expect("parameters")..];
        let parameters = parameters
            .iter()
            .map(|word| word.split_once('=').unwrap_or_else(|| panic!("{word}")));
        Deployment {
            name,
            template,
            parameters: parameters
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            makes_roles: command.contains("--capabilities CAPABILITY_IAM "),
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
    for Deployment {
        name,
        template,
        parameters,
        makes_roles,
    } in deployments
    {
        let known = entries(template, "Parameters");
        for given in parameters.keys() {
            assert!(
                known.iter().any(|(parameter, _)| parameter == given),
                "{name} has no {given}"
            );
        }
        for (parameter, lines) in known {
            let is_given = parameters.contains_key(parameter) || value(&lines, "Default").is_some();
            assert!(is_given, "{name}: {parameter} has no default");
        }
        assert_eq!(
            makes_roles,
            template.contains("Type: AWS::IAM::Role"),
            "{name}: --capabilities"
        );
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
    let mut checked = 0;
    for (parameter, value) in named.filter(|(parameter, _)| parameter.chars().all(char::is_alphanumeric)) {
        let found = TEMPLATES
            .iter()
            .flat_map(|(_, template)| entries(template, "Parameters"));
        let mut found = found.filter(|(name, _)| *name == parameter).peekable();
        assert!(found.peek().is_some(), "no template has {parameter}");
        let takes = |lines: &[&'static str]| match super::texts::value(lines, "AllowedValues") {
            Some(values) => values
                .trim_matches(['[', ']'])
                .split(", ")
                .any(|known| known.trim_matches('"') == value),
            None => true,
        };
        assert!(found.any(|(_, lines)| takes(&lines)), "{parameter} cannot be {value}");
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
    let (_, privatelink) = TEMPLATES.iter().find(|(name, _)| *name == "privatelink.yaml").unwrap();
    let known = entries(privatelink, "Outputs");
    for output in outputs {
        assert!(
            README.contains(&format!("`{output}`")) && known.iter().any(|(name, _)| *name == output),
            "{output}"
        );
    }
    let (_, lambda) = TEMPLATES.iter().find(|(name, _)| *name == "lambda.yaml").unwrap();
    assert!(
        entries(lambda, "Resources").iter().any(|(name, _)| *name == "Sync"),
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

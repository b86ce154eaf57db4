//! Whatever this repository says of permissions equals the list: the examples, the pages, and what Terraform and CloudFormation
//! allow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rds_tether::function::tag;
use rds_tether::verbs::iam::{ACTIONS, Action, OF_ENCRYPTED_TOPIC, On, Use};
use serde_json::Value;

use super::text::{self, Statement};
use super::world::*;

const README: &str = include_str!("../../README.md");
const PAGE: &str = include_str!("../../docs/iam.md");
const NOTIFICATIONS: &str = include_str!("../../docs/notifications.md");
const LAMBDA: &str = include_str!("../../lambda/README.md");
const EXAMPLES: &str = include_str!("../../deploy/iam/README.md");

/// What is called of the same services, but not by this program: by Lambda, to put the function into a VPC, and by Terraform.
const OF_OTHERS: [&str; 7] = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
    "ec2:DescribeInstanceTypeOfferings",
];

/// What an action is allowed on, as far as one can tell without settings, and whether only the clocks' tag may be written.
type Right = (bool, bool);

fn wanted(caller: Use) -> BTreeMap<String, Right> {
    let actions = caller.actions().filter(|action| action.on != On::NothingAtAll);
    actions
        .map(|action| {
            let right = (action.on == On::Everything, action.name.ends_with(":AddTags"));
            (action.name.to_owned(), right)
        })
        .collect()
}

/// Whether it is about target groups that are tagged, and no others.
fn is_of_tagged(statement: &Statement) -> bool {
    let signs = ["Null", "aws:ResourceTag/rds-tether:endpoint", "\"false\""];
    signs.iter().all(|sign| statement.condition.contains(sign))
}

/// What statements allow an identity of the services that are called.
fn allowed(statements: &[Statement]) -> BTreeMap<String, Right> {
    let services: BTreeSet<&str> = ACTIONS
        .iter()
        .filter_map(|action| Some(action.name.split_once(':')?.0))
        .collect();
    let mut allowed = BTreeMap::new();
    for statement in statements.iter().filter(|statement| !statement.names_principal) {
        let signs = ["ForAllValues:StringEquals", "aws:TagKeys", tag::KEY];
        let is_limited = signs.iter().all(|sign| statement.condition.contains(sign));
        let is_of_tagged = is_of_tagged(statement);
        assert!(
            is_limited || is_of_tagged || statement.condition.is_empty(),
            "{statement:?}"
        );
        for action in &statement.actions {
            let (service, _) = action.split_once(':').unwrap_or_else(|| panic!("{statement:?}"));
            if services.contains(service) && !OF_OTHERS.contains(&action.as_str()) {
                let before = allowed.insert(action.clone(), (statement.is_on_everything, is_limited));
                let now = allowed[action];
                assert!(
                    before.is_none_or(|before| before == now),
                    "{action} is allowed twice: {statement:?}"
                );
            }
        }
    }
    allowed
}

/// The commands of a page that print a policy.
fn commands(page: &'static str) -> Vec<&'static str> {
    page.lines().filter(|line| line.starts_with("rds-tether iam")).collect()
}

/// The variables that a page sets.
fn exports(page: &'static str) -> Vec<(&'static str, &'static str)> {
    let exports = page.lines().filter_map(|line| line.strip_prefix("export "));
    exports.map(|export| export.split_once('=').unwrap()).collect()
}

/// The text of a block of JSON that has this in it.
#[track_caller]
fn block(page: &'static str, sign: &str) -> Value {
    let blocks = page
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let mut blocks = blocks.filter(|block| block.contains(sign));
    let found = blocks.next().unwrap_or_else(|| panic!("no block with {sign}"));
    assert!(blocks.next().is_none(), "several blocks with {sign}");
    serde_json::from_str(found).unwrap()
}

/// What `iam` prints with these variables and arguments.
#[track_caller]
fn printed(variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut command = bare_command("http://127.0.0.1:9");
    let output = finish(command.envs(variables.iter().copied()).arg("iam").args(arguments));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// To renew a file, run the command of deploy/iam/README.md that it is named in.
#[test]
fn the_examples_are_what_their_commands_print() {
    let folder = Path::new("deploy/iam");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: BTreeSet<String> = files.filter(|name| name.ends_with(".json")).collect();
    assert!(files.len() >= 4, "{files:?}");
    let variables = exports(EXAMPLES);
    for line in commands(EXAMPLES) {
        let Some((command, file)) = line.split_once(" > ") else {
            continue;
        };
        let arguments: Vec<&str> = command.split_whitespace().skip(2).collect();
        let renewed = printed(&variables, &arguments);
        let found = fs::read_to_string(folder.join(file)).unwrap();
        assert!(
            found == renewed,
            "renew deploy/iam/{file}: {command} > {file} (deploy/iam/README.md) prints\n{renewed}"
        );
        assert!(files.remove(file), "{file}");
        assert!(EXAMPLES.contains(&format!("| `{file}` |")), "{file} is in the table");
    }
    assert_eq!(files, BTreeSet::new(), "no command makes these");
}

#[test]
fn the_examples_allow_what_is_listed() {
    for (file, caller) in [
        ("daemon", Use::Run),
        ("lambda", Use::Lambda),
        ("proxy", Use::Proxy),
        ("doctor", Use::Doctor),
    ] {
        let document = fs::read_to_string(format!("deploy/iam/{file}.json")).unwrap();
        let mut wanted = wanted(caller);
        // Their settings assume no role, and ask no members.
        wanted.remove("sts:AssumeRole");
        wanted.remove("rds-db:connect");
        assert_eq!(
            allowed(&text::json(&serde_json::from_str(&document).unwrap())),
            wanted,
            "{file}"
        );
    }
}

#[test]
fn the_role_of_the_page_is_assumed_by_its_settings() {
    let settings = EXAMPLES.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let scratch = Scratch::new();
    let path = scratch.write("config.toml", settings);
    let command = commands(EXAMPLES)
        .into_iter()
        .find(|line| line.contains("--assumed-role"));
    let arguments: Vec<&str> = command.unwrap().split_whitespace().skip(2).collect();
    let config = ["--config", path.to_str().unwrap()];
    let of_role = printed(&[], &[&config[..], &arguments].concat());
    assert!(of_role.contains(":222233334444:targetgroup/orders/"), "{of_role}");

    let trust = block(EXAMPLES, "Principal");
    let statement = &trust["Statement"][0];
    assert_eq!(statement["Action"], "sts:AssumeRole");
    let id = statement["Condition"]["StringEquals"]["sts:ExternalId"]
        .as_str()
        .unwrap();
    assert!(settings.contains(&format!("external_id = \"{id}\"")), "{id}");
}

/// The row of the page's table for an action.
fn row(action: &Action) -> String {
    let on = match action.on {
        On::Everything => "`*`",
        On::Groups | On::GroupsRemovedFrom => "target groups",
        On::Topic => "topic",
        On::Roles => "roles of `assume_role`",
        On::DatabaseUsers => "users of `lead`",
        On::NothingAtAll => "needs no permission",
    };
    let callers = [Use::Run, Use::Lambda, Use::Proxy, Use::Doctor, Use::WriteCheck];
    let cells = callers.map(|caller| match (action.callers.contains(&caller), action.required) {
        (true, true) => " yes |",
        (true, false) => " optional |",
        (false, _) => " |",
    });
    format!("| `{}` | {on} |{}", action.name, cells.concat())
}

#[test]
fn the_pages_table_is_the_list() {
    let rows: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted: Vec<String> = ACTIONS.iter().map(row).collect();
    assert_eq!(rows, wanted, "\n{}", wanted.join("\n"));
}

/// Whether a word is an action of a service that is called, or of those that act for us.
fn is_action(word: &&str) -> bool {
    let services = ["elasticloadbalancing:", "ec2:", "sns:", "sts:", "kms:", "rds-db:"];
    let action = services.iter().find_map(|service| word.strip_prefix(service));
    if OF_OTHERS.contains(word) {
        return false;
    }
    // The one key of a condition that is written alike; and the one action that begins with a small letter.
    action.is_some_and(|action| {
        action.starts_with(|char: char| char.is_ascii_uppercase()) && action != "ExternalId" || action == "connect"
    })
}

/// All actions that a text names.
fn actions_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && !":-".contains(char));
    words.filter(is_action).collect()
}

#[test]
fn the_pages_name_no_other_action() {
    let known: BTreeSet<&str> = ACTIONS
        .iter()
        .map(|action| action.name)
        .chain(OF_ENCRYPTED_TOPIC.iter().copied())
        .collect();
    for (name, page) in [
        ("README.md", README),
        ("docs/iam.md", PAGE),
        ("docs/notifications.md", NOTIFICATIONS),
        ("lambda/README.md", LAMBDA),
        ("deploy/iam/README.md", EXAMPLES),
    ] {
        let named = actions_in(page);
        assert!(!named.is_empty(), "{name} names no action where this test looks");
    }
    for page in testkit::pages::all() {
        let (name, named) = (&page.path, actions_in(&page.text));
        let surplus: Vec<&&str> = named.difference(&known).collect();
        assert!(surplus.is_empty(), "{name}: {surplus:?}");
    }
    for action in OF_ENCRYPTED_TOPIC {
        assert!(NOTIFICATIONS.contains(action) && EXAMPLES.contains(action), "{action}");
    }
}

#[test]
fn the_policy_of_the_functions_page_is_what_is_printed() {
    let shown = block(LAMBDA, "OptionalKeepClocks");
    let variables: Vec<(&str, &str)> = exports(LAMBDA);
    let printed: Value = serde_json::from_str(&printed(&variables, &["--for", "lambda"])).unwrap();
    assert_eq!(shown, printed);
}

#[test]
fn the_permission_to_tell_a_topic_is_the_listed_one() {
    let shown = block(NOTIFICATIONS, "sns:Publish");
    let statements = text::json(&serde_json::json!({ "Statement": [shown] }));
    let mut wanted = wanted(Use::Proxy);
    wanted.remove("rds-db:connect");
    assert_eq!(allowed(&statements), wanted);
}

/// The files below a folder that have this extension.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![PathBuf::from(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = path.unwrap().path();
            let is_hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !is_hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Compares each policy of a folder that is about us with the caller that it is for, and returns those callers.
fn compare(folder: &str, extension: &str, read: fn(&str) -> BTreeMap<String, Vec<Statement>>) -> Vec<Use> {
    let mut callers = Vec::new();
    for path in files(folder, extension) {
        let text = fs::read_to_string(&path).unwrap();
        let documents = read(&text);
        let stated = documents.values().flatten().flat_map(|statement| &statement.actions);
        let stated: BTreeSet<&str> = stated.map(String::as_str).filter(is_action).collect();
        assert_eq!(
            stated,
            actions_in(&text),
            "{} has policies that are not read",
            path.display()
        );
        for (name, statements) in documents {
            let mut allowed = allowed(&statements);
            if allowed.is_empty() {
                continue;
            }
            let caller = if allowed.contains_key("elasticloadbalancing:AddTags") {
                Use::Lambda
            } else if allowed.keys().any(|action| action.starts_with("elasticloadbalancing:")) {
                Use::Run
            } else {
                Use::Proxy
            };
            let mut wanted = wanted(caller);
            // Whoever follows what is tagged looks for it.
            if caller == Use::Run && statements.iter().any(is_of_tagged) {
                allowed.remove("elasticloadbalancing:DescribeTags").expect("a look");
            }
            // A role that is assumed tells no topic, and logs in to no database.
            if path.ends_with("member.yaml") {
                wanted.retain(|action, _| action.starts_with("elasticloadbalancing:"));
            }
            // Not everybody offers roles.
            if !allowed.contains_key("sts:AssumeRole") {
                wanted.remove("sts:AssumeRole");
            }
            assert_eq!(allowed, wanted, "{} {name}, for {caller:?}", path.display());
            callers.push(caller);
        }
    }
    callers
}

#[test]
fn terraform_allows_what_is_listed() {
    let callers = compare("deploy/terraform", "tf", text::terraform);
    assert!(
        callers.contains(&Use::Lambda) && callers.contains(&Use::Run),
        "{callers:?}"
    );
}

#[test]
fn cloudformation_allows_what_is_listed() {
    let callers = compare("deploy/cloudformation", "yaml", text::cloudformation);
    assert!(
        callers.contains(&Use::Lambda) && callers.contains(&Use::Run),
        "{callers:?}"
    );
}

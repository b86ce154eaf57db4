//! Policies as they are written in JSON, in Terraform's language and in CloudFormation's YAML, as far as ours use those.

use std::collections::BTreeMap;

use serde_json::Value;

/// What is compared of a statement that allows something.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    pub actions: Vec<String>,
    /// The resource is `*`.
    pub is_on_everything: bool,
    /// The text of its condition.
    pub condition: String,
    /// It is part of a resource's policy, and so no identity's.
    pub names_principal: bool,
}

/// The statements of a policy in JSON.
pub fn json(policy: &Value) -> Vec<Statement> {
    let statements = policy["Statement"].as_array().expect("statements").iter();
    let actions = |action: &Value| match action {
        Value::String(action) => vec![action.clone()],
        list => list
            .as_array()
            .unwrap()
            .iter()
            .map(|action| action.as_str().unwrap().to_owned())
            .collect(),
    };
    statements
        .map(|statement| Statement {
            actions: actions(&statement["Action"]),
            is_on_everything: statement["Resource"] == "*",
            condition: statement.get("Condition").map(Value::to_string).unwrap_or_default(),
            names_principal: statement.get("Principal").is_some(),
        })
        .collect()
}

/// The statements of each `aws_iam_policy_document`.
pub fn terraform(text: &str) -> BTreeMap<String, Vec<Statement>> {
    let mut documents = BTreeMap::new();
    for rest in text.split("\ndata \"aws_iam_policy_document\" \"").skip(1) {
        let (name, rest) = rest.split_once('"').unwrap();
        let mut statements = Vec::new();
        for (at, _) in rest
            .match_indices(" actions ")
            .take_while(|(at, _)| *at < balanced(rest, 0, ['{', '}']).1)
        {
            // The block that the line stands in begins with the last brace that is still open.
            let block = enclosing(rest, at);
            statements.push(Statement {
                actions: quoted(attribute(block, "actions")),
                is_on_everything: quoted(attribute(block, "resources")) == ["*"],
                condition: block
                    .split_once("condition {")
                    .map(|(_, text)| text.to_owned())
                    .unwrap_or_default(),
                names_principal: block.contains("principals {"),
            });
        }
        documents.insert(name.to_owned(), statements);
    }
    documents
}

/// Where the first pair of brackets after an offset begins and ends.
fn balanced(text: &str, from: usize, [open, close]: [char; 2]) -> (usize, usize) {
    let mut depth = 0;
    let mut start = None;
    for (at, char) in text[from..].char_indices().map(|(at, char)| (from + at, char)) {
        if char == open {
            depth += 1;
            start.get_or_insert(at);
        } else if char == close && depth > 0 {
            depth -= 1;
            if depth == 0 {
                return (start.unwrap(), at + 1);
            }
        }
    }
    panic!("no {close} for {open} in {text}");
}

/// The text between the braces that an offset stands in.
fn enclosing(text: &str, at: usize) -> &str {
    let mut depth = 0;
    let open = text[..at].char_indices().rev().find(|(_, char)| {
        match char {
            '}' => depth += 1,
            '{' if depth == 0 => return true,
            '{' => depth -= 1,
            _ => {}
        }
        false
    });
    let (start, end) = balanced(text, open.expect("an open brace").0, ['{', '}']);
    &text[start + 1..end - 1]
}

/// The value of an attribute that is a list, or a call with one, on one or several lines; or the name of a list.
fn attribute<'a>(block: &'a str, name: &str) -> &'a str {
    let line = block
        .lines()
        .find(|line| line.trim_start().split([' ', '=']).next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {block}"));
    if !line.contains(['[', '(']) {
        return line;
    }
    let at = line.as_ptr() as usize - block.as_ptr() as usize;
    let (start, end) = balanced(block, at, ['[', ']']);
    &block[start..end]
}

fn quoted(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The statements of each `PolicyDocument` and `AssumeRolePolicyDocument`, by the line at which it begins.
pub fn cloudformation(text: &str) -> BTreeMap<String, Vec<Statement>> {
    // A dash belongs to the indentation: what follows it stands in one column with the keys below.
    let lines: Vec<(usize, String)> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(|line| {
            let keys = line.trim_start_matches([' ', '-']);
            (line.len() - keys.len(), keys.trim_end().to_owned())
        })
        .collect();
    let mut documents: BTreeMap<String, Vec<Statement>> = BTreeMap::new();
    let mut document = String::new();
    for (number, (column, line)) in lines.iter().enumerate() {
        if line.ends_with("PolicyDocument:") {
            document = format!("{line} {number}");
        }
        if !line.starts_with("Action:") {
            continue;
        }
        let is_inside = |(other, _): &&(usize, String)| other >= column;
        let before = lines[..number].iter().rev().take_while(is_inside).count();
        let after = lines[number..].iter().take_while(is_inside).count();
        let block = own_statement(&lines[number - before..number + after], *column, before);
        documents.entry(document.clone()).or_default().push(Statement {
            actions: actions(&values(block, *column, "Action:")),
            is_on_everything: values(block, *column, "Resource:") == ["*"],
            condition: values(block, *column, "Condition:").join(" "),
            names_principal: block
                .iter()
                .any(|(other, line)| other == column && line.starts_with("Principal:")),
        });
    }
    documents
}

/// Of statements that follow each other in one column, the one that the line of this number belongs to.
fn own_statement(lines: &[(usize, String)], column: usize, number: usize) -> &[(usize, String)] {
    let begins =
        |line: &(usize, String)| line.0 == column && (line.1.starts_with("Sid:") || line.1.starts_with("Effect:"));
    let follows_sid = |at: usize| at > 0 && lines[at - 1].0 == column && lines[at - 1].1.starts_with("Sid:");
    let starts: Vec<usize> = (0..lines.len())
        .filter(|at| begins(&lines[*at]) && !follows_sid(*at))
        .collect();
    let start = starts
        .iter()
        .rev()
        .find(|start| **start <= number)
        .copied()
        .unwrap_or(0);
    let end = starts
        .iter()
        .find(|start| **start > number)
        .copied()
        .unwrap_or(lines.len());
    &lines[start..end]
}

/// The actions in a value, whatever the stack's conditions choose.
fn actions(values: &[String]) -> Vec<String> {
    let actions = values.iter().filter(|value| value.contains(':'));
    let mut actions: Vec<String> = actions.cloned().collect();
    actions.sort();
    actions.dedup();
    assert!(!actions.is_empty(), "{values:?}");
    actions
}

/// What stands behind a key, on its line and below.
fn values(block: &[(usize, String)], column: usize, key: &str) -> Vec<String> {
    let Some(at) = block
        .iter()
        .position(|(other, line)| *other == column && line.starts_with(key))
    else {
        return Vec::new();
    };
    let first = block[at].1[key.len()..].trim();
    let below = block[at + 1..].iter().take_while(|(other, _)| *other > column);
    let texts = [first].into_iter().chain(below.map(|(_, line)| line.as_str()));
    texts
        .filter(|text| !text.is_empty())
        .map(|text| text.trim_matches(['"', '\'']).to_owned())
        .collect()
}

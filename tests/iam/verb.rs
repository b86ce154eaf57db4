//! `iam` as it is typed.

use serde_json::{Value, json};

use testkit::certificate::Authority;
use testkit::settings::{Table, proxy, table, target_group};

use super::world::*;

const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067";
const ROLE: &str = "arn:aws:iam::222233334444:role/tether";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:database";

/// A settings file with one group of this account and one that is reached by a role.
fn two_groups() -> Table {
    let there = GROUP.replace("111122223333:targetgroup/orders", "222233334444:targetgroup/billing");
    let group = |arn: &str| target_group(arn, &format!("{WRITER}:5432"));
    let role = format!("assume_role = {{ arn = \"{ROLE}\", external_id = \"orders\" }}");
    group(GROUP).and(group(&there)).line(&role)
}

/// What is printed for these arguments, which must be taken: the document, and what is said besides.
#[track_caller]
fn printed(arguments: &[&str]) -> (Value, String) {
    // Nothing listens on the discard port: it would be noticed if AWS were asked.
    let output = finish(bare_command("http://127.0.0.1:9").arg("iam").args(arguments));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    let policy = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    (policy, String::from_utf8(output.stderr).unwrap())
}

/// The Sids of a policy.
fn sids(policy: &Value) -> Vec<&str> {
    let statements = policy["Statement"].as_array().unwrap().iter();
    statements.map(|statement| statement["Sid"].as_str().unwrap()).collect()
}

/// Fails if whoever may follow what is tagged may change what is not.
#[test]
fn what_is_tagged_alone_may_be_changed() {
    let scratch = Scratch::new();
    let place = "[[discover]]\nregion = \"eu-west-1\"\nallow_endpoints = [\"*.example.com\"]\n";
    let there = format!("{place}assume_role = {{ arn = \"{ROLE}\", external_id = \"orders\" }}\n");
    let file = scratch.write("config.toml", &format!("{place}{there}"));
    let file = file.to_str().unwrap();
    let (policy, notes) = printed(&["--config", file]);
    assert_eq!(sids(&policy), ["Look", "AssumeRoles", "LookForTagged", "ChangeTagged"]);
    assert_eq!(
        policy["Statement"][3],
        json!({
            "Sid": "ChangeTagged", "Effect": "Allow",
            "Action": ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"],
            "Resource": "arn:aws:elasticloadbalancing:eu-west-1:*:targetgroup/*/*",
            "Condition": { "Null": { "aws:ResourceTag/rds-tether:endpoint": ["false"] } }
        })
    );
    assert_says(&notes, &["sts:ExternalId orders"]);
    let (policy, _) = printed(&["--config", file, "--assumed-role", ROLE, "--for", "lambda"]);
    let all = [
        "Look",
        "OptionalReadClocks",
        "LookForTagged",
        "ChangeTagged",
        "OptionalKeepClocksOfTagged",
    ];
    assert_eq!(sids(&policy), all);
    assert_eq!(
        policy["Statement"][3]["Resource"],
        "arn:aws:elasticloadbalancing:eu-west-1:222233334444:targetgroup/*/*"
    );
    assert_eq!(policy["Statement"][4]["Condition"].as_object().unwrap().len(), 2);
    let (policy, _) = printed(&["--config", file, "--for", "doctor"]);
    assert!(!sids(&policy).contains(&"ChangeTagged"), "{policy}");
}

/// Fails if a place whose groups all ask members with a token of IAM lacks the right to.
#[test]
fn what_holds_for_all_tagged_groups_may_log_in() {
    let scratch = Scratch::new();
    let place = |more: &str| {
        let lead = "lead = { user = \"tether\", iam = true }";
        format!(
            "[[discover]]\nregion = \"eu-west-1\"\nallow_endpoints = [\"*.example.com\"]\ndefaults = {{ {lead} }}\n{more}"
        )
    };
    let there = place(&format!("assume_role = {{ arn = \"{ROLE}\" }}\n"));
    let file = scratch.write("config.toml", &format!("{}{there}", place("")));
    let (policy, notes) = printed(&["--config", file.to_str().unwrap()]);
    let mut statements = policy["Statement"].as_array().unwrap().iter();
    let lead = statements.find(|statement| statement["Sid"] == "OptionalLead");
    let users = [
        "arn:aws:rds-db:eu-west-1:*:dbuser:*/tether",
        "arn:aws:rds-db:eu-west-1:222233334444:dbuser:*/tether",
    ];
    assert_eq!(lead.unwrap_or_else(|| panic!("{policy}"))["Resource"], json!(users));
    assert_says(&notes, &["DbClusterResourceId"]);
}

#[test]
fn flags_are_enough() {
    let endpoint = format!("{WRITER}:5432");
    let flags = [
        "--endpoint",
        &endpoint,
        "--target-group",
        GROUP,
        "--notify-topic",
        TOPIC,
    ];
    let (policy, notes) = printed(&flags);
    assert_eq!(policy["Version"], "2012-10-17");
    assert_eq!(sids(&policy), ["Look", "Change", "OptionalNotify"]);
    assert_eq!(policy["Statement"][1]["Resource"], GROUP);
    assert_eq!(
        policy["Statement"][2],
        json!({
            "Sid": "OptionalNotify", "Effect": "Allow", "Action": "sns:Publish", "Resource": TOPIC
        })
    );
    assert_says(&notes, &["begins with Optional", "kms:GenerateDataKey"]);
    let (policy, _) = printed(&[&flags[..], &["--observe", "--for", "lambda"]].concat());
    assert_eq!(sids(&policy), ["Look", "OptionalReadClocks", "OptionalNotify"]);
}

#[test]
fn each_identity_has_a_document_of_its_own() {
    let scratch = Scratch::new();
    let path = scratch.write("config.toml", &two_groups());
    let config = ["--config", path.to_str().unwrap()];
    let (own, notes) = printed(&config);
    assert_eq!(sids(&own), ["Look", "Change", "AssumeRoles"]);
    assert_eq!(own["Statement"][2]["Resource"], ROLE);
    assert_says(
        &notes,
        &[
            &format!("--assumed-role {ROLE}"),
            "sts:ExternalId orders",
            "trust policy",
        ],
    );
    let (of_role, notes) = printed(&[&config[..], &["--assumed-role", ROLE]].concat());
    assert_eq!(sids(&of_role), ["Look", "Change"]);
    assert!(
        of_role["Statement"][1]["Resource"]
            .as_str()
            .unwrap()
            .contains(":222233334444:"),
        "{of_role}"
    );
    assert_eq!(notes, "");
}

#[test]
fn a_proxy_needs_a_permission_for_its_topic_only() {
    for (flags, wanted) in [
        (
            &["--for", "proxy", "--notify-topic", TOPIC][..],
            &["OptionalNotify"][..],
        ),
        (&["--for", "proxy"], &[]),
    ] {
        assert_eq!(sids(&printed(flags).0), wanted, "{flags:?}");
    }
    assert_says(&printed(&["--for", "proxy"]).1, &["no policy is needed"]);

    let scratch = Scratch::new();
    let proxy = proxy("127.0.0.1:5432", &format!("{WRITER}:5432"));
    let topic = table("[notify]").set("sns_topic_arn", TOPIC);
    let path = scratch.write("config.toml", &proxy.and(topic));
    let (policy, _) = printed(&["--config", path.to_str().unwrap()]);
    assert_eq!(
        sids(&policy),
        ["OptionalNotify"],
        "run with proxies alone calls nothing else"
    );
}

#[test]
fn a_database_that_is_asked_has_to_be_named() {
    let scratch = Scratch::new();
    let ca = scratch.write("ca.pem", &Authority::new().pem);
    let led = |table: Table| {
        table
            .set("ca_bundle", ca.to_str().unwrap())
            .line("lead = { user = \"tether\", iam = true }")
    };
    let endpoint = format!("{WRITER}:5432");
    let both = led(target_group(GROUP, &endpoint)).and(led(proxy("127.0.0.1:5432", &endpoint)));
    let path = scratch.write("config.toml", &both);
    let config = ["--config", path.to_str().unwrap()];
    let (policy, notes) = printed(&config);
    assert_eq!(sids(&policy), ["Look", "Change", "OptionalLead"]);
    let region = WRITER.split('.').nth(2).unwrap();
    assert_eq!(
        policy["Statement"][2],
        json!({
            "Sid": "OptionalLead", "Effect": "Allow", "Action": "rds-db:connect", "Resource": [
                format!("arn:aws:rds-db:{region}:*:dbuser:*/tether"),
                format!("arn:aws:rds-db:{region}:111122223333:dbuser:*/tether"),
            ]
        })
    );
    assert_says(
        &notes,
        &[
            "resource ID",
            "aws rds describe-db-clusters --query 'DBClusters[].DbClusterResourceId'",
        ],
    );
    let (policy, _) = printed(&[&config[..], &["--for", "doctor"]].concat());
    assert_eq!(sids(&policy), ["Look", "OptionalInspect"]);
}

#[test]
fn what_cannot_be_answered_is_told_with_a_remedy() {
    let scratch = Scratch::new();
    let good = scratch.write("config.toml", &two_groups());
    let bad = scratch.write(
        "bad.toml",
        &two_groups().to_string().replace("arn:aws:elastic", "arn:aws:plastic"),
    );
    let config = |path: &std::path::Path| vec!["--config".to_owned(), path.to_str().unwrap().to_owned()];
    let with = |more: &[&str]| [config(&good), more.iter().map(ToString::to_string).collect()].concat();
    for (arguments, code, parts) in [
        (vec![], 64, &["nothing to follow", "--endpoint"][..]),
        (config(&bad), 78, &["bad.toml:2:", "another service"]),
        (with(&["--for", "somebody"]), 64, &["somebody", "write-check"]),
        (
            with(&["--assumed-role", "tether"]),
            64,
            &["no role ARN", "arn:aws:iam::"],
        ),
        (
            with(&["--assumed-role", "arn:aws:iam::222233334444:role/other"]),
            64,
            &["role/other", "do not assume", ROLE],
        ),
        (with(&["--assumed-role", ROLE, "--for", "proxy"]), 64, &["leave it out"]),
    ] {
        let said = assert_exit(bare_command("http://127.0.0.1:9").arg("iam").args(&arguments), code);
        assert_says(&said, parts);
        assert!(!said.contains("\"Statement\""), "{said}");
    }
}

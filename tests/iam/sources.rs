//! What the sources call: every operation that the SDKs have is looked for in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rds_tether::verbs::iam::ACTIONS;
use serde_json::Value;

/// The SDKs and how policies name their services.
const SERVICES: &[(&str, &str)] = &[
    ("aws-sdk-elasticloadbalancingv2", "elasticloadbalancing"),
    ("aws-sdk-sns", "sns"),
    ("aws-sdk-sts", "sts"),
];

/// What aws-config fetches a person's credentials with, who signed in: no policy has to allow that.
const OF_SIGN_IN: [&str; 2] = ["aws-sdk-sso", "aws-sdk-ssooidc"];

/// The folders of the SDKs that are built in, by package.
fn sdks() -> BTreeMap<String, PathBuf> {
    let cargo = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let metadata = cargo(&[
        "metadata",
        "--format-version=1",
        "--offline",
        "--filter-platform",
        host,
        "--manifest-path",
        manifest,
    ]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let folder = |package: &Value| {
        Path::new(package["manifest_path"].as_str().unwrap())
            .parent()
            .unwrap()
            .to_owned()
    };
    packages
        .map(|package| (package["name"].as_str().unwrap().to_owned(), folder(package)))
        .filter(|(name, _)| name.starts_with("aws-sdk-") && !OF_SIGN_IN.contains(&name.as_str()))
        .collect()
}

/// The operations of an SDK: the method's name and the action's.
fn operations(sdk: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(sdk.join("src/operation"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let names = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let operations: BTreeMap<String, String> = names
        .map(|path| {
            let method = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let words = method.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
            let action = words.collect();
            (method, action)
        })
        .collect();
    assert!(operations.len() >= 5, "no operations in {}", sdk.display());
    operations
}

/// The code of all sources without comments, tests and white space, by path.
fn code() -> BTreeMap<PathBuf, String> {
    let mut folders: Vec<PathBuf> = ["src", "lambda/src"].map(PathBuf::from).into();
    let mut code = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let own = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let lines = own.lines().filter(|line| !line.trim_start().starts_with("//"));
            let dense: String = lines.collect::<String>().split_whitespace().collect();
            // A channel of tokio's, whose method is named like an operation of SNS.
            code.insert(path, dense.replace("waiting.subscribe()", ""));
        }
    }
    assert!(code.len() > 50, "the sources are not where this test looks");
    code
}

/// Fails if the code calls an action that is not in the list, or no longer calls one that is.
#[test]
fn the_sources_call_what_is_listed_and_nothing_else() {
    let (sdks, code) = (sdks(), code());
    let known: BTreeSet<&str> = SERVICES.iter().map(|(sdk, _)| *sdk).collect();
    let built: BTreeSet<&str> = sdks.keys().map(String::as_str).collect();
    assert_eq!(built, known, "say here how policies name the service of another SDK");
    let mut called = BTreeSet::new();
    for (sdk, service) in SERVICES {
        let sign = sdk.replace('-', "_");
        let users = code.values().filter(|code| code.contains(&sign));
        let users: Vec<&String> = users.collect();
        assert!(!users.is_empty(), "nobody uses {sdk}");
        for (method, action) in operations(&sdks[*sdk]) {
            if users.iter().any(|code| code.contains(&format!(".{method}()"))) {
                called.insert(format!("{service}:{action}"));
            }
        }
    }
    // EC2 is called without its SDK: the names of its actions stand in the code.
    let of_ec2 = &code[Path::new("src/aws/ec2.rs")];
    let actions = of_ec2.split('"').skip(1).step_by(2);
    let actions = actions.filter(|text| text.len() > "Describe".len() && text.starts_with("Describe"));
    called.extend(actions.map(|action| format!("ec2:{action}")));
    for (sign, action) in [
        ("AssumeRoleProvider::builder(", "sts:AssumeRole"),
        // No call: a token of IAM is the password with which a database lets in whoever may do this.
        ("?Action=connect&DBUser=", "rds-db:connect"),
    ] {
        if code.values().any(|code| code.contains(sign)) {
            called.insert(action.to_owned());
        }
    }
    let listed: BTreeSet<String> = ACTIONS.iter().map(|action| action.name.to_owned()).collect();
    assert_eq!(
        called, listed,
        "the list of src/verbs/iam/mod.rs is the truth for every policy"
    );
    assert_eq!(listed.len(), ACTIONS.len(), "each action is listed once");
}

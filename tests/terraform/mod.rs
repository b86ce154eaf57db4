//! The Terraform code of deploy/terraform: formatted, valid, with its own tests passed, and each example made, looked at again
//! and unmade against moto.
//!
//! Moto is believed on what is made and on what it tells afterwards, but for the differences that are listed. It starts no
//! hosts; who calls a function is answered by the tests themselves.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod calls;
mod checks;
mod code;
mod examples;
mod pages;
mod root;
mod script;
mod stage;

use std::collections::BTreeSet;
use std::path::Path;

use hcl::expr::{Expression, Object, ObjectKey};
use rds_tether::settings::keys::tables;

use code::{CODE, Copy, blocks, bodies, body, folders, label, run, succeed};
use testkit::program::said;

/// Fails if the code is not as `terraform fmt` writes it.
#[test]
#[ignore = "needs terraform: tests/run provides it"]
fn the_code_is_formatted() {
    let copy = Copy::new();
    let output = run(copy.terraform(".").args(["fmt", "-check", "-recursive", "-diff"]));
    assert!(output.status.success(), "{}", said(&output));
}

/// The root module and those below it.
fn modules() -> Vec<String> {
    [".".to_owned()].into_iter().chain(folders("modules")).collect()
}

/// Fails if one of a module's own tests fails, or if it has none.
#[test]
#[ignore = "needs terraform and the AWS provider: tests/run provides them"]
fn each_module_passes_its_tests() {
    let copy = Copy::new();
    for module in modules() {
        copy.init(&module);
        let said = succeed(copy.terraform(&module).args(["test", "-no-color"]));
        let passed = said.split("Success! ").nth(1).and_then(|rest| rest.split(' ').next());
        let passed: usize = passed.and_then(|number| number.parse().ok()).unwrap_or_default();
        assert!(passed > 0, "{module} has no tests: {said}");
        for file in ["README.md", "variables.tf", "outputs.tf", "versions.tf"] {
            assert!(copy.path(&module).join(file).exists(), "{module} has no {file}");
        }
    }
}

/// Fails if what the READMEs say to write is not formatted, or not valid all together, and with it the modules that it uses.
#[test]
#[ignore = "needs terraform and the AWS provider: tests/run provides them"]
fn what_the_readmes_say_to_write_is_valid() {
    let copy = Copy::new();
    let mut all = Vec::new();
    for module in modules() {
        let readme = std::fs::read_to_string(copy.path(&module).join("README.md")).unwrap();
        let blocks = readme.split("```hcl\n").skip(1);
        let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```\n").next()).collect();
        let use_of_it = format!("\"./rds-tether/deploy/terraform/{module}\"").replace("/.\"", "\"");
        let is_shown = blocks.iter().any(|block| block.contains(&use_of_it));
        assert!(is_shown || module == "modules/settings", "{module}: no {use_of_it}");
        all.extend(
            blocks
                .iter()
                .map(|block| block.replace("\"./rds-tether/deploy/terraform", "\"./..")),
        );
    }
    std::fs::create_dir(copy.path("readmes")).unwrap();
    std::fs::write(copy.path("readmes").join("main.tf"), all.join("\n")).unwrap();
    let formatted = run(copy.terraform("readmes").args(["fmt", "-check", "-diff"]));
    assert!(formatted.status.success(), "{}", said(&formatted));
    copy.init("readmes");
    succeed(copy.terraform("readmes").args(["validate", "-no-color"]));
}

/// Fails if Terraform owns a target: it would put an old address back.
#[test]
fn no_target_is_terraforms() {
    let mut groups = 0;
    for (path, body) in bodies() {
        for resource in blocks(&body, "resource") {
            let kind = label(resource);
            groups += usize::from(kind == "aws_lb_target_group");
            assert!(
                !kind.ends_with("lb_target_group_attachment"),
                "{}: {kind}",
                path.display()
            );
        }
    }
    assert!(groups > 0, "no target group in {CODE}: this test looks at nothing");
}

/// Fails if a module can be used with another version of Terraform or the provider than the others, or asks for another provider.
#[test]
fn all_ask_for_the_same_versions() {
    let mut asked = 0;
    for (path, body) in bodies() {
        for settings in blocks(&body, "terraform") {
            for attribute in settings.body().attributes() {
                let named = format!("{} {}", path.display(), attribute.key());
                assert_eq!(
                    (attribute.key(), attribute.expr()),
                    ("required_version", &">= 1.7".into()),
                    "{named}"
                );
                asked += 1;
            }
            for provider in blocks(settings.body(), "required_providers").flat_map(|block| block.body().attributes()) {
                let wanted = hcl::expression!({ source = "hashicorp/aws", version = ">= 5.80" });
                assert_eq!(
                    (provider.key(), provider.expr()),
                    ("aws", &wanted),
                    "{}",
                    path.display()
                );
                asked += 2;
            }
        }
    }
    assert!(asked > 10, "this test looks at nothing");
}

/// The object of a type such as `map(object({...}))`.
fn object(declared: &Expression) -> &Object<ObjectKey, Expression> {
    match declared {
        Expression::Object(object) => object,
        Expression::FuncCall(call) => object(call.args.first().expect("a type of something")),
        other => panic!("no object: {other}"),
    }
}

/// Fails if there is something in the settings file that Terraform's variables cannot say, or something else than there is.
#[test]
fn the_variables_say_what_the_settings_file_does() {
    let module = |path: &str| std::fs::read_to_string(Path::new(CODE).join("modules").join(path)).unwrap();
    let keys = |header: &str| {
        let table = tables().into_iter().find(|table| table.header == header);
        let keys = table.expect("a table").keys.into_iter();
        keys.map(|key| key.name).collect::<BTreeSet<_>>()
    };
    let written = module("settings/main.tf");
    for table in tables() {
        for key in table.keys {
            let is_written = ["\"", "\\n"]
                .iter()
                .any(|before| written.contains(&format!("{before}{} = ", key.name)));
            assert!(is_written, "{} {}", table.header, key.name);
        }
    }
    // The attributes of a variable's objects, but for those of the tables in them.
    let attributes = |path: &str, variable: &str| {
        let body = body(&Path::new(CODE).join("modules").join(path));
        let mut variables = blocks(&body, "variable").filter(|block| label(block) == variable);
        let declared = variables.next().expect(variable).body().attributes();
        let declared = declared.into_iter().find(|attribute| attribute.key() == "type");
        object(declared.expect("a type").expr())
            .keys()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>()
    };
    for module in ["settings", "function", "hosts"] {
        let path = format!("{module}/variables.tf");
        assert_eq!(attributes(&path, "target_groups"), keys("[[target_group]]"), "{path}");
        assert_eq!(attributes(&path, "discover"), keys("[[discover]]"), "{path}");
        assert_eq!(attributes(&path, "dns"), keys("[dns]"), "{path}");
    }
    // What a tag says, and what each place says by itself, has no place in defaults.
    let without = ["arn", "endpoints", "assume_role"].map(str::to_owned);
    let defaults: BTreeSet<String> = &keys("[[target_group]]") - &BTreeSet::from(without);
    let text = module("settings/main.tf");
    let written: BTreeSet<String> = text
        .split("place.defaults.")
        .skip(1)
        .filter_map(|rest| {
            rest.split(|char: char| !char.is_ascii_lowercase() && char != '_')
                .next()
        })
        .map(str::to_owned)
        .collect();
    assert_eq!(written, defaults, "defaults of discover");
    assert_eq!(attributes("settings/variables.tf", "proxies"), keys("[[proxy]]"));
    let with_port = attributes("hosts/variables.tf", "proxies");
    let with_listen = with_port
        .iter()
        .map(|name| if name == "port" { "listen" } else { name }.to_owned());
    assert_eq!(with_listen.collect::<BTreeSet<_>>(), keys("[[proxy]]"));
}

//! The bills of materials.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::program::{FOREIGN_MAX, finish_within};

use super::world::*;

/// What deploy/package writes for a package of this workspace.
fn bill(package: &str) -> Value {
    let mut command = Command::new("python3");
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .args(["deploy/packages/sbom.py", package, "x86_64-unknown-linux-gnu", "9.0.0"])
        .env("SOURCE_DATE_EPOCH", "1795000000");
    let output = finish_within(FOREIGN_MAX, &mut command);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// Fails if what is linked into an executable is not in its bill, or what is not linked is said to be; or if it is no whole graph.
#[test]
#[ignore = "needs Python 3.11: tests/run provides it"]
fn a_bill_lists_what_is_in_the_executable() {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    for (package, only_there) in [("rds-tether", "clap_builder"), ("rds-tether-lambda", "lambda_runtime")] {
        let bill = bill(package);
        assert_eq!(
            (text(&bill, "bomFormat"), text(&bill, "specVersion")),
            ("CycloneDX", "1.6")
        );
        let itself = &bill["metadata"]["component"];
        assert_eq!((text(itself, "name"), text(itself, "version")), (package, "9.0.0"));
        assert_eq!(text(&bill["metadata"], "timestamp"), "2026-11-18T11:06:40Z");

        let mut scopes = BTreeMap::new();
        let mut references = BTreeSet::from([text(itself, "bom-ref")]);
        for component in bill["components"].as_array().unwrap() {
            let name = text(component, "name");
            scopes.insert(name, text(component, "scope"));
            assert!(references.insert(text(component, "bom-ref")), "{name} is there twice");
            assert!(!text(&component["licenses"][0], "expression").is_empty(), "{name}");
            if name != "rds-tether" {
                let checksum = text(&component["hashes"][0], "content");
                assert!(lock.contains(&format!("checksum = \"{checksum}\"")), "{name}");
            }
        }
        for (name, scope) in [
            ("tokio", "required"),
            ("ring", "required"),
            (only_there, "required"),
            ("syn", "excluded"),
        ] {
            assert_eq!(scopes.get(name), Some(&scope), "{name} in {package}");
        }
        for name in ["testkit", "rcgen", "windows-sys"] {
            assert_eq!(scopes.get(name), None, "{name} in {package}");
        }
        let mut listed = BTreeSet::new();
        for dependency in bill["dependencies"].as_array().unwrap() {
            assert!(listed.insert(text(dependency, "ref")));
            for needed in dependency["dependsOn"].as_array().unwrap() {
                assert!(references.contains(needed.as_str().unwrap()), "{needed}");
            }
        }
        assert_eq!(listed, references);
    }
    assert_eq!(bill("rds-tether"), bill("rds-tether"));
}

//! The templates of deploy/cloudformation included in a real app of the AWS CDK, which validates what it makes: under the flags
//! that are recommended for new apps, what it finds wrong is an error.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use serde_json::Value;
use testkit::pages::{Page, root};
use testkit::program::{FOREIGN_MAX, finish_within, foreign, provided, said};
use testkit::scratch::Scratch;

const PAGE: &str = "deploy/cloudformation/README.md";
const FOLDER: &str = "deploy/cloudformation";
/// Beside an app.
const CHECKOUT: &str = "rds-tether";

/// An app in a folder of its own, with the CDK and a checkout of the project beside it.
struct App {
    folder: Scratch,
}

impl App {
    fn new(code: &str) -> Self {
        let folder = Scratch::new();
        symlink(modules(), folder.path("node_modules")).unwrap();
        symlink(root(), folder.path(CHECKOUT)).unwrap();
        folder.write("app.mjs", code);
        Self { folder }
    }

    /// As the CDK's command line runs it, with the settings that it would write for a new app.
    fn synth(&self) -> Output {
        let flags = modules().join("aws-cdk-lib/recommended-feature-flags.json");
        let mut command: Command = foreign("node");
        command
            .arg("app.mjs")
            .current_dir(self.folder.path(""))
            .env("CDK_OUTDIR", self.folder.path("cdk.out"))
            .env(
                "CDK_CONTEXT_JSON",
                fs::read_to_string(flags).expect("the recommended flags"),
            );
        finish_within(FOREIGN_MAX, &mut command)
    }

    /// The names of what a stack of it has.
    fn resources(&self, stack: &str) -> Vec<String> {
        let path = self.folder.path(&format!("cdk.out/{stack}.template.json"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let template: Value = serde_json::from_str(&text).unwrap();
        let resources = template["Resources"].as_object().expect("resources").keys();
        resources.filter(|name| *name != "CDKMetadata").cloned().collect()
    }
}

fn modules() -> std::path::PathBuf {
    provided("RDS_TETHER_TEST_CDK")
}

/// The names of what a template makes.
fn resources(template: &str) -> Vec<String> {
    let yaml: yaml_serde::Value = yaml_serde::from_str(template).expect("YAML");
    let resources = yaml["Resources"].as_mapping().expect("resources");
    resources.keys().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn assert_passes(output: &Output) {
    let told = said(output);
    assert!(output.status.success() && !told.contains("ERROR"), "{told}");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
#[ignore = "needs the AWS CDK: tests/run provides it"]
fn the_lines_of_the_page_are_an_app() {
    let blocks = Page::read(PAGE).blocks_of("ts");
    let [code] = &blocks[..] else { panic!("{blocks:?}") };
    assert_eq!(
        code.trim_end().lines().count(),
        6,
        "the page speaks of few lines: {code}"
    );
    let app = App::new(code);
    assert_passes(&app.synth());
    let template = fs::read_to_string(root().join(FOLDER).join("lambda.yaml")).unwrap();
    assert_eq!(sorted(app.resources("orders-function")), sorted(resources(&template)));
}

/// An app that includes templates as they are, their parameters left to who deploys it.
fn including(templates: &[(&str, &str)]) -> String {
    let stacks = templates.iter().map(|(stack, file)| {
        format!("new CfnInclude(new Stack(app, \"{stack}\"), \"tether\", {{ templateFile: \"{file}\" }});\n")
    });
    format!(
        "import {{ App, Stack }} from \"aws-cdk-lib\";\n\
         import {{ CfnInclude }} from \"aws-cdk-lib/cloudformation-include\";\n\
         const app = new App();\n{}",
        stacks.collect::<String>()
    )
}

#[test]
#[ignore = "needs the AWS CDK: tests/run provides it"]
fn every_template_passes_its_validation() {
    let files = fs::read_dir(root().join(FOLDER)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".yaml")?.to_owned()))
        .collect();
    assert!(names.len() > 2, "{names:?}");
    let paths: Vec<String> = (names.iter())
        .map(|name| format!("{CHECKOUT}/{FOLDER}/{name}.yaml"))
        .collect();
    let templates = names.iter().map(String::as_str).zip(paths.iter().map(String::as_str));
    let app = App::new(&including(&templates.collect::<Vec<_>>()));
    assert_passes(&app.synth());
    for name in &names {
        let template = fs::read_to_string(root().join(FOLDER).join(format!("{name}.yaml"))).unwrap();
        assert_eq!(sorted(app.resources(name)), sorted(resources(&template)), "{name}");
    }
}

/// Fails if the validation has become blind, or the flags are not those that make errors of what it finds.
#[test]
#[ignore = "needs the AWS CDK: tests/run provides it"]
fn what_it_refuses_fails() {
    let template = fs::read_to_string(root().join(FOLDER).join("lambda.yaml")).unwrap();
    let split = template.replace("!Select [0, [!Ref SubnetIds]]", "!Ref SubnetIds");
    assert_ne!(split, template);
    let app = App::new(&including(&[("orders", "split.yaml")]));
    app.folder.write("split.yaml", &split);
    let output = app.synth();
    let told = said(&output);
    assert!(!output.status.success() && told.contains("F3031"), "{told}");
}

//! The Terraform code, copied to where Terraform may write beside it, and Terraform itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hcl::structure::BlockLabel;
use hcl::{Block, Body};
use serde_json::Value;

use testkit::moto::{ANYBODY, Moto};
use testkit::program::{foreign, provided};
use testkit::scratch::Scratch;

/// Where everything is.
pub const REGION: &str = "eu-west-1";
/// Where the code is.
pub const CODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/terraform");

/// A copy of the code.
pub struct Copy {
    folder: Scratch,
}

impl Copy {
    pub fn new() -> Self {
        let folder = Scratch::new();
        copy(Path::new(CODE), &folder.path("code"));
        folder.write("rc", "");
        Self { folder }
    }

    /// The folder of a configuration in it, `.` for the root module.
    pub fn path(&self, configuration: &str) -> PathBuf {
        self.folder.path("code").join(configuration)
    }

    /// Writes a file beside the code and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        self.folder.write(name, text)
    }

    /// Terraform in a configuration, with nothing of this machine's settings.
    pub fn terraform(&self, configuration: &str) -> Command {
        let mut command = foreign(provided("RDS_TETHER_TEST_TERRAFORM"));
        command
            .env("HOME", self.folder.folder())
            .env("TMPDIR", self.folder.folder())
            .env("TF_CLI_CONFIG_FILE", self.folder.path("rc"))
            .env("TF_IN_AUTOMATION", "1")
            // A third of the time of these short-lived programs would go into collecting garbage.
            .env("GOGC", "off")
            .env("GOMEMLIMIT", "600MiB")
            .env("CHECKPOINT_DISABLE", "1")
            .current_dir(self.path(configuration));
        command
    }

    /// The provider comes from the mirror, never from the network.
    pub fn init(&self, configuration: &str) {
        let mirror = format!("-plugin-dir={}", provided("TF_PLUGIN_MIRROR").display());
        succeed(
            self.terraform(configuration)
                .args(["init", "-input=false", "-no-color", &mirror]),
        );
    }
}

/// Terraform in a configuration, its provider talking to moto.
pub fn against(copy: &Copy, configuration: &str, moto: &Moto) -> Command {
    let mut command = copy.terraform(configuration);
    command
        .env("AWS_ENDPOINT_URL", moto.url())
        .env("AWS_ACCESS_KEY_ID", ANYBODY)
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", REGION)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let from = entry.expect("an entry").path();
        let name = from.file_name().expect("a name");
        // What Terraform leaves behind where somebody has used the code in place.
        if name.to_string_lossy().starts_with(".terraform") || name.to_string_lossy().contains(".tfstate") {
            continue;
        }
        let to = to.join(name);
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
    }
}

/// Folders of this folder of the code, of which there must be some.
pub fn folders(below: &str) -> Vec<String> {
    let path = Path::new(CODE).join(below);
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .map(|path| format!("{below}/{}", path.file_name().expect("a name").to_string_lossy()))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{below} is empty: this test looks at nothing");
    names
}

/// Every file of the code.
pub fn files() -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![PathBuf::from(CODE)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

/// Every file of the code that Terraform reads, with what is in it. Their paths are within the code.
pub fn bodies() -> Vec<(PathBuf, Body)> {
    let code = files().into_iter();
    let code = code.filter(|path| path.extension().is_some_and(|extension| extension == "tf"));
    let body = |path: PathBuf| (path.strip_prefix(CODE).expect("below it").to_owned(), body(&path));
    code.map(body).collect()
}

/// What is in a file that Terraform reads; nothing, if there is none.
#[track_caller]
pub fn body(path: &Path) -> Body {
    let text = fs::read_to_string(path).unwrap_or_default();
    hcl::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of a kind, such as `resource`.
pub fn blocks<'a>(body: &'a Body, kind: &'a str) -> impl Iterator<Item = &'a Block> {
    body.blocks().filter(move |block| block.identifier() == kind)
}

/// The first label of a block: a resource's type, a variable's name.
pub fn label(block: &Block) -> &str {
    block.labels().first().map_or("", BlockLabel::as_str)
}

/// Runs to the end; says what it said.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs to the end, which must be a good one; gives its standard output.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// The standard output of a command, which is JSON.
#[track_caller]
pub fn json(command: &mut Command) -> Value {
    let text = succeed(command);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command:?}: {error}\n{text}"))
}

/// The resources of a state as `terraform show -json` prints it, each with its address and values.
pub fn resources(state: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut modules = vec![&state["values"]["root_module"]];
    while let Some(module) = modules.pop() {
        for resource in module["resources"].as_array().into_iter().flatten() {
            let address = resource["address"].as_str().expect("an address");
            found.push((address.to_owned(), resource["values"].clone()));
        }
        modules.extend(module["child_modules"].as_array().into_iter().flatten());
    }
    found
}

/// What a plan would change, as `ADDRESS ATTRIBUTE`, or `ADDRESS` and what becomes of it.
pub fn changes(plan: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for resource in plan["resource_changes"].as_array().into_iter().flatten() {
        let (address, change) = (resource["address"].as_str().expect("an address"), &resource["change"]);
        let actions = change["actions"].to_string();
        match actions.as_str() {
            r#"["no-op"]"# | r#"["read"]"# => {}
            r#"["update"]"# => found.extend(attributes(change).into_iter().map(|name| format!("{address} {name}"))),
            _ => found.push(format!("{address} {actions}")),
        }
    }
    for (name, change) in plan["output_changes"].as_object().into_iter().flatten() {
        if change["actions"] != serde_json::json!(["no-op"]) {
            found.push(format!("output {name}"));
        }
    }
    found
}

/// The attributes that a change changes, or that nobody knows before it is made.
fn attributes(change: &Value) -> Vec<String> {
    let unknown = change["after_unknown"].as_object().into_iter().flatten();
    let unknown = unknown
        .filter(|(_, is)| **is == Value::Bool(true))
        .map(|(name, _)| name);
    let after = change["after"].as_object().into_iter().flatten();
    let other = after.filter(|(name, value)| change["before"][name.as_str()] != **value);
    unknown.chain(other.map(|(name, _)| name)).cloned().collect()
}

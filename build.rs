//! Says which commit is built: `TETHER_COMMIT` if it is set, else what git says of this folder, else nothing, as for a crate that
//! was published. Only a release asks git: a program under development is none of its commits, and would be built anew for each.
#![expect(
    clippy::disallowed_methods,
    reason = "what is built is told by the environment alone"
)]

use std::path::Path;
use std::process::Command;

/// Digits that tell the commits of a project apart.
const DIGITS: usize = 12;

fn main() {
    println!("cargo:rerun-if-env-changed=TETHER_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    let given = std::env::var("TETHER_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| if is_release { of_git() } else { None });
    let commit: Option<String> = commit.map(|commit| commit.trim().chars().take(DIGITS).collect());
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let version = match commit {
        Some(commit) => format!("{version} (commit {commit})"),
        None => version,
    };
    println!("cargo:rustc-env=TETHER_VERSION={version}");
}

/// The commit of this folder, if it is the top of a repository: a folder within another's is not its.
fn of_git() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    for path in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", path])?;
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

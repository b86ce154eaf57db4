//! The workflow that makes a release: its commands, run in order as the runner runs them. What builds, and what reaches the world
//! outside, are stand-ins that write down what they are told.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use testkit::pages::Page;
use testkit::program::{FOREIGN_MAX, finish_within, succeed};
use yaml_serde::Value;

use super::made::executable;
use super::world::*;

const WORKFLOW: &str = include_str!("../../.github/workflows/release.yml");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// What stands for each of these programs; `cargo` and `rustc` are themselves but for what takes minutes or the network.
const PROGRAMS: [&str; 6] = ["cargo", "docker", "gh", "rustc", "rustup", "sudo"];
const STAND_IN: &str = r#"#!/bin/sh
name=${0##*/}
case "$name $*" in
"cargo zigbuild "*)
    triple=${7%%.*}
    binary=/bin/sh
    if [ "$5" = rds-tether ] && [ "${triple%%-*}" = "$(uname -m)" ]; then binary=$EXECUTABLE; fi
    case $5 in rds-tether) made=rds-tether ;; *) made=bootstrap ;; esac
    exec install -D "$binary" "$CARGO_TARGET_DIR/$triple/release/$made"
    ;;
"rustc --print sysroot") exec echo "$FOLDER/sysroot" ;;
cargo* | rustc*)
    PATH=$(echo "$PATH" | sed "s|$FOLDER/bin:||") exec "$name" "$@"
    ;;
"docker save --output "*) echo an image >"$3" ;;
"docker load --input "*) test -s "$3" || exit 1 ;;
"docker login "*) grep -qx a-token || exit 1 ;;
"docker buildx imagetools inspect "*) echo "{\"digest\": \"$DIGEST\"}" ;;
esac
echo "$name $*" >>"$FOLDER/told"
"#;

/// A checkout with a tag, on a runner.
struct Runner {
    folder: Scratch,
    tag: String,
}

impl Runner {
    fn new(tag: &str) -> Self {
        let folder = Scratch::new();
        for path in ["bin", "deploy/packages", "target/package-venv"] {
            fs::create_dir_all(folder.path(path)).unwrap();
        }
        for triple in ["x86_64", "aarch64"] {
            let path = format!("sysroot/lib/rustlib/{triple}-unknown-linux-gnu");
            fs::create_dir_all(folder.path(&path)).unwrap();
        }
        let program = |path: &str, text: &str| {
            let path = folder.write(path, text);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        for name in PROGRAMS {
            program(&format!("bin/{name}"), STAND_IN);
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let package = root.join("deploy/package");
        program(
            "deploy/package",
            &format!("#!/bin/sh\nexec {} --fast --glibc 9999 \"$@\"\n", package.display()),
        );
        for name in ["Cargo.toml", "deploy/packages/notes.py"] {
            symlink(root.join(name), folder.path(name)).unwrap();
        }
        // As if Zig was installed.
        let list = "package-venv/requirements.txt";
        fs::copy(
            root.join("deploy/packages/requirements.txt"),
            folder.path("target").join(list),
        )
        .unwrap();
        folder.write(
            "CHANGELOG.md",
            &format!("# Changelog\n\n## Unreleased\n\n- later\n\n## {VERSION} (today)\n\n- this\n- that\n\n## 0.0.9\n\n- before\n"),
        );
        let tag = tag.to_owned();
        Self { folder, tag }
    }

    /// A shell's command in the checkout, with what the runner's environment says.
    fn command(&self, words: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let folder = self.folder.folder();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", folder.join("bin").display()))
            .env("CARGO_TARGET_DIR", folder.join("target"))
            .env("EXECUTABLE", executable())
            .env("FOLDER", folder)
            .env("DIGEST", DIGEST)
            .env("GITHUB_ACTOR", "somebody")
            .env("GITHUB_OUTPUT", folder.join("outputs"))
            .env("GITHUB_REF_NAME", &self.tag)
            .env("GITHUB_REPOSITORY", "Somebody/rds-tether")
            .env("GITHUB_SERVER_URL", "https://example.com")
            .env("GITHUB_SHA", "0123456789abcdef");
        command
    }

    /// A text of the workflow with the values of its expressions.
    fn value(&self, text: &Value, architecture: &str) -> String {
        let text = text.as_str().unwrap_or_else(|| panic!("{text:?} is no text"));
        let Some((before, (expression, after))) = text.split_once("${{ ").map(|(before, rest)| {
            let rest = rest.split_once(" }}").expect("the end of an expression");
            (before, rest)
        }) else {
            return text.to_owned();
        };
        let value = match expression {
            "github.token" => "a-token".to_owned(),
            "matrix.architecture" => architecture.to_owned(),
            _ => {
                let name = expression.strip_prefix("steps.image.outputs.");
                let name = name.unwrap_or_else(|| panic!("{expression}: what is that?"));
                let outputs = fs::read_to_string(self.folder.path("outputs")).unwrap();
                let value = outputs
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
                value.unwrap_or_else(|| panic!("no {name} in {outputs}")).to_owned()
            }
        };
        format!("{before}{value}{after}")
    }

    /// Does a job.
    fn run(&self, job: &str, architecture: &str) {
        let job = &workflow()["jobs"][job];
        for step in job["steps"].as_sequence().unwrap() {
            let Some(script) = step.get("run") else {
                self.act(step, architecture);
                continue;
            };
            // As the runner does it for `shell: bash`.
            let path = self.folder.write("step", script.as_str().unwrap());
            let shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail"];
            let mut command = self.command(&[&shell[..], &[path.to_str().unwrap()]].concat());
            for (name, value) in job.get("env").and_then(Value::as_mapping).into_iter().flatten() {
                command.env(name.as_str().unwrap(), self.value(value, architecture));
            }
            let output = finish_within(FOREIGN_MAX, &mut command);
            assert!(
                output.status.success(),
                "{}: {}",
                step["name"].as_str().unwrap(),
                said(&output)
            );
        }
    }

    /// What an action does, or asks to be there.
    fn act(&self, step: &Value, architecture: &str) {
        let (action, _) = step["uses"].as_str().unwrap().split_once('@').unwrap();
        let with = |name: &str| self.value(&step["with"][name], architecture);
        match action {
            "actions/checkout" => {}
            "actions/upload-artifact" => {
                let script = format!("mkdir -p uploaded && cp -r {0}/. uploaded && rm -r {0}", with("path"));
                succeed(&mut self.command(&["sh", "-c", &script]));
            }
            "actions/download-artifact" => {
                fs::rename(self.folder.path("uploaded"), self.folder.path(&with("path"))).unwrap();
            }
            "actions/attest-build-provenance" if step["with"].get("subject-checksums").is_some() => {
                assert!(self.folder.path(&with("subject-checksums")).is_file());
            }
            "actions/attest-build-provenance" => {
                assert_eq!(with("subject-name"), "ghcr.io/somebody/rds-tether");
                assert_eq!(with("subject-digest"), DIGEST);
            }
            _ => panic!("{action}: what does it do?"),
        }
    }

    /// What the stand-ins were told since the last time.
    fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(self.folder.path("told")).unwrap();
        self.folder.write("told", "");
        told.lines().map(str::to_owned).collect()
    }

    /// What is in the notes of a release.
    fn notes(&self) -> Output {
        finish_within(
            FOREIGN_MAX,
            &mut self.command(&["python3", "deploy/packages/notes.py", &self.tag]),
        )
    }
}

fn workflow() -> Value {
    yaml_serde::from_str(WORKFLOW).expect("YAML")
}

/// The names of the files that a release has.
fn files_of_a_release() -> [String; 9] {
    [
        "SHA256SUMS".to_owned(),
        format!("rds-tether-{VERSION}-1.aarch64.rpm"),
        format!("rds-tether-{VERSION}-1.x86_64.rpm"),
        format!("rds-tether-lambda_{VERSION}.cdx.json"),
        format!("rds-tether-lambda_{VERSION}_arm64.zip"),
        format!("rds-tether-lambda_{VERSION}_x86_64.zip"),
        format!("rds-tether_{VERSION}.cdx.json"),
        format!("rds-tether_{VERSION}_amd64.deb"),
        format!("rds-tether_{VERSION}_arm64.deb"),
    ]
}

/// Fails if a step fails, if a file of the release is not made, not told of in the checksums or not handed to it, or if the image has
/// another name than its provenance.
#[test]
#[ignore = "needs dpkg-deb, rpmbuild, binutils and Python 3.11: tests/run provides them"]
fn a_tag_makes_a_release() {
    let runner = Runner::new(&format!("v{VERSION}"));
    runner.run("packages", "");
    let told = runner.told();
    let dockerfile = include_str!("../../deploy/docker/Dockerfile");
    let rust = told[1].strip_prefix("rustup default ").expect("a version of Rust");
    assert!(
        dockerfile.contains(&format!("\nFROM rust:{rust}-")),
        "{rust} in {dockerfile}"
    );
    assert!(
        told[0].starts_with(&format!("rustup toolchain install {rust} ")),
        "{told:?}"
    );
    assert_eq!(
        fs::read_to_string(runner.folder.path("uploaded/notes.md")).unwrap(),
        "- this\n- that\n"
    );

    for architecture in ["amd64", "arm64"] {
        runner.run("image", architecture);
    }
    assert_says(
        &runner.told()[0],
        &["docker build ", "--build-arg TETHER_COMMIT=0123456789abcdef "],
    );
    runner.run("publish", "");
    let told = runner.told();
    let (release, image) = told.split_last().unwrap();
    let name = "ghcr.io/somebody/rds-tether";
    let created = format!(
        "docker buildx imagetools create --tag {name}:{VERSION} --tag {name}:latest {name}:{VERSION}-amd64 {name}:{VERSION}-arm64"
    );
    assert!(image.contains(&created), "{image:#?}");
    assert!(
        image.contains(&format!("docker push {name}:{VERSION}-arm64")),
        "{image:#?}"
    );

    let (flags, files) = release.split_once(" out/release/").unwrap();
    assert_eq!(
        flags,
        format!(
            "gh release create v{VERSION} --repo Somebody/rds-tether --verify-tag --title rds-tether {VERSION} \
             --notes-file out/notes.md"
        )
    );
    let files: Vec<&str> = files.split(" out/release/").collect();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(
        sorted(files.iter().map(|&file| file.to_owned()).collect()),
        sorted(files_of_a_release().into())
    );
    let sums = fs::read_to_string(runner.folder.path("out/release/SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), files.len() - 1, "{sums}");
    let fields = succeed(&mut runner.command(&[
        "dpkg-deb",
        "--field",
        &format!("out/release/rds-tether_{VERSION}_arm64.deb"),
        "Homepage",
    ]));
    assert_eq!(fields.trim(), "https://example.com/Somebody/rds-tether");
}

/// Fails if a version before another one is handed to people who want the latest.
#[test]
#[ignore = "needs Python: tests/run provides it"]
fn a_version_before_another_is_not_the_latest() {
    let runner = Runner::new("v1.0.0-rc.1");
    fs::create_dir_all(runner.folder.path("uploaded/release")).unwrap();
    for architecture in ["amd64", "arm64"] {
        runner
            .folder
            .write(&format!("uploaded/image-{architecture}.tar"), "an image");
    }
    let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    runner
        .folder
        .write("uploaded/release/SHA256SUMS", &format!("{sum}  a-file\n"));
    runner.folder.write("uploaded/release/a-file", "");
    runner.run("publish", "");
    let told = runner.told().join("\n");
    assert!(!told.contains(":latest"), "{told}");
    assert_says(
        &told,
        &[
            "create --tag ghcr.io/somebody/rds-tether:1.0.0-rc.1 ghcr.io/",
            " --prerelease out/release/",
        ],
    );
}

/// Fails if there is a release of another version than its tag's, or one that does not say what has changed.
#[test]
#[ignore = "needs Python 3.11: tests/run provides it"]
fn a_tag_that_is_not_the_version_makes_no_release() {
    let runner = Runner::new("v99.0.0");
    let refused = runner.notes();
    assert!(!refused.status.success() && refused.stdout.is_empty());
    let version = format!("Cargo.toml has version {VERSION}");
    assert_says(
        &said(&refused),
        &["the tag is v99.0.0", &version, &format!("tag v{VERSION}")],
    );

    let runner = Runner::new(&format!("v{VERSION}"));
    for changelog in [
        "## Unreleased\n\n- this\n".to_owned(),
        format!("## {VERSION}0\n\n- this\n"),
        format!("## {VERSION}\n\n## 0.0.9\n\n- before\n"),
    ] {
        runner.folder.write("CHANGELOG.md", &changelog);
        let refused = runner.notes();
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{changelog}");
        assert_says(&said(&refused), &[&format!("below a heading '## {VERSION}'")]);
    }
}

/// Fails if a shell would take a command otherwise than it was meant.
#[test]
#[ignore = "needs shellcheck: tests/run provides it"]
fn shellcheck_finds_nothing_in_the_steps() {
    let folder = Scratch::new();
    let mut count = 0;
    for (_, job) in workflow()["jobs"].as_mapping().unwrap() {
        for step in job["steps"].as_sequence().unwrap() {
            let Some(script) = step.get("run") else { continue };
            let path = folder.write("step", script.as_str().unwrap());
            succeed(Command::new("shellcheck").args(["--shell", "bash"]).arg(path));
            count += 1;
        }
    }
    assert!(count >= 7, "{count} steps: this test looks at nothing");
}

/// Fails if the page tells people to take what a release does not have, or a check that lets a broken file pass.
#[test]
fn the_page_takes_what_a_release_has() {
    const REPOSITORY: &str = "OWNER/rds-tether";
    let files = files_of_a_release();
    let is_file = |name: &str| files.iter().any(|file| file == name);
    // As the workflow names it.
    assert!(WORKFLOW.contains("image=ghcr.io/${GITHUB_REPOSITORY,,}\n"));
    let image = format!("ghcr.io/{REPOSITORY}:{VERSION}");
    let commands = Page::read("docs/install.md").commands();
    let mut count = 0;
    for command in &commands {
        let words: Vec<&str> = command.text.split(' ').collect();
        let is_right = match words[..] {
            [
                "gh",
                "release",
                "download",
                tag,
                "--repo",
                repository,
                ref patterns @ ..,
            ] => {
                let (flags, names): (Vec<&str>, Vec<&str>) = patterns.iter().partition(|word| word.starts_with("--"));
                flags.iter().all(|flag| *flag == "--pattern")
                    && flags.len() == names.len()
                    && names.iter().all(|name| is_file(name))
                    && (tag, repository) == (&format!("v{VERSION}"), REPOSITORY)
            }
            ["gh", "attestation", "verify", what, "--repo", repository] => {
                (is_file(what) || what == format!("oci://{image}")) && repository == REPOSITORY
            }
            ["sudo", "apt" | "dnf", "install", file] => file.strip_prefix("./").is_some_and(is_file),
            ["sha256sum", ref flags @ ..] => {
                notices_a_broken_file(flags);
                true
            }
            ["docker", "run", "--volume", volume, name, ref verb @ ..] => {
                name == image && volume.ends_with(":/etc/rds-tether/config.toml:ro") && matches!(verb, [] | ["doctor"])
            }
            ["docker", "build", "--file", file, "--tag", "rds-tether", "."] => {
                testkit::pages::root().join(file).is_file()
            }
            // Those of all pages.
            ["cargo" | "deploy/package" | "rds-tether", ..] => continue,
            _ => false,
        };
        assert!(is_right, "{}", command.text);
        count += 1;
    }
    assert!(count >= 8, "{count} commands: this test looks at nothing");
}

#[track_caller]
fn notices_a_broken_file(flags: &[&str]) {
    let folder = Scratch::new();
    // Of nothing.
    let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    folder.write("SHA256SUMS", &format!("{sum}  taken\n{sum}  not-taken\n"));
    folder.write("taken", "");
    let check = || finish(Command::new("sha256sum").args(flags).current_dir(folder.folder()));
    assert!(check().status.success());
    folder.write("taken", "something else");
    assert!(!check().status.success());
}

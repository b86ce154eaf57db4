//! The container's file system and the file that it is made by.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::settings::{dns, target_group};

use super::made::executable;
use super::root::Root;
use super::world::*;

const DOCKERFILE: &str = include_str!("../../deploy/docker/Dockerfile");
const USER: &str = "65532:65532";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The instructions with their arguments, lines that go on joined.
fn instructions() -> Vec<(&'static str, String)> {
    let lines = DOCKERFILE.lines().filter(|line| !line.starts_with('#'));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let text = text.replace("\\\n", " ");
    let words: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    let known = ["FROM", "WORKDIR", "COPY", "ARG", "RUN", "USER", "ENTRYPOINT", "CMD"];
    let name = |name: &str| {
        *known
            .iter()
            .find(|known| **known == name)
            .unwrap_or_else(|| panic!("{name}: what is that?"))
    };
    words.iter().map(|(word, rest)| (name(word), rest.clone())).collect()
}

/// Fails if the image builds with a toolchain that is too old, holds more than it needs, runs as root or starts something else.
#[test]
fn the_image_is_small_and_runs_as_no_root() {
    let instructions = instructions();
    let of = |wanted: &str| -> Vec<&str> {
        let found = instructions.iter().filter(|(name, _)| *name == wanted);
        found.map(|(_, rest)| rest.as_str()).collect()
    };
    let [build, last] = of("FROM")[..] else {
        panic!("two stages")
    };
    let rust = build
        .strip_prefix("rust:")
        .and_then(|rest| rest.split('-').next())
        .expect("a version");
    let numbers = |text: &str| -> Vec<u32> { text.split('.').map(|number| number.parse().unwrap()).collect() };
    assert!(
        numbers(rust) >= numbers(env!("CARGO_PKG_RUST_VERSION")),
        "{rust} is too old"
    );
    assert!(build.ends_with(" AS build"), "{build}");
    assert_eq!(last, "scratch");
    assert_eq!(of("COPY"), [". .", "--from=build /rootfs /"]);
    // What build.rs asks for.
    assert_eq!(of("ARG"), ["TETHER_COMMIT"]);
    assert_eq!(of("USER"), [USER]);
    assert_eq!(of("ENTRYPOINT"), ["[\"/usr/bin/rds-tether\"]"]);
    assert_eq!(of("CMD"), ["[\"run\"]"]);
    assert_eq!(
        of("RUN"),
        [
            "cargo build --release --locked --package rds-tether && deploy/docker/rootfs target/release/rds-tether /rootfs"
        ]
    );
}

/// Fails if an executable, a library, the certificates or a folder are missing from the image, or if it is not usable by its user.
#[test]
#[ignore = "needs root and overlays: tests/run provides them"]
fn the_image_has_all_that_the_executable_needs() {
    let root = Root::new();
    let mut make = Command::new(repository().join("deploy/docker/rootfs"));
    make.arg(executable()).arg(root.path("tmp/rootfs"));
    assert_exit(&mut make, 0);
    assert_exit(&mut make, 64);
    let files = root.run(&["find", "/tmp/rootfs", "-type", "f", "-printf", "/%P\\n"]);
    let files: BTreeSet<PathBuf> = files.lines().map(PathBuf::from).collect();
    let is_library = |path: &&PathBuf| path.to_str().unwrap().contains(".so");
    let rest: Vec<&PathBuf> = files.iter().filter(|path| !is_library(path)).collect();
    assert_eq!(
        rest,
        [
            "/etc/group",
            "/etc/passwd",
            "/etc/ssl/certs/ca-certificates.crt",
            "/usr/bin/rds-tether"
        ]
        .map(Path::new)
    );

    let world = World::new();
    let text = target_group(&world.arn, &format!("{WRITER}:5432")).and(dns(world.dns.addr()));
    root.write("tmp/rootfs/etc/rds-tether/config.toml", &text.to_string());
    let program = [
        "chroot",
        &format!("--userspec={USER}"),
        "/tmp/rootfs",
        "/usr/bin/rds-tether",
    ];
    let mut command = root.command(&program);
    command
        .env("AWS_ENDPOINT_URL", world.elb.url())
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    let said = assert_exit(command.arg("plan"), 2);
    assert_says(&said, &[OLD]);
}

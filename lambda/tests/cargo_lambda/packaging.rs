//! The zip that Lambda gets, built with the commands of the README: what is in it, what it asks of the system it runs on, and
//! that it works.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64, Machine};
use object::read::elf::{FileHeader as _, VerneedIterator};
use object::{Endianness, StringTable};
use testkit::lambda::Function;
use testkit::program::succeed;

use super::program;
use testkit::function::{LONG, NEW, TICK, WRITER, World, texts};

/// The glibc of Amazon Linux 2023, which is what provided.al2023 runs.
const GLIBC: [u32; 2] = [2, 34];
const ZIP_BYTES_MAX: u64 = 5_000_000;
/// A quarter of the smallest function.
const MEMORY_BYTES_MAX: u64 = 32 << 20;
/// A cold build with its whole-program optimization on a busy machine.
const BUILD_MAX: Duration = Duration::from_secs(40 * 60);

const BUILD: &str = "cargo lambda build --release --output-format zip --package rds-tether-lambda";

/// Builds the zip with the README's command and further arguments, and returns its path.
#[track_caller]
fn build(world: &World, further: &[&str]) -> PathBuf {
    let folder = world.package.folder();
    let words: Vec<&str> = BUILD.split(' ').chain(further.iter().copied()).collect();
    let documented = program::documented(&words.join(" "));
    let mut command = program::command(documented, folder);
    // Not where the user's own is; and an --include is looked for where the command is run.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    command
        .current_dir(folder)
        .arg("--manifest-path")
        .arg(program::root().join("Cargo.toml"));
    // As a flag, cargo-lambda would pass it on to `cargo metadata`, which takes none.
    command
        .env("CARGO_TARGET_DIR", target)
        .arg("--lambda-dir")
        .arg(folder.join("lambda"));
    program::finish(&mut command, folder, BUILD_MAX).unwrap_or_else(|said| panic!("{said}"));
    folder.join("lambda/bootstrap/bootstrap.zip")
}

/// Lists a zip, or unpacks it into a folder as Lambda does.
const ZIP: &str = "\
import os, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
for entry in archive.infolist():
    print(entry.filename)
    for folder in sys.argv[2:]:
        os.chmod(archive.extract(entry, folder), entry.external_attr >> 16)
";

/// The names in a zip.
fn names(zip: &Path) -> Vec<String> {
    let listed = succeed(program::python().args(["-c", ZIP]).arg(zip));
    let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// Unpacks a zip, and returns the path of the executable.
fn unpack(zip: &Path, world: &World) -> PathBuf {
    succeed(program::python().args(["-c", ZIP]).arg(zip).arg(world.package.folder()));
    world.package.path("bootstrap")
}

/// Small enough, one executable in it, for this machine, and for Amazon Linux 2023.
#[track_caller]
fn assert_deployable(zip: &Path, bootstrap: &Path, machine: Machine) {
    let bytes = fs::metadata(zip).unwrap().len();
    assert!(bytes < ZIP_BYTES_MAX, "the zip has {bytes} bytes");
    let mode = fs::metadata(bootstrap).unwrap().permissions().mode();
    assert_eq!(mode & 0o555, 0o555, "everybody may execute it: {mode:o}");
    let file = fs::read(bootstrap).unwrap();
    assert_eq!(machine_of(&file), machine);
    let needed = needed(&file);
    let versions: Vec<[u32; 2]> = needed.iter().filter_map(|version| glibc(version)).collect();
    let newest = versions
        .iter()
        .max()
        .expect("it needs some version of glibc, or this test is blind");
    assert!(*newest <= GLIBC, "{needed:?}");
}

fn machine_of(file: &[u8]) -> Machine {
    let header = FileHeader64::<Endianness>::parse(file).unwrap();
    header.e_machine(header.endian().unwrap())
}

/// The versions of symbols that an executable needs (its .gnu.version_r).
fn needed(file: &[u8]) -> Vec<String> {
    let header = FileHeader64::<Endianness>::parse(file).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, file).unwrap();
    let Some((needs, strings)) = sections.gnu_verneed(endian, file).unwrap() else {
        return Vec::new();
    };
    versions(needs, sections.strings(endian, file, strings).unwrap(), endian)
}

fn versions(
    mut needs: VerneedIterator<'_, FileHeader64<Endianness>>,
    strings: StringTable<'_>,
    endian: Endianness,
) -> Vec<String> {
    let mut versions = Vec::new();
    while let Some((_, mut of_file)) = needs.next().unwrap() {
        while let Some(version) = of_file.next().unwrap() {
            let name = version.name(endian, strings).unwrap();
            versions.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    versions
}

/// The first two numbers of `GLIBC_2.2.5`; one that has none, such as `GLIBC_PRIVATE`, is newer than all.
fn glibc(version: &str) -> Option<[u32; 2]> {
    let numbers = version.strip_prefix("GLIBC_")?;
    let numbers: Vec<u32> = numbers.split('.').map_while(|number| number.parse().ok()).collect();
    Some(match numbers[..] {
        [major, minor, ..] => [major, minor],
        _ => [u32::MAX; 2],
    })
}

/// Starts the unpacked executable with these variables besides those for the servers.
fn start(bootstrap: &Path, world: &World, variables: &[(&str, &str)]) -> Function {
    let (url, server) = (world.elb.url(), world.dns.addr().to_string());
    let mut all = vec![
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("RDS_TETHER_NAMESERVER", server.as_str()),
    ];
    all.extend_from_slice(variables);
    world.start_program(bootstrap, &all)
}

/// What the process has taken at most.
fn peak_memory_bytes(function: &Function) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", function.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Fails if versions are not compared as numbers.
#[test]
fn versions_of_glibc_are_numbers() {
    for (version, read) in [
        ("GLIBC_2.2.5", Some([2, 2])),
        ("GLIBC_2.34", Some([2, 34])),
        ("GLIBC_PRIVATE", Some([u32::MAX; 2])),
        ("GCC_3.0", None),
    ] {
        assert_eq!(glibc(version), read, "{version}");
    }
    assert!(glibc("GLIBC_2.9") < glibc("GLIBC_2.34"));
}

/// Fails if the zip cannot be deployed, or what is in it does not work.
#[test]
#[ignore = "needs cargo-lambda: tests/run provides it"]
fn the_zip_is_small_runs_on_amazon_linux_and_works() {
    let world = World::failed_over();
    let zip = build(&world, &[]);
    assert_eq!(names(&zip), ["bootstrap"]);
    let bootstrap = unpack(&zip, &world);
    assert_deployable(&zip, &bootstrap, EM_X86_64);

    let endpoint = format!("{WRITER}:5432");
    let binding = [
        ("RDS_TETHER_ENDPOINT", endpoint.as_str()),
        ("RDS_TETHER_TARGET_GROUP", world.arn.as_str()),
        ("RDS_TETHER_FORGET", "1s"),
    ];
    let function = start(&bootstrap, &world, &binding);
    assert_eq!(world.ask(TICK, LONG)["settled"], true);
    assert_eq!(world.addresses(), [NEW]);
    let peak = peak_memory_bytes(&function);
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes of memory");
}

/// Fails if a settings file does not get into the zip, or not where the function looks for it.
#[test]
#[ignore = "needs cargo-lambda: tests/run provides it"]
fn a_settings_file_in_the_zip_is_read() {
    let world = World::failed_over();
    world.package.write("config.toml", &world.binding());
    let zip = build(&world, &["--include", "config.toml"]);
    assert_eq!(names(&zip), ["bootstrap", "config.toml"]);
    world.package.write("config.toml", "not what is unpacked");

    let bootstrap = unpack(&zip, &world);
    let _function = start(&bootstrap, &world, &[]);
    let report = world.ask(r#"{"command":"plan"}"#, LONG);
    assert_eq!(
        texts(&report["target_groups"][0]["register"], ""),
        [format!("{NEW}:5432")]
    );
}

/// Fails if the zip for the other architecture cannot be deployed; it is not run here.
#[test]
#[ignore = "needs cargo-lambda and Rust's aarch64-unknown-linux-gnu: tests/run provides the one and says so without the other"]
fn the_arm64_zip_is_small_and_runs_on_amazon_linux() {
    let world = World::settled();
    let zip = build(&world, &["--arm64"]);
    assert_eq!(names(&zip), ["bootstrap"]);
    assert_deployable(&zip, &unpack(&zip, &world), EM_AARCH64);
}

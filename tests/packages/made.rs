//! Packages made by deploy/package of the tests' own executable.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::unit::UNITS;
use super::world::*;

/// Two versions; the second is an upgrade of the first, which is told by its tilde.
pub const VERSIONS: [&str; 2] = ["9.0.0-rc.1", "9.0.0"];
/// The project's page, which the second names.
const URL: &str = "https://example.com/rds-tether";
/// Any glibc does for packages that are installed where they are made.
const GLIBC: &str = "9999";
/// The making of a package takes seconds; only a failing test waits this long.
const MAKE_MAX_SECONDS: &str = "180";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The script with arguments, and the target folder of these tests.
pub fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.arg(MAKE_MAX_SECONDS).arg(root().join("deploy/package"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    command.args(arguments).env("CARGO_TARGET_DIR", target);
    command
}

/// The tests' executable without what debuggers read, which is most of it.
pub fn executable() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = folder("executable").join("rds-tether");
        let mut strip = Command::new("strip");
        assert_exit(strip.arg("-o").arg(&path).arg(testkit::program::built("rds-tether")), 0);
        path
    })
}

/// An empty folder below the target folder.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages").join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Runs the script to its end.
fn make(kind: &str, version: &str, out: &Path) {
    let mut command = script(&["--fast", "--glibc", GLIBC, "--only", kind, "--version", version]);
    if version == VERSIONS[1] {
        command.args(["--url", URL]);
    }
    let output = command.arg("--binary").arg(executable()).arg("--out").arg(out).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

fn only_file(folder: &Path, ending: &str) -> PathBuf {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == ending));
    let (first, second) = (paths.next(), paths.next());
    assert!(second.is_none(), "{second:?} beside {first:?}");
    first.unwrap_or_else(|| panic!("no .{ending} in {}", folder.display()))
}

/// The debs of both versions.
pub fn debs() -> &'static [PathBuf; 2] {
    static PATHS: OnceLock<[PathBuf; 2]> = OnceLock::new();
    PATHS.get_or_init(|| packages("deb"))
}

/// The rpms of both versions.
pub fn rpms() -> &'static [PathBuf; 2] {
    static PATHS: OnceLock<[PathBuf; 2]> = OnceLock::new();
    PATHS.get_or_init(|| packages("rpm"))
}

fn packages(kind: &str) -> [PathBuf; 2] {
    VERSIONS.map(|version| {
        let out = folder(&format!("{kind}-{version}"));
        make(kind, version, &out);
        only_file(&out, kind)
    })
}

/// What `program` prints of a package.
fn told(program: &str, arguments: &[&str], package: &Path) -> String {
    let mut command = Command::new(program);
    // rpm makes a database in it, whatever it is asked.
    let home = Scratch::new();
    command.env("HOME", home.folder());
    let output = finish(command.args(arguments).arg(package));
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Each file of a package as `-rwxr-xr-x root root /usr/bin/rds-tether`, folders that others have too left out.
pub fn files_of_deb(package: &Path) -> BTreeSet<String> {
    let listed = told("dpkg-deb", &["--contents"], package);
    let lines = listed.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [mode, owner, .., path] = words[..] else {
            panic!("{line}")
        };
        format!(
            "{mode} {} {}",
            owner.replace('/', " "),
            path.trim_start_matches('.').trim_end_matches('/')
        )
    });
    lines
        .filter(|line| !line.starts_with('d') || line.contains("/rds-tether"))
        .collect()
}

fn files_of_rpm(package: &Path) -> BTreeSet<String> {
    let format = "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\\n]";
    let listed = told("rpm", &["--query", "--package", "--queryformat", format], package);
    listed.lines().map(str::to_owned).collect()
}

/// The verbs that have man pages.
fn verbs() -> Vec<String> {
    let help = said(&finish(bare_command("").arg("--help")));
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let lines = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let verbs = lines.filter_map(|line| line.split_whitespace().next());
    let verbs: Vec<String> = verbs.filter(|verb| *verb != "help").map(str::to_owned).collect();
    assert!(verbs.len() >= 8, "{help}");
    verbs
}

/// What both packages have.
fn wanted() -> BTreeSet<String> {
    let folder = |path: &str| format!("drwxr-xr-x root root {path}");
    let file = |path: &str| format!("-rw-r--r-- root root {path}");
    let mut wanted = BTreeSet::from(["-rwxr-xr-x root root /usr/bin/rds-tether".to_owned()]);
    let folders = [
        "/etc/rds-tether",
        "/usr/share/rds-tether",
        "/usr/share/doc/rds-tether",
        "/usr/share/doc/rds-tether/docs",
    ];
    wanted.extend(folders.map(folder));
    wanted.extend(UNITS.map(|unit| file(&format!("/usr/lib/systemd/system/{unit}"))));
    let pages = verbs().into_iter().map(|verb| format!("1/rds-tether-{verb}.1"));
    let pages = pages.chain(["1/rds-tether.1".into(), "5/rds-tether.5".into()]);
    wanted.extend(pages.map(|page| file(&format!("/usr/share/man/man{page}.gz"))));
    let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
    let pages: Vec<String> = pages
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(pages.len() > 10, "{pages:?}");
    wanted.extend(
        pages
            .iter()
            .map(|page| file(&format!("/usr/share/doc/rds-tether/docs/{page}"))),
    );
    wanted.extend(
        [
            "/usr/share/rds-tether/config.toml",
            "/usr/share/bash-completion/completions/rds-tether",
            "/usr/share/fish/vendor_completions.d/rds-tether.fish",
            "/usr/share/doc/rds-tether/README.md",
            "/usr/share/doc/rds-tether/CHANGELOG.md.gz",
        ]
        .map(file),
    );
    wanted
}

/// The files that a package has besides what both have; it lacks none.
#[track_caller]
fn besides(files: &BTreeSet<String>) -> Vec<&str> {
    let wanted = wanted();
    let missing: Vec<_> = wanted.difference(files).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    let rest = files.iter().filter(|file| !wanted.contains(*file));
    rest.map(String::as_str).collect()
}

/// Fails if the deb lacks a file, has one more, or gives one to another user or mode.
#[test]
#[ignore = "needs dpkg-deb and binutils: tests/run provides them"]
fn the_deb_has_every_file_and_no_other() {
    let files = files_of_deb(&debs()[0]);
    assert_eq!(
        besides(&files),
        [
            "-rw-r--r-- root root /usr/share/doc/rds-tether/changelog.gz",
            "-rw-r--r-- root root /usr/share/doc/rds-tether/copyright",
            "-rw-r--r-- root root /usr/share/zsh/vendor-completions/_rds-tether",
        ]
    );
    let fields = told("dpkg-deb", &["--field"], &debs()[0]);
    let glibc = fields.split("libc6 (>= ").nth(1).expect("a dependency on glibc");
    assert!(glibc.starts_with("2."), "{fields}");
    assert_says(
        &fields,
        &["Version: 9.0.0~rc.1\n", "Package: rds-tether\n", "ca-certificates, "],
    );
    assert!(
        !fields.contains('@') || fields.matches('@').count() == 1,
        "a blank was not filled in: {fields}"
    );
    assert!(!fields.contains("Homepage"), "{fields}");
    let fields = told("dpkg-deb", &["--field"], &debs()[1]);
    assert_says(&fields, &[&format!("Homepage: {URL}\n")]);
}

/// Fails if the rpm differs from the deb in more than where zsh and licences are.
#[test]
#[ignore = "needs rpmbuild and binutils: tests/run provides them"]
fn the_rpm_has_the_files_of_the_deb() {
    let package = &rpms()[0];
    let files = files_of_rpm(package);
    assert_eq!(
        besides(&files),
        [
            "-rw-r--r-- root root /usr/share/licenses/rds-tether/LICENSE-APACHE",
            "-rw-r--r-- root root /usr/share/licenses/rds-tether/LICENSE-MIT",
            "-rw-r--r-- root root /usr/share/zsh/site-functions/_rds-tether",
            "drwxr-xr-x root root /usr/share/licenses/rds-tether",
        ]
    );
    let needs = told("rpm", &["--query", "--package", "--requires"], package);
    assert_says(
        &needs,
        &["ca-certificates", "libc.so.6(GLIBC_2.", "libgcc_s.so.1", "util-linux"],
    );
    for (package, url) in rpms().iter().zip(["(none)", URL]) {
        assert_eq!(
            told("rpm", &["--query", "--package", "--queryformat", "%{URL}"], package),
            url
        );
    }
}

/// Fails if the same sources give another package tomorrow.
#[test]
#[ignore = "needs dpkg-deb and rpmbuild: tests/run provides them"]
fn the_same_sources_make_the_same_packages() {
    for (kind, first) in [("deb", debs()), ("rpm", rpms())] {
        let out = folder(&format!("{kind}-again"));
        make(kind, VERSIONS[1], &out);
        let again = only_file(&out, kind);
        assert_eq!(again.file_name(), first[1].file_name());
        assert!(
            std::fs::read(&again).unwrap() == std::fs::read(&first[1]).unwrap(),
            "{} differs",
            again.display()
        );
        let sums = std::fs::read_to_string(out.join("SHA256SUMS")).unwrap();
        assert_eq!(sums.lines().count(), 1, "{sums}");
        let mut check = Command::new("sha256sum");
        assert_exit(check.args(["--check", "--strict", "SHA256SUMS"]).current_dir(&out), 0);
    }
}

/// Fails if an executable that needs a newer glibc than its systems have is packaged.
#[test]
#[ignore = "needs binutils: tests/run provides them"]
fn an_executable_that_needs_a_newer_glibc_is_refused() {
    let out = folder("refused");
    let mut command = script(&["--only", "deb", "--glibc", "2.4", "--version", "9.0.0", "--out"]);
    let said = assert_exit(command.arg(&out).arg("--binary").arg(executable()), 1);
    assert_says(
        &said,
        &["needs glibc 2.", "which systems with 2.4 do not have", "--glibc 2."],
    );
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
}

/// Fails if a slip of the pen makes something else than what was meant.
#[test]
fn wrong_usage_is_told() {
    for (arguments, part) in [
        (&["--only", "apk"][..], "--only knows deb, rpm, zip and sbom, not apk"),
        (&["--onyl", "deb"], "there is no --onyl"),
        (&["--out"], "--out needs a value"),
        (
            &["--only", "zip", "--binary", "/bin/sh"],
            "--binary goes with --only deb, rpm or both",
        ),
    ] {
        let said = assert_exit(&mut script(arguments), 64);
        assert_says(&said, &[part, "Usage: deploy/package"]);
    }
}

/// Fails if the packages and the tests link with different versions of Zig.
#[test]
fn the_linker_is_that_of_the_tests() {
    let pins = |name: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let (ours, tests) = (pins("deploy/packages/requirements.txt"), pins("tests/requirements.txt"));
    let shared: Vec<&String> = ours.intersection(&tests).collect();
    assert!(matches!(shared[..], [zig] if zig.starts_with("ziglang==")), "{ours:?}");
}

/// Fails if Lambda cannot start what is in the zip, or if another day's zip of the same executable is another.
#[test]
#[ignore = "needs Python: tests/run provides it"]
fn the_zip_has_the_executable_alone() {
    const LIST: &str = "import sys, zipfile\n\
        for entry in zipfile.ZipFile(sys.argv[1]).infolist(): print(entry.filename, oct(entry.external_attr >> 16))";
    let folder = folder("zip");
    let made = ["one.zip", "two.zip"].map(|name| {
        let built = folder.join(format!("built-for-{name}"));
        std::fs::copy("/bin/sh", &built).unwrap();
        let zip = folder.join(name);
        let mut command = Command::new("python3");
        command.arg(root().join("deploy/packages/zip.py")).arg(&built).arg(&zip);
        assert_exit(&mut command, 0);
        assert_eq!(told("python3", &["-c", LIST], &zip), "bootstrap 0o100755\n");
        std::fs::read(zip).unwrap()
    });
    assert!(made[0] == made[1]);
}

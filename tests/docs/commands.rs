//! What single commands and files of the pages must be.

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rds_tether::settings::TAG_KEY;
use testkit::pages::{Page, root};

use super::world::*;

/// Where something stands.
pub struct Place<'a> {
    pub page: &'a Page,
    pub line: usize,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.page.path, self.line)
    }
}

/// Nothing listens on the discard port.
const NOBODY: &str = "127.0.0.1:9";

/// The binary with a page's variables, or else the README's, in a world without AWS, DNS and databases, and a folder that has what
/// the commands before have put there.
fn as_on_page(page: &Page, folder: &Scratch, arguments: &[&str]) -> Command {
    let mut command = bare_command(&format!("http://{NOBODY}"));
    command
        .env("RDS_TETHER_NAMESERVER", NOBODY)
        .current_dir(folder.path(""));
    let mut exports = page.exports();
    if exports.is_empty() {
        exports = Page::read("README.md").exports();
    }
    for (name, value) in exports {
        let value = match value.rsplit_once('@') {
            // A database's name would be looked up.
            Some((user, rest)) if name == "RDS_TETHER_DATABASE" => {
                let (_, database) = rest.rsplit_once('/').unwrap();
                format!("{user}@{NOBODY}/{database}")
            }
            _ => value,
        };
        command.env(name, value);
    }
    let authority = KeyPair::generate().unwrap();
    let mut certificate = CertificateParams::new(Vec::new()).unwrap();
    certificate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    folder.write("global-bundle.pem", &certificate.self_signed(&authority).unwrap().pem());
    command.args(arguments);
    command
}

/// What would listen does so on loopback, where the kernel finds a port.
fn on_any_port(text: &str) -> String {
    let is_listened_on = |word: &&str| word.starts_with("0.0.0.0:") || word.starts_with("127.0.0.1:");
    let words = text.split(['"', ' ', '\n']).filter(is_listened_on);
    words.fold(text.to_owned(), |text, word| text.replace(word, "127.0.0.1:0"))
}

#[track_caller]
fn assert_runs(command: &mut Command, what: &str) {
    let daemon = Daemon::start(command);
    daemon.wait_for_log(&["started"]);
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{what}: {log}");
}

/// The program takes the command, whatever comes of it in a world without anything.
pub fn is_taken(place: &Place<'_>, line: &str) {
    let folder = Scratch::new();
    let (line, _into) = line.split_once(" > ").unwrap_or((line, ""));
    let line = on_any_port(line);
    let words = line.split_whitespace().skip(1);
    let words: Vec<&str> = words.map(|word| word.trim_matches('\'')).collect();
    let mut command = as_on_page(place.page, &folder, &words);
    let what = format!("{place}: {line}");
    match words[0] {
        "run" | "proxy" => assert_runs(&mut command, &what),
        // What is watched ends when somebody says so.
        "status" if words.contains(&"--watch") => {
            let taken = finish(as_on_page(place.page, &folder, &words).arg("--help"));
            assert_eq!(taken.status.code(), Some(0), "{what}: {}", said(&taken));
        }
        verb => {
            // These look at nothing.
            let prints = ["completions", "man", "iam", "--version"].contains(&verb);
            if !prints {
                command.args(["--timeout", "2s"]);
            }
            // Nobody is there to be asked.
            if verb == "init" && !words.contains(&"--yes") {
                command.arg("--yes");
            }
            let output = finish(&mut command);
            let wanted = match verb {
                _ if prints => 0,
                "status" => 2,
                _ => 69,
            };
            assert_eq!(output.status.code(), Some(wanted), "{what}: {}", said(&output));
        }
    }
}

/// The program takes the settings.
pub fn are_settings(place: &Place<'_>, text: &str) {
    let folder = Scratch::new();
    let path = folder.write("config.toml", &on_any_port(text));
    let mut command = bare_command(&format!("http://{NOBODY}"));
    command.env("RDS_TETHER_NAMESERVER", NOBODY);
    if text.contains("[[proxy]]") {
        assert_runs(command.arg("run").arg("--config").arg(&path), &place.to_string());
        return;
    }
    let output = finish(command.args(["plan", "--timeout", "2s", "--config"]).arg(&path));
    // Denied, because the role cannot be assumed; that the file is at fault would be 78.
    assert!(
        matches!(output.status.code(), Some(69 | 77)),
        "{place}: {}",
        said(&output)
    );
}

/// The variable is one of the program's.
pub fn is_a_variable(place: &Place<'_>, line: &str) {
    let (name, _) = line["export ".len()..].split_once('=').expect("an assignment");
    assert!(variables().contains(&name.to_owned()), "{place}: nobody reads {name}");
}

/// Every variable that the program reads, and the function's own.
pub fn variables() -> Vec<String> {
    let pages = finish(bare_command("").arg("man"));
    let mut all = variables_in(&said(&pages).replace("\\-", "-"));
    all.push(TAG_KEY.to_owned());
    all
}

/// The variables that a text names, but for the beginning of them all and for those of tests.
pub fn variables_in(text: &str) -> Vec<String> {
    let names = text.split("RDS_TETHER_").skip(1).map(|rest| {
        let end = rest.find(|char: char| !char.is_ascii_uppercase() && char != '_');
        format!("RDS_TETHER_{}", &rest[..end.unwrap_or(rest.len())])
    });
    names
        .filter(|name| !name.ends_with('_') && !name.starts_with("RDS_TETHER_TEST_"))
        .collect()
}

/// Fails if a page names a variable that the program does not read.
#[test]
fn the_variables_that_pages_name_are_read() {
    let known = variables();
    assert!(known.len() > 30, "{known:?}");
    let mut count = 0;
    for page in testkit::pages::all() {
        for name in variables_in(&page.text) {
            assert!(known.contains(&name), "{}: nobody reads {name}", page.path);
            count += 1;
        }
    }
    assert!(count > 60, "{count}: this test looks at nothing");
}

/// Fails if what somebody new runs first is no longer where they look.
#[test]
fn the_first_pages_say_what_to_run() {
    for (path, line) in [
        ("README.md", "cargo install --locked --path ."),
        ("README.md", "rds-tether plan"),
        ("README.md", "rds-tether run"),
        ("README.md", "cargo run --example failover"),
        ("CONTRIBUTING.md", "tests/run"),
    ] {
        let commands = Page::read(path).commands();
        assert!(commands.iter().any(|command| command.text == line), "{path}: {line}");
    }
}

/// The file is there.
pub fn is_a_program(place: &Place<'_>, line: &str) {
    let program = line.split(' ').next().unwrap();
    assert!(root().join(program).is_file(), "{place}: there is no {program}");
}

/// It takes the options, and knows the kinds.
pub fn packages(place: &Place<'_>, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let mut command = Command::new(root().join(words[0]));
    let output = finish(command.args(&words[1..]).arg("--help"));
    assert!(output.status.success(), "{place}: {}", said(&output));
    let help = said(&output);
    let (_, kinds) = help.split_once("only these: ").unwrap();
    let kinds: Vec<&str> = kinds.lines().next().unwrap().split(", ").collect();
    let asked = words.iter().skip_while(|word| **word != "--only").nth(1).unwrap();
    assert!(asked.split(',').all(|kind| kinds.contains(&kind)), "{place}: {kinds:?}");
}

/// The example, test, bench or package is there.
pub fn cargo_has_it(place: &Place<'_>, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let verbs = ["build", "run", "test", "bench", "install", "doc"];
    assert!(verbs.contains(&words[1]), "{place}: {line}");
    for pair in words.windows(2) {
        let paths = match pair[0] {
            "--example" => vec![format!("examples/{}/main.rs", pair[1])],
            "--bench" => vec![format!("benches/{}/main.rs", pair[1])],
            "--test" => vec![format!("tests/{}.rs", pair[1]), format!("tests/{}/main.rs", pair[1])],
            "--lib" => vec![format!("src/{}.rs", pair[1]), format!("src/{}/mod.rs", pair[1])],
            "--path" => vec![format!("{}/Cargo.toml", pair[1])],
            _ => continue,
        };
        assert!(
            paths.iter().any(|path| root().join(path).is_file()),
            "{place}: no {paths:?}"
        );
    }
}

/// The suite of cargo-lambda runs it: whole, or with the further arguments of one of its builds.
pub fn is_tried_with_cargo_lambda(place: &Place<'_>, line: &str) {
    let folder = root().join("lambda/tests/cargo_lambda");
    let sources = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let sources = sources.collect::<String>().replace("\\\"", "\"");
    let (_, build) = sources.split_once("const BUILD: &str = \"").unwrap();
    let build = build.split('"').next().unwrap();
    let is_tried = match line.strip_prefix(build) {
        Some(further) => further
            .split_whitespace()
            .all(|word| sources.contains(&format!("\"{word}\""))),
        None => sources.contains(&format!("\"{line}\"")),
    };
    assert!(is_tried, "{place}: lambda/tests/cargo_lambda does not run {line}");
}

/// The folder that the next command enters.
pub fn makes_an_environment(place: &Place<'_>, line: &str) {
    let folder = line.rsplit(' ').next().unwrap();
    assert!(
        place.page.text.contains(&format!("\n. {folder}/bin/activate\n")),
        "{place}"
    );
}

/// A folder that was made before.
pub fn enters_the_environment(place: &Place<'_>, line: &str) {
    let folder = line[2..]
        .strip_suffix("/bin/activate")
        .expect("an environment of Python");
    let before = format!("\npython3 -m venv {folder}\n{line}\n");
    assert!(place.page.text.contains(&before), "{place}");
}

/// The tests have it from the same place.
pub fn is_pinned_for_the_tests(place: &Place<'_>, line: &str) {
    let name = line.rsplit(' ').next().unwrap();
    let pinned = include_str!("../requirements.txt");
    assert!(pinned.contains(&format!("\n{name}==")), "{place}: {name}");
}

/// deploy/package and tests/run name it, too.
pub fn is_a_target_that_is_built_for(place: &Place<'_>, line: &str) {
    let target = line.rsplit(' ').next().unwrap();
    for file in ["tests/run", "lambda/tests/cargo_lambda/packaging.rs"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(target) || text.contains("--arm64"), "{place}: {file}");
    }
    assert!(
        include_str!("../run").contains(line),
        "{place}: tests/run says otherwise"
    );
}

/// It is called as deploy/package calls it.
pub fn is_what_is_packaged(place: &Place<'_>, line: &str) {
    let path = Path::new(line.rsplit(' ').next().unwrap());
    let name = format!("rds-tether-{}-1.x86_64.rpm", env!("CARGO_PKG_VERSION"));
    assert_eq!(path, Path::new("target/packages").join(name), "{place}");
}

/// The program gives the same address.
pub fn is_where_the_program_says(place: &Place<'_>, line: &str) {
    let folder = Scratch::new();
    let mut command = as_on_page(place.page, &folder, &["plan", "--probe", "tls"]);
    command.env_remove("RDS_TETHER_DATABASE");
    let told = assert_exit(&mut command, 64);
    let address = line.rsplit(' ').next().unwrap();
    assert!(
        address.starts_with("https://") && told.contains(address),
        "{place}: {told}"
    );
}

/// A drawing fits a narrow window, and its right border is straight.
pub fn is_a_picture(place: &Place<'_>, text: &str) {
    let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
    let most = widths.iter().copied().max().unwrap_or_default();
    assert!((20..=100).contains(&most), "{place}: {most} columns");
    assert!(
        text.contains('┌'),
        "{place}: it is no drawing, so give it a check of its own"
    );
    let framed = text.lines().filter(|line| line.ends_with(['┐', '│', '┘']));
    assert!(framed.clone().count() > 5, "{place}");
    assert!(
        framed.map(|line| line.chars().count()).all(|width| width == most),
        "{place}: {widths:?}"
    );
}

//! The program that takes consumers through failovers is called as its page calls it.

use std::process::Command;

use testkit::pages::{Page, root};
use testkit::program::{finish, provided, said};

const PAGE: &str = "docs/consumers.md";
const PROGRAM: &str = "benches/consumers/run";

/// What its Python makes of arguments, without playing anything.
fn reads(arguments: &[&str]) -> std::process::Output {
    let script = "import sys; sys.path.insert(0, 'benches/consumers'); import arguments; arguments.read()";
    let mut command = Command::new(provided("RDS_TETHER_TEST_PYTHON"));
    command
        .current_dir(root())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-c", script])
        .args(arguments);
    finish(&mut command)
}

#[test]
#[ignore = "needs Python: tests/run provides it"]
fn the_page_calls_the_program_as_it_is() {
    let commands = Page::read(PAGE).commands();
    let commands = commands.iter().filter(|command| command.text.starts_with(PROGRAM));
    let mut checked = 0;
    for command in commands {
        // A build that is there.
        let text = command.text.replace("target/release/rds-tether", "/bin/true");
        let words: Vec<&str> = text.split_whitespace().skip(1).collect();
        let output = reads(&words);
        assert!(output.status.success(), "{PAGE}:{}: {}", command.line, said(&output));
        checked += 1;
    }
    assert!(checked > 0, "{PAGE} does not say how its figures are measured");
}

#[test]
#[ignore = "needs Python: tests/run provides it"]
fn what_it_cannot_play_it_says_at_once() {
    for (arguments, named) in [
        (&[][..], "--binary"),
        (&["--binary", "ours=/nowhere/rds-tether"], "/nowhere/rds-tether"),
        (&["--binary", "/bin/true"], "NAME=PROGRAM"),
        (&["--binary", "ours=/bin/true", "--situations", "a,z"], "'z'"),
        (&["--binary", "ours=/bin/true", "--consumers", "kafka"], "'kafka'"),
        (&["--binary", "ours=/bin/true", "--rounds", "0"], "--rounds"),
    ] {
        let output = reads(arguments);
        let told = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(named), "{arguments:?}: {told}");
    }
}

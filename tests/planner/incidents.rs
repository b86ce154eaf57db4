//! Every file in `tests/incidents` holds what the planner plans; `UPDATE_GOLDEN=1 cargo test --test inside planner::incidents`
//! writes it anew, to be read critically before it is kept.

use std::fs;
use std::path::{Path, PathBuf};

use super::replay::replay;

/// How many incidents there are at least, so that a wrong path cannot pass for success.
const INCIDENTS_MIN: usize = 70;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/incidents");
    let entries = fs::read_dir(&folder).expect("the folder of the incidents");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(
        files.len() >= INCIDENTS_MIN,
        "only {} incidents in {}",
        files.len(),
        folder.display()
    );
    files
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is no setting of the program"
)]
fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

#[test]
fn incidents_are_planned_as_their_files_say() {
    let mut complaints = Vec::new();
    for file in files() {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let expected = fs::read_to_string(&file).expect("an incident");
        let planned =
            std::panic::catch_unwind(|| replay(&expected)).unwrap_or_else(|_| panic!("while replaying {name}"));
        if planned == expected {
            continue;
        }
        if is_update() {
            fs::write(&file, &planned).expect("a file that can be written");
        } else {
            complaints.push(format!("{name}:\n{}", first_difference(&expected, &planned)));
        }
    }
    assert!(
        complaints.is_empty(),
        "{}\nIf what is planned now is right, run UPDATE_GOLDEN=1 cargo test --test inside planner::incidents, and read what differs.",
        complaints.join("\n")
    );
}

fn first_difference(expected: &str, planned: &str) -> String {
    let (expected, planned): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), planned.lines().collect());
    let same = expected
        .iter()
        .zip(&planned)
        .take_while(|(left, right)| left == right)
        .count();
    let from = same.saturating_sub(3);
    let part = |lines: &[&str]| {
        lines
            .iter()
            .skip(from)
            .take(9)
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    };
    format!(
        "  line {}, the file has\n{}  but planned is\n{}",
        same + 1,
        part(&expected),
        part(&planned)
    )
}

#[test]
fn every_incident_has_a_title_and_an_expectation() {
    for file in files() {
        let text = fs::read_to_string(&file).expect("an incident");
        assert!(text.starts_with("# "), "{} has no title", file.display());
        assert!(text.contains("\n> "), "{} expects nothing", file.display());
    }
}

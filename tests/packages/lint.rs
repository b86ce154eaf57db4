//! What the distributions' own checks say of the packages.

use testkit::program::{FOREIGN_MAX, assert_ended, finish_within, foreign};

use super::made::{debs, rpms};
use super::world::*;

/// Fails if lintian finds an error or gives a warning.
#[test]
#[ignore = "needs lintian: tests/run provides it"]
fn lintian_is_content_with_the_deb() {
    let (mut lintian, scratch) = (foreign("lintian"), Scratch::new());
    // It leaves a file there.
    lintian.env("TMPDIR", scratch.folder());
    lintian.args(["--no-cfg", "--fail-on", "error,warning", "--tag-display-limit", "0"]);
    let output = finish_within(FOREIGN_MAX, lintian.arg("--display-info").arg(&debs()[1]));
    assert_ended(&output, 0);
    // What it merely remarks is printed, too, so that silence would mean that it has looked at nothing.
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        !told.is_empty() && told.lines().all(|line| line.starts_with("I: ")),
        "{told}"
    );
}

/// Fails if rpmlint says something for which no reason is given, or no longer says what one is given for.
#[test]
#[ignore = "needs rpmlint: tests/run provides it"]
fn rpmlint_is_content_with_the_rpm() {
    let scratch = Scratch::new();
    let lint = |reasons: &[&str]| {
        let mut rpmlint = foreign("rpmlint");
        rpmlint.env("HOME", scratch.folder()).arg("--strict").args(reasons);
        finish_within(FOREIGN_MAX, rpmlint.arg(&rpms()[1]))
    };
    let reasons = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/packages/rpmlintrc");
    let output = lint(&["--rpmlintrc", reasons]);
    assert_ended(&output, 0);
    assert_says(&said(&output), &["1 packages", "; 0 errors, 0 warnings"]);
    assert_says(&said(&lint(&[])), &["no-signature"]);
}

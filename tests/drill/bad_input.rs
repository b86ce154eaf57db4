//! What cannot be drilled is said before anybody triggers anything.

use testkit::elb::Failure;
use testkit::world::{assert_exit, assert_says};

use super::*;

#[test]
fn bad_flags_are_told() {
    let stage = Stage::new();
    for (flags, words) in [
        (["--through", "127.0.0.1"], "--through"),
        (["--through", "127.0.0.1:0"], "has no port"),
        (["--through", "orders"], "has no port"),
        (["--triggered", "20:15"], "no time with a zone"),
        (["--steady", "0s"], "out of range"),
        (["--steady", "often"], "no duration"),
        (["--events", "/nowhere/events.json"], "there is no /nowhere/events.json"),
        (["--forget", "5s"], "says nothing to drill"),
    ] {
        let mut command = stage.bare();
        command.args(["--endpoint", &stage.endpoint(), "--target-group", &stage.arn]);
        let said = assert_exit(command.args(flags), 64);
        assert_says(&said, &[words]);
    }
}

#[test]
fn a_picture_that_cannot_be_written_is_told_at_once() {
    let stage = Stage::new();
    let nowhere = stage.scratch.path("missing/drill.svg");
    let said = assert_exit(stage.command().arg("--svg").arg(nowhere), 1);
    assert_says(&said, &["cannot write", "--svg"]);
    assert!(stage.elb.calls().is_empty());
}

#[test]
fn a_name_without_an_address_is_not_watched() {
    let stage = Stage::new();
    for server in &stage.dns {
        server.set(WRITER, Behaviour::NxDomain);
    }
    assert_says(
        &assert_exit(&mut stage.command(), 69),
        &["cannot be resolved", "NXDOMAIN"],
    );
}

#[test]
fn a_group_that_is_not_there_is_told() {
    let stage = Stage::new();
    stage.elb.fail(
        "DescribeTargetGroups",
        Failure::code(400, "TargetGroupNotFound", "gone"),
        None,
    );
    assert_says(&assert_exit(&mut stage.command(), 78), &["TargetGroupNotFound"]);
}

/// What was given through a name that nobody knows is not watched, and the drill goes on without.
#[test]
fn a_way_that_does_not_resolve_is_told() {
    let stage = Stage::new();
    for server in &stage.dns {
        server.set("nlb.example.com", Behaviour::NxDomain);
    }
    let mut command = stage.command();
    let drill = stage.start(command.args(["--through", "nlb.example.com:5432"]));
    drill.daemon.signal("TERM");
    let said = drill.ends(4);
    assert_says(
        &said,
        &["through nlb.example.com:5432: its name cannot be resolved", "NXDOMAIN"],
    );
}

#[test]
fn events_that_are_none_are_told() {
    let stage = Stage::new();
    let path = stage.scratch.write("events", "hello");
    let mut command = stage.command();
    let drill = stage.start(command.arg("--events").arg(path));
    drill.waits_for(&["RDS events: they cannot be read"], 1);
    drill.daemon.signal("TERM");
    assert_says(&drill.ends(4), &["RDS events: they cannot be read (this is no JSON"]);
}

//! What is drilled, where settings have several things to follow.

use testkit::settings;
use testkit::world::{READER, assert_exit, assert_says, bare_command};

use super::*;

fn file(stage: &Stage, text: &str) -> PathBuf {
    let servers: Vec<String> = stage
        .dns
        .iter()
        .map(|server| format!("\"{}\"", server.addr()))
        .collect();
    let text = format!("{text}[dns]\nnameservers = [{}]\n", servers.join(", "));
    stage.scratch.write("config.toml", &text)
}

fn by(stage: &Stage, path: &PathBuf, more: &[&str]) -> Command {
    let mut command = bare_command(&stage.elb.url());
    command
        .args(["drill", "--output", "json", "--timeout", "2s", "--config"])
        .arg(path)
        .args(more);
    command
}

/// Fails if one of several is drilled that nobody has named.
#[test]
fn of_several_the_user_names_one() {
    let stage = Stage::new();
    let other = stage.elb.add_group(Group::named("billing").port(stage.port));
    let billing = format!("billing.cluster-abc123.eu-west-1.rds.amazonaws.com:{}", stage.port);
    let groups = settings::target_group(&stage.arn, &stage.endpoint()).and(settings::target_group(&other, &billing));
    let path = file(&stage, &groups.to_string());
    let said = assert_exit(&mut by(&stage, &path, &[]), 64);
    assert_says(
        &said,
        &[
            "several are meant",
            "in orders",
            "in billing",
            "--target-group NAME|ARN",
        ],
    );
    assert_says(
        &assert_exit(&mut by(&stage, &path, &["--target-group", "web"]), 64),
        &["nothing like that"],
    );
    let endpoint = stage.endpoint();
    for more in [
        ["--target-group", "orders"],
        ["--target-group", &stage.arn],
        ["--endpoint", &endpoint],
    ] {
        let report = stage.begin(&mut by(&stage, &path, &more)).ends_with(4);
        assert_eq!(report["target_group"]["name"], "orders", "{more:?}");
        assert_eq!(report["endpoint"], *endpoint, "{more:?}");
    }
}

/// Fails if somebody with a proxy alone cannot drill its endpoint.
#[test]
fn the_endpoint_of_a_proxy_is_drilled_without_a_group() {
    let stage = Stage::new();
    let path = file(&stage, &settings::proxy("127.0.0.1:0", &stage.endpoint()).to_string());
    let report = stage.begin(&mut by(&stage, &path, &[])).ends_with(4);
    assert_eq!(report["target_group"], Value::Null);
    assert_eq!(mark(&report, "healthy")["state"], "not_watched");
    assert!(stage.elb.calls().is_empty());
}

#[test]
fn a_reader_endpoint_shows_no_failover() {
    let stage = Stage::new();
    let mut command = stage.bare();
    command.args(["--endpoint", &format!("{READER}:5432"), "--target-group", &stage.arn]);
    assert_says(
        &assert_exit(&mut command, 64),
        &["several members in turn", "the cluster's writer"],
    );
}

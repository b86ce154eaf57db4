//! Where the settings come from, and what becomes of bad ones.

use testkit::lambda::Outcome;

use testkit::function::*;
use testkit::settings::target_group;

fn file(arn: &str) -> String {
    let group = target_group(arn, &format!("{WRITER}:5432"));
    group.set("forget", "10m").to_string()
}

/// Fails if one of the three places is not read.
#[test]
fn settings_come_from_the_text_the_variables_or_the_package() {
    let world = World::failed_over();
    let text = file(&world.arn);
    for (variables, from_package) in [
        (vec![("RDS_TETHER_CONFIG", text.clone())], false),
        (vec![("RDS_TETHER_CONFIG", String::new())], true),
        (vec![], true),
        (
            vec![
                ("RDS_TETHER_TARGET_GROUP", world.arn.clone()),
                ("RDS_TETHER_ENDPOINT", format!("{WRITER}:5432")),
            ],
            false,
        ),
    ] {
        world
            .package
            .write("config.toml", if from_package { text.as_str() } else { "not read" });
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let _function = world.start(&variables);
        let report = world.ask(r#"{"command":"status"}"#, LONG);
        assert_eq!(report["target_groups"][0]["arn"], world.arn, "{variables:?}");
        assert_eq!(
            texts(&report["target_groups"][0]["register"], ""),
            [format!("{NEW}:5432")]
        );
    }
}

/// Fails if a variable does not override the text.
#[test]
fn a_variable_beats_the_text() {
    let world = World::failed_over();
    let _function = world.start(&[("RDS_TETHER_CONFIG", &file(&world.arn)), ("RDS_TETHER_FORGET", "1s")]);
    assert_eq!(world.ask(TICK, LONG)["settled"], true);
}

/// Fails if a function with bad settings starts, or does not say what to write instead.
#[test]
fn bad_settings_fail_the_start_and_say_why() {
    const SHORT: &str = "hunter2-hunter2";
    let world = World::settled();
    let text = file(&world.arn);
    let unknown = format!("{text}forgot = \"1m\"\n");
    let without_port = text.replace(":5432", "");
    let twice = format!("{text}{text}");
    let missing = format!("{}/config.toml", world.package.folder().display());
    let endpoint = format!("{WRITER}:5432");
    for (variables, parts, exit) in [
        (vec![], vec![missing.as_str(), "No such file"], 78),
        (
            vec![("RDS_TETHER_CONFIG", unknown.as_str())],
            vec!["RDS_TETHER_CONFIG:5: ", "forgot"],
            78,
        ),
        (
            vec![("RDS_TETHER_CONFIG", without_port.as_str())],
            vec!["RDS_TETHER_CONFIG:3: ", "port"],
            78,
        ),
        (
            vec![("RDS_TETHER_CONFIG", twice.as_str())],
            vec!["RDS_TETHER_CONFIG:6: ", "bound twice"],
            78,
        ),
        (
            vec![("RDS_TETHER_CONFIG", "# nothing")],
            vec!["there is nothing to follow"],
            78,
        ),
        (
            vec![("RDS_TETHER_ENDPOINT", endpoint.as_str())],
            vec!["--endpoint needs --target-group"],
            64,
        ),
        (
            vec![
                ("RDS_TETHER_ENDPOINT", endpoint.as_str()),
                ("RDS_TETHER_TARGET_GROUP", "orders"),
            ],
            vec!["\"orders\" is given by its name", "give its ARN"],
            64,
        ),
        (
            vec![("RDS_TETHER_ENDPOINT", WRITER), ("RDS_TETHER_TARGET_GROUP", &world.arn)],
            vec!["RDS_TETHER_ENDPOINT", "port"],
            64,
        ),
        (
            vec![("RDS_TETHER_CONFIG", text.as_str()), ("RDS_TETHER_FORGET", "soon")],
            vec!["RDS_TETHER_FORGET", "soon"],
            64,
        ),
        (
            vec![("RDS_TETHER_CONFIG", text.as_str()), ("RDS_TETHER_OBSERV", "true")],
            vec!["RDS_TETHER_OBSERV is not known; did you mean RDS_TETHER_OBSERVE?"],
            64,
        ),
        (
            vec![("RDS_TETHER_CONFIG", text.as_str()), ("RDS_TETHER_TAG_KEY", SHORT)],
            vec!["RDS_TETHER_TAG_KEY", "fewer than 16 characters", "openssl rand"],
            64,
        ),
        (
            vec![("RDS_TETHER_CONFIG", text.as_str()), ("RDS_TETHER_TAG_KEYS", SHORT)],
            vec!["RDS_TETHER_TAG_KEYS is not known; did you mean RDS_TETHER_TAG_KEY?"],
            64,
        ),
    ] {
        let mut function = world.start(&variables);
        let invocation = world.runtime.invoke(TICK, LONG);
        let Outcome::InitError(error) = invocation.wait(PATIENCE) else {
            panic!("{variables:?}: started")
        };
        assert_eq!(error.error_type, "BadSettings");
        for part in parts {
            assert!(error.message.contains(part), "{variables:?}: {}", error.message);
        }
        assert!(!error.message.contains(SHORT), "a secret is shown: {}", error.message);
        let status = function.wait_for_exit(PATIENCE).unwrap();
        assert_eq!(status.code(), Some(exit), "{variables:?}");
        let line = function.stderr().pop().unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(line["message"].as_str().unwrap().contains(&error.message), "{line}");
    }
}

/// Fails if a bad value is told of by a flag that nobody typed, without the variable that it came from.
#[test]
fn a_bad_variable_is_named() {
    let world = World::settled();
    let _function = world.bound(WRITER, "soon");
    let error = world.runtime.wait_for_init_error(PATIENCE).unwrap();
    assert!(error.message.contains("RDS_TETHER_FORGET"), "{}", error.message);
}

/// Fails if one of two contradicting ways to bind wins in silence.
#[test]
fn the_text_does_not_go_with_the_simple_variables() {
    let world = World::settled();
    let _function = world.bound_with(WRITER, "1m", &[("RDS_TETHER_CONFIG", &file(&world.arn))]);
    let error = world.runtime.wait_for_init_error(PATIENCE);
    assert!(error.is_some_and(|error| error.message.contains("RDS_TETHER_ENDPOINT")));
}

//! Bad input of every kind: a clear message, the right exit code, and neither an API call nor a DNS query.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Output, Stdio};

use super::world::{Scratch, WRITER, World, assert_says, bare_command, finish, said};

const USAGE: i32 = 64;
const SETTINGS: i32 = 78;

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067";
const BALANCER: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/orders/73e2d6bc24d8a067";
const LISTENER: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/net/orders/73e2d6bc24d8a067/0467ef3c8400ae65";

/// A command line in which `ENDPOINT` and `GROUP` stand for the two flags that bind, and `WRITER` and `ARN` for their values.
fn typed(world: &World, line: &str) -> Command {
    let mut command = bare_command(&world.elb.url());
    for word in line.split_whitespace() {
        let word = word.replace("WRITER", WRITER).replace("ARN", ARN);
        match word.as_str() {
            "ENDPOINT" => command.args(["--endpoint", &format!("{WRITER}:5432")]),
            "GROUP" => command.args(["--target-group", ARN]),
            "BALANCER" => command.arg(BALANCER),
            "LISTENER" => command.arg(LISTENER),
            "EMPTY" => command.arg(""),
            _ => command.arg(word),
        };
    }
    // A command line that is wrongly taken for good would look there, and so be found out.
    command.env("RDS_TETHER_NAMESERVER", world.dns.addr().to_string());
    command
}

#[track_caller]
fn refused(world: &World, what: &str, output: &Output, exit: i32, parts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{what}: {}", said(output));
    assert!(
        output.stdout.is_empty(),
        "{what}: results are for standard output, not errors: {}",
        said(output)
    );
    for part in parts {
        assert!(error.contains(part), "{what}: {part:?} is missing from: {error}");
    }
    assert!(!error.contains("panicked"), "{what}: {error}");
    for word in JARGON {
        assert!(!error.contains(word), "{what}: {word:?} is in: {error}");
    }
    assert!(error.len() < 2000, "{what}: nobody reads {} bytes", error.len());
    assert_eq!(world.story(), "", "{what}: an API was called");
    assert!(world.dns.queries().is_empty(), "{what}: DNS was asked");
}

/// Words of libraries, which nobody knows who writes settings.
const JARGON: [&str; 6] = [
    "invalid type",
    "invalid length",
    "a sequence",
    "struct ",
    "usize",
    "non-zero type",
];

#[track_caller]
fn refused_lines(cases: &[(&str, &[&str])]) {
    let world = World::new();
    for (line, parts) in cases {
        let output = finish(&mut typed(&world, line));
        refused(&world, line, &output, USAGE, parts);
    }
}

#[test]
fn nothing_to_do_and_what_nobody_knows() {
    refused_lines(&[
        ("", &["Usage: rds-tether", "plan", "sync", "run", "Exit codes"]),
        ("bogus", &["bogus", "--help"]),
        ("sync --bogus ENDPOINT GROUP", &["--bogus", "--help"]),
        (
            "sync WRITER:5432",
            &["WRITER:5432".replace("WRITER", WRITER).as_str(), "--help"],
        ),
        ("run ENDPOINT GROUP --timeout 5s", &["--timeout"]),
        ("sync ENDPOINT GROUP --upsert-only=maybe", &["--upsert-only"]),
        (
            "proxy --listen 127.0.0.1:0 --endpoint WRITER:5432 --max-sessions 0",
            &["--max-sessions: \"0\" is not a number that it takes", "from 1"],
        ),
        ("sync --endpoint", &["--endpoint <HOST:PORT>", "value is required"]),
        ("sync --config", &["--config <FILE>", "value is required"]),
        ("sync --config EMPTY", &["--config <FILE>", "value is required"]),
        (
            "sync ENDPOINT GROUP --forget 1s --forget 2s",
            &["--forget", "multiple times"],
        ),
    ]);
}

#[test]
fn half_a_binding_and_two_of_them() {
    refused_lines(&[
        ("plan ENDPOINT", &["--endpoint needs --target-group NAME|ARN"]),
        ("run GROUP", &["--target-group needs --endpoint HOST:PORT"]),
        ("sync ENDPOINT GROUP GROUP", &["--target-group", "twice"]),
        (
            "sync ENDPOINT GROUP --config x.toml",
            &["--config", "--endpoint", "one or the other"],
        ),
        (
            "run ENDPOINT --config x.toml",
            &["--config", "--endpoint", "one or the other"],
        ),
        (
            "plan GROUP --config x.toml",
            &["--config", "--target-group", "one or the other"],
        ),
    ]);
}

#[test]
fn half_of_a_place_to_look_for_tags() {
    const ALLOW: &str = "--allow-endpoint *.example.com";
    let lines = |cases: &[(&str, &[&str])]| {
        for (line, parts) in cases {
            refused_lines(&[(&line.replace("ALLOW", ALLOW), parts)]);
        }
    };
    lines(&[
        (
            "run --discover eu-west-1",
            &["--discover needs --allow-endpoint PATTERN"],
        ),
        ("plan ALLOW", &["--allow-endpoint needs --discover [REGION]"]),
        ("check --discover ALLOW", &["--discover has no region", "AWS_REGION"]),
        (
            "sync --discover",
            &["--allow-endpoint PATTERN", "--discover has no region"],
        ),
        (
            "plan --discover moon ALLOW",
            &["--discover: \"moon\" has not the form of a region", "eu-west-1"],
        ),
        (
            "iam --discover eu-west-1 --discover eu-west-1 ALLOW",
            &["--discover names the same region twice"],
        ),
        (
            "run --discover eu-west-1 --allow-endpoint *",
            &["--allow-endpoint", "*.abc123."],
        ),
        (
            "status --discover eu-west-1 ALLOW --config x.toml",
            &["--config does not go with", "--discover", "one or the other"],
        ),
        (
            "run --discover eu-west-1 ALLOW ENDPOINT",
            &["--endpoint needs --target-group"],
        ),
    ]);
}

#[test]
fn endpoints_that_cannot_be_followed() {
    refused_lines(&[
        (
            "plan GROUP --endpoint orders.example",
            &["--endpoint", "no port", "orders.example:5432"],
        ),
        (
            "sync GROUP --endpoint orders.example:",
            &["--endpoint", "port from 1 to 65535", "HOST:PORT"],
        ),
        (
            "run GROUP --endpoint orders.example:0",
            &["--endpoint", "port from 1 to 65535"],
        ),
        (
            "plan GROUP --endpoint orders.example:65536",
            &["--endpoint", "port from 1 to 65535"],
        ),
        (
            "sync GROUP --endpoint orders.example:postgres",
            &["--endpoint", "port from 1 to 65535"],
        ),
        (
            "run GROUP --endpoint orders.example:5432/orders",
            &["--endpoint", "port from 1 to 65535"],
        ),
        (
            "plan GROUP --endpoint 10.0.1.5:5432",
            &["--endpoint", "is an address", "DNS name"],
        ),
        (
            "sync GROUP --endpoint 10.0.1.5",
            &["--endpoint", "is an address", "DNS name"],
        ),
        (
            "run GROUP --endpoint [fd00::5]:5432",
            &["--endpoint", "is an address", "DNS name"],
        ),
        (
            "plan GROUP --endpoint fd00::5",
            &["--endpoint", "is an address", "DNS name"],
        ),
        (
            "sync GROUP --endpoint postgres://orders.example:5432",
            &["--endpoint", "this is a URL; write orders.example:5432"],
        ),
        (
            "run GROUP --endpoint orders..example:5432",
            &["--endpoint", "empty label"],
        ),
        ("plan GROUP --endpoint :5432", &["--endpoint", "empty"]),
        (
            "sync GROUP --endpoint WRITER:5432,orders.example",
            &["--endpoint", "orders.example", "no port"],
        ),
    ]);
}

#[test]
fn arns_that_name_no_target_group() {
    refused_lines(&[
        (
            "plan ENDPOINT --target-group or_ders",
            &[
                "--target-group",
                "\"or_ders\" is neither the name nor the ARN",
                "targetgroup/NAME/",
            ],
        ),
        (
            "sync ENDPOINT --target-group orders-",
            &["--target-group", "begins or ends with a hyphen"],
        ),
        (
            "run ENDPOINT --target-group a-name-that-has-more-than-thirty-two",
            &["--target-group", "longer than 32"],
        ),
        (
            "sync ENDPOINT --target-group BALANCER",
            &["--target-group", "load balancer", "targetgroup/NAME/"],
        ),
        (
            "run ENDPOINT --target-group LISTENER",
            &["--target-group", "listener", "targetgroup/NAME/"],
        ),
        (
            "plan ENDPOINT --target-group arn:aws:rds:eu-west-1:111122223333:db:orders",
            &["--target-group", "another service", "targetgroup/NAME/"],
        ),
        (
            "sync ENDPOINT --target-group arn:aws:elasticloadbalancing::111122223333:targetgroup/orders/1",
            &["--target-group", "region"],
        ),
    ]);
}

#[test]
fn values_out_of_shape_and_out_of_range() {
    refused_lines(&[
        ("plan ENDPOINT GROUP --forget 30", &["--forget", "with a unit", "30s"]),
        ("sync ENDPOINT GROUP --forget=-5s", &["--forget", "with a unit"]),
        (
            "run ENDPOINT GROUP --forget bananas",
            &["--forget", "bananas", "with a unit"],
        ),
        ("plan ENDPOINT GROUP --patience 5", &["--patience", "with a unit"]),
        ("sync ENDPOINT GROUP --timeout soon", &["--timeout", "with a unit"]),
        ("run ENDPOINT GROUP --interval 5", &["--interval", "with a unit"]),
        (
            "plan ENDPOINT GROUP --interval 0s",
            &["--interval", "give a duration from"],
        ),
        (
            "sync ENDPOINT GROUP --interval 999ms",
            &["--interval", "give a duration from"],
        ),
        (
            "run ENDPOINT GROUP --interval 2h",
            &["--interval", "give a duration from"],
        ),
        (
            "plan ENDPOINT GROUP --forget 25h",
            &["--forget", "give a duration from"],
        ),
        (
            "sync ENDPOINT GROUP --patience 25h",
            &["--patience", "give a duration from"],
        ),
        ("run ENDPOINT GROUP --keep 10.0.0.5/8", &["--keep", "write 10.0.0.0/8"]),
        (
            "plan ENDPOINT GROUP --allow-cidr 10.0.0.0/33",
            &["--allow-cidr", "no CIDR", "10.0.0.0/16"],
        ),
        ("sync ENDPOINT GROUP --keep everything", &["--keep", "no CIDR"]),
        ("run ENDPOINT GROUP --role master", &["--role", "writer", "reader"]),
        (
            "plan ENDPOINT GROUP --nameserver dns.example",
            &["--nameserver", "10.0.0.2"],
        ),
        (
            "sync ENDPOINT GROUP --nameserver 10.0.0.2:0",
            &["--nameserver", "ADDR:PORT"],
        ),
        ("plan ENDPOINT GROUP --output yaml", &["--output", "text, json"]),
        ("run ENDPOINT GROUP --log-format xml", &["--log-format", "text, json"]),
    ]);
}

/// Fails if one mistake is told as two, of which one is none; told with all words of what is printed.
#[test]
fn one_mistake_is_told_once() {
    let world = World::new();
    let scratch = Scratch::new();
    let lead = "lead = { user = \"x\", iam = true }\nca_bundle = \"/nowhere/ca.pem\"";
    let proxy = format!("[[proxy]]\nlisten = \"127.0.0.1:1\"\nendpoint = \"WRITER:5432\"\n{lead}");
    for text in ["GROUP\nprobe = \"tls\"\nca_bundle = \"/nowhere/ca.pem\"", &proxy] {
        let path = scratch.write("config.toml", &settings(text));
        let output = finish(typed(&world, "check --config").arg(path));
        refused(
            &world,
            text,
            &output,
            SETTINGS,
            &["cannot read the CA bundle /nowhere/ca.pem"],
        );
        assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
    }
    for line in [
        "check --config EMPTY",
        "check ENDPOINT GROUP --probe tls --ca-bundle /nowhere/ca.pem",
        "check ENDPOINT GROUP --probe-patience 3s",
        "check ENDPOINT GROUP --notify-after 3s",
    ] {
        let output = finish(&mut typed(&world, line));
        refused(&world, line, &output, USAGE, &[]);
        assert_eq!(said(&output).lines().count(), 1, "{line}: {}", said(&output));
    }
}

/// Fails if a flag that has no effect on what the settings have is taken in silence.
#[test]
fn a_flag_without_an_effect_is_refused() {
    let world = World::new();
    let scratch = Scratch::new();
    let proxy = "[[proxy]]\nlisten = \"127.0.0.1:1\"\nendpoint = \"WRITER:5432\"";
    let proxies = scratch.write("proxies.toml", &settings(proxy));
    let groups = scratch.write("groups.toml", &settings("GROUP"));
    let two = settings("GROUP\nprobe = \"tcp\"\n") + &settings("GROUP").replace("orders/", "others/");
    let two = scratch.write("two.toml", &two);
    for (path, flags, told) in [
        (&proxies, "--observe", "--observe is about target groups"),
        (&proxies, "--upsert-only", "--upsert-only is about target groups"),
        (
            &proxies,
            "--allow-cidr 10.0.0.0/8",
            "--allow-cidr is about target groups",
        ),
        (&proxies, "--forget 5s", "--forget is about target groups"),
        (&groups, "--replace", "--replace is about proxies"),
        (&groups, "--probe-patience 5s", "says nothing without probe (--probe)"),
        (
            &groups,
            "--notify-after 5s",
            "says nothing without sns_topic_arn (--notify-topic)",
        ),
    ] {
        let mut command = typed(&world, "run --config");
        let output = finish(command.arg(path).args(flags.split(' ')));
        refused(&world, flags, &output, USAGE, &[told]);
    }
    // It is for the group that is probed, and variables are there for other verbs, too.
    let mut command = typed(&world, "check --config");
    let output = finish(command.arg(two).args(["--probe-patience", "5s"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for (name, value) in [
        ("INTERVAL", "9s"),
        ("NOTIFY_AFTER", "9s"),
        ("PROBE_PATIENCE", "9s"),
        ("FORGET", "9s"),
        ("REPLACE", "true"),
    ] {
        let mut command = typed(&world, "iam --config");
        let output = finish(command.arg(&proxies).env(format!("RDS_TETHER_{name}"), value));
        assert_eq!(output.status.code(), Some(0), "{name}: {}", said(&output));
    }
}

/// A duration is told in the units that it was given in, never as `172800s` or `0ns`.
#[test]
fn ranges_are_told_in_units_that_people_write() {
    refused_lines(&[
        ("sync ENDPOINT GROUP --forget 48h", &["48h", "24h"]),
        ("sync ENDPOINT GROUP --interval 0s", &["0s", "from 1s to 1m"]),
    ]);
}

/// A negative duration is a bad value of its flag, not an unknown flag `-5`.
#[test]
fn a_negative_duration_is_a_bad_value_of_its_flag() {
    refused_lines(&[("sync ENDPOINT GROUP --forget -5s", &["--forget", "with a unit"])]);
}

/// What is missing is not made up: the example in the message must itself be good input.
#[test]
fn an_empty_endpoint_gets_an_example_that_works() {
    let world = World::new();
    let output = finish(&mut typed(&world, "sync GROUP --endpoint EMPTY"));
    refused(&world, "empty", &output, USAGE, &["--endpoint", "HOST:PORT"]);
    assert!(!said(&output).contains("example :5432"), "{}", said(&output));
}

#[test]
fn nothing_to_follow_says_what_to_give() {
    if std::path::Path::new("/etc/rds-tether/config.toml").exists() {
        // Then there is something to follow.
        return;
    }
    refused_lines(&[("sync", &["nothing to follow", "--endpoint HOST:PORT", "--config FILE"])]);
}

/// What nobody typed cannot be found in the command line: the message names the variable.
/// A URL without its scheme has a password all the same.
#[test]
fn what_may_be_a_password_before_an_at_is_not_repeated() {
    let world = World::new();
    for line in [
        "plan GROUP --endpoint tether:hunter2@orders.example:5432",
        "check GROUP --endpoint tether:hunter2@orders.example",
        "plan ENDPOINT GROUP --nameserver tether:hunter2@10.0.0.2",
    ] {
        let output = finish(&mut typed(&world, line));
        refused(&world, line, &output, USAGE, &["***@"]);
        assert!(!said(&output).contains("hunter2"), "{}", said(&output));
    }
}

/// At some of these values the SDK would end a task.
#[test]
fn variables_of_aws_that_cannot_be_used_are_named_without_their_value() {
    // The doctor looks at DNS, which the others do not come to.
    let (world, looked_at) = (World::new(), World::new());
    for (name, value) in [
        ("AWS_ENDPOINT_URL", ""),
        ("AWS_ENDPOINT_URL", "hunter2"),
        ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", ""),
        ("AWS_ACCESS_KEY_ID", "hunter2\n"),
        ("AWS_SESSION_TOKEN", "hunter2\n"),
        ("AWS_EXECUTION_ENV", "hunter2\n"),
    ] {
        for line in ["plan ENDPOINT GROUP", "sync ENDPOINT GROUP"] {
            let output = finish(typed(&world, line).env(name, value));
            refused(&world, name, &output, USAGE, &[name]);
            assert!(!said(&output).contains("hunter2"), "{}", said(&output));
        }
        let output = finish(typed(&looked_at, "doctor ENDPOINT GROUP --skip reach").env(name, value));
        assert_ne!(output.status.code(), Some(0), "{name}: {}", said(&output));
        assert_says(&said(&output), &[name]);
    }
}

#[test]
fn a_bad_environment_variable_is_named() {
    let world = World::new();
    for (name, value) in [
        ("RDS_TETHER_FORGET", "30"),
        ("RDS_TETHER_PATIENCE", "bananas"),
        ("RDS_TETHER_INTERVAL", "2h"),
        ("RDS_TETHER_TIMEOUT", "5"),
        ("RDS_TETHER_ROLE", "master"),
        ("RDS_TETHER_KEEP", "10.0.0.0/8,x"),
        ("RDS_TETHER_ALLOW_CIDR", "10.0.0.5/8"),
        ("RDS_TETHER_NAMESERVER", "dns.example"),
        ("RDS_TETHER_UPSERT_ONLY", "maybe"),
        ("RDS_TETHER_OBSERVE", "maybe"),
        ("RDS_TETHER_OUTPUT", "yaml"),
        ("RDS_TETHER_LOG_FORMAT", "xml"),
        ("RDS_TETHER_VERBOSE", "lots"),
    ] {
        let output = finish(typed(&world, "sync ENDPOINT GROUP").env(name, value));
        refused(&world, name, &output, USAGE, &[name]);
        // The words of a parser are no words for who has typed nothing.
        for word in ["invalid value", "for '--", "boolean", "type"] {
            assert!(!said(&output).contains(word), "{name}: {}", said(&output));
        }
    }
    for (line, name, value) in [
        (
            "proxy --listen 127.0.0.1:1 --endpoint WRITER:5432",
            "RDS_TETHER_MAX_SESSIONS",
            "0",
        ),
        (
            "proxy --listen 127.0.0.1:1 --endpoint WRITER:5432",
            "RDS_TETHER_MAX_SESSIONS",
            "many",
        ),
        ("iam ENDPOINT GROUP", "RDS_TETHER_FOR", "everything"),
    ] {
        let output = finish(typed(&world, line).env(name, value));
        refused(&world, name, &output, USAGE, &[name, value, "write "]);
        for word in ["invalid", "for '--", "non-zero"] {
            assert!(!said(&output).contains(word), "{name}: {}", said(&output));
        }
    }
}

#[test]
fn the_environment_is_judged_like_the_command_line() {
    let world = World::new();
    let cases: &[(&str, &[&str])] = &[
        ("ENDPOINT=WRITER:5432", &["--target-group"]),
        ("TARGET_GROUP=ARN", &["--endpoint"]),
        ("TARGET_GROUP=ARN ENDPOINT=orders", &["no port"]),
        (
            "ENDPOINT=WRITER:5432 CONFIG=x.toml",
            &["RDS_TETHER_CONFIG", "RDS_TETHER_ENDPOINT", "one or the other"],
        ),
    ];
    for (variables, parts) in cases {
        let mut command = typed(&world, "sync");
        for variable in variables.split_whitespace() {
            let (name, value) = variable.split_once('=').unwrap();
            let value = value.replace("WRITER", WRITER).replace("ARN", ARN);
            command.env(format!("RDS_TETHER_{name}"), value);
        }
        refused(&world, variables, &finish(&mut command), USAGE, parts);
    }
}

#[test]
fn bytes_that_are_no_text() {
    let world = World::new();
    let bytes = || OsString::from_vec(b"\xff.example:5432".to_vec());
    let argument = finish(typed(&world, "sync GROUP --endpoint").arg(bytes()));
    refused(&world, "argument", &argument, USAGE, &["UTF-8"]);
    let variable = finish(typed(&world, "sync GROUP").env("RDS_TETHER_ENDPOINT", bytes()));
    refused(&world, "variable", &variable, USAGE, &["UTF-8", "RDS_TETHER_ENDPOINT"]);
    let verb = finish(bare_command(&world.elb.url()).arg(bytes()));
    refused(&world, "verb", &verb, USAGE, &[]);
    let path = finish(typed(&world, "sync --config").arg(bytes()));
    refused(&world, "path", &path, SETTINGS, &["settings file", "No such file"]);
}

/// A settings file in which `GROUP` stands for the two lines that bind and need the table header before them.
fn settings(text: &str) -> String {
    text.replace(
        "GROUP",
        "[[target_group]]\narn = \"ARN\"\nendpoints = [\"WRITER:5432\"]",
    )
    .replace(
        "PROXY",
        "[[proxy]]\nlisten = \"127.0.0.1:0\"\nendpoint = \"WRITER:5432\"",
    )
    .replace(
        "PLACE",
        "[[discover]]\nregion = \"eu-west-1\"\nallow_endpoints = [\"*.example.com\"]",
    )
    .replace("ARN", ARN)
    .replace("WRITER", WRITER)
}

#[track_caller]
fn refused_files(cases: &[(&str, Option<usize>, &[&str])]) {
    let world = World::new();
    let scratch = Scratch::new();
    for (text, line, parts) in cases {
        let path = scratch.write("config.toml", &settings(text));
        let output = finish(typed(&world, "sync --config").arg(&path));
        let place = match line {
            Some(line) => format!("config.toml:{line}: "),
            None => "config.toml".to_owned(),
        };
        let parts: Vec<&str> = parts.iter().copied().chain([place.as_str()]).collect();
        refused(&world, &text[..text.len().min(200)], &output, SETTINGS, &parts);
    }
}

#[test]
fn files_that_are_no_settings() {
    refused_files(&[
        ("", Some(1), &["nothing to follow", "[[target_group]]"]),
        ("# nothing but words\n", Some(1), &["nothing to follow"]),
        ("[dns]\ntimeout = \"2s\"", Some(1), &["nothing to follow"]),
        ("hello there", Some(1), &["expected `=`"]),
        ("GROUP\n}\n", Some(4), &[]),
        ("[[target_group]]\narn = \"ARN\nendpoints = []", Some(2), &["string"]),
        ("GROUP\nendpoints = [\"WRITER:5432\"]", Some(4), &["duplicate key"]),
    ]);
}

#[test]
fn keys_and_tables_that_do_not_exist() {
    refused_files(&[
        ("verbose = true\nGROUP", Some(1), &["`verbose`", "`target_group`"]),
        ("GROUP\n\nforgt = \"3s\"", Some(5), &["`forgt`", "`forget`"]),
        (
            "GROUP\n[dns]\nnameserver = [\"10.0.0.2\"]",
            Some(5),
            &["`nameserver`", "`nameservers`"],
        ),
        (
            "# one s too many\n[[target_groups]]\narn = \"ARN\"",
            Some(2),
            &["`target_groups`", "`target_group`"],
        ),
        ("GROUP\n[dsn]\ntimeout = \"2s\"", Some(4), &["`dsn`", "`dns`"]),
        (
            "GROUP\nassume_role = { arn = \"arn:aws:iam::111122223333:role/x\", externalid = \"x\" }",
            Some(4),
            &["`externalid`", "`external_id`"],
        ),
    ]);
}

#[test]
fn bindings_that_lack_something_or_are_there_twice() {
    refused_files(&[
        ("[[target_group]]\nendpoints = [\"WRITER:5432\"]", Some(1), &["`arn`"]),
        ("GROUP\n\n[[target_group]]\narn = \"ARN\"", Some(5), &["`endpoints`"]),
        (
            "[[target_group]]\narn = \"ARN\"\nendpoints = []",
            Some(3),
            &["empty", "HOST:PORT"],
        ),
        ("GROUP\nassume_role = { external_id = \"x\" }", Some(4), &["`arn`"]),
        ("GROUP\n\n# again\nGROUP", Some(7), &["bound twice", ARN]),
    ]);
}

#[test]
fn values_that_are_not_what_their_key_wants() {
    refused_files(&[
        (
            "[[target_group]]\narn = \"orders\"\nendpoints = [\"WRITER:5432\"]",
            Some(2),
            &["no target-group ARN"],
        ),
        (
            "[[target_group]]\narn = \"ARN\"\nendpoints = [\"orders\"]",
            Some(3),
            &["no port", "orders:5432"],
        ),
        (
            "[[target_group]]\narn = \"ARN\"\nendpoints = [\"10.0.1.5:5432\"]",
            Some(3),
            &["is an address"],
        ),
        ("GROUP\nforget = \"30\"", Some(4), &["with a unit"]),
        ("GROUP\npatience = \"-5s\"", Some(4), &["with a unit"]),
        (
            "GROUP\nrole = \"master\"",
            Some(4),
            &["`master`", "`writer`", "`reader`"],
        ),
        ("GROUP\nkeep = [\"10.0.0.5/8\"]", Some(4), &["write 10.0.0.0/8"]),
        ("GROUP\nallow_cidrs = [\"10.0.0.0/33\"]", Some(4), &["no CIDR"]),
        (
            "GROUP\nallow_cidrs = []",
            Some(4),
            &[
                "allow_cidrs is empty",
                "or leave allow_cidrs out: then every address may be registered",
            ],
        ),
        (
            "[[proxy]]\nlisten = \"127.0.0.1:1\"\nendpoint = \"WRITER:5432\"\nallow_peers = []",
            Some(4),
            &[
                "allow_peers is empty",
                "or leave allow_peers out: then everybody may connect",
            ],
        ),
        (
            "[[proxy]]\nlisten = \"127.0.0.1:1\"\nendpoint = \"WRITER:5432\"\nallow_cidrs = []",
            Some(4),
            &[
                "allow_cidrs is empty",
                "or leave allow_cidrs out: then every address may be connected to",
            ],
        ),
        (
            "GROUP\nprobe_patience = \"30s\"",
            Some(4),
            &[
                "probe_patience",
                "says nothing without probe",
                "leave probe_patience out",
            ],
        ),
        (
            "GROUP\n[notify]\nafter = \"30s\"",
            Some(5),
            &["after", "says nothing without sns_topic_arn", "name the topic"],
        ),
        ("GROUP\n[dns]\nnameservers = [\"dns.example\"]", Some(5), &["ADDR:PORT"]),
        ("GROUP\n[dns]\ntimeout = \"bananas\"", Some(5), &["with a unit"]),
        ("GROUP\n[dns]\nquorum = \"all\"", Some(5), &["`all`", "`majority`"]),
        (
            "GROUP\nprobe = \"udp\"",
            Some(4),
            &["`udp`", "`none`", "`tcp`", "`tls`"],
        ),
        (
            "GROUP\nprobe = \"tcp\"\nprobe_patience = \"never\"",
            Some(5),
            &["with a unit", "or write forever"],
        ),
        (
            "GROUP\nprobe = \"tls\"",
            None,
            &["orders", "needs ca_bundle", "--ca-bundle FILE", "truststore"],
        ),
        (
            "GROUP\nprobe = \"tls\"\nca_bundle = \"/nowhere/ca.pem\"",
            Some(5),
            &["ca_bundle", "cannot read", "/nowhere/ca.pem"],
        ),
        (
            "GROUP\nprobe = \"tls\"\nca_bundle = \"/dev/null\"",
            Some(5),
            &["ca_bundle", "cannot read", "it is a device, not a file"],
        ),
        (
            concat!(
                "GROUP\nprobe = \"tls\"\nca_bundle = \"",
                env!("CARGO_MANIFEST_DIR"),
                "/Cargo.toml\""
            ),
            Some(5),
            &["ca_bundle", "no certificate", "PEM"],
        ),
    ]);
}

#[test]
fn values_of_the_wrong_type() {
    refused_files(&[
        (
            "[[target_group]]\narn = 1\nendpoints = [\"WRITER:5432\"]",
            Some(2),
            &["`1` is a number, and not a text"],
        ),
        ("GROUP\nforget = 30", Some(4), &["`30` is a number, and not a text"]),
        (
            "GROUP\nupsert_only = \"yes\"",
            Some(4),
            &["\"yes\" is a text, and not true or false", "without quotes"],
        ),
        (
            "GROUP\nassume_role = \"arn:aws:iam::111122223333:role/x\"",
            Some(4),
            &[],
        ),
        ("dns = 1\nGROUP", Some(1), &["dns: `1` is a number, and not a table"]),
        ("GROUP\n[[dns]]\ninterval = \"5s\"", Some(4), &["single brackets"]),
        (
            "GROUP\nforget = true",
            Some(4),
            &["`true` is true or false, and not a text"],
        ),
        (
            "GROUP\nforget = { a = 1 }",
            Some(4),
            &["forget: it is a table, and not a text"],
        ),
        (
            "GROUP\nupsert_only = 1.5",
            Some(4),
            &["`1.5` is a number, and not true or false"],
        ),
        ("GROUP\nkeep = {}", Some(4), &["keep: it is a table, and not a list"]),
        (
            "GROUP\nassume_role = []",
            Some(4),
            &["it is a list, and not a table: { arn"],
        ),
        (
            "PROXY\nmax_sessions = 0",
            Some(4),
            &["max_sessions: `0` is not a number from 1"],
        ),
        ("PROXY\nmax_sessions = -1", Some(4), &["`-1` is not a number from 1"]),
        (
            "PROXY\nmax_sessions = \"many\"",
            Some(4),
            &["\"many\" is not a number from 1"],
        ),
        ("PROXY\nmax_sessions = 99999999999999999999", Some(4), &["max_sessions"]),
        (
            "[[target_group]]\narn = \"ARN\"\nendpoints = \"WRITER:5432\"",
            Some(3),
            &[],
        ),
        (
            "[target_group]\narn = \"ARN\"\nendpoints = [\"WRITER:5432\"]",
            Some(1),
            &[],
        ),
    ]);
}

/// The operator sees what to write, not what a parser calls it.
#[test]
fn a_wrong_type_is_told_in_the_words_of_the_file() {
    refused_files(&[
        (
            "[[target_group]]\narn = \"ARN\"\nendpoints = \"WRITER:5432\"",
            Some(3),
            &["endpoints", "list"],
        ),
        (
            "[target_group]\narn = \"ARN\"\nendpoints = [\"WRITER:5432\"]",
            Some(1),
            &["[[target_group]]"],
        ),
        ("GROUP\nforget = 30", Some(4), &["30s"]),
    ]);
    let world = World::new();
    let scratch = Scratch::new();
    let path = scratch.write(
        "config.toml",
        &settings("GROUP\nassume_role = \"arn:aws:iam::111122223333:role/x\""),
    );
    let output = finish(typed(&world, "sync --config").arg(path));
    assert!(!said(&output).contains("struct"), "{}", said(&output));
}

/// A list over several lines is the usual way to write several endpoints: the line is that of the bad one.
#[test]
fn a_bad_item_of_a_list_is_told_with_its_own_line() {
    refused_files(&[
        (
            "[[target_group]]\narn = \"ARN\"\nendpoints = [\n  \"WRITER:5432\",\n  \"orders\",\n]",
            Some(5),
            &["no port"],
        ),
        (
            "GROUP\nkeep = [\n  \"10.0.0.0/8\",\n  \"10.0.0.5/8\",\n]",
            Some(6),
            &["write 10.0.0.0/8"],
        ),
    ]);
}

/// With a hundred bindings in a file, "forget is too long" without a line is a search.
#[test]
fn a_value_out_of_range_is_told_with_its_line() {
    refused_files(&[
        (
            "PLACE\n\nPLACE",
            Some(6),
            &[
                "tagged target groups in eu-west-1 are looked for twice",
                "write one [[discover]]",
            ],
        ),
        ("GROUP\nforget = \"48h\"", Some(4), &["forget", "give a duration from"]),
        (
            "GROUP\npatience = \"48h\"",
            Some(4),
            &["patience", "give a duration from"],
        ),
        (
            "GROUP\n[dns]\ninterval = \"0s\"",
            Some(5),
            &["interval", "give a duration from"],
        ),
        (
            "GROUP\n[dns]\ntimeout = \"1m\"",
            Some(5),
            &["timeout", "give a duration from"],
        ),
    ]);
}

#[test]
fn a_value_out_of_range_is_refused() {
    refused_files(&[
        ("GROUP\nforget = \"48h\"", None, &["forget", "give a duration from"]),
        ("GROUP\npatience = \"48h\"", None, &["patience", "give a duration from"]),
        (
            "GROUP\n[dns]\ninterval = \"0s\"",
            None,
            &["interval", "give a duration from"],
        ),
        (
            "GROUP\n[dns]\ntimeout = \"1m\"",
            None,
            &["timeout", "give a duration from"],
        ),
    ]);
}

/// A role that is no ARN is a slip of the pen, to be found before anything is asked of AWS with it.
#[test]
fn a_role_that_is_no_arn_is_refused_before_it_is_used() {
    refused_files(&[(
        "GROUP\nassume_role = { arn = \"tether\" }",
        Some(4),
        &["tether", "arn:aws:iam::"],
    )]);
}

#[test]
fn files_that_cannot_be_read() {
    let world = World::new();
    let scratch = Scratch::new();
    let directory = scratch.path("directory");
    std::fs::create_dir(&directory).unwrap();
    let bytes = scratch.path("bytes.toml");
    std::fs::write(&bytes, b"# \xff\n[[target_group]]\n").unwrap();
    for (path, why) in [
        (scratch.path("missing.toml"), "No such file"),
        (directory, "it is a directory, not a file"),
        (bytes, "UTF-8"),
    ] {
        let output = finish(typed(&world, "run --config").arg(&path));
        let name = path.display().to_string();
        refused(&world, &name, &output, SETTINGS, &["settings file", &name, why]);
    }
}

#[test]
fn a_megabyte_of_garbage_is_told_in_one_line() {
    let world = World::new();
    let scratch = Scratch::new();
    let noise: String = (0..1_000_000u64)
        .map(|n| char::from(b'!' + (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as u8 % 90))
        .collect();
    for (name, text) in [
        ("noise.toml", noise),
        ("zeros.toml", "\0".repeat(1_000_000)),
        ("deep.toml", format!("x = {}", "[".repeat(1_000_000))),
    ] {
        let path = scratch.write(name, &text);
        let output = finish(typed(&world, "sync --config").arg(&path));
        refused(&world, name, &output, SETTINGS, &[&format!("{name}:1: ")]);
    }
}

/// What is quoted in a message is cut to what fits a terminal.
#[test]
fn a_key_that_is_too_long_is_not_repeated_in_full() {
    refused_files(&[(
        &format!("{} = 1\nGROUP", "x".repeat(100_000)),
        Some(1),
        &["unknown field"],
    )]);
}

#[test]
fn help_and_version_go_to_standard_output() {
    let world = World::new();
    for (line, part) in [
        ("--help", "Usage: rds-tether"),
        ("-h", "Exit codes"),
        ("help", "Usage: rds-tether"),
        ("sync --help", "--target-group <NAME|ARN>"),
        ("plan --help", "RDS_TETHER_ENDPOINT"),
        ("run --help", "--forget <DURATION>"),
        ("--version", env!("CARGO_PKG_VERSION")),
        ("-V", env!("CARGO_PKG_VERSION")),
    ] {
        let output = finish(&mut typed(&world, line));
        assert_eq!(output.status.code(), Some(0), "{line}: {}", said(&output));
        assert!(
            String::from_utf8_lossy(&output.stdout).contains(part),
            "{line}: {}",
            said(&output)
        );
        assert!(output.stderr.is_empty(), "{line}: {}", said(&output));
    }
    assert_eq!(world.story(), "");
}

/// `rds-tether plan | head -1` must neither panic nor change the exit code.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let world = World::settled();
    let plan = |format| {
        let mut command = world.bound("plan");
        command.args(["--output", format]);
        command
    };
    for mut command in [plan("text"), plan("json"), typed(&world, "sync --help")] {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}: {}", said(&output));
        assert!(output.stderr.is_empty(), "{command:?}: {}", said(&output));
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let world = World::settled();
    let scratch = Scratch::new();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let bound = |line: &str| {
        let mut verb_and_flags = line.split(' ');
        let mut command = world.bound(verb_and_flags.next().unwrap());
        command.args(verb_and_flags);
        command
    };
    let settings = format!(
        "[[target_group]]\narn = \"{}\"\nendpoints = [\"{WRITER}:5432\"]\n",
        world.arn
    );
    let settings = scratch.write("good.toml", &settings);
    let of_file = ["check --config", "iam --config"].map(|line| {
        let mut command = typed(&world, line);
        command.arg(&settings);
        command
    });
    let bound = [
        "plan",
        "plan --output json",
        "sync",
        "sync --output json",
        "status",
        "status --output json",
        "status --watch",
        "doctor --only settings",
        "doctor --only settings --output json",
    ]
    .map(bound);
    let typed = [
        "man",
        "man run",
        "completions bash",
        "--help",
        "sync --help",
        "--version",
    ]
    .map(|line| typed(&world, line));
    for mut command in bound.into_iter().chain(of_file).chain(typed) {
        let child = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        let told = said.matches("cannot write to standard output: No space left").count();
        assert_eq!(told, 1, "{command:?}: {said}");
    }
}

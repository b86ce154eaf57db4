//! Several mistakes at once, and those that nobody saw: names that are not known, flags that say nothing, secrets.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use testkit::dns::Behaviour;

use super::world::{NEW, OLD, Scratch, WRITER, World, assert_exit, assert_says, bare_command, finish, said};

const USAGE: i32 = 64;
const SETTINGS: i32 = 78;
const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067";
/// Three lines of a terminal.
const LINES_OF_A_TERMINAL: usize = 3 * 80;

/// What a command that is refused says, a line for each mistake.
#[track_caller]
fn mistakes(command: &mut Command, exit: i32) -> Vec<String> {
    let output: Output = finish(command);
    assert_eq!(output.status.code(), Some(exit), "{}", said(&output));
    assert!(output.stdout.is_empty(), "{}", said(&output));
    let lines: Vec<String> = String::from_utf8(output.stderr)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let once: BTreeSet<&String> = lines.iter().collect();
    assert_eq!(once.len(), lines.len(), "told twice: {lines:#?}");
    for line in &lines {
        assert!(line.starts_with("rds-tether: "), "{lines:#?}");
        // A test's folder may have a longer name than anybody's.
        let shown = line.split_once("config.toml").map_or(line.as_str(), |(_, shown)| shown);
        assert!(shown.chars().count() <= LINES_OF_A_TERMINAL, "nobody reads {line}");
    }
    lines
}

#[track_caller]
fn assert_mistakes(command: &mut Command, exit: i32, wanted: &[&str]) {
    let found = mistakes(command, exit);
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.contains(wanted), "{wanted:?} is missing from {found}");
    }
}

/// Fails if a slip of the pen turns an observer into a writer.
#[test]
fn a_variable_that_nobody_reads_is_an_error() {
    let world = World::new();
    assert_mistakes(
        world.bound("sync").env("RDS_TETHER_OBSERV", "true"),
        USAGE,
        &["RDS_TETHER_OBSERV is not known; did you mean RDS_TETHER_OBSERVE?"],
    );
    assert_mistakes(
        world.bound("run").env("RDS_TETHER_COLOUR_OF_MOON", "blue"),
        USAGE,
        &["RDS_TETHER_COLOUR_OF_MOON is not known; unset it"],
    );
    assert_eq!(world.story(), "", "an API was called");
    // What other verbs or the function read, what is empty, and what Kubernetes sets for a service that is called rds-tether.
    let world = World::settled();
    let mut command = world.bound("plan");
    command.envs([
        ("RDS_TETHER_LISTEN", "127.0.0.1:0"),
        ("RDS_TETHER_HTTP", "127.0.0.1:0"),
        ("RDS_TETHER_TAG_KEY", "too short"),
        ("RDS_TETHER_OBSERV", ""),
        ("RDS_TETHER_PORT", "tcp://10.0.0.1:9477"),
        ("RDS_TETHER_SERVICE_HOST", "10.0.0.1"),
        ("RDS_TETHER_SERVICE_PORT_METRICS", "9477"),
        ("RDS_TETHER_PORT_9477_TCP_ADDR", "10.0.0.1"),
        ("RDS_TETHER_PORT_9477_TCP", "tcp://10.0.0.1:9477"),
    ]);
    assert_exit(&mut command, 0);
    let mut command = bare_command("");
    assert_exit(command.arg("man").env("RDS_TETHER_OBSERV", "true"), 0);
}

#[test]
fn a_key_that_nobody_knows_is_told_with_the_one_that_was_meant() {
    let scratch = Scratch::new();
    let text = format!("[[target_group]]\narn = \"{ARN}\"\nendpoints = [\"{WRITER}:5432\"]\nobserv = true\n");
    let path = scratch.write("config.toml", &text);
    assert_mistakes(
        bare_command("").args(["run", "--config"]).arg(path),
        SETTINGS,
        &["config.toml:4: unknown field `observ`; did you mean `observe`?"],
    );
}

/// The flags that say nothing to a verb, by verb; a value that is good.
const SAY_NOTHING: [(&str, &[&str]); 5] = [
    (
        "plan",
        &[
            "--interval=5s",
            "--http=127.0.0.1:0",
            "--notify-topic=TOPIC",
            "--notify-after=3m",
        ],
    ),
    (
        "sync",
        &["--http=127.0.0.1:0", "--notify-topic=TOPIC", "--notify-after=3m"],
    ),
    (
        "status",
        &["--interval=5s", "--notify-topic=TOPIC", "--notify-after=3m"],
    ),
    (
        "doctor",
        &[
            "--interval=5s",
            "--http=127.0.0.1:0",
            "--notify-topic=TOPIC",
            "--notify-after=3m",
            "--patience=5s",
            "--probe-patience=5s",
        ],
    ),
    (
        "iam",
        &[
            "--nameserver=127.0.0.1",
            "--interval=5s",
            "--http=127.0.0.1:0",
            "--notify-after=3m",
            "--forget=5s",
            "--patience=5s",
            "--role=reader",
            "--allow-cidr=10.0.0.0/8",
            "--keep=10.0.0.0/8",
            "--probe=tcp",
            "--probe-patience=5s",
        ],
    ),
];

/// Fails if a verb takes a flag that it ignores, or lists it; or refuses one that it lists.
#[test]
fn a_flag_that_says_nothing_to_a_verb_is_refused() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:orders";
    let long = |flag: &str| flag.split('=').next().unwrap().to_owned();
    let of_run = assert_exit(bare_command("").args(["run", "--help"]), 0);
    for verb in ["plan", "sync", "run", "check", "status", "doctor", "iam"] {
        let nothing = SAY_NOTHING.iter().find(|(name, _)| *name == verb);
        let nothing: &[&str] = nothing.map_or(&[], |(_, flags)| flags);
        let help = assert_exit(bare_command("").args([verb, "--help"]), 0);
        let listed = |help: &str| -> BTreeSet<String> {
            let words = help.split_whitespace().filter(|word| word.starts_with("--"));
            words
                .map(|word| word.trim_end_matches(['.', ',', ';', ':']).to_owned())
                .collect()
        };
        let refused: BTreeSet<String> = nothing.iter().map(|flag| long(flag)).collect();
        // Every flag of the longest list is either listed or refused.
        let of_run = &listed(&of_run) - &BTreeSet::from(["--replace".to_owned()]);
        let lacking: BTreeSet<String> = of_run.difference(&listed(&help)).cloned().collect();
        assert_eq!(lacking, refused, "{verb}");
        for flag in nothing {
            let mut command = bare_command("http://127.0.0.1:9");
            command.args([verb, "--endpoint", &format!("{WRITER}:5432"), "--target-group", ARN]);
            command.arg(flag.replace("TOPIC", topic));
            assert_mistakes(
                &mut command,
                USAGE,
                &[&format!("{} says nothing to {verb}; leave it out", long(flag))],
            );
        }
    }
}

/// Fails if it waits for a change that it will not make.
#[test]
fn a_sync_that_only_observes_ends_at_once_with_what_it_would_do() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let said = assert_exit(world.bound("sync").arg("--observe"), 2);
    assert_says(&said, &["register", NEW]);
    assert!(world.writes().is_empty(), "{}", world.story());
    // Where there is nothing to do, it says that.
    let world = World::settled();
    assert_says(&assert_exit(world.bound("sync").arg("--observe"), 0), &[OLD, "settled"]);
}

/// Fails if whoever mends settings has to try again to learn of the next mistake.
#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let scratch = Scratch::new();
    let text = format!(
        "[[target_group]]\n\
         arn = \"arn:aws:elasticloadbalancing:eu-west-l:111122223333:targetgroup/orders/73e2d6bc24d8a067\"\n\
         endpoints = [\"orders\"]\n\
         forgt = \"1s\"\n\
         [[target_group]]\n\
         arn = \"{ARN}\"\n\
         endpoints = []\n\
         keep = [\n  \"10.0.0.5/8\",\n  \"10.0.0.0/8\",\n  \"x\"]\n\
         [[proxy]]\n\
         listen = 1\n\
         endpoint = \"orders.example:5432\"\n\
         [[proxy]]\n\
         listen = \"127.0.0.1:1\"\n\
         endpoint = \"orders.example:5432\"\n\
         [[proxy]]\n\
         listen = \"127.0.0.1:1\"\n\
         endpoint = \"other.example:5432\"\n\
         [dns]\n\
         timeout = \"9h\"\n"
    );
    let path = scratch.write("config.toml", &text);
    let of_file = [
        "config.toml:2: arn: ",
        "config.toml:3: endpoints: \"orders\" has no port",
        "config.toml:4: unknown field `forgt`",
        "config.toml:7: endpoints is empty",
        "config.toml:9: ",
        "config.toml:11: ",
        "config.toml:13: listen: ",
        "config.toml:19: two proxies listen on 127.0.0.1:1",
        "config.toml:22: timeout: ",
    ];
    assert_mistakes(
        bare_command("").args(["sync", "--config"]).arg(&path),
        SETTINGS,
        &of_file,
    );
    // What is typed and what is set is told with them.
    let mut command = bare_command("");
    command.args(["sync", "--timeout", "5", "--config"]).arg(&path);
    command.envs([("RDS_TETHER_ROLE", "master"), ("RDS_TETHER_OBSERV", "true")]);
    let others = [
        "--timeout: \"5\" is no duration",
        "--role (from the environment variable RDS_TETHER_ROLE): `master`",
        "RDS_TETHER_OBSERV is not known",
    ];
    let found = mistakes(&mut command, USAGE);
    assert_eq!(found.len(), of_file.len() + others.len(), "{found:#?}");
    for wanted in of_file.iter().chain(&others) {
        assert!(found.iter().any(|line| line.contains(wanted)), "{wanted}: {found:#?}");
    }
    let told = finish(bare_command("").args(["doctor", "--config"]).arg(&path));
    assert_eq!(told.status.code(), Some(SETTINGS), "{}", said(&told));
    assert_says(&said(&told), &of_file);
}

#[test]
fn all_mistakes_of_a_command_line_are_told_at_once() {
    let mut command = bare_command("");
    command.args(["proxy", "--listen", "5432", "--linger", "soon", "--role", "master"]);
    assert_mistakes(
        &mut command,
        USAGE,
        &[
            "--listen: ",
            "--linger: ",
            "--role: ",
            "not provided: --endpoint <HOST:PORT>",
        ],
    );
}

/// What is pasted from an application's settings has a password in it.
#[test]
fn a_url_is_answered_with_the_endpoint_in_it_and_its_password_is_never_shown() {
    let scratch = Scratch::new();
    let secrets = ["hush", "hu@sh", "hu:sh", "hush/x"];
    for (secret, url, fix) in [
        (
            0,
            "postgres://tether:hush@orders.example/db",
            "write orders.example:5432",
        ),
        (
            0,
            "postgresql://tether:hush@orders.example:6432/db?sslmode=require",
            "write orders.example:6432",
        ),
        (
            1,
            "postgres://tether:hu@sh@orders.example:6432/db",
            "write orders.example:6432",
        ),
        (2, "mysql://tether:hu:sh@orders.example", "write orders.example:3306"),
        (3, "postgres://tether:hush/x@orders.example/db", "write HOST:PORT"),
        (
            0,
            "jdbc:postgresql://orders.example/db?user=x&password=hush",
            "write orders.example:5432",
        ),
    ] {
        let text = format!("[[target_group]]\narn = \"{ARN}\"\nendpoints = [\"{url}\"]\n");
        let path = scratch.write("config.toml", &text);
        let [mut typed, mut set, mut written] = [(); 3].map(|()| bare_command(""));
        typed.args(["run", "--target-group", ARN, "--endpoint", url]);
        set.args(["run", "--target-group", ARN]).env("RDS_TETHER_ENDPOINT", url);
        written.args(["run", "--config"]).arg(path);
        for (mut command, exit) in [(typed, USAGE), (set, USAGE), (written, SETTINGS)] {
            let found = mistakes(&mut command, exit);
            assert_eq!(found.len(), 1, "{found:#?}");
            assert!(found[0].ends_with(&format!("this is a URL; {fix}")), "{found:#?}");
            assert!(!found[0].contains(secrets[secret]), "{found:#?}");
        }
        // Nor where it is not expected at all.
        for flag in [
            "--target-group",
            "--forget",
            "--nameserver",
            "--role",
            "--config",
            "--log-format",
            "--bogus",
        ] {
            let output = finish(bare_command("").args(["run", &format!("{flag}={url}")]));
            assert!(!said(&output).contains(secrets[secret]), "{flag}: {}", said(&output));
        }
    }
    let line = "host=orders.example password=hush dbname=x";
    let output = finish(bare_command("").args(["run", "--target-group", ARN, "--endpoint", line]));
    assert_eq!(output.status.code(), Some(USAGE));
    assert!(!said(&output).contains("hush"), "{}", said(&output));
}

#[test]
fn an_international_name_is_told_as_dns_has_it() {
    for (name, fix) in [
        ("bücher.example:5432", "write xn--bcher-kva.example:5432"),
        ("データ.example:5432", "write xn--5ckp3n.example:5432"),
    ] {
        let mut command = bare_command("");
        command.args(["plan", "--target-group", ARN, "--endpoint", name]);
        assert_mistakes(&mut command, USAGE, &[fix]);
    }
}

/// Which regions there are changes; how they are named does not.
#[test]
fn what_has_not_the_form_of_a_region_is_refused_where_it_is_written() {
    let arn = |region: &str| ARN.replace("eu-west-1", region);
    for region in ["eu-west-l", "euwest1", "eu-west", "EU-WEST-1", "Ireland", "eu-west-1a"] {
        let mut command = bare_command("");
        command.args([
            "iam",
            "--endpoint",
            "orders.example:5432",
            "--target-group",
            &arn(region),
        ]);
        assert_mistakes(&mut command, USAGE, &[&format!("names {region:?} as its region")]);
    }
    for region in [
        "eu-west-1",
        "us-gov-west-1",
        "ap-southeast-12",
        "eusc-de-east-1",
        "us-isob-east-1",
        "xx-new-1",
    ] {
        let mut command = bare_command("");
        command.args([
            "iam",
            "--endpoint",
            "orders.example:5432",
            "--target-group",
            &arn(region),
        ]);
        assert_exit(&mut command, 0);
    }
}

/// A region that has the form of one shows to be none when its API is looked for.
#[test]
fn a_region_that_there_is_not_is_told_where_it_is_written() {
    let world = World::new();
    let mut command = bare_command("http://nowhere..eu-west-11");
    command.args(["plan", "--nameserver", &world.dns.addr().to_string()]);
    command.args(["--endpoint", &format!("{WRITER}:5432")]);
    command.args(["--target-group", &ARN.replace("eu-west-1", "eu-west-11")]);
    let said = assert_exit(&mut command, 69);
    assert_says(&said, &["check the region in the target group's ARN, eu-west-11"]);
    assert!(!said.contains("dispatch failure"), "{said}");
}

/// Fails if a check asks anybody, or takes for good what run would not.
#[test]
fn a_check_looks_at_the_settings_alone() {
    let world = World::new();
    let said = assert_exit(&mut world.bound("check"), 0);
    assert_says(&said, &["the settings are good: 1 target group"]);
    assert_eq!(world.story(), "", "an API was called");
    assert!(world.dns.queries().is_empty(), "DNS was asked");
    let scratch = Scratch::new();
    let text = format!("[[target_group]]\narn = \"{ARN}\"\nendpoints = [\"{WRITER}\"]\nforget = \"30\"\n");
    let path = scratch.write("config.toml", &text);
    assert_mistakes(
        bare_command("").args(["check", "--config"]).arg(path),
        SETTINGS,
        &["config.toml:3: endpoints: ", "config.toml:4: forget: "],
    );
    assert_mistakes(
        bare_command("").args(["check", "--forget", "30"]),
        USAGE,
        &["--forget: "],
    );
}

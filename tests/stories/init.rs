//! From an endpoint to settings that are followed, in one sitting, and without a single write to AWS.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::dns::Behaviour;
use testkit::elb::{Failure, Group, TargetType};
use testkit::program::{assert_tame, built, foreign};

use super::world::*;

const USAGE: i32 = 64;
const UNAVAILABLE: i32 = 69;
const DENIED: i32 = 77;
const SETTINGS: i32 = 78;
const TAG: &str = "rds-tether:endpoint";

fn endpoint() -> String {
    format!("{WRITER}:5432")
}

/// `init` for the writer endpoint, whose address nobody has.
fn init(world: &World) -> Command {
    let mut command = world.command("init");
    command.arg(endpoint()).args(["--skip", "reach"]);
    command
}

/// The same with a file to write, and nobody to be asked.
fn init_into(world: &World, path: &Path) -> Command {
    let mut command = init(world);
    command.arg("--yes").arg("--settings-file").arg(path);
    command
}

/// A world without target groups.
fn bare_world() -> World {
    let world = World::new();
    world.elb.model(|model, _| model.remove_group(&world.arn));
    world
}

/// What `plan` follows by a file are these groups, by ARN, for the endpoint.
#[track_caller]
fn assert_follows(world: &World, path: &Path, arns: &[&str]) {
    let mut command = bare_command(&world.elb.url());
    assert_exit(command.args(["check", "--config"]).arg(path), 0);
    let mut command = bare_command(&world.elb.url());
    let output = finish(command.args(["plan", "--output", "json", "--config"]).arg(path));
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    let groups = json["target_groups"].as_array().unwrap().iter();
    let followed: Vec<&str> = groups
        .map(|group| {
            assert_eq!(group["endpoints"][0]["endpoint"], endpoint(), "{group}");
            group["arn"].as_str().unwrap()
        })
        .collect();
    assert_eq!(followed, arns);
}

/// Nothing was called that could change something.
#[track_caller]
fn assert_only_looked(world: &World) {
    let calls = world.elb.calls();
    assert!(!calls.is_empty(), "nothing was called");
    for call in calls {
        let only_looks = call.action.starts_with("Describe") || call.action == "GetCallerIdentity";
        assert!(only_looks, "{}", world.story());
    }
}

#[test]
fn one_group_is_proposed_and_its_file_is_what_plan_follows() {
    let (world, scratch) = (World::new(), Scratch::new());
    let path = scratch.path("config.toml");
    let output = finish(&mut init_into(&world, &path));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_tame(&output.stdout);
    assert_says(
        &String::from_utf8_lossy(&output.stdout),
        &[
            &format!("{WRITER}:5432 is {OLD} now"),
            "eu-west-1 (of the endpoint's name) has 1 target group: 1 may be meant",
            "1. orders: it is empty; its port is 5432; its name is like the endpoint's; a load balancer uses it",
            &format!("arn = \"{}\"", world.arn),
            "elasticloadbalancing:RegisterTargets",
            "what doctor finds now",
            "group.",
            "rds-tether doctor --database postgres://",
            "rds-tether sql --database",
            &format!("rds-tether run --config {}", path.display()),
        ],
    );
    assert_only_looked(&world);
    assert_follows(&world, &path, &[&world.arn]);
    // Again, it is there already.
    let again = assert_exit(&mut init_into(&world, &path), 0);
    assert_says(&again, &["says so already"]);
    let files = fs::read_dir(scratch.path("")).unwrap().count();
    assert_eq!(files, 1, "nothing is left beside it");
}

#[test]
fn without_a_group_it_says_what_to_create() {
    let scratch = Scratch::new();
    let path = scratch.path("config.toml");
    let world = bare_world();
    let told = assert_exit(&mut init_into(&world, &path), SETTINGS);
    assert_says(
        &told,
        &[
            "has no target group",
            "aws elbv2 create-target-group --region eu-west-1 --name orders --protocol TCP --port 5432 --target-type ip --vpc-id VPC",
        ],
    );
    world
        .elb
        .add_group(Group::named("web").target_type(TargetType::Instance));
    world.elb.add_group(Group::named("mysql").port(3306));
    world.elb.add_group(Group::named("six").ipv6());
    let mut http = Group::named("http");
    http.protocol = "HTTP".to_owned();
    world.elb.add_group(http);
    let told = assert_exit(&mut init_into(&world, &path), SETTINGS);
    assert_says(
        &told,
        &[
            "has 4 target groups: 0 may be meant, 4 not",
            "1 of type instance, not ip",
            "1 with another port",
            "1 for IPv6 addresses",
            "1 with protocol HTTP",
            "create-target-group",
        ],
    );
    // Somebody who insists is told why.
    let told = assert_exit(init_into(&world, &path).args(["--target-group", "web"]), SETTINGS);
    assert_says(&told, &["cannot follow", "of type instance"]);
    assert!(!path.exists());
    assert_only_looked(&world);
}

#[test]
fn of_thirty_the_best_few_are_listed_and_any_can_be_named() {
    let (world, scratch) = (bare_world(), Scratch::new());
    let path = scratch.path("config.toml");
    let arns: Vec<String> = (0..30)
        .map(|number| world.elb.add_group(Group::named(&format!("group-{number:02}"))))
        .collect();
    world.elb.model(|model, _| model.page_max = Some(7));
    let told = assert_exit(&mut init_into(&world, &path), USAGE);
    assert_says(
        &told,
        &[
            "has 30 target groups: 30 may be meant",
            "\n  5. group-",
            "less likely: ",
            "and 15 more",
            "several target groups may be meant, and nothing says which",
            "--target-group NAME|ARN",
        ],
    );
    assert!(!told.contains("\n  6. "), "{told}");
    assert!(!path.exists());
    let count = |action: &str| world.elb.calls().iter().filter(|call| call.action == action).count();
    assert_eq!(count("DescribeTargetGroups"), 5, "30 groups in pages of 7");
    assert_eq!(count("DescribeTags"), 2, "20 groups a call");
    // By name, and one more by ARN.
    let mut command = init_into(&world, &path);
    assert_exit(
        command.args(["--target-group", "group-17", "--target-group", &arns[3]]),
        0,
    );
    assert_follows(&world, &path, &[&arns[17], &arns[3]]);
    // The one that has what DNS names.
    world.elb.put_target(&arns[21], OLD, 5432);
    let other = scratch.path("other.toml");
    let told = assert_exit(&mut init_into(&world, &other), 0);
    assert_says(&told, &["1. group-21: it has a target that DNS names"]);
    assert_follows(&world, &other, &[&arns[21]]);
    // A tag says more.
    world.elb.set_tag(&arns[8], TAG, &endpoint());
    world.elb.set_tag(&arns[21], TAG, "other.example:5432");
    let tagged = scratch.path("tagged.toml");
    let told = assert_exit(&mut init_into(&world, &tagged), 0);
    assert_says(
        &told,
        &[
            "1. group-08: its tag rds-tether:endpoint names the endpoint",
            "1 with a tag rds-tether:endpoint that names another endpoint",
        ],
    );
    assert_follows(&world, &tagged, &[&arns[8]]);
    assert_only_looked(&world);
}

#[test]
fn a_tag_tells_the_endpoint_of_an_identifier() {
    let (world, scratch) = (World::new(), Scratch::new());
    let path = scratch.path("config.toml");
    let by_identifier = || {
        let mut command = world.command("init");
        command
            .args(["orders", "--yes", "--skip", "reach", "--settings-file"])
            .arg(&path);
        command.env("AWS_REGION", "eu-west-1");
        command
    };
    assert_says(
        &assert_exit(&mut by_identifier(), USAGE),
        &[
            "\"orders\" is a database's identifier",
            "aws rds describe-db-clusters --db-cluster-identifier orders",
        ],
    );
    world.elb.set_tag(&world.arn, TAG, &endpoint());
    assert_exit(&mut by_identifier(), 0);
    assert_follows(&world, &path, &[&world.arn]);
}

#[test]
fn tags_are_printed_and_not_set() {
    let world = World::new();
    let told = assert_exit(init(&world).args(["--yes", "--tags"]), 0);
    assert_says(
        &told,
        &[
            &format!(
                "aws elbv2 add-tags --region eu-west-1 --resource-arns {} --tags Key={TAG},Value={WRITER}:5432",
                world.arn
            ),
            &format!("rds-tether run --endpoint {WRITER}:5432 --target-group {}", world.arn),
        ],
    );
    assert!(world.elb.tags(&world.arn).is_empty());
    assert_only_looked(&world);
}

#[test]
fn what_cannot_be_seen_is_told_with_its_remedy() {
    let scratch = Scratch::new();
    let path = scratch.path("config.toml");
    let world = World::new();
    world
        .elb
        .fail("DescribeTargetGroups", Failure::denied("DescribeTargetGroups"), None);
    assert_says(
        &assert_exit(&mut init_into(&world, &path), DENIED),
        &[
            "the target groups of eu-west-1",
            "AccessDenied",
            "allow elasticloadbalancing:DescribeTargetGroups on *",
            "--target-group ARN",
        ],
    );
    assert!(!path.exists());
    let world = World::new();
    for action in ["DescribeTags", "DescribeTargetHealth"] {
        world.elb.fail(action, Failure::denied(action), None);
    }
    let told = assert_exit(&mut init_into(&world, &path), 0);
    assert_says(
        &told,
        &[
            "their tags are not seen",
            "allow elasticloadbalancing:DescribeTags on *",
            "not all targets are seen",
            "allow elasticloadbalancing:DescribeTargetHealth on *",
        ],
    );
    assert_eq!(fs::read_to_string(&path).unwrap().matches(&world.arn).count(), 1);
}

/// Fails if what others have put into a group is lost because nobody looked.
#[test]
fn a_group_that_looks_like_anothers_is_not_proposed() {
    let (world, scratch) = (World::new(), Scratch::new());
    let path = scratch.path("config.toml");
    world.elb.put_target(&world.arn, "10.0.3.9", 5432);
    let told = assert_exit(&mut init_into(&world, &path), USAGE);
    assert_says(
        &told,
        &[
            "it has targets that DNS does not name (10.0.3.9:5432)",
            "the only target group that may be meant, orders, looks like another's",
        ],
    );
    assert!(!path.exists());
    assert_exit(init_into(&world, &path).args(["--target-group", "orders"]), 0);
}

#[test]
fn texts_of_others_do_nothing_on_a_terminal() {
    const HOSTILE: &str = "vpc-1\nforged: all is well\u{1b}[2J";
    let (world, scratch) = (World::settled(), Scratch::new());
    let path = scratch.path("config.toml");
    let mut there = Group::named("there");
    there.vpc_id = HOSTILE.to_owned();
    world.elb.add_group(there);
    world
        .elb
        .fail("DescribeTags", Failure::code(400, HOSTILE, HOSTILE), None);
    let output = finish(&mut init_into(&world, &path));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for told in [&output.stdout, &output.stderr] {
        assert_tame(told);
        let told = String::from_utf8_lossy(told);
        assert!(told.contains("vpc-1\\u000aforged"), "{told}");
        assert!(!told.lines().any(|line| line.starts_with("forged")), "{told}");
    }
}

/// Fails if a database that is named is not looked at, or its password is told.
#[test]
fn the_database_is_looked_at_where_it_is_named() {
    let (world, scratch) = (World::new(), Scratch::new());
    // Nothing listens on the discard port.
    let url = "postgres://streamer:hunter2@127.0.0.1:9/shop";
    let mut command = init_into(&world, &scratch.path("config.toml"));
    let told = assert_exit(command.args(["--database", url]), 0);
    assert_says(&told, &["database 127.0.0.1:9", "failure  database.connect"]);
    for other in ["was not looked at", "hunter2"] {
        assert!(!told.contains(other), "{told}");
    }
    let mut command = world.command("init");
    command.args([url, "--yes"]);
    let told = assert_exit(&mut command, USAGE);
    assert_says(&told, &["this is a URL"]);
    assert!(!told.contains("hunter2"), "{told}");
}

/// Fails if an API that names a next page each time is asked for ever.
#[test]
fn a_list_without_an_end_is_read_so_far() {
    let (world, scratch) = (World::new(), Scratch::new());
    for number in 0..30 {
        let web = Group::named(&format!("web-{number}")).target_type(TargetType::Instance);
        world.elb.add_group(web);
    }
    world.elb.model(|model, _| model.page_max = Some(1));
    let told = finish(&mut init_into(&world, &scratch.path("config.toml")));
    assert_says(&said(&told), &["there are more than 25 target groups"]);
    let calls = world.elb.calls();
    let lists = calls
        .iter()
        .filter(|call| call.action == "DescribeTargetGroups" && call.arn.is_none());
    assert_eq!(lists.count(), rds_tether::aws::elb::PAGES_MAX);
}

#[test]
fn an_endpoint_that_does_not_resolve_begins_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path("config.toml");
    for (behaviour, exit, part) in [
        (Behaviour::NxDomain, UNAVAILABLE, "cannot be resolved"),
        (Behaviour::a("54.1.2.3", 1), 3, "54.1.2.3"),
    ] {
        let world = World::new();
        world.dns.set(WRITER, behaviour);
        assert_says(&assert_exit(&mut init_into(&world, &path), exit), &[WRITER, part]);
        assert_eq!(world.story(), "", "an API was called");
        assert!(!path.exists());
    }
}

#[test]
fn another_file_is_written_over_only_when_that_is_said() {
    let (world, scratch) = (World::new(), Scratch::new());
    let path = scratch.write("config.toml", "# mine\n");
    let told = assert_exit(&mut init_into(&world, &path), USAGE);
    assert_says(
        &told,
        &[
            "there is another file",
            "--append",
            "--overwrite",
            "nothing was written",
        ],
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "# mine\n");
    assert_exit(init_into(&world, &path).arg("--overwrite"), 0);
    assert_follows(&world, &path, &[&world.arn]);
    let nowhere = scratch.path("missing/config.toml");
    let told = assert_exit(&mut init_into(&world, &nowhere), 1);
    assert_says(&told, &["cannot write", "No such file or directory", "--settings-file"]);
}

#[test]
fn to_another_file_is_added_without_a_change_of_what_it_says() {
    let (world, scratch) = (World::new(), Scratch::new());
    let add_to = |path: &Path| {
        let mut command = init_into(&world, path);
        command.args(["--append", "--target-group", "orders"]);
        command
    };
    let first = world.elb.add_group(Group::named("first"));
    let table =
        |arn: &str, endpoint: &str| format!("[[target_group]]\r\narn = \"{arn}\"\r\nendpoints = [\"{endpoint}\"]");
    for (former, groups) in [
        // Of other line ends, and without the last.
        (
            format!("# mine \r\n{} # so", table(&first, "a.example.com:1")),
            vec![first.as_str(), &world.arn],
        ),
        (
            "#[[target_group]]\n# all of it is commented out\n\n".to_owned(),
            vec![world.arn.as_str()],
        ),
        (String::new(), vec![world.arn.as_str()]),
        (
            format!("[dns]\nnameservers = [\"{}\"]", world.dns.addr()),
            vec![world.arn.as_str()],
        ),
    ] {
        let path = scratch.write("config.toml", &former);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = scratch.path("link.toml");
        let _ = fs::remove_file(&link);
        symlink(&path, &link).unwrap();
        let told = assert_exit(&mut add_to(&link), 0);
        assert_says(&told, &["added to", "SIGHUP", &world.arn]);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&former), "{text}");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let told = assert_exit(bare_command("").arg("check").arg("--config").arg(&path), 0);
        assert_says(&told, &[&format!("{} target group", groups.len())]);
        assert_says(&text, &groups);
        // Again, it is there already.
        assert_says(&assert_exit(&mut add_to(&path), 0), &["says so already"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let missing = scratch.path("new.toml");
    assert_exit(&mut add_to(&missing), 0);
    assert_follows(&world, &missing, &[&world.arn]);
}

#[test]
fn to_a_file_that_would_be_refused_nothing_is_added() {
    let (world, scratch) = (World::new(), Scratch::new());
    let endpoints = |text: &str| format!("arn = \"{}\"\nendpoints = [\"{text}\"]", world.arn);
    let [full, over] = [1 << 20, 1 << 21].map(|size| format!("#{}\n", "x".repeat(size - 2)));
    for (former, parts) in [
        (
            format!("[[target_group]]\n{}", endpoints("a.example.com:1")),
            &["config.toml:6: target group", "is bound twice"][..],
        ),
        (
            format!("[target_group]\n{}", endpoints("a.example.com:1")),
            &["config.toml:"],
        ),
        ("target_group = []\n".to_owned(), &["config.toml:"]),
        ("[dns\n".to_owned(), &["config.toml:1"]),
        (
            "[dns]\nnameserver = []\n".to_owned(),
            &["config.toml:2", "did you mean `nameservers`?"],
        ),
        ("a = \"\"\"\nopen".to_owned(), &["config.toml:"]),
        (full, &["would have more than 1024 KiB"]),
        (over, &["it has more than 1024 KiB"]),
    ] {
        let path = scratch.write("config.toml", &former);
        let told = assert_exit(init_into(&world, &path).arg("--append"), SETTINGS);
        assert_says(&told, parts);
        assert_eq!(fs::read_to_string(&path).unwrap(), former);
    }
    assert_eq!(
        fs::read_dir(scratch.path("")).unwrap().count(),
        1,
        "nothing is left beside it"
    );
    let both = assert_exit(
        init_into(&world, &scratch.path("config.toml")).args(["--append", "--overwrite"]),
        USAGE,
    );
    assert_says(&both, &["--append", "--overwrite"]);
}

#[test]
fn without_a_terminal_what_is_open_is_an_error_that_lists_the_flags() {
    let world = World::new();
    let flags = ["HOST:PORT", "--target-group", "--settings-file", "--tags", "--yes"];
    for (arguments, told) in [
        (&[][..], "which endpoint to follow, nor what to write"),
        (&["--yes"], "which endpoint to follow"),
        (&[WRITER], "no port"),
        (&["ENDPOINT"], "what to write"),
        (&["ENDPOINT", "--tags", "--settings-file", "x"], "cannot be used with"),
        (
            &["ENDPOINT", "--yes", "--publication", "x"],
            "--publication needs --database",
        ),
        (
            &["ENDPOINT", "--yes", "--interval", "9s"],
            "--interval says nothing to init",
        ),
    ] {
        let mut command = world.command("init");
        let endpoint = endpoint();
        command.args(
            arguments
                .iter()
                .map(|word| if *word == "ENDPOINT" { &endpoint } else { *word }),
        );
        let output = finish(&mut command);
        assert_eq!(output.status.code(), Some(USAGE), "{arguments:?}: {}", said(&output));
        assert_says(&said(&output), &[told]);
        if told.contains("what to write") {
            assert_says(&said(&output), &flags);
        }
    }
    assert_eq!(world.story(), "", "an API was called");
    // What is open shows only after a look.
    let mut command = init(&world);
    let told = assert_exit(command.args(["--settings-file", "/nowhere/x.toml"]), USAGE);
    assert_says(&told, &["whether orders is meant"]);
    assert_says(&told, &flags);
    // A variable is as good as an argument.
    let scratch = Scratch::new();
    let path = scratch.path("config.toml");
    let mut command = world.command("init");
    command
        .env("RDS_TETHER_ENDPOINT", endpoint())
        .env("RDS_TETHER_TARGET_GROUP", "orders");
    command.env("RDS_TETHER_SKIP", "reach");
    assert_exit(command.arg("--settings-file").arg(&path), 0);
    assert_follows(&world, &path, &[&world.arn]);
}

/// `init` on a terminal of its own, where these lines are typed; what is shown there, and the exit code.
fn on_a_terminal(world: &World, folder: &Path, arguments: &str, typed: &str) -> (String, Option<i32>) {
    use std::io::Write as _;
    let mut command = foreign("script");
    let line = format!(
        "exec {} init {arguments} --nameserver {} --skip reach",
        built("rds-tether").display(),
        world.dns.addr()
    );
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(folder)
        .envs([
            ("TERM", "xterm"),
            ("SHELL", "/bin/sh"),
            ("NO_COLOR", "1"),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ])
        .env("AWS_ENDPOINT_URL", world.elb.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (said(&output).replace("\r\n", "\n"), output.status.code())
}

#[test]
fn on_a_terminal_what_is_open_is_asked_for() {
    let (world, scratch) = (World::new(), Scratch::new());
    let folder = scratch.path("");
    // A slip, the endpoint, and what is proposed.
    let (shown, code) = on_a_terminal(&world, &folder, "", &format!("10.0.1.5:5432\n{}\n\n\n", endpoint()));
    assert_eq!(code, Some(0), "{shown}");
    assert_says(
        &shown,
        &[
            "endpoint to follow (HOST:PORT): ",
            "is an address, not a name",
            "let orders follow it? [y]: ",
            "settings file to write, or tags for none [rds-tether.toml]: ",
        ],
    );
    let path = folder.join("rds-tether.toml");
    assert_follows(&world, &path, &[&world.arn]);
    // Of several: numbers and names; and over another file when that is agreed to.
    let second = world.elb.add_group(Group::named("second"));
    let third = world.elb.add_group(Group::named("third"));
    let (shown, code) = on_a_terminal(&world, &folder, &endpoint(), "9\nthird, 2\nrds-tether.toml\nn\ny\n");
    assert_eq!(code, Some(0), "{shown}");
    let asked = [
        "which of them",
        "\"9\" is none of them",
        "add to rds-tether.toml",
        "write over rds-tether.toml",
    ];
    assert_says(&shown, &asked);
    assert_follows(&world, &path, &[&third, &second]);
    let (shown, code) = on_a_terminal(&world, &folder, &endpoint(), "orders\nrds-tether.toml\n\n");
    assert_eq!(code, Some(0), "{shown}");
    assert_follows(&world, &path, &[&third, &second, &world.arn]);
    let before = fs::read_to_string(&path).unwrap();
    // Somebody who says no, or goes.
    for typed in ["1\n\nn\nn\n", "1\n\nn\n", "1\n", ""] {
        let (shown, code) = on_a_terminal(&world, &folder, &endpoint(), &format!("{typed}\u{4}"));
        assert_eq!(code, Some(USAGE), "{typed:?}: {shown}");
        assert_says(&shown, &["written"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), before, "{typed:?}");
    }
    let (shown, code) = on_a_terminal(&world, &folder, &endpoint(), "1\ntags\n");
    assert_eq!(code, Some(0), "{shown}");
    assert_says(&shown, &["aws elbv2 add-tags"]);
    assert_only_looked(&world);
}

//! The command line, what is printed, and the exit code.

use rds_tether::doctor::check::NAMES;

use super::world::*;
use super::{doctor, examine};

#[test]
fn the_name_of_no_check_is_a_usage_error_that_lists_the_names() {
    let world = World::settled();
    for flag in ["--only", "--skip"] {
        let said = assert_exit(doctor(&world).args([flag, "dns.stub"]), 64);
        assert_says(&said, &["dns.stub", "the name of no check"]);
        for (name, _) in NAMES {
            assert!(said.contains(name), "{name} is not listed: {said}");
        }
    }
}

#[test]
fn only_and_skip_choose_checks_and_groups_of_checks() {
    let world = World::settled();
    let told = examine(doctor(&world).args(["--only", "dns.ttl", "--only", "aws.*"]));
    let names: Vec<&str> = told.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["aws.identity", "aws.clock", "dns.ttl"]);

    let told = examine(doctor(&world).args(["--skip", "balancer,group.health-check", "--skip", "permission"]));
    for check in &told.checks {
        let left_out = ["balancer.", "permission.", "reach."]
            .iter()
            .any(|group| check.name.starts_with(group));
        assert!(!left_out && check.name != "group.health-check", "{}", told.said);
    }

    // What is not asked for is not called either.
    let world = World::settled();
    examine(doctor(&world).args(["--only", "dns"]));
    assert!(world.elb.calls().is_empty(), "{}", world.story());
}

#[test]
fn checks_come_in_the_order_of_their_names_whatever_ends_first() {
    let world = World::settled();
    let order: Vec<usize> = examine(&mut doctor(&world))
        .checks
        .iter()
        .filter(|check| check.section.starts_with("target group"))
        .map(|check| {
            NAMES
                .iter()
                .position(|(name, _)| *name == check.name)
                .expect("a known name")
        })
        .collect();
    assert!(order.is_sorted() && order.len() > 20, "{order:?}");
}

#[test]
fn text_is_one_line_for_each_check_with_its_fix_below_and_a_sum() {
    let world = World::settled();
    let said = assert_exit(&mut doctor(&world), 0);
    let lines: Vec<&str> = said.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.starts_with("  warning  group.termination "))
        .expect("a warning");
    assert!(
        lines[at + 1].starts_with("           fix: aws elbv2 modify-target-group-attributes "),
        "{}",
        lines[at + 1]
    );
    let last = lines.last().expect("a last line");
    assert!(
        last.starts_with("=> 5 warnings (") && last.ends_with("; exit code 0"),
        "{last}"
    );
    assert!(lines.contains(&"name servers"), "{said}");
    let statuses = ["ok", "warning", "failure", "skipped"];
    for line in lines
        .iter()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
    {
        assert!(statuses.contains(&line[2..9].trim()) && &line[9..11] == "  ", "{line}");
    }
}

#[test]
fn checks_that_wait_for_one_that_failed_are_drawn_together() {
    let world = World::settled();
    world.elb.fail(
        "DescribeTargetGroups",
        testkit::elb::Failure::denied("DescribeTargetGroups"),
        None,
    );
    let said = assert_exit(&mut doctor(&world), 77);
    let crowd: Vec<&str> = said
        .lines()
        .skip_while(|line| !line.contains(" checks  "))
        .take(3)
        .collect();
    assert!(
        crowd[0].contains("cannot be told before permission.describe-groups is well"),
        "{said}"
    );
    assert!(crowd[1].contains("group.type group.protocol group.port"), "{said}");
    // Each is told by itself to machines.
    let told = examine(&mut doctor(&world));
    told.assert("group.port", "skipped", &["permission.describe-groups"]);
    told.assert("balancer.alternative", "skipped", &["vpc-lattice"]);
}

#[test]
fn bad_settings_are_a_failed_check_with_the_exit_code_of_every_verb() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "config.toml",
        "[[target_group]]\narn = \"nonsense\"\nendpoints = [\"db.example:5432\"]\n",
    );
    let mut command = bare_command("http://127.0.0.1:9");
    let told = examine(command.args(["doctor", "--config"]).arg(&file));
    assert_eq!(told.exit, 78);
    told.assert("settings", "failure", &["config.toml:2", "no target-group ARN"]);
    assert_eq!(told.checks.len(), 1, "{}", told.said);

    let mut command = bare_command("http://127.0.0.1:9");
    let told = examine(command.args(["doctor", "--endpoint", "db.example:5432"]));
    assert_eq!(told.exit, 64);
    told.assert("settings", "failure", &["--target-group NAME|ARN"]);
}

/// Fails if a choice of checks hides that there are no settings to check anything by.
#[test]
fn settings_that_are_none_are_told_whatever_is_asked_for() {
    let scratch = Scratch::new();
    let broken = scratch.write("config.toml", "[[target_group]]\narn = \"nonsense\"\n");
    let broken = broken.to_str().unwrap();
    let missing = scratch.path("missing.toml");
    let missing = missing.to_str().unwrap();
    for (given, exit) in [
        (&["--config", broken][..], 78),
        (&["--config", missing], 78),
        (&["--endpoint", "db.example:5432"], 64),
    ] {
        for choice in [
            &["--only", "dns"][..],
            &["--only", "aws.identity", "--only", "database"],
            &["--skip", "settings"],
            &["--only", "settings", "--skip", "settings"],
        ] {
            let command = || {
                let mut command = bare_command("http://127.0.0.1:9");
                command.arg("doctor").args(given).args(choice);
                command
            };
            let told = examine(&mut command());
            assert_eq!(told.exit, exit, "{choice:?}: {}", told.said);
            let is_told = |name: &&str| *name == "settings";
            assert!(told.with("failure").iter().any(is_told), "{choice:?}: {}", told.said);
            let said = assert_exit(&mut command(), exit);
            assert!(!said.contains("nothing wrong"), "{choice:?}: {said}");
        }
    }
}

/// Fails if an examination that found nothing out is taken for one that found nothing wrong.
#[test]
fn nothing_checked_is_not_nothing_wrong() {
    let world = World::settled();
    for (choice, why) in [
        (
            &["--only", "proxy"][..],
            "none of the checks that --only and --skip leave",
        ),
        (&["--only", "database"], "none of the checks"),
        (&["--only", "dns", "--skip", "dns"], "none of the checks"),
        (&["--only", "permission.register"], "(1 skipped)"),
    ] {
        let said = assert_exit(doctor(&world).args(choice), 64);
        assert_says(&said, &["=> nothing was checked", why, "exit code 64"]);
        assert_eq!(examine(doctor(&world).args(choice)).exit, 64, "{choice:?}");
    }
    let said = assert_exit(doctor(&world).args(["--only", "dns.ttl"]), 0);
    assert_says(&said, &["=> nothing wrong was found (1 ok, 0 skipped)"]);
}

/// Fails if what keeps everything else from being checked can be left out, and all looks well.
#[test]
fn what_waits_for_a_failure_that_is_left_out_is_not_well() {
    let world = World::settled();
    let denied = testkit::elb::Failure::denied("DescribeTargetGroups");
    world.elb.fail("DescribeTargetGroups", denied, None);
    let said = assert_exit(doctor(&world).args(["--skip", "permission,balancer"]), 1);
    assert_says(
        &said,
        &[
            "=> not everything could be checked",
            "permission.describe-groups, which is left out, is not well",
        ],
    );
    // Nobody waits for it here.
    let told = examine(doctor(&world).args(["--only", "dns", "--skip", "permission"]));
    assert!(told.exit == 0 && told.with("failure").is_empty(), "{}", told.said);
}

#[test]
fn a_short_forget_is_told() {
    let world = World::settled();
    let told = examine(doctor(&world).args(["--forget", "5s", "--only", "settings"]));
    told.assert("settings", "warning", &["5 s", "flap", "60 s"]);
}

#[test]
fn files_and_urls_that_cannot_be_read_are_usage_errors() {
    let world = World::settled();
    let scratch = Scratch::new();
    let empty = scratch.write("empty.pem", "no certificate here\n");
    for (arguments, parts) in [
        (vec!["--ca-bundle", "/nowhere.pem"], vec!["--ca-bundle", "/nowhere.pem"]),
        (
            vec!["--ca-bundle", empty.to_str().unwrap()],
            vec!["no certificate", "PEM"],
        ),
        (vec!["--publication", "orders"], vec!["--database"]),
        (
            vec!["--database", "postgres://u:hidden@h/d?sslmode=verify-full"],
            vec!["--ca-bundle FILE"],
        ),
        (
            vec!["--database", "hidden"],
            vec!["postgres://USER:PASSWORD@HOST:5432/DATABASE"],
        ),
    ] {
        let said = assert_exit(doctor(&world).args(&arguments), 64);
        assert_says(&said, &parts);
        assert!(!said.contains("hidden"), "{said}");
    }
}

#[test]
fn the_password_is_never_shown() {
    let world = World::settled();
    // Nothing listens on the discard port.
    let url = "postgres://tether:hidden@127.0.0.1:9/orders";
    for arguments in [
        vec![],
        vec!["--output", "json"],
        vec!["-vv"],
        vec!["--timeout", "nonsense"],
    ] {
        let said = said(&finish(doctor(&world).env("RDS_TETHER_DATABASE", url).args(arguments)));
        assert!(!said.contains("hidden"), "{said}");
    }
    assert!(!said(&finish(doctor(&world).env("RDS_TETHER_DATABASE", url).arg("--help"))).contains("hidden"));
}

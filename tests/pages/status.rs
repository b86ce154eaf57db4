//! The verb `status`: from the running process if it knows, else from a look of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;
use testkit::dns::Behaviour;
use testkit::elb::Failure;
use testkit::settings::{dns, http, proxy};

use super::site::Site;
use super::world::*;

/// `status` of what the site's daemon follows, asking at its address.
fn ask(site: &Site) -> Command {
    let mut command = site.world.bound("status");
    command.args(["--http", &site.http.to_string(), "--forget", "1s"]);
    command
}

#[track_caller]
fn json(command: &mut Command, code: i32) -> Value {
    let output = finish(command.args(["--output", "json"]));
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

/// Fails if the running process is not asked, or what it says is not shown.
#[test]
fn the_running_process_is_asked() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    let shown = assert_exit(&mut ask(&site), 0);
    let url = format!(
        "asked http://{}/status: rds-tether {}, up for",
        site.http,
        env!("CARGO_PKG_VERSION")
    );
    assert_says(
        &shown,
        &[
            &url,
            "target group orders",
            "settled: the group equals DNS, in sync since 20",
            "ENDPOINT ",
            &format!("{WRITER}:5432  writer"),
            "1 s",
            "TARGET ",
            &format!("{OLD}:5432  healthy  eu-west-1a  names it"),
        ],
    );
    assert!(!shown.contains("proxy "), "flags bind no proxy: {shown}");
    let document = json(&mut ask(&site), 0);
    assert_eq!(document["target_groups"], site.status()["target_groups"]);
    assert_eq!(document["source"]["url"], format!("http://{}/status", site.http));
    assert_eq!(site.world.elb.writes().len(), 0);
}

/// Fails if an address is not enough to see everything that a process does.
#[test]
fn an_address_shows_all_that_is_there() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    site.wait_for_status("/proxies/0/ready", true);
    let mut command = bare_command("");
    let shown = assert_exit(command.args(["status", "--http", &site.http.to_string()]), 0);
    assert_says(
        &shown,
        &[
            "target group orders",
            "proxy 127.0.0.1:",
            "ready: 127.0.0.1 accepted",
            "SESSIONS",
        ],
    );
    drop(site);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = bare_command("");
    let said = assert_exit(command.args(["status", "--http", &free.to_string()]), 69);
    assert_says(&said, &[&free.to_string(), "start it, or give --config"]);
}

/// Fails if what waits, and for how long, is not shown at its target, or does not show in the exit code.
#[test]
fn what_is_held_stands_beside_its_target() {
    let world = World::settled();
    world.elb.put_target(&world.arn, NEW, 5432);
    let mut command = world.bound("status");
    let shown = assert_exit(command.args(["--forget", "1h"]), 2);
    let row = shown
        .lines()
        .find(|line| line.contains(&format!("{NEW}:5432")))
        .expect("its row");
    assert_says(
        row,
        &[
            "does not name it",
            "has not been named for 0 of 3600 s (at least 60 min more)",
        ],
    );
    assert_says(&shown, &["changes are pending"]);
    assert_eq!(world.elb.writes().len(), 0, "{}", world.story());
}

/// Fails if nobody can be told apart from somebody: each reason for a look of its own is said.
#[test]
fn without_a_process_that_knows_it_looks_for_itself() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    let other = World::settled();
    let own = |command: &mut Command, code: i32, why: &str| {
        let document = json(command, code);
        assert_eq!(document["settled"], true);
        assert_eq!(document["source"]["url"], Value::Null);
        assert_says(document["source"]["why"].as_str().unwrap(), &[why]);
        assert_eq!(document["target_groups"][0]["in_sync_since"], Value::Null);
        assert_eq!(document["target_groups"][0]["targets"][0]["state"], "healthy");
    };
    own(&mut other.bound("status"), 0, "--http is not given");
    let mut elsewhere = site.world.command("status");
    let http = site.http.to_string();
    let third = "third.cluster-abc123.eu-west-1.rds.amazonaws.com";
    site.world.dns.set(third, Behaviour::a(OLD, 1));
    let bound = bind(&mut elsewhere, &format!("{third}:5432"), &site.world.arn);
    own(
        bound.args(["--http", &http, "--forget", "1s"]),
        2,
        "follows other endpoints for target group orders",
    );
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    own(other.bound("status").args(["--http", &free]), 69, "Connection refused");
    for (reply, why) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "it answers /status with 404",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "its /status is not that of rds-tether",
        ),
        ("", "nothing to be learnt"),
    ] {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let served = thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(reply.as_bytes()).unwrap();
        });
        own(other.bound("status").args(["--http", &address]), 69, why);
        served.join().unwrap();
    }
    // It accepts, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    own(
        other.bound("status").args(["--http", &address]),
        69,
        "no answer within 2 s",
    );
}

/// Fails if a group or a proxy that the process does not have is passed over in silence.
#[test]
fn a_process_that_lacks_something_is_not_believed_to_know() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    let world = &site.world;
    let reports = world.elb.add_group(testkit::elb::Group::named("reports"));
    let mut command = ask(&site);
    let shown = assert_exit(command.args(["--target-group", &reports]), 2);
    assert_says(
        &shown,
        &[
            "seen by a look of its own",
            "does not follow target group reports",
            "no targets",
        ],
    );
    let scratch = Scratch::new();
    let text = proxy("127.0.0.1:1", &format!("{WRITER}:5432"))
        .and(dns(world.dns.addr()))
        .and(http(site.http));
    let path = scratch.write("other.toml", &text);
    let mut command = bare_command("");
    let shown = assert_exit(command.args(["status", "--config"]).arg(path), 2);
    assert_says(
        &shown,
        &[
            "the process does something else than these settings say",
            "does not serve the proxy on 127.0.0.1:1",
            "readiness unknown: only its own process knows",
            OLD,
        ],
    );
}

/// Fails if all looks well although the process that the settings name is dead.
#[test]
fn a_dead_process_is_told_first_and_is_not_well() {
    let mut site = Site::settled();
    site.wait_for_status("/settled", true);
    assert_exit(&mut ask(&site), 0);
    site.daemon.child.kill().unwrap();
    site.daemon.wait();
    let shown = assert_exit(&mut ask(&site), 69);
    let first = shown.lines().next().unwrap();
    assert_says(
        first,
        &[
            "no rds-tether answers",
            "nobody follows this",
            "seen by a look of its own",
            &format!("http://{}/", site.http),
            "Connection refused",
        ],
    );
    assert_says(&shown, &["settled: the group equals DNS"]);
    let document = json(&mut ask(&site), 69);
    assert_eq!(
        (&document["exit_code"], &document["source"]["process"]),
        (&69.into(), &"no_answer".into())
    );
}

/// Fails if nobody learns that a process only looks, so that nothing follows a failover.
#[test]
fn an_observer_says_that_it_writes_nothing() {
    let site = Site::of(World::settled(), "observe = true");
    let status = site.wait_for_status("/settled", true);
    let told = "settled: the group equals DNS; only observed: nothing is written";
    assert_eq!(
        (
            &status["target_groups"][0]["observe"],
            &status["target_groups"][0]["verdict"]
        ),
        (&true.into(), &told.into())
    );
    assert_says(&site.get("/").body, &[told]);
    assert_says(&assert_exit(ask(&site).arg("--observe"), 0), &[told]);
    // Where the settings want it to write, it does something else.
    let shown = assert_exit(&mut ask(&site), 2);
    let first = shown.lines().next().unwrap();
    assert_says(
        first,
        &[
            "does something else than these settings say",
            "for target group orders, observe is true, and not set here",
        ],
    );
    for verb in ["plan", "sync"] {
        assert_says(&assert_exit(site.world.bound(verb).arg("--observe"), 0), &[told]);
    }
    assert_eq!(site.world.elb.writes().len(), 0);
    let (_, log) = site.daemon.stop();
    assert_says(&log, &["stopping: 1 of 1 target groups settled; 1 only observed; "]);
}

/// Fails if a process that goes by other rules than the settings have is taken for one that obeys them.
#[test]
fn a_process_with_other_rules_does_something_else() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    site.wait_for_status("/proxies/0/ready", true);
    let listen = site.status()["proxies"][0]["listen"].as_str().unwrap().to_owned();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let http = site.http.to_string();
    let text = text
        .replacen("127.0.0.1:0", &listen, 1)
        .replacen("127.0.0.1:0", &http, 1);
    let scratch = Scratch::new();
    let status = |text: &str, code: i32| {
        let path = scratch.write("config.toml", text);
        assert_exit(
            bare_command(&site.world.elb.url())
                .arg("status")
                .arg("--config")
                .arg(path),
            code,
        )
    };
    let shown = status(&text, 0);
    assert_says(&shown, &["asked http://", "ready: "]);
    for (table, line, told) in [
        (
            "[[target_group]]",
            "keep = [\"10.9.0.0/16\"]",
            "for target group orders, keep is not set, and 10.9.0.0/16 here",
        ),
        (
            "[[target_group]]",
            "role = \"reader\"",
            "role is not set, and reader here",
        ),
        (
            "[[target_group]]",
            "upsert_only = true",
            "upsert_only is not set, and true here",
        ),
        ("[[target_group]]", "probe = \"tcp\"", "probe is not set, and tcp here"),
        ("[[proxy]]", "linger = \"never\"", "linger is not set, and never here"),
        (
            "[[proxy]]",
            "dial_timeout = \"3s\"",
            "dial_timeout is not set, and 3s here",
        ),
        (
            "[dns]",
            "quorum = \"majority\"",
            "for DNS, quorum is not set, and majority here",
        ),
    ] {
        let shown = status(&text.replacen(table, &format!("{table}\n{line}"), 1), 2);
        // What it does is still the truth.
        assert_says(
            &shown,
            &[
                "the process does something else",
                told,
                "asked http://",
                "in sync since",
            ],
        );
    }
    let shown = status(&text.replacen("forget = \"1s\"", "forget = \"2h\"", 1), 2);
    assert_says(&shown, &["forget is 1s, and 7200s here"]);
}

/// Fails if nobody learns from the pages that new settings were refused, since when, and why; or if that stays when they are taken.
#[test]
fn settings_that_were_refused_are_told() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    let good = std::fs::read_to_string(site.config()).unwrap();
    let by_address = || {
        let mut command = bare_command("");
        command.args(["status", "--http", &site.http.to_string()]);
        command
    };
    assert_exit(&mut by_address(), 0);
    for (mistake, why) in [
        ("observ = true\n", "did you mean `observe`?"),
        ("forgett = \"1s\"\n", "forgett"),
    ] {
        let bad = good.replacen("[[target_group]]\n", &format!("[[target_group]]\n{mistake}"), 1);
        std::fs::write(site.config(), bad).unwrap();
        site.daemon.signal("HUP");
        let refused = |status: &Value| status["settings_refused"]["why"].to_string().contains(why);
        let status = site.wait_for("the refusal is shown", |site| Some(site.status()).filter(refused));
        assert_eq!((&status["settled"], &status["exit_code"]), (&true.into(), &2.into()));
        // Parts of a second are as long as they have to be, so that the Z does not count.
        let [since, at] = ["since", "at"].map(|key| {
            let text = status["settings_refused"][key].as_str().expect("a moment");
            text.trim_end_matches('Z')
        });
        assert!(since <= at, "{status}");
        assert_says(
            &site.get("/").body,
            &[
                "Older settings:",
                "goes on with the old ones",
                mistake.split(' ').next().unwrap(),
            ],
        );
        let shown = assert_exit(&mut by_address(), 2);
        assert_says(&shown, &["older settings: ", " ago to take new settings", why]);
    }
    std::fs::write(site.config(), good).unwrap();
    site.daemon.signal("HUP");
    site.wait_for("the settings are taken", |site| {
        site.status().get("settings_refused").is_none().then_some(())
    });
    assert!(!site.get("/").body.contains("Older settings"));
}

/// Fails if all looks well although nobody can be asked whether the proxies serve.
#[test]
fn proxies_that_nobody_can_be_asked_about_are_not_well() {
    let world = World::settled();
    let scratch = Scratch::new();
    let proxies = proxy("127.0.0.1:1", &format!("{WRITER}:5432"));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let group = testkit::settings::target_group(&world.arn, &format!("{WRITER}:5432"));
    for (text, told, process) in [
        (
            proxies.clone().and(dns(world.dns.addr())),
            "no rds-tether can be asked",
            "not_asked",
        ),
        (
            group.and(proxies.clone()).and(dns(world.dns.addr())),
            "no rds-tether can be asked",
            "not_asked",
        ),
        (
            proxies.and(dns(world.dns.addr())).and(http(free)),
            "no rds-tether answers",
            "no_answer",
        ),
    ] {
        let path = scratch.write("config.toml", &text);
        let status = || {
            let mut command = bare_command(&world.elb.url());
            command.args(["status", "--config"]).arg(&path);
            command
        };
        let shown = assert_exit(&mut status(), 69);
        assert_says(shown.lines().next().unwrap(), &[told]);
        assert_says(&shown, &["readiness unknown"]);
        let document = json(&mut status(), 69);
        assert_eq!(
            (&document["exit_code"], &document["source"]["process"]),
            (&69.into(), &process.into())
        );
    }
}

/// Fails if what others say can move the cursor of a terminal.
#[test]
fn what_others_say_moves_no_cursor() {
    let world = World::settled();
    let failure = Failure::code(403, "AccessDenied", "red \u{9b}31m alert\u{7f}");
    world.elb.fail("DescribeTargetHealth", failure, None);
    let shown = assert_exit(&mut world.bound("status"), 2);
    assert_says(
        &shown,
        &[
            "AccessDenied",
            "the targets could not be listed",
            "red \\u009b31m alert\\u007f",
        ],
    );
    let planned = assert_exit(&mut world.bound("plan"), 77);
    assert_says(&planned, &["could not be listed", "red \\u009b31m alert\\u007f"]);
}

/// Fails if a watch shows the state once only, or does not see a change.
#[test]
fn a_watch_shows_it_again_and_again() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    let mut command = ask(&site);
    let command = command
        .args(["--watch", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut documents = lines
        .by_ref()
        .map(|line| serde_json::from_str::<Value>(&line).expect("a document a line"));
    assert_eq!(documents.next().expect("the first")["settled"], true);
    site.world.dns.set(WRITER, Behaviour::NxDomain);
    assert!(documents.any(|document| document["settled"] == false));
    drop(lines);
    // Nobody reads any more, so it ends by itself.
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(2));
}

/// Fails if what is wrong does not come first, or how many are how is not told.
#[test]
fn the_worst_comes_first() {
    let world = World::settled();
    let reports = world.elb.add_group(testkit::elb::Group::named("reports"));
    let failing = "failing.cluster-abc123.eu-west-1.rds.amazonaws.com";
    world.dns.set(failing, Behaviour::ServFail);
    let text = testkit::settings::target_group(&world.arn, &format!("{WRITER}:5432"))
        .and(testkit::settings::target_group(&reports, &format!("{failing}:5432")))
        .and(dns(world.dns.addr()));
    let scratch = Scratch::new();
    let mut command = bare_command(&world.elb.url());
    let path = scratch.write("config.toml", &text);
    let shown = assert_exit(command.args(["status", "--config"]).arg(path), 2);
    assert_says(&shown, &["2 target groups: 1 in trouble, 1 well"]);
    let place = |what: &str| shown.find(what).unwrap_or_else(|| panic!("no {what} in {shown}"));
    assert!(place("target group reports") < place("target group orders"), "{shown}");
    let many: Vec<String> = (0..20)
        .map(|number| {
            world
                .elb
                .add_group(testkit::elb::Group::named(&format!("many-{number}")))
        })
        .collect();
    let text = many.iter().fold(text, |text, arn| {
        world.elb.put_target(arn, OLD, 5432);
        text.and(testkit::settings::target_group(arn, &format!("{WRITER}:5432")))
    });
    world.elb.reset_lowest(&world.arn);
    let mut command = bare_command(&world.elb.url());
    let path = scratch.write("many.toml", &text);
    let shown = assert_exit(command.args(["status", "--config"]).arg(path), 2);
    assert_says(
        &shown,
        &[
            "22 target groups: 1 in trouble, 21 well",
            "TARGET GROUP  ENDPOINTS",
            "target group reports\n",
        ],
    );
    let line = shown
        .lines()
        .find(|line| line.trim_start().starts_with("many-7 "))
        .unwrap();
    assert_says(line, &[WRITER, &format!("{OLD}:5432 healthy")]);
}

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
    command.args(["--http", &site.http.to_string()]);
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
        bound.args(["--http", &http]),
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

/// Fails if what others say can move the cursor of a terminal.
#[test]
fn what_others_say_moves_no_cursor() {
    let world = World::settled();
    let failure = Failure::code(403, "AccessDenied", "red \u{9b}31m alert\u{7f}");
    world.elb.fail("DescribeTargetHealth", failure, None);
    let shown = assert_exit(&mut world.bound("status"), 2);
    assert_says(
        &shown,
        &["AccessDenied", "the targets could not be listed", "red ?31m alert?"],
    );
    let planned = assert_exit(&mut world.bound("plan"), 77);
    assert_says(&planned, &["could not be listed", "red ?31m alert?"]);
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

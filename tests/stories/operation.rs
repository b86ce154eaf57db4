//! The program as an operator meets it: starts and ends, signals, settings, logs, exit codes.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::dns::{self, Behaviour};
use testkit::elb::{self, Call, Failure, Group};
use testkit::settings::target_group;

use super::world::*;

#[track_caller]
fn wait_for_more_queries(dns: &dns::Server, host: &str, more: usize) {
    let wanted = dns.count(host) + more;
    assert!(
        dns.wait_for_queries(host, wanted, PATIENCE),
        "no {wanted} queries for {host}"
    );
}

/// A part of a settings file: a group, the endpoint it follows, and more lines.
fn group(arn: &str, endpoint: &str, more: &str) -> String {
    format!("{}{more}\n", target_group(arn, endpoint))
}

/// A call of an action about a group; each write here is about one target.
fn about<'a>(calls: &'a [Call], arn: &str, action: &str) -> Vec<&'a Call> {
    let wanted = |call: &&Call| call.arn.as_deref() == Some(arn) && call.action == action;
    calls.iter().filter(wanted).collect()
}

fn writer_port() -> String {
    format!("{WRITER}:5432")
}

// Starting and ending

/// An address of this machine that no other test uses, so that a port of it stays free while nobody listens.
fn own_address(last: u8) -> SocketAddr {
    (Ipv4Addr::new(127, 53, 0, last), 0).into()
}

/// Starts a name server again where one was before.
fn dns_again(addr: SocketAddr) -> dns::Server {
    let end = Instant::now() + PATIENCE;
    loop {
        match dns::Server::start_at(addr) {
            Ok(server) => return server,
            // Any socket of this machine may hold the port for a moment.
            Err(error) => assert!(Instant::now() < end, "{addr} stays taken: {error}"),
        }
        thread::park_timeout(Duration::from_millis(50));
    }
}

/// A service manager's end of the socket that the daemon reports to.
struct ServiceManager {
    socket: UnixDatagram,
    path: PathBuf,
    _scratch: Scratch,
}

impl ServiceManager {
    fn new() -> Self {
        let scratch = Scratch::new();
        let path = scratch.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket in the test's directory");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Self {
            socket,
            path,
            _scratch: scratch,
        }
    }

    /// Waits for a message with a line that begins and goes on like this, and gives the line.
    #[track_caller]
    fn wait_for(&self, start: &str, part: &str) -> String {
        let mut heard = Vec::new();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let mut buffer = [0; 4096];
            let Ok(length) = self.socket.recv(&mut buffer) else {
                break;
            };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if let Some(line) = message
                .lines()
                .find(|line| line.starts_with(start) && line.contains(part))
            {
                return line.to_owned();
            }
            heard.push(message);
        }
        panic!("no {start}...{part} in {heard:?}");
    }
}

/// Fails if readiness or the watchdog hang on DNS or AWS: then the service manager would restart what only has to wait.
#[test]
fn a_daemon_that_sees_nothing_is_ready_alive_and_says_what_is_wrong() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::Silent);
    world.elb.stop_listening();
    let manager = ServiceManager::new();
    let daemon = Daemon::start(
        world
            .bound("run")
            .env("NOTIFY_SOCKET", &manager.path)
            .env("WATCHDOG_USEC", "1000000"),
    );
    manager.wait_for("READY=1", "");
    manager.wait_for("STATUS=0 of 1 target groups settled; orders: ", "Unreachable");
    for _ in 0..5 {
        manager.wait_for("WATCHDOG=1", "");
    }
    daemon.signal("TERM");
    manager.wait_for("STOPPING=1", "");
    let (status, log) = daemon.ended();
    assert!(status.success(), "{log}");
}

/// Fails if the state that a service manager shows is not brought up to date, or names no cause.
#[test]
fn the_status_line_follows_the_state() {
    let world = World::settled();
    let manager = ServiceManager::new();
    let _daemon = Daemon::start(world.bound("run").env("NOTIFY_SOCKET", &manager.path));
    manager.wait_for("READY=1", "");
    manager.wait_for("STATUS=1 of 1 target groups settled", "");
    world.dns.set(WRITER, Behaviour::NxDomain);
    manager.wait_for("STATUS=0 of 1 target groups settled; orders: ", "NXDOMAIN");
    world.dns.set(WRITER, Behaviour::a(OLD, 1));
    manager.wait_for("STATUS=1 of 1 target groups settled", "");
}

/// Fails if the daemon ends, or never looks again, because DNS was down when it started.
#[test]
fn a_start_while_dns_is_down_converges_when_it_comes() {
    let world = World::new();
    let first = dns::Server::start_on(own_address(1).ip());
    let addr = first.addr();
    drop(first);
    let mut command = bare_command(&world.elb.url());
    command.args(["run", "--nameserver", &addr.to_string()]);
    let daemon = Daemon::start(bind(&mut command, &writer_port(), &world.arn));
    daemon.wait_for_log(&["WARN", "cannot be resolved"]);

    let server = dns_again(addr);
    server.set(WRITER, Behaviour::a(OLD, 1));
    world.wait("the address is registered", |calls| count(calls, "Register", OLD) > 0);
    daemon.wait_for_log(&["recovered"]);
}

/// Fails if the daemon ends, or never looks again, because AWS was down when it started.
#[test]
fn a_start_while_aws_is_down_converges_when_it_comes() {
    let elb = elb::Server::start_at(own_address(2)).expect("an address of loopback");
    let arn = elb.add_group(Group::named("orders"));
    let dns = dns::Server::start();
    dns.set(WRITER, Behaviour::a(OLD, 1));
    let world = World { dns, elb, arn };
    world.elb.stop_listening();
    let daemon = Daemon::start(&mut world.bound("run"));
    daemon.wait_for_log(&["WARN", "Unreachable"]);

    world.elb.listen_again().expect("the port is free");
    world.wait("the address is registered", |calls| count(calls, "Register", OLD) > 0);
    daemon.wait_for_log(&["recovered"]);
    assert_eq!(world.registered(), ["10.0.1.5:5432"]);
}

/// Fails if an empty group waits for an event, a second sighting or a verification.
#[test]
fn an_empty_group_is_filled_by_the_first_look() {
    let world = World::new();
    world.dns.set(WRITER, Behaviour::a(OLD, 5));
    let _daemon = Daemon::start(&mut world.bound("run"));
    world.wait("the address is registered", |calls| count(calls, "Register", OLD) > 0);
    let actions: Vec<String> = world.elb.calls().into_iter().map(|call| call.action).collect();
    assert_eq!(
        actions[..3],
        ["DescribeTargetGroups", "DescribeTargetHealth", "RegisterTargets"]
    );
    assert_eq!(world.dns.count(WRITER), 1);
}

/// Fails if the end waits for a call or a look that is under way.
#[test]
fn a_signal_ends_the_daemon_soon_and_well_whatever_hangs() {
    for name in ["TERM", "INT"] {
        for hanging in [
            "nothing",
            "DNS",
            "DescribeTargetGroups",
            "DescribeTargetHealth",
            "RegisterTargets",
        ] {
            let world = World::new();
            match hanging {
                "nothing" => {}
                "DNS" => world.dns.set(WRITER, Behaviour::Silent),
                action => world.elb.fail(action, Failure::Hang, None),
            }
            let daemon = Daemon::start(&mut world.bound("run"));
            match hanging {
                "nothing" => _ = daemon.wait_for_log(&["converged"]),
                "DNS" => wait_for_more_queries(&world.dns, WRITER, 1),
                action => world.wait("the call hangs", |calls| calls.iter().any(|call| call.action == action)),
            }
            daemon.signal(name);
            let sent = Instant::now();
            let (status, log) = daemon.ended();
            let took = sent.elapsed();
            assert_eq!(status.code(), Some(0), "SIG{name} while {hanging} hangs:\n{log}");
            assert!(
                took < Duration::from_secs(4),
                "SIG{name} while {hanging} hangs: {took:?}\n{log}"
            );
            assert_says(&log, &["stopping"]);
        }
    }
}

// Reloading

/// Three groups, three names, and a settings file.
struct Fleet {
    world: World,
    arns: [String; 3],
    scratch: Scratch,
}

const NAMES: [&str; 3] = ["orders.example.com", "users.example.com", "stock.example.com"];

impl Fleet {
    fn new() -> Self {
        let world = World::new();
        let users = world.elb.add_group(Group::named("users"));
        let stock = world.elb.add_group(Group::named("stock"));
        for name in NAMES {
            world.dns.set(name, Behaviour::a(OLD, 1));
        }
        Self {
            arns: [world.arn.clone(), users, stock],
            scratch: Scratch::new(),
            world,
        }
    }

    fn group(&self, index: usize, more: &str) -> String {
        group(&self.arns[index], &format!("{}:5432", NAMES[index]), more)
    }

    /// Writes the settings file and gives its path.
    fn write(&self, text: &str) -> PathBuf {
        self.scratch.write("config.toml", text)
    }

    fn command(&self, verb: &str, text: &str) -> Command {
        let mut command = self.world.command(verb);
        command.arg("--config").arg(self.write(text));
        command
    }

    fn wait_registered(&self, index: usize, ip: &str) {
        let registered = |calls: &[Call]| {
            about(calls, &self.arns[index], "RegisterTargets")
                .iter()
                .any(|call| is(call, "Register", ip))
        };
        self.world.wait("the address is registered", registered);
    }
}

/// Fails if a reload restarts what did not change, keeps what was taken out, or does not start what is new.
#[test]
fn a_reload_starts_and_stops_what_changed_and_leaves_the_rest_its_clocks() {
    let fleet = Fleet::new();
    let [unchanged, removed, added] = [0, 1, 2];
    let forget = "forget = \"8s\"";
    let text = fleet.group(unchanged, forget) + &fleet.group(removed, forget);
    let daemon = Daemon::start(&mut fleet.command("run", &text));
    fleet.wait_registered(unchanged, OLD);
    fleet.wait_registered(removed, OLD);
    for name in NAMES {
        fleet.world.dns.set(name, Behaviour::a(NEW, 1));
    }
    fleet.wait_registered(unchanged, NEW);
    fleet.wait_registered(removed, NEW);
    daemon.wait_for_log(&["orders", "has not been named"]);
    wait_for_more_queries(&fleet.world.dns, NAMES[unchanged], 3);

    let before = fleet.world.elb.calls().len();
    fleet.write(&(fleet.group(unchanged, forget) + &fleet.group(added, forget)));
    daemon.signal("HUP");
    daemon.wait_for_log(&["settings reloaded", "kept=1", "started=1", "stopped=1"]);
    fleet.wait_registered(added, NEW);
    let asked_for_removed = fleet.world.dns.count(NAMES[removed]);
    fleet.world.wait("the removal of the unchanged binding comes", |calls| {
        !about(calls, &fleet.arns[unchanged], "DeregisterTargets").is_empty()
    });

    let calls = fleet.world.elb.calls();
    // A follower that is started anew begins with the description of its group.
    let since = calls.iter().skip(before);
    let descriptions = since.filter(|call| call.action == "DescribeTargetGroups");
    let of_added = |call: &&Call| call.arn.as_ref() == Some(&fleet.arns[added]);
    let (of_added, others): (Vec<_>, Vec<_>) = descriptions.partition(of_added);
    assert_eq!((of_added.len(), others.len()), (1, 0), "{}", fleet.world.story());
    let log = daemon.log();
    assert_eq!(
        log.matches("DNS no longer names 10.0.1.5:5432").count(),
        2,
        "once for each of the first two:\n{log}"
    );
    assert_eq!(
        about(&calls, &fleet.arns[removed], "DeregisterTargets").len(),
        0,
        "{}",
        fleet.world.story()
    );
    let asked_since = fleet.world.dns.count(NAMES[removed]) - asked_for_removed;
    assert!(asked_since <= 1, "{asked_since} lookups for a binding that is gone");
}

/// Fails if a reload with the old settings restarts anything, or loses the count of bindings.
#[test]
fn a_reload_without_a_change_changes_nothing() {
    let fleet = Fleet::new();
    let daemon = Daemon::start(&mut fleet.command("run", &(fleet.group(0, "") + &fleet.group(1, ""))));
    daemon.wait_for_log(&["orders", "converged"]);
    daemon.wait_for_log(&["users", "converged"]);
    daemon.signal("HUP");
    daemon.wait_for_log(&["settings reloaded", "kept=2", "started=0", "stopped=0"]);
    wait_for_more_queries(&fleet.world.dns, NAMES[0], 2);
    let descriptions = fleet.world.elb.calls();
    let descriptions = descriptions
        .iter()
        .filter(|call| call.action == "DescribeTargetGroups")
        .count();
    assert_eq!(descriptions, 1);
    let (_, log) = daemon.stop();
    assert_says(&log, &["stopping: 2 of 2 target groups settled"]);
}

/// Fails if a part of broken settings is taken, if the daemon ends, or if nobody learns which line it is.
#[test]
fn broken_settings_are_refused_as_a_whole_with_file_and_line() {
    let fleet = Fleet::new();
    let daemon = Daemon::start(&mut fleet.command("run", &fleet.group(0, "forget = \"2s\"")));
    fleet.wait_registered(0, OLD);
    let good = fleet.group(1, "");
    let broken = [
        (
            good.clone() + &fleet.group(2, "forgett = \"1s\""),
            "config.toml:8:",
            "forgett",
        ),
        (good.clone() + &fleet.group(1, ""), "config.toml:6:", "bound twice"),
        (
            good.clone() + "[dns]\nnameservers = [\"nowhere\"]\n",
            "config.toml:6:",
            "nowhere",
        ),
        (good.clone() + "[[target_group", "config.toml:5:", ""),
        (String::new(), "config.toml:1:", "nothing to follow"),
    ];
    for (text, line, what) in broken {
        let path = fleet.write(&text);
        daemon.signal("HUP");
        let warning = daemon.wait_for_log(&["WARN", "the new settings are not taken", line, what]);
        assert_says(&warning, &["the old ones stay in force", path.to_str().expect("plain")]);
    }
    fleet.world.dns.set(NAMES[0], Behaviour::a(NEW, 1));
    fleet.wait_registered(0, NEW);
    fleet.world.wait("the old binding goes on", |calls| {
        !about(calls, &fleet.arns[0], "DeregisterTargets").is_empty()
    });
    let strangers = fleet.world.elb.calls().into_iter();
    let strangers = strangers
        .filter(|call| call.arn.as_ref() != Some(&fleet.arns[0]))
        .count();
    assert_eq!(strangers, 0, "{}", fleet.world.story());
}

/// Fails if a vanished file ends the daemon, or if changed rules of a binding are not taken.
#[test]
fn a_reload_takes_changed_rules_and_survives_a_file_that_is_gone() {
    let fleet = Fleet::new();
    let daemon = Daemon::start(&mut fleet.command("run", &fleet.group(0, "forget = \"1h\"")));
    fleet.wait_registered(0, OLD);
    fleet.world.dns.set(NAMES[0], Behaviour::a(NEW, 1));
    fleet.wait_registered(0, NEW);
    daemon.wait_for_log(&["has not been named", "of 3600 s"]);

    let path = fleet.scratch.path("config.toml");
    std::fs::remove_file(&path).expect("it was written");
    daemon.signal("HUP");
    daemon.wait_for_log(&["WARN", "cannot read the settings file", path.to_str().expect("plain")]);
    fleet.write(&fleet.group(0, "forget = \"2s\""));
    daemon.signal("HUP");
    daemon.wait_for_log(&["settings reloaded", "kept=0", "started=1", "stopped=1"]);
    fleet.world.wait("the old target goes by the new rule", |calls| {
        count(calls, "Deregister", OLD) > 0
    });
}

// Watching without touching

/// Fails if anything is written, or if an operator learns nothing of what would have been.
#[test]
fn an_observer_writes_nothing_and_says_what_it_would_do() {
    let world = World::settled();
    let daemon = Daemon::start(world.bound("run").args(["--observe", "--forget", "2s"]));
    daemon.wait_for_log(&["settled"]);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    daemon.wait_for_log(&["would register 10.0.2.7:5432"]);
    daemon.wait_for_log(&["10.0.1.5:5432 stays until a current address"]);
    // Whoever may write does the first half; DNS moves to and fro, so that the observer looks at the group soon.
    world.elb.put_target(&world.arn, NEW, 5432);
    world.dns.set(WRITER, Behaviour::a(OLD, 1));
    wait_for_more_queries(&world.dns, WRITER, 2);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    daemon.wait_for_log(&["would deregister 10.0.1.5:5432"]);
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert_eq!(world.writes(), [""; 0]);
    assert_eq!(world.registered().len(), 2);
}

/// Fails if `sync --observe` writes, or claims to have settled what it left alone.
#[test]
fn a_sync_that_observes_writes_nothing() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let text = assert_exit(world.bound("sync").args(["--observe", "--timeout", "3s"]), 2);
    assert_says(&text, &["would change", "register    10.0.2.7:5432"]);
    assert_eq!(world.writes(), [""; 0]);
}

// The log

/// Fails if a log collector meets a line that is no JSON object with time, level and message.
#[test]
fn the_log_is_json_where_nobody_watches() {
    let world = World::settled();
    let daemon = Daemon::spawn(
        world
            .bound("run")
            .args(["--forget", "1s"])
            .env("RDS_TETHER_VERBOSE", "1"),
    );
    daemon.wait_for_log(&["settled"]);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    daemon.wait_for_log(&["converged"]);
    world.dns.set(WRITER, Behaviour::ServFail);
    daemon.wait_for_log(&["WARN", "SERVFAIL"]);
    daemon.signal("HUP");
    daemon.wait_for_log(&["settings reloaded"]);
    let (_, log) = daemon.stop();
    for line in log.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "message"] {
            assert!(value[key].is_string(), "no {key} in {line}");
        }
    }
    assert_says(
        &log,
        &[
            "\"level\":\"DEBUG\"",
            "registered 10.0.2.7:5432",
            "deregistered 10.0.1.5:5432",
            "\"group\":\"orders\"",
        ],
    );
}

/// Fails if every look leaves a line: a log that always talks is not read.
#[test]
fn a_settled_daemon_is_silent() {
    let world = World::settled();
    let daemon = Daemon::start(&mut world.bound("run"));
    daemon.wait_for_log(&["settled: the group equals DNS"]);
    wait_for_more_queries(&world.dns, WRITER, 6);
    let log = daemon.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("settled: the group equals DNS"), "{log}");
    assert_eq!(log.lines().count(), 2, "the start and the state:\n{log}");
}

/// Fails if a failure that lasts is logged at every look, be it at DNS or at the group.
#[test]
fn trouble_is_logged_when_it_begins_and_ends_and_not_at_every_look() {
    let world = World::settled();
    world.elb.fail("DescribeTargetHealth", Failure::unavailable(), Some(4));
    let daemon = Daemon::start(world.bound("run").args(["--interval", "1s"]));
    daemon.wait_for_log(&["recovered: settled"]);
    assert_eq!(looks(&world.elb.calls()), 5, "{}", world.story());
    world.dns.set(WRITER, Behaviour::ServFail);
    daemon.wait_for_log(&["WARN", "SERVFAIL"]);
    wait_for_more_queries(&world.dns, WRITER, 6);
    let (_, log) = daemon.stop();
    let warned_of = |what: &str| {
        log.lines()
            .filter(|line| line.contains("WARN") && line.contains(what))
            .count()
    };
    assert_eq!(
        (warned_of("ServiceUnavailable"), warned_of("SERVFAIL")),
        (1, 1),
        "{log}"
    );
    assert_eq!(log.matches("recovered").count(), 1, "{log}");
}

/// Fails if the steps that verify a change repeat what has been said.
#[test]
fn steps_that_bring_nothing_new_leave_no_line() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let daemon = Daemon::start(&mut world.bound("run"));
    daemon.wait_for_log(&["10.0.1.5:5432 has not been named"]);
    daemon.wait_for_log(&["10.0.2.7:5432 is healthy"]);
    let before = (looks(&world.elb.calls()), daemon.log());
    world.wait("the change is verified", |calls| looks(calls) >= before.0 + 2);
    assert_eq!(daemon.log(), before.1);
}

// One binding and the others

/// What can go wrong with the first binding of a fleet, and how it is made to.
type Trouble = (&'static str, fn(&Fleet));

/// Fails if what goes wrong with one binding holds up another, at the start or later.
#[test]
fn trouble_of_one_binding_never_delays_another() {
    let troubles: [Trouble; 6] = [
        ("its group does not exist", |fleet| {
            fleet.world.elb.model(|model, _| model.remove_group(&fleet.arns[0]))
        }),
        ("its description is denied", |fleet| {
            fleet.fail_first("DescribeTargetGroups", Failure::denied("DescribeTargetGroups"))
        }),
        ("its listing is denied", |fleet| {
            fleet.fail_first("DescribeTargetHealth", Failure::denied("DescribeTargetHealth"))
        }),
        ("its listing hangs", |fleet| {
            fleet.fail_first("DescribeTargetHealth", Failure::Hang)
        }),
        ("its registration hangs", |fleet| {
            fleet.fail_first("RegisterTargets", Failure::Hang)
        }),
        ("its name server is silent about it", |fleet| {
            fleet.world.dns.set(NAMES[0], Behaviour::Silent)
        }),
    ];
    for (trouble, make) in troubles {
        let fleet = Fleet::new();
        make(&fleet);
        let text = fleet.group(0, "") + &fleet.group(1, "forget = \"1s\"");
        let _daemon = Daemon::start(&mut fleet.command("run", &text));
        fleet.wait_registered(1, OLD);
        fleet.world.dns.set(NAMES[1], Behaviour::a(NEW, 1));
        fleet.wait_registered(1, NEW);
        fleet.world.wait("the other converges", |calls| {
            !about(calls, &fleet.arns[1], "DeregisterTargets").is_empty()
        });
        let took = fleet.world.since_first("*");
        // A call or a look that hangs is given up after seconds; whoever waits for one again and again is later.
        assert!(
            took < Duration::from_secs(10),
            "{trouble}: {took:?}\n{}",
            fleet.world.story()
        );
        assert_eq!(fleet.world.registered(), [""; 0], "{trouble}");
    }
}

impl Fleet {
    fn fail_first(&self, action: &str, failure: Failure) {
        self.world.elb.fail_for(&self.arns[0], action, failure, None);
    }
}

/// Fails if the first look at one group waits for the description of another that hangs.
#[test]
fn a_description_that_hangs_delays_no_other_binding_at_the_start() {
    let fleet = Fleet::new();
    fleet.fail_first("DescribeTargetGroups", Failure::Hang);
    let _daemon = Daemon::start(&mut fleet.command("run", &(fleet.group(0, "") + &fleet.group(1, ""))));
    fleet.wait_registered(1, OLD);
    let took = fleet.world.since_first("*");
    assert!(took < Duration::from_secs(4), "{took:?}\n{}", fleet.world.story());
}

// Settings

/// Fails if an environment variable does less than its flag.
#[test]
fn every_flag_has_its_environment_variable() {
    let world = World::settled();
    world.elb.put_target(&world.arn, NEW, 5432);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let plan = |variables: &[(&str, &str)], code| {
        let mut command = bare_command(&world.elb.url());
        command
            .env("RDS_TETHER_NAMESERVER", world.dns.addr().to_string())
            .env("RDS_TETHER_ENDPOINT", writer_port())
            .env("RDS_TETHER_TARGET_GROUP", &world.arn)
            .envs(variables.iter().copied());
        assert_exit(command.arg("plan"), code)
    };
    assert_says(&plan(&[], 2), &["follows as writer", "of 60 s"]);
    for (name, value, code, shown) in [
        ("FORGET", "7m", 2, "of 420 s"),
        ("ROLE", "reader", 0, "follows as reader"),
        ("KEEP", "10.0.9.0/24,10.0.1.0/24", 0, "10.0.1.5:5432 is covered by keep"),
        ("UPSERT_ONLY", "true", 0, "stays because of upsert_only"),
        ("ALLOW_CIDR", "10.0.1.0/24", 3, "outside allow_cidrs"),
        ("OUTPUT", "json", 2, "\"schema\": \"rds-tether/1\""),
        ("TIMEOUT", "0s", 64, "--timeout"),
        ("OBSERVE", "true", 2, "of 60 s"),
        ("INTERVAL", "0s", 64, "interval"),
        ("CONFIG", "/nowhere", 64, "--config does not go with --endpoint"),
    ] {
        let text = plan(&[(&format!("RDS_TETHER_{name}"), value)], code);
        assert_says(&text, &[shown]);
    }
    let patience = plan(&[("RDS_TETHER_PATIENCE", "2d")], 64);
    assert_says(&patience, &["patience"]);
}

/// Fails if a variable that says no turns its switch on.
#[test]
fn a_switch_can_be_off_in_the_environment() {
    let world = World::settled();
    world.elb.put_target(&world.arn, "10.0.3.3", 5432);
    let mut command = world.bound("sync");
    command
        .args(["--forget", "0s"])
        .envs([("RDS_TETHER_UPSERT_ONLY", "false"), ("RDS_TETHER_OBSERVE", "false")]);
    assert_exit(&mut command, 0);
    assert_eq!(world.registered(), ["10.0.1.5:5432"]);
}

/// Fails if a setting nearer to the user loses against one farther away.
#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let fleet = Fleet::new();
    fleet.world.dns.set(NAMES[0], Behaviour::a(NEW, 1));
    for ip in [OLD, NEW] {
        fleet.world.elb.put_target(&fleet.arns[0], ip, 5432);
    }
    for (file, variable, flag, shown) in [
        ("", None, None, "of 60 s"),
        ("forget = \"111s\"", None, None, "of 111 s"),
        ("forget = \"111s\"", Some("222s"), None, "of 222 s"),
        ("forget = \"111s\"", None, Some("333s"), "of 333 s"),
        ("forget = \"111s\"", Some("222s"), Some("333s"), "of 333 s"),
        ("", Some("222s"), Some("333s"), "of 333 s"),
    ] {
        let mut command = fleet.command("plan", &fleet.group(0, file));
        command.envs(variable.map(|value| ("RDS_TETHER_FORGET", value)));
        command.args(flag.map(|value| format!("--forget={value}")));
        assert_says(&assert_exit(&mut command, 2), &[shown]);
    }
    // The settings file itself may come from the environment.
    let path = fleet.write(&fleet.group(0, "forget = \"111s\""));
    assert_says(
        &assert_exit(fleet.world.command("plan").env("RDS_TETHER_CONFIG", path), 2),
        &["of 111 s"],
    );
}

// Exit codes and output

/// What is wrong in a world, and the exit code that says so.
type Case = (&'static str, fn(&World), i32);

/// Fails if a script cannot tell by the exit code what a plan came to.
#[test]
fn the_exit_code_of_a_plan_tells_what_it_came_to() {
    let cases: [Case; 11] = [
        ("settled", |_| {}, 0),
        ("to register", |world| world.dns.set(WRITER, Behaviour::a(NEW, 1)), 2),
        ("to remove", |world| world.elb.put_target(&world.arn, NEW, 5432), 2),
        ("refused", |world| world.dns.set(WRITER, Behaviour::a("8.8.8.8", 1)), 3),
        ("blind", |world| world.dns.set(WRITER, Behaviour::ServFail), 69),
        ("AWS is down", |world| world.elb.stop_listening(), 69),
        ("throttled", |world| world.elb.fail("*", Failure::throttled(), None), 69),
        (
            "5xx",
            |world| world.elb.fail("DescribeTargetHealth", Failure::unavailable(), None),
            69,
        ),
        (
            "denied",
            |world| {
                world
                    .elb
                    .fail("DescribeTargetHealth", Failure::denied("DescribeTargetHealth"), None)
            },
            77,
        ),
        (
            "expired",
            |world| world.elb.fail("*", Failure::expired_token(), None),
            77,
        ),
        (
            "no such group",
            |world| world.elb.model(|model, _| model.remove_group(&world.arn)),
            78,
        ),
    ];
    for (name, make, code) in cases {
        let world = World::settled();
        make(&world);
        let text = assert_exit(&mut world.bound("plan"), code);
        assert!(text.contains("=> "), "{name} without a verdict:\n{text}");
        assert_eq!(world.writes(), [""; 0], "{name}");
    }
}

/// Fails if one verb calls a group well of which another says that it is not settled.
#[test]
fn all_verbs_agree_on_whether_a_group_is_settled() {
    type Make = fn(&World);
    let moved: Make = |world| world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let as_it_is: Make = |_| {};
    let cases: [(&str, Make, &[&str], [i32; 3]); 5] = [
        ("settled", as_it_is, &[], [0, 0, 0]),
        ("settled and kept", as_it_is, &["--keep", "0.0.0.0/0"], [0, 0, 0]),
        ("kept out", moved, &["--keep", "0.0.0.0/0"], [2, 2, 4]),
        (
            "kept out of a reader",
            moved,
            &["--keep", "0.0.0.0/0", "--role", "reader"],
            [2, 2, 4],
        ),
        ("to be registered", moved, &["--observe"], [2, 2, 2]),
    ];
    for (name, make, flags, codes) in cases {
        let world = World::settled();
        make(&world);
        for (verb, code) in ["plan", "status", "sync"].into_iter().zip(codes) {
            let mut command = world.bound(verb);
            command.args(flags).args(["--timeout", "5s"]);
            let text = assert_exit(&mut command, code);
            assert_eq!(
                text.contains("settled: the group equals DNS"),
                code == 0,
                "{name}: {text}"
            );
        }
    }
}

/// Fails if a target that no answer has ever named is told of at every step, or each time that DNS can be seen again.
#[test]
fn a_target_that_dns_never_named_is_logged_once() {
    for (flags, comes_and_goes) in [
        (&["--forget", "1h"][..], false),
        (&["--forget", "1h"][..], true),
        (&["--keep", "10.0.2.0/24"][..], true),
        (&["--observe", "--forget", "1h"][..], true),
    ] {
        let world = World::settled();
        world.elb.put_target(&world.arn, NEW, 5432);
        let daemon = Daemon::start(world.bound("run").args(flags).args(["--interval", "1s"]));
        daemon.wait_for_log(&[NEW]);
        for step in 0..6 {
            let is_blind = comes_and_goes && step % 2 == 0;
            let answer = if is_blind {
                Behaviour::ServFail
            } else {
                Behaviour::a(OLD, 1)
            };
            world.dns.set(WRITER, answer);
            wait_for_more_queries(&world.dns, WRITER, 2);
        }
        let (_, log) = daemon.stop();
        let is_of_it = |line: &&str| line.contains(NEW) && !line.contains("stopping");
        // That it is not named, and why it stays.
        assert!(log.lines().filter(is_of_it).count() <= 2, "{flags:?}:\n{log}");
        assert_eq!(log.contains("recovered"), comes_and_goes, "{log}");
    }
}

/// Fails if the outcome of a lesser binding hides that of a worse one.
#[test]
fn the_worst_of_several_bindings_is_the_exit_code() {
    // In falling order of what has to be done about it.
    let outcomes: [(&str, i32, &str); 6] = [
        ("missing", 78, "orders.example.com"),
        ("denied", 77, "orders.example.com"),
        ("refused", 3, "public.example.com"),
        ("blind", 69, "servfail.example.com"),
        ("pending", 2, "orders.example.com"),
        ("settled", 0, "orders.example.com"),
    ];
    let world = World::new();
    world.dns.set("orders.example.com", Behaviour::a(OLD, 1));
    world.dns.set("public.example.com", Behaviour::a("8.8.8.8", 1));
    world.dns.set("servfail.example.com", Behaviour::ServFail);
    let arns = outcomes.map(|(name, ..)| world.elb.add_group(Group::named(name)));
    world.elb.model(|model, _| model.remove_group(&arns[0]));
    let denied = Failure::denied("DescribeTargetHealth");
    world.elb.fail_for(&arns[1], "DescribeTargetHealth", denied, None);
    world.elb.put_target(&arns[5], OLD, 5432);
    let scratch = Scratch::new();
    for worst in 0..outcomes.len() {
        // Of three or more the worst is neither the first nor the last.
        let mut bindings: Vec<usize> = (worst..outcomes.len()).rev().collect();
        bindings.rotate_left(1);
        let part = |index: usize| group(&arns[index], &format!("{}:5432", outcomes[index].2), "");
        let path = scratch.write("config.toml", &bindings.into_iter().map(part).collect::<String>());
        let text = assert_exit(world.command("plan").arg("--config").arg(path), outcomes[worst].1);
        assert_eq!(
            text.matches("\n  => ").count(),
            outcomes.len() - worst,
            "a verdict for each:\n{text}"
        );
    }
}

/// All of these keys are there; more may come.
#[track_caller]
fn assert_keys(value: &Value, keys: &str) {
    for key in keys.split_whitespace() {
        assert!(value.get(key).is_some(), "no {key} in {value}");
    }
}

/// Fails if a key that a script reads goes away: the schema only grows.
#[test]
fn json_output_has_its_keys_whatever_happened() {
    let cases: [Case; 3] = [
        (
            "refused",
            |world| world.dns.set(WRITER, Behaviour::all(&[NEW, "8.8.8.8"], 1)),
            3,
        ),
        ("blind", |world| world.dns.set(WRITER, Behaviour::NxDomain), 69),
        (
            "no such group",
            |world| world.elb.model(|model, _| model.remove_group(&world.arn)),
            78,
        ),
    ];
    for (name, make, code) in cases {
        let world = World::settled();
        make(&world);
        let output = finish(world.bound("plan").args(["--output", "json"]));
        assert_eq!(output.status.code(), Some(code), "{name}:\n{}", said(&output));
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
        assert_keys(&document, "exit_code schema settled target_groups verb");
        assert_eq!(
            (&document["schema"], &document["exit_code"]),
            (&"rds-tether/1".into(), &code.into())
        );
        let of_group = &document["target_groups"][0];
        assert_keys(
            of_group,
            "applied arn at deregister deregistered endpoints errors family holds name notes pending register registered \
             role settled targets verdict",
        );
        assert_eq!(of_group["arn"], world.arn);
        let holds = of_group["holds"].as_array().expect("a list");
        holds
            .iter()
            .for_each(|hold| assert_keys(hold, "reason text until what"));
        let errors = of_group["errors"].as_array().expect("a list");
        errors.iter().for_each(|error| assert_keys(error, "action code text"));
        assert!(holds.len() + errors.len() > 0, "{name}: {document}");
    }
}

/// Fails if the output says something else than what was seen.
#[test]
fn json_output_says_what_was_seen_and_would_be_done() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::cname("orders-1.example.com", 5));
    world.dns.set("orders-1.example.com", Behaviour::a(NEW, 1));
    let output = finish(world.bound("plan").args(["--output", "json"]));
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let of_group = &document["target_groups"][0];
    assert_eq!(of_group["register"][0], "10.0.2.7:5432");
    assert_eq!(of_group["targets"][0]["target"], "10.0.1.5:5432");
    assert_eq!(of_group["targets"][0]["named"], false);
    assert_eq!(of_group["holds"][0]["reason"], "awaits_replacement");
    let endpoint = &of_group["endpoints"][0];
    assert_eq!(
        (&endpoint["endpoint"], &endpoint["addresses"][0]),
        (&writer_port().into(), &NEW.into())
    );
    let server = &endpoint["name_servers"][0];
    assert_eq!(server["address"], world.dns.addr().to_string());
    assert_eq!(
        (&server["names"][0], &server["ttl_seconds"]),
        (&"orders-1.example.com".into(), &1.into())
    );
}

// Sync

/// Fails if a sync that has nothing to do writes, or waits.
#[test]
fn a_sync_of_a_settled_group_ends_with_the_first_look() {
    let world = World::settled();
    let text = assert_exit(&mut world.bound("sync"), 0);
    assert_says(&text, &["=> settled"]);
    let actions: Vec<String> = world.elb.calls().into_iter().map(|call| call.action).collect();
    assert_eq!(actions, ["DescribeTargetGroups", "DescribeTargetHealth"]);
}

/// Fails if a sync ends before the old target is gone, or removes it too soon, or keeps its progress to itself.
#[test]
fn a_sync_waits_out_forget_and_shows_its_progress() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let output = finish(world.bound("sync").args(["--forget", "4s"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let progress = String::from_utf8_lossy(&output.stderr);
    assert_says(
        &progress,
        &[
            "orders: DNS names 10.0.2.7:5432, which is not registered",
            "orders: registered 10.0.2.7:5432 after",
            "orders: 10.0.1.5:5432 has not been named for",
            "orders: deregistered 10.0.1.5:5432 after",
            "orders: converged after",
        ],
    );
    let writes = world.elb.writes();
    assert!(
        is(&writes[0], "Register", NEW) && is(&writes[1], "Deregister", OLD),
        "{}",
        world.story()
    );
    assert_eq!(writes.len(), 2);
    assert!(
        writes[1].at - writes[0].at > Duration::from_millis(3500),
        "{}",
        world.story()
    );
    // The end is verified, not assumed from the reply.
    let calls = world.elb.calls();
    assert_eq!(
        calls.last().map(|call| call.action.as_str()),
        Some("DescribeTargetHealth")
    );
    assert_eq!(world.elb.lowest_registered(&world.arn), 1);
}

/// Fails if a sync that ran out of time says that it succeeded, takes more time than it was given, or forgets what it did
/// in its earlier steps.
#[test]
fn a_sync_that_still_waits_at_its_end_says_so() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let output = finish(world.bound("sync").args(["--timeout", "3s", "--output", "json"]));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let took = world.since_first("*");
    assert!(took < Duration::from_secs(8), "{took:?}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let of_group = &document["target_groups"][0];
    assert_eq!(of_group["registered"][0], "10.0.2.7:5432");
    assert_eq!(of_group["holds"][0]["reason"], "forgetting");
    assert_says(&said(&output), &["has not been named for", "of 60 s"]);
    assert_eq!(world.registered().len(), 2);
}

/// Fails if waiting is taken for a cure where only an operator can help.
#[test]
fn a_sync_without_hope_ends_at_once() {
    let cases: [Case; 4] = [
        (
            "denied to look",
            |world| world.elb.fail("*", Failure::denied("DescribeTargetGroups"), None),
            77,
        ),
        (
            "denied to list",
            |world| {
                world
                    .elb
                    .fail("DescribeTargetHealth", Failure::denied("DescribeTargetHealth"), None)
            },
            77,
        ),
        (
            "denied to register",
            |world| {
                world
                    .elb
                    .fail("RegisterTargets", Failure::denied("RegisterTargets"), None)
            },
            77,
        ),
        (
            "no such group",
            |world| world.elb.model(|model, _| model.remove_group(&world.arn)),
            78,
        ),
    ];
    for (name, make, code) in cases {
        let world = World::settled();
        world.dns.set(WRITER, Behaviour::a(NEW, 1));
        make(&world);
        let text = assert_exit(world.bound("sync").args(["--timeout", "60s"]), code);
        let took = world.since_first("*");
        assert!(took < Duration::from_secs(8), "{name}: {took:?}\n{text}");
        let writes = world.elb.writes();
        assert!(
            writes.len() <= 1 && count(&writes, "Deregister", OLD) == 0,
            "{name}:\n{}",
            world.story()
        );
    }
}

/// Fails if a sync gives up at a passing failure.
#[test]
fn a_sync_outlasts_a_passing_failure() {
    let world = World::new();
    world.elb.fail("DescribeTargetHealth", Failure::unavailable(), Some(1));
    world.elb.fail("RegisterTargets", Failure::throttled(), Some(1));
    world.dns.set(
        WRITER,
        Behaviour::Sequence(vec![Behaviour::ServFail, Behaviour::a(OLD, 1)]),
    );
    assert_exit(world.bound("sync").args(["--timeout", "18s"]), 0);
    assert_eq!(world.registered(), ["10.0.1.5:5432"]);
}

/// Fails if a call that hangs makes a sync overrun the time it was given.
#[test]
fn a_call_that_hangs_does_not_make_a_sync_late() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.elb.fail("RegisterTargets", Failure::Hang, None);
    assert_exit(world.bound("sync").args(["--timeout", "2s"]), 69);
    let took = world.since_first("RegisterTargets");
    assert!(took < Duration::from_secs(7), "{took:?}");
    assert_eq!(world.registered(), ["10.0.1.5:5432"]);
}

/// Fails if the result of a sync is the state alone: whoever reads it later wants to know what it did.
#[test]
fn the_result_of_a_sync_lists_what_it_changed() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let output = finish(world.bound("sync").args(["--forget", "1s"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let result = String::from_utf8_lossy(&output.stdout);
    assert_says(&result, &["register    10.0.2.7:5432", "deregister  10.0.1.5:5432"]);
}

/// Fails if a write that AWS denied is listed among the changes.
#[test]
fn a_write_that_failed_is_not_shown_as_a_change() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world
        .elb
        .fail("RegisterTargets", Failure::denied("RegisterTargets"), None);
    let text = assert_exit(&mut world.bound("sync"), 77);
    assert_says(&text, &["AccessDenied", "nothing was changed"]);
    assert!(!text.contains("\n  changes\n"), "{text}");
}

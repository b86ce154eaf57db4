//! Drills that do not come to the end of a failover, or do not see all of it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use testkit::certificate::{Authority, NOW};
use testkit::elb::Failure;
use testkit::program::{assert_tame, foreign};
use testkit::world::{PATIENCE, assert_says, finish, said};

use super::*;
use crate::proxy::standin::offers;

/// Fails if nothing is taken for something.
#[test]
fn nothing_happens() {
    let stage = Stage::new();
    let drill = stage.begin(stage.through().args(["--output", "json", "--timeout", "2s"]));
    let report = drill.ends_with(4);
    assert_eq!(report["result"], "nothing");
    assert_eq!(report["ended_by"], "timeout");
    assert_eq!(report["lags_from"], Value::Null);
    let at: Vec<&Value> = report["marks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|mark| !mark["at"].is_null())
        .collect();
    assert!(at.is_empty(), "{at:?}");
    let writes = stage.elb.writes();
    assert!(writes.is_empty(), "{writes:?}");
}

/// Fails if an interruption loses what was seen, or is taken for the end.
#[test]
fn who_is_interrupted_prints_what_there_is() {
    for signal in ["INT", "TERM"] {
        let mut stage = Stage::new();
        let drill = stage.start(&mut stage.through());
        stage.lose(&drill);
        stage.promote();
        stage.name(&drill, 0, NEW, 0);
        drill.waits_for(&[&stage.address(NEW), "takes sessions"], 1);
        drill.daemon.signal(signal);
        let said = drill.ends(4);
        assert_says(
            &said,
            &[
                "a change began and had not come to its end when it was told to stop",
                "DNS, all, registered, healthy, through",
                "connection lost",
                "DNS, first",
            ],
        );
        let row = said
            .lines()
            .find(|line| line.trim_start().starts_with("healthy"))
            .unwrap();
        assert!(row.contains("not seen"), "{row}");
    }
}

/// Fails if a group that nobody may look at is left out of the result, or a drill without it is taken for a whole one.
#[test]
fn a_group_that_is_denied_is_told_and_the_rest_is_measured() {
    let mut stage = Stage::new();
    stage
        .elb
        .fail("DescribeTargetHealth", Failure::denied("DescribeTargetHealth"), None);
    let drill = stage.start(&mut stage.through());
    drill.waits_for(&["targets:", "AccessDenied"], 1);
    stage.lose(&drill);
    stage.promote();
    for server in [0, 1] {
        stage.name(&drill, server, NEW, 0);
    }
    stage.balancer.set(Mood::Ready);
    let said = drill.ends(77);
    assert_says(
        &said,
        &[
            "a failover was measured to its end",
            "target group: its targets could not be listed",
            "AccessDenied",
            "allow elasticloadbalancing:DescribeTargetHealth",
        ],
    );
    let row = said
        .lines()
        .find(|line| line.trim_start().starts_with("healthy"))
        .unwrap();
    assert!(row.contains("not watched"), "{row}");
}

/// Fails if a name server that never answers keeps the others from being measured, or is not told of.
#[test]
fn a_name_server_that_never_answers_is_not_watched() {
    let mut stage = Stage::new();
    stage.dns[1].silent(true);
    let drill = stage.start(stage.command().args(["--output", "json"]));
    stage.old = None;
    stage.promote();
    stage.register(&drill);
    stage.name(&drill, 0, NEW, 0);
    let report = drill.ends_with(0);
    assert_eq!(mark(&report, "dns_all")["by_which"], "1", "{report}");
    let silent = stage.dns[1].addr().to_string();
    let mut unwatched = report["not_watched"].as_array().unwrap().iter();
    assert!(
        unwatched.any(|entry| entry["what"] == "dns" && entry["of"] == *silent),
        "{report}"
    );
}

/// Fails if a server that counts connections without a log-in as errors is connected to again and again.
#[test]
fn who_does_not_speak_postgresql_is_asked_once() {
    let mut stage = Stage::new();
    stage.old = None;
    let mut listener = None;
    wait_until("the address is free", || {
        listener = TcpListener::bind((OLD, stage.port)).ok();
        listener.is_some()
    });
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for mut stream in listener.unwrap().incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(b"\x4a\0\0\0\x0a8.0.36\0\x08\0");
        }
    });
    let drill = stage.start(&mut stage.command());
    let asked = stage.dns[0].count(WRITER);
    stage.dns[0].wait_for_queries(WRITER, asked + 2, PATIENCE);
    drill.daemon.signal("TERM");
    let said = drill.ends(4);
    assert_eq!(count.load(Ordering::SeqCst), 1, "{said}");
    assert_says(
        &said,
        &[
            "nothing changed",
            &format!("address {}: what answers there is not PostgreSQL", stage.address(OLD)),
        ],
    );
}

/// Fails if what failed once, and for another reason, is taken for the failover that follows much later or never.
#[test]
fn a_loss_without_a_failover_is_no_failover() {
    let mut stage = Stage::new();
    let drill = stage.start(stage.through().args(["--output", "json"]));
    stage.lose(&drill);
    stage.old = Some(Postgres::start(SocketAddr::from((OLD, stage.port)), Mood::Ready));
    stage.balancer.set(Mood::Ready);
    drill.waits_for(&[&stage.address(OLD), "takes sessions"], 2);
    drill.waits_for(&["through", "takes sessions"], 2);
    drill.daemon.signal("TERM");
    let report = drill.ends_with(4);
    assert_eq!(report["result"], "unfinished");
    assert_eq!(mark(&report, "dns_first")["state"], "missing");
    assert_eq!(report["new_addresses"], serde_json::json!([]));
}

/// Fails if an address is connected to that the settings leave out, or nobody is told.
#[test]
fn an_address_outside_the_allowed_networks_is_not_connected_to() {
    let mut stage = Stage::new();
    let drill = stage.start(
        stage
            .command()
            .args(["--output", "json", "--allow-cidr", "127.0.0.3/32"]),
    );
    stage.promote();
    stage.register(&drill);
    for server in [0, 1] {
        stage.name(&drill, server, NEW, 0);
    }
    let report = drill.ends_with(0);
    assert_eq!(mark(&report, "connection_lost")["state"], "not_watched", "{report}");
    assert_eq!(report["lags_from"], "first_sign");
    let lanes = report["lanes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|lane| lane["what"] == "address");
    let asked: Vec<&Value> = lanes.map(|lane| &lane["of"]).collect();
    assert_eq!(asked, [&Value::from(stage.address(NEW))]);
    let mut unwatched = report["not_watched"].as_array().unwrap().iter();
    assert!(unwatched.any(|entry| entry["what"] == "addresses"), "{report}");
}

/// Fails if a text of AWS does something on a terminal or in a picture.
#[test]
fn texts_of_others_do_nothing() {
    const HOSTILE: &str = "evil\nforged: all is well\u{1b}[2J<script>";
    let stage = Stage::new();
    stage
        .elb
        .set_health(&stage.arn, &OLD.to_string(), stage.port, HOSTILE, None);
    let picture = stage.scratch.path("drill.svg");
    let drill = stage.start(stage.command().arg("--svg").arg(&picture));
    let log = drill.daemon.log();
    stage.elb.fail(
        "DescribeTargetHealth",
        Failure::code(403, "AccessDenied", HOSTILE),
        None,
    );
    drill.waits_for(&["targets:", "AccessDenied"], 1);
    drill.daemon.signal("TERM");
    let printed = drill.ends(77);
    assert_tame(printed.as_bytes());
    assert_says(&printed, &["evil"]);
    assert!(!printed.lines().any(|line| line.starts_with("forged")), "{printed}");
    let drawn = std::fs::read_to_string(picture).unwrap();
    for told in [&log, &drawn] {
        assert_tame(told.as_bytes());
        assert_says(told, &["evil\\u000aforged"]);
        assert!(!told.contains("<script>") || told == &log, "{told}");
    }
}

/// Fails if a database that starts up is taken for one that takes sessions because its certificate does not name its address.
#[test]
fn a_certificate_that_names_no_address_hides_nothing() {
    let mut stage = Stage::new();
    let authority = Authority::new();
    let bundle = stage.scratch.write("ca.pem", &authority.pem);
    let tls = offers(authority.certify(&[WRITER], NOW));
    stage.old = None;
    stage.old = Some(Postgres::start_with(
        SocketAddr::from((OLD, stage.port)),
        Mood::StartingUp,
        Some(tls),
    ));
    let drill = stage.start(stage.command().arg("--ca-bundle").arg(bundle));
    drill.waits_for(&[&stage.address(OLD), "lost: the database system is starting up"], 1);
    drill.daemon.signal("TERM");
    drill.ends(4);
}

/// Fails if events that come no more are waited for, or missed without a word.
#[test]
fn the_end_of_events_is_told() {
    let stage = Stage::new();
    let drill = stage.start(stage.command().args(["--events", "-"]).stdin(Stdio::null()));
    drill.waits_for(&["RDS events", "their source has ended"], 1);
    drill.daemon.signal("TERM");
    let said = drill.ends(4);
    assert_says(&said, &["RDS events: their source has ended"]);
}

/// Fails if a failover that was measured is not drawn because nobody could print it.
#[test]
fn a_picture_is_written_though_nothing_can_be_printed() {
    let stage = Stage::new();
    let picture = stage.scratch.path("drill.svg");
    let mut command = stage.command();
    command.args(["--timeout", "1s", "--svg"]).arg(&picture);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (status, log) = Daemon::spawn_into(&mut command, full).ended();
    assert!(!status.success(), "{log}");
    assert!(log.contains("No space left"), "{log}");
    assert!(fs::read_to_string(picture).unwrap().contains("</svg>"));
}

/// Fails if lines wrap on a terminal, or colours go where nobody wants them.
#[test]
fn lines_fit_a_terminal() {
    let stage = Stage::new();
    let command = stage.through();
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    for (variables, is_coloured) in [
        (vec![("TERM", "xterm")], true),
        (vec![("TERM", "xterm"), ("NO_COLOR", "1")], false),
    ] {
        let mut script = foreign("script");
        script.args([
            "--quiet",
            "--return",
            "--command",
            &format!("{} --timeout 2s", words.join(" ")),
            "/dev/null",
        ]);
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.envs(variables);
        let shown = said(&finish(&mut script)).replace("\r\n", "\n");
        assert_eq!(shown.contains("\x1b[32m"), is_coloured, "{shown:?}");
        let bare = shown
            .replace("\x1b[32m", "")
            .replace("\x1b[31m", "")
            .replace("\x1b[0m", "");
        assert!(
            bare.contains("takes sessions") && bare.contains("nothing changed"),
            "{bare}"
        );
        let lines = bare.lines().filter(|line| !line.contains("aws rds"));
        let long: Vec<&str> = lines.filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:?}");
    }
}

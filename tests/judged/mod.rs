//! What follows from what a drill saw: stories of failovers, each look a line, and the marks that must come of them.
//!
//! A line is a second and what was seen then: `7.5 address old lost`. Between two lines about the same thing nobody looked; `old` and
//! `new` are the addresses before and after.
#![allow(clippy::unwrap_used)]

mod drawn;
mod moments;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rds_tether::aws::failure::Kind;
use rds_tether::aws::{self, elb};
use rds_tether::drill::event::{Event, Phase};
use rds_tether::drill::record::{First, Record};
use rds_tether::drill::report::{Ended, Report, Subject};
use rds_tether::drill::{Observation, Reach, Seen, Through, Watched, Way, Why};
use rds_tether::planner::answer::Failure;
use rds_tether::planner::lead::Says;
use rds_tether::planner::target::{State, Target};
use rds_tether::planner::time::Timestamp;

/// The failover of an Aurora cluster, whose former writer comes back as a reader, with members that are asked.
pub const AURORA: &str = "
    0 dns 1 old
    0 dns 2 old
    0 member old writer
    0 member new reader
    0 address old sessions
    0 through 1 writer
    0 through 2 writer
    0 targets old=healthy
    9.75 address old sessions
    9.9 member old writer
    9.75 through 1 writer
    9.75 through 2 writer
    10 address old lost
    10 through 1 lost
    10.25 through 2 lost
    10.1 member old silent
    11 event start 10
    13 targets old=unhealthy
    14 address old sessions
    14.1 member new writer
    14.2 member old reader
    15 through 1 reader
    15 through 2 reader
    16.1 targets old=unhealthy,new=initial
    16 dns 1 old
    16 dns 2 old
    17 dns 1 new
    21 dns 1 old
    26 dns 1 new
    31 dns 2 old
    32 dns 2 new
    52 event end 30
    75 targets old=draining,new=initial
    198 targets old=draining,new=initial
    199 targets old=draining,new=healthy
    203 through 1 reader
    203.5 through 1 writer
    209.5 through 2 reader
    210 through 2 writer
";

/// That of a Multi-AZ DB instance, whose former host is never heard of again, without members that are asked.
const INSTANCE: &str = "
    0 dns 1 old
    0 address old sessions
    0 through 1 sessions
    0 targets old=healthy
    9.75 address old sessions
    10 address old lost
    9.8 through 1 sessions
    10.05 through 1 lost
    29 dns 1 old
    30 dns 1 new
    30.25 address new lost
    33.75 address new lost
    34 address new sessions
    31 targets old=unhealthy
    32 targets old=unhealthy,new=initial
    150 targets old=unhealthy,new=initial
    151 targets old=unhealthy,new=healthy
    151.25 through 1 lost
    152 through 1 sessions
";

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef";

/// The moment so many seconds after the beginning.
fn at(seconds: f64) -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000) + Duration::from_secs_f64(seconds)
}

fn ip(word: &str) -> IpAddr {
    match word {
        "old" => [10, 0, 1, 5].into(),
        "new" => [10, 0, 2, 7].into(),
        other => panic!("{other} is no address"),
    }
}

fn reach(word: &str) -> Reach {
    match word {
        "sessions" => Reach::Sessions,
        "writer" => Reach::Writer,
        "reader" => Reach::Reader,
        "lost" => Reach::Lost("the other side closed the connection".to_owned()),
        "not_asked" => Reach::NotAsked("what answers there is not PostgreSQL"),
        other => panic!("{other} says nothing of a connection"),
    }
}

fn seen(words: &[&str], when: Timestamp) -> Seen {
    match words {
        ["dns", server, "none"] => Seen::Dns(server_of(server), Err(Failure::TimedOut)),
        ["dns", server, "nxdomain"] => Seen::Dns(server_of(server), Err(Failure::NxDomain)),
        ["dns", server, "servfail"] => Seen::Dns(server_of(server), Err(Failure::ServFail)),
        ["dns", server, "nodata"] => Seen::Dns(server_of(server), Err(Failure::NoData)),
        ["dns", server, names] => Seen::Dns(server_of(server), Ok(names.split(',').map(ip).collect())),
        ["address", which, word] => Seen::Address(SocketAddr::new(ip(which), 5432), reach(word)),
        ["through", number, word] => {
            let through: Through = "orders-nlb.elb.eu-west-1.amazonaws.com:5432".parse().unwrap();
            let address = SocketAddr::from(([10, 0, 9, number.parse().unwrap()], 5432));
            Seen::Through(Way { through, address }, reach(word))
        }
        ["member", which, word] => {
            let says = match *word {
                "writer" => Says::Writer,
                "reader" => Says::Reader,
                "silent" => Says::Silent("no answer in time".to_owned()),
                "denied" => Says::Denied("too many sessions\nforged: row".to_owned()),
                other => panic!("no member says {other}"),
            };
            Seen::Member(ip(which), says, when)
        }
        ["targets", "denied"] => unlisted(Kind::Denied, "AccessDenied"),
        ["targets", "throttled"] => unlisted(Kind::Throttled, "Throttling"),
        ["targets", listed] => {
            let target = |entry: &str| {
                let (which, state) = entry.split_once('=').unwrap();
                let (ip, port) = (ip(which), 5432);
                (Target { ip, port }, State::parse(state, None))
            };
            Seen::Group(Ok(listed.split(',').map(target).collect::<BTreeMap<_, _>>()))
        }
        ["event", phase, dated] => {
            let (phase, id, text) = match *phase {
                "start" => (
                    Phase::Start,
                    "RDS-EVENT-0073",
                    "Started cross AZ failover to DB instance: orders-2",
                ),
                _ => (
                    Phase::End,
                    "RDS-EVENT-0071",
                    "Completed failover to DB instance: orders-2",
                ),
            };
            Seen::Event(Event {
                came: when,
                dated: Some(at(dated.parse().unwrap())),
                phase,
                id: Some(id.to_owned()),
                text: format!("{id} RDS DB cluster event of orders: {text}"),
            })
        }
        other => panic!("{other:?} is no look"),
    }
}

fn unlisted(kind: Kind, code: &str) -> Seen {
    Seen::Group(Err(elb::Error {
        group: ARN.parse().unwrap(),
        failure: aws::failure::Failure::here("DescribeTargetHealth", kind, code, "no"),
    }))
}

fn server_of(number: &str) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number.parse().unwrap()], 53))
}

/// What a story shows so many seconds after its beginning.
pub fn told(story: &str, until: f64) -> Report {
    let mut record = Record::new(at(0.0));
    let mut has_lead = false;
    let mut lines: Vec<(f64, Vec<&str>)> = Vec::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        lines.push((words[0].parse().unwrap(), words[1..].to_vec()));
    }
    for (second, words) in lines.iter().filter(|(second, _)| *second <= until) {
        if let ["triggered"] = words[..] {
            record.triggered = Some(at(*second));
            continue;
        }
        if let ["begun"] = words[..] {
            record.begin();
            continue;
        }
        has_lead |= words[0] == "member";
        let (began, ended) = (at(*second), at(*second));
        let seen = seen(words, at(*second));
        record.note(&Observation { began, ended, seen });
    }
    if !story.contains(" event ") {
        record
            .gone
            .insert(Watched::Events, Why::plain("no --events says where they come from"));
    }
    let subject = Subject {
        endpoint: "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"
            .parse()
            .unwrap(),
        group: Some((ARN.to_owned(), "orders".to_owned())),
        region: Some("eu-west-1".to_owned()),
        command: None,
        has_lead,
        steady: Duration::from_secs(30),
    };
    Report::of(&record, &subject, Ended::Over, at(until))
}

/// The marks, a line each: its lag, what is known of the moment, and since when it was steady, in milliseconds.
fn marks(report: &Report) -> Vec<String> {
    let lines = report
        .marks
        .iter()
        .filter(|mark| mark.state != "not_watched")
        .map(|mark| {
            let number =
                |text: &str, value: Option<i64>| value.map(|value| format!("{text}{value}")).unwrap_or_default();
            let within = mark
                .at
                .zip(mark.not_before)
                .map(|(at, before)| at.since(before).as_millis() as i64);
            match mark.state {
                "seen" => format!(
                    "{}{}{}{}",
                    mark.mark,
                    number(" ", mark.lag_ms),
                    number(" within ", within),
                    number(" steady ", mark.steady_lag_ms)
                ),
                state => format!("{} {state}", mark.mark),
            }
        });
    lines.collect()
}

#[track_caller]
fn check(story: &str, until: f64, waiting: &[&str], expect: &[&str]) -> Report {
    let report = told(story, until);
    assert_eq!(marks(&report), expect);
    assert_eq!(report.waiting_for, waiting);
    report
}

#[test]
fn an_aurora_cluster_fails_over() {
    let report = check(
        AURORA,
        210.0,
        &[],
        &[
            "connection_lost 0 within 250",
            "event_start 1000",
            "writer 4100 within 14100",
            "dns_first 7000 within 1000 steady 16000",
            "dns_all 22000 within 1000",
            "registered 6100 within 3100",
            "healthy 189000 within 1000",
            "through 193500 within 500 steady 200000",
            "event_end 42000",
        ],
    );
    assert_eq!(report.new_addresses, ["10.0.2.7"]);
    let dated = report.marks.iter().find(|mark| mark.mark == "event_end").unwrap();
    assert_eq!(dated.dated_lag_ms, Some(20_000));
}

#[test]
fn an_instance_fails_over_and_its_former_host_is_not_heard_of_again() {
    check(
        INSTANCE,
        153.0,
        &[],
        &[
            "connection_lost 0 within 250",
            "writer 24000 within 250",
            "dns_first 20000 within 1000",
            "dns_all 20000 within 1000",
            "registered 22000 within 1000",
            "healthy 141000 within 1000",
            "through 142000 within 750",
        ],
    );
}

/// Fails if the end is told before all is there, and has been for as long as it takes.
#[test]
fn what_is_missing_is_waited_for() {
    for (until, waiting) in [
        (
            9.0,
            vec!["dns_first", "dns_all", "writer", "registered", "healthy", "through"],
        ),
        (14.5, vec!["dns_first", "dns_all", "registered", "healthy", "through"]),
        (27.0, vec!["dns_all", "healthy", "through"]),
        (61.0, vec!["dns_all", "healthy", "through"]),
        (62.5, vec!["healthy", "through"]),
        (204.0, vec!["through"]),
        (210.0, vec![]),
    ] {
        assert_eq!(told(AURORA, until).waiting_for, waiting, "after {until} s");
    }
}

/// Fails if a name that goes back counts as steady, or as never changed.
#[test]
fn a_name_that_goes_back_is_waited_for_again() {
    let story = "
        0 dns 1 old
        0 dns 2 old
        0 address old sessions
        5 address old lost
        6 dns 1 new
        7 dns 2 new
        7 address new sessions
        20 dns 1 old
        25 dns 1 none
        30 dns 1 new
        31 dns 1 none
        50 dns 1 new";
    let expect = [
        "connection_lost 0 within 5000",
        "writer 2000",
        "dns_first 1000 within 6000 steady 25000",
        "dns_all 2000 within 7000 steady 25000",
    ];
    check(story, 59.5, &["dns_all"], &expect);
    check(story, 60.0, &[], &expect);
}

/// Fails if what came long before, or long after, is taken for a part of it.
#[test]
fn a_loss_of_another_time_is_another() {
    let lost = |seconds: &[u32]| {
        let losses = seconds
            .iter()
            .map(|second| format!("{second} address old lost\n{} address old sessions\n", second + 1));
        let mut lines: Vec<String> = losses.collect();
        lines.push("100 dns 1 new\n".to_owned());
        lines.sort_by_key(|line| line.split(' ').next().unwrap().parse::<u32>().unwrap());
        let report = told(
            &format!("0 dns 1 old\n0 address old sessions\n{}", lines.concat()),
            300.0,
        );
        let mark = report.marks.iter().find(|mark| mark.mark == "connection_lost").unwrap();
        mark.at.map(|at_of_it| at_of_it.since(at(0.0)).as_secs())
    };
    for (seconds, counts) in [
        (vec![90], Some(90)),
        (vec![1, 90], Some(90)),
        (vec![61, 75, 90], Some(61)),
        (vec![58, 90], Some(90)),
        (vec![70], Some(70)),
        (vec![69], None),
        (vec![110], Some(110)),
        (vec![131], None),
    ] {
        assert_eq!(lost(&seconds), counts, "{seconds:?}");
    }
}

/// Fails if a moment is made up where nobody looked, or told as missing where it was so all the time.
#[test]
fn what_was_so_before_or_never_broke_says_so() {
    check(
        "0 dns 1 old
         0 address old sessions
         0 through 1 sessions
         0 targets old=healthy,new=healthy
         10 address old lost
         11 dns 1 new
         11 address new sessions
         60 targets old=healthy,new=healthy",
        60.0,
        &[],
        &[
            "connection_lost 0 within 10000",
            "writer 1000",
            "dns_first 1000 within 11000",
            "dns_all 1000 within 11000",
            "registered before",
            "healthy before",
            "through unbroken",
        ],
    );
    let bare = check(
        "0 dns 1 old
         0 dns 2 none
         0 address old not_asked
         5 dns 1 new
         5 address new not_asked",
        60.0,
        &[],
        &["dns_first 0 within 5000", "dns_all 0 within 5000"],
    );
    let unwatched: BTreeSet<&str> = bare.not_watched.iter().map(|entry| entry.what).collect();
    assert_eq!(unwatched, BTreeSet::from(["address", "dns", "events"]));
    assert_eq!(bare.lags_from, Some("first_sign"));
}

/// Fails if it is not said that members let nobody in, or the end then waits for their word.
#[test]
fn members_that_say_nothing_are_told_and_not_waited_for() {
    let report = told(
        "0 dns 1 old
         0 member old denied
         0 address old sessions
         5 address old lost
         6 dns 1 new
         7 address new sessions",
        60.0,
    );
    assert_eq!(report.waiting_for, Vec::<&str>::new());
    let members = report.not_watched.iter().find(|entry| entry.what == "members").unwrap();
    assert_eq!(
        members.detail.as_deref(),
        Some("denied (too many sessions\nforged: row)")
    );
}

/// Fails if a connection that succeeded in the moment before the loss counts as the first one after it.
#[test]
fn the_first_connection_through_is_after_the_loss() {
    let report = told(
        "0 dns 1 old
         9 through 1 lost
         10 through 1 sessions
         10 through 1 lost
         11 dns 1 new
         12 through 1 sessions",
        60.0,
    );
    let through = report.marks.iter().find(|mark| mark.mark == "through").unwrap();
    assert_eq!(through.lag_ms, Some(2_000));
}

/// Fails if what broke and was mended before somebody looked at the old address again is told as unbroken.
#[test]
fn a_promotion_between_two_looks_breaks_what_leads_there() {
    check(
        "0 dns 1 old
         0 address old sessions
         0 through 1 writer
         0 member old writer
         0 member new reader
         9.75 address old sessions
         9.8 through 1 writer
         9.85 through 1 lost
         9.9 member old silent
         9.95 member new writer
         9.99 through 1 writer
         10 address old lost
         10.5 dns 1 old
         11 dns 1 new",
        60.0,
        &[],
        &[
            "connection_lost 0 within 250",
            "writer -50 within 9950",
            "dns_first 1000 within 500",
            "dns_all 1000 within 500",
            "through -10 within 140",
        ],
    );
}

/// Fails if lags are counted from nothing, or a trigger is forgotten.
#[test]
fn without_a_loss_lags_count_from_the_trigger() {
    let report = check(
        "2 triggered
         0 dns 1 old
         4 dns 1 old
         5 dns 1 new",
        60.0,
        &["writer"],
        &[
            "triggered 0",
            "writer missing",
            "dns_first 3000 within 1000",
            "dns_all 3000 within 1000",
        ],
    );
    assert_eq!(report.lags_from, Some("triggered"));
}

/// Fails if the writer is led to by DNS where members say otherwise, or a former writer's return is none.
#[test]
fn the_writer_is_who_says_so() {
    let story = "
        0 dns 1 old
        0 member old writer
        0 member new reader
        5 member old silent
        8 member new writer
        60 dns 1 old";
    let report = told(story, 60.0);
    assert_eq!(report.new_addresses, ["10.0.2.7"], "ahead of DNS");
    assert_eq!(report.waiting_for, ["dns_first", "dns_all"]);
    let back = format!("{story}\n 61 member new silent\n 62 member old writer");
    let report = told(&back, 63.0);
    assert!(report.waiting_for.contains(&"dns_all"), "{:?}", report.waiting_for);
}

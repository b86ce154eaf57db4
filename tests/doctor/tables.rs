//! The judgements themselves, as tables: no server is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use rds_tether::aws::failure::{Failure, Kind};
use rds_tether::aws::sts::{Caller, Reply};
use rds_tether::doctor::aws;
use rds_tether::doctor::check::{Check, NAMES, Outcome, Pattern, Section, Selection, selected};
use rds_tether::doctor::database::{self, Facts, Refused, Security, Server, Slot, Table};
use rds_tether::doctor::{draw, reach};
use rds_tether::exit::Exit;
use rds_tether::planner::endpoint::Endpoint;
use rds_tether::planner::time::Timestamp;
use rds_tether::probe::{Reached, Stage, Trouble};

/// The check of this name has this status and says these parts.
#[track_caller]
fn assert_told(checks: &[Check], name: &str, status: &str, parts: &[&str]) {
    let check = checks
        .iter()
        .find(|check| check.name == name)
        .expect("the check is made");
    let text = format!(
        "{} | {}",
        check.outcome.finding(),
        check.outcome.fix().unwrap_or_default()
    );
    assert_eq!(check.outcome.status(), status, "{name}: {text}");
    for part in parts {
        assert!(text.contains(part), "{name}: nothing of {part:?} in: {text}");
    }
}

/// A database that is ready, on RDS.
fn ready() -> Facts {
    let settings = [
        ("rds.logical_replication", "on"),
        ("wal_level", "logical"),
        ("wal_sender_timeout", "0"),
        ("max_replication_slots", "20"),
        ("max_wal_senders", "20"),
    ];
    Facts {
        server: Ok(Server {
            version: 160_004,
            is_standby: false,
            tls: Some("TLSv1.3".into()),
            user: "tether".into(),
            may_replicate: false,
            has_rds_replication: Some(true),
        }),
        settings: Ok(settings.map(|(name, value)| (name.into(), value.into())).into()),
        slots: Ok(vec![Slot {
            name: "clickpipes".into(),
            is_active: true,
            is_lost: false,
            held: 0,
        }]),
        senders: Ok(1),
        publications: Ok(vec!["tether".into()]),
        tables: Ok(vec![table("shop.orders")]),
    }
}

fn table(name: &str) -> Table {
    Table {
        name: name.into(),
        schema: "shop".into(),
        identity: "d".into(),
        has_key: true,
        needs_identity: true,
        has_usage: true,
        has_select: true,
    }
}

fn changed(change: impl FnOnce(&mut Facts)) -> Vec<Check> {
    let mut facts = ready();
    change(&mut facts);
    database::judge(&Ok(facts), Security::Verified, None)
}

#[test]
fn a_database_that_is_ready_is_ok_in_every_check() {
    for check in changed(|_| ()) {
        assert_eq!(check.outcome.status(), "ok", "{check:?}");
    }
}

#[test]
fn each_thing_that_is_wrong_with_a_database_is_told_by_its_check() {
    type Change = fn(&mut Facts);
    fn server(facts: &mut Facts) -> &mut Server {
        facts.server.as_mut().unwrap()
    }
    fn set(facts: &mut Facts, name: &str, value: &str) {
        facts.settings.as_mut().unwrap().insert(name.into(), value.into());
    }
    let cases: &[(Change, &str, &str, &[&str])] = &[
        (
            |facts| server(facts).version = 110_022,
            "database.version",
            "failure",
            &["PostgreSQL 11.22", "12"],
        ),
        (
            |facts| server(facts).is_standby = true,
            "database.writer",
            "failure",
            &["NAME.cluster-"],
        ),
        (
            |facts| server(facts).tls = None,
            "database.encryption",
            "warning",
            &["not encrypted", "sslmode=require"],
        ),
        (
            |facts| set(facts, "wal_level", "replica"),
            "database.logical",
            "failure",
            &["still replica", "reboot"],
        ),
        (
            |facts| set(facts, "wal_sender_timeout", "30000"),
            "database.sender-timeout",
            "warning",
            &["30 s"],
        ),
        (
            |facts| set(facts, "max_replication_slots", "1"),
            "database.slots",
            "failure",
            &["= 11"],
        ),
        (
            |facts| set(facts, "max_wal_senders", "1"),
            "database.senders",
            "failure",
            &["= 11"],
        ),
        (
            |facts| server(facts).has_rds_replication = Some(false),
            "database.replication-right",
            "failure",
            &["GRANT rds_replication TO \"tether\""],
        ),
        (
            |facts| facts.publications = Ok(vec![]),
            "database.publication",
            "warning",
            &["CREATE PUBLICATION"],
        ),
        (
            |facts| facts.tables = Ok(vec![]),
            "database.publication",
            "failure",
            &["ADD TABLE"],
        ),
        (
            |facts| facts.tables.as_mut().unwrap()[0].has_select = false,
            "database.privileges",
            "failure",
            &["GRANT SELECT ON shop.orders TO \"tether\""],
        ),
        (
            |facts| facts.tables.as_mut().unwrap()[0].has_key = false,
            "database.identity",
            "failure",
            &["ALTER TABLE shop.orders REPLICA IDENTITY FULL"],
        ),
        (
            |facts| {
                let without = |number| Table {
                    identity: "n".into(),
                    ..table(&format!("shop.t{number}"))
                };
                facts.tables = Ok((0..100).map(without).collect());
            },
            "database.identity",
            "failure",
            &["shop.t0", "and 96 more"],
        ),
        (
            |facts| {
                let slot = &mut facts.slots.as_mut().unwrap()[0];
                slot.is_active = false;
                slot.held = 15 << 30;
            },
            "database.held-wal",
            "warning",
            &["clickpipes (15 GB)", "pg_drop_replication_slot('clickpipes')"],
        ),
        (
            |facts| facts.slots.as_mut().unwrap()[0].is_lost = true,
            "database.held-wal",
            "failure",
            &["lost WAL", "begin anew"],
        ),
        (
            |facts| facts.slots = Err("permission denied (SQLSTATE 42501)".into()),
            "database.slots",
            "failure",
            &["42501"],
        ),
    ];
    for (change, name, status, parts) in cases {
        let checks = changed(change);
        assert_told(&checks, name, status, parts);
    }
}

#[test]
fn sslmode_require_is_told_for_what_it_is() {
    let checks = database::judge(&Ok(ready()), Security::Unverified, None);
    assert_told(
        &checks,
        "database.encryption",
        "warning",
        &["not verified", "--ca-bundle"],
    );
}

#[test]
fn a_refusal_of_the_database_has_its_exit_code_and_fix() {
    let server = |code: &str| Refused::Server(code.into(), "a message".into());
    let trouble = |trouble| Refused::Trouble("10.0.1.5:5432".into(), trouble);
    for (refused, exit, part) in [
        (server("28P01"), Exit::Denied, "user and password"),
        (server("28000"), Exit::Denied, "pg_hba.conf"),
        (server("3D000"), Exit::Settings, "database's name"),
        (server("57P03"), Exit::Unavailable, "wait"),
        (server("53300"), Exit::Unavailable, "max_connections"),
        (server("XX000"), Exit::Unexpected, "SQLSTATE"),
        (trouble(Trouble::Refused), Exit::Unavailable, "port"),
        (
            trouble(Trouble::TimedOut(Stage::Tcp)),
            Exit::Unavailable,
            "security group",
        ),
        (trouble(Trouble::UnknownCa), Exit::Unexpected, "truststore"),
        (
            trouble(Trouble::WrongName(vec!["db.example".into()])),
            Exit::Unexpected,
            "hostaddr",
        ),
    ] {
        let checks = database::judge(&Err(refused.clone()), Security::Preferred, None);
        assert_told(&checks, "database.connect", "failure", &[part]);
        assert_eq!(checks[0].outcome.exit(), exit, "{refused:?}");
        let blocked = |check: &Check| matches!(check.outcome, Outcome::Blocked("database.connect", _));
        assert!(checks[1..].iter().all(blocked), "{checks:?}");
    }
}

fn reply(caller: Result<(), Kind>, ahead: i64) -> Reply {
    let ours = 1_800_000_000_000_u64;
    Reply {
        caller: caller
            .map(|()| Caller {
                arn: "arn:aws:sts::111122223333:assumed-role/tether/i-0".into(),
                account: "111122223333".into(),
            })
            .map_err(|kind| Failure::here("GetCallerIdentity", kind, "Code", "message")),
        times: Some((
            Timestamp::from_millis(ours),
            Timestamp::from_millis(ours.saturating_add_signed(ahead * 1000)),
        )),
    }
}

#[test]
fn a_clock_may_be_half_a_minute_off_and_must_not_be_five() {
    for (ahead, status, part) in [
        (0, "ok", "that of AWS"),
        (29, "ok", "that of AWS"),
        (-29, "ok", "that of AWS"),
        (30, "warning", "30 s ahead of"),
        (-30, "warning", "30 s behind"),
        (299, "warning", "4 min ahead of"),
        (300, "failure", "5 min ahead of"),
        (-86_400, "failure", "behind"),
    ] {
        assert_told(
            &aws::judge(&reply(Ok(()), ahead), "111122223333"),
            "aws.clock",
            status,
            &[part],
        );
    }
    let mute = Reply {
        times: None,
        ..reply(Err(Kind::Unavailable), 0)
    };
    assert_told(
        &aws::judge(&mute, "111122223333"),
        "aws.clock",
        "skipped",
        &["not told the time"],
    );
}

#[test]
fn only_bad_credentials_are_a_failure_of_the_identity() {
    for (kind, status) in [
        (Kind::Credentials, "failure"),
        (Kind::AssumeRole, "failure"),
        (Kind::Unavailable, "warning"),
        (Kind::Denied, "warning"),
        (Kind::Throttled, "warning"),
    ] {
        let reply = reply(Err(kind), 0);
        assert_told(
            &aws::judge(&reply, "111122223333"),
            "aws.identity",
            status,
            &["Code", "message"],
        );
        assert_eq!(aws::is_hopeless(&reply), status == "failure");
    }
}

#[test]
fn what_the_load_balancer_reaches_need_not_be_reached_from_here() {
    let endpoint: Endpoint = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"
        .parse()
        .unwrap();
    let ip: IpAddr = "10.0.1.5".parse().unwrap();
    let judged = |answer: Result<Reached, Trouble>, is_healthy| {
        let context = reach::Context {
            endpoint: &endpoint,
            without_address: "dns.answer",
            verified: true,
            is_healthy,
        };
        reach::judge(context, &BTreeSet::from([ip]), &BTreeMap::from([(ip, answer)]))
    };
    for trouble in [
        Trouble::Refused,
        Trouble::TimedOut(Stage::Tcp),
        Trouble::Unreachable("no route".into()),
    ] {
        let checks = judged(Err(trouble.clone()), true);
        assert_told(
            &checks,
            "reach.tcp",
            "warning",
            &["10.0.1.5:5432", "the load balancer reaches it"],
        );
        let checks = judged(Err(trouble), false);
        assert_told(&checks, "reach.tcp", "failure", &["10.0.1.5:5432"]);
        assert_told(&checks, "reach.certificate", "skipped", &["reach.tcp"]);
    }
    let reached = Reached {
        connected: Duration::from_millis(2),
        tls: Some("TLSv1_3".into()),
    };
    let checks = judged(Ok(reached), true);
    assert_told(&checks, "reach.tcp", "ok", &["10.0.1.5:5432 in 2 ms"]);
    assert_told(&checks, "reach.certificate", "ok", &["orders.cluster-abc123"]);
}

fn section(outcomes: Vec<(&'static str, Outcome)>) -> Vec<Section> {
    let checks = outcomes.into_iter().map(|(name, outcome)| Check::new(name, outcome));
    vec![Section {
        title: "all".into(),
        checks: checks.collect(),
    }]
}

#[test]
fn the_exit_code_is_that_of_the_most_severe_failure_and_warnings_have_none() {
    for (outcomes, exit) in [
        (vec![], Exit::Settled),
        (vec![Outcome::ok("")], Exit::Settled),
        (vec![Outcome::warning("", ""), Outcome::skipped("")], Exit::Settled),
        (
            vec![Outcome::failure(Exit::Unexpected, "", ""), Outcome::warning("", "")],
            Exit::Unexpected,
        ),
        (
            vec![
                Outcome::failure(Exit::Unavailable, "", ""),
                Outcome::failure(Exit::Refused, "", ""),
            ],
            Exit::Refused,
        ),
        (
            vec![
                Outcome::failure(Exit::Denied, "", ""),
                Outcome::failure(Exit::Settings, "", ""),
            ],
            Exit::Settings,
        ),
    ] {
        let named = outcomes.into_iter().map(|outcome| ("settings", outcome)).collect();
        assert_eq!(draw::exit(&section(named)), exit);
    }
}

#[test]
fn what_blocks_a_check_that_is_asked_for_is_shown_with_it_unless_it_is_left_out() {
    let all = || {
        section(vec![
            ("dns.answer", Outcome::failure(Exit::Unavailable, "none", "ask")),
            ("dns.ttl", Outcome::blocked("dns.answer")),
            ("dns.single", Outcome::blocked("dns.answer")),
        ])
    };
    let names = |only: &[&str], skip: &[&str]| -> Vec<&'static str> {
        let patterns = |names: &[&str]| names.iter().map(|name| name.parse::<Pattern>().unwrap()).collect();
        let selection = Selection {
            only: patterns(only),
            skip: patterns(skip),
        };
        let sections = selected(all(), &selection);
        sections
            .iter()
            .flat_map(|section| &section.checks)
            .map(|check| check.name)
            .collect()
    };
    assert_eq!(names(&["dns.ttl"], &[]), ["dns.answer", "dns.ttl"]);
    assert_eq!(names(&["dns.ttl"], &["dns.answer"]), ["dns.ttl"]);
    assert_eq!(names(&["aws"], &[]), Vec::<&str>::new());
    assert_eq!(names(&[], &["dns.ttl"]), ["dns.answer", "dns.single"]);
}

#[test]
fn names_are_plain_and_each_has_its_group() {
    for (name, about) in NAMES {
        let plain = |c: char| c.is_ascii_lowercase() || c == '-' || c == '.';
        assert!(name.chars().all(plain) && !about.is_empty(), "{name}");
        for pattern in [(*name).to_owned(), name.split('.').next().unwrap().to_owned()] {
            let selection = Selection {
                only: vec![
                    pattern.parse().unwrap(),
                    format!("{}.*", name.split('.').next().unwrap()).parse().unwrap(),
                ],
                skip: Vec::new(),
            };
            assert!(selection.has(name), "{pattern}");
        }
    }
    for wrong in ["", "dns.", "d", "dns.ttl.x", "*"] {
        assert!(wrong.parse::<Pattern>().is_err(), "{wrong:?}");
    }
}

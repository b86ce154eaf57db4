//! The judgements themselves, as tables: no server is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use rds_tether::aws::failure::{Failure, Kind};
use rds_tether::aws::sts::{Caller, Reply};
use rds_tether::database::{Refused, Security};
use rds_tether::doctor::aws;
use rds_tether::doctor::check::{Check, NAMES, Outcome, Pattern, Section, Selection, selected};
use rds_tether::doctor::database::{self, Facts, Senders, Server, Slot, Table};
use rds_tether::doctor::{draw, reach};
use rds_tether::exit::Exit;
use rds_tether::planner::endpoint::Endpoint;
use rds_tether::planner::time::Timestamp;
use rds_tether::probe::{Reached, Stage, Trouble};

/// Where the database is.
const HOST: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";

/// The check of this name has this status and says these parts.
#[track_caller]
pub fn assert_told(checks: &[Check], name: &str, status: &str, parts: &[&str]) {
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
        ("wal_sender_timeout", "60000"),
        ("max_replication_slots", "20"),
        ("max_wal_senders", "20"),
    ];
    Facts {
        server: Ok(Server {
            version: 160_004,
            is_standby: false,
            is_aurora: false,
            tls: Some("TLSv1.3".into()),
            user: "tether".into(),
            may_replicate: false,
            has_rds_replication: Some(true),
        }),
        settings: Ok(settings.map(|(name, value)| (name.into(), value.into())).into()),
        slots: Ok(vec![slot("clickpipes")]),
        senders: Ok(Senders { all: 1, of_standbys: 0 }),
        publications: Ok(vec!["tether".into()]),
        tables: Ok(vec![table("shop.orders")]),
    }
}

/// As before PostgreSQL 17.
fn slot(name: &str) -> Slot {
    Slot {
        name: name.into(),
        is_active: true,
        is_lost: false,
        held: 0,
        is_logical: true,
        is_temporary: false,
        failover: None,
        synced: None,
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
    database::judge(&Ok(facts), Security::Verified, HOST, None)
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
            |facts| set(facts, "wal_sender_timeout", "20000"),
            "database.sender-timeout",
            "warning",
            &["20 s", "busy for longer", "wal_sender_timeout = 60s"],
        ),
        (
            |facts| set(facts, "wal_sender_timeout", "0"),
            "database.sender-timeout",
            "warning",
            &[
                "vanishes without a word",
                "ClickPipes' page asks for 0",
                "PeerDB",
                "120 s",
                "= 60s",
            ],
        ),
        (
            |facts| set(facts, "wal_sender_timeout", "3600000"),
            "database.sender-timeout",
            "warning",
            &["taken for that long", "3600 s"],
        ),
        (
            |facts| set(facts, "wal_sender_timeout", "120000"),
            "database.sender-timeout",
            "ok",
            &["free again"],
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

/// What is told of slots: a server's version, what else it has, the status, and a part of the words.
#[test]
fn whether_slots_survive_a_failover_depends_on_who_keeps_them() {
    type Change = fn(&mut Facts);
    fn none(_: &mut Facts) {}
    fn marked(facts: &mut Facts, failover: bool) {
        facts.slots.as_mut().unwrap()[0].failover = Some(failover);
    }
    fn self_made(facts: &mut Facts) {
        facts.settings.as_mut().unwrap().remove("rds.logical_replication");
    }
    fn set(facts: &mut Facts, name: &str, value: &str) {
        facts.settings.as_mut().unwrap().insert(name.into(), value.into());
    }
    fn standby_slot(facts: &mut Facts, is_active: bool) {
        facts.slots.as_mut().unwrap().push(Slot {
            is_logical: false,
            is_active,
            ..slot("standby_1")
        });
    }
    fn standby(facts: &mut Facts) {
        facts.server.as_mut().unwrap().is_standby = true;
    }
    let cases: &[(u32, u32, Change, &str, &str)] = &[
        (160_004, 0, none, "ok", "1 logical slot: no standby streams from here"),
        (
            160_004,
            0,
            |facts| facts.slots = Ok(vec![]),
            "ok",
            "no logical slot yet",
        ),
        // Aurora, whatever the version, and whoever streams.
        (
            150_004,
            2,
            |facts| facts.server.as_mut().unwrap().is_aurora = true,
            "ok",
            "cluster's volume",
        ),
        // RDS, with readers or read replicas.
        (160_004, 2, none, "ok", "a Multi-AZ DB cluster copies them"),
        (150_002, 2, none, "warning", "before 14.8 and 15.3"),
        (140_007, 2, none, "warning", "before 14.8 and 15.3"),
        (140_008, 2, none, "ok", "copies them"),
        (
            170_004,
            1,
            |facts| marked(facts, false),
            "ok",
            "unless they are made with failover",
        ),
        (
            170_004,
            1,
            |facts| {
                marked(facts, false);
                set(facts, "sync_replication_slots", "on");
            },
            "warning",
            "promoted is without clickpipes",
        ),
        (
            170_004,
            1,
            |facts| {
                marked(facts, true);
                set(facts, "sync_replication_slots", "on");
            },
            "ok",
            "keeps them",
        ),
        // A server of one's own, whose standbys are what a failover goes to.
        (
            160_004,
            1,
            self_made,
            "warning",
            "clickpipes: a standby that is promoted has none of them, before PostgreSQL 17",
        ),
        (
            170_004,
            1,
            |facts| {
                self_made(facts);
                marked(facts, false);
            },
            "warning",
            "(failover is off)",
        ),
        (
            170_004,
            1,
            |facts| {
                self_made(facts);
                marked(facts, true);
            },
            "warning",
            "synchronized_standby_slots is empty",
        ),
        (
            170_004,
            1,
            |facts| {
                self_made(facts);
                marked(facts, true);
                set(facts, "synchronized_standby_slots", "standby_1");
                standby_slot(facts, true);
            },
            "ok",
            "never ahead of standby_1",
        ),
        (
            170_004,
            0,
            |facts| {
                marked(facts, true);
                set(facts, "synchronized_standby_slots", "standby_1, standby_2");
                standby_slot(facts, false);
            },
            "failure",
            "consumers of clickpipes get nothing: synchronized_standby_slots names standby_1, standby_2",
        ),
        // The standby itself.
        (160_004, 0, standby, "warning", "before PostgreSQL 17"),
        (170_004, 0, standby, "warning", "sync_replication_slots is off"),
        (
            180_000,
            0,
            |facts| {
                standby(facts);
                set(facts, "sync_replication_slots", "on");
                facts.slots.as_mut().unwrap()[0].synced = Some(true);
            },
            "ok",
            "1 logical slot synchronized",
        ),
        (
            180_000,
            0,
            |facts| {
                standby(facts);
                set(facts, "sync_replication_slots", "on");
                let slot = &mut facts.slots.as_mut().unwrap()[0];
                (slot.synced, slot.is_temporary) = (Some(true), true);
            },
            "warning",
            "clickpipes not ready",
        ),
    ];
    for (version, standbys, change, status, part) in cases {
        let checks = changed(|facts| {
            facts.server.as_mut().unwrap().version = *version;
            facts.senders.as_mut().unwrap().of_standbys = *standbys;
            change(facts);
        });
        assert_told(&checks, "database.failover-slots", status, &[part]);
    }
}

#[test]
fn the_slot_of_a_standby_is_not_to_be_dropped_for_holding_wal() {
    let held = |is_logical: bool, synced: Option<bool>| {
        changed(|facts| {
            let slot = &mut facts.slots.as_mut().unwrap()[0];
            (slot.is_active, slot.held, slot.is_logical, slot.synced) = (false, 1 << 30, is_logical, synced);
        })
    };
    assert_told(
        &held(true, None),
        "database.held-wal",
        "warning",
        &["only if it is gone for good", "pg_drop"],
    );
    let checks = held(false, None);
    assert_told(&checks, "database.held-wal", "warning", &["is a standby's"]);
    let fix = checks.iter().filter_map(|check| check.outcome.fix());
    assert!(!fix.collect::<String>().contains("pg_drop"));
    assert_told(&held(true, Some(true)), "database.held-wal", "ok", &[]);
}

/// Whatever ends connections says so: nobody reboots, drops or upgrades because a line of doctor's left that out.
#[test]
fn a_fix_that_ends_something_says_what() {
    const ENDS: &[(&str, &str)] = &[
        ("reboot", "ends every connection"),
        ("restart the server", "ends every connection"),
        ("pg_drop_replication_slot", "anew"),
        ("upgrade at", "stops the database"),
        ("force_ssl", "when every client does so"),
    ];
    type Change = fn(&mut Facts);
    fn set(facts: &mut Facts, name: &str, value: &str) {
        facts.settings.as_mut().unwrap().insert(name.into(), value.into());
    }
    let changes: &[Change] = &[
        |facts| facts.server.as_mut().unwrap().version = 110_022,
        |facts| facts.server.as_mut().unwrap().tls = None,
        |facts| set(facts, "wal_level", "replica"),
        |facts| {
            set(facts, "wal_level", "replica");
            set(facts, "rds.logical_replication", "off");
        },
        |facts| {
            set(facts, "wal_level", "replica");
            facts.settings.as_mut().unwrap().remove("rds.logical_replication");
        },
        |facts| facts.slots.as_mut().unwrap()[0].is_active = false,
        |facts| facts.slots.as_mut().unwrap()[0].is_lost = true,
    ];
    let mut seen = BTreeSet::new();
    for change in changes {
        for check in changed(*change) {
            let fix = check.outcome.fix().unwrap_or_default();
            let told = format!("{} | {fix}", check.outcome.finding());
            for (sign, word) in ENDS.iter().filter(|(sign, _)| fix.contains(sign)) {
                seen.insert(*sign);
                assert!(told.contains(word), "{}: {told}", check.name);
            }
        }
    }
    assert_eq!(seen.len(), ENDS.len(), "{seen:?}");
}

#[test]
fn sslmode_require_is_told_for_what_it_is() {
    let checks = database::judge(&Ok(ready()), Security::Unverified, HOST, None);
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
        let checks = database::judge(&Err(refused.clone()), Security::Preferred, HOST, None);
        assert_told(&checks, "database.connect", "failure", &[part]);
        assert_eq!(checks[0].outcome.exit(), exit, "{refused:?}");
        let there = database::judge(
            &Err(refused.clone()),
            Security::Preferred,
            "orders.abc.us-gov-west-1.rds.amazonaws.com",
            None,
        );
        if matches!(refused, Refused::Trouble(_, Trouble::UnknownCa)) {
            assert_told(
                &there,
                "database.connect",
                "failure",
                &["truststore.pki.us-gov-west-1.rds"],
            );
        }
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
            &aws::judge(&reply(Ok(()), ahead), "111122223333", true),
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
        &aws::judge(&mute, "111122223333", true),
        "aws.clock",
        "skipped",
        &["nothing that AWS answered"],
    );
}

#[test]
fn an_identity_that_is_not_known_is_a_failure_unless_elb_answers_it() {
    for (kind, is_answered, status) in [
        (Kind::Credentials, true, "failure"),
        (Kind::AssumeRole, true, "failure"),
        (Kind::Unavailable, true, "warning"),
        (Kind::Denied, true, "warning"),
        (Kind::Throttled, true, "warning"),
        (Kind::Unavailable, false, "failure"),
        (Kind::Throttled, false, "failure"),
    ] {
        let reply = reply(Err(kind), 0);
        assert_told(
            &aws::judge(&reply, "111122223333", is_answered),
            "aws.identity",
            status,
            &["Code", "message"],
        );
        assert_eq!(
            aws::is_hopeless(&reply),
            matches!(kind, Kind::Credentials | Kind::AssumeRole)
        );
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
            bundle: "curl",
            is_healthy,
            checked_by: reach::Checker::Balancer,
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

/// What is said of a port where something answers an SSLRequest in such a way.
fn answered(port: u16, trouble: Trouble, checked_by: reach::Checker) -> Vec<Check> {
    let endpoint: Endpoint = format!("{}:{port}", "orders.cluster-abc123.eu-west-1.rds.amazonaws.com")
        .parse()
        .unwrap();
    let ip: IpAddr = "10.0.1.5".parse().unwrap();
    let context = reach::Context {
        endpoint: &endpoint,
        without_address: "dns.answer",
        verified: false,
        bundle: "curl",
        is_healthy: false,
        checked_by,
    };
    reach::judge(context, &BTreeSet::from([ip]), &BTreeMap::from([(ip, Err(trouble))]))
}

#[test]
fn an_engine_that_is_not_postgresql_is_not_said_to_be_starting() {
    use reach::Checker::{Balancer, Proxy};
    let closed = || Trouble::Closed(Stage::Postgres, "the other side closed the connection".into());
    let mysql = |words: &str| Trouble::Mysql(0x4a, words.into());
    for (port, trouble, checker, status, parts) in [
        (
            3306,
            mysql("8.0.36"),
            Balancer,
            "skipped",
            ["MySQL or MariaDB (8.0.36)", "nothing more is asked"],
        ),
        (
            3306,
            closed(),
            Proxy,
            "skipped",
            ["MySQL and MariaDB", "ends such a connection"],
        ),
        (
            1433,
            closed(),
            Balancer,
            "skipped",
            ["SQL Server", "ends such a connection"],
        ),
        (1521, closed(), Balancer, "skipped", ["Oracle", "nothing more is asked"]),
        (
            50_000,
            Trouble::NotPostgres(0),
            Balancer,
            "skipped",
            ["Db2", "nothing more is asked"],
        ),
        (
            5432,
            mysql("8.0.36"),
            Balancer,
            "failure",
            ["not PostgreSQL", "--skip reach.postgres"],
        ),
        (
            3306,
            mysql("error 1129: Host is blocked"),
            Proxy,
            "failure",
            ["max_connect_errors", "FLUSH HOSTS"],
        ),
        // The control: on PostgreSQL's own port it may be just that.
        (
            5432,
            closed(),
            Balancer,
            "failure",
            ["starting or stopping", "not PostgreSQL"],
        ),
    ] {
        let checks = answered(port, trouble, checker);
        assert_told(&checks, "reach.postgres", status, &parts);
        if port != 5432 {
            let said = checks.iter().map(|check| check.outcome.finding()).collect::<String>();
            assert!(!said.contains("starting"), "{port}: {said}");
        }
    }
}

#[test]
fn what_connects_without_a_log_in_blocks_hosts_of_mysql_and_keeps_aurora_awake() {
    use reach::Checker::{Balancer, Proxy};
    let mysql = || Trouble::Mysql(0x4a, "8.0.36".into());
    let never = "probe_interval = \"never\"";
    for (port, trouble, checker, status, parts) in [
        (
            3306,
            Trouble::Refused,
            Balancer,
            "warning",
            ["ERROR 1129", "health checks", "max_connect_errors"],
        ),
        (
            3306,
            mysql(),
            Proxy,
            "warning",
            ["ERROR 1129", "readiness probes", never],
        ),
        (3307, mysql(), Proxy, "warning", ["max_connect_errors", "100", never]),
        (
            5432,
            Trouble::TlsRefused,
            Balancer,
            "skipped",
            ["awake", "every 5 min", "describe-db-clusters"],
        ),
        (
            5432,
            Trouble::TlsRefused,
            Proxy,
            "skipped",
            ["awake", never, "MinCapacity"],
        ),
    ] {
        assert_told(&answered(port, trouble, checker), "reach.connects", status, &parts);
    }
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
        // Nothing that was checked is nothing that is well.
        (vec![], Exit::Usage),
        (vec![Outcome::skipped("")], Exit::Usage),
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

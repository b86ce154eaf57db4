//! What is said of the members of a database and of who the writer is, as tables: no server is asked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use rds_tether::database::{Breach, Refused};
use rds_tether::doctor::check::{Check, NAMES};
use rds_tether::doctor::lead::{Member, Seen, Sought, judge, sections};
use rds_tether::exit::Exit;
use rds_tether::lead::crew::Quest;
use rds_tether::lead::question::{Answer, Flavour, Ungranted};
use rds_tether::lead::visit::{Rights, Unheard, Visit};
use rds_tether::lead::{Lead, Secret};
use rds_tether::planner::guard::Refusal;
use rds_tether::planner::lead::Says;
use rds_tether::planner::target::Family;
use rds_tether::probe::{Stage, Trouble, Trust};
use rds_tether::settings::Settings;
use testkit::certificate::{Authority, NOW};

use super::fake::{Manner, Postgres, with};
use super::reach::proxied_with;
use super::tables::assert_told;
use super::world::*;

const SUFFIX: &str = "abc123.eu-west-1.rds.amazonaws.com";
const INSTANCE: &str = "orders-1.abc123.eu-west-1.rds.amazonaws.com";

type Change = fn(&mut Quest, &mut Seen);

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 1, last])
}

/// Two members of Aurora, of which the first is the writer.
fn well() -> (Quest, Seen) {
    let quest = Quest {
        endpoint: format!("{WRITER}:5432").parse().unwrap(),
        family: Family::Ipv4,
        lead: Lead {
            user: "le\"ad".into(),
            secret: Secret::File("/etc/rds-tether/password".into()),
            database: "postgres".into(),
            members: Vec::new(),
            patience: Duration::from_secs(30),
            trust: Trust::anybody(),
        },
        allow_cidrs: Vec::new(),
    };
    let member = |n: u8, says: Says| {
        let visit = Visit {
            took: Duration::from_millis(20),
            flavour: Ok(Flavour::Aurora),
            has_old_tools: false,
            answer: Some(Answer {
                members: Some("orders-1 orders-2".into()),
                ..Answer::default()
            }),
            says,
            rights: Ok(Rights {
                max_connections: 100,
                limit: Some(4),
                sessions: 2,
                ..Rights::default()
            }),
        };
        let name = Some(format!("orders-{n}.{SUFFIX}"));
        let heard = Ok(visit);
        (ip(n), Member { name, heard })
    };
    let seen = Seen {
        named: [ip(1)].into(),
        is_of_cluster: true,
        has_suffix: true,
        names: [1, 2].map(|n| (format!("orders-{n}.{SUFFIX}"), None)).into(),
        refused: [].into(),
        members: BTreeMap::from([member(1, Says::Writer), member(2, Says::Reader)]),
    };
    (quest, seen)
}

fn visit(seen: &mut Seen, n: u8) -> &mut Visit {
    let member = seen.members.get_mut(&ip(n)).unwrap();
    member.heard.as_mut().unwrap()
}

fn fail(seen: &mut Seen, n: u8, unheard: Unheard) {
    seen.members.get_mut(&ip(n)).unwrap().heard = Err(unheard);
}

fn refused(state: &str, message: &str) -> Unheard {
    Unheard::Refused(Refused::Server(state.into(), message.into()))
}

fn trouble(trouble: Trouble) -> Unheard {
    Unheard::Refused(Refused::Trouble("10.0.1.2:5432".into(), trouble))
}

/// Members that know nothing of each other.
fn plain(quest: &mut Quest, seen: &mut Seen) {
    quest.endpoint = "orders.db.internal:5432".parse().unwrap();
    (seen.is_of_cluster, seen.has_suffix) = (false, false);
    for n in [1, 2] {
        let visit = visit(seen, n);
        (visit.flavour, visit.answer) = (Ok(Flavour::Plain), Some(Answer::default()));
    }
}

fn alone(seen: &mut Seen) {
    seen.members.remove(&ip(2));
    seen.names = BTreeMap::new();
}

fn changed(change: impl FnOnce(&mut Quest, &mut Seen)) -> Vec<Check> {
    let (mut quest, mut seen) = well();
    change(&mut quest, &mut seen);
    let by = vec!["proxy 127.0.0.1:5432".to_owned()];
    judge(&Sought { quest, by }, Some(&seen), "dns.servers")
}

#[test]
fn members_that_are_well_are_ok_in_every_check() {
    let checks = changed(|_, _| ());
    for check in &checks {
        assert_eq!(check.outcome.status(), "ok", "{check:?}");
    }
    let mut names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    names.dedup();
    let all = NAMES.iter().map(|(name, _)| *name);
    assert_eq!(names, all.filter(|name| name.starts_with("lead.")).collect::<Vec<_>>());
}

#[test]
fn each_thing_that_is_wrong_with_members_is_told_by_its_check() {
    let cases: &[(Change, &str, &str, &[&str])] = &[
        // Who is asked.
        (
            |_, seen| seen.refused = [(ip(9), Refusal::NotAllowed)].into(),
            "lead.members",
            "warning",
            &["10.0.1.9 is outside allow_cidrs, and so is not asked", "to allow_cidrs"],
        ),
        (
            |_, seen| seen.refused = [(ip(9), Refusal::Ourselves)].into(),
            "lead.members",
            "warning",
            &["10.0.1.9 is where rds-tether itself listens", "leads back here"],
        ),
        (
            |quest, seen| {
                quest.lead.members = vec!["db-3.internal".into()];
                seen.names.insert("db-3.internal".into(), Some("no such name".into()));
            },
            "lead.members",
            "warning",
            &["db-3.internal leads nowhere: no such name", "in members of lead"],
        ),
        (
            |quest, seen| {
                plain(quest, seen);
                alone(seen);
            },
            "lead.members",
            "warning",
            &["a promoted standby cannot be known", "members = [\"NAME\", ...]"],
        ),
        (
            |quest, seen| {
                plain(quest, seen);
                alone(seen);
                quest.endpoint = format!("{INSTANCE}:5432").parse().unwrap();
            },
            "lead.members",
            "warning",
            &["cannot be known", "Multi-AZ DB instance has none of its own"],
        ),
        (
            |_, seen| alone(seen),
            "lead.members",
            "ok",
            &["1 asked", "and nobody else"],
        ),
        (
            |_, seen| {
                alone(seen);
                seen.has_suffix = false;
            },
            "lead.members",
            "warning",
            &["tells of 2 members", "members = [\"NAME\", ...]"],
        ),
        // Whether they can be asked for the topology.
        (
            |_, seen| visit(seen, 1).flavour = Err(Ungranted("GRANT this TO that".into())),
            "lead.topology",
            "failure",
            &["in database postgres, at the writer: GRANT this TO that"],
        ),
        (
            |_, seen| visit(seen, 1).flavour = Ok(Flavour::Plain),
            "lead.topology",
            "warning",
            &["CREATE EXTENSION rds_tools; GRANT USAGE ON SCHEMA rds_tools TO \"le\"\"ad\"; GRANT EXECUTE"],
        ),
        (
            |_, seen| visit(seen, 1).has_old_tools = true,
            "lead.topology",
            "warning",
            &["ALTER EXTENSION rds_tools UPDATE"],
        ),
        (
            |quest, seen| plain(quest, seen),
            "lead.topology",
            "ok",
            &["plain PostgreSQL"],
        ),
        // Who the writer is.
        (
            |_, seen| visit(seen, 2).says = Says::Writer,
            "lead.writer",
            "failure",
            &["10.0.1.1, 10.0.1.2 each show", "stop the other"],
        ),
        (
            |_, seen| seen.named = [ip(2)].into(),
            "lead.writer",
            "warning",
            &[
                "ahead of DNS, which still names 10.0.1.2",
                "moves within a minute",
                "describe-events",
            ],
        ),
        (
            |quest, seen| {
                seen.named = [ip(2)].into();
                quest.lead.members = vec![INSTANCE.into()];
            },
            "lead.writer",
            "warning",
            &["promoted by hand", "take it out of members"],
        ),
        (
            |quest, seen| {
                plain(quest, seen);
                seen.named = [ip(2)].into();
            },
            "lead.writer",
            "warning",
            &["let orders.db.internal lead to 10.0.1.1 in DNS"],
        ),
        (
            |_, seen| seen.named = [].into(),
            "lead.writer",
            "warning",
            &["DNS cannot be asked", "dns.answer"],
        ),
        (
            |_, seen| visit(seen, 1).says = Says::Reader,
            "lead.writer",
            "failure",
            &[
                "no member is the writer",
                "[10.0.1.1 reader, 10.0.1.2 reader]",
                "pg_promote()",
            ],
        ),
        (
            |_, seen| visit(seen, 1).says = Says::Neither("it is read-only".into()),
            "lead.writer",
            "warning",
            &["10.0.1.1 neither (it is read-only)", "if 10.0.1.1 stays so"],
        ),
        (
            |_, seen| fail(seen, 1, trouble(Trouble::Refused)),
            "lead.writer",
            "warning",
            &["10.0.1.1 silent", "see lead.login"],
        ),
        // What it costs.
        (
            |_, seen| visit(seen, 1).rights.as_mut().unwrap().sessions = 4,
            "lead.cost",
            "warning",
            &[
                "CONNECTION LIMIT 4, of which 4 are in use",
                "ALTER ROLE \"le\"\"ad\" CONNECTION LIMIT 6",
            ],
        ),
        (
            |_, seen| visit(seen, 1).rights.as_mut().unwrap().limit = Some(1),
            "lead.cost",
            "warning",
            &["CONNECTION LIMIT 1", "CONNECTION LIMIT 4"],
        ),
        (
            |_, seen| visit(seen, 1).rights.as_mut().unwrap().limit = None,
            "lead.cost",
            "ok",
            &["max_connections = 100", "no CONNECTION LIMIT", "Serverless v2"],
        ),
        (
            |_, seen| {
                let rights = visit(seen, 1).rights.as_mut().unwrap();
                rights.attributes = "SUPERUSER CREATEDB".into();
                (rights.tables, rights.table) = (3, "shop.orders".into());
            },
            "lead.cost",
            "warning",
            &[
                "it has SUPERUSER, CREATEDB; it owns shop.orders and 2 more",
                "a role of its own",
                "ALTER ROLE \"le\"\"ad\" NOSUPERUSER NOCREATEDB; REASSIGN OWNED BY \"le\"\"ad\"",
            ],
        ),
        (
            |_, seen| visit(seen, 1).rights.as_mut().unwrap().roles = "pg_write_all_data".into(),
            "lead.cost",
            "warning",
            &[
                "it is in pg_write_all_data",
                "REVOKE pg_write_all_data FROM \"le\"\"ad\"",
            ],
        ),
        (
            |_, seen| visit(seen, 1).rights = Err("no answer in time".into()),
            "lead.cost",
            "skipped",
            &["no answer in time"],
        ),
    ];
    for (change, name, status, parts) in cases {
        assert_told(&changed(change), name, status, parts);
    }
}

#[test]
fn each_reason_for_which_a_member_does_not_let_the_role_in_has_its_own_fix() {
    enum Case {
        Password,
        Iam,
        OwnName,
    }
    use Case::{Iam, OwnName, Password};
    const DENIED: Exit = Exit::Denied;
    let wrong_name = || Trouble::WrongName(vec!["other.example".into()]);
    let cases: Vec<(Case, Unheard, Exit, &[&str])> = vec![
        (
            Password,
            refused("28P01", "password authentication failed for user \"lead\""),
            DENIED,
            &["/etc/rds-tether/password", "\\password \"le\"\"ad\"", "CREATE ROLE"],
        ),
        (
            Iam,
            refused("28P01", "password authentication failed for user \"lead\""),
            DENIED,
            &["GRANT rds_iam TO \"le\"\"ad\""],
        ),
        (
            Iam,
            refused("28000", "PAM authentication failed for user \"lead\""),
            DENIED,
            &["rds-db:connect", "arn:aws:rds-db:eu-west-1:ACCOUNT:dbuser:*/le\"ad"],
        ),
        (
            Password,
            refused("28000", "PAM authentication failed for user \"lead\""),
            DENIED,
            &["iam = true", "REVOKE rds_iam FROM"],
        ),
        (
            OwnName,
            refused(
                "28000",
                "no pg_hba.conf entry for host \"10.9.0.1\", user \"lead\", database \"postgres\", SSL encryption",
            ),
            DENIED,
            &[
                "hostssl \"postgres\" \"le\"\"ad\" 10.9.0.1/32 scram-sha-256",
                "pg_reload_conf()",
            ],
        ),
        (
            OwnName,
            refused("28000", "no pg_hba.conf entry for host \"all; rm\""),
            DENIED,
            &["\"le\"\"ad\" ADDRESS scram-sha-256"],
        ),
        (
            Password,
            refused("28000", "role \"lead\" is not permitted to log in"),
            DENIED,
            &["ALTER ROLE \"le\"\"ad\" LOGIN"],
        ),
        (
            Password,
            refused("28000", "role \"lead\" does not exist"),
            DENIED,
            &["CREATE ROLE"],
        ),
        (
            Password,
            refused("3D000", "database \"postgres\" does not exist"),
            Exit::Settings,
            &["database = "],
        ),
        (
            Password,
            refused("42501", "permission denied for database \"postgres\""),
            DENIED,
            &["GRANT CONNECT ON DATABASE \"postgres\""],
        ),
        (
            Password,
            refused("53300", "too many connections for role \"lead\""),
            Exit::Unavailable,
            &["CONNECTION LIMIT 8"],
        ),
        (
            Password,
            refused("53300", "sorry, too many clients already"),
            Exit::Unavailable,
            &["max_connections"],
        ),
        (
            Password,
            refused("57P03", "the database system is starting up"),
            Exit::Unavailable,
            &["wait"],
        ),
        (
            Password,
            refused("XX000", "what?"),
            Exit::Unexpected,
            &["SQLSTATE XX000"],
        ),
        (
            Password,
            Unheard::Unanswered(Some("42501".into()), "permission denied for function f".into()),
            DENIED,
            &["grant what it says"],
        ),
        (
            Password,
            Unheard::Unanswered(None, "no answer in time".into()),
            Exit::Unavailable,
            &["log"],
        ),
        (
            Password,
            Unheard::Secret("its first line is empty".into()),
            Exit::Settings,
            &["/etc/rds-tether/password"],
        ),
        (
            Iam,
            Unheard::Secret("no credentials".into()),
            DENIED,
            &["instance profile"],
        ),
        (
            Password,
            trouble(wrong_name()),
            Exit::Unexpected,
            &["names orders.cluster-", "compare it with the console"],
        ),
        (
            Password,
            trouble(Trouble::UnknownCa),
            Exit::Unexpected,
            &["ca_bundle", "truststore"],
        ),
        (Password, trouble(Trouble::Expired), Exit::Unexpected, &["renew"]),
        (
            Password,
            refused("28000", "no pg_hba.conf entry for host \"10.9.0.1\""),
            Exit::Settings,
            &["name another database"],
        ),
        (
            OwnName,
            trouble(Trouble::WrongName(vec![INSTANCE.into()])),
            Exit::Settings,
            &["own endpoint, not orders.db.internal"],
        ),
        (
            OwnName,
            trouble(Trouble::Refused),
            Exit::Unavailable,
            &["start PostgreSQL there, on port 5432"],
        ),
        (Password, trouble(Trouble::NotYetValid), Exit::Unexpected, &["clock"]),
        (Password, trouble(Trouble::TlsRefused), Exit::Unexpected, &["ssl = on"]),
        (
            Password,
            trouble(Trouble::Mysql(10, "8.0".into())),
            Exit::Unexpected,
            &["for PostgreSQL"],
        ),
        (
            Password,
            trouble(Trouble::Refused),
            Exit::Unavailable,
            &["describe-events"],
        ),
        (
            Password,
            trouble(Trouble::TimedOut(Stage::Tcp)),
            Exit::Unavailable,
            &["security group on TCP 5432"],
        ),
        (
            Password,
            Unheard::Refused(Refused::Late("to the log-in".into())),
            Exit::Unavailable,
            &["log"],
        ),
        (
            Password,
            Unheard::Refused(Refused::Breach(Breach::TooMuch)),
            Exit::Unexpected,
            &["hardly a PostgreSQL"],
        ),
    ];
    for (case, unheard, exit, parts) in cases {
        let checks = changed(|quest, seen| {
            match case {
                Password => {}
                Iam => quest.lead.secret = Secret::Iam,
                OwnName => plain(quest, seen),
            }
            fail(seen, 1, unheard.clone());
            alone(seen);
        });
        assert_told(&checks, "lead.login", "failure", parts);
        let login = checks.iter().find(|check| check.name == "lead.login").unwrap();
        assert_eq!(login.outcome.exit(), exit, "{unheard:?}");
        assert_told(&checks, "lead.writer", "skipped", &["lead.login"]);
    }
    let checks = changed(|quest, seen| {
        quest.lead.members = vec![INSTANCE.into()];
        fail(seen, 1, trouble(Trouble::UnknownCa));
        alone(seen);
    });
    assert_told(&checks, "lead.login", "failure", &["take its name out of members"]);
    // A standby that is away is no failure where others are heard; one that keeps us out is.
    for (unheard, status) in [
        (trouble(Trouble::Refused), "warning"),
        (refused("57P03", "starting up"), "warning"),
        (refused("28000", "not permitted to log in"), "failure"),
        (trouble(Trouble::UnknownCa), "failure"),
        (Unheard::NotAsked, "skipped"),
    ] {
        let checks = changed(|_, seen| fail(seen, 2, unheard.clone()));
        let logins = checks.iter().filter(|check| check.name == "lead.login");
        let statuses: Vec<&str> = logins.map(|check| check.outcome.status()).collect();
        assert_eq!(statuses, ["ok", status], "{unheard:?}");
        assert_told(&checks, "lead.writer", "ok", &["DNS names it"]);
    }
    let checks = changed(|_, seen| visit(seen, 1).took = Duration::from_millis(1400));
    assert_told(&checks, "lead.login", "warning", &["in 1.4 s", "waits 1 s"]);
}

#[test]
fn what_nobody_could_look_at_waits_for_what_kept_it_from_that() {
    let checks = changed(|_, seen| visit(seen, 1).flavour = Err(Ungranted("GRANT".into())));
    assert_told(&checks, "lead.writer", "ok", &[]);
    let checks = changed(|_, seen| {
        alone(seen);
        let visit = visit(seen, 1);
        visit.flavour = Err(Ungranted("GRANT".into()));
        visit.says = Says::Denied("GRANT".into());
    });
    assert_told(&checks, "lead.writer", "skipped", &["lead.topology"]);
    assert_told(&checks, "lead.members", "ok", &["not known yet"]);
    let nobody = |seen: &mut Seen| seen.members = BTreeMap::new();
    for check in changed(|_, seen| nobody(seen)) {
        assert_told(std::slice::from_ref(&check), check.name, "skipped", &["dns.answer"]);
    }
    let checks = changed(|_, seen| {
        nobody(seen);
        seen.refused = [(ip(1), Refusal::NotAllowed)].into();
    });
    assert_told(&checks, "lead.members", "warning", &["allow_cidrs"]);
    assert_told(&checks, "lead.cost", "skipped", &["lead.members"]);
    // Whose settings have no lead is told nothing.
    let endpoint = format!("{WRITER}:5432").parse().unwrap();
    assert_eq!(sections(&Settings::default(), &endpoint, None), []);
}

/// By the built program, against servers that are none to log in to.
#[test]
fn members_are_asked_where_the_settings_say_so_and_for_no_longer_than_there_is_time() {
    let scratch = Scratch::new();
    let authority = Authority::new();
    let (bundle, password) = (
        scratch.write("ca.pem", &authority.pem),
        scratch.write("password", "secret-one\n"),
    );
    let lines = format!(
        "ca_bundle = \"{}\"\nlead = {{ user = \"lead\", password_file = \"{}\" }}",
        bundle.display(),
        password.display()
    );
    for (manner, exit, status, parts) in [
        (
            Manner::Plain,
            1,
            "failure",
            &["127.0.0.1: PostgreSQL answers, but speaks no TLS", "ssl = on"][..],
        ),
        (
            with(Authority::new().certify(&[WRITER], NOW)),
            1,
            "failure",
            &["no CA of the bundle"],
        ),
        (
            with(authority.certify(&["other.example"], NOW)),
            1,
            "failure",
            &["other.example", WRITER],
        ),
        (Manner::Stalls, 69, "failure", &["no answer in time"]),
        (Manner::Silent, 69, "failure", &["no answer in time"]),
    ] {
        let server = Postgres::start(manner);
        let told = proxied_with(server.address, &lines, &["--only", "lead", "--timeout", "3s"]);
        assert_eq!(told.exit, exit, "{}", told.said);
        told.assert("lead.login", status, parts);
        told.assert("lead.members", "ok", &["1 asked: 127.0.0.1 (DNS names it)"]);
        told.assert("lead.writer", "skipped", &["lead.login"]);
        assert!(!told.said.contains("secret-one"), "{}", told.said);
    }
    let server = Postgres::start(Manner::Plain);
    for (lines, more) in [("", &["--timeout", "3s"][..]), (&lines, &["--skip", "lead"])] {
        let told = proxied_with(server.address, lines, more);
        let is_of_lead = |name: &str| name.starts_with("lead.");
        assert!(
            !told.checks.iter().any(|check| is_of_lead(&check.name)),
            "{}",
            told.said
        );
    }
}

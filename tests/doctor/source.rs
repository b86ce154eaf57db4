//! `--database` where no PostgreSQL is needed: what is refused, never answered, or not who it says it is.

use std::net::TcpListener;

use testkit::certificate::{Authority, Certified, NOW};

use super::fake::{Manner, Postgres, with};
use super::world::{Scratch, World, bare_command};
use super::{Diagnosis, doctor, examine};

fn of(url: &str, more: &[&str]) -> Diagnosis {
    let mut command = bare_command("http://127.0.0.1:9");
    examine(command.args(["doctor", "--database", url]).args(more))
}

#[test]
fn a_database_alone_is_enough_to_look_at() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = of(&format!("postgres://u:hidden@{closed}/d"), &[]);
    assert_eq!(told.exit, 69, "{}", told.said);
    told.assert("settings", "skipped", &["only the database"]);
    told.assert("database.connect", "failure", &["connection refused", "port"]);
    told.assert("database.slots", "skipped", &["database.connect"]);
    assert!(
        told.checks
            .iter()
            .all(|check| check.name == "settings" || check.name.starts_with("database."))
    );
    assert!(!told.said.contains("hidden"), "{}", told.said);
}

#[test]
fn a_database_that_never_answers_keeps_nothing_else_from_being_told() {
    let silent = Postgres::start(Manner::Silent);
    let world = World::settled();
    let url = format!("postgres://u:p@{}/d", silent.address);
    let told = examine(doctor(&world).args(["--timeout", "2s", "--database", &url]));
    assert_eq!(told.exit, 69, "{}", told.said);
    assert_eq!(told.with("failure"), ["database.connect"]);
    told.assert("database.connect", "failure", &["--timeout"]);
    told.assert("group.health", "ok", &[]);
}

#[test]
fn a_name_that_leads_nowhere_is_told() {
    // No resolver asks anybody for a label of 70 characters.
    let told = of(&format!("postgres://u:p@{}.invalid/d", "a".repeat(70)), &[]);
    assert_eq!(told.exit, 69, "{}", told.said);
    told.assert("database.connect", "failure", &["not found", "--database"]);
}

#[test]
fn a_server_that_is_not_who_it_should_be_gets_no_password() {
    let authority = Authority::new();
    let scratch = Scratch::new();
    let bundle = scratch.write("ca.pem", &authority.pem);
    for (manner, part) in [
        (with(Certified::by_itself(&["db.example"], NOW)), "no CA of the bundle"),
        (
            with(authority.certify(&["another.example"], (2020, 2199))),
            "is for another.example",
        ),
        (with(authority.certify(&["db.example"], (2010, 2015))), "has expired"),
        (Manner::Plain, "speaks no TLS"),
    ] {
        let server = Postgres::start(manner);
        let url = format!(
            "host=db.example hostaddr=127.0.0.1 port={} user=u password=p dbname=d",
            server.address.port()
        );
        let told = of(&url, &["--ca-bundle", bundle.to_str().unwrap()]);
        told.assert("database.connect", "failure", &[part]);
        assert_ne!(told.exit, 0);
    }
}

#[test]
fn a_database_of_another_engine_is_told_as_that() {
    for (manner, parts) in [
        (
            Manner::Says(b"\x4a\0\0\0\x0a8.0.36\0"),
            ["MySQL or MariaDB (8.0.36)", "--database is for PostgreSQL"],
        ),
        (
            Manner::Says(b"N\0\0\0\x0a8.0.32-rds\0"),
            ["MySQL or MariaDB (8.0.32-rds)", "--database is for PostgreSQL"],
        ),
        // As SQL Server does.
        (
            Manner::Closes,
            ["instead of an answer", "engines other than PostgreSQL"],
        ),
    ] {
        let server = Postgres::start(manner);
        for mode in ["", "?sslmode=require"] {
            let told = of(
                &format!("postgres://u:p@{}/d{mode}", server.address),
                &["--timeout", "3s"],
            );
            assert_ne!(told.exit, 0, "{}", told.said);
            told.assert("database.connect", "failure", &parts);
            let check = told.check("database.connect");
            assert!(!check.fix.contains("starting"), "{}", check.fix);
        }
    }
}

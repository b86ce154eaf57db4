//! `doctor --database` against a real PostgreSQL, in a good state and in many bad ones.

use std::ops::{Deref, DerefMut};
use std::process::{Child, Stdio};

use testkit::certificate::{Authority, NOW};
use testkit::postgres::{self, PASSWORD, as_postgres, program};
use testkit::program::{succeed, wait_until};
use testkit::scratch::Scratch;

use super::world::bare_command;
use super::{Diagnosis, examine};

/// What is ready to be streamed from.
const PREPARE: &str = "\
    CREATE ROLE tether LOGIN REPLICATION PASSWORD 'not-a-secret'; \
    CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY, total int); \
    GRANT USAGE ON SCHEMA shop TO tether; GRANT SELECT ON shop.orders TO tether; \
    CREATE PUBLICATION tether FOR TABLE shop.orders;";
/// What a database for change streaming is set to.
pub const SETTINGS: &[&str] = &["wal_level=logical", "wal_sender_timeout=60s"];

/// A server in a folder of its own.
pub struct Server {
    postgres: postgres::Server,
    scratch: Scratch,
}

impl Deref for Server {
    type Target = postgres::Server;

    fn deref(&self) -> &Self::Target {
        &self.postgres
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.postgres
    }
}

impl Server {
    /// Storage that is empty yet.
    fn empty() -> Self {
        let scratch = Scratch::new();
        let postgres = postgres::Server::empty(scratch.folder());
        Self { postgres, scratch }
    }

    /// New storage, with no server.
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let postgres = postgres::Server::new(scratch.folder(), "scram-sha-256");
        Self { postgres, scratch }
    }

    /// A server that is ready to be streamed from.
    fn prepared() -> Self {
        let mut server = Self::new();
        server.start(SETTINGS);
        server.sql(PREPARE);
        server
    }

    /// Runs statements as the superuser and returns what they print.
    pub fn sql(&self, sql: &str) -> String {
        let mut psql = program("psql");
        psql.env("PGPASSWORD", PASSWORD)
            .args(["-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-Atqc", sql]);
        succeed(psql.args(["-v", "ON_ERROR_STOP=1", "-p", &self.port().to_string()]))
            .trim()
            .to_owned()
    }

    fn url(&self) -> String {
        format!("postgres://tether:{PASSWORD}@127.0.0.1:{}/postgres", self.port())
    }

    fn examine(&self, more: &[&str]) -> Diagnosis {
        of(&self.url(), more)
    }
}

/// Examines a database alone.
pub fn of(url: &str, more: &[&str]) -> Diagnosis {
    let mut command = bare_command("http://127.0.0.1:9");
    examine(
        command
            .arg("doctor")
            .env("RDS_TETHER_DATABASE", url)
            .args(["--only", "database"])
            .args(more),
    )
}

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn a_database_that_is_ready_has_only_its_missing_encryption_told() {
    let server = Server::prepared();
    let told = server.examine(&["--publication", "tether"]);
    assert_eq!(told.exit, 0, "{}", told.said);
    assert_eq!(told.with("failure"), Vec::<&str>::new(), "{}", told.said);
    assert_eq!(told.with("warning"), ["database.encryption"], "{}", told.said);
    assert_eq!(told.with("skipped"), Vec::<&str>::new(), "{}", told.said);
    told.assert("database.connect", "ok", &["connected as tether"]);
    told.assert("database.version", "ok", &["PostgreSQL "]);
    told.assert("database.slots", "ok", &["10 of 10"]);
    told.assert("database.publication", "ok", &["tether with 1 table"]);
    told.assert("database.held-wal", "ok", &["0 slots"]);
    assert!(!told.said.contains(PASSWORD), "{}", told.said);
    // Nobody has to say which publication.
    server.examine(&[]).assert("database.publication", "ok", &["tether"]);
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn what_the_user_may_not_do_is_told_with_the_grant() {
    let server = Server::prepared();
    server.sql("ALTER ROLE tether NOREPLICATION");
    let told = server.examine(&[]);
    assert_eq!(told.exit, 77, "{}", told.said);
    told.assert(
        "database.replication-right",
        "failure",
        &["ALTER ROLE \"tether\" REPLICATION"],
    );
    // As on RDS, where REPLICATION cannot be given.
    server.sql("CREATE ROLE rds_replication");
    server.examine(&[]).assert(
        "database.replication-right",
        "failure",
        &["GRANT rds_replication TO \"tether\""],
    );
    server.sql("GRANT rds_replication TO tether");
    server
        .examine(&[])
        .assert("database.replication-right", "ok", &["may replicate"]);

    server.sql("REVOKE USAGE ON SCHEMA shop FROM tether; REVOKE SELECT ON shop.orders FROM tether");
    let told = server.examine(&[]);
    assert_eq!(told.exit, 77, "{}", told.said);
    let parts = [
        "GRANT USAGE ON SCHEMA shop TO \"tether\"",
        "GRANT SELECT ON shop.orders TO \"tether\"",
    ];
    told.assert("database.privileges", "failure", &parts);
    // The fix fixes it.
    let fix = told.check("database.privileges").fix.clone();
    server.sql(&fix);
    server.examine(&[]).assert("database.privileges", "ok", &[]);
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn publications_and_tables_that_cannot_be_streamed_are_told() {
    let server = Server::prepared();
    let told = server.examine(&["--publication", "another"]);
    assert_eq!(told.exit, 1, "{}", told.said);
    told.assert(
        "database.publication",
        "failure",
        &["no publication another", "CREATE PUBLICATION \"another\""],
    );
    told.assert("database.identity", "skipped", &["database.publication"]);

    server.sql(
        "CREATE TABLE shop.\"Log\" (line text); GRANT SELECT ON shop.\"Log\" TO tether; \
                ALTER PUBLICATION tether ADD TABLE shop.\"Log\"",
    );
    let told = server.examine(&[]);
    assert_eq!(told.exit, 1, "{}", told.said);
    let fix = "ALTER TABLE shop.\"Log\" REPLICA IDENTITY FULL";
    told.assert("database.identity", "failure", &["shop.\"Log\"", fix]);
    server.sql(fix);
    server.examine(&[]).assert("database.identity", "ok", &[]);
    server.sql("ALTER TABLE shop.orders REPLICA IDENTITY NOTHING");
    server
        .examine(&[])
        .assert("database.identity", "failure", &["shop.orders"]);
    // What is only inserted needs no key.
    server.sql("ALTER PUBLICATION tether SET (publish = 'insert')");
    server.examine(&[]).assert("database.identity", "ok", &[]);

    server.sql("ALTER PUBLICATION tether DROP TABLE shop.orders, shop.\"Log\"");
    server
        .examine(&[])
        .assert("database.publication", "failure", &["publishes no table"]);
    server.sql("DROP PUBLICATION tether");
    let told = server.examine(&[]);
    assert_eq!(told.exit, 0, "some consumers create their own: {}", told.said);
    told.assert("database.publication", "warning", &["CREATE PUBLICATION"]);
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn settings_that_are_not_for_streaming_are_told_for_rds_and_for_others() {
    let mut server = Server::new();
    server.start(&["wal_level=replica"]);
    server.sql(PREPARE);
    let told = server.examine(&[]);
    assert_eq!(told.exit, 1, "{}", told.said);
    told.assert("database.logical", "failure", &["wal_level = replica", "ALTER SYSTEM"]);
    told.assert("database.sender-timeout", "ok", &["60 s", "free again"]);
    told.assert("database.failover-slots", "ok", &["no logical slot yet"]);

    server.start(&["wal_level=replica", "rds.logical_replication=off"]);
    server.examine(&[]).assert(
        "database.logical",
        "failure",
        &["rds.logical_replication = 1", "reboot-db-instance"],
    );
    server.start(&["wal_level=replica", "rds.logical_replication=on"]);
    server
        .examine(&[])
        .assert("database.logical", "failure", &["still replica", "reboot-db-instance"]);
    server.start(&["wal_level=logical", "rds.logical_replication=on"]);
    server.examine(&[]).assert("database.logical", "ok", &["logical"]);
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn slots_and_senders_that_run_out_are_told() {
    let mut server = Server::prepared();
    server.start(&[
        "wal_level=logical",
        "wal_sender_timeout=0",
        "max_replication_slots=1",
        "max_wal_senders=1",
    ]);
    server.sql("SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')");
    server.sql("INSERT INTO shop.orders SELECT g, g FROM generate_series(1, 20000) g");
    let told = server.examine(&[]);
    assert_eq!(told.exit, 3, "{}", told.said);
    told.assert(
        "database.slots",
        "failure",
        &["all 1 replication slots", "max_replication_slots = 11"],
    );
    let parts = ["forgotten", "MB", "SELECT pg_drop_replication_slot('forgotten')"];
    told.assert("database.held-wal", "warning", &parts);
    told.assert("database.senders", "ok", &["1 of 1"]);
    told.assert(
        "database.sender-timeout",
        "warning",
        &["vanishes without a word", "= 60s"],
    );
    told.assert(
        "database.failover-slots",
        "ok",
        &["1 logical slot: no standby streams from here"],
    );

    let mut consumer = program("pg_recvlogical");
    consumer.env("PGPASSWORD", PASSWORD).args([
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-d",
        "postgres",
        "--slot=forgotten",
    ]);
    consumer.args([
        "--start",
        "-f",
        "/dev/null",
        "-o",
        "proto_version=1",
        "-o",
        "publication_names=tether",
    ]);
    let consumer = consumer
        .args(["-p", &server.port().to_string()])
        .stderr(Stdio::null())
        .spawn();
    let _consumer = Running(consumer.expect("pg_recvlogical"));
    // Nothing tells that a slot has become active.
    wait_until("the consumer connects", || {
        server.sql("SELECT count(*) FROM pg_replication_slots WHERE active") == "1"
    });
    let told = server.examine(&[]);
    told.assert("database.senders", "failure", &["all 1 WAL senders", "max_wal_senders"]);
    told.assert("database.held-wal", "ok", &["none of them inactive"]);
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn a_slot_that_lost_its_wal_is_a_failure() {
    let mut server = Server::prepared();
    server.start(&[
        "wal_level=logical",
        "max_slot_wal_keep_size=1MB",
        "max_wal_size=2MB",
        "min_wal_size=2MB",
    ]);
    server.sql("SELECT pg_create_logical_replication_slot('late', 'pgoutput')");
    for _ in 0..8 {
        server.sql("INSERT INTO shop.orders SELECT g, g FROM generate_series(1, 5000) g; DELETE FROM shop.orders");
        server.sql("SELECT pg_switch_wal()");
    }
    server.sql("CHECKPOINT");
    let told = server.examine(&[]);
    assert_eq!(told.exit, 1, "{}", told.said);
    told.assert("database.held-wal", "failure", &["late has lost WAL", "begin anew"]);
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn a_standby_is_told_to_be_none_to_stream_from() {
    let primary = Server::prepared();
    let mut standby = Server::empty();
    let mut backup = as_postgres("pg_basebackup", standby.storage());
    backup.env("PGPASSWORD", PASSWORD).args([
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-R",
        "-c",
        "fast",
        "--no-sync",
        "-D",
    ]);
    succeed(backup.arg(standby.storage()).args(["-p", &primary.port().to_string()]));
    standby.start(SETTINGS);
    let told = standby.examine(&[]);
    assert_eq!(told.exit, 1, "{}", told.said);
    assert_eq!(told.with("failure"), ["database.writer"], "{}", told.said);
    told.assert("database.writer", "failure", &["standby or reader", "NAME.cluster-"]);
    primary.examine(&[]).assert("database.writer", "ok", &[]);
    // A consumer's slot, which no version brings to a standby unless it is told to.
    primary.sql("SELECT pg_create_logical_replication_slot('consumer', 'pgoutput')");
    wait_until("the standby streams", || {
        primary.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1"
    });
    let parts = ["consumer: a standby that is promoted has none of them", "begin anew"];
    primary
        .examine(&[])
        .assert("database.failover-slots", "warning", &parts);
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn each_refusal_is_told_apart() {
    let server = Server::prepared();
    let url = server.url();
    let told = of(&url.replace(PASSWORD, "wrong-one"), &[]);
    assert_eq!(told.exit, 77, "{}", told.said);
    told.assert("database.connect", "failure", &["28P01", "user and password"]);
    assert!(!told.said.contains("wrong-one"), "{}", told.said);
    told.assert("database.logical", "skipped", &["database.connect"]);
    let told = of(
        &url.replace("/postgres", "/nowhere")
            .replace("nowhere://", "postgres://"),
        &[],
    );
    assert_eq!(told.exit, 78, "{}", told.said);
    told.assert("database.connect", "failure", &["3D000", "nowhere"]);
    let told = of(&format!("{url}?sslmode=require"), &[]);
    assert_eq!(told.exit, 69, "{}", told.said);
    told.assert("database.connect", "failure", &["speaks no TLS", "sslmode=disable"]);
    drop(server);
    let told = of(&url, &[]);
    assert_eq!(told.exit, 69, "{}", told.said);
    told.assert("database.connect", "failure", &["connection refused"]);
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn encryption_and_the_servers_name_are_told() {
    let mut server = Server::prepared();
    let authority = Authority::new();
    server.certify(&authority.certify(&["db.example"], NOW));
    let ca = server.scratch.write("ca.pem", &authority.pem);
    let ca = ca.to_str().unwrap();
    server.start(&["wal_level=logical", "wal_sender_timeout=60s", "ssl=on"]);
    let url = server.url();
    for mode in ["", "?sslmode=require"] {
        let told = of(&format!("{url}{mode}"), &[]);
        told.assert(
            "database.encryption",
            "warning",
            &["TLSv1.3", "not verified", "--ca-bundle"],
        );
    }
    of(&format!("{url}?sslmode=disable"), &[]).assert("database.encryption", "warning", &["not encrypted"]);

    // The certificate names db.example; libpq's hostaddr says where that is.
    let named = format!(
        "host=db.example hostaddr=127.0.0.1 port={} user=tether password={PASSWORD} dbname=postgres sslmode=verify-full",
        server.port()
    );
    let told = of(&named, &["--ca-bundle", ca]);
    assert_eq!(told.exit, 0, "{}", told.said);
    assert_eq!(told.with("warning"), Vec::<&str>::new(), "{}", told.said);
    told.assert("database.encryption", "ok", &["TLSv1.3", "names the host"]);
    of(&format!("{named} sslrootcert={ca}"), &[]).assert("database.encryption", "ok", &[]);

    let told = of(&url, &["--ca-bundle", ca]);
    assert_eq!(told.exit, 1, "{}", told.said);
    told.assert("database.connect", "failure", &["is for db.example", "hostaddr"]);
    let other = server.scratch.write("other.pem", &Authority::new().pem);
    let told = of(&named, &["--ca-bundle", other.to_str().unwrap()]);
    told.assert("database.connect", "failure", &["no CA of the bundle", "truststore"]);
}

/// What PostgreSQL 17 has and an older one has not, for whoever looks there first: the columns of its slots, its version, two of its
/// settings, and a standby that streams.
const SEVENTEEN: &str = "\
    CREATE SCHEMA seventeen; GRANT USAGE ON SCHEMA seventeen TO tether; \
    CREATE TABLE seventeen.marks (slot_name name PRIMARY KEY, failover bool, synced bool); \
    CREATE VIEW seventeen.pg_replication_slots AS SELECT s.slot_name, plugin, slot_type, datoid, database, temporary, active, \
    active_pid, xmin, catalog_xmin, restart_lsn, confirmed_flush_lsn, wal_status, safe_wal_size, two_phase, NULL::timestamptz AS \
    inactive_since, NULL::bool AS conflicting, NULL::text AS invalidation_reason, coalesce(m.failover, false) AS failover, \
    coalesce(m.synced, false) AS synced FROM pg_catalog.pg_replication_slots s LEFT JOIN seventeen.marks m USING (slot_name); \
    CREATE TABLE seventeen.added (name text PRIMARY KEY, setting text); \
    INSERT INTO seventeen.added VALUES ('sync_replication_slots', 'off'), ('synchronized_standby_slots', ''); \
    CREATE VIEW seventeen.pg_settings AS SELECT name, setting FROM pg_catalog.pg_settings WHERE name NOT IN (SELECT name FROM \
    seventeen.added) UNION ALL SELECT name, setting FROM seventeen.added; \
    CREATE VIEW seventeen.pg_stat_replication AS SELECT 0 AS pid; \
    CREATE FUNCTION seventeen.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT CASE $1 WHEN 'server_version_num' THEN \
    '170005' ELSE pg_catalog.current_setting($1) END $$; \
    GRANT SELECT ON ALL TABLES IN SCHEMA seventeen TO tether; \
    ALTER ROLE tether SET search_path = seventeen, pg_catalog, public";

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn slots_that_would_not_survive_a_failover_are_told_by_what_postgresql_17_says_of_them() {
    let server = Server::prepared();
    server.sql("SELECT pg_create_logical_replication_slot('consumer', 'pgoutput')");
    let name = "database.failover-slots";
    // The control: nothing streams from this one, so its slots stay with its storage.
    server
        .examine(&[])
        .assert(name, "ok", &["1 logical slot: no standby streams"]);
    server.sql(SEVENTEEN);
    let told = server.examine(&[]);
    told.assert("database.version", "ok", &["PostgreSQL 17.5"]);
    let parts = [
        "consumer: a standby",
        "failover is off",
        "sync_replication_slots = on",
        "failover = true",
    ];
    told.assert(name, "warning", &parts);
    server.sql("INSERT INTO seventeen.marks VALUES ('consumer', true, false)");
    server
        .examine(&[])
        .assert(name, "warning", &["synchronized_standby_slots is empty", "ahead"]);
    server.sql("UPDATE seventeen.added SET setting = 'standby_1' WHERE name = 'synchronized_standby_slots'");
    let told = server.examine(&[]);
    assert_eq!(told.exit, 1, "{}", told.said);
    told.assert(
        name,
        "failure",
        &["consumers of consumer get nothing", "standby_1, which no standby uses"],
    );
    // What has come from a primary has no consumer here, and that is well.
    server.sql("UPDATE seventeen.marks SET synced = true");
    server
        .examine(&[])
        .assert("database.held-wal", "ok", &["none of them inactive"]);
}

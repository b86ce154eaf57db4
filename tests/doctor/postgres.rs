//! `doctor --database` against a real PostgreSQL, in a good state and in many bad ones.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::program::{self, Folder, Program};
use super::world::{PATIENCE, bare_command, finish, said};
use super::{Diagnosis, examine};

pub const PASSWORD: &str = "not-a-secret";
/// What is ready to be streamed from.
const PREPARE: &str = "\
    CREATE ROLE tether LOGIN REPLICATION PASSWORD 'not-a-secret'; \
    CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY, total int); \
    GRANT USAGE ON SCHEMA shop TO tether; GRANT SELECT ON shop.orders TO tether; \
    CREATE PUBLICATION tether FOR TABLE shop.orders;";
/// What a database for change streaming is set to.
pub const SETTINGS: &[&str] = &["wal_level=logical", "wal_sender_timeout=0"];

/// A server and its storage; killed and removed when dropped.
pub struct Server {
    pub port: u16,
    storage: PathBuf,
    running: Option<Program>,
    _folder: Folder,
}

impl Server {
    /// Empty storage that the server's user may write to.
    fn empty() -> Self {
        let folder = Folder::new();
        let storage = folder.path.join("storage");
        let mut install = Command::new("install");
        install.args(["-d", "-m", "700"]);
        if is_root() {
            install.args(["-o", "postgres"]);
            succeed(Command::new("chmod").arg("755").arg(&folder.path));
        }
        succeed(install.arg(&storage));
        Self {
            port: 0,
            storage,
            running: None,
            _folder: folder,
        }
    }

    /// New storage of its own, with no server.
    pub fn new() -> Self {
        let server = Self::empty();
        let password = server._folder.write("password", PASSWORD);
        let mut initdb = as_postgres("initdb", &server.storage);
        initdb.args([
            "--auth=scram-sha-256",
            "--username=postgres",
            "--locale=C",
            "--encoding=UTF8",
            "--no-sync",
        ]);
        succeed(
            initdb
                .args(["--wal-segsize=1", "--pwfile"])
                .arg(&password)
                .arg("-D")
                .arg(&server.storage),
        );
        server
    }

    /// A server that is ready to be streamed from.
    fn prepared() -> Self {
        let mut server = Self::new();
        server.start(SETTINGS);
        server.sql(PREPARE);
        server
    }

    /// Starts it anew with these settings.
    pub fn start(&mut self, settings: &[&str]) {
        self.running = None;
        self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = as_postgres("postgres", &self.storage);
        command
            .arg("-D")
            .arg(&self.storage)
            .args(["-p", &self.port.to_string()]);
        let fixed = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "shared_buffers=16MB",
            "lc_messages=C",
        ];
        for setting in fixed.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        // What a killed predecessor left behind would be taken for a running one.
        let _ = std::fs::remove_file(self.storage.join("postmaster.pid"));
        let ready = "database system is ready to accept";
        let (program, _) = Program::start(&mut command, &[ready]).unwrap_or_else(|said| panic!("it ended:\n{said}"));
        self.running = Some(program);
    }

    /// Runs statements as the superuser and returns what they print.
    pub fn sql(&self, sql: &str) -> String {
        let mut psql = program("psql");
        psql.env("PGPASSWORD", PASSWORD)
            .args(["-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-Atqc", sql]);
        succeed(psql.args(["-v", "ON_ERROR_STOP=1", "-p", &self.port.to_string()]))
            .trim()
            .to_owned()
    }

    fn url(&self) -> String {
        format!("postgres://tether:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    fn examine(&self, more: &[&str]) -> Diagnosis {
        of(&self.url(), more)
    }

    /// A certificate for the address 127.0.0.1, and the path of its CA.
    fn certify(&self) -> PathBuf {
        let ca_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = authority.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["db.example".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &Issuer::new(authority, ca_key)).unwrap();
        for (name, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
            let file = self._folder.write(name, &text);
            let mut install = Command::new("install");
            if is_root() {
                install.args(["-o", "postgres"]);
            }
            succeed(install.args(["-m", "600"]).arg(file).arg(self.storage.join(name)));
        }
        self._folder.write("ca.pem", &ca)
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

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

pub fn program(name: &str) -> Command {
    let mut command = Command::new(program::path("RDS_TETHER_TEST_POSTGRES").join(name));
    command.env_clear().stdin(Stdio::null());
    command
}

/// A program of PostgreSQL that does not run as root, because those of the server do not want to.
fn as_postgres(name: &str, folder: &Path) -> Command {
    let plain = program(name);
    let mut command = Command::new(if is_root() {
        "setpriv".as_ref()
    } else {
        plain.get_program()
    });
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]);
        command.arg(plain.get_program());
    }
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = finish(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        said(&output)
    );
    said(&output)
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
    told.assert(
        "database.sender-timeout",
        "warning",
        &["60 s", "wal_sender_timeout = 0"],
    );

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
        .args(["-p", &server.port.to_string()])
        .stderr(Stdio::null())
        .spawn();
    let _consumer = Running(consumer.expect("pg_recvlogical"));
    let end = Instant::now() + PATIENCE;
    while server.sql("SELECT count(*) FROM pg_replication_slots WHERE active") != "1" {
        assert!(Instant::now() < end, "the consumer never connected");
        // Nothing tells that a slot has become active.
        thread::park_timeout(Duration::from_millis(50));
    }
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
    let mut backup = as_postgres("pg_basebackup", &standby.storage);
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
    succeed(backup.arg(&standby.storage).args(["-p", &primary.port.to_string()]));
    standby.start(SETTINGS);
    let told = standby.examine(&[]);
    assert_eq!(told.exit, 1, "{}", told.said);
    assert_eq!(told.with("failure"), ["database.writer"], "{}", told.said);
    told.assert("database.writer", "failure", &["standby or reader", "NAME.cluster-"]);
    primary.examine(&[]).assert("database.writer", "ok", &[]);
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
    let ca = server.certify();
    let ca = ca.to_str().unwrap();
    server.start(&["wal_level=logical", "wal_sender_timeout=0", "ssl=on"]);
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
        server.port
    );
    let told = of(&named, &["--ca-bundle", ca]);
    assert_eq!(told.exit, 0, "{}", told.said);
    assert_eq!(told.with("warning"), Vec::<&str>::new(), "{}", told.said);
    told.assert("database.encryption", "ok", &["TLSv1.3", "names the host"]);
    of(&format!("{named} sslrootcert={ca}"), &[]).assert("database.encryption", "ok", &[]);

    let told = of(&url, &["--ca-bundle", ca]);
    assert_eq!(told.exit, 1, "{}", told.said);
    told.assert("database.connect", "failure", &["is for db.example", "hostaddr"]);
    let other = Server::empty();
    let other = other.certify();
    let told = of(&named, &["--ca-bundle", other.to_str().unwrap()]);
    told.assert("database.connect", "failure", &["no CA of the bundle", "truststore"]);
}

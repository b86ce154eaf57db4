//! `sql`: the script for an administrator, run by psql, and what `doctor` then says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use testkit::postgres::PASSWORD;

use super::postgres::{SETTINGS, Server, of};
use super::world::{assert_exit, assert_says, bare_command, finish, said};

fn sql(url: &str, arguments: &[&str]) -> Command {
    let mut command = bare_command("http://127.0.0.1:9");
    command.args(["sql", "--database", url]).args(arguments);
    command
}

/// A byte more than a name of PostgreSQL may have.
const LONG: &str = "u234567890123456789012345678901234567890123456789012345678901234";

/// Fails if a mistake on the way to the database is not told as doctor tells it, or with the password.
#[test]
fn what_keeps_the_script_from_being_written_is_told_with_its_fix() {
    // Nothing listens on the discard port.
    let nobody = "postgres://u:hidden@127.0.0.1:9/d";
    for (url, arguments, exit, parts) in [
        (
            nobody,
            &[][..],
            69,
            &["database 127.0.0.1:9/d", "connection refused", "check the port"][..],
        ),
        ("hidden", &[], 64, &["postgres://USER:PASSWORD@HOST:5432/DATABASE"]),
        (
            "postgres://u:hidden@h/d?sslmode=verify-full",
            &[],
            64,
            &["--ca-bundle FILE"],
        ),
        (
            nobody,
            &["--ca-bundle", "/nowhere.pem"],
            64,
            &["--ca-bundle", "/nowhere.pem"],
        ),
        (nobody, &["--timeout", "0s"], 64, &["--timeout"]),
        (nobody, &["--user", ""], 64, &["--user", "at least one character"]),
        (
            nobody,
            &["--user", "public"],
            64,
            &["--user", "\"public\" is reserved", "such as"],
        ),
        (nobody, &["--user", "none"], 64, &["--user", "reserved"]),
        (nobody, &["--user", "pg_monitor"], 64, &["--user", "reserved"]),
        (
            nobody,
            &["--publication", ""],
            64,
            &["--publication", "at least one character"],
        ),
        (nobody, &["--user", LONG], 64, &["--user", "63 bytes"]),
    ] {
        let said = assert_exit(&mut sql(url, arguments), exit);
        assert_says(&said, parts);
        assert!(!said.contains("hidden") && !said.contains("BEGIN"), "{said}");
    }
    let said = assert_exit(bare_command("").arg("sql"), 64);
    assert_says(&said, &["--database"]);
}

/// A server with this in it.
struct Site(Server);

impl Site {
    fn with(statements: &[&str]) -> Self {
        let mut server = Server::new();
        server.start(SETTINGS);
        for statement in statements {
            server.sql(statement);
        }
        Self(server)
    }

    fn url(&self, user: &str) -> String {
        format!("postgres://{user}:{PASSWORD}@127.0.0.1:{}/postgres", self.0.port())
    }

    /// What is printed, which is all that is.
    #[track_caller]
    fn printed(&self, arguments: &[&str]) -> String {
        let output = finish(&mut sql(&self.url("postgres"), arguments));
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(
            output.stderr.is_empty() && !said(&output).contains(PASSWORD),
            "{}",
            said(&output)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the script twice, because it may be, and gives the user the password.
    #[track_caller]
    fn run(&self, script: &str, user: &str) {
        for _ in 0..2 {
            self.0.sql(script);
        }
        let user = user.replace('"', "\"\"");
        self.0.sql(&format!("ALTER ROLE \"{user}\" PASSWORD '{PASSWORD}'"));
    }

    /// What doctor finds as the user, of what the script is about.
    #[track_caller]
    fn assert_well(&self, user: &str, publication: &str) {
        let encoded: String = user.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let told = of(&self.url(&encoded), &["--publication", publication]);
        assert_eq!(told.exit, 0, "{}", told.said);
        assert_eq!(told.with("warning"), ["database.encryption"], "{}", told.said);
        for check in ["replication-right", "publication", "privileges", "identity"] {
            told.assert(&format!("database.{check}"), "ok", &[]);
        }
    }
}

const RDS: &str = "CREATE ROLE rds_replication REPLICATION";
const SHOP: &str =
    "CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY); CREATE TABLE shop.visits (page text)";

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn after_the_script_doctor_finds_nothing_of_it_to_fix() {
    for (before, user, right) in [
        (&[RDS, SHOP][..], "clickpipes", "GRANT rds_replication TO clickpipes;"),
        (&[SHOP], "tether", "ALTER ROLE tether REPLICATION;"),
        (&[SHOP, "CREATE ROLE tether"], "tether", "ALTER ROLE tether LOGIN;"),
    ] {
        let site = Site::with(before);
        let script = site.printed(&["--user", user, "--publication", "changes"]);
        assert_says(&script, &[right, "ALTER TABLE shop.visits REPLICA IDENTITY FULL;"]);
        assert!(!script.contains("shop.orders REPLICA"), "{script}");
        site.run(&script, user);
        site.assert_well(user, "changes");
        // Tables that are made later can be read, and nothing is left to be done.
        site.0.sql("CREATE TABLE shop.later (id int PRIMARY KEY)");
        let may_read = format!("SELECT has_table_privilege('{user}', 'shop.later', 'SELECT')");
        assert_eq!(site.0.sql(&may_read), "t");
        let again = site.printed(&["--user", user, "--publication", "changes"]);
        for done in ["ROLE", "rds_replication", "REPLICA", "PUBLICATION", "password"] {
            assert!(!again.contains(done), "{done}: {again}");
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn only_what_is_missing_of_a_publication_is_added() {
    let site = Site::with(&[
        RDS,
        SHOP,
        "CREATE TABLE shop.returns (id int)",
        "CREATE PUBLICATION changes FOR TABLE shop.orders",
    ]);
    let of_now = site.printed(&["--user", "clickpipes", "--publication", "changes"]);
    assert!(
        !of_now.contains("visits") && !of_now.contains("PUBLICATION"),
        "{of_now}"
    );
    let script = site.printed(&[
        "--user",
        "clickpipes",
        "--publication",
        "changes",
        "--table",
        "shop.orders,shop.visits",
    ]);
    assert_says(&script, &["ALTER PUBLICATION changes ADD TABLE shop.visits;"]);
    assert!(
        !script.contains("ADD TABLE shop.orders") && !script.contains("returns"),
        "{script}"
    );
    site.run(&script, "clickpipes");
    site.assert_well("clickpipes", "changes");
    let published = site
        .0
        .sql("SELECT string_agg(tablename, ',' ORDER BY 1) FROM pg_publication_tables");
    assert_eq!(published, "orders,visits");
    // What is only inserted needs no key; and of all tables none is added.
    site.0
        .sql("CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert')");
    let script = site.printed(&["--publication", "everything"]);
    assert!(
        !script.contains("IDENTITY") && !script.contains("PUBLICATION"),
        "{script}"
    );
}

/// Fails if a name that has to be quoted, or is made to break out of its quotes, is not quoted.
#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn odd_names_are_quoted() {
    let (user, publication) = ("Odd \"$$ user'; --", "p$q1$ 'x\\");
    let odd = "CREATE SCHEMA \"Sch.ema $$\"; CREATE TABLE \"Sch.ema $$\".\"T'able\"\" ;\n-- \u{202e}\u{1b}x\\\" (\"a b\" int); \
               CREATE TABLE \"Sch.ema $$\".\"select\" (id int PRIMARY KEY)";
    let site = Site::with(&[RDS, odd]);
    let script = site.printed(&["--user", user, "--publication", publication]);
    let is_shown = |char: char| char == '\n' || !rds_tether::text::is_unseen(char);
    assert!(script.chars().all(is_shown), "{script:?}");
    site.run(&script, user);
    site.assert_well(user, publication);
    assert_eq!(site.0.sql("SELECT count(*) FROM pg_publication_tables"), "2");
    let named = site.printed(&[
        "--user",
        user,
        "--publication",
        publication,
        "--table",
        "\"Sch.ema $$\".\"select\"",
    ]);
    assert!(!named.contains("ADD TABLE"), "{named}");
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn partitions_get_identities_and_come_with_their_table() {
    let parted = "CREATE TABLE log (day int, line text) PARTITION BY LIST (day); CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1); \
                  CREATE TABLE log_2 PARTITION OF log FOR VALUES IN (2); CREATE UNLOGGED TABLE scratch (id int); CREATE VIEW seen AS \
                  SELECT 1";
    let site = Site::with(&[parted]);
    let script = site.printed(&["--user", "tether"]);
    assert_says(
        &script,
        &[
            "ALTER TABLE public.log_1 REPLICA IDENTITY FULL;\nALTER TABLE public.log_2 REPLICA IDENTITY FULL;",
            "Partitions that are made later",
            "FOR TABLE\n            public.log;",
        ],
    );
    site.run(&script, "tether");
    site.assert_well("tether", "tether");
    site.0
        .sql("INSERT INTO log VALUES (1, 'a'); UPDATE log SET line = 'b'; DELETE FROM log");
    let again = site.printed(&["--user", "tether"]);
    assert!(!again.contains("IDENTITY") && !again.contains("PUBLICATION"), "{again}");
    for (table, exit) in [("seen", 64), ("scratch", 64), ("nowhere.x", 64), ("a.b.c.d", 1)] {
        let said = assert_exit(&mut sql(&site.url("postgres"), &["--table", table]), exit);
        assert!(!said.contains("BEGIN"), "{said}");
    }
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn all_of_the_script_is_done_or_nothing() {
    let site = Site::with(&[SHOP]);
    let script = site.printed(&["--user", "tether"]);
    assert_says(&script, &["SET LOCAL lock_timeout = '5s';"]);
    let broken = script.replace("COMMIT;", "SELECT 1 / 0;\nCOMMIT;");
    let failed = catch_unwind(AssertUnwindSafe(|| site.0.sql(&broken)));
    assert!(failed.is_err());
    assert_eq!(
        site.0.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'tether'"),
        "0"
    );
}

/// Fails if SQL is printed that the server refuses: its own tables are published by nobody.
#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn tables_of_the_server_itself_are_refused() {
    let site = Site::with(&[RDS, SHOP]);
    for table in ["pg_catalog.pg_class", "pg_class", "information_schema.sql_features"] {
        let said = assert_exit(
            &mut sql(&site.url("postgres"), &["--table", table, "--table", "shop.orders"]),
            64,
        );
        assert_says(
            &said,
            &[&format!("{table}: no table of this database that can be published")],
        );
        assert!(!said.contains("BEGIN") && !said.contains("shop.orders:"), "{said}");
    }
}

#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn a_database_without_tables_is_told() {
    let site = Site::with(&[]);
    let said = assert_exit(&mut sql(&site.url("postgres"), &[]), 1);
    assert_says(&said, &["no table to publish", "at the end of --database"]);
}

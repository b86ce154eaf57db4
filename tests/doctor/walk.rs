//! The database's side of the walk to a ClickPipe, statement by statement, in a real PostgreSQL.

use testkit::pages::Page;
use testkit::postgres::{PASSWORD, program};
use testkit::program::succeed;

use super::postgres::{SETTINGS, Server, of};

/// What there is before the walk begins: RDS's role, and somebody's tables.
const BEFORE: &[&str] = &["CREATE ROLE rds_replication REPLICATION", "CREATE DATABASE orders"];
const TABLES: &str = "\
    CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY, total int); CREATE TABLE shop.visits (page text);";
const CHANGES: &str = "SELECT data FROM pg_logical_slot_get_changes('clickpipes_orders', NULL, NULL)";
const NO_IDENTITY: &str = "has_no_replica_identity";

/// A database as on the page, and who has walked how far.
struct Walk {
    server: Server,
    page: Page,
    blocks: Vec<String>,
}

impl Walk {
    fn begin() -> Self {
        let page = Page::read("docs/clickpipe.md");
        let mut server = Server::new();
        server.start(SETTINGS);
        for statement in BEFORE {
            server.sql(statement);
        }
        let walk = Self {
            server,
            blocks: page.blocks_of("sql"),
            page,
        };
        walk.run(TABLES);
        walk
    }

    /// Runs statements as the page says to, but at this server's address.
    #[track_caller]
    fn run(&self, sql: &str) -> String {
        let commands = self.page.commands();
        let line = commands.iter().find_map(|command| command.text.strip_prefix("psql "));
        let mut psql = program("psql");
        psql.args(line.expect("how to connect").split(' '));
        psql.env("PGHOSTADDR", "127.0.0.1")
            .env("PGPORT", self.server.port().to_string())
            .env("PGPASSWORD", PASSWORD);
        succeed(psql.args(["-v", "ON_ERROR_STOP=1", "-Atqc", sql]))
    }

    /// Takes the next steps of the page, up to the one that has this in it, and returns what that printed.
    #[track_caller]
    fn until(&mut self, sign: &str) -> String {
        loop {
            assert!(!self.blocks.is_empty(), "no step with {sign}");
            let block = self.blocks.remove(0);
            let printed = self.run(&block);
            if block.contains(sign) {
                return printed;
            }
        }
    }
}

/// Fails if a statement of the page does not work, if what it makes is not what `doctor` wants of a database that is streamed from, or
/// if its undoing leaves something.
#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn the_statements_of_the_walk_make_a_database_that_can_be_streamed_from() {
    let mut walk = Walk::begin();
    assert_eq!(walk.until(NO_IDENTITY), "", "a table is left without identity");

    // As on the page, but for the address.
    let exports = walk.page.exports();
    let (_, url) = exports.iter().find(|(name, _)| name == "RDS_TETHER_DATABASE").unwrap();
    let (user, rest) = url.rsplit_once('@').unwrap();
    let (_, database) = rest.rsplit_once('/').unwrap();
    let url = format!("{user}@127.0.0.1:{}/{database}", walk.server.port());
    let told = of(&url, &["--publication", "clickpipes"]);
    assert_eq!(told.exit, 0, "{}", told.said);
    assert_eq!(told.with("warning"), ["database.encryption"], "{}", told.said);
    assert_eq!(told.with("skipped"), Vec::<&str>::new(), "{}", told.said);
    told.assert("database.publication", "ok", &["clickpipes with 2 tables"]);

    // A consumer as ClickPipes is: its rows come through the slot, whole.
    walk.run("SELECT pg_create_logical_replication_slot('clickpipes_orders', 'test_decoding')");
    walk.run("INSERT INTO shop.visits VALUES ('one'); UPDATE shop.visits SET page = 'other'");
    assert!(
        walk.run(CHANGES).contains("old-key: page[text]:'one'"),
        "an update says which row it was"
    );
    let listed = walk.until("before the failover");
    assert_eq!(listed.trim(), "clickpipes_orders|f");
    walk.until("after the failover");
    assert!(walk.run(CHANGES).contains("after the failover"));

    walk.until("DROP USER");
    assert!(walk.blocks.is_empty(), "{:?}", walk.blocks);
    let left = walk.run(
        "SELECT rolname FROM pg_roles WHERE rolname = 'clickpipes' UNION ALL SELECT pubname FROM pg_publication \
         UNION ALL SELECT slot_name FROM pg_replication_slots",
    );
    assert_eq!(left, "");
}

/// Fails if the page's question finds nothing: then it is no question.
#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn the_question_of_the_walk_finds_a_table_without_identity() {
    let mut walk = Walk::begin();
    walk.until("CREATE PUBLICATION");
    walk.run("ALTER TABLE shop.visits REPLICA IDENTITY DEFAULT");
    assert_eq!(walk.until(NO_IDENTITY).trim(), "shop.visits");
}

//! The database's side of the walk to a ClickPipe, statement by statement, in a real PostgreSQL.

use testkit::pages::Page;
use testkit::postgres::{PASSWORD, program};
use testkit::program::succeed;

use super::postgres::{SETTINGS, Server, of};
use super::world::{bare_command, finish, said};

/// What there is before the walk begins: RDS's role, and somebody's tables.
const BEFORE: &[&str] = &["CREATE ROLE rds_replication REPLICATION", "CREATE DATABASE orders"];
const TABLES: &str = "\
    CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY, total int); CREATE TABLE shop.visits (page text);";
const CHANGES: &str = "SELECT data FROM pg_logical_slot_get_changes('clickpipes_orders', NULL, NULL)";

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

    /// The databases that the page names, one after the other, at this server's address.
    fn urls(&self) -> Vec<String> {
        let exports = self.page.exports().into_iter();
        let named = exports.filter(|(name, _)| name == "RDS_TETHER_DATABASE");
        let here = |(_, url): (String, String)| {
            let (user, rest) = url.rsplit_once('@').unwrap();
            let (_, database) = rest.rsplit_once('/').unwrap();
            format!("{user}@127.0.0.1:{}/{database}", self.server.port())
        };
        named.map(here).collect()
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

/// Fails if what the page shows is not what the program prints, if a statement of it does not work, if what it makes is not what
/// `doctor` wants of a database that is streamed from, or if its undoing leaves something.
#[test]
#[ignore = "needs PostgreSQL: tests/run provides it"]
fn the_statements_of_the_walk_make_a_database_that_can_be_streamed_from() {
    let mut walk = Walk::begin();
    let urls = walk.urls();
    let [administrators, consumers] = urls.as_slice() else {
        panic!("{urls:?}");
    };
    let (_, secret) = administrators.split_once("://postgres:").expect("the administrator");
    let administrators = format!("postgres://postgres:{PASSWORD}@{}", secret.split_once('@').unwrap().1);
    let commands = walk.page.commands();
    let command = commands
        .iter()
        .find_map(|command| command.text.strip_prefix("rds-tether sql "));
    let (flags, _) = command.expect("how to print it").split_once(" > ").expect("a file");
    let mut sql = bare_command("http://127.0.0.1:9");
    sql.env("RDS_TETHER_DATABASE", administrators);
    let printed = finish(sql.arg("sql").args(flags.split(' ')));
    assert_eq!(printed.status.code(), Some(0), "{}", said(&printed));
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(
        walk.blocks[0] == printed,
        "the first SQL of docs/clickpipe.md is to be\n{printed}"
    );
    walk.until("CREATE PUBLICATION");
    // As \password asks for.
    let (_, password) = consumers.split_once("://clickpipes:").expect("the consumer's user");
    let password = password.split('@').next().unwrap();
    walk.run(&format!("ALTER ROLE clickpipes PASSWORD '{password}'"));

    let told = of(consumers, &["--publication", "clickpipes"]);
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

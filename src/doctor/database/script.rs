//! The SQL that makes a database ready to be streamed from: one script, for an administrator to read and run.
//!
//! It is made for what the database has now, and may be run again. It adds and never takes away, and has no password in it. Whatever
//! the server says its names are, they are quoted here: nothing that it says becomes a statement.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use tokio::time::Instant;
use tokio_postgres::Row;

use super::ask::{Answer, one, rows};
use crate::database::{Refused, Session, Source};
use crate::text::{is_unseen, join};

/// What is to be streamed, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The user; otherwise the one of the connection.
    pub user: Option<String>,
    /// The publication, which need not be there.
    pub publication: String,
    /// The tables, as SQL names them; none: those of the publication or, if it has none, all.
    pub tables: Vec<String>,
}

/// Why there is no script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// There is no session.
    Refused(Refused),
    /// A question was not answered.
    Unanswered(String),
    /// The server takes no changes.
    Standby,
    /// These are no tables that can be published.
    NoSuch(Vec<String>),
    /// The database has no table to publish.
    Empty,
}

/// A name, which as an identifier may have any character in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    text: String,
    /// Whether the server takes it without quotes: it is no word of the language.
    is_free: bool,
}

/// Who streams what, and what there is of it already.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    user: Name,
    publication: Name,
    is_standby: bool,
    is_rds: bool,
    /// Whether the user may log in; nothing if there is no such user.
    may_log_in: Option<bool>,
    may_replicate: bool,
    has_publication: bool,
    publishes_changes: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Table {
    schema: Name,
    name: Name,
}

const FOUND: &str = "\
    SELECT who.name, quote_ident(who.name) = who.name, what.name, quote_ident(what.name) = what.name, \
    pg_is_in_recovery(), rds.oid IS NOT NULL, r.rolcanlogin, \
    coalesce(r.rolsuper OR r.rolreplication OR pg_has_role(r.oid, rds.oid, 'MEMBER'), false), \
    p.oid IS NOT NULL, coalesce(p.pubupdate OR p.pubdelete, true) \
    FROM (SELECT coalesce($1::text::name, current_user)::text AS name) AS who \
    CROSS JOIN (SELECT $2::text::name::text AS name) AS what \
    LEFT JOIN pg_roles rds ON rds.rolname = 'rds_replication' LEFT JOIN pg_roles r ON r.rolname = who.name \
    LEFT JOIN pg_publication p ON p.pubname = what.name";
/// Tables with lower numbers are the server's own (FirstNormalObjectId), which it does not publish.
const NO_SUCH: &str = "\
    SELECT name FROM unnest($1::text[]) AS name WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass(name) \
    AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= 16384)";
/// The tables to publish, and where their rows are: `root` and `oid`. What belongs to an extension is nobody's to publish; a
/// partition is published with its table.
const WITH: &str = "\
    WITH published AS (SELECT c.oid FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname \
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename WHERE t.pubname = $1::text::name), \
    wanted AS (SELECT to_regclass(name)::oid AS oid FROM unnest($2::text[]) AS name \
    UNION SELECT oid FROM published WHERE cardinality($2::text[]) = 0 \
    UNION SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE cardinality($2::text[]) = 0 AND NOT EXISTS (SELECT FROM published) \
    AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition \
    AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')), \
    leaves AS (SELECT oid AS root, oid FROM wanted UNION SELECT w.oid, tree.relid::oid \
    FROM wanted w CROSS JOIN LATERAL pg_partition_tree(w.oid) AS tree WHERE tree.isleaf) \
    SELECT n.nspname::text, quote_ident(n.nspname) = n.nspname::text, c.relname::text, quote_ident(c.relname) = c.relname::text";
const TABLES: &str = ", \
    EXISTS (SELECT FROM leaves JOIN published USING (oid) WHERE leaves.root = c.oid) OR EXISTS (SELECT FROM \
    pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1::text::name AND r.prrelid = c.oid) \
    FROM wanted JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 3";
const WITHOUT_IDENTITY: &str = " \
    FROM (SELECT DISTINCT oid FROM leaves) AS leaf JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND NOT CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false ELSE EXISTS (SELECT FROM pg_index i \
    WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END) END ORDER BY 1, 3";

/// Looks at the database, and writes the script for it.
pub async fn script(source: &Source, wish: &Wish, end: Instant) -> Result<String, Unwritten> {
    let session = source.connect(end).await.map_err(Unwritten::Refused)?;
    let Wish {
        user,
        publication,
        tables,
    } = wish;
    let found = one(rows(&session, FOUND, &[user, publication], end, read_found).await);
    let found = found.map_err(Unwritten::Unanswered)?;
    if found.is_standby {
        return Err(Unwritten::Standby);
    }
    let none = rows(&session, NO_SUCH, &[tables], end, |row| row.try_get(0)).await;
    let none: Vec<String> = none.map_err(Unwritten::Unanswered)?;
    if !none.is_empty() {
        return Err(Unwritten::NoSuch(none));
    }
    let (tables, without) = ask_tables(&session, wish, end).await.map_err(Unwritten::Unanswered)?;
    if tables.is_empty() {
        return Err(Unwritten::Empty);
    }
    Ok(write(&found, &tables, &without))
}

/// The tables, each with whether it is published, and those of them and their partitions of which no key says which row is meant.
async fn ask_tables(session: &Session, wish: &Wish, end: Instant) -> Answer<(Vec<(Table, bool)>, Vec<Table>)> {
    let Wish {
        publication, tables, ..
    } = wish;
    let all = |row: &Row| Ok((read_table(row)?, row.try_get(4)?));
    let all = rows(session, &format!("{WITH}{TABLES}"), &[publication, tables], end, all).await?;
    let without = format!("{WITH}{WITHOUT_IDENTITY}");
    let without = rows(session, &without, &[publication, tables], end, read_table).await?;
    Ok((all, without))
}

fn read_name(row: &Row, index: usize) -> Result<Name, tokio_postgres::Error> {
    Ok(Name {
        text: row.try_get(index)?,
        is_free: row.try_get(index + 1)?,
    })
}

fn read_found(row: &Row) -> Result<Found, tokio_postgres::Error> {
    Ok(Found {
        user: read_name(row, 0)?,
        publication: read_name(row, 2)?,
        is_standby: row.try_get(4)?,
        is_rds: row.try_get(5)?,
        may_log_in: row.try_get(6)?,
        may_replicate: row.try_get(7)?,
        has_publication: row.try_get(8)?,
        publishes_changes: row.try_get(9)?,
    })
}

fn read_table(row: &Row) -> Result<Table, tokio_postgres::Error> {
    Ok(Table {
        schema: read_name(row, 0)?,
        name: read_name(row, 2)?,
    })
}

/// As an identifier of SQL: what a terminal would not show is written by its number.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, is_free } = self;
        let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
        let starts_plain = text.starts_with(|char: char| is_plain(char) && !char.is_ascii_digit());
        if *is_free && starts_plain && text.chars().all(is_plain) {
            return f.write_str(text);
        }
        if !text.chars().any(is_unseen) {
            return f.write_str(&in_quotes(text));
        }
        let number = |char| match char {
            '\\' => "\\\\".to_owned(),
            char if is_unseen(char) => format!("\\+{:06x}", u32::from(char)),
            char => char.to_string(),
        };
        write!(f, "U&{}", in_quotes(&text.chars().map(number).collect::<String>()))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl Table {
    /// As a text that `regclass` takes.
    fn literal(&self) -> String {
        let [schema, name] = [&self.schema, &self.name].map(|name| in_quotes(&name.text));
        literal(&format!("{schema}.{name}"))
    }
}

fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// As a text of SQL.
fn literal(text: &str) -> String {
    let escaped = |char| match char {
        '\'' => "''".to_owned(),
        '\\' => "\\\\".to_owned(),
        char if is_unseen(char) => format!("\\U{:08x}", u32::from(char)),
        char => char.to_string(),
    };
    let inside: String = text.chars().map(escaped).collect();
    let prefix = if inside.contains('\\') { "E" } else { "" };
    format!("{prefix}'{inside}'")
}

fn write(found: &Found, tables: &[(Table, bool)], without: &[Table]) -> String {
    let Found { user, publication, .. } = found;
    let mut script = String::new();
    let mut part = |why: &str, statements: &[String]| {
        if !statements.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(script, "\n-- {why}\n{}", statements.join("\n"));
        }
    };
    part("A consumer's user.", &of_user(found));
    let schemas: BTreeSet<&Name> = tables.iter().map(|(table, _)| &table.schema).collect();
    let grants = schemas.into_iter().flat_map(|schema| {
        [
            format!("GRANT USAGE ON SCHEMA {schema} TO {user};"),
            format!("GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user};"),
            format!("ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {user};"),
        ]
    });
    part(
        "It reads all tables there, and those that whoever runs this makes there later.",
        &grants.collect::<Vec<_>>(),
    );
    let is_partition = |one: &Table| !tables.iter().any(|(table, _)| table == one);
    let later = if without.iter().any(is_partition) {
        " Partitions that are made later need it, too."
    } else {
        ""
    };
    let full = without
        .iter()
        .map(|table| format!("ALTER TABLE {table} REPLICA IDENTITY FULL;"));
    let full: Vec<String> = full.filter(|_| found.publishes_changes).collect();
    part(
        &format!(
            "No primary key says which row was changed, so the whole old row does; a key would take less of the server's log.{later}"
        ),
        &full,
    );
    part(
        "What is streamed. A table that is made later is not, until it is added.",
        &of_publication(found, tables),
    );
    let about_password = match found.may_log_in {
        None => format!("\n-- The user has no password yet. In psql this asks for one: \\password {user}\n"),
        Some(_) => String::new(),
    };
    format!(
        "-- Change streaming: user {user}, publication {publication}. Written by rds-tether sql; it may be run again.\n\
         BEGIN;\n\
         -- Where a table is in use for longer, all of this fails, instead of keeping others waiting.\n\
         SET LOCAL lock_timeout = '5s';\n\
         {script}\n\
         COMMIT;\n{about_password}"
    )
}

fn of_user(found: &Found) -> Vec<String> {
    let user = &found.user;
    let mut statements = Vec::new();
    match found.may_log_in {
        None => statements.push(unless(
            &format!("SELECT FROM pg_roles WHERE rolname = {}", literal(&user.text)),
            &format!("CREATE ROLE {user} LOGIN;"),
        )),
        Some(false) => statements.push(format!("ALTER ROLE {user} LOGIN;")),
        Some(true) => {}
    }
    match (found.may_replicate, found.is_rds) {
        (true, _) => {}
        (false, true) => statements.push(format!("GRANT rds_replication TO {user};")),
        (false, false) => statements.push(format!("ALTER ROLE {user} REPLICATION;")),
    }
    statements
}

fn of_publication(found: &Found, tables: &[(Table, bool)]) -> Vec<String> {
    let publication = &found.publication;
    let text = literal(&publication.text);
    if !found.has_publication {
        let all: Vec<String> = tables.iter().map(|(table, _)| table.to_string()).collect();
        let all = all.join(",\n            ");
        let create = format!("CREATE PUBLICATION {publication} FOR TABLE\n            {all};");
        let there = format!("SELECT FROM pg_publication WHERE pubname = {text}");
        return vec![unless(&there, &create)];
    }
    let missing = tables.iter().filter(|(_, is_published)| !is_published);
    let add = missing.map(|(table, _)| {
        let there = format!(
            "SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid\n            \
             WHERE p.pubname = {text} AND r.prrelid = {}::regclass",
            table.literal()
        );
        unless(&there, &format!("ALTER PUBLICATION {publication} ADD TABLE {table};"))
    });
    add.collect()
}

/// A statement for which SQL has no IF NOT EXISTS.
fn unless(there: &str, statement: &str) -> String {
    let body = format!("BEGIN\n    IF NOT EXISTS ({there}) THEN\n        {statement}\n    END IF;\nEND");
    // Names may have any character in them, and so the quotes.
    let mut all = std::iter::once("$$".to_owned()).chain((1..).map(|number| format!("$q{number}$")));
    let quotes = all.find(|quotes| !body.contains(quotes)).unwrap_or_default();
    format!("DO {quotes}\n{body}\n{quotes};")
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => write!(f, "{refused}"),
            Self::Unanswered(why) => write!(f, "the database did not say: {why}"),
            Self::Standby => f.write_str("the server is a standby or reader, which takes no changes"),
            Self::NoSuch(names) => write!(f, "{}: no table of this database that can be published", join(names)),
            Self::Empty => f.write_str("there is no table to publish in this database"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_whatever_the_server_says_of_it() {
        for (text, identifier, in_text) in [
            ("shop", "shop", "'shop'"),
            ("x; DROP ROLE y; --", "\"x; DROP ROLE y; --\"", "'x; DROP ROLE y; --'"),
            ("1st", "\"1st\"", "'1st'"),
            ("", "\"\"", "''"),
            ("Or\"der's", "\"Or\"\"der's\"", "'Or\"der''s'"),
            ("a\\b", "\"a\\b\"", "E'a\\\\b'"),
            (
                "a\nb\\\u{202e}",
                "U&\"a\\+00000ab\\\\\\+00202e\"",
                "E'a\\U0000000ab\\\\\\U0000202e'",
            ),
        ] {
            let name = |is_free| Name {
                text: text.to_owned(),
                is_free,
            };
            assert_eq!(name(true).to_string(), identifier);
            assert_eq!(literal(text), in_text);
        }
        let word = Name {
            text: "select".to_owned(),
            is_free: false,
        };
        assert_eq!(word.to_string(), "\"select\"");
    }

    #[test]
    fn a_body_cannot_end_before_its_end() {
        let done = unless("SELECT '$$ $q1$'", "SELECT 1;");
        assert!(done.starts_with("DO $q2$\n") && done.ends_with("\n$q2$;"), "{done}");
    }
}

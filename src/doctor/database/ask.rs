//! Asks the database about itself. Reads only.

use std::collections::BTreeMap;

use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::database::Session;
use crate::text::shortened;

/// Rows of an answer: more tables or slots than anybody can look at.
const ROWS_MAX: usize = 50_000;

/// An answer, or the words for why there is none.
pub type Answer<T> = Result<T, String>;

/// Everything that was asked.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The server, the session and the user.
    pub server: Answer<Server>,
    /// Settings that matter to replication, by name; missing where this server has none of that name.
    pub settings: Answer<BTreeMap<String, String>>,
    /// All replication slots of the server.
    pub slots: Answer<Vec<Slot>>,
    /// WAL senders at work.
    pub senders: Answer<Senders>,
    /// Publications that were asked for.
    pub publications: Answer<Vec<String>>,
    /// The tables that these publish.
    pub tables: Answer<Vec<Table>>,
}

/// The server, the session and the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// For example 150004.
    pub version: u32,
    /// In recovery: a standby or reader.
    pub is_standby: bool,
    /// Aurora, whose instances share their storage.
    pub is_aurora: bool,
    /// The TLS version, if the session is encrypted.
    pub tls: Option<String>,
    /// The user that the session belongs to.
    pub user: String,
    /// Whether the user is a superuser or has REPLICATION.
    pub may_replicate: bool,
    /// Whether the user has rds_replication; nothing where there is no such role.
    pub has_rds_replication: Option<bool>,
}

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name that a consumer gave it.
    pub name: String,
    /// Whether a consumer is connected.
    pub is_active: bool,
    /// Whether WAL that it needs is gone.
    pub is_lost: bool,
    /// Bytes of WAL that it holds.
    pub held: u64,
    /// Whether a consumer of changes has it, rather than a standby.
    pub is_logical: bool,
    /// Whether it ends with its session, or is not synchronized yet.
    pub is_temporary: bool,
    /// Whether standbys are to have it too; nothing before PostgreSQL 17.
    pub failover: Option<bool>,
    /// Whether it came from the primary; nothing before PostgreSQL 17.
    pub synced: Option<bool>,
}

/// WAL senders at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Senders {
    /// All of them.
    pub all: u32,
    /// Those that no consumer of changes has: of standbys, for most.
    pub of_standbys: u32,
}

/// A published table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Schema and name, quoted where needed.
    pub name: String,
    /// The schema alone, quoted where needed.
    pub schema: String,
    /// REPLICA IDENTITY: `d`efault, `n`othing, `f`ull or `i`ndex.
    pub identity: String,
    /// Whether it has a primary key.
    pub has_key: bool,
    /// Whether updates or deletes are published, which need to say which row.
    pub needs_identity: bool,
    /// Whether the user has USAGE on the schema.
    pub has_usage: bool,
    /// Whether the user has SELECT on the table.
    pub has_select: bool,
}

const SERVER: &str = "\
    SELECT current_setting('server_version_num')::int4, pg_is_in_recovery(), \
    (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), current_user::text, \
    (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user), \
    (SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = 'rds_replication'), \
    to_regproc('aurora_version') IS NOT NULL";
// Not all settings of extensions are in pg_settings.
const SETTINGS: &str = "\
    SELECT name, setting FROM (SELECT n.name, coalesce((SELECT s.setting FROM pg_settings s WHERE s.name = n.name), \
    current_setting(n.name, true)) AS setting FROM unnest(ARRAY['rds.logical_replication', 'wal_level', \
    'wal_sender_timeout', 'max_replication_slots', 'max_wal_senders', 'sync_replication_slots', \
    'synchronized_standby_slots']) AS n (name)) AS known WHERE setting IS NOT NULL";
// wal_status came with version 13, failover and synced with 17; as JSON a column that is missing is null.
const SLOTS: &str = "\
    SELECT slot_name::text, active, coalesce(to_jsonb(s) ->> 'wal_status' = 'lost', false), \
    greatest(coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() \
    ELSE pg_current_wal_lsn() END, restart_lsn), 0), 0)::int8, \
    slot_type = 'logical', temporary, (to_jsonb(s) ->> 'failover')::bool, (to_jsonb(s) ->> 'synced')::bool \
    FROM pg_replication_slots s ORDER BY 4 DESC, 1";
const SENDERS: &str = "\
    SELECT count(*)::int8, count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots s \
    WHERE s.slot_type = 'logical' AND s.active_pid = r.pid))::int8 FROM pg_stat_replication r";
const PUBLICATIONS: &str = "\
    SELECT pubname::text FROM pg_publication WHERE $1::text IS NULL OR pubname = $1::text ORDER BY 1";
const TABLES: &str = "\
    SELECT DISTINCT format('%I.%I', n.nspname, c.relname), quote_ident(n.nspname), c.relreplident::text, \
    EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), p.pubupdate OR p.pubdelete, \
    has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT') \
    FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname \
    JOIN pg_namespace n ON n.nspname = t.schemaname \
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename \
    WHERE $1::text IS NULL OR t.pubname = $1::text ORDER BY 1";

/// Asks everything, one question after the other; one that fails does not keep the others from being asked.
pub async fn ask(session: &Session, publication: Option<&str>, end: Instant) -> Facts {
    let named: &[&(dyn ToSql + Sync)] = &[&publication];
    let mut server = one(rows(session, SERVER, &[], end, read_server).await);
    // It may say what it likes.
    if let (Ok(server), false) = (&mut server, session.is_encrypted) {
        server.tls = None;
    }
    Facts {
        server,
        settings: rows(session, SETTINGS, &[], end, |row| Ok((text(row, 0)?, text(row, 1)?)))
            .await
            .map(|pairs| pairs.into_iter().collect()),
        slots: rows(session, SLOTS, &[], end, read_slot).await,
        senders: one(rows(session, SENDERS, &[], end, read_senders).await),
        publications: rows(session, PUBLICATIONS, named, end, |row| text(row, 0)).await,
        tables: rows(session, TABLES, named, end, read_table).await,
    }
}

/// The rows of an answer, read one by one.
pub async fn rows<T>(
    session: &Session,
    question: &str,
    parameters: &[&(dyn ToSql + Sync)],
    end: Instant,
    read: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
) -> Answer<Vec<T>> {
    let question = format!("{question} LIMIT {}", ROWS_MAX + 1);
    let answered = timeout_at(end, session.client.query(&question, parameters)).await;
    let rows = answered.map_err(|_| "no answer within --timeout".to_owned())?;
    if rows.as_ref().is_ok_and(|rows| rows.len() > ROWS_MAX) {
        return Err(format!(
            "its answer has more than {ROWS_MAX} rows, and no more are read"
        ));
    }
    let read = rows.and_then(|rows| rows.iter().map(read).collect());
    read.map_err(|error| session.why(&error))
}

/// A text of the server's, which is no longer than it is worth.
fn text(row: &Row, index: usize) -> Result<String, tokio_postgres::Error> {
    row.try_get(index).map(shortened)
}

/// The only row.
pub fn one<T>(rows: Answer<Vec<T>>) -> Answer<T> {
    rows?.into_iter().next().ok_or_else(|| "no answer".to_owned())
}

fn read_server(row: &Row) -> Result<Server, tokio_postgres::Error> {
    Ok(Server {
        version: u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or_default(),
        is_standby: row.try_get(1)?,
        tls: row.try_get::<_, Option<&str>>(2)?.map(shortened),
        user: text(row, 3)?,
        may_replicate: row.try_get::<_, Option<bool>>(4)?.unwrap_or_default(),
        has_rds_replication: row.try_get(5)?,
        is_aurora: row.try_get(6)?,
    })
}

fn read_senders(row: &Row) -> Result<Senders, tokio_postgres::Error> {
    let count = |index: usize| {
        let count = row.try_get::<_, i64>(index);
        count.map(|count| u32::try_from(count).unwrap_or(u32::MAX))
    };
    Ok(Senders {
        all: count(0)?,
        of_standbys: count(1)?,
    })
}

fn read_slot(row: &Row) -> Result<Slot, tokio_postgres::Error> {
    Ok(Slot {
        name: text(row, 0)?,
        is_active: row.try_get(1)?,
        is_lost: row.try_get(2)?,
        held: u64::try_from(row.try_get::<_, i64>(3)?).unwrap_or_default(),
        is_logical: row.try_get(4)?,
        is_temporary: row.try_get(5)?,
        failover: row.try_get(6)?,
        synced: row.try_get(7)?,
    })
}

fn read_table(row: &Row) -> Result<Table, tokio_postgres::Error> {
    Ok(Table {
        name: text(row, 0)?,
        schema: text(row, 1)?,
        identity: text(row, 2)?,
        has_key: row.try_get(3)?,
        needs_identity: row.try_get(4)?,
        has_usage: row.try_get(5)?,
        has_select: row.try_get(6)?,
    })
}

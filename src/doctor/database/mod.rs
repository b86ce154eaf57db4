//! Whether changes can be streamed out of the database, judged.

mod ask;
pub mod script;
mod slots;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

pub use ask::{Answer, Facts, Senders, Server, Slot, Table};

use super::check::{Check, Outcome};
use crate::aws::ca;
use crate::database::{Breach, Refused, Security, Source};
use crate::exit::Exit;
use crate::probe::{Stage, Trouble};
use crate::text::{join, some};

/// The oldest version that consumers take.
const VERSION_MIN: u32 = 120_000;
/// A wal_sender_timeout within which consumers say something even when they are busy: they do so every 10 s.
const TIMEOUT_MIN_SECONDS: u32 = 30;
/// One that keeps a slot from its consumer for no longer than a failover may take.
const TIMEOUT_MAX_SECONDS: u32 = 300;
/// Names that are worth repeating in one line.
const NAMES_MAX: usize = 4;
const NAMES: [&str; 13] = [
    "database.encryption",
    "database.version",
    "database.writer",
    "database.logical",
    "database.sender-timeout",
    "database.slots",
    "database.senders",
    "database.replication-right",
    "database.publication",
    "database.privileges",
    "database.identity",
    "database.held-wal",
    "database.failover-slots",
];

/// Connects and asks everything.
pub async fn look(source: &Source, publication: Option<&str>, end: Instant) -> Result<Facts, Refused> {
    let session = source.connect(end).await?;
    Ok(ask::ask(&session, publication, end).await)
}

/// All checks of the database at `host`.
pub fn judge(seen: &Result<Facts, Refused>, security: Security, host: &str, publication: Option<&str>) -> Vec<Check> {
    let cas = ca::of_rds([host]);
    let facts = match seen {
        Ok(facts) => facts,
        Err(refused) => {
            let blocked = NAMES.map(|name| Check::new(name, Outcome::blocked("database.connect")));
            let mut checks = vec![Check::new("database.connect", refusal(refused, cas))];
            checks.extend(blocked);
            return checks;
        }
    };
    let outcomes = [
        of(&facts.server, |server| encryption(server, security, cas)),
        of(&facts.server, version),
        of(&facts.server, writer),
        of(&facts.settings, logical),
        of(&facts.settings, sender_timeout),
        both(&facts.settings, &facts.slots, |settings, used| {
            free_slots(settings, used)
        }),
        both(&facts.settings, &facts.senders, free_senders),
        of(&facts.server, replication_right),
        both(&facts.publications, &facts.tables, |publications, tables| {
            published(publications, tables, publication)
        }),
        both(&facts.server, &facts.tables, |server, tables| {
            privileges(server, tables)
        }),
        of(&facts.tables, |tables| identity(tables)),
        of(&facts.slots, |slots| held_wal(slots)),
        both(&facts.server, &facts.settings, |server, settings| {
            both(&facts.slots, &facts.senders, |slots, senders| {
                slots::survive(server, settings, slots, senders.of_standbys)
            })
        }),
    ];
    let connected = match &facts.server {
        Ok(server) => Outcome::ok(format!("connected as {}", server.user)),
        Err(_) => Outcome::ok("connected"),
    };
    let mut checks = vec![Check::new("database.connect", connected)];
    checks.extend(
        NAMES
            .into_iter()
            .zip(outcomes)
            .map(|(name, outcome)| Check::new(name, outcome)),
    );
    checks
}

fn of<T>(answer: &Answer<T>, judge: impl Fn(&T) -> Outcome) -> Outcome {
    match answer {
        Ok(value) => judge(value),
        Err(why) => Outcome::failure(
            Exit::Unexpected,
            format!("the database did not say: {why}"),
            "run doctor again; if it persists, see the server's log for what it refused, and look at less with --publication NAME",
        ),
    }
}

fn both<A, B>(first: &Answer<A>, second: &Answer<B>, judge: impl Fn(&A, &B) -> Outcome) -> Outcome {
    match first {
        Ok(first) => of(second, |second| judge(first, second)),
        Err(_) => of(first, |_| Outcome::ok("")),
    }
}

/// Why there is no session, and what to do about it; `cas` says how to get the CAs.
pub fn refusal(refused: &Refused, cas: &str) -> Outcome {
    let (exit, fix) = match refused {
        Refused::Lookup(_) => (
            Exit::Unavailable,
            "check the host in --database, and this host's DNS".to_owned(),
        ),
        Refused::Trouble(_, trouble) => (
            match trouble {
                Trouble::WrongName(_)
                | Trouble::UnknownCa
                | Trouble::Expired
                | Trouble::Mysql(..)
                | Trouble::NotPostgres(_) => Exit::Unexpected,
                _ => Exit::Unavailable,
            },
            match trouble {
                Trouble::UnknownCa => format!("give the CAs of RDS: {cas}; --ca-bundle global-bundle.pem"),
                Trouble::WrongName(_) => {
                    "name the host as the certificate does; to reach it through a load balancer: host=NAME \
                     hostaddr=ADDRESS"
                        .to_owned()
                }
                Trouble::Mysql(..) | Trouble::NotPostgres(_) => {
                    "--database is for PostgreSQL: other engines have no slots and publications to look at".to_owned()
                }
                Trouble::Closed(Stage::Postgres, _) => {
                    "it ends the connection at the first question, as engines other than PostgreSQL do (SQL Server, Oracle, Db2), or \
                     something in between: check host and port in --database"
                        .to_owned()
                }
                Trouble::TlsRefused => "turn TLS on, or say sslmode=disable if the way there is safe".to_owned(),
                Trouble::Refused => {
                    "check the port; after a failover PostgreSQL takes some seconds to listen again".to_owned()
                }
                _ => "let this host into the database's security group, and check routes and network ACLs".to_owned(),
            },
        ),
        Refused::Server(code, _) => of_state(code),
        Refused::Breach(breach) => (Exit::Unexpected, of_breach(breach, cas)),
        Refused::Late(_) => (Exit::Unavailable, "give it more time with --timeout, or see the server's log for the same moment".to_owned()),
        Refused::Other(_) => (Exit::Unavailable, "see the server's log for the same moment".to_owned()),
    };
    Outcome::failure(exit, refused.to_string(), fix)
}

/// How to mend what kept the conversation from going on.
fn of_breach(breach: &Breach, cas: &str) -> String {
    match breach {
        Breach::Cleartext(_) | Breach::Guessable(_) => {
            // RDS asks for IAM tokens in clear text inside TLS, and nothing that is set there changes it.
            let of_iam = match breach {
                Breach::Cleartext(_) => " (users of rds_iam always need --ca-bundle)",
                _ => "",
            };
            format!(
                "let the server show who it is: turn TLS on, and give the CAs of RDS: {cas}; --ca-bundle global-bundle.pem; or let \
                 pg_hba.conf ask with scram-sha-256{of_iam}"
            )
        }
        Breach::Md5 => "turn TLS on, or say sslmode=disable if the way there is safe; or let pg_hba.conf ask with scram-sha-256"
            .into(),
        Breach::Laborious(_) => "set scram_iterations lower on the server, and give the user its password anew".into(),
        Breach::TooLong(_) | Breach::TooMuch | Breach::Unasked => {
            "check host and port in --database: what answers there is hardly a PostgreSQL, or has more tables than are looked at \
             (--publication NAME looks at those of one publication)"
                .into()
        }
    }
}

/// How to mend a refusal, by SQLSTATE (PostgreSQL documentation, appendix A).
fn of_state(code: &str) -> (Exit, String) {
    match code {
        "28P01" => (Exit::Denied, "correct user and password in --database".into()),
        "28000" => (
            Exit::Denied,
            "allow user, database and address in pg_hba.conf; RDS with rds.force_ssl = 1 takes only encrypted \
             connections (sslmode=require), and rds_iam users only IAM tokens as passwords"
                .into(),
        ),
        "3D000" => (
            Exit::Settings,
            "correct the database's name at the end of --database".into(),
        ),
        "57P03" => (
            Exit::Unavailable,
            "wait: the server is starting, stopping or recovering".into(),
        ),
        "53300" => (
            Exit::Unavailable,
            "end sessions nobody needs (pg_stat_activity) or raise max_connections".into(),
        ),
        "42501" => (Exit::Denied, "GRANT CONNECT ON DATABASE ... TO the user".into()),
        _ => (
            Exit::Unexpected,
            "see the SQLSTATE in PostgreSQL's documentation, appendix A".into(),
        ),
    }
}

fn encryption(server: &Server, security: Security, cas: &str) -> Outcome {
    match (&server.tls, security) {
        (Some(tls), Security::Verified) => Outcome::ok(format!("{tls}, and the certificate names the host")),
        (Some(tls), _) => Outcome::warning(
            format!("{tls}, but whose certificate it is was not verified: sslmode=require asks for no more"),
            format!("{cas}; --ca-bundle global-bundle.pem"),
        ),
        (None, _) => Outcome::warning(
            "not encrypted: rows can be read on their way, and by what is sent at the log-in a weak password can be guessed",
            "?sslmode=require in --database; when every client does so, rds.force_ssl = 1 in the parameter group insists on it",
        ),
    }
}

fn version(server: &Server) -> Outcome {
    let shown = format!("PostgreSQL {}.{}", server.version / 10_000, server.version % 10_000);
    if server.version >= VERSION_MIN {
        return Outcome::ok(shown);
    }
    Outcome::failure(
        Exit::Unexpected,
        format!("{shown}: consumers such as ClickPipes take 12 and newer"),
        "upgrade at a time of your choice: it stops the database for minutes, and before 17 every slot has to be dropped first, so \
         consumers begin anew",
    )
}

fn writer(server: &Server) -> Outcome {
    if !server.is_standby {
        return Outcome::ok("the server is the writer");
    }
    Outcome::failure(
        Exit::Unexpected,
        "the server is a standby or reader (pg_is_in_recovery): a slot cannot be created here before version 16, and a \
         publication never",
        "connect to the writer: of a cluster, the endpoint NAME.cluster-...; if this is that endpoint, DNS is behind a \
         failover",
    )
}

type Settings = BTreeMap<String, String>;

fn number(settings: &Settings, name: &str) -> Option<u32> {
    settings.get(name)?.parse().ok()
}

fn logical(settings: &Settings) -> Outcome {
    let level = settings.get("wal_level").map_or("unknown", String::as_str);
    let rds = settings.get("rds.logical_replication").map(String::as_str);
    match (level, rds) {
        ("logical", _) => Outcome::ok("wal_level = logical"),
        (_, Some("on" | "1")) => Outcome::failure(
            Exit::Unexpected,
            format!("rds.logical_replication is on, but wal_level is still {level}"),
            "reboot it at a time of your choice (aws rds reboot-db-instance), which ends every connection: a static parameter takes \
             effect then",
        ),
        (_, Some(_)) => Outcome::failure(
            Exit::Unexpected,
            format!("rds.logical_replication is off (wal_level = {level})"),
            "set rds.logical_replication = 1 in the parameter group (Aurora: that of the cluster), and reboot at a time of your \
             choice (aws rds reboot-db-instance), which ends every connection",
        ),
        (_, None) => Outcome::failure(
            Exit::Unexpected,
            format!("wal_level = {level}"),
            "ALTER SYSTEM SET wal_level = 'logical'; and restart the server at a time of your choice, which ends every connection",
        ),
    }
}

/// It alone frees the slot of a consumer whose host, or whose proxy's, has vanished without a word (R7).
fn sender_timeout(settings: &Settings) -> Outcome {
    const FIX: &str = "wal_sender_timeout = 60s in the parameter group, or ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT \
                       pg_reload_conf(); sessions of now stay";
    let Some(millis) = number(settings, "wal_sender_timeout") else {
        return Outcome::skipped("the server has no wal_sender_timeout");
    };
    let seconds = millis.div_ceil(1000);
    match seconds {
        0 => Outcome::warning(
            "wal_sender_timeout = 0: when a consumer's host or its proxy's vanishes without a word, nothing frees the slot, and who \
             connects anew is told that it is active; ClickPipes' page asks for 0, so that no consumer is cut that is busy for long, \
             but its engine (PeerDB) sets 120 s for its own sessions",
            FIX,
        ),
        TIMEOUT_MIN_SECONDS..=TIMEOUT_MAX_SECONDS => Outcome::ok(format!(
            "wal_sender_timeout = {seconds} s: a slot is free again that long after its consumer's host has vanished"
        )),
        1..TIMEOUT_MIN_SECONDS => Outcome::warning(
            format!("wal_sender_timeout = {seconds} s: a consumer that is busy for longer loses its connection"),
            FIX,
        ),
        _ => Outcome::warning(
            format!(
                "wal_sender_timeout = {seconds} s: when a consumer's host has vanished, its slot is taken for that long"
            ),
            FIX,
        ),
    }
}

fn free(what: &str, setting: &str, used: usize, settings: &Settings) -> Outcome {
    let Some(most) = number(settings, setting) else {
        return Outcome::skipped(format!("the server does not tell {setting}"));
    };
    let most = most as usize;
    if used < most {
        return Outcome::ok(format!("{} of {most} {what} free", most - used));
    }
    Outcome::failure(
        Exit::Refused,
        format!("all {most} {what} are in use ({setting} = {most})"),
        format!(
            "{setting} = {} in the parameter group, and a restart at a time of your choice",
            most + 10
        ),
    )
}

fn free_slots(settings: &Settings, slots: &[Slot]) -> Outcome {
    free("replication slots", "max_replication_slots", slots.len(), settings)
}

fn free_senders(settings: &Settings, used: &Senders) -> Outcome {
    free("WAL senders", "max_wal_senders", used.all as usize, settings)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn replication_right(server: &Server) -> Outcome {
    let user = &server.user;
    match (server.may_replicate, server.has_rds_replication) {
        (true, _) | (_, Some(true)) => Outcome::ok(format!("{user} may replicate")),
        (false, Some(false)) => Outcome::failure(
            Exit::Denied,
            format!("{user} may not replicate"),
            format!("GRANT rds_replication TO {}", quoted(user)),
        ),
        (false, None) => Outcome::failure(
            Exit::Denied,
            format!("{user} may not replicate"),
            format!("ALTER ROLE {} REPLICATION", quoted(user)),
        ),
    }
}

fn published(publications: &[String], tables: &[Table], wanted: Option<&str>) -> Outcome {
    match (publications, wanted) {
        ([], Some(name)) => Outcome::failure(
            Exit::Unexpected,
            format!("there is no publication {name} in this database"),
            format!("CREATE PUBLICATION {} FOR TABLE ...", quoted(name)),
        ),
        ([], None) => Outcome::warning(
            "there is no publication in this database",
            "CREATE PUBLICATION tether FOR TABLE ...; some consumers create their own; rds-tether sql prints all that is to be done",
        ),
        (some, _) if tables.is_empty() => Outcome::failure(
            Exit::Unexpected,
            format!("{} publishes no table", join(some)),
            format!("ALTER PUBLICATION {} ADD TABLE ...", quoted(&some[0])),
        ),
        (some, _) => {
            let tables = tables.len();
            let plural = if tables == 1 { "" } else { "s" };
            Outcome::ok(format!("{} with {tables} table{plural}", join(some)))
        }
    }
}

fn names(tables: &[Table], wrong: impl Fn(&Table) -> bool) -> Vec<&str> {
    tables
        .iter()
        .filter(|table| wrong(table))
        .map(|table| table.name.as_str())
        .collect()
}

fn privileges(server: &Server, tables: &[Table]) -> Outcome {
    if tables.is_empty() {
        return Outcome::skipped("no table is published: see database.publication");
    }
    let user = quoted(&server.user);
    let closed: BTreeSet<&str> = tables
        .iter()
        .filter(|table| !table.has_usage)
        .map(|table| table.schema.as_str())
        .collect();
    let unreadable = names(tables, |table| !table.has_select);
    let mut found = Vec::new();
    let mut fix = Vec::new();
    if !closed.is_empty() {
        found.push(format!("no USAGE on schema {}", join(&closed)));
        fix.push(format!("GRANT USAGE ON SCHEMA {} TO {user}", join(&closed)));
    }
    if !unreadable.is_empty() {
        found.push(format!("no SELECT on {}", some(&unreadable, NAMES_MAX)));
        fix.push(format!(
            "GRANT SELECT ON {} TO {user}",
            join(unreadable.iter().take(NAMES_MAX))
        ));
    }
    if found.is_empty() {
        return Outcome::ok(format!("{} may read every published table", server.user));
    }
    Outcome::failure(
        Exit::Denied,
        format!("{} has {}", server.user, found.join(" and ")),
        fix.join("; "),
    )
}

fn identity(tables: &[Table]) -> Outcome {
    if tables.is_empty() {
        return Outcome::skipped("no table is published: see database.publication");
    }
    let without = names(tables, |table| {
        let has_identity = match table.identity.as_str() {
            "f" | "i" => true,
            "d" => table.has_key,
            _ => false,
        };
        table.needs_identity && !has_identity
    });
    let Some(first) = without.first() else {
        return Outcome::ok("every published table has a key or REPLICA IDENTITY");
    };
    Outcome::failure(
        Exit::Unexpected,
        format!(
            "neither key nor replica identity, so UPDATE and DELETE fail: {}",
            some(&without, NAMES_MAX)
        ),
        format!(
            "ALTER TABLE {first} ADD PRIMARY KEY (...), or ALTER TABLE {first} REPLICA IDENTITY FULL; rds-tether sql prints that for \
             all of them"
        ),
    )
}

fn held_wal(slots: &[Slot]) -> Outcome {
    if let Some(slot) = slots.iter().find(|slot| slot.is_lost) {
        return Outcome::failure(
            Exit::Unexpected,
            format!(
                "slot {} has lost WAL that it needs: its consumer has to begin anew",
                slot.name
            ),
            format!(
                "SELECT pg_drop_replication_slot('{}'), then start the consumer afresh; raise max_slot_wal_keep_size",
                slot.name
            ),
        );
    }
    // What a standby has from its primary is never active, and no business of consumers.
    let inactive = slots.iter().filter(|slot| !slot.is_active && slot.synced != Some(true));
    let inactive: Vec<&Slot> = inactive.collect();
    let Some(worst) = inactive.iter().max_by_key(|slot| slot.held) else {
        return Outcome::ok(format!("{} slots, none of them inactive", slots.len()));
    };
    let told = |slot: &&Slot| format!("{} ({})", slot.name, bytes(slot.held));
    Outcome::warning(
        format!(
            "without a consumer, and holding WAL until the disk is full: {}",
            join(inactive.iter().take(NAMES_MAX).map(told))
        ),
        if worst.is_logical {
            format!(
                "start the consumer; only if it is gone for good, for whoever comes later begins anew: SELECT \
                 pg_drop_replication_slot('{}')",
                worst.name
            )
        } else {
            format!("{} is a standby's: start that, or remove it with its slot", worst.name)
        },
    )
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} kB", bytes / 1024),
        1_048_576..1_073_741_824 => format!("{} MB", bytes / 1_048_576),
        _ => format!("{} GB", bytes / 1_073_741_824),
    }
}

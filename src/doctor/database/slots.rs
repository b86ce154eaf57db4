//! Whether the slots of consumers survive a failover, judged.
//!
//! Who keeps them differs (R6): Aurora and a Multi-AZ DB instance go on with the same storage, a Multi-AZ DB cluster copies them,
//! and any other standby has only what PostgreSQL 17 and later synchronize.

use super::{Server, Settings, Slot};
use crate::doctor::check::Outcome;
use crate::exit::Exit;
use crate::text::join;

/// PostgreSQL's first version that synchronizes slots to standbys.
const SYNC_MIN: u32 = 170_000;
/// The first versions in which a Multi-AZ DB cluster copies slots to its readers.
const COPIED_MIN: [u32; 2] = [140_008, 150_003];
/// How a slot comes to be synchronized. Nothing of it ends a session.
const MARK: &str = "let the consumer make its slots with failover (CREATE SUBSCRIPTION ... WITH (failover = true), \
                    pg_create_logical_replication_slot with failover, a switch in ClickPipes' advanced settings); for a slot that \
                    is there, while its consumer is stopped: ALTER SUBSCRIPTION ... SET (failover = true), or ALTER_REPLICATION_SLOT \
                    over a replication connection";
/// What a standby needs.
const STANDBY: &str = "sync_replication_slots = on and hot_standby_feedback = on on each standby, and a database in its \
                       primary_conninfo (RDS: rds.logical_slot_sync_dbname)";

/// Whether consumers find their slots after a failover.
pub fn survive(server: &Server, settings: &Settings, slots: &[Slot], standbys: u32) -> Outcome {
    let logical: Vec<&Slot> = slots.iter().filter(|slot| slot.is_logical).collect();
    if server.is_aurora {
        return Outcome::ok(format!(
            "{}: they lie on the cluster's volume, which the next writer has too; not after blue/green, a restore or in another \
             region",
            counted(logical.len())
        ));
    }
    if server.is_standby {
        return on_standby(server, settings, &logical);
    }
    let lasting: Vec<&Slot> = logical.into_iter().filter(|slot| !slot.is_temporary).collect();
    if let Some(outcome) = waiting(settings, slots, &lasting) {
        return outcome;
    }
    if lasting.is_empty() {
        return Outcome::ok("no logical slot yet");
    }
    if standbys == 0 {
        return Outcome::ok(format!(
            "{}: no standby streams from here, so a failover goes on with this storage, as that of a Multi-AZ DB instance does",
            counted(lasting.len())
        ));
    }
    if settings.contains_key("rds.logical_replication") {
        return on_rds(server, settings, &lasting);
    }
    elsewhere(server, settings, &lasting)
}

fn counted(slots: usize) -> String {
    match slots {
        1 => "1 logical slot".into(),
        many => format!("{many} logical slots"),
    }
}

fn names<'a>(slots: impl IntoIterator<Item = &'a &'a Slot>) -> String {
    join(slots.into_iter().map(|slot| slot.name.as_str()))
}

fn is_on(settings: &Settings, name: &str) -> bool {
    settings.get(name).is_some_and(|value| value == "on" || value == "1")
}

/// The standbys' slots that consumers of failover slots wait for.
fn awaited(settings: &Settings) -> Vec<&str> {
    let listed = settings.get("synchronized_standby_slots");
    let listed = listed.map_or("", String::as_str).split(',');
    listed
        .map(|name| name.trim().trim_matches('"'))
        .filter(|name| !name.is_empty())
        .collect()
}

/// Consumers that get nothing because a standby is awaited that is not there.
fn waiting(settings: &Settings, slots: &[Slot], lasting: &[&Slot]) -> Option<Outcome> {
    let held: Vec<&&Slot> = lasting.iter().filter(|slot| slot.failover == Some(true)).collect();
    let is_there = |name: &&str| {
        let mut physical = slots.iter().filter(|slot| !slot.is_logical);
        physical.any(|slot| slot.name == *name && slot.is_active)
    };
    let missing: Vec<&str> = awaited(settings).into_iter().filter(|name| !is_there(name)).collect();
    if held.is_empty() || missing.is_empty() {
        return None;
    }
    Some(Outcome::failure(
        Exit::Unexpected,
        format!(
            "consumers of {} get nothing: synchronized_standby_slots names {}, which no standby uses",
            names(held),
            join(missing)
        ),
        "start that standby, or take its slot out of synchronized_standby_slots and reload",
    ))
}

/// An automatic failover keeps slots there; the promotion of a read replica is another matter.
fn on_rds(server: &Server, settings: &Settings, lasting: &[&Slot]) -> Outcome {
    let kept =
        "a Multi-AZ DB instance keeps them with its storage, and a Multi-AZ DB cluster copies them to its readers";
    let [first, second] = COPIED_MIN;
    if server.version < first || (150_000..second).contains(&server.version) {
        return Outcome::warning(
            format!(
                "{}: a Multi-AZ DB instance keeps them with its storage; a Multi-AZ DB cluster does not copy them to its readers \
                 before 14.8 and 15.3",
                counted(lasting.len())
            ),
            "upgrade the minor version if this is a Multi-AZ DB cluster",
        );
    }
    let without: Vec<&&Slot> = lasting.iter().filter(|slot| slot.failover != Some(true)).collect();
    // Who has begun to prepare the promotion of a replica wants all of them there.
    let is_wanted = is_on(settings, "sync_replication_slots") || without.len() < lasting.len();
    if server.version >= SYNC_MIN && is_wanted && !without.is_empty() {
        return Outcome::warning(
            format!(
                "{}: {kept}; a read replica that is promoted is without {}",
                counted(lasting.len()),
                names(without)
            ),
            format!("{MARK}; and {STANDBY}"),
        );
    }
    let replica = if without.is_empty() {
        ""
    } else {
        "; a read replica that is promoted has none of them unless they are made with failover, from 17 on"
    };
    Outcome::ok(format!("{}: {kept}{replica}", counted(lasting.len())))
}

/// Nobody but PostgreSQL itself brings slots to a standby.
fn elsewhere(server: &Server, settings: &Settings, lasting: &[&Slot]) -> Outcome {
    if server.version < SYNC_MIN {
        return Outcome::warning(
            format!(
                "{}: a standby that is promoted has none of them, before PostgreSQL 17",
                names(lasting)
            ),
            "after a failover begin anew with a copy of the tables: a slot made by hand hides what is missing; from PostgreSQL 17 on \
             slots are synchronized",
        );
    }
    let without: Vec<&&Slot> = lasting.iter().filter(|slot| slot.failover != Some(true)).collect();
    if !without.is_empty() {
        return Outcome::warning(
            format!(
                "{}: a standby that is promoted does not have them (failover is off)",
                names(without)
            ),
            format!("{MARK}; and {STANDBY}"),
        );
    }
    if awaited(settings).is_empty() {
        return Outcome::warning(
            format!(
                "{}, but synchronized_standby_slots is empty: a consumer may be ahead of the standby that is promoted",
                counted(lasting.len())
            ),
            "name the standbys' physical slots in synchronized_standby_slots; consumers then wait while one of those is away",
        );
    }
    Outcome::ok(format!(
        "{}, synchronized, and never ahead of {}",
        counted(lasting.len()),
        join(awaited(settings))
    ))
}

fn on_standby(server: &Server, settings: &Settings, logical: &[&Slot]) -> Outcome {
    let synced: Vec<&&Slot> = logical.iter().filter(|slot| slot.synced == Some(true)).collect();
    let unready: Vec<&&Slot> = synced
        .iter()
        .copied()
        .filter(|slot| slot.is_temporary || slot.is_lost)
        .collect();
    if server.version < SYNC_MIN {
        return Outcome::warning(
            "a standby has none of the primary's slots, before PostgreSQL 17, unless RDS copies them (Multi-AZ DB cluster)",
            "connect to the writer, and see there",
        );
    }
    if !is_on(settings, "sync_replication_slots") {
        return Outcome::warning(
            "sync_replication_slots is off: this standby has none of the primary's slots when it is promoted",
            STANDBY,
        );
    }
    if !unready.is_empty() {
        return Outcome::warning(
            format!(
                "{} not ready: promoted now, this standby is without them",
                names(unready)
            ),
            "wait until the standby has caught up; if it lasts, see the server's log for the slot sync worker",
        );
    }
    Outcome::ok(format!("{} synchronized from the primary", counted(synced.len())))
}

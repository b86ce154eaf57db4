//! What a member is asked, and what its answer means.

use std::collections::{BTreeMap, BTreeSet};

use crate::planner::lead::Says;

/// Which of the functions that tell of the topology there are, and whether they may be called; a row for each.
pub const FUNCTIONS: &str = "\
    SELECT n.nspname || '.' || p.proname, \
           bool_or(has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')) \
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
    WHERE (n.nspname = 'pg_catalog' AND p.proname IN ('aurora_replica_status', 'aurora_db_instance_identifier')) \
       OR (n.nspname = 'rds_tools' AND p.proname IN ('show_topology', 'dbi_resource_id', \
                                                     'multi_az_db_cluster_source_dbi_resource_id')) \
    GROUP BY 1";

const OF_AURORA: [&str; 2] = [
    "pg_catalog.aurora_replica_status",
    "pg_catalog.aurora_db_instance_identifier",
];
const OF_MULTI_AZ: [&str; 3] = [
    "rds_tools.show_topology",
    "rds_tools.dbi_resource_id",
    "rds_tools.multi_az_db_cluster_source_dbi_resource_id",
];

/// How a database knows its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// It does not: each knows whether it is in recovery.
    Plain,
    /// Aurora: rows of instances, of whom one has the session `MASTER_SESSION_ID` (Aurora User Guide, `aurora_replica_status`).
    Aurora,
    /// An RDS Multi-AZ DB cluster, whose members know the resource of the one that they replicate from (RDS User Guide, `rds_tools`).
    MultiAz,
}

impl Flavour {
    /// Reads the answer to [`FUNCTIONS`]. The error is what to grant to `user`.
    pub fn of(functions: &BTreeMap<String, bool>, user: &str) -> Result<Self, Ungranted> {
        let may = |names: &[&str]| {
            let each = names.iter().map(|name| functions.get(*name).copied());
            each.collect::<Option<Vec<bool>>>()
                .map(|may| may.iter().all(|may| *may))
        };
        let user = quoted(user);
        match (may(&OF_AURORA), may(&OF_MULTI_AZ)) {
            (Some(true), _) => Ok(Self::Aurora),
            (Some(false), _) => Err(Ungranted(format!(
                "GRANT EXECUTE ON FUNCTION pg_catalog.aurora_replica_status(), \
                 pg_catalog.aurora_db_instance_identifier() TO {user}"
            ))),
            (None, Some(true)) => Ok(Self::MultiAz),
            (None, Some(false)) => Err(Ungranted(format!(
                "GRANT USAGE ON SCHEMA rds_tools TO {user}; GRANT EXECUTE ON ALL FUNCTIONS IN \
                 SCHEMA rds_tools TO {user}"
            ))),
            (None, None) => Ok(Self::Plain),
        }
    }

    /// The question: a row of whether it is in recovery, whether it is read-only, its own ID, the IDs of who is the writer by the
    /// topology, and its members.
    pub fn question(self) -> &'static str {
        match self {
            Self::Plain => "SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), NULL, NULL, NULL",
            Self::Aurora => {
                "WITH member AS (SELECT server_id, session_id FROM aurora_replica_status()) \
                 SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), aurora_db_instance_identifier(), \
                        (SELECT string_agg(server_id, ' ') FROM member WHERE session_id = 'MASTER_SESSION_ID'), \
                        (SELECT string_agg(server_id, ' ') FROM member)"
            }
            Self::MultiAz => concat!(
                "SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), rds_tools.dbi_resource_id(), ",
                "(SELECT coalesce(rds_tools.multi_az_db_cluster_source_dbi_resource_id(), rds_tools.dbi_resource_id())), ",
                "(SELECT string_agg(endpoint, ' ') FROM rds_tools.show_topology('rds-tether-",
                env!("CARGO_PKG_VERSION"),
                "'))"
            ),
        }
    }
}

/// What is to be granted before the topology can be asked for, in SQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it may not ask for the topology: {0}")]
pub struct Ungranted(pub String);

/// A role's name, as SQL has it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A member's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is in recovery: `t` or `f`.
    pub recovery: Option<String>,
    /// Whether a transaction would be read-only: `on` or `off`.
    pub read_only: Option<String>,
    /// What the topology calls it.
    pub own: Option<String>,
    /// Whom the topology calls the writer, with blanks between.
    pub writers: Option<String>,
    /// All that the topology knows: IDs, which are the first labels of names, or whole names.
    pub members: Option<String>,
}

impl Answer {
    /// What the member says of itself by it.
    pub fn says(&self, flavour: Flavour) -> Says {
        let unsure = |why: &str| Says::Neither(why.to_owned());
        match (self.recovery.as_deref(), self.read_only.as_deref()) {
            (Some("t"), _) => return Says::Reader,
            (Some("f"), Some("off")) => {}
            (Some("f"), Some("on")) => return unsure("it is read-only: transaction_read_only is on"),
            _ => return unsure("its answer cannot be read"),
        }
        if flavour == Flavour::Plain {
            return Says::Writer;
        }
        let Some(own) = &self.own else {
            return unsure("it does not know what the topology calls it");
        };
        let writers: Vec<&str> = self.writers.iter().flat_map(|all| all.split(' ')).collect();
        match writers[..] {
            [] => unsure("its topology names no writer"),
            _ if writers.contains(&own.as_str()) => Says::Writer,
            _ => unsure("its topology names another as the writer"),
        }
    }

    /// The names that members have by it, where those of the database's names end in `suffix`. SQL gives names to ask DNS for,
    /// and none outside the database's own.
    pub fn names(&self, flavour: Flavour, suffix: &str) -> BTreeSet<String> {
        let told = self.members.iter().flat_map(|all| all.split(' '));
        let names = told.filter_map(|told| {
            let label = match flavour {
                Flavour::Plain => None,
                Flavour::Aurora => Some(told),
                Flavour::MultiAz => told.strip_suffix(suffix)?.strip_suffix('.'),
            };
            label.filter(|label| is_label(label))
        });
        names
            .map(|label| format!("{label}.{suffix}").to_ascii_lowercase())
            .collect()
    }
}

/// Whether RDS could have made a name of it.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(recovery: &str, read_only: &str, topology: Option<(&str, &str)>) -> Answer {
        Answer {
            recovery: Some(recovery.to_owned()),
            read_only: Some(read_only.to_owned()),
            own: topology.map(|(own, _)| own.to_owned()),
            writers: topology
                .map(|(_, writers)| writers.to_owned())
                .filter(|writers| !writers.is_empty()),
            members: None,
        }
    }

    #[test]
    fn an_answer_says_who_the_writer_is_or_why_it_does_not() {
        let neither = |why: &str| Says::Neither(why.to_owned());
        for (flavour, answer, says) in [
            (Flavour::Plain, answer("f", "off", None), Says::Writer),
            (Flavour::Plain, answer("t", "on", None), Says::Reader),
            (Flavour::Plain, answer("t", "off", None), Says::Reader),
            (
                Flavour::Plain,
                answer("f", "on", None),
                neither("it is read-only: transaction_read_only is on"),
            ),
            (Flavour::Plain, Answer::default(), neither("its answer cannot be read")),
            (Flavour::Aurora, answer("f", "off", Some(("a", "a"))), Says::Writer),
            (Flavour::Aurora, answer("f", "off", Some(("a", "b a"))), Says::Writer),
            // The old writer, before it is started anew.
            (
                Flavour::Aurora,
                answer("f", "off", Some(("a", "b"))),
                neither("its topology names another as the writer"),
            ),
            (
                Flavour::Aurora,
                answer("f", "off", Some(("a", ""))),
                neither("its topology names no writer"),
            ),
            (Flavour::Aurora, answer("t", "on", Some(("a", "a"))), Says::Reader),
            (
                Flavour::Aurora,
                answer("f", "on", Some(("a", "a"))),
                neither("it is read-only: transaction_read_only is on"),
            ),
            (
                Flavour::Aurora,
                answer("f", "off", None),
                neither("it does not know what the topology calls it"),
            ),
            (
                Flavour::MultiAz,
                answer("f", "off", Some(("db-A", "db-A"))),
                Says::Writer,
            ),
            (
                Flavour::MultiAz,
                answer("f", "off", Some(("db-A", "db-B"))),
                neither("its topology names another as the writer"),
            ),
        ] {
            assert_eq!(answer.says(flavour), says, "{flavour:?} {answer:?}");
        }
    }

    #[test]
    fn only_names_of_the_database_are_asked_for() {
        let suffix = "abc123.eu-west-1.rds.amazonaws.com";
        for (flavour, told, names) in [
            (Flavour::Aurora, "inst-a Inst-B", &["inst-a", "inst-b"][..]),
            (Flavour::Aurora, "a.b evil.example. x_y ../ ", &[]),
            (Flavour::Plain, "inst-a", &[]),
            (
                Flavour::MultiAz,
                "one.abc123.eu-west-1.rds.amazonaws.com two.example.com .abc123.eu-west-1.rds.amazonaws.com \
                 a.b.abc123.eu-west-1.rds.amazonaws.com oneabc123.eu-west-1.rds.amazonaws.com",
                &["one"],
            ),
        ] {
            let answer = Answer {
                members: Some(told.to_owned()),
                ..Answer::default()
            };
            let expect: BTreeSet<String> = names.iter().map(|label| format!("{label}.{suffix}")).collect();
            assert_eq!(answer.names(flavour, suffix), expect, "{told}");
        }
    }

    #[test]
    fn functions_say_how_a_database_knows_its_members_and_what_is_to_be_granted() {
        let all = |names: &[&str], may: bool| names.iter().map(|name| ((*name).to_owned(), may)).collect();
        for (functions, expect) in [
            (BTreeMap::new(), Ok(Flavour::Plain)),
            (all(&OF_AURORA, true), Ok(Flavour::Aurora)),
            (all(&OF_AURORA[..1], true), Ok(Flavour::Plain)),
            (all(&OF_MULTI_AZ, true), Ok(Flavour::MultiAz)),
            (all(&OF_MULTI_AZ[..2], false), Ok(Flavour::Plain)),
            (all(&OF_AURORA, false), Err("TO \"o\"\"dd\"")),
            (
                all(&OF_MULTI_AZ, false),
                Err("GRANT USAGE ON SCHEMA rds_tools TO \"o\"\"dd\""),
            ),
        ] {
            match (Flavour::of(&functions, "o\"dd"), expect) {
                (Err(Ungranted(why)), Err(words)) => assert!(why.contains(words), "{why}"),
                (found, expect) => assert_eq!(found.ok(), expect.ok(), "{functions:?}"),
            }
        }
    }
}

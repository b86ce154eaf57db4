//! What `doctor` says of the members of a database, and of what keeps them from telling who the writer is.

use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use testkit::certificate::{Authority, NOW};
use testkit::dns::Behaviour;
use testkit::postgres::PASSWORD;
use testkit::program::{comes_true, finish, wait_until};
use testkit::world::WRITER;

use super::lead::{Cluster, MEMBERS, TOOLS, TOPOLOGY, play};

/// How long a machine may be too busy for a log-in.
const BUSY_MAX: Duration = Duration::from_secs(90);

/// What an examination of the members told: each check as `status name: finding | fix`.
struct Told {
    exit: i32,
    checks: Vec<String>,
}

impl Told {
    /// Looks again where the machine is so busy that a log-in takes longer than a member has.
    fn by(cluster: &Cluster) -> Self {
        let mut told = Self::by_one_look(cluster);
        comes_true(BUSY_MAX, || {
            let is_slow =
                |check: &String| check.contains("no answer in time") || check.contains("logged in as lead, but in");
            let is_hurried = told.checks.iter().any(is_slow);
            if is_hurried {
                told = Self::by_one_look(cluster);
            }
            !is_hurried
        });
        told
    }

    fn by_one_look(cluster: &Cluster) -> Self {
        let Output { status, stdout, .. } =
            finish(cluster.command("doctor").args(["--only", "lead", "--output", "json"]));
        let said = String::from_utf8_lossy(&stdout);
        assert!(!said.contains(PASSWORD), "{said}");
        let json: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        // The proxy's and the target group's are the same, and so one.
        let sections = json["sections"].as_array().expect("sections");
        assert_eq!(sections.len(), 1, "{said}");
        let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let checks = sections[0]["checks"].as_array().expect("checks").iter();
        let checks = checks.map(|check| {
            let [status, name, finding, fix] = ["status", "name", "finding", "fix"].map(|key| text(check, key));
            format!("{status} {name}: {finding} | {fix}")
        });
        Self {
            exit: status.code().expect("an exit code"),
            checks: checks.collect(),
        }
    }

    /// There is a check that begins with this, and has these parts.
    #[track_caller]
    fn assert(&self, start: &str, parts: &[&str]) {
        let has = |check: &&String| check.starts_with(start) && parts.iter().all(|part| check.contains(part));
        assert!(
            self.checks.iter().any(|check| has(&check)),
            "no {start} with {parts:?}:\n{}",
            self.checks.join("\n")
        );
    }

    #[track_caller]
    fn assert_all(&self, status: &str) {
        let is_so = |check: &String| check.starts_with(status);
        assert!(self.checks.iter().all(is_so), "{}", self.checks.join("\n"));
    }
}

/// Runs the SQL that stands behind these words, after which all is well.
#[track_caller]
fn mend(cluster: &Cluster, told: &Told, words: &str) {
    let (_, fix) = (told.checks.iter())
        .find_map(|check| check.split_once(words))
        .unwrap_or_else(|| panic!("{:#?}", told.checks));
    cluster.members[0].query(fix);
    wait_until("all is well again", || Told::by(cluster).exit == 0);
}

/// Members that DNS does not name are told by the topology alone, and what each lacks comes with the SQL that mends it.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn what_keeps_members_from_telling_is_told_with_what_mends_it() {
    play(|stage| {
        let cluster = Cluster::new(stage, TOPOLOGY, "");
        cluster.wait_for_word(2, "reader");
        let told = Told::by(&cluster);
        assert_eq!(told.exit, 0, "{:#?}", told.checks);
        told.assert_all("ok");
        told.assert(
            "ok lead.members: 3 asked: 10.77.0.2",
            &[MEMBERS[2].1, "the database tells of it"],
        );
        told.assert("ok lead.login: 10.77.0.4", &["logged in as lead over verified TLS"]);
        told.assert("ok lead.topology: Aurora", &[]);
        told.assert("ok lead.writer: 10.77.0.2 shows", &["DNS names it", "10.77.0.3 reader"]);
        told.assert("ok lead.cost", &["CONNECTION LIMIT 4", "Serverless v2"]);

        fs::write(&cluster.password, "wrong\n").expect("the folder is there");
        let told = Told::by(&cluster);
        assert_eq!(told.exit, 77, "{:#?}", told.checks);
        told.assert(
            "failure lead.login: 10.77.0.2",
            &["password authentication failed", "\\password \"lead\""],
        );
        told.assert("skipped lead.writer", &["lead.login"]);
        fs::write(&cluster.password, format!("{PASSWORD}\n")).expect("the folder is there");

        let mend = |told: &Told, words: &str| mend(&cluster, told, words);
        cluster.members[0].query("ALTER ROLE lead NOLOGIN");
        let told = Told::by(&cluster);
        assert_eq!(told.exit, 77, "{:#?}", told.checks);
        told.assert("failure lead.login: 10.77.0.2", &["not permitted to log in"]);
        mend(&told, "| at the writer: ");

        cluster.members[0].query("ALTER ROLE lead CONNECTION LIMIT 1");
        let told = Told::by(&cluster);
        assert_eq!(told.exit, 69, "{:#?}", told.checks);
        told.assert("failure lead.login: 10.77.0.2", &["too many connections for role"]);
        mend(&told, "at the writer: ");

        for function in ["aurora_replica_status()", "aurora_db_instance_identifier()"] {
            cluster.members[0].query(&format!("REVOKE EXECUTE ON FUNCTION pg_catalog.{function} FROM PUBLIC"));
        }
        let told = Told::by(&cluster);
        assert_eq!(told.exit, 77, "{:#?}", told.checks);
        told.assert(
            "failure lead.topology",
            &["role lead may not ask the database for its members"],
        );
        told.assert("skipped lead.writer", &["lead.topology"]);
        told.assert("ok lead.members: 1 asked", &["is not known yet"]);
        mend(&told, "| in database postgres, at the writer: ");

        cluster.members[0]
            .query("ALTER ROLE lead CREATEDB; GRANT pg_write_all_data TO lead; ALTER TABLE rows OWNER TO lead");
        let told = Told::by(&cluster);
        assert_eq!(told.exit, 0, "{:#?}", told.checks);
        told.assert(
            "warning lead.cost",
            &[
                "public.rows",
                "ALTER ROLE \"lead\" NOCREATEDB; REVOKE pg_write_all_data FROM \"lead\"",
            ],
        );
    });
}

/// Fails if somebody else's primary, which has the address of a member, is taken for one.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn an_address_that_is_somebody_elses_now_is_told() {
    play(|stage| {
        let mut cluster = Cluster::new(stage, TOPOLOGY, "");
        cluster.wait_for_word(2, "reader");
        cluster.members[2].kill();
        let told = Told::by(&cluster);
        told.assert("warning lead.login: 10.77.0.4", &["connection refused", "wait"]);
        let folder = stage.path("another");
        fs::create_dir(&folder).expect("the folder is there");
        let mut another = cluster.members[0].standby_of(&folder);
        another.certify(&Authority::new().certify(&[WRITER], NOW));
        another.start_on(MEMBERS[2].0);
        let told = Told::by(&cluster);
        assert_eq!(told.exit, 1, "{:#?}", told.checks);
        told.assert("failure lead.login: 10.77.0.4", &["no CA of the bundle", "ca_bundle"]);
        told.assert("ok lead.writer: 10.77.0.2 shows", &["10.77.0.4 impostor"]);
    });
}

/// A Multi-AZ DB cluster's functions need a grant.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn what_a_multi_az_db_cluster_lacks_is_told_with_the_grant() {
    play(|stage| {
        let cluster = Cluster::new(stage, TOOLS, "");
        let told = Told::by(&cluster);
        assert_eq!(told.exit, 77, "{:#?}", told.checks);
        told.assert("failure lead.topology", &["GRANT USAGE ON SCHEMA rds_tools"]);
        mend(&cluster, &told, "| in database postgres, at the writer: ");
        let told = Told::by(&cluster);
        told.assert_all("ok");
        told.assert("ok lead.members: 3 asked", &[MEMBERS[1].1]);
        told.assert("ok lead.topology: a Multi-AZ DB cluster", &[]);
    });
}

/// Of plain PostgreSQL the settings name the members; one that is promoted beside the writer is told.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn a_second_primary_and_one_ahead_of_dns_are_told() {
    play(|stage| {
        let others = format!(", members = [\"{}\", \"{}\"]", MEMBERS[1].1, MEMBERS[2].1);
        let mut cluster = Cluster::new(stage, "", &others);
        cluster.dns.set(MEMBERS[2].1, Behaviour::NoData);
        cluster.members[1].promote();
        cluster.wait_for_word(1, "writer");
        let told = Told::by(&cluster);
        assert_eq!(told.exit, 1, "{:#?}", told.checks);
        told.assert(
            "warning lead.members",
            &[MEMBERS[2].1, "leads nowhere", "in members of lead"],
        );
        // A cluster's name, and neither Aurora's functions nor the extension.
        told.assert("warning lead.topology", &["CREATE EXTENSION rds_tools; GRANT USAGE"]);
        told.assert(
            "failure lead.writer: 10.77.0.2, 10.77.0.3 each show",
            &["DNS alone decides", "pg_rewind"],
        );

        cluster.members[0].kill();
        let told = Told::by(&cluster);
        told.assert("failure lead.login: 10.77.0.2", &["connection refused"]);
        told.assert(
            "warning lead.writer: 10.77.0.3 shows",
            &["ahead of DNS, which still names 10.77.0.2", "moves within a minute"],
        );
    });
}

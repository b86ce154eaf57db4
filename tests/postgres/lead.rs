//! Three members of a database, and a proxy that asks them who the writer is: it is there before DNS is.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use testkit::certificate::{Authority, NOW};
use testkit::dns::{self, Behaviour};
use testkit::elb::{self, Group};
use testkit::http::ask;
use testkit::postgres::PASSWORD;
use testkit::program::wait_until;
use testkit::world::{Daemon, WRITER, assert_says, bare_command, finish, said};

use super::client::{Client, Via};
use super::server::Server;
use super::stage::{self, BlackHole, Stage};

/// Where the members are, and their names.
pub(super) const MEMBERS: [(&str, &str); 3] = [
    ("10.77.0.2", "orders-1.abc123.eu-west-1.rds.amazonaws.com"),
    ("10.77.0.3", "orders-2.abc123.eu-west-1.rds.amazonaws.com"),
    ("10.77.0.4", "orders-3.abc123.eu-west-1.rds.amazonaws.com"),
];
/// What the log says when a proof is over.
const LOST: &str = "no member shows that it is the writer";
/// Where nobody is yet, and its name.
const SPARE: (&str, &str) = ("10.77.0.5", "orders-4.abc123.eu-west-1.rds.amazonaws.com");
const SOON: Duration = Duration::from_secs(45);
/// What Aurora has, with a view of its own on each server: who is the writer is what its setting `fake.writer` says.
pub(super) const TOPOLOGY: &str = "\
    CREATE FUNCTION pg_catalog.aurora_db_instance_identifier() RETURNS text LANGUAGE sql AS \
      $$ SELECT current_setting('cluster_name') $$; \
    CREATE FUNCTION pg_catalog.aurora_replica_status(OUT server_id text, OUT session_id text) RETURNS SETOF record LANGUAGE sql AS \
      $$ SELECT id, CASE id WHEN current_setting('fake.writer') THEN 'MASTER_SESSION_ID' ELSE 'a-uuid' END \
         FROM unnest(ARRAY['orders-1', 'orders-2', 'orders-3']) id $$";

/// What an RDS Multi-AZ DB cluster has, in the same way. Who asks needs a grant.
pub(super) const TOOLS: &str = "\
    CREATE SCHEMA rds_tools; \
    CREATE FUNCTION rds_tools.dbi_resource_id() RETURNS text LANGUAGE sql AS $$ SELECT 'db-' || current_setting('cluster_name') $$; \
    CREATE FUNCTION rds_tools.multi_az_db_cluster_source_dbi_resource_id() RETURNS text LANGUAGE sql AS \
      $$ SELECT 'db-' || current_setting('fake.writer') $$; \
    CREATE FUNCTION rds_tools.show_topology(who text, OUT id text, OUT endpoint text, OUT port int) RETURNS SETOF record LANGUAGE sql AS \
      $$ SELECT 'db-' || name, name || '.abc123.eu-west-1.rds.amazonaws.com', 5432 \
         FROM unnest(ARRAY['orders-1', 'orders-2', 'orders-3']) name $$";

/// One cluster at a time: members have a second to answer, and three of them are three servers.
#[track_caller]
pub(super) fn play<F: FnOnce(&Stage)>(drama: F) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    stage::play(drama);
}

/// Three members, the name of the writer's, and a proxy and a target group whose process asks them.
pub(super) struct Cluster {
    proxy: Daemon,
    pub(super) members: Vec<Server>,
    pub(super) dns: dns::Server,
    elb: elb::Server,
    group: String,
    pub(super) listen: SocketAddr,
    pub(super) password: PathBuf,
    settings: PathBuf,
}

impl Cluster {
    /// Without functions that know the members, so that the settings name them; all have been heard.
    pub(super) fn of_plain_postgres(stage: &Stage) -> Self {
        let others = format!(", members = [\"{}\", \"{}\"]", MEMBERS[1].1, MEMBERS[2].1);
        let cluster = Self::new(stage, "", &others);
        cluster.wait_for_word(0, "writer");
        cluster.wait_for_word(1, "reader");
        cluster.wait_for_word(2, "reader");
        cluster
    }

    /// The first is the writer, and DNS says so. `topology` is what knows the members in SQL; `lead` is what the settings say of asking besides how to log in.
    pub(super) fn new(stage: &Stage, topology: &str, lead: &str) -> Self {
        for (ip, _) in MEMBERS.iter().chain([&SPARE]) {
            stage.address(ip);
        }
        let authority = Authority::new();
        let bundle = stage.path("authority.pem");
        fs::write(&bundle, &authority.pem).expect("the folder is there");
        let password = stage.path("lead.password");
        fs::write(&password, format!("{PASSWORD}\n")).expect("the folder is there");
        let mut first = Server::new(stage);
        first.certify(&authority.certify(&[WRITER], NOW));
        first.set("ssl=on");
        let own = "cluster_name='orders-1'\nfake.writer='orders-1'\n";
        fs::write(first.storage().join("postgresql.auto.conf"), own).expect("the storage is there");
        let rules = [
            "host all,replication postgres 0.0.0.0/0 trust",
            "hostssl all lead 0.0.0.0/0 scram-sha-256",
        ];
        fs::write(first.storage().join("pg_hba.conf"), rules.join("\n")).expect("the storage is there");
        first.start_on(MEMBERS[0].0);
        first.query(&format!(
            "CREATE ROLE lead LOGIN CONNECTION LIMIT 4 PASSWORD '{PASSWORD}'"
        ));
        first.query("CREATE TABLE rows (n bigint PRIMARY KEY, server text NOT NULL DEFAULT host(inet_server_addr()))");
        if !topology.is_empty() {
            first.query(topology);
        }
        let mut members = vec![first];
        for (n, (ip, _)) in MEMBERS.iter().enumerate().skip(1) {
            let folder = stage.path(&format!("member-{n}"));
            fs::create_dir(&folder).expect("the folder is there");
            let mut member = members[0].standby_of(&folder);
            member.set(&format!("cluster_name=orders-{}", n + 1));
            member.start_on(ip);
            members.push(member);
        }
        let dns = dns::Server::start();
        for (ip, name) in MEMBERS.into_iter().chain([SPARE]) {
            dns.set(name, Behaviour::a(ip, 1));
        }
        dns.set(WRITER, Behaviour::cname(MEMBERS[0].1, 1));
        let settings = stage.path("settings.toml");
        let elb = elb::Server::start();
        let group = elb.add_group(Group::named("orders"));
        elb.put_target(&group, MEMBERS[0].0, members[0].port());
        let endpoint = format!("{WRITER}:{}", members[0].port());
        let lead = format!(
            "ca_bundle = \"{}\"\nlead = {{ user = \"lead\", password_file = \"{}\"{lead} }}\n",
            bundle.display(),
            password.display(),
        );
        let text = format!(
            "[dns]\nnameservers = [\"{}\"]\n[[proxy]]\nlisten = \"127.0.0.1:0\"\nendpoint = \"{endpoint}\"\n{lead}\
             [[target_group]]\narn = \"{group}\"\nendpoints = [\"{endpoint}\"]\n{lead}",
            dns.addr(),
        );
        fs::write(&settings, text).expect("the folder is there");
        let mut command = bare_command(&elb.url());
        command.args(["run", "--http", "127.0.0.1:0", "--config"]);
        let proxy = Daemon::start(command.arg(&settings));
        let listen = proxy.told_after("listening on ");
        Self {
            listen: listen.parse().unwrap_or_else(|error| panic!("{error}: {listen}")),
            proxy,
            members,
            dns,
            elb,
            group,
            password,
            settings,
        }
    }

    /// The program with a verb and the same settings.
    pub(super) fn command(&self, verb: &str) -> Command {
        let mut command = bare_command(&self.elb.url());
        command.args([verb, "--config"]).arg(&self.settings);
        command
    }

    /// The targets that take new connections.
    fn targets(&self) -> Vec<String> {
        let targets = self.elb.targets(&self.group).into_iter();
        let registered = targets.filter(|target| target.state != "draining");
        registered.map(|target| target.ip).collect()
    }

    fn via(&self) -> Via {
        Via::at(self.listen)
    }

    /// Where a new connection ends up.
    fn leads_to(&self) -> String {
        self.via().query("SELECT host(inet_server_addr())")
    }

    /// Waits until the log says what a member shows.
    pub(super) fn wait_for_word(&self, member: usize, word: &str) {
        let words = format!("the member at {} is: {word}", MEMBERS[member].0);
        self.proxy.wait_for_log(&[&words]);
    }

    /// How often the log says that a member shows this.
    fn times_told(&self, member: usize, word: &str) -> usize {
        let words = format!("the member at {} is: {word}", MEMBERS[member].0);
        self.proxy.log().matches(&words).count()
    }

    /// Has the process take settings of which a part is another.
    fn reload(&self, part: &str, by: &str) {
        let settings = fs::read_to_string(&self.settings).expect("settings");
        assert!(settings.contains(part), "{settings}");
        let before = self.proxy.log().matches("settings reloaded").count();
        fs::write(&self.settings, settings.replace(part, by)).expect("settings");
        self.proxy.signal("HUP");
        wait_until("it is taken", || {
            self.proxy.log().matches("settings reloaded").count() > before
        });
    }

    /// Ends the session that asks a member.
    fn end_sessions(&self, member: usize) {
        self.members[member].query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lead'");
    }

    /// What a server believes of the topology.
    pub(super) fn tell(&self, member: usize, writer: &str) {
        let server = &self.members[member];
        server.query(&format!("ALTER SYSTEM SET fake.writer = '{writer}'"));
        server.query("SELECT pg_reload_conf()");
    }
}

/// Nobody waits for DNS, which goes on to name the former writer, and then flaps.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn a_promoted_member_is_led_to_before_dns_names_it() {
    play(|stage| {
        let others = format!(", members = [\"{}\", \"{}\"]", MEMBERS[1].1, MEMBERS[2].1);
        let mut cluster = Cluster::new(stage, "", &others);
        cluster
            .proxy
            .wait_for_log(&["shows that it is the writer, and DNS names it"]);
        cluster.proxy.wait_for_log(&["the member at 10.77.0.3 is: reader"]);
        cluster.proxy.wait_for_log(&["the member at 10.77.0.4 is: reader"]);
        let via = cluster.via();
        let writer = Client::start("the writer", &mut via.python(&["write"]));
        writer.wait_for("rows", SOON, |rows| (rows.len() >= 20).then_some(()));

        cluster.members[0].kill();
        cluster.members[1].promote();
        let promoted = Instant::now();
        let first = writer.wait_for("row of the new server", SOON, |rows| {
            rows.iter().find(|row| row.server == MEMBERS[1].0).map(|row| row.at)
        });
        cluster
            .proxy
            .wait_for_log(&["10.77.0.3 shows that it is the writer, ahead of DNS, which still names 10.77.0.2"]);
        let after = first.saturating_duration_since(promoted).as_secs_f64();
        stage.tell(&format!(
            "killed, promoted, DNS the same: first row {after:.2} s after the promotion"
        ));

        // The group has it, too, and the former one as long as DNS names that.
        wait_until("it is registered", || {
            cluster.targets().contains(&MEMBERS[1].0.to_owned())
        });
        assert!(cluster.targets().contains(&MEMBERS[0].0.to_owned()));

        // Everybody is told who leads whom, and what each member says.
        let page = cluster.proxy.told_after("serving http://");
        let page: SocketAddr = page.parse().expect("an address");
        let status = ask(page, "GET", "/status").body;
        let leads = &serde_json::from_str::<Value>(&status).expect("JSON")["leads"];
        assert_eq!(leads[0]["verdict"], "leads", "{status}");
        assert_eq!(leads[0]["writer"], MEMBERS[1].0, "{status}");
        assert!(leads[0]["since"].is_string(), "{status}");
        let metrics = ask(page, "GET", "/metrics").body;
        for line in [
            "rds_tether_dns_disagrees{",
            "rds_tether_members{",
            "rds_tether_lead_seconds{",
        ] {
            assert!(metrics.contains(line), "{metrics}");
        }
        let parts = [
            "members of",
            MEMBERS[1].0,
            "shows that it is the writer, ahead of DNS",
            "silent",
        ];
        let shown = ask(page, "GET", "/").body;
        assert_says(&shown.replace("Members", "members"), &parts);
        // Who looks once asks once, and a busy machine may take longer than a second to answer.
        let plan = || {
            let mut plan = bare_command(&cluster.elb.url());
            said(&finish(plan.args(["plan", "--config"]).arg(&cluster.settings)))
        };
        wait_until("plan says so, too", || parts.iter().all(|part| plan().contains(part)));
        let plan = plan();
        assert!(!plan.contains(" INFO "), "{plan}");

        // The former writer comes back as a reader, and DNS still names it.
        let folder = stage.path("member-again");
        fs::create_dir(&folder).expect("the folder is there");
        let mut former = cluster.members[1].standby_of(&folder);
        former.start_on(MEMBERS[0].0);
        cluster.proxy.wait_for_log(&["the member at 10.77.0.2 is: reader"]);
        let is_led = || cluster.leads_to() == MEMBERS[1].0;
        for _ in 0..20 {
            wait_until("it is led to", is_led);
        }
        for name in [MEMBERS[1].1, MEMBERS[0].1, MEMBERS[1].1] {
            cluster.dns.set(WRITER, Behaviour::cname(name, 1));
            assert!(
                cluster
                    .dns
                    .wait_for_queries(WRITER, cluster.dns.count(WRITER) + 2, SOON)
            );
            wait_until("it is led to", is_led);
        }
        // There, and nobody anywhere else unless the proof was late, which may happen where the whole machine is busy.
        let log = cluster.proxy.log();
        let (moves, lost) = (log.matches("moved from").count(), log.matches(LOST).count());
        assert!((1..=1 + 2 * lost).contains(&moves), "{log}");
        drop(writer);
        drop(former);
    });
}

/// Names come from the topology; who the writer is, from each itself. What others, or an old view, say of a member counts for nothing.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn a_topology_names_members_and_no_member_is_the_writer_by_the_word_of_others() {
    play(|stage| {
        let mut cluster = Cluster::new(stage, TOPOLOGY, "");
        cluster.wait_for_word(0, "writer");
        // Known by nothing but the rows of the first.
        cluster.wait_for_word(1, "reader");
        cluster.wait_for_word(2, "reader");

        // The former writer is gone, and all others believe in it.
        cluster.members[0].kill();
        cluster.members[2].promote();
        cluster.wait_for_word(2, "neither (its topology names another as the writer)");
        cluster.wait_for_word(0, "silent");
        assert!(!cluster.proxy.log().contains("ahead of DNS"), "{}", cluster.proxy.log());

        cluster.tell(2, "orders-3");
        cluster
            .proxy
            .wait_for_log(&["10.77.0.4 shows that it is the writer, ahead of DNS, which still names 10.77.0.2"]);
        // What all are told, the proxy does a moment later.
        cluster.proxy.wait_for_log(&["moved from 10.77.0.2 to 10.77.0.4"]);
        assert_eq!(cluster.leads_to(), MEMBERS[2].0);

        // A second primary, which nothing has fenced: nobody is led to either.
        cluster.members[1].promote();
        cluster.tell(1, "orders-2");
        cluster
            .proxy
            .wait_for_log(&["10.77.0.3, 10.77.0.4 each show that they are the writer; DNS alone decides"]);
        cluster.dns.set(WRITER, Behaviour::cname(MEMBERS[1].1, 1));
        cluster.proxy.wait_for_log(&["moved from", "10.77.0.3"]);
        assert_eq!(cluster.leads_to(), MEMBERS[1].0);
    });
}

/// Where DNS names a reader and nobody is the writer, clients wait for one instead of being sent to the reader.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn clients_wait_while_dns_names_a_reader_and_nobody_is_the_writer() {
    play(|stage| {
        let mut cluster = Cluster::of_plain_postgres(stage);
        cluster.members[0].kill();
        cluster.dns.set(WRITER, Behaviour::cname(MEMBERS[2].1, 1));
        cluster
            .proxy
            .wait_for_log(&["DNS names readers only (10.77.0.4), and no member is the writer"]);
        // New settings change nothing about that, but for how long.
        cluster.reload("user = \"lead\"", "patience = \"29s\", user = \"lead\"");
        let page: SocketAddr = cluster.proxy.told_after("serving http://").parse().expect("an address");
        let held = || {
            let metrics = ask(page, "GET", "/metrics").body;
            metrics
                .lines()
                .any(|line| line.starts_with("rds_tether_proxy_held{") && line.ends_with(" 1.0"))
        };
        let via = cluster.via();
        let mut waiting = via.psql("SELECT host(inet_server_addr())");
        let client = std::thread::spawn(move || testkit::program::succeed(&mut waiting));
        wait_until("it waits", held);
        cluster.members[1].promote();
        assert_eq!(client.join().expect("its output").trim(), MEMBERS[1].0);

        // Nobody waits for longer than patience says.
        cluster.reload("patience = \"29s\"", "patience = \"2s\"");
        cluster.members[1].kill();
        let mut waiting = via.psql("SELECT host(inet_server_addr())");
        let client = std::thread::spawn(move || testkit::program::succeed(&mut waiting));
        assert_eq!(client.join().expect("its output").trim(), MEMBERS[2].0);
    });
}

/// Who does not let us in has not said anything: everything is as without asking, and the log says what is missing.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn a_member_that_does_not_let_us_in_decides_nothing() {
    play(|stage| {
        let cluster = Cluster::new(stage, "", &format!(", members = [\"{}\"]", MEMBERS[1].1));
        cluster.wait_for_word(0, "writer");
        cluster.wait_for_word(1, "reader");
        // It has another password than the file says.
        fs::write(&cluster.password, "wrong\n").expect("the folder is there");
        cluster.end_sessions(1);
        cluster.proxy.wait_for_log(&[
            MEMBERS[1].0,
            "does not tell who the writer is",
            "password authentication failed",
        ]);
        assert_eq!(cluster.leads_to(), MEMBERS[0].0);
        fs::write(&cluster.password, format!("{PASSWORD}\n")).expect("the folder is there");
        cluster.members[0].query("ALTER ROLE lead NOLOGIN");
        cluster.end_sessions(0);
        cluster.proxy.wait_for_log(&[
            "the member at 10.77.0.2 does not tell who the writer is",
            "not permitted to log in",
        ]);
        assert_eq!(cluster.leads_to(), MEMBERS[0].0);
        // Where DNS goes, clients go, too.
        cluster.dns.set(WRITER, Behaviour::cname(MEMBERS[2].1, 1));
        cluster.proxy.wait_for_log(&["moved from 10.77.0.2 to 10.77.0.4"]);
        assert_eq!(cluster.leads_to(), MEMBERS[2].0);
    });
}

/// Who is not the writer that DNS names may do what it likes short of showing that it is: everything stays as DNS says.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn what_shows_nothing_changes_nothing() {
    play(|stage| {
        let mut cluster = Cluster::of_plain_postgres(stage);
        let holds = |cluster: &Cluster, member: usize, word: &str| {
            cluster.wait_for_word(member, word);
            assert_eq!(cluster.leads_to(), MEMBERS[0].0, "{word}");
        };
        // It stands still, and goes on.
        cluster.members[2].signal(Signal::STOP);
        holds(&cluster, 2, "silent (no answer in time)");
        cluster.members[2].signal(Signal::CONT);
        wait_until("it is heard again", || cluster.times_told(2, "reader") == 2);
        // Nothing comes through.
        let hole = BlackHole::open(MEMBERS[2].0.parse().expect("an address"));
        wait_until("it is missed", || cluster.times_told(2, "silent") >= 2);
        assert_eq!(cluster.leads_to(), MEMBERS[0].0);
        drop(hole);
        wait_until("it is heard again", || cluster.times_told(2, "reader") == 3);
        // It has no room for our session.
        cluster.members[0].query("ALTER ROLE lead CONNECTION LIMIT 0");
        let has_heard = || cluster.members[2].query("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'lead'") == "0";
        wait_until("all know of it", has_heard);
        cluster.end_sessions(2);
        cluster
            .proxy
            .wait_for_log(&[MEMBERS[2].0, "does not tell who the writer is", "too many connections"]);
        assert_eq!(cluster.leads_to(), MEMBERS[0].0);
        cluster.members[0].query("ALTER ROLE lead CONNECTION LIMIT 4");
        wait_until("it is heard again", || cluster.times_told(2, "reader") == 4);

        // Somebody else's primary at the address of a member.
        cluster.members[2].kill();
        let folder = stage.path("another");
        fs::create_dir(&folder).expect("the folder is there");
        let mut another = cluster.members[0].standby_of(&folder);
        another.certify(&Authority::new().certify(&[WRITER], NOW));
        another.start_on(MEMBERS[2].0);
        another.promote();
        cluster
            .proxy
            .wait_for_log(&[MEMBERS[2].0, "does not tell who the writer is", "certificate"]);
        assert_eq!(cluster.leads_to(), MEMBERS[0].0);
        drop(another);

        // The only primary left takes no writes: it is the writer no sooner than it does.
        cluster.members[0].kill();
        cluster.wait_for_word(0, "silent");
        cluster.members[1].query("ALTER SYSTEM SET default_transaction_read_only = on");
        cluster.members[1].query("SELECT pg_reload_conf()");
        cluster.members[1].promote();
        cluster.wait_for_word(1, "neither (it is read-only: transaction_read_only is on)");
        assert!(!cluster.proxy.log().contains("ahead of DNS"), "{}", cluster.proxy.log());
        cluster.members[1].query("ALTER SYSTEM RESET default_transaction_read_only");
        cluster.members[1].query("SELECT pg_reload_conf()");
        cluster.proxy.wait_for_log(&["ahead of DNS"]);
        wait_until("it is led to", || cluster.leads_to() == MEMBERS[1].0);
    });
}

/// The storage of a database, slot included, goes to another host, as in an RDS failover, and DNS never follows.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn a_consumer_resumes_at_the_writer_that_dns_never_names_and_loses_no_row() {
    play(|stage| {
        let others = format!(", members = [\"{}\"]", SPARE.1);
        let mut cluster = Cluster::new(stage, "", &others);
        cluster.wait_for_word(0, "writer");
        let via = cluster.via();
        via.query("SELECT pg_create_logical_replication_slot('stream', 'test_decoding')");
        let writer = Client::start("the writer", &mut via.python(&["write"]));
        let consumer = Client::start("pg_recvlogical", &mut via.recvlogical("stream"));
        writer.wait_for("rows", SOON, |rows| (rows.len() >= 20).then_some(()));
        consumer.wait_for("rows", SOON, |rows| (rows.len() >= 10).then_some(()));

        cluster.members[0].kill();
        cluster.members[0].start_on(SPARE.0);
        let back = Instant::now();
        let first = writer.wait_for("row of the new host", SOON, |rows| {
            rows.iter().find(|row| row.server == SPARE.0).map(|row| row.at)
        });
        stage.tell(&format!(
            "storage moves, DNS never follows: first row {:.2} s after the new host took sessions",
            first.saturating_duration_since(back).as_secs_f64()
        ));
        // A reader where DNS goes on to lead.
        let folder = stage.path("member-again");
        fs::create_dir(&folder).expect("the folder is there");
        let mut reader = cluster.members[0].standby_of(&folder);
        reader.start_on(MEMBERS[0].0);
        cluster.wait_for_word(0, "reader");
        let committed = writer.numbers();
        let last = *committed.last().expect("rows");
        consumer.wait_for("last row", SOON, |rows| {
            rows.iter().any(|row| row.number >= last).then_some(())
        });
        let received = consumer.numbers();
        let lost: Vec<_> = committed.difference(&received).collect();
        assert_eq!(lost, Vec::<&u64>::new(), "{}", consumer.said());
        drop(reader);
    });
}

/// A Multi-AZ DB cluster tells of its members, once it may be asked; until then DNS alone decides, and the log has the grant.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn a_multi_az_cluster_is_asked_once_it_may_be() {
    play(|stage| {
        let mut cluster = Cluster::new(stage, TOOLS, "");
        cluster.proxy.wait_for_log(&[
            MEMBERS[0].0,
            "does not tell who the writer is",
            "GRANT USAGE ON SCHEMA rds_tools TO \"lead\"",
        ]);
        assert_eq!(cluster.leads_to(), MEMBERS[0].0);
        cluster.members[0].query("GRANT USAGE ON SCHEMA rds_tools TO lead");
        cluster.wait_for_word(0, "writer");
        // Known by nothing but the rows of the first.
        cluster.wait_for_word(1, "reader");
        cluster.wait_for_word(2, "reader");
        cluster.members[0].kill();
        cluster.members[2].promote();
        cluster.wait_for_word(2, "neither (its topology names another as the writer)");
        cluster.tell(2, "orders-3");
        cluster
            .proxy
            .wait_for_log(&["10.77.0.4 shows that it is the writer, ahead of DNS, which still names 10.77.0.2"]);
        wait_until("it is led to", || cluster.leads_to() == MEMBERS[2].0);
    });
}

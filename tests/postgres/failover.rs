//! The server moves, and its consumers receive every row that was committed at either address.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::client::{Client, Row};
use super::site::{LINGER_SECS, NEW, OLD, Site, TTL_SECS};
use super::stage::{self, BlackHole, Stage};

/// How long a test waits for what takes no certain time.
const SOON: Duration = Duration::from_secs(45);
/// Sessions are closed when the answer that named their address has expired and they have lingered; the rest is for a busy
/// machine.
const CUT_MAX: Duration = Duration::from_secs((TTL_SECS + LINGER_SECS + 5) as u64);
/// By then everybody is at work at the new address: sooner than by any other way of noticing that the old one is gone, of
/// which keepalive, with 19 s, is the fastest. pg_recvlogical waits for 5 s before it connects anew.
const BACK_MAX: Duration = Duration::from_secs(16);
/// Rows that are written without the proxy have numbers that the writer does not reach: before, and after the failover.
const DIRECT_OLD: &str = "1000001, 1000100";
const DIRECT_NEW: &str = "2000001, 2000100";

/// Consumers that follow the rows of a table, and a writer, all through the proxy.
struct Traffic {
    consumers: [Client; 2],
    writer: Client,
}

impl Traffic {
    fn start(site: &Site) -> Self {
        site.server.query(
            "CREATE TABLE rows (n bigint PRIMARY KEY, server text NOT NULL DEFAULT host(inet_server_addr())); \
             CREATE PUBLICATION changes FOR TABLE rows WITH (publish = 'insert')",
        );
        site.server
            .query("SELECT pg_create_logical_replication_slot('recvlogical', 'test_decoding')");
        site.server
            .query("SELECT pg_create_logical_replication_slot('python', 'pgoutput')");
        let via = site.via();
        Self {
            consumers: [
                Client::start("pg_recvlogical", &mut via.recvlogical("recvlogical")),
                Client::start("psycopg2", &mut via.python(&["consume", "python"])),
            ],
            writer: Client::start("the writer", &mut via.python(&["write"])),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Client> {
        self.consumers.iter().chain([&self.writer])
    }

    /// Waits until everybody is at work at the old address, and writes rows there that nobody may have received yet.
    fn settle(&self, site: &Site) {
        for client in self.all() {
            client.wait_for("rows", SOON, |rows| (rows.len() >= 20).then_some(()));
        }
        write_directly(site, DIRECT_OLD);
    }

    /// Waits until everybody is at work at the new address, and compares what was received with what is there.
    fn compare(mut self, stage: &Stage, site: &Site, flipped: Instant) {
        let first = |rows: &[Row]| rows.iter().find(|row| row.server == NEW).cloned();
        for client in self.all() {
            let first = client.wait_for("row of the new server", SOON, first);
            let after = first.at.saturating_duration_since(flipped);
            assert!(after < BACK_MAX, "{}: {after:?}\n{}", client.name, site.proxy.log());
            let after = after.as_secs_f64();
            stage.tell(&format!("  {}: first new row {after:.2} s after the flip", client.name));
        }
        write_directly(site, DIRECT_NEW);
        let acknowledged = self.writer.numbers();
        drop(self.writer);
        let committed = site.server.query("SELECT n FROM rows");
        let committed: BTreeSet<u64> = committed.lines().map(|line| line.parse().expect("a number")).collect();
        assert!(committed.len() > 240, "{} rows", committed.len());
        let lost: Vec<&u64> = acknowledged.difference(&committed).collect();
        assert!(lost.is_empty(), "acknowledged but not there: {lost:?}");
        for consumer in &mut self.consumers {
            let all = |rows: &[Row]| {
                let received: BTreeSet<u64> = rows.iter().map(|row| row.number).collect();
                received.is_superset(&committed).then_some(rows.len())
            };
            let received = consumer.wait_for("complete set of the committed rows", SOON, all);
            assert!(
                consumer.runs(),
                "{} connects anew, it is not started anew:\n{}",
                consumer.name,
                consumer.said()
            );
            let committed = committed.len();
            stage.tell(&format!(
                "  {}: {committed} rows committed, {received} received",
                consumer.name
            ));
        }
    }
}

fn write_directly(site: &Site, from_to: &str) {
    site.server
        .query(&format!("INSERT INTO rows SELECT generate_series({from_to})"));
}

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn dns_names_the_new_address_before_the_server_is_there() {
    stage::play(|stage| {
        let mut site = Site::new(stage);
        let traffic = Traffic::start(&site);
        traffic.settle(&site);

        site.server.kill();
        site.flip();
        let flipped = Instant::now();
        site.proxy.wait_for_log(&["moved from", OLD, NEW]);
        // The consumers and the writer come back, and wait.
        site.proxy.wait_for_log(&[NEW, "does not accept connections"]);
        site.server.start_on(NEW);
        let started = flipped.elapsed().as_secs_f64();
        stage.tell(&format!(
            "old server killed, DNS flips, new server ready {started:.2} s later"
        ));

        traffic.compare(stage, &site, flipped);
        site.stop_proxy();
    });
}

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn dns_names_the_new_address_after_the_server_is_there() {
    stage::play(|stage| {
        let mut site = Site::new(stage);
        let traffic = Traffic::start(&site);
        traffic.settle(&site);

        site.server.kill();
        site.server.start_on(NEW);
        site.proxy.wait_for_log(&[OLD, "does not accept connections"]);
        site.flip();
        let flipped = Instant::now();
        stage.tell("old server killed, new server ready, DNS flips");

        traffic.compare(stage, &site, flipped);
        site.stop_proxy();
    });
}

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn sessions_to_an_address_that_fell_silent_are_closed_when_dns_names_another() {
    stage::play(|stage| {
        let mut site = Site::new(stage);
        let traffic = Traffic::start(&site);
        traffic.settle(&site);

        let _hole = BlackHole::open(OLD.parse().expect("an address"));
        site.server.kill();
        site.server.start_on(NEW);
        site.flip();
        let flipped = Instant::now();
        site.proxy.wait_for_log(&["closed", OLD, "which DNS no longer names"]);
        let cut = flipped.elapsed();
        assert!(cut < CUT_MAX, "closed after {cut:?}");
        stage.tell(&format!(
            "old server vanishes, new server ready, DNS flips, old sessions closed {:.2} s later",
            cut.as_secs_f64()
        ));

        traffic.compare(stage, &site, flipped);
        site.stop_proxy();
    });
}

//! Clients of the server, and the rows that they write or receive.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testkit::postgres;
use testkit::program::{provided, succeed};

/// How a client reaches the server: the environment that libpq reads.
#[derive(Clone)]
pub struct Via(Vec<(String, String)>);

impl Via {
    /// Unencrypted.
    pub fn plain(ip: &str, port: u16) -> Self {
        Self(Vec::new())
            .with("PGHOST", ip)
            .with("PGPORT", &port.to_string())
            .with("PGUSER", "postgres")
            .with("PGDATABASE", "postgres")
    }

    /// Unencrypted, at an address.
    pub fn at(address: SocketAddr) -> Self {
        Self::plain(&address.ip().to_string(), address.port())
    }

    /// With one variable changed.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.into(), value.into()));
        self
    }

    /// A client program of PostgreSQL.
    pub fn program(&self, name: &str) -> Command {
        let mut command = postgres::program(name);
        command.envs(self.0.iter().cloned());
        command
    }

    /// psql with statements that end at the first error, and output that is easy to read.
    pub fn psql(&self, sql: &str) -> Command {
        let mut command = self.program("psql");
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        command
    }

    /// What a query returns.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        succeed(&mut self.psql(sql)).trim().to_owned()
    }

    /// pg_recvlogical from a slot to its standard output.
    pub fn recvlogical(&self, slot: &str) -> Command {
        let mut command = self.program("pg_recvlogical");
        command.args(["-d", "postgres", "--slot", slot, "--start", "-f", "-"]);
        command
    }

    /// Our Python clients.
    pub fn python(&self, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/clients.py");
        let mut command = Command::new(provided("RDS_TETHER_TEST_PYTHON"));
        command
            .arg(script)
            .args(arguments)
            .env_clear()
            .envs(self.0.iter().cloned());
        command
    }
}

/// A row, and when it was seen.
#[derive(Clone, Debug)]
pub struct Row {
    pub number: u64,
    /// The address of the server that it was written to.
    pub server: String,
    pub at: Instant,
}

impl Row {
    /// Reads `17 127.0.0.2`, or a line of test_decoding. Other lines, such as those on transactions, have no row.
    fn read(line: &str) -> Option<Self> {
        let plain = line
            .replace("n[bigint]:", "")
            .replace("server[text]:", "")
            .replace('\'', "");
        let row = plain.split_once("INSERT: ").map_or(plain.as_str(), |(_, row)| row);
        let (number, server) = row.split_once(' ')?;
        Some(Self {
            number: number.parse().ok()?,
            server: server.to_owned(),
            at: Instant::now(),
        })
    }
}

/// A client that prints rows; killed when dropped.
pub struct Client {
    pub name: &'static str,
    child: Child,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

#[derive(Default)]
struct Seen {
    rows: Vec<Row>,
    /// What it said that is no row, and on standard error.
    said: String,
}

impl Client {
    pub fn start(name: &'static str, command: &mut Command) -> Self {
        let spawned = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let seen = Arc::<(Mutex<Seen>, Condvar)>::default();
        let rows = BufReader::new(child.stdout.take().expect("piped"));
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        let (seen_out, seen_errors) = (Arc::clone(&seen), Arc::clone(&seen));
        thread::spawn(move || {
            rows.lines()
                .map_while(Result::ok)
                .for_each(|line| note(&seen_out, &line))
        });
        thread::spawn(move || {
            errors
                .lines()
                .map_while(Result::ok)
                .for_each(|line| note(&seen_errors, &line))
        });
        Self { name, child, seen }
    }

    /// Waits for something about its rows.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, limit: Duration, found: impl Fn(&[Row]) -> Option<T>) -> T {
        let (seen, more) = &*self.seen;
        let end = Instant::now() + limit;
        let mut seen = seen.lock().expect("rows");
        loop {
            if let Some(found) = found(&seen.rows) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{}: no {what} after {} rows:\n{}",
                self.name,
                seen.rows.len(),
                seen.said
            );
            seen = more.wait_timeout(seen, left).expect("rows").0;
        }
    }

    /// The numbers of the rows so far.
    pub fn numbers(&self) -> BTreeSet<u64> {
        let seen = self.seen.0.lock().expect("rows");
        seen.rows.iter().map(|row| row.number).collect()
    }

    /// What else it said.
    pub fn said(&self) -> String {
        self.seen.0.lock().expect("rows").said.clone()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn note(seen: &(Mutex<Seen>, Condvar), line: &str) {
    let (seen, more) = seen;
    let mut seen = seen.lock().expect("rows");
    match Row::read(line) {
        Some(row) => seen.rows.push(row),
        None if line.starts_with("BEGIN") || line.starts_with("COMMIT") => {}
        None => seen.said.extend([line, "\n"]),
    }
    more.notify_all();
}

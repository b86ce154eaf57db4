//! Who writes numbered rows, and who receives them by logical replication.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use testkit::postgres;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

/// Between two writes, and before a new connection.
const WRITES_APART: Duration = Duration::from_millis(15);
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// When a writer gives a connection up: of a host that has vanished nothing else tells.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How somebody reaches the database.
#[derive(Clone)]
pub enum Via {
    /// At the address of now, which he knows without DNS.
    Direct(Arc<Mutex<Ipv4Addr>>, u16),
    /// Through a load balancer or a proxy.
    At(SocketAddr),
}

impl Via {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Direct(truth, port) => (*truth.lock().unwrap_or_else(PoisonError::into_inner), *port).into(),
            Self::At(address) => *address,
        }
    }
}

/// Who writes the rows 1, 2, 3 and so on under a name: the next one when one was acknowledged, and never one without its predecessor.
pub struct Writer {
    pub name: &'static str,
    shared: Arc<(Mutex<Written>, AtomicBool)>,
    thread: Option<JoinHandle<()>>,
}

/// What a writer has come to.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// The last row that was acknowledged.
    pub acknowledged: i64,
    pub connections: u64,
    /// The longest time without an acknowledgement.
    pub longest: Duration,
    latest: Instant,
}

impl Writer {
    pub fn start(name: &'static str, via: Via) -> Self {
        let written = Written {
            acknowledged: 0,
            connections: 0,
            longest: Duration::ZERO,
            latest: Instant::now(),
        };
        let shared = Arc::new((Mutex::new(written), AtomicBool::new(false)));
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    while !shared.1.load(Ordering::Relaxed) {
                        // Whatever it is, a new connection is the answer.
                        let _ = write(name, via.address(), &shared).await;
                        tokio::time::sleep(AGAIN_AFTER).await;
                    }
                });
            }
        });
        Self {
            name,
            shared,
            thread: Some(thread),
        }
    }

    pub fn written(&self) -> Written {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it come to its end; what it has come to.
    pub fn end(&mut self) -> Written {
        self.shared.1.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
        self.written()
    }
}

async fn write(
    name: &str,
    to: SocketAddr,
    shared: &(Mutex<Written>, AtomicBool),
) -> Result<(), Box<dyn std::error::Error>> {
    let (client, connection) = timeout(ANSWER_MAX, connect(to)).await??;
    let locked = || shared.0.lock().unwrap_or_else(PoisonError::into_inner);
    locked().connections += 1;
    let written = async {
        while !shared.1.load(Ordering::Relaxed) {
            let next = locked().acknowledged + 1;
            // It may have been committed before the connection ended.
            let sql = format!("INSERT INTO rows VALUES ('{name}', {next}) ON CONFLICT DO NOTHING");
            timeout(ANSWER_MAX, client.batch_execute(&sql)).await??;
            {
                let (mut written, now) = (locked(), Instant::now());
                written.acknowledged = next;
                written.longest = written.longest.max(now.duration_since(written.latest));
                written.latest = now;
            }
            tokio::time::sleep(WRITES_APART).await;
        }
        Ok(())
    };
    let written = written.await;
    connection.abort();
    written
}

async fn connect(
    to: SocketAddr,
) -> Result<(Client, tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>), Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let mut config = Config::new();
    config.user("postgres").dbname("postgres");
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    Ok((client, tokio::spawn(connection)))
}

/// What a consumer has received.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Of each writer, the last row.
    pub last: BTreeMap<String, i64>,
    pub rows: u64,
    /// Rows that had come in an earlier session.
    pub again: u64,
    pub bytes: u64,
    /// Sessions in which rows came.
    pub sessions: u64,
    /// What is wrong with the order of the rows.
    pub wrong: Vec<String>,
    /// What the client said last.
    pub said: String,
}

/// A client of logical replication, pg_recvlogical, that is started anew whenever its connection ends.
pub struct Consumer {
    pub name: &'static str,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Received>,
    is_over: AtomicBool,
    child: Mutex<Option<Child>>,
}

impl Consumer {
    /// Streams from the slot of its name.
    pub fn start(name: &'static str, via: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while !shared.is_over.load(Ordering::Relaxed) {
                    consume(name, via, &shared);
                    sleep(AGAIN_AFTER);
                }
            }
        });
        Self {
            name,
            shared,
            thread: Some(thread),
        }
    }

    pub fn received(&self) -> Received {
        self.shared.received().clone()
    }

    /// Ends it; what it has received.
    pub fn end(&mut self) -> Received {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(child) = self.shared.child().as_mut() {
            let _ = child.kill();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
        self.received()
    }
}

impl Shared {
    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session.
fn consume(slot: &str, via: SocketAddr, shared: &Shared) {
    let mut command = postgres::program("pg_recvlogical");
    command
        .args([
            "--no-loop",
            "--status-interval",
            "1",
            "--start",
            "--slot",
            slot,
            "-f",
            "-",
        ])
        .args(["-h", &via.ip().to_string(), "-p", &via.port().to_string()])
        .args(["-U", "postgres", "-d", "postgres"])
        // The least there is: of a host that has vanished nothing else tells.
        .env("PGCONNECT_TIMEOUT", "2")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("pg_recvlogical starts");
    let rows = BufReader::new(child.stdout.take().expect("piped"));
    let errors = BufReader::new(child.stderr.take().expect("piped"));
    *shared.child() = Some(child);
    if shared.is_over.load(Ordering::Relaxed) {
        let _ = shared.child().as_mut().map(Child::kill);
    }
    let mut session = Session::default();
    for line in rows.lines().map_while(Result::ok) {
        let mut received = shared.received();
        received.bytes += line.len() as u64 + 1;
        if let Some((writer, number)) = row(&line) {
            session.take(&mut received, writer, number);
        }
    }
    let said: Vec<String> = errors.lines().map_while(Result::ok).collect();
    shared.received().said = said.join("; ");
    if let Some(mut child) = shared.child().take() {
        let _ = child.wait();
    }
}

/// The rows of one session so far.
#[derive(Default)]
struct Session {
    last: BTreeMap<String, i64>,
}

impl Session {
    /// A session gives the rows of each writer in the order of their commits, each once and none left out. It may begin before what was
    /// received last, as the server does not know of all that was, and never after it.
    fn take(&mut self, received: &mut Received, writer: &str, number: i64) {
        let before = received.last.get(writer).copied().unwrap_or(0);
        let in_session = self.last.insert(writer.to_owned(), number);
        let is_next = match in_session {
            Some(last) => number == last + 1,
            None => (1..=before + 1).contains(&number),
        };
        if !is_next && received.wrong.len() < 20 {
            received.wrong.push(format!(
                "row {number} of {writer} after {in_session:?} in this session and {before} in all"
            ));
        }
        received.sessions += u64::from(self.last.len() == 1 && in_session.is_none());
        received.rows += 1;
        received.again += u64::from(number <= before);
        received.last.insert(writer.to_owned(), number.max(before));
    }
}

/// Reads a line of test_decoding: `table public.rows: INSERT: writer[text]:'direct' n[bigint]:17`.
fn row(line: &str) -> Option<(&str, i64)> {
    let (_, row) = line.split_once("INSERT: writer[text]:'")?;
    let (writer, number) = row.split_once("' n[bigint]:")?;
    Some((writer, number.parse().ok()?))
}

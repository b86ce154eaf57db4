//! A client that writes through one proxy, and connects anew whenever its session ends, or for each write.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls};

use crate::cluster::MEMBERS;

/// Between two writes, and before a new connection.
const APART: Duration = Duration::from_millis(5);

/// How long a connection for one write may take.
const GIVEN_UP: Duration = Duration::from_millis(200);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("{0}")]
    Lost(#[from] std::io::Error),
    #[error("{0}")]
    Refused(#[from] Error),
}

/// What a client has seen.
#[derive(Default)]
struct Seen {
    /// The server of the latest write, and since when without a write elsewhere.
    at: Option<(String, Instant)>,
}

pub struct Lane {
    pub name: &'static str,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    wrong: Arc<AtomicUsize>,
}

impl Lane {
    /// Writes until the process ends, in one session for as long as that lasts.
    pub fn start(name: &'static str, via: SocketAddr) -> Self {
        Self::go(name, via, false)
    }

    /// The same with a connection for each write, of which one that takes a while is given up.
    pub fn start_anew(name: &'static str, via: SocketAddr) -> Self {
        Self::go(name, via, true)
    }

    fn go(name: &'static str, via: SocketAddr, is_anew: bool) -> Self {
        let lane = Self {
            name,
            seen: Arc::default(),
            wrong: Arc::default(),
        };
        let (seen, wrong) = (Arc::clone(&lane.seen), Arc::clone(&lane.wrong));
        thread::spawn(move || {
            runtime().block_on(async {
                loop {
                    let writing = write(via, &seen, is_anew);
                    let ended = match is_anew {
                        true => tokio::time::timeout(GIVEN_UP, writing).await.unwrap_or(Ok(())),
                        false => writing.await,
                    };
                    if let Err(Failed::Refused(error)) = ended
                        && error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
                    {
                        wrong.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(APART).await;
                }
            });
        });
        lane
    }

    /// Waits for a write at a member, and tells when the first one in a row was, if there is one in time.
    pub fn wait_at(&self, member: usize, end: Instant) -> Option<Instant> {
        let (seen, more) = &*self.seen;
        let server = MEMBERS[member].0.to_string();
        let mut guard = seen.lock().expect("what it has seen");
        loop {
            match &guard.at {
                Some((at, since)) if *at == server => return Some(*since),
                _ => {}
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            guard = more.wait_timeout(guard, left).expect("what it has seen").0;
        }
    }

    /// Forgets what it has met so far.
    pub fn forget(&self) {
        self.wrong.store(0, Ordering::Relaxed);
    }

    /// The connections that a reader has answered.
    pub fn wrong(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }
}

async fn write(via: SocketAddr, seen: &(Mutex<Seen>, Condvar), is_once: bool) -> Result<(), Failed> {
    let (client, connection) = connect(via).await?;
    let written = async {
        loop {
            let row = client
                .query_one(
                    "INSERT INTO rows VALUES (now()) RETURNING host(inet_server_addr())",
                    &[],
                )
                .await?;
            let (server, now) = (row.get::<_, String>(0), Instant::now());
            {
                let mut guard = seen.0.lock().expect("what it has seen");
                if guard.at.as_ref().is_none_or(|(at, _)| *at != server) {
                    guard.at = Some((server, now));
                }
                seen.1.notify_all();
            }
            if is_once {
                return Ok(());
            }
            tokio::time::sleep(APART).await;
        }
    };
    let ended = written.await;
    connection.abort();
    ended
}

/// What one statement comes to.
pub fn ask(at: SocketAddr, sql: &str) -> Result<(), Failed> {
    runtime().block_on(async {
        let (client, connection) = connect(at).await?;
        let ended = client.batch_execute(sql).await;
        connection.abort();
        Ok(ended?)
    })
}

/// A number that one statement gives.
pub fn number(at: SocketAddr, sql: &str) -> Result<i64, Failed> {
    runtime().block_on(async {
        let (client, connection) = connect(at).await?;
        let row = client.query_one(sql, &[]).await;
        connection.abort();
        Ok(row?.get(0))
    })
}

async fn connect(at: SocketAddr) -> Result<(Client, JoinHandle<Result<(), Error>>), Failed> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let mut config = Config::new();
    config.user("postgres").dbname("postgres");
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    Ok((client, tokio::spawn(connection)))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

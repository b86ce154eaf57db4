//! A thread with a runtime of its own: it accepts connections and carries them, and shares nothing that has to be waited for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{error, warn};

use super::session::{Seat, Sessions};
use super::shared::{Counts, Phase, Seats, Shared};
use super::{session, socket};
use crate::text::Told;

/// How long accepting rests when descriptors or memory have run out.
const REST: Duration = Duration::from_millis(100);

/// The part of one proxy that a worker serves.
pub struct Job {
    pub shared: Arc<Shared>,
    pub listener: std::net::TcpListener,
    pub is_inherited: bool,
    pub accepting: Accepting,
}

/// Counts a thread among those that accept connections of a proxy, until dropped.
pub struct Accepting(Arc<Shared>);

impl Accepting {
    pub fn new(shared: &Arc<Shared>) -> Self {
        shared.accepting.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        // Whoever sees this also sees the connections that were accepted before.
        self.0.accepting.fetch_sub(1, Ordering::AcqRel);
        self.0.idle.notify_one();
    }
}

/// Threads that serve proxies.
pub struct Workers {
    threads: Vec<mpsc::UnboundedSender<Job>>,
    seats: Arc<Seats>,
}

impl Workers {
    /// Starts one thread per processor that this process may use.
    pub fn start() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            threads: (0..threads).map(start).collect::<io::Result<_>>()?,
            seats: Arc::default(),
        })
    }

    pub fn len(&self) -> usize {
        self.threads.len()
    }

    pub fn seats(&self) -> &Arc<Seats> {
        &self.seats
    }

    /// Gives each thread its part of a proxy.
    pub fn serve(&self, jobs: impl Iterator<Item = Job>) {
        for (worker, job) in self.threads.iter().zip(jobs) {
            if worker.send(job).is_err() {
                error!("a thread of the proxy has ended; restart the process");
            }
        }
    }
}

fn start(index: usize) -> io::Result<mpsc::UnboundedSender<Job>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, mut jobs) = mpsc::unbounded_channel();
    thread::Builder::new().name(format!("proxy-{index}")).spawn(move || {
        runtime.block_on(async move {
            while let Some(job) = jobs.recv().await {
                tokio::spawn(serve(job));
            }
        });
    })?;
    Ok(sender)
}

async fn serve(job: Job) {
    let listener = match TcpListener::from_std(job.listener) {
        Ok(listener) => listener,
        Err(error) => return error!("cannot accept connections: {error}"),
    };
    let sessions = Arc::new(Sessions::new(Arc::clone(&job.shared)));
    let mut phase = job.shared.phase.clone();
    tokio::select! {
        () = accept_all(&listener, &sessions) => {}
        _ = phase.wait_for(|phase| *phase > Phase::Open) => {}
        () = sessions.reap() => {}
    }
    if let (false, Ok(listener)) = (job.is_inherited, listener.into_std()) {
        // Those that wait already would be reset with the socket. The runtime may not have heard of them yet.
        admit_waiting(&sessions, &listener);
    }
    drop(job.accepting);
    sessions.reap().await;
}

fn admit_waiting(sessions: &Arc<Sessions>, listener: &std::net::TcpListener) {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                if let Ok(stream) = stream {
                    admit(sessions, stream, peer);
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => return,
        }
    }
}

async fn accept_all(listener: &TcpListener, sessions: &Arc<Sessions>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(sessions, stream, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                sessions.shared().lacks(&error, "wait");
                sleep(REST).await;
            }
        }
    }
}

/// Whether a failure to accept concerns a connection that went away while it waited (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | TimedOut
    )
}

/// Takes a connection that may be one, and refuses another with a reset.
fn admit(sessions: &Arc<Sessions>, stream: TcpStream, peer: SocketAddr) {
    let shared = sessions.shared();
    let settings = Arc::clone(&shared.settings.borrow());
    let refuse = |stream, trouble: &Told, why: std::fmt::Arguments<'_>| {
        Counts::add(&shared.counts.refused);
        if trouble.is_due(shared.clock.now()) {
            warn!(endpoint = %settings.endpoint, "a connection from {} is refused: {why}", peer.ip().to_canonical());
        }
        socket::reset(stream);
    };
    if !settings.may_connect(peer.ip()) {
        return refuse(stream, &shared.troubles.peer, format_args!("no --allow-peer names it"));
    }
    let seat = match Seat::take(shared, settings.max_sessions) {
        Ok(seat) => seat,
        Err(none) => return refuse(stream, &shared.troubles.limit, format_args!("{none}")),
    };
    tokio::spawn(session::open(Arc::clone(sessions), settings, stream, peer, seat));
}

//! A thread with a runtime of its own: it accepts connections and carries them, and shares nothing that has to be waited for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{error, warn};

use super::session::{Seat, Sessions};
use super::{Counts, Phase, Shared, Trouble, session, socket};

/// How long accepting rests when descriptors or memory have run out.
const REST: Duration = Duration::from_millis(100);

/// What a worker serves: connections of one proxy.
pub struct Job {
    pub shared: Arc<Shared>,
    pub listener: std::net::TcpListener,
    pub is_inherited: bool,
}

/// Threads that serve proxies.
pub struct Workers(Vec<mpsc::UnboundedSender<Job>>);

impl Workers {
    /// Starts one thread per processor that this process may use.
    pub fn start() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).map(start).collect::<io::Result<_>>().map(Self)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives each thread its part of a proxy.
    pub fn serve(&self, jobs: impl Iterator<Item = Job>) {
        for (worker, job) in self.0.iter().zip(jobs) {
            if worker.send(job).is_err() {
                error!("a thread of the proxy has ended; restart the process");
            }
        }
    }
}

/// Raises the limit of descriptors as far as it goes, and gives it.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(_) => limit,
    };
    limit.current.unwrap_or(u64::MAX)
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
    if !job.is_inherited {
        // Those that wait already would be reset with the socket.
        let mut now = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut now) {
            admit(&sessions, stream, peer);
        }
    }
    drop(listener);
    sessions.reap().await;
}

async fn accept_all(listener: &TcpListener, sessions: &Arc<Sessions>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(sessions, stream, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let shared = sessions.shared();
                if shared.troubles.accept.is_news(shared.clock.now()) {
                    warn!(
                        endpoint = %shared.endpoint(),
                        "cannot accept connections ({error}); they wait. If descriptors have run out, raise the limit \
                         (LimitNOFILE=) or lower the number of sessions (--max-sessions)"
                    );
                }
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
    let refuse = |stream, trouble: &Trouble, why: std::fmt::Arguments<'_>| {
        Counts::add(&shared.counts.refused);
        if trouble.is_news(shared.clock.now()) {
            warn!(endpoint = %settings.endpoint, "a connection from {} is refused: {why}", peer.ip().to_canonical());
        }
        socket::reset(stream);
    };
    if !settings.may_connect(peer.ip()) {
        return refuse(stream, &shared.troubles.peer, format_args!("no --allow-peer names it"));
    }
    let Some(seat) = Seat::take(shared, settings.max_sessions) else {
        let most = settings.max_sessions;
        return refuse(
            stream,
            &shared.troubles.limit,
            format_args!("there are {most} sessions already; --max-sessions allows more"),
        );
    };
    tokio::spawn(session::open(Arc::clone(sessions), settings, stream, peer, seat));
}

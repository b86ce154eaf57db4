//! One client and its database, from the moment the client is admitted until both have gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, RawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::ioctl_fionread;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::peers::{self, Peers};
use super::relay::{Failed, Relay};
use super::route::Route;
use super::shared::{Counts, Phase, Shared};
use super::tick::{self, Rounds, Tick};
use super::{Proxy, dial, header, socket};
use crate::planner::time::Timestamp;

/// How long a connection may take to send its PROXY protocol header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// So many sessions speak for their address.
const SAMPLE: usize = 16;

/// A session that the database ends after so long was no failed log-in.
const SETTLED: Duration = Duration::from_secs(1);

/// A client that has said something and had its last word is connected if the database takes it within this time: it may be a
/// program that sends one message and waits for an answer. After that it is taken as gone, as every client of PostgreSQL is.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// What says more than this before it has heard anything is no client of a database (PostgreSQL itself refuses a start-up message
/// of more than 10,000 bytes), and once it has filled the kernel's buffer its end would no longer be seen.
pub const UNANSWERED_MAX_BYTES: u64 = 16 * 1024;

/// How often a session is looked at of which one side is not listened to: its reset wakes nobody.
const CHECK_APART: Duration = Duration::from_secs(5);

/// The sessions of one proxy in one thread, by the address that they are connected to.
pub(super) struct Sessions {
    shared: Arc<Shared>,
    open: Mutex<Open>,
    next: AtomicU64,
    tick: Tick,
    /// Rings when a session has begun whose address is no longer the endpoint's.
    late: Notify,
}

type Open = BTreeMap<IpAddr, BTreeMap<u64, Entry>>;

/// How to cut a session, and its two sockets: the client's and the database's.
struct Entry {
    task: AbortHandle,
    sockets: [RawFd; 2],
}

/// A place among the connections of a proxy, given back when dropped.
pub(super) struct Seat(Arc<Shared>);

impl Seat {
    /// A place, or how many there are, all taken.
    pub fn take(shared: &Arc<Shared>, most: usize) -> Result<Self, NoSeat> {
        let before = shared.counts.open.fetch_add(1, Ordering::Relaxed);
        let before_in_process = shared.seats.taken.fetch_add(1, Ordering::Relaxed);
        let seat = Self(Arc::clone(shared));
        if before >= most {
            return Err(NoSeat::InProxy(most));
        }
        let most_in_process = shared.seats.most.load(Ordering::Relaxed);
        if before_in_process >= most_in_process {
            return Err(NoSeat::InProcess(most_in_process));
        }
        Ok(seat)
    }
}

/// Why a connection is one too many.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSeat {
    #[error("there are {0} sessions already; --max-sessions allows more")]
    InProxy(usize),
    #[error("there are {0} sessions already, as many as there are descriptors for; raise the limit (LimitNOFILE=)")]
    InProcess(usize),
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seats.taken.fetch_sub(1, Ordering::Relaxed);
        if self.0.counts.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle.notify_one();
        }
    }
}

/// Connects an admitted client and carries its bytes in a task of their own, which is smaller than this one.
pub(super) async fn open(
    sessions: Arc<Sessions>,
    settings: Arc<Proxy>,
    mut client: TcpStream,
    peer: SocketAddr,
    seat: Seat,
) {
    let shared = &sessions.shared;
    let refuse = |client| {
        Counts::add(&shared.counts.refused);
        socket::reset(client);
    };
    let mut from = peer;
    if settings.accept_proxy_protocol {
        match timeout(HEADER_TIMEOUT, header::read(&mut client)).await {
            Ok(Ok(source)) => from = source.unwrap_or(peer),
            // A health check that only connects is no trouble.
            Ok(Err(header::Error::Ended(_))) => return refuse(client),
            read => {
                if shared.troubles.header.is_due(shared.clock.now()) {
                    let why = match read {
                        Ok(Err(error)) => error.to_string(),
                        _ => "its PROXY protocol header did not come in time".into(),
                    };
                    warn!(endpoint = %settings.endpoint, "a connection from {} is refused: {why}", peer.ip());
                }
                return refuse(client);
            }
        }
    }
    let mut phase = shared.phase.clone();
    let mut was_watched = false;
    let dialled = tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase == Phase::Closed) => return refuse(client),
        dialled = dial::dial(shared, &sessions.tick, settings.dial_timeout) => dialled,
        gone = gone(&client, &sessions.tick, &mut was_watched) => match gone {
            Gone::Left => {
                debug!(endpoint = %settings.endpoint, "a client at {from} left before it was connected");
                return socket::reset(client);
            }
            Gone::Talks => {
                if shared.troubles.talk.is_due(shared.clock.now()) {
                    warn!(
                        endpoint = %settings.endpoint,
                        "a connection from {from} is refused: it said more than {UNANSWERED_MAX_BYTES} bytes before the database \
                         took it, which no client of a database does"
                    );
                }
                return refuse(client);
            }
        },
    };
    if was_watched {
        // What it has said meanwhile is to be announced again.
        client = match client.into_std().and_then(TcpStream::from_std) {
            Ok(client) => client,
            Err(error) => return shared.lacks(&error, "are refused"),
        };
    }
    match dialled {
        Ok((upstream, ip)) => {
            debug!(endpoint = %settings.endpoint, "a session from {from} to {ip} begins");
            sessions.begin(client, upstream, ip, seat);
        }
        Err(error) => {
            match &error {
                dial::Error::Lacking(error) => shared.lacks(error, "are refused"),
                dial::Error::Failed(_) => {
                    if shared.troubles.dial.is_due(shared.clock.now()) {
                        let waited = settings.dial_timeout;
                        warn!(
                            endpoint = %settings.endpoint,
                            "a connection from {from} is refused after {waited:?} (dial_timeout): {error}"
                        );
                    }
                }
            }
            refuse(client);
        }
    }
}

/// What a client did before it was connected.
enum Gone {
    Left,
    /// It says so much that its leaving could not be seen.
    Talks,
}

/// Waits until a client that is not connected yet has gone. One that has asked something and had its last word may still wait for an
/// answer, but not for long, and neither may one whose end could not be seen.
async fn gone(client: &TcpStream, tick: &Tick, was_watched: &mut bool) -> Gone {
    let grace = Instant::now() + HALF_CLOSED;
    // Most are connected long before, and need not be watched.
    tick.past(Instant::now() + tick::PERIOD).await;
    loop {
        let Ok(ready) = client.ready(Interest::READABLE).await else {
            return Gone::Left;
        };
        let said = ioctl_fionread(client).unwrap_or_default();
        if ready.is_write_closed() || ready.is_error() || ready.is_read_closed() && said == 0 {
            return Gone::Left;
        }
        if ready.is_read_closed() {
            tick.past(grace).await;
            return Gone::Left;
        }
        if said > UNANSWERED_MAX_BYTES {
            tick.past(grace).await;
            return Gone::Talks;
        }
        // It has said something, which is for the database alone. What else it does is still to be noticed.
        *was_watched = true;
        let _ = client.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}

impl Sessions {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            open: Mutex::default(),
            next: AtomicU64::default(),
            tick: Tick::default(),
            late: Notify::new(),
        }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn begin(self: &Arc<Self>, client: TcpStream, upstream: TcpStream, ip: IpAddr, seat: Seat) {
        Counts::add(&self.shared.counts.sessions);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let sockets = [client.as_raw_fd(), upstream.as_raw_fd()];
        let session = Session {
            sessions: Arc::clone(self),
            id,
            ip,
            client,
            upstream,
            relay: Relay::default(),
            check: None,
            is_kept_alive: false,
            began: Instant::now(),
            has_doubted: false,
            has_ended: false,
            _seat: seat,
        };
        // The task runs on this thread, so not before it is known here.
        let task = tokio::spawn(session).abort_handle();
        self.with_open(|open| open.entry(ip).or_default().insert(id, Entry { task, sockets }));
        if *self.shared.phase.borrow() == Phase::Closed {
            // Nobody reaps any more.
            self.cut(ip);
        } else if !self.shared.route.borrow().names(ip) {
            self.late.notify_one();
        }
    }

    fn with_open<T>(&self, f: impl FnOnce(&mut Open) -> T) -> T {
        f(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn forget(&self, ip: IpAddr, id: u64) {
        self.with_open(|open| {
            let Some(sessions) = open.get_mut(&ip) else { return };
            sessions.remove(&id);
            if sessions.is_empty() {
                open.remove(&ip);
            }
        });
    }

    /// Cuts sessions as their time comes, until the proxy is closed and all are cut.
    pub async fn reap(&self) {
        let mut route = self.shared.route.clone();
        let mut phase = self.shared.phase.clone();
        let mut peers = self.shared.peers.clone();
        let mut tick = interval(tick::PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = self.shared.clock.now();
            let current = Arc::clone(&route.borrow_and_update());
            if *phase.borrow_and_update() == Phase::Closed {
                let all: Vec<IpAddr> = self.with_open(|open| open.keys().copied().collect());
                for ip in all {
                    self.cut(ip);
                }
                return;
            }
            let mut next: Option<Timestamp> = None;
            for ip in self.with_open(|open| open.keys().copied().collect::<Vec<_>>()) {
                let Some(end) = current.ends(ip) else { continue };
                if end > now {
                    next = Some(next.map_or(end, |next| next.min(end)));
                    continue;
                }
                let cut = self.cut(ip);
                self.shared.counts.cut.fetch_add(cut as u64, Ordering::Relaxed);
                let why = match current.writer() {
                    Some(writer) => format!(": {writer} is the writer"),
                    None => ", which DNS no longer names".to_owned(),
                };
                info!(
                    endpoint = %self.shared.endpoint(),
                    sessions = cut,
                    "closed {cut} {} to {ip}{why}",
                    if cut == 1 { "session" } else { "sessions" },
                );
            }
            tokio::select! {
                changed = route.changed() => if changed.is_err() { return },
                changed = phase.changed() => if changed.is_err() { return },
                changed = peers.changed() => match changed {
                    Ok(()) => {
                        let peers = Arc::clone(&peers.borrow_and_update());
                        self.cut_silent(&peers.silent);
                        self.note_heard(&current, &peers);
                    }
                    Err(_) => return,
                },
                () = self.late.notified() => {}
                _ = tick.tick() => self.tick.tick(),
                () = self.shared.clock.until(next) => {}
            }
        }
    }

    /// A session to the current address that is acknowledged shows that the address is there; if none is, it may be gone.
    fn note_heard(&self, route: &Route, peers: &Peers) {
        for ip in &route.addresses {
            let sample: Vec<u64> = self.with_open(|open| {
                let sessions = open.get(ip).into_iter().flat_map(BTreeMap::values);
                let upstream = sessions.rev().map(|session| session.sockets[1]).take(SAMPLE);
                upstream.filter_map(peers::inode).collect()
            });
            if sample.iter().any(|inode| peers.heard.contains(inode)) {
                self.shared.heard(*ip);
            } else if sample.iter().any(|inode| peers.doubtful.contains(inode)) {
                self.shared.doubted(*ip, false);
                self.shared.address_failed.notify_one();
            }
        }
    }

    fn cut_silent(&self, silent: &BTreeSet<u64>) {
        if silent.is_empty() {
            return;
        }
        let is_silent = |socket: RawFd| peers::inode(socket).is_some_and(|inode| silent.contains(&inode));
        let found = self.with_open(|open| {
            let all = open
                .iter()
                .flat_map(|(ip, sessions)| sessions.values().map(|session| (*ip, session)));
            let found = all.filter_map(|(ip, session)| {
                let [client, upstream] = session.sockets.map(is_silent);
                (client || upstream).then(|| (ip, upstream, session.task.clone()))
            });
            found.collect::<Vec<_>>()
        });
        let mut by_side = BTreeMap::<(IpAddr, bool), usize>::new();
        for (ip, is_upstream, task) in found {
            task.abort();
            Counts::add(&self.shared.counts.silent);
            *by_side.entry((ip, is_upstream)).or_default() += 1;
        }
        for ((ip, is_upstream), count) in by_side {
            let who = if is_upstream { "database" } else { "client" };
            info!(
                endpoint = %self.shared.endpoint(),
                "sessions to {ip} closed because the {who} no longer acknowledges anything: {count}"
            );
            if is_upstream && self.shared.route.borrow().names(ip) {
                self.shared.address_failed.notify_one();
            }
        }
    }

    fn cut(&self, ip: IpAddr) -> usize {
        let sessions = self.with_open(|open| open.remove(&ip)).unwrap_or_default();
        sessions.values().for_each(|session| session.task.abort());
        sessions.len()
    }
}

/// A client and its database, connected.
struct Session {
    sessions: Arc<Sessions>,
    id: u64,
    ip: IpAddr,
    client: TcpStream,
    upstream: TcpStream,
    relay: Relay,
    /// When both sides are looked at again, once one of them is not listened to; at first, when the session has lasted.
    check: Option<Box<Rounds>>,
    /// The database's vanishing is noticed.
    is_kept_alive: bool,
    began: Instant,
    /// What its end says of the database has been noted.
    has_doubted: bool,
    /// How it ended has been settled; if not, it was cut.
    has_ended: bool,
    _seat: Seat,
}

impl Future for Session {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let session = self.get_mut();
        let ended = ready!(session.carry(cx));
        let shared = &session.sessions.shared;
        session.has_ended = true;
        match ended {
            Ok(()) => {}
            Err(Failed::Client(error)) => {
                debug!(endpoint = %shared.endpoint(), "the client of a session to {} failed: {error}", session.ip);
                socket::reset_on_close(&session.upstream);
            }
            // The client still gets what the database said last, and then the end, unless it said something itself that
            // nobody has read: then the kernel resets the connection.
            Err(Failed::Upstream(error)) => {
                debug!(endpoint = %shared.endpoint(), "a session to {} failed: {error}", session.ip);
                if shared.route.borrow().names(session.ip) {
                    shared.address_failed.notify_one();
                }
                session.doubt();
            }
        }
        Poll::Ready(())
    }
}

impl Session {
    fn carry(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let carried = &self.sessions.shared.counts.carried;
        let ended = self.relay.poll(&self.client, &self.upstream, carried, cx);
        if self.relay.is_left() {
            self.doubt();
        }
        if ended.is_ready() {
            return ended;
        }
        if !self.is_kept_alive {
            // A session that ends at once needs none of it.
            let rounds = || Box::new(Rounds::new(&self.sessions.tick, tick::PERIOD));
            ready!(self.check.get_or_insert_with(rounds).poll(cx));
            if let Err(error) = socket::keep_alive(&self.upstream) {
                return Poll::Ready(Err(Failed::Upstream(error)));
            }
            (self.check, self.is_kept_alive) = (None, true);
        }
        if !self.relay.is_deaf() {
            return Poll::Pending;
        }
        let rounds = || Box::new(Rounds::new(&self.sessions.tick, CHECK_APART));
        if self.check.get_or_insert_with(rounds).poll(cx).is_ready()
            && let Err(failed) = self.relay.check(&self.client, &self.upstream)
        {
            return Poll::Ready(Err(failed));
        }
        Poll::Pending
    }

    /// A database that ends sessions may be about to restart: clients that come back at once would meet it half awake.
    fn doubt(&mut self) {
        if !std::mem::replace(&mut self.has_doubted, true) {
            let was_short = self.began.elapsed() < SETTLED;
            self.sessions.shared.doubted(self.ip, was_short);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.forget(self.ip, self.id);
        if !self.has_ended {
            // Neither side is to hang: not one that only waits, nor one that only writes.
            socket::reset_on_close(&self.client);
            socket::reset_on_close(&self.upstream);
        }
    }
}

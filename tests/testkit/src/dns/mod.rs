//! A name server on loopback whose answers, and faults, a test changes while the program under test is running.
//!
//! It answers over UDP and TCP on one port, the way the resolver of a VPC does: recursion is offered, aliases are
//! followed inside the answer, and nothing is authoritative. What a name answers is a [`Behaviour`]; what was asked
//! is kept as a [`Query`] each.
//!
//! ```
//! use testkit::dns::{Behaviour, Server};
//!
//! let server = Server::start();
//! server.set("db.example.com", Behaviour::a("10.0.0.1", 5));
//! // ... the program under test asks `server.addr()`, and then the database fails over:
//! server.set("db.example.com", Behaviour::a("10.0.0.2", 5));
//! ```

mod ask;
mod behaviour;
mod journal;
pub mod raw;
mod serve;
mod tap;
mod wire;
mod zone;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use ask::ask;
pub use behaviour::Behaviour;
pub use hickory_resolver::proto::op::ResponseCode;
pub use hickory_resolver::proto::rr::{Name, RecordType};
pub use journal::{Answered, QUERIES_KEPT, Query};
pub use tap::{Given, Tap};
pub use zone::NEGATIVE_TTL_SECONDS;

use journal::Journal;
use zone::Zone;

/// How often a free port is looked for before giving up: the port the kernel picks for one protocol may be taken
/// for the other.
const BIND_ATTEMPTS: usize = 16;

/// A running name server; dropping it stops its thread, closes its port and forgets replies not sent yet.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped to stop the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on 127.0.0.1, on a port the kernel picks.
    pub fn start() -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into())
    }

    /// Starts a server on an address of this machine, such as 127.0.0.2, on a port the kernel picks.
    ///
    /// # Panics
    /// If the address cannot be bound.
    pub fn start_on(ip: IpAddr) -> Self {
        (0..BIND_ATTEMPTS)
            .find_map(|_| Self::start_at(SocketAddr::new(ip, 0)).ok())
            .unwrap_or_else(|| panic!("no port of {ip} could be bound for both UDP and TCP"))
    }

    /// Starts a server on a chosen address and port, such as those of a server stopped before.
    pub fn start_at(addr: SocketAddr) -> io::Result<Self> {
        let tcp = std::net::TcpListener::bind(addr)?;
        let addr = tcp.local_addr()?;
        let udp = std::net::UdpSocket::bind(addr)?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("testkit-dns".into()).spawn({
            let shared = Arc::clone(&shared);
            move || serve::run(udp, tcp, shared, stopped)
        })?;
        Ok(Self {
            addr,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The address and port it answers on, the same for UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Replaces what a name answers, and starts its sequences and random choices from the beginning.
    ///
    /// Names are case-insensitive and their final dot is optional.
    ///
    /// # Panics
    /// If the name is not a domain name.
    pub fn set(&self, name: &str, behaviour: Behaviour) {
        self.shared.lock().zone.set(parse_name(name), behaviour);
    }

    /// Replaces what names never [`set`](Self::set) answer: [`Behaviour::NxDomain`] unless told otherwise.
    pub fn set_default(&self, behaviour: Behaviour) {
        self.shared.lock().zone.set_default(behaviour);
    }

    /// Turns caching on (with nothing cached) or off.
    ///
    /// A caching server repeats each answer with its *remaining* TTL, rounded up to whole seconds, and shows a change
    /// only once the answer given before has expired: a client that waits for the TTL it was told never comes early.
    /// Each name and record type is cached by itself, so an alias and its target expire apart. Negative answers with
    /// a SOA are cached too; failures, silence and a TTL of 0 are not. Faults are cached with the answer they
    /// distort, delays are not.
    pub fn caching(&self, on: bool) {
        self.shared.lock().zone.caching(on);
    }

    /// Turns silence on, in which nothing is answered whatever is asked, or off.
    pub fn silent(&self, on: bool) {
        self.shared.lock().zone.silent(on);
    }

    /// The queries received since the start or [`clear_queries`](Self::clear_queries), oldest first; of more than
    /// [`QUERIES_KEPT`], the newest.
    pub fn queries(&self) -> Vec<Query> {
        // Only pointers are copied under the lock: the server must not stand still long enough to lose packets.
        let kept = self.shared.lock().journal.queries();
        kept.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    /// How many queries of all record types came for a name, exact however many they are.
    ///
    /// Most resolvers repeat a datagram, under the same message id, when its answer is late: each copy counts.
    pub fn count(&self, name: &str) -> usize {
        self.shared.lock().journal.count(&parse_name(name))
    }

    /// Blocks until at least `n` queries of all record types have come for a name; `false` if that took too long.
    pub fn wait_for_queries(&self, name: &str, n: usize, within: Duration) -> bool {
        let name = parse_name(name);
        let (guard, _) = self
            .shared
            .arrived
            .wait_timeout_while(self.shared.lock(), within, |state| state.journal.count(&name) < n)
            .expect("the server's thread does not panic");
        guard.journal.count(&name) >= n
    }

    /// Forgets the queries received so far, and their counts.
    pub fn clear_queries(&self) {
        self.shared.lock().journal.clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(panic)) = ended
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What the handle and the server's thread share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Signalled for every query recorded.
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    zone: Zone,
    journal: Journal,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the server's thread does not panic")
    }

    /// Decides on the reply to a request that came at `at`, and records both.
    ///
    /// Zone and journal change under one lock: a query recorded after `set` has returned was answered by what was set.
    fn reply(&self, request: &wire::Request, at: Instant, tcp: bool) -> Option<wire::Reply> {
        let mut state = self.lock();
        let resolution = state.zone.resolve(request.name(), request.kind(), at);
        let (answered, reply) = wire::reply(request, &resolution, tcp);
        if answered != Answered::Truncated {
            state.zone.given(resolution, request.kind(), at);
        }
        state.journal.record(Query {
            at,
            name: journal::plain(request.name()),
            kind: request.kind(),
            tcp,
            id: request.id(),
            answered,
        });
        drop(state);
        self.arrived.notify_all();
        reply
    }
}

/// Reads a name that is absolute with or without its final dot.
fn parse_name(name: &str) -> Name {
    let mut parsed = Name::from_ascii(name).unwrap_or_else(|error| panic!("{name:?} is not a domain name: {error}"));
    parsed.set_fqdn(true);
    parsed
}

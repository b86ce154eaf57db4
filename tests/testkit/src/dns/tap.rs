//! Before any name server: what it has really told whom, and when.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use tokio::net::UdpSocket;

use super::wire::addresses;
use crate::background::Background;

/// More than any message over UDP has that is asked for here.
const DATAGRAM_BYTES: usize = 4096;
/// Nobody waits for longer.
const REPLY_MAX: Duration = Duration::from_secs(10);

/// A reply that went back to who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// When the query had come.
    pub asked: Instant,
    /// When the reply was sent.
    pub at: Instant,
    /// What it came to.
    pub code: ResponseCode,
    /// The addresses in it.
    pub addresses: Vec<IpAddr>,
}

/// Carries queries over UDP to another name server and its replies back, and keeps what they were. With one of these for each client it
/// is known who was told what.
///
/// A server that is not there is a SERVFAIL, as a resolver says it of the servers behind it; one that is silent is silence.
#[derive(Debug)]
pub struct Tap {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _serving: Background,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    deaf: AtomicBool,
    given: Mutex<Vec<Given>>,
}

impl Tap {
    /// Listens at an address, such as a port 0 of loopback, before a server.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn start_at(addr: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        let addr = socket.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            deaf: AtomicBool::new(false),
            given: Mutex::default(),
        });
        let serving = {
            let shared = Arc::clone(&shared);
            move || async move {
                let socket = UdpSocket::from_std(socket).expect("a bound socket is taken");
                serve(Arc::new(socket), &shared).await;
            }
        };
        Ok(Self {
            addr,
            shared,
            _serving: Background::serve("testkit-tap", serving)?,
        })
    }

    /// Where it is asked.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lets nothing through any more, or again.
    pub fn deaf(&self, on: bool) {
        self.shared.deaf.store(on, Ordering::Relaxed);
    }

    /// The replies so far, oldest first.
    pub fn given(&self) -> Vec<Given> {
        self.shared.given.lock().expect("nobody panics with it").clone()
    }
}

async fn serve(socket: Arc<UdpSocket>, shared: &Arc<Shared>) {
    let mut buffer = [0; DATAGRAM_BYTES];
    loop {
        // What fails here is what an earlier reply met.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if shared.deaf.load(Ordering::Relaxed) {
            continue;
        }
        let (socket, shared, query) = (Arc::clone(&socket), Arc::clone(shared), buffer[..length].to_vec());
        tokio::spawn(async move {
            let asked = now();
            let reply = match tokio::time::timeout(REPLY_MAX, ask(shared.server, &query)).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) => failed(&query),
                Err(_) => return,
            };
            if shared.deaf.load(Ordering::Relaxed) {
                return;
            }
            if let Ok(message) = Message::from_vec(&reply) {
                let given = Given {
                    asked,
                    at: now(),
                    code: message.metadata.response_code,
                    addresses: addresses(&message.answers),
                };
                shared.given.lock().expect("nobody panics with it").push(given);
            }
            let _ = socket.send_to(&reply, from).await;
        });
    }
}

async fn ask(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let length = socket.recv(&mut buffer).await?;
    buffer.truncate(length);
    Ok(buffer)
}

/// What a resolver says that reaches nobody; nothing to what is no query.
fn failed(query: &[u8]) -> Vec<u8> {
    let Ok(query) = Message::from_vec(query) else {
        return Vec::new();
    };
    let mut message = Message::response(query.metadata.id, OpCode::Query);
    message.metadata.response_code = ResponseCode::ServFail;
    message.queries = query.queries;
    message.to_vec().expect("a question that was read can be written")
}

#[allow(clippy::disallowed_methods, reason = "real sockets live in real time")]
fn now() -> Instant {
    Instant::now()
}

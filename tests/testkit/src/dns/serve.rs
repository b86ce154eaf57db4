//! The sockets, and the thread they live on.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Mutex, oneshot};

use super::Shared;
use super::wire::Request;

/// More than any query over UDP has.
const DATAGRAM_BYTES: usize = 4096;

/// Serves on both sockets until `stopped` ends, then drops them and every reply still to be sent.
pub(super) fn run(
    udp: std::net::UdpSocket,
    tcp: std::net::TcpListener,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs no more than a few file descriptors");
    runtime.block_on(async {
        let (udp, tcp) = adopt(udp, tcp).expect("a bound socket can be made non-blocking");
        tokio::select! {
            _ = stopped => {}
            () = serve_udp(Arc::new(udp), &shared) => {}
            () = serve_tcp(tcp, &shared) => {}
        }
    });
}

fn adopt(udp: std::net::UdpSocket, tcp: std::net::TcpListener) -> io::Result<(UdpSocket, TcpListener)> {
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok((UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?))
}

/// Where a reply goes.
#[derive(Clone)]
enum Peer {
    Udp(Arc<UdpSocket>, SocketAddr),
    Tcp(Arc<Mutex<OwnedWriteHalf>>),
}

impl Peer {
    /// Sends a reply; a client that is gone is its own affair.
    async fn send(&self, bytes: &[u8]) {
        match self {
            Self::Udp(socket, to) => _ = socket.send_to(bytes, to).await,
            Self::Tcp(stream) => {
                // One write, so that replies sent by different tasks do not mix.
                let length = u16::try_from(bytes.len()).expect("longer replies are truncated");
                let framed = [length.to_be_bytes().as_slice(), bytes].concat();
                _ = stream.lock().await.write_all(&framed).await;
            }
        }
    }
}

struct Datagram {
    bytes: Vec<u8>,
    from: SocketAddr,
    at: Instant,
}

#[allow(
    clippy::disallowed_methods,
    reason = "real sockets live in real time; the zone is told it"
)]
fn now() -> Instant {
    Instant::now()
}

/// Answers what comes over UDP.
///
/// The kernel keeps only a few hundred datagrams and drops the rest without a word, so its queue is emptied before
/// each reply is worked out, and the waiting is done here.
async fn serve_udp(socket: Arc<UdpSocket>, shared: &Arc<Shared>) {
    let mut waiting = VecDeque::new();
    let mut buffer = [0; DATAGRAM_BYTES];
    loop {
        while let Ok((length, from)) = socket.try_recv_from(&mut buffer) {
            waiting.push_back(Datagram {
                bytes: buffer[..length].to_vec(),
                from,
                at: now(),
            });
        }
        match waiting.pop_front() {
            Some(datagram) => {
                let peer = Peer::Udp(Arc::clone(&socket), datagram.from);
                answer(shared, &datagram.bytes, datagram.at, peer).await;
                // Neither reading nor silence yields, and timers and connections want their turn.
                tokio::task::consume_budget().await;
            }
            None if socket.readable().await.is_err() => return,
            None => {}
        }
    }
}

async fn serve_tcp(listener: TcpListener, shared: &Arc<Shared>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(shared)));
        }
        tokio::task::consume_budget().await;
    }
}

/// Answers the queries of one connection until the client closes it or sends something else.
async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let (mut reader, writer) = stream.into_split();
    let writer = Arc::new(Mutex::new(writer));
    while let Ok(length) = reader.read_u16().await {
        let mut bytes = vec![0; length.into()];
        if reader.read_exact(&mut bytes).await.is_err() {
            return;
        }
        answer(&shared, &bytes, now(), Peer::Tcp(Arc::clone(&writer))).await;
    }
}

/// Answers one query, now or later; what is not a query gets no answer.
async fn answer(shared: &Shared, bytes: &[u8], at: Instant, peer: Peer) {
    let Some(request) = Request::parse(bytes) else { return };
    let tcp = matches!(peer, Peer::Tcp(_));
    let Some(reply) = shared.reply(&request, at, tcp) else {
        return;
    };
    if reply.delay.is_zero() {
        return peer.send(&reply.bytes).await;
    }
    tokio::spawn(async move {
        tokio::time::sleep(reply.delay).await;
        peer.send(&reply.bytes).await;
    });
}

//! What the kernel's list of TCP connections says (proc(5)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

/// One end of an IPv4 connection.
#[derive(Debug)]
pub struct Socket {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub state: u8,
    /// Bytes that its peer has not acknowledged.
    pub unacknowledged: u64,
    /// Bytes that its process has not read.
    pub unread: u64,
    /// What its timer waits for, and hundredths of a second until then.
    pub timer: (u8, u64),
}

/// Waiting for connections.
const LISTEN: u8 = 10;
/// Connecting, without an answer yet.
pub const SYN_SENT: u8 = 2;
/// A timer that will ask an idle peer whether it is still there.
pub const KEEPALIVE: u8 = 2;

pub fn sockets() -> Vec<Socket> {
    let list = fs::read_to_string("/proc/net/tcp").expect("the kernel's list of connections");
    let sockets: Vec<Socket> = list.lines().filter_map(read).collect();
    assert!(!sockets.is_empty(), "the list is not as expected:\n{list}");
    sockets
}

/// Our end of a connection.
#[track_caller]
pub fn ours(stream: &TcpStream) -> Socket {
    let (local, peer) = (
        stream.local_addr().expect("bound"),
        stream.peer_addr().expect("connected"),
    );
    find(local, peer)
}

/// The other end of a connection, on this machine too.
#[track_caller]
pub fn theirs(stream: &TcpStream) -> Socket {
    let (local, peer) = (
        stream.local_addr().expect("bound"),
        stream.peer_addr().expect("connected"),
    );
    find(peer, local)
}

/// Whether a process accepts connections to an address.
pub fn is_listened_on(address: SocketAddr) -> bool {
    let accepts = |socket: &Socket| socket.local == address && socket.state == LISTEN;
    sockets().iter().any(accepts)
}

/// Whether the process at the other end has read everything, or has gone.
pub fn is_heard(stream: &TcpStream) -> bool {
    let local = stream.local_addr().expect("bound");
    let has_unread = |socket: &Socket| socket.peer == local && socket.unread > 0;
    !sockets().iter().any(has_unread)
}

#[track_caller]
fn find(local: SocketAddr, peer: SocketAddr) -> Socket {
    let found = sockets()
        .into_iter()
        .find(|socket| socket.local == local && socket.peer == peer);
    found.unwrap_or_else(|| panic!("no connection from {local} to {peer}"))
}

fn read(line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, peer, state, queues, timer, ..] = fields.as_slice() else {
        return None;
    };
    let (unacknowledged, unread) = queues.split_once(':')?;
    let (kind, left) = timer.split_once(':')?;
    Some(Socket {
        local: address(local)?,
        peer: address(peer)?,
        state: u8::from_str_radix(state, 16).ok()?,
        unacknowledged: u64::from_str_radix(unacknowledged, 16).ok()?,
        unread: u64::from_str_radix(unread, 16).ok()?,
        timer: (kind.parse().ok()?, u64::from_str_radix(left, 16).ok()?),
    })
}

fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    // As the processor stores it.
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port))
}

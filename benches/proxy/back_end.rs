//! The back end: a process of its own, so that it can be stopped and killed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::wire::{Ask, BACKLOG, MESSAGE_BYTES, PACE_PER_S, Poll, Ready, nanos};

/// What one write of a flood is given: large enough that the system call does not count.
const FLOOD_BYTES: usize = 256 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// Nothing but readiness wakes it.
const IDLE: Duration = Duration::from_secs(3600);
/// Numbers the listening socket; connections are counted from 0.
const LISTENER: usize = usize::MAX;

struct Connection {
    stream: TcpStream,
    asked: Option<Ask>,
}

/// What becomes of a connection after it was read from.
enum Next {
    Stay,
    Close,
    /// A thread of its own writes to it from now on.
    Leave(fn(TcpStream)),
}

/// Serves until the process is killed.
///
/// # Errors
/// If the address cannot be listened on; a connection that fails is only closed.
pub fn serve(addr: SocketAddr) -> io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    // What is accepted inherits it.
    sockopt::set_tcp_nodelay(&listener, true)?;
    net::bind(&listener, &addr)?;
    net::listen(&listener, BACKLOG)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER, Ready::IN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let (mut free, mut ready, mut buffer) = (Vec::new(), Vec::new(), vec![0; READ_BYTES]);
    loop {
        poll.wait(IDLE, &mut ready)?;
        for &number in &ready {
            if number == LISTENER {
                while let Ok(accepted) = net::accept_with(&listener, flags) {
                    let number = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    poll.add(&accepted, number, Ready::IN)?;
                    let stream = TcpStream::from(accepted);
                    connections[number] = Some(Connection { stream, asked: None });
                }
                continue;
            }
            let Some(connection) = &mut connections[number] else {
                continue;
            };
            let next = connection.answer(&mut buffer);
            if matches!(next, Next::Stay) {
                continue;
            }
            free.push(number);
            if let (Next::Leave(write), Some(left)) = (next, connections[number].take()) {
                poll.remove(&left.stream)?;
                left.stream.set_nonblocking(false)?;
                thread::spawn(move || write(left.stream));
            }
        }
    }
}

impl Connection {
    fn answer(&mut self, buffer: &mut [u8]) -> Next {
        let length = match self.stream.read(buffer) {
            Ok(length) if length > 0 => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Stay,
            _ => return Next::Close,
        };
        let asked = self.asked.or_else(|| Ask::of(buffer));
        self.asked = asked;
        match asked {
            Some(Ask::Flood) => return Next::Leave(flood),
            Some(Ask::Paced) => return Next::Leave(paced),
            Some(Ask::Echo | Ask::Once) => {}
            None => return Next::Close,
        }
        // Messages are small, so that a client whose window is full has stopped reading long ago.
        match self.stream.write_all(&buffer[..length]) {
            Ok(()) if asked == Some(Ask::Echo) => Next::Stay,
            _ => Next::Close,
        }
    }
}

fn flood(mut stream: TcpStream) {
    let bytes = vec![b'f'; FLOOD_BYTES];
    while stream.write_all(&bytes).is_ok() {}
}

fn paced(mut stream: TcpStream) {
    let start = nanos();
    for number in 0.. {
        let due = start + number * 1_000_000_000 / PACE_PER_S;
        thread::sleep(Duration::from_nanos(due.saturating_sub(nanos())));
        let mut message = [b'p'; MESSAGE_BYTES];
        message[..8].copy_from_slice(&nanos().to_le_bytes());
        if stream.write_all(&message).is_err() {
            return;
        }
    }
}

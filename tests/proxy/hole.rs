//! A host that neither accepts nor refuses.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, sockopt};

use super::kernel::{self, SYN_SENT};

/// A connection that is not made in this time is never made: on loopback nothing else takes long.
const NEVER: Duration = Duration::from_millis(300);

/// A host whose queue of connections is full: more are left without an answer, as by one that vanished.
pub struct BlackHole {
    address: SocketAddr,
    _listener: OwnedFd,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    pub fn dig(address: SocketAddr) -> Self {
        let listener = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_reuseaddr(&listener, true).expect("a socket");
        rustix::net::bind(&listener, &address).unwrap_or_else(|error| panic!("{address}: {error}"));
        rustix::net::listen(&listener, 0).expect("a bound socket");
        let mut queue = Vec::new();
        loop {
            match TcpStream::connect_timeout(&address, NEVER) {
                Ok(stream) => queue.push(stream),
                Err(error) if error.kind() == ErrorKind::TimedOut => break,
                Err(error) => panic!("{address}: {error}"),
            }
        }
        Self {
            address,
            _listener: listener,
            _queue: queue,
        }
    }

    /// How many connections to it are being tried.
    pub fn waiting(&self) -> usize {
        let sockets = kernel::sockets().into_iter();
        sockets
            .filter(|socket| socket.peer == self.address && socket.state == SYN_SENT)
            .count()
    }
}

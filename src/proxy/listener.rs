//! Sockets to accept from: our own, one per thread, or one that a service manager keeps open for us.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use tokio::net::TcpSocket;

use super::socket;

/// Connections that may wait to be accepted (the kernel takes less where net.core.somaxconn says so).
const BACKLOG: u32 = 4096;

/// Listeners of one address.
pub struct Listeners {
    /// One for each thread.
    pub each: Vec<TcpListener>,
    /// Where they listen; the port is chosen by the kernel if none was asked for.
    pub address: SocketAddr,
    /// A service manager holds them too, so that connections wait when we have ended.
    pub are_inherited: bool,
}

/// The sockets that a service manager passed on (LISTEN_FDS).
pub struct Inherited(Vec<TcpListener>);

impl Inherited {
    /// Takes them from the environment, once.
    pub fn take() -> Self {
        let mut passed = ListenFd::from_env();
        let listeners = (0..passed.len()).filter_map(|index| passed.take_tcp_listener(index).ok()?);
        Self(listeners.collect())
    }

    /// Where those that nobody wanted listen.
    pub fn left(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().filter_map(|listener| listener.local_addr().ok())
    }

    /// Whether one of them is for an address.
    pub fn has(&self, address: SocketAddr) -> bool {
        self.position(address).is_some()
    }

    fn of(&mut self, address: SocketAddr) -> Option<TcpListener> {
        Some(self.0.remove(self.position(address)?))
    }

    fn position(&self, address: SocketAddr) -> Option<usize> {
        let is_meant = |listener: &TcpListener| {
            listener.local_addr().is_ok_and(|passed| {
                let is_any = passed.ip().is_unspecified() || address.ip().is_unspecified();
                passed.port() == address.port() && (is_any || passed.ip() == address.ip())
            })
        };
        self.0.iter().position(is_meant)
    }
}

impl Listeners {
    /// Listens; `threads` is the number of listeners.
    ///
    /// Another process of the same user can listen on the same address besides (SO_REUSEPORT), to take over before this one ends:
    /// whether somebody listens there is for the caller to ask ([`taken`]).
    pub fn open(address: SocketAddr, threads: usize, inherited: &mut Inherited) -> io::Result<Self> {
        if let Some(listener) = inherited.of(address) {
            listener.set_nonblocking(true)?;
            socket::set_up(&listener)?;
            let each: io::Result<Vec<TcpListener>> = (0..threads).map(|_| listener.try_clone()).collect();
            return Ok(Self {
                each: each?,
                address: listener.local_addr()?,
                are_inherited: true,
            });
        }
        let first = bind(address)?;
        let address = first.local_addr()?;
        let mut each = vec![first];
        while each.len() < threads {
            each.push(bind(address)?);
        }
        Ok(Self {
            each,
            address,
            are_inherited: false,
        })
    }
}

/// The error of who would listen where another process does.
pub fn taken(address: SocketAddr) -> Option<io::Error> {
    let bound = socket_for(address).and_then(|socket| socket.bind(address));
    bound.err().filter(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket_for(address)?;
    socket.set_reuseport(true)?;
    socket::set_up(&socket)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

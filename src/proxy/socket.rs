//! The options of every connection of a proxy, how one is reset, and which failures are for want of something here.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// An idle peer is asked after this long whether it is still there. A Network Load Balancer forgets a flow after 350 s.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// And again this often,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// so many times. A host that stood still for a moment asks thousands of peers at once then, more than its own queue takes,
/// and what the queue drops comes back as one burst again: each time fewer.
const KEEPALIVE_COUNT: u32 = 9;

/// Sends small messages at once, and notices a peer that vanished. Connections have it from the socket that accepts them.
pub fn set_up(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(&socket, true)?;
    keep_alive(socket)
}

/// Notices a peer that vanished.
pub fn keep_alive(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&socket, KEEPALIVE_COUNT)?;
    Ok(())
}

/// Connects, and sends small messages at once. Whoever keeps the connection calls [`keep_alive`].
///
/// What tokio does for a connect besides, asking the socket for an error that the kernel has told already, costs a system
/// call, and so do the options that a short session has no use for.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from_std(socket.into())?;
    let ready = stream.ready(Interest::WRITABLE | Interest::ERROR).await?;
    if (ready.is_error() || ready.is_write_closed())
        && let Some(error) = stream.take_error()?
    {
        return Err(error);
    }
    Ok(stream)
}

/// Closes a connection so that its peer notices even if it is not reading: with a reset.
pub fn reset(stream: TcpStream) {
    reset_on_close(&stream);
}

/// Makes the end of a connection a reset.
pub fn reset_on_close(stream: &TcpStream) {
    // A connection that is gone already needs none.
    let _ = stream.set_zero_linger();
}

/// Whether a connection failed for want of descriptors, memory or ports here. That says nothing about the other side.
pub fn is_lack(error: &io::Error) -> bool {
    let lacks = [
        Errno::ADDRNOTAVAIL,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
    ];
    Errno::from_io_error(error).is_some_and(|error| lacks.contains(&error))
}

//! The sockets that name servers are asked through.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Tokio's sockets, those of UDP connected: the kernel then tells at once that nobody listens where a name server should be, which is
/// otherwise the same as a lost answer. hickory-net says not to connect them, for systems that send nothing to an address by a connected
/// socket; Linux does.
#[derive(Clone, Default)]
pub(super) struct Connected(TokioRuntimeProvider);

/// A connected socket.
pub(super) struct Socket(UdpSocket);

impl RuntimeProvider for Connected {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Socket;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        from: Option<SocketAddr>,
        within: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        self.0.connect_tcp(server, from, within)
    }

    fn bind_udp(
        &self,
        from: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(from).await?;
            socket.connect(server).await?;
            Ok(Socket(socket))
        })
    }
}

impl Socket {
    /// Waits for a datagram, or for what the kernel has against the one that was sent: that alone wakes nobody who waits for a datagram.
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let nothing = || io::Error::from(ErrorKind::WouldBlock);
        let refused = || self.0.take_error()?.map_or_else(|| Err(nothing()), Err);
        loop {
            self.0.ready(Interest::READABLE | Interest::ERROR).await?;
            let received = match self.0.try_recv_from(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.0.try_io(Interest::ERROR, refused),
                received => received,
            };
            match received {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }
}

impl DnsUdpSocket for Socket {
    type Time = TokioTime;

    fn poll_recv_from(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        DnsUdpSocket::poll_recv_from(&self.0, context, buffer)
    }

    fn recv_from<'s, 'b, 'f>(
        &'s self,
        buffer: &'b mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<(usize, SocketAddr)>> + Send + 'f>>
    where
        's: 'f,
        'b: 'f,
        Self: 'f,
    {
        Box::pin(self.receive(buffer))
    }

    fn poll_send_to(&self, context: &mut Context<'_>, buffer: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(context, buffer, to)
    }
}

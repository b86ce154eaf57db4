//! The sockets that name servers are asked through.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use hickory_resolver::net::runtime::{
    DnsTcpStream, DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// The largest answer that is read, in bytes. What takes 16 aliases and 64 addresses is smaller; 64 KiB by TCP can be made to take
/// hickory-proto 0.26 a tenth of a second and more.
pub const ANSWER_MAX: usize = 8192;

/// Tokio's sockets, those of UDP connected: the kernel then tells at once that nobody listens where a name server should be, which is
/// otherwise the same as a lost answer. hickory-net says not to connect them, for systems that send nothing to an address by a connected
/// socket; Linux does.
#[derive(Clone, Default)]
pub struct Connected(TokioRuntimeProvider);

/// A connected socket.
pub struct Socket(UdpSocket);

impl RuntimeProvider for Connected {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Socket;
    type Tcp = Bounded<<TokioRuntimeProvider as RuntimeProvider>::Tcp>;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        from: Option<SocketAddr>,
        within: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        let connecting = self.0.connect_tcp(server, from, within);
        Box::pin(async move { connecting.await.map(Bounded) })
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

/// A connection on which no answer larger than [`ANSWER_MAX`] is read. hickory-net reads each into a buffer of the length that was
/// announced, and first of all asks for the whole. Public for tests.
pub struct Bounded<T>(pub T);

impl<T: DnsTcpStream> DnsTcpStream for Bounded<T> {
    type Time = T::Time;
}

impl<T: AsyncRead + Unpin> AsyncRead for Bounded<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if buffer.len() > ANSWER_MAX {
            let what = format!(
                "an answer of {} bytes, more than the {ANSWER_MAX} that one may have",
                buffer.len()
            );
            return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, what)));
        }
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Bounded<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(context)
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

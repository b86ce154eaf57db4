//! A server that speaks as much PostgreSQL as SSLRequest needs, with certificates made on the spot.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use testkit::certificate::Certified;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// How it behaves.
#[derive(Clone)]
pub enum Manner {
    /// Answers S and shakes hands with this certificate.
    Tls(Arc<ServerConfig>),
    /// Answers N.
    Plain,
    /// Accepts and never says a word.
    Silent,
    /// Says something of its own accord, as MySQL does.
    Says(&'static [u8]),
    /// Accepts and closes.
    Closes,
    /// Answers S and never shakes hands.
    Stalls,
    /// Answers S and then speaks no TLS.
    Babbles,
    /// Speaks TLS with this certificate from the first byte, and passes on what it hears to an address.
    Front(Arc<ServerConfig>, SocketAddr),
}

/// A running server; it ends when dropped.
pub struct Postgres {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Postgres {
    pub fn start(manner: Manner) -> Self {
        let (ready, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = accept(listener, manner) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: address.recv().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// Ends TLS with this certificate and passes what comes on to `behind`.
pub fn terminate_tls(certified: Certified, behind: SocketAddr) -> Postgres {
    let Manner::Tls(config) = with(certified) else {
        unreachable!("with() makes nothing else");
    };
    Postgres::start(Manner::Front(config, behind))
}

async fn accept(listener: TcpListener, manner: Manner) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, manner.clone()));
    }
}

async fn serve(mut stream: TcpStream, manner: Manner) {
    let mut request = [0; 8];
    match manner {
        Manner::Closes => return,
        Manner::Silent => std::future::pending().await,
        Manner::Front(config, behind) => {
            let Ok(mut tls) = TlsAcceptor::from(config).accept(stream).await else {
                return;
            };
            let mut behind = TcpStream::connect(behind).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut tls, &mut behind).await;
            return;
        }
        Manner::Says(bytes) => {
            let _ = stream.write_all(bytes).await;
            let _ = stream.read(&mut request).await;
            return;
        }
        _ => {}
    }
    if stream.read_exact(&mut request).await.is_err() {
        return;
    }
    assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47], "an SSLRequest");
    let answer: &[u8] = if matches!(manner, Manner::Plain) { b"N" } else { b"S" };
    let _ = stream.write_all(answer).await;
    match manner {
        Manner::Tls(config) => {
            if let Ok(mut tls) = TlsAcceptor::from(config).accept(stream).await {
                let _ = tls.read(&mut request).await;
            }
        }
        Manner::Babbles => {
            let _ = stream.write_all(b"this is no TLS record at all").await;
            let _ = stream.read(&mut request).await;
        }
        _ => std::future::pending().await,
    }
}

/// With TLS and this certificate.
pub fn with(certified: Certified) -> Manner {
    let key = PrivateKeyDer::try_from(certified.key_der).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.der.into()], key)
        .unwrap();
    Manner::Tls(Arc::new(config))
}

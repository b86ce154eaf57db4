//! A stand-in for PostgreSQL that starts up for as long as a test wants, and counts who came.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use testkit::certificate::{Authority, Certified, NOW};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};

use super::world::{connect, wait_until};

const SSL_REQUEST: u32 = 80_877_103;

/// What it says to a start-up message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// FATAL 57P03
    StartingUp,
    /// A session.
    Ready,
    /// FATAL 28000, as a server that knows no such role.
    Strict,
}

/// It greets with its address the clients that it takes, and repeats what they say.
pub struct Postgres {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    mood: Mutex<Mood>,
    tls: Option<Arc<ServerConfig>>,
    is_over: AtomicBool,
    sessions: Mutex<Vec<TcpStream>>,
    /// Start-up messages of the proxy's own, of clients, and connections that said nothing.
    questions: AtomicUsize,
    clients: AtomicUsize,
    bare: AtomicUsize,
    /// Connections that only asked for TLS.
    languages: AtomicUsize,
    /// Clients that were told that it is starting up.
    turned_away: AtomicUsize,
}

impl Postgres {
    pub fn start(address: SocketAddr, mood: Mood) -> Self {
        Self::start_with(address, mood, None)
    }

    /// The same, with TLS for who asks for it.
    pub fn start_with(address: SocketAddr, mood: Mood, tls: Option<Arc<ServerConfig>>) -> Self {
        let mut listener = None;
        wait_until(&format!("{address} is free"), || {
            listener = TcpListener::bind(address).ok();
            listener.is_some()
        });
        let listener = listener.expect("just waited for");
        let shared = Arc::new(Shared {
            mood: Mutex::new(mood),
            tls,
            is_over: AtomicBool::new(false),
            sessions: Mutex::default(),
            questions: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
            bare: AtomicUsize::new(0),
            languages: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
        });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if shared.is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || shared.serve(stream, address));
                }
            }
        });
        Self { address, shared }
    }

    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().expect("no panic") = mood;
    }

    /// Start-up messages of the proxy's own.
    pub fn questions(&self) -> usize {
        self.shared.questions.load(Ordering::SeqCst)
    }

    /// Clients that were given a session.
    pub fn clients(&self) -> usize {
        self.shared.clients.load(Ordering::SeqCst)
    }

    /// Connections of the proxy's own: questions, and those that only wanted to see somebody there.
    pub fn probes(&self) -> usize {
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        count(&self.shared.bare) + count(&self.shared.languages) + self.questions()
    }

    /// Clients that were told that it is starting up.
    pub fn turned_away(&self) -> usize {
        self.shared.turned_away.load(Ordering::SeqCst)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for session in &*self.shared.sessions.lock().expect("no panic") {
            let _ = session.shutdown(Shutdown::Both);
        }
        // It notices with the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream, address: SocketAddr) {
        let mut message = match read_start_up(&mut stream) {
            Ok(message) => message,
            Err(_) => {
                self.bare.fetch_add(1, Ordering::SeqCst);
                return;
            }
        };
        if let (SSL_REQUEST, Some(tls)) = (message.code, &self.tls) {
            let _ = stream.write_all(b"S");
            let mut tls = ServerConnection::new(Arc::clone(tls)).expect("a server");
            // Nobody has a certificate to show to who wants one; within TLS it is always starting up.
            if tls.complete_io(&mut stream).is_ok() {
                let mut stream = Stream::new(&mut tls, &mut stream);
                if read_start_up(&mut stream).is_ok() {
                    starting_up(&mut stream);
                }
            }
            return;
        }
        if message.code == SSL_REQUEST {
            let read = stream.write_all(b"N").and_then(|()| read_start_up(&mut stream));
            match read {
                Ok(next) => message = next,
                Err(_) => {
                    self.languages.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
        }
        let is_question = message.text.contains("user\0rds-tether\0");
        if is_question {
            self.questions.fetch_add(1, Ordering::SeqCst);
        }
        let mood = *self.mood.lock().expect("no panic");
        match mood {
            Mood::StartingUp => {
                if !is_question {
                    self.turned_away.fetch_add(1, Ordering::SeqCst);
                }
                return starting_up(&mut stream);
            }
            Mood::Strict if is_question => {
                return fatal(&mut stream, "28000", "role \"rds-tether\" does not exist");
            }
            Mood::Ready if is_question => {
                // AuthenticationSASL; whoever asks goes then.
                let _ = stream.write_all(&framed(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"));
                let _ = stream.read(&mut [0]);
                return;
            }
            Mood::Ready | Mood::Strict => {}
        }
        self.clients.fetch_add(1, Ordering::SeqCst);
        let session = stream.try_clone().expect("descriptors enough");
        self.sessions.lock().expect("no panic").push(session);
        let _ = stream.write_all(format!("{}\n", address.ip()).as_bytes());
        let mut bytes = [0; 512];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            if stream.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        // Another handle is kept.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn fatal(stream: &mut impl Write, code: &str, text: &str) {
    let fields = format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0");
    let _ = stream.write_all(&framed(b'E', fields.as_bytes()));
    let _ = stream.flush();
}

fn starting_up(stream: &mut impl Write) {
    fatal(stream, "57P03", "the database system is starting up");
}

struct StartUp {
    code: u32,
    text: String,
}

fn read_start_up(stream: &mut impl Read) -> io::Result<StartUp> {
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let [length, code] = [&head[..4], &head[4..]].map(|word| u32::from_be_bytes(word.try_into().expect("four bytes")));
    let mut text = vec![0; (length as usize).saturating_sub(8).min(4096)];
    stream.read_exact(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(StartUp { code, text })
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// TLS that insists on a certificate of whoever comes.
pub fn wants_certificates() -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let certified = Authority::new().certify(&["orders.internal"], NOW);
    let mut roots = RootCertStore::empty();
    roots
        .add(Certified::by_itself(&["a client"], NOW).der.into())
        .expect("a certificate");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let key = PrivateKeyDer::try_from(certified.key_der).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_client_cert_verifier(verifier.expect("a root"))
        .with_single_cert(vec![certified.der.into()], key);
    Arc::new(config.expect("its own key"))
}

/// TLS with this certificate, for everybody.
pub fn offers(certified: Certified) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(certified.key_der).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.der.into()], key);
    Arc::new(config.expect("its own key"))
}

/// A client that has said that it wants a session, as clients do at once, and waits.
pub fn knock(to: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = connect(to)?;
    let body = [&(3_u32 << 16).to_be_bytes()[..], b"user\0client\0\0"].concat();
    let length = u32::try_from(body.len() + 4).expect("a short message");
    stream.write_all(&[&length.to_be_bytes()[..], &body].concat())?;
    Ok(stream)
}

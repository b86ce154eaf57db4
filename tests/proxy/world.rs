//! An endpoint whose databases listen on addresses of loopback, the built proxy in front of it, and its clients.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use testkit::dns::{self, Behaviour};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::kernel;

use testkit::program::on_a_free_port;
pub use testkit::world::{Daemon, PATIENCE, READER, Scratch, WRITER, assert_says, bare_command, wait_until};

pub const OLD: &str = "127.0.0.2";
pub const NEW: &str = "127.0.0.3";
pub const THIRD: &str = "127.0.0.4";

/// A name server, and a port that the databases of one test listen on.
pub struct World {
    pub dns: dns::Server,
    /// Holds the port on an address that is no database's, so that no other test comes by it.
    port: TcpListener,
}

impl World {
    /// The writer endpoint names the old address; nothing listens there yet.
    pub fn new() -> Self {
        let dns = dns::Server::start();
        dns.set(WRITER, Behaviour::a(OLD, 1));
        // Another process may have the port on one of the databases' addresses.
        let is_free = |port| {
            [OLD, NEW, THIRD]
                .iter()
                .all(|ip| TcpListener::bind((*ip, port)).is_ok())
        };
        let held = |port| TcpListener::bind(("127.0.0.1", port)).ok();
        let port = on_a_free_port(|port| held(port).filter(|_| is_free(port)));
        Self { dns, port }
    }

    pub fn port(&self) -> u16 {
        self.port.local_addr().expect("bound").port()
    }

    /// Where a database listens.
    pub fn at(&self, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().expect("an address"), self.port())
    }

    /// Starts a database on an address.
    pub fn database(&self, ip: &str) -> Database {
        Database::start(self.at(ip))
    }

    /// Listens on an address; what comes is the test's to accept.
    pub fn listener(&self, ip: &str) -> Listener {
        Listener::bind(self.at(ip))
    }

    /// The writer endpoint names these addresses from now on.
    pub fn move_to(&self, addresses: &[&str]) {
        self.dns.set(WRITER, Behaviour::all(addresses, 1));
    }

    /// `proxy` for the writer endpoint on a port that the kernel picks, with further arguments, looking once a second.
    pub fn command(&self, arguments: &str) -> Command {
        self.command_for(WRITER, &format!("--interval 1s {arguments}"))
    }

    /// `proxy` for an endpoint on a port that the kernel picks, with further arguments.
    pub fn command_for(&self, host: &str, arguments: &str) -> Command {
        let mut command = bare_command("http://127.0.0.1:9");
        command
            .args(["proxy", "--nameserver", &self.dns.addr().to_string()])
            .args(["--endpoint", &format!("{host}:{}", self.port())])
            .args(arguments.split_whitespace());
        // Each connection to a database is then a client's, or told of in the test.
        for (flag, value) in [("--readiness", "tcp"), ("--probe-interval", "10s")] {
            if !arguments.contains(flag) {
                command.args([flag, value]);
            }
        }
        if !arguments.contains("--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command
    }

    /// Starts [`World::command`].
    #[track_caller]
    pub fn proxy(&self, arguments: &str) -> Proxy {
        Proxy::start(&mut self.command(arguments))
    }
}

/// A running proxy; killed when dropped.
pub struct Proxy {
    pub daemon: Daemon,
    pub address: SocketAddr,
}

impl Proxy {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let daemon = Daemon::start(command);
        let address = daemon.told_after("listening on ");
        let address = address.parse().unwrap_or_else(|error| panic!("{error}: {address}"));
        Self { daemon, address }
    }

    /// A client that was greeted.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address).unwrap_or_else(|error| panic!("{error}:\n{}", self.daemon.log()))
    }

    /// The address of the database that a new client reaches.
    #[track_caller]
    pub fn leads_to(&self) -> String {
        self.client().at
    }

    /// A client's end of a connection, and the database's.
    #[track_caller]
    pub fn session(&self, listener: &Listener) -> (TcpStream, TcpStream) {
        let client = connect(self.address).expect("the proxy listens");
        (client, listener.accept())
    }

    /// Connections are closed with a reset.
    #[track_caller]
    pub fn assert_refuses(&self) {
        assert_refused(Client::connect(self.address).err(), &self.daemon.log());
    }

    /// What the process holds in memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.daemon.child.id());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.expect("a number of KiB")
    }

    /// The open descriptors of the process.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.daemon.child.id());
        std::fs::read_dir(path).expect("the process runs").count()
    }
}

/// The address that a line of the log says after these words.
#[track_caller]
pub fn address_after(line: &str, words: &str) -> SocketAddr {
    let (_, rest) = line
        .split_once(words)
        .unwrap_or_else(|| panic!("no {words:?} in {line}"));
    let end = rest.find([' ', '/']).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// How often a line with these parts is in the log.
pub fn times_logged(daemon: &Daemon, parts: &[&str]) -> usize {
    let log = daemon.log();
    let lines = log.lines();
    lines
        .filter(|line| parts.iter().all(|part| line.contains(part)))
        .count()
}

/// Connects, with limits on how long each read and write may take.
pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    patient(&stream);
    Ok(stream)
}

/// Connects from an address of loopback.
pub fn connect_from(ip: &str, to: SocketAddr) -> io::Result<TcpStream> {
    let ip: IpAddr = ip.parse().expect("an address");
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(ip, 0))?;
    rustix::net::connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    patient(&stream);
    Ok(stream)
}

fn patient(stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
    stream.set_nodelay(true).expect("an open connection");
}

/// A connection was refused with a reset, not with an end in order.
#[track_caller]
pub fn assert_refused(error: Option<io::Error>, log: &str) {
    let kind = error.map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::ConnectionReset), "{log}");
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    InOrder,
    Reset,
}

/// Reads to the end, which must come in time.
#[track_caller]
pub fn read_to_end(mut stream: &TcpStream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => (bytes, End::InOrder),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (bytes, End::Reset),
        Err(error) => panic!("the stream did not end: {error}"),
    }
}

/// A client that a [`Database`] has greeted.
#[derive(Debug)]
pub struct Client {
    pub stream: TcpStream,
    /// The address of its database.
    pub at: String,
}

impl Client {
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        Self::greeted(connect(to)?)
    }

    /// Waits for the greeting.
    pub fn greeted(mut stream: TcpStream) -> io::Result<Self> {
        let mut greeting = Vec::new();
        while greeting.last() != Some(&b'\n') {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            greeting.extend(byte);
        }
        let at = String::from_utf8_lossy(&greeting).trim_end().to_owned();
        Ok(Self { stream, at })
    }

    /// One round trip.
    pub fn round_trip(&mut self) -> io::Result<()> {
        let mut heard = [0; 4];
        self.stream.write_all(b"ping")?;
        self.stream.read_exact(&mut heard)?;
        assert_eq!(&heard, b"ping");
        Ok(())
    }

    #[track_caller]
    pub fn assert_served(&mut self) {
        self.round_trip()
            .unwrap_or_else(|error| panic!("a session to {}: {error}", self.at));
    }

    /// Its session ends with a reset.
    #[track_caller]
    pub fn assert_cut(&self) {
        assert_eq!(read_to_end(&self.stream), (Vec::new(), End::Reset), "{}", self.at);
    }
}

/// Listens on an address as soon as it is free. What a test closes stays open for a moment longer in processes that are
/// just being started by others.
#[track_caller]
fn listen(address: SocketAddr) -> TcpListener {
    let mut listener = None;
    wait_until(&format!("{address} is free"), || {
        listener = TcpListener::bind(address).ok();
        listener.is_some()
    });
    listener.expect("just waited for")
}

/// Where connections wait to be accepted.
pub struct Listener(TcpListener);

impl Listener {
    pub fn bind(address: SocketAddr) -> Self {
        let listener = listen(address);
        // On a socket that listens, this limits accept(2).
        sockopt::set_socket_timeout(&listener, sockopt::Timeout::Recv, Some(PATIENCE)).expect("a limit");
        Self(listener)
    }

    /// The next connection, which must come in time.
    #[track_caller]
    pub fn accept(&self) -> TcpStream {
        let (stream, _) = self.0.accept().expect("a connection");
        patient(&stream);
        stream
    }
}

/// Greets each client with its address, then repeats what it is told. When dropped it resets all its sessions and listens
/// no more.
pub struct Database {
    address: SocketAddr,
    accepted: Arc<(Mutex<usize>, Condvar)>,
    resets: Option<mpsc::UnboundedSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Database {
    fn start(address: SocketAddr) -> Self {
        let listener = listen(address);
        let accepted = Arc::default();
        let (resets, orders) = mpsc::unbounded_channel();
        let thread = thread::spawn({
            let accepted = Arc::clone(&accepted);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime needs no more than a few descriptors");
                runtime
                    .block_on(serve(listener, &accepted, orders))
                    .expect("a listener");
            }
        });
        Self {
            address,
            accepted,
            resets: Some(resets),
            thread: Some(thread),
        }
    }

    /// Resets all its sessions and goes on listening.
    pub fn reset_sessions(&self) {
        let sent = self.resets.as_ref().map(|resets| resets.send(()));
        assert!(sent.is_some_and(|sent| sent.is_ok()), "the database has ended");
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        *self.accepted.0.lock().expect("no panic")
    }

    /// Waits for so many connections in all.
    #[track_caller]
    pub fn wait_for_connections(&self, count: usize) {
        let (accepted, more) = &*self.accepted;
        let waited = more.wait_timeout_while(accepted.lock().expect("no panic"), PATIENCE, |accepted| {
            *accepted < count
        });
        let (accepted, waited) = waited.expect("no panic");
        assert!(!waited.timed_out(), "{} of {count} connections came", *accepted);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.resets = None;
        let ended = self.thread.take().map(JoinHandle::join);
        if thread::panicking() {
            return;
        }
        assert!(ended.is_none_or(|ended| ended.is_ok()), "a database panicked");
        // See `listen`.
        wait_until("nothing listens any more", || !kernel::is_listened_on(self.address));
    }
}

async fn serve(
    listener: TcpListener,
    accepted: &(Mutex<usize>, Condvar),
    mut resets: mpsc::UnboundedReceiver<()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let greeting = format!("{}\n", listener.local_addr()?.ip());
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            reset = resets.recv() => match reset {
                Some(()) => sessions.abort_all(),
                None => return Ok(()),
            },
            taken = listener.accept() => {
                let (stream, _) = taken?;
                *accepted.0.lock().expect("no panic") += 1;
                accepted.1.notify_all();
                sessions.spawn(repeat(stream, greeting.clone()));
            }
            Some(_) = sessions.join_next() => {}
        }
    }
}

async fn repeat(mut stream: tokio::net::TcpStream, greeting: String) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Until it has ended in order.
    stream.set_zero_linger()?;
    stream.write_all(greeting.as_bytes()).await?;
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    sockopt::set_socket_linger(&stream, None)?;
    Ok(())
}

//! Stopping, starting again on an inherited socket, and handing over to a second process.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketType};
use rustix::process::Uid;
use rustix::thread::set_thread_uid;

use super::hole::BlackHole;
use testkit::dns::Behaviour;
use testkit::world::assert_exit;

use super::world::{
    Client, End, NEW, OLD, Proxy, READER, WRITER, World, assert_says, connect, read_to_end, wait_until,
};

/// Connections that come at once.
const MANY: usize = 32;
/// A user that owns nothing.
const NOBODY: u32 = 65534;

#[test]
fn told_to_stop_it_accepts_no_more_and_ends_with_its_last_session() {
    let world = World::new();
    let _database = world.database(OLD);
    let proxy = world.proxy("--drain 1h");
    let mut sessions = [proxy.client(), proxy.client()];
    proxy.daemon.signal("TERM");
    proxy.daemon.wait_for_log(&["stopping: 2 sessions through 1 proxy"]);
    wait_until("nothing listens", || connect(proxy.address).is_err());
    sessions.iter_mut().for_each(Client::assert_served);
    let [first, mut last] = sessions;
    drop(first);
    last.assert_served();
    proxy.daemon.wait_for_log(&["go on for up to"]);
    drop(last);
    let (status, log) = proxy.daemon.ended();
    assert!(status.success(), "{log}");
}

#[test]
fn without_sessions_it_stops_at_once() {
    let world = World::new();
    let _database = world.database(OLD);
    for signal in ["TERM", "INT"] {
        let proxy = world.proxy("--drain 1h");
        proxy.client().assert_served();
        proxy.daemon.signal(signal);
        let (status, log) = proxy.daemon.ended();
        assert!(status.success(), "{log}");
    }
}

#[test]
fn sessions_that_are_left_when_the_drain_is_over_are_reset_on_both_sides() {
    for drain in ["0s", "1s"] {
        let world = World::new();
        let listener = world.listener(OLD);
        let proxy = world.proxy(&format!("--drain {drain}"));
        let sessions = [proxy.session(&listener), proxy.session(&listener)];
        proxy.daemon.signal("TERM");
        for (client, upstream) in &sessions {
            assert_eq!(read_to_end(client), (Vec::new(), End::Reset), "{drain}");
            assert_eq!(read_to_end(upstream), (Vec::new(), End::Reset), "{drain}");
        }
        let (status, log) = proxy.daemon.ended();
        assert!(status.success(), "{log}");
        assert_says(&log, &["cutting 2 sessions of"]);
    }
}

#[test]
fn told_twice_it_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let world = World::new();
        let _database = world.database(OLD);
        let proxy = world.proxy("--drain 1h");
        let client = proxy.client();
        proxy.daemon.signal(first);
        proxy.daemon.wait_for_log(&["1 session of", "may go on for up to"]);
        proxy.daemon.signal(second);
        let (status, log) = proxy.daemon.ended();
        assert!(status.success(), "{log}");
        assert_says(&log, &["told again to stop"]);
        drop(client);
    }
}

#[test]
fn a_connection_that_is_still_being_made_belongs_to_what_goes_on() {
    let world = World::new();
    let hole = BlackHole::dig(world.at(OLD));
    let _database = world.database(NEW);
    let proxy = world.proxy("--drain 1h");
    let stream = connect(proxy.address).expect("it listens");
    wait_until("it is being connected", || hole.waiting() == 1);
    proxy.daemon.signal("TERM");
    proxy.daemon.wait_for_log(&["1 session of", "may go on for up to"]);
    world.move_to(&[NEW]);
    let mut client = Client::greeted(stream).expect("a database");
    client.assert_served();
    drop(client);
    assert!(proxy.daemon.ended().0.success());
}

/// Stopped by a signal that is no end, it accepts nothing; then both the connections that wait and the end are there at once.
#[test]
fn connections_that_wait_to_be_accepted_when_it_is_told_to_stop_are_served() {
    let world = World::new();
    let _database = world.database(OLD);
    // What its threads come to first differs from time to time.
    for _ in 0..10 {
        let proxy = world.proxy("--drain 1h");
        assert_eq!(proxy.leads_to(), OLD);
        proxy.daemon.signal("STOP");
        let waiting: Vec<_> = (0..MANY).map(|_| connect(proxy.address).expect("it listens")).collect();
        proxy.daemon.signal("TERM");
        proxy.daemon.signal("CONT");
        for (number, stream) in waiting.into_iter().enumerate() {
            let client = Client::greeted(stream).and_then(|mut client| client.round_trip());
            assert!(
                client.is_ok(),
                "connection {number}: {client:?}\n{}",
                proxy.daemon.log()
            );
        }
        assert!(proxy.daemon.ended().0.success());
    }
}

/// The command, with a listening socket passed on to it as a service manager does (sd_listen_fds(3)).
fn activated(command: &Command, socket: &TcpListener) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell
        .args([
            "-c",
            "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\" 3<&0 </dev/null",
        ])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().expect("a descriptor"))));
    shell
}

/// A socket that outlives the processes that accept from it.
struct Socket {
    listener: TcpListener,
    address: SocketAddr,
}

impl Socket {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = listener.local_addr().expect("bound");
        Self { listener, address }
    }

    #[track_caller]
    fn proxy(&self, world: &World) -> Proxy {
        let command = world.command(&format!("--listen {}", self.address));
        Proxy::start(&mut activated(&command, &self.listener))
    }
}

#[test]
fn connections_to_an_inherited_socket_wait_while_no_process_runs() {
    let world = World::new();
    let _database = world.database(OLD);
    let socket = Socket::open();
    for _ in 0..2 {
        let waiting: Vec<_> = (0..MANY)
            .map(|_| connect(socket.address).expect("it listens"))
            .collect();
        let proxy = socket.proxy(&world);
        assert_eq!(proxy.address, socket.address);
        for stream in waiting {
            let mut client = Client::greeted(stream).expect("a database");
            client.assert_served();
        }
        let (status, log) = proxy.daemon.stop();
        assert!(status.success(), "{log}");
    }
}

#[test]
fn an_inherited_socket_that_no_proxy_wants_is_told_of() {
    let world = World::new();
    let _database = world.database(OLD);
    let socket = Socket::open();
    let proxy = Proxy::start(&mut activated(&world.command(""), &socket.listener));
    assert_ne!(proxy.address, socket.address);
    assert_eq!(proxy.leads_to(), OLD);
    let told = proxy.daemon.wait_for_log(&["which no proxy listens on"]);
    assert_says(&told, &[&socket.address.to_string()]);
}

/// Connects again and again, with a round trip each, until dropped.
struct Regulars {
    is_over: AtomicBool,
    served: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Regulars {
    /// Has them come while something happens; gives how they failed.
    fn come(to: SocketAddr, meanwhile: impl FnOnce(&Self)) -> Vec<String> {
        let regulars = Self {
            is_over: AtomicBool::new(false),
            served: AtomicUsize::new(0),
            failures: Mutex::default(),
        };
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| regulars.keep_coming(to));
            }
            let happened = catch_unwind(AssertUnwindSafe(|| meanwhile(&regulars)));
            regulars.is_over.store(true, Ordering::Relaxed);
            if let Err(panic) = happened {
                resume_unwind(panic);
            }
        });
        regulars.failures.into_inner().expect("no panic")
    }

    fn keep_coming(&self, to: SocketAddr) {
        while !self.is_over.load(Ordering::Relaxed) {
            match Client::connect(to).and_then(|mut client| client.round_trip()) {
                Ok(()) => _ = self.served.fetch_add(1, Ordering::Relaxed),
                Err(error) => self.failures.lock().expect("no panic").push(error.to_string()),
            }
        }
    }

    /// Waits until so many more have been served.
    #[track_caller]
    fn wait_for(&self, more: usize) {
        let before = self.served.load(Ordering::Relaxed);
        wait_until("clients are served", || {
            self.served.load(Ordering::Relaxed) >= before + more
        });
    }
}

#[test]
fn no_connection_fails_while_a_process_with_an_inherited_socket_is_restarted() {
    let world = World::new();
    let _database = world.database(OLD);
    let socket = Socket::open();
    let mut running = Some(socket.proxy(&world));
    let failures = Regulars::come(socket.address, |regulars| {
        for _ in 0..3 {
            regulars.wait_for(100);
            let (status, log) = running.take().expect("started").daemon.stop();
            assert!(status.success(), "{log}");
            running = Some(socket.proxy(&world));
        }
        regulars.wait_for(100);
    });
    assert!(failures.is_empty(), "{failures:?}");
}

/// Two that listen on one port share its clients: they have to want the same for them.
#[test]
fn nobody_listens_beside_another_unless_it_takes_over_the_same_endpoint() {
    let world = World::new();
    let _database = world.database(OLD);
    world.dns.set(READER, Behaviour::a(OLD, 1));
    let first = world.proxy("");
    let process = first.daemon.child.id();
    let listen = format!("--listen {}", first.address);
    let foreign = TcpListener::bind("127.0.0.1:0").expect("an address");
    let elsewhere = format!("--listen {}", foreign.local_addr().expect("bound"));
    for (host, arguments, code, says) in [
        (
            WRITER,
            listen.clone(),
            69,
            format!("process {process}, for the same endpoint, does already"),
        ),
        (
            READER,
            listen.clone(),
            78,
            format!("process {process} serves {WRITER}:{}", world.port()),
        ),
        (
            READER,
            format!("{listen} --replace"),
            78,
            format!("process {process} serves {WRITER}:{}", world.port()),
        ),
        (WRITER, elsewhere.clone(), 69, "in use".to_owned()),
        (
            WRITER,
            format!("{elsewhere} --replace"),
            78,
            "no rds-tether that says which endpoint".to_owned(),
        ),
    ] {
        let text = assert_exit(&mut world.command_for(host, &arguments), code);
        assert_says(&text, &["cannot ", &says, ", or "]);
    }
    for _ in 0..20 {
        first.client().assert_served();
    }
    // The control, which a_process_hands_over_to_another_that_listens_beside_it has in full.
    let second = world.proxy(&format!("{listen} --replace"));
    assert_eq!(second.address, first.address);
}

/// Takes a name by which a process says what it serves at an address, and has a queue for one connection.
pub fn squatter(listen: SocketAddr, process: u32) -> OwnedFd {
    let socket = open();
    net::bind(&socket, &name_of(listen, process)).expect("a free name");
    net::listen(&socket, 0).expect("bound");
    socket
}

/// Accepts a connection and says something that has no end.
pub fn dribble(squatter: &OwnedFd) {
    let stream = net::accept(squatter).map(UnixStream::from);
    let mut stream = stream.expect("a connection");
    while stream.write_all(b".").is_ok() {
        thread::sleep(Duration::from_millis(300));
    }
}

/// Fills its queue.
fn queued(listen: SocketAddr, process: u32) -> OwnedFd {
    let socket = open();
    net::connect(&socket, &name_of(listen, process)).expect("room for one");
    socket
}

fn open() -> OwnedFd {
    net::socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket")
}

fn name_of(listen: SocketAddr, process: u32) -> SocketAddrUnix {
    SocketAddrUnix::new_abstract_name(format!("rds-tether/proxy/{listen}/{process}").as_bytes()).expect("short")
}

/// Anybody may take the names by which processes say what they serve, and then not say it. Fails if whoever asks waits for that.
#[test]
fn a_name_that_is_taken_and_never_answers_holds_nobody_up() {
    let world = World::new();
    let _database = world.database(OLD);
    for is_full in [true, false] {
        let foreign = TcpListener::bind("127.0.0.1:0").expect("an address");
        let listen = foreign.local_addr().expect("bound");
        let squatter = squatter(listen, 1);
        let mut waiting = Vec::new();
        if is_full {
            waiting.push(queued(listen, 1));
        } else {
            thread::spawn(move || dribble(&squatter));
        }
        for (arguments, code, says) in [
            ("", 69, "in use"),
            ("--replace", 78, "no rds-tether that says which endpoint"),
        ] {
            if is_full || arguments.is_empty() {
                let mut command = world.command_for(WRITER, &format!("--listen {listen} {arguments}"));
                assert_says(&assert_exit(&mut command, code), &["cannot ", says]);
            }
        }
    }
}

/// Fails if others can keep a process from being replaced: with a name whose queue is full, or with another user's that says something
/// else (where tests may become another user).
#[test]
fn names_of_others_keep_nobody_from_being_replaced() {
    let world = World::new();
    let _database = world.database(OLD);
    let first = world.proxy("");
    let listen = first.address;
    let full = squatter(listen, 1);
    let waiting = queued(listen, 1);
    let stranger = thread::spawn(move || {
        set_thread_uid(Uid::from_raw(NOBODY)).ok()?;
        Some(squatter(listen, 2))
    });
    if let Some(stranger) = stranger.join().expect("no panic") {
        thread::spawn(move || {
            while let Ok(stream) = net::accept(&stranger) {
                let _ = UnixStream::from(stream).write_all(b"elsewhere:5432");
            }
        });
    }
    let second = world.proxy(&format!("--listen {listen} --replace"));
    assert_eq!(second.address, listen);
    drop((full, waiting));
}

#[test]
fn a_process_hands_over_to_another_that_listens_beside_it() {
    let world = World::new();
    let _database = world.database(OLD);
    let first = world.proxy("--drain 1h");
    let address = first.address;
    let mut kept = first.client();
    let mut second = None;
    let failures = Regulars::come(address, |regulars| {
        regulars.wait_for(100);
        let beside = world.proxy(&format!("--listen {address} --replace"));
        // Both serve now.
        regulars.wait_for(100);
        first.daemon.signal("TERM");
        first.daemon.wait_for_log(&["go on for up to"]);
        regulars.wait_for(200);
        second = Some(beside);
    });
    // A connection that comes in the very moment in which a queue closes is lost unless the kernel moves it.
    let is_moved = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req").is_ok_and(|text| text.trim() == "1");
    assert!(failures.len() <= if is_moved { 0 } else { 1 }, "{failures:?}");
    kept.assert_served();
    drop(kept);
    assert!(first.daemon.ended().0.success());
    assert_eq!(second.expect("started").leads_to(), OLD);
}

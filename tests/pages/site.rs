//! A daemon with one target group and one proxy, and what it serves.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::dns::Behaviour;

use super::world::*;

/// The name that the proxy follows; it stays on loopback, where no target may be.
pub const PROXIED: &str = "reports.cluster-abc123.eu-west-1.rds.amazonaws.com";

/// An answer over HTTP.
pub struct Answer {
    pub status: u16,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Asks for a page as it is typed.
#[track_caller]
pub fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer in time");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let headers = lines.map(|line| line.split_once(": ").expect("a header"));
    Answer {
        status: status.parse().expect("a number"),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

/// Where a daemon says that it serves.
#[track_caller]
pub fn served(daemon: &Daemon) -> SocketAddr {
    let line = daemon.wait_for_log(&["serving http://"]);
    let (_, rest) = line.split_once("serving http://").expect("the line it waited for");
    rest.split('/')
        .next()
        .and_then(|address| address.parse().ok())
        .expect("an address")
}

/// A world, a database that accepts connections, and a daemon that follows both.
pub struct Site {
    pub world: World,
    pub daemon: Daemon,
    pub http: SocketAddr,
    pub database: TcpListener,
    _scratch: Scratch,
}

impl Site {
    /// Everything as it should be.
    pub fn settled() -> Self {
        Self::of(World::settled(), "")
    }

    /// A daemon in this world, with more settings of the target group.
    pub fn of(world: World, settings: &str) -> Self {
        Self::with(world, settings, "")
    }

    /// The same with more settings of DNS, too.
    pub fn with(world: World, settings: &str, dns: &str) -> Self {
        let database = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = database.local_addr().unwrap().port();
        world.dns.set(PROXIED, Behaviour::a("127.0.0.1", 1));
        let scratch = Scratch::new();
        let text = format!(
            "[[target_group]]\narn = \"{}\"\nendpoints = [\"{WRITER}:5432\"]\nforget = \"1s\"\n{settings}\n\
             [[proxy]]\nlisten = \"127.0.0.1:0\"\nendpoint = \"{PROXIED}:{port}\"\n\
             [dns]\nnameservers = [\"{}\"]\n{dns}\n[http]\nlisten = \"127.0.0.1:0\"\n",
            world.arn,
            world.dns.addr()
        );
        let path = scratch.write("config.toml", &text);
        let daemon = Daemon::start(bare_command(&world.elb.url()).arg("run").arg("--config").arg(path));
        Self {
            http: served(&daemon),
            world,
            daemon,
            database,
            _scratch: scratch,
        }
    }

    /// A page, which must be there.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        let answer = ask(self.http, "GET", path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer
    }

    /// The document of /status.
    #[track_caller]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").body).expect("JSON")
    }

    /// Waits until a page is as wanted, and gives what was made of it.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(seen) = look(self) {
                return seen;
            }
            // A page has no event to wait for: it is asked for again, as a browser does.
            thread::park_timeout(Duration::from_millis(10));
        }
        panic!("never so: {what}\n{:#}\n{}", self.status(), self.daemon.log());
    }

    /// Waits until the document has this at a place.
    #[track_caller]
    pub fn wait_for_status(&self, pointer: &str, value: impl Into<Value>) -> Value {
        let value = value.into();
        self.wait_for(&format!("{pointer} is {value}"), |site| {
            let status = site.status();
            (status.pointer(pointer) == Some(&value)).then_some(status)
        })
    }
}

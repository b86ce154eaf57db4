//! A daemon with one target group and one proxy, and what it serves.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use serde_json::Value;
use testkit::certificate::Authority;
use testkit::dns::Behaviour;
use testkit::http::{Answer, ask};
use testkit::program::comes_true;
use testkit::settings::{dns, http, proxy, table, target_group};

use super::world::*;

/// The name that the proxy follows; it stays on loopback, where no target may be.
pub const PROXIED: &str = "reports.cluster-abc123.eu-west-1.rds.amazonaws.com";

/// Where a daemon says that it serves.
#[track_caller]
pub fn served(daemon: &Daemon) -> SocketAddr {
    let address = daemon.told_after("serving http://");
    address.parse().unwrap_or_else(|error| panic!("{error}: {address}"))
}

/// A world, a database that accepts connections, and a daemon that follows both.
pub struct Site {
    pub world: World,
    pub daemon: Daemon,
    pub http: SocketAddr,
    pub database: TcpListener,
    scratch: Scratch,
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
    pub fn with(world: World, settings: &str, dns_settings: &str) -> Self {
        Self::start(world, settings, dns_settings, |_| String::new())
    }

    /// Everything as it should be, a proxy that asks its database who the writer is, which does not answer, and a place where nothing is
    /// tagged.
    pub fn led() -> Self {
        Self::start(World::settled(), "", "", |scratch| {
            let bundle = scratch.write("ca.pem", &Authority::new().pem);
            let password = scratch.write("password", "secret");
            let login = format!("user = \"tether\", password_file = \"{}\"", password.display());
            let place = table("[[discover]]")
                .set("region", "eu-west-1")
                .set("allow_endpoints", vec!["*.example.com"])
                .line("assume_role = { arn = \"arn:aws:iam::111122223333:role/tether\" }");
            format!("ca_bundle = \"{}\"\nlead = {{ {login} }}\n{place}", bundle.display())
        })
    }

    fn start(world: World, settings: &str, dns_settings: &str, of_proxy: impl Fn(&Scratch) -> String) -> Self {
        let database = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = database.local_addr().unwrap().port();
        world.dns.set(PROXIED, Behaviour::a("127.0.0.1", 1));
        let scratch = Scratch::new();
        let text = target_group(&world.arn, &format!("{WRITER}:5432"))
            .set("forget", "1s")
            .line(settings)
            .and(proxy("127.0.0.1:0", &format!("{PROXIED}:{port}")).line(&of_proxy(&scratch)))
            .and(dns(world.dns.addr()).line(dns_settings))
            .and(http("127.0.0.1:0"));
        let path = scratch.write("config.toml", &text);
        let daemon = Daemon::start(bare_command(&world.elb.url()).arg("run").arg("--config").arg(path));
        Self {
            http: served(&daemon),
            world,
            daemon,
            database,
            scratch,
        }
    }

    /// The settings of its daemon.
    pub fn config(&self) -> PathBuf {
        self.scratch.path("config.toml")
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
        let mut seen = None;
        // A page has no event to wait for: it is asked for again, as a browser does.
        comes_true(PATIENCE, || {
            seen = look(self);
            seen.is_some()
        });
        seen.unwrap_or_else(|| panic!("never so: {what}\n{:#}\n{}", self.status(), self.daemon.log()))
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

//! A server, a name for it, and the proxy in front of it.

use std::net::SocketAddr;

use testkit::dns::{self, Behaviour};
use testkit::world::{Daemon, WRITER, bare_command};

use super::client::Via;
use super::server::Server;
use super::stage::Stage;

/// Where the server is at first, and after a failover.
pub const OLD: &str = "127.0.0.2";
pub const NEW: &str = "127.0.0.3";
/// Of the name's address, in seconds.
pub const TTL_SECS: u32 = 1;
pub const LINGER_SECS: u32 = 2;

pub struct Site {
    // Ended in this order.
    pub proxy: Daemon,
    pub server: Server,
    pub dns: dns::Server,
    /// Where clients connect to.
    pub listen: SocketAddr,
}

impl Site {
    /// The name names the old address, where a server is ready.
    pub fn new(stage: &Stage) -> Self {
        Self::of(Server::new(stage))
    }

    /// The same with a server that is not started yet.
    pub fn of(mut server: Server) -> Self {
        server.start_on(OLD);
        let dns = dns::Server::start();
        dns.set(WRITER, Behaviour::a(OLD, TTL_SECS));
        let mut command = bare_command("");
        command
            .args([
                "proxy",
                "--listen",
                "127.0.0.1:0",
                "--endpoint",
                &format!("{WRITER}:{}", server.port()),
            ])
            .args([
                "--nameserver",
                &dns.addr().to_string(),
                "--linger",
                &format!("{LINGER_SECS}s"),
            ]);
        let proxy = Daemon::start(&mut command);
        let listen = proxy.told_after("listening on ");
        Self {
            listen: listen.parse().unwrap_or_else(|error| panic!("{error}: {listen}")),
            proxy,
            server,
            dns,
        }
    }

    /// Through the proxy.
    pub fn via(&self) -> Via {
        Via::at(self.listen)
    }

    /// From now on the name names the new address.
    pub fn flip(&self) {
        self.dns.set(WRITER, Behaviour::a(NEW, TTL_SECS));
    }

    /// Stops the proxy, which must come to a good end; clients have gone before.
    #[track_caller]
    pub fn stop_proxy(self) {
        let (status, log) = self.proxy.stop();
        assert!(status.success(), "{status}:\n{log}");
    }
}

//! A PostgreSQL server that moves with its storage from address to address, and can be killed as a failing host is.

use std::fs;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::Path;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use testkit::postgres;
use testkit::program::{succeed, wait_until};

use super::client::Via;
use super::stage::Stage;

/// What differs from what all tests have.
const SETTINGS: &[&str] = &[
    "wal_level=logical",
    // As consumers ask for it; so it is not the server that ends a session whose client has gone.
    "wal_sender_timeout=0",
];

/// Its storage, and the server if there is one now.
pub struct Server {
    postgres: postgres::Server,
    settings: Vec<String>,
    ip: Option<String>,
}

impl Deref for Server {
    type Target = postgres::Server;

    fn deref(&self) -> &Self::Target {
        &self.postgres
    }
}

impl Server {
    /// New storage, with no server.
    pub fn new(stage: &Stage) -> Self {
        Self {
            postgres: postgres::Server::new(stage.folder(), "trust"),
            settings: SETTINGS.iter().map(ToString::to_string).collect(),
            ip: None,
        }
    }

    /// A standby of a running server, in a folder of its own, not started yet.
    pub fn standby_of(&self, folder: &Path) -> Self {
        let ip = self
            .ip
            .as_ref()
            .and_then(|ip| ip.parse().ok())
            .expect("a running server");
        Self {
            postgres: postgres::Server::standby_of(&self.postgres, ip, folder),
            settings: self.settings.clone(),
            ip: None,
        }
    }

    /// Adds a setting, such as `ssl=on`, for the next start.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.into());
    }

    /// Starts a server on the storage and waits until it is ready.
    pub fn start_on(&mut self, ip: &str) {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let address: Ipv4Addr = ip.parse().expect("an address");
        self.postgres.start_on(address, &settings);
        self.ip = Some(ip.to_owned());
    }

    /// Starts a standby without a primary, which accepts connections and turns them away until it is promoted.
    pub fn start_up_on(&mut self, ip: &str) {
        fs::write(self.storage().join("standby.signal"), "").expect("the storage is there");
        let mut settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        settings.push("hot_standby=off");
        let address: Ipv4Addr = ip.parse().expect("an address");
        self.postgres.start_until("entering standby mode", address, &settings);
        self.ip = Some(ip.to_owned());
    }

    /// Ends the start-up.
    pub fn promote(&self) {
        let mut promote = postgres::as_postgres("pg_ctl", self.storage());
        succeed(promote.args(["promote", "--no-wait", "-D"]).arg(self.storage()));
    }

    /// Sends a signal to all processes of the server.
    pub fn signal(&self, signal: Signal) {
        for pid in self.processes().into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills the server and starts another one with what was set meanwhile.
    pub fn restart_on(&mut self, ip: &str) {
        self.kill();
        self.start_on(ip);
    }

    /// Kills all processes of the server; what the kernel then says to their peers is up to the network.
    pub fn kill(&mut self) {
        wait_until("the end of all processes of the server", || {
            self.signal(Signal::KILL);
            self.processes().is_empty()
        });
        self.postgres.forget();
        self.ip = None;
        // This process is the first of its namespace, and so heir to those whose parent was killed.
        while matches!(waitpid(None, WaitOptions::NOHANG), Ok(Some(_))) {}
    }

    /// What a query returns, without the proxy.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        let ip = self.ip.as_ref().expect("a running server");
        Via::plain(ip, self.port()).query(sql)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.kill();
        }
    }
}

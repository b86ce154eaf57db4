//! Namespaces of its own for a process: its network, its processes and their shared memory end with it, and nobody else sees them. Only root
//! may make them.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio, exit};
use std::thread;

/// The command that runs a program as the first process of its namespaces, so that its end, however it comes, ends all that it has started.
/// The program's arguments are to be added.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args([
            "--net",
            "--pid",
            "--ipc",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(program);
    command
}

/// Ends this process when its standard input does, which the process outside holds open; and brings loopback up.
pub fn set() {
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        exit(1);
    });
    run(Command::new("ip").args(["link", "set", "lo", "up"]), "");
}

/// Runs a command that sets something up, which reads this.
///
/// # Panics
/// If it fails, or is not there.
#[track_caller]
pub fn run(command: &mut Command, input: &str) {
    let spawned = command.stdin(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let written = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let ended = child.wait().expect("its end");
    assert!(written.is_ok() && ended.success(), "{command:?}: {ended}");
}

/// An address whose packets vanish, both ways, until this is dropped.
#[derive(Debug)]
#[must_use = "it is filled when this is dropped"]
pub struct BlackHole(Ipv4Addr);

impl BlackHole {
    /// From now on.
    ///
    /// # Panics
    /// If nftables (Debian package nftables) is missing.
    pub fn open(address: Ipv4Addr) -> Self {
        let table = table(address);
        let rules = format!(
            "table ip {table} {{
                chain input {{
                    type filter hook input priority 0;
                    ip daddr {address} drop;
                    ip saddr {address} drop;
                }}
            }}
"
        );
        run(Command::new("nft").args(["-f", "-"]), &rules);
        Self(address)
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        run(Command::new("nft").args(["delete", "table", "ip", &table(self.0)]), "");
    }
}

/// The name of the table of rules of an address.
fn table(address: Ipv4Addr) -> String {
    format!("hole_{}", address.to_string().replace('.', "_"))
}

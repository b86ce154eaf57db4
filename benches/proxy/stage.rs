//! A network and PID namespace of its own, in which everything happens, and which leaves nothing behind.
//!
//! Its loopback device is subject to no firewall and no congestion control of the machine: with BBR, for example, loopback is
//! paced, which hides every difference between proxies.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::panic::{set_hook, take_hook};
use std::process::{Command, ExitCode, Stdio, exit};
use std::thread;

use rustix::process::geteuid;

/// What `main` is given when it is called to play on the stage.
pub const INSIDE: &str = "inside";

/// What is set below /proc/sys/net/ipv4. The buffers are those of the kernel of Debian 12.
const SETTINGS: &[(&str, &str)] = &[
    ("tcp_congestion_control", "reno"),
    ("tcp_rmem", "4096 131072 6291456"),
    ("tcp_wmem", "4096 16384 4194304"),
    ("ip_local_port_range", "10000 65000"),
    // No connection may take the port of a listener that is about to start.
    ("ip_local_reserved_ports", "9000-9099,15432"),
];

/// Runs this program again, on the stage.
///
/// It is the first process of its PID namespace, so that its end, however it comes, ends all that it has started; and it ends
/// when its standard input does, which this process holds open.
pub fn enter(arguments: &[String]) -> ExitCode {
    if !geteuid().is_root() {
        println!("only root may make a network namespace: run it as root, or with sudo -E");
        return ExitCode::FAILURE;
    }
    let program = env::current_exe().expect("the program has a path");
    let spawned = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(program)
        .arg(INSIDE)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn();
    let mut inside = match spawned {
        Ok(inside) => inside,
        Err(error) => {
            println!("unshare (Debian package util-linux): {error}");
            return ExitCode::FAILURE;
        }
    };
    let held = inside.stdin.take();
    let ended = inside.wait();
    drop(held);
    let code = ended.ok().and_then(|status| status.code()).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Sets the stage, from inside.
pub fn set() {
    // Whichever thread it is that panics: no other is to wait for it.
    let told = take_hook();
    set_hook(Box::new(move |panic| {
        told(panic);
        exit(1);
    }));
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        exit(1);
    });
    run(Command::new("ip").args(["link", "set", "lo", "up"]), "");
    for (name, value) in SETTINGS {
        fs::write(format!("/proc/sys/net/ipv4/{name}"), value).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// An address whose packets vanish, both ways, until this is dropped.
pub struct BlackHole;

impl BlackHole {
    /// # Panics
    /// If nftables (Debian package nftables) is missing.
    pub fn open(address: Ipv4Addr) -> Self {
        let rules = format!(
            "add table ip hole
             add chain ip hole input {{ type filter hook input priority 0; }}
             add rule ip hole input ip daddr {address} drop
             add rule ip hole input ip saddr {address} drop
"
        );
        run(Command::new("nft").args(["-f", "-"]), &rules);
        Self
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        run(Command::new("nft").args(["delete", "table", "ip", "hole"]), "");
    }
}

#[track_caller]
fn run(command: &mut Command, input: &str) {
    let spawned = command.stdin(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}; benches/proxy/run installs it"));
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let ended = child.wait();
    assert!(
        written.is_some_and(|written| written.is_ok()) && ended.is_ok_and(|status| status.success()),
        "{command:?} failed"
    );
}

//! Namespaces of its own for the network, processes and shared memory, in which everything happens, and which leave nothing behind.
//!
//! Its loopback device is subject to no firewall and no congestion control of the machine: with BBR, for example, loopback is
//! paced, which hides every difference between proxies.

use std::env;
use std::fs;
use std::panic::{set_hook, take_hook};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio, exit};

use rustix::process::geteuid;
use testkit::namespace;
pub use testkit::namespace::BlackHole;
use testkit::scratch::Scratch;

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
/// when its standard input does, which this process holds open. Its temporary files go when it does.
pub fn enter(arguments: &[String], environment: &[(&str, PathBuf)]) -> ExitCode {
    if !geteuid().is_root() {
        println!("only root may make a network namespace: run it as root, or with sudo -E");
        return ExitCode::FAILURE;
    }
    let program = env::current_exe().expect("the program has a path");
    let scratch = Scratch::new();
    let spawned = namespace::command(&program)
        .arg(INSIDE)
        .args(arguments)
        .env("TMPDIR", scratch.folder())
        .envs(environment.iter().map(|(name, value)| (name, value)))
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
    namespace::set();
    // What a process that is killed leaves in shared memory goes with the namespace.
    namespace::run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/dev/shm"]), "");
    for (name, value) in SETTINGS {
        fs::write(format!("/proc/sys/net/ipv4/{name}"), value).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

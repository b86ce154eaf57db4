//! What this host alone decides: the settings, and where a proxy may listen.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpSocket;

use super::check::Outcome;
use crate::exit::Exit;
use crate::follow::binding::Binding;
use crate::planner::endpoint::Role;
use crate::settings::{Error, Settings};
use crate::text::span;

/// How long an answer of Aurora may flap after a failover, and a TTL: a shorter forget follows every flip.
const FLAP: Duration = Duration::from_secs(35);

/// What the settings ask for.
pub fn settings(settings: &Settings) -> Outcome {
    let (bindings, proxies) = (settings.bindings.len(), settings.proxies.len());
    if bindings + proxies + settings.discover.len() == 0 {
        return Outcome::skipped("nothing is followed: only the database is looked at");
    }
    let is_short = |binding: &&Binding| binding.policy.forget(Role::Writer) < FLAP;
    if let Some(binding) = settings.bindings.iter().find(is_short) {
        return Outcome::warning(
            format!(
                "forget is {} for {}: Aurora's answers flap for up to 30 s after a failover, and each flip would be followed",
                span(binding.policy.forget(Role::Writer)),
                binding.arn.name()
            ),
            "leave forget at its 60 s: a late removal costs nothing",
        );
    }
    Outcome::ok(settings.counted())
}

/// Settings that are none.
pub fn bad_settings(error: &Error) -> Outcome {
    if !error.others.is_empty() {
        // They are one check, because they are one thing to mend.
        let all: Vec<String> = error.lines().collect();
        return Outcome::failure(error.exit, all.join("\n           "), "correct each of them");
    }
    let fix = error.fix.as_deref();
    let fix = fix.unwrap_or("correct it; rds-tether doctor --help lists what can be set");
    Outcome::failure(error.exit, &error.what, fix)
}

/// Binds the address without listening on it, so that no client of a running proxy comes here.
pub fn listen(address: SocketAddr) -> Outcome {
    let bound = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    };
    let port = address.port();
    let Err(error) = bound() else {
        return Outcome::ok(format!("{address} is free"));
    };
    match error.kind() {
        ErrorKind::AddrInUse => Outcome::warning(
            format!("something listens on {address} already"),
            format!("nothing, if that is a running rds-tether: ss -ltnp 'sport = :{port}' names it"),
        ),
        ErrorKind::PermissionDenied => Outcome::failure(
            Exit::Settings,
            format!("this user may not listen on {address}"),
            "listen on a port from 1024, or give the process CAP_NET_BIND_SERVICE or a systemd socket",
        ),
        ErrorKind::AddrNotAvailable => Outcome::failure(
            Exit::Settings,
            format!("this host has no address {}", address.ip()),
            "listen on 0.0.0.0 or [::], or on an address that ip addr shows",
        ),
        _ => Outcome::failure(
            Exit::Settings,
            format!("{address} cannot be listened on: {error}"),
            "listen elsewhere",
        ),
    }
}

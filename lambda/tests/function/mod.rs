//! The built function, started and asked as Lambda does it, against simulated DNS and ELBv2 servers.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod absences;
mod envelopes;
mod events;
mod failover;
mod failures;
mod notify;
mod output;
mod permissions;
mod settings;
mod tagged;

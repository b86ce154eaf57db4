//! The proxy, held through the built binary: clients, databases on several addresses of loopback, and a name server that
//! moves the endpoint from one to the other.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod admission;
mod bulk;
mod circle;
mod command_line;
mod crowd;
mod doubt;
mod evidence;
mod follow;
mod header;
mod health;
mod held;
mod hole;
mod kernel;
mod linger;
mod pattern;
mod probes;
mod restart;
mod settings;
pub(crate) mod standin;
mod stream;
mod world;

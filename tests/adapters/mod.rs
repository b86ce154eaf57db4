//! The adapters, in this process, against the simulated servers.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod answers;
mod arn;
mod dns;
mod elb;
mod files;

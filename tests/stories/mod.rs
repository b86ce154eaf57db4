//! What breaks the tools people use today, each story held through the built binary against simulated servers, bound by
//! flags as a user types them, and judged by the API calls that arrived.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod bad_input;
mod credentials;
mod dns_truth;
mod elb_semantics;
mod evidence;
mod hostile;
mod init;
mod mistakes;
mod names;
mod operation;
mod pressure;
mod serving;
mod taken;
mod terminal;
mod verdicts;

use testkit::world;

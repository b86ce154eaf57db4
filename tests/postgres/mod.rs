//! The built binary between PostgreSQL and its clients, all of which somebody else wrote: pgbench, psql, pg_recvlogical, and
//! a consumer and a writer in Python on psycopg2, which reconnect when their connection has ended and never by a time-out of
//! their own. What is shown is what the proxy is for: their sessions end when they must, and only then.
//!
//! A failover is one of RDS's kind: the server is killed at one address and started at another on the same storage, so that
//! replication slots survive, and DNS names the other address some time before or after.
//!
//! Each test plays in a network and a process namespace of its own (see `stage`), which is why they want root. Its servers
//! may so have the same addresses as those of others, packets to them may vanish, and nothing of it outlives the test.
#![allow(clippy::disallowed_methods)]

mod client;
mod drill;
mod failover;
mod lead;
mod lead_doctor;
mod probe;
mod ready;
mod server;
mod site;
mod stall;
mod tls;
mod traffic;
mod vanished;

use crate::stage;

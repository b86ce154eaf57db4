//! Simulated DNS, ELBv2 and SNS servers for the tests and the demonstration: real sockets on loopback, the behaviour
//! of the real services, and a world that a test changes while the program under test is running.
//!
//! Each server runs on a thread of its own and is steered by plain (not async) calls, so a test that starts the
//! built binary reads from top to bottom.

pub mod dns;
pub mod elb;
pub mod lambda;
pub mod pages;
pub mod sns;

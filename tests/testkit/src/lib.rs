//! What the tests and the demonstration share.
//!
//! - Simulated DNS, ELBv2, SNS and Lambda servers ([`dns`], [`elb`], [`sns`], [`lambda`]): real sockets on loopback, the
//!   behaviour of the real services, and a world that a test changes while the program under test is running. Each server
//!   runs on a thread of its own and is steered by plain (not async) calls, so a test that starts the built binary reads from
//!   top to bottom.
//! - The load balancer itself ([`nlb`]): what carries connections to the targets of the simulated ELB.
//! - Real ones that tests/run provides ([`knot`], [`moto`], [`postgres`]), and any other program ([`program`]).
//! - The world of most tests, with the binary in it ([`world`]), and what they need beside it ([`http`], [`scratch`],
//!   [`settings`], [`certificate`]).

mod background;
pub mod certificate;
pub mod dns;
pub mod elb;
pub mod function;
pub mod http;
pub mod knot;
pub mod lambda;
pub mod moto;
pub mod namespace;
pub mod nlb;
pub mod pages;
pub mod postgres;
pub mod program;
pub mod scratch;
pub mod settings;
pub mod sns;
pub mod world;

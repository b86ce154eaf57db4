//! The suites that need programs which tests/run provides: each is run by it, by its name.

mod caches;
mod cdk;
mod clock;
mod cloudformation;
mod knot;
mod moto;
mod packages;
mod postgres;
mod resolv_conf;
mod stage;
mod terraform;

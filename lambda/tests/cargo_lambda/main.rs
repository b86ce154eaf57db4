//! The function as cargo-lambda builds it, and as cargo-lambda's emulator runs it, with the commands of the README.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod emulator;
mod packaging;
mod program;
#[allow(dead_code, reason = "shared with the tests of the function, which need more of it")]
#[path = "../function/world.rs"]
mod world;

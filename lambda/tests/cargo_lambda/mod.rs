//! The function as cargo-lambda builds it, and as cargo-lambda's emulator runs it, with the commands of the README.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod emulator;
mod packaging;
mod program;

//! The pages: each of their blocks and commands is run or checked, each of their links leads somewhere, and their tables are
//! what the program has.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod aws;
mod blocks;
mod commands;
mod consumers;
mod demo;
mod function;
mod limits;
mod links;
mod tables;

use testkit::world;

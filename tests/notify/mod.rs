//! What is told to an SNS topic, and that telling never holds anything up.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod news;
mod page;
mod simulation;
mod topic;

use testkit::world;

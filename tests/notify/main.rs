//! What is told to an SNS topic, and that telling never holds anything up.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod news;
mod page;
mod simulation;
mod topic;
#[path = "../stories/world.rs"]
#[expect(dead_code, reason = "the stories use the rest")]
mod world;

//! What is tried without the built binary: the library, called in this process.

mod adapters;
mod architecture;
mod events;
mod follow;
mod fuzzed;
mod judged;
mod model;
#[path = "model/short.rs"]
mod models;
mod planner;
mod simulation;
#[path = "simulation/short.rs"]
mod worlds;

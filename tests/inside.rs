//! What is tried without the built binary: the library, called in this process.

mod adapters;
mod architecture;
mod events;
mod follow;
mod planner;

//! The pages that `run` and `proxy` serve, read over HTTP from the built binary while simulated servers change under it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod alarms;
mod deploy;
mod document;
mod metrics;
mod page;
mod scrape;
mod serving;
mod site;
mod status;
mod versions;
#[allow(dead_code, reason = "shared with the stories, which need more of it")]
#[path = "../stories/world.rs"]
mod world;

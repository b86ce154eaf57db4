//! The pages that `run` and `proxy` serve, read over HTTP from the built binary while simulated servers change under it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod alarms;
mod browser;
mod deploy;
mod document;
mod metrics;
mod page;
mod prometheus;
mod scrape;
mod serving;
pub mod site;
mod status;
mod versions;

use testkit::world;

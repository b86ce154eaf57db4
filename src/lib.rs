//! rds-tether

pub mod aws;
pub mod bucket;
pub mod change;
pub mod clock;
pub mod daemon;
pub mod dns;
pub mod elb;
pub mod follow;
pub mod journal;
pub mod oneshot;
pub mod output;
pub mod planner;
pub mod reconcile;
pub mod report;
pub mod settings;
pub mod watch;

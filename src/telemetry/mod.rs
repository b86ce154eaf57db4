//! What people and programs get to see of a running process, all of it from reports.

pub mod board;
pub mod http;
pub mod journal;
pub mod metrics;
pub mod output;
pub mod page;

//! rds-tether

pub mod planner;

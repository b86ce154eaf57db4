//! Logs to standard error: readable on a terminal, one JSON object per line elsewhere.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::settings::{LogFormat, Logging};

/// Starts logging; to be called once.
pub fn start(logging: &Logging) {
    let (ours, others) = match logging.verbose {
        0 => (LevelFilter::INFO, LevelFilter::ERROR),
        1 => (LevelFilter::DEBUG, LevelFilter::ERROR),
        _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    let levels = Targets::new().with_default(others).with_target("rds_tether", ours);
    let by_default = if stderr().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    };
    let registry = tracing_subscriber::registry();
    match logging.log_format.unwrap_or(by_default) {
        LogFormat::Text => {
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(stderr)
                .with_ansi(stderr().is_terminal());
            registry.with(layer.with_target(false).with_filter(levels)).init();
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(stderr)
                .json()
                .flatten_event(true);
            registry.with(layer.with_target(false).with_filter(levels)).init();
        }
    }
}

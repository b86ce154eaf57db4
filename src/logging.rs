//! Logs to standard error: readable lines, or one JSON object per line.

use std::io::{IsTerminal, stderr};

use clap::{ArgAction, Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// How to log to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// What every verb takes besides.
#[derive(Args, Clone, Debug)]
pub struct Logging {
    // The order puts them behind the verb's own.
    /// How to log to standard error [default: text; run: json unless on a terminal]
    #[arg(long, value_name = "text|json", global = true, display_order = 900)]
    log_format: Option<LogFormat>,
    /// Log more: -v each step, -vv also the libraries
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 901)]
    verbose: u8,
}

/// Whether a person watches who has not asked for no colours (<https://no-color.org>).
#[expect(
    clippy::disallowed_methods,
    reason = "all programs share the variable, which is no setting of this one"
)]
pub fn is_coloured(out: &impl IsTerminal) -> bool {
    out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The format for a process that nobody may be watching.
pub fn default_format() -> LogFormat {
    if stderr().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    }
}

/// Starts logging, in `default` unless something else is asked for; to be called once.
pub fn start(logging: &Logging, default: LogFormat) {
    start_as(logging.log_format.unwrap_or(default), logging.verbose);
}

/// Starts logging in one format; to be called once.
pub fn start_as(format: LogFormat, verbose: u8) {
    let (ours, others) = match verbose {
        0 => (LevelFilter::INFO, LevelFilter::ERROR),
        1 => (LevelFilter::DEBUG, LevelFilter::ERROR),
        _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    let levels = Targets::new()
        .with_default(others)
        .with_targets([("rds_tether", ours), ("bootstrap", ours)])
        // It repeats each failure that the function has logged, without the request's id.
        .with_target("lambda_runtime", LevelFilter::OFF);
    let registry = tracing_subscriber::registry();
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    match format {
        LogFormat::Text => {
            let layer = layer.with_ansi(is_coloured(&stderr())).with_target(false);
            registry.with(layer.with_filter(levels)).init();
        }
        LogFormat::Json => {
            let layer = layer
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_target(false);
            registry.with(layer.with_filter(levels)).init();
        }
    }
}

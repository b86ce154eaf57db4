//! Logs to standard error: readable lines, or one JSON object per line. Whatever is in an event, it is one line, and nothing in it
//! does anything on a terminal.

use std::fmt;
use std::io::{self, IsTerminal, Write, stderr};

use clap::{ArgAction, Args, ValueEnum};
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::prelude::*;

use crate::text::{shown, shown_lines};

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
    let layer = tracing_subscriber::fmt::layer().with_target(false);
    match format {
        LogFormat::Text => {
            let layer = layer.with_writer(stderr).with_ansi(is_coloured(&stderr()));
            let layer = layer.fmt_fields(debug_fn(write_field).delimited(" "));
            registry.with(layer.with_filter(levels)).init();
        }
        LogFormat::Json => {
            let layer = layer
                .with_writer(|| JsonLines)
                .json()
                .flatten_event(true)
                .with_span_list(false);
            registry.with(layer.with_filter(levels)).init();
        }
    }
}

/// Writes a field of an event for people; the colours are those of the library, which leaves in most of what does something.
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = shown(format_args!("{value:?}"));
    match field.name() {
        "message" => write!(out, "{text}"),
        name if out.has_ansi_escapes() => write!(out, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{text}"),
        name => write!(out, "{name}={text}"),
    }
}

/// Standard error, for whole lines of JSON.
struct JsonLines;

impl Write for JsonLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        stderr().write_all(shown_lines(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}

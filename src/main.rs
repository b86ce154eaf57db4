//! The command: parses, logs, runs one verb and turns its outcome into an exit code.

use std::ffi::OsString;
use std::io::{stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use rds_tether::report::{Exit, Report};
use rds_tether::settings::value::Span;
use rds_tether::settings::{self, DoctorFlags, Flags, LogFormat, Logging, Output, ProxyFlags, Settings};
use rds_tether::{daemon, dns, doctor, logging, oneshot, output, proxy};

/// Keeps the IP target groups of a Network Load Balancer equal to the address an RDS or Aurora endpoint has now.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    logging: Logging,
}

const EXIT_CODES: &str = "Exit codes: 0 settled, 1 unexpected, 2 changes pending (plan), 3 refused by a guard or by ELB, \
    4 still waiting (sync), 64 usage, 69 DNS or AWS unavailable, 77 denied, 78 bad settings or no such target group";

#[derive(Subcommand)]
enum Verb {
    /// Look once and print what would change; never writes
    Plan(OneShot),
    /// Converge once and verify
    Sync(OneShot),
    /// Follow until told to stop (SIGHUP re-reads the settings)
    Run(Flags),
    /// Listen on an address and carry bytes to the address that an endpoint has now
    Proxy(ProxyFlags),
    /// Check everything that has to be right, and say how to fix what is not; writes nothing unless asked to
    #[command(after_help = doctor::check::listing())]
    Doctor(DoctorFlags),
}

#[derive(Args)]
struct OneShot {
    #[command(flatten)]
    flags: Flags,
    /// Give up after this long [default: plan 15s; sync forget + patience + 60s]
    #[arg(
        long,
        value_name = "DURATION",
        allow_hyphen_values = true,
        env = "RDS_TETHER_TIMEOUT",
        hide_env_values = true, value_parser = |text: &str| Span::within(text, &settings::TIMEOUT_RANGE)
    )]
    timeout: Option<Span>,
    /// How to print the result
    #[arg(
        long,
        value_name = "text|json",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        env = "RDS_TETHER_OUTPUT",
        hide_env_values = true
    )]
    output: Output,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli: Cli = match settings::read_command_line(arguments.clone()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads is no failure.
            let _ = error.print();
            if let Some(source) = settings::explain::<Cli>(&error, &arguments) {
                say(&mut stderr(), &source);
            }
            return code(if error.use_stderr() { Exit::Usage } else { Exit::Settled });
        }
    };
    let format = match cli.verb {
        // Their log stands beside progress and results that are made to be read.
        Verb::Plan(_) | Verb::Sync(_) | Verb::Doctor(_) => LogFormat::Text,
        Verb::Run(_) | Verb::Proxy(_) => logging::default_format(),
    };
    logging::start(&cli.logging, format);
    code(run(&cli.verb).unwrap_or_else(|(exit, message)| {
        say(&mut stderr(), &format!("rds-tether: {message}"));
        exit
    }))
}

/// What ends a verb early: the exit code and what to say.
type Failed = (Exit, String);

fn run(verb: &Verb) -> Result<Exit, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(unexpected)?;
    let ended = runtime.block_on(run_verb(verb));
    // What is still under way, such as a look-up of the system's resolver that nobody answers, is not waited for.
    runtime.shutdown_background();
    ended
}

async fn run_verb(verb: &Verb) -> Result<Exit, Failed> {
    match verb {
        Verb::Plan(given) => {
            let settings = given.flags.settings().and_then(with_groups).map_err(told)?;
            let reports = oneshot::plan(&settings, given.limit()).await.map_err(failed)?;
            Ok(given.print("plan", &reports, Report::plan_exit))
        }
        Verb::Sync(given) => {
            let settings = given.flags.settings().and_then(with_groups).map_err(told)?;
            let reports = oneshot::sync(&settings, given.limit()).await.map_err(failed)?;
            Ok(given.print("sync", &reports, Report::sync_exit))
        }
        Verb::Run(flags) => {
            let settings = flags.settings().map_err(told)?;
            daemon::run(settings, || flags.settings()).await.map_err(failed)?;
            Ok(Exit::Settled)
        }
        Verb::Proxy(flags) => {
            daemon::run(flags.settings(), || Ok(flags.settings()))
                .await
                .map_err(failed)?;
            Ok(Exit::Settled)
        }
        Verb::Doctor(flags) => examine(flags).await,
    }
}

fn told(error: settings::Error) -> Failed {
    (error.exit(), error.to_string())
}

async fn examine(flags: &DoctorFlags) -> Result<Exit, Failed> {
    let order = flags.order().map_err(told)?;
    let sections = doctor::examine(flags.settings(), &order).await;
    let text = match flags.output {
        Output::Text => doctor::draw::text(&sections),
        Output::Json => doctor::draw::json(&sections),
    };
    say(&mut stdout(), &text);
    Ok(doctor::draw::exit(&sections))
}

/// What looks at target groups needs some.
fn with_groups(settings: Settings) -> Result<Settings, settings::Error> {
    if settings.bindings.is_empty() {
        let message =
            "the settings have no [[target_group]]; plan and sync look at target groups only, run serves proxies";
        return Err(settings::Error::File(message.into()));
    }
    Ok(settings)
}

impl OneShot {
    fn limit(&self) -> Option<Duration> {
        self.timeout.map(|span| span.0)
    }

    fn print(&self, verb: &'static str, reports: &[Report], exit_of: fn(&Report) -> Exit) -> Exit {
        let exit = Exit::worst(reports.iter().map(exit_of));
        let text = match self.output {
            Output::Text => reports.iter().map(output::draw).collect::<Vec<_>>().join("\n"),
            Output::Json => output::json(verb, reports, exit),
        };
        say(&mut stdout(), text.trim_end());
        exit
    }
}

fn failed(error: anyhow::Error) -> Failed {
    if error.is::<dns::Error>() || error.is::<proxy::Error>() {
        return (Exit::Settings, error.to_string());
    }
    unexpected(error)
}

fn unexpected(error: impl std::fmt::Display) -> Failed {
    (Exit::Unexpected, error.to_string())
}

/// A reader that went away must not turn into a panic.
fn say(out: &mut impl std::io::Write, text: &str) {
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

//! The command: parses, logs, runs one verb and turns its outcome into an exit code.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use rds_tether::doctor::flags::DoctorFlags;
use rds_tether::exit::Exit;
use rds_tether::follow::report::Report;
use rds_tether::settings::value::Span;
use rds_tether::settings::{self, Flags, LogFormat, Logging, Output, ProxyFlags, Settings};
use rds_tether::telemetry::output;
use rds_tether::verbs::iam::flags::IamFlags;
use rds_tether::verbs::{self, iam, manual, once, status};
use rds_tether::{dns, doctor, logging, proxy};
use serde_json::Value;

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
    /// Show where every binding and proxy stands: asks the running process, or looks; never writes
    Status(Status),
    /// Print the least IAM policy that the settings need, ready for aws iam put-role-policy; calls nothing
    Iam(IamFlags),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: manual::Shell,
    },
    /// Print the man pages, or write them as files
    Man {
        /// Directory for the files; it must exist [default: print all to standard output]
        #[arg(long, value_name = "DIR", env = "RDS_TETHER_MAN_DIR", hide_env_values = true)]
        dir: Option<PathBuf>,
    },
}

#[derive(Args)]
struct OneShot {
    #[command(flatten)]
    flags: Flags,
    /// Give up after this long [default: plan and status 15s; sync forget + patience + 60s]
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

#[derive(Args)]
struct Status {
    #[command(flatten)]
    look: OneShot,
    /// Show it again and again until interrupted
    #[arg(long, env = "RDS_TETHER_WATCH", hide_env_values = true, value_parser = BoolishValueParser::new())]
    watch: bool,
}

/// Moves a terminal's cursor home and clears all that is below.
const CLEAR: &str = "\x1b[H\x1b[J";

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
        Verb::Run(_) | Verb::Proxy(_) => logging::default_format(),
        _ => LogFormat::Text,
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
            let reports = once::plan(&settings, given.limit()).await.map_err(failed)?;
            Ok(given.print("plan", &reports, Report::plan_exit))
        }
        Verb::Sync(given) => {
            let settings = given.flags.settings().and_then(with_groups).map_err(told)?;
            let reports = once::sync(&settings, given.limit()).await.map_err(failed)?;
            Ok(given.print("sync", &reports, Report::sync_exit))
        }
        Verb::Run(flags) => {
            let settings = flags.settings().map_err(told)?;
            verbs::run::run(settings, || flags.settings()).await.map_err(failed)?;
            Ok(Exit::Settled)
        }
        Verb::Proxy(flags) => {
            verbs::run::run(flags.settings(), || Ok(flags.settings()))
                .await
                .map_err(failed)?;
            Ok(Exit::Settled)
        }
        Verb::Doctor(flags) => examine(flags).await,
        Verb::Status(given) => {
            let settings = given.look.flags.settings_or_address().map_err(told)?;
            given.show(&settings).await
        }
        Verb::Iam(flags) => {
            print_policy(flags).map_err(told)?;
            Ok(Exit::Settled)
        }
        Verb::Completions { shell } => {
            print(&manual::completions(Cli::command(), *shell));
            Ok(Exit::Settled)
        }
        Verb::Man { dir } => {
            let pages = manual::pages(Cli::command());
            match dir {
                Some(dir) => manual::write(&pages, dir).map_err(unexpected)?,
                None => {
                    print(&pages.into_values().collect::<String>());
                }
            }
            Ok(Exit::Settled)
        }
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

/// Standard output is the document and nothing else.
fn print_policy(flags: &IamFlags) -> Result<(), settings::Error> {
    let settings = flags.settings()?;
    let role = flags.role(&settings)?;
    let policy = iam::policy(&settings, flags.caller, role);
    say(&mut stdout(), &policy.json());
    for note in iam::notes(&policy, &settings, flags.caller, role) {
        say(&mut stderr(), &format!("rds-tether: {note}"));
    }
    Ok(())
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

impl Status {
    async fn show(&self, settings: &Settings) -> Result<Exit, Failed> {
        loop {
            let (text, exit, pause) = match status::document(settings, self.look.limit()).await {
                Ok(document) => (self.draw(&document), status::exit(&document), status::pause(&document)),
                // Who watches waits for better times.
                Err(error) if self.watch => (
                    format!("rds-tether: {error}\n"),
                    Exit::Pending,
                    status::pause(&Value::Null),
                ),
                Err(error) => return Err(failed(error)),
            };
            if self.watch && stdout().is_terminal() {
                print(CLEAR);
            }
            if !print(&text) || !self.watch {
                return Ok(exit);
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn draw(&self, document: &Value) -> String {
        match (self.look.output, self.watch) {
            (Output::Text, false) => status::draw(document),
            (Output::Text, true) => format!("{}\n", status::draw(document)),
            (Output::Json, false) => format!("{document:#}\n"),
            (Output::Json, true) => format!("{document}\n"),
        }
    }
}

fn failed(error: anyhow::Error) -> Failed {
    let may_pass = error.is::<status::NobodyKnows>()
        || error.downcast_ref::<dns::Error>().is_some_and(dns::Error::may_pass)
        || error.downcast_ref::<proxy::Error>().is_some_and(proxy::Error::may_pass);
    if may_pass {
        return (Exit::Unavailable, error.to_string());
    }
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

/// Prints what ends its own lines; false if nobody reads any more.
fn print(text: &str) -> bool {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Arg, Command, CommandFactory as _};

    use super::Cli;

    const README: &str = include_str!("../README.md");

    fn command() -> Command {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        command
    }

    /// A flag as the README's tables have it.
    fn row(arg: &Arg) -> String {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let (about, told) = match help.split_once(" [default: ") {
            Some((about, default)) => (about.to_owned(), default.trim_end_matches(']').to_owned()),
            None => (help, String::new()),
        };
        let defaults = arg
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy().into_owned());
        let default = if arg.get_action().takes_values() {
            defaults.collect()
        } else {
            String::new()
        };
        let value = arg.get_value_names().filter(|_| arg.get_action().takes_values());
        // A bar would end the cell.
        let value = value
            .map(|names| format!(" {}", names[0].replace('|', "\\|")))
            .unwrap_or_default();
        let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
        let long = arg.get_long().expect("a flag");
        let env = arg.get_env().expect("every flag has a variable").to_string_lossy();
        let default = if default.is_empty() { told } else { default };
        let cells = [format!("{short}`--{long}{value}`"), format!("`{env}`"), default, about];
        let cells = cells.map(|cell| {
            if cell.is_empty() {
                String::new()
            } else {
                format!(" {cell}")
            }
        });
        format!("|{} |", cells.join(" |"))
    }

    fn flags(verb: &Command) -> Vec<&Arg> {
        let flags = verb.get_arguments().filter(|arg| !arg.is_positional());
        flags
            .filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
            .collect()
    }

    /// The README's tables of flags: the verbs that each is for, and its rows.
    fn tables() -> Vec<(BTreeSet<&'static str>, Vec<&'static str>)> {
        let mut tables = Vec::new();
        let mut lines = README.lines();
        while let Some(line) = lines.find(|line| line.starts_with("Flags of ")) {
            let verbs = line.split('`').skip(1).step_by(2).collect();
            let rows = lines.by_ref().skip_while(|line| !line.starts_with("|---"));
            let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
            tables.push((verbs, rows.collect()));
        }
        tables
    }

    #[test]
    fn the_readme_lists_every_flag_of_every_verb_and_no_other() {
        let command = command();
        let tables = tables();
        assert!(
            tables.len() >= 4,
            "the tables are not where this test looks: {tables:#?}"
        );
        for verb in command.get_subcommands() {
            // A table that names no verb is for all of them.
            let of_verb = tables
                .iter()
                .filter(|(verbs, _)| verbs.is_empty() || verbs.contains(verb.get_name()));
            let listed: BTreeSet<String> = of_verb
                .flat_map(|(_, rows)| rows.iter().map(ToString::to_string))
                .collect();
            let has: BTreeSet<String> = flags(verb).into_iter().map(row).collect();
            let missing: Vec<&String> = has.difference(&listed).collect();
            let surplus: Vec<&String> = listed.difference(&has).collect();
            assert!(
                missing.is_empty() && surplus.is_empty(),
                "{}\nmissing:\n{missing:#?}\nto be removed:\n{surplus:#?}",
                verb.get_name()
            );
        }
    }

    #[test]
    fn the_readmes_tables_name_verbs_that_exist() {
        let command = command();
        let verbs: BTreeSet<&str> = command.get_subcommands().map(Command::get_name).collect();
        for (named, _) in tables() {
            assert!(named.is_subset(&verbs), "{named:?} of {verbs:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}

//! The command: parses, logs, runs one verb and turns its outcome into an exit code.

use std::io::{Write as _, stderr};
use std::process::ExitCode;

use rds_tether::exit::Exit;
use rds_tether::settings::Refused;
use rds_tether::text::shown;
use rds_tether::verbs::{Cli, Verb, exit_of, out};
use rds_tether::{logging, settings};

fn main() -> ExitCode {
    let cli: Cli = match settings::read_command_line(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(Refused::Asked(help)) => {
            let printed = help.print();
            if help.use_stderr() {
                return code(Exit::Usage);
            }
            return code(match out::read(printed) {
                Ok(_) => Exit::Settled,
                Err(error) => {
                    complain([error.to_string()]);
                    Exit::Unexpected
                }
            });
        }
        Err(Refused::Wrong(error)) => {
            complain(error.lines());
            return code(error.exit);
        }
    };
    logging::start(&cli.logging, cli.verb.log_format());
    code(run(&cli.verb).unwrap_or_else(|error| {
        match error.downcast_ref::<settings::Error>() {
            Some(wrong) => complain(wrong.lines()),
            None => complain([shown(&error)]),
        }
        exit_of(&error)
    }))
}

/// Says why the process ends, each reason on its line.
fn complain(reasons: impl IntoIterator<Item = String>) {
    let name = if logging::is_coloured(&stderr()) {
        "\x1b[1;31mrds-tether:\x1b[0m"
    } else {
        "rds-tether:"
    };
    for reason in reasons {
        // Nobody who could be told is left if it fails.
        let _ = writeln!(stderr(), "{name} {reason}");
    }
}

fn run(verb: &Verb) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(verb.run());
    // What is still under way, such as a look-up of the system's resolver that nobody answers, is not waited for.
    runtime.shutdown_background();
    ended
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

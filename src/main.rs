//! The command: parses, logs, runs one verb and turns its outcome into an exit code.

use std::ffi::OsString;
use std::io::stderr;
use std::process::ExitCode;

use rds_tether::exit::Exit;
use rds_tether::verbs::{Cli, Verb, exit_of, say};
use rds_tether::{logging, settings};

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
    logging::start(&cli.logging, cli.verb.log_format());
    code(run(&cli.verb).unwrap_or_else(|error| {
        say(&mut stderr(), &format!("rds-tether: {error}"));
        exit_of(&error)
    }))
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

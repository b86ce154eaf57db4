//! What holds for every flag of every verb, and how a command line is read with its environment.

use std::ffi::OsString;

use clap::builder::{BoolishValueParser, OsStr, Resettable};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command, Parser};

/// A command line's definition, with what holds for every flag: its variable has its name, unless it has one of its own.
pub fn command_line<P: Parser>() -> Command {
    P::command()
        .mut_args(as_all_flags)
        .mut_subcommands(|verb| verb.mut_args(as_all_flags))
}

fn as_all_flags(arg: Arg) -> Arg {
    let Some(flag) = arg.get_long() else { return arg };
    let variable = format!("RDS_TETHER_{}", flag.replace('-', "_").to_uppercase());
    let arg = match arg.get_env() {
        Some(_) => arg,
        None => arg.env(variable),
    };
    // A negative duration is a bad value, not an unknown flag.
    let is_duration = arg
        .get_value_names()
        .is_some_and(|names| names[0].starts_with("DURATION"));
    let takes_values = arg.get_action().takes_values();
    let arg = match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
        ArgAction::Append => arg.value_delimiter(','),
        _ => arg,
    };
    arg.hide_env_values(true)
        .hide_possible_values(takes_values)
        .allow_hyphen_values(is_duration)
}

/// Parses a command line and its environment. A variable that is set but empty counts as not set, because that is how
/// compose files and templates pass on what they were not given.
pub fn read_command_line<P: Parser>(arguments: Vec<OsString>) -> Result<P, clap::Error> {
    let command = without_empty_variables(command_line::<P>());
    let matches = command.try_get_matches_from(arguments)?;
    P::from_arg_matches(&matches)
}

#[expect(clippy::disallowed_methods, reason = "clap reads the environment here")]
fn without_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| {
        arg.get_env()
            .is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
    };
    let mend = |arg: Arg| {
        if is_empty(&arg) {
            arg.env(Resettable::<OsStr>::Reset)
        } else {
            arg
        }
    };
    command.mut_args(mend).mut_subcommands(without_empty_variables)
}

/// Which environment variable a bad value came from, if nobody typed it.
pub fn explain<P: Parser>(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = shown.split([' ', '=', '.']).next().unwrap_or(shown);
    let typed = arguments
        .iter()
        .any(|argument| argument.to_string_lossy().starts_with(flag));
    let command = command_line::<P>();
    let mut arguments = command
        .get_arguments()
        .chain(command.get_subcommands().flat_map(Command::get_arguments));
    let arg = arguments.find(|arg| arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long)))?;
    let name = arg.get_env().filter(|_| !typed)?;
    Some(format!(
        "the value comes from the environment variable {}",
        name.to_string_lossy()
    ))
}

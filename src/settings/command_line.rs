//! What holds for every flag of every verb, and how a command line is read with its environment.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::ffi::OsString;
use std::num::ParseIntError;

use clap::builder::{BoolishValueParser, OsStr, Resettable};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Parser};

use super::{Error, flags};
use crate::planner::wrong::Wrong;
use crate::text::join;

/// How the name of every variable begins.
const PREFIX: &str = "RDS_TETHER_";
/// Bad values of more flags than this there cannot be.
const FLAGS_MAX: usize = 100;
/// A name that is less like another than this is no slip of the pen.
const LIKENESS_LEAST: f64 = 0.75;

/// The flags that say nothing to a verb. They are not listed there, and who types one is told; their variables may be set,
/// because verbs share an environment.
const IGNORED: [(&str, &[&str]); 7] = [
    ("init", &["interval"]),
    ("plan", &["interval", "http", "notify-topic", "notify-after"]),
    ("sync", &["http", "notify-topic", "notify-after"]),
    ("status", &["interval", "notify-topic", "notify-after"]),
    (
        "doctor",
        &[
            "interval",
            "http",
            "notify-topic",
            "notify-after",
            "patience",
            "probe-patience",
        ],
    ),
    (
        "drill",
        &[
            "interval",
            "http",
            "notify-topic",
            "notify-after",
            "forget",
            "patience",
            "keep",
            "upsert-only",
            "observe",
            "probe",
            "probe-patience",
        ],
    ),
    (
        "iam",
        &[
            "nameserver",
            "interval",
            "http",
            "notify-after",
            "forget",
            "patience",
            "role",
            "allow-cidr",
            "keep",
            "probe",
            "probe-patience",
        ],
    ),
];

/// The headings of the help, and the flags below each; others stand first.
const HEADINGS: [(&str, &[&str]); 8] = [
    (
        "What to follow",
        &[
            "config",
            "endpoint",
            "target-group",
            "discover",
            "allow-endpoint",
            "listen",
            "role",
            "ip-family",
            "replace",
        ],
    ),
    ("What to watch", &["through", "events", "triggered", "steady"]),
    ("DNS", &["nameserver", "interval"]),
    (
        "Targets",
        &[
            "forget",
            "patience",
            "allow-cidr",
            "keep",
            "upsert-only",
            "observe",
            "probe",
            "probe-patience",
        ],
    ),
    (
        "The database",
        &[
            "ca-bundle",
            "lead-user",
            "lead-iam",
            "lead-password-file",
            "lead-database",
            "lead-member",
            "lead-patience",
        ],
    ),
    (
        "Sessions",
        &[
            "linger",
            "drain",
            "dial-timeout",
            "readiness",
            "probe-interval",
            "max-sessions",
            "allow-peer",
            "accept-proxy-protocol",
        ],
    ),
    ("HTTP and messages", &["http", "notify-topic", "notify-after"]),
    (
        "Output",
        &[
            "settings-file",
            "tags",
            "append",
            "overwrite",
            "yes",
            "timeout",
            "output",
            "watch",
            "svg",
            "redact",
            "log-format",
            "verbose",
        ],
    ),
];
/// The variables that are read all the same where their flags say nothing: they decide whether other settings are good.
const READ: [&str; 4] = ["http", "nameserver", "probe", "ca-bundle"];

/// Why a command line is not obeyed.
#[derive(Debug)]
pub enum Refused {
    /// Help or the version is to be printed instead.
    Asked(clap::Error),
    /// It is wrong, or its environment is.
    Wrong(Error),
}

/// A command line's definition, with what holds for every flag: its variable has its name, unless it has one of its own.
pub fn command_line<P: Parser>() -> Command {
    P::command().mut_args(as_all_flags).mut_subcommands(as_all_verbs)
}

/// The definition that a command line is read by. If it names a verb, that verb's alone: to define the flags of a dozen others
/// takes longer than to read them.
fn definition_for<P: Parser>(arguments: &[OsString]) -> Command {
    let whole = P::command();
    let typed = arguments.get(1).and_then(|verb| whole.find_subcommand(verb));
    let Some(typed) = typed.map(|verb| verb.get_name().to_owned()) else {
        return without_empty_variables(command_line::<P>());
    };
    let only_typed = whole.mut_args(as_all_flags).mut_subcommands(|verb| {
        if verb.get_name() == typed {
            as_all_verbs(verb)
        } else {
            Command::new(verb.get_name().to_owned())
        }
    });
    without_empty_variables(only_typed)
}

fn as_all_verbs(verb: Command) -> Command {
    let ignored = ignored_by(verb.get_name());
    verb.mut_args(|arg| {
        let arg = as_all_flags(arg);
        let says_nothing = arg.get_long().is_some_and(|long| ignored.contains(&long));
        if says_nothing { arg.hide(true) } else { arg }
    })
}

fn ignored_by(verb: &str) -> &'static [&'static str] {
    let of_verb = IGNORED.iter().find(|(name, _)| *name == verb);
    of_verb.map_or(&[], |(_, flags)| *flags)
}

fn as_all_flags(arg: Arg) -> Arg {
    let Some(flag) = arg.get_long().map(str::to_owned) else {
        return arg;
    };
    let variable = format!("{PREFIX}{}", flag.replace('-', "_").to_uppercase());
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
    let heading = HEADINGS.iter().find(|(_, flags)| flags.contains(&flag.as_str()));
    arg.help_heading(heading.map(|(heading, _)| *heading))
        .hide_env_values(true)
        .hide_possible_values(takes_values)
        .allow_hyphen_values(is_duration)
}

/// Parses a command line and its environment. A variable that is set but empty counts as not set, because that is how
/// compose files and templates pass on what they were not given.
///
/// # Errors
/// All that is wrong, with what is wrong in the settings file besides.
pub fn read_command_line<P: Parser>(arguments: Vec<OsString>) -> Result<P, Refused> {
    let mut definition = definition_for::<P>(&arguments);
    let read = definition.try_get_matches_from_mut(&arguments);
    let (read, mut errors) = match read {
        Ok(matches) => (Ok(matches), Vec::new()),
        Err(error) => read_leniently(error, definition_for::<P>(&arguments), &arguments),
    };
    // Bad values are told wherever they stand; good ones of what says nothing to the verb have no effect.
    let read = read.map(|all| {
        if !has_ignored_variables(&definition, &all) {
            return all;
        }
        let heeded = without_ignored_variables(definition_for::<P>(&arguments));
        heeded.try_get_matches_from(&arguments).unwrap_or(all)
    });
    if let Err(Some(asked)) = read {
        return Err(Refused::Asked(asked));
    }
    let typed = arguments.get(1).and_then(|verb| definition.find_subcommand(verb));
    let verb = typed.unwrap_or(&definition);
    // What looks at nothing is not kept from it.
    if verb.get_arguments().any(|arg| arg.get_id() == "nameservers") {
        errors.extend(unknown_variables::<P>());
    }
    let matches = read.ok();
    let of_verb = matches.as_ref().and_then(ArgMatches::subcommand);
    if let Some((name, matches)) = of_verb {
        errors.extend(typed_for_nothing(name, verb, matches));
    }
    match (matches, Error::all(errors)) {
        (Some(matches), None) => {
            P::from_arg_matches(&matches).map_err(|error| Refused::Wrong(plain(&error, &[], verb)))
        }
        (matches, error) => {
            let matches = matches.as_ref().and_then(ArgMatches::subcommand);
            let of_file = matches.and_then(|(_, matches)| flags::errors_of_file(matches));
            let all = Error::all(error.into_iter().chain(of_file));
            Err(Refused::Wrong(all.unwrap_or_else(|| {
                Error::usage("the command line cannot be read", None)
            })))
        }
    }
}

/// Parses again and again, each time without the flag whose value was bad, and gives all that was. Without matches: help to be
/// printed, or nothing if what follows an error cannot be read.
fn read_leniently(
    first: clap::Error,
    mut command: Command,
    arguments: &[OsString],
) -> (Result<ArgMatches, Option<clap::Error>>, Vec<Error>) {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    let mut read = Err(first);
    for _ in 0..FLAGS_MAX {
        let error = match read {
            Ok(matches) => return (Ok(matches), errors),
            Err(error) if is_asked_for(&error) => return (Err(Some(error)), errors),
            Err(error) => error,
        };
        errors.push(plain(&error, arguments, &command));
        let has_bad_value = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
        let Some(long) = flag_of(&error).filter(|long| has_bad_value && seen.insert(long.clone())) else {
            break;
        };
        let loosen = |arg: Arg| {
            if arg.get_long() == Some(&long) && arg.get_action().takes_values() {
                arg.value_parser(clap::value_parser!(OsString))
            } else if arg.get_long() == Some(&long) {
                arg.env(Resettable::<OsStr>::Reset)
            } else {
                arg
            }
        };
        command = command.mut_args(loosen).mut_subcommands(|verb| verb.mut_args(loosen));
        read = command.clone().try_get_matches_from(arguments);
    }
    (Err(None), errors)
}

fn is_asked_for(error: &clap::Error) -> bool {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    matches!(
        error.kind(),
        DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand | DisplayVersion
    )
}

/// The flag that an error is about, as it is typed, without its dashes.
fn flag_of(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = shown.split([' ', '=', '.']).next().unwrap_or(shown);
    flag.strip_prefix("--").map(str::to_owned)
}

/// An error of the parser on one line, with its flag and, if nobody typed that, its variable.
fn plain(error: &clap::Error, arguments: &[OsString], command: &Command) -> Error {
    let flag = flag_of(error);
    let place = flag.as_deref().map(|long| match variable_of(long, arguments, command) {
        Some(variable) => format!("--{long} (from the environment variable {variable})"),
        None => format!("--{long}"),
    });
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.as_str(),
        _ => "",
    };
    if let (ErrorKind::ValueValidation, Some(place), Some(cause)) = (error.kind(), &place, error.source()) {
        return match cause.downcast_ref::<Wrong>() {
            Some(Wrong { what, fix }) => Error::usage(format!("{place}: {what}"), fix.clone()),
            None if cause.is::<ParseIntError>() => Error::usage(
                format!("{place}: {value:?} is not a number that it takes"),
                "write a number from 1".to_owned(),
            ),
            // The only words that are so short on what they want.
            None if cause.to_string() == "value was not a boolean" => {
                let what = format!("{place}: {value:?} is neither true nor false");
                Error::usage(what, "write true or false".to_owned())
            }
            None => Error::usage(format!("{place}: {value:?}: {cause}"), None),
        };
    }
    if let (ErrorKind::InvalidValue, Some(place), Some(ContextValue::Strings(good))) =
        (error.kind(), &place, error.get(ContextKind::ValidValue))
        && !value.is_empty()
    {
        let what = format!("{place}: {value:?} is none of its values");
        return Error::usage(what, format!("write one of: {}", join(good)));
    }
    if error.kind() == ErrorKind::InvalidUtf8
        && arguments.iter().all(|argument| argument.to_str().is_some())
        && let Some((name, _)) = std::env::vars_os().find(|(name, value)| is_ours(name) && value.to_str().is_none())
    {
        let what = format!("the environment variable {} is no UTF-8 text", name.to_string_lossy());
        return Error::usage(what, None);
    }
    // The parser's own words fill a screen.
    let text = error.to_string();
    let told = text.split("\n\nUsage:").next().unwrap_or_default();
    let told = told.split("\n\nFor more information").next().unwrap_or_default();
    let lines = told.lines().map(str::trim).filter(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let from = match &place {
        Some(place) if place.contains('(') => format!("{place}: "),
        _ => String::new(),
    };
    let verb = arguments.get(1).and_then(|verb| command.find_subcommand(verb));
    let verb = verb.map(|verb| format!(" {}", verb.get_name())).unwrap_or_default();
    Error::usage(format!("{from}{text}"), format!("see rds-tether{verb} --help"))
}

fn is_ours(variable: &std::ffi::OsStr) -> bool {
    variable.to_string_lossy().starts_with(PREFIX)
}

/// The variable that a flag's value came from, if nobody typed it.
fn variable_of(long: &str, arguments: &[OsString], command: &Command) -> Option<String> {
    let flag = format!("--{long}");
    let is_typed = |argument: &OsString| argument.to_string_lossy().starts_with(&flag);
    if arguments.iter().any(is_typed) {
        return None;
    }
    let mut all = command
        .get_arguments()
        .chain(command.get_subcommands().flat_map(Command::get_arguments));
    let arg = all.find(|arg| arg.get_long() == Some(long) && arg.get_env().is_some())?;
    Some(arg.get_env()?.to_string_lossy().into_owned())
}

/// The flags that somebody typed for a verb to which they say nothing.
fn typed_for_nothing(name: &str, verb: &Command, matches: &ArgMatches) -> Vec<Error> {
    let is_typed = |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let typed = verb.get_arguments().filter(is_typed).filter_map(Arg::get_long);
    let typed = typed.filter(|long| ignored_by(name).contains(long));
    typed
        .map(|long| Error::usage(format!("--{long} says nothing to {name}"), "leave it out".to_owned()))
        .collect()
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

/// Whether a variable was read of a flag that says nothing to the verb.
fn has_ignored_variables(definition: &Command, matches: &ArgMatches) -> bool {
    let Some((name, matches)) = matches.subcommand() else {
        return false;
    };
    let ignored = variables_ignored_by(name);
    let is_read = |arg: &Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::EnvVariable);
    let verb = definition.find_subcommand(name);
    verb.is_some_and(|verb| verb.get_arguments().any(|arg| ignored(arg) && is_read(arg)))
}

/// Without the variables of flags that say nothing to a verb: they are there for other verbs.
fn without_ignored_variables(command: Command) -> Command {
    command.mut_subcommands(|verb| {
        let ignored = variables_ignored_by(verb.get_name());
        verb.mut_args(|arg| {
            if ignored(&arg) {
                arg.env(Resettable::<OsStr>::Reset)
            } else {
                arg
            }
        })
    })
}

/// Which flags' variables a verb does not heed.
fn variables_ignored_by(verb: &str) -> impl Fn(&Arg) -> bool + use<> {
    let ignored = ignored_by(verb);
    move |arg| (arg.get_long()).is_some_and(|long| ignored.contains(&long) && !READ.contains(&long))
}

/// Begins the variables that say where the programs are which the project's tests need.
const OF_TESTS: &str = "RDS_TETHER_TEST_";

/// The secret of the Lambda function's tag: the function alone reads it, but may share its environment with verbs.
pub const TAG_KEY: &str = "RDS_TETHER_TAG_KEY";

/// The variables that begin as ours do and that no verb reads: a slip of the pen, such as RDS_TETHER_OBSERV, would otherwise
/// make an observer write.
fn unknown_variables<P: Parser>() -> Vec<Error> {
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let set = set.map(|(name, value)| (name.to_string_lossy().into_owned(), value));
    let ours = set
        .filter(|(name, _)| name.starts_with(PREFIX) && !name.starts_with(OF_TESTS))
        .filter(|(name, value)| name != TAG_KEY && !is_of_kubernetes(name, value));
    let ours: BTreeSet<String> = ours.map(|(name, _)| name).collect();
    if ours.is_empty() {
        return Vec::new();
    }
    let definition = command_line::<P>();
    let args = definition
        .get_arguments()
        .chain(definition.get_subcommands().flat_map(Command::get_arguments));
    let known: BTreeSet<String> = args
        .filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()))
        .collect();
    let unknown = ours.difference(&known);
    let told = unknown.map(|name| {
        let meant = nearest(name, known.iter().map(String::as_str));
        let fix = match meant {
            Some(meant) => format!("did you mean {meant}?"),
            None => "unset it".to_owned(),
        };
        Error::usage(format!("the environment variable {name} is not known"), fix)
    });
    told.collect()
}

/// Whether Kubernetes has set the variable, as it does for each service of a namespace: one may be named rds-tether.
fn is_of_kubernetes(name: &str, value: &std::ffi::OsStr) -> bool {
    let is_of_port = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        let rest = rest.trim_start_matches(|char: char| char.is_ascii_digit());
        ["_TCP", "_UDP", "_SCTP"]
            .iter()
            .any(|protocol| rest.starts_with(protocol))
    });
    let is_port = name.ends_with("_PORT") && value.to_string_lossy().contains("://");
    is_of_port || is_port || name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT")
}

/// The word that somebody meant who wrote another, if one is like it.
pub fn nearest<'a>(written: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let like = |word: &'a str| (strsim::normalized_damerau_levenshtein(written, word), word);
    let likeliest = words
        .into_iter()
        .map(like)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    likeliest
        .filter(|(likeness, _)| *likeness >= LIKENESS_LEAST)
        .map(|(_, word)| word)
}

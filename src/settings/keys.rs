//! What the manual says of every key of the settings file.

use clap::{Arg, ArgAction, Args, Command};

use super::table::{Dns, Http, Notify, Proxy, TargetGroup};

/// A table of the file.
pub struct Table {
    /// Its header as it is written.
    pub header: &'static str,
    /// What it is for.
    pub about: String,
    /// Its keys, in the order in which they are explained: first those that must be given.
    pub keys: Vec<Key>,
}

/// A key of a table.
pub struct Key {
    /// Its name.
    pub name: String,
    /// What its value looks like.
    pub value: String,
    /// What holds without it; nothing where it must be given.
    pub default: Option<String>,
    /// What it is for.
    pub about: String,
}

/// The keys that have no flag: table, name, value, default (nothing where it must be given), and what it is for.
const WITHOUT_FLAG: [[&str; 5]; 13] = [
    [GROUP, "arn", "\"ARN\"", "", "The target group"],
    [
        GROUP,
        "endpoints",
        "[\"HOST:PORT\", ...]",
        "",
        "Endpoints whose addresses are to be its targets",
    ],
    [
        GROUP,
        "assume_role",
        "{ arn = \"ARN\", external_id = \"TEXT\" }",
        "none",
        "IAM role to assume for calls about this group; external_id may be left out",
    ],
    [
        GROUP,
        "lead",
        "{ user = \"NAME\", password_file = \"FILE\" }",
        "none",
        "Ask the members of the database as this user who the writer is, and register it before DNS names it; iam = true stands for a \
         password, and database, members and patience may be given; needs ca_bundle",
    ],
    [
        DISCOVER,
        "region",
        "\"REGION\"",
        "",
        "Where to look for tagged target groups",
    ],
    [
        DISCOVER,
        "allow_endpoints",
        "[\"PATTERN\", ...]",
        "",
        "Endpoints that a tag may name, a star for any characters: \"*.abc123.eu-west-1.rds.amazonaws.com\"",
    ],
    [
        DISCOVER,
        "assume_role",
        "{ arn = \"ARN\", external_id = \"TEXT\" }",
        "none",
        "IAM role to assume, in whose account they are; external_id may be left out",
    ],
    [
        DISCOVER,
        "allow_cidrs",
        "[\"CIDR\", ...]",
        "everywhere",
        "Register only addresses within these networks, which a tag may narrow",
    ],
    [DISCOVER, "every", "\"DURATION\"", "5m", "How often to look for them"],
    [
        DISCOVER,
        "defaults",
        "{ KEY = VALUE, ... }",
        "none",
        "What holds where a tag says nothing: keys of [[target_group]]",
    ],
    [
        PROXY,
        "lead",
        "{ user = \"NAME\", password_file = \"FILE\" }",
        "none",
        "Ask the members of the database as this user who the writer is, and connect there before DNS names it; iam = true stands for \
         a password, and database, members and patience may be given",
    ],
    [DNS, "timeout", "\"DURATION\"", "2s", "How long one look may take"],
    [
        DNS,
        "quorum",
        "\"any\" | \"majority\"",
        "any",
        "Believe what one name server says, or only what more than half of them say",
    ],
];
const GROUP: &str = "[[target_group]]";
const DISCOVER: &str = "[[discover]]";
const PROXY: &str = "[[proxy]]";
const DNS: &str = "[dns]";

/// All tables.
pub fn tables() -> [Table; 6] {
    [
        table::<TargetGroup>(GROUP),
        table_of(
            DISCOVER,
            Command::new(DISCOVER).about(
                "Target groups of an account and region that say by their tags what they follow; once for each account and region",
            ),
        ),
        table::<Proxy>(PROXY),
        table::<Dns>(DNS),
        table::<Http>("[http]"),
        table::<Notify>("[notify]"),
    ]
}

fn table<T: Args>(header: &'static str) -> Table {
    table_of(header, T::augment_args(Command::new(header)))
}

fn table_of(header: &'static str, flags: Command) -> Table {
    let others = WITHOUT_FLAG.iter().filter(|[table, ..]| *table == header);
    let others = others.map(|[_, name, value, default, about]| Key {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
        default: Some((*default).to_owned()).filter(|default| !default.is_empty()),
        about: (*about).to_owned(),
    });
    // A table within is one key, however many flags it takes.
    let is_key = |flag: &&Arg| !flag.get_id().as_str().starts_with("lead.");
    let mut keys: Vec<Key> = flags.get_arguments().filter(is_key).map(key).chain(others).collect();
    keys.sort_by_key(|key| key.default.is_some());
    Table {
        header,
        about: flags.get_about().map(ToString::to_string).unwrap_or_default(),
        keys,
    }
}

fn key(flag: &Arg) -> Key {
    // The part before a dot tells flags apart.
    let name = flag.get_id().as_str().rsplit('.').next().unwrap_or_default();
    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
    let (about, told) = match help.strip_suffix(']').and_then(|help| help.split_once(" [default: ")) {
        Some((about, default)) => (about, default),
        None => (help.as_str(), "none"),
    };
    let word = flag.get_value_names().map_or("", |names| names[0].as_str());
    let quoted = format!("\"{}\"", word.replace('|', "\" | \""));
    let (value, told) = match flag.get_action() {
        ArgAction::SetTrue => ("true | false".to_owned(), "false"),
        ArgAction::Append => (format!("[{quoted}, ...]"), told),
        _ if word == "NUMBER" => (word.to_owned(), told),
        _ => (quoted, told),
    };
    Key {
        name: name.to_owned(),
        value,
        default: (!flag.is_required_set()).then(|| told.to_owned()),
        about: about.trim_end_matches("; repeatable").to_owned(),
    }
}

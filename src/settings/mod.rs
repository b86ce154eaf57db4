//! What the process was given: flags, environment and file become one struct, or an error that says what to write instead.
//!
//! `table` has every setting once, `options` all tables together, and [`value`] reads its text, from wherever it comes: `file`, or the
//! flags and variables of `command_line`. `flags` merges them. [`keys`] is what the manual says.

mod command_line;
pub mod discover;
mod file;
mod flags;
pub mod keys;
mod lead;
mod options;
mod table;
pub mod value;

use std::fmt;
use std::net::SocketAddr;

pub use discover::Discover;

pub use command_line::{Refused, TAG_KEY, command_line, read_command_line};
pub use flags::{Flags, OneShot, Output, ProxyFlags, text_of, without_command_line};
pub use table::Dns;

use crate::exit::Exit;
use crate::follow::binding::Binding;
use crate::planner::wrong::Wrong;
use crate::proxy::Proxy;
use crate::proxy::own::Listens;
use crate::text::{join, shown};
use crate::{dns, notify};

/// Everything the process obeys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Target groups to keep equal to endpoints.
    pub bindings: Vec<Binding>,
    /// Where to look for more of them, which say by their tags what they follow.
    pub discover: Vec<Discover>,
    /// Addresses to listen on for endpoints.
    pub proxies: Vec<Proxy>,
    /// How to look at DNS.
    pub dns: dns::Settings,
    /// Where to serve health over HTTP.
    pub http: Option<SocketAddr>,
    /// Whom to tell of changes and trouble.
    pub notify: notify::Settings,
}

impl Settings {
    /// Where a process with these settings listens.
    pub fn listens(&self) -> Listens {
        self.proxies.iter().map(|proxy| proxy.listen).chain(self.http).collect()
    }

    /// What is followed, in numbers.
    pub fn counted(&self) -> String {
        let counted = [
            (self.bindings.len(), "target group", "target groups"),
            (
                self.discover.len(),
                "place to look for tagged target groups",
                "places to look for tagged target groups",
            ),
            (self.proxies.len(), "proxy", "proxies"),
        ];
        let counted = counted.into_iter().filter(|(count, ..)| *count > 0);
        join(counted.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many })))
    }
}

/// Why there are no settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Whether the command line, with the environment, or the file is at fault.
    pub exit: Exit,
    /// What is wrong, and where.
    pub what: String,
    /// What to write instead, if there is one answer to that.
    pub fix: Option<String>,
    /// The line of the file that it is about, if it is about one.
    pub line: usize,
    /// What else is wrong: whoever mends settings wants to do so once.
    pub others: Vec<Error>,
}

impl Error {
    /// The command line or the environment is at fault.
    pub fn usage(what: impl Into<String>, fix: impl Into<Option<String>>) -> Self {
        Self::of(Exit::Usage, &what.into(), fix.into())
    }

    /// The file is at fault.
    pub fn file(what: impl Into<String>, fix: impl Into<Option<String>>) -> Self {
        Self::of(Exit::Settings, &what.into(), fix.into())
    }

    fn of(exit: Exit, what: &str, fix: Option<String>) -> Self {
        Self {
            exit,
            what: without_secrets(what),
            fix: fix.map(|fix| without_secrets(&fix)),
            line: 0,
            others: Vec::new(),
        }
    }

    /// All errors as one, each once and those of a file in its order; nothing if there are none.
    pub fn all(errors: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut all: Vec<Self> = Vec::new();
        for mut error in errors {
            let others = std::mem::take(&mut error.others);
            for error in std::iter::once(error).chain(others) {
                if !all.contains(&error) {
                    all.push(error);
                }
            }
        }
        let exit = Exit::worst(all.iter().map(|error| error.exit));
        all.sort_by_key(|error| error.line);
        let mut all = all.into_iter();
        let first = all.next()?;
        let others = all.collect();
        Some(Self { exit, others, ..first })
    }

    /// Each error as a line of its own, whatever is in it of what was given.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        std::iter::once(self).chain(&self.others).map(|error| match &error.fix {
            Some(fix) => shown(format_args!("{}; {fix}", error.what)),
            None => shown(&error.what),
        })
    }
}

/// Begins what a connection string of libpq has, and what a URL may have behind its path.
const PASSWORD: &str = "password=";
/// What an example has where others have secrets.
const EXAMPLE: &str = "USER:PASSWORD@";
/// Stands for what is not shown.
const SECRET: &str = "***";

/// A text without the passwords that URLs and connection strings may have, in whatever setting somebody put them.
fn without_secrets(text: &str) -> String {
    without_passwords(&without_users(&without_credentials(text)))
}

/// What stands before an @ in a word, as of a URL without its scheme: `USER:PASSWORD@HOST`.
fn without_users(text: &str) -> String {
    const EDGES: [char; 8] = [' ', '\n', '"', '\'', '`', '(', ',', '='];
    let mut shown = String::new();
    for word in text.split_inclusive(EDGES) {
        match word.rfind('@').map(|at| word.split_at(at)) {
            Some((user, host)) if user.contains(':') && !user.contains("://") && !word.starts_with(EXAMPLE) => {
                shown.extend([SECRET, host]);
            }
            _ => shown.push_str(word),
        }
    }
    shown
}

/// What stands between :// and the last @ before the next URL: a password may itself have an @, a blank or a quote.
fn without_credentials(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str("://");
        match part.rfind('@') {
            Some(at) if !part.starts_with(EXAMPLE) => {
                shown.push_str(SECRET);
                shown.push_str(&part[at..]);
            }
            _ => shown.push_str(part),
        }
    }
    shown
}

/// What stands behind password=, in quotes or up to what ends it.
fn without_passwords(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(start) = rest.to_ascii_lowercase().find(PASSWORD) {
        let (before, secret) = rest.split_at(start + PASSWORD.len());
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = secret.find(|char: char| {
            let is_end = !is_quoted && !is_escaped && (char.is_whitespace() || matches!(char, '&' | '"' | '`'));
            is_quoted ^= char == '\'' && !is_escaped;
            // What is shown quoted has two for each.
            is_escaped = char == '\\';
            is_end
        });
        shown = shown + before + SECRET;
        rest = &secret[end.unwrap_or(secret.len())..];
    }
    shown + rest
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Error {}

impl From<Wrong> for Error {
    fn from(Wrong { what, fix }: Wrong) -> Self {
        Self::usage(what, fix)
    }
}

//! What the process was given: flags, environment and file become one struct, or an error that says what to write instead.
//!
//! `table` has every setting once, and [`value`] reads its text, from wherever it comes: `file`, or the flags and variables of
//! `command_line`. `flags` merges them. [`keys`] is what the manual says.

mod command_line;
mod file;
mod flags;
pub mod keys;
mod table;
pub mod value;

use std::fmt;
use std::net::SocketAddr;

pub use command_line::{command_line, explain, read_command_line};
pub use flags::{Flags, OneShot, Output, ProxyFlags, without_command_line};

use crate::exit::Exit;
use crate::follow::binding::Binding;
use crate::planner::wrong::Wrong;
use crate::proxy::Proxy;
use crate::{dns, notify};

/// Everything the process obeys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Target groups to keep equal to endpoints.
    pub bindings: Vec<Binding>,
    /// Addresses to listen on for endpoints.
    pub proxies: Vec<Proxy>,
    /// How to look at DNS.
    pub dns: dns::Settings,
    /// Where to serve health over HTTP.
    pub http: Option<SocketAddr>,
    /// Whom to tell of changes and trouble.
    pub notify: notify::Settings,
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
}

impl Error {
    /// The command line or the environment is at fault.
    pub fn usage(what: impl Into<String>, fix: impl Into<Option<String>>) -> Self {
        let (exit, what, fix) = (Exit::Usage, what.into(), fix.into());
        Self { exit, what, fix }
    }

    /// The file is at fault.
    pub fn file(what: impl Into<String>, fix: impl Into<Option<String>>) -> Self {
        let (exit, what, fix) = (Exit::Settings, what.into(), fix.into());
        Self { exit, what, fix }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.fix.iter().try_for_each(|fix| write!(f, "; {fix}"))
    }
}

impl std::error::Error for Error {}

impl From<Wrong> for Error {
    fn from(Wrong { what, fix }: Wrong) -> Self {
        Self::usage(what, fix)
    }
}

//! What `doctor` is asked for on the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::doctor::Order;
use crate::doctor::check::{Pattern, Selection};
use crate::doctor::database::Source;
use crate::settings::value::Span;
use crate::settings::{Dns, Error, Flags, Notify, Output, Settings, TIMEOUT_RANGE};

/// How long an examination may take: a call to AWS may take ten seconds, and two follow from each other.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// What to examine, and how.
#[derive(Args, Clone, Debug)]
pub struct DoctorFlags {
    /// What to follow.
    #[command(flatten)]
    pub flags: Flags,
    /// Make only this check, or those of a group such as dns; repeatable
    #[arg(
        long,
        value_name = "NAME",
        env = "RDS_TETHER_ONLY",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub only: Vec<Pattern>,
    /// Leave this check out, or those of a group; repeatable
    #[arg(
        long,
        value_name = "NAME",
        env = "RDS_TETHER_SKIP",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub skip: Vec<Pattern>,
    /// Check the database that changes are streamed from: postgres://USER:PASSWORD@HOST:5432/DATABASE
    #[arg(long, value_name = "URL", env = "RDS_TETHER_DATABASE", hide_env_values = true)]
    pub database: Option<Secret>,
    /// Publication that is streamed [default: all of the database]
    #[arg(long, value_name = "NAME", env = "RDS_TETHER_PUBLICATION", hide_env_values = true)]
    pub publication: Option<String>,
    /// Show the write permissions by two calls that change nothing
    #[arg(long, env = "RDS_TETHER_WRITE_CHECK", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub write_check: bool,
    /// Give up after this long [default: 30s]
    #[arg(
        long,
        value_name = "DURATION",
        allow_hyphen_values = true,
        env = "RDS_TETHER_TIMEOUT",
        hide_env_values = true, value_parser = |text: &str| Span::within(text, &TIMEOUT_RANGE)
    )]
    pub timeout: Option<Span>,
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
    pub output: Output,
}

/// A text that is never shown, because there may be a password in it.
#[derive(Clone)]
pub struct Secret(String);

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl DoctorFlags {
    /// What to follow; nothing at all is enough if there is a database to look at.
    pub fn settings(&self) -> Result<Settings, Error> {
        if self.database.is_some() && self.flags.name_nothing() {
            return Ok(Settings {
                bindings: Vec::new(),
                proxies: Vec::new(),
                dns: Dns::default(),
                http: None,
                notify: Notify::default(),
            });
        }
        self.flags.settings()
    }

    /// What to examine besides. Files are read here.
    pub fn order(&self) -> Result<Order, Error> {
        let bundle = self.flags.bundle()?;
        let source = self
            .database
            .as_ref()
            .map(|Secret(url)| Source::new(url, bundle.as_ref()));
        if self.publication.is_some() && source.is_none() {
            return Err(Error::Usage("--publication needs --database URL: where it is".into()));
        }
        Ok(Order {
            selection: Selection {
                only: self.only.clone(),
                skip: self.skip.clone(),
            },
            limit: self.timeout.map_or(TIMEOUT_DEFAULT, |span| span.0),
            bundle,
            write_check: self.write_check,
            source: source.transpose().map_err(Error::Usage)?,
            publication: self.publication.clone(),
        })
    }
}

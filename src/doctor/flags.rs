//! What `doctor` is asked for on the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::database::Source;
use crate::doctor::Order;
use crate::doctor::check::{Pattern, Selection};
use crate::settings::{Error, OneShot, Settings};

/// How long an examination may take: a call to AWS may take ten seconds, and two follow from each other.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// What to examine, and how.
#[derive(Args, Clone, Debug)]
pub struct DoctorFlags {
    /// What to look at, how long, and how to print what was seen.
    #[command(flatten)]
    pub look: OneShot,
    /// Make only this check, or those of a group such as dns; repeatable
    #[arg(long, value_name = "NAME")]
    pub only: Vec<Pattern>,
    /// Leave this check out, or those of a group; repeatable
    #[arg(long, value_name = "NAME")]
    pub skip: Vec<Pattern>,
    /// Check the database that changes are streamed from: postgres://USER:PASSWORD@HOST:5432/DATABASE
    #[arg(long, value_name = "URL")]
    pub database: Option<Secret>,
    /// Publication that is streamed [default: all of the database]
    #[arg(long, value_name = "NAME")]
    pub publication: Option<String>,
    /// Show the write permissions by two calls that change nothing
    #[arg(long)]
    pub write_check: bool,
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

impl Secret {
    /// The text, for who connects with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl DoctorFlags {
    /// What to follow; nothing at all is enough if there is a database to look at.
    pub fn settings(&self) -> Result<Settings, Error> {
        if self.database.is_some() && self.look.flags.name_nothing() {
            return Ok(Settings::default());
        }
        self.look.flags.settings()
    }

    /// What to examine besides. Files are read here.
    pub fn order(&self) -> Result<Order, Error> {
        let bundle = self.look.flags.bundle()?;
        let source = self
            .database
            .as_ref()
            .map(|url| Source::new(url.reveal(), bundle.as_ref()));
        if self.publication.is_some() && source.is_none() {
            let what = "--publication needs --database URL: where it is";
            return Err(Error::usage(what, None));
        }
        Ok(Order {
            selection: Selection {
                only: self.only.clone(),
                skip: self.skip.clone(),
            },
            limit: self.look.timeout.map_or(TIMEOUT_DEFAULT, Duration::from),
            bundle,
            write_check: self.write_check,
            source: source.transpose().map_err(|what| Error::usage(what, None))?,
            publication: self.publication.clone(),
        })
    }
}

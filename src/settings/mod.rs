//! What the process was given: flags, environment and file become one struct, or an error that says what to write instead.
//!
//! `table` has every setting once; `value` reads the texts, from wherever they come; `file` and `flags` are where they come
//! from; [`keys`] is what the manual says of them.

mod file;
mod flags;
pub mod keys;
mod table;
pub mod value;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

pub use flags::{Flags, OneShot, Output, ProxyFlags, command_line, explain, read_command_line};

use crate::aws::arn::Arn;
use crate::exit::Exit;
use crate::follow::binding::Binding;
use crate::planner::wrong::Wrong;
use crate::probe::Trust;
use crate::proxy::Proxy;
use crate::{dns, notify};
use file::File;
use table::{Options, TargetGroup};
use value::Bundle;

/// Where the settings are if nobody says otherwise.
const DEFAULT_FILE: &str = "/etc/rds-tether/config.toml";

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

impl Flags {
    /// Whether neither they nor a file say what to follow.
    pub fn name_nothing(&self) -> bool {
        let is_empty = self.config.is_none() && self.endpoints.is_empty() && self.target_groups.is_empty();
        is_empty && !Path::new(DEFAULT_FILE).exists()
    }

    /// Reads the settings that the flags, the environment and the file make together.
    pub fn settings(&self) -> Result<Settings, Error> {
        let default = Path::new(DEFAULT_FILE);
        self.settings_from(File::read, default.exists().then_some(default))
    }

    /// The same for who only asks a running process, whose address is then enough.
    pub fn settings_or_address(&self) -> Result<Settings, Error> {
        if self.http.listen.is_some() && self.name_nothing() {
            return self.alone();
        }
        self.settings()
    }

    /// What they say beside what to follow.
    pub fn alone(&self) -> Result<Settings, Error> {
        self.over(Options::default(), None)
    }

    /// The CA certificates that are to be trusted.
    pub fn bundle(&self) -> Result<Option<Trust>, Error> {
        let bundle = self.group.ca_bundle.as_ref().map(Bundle::trust).transpose();
        bundle.map_err(|wrong| Error::usage(format!("--ca-bundle: {}", wrong.what), wrong.fix))
    }

    /// The settings with the file that is `named`, or else, if nothing is bound, with the one at `default`.
    fn settings_from(
        &self,
        named: impl FnOnce(&Path) -> Result<File, Error>,
        default: Option<&Path>,
    ) -> Result<Settings, Error> {
        let file = match (
            &self.config,
            self.endpoints.is_empty(),
            self.target_groups.is_empty(),
            default,
        ) {
            (Some(path), true, true, _) => named(path)?,
            (Some(_), ..) => {
                return Err(Error::usage(
                    "--config does not go with --endpoint or --target-group (or their environment variables \
                     RDS_TETHER_CONFIG, RDS_TETHER_ENDPOINT, RDS_TETHER_TARGET_GROUP)",
                    "give one or the other".to_owned(),
                ));
            }
            (None, false, false, _) => return self.over(self.bound()?, None),
            (None, false, true, _) => {
                let what = "--endpoint needs --target-group ARN: the group that is to follow it";
                return Err(Error::usage(what, None));
            }
            (None, true, false, _) => {
                let what = "--target-group needs --endpoint HOST:PORT: what it is to follow";
                return Err(Error::usage(what, None));
            }
            (None, true, true, Some(default)) => File::read(default)?,
            (None, true, true, None) => {
                let fix = "give --endpoint HOST:PORT and --target-group ARN, or --config FILE, or write ";
                return Err(Error::usage(
                    "there is nothing to follow",
                    fix.to_owned() + DEFAULT_FILE,
                ));
            }
        };
        self.over(file.options()?, Some(&file))
    }

    /// What they bind themselves.
    fn bound(&self) -> Result<Options, Error> {
        let arns: BTreeSet<_> = self.target_groups.iter().collect();
        if arns.len() < self.target_groups.len() {
            let what = "--target-group names the same group twice";
            return Err(Error::usage(what, "name each once".to_owned()));
        }
        let group = |arn: &Arn| TargetGroup {
            arn: Some(arn.clone()),
            endpoints: Some(self.endpoints.clone()),
            ..TargetGroup::default()
        };
        Ok(Options {
            target_group: self.target_groups.iter().map(group).collect(),
            ..Options::default()
        })
    }

    /// What was said on the command line or in the environment over what the file says, if there is one.
    fn over(&self, said: Options, file: Option<&File>) -> Result<Settings, Error> {
        let mut group = self.group.clone();
        group.ca_bundle = self.bundle()?.map(Bundle::Read);
        let over = |said| group.clone().over(said);
        let merged = Options {
            target_group: said.target_group.into_iter().map(over).collect(),
            proxy: said.proxy,
            dns: self.dns.clone().over(said.dns),
            http: self.http.clone().over(said.http),
            notify: self.notify.clone().over(said.notify),
        };
        let is_asked_by_flag = |key| key == "probe" && self.group.probe.is_some();
        merged.settings().map_err(|fault| match file {
            Some(file) if !is_asked_by_flag(fault.key) => file.fault(&fault),
            _ => fault.wrong.into(),
        })
    }
}

impl ProxyFlags {
    /// The settings of a process that is one proxy.
    pub fn settings(&self) -> Result<Settings, Error> {
        let given = self.clone();
        let options = Options {
            target_group: Vec::new(),
            proxy: vec![given.proxy],
            dns: given.dns,
            http: given.http,
            notify: given.notify,
        };
        options.settings().map_err(|fault| fault.wrong.into())
    }
}

/// Settings for where there is no command line: the text of a file in RDS_TETHER_CONFIG, else the simple variables, else
/// the file at `packaged`.
pub fn without_command_line(packaged: &Path) -> Result<Settings, Error> {
    #[derive(clap::Parser)]
    struct Environment {
        #[command(flatten)]
        flags: Flags,
    }
    let read = read_command_line::<Environment>(["bootstrap"].map(Into::into).into());
    let given = read.map_err(|error| {
        let source = explain::<Environment>(&error, &[]).unwrap_or_default();
        Error::usage(format!("{error}{source}"), None)
    })?;
    let text = |text: &Path| {
        let (path, text) = ("RDS_TETHER_CONFIG".into(), text.to_string_lossy().into_owned());
        Ok(File { path, text })
    };
    given.flags.settings_from(text, Some(packaged))
}

//! What the command line, the environment and the file say together. A flag beats its variable, which beats the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, Parser, ValueEnum};

use super::command_line::{Refused, TAG_KEY, read_command_line};
use super::discover::Tagged;
use super::file::{File, Reading};
use super::options::{Fault, Options};
use super::table::{Dns, Http, Notify, Proxy, TargetGroup};
use super::value::{Bundle, Limit};
use super::{Error, Settings};
use crate::aws::arn::{Arn, GroupName, RegionName};
use crate::aws::{ca, profiles, variables};
use crate::file::SETTINGS_MAX;
use crate::function::tag::Seal;
use crate::planner::endpoint::Endpoint;
use crate::planner::wrong::Wrong;
use crate::probe::Trust;

/// Where the settings are if nobody says otherwise.
const DEFAULT_FILE: &str = "/etc/rds-tether/config.toml";

/// What to follow, and how.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// Settings file (TOML); if neither it nor --endpoint is given: /etc/rds-tether/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Endpoint to follow; repeat it for a target group that holds several
    #[arg(long = "endpoint", value_name = "HOST:PORT")]
    endpoints: Vec<Endpoint>,
    /// Target group to keep equal to the endpoints, by its name or ARN; repeat it for several such groups
    #[arg(long = "target-group", value_name = "NAME|ARN")]
    target_groups: Vec<GroupName>,
    #[command(flatten)]
    tagged: Tagged,
    #[command(flatten)]
    dns: Dns,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    notify: Notify,
    #[command(flatten)]
    group: TargetGroup,
}

/// What one proxy is to do: the tables of a file that concern it.
#[derive(Args, Clone, Debug)]
pub struct ProxyFlags {
    #[command(flatten)]
    proxy: Proxy,
    #[command(flatten)]
    dns: Dns,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    notify: Notify,
}

/// What to look at, how long, and how to print what was seen.
#[derive(Args, Clone, Debug)]
pub struct OneShot {
    /// What to look at.
    #[command(flatten)]
    pub flags: Flags,
    /// Give up after this long [default: plan and status 15s, doctor 30s, drill 30m; sync forget + patience + 60s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Limit>,
    /// How to print the result
    #[arg(long, value_name = "text|json", value_enum, default_value_t)]
    pub output: Output,
}

/// How to print results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For machines; the schema only grows.
    Json,
}

impl Flags {
    /// Whether neither they nor a file say what to follow.
    pub fn name_nothing(&self) -> bool {
        self.config.is_none() && !self.bind() && !Path::new(DEFAULT_FILE).exists()
    }

    /// Whether they say what to follow themselves.
    fn bind(&self) -> bool {
        !(self.endpoints.is_empty() && self.target_groups.is_empty() && self.tagged.is_empty())
    }

    /// The same with a region wherever tagged target groups are looked for, see [`Tagged::placed`].
    ///
    /// # Errors
    /// Those of `find`.
    pub async fn placed<E>(
        &self,
        find: impl AsyncFn(Option<&str>) -> Result<Option<RegionName>, E>,
    ) -> Result<Self, E> {
        let tagged = self.tagged.placed(find).await?;
        Ok(Self { tagged, ..self.clone() })
    }

    /// What binds target groups to an endpoint, as if it had been typed.
    pub fn binding(endpoint: Endpoint, groups: impl IntoIterator<Item = Arn>, dns: Dns) -> Self {
        Self {
            endpoints: vec![endpoint],
            target_groups: groups.into_iter().map(GroupName::Arn).collect(),
            dns,
            ..Self::default()
        }
    }

    /// The settings that a file makes with this text, whatever is in it now.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn of_text(path: &Path, text: String) -> Result<Settings, Error> {
        let flags = Self {
            config: Some(path.to_owned()),
            ..Self::default()
        };
        if text.len() as u64 > SETTINGS_MAX {
            let what = format!(
                "{} would have more than {} KiB, the most that it may have",
                path.display(),
                SETTINGS_MAX >> 10
            );
            return Err(Error::file(
                what,
                "let several processes follow some of the target groups each".to_owned(),
            ));
        }
        let file = |path: &Path| {
            let path = path.to_owned();
            Ok(File { path, text })
        };
        flags.settings_from(file, None)
    }

    /// The same, where they name a file or the one that is read without one, without the target groups and endpoints that they name
    /// besides; and those, which are some of the file's then.
    pub fn choosing(&self) -> (Self, Vec<GroupName>, Vec<Endpoint>) {
        let binds = !self.endpoints.is_empty() && !self.target_groups.is_empty();
        let has_file = self.config.is_some() || (!binds && Path::new(DEFAULT_FILE).exists());
        if !has_file {
            return (self.clone(), Vec::new(), Vec::new());
        }
        let mut flags = self.clone();
        let (groups, endpoints) = (&mut flags.target_groups, &mut flags.endpoints);
        let chosen = (std::mem::take(groups), std::mem::take(endpoints));
        (flags, chosen.0, chosen.1)
    }

    /// The endpoints that they name themselves.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The names of target groups whose ARNs are yet to be found.
    pub fn group_names(&self) -> BTreeSet<&str> {
        let names = self.target_groups.iter().filter_map(|group| match group {
            GroupName::Arn(_) => None,
            GroupName::Name(name) => Some(name.as_str()),
        });
        names.collect()
    }

    /// The same with the ARNs of the names for which there is one.
    pub fn with_arns(&self, arns: &BTreeMap<String, Arn>) -> Self {
        let found = |group: &GroupName| match group {
            GroupName::Name(name) => arns.get(name).cloned().map(GroupName::Arn),
            GroupName::Arn(_) => None,
        };
        let groups = self.target_groups.iter();
        Self {
            target_groups: groups
                .map(|group| found(group).unwrap_or_else(|| group.clone()))
                .collect(),
            ..self.clone()
        }
    }

    /// Reads the settings that the flags, the environment and the file make together. Names of target groups are no settings: see
    /// [`Flags::with_arns`].
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
        let file = match (&self.config, self.bind(), default) {
            (Some(path), false, _) => named(path)?,
            (Some(_), true, _) => {
                return Err(Error::usage(
                    "--config does not go with --endpoint, --target-group, --discover or --allow-endpoint (or their environment \
                     variables RDS_TETHER_CONFIG, RDS_TETHER_ENDPOINT, RDS_TETHER_TARGET_GROUP, RDS_TETHER_DISCOVER, \
                     RDS_TETHER_ALLOW_ENDPOINT)",
                    "give one or the other".to_owned(),
                ));
            }
            (None, true, _) => return self.over(self.bound()?, None),
            (None, false, Some(default)) => File::read(default)?,
            (None, false, None) => {
                let fix = "give --endpoint HOST:PORT and --target-group NAME|ARN, or --discover and --allow-endpoint PATTERN, or \
                           --config FILE, or write ";
                return Err(Error::usage(
                    "there is nothing to follow",
                    fix.to_owned() + DEFAULT_FILE,
                ));
            }
        };
        let mut reading = file.reading();
        let said = std::mem::take(&mut reading.options);
        self.over(said, Some(&reading))
    }

    /// What they bind themselves.
    fn bound(&self) -> Result<Options, Error> {
        let half = match (self.endpoints.is_empty(), self.target_groups.is_empty()) {
            (false, true) => Some("--endpoint needs --target-group NAME|ARN: the group that is to follow it"),
            (true, false) => Some("--target-group needs --endpoint HOST:PORT: what it is to follow"),
            _ => None,
        };
        if let Some(what) = half {
            return Err(Error::usage(what, None));
        }
        let groups: BTreeSet<_> = self.target_groups.iter().collect();
        if groups.len() < self.target_groups.len() {
            let what = "--target-group names the same group twice";
            return Err(Error::usage(what, "name each once".to_owned()));
        }
        let arns = self.target_groups.iter().map(|group| match group {
            GroupName::Arn(arn) => Ok(arn),
            GroupName::Name(name) => Err(Error::usage(
                format!("the target group {name:?} is given by its name, and nobody looks that up here"),
                "give its ARN".to_owned(),
            )),
        });
        let arns: Vec<&Arn> = arns.collect::<Result<_, _>>()?;
        let group = |arn: &Arn| TargetGroup {
            arn: Some(arn.clone()),
            endpoints: Some(self.endpoints.clone()),
            ..TargetGroup::default()
        };
        Ok(Options {
            target_group: arns.into_iter().map(group).collect(),
            discover: self.tagged.tables()?,
            ..Options::default()
        })
    }

    /// What was said on the command line or in the environment over what the file says, if there is one.
    fn over(&self, said: Options, file: Option<&Reading<'_>>) -> Result<Settings, Error> {
        let mut errors: Vec<Error> = file.map(|file| file.errors.clone()).unwrap_or_default();
        let mut group = self.group.clone();
        let bundle = self.bundle();
        let has_bad_bundle = bundle.is_err();
        group.ca_bundle = bundle
            .map_err(|error| errors.push(error))
            .ok()
            .flatten()
            .map(Bundle::Read);
        if said.target_group.is_empty() && said.discover.is_empty() && errors.is_empty() && file.is_some() {
            errors.extend(group.said().into_iter().map(|long| {
                let what = format!("--{long} is about target groups, and the settings have none");
                Error::usage(what, "leave it out (or its variable)".to_owned())
            }));
        }
        let of_some = TargetGroup {
            // It is for those groups that are probed.
            probe_patience: None,
            ..group.clone()
        };
        let probes = |said: &TargetGroup| said.probe.is_some() || group.probe.is_some();
        let has_probe = said.target_group.iter().any(probes);
        let over = |said: TargetGroup| match probes(&said) || !has_probe {
            true => group.clone().over(said),
            false => of_some.clone().over(said),
        };
        let merged = Options {
            target_group: said.target_group.into_iter().map(over).collect(),
            discover: said.discover.into_iter().map(|place| place.under(&group)).collect(),
            proxy: said.proxy,
            dns: self.dns.clone().over(said.dns),
            http: self.http.clone().over(said.http),
            notify: self.notify.clone().over(said.notify),
        };
        let is_asked_by_flag = |key| match key {
            "probe" => self.group.probe.is_some(),
            "probe_patience" => self.group.probe_patience.is_some(),
            "after" => self.notify.after.is_some(),
            _ => false,
        };
        let settings = merged.settings().unwrap_or_else(|faults| {
            let news = faults.iter().filter(|fault| !(has_bad_bundle && fault.is_of_bundle()));
            errors.extend(news.filter_map(|fault| match file {
                Some(file) if !is_asked_by_flag(fault.key) => file.fault(fault),
                _ => Some(fault.wrong.clone().into()),
            }));
            Settings::default()
        });
        reaching_aws(settings, errors)
    }
}

/// The settings, if nothing is wrong and AWS can be trusted as the environment says, should it be called at all.
fn reaching_aws(settings: Settings, mut errors: Vec<Error>) -> Result<Settings, Error> {
    if !settings.bindings.is_empty() || !settings.discover.is_empty() || settings.notify.topic.is_some() {
        errors.extend(ca::from_env().err().map(Error::from));
        errors.extend(variables::wrong().into_iter().map(Error::from));
        let of_file = |Wrong { what, fix }| Error::file(what, fix);
        errors.extend(profiles::wrong().into_iter().map(of_file));
    }
    Error::all(errors).map_or(Ok(settings), Err)
}

/// The text of a settings file.
///
/// # Errors
/// It cannot be read.
pub fn text_of(path: &Path) -> Result<String, Error> {
    Ok(File::read(path)?.text)
}

/// What is wrong with the file that a command line names, or that is read without one, for those who have to mend that anyway.
pub(super) fn errors_of_file(matches: &ArgMatches) -> Option<Error> {
    let value = |name: &str| Some(matches.try_get_raw(name).ok()??.next()?.to_owned());
    let bind = ["endpoints", "target_groups", "regions", "allow_endpoints"];
    if bind.into_iter().any(|name| value(name).is_some()) {
        return None;
    }
    matches.try_get_raw("config").ok()?;
    let path = match value("config") {
        Some(path) if path.is_empty() => return None,
        Some(path) => PathBuf::from(path),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists())?,
    };
    let file = match File::read(&path) {
        Ok(file) => file,
        Err(error) => return Some(error),
    };
    let mut reading = file.reading();
    let said = std::mem::take(&mut reading.options);
    Flags::default().over(said, Some(&reading)).err()
}

impl ProxyFlags {
    /// The settings of a process that is one proxy.
    pub fn settings(&self) -> Result<Settings, Error> {
        let given = self.clone();
        let options = Options {
            target_group: Vec::new(),
            discover: Vec::new(),
            proxy: vec![given.proxy],
            dns: given.dns,
            http: given.http,
            notify: given.notify,
        };
        let wrong = |faults: Vec<Fault>| Error::all(faults.into_iter().map(|fault| Error::from(fault.wrong)));
        let (settings, error) = match options.settings() {
            Ok(settings) => (settings, None),
            Err(faults) => (Settings::default(), wrong(faults)),
        };
        reaching_aws(settings, error.into_iter().collect())
    }
}

/// Settings for where there is no command line: the text of a file in RDS_TETHER_CONFIG, else the simple variables, else
/// the file at `packaged`; and the seal of the function's tag, if there is a secret for it.
pub fn without_command_line(packaged: &Path) -> Result<(Settings, Option<Seal>), Error> {
    #[derive(Parser)]
    struct Environment {
        #[command(flatten)]
        flags: Flags,
        #[arg(long = "tag-key", env = TAG_KEY)]
        seal: Option<Seal>,
    }
    let read = read_command_line::<Environment>(["bootstrap"].map(Into::into).into());
    let given = read.map_err(|refused| match refused {
        Refused::Wrong(error) => error,
        Refused::Asked(help) => Error::usage(help.to_string(), None),
    })?;
    let text = |text: &Path| {
        let (path, text) = ("RDS_TETHER_CONFIG".into(), text.to_string_lossy().into_owned());
        Ok(File { path, text })
    };
    Ok((given.flags.settings_from(text, Some(packaged))?, given.seal))
}

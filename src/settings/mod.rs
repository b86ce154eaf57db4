//! What the process was given: flags, environment and file become one struct, or an error that says what to write instead.

mod file;
mod flags;
pub mod keys;
pub mod value;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

pub use flags::{DnsFlags, Flags, LogFormat, Logging, NotifyFlags, Output, ProxyFlags, explain, read_command_line};

use crate::exit::Exit;
use crate::follow::binding::Binding;
use crate::notify::TopicArn;
use crate::planner::answer::{GAP, Quorum};
use crate::planner::candidate::Probe;
use crate::planner::policy::Policy;
use crate::probe::Trust;
use crate::proxy::Proxy;
use crate::proxy::route::Rules;
use value::Cidr;

/// Where the settings are if nobody says otherwise.
const DEFAULT_FILE: &str = "/etc/rds-tether/config.toml";
/// Waits longer than a day are slips of the pen, and answers are not remembered for ever.
const WAIT_RANGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 60 * 60);
/// DNS is asked at least a second apart, and so often that a look with its back-off never leaves a gap in seeing, which
/// would restart every clock.
const INTERVAL_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
const _: () = assert!(INTERVAL_RANGE.end().as_secs() + DEADLINE_RANGE.end().as_secs() < GAP.as_secs());
/// A time limit of less than a second ends before anything is seen; more than the longest waits together is no limit.
pub const TIMEOUT_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3 * 24 * 60 * 60);
/// A look at DNS that takes longer than this would outlast the answers it waits for.
const DEADLINE_RANGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10);
/// A client that waits longer than this for its connection has given up.
const DIAL_RANGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(5 * 60);

/// Trouble that lasts less than a second passes unseen, and one of more than a day is no news.
const AFTER_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// Everything the process obeys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Target groups to keep equal to endpoints.
    pub bindings: Vec<Binding>,
    /// Addresses to listen on for endpoints.
    pub proxies: Vec<Proxy>,
    /// How to look at DNS.
    pub dns: Dns,
    /// Where to serve health over HTTP.
    pub http: Option<SocketAddr>,
    /// Whom to tell of changes and trouble.
    pub notify: Notify,
}

/// Whom to tell of changes and trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The topic to send messages to.
    pub topic: Option<TopicArn>,
    /// How long trouble lasts before it is told.
    pub after: Duration,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            topic: None,
            after: Duration::from_secs(3 * 60),
        }
    }
}

/// How to look at DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The name servers to ask; none: those of /etc/resolv.conf.
    pub name_servers: Vec<SocketAddr>,
    /// How long one look may take.
    pub deadline: Duration,
    /// The longest time between two looks.
    pub interval: Duration,
    /// How many name servers must give an address.
    pub quorum: Quorum,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            name_servers: Vec::new(),
            deadline: Duration::from_secs(2),
            interval: Duration::from_secs(5),
            quorum: Quorum::Any,
        }
    }
}

/// Why there are no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The command line or the environment is at fault.
    #[error("{0}")]
    Usage(String),
    /// The file is at fault.
    #[error("{0}")]
    File(String),
}

impl Error {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::File(_) => Exit::Settings,
        }
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
        let usage = |message: &str| Err(Error::Usage(message.into()));
        let mut settings = match (&self.config, self.endpoints.is_empty(), self.target_groups.is_empty()) {
            (Some(path), true, true) => read_file(path)?,
            (Some(_), _, _) => {
                return usage(
                    "--config does not go with --endpoint or --target-group (or their environment variables \
                     RDS_TETHER_CONFIG, RDS_TETHER_ENDPOINT, RDS_TETHER_TARGET_GROUP); give one or the other",
                );
            }
            (None, false, false) => self.without_file()?,
            (None, false, true) => return usage("--endpoint needs --target-group ARN: the group that is to follow it"),
            (None, true, false) => return usage("--target-group needs --endpoint HOST:PORT: what it is to follow"),
            (None, true, true) if Path::new(DEFAULT_FILE).exists() => read_file(Path::new(DEFAULT_FILE))?,
            (None, true, true) => {
                return usage(
                    "there is nothing to follow; give --endpoint HOST:PORT and --target-group ARN, or --config FILE, or \
                     write /etc/rds-tether/config.toml",
                );
            }
        };
        self.override_all(&mut settings)?;
        Ok(settings)
    }

    /// The same for who only asks a running process, whose address is then enough.
    pub fn settings_or_address(&self) -> Result<Settings, Error> {
        let has_bindings = self.config.is_some() || !self.endpoints.is_empty() || !self.target_groups.is_empty();
        if has_bindings || self.http.is_none() || Path::new(DEFAULT_FILE).exists() {
            return self.settings();
        }
        let mut settings = Settings::default();
        self.override_all(&mut settings)?;
        Ok(settings)
    }

    fn without_file(&self) -> Result<Settings, Error> {
        let groups: BTreeSet<_> = self.target_groups.iter().collect();
        if groups.len() < self.target_groups.len() {
            return Err(Error::Usage(
                "--target-group names the same group twice; name each once".into(),
            ));
        }
        let binding = |arn: &_| Binding {
            arn: Clone::clone(arn),
            endpoints: self.endpoints.iter().cloned().collect(),
            policy: Policy::default(),
            observe: false,
            assume_role: None,
            trust: None,
        };
        Ok(Settings {
            bindings: self.target_groups.iter().map(binding).collect(),
            proxies: Vec::new(),
            dns: Dns::default(),
            http: None,
            notify: Notify::default(),
        })
    }

    /// Puts what was said on the command line or in the environment over what the file says.
    pub fn override_all(&self, settings: &mut Settings) -> Result<(), Error> {
        let bundle = self.bundle()?;
        self.dns.override_all(&mut settings.dns);
        settings.http = self.http.map(|listen| listen.0).or(settings.http);
        self.notify.override_all(&mut settings.notify);
        for binding in &mut settings.bindings {
            let policy = &mut binding.policy;
            policy.role = self.role.or(policy.role);
            policy.forget = self.forget.map(|span| span.0).or(policy.forget);
            policy.patience = self.patience.map(|span| span.0).or(policy.patience);
            if !self.allow_cidrs.is_empty() {
                policy.allow_cidrs = self.allow_cidrs.iter().map(|cidr| cidr.0).collect();
            }
            if !self.keep.is_empty() {
                policy.keep = self.keep.iter().map(|cidr| cidr.0).collect();
            }
            policy.upsert_only |= self.upsert_only;
            policy.probe = self.probe.unwrap_or(policy.probe);
            policy.probe_patience = self.probe_patience.or(policy.probe_patience);
            binding.observe |= self.observe;
            binding.trust = bundle.clone().or(binding.trust.take());
            if policy.probe == Probe::Tls && binding.trust.is_none() {
                return Err(self.without_bundle(binding));
            }
        }
        Ok(())
    }

    /// Whoever asked for the probe has to say which authorities are believed.
    fn without_bundle(&self, binding: &Binding) -> Error {
        let message = format!(
            "target group {} is to be probed with tls, which needs ca_bundle (--ca-bundle FILE): the CA certificates that \
             sign the database's; AWS publishes those of RDS, \
             https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
            binding.arn.name()
        );
        match &self.config {
            _ if self.probe.is_some() => Error::Usage(message),
            Some(path) => Error::File(format!("{}: {message}", path.display())),
            None => Error::File(message),
        }
    }

    /// The CA certificates that are to be trusted.
    pub fn bundle(&self) -> Result<Option<Trust>, Error> {
        let bundle = self.ca_bundle.as_deref().map(Trust::in_file).transpose();
        bundle.map_err(|error| Error::Usage(format!("--ca-bundle: {error}")))
    }
}

impl DnsFlags {
    /// Puts these over what the file says.
    pub fn override_all(&self, dns: &mut Dns) {
        if !self.nameservers.is_empty() {
            dns.name_servers = self.nameservers.iter().map(|server| server.0).collect();
        }
        if let Some(interval) = self.interval {
            dns.interval = interval.0;
        }
    }
}

impl NotifyFlags {
    /// Puts these over what the file says.
    pub fn override_all(&self, notify: &mut Notify) {
        if let Some(topic) = &self.topic {
            notify.topic = Some(topic.clone());
        }
        if let Some(after) = self.after {
            notify.after = after.0;
        }
    }
}

impl ProxyFlags {
    /// The settings of a process that is one proxy.
    pub fn settings(&self) -> Settings {
        let cidrs = |cidrs: &[Cidr]| cidrs.iter().map(|cidr| cidr.0).collect();
        let defaults = Proxy::new(self.listen.0, self.endpoint.clone());
        let proxy = Proxy {
            family: self.ip_family.unwrap_or(defaults.family),
            rules: Rules {
                linger: self.linger.unwrap_or_default(),
                role: self.role,
                allow_cidrs: cidrs(&self.allow_cidrs),
            },
            dial_timeout: self.dial_timeout.map_or(defaults.dial_timeout, |span| span.0),
            max_sessions: self.max_sessions.map_or(defaults.max_sessions, usize::from),
            allow_peers: cidrs(&self.allow_peers),
            accept_proxy_protocol: self.accept_proxy_protocol,
            drain: self.drain.map_or(defaults.drain, |span| span.0),
            ..defaults
        };
        let mut dns = Dns::default();
        self.dns.override_all(&mut dns);
        let mut notify = Notify::default();
        self.notify.override_all(&mut notify);
        Settings {
            bindings: Vec::new(),
            proxies: vec![proxy],
            dns,
            http: self.http.map(|listen| listen.0),
            notify,
        }
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
    let told = |error: clap::Error| {
        let source = explain::<Environment>(&error, &[]).unwrap_or_default();
        Error::Usage(format!("{error}{source}"))
    };
    let read = read_command_line::<Environment>(["bootstrap"].map(Into::into).into());
    let mut flags = read.map_err(told)?.flags;
    if flags.config.is_some() && !(flags.endpoints.is_empty() && flags.target_groups.is_empty()) {
        return flags.settings();
    }
    let text = flags.config.take();
    let mut settings = match text {
        Some(text) => file::parse(Path::new("RDS_TETHER_CONFIG"), &text.to_string_lossy())?,
        None if flags.endpoints.is_empty() && flags.target_groups.is_empty() => read_file(packaged)?,
        None => return flags.settings(),
    };
    flags.override_all(&mut settings)?;
    Ok(settings)
}

fn read_file(path: &Path) -> Result<Settings, Error> {
    let failed =
        |why: &dyn std::fmt::Display| Error::File(format!("cannot read the settings file {}: {why}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => failed(&format!("{error}; let this user read it (chmod a+r)")),
        _ => failed(&error),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| failed(&"it is no UTF-8 text; save it as UTF-8"))?;
    file::parse(path, &text)
}

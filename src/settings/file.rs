//! The settings file. Texts are read here rather than while parsing TOML, so that each error names its own line.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::value::{Cidr, Listen, NameServer, RoleArn, Span, shorten};
use super::{AFTER_RANGE, DEADLINE_RANGE, DIAL_RANGE, Dns, Error, INTERVAL_RANGE, Notify, Settings, WAIT_RANGE};
use crate::aws::AssumeRole;
use crate::follow::binding::Binding;
use crate::planner::answer::Quorum;
use crate::planner::candidate::{Probe, ProbePatience};
use crate::planner::endpoint::Role;
use crate::planner::policy::Policy;
use crate::planner::target::Family;
use crate::probe::Trust;
use crate::proxy::Proxy;
use crate::proxy::route::{Linger, Rules};

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    target_group: Vec<TargetGroup>,
    #[serde(default)]
    proxy: Vec<ProxyTable>,
    #[serde(default)]
    dns: DnsTable,
    #[serde(default)]
    http: HttpTable,
    #[serde(default)]
    notify: NotifyTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetGroup {
    arn: Text,
    endpoints: Spanned<List>,
    role: Option<Role>,
    forget: Option<Text>,
    patience: Option<Text>,
    #[serde(default)]
    allow_cidrs: List,
    #[serde(default)]
    keep: List,
    #[serde(default)]
    upsert_only: bool,
    #[serde(default)]
    observe: bool,
    #[serde(default)]
    probe: Probe,
    probe_patience: Option<Text>,
    ca_bundle: Option<Text>,
    assume_role: Option<AssumeRoleTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProxyTable {
    listen: Text,
    endpoint: Text,
    role: Option<Role>,
    linger: Option<Text>,
    drain: Option<Text>,
    dial_timeout: Option<Text>,
    max_sessions: Option<NonZeroUsize>,
    #[serde(default)]
    allow_peers: List,
    #[serde(default)]
    allow_cidrs: List,
    #[serde(default)]
    accept_proxy_protocol: bool,
    ip_family: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpTable {
    listen: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NotifyTable {
    sns_topic_arn: Option<Text>,
    after: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(transparent)]
struct List(Vec<Text>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: { arn = \"...\", external_id = \"...\" }")]
struct AssumeRoleTable {
    arn: Text,
    external_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DnsTable {
    nameservers: List,
    timeout: Option<Text>,
    interval: Option<Text>,
    quorum: Quorum,
}

/// Reads a settings file's text; `path` is for its messages.
pub(super) fn parse(path: &Path, text: &str) -> Result<Settings, Error> {
    let reader = Reader { path, text };
    let file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        reader.error(start, &reader.in_plain_words(start, error.message()))
    })?;
    if file.target_group.is_empty() && file.proxy.is_empty() {
        return Err(reader.error(
            0,
            "there is nothing to follow; add a [[target_group]] with arn and endpoints, or a [[proxy]] with listen and \
             endpoint",
        ));
    }
    let mut bindings: Vec<Binding> = Vec::new();
    for group in file.target_group {
        let arn_at = group.arn.span().start;
        let binding = reader.binding(group)?;
        if bindings.iter().any(|other| other.arn == binding.arn) {
            let message = format!(
                "target group {} is bound twice; list all its endpoints in one [[target_group]]",
                binding.arn
            );
            return Err(reader.error(arn_at, &message));
        }
        bindings.push(binding);
    }
    let mut proxies: Vec<Proxy> = Vec::new();
    for table in file.proxy {
        let listen_at = table.listen.span().start;
        let proxy = reader.proxy(table)?;
        if proxies.iter().any(|other| other.listen == proxy.listen) {
            let message = format!(
                "two proxies listen on {}; give each its own address or port",
                proxy.listen
            );
            return Err(reader.error(listen_at, &message));
        }
        proxies.push(proxy);
    }
    let dns = reader.dns(file.dns)?;
    let http = file.http.listen.map(|text| reader.one(&text)).transpose()?;
    let notify = reader.notify(file.notify)?;
    Ok(Settings {
        bindings,
        proxies,
        dns,
        http: http.map(|Listen(address)| address),
        notify,
    })
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn error(&self, offset: usize, message: &str) -> Error {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::File(format!("{}:{line}: {}", self.path.display(), shorten(message)))
    }

    /// The parser's message, with what to write where it only names types.
    fn in_plain_words(&self, offset: usize, message: &str) -> String {
        let message = message.trim_end();
        let line = self
            .text
            .get(offset..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        let hint = if message.contains("expected a sequence") && line.starts_with("[target_group]") {
            "; write it as [[target_group]], once for each target group"
        } else if message.contains("expected a sequence") && line.starts_with("[proxy]") {
            "; write it as [[proxy]], once for each proxy"
        } else if message.contains("expected a sequence") {
            "; write a list: [\"...\"]"
        } else if message.contains("expected a string") && message.contains("integer") {
            "; write a text in quotes, a duration with its unit: \"30s\""
        } else {
            ""
        };
        let key = self
            .key_before(offset)
            .map(|key| format!("{key}: "))
            .unwrap_or_default();
        format!("{key}{message}{hint}")
    }

    /// The key that the value at an offset belongs to, if both stand on one line.
    fn key_before(&self, offset: usize) -> Option<&str> {
        let line = self.text.get(..offset)?.rsplit('\n').next()?;
        let (key, _) = line.split_once('=')?;
        Some(key.trim())
    }

    /// An error about a value, under its key's name.
    fn bad_value(&self, text: &Text, message: &str) -> Error {
        let start = text.span().start;
        match self.key_before(start) {
            Some(key) => self.error(start, &format!("{key}: {message}")),
            None => self.error(start, message),
        }
    }

    fn one<T>(&self, text: &Text) -> Result<T, Error>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let read = text.get_ref().parse();
        read.map_err(|error: T::Err| self.bad_value(text, &error.to_string()))
    }

    fn list<T>(&self, list: &List) -> Result<Vec<T>, Error>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        list.0.iter().map(|text| self.one(text)).collect()
    }

    fn nets(&self, list: &List) -> Result<Vec<IpNet>, Error> {
        Ok(self.list(list)?.into_iter().map(|Cidr(net)| net).collect())
    }

    fn duration(&self, text: Option<&Text>, range: &RangeInclusive<Duration>) -> Result<Option<Duration>, Error> {
        let read = |text: &Text| Span::within(text.get_ref(), range).map_err(|error| self.bad_value(text, &error));
        Ok(text.map(read).transpose()?.map(|span| span.0))
    }

    fn binding(&self, group: TargetGroup) -> Result<Binding, Error> {
        if group.endpoints.get_ref().0.is_empty() {
            let at = group.endpoints.span().start;
            return Err(self.error(at, "endpoints is empty; list at least one HOST:PORT"));
        }
        let role = |table: AssumeRoleTable| {
            let RoleArn(arn) = self.one(&table.arn)?;
            Ok(AssumeRole {
                arn,
                external_id: table.external_id,
            })
        };
        let trust = |text: &Text| {
            let trust = Trust::in_file(Path::new(text.get_ref()));
            trust.map_err(|error| self.bad_value(text, &error.to_string()))
        };
        let probe_patience: Option<ProbePatience> = group.probe_patience.map(|text| self.one(&text)).transpose()?;
        Ok(Binding {
            arn: self.one(&group.arn)?,
            endpoints: self.list(group.endpoints.get_ref())?.into_iter().collect(),
            policy: Policy {
                role: group.role,
                forget: self.duration(group.forget.as_ref(), &WAIT_RANGE)?,
                patience: self.duration(group.patience.as_ref(), &WAIT_RANGE)?,
                allow_cidrs: self.nets(&group.allow_cidrs)?,
                keep: self.nets(&group.keep)?,
                upsert_only: group.upsert_only,
                probe: group.probe,
                probe_patience,
            },
            observe: group.observe,
            assume_role: group.assume_role.map(role).transpose()?,
            trust: group.ca_bundle.as_ref().map(trust).transpose()?,
        })
    }

    fn proxy(&self, table: ProxyTable) -> Result<Proxy, Error> {
        let Listen(listen) = self.one(&table.listen)?;
        let defaults = Proxy::new(listen, self.one(&table.endpoint)?);
        let linger: Option<Linger> = table.linger.map(|text| self.one(&text)).transpose()?;
        let family: Option<Family> = table.ip_family.map(|text| self.one(&text)).transpose()?;
        let drain = self.duration(table.drain.as_ref(), &WAIT_RANGE)?;
        let dial_timeout = self.duration(table.dial_timeout.as_ref(), &DIAL_RANGE)?;
        Ok(Proxy {
            family: family.unwrap_or(defaults.family),
            rules: Rules {
                linger: linger.unwrap_or_default(),
                role: table.role,
                allow_cidrs: self.nets(&table.allow_cidrs)?,
            },
            dial_timeout: dial_timeout.unwrap_or(defaults.dial_timeout),
            max_sessions: table.max_sessions.map_or(defaults.max_sessions, usize::from),
            allow_peers: self.nets(&table.allow_peers)?,
            accept_proxy_protocol: table.accept_proxy_protocol,
            drain: drain.unwrap_or(defaults.drain),
            ..defaults
        })
    }

    fn notify(&self, table: NotifyTable) -> Result<Notify, Error> {
        let after = self.duration(table.after.as_ref(), &AFTER_RANGE)?;
        Ok(Notify {
            topic: table.sns_topic_arn.map(|text| self.one(&text)).transpose()?,
            after: after.unwrap_or(Notify::default().after),
        })
    }

    fn dns(&self, table: DnsTable) -> Result<Dns, Error> {
        let defaults = Dns::default();
        let deadline = self.duration(table.timeout.as_ref(), &DEADLINE_RANGE)?;
        let interval = self.duration(table.interval.as_ref(), &INTERVAL_RANGE)?;
        Ok(Dns {
            name_servers: self
                .list(&table.nameservers)?
                .into_iter()
                .map(|NameServer(addr)| addr)
                .collect(),
            deadline: deadline.unwrap_or(defaults.deadline),
            interval: interval.unwrap_or(defaults.interval),
            quorum: table.quorum,
        })
    }
}

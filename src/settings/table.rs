//! Every setting, once. A field is a key of the file's table and, unless clap skips it, a flag with its environment variable;
//! its type reads and limits it, its comment is the flag's help and the manual's text, with the default in brackets.
//!
//! Whoever adds a field is led by the compiler to say how it is merged and what becomes of it.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser as _};
use ipnet::IpNet;
use serde::Deserialize;

use super::lead::{Lead, NEEDS_BUNDLE};
use super::value::{
    AssumeRole, Bundle, Cidr, Deadline, Dial, Interval, Lasting, Listen, NameServer, ProbeInterval, Wait,
};
use crate::aws::arn::{Arn, TopicArn};
use crate::aws::ca;
use crate::follow::binding::Binding;
use crate::planner::answer::Quorum;
use crate::planner::candidate::{Probe, ProbePatience};
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::policy::Policy;
use crate::planner::target::Family;
use crate::planner::wrong::Wrong;
use crate::proxy::route::{Linger, Rules};
use crate::proxy::{Probes, Readiness};
use crate::{dns, notify, proxy};

/// A target group of type ip and the endpoints it follows; once for each group.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    #[arg(skip)]
    pub arn: Option<Arn>,
    #[arg(skip)]
    pub endpoints: Option<Vec<Endpoint>>,
    /// How long DNS must not have named a target before it is removed [default: 60s, reader endpoints 5m]
    #[arg(long, value_name = "DURATION")]
    pub forget: Option<Wait>,
    /// How much longer to wait for a healthy replacement [default: 0s, reader endpoints 5m]
    #[arg(long, value_name = "DURATION")]
    pub patience: Option<Wait>,
    /// Whether an answer is the whole truth (writer) or a sample (reader) [default: by the endpoint's name]
    #[arg(long, value_name = "writer|reader")]
    pub role: Option<Role>,
    /// Register only addresses within this network; repeatable [default: everywhere]
    #[arg(long = "allow-cidr", value_name = "CIDR")]
    pub allow_cidrs: Option<Vec<Cidr>>,
    /// Never touch targets within this network; repeatable
    #[arg(long, value_name = "CIDR")]
    pub keep: Option<Vec<Cidr>>,
    /// Never deregister a target
    #[arg(long)]
    #[serde(default)]
    pub upsert_only: bool,
    /// What an address has to show before it is registered: nothing, a TCP connection, or PostgreSQL with the endpoint's
    /// certificate [default: none]
    #[arg(long, value_name = "none|tcp|tls")]
    pub probe: Option<Probe>,
    /// How long an address may fail to before it is registered nevertheless [default: tcp 30s, tls 5m]
    #[arg(long, value_name = "DURATION|forever")]
    pub probe_patience: Option<ProbePatience>,
    /// CA certificates (PEM) that the database's has to be signed by; tls and lead need them
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().map(Bundle::In))]
    pub ca_bundle: Option<Bundle>,
    /// Look, decide and report, but change nothing
    #[arg(long)]
    #[serde(default)]
    pub observe: bool,
    #[arg(skip)]
    pub assume_role: Option<AssumeRole>,
    #[command(flatten)]
    pub lead: Option<Lead>,
}

/// An address to listen on and the endpoint that its connections are carried to; once for each proxy.
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Address to listen on
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Listen,
    /// Endpoint to connect clients to
    #[arg(long, value_name = "HOST:PORT")]
    pub endpoint: Endpoint,
    /// How long a session outlives its address, or never [default: until the new one takes sessions, 5s at most; reader
    /// endpoints never]
    #[arg(long, value_name = "DURATION|never")]
    pub linger: Option<Linger>,
    /// How long sessions go on after SIGTERM [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub drain: Option<Wait>,
    /// How long a client waits for a database that takes its session [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub dial_timeout: Option<Dial>,
    /// Whether clients wait until PostgreSQL no longer says that it is starting up, or until connections are accepted
    /// [default: postgres; tcp for the ports of RDS's other engines]
    #[arg(long, value_name = "postgres|tcp")]
    pub readiness: Option<Readiness>,
    /// How often a load balancer's health check makes the proxy connect to a database that no session speaks for, or never
    /// [default: 10s; never where readiness is tcp]
    #[arg(long, value_name = "DURATION|never")]
    pub probe_interval: Option<ProbeInterval>,
    /// Sessions at once; more are refused [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    pub max_sessions: Option<NonZeroUsize>,
    /// Accept connections only from this network; repeatable [default: from everywhere]
    #[arg(long = "allow-peer", value_name = "CIDR")]
    pub allow_peers: Option<Vec<Cidr>>,
    /// Connect only to addresses within this network; repeatable [default: everywhere]
    #[arg(long = "allow-cidr", value_name = "CIDR")]
    pub allow_cidrs: Option<Vec<Cidr>>,
    /// Expect a PROXY protocol v2 header, as a target group with proxy_protocol_v2.enabled sends it
    #[arg(long)]
    #[serde(default)]
    pub accept_proxy_protocol: bool,
    /// Whether an answer is the whole truth (writer) or a sample (reader) [default: by the endpoint's name]
    #[arg(long, value_name = "writer|reader")]
    pub role: Option<Role>,
    /// Which of the endpoint's addresses to connect to [default: ipv4]
    #[arg(long, value_name = "ipv4|ipv6")]
    pub ip_family: Option<Family>,
    /// CA certificates (PEM) that the database's has to be signed by; lead needs them
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().map(Bundle::In))]
    pub ca_bundle: Option<Bundle>,
    #[command(flatten)]
    pub lead: Option<Lead>,
}

/// How to look at DNS.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Name server to ask; repeatable [default: those of /etc/resolv.conf]
    #[arg(long = "nameserver", value_name = "ADDR[:PORT]")]
    pub nameservers: Option<Vec<NameServer>>,
    /// Longest time between two looks at DNS [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub interval: Option<Interval>,
    /// How long one look may take.
    #[arg(skip)]
    pub timeout: Option<Deadline>,
    /// Whom to believe.
    #[arg(skip)]
    pub quorum: Option<Quorum>,
}

/// Metrics, status and health over HTTP.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Serve metrics, status and health over HTTP on this address (run, proxy), or ask there (status) [default: off]
    #[arg(id = "http.listen", long = "http", value_name = "ADDR:PORT")]
    pub listen: Option<Listen>,
}

/// Messages to an SNS topic.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Tell this SNS topic of changes and trouble (run, proxy) [default: nobody]
    #[arg(long = "notify-topic", value_name = "ARN")]
    pub sns_topic_arn: Option<TopicArn>,
    /// How long trouble lasts before the topic is told [default: 3m]
    #[arg(long = "notify-after", value_name = "DURATION")]
    pub after: Option<Lasting>,
}

impl TargetGroup {
    /// These over others. A list that is given replaces the other.
    pub fn over(self, other: Self) -> Self {
        Self {
            arn: self.arn.or(other.arn),
            endpoints: self.endpoints.or(other.endpoints),
            forget: self.forget.or(other.forget),
            patience: self.patience.or(other.patience),
            role: self.role.or(other.role),
            allow_cidrs: self.allow_cidrs.or(other.allow_cidrs),
            keep: self.keep.or(other.keep),
            upsert_only: self.upsert_only || other.upsert_only,
            probe: self.probe.or(other.probe),
            probe_patience: self.probe_patience.or(other.probe_patience),
            ca_bundle: self.ca_bundle.or(other.ca_bundle),
            observe: self.observe || other.observe,
            assume_role: self.assume_role.or(other.assume_role),
            lead: self.lead.or(other.lead),
        }
    }

    /// The flags that were given of those that are rules for target groups. The certificates are for other looks, too.
    pub fn said(&self) -> Vec<&'static str> {
        let said = [
            ("forget", self.forget.is_some()),
            ("patience", self.patience.is_some()),
            ("role", self.role.is_some()),
            ("allow-cidr", self.allow_cidrs.is_some()),
            ("keep", self.keep.is_some()),
            ("upsert-only", self.upsert_only),
            ("probe", self.probe.is_some()),
            ("probe-patience", self.probe_patience.is_some()),
            ("observe", self.observe),
        ];
        said.into_iter()
            .filter_map(|(long, is_said)| is_said.then_some(long))
            .collect()
    }

    pub(super) fn binding(self) -> Result<Binding, Vec<(&'static str, Wrong)>> {
        let Self {
            arn,
            endpoints,
            forget,
            patience,
            role,
            allow_cidrs,
            keep,
            upsert_only,
            probe,
            probe_patience,
            ca_bundle,
            observe,
            assume_role,
            lead,
        } = self;
        let mut faults = Vec::new();
        let missing = |key, fix| (key, Wrong::new(format!("missing field `{key}`"), fix));
        if arn.is_none() {
            faults.push(missing("arn", "add arn = \"ARN\""));
        }
        match &endpoints {
            None => faults.push(missing("endpoints", "add endpoints = [\"HOST:PORT\"]")),
            Some(list) if list.is_empty() => {
                let wrong = Wrong::new("endpoints is empty", "list at least one HOST:PORT");
                faults.push(("endpoints", wrong));
            }
            Some(_) => {}
        }
        faults.extend(none_of(
            "allow_cidrs",
            allow_cidrs.as_ref(),
            "every address may be registered",
        ));
        if probe.is_none() && probe_patience.is_some() {
            let what = "probe_patience (--probe-patience) says nothing without probe (--probe)";
            let wrong = Wrong::new(what, "write probe = \"tcp\" or \"tls\", or leave probe_patience out");
            faults.push(("probe_patience", wrong));
        }
        let probe = probe.unwrap_or_default();
        let trust = match ca_bundle.map(|bundle| bundle.trust()).transpose() {
            Ok(None) if probe == Probe::Tls => {
                let name = arn.as_ref().map_or("", Arn::name);
                let what = format!(
                    "target group {name} is to be probed with tls, which {NEEDS_BUNDLE} (--ca-bundle FILE): the CA \
                     certificates that sign the database's"
                );
                let rds = ca::of_rds(endpoints.iter().flatten().map(Endpoint::host));
                faults.push(("probe", Wrong::new(what, format!("AWS publishes those of RDS: {rds}"))));
                None
            }
            Ok(trust) => trust,
            Err(wrong) => {
                faults.push(("ca_bundle", wrong));
                None
            }
        };
        let asked: Vec<&Endpoint> = endpoints.iter().flatten().collect();
        let lead = lead.map(|lead| lead.settings(&asked, role, trust.as_ref())).transpose();
        let lead = lead.unwrap_or_else(|wrong| {
            faults.push(("lead", wrong));
            None
        });
        let (Some(arn), Some(endpoints), []) = (arn, endpoints, faults.as_slice()) else {
            return Err(faults);
        };
        Ok(Binding {
            arn,
            endpoints: endpoints.into_iter().collect(),
            policy: Policy {
                role,
                forget: forget.map(Duration::from),
                patience: patience.map(Duration::from),
                allow_cidrs: nets(allow_cidrs),
                keep: nets(keep),
                upsert_only,
                probe,
                probe_patience,
            },
            observe,
            assume_role: assume_role.map(AssumeRole::settings),
            trust,
            lead,
        })
    }
}

impl Proxy {
    pub(super) fn settings(self) -> Result<proxy::Proxy, Vec<(&'static str, Wrong)>> {
        let Self {
            listen,
            endpoint,
            linger,
            drain,
            dial_timeout,
            readiness,
            probe_interval,
            max_sessions,
            allow_peers,
            allow_cidrs,
            accept_proxy_protocol,
            role,
            ip_family,
            ca_bundle,
            lead,
        } = self;
        let everybody = none_of("allow_peers", allow_peers.as_ref(), "everybody may connect");
        let everywhere = none_of("allow_cidrs", allow_cidrs.as_ref(), "every address may be connected to");
        let mut faults: Vec<_> = everybody.into_iter().chain(everywhere).collect();
        let trust = ca_bundle.map(|bundle| bundle.trust()).transpose();
        let trust = trust.map_err(|wrong| vec![("ca_bundle", wrong)])?;
        let lead = lead.map(|lead| lead.settings(&[&endpoint], role, trust.as_ref()));
        let lead = lead.transpose().unwrap_or_else(|wrong| {
            faults.push(("lead", wrong));
            None
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        let defaults = proxy::Proxy::new(listen.0, endpoint);
        let readiness = readiness.unwrap_or(defaults.readiness);
        Ok(proxy::Proxy {
            lead,
            family: ip_family.unwrap_or(defaults.family),
            rules: Rules {
                linger: linger.unwrap_or_default(),
                role,
                allow_cidrs: nets(allow_cidrs),
            },
            dial_timeout: dial_timeout.map_or(defaults.dial_timeout, Duration::from),
            readiness,
            probes: probe_interval.map_or(Probes::ByReadiness, |interval| {
                interval.0.map_or(Probes::Never, Probes::Every)
            }),
            max_sessions: max_sessions.map_or(defaults.max_sessions, usize::from),
            allow_peers: nets(allow_peers),
            accept_proxy_protocol,
            drain: drain.map_or(defaults.drain, Duration::from),
            ..defaults
        })
    }
}

impl Dns {
    /// These over others.
    pub fn over(self, other: Self) -> Self {
        Self {
            nameservers: self.nameservers.or(other.nameservers),
            interval: self.interval.or(other.interval),
            timeout: self.timeout.or(other.timeout),
            quorum: self.quorum.or(other.quorum),
        }
    }

    pub(super) fn settings(self) -> dns::Settings {
        let Self {
            nameservers,
            interval,
            timeout,
            quorum,
        } = self;
        let defaults = dns::Settings::default();
        let servers = nameservers.unwrap_or_default().into_iter();
        dns::Settings {
            name_servers: servers.map(|server| server.0).collect(),
            deadline: timeout.map_or(defaults.deadline, Duration::from),
            interval: interval.map_or(defaults.interval, Duration::from),
            quorum: quorum.unwrap_or(defaults.quorum),
        }
    }
}

impl Http {
    /// These over others.
    pub fn over(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
        }
    }
}

impl Notify {
    /// These over others.
    pub fn over(self, other: Self) -> Self {
        Self {
            sns_topic_arn: self.sns_topic_arn.or(other.sns_topic_arn),
            after: self.after.or(other.after),
        }
    }

    pub(super) fn settings(self) -> notify::Settings {
        let Self { sns_topic_arn, after } = self;
        notify::Settings {
            topic: sns_topic_arn,
            after: after.map_or(notify::Settings::default().after, Duration::from),
        }
    }
}

/// Whoever writes an empty list of what is allowed may mean nobody; it would be everybody.
fn none_of(key: &'static str, list: Option<&Vec<Cidr>>, otherwise: &str) -> Option<(&'static str, Wrong)> {
    let fix = format!("list the networks that are allowed, or leave {key} out: then {otherwise}");
    let is_empty = list.is_some_and(Vec::is_empty);
    is_empty.then(|| (key, Wrong::new(format!("{key} is empty, which allows nothing"), fix)))
}

fn nets(list: Option<Vec<Cidr>>) -> Vec<IpNet> {
    list.unwrap_or_default().into_iter().map(|cidr| cidr.0).collect()
}

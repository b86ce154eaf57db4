//! The command line and the environment.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, Resettable};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Args, Command, Parser, ValueEnum};

use super::value::{Cidr, Listen, NameServer, Span};
use super::{AFTER_RANGE, DIAL_RANGE, INTERVAL_RANGE, WAIT_RANGE};
use crate::aws::arn::Arn;
use crate::notify::TopicArn;
use crate::planner::candidate::{Probe, ProbePatience};
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::target::Family;
use crate::proxy::route::Linger;

/// What to follow, and how. A flag beats its environment variable, which beats the file.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// Settings file (TOML); if neither it nor --endpoint is given: /etc/rds-tether/config.toml
    #[arg(long, value_name = "FILE", env = "RDS_TETHER_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Endpoint to follow; repeat it for a target group that holds several
    #[arg(
        long = "endpoint",
        value_name = "HOST:PORT",
        env = "RDS_TETHER_ENDPOINT",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub endpoints: Vec<Endpoint>,
    /// Target group to keep equal to the endpoints; repeat it for several such groups
    #[arg(
        long = "target-group",
        value_name = "ARN",
        env = "RDS_TETHER_TARGET_GROUP",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub target_groups: Vec<Arn>,
    /// How to look at DNS.
    #[command(flatten)]
    pub dns: DnsFlags,
    /// Serve metrics, status and health over HTTP on this address (run), or ask there (status) [default: off]
    #[arg(long, value_name = "ADDR:PORT", env = "RDS_TETHER_HTTP", hide_env_values = true)]
    pub http: Option<Listen>,
    /// Whom to tell of changes and trouble.
    #[command(flatten)]
    pub notify: NotifyFlags,
    /// How long DNS must not have named a target before it is removed [default: 60s, reader endpoints 5m]
    #[arg(
        long,
        value_name = "DURATION",
        allow_hyphen_values = true,
        env = "RDS_TETHER_FORGET",
        hide_env_values = true, value_parser = |text: &str| Span::within(text, &WAIT_RANGE)
    )]
    pub forget: Option<Span>,
    /// How much longer to wait for a healthy replacement [default: 0s, reader endpoints 5m]
    #[arg(
        long,
        value_name = "DURATION",
        allow_hyphen_values = true,
        env = "RDS_TETHER_PATIENCE",
        hide_env_values = true, value_parser = |text: &str| Span::within(text, &WAIT_RANGE)
    )]
    pub patience: Option<Span>,
    /// Whether an answer is the whole truth (writer) or a sample (reader) [default: by the endpoint's name]
    #[arg(long, value_name = "writer|reader", env = "RDS_TETHER_ROLE", hide_env_values = true)]
    pub role: Option<Role>,
    /// Register only addresses within this network; repeatable
    #[arg(
        long = "allow-cidr",
        value_name = "CIDR",
        env = "RDS_TETHER_ALLOW_CIDR",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub allow_cidrs: Vec<Cidr>,
    /// Never touch targets within this network; repeatable
    #[arg(
        long,
        value_name = "CIDR",
        env = "RDS_TETHER_KEEP",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub keep: Vec<Cidr>,
    /// Never deregister a target
    #[arg(long, env = "RDS_TETHER_UPSERT_ONLY", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub upsert_only: bool,
    /// What an address has to show before it is registered [default: none]
    #[arg(long, value_name = "none|tcp|tls", env = "RDS_TETHER_PROBE", hide_env_values = true)]
    pub probe: Option<Probe>,
    /// How long it may fail to before it is registered nevertheless [default: tcp 30s, tls 5m]
    #[arg(
        long,
        value_name = "DURATION|forever",
        allow_hyphen_values = true,
        env = "RDS_TETHER_PROBE_PATIENCE",
        hide_env_values = true
    )]
    pub probe_patience: Option<ProbePatience>,
    /// CA certificates (PEM) that the database's has to be signed by
    #[arg(long, value_name = "FILE", env = "RDS_TETHER_CA_BUNDLE", hide_env_values = true)]
    pub ca_bundle: Option<PathBuf>,
    /// Look, decide and report, but change nothing
    #[arg(long, env = "RDS_TETHER_OBSERVE", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub observe: bool,
}

/// How to look at DNS.
#[derive(Args, Clone, Debug, Default)]
pub struct DnsFlags {
    /// Name server to ask instead of those in /etc/resolv.conf; repeatable
    #[arg(
        long = "nameserver",
        value_name = "ADDR[:PORT]",
        env = "RDS_TETHER_NAMESERVER",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub nameservers: Vec<NameServer>,
    /// Longest time between two looks at DNS [default: 5s]
    #[arg(
        long,
        value_name = "DURATION",
        allow_hyphen_values = true,
        env = "RDS_TETHER_INTERVAL",
        hide_env_values = true, value_parser = |text: &str| Span::within(text, &INTERVAL_RANGE)
    )]
    pub interval: Option<Span>,
}

/// Whom to tell of changes and trouble.
#[derive(Args, Clone, Debug, Default)]
pub struct NotifyFlags {
    /// Tell this SNS topic of changes and trouble (run, proxy) [default: nobody]
    #[arg(
        long = "notify-topic",
        value_name = "ARN",
        env = "RDS_TETHER_NOTIFY_TOPIC",
        hide_env_values = true
    )]
    pub topic: Option<TopicArn>,
    /// How long trouble lasts before the topic is told [default: 3m]
    #[arg(
        long = "notify-after",
        value_name = "DURATION",
        allow_hyphen_values = true,
        env = "RDS_TETHER_NOTIFY_AFTER",
        hide_env_values = true, value_parser = |text: &str| Span::within(text, &AFTER_RANGE)
    )]
    pub after: Option<Span>,
}

/// What one proxy is to do.
#[derive(Args, Clone, Debug)]
pub struct ProxyFlags {
    /// Address to listen on
    #[arg(long, value_name = "ADDR:PORT", env = "RDS_TETHER_LISTEN", hide_env_values = true)]
    pub listen: Listen,
    /// Endpoint to connect clients to
    #[arg(long, value_name = "HOST:PORT", env = "RDS_TETHER_ENDPOINT", hide_env_values = true)]
    pub endpoint: Endpoint,
    /// How long a session outlives its address, or never [default: 5s, reader endpoints never]
    #[arg(
        long,
        value_name = "DURATION|never",
        allow_hyphen_values = true,
        env = "RDS_TETHER_LINGER",
        hide_env_values = true
    )]
    pub linger: Option<Linger>,
    /// How long sessions go on after SIGTERM [default: 5s]
    #[arg(
        long,
        value_name = "DURATION",
        allow_hyphen_values = true,
        env = "RDS_TETHER_DRAIN",
        hide_env_values = true, value_parser = |text: &str| Span::within(text, &WAIT_RANGE)
    )]
    pub drain: Option<Span>,
    /// How long a client waits for its connection to the database [default: 10s]
    #[arg(
        long,
        value_name = "DURATION",
        allow_hyphen_values = true,
        env = "RDS_TETHER_DIAL_TIMEOUT",
        hide_env_values = true, value_parser = |text: &str| Span::within(text, &DIAL_RANGE)
    )]
    pub dial_timeout: Option<Span>,
    /// Sessions at once; more are refused [default: 10000]
    #[arg(long, value_name = "NUMBER", env = "RDS_TETHER_MAX_SESSIONS", hide_env_values = true)]
    pub max_sessions: Option<NonZeroUsize>,
    /// Accept connections only from this network; repeatable [default: from everywhere]
    #[arg(
        long = "allow-peer",
        value_name = "CIDR",
        env = "RDS_TETHER_ALLOW_PEER",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub allow_peers: Vec<Cidr>,
    /// Connect only to addresses within this network; repeatable
    #[arg(
        long = "allow-cidr",
        value_name = "CIDR",
        env = "RDS_TETHER_ALLOW_CIDR",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub allow_cidrs: Vec<Cidr>,
    /// Expect a PROXY protocol v2 header, as a target group with proxy_protocol_v2.enabled sends it
    #[arg(
        long,
        env = "RDS_TETHER_ACCEPT_PROXY_PROTOCOL",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub accept_proxy_protocol: bool,
    /// Whether an answer is the whole truth (writer) or a sample (reader) [default: by the endpoint's name]
    #[arg(long, value_name = "writer|reader", env = "RDS_TETHER_ROLE", hide_env_values = true)]
    pub role: Option<Role>,
    /// Which of the endpoint's addresses to connect to [default: ipv4]
    #[arg(long, value_name = "ipv4|ipv6", env = "RDS_TETHER_IP_FAMILY", hide_env_values = true)]
    pub ip_family: Option<Family>,
    /// How to look at DNS.
    #[command(flatten)]
    pub dns: DnsFlags,
    /// Serve metrics, status and health over HTTP on this address [default: off]
    #[arg(long, value_name = "ADDR:PORT", env = "RDS_TETHER_HTTP", hide_env_values = true)]
    pub http: Option<Listen>,
    /// Whom to tell of changes and trouble.
    #[command(flatten)]
    pub notify: NotifyFlags,
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

/// How to log to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// What every verb takes besides.
#[derive(Args, Clone, Debug)]
pub struct Logging {
    /// How to log to standard error [default: text; run: json unless on a terminal]
    #[arg(
        long,
        value_name = "text|json",
        hide_possible_values = true,
        env = "RDS_TETHER_LOG_FORMAT",
        hide_env_values = true,
        global = true,
        // Behind the verb's own.
        display_order = 900
    )]
    pub log_format: Option<LogFormat>,
    /// Log more: -v each step, -vv also the libraries
    #[arg(short, long, action = ArgAction::Count, env = "RDS_TETHER_VERBOSE", hide_env_values = true, global = true, display_order = 901)]
    pub verbose: u8,
}

/// Parses a command line and its environment. A variable that is set but empty counts as not set, because that is how
/// compose files and templates pass on what they were not given.
pub fn read_command_line<P: Parser>(arguments: Vec<OsString>) -> Result<P, clap::Error> {
    let command = without_empty_variables(P::command());
    let matches = command.try_get_matches_from(arguments)?;
    P::from_arg_matches(&matches)
}

#[expect(clippy::disallowed_methods, reason = "clap reads the environment here")]
fn without_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| {
        arg.get_env()
            .is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
    };
    let mend = |arg: Arg| {
        if is_empty(&arg) {
            arg.env(Resettable::<clap::builder::OsStr>::Reset)
        } else {
            arg
        }
    };
    command.mut_args(mend).mut_subcommands(without_empty_variables)
}

/// Which environment variable a bad value came from, if nobody typed it.
pub fn explain<P: Parser>(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = shown.split([' ', '=', '.']).next().unwrap_or(shown);
    let typed = arguments
        .iter()
        .any(|argument| argument.to_string_lossy().starts_with(flag));
    let command = P::command();
    let mut arguments = command
        .get_arguments()
        .chain(command.get_subcommands().flat_map(Command::get_arguments));
    let arg = arguments.find(|arg| arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long)))?;
    let name = arg.get_env().filter(|_| !typed)?;
    Some(format!(
        "the value comes from the environment variable {}",
        name.to_string_lossy()
    ))
}

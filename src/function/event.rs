//! Reads whatever wakes the function: RDS events in every envelope, schedules, people. An event is a doorbell: it says that
//! now is a good moment to look, and for how long; what is written follows from looking alone. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::planner::endpoint::{Endpoint, Kind};
use crate::planner::time::Timestamp;

/// An invocation's payload, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// How an event's moment relates to the change of DNS.
    pub phase: Phase,
    /// Which endpoints to look at.
    pub scope: Scope,
    /// When the event happened, where it says so.
    pub at: Option<Timestamp>,
    /// A person's command.
    pub command: Option<Command>,
    /// The event in words, for the log.
    pub reason: String,
}

/// How an event's moment relates to the change of DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Neither, or unknown.
    Other,
    /// The change is over; DNS has changed or does so within seconds.
    Complete,
    /// DNS has changed.
    DnsChanged,
    /// The change begins; DNS follows within a minute or two.
    Start,
}

/// Which endpoints an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All: the event does not tell which.
    All,
    /// Those that may belong to one of these, of which there is at least one.
    Sources(BTreeSet<Source>),
}

/// A database or proxy that an event happened to, by its identifier in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A DB instance, which may be the member of a cluster.
    Instance(String),
    /// A DB cluster.
    Cluster(String),
    /// An RDS Proxy.
    Proxy(String),
}

/// Commands that a person can invoke the function with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// One look, no change.
    Plan,
    /// Steps until everything is settled.
    Sync,
    /// The same look as `plan`.
    Status,
}

/// Envelopes inside envelopes: EventBridge in SNS in SQS is four deep, counting JSON as text; anything deeper is nobody's.
const DEPTH_MAX: usize = 6;
/// Records of one batch that are read one by one: SQS hands over at most 10,000.
const RECORDS_MAX: usize = 10_000;
/// Sources that are told apart and fit a log line; of more than that, everything is looked at.
const SOURCES_MAX: usize = 100;
/// The longest identifier: it is a label of a DNS name (RFC 1035).
const IDENTIFIER_MAX_CHARS: usize = 63;
/// Characters of a reason that are worth a log line.
pub const REASON_MAX_CHARS: usize = 200;

impl Phase {
    /// The phase of an RDS event (Amazon RDS event categories and event messages; Aurora's too).
    pub fn of_event(id: u16) -> Self {
        match id {
            // Failover started: instance, cluster (two kinds), blue/green switchover (three).
            13 | 72 | 73 | 247 | 250 | 259 => Self::Start,
            // Failover completed: instance (two), cluster, blue/green switchover (three).
            15 | 49 | 71 | 248 | 251 | 260 => Self::Complete,
            // Cluster topology updated; global writer endpoint changed.
            385 | 397 => Self::DnsChanged,
            _ => Self::Other,
        }
    }
}

/// Blue/green events, whose switchover exchanges the names of databases that the event does not name (E4).
fn is_blue_green(id: u16) -> bool {
    matches!(id, 247..=252 | 259..=261)
}

impl Scope {
    /// Whether the endpoint may be concerned: it is left out only if its name proves that it belongs to something else. No
    /// name tells which instances a cluster has or what an alias points at, so an instance's event concerns every
    /// cluster's endpoints, and each event those whose name proves nothing.
    pub fn covers(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::All => true,
            Self::Sources(sources) => {
                Source::proven_by(endpoint).is_none_or(|owner| sources.iter().any(|source| source.may_concern(&owner)))
            }
        }
    }

    /// The same scope, if the names of these endpoints, which are all that are configured, prove of each source whose endpoints
    /// are its own. A source that no name mentions may stand behind any endpoint, for example behind an alias: then the scope is
    /// everything.
    #[must_use]
    pub fn among<'a>(self, configured: impl IntoIterator<Item = &'a Endpoint>) -> Self {
        let Self::Sources(sources) = &self else { return self };
        let known: BTreeSet<Source> = configured.into_iter().filter_map(Source::proven_by).collect();
        if sources.is_subset(&known) { self } else { Self::All }
    }

    /// Reads a scope off an identifier and its kinds: a detail type, a source type or an event source.
    fn of(kinds: &[Option<&str>], identifier: &str) -> Self {
        let source = |kind: &&str| Source::new(kind, identifier);
        let sources: Option<BTreeSet<Source>> = kinds.iter().flatten().map(source).collect();
        match sources {
            Some(sources) if !sources.is_empty() => Self::Sources(sources),
            _ => Self::All,
        }
    }

    /// `arn:aws:rds:REGION:ACCOUNT:KIND:IDENTIFIER`
    fn of_arn(arn: &str) -> Self {
        let mut parts = arn.splitn(7, ':').skip(5);
        Self::of(&[parts.next()], parts.next().unwrap_or_default())
    }

    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Sources(mut one), Self::Sources(other)) if one.len() + other.len() <= SOURCES_MAX => {
                one.extend(other);
                Self::Sources(one)
            }
            (Self::Sources(one), Self::Sources(other)) if other.is_subset(&one) => Self::Sources(one),
            _ => Self::All,
        }
    }
}

impl Source {
    /// None if it is something whose endpoints are not known, such as a shard group, a snapshot or a deployment.
    fn new(kind: &str, identifier: &str) -> Option<Self> {
        let identifier = identifier.trim().to_ascii_lowercase();
        // In documentation samples only (E5).
        let identifier = identifier.strip_prefix("rds:").unwrap_or(&identifier);
        let is_name = identifier
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if identifier.is_empty() || identifier.len() > IDENTIFIER_MAX_CHARS || !is_name {
            return None;
        }
        // An RDS Proxy's resource ID, which is in no name.
        if identifier.starts_with("prx-") {
            return None;
        }
        let source = match kind.trim().to_ascii_lowercase().as_str() {
            "rds db instance event" | "db_instance" | "db-instance" | "db" => Self::Instance,
            "rds db cluster event" | "db_cluster" | "db-cluster" | "cluster" => Self::Cluster,
            "rds db proxy event" | "db_proxy" | "db-proxy" | "proxy" => Self::Proxy,
            _ => return None,
        };
        Some(source(identifier.to_owned()))
    }

    /// The owner of an endpoint, if its name proves that (D2). An alias, a custom endpoint, a proxy's further endpoint and the
    /// endpoint of a global cluster do not.
    fn proven_by(endpoint: &Endpoint) -> Option<Self> {
        let labels: Vec<&str> = endpoint.host().split('.').collect();
        // China has the service before the region.
        let [name, second, third, fourth, "amazonaws", ..] = labels[..] else {
            return None;
        };
        let is_database = |label| matches!(label, "rds" | "docdb" | "neptune");
        if !is_database(third) && !is_database(fourth) {
            return None;
        }
        let name = name.to_owned();
        match endpoint.kind() {
            Kind::Cluster | Kind::Reader => Some(Self::Cluster(name)),
            Kind::Proxy => Some(Self::Proxy(name)),
            Kind::Instance | Kind::Other if !second.contains('-') => Some(Self::Instance(name)),
            Kind::Instance | Kind::Custom | Kind::ShardGroup | Kind::Global | Kind::Other => None,
        }
    }

    /// A cluster's change moves the cluster's own endpoints, not its members' (D6); a proxy's addresses are its own.
    fn may_concern(&self, owner: &Self) -> bool {
        self == owner || matches!((self, owner), (Self::Instance(_), Self::Cluster(_)))
    }
}

impl fmt::Display for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Doorbell {
    /// Reads an invocation's payload. Whatever cannot be read means: look at everything, once.
    pub fn read(payload: &Value) -> Self {
        read(payload, 0).unwrap_or_else(|| Self::unknown("an event of unknown form"))
    }

    /// The same from the payload's text. JSON allows what no reader of it takes, such as a depth or a number beyond all bounds.
    pub fn read_text(payload: &str) -> Self {
        let unreadable = |_| Self::unknown("an event that cannot be read");
        serde_json::from_str(payload).map_or_else(unreadable, |payload| Self::read(&payload))
    }

    fn unknown(reason: &str) -> Self {
        Self {
            phase: Phase::Other,
            scope: Scope::All,
            at: None,
            command: None,
            reason: reason.to_owned(),
        }
    }

    /// One doorbell for several: the longest look at all that any of them is about.
    fn join(self, other: Self) -> Self {
        let at = match (self.phase, other.phase) {
            (Phase::Other, Phase::Other) => self.at.max(other.at),
            (Phase::Other, _) => other.at,
            (_, Phase::Other) => self.at,
            // One that does not say when it happened may have happened now.
            _ => self.at.zip(other.at).map(|(one, other)| one.max(other)),
        };
        let reason = if self.reason.contains(&other.reason) {
            self.reason
        } else {
            shorten(&format!("{}; {}", self.reason, other.reason))
        };
        Self {
            phase: self.phase.max(other.phase),
            scope: self.scope.join(other.scope),
            at,
            command: Command::join(self.command, other.command),
            reason,
        }
    }
}

impl Command {
    fn read(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "plan" => Some(Self::Plan),
            "sync" => Some(Self::Sync),
            "status" => Some(Self::Status),
            _ => None,
        }
    }

    /// One that only looks must not keep an event beside it from being acted upon.
    fn join(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        if one == Some(Self::Sync) || other == Some(Self::Sync) {
            return Some(Self::Sync);
        }
        one.and(other)
    }
}

/// Makes a text fit a log line, so that it cannot be taken for another line or for the end of one.
fn shorten(text: &str) -> String {
    let mut chars = text.chars().map(|char| if is_plain(char) { char } else { ' ' });
    let mut short: String = chars.by_ref().take(REASON_MAX_CHARS).collect();
    if chars.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// Neither a control character, nor a line end, nor one that changes the direction of writing or cannot be seen.
fn is_plain(char: char) -> bool {
    let is_unseen = matches!(
        char,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    !char.is_control() && !is_unseen
}

fn read(value: &Value, depth: usize) -> Option<Doorbell> {
    if depth > DEPTH_MAX {
        return None;
    }
    match value {
        // SNS, SQS and input transformers carry JSON as text.
        Value::String(text) => read(&serde_json::from_str(text).ok()?, depth + 1),
        // EventBridge Pipes hand over a bare list.
        Value::Array(records) => batch(records, depth),
        Value::Object(_) => command(value)
            .or_else(|| batch(value.get("Records")?.as_array()?, depth))
            .or_else(|| eventbridge(value))
            .or_else(|| subscription(value))
            .or_else(|| sns_notification(value, depth))
            .or_else(|| bare_detail(value))
            .or_else(|| unknown_command(value)),
        _ => None,
    }
}

fn command(value: &Value) -> Option<Doorbell> {
    let command = Command::read(text(value, "command")?)?;
    let mut doorbell = Doorbell::unknown(&format!("the command {command:?}").to_lowercase());
    doorbell.command = Some(command);
    Some(doorbell)
}

fn unknown_command(value: &Value) -> Option<Doorbell> {
    let command = text(value, "command")?;
    Some(Doorbell::unknown(&shorten(&format!("the unknown command {command}"))))
}

/// SNS and SQS hand over lists of records.
fn batch(records: &[Value], depth: usize) -> Option<Doorbell> {
    let read_record = |record: &Value| {
        let inner = record.pointer("/Sns/Message").or_else(|| record.get("body"));
        read(inner.unwrap_or(record), depth + 1).unwrap_or_else(|| Doorbell::unknown("a message that is no event"))
    };
    let rest = (records.len() > RECORDS_MAX).then(|| Doorbell::unknown("more records than are read"));
    let read = records.iter().take(RECORDS_MAX).map(read_record);
    read.chain(rest).reduce(Doorbell::join)
}

/// Reads the envelope that SNS puts into SQS unless delivery is raw.
fn sns_notification(value: &Value, depth: usize) -> Option<Doorbell> {
    match text(value, "Type")? {
        "Notification" => read(value.get("Message")?, depth + 1),
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
            Some(Doorbell::unknown("a notice about a subscription"))
        }
        _ => None,
    }
}

fn eventbridge(value: &Value) -> Option<Doorbell> {
    let detail_type = text(value, "detail-type")?;
    let source = text(value, "source").unwrap_or_default();
    let at = text(value, "time").and_then(moment);
    if source != "aws.rds" {
        let mut doorbell = Doorbell::unknown(&shorten(&format!("{detail_type} of {source}")));
        doorbell.at = at;
        return Some(doorbell);
    }
    let detail = value.get("detail").unwrap_or(&Value::Null);
    let mut doorbell = of_detail(detail, detail_type, Some(detail_type));
    doorbell.at = doorbell.at.or(at);
    Some(doorbell)
}

/// Reads an event that a rule with the input path `$.detail` hands over.
fn bare_detail(value: &Value) -> Option<Doorbell> {
    ["EventID", "SourceIdentifier", "SourceArn"]
        .iter()
        .find_map(|key| text(value, key))?;
    Some(of_detail(value, "RDS event", None))
}

fn of_detail(detail: &Value, title: &str, detail_type: Option<&str>) -> Doorbell {
    let text = |key| text(detail, key);
    let found = Found {
        title,
        kinds: [detail_type, text("SourceType")],
        id: text("EventID"),
        identifier: text("SourceIdentifier"),
        arn: text("SourceArn"),
        at: text("Date"),
        message: text("Message"),
    };
    found.doorbell()
}

/// Reads the message that an RDS event subscription puts into SNS.
fn subscription(value: &Value) -> Option<Doorbell> {
    let text = |key| text(value, key);
    let event_source = text("Event Source");
    event_source.or(text("Event ID")).or(text("Source ID"))?;
    let found = Found {
        title: event_source.unwrap_or("RDS event"),
        kinds: [event_source, None],
        id: text("Event ID"),
        identifier: text("Source ID"),
        arn: text("Source ARN"),
        at: text("Event Time"),
        message: text("Event Message"),
    };
    Some(found.doorbell())
}

/// The fields of an RDS event, whatever each envelope calls them; all may be missing.
struct Found<'a> {
    /// The name of the event in the reason.
    title: &'a str,
    kinds: [Option<&'a str>; 2],
    id: Option<&'a str>,
    identifier: Option<&'a str>,
    arn: Option<&'a str>,
    at: Option<&'a str>,
    message: Option<&'a str>,
}

impl Found<'_> {
    fn doorbell(&self) -> Doorbell {
        let id = self.id.and_then(event_id);
        Doorbell {
            phase: id.map_or(Phase::Other, Phase::of_event),
            scope: if id.is_some_and(is_blue_green) {
                Scope::All
            } else {
                self.scope()
            },
            at: self.at.and_then(moment),
            command: None,
            reason: self.reason(id),
        }
    }

    fn scope(&self) -> Scope {
        let named = self.identifier.map(|text| {
            if text.starts_with("arn:") {
                Scope::of_arn(text)
            } else {
                Scope::of(&self.kinds, text)
            }
        });
        let is_named = named.is_some();
        // An RDS Proxy's ARN ends in its resource ID, which adds nothing to its name.
        let arn = self.arn.filter(|arn| !(is_named && arn.contains(":prx-")));
        named
            .into_iter()
            .chain(arn.map(Scope::of_arn))
            .reduce(Scope::join)
            .unwrap_or(Scope::All)
    }

    fn reason(&self, id: Option<u16>) -> String {
        let id = id.map(|id| format!("RDS-EVENT-{id:04} ")).unwrap_or_default();
        let of = self.identifier.map(|of| format!(" of {of}")).unwrap_or_default();
        let message = self.message.map(|message| format!(": {message}")).unwrap_or_default();
        shorten(&format!("{id}{}{of}{message}", self.title))
    }
}

/// A field that holds text; what is blank is as good as missing.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str().filter(|text| !text.trim().is_empty())
}

/// The number in `RDS-EVENT-0049`, which may stand at the end of a URL.
fn event_id(text: &str) -> Option<u16> {
    let (_, rest) = text.rsplit_once("RDS-EVENT-")?;
    let digits = rest.len() - rest.trim_start_matches(|char: char| char.is_ascii_digit()).len();
    rest[..digits].parse().ok()
}

/// RFC 3339, or the `2026-11-23 06:40:01.000` of event subscriptions, which is UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let with_zone = text.parse::<jiff::Timestamp>().ok();
    let utc = || {
        let time = text.parse::<jiff::civil::DateTime>().ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let millis = with_zone.or_else(utc)?.as_millisecond();
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

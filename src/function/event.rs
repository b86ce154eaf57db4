//! Reads whatever wakes the function: RDS events in every envelope, schedules, people. An event is a doorbell: it says that
//! now is a good moment to look, and for how long; what is written follows from looking alone. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::value::RawValue;

use crate::function::json::{Fields, for_each};
use crate::function::tag::{KEY as CLOCKS, PREFIX};
use crate::planner::endpoint::{Endpoint, Kind};
use crate::planner::time::Timestamp;
use crate::text::is_unseen;

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
    /// Whether it tells that tags have changed (`aws.tag`).
    pub is_of_tags: bool,
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
pub const DEPTH_MAX: usize = 6;
/// Records of one batch that are read one by one: SQS hands over at most 10,000.
pub const RECORDS_MAX: usize = 10_000;
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

    /// Whether it is the endpoint's own, as far as its name tells: what happens to an instance may be no matter of its cluster's.
    pub fn owns(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::All => true,
            Self::Sources(sources) => Source::proven_by(endpoint).is_none_or(|owner| sources.contains(&owner)),
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
    /// Reads an invocation's payload. Whatever cannot be read means: look at everything, once. What it takes beside the text is as
    /// much as the text again, whatever is in it.
    pub fn read(payload: &str) -> Self {
        let Ok(payload) = serde_json::from_str(payload) else {
            return Self::unknown("an event that cannot be read");
        };
        read(payload, 0).unwrap_or_else(|| Self::unknown("an event of unknown form"))
    }

    fn unknown(reason: &str) -> Self {
        Self {
            phase: Phase::Other,
            scope: Scope::All,
            at: None,
            command: None,
            is_of_tags: false,
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
            is_of_tags: self.is_of_tags || other.is_of_tags,
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
    let mut chars = text.chars().map(|char| if is_unseen(char) { ' ' } else { char });
    let mut short: String = chars.by_ref().take(REASON_MAX_CHARS).collect();
    if chars.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

fn read(value: &RawValue, depth: usize) -> Option<Doorbell> {
    if depth > DEPTH_MAX {
        return None;
    }
    match value.get().as_bytes().first()? {
        // SNS, SQS and input transformers carry JSON as text.
        b'"' => {
            let text: String = serde_json::from_str(value.get()).ok()?;
            read(serde_json::from_str(&text).ok()?, depth + 1)
        }
        // EventBridge Pipes hand over a bare list.
        b'[' => batch(value, depth),
        b'{' => {
            let event = Fields::of(value);
            command(&event)
                .or_else(|| batch(event.get("Records")?, depth))
                .or_else(|| eventbridge(&event))
                .or_else(|| subscription(&event))
                .or_else(|| sns_notification(&event, depth))
                .or_else(|| bare_detail(&event))
                .or_else(|| unknown_command(&event))
        }
        _ => None,
    }
}

fn command(event: &Fields<'_>) -> Option<Doorbell> {
    let command = Command::read(&event.text("command")?)?;
    let mut doorbell = Doorbell::unknown(&format!("the command {command:?}").to_lowercase());
    doorbell.command = Some(command);
    Some(doorbell)
}

fn unknown_command(event: &Fields<'_>) -> Option<Doorbell> {
    let command = event.text("command")?;
    Some(Doorbell::unknown(&shorten(&format!("the unknown command {command}"))))
}

/// SNS and SQS hand over lists of records, which are read one after the other. None if it is no list or an empty one.
fn batch(records: &RawValue, depth: usize) -> Option<Doorbell> {
    let mut joined: Option<Doorbell> = None;
    let mut join = |doorbell| {
        joined = Some(match joined.take() {
            Some(before) => before.join(doorbell),
            None => doorbell,
        });
    };
    let are_more = for_each(records, RECORDS_MAX, |next| join(record(next, depth))).ok()?;
    if are_more {
        join(Doorbell::unknown("more records than are read"));
    }
    joined
}

fn record(value: &RawValue, depth: usize) -> Doorbell {
    let record = Fields::of(value);
    let of_sns = record.get("Sns").and_then(|sns| Fields::of(sns).get("Message"));
    let inner = of_sns.or_else(|| record.get("body")).unwrap_or(value);
    read(inner, depth + 1).unwrap_or_else(|| Doorbell::unknown("a message that is no event"))
}

/// Reads the envelope that SNS puts into SQS unless delivery is raw.
fn sns_notification(event: &Fields<'_>, depth: usize) -> Option<Doorbell> {
    match event.text("Type")?.as_str() {
        "Notification" => read(event.get("Message")?, depth + 1),
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
            Some(Doorbell::unknown("a notice about a subscription"))
        }
        _ => None,
    }
}

fn eventbridge(event: &Fields<'_>) -> Option<Doorbell> {
    let detail_type = event.text("detail-type")?;
    let source = event.text("source").unwrap_or_default();
    let at = event.text("time").and_then(|time| moment(&time));
    if source != "aws.rds" {
        let mut doorbell = Doorbell::unknown(&shorten(&format!("{detail_type} of {source}")));
        doorbell.at = at;
        doorbell.is_of_tags = source == "aws.tag" && concerns_us(event);
        return Some(doorbell);
    }
    let detail = event.get("detail").unwrap_or(RawValue::NULL);
    let mut doorbell = of_detail(&Fields::of(detail), &detail_type, Some(&detail_type));
    doorbell.at = doorbell.at.or(at);
    Some(doorbell)
}

/// Whether a tag of ours has changed, other than the one in which the function itself keeps its clocks.
fn concerns_us(event: &Fields<'_>) -> bool {
    let detail = event.get("detail").unwrap_or(RawValue::NULL);
    let changed = Fields::of(detail).get("changed-tag-keys");
    let changed: Option<Vec<String>> = changed.and_then(|keys| serde_json::from_str(keys.get()).ok());
    changed.is_none_or(|keys| keys.iter().any(|key| key.starts_with(PREFIX) && key != CLOCKS))
}

/// Reads an event that a rule with the input path `$.detail` hands over.
fn bare_detail(event: &Fields<'_>) -> Option<Doorbell> {
    ["EventID", "SourceIdentifier", "SourceArn"]
        .iter()
        .find_map(|key| event.text(key))?;
    Some(of_detail(event, "RDS event", None))
}

fn of_detail(detail: &Fields<'_>, title: &str, detail_type: Option<&str>) -> Doorbell {
    let found = Found {
        title: title.to_owned(),
        kinds: [detail_type.map(str::to_owned), detail.text("SourceType")],
        id: detail.text("EventID"),
        identifier: detail.text("SourceIdentifier"),
        arn: detail.text("SourceArn"),
        at: detail.text("Date"),
        message: detail.text("Message"),
    };
    found.doorbell()
}

/// Reads the message that an RDS event subscription puts into SNS.
fn subscription(event: &Fields<'_>) -> Option<Doorbell> {
    let event_source = event.text("Event Source");
    let (id, identifier) = (event.text("Event ID"), event.text("Source ID"));
    event_source.as_ref().or(id.as_ref()).or(identifier.as_ref())?;
    let found = Found {
        title: event_source.clone().unwrap_or_else(|| "RDS event".into()),
        kinds: [event_source, None],
        id,
        identifier,
        arn: event.text("Source ARN"),
        at: event.text("Event Time"),
        message: event.text("Event Message"),
    };
    Some(found.doorbell())
}

/// The fields of an RDS event, whatever each envelope calls them; all may be missing.
struct Found {
    /// The name of the event in the reason.
    title: String,
    kinds: [Option<String>; 2],
    id: Option<String>,
    identifier: Option<String>,
    arn: Option<String>,
    at: Option<String>,
    message: Option<String>,
}

impl Found {
    fn doorbell(&self) -> Doorbell {
        let id = self.id.as_deref().and_then(event_id);
        Doorbell {
            phase: id.map_or(Phase::Other, Phase::of_event),
            scope: if id.is_some_and(is_blue_green) {
                Scope::All
            } else {
                self.scope()
            },
            at: self.at.as_deref().and_then(moment),
            command: None,
            is_of_tags: false,
            reason: self.reason(id),
        }
    }

    fn scope(&self) -> Scope {
        let kinds = self.kinds.each_ref().map(Option::as_deref);
        let named = self.identifier.as_deref().map(|text| {
            if text.starts_with("arn:") {
                Scope::of_arn(text)
            } else {
                Scope::of(&kinds, text)
            }
        });
        let is_named = named.is_some();
        // An RDS Proxy's ARN ends in its resource ID, which adds nothing to its name.
        let arn = self.arn.as_deref().filter(|arn| !(is_named && arn.contains(":prx-")));
        named
            .into_iter()
            .chain(arn.map(Scope::of_arn))
            .reduce(Scope::join)
            .unwrap_or(Scope::All)
    }

    fn reason(&self, id: Option<u16>) -> String {
        let id = id.map(|id| format!("RDS-EVENT-{id:04} ")).unwrap_or_default();
        let of = self
            .identifier
            .as_ref()
            .map(|of| format!(" of {of}"))
            .unwrap_or_default();
        let message = self
            .message
            .as_ref()
            .map(|message| format!(": {message}"))
            .unwrap_or_default();
        shorten(&format!("{id}{}{of}{message}", self.title))
    }
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
    u64::try_from(millis).ok().map(Timestamp::from_written)
}

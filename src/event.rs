//! Reads whatever wakes the function: RDS events in every envelope, schedules, people. An event is a doorbell: it says that
//! now is a good moment to look, and for how long; what is written follows from looking alone. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::planner::endpoint::Endpoint;
use crate::planner::time::Timestamp;

/// What arrived, as far as it matters.
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
    /// What it was, for the log.
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
    /// Any.
    All,
    /// Those of these databases, clusters or proxies, by identifier in lower case.
    Identifiers(BTreeSet<String>),
}

/// What a person asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// One look, no change.
    Plan,
    /// Steps until everything is settled.
    Sync,
    /// The same look as `plan`.
    Status,
}

/// Envelopes inside envelopes: EventBridge in SNS in SQS is three deep; anything deeper is nobody's.
const DEPTH_MAX: usize = 6;
/// Records of one batch that are read; SQS hands over at most 10,000.
const RECORDS_MAX: usize = 10_000;
/// Characters of a reason that are worth a log line.
const REASON_MAX_CHARS: usize = 200;

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

impl Scope {
    /// Whether the endpoint may be concerned. A cluster's or an instance's identifier is the first label of its name.
    pub fn covers(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::All => true,
            Self::Identifiers(identifiers) => {
                let label = endpoint.host().split('.').next().unwrap_or_default();
                identifiers.contains(label)
            }
        }
    }

    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Identifiers(mut one), Self::Identifiers(other)) => {
                one.extend(other);
                Self::Identifiers(one)
            }
            _ => Self::All,
        }
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

    fn unknown(reason: &str) -> Self {
        Self {
            phase: Phase::Other,
            scope: Scope::All,
            at: None,
            command: None,
            reason: reason.to_owned(),
        }
    }

    /// One doorbell for several: the longest look, all that any of them is about, the youngest event.
    fn join(self, other: Self) -> Self {
        Self {
            phase: self.phase.max(other.phase),
            scope: self.scope.join(other.scope),
            at: self.at.max(other.at),
            command: self.command.or(other.command),
            reason: shorten(&format!("{}; {}", self.reason, other.reason)),
        }
    }
}

fn shorten(text: &str) -> String {
    let mut short: String = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(REASON_MAX_CHARS)
        .collect();
    if text.chars().count() > REASON_MAX_CHARS {
        short.push('…');
    }
    short
}

fn read(value: &Value, depth: usize) -> Option<Doorbell> {
    if depth > DEPTH_MAX {
        return None;
    }
    match value {
        // SNS, SQS and input transformers carry JSON as text.
        Value::String(text) => read(&serde_json::from_str(text).ok()?, depth + 1),
        Value::Object(_) => command(value)
            .or_else(|| records(value, depth))
            .or_else(|| eventbridge(value))
            .or_else(|| subscription(value))
            .or_else(|| sns_notification(value, depth)),
        _ => None,
    }
}

fn command(value: &Value) -> Option<Doorbell> {
    let command = match value.get("command")?.as_str()? {
        "plan" => Command::Plan,
        "sync" => Command::Sync,
        "status" => Command::Status,
        _ => return None,
    };
    let mut doorbell = Doorbell::unknown(&format!("the command {command:?}").to_lowercase());
    doorbell.command = Some(command);
    Some(doorbell)
}

/// SNS and SQS hand over lists of records.
fn records(value: &Value, depth: usize) -> Option<Doorbell> {
    let records = value.get("Records")?.as_array()?;
    let read_record = |record: &Value| {
        let inner = record.pointer("/Sns/Message").or_else(|| record.get("body"));
        inner
            .and_then(|inner| read(inner, depth + 1))
            .unwrap_or_else(|| Doorbell::unknown("a message that is no event"))
    };
    records.iter().take(RECORDS_MAX).map(read_record).reduce(Doorbell::join)
}

/// What SNS puts into SQS unless delivery is raw.
fn sns_notification(value: &Value, depth: usize) -> Option<Doorbell> {
    match value.get("Type")?.as_str()? {
        "Notification" => read(value.get("Message")?, depth + 1),
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
            Some(Doorbell::unknown("a notice about a subscription"))
        }
        _ => None,
    }
}

fn eventbridge(value: &Value) -> Option<Doorbell> {
    let detail_type = value.get("detail-type")?.as_str()?;
    let source = value.get("source").and_then(Value::as_str).unwrap_or_default();
    let at = value.get("time").and_then(Value::as_str).and_then(moment);
    if source != "aws.rds" {
        let mut doorbell = Doorbell::unknown(&shorten(&format!("{detail_type} of {source}")));
        doorbell.at = at;
        return Some(doorbell);
    }
    let detail = value.get("detail").unwrap_or(&Value::Null);
    let text = |key| detail.get(key).and_then(Value::as_str);
    let id = text("EventID").and_then(event_id);
    let source_arn = text("SourceArn").unwrap_or_default();
    let identifiers = [text("SourceIdentifier"), Some(source_arn)];
    let is_blue_green = detail_type.contains("Blue Green") || is_deployment(source_arn);
    Some(Doorbell {
        phase: id.map_or(Phase::Other, Phase::of_event),
        scope: if is_blue_green { Scope::All } else { scope(identifiers) },
        at: text("Date").and_then(moment).or(at),
        command: None,
        reason: reason(id, detail_type, text("SourceIdentifier"), text("Message")),
    })
}

/// What an RDS event subscription puts into SNS.
fn subscription(value: &Value) -> Option<Doorbell> {
    let text = |key| value.get(key).and_then(Value::as_str);
    let event_source = text("Event Source")?;
    let id = text("Event ID").and_then(event_id);
    let source_arn = text("Source ARN").unwrap_or_default();
    let is_blue_green = event_source.contains("blue") || is_deployment(source_arn);
    Some(Doorbell {
        phase: id.map_or(Phase::Other, Phase::of_event),
        scope: if is_blue_green {
            Scope::All
        } else {
            scope([text("Source ID"), Some(source_arn)])
        },
        at: text("Event Time").and_then(moment),
        command: None,
        reason: reason(id, event_source, text("Source ID"), text("Event Message")),
    })
}

/// Blue/green events name the deployment, not the databases whose names are exchanged.
fn is_deployment(arn: &str) -> bool {
    arn.contains(":deployment:") || arn.contains(":bgd-")
}

fn scope(identifiers: [Option<&str>; 2]) -> Scope {
    // An ARN ends in the identifier; documentation samples prefix it with `rds:`.
    let last = |text: &str| text.rsplit(':').next().unwrap_or_default().trim().to_ascii_lowercase();
    let identifiers: BTreeSet<String> = identifiers
        .into_iter()
        .flatten()
        .map(last)
        .filter(|text| !text.is_empty())
        .collect();
    if identifiers.is_empty() {
        Scope::All
    } else {
        Scope::Identifiers(identifiers)
    }
}

fn reason(id: Option<u16>, kind: &str, of: Option<&str>, message: Option<&str>) -> String {
    let id = id.map(|id| format!("RDS-EVENT-{id:04} ")).unwrap_or_default();
    let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    shorten(&format!("{id}{kind}{of}{message}"))
}

/// The number in `RDS-EVENT-0049`, which may stand at the end of a URL.
fn event_id(text: &str) -> Option<u16> {
    let (_, digits) = text.rsplit_once("RDS-EVENT-")?;
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// RFC 3339, or the `2026-11-23 06:40:01.000` of event subscriptions, which is UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let with_zone = text.parse::<jiff::Timestamp>().ok();
    let utc = || {
        text.parse::<jiff::civil::DateTime>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|z| z.timestamp())
    };
    let millis = with_zone.or_else(utc)?.as_millisecond();
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

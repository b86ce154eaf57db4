//! A drill as one document: what was seen when, and how far each moment lagged. The JSON only grows. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::event::Event;
use super::judge::{By, Judged, Moment, Outcome, is_heard, judge};
use super::record::{Record, Series};
use super::{Reach, Watched, Why};
use crate::planner::endpoint::{Endpoint, Kind};
use crate::planner::lead::Says;
use crate::planner::target::State;
use crate::planner::time::Timestamp;

/// The name of the JSON's shape; the number would change if something went away.
pub const SCHEMA: &str = "rds-tether-drill/1";

/// What was drilled, and how.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The target group's ARN and name, if there is one.
    pub group: Option<(String, String)>,
    /// The region.
    pub region: Option<String>,
    /// The command that triggers the failover, if the name tells.
    pub command: Option<String>,
    /// Whether members are asked.
    pub has_lead: bool,
    /// For how long DNS has to name the new address.
    pub steady: Duration,
}

/// How a drill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// By the end of the failover.
    Over,
    /// By its time limit.
    Timeout,
    /// By a signal.
    Signal,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A failover was measured to its end.
    Measured,
    /// One began and had not come to its end.
    Unfinished,
    /// Nothing changed.
    Nothing,
}

/// The document.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The version of the program.
    pub version: &'static str,
    /// Whether names and addresses were taken out.
    pub redacted: bool,
    /// What came of it.
    pub result: Verdict,
    /// What ended it.
    pub ended_by: Ended,
    /// The marks that had not come to their end.
    pub waiting_for: Vec<&'static str>,
    /// The endpoint.
    pub endpoint: String,
    /// What kind of endpoint its name says it is.
    pub endpoint_kind: &'static str,
    /// The region.
    pub region: Option<String>,
    /// The target group.
    pub target_group: Option<Group>,
    /// The command that triggers the failover.
    pub command: Option<String>,
    /// When it began to watch.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The addresses that DNS named first.
    pub old_addresses: Vec<String>,
    /// The address after the failover.
    pub new_addresses: Vec<String>,
    /// What lags are counted from: `connection_lost`, `triggered` or `first_sign`.
    pub lags_from: Option<&'static str>,
    /// The moments that matter.
    pub marks: Vec<Mark>,
    /// What was not watched, and why.
    pub not_watched: Vec<NotWatched>,
    /// What everything was, and when.
    pub lanes: Vec<Lane>,
    /// What RDS told, in the order in which it came.
    pub events: Vec<Told>,
}

/// A target group.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
}

/// A moment that matters.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// Which.
    pub mark: &'static str,
    /// Of what clients connect to, if there may be several.
    pub of: Option<String>,
    /// `seen`, `before` (it was so before anything changed), `unbroken` (it never failed), `missing` (it did not come) or `not_watched`.
    pub state: &'static str,
    /// When it was first seen.
    pub at: Option<Timestamp>,
    /// When it was last seen not to be so: it may have come at any time since.
    pub not_before: Option<Timestamp>,
    /// How long after what lags are counted from.
    pub lag_ms: Option<i64>,
    /// Since when it was so without a break, if that is later.
    pub steady_at: Option<Timestamp>,
    /// How long after what lags are counted from that is.
    pub steady_lag_ms: Option<i64>,
    /// When RDS says that it was, of an event.
    pub dated: Option<Timestamp>,
    /// How long after what lags are counted from that is.
    pub dated_lag_ms: Option<i64>,
    /// What kind of thing showed it.
    pub by: Option<&'static str>,
    /// Which of them.
    pub by_which: Option<String>,
}

/// Something that was not watched.
#[derive(Clone, Debug, Serialize)]
pub struct NotWatched {
    /// What.
    pub what: &'static str,
    /// Which.
    pub of: Option<String>,
    /// Why.
    pub why: &'static str,
    /// The same in words of others.
    pub detail: Option<String>,
}

/// What one thing was.
#[derive(Clone, Debug, Serialize)]
pub struct Lane {
    /// What kind of thing: `dns`, `address`, `member`, `target` or `through`.
    pub what: &'static str,
    /// Which.
    pub of: String,
    /// The address of a name that has several.
    pub address: Option<String>,
    /// What it was, in order.
    pub spans: Vec<Span>,
}

/// From when until when it was so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// What it was.
    pub state: String,
    /// The addresses that DNS named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// When it was first seen.
    pub from: Timestamp,
    /// When it was last seen to be otherwise.
    pub not_before: Option<Timestamp>,
    /// When it was first seen to be otherwise again.
    pub until: Option<Timestamp>,
    /// More, in words of others.
    pub detail: Option<String>,
}

/// What RDS told.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// When it came.
    pub came: Timestamp,
    /// When it happened, by RDS's own clock.
    pub dated: Option<Timestamp>,
    /// Its ID, where it has one.
    pub id: Option<String>,
    /// What it says.
    pub text: Option<String>,
}

impl Report {
    /// What was seen until now.
    pub fn of(record: &Record, subject: &Subject, ended_by: Ended, now: Timestamp) -> Self {
        let judged = judge(record, subject.has_lead, subject.steady, now);
        let base = judged.base(record.triggered);
        let result = match judged.sign {
            None => Verdict::Nothing,
            Some(_) if judged.is_over() => Verdict::Measured,
            Some(_) => Verdict::Unfinished,
        };
        let texts = |all: &BTreeSet<IpAddr>| all.iter().map(ToString::to_string).collect();
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            redacted: false,
            result,
            ended_by,
            waiting_for: judged.waiting.clone(),
            endpoint: subject.endpoint.to_string(),
            endpoint_kind: kind(subject.endpoint.kind()),
            region: subject.region.clone(),
            target_group: subject.group.clone().map(|(arn, name)| Group { arn, name }),
            command: subject.command.clone(),
            started: record.started,
            ended: now,
            old_addresses: texts(&judged.old),
            new_addresses: texts(&judged.new),
            lags_from: base.map(|(_, name)| name),
            marks: marks(record, &judged, base.map(|(at, _)| at)),
            not_watched: not_watched(record),
            lanes: lanes(record, &judged),
            events: record.events.iter().map(told).collect(),
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Cluster => "cluster",
        Kind::Reader => "reader",
        Kind::Custom => "custom",
        Kind::Proxy => "proxy",
        Kind::ShardGroup => "shard_group",
        Kind::Global => "global",
        Kind::Instance => "instance",
        Kind::Other => "other",
    }
}

fn marks(record: &Record, judged: &Judged, base: Option<Timestamp>) -> Vec<Mark> {
    let mut marks = Vec::new();
    if let Some(at) = record.triggered {
        marks.push(Mark {
            at: Some(at),
            lag_ms: lag(Some(at), base),
            ..Mark::named("triggered", "seen")
        });
    }
    let event = |name, event: &Option<Event>| match event {
        Some(event) => Mark {
            at: Some(event.came),
            lag_ms: lag(Some(event.came), base),
            dated: event.dated,
            dated_lag_ms: lag(event.dated, base),
            by: Some("event"),
            by_which: event.id.clone(),
            ..Mark::named(name, "seen")
        },
        None if record.gone.contains_key(&Watched::Events) => Mark::named(name, "not_watched"),
        None => Mark::named(name, "missing"),
    };
    let mark = |name, outcome: &Outcome| Mark::of(name, outcome, base);
    marks.extend([
        mark("connection_lost", &judged.lost),
        event("event_start", &judged.event_start),
        mark("writer", &judged.writer),
        mark("dns_first", &judged.dns_first),
        mark("dns_all", &judged.dns_all),
        mark("registered", &judged.registered),
        mark("healthy", &judged.healthy),
    ]);
    marks.extend(judged.through.iter().map(|(through, outcome)| Mark {
        of: Some(through.to_string()),
        ..mark("through", outcome)
    }));
    if judged.through.is_empty() {
        marks.push(Mark::named("through", "not_watched"));
    }
    marks.push(event("event_end", &judged.event_end));
    marks
}

impl Mark {
    fn named(mark: &'static str, state: &'static str) -> Self {
        Self {
            mark,
            of: None,
            state,
            at: None,
            not_before: None,
            lag_ms: None,
            steady_at: None,
            steady_lag_ms: None,
            dated: None,
            dated_lag_ms: None,
            by: None,
            by_which: None,
        }
    }

    fn of(name: &'static str, outcome: &Outcome, base: Option<Timestamp>) -> Self {
        let Moment { at, after, steady, by } = match outcome {
            Outcome::Seen(moment) => moment,
            Outcome::Before => return Self::named(name, "before"),
            Outcome::Unbroken => return Self::named(name, "unbroken"),
            Outcome::Missing => return Self::named(name, "missing"),
            Outcome::NotWatched => return Self::named(name, "not_watched"),
        };
        let (kind, which) = match by {
            By::Server(server) => ("name_server", server.to_string()),
            By::Servers(count) => ("name_servers", count.to_string()),
            By::Address(address) => ("address", address.to_string()),
            By::Member(ip) => ("member", ip.to_string()),
            By::Target(target) => ("target", target.to_string()),
            By::Way(way) => ("through", way.address.to_string()),
        };
        Self {
            at: Some(*at),
            not_before: *after,
            lag_ms: lag(Some(*at), base),
            steady_at: *steady,
            steady_lag_ms: lag(*steady, base),
            by: Some(kind),
            by_which: Some(which),
            ..Self::named(name, "seen")
        }
    }
}

impl NotWatched {
    /// What it is, and why.
    pub fn of(watched: &Watched, Why { why, detail }: &Why) -> Self {
        let (what, of) = match watched {
            Watched::Group => ("target_group", None),
            Watched::Addresses => ("addresses", None),
            Watched::Members => ("members", None),
            Watched::Throughs => ("through", None),
            Watched::Through(through) => ("through", Some(through.to_string())),
            Watched::WriterThrough(through) => ("writer_through", Some(through.to_string())),
            Watched::Events => ("events", None),
        };
        let detail = detail.clone();
        Self { what, of, why, detail }
    }
}

/// How long after the other a moment is, in milliseconds; negative if it was before.
pub(super) fn lag(at: Option<Timestamp>, base: Option<Timestamp>) -> Option<i64> {
    let (at, base) = at.zip(base)?;
    let millis = |at: Timestamp| i64::try_from(at.as_millis()).ok();
    Some(millis(at)? - millis(base)?)
}

/// What is not watched, as far as that is known by now.
pub fn not_watched(record: &Record) -> Vec<NotWatched> {
    let gone = record.gone.iter().map(|(watched, why)| NotWatched::of(watched, why));
    let mut all: Vec<NotWatched> = gone.collect();
    for (server, series) in &record.dns {
        if !series.changes().iter().any(|change| change.value.is_ok()) {
            all.push(NotWatched {
                what: "dns",
                of: Some(server.to_string()),
                why: "it never gave an address",
                detail: series
                    .now()
                    .and_then(|said| said.as_ref().err())
                    .map(ToString::to_string),
            });
        }
    }
    let mut says = record.members.values();
    if !record.members.is_empty() && !says.any(is_heard) {
        let detail = record.members.values().find_map(Series::now).map(ToString::to_string);
        all.push(NotWatched {
            what: "members",
            of: None,
            why: "none of them says whether it is the writer",
            detail,
        });
    }
    if let Some(error) = record.unlisted_now() {
        all.push(NotWatched {
            what: "target_group",
            of: None,
            why: "its targets could not be listed",
            detail: Some(error.to_string()),
        });
    }
    let asked = |series: &Series<Reach>| match series.now() {
        Some(Reach::NotAsked(why)) => Some(*why),
        _ => None,
    };
    for (address, series) in &record.addresses {
        all.extend(asked(series).map(|why| NotWatched {
            what: "address",
            of: Some(address.to_string()),
            why,
            detail: None,
        }));
    }
    for (way, series) in &record.ways {
        all.extend(asked(series).map(|why| NotWatched {
            what: "through",
            of: Some(way.through.to_string()),
            why,
            detail: None,
        }));
    }
    all
}

fn lanes(record: &Record, judged: &Judged) -> Vec<Lane> {
    let mut lanes = Vec::new();
    let mut push = |what, of: String, address: Option<SocketAddr>, spans: Vec<Span>| {
        let address = address.map(|address| address.to_string());
        lanes.push(Lane {
            what,
            of,
            address,
            spans,
        });
    };
    for (server, series) in &record.dns {
        let drawn = spans(series, |said| match said {
            Ok(named) => {
                let state = match (named.is_disjoint(&judged.old), named.is_disjoint(&judged.new)) {
                    (false, true) => "old",
                    (true, false) => "new",
                    (false, false) => "both",
                    (true, true) => "other",
                };
                let addresses = named.iter().map(ToString::to_string).collect();
                (state.to_owned(), addresses, None)
            }
            Err(why) => ("no_answer".to_owned(), Vec::new(), Some(why.to_string())),
        });
        push("dns", server.to_string(), None, drawn);
    }
    let reach = |reach: &Reach| {
        let why = reach.why().map(str::to_owned);
        (reach.name().to_owned(), Vec::new(), why)
    };
    for (address, series) in &record.addresses {
        push("address", address.to_string(), None, spans(series, reach));
    }
    for (ip, series) in &record.members {
        let says = |says: &Says| (says.name().to_owned(), Vec::new(), says.why().map(str::to_owned));
        push("member", ip.to_string(), None, spans(series, says));
    }
    let listed = record.group.changes().iter().flat_map(|change| change.value.keys());
    for target in listed.collect::<BTreeSet<_>>() {
        let mut of_target: Series<Option<&State>> = Series::default();
        for change in record.group.changes() {
            of_target.note(change.value.get(target), change.at);
        }
        let mut drawn = spans(&of_target, |state| {
            let state = state.map_or("not_listed", State::as_str);
            (state.to_owned(), Vec::new(), None)
        });
        drawn.retain(|span| span.state != "not_listed");
        push("target", target.to_string(), None, drawn);
    }
    for (way, series) in &record.ways {
        push(
            "through",
            way.through.to_string(),
            Some(way.address),
            spans(series, reach),
        );
    }
    lanes
}

fn spans<T>(series: &Series<T>, drawn: impl Fn(&T) -> (String, Vec<String>, Option<String>)) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for change in series.changes() {
        let (state, addresses, detail) = drawn(&change.value);
        if let Some(before) = spans.last_mut() {
            // Only the words of a failure have changed.
            if (&before.state, &before.addresses) == (&state, &addresses) {
                continue;
            }
            before.until = Some(change.at);
        }
        spans.push(Span {
            state,
            addresses,
            from: change.at,
            not_before: change.after,
            until: None,
            detail,
        });
    }
    spans
}

fn told(event: &Event) -> Told {
    Told {
        came: event.came,
        dated: event.dated,
        id: event.id.clone(),
        text: Some(event.text.clone()),
    }
}

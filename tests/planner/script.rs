//! Reads an incident: a text file that tells what was seen and when.
//!
//! ```text
//! # A comment; the first one is the title, the others the story.
//! endpoint orders orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432
//! policy   forget=30s keep=10.9.0.0/16 upsert_only probe=tcp probe_patience=20s
//! family   ipv6                    (ipv4 unless given)
//! process  a b                     (one without a name unless given)
//! show     changes                 (between the lines only what is written, settled or pending, not every hold)
//!
//! 0s      orders is 10.0.0.1 ; group is 10.0.0.1 healthy eu-west-1a
//! > what is planned at this moment and at the looks up to the next line, where it differs from the step before
//! 10s     orders is 10.0.0.2 (ttl 30s, via orders-2.abc123.eu-west-1.rds.amazonaws.com, doubtful 10.0.0.9)
//! 20s     orders is 10.0.0.1 | 10.0.0.2          (in turn, one at each look)
//! 30s     orders fails NXDOMAIN                  (or another word: a DNS response code)
//! 40s     group is 10.0.0.1 draining, 10.0.0.2:5433 unused(Target.NotInUse)      (or: group is empty)
//! 50s     group fails Throttling: Rate exceeded
//! 51s     orders led 10.0.0.2 over 10.0.0.1      (members show that one is the writer, and who is a reader; or: led nobody)
//! 52s     10.0.0.2 shows database            (or: silent WHY, or: impostor WHY; what a probe of it found)
//! 55s     accepted 10.0.0.1                      (ELB accepted the deregistration that was planned before)
//! 57s     registered 10.0.0.2                    (ELB accepted the registration that was planned before)
//! 60s     look                                   (at the group alone; every line does that)
//! 70s     asleep                                 (nobody looks at DNS until awake)
//! 80s     awake
//! 90s     restart                                (the process forgets everything)
//! 91s     recall 88s: 10.0.0.1 since 20s answers 12      (what an earlier process knew, whose last look was at 88s)
//! 92s     b: orders is 10.0.0.2                  (what the process b alone sees or does)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rds_tether::planner::answer::{Failure, Resolution};
use rds_tether::planner::candidate::{Doubt, ProbePatience};
use rds_tether::planner::endpoint::Endpoint;
use rds_tether::planner::lead::Led;
use rds_tether::planner::memory::Remembered;
use rds_tether::planner::policy::Policy;
use rds_tether::planner::target::{Family, Listed, State, Target};
use rds_tether::planner::time::Timestamp;

/// The mark of the lines that a test writes.
pub const EXPECTED: &str = ">";

/// 0s of every script: far enough from the epoch that a script can tell of earlier moments.
const ZERO: Timestamp = Timestamp::from_millis(1_000_000_000);

pub struct Script {
    /// By the words that the script has for them, in its order.
    pub endpoints: Vec<(String, Endpoint)>,
    pub policy: Policy,
    pub family: Family,
    pub processes: Vec<String>,
    pub show_changes_only: bool,
    pub moments: Vec<Moment>,
    /// Everything but the expected lines.
    pub lines: Vec<String>,
}

pub struct Moment {
    pub at: Timestamp,
    /// What happened, and to which process; to all of them unless given.
    pub events: Vec<(Option<String>, Event)>,
    /// How many of the script's lines come before what is planned now.
    pub lines_before: usize,
}

#[derive(Clone)]
pub enum Event {
    Answers(Endpoint, Vec<Resolution>),
    Fails(Endpoint, Failure),
    Led(Endpoint, Option<Led>),
    Listing(Result<BTreeMap<Target, Listed>, String>),
    Recall(Timestamp, Vec<(Target, Remembered)>),
    Restart,
    Asleep,
    Awake,
    Look,
    Removed(Target),
    Registered(Target),
    Shows(Target, Result<(), Doubt>),
}

/// `10.0.0.2 over 10.0.0.1 10.0.0.3`, or `nobody`.
fn led(text: &str) -> Option<Option<Led>> {
    if text == "nobody" {
        return Some(None);
    }
    let (writer, readers) = text.split_once(" over ").unwrap_or((text, ""));
    Some(Some(Led {
        writer: writer.parse().ok()?,
        readers: readers
            .split_whitespace()
            .map(|ip| ip.parse().ok())
            .collect::<Option<_>>()?,
    }))
}

impl Script {
    /// Reads a script; panics with the line that it cannot read.
    pub fn read(text: &str) -> Self {
        let mut script = Self {
            endpoints: Vec::new(),
            policy: Policy::default(),
            family: Family::Ipv4,
            processes: vec![String::new()],
            show_changes_only: false,
            moments: Vec::new(),
            lines: Vec::new(),
        };
        for line in text.lines().filter(|line| !line.starts_with(EXPECTED)) {
            script.lines.push(line.to_owned());
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                script
                    .line(line)
                    .unwrap_or_else(|| panic!("cannot read the line {line:?}"));
            }
        }
        script
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(char::is_whitespace).map(|(w, r)| (w, r.trim()))?;
        match word {
            "endpoint" => {
                let (alias, name) = rest.split_once(' ')?;
                self.endpoints.push((alias.to_owned(), name.trim().parse().ok()?));
            }
            "family" => self.family = if rest == "ipv6" { Family::Ipv6 } else { Family::Ipv4 },
            "process" => self.processes = rest.split_whitespace().map(str::to_owned).collect(),
            "show" => self.show_changes_only = rest == "changes",
            "policy" => {
                for rule in rest.split_whitespace() {
                    self.rule(rule)?;
                }
            }
            time => {
                let at = moment(time)?;
                assert!(
                    self.moments.last().is_none_or(|last| last.at < at),
                    "time runs forward: {line:?}"
                );
                let events = rest.split(" ; ").map(|event| self.event(event.trim()));
                let events = events.collect::<Option<Vec<_>>>()?;
                let lines_before = self.lines.len();
                self.moments.push(Moment {
                    at,
                    events,
                    lines_before,
                });
            }
        }
        Some(())
    }

    fn rule(&mut self, rule: &str) -> Option<()> {
        let (key, value) = rule.split_once('=').unwrap_or((rule, ""));
        match key {
            "role" => self.policy.role = Some(value.parse().ok()?),
            "forget" => self.policy.forget = Some(duration(value)?),
            "patience" => self.policy.patience = Some(duration(value)?),
            "allow" => self.policy.allow_cidrs.push(value.parse().ok()?),
            "keep" => self.policy.keep.push(value.parse().ok()?),
            "probe" => self.policy.probe = value.parse().ok()?,
            "probe_patience" if value == "forever" => self.policy.probe_patience = Some(ProbePatience::Forever),
            "probe_patience" => self.policy.probe_patience = Some(ProbePatience::For(duration(value)?)),
            "upsert_only" => self.policy.upsert_only = true,
            _ => return None,
        }
        Some(())
    }

    fn event(&self, text: &str) -> Option<(Option<String>, Event)> {
        let of_process = text
            .split_once(": ")
            .filter(|(name, _)| self.processes.iter().any(|p| p == name));
        let (process, text) = of_process.map_or((None, text), |(name, rest)| (Some(name.to_owned()), rest));
        let (word, rest) = text.split_once(' ').map_or((text, ""), |(w, r)| (w, r.trim()));
        let event = match word {
            "restart" => Event::Restart,
            "asleep" => Event::Asleep,
            "awake" => Event::Awake,
            "look" => Event::Look,
            "accepted" => Event::Removed(self.target(rest)?),
            "registered" => Event::Registered(self.target(rest)?),
            "recall" => self.recall(rest)?,
            "group" => Event::Listing(match rest.split_once(' ')? {
                ("is", listing) => Ok(self.listing(listing)?),
                ("fails", why) => Err(why.to_owned()),
                _ => return None,
            }),
            _ if rest.starts_with("shows ") => Event::Shows(self.target(word)?, shown(rest)?),
            alias => {
                let (_, endpoint) = self.endpoints.iter().find(|(name, _)| name == alias)?.clone();
                match rest.split_once(' ')? {
                    ("is", answers) => {
                        Event::Answers(endpoint, answers.split('|').map(resolution).collect::<Option<_>>()?)
                    }
                    ("fails", why) => Event::Fails(endpoint, failure(why)),
                    ("led", who) => Event::Led(endpoint, led(who)?),
                    _ => return None,
                }
            }
        };
        Some((process, event))
    }

    /// `88s: 10.0.0.1 since 20s answers 12, ...`
    fn recall(&self, text: &str) -> Option<Event> {
        let (last_look, clocks) = text.split_once(": ")?;
        let clocks = clocks.split(',').map(|clock| {
            let [target, "since", since, "answers", answers] = clock.split_whitespace().collect::<Vec<_>>()[..] else {
                return None;
            };
            let (since, answers) = (moment(since)?, answers.parse().ok()?);
            Some((self.target(target)?, Remembered { since, answers }))
        });
        Some(Event::Recall(moment(last_look)?, clocks.collect::<Option<_>>()?))
    }

    /// `10.0.0.1 healthy eu-west-1a, 10.0.0.2:5433 unused(Target.NotInUse)` or `empty`
    fn listing(&self, text: &str) -> Option<BTreeMap<Target, Listed>> {
        if text == "empty" {
            return Some(BTreeMap::new());
        }
        let members = text.split(',').map(|member| {
            let mut words = member.split_whitespace();
            let target = self.target(words.next()?)?;
            let state = words.next()?;
            let (state, reason) = state
                .split_once('(')
                .map_or((state, None), |(s, r)| (s, Some(r.trim_end_matches(')'))));
            let listed = Listed {
                zone: words.next().map(str::to_owned),
                state: State::parse(state, reason),
                reason: reason.map(str::to_owned),
                description: None,
            };
            Some((target, listed))
        });
        members.collect()
    }

    /// An address, with the first endpoint's port unless another is given.
    fn target(&self, text: &str) -> Option<Target> {
        let port = self.endpoints.first()?.1.port();
        let with_port = || {
            text.parse::<SocketAddr>().ok().map(|at| Target {
                ip: at.ip(),
                port: at.port(),
            })
        };
        text.parse().ok().map(|ip| Target { ip, port }).or_else(with_port)
    }
}

/// `10.0.0.2, 10.0.0.3 (ttl 30s, via NAME, doubtful 10.0.0.9)`
fn resolution(text: &str) -> Option<Resolution> {
    let (addresses, extras) = text.split_once('(').unwrap_or((text, ""));
    let addresses: Option<BTreeSet<IpAddr>> = addresses.split(',').map(|ip| ip.trim().parse().ok()).collect();
    let mut resolution = Resolution::new(addresses?, Duration::from_secs(5))?;
    for extra in extras
        .trim()
        .trim_end_matches(')')
        .split(',')
        .filter(|extra| !extra.is_empty())
    {
        match extra.trim().split_once(' ')? {
            ("ttl", ttl) => resolution.ttl = duration(ttl)?,
            ("via", name) => resolution.names.push(name.to_owned()),
            ("doubtful", ip) => {
                resolution.doubtful.insert(ip.parse().ok()?);
            }
            _ => return None,
        }
    }
    Some(resolution)
}

/// `shows database`, `shows silent WHY` or `shows impostor WHY`
fn shown(text: &str) -> Option<Result<(), Doubt>> {
    let text = text.strip_prefix("shows ")?;
    let (word, why) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "database" => Some(Ok(())),
        "silent" => Some(Err(Doubt::Silent(why.to_owned()))),
        "impostor" => Some(Err(Doubt::Impostor(why.to_owned()))),
        _ => None,
    }
}

fn failure(word: &str) -> Failure {
    match word {
        "NXDOMAIN" => Failure::NxDomain,
        "NODATA" => Failure::NoData,
        "SERVFAIL" => Failure::ServFail,
        "REFUSED" => Failure::Refused,
        "TIMEOUT" => Failure::TimedOut,
        other => Failure::Code(other.to_owned()),
    }
}

/// A moment as scripts write it: so long after their beginning, or before it.
fn moment(text: &str) -> Option<Timestamp> {
    match text.strip_prefix('-') {
        None => Some(ZERO + duration(text)?),
        Some(before) => {
            let before = u64::try_from(duration(before)?.as_millis()).ok()?;
            Some(Timestamp::from_millis(ZERO.as_millis().checked_sub(before)?))
        }
    }
}

/// The moment as scripts write it.
pub fn show_moment(at: Timestamp) -> String {
    if at < ZERO {
        format!("-{}", show_duration(ZERO.since(at)))
    } else {
        show_duration(at.since(ZERO))
    }
}

/// `1h2m3s`
fn duration(text: &str) -> Option<Duration> {
    let mut total_secs = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let unit_secs = match rest.as_bytes()[end] {
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total_secs += rest[..end].parse::<u64>().ok()? * unit_secs;
        rest = &rest[end + 1..];
    }
    (!text.is_empty()).then_some(Duration::from_secs(total_secs))
}

/// `1h2m3s`
pub fn show_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let parts = [(secs / 3600, "h"), (secs / 60 % 60, "m"), (secs % 60, "s")];
    let shown: String = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect();
    if shown.is_empty() { "0s".to_owned() } else { shown }
}

//! One message: its JSON, its id, its subject line and the attributes for filter policies. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use crate::aws::arn::Arn;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::text::shown;

/// The name of the JSON's shape, which only grows.
pub const SCHEMA: &str = "rds-tether-notification/1";
/// SNS takes subjects of less than 100 characters (Publish, API reference).
const SUBJECT_MAX_CHARS: usize = 99;
/// Two actors that see the same within this time give it the same id.
const SAME_WITHIN: Duration = Duration::from_secs(60);
/// Reasons and addresses that a message lists: the first say what it is about, and SNS takes 256 KiB.
const LISTED_MAX: usize = 50;

/// What a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// DNS names another address; of a reader endpoint: a member was registered or forgotten.
    AddressChanged,
    /// The target group equals DNS again.
    Converged,
    /// A guard or ELB refused an address.
    Refused,
    /// An address was registered although it has not shown that the database is there.
    Unproven,
    /// The target group has not equalled DNS for longer than a change takes.
    Unsettled,
    /// A name could not be resolved for minutes.
    Unresolved,
    /// A name that stands for one writer gives several addresses in turn.
    Rotates,
    /// Somebody else takes targets away that DNS names, again and again.
    RemovedByOthers,
    /// No target that ought to take connections has done so for minutes.
    NothingServes,
    /// What was told as unsettled, unresolved, removed by others or serving nothing is over.
    Recovered,
    /// So much happened that the rest was not told one by one.
    Summary,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::AddressChanged,
        Self::Converged,
        Self::Refused,
        Self::Unproven,
        Self::Unsettled,
        Self::Unresolved,
        Self::Rotates,
        Self::RemovedByOthers,
        Self::NothingServes,
        Self::Recovered,
        Self::Summary,
    ];

    /// Its name, which never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddressChanged => "address_changed",
            Self::Converged => "converged",
            Self::Refused => "refused",
            Self::Unproven => "unproven",
            Self::Unsettled => "unsettled",
            Self::Unresolved => "unresolved",
            Self::Rotates => "rotates",
            Self::RemovedByOthers => "removed_by_others",
            Self::NothingServes => "nothing_serves",
            Self::Recovered => "recovered",
            Self::Summary => "summary",
        }
    }

    /// Whether somebody should look at it.
    pub fn severity(self) -> &'static str {
        match self {
            Self::AddressChanged | Self::Converged | Self::Recovered => "info",
            Self::Refused
            | Self::Unproven
            | Self::Unsettled
            | Self::Unresolved
            | Self::Rotates
            | Self::RemovedByOthers
            | Self::NothingServes
            | Self::Summary => "warning",
        }
    }
}

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// A target group.
    Group(Arn),
    /// A proxy, by where it listens.
    Proxy(SocketAddr),
}

impl Of {
    /// Its name for people.
    pub fn name(&self) -> String {
        match self {
            Self::Group(arn) => arn.name().to_owned(),
            Self::Proxy(listen) => format!("proxy {listen}"),
        }
    }
}

/// How long things took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timings {
    /// When the change or the trouble began, as this process saw it.
    pub since: Option<Timestamp>,
    /// Milliseconds from then to the message.
    pub lasted_ms: Option<u64>,
    /// Milliseconds from the first sight of the new address to its registration.
    pub registered_ms: Option<u64>,
    /// Milliseconds from the first sight of the new address to its being healthy.
    pub healthy_ms: Option<u64>,
    /// Milliseconds from the first answer without the old address to its removal.
    pub deregistered_ms: Option<u64>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it tells.
    pub kind: Kind,
    /// What it is about.
    pub of: Of,
    /// The endpoints that are concerned.
    pub endpoints: BTreeSet<Endpoint>,
    /// The role that is followed.
    pub role: Role,
    /// When it was noticed.
    pub at: Timestamp,
    /// What it tells, for people.
    pub text: String,
    /// Addresses that are left; those that somebody else removes or that do not serve, if it is about that.
    pub old: BTreeSet<Target>,
    /// Addresses that are new; refused ones, if it is about those.
    pub new: BTreeSet<Target>,
    /// How long things took.
    pub timings: Timings,
    /// Why things are as they are, for people.
    pub reasons: Vec<String>,
    /// What made the process look.
    pub trigger: String,
    /// What a summary sums up: the number of messages of each kind that were not sent.
    pub counts: BTreeMap<Kind, u64>,
}

/// The shape of the JSON. Every key is always there.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    id: String,
    kind: Kind,
    severity: &'static str,
    at: Timestamp,
    text: String,
    target_group: Option<&'a Arn>,
    proxy: Option<SocketAddr>,
    endpoints: &'a BTreeSet<Endpoint>,
    role: Role,
    old: Vec<&'a Target>,
    new: Vec<&'a Target>,
    timings: Timings,
    reasons: Vec<String>,
    trigger: String,
    counts: &'a BTreeMap<Kind, u64>,
    version: &'static str,
}

impl Message {
    /// The same for whoever sees the same thing about the same group in the same minute, so that the messages of two actors,
    /// and one that SNS delivers twice, can be told to be one.
    pub fn id(&self) -> String {
        let minute = self.at.written() / u64::try_from(SAME_WITHIN.as_millis()).unwrap_or(u64::MAX);
        let of = match &self.of {
            Of::Group(arn) => arn.to_string(),
            // Proxies side by side listen on addresses of their own.
            Of::Proxy(_) => "proxy".into(),
        };
        let mut hash = Hash::default();
        hash.add(&[of, self.kind.name().into(), minute.to_string()]);
        hash.add(
            self.endpoints
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .as_slice(),
        );
        for targets in [&self.old, &self.new] {
            hash.add(targets.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice());
        }
        format!("{:032x}", hash.0)
    }

    /// The body.
    pub fn json(&self) -> String {
        let (target_group, proxy) = match &self.of {
            Of::Group(arn) => (Some(arn), None),
            Of::Proxy(listen) => (None, Some(*listen)),
        };
        let document = Document {
            schema: SCHEMA,
            id: self.id(),
            kind: self.kind,
            severity: self.kind.severity(),
            at: self.at,
            text: shown(&self.text),
            target_group,
            proxy,
            endpoints: &self.endpoints,
            role: self.role,
            old: self.old.iter().take(LISTED_MAX).collect(),
            new: self.new.iter().take(LISTED_MAX).collect(),
            timings: self.timings,
            reasons: self.reasons.iter().take(LISTED_MAX).map(shown).collect(),
            trigger: shown(&self.trigger),
            counts: &self.counts,
            version: env!("CARGO_PKG_VERSION"),
        };
        // Strings, numbers and lists always serialise.
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }

    /// The subject of the mail that SNS makes of it: printable ASCII on one line.
    pub fn subject(&self) -> String {
        let printable = |c: char| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' };
        let whole: String = format!("rds-tether: {}", self.text).chars().map(printable).collect();
        if whole.len() <= SUBJECT_MAX_CHARS {
            return whole;
        }
        format!("{}...", whole[..SUBJECT_MAX_CHARS - 3].trim_end())
    }

    /// What filter policies can tell messages apart by.
    pub fn attributes(&self) -> [(&'static str, String); 4] {
        [
            ("schema", SCHEMA.to_owned()),
            ("kind", self.kind.name().to_owned()),
            ("severity", self.kind.severity().to_owned()),
            (
                "subject",
                match &self.of {
                    Of::Group(arn) => arn.name().to_owned(),
                    Of::Proxy(listen) => listen.to_string(),
                },
            ),
        ]
    }
}

/// FNV-1a with 128 bits: the same in every process and version, which the standard library's hash is not meant to be. It
/// guards against nobody.
struct Hash(u128);

impl Default for Hash {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Hash {
    /// Adds a list, with a mark behind each of its parts and behind its end.
    fn add(&mut self, parts: &[String]) {
        for byte in parts.iter().flat_map(|part| part.bytes().chain([0])).chain([1]) {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}

/// A duration as a number of the JSON.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let target = |ip: &str| Target {
            ip: ip.parse().expect("an address"),
            port: 5432,
        };
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067";
        let endpoint = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";
        Message {
            kind: Kind::AddressChanged,
            of: Of::Group(arn.parse().expect("an ARN")),
            endpoints: BTreeSet::from([endpoint.parse().expect("an endpoint")]),
            role: Role::Writer,
            at: Timestamp::from_millis(1_795_000_000_000),
            text: "orders moved".into(),
            old: BTreeSet::from([target("10.0.1.5")]),
            new: BTreeSet::from([target("10.0.2.7")]),
            timings: Timings::default(),
            reasons: Vec::new(),
            trigger: "run".into(),
            counts: BTreeMap::new(),
        }
    }

    #[test]
    fn what_two_actors_see_within_a_minute_has_one_id() {
        type Difference = fn(&mut Message);
        let rows: [(Difference, bool); 10] = [
            (|_| {}, true),
            (|other| other.at = Timestamp::from_millis(1_795_000_019_999), true),
            (|other| other.trigger = "RDS-EVENT-0072".into(), true),
            (|other| other.text = "told otherwise".into(), true),
            (|other| other.timings.registered_ms = Some(40), true),
            (|other| other.at = Timestamp::from_millis(1_795_000_020_000), false),
            (|other| other.kind = Kind::Converged, false),
            (|other| std::mem::swap(&mut other.old, &mut other.new), false),
            (|other| other.new.clear(), false),
            (|other| other.endpoints.clear(), false),
        ];
        let one = message();
        assert_eq!(one.id().len(), 32);
        for (number, (change, is_same)) in rows.into_iter().enumerate() {
            let mut other = message();
            change(&mut other);
            assert_eq!(one.id() == other.id(), is_same, "row {number}: {other:?}");
        }
        let proxy = |listen: &str| Message {
            of: Of::Proxy(listen.parse().expect("an address")),
            ..message()
        };
        assert_eq!(proxy("10.0.0.4:5432").id(), proxy("10.0.0.5:5432").id());
        assert_ne!(proxy("10.0.0.4:5432").id(), one.id());
    }

    #[test]
    fn the_hash_is_that_of_its_authors() {
        // The empty text, and one byte more (draft-eastlake-fnv).
        assert_eq!(
            format!("{:032x}", Hash::default().0),
            "6c62272e07bb014262b821756295c58d"
        );
        let mut hash = Hash::default();
        hash.0 = (hash.0 ^ u128::from(b'a')).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        assert_eq!(format!("{:032x}", hash.0), "d228cb696f1a8caf78912b704e4a8964");
    }

    #[test]
    fn a_subject_is_short_and_on_one_line() {
        for (text, expect) in [
            ("orders moved", "rds-tether: orders moved".to_owned()),
            ("a\nb\té", "rds-tether: a?b??".to_owned()),
            (&"x".repeat(87), format!("rds-tether: {}", "x".repeat(87))),
            (&"x".repeat(88), format!("rds-tether: {}...", "x".repeat(84))),
            (&"é".repeat(300), format!("rds-tether: {}...", "?".repeat(84))),
        ] {
            let message = Message {
                text: text.to_owned(),
                ..message()
            };
            assert_eq!(message.subject(), expect);
            assert!(message.subject().len() < 100);
        }
    }

    #[test]
    fn every_message_has_every_key_and_fits() {
        let keys = |message: &Message| -> Vec<String> {
            let json: serde_json::Value = serde_json::from_str(&message.json()).expect("JSON");
            json.as_object().expect("an object").keys().cloned().collect()
        };
        let one = message();
        for kind in Kind::ALL {
            let other = Message {
                kind,
                of: Of::Proxy("0.0.0.0:5432".parse().expect("an address")),
                reasons: vec!["x".repeat(500); 1000],
                ..message()
            };
            assert_eq!(keys(&other), keys(&one));
            assert!(other.json().len() < 256 * 1024);
            let json: serde_json::Value = serde_json::from_str(&other.json()).expect("JSON");
            assert_eq!(json["kind"], kind.name());
            assert!(other.attributes().iter().all(|(_, value)| !value.is_empty()));
        }
    }
}

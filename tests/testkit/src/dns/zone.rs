//! What the names answer, and the cache in front of them. Time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::Behaviour;

/// For how many seconds a negative answer that carries a SOA may be cached.
pub const NEGATIVE_TTL_SECONDS: u32 = 5;

/// What one name has to say to one query: one link of the chain that becomes the answer.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) content: Content,
    pub(super) distortion: Distortion,
}

impl From<Content> for Step {
    fn from(content: Content) -> Self {
        Self {
            content,
            distortion: Distortion::default(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Addresses of the family asked for, at least one.
    Addresses { addresses: Vec<IpAddr>, ttl: u32 },
    /// Another name has the answer.
    Alias { target: Name, ttl: u32 },
    /// No records; a TTL comes with a SOA.
    Nothing { code: ResponseCode, ttl: Option<u32> },
    /// The bytes after the message id.
    Raw(Vec<u8>),
    /// No reply.
    Silence,
}

impl Content {
    /// For how many seconds it may be cached; `None` for what no resolver keeps.
    fn ttl(&self) -> Option<u32> {
        match self {
            Self::Addresses { ttl, .. } | Self::Alias { ttl, .. } => Some(*ttl),
            Self::Nothing { ttl, .. } => *ttl,
            Self::Raw(_) | Self::Silence => None,
        }
    }

    fn with_ttl(mut self, seconds: u32) -> Self {
        match &mut self {
            Self::Addresses { ttl, .. } | Self::Alias { ttl, .. } => *ttl = seconds,
            Self::Nothing { ttl, .. } => *ttl = Some(seconds),
            Self::Raw(_) | Self::Silence => {}
        }
        self
    }
}

/// What goes wrong with a reply on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Distortion {
    pub(super) delay: Duration,
    pub(super) truncated: bool,
    pub(super) stale: bool,
    pub(super) wrong_id: bool,
    pub(super) wrong_name: bool,
}

impl Distortion {
    fn add(&mut self, other: &Self) {
        self.delay += other.delay;
        self.truncated |= other.truncated;
        self.stale |= other.stale;
        self.wrong_id |= other.wrong_id;
        self.wrong_name |= other.wrong_name;
    }
}

/// The answer to one query, before it meets a transport.
#[derive(Debug)]
pub(super) struct Resolution {
    pub(super) body: Body,
    pub(super) distortion: Distortion,
    /// The links that came from the zone, for the counts and the cache to remember once the answer is given.
    fresh: Vec<(Name, Step)>,
}

impl Resolution {
    fn silence() -> Self {
        Self {
            body: Body::Silence,
            distortion: Distortion::default(),
            fresh: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub(super) enum Body {
    Message {
        code: ResponseCode,
        answers: Vec<Record>,
        authorities: Vec<Record>,
    },
    Raw(Vec<u8>),
    Silence,
}

impl Body {
    fn positive(answers: Vec<Record>) -> Self {
        Self::Message {
            code: ResponseCode::NoError,
            answers,
            authorities: Vec::new(),
        }
    }

    /// The end of a chain whose last name has no records to give.
    fn negative(owner: &Name, code: ResponseCode, ttl: Option<u32>, mut aliases: Vec<Record>) -> Self {
        // That the end of an alias does not exist is an answer, and comes with the alias; that nobody knows is not.
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            aliases.clear();
        }
        let authorities = ttl.into_iter().map(|ttl| soa_record(owner, ttl)).collect();
        Self::Message {
            code,
            answers: aliases,
            authorities,
        }
    }
}

/// All the names of the world, and what has been said about them.
#[derive(Debug)]
pub(super) struct Zone {
    names: BTreeMap<Name, Behaviour>,
    default: Behaviour,
    /// How many answers each name gave to each type, since it was set.
    given: BTreeMap<Name, BTreeMap<RecordType, u64>>,
    /// `None`: not caching.
    cache: Option<BTreeMap<(Name, RecordType), Cached>>,
    is_silent: bool,
}

#[derive(Debug)]
struct Cached {
    step: Step,
    expires: Instant,
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            names: BTreeMap::new(),
            default: Behaviour::NxDomain,
            given: BTreeMap::new(),
            cache: None,
            is_silent: false,
        }
    }
}

impl Zone {
    pub(super) fn set(&mut self, name: Name, behaviour: Behaviour) {
        self.given.remove(&name);
        self.names.insert(name, behaviour);
    }

    pub(super) fn set_default(&mut self, behaviour: Behaviour) {
        self.given.retain(|name, _| self.names.contains_key(name));
        self.default = behaviour;
    }

    pub(super) fn caching(&mut self, on: bool) {
        self.cache = on.then(BTreeMap::new);
    }

    pub(super) fn silent(&mut self, on: bool) {
        self.is_silent = on;
    }

    /// Follows the chain from a name to its answer; changes nothing, since an answer may yet be withheld.
    pub(super) fn resolve(&self, name: &Name, kind: RecordType, now: Instant) -> Resolution {
        if self.is_silent {
            return Resolution::silence();
        }
        let mut owner = name.clone();
        let mut seen = BTreeSet::new();
        let mut answers = Vec::new();
        let mut distortion = Distortion::default();
        let mut fresh = Vec::new();
        let body = loop {
            if !seen.insert(owner.clone()) {
                break Body::positive(answers);
            }
            let step = self.cached(&owner, kind, now).unwrap_or_else(|| {
                let step = self.step(&owner, kind);
                fresh.push((owner.clone(), step.clone()));
                step
            });
            distortion.add(&step.distortion);
            match step.content {
                Content::Alias { target, ttl } => {
                    let alias = RData::CNAME(CNAME(target.clone()));
                    answers.push(Record::from_rdata(owner, ttl, alias));
                    if kind == RecordType::CNAME {
                        break Body::positive(answers);
                    }
                    owner = target;
                }
                Content::Addresses { addresses, ttl } => {
                    answers.extend(
                        addresses
                            .into_iter()
                            .map(|address| address_record(&owner, ttl, address)),
                    );
                    break Body::positive(answers);
                }
                Content::Nothing { code, ttl } => break Body::negative(&owner, code, ttl, answers),
                Content::Raw(bytes) => break Body::Raw(bytes),
                Content::Silence => break Body::Silence,
            }
        };
        Resolution {
            body,
            distortion,
            fresh,
        }
    }

    /// Remembers that an answer was given.
    pub(super) fn given(&mut self, resolution: Resolution, kind: RecordType, now: Instant) {
        for (name, step) in resolution.fresh {
            *self.given.entry(name.clone()).or_default().entry(kind).or_default() += 1;
            if let Some(cache) = &mut self.cache
                && let Some(ttl) = step.content.ttl()
            {
                let expires = now + Duration::from_secs(ttl.into());
                cache.insert((name, kind), Cached { step, expires });
            }
        }
    }

    fn step(&self, name: &Name, kind: RecordType) -> Step {
        let given = self
            .given
            .get(name)
            .and_then(|kinds| kinds.get(&kind))
            .copied()
            .unwrap_or(0);
        self.names.get(name).unwrap_or(&self.default).step(kind, given)
    }

    fn cached(&self, name: &Name, kind: RecordType, now: Instant) -> Option<Step> {
        let cached = self.cache.as_ref()?.get(&(name.clone(), kind))?;
        let ttl = whole_seconds(cached.expires.saturating_duration_since(now));
        let distortion = Distortion {
            delay: Duration::ZERO,
            ..cached.step.distortion.clone()
        };
        (ttl > 0).then(|| Step {
            content: cached.step.content.clone().with_ttl(ttl),
            distortion,
        })
    }
}

fn address_record(owner: &Name, ttl: u32, address: IpAddr) -> Record {
    let content = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(owner.clone(), ttl, content)
}

/// A SOA for the zone that a name would be in: its parent.
fn soa_record(owner: &Name, ttl: u32) -> Record {
    let zone = owner.base_name();
    // The timers are for secondary servers, of which there are none.
    let soa = SOA::new(
        zone.clone(),
        zone.clone(),
        1,
        7200,
        900,
        1_209_600,
        NEGATIVE_TTL_SECONDS,
    );
    Record::from_rdata(zone, ttl, RData::SOA(soa))
}

fn whole_seconds(rest: Duration) -> u32 {
    let seconds = rest.as_secs() + u64::from(rest.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::parse_name;
    use super::*;

    const NAME: &str = "db.example.com";

    /// A zone, the moment it was made, and milliseconds after it.
    struct Timeline {
        zone: Zone,
        start: Instant,
    }

    impl Timeline {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        fn new(caching: bool) -> Self {
            let mut zone = Zone::default();
            zone.caching(caching);
            Self {
                zone,
                start: Instant::now(),
            }
        }

        fn set(&mut self, name: &str, behaviour: Behaviour) {
            self.zone.set(parse_name(name), behaviour);
        }

        /// The records of the answer at a time, as `TTL value` each, and how late it comes.
        fn ask(&mut self, at_ms: u64) -> (String, Duration) {
            let now = self.start + Duration::from_millis(at_ms);
            let resolution = self.zone.resolve(&parse_name(NAME), RecordType::A, now);
            let delay = resolution.distortion.delay;
            let shown = match &resolution.body {
                Body::Message {
                    code,
                    answers,
                    authorities,
                } => {
                    let records = answers.iter().chain(authorities);
                    let records: Vec<_> = records.map(show).collect();
                    if records.is_empty() {
                        format!("{code:?}")
                    } else {
                        records.join(", ")
                    }
                }
                Body::Raw(_) | Body::Silence => "nothing".into(),
            };
            self.zone.given(resolution, RecordType::A, now);
            (shown, delay)
        }
    }

    fn show(record: &Record) -> String {
        let value = match &record.data {
            RData::SOA(_) => "SOA".into(),
            other => other.to_string(),
        };
        format!("{} {}", record.ttl, value)
    }

    #[test]
    fn a_cached_answer_counts_down_and_hides_a_change_until_it_expires() {
        let mut world = Timeline::new(true);
        world.set(NAME, Behaviour::a("10.0.0.1", 5));
        assert_eq!(world.ask(0).0, "5 10.0.0.1");
        world.set(NAME, Behaviour::a("10.0.0.2", 5));
        for (at_ms, expected) in [
            (1, "5 10.0.0.1"),
            (1_000, "4 10.0.0.1"),
            (1_001, "4 10.0.0.1"),
            (4_999, "1 10.0.0.1"),
            (5_000, "5 10.0.0.2"),
            (9_999, "1 10.0.0.2"),
        ] {
            assert_eq!(world.ask(at_ms).0, expected, "at {at_ms} ms");
        }
    }

    #[test]
    fn an_alias_and_its_target_expire_apart() {
        let mut world = Timeline::new(true);
        world.set(NAME, Behaviour::cname("one.example.com", 5));
        world.set("one.example.com", Behaviour::a("10.0.0.1", 3));
        world.set("two.example.com", Behaviour::a("10.0.0.2", 3));
        world.ask(0);
        world.set(NAME, Behaviour::cname("two.example.com", 5));
        assert_eq!(world.ask(2_000).0, "3 one.example.com., 1 10.0.0.1");
        assert_eq!(world.ask(4_000).0, "1 one.example.com., 3 10.0.0.1");
        assert_eq!(world.ask(5_000).0, "5 two.example.com., 3 10.0.0.2");
    }

    #[test]
    fn only_what_a_resolver_keeps_is_cached() {
        let now_and_after = [
            (Behaviour::NxDomain, "5 SOA", "4 SOA"),
            (Behaviour::NoData, "5 SOA", "4 SOA"),
            (Behaviour::NoDataBare, "NoError", "5 10.0.0.2"),
            (Behaviour::ServFail, "ServFail", "5 10.0.0.2"),
            (Behaviour::Refused, "Refused", "5 10.0.0.2"),
            (Behaviour::Silent, "nothing", "5 10.0.0.2"),
            (Behaviour::Malformed, "nothing", "5 10.0.0.2"),
            (Behaviour::a("10.0.0.1", 0), "0 10.0.0.1", "5 10.0.0.2"),
            (Behaviour::a("10.0.0.1", 5).wrong_id(), "5 10.0.0.1", "4 10.0.0.1"),
        ];
        for (behaviour, first, second) in now_and_after {
            let mut world = Timeline::new(true);
            world.set(NAME, behaviour.clone());
            assert_eq!(world.ask(0).0, first, "{behaviour:?}");
            world.set(NAME, Behaviour::a("10.0.0.2", 5));
            assert_eq!(world.ask(1_000).0, second, "{behaviour:?}");
        }
    }

    #[test]
    fn a_cached_answer_is_not_late() {
        for caching in [false, true] {
            let mut world = Timeline::new(caching);
            let delay = Duration::from_millis(300);
            world.set(NAME, Behaviour::a("10.0.0.1", 5).delayed(delay));
            assert_eq!(world.ask(0).1, delay);
            assert_eq!(world.ask(1).1.is_zero(), caching);
        }
    }

    #[test]
    fn a_cached_answer_takes_no_turn_of_a_sequence() {
        let mut world = Timeline::new(true);
        let turns = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|address| Behaviour::a(address, 1));
        world.set(NAME, Behaviour::Sequence(turns.into()));
        let seen = [0, 500, 1_000, 1_500, 2_000, 3_000].map(|at_ms| world.ask(at_ms).0);
        let expected = ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3", "10.0.0.3"];
        assert_eq!(seen, expected.map(|address| format!("1 {address}")));
    }
}

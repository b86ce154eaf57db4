//! What a decision says: what to change, and what is deliberately left alone, and why. It leaves no choice to the doing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::answer::Blind;
use super::candidate::Doubt;
use super::endpoint::{Endpoint, Role};
use super::guard::Refusal;
use super::protocol::Unfit;
use super::serving::Serving;
use super::taken::Taken;
use super::target::{Target, Unused, Zone};
use super::time::Timestamp;

/// The outcome of one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The role that was followed.
    pub role: Role,
    /// Targets to register, each with the zone to echo.
    pub register: BTreeMap<Target, Zone>,
    /// Targets to deregister, each with the zone to echo.
    pub deregister: BTreeMap<Target, Zone>,
    /// Changes deliberately not made.
    pub holds: Vec<Hold>,
    /// What an operator should know although nothing is to be done about it here.
    pub notes: Vec<Note>,
    /// Every address named now is seen registered, and every other registered target may stay.
    pub settled: bool,
    /// What somebody else has taken away lately.
    pub taken: Option<Taken>,
    /// Whether anything takes connections, which is no part of being settled.
    pub serving: Serving,
}

impl Plan {
    /// Whether anything would be changed, now or after waiting.
    pub fn is_pending(&self) -> bool {
        !self.register.is_empty() || !self.surplus().is_empty() || self.is_disputed()
    }

    /// Whether the name servers differ about an endpoint that has one writer.
    pub(super) fn is_disputed(&self) -> bool {
        let mut holds = self.holds.iter();
        holds.any(|hold| matches!(hold.reason, Reason::Disputed { .. }))
    }

    /// The named targets that are not registered and may be: at once, or when they have shown what they have to.
    pub fn candidates(&self) -> BTreeSet<Target> {
        let held = self.holds.iter().filter_map(|hold| match (&hold.what, &hold.reason) {
            (Held::Target(target), Reason::Unproven(_)) => Some(*target),
            _ => None,
        });
        held.chain(self.register.keys().copied()).collect()
    }

    /// The writer of an endpoint, where a member shows that it is and DNS does not name it yet.
    pub fn ahead_of_dns(&self, endpoint: &Endpoint) -> Option<IpAddr> {
        self.notes.iter().find_map(|note| match note {
            Note::Leads {
                endpoint: of, writer, ..
            } if of == endpoint => Some(*writer),
            _ => None,
        })
    }

    /// Whether a target is one by the word of a member alone.
    pub fn is_ahead(&self, target: Target) -> bool {
        let is_it = |endpoint: &Endpoint, writer: IpAddr| {
            let port = endpoint.port();
            Target { ip: writer, port } == target
        };
        self.notes
            .iter()
            .any(|note| matches!(note, Note::Leads { endpoint, writer, .. } if is_it(endpoint, *writer)))
    }

    /// The registered targets that are to go, at once or later.
    pub fn surplus(&self) -> BTreeSet<Target> {
        let is_to_go = |reason: &Reason| reason.class() == Class::Waiting || matches!(reason, Reason::Vouched(_));
        let waiting = self.differences().filter(|hold| is_to_go(&hold.reason));
        let waiting = waiting.filter_map(|hold| match hold.what {
            Held::Target(target) => Some(target),
            Held::Group | Held::Endpoint(_) => None,
        });
        waiting.chain(self.deregister.keys().copied()).collect()
    }

    /// The holds that tell of a change. Most answers of a reader endpoint miss most of its members, so what is held about a
    /// registered member that the current answer does not name tells of none.
    pub fn differences(&self) -> impl Iterator<Item = &Hold> {
        self.holds
            .iter()
            .filter(|hold| self.role == Role::Writer || !hold.reason.is_about_unnamed())
    }

    /// The earliest moment after `now` at which a hold can end by itself.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.holds
            .iter()
            .filter_map(|hold| hold.until)
            .filter(|until| *until > now)
            .min()
    }
}

/// A change deliberately not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What is left alone.
    pub what: Held,
    /// Why.
    pub reason: Reason,
    /// The earliest moment at which the hold can end, where time alone can end it.
    pub until: Option<Timestamp>,
}

/// What a hold is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Every target of the group.
    Group,
    /// The endpoint, and with it every removal.
    Endpoint(Endpoint),
    /// One target.
    Target(Target),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group => f.write_str("the target group"),
            Self::Endpoint(endpoint) => endpoint.fmt(f),
            Self::Target(target) => target.fmt(f),
        }
    }
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The endpoint could not be resolved.
    Blind(Blind),
    /// The target group could not be described.
    GroupUnseen(String),
    /// The address must not become a target.
    Refused(Refusal),
    /// Too few name servers gave the address.
    NoQuorum,
    /// The name servers differ about an endpoint that has one writer.
    Disputed {
        /// Each one's latest answer.
        words: BTreeMap<SocketAddr, BTreeSet<IpAddr>>,
        /// Whether they have differed for longer than a change takes to reach all of them.
        lasts: bool,
    },
    /// These name servers named it in their latest answer, and have not been heard since.
    Vouched(BTreeSet<SocketAddr>),
    /// The address has not shown that the database is there.
    Unproven(Doubt),
    /// It says that it is a reader, and another shows that it is the writer.
    Reader {
        /// The other.
        writer: IpAddr,
    },
    /// `keep` covers it.
    Kept,
    /// `keep` covers it, so it is not registered although it is named.
    KeptOut,
    /// `upsert_only` is set.
    UpsertOnly,
    /// No current address of the endpoint is seen registered yet.
    AwaitsReplacement(Endpoint),
    /// It was named too recently.
    Forgetting {
        /// For how long it has not been named.
        absent: Duration,
        /// How long that has to be.
        forget: Duration,
    },
    /// Too few answers have come since it was last named.
    FewAnswers {
        /// Answers that did not name it.
        seen: u64,
        /// How many it takes.
        needed: u64,
    },
    /// No replacement is healthy yet.
    AwaitsHealthy,
    /// ELB refused it for want of room; nothing is removed to make some.
    NoRoom(String),
    /// ELB refused the address.
    Rejected(String),
}

impl Reason {
    /// A name that never changes, for machines.
    pub fn name(&self) -> &'static str {
        match self {
            // Nothing that failed: where AWS denies the first look at a group, its names are not looked at.
            Self::Blind(Blind::NotYet) => "not_looked_at",
            Self::Blind(_) => "blind",
            Self::GroupUnseen(_) => "group_unseen",
            Self::Refused(_) => "refused",
            Self::NoQuorum => "no_quorum",
            Self::Disputed { .. } => "disputed",
            Self::Vouched(_) => "vouched",
            Self::Unproven(Doubt::NotYet) => "unprobed",
            Self::Unproven(Doubt::Silent(_)) => "unproven",
            Self::Unproven(Doubt::Impostor(_)) => "impostor",
            Self::Reader { .. } => "reader",
            Self::Kept => "kept",
            Self::KeptOut => "kept_out",
            Self::UpsertOnly => "upsert_only",
            Self::AwaitsReplacement(_) => "awaits_replacement",
            Self::Forgetting { .. } => "forgetting",
            Self::FewAnswers { .. } => "few_answers",
            Self::AwaitsHealthy => "awaits_healthy",
            Self::NoRoom(_) => "no_room",
            Self::Rejected(_) => "rejected",
        }
    }

    /// How bad it is. There is no wildcard: a new reason does not compile until it is classed.
    pub fn class(&self) -> Class {
        match self {
            Self::Blind(Blind::NotYet) | Self::GroupUnseen(_) => Class::ToldElsewhere,
            Self::Blind(Blind::NoAddress(_) | Blind::NoQuorum | Blind::Outdated(_)) => Class::Unresolved,
            Self::NoQuorum | Self::Disputed { lasts: true, .. } | Self::Vouched(_) => Class::Doubtful,
            Self::Disputed { lasts: false, .. } => Class::Waiting,
            Self::Blind(Blind::AllRefused(_)) | Self::Refused(_) | Self::NoRoom(_) | Self::Rejected(_) => {
                Class::Refused
            }
            Self::Unproven(Doubt::Impostor(_)) => Class::Refused,
            Self::Unproven(Doubt::Silent(_)) => Class::Unproven,
            Self::Unproven(Doubt::NotYet) => Class::Unprobed,
            Self::Reader { .. } => Class::Overtaken,
            Self::KeptOut => Class::Contradiction,
            Self::Kept | Self::UpsertOnly => Class::Wanted,
            Self::AwaitsReplacement(_) | Self::Forgetting { .. } | Self::FewAnswers { .. } | Self::AwaitsHealthy => {
                Class::Waiting
            }
        }
    }

    /// Whether it concerns a registered target because the current answer does not name it.
    fn is_about_unnamed(&self) -> bool {
        matches!(self.class(), Class::Waiting | Class::Wanted | Class::Doubtful)
    }
}

/// How bad the reason of a hold is. Log, exit codes, metrics and notifications all go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Says nothing that is not told anyway: a failed call is told by itself, and who has not looked yet soon will have.
    ToldElsewhere,
    /// Nothing is known of a name.
    Unresolved,
    /// Name servers differ, or one of them has not been heard since it named what the others do not.
    Doubtful,
    /// An address that DNS names is kept out: by a guard, by ELB, or because something else answers there.
    Refused,
    /// An address that DNS names has been asked for the database and does not show it.
    Unproven,
    /// An address that DNS names is being asked for the first time.
    Unprobed,
    /// DNS names what was the writer until now.
    Overtaken,
    /// DNS and the settings want opposite things.
    Contradiction,
    /// It is as the settings want it.
    Wanted,
    /// A removal is put off until time or a replacement has come.
    Waiting,
}

impl Class {
    /// Whether somebody should look.
    pub fn is_trouble(self) -> bool {
        match self {
            Self::Unresolved | Self::Doubtful | Self::Refused | Self::Unproven | Self::Contradiction => true,
            Self::ToldElsewhere | Self::Unprobed | Self::Overtaken | Self::Wanted | Self::Waiting => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blind(Blind::NotYet) => f.write_str("has not been looked at yet, so nothing is removed"),
            Self::Blind(blind) => write!(f, "cannot be resolved, so nothing is removed: {blind}"),
            Self::GroupUnseen(why) => write!(f, "cannot be described, so nothing is changed: {why}"),
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::NoQuorum => f.write_str("is given by too few name servers to be trusted (quorum = \"majority\")"),
            Self::Disputed { words, .. } => {
                let words = said(words);
                write!(
                    f,
                    "is not the same to all name servers, so what any of them names stays: {words}"
                )
            }
            Self::Vouched(servers) => write!(
                f,
                "stays because it is what {} said last; nothing but a fresh answer without it proves that it has gone",
                list(servers)
            ),
            Self::Unproven(doubt) => write!(f, "is named but not registered: {doubt}"),
            Self::Reader { writer } => write!(
                f,
                "is named but not registered: it says that it is a reader, and {writer} shows that it is the writer"
            ),
            Self::Kept => f.write_str("is covered by keep and never touched"),
            Self::KeptOut => f.write_str("is named but not registered, and not touched because keep covers it"),
            Self::UpsertOnly => f.write_str("stays because of upsert_only"),
            Self::AwaitsReplacement(endpoint) => {
                write!(f, "stays until a current address of {endpoint} is seen registered")
            }
            Self::Forgetting { absent, forget } => {
                write!(
                    f,
                    "has not been named for {} of {} s",
                    absent.as_secs(),
                    forget.as_secs()
                )
            }
            Self::FewAnswers { seen, needed } => write!(f, "is missing from {seen} of {needed} answers"),
            Self::AwaitsHealthy => f.write_str("stays until a replacement is healthy or patience ends"),
            Self::NoRoom(why) => write!(f, "has no room, and nothing is removed to make some: {why}"),
            Self::Rejected(why) if is_of_invalid_target(why) => write!(
                f,
                "is refused by ELB: {why}: it is in no subnet of the target group's VPC and not private; if the database was \
                 moved to another VPC, make a target group and a load balancer in that one, because the VPC of a group never \
                 changes"
            ),
            Self::Rejected(why) => write!(f, "is refused by ELB: {why}"),
        }
    }
}

/// Whether ELB's code says that the address is none that the group can have.
fn is_of_invalid_target(code: &str) -> bool {
    code.starts_with("InvalidTarget")
}

/// What each name server said last, for people.
pub fn said(words: &BTreeMap<SocketAddr, BTreeSet<IpAddr>>) -> String {
    let said = words
        .iter()
        .map(|(server, word)| format!("{server} last said {}", list(word)));
    said.collect::<Vec<_>>().join(", ")
}

fn list<T: ToString>(items: &BTreeSet<T>) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(" and ")
}

/// What an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A registered target gets no traffic.
    Unused {
        /// The target.
        target: Target,
        /// ELB's reason code.
        reason: String,
        /// What that means here.
        because: Unused,
        /// Its zone.
        zone: Zone,
    },
    /// A registered target is in no subnet of the group's VPC, and its health checks fail.
    OutsideVpc(Target),
    /// A target is registered although it has not shown that the database is there, because that has taken too long.
    Unproven {
        /// The target.
        target: Target,
        /// Why it is not believed.
        doubt: Doubt,
        /// How long that was to be waited for.
        patience: Duration,
    },
    /// The name gives several addresses in turn, so no answer is the whole truth.
    Rotates {
        /// The endpoint.
        endpoint: Endpoint,
        /// What it has given lately.
        members: BTreeSet<IpAddr>,
    },
    /// A member shows that it is the writer, and DNS does not name it yet.
    Leads {
        /// The endpoint.
        endpoint: Endpoint,
        /// The member.
        writer: IpAddr,
        /// What DNS names instead; nothing while it cannot be asked.
        over: BTreeSet<IpAddr>,
    },
    /// Somebody else takes away again and again what DNS names.
    RemovedByOthers {
        /// The target that was taken away most often.
        target: Target,
        /// How often.
        times: u32,
        /// From the first time to the latest.
        lasts: Duration,
    },
    /// The name follows an instance, and would go on doing so after a failover inside a cluster.
    FollowsInstance(Endpoint),
    /// The target group is of a kind that does not serve a database.
    Unfit(Unfit),
}

impl Note {
    /// Whether somebody should look.
    pub fn is_trouble(&self) -> bool {
        matches!(
            self,
            Self::Unproven { .. } | Self::Rotates { .. } | Self::RemovedByOthers { .. } | Self::Unfit(_)
        )
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unused {
                target,
                reason,
                because,
                zone,
            } => {
                let zone = zone.as_deref().map(|zone| format!(" {zone}")).unwrap_or_default();
                let reason = match reason.as_str() {
                    "" => String::new(),
                    reason => format!(" ({reason})"),
                };
                write!(f, "{target} is registered but unused{reason}: ")?;
                match because {
                    Unused::ZoneNotEnabled => write!(
                        f,
                        "its zone{zone} is not enabled on the load balancer: enable its zone by adding a subnet of it to the \
                         load balancer, or move the database to a zone that has one"
                    ),
                    Unused::NotAttached => f.write_str("no listener leads to the group: attach it to one"),
                    Unused::Either => write!(
                        f,
                        "enable its zone{zone} on the load balancer and attach the group to a listener"
                    ),
                    Unused::OfTheBalancer => {
                        f.write_str("it is an address of the load balancer itself: find out why DNS names that")
                    }
                    Unused::Other => f.write_str("see the code in the ELB API reference, TargetHealth"),
                }
            }
            Self::OutsideVpc(target) => write!(
                f,
                "{target} is unhealthy and outside the VPC of the target group, which reaches it only where that VPC has a route \
                 to it: if the database was moved to another VPC, make a target group and a load balancer in that one, because \
                 the VPC of a group never changes"
            ),
            Self::Unproven {
                target,
                doubt,
                patience,
            } => write!(
                f,
                "{target} is to be registered although {doubt}; the {} s of probe_patience are over",
                patience.as_secs()
            ),
            Self::Rotates { endpoint, members } => write!(
                f,
                "{endpoint} gives {} in turn, so it is followed as a reader: none of them is removed for missing from an \
                 answer; say so with role = \"reader\", or point the name at one database",
                list(members)
            ),
            Self::Leads { endpoint, writer, over } if over.is_empty() => {
                write!(
                    f,
                    "{writer} shows that it is the writer of {endpoint}, which cannot be resolved"
                )
            }
            Self::Leads { endpoint, writer, over } => write!(
                f,
                "{writer} shows that it is the writer of {endpoint}, ahead of DNS, which still names {}",
                list(over)
            ),
            Self::RemovedByOthers { target, times, lasts } => write!(
                f,
                "{target} was removed by somebody else, {times} times in {} s, although DNS names it: CloudTrail has who calls \
                 DeregisterTargets; take the group away from AWS Load Balancer Controller, ACK, Terraform's attachments or \
                 another rds-tether that does not follow this endpoint, or give them a group of their own",
                lasts.as_secs()
            ),
            Self::Unfit(unfit) => write!(f, "{unfit}"),
            Self::FollowsInstance(endpoint) => write!(
                f,
                "{endpoint} follows one instance; if that is a member of an Aurora or Multi-AZ DB cluster, use the \
                 cluster endpoint, which follows the writer"
            ),
        }
    }
}

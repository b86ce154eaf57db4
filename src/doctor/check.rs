//! The vocabulary of a diagnosis: named checks, what came of each, and which of them are asked for.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::aws::elb;
use crate::exit::Exit;

/// The check that all others wait for.
pub const SETTINGS: &str = "settings";

/// Every check, with what it is about, in the order in which people read them.
pub const NAMES: &[(&str, &str)] = &[
    (SETTINGS, "flags, environment and file make settings"),
    ("discover.look", "target groups can be looked for by their tags"),
    ("discover.tags", "the tags of each say what can be followed"),
    (
        "dns.servers",
        "which name servers are asked, and whether a cache stands before them",
    ),
    ("dns.answer", "every name server gives an address"),
    ("dns.fresh", "no name server gives answers that have expired"),
    ("dns.agreement", "the name servers say the same"),
    ("dns.ttl", "an answer is as short-lived as RDS makes it"),
    (
        "dns.private",
        "the addresses may be targets: private, allowed, of the group's family",
    ),
    ("dns.single", "a writer has one address"),
    ("dns.endpoint", "the endpoint is of a kind that follows a failover"),
    ("aws.identity", "credentials are there and valid"),
    ("aws.clock", "this host's clock agrees with that of AWS"),
    ("permission.describe-groups", "DescribeTargetGroups is allowed"),
    ("permission.describe-health", "DescribeTargetHealth is allowed"),
    ("permission.inspect", "what only doctor calls is allowed"),
    ("permission.register", "RegisterTargets is allowed (--write-check)"),
    ("permission.deregister", "DeregisterTargets is allowed (--write-check)"),
    ("group.type", "the target group is there and takes addresses"),
    ("group.protocol", "its protocol passes PostgreSQL's TLS through"),
    ("group.port", "its port is the endpoint's"),
    (
        "group.vpc",
        "it is in the load balancer's VPC, and where its targets are",
    ),
    ("group.family", "the endpoint has addresses of its family"),
    ("group.targets", "it holds what DNS names and nothing else"),
    ("group.health", "the current targets are healthy"),
    ("group.termination", "deregistration ends old connections"),
    ("group.client-ip", "client addresses are not preserved"),
    (
        "group.proxy-protocol",
        "no PROXY protocol header is sent to the database",
    ),
    (
        "group.health-check",
        "health checks are fast, and of a kind that the database answers",
    ),
    ("balancer.attached", "an active Network Load Balancer uses the group"),
    ("balancer.listener", "a TCP listener gives the group new connections"),
    ("balancer.idle-timeout", "quiet connections are kept for long"),
    ("balancer.zones", "the targets' zones are enabled on the load balancer"),
    (
        "balancer.cross-zone",
        "no zone of the load balancer is without a target",
    ),
    ("balancer.private-link", "security groups let PrivateLink consumers in"),
    ("balancer.access", "the database lets the load balancer in"),
    ("balancer.alternative", "whether a VPC resource endpoint would do"),
    (
        "service.published",
        "whether an endpoint service (PrivateLink) publishes the load balancer",
    ),
    ("service.connections", "no consumer's endpoint waits to be accepted"),
    (
        "service.principals",
        "somebody may ask for a connection, and not all of AWS get one",
    ),
    (
        "service.zones",
        "the service is offered in every zone of the load balancer",
    ),
    (
        "service.private-dns",
        "its private DNS name, if it has one, is verified",
    ),
    (
        "service.regions",
        "it can be used in every region that it is offered in",
    ),
    ("proxy.listen", "the proxy's address and port can be listened on"),
    ("reach.tcp", "the current address accepts connections from here"),
    ("reach.postgres", "PostgreSQL answers there, and offers TLS"),
    (
        "reach.certificate",
        "its certificate is for the endpoint's name (--ca-bundle)",
    ),
    (
        "reach.connects",
        "connections without a log-in block nobody, and keep nothing awake",
    ),
    (
        "lead.members",
        "who is asked for the writer, a standby among them (lead)",
    ),
    ("lead.login", "each member lets the role in, over verified TLS"),
    ("lead.topology", "the database tells of its members, and may be asked"),
    (
        "lead.writer",
        "one member shows that it is the writer, and DNS names it",
    ),
    ("lead.cost", "there is room for a session, and the role may only log in"),
    ("database.connect", "the database accepts the user (--database)"),
    (
        "database.encryption",
        "the connection is encrypted, to the right server",
    ),
    ("database.version", "the version can be replicated from"),
    ("database.writer", "the server is the writer"),
    ("database.logical", "logical replication is on"),
    (
        "database.sender-timeout",
        "wal_sender_timeout frees slots, and ends no slow consumer",
    ),
    ("database.slots", "a replication slot is free"),
    ("database.senders", "a WAL sender is free"),
    ("database.replication-right", "the user may replicate"),
    ("database.publication", "the publication exists and has tables"),
    ("database.privileges", "the user may read the published tables"),
    (
        "database.identity",
        "every published table has a key or replica identity",
    ),
    ("database.held-wal", "no inactive slot holds WAL"),
    ("database.failover-slots", "consumers find their slots after a failover"),
];

/// All checks, each with what it is about, as help for the command line.
pub fn listing() -> String {
    let width = NAMES.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = NAMES.iter().map(|(name, about)| format!("\n  {name:<width$}  {about}"));
    format!("Checks:{}", lines.collect::<String>())
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well; what was found.
    Ok(String),
    /// It works, but not as well as it should: what was found, and the fix.
    Warning(String, String),
    /// It does not work: what was found, and the fix.
    Failure(Exit, String, String),
    /// It was not checked: why, and what to do to find out.
    Skipped(String, Option<String>),
    /// It could not be checked because another check failed: which, and the words for that.
    Blocked(&'static str, String),
}

/// A named check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// One of [`NAMES`].
    pub name: &'static str,
    /// Its result.
    pub outcome: Outcome,
}

impl Check {
    /// The outcome of the check of this name.
    pub fn new(name: &'static str, outcome: Outcome) -> Self {
        debug_assert!(NAMES.iter().any(|(known, _)| *known == name), "{name} is not in NAMES");
        Self { name, outcome }
    }
}

impl Outcome {
    /// All is well.
    pub fn ok(found: impl Into<String>) -> Self {
        Self::Ok(found.into())
    }

    /// It works, but.
    pub fn warning(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Warning(found.into(), fix.into())
    }

    /// It does not work.
    pub fn failure(exit: Exit, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Failure(exit, found.into(), fix.into())
    }

    /// It was not checked.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into(), None)
    }

    /// It was not checked; how to find out.
    pub fn untold(why: impl Into<String>, how: impl Into<String>) -> Self {
        Self::Skipped(why.into(), Some(how.into()))
    }

    /// It could not be checked because that check failed.
    pub fn blocked(by: &'static str) -> Self {
        Self::Blocked(by, format!("cannot be told before {by} is well"))
    }

    /// The result of a check whose own call failed.
    pub fn of_error(error: &elb::Error) -> Self {
        Self::failure(error.failure.kind.exit(), error.failure.to_string(), error.remedy())
    }

    /// The word for it.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Warning(..) => "warning",
            Self::Failure(..) => "failure",
            Self::Skipped(..) | Self::Blocked(..) => "skipped",
        }
    }

    /// The finding, for people.
    pub fn finding(&self) -> &str {
        match self {
            Self::Ok(found)
            | Self::Warning(found, _)
            | Self::Failure(_, found, _)
            | Self::Skipped(found, _)
            | Self::Blocked(_, found) => found,
        }
    }

    /// The way to mend it, or to find out.
    pub fn fix(&self) -> Option<&str> {
        match self {
            Self::Ok(_) | Self::Blocked(..) => None,
            Self::Warning(_, fix) | Self::Failure(_, _, fix) => Some(fix),
            Self::Skipped(_, how) => how.as_deref(),
        }
    }

    /// The exit code that it stands for: only a failure has one of its own.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Failure(exit, ..) => *exit,
            _ => Exit::Settled,
        }
    }
}

/// Checks that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The name server, identity, endpoint, group or proxy that they are about.
    pub title: String,
    /// The checks, in order.
    pub checks: Vec<Check>,
}

/// One name of a check or of a group of them: `dns`, `dns.*` and `dns.ttl` all name dns.ttl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    fn covers(&self, name: &str) -> bool {
        name == self.0 || group(name) == self.0
    }
}

/// The part of a name before its dot.
fn group(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pattern = Self(text.trim().trim_end_matches(".*").to_owned());
        if NAMES.iter().any(|(name, _)| pattern.covers(name)) {
            return Ok(pattern);
        }
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        Err(format!(
            "{text:?} is the name of no check; there are {}; a part before a dot, such as dns, stands for its whole group",
            names.join(", ")
        ))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which checks are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// These; empty: all.
    pub only: Vec<Pattern>,
    /// But not these.
    pub skip: Vec<Pattern>,
}

impl Selection {
    /// Whether the check is asked for.
    pub fn has(&self, name: &str) -> bool {
        let is_in = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.covers(name));
        (self.only.is_empty() || is_in(&self.only)) && !is_in(&self.skip)
    }

    /// Whether any check of one of these groups is asked for.
    pub fn has_any(&self, groups: &[&str]) -> bool {
        NAMES
            .iter()
            .any(|(name, _)| groups.contains(&group(name)) && self.has(name))
    }
}

/// The checks asked for, and the failures that kept some of them from being made: without those nobody would know. Settings that
/// are none keep everything from being checked, and are told whatever is left out.
pub fn selected(sections: Vec<Section>, selection: &Selection) -> Vec<Section> {
    let checks = sections.iter().flat_map(|section| &section.checks);
    let blockers: BTreeSet<&str> = checks
        .filter(|check| selection.has(check.name))
        .filter_map(|check| match &check.outcome {
            Outcome::Blocked(by, _) => Some(*by),
            _ => None,
        })
        .collect();
    let refused = |name: &str| selection.skip.iter().any(|pattern| pattern.covers(name));
    let is_wanted = |check: &Check| {
        let blocks = check.name == SETTINGS || (blockers.contains(check.name) && !refused(check.name));
        selection.has(check.name) || (blocks && matches!(check.outcome, Outcome::Failure(..)))
    };
    let sections = sections.into_iter().map(|mut section| {
        section.checks.retain(is_wanted);
        section
    });
    sections.filter(|section| !section.checks.is_empty()).collect()
}

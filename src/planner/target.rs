//! The members of a target group, as ELB lists them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::wrong::{Wrong, one_of};

/// The IP address type of a target group, which never changes: an IPv4 group takes A records, an IPv6 group AAAA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// `ipv4`
    Ipv4,
    /// `ipv6`
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

impl FromStr for Family {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        one_of(text, "address family", &[("ipv4", Self::Ipv4), ("ipv6", Self::Ipv6)])
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        })
    }
}

/// What identifies a target: the address and the port. ELB compares nothing else, and a deregistration with another
/// port succeeds without any effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The target's Id in a group of type `ip`.
    pub ip: IpAddr,
    /// The target's Port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A target's AvailabilityZone, echoed exactly as it was observed: a name, `all`, or nothing.
pub type Zone = Option<String>;
/// The zone of a target outside the VPC of its group.
pub const ZONE_ALL: &str = "all";

/// A target as DescribeTargetHealth shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The zone, to be echoed in every write about this target.
    pub zone: Zone,
    /// Its state.
    pub state: State,
    /// ELB's reason code for the state, for example `Target.FailedHealthChecks`.
    pub reason: Option<String>,
    /// ELB's words for it: what one code means in several cases, they tell apart.
    pub description: Option<String>,
}

/// Why a registered target gets no traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// The load balancer is not in its zone.
    ZoneNotEnabled,
    /// No listener leads to the group.
    NotAttached,
    /// One of the two: the code is the same, and nothing tells them apart.
    Either,
    /// The address is one of the load balancer's own.
    OfTheBalancer,
    /// A code for something else.
    Other,
}

/// What ELB says of a target in a zone that the load balancer has not, and of one whose group no listener leads to.
const IN_ANOTHER_ZONE: &str = "Availability Zone";
const NO_LISTENER: &str = "not configured to receive traffic";

impl Unused {
    /// Reads it off what is listed of an unused target; `is_attached` tells whether another target of the group gets traffic.
    pub fn of(listed: &Listed, is_attached: bool) -> Self {
        let says = |words| listed.description.as_ref().is_some_and(|text| text.contains(words));
        match listed.reason.as_deref() {
            Some("Target.IpUnusable") => Self::OfTheBalancer,
            Some("Target.NotInUse") if is_attached || says(IN_ANOTHER_ZONE) => Self::ZoneNotEnabled,
            Some("Target.NotInUse") if says(NO_LISTENER) => Self::NotAttached,
            Some("Target.NotInUse") | None => Self::Either,
            Some(_) => Self::Other,
        }
    }
}

/// The states of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Registered, first health checks under way.
    Initial,
    /// Registered and healthy.
    Healthy,
    /// Registered and unhealthy; an NLB whose targets are all unhealthy fails open.
    Unhealthy,
    /// Registered and unhealthy, in its grace period: not a deregistration.
    UnhealthyDraining,
    /// Registered, but it gets no traffic: its zone is not enabled or no load balancer uses the group.
    Unused,
    /// `unused` with the reason Target.NotRegistered: not in the group.
    NotRegistered,
    /// Deregistered: listed until the deregistration delay ends.
    Draining,
    /// Registered, health unknown.
    Unavailable,
    /// A state that this version does not know: taken as registered and not as healthy.
    Other(String),
}

impl State {
    /// Reads ELB's state and reason code.
    pub fn parse(state: &str, reason: Option<&str>) -> Self {
        match state {
            "initial" => Self::Initial,
            "healthy" => Self::Healthy,
            "unhealthy" => Self::Unhealthy,
            "unhealthy.draining" => Self::UnhealthyDraining,
            "unused" if reason == Some("Target.NotRegistered") => Self::NotRegistered,
            "unused" => Self::Unused,
            "draining" => Self::Draining,
            "unavailable" => Self::Unavailable,
            other => Self::Other(other.to_owned()),
        }
    }

    /// ELB's words for the states that it is known to have.
    pub const WORDS: [&str; 7] = [
        "initial",
        "healthy",
        "unhealthy",
        "unhealthy.draining",
        "unused",
        "draining",
        "unavailable",
    ];

    /// ELB's word for the state.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::UnhealthyDraining => "unhealthy.draining",
            Self::Unused | Self::NotRegistered => "unused",
            Self::Draining => "draining",
            Self::Unavailable => "unavailable",
            Self::Other(state) => state,
        }
    }

    /// Whether the target is a member of the group; a draining one is not.
    pub fn is_registered(&self) -> bool {
        !matches!(self, Self::Draining | Self::NotRegistered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_draining_and_not_registered_are_outside_the_group() {
        for (state, reason, registered) in [
            ("initial", Some("Elb.RegistrationInProgress"), true),
            ("healthy", None, true),
            ("unhealthy", Some("Target.FailedHealthChecks"), true),
            ("unhealthy.draining", None, true),
            ("unused", Some("Target.NotInUse"), true),
            ("unused", Some("Target.NotRegistered"), false),
            ("draining", Some("Target.DeregistrationInProgress"), false),
            ("unavailable", None, true),
            ("brand-new", None, true),
        ] {
            let parsed = State::parse(state, reason);
            assert_eq!(
                (parsed.is_registered(), parsed.as_str()),
                (registered, state),
                "{state} {reason:?}"
            );
        }
    }
}

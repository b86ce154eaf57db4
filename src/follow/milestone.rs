//! The points that a change reaches, from the first sight of a new address to convergence.

use std::fmt;
use std::time::Duration;

use crate::planner::target::Target;
use crate::text::took;

/// A point that a change has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// DNS names an address that is not registered.
    Named(Target),
    /// A member shows that it is the writer, which DNS does not name yet, and is not registered.
    Ahead(Target),
    /// DNS no longer names a registered target.
    Unnamed(Target),
    /// Somebody else deregistered the target although DNS names it.
    RemovedByOthers(Target),
    /// ELB accepted the registration, that long after the address was first seen named.
    Registered(Target, Duration),
    /// The target is healthy, that long after the address was first seen named.
    Healthy(Target, Duration),
    /// ELB accepted the deregistration, that long after the target was first seen unnamed, where that was seen.
    Deregistered(Target, Option<Duration>),
    /// The group equals DNS again, that long after the change began.
    Converged(Duration),
}

impl fmt::Display for Milestone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(target) => write!(f, "DNS names {target}, which is not registered"),
            Self::Ahead(target) => write!(
                f,
                "{target} shows that it is the writer, ahead of DNS, and is not registered"
            ),
            Self::Unnamed(target) => write!(f, "DNS no longer names {target}"),
            Self::RemovedByOthers(target) => {
                write!(f, "{target} was removed by somebody else, although DNS names it")
            }
            Self::Registered(target, after) => write!(f, "registered {target} after {}", took(*after)),
            Self::Healthy(target, after) => write!(f, "{target} is healthy after {}", took(*after)),
            Self::Deregistered(target, Some(after)) => write!(f, "deregistered {target} after {}", took(*after)),
            Self::Deregistered(target, None) => write!(f, "deregistered {target}"),
            Self::Converged(after) => write!(f, "converged after {}", took(*after)),
        }
    }
}

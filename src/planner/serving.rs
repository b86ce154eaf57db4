//! Whether anything takes connections. To be registered is one thing, to serve another: a group may equal DNS while every target
//! that counts is unhealthy, or while no load balancer sends anybody there.
//!
//! ```text
//! the registered targets that DNS names, or all of a reader or where none of those is known   so
//! one is healthy                                                                             it serves
//! one is initial or unavailable (its health is not known yet, or not checked at all)         nobody knows
//! all are unhealthy, or some are and the others unused                                       nothing serves: Unhealthy
//! all are unused                                                                             nothing serves: Unused
//! there are none, or the group could not be listed                                           nobody knows
//! ```
//!
//! An empty group is a change that is pending, or held for a reason of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::target::{Listed, State, Target};

/// Whether anything takes connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Serving {
    /// What was seen does not tell.
    #[default]
    Unknown,
    /// A target that counts is healthy.
    Some,
    /// No target that counts takes connections.
    Nothing(Nothing),
}

/// The targets that ought to take connections, and do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nothing {
    /// What keeps clients from them.
    pub because: Because,
    /// Each with what ELB lists of it.
    pub targets: BTreeMap<Target, Listed>,
}

/// Why nothing takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// Health checks fail.
    Unhealthy,
    /// The load balancer sends nobody there: no listener leads to the group, or the target's zone is not enabled.
    Unused,
}

impl Because {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Unhealthy, Self::Unused];

    /// A name that never changes, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unhealthy => "unhealthy",
            Self::Unused => "unused",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Unhealthy => {
                "see that the database runs, that its security group lets the load balancer in, and that the health check fits \
                 (rds-tether doctor)"
            }
            Self::Unused => "let a listener lead to the group, and enable the target's zone on the load balancer",
        }
    }
}

impl Serving {
    /// Reads it off a group; `counts` are the targets that DNS names, if all of them are known and they are the whole truth.
    pub(super) fn of(group: &BTreeMap<Target, Listed>, counts: Option<&BTreeSet<Target>>) -> Self {
        let registered = || group.iter().filter(|(_, listed)| listed.state.is_registered());
        let is_named = |target: &Target| counts.is_some_and(|counts| counts.contains(target));
        let has_named = registered().any(|(target, _)| is_named(target));
        let counting = || registered().filter(|(target, _)| !has_named || is_named(target));
        let mut found = Vec::new();
        for (_, listed) in counting() {
            found.push(match listed.state {
                State::Healthy => return Self::Some,
                State::Unhealthy | State::UnhealthyDraining => Some(Because::Unhealthy),
                State::Unused => Some(Because::Unused),
                State::Initial | State::Unavailable | State::Other(_) | State::Draining | State::NotRegistered => None,
            });
        }
        // A target that is checked in vain says more than one that nobody is sent to.
        let all: Option<Vec<Because>> = found.into_iter().collect();
        let Some(because) = all.and_then(|all| all.into_iter().min()) else {
            return Self::Unknown;
        };
        let targets = counting().map(|(target, listed)| (*target, listed.clone())).collect();
        Self::Nothing(Nothing { because, targets })
    }

    /// What does not take connections although it ought to, if nothing does.
    pub fn nothing(&self) -> Option<&Nothing> {
        match self {
            Self::Nothing(nothing) => Some(nothing),
            Self::Unknown | Self::Some => None,
        }
    }
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing serves: ")?;
        for (i, (target, listed)) in self.targets.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{target} is {}", listed.state.as_str())?;
            if let Some(reason) = &listed.reason {
                write!(f, " ({reason})")?;
            }
        }
        Ok(())
    }
}

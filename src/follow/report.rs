//! What a step saw and did. Log lines, exit codes and output are all derived from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aws::elb::{self, Group, Written};
use crate::aws::failure::Kind;
use crate::dns::watch::Sight;
use crate::follow::reconcile::Binding;
use crate::planner::answer::Blind;
use crate::planner::candidate::Doubt;
use crate::planner::endpoint::Endpoint;
use crate::planner::plan::{Held, Hold, Plan, Reason};
use crate::planner::target::{Listed, Target};
use crate::planner::time::Timestamp;

/// One step of one binding.
#[derive(Clone, Debug)]
pub struct Report {
    /// The binding.
    pub binding: Arc<Binding>,
    /// What is known of its target group.
    pub group: Option<Group>,
    /// When the step began.
    pub started: Timestamp,
    /// The time that was decided at.
    pub at: Timestamp,
    /// When it ended, its writes included.
    pub ended: Timestamp,
    /// What DNS said.
    pub sights: BTreeMap<Endpoint, Arc<Sight>>,
    /// The targets as they were before the step changed anything.
    pub targets: Result<BTreeMap<Target, Listed>, elb::Error>,
    /// When that was seen: a step for which DNS alone was looked at takes the group as it was last seen.
    pub listed: Option<Timestamp>,
    /// What was decided.
    pub plan: Plan,
    /// Whether the plan was carried out.
    pub applied: bool,
    /// What became of the registrations.
    pub registered: Written,
    /// What became of the deregistrations.
    pub deregistered: Written,
}

/// Exit codes: 0, 1, 2 and 4 as documented, the others as in sysexits.h where that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Settled.
    Settled = 0,
    /// Something unexpected.
    Unexpected = 1,
    /// Changes are pending.
    Pending = 2,
    /// Refused by a guard or by ELB.
    Refused = 3,
    /// Still waiting when the time was over.
    Waiting = 4,
    /// Wrong use of the command line.
    Usage = 64,
    /// DNS or AWS could not be reached, or failed.
    Unavailable = 69,
    /// Denied, or no credentials.
    Denied = 77,
    /// Bad settings, or no such target group.
    Settings = 78,
}

impl Exit {
    /// Which of several outcomes speaks for all, most severe first.
    const SEVERITY: [Self; 9] = [
        Self::Usage,
        Self::Settings,
        Self::Denied,
        Self::Refused,
        Self::Unavailable,
        Self::Unexpected,
        Self::Waiting,
        Self::Pending,
        Self::Settled,
    ];

    /// The most severe of several outcomes.
    pub fn worst(exits: impl IntoIterator<Item = Self>) -> Self {
        let exits: Vec<Self> = exits.into_iter().collect();
        let worst = Self::SEVERITY.into_iter().find(|exit| exits.contains(exit));
        worst.unwrap_or(Self::Settled)
    }

    /// What a failed call means.
    pub fn of(error: &elb::Error) -> Self {
        match error.failure.kind {
            Kind::NotFound | Kind::NotIp => Self::Settings,
            Kind::Denied | Kind::Credentials | Kind::AssumeRole => Self::Denied,
            Kind::Address | Kind::Limit => Self::Refused,
            Kind::Throttled | Kind::Unavailable => Self::Unavailable,
            Kind::Other => Self::Unexpected,
        }
    }
}

impl Report {
    /// Calls of this step that failed.
    pub fn errors(&self) -> impl Iterator<Item = &elb::Error> {
        let writes = self.registered.failed.iter().chain(&self.deregistered.failed);
        self.targets
            .as_ref()
            .err()
            .into_iter()
            .chain(writes.map(|(_, error)| error))
    }

    /// Everything deliberately left alone, what ELB refused included.
    pub fn holds(&self) -> Vec<Hold> {
        let mut holds = self.plan.holds.clone();
        for (targets, error) in &self.registered.failed {
            let reason = |error: &elb::Error| match error.failure.kind {
                Kind::Limit => Some(Reason::NoRoom(error.failure.code.clone())),
                Kind::Address => Some(Reason::Rejected(error.failure.code.clone())),
                _ => None,
            };
            holds.extend(targets.iter().filter_map(|target| {
                Some(Hold {
                    what: Held::Target(*target),
                    reason: reason(error)?,
                    until: None,
                })
            }));
        }
        holds
    }

    /// The holds that say something the errors of the step do not.
    pub fn telling_holds(&self) -> Vec<Hold> {
        let mut holds = self.holds();
        holds.retain(|hold| !hold.reason.is_told_by_an_error());
        holds
    }

    /// Whether the group equals DNS.
    pub fn is_settled(&self) -> bool {
        self.plan.settled
    }

    /// The trouble of this step as an exit code, if there is any.
    pub fn trouble(&self) -> Option<Exit> {
        let refused = |reason: &Reason| matches!(reason, Reason::Refused(_) | Reason::Blind(Blind::AllRefused(_)));
        let of_hold = |hold: &Hold| match &hold.reason {
            reason if refused(reason) => Some(Exit::Refused),
            Reason::Unproven(Doubt::Silent(_) | Doubt::Impostor(_)) => Some(Exit::Refused),
            Reason::Blind(Blind::NotYet) => None,
            Reason::Blind(_) => Some(Exit::Unavailable),
            _ => None,
        };
        let holds = self.plan.holds.iter().filter_map(of_hold);
        let all: Vec<Exit> = self.errors().map(Exit::of).chain(holds).collect();
        (!all.is_empty()).then(|| Exit::worst(all))
    }

    /// The exit code of a dry run.
    pub fn plan_exit(&self) -> Exit {
        self.trouble().unwrap_or(if self.plan.is_pending() {
            Exit::Pending
        } else {
            Exit::Settled
        })
    }

    /// The exit code of a sync that ends with this step.
    pub fn sync_exit(&self) -> Exit {
        self.trouble().unwrap_or(if self.is_settled() {
            Exit::Settled
        } else {
            Exit::Waiting
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_severe_outcome_speaks_for_all() {
        use Exit::*;
        for (exits, worst) in [
            (vec![], Settled),
            (vec![Settled, Pending], Pending),
            (vec![Pending, Waiting], Waiting),
            (vec![Waiting, Unexpected], Unexpected),
            (vec![Unexpected, Unavailable, Settled], Unavailable),
            (vec![Unavailable, Refused], Refused),
            (vec![Refused, Denied], Denied),
            (vec![Denied, Settings, Settled], Settings),
        ] {
            assert_eq!(Exit::worst(exits.clone()), worst, "{exits:?}");
        }
    }
}

//! What a step saw and did. Log lines, exit codes and output are all derived from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aws::elb::{self, Group, Write, Written};
use crate::aws::failure::Kind;
use crate::dns::watch::Sight;
use crate::exit::Exit;
use crate::follow::binding::Binding;
use crate::follow::milestone::Milestone;
use crate::lead::standing::Standing;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::lead::Shown;
use crate::planner::plan::{Class, Held, Hold, Plan, Reason};
use crate::planner::target::{Listed, Target};
use crate::planner::time::Timestamp;
use crate::text;

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
    /// What the members of the endpoints' databases showed, where they are asked.
    pub members: BTreeMap<Endpoint, Arc<Shown>>,
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
    /// Points of a change that were reached with it.
    pub reached: Vec<Milestone>,
    /// What set the time that was over after it, before all was settled.
    pub late: Option<&'static str>,
}

impl Report {
    /// What the members of the endpoints' databases say, where they are asked.
    pub fn standings(&self) -> impl Iterator<Item = Standing> + '_ {
        let asked = self
            .binding
            .lead
            .iter()
            .flat_map(|lead| self.members.iter().map(move |asked| (lead, asked)));
        asked.map(|(lead, (endpoint, shown))| {
            let sight = self.sights.get(endpoint);
            let answers = sight.iter().flat_map(|sight| &sight.seen);
            let named = answers
                .flat_map(|answer| answer.resolution.addresses())
                .copied()
                .collect();
            Standing::of(endpoint, &named, shown, lead.patience, self.at)
        })
    }

    /// Calls of this step that failed.
    pub fn errors(&self) -> impl Iterator<Item = &elb::Error> {
        let writes = self.registered.failed.iter().chain(&self.deregistered.failed);
        self.targets
            .as_ref()
            .err()
            .into_iter()
            .chain(writes.map(|(_, error)| error))
    }

    /// Whether ELB has accepted a change.
    pub fn has_written(&self) -> bool {
        !self.registered.done.is_empty() || !self.deregistered.done.is_empty()
    }

    /// Whether ELB may have made a change that it has not told of.
    pub fn may_have_written(&self) -> bool {
        let writes = [Write::Register, Write::Deregister].map(Write::action);
        self.errors()
            .any(|error| writes.contains(&error.failure.action) && error.failure.may_be_done())
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
        holds.retain(|hold| hold.reason.class() != Class::ToldElsewhere);
        holds
    }

    /// Why the group does not equal DNS, for people: what failed, and what is held.
    pub fn causes(&self) -> Vec<String> {
        let holds = self.telling_holds();
        let holds = holds.iter().map(|hold| text::hold(hold, self.at));
        self.errors().map(ToString::to_string).chain(holds).collect()
    }

    /// Whether the group equals DNS.
    pub fn is_settled(&self) -> bool {
        self.plan.settled
    }

    /// The trouble of this step as an exit code, if there is any.
    pub fn trouble(&self) -> Option<Exit> {
        let holds = self
            .plan
            .holds
            .iter()
            .filter_map(|hold| Exit::of_hold(hold.reason.class()));
        let all: Vec<Exit> = self
            .errors()
            .map(|error| error.failure.kind.exit())
            .chain(holds)
            .chain(self.plan.notes.iter().filter_map(Exit::of_note))
            .collect();
        (!all.is_empty()).then(|| Exit::worst(all))
    }

    /// Whether one look shows nothing to change: the group equals DNS, or lacks no more than one answer of a reader endpoint may.
    pub fn is_at_rest(&self) -> bool {
        let is_sample = || self.plan.role == Role::Reader && self.plan.differences().next().is_none();
        self.is_settled() || (!self.plan.is_pending() && is_sample())
    }

    /// The exit code of a dry run.
    pub fn plan_exit(&self) -> Exit {
        self.trouble().unwrap_or(if self.is_at_rest() {
            Exit::Settled
        } else {
            Exit::Pending
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

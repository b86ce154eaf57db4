//! What is followed.

use std::collections::BTreeSet;

use crate::aws::AssumeRole;
use crate::aws::arn::Arn;
use crate::aws::elb::ClientKey;
use crate::lead::Lead;
use crate::lead::crew::Quest;
use crate::planner::endpoint::Endpoint;
use crate::planner::policy::Policy;
use crate::planner::target::Family;
use crate::probe::Trust;

/// A target group and the endpoints it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The target group.
    pub arn: Arn,
    /// The endpoints.
    pub endpoints: BTreeSet<Endpoint>,
    /// The rules.
    pub policy: Policy,
    /// Look and decide, but change nothing.
    pub observe: bool,
    /// The role to assume for calls about this group.
    pub assume_role: Option<AssumeRole>,
    /// The CAs that sign the certificates of the databases; there are some where the policy's probe is `tls`.
    pub trust: Option<Trust>,
    /// How the members of the endpoints' databases are asked who the writer is, if they are.
    pub lead: Option<Lead>,
}

impl Binding {
    /// Whom to ask about an endpoint, if anybody.
    pub fn quest(&self, endpoint: &Endpoint, family: Family) -> Option<Quest> {
        Some(Quest {
            endpoint: endpoint.clone(),
            family,
            lead: self.lead.clone()?,
            allow_cidrs: self.policy.allow_cidrs.clone(),
        })
    }

    /// Which client makes the calls about the group.
    pub fn client_key(&self) -> ClientKey {
        ClientKey {
            account: self.arn.account().to_owned(),
            region: self.arn.region().to_owned(),
            role: self.assume_role.clone(),
        }
    }
}

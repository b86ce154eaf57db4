//! The seam between a follower and AWS, so that its stories can be told in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aws::arn::Arn;
use crate::aws::bucket::{Bucket, Turn};
use crate::aws::elb::{Client, Error, Group, Written};
use crate::planner::target::{Listed, Target, Zone};

/// The target groups of one region, as one identity reaches them.
pub trait TargetGroups: Clone + Send + Sync + 'static {
    /// The budget of calls that is shared with others.
    fn bucket(&self) -> &Arc<Bucket>;

    /// Describes groups with one call, which fails as a whole if one of them does not exist.
    fn groups(
        &self,
        arns: &[Arn],
        turn: Turn,
    ) -> impl Future<Output = Result<BTreeMap<Arn, Result<Group, Error>>, Error>> + Send;

    /// Lists the targets of a group, draining ones included.
    fn targets(
        &self,
        group: &Group,
        turn: Turn,
    ) -> impl Future<Output = Result<BTreeMap<Target, Listed>, Error>> + Send;

    /// Registers targets, each with the zone to echo. Waits for its own turn.
    fn register(&self, arn: &Arn, targets: &BTreeMap<Target, Zone>) -> impl Future<Output = Written> + Send;

    /// Deregisters targets. The caller waits for the turn, to make sure afterwards that its reasons still hold.
    fn deregister(
        &self,
        arn: &Arn,
        targets: &BTreeMap<Target, Zone>,
        turn: Turn,
    ) -> impl Future<Output = Written> + Send;
}

impl TargetGroups for Client {
    fn bucket(&self) -> &Arc<Bucket> {
        Client::bucket(self)
    }

    async fn groups(&self, arns: &[Arn], turn: Turn) -> Result<BTreeMap<Arn, Result<Group, Error>>, Error> {
        Client::groups(self, arns, turn).await
    }

    async fn targets(&self, group: &Group, turn: Turn) -> Result<BTreeMap<Target, Listed>, Error> {
        Client::targets(self, group, turn).await
    }

    async fn register(&self, arn: &Arn, targets: &BTreeMap<Target, Zone>) -> Written {
        Client::register(self, arn, targets).await
    }

    async fn deregister(&self, arn: &Arn, targets: &BTreeMap<Target, Zone>, turn: Turn) -> Written {
        Client::deregister(self, arn, targets, turn).await
    }
}

//! Target groups that no ARN names: one by its name, or all of a region.

use aws_sdk_elasticloadbalancingv2 as sdk;
use sdk::operation::describe_target_groups::DescribeTargetGroupsOutput;

use super::inspect::read_detail;
use super::{Client, Detail};
use crate::aws::arn::Arn;
use crate::aws::bucket::Urgency;
use crate::aws::failure::{Failure, Kind};

const ACTION: &str = "DescribeTargetGroups";
/// Groups of a page, the most that ELB gives.
const PAGE_GROUPS: i32 = 400;
/// Pages of the list of all groups: an account may have 3000 in a region unless it asks for more.
pub const PAGES_MAX: usize = 25;

impl Client {
    /// The target group of a name; several, or none, would be a surprise.
    pub async fn named(&self, name: &str) -> Result<Vec<Detail>, Failure> {
        let turn = self.turn(Urgency::Settle).await;
        let request = self.sdk.describe_target_groups().names(name);
        let output = self.call_for_any(ACTION, turn, request.send()).await;
        match output {
            Ok(output) => Ok(details(&output)),
            Err(failure) if failure.kind == Kind::NotFound => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
    }

    /// All target groups of the region, whatever their type; and whether there are more than are read.
    pub async fn all_groups(&self, urgency: Urgency) -> Result<(Vec<Detail>, bool), Failure> {
        let (mut all, mut marker) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let turn = self.turn(urgency).await;
            let request = self.sdk.describe_target_groups().page_size(PAGE_GROUPS);
            let request = request.set_marker(marker.take());
            let output = self.call_for_any(ACTION, turn, request.send()).await?;
            all.extend(details(&output));
            marker = output
                .next_marker()
                .filter(|marker| !marker.is_empty())
                .map(str::to_owned);
            if marker.is_none() {
                return Ok((all, false));
            }
        }
        Ok((all, true))
    }
}

/// Those whose ARNs can be read.
fn details(output: &DescribeTargetGroupsOutput) -> Vec<Detail> {
    let read = |group: &sdk::types::TargetGroup| {
        let arn: Arn = group.target_group_arn()?.parse().ok()?;
        Some(read_detail(&arn, group))
    };
    output.target_groups().iter().filter_map(read).collect()
}

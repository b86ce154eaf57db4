//! One look for target groups and their tags.

use std::collections::{BTreeMap, VecDeque};

use crate::aws::arn::Arn;
use crate::aws::bucket::Urgency;
use crate::aws::elb::{Client, ClientKey, DESCRIBED_MAX};
use crate::aws::failure::{Failure, Kind};
use crate::settings::Discover;
use crate::settings::discover::Tags;

/// All target groups of type ip in a region of an account, with their tags.
pub type Swept = BTreeMap<Arn, Tags>;

/// Lists all target groups, and asks for their tags: for 1,000 of them 53 calls.
///
/// # Errors
/// The first call that failed: then nothing is known.
pub async fn sweep(client: &Client) -> Result<Swept, Failure> {
    let (all, has_more) = client.all_groups(Urgency::Look).await?;
    if has_more {
        let message = format!("there are more than {} target groups", all.len());
        return Err(Failure::here("DescribeTargetGroups", Kind::Limit, "TooMany", message));
    }
    let of_ip = all.into_iter().filter(|detail| detail.target_type == "ip");
    let groups: Vec<Arn> = of_ip.map(|detail| detail.group.arn).collect();
    let mut swept = Swept::new();
    let mut parts: VecDeque<Vec<Arn>> = groups.chunks(DESCRIBED_MAX).map(<[Arn]>::to_vec).collect();
    while let Some(mut part) = parts.pop_front() {
        match client.list_tags(&part).await {
            Ok(tags) => swept.extend(tags),
            // One has gone since they were listed: the others are asked for without it.
            Err(error) if error.failure.kind == Kind::NotFound => {
                if part.len() > 1 {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([part, rest]);
                }
            }
            Err(error) => return Err(error.failure),
        }
    }
    Ok(swept)
}

impl Discover {
    /// Which client looks for them: that of the account, where it is known.
    pub fn client_key(&self, account: Option<&str>) -> ClientKey {
        let of_role = self.assume_role.as_ref().map(|role| role.arn.account());
        ClientKey {
            account: account.or(of_role).unwrap_or_default().to_owned(),
            region: self.region.clone(),
            role: self.assume_role.clone(),
        }
    }
}

//! One look for target groups and their tags.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::aws::arn::Arn;
use crate::aws::bucket::Urgency;
use crate::aws::elb::{Client, ClientKey, DESCRIBED_MAX};
use crate::aws::failure::{Failure, Kind};
use crate::settings::Discover;
use crate::settings::discover::Tags;

/// All target groups of type ip in a region of an account, with their tags; none where ELB did not tell them.
pub type Swept = BTreeMap<Arn, Option<Tags>>;

/// Known groups that a listing lacks and that one look asks for. Each takes a call, and when a whole stack is deleted, all of them together
/// would take longer than a look may last.
const MISSING_MAX: usize = 20;

/// Lists all target groups, and asks for their tags: for 1,000 of them 53 calls. Those that are `known` and not listed are asked for, too, some
/// at each look, and are not told of until then: only AWS saying that one does not exist makes it one that is gone.
///
/// # Errors
/// The first call that failed: then nothing is known.
pub async fn sweep(client: &Client, known: BTreeSet<Arn>) -> Result<Swept, Failure> {
    let (all, has_more) = client.all_groups(Urgency::Look).await?;
    if has_more {
        let message = format!("there are more than {} target groups", all.len());
        return Err(Failure::here("DescribeTargetGroups", Kind::Limit, "TooMany", message));
    }
    let of_ip = all.into_iter().filter(|detail| detail.target_type == "ip");
    let groups: BTreeSet<Arn> = of_ip.map(|detail| detail.group.arn).collect();
    let mut missing = known.difference(&groups).cloned();
    let asked: Vec<Vec<Arn>> = missing.by_ref().take(MISSING_MAX).map(|arn| vec![arn]).collect();
    let mut swept: Swept = missing.map(|arn| (arn, None)).collect();
    let groups: Vec<Arn> = groups.into_iter().collect();
    let parts = groups.chunks(DESCRIBED_MAX).map(<[Arn]>::to_vec);
    let mut parts: VecDeque<Vec<Arn>> = parts.chain(asked).collect();
    while let Some(mut part) = parts.pop_front() {
        match client.list_tags(&part).await {
            Ok(mut tags) => swept.extend(part.into_iter().map(|arn| {
                let tags = tags.remove(&arn);
                (arn, tags)
            })),
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
        ClientKey {
            account: account.or(self.account()).unwrap_or_default().to_owned(),
            region: self.region.clone(),
            role: self.assume_role.clone(),
        }
    }
}

//! One look for target groups and their tags.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;

use crate::aws::arn::Arn;
use crate::aws::elb::{Client, ClientKey, DESCRIBED_MAX, Error};
use crate::aws::failure::{Failure, Kind};
use crate::settings::Discover;
use crate::settings::discover::Tags;

/// All target groups of type ip in a region of an account, with their tags.
pub type Swept = BTreeMap<Arn, Tags>;

/// One account and region, as it is asked for its target groups and their tags.
pub trait Account: Sync {
    /// All target groups whose targets are addresses.
    fn groups(&self) -> impl Future<Output = Result<Vec<Arn>, Failure>> + Send;

    /// All tags of some of them, [`DESCRIBED_MAX`] at most; fails as a whole if one is gone.
    fn tags(&self, arns: &[Arn]) -> impl Future<Output = Result<BTreeMap<Arn, Tags>, Error>> + Send;
}

impl Account for Client {
    fn groups(&self) -> impl Future<Output = Result<Vec<Arn>, Failure>> + Send {
        self.list_groups()
    }

    fn tags(&self, arns: &[Arn]) -> impl Future<Output = Result<BTreeMap<Arn, Tags>, Error>> + Send {
        self.list_tags(arns)
    }
}

/// Lists all target groups, and asks for their tags: for 1,000 of them 53 calls.
///
/// # Errors
/// The first call that failed: then nothing is known.
pub async fn sweep(account: &impl Account) -> Result<Swept, Failure> {
    let groups = account.groups().await?;
    let mut swept = Swept::new();
    let mut parts: VecDeque<Vec<Arn>> = groups.chunks(DESCRIBED_MAX).map(<[Arn]>::to_vec).collect();
    while let Some(mut part) = parts.pop_front() {
        match account.tags(&part).await {
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

//! The region to call where no ARN tells it: that of the environment, of the profile, or of the endpoint's own name.

use std::fmt;

use super::arn::is_like_a_region;
use super::profiles::Profiles;
use super::variables;
use crate::planner::endpoint::region_of;
use crate::planner::wrong::Wrong;

/// A region, and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name, such as `eu-west-1`.
    pub name: String,
    /// Who named it, for people.
    pub told_by: String,
}

impl Region {
    /// Looks for it where tools of AWS do: AWS_REGION, AWS_DEFAULT_REGION, the selected profile. If none of these names one, the
    /// name of the endpoint may; nothing if that does not either.
    ///
    /// # Errors
    /// What is named has not the form of a region.
    pub async fn find(host: Option<&str>) -> Result<Option<Self>, Wrong> {
        let named = match variables::region() {
            Some((variable, region)) => Some((region, variable.to_owned())),
            None => {
                let profiles = Profiles::read().await;
                let of_profile = profiles.region();
                of_profile.map(|(profile, region)| (region.to_owned(), format!("the profile {profile}")))
            }
        };
        let of_host = || Some((region_of(host?)?.to_owned(), "the endpoint's name".to_owned()));
        let Some((name, told_by)) = named.or_else(of_host) else {
            return Ok(None);
        };
        if !is_like_a_region(&name) {
            let what = format!("{told_by} says that the region is {name:?}, which has not the form of one");
            return Err(Wrong::new(what, "write one such as eu-west-1"));
        }
        Ok(Some(Self { name, told_by }))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (of {})", self.name, self.told_by)
    }
}

//! Target groups that the command line gives by name: their ARNs are looked up before anything else is done. All that follows
//! knows ARNs alone. And the region in which tagged ones are looked for, where the command line names none.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;

use crate::aws::arn::Arn;
use crate::aws::elb::{Client, ClientKey, Clients, remedy_of};
use crate::aws::failure::Failure;
use crate::aws::region::Region;
use crate::exit::Exit;
use crate::planner::endpoint::Endpoint;
use crate::settings::{Error, Flags};
use crate::text::{join, span};

/// How long the look-up of a name may take, if nothing else is said: as long as a call with all that precedes it.
const LIMIT: Duration = Duration::from_secs(10);

/// The flags with the ARNs of all target groups. Calls nothing where they name none by name, or where the settings are wrong.
///
/// # Errors
/// What is wrong with the settings besides, or why there is no ARN for a name.
pub async fn resolved(flags: &Flags, limit: Option<Duration>) -> Result<Flags, Error> {
    let flags = &placed(flags).await?;
    let names = flags.group_names();
    if names.is_empty() {
        return Ok(flags.clone());
    }
    patterned(flags).await?.settings()?;
    let region = region(flags.endpoints()).await?;
    let client = client(&region).await;
    let mut arns = BTreeMap::new();
    for name in names {
        arns.insert(name.to_owned(), arn(&client, name, &region, limit).await?);
    }
    Ok(flags.with_arns(&arns))
}

/// The flags with patterns in the place of the ARNs of names, for what calls nothing.
///
/// # Errors
/// The region is none.
pub async fn patterned(flags: &Flags) -> Result<Flags, Error> {
    let flags = &placed(flags).await?;
    let names = flags.group_names();
    if names.is_empty() {
        return Ok(flags.clone());
    }
    let host = flags.endpoints().first().map(Endpoint::host);
    let region = Region::find(host).await?;
    let region = region.as_ref().map(|region| region.name.as_str());
    let patterns = names
        .into_iter()
        .map(|name| (name.to_owned(), Arn::pattern(name, region)));
    Ok(flags.with_arns(&patterns.collect()))
}

async fn placed(flags: &Flags) -> Result<Flags, Error> {
    let find = async |name: Option<&str>| {
        let region = Region::find(name).await?;
        Ok(region.map(|region| region.name.parse()).transpose()?)
    };
    flags.placed(find).await
}

/// The region in which names are looked up.
///
/// # Errors
/// Nobody names one, or what is named is none.
pub async fn region(endpoints: &[Endpoint]) -> Result<Region, Error> {
    let host = endpoints.first().map(Endpoint::host);
    let region = Region::find(host).await?;
    region.ok_or_else(|| {
        let what = "a target group has a name in each region, and no region is given";
        Error::usage(what, "set AWS_REGION, or give the group's ARN".to_owned())
    })
}

/// A client for a region, with the process's own identity: a role is a setting of a file.
pub async fn client(region: &Region) -> Client {
    let key = ClientKey {
        // It is not known yet whose it is.
        account: String::new(),
        region: region.name.clone(),
        role: None,
    };
    Clients::start().of(&key).await
}

/// The ARN of the group that has a name.
///
/// # Errors
/// There is none, or more than one, or ELB does not tell.
pub async fn arn(client: &Client, name: &str, region: &Region, limit: Option<Duration>) -> Result<Arn, Error> {
    let limit = limit.unwrap_or(LIMIT);
    let found = timeout(limit, client.named(name)).await;
    let found = found.unwrap_or_else(|_| Err(Failure::late("DescribeTargetGroups", span(limit))));
    let found = found.map_err(|failure| unanswered(&format!("target group {name}"), &failure))?;
    let wrong = |what, fix: &str| Error {
        exit: Exit::Settings,
        ..Error::usage(what, fix.to_owned())
    };
    match found.as_slice() {
        [only] => Ok(only.group.arn.clone()),
        [] => Err(wrong(
            format!("no target group of this account has the name {name:?} in {region}"),
            "set AWS_REGION to the region that it is in, or give its ARN; rds-tether init HOST:PORT lists those that fit",
        )),
        several => {
            let arns = several.iter().map(|detail| &detail.group.arn);
            let what = format!(
                "{name:?} is the name of several target groups in {region}: {}",
                join(arns)
            );
            Err(wrong(what, "give the ARN of one"))
        }
    }
}

/// Why nothing was found out about `subject`.
pub fn unanswered(subject: &str, failure: &Failure) -> Error {
    let fix = remedy_of(failure);
    Error {
        exit: failure.kind.exit(),
        ..Error::usage(format!("{subject} cannot be looked up: {failure}"), fix)
    }
}

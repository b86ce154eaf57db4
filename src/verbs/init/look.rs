//! What there is to be seen before anything is settled: the addresses of the endpoint, and the target groups. It only reads.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::candidate::{Seen, Sought, TAG};
use crate::aws::arn::{Arn, GroupName};
use crate::aws::bucket::Urgency;
use crate::aws::elb::{Client, DESCRIBED_MAX, Detail, TargetGroups as _, remedy_of};
use crate::aws::failure::Failure;
use crate::aws::region::Region;
use crate::dns::{self, Names as _};
use crate::doctor::look::all;
use crate::exit::Exit;
use crate::planner::answer::{Blind, combine};
use crate::planner::endpoint::Endpoint;
use crate::planner::guard;
use crate::planner::target::Family;
use crate::settings::Error;
use crate::text::{join, span};
use crate::verbs::named::{self, unanswered};

/// Groups whose tags are asked for: fifty calls.
const TAGGED_MAX: usize = 50 * DESCRIBED_MAX;
/// Groups whose targets are asked for, one call each: those that promise most.
const LISTED_MAX: usize = 40;

/// The target groups of a region, and what was not seen of them.
pub struct Survey {
    /// What was seen.
    pub seen: Vec<Seen>,
    /// What was not, for people.
    pub unseen: BTreeSet<String>,
}

/// The addresses of an endpoint that a target group takes.
///
/// # Errors
/// DNS names none, or cannot be asked.
pub async fn addresses(settings: &dns::Settings, endpoint: &Endpoint) -> anyhow::Result<BTreeSet<IpAddr>> {
    let servers = settings.servers()?;
    let resolver = dns::Resolver::new(&servers, settings.deadline, settings.quorum)?;
    let host = endpoint.host();
    let looks = tokio::join!(resolver.look(host, Family::Ipv4), resolver.look(host, Family::Ipv6));
    let (ipv4, ipv6) = (combine(&looks.0, settings.quorum), combine(&looks.1, settings.quorum));
    let (named, blind): (BTreeSet<IpAddr>, Option<Blind>) = match (ipv4, ipv6) {
        (Err(blind), Err(_)) => (BTreeSet::new(), Some(blind)),
        (ipv4, ipv6) => {
            let resolutions = ipv4.into_iter().chain(ipv6);
            let named = resolutions.flat_map(|resolution| resolution.addresses().clone());
            (named.collect(), None)
        }
    };
    if let Some(blind) = blind {
        let likely = blind.likely().map(|likely| format!("{host} {likely}"));
        let fix = likely.unwrap_or_else(|| "check the name, and that this host's name servers know it".to_owned());
        return Err(Error {
            exit: Exit::Unavailable,
            ..Error::usage(format!("{host} cannot be resolved: {blind}"), fix)
        }
        .into());
    }
    let refusal = |ip: &IpAddr| guard::check(*ip, Family::of(*ip), &[]).err();
    let taken: BTreeSet<IpAddr> = named.iter().copied().filter(|ip| refusal(ip).is_none()).collect();
    if taken.is_empty() {
        let refused = named.iter().filter_map(|ip| Some(format!("{ip} {}", refusal(ip)?)));
        let what = format!("no target group takes an address of {host}: {}", join(refused));
        let fix = "look from where the database's private address is told: in its VPC, or by --nameserver".to_owned();
        return Err(Error {
            exit: Exit::Refused,
            ..Error::usage(what, fix)
        }
        .into());
    }
    Ok(taken)
}

/// All target groups of a region, with their tags.
///
/// # Errors
/// ELB does not list them.
pub async fn survey(client: &Client, region: &Region, end: Instant) -> Result<Survey, Error> {
    let listed = timeout_at(end, client.all_groups(Urgency::Settle)).await;
    let listed = listed.unwrap_or_else(|_| Err(Failure::late("DescribeTargetGroups", "--timeout")));
    let (details, has_more) = listed.map_err(|failure| {
        let error = unanswered(&format!("the target groups of {region}"), &failure);
        let fix = error
            .fix
            .as_ref()
            .map(|fix| format!("{fix}; or name one with --target-group ARN"));
        Error { fix, ..error }
    })?;
    let mut survey = Survey {
        seen: details.into_iter().map(untold).collect(),
        unseen: BTreeSet::new(),
    };
    if has_more {
        let what = format!(
            "there are more than {} target groups, of which the rest is not seen",
            survey.seen.len()
        );
        survey.unseen.insert(what);
    }
    let of_ip = survey.seen.iter_mut().filter(|seen| seen.detail.target_type == "ip");
    let mut asked: Vec<&mut Seen> = of_ip.take(TAGGED_MAX).collect();
    for some in asked.chunks_mut(DESCRIBED_MAX) {
        let arns: Vec<Arn> = some.iter().map(|seen| seen.detail.group.arn.clone()).collect();
        match timeout_at(end, client.tags(&arns, TAG)).await {
            Ok(Ok(tags)) => {
                for seen in some {
                    seen.tag = tags.get(&seen.detail.group.arn).cloned().unwrap_or_default();
                }
            }
            Ok(Err(error)) => {
                let failure = &error.failure;
                let fix = remedy_of(failure);
                survey
                    .unseen
                    .insert(format!("their tags are not seen: {failure}; {fix}"));
                break;
            }
            Err(_) => {
                survey
                    .unseen
                    .insert("their tags are not seen: --timeout was over".to_owned());
                break;
            }
        }
    }
    Ok(survey)
}

fn untold(detail: Detail) -> Seen {
    Seen {
        detail,
        tag: String::new(),
        targets: None,
    }
}

impl Survey {
    /// The endpoints that tags name for a database of this identifier.
    pub fn tagged(&self, identifier: &str) -> BTreeSet<Endpoint> {
        let tags = self.seen.iter().filter_map(|seen| seen.tag.parse::<Endpoint>().ok());
        tags.filter(|endpoint| endpoint.host().split('.').next() == Some(identifier))
            .collect()
    }

    /// Lists the targets of the groups that promise most.
    pub async fn list_targets(&mut self, client: &Client, sought: &Sought<'_>, end: Instant) {
        let fit = self.seen.iter().filter(|seen| sought.unfit(&seen.detail).is_none());
        let mut fit: Vec<&Seen> = fit.collect();
        fit.sort_by_key(|seen| std::cmp::Reverse(sought.promise(seen)));
        let asked = fit.into_iter().take(LISTED_MAX).map(|seen| {
            let (client, group) = (client.clone(), seen.detail.group.clone());
            let list = async move {
                let turn = client.turn(Urgency::Look).await;
                timeout_at(end, client.targets(&group, turn)).await
            };
            (seen.detail.group.arn.clone(), list)
        });
        let mut listed = all(asked.collect::<Vec<_>>()).await;
        for seen in &mut self.seen {
            match listed.remove(&seen.detail.group.arn) {
                None => {}
                Some(Ok(Ok(targets))) => seen.targets = Some(targets),
                Some(Ok(Err(error))) => {
                    let what = format!("not all targets are seen: {}; {}", error.failure, error.remedy());
                    self.unseen.insert(what);
                }
                Some(Err(_)) => drop(
                    self.unseen
                        .insert("not all targets are seen: --timeout was over".to_owned()),
                ),
            }
        }
    }
}

/// The groups that somebody named, which have to be ones that can follow the endpoint.
///
/// # Errors
/// One is not there, is of another kind, or nobody tells.
pub async fn chosen(given: &[GroupName], sought: &Sought<'_>, limit: Duration) -> Result<Vec<Arn>, Error> {
    let mut chosen: Vec<Arn> = Vec::new();
    for group in given {
        let arn = match group {
            GroupName::Arn(arn) => arn.clone(),
            GroupName::Name(name) => {
                let region = named::region(std::slice::from_ref(sought.endpoint)).await?;
                named::arn(&named::client(&region).await, name, &region, Some(limit)).await?
            }
        };
        let region = Region {
            name: arn.region().to_owned(),
            told_by: "its ARN".to_owned(),
        };
        let client = named::client(&region).await;
        let detail = timeout_at(Instant::now() + limit, client.detail(&arn)).await;
        let detail = detail
            .map_err(|_| {
                unanswered(
                    &format!("target group {}", arn.name()),
                    &Failure::late("DescribeTargetGroups", span(limit)),
                )
            })?
            .map_err(|error| Error {
                exit: error.failure.kind.exit(),
                ..Error::usage(
                    format!("target group {arn} cannot be looked up: {}", error.failure),
                    error.remedy(),
                )
            })?;
        if let Some(why) = sought.unfit(&detail) {
            let what = format!("target group {arn} cannot follow {}: it is one {why}", sought.endpoint);
            let fix =
                "name one of type ip with protocol TCP, or leave --target-group out to see which there are".to_owned();
            return Err(Error {
                exit: Exit::Settings,
                ..Error::usage(what, fix)
            });
        }
        if !chosen.contains(&arn) {
            chosen.push(arn);
        }
    }
    Ok(chosen)
}

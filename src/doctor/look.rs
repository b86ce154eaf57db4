//! Looks at everything at once: each look has its own time limit, and none waits for one that it does not need.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};

use super::aws::Tried;
use super::dns::{Followed, Looks};
use super::group::{Around, BalancerSeen, Seen};
use super::heard::Looked;
use super::listener::ListenerSeen;
use super::reach::Answers;
use super::service::{ServiceSeen, Services};
use crate::aws::Config;
use crate::aws::arn::Arn;
use crate::aws::bucket::Urgency;
use crate::aws::ec2;
use crate::aws::elb::{self, Client, Group, TargetGroups};
use crate::aws::failure::Failure;
use crate::aws::sts::{self, Reply};
use crate::clock::Clock;
use crate::dns;
use crate::planner::answer::Quorum;
use crate::planner::endpoint::Endpoint;
use crate::planner::target::{Family, Target, Zone};
use crate::probe::{Depth, Trust, probe};

/// How long an address may take to answer: two repetitions of a lost packet.
const PROBE_MAX: Duration = Duration::from_secs(5);
/// The setting that limits each look.
const LIMIT: &str = "--timeout";
/// Addresses of one endpoint that are tried.
const ADDRESSES_MAX: usize = 16;

/// Does all at once, and returns what came of each in the order of the keys.
pub async fn all<K, T, F>(tasks: impl IntoIterator<Item = (K, F)>) -> BTreeMap<K, T>
where
    K: Ord + Send + 'static,
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut running = JoinSet::new();
    for (key, task) in tasks {
        running.spawn(async move { (key, task.await) });
    }
    let mut ended = BTreeMap::new();
    while let Some(joined) = running.join_next().await {
        match joined.map_err(JoinError::try_into_panic) {
            Ok((key, value)) => drop(ended.insert(key, value)),
            // What nobody has looked at is not to be green.
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_)) => {}
        }
    }
    ended
}

/// Name servers, each asked by itself, so that a slow one is waited for too.
#[derive(Clone)]
pub struct NameServers {
    clients: Vec<dns::Client>,
    deadline: Duration,
    quorum: Quorum,
}

impl NameServers {
    /// Those of the settings.
    pub fn new(dns: &dns::Settings, limit: Duration) -> Result<Self, dns::Error> {
        let deadline = dns.deadline.min(limit);
        let clients = dns.servers()?.into_iter();
        Ok(Self {
            clients: clients
                .map(|server| dns::Client::new(server, deadline))
                .collect::<Result<_, dns::Error>>()?,
            deadline,
            quorum: dns.quorum,
        })
    }

    /// The addresses of the name servers.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.clients.iter().map(|client| client.server).collect()
    }

    /// Asks all of them for the addresses of a name, of both families, until there is no more to learn or no time.
    pub async fn look(&self, host: &str, end: Instant) -> Looks {
        let (ipv4, ipv6) = tokio::join!(
            self.look_for(host, Family::Ipv4, end),
            self.look_for(host, Family::Ipv6, end)
        );
        Looks { ipv4, ipv6 }
    }

    /// The same for the addresses of one family.
    pub async fn look_for(&self, host: &str, family: Family, end: Instant) -> Looked {
        let clock = Clock::start();
        let mut looked = Looked::default();
        loop {
            let began = clock.now();
            let asked = self.clients.iter().cloned().enumerate().map(|(index, client)| {
                let host = host.to_owned();
                (index, async move { (client.server, client.ask(&host, family).await) })
            });
            let heard = all(asked).await.into_values().collect();
            looked.hear(host, heard, self.quorum, began, clock.now());
            let pause = looked.next(host);
            let has_time = |pause: &Duration| Instant::now() + *pause + self.deadline <= end;
            let Some(pause) = pause.filter(has_time) else {
                return looked;
            };
            sleep(pause).await;
        }
    }
}

/// Tries every address of an answer that one of its followers has a use for.
pub async fn reach(
    endpoint: &Endpoint,
    looks: &Looks,
    followers: &[Followed<'_>],
    trust: &Trust,
    end: Instant,
) -> Answers {
    let addresses: BTreeSet<IpAddr> = followers
        .iter()
        .flat_map(|followed| followed.addresses(looks))
        .collect();
    let limit = PROBE_MAX.min(end.saturating_duration_since(Instant::now()));
    let tries = addresses.into_iter().take(ADDRESSES_MAX).map(|ip| {
        let address = SocketAddr::new(ip, endpoint.port());
        let (host, trust) = (endpoint.host().to_owned(), trust.clone());
        (
            ip,
            async move { probe(address, Depth::Tls(&host, &trust), limit).await },
        )
    });
    all(tries).await
}

/// Asks STS with the configuration of a client.
pub async fn caller(client: &Client, config: &Config, clock: Clock, end: Instant) -> Reply {
    let late = || Reply {
        caller: Err(Failure::late("GetCallerIdentity", LIMIT)),
        times: None,
    };
    let asked = timeout_at(end, sts::ask(config, client.role(), clock)).await;
    asked.unwrap_or_else(|_| late())
}

/// A call about a target group with a time limit.
async fn within<T>(
    end: Instant,
    action: &'static str,
    group: &Arn,
    call: impl Future<Output = Result<T, elb::Error>>,
) -> Result<T, elb::Error> {
    timeout_at(end, call).await.unwrap_or_else(|_| {
        Err(elb::Error {
            group: group.clone(),
            failure: Failure::late(action, LIMIT),
        })
    })
}

/// Looks at a target group and what surrounds it.
pub async fn group(client: &Client, arn: &Arn, end: Instant) -> Seen {
    let detail = within(end, "DescribeTargetGroups", arn, client.detail(arn)).await;
    let around = match &detail {
        Ok(detail) => Some(around(client, &detail.group, &detail.balancers, end).await),
        Err(_) => None,
    };
    Seen { detail, around }
}

async fn around(client: &Client, group: &Group, balancers: &[String], end: Instant) -> Around {
    let arn = &group.arn;
    let targets = async {
        let turn = client.turn(Urgency::Settle).await;
        client.targets(group, turn).await
    };
    let (targets, attributes, balancers) = tokio::join!(
        within(end, "DescribeTargetHealth", arn, targets),
        within(end, "DescribeTargetGroupAttributes", arn, client.attributes(arn)),
        look_at_balancers(client, arn, balancers, end),
    );
    Around {
        targets,
        attributes,
        balancers,
    }
}

async fn look_at_balancers(
    client: &Client,
    group: &Arn,
    arns: &[String],
    end: Instant,
) -> Result<Vec<BalancerSeen>, elb::Error> {
    // Without a name the call would describe all load balancers of the account.
    if arns.is_empty() {
        return Ok(Vec::new());
    }
    let described = within(end, "DescribeLoadBalancers", group, client.balancers(group, arns)).await?;
    let mut seen = Vec::new();
    for balancer in described {
        let (attributes, listeners) = tokio::join!(
            within(
                end,
                "DescribeLoadBalancerAttributes",
                group,
                client.balancer_attributes(group, &balancer.arn)
            ),
            look_at_listeners(client, group, &balancer.arn, end),
        );
        seen.push(BalancerSeen {
            balancer,
            attributes,
            listeners,
        });
    }
    Ok(seen)
}

async fn look_at_listeners(
    client: &Client,
    group: &Arn,
    balancer: &str,
    end: Instant,
) -> Result<Vec<ListenerSeen>, elb::Error> {
    let listeners = within(end, "DescribeListeners", group, client.listeners(group, balancer)).await?;
    let mut seen = Vec::new();
    let mut refused = None;
    for listener in listeners {
        // What is refused for one listener is refused for all.
        let rules = match &refused {
            Some(error) => Err(elb::Error::clone(error)),
            None => within(end, "DescribeRules", group, client.rules(group, &listener.arn)).await,
        };
        refused = refused.or_else(|| rules.as_ref().err().cloned());
        let mut one = ListenerSeen {
            listener,
            rules,
            attributes: None,
        };
        if one.names(group.as_str()) {
            let call = client.listener_attributes(group, &one.listener.arn);
            one.attributes = Some(within(end, "DescribeListenerAttributes", group, call).await);
        }
        seen.push(one);
    }
    Ok(seen)
}

/// Looks for the endpoint services of load balancers, and who uses them.
pub async fn services(client: &Client, config: &Config, balancers: &BTreeSet<String>, end: Instant) -> Services {
    if balancers.is_empty() {
        return Ok(Vec::new());
    }
    let client = ec2::Client::new(config, client.role().map(str::to_owned)).await;
    let late = |action| Failure::late(action, LIMIT);
    let listed = timeout_at(end, client.services()).await;
    let listed = listed.unwrap_or_else(|_| Err(late("DescribeVpcEndpointServiceConfigurations")))?;
    let mut seen = Vec::new();
    for service in listed {
        if !service.balancers.iter().any(|balancer| balancers.contains(balancer)) {
            continue;
        }
        let (connections, principals) = tokio::join!(
            timeout_at(end, client.connections(&service.id)),
            timeout_at(end, client.principals(&service.id)),
        );
        seen.push(ServiceSeen {
            connections: connections.unwrap_or_else(|_| Err(late("DescribeVpcEndpointConnections"))),
            principals: principals.unwrap_or_else(|_| Err(late("DescribeVpcEndpointServicePermissions"))),
            service,
        });
    }
    Ok(seen)
}

/// Makes the two calls that show the right to write and change nothing: `current` is registered, with this zone.
pub async fn try_writing(client: &Client, group: &Group, current: Option<(Target, Zone)>, end: Instant) -> Tried {
    let arn = &group.arn;
    let deregister = within(end, "DeregisterTargets", arn, client.try_deregistering(group)).await;
    let register = match current {
        None => None,
        Some((target, zone)) => {
            let call = client.try_registering(arn, target, zone);
            Some((target, within(end, "RegisterTargets", arn, call).await))
        }
    };
    Tried { deregister, register }
}

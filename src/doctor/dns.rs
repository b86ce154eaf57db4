//! Judges the answers of DNS about an endpoint.

use std::collections::BTreeSet;
use std::iter;
use std::net::{IpAddr, SocketAddr};

use super::check::{Check, Outcome};
use super::heard::Looked;
use crate::exit::Exit;
use crate::planner::answer::{Failure, RDS_TTL_MAX, Said};
use crate::planner::endpoint::{Endpoint, Kind, Role};
use crate::planner::guard::{self, Refusal};
use crate::planner::policy::Policy;
use crate::planner::target::Family;
use crate::proxy::Proxy;
use crate::proxy::own::Listens;
use crate::text::join;

/// The address of systemd's caching stub.
const SYSTEMD_STUB: [u8; 4] = [127, 0, 0, 53];
const ASK_THE_VPC: &str = "ask the VPC's own resolver: nameservers = [\"169.254.169.253\"] in [dns] or --nameserver \
                           169.254.169.253 (from outside the VPC: its resolver's inbound endpoint)";
/// By the names that the options have there.
const EXPIRED_OFF: &str = "switch that off (Unbound: serve-expired, dnsmasq: use-stale-cache, BIND: stale-answer-enable, Knot \
                           Resolver: serve_stale, PowerDNS: serve-stale-extensions, dnsdist: staleTTL), or";

/// The use that an endpoint's addresses are put to, and the rules that its follower has for them.
#[derive(Clone, Copy, Debug)]
pub enum Use<'a> {
    /// They become targets.
    Targets(&'a Policy),
    /// A proxy connects to them, unless its process itself listens there.
    Proxy(&'a Proxy, &'a Listens),
}

/// An endpoint as its follower takes it.
#[derive(Clone, Copy, Debug)]
pub struct Followed<'a> {
    /// The endpoint that the settings name.
    pub endpoint: &'a Endpoint,
    /// The use that its addresses are put to.
    pub used_as: Use<'a>,
    /// The family that is taken.
    pub family: Family,
}

/// The answers of all name servers for a name, for both families.
#[derive(Clone, Debug)]
pub struct Looks {
    /// The answers to the question for A records.
    pub ipv4: Looked,
    /// The answers to the question for AAAA records.
    pub ipv6: Looked,
}

impl Looks {
    /// The look for addresses of a family.
    pub fn of(&self, family: Family) -> &Looked {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }
}

impl<'a> Followed<'a> {
    /// Whether this follower has a use for an address.
    pub fn takes(&self, ip: IpAddr) -> Result<(), Refusal> {
        match self.used_as {
            Use::Targets(policy) => guard::check(ip, self.family, &policy.allow_cidrs),
            Use::Proxy(proxy, own) => proxy.may_reach(ip, own),
        }
    }

    /// The role that the settings name.
    pub fn given_role(&self) -> Option<Role> {
        match self.used_as {
            Use::Targets(policy) => policy.role,
            Use::Proxy(proxy, _) => proxy.rules.role,
        }
    }

    /// The addresses that it takes of an answer.
    pub fn addresses(&self, looks: &Looks) -> BTreeSet<IpAddr> {
        let all = looks.of(self.family).seen.iter();
        let all = all.flat_map(|resolution| resolution.addresses());
        all.copied().filter(|ip| self.takes(*ip).is_ok()).collect()
    }

    /// The role, read off the names if the settings name none.
    pub fn role(&self, looks: &Looks) -> Role {
        self.given_role().unwrap_or_else(|| Role::told_by(self.names(looks)))
    }

    /// The name and those that it is an alias for.
    pub fn names<'n>(&self, looks: &'n Looks) -> impl Iterator<Item = &'n str> + use<'n, 'a>
    where
        'a: 'n,
    {
        let seen = looks.of(self.family).seen.iter();
        let aliases = seen.flat_map(|resolution| &resolution.names).map(String::as_str);
        iter::once(self.endpoint.host()).chain(aliases)
    }
}

/// The name servers that are asked.
pub fn servers(servers: &[SocketAddr]) -> Check {
    let listed = join(servers);
    let outcome = match servers.iter().find(|server| server.ip().is_loopback()) {
        None => Outcome::ok(listed),
        Some(stub) => {
            let what = if stub.ip() == IpAddr::from(SYSTEMD_STUB) {
                "is systemd-resolved, which caches; resolvectl dns shows the servers behind it"
            } else {
                "is on this host: if it caches (dnsmasq, nscd, unbound), a failover is seen late"
            };
            Outcome::warning(format!("{stub} {what}"), ASK_THE_VPC)
        }
    };
    Check::new("dns.servers", outcome)
}

/// Everything about one endpoint.
pub fn judge(followed: &Followed<'_>, looks: &Looks) -> Vec<Check> {
    let look = looks.of(followed.family);
    let mut checks = vec![
        Check::new("dns.answer", answer(followed, looks)),
        Check::new("dns.fresh", fresh(look)),
    ];
    let rest: [(&'static str, Judge); 4] = [
        ("dns.agreement", agreement),
        ("dns.ttl", ttl),
        ("dns.private", private),
        ("dns.single", single),
    ];
    for (name, judge) in rest {
        let outcome = if look.seen.is_ok() {
            judge(followed, looks)
        } else {
            Outcome::blocked("dns.answer")
        };
        checks.push(Check::new(name, outcome));
    }
    checks.push(Check::new("dns.endpoint", endpoint(followed, looks)));
    checks
}

type Judge = fn(&Followed<'_>, &Looks) -> Outcome;

fn answered(look: &Looked) -> impl Iterator<Item = (SocketAddr, &Said)> {
    look.said
        .iter()
        .filter_map(|(server, said)| Some((*server, said.as_ref().ok()?)))
}

fn answer(followed: &Followed<'_>, looks: &Looks) -> Outcome {
    let look = looks.of(followed.family);
    let failed: Vec<(SocketAddr, &Failure)> = look
        .said
        .iter()
        .filter_map(|(server, said)| Some((*server, said.as_ref().err()?)))
        .collect();
    let told = |(server, failure): &(SocketAddr, &Failure)| match look.kept(*server) {
        Some(kept) => format!("{server}: {failure}, kept for up to {} s more", kept.as_secs()),
        None => format!("{server}: {failure}"),
    };
    let told = failed.iter().map(told).collect::<Vec<_>>().join(", ");
    let host = followed.endpoint.host();
    match &look.seen {
        Ok(resolution) if failed.is_empty() => {
            let mut servers = look.said.iter().map(|(server, _)| *server);
            if let Some((server, failure)) = servers.find_map(|server| Some((server, look.failed_before(server)?))) {
                return Outcome::warning(
                    format!(
                        "{} in the end, but a look before failed: {server}: {failure}",
                        join(resolution.addresses())
                    ),
                    "if that happens again, repair that name server or leave it out of nameservers: each look that fails \
                     delays a failover by 1 to 5 s",
                );
            }
            let via = match resolution.names.as_slice() {
                [] => String::new(),
                names => format!(" via {}", names.join(" -> ")),
            };
            Outcome::ok(format!("{}{via}", join(resolution.addresses())))
        }
        Ok(resolution) => Outcome::warning(
            format!(
                "{}, but not from every name server: {told}",
                join(resolution.addresses())
            ),
            "repair that name server or leave it out of nameservers: a look waits for it, and nobody is left if the \
             others fail",
        ),
        Err(blind) if failed.is_empty() => Outcome::failure(
            Exit::Unavailable,
            format!("{host}: {blind}"),
            "set quorum = \"any\", or ask name servers that agree",
        ),
        Err(_) => {
            let other = match followed.family {
                Family::Ipv4 => &looks.ipv6,
                Family::Ipv6 => &looks.ipv4,
            };
            if other.seen.is_ok() {
                return Outcome::failure(
                    Exit::Unavailable,
                    format!("{host} has no {} address, only the other family's", followed.family),
                    "let a target group or proxy of the other family follow it, or make the database dual-stack",
                );
            }
            Outcome::failure(
                Exit::Unavailable,
                format!("{host}: {told}"),
                fix_for(host, look, failed.first()),
            )
        }
    }
}

fn fix_for(host: &str, look: &Looked, failed: Option<&(SocketAddr, &Failure)>) -> String {
    match failed {
        Some((server, Failure::NoData)) if Kind::of(host) != Kind::Other => {
            let domain = host.find("amazonaws.").map_or(host, |at| &host[at..]);
            format!(
                "every name of RDS has an address, so {server} takes private ones out, against DNS rebinding: let it give \
                 those of {domain} (dnsmasq: rebind-domain-ok=/{domain}/ beside stop-dns-rebind, Unbound: private-domain: \
                 \"{domain}\" beside private-address), or {ASK_THE_VPC}"
            )
        }
        Some((server, Failure::NxDomain | Failure::NoData)) => {
            let spelling = "check the spelling, and that the database still exists under this name (aws rds \
                            describe-db-clusters, describe-db-instances); a name in a private zone is known only inside \
                            the zone's VPCs";
            match look.kept(*server) {
                Some(kept) => format!(
                    "{spelling}; if it is well, {server} does not ask for it before {} s are over: clear its cache, or \
                     {ASK_THE_VPC}",
                    kept.as_secs()
                ),
                None => spelling.into(),
            }
        }
        Some((_, Failure::Stale(..) | Failure::Unproven(..))) => {
            format!("find out why it cannot ask further; {EXPIRED_OFF} {ASK_THE_VPC}")
        }
        Some((server, Failure::Network(_))) if server.ip().is_loopback() => {
            "nobody answers on this host: start its name server, or name another in /etc/resolv.conf or with --nameserver"
                .into()
        }
        Some((server, Failure::TimedOut | Failure::Network(_))) => {
            format!(
                "let UDP and TCP to {server} through (security group, network ACL), or name another with --nameserver"
            )
        }
        Some((server, Failure::Refused)) => {
            format!("{server} does not serve this host; name a server that does with --nameserver")
        }
        Some((_, Failure::ServFail)) => {
            "ask another name server with --nameserver; if that answers, this one is at fault, or keeps a failure that is \
             over, which delays a failover by as much (PowerDNS Recursor, dnsdist: 60 s, Unbound: 5 s)"
                .into()
        }
        _ => "ask another name server with --nameserver; if that answers, this one is at fault".into(),
    }
}

/// Whether the name servers give what has expired.
fn fresh(look: &Looked) -> Outcome {
    let mut servers = look.said.iter().map(|(server, _)| *server);
    if let Some((server, how)) = servers.find_map(|server| Some((server, look.expired(server)?))) {
        return Outcome::warning(
            format!(
                "{server} gives answers that have expired ({how}): a failover is seen up to 1 s later, in a second look, \
                 and not at all for as long as it cannot ask further itself"
            ),
            format!("{EXPIRED_OFF} {ASK_THE_VPC}"),
        );
    }
    match answered(look).next() {
        Some(_) => Outcome::ok("no answer had expired"),
        None => Outcome::blocked("dns.answer"),
    }
}

fn agreement(followed: &Followed<'_>, looks: &Looks) -> Outcome {
    let answers: Vec<(SocketAddr, &Said)> = answered(looks.of(followed.family)).collect();
    let [(_, first), rest @ ..] = answers.as_slice() else {
        return Outcome::blocked("dns.answer");
    };
    if rest.is_empty() {
        return Outcome::ok("one name server answers");
    }
    if rest.iter().all(|(_, said)| said.addresses == first.addresses) {
        return Outcome::ok(format!("{} name servers say the same", answers.len()));
    }
    if followed.role(looks) == Role::Reader {
        return Outcome::ok("the name servers gave different members, as a reader endpoint does");
    }
    let told = |(server, said): &(SocketAddr, &Said)| format!("{server} says {}", join(&said.addresses));
    Outcome::warning(
        answers.iter().map(told).collect::<Vec<_>>().join(", "),
        "a failover is over when the last of them has seen it, and until then nothing is removed; if they differ for longer \
         than seconds, one of them is stale or serves another view (public, private): name only the VPC's resolver",
    )
}

fn ttl(followed: &Followed<'_>, looks: &Looks) -> Outcome {
    let look = looks.of(followed.family);
    let longest = answered(look).filter_map(|(server, _)| Some((look.longest(server)?, server)));
    let Some((ttl, server)) = longest.max() else {
        return Outcome::blocked("dns.fresh");
    };
    if ttl <= RDS_TTL_MAX {
        return Outcome::ok(format!("{} s, and RDS gives 5 s", ttl.as_secs()));
    }
    Outcome::warning(
        format!(
            "{server} gives an answer for {} s, where RDS gives 5 s: a failover is seen up to {} s later, and forget must be \
             longer",
            ttl.as_secs(),
            (ttl - RDS_TTL_MAX).as_secs()
        ),
        format!("find what stretches it (a cache with a minimum TTL, a record of your own); {ASK_THE_VPC}"),
    )
}

fn private(followed: &Followed<'_>, looks: &Looks) -> Outcome {
    let addresses: BTreeSet<IpAddr> = answered(looks.of(followed.family))
        .flat_map(|(_, said)| said.addresses.iter().copied())
        .collect();
    let refused = |ip: &IpAddr| Some((*ip, followed.takes(*ip).err()?));
    if let Some((ip, refusal)) = addresses.iter().find_map(refused) {
        return Outcome::failure(
            Exit::Refused,
            format!("{ip} {}", brief(ip, refusal)),
            fix_refused(followed, looks, ip, refusal),
        );
    }
    // A target that is neither private nor refused lies in a VPC that allow_cidrs names.
    let is_proxy = matches!(followed.used_as, Use::Proxy(..));
    let public = |ip: &&IpAddr| {
        let refused = guard::check(**ip, followed.family, &[]).err();
        is_proxy && matches!(refused, Some(Refusal::PubliclyRoutable | Refusal::Virtual))
    };
    match addresses.iter().find(public) {
        Some(ip) if is_of_mesh(*ip) => Outcome::warning(
            format!("{ip} {}", brief(*ip, Refusal::Virtual)),
            fix_refused(followed, looks, *ip, Refusal::Virtual),
        ),
        Some(ip) => Outcome::warning(format!("{ip} is a public address: sessions leave the VPC"), ASK_THE_VPC),
        None => Outcome::ok(match followed.used_as {
            Use::Targets(_) => format!("{} may be a target", join(&addresses)),
            Use::Proxy(..) => format!("{} may be connected to", join(&addresses)),
        }),
    }
}

/// The addresses that are nobody's (RFC 1112), and that service meshes give names of their own making.
fn is_of_mesh(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[0] >= 240 && !ip.is_broadcast())
}

/// How to mend an answer that its follower has no use for.
fn fix_refused(followed: &Followed<'_>, looks: &Looks, ip: IpAddr, refusal: Refusal) -> String {
    if is_of_mesh(ip) {
        return format!(
            "a sidecar answers here in the name server's place (Istio: dns capture, ISTIO_META_DNS_AUTO_ALLOCATE); leave rds-tether \
             out of the mesh, or {ASK_THE_VPC}, past the sidecar"
        );
    }
    match refusal {
        Refusal::NotAllowed => {
            let moved = if is_aurora(followed, looks) {
                ": Aurora can be moved to other subnets or another VPC under the same name"
            } else {
                ""
            };
            format!("add its network to allow_cidrs, or find out why DNS leads there{moved}")
        }
        Refusal::PubliclyRoutable => {
            let left = if is_aurora(followed, looks) {
                "; if that gives the same, the cluster has left its VPC: it has no private address then, and cannot be a target until \
                 it is moved back into one"
            } else {
                ""
            };
            format!(
                "{ASK_THE_VPC}{left}; if it is an address of the VPC itself, name the VPC's network in allow_cidrs; if nobody comes from \
                 outside the VPC, --no-publicly-accessible leaves the database its private address alone"
            )
        }
        Refusal::Ourselves => "name the database's own endpoint, not a name that leads to its proxy".to_owned(),
        _ => "find out which name server or record gives it: no database of RDS has such an address".to_owned(),
    }
}

/// Whether a name is of an Aurora cluster, which can leave its VPC (D12).
fn is_aurora(followed: &Followed<'_>, looks: &Looks) -> bool {
    let is_cluster = |name| matches!(Kind::of(name), Kind::Cluster | Kind::Reader | Kind::Custom);
    followed.names(looks).any(is_cluster)
}

/// The refusal without the advice that goes into the fix.
fn brief(ip: IpAddr, refusal: Refusal) -> String {
    match refusal {
        _ if is_of_mesh(ip) => {
            "is of 240.0.0.0/4, which belongs to nobody and is what service meshes invent: it is not the database's"
                .into()
        }
        Refusal::PubliclyRoutable => {
            "is a public address: ELB takes only private ones, and the VPC's resolver would give the private one".into()
        }
        Refusal::WrongFamily => "is of the other address family".into(),
        other => other.to_string(),
    }
}

fn single(followed: &Followed<'_>, looks: &Looks) -> Outcome {
    let addresses = followed.addresses(looks);
    let look = looks.of(followed.family);
    if followed.role(looks) == Role::Writer {
        if let Some(members) = &look.rotation {
            return Outcome::warning(
                format!(
                    "{} in turn: it is followed as a reader, so the old address of a failover stays for minutes",
                    join(members)
                ),
                "follow a name that has one address, or say role = \"reader\" if any of them will do",
            );
        }
        if let Some((before, after)) = look.changed() {
            return Outcome::warning(
                format!("{} and then {}", join(before), join(after)),
                "run it again: a failover is over in seconds; if it goes on, the name gives several in turn: follow one that \
                 has one address, or say role = \"reader\" if any of them will do",
            );
        }
    }
    match (followed.role(looks), addresses.len()) {
        (Role::Reader, 1) => Outcome::ok("one member in this answer, as a reader endpoint gives"),
        (Role::Reader, many) => Outcome::ok(format!("{many} members in this answer")),
        (Role::Writer, 0 | 1) => Outcome::ok("one address"),
        (Role::Writer, many) => Outcome::warning(
            format!("{many} addresses for a writer: {}", join(&addresses)),
            "connections are spread over all of them: follow a name that has one address, or say role = \"reader\" if \
             any of them will do",
        ),
    }
}

fn endpoint(followed: &Followed<'_>, looks: &Looks) -> Outcome {
    let mut kinds = followed.names(looks).map(|name| (name, Kind::of(name)));
    // A name of one's own is judged by what it is an alias for: the first name that RDS has made.
    let Some((name, kind)) = kinds.find(|(_, kind)| *kind != Kind::Other) else {
        return Outcome::ok("a name of your own; what it leads to is not known");
    };
    let is_writer = followed.given_role() == Some(Role::Writer);
    match kind {
        Kind::Reader | Kind::Custom if is_writer => Outcome::warning(
            format!("{name} gives one of several members in each answer, but role is writer"),
            "leave role out: as a reader its members are not swapped at every look",
        ),
        Kind::Cluster => Outcome::ok("a cluster endpoint: it follows the writer"),
        Kind::Reader => Outcome::ok("a reader endpoint: it gives one reader in each answer"),
        Kind::Custom => Outcome::ok("a custom endpoint: it gives one of its members in each answer"),
        Kind::Proxy => Outcome::warning(
            format!("{name} is an RDS Proxy, which refuses replication connections"),
            "follow the endpoint of the cluster or instance behind it",
        ),
        Kind::Instance => {
            let mut labels = name.split('.').skip(2);
            let region = labels.find(|label| label.contains('-')).unwrap_or("REGION");
            Outcome::warning(
                format!(
                    "{name} is an instance: if it belongs to a cluster, it is followed even when it has become a reader"
                ),
                format!(
                    "if this prints a cluster, follow the endpoint of that: aws rds describe-db-instances --region \
                     {region} --query \"DBInstances[?Endpoint.Address=='{name}'].DBClusterIdentifier\" --output text"
                ),
            )
        }
        Kind::Global => Outcome::ok("a global endpoint: it follows the writer from region to region"),
        Kind::ShardGroup => Outcome::ok("a shard group: it gives one of its routers in each answer"),
        Kind::Other => Outcome::ok("a name of your own"),
    }
}

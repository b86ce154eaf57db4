//! Which addresses may be targets at all. Runs before any decision, so that nothing else is ever registered.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::target::Family;

/// Why an address must not become a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 127/8 or ::1
    Loopback,
    /// 169.254/16 or fe80::/10
    LinkLocal,
    /// 224/4 or ff00::/8
    Multicast,
    /// 0.0.0.0 or ::
    Unspecified,
    /// ::ffff:0:0/96
    Ipv4Mapped,
    /// An IPv4 address that ELB accepts only in a VPC that has it, which `allow_cidrs` does not name.
    PubliclyRoutable,
    /// 240/4 or 2001:2::/48, which service meshes give to what they intercept.
    Virtual,
    /// An IPv6 address that is neither global unicast nor unique local.
    NotRoutable,
    /// Outside `allow_cidrs`.
    NotAllowed,
    /// An IPv6 address for an IPv4 group or the reverse.
    WrongFamily,
    /// Where rds-tether itself listens: a proxy would connect to itself.
    Ourselves,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "is a loopback address",
            Self::LinkLocal => "is a link-local address",
            Self::Multicast => "is a multicast address",
            Self::Unspecified => "is the unspecified address",
            Self::Ipv4Mapped => "is an IPv4-mapped address",
            Self::PubliclyRoutable => {
                "is publicly routable: ELB accepts only private addresses and those of the group's own VPC; a publicly \
                 accessible database gives its private address inside the VPC only, so ask the VPC's resolver \
                 (--nameserver), if the VPC itself has such addresses, name its network in allow_cidrs, and an Aurora \
                 cluster that has left its VPC has no other address and cannot be a target"
            }
            Self::Virtual => {
                "is a virtual address that a service mesh made up (Istio's DNS capture gives such): take this process or \
                 the database's name out of the mesh, or ask the VPC's resolver (--nameserver)"
            }
            Self::NotRoutable => "is neither global unicast nor unique local",
            Self::NotAllowed => "is outside allow_cidrs",
            Self::WrongFamily => "is not of the target group's address family",
            Self::Ourselves => "is where rds-tether itself listens: sessions would go round in a circle",
        })
    }
}

/// The IPv4 ranges besides the VPC's own from which ELB takes targets (RegisterTargets, API reference).
const PRIVATE: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];
/// What service meshes make addresses of: reserved (RFC 1112), and for benchmarks (RFC 5180). Istio takes 240.240.0.0/16 and
/// 2001:2::/48.
const RESERVED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4);
const BENCHMARKS: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48);
/// Global unicast and unique local addresses; ELB itself refuses those outside the VPC.
const ROUTABLE: [Ipv6Net; 2] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
];

/// Whether an address may become a target of a group of this family; an empty `allow` allows all that ELB accepts in every VPC, and
/// what it names besides is an address of a VPC of its own.
pub fn check(ip: IpAddr, family: Family, allow: &[IpNet]) -> Result<(), Refusal> {
    match legal(ip) {
        Err(Refusal::PubliclyRoutable | Refusal::Virtual) if is_named(allow, ip) => {}
        verdict => verdict?,
    }
    if !allows(allow, ip) {
        return Err(Refusal::NotAllowed);
    }
    if Family::of(ip) != family {
        return Err(Refusal::WrongFamily);
    }
    Ok(())
}

/// Whether a list of networks allows an address, which an empty one does; an IPv4-mapped address counts as what it maps.
pub fn allows(nets: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    nets.is_empty() || nets.iter().any(|net| net.contains(&ip))
}

/// Whether a list of networks names an address that is not private. `0.0.0.0/0` names none: what holds a private range, too, was
/// not meant for such addresses.
fn is_named(nets: &[IpNet], ip: IpAddr) -> bool {
    let holds_private = |net: &Ipv4Net| PRIVATE.iter().any(|private| net.contains(private));
    nets.iter().any(|net| match (net, ip) {
        (IpNet::V4(net), IpAddr::V4(ip)) => net.contains(&ip) && !holds_private(net) && !ip.is_broadcast(),
        (IpNet::V6(net), IpAddr::V6(ip)) => BENCHMARKS.contains(net) && net.contains(&ip),
        _ => false,
    })
}

fn legal(ip: IpAddr) -> Result<(), Refusal> {
    if ip.is_unspecified() {
        return Err(Refusal::Unspecified);
    }
    if ip.is_loopback() {
        return Err(Refusal::Loopback);
    }
    if ip.is_multicast() {
        return Err(Refusal::Multicast);
    }
    match ip {
        IpAddr::V4(ip) if ip.is_link_local() => Err(Refusal::LinkLocal),
        IpAddr::V4(ip) if PRIVATE.iter().any(|net| net.contains(&ip)) => Ok(()),
        IpAddr::V4(ip) if RESERVED.contains(&ip) && !ip.is_broadcast() => Err(Refusal::Virtual),
        IpAddr::V4(_) => Err(Refusal::PubliclyRoutable),
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => Err(Refusal::Ipv4Mapped),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Err(Refusal::LinkLocal),
        IpAddr::V6(ip) if BENCHMARKS.contains(&ip) => Err(Refusal::Virtual),
        IpAddr::V6(ip) if ROUTABLE.iter().any(|net| net.contains(&ip)) => Ok(()),
        IpAddr::V6(_) => Err(Refusal::NotRoutable),
    }
}

//! What may be a target at all.

use ipnet::IpNet;
use rds_tether::planner::guard::*;
use rds_tether::planner::target::Family;
use std::net::IpAddr;

#[test]
fn every_range_has_its_verdict() {
    use Refusal::*;
    for (ip, expect) in [
        ("10.0.0.1", Ok(())),
        ("10.255.255.255", Ok(())),
        ("172.16.0.1", Ok(())),
        ("172.31.255.255", Ok(())),
        ("172.15.255.255", Err(PubliclyRoutable)),
        ("172.32.0.0", Err(PubliclyRoutable)),
        ("192.168.1.1", Ok(())),
        ("100.64.0.1", Ok(())),
        ("100.127.255.255", Ok(())),
        ("100.128.0.0", Err(PubliclyRoutable)),
        ("54.12.3.4", Err(PubliclyRoutable)),
        ("255.255.255.255", Err(PubliclyRoutable)),
        ("127.0.0.1", Err(Loopback)),
        ("0.0.0.0", Err(Unspecified)),
        ("169.254.169.253", Err(LinkLocal)),
        ("224.0.0.1", Err(Multicast)),
        ("2a05:d018::1", Ok(())),
        ("fd00::1", Ok(())),
        ("fc00::1", Ok(())),
        ("::1", Err(Loopback)),
        ("::", Err(Unspecified)),
        ("fe80::1", Err(LinkLocal)),
        ("ff02::1", Err(Multicast)),
        ("::ffff:10.0.0.1", Err(Ipv4Mapped)),
        ("64:ff9b::1", Err(NotRoutable)),
    ] {
        let ip: IpAddr = ip.parse().expect("an address");
        assert_eq!(check(ip, Family::of(ip), &[]), expect, "{ip}");
    }
}

#[test]
fn allow_cidrs_and_family_narrow_further() {
    let allow: Vec<IpNet> = vec!["10.1.0.0/16".parse().expect("net"), "fd00::/8".parse().expect("net")];
    for (ip, family, expect) in [
        ("10.1.2.3", Family::Ipv4, Ok(())),
        ("10.2.2.3", Family::Ipv4, Err(Refusal::NotAllowed)),
        ("fd00::1", Family::Ipv6, Ok(())),
        ("fd00::1", Family::Ipv4, Err(Refusal::WrongFamily)),
        ("10.1.2.3", Family::Ipv6, Err(Refusal::WrongFamily)),
        // Never widened: a loopback address stays refused.
        ("127.0.0.1", Family::Ipv4, Err(Refusal::Loopback)),
    ] {
        assert_eq!(check(ip.parse().expect("ip"), family, &allow), expect, "{ip} {family}");
    }
}

#[test]
fn allow_cidrs_names_addresses_that_are_not_private() {
    for (allow, ip, expect) in [
        ("54.12.0.0/16", "54.12.3.4", Ok(())),
        ("240.240.0.0/16", "240.240.0.1", Ok(())),
        ("2001:2::/48", "2001:2::1", Ok(())),
        ("2001:2:0:1::/64", "2001:2:0:1::1", Ok(())),
        // What holds private addresses or all global ones, too, was not meant for these.
        ("0.0.0.0/0", "54.12.3.4", Err(Refusal::PubliclyRoutable)),
        ("2000::/3", "2001:2::1", Err(Refusal::Virtual)),
        // Another network, and one of the other family.
        ("54.13.0.0/16", "54.12.3.4", Err(Refusal::PubliclyRoutable)),
        ("2001:2:0:1::/64", "2001:2::1", Err(Refusal::Virtual)),
        ("54.12.0.0/16", "2001:2::1", Err(Refusal::Virtual)),
        ("2001:2::/48", "54.12.3.4", Err(Refusal::PubliclyRoutable)),
    ] {
        let nets: Vec<IpNet> = vec![allow.parse().expect("net")];
        let ip: IpAddr = ip.parse().expect("ip");
        assert_eq!(check(ip, Family::of(ip), &nets), expect, "{allow} {ip}");
    }
}

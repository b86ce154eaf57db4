//! Where this process listens itself. A proxy that connected there would carry its clients to itself, again and again.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::net::sockopt;

/// The addresses that this process listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listens(BTreeSet<SocketAddr>);

impl FromIterator<SocketAddr> for Listens {
    fn from_iter<T: IntoIterator<Item = SocketAddr>>(addresses: T) -> Self {
        let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Self(addresses.into_iter().map(plain).collect())
    }
}

impl Listens {
    /// Whether a connection to an address would come back to this process.
    pub fn at(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let takes = |own: &SocketAddr| match own.ip() {
            // Linux lets a socket for every IPv6 address take IPv4, too.
            own if own.is_unspecified() => (own.is_ipv6() || ip.is_ipv4()) && is_of_this_machine(ip),
            own => own == ip,
        };
        let mut of_port = self.0.iter().filter(|own| own.port() == address.port());
        of_port.any(takes)
    }
}

/// Whether an address is one of this machine's, whatever interface, alias or route makes it one. Nothing is sent. That it can be
/// bound to would not show it: where `ip_nonlocal_bind` is set, as on hosts that share an address, every address can.
fn is_of_this_machine(ip: IpAddr) -> bool {
    match ip {
        ip if ip.is_loopback() => true,
        // The interface for multicast can be named by an address of its own only (ip(7), IP_MULTICAST_IF).
        IpAddr::V4(ip) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .is_ok_and(|socket| sockopt::set_ip_multicast_if(&socket, &ip).is_ok()),
        // Whoever sends to an address of its own does so from that address (RFC 6724, rule 1).
        IpAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
            .and_then(|socket| socket.connect((ip, 9)).and_then(|()| socket.local_addr()))
            .is_ok_and(|from| from.ip() == ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_known_by_its_address_and_port() {
        for (listens, address, expect) in [
            (&["127.0.0.1:5432"][..], "127.0.0.1:5432", true),
            (&["127.0.0.1:5432"], "127.0.0.1:5433", false),
            // A database on the same machine, at another address.
            (&["127.0.0.1:5432"], "127.0.0.2:5432", false),
            (&["0.0.0.0:5432"], "127.0.0.1:5432", true),
            (&["0.0.0.0:5432"], "127.9.8.7:5432", true),
            (&["0.0.0.0:5432"], "127.9.8.7:5433", false),
            (&["0.0.0.0:5432"], "192.0.2.1:5432", false),
            (&["0.0.0.0:5432"], "[::1]:5432", false),
            (&["0.0.0.0:5432"], "[::ffff:127.0.0.1]:5432", true),
            (&["[::]:5432"], "127.0.0.1:5432", true),
            (&["[::]:5432"], "[::1]:5432", true),
            (&["[::]:5432"], "192.0.2.1:5432", false),
            (&["[::]:5432"], "[2001:db8::1]:5432", false),
            (&["[::ffff:127.0.0.1]:5432"], "127.0.0.1:5432", true),
            (&["0.0.0.0:5432", "127.0.0.1:9477"], "127.0.0.1:9477", true),
            (&[], "127.0.0.1:5432", false),
        ] {
            let own: Listens = listens.iter().map(|text| text.parse().expect("an address")).collect();
            assert_eq!(
                own.at(address.parse().expect("an address")),
                expect,
                "{listens:?} {address}"
            );
        }
    }
}

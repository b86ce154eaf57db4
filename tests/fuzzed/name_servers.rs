//! /etc/resolv.conf.

use std::collections::BTreeSet;

use rds_tether::dns::resolv_conf::name_servers;

/// There are from one to three name servers, each once, that can be asked.
pub fn check(data: &[u8]) {
    let servers = name_servers(data);
    assert!((1..=3).contains(&servers.len()), "{servers:?}");
    assert_eq!(
        servers.iter().collect::<BTreeSet<_>>().len(),
        servers.len(),
        "{servers:?}"
    );
    for server in servers {
        assert!(server.port() == 53 && !server.ip().is_unspecified(), "{server}");
    }
}

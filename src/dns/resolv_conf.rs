//! The name servers of /etc/resolv.conf as glibc reads them (2.36, resolv/res_init.c): whom every other program of the host asks,
//! whatever else the file says.

use std::io::{ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::file;

const PORT: u16 = 53;
/// Further ones are never asked (MAXNS).
const SERVERS_MAX: usize = 3;
/// Who is asked where no name server is named.
pub const THIS_HOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);

/// The name servers of a file, or of an empty one if it is missing.
pub fn read(path: &Path) -> Result<Vec<SocketAddr>> {
    match file::read(path, file::RESOLV_CONF_MAX) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(name_servers(b"")),
        text => text.map(|text| name_servers(&text)),
    }
}

/// The name servers of a file with this text, in order, each once; at least one.
pub fn name_servers(text: &[u8]) -> Vec<SocketAddr> {
    let lines = text.split(|byte| *byte == b'\n');
    let mut servers = Vec::new();
    for ip in lines.filter_map(name_server).take(SERVERS_MAX) {
        let server = SocketAddr::new(ip, PORT);
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    if servers.is_empty() {
        servers.push(THIS_HOST);
    }
    servers
}

/// The address of a line `nameserver ADDRESS`; none of any other.
///
/// The scope of a link-local address is dropped, because the resolver has no place for one: the kernel sends a datagram without a
/// scope through an interface that has link-local addresses, and there is one of these on most hosts.
fn name_server(line: &[u8]) -> Option<IpAddr> {
    // C's strings end there.
    let line = line.split(|byte| *byte == 0).next()?;
    let rest = line.strip_prefix(b"nameserver")?;
    let mut words = rest.split(|byte| b" \t".contains(byte));
    // What follows the keyword without a blank makes another word of it.
    words.next().filter(|glued| glued.is_empty())?;
    let word = str::from_utf8(words.find(|word| !word.is_empty())?).ok()?;
    let ip = match ipv4(word) {
        Some(ip) => IpAddr::V4(ip),
        None => IpAddr::V6(word.split('%').next()?.parse().ok()?),
    };
    // What is sent to nobody in particular arrives on this host, and is answered from its own address.
    Some(match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    })
}

/// An address in any form that inet_aton knows: up to four numbers, of which the last fills all octets that are left.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, octets) = numbers.split_last()?;
    let room = match octets.len() {
        0..=3 => u32::MAX >> (8 * octets.len()),
        _ => return None,
    };
    let mut bits = (*last <= room).then_some(*last)?;
    for (octet, shift) in octets.iter().zip([24, 16, 8]) {
        bits |= u32::from(u8::try_from(*octet).ok()?) << shift;
    }
    Some(Ipv4Addr::from_bits(bits))
}

/// A number as C writes it: decimal, octal after 0, hexadecimal after 0x.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let is_unsigned = !digits.starts_with('+');
    u32::from_str_radix(digits, radix).ok().filter(|_| is_unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    include!("../../tests/resolv_conf/forms.rs");

    #[test]
    fn each_form_is_read_as_glibc_reads_it() {
        for (text, expected) in FORMS {
            let servers: Vec<String> = name_servers(text)
                .iter()
                .map(|server| server.ip().to_string())
                .collect();
            assert_eq!(servers, *expected, "{:?}", text.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_missing_file_is_an_empty_one_and_what_cannot_be_read_is_not() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(read(&folder.join("no-such-file")).ok(), Some(vec![THIS_HOST]));
        assert!(read(folder).is_err());
    }
}

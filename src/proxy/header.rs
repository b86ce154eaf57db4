//! The PROXY protocol, version 2, as a Network Load Balancer sends it in front of a connection's bytes.
//!
//! Source: The PROXY protocol, versions 1 & 2 (HAProxy Technologies), section 2.2. Public for tests.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_BYTES: usize = 16;
/// A header with more than this behind its fixed part is none that a load balancer sends.
const REST_MAX_BYTES: usize = 4096;

/// Why a connection does not begin with a header.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It begins with something else.
    #[error(
        "it does not begin with a PROXY protocol v2 header; switch proxy_protocol_v2.enabled on for the target group, \
         or --accept-proxy-protocol off"
    )]
    NotThere,
    /// The header cannot be read.
    #[error("its PROXY protocol header is malformed ({0})")]
    Malformed(&'static str),
    /// The connection failed before its header had come.
    #[error("it ended before its PROXY protocol header: {0}")]
    Ended(io::Error),
}

/// Reads the header and no byte behind it. Gives the client's address; none if the load balancer itself is the client, as in
/// health checks, or if the address is of another kind. If it is dropped, what it has read is lost, and so the connection.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Error> {
    let mut fixed = [0; FIXED_BYTES];
    // What cannot become a header is found out at once rather than waited for.
    stream.read_exact(&mut fixed[..1]).await.map_err(Error::Ended)?;
    if fixed[0] != SIGNATURE[0] {
        return Err(Error::NotThere);
    }
    stream.read_exact(&mut fixed[1..]).await.map_err(Error::Ended)?;
    if fixed[..12] != SIGNATURE {
        return Err(Error::NotThere);
    }
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if fixed[12] >> 4 != 2 {
        return Err(Error::Malformed("not version 2"));
    }
    if length > REST_MAX_BYTES {
        return Err(Error::Malformed("too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await.map_err(Error::Ended)?;
    match fixed[12] & 0x0f {
        0 => Ok(None),
        1 => source(fixed[13], &rest),
        _ => Err(Error::Malformed("unknown command")),
    }
}

fn source(family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, Error> {
    let short = Error::Malformed("shorter than its addresses");
    let port = |at: usize| Some(u16::from_be_bytes(*rest.get(at..at + 2)?.first_chunk()?));
    let source = match family {
        0x11 => rest
            .first_chunk::<4>()
            .map(|ip| IpAddr::V4(Ipv4Addr::from(*ip)))
            .zip(port(8)),
        0x21 => rest
            .first_chunk::<16>()
            .map(|ip| IpAddr::V6(Ipv6Addr::from(*ip)))
            .zip(port(32)),
        _ => return Ok(None),
    };
    source.map(|(ip, port)| Some(SocketAddr::new(ip, port))).ok_or(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &[u8] = &[10, 0, 0, 1, 10, 0, 0, 9, 0x30, 0x39, 0x15, 0x38];

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    async fn read_all(bytes: &[u8]) -> (Result<Option<SocketAddr>, Error>, usize) {
        let mut left = bytes;
        let read = read(&mut left).await;
        (read, left.len())
    }

    #[tokio::test]
    async fn a_header_tells_the_client_and_leaves_the_rest() {
        let v6 = [&[0xfd; 16][..], &[0xfe; 16], &[0, 80, 0, 81]].concat();
        let with_more = [V4, &[4, 0, 1, 9]].concat();
        for (header, expect) in [
            (header(0x21, 0x11, V4), Some("10.0.0.1:12345")),
            (header(0x21, 0x11, &with_more), Some("10.0.0.1:12345")),
            (
                header(0x21, 0x21, &v6),
                Some("[fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:80"),
            ),
            (header(0x20, 0x00, &[]), None),
            (header(0x20, 0x11, V4), None),
            (header(0x21, 0x31, &[0; 216]), None),
        ] {
            let (read, left) = read_all(&[&header[..], b"stream"].concat()).await;
            let expect = expect.map(|text| text.parse().expect("an address"));
            assert_eq!((read.expect("a header"), left), (expect, 6), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_told() {
        let mut wrong_end = header(0x21, 0x11, V4);
        wrong_end[11] = b'x';
        for (bytes, expect) in [
            (&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], "does not begin with"),
            (b"PROXY TCP4 10.0.0.1 10.0.0.9 1 2\r\n", "does not begin with"),
            (&wrong_end, "does not begin with"),
            (&header(0x11, 0x11, V4), "not version 2"),
            (&header(0x22, 0x11, V4), "unknown command"),
            (&header(0x21, 0x11, &V4[..8]), "shorter than"),
            (&header(0x21, 0x21, V4), "shorter than"),
            (&header(0x21, 0x11, &[0; REST_MAX_BYTES + 1]), "too long"),
            (&header(0x21, 0x11, V4)[..20], "ended before"),
            (b"", "ended before"),
        ] {
            let error = read_all(bytes).await.0.expect_err("no header").to_string();
            assert!(error.contains(expect), "{bytes:?}: {error}");
        }
    }
}

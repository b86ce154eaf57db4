//! What a connection begins with, where a load balancer puts a PROXY protocol header in front.

use std::collections::VecDeque;
use std::net::SocketAddr;

use rds_tether::proxy::header::{Error, read};
use tokio::io::AsyncReadExt as _;

use super::alone::{Script, alone};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;

/// A header is what the specification says, is taken off whole, and nothing behind it is touched, in whatever pieces it comes.
pub fn check(data: &[u8]) {
    let [whole, slow] = [0, 1].map(|piece| {
        let mut stream = Script::new(VecDeque::from([data.to_vec()]), piece);
        alone(async {
            let read = read(&mut stream).await;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            (read, rest)
        })
    });
    let words = |read: &Result<Option<SocketAddr>, Error>| read.as_ref().map_err(ToString::to_string).copied();
    assert_eq!(
        (words(&whole.0), &whole.1),
        (words(&slow.0), &slow.1),
        "in one piece, and byte by byte"
    );
    let (Ok(client), rest) = whole else { return };
    let (head, body) = data.split_at(FIXED);
    assert!(head.starts_with(SIGNATURE) && head[12] >> 4 == 2, "{head:?}");
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let (body, behind) = body.split_at(length);
    assert_eq!(rest, behind, "what stands behind it");
    let told = client.map(|client| (client.ip().to_string(), client.port().to_be_bytes().to_vec()));
    let is_proxied = head[12] & 0x0f == 1;
    let expect = match head[13] {
        0x11 if is_proxied => Some((
            std::net::Ipv4Addr::from(<[u8; 4]>::try_from(&body[..4]).unwrap()).to_string(),
            body[8..10].to_vec(),
        )),
        0x21 if is_proxied => Some((
            std::net::Ipv6Addr::from(<[u8; 16]>::try_from(&body[..16]).unwrap()).to_string(),
            body[32..34].to_vec(),
        )),
        _ => None,
    };
    assert_eq!(told, expect);
}

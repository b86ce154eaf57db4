//! One question to any name server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::{RData, RecordType};

use super::parse_name;

/// The same for all: each question has a socket of its own, so that no reply to another one comes there.
const ID: u16 = 0x1d1d;

/// Asks once, over UDP, for the IPv4 addresses of a name; none if no reply comes in time, and none of them with a failure.
///
/// # Panics
/// If there is no socket to ask from, or the name is none.
pub fn ask(server: SocketAddr, name: &str, within: Duration) -> Option<Vec<IpAddr>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.set_read_timeout(Some(within)).expect("a time");
    socket.connect(server).expect("an address");
    // Where nobody listens, the kernel says so.
    socket.send(&question(name)).ok()?;
    let reply = receive(&socket).ok()?;
    let address = |data: &RData| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        _ => None,
    };
    Some(
        reply
            .answers
            .iter()
            .filter_map(|record| address(&record.data))
            .collect(),
    )
}

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::new(ID, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.queries.push(Query::query(parse_name(name), RecordType::A));
    message.to_vec().expect("a name can be asked for")
}

fn receive(socket: &UdpSocket) -> io::Result<Message> {
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer)?;
    Message::from_vec(&buffer[..length]).map_err(io::Error::other)
}

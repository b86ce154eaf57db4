//! The replies of a name server: each as it comes by TCP, its length in two bytes before it. By UDP the length is left away.

use std::collections::{BTreeSet, VecDeque};
use std::io::Result;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use hickory_resolver::net::runtime::{DnsTcpStream, DnsUdpSocket, RuntimeProvider, TokioHandle, TokioTime};
use rds_tether::dns::{ALIASES_MAX, Bounded, Client};
use rds_tether::planner::answer::{ADDRESSES_MAX, Failure};
use rds_tether::planner::target::Family;

use super::alone::alone;

const NAME: &str = "db.example";
const SERVER: &str = "127.0.0.1:53";
const DEADLINE: Duration = Duration::from_secs(2);
/// Types of records.
const ADDRESS: u16 = 1;
const ALIAS: u16 = 5;
const ADDRESS_V6: u16 = 28;

/// What is taken for addresses stands in a reply, at a name that the aliases in the replies lead to; there are some, and not too many.
pub fn check(data: &[u8]) {
    let Some((way, data)) = data.split_first() else { return };
    let family = if way & 1 == 0 { Family::Ipv4 } else { Family::Ipv6 };
    let frames = frames(data);
    let wire = Wire(Arc::new(Mutex::new(frames.clone().into())));
    let heard = alone(async {
        let client = Client::through(wire, SERVER.parse().unwrap(), DEADLINE).unwrap();
        client.ask(NAME, family).await
    });
    let records: Vec<Record> = frames
        .iter()
        .flat_map(|frame| records(frame.get(2..).unwrap_or_default()))
        .collect();
    match heard.said {
        Ok(said) => {
            assert_eq!(heard.kept, None, "{said:?}");
            assert!((1..=ADDRESSES_MAX).contains(&said.addresses.len()), "{said:?}");
            let given = reached(&records);
            assert!(
                said.addresses.is_subset(&given),
                "{said:?}, and at the names of the chain are {given:?}"
            );
            assert!(said.names.len() <= ALIASES_MAX, "{said:?}");
            for name in &said.names {
                let is_plain =
                    name.is_ascii() && !name.contains(|char: char| char.is_control() || char.is_ascii_uppercase());
                assert!(is_plain && *name != NAME, "{said:?}");
            }
            let names: BTreeSet<_> = said.names.iter().collect();
            assert_eq!(names.len(), said.names.len(), "{said:?}");
            assert!(said.stale.is_none_or(|code| [3, 19].contains(&code)), "{said:?}");
        }
        Err(failure) => {
            assert!(!failure.to_string().is_empty());
            if let Failure::TooMany(count) = failure {
                assert!(count > ADDRESSES_MAX, "{count}");
            }
        }
    }
}

/// The replies, each with the length that stands before it; the last may be shorter than that.
fn frames(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((length, _)) = data.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (frame, rest) = data.split_at(data.len().min(2 + length));
        frames.push(frame.to_vec());
        data = rest;
    }
    frames
}

/// A record of an answer.
struct Record {
    owner: Vec<u8>,
    kind: u16,
    data: Vec<u8>,
    /// Where an alias leads.
    alias: Option<Vec<u8>>,
}

/// The records in the answer of a message, as far as they can be read.
fn records(message: &[u8]) -> Vec<Record> {
    let number = |at: usize| Some(u16::from_be_bytes(*message.get(at..at + 2)?.first_chunk()?));
    let Some((questions, answers)) = number(4).zip(number(6)) else {
        return Vec::new();
    };
    let mut at = 12;
    for _ in 0..questions {
        match name(message, at) {
            Some((_, end)) => at = end + 4,
            None => return Vec::new(),
        }
    }
    let record = |_| {
        let (owner, end) = name(message, at)?;
        let (kind, length) = (number(end)?, usize::from(number(end + 8)?));
        let start = end + 10;
        at = start + length;
        let data = message.get(start..at)?.to_vec();
        let alias = name(message, start).map(|(alias, _)| alias);
        Some(Record {
            owner,
            kind,
            data,
            alias,
        })
    };
    (0..answers).map_while(record).collect()
}

/// A name in a message, in lower case, and where it ends there.
fn name(message: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let (mut name, mut end) = (Vec::new(), None);
    for _ in 0..=message.len() {
        let length = *message.get(at)?;
        if length >= 0xc0 {
            end.get_or_insert(at + 2);
            at = usize::from(u16::from_be_bytes([length & 0x3f, *message.get(at + 1)?]));
            continue;
        }
        name.extend(message.get(at..=at + usize::from(length))?);
        at += 1 + usize::from(length);
        if length == 0 {
            return Some((name.to_ascii_lowercase(), end.unwrap_or(at)));
        }
    }
    None
}

/// The addresses at the name and at all that its aliases lead to.
fn reached(records: &[Record]) -> BTreeSet<IpAddr> {
    let mut names = BTreeSet::from([b"\x02db\x07example\0".to_vec()]);
    loop {
        let aliases = records
            .iter()
            .filter(|record| record.kind == ALIAS && names.contains(&record.owner));
        let more: Vec<Vec<u8>> = aliases.filter_map(|record| record.alias.clone()).collect();
        let before = names.len();
        names.extend(more);
        if names.len() == before {
            break;
        }
    }
    let address = |record: &Record| match record.kind {
        ADDRESS => Some(IpAddr::from(<[u8; 4]>::try_from(&record.data[..]).ok()?)),
        ADDRESS_V6 => Some(IpAddr::from(<[u8; 16]>::try_from(&record.data[..]).ok()?)),
        _ => None,
    };
    records
        .iter()
        .filter(|record| names.contains(&record.owner))
        .filter_map(address)
        .collect()
}

/// The way to the name server: the replies that it has left, each given for the question that it is asked next.
#[derive(Clone)]
struct Wire(Arc<Mutex<VecDeque<Vec<u8>>>>);

/// A socket of either kind: what it has heard, and who waits for that.
struct Socket {
    wire: Wire,
    heard: Mutex<(VecDeque<u8>, Option<Waker>)>,
}

impl Wire {
    fn socket(&self) -> Socket {
        let (wire, heard) = (self.clone(), Mutex::default());
        Socket { wire, heard }
    }
}

impl Socket {
    /// Takes a question for the next reply, which gets its number.
    fn ask(&self, question: &[u8], is_stream: bool) {
        let Some(mut reply) = self.wire.0.lock().unwrap().pop_front() else {
            return;
        };
        for (to, from) in reply.iter_mut().skip(2).zip(&question[..2]) {
            *to = *from;
        }
        let mut heard = self.heard.lock().unwrap();
        heard.0.extend(reply.iter().skip(if is_stream { 0 } else { 2 }));
        if let Some(waker) = heard.1.take() {
            waker.wake();
        }
    }

    /// What it has heard, as far as there is room.
    fn hear(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        let mut heard = self.heard.lock().unwrap();
        let length = heard.0.len().min(buffer.len());
        if length == 0 {
            heard.1 = Some(context.waker().clone());
            return Poll::Pending;
        }
        for (to, from) in buffer.iter_mut().zip(heard.0.drain(..length)) {
            *to = from;
        }
        Poll::Ready(Ok(length))
    }
}

impl RuntimeProvider for Wire {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Socket;
    type Tcp = Bounded<Socket>;

    fn create_handle(&self) -> Self::Handle {
        TokioHandle::default()
    }

    fn connect_tcp(
        &self,
        _: SocketAddr,
        _: Option<SocketAddr>,
        _: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = Result<Self::Tcp>>>> {
        let socket = self.socket();
        Box::pin(async { Ok(Bounded(socket)) })
    }

    fn bind_udp(&self, _: SocketAddr, _: SocketAddr) -> Pin<Box<dyn Send + Future<Output = Result<Self::Udp>>>> {
        let socket = self.socket();
        Box::pin(async { Ok(socket) })
    }
}

impl DnsUdpSocket for Socket {
    type Time = TokioTime;

    fn poll_recv_from(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<(usize, SocketAddr)>> {
        let length = self.hear(context, buffer)?;
        length.map(|length| Ok((length, SERVER.parse().unwrap())))
    }

    fn poll_send_to(&self, _: &mut Context<'_>, question: &[u8], _: SocketAddr) -> Poll<Result<usize>> {
        self.ask(question, false);
        Poll::Ready(Ok(question.len()))
    }
}

impl DnsTcpStream for Socket {
    type Time = TokioTime;
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        self.hear(context, buffer)
    }
}

impl AsyncWrite for Socket {
    /// A question comes in one piece, behind the two bytes of its length.
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<Result<usize>> {
        if buffer.len() > 2 {
            self.ask(buffer, true);
        }
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

//! Between resolutions and the bytes of messages.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::opt::EdnsOption;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::journal::Answered;
use super::zone::{Body, Distortion, Resolution};

/// What is answered for instead of the name asked for; not below a name that resolvers keep to themselves.
const WRONG_NAME: &str = "wrong-name.example.";

/// Turns an id into a wrong one.
const WRONG_ID_BITS: u16 = 0x5555;

/// After an id: a response with one question, whose name's first label ends before its announced length.
pub(super) const GARBAGE: [u8; 13] = [0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 63, b'?', b'?'];

/// The number of the option that says more of an answer (RFC 8914), which hickory-proto does not know by name, and one of its codes.
const EXTENDED_DNS_ERROR: u16 = 15;
const STALE_ANSWER: u16 = 3;

/// A query with exactly one question.
#[derive(Debug)]
pub(super) struct Request {
    metadata: Metadata,
    question: Query,
    edns: bool,
    max_payload: u16,
}

impl Request {
    /// Reads a query; `None` for anything that is not a standard query with one question.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut message = Message::from_vec(bytes).ok()?;
        let (kind, op_code) = (message.metadata.message_type, message.metadata.op_code);
        let standard = kind == MessageType::Query && op_code == OpCode::Query && message.queries.len() == 1;
        let question = message.queries.pop().filter(|_| standard)?;
        Some(Self {
            metadata: message.metadata,
            question,
            edns: message.edns.is_some(),
            max_payload: message.max_payload(),
        })
    }

    pub(super) fn id(&self) -> u16 {
        self.metadata.id
    }

    pub(super) fn name(&self) -> &Name {
        self.question.name()
    }

    pub(super) fn kind(&self) -> RecordType {
        self.question.query_type()
    }
}

/// Bytes to send, and how much later.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    pub(super) delay: Duration,
}

/// Makes the reply to a request, for the record and for the socket.
pub(super) fn reply(request: &Request, resolution: &Resolution, tcp: bool) -> (Answered, Option<Reply>) {
    let distortion = &resolution.distortion;
    let (answered, bytes) = match &resolution.body {
        Body::Silence => return (Answered::Nothing, None),
        Body::Raw(bytes) if !tcp && bytes.len() + 2 > request.max_payload.into() => {
            let message = message(request, ResponseCode::NoError, &[], &[]);
            (Answered::Truncated, to_bytes(&message.truncate()))
        }
        Body::Raw(bytes) => (
            Answered::Malformed,
            [request.id().to_be_bytes().as_slice(), bytes].concat(),
        ),
        Body::Message {
            code,
            answers,
            authorities,
        } => {
            let message = message(request, *code, answers, authorities);
            encode(request, message, distortion, tcp)
        }
    };
    (
        answered,
        Some(Reply {
            bytes,
            delay: distortion.delay,
        }),
    )
}

fn message(request: &Request, code: ResponseCode, answers: &[Record], authorities: &[Record]) -> Message {
    let mut message = Message::response(request.id(), OpCode::Query);
    message.metadata = Metadata::response_from_request(&request.metadata);
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.queries.push(request.question.clone());
    message.answers.extend_from_slice(answers);
    message.authorities.extend_from_slice(authorities);
    message.edns = request.edns.then(Edns::new);
    message
}

fn encode(request: &Request, mut message: Message, distortion: &Distortion, tcp: bool) -> (Answered, Vec<u8>) {
    if let Some(edns) = message.edns.as_mut().filter(|_| distortion.stale) {
        edns.options_mut().insert(EdnsOption::Unknown(
            EXTENDED_DNS_ERROR,
            STALE_ANSWER.to_be_bytes().to_vec(),
        ));
    }
    if distortion.wrong_id {
        message.metadata.id ^= WRONG_ID_BITS;
    }
    if distortion.wrong_name {
        rename(&mut message);
    }
    let bytes = to_bytes(&message);
    let limit = if tcp { u16::MAX } else { request.max_payload };
    if !tcp && distortion.truncated || bytes.len() > limit.into() {
        return (Answered::Truncated, to_bytes(&message.truncate()));
    }
    if distortion.wrong_id || distortion.wrong_name {
        return (Answered::Forged, bytes);
    }
    let code = message.metadata.response_code;
    (
        Answered::Message {
            code,
            addresses: addresses(&message.answers),
        },
        bytes,
    )
}

fn rename(message: &mut Message) {
    let wrong = Name::from_ascii(WRONG_NAME).expect("the constant is a domain name");
    for question in &mut message.queries {
        let right = std::mem::replace(&mut question.name, wrong.clone());
        for record in message.answers.iter_mut().filter(|record| record.name == right) {
            record.name = wrong.clone();
        }
    }
}

pub(super) fn addresses(answers: &[Record]) -> Vec<IpAddr> {
    let address = |record: &Record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    };
    answers.iter().filter_map(address).collect()
}

fn to_bytes(message: &Message) -> Vec<u8> {
    message
        .to_vec()
        .expect("a message made of valid names and addresses can be encoded")
}

//! One request over HTTP, written and read by hand, so that a test sees what came over the wire.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::program::{FOREIGN_MAX, PATIENCE};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// The values of its headers, by names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
}

/// Asks for a path, as it is typed, without a body.
///
/// # Panics
/// If nobody listens, or no answer comes in time.
#[track_caller]
pub fn ask(address: impl ToSocketAddrs, method: &str, path: &str) -> Answer {
    send(address, PATIENCE, method, path, &[], None)
}

/// Sends a form or another text to a server of somebody else's, with headers besides its length.
///
/// # Panics
/// As [`ask`].
#[track_caller]
pub fn post(address: impl ToSocketAddrs, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    send(address, FOREIGN_MAX, "POST", path, headers, Some(body))
}

#[track_caller]
fn send(
    address: impl ToSocketAddrs,
    limit: Duration,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Answer {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(limit)).expect("a time");
    let host = stream.peer_addr().expect("connected");
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    match body {
        Some(body) => request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len())),
        None => request.push_str("\r\n"),
    }
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer in time, in text");
    read(&text)
}

#[track_caller]
fn read(text: &str) -> Answer {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head in {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no header: {line}")));
    Answer {
        status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

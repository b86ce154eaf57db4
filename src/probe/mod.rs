//! Asks an address whether the database is there: connects, asks PostgreSQL for TLS, and checks the certificate.
//!
//! It knows nothing of who asks or why, and changes nothing on the other side: the connection ends before any start-up message.

pub mod ready;
mod trust;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, CertificateError};

pub use trust::Trust;

/// SSLRequest: its length, and a code that no protocol version has (PostgreSQL documentation, "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// What is looked at of an answer: a whole greeting of MySQL.
const ANSWER_MAX: usize = 128;
/// The most names of a certificate that are worth repeating.
const NAMES_MAX: usize = 4;

/// How much to ask for.
#[derive(Clone, Copy, Debug)]
pub enum Depth<'a> {
    /// A TCP connection.
    Tcp,
    /// That, an answer to PostgreSQL's SSLRequest, and a TLS handshake with a server of this name.
    Tls(&'a str, &'a Trust),
}

/// An address that answered as far as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// How long the TCP connection took.
    pub connected: Duration,
    /// The TLS version, if that far was asked for, for example `TLSv1_3`.
    pub tls: Option<String>,
}

/// How far a probe came before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The TCP connection.
    Tcp,
    /// The answer to SSLRequest.
    Postgres,
    /// The TLS handshake.
    Tls,
}

/// The reasons for which a probe fails, told apart by how they are mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The host answers that nothing listens there.
    Refused,
    /// The network leads nowhere.
    Unreachable(String),
    /// Nothing came in time.
    TimedOut(Stage),
    /// The connection was ended from the other side, or broke.
    Closed(Stage, String),
    /// Something answers, but not PostgreSQL; the first byte it said.
    NotPostgres(u8),
    /// MySQL or MariaDB answers: the first byte, and its version or what it refuses.
    Mysql(u8, String),
    /// PostgreSQL does not speak TLS.
    TlsRefused,
    /// TLS could not be agreed upon.
    Handshake(String),
    /// The certificate is for other names: these.
    WrongName(Vec<String>),
    /// Nobody who is trusted has signed the certificate.
    UnknownCa,
    /// The certificate is no longer valid.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate cannot be used for another reason.
    BadCertificate(String),
}

/// Connects to an address and asks as far as `depth` says, all within `limit`.
///
/// # Errors
/// The [`Trouble`] of the first stage that fails. If it is dropped, the connection is closed and nothing else is left behind.
pub async fn probe(address: SocketAddr, depth: Depth<'_>, limit: Duration) -> Result<Reached, Trouble> {
    let start = Instant::now();
    let end = start + limit;
    let connected = timeout_at(end, TcpStream::connect(address)).await;
    let mut stream = connected
        .map_err(|_| Trouble::TimedOut(Stage::Tcp))?
        .map_err(|error| Trouble::of_connect(&error))?;
    let connected = start.elapsed();
    let Depth::Tls(name, trust) = depth else {
        return Ok(Reached { connected, tls: None });
    };
    begin_tls(&mut stream, end).await?;
    let tls = shake_hands(stream, name, trust, end).await?;
    let version = tls.get_ref().1.protocol_version();
    Ok(Reached {
        connected,
        tls: version.map(|version| format!("{version:?}")),
    })
}

/// Asks PostgreSQL over a new connection for TLS, by then.
///
/// # Errors
/// [`Trouble::TlsRefused`] if it speaks none; the connection goes on without.
pub async fn begin_tls(stream: &mut TcpStream, end: Instant) -> Result<(), Trouble> {
    let asked = timeout_at(end, ask_for_tls(stream)).await;
    asked.unwrap_or(Err(Trouble::TimedOut(Stage::Postgres)))
}

/// Speaks TLS with a server of this name, by then.
///
/// # Errors
/// If the handshake fails, or the certificate is not believed.
pub async fn shake_hands(
    stream: TcpStream,
    name: &str,
    trust: &Trust,
    end: Instant,
) -> Result<TlsStream<TcpStream>, Trouble> {
    match timeout_at(end, trust.handshake(name, stream)).await {
        Ok(shaken) => shaken.map_err(|error| Trouble::of_handshake(&error)),
        Err(_) => Err(Trouble::TimedOut(Stage::Tls)),
    }
}

async fn ask_for_tls(stream: &mut TcpStream) -> Result<(), Trouble> {
    let closed = |error: io::Error| Trouble::Closed(Stage::Postgres, plain(&error));
    stream.write_all(&SSL_REQUEST).await.map_err(closed)?;
    let mut answer = [0; ANSWER_MAX];
    let length = stream.peek(&mut answer).await.map_err(closed)?;
    // It may begin with any byte, an S or N too.
    if let Some(words) = greeting(&answer[..length]) {
        return Err(Trouble::Mysql(answer[0], words));
    }
    match stream.read_u8().await.map_err(closed)? {
        b'S' => Ok(()),
        b'N' => Err(Trouble::TlsRefused),
        other => Err(Trouble::NotPostgres(other)),
    }
}

/// The version in the first packet of a MySQL or MariaDB, or the words of its refusal (MySQL internals, "Connection Phase"): three
/// bytes of length, the packet's number, 0, and the version of the protocol, 10, or the sign of an error and its number.
fn greeting(answer: &[u8]) -> Option<String> {
    let text = match answer {
        [_, _, 0, 0, 10, rest @ ..] => rest.split(|byte| *byte == 0).next()?,
        [_, _, 0, 0, 0xff, low, high, rest @ ..] => {
            let words = String::from_utf8_lossy(
                rest.strip_prefix(b"#")
                    .map_or(rest, |rest| rest.get(5..).unwrap_or(rest)),
            );
            return Some(format!("error {}: {}", u16::from_le_bytes([*low, *high]), words));
        }
        _ => return None,
    };
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Whether an error means that the other side ended the connection.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

/// The words for an error that people know it by.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "the other side closed the connection".into(),
        ErrorKind::ConnectionReset => "the other side reset the connection".into(),
        _ => error.to_string(),
    }
}

impl Trouble {
    /// Whether something answered that is not the database asked for; otherwise nothing has, or a database in trouble.
    pub fn is_of_another(&self) -> bool {
        /// What PostgreSQL answers to SSLRequest when it fails, such as for want of memory.
        const ERROR: u8 = b'E';
        match self {
            Self::NotPostgres(ERROR)
            | Self::Refused
            | Self::Unreachable(_)
            | Self::TimedOut(_)
            | Self::Closed(..)
            | Self::Handshake(_) => false,
            Self::NotPostgres(_)
            | Self::Mysql(..)
            | Self::TlsRefused
            | Self::WrongName(_)
            | Self::UnknownCa
            | Self::Expired
            | Self::NotYetValid
            | Self::BadCertificate(_) => true,
        }
    }

    /// Reads a failure to connect.
    pub fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::TimedOut => Self::TimedOut(Stage::Tcp),
            ErrorKind::ConnectionReset => Self::Closed(Stage::Tcp, plain(error)),
            _ => Self::Unreachable(error.to_string()),
        }
    }

    /// Reads a failed handshake.
    pub fn of_handshake(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(certificate)) => Self::of_certificate(certificate),
            Some(other) => Self::Handshake(other.to_string()),
            None if is_end(error) => Self::Closed(Stage::Tls, plain(error)),
            None => Self::Handshake(error.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::NotValidForName => Self::WrongName(Vec::new()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                // Each is wrapped in the name of its type: DnsName("...").
                let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
                Self::WrongName(presented.iter().map(bare).collect())
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownCa,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            // A self-signed CA certificate in the place of a server's.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Self::UnknownCa,
            other => Self::BadCertificate(other.to_string()),
        }
    }

    /// How far the probe came.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Refused | Self::Unreachable(_) => Stage::Tcp,
            Self::TimedOut(stage) | Self::Closed(stage, _) => *stage,
            Self::NotPostgres(_) | Self::Mysql(..) | Self::TlsRefused => Stage::Postgres,
            Self::Handshake(_)
            | Self::WrongName(_)
            | Self::UnknownCa
            | Self::Expired
            | Self::NotYetValid
            | Self::BadCertificate(_) => Stage::Tls,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "to the connection",
            Self::Postgres => "to PostgreSQL's SSLRequest",
            Self::Tls => "to the TLS handshake",
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused: the host is there, nothing listens on the port"),
            Self::Unreachable(why) => write!(f, "no way to the address: {why}"),
            Self::TimedOut(stage) => write!(f, "no answer in time {stage}"),
            Self::Closed(stage, why) => write!(f, "{why} instead of an answer {stage}"),
            Self::NotPostgres(byte) => {
                write!(
                    f,
                    "what answers is not PostgreSQL: its first byte is {byte:#04x}, neither S nor N"
                )
            }
            Self::Mysql(byte, words) => write!(
                f,
                "what answers is not PostgreSQL but MySQL or MariaDB ({words}): its first byte is {byte:#04x}"
            ),
            Self::TlsRefused => f.write_str("PostgreSQL answers, but speaks no TLS"),
            Self::Handshake(why) => write!(f, "TLS could not be agreed upon: {why}"),
            Self::WrongName(names) if names.is_empty() => f.write_str("the certificate names another server"),
            Self::WrongName(names) => {
                let more = names.len().saturating_sub(NAMES_MAX);
                let shown = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
                write!(f, "the certificate is for {shown}")?;
                if more > 0 {
                    write!(f, " and {more} more")
                } else {
                    Ok(())
                }
            }
            Self::UnknownCa => f.write_str("no CA of the bundle has signed the certificate"),
            Self::Expired => f.write_str("the certificate has expired"),
            Self::NotYetValid => f.write_str("the certificate is not valid yet"),
            Self::BadCertificate(why) => write!(f, "the certificate cannot be used: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mysql_is_known_by_its_greeting_whatever_byte_that_begins_with() {
        for (answer, words) in [
            (b"\x4a\0\0\0\x0a8.0.36\0\x08\0" as &[u8], Some("8.0.36")),
            (b"S\0\0\0\x0a5.5.5-10.11.6-MariaDB\0", Some("5.5.5-10.11.6-MariaDB")),
            (b"N\0\0\0\x0a8.0.32-rds\0", Some("8.0.32-rds")),
            (
                b"\x45\0\0\0\xff\x69\x04Host '10.0.1.7' is blocked",
                Some("error 1129: Host '10.0.1.7' is blocked"),
            ),
            (
                b"\x20\0\0\0\xff\x10\x04#08004Too many connections",
                Some("error 1040: Too many connections"),
            ),
            (b"S", None),
            (b"N", None),
            (b"E\0\0\0\x1e", None),
            (b"", None),
        ] {
            assert_eq!(greeting(answer).as_deref(), words, "{answer:?}");
        }
    }
}

//! Asks PostgreSQL whether it takes sessions yet, as pg_isready does, and leaves no line in the log of one that does.
//!
//! A server that starts accepts connections long before it serves them, and says so (SQLSTATE 57P03) only to a start-up
//! message. Ours comes through TLS where the server offers it, since one that insists would log our refusal, and ends where
//! the server asks who we are: an end of the connection there is not logged (PostgreSQL 15, `auth_failed`).

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::trust::Trust;
use super::{Trouble, ask_for_tls, is_end, plain};

/// A server that speaks first, as MySQL does, has spoken by then. What is not for it would count as an error of this host.
const SPEAKS_FIRST: Duration = Duration::from_millis(50);
/// The longest message that is read; those before a session are far shorter.
const MESSAGE_MAX: usize = 8 * 1024;
/// Version 3.0 of the protocol.
const PROTOCOL: u32 = 3 << 16;
/// The names that we give. The role need not exist: nobody logs in.
const PARAMETERS: &[u8] = b"user\0rds-tether\0database\0postgres\0application_name\0rds-tether\0\0";
/// SQLSTATE cannot_connect_now: starting up, recovering, shutting down.
const CANNOT_CONNECT_NOW: &[u8] = b"57P03";

/// What a server that accepted a connection said to our question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is PostgreSQL and takes sessions, or turns ours down for a reason that waiting does not mend.
    Ready,
    /// It is PostgreSQL and takes no sessions now, in its own words.
    NotNow(String),
    /// It ended the connection instead of an answer.
    Ended(String),
    /// It is something else: it spoke first, or another language.
    NotPostgres,
}

/// Asks a server, through TLS where it offers that: nothing is told to it that is not for everybody, so its certificate does not matter.
/// The connection is used up, whatever the answer.
///
/// `is_known` says that PostgreSQL has answered there before; of others it is waited for a moment whether they speak first.
/// `about_sessions` says whether a start-up message is sent: a server that trusts everybody logs that it does not know us.
pub async fn ask(mut stream: TcpStream, is_known: bool, about_sessions: bool) -> Answer {
    let ended = |error: io::Error| Answer::Ended(plain(&error));
    let mut first = [0];
    if !is_known && let Ok(spoke) = timeout(SPEAKS_FIRST, stream.peek(&mut first)).await {
        return match spoke {
            Ok(0) => ended(io::ErrorKind::UnexpectedEof.into()),
            // PostgreSQL that cannot start a process for us says so at once.
            Ok(_) if first == *b"E" => Answer::Ready,
            Ok(_) => Answer::NotPostgres,
            Err(error) => ended(error),
        };
    }
    let _ = stream.set_nodelay(true);
    match ask_for_tls(&mut stream).await {
        Ok(()) => {
            let name = stream.peer_addr().map(|peer| peer.ip().to_string());
            match anybody().handshake(&name.unwrap_or_default(), stream).await {
                Ok(stream) => start(stream, about_sessions).await,
                Err(error) if is_end(&error) => ended(error),
                // It cannot be asked, but is there.
                Err(_) => Answer::Ready,
            }
        }
        Err(Trouble::TlsRefused) => start(stream, about_sessions).await,
        Err(Trouble::NotPostgres(b'E')) => read_error(&mut stream).await.unwrap_or_else(ended),
        Err(Trouble::Closed(_, why)) => Answer::Ended(why),
        Err(_) => Answer::NotPostgres,
    }
}

fn anybody() -> &'static Trust {
    static ANYBODY: OnceLock<Trust> = OnceLock::new();
    ANYBODY.get_or_init(Trust::anybody)
}

async fn start(mut stream: impl AsyncRead + AsyncWrite + Unpin, about_sessions: bool) -> Answer {
    let answer = match about_sessions {
        true => match start_up(&mut stream).await {
            Ok(answer) => answer,
            Err(error) if is_end(&error) => Answer::Ended(plain(&error)),
            // Such as a TLS alert, for want of a certificate of ours: it cannot be asked, but is there.
            Err(_) => Answer::Ready,
        },
        false => Answer::Ready,
    };
    // Without TLS's word of farewell the server would log a connection that broke.
    let _ = stream.shutdown().await;
    answer
}

async fn start_up(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Answer> {
    let length = u32::try_from(8 + PARAMETERS.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(8 + PARAMETERS.len());
    message.extend(length.to_be_bytes());
    message.extend(PROTOCOL.to_be_bytes());
    message.extend(PARAMETERS);
    stream.write_all(&message).await?;
    match stream.read_u8().await? {
        b'E' => read_error(stream).await,
        // Who are you, most of all.
        _ => Ok(Answer::Ready),
    }
}

/// Reads an ErrorResponse after its first byte: fields of a letter and a text, up to a zero.
async fn read_error(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Answer> {
    let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
    if !(4..=MESSAGE_MAX).contains(&length) {
        return Ok(Answer::Ready);
    }
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body).await?;
    let field = |letter: u8| {
        let fields = body.split(|byte| *byte == 0);
        fields
            .filter_map(|field| field.split_first())
            .find(|(first, _)| **first == letter)
    };
    Ok(match field(b'C') {
        Some((_, CANNOT_CONNECT_NOW)) => {
            let words = field(b'M').map_or(CANNOT_CONNECT_NOW, |(_, words)| words);
            Answer::NotNow(String::from_utf8_lossy(words).into_owned())
        }
        _ => Answer::Ready,
    })
}

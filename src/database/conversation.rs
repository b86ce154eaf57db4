//! What is heard of a server, message by message, before the client hears it: no more than it should be, and no question for the
//! password whose answer would give it away.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Security;

/// The longest message that is heard, in bytes. A row, an error or a notice of ours has some hundreds.
pub const MESSAGE_MAX: usize = 1 << 20;
/// All that is heard of a server, in bytes: 50,000 tables with names as long as they may be take less.
pub const CONVERSATION_MAX: usize = 16 << 20;
/// What a message counts for besides its bytes: the client keeps some of them, and even the shortest takes this much.
const MESSAGE_COST: usize = 64;
/// How often a server may be ready for the next question: each of ours takes three. The client has questions of its own about types
/// that it does not know, one within the other, as often as it is told of one; none of ours has such a type.
const ROUNDS_MAX: usize = 64;
/// The columns of a row: none of ours has more than eight, and each takes more room in the client than on the way.
const COLUMNS_MAX: u16 = 32;
/// The longest question for a password.
const QUESTION_MAX: usize = 4096;
/// The fewest iterations of SCRAM (RFC 7677), which PostgreSQL has, too: with fewer a password is guessed as fast as with MD5.
const ITERATIONS_MIN: u32 = 4096;
/// The most: the client does them all at once, and while it does, nothing else in its thread. postgres-protocol does no more either, and
/// says less of why.
pub const ITERATIONS_MAX: u32 = 100_000;

/// Why the conversation was ended from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A message was announced that is longer than any may be, in bytes.
    TooLong(usize),
    /// The server said more than is heard.
    TooMuch,
    /// The server answered what it was not asked.
    Unasked,
    /// The password was asked for in clear text; whether the connection is encrypted, to whomever.
    Cleartext(bool),
    /// The password was asked for as an MD5 hash, without encryption.
    Md5,
    /// So few iterations of SCRAM were asked for.
    Guessable(u32),
    /// So many.
    Laborious(u32),
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug)]
pub struct Protection {
    /// What was asked for.
    pub security: Security,
    /// Whether it is encrypted.
    pub is_encrypted: bool,
    /// Whether it is for as many questions as there will be: then each answer may have what otherwise all together may.
    pub is_kept: bool,
}

/// A connection whose server is listened to.
pub struct Conversation<S> {
    stream: S,
    ear: Ear,
    breach: Arc<OnceLock<Breach>>,
}

/// What is known of the message that is being heard, and of all before.
struct Ear {
    protection: Protection,
    /// The beginning of the message, as far as it matters: its kind, its length, and what is looked at of it.
    head: Vec<u8>,
    /// How much of it matters.
    wanted: usize,
    /// Bytes of the message that are still to come behind that.
    rest: usize,
    spent: usize,
    rounds: usize,
}

/// The kind and the length of a message.
const HEADER: usize = 5;

impl<S> Conversation<S> {
    /// Listens to a server that has not said anything yet to a start-up message. Why it ended is left in `breach`.
    pub fn new(stream: S, protection: Protection, breach: Arc<OnceLock<Breach>>) -> Self {
        let ear = Ear {
            protection,
            head: Vec::new(),
            wanted: HEADER,
            rest: 0,
            spent: 0,
            rounds: 0,
        };
        Self { stream, ear, breach }
    }
}

impl Ear {
    fn hear(&mut self, mut bytes: &[u8]) -> Result<(), Breach> {
        while !bytes.is_empty() {
            if self.head.len() < self.wanted {
                let (more, after) = bytes.split_at(bytes.len().min(self.wanted - self.head.len()));
                self.head.extend(more);
                bytes = after;
                if self.head.len() == HEADER && self.wanted == HEADER {
                    self.begin()?;
                }
                if self.head.len() < self.wanted {
                    continue;
                }
                self.weigh()?;
            }
            let passed = self.rest.min(bytes.len());
            (self.rest, bytes) = (self.rest - passed, &bytes[passed..]);
            if self.rest == 0 {
                self.head.clear();
                self.wanted = HEADER;
            }
        }
        Ok(())
    }

    /// The header is there.
    fn begin(&mut self) -> Result<(), Breach> {
        let (kind, length) = (self.head[0], self.head[1..].try_into());
        // It counts itself.
        let body = length.map_or(0, u32::from_be_bytes).saturating_sub(4);
        let body = usize::try_from(body).unwrap_or(usize::MAX);
        if body > MESSAGE_MAX || (kind == b'R' && body > QUESTION_MAX) {
            return Err(Breach::TooLong(body));
        }
        self.spent += body + MESSAGE_COST;
        if self.spent > CONVERSATION_MAX {
            return Err(Breach::TooMuch);
        }
        let matters = match kind {
            b'R' => body,
            b'D' => body.min(2),
            _ => 0,
        };
        self.wanted = HEADER + matters;
        self.rest = body - matters;
        Ok(())
    }

    /// What matters of the message is there.
    fn weigh(&mut self) -> Result<(), Breach> {
        match (self.head[0], &self.head[HEADER..]) {
            (b'R', question) => self.weigh_question(question),
            (b'D', [high, low]) if u16::from_be_bytes([*high, *low]) > COLUMNS_MAX => Err(Breach::Unasked),
            (b'Z', _) if self.protection.is_kept => {
                self.spent = 0;
                Ok(())
            }
            (b'Z', _) => {
                self.rounds += 1;
                if self.rounds > ROUNDS_MAX {
                    Err(Breach::Unasked)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether the answer to a question for the password gives it away (PostgreSQL documentation, "Message Formats"), or takes too
    /// long. To a server that has shown who it is, nothing is given away.
    fn weigh_question(&self, question: &[u8]) -> Result<(), Breach> {
        let Protection {
            security, is_encrypted, ..
        } = self.protection;
        let Some((code, rest)) = question.split_first_chunk() else {
            return Ok(());
        };
        match (u32::from_be_bytes(*code), security) {
            (11, _) if iterations(rest) > ITERATIONS_MAX => Err(Breach::Laborious(iterations(rest))),
            (_, Security::Verified) => Ok(()),
            (3, _) => Err(Breach::Cleartext(is_encrypted)),
            // Whoever has it can log in elsewhere with the same salt, and guess.
            (5, Security::Preferred) if !is_encrypted => Err(Breach::Md5),
            (11, _) => match iterations(rest) {
                few @ ..ITERATIONS_MIN => Err(Breach::Guessable(few)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// The iterations in the server's first message of SCRAM (RFC 5802), the last of its parts.
fn iterations(message: &[u8]) -> u32 {
    let message = std::str::from_utf8(message).unwrap_or_default();
    let last = message.rsplit_once(",i=").and_then(|(_, count)| count.parse().ok());
    last.unwrap_or_default()
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNSENT: &str = "nothing of it was sent";
        match self {
            Self::TooLong(bytes) => write!(
                f,
                "the server announces a message of {bytes} bytes, and at most {MESSAGE_MAX} are read"
            ),
            Self::TooMuch => write!(
                f,
                "the server says more than {} MiB, and no more is read",
                CONVERSATION_MAX >> 20
            ),
            Self::Unasked => f.write_str("the server answers what it was not asked"),
            Self::Cleartext(false) => write!(
                f,
                "the server asks for the password in clear text, over a connection that is not encrypted: {UNSENT}"
            ),
            Self::Cleartext(true) => write!(
                f,
                "the server asks for the password in clear text, and its certificate was not verified: {UNSENT}"
            ),
            Self::Md5 => write!(
                f,
                "the server asks for the password's MD5 hash, by which others can log in, over a connection that is not encrypted: \
                 {UNSENT}"
            ),
            Self::Guessable(iterations) => write!(
                f,
                "the server asks for a proof by which the password is easily guessed (SCRAM with {iterations} iterations, less than \
                 {ITERATIONS_MIN}), and no certificate was verified: {UNSENT}"
            ),
            Self::Laborious(iterations) => write!(
                f,
                "the server asks for a proof that takes too long (SCRAM with {iterations} iterations, more than {ITERATIONS_MAX}): \
                 {UNSENT}"
            ),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Conversation<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.ear.hear(&buf.filled()[before..]).map_err(|breach| {
            // The client answers what it has heard.
            buf.set_filled(before);
            let told = breach.to_string();
            let _ = self.breach.set(breach);
            io::Error::other(told)
        }))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Conversation<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend(u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
        message.extend(body);
        message
    }

    /// What comes of this, in one piece and in many, of a byte if there are few.
    #[track_caller]
    fn heard(bytes: &[u8]) -> Result<(), Breach> {
        let protection = Protection {
            security: Security::Preferred,
            is_encrypted: false,
            is_kept: false,
        };
        let [mut at_once, mut slowly] = [(); 2].map(|()| Conversation::new((), protection, Arc::default()).ear);
        let heard = at_once.hear(bytes);
        let (whole, pieces) = (
            heard.clone(),
            bytes
                .chunks(1 + bytes.len() / 10_000)
                .try_for_each(|piece| slowly.hear(piece)),
        );
        assert_eq!(whole, pieces);
        heard
    }

    #[test]
    fn just_below_each_limit_is_heard_and_just_above_is_not() {
        let long = |bytes: usize| message(b'N', &vec![0; bytes]);
        let ready = message(b'Z', b"I");
        let row = |columns: u16| message(b'D', &columns.to_be_bytes());
        // Fifteen of them leave room for one that fills it, and what each counts for besides.
        let full = [long(MESSAGE_MAX).repeat(15), long(MESSAGE_MAX - 16 * MESSAGE_COST)].concat();
        for (below, above, breach) in [
            (
                long(MESSAGE_MAX),
                long(MESSAGE_MAX + 1),
                Breach::TooLong(MESSAGE_MAX + 1),
            ),
            (full.clone(), [full, message(b'N', b"")].concat(), Breach::TooMuch),
            (ready.repeat(ROUNDS_MAX), ready.repeat(ROUNDS_MAX + 1), Breach::Unasked),
            (row(COLUMNS_MAX), row(COLUMNS_MAX + 1), Breach::Unasked),
            (
                message(b'R', &[1; QUESTION_MAX]),
                message(b'R', &[1; QUESTION_MAX + 1]),
                Breach::TooLong(QUESTION_MAX + 1),
            ),
            (
                message(b'R', b"\0\0\0\x0br=a,s=b,i=4096"),
                message(b'R', b"\0\0\0\x0br=a,s=b,i=4095"),
                Breach::Guessable(4095),
            ),
            (
                message(b'R', b"\0\0\0\x0br=a,s=b,i=100000"),
                message(b'R', b"\0\0\0\x0br=a,s=b,i=100001"),
                Breach::Laborious(100_001),
            ),
        ] {
            assert_eq!(heard(&below), Ok(()), "{breach:?}");
            assert_eq!(heard(&above), Err(breach));
        }
        // Shorter than its own length, and nothing at all.
        assert_eq!(heard(b"S\0\0\0\0S\0\0\0\x04"), Ok(()));
    }
}

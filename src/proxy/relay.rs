//! Carries bytes both ways between a client and its database until both have ended, or one of them has failed.
//!
//! Both directions are turns of one future, so that a session costs one task. Small messages go through one buffer that all
//! sessions of a thread share; only what a socket does not take at once is kept. Bulk goes through pipes, uncopied.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use rustix::net::{Shutdown, shutdown};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::pipe::Pipe;

/// The buffer that the sessions of a thread share.
const SCRATCH_BYTES: usize = 16 * 1024;
/// After so many reads in a row that fill the buffer, a direction carries bulk.
const FULL_READS: u8 = 2;
/// A move of fewer bytes is no bulk.
const SMALL_MOVE_BYTES: usize = 8 * 1024;
/// After so many small moves in a row, a direction goes back to the buffer.
const SMALL_MOVES: u8 = 8;
/// Reads of one direction before the other sessions of the thread get their turn.
const READS_PER_TURN: u8 = 16;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Which side of a session failed.
#[derive(Debug)]
pub enum Failed {
    /// The connection to the client.
    Client(io::Error),
    /// The connection to the database.
    Upstream(io::Error),
}

/// Bytes carried so far.
#[derive(Debug, Default)]
pub struct Carried {
    /// From clients to the database.
    pub up: AtomicU64,
    /// From the database to clients.
    pub down: AtomicU64,
}

/// The two directions of a session.
#[derive(Default)]
pub struct Relay {
    up: Direction,
    down: Direction,
}

impl Relay {
    /// Carries what can be carried now. Ends when both sides have said their last word and all of it has been passed on.
    ///
    /// A side that no longer takes anything may still have something to say, such as why: what it said is passed on first.
    pub fn poll(
        &mut self,
        client: &TcpStream,
        upstream: &TcpStream,
        carried: &Carried,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        let up = self.up.poll(client, upstream, &carried.up, self.down.has_ended(), cx);
        let down = self.down.poll(upstream, client, &carried.down, self.up.has_ended(), cx);
        match (up, down) {
            (Poll::Ready(Err(Ended::Read(error))), _) => Poll::Ready(Err(Failed::Client(error))),
            (_, Poll::Ready(Err(Ended::Read(error)))) => Poll::Ready(Err(Failed::Upstream(error))),
            (Poll::Ready(up), Poll::Ready(down)) => Poll::Ready(match (up, down) {
                (Ok(()), Ok(())) => Ok(()),
                (Err(Ended::Write(error)), _) => Err(Failed::Upstream(error)),
                (_, Err(Ended::Write(error))) => Err(Failed::Client(error)),
                (Err(Ended::Read(error)), _) => Err(Failed::Client(error)),
                (_, Err(Ended::Read(error))) => Err(Failed::Upstream(error)),
            }),
            _ => Poll::Pending,
        }
    }
}

impl Relay {
    /// Whether a side may fail without anybody noticing, because it is not listened to: it has said its last word, or what it
    /// said is still to be passed on.
    pub fn is_deaf(&self) -> bool {
        self.up.has_ended() || self.down.has_ended() || self.up.is_passing_on()
    }

    /// Whether the database has had its last word and the client has not.
    pub fn is_left(&self) -> bool {
        self.down.has_ended() && !self.up.has_ended()
    }

    /// Looks for such a failure. What the database said last is never given up for it.
    pub fn check(&self, client: &TcpStream, upstream: &TcpStream) -> Result<(), Failed> {
        if let State::Failed(kind) = self.down.state {
            return Err(Failed::Client(kind.into()));
        }
        if let Ok(Some(error)) = client.take_error() {
            return Err(Failed::Client(error));
        }
        if self.down.has_ended()
            && let Ok(Some(error)) = upstream.take_error()
        {
            return Err(Failed::Upstream(error));
        }
        Ok(())
    }
}

/// Why a direction ended early.
#[derive(Debug)]
enum Ended {
    Read(io::Error),
    Write(io::Error),
}

#[derive(Default)]
struct Direction {
    /// Bytes that the receiver did not take at once.
    kept: Kept,
    pipe: Option<Pipe>,
    full_reads: u8,
    small_moves: u8,
    /// The kernel does not splice these sockets.
    copies_only: bool,
    state: State,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Open,
    /// The sender has ended; what is kept is still to be passed on.
    Ending,
    /// All has been passed on, the end included.
    Ended,
    /// The receiver has failed.
    Failed(io::ErrorKind),
}

#[derive(Default)]
struct Kept {
    bytes: Box<[u8]>,
    passed: usize,
}

impl Direction {
    fn is_passing_on(&self) -> bool {
        self.kept.rest().is_some() || self.pipe.as_ref().is_some_and(|pipe| pipe.filled() > 0)
    }

    fn has_ended(&self) -> bool {
        !matches!(self.state, State::Open | State::Ending)
    }

    fn poll(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        carried: &AtomicU64,
        is_last: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Ended>> {
        match self.state {
            State::Open | State::Ending => {}
            State::Ended => return Poll::Ready(Ok(())),
            State::Failed(kind) => return Poll::Ready(Err(Ended::Write(kind.into()))),
        }
        let ended = ready!(self.carry(from, to, carried, is_last, cx));
        self.state = match &ended {
            Err(Ended::Write(error)) => State::Failed(error.kind()),
            Ok(()) | Err(Ended::Read(_)) => State::Ended,
        };
        self.pipe = None;
        Poll::Ready(ended)
    }

    fn carry(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        carried: &AtomicU64,
        is_last: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Ended>> {
        for _ in 0..READS_PER_TURN {
            ready!(self.pass_on(to, carried, cx)).map_err(Ended::Write)?;
            if let State::Ending = self.state {
                if !is_last {
                    // The receiver may have gone already. The last end is told by closing.
                    let _ = shutdown(to, Shutdown::Write);
                }
                return Poll::Ready(Ok(()));
            }
            let read = match self.is_bulk() {
                true => self.fill_pipe(from, cx),
                false => self.copy_on(from, to, carried, cx),
            };
            if read.is_pending() {
                // Others may have use for it.
                self.pipe = None;
            }
            ready!(read)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Passes on everything that is kept.
    fn pass_on(&mut self, to: &TcpStream, carried: &AtomicU64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.kept.rest() {
            ready!(to.poll_write_ready(cx))?;
            match to.try_write(rest) {
                Ok(passed) => {
                    self.kept.pass(passed);
                    carried.fetch_add(passed as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        while let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.filled() > 0) {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || pipe.empty(to)) {
                Ok(passed) => {
                    carried.fetch_add(passed as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn is_bulk(&mut self) -> bool {
        if self.full_reads < FULL_READS || self.copies_only {
            return false;
        }
        if self.pipe.is_none() {
            self.pipe = Pipe::take();
        }
        self.pipe.is_some()
    }

    fn fill_pipe(&mut self, from: &TcpStream, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let Some(pipe) = &mut self.pipe else {
            return Poll::Ready(Ok(()));
        };
        loop {
            ready!(from.poll_read_ready(cx)).map_err(Ended::Read)?;
            match from.try_io(Interest::READABLE, || pipe.fill(from)) {
                Ok(0) => self.state = State::Ending,
                Ok(moved) if moved >= SMALL_MOVE_BYTES => self.small_moves = 0,
                Ok(_) => {
                    self.small_moves += 1;
                    if self.small_moves >= SMALL_MOVES {
                        (self.small_moves, self.full_reads) = (0, 0);
                    }
                }
                // A short move does not mean that the socket is empty; only this does.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                    self.copies_only = true;
                }
                Err(error) => return Poll::Ready(Err(Ended::Read(error))),
            }
            return Poll::Ready(Ok(()));
        }
    }

    /// Reads into the shared buffer, writes at once, and keeps what the receiver does not take.
    fn copy_on(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        carried: &AtomicU64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Ended>> {
        loop {
            ready!(from.poll_read_ready(cx)).map_err(Ended::Read)?;
            let copied = SCRATCH.with_borrow_mut(|scratch| {
                let read = from.try_read(scratch).map_err(Ended::Read)?;
                if read > 0 && read < scratch.len() {
                    // That was all there is: to say so saves the system call that would find out.
                    let _ = from.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
                }
                let bytes = &scratch[..read];
                if read == 0 {
                    return Ok((0, false));
                }
                let passed = match to.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    passed => passed.map_err(Ended::Write)?,
                };
                carried.fetch_add(passed as u64, Ordering::Relaxed);
                self.kept = Kept::new(&bytes[passed..]);
                Ok((read, read == scratch.len()))
            });
            match copied {
                Ok((0, _)) => self.state = State::Ending,
                Ok((_, true)) => self.full_reads = self.full_reads.saturating_add(1),
                Ok((_, false)) => self.full_reads = 0,
                Err(Ended::Read(error)) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            return Poll::Ready(Ok(()));
        }
    }
}

impl Kept {
    fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.into(),
            passed: 0,
        }
    }

    /// Bytes that are still to be passed on.
    fn rest(&self) -> Option<&[u8]> {
        self.bytes.get(self.passed..).filter(|rest| !rest.is_empty())
    }

    fn pass(&mut self, bytes: usize) {
        self.passed += bytes;
        if self.rest().is_none() {
            *self = Self::default();
        }
    }
}

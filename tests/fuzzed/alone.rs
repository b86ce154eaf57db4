//! Runs what waits, in virtual time and without a socket: bytes are all that reaches it.

use std::collections::VecDeque;
use std::io::Result;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Runs to the end. Nothing that it began goes on.
pub fn alone<T>(waiting: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(waiting)
}

/// The other side of a connection, which says what it has to say part by part: the next as soon as it is asked something.
pub struct Script {
    /// What it says, the first without being asked.
    parts: VecDeque<Vec<u8>>,
    /// The most that is heard at once; 0: all.
    piece: usize,
    was_asked: bool,
    waker: Option<Waker>,
    /// All that it was told.
    pub told: Arc<Mutex<Vec<u8>>>,
}

impl Script {
    /// Says these parts.
    pub fn new(parts: VecDeque<Vec<u8>>, piece: usize) -> Self {
        Self {
            parts,
            piece,
            was_asked: true,
            waker: None,
            told: Arc::default(),
        }
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        loop {
            match this.parts.front_mut() {
                // The end.
                None => return Poll::Ready(Ok(())),
                Some(_) if !this.was_asked => {
                    this.waker = Some(context.waker().clone());
                    return Poll::Pending;
                }
                Some(part) if part.is_empty() => drop(this.parts.pop_front()),
                Some(part) => {
                    let room = buf.remaining().min(part.len());
                    let length = if this.piece == 0 { room } else { room.min(this.piece) };
                    buf.put_slice(&part[..length]);
                    part.drain(..length);
                    if part.is_empty() {
                        this.was_asked = false;
                        this.parts.pop_front();
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        self.told.lock().unwrap().extend(buf);
        self.was_asked = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

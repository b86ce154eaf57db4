//! Pipes through which bytes go from socket to socket without being copied. Each thread keeps a few of them.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::available_parallelism;
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};
use tokio::time::Instant;

use super::descriptors;

/// The size that a pipe is asked to have, in bytes.
const SIZE_BYTES: usize = 1024 * 1024;
/// A pipe that holds less than this is not worth its system calls.
const SIZE_MIN_BYTES: usize = 64 * 1024;
/// After a pipe was refused, none is asked for so long.
const REST: Duration = Duration::from_secs(1);

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool::new());
}

struct Pool {
    idle: Vec<Ends>,
    alive: usize,
    most: usize,
    refused: Option<Instant>,
}

impl Pool {
    fn new() -> Self {
        let threads = available_parallelism().map_or(1, usize::from);
        Self {
            idle: Vec::new(),
            alive: 0,
            most: descriptors::pipes(descriptors::limit(), threads),
            refused: None,
        }
    }

    fn take(&mut self) -> Option<Ends> {
        if let Some(ends) = self.idle.pop() {
            return Some(ends);
        }
        if self.alive >= self.most || self.refused.is_some_and(|refused| refused.elapsed() < REST) {
            return None;
        }
        match Ends::new() {
            Ok(ends) => {
                self.alive += 1;
                Some(ends)
            }
            Err(_) => {
                self.refused = Some(Instant::now());
                None
            }
        }
    }
}

struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    size: usize,
}

/// A pipe in use. It goes back to its thread's pool if it is dropped empty.
pub struct Pipe {
    ends: Option<Ends>,
    filled: usize,
}

impl Pipe {
    /// A pipe of this thread, if there is one to spare.
    pub fn take() -> Option<Self> {
        let ends = POOL.with_borrow_mut(Pool::take)?;
        Some(Self {
            ends: Some(ends),
            filled: 0,
        })
    }

    /// Bytes in the pipe.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Takes what a socket has, into an empty pipe; zero is the end of the stream.
    pub fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        let ends = self.ends()?;
        let moved = move_bytes(from, &ends.write, ends.size)?;
        self.filled += moved;
        Ok(moved)
    }

    /// Gives to a socket what it takes.
    pub fn empty(&mut self, to: impl AsFd) -> io::Result<usize> {
        let moved = move_bytes(&self.ends()?.read, to, self.filled)?;
        self.filled = self.filled.saturating_sub(moved);
        Ok(moved)
    }

    fn ends(&self) -> io::Result<&Ends> {
        self.ends.as_ref().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let ends = self.ends.take();
        let is_empty = self.filled == 0;
        // At the end of the thread there is no pool any more.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            match ends {
                Some(ends) if is_empty => pool.idle.push(ends),
                _ => pool.alive -= 1,
            }
        });
    }
}

impl Ends {
    fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Denied beyond the user's share of pages: then what the kernel made of it has to do, if that is not too small.
        let _ = fcntl_setpipe_size(&write, SIZE_BYTES);
        let size = fcntl_getpipe_size(&write)?;
        if size < SIZE_MIN_BYTES {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(Self { read, write, size })
    }
}

fn move_bytes(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    loop {
        // Not MORE: it would hold back the last bytes of what was moved.
        match splice(&from, None, &to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK) {
            Err(Errno::INTR) => {}
            moved => return Ok(moved?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_pipe_that_is_dropped_empty_is_used_again_and_another_is_closed() {
        let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
        let alive = || POOL.with_borrow(|pool| (pool.idle.len(), pool.alive));
        let mut pipe = Pipe::take().expect("a pipe");
        ours.write_all(b"hello").expect("room");
        assert_eq!(pipe.fill(&theirs).expect("bytes"), 5);
        assert_eq!(pipe.filled(), 5);
        let (mut out, into) = UnixStream::pair().expect("a socket pair");
        assert_eq!(pipe.empty(&into).expect("room"), 5);
        let mut five = [0; 5];
        out.read_exact(&mut five).expect("bytes");
        assert_eq!(&five, b"hello");
        drop(pipe);
        assert_eq!(alive(), (1, 1));
        let mut pipe = Pipe::take().expect("the same pipe");
        assert_eq!(alive(), (0, 1));
        ours.write_all(b"more").expect("room");
        pipe.fill(&theirs).expect("bytes");
        drop(pipe);
        assert_eq!(alive(), (0, 0));
    }

    #[test]
    fn a_thread_has_only_so_many_pipes() {
        let most = Pool::new().most;
        let pipes: Vec<Pipe> = std::iter::from_fn(Pipe::take).take(most + 1).collect();
        assert_eq!(pipes.len(), most);
        drop(pipes);
        assert!(Pipe::take().is_some());
    }
}

//! What clients and back ends say to each other, and the event loop on which both of them say it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

pub use rustix::event::epoll::EventFlags as Ready;

/// The length of every message but those of a flood; the first of a connection is its request.
pub const MESSAGE_BYTES: usize = 64;
/// Messages a second of a paced stream.
pub const PACE_PER_S: u64 = 5_000;
/// How many may wait to be accepted: no listener here is the one to turn connections away.
pub const BACKLOG: i32 = 4096;
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 512;

pub type Message = [u8; MESSAGE_BYTES];

/// What a client wants of the back end, told by the first byte it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Everything comes back, the request too.
    Echo,
    /// As much as the connection takes, for ever.
    Flood,
    /// [`PACE_PER_S`] messages a second, each beginning with the [`nanos`] at which it was sent.
    Paced,
    /// The request comes back, and the back end closes.
    Once,
}

impl Ask {
    const ALL: [Self; 4] = [Self::Echo, Self::Flood, Self::Paced, Self::Once];

    pub fn request(self) -> Message {
        let mut message = [b'.'; MESSAGE_BYTES];
        message[0] = self.sign();
        message
    }

    pub fn of(request: &[u8]) -> Option<Self> {
        let first = *request.first()?;
        Self::ALL.into_iter().find(|ask| ask.sign() == first)
    }

    fn sign(self) -> u8 {
        match self {
            Self::Echo => b'E',
            Self::Flood => b'F',
            Self::Paced => b'P',
            Self::Once => b'O',
        }
    }
}

/// Nanoseconds of the monotonic clock, which is the same in all processes.
pub fn nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Sockets by number, and which of them are ready.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Watches a socket; closing it ends that.
    pub fn add(&self, socket: impl AsFd, number: usize, ready: Ready) -> io::Result<()> {
        let number = epoll::EventData::new_u64(number as u64);
        Ok(epoll::add(&self.epoll, socket, number, ready)?)
    }

    pub fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Waits until something is ready, at most `limit`, and puts the numbers of what is into `ready`.
    pub fn wait(&mut self, limit: Duration, ready: &mut Vec<usize>) -> io::Result<()> {
        ready.clear();
        let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.drain(..).map(|event| event.data.u64() as usize));
        Ok(())
    }
}

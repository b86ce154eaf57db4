//! One connection from its first packet to its last: connect, one round trip, and the back end closes.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use crate::wire::{Ask, MESSAGE_BYTES, Poll, Ready};

/// Addresses that clients come from: with one, there would soon be no port left that is not in TIME_WAIT.
pub const SOURCES: usize = 4000;
const SOURCES_PER_NETWORK: usize = 250;

/// An address for a client, by number below [`SOURCES`].
pub fn source(number: usize) -> Ipv4Addr {
    let octet = |number: usize| u8::try_from(number).expect("few enough networks");
    let (network, host) = (number / SOURCES_PER_NETWORK, 1 + number % SOURCES_PER_NETWORK);
    Ipv4Addr::new(127, 1, octet(network), octet(host))
}

pub struct Attempt {
    stream: TcpStream,
    asked: bool,
    answered: usize,
    /// When it was begun.
    pub since: Instant,
}

pub enum Progress {
    Pending,
    Done,
    Failed(String),
}

impl Attempt {
    /// Begins to connect, and does not wait.
    ///
    /// # Errors
    /// If there is no socket for it.
    pub fn dial(target: SocketAddr, from: Ipv4Addr) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        net::bind(&socket, &SocketAddrV4::new(from, 0))?;
        match net::connect(&socket, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self {
            stream: TcpStream::from(socket),
            asked: false,
            answered: 0,
            since: Instant::now(),
        })
    }

    /// Has the poll say, under this number, whenever [`go_on`](Self::go_on) can.
    ///
    /// # Errors
    /// If the poll takes no more.
    pub fn watch(&self, poll: &Poll, number: usize) -> io::Result<()> {
        poll.add(&self.stream, number, Ready::IN | Ready::OUT | Ready::ET)
    }

    /// Goes as far as it can without waiting.
    pub fn go_on(&mut self) -> Progress {
        let went = self.step();
        match went {
            Ok(true) => Progress::Done,
            Ok(false) => Progress::Pending,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Pending,
            Err(error) => Progress::Failed(error.to_string()),
        }
    }

    fn step(&mut self) -> io::Result<bool> {
        if !self.asked {
            self.stream.write_all(&Ask::Once.request())?;
            self.asked = true;
        }
        let mut buffer = [0; 2 * MESSAGE_BYTES];
        loop {
            match self.stream.read(&mut buffer)? {
                0 if self.answered == MESSAGE_BYTES => return Ok(true),
                0 => return Err(io::Error::other("closed without an answer")),
                length => self.answered += length,
            }
        }
    }
}

//! Streams in which every byte is known by its place, so that a loss, a repetition or an exchange is found where it is.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use fastrand::Rng;

/// The pattern repeats after so many bytes: a prime number, so that no buffer's size hides a shift by one.
const PERIOD: usize = 1_048_573;
/// The most that is read or written at once is two to the power of this.
const CHUNK_BITS_MAX: u32 = 20;

pub struct Pattern(Vec<u8>);

impl Pattern {
    pub fn new(seed: u64) -> Self {
        let mut bytes = vec![0; PERIOD];
        Rng::with_seed(seed).fill(&mut bytes);
        Self(bytes)
    }

    /// What stands at a place, up to so many bytes.
    pub fn at(&self, place: u64, most: usize) -> &[u8] {
        let start = (place % PERIOD as u64) as usize;
        &self.0[start..PERIOD.min(start + most)]
    }

    /// Writes the stretch from one place to another, in pieces of all sizes.
    pub fn write(&self, mut to: &TcpStream, mut place: u64, end: u64, rng: &mut Rng) -> io::Result<()> {
        while place < end {
            let left = usize::try_from(end - place).unwrap_or(usize::MAX);
            let piece = self.at(place, chunk(rng).min(left));
            to.write_all(piece)?;
            place += piece.len() as u64;
        }
        Ok(())
    }

    /// Reads from one place to another, in pieces of all sizes; gives where the stream ended, if before.
    #[track_caller]
    pub fn read(&self, mut from: &TcpStream, mut place: u64, end: u64, rng: &mut Rng) -> io::Result<u64> {
        let mut buffer = vec![0; 1 << CHUNK_BITS_MAX];
        while place < end {
            let left = usize::try_from(end - place).unwrap_or(usize::MAX);
            let most = chunk(rng).min(left);
            let count = from.read(&mut buffer[..most])?;
            if count == 0 {
                break;
            }
            self.assert_is(&buffer[..count], place);
            place += count as u64;
        }
        Ok(place)
    }

    /// Reads to the end of the stream; gives its place.
    #[track_caller]
    pub fn read_to_end(&self, from: &TcpStream, rng: &mut Rng) -> u64 {
        self.read(from, 0, u64::MAX, rng).expect("an end in order")
    }

    #[track_caller]
    pub fn assert_is(&self, mut bytes: &[u8], mut place: u64) {
        while !bytes.is_empty() {
            let expect = self.at(place, bytes.len());
            let (now, rest) = bytes.split_at(expect.len());
            if now != expect {
                let same = now.iter().zip(expect).take_while(|(a, b)| a == b).count();
                panic!("another byte than was sent at {}", place + same as u64);
            }
            place += expect.len() as u64;
            bytes = rest;
        }
    }
}

/// A size from one byte to a MiB, small ones as often as large ones.
fn chunk(rng: &mut Rng) -> usize {
    let bits = rng.u32(0..=CHUNK_BITS_MAX);
    rng.usize(1..=1 << bits)
}

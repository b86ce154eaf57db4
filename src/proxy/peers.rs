//! What the kernel knows of the peers of connections: which no longer acknowledge what they are sent, and which databases do.
//!
//! Keepalive finds a vanished peer only while nothing is under way to it. What is under way the kernel repeats for a quarter
//! of an hour; TCP_USER_TIMEOUT would end that sooner, but ends also a peer that is well and only does not read for a while,
//! as a consumer of changes does that is busy with a batch (tcp(7): "or bufferred data may remain untransmitted (due to zero
//! window size)"). The two differ in what the kernel has repeated without any answer, and it lists that.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;

/// So many repetitions in a row without an answer take 25 s at least: the first comes after 200 ms, and each wait doubles.
const UNANSWERED: u32 = 7;
/// So many of the questions that an idle connection asks each second, or repetitions of what is under way, and the peer may be
/// gone.
const DOUBTFUL: u32 = 2;
/// The kernel's lists of connections (proc(5)).
pub const LISTS: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// What the kernel knows of the peers of connections, by the inode of the socket.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// Those that no longer acknowledge what they are sent.
    pub silent: BTreeSet<u64>,
    /// Databases that have lately acknowledged something.
    pub heard: BTreeSet<u64>,
    /// Databases that have not acknowledged what they were sent last.
    pub doubtful: BTreeSet<u64>,
}

/// An address as the lists name it: words in the machine's order.
pub fn listed(ip: IpAddr, port: u16) -> String {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| {
        let word = word.try_into().map_or(0, u32::from_ne_bytes);
        format!("{word:08X}")
    });
    format!("{}:{port:04X}", words.collect::<String>())
}

/// Reads the lists; `databases` are addresses as [`listed`].
pub fn read_lists(databases: &[String]) -> io::Result<Peers> {
    let mut found = Peers::default();
    for list in LISTS {
        match std::fs::read_to_string(list) {
            Ok(text) => text.lines().for_each(|line| found.read(line, databases)),
            // A kernel without IPv6 has no list of its connections.
            Err(error) if error.kind() == io::ErrorKind::NotFound && list != LISTS[0] => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

impl Peers {
    /// Takes one line of a list.
    fn read(&mut self, line: &str, databases: &[String]) {
        /// A socket's timer waits to repeat data, to ask an idle peer whether it is there, or to ask one that closed its window
        /// to open it.
        const REPEAT: &str = "01";
        const KEEP_ALIVE: &str = "02";
        const OPEN: &str = "04";
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, _, remote, _, _, timer, repeated, _, asked, inode, ..] = fields.as_slice() else {
            return;
        };
        let kind = timer.split(':').next();
        let unanswered = match kind {
            Some(REPEAT) => u32::from_str_radix(repeated, 16),
            Some(KEEP_ALIVE | OPEN) => asked.parse(),
            _ => return,
        };
        let (Ok(unanswered), Ok(inode)) = (unanswered, inode.parse()) else {
            return;
        };
        // Of an idle one the kernel itself finds out.
        if unanswered >= UNANSWERED && kind != Some(KEEP_ALIVE) {
            self.silent.insert(inode);
        }
        if databases.iter().any(|database| database == remote) {
            match unanswered {
                0 => self.heard.insert(inode),
                DOUBTFUL.. => self.doubtful.insert(inode),
                // An answer that is on its way.
                _ => false,
            };
        }
    }
}

/// The inode of a socket of this process.
pub fn inode(socket: RawFd) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/self/fd/{socket}")).ok()?;
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn silence_is_many_repetitions_without_an_answer() {
        for (line, expect) in [
            // Nothing is under way; keepalive has its own limit.
            (
                "1: 0100007F:1538 0200007F:D431 01 00000000:00000000 00:00000000 00000000 0 0 4711 1 f 20 4 30 10 -1",
                None,
            ),
            (
                "1: 0100007F:1538 0200007F:D431 01 00000000:00000000 02:00000300 00000000 0 9 4711 2 f 20 4 30 10 -1",
                None,
            ),
            // Repeated a few times, and often.
            (
                "1: 0100007F:1538 0200007F:D431 01 00000040:00000000 01:00000014 00000006 0 0 4711 2 f 20 4 30 10 -1",
                None,
            ),
            (
                "1: 0100007F:1538 0200007F:D431 01 00000040:00000000 01:00000014 00000007 0 0 4711 2 f 20 4 30 10 -1",
                Some(4711),
            ),
            (
                "1: 0100007F:1538 0200007F:D431 01 00000040:00000000 01:00000014 0000000A 0 0 4711 2 f 20 4 30 10 -1",
                Some(4711),
            ),
            // A closed window, with a peer that answers each question, and one that does not.
            (
                "1: 0100007F:1538 0200007F:D431 01 00FF0000:00000000 04:00000014 00000000 0 1 4711 2 f 20 4 30 10 -1",
                None,
            ),
            (
                "1: 0100007F:1538 0200007F:D431 01 00FF0000:00000000 04:00000014 00000000 0 7 4711 2 f 20 4 30 10 -1",
                Some(4711),
            ),
            (
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
                None,
            ),
            ("", None),
        ] {
            let mut found = Peers::default();
            found.read(line, &[]);
            assert_eq!(found.silent.into_iter().next(), expect, "{line}");
        }
    }

    /// A timer, what was repeated and asked, and what is then known of the database at 127.0.0.2:5432.
    #[test]
    fn a_database_has_been_heard_unless_something_is_unanswered() {
        let database = listed(IpAddr::from([127, 0, 0, 2]), 5432);
        let other = listed(IpAddr::from([127, 0, 0, 3]), 5432);
        for (timer, repeated, asked, heard, doubtful) in [
            ("02:00000300", "00000000", "0", true, false),
            ("02:00000300", "00000000", "1", false, false),
            ("02:00000300", "00000000", "2", false, true),
            ("01:00000014", "00000000", "0", true, false),
            ("01:00000014", "00000001", "0", false, false),
            ("01:00000014", "0000000A", "0", false, true),
            ("04:00000014", "00000000", "0", true, false),
            ("04:00000014", "00000000", "3", false, true),
            // No timer: nothing has ever been asked of it.
            ("00:00000000", "00000000", "0", false, false),
        ] {
            let line =
                format!("1: 0100007F:9C40 {database} 01 0:0 {timer} {repeated} 0 {asked} 4711 2 f 20 4 30 10 -1");
            for (named, is_ours) in [(&database, true), (&other, false)] {
                let mut found = Peers::default();
                found.read(&line, std::slice::from_ref(named));
                let shown = [found.heard, found.doubtful].map(|found| found.contains(&4711));
                assert_eq!(shown, [heard && is_ours, doubtful && is_ours], "{line} {named}");
            }
        }
    }

    #[test]
    fn the_lists_of_this_kernel_can_be_read_and_their_inodes_are_those_of_our_sockets() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
        let ours = inode(listener.as_raw_fd()).expect("a socket").to_string();
        let text = std::fs::read_to_string(LISTS[0]).expect("the list");
        let field = |line: &str, n: usize| line.split_ascii_whitespace().nth(n).map(str::to_owned);
        let is_ours = |line: &&str| field(line, 9).as_deref() == Some(&ours);
        let line = text.lines().find(is_ours).unwrap_or_else(|| panic!("{ours} in {text}"));
        let address = listener.local_addr().expect("bound");
        assert_eq!(field(line, 1), Some(listed(address.ip(), address.port())), "{line}");
        assert_eq!(read_lists(&[]).expect("lists"), Peers::default());
    }
}

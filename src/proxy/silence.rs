//! Finds peers that no longer acknowledge what they are sent.
//!
//! Keepalive finds a vanished peer only while nothing is under way to it. What is under way the kernel repeats for a quarter
//! of an hour; TCP_USER_TIMEOUT would end that sooner, but ends also a peer that is well and only does not read for a while,
//! as a consumer of changes does that is busy with a batch (tcp(7): "or bufferred data may remain untransmitted (due to zero
//! window size)"). The two differ in what the kernel has repeated without any answer, and it lists that.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

use super::shared::{Shared, Silent};

/// How often the kernel's list is read.
const APART: Duration = Duration::from_secs(5);
/// So many repetitions in a row without an answer take 25 s at least: the first comes after 200 ms, and each wait doubles.
const UNANSWERED: u32 = 7;
/// The kernel's lists of connections (proc(5)).
const LISTS: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// Publishes the silent ones while the proxy has connections.
pub(super) async fn watch(silent: watch::Sender<Silent>, shared: Arc<Shared>) {
    let mut is_told = false;
    loop {
        sleep(APART).await;
        if shared.counts.open.load(Ordering::Relaxed) == 0 {
            continue;
        }
        match spawn_blocking(read_lists).await {
            Ok(Ok(found)) => {
                silent.send_if_modified(|known| {
                    let is_news = **known != found;
                    *known = Arc::new(found);
                    is_news
                });
            }
            Ok(Err(error)) if !is_told => {
                warn!(
                    "cannot read {} ({error}); peers that vanish while data is on its way to them stay for minutes",
                    LISTS[0]
                );
                is_told = true;
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

fn read_lists() -> io::Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for list in LISTS {
        match std::fs::read_to_string(list) {
            Ok(text) => found.extend(text.lines().filter_map(silent)),
            // A kernel without IPv6 has no list of its connections.
            Err(error) if error.kind() == io::ErrorKind::NotFound && list != LISTS[0] => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The inode of a listed socket, if its peer is silent.
fn silent(line: &str) -> Option<u64> {
    /// A socket's timer waits either to repeat data, or to ask a peer that closed its window to open it.
    const REPEAT: &str = "01";
    const ASK: &str = "04";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, _, _, _, _, timer, repeated, _, asked, inode, ..] = fields.as_slice() else {
        return None;
    };
    let unanswered = match timer.split(':').next()? {
        REPEAT => u32::from_str_radix(repeated, 16).ok()?,
        ASK => asked.parse().ok()?,
        _ => return None,
    };
    (unanswered >= UNANSWERED).then(|| inode.parse().ok())?
}

/// The inode of a socket of this process.
pub(super) fn inode(socket: RawFd) -> Option<u64> {
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
            assert_eq!(silent(line), expect, "{line}");
        }
    }

    #[test]
    fn the_lists_of_this_kernel_can_be_read_and_their_inodes_are_those_of_our_sockets() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
        let ours = inode(listener.as_raw_fd()).expect("a socket").to_string();
        let text = std::fs::read_to_string(LISTS[0]).expect("the list");
        let is_ours = |line: &str| line.split_ascii_whitespace().nth(9) == Some(&ours);
        assert!(text.lines().any(is_ours), "{ours} in {text}");
        assert!(read_lists().expect("lists").is_empty());
    }
}

//! What the descriptors of this process are for. Each use has its share of the limit, so that none can take another's: neither
//! clients nor whoever asks for pages can keep it from looking at DNS.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections for the pages at once, where the limit is not small: scrapers, health checks and people together are a dozen.
pub const PAGES_MAX: usize = 64;
/// Pipes of all threads; what finds none is copied. An unprivileged user may have about so many of the size that they have
/// (fs.pipe-user-pages-soft).
const PIPES_MAX: usize = 64;
/// Kept for looks at DNS, calls of AWS, messages, questions to databases, programs that give credentials, and connections that are
/// about to be refused.
const LOOKS_MAX: usize = 512;

/// The standard streams, signals, the pages' listener, the service manager's socket, and some.
const ALWAYS: usize = 8;
/// Each thread's runtime: two to wait for events, one to be woken, one for signals.
const PER_RUNTIME: usize = 4;
/// Each proxy has a listener in each thread, a local socket for who would replace it, and asks addresses.
const PER_PROXY: usize = 3;
/// A client's and its database's.
const PER_SESSION: usize = 2;

/// The sessions of all proxies that there may be at once, where so many threads serve so many proxies.
pub fn sessions(limit: usize, threads: usize, proxies: usize) -> usize {
    let fixed = ALWAYS + PER_RUNTIME * (threads + 1) + (threads + PER_PROXY) * proxies;
    let others = LOOKS_MAX.min(limit / 8) + pages(limit) + 2 * threads * pipes(limit, threads);
    limit.saturating_sub(fixed + others) / PER_SESSION
}

/// The connections for the pages that there may be at once.
pub fn pages(limit: usize) -> usize {
    PAGES_MAX.min(limit / 16).max(1)
}

/// The pipes that each of so many threads may have.
pub fn pipes(limit: usize, threads: usize) -> usize {
    (PIPES_MAX / threads).max(1).min(limit / 32 / threads)
}

/// The limit of descriptors.
pub fn limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Raises the limit of descriptors as far as it goes.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where that is denied, the limit is what it was.
    let _ = setrlimit(Resource::Nofile, raised);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A limit, threads and proxies, and the sessions, connections for pages and pipes that there are then.
    #[test]
    fn the_shares_of_a_small_limit_are_small_and_never_more_than_there_is() {
        for (limit, threads, proxies, sessions, pages, pipes_of_all) in [
            (16, 2, 1, 0, 1, 0),
            (64, 2, 1, 11, 4, 2),
            (256, 2, 1, 83, 16, 8),
            (1024, 2, 1, 371, 64, 32),
            (1024, 64, 1, 248, 64, 0),
            (1024, 2, 40, 274, 64, 32),
            (65_536, 2, 1, 32_403, 64, 64),
            (65_536, 64, 1, 32_248, 64, 64),
            (1 << 20, 128, 1, 523_544, 64, 128),
        ] {
            let found = (
                super::sessions(limit, threads, proxies),
                super::pages(limit),
                threads * pipes(limit, threads),
            );
            assert_eq!(found, (sessions, pages, pipes_of_all), "{limit} {threads} {proxies}");
        }
    }
}

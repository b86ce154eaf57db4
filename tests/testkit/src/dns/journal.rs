//! What was asked: a bounded record of queries, and exact counts.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};

/// How many queries are kept, the newest; some 20 MB, and 100 s of 1,000 names asked once a second.
///
/// Counts go on beyond that: one number for each name asked.
pub const QUERIES_KEPT: usize = 100_000;

/// One query received, with what was or will be sent in return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// When it was read from its socket.
    pub at: Instant,
    /// The name asked for, in lower case and without its final dot.
    pub name: String,
    /// The record type asked for.
    pub kind: RecordType,
    /// Whether it came over TCP.
    pub tcp: bool,
    /// Its message id.
    pub id: u16,
    /// What was sent in return, or will be if it is delayed.
    pub answered: Answered,
}

/// What was sent in return for a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// A message to be believed.
    Message {
        /// Its response code.
        code: ResponseCode,
        /// The addresses in it, in their order; none for a negative answer, a failure, or aliases only.
        addresses: Vec<IpAddr>,
    },
    /// A request to ask over TCP.
    Truncated,
    /// A message under a wrong id or for a wrong name.
    Forged,
    /// Bytes that are no message, or that a test made by hand.
    Malformed,
    /// Nothing.
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    queries: VecDeque<Arc<Query>>,
    counts: BTreeMap<String, usize>,
}

impl Journal {
    pub(super) fn record(&mut self, query: Query) {
        match self.counts.get_mut(&query.name) {
            Some(count) => *count += 1,
            None => _ = self.counts.insert(query.name.clone(), 1),
        }
        if self.queries.len() == QUERIES_KEPT {
            self.queries.pop_front();
        }
        self.queries.push_back(Arc::new(query));
    }

    pub(super) fn queries(&self) -> Vec<Arc<Query>> {
        self.queries.iter().cloned().collect()
    }

    pub(super) fn count(&self, name: &Name) -> usize {
        self.counts.get(&plain(name)).copied().unwrap_or(0)
    }

    pub(super) fn clear(&mut self) {
        self.queries.clear();
        self.counts.clear();
    }
}

/// A name as people write it, the same for all its spellings.
pub(super) fn plain(name: &Name) -> String {
    let mut text = name.to_ascii();
    text.make_ascii_lowercase();
    text.truncate(text.trim_end_matches('.').len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "any instant will do")]
    fn the_newest_queries_are_kept_and_all_are_counted() {
        let mut journal = Journal::default();
        let name = super::super::parse_name("Db.example.com");
        let total = QUERIES_KEPT + 10;
        for i in 0..total {
            journal.record(Query {
                at: Instant::now(),
                name: plain(&name),
                kind: RecordType::A,
                tcp: false,
                id: (i % 0x1_0000) as u16,
                answered: Answered::Nothing,
            });
        }
        let kept = journal.queries();
        assert_eq!(
            (kept.len(), kept[0].id, journal.count(&name)),
            (QUERIES_KEPT, 10, total)
        );
    }
}

//! No storm: after a few messages of a kind about one subject, the rest of a span of time becomes one summary. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message::Kind;
use crate::planner::time::Timestamp;

/// Messages that a span may have: three failovers, each with its convergence. More than that is flapping.
pub(super) const MESSAGES_MAX: u32 = 6;
/// How long a span lasts: people who are told twice an hour still read it.
pub(super) const SPAN: Duration = Duration::from_secs(30 * 60);

/// Lets messages through until they are too many.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    /// When the span began in which messages are counted.
    since: Option<Timestamp>,
    events: u32,
    is_storm: bool,
    held_back: BTreeMap<Kind, u64>,
}

/// What was not told one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldBack {
    pub(super) since: Timestamp,
    pub(super) counts: BTreeMap<Kind, u64>,
}

impl Gate {
    /// Whether a message is to be sent; if not, it is counted. Ask for what is due first.
    pub(super) fn admits(&mut self, kind: Kind, now: Timestamp) -> bool {
        self.since.get_or_insert(now);
        self.events = self.events.saturating_add(1);
        let admits = !self.is_storm && self.events <= MESSAGES_MAX;
        if !admits {
            *self.held_back.entry(kind).or_default() += 1;
        }
        admits
    }

    /// At the end of a span, what was held back in it. A span with too many messages is followed by one without any.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<HeldBack> {
        let since = self.since.filter(|since| now.since(*since) >= SPAN)?;
        self.is_storm = self.events > MESSAGES_MAX;
        self.since = self.is_storm.then_some(now);
        self.events = 0;
        let counts = std::mem::take(&mut self.held_back);
        (!counts.is_empty()).then_some(HeldBack { since, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The minutes of events; then the minutes of messages, and of summaries with their counts.
    #[test]
    fn a_span_has_a_few_messages_and_a_summary() {
        type Row = (Vec<u64>, Vec<u64>, Vec<(u64, u64)>);
        let rows: [Row; 5] = [
            (vec![], vec![], vec![]),
            (vec![1, 2, 100], vec![1, 2, 100], vec![]),
            (vec![1, 2, 3, 4, 5, 6], vec![1, 2, 3, 4, 5, 6], vec![]),
            ((0..60).collect(), vec![0, 1, 2, 3, 4, 5], vec![(30, 24), (60, 30)]),
            // A storm that ends: what comes in the span after it is told at its end, then all is as before.
            (
                vec![1, 2, 3, 4, 5, 6, 7, 40, 90, 91],
                vec![1, 2, 3, 4, 5, 6, 90, 91],
                vec![(31, 1), (61, 1)],
            ),
        ];
        for (events, messages, summaries) in rows {
            let (mut gate, mut told, mut summed) = (Gate::default(), Vec::new(), Vec::new());
            for minute in 0..180 {
                let now = Timestamp::from_millis(minute * 60_000);
                summed.extend(gate.due(now).map(|held| (minute, held.counts.values().sum::<u64>())));
                for _ in events.iter().filter(|event| **event == minute) {
                    if gate.admits(Kind::AddressChanged, now) {
                        told.push(minute);
                    }
                }
            }
            assert_eq!((told, summed), (messages, summaries), "{events:?}");
        }
    }
}

//! Where the members of a database stand, for people.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::planner::endpoint::Endpoint;
use crate::planner::lead::{Shown, Steersman, Verdict, Why};
use crate::planner::time::Timestamp;
use crate::text::join;

/// After this long, DNS is not late any more: it is wrong.
pub const LATE: Duration = Duration::from_secs(60);

/// What the members of one endpoint's database show, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What each showed last.
    pub shown: Arc<Shown>,
    /// Whom connections go to.
    pub verdict: Verdict,
    /// Since when it has been the same verdict, where somebody has looked on.
    pub since: Option<Timestamp>,
}

impl Standing {
    /// What one look shows. DNS names these addresses.
    pub fn of(
        endpoint: &Endpoint,
        named: &BTreeSet<IpAddr>,
        shown: &Arc<Shown>,
        patience: Duration,
        now: Timestamp,
    ) -> Self {
        Self {
            endpoint: endpoint.clone(),
            shown: Arc::clone(shown),
            verdict: Steersman::default().steer(named, shown, patience, now),
            since: None,
        }
    }

    /// Whether it says of the same writer, or the lack of one, what another verdict says.
    pub fn is_still(&self, verdict: &Verdict) -> bool {
        (self.verdict.name(), self.verdict.writer()) == (verdict.name(), verdict.writer())
    }

    /// How long the writer has been another than DNS names.
    pub fn ahead_for(&self, now: Timestamp) -> Option<Duration> {
        let since = self.since.filter(|_| matches!(self.verdict, Verdict::Leads { .. }));
        since.map(|since| now.since(since))
    }

    /// The verdict, for people.
    pub fn text(&self) -> String {
        match &self.verdict {
            Verdict::Leads { to, over } if over.is_empty() => {
                format!("{to} shows that it is the writer; DNS cannot be asked")
            }
            Verdict::Leads { to, over } => {
                format!(
                    "{to} shows that it is the writer, ahead of DNS, which still names {}",
                    join(over)
                )
            }
            Verdict::Agrees(to) => format!("{to} shows that it is the writer, and DNS names it"),
            Verdict::Waits { readers, .. } => format!(
                "DNS names readers only ({}), and no member is the writer; a proxy lets new connections wait for one",
                join(readers)
            ),
            Verdict::Follows(Why::Impatient(readers)) => format!(
                "no member has become the writer in time; connections go where DNS says, to readers ({})",
                join(readers)
            ),
            Verdict::Contested(claims) => format!(
                "{} each show that they are the writer; DNS alone decides. See which of them is to be stopped",
                join(claims)
            ),
            Verdict::Follows(_) => "no member shows that it is the writer; DNS alone decides".to_owned(),
        }
    }

    /// Whether somebody should look.
    pub fn is_trouble(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::Contested(_) | Verdict::Follows(Why::Impatient(_))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_writer_is_another_standing() {
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let leads = |to: u8, over: u8| Verdict::Leads {
            to: ip(to),
            over: BTreeSet::from([ip(over)]),
        };
        for (before, after, is_still) in [
            (leads(2, 1), leads(2, 1), true),
            // DNS flaps, and is as wrong as before.
            (leads(2, 1), leads(2, 3), true),
            (leads(2, 1), leads(3, 1), false),
            (leads(2, 1), Verdict::Agrees(ip(2)), false),
            (Verdict::Agrees(ip(1)), Verdict::Agrees(ip(2)), false),
            (
                Verdict::Follows(Why::Blind),
                Verdict::Follows(Why::NotShown(ip(1))),
                true,
            ),
            (
                Verdict::Follows(Why::Blind),
                Verdict::Follows(Why::Impatient(BTreeSet::new())),
                false,
            ),
        ] {
            let standing = Standing {
                endpoint: "orders.example.com:5432".parse().expect("an endpoint"),
                shown: Arc::default(),
                verdict: before,
                since: None,
            };
            assert_eq!(standing.is_still(&after), is_still, "{standing:?} {after:?}");
        }
    }
}

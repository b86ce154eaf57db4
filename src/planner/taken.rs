//! Whether somebody else takes right targets away. ELB does not say who removes a target, so it is told from what is seen.
//!
//! ```text
//! the target was                     and is listed now     so it
//! seen registered, and named since   absent or draining    was taken away
//! registered by us, and named since  absent or draining    was taken away, if ELB has had the time to list it
//! seen registered                    anything, not named   may go: whoever follows the same endpoint removes it, too
//! never seen registered              absent or draining    is new
//! anything, before a gap in seeing   anything              may have gone while DNS did not name it
//! ```
//!
//! "Named" is by the latest answer; of a reader endpoint, whose answers are samples, within `forget`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::target::Target;
use super::time::Timestamp;

/// From this often on, somebody has to look. A person who takes a target away once sees that it comes back, and may try once
/// more; what goes on after that is a program that knows nothing of it.
pub const TIMES_TOLD: u32 = 3;
/// When none has been taken away for this long, it is over. The reconcilers of controllers that own a group run every few
/// seconds or minutes; what comes more rarely than this is a deployment, and each is an occasion of its own.
pub const QUIET: Duration = Duration::from_secs(10 * 60);
/// ELB lists a registration that it has accepted within this time.
const LISTED_WITHIN: Duration = Duration::from_secs(5);

/// What somebody else has taken away lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When the first was missed.
    pub since: Timestamp,
    /// When the latest was.
    pub last: Timestamp,
    /// How often each was.
    pub times: BTreeMap<Target, u32>,
    /// Those that are missed for the first time since they were last registered.
    pub found: BTreeSet<Target>,
}

impl Taken {
    /// The target that was taken away most often, and how often that was.
    pub fn most(&self) -> Option<(Target, u32)> {
        let most = self.times.iter().max_by_key(|(_, times)| **times);
        most.map(|(target, times)| (*target, *times))
    }

    /// Whether somebody should look.
    pub fn is_trouble(&self) -> bool {
        self.most().is_some_and(|(_, times)| times >= TIMES_TOLD)
    }
}

/// The right targets that are known to be registered, and those that somebody else has taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Takers {
    standing: BTreeMap<Target, Standing>,
    taken: Option<Taken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    /// When it was listed, or ELB accepted it.
    since: Timestamp,
    is_listed: bool,
}

impl Takers {
    /// Takes note that ELB accepted a registration of ours.
    pub(super) fn registered(&mut self, target: Target, now: Timestamp) {
        let standing = Standing {
            since: now,
            is_listed: false,
        };
        self.standing.entry(target).or_insert(standing);
    }

    /// Takes note that ELB accepted a removal of ours.
    pub(super) fn removed(&mut self, target: Target) {
        self.standing.remove(&target);
    }

    /// Begins a decision: what was found by the one before is no news.
    pub(super) fn begin(&mut self) {
        if let Some(taken) = &mut self.taken {
            taken.found.clear();
        }
    }

    /// Takes note of a gap in seeing what DNS names.
    pub(super) fn gap(&mut self) {
        self.standing.clear();
    }

    /// Takes note of both sides: what may be missed if it is not there, and of the targets named now whether each was registered
    /// when the group was listed.
    pub(super) fn see(
        &mut self,
        may_be_missed: impl Fn(Target) -> bool,
        named: impl IntoIterator<Item = (Target, bool)>,
        listed: Timestamp,
        now: Timestamp,
    ) {
        self.taken = self.taken.take().filter(|taken| listed.since(taken.last) < QUIET);
        self.standing.retain(|target, _| may_be_missed(*target));
        let mut found = BTreeSet::new();
        for (target, is_registered) in named {
            if is_registered {
                if listed < now {
                    // It may have gone, and rightly, before DNS came back to it.
                    continue;
                }
                let standing = Standing {
                    since: listed,
                    is_listed: true,
                };
                self.standing.insert(target, standing);
            } else if self.standing.get(&target).is_some_and(|it| it.is_missed(listed)) {
                self.standing.remove(&target);
                found.insert(target);
            }
        }
        if found.is_empty() {
            return;
        }
        let taken = self.taken.get_or_insert_with(|| Taken {
            since: listed,
            last: listed,
            times: BTreeMap::new(),
            found: BTreeSet::new(),
        });
        taken.last = listed;
        for target in &found {
            let times = taken.times.entry(*target).or_default();
            *times = times.saturating_add(1);
        }
        taken.found = found;
    }

    /// What has been taken away lately, if anything.
    pub(super) fn taken(&self) -> Option<&Taken> {
        self.taken.as_ref()
    }
}

impl Standing {
    /// Whether its absence from a list of this time says anything: an older list knows nothing of it.
    fn is_missed(self, listed: Timestamp) -> bool {
        let known_for = listed.since(self.since);
        listed > self.since && (self.is_listed || known_for >= LISTED_WITHIN)
    }
}

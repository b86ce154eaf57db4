//! Exit codes.

use crate::planner::plan::{Class, Note};

/// Exit codes: 0, 1, 2 and 4 as documented, the others as in sysexits.h where that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Settled.
    Settled = 0,
    /// Something unexpected.
    Unexpected = 1,
    /// Changes are pending.
    Pending = 2,
    /// Refused by a guard or by ELB.
    Refused = 3,
    /// Still waiting when the time was over, or somebody ended it.
    Waiting = 4,
    /// Wrong use of the command line.
    Usage = 64,
    /// DNS or AWS could not be reached, or failed.
    Unavailable = 69,
    /// Denied, or no credentials.
    Denied = 77,
    /// Bad settings, or no such target group.
    Settings = 78,
}

impl Exit {
    /// Which of several outcomes speaks for all, most severe first.
    const SEVERITY: [Self; 9] = [
        Self::Usage,
        Self::Settings,
        Self::Denied,
        Self::Refused,
        Self::Unavailable,
        Self::Unexpected,
        Self::Waiting,
        Self::Pending,
        Self::Settled,
    ];

    /// The most severe of several outcomes.
    pub fn worst(exits: impl IntoIterator<Item = Self>) -> Self {
        let exits: Vec<Self> = exits.into_iter().collect();
        let worst = Self::SEVERITY.into_iter().find(|exit| exits.contains(exit));
        worst.unwrap_or(Self::Settled)
    }

    /// What a note means: a group that can carry no database is not one to follow.
    pub fn of_note(note: &Note) -> Option<Self> {
        let is_unusable = matches!(note, Note::Unfit(unfit) if unfit.is_of_protocol());
        is_unusable.then_some(Self::Settings)
    }

    /// What something that is held means.
    pub fn of_hold(class: Class) -> Option<Self> {
        match class {
            Class::Unresolved => Some(Self::Unavailable),
            Class::Refused | Class::Unproven => Some(Self::Refused),
            Class::ToldElsewhere
            | Class::Doubtful
            | Class::Unprobed
            | Class::Overtaken
            | Class::Contradiction
            | Class::Wanted
            | Class::Waiting => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_severe_outcome_speaks_for_all() {
        use Exit::*;
        for (exits, worst) in [
            (vec![], Settled),
            (vec![Settled, Pending], Pending),
            (vec![Pending, Waiting], Waiting),
            (vec![Waiting, Unexpected], Unexpected),
            (vec![Unexpected, Unavailable, Settled], Unavailable),
            (vec![Unavailable, Refused], Refused),
            (vec![Refused, Denied], Denied),
            (vec![Denied, Settings, Settled], Settings),
        ] {
            assert_eq!(Exit::worst(exits.clone()), worst, "{exits:?}");
        }
    }
}

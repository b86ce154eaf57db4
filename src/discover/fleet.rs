//! What is followed: what the settings name, and what was found by its tags. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Swept;
use crate::aws::arn::Arn;
use crate::follow::binding::Binding;
use crate::planner::wrong::Wrong;
use crate::settings::discover::ENDPOINT;
use crate::settings::{Discover, Settings};

/// What was found so far, for each place that is looked at.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    found: Vec<(Discover, Option<Swept>)>,
}

/// A target group that is not followed as its tags say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// It.
    pub arn: Arn,
    /// What keeps it from that, each with the mend.
    pub wrong: Vec<String>,
    /// Whether it is followed as before meanwhile.
    pub is_followed: bool,
}

/// What is to be followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// All of it, in order: first what the settings name.
    pub bindings: Vec<Binding>,
    /// What is not as its tags say.
    pub troubles: Vec<Trouble>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let then = match self.is_followed {
            true => "it is followed as before until then",
            false => "it is not followed until then",
        };
        write!(f, "target group {}: {}; {then}", self.arn.name(), self.wrong.join("; "))
    }
}

impl Fleet {
    /// The same places with other settings: what was found there stays found.
    pub fn set(&mut self, places: &[Discover]) {
        let mut before = std::mem::take(&mut self.found);
        let swept = |place: &Discover| {
            let known = before.iter_mut().find(|(known, _)| known.looks_like(place));
            known.and_then(|(_, swept)| swept.take())
        };
        let found: Vec<_> = places.iter().map(swept).collect();
        self.found = places.iter().cloned().zip(found).collect();
    }

    /// The places that are looked at.
    pub fn places(&self) -> Vec<Discover> {
        self.found.iter().map(|(place, _)| place.clone()).collect()
    }

    /// Takes what one look found at a place.
    pub fn note(&mut self, place: &Discover, swept: Swept) {
        if let Some((_, found)) = self.found.iter_mut().find(|(known, _)| known == place) {
            *found = Some(swept);
        }
    }

    /// The account that the groups of a place are in, if any was found.
    pub fn account(&self, place: &Discover) -> Option<&str> {
        Some(self.swept(place)?.keys().next()?.account())
    }

    /// How many groups were found at a place; nothing before the first look that was good.
    pub fn tagged(&self, place: &Discover) -> Option<usize> {
        let tags = self.swept(place)?.values();
        Some(tags.filter(|tags| tags.contains_key(ENDPOINT)).count())
    }

    /// What was found at a place.
    fn swept(&self, place: &Discover) -> Option<&Swept> {
        let (_, swept) = self.found.iter().find(|(known, _)| known == place)?;
        swept.as_ref()
    }

    /// What is to be followed, where `in_force` is what is followed now. What the settings name goes before tags, and a place before
    /// those after it.
    pub fn followed(&self, settings: &Settings, in_force: &BTreeMap<&Arn, &Binding>) -> Followed {
        let mut followed = Followed {
            bindings: settings.bindings.clone(),
            troubles: Vec::new(),
        };
        let mut taken: BTreeSet<Arn> = settings.bindings.iter().map(|binding| binding.arn.clone()).collect();
        let named = taken.clone();
        for (place, swept) in &self.found {
            let Some(swept) = swept else {
                // Nothing is known of it yet.
                continue;
            };
            for (arn, tags) in swept {
                let Some(read) = place.read(arn, tags) else { continue };
                if !taken.insert(arn.clone()) {
                    followed.troubles.extend(named.contains(arn).then(|| Trouble {
                        arn: arn.clone(),
                        wrong: vec![of_both(arn)],
                        is_followed: true,
                    }));
                    continue;
                }
                match read {
                    Ok(binding) => followed.bindings.push(binding),
                    Err(wrong) => {
                        let before = in_force.get(arn).map(|binding| Binding::clone(binding));
                        followed.troubles.push(Trouble {
                            arn: arn.clone(),
                            wrong: wrong.iter().map(Wrong::to_string).collect(),
                            is_followed: before.is_some(),
                        });
                        followed.bindings.extend(before);
                    }
                }
            }
        }
        followed
    }
}

fn of_both(arn: &Arn) -> String {
    format!(
        "{} has a [[target_group]] as well as tags, and goes by the former; remove the tag {ENDPOINT} or the table",
        arn.name()
    )
}

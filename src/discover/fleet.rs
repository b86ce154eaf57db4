//! What is followed: what the settings name, and what was found by its tags. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Swept;
use crate::aws::arn::Arn;
use crate::follow::binding::Binding;
use crate::planner::wrong::Wrong;
use crate::settings::discover::{ENDPOINT, Tags};
use crate::settings::{Discover, Settings};

/// What was found so far, for each place that is looked at.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    found: Vec<(Discover, Option<Swept>)>,
}

/// A target group that is not followed as its tags say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// It.
    pub arn: Arn,
    /// What keeps it from that, each with the mend.
    pub wrong: Vec<Wrong>,
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
        write!(f, "target group {}: {}; {then}", self.arn.name(), self.told())
    }
}

impl Trouble {
    /// All that keeps it from that.
    pub fn told(&self) -> String {
        self.wrong.iter().map(Wrong::to_string).collect::<Vec<_>>().join("; ")
    }
}

impl Fleet {
    /// The same places with other settings: what was found there stays found.
    pub fn set(&mut self, places: &[Discover]) {
        let mut before = std::mem::take(&mut self.found);
        // Another role in the same account finds the same groups: until it has looked, or while it is denied, what was found goes on.
        let swept = |place: &Discover| {
            let same = before.iter().position(|(known, _)| known.looks_like(place));
            let same = same.or_else(|| before.iter().position(|(known, _)| known.sees_like(place)));
            same.and_then(|at| before[at].1.take())
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
        let tags = self.swept(place)?.values().flatten();
        Some(tags.filter(|tags| tags.contains_key(ENDPOINT)).count())
    }

    /// The groups of a place that are tagged, or may be.
    pub fn known(&self, place: &Discover) -> BTreeSet<Arn> {
        self.swept(place).map(known).unwrap_or_default()
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
                let before = in_force.get(arn).map(|binding| Binding::clone(binding));
                let read = match tags {
                    Some(tags) => place.read(arn, tags),
                    None => Some(Err(vec![untold()])),
                };
                let Some(read) = read else { continue };
                if !taken.insert(arn.clone()) {
                    let is_both = tags.is_some() && named.contains(arn);
                    followed.troubles.extend(is_both.then(|| Trouble {
                        arn: arn.clone(),
                        wrong: vec![of_both(arn)],
                        is_followed: true,
                    }));
                    continue;
                }
                match read {
                    Ok(binding) => followed.bindings.push(binding),
                    Err(wrong) => {
                        followed.troubles.push(Trouble {
                            arn: arn.clone(),
                            wrong,
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

/// Those of what was found that are tagged, or may be.
pub(super) fn known(swept: &Swept) -> BTreeSet<Arn> {
    let may_be = |tags: &Option<Tags>| tags.as_ref().is_none_or(|tags| tags.contains_key(ENDPOINT));
    let known = swept.iter().filter(|(_, tags)| may_be(tags));
    known.map(|(arn, _)| arn.clone()).collect()
}

fn of_both(arn: &Arn) -> Wrong {
    let what = format!(
        "{} has a [[target_group]] as well as tags, and goes by the former",
        arn.name()
    );
    Wrong::new(what, format!("remove the tag {ENDPOINT} or the table"))
}

fn untold() -> Wrong {
    let what = "DescribeTags was answered without its tags";
    Wrong::new(what, "the next look asks for them again")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::Flags;

    const ORDERS: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef";

    /// Fails if a group of which nothing was told ends being followed, or begins to be.
    #[test]
    fn a_group_whose_tags_were_not_told_is_as_before() {
        let text = "[[discover]]\nregion = \"eu-west-1\"\nallow_endpoints = [\"*.example.com\"]".to_owned();
        let settings = Flags::of_text(Path::new("config.toml"), text).expect("settings");
        let place = settings.discover.first().expect("a place");
        let arn: Arn = ORDERS.parse().expect("an ARN");
        let told = Tags::from([(ENDPOINT.to_owned(), "orders.example.com:5432".to_owned())]);
        let mut fleet = Fleet::default();
        fleet.set(&settings.discover);
        let mut look = |tags: Option<Tags>, before: &[Binding]| {
            fleet.note(place, Swept::from([(arn.clone(), tags)]));
            let in_force = before.iter().map(|binding| (&binding.arn, binding)).collect();
            fleet.followed(&Settings::default(), &in_force)
        };
        let known = look(Some(told), &[]).bindings;
        assert_eq!(known.len(), 1);
        for (before, is_followed) in [(&known[..], true), (&[], false)] {
            let held = look(None, before);
            assert_eq!(held.bindings, before);
            let [trouble] = &held.troubles[..] else {
                panic!("{held:?}")
            };
            assert_eq!((&trouble.arn, trouble.is_followed), (&arn, is_followed));
            let told = trouble.to_string();
            assert!(told.contains("DescribeTags was answered without its tags"), "{told}");
        }
        let gone = look(Some(Tags::new()), &known);
        assert_eq!(gone, Followed::default(), "a tag that is gone");
    }

    /// Fails if other credentials for the same place end the following of what was found there.
    #[test]
    fn what_was_found_goes_on_under_another_role() {
        let place = |more: &str| {
            let text = format!("[[discover]]\nregion = \"eu-west-1\"\nallow_endpoints = [\"*.example.com\"]\n{more}");
            Flags::of_text(Path::new("config.toml"), text)
                .expect("settings")
                .discover
        };
        let role = |account: &str, name: &str| {
            place(&format!(
                "assume_role = {{ arn = \"arn:aws:iam::{account}:role/{name}\" }}"
            ))
        };
        let arn: Arn = ORDERS.parse().expect("an ARN");
        let told = Tags::from([(ENDPOINT.to_owned(), "orders.example.com:5432".to_owned())]);
        let here = role("111122223333", "one");
        for (next, goes_on) in [
            (role("111122223333", "two"), true),
            (role("222233334444", "one"), false),
            (place(""), false),
        ] {
            let mut fleet = Fleet::default();
            fleet.set(&here);
            fleet.note(&here[0], Swept::from([(arn.clone(), Some(told.clone()))]));
            fleet.set(&next);
            let followed = fleet.followed(&Settings::default(), &BTreeMap::new());
            assert_eq!(followed.bindings.len(), usize::from(goes_on), "{next:?}");
        }
    }
}

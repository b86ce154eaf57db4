//! What must never happen (docs/deciding.md), whatever else does.

use stateright::Property;

use super::world::{State, World};

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A removal leaves something of the database registered, and what has been true for `forget`.
    S1,
    /// Nothing is registered but what the latest answer names and the guards let through.
    S2,
    /// Nothing is removed while blind, and nothing is written without a listing.
    S3,
    /// What is kept is not touched.
    S4,
    /// A removal is decided on only while an address that is named now is seen registered, and draining is not registered.
    S5,
    /// What an answer that this process has seen named within `forget` is not removed by it.
    S6,
    /// A step is settled only if what was listed is what DNS names.
    S8,
}

/// One property for each rule, and one for what comes when nothing goes wrong any more.
pub fn properties() -> Vec<Property<World>> {
    type Keeps = fn(&World, &State) -> bool;
    let rules: [(&'static str, Keeps); 8] = [
        ("S1: a removal leaves the database registered", |_, state| {
            state.broken != Some(Rule::S1)
        }),
        ("S2: only what is named and legal is registered", |_, state| {
            state.broken != Some(Rule::S2)
        }),
        ("S3: nothing is removed while blind", |_, state| {
            state.broken != Some(Rule::S3)
        }),
        ("S4: what is kept is not touched", |_, state| {
            state.broken != Some(Rule::S4)
        }),
        ("S5: a replacement is seen registered", |_, state| {
            state.broken != Some(Rule::S5)
        }),
        ("S6: what was named lately stays", |_, state| {
            state.broken != Some(Rule::S6)
        }),
        ("S8: settled is only what is named", |_, state| {
            state.broken != Some(Rule::S8)
        }),
        (
            "L1, L2: once faults stop, the group becomes what DNS names, and both are silent",
            World::comes_to_rest,
        ),
    ];
    rules
        .into_iter()
        .map(|(name, keeps)| Property::always(name, keeps))
        .collect()
}

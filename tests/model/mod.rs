//! Two processes, each with the planner's own decision and memory, in a world in which anything may happen in any order: a checker
//! (the crate stateright) goes through all of it, and holds each step against the rules (`rules.rs`).
//!
//! One target group, one endpoint of a writer, two addresses. The database fails over; the name server of each process is behind; looks
//! fail or bring an address that no target can have; listings fail; each call comes to AWS at some later time, or is lost, or its
//! reply is; a process ends at any point and begins anew without a memory, while its call still comes to AWS; what drains is gone at
//! some time. Time passes in ticks, parts of `forget`. In each tick each process looks at DNS once, and then takes one step or none.
//!
//! Left out: a second failed look in a row (so no gap of 90 s; what that does, an end does more thoroughly), health, readers, several
//! name servers and other people. What an answer proves is weighed elsewhere; here each is fresh.

mod mind;
mod rules;
mod world;

use std::fmt;

use stateright::{Checker, HasDiscoveries, Model};

pub use world::Bounds;
use world::{Action, State, World};

/// What was gone through.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Different states.
    pub states: usize,
    /// Ways from one to another.
    pub transitions: usize,
    /// Steps to the furthest.
    pub depth: usize,
    /// Different things that a process can know.
    pub minds: usize,
    /// Turns of them that were compared with those of another that reads the same.
    pub compared: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            states,
            transitions,
            depth,
            minds,
            compared,
        } = self;
        write!(
            f,
            "{states} states, {transitions} transitions, at most {depth} steps deep, {minds} minds, {compared} turns of them compared"
        )
    }
}

/// A rule that is broken, and how it comes to that.
pub struct Broken {
    /// The property.
    pub rule: &'static str,
    path: Vec<(State, Option<Action>)>,
    start: usize,
}

impl Broken {
    /// How many steps it takes.
    pub fn steps(&self) -> usize {
        self.path.len() - 1
    }

    /// What to give to [`replay`].
    pub fn script(&self) -> String {
        let actions = self
            .path
            .iter()
            .filter_map(|(_, action)| Some(action.as_ref()?.to_string()));
        [self.start.to_string()]
            .into_iter()
            .chain(actions)
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} - broken in {} steps", self.rule, self.steps())?;
        let mut before = "start".to_owned();
        for (number, (state, action)) in self.path.iter().enumerate() {
            writeln!(f, "{number:4} {before:26} {state}")?;
            before = action.as_ref().map(ToString::to_string).unwrap_or_default();
        }
        Ok(())
    }
}

/// Goes through all that can happen within the bounds.
pub fn check(bounds: Bounds, threads: usize) -> Result<Size, Broken> {
    let checker = World::new(bounds)
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let world = checker.model();
    if let Some((rule, path)) = checker
        .discoveries()
        .into_iter()
        .min_by_key(|(_, path)| path.clone().into_states().len())
    {
        let path = path.into_vec();
        let start = world
            .init_states()
            .iter()
            .position(|state| *state == path[0].0)
            .unwrap_or_default();
        return Err(Broken { rule, path, start });
    }
    let compared = world
        .minds
        .check()
        .unwrap_or_else(|differs| panic!("what reads the same is not the same: {differs}"));
    Ok(Size {
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth(),
        minds: world.minds.count(),
        compared,
    })
}

/// Plays what [`Broken::script`] says: where it comes to, or what cannot happen.
pub fn replay(bounds: Bounds, script: &str) -> Result<Broken, String> {
    let world = World::new(bounds);
    let mut words = script.split(',');
    let start: usize = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or("it begins with the number of a start")?;
    let mut state = *world.init_states().get(start).ok_or("there is no such start")?;
    let mut path = Vec::new();
    for word in words {
        let mut actions = Vec::new();
        world.actions(&state, &mut actions);
        let all = || actions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let action = actions.iter().find(|action| action.to_string() == word);
        let action = *action.ok_or_else(|| format!("{word} cannot happen; what can: {}", all()))?;
        path.push((state, Some(action)));
        state = world.next_state(&state, action).ok_or("nothing comes of it")?;
    }
    path.push((state, None));
    let rule = world
        .properties()
        .iter()
        .find(|property| !(property.condition)(&world, &state))
        .map(|property| property.name);
    Ok(Broken {
        rule: rule.unwrap_or("no rule"),
        path,
        start,
    })
}

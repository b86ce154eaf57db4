//! The decision, apart from the doing. Nothing below this module knows a clock, a network, AWS or `async`: what was seen
//! and the time are arguments, the plan is the result, and the same facts give the same plan.
//!
//! In reading order: [`time`], [`endpoint`] (and its [`engine`]) and [`target`] are the nouns; [`answer`] is what DNS said, [`evidence`] what that
//! proves, and [`history`] what was said before; [`guard`] is what may be a target at all; [`candidate`] is what it may have
//! to show before; [`policy`] is what the operator wants; [`memory`] is what earlier steps left, [`taken`] what somebody else takes away, [`seen`]
//! what this step found; [`serving`] says whether anything takes connections; [`protocol`] what a group carries; [`lead`] who the writer is, where members are asked; [`decide`] decides; [`plan`] is its outcome; [`cadence`] says when to look next; [`wrong`] is what is said of a text that is
//! none of the nouns.

pub mod answer;
pub mod cadence;
pub mod candidate;
pub mod decide;
pub mod endpoint;
pub mod engine;
pub mod evidence;
pub mod guard;
pub mod history;
pub mod lead;
pub mod memory;
pub mod pattern;
pub mod plan;
pub mod policy;
pub mod protocol;
pub mod seen;
pub mod serving;
pub mod taken;
pub mod target;
pub mod time;
pub mod wrong;

//! What wakes the function: every envelope as a fixture beside this file, every event ID, whose endpoints are looked at,
//! and ten seconds of whatever else may come.

mod envelopes;
mod fixtures;
mod ids;
mod limits;
mod mutate;
mod scope;
mod tag;

use super::fuzzed::event as invariants;

//! The planner seen from outside: incidents as scripts with their expected plans, random walks that assert the
//! invariants, and the absences that keep the planner pure. No clock, no network: time is a number that the tests count.

mod absences;
mod endpoint;
mod guard;
mod incidents;
mod lead;
mod process;
mod replay;
mod script;
mod walk;
mod words;
mod world;

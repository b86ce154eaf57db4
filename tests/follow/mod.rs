//! Stories of the real follower, watcher, reconciler and budget of calls in virtual time: minutes pass in milliseconds, and
//! nothing depends on how busy the machine is. What the built binary adds is told in `stories`.

mod agenda;
mod caches;
mod cadence;
mod evidence;
mod lead;
mod pressure;
mod region;
mod resolvers;
mod retry;
mod taken;

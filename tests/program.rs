//! The built binary, run as a user types it, against simulated servers. What needs a server of somebody else's too is ignored, and
//! run by tests/run.

mod discover;
mod docs;
mod doctor;
mod drill;
mod iam;
mod manual;
mod notify;
mod pages;
mod proxy;
mod stories;

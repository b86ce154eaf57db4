//! The list of AWS actions is the truth: the code calls what is in it and nothing else, `iam` prints it for given settings, and
//! whatever this repository says of permissions equals it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, missing_docs)]

mod calls;
mod documents;
mod sources;
mod text;
mod verb;

use std::collections::BTreeSet;
use testkit::world;

use rds_tether::verbs::iam::Use;

/// The names of the actions of a caller.
fn listed(caller: Use) -> BTreeSet<String> {
    caller.actions().map(|action| action.name.to_owned()).collect()
}

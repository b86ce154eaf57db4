//! The verbs of the command line, apart from `doctor`, which has a room of its own.

pub mod iam;
pub mod manual;
pub mod once;
pub mod run;
pub mod status;

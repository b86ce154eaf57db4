//! What runs rds-tether on a host: the units, the example settings, and the packages that deploy/package makes of them, installed
//! into a root of their own, where their commands are run by hand. No service manager is started.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod calls;
mod container;
mod example;
mod install;
mod lint;
mod made;
mod release;
mod root;
mod sbom;
mod service;
mod unit;
mod users;

use testkit::world;

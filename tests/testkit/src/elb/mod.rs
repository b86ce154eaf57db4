//! Elastic Load Balancing as far as target groups go: what happens to a target, and the API that says so; and the endpoint services
//! that publish load balancers, which EC2's API knows.
//!
//! Two layers, each usable alone:
//!
//! - [`model`]: the rules, without clock and I/O. Time is an argument, so a simulation with virtual time can
//!   live through a year of registrations in a millisecond. [`limits`] holds the request rate limits likewise.
//! - [`Server`]: the same model behind a real HTTP port that speaks the AWS Query protocol, so that an
//!   unmodified AWS client talks to it; it also records every call and can be made to fail in every way known.
//!
//! No data plane is modelled: nothing here forwards connections. [`Model::ways`] says where they would go.

mod api;
mod balancer;
mod cidr;
mod command;
mod faults;
mod group;
pub mod limits;
mod listener;
mod listing;
pub mod model;
mod refusal;
mod server;
mod service;
mod tags;
mod target;
mod ways;
mod wire;

pub use api::{CALLS_KEPT, Call, Role};
pub use balancer::{Balancer, HealthCheck};
pub use cidr::Cidr;
pub use faults::Failure;
pub use group::{Family, Group, TargetType};
pub use listener::{Forward, Listener, Rule};
pub use listing::Page;
pub use model::Model;
pub use refusal::Refusal;
pub use server::Server;
pub use service::{ENDPOINTS_MADE, Service};
pub use tags::Tags;
pub use target::{TargetDescription, TargetView};
pub use ways::{Entry, Ways};
pub(crate) use wire::{element, form, text};

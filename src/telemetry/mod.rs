//! Shows people and programs what the process sees and does: the log, metrics, HTTP pages and JSON.
//!
//! - [`board`]: the latest report of every target group, the proxies, and the last changes.
//! - [`document`]: all of that as one value, with the [`rules`] of each and its [`source`]; [`page`] draws it as HTML
//!   (`card` one target group or proxy of a `scene`, `chart` its [`timeline`]), [`output`] as text, serde as JSON.
//! - [`metrics`]: counters taken from reports, and gauges read off the board. [`http`] serves pages and metrics.
//! - [`journal`]: the log of `run`. [`verdict`] has the phrases that all of them say.

pub mod board;
mod card;
pub mod chart;
pub mod document;
pub mod http;
pub mod journal;
pub mod markup;
mod members;
pub mod metrics;
pub mod output;
pub mod page;
mod places;
pub mod rules;
mod scene;
mod shown;
mod sighted;
pub mod source;
pub mod state;
pub mod timeline;
pub mod verdict;

//! Texts as HTML has them.

use std::fmt::Display;

use crate::planner::time::Timestamp;
use crate::telemetry::document::Document;
use crate::telemetry::state::State;

/// The class of what is so.
pub(super) fn class(state: State) -> &'static str {
    match state {
        State::Trouble => "no",
        State::Waiting => "wait",
        State::Well => "ok",
    }
}

/// How long ago, which stays on one line.
pub(super) fn ago(document: &Document, then: Option<Timestamp>) -> String {
    format!("<span class=nb>{}</span>", document.ago(then))
}

/// A text with nothing in it that HTML would take for its own.
pub(super) fn html(text: impl Display) -> String {
    let escaped = text.to_string().replace('&', "&amp;").replace('<', "&lt;");
    escaped.replace('>', "&gt;").replace('"', "&quot;")
}

/// The same of what may not be there.
pub(super) fn maybe(text: &Option<impl Display>) -> String {
    text.as_ref().map(html).unwrap_or_default()
}

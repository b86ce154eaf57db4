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

/// A text with nothing in it that HTML, or XML, would take for its own.
pub fn html(text: impl Display) -> String {
    let escaped = text.to_string().replace('&', "&amp;").replace('<', "&lt;");
    escaped.replace('>', "&gt;").replace('"', "&quot;")
}

/// The same of a sentence, the durations of which stay on one line.
pub(super) fn sentence(text: impl Display) -> String {
    let mut out = String::new();
    for word in html(text).split_inclusive(' ') {
        let is_unit = ["ms", "s", "min"].contains(&word.trim_end_matches([' ', ',', ';', '.', ')', ':']));
        if is_unit && out.ends_with(' ') && out.trim_end().ends_with(|char: char| char.is_ascii_digit()) {
            out.pop();
            out.push_str("&nbsp;");
        }
        out.push_str(word);
    }
    out
}

/// The same of what may not be there.
pub(super) fn maybe(text: &Option<impl Display>) -> String {
    text.as_ref().map(html).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_stay_on_one_line() {
        for (text, drawn) in [
            (
                "registered 10.0.0.1:5432 after 2 ms",
                "registered 10.0.0.1:5432 after 2&nbsp;ms",
            ),
            (
                "(at least 60 min more), 3 s, 5",
                "(at least 60&nbsp;min more), 3&nbsp;s, 5",
            ),
            ("it is s & <b>", "it is s &amp; &lt;b&gt;"),
        ] {
            assert_eq!(sentence(text), drawn);
        }
    }
}

//! Texts that are shown to people.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::shown;

/// A text that may come from others: for people it is on one line, whatever is in it; for machines it is as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Text(pub(super) String);

impl Text {
    /// The text of something.
    pub fn of(what: impl ToString) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&shown(&self.0))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

/// Each as a text.
pub(super) fn texts(items: impl IntoIterator<Item: ToString>) -> Vec<Text> {
    items.into_iter().map(Text::of).collect()
}

//! Texts that are shown to people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that may come from others: it is shown without what would move a terminal's cursor.
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
        f.pad(&self.0.replace(char::is_control, "?"))
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

//! Why a text is not what it should be.

/// What is wrong with a text, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub struct Wrong {
    /// What is wrong, with the text.
    pub what: String,
    /// What to write instead.
    pub fix: String,
}

impl Wrong {
    /// Says what is wrong and what to write instead.
    pub fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        let (what, fix) = (what.into(), fix.into());
        Self { what, fix }
    }
}

/// Reads one of a few words, each with what it stands for; `noun` is for the message.
pub fn one_of<T: Copy>(text: &str, noun: &str, words: &[(&str, T)]) -> Result<T, Wrong> {
    if let Some((_, meant)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*meant);
    }
    let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    Err(Wrong::new(
        format!("`{text}` is no {noun}"),
        format!("write {}", words.join(" or ")),
    ))
}

//! What people read, put the same way everywhere.

/// Characters of a message that are worth reading; some repeat what they are about.
const MESSAGE_MAX_CHARS: usize = 500;

/// A message without what makes it too long to read.
pub fn shorten(message: &str) -> String {
    if message.chars().count() <= MESSAGE_MAX_CHARS {
        return message.to_owned();
    }
    // The end says what is expected, the beginning what is wrong.
    let half = MESSAGE_MAX_CHARS / 2;
    let start: String = message.chars().take(half).collect();
    let end: String = message
        .chars()
        .rev()
        .take(half)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    format!("{start} [...] {end}")
}

//! Questions to somebody at a terminal. They go to standard error: standard output is what was found.

use std::io::{self, IsTerminal as _, Write as _, stderr, stdin};

use crate::text::shown;

/// The longest answer that is read.
const ANSWER_MAX_CHARS: usize = 4096;

/// Whether somebody is there to be asked.
pub fn is_there() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// Asks until something is answered that `read` takes; an empty answer is the one in brackets, if there is one. Nothing if
/// whoever was asked has gone.
///
/// # Errors
/// The terminal cannot be read.
pub fn ask<T>(
    question: &str,
    default: Option<&str>,
    mut read: impl FnMut(&str) -> Result<T, String>,
) -> io::Result<Option<T>> {
    loop {
        let hint = default.map(|default| format!(" [{default}]")).unwrap_or_default();
        // Who cannot be asked is not waited for.
        write!(stderr(), "{}{}: ", shown(question), shown(&hint))?;
        stderr().flush()?;
        let mut line = String::new();
        if stdin().read_line(&mut line)? == 0 {
            let _ = writeln!(stderr());
            return Ok(None);
        }
        let answer: String = line.trim().chars().take(ANSWER_MAX_CHARS).collect();
        let answer = match (answer.as_str(), default) {
            ("", Some(default)) => default,
            (answer, _) => answer,
        };
        match read(answer) {
            Ok(taken) => return Ok(Some(taken)),
            Err(why) => drop(writeln!(stderr(), "  {}", shown(&why))),
        }
    }
}

/// Asks for yes or no.
///
/// # Errors
/// The terminal cannot be read.
pub fn agree(question: &str) -> io::Result<bool> {
    let read = |answer: &str| match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err("answer y or n".to_owned()),
    };
    Ok(ask(question, Some("y"), read)?.unwrap_or(false))
}

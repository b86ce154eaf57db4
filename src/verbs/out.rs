//! Standard output and error.

use std::io::{Write, stdout};

/// Prints a line. A reader that went away must not turn into a panic.
pub fn say(out: &mut impl Write, text: &str) {
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Prints what ends its own lines; false if nobody reads any more.
pub fn print(text: &str) -> bool {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

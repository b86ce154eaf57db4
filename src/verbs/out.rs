//! Standard output and error.

use std::io::{Write, stdout};

/// Prints a line. A reader that went away must not turn into a panic.
pub fn say(out: &mut impl Write, text: &str) {
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// A text whose lines begin with how something is, in colours if they are wanted.
pub fn painted(text: &str, is_coloured: bool) -> String {
    let paint = |line: &str| {
        let word = line.trim_start().split(' ').next().unwrap_or_default();
        let colour = COLOURS.iter().find(|(status, _)| *status == word);
        match colour.filter(|_| is_coloured && line.starts_with("  ")) {
            Some((status, colour)) => line.replacen(status, &format!("\x1b[{colour}m{status}\x1b[0m"), 1),
            None => line.to_owned(),
        }
    };
    text.lines().map(paint).collect::<Vec<_>>().join("\n")
}

/// How something is, and its colour on a terminal.
const COLOURS: [(&str, &str); 4] = [("ok", "32"), ("warning", "33"), ("failure", "1;31"), ("skipped", "2")];

/// Prints what ends its own lines; false if nobody reads any more.
pub fn print(text: &str) -> bool {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

//! Standard output and error. Whatever is printed comes by here, and loses what would do anything on a terminal but end a line.
//! What cannot be written to standard output is an error, unless its reader went away, who has read enough.

use std::io::{self, ErrorKind, Write, stderr, stdout};

use crate::text::shown_lines;

/// Prints a line to standard output.
///
/// # Errors
/// It cannot be written.
pub fn say(text: &str) -> io::Result<()> {
    put(&(shown_lines(text) + "\n")).map(drop)
}

/// Prints a line to standard error, where nobody could be told that it fails.
pub fn remark(text: &str) {
    let _ = writeln!(stderr(), "{}", shown_lines(text));
}

/// Prints what ends its own lines to standard output; false if nobody reads any more.
///
/// # Errors
/// It cannot be written.
pub fn print(text: &str) -> io::Result<bool> {
    put(&shown_lines(text))
}

/// Prints to standard output a text whose lines begin with how something is, in colours if they are wanted.
///
/// # Errors
/// It cannot be written.
pub fn paint(text: &str, is_coloured: bool) -> io::Result<()> {
    put(&(painted(&shown_lines(text), is_coloured) + "\n")).map(drop)
}

/// Moves a terminal's cursor home and clears all that is below.
///
/// # Errors
/// It cannot be written.
pub fn clear() -> io::Result<()> {
    put("\x1b[H\x1b[J").map(drop)
}

/// Whether what was written to standard output has a reader.
///
/// # Errors
/// It was not written.
pub fn read(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            let what = format!("cannot write to standard output: {error}; free room, or name another place");
            Err(io::Error::new(error.kind(), what))
        }
    }
}

fn put(text: &str) -> io::Result<bool> {
    let mut out = stdout().lock();
    read(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn painted(text: &str, is_coloured: bool) -> String {
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

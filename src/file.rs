//! Files that somebody names: no more of one is read than it may have, and nothing that could keep its reader waiting.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// The most that a settings file may have, in bytes: a thousand target groups take a fifth of it.
pub const SETTINGS_MAX: u64 = 1 << 20;
/// The most that a file of certificates may have, in bytes: RDS's of all regions has 170 KiB, a system's own 220 KiB.
pub const CERTIFICATES_MAX: u64 = 4 << 20;
/// The most that /etc/resolv.conf may have, in bytes.
pub const RESOLV_CONF_MAX: u64 = 64 << 10;

/// The content of a file of at most so many bytes.
///
/// # Errors
/// Those of the system, and for what is no file or too large, one that says so in words.
pub fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    // Before it is opened: that alone would wait for whoever writes to a pipe.
    let kind = std::fs::metadata(path)?.file_type();
    let none = |kind, what: &str| Err(io::Error::new(kind, format!("it is {what}, not a file")));
    let no_file = |what| none(ErrorKind::InvalidInput, what);
    match kind {
        kind if kind.is_file() => {}
        kind if kind.is_dir() => return none(ErrorKind::IsADirectory, "a directory"),
        kind if kind.is_fifo() => return no_file("a pipe, which has its content only once"),
        kind if kind.is_socket() => return no_file("a socket"),
        _ => return no_file("a device"),
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        let what = format!("it has more than {} KiB, the most that it may have", max >> 10);
        return Err(io::Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn what_is_read_is_a_file_of_no_more_than_that() {
        let scratch = Scratch::new();
        for (size, is_read) in [(0, true), (10, true), (11, false)] {
            let path = scratch.write("file", &"x".repeat(size));
            assert_eq!(read(&path, 10).is_ok(), is_read, "{size}");
        }
        for (path, words) in [
            (Path::new("/"), "it is a directory, not a file"),
            (Path::new("/dev/zero"), "it is a device, not a file"),
            (&scratch.path("missing"), "No such file"),
        ] {
            let error = read(path, 10).expect_err("no file");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

//! The settings file that is written: all of it or nothing, and over no other unless that is asked for.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::aws::arn::Arn;
use crate::planner::endpoint::Endpoint;

/// The text of settings that bind the groups to the endpoint.
pub fn text(endpoint: &Endpoint, groups: &[Arn], nameservers: &[SocketAddr]) -> String {
    let mut text =
        "# What rds-tether follows; written by rds-tether init. All keys: rds-tether man settings\n".to_owned();
    text.push_str(&tables(endpoint, groups));
    if !nameservers.is_empty() {
        let named: Vec<String> = nameservers.iter().map(|server| format!("\"{server}\"")).collect();
        let _ = write!(text, "\n[dns]\nnameservers = [{}]\n", named.join(", "));
    }
    text
}

/// The tables of the groups, each after an empty line.
pub fn tables(endpoint: &Endpoint, groups: &[Arn]) -> String {
    let table = |arn| format!("\n[[target_group]]\narn = \"{arn}\"\nendpoints = [\"{endpoint}\"]\n");
    groups.iter().map(table).collect()
}

/// A file's text with more behind it, of which it has every byte as it was.
pub fn with(former: String, more: &str) -> String {
    let end = if former.is_empty() || former.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    former + end + more
}

/// What stands in the way of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// Nothing.
    Nothing,
    /// The same text.
    Same,
    /// Another.
    Another,
}

/// What is there already.
pub fn there(path: &Path, text: &str) -> There {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => There::Nothing,
        _ if crate::file::read(path, crate::file::SETTINGS_MAX).is_ok_and(|found| found == text.as_bytes()) => {
            There::Same
        }
        _ => There::Another,
    }
}

/// Writes the file beside its place and puts it there at once. Only `replaces` lets it take the place of another, whose permissions
/// and owner it keeps.
///
/// # Errors
/// There is one already, or it cannot be written; then nothing has changed.
pub fn write(path: &Path, text: &str, replaces: bool) -> io::Result<()> {
    // The file that a link leads to is the one that is meant.
    let place = match fs::canonicalize(path) {
        Ok(place) if replaces => place,
        _ => path.to_owned(),
    };
    // A device would be gone for everybody.
    if fs::metadata(&place).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "what is there is no file"));
    }
    let beside = beside(&place)?;
    let written = put(&beside, &place, text, replaces);
    if written.is_err() {
        // Where it is not even there, there is nothing to be removed.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn put(beside: &Path, place: &Path, text: &str, replaces: bool) -> io::Result<()> {
    let former = fs::metadata(place).ok().filter(|_| replaces);
    let mut options = OpenOptions::new();
    // Nobody reads it before it has the permissions of the other.
    options.mode(if former.is_some() { 0o600 } else { 0o666 });
    let mut file = options.write(true).create_new(true).open(beside)?;
    if let Some(former) = former {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (former.uid(), former.gid()) {
            fchown(&file, Some(former.uid()), Some(former.gid()))?;
        }
        file.set_permissions(former.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if replaces {
        fs::rename(beside, place)?;
    } else {
        // A name that is taken meanwhile is not taken over, where the file system has links.
        match fs::hard_link(beside, place) {
            Ok(()) => fs::remove_file(beside)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists || fs::symlink_metadata(place).is_ok() => {
                return Err(error);
            }
            Err(_) => fs::rename(beside, place)?,
        }
    }
    // The name lasts when its folder does; where a folder cannot be opened for that, it is there all the same.
    if let Some(folder) = folder(place).and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn folder(place: &Path) -> Option<&Path> {
    let folder = place.parent()?;
    Some(if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    })
}

/// A name in the same folder that only this process uses.
fn beside(place: &Path) -> io::Result<PathBuf> {
    let name = place.file_name();
    let name = name.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it is the name of no file"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    Ok(place.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use testkit::scratch::Scratch;

    use super::*;

    /// The names in a folder, and what is in the files.
    fn files(scratch: &Scratch) -> Vec<String> {
        let entries = fs::read_dir(scratch.path("")).expect("a folder");
        let mut files: Vec<String> = entries
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                format!("{name}: {}", fs::read_to_string(&path).expect("a text"))
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn it_is_there_as_a_whole_or_not_at_all() {
        let scratch = Scratch::new();
        let path = scratch.path("config.toml");
        assert_eq!(there(&path, "one"), There::Nothing);
        write(&path, "one", false).expect("written");
        assert_eq!(
            (there(&path, "one"), there(&path, "two")),
            (There::Same, There::Another)
        );
        let error = write(&path, "two", false).expect_err("it is there");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(files(&scratch), ["config.toml: one"], "nothing is left beside it");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("permissions");
        let link = scratch.path("link.toml");
        symlink(&path, &link).expect("a link");
        write(&link, "two", true).expect("written");
        assert_eq!(files(&scratch), ["config.toml: two", "link.toml: two"]);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
        // Only root can give a file away.
        if chown(&path, Some(4321), Some(8765)).is_ok() {
            write(&link, "two", true).expect("written");
            let there = fs::metadata(&path).expect("there");
            assert_eq!((there.uid(), there.gid(), there.mode() & 0o777), (4321, 8765, 0o640));
        }
        for nowhere in ["missing/config.toml", ".."] {
            write(&scratch.path(nowhere), "three", false).expect_err("no such place");
        }
        assert_eq!(files(&scratch).len(), 2);
        for replaces in [false, true] {
            let error = write(&scratch.path(""), "three", replaces).expect_err("a folder");
            assert!(error.to_string().contains("no file"), "{error}");
        }
    }
}

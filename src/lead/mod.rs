//! Asks the members of a database who the writer is, of whom each knows that of itself alone.
//!
//! [`crew`] keeps one `asker` for each address that DNS gave for the endpoint or a member's name; [`question`] is what is asked, in
//! SQL, and what an answer means; [`visit`] asks one member once; [`members`] says which names and addresses those are. What comes of it is
//! [`planner::lead`](crate::planner::lead)'s to say, and [`standing`] says it to people.

mod asker;
pub mod crew;
pub mod members;
pub mod question;
pub mod standing;
pub mod visit;
mod voice;

use std::path::PathBuf;
use std::time::Duration;

use crate::file;
use crate::probe::Trust;

/// The most that a file with a password may have, in bytes.
pub const PASSWORD_MAX: u64 = 4 << 10;
/// How long a log-in, and an answer, may take.
pub const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long connections wait for a writer where DNS names readers only, unless the settings say otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The database that is asked, unless the settings say otherwise.
pub const DATABASE: &str = "postgres";

/// How the members of an endpoint's database are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The role to log in as.
    pub user: String,
    /// What it logs in with.
    pub secret: Secret,
    /// The database to log in to.
    pub database: String,
    /// Names of members that neither DNS nor the database tells of.
    pub members: Vec<String>,
    /// How long connections wait for a writer where DNS names readers only.
    pub patience: Duration,
    /// The CAs that have signed the members' certificates.
    pub trust: Trust,
}

/// What a role logs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The first line of a file, read at each log-in.
    File(PathBuf),
    /// A token of IAM for each log-in.
    Iam,
}

/// The password in a file: its first line.
///
/// # Errors
/// Names the file, and what is wrong with it.
pub fn password_in(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let wrong = |why: String| format!("the password file {} cannot be used: {why}", path.display());
    let bytes = file::read(path, PASSWORD_MAX).map_err(|error| wrong(error.to_string()))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match line.strip_suffix(b"\r").unwrap_or(line) {
        [] => Err(wrong("its first line is empty".to_owned())),
        line => Ok(line.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn a_password_is_the_first_line_of_a_file() {
        let scratch = Scratch::new();
        let longest = "x".repeat(PASSWORD_MAX as usize);
        for (text, password) in [
            ("secret", Ok("secret")),
            ("secret\n", Ok("secret")),
            ("secret\r\n\n", Ok("secret")),
            (" with blanks \nand more", Ok(" with blanks ")),
            (longest.as_str(), Ok(longest.as_str())),
            ("", Err("its first line is empty")),
            ("\nsecret", Err("its first line is empty")),
            (&format!("{longest}\n"), Err("4 KiB")),
        ] {
            let path = scratch.write("password", text);
            match (password_in(&path), password) {
                (Ok(found), Ok(password)) => assert_eq!(found, password.as_bytes()),
                (Err(error), Err(words)) => assert!(error.contains(words) && !error.contains("secret"), "{error}"),
                (found, expect) => panic!("{text:?}: {found:?} instead of {expect:?}"),
            }
        }
    }
}

//! The `credential_process` of a profile: a command of somebody else's that prints credentials. One runs at a time, and none outlives
//! who waits for it.

use std::fmt;
use std::io;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{self, error::CredentialsError};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::aws::variables;
use crate::clock;

/// How long it may take to print them: less than the attempt at a call that waits for it, which would only tell that it was late.
pub const TIME_MAX: Duration = Duration::from_millis(4500);
/// The most that it may print, in bytes. Credentials have a few KiB.
pub const PRINTED_MAX: u64 = 64 << 10;
/// How long what came of it holds for whoever asks.
const FRESH: Duration = Duration::from_secs(1);
/// Begins every error.
pub const MARK: &str = "credential_process: ";
/// Runs the command of `$1` in this shell's process group, and kills all of that as soon as nobody holds the other end of standard
/// input any more: when who waits has given up, and when this process has ended, however it did.
const LEASHED: &str = "\
    exec 3<&0 </dev/null; { read -r _ <&3; kill -KILL 0; } >/dev/null & \
    sh -c \"$1\" 3<&-; ended=$?; kill -KILL $!; wait $!; exit $ended";

/// A command as a profile has it. There may be secrets in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Process(pub String);

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

/// What came of a command last, and when that was.
struct Last {
    command: Process,
    at: Instant,
    got: Result<Credentials, String>,
}

/// Held by who runs one.
static LAST: Mutex<Option<Last>> = Mutex::const_new(None);

impl Process {
    /// Runs it and reads the credentials, unless that was done a moment ago: who waited for it takes what came of it.
    ///
    /// # Errors
    /// Why there are none. What it says on standard error is never repeated, because nobody knows what may be in it.
    pub async fn credentials(&self) -> provider::Result {
        let asked = Instant::now();
        let late = || format!("it timed out: it did not end within {TIME_MAX:?}, and was killed");
        let got = match timeout_at(asked + TIME_MAX, LAST.lock()).await {
            Ok(mut last) => match &*last {
                Some(last) if last.command == *self && asked < last.at + FRESH => last.got.clone(),
                _ => {
                    let ended = timeout_at(asked + TIME_MAX, self.run()).await;
                    let printed = ended.unwrap_or_else(|_| Err(late()));
                    let got = printed.and_then(|printed| read(&printed, clock::wall()));
                    let (command, at) = (self.clone(), Instant::now());
                    last.insert(Last { command, at, got }).got.clone()
                }
            },
            Err(_) => Err(late()),
        };
        got.map_err(|why| CredentialsError::provider_error(format!("{MARK}{}{why}", self.program())))
    }

    /// The name of the program, if it stands at the beginning: what comes behind it may be secret.
    fn program(&self) -> String {
        let first = self.0.split_whitespace().next().unwrap_or_default();
        let is_plain = first
            .chars()
            .all(|char| char.is_alphanumeric() || "/._-~".contains(char));
        if first.is_empty() || !is_plain {
            return String::new();
        }
        format!("{first}: ")
    }

    /// What it prints, if it ends well.
    async fn run(&self) -> Result<Vec<u8>, String> {
        let cannot = |error: io::Error| format!("it cannot be run: {error}");
        let mut shell = Command::new("sh")
            .args(["-c", LEASHED, "sh", &self.0])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(cannot)?;
        // Where this is dropped, it is killed.
        let _leash = shell.stdin.take();
        let mut printed = Vec::new();
        if let Some(stdout) = shell.stdout.take() {
            let read = stdout.take(PRINTED_MAX + 1).read_to_end(&mut printed).await;
            read.map_err(cannot)?;
        }
        if printed.len() as u64 > PRINTED_MAX {
            return Err(format!("it prints more than {} KiB, and was killed", PRINTED_MAX >> 10));
        }
        let status = shell.wait().await.map_err(cannot)?;
        match status.success() {
            true => Ok(printed),
            false => Err(format!("it ended with {status}")),
        }
    }
}

/// What it is to print (AWS SDKs and Tools Reference Guide, "Process credential provider"), with keys in whatever case, as the SDK
/// has it; here it is the lower one.
#[derive(Deserialize)]
struct Printed {
    version: u32,
    #[serde(rename = "accesskeyid")]
    access_key_id: String,
    #[serde(rename = "secretaccesskey")]
    secret_access_key: String,
    #[serde(rename = "sessiontoken")]
    session_token: Option<String>,
    expiration: Option<String>,
}

/// Reads what was printed; the error repeats nothing of it but a time. `now` is since 1970. Public for tests.
pub fn read(printed: &[u8], now: Duration) -> Result<Credentials, String> {
    let no_credentials = || "it printed something else than credentials of version 1".to_owned();
    let printed: Map<String, Value> = serde_json::from_slice(printed).map_err(|_| no_credentials())?;
    let in_lower_case = printed
        .into_iter()
        .map(|(key, value)| (key.to_ascii_lowercase(), value));
    let printed: Printed = serde_json::from_value(in_lower_case.collect()).map_err(|_| no_credentials())?;
    let expires = printed
        .expiration
        .map(|time| time.parse::<jiff::Timestamp>())
        .transpose();
    let keys = [
        Some(&printed.access_key_id),
        Some(&printed.secret_access_key),
        printed.session_token.as_ref(),
    ];
    match (printed.version, expires) {
        (1, Ok(Some(expires))) if SystemTime::from(expires) <= SystemTime::UNIX_EPOCH + now => Err(format!(
            "it printed credentials that expired at {expires}, by this host's clock"
        )),
        (1, _) if !keys.into_iter().flatten().all(|key| variables::is_key(key)) => {
            Err("it printed a key with a line break or another control character in it".to_owned())
        }
        (1, Ok(expires)) => Ok(Credentials::new(
            printed.access_key_id,
            printed.secret_access_key,
            printed.session_token,
            expires.map(SystemTime::from),
            "credential_process",
        )),
        _ => Err(no_credentials()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn credentials_are_read_and_nothing_of_others_is_repeated() {
        for (more, is_read) in [
            (r#""Version": 1"#, true),
            (
                r#""Version": 1, "SessionToken": "t", "Expiration": "2099-05-02T18:36:00+00:00", "Other": {}"#,
                true,
            ),
            (
                r#""Version": 1, "SessionToken": null, "Expiration": "2099-05-02T18:36:00Z""#,
                true,
            ),
            (r#""Version": 1, "Expiration": "2019-05-02T18:36:00Z""#, false),
            (r#""Version": 1, "SessionToken": "secret\n""#, false),
            (r#""Version": 2"#, false),
            (r#""Version": 1, "Expiration": "secret""#, false),
            (r#""Version": "secret""#, false),
        ] {
            for keys in [["AccessKeyId", "SecretAccessKey"], ["accessKeyId", "secretaccesskey"]] {
                let text = format!("{{\"{}\": \"A\", \"{}\": \"secret\", {more}}}", keys[0], keys[1]);
                let read = read(text.as_bytes(), NOW);
                assert_eq!(read.is_ok(), is_read, "{text}");
                assert!(!read.err().unwrap_or_default().contains("secret"));
            }
        }
        for text in [&b"secret"[..], b"", &[0xff]] {
            assert!(read(text, NOW).is_err());
        }
    }

    #[test]
    fn the_program_is_named_and_nothing_behind_it() {
        for (command, name) in [
            ("aws-vault export --secret x", "aws-vault: "),
            ("/opt/bin/get.sh", "/opt/bin/get.sh: "),
            ("TOKEN=secret get", ""),
            ("\"secret\" get", ""),
            ("", ""),
        ] {
            assert_eq!(Process(command.into()).program(), name);
        }
    }
}

//! The settings file. Each error names its own line.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::Error;
use super::table::{Fault, Options};
use super::value::APART;

/// Characters of a message that are worth reading; some repeat what they are about.
const MESSAGE_MAX_CHARS: usize = 500;

/// A settings file; `path` is for messages.
pub struct File {
    pub path: PathBuf,
    pub text: String,
}

impl File {
    /// The text of a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |why: &str, fix: Option<&str>| {
            let what = format!("cannot read the settings file {}: {why}", path.display());
            Error::file(what, fix.map(str::to_owned))
        };
        let bytes = std::fs::read(path).map_err(|error| {
            let is_denied = error.kind() == ErrorKind::PermissionDenied;
            unreadable(
                &error.to_string(),
                is_denied.then_some("let this user read it (chmod a+r)"),
            )
        })?;
        let text = String::from_utf8(bytes);
        Ok(Self {
            text: text.map_err(|_| unreadable("it is no UTF-8 text", Some("save it as UTF-8")))?,
            path: path.to_owned(),
        })
    }

    /// What it says.
    pub fn options(&self) -> Result<Options, Error> {
        let options: Options = toml::from_str(&self.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let (what, fix) = self.in_plain_words(start, error.message().trim_end());
            self.error(start, &what, fix)
        })?;
        if options.target_group.is_empty() && options.proxy.is_empty() {
            let fix = "add a [[target_group]] with arn and endpoints, or a [[proxy]] with listen and endpoint";
            return Err(self.error(0, "there is nothing to follow", Some(fix)));
        }
        Ok(options)
    }

    /// What is wrong with a key, with its line; with that of its table if it has no such key.
    pub fn fault(&self, fault: &Fault) -> Error {
        let place = || {
            let root = DeTable::parse(&self.text).ok()?.into_inner();
            let table = root.get(fault.table)?.get_ref().as_array()?.get(fault.index)?;
            let value = table.get_ref().get(fault.key).unwrap_or(table);
            Some(value.span().start)
        };
        self.error(place().unwrap_or_default(), &fault.wrong.what, Some(&fault.wrong.fix))
    }

    fn error(&self, offset: usize, what: &str, fix: Option<&str>) -> Error {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let what = format!("{}:{line}: {}", self.path.display(), shorten(what));
        Error::file(what, fix.map(shorten))
    }

    /// The parser's message under its key's name, and what to write instead.
    fn in_plain_words<'a>(&self, offset: usize, message: &'a str) -> (String, Option<&'a str>) {
        let rest = self.text.get(offset..).unwrap_or_default();
        let is_no_list = message.contains("expected a sequence");
        let (what, fix) = match message.split_once(APART) {
            Some((what, fix)) => (what, Some(fix)),
            None if is_no_list && rest.starts_with("[target_group]") => (
                message,
                Some("write it as [[target_group]], once for each target group"),
            ),
            None if is_no_list && rest.starts_with("[proxy]") => {
                (message, Some("write it as [[proxy]], once for each proxy"))
            }
            None if is_no_list => (message, Some("write a list: [\"...\"]")),
            None if message.contains("expected a string") && message.contains("integer") => (
                message,
                Some("write a text in quotes, a duration with its unit: \"30s\""),
            ),
            None => (message, None),
        };
        let key = self.key_before(offset).map(|key| format!("{key}: "));
        (key.unwrap_or_default() + what, fix)
    }

    /// The key that the value at an offset belongs to, if both stand on one line.
    fn key_before(&self, offset: usize) -> Option<&str> {
        let line = self.text.get(..offset)?.rsplit('\n').next()?;
        let (key, _) = line.split_once('=')?;
        Some(key.trim())
    }
}

/// A message without what makes it too long to read.
fn shorten(message: &str) -> String {
    let chars: Vec<char> = message.chars().collect();
    if chars.len() <= MESSAGE_MAX_CHARS {
        return message.to_owned();
    }
    // The end says what is expected, the beginning what is wrong.
    let half = MESSAGE_MAX_CHARS / 2;
    let [start, end] = [&chars[..half], &chars[chars.len() - half..]].map(String::from_iter);
    format!("{start} [...] {end}")
}

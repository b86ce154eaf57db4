//! The settings file. All errors are told, each with its own line.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::command_line::nearest;
use super::options::{Fault, Options};
use super::value::APART;
use super::{Error, without_secrets};
use crate::file;

/// Characters of a message that are worth reading; some repeat what they are about.
const MESSAGE_MAX_CHARS: usize = 500;
/// Nobody mends more errors than this at once, and each takes another reading of the file.
const ERRORS_MAX: usize = 50;

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
        let bytes = file::read(path, file::SETTINGS_MAX).map_err(|error| {
            let fix = match error.kind() {
                ErrorKind::PermissionDenied => Some("let this user read it (chmod a+r)"),
                ErrorKind::FileTooLarge => Some("let several processes follow some of the target groups each"),
                _ => None,
            };
            unreadable(&error.to_string(), fix)
        })?;
        let text = String::from_utf8(bytes);
        Ok(Self {
            text: text.map_err(|_| unreadable("it is no UTF-8 text", Some("save it as UTF-8")))?,
            path: path.to_owned(),
        })
    }

    /// What it says, and all that is wrong with that.
    pub fn reading(&self) -> Reading<'_> {
        let mut reading = Reading {
            file: self,
            table: DeTable::new(),
            bad: BTreeSet::new(),
            options: Options::default(),
            errors: Vec::new(),
        };
        let table = match DeTable::parse(&self.text) {
            Ok(table) => table,
            Err(error) => {
                reading.note(&error);
                return reading;
            }
        };
        let whole = table.span();
        reading.table = table.into_inner();
        // What is wrong is taken out, so that the rest can be read; there is less of it each time.
        loop {
            let table = Spanned::new(whole.clone(), reading.table.clone());
            match Options::deserialize(toml::Deserializer::from(table)) {
                Ok(options) => {
                    reading.options = options;
                    break;
                }
                Err(error) if reading.errors.len() < ERRORS_MAX && reading.take_out(&error) => {}
                Err(error) => {
                    reading.note(&error);
                    break;
                }
            }
        }
        if reading.errors.is_empty() && reading.options.is_empty() {
            let fix = "add a [[target_group]] with arn and endpoints, a [[discover]] with region and allow_endpoints, or a [[proxy]] with \
                       listen and endpoint";
            reading
                .errors
                .push(self.error(0, "there is nothing to follow", Some(fix)));
        }
        reading
    }

    fn error(&self, offset: usize, what: &str, fix: Option<&str>) -> Error {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        // A secret is known by what stands before it.
        let shorten = |text: &str| shorten(&without_secrets(text));
        let what = format!("{}:{line}: {}", self.path.display(), shorten(what));
        Error {
            line,
            ..Error::file(what, fix.map(shorten))
        }
    }

    /// The parser's message under its key's name, and what to write instead.
    fn in_plain_words(&self, offset: usize, message: &str) -> (String, Option<String>) {
        if let Some((unknown, meant)) = misspelt(message) {
            return (
                format!("unknown field `{unknown}`"),
                Some(format!("did you mean `{meant}`?")),
            );
        }
        let rest = self.text.get(offset..).unwrap_or_default();
        let (what, fix) = match message.split_once(APART) {
            Some((what, fix)) => (what.to_owned(), Some(fix)),
            None => of_type(message, rest),
        };
        let key = self.key_before(offset).map(|key| format!("{key}: "));
        (key.unwrap_or_default() + &what, fix.map(str::to_owned))
    }

    /// The key that the value at an offset belongs to, if both stand on one line.
    fn key_before(&self, offset: usize) -> Option<&str> {
        let line = self.text.get(..offset)?.rsplit('\n').next()?;
        let (key, _) = line.split_once('=')?;
        Some(key.trim())
    }
}

/// What a file says, without what is wrong in it.
pub struct Reading<'a> {
    file: &'a File,
    /// All that could be read, with its places.
    table: DeTable<'a>,
    /// Tables, by where they begin, and those of their keys that were taken out.
    bad: BTreeSet<(usize, String)>,
    /// What is left.
    pub options: Options,
    /// What is wrong.
    pub errors: Vec<Error>,
}

impl Reading<'_> {
    /// Notes an error of the parser.
    fn note(&mut self, error: &toml::de::Error) {
        let start = error.span().map_or(0, |span| span.start);
        let (what, fix) = self.file.in_plain_words(start, error.message().trim_end());
        let error = self.file.error(start, &what, fix.as_deref());
        self.errors.push(error);
    }

    /// Notes what an error is about, and takes it out; false if it stands nowhere.
    fn take_out(&mut self, error: &toml::de::Error) -> bool {
        let Some(span) = error.span() else { return false };
        let missing = error.message().strip_prefix("missing field `");
        let missing = missing.and_then(|rest| rest.strip_suffix('`'));
        // What was taken out is missed, which is no news.
        let is_known = missing.is_some_and(|key| self.bad.contains(&(span.start, key.to_owned())));
        if !take_out_of_table(&mut self.table, 0, span.start, &mut self.bad) {
            return false;
        }
        if !is_known {
            self.note(error);
        }
        true
    }

    /// What is wrong with a key, with its line, or that of its table if it has no such key; nothing if that was told.
    pub fn fault(&self, fault: &Fault) -> Option<Error> {
        let tables = self.table.get(fault.table);
        // A table that is there once is no list.
        let table = tables.and_then(|tables| match tables.get_ref().as_array() {
            Some(list) => list.get(fault.index),
            None => Some(tables),
        });
        let start = table.map(|table| table.span().start).unwrap_or_default();
        let is_told = |key: &str| self.bad.contains(&(start, key.to_owned()));
        if is_told(fault.key) || (fault.is_of_bundle() && is_told("ca_bundle")) {
            return None;
        }
        let value = table.and_then(|table| table.get_ref().get(fault.key));
        let start = value.map_or(start, |value| value.span().start);
        Some(self.file.error(start, &fault.wrong.what, Some(&fault.wrong.fix)))
    }
}

/// What the parser says of a value of another type than its key takes, in the words of the file, and what to write; `rest` begins with
/// the value.
fn of_type(message: &str, rest: &str) -> (String, Option<&'static str>) {
    let told = ["invalid type: ", "invalid value: ", "invalid length "].into_iter();
    let told = told
        .filter_map(|begin| message.strip_prefix(begin)?.split_once(", expected "))
        .next();
    let Some((found, expected)) = told else {
        return match message.starts_with("integer") || message.contains("number too ") {
            true => ("the number is too large".to_owned(), None),
            false => (message.to_owned(), None),
        };
    };
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    let value = value.strip_prefix("point ").unwrap_or(value);
    if expected == "a nonzero usize" {
        return (
            format!("{value} is not a number from 1"),
            Some("write one, without quotes"),
        );
    }
    let found = match kind {
        "string" => format!("{value} is a text"),
        "integer" | "floating" => format!("{value} is a number"),
        "boolean" => format!("{value} is true or false"),
        "map" => "it is a table".to_owned(),
        // Of a list, its length may be told instead.
        _ => "it is a list".to_owned(),
    };
    let is_doubled = rest.starts_with("[[");
    let (expected, fix) = match expected {
        _ if rest.starts_with("[target_group]") => (
            "a list",
            Some("write it as [[target_group]], once for each target group"),
        ),
        _ if rest.starts_with("[proxy]") => ("a list", Some("write it as [[proxy]], once for each proxy")),
        _ if is_doubled => ("one table", Some("write it once, in single brackets")),
        "a sequence" => ("a list", Some("write a list: [\"...\"]")),
        "a string" if kind == "integer" => (
            "a text",
            Some("write a text in quotes, a duration with its unit: \"30s\""),
        ),
        "a string" => ("a text", Some("write a text in quotes")),
        "a boolean" => ("true or false", Some("write true or false, without quotes")),
        _ if expected.starts_with("struct ") => ("a table", Some("write its name in brackets, and its keys below")),
        other => (other, None),
    };
    let found = if is_doubled { "there are several" } else { &found };
    (format!("{found}, and not {expected}"), fix)
}

/// Takes out the innermost key or item that stands at an offset.
fn take_out_of_table(table: &mut DeTable<'_>, start: usize, at: usize, bad: &mut BTreeSet<(usize, String)>) -> bool {
    let mut found = None;
    for (key, value) in table.iter_mut() {
        if take_out_of_value(value, at, bad) {
            // A list that is shorter than it was written may look empty.
            if value.get_ref().is_array() {
                bad.insert((start, key.get_ref().to_string()));
            }
            return true;
        }
        if key.span().contains(&at) || value.span().contains(&at) {
            found = Some(key.clone());
        }
    }
    let Some(key) = found else { return false };
    bad.insert((start, key.get_ref().to_string()));
    table.remove(&key).is_some()
}

fn take_out_of_value(value: &mut Spanned<DeValue<'_>>, at: usize, bad: &mut BTreeSet<(usize, String)>) -> bool {
    let start = value.span().start;
    match value.get_mut() {
        DeValue::Table(table) => take_out_of_table(table, start, at, bad),
        DeValue::Array(list) => {
            if list.iter_mut().any(|item| take_out_of_value(item, at, bad)) {
                return true;
            }
            let found = list.iter().position(|item| item.span().contains(&at));
            let Some(found) = found else { return false };
            let kept = list.iter().enumerate().filter(|(index, _)| *index != found);
            *list = kept.map(|(_, item)| item.clone()).collect();
            true
        }
        _ => false,
    }
}

/// The key that nobody knows, and the one of those expected that was meant, if the parser's message is about that.
fn misspelt(message: &str) -> Option<(&str, &str)> {
    let (unknown, expected) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let meant = nearest(unknown, expected.split('`').skip(1).step_by(2))?;
    Some((unknown, meant))
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

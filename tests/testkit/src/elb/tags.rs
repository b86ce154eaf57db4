//! The tags of target groups: last writer wins, so they are good for notes and no lock.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Model;
use super::refusal::Refusal;

/// The tags of one resource: values by their keys.
pub type Tags = BTreeMap<String, String>;

/// The most resources that one DescribeTags may name.
const MAX_DESCRIBED: usize = 20;
/// The most tags of one resource; those that AWS itself has put there do not count.
const MAX_TAGS: usize = 50;
const MAX_KEY_CHARACTERS: usize = 128;
const MAX_VALUE_CHARACTERS: usize = 256;
/// What a tag may hold besides letters and digits.
const PUNCTUATION: &str = " ._:/=+-@";
/// What begins like this, in whatever case, is kept by AWS for itself, be it a key or a value.
const RESERVED: &str = "aws:";

/// The calls of the API that are about tags.
impl Model {
    /// DescribeTags: the tags of each group named.
    pub fn describe_tags(&self, arns: &[String]) -> Result<Vec<(String, Tags)>, Refusal> {
        check_resources(arns)?;
        if arns.len() > MAX_DESCRIBED {
            return Err(Refusal::validation(format!(
                "{} resources were specified; a call may name at most {MAX_DESCRIBED}",
                arns.len()
            )));
        }
        let tags = |arn: &String| Ok((arn.clone(), self.members(arn)?.tags.clone()));
        arns.iter().map(tags).collect()
    }

    /// AddTags: all of `tags` on all of the groups, or nothing if anything is refused.
    pub fn add_tags(&mut self, arns: &[String], tags: &[(String, String)]) -> Result<(), Refusal> {
        check_resources(arns)?;
        check_new(tags)?;
        for arn in arns {
            let present = self.members(arn)?.tags.keys();
            let all: BTreeSet<&str> = present
                .chain(tags.iter().map(|(key, _)| key))
                .map(String::as_str)
                .collect();
            if all.iter().filter(|key| !is_reserved(key)).count() > MAX_TAGS {
                let message = "You've reached the limit on the number of tags for this resource";
                return Err(Refusal::new(400, "TooManyTags", message));
            }
        }
        for arn in arns {
            self.members_mut(arn)?.tags.extend(tags.iter().cloned());
        }
        Ok(())
    }

    /// RemoveTags: a key that is not there is passed over in silence.
    pub fn remove_tags(&mut self, arns: &[String], keys: &[String]) -> Result<(), Refusal> {
        check_resources(arns)?;
        if keys.is_empty() {
            return Err(Refusal::validation("A list of tag keys must be specified"));
        }
        keys.iter().try_for_each(|key| check_key(key))?;
        arns.iter().try_for_each(|arn| self.members(arn).map(drop))?;
        for arn in arns {
            self.members_mut(arn)?.tags.retain(|key, _| !keys.contains(key));
        }
        Ok(())
    }
}

/// How a test arranges tags, and looks at them.
impl Model {
    /// Tags a group as if somebody had long ago; unchecked, so that `aws:` tags can be had.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn set_tag(&mut self, arn: &str, key: &str, value: &str) {
        self.existing(arn).tags.insert(key.to_owned(), value.to_owned());
    }

    /// The tags of a group; none if there is no such group.
    pub fn tags(&self, arn: &str) -> Tags {
        self.members(arn)
            .map(|members| members.tags.clone())
            .unwrap_or_default()
    }
}

fn check_resources(arns: &[String]) -> Result<(), Refusal> {
    if arns.is_empty() {
        return Err(Refusal::validation("A list of resources must be specified"));
    }
    Ok(())
}

fn check_new(tags: &[(String, String)]) -> Result<(), Refusal> {
    if tags.is_empty() {
        return Err(Refusal::validation("A list of tags must be specified"));
    }
    let mut keys = BTreeSet::new();
    for (key, value) in tags {
        check_key(key)?;
        check_text("value", value, MAX_VALUE_CHARACTERS)?;
        if !keys.insert(key) {
            let message = format!("The tag key '{key}' is specified more than once");
            return Err(Refusal::new(400, "DuplicateTagKeys", message));
        }
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(Refusal::validation("A tag key must not be empty"));
    }
    check_text("key", key, MAX_KEY_CHARACTERS)
}

fn check_text(what: &str, text: &str, max_characters: usize) -> Result<(), Refusal> {
    if is_reserved(text) {
        return Err(Refusal::validation(format!(
            "The tag {what} '{text}' is not valid: the prefix '{RESERVED}' is reserved"
        )));
    }
    if text.chars().count() > max_characters {
        return Err(Refusal::validation(format!(
            "The tag {what} '{text}' is longer than {max_characters} characters"
        )));
    }
    match text.chars().find(|c| !c.is_alphanumeric() && !PUNCTUATION.contains(*c)) {
        Some(bad) => Err(Refusal::validation(format!(
            "The tag {what} '{text}' holds {bad:?}: letters, digits, spaces and {PUNCTUATION} are allowed"
        ))),
        None => Ok(()),
    }
}

fn is_reserved(key: &str) -> bool {
    key.get(..RESERVED.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

//! Where a document is from, and by which settings the process goes that it is about.

use serde::{Deserialize, Serialize};

use crate::planner::time::Timestamp;
use crate::telemetry::shown::Text;
use crate::text::join;

/// Where `status` has a document from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// The page of the process that was asked; null if `status` looked for itself.
    pub url: Option<Text>,
    /// Why it looked for itself, or what the process that was asked does by other rules.
    pub why: Option<Text>,
    /// What is wrong with the process that the settings name, if it was of no use.
    pub process: Option<Process>,
}

/// What is wrong with a process that ought to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// None answers where it should.
    NoAnswer,
    /// The settings name no place where one could be asked, and only the process itself knows whether its proxies serve.
    NotAsked,
    /// It does not do what the settings say, but something else.
    Elsewhere,
}

/// Newer settings that a process was told to take and did not: it goes on with older ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    /// Since when it was told to without success.
    pub since: Option<Timestamp>,
    /// When it was told so last.
    pub at: Option<Timestamp>,
    /// What was wrong with them then.
    pub why: Vec<Text>,
}

impl Refused {
    /// That the process goes on with older settings, since when and why, for people; `ago` is how long ago it was told to take others.
    pub fn text(&self, ago: &str) -> String {
        let why = join(&self.why);
        format!("it was told {ago} ago to take new settings, which are refused; it goes on with the old ones: {why}")
    }
}

//! Where target groups are looked for by their tags, as the document has it.

use serde::{Deserialize, Serialize};

use crate::planner::time::Timestamp;
use crate::telemetry::shown::Text;

/// A place where target groups are looked for by their tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// Its region.
    pub region: Text,
    /// The role that is assumed for it; null if none is.
    pub role: Option<Text>,
    /// The account that its target groups are in; null as long as none is known.
    pub account: Option<Text>,
    /// When it was last looked at with success.
    pub looked: Option<Timestamp>,
    /// How many of its target groups are tagged, or may be; null as long as it has not been looked at with success.
    pub tagged: Option<usize>,
    /// How many of those are followed.
    pub followed: usize,
    /// Why it cannot be looked at now; null if the last look was good.
    pub failure: Option<Unseen>,
    /// Target groups that are not followed as their tags say.
    pub troubles: Vec<Mistagged>,
}

/// Why a place cannot be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unseen {
    /// Since when no look was good.
    pub since: Option<Timestamp>,
    /// What failed last, and how to mend it.
    pub text: Text,
}

/// A target group that is not followed as its tags say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mistagged {
    /// Its ARN.
    pub arn: Text,
    /// Its name.
    pub name: Text,
    /// The tags that are wrong, and how to mend them.
    pub text: Text,
    /// Whether it is followed as before meanwhile.
    pub is_followed: bool,
}

impl Place {
    /// Whether it has been looked at, and all that is tagged there is followed as the tags say.
    pub fn is_well(&self) -> bool {
        self.tagged.is_some() && self.failure.is_none() && self.troubles.is_empty()
    }

    /// What it is called, for people.
    pub fn title(&self) -> String {
        let (region, role) = (&self.region, self.role.as_ref());
        let account = self.account.as_ref().map(|account| format!(" of {account}"));
        let role = role.map(|role| format!(" as {role}"));
        format!(
            "tagged target groups in {region}{}{}",
            account.unwrap_or_default(),
            role.unwrap_or_default()
        )
    }

    /// How many there are and what became of the last look, for people; `ago` is how long ago something was.
    pub fn text(&self, ago: impl Fn(Option<Timestamp>) -> String) -> String {
        let count = match (self.tagged, self.followed) {
            (None, _) => "not looked for yet".to_owned(),
            (Some(tagged), followed) if tagged == followed => format!("{tagged}, looked for {} ago", ago(self.looked)),
            (Some(tagged), followed) => {
                format!(
                    "{tagged}, of which {followed} are followed, looked for {} ago",
                    ago(self.looked)
                )
            }
        };
        match &self.failure {
            None => count,
            Some(Unseen { since, text }) => {
                let kept = if self.followed > 0 {
                    "; what is followed stays followed"
                } else {
                    ""
                };
                format!("{count}; for {} now: {text}{kept}", ago(*since))
            }
        }
    }
}

impl Mistagged {
    /// What is wrong and what holds meanwhile, for people.
    pub fn told(&self) -> String {
        let then = match self.is_followed {
            true => "it is followed as before",
            false => "it is not followed",
        };
        format!("target group {} {then}: {}", self.name, self.text)
    }
}

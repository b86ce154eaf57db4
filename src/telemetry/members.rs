//! What the members of databases say, as the document has it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::lead::standing::Standing;
use crate::planner::lead::Showing;
use crate::planner::time::Timestamp;
use crate::telemetry::shown::Text;

/// What the members of one endpoint's database say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lead {
    /// The endpoint.
    pub endpoint: Text,
    /// Whom connections go to: `agrees`, `leads`, `waits`, `contested`, `impatient` or `follows`.
    pub verdict: Text,
    /// The same for people.
    pub text: Text,
    /// The address that shows that it is the writer; null if none does.
    pub writer: Option<Text>,
    /// Since when the verdict is the same; null if nobody has looked on.
    pub since: Option<Timestamp>,
    /// Whether somebody should look.
    pub is_trouble: bool,
    /// What each member said last.
    pub members: Vec<Member>,
}

/// What one member said last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    /// Its address.
    pub address: Text,
    /// What it says that it is: `writer`, `reader` or `neither`; or what became of the question: `silent`, `denied` or `impostor`.
    pub says: Text,
    /// Why it is not more than that.
    pub why: Option<Text>,
    /// Since when.
    pub since: Option<Timestamp>,
}

impl Lead {
    /// The lead of one endpoint.
    pub fn of(standing: &Standing) -> Self {
        let member = |(ip, showing): (&IpAddr, &Showing)| Member {
            address: Text::of(ip),
            says: Text::of(showing.says.name()),
            why: showing.says.why().map(Text::of),
            since: Some(showing.since),
        };
        Self {
            endpoint: Text::of(&standing.endpoint),
            verdict: Text::of(standing.verdict.name()),
            text: Text::of(standing.text()),
            writer: standing.verdict.writer().map(Text::of),
            since: standing.since,
            is_trouble: standing.is_trouble(),
            members: standing.shown.members.iter().map(member).collect(),
        }
    }
}

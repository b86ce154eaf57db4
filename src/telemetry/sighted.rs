//! What DNS said, as the document has it.

use serde::{Deserialize, Serialize};

use crate::dns::watch::Sight;
use crate::planner::endpoint::{self, Endpoint};
use crate::planner::time::Timestamp;
use crate::telemetry::shown::{Text, texts};

/// One endpoint and the latest look at its name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sighted {
    /// Its name and port.
    pub endpoint: Text,
    /// Whether its name is that of one instance.
    pub follows_instance: bool,
    /// When the latest look ended.
    pub at: Option<Timestamp>,
    /// Its addresses, if it could be resolved.
    pub addresses: Vec<Text>,
    /// How long the answer holds, in seconds.
    pub ttl_seconds: Option<u64>,
    /// Why it could not be resolved.
    pub blind: Option<Text>,
    /// Since when it could not be resolved.
    pub blind_since: Option<Timestamp>,
    /// Since when the name servers have differed.
    pub differ_since: Option<Timestamp>,
    /// The addresses of the latest answer that the process has seen.
    pub last_addresses: Vec<Text>,
    /// The addresses that the name gives in turn, if it does.
    pub rotation: Vec<Text>,
    /// The answer of each name server.
    pub name_servers: Vec<Said>,
}

/// The answer of one name server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Said {
    /// The name server's address and port.
    pub address: Text,
    /// The addresses it gave.
    pub addresses: Vec<Text>,
    /// The names that led to them.
    pub names: Vec<Text>,
    /// How long its answer holds, in seconds.
    pub ttl_seconds: Option<u64>,
    /// Whether it may be the answer before once more, which proves nothing new.
    pub repeats: bool,
    /// Why it gave none.
    pub failure: Option<Text>,
}

impl Sighted {
    /// The latest look at an endpoint's name.
    pub(super) fn of(endpoint: &Endpoint, sight: &Sight) -> Self {
        let answer = sight.seen.as_ref().ok();
        let servers = sight.said.iter().map(|(server, said)| {
            let ok = said.as_ref().ok();
            Said {
                address: Text::of(server),
                addresses: ok.map(|said| texts(&said.addresses)).unwrap_or_default(),
                names: ok.map(|said| texts(&said.names)).unwrap_or_default(),
                ttl_seconds: ok.map(|said| said.ttl.as_secs()),
                repeats: ok.is_some_and(|said| !said.is_fresh),
                failure: said.as_ref().err().map(Text::of),
            }
        });
        Self {
            endpoint: Text::of(endpoint),
            follows_instance: endpoint.kind() == endpoint::Kind::Instance,
            at: Some(sight.at),
            addresses: answer
                .map(|answer| texts(answer.resolution.addresses()))
                .unwrap_or_default(),
            ttl_seconds: answer.map(|answer| answer.resolution.ttl.as_secs()),
            blind: sight.seen.as_ref().err().map(Text::of),
            blind_since: sight.blind_since,
            differ_since: answer.and_then(|answer| Some(answer.history.differing()?.1)),
            last_addresses: (sight.latest())
                .map(|answer| texts(answer.resolution.addresses()))
                .unwrap_or_default(),
            rotation: answer
                .and_then(|answer| answer.history.rotation())
                .map(|members| texts(&members))
                .unwrap_or_default(),
            name_servers: servers.collect(),
        }
    }
}

impl Said {
    /// How long its answer holds, for people; empty if there is none.
    pub fn ttl(&self) -> String {
        let repeats = if self.repeats { ", a repeat" } else { "" };
        self.ttl_seconds
            .map_or_else(String::new, |secs| format!("{secs} s{repeats}"))
    }
}

//! An address that is named and not registered, where it has to show first that the database is there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::wrong::{Wrong, one_of};

/// What a candidate has to show before it is registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// Nothing.
    #[default]
    None,
    /// That it takes TCP connections.
    Tcp,
    /// That PostgreSQL is there, with a certificate that names the endpoint.
    Tls,
}

impl FromStr for Probe {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let words = [("none", Self::None), ("tcp", Self::Tcp), ("tls", Self::Tls)];
        one_of(text, "probe", &words)
    }
}

/// How long a candidate may fail to show it before it is registered nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbePatience {
    /// This long.
    For(Duration),
    /// For ever: it is never registered without.
    Forever,
}

/// A host that is promoted takes connections within half a minute or so (RDS for a Multi-AZ instance: 17 to 39 s from the
/// loss), and ELB takes minutes to put a target into service: a longer wait costs more than it saves.
const TCP_PATIENCE: Duration = Duration::from_secs(30);
/// What shows the wrong certificate may be no database of ours: time for somebody to look who was told.
const TLS_PATIENCE: Duration = Duration::from_secs(5 * 60);

impl Probe {
    /// How long a candidate may fail to show it, if the operator does not say.
    pub fn patience(self) -> ProbePatience {
        ProbePatience::For(match self {
            Self::None | Self::Tcp => TCP_PATIENCE,
            Self::Tls => TLS_PATIENCE,
        })
    }
}

/// Why a candidate is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Nobody has asked it yet.
    NotYet,
    /// It does not answer.
    Silent(String),
    /// Something answers that is not the database that the endpoint names.
    Impostor(String),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet => f.write_str("it has not been probed yet"),
            Self::Silent(why) | Self::Impostor(why) => write!(f, "its probe fails: {why}"),
        }
    }
}

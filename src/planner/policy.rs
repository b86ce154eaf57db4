//! What `decide` obeys.

use std::time::Duration;

use ipnet::IpNet;

use super::candidate::{Probe, ProbePatience};
use super::endpoint::Role;
use super::target::Target;

/// The rules of one binding; what is `None` follows from the role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The role, if it is not to be read off the names.
    pub role: Option<Role>,
    /// How long DNS must not have named a target before it goes.
    pub forget: Option<Duration>,
    /// How much longer to wait for a healthy replacement.
    pub patience: Option<Duration>,
    /// Where targets may lie; empty: wherever ELB accepts them.
    pub allow_cidrs: Vec<IpNet>,
    /// Targets never to touch.
    pub keep: Vec<IpNet>,
    /// Never deregister.
    pub upsert_only: bool,
    /// What an address has to show before it is registered.
    pub probe: Probe,
    /// How long it may fail to, if not as long as is usual.
    pub probe_patience: Option<ProbePatience>,
}

/// A writer is forgotten after a minute: longer than the flap after an Aurora failover (20-30 s) plus a TTL, and than
/// any resolver's staleness; and free, because registering its successor takes ELB minutes.
const WRITER_FORGET: Duration = Duration::from_secs(60);
/// Answers of a reader endpoint are samples, so absence takes longer to prove.
const READER_FORGET: Duration = Duration::from_secs(5 * 60);
/// A reader that still serves is better than none.
const READER_PATIENCE: Duration = Duration::from_secs(5 * 60);
/// A former writer may be healthy and wrong, so its health buys it no time.
const WRITER_PATIENCE: Duration = Duration::ZERO;
/// The longest forget that returning again and again can earn a target.
pub(super) const CONTESTED_FORGET_MAX: Duration = Duration::from_secs(60 * 60);

impl Policy {
    /// How long DNS must not have named a target of this role before it goes.
    pub fn forget(&self, role: Role) -> Duration {
        self.forget.unwrap_or(match role {
            Role::Writer => WRITER_FORGET,
            Role::Reader => READER_FORGET,
        })
    }

    /// How much longer a target of this role waits for a healthy replacement.
    pub fn patience(&self, role: Role) -> Duration {
        self.patience.unwrap_or(match role {
            Role::Writer => WRITER_PATIENCE,
            Role::Reader => READER_PATIENCE,
        })
    }

    /// How long an address may fail to show what it has to.
    pub fn probe_patience(&self) -> ProbePatience {
        self.probe_patience.unwrap_or(self.probe.patience())
    }

    /// Whether the target must not be touched.
    pub fn keeps(&self, target: Target) -> bool {
        self.keep.iter().any(|net| net.contains(&target.ip))
    }
}

//! The absence clocks from one invocation to the next: in this process and, for the next one, in a tag on the target group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rds_tether::elb::{self, Arn, Client};
use rds_tether::planner::memory::Memory;
use rds_tether::planner::time::Timestamp;
use rds_tether::reconcile::Binding;
use rds_tether::tag::{self, Clocks};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

/// The part of an invocation's reserve that the tag may take.
pub const TAG_WRITE_MAX: Duration = Duration::from_secs(1);
/// How long the first look waits for the tag, which may only shorten the waiting.
pub const TAG_READ_MAX: Duration = Duration::from_secs(2);

/// What lives as long as the process.
#[derive(Default)]
pub struct Remembered {
    clocks: Mutex<BTreeMap<Arn, (Clocks, Memory)>>,
    /// The denials that were warned of: an action and what it was denied for.
    warned: Mutex<BTreeSet<(&'static str, Option<Arn>)>>,
}

impl Remembered {
    /// The values of the groups' tags, empty where there is no tag; missing where that is not known by then.
    pub async fn read_tags(&self, client: &Client, arns: Vec<Arn>, end: Instant) -> BTreeMap<Arn, String> {
        const NOT_READ: &str = "absence clocks are not read from the tag";
        let mut tags = BTreeMap::new();
        let mut unread = vec![arns];
        while let Some(mut arns) = unread.pop() {
            let Ok(read) = timeout_at(end, client.tags(&arns, tag::KEY)).await else {
                let groups: Vec<&str> = arns.iter().chain(unread.iter().flatten()).map(Arn::name).collect();
                let group = groups.join(" ");
                warn!(group, "{NOT_READ}: DescribeTags was not answered in time");
                break;
            };
            match read {
                Ok(read) => tags.extend(read),
                // A group that does not exist must not hide the tags of the others.
                Err(error) if error.kind == elb::Kind::NotFound && arns.len() > 1 => {
                    unread.push(arns.split_off(arns.len() / 2));
                    unread.push(arns);
                }
                // Describe* is allowed for all groups or for none.
                Err(error) => self.warn(NOT_READ, &error, None),
            }
        }
        tags
    }

    /// The absence clocks that an earlier invocation left, in this process or in the tag, whichever are younger. Without any, the
    /// waiting starts anew.
    pub fn recall(&self, arn: &Arn, tag: Option<&str>, now: Timestamp) -> Option<Memory> {
        let (here, memory) = locked(&self.clocks).get(arn).cloned().unzip();
        let clocks = [tag.and_then(tag::read), here].into_iter().flatten();
        // What claims to come from the future must not outdo what this process knows.
        let (last_look, clocks) = clocks
            .filter(|(last_look, _)| *last_look <= now)
            .max_by_key(|(last_look, _)| *last_look)?;
        debug!(group = arn.name(), targets = clocks.len(), "recalled absence clocks");
        let mut recalled = Memory::recall(last_look, clocks);
        if let Some(memory) = memory {
            recalled.recall_candidates(&memory);
        }
        Some(recalled)
    }

    /// Leaves the absence clocks for the next invocation. A tag that could not be read is replaced, because what it says may
    /// no longer be so.
    pub async fn keep(&self, binding: &Binding, client: &Client, memory: &Memory, tag: Option<String>, end: Instant) {
        const NOT_KEPT: &str = "absence clocks are not kept in the tag";
        let Some(clocks) = memory.clocks() else { return };
        let value = tag::write(&clocks);
        locked(&self.clocks).insert(binding.arn.clone(), (clocks, memory.clone()));
        if binding.observe || tag.is_some_and(|tag| tag == value) {
            return;
        }
        match timeout_at(end, client.set_tag(&binding.arn, tag::KEY, &value)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.warn(NOT_KEPT, &error, Some(&binding.arn)),
            Err(_) => {
                let group = binding.arn.name();
                warn!(group, "{NOT_KEPT}: AddTags was not answered in time");
            }
        }
    }

    /// A denial is warned of once in the life of the process: it is as it was meant, or will be read.
    fn warn(&self, what: &str, error: &elb::Error, denied_for: Option<&Arn>) {
        let group = error.group.name();
        let is_new = || locked(&self.warned).insert((error.action, denied_for.cloned()));
        if error.kind != elb::Kind::Denied || is_new() {
            warn!(group, "{what}: {error}");
        } else {
            debug!(group, "{what}: {error}");
        }
    }
}

/// A poisoned lock only says that another invocation failed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

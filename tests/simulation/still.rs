//! A day on which nothing works: DNS, AWS or the process itself is dead, and the database fails over meanwhile. The group stays as it is
//! all day, and becomes what DNS says by itself when the day is over.

use std::collections::BTreeSet;
use std::time::Duration;

use rds_tether::planner::target::Target;
use tokio::time::sleep;

use super::hands::Fault;
use super::names::Trouble;
use super::process::live;
use super::region::{Broken, Millis, Region};
use super::rules::Counts;
use super::{runtime, small, world};

/// A day.
const DAY: Millis = 24 * 3_600_000;
/// How often somebody looks at the group meanwhile.
const LOOK: Millis = 60_000;

/// What is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// The name server.
    Dns(Trouble),
    /// The API.
    Aws(Fault),
    /// The process, which stands still or is not there.
    Process {
        /// Whether it is there.
        is_there: bool,
    },
}

impl Dead {
    /// All that can be dead, the commonest first. A name server that names an address where no target may be is as good as dead.
    pub fn all() -> impl Iterator<Item = Self> {
        let common = [
            Self::Dns(Trouble::ServFail),
            Self::Aws(Fault::Unavailable),
            Self::Process { is_there: true },
        ];
        let faults = [Fault::Throttled, Fault::Denied, Fault::Hangs];
        let others = Trouble::ALL.into_iter().filter(|trouble| *trouble != Trouble::ServFail);
        let others = others.map(Self::Dns).chain(faults.map(Self::Aws));
        common
            .into_iter()
            .chain(others)
            .chain([Self::Process { is_there: false }])
    }
}

/// Plays such a day.
pub fn play(dead: Dead) -> Result<Counts, Broken> {
    runtime().block_on(async {
        let region = small::build(true);
        let mut living = Some(live(&region, 0));
        sleep(Duration::from_secs(20)).await;
        let before = registered(&region);
        let end = region.now() + DAY;
        {
            let mut truth = region.truth();
            match dead {
                Dead::Dns(trouble) => truth.processes[0].servers[0].trouble = Some(trouble),
                Dead::Aws(fault) => truth.weather.0 = Some((fault, end)),
                Dead::Process { is_there: true } => truth.processes[0].suspended = end,
                Dead::Process { is_there: false } => living = None,
            }
        }
        // It is dead when the database fails over, and what it had heard before has expired.
        sleep(Duration::from_secs(10)).await;
        fail_over(&region);
        while region.now() < end {
            sleep(Duration::from_millis(LOOK.min(end - region.now()))).await;
            let (now, there) = (region.now(), registered(&region));
            let mut truth = region.truth();
            if there != before {
                truth.break_rule(now, format_args!("{dead:?}: the group has changed to {there:?}"));
            }
            truth.broken()?;
        }
        if living.is_none() {
            living = Some(live(&region, 0));
        }
        world::calm(&region).await?;
        drop(living);
        let mut truth = region.truth();
        truth.counts.worlds += 1;
        Ok(truth.counts)
    })
}

fn registered(region: &Region) -> BTreeSet<Target> {
    region.truth().groups[0].registered().collect()
}

fn fail_over(region: &Region) {
    let now = region.now();
    let mut truth = region.truth();
    let truth = &mut *truth;
    truth.databases[0].fail_over(0, now, &mut truth.luck);
    truth.counts.failovers += 1;
    truth.note(now, format_args!("the database fails over"));
}

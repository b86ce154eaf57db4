//! One failover of one database, one group and one daemon, with every ordered schedule of so many faults at every step of it.
//!
//! A step is a moment at which the daemon learns or does something: an answer of DNS that is not the one before, a call that goes out, an
//! answer of AWS that comes in. Which steps there are is counted in a failover without faults; a schedule says which fault begins at
//! which of them, and each lasts for a while of its own.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rds_tether::planner::answer::Quorum;
use rds_tether::planner::policy::Policy;
use tokio::time::sleep;

use super::hands::Fault;
use super::names::{Habit, Server, Trouble};
use super::process::{Living, Process, Way, live};
use super::region::{Broken, Database, Group, Kind, Millis, Region, Truth, target};
use super::rules::Counts;
use super::{runtime, world};

/// How long a fault of DNS or of AWS lasts.
const LASTS: Millis = 6_000;
/// How long a process stands still: for so long that what it knew is of no use any more, and a moment.
const STANDS_STILL: [Millis; 2] = [100_000, 3_000];
/// How far a name server is behind that is.
const LAG: Millis = 4_000;
/// A failover, its faults and what follows them at once are over by then.
const STORM: Duration = Duration::from_secs(45);

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The name server.
    Dns(Trouble),
    /// The name server says for a while what was so before.
    Behind,
    /// Calls of AWS.
    Aws(Fault),
    /// The process ends, and begins anew.
    Ends,
    /// It stands still for so many milliseconds.
    StandsStill(Millis),
    /// It reads its settings again.
    Reloads,
}

/// Left out: failures of DNS that are like one of these, and listings that are behind, which one process alone does not meet.
pub const WRONGS: [Wrong; 17] = [
    Wrong::Dns(Trouble::Silent),
    Wrong::Dns(Trouble::ServFail),
    Wrong::Dns(Trouble::NxDomain),
    Wrong::Dns(Trouble::Illegal),
    Wrong::Dns(Trouble::Cut),
    Wrong::Behind,
    Wrong::Aws(Fault::Throttled),
    Wrong::Aws(Fault::Denied),
    Wrong::Aws(Fault::Unavailable),
    Wrong::Aws(Fault::Hangs),
    Wrong::Aws(Fault::LostReply),
    Wrong::Aws(Fault::Slow),
    Wrong::Aws(Fault::Partial),
    Wrong::Ends,
    Wrong::StandsStill(STANDS_STILL[0]),
    Wrong::StandsStill(STANDS_STILL[1]),
    Wrong::Reloads,
];

/// Which fault begins at which step, in their order.
#[derive(Clone, Debug, Default)]
pub struct Schedule(pub VecDeque<(u32, Wrong)>);

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.0.iter().map(|(step, wrong)| format!("{wrong:?} at step {step}"));
        f.write_str(&told.collect::<Vec<_>>().join(", then "))
    }
}

/// Where a world is in its schedule.
#[derive(Debug, Default)]
pub struct Score {
    left: VecDeque<(u32, Wrong)>,
    /// Steps so far.
    steps: u32,
    /// What DNS said last.
    said: Option<Option<BTreeSet<IpAddr>>>,
    /// Until when the name server is not as it should be.
    until: Millis,
}

/// All schedules of one number of faults, by number.
struct Schedules {
    positions: usize,
    faults: u32,
}

impl Schedules {
    fn len(&self) -> usize {
        self.positions.pow(self.faults)
    }

    /// The schedule of a number, if its faults are in the order of their steps.
    fn get(&self, mut number: usize) -> Option<Schedule> {
        let mut schedule = VecDeque::new();
        for _ in 0..self.faults {
            let position = number % self.positions;
            number /= self.positions;
            schedule.push_back(((position / WRONGS.len()) as u32, WRONGS[position % WRONGS.len()]));
        }
        let is_ordered = schedule
            .iter()
            .zip(schedule.iter().skip(1))
            .all(|(one, next)| one.0 <= next.0);
        is_ordered.then_some(Schedule(schedule))
    }
}

/// One of so many parts of the schedules: the first is 1 of N.
#[derive(Clone, Copy, Debug)]
pub struct Part(pub usize, pub usize);

/// Plays every schedule of up to so many faults, or a part of them: the steps of a failover, the schedules, and what there was in them.
///
/// # Errors
/// The schedule that broke a rule, and what happened.
pub fn play_all(faults: u32, part: Part, threads: usize) -> Result<(u32, usize, Counts), String> {
    let (steps, mut all) = play(&Schedule::default(), true).map_err(|broken| format!("without faults: {broken}"))?;
    // The one without faults is of the first part.
    let (played, is_over) = (AtomicUsize::new(usize::from(part.0 == 1)), AtomicBool::new(false));
    for faults in 1..=faults {
        let positions = steps as usize * WRONGS.len();
        let schedules = Schedules { positions, faults };
        let next = AtomicUsize::new(part.0 - 1);
        let work = || {
            let mut counts = Counts::default();
            while !is_over.load(Ordering::Relaxed) {
                let number = next.fetch_add(part.1, Ordering::Relaxed);
                if number >= schedules.len() {
                    break;
                }
                let Some(schedule) = schedules.get(number) else {
                    continue;
                };
                played.fetch_add(1, Ordering::Relaxed);
                match play(&schedule, false) {
                    Ok((_, more)) => counts += more,
                    Err(broken) => {
                        is_over.store(true, Ordering::Relaxed);
                        let broken = play(&schedule, true).err().unwrap_or(broken);
                        return Err(format!("{schedule}: {broken}"));
                    }
                }
            }
            Ok(counts)
        };
        thread::scope(|scope| {
            let working: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for one in working {
                all += one.join().expect("no world panics")?;
            }
            Ok::<_, String>(())
        })?;
    }
    Ok((steps, played.into_inner(), all))
}

/// Plays one schedule: how many steps there were until all was over.
fn play(schedule: &Schedule, is_traced: bool) -> Result<(u32, Counts), Broken> {
    runtime().block_on(async {
        let region = build(is_traced);
        let _living: Living = live(&region, 0);
        sleep(Duration::from_secs(20)).await;
        {
            let now = region.now();
            let mut truth = region.truth();
            truth.broken()?;
            let truth = &mut *truth;
            truth.score = Some(Score {
                left: schedule.0.clone(),
                ..Score::default()
            });
            truth.databases[0].fail_over(0, now, &mut truth.luck);
            truth.counts.failovers += 1;
            truth.note(now, format_args!("the database fails over"));
        }
        sleep(STORM).await;
        let steps = {
            let mut truth = region.truth();
            truth.processes[0].servers[0].lag = 0;
            truth.score.take().map_or(0, |score| score.steps)
        };
        world::calm(&region).await?;
        let mut truth = region.truth();
        truth.counts.worlds += 1;
        Ok((steps, truth.counts))
    })
}

/// One database, one group that is what DNS says, and one daemon that has not begun.
pub fn build(is_traced: bool) -> Region {
    fastrand::seed(1);
    let policy = Policy {
        forget: Some(Duration::from_secs(20)),
        ..Policy::default()
    };
    let region = Region::new(fastrand::Rng::with_seed(1), policy, is_traced);
    {
        let mut truth = region.truth();
        let database = Database::new(0, Kind::Instance, Duration::from_secs(5));
        let mut group = Group::new(0, vec![0]);
        for ip in database.at(0) {
            group.register(target(*ip), None, 0, 0);
        }
        truth.databases.push(database);
        truth.groups.push(group);
        let servers = vec![Server::new(Habit::Keeps, 0, 1)];
        truth.processes.push(Process::new(Way::Daemon, servers, Quorum::Any));
    }
    region
}

impl Truth {
    /// A name server has said something.
    pub fn step_of_dns(&mut self, said: Option<BTreeSet<IpAddr>>, now: Millis) {
        let Some(score) = &mut self.score else { return };
        if score.said.as_ref() != Some(&said) {
            score.said = Some(said);
            self.step(now);
        }
    }

    /// The daemon does something, or learns what came of it.
    pub fn step(&mut self, now: Millis) {
        let Some(score) = &mut self.score else { return };
        let step = score.steps;
        score.steps += 1;
        while let Some((_, wrong)) = self.score.as_mut().and_then(|score| {
            let is_due = score.left.front().is_some_and(|(at, _)| *at <= step);
            is_due.then(|| score.left.pop_front()).flatten()
        }) {
            self.note(now, format_args!("step {step}: {wrong:?}"));
            self.begin(wrong, now);
        }
    }

    fn begin(&mut self, wrong: Wrong, now: Millis) {
        let process = &mut self.processes[0];
        match wrong {
            Wrong::Dns(trouble) => process.servers[0].trouble = Some(trouble),
            Wrong::Behind => process.servers[0].lag = LAG,
            Wrong::Aws(fault) => self.weather.0 = Some((fault, now + LASTS)),
            Wrong::Ends => process.fuse = Some(0),
            Wrong::StandsStill(lasts) => process.suspended = now + lasts,
            Wrong::Reloads => process.reloads = true,
        }
        if let (Wrong::Dns(_) | Wrong::Behind, Some(score)) = (wrong, &mut self.score) {
            score.until = now + LASTS;
        }
    }

    /// What was wrong with the name server is over after a while.
    pub fn mend(&mut self, now: Millis) {
        if self.score.as_ref().is_some_and(|score| score.until <= now) {
            let server = &mut self.processes[0].servers[0];
            (server.trouble, server.lag) = (None, 0);
        }
    }
}

//! One world: what there is in it, what happens, and how it comes to rest.

use std::net::IpAddr;
use std::time::Duration;

use rds_tether::planner::answer::Quorum;
use rds_tether::planner::policy::Policy;
use tokio::time::sleep;

use super::hands::Fault;
use super::names::{Habit, Server, Trouble};
use super::process::{Living, Process, Way, live};
use super::region::{Broken, Database, Group, Kind, Millis, PORT, Region, Truth, target};
use super::rules::{Counts, LOOK_MAX};
use super::tongues::{Cast, Speech, lead};

/// For how long nobody may write once a group is what DNS says.
const SILENCE: Duration = Duration::from_secs(120);

/// What there is in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Realm {
    /// Target groups that follow DNS.
    Groups,
    /// The same, and proxies, where members are asked who the writer is.
    Members,
}

impl Realm {
    /// Failovers of one world.
    pub fn failovers(self) -> u32 {
        match self {
            Self::Groups => 40,
            Self::Members => 10,
        }
    }
}

/// Plays the world of a seed, and counts what there was. `is_traced` keeps what happened, to be shown if a rule is broken.
pub async fn play(realm: Realm, seed: u64, is_traced: bool) -> (u64, Result<Counts, Broken>) {
    let mut luck = fastrand::Rng::with_seed(seed);
    fastrand::seed(luck.u64(..));
    let region = build(realm, luck, is_traced);
    let processes = region.truth().processes.len();
    let living: Vec<Living> = (0..processes).map(|process| live(&region, process)).collect();
    let ended = async {
        for _ in 0..realm.failovers() {
            storm(&region).await?;
        }
        calm(&region).await
    };
    let ended = ended.await;
    drop(living);
    let mut truth = region.truth();
    truth.counts.worlds += 1;
    let counts = truth.counts;
    (truth.digest(), ended.map(|()| counts))
}

fn build(realm: Realm, mut luck: fastrand::Rng, is_traced: bool) -> Region {
    let kinds = [
        Kind::Instance,
        Kind::Aurora,
        Kind::Cluster,
        Kind::BlueGreen,
        Kind::Readers,
    ];
    let is_led = realm == Realm::Members;
    let is_reader = luck.u8(..8) == 0 && !is_led;
    let count = if luck.u8(..4) == 0 { 2 } else { 1 };
    let ttl = Duration::from_secs(if luck.u8(..4) == 0 { 1 } else { 5 });
    let databases: Vec<Database> = (0..count)
        .map(|number| {
            let kind = if is_reader && number == 0 {
                Kind::Readers
            } else {
                kinds[luck.usize(..4)]
            };
            let mut database = Database::new(number, kind, ttl);
            if is_led {
                let writer = database.at(0).first().copied();
                database.cast = writer.map(|ip| Cast::new(number, kind, ip));
            }
            database
        })
        .collect();
    let forget_secs = luck.u64(12..40);
    let is_sound = luck.u8(..4) > 0 || is_led;
    let policy = Policy {
        role: None,
        forget: (luck.u8(..4) > 0).then(|| Duration::from_secs(forget_secs)),
        patience: is_reader.then(|| Duration::from_secs(luck.u64(..60))),
        allow_cidrs: if luck.u8(..8) == 0 {
            vec!["10.0.0.0/8".parse().expect("a network")]
        } else {
            Vec::new()
        },
        keep: if luck.u8(..8) == 0 {
            vec!["10.0.0.3/32".parse().expect("a network")]
        } else {
            Vec::new()
        },
        upsert_only: luck.u8(..32) == 0,
        ..Policy::default()
    };
    let region = Region::new(luck, policy, is_traced);
    {
        let mut truth = region.truth();
        let truth = &mut *truth;
        truth.is_sound = is_sound;
        truth.lead = is_led.then(lead);
        truth.databases = databases;
        // All endpoints in one group, or one each.
        truth.groups = match truth.luck.bool() {
            true => vec![Group::new(0, (0..count).collect())],
            false => (0..count).map(|number| Group::new(number, vec![number])).collect(),
        };
        for group in &mut truth.groups {
            for number in group.follows.clone() {
                for ip in truth.databases[number].at(0) {
                    group.register(target(*ip), None, 0, 0);
                }
            }
        }
        let forgets = truth.groups.iter().map(|group| truth.forget(&group.follows));
        let forget = forgets.min().unwrap_or_default();
        for number in 0..if truth.luck.bool() { 2 } else { 1 } {
            // Who samples readers once a minute takes hours to know that one is gone.
            let is_plain = is_reader && number == 0;
            // Only who runs all the time has proxies.
            let is_daemon = is_led && number == 0;
            let way = if truth.luck.u8(..4) == 0 && !is_plain && !is_daemon {
                Way::Function
            } else {
                Way::Daemon
            };
            let servers = if truth.luck.u8(..3) == 0 {
                truth.luck.usize(2..=3)
            } else {
                1
            };
            // What was heard without a majority is lost with a watcher: in a function, with each invocation. Random members have none.
            let may_vote = servers == 3 && way == Way::Daemon && !is_reader && !is_led;
            let quorum = if may_vote && truth.luck.bool() {
                Quorum::Majority
            } else {
                Quorum::Any
            };
            let server = |_| match is_plain {
                true => Server::new(Habit::Keeps, 0, count),
                false => server(truth, ttl, forget, count),
            };
            let servers = (0..servers).map(server).collect();
            truth.processes.push(Process::new(way, servers, quorum));
        }
        truth.weather.1 = [0, 0, 3, 20][truth.luck.usize(..4)];
    }
    region
}

/// A name server that a process may have. In a world that is sound, nothing it gives is as old as what is waited for.
fn server(truth: &mut Truth, ttl: Duration, forget: Millis, databases: usize) -> Server {
    let luck = &mut truth.luck;
    let habit = match luck.u8(..12) {
        0 => Habit::Asks,
        1 => Habit::Raises(luck.u64(2..60)),
        2 => Habit::HoldsFailures(luck.u64(1_000..60_000)),
        3 => Habit::ServesStaleMarked,
        4 => Habit::ServesStaleStanding,
        _ => Habit::Keeps,
    };
    let lag = if luck.u8(..4) == 0 { luck.u64(..forget / 2) } else { 0 };
    let wanted = Server::new(habit, lag, databases);
    let is_fit = wanted.staleness(ttl) + LOOK_MAX < forget;
    if truth.is_sound && !is_fit {
        Server::new(Habit::Keeps, 0, databases)
    } else {
        wanted
    }
}

/// A while in which a database fails over, and anything else may happen.
async fn storm(region: &Region) -> Result<(), Broken> {
    let now = region.now();
    let gap = {
        let mut truth = region.truth();
        truth.broken()?;
        happen(&mut truth, now);
        let truth = &mut *truth;
        let number = truth.luck.usize(..truth.databases.len());
        truth.databases[number].fail_over(number, now, &mut truth.luck);
        truth.counts.failovers += 1;
        let led = format!("{:?}", truth.databases[number].at(now));
        truth.note(now, format_args!("database {number} fails over to {led}"));
        for process in &mut truth.processes {
            process.is_rung |= truth.luck.bool();
        }
        // Mostly there is time for all of it, sometimes not.
        match truth.luck.u8(..8) {
            0 => truth.luck.u64(..3_000),
            1 => truth.luck.u64(60_000..200_000),
            _ => truth.luck.u64(3_000..45_000),
        }
    };
    sleep(Duration::from_millis(gap)).await;
    Ok(())
}

/// What goes wrong besides.
fn happen(truth: &mut Truth, now: Millis) {
    let chance = |truth: &mut Truth, one_in: u32| truth.luck.u32(..one_in) == 0;
    for process in 0..truth.processes.len() {
        for server in 0..truth.processes[process].servers.len() {
            let is_troubled = truth.processes[process].servers[server].trouble.is_some();
            if chance(truth, if is_troubled { 2 } else { 16 }) {
                let trouble = (!is_troubled).then(|| Trouble::ALL[truth.luck.usize(..Trouble::ALL.len())]);
                truth.counts.dns_faults += u64::from(trouble.is_some());
                truth.processes[process].servers[server].trouble = trouble;
                truth.note(now, format_args!("{process} name server {server}: {trouble:?}"));
            }
        }
        if chance(truth, 16) {
            let turns = truth.luck.u32(..60);
            truth.processes[process].fuse = Some(turns);
            truth.note(now, format_args!("{process} ends in {turns} turns"));
        }
        if chance(truth, 24) {
            let long = if chance(truth, 2) { 200_000 } else { 20_000 };
            let until = now + truth.luck.u64(..long);
            truth.processes[process].suspended = until;
            truth.processes[process].seen.words.stand_still(now, until);
            truth.counts.suspensions += 1;
            truth.note(now, format_args!("{process} stands still for {} ms", until - now));
        }
        if chance(truth, 24) && truth.processes[process].quorum == Quorum::Any {
            truth.processes[process].reloads = true;
            truth.note(now, format_args!("{process} reads its settings again"));
        }
    }
    for number in 0..truth.databases.len() {
        mumble(truth, number, now);
    }
    if chance(truth, 24) {
        let fault = Fault::ALL[truth.luck.usize(..Fault::ALL.len())];
        let until = now + truth.luck.u64(..120_000);
        truth.weather.0 = Some((fault, until));
        truth.note(now, format_args!("AWS: {fault:?} for {} ms", until - now));
    }
    if !truth.is_sound && chance(truth, 8) {
        meddle(truth, now);
    }
}

/// Members begin or cease to be hard to hear.
fn mumble(truth: &mut Truth, number: usize, now: Millis) {
    let Some(cast) = &mut truth.databases[number].cast else {
        return;
    };
    let luck = &mut truth.luck;
    for n in 1..4 {
        let ip = IpAddr::from([10, 0, number as u8, n]);
        if luck.u8(..8) > 0 {
            continue;
        }
        let trouble = (luck.bool()).then(|| Speech::ALL[luck.usize(..Speech::ALL.len())]);
        let lag = [0, 0, luck.u64(..30_000)][luck.usize(..3)];
        cast.trouble(ip, trouble, lag, now);
    }
}

/// Somebody else changes a group.
fn meddle(truth: &mut Truth, now: Millis) {
    let ip = [10, 0, truth.luck.u8(..2), truth.luck.u8(1..6)].into();
    let group = truth.luck.usize(..truth.groups.len());
    let does_register = truth.luck.bool();
    let one = truth.groups[group].registered().next();
    match (does_register, one) {
        (false, Some(one)) => truth.groups[group].deregister(one, now, 30_000),
        _ => truth.groups[group].register(target(ip), None, now, now + 10_000),
    }
    truth.counts.meddlings += 1;
    truth.note(now, format_args!("somebody else: {does_register} {ip}:{PORT} {one:?}"));
}

/// Nothing fails any more: the groups become what DNS says, and then nobody writes.
pub async fn calm(region: &Region) -> Result<(), Broken> {
    let (began, most) = {
        let now = region.now();
        let mut truth = region.truth();
        truth.note(now, format_args!("all is calm"));
        truth.weather = (None, 0);
        for database in &mut truth.databases {
            database.rest(now);
        }
        for process in &mut truth.processes {
            // Who stands still wakes when it was to.
            process.seen.words.awake = process.suspended.max(now);
            (process.suspended, process.fuse) = (0, None);
            process.servers.iter_mut().for_each(|server| server.trouble = None);
        }
        (now, truth.calm_max())
    };
    let mut rested = 0;
    while rested < SILENCE.as_millis() as Millis {
        sleep(Duration::from_secs(5)).await;
        let now = region.now();
        let mut truth = region.truth();
        truth.broken()?;
        let is_late = Duration::from_millis(now - began) > most + SILENCE;
        match truth.unrest(now) {
            Some(why) if is_late => {
                truth.break_rule(
                    now,
                    format_args!("L1: {} s after all is calm, {why}", (now - began) / 1000),
                );
                truth.broken()?;
            }
            Some(_) => rested = 0,
            None => {
                rested = if truth.last_write + 5_000 > now {
                    0
                } else {
                    rested + 5_000
                };
                if is_late {
                    truth.break_rule(
                        now,
                        format_args!("L1, L2: {} s after all is calm, somebody writes", (now - began) / 1000),
                    );
                    truth.broken()?;
                }
            }
        }
    }
    Ok(())
}

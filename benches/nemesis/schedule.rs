//! What goes wrong when: all of it follows from the seed.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::actor::Who;
use crate::site::FORGET;

/// How the host of the writer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// Its server ends, and with it its sessions.
    Ended,
    /// It is not heard any more: neither an end nor a refusal comes from there, ever.
    Vanished,
}

/// The writer's storage moves to another host.
#[derive(Clone, Copy, Debug)]
pub struct Failover {
    pub at: Duration,
    pub going: Going,
    /// How many addresses further on the next host is.
    pub further: usize,
    /// When DNS names the new host: before its server starts, or so long after that.
    pub named_after: Option<Duration>,
}

/// What happens to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Nobody listens.
    Refuses,
    /// No reply comes, and nothing is done.
    Hangs,
    /// The account's request rate is exhausted.
    Throttles,
    /// All is done, and no reply comes.
    LosesReplies,
    /// All is done half a second later.
    IsLate,
    /// It has an error of its own.
    IsUnavailable,
    /// The same, and only where something is to be registered.
    RegistersNothing,
}

/// What goes wrong, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process is killed, and is started again after this time.
    Kill(Who, Duration),
    /// A process stands still.
    Stop(Who, Duration),
    /// A process gets no answer from DNS, and everybody else does.
    Deaf(Who, Duration),
    /// The name server stands still.
    NamesSilent(Duration),
    /// The name server is killed.
    NamesDead(Duration),
    Api(Api, Duration),
    /// The wall clock of a process is set, this many seconds from the true one.
    Clock(Who, i64),
}

impl Fault {
    /// What it is counted as.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Kill(..) => "processes killed",
            Self::Stop(..) => "processes stopped",
            Self::Deaf(..) => "processes without DNS",
            Self::NamesSilent(_) => "name server silent",
            Self::NamesDead(_) => "name server killed",
            Self::Api(Api::Refuses, _) => "API: refuses",
            Self::Api(Api::Hangs, _) => "API: hangs",
            Self::Api(Api::Throttles, _) => "API: throttles",
            Self::Api(Api::LosesReplies, _) => "API: loses replies",
            Self::Api(Api::IsLate, _) => "API: late",
            Self::Api(Api::IsUnavailable, _) => "API: unavailable",
            Self::Api(Api::RegistersNothing, _) => "API: registers nothing",
            Self::Clock(..) => "clocks set",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Everything that will happen.
#[derive(Debug)]
pub struct Schedule {
    pub failovers: Vec<Failover>,
    pub faults: Vec<(Duration, Fault)>,
}

/// From one fault to the next at most, on average. In a short time each of them has to have its turn.
const APART_MAX: Duration = Duration::from_secs(1);
/// No process is killed in the rest: what a failover leaves behind in a process has to add up.
const KILLS_UNTIL: f64 = 0.45;
/// Nothing happens in the rest.
const FAULTS_UNTIL: f64 = 0.95;
/// Steps of clocks, from the true time.
const CLOCKS: [i64; 6] = [0, -3_600, 3_600, 40, -40, 86_400];

impl Schedule {
    pub fn draw(seed: u64, length: Duration, failovers: usize) -> Self {
        let mut chance = Rng::with_seed(seed);
        let every = length.mul_f64(FAULTS_UNTIL) / u32::try_from(failovers.max(1)).unwrap_or(u32::MAX);
        let failovers = (0..failovers).map(|n| Failover {
            at: every.mul_f64(n as f64 + chance.f64() * 0.4),
            going: *chance.choice(&[Going::Ended, Going::Vanished]).expect("two"),
            further: chance.usize(1..crate::host::ADDRESSES.len()),
            named_after: chance.bool().then(|| Duration::from_millis(chance.u64(0..800))),
        });
        let failovers = failovers.collect();
        let (mut faults, mut deck, mut at) = (Vec::new(), Vec::new(), Duration::ZERO);
        loop {
            if deck.is_empty() {
                deck = shuffled(&mut chance);
            }
            let apart = length.mul_f64(FAULTS_UNTIL) / DECK;
            at += apart.min(APART_MAX).mul_f64(0.5 + chance.f64());
            if at > length.mul_f64(FAULTS_UNTIL) {
                return Self { failovers, faults };
            }
            let mut fault = deck.pop().expect("it was filled");
            if let Fault::Kill(who, time) = fault
                && at > length.mul_f64(KILLS_UNTIL)
            {
                fault = Fault::Stop(who, time);
            }
            faults.push((at, fault));
        }
    }
}

/// Each fault once. Processes are killed, and nothing is registered, among the first, so that a short time has enough of that, too.
fn shuffled(chance: &mut Rng) -> Vec<Fault> {
    let is_early = |fault: &Fault| matches!(fault, Fault::Kill(..) | Fault::Api(Api::RegistersNothing, _));
    let (early, mut deck): (Vec<_>, Vec<_>) = all(chance).into_iter().partition(is_early);
    chance.shuffle(&mut deck);
    for fault in early {
        deck.insert(deck.len() - chance.usize(0..6), fault);
    }
    deck
}

/// How many faults there are to choose from.
const DECK: u32 = 21;

fn all(chance: &mut Rng) -> Vec<Fault> {
    let mut all = Vec::new();
    let mut time = |longest: u64| Duration::from_millis(chance.u64(200..longest));
    for who in Who::ALL {
        all.push(Fault::Kill(who, time(1_500)));
        all.push(Fault::Stop(who, time(4_000)));
        all.push(Fault::Deaf(who, time(4_000)));
    }
    all.extend([Fault::NamesSilent(time(3_000)), Fault::NamesDead(time(3_000))]);
    let apis = [
        Api::Refuses,
        Api::Hangs,
        Api::Throttles,
        Api::LosesReplies,
        Api::IsLate,
        Api::IsUnavailable,
    ];
    // So long that a target is forgotten while its successor is not registered.
    let nothing = FORGET + Duration::from_secs(2) + time(3_000);
    all.push(Fault::Api(Api::RegistersNothing, nothing));
    all.extend(apis.map(|api| Fault::Api(api, time(1_500))));
    all.extend(Who::ALL.map(|who| Fault::Clock(who, *chance.choice(&CLOCKS).expect("some"))));
    all
}

//! The members of a database as processes log in to them and ask them who the writer is: some are late to learn it, some lie, some fall
//! silent, and a session may end at any question. What they answer is in the words of PostgreSQL; what that means is the product's to say.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rds_tether::database::{Breach, Refused};
use rds_tether::lead::question::{Answer, Flavour};
use rds_tether::lead::visit::{Door, Entered, Entrance, Later, Member, Unheard};
use rds_tether::lead::{Lead, PATIENCE, Secret};
use rds_tether::probe::Trust;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::names::last_byte;
use super::process::resumed;
use super::region::{Kind, Millis, Region};

/// What follows the first label in the names of all members.
pub const SUFFIX: &str = "abc123.eu-west-1.rds.amazonaws.com";

/// For so long at most, whoever was not let in does not try again.
const TURNED_AWAY: Millis = 31_000;

/// What is wrong with what a member says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Nobody answers.
    Silent,
    /// It has no room for another session.
    Full,
    /// It does not let the role in.
    Denied,
    /// It says what no PostgreSQL would, as somebody else might.
    Impostor,
    /// It says that it is the writer, whoever is.
    Lies,
    /// It is the writer, or would be, and takes no writes.
    ReadOnly,
    /// It takes longer than anybody waits.
    Slow,
    /// Nobody can read what it says.
    Garbled,
    /// Its sessions end at each question.
    Ends,
}

impl Speech {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Silent,
        Self::Full,
        Self::Denied,
        Self::Impostor,
        Self::Lies,
        Self::ReadOnly,
        Self::Slow,
        Self::Garbled,
        Self::Ends,
    ];
}

/// One member.
#[derive(Debug, Default)]
struct Tongue {
    /// It is not there until then, and the way there refuses connections or is silent.
    down: Millis,
    is_cut_off: bool,
    /// How far what it knows of the others is behind.
    lag: Millis,
    trouble: Option<Speech>,
}

/// The members of a database, and who of them writes.
pub struct Cast {
    number: usize,
    kind: Kind,
    /// From when on who writes; nobody, while one takes over.
    writers: BTreeMap<Millis, Option<IpAddr>>,
    tongues: BTreeMap<IpAddr, Tongue>,
    /// When any of it was last not as it should be.
    uneasy: Millis,
    /// Rings when sessions end.
    ended: Arc<Notify>,
}

/// How members are asked in every world where they are.
pub fn lead() -> Lead {
    Lead {
        user: "rds_tether".into(),
        secret: Secret::Iam,
        database: "postgres".into(),
        members: Vec::new(),
        patience: PATIENCE,
        trust: Trust::anybody(),
    }
}

impl Cast {
    /// The members of a database whose writer is at this address.
    pub fn new(number: usize, kind: Kind, writer: IpAddr) -> Self {
        Self {
            number,
            kind,
            writers: BTreeMap::from([(0, Some(writer))]),
            tongues: BTreeMap::new(),
            uneasy: 0,
            ended: Arc::default(),
        }
    }

    /// Who writes.
    pub fn writer(&self, now: Millis) -> Option<IpAddr> {
        self.writers.range(..=now).next_back().and_then(|(_, writer)| *writer)
    }

    /// Who wrote last, whether somebody does now or not.
    pub fn latest(&self, now: Millis) -> Option<IpAddr> {
        self.writers.range(..=now).rev().find_map(|(_, writer)| *writer)
    }

    /// Another writer takes over: nobody writes until then. The former one is away for a while.
    pub fn fail_over(&mut self, to: IpAddr, now: Millis, promoted: Millis, luck: &mut fastrand::Rng) {
        if let Some(old) = self.latest(now) {
            let tongue = self.tongues.entry(old).or_default();
            tongue.down = now + luck.u64(300..20_000);
            tongue.is_cut_off = luck.bool();
            if self.kind == Kind::Instance {
                // Its host is gone, or waits as a standby that takes no sessions.
                tongue.down = Millis::MAX;
            }
        }
        self.tongues.entry(to).or_default().down = 0;
        self.writers.retain(|at, _| *at <= now);
        while self.writers.len() > 8 {
            self.writers.pop_first();
        }
        self.writers.insert(now, None);
        self.writers.insert(promoted, Some(to));
        let restless = self
            .tongues
            .values()
            .map(|tongue| tongue.down)
            .filter(|down| *down < Millis::MAX);
        self.uneasy = self.uneasy.max(promoted).max(restless.max().unwrap_or_default());
        // Some sessions are told that they end, some just hear nothing more.
        if luck.bool() {
            self.ended.notify_waiters();
        }
    }

    /// Something begins or ends to be wrong with a member.
    pub fn trouble(&mut self, ip: IpAddr, trouble: Option<Speech>, lag: Millis, now: Millis) {
        let tongue = self.tongues.entry(ip).or_default();
        (tongue.trouble, tongue.lag) = (trouble, lag);
        self.uneasy = self.uneasy.max(now + TURNED_AWAY);
    }

    /// Whether something has been wrong with any member since then, or is.
    pub fn is_uneasy_since(&self, since: Millis) -> bool {
        let is_troubled = |tongue: &Tongue| tongue.trouble.is_some() || tongue.lag > 0;
        self.uneasy >= since || self.tongues.values().any(is_troubled)
    }

    /// All is well from now on.
    pub fn rest(&mut self, now: Millis) {
        for tongue in self.tongues.values_mut() {
            (tongue.trouble, tongue.lag) = (None, 0);
            if tongue.down < Millis::MAX {
                tongue.down = 0;
            }
        }
        self.uneasy = self.uneasy.max(now + TURNED_AWAY);
    }

    /// The member's own name.
    pub fn name(number: usize, ip: IpAddr) -> String {
        format!("{}.{SUFFIX}", label(number, ip))
    }

    /// Whether it can be connected to.
    pub fn is_up(&self, ip: IpAddr, now: Millis) -> bool {
        let tongue = self.tongues.get(&ip);
        tongue.is_none_or(|tongue| tongue.down <= now && tongue.trouble != Some(Speech::Silent))
    }

    /// Whether whoever asks it hears what it says.
    pub fn is_heard(&self, ip: IpAddr, now: Millis) -> bool {
        let trouble = self.tongues.get(&ip).and_then(|tongue| tongue.trouble);
        self.is_up(ip, now) && !matches!(trouble, Some(Speech::Ends | Speech::Slow | Speech::Garbled))
    }

    fn flavour(&self) -> Flavour {
        match self.kind {
            Kind::Aurora => Flavour::Aurora,
            Kind::Cluster => Flavour::MultiAz,
            Kind::Instance | Kind::BlueGreen | Kind::Readers => Flavour::Plain,
        }
    }

    /// What it answers, and whether that is a claim to be the writer.
    fn answer(&self, ip: IpAddr, now: Millis) -> (Answer, bool) {
        let tongue = self.tongues.get(&ip);
        let (trouble, lag) = tongue.map_or((None, 0), |tongue| (tongue.trouble, tongue.lag));
        if trouble == Some(Speech::Garbled) {
            return (Answer::default(), false);
        }
        let is_liar = trouble == Some(Speech::Lies);
        let does_write = self.writer(now) == Some(ip) || is_liar;
        // What a blue/green deployment leaves behind is no standby, and takes no writes.
        let is_standby = !does_write && self.kind != Kind::BlueGreen;
        let is_read_only = !does_write || trouble == Some(Speech::ReadOnly);
        let yes = |is_so: bool, yes: &str, no: &str| Some(if is_so { yes } else { no }.to_owned());
        let mut answer = Answer {
            recovery: yes(is_standby, "t", "f"),
            read_only: yes(is_read_only, "on", "off"),
            ..Answer::default()
        };
        let believed = match is_liar {
            true => Some(ip),
            false => self.writer(now.saturating_sub(lag)),
        };
        if self.flavour() != Flavour::Plain {
            let all = (1..4).map(|n| IpAddr::from([10, 0, self.number as u8, n]));
            let named = |ip: IpAddr| match self.flavour() {
                Flavour::MultiAz => Self::name(self.number, ip),
                _ => label(self.number, ip),
            };
            answer.own = Some(label(self.number, ip));
            answer.writers = believed.map(|ip| label(self.number, ip));
            answer.members = Some(all.map(named).collect::<Vec<_>>().join(" "));
        }
        let is_claim = !is_standby && !is_read_only && (self.flavour() == Flavour::Plain || believed == Some(ip));
        (answer, is_claim)
    }
}

fn label(number: usize, ip: IpAddr) -> String {
    format!("m{}-db{number}", last_byte(ip))
}

/// The members as one process asks them.
#[derive(Clone)]
pub struct Tongues {
    /// Where it lives.
    pub region: Region,
    /// Which process.
    pub process: usize,
}

/// A session of a process with a member.
struct Talk {
    tongues: Tongues,
    number: usize,
    ip: IpAddr,
    ended: Arc<Notify>,
}

/// What a member does with a question.
enum Turn {
    Answers(Box<Answer>, bool),
    Fails(Unheard),
    Late,
}

impl Entrance for Tongues {
    fn log_in<'a>(
        &'a self,
        door: Door<'a>,
        _application: &'a str,
        limit: Duration,
    ) -> Later<'a, Result<Entered, Unheard>> {
        Box::pin(async move {
            resumed(&self.region, self.process).await;
            let (host, ip) = (door.endpoint.host(), door.address.ip());
            let number = {
                let now = self.region.now();
                let mut truth = self.region.truth();
                let number = truth.database_of(host).map_or(0, |(number, _)| number);
                truth.approached(self.process, number, ip, now);
                number
            };
            let refused = self.wait(number, ip, limit).await;
            let now = self.region.now();
            let mut truth = self.region.truth();
            let cast = &truth.databases[number].cast;
            let Some(cast) = cast.as_ref().filter(|_| refused.is_none()) else {
                return Err(refused.unwrap_or(silence("nobody is there")));
            };
            let functions: &[&str] = match cast.flavour() {
                Flavour::Plain => &[],
                Flavour::Aurora => &[
                    "pg_catalog.aurora_replica_status",
                    "pg_catalog.aurora_db_instance_identifier",
                ],
                Flavour::MultiAz => &[
                    "rds_tools.show_topology",
                    "rds_tools.dbi_resource_id",
                    "rds_tools.multi_az_db_cluster_source_dbi_resource_id",
                ],
            };
            let functions = functions.iter().map(|name| ((*name).to_owned(), true)).collect();
            let ended = Arc::clone(&cast.ended);
            truth.entered(self.process, number, ip, now);
            let tongues = self.clone();
            let talk = Talk {
                tongues,
                number,
                ip,
                ended,
            };
            Ok((Box::new(talk) as Box<dyn Member>, functions))
        })
    }
}

impl Tongues {
    /// Lets a member take its time; why it is not heard, if so.
    async fn wait(&self, number: usize, ip: IpAddr, limit: Duration) -> Option<Unheard> {
        let (pause, failed) = {
            let now = self.region.now();
            let mut truth = self.region.truth();
            let is_slow = truth.luck.u8(..64) == 0;
            let slow = Duration::from_millis(truth.luck.u64(200..900));
            let cast = truth.databases[number].cast.as_ref();
            let tongue = cast.and_then(|cast| cast.tongues.get(&ip));
            let trouble = tongue.and_then(|tongue| tongue.trouble);
            let is_down = tongue.is_some_and(|tongue| now < tongue.down);
            let is_cut_off = tongue.is_some_and(|tongue| tongue.is_cut_off);
            match trouble {
                Some(Speech::Silent) => (limit, Some(silence("no answer in time"))),
                _ if is_down && is_cut_off => (limit, Some(silence("no answer in time"))),
                _ if is_down => (Duration::ZERO, Some(silence("connection refused"))),
                Some(Speech::Full) => (Duration::ZERO, Some(refusal("53300"))),
                Some(Speech::Denied) => (Duration::ZERO, Some(refusal("28P01"))),
                Some(Speech::Impostor) => (Duration::ZERO, Some(Unheard::Refused(Refused::Breach(Breach::TooMuch)))),
                _ if is_slow => (slow, None),
                _ => (Duration::ZERO, None),
            }
        };
        if !pause.is_zero() {
            sleep(pause).await;
        }
        resumed(&self.region, self.process).await;
        failed
    }
}

impl Talk {
    fn turn(&self) -> Turn {
        let now = self.tongues.region.now();
        let truth = self.tongues.region.truth();
        let Some(cast) = &truth.databases[self.number].cast else {
            return Turn::Fails(silence("nobody is there"));
        };
        let tongue = cast.tongues.get(&self.ip);
        match tongue.and_then(|tongue| tongue.trouble) {
            _ if tongue.is_some_and(|tongue| now < tongue.down) => Turn::Late,
            Some(Speech::Silent | Speech::Slow) => Turn::Late,
            Some(Speech::Ends) => Turn::Fails(silence("the server has ended the session")),
            // Who is in is in.
            _ => {
                let (answer, is_claim) = cast.answer(self.ip, now);
                Turn::Answers(Box::new(answer), is_claim)
            }
        }
    }
}

impl Member for Talk {
    fn ask(&self, _flavour: Flavour, limit: Duration) -> Later<'_, Result<Answer, Unheard>> {
        Box::pin(async move {
            let (region, process) = (&self.tongues.region, self.tongues.process);
            resumed(region, process).await;
            match self.turn() {
                Turn::Late => {
                    sleep(limit).await;
                    Err(silence("no answer in time"))
                }
                Turn::Fails(unheard) => Err(unheard),
                Turn::Answers(answer, is_claim) => {
                    let is_slow = region.truth().luck.u8(..64) == 0;
                    if is_slow {
                        let pause = region.truth().luck.u64(1..900);
                        sleep(Duration::from_millis(pause)).await;
                        resumed(region, process).await;
                    }
                    region
                        .truth()
                        .said(process, self.number, self.ip, is_claim, region.now());
                    Ok(*answer)
                }
            }
        })
    }

    fn ended(&mut self) -> Later<'_, String> {
        Box::pin(async {
            loop {
                self.ended.notified().await;
                let now = self.tongues.region.now();
                let truth = self.tongues.region.truth();
                let cast = truth.databases[self.number].cast.as_ref();
                if cast.is_some_and(|cast| !cast.is_up(self.ip, now)) {
                    return "the server has ended the session".to_owned();
                }
            }
        })
    }

    fn abandon(self: Box<Self>) {}
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.tongues
            .region
            .truth()
            .left(self.tongues.process, self.number, self.ip);
    }
}

fn silence(why: &str) -> Unheard {
    Unheard::Unanswered(None, why.to_owned())
}

fn refusal(state: &str) -> Unheard {
    Unheard::Refused(Refused::Server(state.to_owned(), "as the seed has it".to_owned()))
}

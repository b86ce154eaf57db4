//! The play: what is due happens, and in the end everybody is asked what became of it.

use std::collections::BTreeMap;
use std::panic::{set_hook, take_hook};
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use testkit::elb::{CALLS_KEPT, Call};
use testkit::program::comes_true;
use testkit::world::short;

use crate::actor::{Actor, Footprint, Who};
use crate::host::{ADDRESSES, Host, locked};
use crate::journal::Journal;
use crate::rules::{Case, Verdict};
use crate::schedule::{Fault, Schedule};
use crate::site::{FORGET, Site, tail};

const TICK: Duration = Duration::from_millis(20);
const FOOTPRINT_EVERY: Duration = Duration::from_secs(1);
/// How long everybody is left alone before and after, so that two footprints of a process at rest can be compared.
const CALM: Duration = Duration::from_secs(3);
/// How long the group may take to be what DNS says: `forget`, the longest pause after a failure (10 s), a few looks, and for each time
/// that a target came back unnamed, its `forget` doubles.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// How long nobody may write then.
const SILENT: Duration = Duration::from_secs(5);
/// How long consumers may take to receive what is left.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(60);
/// Memory that a process may have more than when it was young, and descriptors more than at first: connections to AWS are kept.
const GROWTH_KIB_MAX: u64 = 8 << 10;
const DESCRIPTORS_MORE: usize = 3;
/// Of 128 pipes, and of what it says.
const PIPES_MAX: usize = 257;
/// When a process has taken what it needs.
const GROWN_UP: Duration = Duration::from_secs(4);
/// A play that takes longer than it should by this has come to a standstill.
const STANDSTILL: Duration = Duration::from_secs(300);

/// What ends something that has begun.
enum Undo {
    Nothing,
    Start(Who),
    GoOn(Who, usize),
    Hear(Who),
    NamesGoOn,
    NamesStart,
    MendApi,
    /// What has waited for its turn strikes.
    Strike(Fault),
}

pub struct Play {
    seed: u64,
    is_told: bool,
    length: Duration,
    schedule: Schedule,
    journal: Arc<Journal>,
    undos: Vec<(Instant, Undo)>,
    /// One fault of the API at a time: until when.
    api_until: Option<Instant>,
    struck: BTreeMap<&'static str, usize>,
    complaints: Vec<String>,
}

impl Play {
    /// A play whose journal is printed if something is wrong, or else if it is to be told.
    pub fn new(seed: u64, length: Duration, failovers: usize, is_told: bool) -> Self {
        let journal = Arc::new(Journal::start());
        let (told, shared) = (take_hook(), Arc::clone(&journal));
        set_hook(Box::new(move |panic| {
            shared.print();
            println!("nemesis: a panic; again with --seed {seed}");
            told(panic);
        }));
        let shared = Arc::clone(&journal);
        thread::spawn(move || {
            sleep(length * 2 + STANDSTILL);
            shared.print();
            println!("nemesis: it does not come to an end; again with --seed {seed}");
            exit(1);
        });
        Self {
            seed,
            is_told,
            length,
            schedule: Schedule::draw(seed, length, failovers),
            journal,
            undos: Vec::new(),
            api_until: None,
            struck: BTreeMap::new(),
            complaints: Vec::new(),
        }
    }

    pub fn run(mut self) -> ExitCode {
        println!(
            "nemesis: {} s, {} failovers, {} faults, seed {}",
            self.length.as_secs(),
            self.schedule.failovers.len(),
            self.schedule.faults.len(),
            self.seed
        );
        let (mut site, host) = Site::start(&self.journal);
        let before = at_rest(&mut site);
        self.journal.note("all are at work".into());
        let start = Instant::now();
        let failing_over = self.fail_over(host, start);
        self.torment(&mut site, start, &failing_over);
        let mut host = failing_over.join().expect("it does not panic");
        host.fill_holes();
        self.make_peace(&mut site);

        let settling = Instant::now();
        let has_settled = comes_true(SETTLES_WITHIN, || site.is_settled());
        let settled = settling.elapsed();
        self.check(has_settled, || {
            format!("L1: the group has not settled: {}", site.state())
        });
        self.journal.note("settled".into());
        let writes = site.elb.writes().len();
        let after = at_rest(&mut site);
        sleep(SILENT);
        let later: Vec<Call> = site.elb.writes().split_off(writes);
        self.check(later.is_empty() || !has_settled, || {
            format!("L2: somebody wrote: {later:?}")
        });

        self.compare_rows(&mut site, &host);
        for actor in &mut site.actors {
            self.complaints.extend(actor.has_ended());
            self.complaints.extend(actor.end());
        }
        let verdict = self.judge(&site);
        self.read_logs(&site.actors);
        self.compare_footprints(&site.actors, &before, &after);
        self.print(&site, &verdict, settled);
        host.end();
        self.verdict(&site)
    }

    fn check(&mut self, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so {
            self.complaints.push(what());
        }
    }

    /// The failovers, on a thread of their own: each takes a while.
    fn fail_over(&self, mut host: Host, start: Instant) -> JoinHandle<Host> {
        let (failovers, journal) = (self.schedule.failovers.clone(), Arc::clone(&self.journal));
        thread::spawn(move || {
            for failover in &failovers {
                sleep((start + failover.at).saturating_duration_since(Instant::now()));
                host.fail_over(failover, &journal);
            }
            host
        })
    }

    /// Until the time is over, and there has been every failover.
    fn torment(&mut self, site: &mut Site, start: Instant, failing_over: &JoinHandle<Host>) {
        let faults = self.schedule.faults.clone();
        let mut due = faults.into_iter().peekable();
        let mut footprints = start;
        while start.elapsed() < self.length || !failing_over.is_finished() {
            while let Some((_, fault)) = due.next_if(|(at, _)| *at <= start.elapsed()) {
                self.strike(site, fault);
            }
            let now = Instant::now();
            let all = std::mem::take(&mut self.undos).into_iter();
            let (over, left): (Vec<_>, Vec<_>) = all.partition(|(at, _)| *at <= now);
            self.undos = left;
            for (_, undo) in over {
                self.undo(site, undo);
            }
            let ended = site.actors.iter_mut().filter_map(Actor::has_ended);
            self.complaints.extend(ended);
            if now >= footprints {
                site.actors.iter_mut().for_each(|actor| _ = actor.footprint());
                footprints = now + FOOTPRINT_EVERY;
            }
            sleep(TICK);
        }
    }

    fn strike(&mut self, site: &mut Site, fault: Fault) {
        let now = Instant::now();
        if let (Fault::Api(..), Some(until)) = (fault, self.api_until) {
            return self.undos.push((until + TICK, Undo::Strike(fault)));
        }
        self.journal.note(fault.to_string());
        let (time, undo) = match fault {
            Fault::Kill(who, time) => {
                site.actor(who).kill();
                (time, Undo::Start(who))
            }
            Fault::Stop(who, time) => {
                let actor = site.actor(who);
                if !actor.stop() {
                    return;
                }
                (time, Undo::GoOn(who, actor.lives.len() - 1))
            }
            Fault::Deaf(who, time) => {
                site.tap(who).deaf(true);
                (time, Undo::Hear(who))
            }
            Fault::NamesSilent(time) => {
                if !locked(&site.names).silence() {
                    return;
                }
                (time, Undo::NamesGoOn)
            }
            Fault::NamesDead(time) => {
                if !locked(&site.names).kill() {
                    return;
                }
                (time, Undo::NamesStart)
            }
            Fault::Api(api, time) => {
                site.break_api(api);
                self.api_until = Some(now + time);
                (time, Undo::MendApi)
            }
            Fault::Clock(who, seconds) => {
                site.actor(who).set_clock(seconds);
                (Duration::ZERO, Undo::Nothing)
            }
        };
        *self.struck.entry(fault.kind()).or_default() += 1;
        self.undos.push((now + time, undo));
    }

    fn undo(&mut self, site: &mut Site, undo: Undo) {
        match undo {
            Undo::Start(who) => {
                self.journal.note(format!("{who} starts"));
                site.actor(who).start();
            }
            Undo::GoOn(who, life) => {
                self.journal.note(format!("{who} goes on"));
                site.actor(who).go_on(life);
            }
            Undo::Hear(who) => {
                self.journal.note(format!("{who} hears again"));
                site.tap(who).deaf(false);
            }
            Undo::NamesGoOn => {
                locked(&site.names).go_on();
                self.journal.note("the name server goes on".into());
            }
            Undo::NamesStart => {
                locked(&site.names).start_again();
                self.journal.note("the name server starts".into());
            }
            Undo::MendApi => {
                self.journal.note("the API is well".into());
                self.api_until = None;
                site.mend_api();
            }
            Undo::Strike(fault) => self.strike(site, fault),
            Undo::Nothing => {}
        }
    }

    /// Nothing fails any more.
    fn make_peace(&mut self, site: &mut Site) {
        for (_, undo) in std::mem::take(&mut self.undos) {
            if !matches!(undo, Undo::Strike(_)) {
                self.undo(site, undo);
            }
        }
        self.journal.note("peace".into());
    }

    /// Every row that was acknowledged is there, and each consumer has it.
    fn compare_rows(&mut self, site: &mut Site, host: &Host) {
        let written = site.writers.each_mut().map(|writer| (writer.name, writer.end()));
        let there = host.query("SELECT writer, count(*), min(n), max(n) FROM rows GROUP BY writer");
        for (name, written) in written {
            let row = there.lines().find_map(|line| line.strip_prefix(&format!("{name}|")));
            let numbers: Vec<i64> = row
                .unwrap_or_default()
                .split('|')
                .filter_map(|one| one.parse().ok())
                .collect();
            let [count, 1, last] = numbers[..] else {
                self.complaints.push(format!("rows of {name}: {row:?}"));
                continue;
            };
            // The last one may have been committed without an acknowledgement.
            let is_all = count == last && (last == written.acknowledged || last == written.acknowledged + 1);
            self.check(is_all, || format!("rows of {name}: {row:?} after {written:?}"));
            let have_all = comes_true(CATCHES_UP_WITHIN, || {
                let mut consumers = site.consumers.iter();
                consumers.all(|consumer| consumer.received().last.get(name) == Some(&last))
            });
            self.check(have_all, || {
                let received = site
                    .consumers
                    .each_ref()
                    .map(|consumer| (consumer.name, consumer.received()));
                format!(
                    "not all of the {last} rows of {name} were received: {received:?}; {}",
                    site.state()
                )
            });
        }
        for consumer in &mut site.consumers {
            let received = consumer.end();
            let wrong = received
                .wrong
                .iter()
                .map(|wrong| format!("consumer {}: {wrong}", consumer.name));
            self.complaints.extend(wrong);
        }
    }

    fn judge(&mut self, site: &Site) -> Verdict {
        let calls = site.elb.calls();
        for call in calls.iter().filter(|call| call.is_write()) {
            self.journal.note_at(
                call.at,
                format!("{} by {}", short(call), call.access_key.as_deref().unwrap_or("nobody")),
            );
        }
        let given = site.given();
        let case = Case {
            arn: &site.arn,
            port: site.port,
            forget: FORGET,
            first: ADDRESSES[0].into(),
            actors: &site.actors,
            given: &given,
            journal: &self.journal,
        };
        let mut verdict = case.judge(&calls);
        self.complaints.append(&mut verdict.broken);
        self.check(calls.len() < CALLS_KEPT, || "some calls are forgotten".into());
        self.check(verdict.removals > 0, || "nothing was ever removed".into());
        let targets = site.elb.targets(&site.arn).into_iter();
        let registered = targets
            .filter(|target| target.state != "draining")
            .filter_map(|target| target.ip.parse().ok());
        let registered = registered.collect();
        self.check(verdict.registered == registered, || {
            format!(
                "{registered:?} are registered, and by the calls {:?}",
                verdict.registered
            )
        });
        let lowest = site.elb.lowest_registered(&site.arn);
        self.check(lowest == verdict.fewest, || {
            format!("{lowest} were registered, or {}", verdict.fewest)
        });
        self.check(lowest > 0 || verdict.excused > 0, || "S1: the group was empty".into());
        verdict
    }

    fn read_logs(&mut self, actors: &[Actor]) {
        for actor in actors {
            let log = actor.log();
            let bad = log
                .lines()
                .filter(|line| line.contains("panicked") || line.contains(" ERROR "));
            self.complaints
                .extend(bad.take(5).map(|line| format!("{}: {line}", actor.who)));
        }
    }

    fn compare_footprints(&mut self, actors: &[Actor], before: &[Footprint], after: &[Footprint]) {
        self.check(after.len() == actors.len(), || "not all are there in the end".into());
        for ((actor, before), after) in actors.iter().zip(before).zip(after) {
            let Some(life) = actor.lives.last() else { continue };
            let young = life.footprints.iter().find(|one| one.at >= life.began + GROWN_UP);
            let young = young.unwrap_or(before);
            let (at, all) = (after.at.duration_since(life.began).as_secs(), actor.lives.len());
            println!(
                "  {:<12} {all:>3} lives; before: {before}; the last, {at} s old: {after}; young: {young}",
                actor.who.to_string()
            );
            let grown = after.kib.saturating_sub(young.kib);
            self.check(grown <= GROWTH_KIB_MAX, || format!("{}: {grown} KiB more", actor.who));
            let pipes = after.pipes;
            self.check(pipes <= PIPES_MAX, || format!("{}: {pipes} ends of pipes", actor.who));
            let more = after.descriptors.saturating_sub(before.descriptors);
            self.check(more <= DESCRIPTORS_MORE, || {
                format!("{}: {more} descriptors more", actor.who)
            });
        }
    }

    fn print(&self, site: &Site, verdict: &Verdict, settled: Duration) {
        for (kind, count) in &self.struck {
            println!("  {kind:<24} {count:>6}");
        }
        for writer in &site.writers {
            let written = writer.written();
            println!(
                "  writer {:<10} {:>6} rows, {} connections, at most {:.1} s without a row",
                writer.name,
                written.acknowledged,
                written.connections,
                written.longest.as_secs_f64()
            );
        }
        for consumer in &site.consumers {
            let received = consumer.received();
            println!(
                "  consumer {:<8} {:>6} rows ({} of them again) in {} sessions, {} KiB",
                consumer.name,
                received.rows,
                received.again,
                received.sessions,
                received.bytes >> 10
            );
        }
        let tally = site.node.tally();
        println!(
            "  load balancer: {} connections ({} while no target was healthy), {} refused, {} terminated, {} checks, {} KiB",
            tally.given,
            tally.given_open,
            tally.refused,
            tally.terminated,
            tally.checks,
            tally.bytes >> 10
        );
        let told = site.given().iter().map(|(_, given)| given.len()).sum::<usize>();
        println!(
            "  {told} answers of DNS; {} lists, {} registrations, {} removals, {} calls failed; at least {} registered; {} removals \
             by who had stood still",
            verdict.lists, verdict.registrations, verdict.removals, verdict.failed, verdict.fewest, verdict.excused
        );
        println!("  settled {:.1} s after the last fault", settled.as_secs_f64());
    }

    fn verdict(&self, site: &Site) -> ExitCode {
        if self.complaints.is_empty() && self.is_told {
            self.journal.print();
        }
        if self.complaints.is_empty() {
            println!("nemesis: all rules held, every row was received");
            return ExitCode::SUCCESS;
        }
        self.journal.print();
        for actor in &site.actors {
            println!("{}:\n{}", actor.who, tail(&actor.log()));
        }
        for complaint in &self.complaints {
            println!("  COMPLAINT: {complaint}");
        }
        println!(
            "nemesis: {} complaints; again with --seed {}",
            self.complaints.len(),
            self.seed
        );
        ExitCode::FAILURE
    }
}

/// What everybody has when nothing has happened for a while.
fn at_rest(site: &mut Site) -> Vec<Footprint> {
    sleep(CALM);
    site.actors.iter_mut().filter_map(Actor::footprint).collect()
}

//! What must never happen where members are asked who the writer is (docs/proof.md), held against every route of every proxy, and every
//! write to a group.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rds_tether::planner::endpoint::Role;
use rds_tether::proxy::route::Route;

use super::names::Given;
use super::region::{Millis, Truth};

/// How long what a member said of itself counts: a second until it is asked again, one for its answer, and a moment until all know.
const PROOF_MAX: Millis = 2_300;
/// How long a claim stands beside a newer one, while everybody is asked ten times a second.
const STANDS_MAX: Millis = 1_100;
/// How long a follower may take to look again when a writer shows itself: the calls of a step that hang.
const LOOKED_MAX: Millis = 10_000;
/// For how long a route may be as it should not be.
const MOMENT: Millis = 600;
/// How new two claims are that nobody can tell apart.
const CLAIMS_MAX: Millis = 300;
/// How long everybody may take to learn what a member says.
const NEWS_MAX: Millis = 1_000;
/// How long a process may take to learn of a new writer when all members answer: one that is silent is given up after a second, and a
/// claim that is over a second later.
const FOUND_MAX: Millis = 4_000;
/// For how long an address is asked after DNS gave it last, less a look.
const MET_MAX: Millis = 80_000;

/// For how long those who asked before still ask beside those who ask from now on, until these have been heard.
const HANDOVER_MAX: Millis = 3_000;

/// What a process has heard from members since it began.
#[derive(Debug, Default)]
pub struct Words {
    /// When whoever asks members began.
    pub since: Millis,
    /// Until when it last stood still.
    pub awake: Millis,
    /// When it read its settings again, if it has.
    pub reloaded: Option<Millis>,
    /// Since when each address has been known, and when it was last given for the name of a member, or of the database.
    met: BTreeMap<(usize, IpAddr), (Millis, Millis)>,
    /// Every address that was given for the name of a database.
    named: BTreeSet<(usize, IpAddr)>,
    /// What each said last.
    said: BTreeMap<(usize, IpAddr), Word>,
    /// Since when each has been the only one that says that it is the writer.
    sole: BTreeMap<(usize, IpAddr), Millis>,
    /// When each was last known as the writer for long enough that every follower has looked meanwhile.
    led_to: BTreeMap<(usize, IpAddr), Millis>,
    /// Open sessions.
    sessions: BTreeMap<(usize, IpAddr), u32>,
    /// Since when a route has been as it should not be.
    wrong: BTreeMap<usize, Millis>,
    /// Writers by whose word a route led, until DNS said otherwise.
    led: BTreeMap<usize, IpAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    at: Millis,
    is_claim: bool,
    /// Since when it has said the same.
    since: Millis,
}

impl Words {
    /// Whoever asks members begins anew, and knows of none that DNS does not give from now on.
    pub fn begin(&mut self, now: Millis) {
        (self.since, self.awake) = (now, now);
    }

    /// Nobody asks anything until then.
    pub fn stand_still(&mut self, now: Millis, until: Millis) {
        self.awake = until;
        if now < self.handed_over() {
            self.reloaded = Some(until);
        }
    }

    /// When whoever asks members now began, alone.
    fn begun(&self) -> Millis {
        self.since.max(self.handed_over())
    }

    /// When those who asked before the settings were read again ask no more.
    fn handed_over(&self) -> Millis {
        self.reloaded.map_or(0, |reloaded| reloaded + HANDOVER_MAX)
    }
}

impl Truth {
    /// A process has heard what name servers say of a member's name.
    pub fn met(&mut self, process: usize, number: usize, given: &[Given], now: Millis) {
        let words = &mut self.processes[process].seen.words;
        let begun = words.begun();
        let said = given.iter().filter_map(|given| given.said.as_ref().ok());
        for ip in said.flat_map(|said| &said.addresses) {
            let (since, last) = words.met.entry((number, *ip)).or_insert((now, now));
            // Those who asked before may still have looked, and know it alone.
            if *since < begun || now - *last > MET_MAX {
                *since = now;
            }
            *last = now;
        }
    }

    /// A process has heard what name servers say of a database's name.
    pub fn met_named(&mut self, process: usize, number: usize, given: &[Given], now: Millis) {
        if self.lead.is_none() {
            return;
        }
        self.met(process, number, given, now);
        let words = &mut self.processes[process].seen.words;
        let said = given.iter().filter_map(|given| given.said.as_ref().ok());
        let all = said.flat_map(|said| &said.addresses);
        words.named.extend(all.map(|ip| (number, *ip)));
    }

    /// Whether a proxy may go there, by the test's own rule: unlike a target, it may be anywhere.
    fn may_go(&self, ip: IpAddr) -> bool {
        let allow = &self.policy.allow_cidrs;
        allow.is_empty() || allow.iter().any(|net| net.contains(&ip))
    }

    /// A process goes to an address to ask it.
    pub fn approached(&mut self, process: usize, number: usize, ip: IpAddr, now: Millis) {
        let words = &self.processes[process].seen.words;
        // What is left of a process that has just ended may still be under way.
        let is_over = now <= words.since;
        let is_met = is_over || words.met.contains_key(&(number, ip));
        if !is_met || !self.may_go(ip) {
            self.break_rule(
                now,
                format_args!("M2: {process} asks {ip}, which DNS did not give, or which is not allowed"),
            );
        }
    }

    /// A process has logged in to a member.
    pub fn entered(&mut self, process: usize, number: usize, ip: IpAddr, now: Millis) {
        self.counts.log_ins += 1;
        let words = &mut self.processes[process].seen.words;
        let is_handed_over = now >= words.handed_over();
        let sessions = words.sessions.entry((number, ip)).or_default();
        *sessions += 1;
        let open = *sessions;
        if open > 1 + u32::from(!is_handed_over) {
            self.break_rule(now, format_args!("M8: {process} has {open} sessions with {ip}"));
        }
    }

    /// Its session is over.
    pub fn left(&mut self, process: usize, number: usize, ip: IpAddr) {
        let sessions = self.processes[process].seen.words.sessions.get_mut(&(number, ip));
        if let Some(sessions) = sessions {
            *sessions = sessions.saturating_sub(1);
        }
    }

    /// A process has heard what a member says of itself.
    pub fn said(&mut self, process: usize, number: usize, ip: IpAddr, is_claim: bool, now: Millis) {
        self.counts.questions += 1;
        let said = &mut self.processes[process].seen.words.said;
        let word = said.entry((number, ip)).or_insert(Word {
            at: now,
            is_claim,
            since: now,
        });
        if word.is_claim != is_claim {
            (word.is_claim, word.since) = (is_claim, now);
        }
        word.at = now;
        let word = *word;
        let is_sole = is_claim && self.is_sole_writer(process, &[number], ip, now);
        let words = &mut self.processes[process].seen.words;
        if !is_sole {
            words.sole.remove(&(number, ip));
        } else if now - *words.sole.entry((number, ip)).or_insert(now) >= LOOKED_MAX {
            words.led_to.insert((number, ip), now);
        }
        if word.since == now {
            self.remark(now, format_args!("{process} hears from {ip}: writer {is_claim}"));
        }
    }

    /// Whether a member has told the process lately that it is the writer.
    pub fn is_proven(&self, process: usize, number: usize, ip: IpAddr, now: Millis) -> bool {
        let word = self.processes[process].seen.words.said.get(&(number, ip));
        word.is_some_and(|word| word.is_claim && now - word.at <= PROOF_MAX)
    }

    /// Whether a target may be registered by its own word alone.
    pub fn is_led_to(&self, process: usize, follows: &[usize], ip: IpAddr, now: Millis) -> bool {
        let proven = |number: &usize| self.is_proven(process, *number, ip, now);
        self.lead.is_some() && follows.iter().any(proven)
    }

    /// Whether a target is the only one that says that it is the writer, and so counts as named. A word is over with its session, or
    /// if it is not said again beside another's.
    pub fn is_sole_writer(&self, process: usize, follows: &[usize], ip: IpAddr, now: Millis) -> bool {
        let words = &self.processes[process].seen.words;
        let stands = |number: usize, other: IpAddr| {
            let is_open = words
                .sessions
                .get(&(number, other))
                .is_some_and(|sessions| *sessions > 0);
            let word = &words.said[&(number, other)];
            is_open && word.is_claim && now - word.at <= STANDS_MAX
        };
        let claims = |number: usize| {
            let mut all = words.said.keys().filter(move |(of, _)| *of == number);
            all.all(|(_, other)| *other == ip || !stands(number, *other))
        };
        let mut all = follows.iter();
        all.any(|number| self.is_proven(process, *number, ip, now) && claims(*number))
    }

    /// Which target of these may not go yet, because it said less than `forget` ago that it is the writer.
    pub fn was_led_to(
        &self,
        process: usize,
        follows: &[usize],
        mut targets: impl Iterator<Item = IpAddr>,
        forget: Millis,
        now: Millis,
    ) -> Option<IpAddr> {
        let led_to = &self.processes[process].seen.words.led_to;
        let is_fresh = |at: &Millis| now - *at < forget;
        targets.find(|ip| {
            follows
                .iter()
                .any(|number| led_to.get(&(*number, *ip)).is_some_and(is_fresh))
        })
    }

    /// Where the clients of a proxy go.
    pub fn routed(&mut self, process: usize, number: usize, route: &Route, now: Millis) {
        let judged = self.judge_route(process, number, route, now);
        let wrong = &mut self.processes[process].seen.words.wrong;
        // What happens in one moment comes round one after the other.
        let lasts = match &judged {
            Ok(()) => {
                wrong.remove(&number);
                0
            }
            Err(_) => now - *wrong.entry(number).or_insert(now),
        };
        if let Err(broken) = judged
            && lasts >= MOMENT
        {
            let (endpoint, verdict) = (&self.databases[number].endpoint, &route.verdict);
            let what = format!(
                "{broken} (process {process}, {endpoint}, {:?}, {verdict:?})",
                route.addresses
            );
            self.break_rule(now, format_args!("{what}"));
        }
        let words = &mut self.processes[process].seen.words;
        if let Some(writer) = route.writer() {
            words.led.insert(number, writer);
        }
        let writer = self.databases[number].cast.as_ref().and_then(|cast| cast.writer(now));
        self.counts.routes += 1;
        self.counts.ahead += u64::from(
            route
                .writer()
                .is_some_and(|to| !self.databases[number].at(now).contains(&to)),
        );
        self.counts.right += u64::from(writer.is_some_and(|ip| route.addresses == [ip]));
    }

    fn judge_route(&self, process: usize, number: usize, route: &Route, now: Millis) -> Result<(), String> {
        let words = &self.processes[process].seen.words;
        if let Some(ip) = route.addresses.iter().find(|ip| !self.may_go(**ip)) {
            return Err(format!("M2: clients go to {ip}, which is not allowed"));
        }
        if now < words.awake + PROOF_MAX {
            // Who stood still has not judged anew.
            return Ok(());
        }
        if let Some(writer) = route.writer() {
            if !self.is_proven(process, number, writer, now) {
                return Err(format!("M1, M6: {writer} has not shown of late that it is the writer"));
            }
            if self.may_go(writer) && route.addresses != [writer] {
                return Err(format!("M4: {writer} is the writer, and clients go elsewhere"));
            }
            let claims = |(of, ip): &(usize, IpAddr)| {
                let word = words.said[&(*of, *ip)];
                let is_new = now - word.at <= CLAIMS_MAX && now - word.since >= NEWS_MAX;
                let cast = self.databases[number].cast.as_ref();
                let is_heard = cast.is_some_and(|cast| cast.is_heard(*ip, now));
                *of == number && *ip != writer && word.is_claim && is_new && is_heard
            };
            if let Some((_, other)) = words.said.keys().find(|key| claims(key)) {
                return Err(format!("M4: {writer} leads, and {other} is the writer, too"));
            }
            return Ok(());
        }
        if !route.waits() {
            let unheard = |ip: &&IpAddr| !words.named.contains(&(number, **ip)) && words.led.get(&number) != Some(*ip);
            if let Some(ip) = route.addresses.iter().find(unheard) {
                return Err(format!("M3: clients go to {ip}, which DNS did not give"));
            }
        }
        self.judge_writer(process, number, route, now)
    }

    /// A writer whom everybody could ask is found.
    fn judge_writer(&self, process: usize, number: usize, route: &Route, now: Millis) -> Result<(), String> {
        let words = &self.processes[process].seen.words;
        let Some(cast) = &self.databases[number].cast else {
            return Ok(());
        };
        let since = now.saturating_sub(FOUND_MAX);
        let is_early = words.since.max(words.awake) > since || cast.is_uneasy_since(since);
        let Some(writer) = cast.writer(now) else { return Ok(()) };
        let met = words.met.get(&(number, writer)).copied();
        let is_known = met
            .is_some_and(|(known, last)| known >= words.begun() && known <= since && now - last < MET_MAX)
            && self.may_go(writer);
        let is_of_one = route.role == Role::Writer && !route.is_rotating;
        if is_early || !is_known || !is_of_one || cast.writer(since) != Some(writer) {
            return Ok(());
        }
        Err(format!(
            "M1: {writer} has been the writer for {FOUND_MAX} ms, and nobody knows"
        ))
    }
}

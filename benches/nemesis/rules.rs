//! What the daemons must never do to the target group, held against what the name server has really told each of them, and when.
//!
//! What somebody did not know is not held against him: between the last look and the arrival of a call at ELB passes a while, and a
//! process that stands still learns nothing. So a call is judged by all that a process may have known when it made up its mind, which is
//! more than one moment, and longer ago by the time for which it stood still.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use testkit::dns::{Given, ResponseCode};
use testkit::elb::Call;

use crate::actor::{Actor, LOOK_TIMEOUT, Life, Who};
use crate::journal::Journal;

/// From making up one's mind to the arrival of the call, and from the sending of an answer to its being taken in, on a busy machine.
const UNDER_WAY: Duration = Duration::from_millis(500);
/// From one look at DNS to the next, at a TTL of 1 s.
const LOOKS_APART: Duration = Duration::from_secs(1);
/// What is under way for longer may have been given up.
const TAKEN_IN_MAX: Duration = Duration::from_millis(400);
/// How old the list of targets may be that a removal goes by, by the program's own limit, and how late the API was.
const LISTING_MAX: Duration = Duration::from_millis(5_500);
/// For how long before a call it matters whether the process stood still.
const STILL_MATTERS: Duration = Duration::from_secs(10);
/// Calls that came by then after a start are of the life before.
const OF_THE_LIFE_BEFORE: Duration = Duration::from_millis(200);

/// What the rules are about.
pub struct Case<'a> {
    pub arn: &'a str,
    pub port: u16,
    pub forget: Duration,
    /// What was registered at first.
    pub first: IpAddr,
    pub actors: &'a [Actor],
    /// The replies of DNS to each of them.
    pub given: &'a [(Who, Vec<Given>)],
    pub journal: &'a Journal,
}

/// What was found.
#[derive(Default)]
pub struct Verdict {
    pub registrations: usize,
    pub removals: usize,
    /// Calls of whatever action that came to nothing.
    pub failed: usize,
    pub lists: usize,
    /// Removals of a process that had stood still for so long that others could have left it nothing to know.
    pub excused: usize,
    /// The fewest targets that were registered.
    pub fewest: usize,
    /// What is registered in the end.
    pub registered: BTreeSet<IpAddr>,
    pub broken: Vec<String>,
}

impl Case<'_> {
    /// Judges all calls, in the order in which they were carried out.
    pub fn judge(&self, calls: &[Call]) -> Verdict {
        let mut verdict = Verdict {
            registered: BTreeSet::from([self.first]),
            fewest: 1,
            ..Verdict::default()
        };
        for (index, call) in calls.iter().enumerate() {
            verdict.failed += usize::from(call.outcome.is_err());
            if !call.is_write() {
                verdict.lists += usize::from(call.action == "DescribeTargetHealth");
                continue;
            }
            let targets: BTreeSet<IpAddr> = call
                .targets
                .iter()
                .filter_map(|target| target.id.parse().ok())
                .collect();
            let mut left = verdict.registered.clone();
            match call.action.as_str() {
                "RegisterTargets" => left.extend(&targets),
                "DeregisterTargets" => left.retain(|ip| !targets.contains(ip)),
                other => verdict.broken.push(format!("{other}, which nobody has to call")),
            }
            if let Err(broken) = self.judge_write(call, &targets, &calls[..index], &left, &mut verdict.excused) {
                verdict.broken.push(format!(
                    "{broken} ({} {targets:?} at {}, by {:?}: {:?})",
                    call.action,
                    self.journal.at(call.at),
                    call.access_key,
                    call.outcome
                ));
            }
            if call.outcome.is_ok() {
                verdict.registrations += usize::from(call.action == "RegisterTargets");
                verdict.removals += usize::from(call.action == "DeregisterTargets");
                verdict.fewest = verdict.fewest.min(left.len());
                verdict.registered = left;
            }
        }
        verdict
    }

    fn judge_write(
        &self,
        call: &Call,
        targets: &BTreeSet<IpAddr>,
        before: &[Call],
        left: &BTreeSet<IpAddr>,
        excused: &mut usize,
    ) -> Result<(), String> {
        let key = call.access_key.clone().unwrap_or_default();
        let Some(actor) = self.actors.iter().find(|actor| actor.who.key() == key) else {
            return Err("by nobody who is known".into());
        };
        if actor.who == Who::Proxy {
            return Err("a proxy changes no group".into());
        }
        if call.arn.as_deref() != Some(self.arn) {
            return Err(format!("S4: a group that nobody follows: {:?}", call.arn));
        }
        if let Some(other) = call.targets.iter().find(|target| target.port != Some(self.port)) {
            return Err(format!("a target with another port: {other:?}"));
        }
        let mut lives = actor.lives.iter().rev();
        let Some(life) = lives.find(|life| life.began + OF_THE_LIFE_BEFORE <= call.at) else {
            return Err("S3: a write at the very start".into());
        };
        let still = life.stood_still(ago(call.at, STILL_MATTERS), call.at);
        let known = Known::new(self, actor.who, life, call.at, still);
        let seen = before
            .iter()
            .rev()
            .filter(|listed| listed.at >= life.began)
            .any(|listed| {
                let is_own = listed.access_key == call.access_key && listed.action == "DescribeTargetHealth";
                is_own && listed.outcome.is_ok() && listed.at >= ago(call.at, LISTING_MAX + UNDER_WAY + still)
            });
        if !seen {
            return Err("S3: a write to a group that was not seen".into());
        }
        if call.action == "RegisterTargets" {
            return match targets.iter().find(|ip| !known.lately.contains(ip)) {
                Some(ip) => Err(format!(
                    "S2: {ip} is registered, and DNS did not name it: {:?}",
                    known.lately
                )),
                None => Ok(()),
            };
        }
        let lived = call.at.duration_since(life.began);
        if lived < self.forget {
            return Err(format!("S6: a removal {lived:?} after the start of the process"));
        }
        let Some(latest) = known.latest else {
            return Err("S3: a removal by a process that DNS has told nothing".into());
        };
        let blind = call.at.duration_since(latest);
        if blind > LOOKS_APART * 2 + LOOK_TIMEOUT + UNDER_WAY + still {
            return Err(format!("S3: a removal while DNS has been silent for {blind:?}"));
        }
        for ip in targets {
            if let Some(named) = known.named(*ip)
                && call.at.duration_since(named) < self.forget
            {
                let since = call.at.duration_since(named);
                return Err(format!("S6: {ip} was named {since:?} before it was removed"));
            }
        }
        if left.is_disjoint(&known.lately) {
            // Somebody else, who has seen the name move on and this target forgotten meanwhile, may have removed what this one relied on.
            if still + LOOKS_APART + LOOK_TIMEOUT + UNDER_WAY >= self.forget {
                *excused += 1;
                return Ok(());
            }
            return Err(format!(
                "S1, S5: {left:?} stay, and of what DNS names nothing: {:?}",
                known.lately
            ));
        }
        Ok(())
    }
}

/// What a process may have known of DNS when it sent a call.
struct Known<'a> {
    given: Vec<&'a Given>,
    life: &'a Life,
    /// What came later may not have been taken in.
    taken_in: Instant,
    /// When the latest answer came.
    latest: Option<Instant>,
    /// What may have been the latest answer.
    lately: BTreeSet<IpAddr>,
}

impl<'a> Known<'a> {
    fn new(case: &'a Case<'_>, who: Who, life: &'a Life, at: Instant, still: Duration) -> Self {
        let all = case.given.iter().find(|(of, _)| *of == who).map(|(_, given)| given);
        let given: Vec<&Given> = all
            .into_iter()
            .flatten()
            .filter(|given| given.at >= life.began && given.at <= at)
            .filter(|given| given.code == ResponseCode::NoError && !given.addresses.is_empty())
            .collect();
        // Who decides at the beginning of this knows the answer before it.
        let from = ago(at, LOOKS_APART + LOOK_TIMEOUT + UNDER_WAY + still);
        let first = given.partition_point(|given| given.at < from).saturating_sub(1);
        Self {
            latest: given.last().map(|given| given.at),
            lately: given[first..]
                .iter()
                .flat_map(|given| &given.addresses)
                .copied()
                .collect(),
            taken_in: ago(at, UNDER_WAY + still),
            given,
            life,
        }
    }

    /// When an answer last named an address of which it is certain that the process has taken it in.
    fn named(&self, ip: IpAddr) -> Option<Instant> {
        let certain = |given: &&&Given| {
            given.addresses.contains(&ip)
                && given.at <= self.taken_in
                && given.at.duration_since(given.asked) <= TAKEN_IN_MAX
                && !self.life.stood_still_within(given.asked, given.at + UNDER_WAY)
        };
        self.given.iter().rev().find(certain).map(|given| given.at)
    }
}

fn ago(at: Instant, by: Duration) -> Instant {
    at.checked_sub(by).unwrap_or(at)
}

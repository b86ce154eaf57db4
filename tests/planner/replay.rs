//! Runs an incident: looks as a watcher looks, decides as a follower decides, and writes down what was planned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rds_tether::planner::answer::{Blind, Failure, Resolution};
use rds_tether::planner::candidate::Doubt;
use rds_tether::planner::decide::{Seen, decide};
use rds_tether::planner::endpoint::Endpoint;
use rds_tether::planner::history::{Answer, Inquiry};
use rds_tether::planner::lead::Led;
use rds_tether::planner::memory::Memory;
use rds_tether::planner::plan::{Held, Hold, Plan, Reason};
use rds_tether::planner::target::{Listed, Target, Zone};
use rds_tether::planner::time::Timestamp;

use super::script::{EXPECTED, Event, Script, show_duration, show_moment};
use super::world::hear;

/// How long after a failed look the next one is.
const RETRY: Duration = Duration::from_secs(5);

/// The script again, with what the planner plans after each line.
pub fn replay(text: &str) -> String {
    let script = Script::read(text);
    let mut processes: Vec<Process> = script
        .processes
        .iter()
        .map(|name| Process::new(name, &script))
        .collect();
    let mut output: Vec<String> = Vec::new();
    let mut copied = 0;
    for moment in &script.moments {
        let upcoming = |processes: &[Process]| processes.iter().filter_map(Process::next_look).min();
        while let Some(at) = upcoming(&processes).filter(|at| *at < moment.at) {
            for process in processes.iter_mut().filter(|process| process.next_look() == Some(at)) {
                process.look(at);
                output.extend(process.step(&script, at, script.show_changes_only));
            }
        }
        output.extend(script.lines[copied..moment.lines_before].iter().cloned());
        copied = moment.lines_before;
        for process in &mut processes {
            let name = process.name.clone();
            for (who, event) in &moment.events {
                if who.as_ref().is_none_or(|who| *who == name) {
                    process.meet(event.clone(), moment.at);
                }
            }
            process.look(moment.at);
            output.extend(process.step(&script, moment.at, false));
        }
    }
    output.extend(script.lines[copied..].iter().cloned());
    output.join("\n") + "\n"
}

struct Process {
    name: String,
    memory: Memory,
    watchers: BTreeMap<Endpoint, Watcher>,
    group: Result<BTreeMap<Target, Listed>, String>,
    led: BTreeMap<Endpoint, Led>,
    probed: BTreeMap<Target, Result<(), Doubt>>,
    is_asleep: bool,
    shown: Option<Plan>,
}

/// What one process knows of one endpoint.
struct Watcher {
    dns: Result<Vec<Resolution>, Failure>,
    turn: usize,
    sight: Result<Answer, Blind>,
    inquiry: Inquiry,
    next: Option<Timestamp>,
}

impl Process {
    fn new(name: &str, script: &Script) -> Self {
        let watcher = || Watcher {
            dns: Err(Failure::TimedOut),
            turn: 0,
            sight: Err(Blind::NotYet),
            inquiry: Inquiry::default(),
            next: None,
        };
        Self {
            name: name.to_owned(),
            memory: Memory::default(),
            watchers: script
                .endpoints
                .iter()
                .map(|(_, endpoint)| (endpoint.clone(), watcher()))
                .collect(),
            group: Err("not looked at yet".to_owned()),
            led: BTreeMap::new(),
            probed: BTreeMap::new(),
            is_asleep: false,
            shown: None,
        }
    }

    fn next_look(&self) -> Option<Timestamp> {
        self.watchers
            .values()
            .filter_map(|watcher| watcher.next)
            .min()
            .filter(|_| !self.is_asleep)
    }

    fn meet(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Answers(endpoint, answers) => self.dns_says(&endpoint, Ok(answers), now),
            Event::Fails(endpoint, failure) => self.dns_says(&endpoint, Err(failure), now),
            Event::Led(endpoint, Some(led)) => {
                self.led.insert(endpoint, led);
            }
            Event::Led(endpoint, None) => {
                self.led.remove(&endpoint);
            }
            Event::Listing(group) => self.group = group,
            Event::Recall(last_look, clocks) => self.memory = Memory::recall(last_look, clocks),
            Event::Restart => {
                self.memory = Memory::default();
                self.probed.clear();
                self.led.clear();
                for watcher in self.watchers.values_mut() {
                    watcher.sight = Err(Blind::NotYet);
                    watcher.inquiry = Inquiry::default();
                    watcher.next = watcher.next.and(Some(now));
                }
            }
            Event::Asleep => self.is_asleep = true,
            Event::Awake => self.is_asleep = false,
            Event::Look => {}
            Event::Removed(target) => self.memory.removed(target),
            Event::Registered(target) => self.memory.registered(target, now),
            Event::Shows(target, shown) => {
                self.probed.insert(target, shown);
            }
        }
    }

    fn dns_says(&mut self, endpoint: &Endpoint, dns: Result<Vec<Resolution>, Failure>, now: Timestamp) {
        if let Some(watcher) = self.watchers.get_mut(endpoint) {
            watcher.dns = dns;
            watcher.turn = 0;
            watcher.next = Some(now);
        }
    }

    /// Looks at every endpoint whose time has come.
    fn look(&mut self, now: Timestamp) {
        if !self.is_asleep {
            for (endpoint, watcher) in self
                .watchers
                .iter_mut()
                .filter(|(_, watcher)| watcher.next.is_some_and(|next| next <= now))
            {
                watcher.look(endpoint.host(), now);
            }
        }
    }

    /// Decides, and tells the plan if it differs from the one told last.
    fn step(&mut self, script: &Script, now: Timestamp, changes_only: bool) -> Vec<String> {
        let endpoints = self
            .watchers
            .iter()
            .map(|(endpoint, watcher)| (endpoint.clone(), watcher.sight.clone()));
        let endpoints: BTreeMap<_, _> = endpoints.collect();
        let seen = Seen {
            family: script.family,
            endpoints: (endpoints.iter())
                .map(|(endpoint, answer)| (endpoint, answer.as_ref()))
                .collect(),
            led: self.led.iter().map(|(endpoint, led)| (endpoint, led.clone())).collect(),
            probed: &self.probed,
            group: self.group.as_ref().map_err(Clone::clone),
            listed: now,
        };
        let decision = decide(&script.policy, std::mem::take(&mut self.memory), &seen, now);
        self.memory = decision.memory;
        let plan = decision.plan;
        let differs = self
            .shown
            .as_ref()
            .is_none_or(|shown| gist(shown, changes_only) != gist(&plan, changes_only));
        if !differs {
            return Vec::new();
        }
        let mut lines = vec![
            format!("{EXPECTED} {} {}", show_moment(now), self.name)
                .trim_end()
                .to_owned(),
        ];
        lines.extend(show(&plan, now).iter().map(|line| format!("{EXPECTED}   {line}")));
        self.shown = Some(plan);
        lines
    }
}

impl Watcher {
    fn look(&mut self, host: &str, now: Timestamp) {
        match &self.dns {
            Ok(answers) => {
                let answer = answers[self.turn % answers.len()].clone();
                self.turn += 1;
                self.next = Some(now + answer.ttl);
                self.sight = hear(&mut self.inquiry, host, &answer, now);
            }
            Err(failure) => {
                let server = SocketAddr::from(([10, 0, 0, 2], 53));
                self.sight = Err(Blind::NoAddress(BTreeMap::from([(server, failure.clone())])));
                self.next = Some(now + RETRY);
            }
        }
    }
}

/// What makes one plan differ from another, apart from the counting of seconds and answers.
fn gist(plan: &Plan, changes_only: bool) -> impl PartialEq + use<> {
    let writes = (plan.register.clone(), plan.deregister.clone());
    let verdicts = (
        plan.role.to_string(),
        plan.settled,
        plan.is_pending(),
        plan.notes.clone(),
    );
    let counts =
        |hold: &&Hold| changes_only && matches!(hold.reason, Reason::Forgetting { .. } | Reason::FewAnswers { .. });
    let holds = plan
        .holds
        .iter()
        .filter(|hold| !counts(hold))
        .map(|hold| match hold.reason {
            Reason::Forgetting { forget, .. } => {
                (hold.what.clone(), format!("forget {}", forget.as_secs()), hold.until)
            }
            Reason::FewAnswers { needed, .. } => (hold.what.clone(), format!("answers {needed}"), None),
            _ => (hold.what.clone(), hold.reason.to_string(), hold.until),
        });
    (writes, verdicts, holds.collect::<Vec<_>>())
}

fn show(plan: &Plan, now: Timestamp) -> Vec<String> {
    let write = |(verb, (target, zone)): (&str, (&Target, &Zone))| {
        let zone = zone.as_ref().map(|zone| format!(" in {zone}")).unwrap_or_default();
        format!("{verb} {target}{zone}")
    };
    let registrations = plan.register.iter().map(|entry| ("register", entry));
    let removals = plan.deregister.iter().map(|entry| ("deregister", entry));
    let mut lines: Vec<String> = registrations.chain(removals).map(write).collect();
    let holds = plan.holds.iter().map(|hold| {
        let until = hold.until.map(|until| {
            format!(
                " [until {}, in {}]",
                show_moment(until),
                show_duration(until.since(now))
            )
        });
        format!("hold {} {}{}", hold.what, hold.reason, until.unwrap_or_default())
    });
    lines.extend(holds);
    lines.extend(plan.notes.iter().map(|note| format!("note {note}")));
    let settled = if plan.settled { "settled" } else { "unsettled" };
    let pending = if plan.is_pending() { ", changes pending" } else { "" };
    lines.push(format!("{}, {settled}{pending}", plan.role));
    assert_sound(plan);
    lines
}

/// What no plan may say, whatever the story.
fn assert_sound(plan: &Plan) {
    let held: BTreeSet<&Target> = plan
        .holds
        .iter()
        .filter_map(|hold| {
            if let Held::Target(target) = &hold.what {
                Some(target)
            } else {
                None
            }
        })
        .collect();
    for target in plan.register.keys().chain(plan.deregister.keys()) {
        assert!(!held.contains(target), "{target} is both held and changed: {plan:?}");
    }
}

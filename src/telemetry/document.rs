//! The document: where everything stands. `/status` serves it, `status`, `plan` and `sync` print it as JSON, and whatever is
//! drawn for people is drawn from it. The JSON only grows: keys are added, none goes away or changes its meaning. A reader
//! takes the document of an older or newer process: what is missing has its default, what it does not know is left out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::aws::elb;
use crate::exit::Exit;
use crate::follow::report::Report;
use crate::lead::standing::Standing;
use crate::planner::endpoint::Endpoint;
use crate::planner::plan::{Class, Hold};
use crate::planner::protocol::carries;
use crate::planner::serving::Nothing;
use crate::planner::taken::Taken;
use crate::planner::target;
use crate::planner::time::Timestamp;
use crate::proxy::health::View;
use crate::proxy::{self, Tally};
pub use crate::telemetry::members::Lead;
pub use crate::telemetry::places::{Mistagged, Place, Unseen};
use crate::telemetry::rules::{self, Rules};
pub use crate::telemetry::shown::Text;
use crate::telemetry::shown::texts;
pub use crate::telemetry::sighted::{Said, Sighted};
pub use crate::telemetry::source::{Process, Refused, Source};
use crate::telemetry::verdict::{self, Dns};
use crate::text::{self, join};

/// The name of the JSON's shape; the number would change if something went away.
pub const SCHEMA: &str = "rds-tether/1";

/// Where everything stands. Which of the optional parts are there depends on who made it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: Text,
    /// The verb that made it: `status`, `plan`, `sync` or `lambda`.
    pub verb: Text,
    /// The exit code of the verb.
    pub exit_code: u8,
    /// Whether every target group equals DNS; of `status`, whether every proxy is of use and every group serves, too.
    pub settled: bool,
    /// The target groups that have been looked at.
    pub target_groups: Vec<Group>,
    /// ARNs of target groups that a process follows but has not looked at yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_looked_at_yet: Option<Vec<Text>>,
    /// The version of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
    /// When the process started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When the document was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxies: Option<Vec<Proxy>>,
    /// Where target groups are looked for by their tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discover: Vec<Place>,
    /// What the members of databases say, by endpoint, where they are asked who the writer is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leads: Vec<Lead>,
    /// The last changes that a process has seen, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
    /// By which rules the process looks at DNS, as its settings have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Rules>,
    /// Newer settings that the process was told to take and did not, if it goes on with older ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings_refused: Option<Refused>,
    /// Where `status` has it from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// Where one target group stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// Its ARN.
    pub arn: Text,
    /// Its name.
    pub name: Text,
    /// The time that was decided at.
    pub at: Option<Timestamp>,
    /// When its targets were last listed.
    pub listed: Option<Timestamp>,
    /// The role that is followed.
    pub role: Text,
    /// `ipv4` or `ipv6`, once the group has been described, as is what follows.
    pub family: Option<Text>,
    /// The protocol of its targets.
    pub protocol: Option<Text>,
    /// The port for targets that are registered without one.
    pub port: Option<u16>,
    /// Its VPC.
    pub vpc: Option<Text>,
    /// Whether it equals DNS.
    pub settled: bool,
    /// Whether anything is to be changed, now or after waiting.
    pub pending: bool,
    /// Whether the plan was carried out.
    pub applied: bool,
    /// Whether it is only looked at: nothing is ever written.
    pub observe: bool,
    /// By which rules it is followed, as the settings have them; null of an older process.
    pub rules: Option<Rules>,
    /// One phrase on where it stands.
    pub verdict: Text,
    /// Its endpoints, with the answers of DNS.
    pub endpoints: Vec<Sighted>,
    /// Its targets; null if they could not be listed.
    pub targets: Option<Vec<Target>>,
    /// Targets to register.
    pub register: Vec<Text>,
    /// Targets to deregister.
    pub deregister: Vec<Text>,
    /// Targets that were registered.
    pub registered: Vec<Text>,
    /// Targets that were deregistered.
    pub deregistered: Vec<Text>,
    /// Changes that are deliberately not made.
    pub holds: Vec<Held>,
    /// Remarks for an operator.
    pub notes: Vec<Text>,
    /// Calls of AWS that failed.
    pub errors: Vec<Failed>,
    /// What somebody else has removed lately although DNS names it.
    pub removed_by_others: Option<RemovedByOthers>,
    /// The targets that ought to take connections, if none of them does.
    pub nothing_serves: Option<NothingServes>,
    /// Since when each report of the process has been settled.
    pub in_sync_since: Option<Timestamp>,
    /// Whether somebody should look: a call failed, or something is held that ought not to be.
    pub is_trouble: bool,
}

/// A target as it was listed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Its address and port.
    pub target: Text,
    /// Its zone.
    pub zone: Option<Text>,
    /// Its state, in ELB's words.
    pub state: Text,
    /// ELB's reason for the state.
    pub reason: Option<Text>,
    /// Whether DNS names it; false where that is not known now.
    pub named: bool,
    /// The same in a word: `named`, `not_named`, or while its endpoint cannot be resolved `unknown`.
    pub dns: Text,
    /// Whether the latest answer named it, while it is not known whether DNS does now.
    pub last_named: Option<bool>,
}

/// The targets of a group that ought to take connections, none of which does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NothingServes {
    /// `unhealthy` or `unused`.
    pub reason: Text,
    /// The targets.
    pub targets: Vec<Text>,
    /// The whole of it for people, with what to do.
    pub text: Text,
    /// Since when the process has seen it.
    pub since: Option<Timestamp>,
}

impl NothingServes {
    fn of(nothing: &Nothing) -> Self {
        Self {
            reason: Text::of(nothing.because.name()),
            targets: texts(nothing.targets.keys()),
            text: Text::of(format_args!("{nothing}: {}", nothing.because.remedy())),
            since: None,
        }
    }
}

/// What somebody else has removed lately although DNS names it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovedByOthers {
    /// The targets.
    pub targets: Vec<Text>,
    /// How often the one of them was removed that was removed most often.
    pub times: u32,
    /// When the first was missed.
    pub since: Option<Timestamp>,
    /// When the latest was.
    pub last: Option<Timestamp>,
}

impl RemovedByOthers {
    fn of(taken: &Taken) -> Self {
        Self {
            targets: texts(taken.times.keys()),
            times: taken.most().map_or(0, |(_, times)| times),
            since: Some(taken.since),
            last: Some(taken.last),
        }
    }
}

/// A change that is deliberately not made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// The target, the endpoint or the group that is left alone.
    pub what: Text,
    /// The name of the reason.
    pub reason: Text,
    /// The whole of it for people.
    pub text: Text,
    /// When it can end by itself, at the earliest.
    pub until: Option<Timestamp>,
    /// Whether something else in the document says it already, such as the error of a failed call.
    pub told_elsewhere: bool,
    /// Whether somebody should look.
    pub is_trouble: bool,
}

/// A call of AWS that failed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Failed {
    /// The name of the call.
    pub action: Text,
    /// AWS's code for the failure.
    pub code: Text,
    /// The whole of it for people.
    pub text: Text,
}

/// Where one proxy stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Proxy {
    /// Where it listens.
    pub listen: Text,
    /// The endpoint that it follows.
    pub endpoint: Text,
    /// The addresses that clients are connected to.
    pub addresses: Vec<Text>,
    /// Whether it wants clients; null if only its own process knows.
    pub ready: Option<bool>,
    /// Why it is ready or not.
    pub why: Text,
    /// By which rules it serves, as the settings have them; null if only its own process knows.
    pub rules: Option<Rules>,
    /// Connections and bytes so far; null if only its own process knows.
    pub counts: Option<Tally>,
}

/// Something that has changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// When.
    pub at: Option<Timestamp>,
    /// The name of the target group or of the proxy.
    pub subject: Text,
    /// The change, for people.
    pub text: Text,
}

impl Document {
    /// A document of these target groups alone.
    pub fn of<'a>(verb: &str, reports: impl IntoIterator<Item = &'a Report>, exit: Exit) -> Self {
        let reports: Vec<&Report> = reports.into_iter().collect();
        let target_groups: Vec<Group> = reports.iter().map(|report| Group::of(report)).collect();
        let leads = reports.iter().flat_map(|report| report.standings());
        let leads: BTreeMap<Endpoint, Standing> = leads.map(|lead| (lead.endpoint.clone(), lead)).collect();
        Self {
            leads: leads.values().map(Lead::of).collect(),
            schema: Text::of(SCHEMA),
            verb: Text::of(verb),
            exit_code: exit as u8,
            settled: target_groups.iter().all(|group| group.settled),
            target_groups,
            ..Self::default()
        }
    }

    /// Takes what it says of groups and proxies together: settled are groups that equal DNS and are not known to serve
    /// nothing, and proxies that are not known to be of no use.
    pub fn judge(&mut self) {
        let mut proxies = self.proxies.iter().flatten();
        self.settled = self.target_groups.iter().all(Group::is_well)
            && self.not_looked_at_yet.iter().flatten().next().is_none()
            && self.discover.iter().all(|place| place.tagged.is_some())
            && proxies.all(|proxy| proxy.ready != Some(false));
        self.exit_code = self.exit() as u8;
    }

    /// The exit code of `status`.
    pub fn exit(&self) -> Exit {
        let source = self.source.as_ref();
        match source.and_then(|source| source.process) {
            Some(Process::NoAnswer | Process::NotAsked) => Exit::Unavailable,
            None if self.settled && self.settings_refused.is_none() && self.discover.iter().all(Place::is_well) => {
                Exit::Settled
            }
            Some(Process::Elsewhere) | None => Exit::Pending,
        }
    }

    /// As JSON on many lines, without the end of the last.
    pub fn json(&self) -> String {
        text::shown_lines(&serde_json::to_string_pretty(self).unwrap_or_default())
    }

    /// As JSON on one line, without its end.
    pub fn json_line(&self) -> String {
        text::shown_lines(&serde_json::to_string(self).unwrap_or_default())
    }

    /// How long ago something was when the document was made, for people.
    pub fn ago(&self, then: Option<Timestamp>) -> String {
        let lasts = self.at.zip(then).map(|(at, then)| at.since(then));
        text::span(lasts.unwrap_or_default())
    }
}

impl Group {
    fn of(report: &Report) -> Self {
        let plan = &report.plan;
        let dns = Dns::of(report);
        let target = |(target, listed): (&target::Target, &target::Listed)| Target {
            target: Text::of(target),
            zone: listed.zone.as_ref().map(Text::of),
            state: Text::of(listed.state.as_str()),
            reason: listed.reason.as_ref().map(Text::of),
            named: dns.names(target),
            dns: Text::of(dns.word(target)),
            last_named: dns.last_named(target),
        };
        let hold = |hold: &Hold| Held {
            what: Text::of(&hold.what),
            reason: Text::of(hold.reason.name()),
            text: Text::of(text::hold(hold, report.at)),
            until: hold.until,
            told_elsewhere: hold.reason.class() == Class::ToldElsewhere,
            is_trouble: hold.reason.class().is_trouble(),
        };
        let error = |error: &elb::Error| Failed {
            action: Text::of(error.failure.action),
            code: Text::of(&error.failure.code),
            text: Text::of(error),
        };
        let targets = report.targets.as_ref().ok();
        let group = report.group.as_ref();
        Self {
            arn: Text::of(&report.binding.arn),
            name: Text::of(report.binding.arn.name()),
            at: Some(report.at),
            listed: report.listed,
            role: Text::of(plan.role),
            family: group.map(|group| Text::of(group.family)),
            protocol: group.map(|group| Text::of(&group.protocol)),
            port: group.map(|group| group.port),
            vpc: group.map(|group| Text::of(&group.vpc)),
            settled: plan.settled,
            pending: plan.is_pending(),
            applied: report.applied,
            observe: report.binding.observe,
            rules: Some(rules::of_binding(&report.binding)),
            verdict: Text::of(verdict::of(report)),
            endpoints: report
                .sights
                .iter()
                .map(|(name, sight)| Sighted::of(name, sight))
                .collect(),
            targets: targets.map(|targets| targets.iter().map(target).collect()),
            register: texts(plan.register.keys()),
            deregister: texts(plan.deregister.keys()),
            registered: texts(&report.registered.done),
            deregistered: texts(&report.deregistered.done),
            holds: report.holds().iter().map(hold).collect(),
            notes: texts(&plan.notes),
            errors: report.errors().map(error).collect(),
            removed_by_others: plan.taken.as_ref().map(RemovedByOthers::of),
            nothing_serves: plan.serving.nothing().map(NothingServes::of),
            in_sync_since: None,
            is_trouble: report.trouble().is_some()
                || report.holds().iter().any(|hold| hold.reason.class().is_trouble()),
        }
    }

    /// The region that it is in, as its ARN has it.
    pub fn region(&self) -> Option<&str> {
        self.arn.0.split(':').nth(3).filter(|region| !region.is_empty())
    }

    /// Its verdict where that stands above what it is about.
    pub fn heading(&self) -> Text {
        Text(self.verdict.0.replace(": see above", ""))
    }

    /// Whether it equals DNS, can carry a database, and is not known to serve nobody.
    pub fn is_well(&self) -> bool {
        let fits = |protocol: &Text| carries(&protocol.0).is_ok();
        self.settled && self.nothing_serves.is_none() && self.protocol.as_ref().is_none_or(fits)
    }

    /// What somebody else has removed lately, for people.
    pub fn removed_text(&self, document: &Document) -> Option<String> {
        let removed = self.removed_by_others.as_ref()?;
        let times = match removed.times {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        };
        let (targets, last) = (join(&removed.targets), document.ago(removed.last));
        let since = document.ago(removed.since);
        Some(format!("{targets}, {times} since {since} ago, last {last} ago"))
    }

    /// The holds that nothing else in the document tells.
    pub fn telling_holds(&self) -> impl Iterator<Item = &Held> {
        self.holds.iter().filter(|hold| !hold.told_elsewhere)
    }
}

impl Target {
    /// Whether DNS names it, for people.
    pub fn named_by_dns(&self) -> &'static str {
        match (self.dns == *verdict::UNKNOWN, self.last_named) {
            (false, _) if self.named => "names it",
            (false, _) => "does not name it",
            (true, Some(true)) => "not known now, last named it",
            (true, Some(false)) => "not known now, last did not name it",
            (true, None) => "not known now",
        }
    }

    /// ELB's reason in brackets; empty if there is none.
    pub fn reason_in_brackets(&self) -> String {
        let reason = self.reason.as_ref();
        reason.map_or_else(String::new, |reason| format!(" ({reason})"))
    }
}

impl Proxy {
    /// A proxy of this process.
    pub fn of(view: &View) -> Self {
        let ready = view.ready();
        Self {
            listen: Text::of(view.address()),
            endpoint: Text::of(view.endpoint()),
            addresses: texts(view.addresses()),
            ready: Some(ready.is_ok()),
            why: Text(ready.unwrap_or_else(|why| why)),
            rules: Some(rules::of_proxy(&view.settings())),
            counts: Some(view.tally()),
        }
    }

    /// A proxy of another process, of which no more is known than the addresses of its name, or why it has none.
    pub fn from_outside(proxy: &proxy::Proxy, seen: Result<Vec<IpAddr>, String>) -> Self {
        Self {
            listen: Text::of(proxy.listen),
            endpoint: Text::of(&proxy.endpoint),
            ready: seen.is_err().then_some(false),
            why: match &seen {
                Ok(_) => Text::of("only its own process knows"),
                Err(blind) => Text::of(format!("the name cannot be resolved: {blind}")),
            },
            addresses: texts(seen.unwrap_or_default()),
            rules: None,
            counts: None,
        }
    }
}

//! Where a binding stands, in a phrase, and what DNS says of its targets: what is known, what is not known now, and what was known last.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::follow::report::Report;
use crate::planner::answer::Blind;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::plan::{Class, Held, Reason};
use crate::planner::serving::Nothing;
use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::telemetry::document::{Text, texts};
use crate::text::join;

/// The word for a target of which DNS does not tell now.
pub const UNKNOWN: &str = "unknown";

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
    pub(super) fn of(nothing: &Nothing) -> Self {
        Self {
            reason: Text::of(nothing.because.name()),
            targets: texts(nothing.targets.keys()),
            text: Text::of(format_args!("{nothing}: {}", nothing.because.remedy())),
            since: None,
        }
    }
}

/// One phrase on where a binding stands. It never calls a group well that serves nobody.
pub fn of(report: &Report) -> String {
    let verdict = about_dns(report);
    match report.plan.serving.nothing() {
        Some(nothing) if report.is_settled() => format!("{verdict}, but {nothing}"),
        Some(nothing) => format!("{verdict}; {nothing}"),
        None => verdict,
    }
}

/// How the group stands to DNS.
fn about_dns(report: &Report) -> String {
    let trouble = match report.trouble() {
        Some(Exit::Refused) => "refused: see above".into(),
        Some(Exit::Denied) => "denied by AWS: see above".into(),
        Some(Exit::Settings) => "not a usable target group: see above".into(),
        Some(Exit::Unavailable) => unavailable(report),
        Some(_) => "failed: see above".into(),
        None if report.is_settled() => return "settled: the group equals DNS".into(),
        None if report.plan.is_pending() => return "changes are pending".into(),
        None if report.plan.role == Role::Reader => {
            return "nothing to change now: members missing from one answer may still be there".into();
        }
        None => return "not settled: see what is held".into(),
    };
    let changed = !report.registered.done.is_empty() || !report.deregistered.done.is_empty();
    format!("{trouble}{}", if changed { "" } else { "; nothing was changed" })
}

/// Which of the two is not available, and the likely cause.
fn unavailable(report: &Report) -> String {
    let unresolved = report
        .plan
        .holds
        .iter()
        .filter_map(|hold| match (&hold.what, &hold.reason) {
            (Held::Endpoint(endpoint), Reason::Blind(blind)) if hold.reason.class() == Class::Unresolved => {
                Some((endpoint, blind))
            }
            _ => None,
        });
    let unresolved: Vec<(&Endpoint, &Blind)> = unresolved.collect();
    let is_aws = report
        .errors()
        .any(|error| error.failure.kind.exit() == Exit::Unavailable);
    let (Some((endpoint, blind)), is_alone) = (unresolved.first(), unresolved.len() == 1) else {
        return "AWS is not available: see above".into();
    };
    let dns = if is_alone {
        match blind.likely() {
            Some(likely) => format!("DNS: {} {likely}", endpoint.host()),
            None => format!("DNS: {} cannot be resolved: see above", endpoint.host()),
        }
    } else {
        let names = unresolved.iter().map(|(endpoint, _)| endpoint.host());
        format!("DNS: {} cannot be resolved: see above", join(names))
    };
    if is_aws {
        format!("{dns}; and AWS is not available: see above")
    } else {
        dns
    }
}

/// What is known of the names that a group follows.
pub(super) struct Dns<'a> {
    report: &'a Report,
    blind: BTreeSet<&'a Endpoint>,
    named: BTreeSet<Target>,
}

impl<'a> Dns<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        let blind = report
            .plan
            .holds
            .iter()
            .filter_map(|hold| match (&hold.what, &hold.reason) {
                // Of an answer that is refused it is known what it says.
                (Held::Endpoint(_), Reason::Blind(Blind::AllRefused(_))) => None,
                (Held::Endpoint(endpoint), Reason::Blind(_)) => Some(endpoint),
                _ => None,
            });
        let blind: BTreeSet<&Endpoint> = blind.collect();
        let seeing = report.sights.iter().filter(|(endpoint, _)| !blind.contains(endpoint));
        let named = seeing.flat_map(|(endpoint, sight)| {
            let addresses = sight.seen.iter().flat_map(|answer| answer.resolution.addresses());
            addresses.map(|ip| Target {
                ip: *ip,
                port: endpoint.port(),
            })
        });
        Self {
            report,
            named: named.collect(),
            blind,
        }
    }

    /// Whether DNS names the target now, as far as is known.
    pub(super) fn names(&self, target: &Target) -> bool {
        self.named.contains(target)
    }

    /// The same in a word.
    pub(super) fn word(&self, target: &Target) -> &'static str {
        match (self.names(target), self.could_name(target).next()) {
            (true, _) => "named",
            (false, None) => "not_named",
            (false, Some(_)) => UNKNOWN,
        }
    }

    /// Whether the latest answers named the target, while it is not known what they would say now.
    pub(super) fn last_named(&self, target: &Target) -> Option<bool> {
        if self.word(target) != UNKNOWN {
            return None;
        }
        let last = self.could_name(target).map(|endpoint| {
            let sight = self.report.sights.get(endpoint)?;
            Some(sight.last.as_ref()?.contains(&target.ip))
        });
        let last: Vec<Option<bool>> = last.collect();
        let is_named = last.contains(&Some(true));
        (is_named || !last.contains(&None)).then_some(is_named)
    }

    /// The endpoints that are not resolved, and might name the target.
    fn could_name(&self, target: &Target) -> impl Iterator<Item = &'a Endpoint> {
        let port = target.port;
        self.blind
            .iter()
            .copied()
            .filter(move |endpoint| endpoint.port() == port)
    }
}

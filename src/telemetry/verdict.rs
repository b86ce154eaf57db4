//! Where a binding stands, in a phrase, and what DNS says of its targets: what is known, what is not known now, and what was known last.

use std::collections::BTreeSet;

use crate::exit::Exit;
use crate::follow::report::Report;
use crate::planner::answer::Blind;
use crate::planner::endpoint::Endpoint;
use crate::planner::plan::{Class, Held, Reason};
use crate::planner::target::Target;
use crate::text::join;

/// The word for a target of which DNS does not tell now.
pub const UNKNOWN: &str = "unknown";

/// One phrase on where a binding stands. It never calls a group well that serves nobody.
pub fn of(report: &Report) -> String {
    let mut verdict = about_dns(report);
    if let Some(limit) = report.late.filter(|_| !report.is_settled()) {
        verdict += &format!("; the time of {limit} was over");
    }
    let verdict = match report.plan.serving.nothing() {
        Some(nothing) if report.is_settled() => format!("{verdict}, but {nothing}"),
        Some(nothing) => format!("{verdict}; {nothing}"),
        None => verdict,
    };
    let observed = if report.binding.observe {
        "; only observed: nothing is written"
    } else {
        ""
    };
    verdict + observed
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
        None if report.is_at_rest() => {
            return "nothing to change now: members missing from one answer may still be there".into();
        }
        None => return "not settled: see what is held".into(),
    };
    let changed = match (report.may_have_written(), report.has_written()) {
        (true, _) => "; a change may have been made: run plan to see",
        (false, true) => "",
        (false, false) => "; nothing was changed",
    };
    trouble + changed
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
    let mut failures = report.errors().map(|error| &error.failure);
    let is_aws = failures.any(|failure| failure.kind.exit() == Exit::Unavailable && !failure.is_of_first_look());
    let (Some((endpoint, blind)), is_alone) = (unresolved.first(), unresolved.len() == 1) else {
        return match is_aws {
            true => "AWS is not available: see above".into(),
            false => "nothing is known yet".into(),
        };
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
            Some(sight.latest()?.resolution.addresses().contains(&target.ip))
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

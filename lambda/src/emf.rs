//! Metrics as lines of CloudWatch's embedded metric format: no call, no permission, no cost of time.

use std::io::Write as _;

use rds_tether::aws::elb::Error;
use rds_tether::aws::failure::Kind;
use rds_tether::follow::report::Report;
use rds_tether::planner::answer::Blind;
use rds_tether::planner::plan::{Hold, Reason};
use rds_tether::planner::target::State;
use rds_tether::planner::time::Timestamp;
use serde_json::{Value, json};

/// The namespace; those that begin with AWS/ are reserved.
const NAMESPACE: &str = "RdsTether";

/// What one invocation measured of one target group.
pub struct Measured<'a> {
    /// Its last report.
    pub report: &'a Report,
    /// Addresses that were registered.
    pub address_changes: usize,
    /// Steps with an error.
    pub errors: usize,
    /// How long a change took, if one ended.
    pub convergence_secs: Option<f64>,
}

/// Writes the metrics of one target group to standard output.
pub fn write(measured: &Measured, now: Timestamp, request_id: &str) {
    // A closed standard output leaves nobody to tell.
    let _ = writeln!(std::io::stdout(), "{}", line(measured, now, request_id));
}

/// Reasons for which an address that DNS names is not let into the group.
const REFUSED: [&str; 5] = ["refused", "rejected", "no_room", "unproven", "impostor"];

/// Changes that are not made for one of these reasons.
fn held_for(report: &Report, reasons: &[&str]) -> usize {
    let holds = report.holds();
    holds
        .iter()
        .filter(|hold| reasons.contains(&hold.reason.name()))
        .count()
}

/// Endpoints of which nothing is known. One whose every address is refused has been resolved.
fn unresolved(report: &Report) -> usize {
    let is_unresolved = |hold: &&Hold| match &hold.reason {
        Reason::Blind(blind) => !matches!(blind, Blind::AllRefused(_)),
        reason => matches!(reason, Reason::NoQuorum),
    };
    report.holds().iter().filter(is_unresolved).count()
}

fn denials(report: &Report) -> usize {
    let is_denial = |error: &&Error| matches!(error.failure.kind, Kind::Denied | Kind::Credentials | Kind::AssumeRole);
    report.errors().filter(is_denial).count()
}

fn line(measured: &Measured, now: Timestamp, request_id: &str) -> Value {
    let report = measured.report;
    let mut metrics = vec![
        ("InSync", "Count", json!(u8::from(report.is_settled()))),
        ("AddressChanges", "Count", json!(measured.address_changes)),
        ("Holds", "Count", json!(report.holds().len())),
        ("ReconcileErrors", "Count", json!(measured.errors)),
        ("Refused", "Count", json!(held_for(report, &REFUSED))),
        ("Denied", "Count", json!(denials(report))),
        ("Unresolved", "Count", json!(unresolved(report))),
    ];
    if let Ok(targets) = &report.targets {
        let healthy = targets.values().filter(|target| target.state == State::Healthy).count();
        metrics.push(("HealthyTargets", "Count", json!(healthy)));
    }
    if let Some(secs) = measured.convergence_secs {
        metrics.push(("ConvergenceSeconds", "Seconds", json!(secs)));
    }
    let directives: Vec<Value> = metrics
        .iter()
        .map(|(name, unit, _)| json!({ "Name": name, "Unit": unit }))
        .collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": now.as_millis(),
            "CloudWatchMetrics": [
                { "Namespace": NAMESPACE, "Dimensions": [["TargetGroup"]], "Metrics": directives }
            ],
        },
        "TargetGroup": report.binding.arn.name(),
        "RequestId": request_id,
    });
    for (name, _, value) in metrics {
        line[name] = value;
    }
    line
}

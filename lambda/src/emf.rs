//! Metrics as lines of CloudWatch's embedded metric format: no call, no permission, no cost of time.

use std::io::Write as _;

use rds_tether::aws::elb::Error;
use rds_tether::aws::failure::Kind;
use rds_tether::follow::report::Report;
use rds_tether::planner::plan::{Class, Held, Hold};
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

/// Addresses that DNS names and that are not let into the group.
fn refused(report: &Report) -> usize {
    let is_refused = |hold: &&Hold| {
        matches!(hold.what, Held::Target(_)) && matches!(hold.reason.class(), Class::Refused | Class::Unproven)
    };
    report.holds().iter().filter(is_refused).count()
}

/// Endpoints of which nothing is known, and addresses on which name servers differ.
fn unresolved(report: &Report) -> usize {
    let is_unresolved = |hold: &&Hold| matches!(hold.reason.class(), Class::Unresolved | Class::Doubtful);
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
        ("Refused", "Count", json!(refused(report))),
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
            "Timestamp": now.written(),
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

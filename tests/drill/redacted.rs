//! A report that can be sent to others.

use std::fs;

use super::*;

/// Fails if a name, an address or the account is left in what was to be without, or a figure is not in it any more.
#[test]
fn a_redacted_report_has_the_figures_and_no_names() {
    for output in ["json", "text"] {
        let mut stage = Stage::new();
        let picture = stage.scratch.path("drill.svg");
        let mut command = stage.through();
        command.args(["--redact", "--output", output, "--svg", picture.to_str().unwrap()]);
        let drill = stage.start(&mut command);
        stage.fail_over(&drill);
        let said = drill.ends(0);
        let drawn = fs::read_to_string(&picture).unwrap();
        for private in ["orders", "abc123", "127.0.0.", "111122223333", "arn:"] {
            assert!(!said.contains(private), "{private} in {said}");
            assert!(!drawn.contains(private), "{private} in {drawn}");
        }
        for kept in ["address-1", "address-2", "name-server-1", "through-1", "endpoint:"] {
            assert!(said.contains(kept), "no {kept} in {said}");
        }
        if output == "json" {
            let report: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(report["redacted"], true);
            assert_eq!(report["region"], "eu-west-1");
            assert!(lag(&report, "dns_all") >= lag(&report, "dns_first"));
            assert_eq!(
                report["command"],
                "aws rds failover-db-cluster --region eu-west-1 --db-cluster-identifier IDENTIFIER"
            );
        }
    }
}

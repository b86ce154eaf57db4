//! PostgreSQL's own load generator.

use super::site::Site;
use super::stage;
use testkit::program::succeed;

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn pgbench_meets_no_error() {
    stage::play(|stage| {
        let site = Site::new(stage);
        let pgbench = |arguments: &[&str]| succeed(site.via().program("pgbench").args(arguments));
        pgbench(&["-i", "-q"]);
        for (name, arguments) in [
            ("8 sessions", &["-c", "8", "-T", "3"][..]),
            ("8 sessions, prepared", &["-c", "8", "-T", "2", "-M", "prepared"]),
            ("a connection per transaction", &["-c", "4", "-T", "3", "-C"]),
        ] {
            let said = pgbench(arguments);
            assert!(said.contains("number of failed transactions: 0 "), "{said}");
            assert!(!said.contains("error"), "{said}");
            let tps = said.lines().find(|line| line.starts_with("tps = ")).expect("a figure");
            stage.tell(&format!("pgbench, {name}: {tps}"));
        }
        let log = site.proxy.log();
        assert!(!log.contains("accept") && !log.contains("refused"), "{log}");
        site.stop_proxy();
    });
}

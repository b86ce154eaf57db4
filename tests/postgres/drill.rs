//! A drill whose settings have `lead`: the members say themselves when the writer can be used, which is before DNS names it.

use std::fs::{self, File};

use serde_json::Value;
use testkit::dns::Behaviour;
use testkit::program::wait_until;
use testkit::world::{Daemon, WRITER};

use super::lead::{Cluster, MEMBERS, play};

/// Fails if a promotion is known only by DNS, or a connection through the proxy counts before it reaches the writer.
#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn a_promotion_is_measured_by_the_members_own_word() {
    play(|stage| {
        let mut cluster = Cluster::of_plain_postgres(stage);
        let output = stage.path("output");
        let listen = cluster.listen.to_string();
        let mut command = cluster.command("drill");
        command.args(["--steady", "2s", "--output", "json", "--through", &listen]);
        let drill = Daemon::spawn_into(&mut command, File::create(&output).expect("the folder is there"));
        drill.wait_for_log(&["trigger the failover now"]);
        let (old, new) = (MEMBERS[0].0, MEMBERS[1].0);
        drill.wait_for_log(&[&format!("member {old}: writer")]);
        drill.wait_for_log(&[&format!("member {new}: reader")]);
        drill.wait_for_log(&["through", "reaches the writer"]);

        // A log-in that is late at the beginning is no loss.
        let losses = || {
            let log = drill.log();
            let lines = log.lines();
            lines
                .filter(|line| line.contains("through") && line.contains("lost"))
                .count()
        };
        let before = losses();
        cluster.members[0].kill();
        wait_until("nobody is reached", || losses() > before);
        cluster.members[1].promote();
        drill.wait_for_log(&[&format!("member {new}: writer")]);
        // The process beside it registers what members say, ahead of DNS.
        drill.wait_for_log(&[&format!("target {new}:"), "healthy"]);
        cluster.dns.set(WRITER, Behaviour::cname(MEMBERS[1].1, 1));

        let (status, log) = drill.ended();
        let said = fs::read_to_string(&output).expect("its output");
        assert_eq!(status.code(), Some(0), "{log}\n{said}");
        let report: Value = serde_json::from_str(&said).expect("JSON");
        let marks = report["marks"].as_array().expect("a list");
        let lag = |name: &str| {
            let mark = marks.iter().find(|mark| mark["mark"] == name).expect("a mark");
            assert_eq!(mark["state"], "seen", "{mark}");
            mark["lag_ms"].as_i64().expect("a number")
        };
        let writer = marks.iter().find(|mark| mark["mark"] == "writer").expect("a mark");
        assert_eq!(
            (&writer["by"], &writer["by_which"]),
            (&"member".into(), &new.into()),
            "{writer}"
        );
        assert!(lag("writer") < lag("dns_first"), "{report}");
        assert!(lag("registered") < lag("dns_first"), "ahead of DNS: {report}");
        let lanes = report["lanes"].as_array().expect("a list");
        let through = lanes.iter().find(|lane| lane["what"] == "through").expect("a lane");
        let states = through["spans"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|span| &span["state"]);
        let reached = states.filter(|state| **state == "writer").count();
        assert!(reached >= 2, "before and after: {through}");
        stage.tell(&format!(
            "killed, promoted: writer usable after {} ms, registered after {} ms, through the proxy after {} ms",
            lag("writer"),
            lag("registered"),
            lag("through")
        ));
    });
}

//! The metrics and alerts as Prometheus' own programs see them: a linter, a test runner, and a server that scrapes.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::http::ask;
use testkit::program::{on_a_free_port, provided};

use super::site::Site;
use super::world::*;

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus");

fn promtool(arguments: &[&str], folder: &Path, input: &str) -> String {
    let mut child = Command::new(provided("RDS_TETHER_TEST_PROMTOOL"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// Fails if Prometheus' linter has anything to say about the page.
#[test]
#[ignore = "needs promtool: tests/run"]
fn the_linter_has_nothing_to_say() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    site.world.dns.set(WRITER, testkit::dns::Behaviour::a(NEW, 1));
    let page = site.wait_for("a failover has been measured", |site| {
        let page = site.get("/metrics").body;
        page.contains("phase=\"converge\"").then_some(page)
    });
    assert_eq!(promtool(&["check", "metrics"], Path::new("."), &page), "");
}

/// Fails if a rule is wrong, does not fire when it should, or fires when it should not.
#[test]
#[ignore = "needs promtool: tests/run"]
fn the_alerts_fire_when_they_should_and_only_then() {
    let rules = Path::new(RULES);
    assert_says(
        &promtool(&["check", "rules", "--lint-fatal", "alerts.yml"], rules, ""),
        &["SUCCESS"],
    );
    assert_says(
        &promtool(&["test", "rules", "alerts_test.yml"], rules, ""),
        &["SUCCESS"],
    );
}

/// Fails if a Prometheus cannot read the page, or reads something else than what is there.
#[test]
#[ignore = "needs prometheus: tests/run"]
fn a_prometheus_scrapes_the_page() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    let folder = Scratch::new();
    let config = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nrule_files: [\"{RULES}/alerts.yml\"]\n\
         scrape_configs:\n  - job_name: tether\n    static_configs: [{{ targets: [\"{}\"] }}]\n",
        site.http
    );
    let config = folder.write("prometheus.yml", &config);
    let (_program, address) = on_a_free_port(|port| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new(provided("RDS_TETHER_TEST_PROMETHEUS"));
        command
            .current_dir(folder.folder())
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path("series").display()))
            .arg(format!("--web.listen-address={address}"));
        let (program, _) = Daemon::serve(&mut command, &["Server is ready to receive web requests"]).ok()?;
        Some((program, address))
    });
    let query = |query: &str| ask(address, "GET", &format!("/api/v1/query?query={query}")).body;
    site.wait_for("it has been scraped", |_| {
        let body = query("rds_tether_in_sync");
        (body.contains("\"targetgroup/orders/") && body.contains(",\"1\"]")).then_some(())
    });
    let samples = query("count(%7B__name__=~%22rds_tether_.%2B%22%7D)");
    assert_says(&samples, &["\"success\"", "\"value\":["]);
    let metadata = ask(address, "GET", "/api/v1/targets").body;
    assert_says(&metadata, &["\"health\":\"up\"", "\"lastError\":\"\""]);
    let rules = ask(address, "GET", "/api/v1/rules").body;
    assert!(
        rules.contains("RdsTetherDrift") && !rules.contains("\"lastError\""),
        "{rules}"
    );
}

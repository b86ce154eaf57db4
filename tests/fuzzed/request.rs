//! What asks for a page.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use rds_tether::clock::Clock;
use rds_tether::telemetry::board::Board;
use rds_tether::telemetry::http::{Site, converse};
use rds_tether::telemetry::metrics::Metrics;

use super::alone::{Script, alone};

/// Ends a name that is nobody's here (RFC 2606).
const FOREIGN: &str = ".example";
/// The types of what only those may see who call this host by a name of its own.
const INNER: [&str; 2] = ["content-type: text/html", "content-type: application/json"];

static SITE: LazyLock<Arc<Site>> = LazyLock::new(|| {
    let board = Arc::new(Board::new(Clock::start()));
    let metrics = Arc::new(Metrics::new(&board));
    Arc::new(Site::new(&board, &metrics))
});

/// Whoever calls this host by another's name is not shown what only its people may see; and only GET and HEAD are answered.
pub fn check(data: &[u8]) {
    let script = Script::new(VecDeque::from([data.to_vec()]), 0);
    let told = Arc::clone(&script.told);
    alone(converse(script, Arc::clone(&SITE), Arc::default()));
    let told = told.lock().unwrap();
    let told = String::from_utf8_lossy(&told).to_ascii_lowercase();
    assert!(told.is_empty() || told.starts_with("http/1."), "{told}");
    let asked = String::from_utf8_lossy(data).to_ascii_lowercase();
    // A line may end without a return, and empty ones may stand before the first.
    let asked = asked.replace("\r\n", "\n");
    let asked = asked.trim_start();
    let (head, _) = asked.split_once("\n\n").unwrap_or((asked, ""));
    let answer = told.split("\r\n\r\n").next().unwrap_or_default();
    let is_foreign = |host: &str| host.trim().trim_end_matches('.').ends_with(FOREIGN);
    let named = head.lines().skip(1).filter_map(|line| line.strip_prefix("host:"));
    let by_target = head
        .split(' ')
        .nth(1)
        .and_then(|target| target.strip_prefix("http://")?.split('/').next());
    if named.chain(by_target).any(is_foreign) {
        assert!(!INNER.iter().any(|inner| answer.contains(inner)), "{answer}");
    }
    if answer.contains(" 200 ok") {
        assert!(asked.starts_with("get ") || asked.starts_with("head "), "{answer}");
    }
}

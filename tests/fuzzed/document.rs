//! What a process answers that `status` asks.

use rds_tether::telemetry::document::Document;
use rds_tether::telemetry::output;
use rds_tether::text::is_unseen;

/// What is printed has no character that a terminal obeys or that nobody sees, and as JSON it is the same document.
pub fn check(data: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Document>(data) else {
        return;
    };
    let printed = [output::status(&document), document.json()];
    for text in &printed {
        let is_unseen = |char: char| is_unseen(char) && char != '\n';
        assert!(!text.contains(is_unseen), "{text:?}");
    }
    let again: Document = serde_json::from_str(&printed[1]).expect("what was written");
    assert_eq!(again.json(), printed[1]);
    assert_eq!(again.exit(), document.exit());
}

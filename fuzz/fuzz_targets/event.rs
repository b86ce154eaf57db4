//! Whatever wakes the function is read without harm. Only pure modules are compiled in, so that a run is fast and what it
//! covers is the parser. From the repository's root, with the fixtures as seeds and without a sanitizer, which would find
//! nothing in code that forbids `unsafe`:
//!
//! ```text
//! mkdir -p fuzz/corpus/event
//! cargo +nightly fuzz run -s none event fuzz/corpus/event tests/events -- \
//!     -runs=10000000 -max_len=4096 -dict=fuzz/event.dict
//! ```

#![no_main]

#[path = "../../src/function/event.rs"]
mod event;
#[path = "../../tests/events/invariants.rs"]
mod invariants;
#[path = "../../src/planner"]
#[allow(dead_code, reason = "the parser needs a part of them")]
mod planner {
    pub mod endpoint;
    pub mod time;
}

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    if let Ok(payload) = serde_json::from_str::<Value>(text) {
        invariants::check(&payload);
    }
    invariants::check(&json!({ "Records": [{ "body": text }] }));
});

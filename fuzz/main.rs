//! All targets in one executable: RDS_TETHER_FUZZ names the one that libFuzzer makes bytes for.

#![no_main]

#[path = "../tests/fuzzed/mod.rs"]
mod fuzzed;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

use fuzzed::{Check, TARGETS};

static CHOSEN: LazyLock<Check> = LazyLock::new(|| {
    let name = std::env::var("RDS_TETHER_FUZZ").unwrap_or_default();
    let chosen = TARGETS.iter().find(|(target, _)| *target == name);
    let names = || TARGETS.iter().map(|(target, _)| *target).collect::<Vec<_>>().join(", ");
    chosen
        .unwrap_or_else(|| panic!("RDS_TETHER_FUZZ is none of {}", names()))
        .1
});

fuzz_target!(|data: &[u8]| CHOSEN(data));

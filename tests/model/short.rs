//! A small world, and all of it, in every test run. The large ones are the benchmark's: `cargo bench --bench model`.

use super::model::{Bounds, check, replay};

const BOUNDS: Bounds = Bounds {
    forget: 2,
    lag: Some(0),
    failovers: 0,
    is_slow: false,
    is_illegal: false,
};

#[test]
fn nothing_that_can_happen_breaks_a_rule() {
    let size = check(BOUNDS, 2).unwrap_or_else(|broken| panic!("{broken}\n{}", broken.script()));
    assert!(size.compared > 0, "{size}");
}

/// A name server that is behind for as long as `forget` lets a process remove what is true: the model can tell.
#[test]
fn name_servers_that_are_too_late_break_the_first_rule() {
    let bounds = Bounds {
        lag: Some(2),
        failovers: 1,
        ..BOUNDS
    };
    let broken = check(bounds, 2).expect_err("a way to it");
    assert!(broken.rule.starts_with("S1"), "{broken}");
    let again = replay(bounds, &broken.script()).expect("the same once more");
    assert_eq!((again.rule, again.steps()), (broken.rule, broken.steps()));
}

//! The agenda as a table: what has been, what is foreseen, and the step that comes next.

use std::collections::BTreeMap;
use std::time::Duration;

use rds_tether::aws::bucket::Urgency;
use rds_tether::follow::agenda::{Agenda, Ended, Failed, Luck, Next, Shares};
use rds_tether::planner::endpoint::Role;
use rds_tether::planner::plan::{Held, Hold, Plan, Reason};
use rds_tether::planner::serving::Serving;
use rds_tether::planner::target::Target;
use rds_tether::planner::time::Timestamp;

/// The middle of every range, and half of every back-off.
const LUCK: Luck = Luck {
    backoff: 0.5,
    verify: 0.5,
};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn target(ip: &str) -> Target {
    let ip = ip.parse().expect("an address");
    Target { ip, port: 5432 }
}

/// A plan in a few words: `+IP` registers, `-IP` deregisters, `IP@MILLIS` holds until then, `settled`.
fn plan(text: &str) -> Plan {
    let mut plan = Plan {
        role: Role::Writer,
        register: BTreeMap::new(),
        deregister: BTreeMap::new(),
        holds: Vec::new(),
        notes: Vec::new(),
        settled: false,
        taken: None,
        serving: Serving::Unknown,
    };
    for word in text.split_whitespace() {
        match (word.strip_prefix('+'), word.strip_prefix('-'), word.split_once('@')) {
            (Some(ip), ..) => {
                plan.register.insert(target(ip), None);
            }
            (_, Some(ip), _) => {
                plan.deregister.insert(target(ip), None);
            }
            (.., Some((ip, until))) => plan.holds.push(Hold {
                what: Held::Target(target(ip)),
                reason: Reason::AwaitsHealthy,
                until: Some(at(until.parse().expect("milliseconds"))),
            }),
            _ => plan.settled = word == "settled",
        }
    }
    plan
}

/// An agenda after looks at these times, each with a plan and how it ended.
fn after(looks: &[(u64, &str, &str)]) -> Agenda {
    let mut agenda = Agenda::default();
    for (millis, text, how) in looks {
        let plan = plan(text);
        let ended = Ended {
            plan: &plan,
            failed: match *how {
                "throttled" => Some(Failed::MayPass),
                "denied" => Some(Failed::ForLong),
                _ => None,
            },
            is_writing: *how == "wrote",
            is_for_change: *how == "for a change",
            is_robbed: *how == "robbed",
        };
        agenda.looked(ended, at(*millis), Shares::default(), LUCK);
    }
    agenda
}

/// The time in milliseconds and the queue; none where no look is made.
fn told(next: Next) -> Option<(u64, Urgency)> {
    match next {
        Next::Look { at, urgency } => Some((at.as_millis(), urgency)),
        Next::WithoutLook => None,
    }
}

#[test]
fn the_next_step_follows_from_the_latest_and_what_is_foreseen() {
    use Urgency::*;
    let settled = &[(100_000, "settled", "well")][..];
    let waiting = &[(100_000, "10.0.1.5@130000", "well")][..];
    let wrote = &[(100_000, "+10.0.2.7", "wrote")][..];
    let failing = &[(100_000, "+10.0.2.7", "throttled")][..];
    for (looks, foreseen, expect) in [
        (&[][..], None, Some((0, Settle))),
        // Nothing new: drift, the end of a hold, 1, 2, 4 and 8 s after a write.
        (settled, None, Some((160_000, Look))),
        (settled, Some("settled"), Some((160_000, Look))),
        (waiting, None, Some((130_000, Settle))),
        (wrote, None, Some((101_000, Settle))),
        (&[(100_000, "settled", "wrote")], None, Some((101_000, Look))),
        // Something new to write.
        (settled, Some("+10.0.2.7"), Some((0, Register))),
        (
            &[(100_000, "settled", "for a change")],
            Some("+10.0.2.7"),
            Some((101_000, Register)),
        ),
        (wrote, Some("+10.0.2.7"), Some((101_000, Settle))),
        (wrote, Some("+10.0.2.7 +10.0.3.9"), Some((0, Register))),
        (waiting, Some("-10.0.1.5"), Some((101_000, Settle))),
        (settled, Some("-10.0.1.5"), Some((101_000, Settle))),
        // Something new and nothing to write.
        (settled, Some("10.0.1.5@130000"), None),
        (waiting, Some("settled"), None),
        // The time of a hold alone is no news.
        (waiting, Some("10.0.1.5@140000"), Some((130_000, Settle))),
        // After failures: half of 0.5, 1, 2, 4, 8 and 10 s, a second apart, and no hurry in the end.
        (failing, None, Some((101_000, Register))),
        (&[(100_000, "settled", "throttled")], None, Some((101_000, Settle))),
        (&[(100_000, "settled", "denied")], None, Some((101_000, Look))),
        (&[(100_000, "settled", "throttled"); 4], None, Some((102_000, Settle))),
        (&[(100_000, "settled", "throttled"); 5], None, Some((104_000, Settle))),
        (&[(100_000, "settled", "throttled"); 6], None, Some((105_000, Look))),
        (&[(100_000, "+10.0.2.7", "throttled"); 6], None, Some((105_000, Look))),
        (&[(100_000, "settled", "throttled"); 60], None, Some((105_000, Look))),
        // A new address does not wait for a back-off that an old one earned.
        (failing, Some("+10.0.3.9"), Some((0, Register))),
        (
            &[(100_000, "", "denied"), (130_000, "settled", "well")],
            None,
            Some((190_000, Look)),
        ),
    ] {
        let plan = foreseen.map(plan);
        assert_eq!(told(after(looks).next(plan.as_ref())), expect, "{looks:?} {foreseen:?}");
    }
}

#[test]
fn looks_for_drift_are_apart_by_chance_and_by_the_share_of_the_calls() {
    let plan = plan("settled");
    for (fair_secs, verify, expect) in [
        (0, 0.0, 45_000),
        (0, 0.5, 60_000),
        (0, 1.0, 75_000),
        (520, 0.0, 390_000),
        (520, 1.0, 650_000),
    ] {
        let mut agenda = Agenda::default();
        let ended = Ended {
            plan: &plan,
            failed: None,
            is_writing: false,
            is_for_change: false,
            is_robbed: false,
        };
        let shares = Shares {
            drift: Duration::from_secs(fair_secs),
            ..Shares::default()
        };
        let luck = Luck { verify, ..LUCK };
        agenda.looked(ended, at(0), shares, luck);
        assert_eq!(
            told(agenda.next(None)),
            Some((expect, Urgency::Look)),
            "{fair_secs} {verify}"
        );
    }
}

/// While somebody else takes targets away, a look comes every few seconds, ahead of those for drift, and as rarely as the share
/// of the calls says; of the looks after a write, the first is enough.
#[test]
fn a_group_that_is_robbed_is_looked_at_again_soon() {
    for (share_secs, is_writing, expect) in [
        (0, false, (5_000, Urgency::Settle)),
        (4, false, (5_000, Urgency::Settle)),
        (9, false, (9_000, Urgency::Settle)),
        (9, true, (9_000, Urgency::Settle)),
        (7, true, (1_000, Urgency::Settle)),
        (0, true, (1_000, Urgency::Settle)),
        // Never later than the look for drift, which waits for its turn like any other.
        (520, false, (60_000, Urgency::Look)),
    ] {
        let plan = plan("settled");
        let ended = Ended {
            plan: &plan,
            failed: None,
            is_writing,
            is_for_change: false,
            is_robbed: true,
        };
        let shares = Shares {
            missing: Duration::from_secs(share_secs),
            ..Shares::default()
        };
        let mut agenda = Agenda::default();
        agenda.looked(ended, at(0), shares, LUCK);
        assert_eq!(told(agenda.next(None)), Some(expect), "{share_secs} {is_writing}");
    }
    let agenda = after(&[(0, "+10.0.1.5", "wrote"), (1_000, "settled", "robbed")]);
    assert_eq!(told(agenda.next(None)), Some((6_000, Urgency::Settle)));
}

#[test]
fn a_plan_without_a_look_is_the_one_to_compare_with_from_then_on() {
    let mut agenda = after(&[(100_000, "settled", "well")]);
    let held = plan("10.0.1.5@130000");
    assert_eq!(agenda.next(Some(&held)), Next::WithoutLook);
    agenda.planned(&held, at(110_000));
    assert_eq!(told(agenda.next(Some(&held))), Some((130_000, Urgency::Settle)));
}

#[test]
fn a_group_that_cannot_be_described_is_tried_again() {
    let (mut agenda, mut failed) = (Agenda::default(), 0);
    let plan = plan("");
    for (failures, not_before, urgency) in [
        (1, 100_250, Urgency::Settle),
        (2, 100_500, Urgency::Settle),
        (5, 104_000, Urgency::Settle),
        (6, 105_000, Urgency::Look),
    ] {
        while failed < failures {
            failed += 1;
            let ended = Ended {
                plan: &plan,
                failed: Some(Failed::MayPass),
                is_writing: false,
                is_for_change: false,
                is_robbed: false,
            };
            agenda.undescribed(ended, at(100_000), LUCK);
        }
        assert_eq!(agenda.not_before(), Some(at(not_before)), "after {failures}");
        assert_eq!(agenda.first_urgency(), urgency, "after {failures}");
    }
}

#[test]
fn the_first_look_is_held_off_and_counts_as_one_for_a_change() {
    let mut agenda = Agenda::default();
    assert!(agenda.is_new());
    agenda.hold_off(at(10_000));
    assert_eq!(told(agenda.next(None)), Some((10_000, Urgency::Settle)));
    // A candidate that shows itself at once does not make the second look come at once.
    let agenda = after(&[(100_000, "", "for a change")]);
    assert!(!agenda.is_new());
    let shown = plan("+10.0.2.7");
    assert_eq!(told(agenda.next(Some(&shown))), Some((101_000, Urgency::Register)));
}

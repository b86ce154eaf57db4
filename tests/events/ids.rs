//! Which event IDs begin a change of address, end it, or say that DNS has changed.

use rds_tether::function::event::{Doorbell, Phase};
use serde_json::json;

/// Every ID that means "an address may change", and some that do not.
const PHASES: &[(Phase, &[u16])] = &[
    (Phase::Start, &[13, 72, 73, 247, 250, 259]),
    (Phase::Complete, &[15, 49, 71, 248, 251, 260]),
    (Phase::DnsChanged, &[385, 397]),
    (
        Phase::Other,
        &[
            4, 6, 20, 21, 50, 51, 52, 53, 65, 69, 70, 87, 88, 154, 172, 181, 182, 183, 184, 185, 186, 187, 238, 239,
            240, 241, 361, 362, 422,
        ],
    ),
    (
        Phase::Other,
        &[0, 1, 2, 12, 14, 16, 74, 249, 252, 261, 384, 386, 398, 9999, u16::MAX],
    ),
];

#[test]
fn every_id_has_its_phase() {
    for (phase, ids) in PHASES {
        for id in *ids {
            assert_eq!(Phase::of_event(*id), *phase, "RDS-EVENT-{id:04}");
        }
    }
}

#[test]
fn no_other_id_has_a_phase() {
    let named: Vec<u16> = PHASES.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    for id in (0..=u16::MAX).filter(|id| !named.contains(id)) {
        assert_eq!(Phase::of_event(id), Phase::Other, "RDS-EVENT-{id:04}");
    }
}

#[test]
fn an_id_is_read_however_it_is_written() {
    let url = "http://docs.amazonwebservices.com/AmazonRDS/latest/UserGuide/USER_Events.html#RDS-EVENT-";
    for (phase, ids) in PHASES {
        for id in ids.iter().map(|id| format!("{id:04}")) {
            for written in [
                format!("RDS-EVENT-{id}"),
                format!("{url}{id}"),
                format!("{url}{id}?from=mail#top"),
                format!(" RDS-EVENT-{id} "),
            ] {
                for payload in [
                    json!({ "source": "aws.rds", "detail-type": "RDS DB Instance Event", "detail": { "EventID": written } }),
                    json!({ "Event Source": "db-instance", "Event ID": written }),
                ] {
                    let doorbell = Doorbell::read(&payload.to_string());
                    assert_eq!(doorbell.phase, *phase, "{payload}");
                    assert!(
                        doorbell.reason.contains(&format!("RDS-EVENT-{id}")),
                        "{}",
                        doorbell.reason
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_no_id_has_no_phase() {
    for written in [
        "",
        "13",
        "RDS-EVENT-",
        "RDS-EVENT--13",
        "RDS-EVENT-+13",
        "RDS-EVENT- 13",
        "RDS-EVENT-65549",
        "RDS-EVENT-99999999999999999999",
        "RDS-EVENT-٠٠١٣",
        "RDS-EVENT-0013 RDS-EVENT-x",
    ] {
        let payload = json!({ "Event Source": "db-instance", "Event ID": written });
        assert_eq!(Doorbell::read(&payload.to_string()).phase, Phase::Other, "{written:?}");
    }
}

//! What the planner's nouns are called, to people and to machines, and what is trouble.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rds_tether::planner::answer::{Blind, Failure, Stale};
use rds_tether::planner::candidate::Doubt;
use rds_tether::planner::endpoint::{Endpoint, Role};
use rds_tether::planner::guard::Refusal;
use rds_tether::planner::lead::{Says, Verdict, Why};
use rds_tether::planner::plan::{Note, Plan, Reason};
use rds_tether::planner::protocol::Unfit;
use rds_tether::planner::serving::Serving;
use rds_tether::planner::target::{Target, Unused};
use rds_tether::planner::time::Timestamp;

const ENDPOINT: &str = "db.example:5432";

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().expect(text)
}

#[test]
fn a_failure_says_what_was_heard() {
    let addresses = || BTreeSet::from([ip(1), ip(2)]);
    for (failure, expect) in [
        (Failure::NxDomain, "NXDOMAIN (no such name)"),
        (Failure::NoData, "no data (the name has no address of this family)"),
        (Failure::ServFail, "SERVFAIL"),
        (Failure::Refused, "REFUSED"),
        (Failure::TimedOut, "no answer in time"),
        (Failure::Malformed("cut off".to_owned()), "malformed answer (cut off)"),
        (
            Failure::TooMany(65),
            "65 addresses, more than the 64 that an answer may have",
        ),
        (Failure::Code("NOTIMP".to_owned()), "NOTIMP"),
        (
            Failure::Network("unreachable".to_owned()),
            "network error (unreachable)",
        ),
        (
            Failure::Stale(addresses(), Stale::ByItsWord(3)),
            "a stale answer (10.0.0.1, 10.0.0.2: by its own word, EDE 3)",
        ),
        (
            Failure::Stale(addresses(), Stale::TtlStandsStill(Duration::from_secs(30))),
            "a stale answer (10.0.0.1, 10.0.0.2: its TTL of 30 s stands still, and RDS gives 5 s at most)",
        ),
        (
            Failure::Unproven(addresses(), Duration::from_secs(30)),
            "an answer that may be stale (10.0.0.1, 10.0.0.2 with a TTL of 30 s)",
        ),
    ] {
        assert_eq!(failure.to_string(), expect);
    }
    assert_eq!(Blind::NotYet.to_string(), "not looked at yet");
    assert_eq!(
        Refusal::NotRoutable.to_string(),
        "is neither global unicast nor unique local"
    );
}

#[test]
fn a_member_says_why_where_there_is_a_why() {
    let why = || "a timeline of another".to_owned();
    for (says, expect) in [
        (Says::Writer, "writer"),
        (Says::Reader, "reader"),
        (Says::Neither(why()), "neither (a timeline of another)"),
        (Says::Silent(why()), "silent (a timeline of another)"),
        (Says::Denied(why()), "denied (a timeline of another)"),
        (Says::Impostor(why()), "impostor (a timeline of another)"),
    ] {
        assert_eq!(says.to_string(), expect);
    }
}

#[test]
fn a_reason_has_a_name_for_machines_and_a_sentence_for_people() {
    let why = || "nobody listens".to_owned();
    let servers = BTreeSet::from([
        SocketAddr::from(([10, 9, 0, 1], 53)),
        SocketAddr::from(([10, 9, 0, 2], 53)),
    ]);
    for (reason, name, sentence) in [
        (
            Reason::Unproven(Doubt::NotYet),
            "unprobed",
            "is named but not registered: it has not been probed yet",
        ),
        (
            Reason::Unproven(Doubt::Silent(why())),
            "unproven",
            "is named but not registered: its probe fails: nobody listens",
        ),
        (
            Reason::Unproven(Doubt::Impostor(why())),
            "impostor",
            "is named but not registered: its probe fails: nobody listens",
        ),
        (
            Reason::Reader { writer: ip(2) },
            "reader",
            "is named but not registered: it says that it is a reader, and 10.0.0.2 shows that it is the writer",
        ),
        (
            Reason::Vouched(servers),
            "vouched",
            "stays because it is what 10.9.0.1:53 and 10.9.0.2:53 said last; nothing but a fresh answer without it proves that \
             it has gone",
        ),
    ] {
        assert_eq!((reason.name(), reason.to_string().as_str()), (name, sentence));
    }
}

#[test]
fn some_notes_are_trouble_and_one_names_a_writer_ahead_of_dns() {
    let of = |text: &str| Note::Leads {
        endpoint: endpoint(text),
        writer: ip(2),
        over: BTreeSet::from([ip(1)]),
    };
    let target = Target { ip: ip(1), port: 5432 };
    let notes = [
        (
            Note::Unused {
                target,
                reason: String::new(),
                because: Unused::NotAttached,
                zone: None,
            },
            false,
        ),
        (Note::OutsideVpc(target), false),
        (
            Note::Unproven {
                target,
                doubt: Doubt::NotYet,
                patience: Duration::from_secs(30),
            },
            true,
        ),
        (
            Note::Rotates {
                endpoint: endpoint(ENDPOINT),
                members: BTreeSet::from([ip(1), ip(2)]),
            },
            true,
        ),
        (of(ENDPOINT), false),
        (
            Note::RemovedByOthers {
                target,
                times: 3,
                lasts: Duration::from_secs(60),
            },
            true,
        ),
        (Note::FollowsInstance(endpoint(ENDPOINT)), false),
        (Note::Unfit(Unfit::Tls), true),
    ];
    for (note, expect) in &notes {
        assert_eq!(note.is_trouble(), *expect, "{note}");
    }
    let plan = Plan {
        role: Role::Writer,
        register: [].into(),
        deregister: [].into(),
        holds: Vec::new(),
        notes: notes.into_iter().map(|(note, _)| note).collect(),
        settled: false,
        taken: None,
        serving: Serving::Unknown,
    };
    for (name, expect) in [(ENDPOINT, Some(ip(2))), ("other.example:5432", None)] {
        assert_eq!(plan.ahead_of_dns(&endpoint(name)), expect, "{name}");
    }
}

#[test]
fn every_verdict_has_a_name_for_machines() {
    let members = || BTreeSet::from([ip(1), ip(2)]);
    for (verdict, name) in [
        (Verdict::Agrees(ip(1)), "agrees"),
        (
            Verdict::Leads {
                to: ip(2),
                over: BTreeSet::from([ip(1)]),
            },
            "leads",
        ),
        (
            Verdict::Waits {
                readers: members(),
                until: Timestamp::from_millis(1),
            },
            "waits",
        ),
        (Verdict::Contested(members()), "contested"),
        (Verdict::Follows(Why::Impatient(members())), "impatient"),
        (Verdict::Follows(Why::Blind), "follows"),
    ] {
        assert_eq!(verdict.name(), name, "{verdict:?}");
    }
}

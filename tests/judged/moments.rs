//! Moments that are easily taken for others.

use super::*;

fn mark_of(report: &Report, name: &str) -> (&'static str, Option<i64>) {
    let mark = report.marks.iter().find(|mark| mark.mark == name).unwrap();
    (mark.state, mark.lag_ms)
}

/// Fails if who first answers when all is over is taken for one of before, and the new address for the old one.
#[test]
fn a_name_server_that_answers_late_names_no_old_address() {
    let report = check(
        "0 dns 1 old
         0 dns 2 none
         0 address old sessions
         5 begun
         10 address old lost
         14 dns 1 old
         15 dns 2 new
         15 address new sessions
         16 dns 1 new",
        60.0,
        &[],
        &[
            "connection_lost 0 within 10000",
            "writer 5000",
            "dns_first 5000",
            "dns_all 6000 within 2000",
        ],
    );
    assert_eq!(
        (report.old_addresses, report.new_addresses),
        (vec!["10.0.1.5".to_owned()], vec!["10.0.2.7".to_owned()])
    );
}

/// Fails if what was lost for another reason, and never came back, shifts all lags.
#[test]
fn a_loss_that_stays_is_none_of_the_change() {
    let story = |lost: &str, address: &str| {
        format!(
            "0 dns 1 old
             0 through 1 sessions
             0 through 2 sessions
             0 member old writer
             0 address old {address}
             60 {lost}
             600 address old lost
             600 through 1 lost
             601 member old silent
             602 member new writer
             610 dns 1 new"
        )
    };
    for (lost, address, writer) in [
        ("through 2 lost", "sessions", 2_000),
        ("member old silent", "sessions", 2_000),
        ("member old denied", "not_asked", 2_000),
    ] {
        let report = told(&story(lost, address), 700.0);
        assert_eq!(mark_of(&report, "writer"), ("seen", Some(writer)), "{lost}");
    }
}

/// Fails if a listing that fails later is taken for one that shows nothing, or for the last that there was.
#[test]
fn a_listing_that_fails_midway_is_not_watched() {
    let story = |listed: &str| {
        format!(
            "0 dns 1 old
             0 address old sessions
             0 targets old=healthy
             10 address old lost
             11 dns 1 new
             11 address new sessions
             {listed}"
        )
    };
    let denied = told(&story("12 targets denied"), 60.0);
    assert_eq!(mark_of(&denied, "healthy"), ("not_watched", None));
    assert_eq!(denied.waiting_for, Vec::<&str>::new());
    assert!(denied.not_watched.iter().any(|entry| entry.what == "target_group"));
    let throttled = told(&story("12 targets new=healthy\n13 targets throttled"), 60.0);
    assert_eq!(mark_of(&throttled, "healthy"), ("seen", Some(2_000)));
    assert_eq!(
        throttled.waiting_for,
        ["registered", "healthy"],
        "nobody knows whether it still is"
    );
    let listed = told(&story("12 targets throttled\n13 targets new=healthy"), 60.0);
    assert_eq!(listed.waiting_for, Vec::<&str>::new());
    assert!(listed.not_watched.iter().all(|entry| entry.what != "target_group"));
}

/// Fails if a state of before the failover is told as one that came with it, or one that was seen to come as one that always was.
#[test]
fn a_target_counts_from_the_change_on() {
    for (listed, expect) in [
        (
            "0 targets new=healthy\n 2 targets new=unhealthy\n 14 targets new=healthy",
            ("seen", Some(4_000)),
        ),
        (
            "0 targets new=healthy\n 12 targets new=unhealthy\n 14 targets new=healthy",
            ("seen", Some(4_000)),
        ),
        ("0 targets new=healthy\n 12 targets new=unhealthy", ("missing", None)),
        ("0 targets new=healthy\n 2 targets new=unhealthy", ("missing", None)),
        ("0 targets new=initial\n 8 targets new=healthy", ("seen", Some(-2_000))),
        ("0 targets new=healthy", ("before", None)),
    ] {
        let story = format!("0 dns 1 old\n 0 address old sessions\n {listed}\n 10 address old lost\n 13 dns 1 new");
        let mut lines: Vec<&str> = story.lines().map(str::trim).collect();
        lines.sort_by_key(|line| line.split(' ').next().unwrap().parse::<u32>().unwrap());
        assert_eq!(mark_of(&told(&lines.join("\n"), 60.0), "healthy"), expect, "{listed}");
    }
}

/// Fails if a name that is gone counts as steady, or a silence as an answer.
#[test]
fn a_name_is_steady_while_it_is_named() {
    for (answer, steady) in [
        ("nxdomain", Some(35_000)),
        ("nodata", Some(35_000)),
        ("servfail", Some(35_000)),
        ("none", None),
    ] {
        let story = format!(
            "0 dns 1 old
             0 address old sessions
             5 address old lost
             6 dns 1 new
             6 address new sessions
             35 dns 1 {answer}
             40 dns 1 new"
        );
        let report = told(&story, 39.0);
        assert_eq!(
            report.waiting_for.last(),
            Some(&"dns_all"),
            "{answer}: {:?}",
            report.waiting_for
        );
        let report = told(&story, 70.0);
        assert_eq!(report.waiting_for, Vec::<&str>::new(), "{answer}");
        let all = report.marks.iter().find(|mark| mark.mark == "dns_all").unwrap();
        assert_eq!(all.steady_lag_ms, steady, "{answer}");
    }
}

/// Fails if a silence counts as the old address that was named once more.
#[test]
fn within_counts_from_an_answer() {
    let report = told(
        "0 dns 1 old\n3 dns 1 old\n4 dns 1 none\n5 dns 1 none\n6 dns 1 new",
        60.0,
    );
    let first = report.marks.iter().find(|mark| mark.mark == "dns_first").unwrap();
    assert_eq!(first.not_before, Some(at(3.0)));
}

/// Fails if it is said that all is watched although something was never looked at.
#[test]
fn what_was_not_looked_at_is_known() {
    let first = First {
        servers: 2,
        ways: 1,
        has_group: true,
        has_members: true,
    };
    let mut record = Record::new(at(0.0));
    for (words, missing) in [
        (
            "dns 1 old",
            vec!["name servers", "addresses", "through", "target group", "members"],
        ),
        ("dns 2 none", vec!["addresses", "through", "target group", "members"]),
        ("address old lost", vec!["through", "target group", "members"]),
        ("through 1 lost", vec!["target group", "members"]),
        ("targets denied", vec!["members"]),
        ("member old silent", vec![]),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let (began, ended, seen) = (at(1.0), at(1.0), seen(&words, at(1.0)));
        record.note(&Observation { began, ended, seen });
        assert_eq!(record.not_looked_at(&first), missing, "{words:?}");
    }
}

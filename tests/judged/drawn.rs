//! The table and the picture of a report.

use rds_tether::drill::{picture, redact, table};
use testkit::pages::Page;

use super::*;

/// Fails if the table loses a column, or a row that matters.
#[test]
fn the_table_has_a_row_for_each_mark() {
    let text = table::text(&told(AURORA, 210.0));
    let rows: Vec<&str> = text.lines().map(str::trim_end).collect();
    for row in [
        "  a failover was measured to its end",
        "  DNS named 10.0.1.5 before; the new address is 10.0.2.7",
        "  WHAT             UTC         LAG       WITHIN  STEADY    SHOWN BY",
        "  connection lost  11:06:50.0  0 s       250 ms  -         10.0.1.5:5432",
        "  event: begins    11:06:51.0  +1.0 s    -       -         dated 0 s",
        "  writer usable    11:06:54.1  +4.1 s    14.1 s  -         member 10.0.2.7",
        "  DNS, first       11:06:57.0  +7.0 s    1.0 s   +16.0 s   10.0.0.1:53",
        "  DNS, all         11:07:12.0  +22.0 s   1.0 s   -         all 2",
        "  healthy          11:09:59.0  +189.0 s  1.0 s   -         10.0.2.7:5432",
        "  through 1        11:10:03.5  +193.5 s  500 ms  +200.0 s  10.0.9.1:5432",
        "  through 1 is orders-nlb.elb.eu-west-1.amazonaws.com:5432",
    ] {
        assert!(rows.contains(&row), "no {row:?} in\n{text}");
    }
    let long: Vec<&&str> = rows.iter().filter(|row| row.chars().count() > 80).collect();
    assert!(long.is_empty(), "{long:?}");
}

/// The elements that are open at the end, and those that end without a beginning.
fn unbalanced(xml: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut wrong = Vec::new();
    for mark in xml.split('<').skip(1) {
        let (mark, _) = mark.split_once('>').unwrap();
        let name = mark
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap()
            .to_owned();
        match (mark.starts_with('/'), mark.ends_with('/')) {
            (true, _) => {
                if open.pop().as_deref() != Some(&name) {
                    wrong.push(name);
                }
            }
            (false, true) => {}
            (false, false) => open.push(name),
        }
    }
    wrong.extend(open);
    wrong
}

/// Fails if a viewer cannot read the picture, or something is not drawn.
#[test]
fn the_picture_is_one_of_xml_with_all_in_it() {
    let mut report = told(AURORA, 210.0);
    report.endpoint = "<script>&\"\u{1b}:5432".to_owned();
    let drawn = picture::svg(&report);
    assert_eq!(unbalanced(&drawn), Vec::<String>::new(), "{drawn}");
    assert!(!drawn.contains("<script>") && !drawn.contains('\u{1b}'), "{drawn}");
    for words in [
        "Name servers",
        "Members",
        "Targets",
        "Through",
        "RDS events",
        "+193.5 s, steady +200.0 s",
        "connection lost",
        ">reader<",
        ">healthy<",
        ">draining<",
        "0 s is 2026-11-18 11:06:50.0 UTC, when the connection was lost",
        ">60 s<",
    ] {
        assert!(drawn.contains(words), "no {words} in {drawn}");
    }
    for story in ["0 dns 1 old", ""] {
        let drawn = picture::svg(&told(story, 0.0));
        assert!(
            drawn.contains("Not watched") && drawn.contains("no --events"),
            "{drawn}"
        );
        assert_eq!(unbalanced(&drawn), Vec::<String>::new(), "{drawn}");
    }
}

/// Fails if a text of others begins a row of the table, or has in it what no XML may have.
#[test]
fn texts_of_others_begin_no_rows() {
    let mut report = told("0 dns 1 old\n0 member old denied", 1.0);
    let text = table::text(&report);
    assert!(
        text.contains("\\u000aforged: row") && !text.contains("\nforged"),
        "{text}"
    );
    report.endpoint = "a\u{fffe}b\u{ffff}c".to_owned();
    let drawn = picture::svg(&report);
    assert!(
        drawn.contains("abc") && !drawn.contains(['\u{fffe}', '\u{ffff}']),
        "{drawn}"
    );
}

/// Fails if a name, an address or a text of others is left.
#[test]
fn what_is_redacted_keeps_what_was_measured() {
    let whole = told(AURORA, 210.0);
    let mut report = whole.clone();
    redact::redact(&mut report);
    let texts = [
        table::text(&report),
        picture::svg(&report),
        serde_json::to_string(&report).unwrap(),
    ];
    for text in &texts {
        for private in [
            "orders",
            "abc123",
            "10.0.",
            "1111",
            "arn:",
            "no answer in time",
            "closed the connection",
        ] {
            assert!(!text.contains(private), "{private} in {text}");
        }
    }
    assert_eq!(marks(&report), marks(&whole));
    assert_eq!(report.lanes.len(), whole.lanes.len());
    for kept in [
        "name-server-2:53",
        "address-2:5432",
        "through-1:5432",
        "RDS-EVENT-0071",
        "eu-west-1",
    ] {
        assert!(texts[2].contains(kept), "no {kept} in {}", texts[2]);
    }
}

/// Fails if a resolver that everybody has is taken for somebody's.
#[test]
fn the_resolver_of_every_vpc_is_no_secret() {
    let mut report = told("0 dns 1 old", 1.0);
    report.lanes[0].of = "169.254.169.253:53".to_owned();
    redact::redact(&mut report);
    assert_eq!(report.lanes[0].of, "169.254.169.253:53");
}

/// Fails if the page shows another table than is printed, or lacks a field of the JSON.
#[test]
fn the_page_has_the_table_and_every_field() {
    let page = Page::read("docs/drill.md");
    let sample = page.blocks_of("text").join("\n");
    assert_eq!(sample.trim_end(), table::text(&told(AURORA, 210.0)).trim_end());
    let report = serde_json::to_value(told(AURORA, 210.0)).unwrap();
    let fields = page.section("## The JSON");
    let mut keys: BTreeSet<String> = BTreeSet::new();
    let mut unread = vec![&report];
    while let Some(value) = unread.pop() {
        match value {
            serde_json::Value::Object(object) => {
                keys.extend(object.keys().cloned());
                unread.extend(object.values());
            }
            serde_json::Value::Array(list) => unread.extend(list),
            _ => {}
        }
    }
    assert!(keys.len() > 30, "{keys:?}");
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| !fields.contains(&format!("`{key}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    for mark in &told(AURORA, 210.0).marks {
        assert!(
            page.section("## What each row means").contains(table::title(mark.mark)),
            "{}",
            mark.mark
        );
    }
}

//! What the function leaves in a tag for its next invocation.

use rds_tether::function::tag::*;
use rds_tether::planner::memory::Remembered;
use rds_tether::planner::target::Target;
use rds_tether::planner::time::Timestamp;

fn clocks(last_secs: u64, entries: &[(&str, u64, u64)]) -> Clocks {
    let entries = entries.iter().map(|(ip, since_millis, answers)| {
        let target = Target {
            ip: ip.parse().expect("an address"),
            port: 5432,
        };
        let since = Timestamp::from_millis(*since_millis);
        (
            target,
            Remembered {
                since,
                answers: *answers,
            },
        )
    });
    (Timestamp::from_millis(last_secs * 1000), entries.collect())
}

#[test]
fn what_is_written_is_read_back() {
    for (clocks, value) in [
        (clocks(200, &[("10.0.1.5", 100_000, 2)]), "200 10.0.1.5/5432=100+2"),
        (
            clocks(200, &[("10.0.1.5", 130_000, 2), ("fd00::1", 100_000, 99)]),
            "200 fd00::1/5432=100+99 10.0.1.5/5432=130+2",
        ),
    ] {
        assert_eq!(write(&clocks), value);
        assert_eq!(read(value), Some(clocks));
    }
}

#[test]
fn no_absence_seems_longer_than_it_is() {
    assert_eq!(write(&clocks(200, &[])), "");
    assert_eq!(
        write(&clocks(200, &[("10.0.1.5", 100_001, 2)])),
        "200 10.0.1.5/5432=101+2"
    );
}

#[test]
fn the_youngest_do_not_fit() {
    let many: Vec<(String, u64, u64)> = (0..40)
        .map(|n| (format!("10.0.1.{n}"), 100_000 + n * 1000, 5))
        .collect();
    let many: Vec<(&str, u64, u64)> = many
        .iter()
        .map(|(ip, since, answers)| (ip.as_str(), *since, *answers))
        .collect();
    let value = write(&clocks(1000, &many));
    assert!(value.len() <= VALUE_MAX_CHARS);
    assert!(
        value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b" ._:/=+-@".contains(&byte)),
        "{value}"
    );
    let (_, read) = read(&value).expect("readable");
    assert!(read.len() > 5);
    assert!((0..read.len()).all(|n| read.keys().any(|target| target.ip.to_string() == format!("10.0.1.{n}"))));
}

#[test]
fn what_cannot_be_read_is_no_tag() {
    for value in [
        "",
        "x",
        "200 10.0.1.5",
        "200 10.0.1.5/5432",
        "200 10.0.1.5/5432=100",
        "200 10.0.1.5/x=100+1",
        "200 nowhere/5432=100+1",
        "200 10.0.1.5/5432=-100+1",
        "99999999999999999999 10.0.1.5/5432=100+1",
        "18446744073709551615",
    ] {
        assert_eq!(read(value), None, "{value:?}");
    }
}

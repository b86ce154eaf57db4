//! What the function leaves in a tag for its next invocation.

use rds_tether::aws::arn::Arn;
use rds_tether::function::tag::*;
use rds_tether::planner::memory::Remembered;
use rds_tether::planner::target::Target;
use rds_tether::planner::time::Timestamp;

const SECRET: &str = "sixteen or more characters";

fn seal(secret: &str) -> Seal {
    secret.parse().expect("a seal")
}

fn group(name: &str) -> Arn {
    let arn = format!("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/{name}/73e2d6bc24d8a067");
    arn.parse().expect("an ARN")
}

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

/// The codes are those of another implementation of HMAC-SHA256.
#[test]
fn what_is_written_is_read_back() {
    for (clocks, value) in [
        (
            clocks(200, &[("10.0.1.5", 100_000, 2)]),
            "200 10.0.1.5/5432=100+2 b54adabf32afae8784028af0c73575bd",
        ),
        (
            clocks(200, &[("10.0.1.5", 130_000, 2), ("fd00::1", 100_000, 99)]),
            "200 fd00::1/5432=100+99 10.0.1.5/5432=130+2 95bc4aa417503a5e4def2f2ced9109e3",
        ),
    ] {
        assert_eq!(seal(SECRET).write(&group("orders"), &clocks), value);
        assert_eq!(seal(SECRET).read(&group("orders"), value), Some(clocks));
    }
}

/// Fails if a value can be read that this seal has not written for this group.
#[test]
fn what_another_hand_has_written_is_no_tag() {
    let (text, orders) = ("200 10.0.1.5/5432=100+2", group("orders"));
    let ours = seal(SECRET).sealed(&orders, text);
    assert!(seal(SECRET).read(&orders, &ours).is_some());
    let (_, code) = ours.rsplit_once(' ').expect("a code");
    for (what, value) in [
        ("no code", text.to_owned()),
        ("a code of nothing", format!("{text} {}", "0".repeat(32))),
        (
            "another secret",
            seal("sixteen or more characterz").sealed(&orders, text),
        ),
        ("another group's", seal(SECRET).sealed(&group("billing"), text)),
        ("another time", ours.replace("=100+", "=10+")),
        ("one more target", format!("200 10.0.1.6/5432=100+2 {}", &ours[4..])),
        ("half a code", ours[..ours.len() - 16].to_owned()),
        ("more than a code", format!("{ours}00")),
        ("a code without its zeros", format!("{text} +{}", &code[1..])),
        ("the code alone", code.to_owned()),
        ("another code beside", format!("{ours} {code}")),
        ("no text of a code", format!("{text} {}", "\u{fc}".repeat(16))),
    ] {
        assert_eq!(seal(SECRET).read(&orders, &value), None, "{what}: {value}");
    }
}

/// Fails if a secret that can be found by trying is taken, or if one is shown.
#[test]
fn a_secret_is_long_and_stays_one() {
    let short = "hunter2-hunter2";
    let refused = short.parse::<Seal>().expect_err("too short").to_string();
    assert!(
        refused.contains("16 characters") && !refused.contains("hunter2"),
        "{refused}"
    );
    let shown = format!("{:?}", seal(SECRET));
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(format!("{short}\u{fc}").parse::<Seal>().is_ok());
}

#[test]
fn no_absence_seems_longer_than_it_is() {
    let written = |clocks| seal(SECRET).write(&group("orders"), &clocks);
    assert_eq!(written(clocks(200, &[])), "");
    let value = written(clocks(200, &[("10.0.1.5", 100_001, 2)]));
    assert!(value.starts_with("200 10.0.1.5/5432=101+2 "), "{value}");
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
    let value = seal(SECRET).write(&group("orders"), &clocks(1000, &many));
    assert!(value.len() <= VALUE_MAX_CHARS);
    assert!(
        value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b" ._:/=+-@".contains(&byte)),
        "{value}"
    );
    let (_, read) = seal(SECRET).read(&group("orders"), &value).expect("readable");
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
        let value = seal(SECRET).sealed(&group("orders"), value);
        assert_eq!(seal(SECRET).read(&group("orders"), &value), None, "{value:?}");
    }
}

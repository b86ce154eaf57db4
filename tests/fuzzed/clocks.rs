//! The value of the function's own tag, which whoever may tag the group can set.

use rds_tether::aws::arn::Arn;
use rds_tether::function::tag::{Seal, VALUE_MAX_CHARS};

const SECRET: &str = "sixteen or more characters";
const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef";

/// Only what was sealed is read; and what is read is written so that no target seems absent for longer.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (seal, group): (Seal, Arn) = (SECRET.parse().unwrap(), GROUP.parse().unwrap());
    if seal.read(&group, text).is_some() {
        let (inside, _) = text.rsplit_once(' ').unwrap();
        assert_eq!(
            text.to_ascii_lowercase(),
            seal.sealed(&group, inside).to_ascii_lowercase(),
            "another hand's"
        );
    }
    let Some((looked, clocks)) = seal.read(&group, &seal.sealed(&group, text)) else {
        return;
    };
    let value = seal.write(&group, &(looked, clocks.clone()));
    let may_stand = |char: char| char.is_ascii_alphanumeric() || " ._:/=+-@".contains(char);
    assert!(
        value.chars().count() <= VALUE_MAX_CHARS && value.chars().all(may_stand),
        "{value}"
    );
    if value.is_empty() {
        return assert!(clocks.is_empty(), "{clocks:?} are forgotten");
    }
    let (again, kept) = seal.read(&group, &value).expect("what was written");
    assert_eq!(again, looked);
    for (target, kept) in kept {
        let was = clocks[&target];
        assert!(
            kept.since >= was.since && kept.answers == was.answers,
            "{target:?}: {kept:?} was {was:?}"
        );
    }
}

//! Target groups that are followed because of their tags.

use std::time::Duration;

use super::check::{Check, Outcome, Section, Selection};
use crate::aws::elb::Clients;
use crate::discover::{Trouble, find_all};
use crate::exit::Exit;
use crate::settings::Settings;

/// Groups of checks for which tagged target groups have to be found.
const NEEDING_GROUPS: [&str; 9] = [
    "discover",
    "dns",
    "aws",
    "permission",
    "group",
    "balancer",
    "service",
    "reach",
    "lead",
];

/// Finds them, if anything that is asked for is about them, and judges what was found; the settings are then those with what is followed.
pub async fn look(settings: Settings, selection: &Selection, limit: Duration) -> (Settings, Option<Section>) {
    if settings.discover.is_empty() || !selection.has_any(&NEEDING_GROUPS) {
        return (settings, None);
    }
    let named = settings.bindings.len();
    let found = find_all(settings.clone(), &mut Clients::start(), limit).await;
    let (settings, looked, read) = match found {
        Ok((found, troubles)) => {
            let count = found.bindings.len() - named;
            let looked = match count {
                0 if troubles.is_empty() => Outcome::warning(
                    "no target group has the tag rds-tether:endpoint",
                    "give it to those that are to be followed: Key=rds-tether:endpoint,Value=HOST:PORT",
                ),
                1 => Outcome::ok("1 target group is followed by its tags"),
                _ => Outcome::ok(format!("{count} target groups are followed by their tags")),
            };
            (found, looked, judge(&troubles))
        }
        Err(unseen) => {
            let looked = Outcome::failure(unseen.exit(), unseen.what(), unseen.remedy());
            (settings, looked, Outcome::blocked(LOOK))
        }
    };
    let checks = vec![Check::new(LOOK, looked), Check::new(TAGS, read)];
    let title = "tagged target groups".to_owned();
    (settings, Some(Section { title, checks }))
}

/// The checks.
const LOOK: &str = "discover.look";
const TAGS: &str = "discover.tags";

fn judge(troubles: &[Trouble]) -> Outcome {
    let Some(first) = troubles.first() else {
        return Outcome::ok("each says what can be followed");
    };
    let more = match troubles.len() - 1 {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let what = format!("target group {}: {}{more}", first.arn.name(), first.told());
    Outcome::failure(
        Exit::Settings,
        what,
        "correct its tags; until then it is not followed by them",
    )
}

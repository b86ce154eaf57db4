//! The tags of a target group, a line each, which whoever may tag it can set.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use rds_tether::aws::arn::Arn;
use rds_tether::discover::{Fleet, Swept};
use rds_tether::settings::discover::{ENDPOINT, Tags};
use rds_tether::settings::{Discover, Flags, Settings};

const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef";
/// What a tag may name.
const ALLOWED: &str = "[[discover]]
region = \"eu-west-1\"
allow_endpoints = [\"*.cluster-abc123.eu-west-1.rds.amazonaws.com:5432\", \"*.example.com\"]
allow_cidrs = [\"10.0.0.0/8\", \"fd00::/8\"]
";
const HOSTS: [(&str, Option<u16>); 2] = [
    (".cluster-abc123.eu-west-1.rds.amazonaws.com", Some(5432)),
    (".example.com", None),
];

static PLACE: LazyLock<Discover> = LazyLock::new(|| {
    let settings = Flags::of_text(Path::new("config.toml"), ALLOWED.to_owned()).unwrap();
    settings.discover.into_iter().next().unwrap()
});

/// What is followed lies within what the settings allow; and tags that cannot be read change nothing.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let line = |line: &str| {
        line.split_once('=')
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    };
    let tags: Tags = text.lines().filter_map(line).collect();
    let arn: Arn = GROUP.parse().unwrap();
    let mut fleet = Fleet::default();
    fleet.set(std::slice::from_ref(&*PLACE));
    let mut followed = |tags: &Tags, before| {
        fleet.note(&PLACE, Swept::from([(arn.clone(), Some(tags.clone()))]));
        fleet.followed(&Settings::default(), &before)
    };
    let endpoint = Tags::from([(ENDPOINT.to_owned(), "orders.example.com:5432".to_owned())]);
    let before = followed(&endpoint, BTreeMap::new()).bindings;
    let in_force = BTreeMap::from([(&before[0].arn, &before[0])]);
    let now = followed(&tags, in_force);
    match PLACE.read(&arn, &tags) {
        None => {
            assert!(!tags.contains_key(ENDPOINT));
            assert!(now.bindings.is_empty() && now.troubles.is_empty(), "{now:?}");
        }
        Some(Ok(binding)) => {
            assert!(now.troubles.is_empty(), "{now:?}");
            assert_eq!(now.bindings, [binding]);
            let binding = &now.bindings[0];
            assert!(
                binding.arn == arn && binding.assume_role.is_none() && !binding.endpoints.is_empty(),
                "{binding:?}"
            );
            for endpoint in &binding.endpoints {
                let is_allowed = HOSTS.iter().any(|(end, port)| {
                    endpoint.host().ends_with(end) && port.is_none_or(|port| endpoint.port() == port)
                });
                assert!(is_allowed, "{endpoint}");
            }
            let cidrs = &binding.policy.allow_cidrs;
            let is_within = |cidr: &ipnet::IpNet| PLACE.allow_cidrs.iter().any(|allowed| allowed.contains(cidr));
            assert!(!cidrs.is_empty() && cidrs.iter().all(is_within), "{cidrs:?}");
        }
        Some(Err(wrong)) => {
            assert!(!wrong.is_empty());
            assert_eq!(now.bindings, before, "it is followed as before");
            let [trouble] = &now.troubles[..] else {
                panic!("{now:?}")
            };
            assert!(trouble.is_followed && trouble.wrong == wrong, "{trouble}");
        }
    }
}

//! Where to look for target groups that say by their tags what they follow, and what their tags may say.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;

use super::Error;
use super::command_line::nearest;
use super::lead::Lead;
use super::table::TargetGroup;
use super::value::{AssumeRole, Cidr, Lasting};
use crate::aws;
use crate::aws::arn::{Arn, RegionName};
use crate::follow::binding::Binding;
use crate::function::tag::{self, PREFIX};
use crate::planner::pattern::Pattern;
use crate::planner::wrong::Wrong;
use crate::text::join;

/// The tag that makes a target group one that is followed.
pub const ENDPOINT: &str = "rds-tether:endpoint";
/// The others, as they end.
pub const OTHERS: [&str; 9] = [
    "role",
    "forget",
    "patience",
    "allow-cidrs",
    "keep",
    "upsert-only",
    "probe",
    "probe-patience",
    "observe",
];
/// How often target groups are looked for.
const EVERY: Duration = Duration::from_secs(5 * 60);

/// The tags of a target group.
pub type Tags = BTreeMap<String, String>;

/// Target groups of an account and region that say by their tags what they follow; once for each account and region.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    region: RegionName,
    allow_endpoints: Vec<Pattern>,
    assume_role: Option<AssumeRole>,
    allow_cidrs: Option<Vec<Cidr>>,
    every: Option<Lasting>,
    #[serde(default)]
    defaults: TargetGroup,
}

/// The same on the command line: for this process's own account, and without all else that a table says.
#[derive(Args, Clone, Debug, Default)]
pub struct Tagged {
    /// Follow target groups that are tagged with rds-tether:endpoint, in this region; repeatable [default: the environment's region]
    #[arg(long = "discover", value_name = "REGION", num_args = 0..=1, default_missing_value = "")]
    regions: Vec<Where>,
    /// Endpoint that a tag may name, a star for any characters; repeatable; --discover needs it
    #[arg(long = "allow-endpoint", value_name = "PATTERN")]
    allow_endpoints: Vec<Pattern>,
}

/// A region, if one is named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Where(Option<RegionName>);

impl FromStr for Where {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let region = Some(text).filter(|text| !text.is_empty()).map(str::parse);
        region.transpose().map(Self)
    }
}

impl Tagged {
    /// Whether they say nothing.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty() && self.allow_endpoints.is_empty()
    }

    /// The same with a region where none is named, if `find` has one for a name that may lie in it.
    ///
    /// # Errors
    /// Those of `find`.
    pub async fn placed<E>(
        &self,
        find: impl AsyncFn(Option<&str>) -> Result<Option<RegionName>, E>,
    ) -> Result<Self, E> {
        let mut placed = self.clone();
        for place in placed.regions.iter_mut().filter(|place| place.0.is_none()) {
            place.0 = find(self.allow_endpoints.first().map(Pattern::host)).await?;
        }
        Ok(placed)
    }

    /// A table for each region.
    ///
    /// # Errors
    /// What is missing, or there twice.
    pub(super) fn tables(&self) -> Result<Vec<Table>, Error> {
        let mut errors = Vec::new();
        let mut wrong = |what: &str, fix: &str| errors.push(Error::usage(what, fix.to_owned()));
        if !self.regions.is_empty() && self.allow_endpoints.is_empty() {
            wrong(
                "--discover needs --allow-endpoint PATTERN: whoever may tag a target group may name an endpoint",
                "name what all yours end in, such as '*.abc123.eu-west-1.rds.amazonaws.com'",
            );
        }
        if self.regions.is_empty() && !self.allow_endpoints.is_empty() {
            wrong(
                "--allow-endpoint needs --discover [REGION]: it is about target groups that are found by their tags",
                "give both, or neither",
            );
        }
        let mut tables: Vec<Table> = Vec::new();
        for place in &self.regions {
            match &place.0 {
                None => wrong(
                    "--discover has no region, and the environment names none",
                    "write --discover REGION, or set AWS_REGION",
                ),
                Some(region) if tables.iter().any(|table| table.region == *region) => {
                    wrong("--discover names the same region twice", "name each once");
                }
                Some(region) => tables.push(Table {
                    region: region.clone(),
                    allow_endpoints: self.allow_endpoints.clone(),
                    assume_role: None,
                    allow_cidrs: None,
                    every: None,
                    defaults: TargetGroup::default(),
                }),
            }
        }
        Error::all(errors).map_or(Ok(tables), Err)
    }
}

/// Where to look for target groups, and what their tags may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discover {
    /// The region.
    pub region: String,
    /// The role to assume, in whose account they are; none: this process's own.
    pub assume_role: Option<aws::AssumeRole>,
    /// Which endpoints a tag may name. Whoever may set tags may send the clients of a target group there.
    pub allow_endpoints: Vec<Pattern>,
    /// Where targets may lie, which a tag may only narrow; none: wherever ELB accepts them.
    pub allow_cidrs: Vec<IpNet>,
    /// How often to look.
    pub every: Duration,
    /// What holds where a tag says nothing.
    defaults: TargetGroup,
}

impl Table {
    /// The same where the rules of the command line, for target groups, beat those of the file.
    pub(super) fn under(self, flags: &TargetGroup) -> Self {
        let defaults = flags.clone().over(self.defaults);
        Self { defaults, ..self }
    }

    /// Where to look. What is in files is read here, once for all groups.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    pub(super) fn settings(self) -> Result<Discover, Vec<(&'static str, Wrong)>> {
        let Self {
            region,
            allow_endpoints,
            assume_role,
            allow_cidrs,
            every,
            mut defaults,
        } = self;
        let mut faults = Vec::new();
        if allow_endpoints.is_empty() {
            let fix = "list the endpoints that a tag may name: [\"*.abc123.eu-west-1.rds.amazonaws.com\"]";
            faults.push(("allow_endpoints", Wrong::new("allow_endpoints is empty", fix)));
        }
        if allow_cidrs.as_ref().is_some_and(Vec::is_empty) {
            let fix = "list the networks that targets may lie in, or leave it out";
            faults.push(("allow_cidrs", Wrong::new("allow_cidrs is empty", fix)));
        }
        for (key, is_said, instead) in [
            ("arn", defaults.arn.is_some(), "tags tell which groups are followed"),
            (
                "endpoints",
                defaults.endpoints.is_some(),
                "tags tell which endpoints are followed",
            ),
            (
                "assume_role",
                defaults.assume_role.is_some(),
                "write assume_role beside defaults",
            ),
        ] {
            if is_said {
                faults.push((
                    "defaults",
                    Wrong::new(format!("{key} has no place in defaults"), instead),
                ));
            }
        }
        match defaults.lead.map(Lead::read).transpose() {
            Ok(lead) => defaults.lead = lead,
            Err(wrong) => {
                defaults.lead = None;
                faults.push(("defaults", wrong));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Discover {
            region: region.0,
            assume_role: assume_role.map(AssumeRole::settings),
            allow_endpoints,
            allow_cidrs: allow_cidrs.into_iter().flatten().map(|cidr| cidr.0).collect(),
            every: every.map_or(EVERY, Duration::from),
            defaults,
        })
    }
}

impl Discover {
    /// The region, and the role if there is one, for messages.
    pub fn name(&self) -> String {
        match &self.assume_role {
            Some(role) => format!("{} as {}", self.region, role.arn),
            None => self.region.clone(),
        }
    }

    /// The user that members are logged in to as with a token of IAM, if `defaults` says so.
    pub fn iam_user(&self) -> Option<&str> {
        let lead = self.defaults.lead.as_ref().filter(|lead| lead.iam)?;
        lead.user.as_deref()
    }

    /// Whether the same groups are looked for as the same identity.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.region == other.region && self.assume_role == other.assume_role
    }

    /// The account that its groups are in, where a role tells it.
    pub fn account(&self) -> Option<&str> {
        self.assume_role.as_ref().map(|role| role.arn.account())
    }

    /// Whether the same groups are looked for, whoever looks.
    pub fn sees_like(&self, other: &Self) -> bool {
        self.region == other.region && self.account() == other.account()
    }

    /// What the tags of a group make of it; nothing, if it is not meant to be followed.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(&self, arn: &Arn, tags: &Tags) -> Option<Result<Binding, Vec<Wrong>>> {
        let said = tags.get(ENDPOINT)?;
        let mut wrong = Vec::new();
        let mut group = TargetGroup {
            arn: Some(arn.clone()),
            endpoints: list(ENDPOINT, said, &mut wrong),
            assume_role: None,
            ..TargetGroup::default()
        };
        for (key, value) in tags {
            let Some(name) = key.strip_prefix(PREFIX).filter(|_| key != ENDPOINT && key != tag::KEY) else {
                continue;
            };
            match name {
                "role" => group.role = one(key, value, &mut wrong),
                "forget" => group.forget = one(key, value, &mut wrong),
                "patience" => group.patience = one(key, value, &mut wrong),
                "allow-cidrs" => group.allow_cidrs = list(key, value, &mut wrong),
                "keep" => group.keep = list(key, value, &mut wrong),
                "upsert-only" => group.upsert_only = is_true(key, value, &mut wrong),
                "probe" => group.probe = one(key, value, &mut wrong),
                "probe-patience" => group.probe_patience = one(key, value, &mut wrong),
                "observe" => group.observe = is_true(key, value, &mut wrong),
                unknown => wrong.push(Wrong::new(format!("there is no tag {key}"), instead_of(unknown))),
            }
        }
        for endpoint in group.endpoints.iter().flatten() {
            if !self.allow_endpoints.iter().any(|pattern| pattern.covers(endpoint)) {
                let what = format!("the tag {ENDPOINT} names {endpoint}, which no pattern of allow_endpoints covers");
                let fix = format!(
                    "name an endpoint like {}, or add it to allow_endpoints",
                    join(&self.allow_endpoints)
                );
                wrong.push(Wrong::new(what, fix));
            }
        }
        let is_within = |cidr: &Cidr| self.allow_cidrs.iter().any(|allowed| allowed.contains(&cidr.0));
        for cidr in group
            .allow_cidrs
            .iter()
            .flatten()
            .filter(|_| !self.allow_cidrs.is_empty())
        {
            if !is_within(cidr) {
                let what = format!(
                    "the tag {PREFIX}allow-cidrs has {}, which is not within allow_cidrs",
                    cidr.0
                );
                wrong.push(Wrong::new(what, format!("narrow it to {}", join(&self.allow_cidrs))));
            }
        }
        if !wrong.is_empty() {
            return Some(Err(wrong));
        }
        let mut defaults = self.defaults.clone();
        if defaults.allow_cidrs.is_none() && !self.allow_cidrs.is_empty() {
            defaults.allow_cidrs = Some(self.allow_cidrs.iter().copied().map(Cidr).collect());
        }
        let binding = group.over(defaults).binding();
        Some(match binding {
            Ok(binding) => Ok(Binding {
                assume_role: self.assume_role.clone(),
                ..binding
            }),
            Err(faults) => Err(faults.into_iter().map(|(_, wrong)| wrong).collect()),
        })
    }
}

/// What to write instead of a tag that nobody knows.
fn instead_of(unknown: &str) -> String {
    match nearest(unknown, OTHERS) {
        Some(meant) => format!("did you mean {PREFIX}{meant}?"),
        None => format!(
            "those beside {ENDPOINT} are {}",
            join(OTHERS.map(|name| format!("{PREFIX}{name}")))
        ),
    }
}

fn one<T: FromStr<Err = Wrong>>(key: &str, value: &str, wrong: &mut Vec<Wrong>) -> Option<T> {
    value.parse().map_err(|error| wrong.push(of_tag(key, error))).ok()
}

/// The words of a value: a tag has no commas.
fn list<T: FromStr<Err = Wrong>>(key: &str, value: &str, wrong: &mut Vec<Wrong>) -> Option<Vec<T>> {
    let before = wrong.len();
    let read: Vec<T> = value
        .split_whitespace()
        .filter_map(|word| one(key, word, wrong))
        .collect();
    if read.is_empty() && wrong.len() == before {
        wrong.push(of_tag(
            key,
            Wrong::new("is empty", "write words with blanks between them, or remove the tag"),
        ));
    }
    Some(read)
}

fn is_true(key: &str, value: &str, wrong: &mut Vec<Wrong>) -> bool {
    match value.trim() {
        "true" => true,
        "false" => false,
        other => {
            wrong.push(of_tag(
                key,
                Wrong::new(format!("{other:?} is neither true nor false"), "write true or false"),
            ));
            false
        }
    }
}

fn of_tag(key: &str, Wrong { what, fix }: Wrong) -> Wrong {
    Wrong::new(format!("the tag {key}: {what}"), fix)
}

#[cfg(test)]
mod tests {
    use testkit::certificate::Authority;
    use testkit::scratch::Scratch;

    use super::*;
    use crate::planner::candidate::Probe;
    use crate::planner::endpoint::Role;

    const ORDERS: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";

    fn arn() -> Arn {
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef";
        arn.parse().expect("an ARN")
    }

    fn discover(more: &str) -> Discover {
        let text = format!(
            "region = \"eu-west-1\"\nallow_endpoints = [\"*.cluster-abc123.eu-west-1.rds.amazonaws.com\"]\n{more}"
        );
        let table: Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        table
            .settings()
            .unwrap_or_else(|faults| panic!("{:?}", faults.first().map(|(_, wrong)| wrong.to_string())))
    }

    fn tags(tags: &[(&str, &str)]) -> Tags {
        tags.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn tags_mirror_the_settings() {
        let discover = discover("defaults = { forget = \"2m\", patience = \"1m\" }\nallow_cidrs = [\"10.0.0.0/8\"]");
        let billing = "billing.cluster-abc123.eu-west-1.rds.amazonaws.com:3306";
        let both = format!(" {ORDERS}  {billing}");
        let binding = discover
            .read(
                &arn(),
                &tags(&[
                    (ENDPOINT, &both),
                    ("rds-tether:role", "writer"),
                    ("rds-tether:forget", "90s"),
                    ("rds-tether:allow-cidrs", "10.1.0.0/16 10.2.0.0/16"),
                    ("rds-tether:keep", "10.9.9.9"),
                    ("rds-tether:upsert-only", "true"),
                    ("rds-tether:probe", "tcp"),
                    ("rds-tether:probe-patience", "forever"),
                    ("rds-tether:observe", "false"),
                    ("rds-tether:absent", "what a function remembers"),
                    ("Name", "orders"),
                ]),
            )
            .expect("it is meant to be followed")
            .expect("good tags");
        let names: Vec<String> = binding.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(names, [billing, ORDERS]);
        let policy = &binding.policy;
        assert_eq!(
            (policy.role, policy.probe, policy.upsert_only),
            (Some(Role::Writer), Probe::Tcp, true)
        );
        assert_eq!(policy.forget, Some(Duration::from_secs(90)));
        assert_eq!(policy.patience, Some(Duration::from_secs(60)), "of the defaults");
        assert_eq!(join(&policy.allow_cidrs), "10.1.0.0/16, 10.2.0.0/16");
        assert!(!binding.observe);
        let plain = discover
            .read(&arn(), &tags(&[(ENDPOINT, ORDERS)]))
            .expect("meant")
            .expect("good");
        assert_eq!(join(&plain.policy.allow_cidrs), "10.0.0.0/8");
        assert_eq!(plain.policy.forget, Some(Duration::from_secs(120)));
    }

    #[test]
    fn what_is_wrong_with_tags_is_told_with_the_tag_and_the_mend() {
        let discover = discover("allow_cidrs = [\"10.0.0.0/8\"]");
        for (said, parts) in [
            (&[(ENDPOINT, "")][..], &["the tag rds-tether:endpoint", "is empty"][..]),
            (&[(ENDPOINT, "orders")], &["has no port"]),
            (&[(ENDPOINT, "postgres://u:secret@orders/db")], &["this is a URL"]),
            (
                &[(ENDPOINT, "orders.evil.example:5432")],
                &[
                    "names orders.evil.example:5432",
                    "*.cluster-abc123.eu-west-1.rds.amazonaws.com",
                ],
            ),
            (
                &[(ENDPOINT, ORDERS), ("rds-tether:forget", "soon")],
                &[
                    "the tag rds-tether:forget",
                    "\"soon\" is no duration",
                    "write a number with a unit",
                ],
            ),
            (
                &[(ENDPOINT, ORDERS), ("rds-tether:forgett", "1m")],
                &["did you mean rds-tether:forget?"],
            ),
            (
                &[(ENDPOINT, ORDERS), ("rds-tether:zzz", "1")],
                &["no tag rds-tether:zzz", "rds-tether:role"],
            ),
            (
                &[(ENDPOINT, ORDERS), ("rds-tether:role", "boss")],
                &["the tag rds-tether:role", "`boss`"],
            ),
            (
                &[(ENDPOINT, ORDERS), ("rds-tether:observe", "yes")],
                &["neither true nor false"],
            ),
            (
                &[(ENDPOINT, ORDERS), ("rds-tether:allow-cidrs", "0.0.0.0/0")],
                &["not within allow_cidrs", "10.0.0.0/8"],
            ),
            (&[(ENDPOINT, ORDERS), ("rds-tether:probe", "tls")], &["ca_bundle"]),
            (
                &[(ENDPOINT, ORDERS), ("rds-tether:probe-patience", "1m")],
                &["says nothing without probe"],
            ),
        ] {
            let wrong = discover
                .read(&arn(), &tags(said))
                .expect("meant")
                .expect_err("bad tags");
            let told = join(&wrong);
            for part in parts {
                assert!(told.contains(part), "{said:?}: {told}");
            }
            assert!(!told.contains("secret"), "{told}");
        }
        assert_eq!(discover.read(&arn(), &tags(&[("rds-tether:forget", "soon")])), None);
        let many = [(ENDPOINT, "a b"), ("rds-tether:role", "x"), ("rds-tether:keep", "y")];
        assert_eq!(
            discover
                .read(&arn(), &tags(&many))
                .expect("meant")
                .expect_err("bad")
                .len(),
            4,
            "all at once"
        );
    }

    /// Fails if the files that `defaults` names are read for each group.
    #[test]
    fn files_are_read_once_for_all_groups() {
        let scratch = Scratch::new();
        let password = scratch.write("password", "secret\n");
        let bundle = scratch.write("bundle.pem", &Authority::new().pem);
        let discover = discover(&format!(
            "[defaults]\nprobe = \"tls\"\nca_bundle = {bundle:?}\nlead = {{ user = \"tether\", password_file = {password:?} }}"
        ));
        std::fs::remove_file(&password).expect("the password file");
        std::fs::remove_file(&bundle).expect("the bundle");
        let read = discover.read(&arn(), &tags(&[(ENDPOINT, ORDERS)])).expect("meant");
        let binding = read.unwrap_or_else(|wrong| panic!("{}", join(wrong)));
        assert!(binding.lead.is_some() && binding.trust.is_some());
    }

    #[test]
    fn what_has_no_place_is_told() {
        for (more, key) in [
            ("defaults = { endpoints = [\"a.example.com:1\"] }", "defaults"),
            ("allow_cidrs = []", "allow_cidrs"),
            (
                "defaults = { lead = { user = \"u\", password_file = \"/none\" } }",
                "defaults",
            ),
        ] {
            let text = format!("region = \"eu-west-1\"\nallow_endpoints = [\"*.example.com\"]\n{more}");
            let table: Table = toml::from_str(&text).expect("a table");
            let faults = table.settings().expect_err(more);
            assert_eq!(faults[0].0, key, "{more}");
        }
        for text in [
            "region = \"eu-west-1\"",
            "allow_endpoints = [\"*.example.com\"]",
            "region = \"x\"\nallow_endpoints = [\"*.example.com\"]",
        ] {
            assert!(toml::from_str::<Table>(text).is_err(), "{text}");
        }
    }
}

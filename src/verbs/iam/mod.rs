//! Which AWS actions are called, by whom and on what: one list, and the least policies that follow from it.
//!
//! Whatever else says what is needed, such as the pages and the files in `deploy`, is compared with this list by tests, and so
//! is what the code really calls.

pub mod flags;
mod tagged;

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;
use serde::Serialize;

use crate::aws::arn::{Arn, partition_of};
use crate::follow::binding::Binding;
use crate::function::tag;
use crate::lead::{Lead, Secret};
use crate::planner::endpoint::{Endpoint, region_of};
use crate::proxy::Proxy;
use crate::settings::Settings;

/// Who calls AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Use {
    /// `plan`, `sync`, `status` and `run`.
    #[default]
    Run,
    /// The Lambda function.
    Lambda,
    /// `proxy`.
    Proxy,
    /// `doctor`.
    Doctor,
    /// `doctor --write-check`.
    WriteCheck,
}

/// What an action is allowed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Everything, because IAM knows no resources for it.
    Everything,
    /// The target groups that are written to.
    Groups,
    /// The target groups from which targets are removed.
    GroupsRemovedFrom,
    /// The topic.
    Topic,
    /// The roles that are assumed.
    Roles,
    /// The users of databases as whom members are asked who the writer is, with a token of IAM.
    DatabaseUsers,
    /// Nothing: whoever has credentials may call it.
    NothingAtAll,
}

/// An action that is called.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// As policies name it.
    pub name: &'static str,
    /// What it is allowed on.
    pub on: On,
    /// Whether nothing works without it; otherwise only a warning or a note tells what is missed.
    pub required: bool,
    /// Who calls it.
    pub callers: &'static [Use],
    /// What statement it belongs to.
    title: &'static str,
}

/// Those who look at target groups.
const LOOKING: &[Use] = &[Use::Run, Use::Lambda, Use::Doctor, Use::WriteCheck];
/// Those who write to them.
const WRITING: &[Use] = &[Use::Run, Use::Lambda, Use::WriteCheck];
/// Those who explain what surrounds them.
const INSPECTING: &[Use] = &[Use::Doctor, Use::WriteCheck];
/// Those who tell the topic.
const TELLING: &[Use] = &[Use::Run, Use::Lambda, Use::Proxy];
/// Those who ask the members of a database who the writer is.
const LEADING: &[Use] = TELLING;

/// Every action that is called. There is no other.
pub const ACTIONS: &[Action] = &[
    required(
        "elasticloadbalancing:DescribeTargetGroups",
        On::Everything,
        LOOKING,
        "Look",
    ),
    required(
        "elasticloadbalancing:DescribeTargetHealth",
        On::Everything,
        LOOKING,
        "Look",
    ),
    required("elasticloadbalancing:RegisterTargets", On::Groups, WRITING, "Change"),
    required(
        "elasticloadbalancing:DeregisterTargets",
        On::GroupsRemovedFrom,
        WRITING,
        "Change",
    ),
    optional(
        "elasticloadbalancing:DescribeTags",
        On::Everything,
        &[Use::Lambda],
        "OptionalReadClocks",
    ),
    optional("elasticloadbalancing:AddTags", On::Groups, &[Use::Lambda], KEEP_CLOCKS),
    inspection("elasticloadbalancing:DescribeTargetGroupAttributes"),
    inspection("elasticloadbalancing:DescribeLoadBalancers"),
    inspection("elasticloadbalancing:DescribeLoadBalancerAttributes"),
    inspection("elasticloadbalancing:DescribeListeners"),
    inspection("elasticloadbalancing:DescribeListenerAttributes"),
    inspection("elasticloadbalancing:DescribeRules"),
    inspection("ec2:DescribeVpcEndpointServiceConfigurations"),
    inspection("ec2:DescribeVpcEndpointConnections"),
    inspection("ec2:DescribeVpcEndpointServicePermissions"),
    required("sts:AssumeRole", On::Roles, LOOKING, "AssumeRoles"),
    optional("sts:GetCallerIdentity", On::NothingAtAll, INSPECTING, ""),
    optional("sns:Publish", On::Topic, TELLING, "OptionalNotify"),
    optional("rds-db:connect", On::DatabaseUsers, LEADING, LEAD),
];

/// What SNS does in the caller's name if the topic is encrypted with a key of the account's own; nothing here calls it.
pub const OF_ENCRYPTED_TOPIC: &[&str] = &["kms:GenerateDataKey", "kms:Decrypt"];

/// The statement with a condition: no tag but the one that keeps the absence clocks may be written.
const KEEP_CLOCKS: &str = "OptionalKeepClocks";
/// The statement that names users of databases, whose resource IDs no setting has.
const LEAD: &str = "OptionalLead";
/// How the titles of statements begin without which there is only a warning.
const OPTIONAL: &str = "Optional";
/// Characters that the inline policies of a role may have together, white space aside (IAM, quotas).
const INLINE_MAX_CHARS: usize = 10_240;

const fn required(name: &'static str, on: On, callers: &'static [Use], title: &'static str) -> Action {
    Action {
        name,
        on,
        required: true,
        callers,
        title,
    }
}

const fn optional(name: &'static str, on: On, callers: &'static [Use], title: &'static str) -> Action {
    Action {
        required: false,
        ..required(name, on, callers, title)
    }
}

const fn inspection(name: &'static str) -> Action {
    optional(name, On::Everything, INSPECTING, "OptionalInspect")
}

impl Use {
    /// The actions that it calls.
    pub fn actions(self) -> impl Iterator<Item = &'static Action> {
        ACTIONS.iter().filter(move |action| action.callers.contains(&self))
    }

    /// Whether it writes to target groups.
    fn changes(self) -> bool {
        WRITING.contains(&self)
    }

    /// The bindings that it follows.
    fn bindings(self, settings: &Settings) -> &[Binding] {
        if self == Self::Proxy { &[] } else { &settings.bindings }
    }

    /// The proxies that it runs.
    fn proxies(self, settings: &Settings) -> &[Proxy] {
        if self == Self::Lambda { &[] } else { &settings.proxies }
    }
}

/// An identity-based policy, ready for `aws iam put-role-policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: OneOrMore,
    resource: OneOrMore,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: Condition,
}

type Condition = BTreeMap<&'static str, BTreeMap<&'static str, Vec<&'static str>>>;

/// A text where one is enough, as people write policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn new(texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut texts: Vec<String> = texts.into_iter().map(Into::into).collect();
        if texts.len() == 1 {
            Self::One(texts.remove(0))
        } else {
            Self::More(texts)
        }
    }
}

/// The least policy of one identity: of the process itself or, with `role`, of that role, which the process assumes.
pub fn policy(settings: &Settings, caller: Use, role: Option<&str>) -> Policy {
    let mut groups: Vec<(&'static str, Vec<String>, Vec<&'static str>)> = Vec::new();
    for action in caller.actions() {
        let resources = resources(action.on, settings, caller, role);
        match groups.last_mut() {
            _ if resources.is_empty() => {}
            Some((title, known, names)) if *title == action.title && *known == resources => names.push(action.name),
            _ => groups.push((action.title, resources, vec![action.name])),
        }
    }
    let is_split = |title: &str| groups.iter().filter(|(other, ..)| *other == title).count() > 1;
    let statement = |(title, resources, names): &(&'static str, Vec<String>, Vec<&'static str>)| Statement {
        // Sids are unique in a policy.
        sid: match names.first().and_then(|name| name.split_once(':')) {
            Some((_, action)) if is_split(title) => action,
            _ => title,
        },
        effect: "Allow",
        action: OneOrMore::new(names.iter().copied()),
        resource: OneOrMore::new(resources),
        condition: if *title == KEEP_CLOCKS {
            let keys = BTreeMap::from([("aws:TagKeys", vec![tag::KEY])]);
            BTreeMap::from([("ForAllValues:StringEquals", keys)])
        } else {
            BTreeMap::new()
        },
    };
    let statements = groups.iter().map(statement);
    Policy {
        version: "2012-10-17",
        statement: statements.chain(tagged::statements(settings, caller, role)).collect(),
    }
}

/// What an identity needs an action for; nothing if it does not.
fn resources(on: On, settings: &Settings, caller: Use, role: Option<&str>) -> Vec<String> {
    let all = caller.bindings(settings);
    let own = all
        .iter()
        .filter(|binding| binding.assume_role.as_ref().map(|role| role.arn.as_str()) == role);
    // The check tries both writes on every group, whatever the settings rule out.
    let tries = caller == Use::WriteCheck;
    let is_written = |binding: &&Binding| tries || !binding.observe;
    let is_removed_from = |binding: &&Binding| is_written(binding) && (tries || !binding.policy.upsert_only);
    let arn = |binding: &Binding| binding.arn.as_str().to_owned();
    match on {
        On::Everything => {
            let is_any = own.count() + tagged::places(settings, caller, role).count() > 0;
            is_any.then(|| "*".to_owned()).into_iter().collect()
        }
        On::Groups => own.filter(is_written).map(arn).collect(),
        On::GroupsRemovedFrom => own.filter(is_removed_from).map(arn).collect(),
        On::Topic if role.is_none() => settings.notify.topic.iter().map(ToString::to_string).collect(),
        On::Roles if role.is_none() => roles(settings, caller).into_iter().map(str::to_owned).collect(),
        // Tokens are signed by the process itself, whatever role it assumes for a target group.
        On::DatabaseUsers if role.is_none() => database_users(settings, caller).into_iter().collect(),
        On::Topic | On::Roles | On::DatabaseUsers | On::NothingAtAll => Vec::new(),
    }
}

/// The users of databases that are logged in as with a token of IAM, by ARN: `*` stands for what no setting tells, as which database
/// of the account it is.
fn database_users(settings: &Settings, caller: Use) -> BTreeSet<String> {
    let of_groups = caller.bindings(settings).iter().flat_map(|binding| {
        let endpoints = binding.endpoints.iter();
        endpoints.map(|endpoint| (binding.lead.as_ref(), endpoint, Some(&binding.arn)))
    });
    let of_proxies = caller.proxies(settings).iter();
    let of_proxies = of_proxies.map(|proxy| (proxy.lead.as_ref(), &proxy.endpoint, None));
    let users = of_groups.chain(of_proxies).filter_map(|(lead, endpoint, group)| {
        let lead = lead.filter(|lead| lead.secret == Secret::Iam)?;
        let user = |region: Option<&str>| {
            let partition = group.map_or_else(|| partition_of(region), Arn::partition);
            let account = group.map_or("*", Arn::account);
            let region = region.unwrap_or("*");
            format!("arn:{partition}:rds-db:{region}:{account}:dbuser:*/{}", lead.user)
        };
        Some(regions(lead, endpoint).into_iter().map(user).collect::<Vec<_>>())
    });
    users
        .flatten()
        .chain(tagged::database_users(settings, caller))
        .collect()
}

/// The regions that the names tell whose servers are asked; a member may be in another one than the endpoint.
fn regions<'a>(lead: &'a Lead, endpoint: &'a Endpoint) -> BTreeSet<Option<&'a str>> {
    let members = lead.members.iter().map(String::as_str);
    [endpoint.host()].into_iter().chain(members).map(region_of).collect()
}

/// The roles that are assumed.
pub fn roles(settings: &Settings, caller: Use) -> BTreeSet<&str> {
    let roles = caller
        .bindings(settings)
        .iter()
        .filter_map(|binding| binding.assume_role.as_ref());
    let roles = roles.map(|role| role.arn.as_str());
    let places = settings.discover.iter().filter(|_| caller != Use::Proxy);
    roles.chain(places.filter_map(tagged::role_of)).collect()
}

impl Policy {
    /// The document.
    pub fn json(&self) -> String {
        // Texts and lists of them can always be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn has(&self, title: &str) -> bool {
        self.statement.iter().any(|statement| statement.sid.starts_with(title))
    }
}

/// What to know about a policy that it cannot say itself.
pub fn notes(policy: &Policy, settings: &Settings, caller: Use, role: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    if policy.statement.is_empty() {
        notes.push(
            "nothing of AWS is called that needs permission: no policy is needed, and IAM takes no empty one".into(),
        );
    }
    if policy.has(OPTIONAL) {
        notes.push(
            "statements whose Sid begins with Optional may be left out: what they allow is missed with a warning or a note"
                .into(),
        );
    }
    if policy.has("OptionalNotify") {
        let actions = OF_ENCRYPTED_TOPIC.join(" and ");
        notes.push(format!(
            "if the topic is encrypted with a key of your own, allow {actions} on that key too"
        ));
    }
    if policy.has(LEAD) {
        notes.push(
            "no setting tells a database's resource ID: in the statement OptionalLead, put yours in the place of the * behind \
             dbuser: (aws rds describe-db-clusters --query 'DBClusters[].DbClusterResourceId' or, of an instance, aws rds \
             describe-db-instances --query 'DBInstances[].DbiResourceId'), and the account's number and the region where they \
             are *"
                .into(),
        );
    }
    if role.is_none() && caller == Use::Lambda {
        notes.push(
            "the function writes its log with the managed policy AWSLambdaBasicExecutionRole (in a VPC \
             AWSLambdaVPCAccessExecutionRole)"
                .into(),
        );
    }
    if role.is_none() {
        notes.extend(
            roles(settings, caller)
                .into_iter()
                .map(|role| about_role(role, settings)),
        );
    }
    let chars = policy.json().chars().filter(|char| !char.is_whitespace()).count();
    if chars > INLINE_MAX_CHARS {
        notes.push(format!(
            "the policy has {chars} characters, and the inline policies of a role may have {INLINE_MAX_CHARS}: spread the \
             target groups over several identities, or write them with a wildcard"
        ));
    }
    notes
}

fn about_role(role: &str, settings: &Settings) -> String {
    let of_groups = settings.bindings.iter().map(|binding| &binding.assume_role);
    let of_places = settings.discover.iter().map(|place| &place.assume_role);
    let ids = of_groups
        .chain(of_places)
        .flatten()
        .filter(|assumed| assumed.arn.as_str() == role)
        .filter_map(|assumed| assumed.external_id.as_deref());
    let ids: Vec<&str> = ids.collect::<BTreeSet<_>>().into_iter().collect();
    let condition = match ids.as_slice() {
        [] => String::new(),
        ids => format!(" (sts:ExternalId {})", ids.join(", ")),
    };
    format!(
        "{role} needs a policy of its own (add --assumed-role {role} to print it), and a trust policy that lets this \
         identity assume it{condition}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::AssumeRole;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:database";
    const THERE: &str = "arn:aws:iam::222233334444:role/tether";

    fn arn(name: &str) -> String {
        format!("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/{name}/73e2d6bc24d8a067")
    }

    fn binding(arn: &str) -> Binding {
        Binding {
            arn: arn.parse().expect("an ARN"),
            endpoints: BTreeSet::new(),
            policy: crate::planner::policy::Policy::default(),
            observe: false,
            assume_role: None,
            trust: None,
            lead: None,
        }
    }

    fn settings(bindings: Vec<Binding>) -> Settings {
        let mut settings = Settings {
            bindings,
            ..Settings::default()
        };
        settings.notify.topic = Some(TOPIC.parse().expect("a topic"));
        settings
    }

    /// Each statement as `Sid: actions on resources`, without the services and with the groups' names.
    fn short(policy: &Policy) -> Vec<String> {
        let texts = |texts: &OneOrMore, separator: char| {
            let texts = match texts {
                OneOrMore::One(text) => std::slice::from_ref(text),
                OneOrMore::More(texts) => texts,
            };
            let last = |text: &String| {
                text.trim_end_matches("/73e2d6bc24d8a067")
                    .rsplit(separator)
                    .next()
                    .map(str::to_owned)
            };
            texts.iter().filter_map(last).collect::<Vec<_>>().join(" ")
        };
        let statements = policy.statement.iter();
        statements
            .map(|one| {
                format!(
                    "{}: {} on {}",
                    one.sid,
                    texts(&one.action, ':'),
                    texts(&one.resource, '/')
                )
            })
            .collect()
    }

    #[test]
    fn each_caller_gets_what_it_calls() {
        let settings = settings(vec![binding(&arn("orders"))]);
        let look = "Look: DescribeTargetGroups DescribeTargetHealth on *";
        let change = "Change: RegisterTargets DeregisterTargets on orders";
        let notify = &format!("OptionalNotify: Publish on {TOPIC}");
        let inspect = "OptionalInspect: DescribeTargetGroupAttributes DescribeLoadBalancers DescribeLoadBalancerAttributes \
                       DescribeListeners DescribeListenerAttributes DescribeRules DescribeVpcEndpointServiceConfigurations \
                       DescribeVpcEndpointConnections DescribeVpcEndpointServicePermissions on *";
        let read = "OptionalReadClocks: DescribeTags on *";
        let keep = "OptionalKeepClocks: AddTags on orders";
        for (caller, statements) in [
            (Use::Run, vec![look, change, notify]),
            (Use::Lambda, vec![look, change, read, keep, notify]),
            (Use::Proxy, vec![notify]),
            (Use::Doctor, vec![look, inspect]),
            (Use::WriteCheck, vec![look, change, inspect]),
        ] {
            assert_eq!(short(&policy(&settings, caller, None)), statements, "{caller:?}");
        }
    }

    #[test]
    fn what_the_settings_rule_out_is_not_allowed() {
        let mut settings = settings(["orders", "shared", "watched"].map(|name| binding(&arn(name))).into());
        settings.bindings[1].policy.upsert_only = true;
        settings.bindings[2].observe = true;
        let of = |caller| short(&policy(&settings, caller, None));
        assert_eq!(
            of(Use::Run)[1..3],
            [
                "RegisterTargets: RegisterTargets on orders shared",
                "DeregisterTargets: DeregisterTargets on orders"
            ]
        );
        assert!(of(Use::Lambda).contains(&"OptionalKeepClocks: AddTags on orders shared".into()));
        let all = "Change: RegisterTargets DeregisterTargets on orders shared watched";
        assert_eq!(of(Use::WriteCheck)[1], all, "the check tries both on all");
        for binding in &mut settings.bindings {
            binding.observe = true;
        }
        settings.notify.topic = None;
        let look = "Look: DescribeTargetGroups DescribeTargetHealth on *";
        assert_eq!(short(&policy(&settings, Use::Run, None)), [look]);
    }

    #[test]
    fn a_role_has_a_policy_of_its_own() {
        let mut settings = settings(["orders", "billing"].map(|name| binding(&arn(name))).into());
        let assumed = |external_id: Option<&str>| AssumeRole {
            arn: THERE.parse().expect("a role"),
            external_id: external_id.map(Into::into),
        };
        settings.bindings[1].assume_role = Some(assumed(Some("orders")));
        let look = "Look: DescribeTargetGroups DescribeTargetHealth on *";
        let own = policy(&settings, Use::Run, None);
        let change = "Change: RegisterTargets DeregisterTargets on orders";
        let notify = &format!("OptionalNotify: Publish on {TOPIC}");
        assert_eq!(short(&own), [look, change, "AssumeRoles: AssumeRole on tether", notify]);
        assert!(own.json().contains(THERE));
        let change = "Change: RegisterTargets DeregisterTargets on billing";
        assert_eq!(short(&policy(&settings, Use::Run, Some(THERE))), [look, change]);
        let told = notes(&own, &settings, Use::Run, None).join("\n");
        assert!(
            told.contains(&format!("--assumed-role {THERE}")) && told.contains("sts:ExternalId orders"),
            "{told}"
        );
        assert!(
            policy(&settings, Use::Proxy, None).json().matches("Sid").count() == 1,
            "a proxy assumes no role"
        );

        settings.bindings[0].assume_role = Some(assumed(None));
        let own = short(&policy(&settings, Use::Doctor, None));
        assert_eq!(
            own,
            ["AssumeRoles: AssumeRole on tether"],
            "all is looked at in the role"
        );
    }

    #[test]
    fn other_partitions_stay_as_they_are() {
        let group = "arn:aws-cn:elasticloadbalancing:cn-north-1:111122223333:targetgroup/orders/73e2d6bc24d8a067";
        let mut settings = settings(vec![binding(group)]);
        settings.notify.topic = Some(
            "arn:aws-cn:sns:cn-north-1:111122223333:database"
                .parse()
                .expect("a topic"),
        );
        let json = policy(&settings, Use::Lambda, None).json();
        assert!(
            json.contains(group) && json.contains("arn:aws-cn:sns:cn-north-1:"),
            "{json}"
        );
        assert!(!json.contains("arn:aws:"), "{json}");
    }

    #[test]
    fn who_leads_with_iam_may_log_in_to_databases() {
        let lead = |user: &str, secret: Secret, members: &[&str]| {
            Some(Lead {
                user: user.to_owned(),
                secret,
                database: "postgres".to_owned(),
                members: members.iter().map(ToString::to_string).collect(),
                patience: std::time::Duration::ZERO,
                trust: crate::probe::Trust::anybody(),
            })
        };
        let mut settings = settings(Vec::new());
        let there = arn("billing").replace("111122223333", "222233334444");
        for (group, endpoint, lead) in [
            (
                &arn("orders"),
                "o.cluster-abc.eu-west-1.rds.amazonaws.com:5432",
                lead("tether", Secret::Iam, &[]),
            ),
            (
                &there,
                "b.cluster-abc.eu-west-1.rds.amazonaws.com:5432",
                lead("tether", Secret::Iam, &[]),
            ),
            (
                &arn("named"),
                "db.internal:5432",
                lead("named", Secret::Iam, &["n.abc.eu-west-2.rds.amazonaws.com"]),
            ),
            (
                &arn("global"),
                "o.global-abc.global.rds.amazonaws.com:5432",
                lead("global", Secret::Iam, &[]),
            ),
            (
                &arn("secret"),
                "s.cluster-abc.eu-west-1.rds.amazonaws.com:5432",
                lead("no", Secret::File("/f".into()), &[]),
            ),
            (&arn("plain"), "p.cluster-abc.eu-west-1.rds.amazonaws.com:5432", None),
        ] {
            let endpoints = BTreeSet::from([endpoint.parse().expect("an endpoint")]);
            settings.bindings.push(Binding {
                endpoints,
                lead,
                ..binding(group)
            });
        }
        settings.bindings[1].assume_role = Some(AssumeRole {
            arn: THERE.parse().expect("a role"),
            external_id: None,
        });
        for (endpoint, user) in [
            ("o.cluster-abc.us-gov-west-1.rds.amazonaws.com:5432", "gov"),
            ("o.cluster-abc.rds.cn-north-1.amazonaws.com.cn:5432", "china"),
            ("o.cluster-abc.eusc-de-east-1.rds.amazonaws.eu:5432", "eu"),
            ("o.cluster-abc.eu-west-1.rds.amazonaws.com:5432", "proxy"),
            ("db.internal:5432", "anywhere"),
        ] {
            let listen = "127.0.0.1:5432".parse().expect("an address");
            settings.proxies.push(Proxy {
                lead: lead(user, Secret::Iam, &[]),
                ..Proxy::new(listen, endpoint.parse().expect("an endpoint"))
            });
        }
        let of_groups = [
            "arn:aws:rds-db:*:111122223333:dbuser:*/global",
            "arn:aws:rds-db:*:111122223333:dbuser:*/named",
            "arn:aws:rds-db:eu-west-1:111122223333:dbuser:*/tether",
            "arn:aws:rds-db:eu-west-1:222233334444:dbuser:*/tether",
            "arn:aws:rds-db:eu-west-2:111122223333:dbuser:*/named",
        ];
        let of_proxies = [
            "arn:aws-cn:rds-db:cn-north-1:*:dbuser:*/china",
            "arn:aws-eusc:rds-db:eusc-de-east-1:*:dbuser:*/eu",
            "arn:aws-us-gov:rds-db:us-gov-west-1:*:dbuser:*/gov",
            "arn:aws:rds-db:*:*:dbuser:*/anywhere",
            "arn:aws:rds-db:eu-west-1:*:dbuser:*/proxy",
        ];
        let users = |caller, role| {
            let policy = policy(&settings, caller, role);
            let told = notes(&policy, &settings, caller, role).join("\n");
            let mut leading = policy
                .statement
                .iter()
                .filter(|one| one.action == OneOrMore::new(["rds-db:connect"]));
            let leading = leading.next().map(|one| (one.sid, one.resource.clone()));
            assert_eq!(
                told.contains("DBClusters[].DbClusterResourceId"),
                leading.is_some(),
                "{caller:?}: {told}"
            );
            leading
        };
        let mut all = [of_groups, of_proxies].concat();
        all.sort_unstable();
        assert_eq!(users(Use::Run, None), Some(("OptionalLead", OneOrMore::new(all))));
        assert_eq!(
            users(Use::Lambda, None),
            Some(("OptionalLead", OneOrMore::new(of_groups)))
        );
        assert_eq!(
            users(Use::Proxy, None),
            Some(("OptionalLead", OneOrMore::new(of_proxies)))
        );
        assert_eq!(
            users(Use::Doctor, None),
            None,
            "doctor asks as the user that it is given"
        );
        assert_eq!(
            users(Use::Run, Some(THERE)),
            None,
            "the process signs its tokens itself"
        );
    }

    #[test]
    fn the_only_tag_that_may_be_written_is_that_of_the_clocks() {
        let settings = settings(vec![binding(&arn("orders"))]);
        let json = serde_json::to_value(policy(&settings, Use::Lambda, None)).expect("JSON");
        let statements = json["Statement"].as_array().expect("statements");
        for statement in statements {
            let is_write = statement["Action"] == "elasticloadbalancing:AddTags";
            let condition = &statement["Condition"]["ForAllValues:StringEquals"]["aws:TagKeys"];
            assert_eq!(*condition == serde_json::json!([tag::KEY]), is_write, "{statement}");
            assert_eq!(statement.get("Condition").is_some(), is_write, "{statement}");
        }
    }

    #[test]
    fn what_a_policy_cannot_say_is_told() {
        let mut settings = settings(vec![binding(&arn("orders"))]);
        let told =
            |settings: &Settings, caller| notes(&policy(settings, caller, None), settings, caller, None).join("\n");
        let lambda = told(&settings, Use::Lambda);
        for part in [
            "begins with Optional",
            "AWSLambdaBasicExecutionRole",
            "kms:GenerateDataKey and kms:Decrypt",
        ] {
            assert!(lambda.contains(part), "{part}: {lambda}");
        }
        settings.notify.topic = None;
        assert_eq!(told(&settings, Use::Run), "");
        assert!(told(&settings, Use::Proxy).contains("no policy is needed"));
        settings.bindings = (0..200)
            .map(|number| binding(&arn(&format!("orders-{number}"))))
            .collect();
        assert!(told(&settings, Use::Run).contains("10240"), "too long");
    }
}

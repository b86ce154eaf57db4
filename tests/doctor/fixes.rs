//! Whoever does what doctor says, word by word, takes nobody off what he uses: every command that it prints is carried out in a
//! model of the load balancer, and who was served before is served after, by the same groups and in the same way.

use std::collections::BTreeSet;
use std::thread;

use testkit::elb::{Entry, Family, Forward, Group, Listener, Model, Rule, Service, Ways};

use super::world::*;
use super::{Diagnosis, doctor, examine};

/// The group that doctor is asked about.
fn ours() -> Group {
    Group::named("orders")
}

/// A group of somebody else, whose clients are to be left alone.
fn theirs() -> Group {
    Group::named("legacy")
}

/// The address of the database that somebody else's clients use.
const THEIRS: &str = "10.0.2.77";

/// Situations that are played at a time.
const TOGETHER: usize = 4;

/// Something that doctor gives a command for.
struct Situation {
    /// What is wrong.
    name: &'static str,
    ours: Group,
    /// A group beside it.
    theirs: Option<Group>,
    /// A target beside the current one.
    beside: Option<&'static str>,
    /// The words of a command that its reader puts in, and what he puts there.
    put_in: &'static [(&'static str, &'static str)],
    /// The check that has the command, and its status before.
    check: (&'static str, &'static str),
    /// Its status when the command is carried out; without one there is no command, only words.
    after: Option<&'static str>,
    /// The actions of the commands.
    verbs: &'static [&'static str],
}

impl Default for Situation {
    fn default() -> Self {
        Self {
            name: "",
            ours: ours(),
            theirs: None,
            beside: None,
            put_in: &[],
            check: ("", "warning"),
            after: Some("ok"),
            verbs: &[],
        }
    }
}

impl Situation {
    fn world(self) -> (World, Self) {
        let world = World::settled_with(self.ours.clone());
        if let Some(theirs) = &self.theirs {
            let arn = world.elb.add_group(theirs.clone());
            world.elb.put_target(&arn, THEIRS, 5432);
        }
        if let Some(beside) = self.beside {
            world.elb.put_target(&world.arn, beside, 5432);
        }
        (world, self)
    }
}

/// The commands in a text: each ends where the sentence does.
fn commands(text: &str) -> Vec<String> {
    let starts: Vec<usize> = text.match_indices("aws ").map(|(at, _)| at).collect();
    let command = |at: &usize| {
        let rest = &text[*at..];
        rest.split(';').next().unwrap_or(rest).trim().to_owned()
    };
    starts.iter().map(command).collect()
}

/// Who was served before is served after, as before, and by nobody else.
#[track_caller]
fn assert_nobody_lost(name: &str, before: &Ways, after: &Ways) {
    let groups = |served: &BTreeSet<(String, String)>| -> BTreeSet<String> {
        served.iter().map(|(group, _)| group.clone()).collect()
    };
    for (entry, served) in before.iter().filter(|(_, served)| !served.is_empty()) {
        let now = after.get(entry).unwrap_or_else(|| panic!("{name}: {entry:?} is gone"));
        assert!(
            served.is_subset(now),
            "{name}: {entry:?} had {served:?}, and has {now:?}"
        );
        assert_eq!(groups(served), groups(now), "{name}: {entry:?} is led elsewhere");
    }
}

fn dual_stack(mut group: Group) -> Group {
    group.balancer.ip_address_type = "dualstack".into();
    group
}

fn with_listener(listener: Listener) -> Group {
    ours().balanced(|balancer| balancer.listeners = vec![listener])
}

fn to(forward: Vec<Forward>) -> Listener {
    Listener {
        forward,
        ..Listener::default()
    }
}

/// The group of somebody else has the load balancer, and ours is to be reached there, too.
fn behind_theirs(listener: Listener) -> (Group, Option<Group>) {
    let theirs = dual_stack(theirs()).balanced(|balancer| balancer.listeners = vec![listener]);
    let balancer = theirs.load_balancer_arn().unwrap();
    (ours().behind(&balancer), Some(theirs))
}

fn rule(priority: u32, family: Family, group: Group) -> Rule {
    Rule::for_clients(priority, family, vec![Forward::to(&group.arn())])
}

const IN_PLACE_OF_ARN: &[(&str, &str)] = &[(
    "--load-balancer-arn ARN",
    "--load-balancer-arn arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/legacy/",
)];

/// Listeners, rules and weights.
fn listeners() -> Vec<Situation> {
    let listener = ("balancer.listener", "failure");
    let create: &[&str] = &["create-listener"];
    let weighted = |own: u16, other: u16| {
        to(vec![
            Forward::weighted(&ours().arn(), own),
            Forward::weighted(&theirs().arn(), other),
        ])
    };
    let (nowhere, nobody) = behind_theirs(Listener::default());
    let (idle, beside) = behind_theirs(weighted(0, 10));
    let (idle_rule, in_rule) = behind_theirs(Listener {
        rules: vec![Rule::for_clients(
            5,
            Family::Ipv6,
            vec![
                Forward::weighted(&ours().arn(), 0),
                Forward::weighted(&theirs().arn(), 7),
            ],
        )],
        ..Listener::default()
    });
    let (shadowed, above) = behind_theirs(Listener {
        forward: vec![Forward::to(&ours().arn())],
        rules: vec![rule(10, Family::Ipv4, theirs()), rule(20, Family::Ipv6, theirs())],
        ..Listener::default()
    });
    vec![
        Situation {
            name: "no listener forwards to the group",
            ours: nowhere,
            theirs: nobody,
            check: listener,
            verbs: create,
            ..Situation::default()
        },
        Situation {
            name: "weight 0 beside another group",
            ours: idle,
            theirs: beside,
            check: listener,
            verbs: create,
            ..Situation::default()
        },
        Situation {
            name: "weight 0 in a rule",
            ours: idle_rule,
            theirs: in_rule,
            check: listener,
            verbs: create,
            ..Situation::default()
        },
        Situation {
            name: "rules take every client before the default action",
            ours: shadowed,
            theirs: above,
            check: listener,
            verbs: create,
            ..Situation::default()
        },
        Situation {
            name: "the listener ends TLS, for clients that begin with it",
            ours: with_listener(Listener {
                protocol: "TLS".into(),
                ..Listener::default()
            }),
            check: listener,
            after: Some("warning"),
            verbs: create,
            ..Situation::default()
        },
        Situation {
            name: "idle connections are dropped",
            check: ("balancer.idle-timeout", "warning"),
            verbs: &["modify-listener-attributes"],
            ..Situation::default()
        },
    ]
}

/// The load balancer itself.
fn balancers() -> Vec<Situation> {
    let guarded = |mut group: Group| {
        group.balancer.security_groups = vec!["sg-0a1b".into(), "sg-0c2d".into()];
        group.balancer.private_link_rules = Some("on".into());
        group.balancer.admits_consumers = false;
        group
    };
    let shared = ours();
    let balancer = shared.load_balancer_arn().unwrap();
    vec![
        Situation {
            name: "no load balancer uses the group",
            ours: ours().unattached().port(5433),
            theirs: Some(theirs()),
            put_in: IN_PLACE_OF_ARN,
            check: ("balancer.attached", "failure"),
            // Who uses a group is not derived from listeners in the model.
            after: Some("failure"),
            verbs: &["create-listener"],
            ..Situation::default()
        },
        Situation {
            name: "a zone is not enabled",
            ours: ours().zones(&["eu-west-1b", "eu-west-1c"]),
            theirs: Some(theirs().zones(&["eu-west-1b", "eu-west-1c"]).behind(&balancer)),
            put_in: &[(" SUBNET", " subnet-eu-west-1a")],
            check: ("balancer.zones", "failure"),
            verbs: &["set-subnets"],
            ..Situation::default()
        },
        Situation {
            name: "zones without a target, on a load balancer that others use",
            ours: shared.balanced(|balancer| {
                balancer.listeners.push(Listener {
                    port: 5433,
                    ..to(vec![Forward::to(&theirs().arn())])
                });
            }),
            theirs: Some(theirs().behind(&balancer)),
            check: ("balancer.cross-zone", "warning"),
            verbs: &["modify-target-group-attributes"],
            ..Situation::default()
        },
        Situation {
            name: "security groups keep PrivateLink consumers out",
            ours: guarded(ours()),
            check: ("balancer.private-link", "warning"),
            verbs: &["set-security-groups"],
            ..Situation::default()
        },
    ]
}

/// The endpoint service that publishes the load balancer; somebody is connected.
fn services() -> Vec<Situation> {
    let published = |change: fn(&mut Service)| {
        ours().published(|service| {
            let endpoint = |id: &str, state: &str| (id.to_owned(), "072088201116".to_owned(), state.to_owned());
            service.endpoints = vec![endpoint("vpce-0a", "available")];
            change(service);
        })
    };
    let warning = |name: &'static str, check: &'static str, ours: Group, verbs: &'static [&'static str]| Situation {
        name,
        ours,
        check: (check, "warning"),
        verbs,
        ..Situation::default()
    };
    let configuration: &[&str] = &["modify-vpc-endpoint-service-configuration"];
    vec![
        Situation {
            name: "nobody publishes the load balancer",
            check: ("service.published", "skipped"),
            verbs: &["create-vpc-endpoint-service-configuration"],
            ..Situation::default()
        },
        Situation {
            name: "the service has failed",
            ours: ours().published(|service| service.state = "Failed".into()),
            check: ("service.published", "failure"),
            verbs: &["create-vpc-endpoint-service-configuration"],
            ..Situation::default()
        },
        warning(
            "endpoints wait to be accepted",
            "service.connections",
            published(|service| {
                for id in ["vpce-0b", "vpce-0c"] {
                    let state = "pendingAcceptance".to_owned();
                    service.endpoints.push((id.into(), "222233334444".into(), state));
                }
            }),
            &["accept-vpc-endpoint-connections"],
        ),
        Situation {
            put_in: &[("iam::ACCOUNT:", "iam::222233334444:")],
            ..warning(
                "nobody may connect",
                "service.principals",
                published(|service| service.principals.clear()),
                &["modify-vpc-endpoint-service-permissions"],
            )
        },
        warning(
            "everybody may connect unasked",
            "service.principals",
            published(|service| {
                service.principals = vec!["*".into()];
                service.needs_acceptance = false;
            }),
            configuration,
        ),
        warning(
            "a zone that the service is not offered in",
            "service.zones",
            published(|service| assert!(service.zones.remove("eu-west-1c"))),
            configuration,
        ),
        warning(
            "a private name that is not verified",
            "service.private-dns",
            published(|service| {
                service.private_name = Some(("db.example.com".into(), "pendingVerification".into()));
                // As the fix says to, before its command.
                service.is_proven = true;
            }),
            &["start-vpc-endpoint-service-private-dns-verification"],
        ),
    ]
}

/// The target group.
fn groups() -> Vec<Situation> {
    let preserving = |admits_balancer: bool| {
        let mut group = ours().attribute("preserve_client_ip.enabled", "true");
        group.admits_balancer = admits_balancer;
        group
    };
    let checked = |change: fn(&mut testkit::elb::HealthCheck)| {
        let mut group = ours();
        change(&mut group.health_check);
        group
    };
    let attributes: &[&str] = &["modify-target-group-attributes"];
    let group: &[&str] = &["modify-target-group"];
    vec![
        Situation {
            name: "connections to a removed target live on",
            check: ("group.termination", "warning"),
            verbs: attributes,
            ..Situation::default()
        },
        Situation {
            name: "client addresses are preserved, and the database lets the load balancer in",
            ours: preserving(true),
            check: ("group.client-ip", "warning"),
            verbs: attributes,
            ..Situation::default()
        },
        Situation {
            name: "client addresses are preserved, and the database lets in clients alone",
            ours: preserving(false),
            check: ("group.client-ip", "warning"),
            after: None,
            ..Situation::default()
        },
        Situation {
            name: "a PROXY header comes before each connection",
            ours: ours().attribute("proxy_protocol_v2.enabled", "true"),
            check: ("group.proxy-protocol", "failure"),
            verbs: attributes,
            ..Situation::default()
        },
        Situation {
            name: "a PROXY header, with a proxy beside the database that takes it",
            ours: {
                let mut group = ours().attribute("proxy_protocol_v2.enabled", "true");
                group.behind_header.insert("10.0.3.9".into());
                group
            },
            beside: Some("10.0.3.9"),
            check: ("group.proxy-protocol", "failure"),
            after: None,
            ..Situation::default()
        },
        Situation {
            name: "slow health checks",
            check: ("group.health-check", "warning"),
            verbs: group,
            ..Situation::default()
        },
        Situation {
            name: "slow health checks that wait for long",
            ours: checked(|check| (check.interval, check.timeout) = (60, 30)),
            check: ("group.health-check", "warning"),
            verbs: group,
            ..Situation::default()
        },
        Situation {
            name: "health checks of another protocol",
            ours: checked(|check| (check.protocol, check.healthy, check.interval) = ("HTTP".into(), 2, 10)),
            check: ("group.health-check", "failure"),
            verbs: group,
            ..Situation::default()
        },
        Situation {
            name: "health checks of another port",
            ours: checked(|check| {
                (check.healthy, check.interval) = (2, 10);
                check.port = "9477".into();
            }),
            check: ("group.health-check", "warning"),
            verbs: group,
            ..Situation::default()
        },
    ]
}

/// The commands that doctor prints, ready to be typed, without those that only look.
#[track_caller]
fn typed(told: &Diagnosis, name: &str, put_in: &[(&str, &str)], model: &Model) -> Vec<String> {
    let fix = &told.check(name).fix;
    let mut typed = Vec::new();
    for command in commands(fix) {
        let words: Vec<&str> = command.split_whitespace().collect();
        if ["describe-", "list-"].iter().any(|verb| words[2].starts_with(verb)) {
            continue;
        }
        assert!(["elbv2", "ec2"].contains(&words[1]), "{command}");
        let mut command = command;
        for (word, value) in put_in {
            assert!(command.contains(word), "{word}: {command}");
            command = command.replace(word, value);
        }
        // The beginning of an ARN stands for the whole.
        let known = model.arns().filter_map(|arn| model.group(arn)?.load_balancer_arn());
        for balancer in known {
            let (beginning, id) = balancer.rsplit_once('/').unwrap();
            command = command.replace(&format!("{beginning}/ "), &format!("{beginning}/{id} "));
        }
        typed.push(command);
    }
    typed
}

/// Does what doctor says of a situation, and returns the actions that were called.
fn follow(situation: Situation) -> Vec<String> {
    let (world, situation) = situation.world();
    let Situation { name, check, after, .. } = situation;
    let told = examine(&mut doctor(&world));
    told.assert(check.0, check.1, &[]);
    let seen = || world.elb.model(|model, now| (model.ways(now), model.connected()));
    let (before, connected) = seen();
    let typed = world
        .elb
        .model(|model, _| typed(&told, check.0, situation.put_in, model));
    let verbs = typed
        .iter()
        .filter_map(|command| command.split(' ').nth(2).map(str::to_owned));
    let verbs: Vec<String> = verbs.collect();
    assert_eq!(verbs, situation.verbs, "{name}: {}", told.check(check.0).fix);
    for command in &typed {
        let done = world.elb.model(|model, _| model.obey(command));
        done.unwrap_or_else(|refusal| panic!("{name}: {refusal:?}: {command}"));
    }
    let (after_it, still_connected) = seen();
    assert_nobody_lost(name, &before, &after_it);
    assert!(connected.is_subset(&still_connected), "{name}: {still_connected:?}");
    examine(&mut doctor(&world)).assert(check.0, after.unwrap_or(check.1), &[]);
    verbs
}

#[test]
fn whoever_does_what_doctor_says_takes_nobody_off_what_he_uses() {
    let situations = listeners().into_iter().chain(balancers()).chain(groups());
    let mut situations = situations.chain(services()).peekable();
    let mut used = BTreeSet::new();
    // Each looks at DNS for seconds, and the machine is small.
    while situations.peek().is_some() {
        let some = situations.by_ref().take(TOGETHER);
        let running: Vec<_> = some.map(|situation| thread::spawn(|| follow(situation))).collect();
        let ended = running
            .into_iter()
            .map(|running| running.join().expect("no situation fails"));
        used.extend(ended.flatten());
    }
    assert_eq!(used, verbs_in_the_sources(), "a command that no situation carries out");
}

/// The commands that doctor may print, whatever it sees, without those that only look.
fn verbs_in_the_sources() -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/doctor");
    let mut verbs = BTreeSet::new();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        files += 1;
        for sign in [
            "aws elbv2 ",
            "elbv2(detail, \"",
            "ec2(detail, \"",
            "of_service(detail, service, \"",
        ] {
            for (at, _) in text.match_indices(sign) {
                let rest = &text[at + sign.len()..];
                let verb: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '-')
                    .collect();
                // What the function that writes them has in its place.
                if !verb.is_empty() {
                    verbs.insert(verb);
                }
            }
        }
    }
    assert!(files > 10, "the sources are elsewhere");
    verbs
}

/// The check of the checks: what doctor once said is found out.
#[test]
fn a_command_that_leads_clients_elsewhere_is_found_out() {
    let (ours, theirs) = behind_theirs(Listener {
        rules: vec![rule(10, Family::Ipv6, ours())],
        ..Listener::default()
    });
    let mut model = Model::default();
    let now = std::time::Duration::ZERO;
    let theirs = model.add_group(theirs.unwrap());
    let ours = model.add_group(ours);
    model.put_target(&theirs, THEIRS, 5432, now);
    model.put_target(&ours, OLD, 5432, now);
    let before = model.ways(now);
    let of = |family: Family, ways: &Ways| -> BTreeSet<String> {
        let is_it = |(entry, _): &(&Entry, &BTreeSet<(String, String)>)| entry.family == family;
        let served = ways.iter().filter(is_it).flat_map(|(_, served)| served);
        served.map(|(group, _)| group.clone()).collect()
    };
    assert_eq!(of(Family::Ipv4, &before), BTreeSet::from([theirs.clone()]));
    assert_eq!(of(Family::Ipv6, &before), BTreeSet::from([ours.clone()]));
    let balancer = model.group(&theirs).unwrap().load_balancer_arn().unwrap();
    let listener = balancer.replace(":loadbalancer/", ":listener/");
    let command = format!(
        "aws elbv2 modify-listener --listener-arn {listener}/f2f7dc8efc522ab2 --default-actions \
         Type=forward,TargetGroupArn={ours}"
    );
    model.obey(&command).unwrap();
    let after = model.ways(now);
    assert_eq!(of(Family::Ipv4, &after), BTreeSet::from([ours]));
    let found = std::panic::catch_unwind(|| assert_nobody_lost("the former fix", &before, &after));
    assert!(found.is_err());
}

//! Each example made, looked at again and unmade.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use super::calls;
use super::checks::{self, Made};
use super::code::{folders, resources};
use super::script;
use super::stage::Stage;

/// What moto tells otherwise than it was told, so that a second plan would change it again: the address within its module, and
/// the attribute.
const MOTO_DIFFERS: &[&str] = &[
    // It says nothing of whether rules hold for PrivateLink.
    "aws_lb.this enforce_security_group_inbound_rules_on_private_link_traffic",
    // It forgets the description of a rule about another security group.
    "aws_vpc_security_group_egress_rule.database_groups[0] description",
    "aws_vpc_security_group_egress_rule.load_balancer[\"health\"] description",
    "aws_vpc_security_group_egress_rule.load_balancer[\"proxy orders\"] description",
    "aws_vpc_security_group_ingress_rule.database[0] description",
    "aws_vpc_security_group_ingress_rule.load_balancer[\"health\"] description",
    "aws_vpc_security_group_ingress_rule.load_balancer[\"proxy orders\"] description",
    // It hands the tags of a launch template to what is launched, and so makes another version of it due.
    "aws_launch_template.this tag_specifications",
    "aws_launch_template.this default_version",
    "aws_launch_template.this latest_version",
    "aws_autoscaling_group.this launch_template",
    "aws_autoscaling_group.this capacity_reservation_specification",
];

/// Fails if an example cannot be applied or destroyed, if a second plan shows something else than what is moto's own doing, or
/// if a failover makes a difference to it.
#[test]
#[ignore = "needs terraform, the AWS provider and moto: tests/run provides them"]
fn each_example_is_made_looked_at_again_and_unmade() {
    let seen = Mutex::new(Seen::default());
    thread::scope(|scope| {
        for example in folders("examples") {
            let seen = &seen;
            scope.spawn(move || {
                let stage = Stage::new(&example);
                let calls = example.ends_with("function-for-existing-group");
                if calls {
                    calls::fail(&stage);
                }
                let made = resources(&stage.apply());
                assert!(made.len() > 5, "{example}: {made:?}");
                let answers = made.iter().filter(|(address, _)| address.ends_with(".first_sync[0]"));
                let answers: Vec<&Value> = answers.map(|(_, values)| &values["result"]).collect();
                assert!(!calls || !answers.is_empty(), "{example}: the next apply calls again");
                assert!(answers.iter().all(|answer| **answer == calls::answer()), "{answers:?}");
                let second = stage.plan();
                let groups = groups_of_addresses(&made);
                for group in &groups {
                    stage.fail_over(group);
                    assert_eq!(stage.plan(), second, "{example}: a failover changes the plan");
                }
                let (alarms, settings) = (checks::alarms(&example, &made), checks::settings(&example, &made));
                let (roles, scripts) = (checks::permissions(&example, &made), checks::user_data(&made));
                stage.destroy();
                let mut seen = seen.lock().expect("no other example has failed meanwhile");
                seen.differences.extend(second);
                seen.failed_over += groups.len();
                seen.alarms += alarms;
                seen.settings += settings;
                seen.roles += roles;
                seen.scripts.extend(scripts);
            });
        }
    });
    let seen = seen.into_inner().expect("what was seen");
    let wanted: BTreeSet<String> = MOTO_DIFFERS.iter().map(ToString::to_string).collect();
    assert_eq!(
        seen.differences, wanted,
        "a second plan differs by what moto differs by"
    );
    assert!(seen.failed_over > 0, "no example has a group to fail over");
    assert!(seen.alarms >= 6, "no example has alarms");
    assert_eq!(
        seen.settings,
        folders("examples").len(),
        "each example has one function, or one kind of hosts"
    );
    assert_eq!(seen.roles, seen.settings, "each has one role");
    assert!(!seen.scripts.is_empty(), "no example has hosts");
    for script in &seen.scripts {
        script::check(script);
    }
}

/// What all examples together have shown.
#[derive(Default)]
struct Seen {
    differences: BTreeSet<String>,
    failed_over: usize,
    alarms: usize,
    settings: usize,
    roles: usize,
    scripts: Vec<String>,
}

/// The target groups that rds-tether follows and the example owns.
fn groups_of_addresses(made: &[Made]) -> Vec<String> {
    let ours = made
        .iter()
        .filter(|(address, values)| address.contains("aws_lb_target_group.") && values["target_type"] == "ip");
    ours.map(|(_, values)| values["arn"].as_str().expect("an ARN").to_owned())
        .collect()
}

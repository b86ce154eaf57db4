//! The root module hands on what it is given, and checks it as its modules do; and what its README says of a group of one's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use hcl::{Body, Structure};
use serde_json::{Value, json};

use super::code::{CODE, Copy, REGION, blocks, body, label, resources, run, succeed};
use super::stage::Stage;
use testkit::moto::{ANYBODY, ELB, element};
use testkit::program::said;

const BOUNDARY: &str = "arn:aws:iam::111122223333:policy/boundary";

/// What would be made: values by their address.
struct Planned(Vec<(String, Value)>);

impl Planned {
    /// With further variables.
    fn of(stage: &Stage, variables: &Value) -> Self {
        let path = stage.copy.path(".").join("way.auto.tfvars.json");
        fs::write(path, variables.to_string()).expect("the variables are written");
        let plan = stage.planned();
        Self(resources(&json!({ "values": plan["planned_values"] })))
    }

    #[track_caller]
    fn value(&self, address: &str, pointer: &str) -> &Value {
        let found = self.0.iter().find(|(found, _)| found == address);
        let (_, values) = found.unwrap_or_else(|| panic!("no {address}"));
        values
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{address} has no {pointer}: {values}"))
    }
}

/// Fails if the root module keeps an option to itself.
#[test]
#[ignore = "needs terraform, the AWS provider and moto: tests/run provides them"]
fn the_root_module_hands_its_options_on() {
    let mut subnets = Value::Null;
    let stage = Stage::with(Copy::new(), ".", |here| {
        subnets = here["subnet_ids"].clone();
        json!({
            "allowed_principals": ["arn:aws:iam::072088201116:root"],
            "permissions_boundary": BOUNDARY,
            "deletion_protection": true,
            "deregistration_delay": 45,
            "reserved_concurrency": -1,
            "vpc": { "subnet_ids": [subnets[0]], "security_group_ids": ["sg-0123456789abcdef0"] },
            "session_manager": true,
            "host_subnet_ids": [subnets[2], subnets[0]],
        })
    });
    let planned = Planned::of(&stage, &json!({ "follow_with": "function" }));
    let function = "module.function[0].aws_lambda_function.this";
    assert_eq!(planned.value(function, "/reserved_concurrent_executions"), -1);
    assert_eq!(
        planned.value(function, "/vpc_config/0/subnet_ids"),
        &json!([subnets[0]])
    );
    let role = "module.function[0].aws_iam_role.function";
    assert_eq!(planned.value(role, "/permissions_boundary"), BOUNDARY);
    let balancer = "module.privatelink.aws_lb.this";
    assert_eq!(planned.value(balancer, "/enable_deletion_protection"), true);
    let group = "module.privatelink.aws_lb_target_group.this";
    assert_eq!(planned.value(group, "/deregistration_delay"), "45");

    let planned = Planned::of(&stage, &json!({ "follow_with": "proxy" }));
    let role = "module.hosts[0].aws_iam_role.host";
    assert_eq!(planned.value(role, "/permissions_boundary"), BOUNDARY);
    let shell = "module.hosts[0].aws_iam_role_policy_attachment.session_manager[0]";
    let policy = planned.value(shell, "/policy_arn");
    assert_eq!(policy, "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore");
    let zones = planned.value("module.hosts[0].aws_autoscaling_group.this", "/vpc_zone_identifier");
    let zones: BTreeSet<&str> = zones
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let wanted = [&subnets[0], &subnets[2]].map(|subnet| subnet.as_str().expect("an ID"));
    assert_eq!(zones, BTreeSet::from(wanted));

    // What proxies do not do is refused. Left out without a word, nobody would follow these groups.
    let discover = json!({ "here": { "region": REGION, "allow_endpoints": ["*.rds.amazonaws.com"] } });
    let variables = json!({ "follow_with": "proxy", "discover": discover });
    let path = stage.copy.path(".").join("way.auto.tfvars.json");
    fs::write(path, variables.to_string()).expect("the variables are written");
    let output = run(&mut stage.terraform(&["plan", "-input=false", "-no-color"]));
    // A long line is wrapped.
    let told = said(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    let is_refused = !output.status.success() && told.contains("Hosts that are targets follow no tagged groups");
    assert!(is_refused, "{told}");
}

/// Fails if the root module lets through what a module refuses, and so names a variable that its user does not have.
#[test]
fn the_root_module_checks_as_its_modules_do() {
    let checks = |path: &str, variable: &str| {
        let body = body(&Path::new(CODE).join(path).join("variables.tf"));
        let block = blocks(&body, "variable").find(|block| label(block) == variable);
        let block = block.unwrap_or_else(|| panic!("{path} has no {variable}")).clone();
        let described = |one: &Structure| {
            one.as_attribute()
                .is_some_and(|attribute| attribute.key() == "description")
        };
        let said = block.body.into_iter().filter(|one| !described(one));
        hcl::to_string(&said.collect::<Body>()).expect("what was read")
    };
    for (module, variables) in [
        (
            "function",
            &[
                "discover",
                "reserved_concurrency",
                "vpc",
                "permissions_boundary",
                "database_user_arns",
                "alarm_topic_arns",
                "architecture",
            ][..],
        ),
        (
            "hosts",
            &["session_manager", "permissions_boundary", "extra_security_group_ids"],
        ),
        (
            "privatelink",
            &[
                "name",
                "vpc_id",
                "deregistration_delay",
                "deletion_protection",
                "allowed_principals",
                "supported_regions",
                "database_cidrs",
            ],
        ),
    ] {
        for variable in variables {
            let theirs = checks(&format!("modules/{module}"), variable);
            let ours = checks(".", variable);
            let squeezed = |text: &str| text.replace("the zip was built", "the package was built");
            assert_eq!(squeezed(&ours), squeezed(&theirs), "{variable} of {module}");
        }
    }
}

/// Fails if what follows nothing is made, or what would follow whatever a tag names; or if a place alone is not enough.
#[test]
#[ignore = "needs terraform, the AWS provider and moto: tests/run provides them"]
fn a_place_to_look_for_tagged_groups_is_enough_and_nothing_is_not() {
    thread::scope(|scope| {
        for module in ["modules/function", "modules/hosts"] {
            scope.spawn(move || {
                let stage = Stage::new(module);
                let plan = |discover: &Value| {
                    let path = stage.copy.path(module).join("way.auto.tfvars.json");
                    fs::write(path, json!({ "discover": discover }).to_string()).expect("the variables are written");
                    let output = run(&mut stage.terraform(&["plan", "-input=false", "-no-color"]));
                    // A long line is wrapped.
                    let told: Vec<String> = said(&output).split_whitespace().map(str::to_owned).collect();
                    (output.status.success(), told.join(" "))
                };
                let place = |patterns: &Value| json!({ "here": { "region": REGION, "allow_endpoints": patterns } });
                for (discover, why) in [
                    (json!({}), "There is nothing to follow"),
                    (
                        json!({ "here": { "region": REGION } }),
                        "attribute \"allow_endpoints\" is required",
                    ),
                    (place(&json!([])), "allow_endpoints is empty"),
                    (place(&json!(["*"])), "ends in a domain"),
                ] {
                    let (is_planned, told) = plan(&discover);
                    assert!(!is_planned && told.contains(why), "{module}: {discover}: {told}");
                }
                let (is_planned, told) = plan(&place(&json!(["*.rds.amazonaws.com"])));
                assert!(is_planned, "{module}: {told}");
            });
        }
    });
}

/// Fails if the function's tag makes a difference to a group that is written as the README says.
#[test]
#[ignore = "needs terraform, the AWS provider and moto: tests/run provides them"]
fn a_group_as_the_readme_writes_it_ignores_the_tag() {
    let copy = Copy::new();
    let readme = fs::read_to_string(copy.path(".").join("README.md")).unwrap();
    let blocks = readme
        .split("```hcl\n")
        .skip(1)
        .filter_map(|rest| rest.split("```\n").next());
    let mut blocks = blocks.filter(|block| block.contains("ignore_changes"));
    let block = blocks.next().expect("a group that ignores the tag").to_owned();
    assert!(blocks.next().is_none(), "several");
    let block = block.replace("\"vpc-0123456789abcdef0\"", "var.vpc_id");
    let without = block.replace("ignore_changes = [tags[\"rds-tether:absent\"]]", "");
    assert!(block.contains("var.vpc_id") && without != block, "{block}");
    let path = copy.path("of-your-own");
    fs::create_dir(&path).unwrap();
    let path = path.join("main.tf");
    let write = |block: &str| fs::write(&path, format!("variable \"vpc_id\" {{}}\n\n{block}")).unwrap();
    write(&block);
    let stage = Stage::with(copy, "of-your-own", |_| json!({}));
    succeed(&mut stage.terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]));
    let groups = stage
        .moto
        .call(ANYBODY, ELB, "DescribeTargetGroups", "Names.member.1=orders");
    stage.fail_over(&element(&groups, "TargetGroupArn"));
    let plan = || {
        let output = run(&mut stage.terraform(&["plan", "-detailed-exitcode", "-input=false", "-no-color"]));
        (output.status.code(), said(&output))
    };
    let (code, told) = plan();
    assert_eq!(code, Some(0), "there is something to change: {told}");
    write(&without);
    let (code, told) = plan();
    assert!(
        code == Some(2) && told.contains("\"rds-tether:absent\" = "),
        "without that line nothing would be lost: {told}"
    );
}

//! The patterns of the templates' parameters.

use rds_tether::planner::pattern::Pattern;

use super::TEMPLATES;
use super::bridge;

/// The patterns let in what is right and refuse what people type instead.
#[test]
#[ignore = "needs cfn-lint: tests/run provides it"]
fn the_patterns_refuse_what_would_fail_later() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:database";
    let group = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067";
    let balancer = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/orders/73e2d6bc24d8a067";
    let sovereign = "arn:aws-eusc:elasticloadbalancing:eusc-de-east-1:111122223333:targetgroup/orders/73e2d6bc24d8a067";
    let endpoint = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";
    let role = "arn:aws:iam::111122223333:role/tether";
    let user = "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/rds_tether";
    let users = format!("{user},{}", user.replace("cluster-", "db-"));
    let any_database = user.replace("cluster-ABCDEFGHIJKL01234", "*");
    let fifo = format!("{topic}.fifo");
    let roles = format!("{role},{role}");
    let groups = format!("{group},{sovereign}");
    let with_blank = format!("{group}, {sovereign}");
    let uri = format!("postgres://{endpoint}/orders");
    let endpoint_url = uri.as_str();
    let tables: &[(&str, &str, &[&str], &[&str])] = &[
        ("lambda.yaml", "Endpoint", &["", endpoint], &["orders", &uri, "orders:"]),
        (
            "lambda.yaml",
            "TargetGroupArns",
            &["", group, sovereign, &groups],
            &["orders", balancer, &with_blank],
        ),
        (
            "lambda.yaml",
            "AssumeRoleArns",
            &["", role, &roles],
            &["arn:aws:iam::111122223333:role/*", "tether"],
        ),
        (
            "lambda.yaml",
            "CodeBucket",
            &["orders-packages"],
            &["s3://orders-packages", "", "Orders"],
        ),
        (
            "lambda.yaml",
            "CodeKey",
            &["rds-tether/bootstrap.zip"],
            &["", "/bootstrap.zip", "bootstrap"],
        ),
        ("lambda.yaml", "NotifyTopicArn", &["", topic], &["database", &fifo]),
        ("lambda.yaml", "AlarmTopicArn", &["", topic], &["database", &fifo]),
        (
            "lambda.yaml",
            "FunctionName",
            &["rds-tether"],
            &["", "rds tether", "rds/tether"],
        ),
        (
            "lambda.yaml",
            "SubnetIds",
            &["", "subnet-1a,subnet-2b"],
            &["subnet-1a, subnet-2b", "10.0.0.0/24"],
        ),
        (
            "lambda.yaml",
            "SecurityGroupIds",
            &["", "sg-1a"],
            &["default", "sg-1a,"],
        ),
        (
            "privatelink.yaml",
            "DatabaseSecurityGroupId",
            &["", "sg-1a"],
            &["default"],
        ),
        (
            "privatelink.yaml",
            "AllowedPrincipals",
            &["arn:aws:iam::072088201116:root", role],
            &["*", "072088201116", ""],
        ),
        (
            "privatelink.yaml",
            "SupportedRegions",
            &["", "us-east-1,us-gov-west-1", "eusc-de-east-1", "us-isob-east-1"],
            &["Frankfurt", "us-east-1a"],
        ),
        (
            "privatelink.yaml",
            "ConsumerCidr",
            &["", "10.0.0.0/16"],
            &["0.0.0.0/0", "10.0.0.1", "::/0"],
        ),
        (
            "privatelink.yaml",
            "DatabaseCidr",
            &["", "11.0.0.0/16"],
            &["0.0.0.0/0", "11.0.0.1", "::/0"],
        ),
        (
            "ec2.yaml",
            "Endpoint",
            &["", endpoint],
            &["orders", &uri, "$(reboot):5432"],
        ),
        (
            "ec2.yaml",
            "TargetGroupArn",
            &["", group, sovereign],
            &[balancer, &groups],
        ),
        (
            "member.yaml",
            "HubRoleArn",
            &[role],
            &["", "arn:aws:iam::111122223333:role/*", "arn:aws:iam::111122223333:root"],
        ),
        (
            "member.yaml",
            "HubBusArn",
            &["arn:aws:events:eu-west-1:111122223333:event-bus/fleet-tether"],
            &["", "fleet-tether", "arn:aws:events:eu-west-1:111122223333:rule/fleet"],
        ),
        (
            "member.yaml",
            "RoleName",
            &["rds-tether"],
            &["", "rds/tether", &"a".repeat(41)],
        ),
        ("ec2.yaml", "NotifyTopicArn", &["", topic], &[&fifo]),
        (
            "ec2.yaml",
            "PackageBucket",
            &["orders-packages"],
            &["s3://orders-packages", "a'b"],
        ),
        (
            "ec2.yaml",
            "PackageKey",
            &["rds-tether-0.1.0-1.x86_64.rpm"],
            &["/a.rpm", "a'b.rpm", "rds-tether", "$(a).rpm"],
        ),
        (
            "ec2.yaml",
            "AssumeRoleArns",
            &["", role, &roles],
            &["arn:aws:iam::111122223333:role/*", "tether"],
        ),
        (
            "ec2.yaml",
            "PackageObjectVersion",
            &["", "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"],
            &["a'b", "$(reboot)", "a b"],
        ),
        (
            "ec2.yaml",
            "PackageSha256",
            &[&"0a".repeat(32)],
            &["", "0A", &"0A".repeat(32), &"0a".repeat(31)],
        ),
        ("ec2.yaml", "LoadBalancerSecurityGroupId", &["", "sg-1a"], &["default"]),
        ("ec2.yaml", "DatabaseSecurityGroupId", &["", "sg-1a"], &["default"]),
        (
            "ec2.yaml",
            "DatabaseCidr",
            &["", "11.0.0.0/16"],
            &["0.0.0.0/0", "11.0.0.1", "::/0"],
        ),
        (
            "ec2.yaml",
            "InstanceType",
            &["", "t4g.micro", "u7i-12tb.224xlarge"],
            &["micro", "t4g."],
        ),
    ];
    let boundary: (&[&str], &[&str]) = (&["", "arn:aws:iam::111122223333:policy/boundary"], &["boundary", role]);
    let lead: (&[&str], &[&str]) = (&["", user, &users], &[&any_database, "rds_tether", role]);
    let mut tables = tables.to_vec();
    let tags: (&[&str], &[&str]) = (
        &[
            "",
            "*.eu-west-1.rds.amazonaws.com",
            "*.cluster-abc123.eu-west-1.rds.amazonaws.com:5432,orders-*.example.com,orders.example.com",
        ],
        &[
            "*",
            "*.com",
            "*orders.com",
            "orders.*.com",
            "*.example.com, *.example.org",
            "a\"b.example.com",
            endpoint_url,
        ],
    );
    let networks: (&[&str], &[&str]) = (
        &["", "10.0.0.0/8", "10.0.0.0/8,fd00::/8"],
        &["10.0.0.1", "10.0.0.0/8, 11.0.0.0/8", "10.0.0.0/8\"", "private"],
    );
    // What the template takes, the program does.
    for pattern in tags
        .0
        .iter()
        .filter(|list| !list.is_empty())
        .flat_map(|list| list.split(','))
    {
        let read: Result<Pattern, _> = pattern.parse();
        assert!(read.is_ok(), "{pattern}");
    }
    tables.push(("member.yaml", "PermissionsBoundaryArn", boundary.0, boundary.1));
    for name in ["lambda.yaml", "ec2.yaml"] {
        tables.push((name, "DiscoverAllowEndpoints", tags.0, tags.1));
        tables.push((name, "DiscoverAllowCidrs", networks.0, networks.1));
        tables.push((name, "PermissionsBoundaryArn", boundary.0, boundary.1));
        tables.push((name, "DatabaseUserArns", lead.0, lead.1));
    }
    let mut patterns = 0;
    for (name, _) in TEMPLATES {
        let template = bridge::template(name);
        for (parameter, described) in template["Parameters"].as_object().unwrap() {
            let Some(pattern) = described["AllowedPattern"].as_str() else {
                continue;
            };
            patterns += 1;
            let found = tables.iter().find(|row| (row.0, row.1) == (*name, parameter.as_str()));
            let (_, _, good, bad) = found.unwrap_or_else(|| panic!("no example for {name} {parameter}"));
            for (texts, fits) in [(good, true), (bad, false)] {
                assert!(!texts.is_empty());
                for text in *texts {
                    assert_eq!(
                        bridge::fits(pattern, text),
                        fits,
                        "{name} {parameter}: {text:?} and {pattern}"
                    );
                }
            }
            if let Some(default) = described["Default"].as_str() {
                assert!(bridge::fits(pattern, default), "{name} {parameter}: its default");
            }
        }
    }
    assert_eq!(patterns, tables.len(), "an example for a pattern that there is not");
}

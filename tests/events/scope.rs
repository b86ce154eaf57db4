//! Whose endpoints are looked at. Too much is only cost; too little is an outage until the next tick.

use rds_tether::function::event::{Doorbell, Scope};
use rds_tether::planner::endpoint::Endpoint;
use serde_json::{Value, json};

/// What is configured: a name for each thing whose name is known, and names that may be anything's.
const CLUSTER: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";
const READER: &str = "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com:5432";
const INSTANCE: &str = "orders-1.abc123.eu-west-1.rds.amazonaws.com:5432";
const PROXY: &str = "orders-pool.proxy-abc123.eu-west-1.rds.amazonaws.com:5432";
const OTHER_CLUSTER: &str = "billing.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";
const OTHER_INSTANCE: &str = "billing-1.abc123.eu-west-1.rds.amazonaws.com:5432";
const OTHER_PROXY: &str = "billing-pool.proxy-abc123.eu-west-1.rds.amazonaws.com:5432";
const NAMED: &[&str] = &[
    CLUSTER,
    READER,
    INSTANCE,
    PROXY,
    OTHER_CLUSTER,
    OTHER_INSTANCE,
    OTHER_PROXY,
];
const UNPROVEN: &[&str] = &[
    "analysts.cluster-custom-abc123.eu-west-1.rds.amazonaws.com:5432",
    "reports.endpoint.proxy-abc123.eu-west-1.rds.amazonaws.com:5432",
    "reports.endpoint.proxy-abc123.rds.cn-north-1.amazonaws.com.cn:5432",
    "reports.endpoint.proxy-abc123.cn-north-1.rds.amazonaws.com.cn:5432",
    "orders-everywhere.global-abc123.global.rds.amazonaws.com:5432",
    "shop.shardgrp-abc123.eu-west-1.rds.amazonaws.com:5432",
    "db.corp.internal:5432",
    "orders.cluster-a.corp.internal:5432",
    "orders-nlb-abc123.elb.eu-west-1.amazonaws.com:5432",
    "db:5432",
];

fn covers(scope: &Scope, name: &str) -> bool {
    scope.covers(&name.parse().expect("an endpoint"))
}

fn subscription(source: &str, id: &str) -> Scope {
    Doorbell::read(&json!({ "Event Source": source, "Source ID": id }).to_string()).scope
}

fn bridge(title: &str, detail: Value) -> Scope {
    Doorbell::read(&json!({ "source": "aws.rds", "detail-type": title, "detail": detail }).to_string()).scope
}

#[track_caller]
fn assert_covers(scope: &Scope, expect: &[&str]) {
    let covered: Vec<&str> = NAMED.iter().copied().filter(|name| covers(scope, name)).collect();
    assert_eq!(covered, expect, "{scope:?}");
    for name in UNPROVEN {
        assert!(covers(scope, name), "{scope:?} leaves out {name}");
    }
}

#[test]
fn an_instance_may_be_any_clusters_member() {
    assert_covers(
        &subscription("db-instance", "orders-1"),
        &[CLUSTER, READER, INSTANCE, OTHER_CLUSTER],
    );
    // An instance may be called what a cluster is called.
    assert_covers(
        &subscription("db-instance", "orders"),
        &[CLUSTER, READER, OTHER_CLUSTER],
    );
}

#[test]
fn a_cluster_has_its_endpoints() {
    assert_covers(&subscription("db-cluster", "orders"), &[CLUSTER, READER]);
    assert_covers(&subscription("db-cluster", "orders-1"), &[]);
}

#[test]
fn a_proxy_has_its_endpoints() {
    assert_covers(&subscription("db-proxy", "orders-pool"), &[PROXY]);
    // Its ARN ends in what is in no name.
    let arn = "arn:aws:rds:eu-west-1:111122223333:db-proxy:prx-0a1b2c3d4e5f60718";
    let title = "RDS DB Proxy Event";
    let both = json!({ "SourceType": "DB_PROXY", "SourceIdentifier": "orders-pool", "SourceArn": arn });
    assert_covers(&bridge(title, both), &[PROXY]);
    for alone in [
        json!({ "SourceArn": arn }),
        json!({ "SourceIdentifier": "prx-0a1b2c3d4e5f60718" }),
        json!({ "SourceIdentifier": "prx-0a1b2c3d4e5f60718", "SourceArn": arn }),
    ] {
        assert_covers(&bridge(title, alone), NAMED);
    }
}

#[test]
fn what_is_known_of_no_name_is_everything() {
    let names = NAMED.iter().chain(UNPROVEN);
    let configured: Vec<Endpoint> = names.map(|name| name.parse().expect("an endpoint")).collect();
    let title = "RDS DB Cluster Event";
    let arn = "arn:aws:rds:eu-west-1:111122223333:cluster:elsewhere";
    for (scope, is_known) in [
        (subscription("db-cluster", "Orders"), true),
        (subscription("db-instance", "orders-1"), true),
        (subscription("db-proxy", "orders-pool"), true),
        (subscription("db-cluster", "elsewhere"), false),
        (subscription("db-instance", "orders-2"), false),
        // What a name that proves nothing is called is no proof either.
        (subscription("db-proxy", "reports"), false),
        (subscription("db-cluster", "orders-everywhere"), false),
        (subscription("db-instance", "db"), false),
        // One of two.
        (
            bridge(title, json!({ "SourceIdentifier": "orders", "SourceArn": arn })),
            false,
        ),
        (Scope::All, false),
    ] {
        let expect = if is_known { scope.clone() } else { Scope::All };
        assert_eq!(scope.clone().among(&configured), expect, "{scope:?}");
        assert_eq!(scope.clone().among([]), Scope::All, "{scope:?}");
    }
}

#[test]
fn neptune_and_documentdb_name_theirs_alike() {
    for service in ["neptune", "docdb", "rds"] {
        for (scope, name, expect) in [
            (subscription("db-cluster", "orders"), "orders.cluster-abc123", true),
            (subscription("db-cluster", "orders"), "graph.cluster-abc123", false),
            (subscription("db-instance", "orders-1"), "orders-1.abc123", true),
            (subscription("db-instance", "orders-1"), "graph-1.abc123", false),
        ] {
            for host in [
                format!("{name}.eu-west-1.{service}.amazonaws.com:5432"),
                format!("{name}.{service}.cn-north-1.amazonaws.com.cn:5432"),
            ] {
                assert_eq!(covers(&scope, &host), expect, "{scope:?} {host}");
            }
        }
    }
}

#[test]
fn an_identifier_is_read_however_it_is_written() {
    for id in [
        "orders",
        "Orders",
        "ORDERS",
        " orders ",
        "rds:orders",
        "RDS:Orders",
        "arn:aws:rds:eu-west-1:111122223333:cluster:orders",
        "arn:aws-cn:rds:cn-north-1:111122223333:cluster:Orders",
    ] {
        assert_covers(&subscription("db-cluster", id), &[CLUSTER, READER]);
    }
    for name in [
        "ORDERS.CLUSTER-ABC123.eu-west-1.rds.amazonaws.com.:5432",
        "Orders.cluster-ro-xyz.us-east-1.rds.amazonaws.com:1",
    ] {
        assert!(covers(&subscription("db-cluster", "orders"), name), "{name}");
    }
}

#[test]
fn a_name_is_the_whole_first_label() {
    for id in [
        "order",
        "rders",
        "orders-",
        "cluster-abc123",
        "eu-west-1",
        "com",
        "orders-cluster",
    ] {
        assert_covers(&subscription("db-cluster", id), &[]);
    }
}

#[test]
fn the_identifier_and_the_arn_both_count() {
    let arn = |kind: &str, name: &str| format!("arn:aws:rds:eu-west-1:111122223333:{kind}:{name}");
    let title = "RDS DB Cluster Event";
    let both = json!({ "SourceIdentifier": "orders", "SourceArn": arn("cluster", "billing") });
    assert_covers(&bridge(title, both), &[CLUSTER, READER, OTHER_CLUSTER]);
    let arn_alone = json!({ "SourceArn": arn("cluster", "orders") });
    assert_covers(&bridge(title, arn_alone), &[CLUSTER, READER]);
    // What is blank is missing.
    let blank = json!({ "SourceType": "", "SourceIdentifier": "orders", "SourceArn": " " });
    assert_covers(&bridge(title, blank), &[CLUSTER, READER]);
    // They disagree on what it is: either may be right.
    let disagree = json!({ "SourceType": "DB_INSTANCE", "SourceIdentifier": "orders-1" });
    assert_covers(&bridge(title, disagree), &[CLUSTER, READER, INSTANCE, OTHER_CLUSTER]);
}

#[test]
fn what_cannot_be_told_is_anything() {
    for id in [
        "orders.cluster-abc123",
        "orders/1",
        "orders 1",
        "órders",
        "rds:",
        ":",
        "arn:",
        "arn:aws:rds",
        "arn:aws:rds:eu-west-1:111122223333:cluster",
        "arn:aws:rds:eu-west-1:111122223333:cluster:",
        "arn:aws:rds:eu-west-1:111122223333:cluster:orders:9",
        "arn:aws:rds:eu-west-1:111122223333:deployment:bgd-k3v8w2q9x1z7m5p0",
        "\u{0}",
        &"o".repeat(64),
    ] {
        assert_eq!(subscription("db-cluster", id), Scope::All, "{id:?}");
    }
    for source in [
        "blue-green-deployment",
        "db-shard-group",
        "db-snapshot",
        "db-cluster-snapshot",
        "?",
    ] {
        assert_eq!(subscription(source, "orders"), Scope::All, "{source}");
    }
    let unknown_type = json!({ "SourceType": "SOMETHING_NEW", "SourceIdentifier": "orders" });
    assert_eq!(bridge("RDS DB Cluster Event", unknown_type), Scope::All);
    let unknown_arn = json!({ "SourceIdentifier": "orders", "SourceArn": "orders" });
    assert_eq!(bridge("RDS DB Cluster Event", unknown_arn), Scope::All);
}

#[test]
fn blue_green_is_anything_whatever_it_names() {
    for id in ["RDS-EVENT-0247", "RDS-EVENT-0251", "RDS-EVENT-0260"] {
        let event = json!({ "Event Source": "db-instance", "Source ID": "orders-1", "Event ID": id });
        assert_eq!(Doorbell::read(&event.to_string()).scope, Scope::All, "{id}");
    }
    let arn = json!({ "SourceArn": "arn:aws:rds:eu-west-1:111122223333:deployment:bgd-k3v8w2q9x1z7m5p0" });
    assert_eq!(bridge("RDS DB Cluster Event", arn), Scope::All);
}

//! What a name is, and what is no endpoint.

use rds_tether::planner::endpoint::*;

#[test]
fn a_name_tells_its_role() {
    for (name, kind, role) in [
        (
            "orders.abc123.eu-west-1.rds.amazonaws.com",
            Kind::Instance,
            Role::Writer,
        ),
        (
            "orders.abc123.cn-north-1.rds.amazonaws.com.cn",
            Kind::Instance,
            Role::Writer,
        ),
        (
            "orders.cluster-abc123.eu-west-1.rds.amazonaws.com",
            Kind::Cluster,
            Role::Writer,
        ),
        (
            "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com",
            Kind::Reader,
            Role::Reader,
        ),
        (
            "orders.cluster-custom-abc123.eu-west-1.rds.amazonaws.com",
            Kind::Custom,
            Role::Reader,
        ),
        (
            "orders.proxy-abc123.eu-west-1.rds.amazonaws.com",
            Kind::Proxy,
            Role::Reader,
        ),
        (
            "reports.endpoint.proxy-abc123.eu-west-1.rds.amazonaws.com",
            Kind::Proxy,
            Role::Reader,
        ),
        (
            "shop.shardgrp-abc123.eu-west-1.rds.amazonaws.com",
            Kind::ShardGroup,
            Role::Reader,
        ),
        (
            "orders.global-abc123.global.rds.amazonaws.com",
            Kind::Global,
            Role::Writer,
        ),
        // In China, the newer names and the older ones.
        (
            "orders.abc123.rds.cn-north-1.amazonaws.com.cn",
            Kind::Instance,
            Role::Writer,
        ),
        (
            "orders.cluster-abc123.rds.cn-north-1.amazonaws.com.cn",
            Kind::Cluster,
            Role::Writer,
        ),
        (
            "orders.cluster-ro-abc123.cn-north-1.rds.amazonaws.com.cn",
            Kind::Reader,
            Role::Reader,
        ),
        (
            "reports.endpoint.proxy-abc123.cn-north-1.rds.amazonaws.com.cn",
            Kind::Proxy,
            Role::Reader,
        ),
        (
            "reports.endpoint.proxy-abc123.rds.cn-northwest-1.amazonaws.com.cn",
            Kind::Proxy,
            Role::Reader,
        ),
        // A kind that is not known yet is no instance.
        (
            "orders.future-abc123.eu-west-1.rds.amazonaws.com",
            Kind::Other,
            Role::Writer,
        ),
        ("orders.global-abc123.corp.internal", Kind::Other, Role::Writer),
        ("orders.endpoint.corp.internal", Kind::Other, Role::Writer),
        ("db.corp.internal", Kind::Other, Role::Writer),
        ("db", Kind::Other, Role::Writer),
        // The prefix counts in the second label alone.
        (
            "cluster-ro-x.abc123.eu-west-1.rds.amazonaws.com",
            Kind::Instance,
            Role::Writer,
        ),
    ] {
        assert_eq!((Kind::of(name), Kind::of(name).role()), (kind, role), "{name}");
    }
}

#[test]
fn an_endpoint_is_a_name_and_a_port() {
    for (text, shown) in [
        ("db.example:5432", "db.example:5432"),
        ("DB.Example.:1", "db.example:1"),
        (" db.example:65535 ", "db.example:65535"),
        ("_x.db-1:5432", "_x.db-1:5432"),
    ] {
        assert_eq!(
            text.parse::<Endpoint>().map(|e| e.to_string()),
            Ok(shown.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_endpoint_is_told_why() {
    for (text, expect) in [
        ("db.example", "no port"),
        ("", "is empty"),
        (" ", "is empty"),
        ("db.example:", "port from 1 to 65535"),
        ("db.example:0", "port from 1 to 65535"),
        ("db.example:65536", "port from 1 to 65535"),
        ("db.example:postgres", "port from 1 to 65535"),
        (":5432", "empty"),
        ("db..example:5432", "empty label"),
        (".db:5432", "empty label"),
        ("postgres://db.example:5432", "this is a URL; write db.example:5432"),
        ("db example:5432", "only letters"),
        ("dätenbank:5432", "write xn--dtenbank-0za:5432"),
        ("10.0.0.1:5432", "is an address"),
        ("10.0.0.1", "is an address"),
        ("[::1]:5432", "is an address"),
        ("fd00::1", "is an address"),
    ] {
        let error = text.parse::<Endpoint>().expect_err(text).to_string();
        assert!(error.contains(expect), "{text:?}: {error}");
    }
    let long = format!("{}:5432", ["a"; 130].join("."));
    assert!(long.parse::<Endpoint>().expect_err("long").to_string().contains("253"));
    let label = format!("{}.b:5432", "a".repeat(64));
    assert!(label.parse::<Endpoint>().expect_err("label").to_string().contains("63"));
}

#[test]
fn a_name_of_rds_tells_its_region() {
    for (name, expect) in [
        ("orders.abc123.eu-west-1.rds.amazonaws.com", Some("eu-west-1")),
        ("orders.abc123.rds.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
        ("orders.global-abc123.global.rds.amazonaws.com", None),
        ("orders.eu-west-1.elb.amazonaws.com", None),
        ("rds.amazonaws.com", None),
        ("orders.eu-west-1.rds.example", None),
    ] {
        assert_eq!(region_of(name), expect, "{name}");
    }
}

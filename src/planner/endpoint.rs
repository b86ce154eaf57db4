//! What is followed: a DNS name and a port, and what the name tells about the database behind it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

use super::wrong::{Wrong, one_of};

/// An RDS or Aurora endpoint: a DNS name (lower case, without the final dot) and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// An endpoint as messages show one.
const EXAMPLE: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";
/// The longest DNS name in its written form (RFC 1035, 255 octets on the wire).
const NAME_MAX_CHARS: usize = 253;
/// The longest label of a DNS name (RFC 1035).
const LABEL_MAX_CHARS: usize = 63;

impl Endpoint {
    /// The DNS name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port of the database, and so of its targets.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the name itself tells.
    pub fn kind(&self) -> Kind {
        Kind::of(&self.host)
    }
}

impl FromStr for Endpoint {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        let wrong = |why: &str, fix: &str| Err(Wrong::new(format!("{text:?} {why}"), fix));
        if text.is_empty() {
            return Err(Wrong::new(
                "an endpoint is empty",
                format!("write HOST:PORT, for example {EXAMPLE}"),
            ));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            // Its text is not repeated: there may be a password in it.
            return Err(Wrong::new("this is a URL", of_url(scheme, rest)));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok() || text.parse::<IpAddr>().is_ok() {
            return wrong(
                "is an address, not a name",
                "give the DNS name of the RDS or Aurora endpoint, which follows a failover",
            );
        }
        if !text.contains(':') {
            return wrong("has no port", &format!("write HOST:PORT, for example {text}:5432"));
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if let Err(why) = check_name(&host) {
            // ELB, certificates and RDS know names as DNS has them.
            let international = idna::domain_to_ascii(&host).ok().filter(|_| !host.is_ascii());
            if let Some(ascii) = international.filter(|ascii| check_name(ascii).is_ok()) {
                let port = if port.is_empty() { "PORT" } else { port };
                return wrong("has letters that DNS does not have", &format!("write {ascii}:{port}"));
            }
            return Err(Wrong::new(format!("{host:?} is no DNS name: {why}"), "write HOST:PORT"));
        }
        match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Self { host, port }),
            _ => wrong("does not end in a port from 1 to 65535", "write HOST:PORT"),
        }
    }
}

/// What to write instead of a URL, if it is clear which part of it is the host.
fn of_url(scheme: &str, rest: &str) -> String {
    // A password may have any of these in it: then what looks like a host may be a part of it.
    let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |end| rest.split_at(end));
    let bare = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = bare.split_once(':').unwrap_or((bare, ""));
    let usual = match scheme.rsplit(':').next().unwrap_or_default() {
        "postgres" | "postgresql" => "5432",
        "mysql" | "mariadb" => "3306",
        "sqlserver" => "1433",
        _ => "PORT",
    };
    let port = if port.is_empty() { usual } else { port };
    let is_clear = !path.contains('@') && check_name(host).is_ok() && (port == "PORT" || port.parse::<u16>().is_ok());
    if is_clear && host.parse::<IpAddr>().is_err() {
        format!("write {host}:{port}")
    } else {
        "write HOST:PORT".to_owned()
    }
}

fn check_name(host: &str) -> Result<(), &'static str> {
    if host.is_empty() {
        return Err("it is empty");
    }
    if host.len() > NAME_MAX_CHARS {
        return Err("it is longer than 253 characters");
    }
    for label in host.split('.') {
        if label.is_empty() {
            return Err("it has an empty label (two dots in a row, or a dot at the start)");
        }
        if label.len() > LABEL_MAX_CHARS {
            return Err("a label is longer than 63 characters");
        }
        if !label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        {
            return Err("only letters, digits, hyphens and dots belong there");
        }
    }
    Ok(())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What kind of endpoint a name is, by the shapes that RDS gives its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `NAME.cluster-HASH...`: follows the writer of a cluster.
    Cluster,
    /// `NAME.cluster-ro-HASH...`: one random reader per answer.
    Reader,
    /// `NAME.cluster-custom-HASH...`: one random member of a chosen set.
    Custom,
    /// `NAME.proxy-HASH...`: RDS Proxy; `NAME.endpoint.proxy-HASH...`: a further endpoint of one.
    Proxy,
    /// `NAME.shardgrp-HASH...`: one of a shard group's routers per answer.
    ShardGroup,
    /// `NAME.global-HASH.global.rds.amazonaws.com`: follows the writer of a global cluster from region to region.
    Global,
    /// `NAME.HASH.REGION.rds.amazonaws.com`: follows one instance, whatever its role.
    Instance,
    /// Any other name, for example a CNAME in a private zone.
    Other,
}

impl Kind {
    /// Reads the kind off the second label of a name, or the third where a proxy has further endpoints.
    pub fn of(name: &str) -> Self {
        let labels: Vec<&str> = name.split('.').collect();
        let telling = match labels[..] {
            [_, "endpoint", third, ..] if third.starts_with("proxy-") => third,
            [_, second, ..] => second,
            _ => "",
        };
        let starts = |prefix| telling.starts_with(prefix);
        if starts("cluster-ro-") {
            Self::Reader
        } else if starts("cluster-custom-") {
            Self::Custom
        } else if starts("proxy-") {
            Self::Proxy
        } else if starts("shardgrp-") {
            Self::ShardGroup
        } else if starts("cluster-") {
            Self::Cluster
        } else if starts("global-") && labels.get(2) == Some(&"global") {
            Self::Global
        } else if is_of_instance(&labels) {
            Self::Instance
        } else {
            Self::Other
        }
    }

    /// The role this kind of name stands for.
    pub fn role(self) -> Role {
        match self {
            Self::Reader | Self::Custom | Self::Proxy | Self::ShardGroup => Role::Reader,
            Self::Cluster | Self::Global | Self::Instance | Self::Other => Role::Writer,
        }
    }
}

/// Whether RDS has made the name: `NAME.HASH.REGION.rds.amazonaws.com`; in newer names of China the service stands before the
/// region, and partitions have domains of their own (`amazonaws.com.cn`, `amazonaws.eu`).
pub fn is_of_rds(name: &str) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    labels.contains(&"rds") && labels.contains(&"amazonaws")
}

/// The region in a name that RDS has made.
pub fn region_of(name: &str) -> Option<&str> {
    let labels: Vec<&str> = name.split('.').collect();
    let is_domain = |label: &&str| *label == "amazonaws";
    let domain = labels.iter().position(is_domain)?;
    match labels.get(..domain)? {
        [.., region, "rds"] | [.., "rds", region] => Some(*region).filter(|region| region.contains('-')),
        _ => None,
    }
}

/// The hash of an account, which has no hyphen, stands where other kinds of endpoints have their prefix. Newer names in China
/// have the service before the region.
fn is_of_instance(labels: &[&str]) -> bool {
    let ([_, hash, "rds", _, "amazonaws", ..] | [_, hash, _, "rds", "amazonaws", ..]) = labels else {
        return false;
    };
    !hash.contains('-')
}

/// Whether an answer is the whole truth or a sample of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An answer names the one place to write to; what it does not name may be a former writer.
    Writer,
    /// An answer is one random member of a set; what it does not name may still be a member.
    Reader,
}

impl Role {
    /// The role that names tell: if one of them is of a reader, an answer is a sample, whatever the others are.
    pub fn told_by<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let is_reader = names.into_iter().any(|name| Kind::of(name).role() == Self::Reader);
        if is_reader { Self::Reader } else { Self::Writer }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
        })
    }
}

impl FromStr for Role {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        one_of(text, "role", &[("writer", Self::Writer), ("reader", Self::Reader)])
    }
}

//! What a target group carries, and whether that suits a database. Nothing of it can be changed: a group keeps its protocol.

use std::fmt;

use super::endpoint::Endpoint;

/// The health check's port that is each target's own.
pub const TRAFFIC_PORT: &str = "traffic-port";

/// Why a target group does not serve a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It carries HTTP.
    Http(String),
    /// It carries no TCP.
    NoTcp(String),
    /// The load balancer itself begins TLS with the target.
    Tls,
    /// Its packets are for firewalls.
    Geneve,
    /// Its health checks go to another port than the endpoint's.
    ChecksElsewhere {
        /// Where they go.
        port: String,
        /// The endpoint.
        endpoint: Endpoint,
    },
}

/// Whether the protocol of a group carries a database's connections as they are. A listener that ends TLS stands before groups of
/// TCP, too, and those that carry UDP or QUIC besides TCP carry TCP like any other. The port of a group does not matter: targets are
/// registered with the endpoint's.
pub fn carries(protocol: &str) -> Result<(), Unfit> {
    match protocol {
        "HTTP" | "HTTPS" => Err(Unfit::Http(protocol.to_owned())),
        "UDP" | "QUIC" => Err(Unfit::NoTcp(protocol.to_owned())),
        "TLS" => Err(Unfit::Tls),
        "GENEVE" => Err(Unfit::Geneve),
        // What this version does not know may do.
        _ => Ok(()),
    }
}

/// What is wrong with a group for these endpoints; `check_port` is where its health checks go.
pub fn unfit<'a>(protocol: &str, check_port: &str, endpoints: impl IntoIterator<Item = &'a Endpoint>) -> Vec<Unfit> {
    let mut found: Vec<Unfit> = carries(protocol).err().into_iter().collect();
    let mut others = endpoints.into_iter();
    let elsewhere = others.find(|endpoint| check_port != TRAFFIC_PORT && check_port != endpoint.port().to_string());
    found.extend(elsewhere.map(|endpoint| Unfit::ChecksElsewhere {
        port: check_port.to_owned(),
        endpoint: endpoint.clone(),
    }));
    found
}

impl Unfit {
    /// Whether no connection of a database comes through, whatever else is right.
    pub fn is_of_protocol(&self) -> bool {
        !matches!(self, Self::ChecksElsewhere { .. })
    }

    /// What is wrong.
    fn what(&self) -> String {
        match self {
            Self::Http(protocol) => {
                format!("the protocol of the target group is {protocol}, which carries no database")
            }
            Self::NoTcp(protocol) => {
                format!("the protocol of the target group is {protocol}, and databases are connected to over TCP")
            }
            Self::Tls => {
                "the protocol of the target group is TLS: the load balancer begins TLS with the target by itself, and \
                          PostgreSQL begins TLS inside its own protocol"
                    .into()
            }
            Self::Geneve => "the protocol of the target group is GENEVE, which is for firewalls".into(),
            Self::ChecksElsewhere { port, endpoint } => format!(
                "the health checks of the target group go to port {port}, where {endpoint} does not listen: its health is not \
                 what they see"
            ),
        }
    }

    /// What to do about it.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Http(_) | Self::NoTcp(_) | Self::Tls | Self::Geneve => {
                "create a target group with protocol TCP, and give its ARN: the protocol of a group never changes"
            }
            Self::ChecksElsewhere { .. } => {
                "set its health check's port to traffic-port, unless what answers there knows the database"
            }
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what(), self.remedy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_a_database_is_not_complained_of() {
        let endpoint: Endpoint = "db.example:5432".parse().expect("an endpoint");
        for (protocol, port, parts) in [
            ("TCP", "traffic-port", &[][..]),
            ("TCP", "5432", &[]),
            ("TCP_UDP", "traffic-port", &[]),
            ("TCP_QUIC", "traffic-port", &[]),
            ("unknown", "traffic-port", &[]),
            ("HTTP", "traffic-port", &["HTTP"]),
            ("HTTPS", "80", &["HTTPS", "port 80"]),
            ("UDP", "traffic-port", &["UDP"]),
            ("QUIC", "traffic-port", &["QUIC"]),
            ("TLS", "traffic-port", &["TLS"]),
            ("GENEVE", "traffic-port", &["GENEVE"]),
            ("TCP", "8080", &["port 8080"]),
        ] {
            let found = unfit(protocol, port, [&endpoint]);
            assert_eq!(found.len(), parts.len(), "{protocol} {port}: {found:?}");
            for (unfit, part) in found.iter().zip(parts) {
                assert!(unfit.to_string().contains(part), "{protocol} {port}: {unfit}");
            }
        }
    }
}

/// A target as a call names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetDescription {
    /// The address, instance id or load balancer ARN.
    pub id: String,
    /// The port; without one the group's port is meant.
    pub port: Option<u16>,
    /// The Availability Zone, or `all`.
    pub zone: Option<String>,
}

impl TargetDescription {
    /// A target without a zone.
    pub fn new(id: &str, port: u16) -> Self {
        Self {
            id: id.to_owned(),
            port: Some(port),
            zone: None,
        }
    }

    /// The same target in a zone.
    pub fn zone(mut self, zone: &str) -> Self {
        self.zone = Some(zone.to_owned());
        self
    }
}

/// A target as DescribeTargetHealth shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetView {
    /// The address; in groups of another type the instance id or load balancer ARN.
    pub ip: String,
    /// The port.
    pub port: u16,
    /// The Availability Zone; `all` for an address outside the VPC.
    pub zone: Option<String>,
    /// The state, such as `healthy`.
    pub state: String,
    /// The reason code, such as `Target.NotInUse`.
    pub reason: Option<String>,
    /// The reason in words.
    pub description: Option<String>,
}

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::balancer::{Balancer, HealthCheck};
use super::cidr::Cidr;
use super::listener::Listener;
use super::refusal::Refusal;
use super::target::TargetDescription;

/// What the targets of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetType {
    /// IP addresses.
    Ip,
    /// EC2 instances.
    Instance,
    /// Application Load Balancers.
    Alb,
}

impl TargetType {
    /// The word the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Instance => "instance",
            Self::Alb => "alb",
        }
    }
}

/// The address family of a group's targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Only IPv4 targets.
    Ipv4,
    /// Only IPv6 targets.
    Ipv6,
}

impl Family {
    /// The word the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    pub(super) fn spoken(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

/// A TCP target group and as much of its surroundings (VPC, load balancer, quotas) as decides what happens to
/// its targets.
#[derive(Clone, Debug)]
pub struct Group {
    /// Unique within an account and region.
    pub name: String,
    /// The region in the group's ARN.
    pub region: String,
    /// The account in the group's ARN.
    pub account: String,
    /// What the targets are; never changes.
    pub target_type: TargetType,
    /// The protocol; never changes.
    pub protocol: String,
    /// The address family of the targets; never changes.
    pub family: Family,
    /// The port of targets that are registered without one.
    pub port: u16,
    /// The VPC of the group.
    pub vpc_id: String,
    /// The VPC's subnets with the Availability Zone of each.
    pub subnets: BTreeMap<Cidr, String>,
    /// The Availability Zones enabled on the load balancer that uses the group.
    pub enabled_zones: BTreeSet<String>,
    /// Whether a load balancer uses the group.
    pub in_use: bool,
    /// From registration to the first verdict of the health checks.
    pub registration_delay: Duration,
    /// How long a deregistered target stays listed as draining.
    pub deregistration_delay: Duration,
    /// Quota of registered targets.
    pub max_targets: usize,
    /// The longest list of targets one call may name.
    pub max_batch: usize,
    /// How its targets are checked, for who asks; the checks themselves are not modelled.
    pub health_check: HealthCheck,
    /// Attributes that are not as AWS sets them.
    pub attributes: BTreeMap<String, String>,
    /// The load balancer that uses the group.
    pub balancer: Balancer,
    /// The ARN of another group's load balancer, if it is that which uses the group.
    pub behind: Option<String>,
    /// Whether the security groups of its targets let the load balancer in, and so its health checks.
    pub admits_balancer: bool,
    /// Targets that take connections only behind a PROXY protocol header; the others take none with one.
    pub behind_header: BTreeSet<String>,
    /// Whether they let the clients in, whose addresses they see if those are preserved.
    pub admits_clients: bool,
}

impl Group {
    /// An IPv4 group of type `ip` on port 5432, used by a load balancer in three zones of eu-west-1, with the
    /// subnets 10.0.1.0/24 (a), 10.0.2.0/24 (b) and 10.0.3.0/24 (c).
    pub fn named(name: &str) -> Self {
        let group = Self {
            name: name.to_owned(),
            region: "eu-west-1".to_owned(),
            account: "111122223333".to_owned(),
            target_type: TargetType::Ip,
            protocol: "TCP".to_owned(),
            family: Family::Ipv4,
            port: 5432,
            vpc_id: "vpc-0a1b2c3d4e5f60718".to_owned(),
            subnets: BTreeMap::new(),
            enabled_zones: BTreeSet::new(),
            in_use: true,
            // AWS takes minutes; a test that waits for health should not.
            registration_delay: Duration::from_millis(300),
            // The default of the attribute deregistration_delay.timeout_seconds.
            deregistration_delay: Duration::from_secs(300),
            // The default quota of targets per target group.
            max_targets: 1000,
            max_batch: 200,
            health_check: HealthCheck::default(),
            attributes: BTreeMap::new(),
            balancer: Balancer::default(),
            behind: None,
            admits_balancer: true,
            behind_header: BTreeSet::new(),
            admits_clients: true,
        };
        group
            .subnet("10.0.1.0/24", "eu-west-1a")
            .subnet("10.0.2.0/24", "eu-west-1b")
            .subnet("10.0.3.0/24", "eu-west-1c")
            .zones(&["eu-west-1a", "eu-west-1b", "eu-west-1c"])
    }

    /// Makes it an IPv6 group and replaces the subnets by 2600:1f18:0:1::/64 (a), :2 (b) and :3 (c).
    pub fn ipv6(mut self) -> Self {
        self.family = Family::Ipv6;
        self.subnets.clear();
        self.subnet("2600:1f18:0:1::/64", "eu-west-1a")
            .subnet("2600:1f18:0:2::/64", "eu-west-1b")
            .subnet("2600:1f18:0:3::/64", "eu-west-1c")
    }

    /// Adds a subnet of the VPC.
    ///
    /// # Panics
    /// If `cidr` is not one.
    pub fn subnet(mut self, cidr: &str, zone: &str) -> Self {
        let cidr = cidr.parse().expect("a subnet needs a CIDR");
        self.subnets.insert(cidr, zone.to_owned());
        self
    }

    /// Sets the zones enabled on the load balancer.
    pub fn zones(mut self, zones: &[&str]) -> Self {
        self.enabled_zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
        self
    }

    /// Makes it a group that no load balancer uses.
    pub fn unattached(mut self) -> Self {
        self.in_use = false;
        self
    }

    /// Sets what the targets are.
    pub fn target_type(mut self, target_type: TargetType) -> Self {
        self.target_type = target_type;
        self
    }

    /// Sets the region of the ARN; the zones keep their names.
    pub fn region(mut self, region: &str) -> Self {
        self.region = region.to_owned();
        self
    }

    /// Sets the account of the ARN.
    pub fn account(mut self, account: &str) -> Self {
        self.account = account.to_owned();
        self
    }

    /// Sets the port of targets that are registered without one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets how long a new target is `initial`.
    pub fn registration_delay(mut self, delay: Duration) -> Self {
        self.registration_delay = delay;
        self
    }

    /// Sets how long a deregistered target stays listed as draining.
    pub fn deregistration_delay(mut self, delay: Duration) -> Self {
        self.deregistration_delay = delay;
        self
    }

    /// Sets the quota of registered targets.
    pub fn max_targets(mut self, targets: usize) -> Self {
        self.max_targets = targets;
        self
    }

    /// Sets the longest list of targets one call may name.
    pub fn max_batch(mut self, targets: usize) -> Self {
        self.max_batch = targets;
        self
    }

    /// Sets an attribute.
    pub fn attribute(mut self, key: &str, value: &str) -> Self {
        self.attributes.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Changes its load balancer.
    pub fn balanced(mut self, change: impl FnOnce(&mut Balancer)) -> Self {
        change(&mut self.balancer);
        self
    }

    /// Lets the load balancer of another group use it, instead of one of its own.
    pub fn behind(mut self, balancer: &str) -> Self {
        self.behind = Some(balancer.to_owned());
        self
    }

    /// The ARN; the same name, account and region always give the same one.
    pub fn arn(&self) -> String {
        let Self {
            name, region, account, ..
        } = self;
        let suffix = fnv1a(&format!("{region}/{account}/{name}"));
        format!("arn:aws:elasticloadbalancing:{region}:{account}:targetgroup/{name}/{suffix:016x}")
    }

    /// Whether it is this group's own load balancer.
    pub(super) fn owns(&self, balancer: &str) -> bool {
        self.behind.is_none() && self.load_balancer_arn().as_deref() == Some(balancer)
    }

    /// A listener of this group's own load balancer.
    pub(super) fn listener(&self, arn: &str) -> Option<&Listener> {
        let index = self.listener_index(arn)?;
        self.balancer.listeners.get(index)
    }

    pub(super) fn listener_index(&self, arn: &str) -> Option<usize> {
        let balancer = self.load_balancer_arn().filter(|balancer| self.owns(balancer))?;
        (0..self.balancer.listeners.len()).find(|index| Listener::arn(&balancer, *index) == arn)
    }

    /// The ARN of the Network Load Balancer that uses the group.
    pub fn load_balancer_arn(&self) -> Option<String> {
        if self.behind.is_some() {
            return self.behind.clone();
        }
        let Self {
            name, region, account, ..
        } = self;
        let suffix = fnv1a(&format!("{region}/{account}/{name}/nlb"));
        self.in_use
            .then(|| format!("arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/net/{name}/{suffix:016x}"))
    }

    /// The zone of the subnet that `address` lies in.
    ///
    /// Membership goes by subnet: an address in a CIDR block of the VPC but in none of its subnets counts as
    /// outside (seen in aws-load-balancer-controller issue 3714).
    pub fn zone_of(&self, address: IpAddr) -> Option<&str> {
        let (_, zone) = self.subnets.iter().find(|(subnet, _)| subnet.contains(address))?;
        Some(zone)
    }

    /// Checks a target that is to be registered and says in which zone it will be listed.
    pub(super) fn admit(&self, target: &TargetDescription) -> Result<Option<String>, Refusal> {
        let id = &target.id;
        match self.target_type {
            TargetType::Ip => self.admit_address(id, target.zone.as_deref()).map(Some),
            TargetType::Instance if id.starts_with("i-") => Ok(None),
            TargetType::Instance => Err(Refusal::validation(format!("Instance ID '{id}' is not valid"))),
            TargetType::Alb if id.starts_with("arn:") => Ok(None),
            TargetType::Alb => Err(Refusal::validation(format!("'{id}' is not a valid load balancer ARN"))),
        }
    }

    fn admit_address(&self, id: &str, zone: Option<&str>) -> Result<String, Refusal> {
        let address = self.parse_address(id)?;
        match (self.zone_of(address), zone) {
            (Some(own), None) => Ok(own.to_owned()),
            (Some(own), Some(zone)) if own == zone => Ok(own.to_owned()),
            (Some(own), Some(zone)) => Err(Refusal::validation(format!(
                "The IP address '{id}' is within the VPC, and cannot have its Availability Zone overridden to \
                 '{zone}' from '{own}'"
            ))),
            (None, _) if !allowed_outside_the_vpc(address) => Err(Refusal::invalid_target(id)),
            (None, None) => Err(Refusal::validation(format!(
                "The Availability Zone is required for IP address '{id}' because it is not in the VPC"
            ))),
            (None, Some(zone)) if zone == "all" || self.enabled_zones.contains(zone) => Ok(zone.to_owned()),
            (None, Some(_)) => Err(Refusal::validation(format!(
                "You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, \
                 since the IP address '{id}' is outside the VPC"
            ))),
        }
    }

    fn parse_address(&self, id: &str) -> Result<IpAddr, Refusal> {
        let address = match self.family {
            Family::Ipv4 => id.parse().ok().map(IpAddr::V4),
            Family::Ipv6 => id.parse().ok().map(IpAddr::V6),
        };
        let family = self.family.spoken();
        address.ok_or_else(|| Refusal::validation(format!("The IP address '{id}' is not a valid {family} address")))
    }
}

/// Outside the VPC's subnets only the RFC 1918 and RFC 6598 ranges are taken, and no IPv6 address at all
/// (Network Load Balancers guide, "Target type").
fn allowed_outside_the_vpc(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private() || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(_) => false,
    }
}

/// FNV-1a: the standard library's hasher may change between releases, and ARNs appear in golden files.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

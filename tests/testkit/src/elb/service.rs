use std::collections::BTreeSet;

use super::group::Group;
use super::model::Model;
use super::refusal::Refusal;
use super::wire::{Request, element, text};

/// The endpoint service (PrivateLink) that publishes a load balancer, as EC2 sets it up.
#[derive(Clone, Debug)]
pub struct Service {
    /// The ID.
    pub id: String,
    /// `Available`, `Pending`, `Deleting` or `Failed`.
    pub state: String,
    /// The ARNs of other load balancers that it publishes, too.
    pub beside: Vec<String>,
    /// The zones that the load balancer had when it was published.
    pub zones: BTreeSet<String>,
    /// Whether each connection has to be accepted.
    pub needs_acceptance: bool,
    /// Who may connect.
    pub principals: Vec<String>,
    /// The endpoints of consumers: the ID, the account and the state of each.
    pub endpoints: Vec<(String, String, String)>,
    /// The private DNS name and its state.
    pub private_name: Option<(String, String)>,
    /// Whether DNS has the record that shows whose the private name is.
    pub is_proven: bool,
    /// The address families of its consumers.
    pub families: Vec<String>,
    /// Where it is offered, and the state that it has there.
    pub regions: Vec<(String, String)>,
}

/// When every endpoint was made.
pub const ENDPOINTS_MADE: &str = "2026-03-01T09:30:00.000Z";

impl Group {
    /// Lets an endpoint service publish the load balancer: everything is well with it but what is changed.
    pub fn published(mut self, change: impl FnOnce(&mut Service)) -> Self {
        let mut service = Service {
            id: "vpce-svc-0123456789abcdef0".into(),
            state: "Available".into(),
            beside: Vec::new(),
            zones: self.enabled_zones.clone(),
            needs_acceptance: true,
            principals: vec!["arn:aws:iam::072088201116:root".into()],
            endpoints: Vec::new(),
            private_name: None,
            is_proven: false,
            families: vec!["ipv4".into()],
            regions: vec![(self.region.clone(), "Available".into())],
        };
        change(&mut service);
        self.balancer.service = Some(service);
        self
    }
}

impl Service {
    fn described(&self, balancer: &str, region: &str) -> String {
        let items = |name: &str, items: &mut dyn Iterator<Item = String>| element(name, &items.collect::<String>());
        let texts =
            |name: &str, all: &mut dyn Iterator<Item = &String>| items(name, &mut all.map(|one| text("item", one)));
        let zone_id = |zone: &String| {
            let letter = zone.bytes().last().unwrap_or(b'a');
            text("item", &format!("zone-az{}", letter - b'a' + 1))
        };
        let of_region = |(region, state): &(String, String)| {
            element("item", &(text("region", region) + &text("serviceState", state)))
        };
        let private = self.private_name.as_ref().map(|(name, state)| {
            let record = text("state", state)
                + &text("type", "TXT")
                + &text("name", "_6e86v84tqgqubxbwii1m")
                + &text("value", "vpce:l6p0ERxlTt45jevFwOCp");
            text("privateDnsName", name) + &element("privateDnsNameConfiguration", &record)
        });
        element("serviceType", &element("item", &text("serviceType", "Interface")))
            + &text("serviceId", &self.id)
            + &text("serviceName", &format!("com.amazonaws.vpce.{region}.{}", self.id))
            + &text("serviceState", &self.state)
            + &items("availabilityZoneIdSet", &mut self.zones.iter().map(zone_id))
            + &texts("availabilityZoneSet", &mut self.zones.iter())
            + &text("acceptanceRequired", &self.needs_acceptance.to_string())
            + &texts(
                "networkLoadBalancerArnSet",
                &mut [balancer.to_owned()].iter().chain(&self.beside),
            )
            + &texts("supportedIpAddressTypeSet", &mut self.families.iter())
            + &items("supportedRegionSet", &mut self.regions.iter().map(of_region))
            + &private.unwrap_or_default()
    }

    fn described_endpoints(&self) -> Vec<String> {
        let described = |(endpoint, owner, state): &(String, String, String)| {
            text("serviceId", &self.id)
                + &text("vpcEndpointId", endpoint)
                + &text("vpcEndpointOwner", owner)
                + &text("vpcEndpointState", state)
                + &text("creationTimestamp", ENDPOINTS_MADE)
        };
        self.endpoints.iter().map(described).collect()
    }
}

/// What EC2 says.
impl Model {
    /// The result of an action of EC2's; nothing if it is none that is modelled.
    pub(super) fn ec2(&self, request: &Request) -> Option<Result<String, Refusal>> {
        let of_service = |id: Option<&str>, read: &dyn Fn(&Service) -> Vec<String>| {
            let id = id.unwrap_or_default();
            let found = self.services().find(|(.., service)| service.id == id);
            found.map(|(.., service)| read(service)).ok_or_else(|| no_service(id))
        };
        let (set, entries) = match request.action() {
            "DescribeVpcEndpointServiceConfigurations" => {
                let described = self.services();
                let described = described.map(|(balancer, region, service)| service.described(&balancer, region));
                ("serviceConfigurationSet", Ok(described.collect()))
            }
            "DescribeVpcEndpointConnections" => {
                let is_by_service = request.get("Filter.1.Name") == Some("service-id");
                let id = request.get("Filter.1.Value.1").filter(|_| is_by_service);
                (
                    "vpcEndpointConnectionSet",
                    of_service(id, &Service::described_endpoints),
                )
            }
            "DescribeVpcEndpointServicePermissions" => {
                let principals =
                    |service: &Service| service.principals.iter().map(|one| text("principal", one)).collect();
                ("allowedPrincipals", of_service(request.get("ServiceId"), &principals))
            }
            _ => return None,
        };
        Some(entries.and_then(|entries| self.page_of(set, &entries, request.get("NextToken"))))
    }

    /// The entries after those of the pages before.
    fn page_of(&self, set: &str, entries: &[String], token: Option<&str>) -> Result<String, Refusal> {
        let start = match token {
            None => 0,
            // As opaque as EC2's.
            Some(token) => token
                .strip_prefix("page+/=")
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| Refusal::new(400, "InvalidNextToken", format!("The token '{token}' is invalid")))?,
        };
        let end = self
            .ec2_page
            .map_or(entries.len(), |size| (start + size).min(entries.len()));
        let items = entries[start..end].iter().map(|entry| element("item", entry));
        let next = (end < entries.len()).then(|| text("nextToken", &format!("page+/={end}")));
        Ok(element(set, &items.collect::<String>()) + &next.unwrap_or_default())
    }

    /// The services, each with its load balancer and its region.
    fn services(&self) -> impl Iterator<Item = (String, &str, &Service)> {
        self.groups.values().filter_map(|members| {
            let group = &members.group;
            let service = group.balancer.service.as_ref()?;
            Some((group.load_balancer_arn()?, group.region.as_str(), service))
        })
    }

    fn service_mut(&mut self, id: &str) -> Result<&mut Service, Refusal> {
        let groups = self.groups.values_mut();
        let mut services = groups.filter_map(|members| members.group.balancer.service.as_mut());
        services.find(|service| service.id == id).ok_or_else(|| no_service(id))
    }

    /// The endpoints that are connected.
    pub fn connected(&self) -> BTreeSet<String> {
        let endpoints = self.services().flat_map(|(.., service)| &service.endpoints);
        let open = endpoints.filter(|(.., state)| state.eq_ignore_ascii_case("available"));
        open.map(|(endpoint, ..)| endpoint.clone()).collect()
    }

    /// Accepts endpoints that have asked for a connection.
    pub(super) fn accept(&mut self, service: &str, endpoints: &[&str]) -> Result<(), Refusal> {
        let service = self.service_mut(service)?;
        for id in endpoints {
            let asked = service.endpoints.iter_mut().find(|(endpoint, ..)| endpoint == id);
            let Some((.., state)) = asked else {
                let message = format!("The Vpc Endpoint Id '{id}' does not exist");
                return Err(Refusal::new(400, "InvalidVpcEndpointId.NotFound", message));
            };
            "available".clone_into(state);
        }
        Ok(())
    }

    /// Lets principals connect.
    pub(super) fn admit(&mut self, service: &str, principals: &[&str]) -> Result<(), Refusal> {
        let allowed = &mut self.service_mut(service)?.principals;
        allowed.extend(principals.iter().map(|principal| (*principal).to_owned()));
        Ok(())
    }

    /// Lets new connections wait until somebody accepts them.
    pub(super) fn require_acceptance(&mut self, service: &str) -> Result<(), Refusal> {
        self.service_mut(service)?.needs_acceptance = true;
        Ok(())
    }

    /// Publishes a load balancer once more: with the zones that it has now.
    pub(super) fn publish_again(&mut self, service: &str, balancer: &str) -> Result<(), Refusal> {
        let zones = self.owner_mut(balancer)?.enabled_zones.clone();
        self.service_mut(service)?.zones = zones;
        Ok(())
    }

    /// Publishes a load balancer by a service of its own, in the place of one that has failed.
    pub(super) fn publish(&mut self, balancer: &str) -> Result<(), Refusal> {
        let group = self.owner_mut(balancer)?;
        let is_taken = |service: &Service| service.state == "Available";
        if group.balancer.service.as_ref().is_some_and(is_taken) {
            let message = "The load balancer is associated with a service already";
            return Err(Refusal::new(400, "InvalidParameter", message));
        }
        *group = group
            .clone()
            .published(|service| service.id = "vpce-svc-0fedcba9876543210".into());
        Ok(())
    }

    /// Looks in DNS for the record of the private name.
    pub(super) fn verify_private_name(&mut self, service: &str) -> Result<(), Refusal> {
        let service = self.service_mut(service)?;
        let found = if service.is_proven { "verified" } else { "failed" };
        if let Some((_, state)) = &mut service.private_name {
            found.clone_into(state);
        }
        Ok(())
    }
}

fn no_service(id: &str) -> Refusal {
    let message = format!("The VpcEndpointService Id '{id}' does not exist");
    Refusal::new(400, "InvalidVpcEndpointServiceId.NotFound", message)
}
